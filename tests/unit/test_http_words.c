/*
 * Parsers of the HTTP module that need no connection: ranges, dates, paths, types, reasons.
 */
#include "http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- ranges ---- */

static void test_ranges(void **state)
{
    static const struct {
        const char *text;
        uint64_t size;
        uint64_t first;
        uint64_t count;
    } rows[] = {
        {"bytes=0-0", 10, 0, 1},
        {"bytes=0-9", 10, 0, 10},
        {"bytes=0-10", 10, 0, 10},
        {"bytes=9-9", 10, 9, 1},
        {"bytes=9-", 10, 9, 1},
        {"bytes=0-", 1, 0, 1},
        {"bytes=-1", 10, 9, 1},
        {"bytes=-10", 10, 0, 10},
        {"bytes=-11", 10, 0, 10},
        {"bytes=-18446744073709551616", 10, 0, 10},
        {"bytes=3-18446744073709551616", 10, 3, 7},
        {"bytes=3-99999999999999999999999999", 10, 3, 7},
        {"Bytes=1-2", 10, 1, 2},
        {"bytes = 1-2", 10, 1, 2},
        {"bytes=1-2 ", 10, 1, 2},
        {"bytes=18446744073709551613-18446744073709551614", UINT64_MAX, UINT64_MAX - 2, 2},
        {"bytes=0-18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t first = 0;
        uint64_t count = 0;

        assert_int_equal(gyrei_http_range_parse(rows[i].text, rows[i].size, &first, &count),
                         GYREI_HTTP_RANGE_ONE);
        assert_int_equal(first, rows[i].first);
        assert_int_equal(count, rows[i].count);
    }
}

static void test_ranges_beyond_the_end(void **state)
{
    static const char *const texts[] = {"bytes=10-",   "bytes=10-20",
                                        "bytes=-0",    "bytes=18446744073709551615-",
                                        "bytes=11-11", "bytes=99999999999999999999999-"};
    uint64_t first;
    uint64_t count;

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        assert_int_equal(gyrei_http_range_parse(texts[i], 10, &first, &count),
                         GYREI_HTTP_RANGE_UNSATISFIABLE);
    assert_int_equal(gyrei_http_range_parse("bytes=0-0", 0, &first, &count),
                     GYREI_HTTP_RANGE_UNSATISFIABLE);
    assert_int_equal(gyrei_http_range_parse("bytes=-1", 0, &first, &count),
                     GYREI_HTTP_RANGE_UNSATISFIABLE);
}

static void test_what_is_no_range(void **state)
{
    static const char *const texts[] = {
        "",           "bytes",       "bytes=",      "bytes=-",     "bytes=1",   "bytes=1-2,3-4",
        "bytes=2-1",  "bytes=a-",    "bytes=1-a",   "bytes=--1",   "bytes=+1-", "bytes=1-+2",
        "bytes 1-2",  "lines=1-2",   "bytesx=1-2",  "bytes=0x1-2", "bytes=1.5", "bytes==1-2",
        "bytes=1 -2", "bytes=1- 2x", "bytes=,1-2",  "byte=1-2",    "=1-2",      "1-2",
        "bytes=1-2;", "bytes=1--2",  "bytes=1-2-3",
    };
    uint64_t first;
    uint64_t count;

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        assert_int_equal(gyrei_http_range_parse(texts[i], 10, &first, &count),
                         GYREI_HTTP_RANGE_NONE);
}

/* ---- dates ---- */

static void test_dates(void **state)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } rows[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {1078012800, "Sun, 29 Feb 2004 00:00:00 GMT"},
        {2147483647, "Tue, 19 Jan 2038 03:14:07 GMT"},
        {4107542399, "Sun, 28 Feb 2100 23:59:59 GMT"},
        {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},
        {-1, "Wed, 31 Dec 1969 23:59:59 GMT"},
        {-2208988800, "Mon, 01 Jan 1900 00:00:00 GMT"},
        {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[32];
        int64_t seconds = -2;

        gyrei_http_date_format(rows[i].seconds, text);
        assert_string_equal(text, rows[i].text);
        assert_true(gyrei_http_date_parse(text, &seconds));
        assert_int_equal(seconds, rows[i].seconds);
    }
}

static void test_every_day_there_and_back(void **state)
{
    (void)state;
    for (int64_t day = -25567; day < 80000; day++) {
        char text[32];
        int64_t seconds = -1;

        gyrei_http_date_format(day * 86400 + 3661, text);
        assert_true(gyrei_http_date_parse(text, &seconds));
        assert_int_equal(seconds, day * 86400 + 3661);
    }
}

static void test_old_forms_of_dates(void **state)
{
    static const char *const texts[] = {"Sunday, 06-Nov-94 08:49:37 GMT",
                                        "Sun Nov  6 08:49:37 1994", "Sun Nov 06 08:49:37 1994"};
    int64_t seconds;

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        seconds = 0;
        assert_true(gyrei_http_date_parse(texts[i], &seconds));
        assert_int_equal(seconds, 784111777);
    }
    assert_true(gyrei_http_date_parse("Saturday, 01-Jan-00 00:00:00 GMT", &seconds));
    assert_int_equal(seconds, 946684800);
}

static void test_what_is_no_date(void **state)
{
    static const char *const texts[] = {
        "",
        "0",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 gmt",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 1995 08:49:37 GMT",
        "Sun, 29 Feb 2100 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 23:60:00 GMT",
        "Sun, 06 Nov 1994 23:59:61 GMT",
        "Sun, -6 Nov 1994 08:49:37 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov +994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMTx",
    };
    int64_t seconds;

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        assert_false(gyrei_http_date_parse(texts[i], &seconds));
}

/* ---- paths ---- */

static void test_paths(void **state)
{
    static const char *const rows[][2] = {
        {"/", "."},           {"/a", "a"},           {"/a/b", "a/b"},      {"/a/b/", "a/b/"},
        {"//a", "a"},         {"/a//b", "a/b"},      {"/./a", "a"},        {"/a/.", "a/"},
        {"/a/./b", "a/b"},    {"/a/..", "."},        {"/a/../b", "b"},     {"/a/b/..", "a/"},
        {"/a/b/../c", "a/c"}, {"/a/b/../../c", "c"}, {"/...", "..."},      {"/..a", "..a"},
        {"/a..", "a.."},      {"/.a", ".a"},         {"/%61", "a"},        {"/%2e%2E%2e", "..."},
        {"/a%2fb", "a/b"},    {"/a/%2e%2e/b", "b"},  {"/a%2f..%2fb", "b"}, {"/%2561", "%61"},
        {"/a%20b", "a b"},    {"/a\\b", "a\\b"},     {"/a?b", "a"},        {"/a?/../..", "a"},
        {"/a#b", "a"},        {"/a%3fb", "a?b"},     {"/a%23b", "a#b"},    {"/?", "."},
        {"/%ff", "\xff"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char path[64];

        assert_int_equal(gyrei_http_path(rows[i][0], path, sizeof(path)), 0);
        assert_string_equal(path, rows[i][1]);
    }
}

static void test_what_is_no_path(void **state)
{
    static const char *const texts[] = {
        "",           "a",       "*",          "?",       "/..",           "/../a", "/a/../..",
        "/a/../../",  "/%2e%2e", "/%2e./a",    "/..%2fa", "/%2f..%2fa",    "/./..", "//..",
        "/a//..//..", "/%",      "/%2",        "/%zz",    "/%2",           "/%00",  "/a%00b",
        "/%+1",       "/% 1",    "/a/..%2f..", "/%2G",    "/a/b/../../..",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        char path[64];

        assert_int_equal(gyrei_http_path(texts[i], path, sizeof(path)), GYRE_EINVAL);
    }
}

/* Whatever the target: no segment that comes out is "..". */
static void test_paths_stay_inside(void **state)
{
    static const char letters[] = "/.%2ea\\";
    uint32_t seed = 1;

    (void)state;
    for (int round = 0; round < 200000; round++) {
        char target[24] = "/";
        const size_t max = 4 + (size_t)(round % 20);
        char *path = test_malloc(max);

        for (size_t i = 1; i < sizeof(target) - 1; i++) {
            seed = seed * 1664525 + 1013904223;
            target[i] = letters[(seed >> 16) % (sizeof(letters) - 1)];
        }
        target[1 + (size_t)(seed >> 8) % (sizeof(target) - 1)] = '\0';
        if (gyrei_http_path(target, path, max) == 0) {
            assert_true(strlen(path) < max);
            assert_true(path[0] != '/' && path[0] != '\0');
            assert_true(strncmp(path, "../", 3) != 0 && strcmp(path, "..") != 0);
            assert_null(strstr(path, "/../"));
            assert_true(strlen(path) < 3 || strcmp(path + strlen(path) - 3, "/..") != 0);
        }
        test_free(path);
    }
}

static void test_long_paths(void **state)
{
    char path[16];

    (void)state;
    assert_int_equal(gyrei_http_path("/0123456789ab", path, sizeof(path)), 0);
    assert_string_equal(path, "0123456789ab");
    assert_int_equal(gyrei_http_path("/0123456789abcdef", path, sizeof(path)), GYRE_EINVAL);
    assert_int_equal(gyrei_http_path("/a/../a/../a/../a/../a/../a/../a", path, sizeof(path)), 0);
    assert_string_equal(path, "a");
}

/* ---- words ---- */

static void test_types(void **state)
{
    (void)state;
    assert_string_equal(gyrei_http_type("a.html"), "text/html; charset=utf-8");
    assert_string_equal(gyrei_http_type("a/b.c/x.PNG"), "image/png");
    assert_string_equal(gyrei_http_type("a.png/x"), "application/octet-stream");
    assert_string_equal(gyrei_http_type("a."), "application/octet-stream");
    assert_string_equal(gyrei_http_type(""), "application/octet-stream");
    assert_string_equal(gyrei_http_type("html"), "application/octet-stream");
    assert_string_equal(gyrei_http_type("a.html.txt"), "text/plain; charset=utf-8");
}

static void test_reasons(void **state)
{
    (void)state;
    assert_string_equal(gyrei_http_reason(200), "OK");
    assert_string_equal(gyrei_http_reason(431), "Request Header Fields Too Large");
    for (int status = 100; status < 600; status++)
        assert_true(strlen(gyrei_http_reason(status)) > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_ranges_beyond_the_end),
        cmocka_unit_test(test_what_is_no_range),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_every_day_there_and_back),
        cmocka_unit_test(test_old_forms_of_dates),
        cmocka_unit_test(test_what_is_no_date),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_what_is_no_path),
        cmocka_unit_test(test_paths_stay_inside),
        cmocka_unit_test(test_long_paths),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_reasons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
