/*
 * One seed: a world is built, faults strike, the world heals, the work ends, and nothing is left.
 */
#include "swarm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const scenario *const scenarios[] = {
    &scenario_echo,   &scenario_request, &scenario_proxy,
    &scenario_timers, &scenario_storm,   &scenario_group,
#if defined(GYRE_HAVE_HTTP)
    &scenario_http,
#endif
};
enum { SCENARIOS = sizeof(scenarios) / sizeof(scenarios[0]), GONE = 0xDD, QUIT_SECONDS = 40 };

/* What the faults left behind ends by its deadlines; then work must be done. */
static const uint64_t settle_ns = 30 * GYRE_SECOND;
static const uint64_t heal_max_ns = 60 * GYRE_SECOND;

/* The highest rate that a fault may get: past it little work would ever be done. */
static const uint32_t rate_max[GYRE_SIM_FAULTS] = {
    [GYRE_SIM_LATENCY] = 20000,       [GYRE_SIM_LOSS] = 20000,
    [GYRE_SIM_SHORT_READ] = 500000,   [GYRE_SIM_SHORT_WRITE] = 500000,
    [GYRE_SIM_SEND_BLOCKED] = 300000, [GYRE_SIM_SEND_ENOBUFS] = 2000,
    [GYRE_SIM_RESET] = 2000,          [GYRE_SIM_HALF_CLOSED] = 1000,
    [GYRE_SIM_REFUSED] = 100000,      [GYRE_SIM_BLACKHOLED] = 30000,
    [GYRE_SIM_SLOW_CONNECT] = 50000,  [GYRE_SIM_UNREACHABLE] = 50000,
    [GYRE_SIM_ABORTED] = 100000,      [GYRE_SIM_EMFILE] = 100000,
    [GYRE_SIM_ENFILE] = 50000,        [GYRE_SIM_ENOBUFS] = 50000,
    [GYRE_SIM_ENOMEM] = 20000,        [GYRE_SIM_INTERRUPTED] = 200000,
    [GYRE_SIM_SPURIOUS] = 300000,     [GYRE_SIM_LATE] = 100000,
    [GYRE_SIM_REORDERED] = 500000,    [GYRE_SIM_QUEUE_FULL] = 200000,
    [GYRE_SIM_DELAYED] = 100000,      [GYRE_SIM_MULTISHOT_ENDED] = 300000,
    [GYRE_SIM_LATE_CANCEL] = 300000,  [GYRE_SIM_SLOW_JOB] = 100000,
    [GYRE_SIM_PREEMPTED] = 100000,    [GYRE_SIM_PARTITION] = 10000,
    [GYRE_SIM_CRASH] = 5000,          [GYRE_SIM_POWER_LOSS] = 5000,
    [GYRE_SIM_PAUSE] = 10000,         [GYRE_SIM_CLOCK_STALL] = 50000,
};

void swarm_fail(swarm *self, const char *file, int line, const char *what)
{
    const char *name = strrchr(file, '/');

    if (self->failure[0] == '\0')
        snprintf(self->failure, sizeof(self->failure), "%s:%d: %s", name != NULL ? name + 1 : file,
                 line, what);
}

uint64_t draw(const program *self, uint64_t limit)
{
    return limit == 0 ? 0 : gyre_sim_random(self->swarm->sim) % limit;
}

bool one_in(const program *self, uint64_t chance)
{
    return draw(self, chance) == 0;
}

uint64_t swarm_clients(swarm *self, uint64_t most)
{
    const uint64_t count = 1 + gyre_sim_random(self->sim) % most;
    const uint64_t max = self->options->clients_max;

    return max > 0 && max < count ? max : count;
}

uint32_t host_of(const program *self)
{
    return (uint32_t)(self - self->swarm->programs);
}

void host_address(const program *self, uint32_t host, uint16_t port, gyre_address *address)
{
    gyre_sim_host_address(self->swarm->programs[host].host, port, address);
}

/* ---- objects ---- */

void *object_new(program *owner, uint32_t bytes)
{
    object *self = calloc(1, bytes);

    if (self == NULL)
        abort();
    self->owner = owner;
    self->bytes = bytes;
    self->next = &owner->objects;
    self->prev = owner->objects.prev;
    self->prev->next = self;
    owner->objects.prev = self;
    return self;
}

static void discard(object *self)
{
    self->prev->next = self->next;
    self->next->prev = self->prev;
    memset(self, GONE, self->bytes);
    free(self);
}

void object_free(object *self)
{
    EXPECT(self->owner, self->owed == 0);
    discard(self);
}

void object_opened(object *self)
{
    self->handles++;
}

void object_closed(object *self)
{
    EXPECT(self->owner, self->handles > 0);
    /* The program's state lasts as long as the program: others look at it. */
    if (--self->handles == 0 && self != self->owner->state)
        object_free(self);
}

void object_owes(object *self)
{
    self->owed++;
}

void object_paid(object *self)
{
    EXPECT(self->owner, self->owed > 0);
    self->owed--;
}

static void discard_all(program *self)
{
    object *each = self->objects.next;

    while (each != &self->objects) {
        object *next = each->next;

        discard(each);
        each = next;
    }
    self->state = NULL;
}

/* ---- programs ---- */

static int boot(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    program *self = ctx;

    (void)host;
    self->loop = loop;
    self->busy = 0;
    self->tracker = tracker_new(self);
    return self->role->boot(self);
}

/* Its memory is gone, and with it what the library owed. It boots again later. */
static void crashed(gyre_sim_host *host, void *ctx)
{
    program *self = ctx;

    self->loop = NULL;
    tracker_free(self->tracker);
    self->tracker = NULL;
    discard_all(self);
    if (!self->quitting)
        gyre_sim_host_restart(host, draw(self, 5 * GYRE_SECOND));
}

program *swarm_add(swarm *self, const char *name, const role *plays, uint64_t quota)
{
    program *added = &self->programs[self->count++];

    if (self->count > PROGRAMS_MAX)
        abort();
    added->swarm = self;
    added->role = plays;
    added->wanted = UINT64_MAX;
    added->quota = quota;
    added->objects.next = &added->objects;
    added->objects.prev = &added->objects;
    if (gyre_sim_host_init(self->sim, &added->host, name, boot, crashed, added) != 0)
        abort();
    return added;
}

/* ---- faults ---- */

/* Half of the faults, each at a rate of its own: a different storm for each seed. */
static void set_faults(swarm *self)
{
    for (int fault = 0; fault < GYRE_SIM_FAULTS; fault++) {
        const uint64_t number = gyre_sim_random(self->sim);
        const uint32_t shift = (uint32_t)(number >> 8) % 6;
        const bool may = (self->options->faults >> fault & 1) != 0;
        const uint32_t rate = may && (number & 1) != 0 ? rate_max[fault] >> shift : 0;

        gyre_sim_set_fault(self->sim, (gyre_sim_fault)fault, rate);
    }
}

/* ---- phases ---- */

static bool all_done(const swarm *self)
{
    for (uint32_t i = 0; i < self->count; i++) {
        if (self->programs[i].done < self->programs[i].wanted)
            return false;
    }
    return true;
}

static bool is_failed(swarm *self)
{
    if (self->failure[0] == '\0' && gyre_sim_failure(self->sim) != NULL)
        swarm_fail(self, __FILE__, __LINE__, gyre_sim_failure(self->sim));
    if (self->options->fail_on >= 0 &&
        gyre_sim_fault_count(self->sim, (gyre_sim_fault)self->options->fail_on) > 0)
        swarm_fail(self, __FILE__, __LINE__, "the fault of --fail-on has struck");
    return self->failure[0] != '\0';
}

static void run_for(swarm *self, uint64_t for_ns, bool until_done)
{
    const uint64_t end_ns = gyre_sim_now_ns(self->sim) + for_ns;

    while (gyre_sim_now_ns(self->sim) < end_ns && !is_failed(self)) {
        uint64_t next_ns = gyre_sim_now_ns(self->sim) + GYRE_SECOND;

        if (until_done && all_done(self))
            return;
        gyre_sim_run_until(self->sim, next_ns < end_ns ? next_ns : end_ns);
    }
}

static bool all_quiet(const swarm *self)
{
    for (uint32_t i = 0; i < self->count; i++) {
        const program *each = &self->programs[i];

        if (each->closes && each->loop != NULL && gyre_loop_alive(each->loop))
            return false;
    }
    return true;
}

/* Half of the programs close what they have, the others are shut down around it. */
static void quit_programs(swarm *self)
{
    for (uint32_t i = 0; i < self->count; i++) {
        program *each = &self->programs[i];

        each->quitting = true;
        each->closes = each->loop != NULL && each->role->quit != NULL &&
                       (each->role->always_quits || one_in(each, 2));
        if (each->closes)
            each->role->quit(each);
    }
    for (int second = 0; second < QUIT_SECONDS && !all_quiet(self) && !is_failed(self); second++)
        gyre_sim_run_until(self->sim, gyre_sim_now_ns(self->sim) + GYRE_SECOND);
    if (!is_failed(self) && !all_quiet(self))
        swarm_fail(self, __FILE__, __LINE__, "a program that closes everything does not end");
}

static void shut_down(program *each)
{
    gyre_sim_usage usage;

    if (each->loop == NULL)
        return;
    EXPECT(each, gyre_sim_host_shutdown(each->host, GYRE_SECOND) == 0);
    each->loop = NULL;
    for (object *one = each->objects.next; one != &each->objects; one = one->next)
        EXPECT(each, one->owed == 0);
    gyre_sim_host_usage(each->host, &usage);
    EXPECT(each, usage.blocks == 0);
    EXPECT(each, usage.descriptors == 0);
    tracker_free(each->tracker);
    each->tracker = NULL;
}

static void run_phases(swarm *self, const swarm_options *options)
{
    set_faults(self);
    run_for(self, options->virtual_ns, false);
    gyre_sim_heal(self->sim);
    self->healed = true;
    run_for(self, settle_ns, false);
    self->calm = true;
    for (uint32_t i = 0; i < self->count; i++)
        self->programs[i].wanted = self->programs[i].done + self->programs[i].quota;
    run_for(self, heal_max_ns - settle_ns, true);
    if (!is_failed(self) && !all_done(self))
        swarm_fail(self, __FILE__, __LINE__, "work is not done 60 s after the world healed");
    if (!is_failed(self))
        quit_programs(self);
    for (uint32_t i = 0; i < self->count && !is_failed(self); i++)
        shut_down(&self->programs[i]);
}

static void print_trace(void *ctx, const gyre_sim_trace_event *event)
{
    (void)ctx;
    printf("%14llu %-8s %s %lld %lld\n", (unsigned long long)event->now_ns,
           event->host != NULL ? event->host : "-", event->what, (long long)event->a,
           (long long)event->b);
}

static const scenario *choose(swarm *self, const swarm_options *options)
{
    const uint64_t number = gyre_sim_random(self->sim);

    for (int i = 0; options->scenario != NULL && i < SCENARIOS; i++) {
        if (strcmp(scenarios[i]->name, options->scenario) == 0)
            return scenarios[i];
    }
    return scenarios[number % SCENARIOS];
}

bool swarm_knows(const char *scenario_name)
{
    for (int i = 0; i < SCENARIOS; i++) {
        if (strcmp(scenarios[i]->name, scenario_name) == 0)
            return true;
    }
    return false;
}

void swarm_run(uint64_t seed, const swarm_options *options, swarm_result *result)
{
    const gyre_sim_options world = {.size = sizeof(world), .seed = seed, .mode = options->mode};
    swarm *self = calloc(1, sizeof(*self));
    const scenario *chosen;

    if (self == NULL || gyre_sim_init(&self->sim, &world) != 0)
        abort();
    self->seed = seed;
    self->options = options;
    if (options->trace)
        gyre_sim_set_trace(self->sim, print_trace, NULL);
    chosen = choose(self, options);
    chosen->build(self);
    run_phases(self, options);
    *result = (swarm_result){.seed = seed,
                             .virtual_ns = gyre_sim_now_ns(self->sim),
                             .events = gyre_sim_events(self->sim),
                             .hash = gyre_sim_hash(self->sim)};
    for (int fault = 0; fault < GYRE_SIM_FAULTS; fault++)
        result->faults[fault] = gyre_sim_fault_count(self->sim, (gyre_sim_fault)fault);
    for (uint32_t i = 0; i < self->count; i++) {
        result->done += self->programs[i].done;
        self->programs[i].quitting = true;
    }
    snprintf(result->scenario, sizeof(result->scenario), "%s", chosen->name);
    snprintf(result->failure, sizeof(result->failure), "%s", self->failure);
    gyre_sim_close(self->sim);
    for (uint32_t i = 0; i < self->count; i++)
        discard_all(&self->programs[i]);
    free(self);
}
