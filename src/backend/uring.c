/*
 * The io_uring backend: operations go to the kernel as they are, and it finishes them.
 *
 *   turn: pay debts, watch --> one io_uring_enter: submit and wait --> completions --> run queue
 *
 * Sockets and files are requests on the ring; descriptors of others are polled through an epoll set
 * that the ring polls. Completions only mark ops runnable. In a forked child the ring is the
 * parent's, and its queues are memory that both share: a child makes its own before it touches
 * anything.
 */
#include "backend/uring.h"

#include "base/hot.h"

/* Rounds of cancelling everything: one finds all requests, the next one none. */
enum { DRAIN_ROUNDS = 16 };
#define DRAIN_WAIT_NS (100 * GYRE_MILLISECOND)

/* The seam's opaque backend is this. */
static gyrei_uring *uring_of(gyrei_backend *backend)
{
    return (gyrei_uring *)(void *)backend;
}

/* ---- life ---- */

static int open_buffers(gyrei_uring *uring)
{
    int error = gyrei_uring_pool_open(&uring->pool, uring->loop, &uring->config, uring->fd);

    if (error != 0)
        return error;
    error = gyrei_ready_init(&uring->foreign, uring->loop, &gyrei_poller_epoll, NULL);
    if (error != 0)
        gyrei_uring_pool_close(&uring->pool);
    return error;
}

static int open_parts(gyrei_uring *uring)
{
    int error = gyrei_uring_ring_open(uring);

    if (error != 0)
        return error;
    error = open_buffers(uring);
    if (error != 0)
        gyrei_uring_ring_close(uring, true);
    return error;
}

static int uring_open(gyre_loop *loop, const gyrei_backend_config *config, gyrei_backend **backend)
{
    gyrei_uring *uring = gyrei_loop_alloc(loop, sizeof(*uring));
    int error;

    if (uring == NULL)
        return GYRE_ENOMEM;
    *uring = (gyrei_uring){.loop = loop,
                           .env = gyrei_loop_env(loop),
                           .config = *config,
                           .fd = -1,
                           .embed_fd = -1,
                           .embed_event = -1};
    error = open_parts(uring);
    if (error != 0) {
        gyrei_loop_free(loop, uring, sizeof(*uring));
        return error;
    }
    *backend = (gyrei_backend *)(void *)uring;
    return 0;
}

static int uring_enable(gyrei_backend *backend)
{
    const int error = gyrei_uring_ring_enable(uring_of(backend));

    if (error == 0)
        uring_of(backend)->enabled = true;
    return error;
}

/*
 * Requests keep files open, and the ring itself is kept open by any child that has inherited it: so
 * nothing may be left in it.
 */
static void drain(gyrei_uring *uring)
{
    for (int round = 0; round < DRAIN_ROUNDS; round++) {
        struct io_uring_sqe *sqe = gyrei_uring_sqe(uring);

        if (sqe == NULL)
            return;
        io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
        io_uring_sqe_set_data64(sqe, (uint64_t)GYREI_URING_DRAIN << GYREI_URING_TAG_SHIFT);
        uring->drained = 1;
        if (gyrei_uring_enter(uring, DRAIN_WAIT_NS) != 0)
            return;
        gyrei_uring_reap(uring);
        if (uring->drained <= 0)
            return;
    }
}

static void uring_close(gyrei_backend *backend)
{
    gyrei_uring *uring = uring_of(backend);
    gyre_loop *loop = uring->loop;
    const bool ours = !gyrei_loop_is_forked(loop);

    if (ours && uring->enabled && uring->fd >= 0)
        drain(uring);
    gyrei_uring_ring_close(uring, ours);
    gyrei_uring_pool_close(&uring->pool);
    gyrei_ready_close(&uring->foreign);
    gyrei_uring_embed_close(uring);
    gyrei_loop_free(loop, uring, sizeof(*uring));
}

static int uring_forked(gyrei_backend *backend)
{
    gyrei_uring *uring = uring_of(backend);
    int error;

    gyrei_uring_ring_close(uring, false);
    gyrei_uring_embed_close(uring);
    uring->wake_armed = false;
    uring->foreign_armed = false;
    gyrei_uring_forget_debts(uring);
    error = gyrei_uring_ring_open(uring);
    if (error == 0)
        error = gyrei_uring_pool_renew(&uring->pool, uring->fd);
    if (error == 0 && uring->enabled)
        error = gyrei_uring_ring_enable(uring);
    return error != 0 ? error : gyrei_ready_forked(&uring->foreign);
}

/* ---- operations ---- */

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
    gyrei_uring *uring = uring_of(backend);

    if (op->kind == GYREI_OP_POLL) {
        uring->foreign_used = true;
        return gyrei_ready_submit(&uring->foreign, op);
    }
    if (!gyrei_uring_arm(uring, op))
        return GYRE_EAGAIN;
    gyrei_op_in_kernel(uring->loop, op);
    return 0;
}

static void uring_cancel(gyrei_backend *backend, gyre_op *op)
{
    if (op->state == GYREI_OP_PARKED)
        gyrei_ready_cancel(&uring_of(backend)->foreign, op);
    else
        gyrei_uring_cancel(uring_of(backend), op);
}

static void uring_change_events(gyrei_backend *backend, gyre_op *op)
{
    gyrei_ready_change_events(&uring_of(backend)->foreign, op);
}

/* Only a POLL is performed at dispatch. */
static bool uring_perform(gyrei_backend *backend, gyre_op *op, gyrei_result *result)
{
    GYRE_ASSERT(op->kind == GYREI_OP_POLL);
    return gyrei_ready_perform(&uring_of(backend)->foreign, op, result);
}

/* ---- waiting ---- */

/* Takes what the ring has, whatever else went wrong. */
static int take_results(gyrei_uring *uring, int unwatched, int error)
{
    gyrei_uring_reap(uring);
    if (unwatched != 0)
        return unwatched;
    return error != 0 ? error : gyrei_uring_take_foreign(uring);
}

GYREI_HOT static int uring_wait_begin(gyrei_backend *backend, uint64_t timeout_ns,
                                      gyrei_wait_call *call)
{
    gyrei_uring *uring = uring_of(backend);

    gyrei_uring_embed_clear(uring);
    gyrei_uring_pay_debts(uring);
    /* What the set of foreign descriptors lacks holds up no result of the ring. */
    call->error = gyrei_uring_watch(uring);
    if (call->error != 0 || gyrei_op_any_runnable(uring->loop) || uring->waiting_due || uring->owes)
        timeout_ns = 0;
    gyrei_uring_enter_begin(uring, timeout_ns, call);
    return call->kind == GYREI_WAIT_NONE ? take_results(uring, call->error, 0) : 0;
}

GYREI_HOT static int uring_wait_end(gyrei_backend *backend, const gyrei_wait_call *call, int result)
{
    gyrei_uring *uring = uring_of(backend);

    return take_results(uring, call->error, gyrei_uring_enter_end(uring, call, result));
}

static int uring_flush(gyrei_backend *backend)
{
    gyrei_uring *uring = uring_of(backend);
    int error;

    gyrei_uring_pay_debts(uring);
    error = gyrei_uring_watch(uring);
    if (error == 0)
        error = gyrei_uring_submit(uring);
    /* What the kernel refused now goes with the next turn. */
    return error == GYRE_EAGAIN || error == GYRE_EBUSY || error == GYRE_EINTR ? 0 : error;
}

static int uring_fd(gyrei_backend *backend)
{
    return gyrei_uring_embed_fd(uring_of(backend));
}

/* ---- buffers ---- */

GYREI_HOT static char *uring_buf_base(gyrei_backend *backend, uint32_t offset)
{
    return uring_of(backend)->pool.arena + offset;
}

static int uring_buf_keep(gyrei_backend *backend, const void *base)
{
    return gyrei_uring_pool_keep(&uring_of(backend)->pool, base);
}

GYREI_HOT static void uring_buf_release(gyrei_backend *backend, const void *base)
{
    gyrei_uring_pool_release(&uring_of(backend)->pool, base);
}

static void uring_buf_unkeep(gyrei_backend *backend, const void *base)
{
    gyrei_uring_pool_unkeep(&uring_of(backend)->pool, base);
}

const gyrei_backend_ops gyrei_backend_uring = {
    .name = "uring",
    .open = uring_open,
    .close = uring_close,
    .enable = uring_enable,
    .attach = uring_attach,
    .forget = uring_forget,
    .leave = uring_forget,
    .submit = uring_submit,
    .cancel = uring_cancel,
    .change_events = uring_change_events,
    .perform = uring_perform,
    .wait_begin = uring_wait_begin,
    .wait_end = uring_wait_end,
    .forked = uring_forked,
    .fd = uring_fd,
    .flush = uring_flush,
    .buf_base = uring_buf_base,
    .buf_keep = uring_buf_keep,
    .buf_release = uring_buf_release,
    .buf_unkeep = uring_buf_unkeep,
};
