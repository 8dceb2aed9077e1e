/*
 * gyre sim: the command line, read and written.
 */
#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char help[] =
    "usage: gyre sim [options]\n\n"
    "Runs programs on a simulated kernel: virtual time, a faulty network, one seed for all.\n\n"
    "options:\n"
    "  --seed N          run one seed\n"
    "  --seeds A..B      run these seeds; --seeds N runs N of them\n"
    "  --from S          the first of N seeds (default 1)\n"
    "  --mode NAME       readiness, completion or both (default: by seed)\n"
    "  --scenario NAME   echo, request, proxy, timers, storm, group or http (default: by seed)\n"
    "  --minutes M       virtual minutes with faults, for each seed (default 10)\n"
    "  --seconds S, --hours H   the same in other units\n"
    "  --faults A,B      these kinds of faults only (short-read, reset, ...); none: not one\n"
    "  --clients N       at most so many clients\n"
    "  --fail-on KIND    take it for a failure when a fault of this kind strikes\n"
    "  --jobs N          seeds at a time (default: the number of processors)\n"
    "  --limit S         real seconds that a seed may take (default 60)\n"
    "  --twice           run each seed twice and compare\n"
    "  --quiet           print failures and totals only\n"
    "  --trace           print what happens; for one seed\n"
    "  --no-shrink       a seed that fails is not made smaller\n"
    "  --help            this page\n";

enum { LIMIT_SECONDS = 60, TIME_MAX = 100000 };

/* ---- written ---- */

static uint64_t every_fault(void)
{
    return (UINT64_C(1) << GYRE_SIM_FAULTS) - 1;
}

/* A fault's name as one word. */
static const char *word_of(int fault, char *word, size_t size)
{
    snprintf(word, size, "%s", gyre_sim_fault_name((gyre_sim_fault)fault));
    for (char *at = word; *at != '\0'; at++) {
        if (*at == ' ')
            *at = '-';
    }
    return word;
}

static void print_faults(uint64_t faults)
{
    const char *before = " --faults ";
    char word[32];

    if (faults == every_fault())
        return;
    for (int fault = 0; fault < GYRE_SIM_FAULTS; fault++) {
        if ((faults >> fault & 1) == 0)
            continue;
        printf("%s%s", before, word_of(fault, word, sizeof(word)));
        before = ",";
    }
    if (faults == 0)
        printf("%snone", before);
}

void sim_print_command(const sim_options *options, uint64_t seed)
{
    const swarm_options *what = &options->swarm;
    const uint64_t seconds = what->virtual_ns / GYRE_SECOND;
    char word[32];

    printf("gyre sim --seed %llu", (unsigned long long)seed);
    if (what->mode != GYRE_SIM_BY_SEED)
        printf(" --mode %s", what->mode == GYRE_SIM_READINESS ? "readiness" : "completion");
    if (what->scenario != NULL)
        printf(" --scenario %s", what->scenario);
    if (seconds % 60 == 0)
        printf(" --minutes %llu", (unsigned long long)(seconds / 60));
    else
        printf(" --seconds %llu", (unsigned long long)seconds);
    print_faults(what->faults);
    if (what->clients_max > 0)
        printf(" --clients %u", (unsigned)what->clients_max);
    if (what->fail_on >= 0)
        printf(" --fail-on %s", word_of(what->fail_on, word, sizeof(word)));
    printf("%s --trace\n", options->twice ? " --twice" : "");
}

/* ---- read ---- */

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
    options->swarm.mode = strcmp(text, "readiness") == 0    ? GYRE_SIM_READINESS
                          : strcmp(text, "completion") == 0 ? GYRE_SIM_COMPLETION
                                                            : GYRE_SIM_BY_SEED;
    return options->swarm.mode != GYRE_SIM_BY_SEED || strcmp(text, "both") == 0;
}

/* The fault that the first `len` characters of `text` name; -1: none. */
static int read_fault(const char *text, size_t len)
{
    char word[32];

    for (int fault = 0; fault < GYRE_SIM_FAULTS; fault++) {
        (void)word_of(fault, word, sizeof(word));
        if (strlen(word) == len && strncasecmp(word, text, len) == 0)
            return fault;
    }
    return -1;
}

static bool read_faults(const char *text, uint64_t *faults)
{
    *faults = 0;
    if (strcmp(text, "none") == 0)
        return true;
    for (;;) {
        const size_t len = strcspn(text, ",");
        const int fault = read_fault(text, len);

        if (fault < 0)
            return false;
        *faults |= UINT64_C(1) << fault;
        if (text[len] == '\0')
            return true;
        text += len + 1;
    }
}

/* What makes a run smaller. */
static bool read_limit(swarm_options *what, int argc, char **argv, int *at, bool *known)
{
    bool missing = false;
    const char *value;
    uint64_t number;

    *known = true;
    if ((value = option_value("--faults", argc, argv, at, &missing)) != NULL)
        return read_faults(value, &what->faults);
    if ((value = option_value("--fail-on", argc, argv, at, &missing)) != NULL) {
        what->fail_on = read_fault(value, strlen(value));
        return what->fail_on >= 0;
    }
    if ((value = option_value("--clients", argc, argv, at, &missing)) != NULL) {
        if (!read_number(value, &number) || number == 0 || number > UINT32_MAX)
            return false;
        what->clients_max = (uint32_t)number;
        return true;
    }
    *known = missing;
    return false;
}

static const char *time_value(int argc, char **argv, int *at, uint64_t *unit_s)
{
    bool missing = false;
    const char *value = option_value("--seconds", argc, argv, at, &missing);

    *unit_s = 1;
    if (value == NULL) {
        value = option_value("--minutes", argc, argv, at, &missing);
        *unit_s = 60;
    }
    if (value == NULL) {
        value = option_value("--hours", argc, argv, at, &missing);
        *unit_s = 3600;
    }
    return value;
}

/* An option with a value; false: not one, or not a value for it. */
static bool read_value(sim_options *options, int argc, char **argv, int *at, uint64_t *count)
{
    bool missing = false;
    const char *value;
    uint64_t number;
    uint64_t unit_s;

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
        return read_number(value, &options->jobs) && options->jobs > 0 &&
               options->jobs <= SIM_JOBS_MAX;
    if ((value = option_value("--limit", argc, argv, at, &missing)) != NULL)
        return read_number(value, &options->limit) && options->limit < UINT32_MAX;
    if (read_limit(&options->swarm, argc, argv, at, &missing))
        return true;
    if (missing)
        return false;
    value = time_value(argc, argv, at, &unit_s);
    if (value == NULL || !read_number(value, &number) || number > TIME_MAX)
        return false;
    options->swarm.virtual_ns = number * unit_s * GYRE_SECOND;
    return true;
}

static bool read_switch(sim_options *options, const char *name)
{
    if (strcmp(name, "--twice") == 0)
        options->twice = true;
    else if (strcmp(name, "--quiet") == 0)
        options->quiet = true;
    else if (strcmp(name, "--no-shrink") == 0)
        options->no_shrink = true;
    else if (strcmp(name, "--trace") == 0)
        options->swarm.trace = true;
    else
        return false;
    return true;
}

int sim_read_options(int argc, char **argv, sim_options *options)
{
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t count = 0;

    *options = (sim_options){
        .first = 1, .limit = LIMIT_SECONDS, .jobs = processors > 0 ? (uint64_t)processors : 1};
    options->swarm.virtual_ns = 600 * GYRE_SECOND;
    options->swarm.faults = every_fault();
    options->swarm.fail_on = -1;
    if (options->jobs > SIM_JOBS_MAX)
        options->jobs = SIM_JOBS_MAX;
    for (int at = 1; at < argc;) {
        const char *name = argv[at];

        if (strcmp(name, "--help") == 0) {
            fputs(help, stdout);
            options->help = true;
            return EXIT_OK;
        }
        if (read_switch(options, name))
            at++;
        else if (!read_value(options, argc, argv, &at, &count))
            return fail(EXIT_USAGE,
                        "sim: \"%s\" is no option, or has no such value; "
                        "try gyre sim --help",
                        name);
    }
    if (count > 0)
        options->last = options->first + (count - 1);
    else if (options->last == 0)
        options->last = options->first + 99;
    return EXIT_OK;
}
