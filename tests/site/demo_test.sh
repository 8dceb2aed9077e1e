#!/bin/sh
# The demo in a browser: builds it, serves site/ by the program, and drives Debian's Chromium (demo.mjs).
# Playwright and axe come from npm, once for each build directory. SHOTS=DIR keeps pictures of all scenes.
set -eu
root=${GYRE_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${GYRE_BUILD_DIR:-$root/build}
program=${GYRE_PROGRAM:-$build/gyre}

for tool in clang-14 wasm-ld-14 node npm chromium; do
    command -v $tool >/dev/null || {
        echo "demo_test: skipped, there is no $tool"
        exit 77
    }
done
modules=$build/site-tests
if ! cmp -s "$root/tests/site/package.json" "$modules/package.json"; then
    mkdir -p "$modules"
    rm -f "$modules/package.json"
    cp "$root/tests/site/package.json" "$modules/wanted.json"
    (cd "$modules" && cp wanted.json package.json && npm install --no-audit --no-fund --loglevel=error) || {
        rm -f "$modules/package.json"
        exit 1
    }
fi

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
cp "$root"/tests/site/*.mjs "$modules/"
cd "$modules" && node demo.mjs "$url/"
