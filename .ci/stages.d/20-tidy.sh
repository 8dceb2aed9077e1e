#!/bin/sh
# clang-tidy over the tree
set -e
cmake --preset clang --log-level=WARNING
exec tools/tidy build/clang
