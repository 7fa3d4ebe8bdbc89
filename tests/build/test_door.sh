#!/bin/sh
# `make run` prints the text on stdout and everything else on stderr; the prompt arrives as it was typed;
# `make help` names every target.
set -eu
cd "$QN_SOURCE_DIR"
[ "$QN_BUILD_DIR" = "$QN_SOURCE_DIR/build" ] && [ -x build/quern ] || exit 77
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
trap 'exit 1' INT TERM HUP
unset MAKEFLAGS MAKELEVEL MFLAGS
fail() {
    echo "FAILED: $*"
    cat "$temp"/err* 2>/dev/null
    exit 1
}

prompt='It'\''s $5, "(`a`" & b;'
make SETUP=no run PROMPT="$prompt" ARGS="-n 8 --seed 7" >"$temp/out1" 2>"$temp/err1" </dev/null || fail "make run"
build/quern run -p "$prompt" -n 8 --seed 7 >"$temp/out2" 2>"$temp/err2" </dev/null || fail "quern run"
[ -s "$temp/out2" ] || fail "quern run printed nothing"
cmp "$temp/out1" "$temp/out2" || fail "make run printed something else than the story on stdout"
make SETUP=no run PROMPT=x ARGS="--no-such-flag" >"$temp/out3" 2>"$temp/err3" </dev/null && fail "a wrong flag passed"
[ ! -s "$temp/out3" ] || fail "an error went to stdout"

for target in $(sed -n 's/^\.PHONY: //p' Makefile); do
    make help | grep -q "^  $target " || fail "make help says nothing about $target"
done
