/* What every program of bench/ needs: the clock, an error exit, process limits.
 * Knows nothing of loops or sockets. */
#ifndef BENCH_UTIL_H
#define BENCH_UTIL_H

#include <stddef.h>
#include <stdint.h>

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t bench_now_ns(void);

/* Prints "program: message: errno text" and exits with 1. */
_Noreturn void bench_die(const char *what);

/* malloc that never returns NULL. */
void *bench_alloc(size_t size);

/* Raises the soft descriptor limit to the hard one, ignores SIGPIPE, and asks the kernel to end
 * this process when the one that started it ends. */
void bench_process_setup(void);

#endif
