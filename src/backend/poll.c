/*
 * The poll poller, for kernels and sandboxes that have nothing better: an array of what is watched,
 * given to poll(2) each turn.
 *
 * A descriptor's place in the array is kept in `places`, so that arming is O(1); the last entry
 * moves into the place of one that goes. The first entry is core's eventfd, which is read when it
 * wakes us, because poll is level-triggered. Must not know operations.
 */
#include "backend/backends.h"
#include "backend/readiness.h"
#include "gyre/poll.h"

#include <poll.h>

enum { SAME_BITS = GYRE_POLL_IN | GYRE_POLL_PRI | GYRE_POLL_OUT | GYRE_POLL_ERR | GYRE_POLL_HUP };
_Static_assert(GYRE_POLL_IN == POLLIN && GYRE_POLL_PRI == POLLPRI && GYRE_POLL_OUT == POLLOUT &&
                   GYRE_POLL_ERR == POLLERR && GYRE_POLL_HUP == POLLHUP,
               "masks are poll's but for RDHUP");

enum { ROOM_FIRST = 64 };

typedef struct poll_poller {
    struct pollfd *fds;
    uint64_t *ids; /* beside fds */
    uint32_t count;
    uint32_t room;
    uint32_t *places; /* by descriptor: its place in fds, 0 for none */
    uint32_t place_room;
} poll_poller;

static poll_poller *poller_of(const gyrei_ready *ready)
{
    return ready->poller;
}

static short to_poll(uint32_t mask)
{
    return (short)((mask & SAME_BITS) | ((mask & GYRE_POLL_RDHUP) != 0 ? POLLRDHUP : 0));
}

static uint32_t from_poll(short revents)
{
    const uint32_t events = (uint32_t)(unsigned short)revents;
    uint32_t mask = events & SAME_BITS;

    if ((events & POLLRDHUP) != 0)
        mask |= GYRE_POLL_RDHUP;
    /* A descriptor that was closed without a word: an error, as the next system call will say. */
    if ((events & POLLNVAL) != 0)
        mask |= GYRE_POLL_ERR;
    return mask;
}

/* A larger copy of an array of `old` elements of `bytes` each, or NULL. */
static void *larger(gyrei_ready *ready, void *array, uint32_t old, uint32_t room, size_t bytes)
{
    char *copy = gyrei_loop_alloc(ready->loop, room * bytes);

    if (copy == NULL)
        return NULL;
    for (size_t i = 0; i < old * bytes; i++)
        copy[i] = ((char *)array)[i];
    gyrei_loop_free(ready->loop, array, old * bytes);
    return copy;
}

static int grow_entries(gyrei_ready *ready)
{
    poll_poller *poller = poller_of(ready);
    const uint32_t room = poller->room == 0 ? ROOM_FIRST : poller->room * 2;
    struct pollfd *fds = gyrei_loop_alloc(ready->loop, room * sizeof(*fds));
    uint64_t *ids = gyrei_loop_alloc(ready->loop, room * sizeof(*ids));

    if (fds == NULL || ids == NULL) {
        gyrei_loop_free(ready->loop, fds, room * sizeof(*fds));
        gyrei_loop_free(ready->loop, ids, room * sizeof(*ids));
        return GYRE_ENOMEM;
    }
    for (uint32_t i = 0; i < poller->count; i++) {
        fds[i] = poller->fds[i];
        ids[i] = poller->ids[i];
    }
    gyrei_loop_free(ready->loop, poller->fds, poller->room * sizeof(*fds));
    gyrei_loop_free(ready->loop, poller->ids, poller->room * sizeof(*ids));
    poller->fds = fds;
    poller->ids = ids;
    poller->room = room;
    return 0;
}

static int grow_places(gyrei_ready *ready, int fd)
{
    poll_poller *poller = poller_of(ready);
    uint32_t room = poller->place_room == 0 ? ROOM_FIRST : poller->place_room;
    uint32_t *places;

    if ((uint32_t)fd < poller->place_room)
        return 0;
    while ((uint32_t)fd >= room)
        room *= 2;
    places = larger(ready, poller->places, poller->place_room, room, sizeof(*places));
    if (places == NULL)
        return GYRE_ENOMEM;
    poller->places = places;
    poller->place_room = room;
    return 0;
}

static int add(gyrei_ready *ready, int fd, uint64_t id, short events)
{
    poll_poller *poller = poller_of(ready);

    if (grow_places(ready, fd) != 0)
        return GYRE_ENOMEM;
    if (poller->count == poller->room && grow_entries(ready) != 0)
        return GYRE_ENOMEM;
    poller->places[fd] = poller->count;
    poller->fds[poller->count] = (struct pollfd){.fd = fd, .events = events};
    poller->ids[poller->count] = id;
    poller->count++;
    return 0;
}

static void remove_entry(poll_poller *poller, int fd)
{
    const uint32_t place = poller->places[fd];
    const uint32_t last = poller->count - 1;

    GYRE_ASSERT(place > 0 && poller->fds[place].fd == fd);
    poller->fds[place] = poller->fds[last];
    poller->ids[place] = poller->ids[last];
    poller->places[poller->fds[place].fd] = place;
    poller->places[fd] = 0;
    poller->count--;
}

static void poll_close(gyrei_ready *ready)
{
    poll_poller *poller = poller_of(ready);

    gyrei_loop_free(ready->loop, poller->fds, poller->room * sizeof(*poller->fds));
    gyrei_loop_free(ready->loop, poller->ids, poller->room * sizeof(*poller->ids));
    gyrei_loop_free(ready->loop, poller->places, poller->place_room * sizeof(*poller->places));
    gyrei_loop_free(ready->loop, poller, sizeof(*poller));
}

/* The entry of core's eventfd comes first, and stays there: place 0 means none for all others. */
static int poll_open(gyrei_ready *ready)
{
    poll_poller *poller = gyrei_loop_alloc(ready->loop, sizeof(*poller));

    if (poller == NULL)
        return GYRE_ENOMEM;
    ready->poller = poller;
    if (add(ready, ready->wake_fd, GYREI_READY_WAKE, POLLIN) == 0)
        return 0;
    poll_close(ready);
    return GYRE_ENOMEM;
}

static int make_change(gyrei_ready *ready, const gyrei_ready_change *change)
{
    poll_poller *poller = poller_of(ready);

    if (change->from == 0)
        return add(ready, change->fd, change->id, to_poll(change->to));
    if (change->to == 0)
        remove_entry(poller, change->fd);
    else
        poller->fds[poller->places[change->fd]].events = to_poll(change->to);
    return 0;
}

static void poll_arm(gyrei_ready *ready)
{
    gyrei_ready_change change;

    while (gyrei_ready_next_change(ready, &change))
        gyrei_ready_changed(ready, &change, make_change(ready, &change));
}

static void poll_forget(gyrei_ready *ready, int fd, bool foreign)
{
    (void)foreign;
    remove_entry(poller_of(ready), fd);
}

static int poll_wait(gyrei_ready *ready, uint64_t timeout_ns, gyrei_wait_call *call)
{
    poll_poller *poller = poller_of(ready);
    int left;

    (void)call;
    left = ready->env->sys->poll(ready->env, poller->fds, poller->count, timeout_ns);

    if (left < 0)
        return left == GYRE_EINTR ? 0 : left;
    if (poller->fds[0].revents != 0) {
        (void)ready->env->sys->event_read(ready->env, ready->wake_fd);
        left--;
    }
    for (uint32_t i = 1; left > 0 && i < poller->count; i++) {
        if (poller->fds[i].revents == 0)
            continue;
        left--;
        gyrei_ready_event(ready, poller->ids[i], from_poll(poller->fds[i].revents));
    }
    return 0;
}

static int poll_renew(gyrei_ready *ready)
{
    poll_poller *poller = poller_of(ready);

    while (poller->count > 1)
        remove_entry(poller, poller->fds[poller->count - 1].fd);
    return 0;
}

static int poll_fd(gyrei_ready *ready)
{
    (void)ready;
    return GYRE_ENOTSUP;
}

static const gyrei_poller_ops poller_poll = {
    .open = poll_open,
    .close = poll_close,
    .arm = poll_arm,
    .forget = poll_forget,
    .wait_begin = poll_wait,
    .renew = poll_renew,
    .fd = poll_fd,
};

static int open_backend(gyre_loop *loop, const gyrei_backend_config *config,
                        gyrei_backend **backend)
{
    return gyrei_readiness_open(loop, config, &poller_poll, backend);
}

const gyrei_backend_ops gyrei_backend_poll = {
    .name = "poll",
    .open = open_backend,
    GYREI_READINESS_BACKEND,
};
