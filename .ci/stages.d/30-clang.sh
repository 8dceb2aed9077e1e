#!/bin/sh
# clang build and tests
set -e
cmake --preset clang --log-level=WARNING
cmake --build --preset clang -j "$(nproc)"
# the tools' tests do not depend on the build and ran in `make check`, except these
ctest --preset clang -j "$(nproc)" --no-tests=error -E '^tools[.](deps|apidoc|format|setup)$'
