/*
 * What the ring watches beside operations: core's eventfd, the set of foreign descriptors, and the
 * other way round the descriptor by which a host loop watches the ring.
 *
 * A foreign descriptor must never be in a request: a request holds the file open after its owner
 * has closed it. So foreign descriptors live in an epoll set, from which each is taken back
 * synchronously, and the ring polls the set: once a turn, because what the set reports is
 * level-triggered. Must not know operations.
 */
#include "backend/uring.h"

#include "base/hot.h"

#include <poll.h>
#include <sys/epoll.h>

enum { EMBED_DESCRIPTORS = 3 };

/* No op: the number of the slot that is never given out. */
static void set_tag(struct io_uring_sqe *sqe, uint32_t tag)
{
    io_uring_sqe_set_data64(sqe, (uint64_t)tag << GYREI_URING_TAG_SHIFT);
}

/*
 * Each write to the eventfd is an event, and nobody reads it: a multishot poll is edge-triggered
 * (io_uring_prep_poll_multishot(3)).
 */
static void poll_wake(gyrei_uring *uring)
{
    struct io_uring_sqe *sqe = gyrei_uring_sqe(uring);

    if (sqe == NULL)
        return;
    io_uring_prep_poll_multishot(sqe, uring->config.wake_fd, POLLIN);
    set_tag(sqe, GYREI_URING_WAKE);
    uring->wake_armed = true;
}

static void poll_foreign(gyrei_uring *uring)
{
    struct io_uring_sqe *sqe = gyrei_uring_sqe(uring);

    if (sqe == NULL)
        return;
    io_uring_prep_poll_add(sqe, uring->foreign.ops->fd(&uring->foreign), POLLIN);
    set_tag(sqe, GYREI_URING_FOREIGN);
    uring->foreign_armed = true;
}

GYREI_HOT int gyrei_uring_watch(gyrei_uring *uring)
{
    if (!uring->wake_armed)
        poll_wake(uring);
    if (!uring->foreign_used)
        return 0;
    if (!uring->foreign_armed)
        poll_foreign(uring);
    return gyrei_ready_flush(&uring->foreign);
}

void gyrei_uring_watched(gyrei_uring *uring, uint32_t tag, const struct io_uring_cqe *cqe)
{
    switch (tag) {
    case GYREI_URING_WAKE: uring->wake_armed = (cqe->flags & IORING_CQE_F_MORE) != 0; break;
    case GYREI_URING_FOREIGN:
        uring->foreign_armed = false;
        uring->foreign_due = true;
        break;
    case GYREI_URING_DRAIN: uring->drained = cqe->res; break;
    default: break;
    }
}

GYREI_HOT int gyrei_uring_take_foreign(gyrei_uring *uring)
{
    if (!uring->foreign_due)
        return 0;
    uring->foreign_due = false;
    return gyrei_ready_look(&uring->foreign);
}

/* ---- embedding ---- */

/*
 * A DEFER_TASKRUN ring's own descriptor does not wake a poller; an eventfd registered with it does.
 * But not reliably when the ring is woken by an eventfd itself: Linux puts that signal off, and
 * since 6.11 does so once and never again. So the host gets a set in which stands, beside that
 * eventfd, what the ring is woken by.
 */

static int embed_add(gyrei_uring *uring, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events};

    return uring->env->sys->epoll_ctl(uring->env, uring->embed_fd, EPOLL_CTL_ADD, fd, &event);
}

static int embed_fill(gyrei_uring *uring)
{
    const gyrei_sys *sys = uring->env->sys;
    int error =
        sys->uring_register(uring->env, uring->fd, IORING_REGISTER_EVENTFD, &uring->embed_event, 1);

    if (error >= 0)
        error = embed_add(uring, uring->embed_event, EPOLLIN | EPOLLET);
    if (error >= 0)
        error = embed_add(uring, uring->config.wake_fd, EPOLLIN | EPOLLET);
    if (error >= 0)
        error = embed_add(uring, uring->foreign.ops->fd(&uring->foreign), EPOLLIN);
    /* What has completed before this moment was not signalled. */
    return error >= 0 ? sys->event_write(uring->env, uring->embed_event) : error;
}

static int embed_open(gyrei_uring *uring)
{
    const gyrei_sys *sys = uring->env->sys;

    uring->embed_event = sys->event_create(uring->env);
    if (uring->embed_event < 0)
        return uring->embed_event;
    uring->embed_fd = sys->epoll_create(uring->env);
    return uring->embed_fd < 0 ? uring->embed_fd : embed_fill(uring);
}

int gyrei_uring_embed_fd(gyrei_uring *uring)
{
    int error = 0;

    if (uring->embed_fd < 0)
        error = embed_open(uring);
    if (error >= 0)
        return uring->embed_fd;
    gyrei_uring_embed_close(uring);
    return error;
}

GYREI_HOT void gyrei_uring_embed_clear(gyrei_uring *uring)
{
    struct epoll_event events[EMBED_DESCRIPTORS];

    if (uring->embed_fd >= 0)
        (void)uring->env->sys->epoll_wait(uring->env, uring->embed_fd, events, EMBED_DESCRIPTORS,
                                          0);
}

void gyrei_uring_embed_close(gyrei_uring *uring)
{
    const gyrei_sys *sys = uring->env->sys;

    if (uring->embed_event >= 0)
        sys->close(uring->env, uring->embed_event);
    if (uring->embed_fd >= 0)
        sys->close(uring->env, uring->embed_fd);
    uring->embed_event = -1;
    uring->embed_fd = -1;
}
