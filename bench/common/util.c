/* The helpers of util.h. Linux only, as all of bench/. */
#include "util.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

uint64_t bench_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

_Noreturn void bench_die(const char *what)
{
    int error = errno;
    fflush(stdout);
    fprintf(stderr, "%s: %s%s%s\n", program_invocation_short_name, what, error != 0 ? ": " : "",
            error != 0 ? strerror(error) : "");
    exit(1);
}

void *bench_alloc(size_t size)
{
    void *memory = malloc(size);
    if (memory == NULL) {
        bench_die("malloc");
    }
    return memory;
}

void bench_process_setup(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    errno = 0;
}
