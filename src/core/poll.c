/*
 * Watchers of foreign descriptors: a handle around one POLL operation.
 *
 *   stopped --start--> the op in flight, multishot --stop--> taken back, the descriptor forgotten
 *
 * Stopping is synchronous where it counts: on return nothing in the kernel refers to the
 * descriptor, so that its owner may close it. The op's last result still comes from the run queue;
 * a start before that waits for it. One watcher a descriptor and loop, because the kernel keeps one
 * set of events for each.
 */
#include "core/loop.h"
#include "gyre/poll.h"

#include <sys/stat.h>

enum {
    EVENTS_ALL = GYRE_POLL_IN | GYRE_POLL_PRI | GYRE_POLL_OUT | GYRE_POLL_ERR | GYRE_POLL_HUP |
                 GYRE_POLL_RDHUP
};

static void on_event(gyre_loop *loop, gyre_op *op, const gyrei_result *result);

static void submit(gyre_poll *poll)
{
    gyrei_op_prepare(&poll->op, GYREI_OP_POLL, poll->fd, GYREI_OP_MULTISHOT, on_event);
    poll->op.arg32 = poll->events;
    gyrei_handle_hold(&poll->handle);
    gyrei_op_submit(poll->handle.loop, &poll->op);
}

static void call_back(gyre_poll *poll, int status, uint32_t events)
{
    gyre_loop *loop = poll->handle.loop;
    gyrei_frame frame;

    gyrei_callback_enter(loop, &frame, GYRE_HANDLE_POLL, poll, poll->handle.name);
    poll->cb(poll, status, events);
    gyrei_callback_leave(loop, &frame);
}

static void on_event(gyre_loop *loop, gyre_op *op, const gyrei_result *result)
{
    gyre_poll *poll = GYRE_CONTAINER_OF(op, gyre_poll, op);
    const bool last = (result->flags & GYREI_RESULT_MORE) == 0;
    uint32_t events;

    (void)loop;
    gyrei_handle_hold(&poll->handle);
    if (last)
        gyrei_handle_release(&poll->handle);
    if (result->value > 0 && gyre_is_active(&poll->handle)) {
        /* The set may have changed since; errors and hang-ups are reported unasked. */
        events = (uint32_t)result->value & (poll->events | GYRE_POLL_ERR | GYRE_POLL_HUP);
        if (events != 0)
            call_back(poll, 0, events);
    } else if (result->value < 0 && result->value != GYRE_ECANCELED &&
               gyre_is_active(&poll->handle)) {
        gyrei_handle_set_active(&poll->handle, false);
        call_back(poll, result->value, 0);
    }
    if (last && gyre_is_active(&poll->handle) && gyrei_op_is_idle(op))
        submit(poll);
    gyrei_handle_release(&poll->handle);
}

/* ---- one watcher a descriptor ---- */

/* A byte for each descriptor number, 1 while a watcher has it. */
typedef struct watched_fds {
    gyrei_service service;
    uint8_t *taken;
    uint32_t room;
} watched_fds;

static const char watched_key;

static void watched_close(gyre_loop *loop, gyrei_service *service)
{
    watched_fds *watched = (watched_fds *)service;

    gyrei_loop_free(loop, watched->taken, watched->room);
    gyrei_loop_free(loop, watched, sizeof(*watched));
}

static watched_fds *watched_of(const gyre_loop *loop)
{
    return (watched_fds *)gyrei_service_find(loop, &watched_key);
}

static watched_fds *need_watched(gyre_loop *loop)
{
    watched_fds *watched = watched_of(loop);

    if (watched != NULL)
        return watched;
    watched = gyrei_loop_alloc(loop, sizeof(*watched));
    if (watched == NULL)
        return NULL;
    watched->service = (gyrei_service){.key = &watched_key, .close = watched_close};
    gyrei_service_add(loop, &watched->service);
    return watched;
}

static int grow_watched(gyre_loop *loop, watched_fds *watched, uint32_t fd)
{
    uint32_t room = watched->room == 0 ? 256 : watched->room;
    uint8_t *taken;

    if (fd < watched->room)
        return 0;
    while (fd >= room)
        room *= 2;
    taken = gyrei_loop_alloc(loop, room);
    if (taken == NULL)
        return GYRE_ENOMEM;
    for (uint32_t i = 0; i < watched->room; i++)
        taken[i] = watched->taken[i];
    gyrei_loop_free(loop, watched->taken, watched->room);
    watched->taken = taken;
    watched->room = room;
    return 0;
}

static int take_fd(gyre_loop *loop, int fd)
{
    watched_fds *watched = need_watched(loop);

    if (watched == NULL || grow_watched(loop, watched, (uint32_t)fd) != 0)
        return GYRE_ENOMEM;
    if (watched->taken[fd] != 0)
        return GYRE_EEXIST;
    watched->taken[fd] = 1;
    return 0;
}

static void give_fd(const gyre_loop *loop, int fd)
{
    watched_of(loop)->taken[fd] = 0;
}

/* ---- the handle ---- */

static void poll_close(gyre_loop *loop, gyre_handle *handle)
{
    gyre_poll *poll = GYRE_CONTAINER_OF(handle, gyre_poll, handle);

    gyre_poll_stop(poll);
    give_fd(loop, poll->fd);
}

static void poll_finish(gyre_loop *loop, gyre_handle *handle)
{
    gyrei_op_close(loop, &GYRE_CONTAINER_OF(handle, gyre_poll, handle)->op);
}

static const gyrei_handle_class poll_class = {
    .kind = GYRE_HANDLE_POLL,
    .bytes = sizeof(gyre_poll),
    .close = poll_close,
    .finish = poll_finish,
};

/* Files and directories are always ready: no kernel watches them (epoll_ctl(2), EPERM). */
static int check_kind(const gyre_loop *loop, int fd)
{
    uint32_t mode;
    const int error = fd < 0 ? GYRE_EBADF : loop->env->sys->file_mode(loop->env, fd, &mode);

    if (error != 0)
        return error;
    return S_ISREG(mode) || S_ISDIR(mode) ? GYRE_EPERM : 0;
}

int gyre_poll_init(gyre_loop *loop, gyre_poll *poll, int fd)
{
    int error;

    gyrei_loop_check(loop);
    error = check_kind(loop, fd);
    if (error == 0)
        error = loop->ops->attach(loop->backend, fd, true);
    if (error == 0)
        error = take_fd(loop, fd);
    if (error != 0)
        return error;
    error = gyrei_op_init(loop, &poll->op);
    if (error != 0) {
        give_fd(loop, fd);
        return error;
    }
    gyrei_handle_init(loop, &poll->handle, &poll_class);
    poll->cb = NULL;
    poll->fd = fd;
    poll->events = 0;
    return 0;
}

int gyre_poll_start(gyre_poll *poll, uint32_t events, gyre_poll_cb cb)
{
    gyre_loop *loop = poll->handle.loop;
    uint32_t mode;
    int error;

    GYRE_ASSERT(cb != NULL);
    GYRE_ASSERT(!gyrei_handle_is_closing(&poll->handle));
    gyrei_loop_check(loop);
    if (events == 0 || (events & ~(uint32_t)EVENTS_ALL) != 0)
        return GYRE_EINVAL;
    error = loop->env->sys->file_mode(loop->env, poll->fd, &mode);
    if (error != 0)
        return error;
    poll->cb = cb;
    poll->events = events;
    gyrei_handle_set_active(&poll->handle, true);
    if (gyrei_op_is_idle(&poll->op))
        submit(poll);
    else
        gyrei_op_change_events(loop, &poll->op, events);
    return 0;
}

void gyre_poll_stop(gyre_poll *poll)
{
    gyre_loop *loop = poll->handle.loop;

    gyrei_loop_check(loop);
    /* The number of a stopped watcher may be somebody else's by now. */
    if (!gyre_is_active(&poll->handle))
        return;
    gyrei_handle_set_active(&poll->handle, false);
    gyrei_op_cancel(loop, &poll->op);
    /* Nothing refers to the descriptor when this returns: its owner may close it now. */
    if (loop->enabled)
        loop->ops->forget(loop->backend, poll->fd);
}
