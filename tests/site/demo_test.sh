#!/bin/sh
# The demo in a browser: builds it, serves site/ by the program, and drives Debian's Chromium (demo.mjs).
# Playwright and axe come from npm, once for each build directory. SHOTS=DIR keeps pictures of all scenes.
set -eu
root=${GYRE_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${GYRE_BUILD_DIR:-$root/build}
program=${GYRE_PROGRAM:-$build/gyre}

for tool in clang-14 wasm-ld-14; do
    command -v $tool >/dev/null || {
        echo "demo_test: skipped, there is no $tool"
        exit 77
    }
done
modules=$build/site-tests
sh "$root/tests/site/modules.sh" "$modules" || exit $?

temp=$(mktemp -d)
server=
trap 'test -z "$server" || kill $server; rm -rf "$temp"' EXIT
cp -r "$root/site" "$temp/site"
"$root"/tools/demo "$temp/site/demo/gyre-demo.wasm"
"$program" serve "$temp/site" --port 0 --access-log off >"$temp/out" &
server=$!
tries=0
until grep -q listening "$temp/out"; do
    tries=$((tries + 1))
    [ $tries -lt 500 ] && kill -0 $server || exit 1
    sleep 0.02
done
url=$(sed -n 's/^listening on \(http:[^ ]*\).*/\1/p' "$temp/out")
cd "$modules" && node demo.mjs "$url/"
