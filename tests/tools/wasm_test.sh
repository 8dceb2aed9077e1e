#!/bin/sh
# The library on its simulated kernel runs as WebAssembly, and a seed gives the same run there as here.
set -eu
root=${GYRE_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${GYRE_BUILD_DIR:-$root/build}
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT

for tool in clang-14 wasm-ld-14 node; do
    command -v $tool >/dev/null || {
        echo "wasm_test: skipped, there is no $tool"
        exit 77
    }
done
"$root"/tools/wasm "$temp/world.wasm" "$root/tests/wasm/world.c"
# shellcheck disable=SC2086 # the flags are words
${GYRE_CC:-cc} -std=c11 -O2 ${GYRE_SANITIZE:+-fsanitize=$GYRE_SANITIZE} -I "$root/include" \
    -o "$temp/world" "$root/tests/wasm/world.c" "$build/libgyre.a" -luring -pthread
"$temp/world" >"$temp/here"
node --no-warnings "$root/tests/wasm/run.mjs" "$temp/world.wasm" >"$temp/there"
diff "$temp/here" "$temp/there"
[ "$(grep -c '100000 bytes' "$temp/here")" -eq 20 ]
