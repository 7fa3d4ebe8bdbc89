#!/bin/sh
# scripts/build_web.sh: makes web/dist, the package for pages: the core compiled to quern.wasm, the layouts of its structs,
# and the JavaScript as it is; beside them, for a server, the demo and the built-in model, which are not of the package.
# Everything it prints goes to stderr; it prints nothing when there is nothing to do.
set -eu
cd "$(dirname "$0")/.."
unset MAKEFLAGS MAKELEVEL MFLAGS 2>/dev/null || true # a make above us has its own jobs
dir=build-web
exec 1>&2

configured() {
    [ -f $dir/build.ninja ] || [ -f $dir/Makefile ] || return 1
    [ -f $dir/.configured ] && [ ! cmake/wasm.cmake -nt $dir/.configured ] || return 1
    grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD/web" $dir/CMakeCache.txt # made by this tree
}

if ! configured; then
    rm -rf $dir
    generator=
    if command -v ninja >/dev/null; then generator=-GNinja; fi
    # shellcheck disable=SC2086 # none or one
    cmake -S web -B $dir $generator -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/wasm.cmake" >/dev/null
    touch $dir/.configured
fi
status=0
said=$(cmake --build $dir --parallel "$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)" 2>&1) || status=$?
printf '%s\n' "$said" | sed -e '/^\[/d' -e '/^-- /d' -e '/^ninja: /d' -e '/^$/d'
[ $status = 0 ] || exit $status
mkdir -p web/dist/models
cmp -s $dir/quern.wasm web/dist/quern.wasm || cp $dir/quern.wasm web/dist/quern.wasm
python3 web/tools/layouts.py web/dist/layouts.js
cp -R web/src/. web/package.json web/README.md LICENSE web/dist/
cp -R web/demo web/dist/
model=quern-tales-q4_0.gguf
cmp -s models/quern-tales/$model web/dist/models/$model || cp models/quern-tales/$model web/dist/models/
