/*
 * What the tests of the exercises are written with: named tests, each in a process of its own, so
 * that one that crashes or hangs costs only itself. No part of the exercises: nothing is to be
 * changed here.
 */
#ifndef EXERCISES_CHECK_H
#define EXERCISES_CHECK_H

#include <stddef.h>

typedef struct check_test {
    const char *name; /* the promise, as a sentence */
    void (*run)(void);
    const char *hint; /* shown when it is not kept */
} check_test;

/* Runs the tests and says which pass; with -v, each. 0: all pass, 1: not, 2: no test could run. */
int check_main(int argc, char **argv, const check_test *tests, size_t count);

/* Ends the test with a message unless `condition` holds. */
#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            check_fail(__FILE__, __LINE__, __VA_ARGS__);                                           \
    } while (0)

/* `what` is the thing that is compared, in words. */
#define CHECK_INT(actual, expected, what)                                                          \
    check_int(__FILE__, __LINE__, (long long)(actual), (long long)(expected), what)
#define CHECK_TEXT(actual, expected, what) check_text(__FILE__, __LINE__, actual, expected, what)

__attribute__((format(printf, 3, 4), noreturn)) void check_fail(const char *file, int line,
                                                                const char *format, ...);
void check_int(const char *file, int line, long long actual, long long expected, const char *what);
void check_text(const char *file, int line, const char *actual, const char *expected,
                const char *what);

#endif
