#!/bin/sh
# clang build and tests
set -e
cmake --preset clang --log-level=WARNING
cmake --build --preset clang -j "$(nproc)"
# the tests of the tree itself do not depend on the compiler and ran in `make check`
ctest --preset clang -j "$(nproc)" --no-tests=error -E '^(tools[.](deps|apidoc|format|setup|site)|site[.].*)$'
