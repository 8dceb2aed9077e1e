#!/bin/sh
# tests under ASan and UBSan
set -e
cmake --preset debug --log-level=WARNING
cmake --build --preset debug -j "$(nproc)"
# the tools' tests do not depend on the build and ran in `make check`, except these
ctest --preset debug -j "$(nproc)" --no-tests=error -E '^tools[.](deps|apidoc|format|setup)$'
