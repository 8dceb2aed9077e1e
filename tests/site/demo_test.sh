#!/bin/sh
# The demo in a browser: builds it, serves site/ by the program, and drives Debian's Chromium (demo.mjs).
# SHOTS=DIR keeps pictures of all scenes. Once is enough: not under a sanitizer.
set -eu
root=${GYRE_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${GYRE_BUILD_DIR:-$root/build}
program=${GYRE_PROGRAM:-$build/gyre}

[ -z "${GYRE_SANITIZE:-}" ] || exit 77
for tool in clang-14 wasm-ld-14; do
    command -v $tool >/dev/null || {
        echo "demo_test: skipped, there is no $tool"
        exit 77
    }
done
modules=$build/site-tests
sh "$root/tests/site/modules.sh" "$modules" || exit $?
"$root"/tools/demo "$build/demo-tests/gyre-demo.wasm"

temp=$(mktemp -d)
server=
trap 'test -z "$server" || kill $server; rm -rf "$temp"' EXIT
cp -r "$root/site" "$temp/site"
cp "$build/demo-tests/gyre-demo.wasm" "$temp/site/demo/"
: >"$temp/out"
"$program" serve "$temp/site" --port 0 --access-log off >"$temp/out" &
server=$!
tries=0
until grep -q listening "$temp/out"; do
    tries=$((tries + 1))
    [ $tries -lt 500 ] && kill -0 $server || exit 1
    sleep 0.02
done
url=$(sed -n 's/^listening on \(http:[^ ]*\).*/\1/p' "$temp/out")
cd "$modules" && node demo.mjs "$url/" "file://$temp/site/index.html"
