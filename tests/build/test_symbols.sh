#!/bin/sh
# libquern exports qn_ symbols only, each of them named in a public header, has an SONAME, and needs its
# libraries by name (a path in DT_NEEDED would tie it to the machine that built it).
set -eu
[ "$(uname)" = Linux ] || exit 77
library=$QN_BUILD_DIR/libquern.so
failed=0
fail() {
    echo "FAILED: $*"
    failed=1
}

exported=$(nm -D --defined-only "$library" | awk '{print $3}' | sed 's/@.*//' | sort -u)
[ -n "$exported" ] || fail "nothing is exported"
for symbol in $exported; do
    case $symbol in
    qn_*) grep -qw "$symbol" "$QN_SOURCE_DIR"/include/*.h || fail "$symbol is exported but in no public header" ;;
    __asan* | __ubsan* | __odr_asan* | _init | _fini | __bss_start | _edata | _end) ;;
    *) fail "exported without qn_: $symbol" ;;
    esac
done

# What the headers declare exists. (Blocking helpers are compiled out on purpose in that build.)
if ! grep -q '^QN_NO_BLOCKING:BOOL=ON' "$QN_BUILD_DIR/CMakeCache.txt"; then
    declared=$(cat "$QN_SOURCE_DIR"/include/*.h | tr '\n' ' ' | tr ';' '\n' |
        sed -n 's/.*QN_API[^(]*[ *]\(qn_[a-z0-9_]*\)(.*/\1/p' | sort -u)
    for symbol in $declared; do
        echo "$exported" | grep -qx "$symbol" || fail "declared but not exported: $symbol"
    done
fi

dynamic=$(readelf -d "$library")
echo "$dynamic" | grep -q 'SONAME.*\[libquern\.so\.[0-9]*\]' || fail "no SONAME"
for needed in $(echo "$dynamic" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
    case $needed in
    */*) fail "needs a library by its path: $needed" ;;
    libcmocka*) fail "the library needs $needed; only tests may" ;;
    esac
done
echo "$exported" | wc -l | sed 's/$/ symbols/'
exit $failed
