#!/bin/sh
# tests under ASan and UBSan
set -e
cmake --preset debug --log-level=WARNING
cmake --build --preset debug -j "$(nproc)"
# the tests of the tree itself do not depend on the compiler and ran in `make check`
ctest --preset debug -j "$(nproc)" --no-tests=error -E '^(tools[.](deps|apidoc|format|setup|site)|site[.].*)$'
