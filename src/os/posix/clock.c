/*
 * Clocks, environment variables and pages.
 */
#include "os/os.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;
    const int failed = clock_gettime(clock, &now);

    GYRE_ASSERT(failed == 0);
    return (uint64_t)now.tv_sec * GYRE_SECOND + (uint64_t)now.tv_nsec;
}

uint64_t gyrei_os_now_ns(const gyrei_env *env)
{
    (void)env;
    return read_clock(CLOCK_MONOTONIC);
}

int64_t gyrei_os_wall_ns(const gyrei_env *env)
{
    (void)env;
    return (int64_t)read_clock(CLOCK_REALTIME);
}

const char *gyrei_os_variable(const gyrei_env *env, const char *name)
{
    (void)env;
    return getenv(name);
}

void *gyrei_os_map(const gyrei_env *env, size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)env;
    return pages == MAP_FAILED ? NULL : pages;
}

void gyrei_os_unmap(const gyrei_env *env, void *pages, size_t bytes)
{
    const int failed = munmap(pages, bytes);

    (void)env;
    GYRE_ASSERT(failed == 0);
}
