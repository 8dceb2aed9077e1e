/*
 * Forked children of tests: where there may be one, and how it ends.
 */
#ifndef GYRE_TEST_CHILD_H
#define GYRE_TEST_CHILD_H

/*
 * As _exit: nothing that the parent has not written yet is written twice. But what the child
 * reached is counted where coverage is measured.
 */
__attribute__((noreturn)) void child_exit(int status);

/* A thread made after a fork of several is more than TSan can follow. */
#if defined(__SANITIZE_THREAD__)
enum { CAN_FORK_THREADS = 0 };
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
enum { CAN_FORK_THREADS = 0 };
#else
enum { CAN_FORK_THREADS = 1 };
#endif
#else
enum { CAN_FORK_THREADS = 1 };
#endif

#endif
