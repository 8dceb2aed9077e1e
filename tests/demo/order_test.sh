#!/bin/sh
# The demo's order of callbacks is the library's: for each scene, what the WebAssembly of the page does a turn at a
# time, and what the same tasks do on the native library run in one go (trace.c); and some scenes written by hand on
# public headers only (scenes.c). The C program that the page shows compiles. A program that is wrong is refused.
set -eu
root=${GYRE_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${GYRE_BUILD_DIR:-$root/build}
cc=${GYRE_CC:-cc}

for tool in clang-14 wasm-ld-14 node; do
    command -v $tool >/dev/null || {
        echo "order_test: skipped, there is no $tool"
        exit 77
    }
done
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT

"$build/tests/demo_trace" >"$temp/native.txt"
"$build/tests/demo_scenes" >"$temp/byhand.txt"
wasm=$build/demo-tests/gyre-demo.wasm
"$root"/tools/demo "$wasm"

mkdir "$temp/sources"
cp "$root/site/demo/engine.js" "$temp/engine.mjs" # a name that node takes for a module, and every web server for a script
node "$root/tests/demo/order.mjs" "$temp/engine.mjs" "$wasm" "$temp/native.txt" "$temp/byhand.txt" "$temp/sources"
# What another thread would do, post a node, stands there as a comment: the node looks unused.
for source in "$temp"/sources/*.c; do
    "$cc" -std=c11 -Wall -Wextra -Wno-unused -Wno-unused-parameter -Werror -I "$root/include" -fsyntax-only "$source"
done
echo "the programs of $(ls "$temp/sources" | wc -l) scenes compile"
