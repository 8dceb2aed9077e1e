#!/bin/sh
# One seed, one history: the swarm's seeds have the same trace hashes run twice, and built by gcc and by
# clang, without optimisation and with all of it.
# usage: tests/sim/hashes.sh [SEEDS [MINUTES]]     100 seeds of 10 virtual minutes each; builds in $WORK
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
seeds=${1:-100}
minutes=${2:-10}
work=${WORK:-$root/build/hashes}
mkdir -p "$work"

for compiler in gcc clang; do
    for level in 0 3; do
        name=$compiler-O$level
        cmake -S "$root" -B "$work/$name" --log-level=WARNING -DCMAKE_C_COMPILER="$compiler" \
            -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS="-O$level" -DGYRE_TESTS=OFF >/dev/null
        cmake --build "$work/$name" --target gyre_program -j "$(nproc)" >/dev/null
        "$work/$name/gyre" sim --seeds "$seeds" --minutes "$minutes" --twice |
            sed -n 's/^seed \([0-9]*\) .* hash \([0-9a-f]*\)$/\1 \2/p' | sort -n >"$work/$name.txt"
        count=$(wc -l <"$work/$name.txt")
        echo "$name: $count seeds run twice, the same hashes: $(cmp -s "$work/$name.txt" "$work/gcc-O0.txt" && echo yes || echo NO)"
        [ "$count" -eq "$seeds" ] && cmp "$work/$name.txt" "$work/gcc-O0.txt"
    done
done
