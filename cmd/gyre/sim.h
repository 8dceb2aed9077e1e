/*
 * gyre sim: what the files of the command share.
 */
#ifndef GYRE_CMD_SIM_H
#define GYRE_CMD_SIM_H

#include "swarm.h"

enum { SIM_JOBS_MAX = 64 };

typedef struct sim_options {
    swarm_options swarm;
    uint64_t first;
    uint64_t last;
    uint64_t jobs;
    uint64_t limit; /* real seconds that a seed may take */
    bool twice;
    bool quiet;
    bool no_shrink;
    bool help; /* was asked for, and given */
} sim_options;

/* ---- sim.c ---- */

/* Runs a seed, twice if asked for, in this process. */
void sim_run_seed(const sim_options *options, uint64_t seed, swarm_result *result);

/* ---- sim_options.c ---- */

/* An exit code; EXIT_USAGE has said what is wrong. */
int sim_read_options(int argc, char **argv, sim_options *options);
/* The command line that runs the seed again, ended by a line feed. */
void sim_print_command(const sim_options *options, uint64_t seed);

/* ---- sim_shrink.c ---- */

/*
 * Looks for less that fails as well: a shorter time, one client, fewer kinds of faults. `failed` is
 * what the seed came to, and `options` are what it was run with. Prints the command that is left.
 */
void sim_shrink(const sim_options *options, const swarm_result *failed);

#endif
