#!/bin/sh
# a smoke run of the fuzzers
set -e
for name in address script http; do
    tools/fuzz $name 20 >build/fuzz-$name.log 2>&1 || {
        tail -60 build/fuzz-$name.log
        exit 1
    }
    grep -e '^Done' build/fuzz-$name.log
done
