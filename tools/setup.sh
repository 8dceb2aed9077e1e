#!/bin/sh
# Installs what tools/packages.txt names and this machine lacks: all of it, or the groups that are
# named. When nothing is missing it asks dpkg once and ends, without running apt: the second run
# takes no time. Never reads stdin. usage: tools/setup.sh [GROUP...]
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
list=${GYRE_PACKAGES:-$root/tools/packages.txt}

die() {
    echo "setup: $*" >&2
    exit 1
}

# The names wanted here, one a line: comments out, and "A?command" only where command is absent.
# Those before the first heading belong to every group.
wanted() {
    groups=" $* "
    here=yes
    while read -r name _; do
        case $name in
        '' | '#'*) continue ;;
        '['*']')
            name=${name#\[}
            here=no
            case $groups in '  ' | *" ${name%\]} "*) here=yes ;; esac
            continue
            ;;
        esac
        [ $here = yes ] || continue
        case $name in
        *'?'*) command -v "${name#*\?}" >/dev/null 2>&1 || echo "${name%%\?*}" ;;
        *) echo "$name" ;;
        esac
    done <"$list"
}

# Prints which of the packages given are not installed, in one call of dpkg-query.
missing() {
    have=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sort -u) || :
    for name in "$@"; do
        case "
$have
" in
        *"
installed $name
"*) ;;
        *) echo "$name" ;;
        esac
    done
}

run_as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

install_packages() {
    command -v apt-get >/dev/null 2>&1 ||
        die "no apt-get here. Install the equivalents of tools/packages.txt by hand: $*"
    if [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null </dev/null; then
        die "these packages are missing: $*
setup: run as root, or with sudo that asks no password: apt-get install $*"
    fi
    echo "setup: installing: $*"
    run_as_root apt-get update -q </dev/null || die "apt-get update failed"
    run_as_root apt-get install -y -q --no-install-recommends "$@" </dev/null ||
        die "apt-get could not install: $*"
}

command -v dpkg-query >/dev/null 2>&1 ||
    die "this is not Debian (no dpkg-query). Install the equivalents of tools/packages.txt by hand,
setup: then build with: cmake --preset release && cmake --build --preset release"

# shellcheck disable=SC2046 # package names have no blanks
set -- $(wanted "$@")
# shellcheck disable=SC2046
set -- $(missing "$@")
if [ $# -gt 0 ]; then
    install_packages "$@"
    # shellcheck disable=SC2046
    set -- $(missing "$@")
    [ $# -eq 0 ] || die "still missing after the installation: $*"
fi
