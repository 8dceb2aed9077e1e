/*
 * gyre sim: runs seeds of the swarm, several at a time, each in a child process so that one that
 * aborts or hangs is a finding and not the end.
 */
#include "swarm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char help[] =
    "usage: gyre sim [options]\n\n"
    "Runs programs on a simulated kernel: virtual time, a faulty network, one seed for all.\n\n"
    "options:\n"
    "  --seed N          run one seed\n"
    "  --seeds A..B      run these seeds; --seeds N runs N of them\n"
    "  --from S          the first of N seeds (default 1)\n"
    "  --mode NAME       readiness, completion or both (default: by seed)\n"
    "  --scenario NAME   echo, request, timers, storm or http (default: by seed)\n"
    "  --minutes M       virtual minutes with faults, for each seed (default 10)\n"
    "  --hours H         the same in hours\n"
    "  --jobs N          seeds at a time (default: the number of processors)\n"
    "  --limit S         real seconds that a seed may take (default 60)\n"
    "  --twice           run each seed twice and compare\n"
    "  --quiet           print failures and totals only\n"
    "  --trace           print what happens; for one seed\n"
    "  --help            this page\n";

enum { JOBS_MAX = 64, LIMIT_SECONDS = 60 };

typedef struct sim_options {
    swarm_options swarm;
    const char *mode;
    uint64_t first;
    uint64_t last;
    uint64_t jobs;
    uint64_t limit;
    bool twice;
    bool quiet;
} sim_options;

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

static void print_replay(const sim_options *options, uint64_t seed)
{
    printf("  replay: gyre sim --seed %llu", (unsigned long long)seed);
    if (options->mode != NULL)
        printf(" --mode %s", options->mode);
    if (options->swarm.scenario != NULL)
        printf(" --scenario %s", options->swarm.scenario);
    printf(" --minutes %llu --trace\n",
           (unsigned long long)(options->swarm.virtual_ns / (60 * GYRE_SECOND)));
}

static void print_failure(const sim_options *options, uint64_t seed, const char *what)
{
    printf("seed %llu FAILED: %s\n", (unsigned long long)seed, what);
    print_replay(options, seed);
    fflush(stdout);
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
    if (result->failure[0] != '\0') {
        sum->failures++;
        print_failure(options, result->seed, result->failure);
    }
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

static void run_seed(const sim_options *options, uint64_t seed, swarm_result *result)
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
        run_seed(options, seed, &result);
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
    int status = 0;
    char what[FAILURE_MAX];

    close(self->fd);
    self->fd = -1;
    (void)waitpid(self->pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK)
        return;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        snprintf(what, sizeof(what), "did not end within %u s", (unsigned)options->limit);
    else
        snprintf(what, sizeof(what), "the process died (status %x)", (unsigned)status);
    sum->seeds++;
    sum->failures++;
    print_failure(options, self->seed, what);
    if (options->last - self->seed >= options->jobs)
        (void)start(options, self, self->seed + options->jobs);
}

static bool collect(const sim_options *options, totals *sum, worker *workers)
{
    struct pollfd fds[JOBS_MAX];
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
    worker workers[JOBS_MAX] = {{.fd = -1}};
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

    run_seed(options, options->first, &result);
    take(options, &sum, &result);
    if (!options->quiet)
        print_totals(&sum);
    return sum.failures == 0 ? EXIT_OK : EXIT_FAILED;
}

/* ---- the command line ---- */

static bool read_number(const char *text, uint64_t *number)
{
    char *end;

    errno = 0;
    *number = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

static bool read_seeds(const char *text, sim_options *options, uint64_t *count)
{
    const char *dots = strstr(text, "..");
    char first[24];

    if (dots == NULL)
        return read_number(text, count) && *count > 0;
    if ((size_t)(dots - text) >= sizeof(first))
        return false;
    memcpy(first, text, (size_t)(dots - text));
    first[dots - text] = '\0';
    return read_number(first, &options->first) && read_number(dots + 2, &options->last) &&
           options->first <= options->last;
}

static bool read_mode(const char *text, sim_options *options)
{
    options->mode = text;
    options->swarm.mode = strcmp(text, "readiness") == 0    ? GYRE_SIM_READINESS
                          : strcmp(text, "completion") == 0 ? GYRE_SIM_COMPLETION
                                                            : GYRE_SIM_BY_SEED;
    return options->swarm.mode != GYRE_SIM_BY_SEED || strcmp(text, "both") == 0;
}

/* An option with a value; false: not one, or not a value for it. */
static bool read_value(sim_options *options, int argc, char **argv, int *at, uint64_t *count)
{
    bool missing = false;
    const char *value;
    uint64_t number;

    if ((value = option_value("--seeds", argc, argv, at, &missing)) != NULL)
        return read_seeds(value, options, count);
    if ((value = option_value("--seed", argc, argv, at, &missing)) != NULL) {
        *count = 1;
        return read_number(value, &options->first);
    }
    if ((value = option_value("--from", argc, argv, at, &missing)) != NULL)
        return read_number(value, &options->first);
    if ((value = option_value("--mode", argc, argv, at, &missing)) != NULL)
        return read_mode(value, options);
    if ((value = option_value("--scenario", argc, argv, at, &missing)) != NULL) {
        options->swarm.scenario = value;
        return swarm_knows(value);
    }
    if ((value = option_value("--jobs", argc, argv, at, &missing)) != NULL)
        return read_number(value, &options->jobs) && options->jobs > 0 && options->jobs <= JOBS_MAX;
    if ((value = option_value("--limit", argc, argv, at, &missing)) != NULL)
        return read_number(value, &options->limit) && options->limit < UINT32_MAX;
    if ((value = option_value("--minutes", argc, argv, at, &missing)) != NULL) {
        options->swarm.virtual_ns = 60 * GYRE_SECOND;
    } else {
        value = option_value("--hours", argc, argv, at, &missing);
        options->swarm.virtual_ns = UINT64_C(3600) * GYRE_SECOND;
    }
    if (value == NULL || !read_number(value, &number) || number > 10000)
        return false;
    options->swarm.virtual_ns *= number;
    return true;
}

static bool read_switch(sim_options *options, const char *name)
{
    if (strcmp(name, "--twice") == 0)
        options->twice = true;
    else if (strcmp(name, "--quiet") == 0)
        options->quiet = true;
    else if (strcmp(name, "--trace") == 0)
        options->swarm.trace = true;
    else
        return false;
    return true;
}

int gyre_cmd_sim(int argc, char **argv)
{
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    sim_options options = {
        .first = 1, .limit = LIMIT_SECONDS, .jobs = processors > 0 ? (uint64_t)processors : 1};
    uint64_t count = 0;

    options.swarm.virtual_ns = 600 * GYRE_SECOND;
    if (options.jobs > JOBS_MAX)
        options.jobs = JOBS_MAX;
    for (int at = 1; at < argc;) {
        const char *name = argv[at];

        if (strcmp(name, "--help") == 0) {
            fputs(help, stdout);
            return EXIT_OK;
        }
        if (read_switch(&options, name))
            at++;
        else if (!read_value(&options, argc, argv, &at, &count))
            return fail(EXIT_USAGE,
                        "sim: \"%s\" is no option, or has no such value; "
                        "try gyre sim --help",
                        name);
    }
    if (count > 0)
        options.last = options.first + (count - 1);
    else if (options.last == 0)
        options.last = options.first + 99;
    return count == 1 ? run_one(&options) : run_all(&options);
}
