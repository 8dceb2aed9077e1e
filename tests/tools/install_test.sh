#!/bin/sh
# What `make install` installs is enough: programs outside the tree compile, link and run against the
# shared and the static library, by pkg-config and by CMake's find_package; every public function is
# exported and nothing else; the man pages and the program are there.
set -eu
root=${GYRE_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${GYRE_BUILD_DIR:-$root/build}
cc=${GYRE_CC:-cc}
flags=${GYRE_SANITIZE:+-fsanitize=$GYRE_SANITIZE}
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT

fail() {
    echo "install_test: $*" >&2
    exit 1
}

prefix=$temp/prefix
cmake --install "$build" --prefix "$prefix" >"$temp/log" || fail "cmake --install: $(cat "$temp/log")"
lib=$(dirname "$(find "$prefix" -name libgyre.a)")
PKG_CONFIG_PATH=$lib/pkgconfig
export PKG_CONFIG_PATH
version=$(pkg-config --modversion gyre)

mkdir "$temp/app"
cat >"$temp/app/app.c" <<'END'
#include <gyre.h>
#include <stdio.h>

static int fired;

static void on_timer(gyre_timer *timer)
{
    fired += 1;
    gyre_close(&timer->handle, NULL);
}

int main(void)
{
    gyre_loop *loop;
    gyre_timer timer;
    int error = gyre_loop_init(&loop, NULL);
    if (error < 0)
        return fprintf(stderr, "%s\n", gyre_strerror(error)), 1;
    if (gyre_timer_init(loop, &timer) < 0)
        return 1;
    gyre_timer_start(&timer, GYRE_MILLISECOND, 0, on_timer);
    error = gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    if (error < 0 || gyre_loop_close(loop) < 0 || fired != 1)
        return 1;
    printf("%s\n", gyre_version());
    return 0;
}
END

expect_version() {
    [ "$("$@")" = "$version" ] || fail "$* does not run or is not version $version"
}

# pkg-config, shared and static; the file knows the prefix, whichever was given at configuring.
pc() {
    pkg-config "$@" gyre
}
# shellcheck disable=SC2046,SC2086 # flags are several words
$cc $flags -std=c11 -o "$temp/shared" "$temp/app/app.c" $(pc --cflags --libs) "-Wl,-rpath,$lib"
readelf -d "$temp/shared" | grep -q 'NEEDED.*libgyre.so.0.1' || fail "not linked with the SONAME"
expect_version "$temp/shared"
# shellcheck disable=SC2046,SC2086
$cc $flags -std=c11 -o "$temp/static" "$temp/app/app.c" $(pc --cflags) \
    $(pc --static --libs | sed 's/-lgyre/-l:libgyre.a/')
expect_version "$temp/static"

# find_package, both targets
cat >"$temp/app/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(app C)
find_package(gyre 0.1 REQUIRED)
add_executable(shared app.c)
target_link_libraries(shared PRIVATE gyre::gyre)
add_executable(static app.c)
target_link_libraries(static PRIVATE gyre::static)
END
cmake -S "$temp/app" -B "$temp/app/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_C_FLAGS="$flags" >"$temp/log" 2>&1 || fail "find_package: $(cat "$temp/log")"
cmake --build "$temp/app/build" >"$temp/log" 2>&1 || fail "find_package: $(cat "$temp/log")"
expect_version "$temp/app/build/shared"
expect_version "$temp/app/build/static"

# Exactly the public functions are exported, all with the version.
"${GYRE_PYTHON:-/usr/bin/python3}" "$root/tools/apidoc" --names "$root"/include/gyre/*.h | sort \
    >"$temp/public"
nm -D --defined-only "$lib/libgyre.so" | awk '$2 != "A" {print $3}' | sort >"$temp/exported"
sed 's/$/@@GYRE_0.1/' "$temp/public" | sort >"$temp/versioned"
diff "$temp/versioned" "$temp/exported" >"$temp/log" ||
    fail "public functions (<) and exported symbols (>) differ:
$(cat "$temp/log")"

# A static program must not get llhttp's names into its own way, nor any that is not ours (or ASan's).
nm -g --defined-only "$lib/libgyre.a" | awk 'NF == 3 {print $3}' |
    grep -v -e '^gyrei\{0,1\}_' -e '^__odr_asan\.gyrei\{0,1\}_' >"$temp/log" &&
    fail "names in libgyre.a that are not ours: $(head -5 "$temp/log")"

[ -x "$prefix/bin/gyre" ] || fail "the program is not installed"
[ -f "$prefix/share/man/man7/gyre.7" ] || fail "no gyre.7"
while read -r name; do
    [ -f "$prefix/share/man/man3/$name.3" ] || fail "no man page of $name"
done <"$temp/public"
