#!/bin/sh
# Set-up is idempotent: on a machine that has everything it changes nothing, says nothing and takes no time.
set -eu
cd "$QN_SOURCE_DIR"
fail() {
    echo "FAILED: $*"
    exit 1
}
# built against another WebGPU library: there may be nothing set up here
[ "$QN_WGPU_DIR" = "$QN_SOURCE_DIR/third_party/wgpu" ] && [ -f "$QN_WGPU_DIR/pins" ] || exit 77

before=$(ls -la --time-style=full-iso third_party/wgpu)
start=$(date +%s%N)
said=$(scripts/setup.sh 2>&1) || fail "exit code $?: $said"
took=$((($(date +%s%N) - start) / 1000000))
[ -z "$said" ] || fail "it had something to say: $said"
[ "$before" = "$(ls -la --time-style=full-iso third_party/wgpu)" ] || fail "it touched third_party/wgpu"
# 25 ms on an idle machine; the limit leaves room for a busy one
[ "$took" -lt 3000 ] || fail "it took $took ms"
scripts/setup.sh nonsense >/dev/null 2>&1 && fail "it took an unknown mode"
echo "set-up: $took ms"
