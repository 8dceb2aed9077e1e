#!/bin/sh
# tests under TSan
set -e
cmake --preset tsan --log-level=WARNING
cmake --build --preset tsan -j "$(nproc)"
# the tools' tests do not depend on the build and ran in `make check`, except these
ctest --preset tsan -j "$(nproc)" --no-tests=error -E '^tools[.](deps|apidoc|format|setup)$'
