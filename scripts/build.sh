#!/bin/sh
# scripts/build.sh PRESET [TARGET...]: configures the preset when that is needed, and builds.
# Everything it prints goes to stderr; it prints nothing when there is nothing to do.
set -eu
preset=$1
shift
cd "$(dirname "$0")/.."
unset MAKEFLAGS MAKELEVEL MFLAGS 2>/dev/null || true # a make above us has its own jobs
dir=build
[ "$preset" = release ] || dir=build-$preset
exec 1>&2

configured() {
    [ -f "$dir/build.ninja" ] || [ -f "$dir/Makefile" ] || return 1
    [ -f "$dir/.configured" ] && [ ! CMakePresets.json -nt "$dir/.configured" ] || return 1
    # made by this tree, not by one that was copied or moved
    grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" "$dir/CMakeCache.txt"
}

if ! configured; then
    rm -rf "$dir/CMakeCache.txt" "$dir/CMakeFiles" "$dir/build.ninja" "$dir/Makefile"
    if command -v ninja >/dev/null; then
        cmake --preset "$preset" -G Ninja
    else
        cmake --preset "$preset"
    fi
    touch "$dir/.configured"
fi

jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
[ $# -eq 0 ] || set -- --target "$@"
# The pipe only drops the lines that say that nothing was done; a failure shows as the file's content.
failed=$dir/.failed
rm -f "$failed"
{ cmake --build "$dir" --parallel "$jobs" "$@" 2>&1 || echo failed >"$failed"; } |
    sed -u -e '/^ninja: no work to do\.$/d' -e '/^\[ *[0-9]*%\] Built target /d' -e '/^Consolidate compiler generated/d' \
        -e '/^ninja: Entering directory/d' -e '/Re-checking globbed directories/d'
if [ -f "$failed" ]; then
    rm -f "$failed"
    exit 1
fi
