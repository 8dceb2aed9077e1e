#!/bin/sh
# tests under TSan
set -e
cmake --preset tsan --log-level=WARNING
cmake --build --preset tsan -j "$(nproc)"
# the tests of the tree itself do not depend on the compiler and ran in `make check`; a seed of the simulator has one
# thread, and takes minutes here
ctest --preset tsan -j "$(nproc)" --no-tests=error -E '^(tools[.](deps|apidoc|format|setup|site|sim)|site[.].*)$'
