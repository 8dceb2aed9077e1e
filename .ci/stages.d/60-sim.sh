#!/bin/sh
# seeds of the simulator, plain and under ASan and UBSan
set -e
[ -x build/gyre ] || make
[ -x build/debug/gyre ] || {
    cmake --preset debug --log-level=WARNING
    cmake --build --preset debug -j "$(nproc)"
}
build/gyre sim --seeds 1..300 --minutes 5 --quiet
exec build/debug/gyre sim --seeds 301..400 --minutes 2 --quiet
