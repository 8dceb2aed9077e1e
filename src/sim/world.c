/*
 * The world: virtual time that jumps to what happens next, whose turn it is, and the trace.
 *
 *   events that are due --> one host that has something to do: a turn --> again
 *                           nobody has: the clock jumps to the next event or deadline
 *
 * All hosts run one at a time, by turns; the seed says who is next. A loop that sleeps inside
 * gyre_loop_run runs the rest of the world until it is woken. Threads of a group are the exception:
 * each has a stack of its own, threads.c, and runs until it sleeps.
 */
#include "sim/sim.h"

#include <stdlib.h>

enum {
    RATE_WHOLE = 1000000,
    BUFFER_MIN = 256,
    BUFFER_MAX = 16 << 20,
    FDS_MAX = 16 << 20,
    SPIN_TURNS = 1000000,
    /* streams of numbers, so that none disturbs another */
    STREAM_KERNEL = 1,
    STREAM_USER = 2,
    STREAM_HOST = 16
};

static const uint64_t latency_limit_ns = 3600 * GYRE_SECOND;

static gyrei_sim_random stream(uint64_t seed, uint64_t number)
{
    gyrei_sim_random random = {.state = seed ^ number * UINT64_C(0xD1342543DE82EF95)};

    random.state = gyrei_sim_next(&random);
    return random;
}

/* ---- trace ---- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 29;
}

void gyrei_sim_note(gyre_sim *sim, const gyre_sim_host *host, const char *what, int64_t a,
                    int64_t b)
{
    uint64_t hash = mix(sim->hash, sim->now_ns);

    hash = mix(hash, host != NULL ? host->id + 1 : 0);
    for (const char *letter = what; *letter != '\0'; letter++)
        hash = mix(hash, (unsigned char)*letter);
    hash = mix(hash, (uint64_t)a);
    sim->hash = mix(hash, (uint64_t)b);
    sim->notes++;
    if (sim->trace != NULL) {
        const gyre_sim_trace_event event = {.now_ns = sim->now_ns,
                                            .host = host != NULL ? host->name : NULL,
                                            .what = what,
                                            .a = a,
                                            .b = b};

        sim->trace(sim->trace_ctx, &event);
    }
}

void gyre_sim_note(gyre_sim *sim, const gyre_sim_host *host, const char *what, int64_t a, int64_t b)
{
    GYRE_ASSERT(what != NULL && (host == NULL || host->sim == sim));
    gyrei_sim_note(sim, host, what, a, b);
}

void gyre_sim_set_trace(gyre_sim *sim, gyre_sim_trace_cb cb, void *ctx)
{
    sim->trace = cb;
    sim->trace_ctx = ctx;
}

uint64_t gyre_sim_hash(const gyre_sim *sim)
{
    return sim->hash;
}

uint64_t gyre_sim_events(const gyre_sim *sim)
{
    return sim->notes;
}

uint64_t gyre_sim_now_ns(const gyre_sim *sim)
{
    return sim->now_ns;
}

uint64_t gyre_sim_random(gyre_sim *sim)
{
    return gyrei_sim_next(&sim->user);
}

const char *gyre_sim_failure(const gyre_sim *sim)
{
    return sim->failure;
}

/* ---- faults ---- */

void gyrei_sim_struck(gyre_sim *sim, gyre_sim_fault fault)
{
    sim->counts[fault]++;
    gyrei_sim_note(sim, NULL, "fault", fault, 0);
}

bool gyrei_sim_strikes(gyre_sim *sim, gyre_sim_fault fault)
{
    const uint32_t rate = sim->rates[fault];

    if (rate == 0 || gyrei_sim_below(&sim->random, RATE_WHOLE) >= rate)
        return false;
    gyrei_sim_struck(sim, fault);
    return true;
}

void gyre_sim_set_fault(gyre_sim *sim, gyre_sim_fault fault, uint32_t rate)
{
    GYRE_ASSERT((unsigned)fault < GYRE_SIM_FAULTS && rate <= RATE_WHOLE);
    sim->rates[fault] = rate;
    gyrei_sim_chaos_want(sim);
}

uint64_t gyre_sim_fault_count(const gyre_sim *sim, gyre_sim_fault fault)
{
    GYRE_ASSERT((unsigned)fault < GYRE_SIM_FAULTS);
    return sim->counts[fault];
}

const char *gyre_sim_fault_name(gyre_sim_fault fault)
{
    static const char *const names[GYRE_SIM_FAULTS] = {
        "latency",      "loss",        "short read",  "short write",     "send blocked",
        "send ENOBUFS", "reset",       "half closed", "refused",         "blackholed",
        "slow connect", "unreachable", "aborted",     "EMFILE",          "ENFILE",
        "ENOBUFS",      "ENOMEM",      "interrupted", "spurious",        "late",
        "reordered",    "queue full",  "delayed",     "multishot ended", "late cancel",
        "slow job",     "preempted",   "partition",   "crash",           "power loss",
        "pause",        "clock stall",
    };

    return (unsigned)fault < GYRE_SIM_FAULTS ? names[fault] : "none";
}

/* ---- whose turn it is ---- */

static gyre_sim_host *host_at(gyre_link *link)
{
    return GYRE_CONTAINER_OF(link, gyre_sim_host, link);
}

static void count_turn(gyre_sim *sim)
{
    sim->turns++;
    if (++sim->idle_turns == SPIN_TURNS && sim->failure == NULL)
        sim->failure = "a loop spins";
}

static uint32_t count_threads(const gyre_sim *sim)
{
    uint32_t count = 0;

    for (gyre_link *link = sim->threads.next; link != &sim->threads; link = link->next)
        count += gyrei_sim_thread_runnable(gyrei_sim_thread_at(link));
    return count;
}

static gyrei_sim_thread *find_thread(const gyre_sim *sim, uint64_t skip)
{
    gyre_link *link = sim->threads.next;

    while (!gyrei_sim_thread_runnable(gyrei_sim_thread_at(link)) || skip-- > 0) {
        link = link->next;
        GYRE_ASSERT(link != &sim->threads);
    }
    return gyrei_sim_thread_at(link);
}

/* A turn for one of those that have something to do. False: nobody has. */
static bool run_one(gyre_sim *sim)
{
    gyre_sim_host *hosts[GYREI_SIM_HOSTS_MAX];
    uint32_t host_count = 0;
    uint32_t count;
    uint64_t at;

    for (gyre_link *link = sim->hosts.next; link != &sim->hosts; link = link->next) {
        if (gyrei_sim_host_runnable(host_at(link)))
            hosts[host_count++] = host_at(link);
    }
    count = host_count + count_threads(sim);
    if (count == 0)
        return false;
    count_turn(sim);
    at = count < 2 ? 0 : gyrei_sim_below(&sim->random, count);
    if (at < host_count)
        gyrei_sim_host_turn(hosts[at]);
    else
        gyrei_sim_thread_turn(find_thread(sim, at - host_count));
    return true;
}

static uint64_t next_ns(const gyre_sim *sim)
{
    uint64_t next = gyrei_sim_next_event_ns(sim);

    for (gyre_link *link = sim->hosts.next; link != &sim->hosts; link = link->next) {
        const uint64_t wake = gyrei_sim_host_wake_ns(host_at(link));

        if (wake < next)
            next = wake;
    }
    for (gyre_link *link = sim->threads.next; link != &sim->threads; link = link->next) {
        const uint64_t wake = gyrei_sim_thread_wake_ns(gyrei_sim_thread_at(link));

        if (wake < next)
            next = wake;
    }
    return next;
}

/* One step of the world, no later than `until_ns`. False: nothing happens before that. */
static bool step(gyre_sim *sim, uint64_t until_ns)
{
    uint64_t next;

    if (gyrei_sim_fire_next(sim))
        return true;
    if (sim->failure == NULL && run_one(sim))
        return true;
    next = next_ns(sim);
    if (sim->failure != NULL || next == UINT64_MAX || next > until_ns)
        return false;
    if (next > sim->now_ns) {
        sim->now_ns = next;
        sim->idle_turns = 0;
    }
    return true;
}

bool gyrei_sim_wait(gyre_sim *sim, const gyrei_sim_wish *wish)
{
    if (sim->current != NULL)
        return gyrei_sim_thread_wait(sim->current, wish);
    while (!wish->granted(wish->ctx) && sim->now_ns < wish->until_ns) {
        if (step(sim, wish->until_ns))
            continue;
        if (wish->until_ns == UINT64_MAX || sim->failure != NULL)
            break;
        sim->now_ns = wish->until_ns;
    }
    return wish->granted(wish->ctx) || sim->now_ns >= wish->until_ns;
}

static bool loop_is_woken(const void *ctx)
{
    const gyrei_sim_loop *loop = ctx;

    return loop->woken || loop->ops->ready(loop);
}

int gyrei_sim_sleep(gyrei_sim_loop *loop, uint64_t timeout_ns)
{
    gyre_sim *sim = loop->host->sim;
    const gyrei_sim_wish wish = {
        .granted = loop_is_woken, .ctx = loop, .until_ns = gyrei_sim_after(sim, timeout_ns)};
    bool was_running;
    bool woken;

    if (!loop->driven)
        gyrei_sim_audit(loop);
    if (timeout_ns == 0) {
        gyrei_sim_thread_yield(sim);
        return 0;
    }
    if (gyrei_sim_strikes(sim, GYRE_SIM_INTERRUPTED))
        return GYRE_EINTR;
    was_running = loop->running;
    loop->running = sim->current == NULL; /* on a thread it does not stand on the world's stack */
    woken = gyrei_sim_wait(sim, &wish);
    loop->running = was_running;
    return woken ? 0 : GYRE_EDEADLK;
}

static bool any_alive(const gyre_sim *sim)
{
    for (gyre_link *link = sim->hosts.next; link != &sim->hosts; link = link->next) {
        const gyre_sim_host *host = host_at(link);

        if (host->loop != NULL ? gyre_loop_alive(host->loop) : gyrei_sim_scheduled(&host->restart))
            return true;
    }
    return !gyrei_list_empty(&sim->threads);
}

/* The caller may have used the loops: each gets a turn. */
static void touch_all(const gyre_sim *sim)
{
    for (gyre_link *link = sim->hosts.next; link != &sim->hosts; link = link->next) {
        gyre_sim_host *host = host_at(link);

        if (host->main != NULL) {
            host->main->ended = false;
            host->main->wake_ns = 0;
        }
    }
}

/* Whether code of a loop stands on the stack: the world is run by itself, and cannot go. */
static bool is_inside(const gyre_sim *sim)
{
    if (sim->current != NULL)
        return true;
    for (gyre_link *link = sim->hosts.next; link != &sim->hosts; link = link->next) {
        if (host_at(link)->main != NULL && host_at(link)->main->running)
            return true;
    }
    return false;
}

int gyre_sim_run_until(gyre_sim *sim, uint64_t until_ns)
{
    GYRE_ASSERT(!is_inside(sim));
    touch_all(sim);
    while (sim->now_ns < until_ns && step(sim, until_ns))
        ;
    /* UINT64_MAX is no moment that comes. */
    if (sim->now_ns < until_ns && until_ns != UINT64_MAX && sim->failure == NULL)
        sim->now_ns = until_ns;
    return any_alive(sim);
}

int gyre_sim_run(gyre_sim *sim, uint64_t until_ns)
{
    GYRE_ASSERT(!is_inside(sim));
    touch_all(sim);
    while (sim->now_ns < until_ns && any_alive(sim) && step(sim, until_ns))
        ;
    return any_alive(sim);
}

/* ---- life ---- */

static int check_options(const gyre_sim_options *options)
{
    if (options->size != sizeof(*options) || (unsigned)options->mode > GYRE_SIM_COMPLETION)
        return GYRE_EINVAL;
    if (options->latency_max_ns < options->latency_min_ns ||
        options->latency_max_ns > latency_limit_ns || options->fds_max > FDS_MAX)
        return GYRE_EINVAL;
    if (options->buffer_bytes != 0 &&
        (options->buffer_bytes < BUFFER_MIN || options->buffer_bytes > BUFFER_MAX))
        return GYRE_EINVAL;
    return 0;
}

int gyre_sim_init(gyre_sim **out, const gyre_sim_options *options)
{
    static const gyre_sim_options defaults = {.size = sizeof(defaults)};
    const int error = options != NULL ? check_options(options) : 0;
    gyre_sim *sim;

    GYRE_ASSERT(out != NULL);
    if (error != 0)
        return error;
    sim = gyrei_sim_new(sizeof(*sim));
    sim->options = options != NULL ? *options : defaults;
    if (sim->options.latency_max_ns == 0) {
        sim->options.latency_min_ns = 50 * GYRE_MICROSECOND;
        sim->options.latency_max_ns = 2 * GYRE_MILLISECOND;
    }
    sim->now_ns = GYRE_SECOND;
    sim->random = stream(sim->options.seed, STREAM_KERNEL);
    sim->user = stream(sim->options.seed, STREAM_USER);
    sim->hash = sim->options.seed;
    gyrei_list_init(&sim->hosts);
    gyrei_list_init(&sim->conns);
    gyrei_list_init(&sim->threads);
    *out = sim;
    return 0;
}

int gyre_sim_host_init(gyre_sim *sim, gyre_sim_host **out, const char *name, gyre_sim_boot_cb boot,
                       gyre_sim_crash_cb crashed, void *ctx)
{
    gyre_sim_host *host;

    GYRE_ASSERT(out != NULL && boot != NULL && name != NULL);
    if (sim->host_count == GYREI_SIM_HOSTS_MAX)
        return GYRE_ENOSPC;
    host = gyrei_sim_new(sizeof(*host));
    host->sim = sim;
    host->id = sim->host_count;
    host->name = name;
    host->boot = boot;
    host->crashed = crashed;
    host->ctx = ctx;
    host->random = stream(sim->options.seed, STREAM_HOST + host->id);
    host->completion =
        sim->options.mode == GYRE_SIM_COMPLETION ||
        (sim->options.mode == GYRE_SIM_BY_SEED && gyrei_sim_below(&sim->random, 2) == 0);
    gyrei_sim_host_open(host);
    sim->host_of[sim->host_count++] = host;
    gyrei_list_append(&sim->hosts, &host->link);
    *out = host;
    return 0;
}

void gyre_sim_close(gyre_sim *sim)
{
    gyre_link *link;

    GYRE_ASSERT(!is_inside(sim));
    while ((link = gyrei_list_pop(&sim->hosts)) != NULL)
        gyrei_sim_host_free(host_at(link));
    while ((link = gyrei_list_pop(&sim->conns)) != NULL)
        gyrei_sim_conn_free(GYRE_CONTAINER_OF(link, gyrei_sim_conn, link));
    free(sim->events.heap);
    free(sim);
}
