#!/bin/sh
# make check: set-up, release build, every test
exec make check
