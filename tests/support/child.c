/*
 * Children of tests: gcc's counters are written by exit(), which a child must not call.
 */
#include "child.h"

#include <unistd.h>

#ifdef GYRE_COVERAGE
void __gcov_dump(void); /* NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

static void save_counters(void)
{
    __gcov_dump();
}
#else
static void save_counters(void)
{
}
#endif

void child_exit(int status)
{
    save_counters();
    _exit(status);
}
