#!/bin/sh
# scripts/with_node.sh COMMAND...: runs a command with Node.js 20 or newer as `node`, and its npm: the machine's own, else
# the one that scripts/setup.sh test puts into third_party/node. Exit code 127: there is none.
set -eu
own=$(cd "$(dirname "$0")/.." && pwd)/third_party/node/bin
new_enough() { "$1" -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; }
if ! new_enough node || ! command -v npm >/dev/null 2>&1; then
    [ -x "$own/node" ] && new_enough "$own/node" || exit 127
    PATH=$own:$PATH
fi
exec "$@"
