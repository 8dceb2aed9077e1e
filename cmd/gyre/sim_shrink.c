/*
 * A seed that fails, made smaller: each try leaves something out, and is kept if it fails as well.
 *
 * Tries run in child processes, since a failure may be a crash or a hang. What is left out changes
 * what the seed's random numbers are used for, so that a few seeds more are tried each time, and
 * the failure may be another one than before: it is one of the same library, and easier to read.
 */
#include "sim.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Tries end it, so that a failure is made smaller in the same way each time; time, if they hang. */
enum { TRIES_MAX = 150, SECONDS_MAX = 120, LIMIT_SECONDS_MAX = 10, SEEDS_MAX = 6 };

typedef struct shrinking {
    sim_options smallest;
    swarm_result failed; /* what the smallest came to */
    uint32_t tries;
    time_t end;
} shrinking;

static void run_in_child(const sim_options *options, uint64_t seed, int fd)
{
    swarm_result result;

    signal(SIGALRM, SIG_DFL);
    alarm((unsigned)options->limit);
    sim_run_seed(options, seed, &result);
    _exit(write(fd, &result, sizeof(result)) == (ssize_t)sizeof(result) ? EXIT_OK : EXIT_FAILED);
}

/* True if the seed fails; then `result` is what it came to, as far as it could say. */
static bool fails(const sim_options *options, uint64_t seed, swarm_result *result)
{
    int ends[2];
    int status = 0;
    pid_t child;
    bool told;

    fflush(NULL);
    if (pipe(ends) != 0)
        return false;
    child = fork();
    if (child == 0) {
        close(ends[0]);
        run_in_child(options, seed, ends[1]);
    }
    close(ends[1]);
    told = child > 0 && read(ends[0], result, sizeof(*result)) == (ssize_t)sizeof(*result);
    close(ends[0]);
    if (child > 0)
        (void)waitpid(child, &status, 0);
    if (!told)
        result->virtual_ns = 0;
    return child > 0 && (!told || result->failure[0] != '\0');
}

/* Keeps `candidate` if it fails as well, with this seed or one of the next. */
static bool try_smaller(shrinking *self, const sim_options *candidate)
{
    const uint64_t first = self->failed.seed;

    for (uint64_t seed = first; seed < first + SEEDS_MAX; seed++) {
        swarm_result result = self->failed;

        if (self->tries == TRIES_MAX || time(NULL) >= self->end)
            return false;
        self->tries++;
        if (!fails(candidate, seed, &result))
            continue;
        self->smallest = *candidate;
        self->failed = result;
        self->failed.seed = seed;
        return true;
    }
    return false;
}

static uint64_t whole_seconds(uint64_t ns)
{
    return (ns + GYRE_SECOND - 1) / GYRE_SECOND * GYRE_SECOND;
}

/* Up to the failure, and then by halves. */
static void shorten(shrinking *self)
{
    sim_options candidate = self->smallest;
    const uint64_t until_ns = whole_seconds(self->failed.virtual_ns);

    if (until_ns > 0 && until_ns < candidate.swarm.virtual_ns) {
        candidate.swarm.virtual_ns = until_ns;
        (void)try_smaller(self, &candidate);
    }
    do {
        candidate = self->smallest;
        candidate.swarm.virtual_ns = whole_seconds(candidate.swarm.virtual_ns / 2);
    } while (candidate.swarm.virtual_ns < self->smallest.swarm.virtual_ns &&
             try_smaller(self, &candidate));
}

static void leave_out_faults(shrinking *self)
{
    sim_options candidate = self->smallest;

    candidate.swarm.faults = 0;
    if (try_smaller(self, &candidate))
        return;
    for (int fault = 0; fault < GYRE_SIM_FAULTS; fault++) {
        candidate = self->smallest;
        candidate.swarm.faults &= ~(UINT64_C(1) << fault);
        if (candidate.swarm.faults != self->smallest.swarm.faults)
            (void)try_smaller(self, &candidate);
    }
}

/* Kinds that struck nobody need no try. */
static uint64_t struck(const swarm_options *options, const swarm_result *failed)
{
    uint64_t kinds = 0;

    for (int fault = 0; fault < GYRE_SIM_FAULTS; fault++)
        kinds |= (uint64_t)(failed->faults[fault] > 0) << fault;
    return failed->virtual_ns > 0 ? options->faults & kinds : options->faults;
}

void sim_shrink(const sim_options *options, const swarm_result *failed)
{
    shrinking self = {.smallest = *options, .failed = *failed, .end = time(NULL) + SECONDS_MAX};
    sim_options candidate;

    if (self.failed.scenario[0] != '\0')
        self.smallest.swarm.scenario = failed->scenario;
    if (self.smallest.limit > LIMIT_SECONDS_MAX)
        self.smallest.limit = LIMIT_SECONDS_MAX;
    /* What it takes first, while there is time for it to happen. */
    candidate = self.smallest;
    candidate.swarm.faults = struck(&candidate.swarm, &self.failed);
    (void)try_smaller(&self, &candidate);
    leave_out_faults(&self);
    candidate = self.smallest;
    candidate.swarm.clients_max = 1;
    (void)try_smaller(&self, &candidate);
    shorten(&self);
    printf("  shrunk (%u tries): ", (unsigned)self.tries);
    sim_print_command(&self.smallest, self.failed.seed);
    if (self.failed.failure[0] != '\0')
        printf("    which fails after %llu s: %s\n",
               (unsigned long long)(self.failed.virtual_ns / GYRE_SECOND), self.failed.failure);
    fflush(stdout);
}
