/*
 * gyre sim: runs seeds of the swarm, several at a time, each in a child process so that one that
 * aborts or hangs is a finding and not the end.
 */
#include "sim.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SHRUNK_MAX = 3 };

typedef struct totals {
    uint64_t seeds;
    uint64_t failures;
    uint64_t events;
    uint64_t done;
    uint64_t virtual_ns;
    uint64_t faults[GYRE_SIM_FAULTS];
} totals;

typedef struct worker {
    pid_t pid;
    int fd;
    uint64_t seed; /* that it works on */
} worker;

/* ---- what is printed ---- */

/* The first failures are made smaller, too: that takes a hundred runs each. */
static void print_failure(const sim_options *options, const swarm_result *result, uint64_t failures)
{
    printf("seed %llu FAILED: %s\n  replay: ", (unsigned long long)result->seed, result->failure);
    sim_print_command(options, result->seed);
    fflush(stdout);
    if (failures <= SHRUNK_MAX && !options->swarm.trace && !options->no_shrink)
        sim_shrink(options, result);
}

/* One line that is written over, where somebody looks on. */
static void print_progress(const sim_options *options, const totals *sum)
{
    const uint64_t all = options->last - options->first + 1;

    if (!isatty(STDERR_FILENO) || (!options->quiet && isatty(STDOUT_FILENO)))
        return;
    fprintf(stderr, "\r%llu of %llu seeds, %llu failed%s", (unsigned long long)sum->seeds,
            (unsigned long long)all, (unsigned long long)sum->failures,
            sum->seeds == all ? "\n" : "");
}

static void take(const sim_options *options, totals *sum, const swarm_result *result)
{
    uint64_t faults = 0;

    for (int fault = 0; fault < GYRE_SIM_FAULTS; fault++) {
        faults += result->faults[fault];
        sum->faults[fault] += result->faults[fault];
    }
    sum->seeds++;
    sum->events += result->events;
    sum->done += result->done;
    sum->virtual_ns += result->virtual_ns;
    if (!options->quiet)
        printf("seed %llu %s: %llu s, %llu events, %llu faults, %llu done, hash %016llx\n",
               (unsigned long long)result->seed, result->scenario,
               (unsigned long long)(result->virtual_ns / GYRE_SECOND),
               (unsigned long long)result->events, (unsigned long long)faults,
               (unsigned long long)result->done, (unsigned long long)result->hash);
    if (result->failure[0] != '\0')
        print_failure(options, result, ++sum->failures);
    print_progress(options, sum);
}

static void print_totals(const totals *sum)
{
    printf("%llu seeds, %llu failed; %llu virtual hours, %llu events, %llu done\n",
           (unsigned long long)sum->seeds, (unsigned long long)sum->failures,
           (unsigned long long)(sum->virtual_ns / (3600 * GYRE_SECOND)),
           (unsigned long long)sum->events, (unsigned long long)sum->done);
    printf("faults:");
    for (int fault = 0; fault < GYRE_SIM_FAULTS; fault++)
        printf("%s %s %llu", fault > 0 ? "," : "", gyre_sim_fault_name((gyre_sim_fault)fault),
               (unsigned long long)sum->faults[fault]);
    printf("\n");
}

/* ---- seeds ---- */

void sim_run_seed(const sim_options *options, uint64_t seed, swarm_result *result)
{
    swarm_result again;

    swarm_run(seed, &options->swarm, result);
    if (!options->twice || result->failure[0] != '\0')
        return;
    swarm_run(seed, &options->swarm, &again);
    if (again.hash != result->hash)
        snprintf(result->failure, sizeof(result->failure), "the second run's hash is %016llx",
                 (unsigned long long)again.hash);
}

/* A child: every jobs-th seed from `seed` on. */
static void work(const sim_options *options, uint64_t seed, int fd)
{
    swarm_result result;

    for (; seed <= options->last; seed += options->jobs) {
        alarm((unsigned)options->limit);
        sim_run_seed(options, seed, &result);
        if (write(fd, &result, sizeof(result)) != (ssize_t)sizeof(result))
            _exit(EXIT_FAILED);
        if (options->last - seed < options->jobs)
            break;
    }
    _exit(EXIT_OK);
}

static int start(const sim_options *options, worker *self, uint64_t seed)
{
    int ends[2];

    fflush(NULL);
    if (pipe(ends) != 0)
        return fail(EXIT_FAILED, "pipe: %s", strerror(errno));
    self->seed = seed;
    self->fd = ends[0];
    self->pid = fork();
    if (self->pid < 0)
        return fail(EXIT_FAILED, "fork: %s", strerror(errno));
    if (self->pid == 0) {
        signal(SIGALRM, SIG_DFL);
        close(ends[0]);
        work(options, seed, ends[1]);
    }
    close(ends[1]);
    return EXIT_OK;
}

/* A worker that is gone: at the end of its seeds, or in the middle of one, which is then a failure;
 * another goes on behind it. */
static void ended(const sim_options *options, totals *sum, worker *self)
{
    swarm_result result = {.seed = self->seed};
    int status = 0;

    close(self->fd);
    self->fd = -1;
    (void)waitpid(self->pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK)
        return;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        snprintf(result.failure, FAILURE_MAX, "did not end within %u s", (unsigned)options->limit);
    else
        snprintf(result.failure, FAILURE_MAX, "the process died (status %x)", (unsigned)status);
    sum->seeds++;
    print_failure(options, &result, ++sum->failures);
    if (options->last - self->seed >= options->jobs)
        (void)start(options, self, self->seed + options->jobs);
}

static bool collect(const sim_options *options, totals *sum, worker *workers)
{
    struct pollfd fds[SIM_JOBS_MAX];
    bool any = false;

    for (uint64_t i = 0; i < options->jobs; i++) {
        fds[i] = (struct pollfd){.fd = workers[i].fd, .events = POLLIN};
        any = any || workers[i].fd >= 0;
    }
    if (!any || (poll(fds, (nfds_t)options->jobs, -1) < 0 && errno != EINTR))
        return false;
    for (uint64_t i = 0; i < options->jobs; i++) {
        swarm_result result;

        if (fds[i].fd < 0 || fds[i].revents == 0)
            continue;
        if (read(fds[i].fd, &result, sizeof(result)) == (ssize_t)sizeof(result)) {
            take(options, sum, &result);
            workers[i].seed += options->jobs;
        } else {
            ended(options, sum, &workers[i]);
        }
    }
    return true;
}

static int run_all(sim_options *options)
{
    worker workers[SIM_JOBS_MAX] = {{.fd = -1}};
    totals sum = {0};

    if (options->jobs > options->last - options->first + 1)
        options->jobs = options->last - options->first + 1;
    for (uint64_t i = 0; i < options->jobs; i++) {
        if (start(options, &workers[i], options->first + i) != EXIT_OK)
            return EXIT_FAILED;
    }
    while (collect(options, &sum, workers))
        ;
    print_totals(&sum);
    return sum.failures == 0 ? EXIT_OK : EXIT_FAILED;
}

static int run_one(const sim_options *options)
{
    swarm_result result;
    totals sum = {0};

    sim_run_seed(options, options->first, &result);
    take(options, &sum, &result);
    if (!options->quiet)
        print_totals(&sum);
    return sum.failures == 0 ? EXIT_OK : EXIT_FAILED;
}

int gyre_cmd_sim(int argc, char **argv)
{
    sim_options options;
    const int code = sim_read_options(argc, argv, &options);

    if (code != EXIT_OK || options.help)
        return code;
    return options.first == options.last ? run_one(&options) : run_all(&options);
}
