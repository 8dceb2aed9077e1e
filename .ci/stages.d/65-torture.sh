#!/bin/sh
# every system call and allocation of the library is reached and failed
exec tools/torture
