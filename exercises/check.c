/*
 * Runs named tests, each in a child process with a time limit, and reports.
 *
 * A child is the leader of a process group, which is killed after it: a test that starts processes
 * leaves none behind. What it prints goes to a file, what it has to say about a failure through a
 * pipe.
 */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT_S = 10, TEXT_MAX = 1024, LINES_SHOWN = 40 };

typedef struct outcome {
    bool passed;
    bool hung;
    char message[TEXT_MAX];
} outcome;

static int report_fd = -1;

static void say(const char *text)
{
    ssize_t written = write(report_fd, text, strlen(text));

    (void)written;
}

static void fail(const char *text)
{
    say(text);
    _exit(1);
}

void check_fail(const char *file, int line, const char *format, ...)
{
    const char *slash = strrchr(file, '/');
    char text[TEXT_MAX / 2];
    char whole[TEXT_MAX];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void)snprintf(whole, sizeof(whole), "%s (%s:%d)\n", text, slash != NULL ? slash + 1 : file,
                   line);
    fail(whole);
    abort();
}

void check_int(const char *file, int line, long long actual, long long expected, const char *what)
{
    if (actual != expected)
        check_fail(file, line, "%s: expected %lld, got %lld", what, expected, actual);
}

void check_text(const char *file, int line, const char *actual, const char *expected,
                const char *what)
{
    if (strcmp(actual, expected) != 0)
        check_fail(file, line, "%s: expected \"%s\", got \"%s\"", what, expected, actual);
}

static unsigned limit_s(void)
{
    const char *text = getenv("EXERCISES_LIMIT_S");
    const long limit = text != NULL ? strtol(text, NULL, 10) : 0;

    return limit > 0 && limit < 1000 ? (unsigned)limit : LIMIT_S;
}

static void run_child(const check_test *test, int report, FILE *output)
{
    report_fd = report;
    setpgid(0, 0);
    dup2(fileno(output), STDOUT_FILENO);
    dup2(fileno(output), STDERR_FILENO);
    alarm(limit_s());
    test->run();
    fflush(stdout);
    _exit(0);
}

static void read_message(int fd, char *message)
{
    size_t length = strlen(message);
    ssize_t got;

    while ((got = read(fd, message + length, TEXT_MAX - 1 - length)) > 0)
        length += (size_t)got;
    message[length] = '\0';
    message[strcspn(message, "\n")] = '\0'; /* the first to fail says it */
}

/* The line with which a sanitizer ends, if there is one. */
static bool find_summary(FILE *output, char *message)
{
    char line[TEXT_MAX];

    rewind(output);
    while (fgets(line, sizeof(line), output) != NULL) {
        if (strncmp(line, "SUMMARY: ", 9) == 0 || strstr(line, "runtime error: ") != NULL) {
            line[strcspn(line, "\n")] = '\0';
            (void)snprintf(message, TEXT_MAX, "it crashed: %.900s", line);
            return true;
        }
    }
    return false;
}

static void judge(outcome *result, int status, FILE *output)
{
    result->passed = status == 0 && result->message[0] == '\0';
    if (result->passed || result->message[0] != '\0')
        return;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
        result->hung = true;
        (void)snprintf(result->message, TEXT_MAX,
                       "it hung: no end within %u s (an endless loop, or a wait for something that"
                       " never comes)",
                       limit_s());
    } else if (!find_summary(output, result->message) && WIFSIGNALED(status)) {
        (void)snprintf(result->message, TEXT_MAX, "it crashed: %s", strsignal(WTERMSIG(status)));
    } else if (result->message[0] == '\0') {
        (void)snprintf(result->message, TEXT_MAX, "the program ended itself with status %d",
                       WEXITSTATUS(status));
    }
}

static int run_test(const check_test *test, FILE *output, outcome *result)
{
    int ends[2];
    int status = 0;
    pid_t child;

    *result = (outcome){.passed = false};
    if (pipe(ends) != 0)
        return -1;
    fflush(stdout);
    child = fork();
    if (child == 0) {
        close(ends[0]);
        run_child(test, ends[1], output);
    }
    close(ends[1]);
    if (child > 0) {
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        kill(-child, SIGKILL);
        read_message(ends[0], result->message);
        judge(result, status, output);
    }
    close(ends[0]);
    return child > 0 ? 0 : -1;
}

static void print_output(FILE *output)
{
    char line[TEXT_MAX];
    int lines = 0;

    rewind(output);
    while (fgets(line, sizeof(line), output) != NULL && lines++ < LINES_SHOWN)
        printf("          | %s%s", line, strchr(line, '\n') != NULL ? "" : "\n");
    if (lines > LINES_SHOWN)
        printf("          | ...\n");
}

static void print_failure(const check_test *test, const outcome *result)
{
    printf("   fails: %s\n          %s\n   hint:  %s\n", test->name, result->message, test->hint);
}

int check_main(int argc, char **argv, const check_test *tests, size_t count)
{
    const bool verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
    const check_test *first = NULL;
    outcome first_result = {.passed = true};
    size_t passed = 0;

    for (size_t i = 0; i < count; i++) {
        FILE *output = tmpfile();
        outcome result;

        if (output == NULL || run_test(&tests[i], output, &result) != 0) {
            perror("check");
            return 2;
        }
        passed += result.passed;
        if (verbose) {
            printf("   %s %s\n", result.passed ? "ok    " : "FAILS ", tests[i].name);
            print_output(output);
        }
        fclose(output);
        if (!result.passed && first == NULL) {
            first = &tests[i];
            first_result = result;
        }
        if (result.hung)
            break;
    }
    if (first == NULL) {
        printf("   passes: all %zu tests\n", count);
        return 0;
    }
    printf("   %zu of %zu tests pass%s\n", passed, count,
           first_result.hung ? "; after one that hangs the rest is not run" : "");
    print_failure(first, &first_result);
    return 1;
}
