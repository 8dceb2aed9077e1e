/*
 * Conditional requests: which answer the conditions ask for, and whether a Range counts.
 */
#include "http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char tag[] = "\"abc\"";
static const int64_t modified_s = 784111777; /* Sun, 06 Nov 1994 08:49:37 GMT */

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER "Sun, 06 Nov 1994 08:49:38 GMT"

typedef struct row {
    const char *fields[4]; /* names and values by turns */
    int status;
    bool range;
} row;

/* A connection that is nothing but a parsed head. */
static int match(const row *expected, bool *use_range)
{
    static char head[512];
    gyrei_http_conn conn = {.head = head, .target_len = 1};
    size_t len = 2;

    conn.request.conn = &conn;
    memcpy(head, "/", 2);
    for (size_t i = 0; i < COUNT(expected->fields) && expected->fields[i] != NULL; i++) {
        const size_t bytes = strlen(expected->fields[i]) + 1;

        assert_true(len + bytes < sizeof(head));
        memcpy(head + len, expected->fields[i], bytes);
        len += bytes;
        conn.header_count += (uint32_t)(i % 2);
    }
    return gyrei_http_match(&conn.request, tag, modified_s, use_range);
}

static void check(const row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool use_range = !rows[i].range;

        assert_int_equal(match(&rows[i], &use_range), rows[i].status);
        assert_int_equal(use_range, rows[i].range);
    }
}

static void test_tags(void **state)
{
    static const row rows[] = {
        {{NULL}, 0, true},
        {{"If-None-Match", "\"abc\""}, 304, true},
        {{"If-None-Match", "W/\"abc\""}, 304, true},
        {{"If-None-Match", "*"}, 304, true},
        {{"If-None-Match", "\"a\", \"abc\""}, 304, true},
        {{"If-None-Match", "\"a\",W/\"b\" ,,\t\"abc\""}, 304, true},
        {{"If-None-Match", "\"a,\\\", \"abc\""}, 304, true},
        {{"If-None-Match", "\"ab\""}, 0, true},
        {{"If-None-Match", "\"abcd\""}, 0, true},
        {{"If-None-Match", "\"ABC\""}, 0, true},
        {{"If-None-Match", "abc"}, 0, true},
        {{"If-None-Match", "\"abc"}, 0, true},
        {{"If-None-Match", "\"x"}, 0, true},
        {{"If-None-Match", "w/\"abc\""}, 0, true},
        {{"If-None-Match", "W/"}, 0, true},
        {{"If-None-Match", "W/*"}, 0, true},
        {{"If-None-Match", ""}, 0, true},
        {{"If-None-Match", ",,,"}, 0, true},
        {{"If-Match", "\"abc\""}, 0, true},
        {{"If-Match", "*"}, 0, true},
        {{"If-Match", "\"a\", \"abc\""}, 0, true},
        {{"If-Match", "W/\"abc\""}, 412, true},
        {{"If-Match", "\"a\""}, 412, true},
        {{"If-Match", ""}, 412, true},
    };

    (void)state;
    check(rows, COUNT(rows));
}

static void test_dates(void **state)
{
    static const row rows[] = {
        {{"If-Modified-Since", DATE}, 304, true},     {{"If-Modified-Since", AFTER}, 304, true},
        {{"If-Modified-Since", BEFORE}, 0, true},     {{"If-Modified-Since", "never"}, 0, true},
        {{"If-Unmodified-Since", DATE}, 0, true},     {{"If-Unmodified-Since", AFTER}, 0, true},
        {{"If-Unmodified-Since", BEFORE}, 412, true}, {{"If-Unmodified-Since", "never"}, 0, true},
    };

    (void)state;
    check(rows, COUNT(rows));
}

static void test_order(void **state)
{
    static const row rows[] = {
        {{"If-Match", "\"a\"", "If-None-Match", "*"}, 412, true},
        {{"If-Match", "*", "If-None-Match", "*"}, 304, true},
        {{"If-Match", "*", "If-Unmodified-Since", BEFORE}, 0, true},
        {{"If-None-Match", "\"a\"", "If-Modified-Since", AFTER}, 0, true},
        {{"If-None-Match", "\"abc\"", "If-Modified-Since", BEFORE}, 304, true},
        {{"If-Unmodified-Since", BEFORE, "If-Modified-Since", AFTER}, 412, true},
    };

    (void)state;
    check(rows, COUNT(rows));
}

static void test_if_range(void **state)
{
    static const row rows[] = {
        {{"If-Range", "\"abc\""}, 0, true}, {{"If-Range", "W/\"abc\""}, 0, false},
        {{"If-Range", "\"a\""}, 0, false},  {{"If-Range", "*"}, 0, false},
        {{"If-Range", DATE}, 0, true},      {{"If-Range", AFTER}, 0, false},
        {{"If-Range", BEFORE}, 0, false},   {{"If-Range", ""}, 0, false},
    };

    (void)state;
    check(rows, COUNT(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_if_range),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
