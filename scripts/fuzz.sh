#!/bin/sh
# scripts/fuzz.sh SECONDS [NAME...]: runs each libFuzzer program of build-fuzz for SECONDS, as many at a time
# as there are cores. Seeds: fuzz/corpus/NAME (read), build-fuzz/corpus/NAME (grows from run to run).
# A crash leaves its input in build-fuzz/crashes/.
set -eu
seconds=$1
shift
cd "$(dirname "$0")/.."

if [ "${1:-}" = --one ]; then
    name=$2
    corpus=build-fuzz/corpus/$name
    mkdir -p "$corpus" build-fuzz/crashes
    set -- "$corpus"
    [ ! -d "fuzz/corpus/$name" ] || set -- "$@" "fuzz/corpus/$name"
    [ ! -f "fuzz/$name.dict" ] || set -- "$@" -dict="fuzz/$name.dict"
    log=build-fuzz/$name.log
    if "build-fuzz/fuzz_$name" "$@" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -verbosity=1 -artifact_prefix="build-fuzz/crashes/$name-" >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        echo "fuzz $name: ok, $runs runs in $seconds s, $(ls "$corpus" | wc -l) inputs kept"
    else
        tail -n 60 "$log"
        echo "fuzz $name: FAILED; the input is in build-fuzz/crashes/, the log is $log"
        exit 1
    fi
    exit 0
fi

if [ $# -eq 0 ]; then
    for program in build-fuzz/fuzz_*; do
        [ -x "$program" ] && set -- "$@" "${program#build-fuzz/fuzz_}"
    done
fi
if [ $# -eq 0 ]; then
    echo "fuzz: there is no fuzz target in build-fuzz"
    exit 1
fi
printf '%s\n' "$@" | xargs -P "$(getconf _NPROCESSORS_ONLN)" -I NAME sh scripts/fuzz.sh "$seconds" --one NAME
