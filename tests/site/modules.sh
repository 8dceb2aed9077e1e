#!/bin/sh
# Installs what the browser tests need from npm into DIR, once for each state of the lock file, and copies the tests
# there. usage: modules.sh DIR. Exits with 77 when a tool is missing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
modules=$1
stamp=$modules/node_modules/.gyre-stamp

for tool in node npm chromium; do
    command -v $tool >/dev/null || {
        echo "browser tests: skipped, there is no $tool"
        exit 77
    }
done
mkdir -p "$modules"
exec 9>"$modules/lock"
flock 9
cp "$here"/*.mjs "$here"/package.json "$here"/package-lock.json "$modules/"
cmp -s "$stamp" "$here/package-lock.json" && exit 0
(cd "$modules" && npm ci --no-audit --no-fund --loglevel=error </dev/null)
cp "$here/package-lock.json" "$stamp"
