#!/bin/sh
# docs/simulator.md is true: the example's test finds the planted bug from a seed, that seed shows it again, and the mended
# service passes all seeds.
set -eu
root=${GYRE_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${GYRE_BUILD_DIR:-$root/build}
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT

compile() {
    # shellcheck disable=SC2086 # the flags are words
    ${GYRE_CC:-cc} -std=c11 -O1 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror \
        ${GYRE_SANITIZE:+-fsanitize=$GYRE_SANITIZE} -I "$root/include" "$@" \
        "$root"/examples/simulated/*.c "$build/libgyre.a" -luring -pthread
}
compile -o "$temp/bug"
compile -DSERVICE_FIXED -o "$temp/mended"
if "$temp/bug" >"$temp/found"; then
    echo "simulated_test: the bug was not found" >&2
    exit 1
fi
seed=$(sed -n 's/^seed \([0-9]*\):.*/\1/p' "$temp/found")
grep -q "seed $seed: 10 answers, 1 of them wrong" "$root/docs/simulator.md" || {
    echo "simulated_test: docs/simulator.md names another seed than $(cat "$temp/found")" >&2
    exit 1
}
"$temp/bug" "$seed" >"$temp/once" && exit 1
"$temp/bug" "$seed" >"$temp/again" && exit 1
cmp "$temp/once" "$temp/again"
"$temp/mended"
