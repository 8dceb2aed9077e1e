/* The command line of a micro benchmark program:
 *     micro_NAME timers N | turns | startup | wake [--same] | pending | flood SENDERS */
#include "micro.h"

#include "../common/util.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cpu_set_t processors;

void micro_print(const char *name, double value)
{
    printf("%s %.3f\n", name, value);
}

uint32_t micro_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

void micro_pin(unsigned n)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &processors) && n-- == 0) {
            CPU_SET(cpu, &one);
            pthread_setaffinity_np(pthread_self(), sizeof one, &one);
            return;
        }
    }
}

static int usage(const char *name)
{
    fprintf(stderr, "usage: %s timers N | turns | startup | wake [--same] | pending | flood N\n",
            name);
    return 2;
}

static int run_named(const char *name, const char *argument)
{
    if (strcmp(name, "turns") == 0) {
        micro_turns();
    } else if (strcmp(name, "startup") == 0) {
        micro_startup();
    } else if (strcmp(name, "wake") == 0) {
        micro_wake(argument != NULL && strcmp(argument, "--same") == 0);
    } else if (strcmp(name, "pending") == 0) {
        micro_pending();
    } else if (argument != NULL && strcmp(name, "timers") == 0) {
        micro_timers((uint32_t)strtoul(argument, NULL, 10));
    } else if (argument != NULL && strcmp(name, "flood") == 0) {
        micro_flood((uint32_t)strtoul(argument, NULL, 10));
    } else {
        return 2;
    }
    return 0;
}

int main(int argc, char **argv)
{
    bench_process_setup();
    sched_getaffinity(0, sizeof processors, &processors);
    micro_pin(0);
    if (argc < 2 || argc > 3 || run_named(argv[1], argc == 3 ? argv[2] : NULL) != 0) {
        return usage(argv[0]);
    }
    return 0;
}
