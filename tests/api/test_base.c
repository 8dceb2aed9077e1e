/*
 * The small things: the table of errors, the version, buffers, assertions.
 */
#include "fixture.h"

#include <errno.h>
#include <string.h>

static const struct {
    const char *name;
    const char *text;
    int value;
} errors[] = {
#define ENTRY(name, value, text) {#name, text, value},
    GYRE_ERROR_MAP(ENTRY)
#undef ENTRY
};
enum { ERRORS = sizeof(errors) / sizeof(errors[0]) };

static void each_error_has_its_own_number_name_and_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < ERRORS; i++) {
        assert_true(errors[i].value < 0);
        assert_string_equal(gyre_errname(errors[i].value), errors[i].name);
        assert_string_equal(gyre_strerror(errors[i].value), errors[i].text);
        for (size_t other = 0; other < i; other++) {
            assert_int_not_equal(errors[i].value, errors[other].value);
            assert_string_not_equal(errors[i].text, errors[other].text);
        }
    }
}

static void what_linux_knows_has_its_number(void **state)
{
    (void)state;
    assert_int_equal(GYRE_EAGAIN, -EAGAIN);
    assert_int_equal(GYRE_ECONNRESET, -ECONNRESET);
    assert_int_equal(GYRE_ECANCELED, -ECANCELED);
    assert_int_equal(GYRE_ENOTSUP, -EOPNOTSUPP);
}

static void other_numbers_have_a_name_too(void **state)
{
    static const int64_t others[] = {1, -3, -3999, -4003, INT64_MIN, INT64_MAX, -4294967307};

    (void)state;
    assert_string_equal(gyre_errname(0), "OK");
    assert_non_null(gyre_strerror(0));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_string_equal(gyre_errname(others[i]), "EUNKNOWN");
        assert_string_equal(gyre_strerror(others[i]), "unknown error");
    }
}

static void the_version_is_that_of_the_header(void **state)
{
    (void)state;
    assert_string_equal(gyre_version(), GYRE_VERSION_STRING);
}

static void a_buffer_is_its_two_values(void **state)
{
    const char bytes[] = "bytes";
    const gyre_buf buf = gyre_buf_init(bytes, 3);
    const gyre_buf empty = gyre_buf_init(NULL, 0);

    (void)state;
    assert_ptr_equal(buf.base, bytes);
    assert_int_equal(buf.len, 3);
    assert_null(empty.base);
    assert_int_equal(empty.len, 0);
}

static void break_an_assertion(void)
{
    GYRE_ASSERT(loop == NULL && 1 > 2);
}

static void keep_an_assertion(void)
{
    GYRE_ASSERT(1 < 2);
}

static void a_broken_assertion_ends_the_program(void **state)
{
    (void)state;
    assert_true(aborts(break_an_assertion));
    assert_false(aborts(keep_an_assertion));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_error_has_its_own_number_name_and_text),
        cmocka_unit_test(what_linux_knows_has_its_number),
        cmocka_unit_test(other_numbers_have_a_name_too),
        cmocka_unit_test(the_version_is_that_of_the_header),
        cmocka_unit_test(a_buffer_is_its_two_values),
        cmocka_unit_test(a_broken_assertion_ends_the_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
