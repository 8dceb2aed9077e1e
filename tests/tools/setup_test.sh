#!/bin/sh
# tools/setup.sh: nothing to do is fast and never runs apt; what cannot be done is one clear error.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT

fail() {
    echo "setup_test: $*" >&2
    exit 1
}

# An apt-get and a sudo that must not be reached, and a dpkg-query that knows `have` only.
mkdir "$temp/bin"
printf '#!/bin/sh\necho ran "$0" "$@" >>%s/ran\nexit 1\n' "$temp" >"$temp/bin/apt-get"
cp "$temp/bin/apt-get" "$temp/bin/sudo"
printf '#!/bin/sh\necho "installed have"\nexit 1\n' >"$temp/bin/dpkg-query"
chmod +x "$temp/bin/"*

run() {
    PATH="$temp/bin:$PATH" GYRE_PACKAGES="$temp/list" sh "$root/tools/setup.sh" "$@" \
        >"$temp/out" 2>&1 </dev/null
}

printf '# a comment\n\nhave\nlacking?sh\n' >"$temp/list"
run || fail "nothing is missing, yet it failed: $(cat "$temp/out")"
[ ! -e "$temp/ran" ] || fail "nothing is missing, yet it ran: $(cat "$temp/ran")"
[ ! -s "$temp/out" ] || fail "nothing is missing, yet it spoke: $(cat "$temp/out")"

printf 'have\nlacking\nother?no-such-command\n' >"$temp/list"
if run; then fail "two packages are missing and cannot be installed, yet it succeeded"; fi
grep -q 'setup: .*' "$temp/out" || fail "no message"
grep -q 'lacking' "$temp/out" || fail "the message does not name the package"
grep -q 'other' "$temp/out" || fail "the message does not name the package of a missing command"
if grep -q '\bhave\b' "$temp/out"; then fail "it names an installed package"; fi

printf 'have\n[one]\nhave\n[two]\nlacking\n' >"$temp/list"
run one || fail "nothing of the group is missing, yet it failed: $(cat "$temp/out")"
if run two; then fail "a package of the group is missing, yet it succeeded"; fi
if run one two; then fail "a package of the second group is missing, yet it succeeded"; fi
if run; then fail "a package is missing, yet it succeeded"; fi

# A machine without dpkg-query: only the tools that the script itself needs are on the path.
mkdir "$temp/other"
for tool in sh dirname sort env; do ln -s "$(command -v $tool)" "$temp/other/$tool"; done
if PATH="$temp/other" sh "$root/tools/setup.sh" >"$temp/out" 2>&1 </dev/null; then
    fail "not Debian, yet it succeeded"
fi
grep -q 'not Debian' "$temp/out" || fail "not Debian, but the message is: $(cat "$temp/out")"
