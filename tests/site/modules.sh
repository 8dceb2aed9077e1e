#!/bin/sh
# Installs what the browser tests need from npm into DIR, once for each state of package.json, and copies the tests
# there. usage: modules.sh DIR. Exits with 77 when a tool is missing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
modules=$1

for tool in node npm chromium; do
    command -v $tool >/dev/null || {
        echo "browser tests: skipped, there is no $tool"
        exit 77
    }
done
mkdir -p "$modules"
exec 9>"$modules/lock"
flock 9
if ! cmp -s "$here/package.json" "$modules/package.json"; then
    rm -f "$modules/package.json"
    cp "$here/package.json" "$modules/wanted.json"
    (cd "$modules" && cp wanted.json package.json && npm install --no-audit --no-fund --loglevel=error) || {
        rm -f "$modules/package.json"
        exit 1
    }
fi
cp "$here"/*.mjs "$modules/"
