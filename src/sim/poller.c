/*
 * Mode readiness: the poller under ready.c, as an epoll set would be, with what a kernel may do
 * beside: events that do not hold, that come late, together, or in another order.
 *
 *   watched --the file changes--> in the ready list --wait: holds--> event, stays in the list
 *                                                   --does not hold--> out of the list
 *
 * Interest is level-triggered: an entry leaves the list only when a wait has found nothing. Must
 * not know operations.
 */
#include "backend/readiness.h"
#include "sim/sim.h"

#include <stdlib.h>

enum { SPURIOUS_MASK = GYRE_POLL_IN | GYRE_POLL_OUT, STALE_CHANCE = 8 };

static const uint64_t late_max_ns = 20 * GYRE_MILLISECOND;

typedef struct entry {
    gyrei_sim_watch watch;
    gyre_link ready;
    gyrei_sim_event late; /* the change is known, and reported later */
    gyrei_sim_poller *poller;
    gyrei_sim_file *file;
    uint64_t id;
    uint32_t mask;
    int fd;
} entry;

struct gyrei_sim_poller {
    gyrei_sim_loop base; /* of a loop in this mode */
    gyre_sim_host *host;
    gyre_link ready;
    entry **entries; /* by descriptor */
    int room;
    int count; /* of entries in use */
    /* of an entry that is gone: in a real set it lives on while the file has other names, and is
     * reported again and again until the set is made anew */
    uint64_t stale_id;
    bool stale;
};

static gyrei_sim_poller *poller_of(const gyrei_ready *ready)
{
    return ready->poller;
}

/* ---- entries ---- */

static void queue(entry *one)
{
    gyrei_list_remove(&one->ready);
    gyrei_list_append(&one->poller->ready, &one->ready);
}

static void queue_late(gyre_sim *sim, gyrei_sim_event *event)
{
    (void)sim;
    queue(GYRE_CONTAINER_OF(event, entry, late));
}

static void changed(gyrei_sim_watch *watch)
{
    entry *one = GYRE_CONTAINER_OF(watch, entry, watch);
    gyre_sim *sim = one->poller->host->sim;

    if (!gyrei_list_empty(&one->ready) || gyrei_sim_scheduled(&one->late))
        return;
    if ((gyrei_sim_file_events(one->file) & (one->mask | GYRE_POLL_ERR | GYRE_POLL_HUP)) == 0)
        return;
    if (gyrei_sim_strikes(sim, GYRE_SIM_LATE))
        gyrei_sim_schedule(sim, &one->late, gyrei_sim_below(&sim->random, late_max_ns), queue_late);
    else
        queue(one);
}

static void reserve(gyrei_sim_poller *poller, int fd)
{
    const int before = poller->room;

    if (fd < before)
        return;
    poller->room = fd + 64;
    poller->entries =
        gyrei_sim_resize(poller->entries, (size_t)poller->room * sizeof(*poller->entries));
    for (int i = before; i < poller->room; i++)
        poller->entries[i] = NULL;
}

static void remove_entry(gyrei_sim_poller *poller, int fd)
{
    entry *one = fd < poller->room ? poller->entries[fd] : NULL;

    if (one == NULL)
        return;
    gyrei_list_remove(&one->watch.link);
    gyrei_list_remove(&one->ready);
    gyrei_sim_unschedule(poller->host->sim, &one->late);
    poller->entries[fd] = NULL;
    poller->count--;
    free(one);
}

static int make_change(gyrei_sim_poller *poller, const gyrei_ready_change *change)
{
    const int fd = change->fd;
    gyrei_sim_file *file = gyrei_sim_fd_find(poller->host, fd);
    entry *one;

    if (file == NULL)
        return GYRE_EBADF;
    if (change->to == 0 || change->from == 0)
        remove_entry(poller, fd);
    if (change->to == 0)
        return 0;
    reserve(poller, fd);
    one = poller->entries[fd];
    if (one == NULL) {
        one = gyrei_sim_new(sizeof(*one));
        one->watch.changed = changed;
        one->poller = poller;
        one->file = file;
        one->fd = fd;
        gyrei_list_init(&one->ready);
        gyrei_list_append(&file->watches, &one->watch.link);
        poller->entries[fd] = one;
        poller->count++;
    }
    one->id = change->id;
    one->mask = change->to;
    changed(&one->watch);
    return 0;
}

static void arm(gyrei_ready *ready)
{
    gyrei_ready_change change;

    while (gyrei_ready_next_change(ready, &change))
        gyrei_ready_changed(ready, &change, make_change(poller_of(ready), &change));
}

static void forget(gyrei_ready *ready, int fd, bool foreign)
{
    gyrei_sim_poller *poller = poller_of(ready);

    if (!foreign && fd < poller->room && poller->entries[fd] != NULL && !poller->stale)
        poller->stale_id = poller->entries[fd]->id;
    remove_entry(poller, fd);
}

/* ---- life ---- */

void gyrei_sim_poller_free(gyrei_sim_poller *poller)
{
    for (int fd = 0; fd < poller->room; fd++)
        remove_entry(poller, fd);
    free(poller->entries);
    free(poller);
}

bool gyrei_sim_poller_ready(const gyrei_sim_poller *poller)
{
    return poller->stale || !gyrei_list_empty(&poller->ready);
}

static bool loop_ready(const gyrei_sim_loop *loop)
{
    return gyrei_sim_poller_ready(GYRE_CONTAINER_OF(loop, const gyrei_sim_poller, base));
}

static void loop_drop(gyrei_sim_loop *loop)
{
    gyrei_sim_poller_free(GYRE_CONTAINER_OF(loop, gyrei_sim_poller, base));
}

static const gyrei_sim_kernel_ops kernel_ops = {.ready = loop_ready, .drop = loop_drop};

/* With a wake_fd it is a loop's own poller; without it serves a ring. */
static int open_poller(gyrei_ready *ready)
{
    gyrei_sim_poller *poller = gyrei_sim_new(sizeof(*poller));

    poller->host = gyrei_sim_host_of(ready->env);
    gyrei_list_init(&poller->ready);
    ready->poller = poller;
    if (ready->wake_fd >= 0)
        gyrei_sim_loop_open(&poller->base, ready->loop, ready->wake_fd, &kernel_ops);
    return 0;
}

static void close_poller(gyrei_ready *ready)
{
    gyrei_sim_poller *poller = poller_of(ready);

    if (ready->wake_fd >= 0)
        gyrei_sim_loop_close(&poller->base);
    gyrei_sim_poller_free(poller);
}

/* ---- waiting ---- */

static uint32_t count_ready(const gyrei_sim_poller *poller)
{
    uint32_t count = 0;

    for (const gyre_link *link = poller->ready.next; link != &poller->ready; link = link->next)
        count++;
    return count;
}

static void report(gyrei_ready *ready, entry *one)
{
    const uint32_t events =
        gyrei_sim_file_events(one->file) & (one->mask | GYRE_POLL_ERR | GYRE_POLL_HUP);

    if (events == 0) {
        gyrei_list_remove(&one->ready);
        return;
    }
    queue(one);
    gyrei_ready_event(ready, one->id, events);
}

/* Says of some descriptor that what is waited for holds, which it may not; or of a former one. */
static void report_spurious(gyrei_ready *ready)
{
    gyrei_sim_poller *poller = poller_of(ready);
    gyrei_sim_random *random = &poller->host->sim->random;
    const entry *one;
    int at;

    if (poller->stale)
        gyrei_ready_event(ready, poller->stale_id, SPURIOUS_MASK);
    if (poller->count == 0 || !gyrei_sim_strikes(poller->host->sim, GYRE_SIM_SPURIOUS))
        return;
    if (poller->stale_id != 0 && gyrei_sim_below(random, STALE_CHANCE) == 0) {
        poller->stale = true;
        return;
    }
    at = (int)gyrei_sim_below(random, (uint64_t)poller->room);
    while (poller->entries[at] == NULL)
        at = (at + 1) % poller->room;
    one = poller->entries[at];
    if ((one->mask & SPURIOUS_MASK) != 0)
        gyrei_ready_event(ready, one->id, one->mask & SPURIOUS_MASK);
}

static void rotate(gyrei_sim_poller *poller, uint32_t count)
{
    gyre_sim *sim = poller->host->sim;
    uint64_t turns;

    if (count < 2 || !gyrei_sim_strikes(sim, GYRE_SIM_REORDERED))
        return;
    for (turns = gyrei_sim_between(&sim->random, 1, count - 1); turns > 0; turns--)
        gyrei_list_append(&poller->ready, gyrei_list_pop(&poller->ready));
}

static int wait_poller(gyrei_ready *ready, uint64_t timeout_ns, gyrei_wait_call *call)
{
    gyrei_sim_poller *poller = poller_of(ready);
    uint32_t count;

    (void)call;
    if (ready->wake_fd >= 0) {
        const int error = gyrei_sim_sleep(&poller->base, timeout_ns);

        if (error != 0)
            return error == GYRE_EINTR ? 0 : error;
        poller->base.woken = false;
    }
    report_spurious(ready);
    count = count_ready(poller);
    rotate(poller, count);
    for (; count > 0; count--)
        report(ready, GYRE_CONTAINER_OF(poller->ready.next, entry, ready));
    return 0;
}

static int renew(gyrei_ready *ready)
{
    gyrei_sim_poller *poller = poller_of(ready);

    for (int fd = 0; fd < poller->room; fd++)
        remove_entry(poller, fd);
    poller->stale_id = 0;
    poller->stale = false;
    return 0;
}

static int descriptor(gyrei_ready *ready)
{
    (void)ready;
    return GYRE_ENOTSUP;
}

const gyrei_poller_ops gyrei_sim_poller_ops = {
    .open = open_poller,
    .close = close_poller,
    .arm = arm,
    .forget = forget,
    .wait_begin = wait_poller,
    .renew = renew,
    .fd = descriptor,
};

static int open_backend(gyre_loop *loop, const gyrei_backend_config *config,
                        gyrei_backend **backend)
{
    return gyrei_readiness_open(loop, config, &gyrei_sim_poller_ops, backend);
}

const gyrei_backend_ops gyrei_backend_sim_poller = {
    .name = "sim",
    .open = open_backend,
    GYREI_READINESS_BACKEND,
};
