#!/bin/sh
# scripts/format.sh [--check]: clang-format over every C file. Versions differ in what they write: 14 decides.
set -eu
cd "$(dirname "$0")/.."
if command -v clang-format-14 >/dev/null; then
    format=clang-format-14
elif command -v clang-format >/dev/null && clang-format --version | grep -q 'version 14\.'; then
    format=clang-format
else
    echo "format: needs clang-format 14 (scripts/setup.sh ci installs it where the system has it)" >&2
    exit 77
fi
files=$(find apps bench fuzz include src tests tools web -name '*.[ch]' 2>/dev/null | sort)
# shellcheck disable=SC2086 # no file name of ours has a space
if [ "${1:-}" = --check ]; then
    $format --dry-run --Werror $files
else
    $format -i $files
fi
