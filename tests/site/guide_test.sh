#!/bin/sh
# The guide in a browser: builds the site, serves it by the program, and drives Debian's Chromium (guide.mjs).
# SHOTS=DIR keeps pictures of pages.
set -eu
root=${GYRE_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${GYRE_BUILD_DIR:-$root/build}
program=${GYRE_PROGRAM:-$build/gyre}
modules=$build/site-tests

sh "$root/tests/site/modules.sh" "$modules" || exit $?
/usr/bin/python3 -c 'import markdown_it, pygments' || exit 77

temp=$(mktemp -d)
server=
trap 'test -z "$server" || kill $server; rm -rf "$temp"' EXIT
"$root"/tools/site --no-demo --out "$temp/site"
"$program" serve "$temp/site" --port 0 --access-log off >"$temp/out" &
server=$!
tries=0
until grep -q listening "$temp/out"; do
    tries=$((tries + 1))
    [ $tries -lt 500 ] && kill -0 $server || exit 1
    sleep 0.02
done
url=$(sed -n 's/^listening on \(http:[^ ]*\).*/\1/p' "$temp/out")
cd "$modules" && node guide.mjs "$url/" "$temp/site"
