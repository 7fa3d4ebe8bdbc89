#!/bin/sh
# Installs into a temporary folder and uses it as a stranger would: a ten-line C program through pkg-config,
# a CMake project through find_package, and the installed command.
set -eu
[ "$(uname)" = Linux ] || exit 77
# a program without the sanitizers cannot load a library with them
grep -q '^QN_SANITIZE:BOOL=ON' "$QN_BUILD_DIR/CMakeCache.txt" && exit 77
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
trap 'exit 1' INT TERM HUP
unset LD_LIBRARY_PATH
fail() {
    echo "FAILED: $*"
    exit 1
}

# Installed below DESTDIR and then moved: nothing may remember where it was built or staged.
DESTDIR="$temp/stage" "$CMAKE" --install "$QN_BUILD_DIR" --prefix /opt/quern >"$temp/log" 2>&1 || {
    cat "$temp/log"
    fail "cmake --install"
}
prefix="$temp/moved"
mv "$temp/stage/opt/quern" "$prefix"
for file in include/quern.h lib/libquern.so lib/quern/libwgpu_native.so share/quern/quern-tales-q4_0.gguf \
    share/doc/quern/LICENSE share/doc/quern/LICENSE.wgpu; do
    [ -s "$prefix/$file" ] || fail "$file is not installed"
done
case $(readelf -d "$prefix"/lib/libquern.so | grep -E 'NEEDED|RUNPATH|RPATH') in
*"$QN_SOURCE_DIR"* | *"$QN_BUILD_DIR"*) fail "libquern remembers the folder it was built in" ;;
esac

mkdir "$temp/project"
cd "$temp/project"
cat >main.c <<'END'
#include <quern.h>
#include <stdio.h>
int main(void)
{
    size_t n = 0;
    qn_status status = qn_devices(NULL, 0, &n);
    if (status.code != QN_OK) fprintf(stderr, "%s\n", status.text);
    printf("%s %zu\n", qn_version(), n);
    return status.code == QN_OK && n > 0 ? 0 : 1;
}
END
version=$(sed -n 's/^#define QN_VERSION "\(.*\)"/\1/p' "$QN_SOURCE_DIR/include/quern.h")
check() {
    said=$("$1") || fail "$1: exit code $?"
    case $said in
    "$version "[1-9]*) ;;
    *) fail "$1 printed '$said'" ;;
    esac
}

export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
[ "$(pkg-config --modversion quern)" = "$version" ] || fail "pkg-config: version $(pkg-config --modversion quern)"
# shellcheck disable=SC2046 # flags are words
"$CC" -std=c11 -Wall -Werror main.c -o by_pkg_config $(pkg-config --cflags --libs quern) || fail "pkg-config link"
LD_LIBRARY_PATH="$prefix/lib" check ./by_pkg_config

cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.22)
project(stranger LANGUAGES C)
find_package(quern 0.1 REQUIRED)
add_executable(by_cmake main.c)
target_link_libraries(by_cmake PRIVATE quern::quern)
END
{ "$CMAKE" -S . -B build -DCMAKE_C_COMPILER="$CC" -DCMAKE_PREFIX_PATH="$prefix" && "$CMAKE" --build build; } \
    >"$temp/log" 2>&1 || {
    cat "$temp/log"
    fail "find_package(quern)"
}
check build/by_cmake

if [ -x "$prefix/bin/quern" ]; then
    "$prefix/bin/quern" devices >"$temp/log" 2>&1 || {
        cat "$temp/log"
        fail "the installed command: devices"
    }
fi
echo "installed tree: ok"
