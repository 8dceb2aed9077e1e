/*
 * The io_uring backend: the seam on one side, rings, operations and buffers on the other.
 *
 * One enter a turn submits what was gathered, waits, and lets the kernel's deferred work run; the
 * completions are then read without a call. The ring is made disabled and belongs to the thread
 * that enables it (SINGLE_ISSUER says EEXIST to any other).
 *
 * Core's eventfd is watched by a multishot poll and never read: each write to it is a completion.
 * Foreign descriptors live in an epoll set that the ring polls, because a request of the ring keeps
 * the file open: its owner's close would send no FIN. The ring's own descriptor does not wake a
 * poller under DEFER_TASKRUN; a host loop gets an eventfd that the kernel signals.
 */
#include "backend/uring.h"

#include <poll.h>

static gyrei_uring *uring_of(gyrei_backend *backend)
{
    return (gyrei_uring *)(void *)backend;
}

/* ---- life ---- */

static int open_ring(gyrei_uring *uring)
{
    int error = gyrei_uring_ring_open(&uring->ring, uring->env, uring->config.ring_entries);

    if (error != 0)
        return error;
    error = gyrei_uring_buffers_open(&uring->buffers, uring->loop, &uring->ring, &uring->config);
    if (error != 0)
        gyrei_uring_ring_close(&uring->ring);
    return error;
}

static int open_parts(gyrei_uring *uring)
{
    int error;

    uring->later = gyrei_loop_alloc(uring->loop, GYREI_URING_LATER * sizeof(uint64_t));
    if (uring->later == NULL)
        return GYRE_ENOMEM;
    error = open_ring(uring);
    if (error != 0)
        return error;
    error = gyrei_ready_init(&uring->foreign, uring->loop, &gyrei_poller_epoll, NULL);
    if (error != 0) {
        gyrei_uring_buffers_close(&uring->buffers);
        gyrei_uring_ring_close(&uring->ring);
    }
    return error;
}

static int uring_open(gyre_loop *loop, const gyrei_backend_config *config, gyrei_backend **backend)
{
    gyrei_uring *uring = gyrei_loop_alloc(loop, sizeof(*uring));
    int error;

    if (uring == NULL)
        return GYRE_ENOMEM;
    uring->loop = loop;
    uring->env = gyrei_loop_env(loop);
    uring->config = *config;
    uring->embed_fd = -1;
    error = open_parts(uring);
    if (error != 0) {
        gyrei_loop_free(loop, uring->later, GYREI_URING_LATER * sizeof(uint64_t));
        gyrei_loop_free(loop, uring, sizeof(*uring));
        return error;
    }
    *backend = (gyrei_backend *)(void *)uring;
    return 0;
}

/*
 * No op is in flight; the two polls of ours are ended before the ring goes, so that a child that
 * inherited the ring keeps no file open through it. In a child the kernel refuses that, rightly.
 */
static void uring_close(gyrei_backend *backend)
{
    gyrei_uring *uring = uring_of(backend);
    gyre_loop *loop = uring->loop;
    struct io_uring_sync_cancel_reg all = {
        .fd = -1, .flags = IORING_ASYNC_CANCEL_ANY, .timeout = {.tv_sec = -1, .tv_nsec = -1}};

    (void)uring->env->sys->uring_register(uring->env, uring->ring.ring.ring_fd,
                                          IORING_REGISTER_SYNC_CANCEL, &all, 1);
    gyrei_uring_ring_close(&uring->ring);
    gyrei_uring_buffers_close(&uring->buffers);
    gyrei_ready_close(&uring->foreign);
    if (uring->embed_fd >= 0)
        uring->env->sys->close(uring->env, uring->embed_fd);
    gyrei_loop_free(loop, uring->later, GYREI_URING_LATER * sizeof(uint64_t));
    gyrei_loop_free(loop, uring, sizeof(*uring));
}

static int uring_enable(gyrei_backend *backend)
{
    const int error = gyrei_uring_ring_enable(&uring_of(backend)->ring);

    uring_of(backend)->enabled = error == 0;
    return error;
}

/* ---- descriptors and operations ---- */

static int uring_attach(gyrei_backend *backend, int fd, bool foreign)
{
    return foreign ? gyrei_ready_attach(&uring_of(backend)->foreign, fd) : 0;
}

static void uring_forget(gyrei_backend *backend, int fd)
{
    gyrei_ready_forget(&uring_of(backend)->foreign, fd);
}

static int uring_submit(gyrei_backend *backend, gyre_op *op)
{
    return gyrei_uring_submit(uring_of(backend), op);
}

static void uring_cancel(gyrei_backend *backend, gyre_op *op)
{
    gyrei_uring_cancel(uring_of(backend), op);
}

static void uring_change_events(gyrei_backend *backend, gyre_op *op)
{
    gyrei_ready_change_events(&uring_of(backend)->foreign, op);
}

static bool uring_perform(gyrei_backend *backend, gyre_op *op, gyrei_result *result)
{
    return gyrei_ready_perform(&uring_of(backend)->foreign, op, result);
}

/* ---- waiting ---- */

static bool arm_poll(gyrei_uring *uring, int fd, uint64_t user_data, uint32_t flags)
{
    struct io_uring_sqe *sqe = gyrei_uring_entry(uring);

    if (sqe == NULL)
        return false;
    sqe->opcode = IORING_OP_POLL_ADD;
    sqe->fd = fd;
    sqe->poll32_events = POLLIN;
    sqe->len = flags;
    sqe->user_data = user_data;
    return true;
}

/* Fills in whatever must be in the kernel before it is asked to wait. */
static int prepare(gyrei_uring *uring)
{
    if (uring->later_count > 0)
        gyrei_uring_do_later(uring);
    if (!uring->wake_armed)
        uring->wake_armed =
            arm_poll(uring, uring->config.wake_fd, GYREI_URING_WAKE, IORING_POLL_ADD_MULTI);
    if (!uring->foreign_used)
        return 0;
    if (!uring->foreign_armed)
        uring->foreign_armed =
            arm_poll(uring, uring->foreign.ops->fd(&uring->foreign), GYREI_URING_FOREIGN, 0);
    return gyrei_ready_flush(&uring->foreign);
}

/* False: the completion must wait in the ring for room. */
static bool take(gyrei_uring *uring, const struct io_uring_cqe *cqe)
{
    const bool ended = (cqe->flags & IORING_CQE_F_MORE) == 0;
    gyre_op *op;

    switch (cqe->user_data) {
    case GYREI_URING_IGNORE: return true;
    case GYREI_URING_WAKE:
        if (ended)
            uring->wake_armed = false;
        return true;
    case GYREI_URING_FOREIGN:
        uring->foreign_armed = false;
        uring->foreign_ready = true;
        return true;
    default: break;
    }
    op = gyrei_op_find(uring->loop, cqe->user_data);
    GYRE_ASSERT(op != NULL); /* an op is final only with its request's last completion */
    return gyrei_uring_complete(uring, op, cqe);
}

static void take_all(gyrei_uring *uring)
{
    struct io_uring_cqe *cqe;

    while ((cqe = gyrei_uring_cqe(&uring->ring)) != NULL && take(uring, cqe))
        gyrei_uring_cqe_taken(&uring->ring);
}

static int uring_wait(gyrei_backend *backend, uint64_t timeout_ns)
{
    gyrei_uring *uring = uring_of(backend);
    int error = prepare(uring);

    if (error != 0)
        return error;
    if (uring->embed_fd >= 0)
        (void)uring->env->sys->event_read(uring->env, uring->embed_fd);
    if (gyrei_op_any_runnable(uring->loop))
        timeout_ns = 0;
    error = gyrei_uring_enter(&uring->ring, timeout_ns);
    if (error != 0)
        return error;
    take_all(uring);
    if (!uring->foreign_ready)
        return 0;
    uring->foreign_ready = false;
    return gyrei_ready_wait(&uring->foreign, 0);
}

static int uring_flush(gyrei_backend *backend)
{
    gyrei_uring *uring = uring_of(backend);
    const int error = prepare(uring);

    return error != 0 ? error : gyrei_uring_enter(&uring->ring, 0);
}

/* ---- embedding and fork ---- */

static int uring_fd(gyrei_backend *backend)
{
    gyrei_uring *uring = uring_of(backend);
    int fd;
    int error;

    if (uring->embed_fd >= 0)
        return uring->embed_fd;
    fd = uring->env->sys->event_create(uring->env);
    if (fd < 0)
        return fd;
    error = uring->env->sys->uring_register(uring->env, uring->ring.ring.ring_fd,
                                            IORING_REGISTER_EVENTFD, &fd, 1);
    if (error < 0) {
        uring->env->sys->close(uring->env, fd);
        return error;
    }
    uring->embed_fd = fd;
    /* What completed before it was registered signals nothing. */
    (void)uring->env->sys->event_write(uring->env, fd);
    return fd;
}

/* Core ends the ops that were in the parent's ring. */
static int uring_forked(gyrei_backend *backend)
{
    gyrei_uring *uring = uring_of(backend);
    int error;

    uring->ring.enter_flags = 0; /* the registration is the parent's thread's */
    gyrei_uring_ring_close(&uring->ring);
    error = gyrei_uring_ring_open(&uring->ring, uring->env, uring->config.ring_entries);
    if (error != 0)
        return error;
    error = gyrei_uring_buffers_forked(&uring->buffers, &uring->ring);
    if (error == 0 && uring->enabled)
        error = gyrei_uring_ring_enable(&uring->ring);
    if (error == 0)
        error = gyrei_ready_forked(&uring->foreign);
    if (uring->embed_fd >= 0)
        uring->env->sys->close(uring->env, uring->embed_fd);
    uring->embed_fd = -1;
    uring->later_count = 0;
    uring->wake_armed = false;
    uring->foreign_armed = false;
    return error;
}

/* ---- buffers ---- */

static char *uring_buf_base(gyrei_backend *backend, uint32_t offset)
{
    return uring_of(backend)->buffers.arena + offset;
}

static int uring_buf_keep(gyrei_backend *backend, const void *base)
{
    return gyrei_uring_buffers_keep(&uring_of(backend)->buffers, base);
}

static void uring_buf_release(gyrei_backend *backend, const void *base)
{
    gyrei_uring_buffers_release(&uring_of(backend)->buffers, base);
}

static void uring_buf_unkeep(gyrei_backend *backend, const void *base)
{
    gyrei_uring_buffers_unkeep(&uring_of(backend)->buffers, base);
}

const gyrei_backend_ops gyrei_backend_uring = {
    .name = "uring",
    .open = uring_open,
    .close = uring_close,
    .enable = uring_enable,
    .attach = uring_attach,
    .forget = uring_forget,
    .submit = uring_submit,
    .cancel = uring_cancel,
    .change_events = uring_change_events,
    .perform = uring_perform,
    .wait = uring_wait,
    .forked = uring_forked,
    .fd = uring_fd,
    .flush = uring_flush,
    .buf_base = uring_buf_base,
    .buf_keep = uring_buf_keep,
    .buf_release = uring_buf_release,
    .buf_unkeep = uring_buf_unkeep,
};
