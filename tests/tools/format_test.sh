#!/bin/sh
# Every C file has the form of .clang-format.
exec "$(dirname "$0")/../../tools/format"
