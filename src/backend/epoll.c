/*
 * The epoll poller: level-triggered interest, one epoll_ctl a change, one epoll_wait a turn.
 *
 * Core's eventfd is watched edge-triggered, so that waking costs no read: each write to it is an
 * edge, even when the counter was not zero (epoll(7)). Must not know operations.
 */
#include "backend/backends.h"
#include "backend/readiness.h"
#include "base/hot.h"
#include "gyre/poll.h"
#include "os/here.h"

#include <sys/epoll.h>

/* The bits that are the same in epoll; the one that is not is translated. */
enum { SAME_BITS = GYRE_POLL_IN | GYRE_POLL_PRI | GYRE_POLL_OUT | GYRE_POLL_ERR | GYRE_POLL_HUP };
_Static_assert((int)GYRE_POLL_IN == (int)EPOLLIN && (int)GYRE_POLL_PRI == (int)EPOLLPRI &&
                   (int)GYRE_POLL_OUT == (int)EPOLLOUT && (int)GYRE_POLL_ERR == (int)EPOLLERR &&
                   (int)GYRE_POLL_HUP == (int)EPOLLHUP,
               "masks are epoll's but for RDHUP");

/* Events that one call brings; more of them come with the next turn, and none is lost. */
enum { BATCH = 1024 };

typedef struct epoll_poller {
    int epoll;
    struct epoll_event events[BATCH];
} epoll_poller;

static epoll_poller *poller_of(const gyrei_ready *ready)
{
    return ready->poller;
}

static uint32_t to_epoll(uint32_t mask)
{
    return (mask & SAME_BITS) | ((mask & GYRE_POLL_RDHUP) != 0 ? EPOLLRDHUP : 0);
}

static uint32_t from_epoll(uint32_t events)
{
    return (events & SAME_BITS) | ((events & EPOLLRDHUP) != 0 ? GYRE_POLL_RDHUP : 0);
}

static int watch_wake_fd(gyrei_ready *ready, int epoll)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = GYREI_READY_WAKE};

    if (ready->wake_fd < 0)
        return 0;
    return ready->env->sys->epoll_ctl(ready->env, epoll, EPOLL_CTL_ADD, ready->wake_fd, &event);
}

/* A fresh set that watches wake_fd only: its descriptor, or an error. */
static int new_set(gyrei_ready *ready)
{
    const gyrei_sys *sys = ready->env->sys;
    const int epoll = sys->epoll_create(ready->env);
    int error;

    if (epoll < 0)
        return epoll;
    error = watch_wake_fd(ready, epoll);
    if (error == 0)
        return epoll;
    sys->close(ready->env, epoll);
    return error;
}

static int epoll_open(gyrei_ready *ready)
{
    epoll_poller *poller = gyrei_loop_alloc(ready->loop, sizeof(*poller));

    if (poller == NULL)
        return GYRE_ENOMEM;
    poller->epoll = new_set(ready);
    if (poller->epoll < 0) {
        const int error = poller->epoll;

        gyrei_loop_free(ready->loop, poller, sizeof(*poller));
        return error;
    }
    ready->poller = poller;
    return 0;
}

static void epoll_close(gyrei_ready *ready)
{
    epoll_poller *poller = poller_of(ready);

    ready->env->sys->close(ready->env, poller->epoll);
    gyrei_loop_free(ready->loop, poller, sizeof(*poller));
}

static void epoll_arm(gyrei_ready *ready)
{
    gyrei_ready_change change;

    while (gyrei_ready_next_change(ready, &change)) {
        struct epoll_event event = {.events = to_epoll(change.to), .data.u64 = change.id};
        const int how = change.to == 0     ? EPOLL_CTL_DEL
                        : change.from == 0 ? EPOLL_CTL_ADD
                                           : EPOLL_CTL_MOD;

        gyrei_ready_changed(
            ready, &change,
            gyrei_here_epoll_ctl(ready->env, poller_of(ready)->epoll, how, change.fd, &event));
    }
}

/* A close takes the descriptor out of the set, unless the file has other descriptors (epoll(7)). */
static void epoll_forget(gyrei_ready *ready, int fd, bool foreign)
{
    struct epoll_event event = {.events = 0};

    if (foreign)
        (void)ready->env->sys->epoll_ctl(ready->env, poller_of(ready)->epoll, EPOLL_CTL_DEL, fd,
                                         &event);
}

GYREI_HOT static int epoll_wait_begin(gyrei_ready *ready, uint64_t timeout_ns,
                                      gyrei_wait_call *call)
{
    epoll_poller *poller = poller_of(ready);

    call->kind = GYREI_WAIT_EPOLL;
    call->fd = poller->epoll;
    call->epoll.events = poller->events;
    call->epoll.max = BATCH;
    call->epoll.timeout_ns = timeout_ns;
    return 0;
}

GYREI_HOT static int epoll_wait_end(gyrei_ready *ready, int count)
{
    epoll_poller *poller = poller_of(ready);

    if (count < 0)
        return count == GYRE_EINTR ? 0 : count;
    for (int i = 0; i < count; i++) {
        const struct epoll_event *event = &poller->events[i];

        if (event->data.u64 != GYREI_READY_WAKE)
            gyrei_ready_event(ready, event->data.u64, from_epoll(event->events));
    }
    return 0;
}

/* The old set is the parent's too, or has entries that cannot be named: it is left, not changed. */
static int epoll_renew(gyrei_ready *ready)
{
    const int fresh = new_set(ready);

    if (fresh < 0)
        return fresh;
    ready->env->sys->close(ready->env, poller_of(ready)->epoll);
    poller_of(ready)->epoll = fresh;
    return 0;
}

static int epoll_fd(gyrei_ready *ready)
{
    return poller_of(ready)->epoll;
}

const gyrei_poller_ops gyrei_poller_epoll = {
    .open = epoll_open,
    .close = epoll_close,
    .arm = epoll_arm,
    .forget = epoll_forget,
    .wait_begin = epoll_wait_begin,
    .wait_end = epoll_wait_end,
    .renew = epoll_renew,
    .fd = epoll_fd,
};

static int open_backend(gyre_loop *loop, const gyrei_backend_config *config,
                        gyrei_backend **backend)
{
    return gyrei_readiness_open(loop, config, &gyrei_poller_epoll, backend);
}

const gyrei_backend_ops gyrei_backend_epoll = {
    .name = "epoll",
    .open = open_backend,
    GYREI_READINESS_BACKEND,
};
