/*
 * Operations to submission entries, and completions to results.
 *
 *   QUEUED --entry--> IN_KERNEL --completion with F_MORE--> a result, and on
 *                        ^  \-----last completion--------> the final result, or armed again
 *                        |                                        |
 *                        +----------------------------------------+
 *
 * A multishot request of the kernel ends now and then for reasons of its own (no buffer, a full
 * completion queue); the operation does not: it is armed again under the same number, and its
 * submitter hears nothing of it. Only an end that means something is final: an error, the end of
 * stream, a cancel. What an entry points to is the submitter's and stays until the final result.
 */
#include "backend/uring.h"

#include "os/os.h"

#include <errno.h>
#include <linux/openat2.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct io_uring_sqe *gyrei_uring_entry(gyrei_uring *uring)
{
    struct io_uring_sqe *sqe = gyrei_uring_sqe(&uring->ring);

    if (sqe == NULL && gyrei_uring_enter(&uring->ring, 0) == 0)
        sqe = gyrei_uring_sqe(&uring->ring);
    return sqe;
}

/* ---- entries ---- */

static void fill_accept(struct io_uring_sqe *sqe, const gyre_op *op)
{
    sqe->opcode = IORING_OP_ACCEPT;
    sqe->accept_flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    if ((op->flags & GYREI_OP_MULTISHOT) != 0)
        sqe->ioprio = IORING_ACCEPT_MULTISHOT;
}

static void fill_recv(struct io_uring_sqe *sqe, const gyre_op *op)
{
    sqe->opcode = IORING_OP_RECV;
    if (op->pointer != NULL) {
        sqe->addr = (uint64_t)(uintptr_t)op->pointer;
        sqe->len = op->arg32;
        return;
    }
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = GYREI_URING_GROUP;
    if ((op->flags & GYREI_OP_MULTISHOT) != 0)
        sqe->ioprio = IORING_RECV_MULTISHOT;
}

/* One buffer that is not empty: what a full socket takes next is seldom more, and short is fine. */
static void fill_send(struct io_uring_sqe *sqe, const gyre_op *op)
{
    const gyre_buf *bufs = op->pointer;
    uint32_t i = 0;

    while (i + 1 < op->arg32 && bufs[i].len == 0)
        i++;
    sqe->opcode = IORING_OP_SEND;
    sqe->addr = (uint64_t)(uintptr_t)bufs[i].base;
    sqe->len = bufs[i].len < INT32_MAX ? (uint32_t)bufs[i].len : INT32_MAX;
    sqe->msg_flags = MSG_NOSIGNAL;
    if ((op->flags & GYREI_OP_POLL_FIRST) != 0)
        sqe->ioprio = IORING_RECVSEND_POLL_FIRST;
}

static void fill_file(struct io_uring_sqe *sqe, const gyre_op *op)
{
    sqe->addr = (uint64_t)(uintptr_t)op->pointer;
    sqe->off = op->arg64;
    switch ((gyrei_op_kind)op->kind) {
    case GYREI_OP_OPEN:
        sqe->opcode = IORING_OP_OPENAT2;
        sqe->len = sizeof(struct open_how);
        break;
    case GYREI_OP_STAT:
        sqe->opcode = IORING_OP_STATX;
        sqe->statx_flags = op->arg32;
        sqe->len = STATX_BASIC_STATS;
        break;
    case GYREI_OP_READ:
        sqe->opcode = IORING_OP_READ;
        sqe->len = op->arg32;
        break;
    default:
        sqe->opcode = IORING_OP_CLOSE;
        sqe->addr = 0;
        sqe->off = 0;
        break;
    }
}

static void fill(const gyrei_uring *uring, struct io_uring_sqe *sqe, const gyre_op *op)
{
    sqe->fd = op->fd;
    sqe->user_data = gyrei_op_id(uring->loop, op);
    switch ((gyrei_op_kind)op->kind) {
    case GYREI_OP_ACCEPT: fill_accept(sqe, op); break;
    case GYREI_OP_RECV: fill_recv(sqe, op); break;
    case GYREI_OP_SEND: fill_send(sqe, op); break;
    case GYREI_OP_CONNECT:
        sqe->opcode = IORING_OP_CONNECT;
        sqe->addr = (uint64_t)(uintptr_t)op->pointer;
        sqe->off = op->arg32;
        break;
    default: fill_file(sqe, op); break;
    }
}

int gyrei_uring_submit(gyrei_uring *uring, gyre_op *op)
{
    struct io_uring_sqe *sqe;

    if (op->kind == GYREI_OP_POLL) {
        uring->foreign_used = true;
        return gyrei_ready_submit(&uring->foreign, op);
    }
    sqe = gyrei_uring_entry(uring);
    if (sqe == NULL)
        return GYRE_EAGAIN;
    fill(uring, sqe, op);
    gyrei_op_in_kernel(uring->loop, op);
    return 0;
}

/* ---- what is to be done before the next wait ---- */

/* The receive waits for a buffer: nothing of it is in the kernel. */
#define OP_STARVED GYREI_OP_BACKEND_A
/* A cancel found no free entry. */
#define OP_CANCEL_DUE GYREI_OP_BACKEND_B

/* Remembers an op by its number: one that ends meanwhile is not found again. False: no room. */
static bool do_later(gyrei_uring *uring, const gyre_op *op)
{
    if (uring->later_count == GYREI_URING_LATER)
        return false;
    uring->later[uring->later_count++] = gyrei_op_id(uring->loop, op);
    return true;
}

static bool cancel_entry(gyrei_uring *uring, const gyre_op *op)
{
    struct io_uring_sqe *sqe = gyrei_uring_entry(uring);

    if (sqe == NULL)
        return false;
    sqe->opcode = IORING_OP_ASYNC_CANCEL;
    sqe->fd = -1;
    sqe->addr = gyrei_op_id(uring->loop, op);
    sqe->user_data = GYREI_URING_IGNORE;
    return true;
}

/* Needs no entry. What it misses is an op whose own entry the kernel could not take yet. */
static void cancel_by_call(gyrei_uring *uring, const gyre_op *op)
{
    struct io_uring_sync_cancel_reg reg = {.addr = gyrei_op_id(uring->loop, op), .fd = -1};

    (void)uring->env->sys->uring_register(uring->env, uring->ring.ring.ring_fd,
                                          IORING_REGISTER_SYNC_CANCEL, &reg, 1);
}

void gyrei_uring_cancel(gyrei_uring *uring, gyre_op *op)
{
    if (op->state == GYREI_OP_PARKED) {
        gyrei_ready_cancel(&uring->foreign, op);
    } else if ((op->flags & OP_STARVED) != 0) {
        op->flags &= (uint16_t)~OP_STARVED;
        (void)gyrei_op_complete(uring->loop, op, GYRE_ECANCELED, 0, 0);
    } else if (!cancel_entry(uring, op)) {
        if (do_later(uring, op))
            op->flags |= OP_CANCEL_DUE;
        else
            cancel_by_call(uring, op);
    }
}

static bool arm(gyrei_uring *uring, const gyre_op *op)
{
    struct io_uring_sqe *sqe = gyrei_uring_entry(uring);

    if (sqe != NULL)
        fill(uring, sqe, op);
    return sqe != NULL;
}

/* One op of `later`: true when it is settled. */
static bool settle(gyrei_uring *uring, gyre_op *op)
{
    if ((op->flags & OP_CANCEL_DUE) != 0) {
        if (!cancel_entry(uring, op))
            return false;
        op->flags &= (uint16_t)~OP_CANCEL_DUE;
    } else if ((op->flags & OP_STARVED) != 0) {
        if (uring->buffers.out == uring->buffers.count || !arm(uring, op))
            return false;
        op->flags &= (uint16_t)~OP_STARVED;
    }
    return true;
}

void gyrei_uring_do_later(gyrei_uring *uring)
{
    uint32_t left = 0;

    for (uint32_t i = 0; i < uring->later_count; i++) {
        gyre_op *op = gyrei_op_find(uring->loop, uring->later[i]);

        if (op != NULL && !settle(uring, op))
            uring->later[left++] = uring->later[i];
    }
    uring->later_count = left;
}

/* ---- completions ---- */

/* The kernel's request has ended and the op goes on: armed again, now or when it can be. */
static void go_on(gyrei_uring *uring, gyre_op *op, bool starved)
{
    if (!starved && arm(uring, op))
        return;
    op->flags |= OP_STARVED;
    /* With no room to remember it: at once, and the kernel says again that it has no buffer. */
    if (!do_later(uring, op) && arm(uring, op))
        op->flags &= (uint16_t)~OP_STARVED;
}

/* Whether the op goes on although the kernel's request has ended. */
static bool goes_on(const gyre_op *op, const struct io_uring_cqe *cqe)
{
    const bool multishot = (op->flags & GYREI_OP_MULTISHOT) != 0;

    if ((op->flags & GYREI_OP_CANCELING) != 0)
        return false;
    if (op->kind == GYREI_OP_RECV)
        return cqe->res == -ENOBUFS || (multishot && cqe->res > 0);
    return op->kind == GYREI_OP_ACCEPT && multishot && cqe->res >= 0;
}

/* The result that the submitter gets; a cancelled receive that found no buffer was cancelled. */
static int32_t value_of(const gyre_op *op, const struct io_uring_cqe *cqe)
{
    if (cqe->res >= 0)
        return cqe->res;
    if (cqe->res == -ENOBUFS && (op->flags & GYREI_OP_CANCELING) != 0)
        return GYRE_ECANCELED;
    return gyrei_os_error(-cqe->res);
}

static bool has_buffer(const struct io_uring_cqe *cqe)
{
    return (cqe->flags & IORING_CQE_F_BUFFER) != 0 && cqe->res > 0;
}

bool gyrei_uring_complete(gyrei_uring *uring, gyre_op *op, const struct io_uring_cqe *cqe)
{
    const bool ended = (cqe->flags & IORING_CQE_F_MORE) == 0;
    const bool more = !ended || goes_on(op, cqe);
    uint32_t flags = more ? GYREI_RESULT_MORE : 0;
    uint32_t offset = 0;

    if (cqe->res == -ENOBUFS && more) {
        go_on(uring, op, true);
        return true;
    }
    if (!gyrei_op_has_room(uring->loop, op))
        return false;
    if (has_buffer(cqe)) {
        offset = gyrei_uring_buffers_received(&uring->buffers, cqe->flags, (uint32_t)cqe->res);
        flags |= GYREI_RESULT_BUFFER;
    }
    if (ended && more)
        go_on(uring, op, false);
    return gyrei_op_complete(uring->loop, op, value_of(op, cqe), flags, offset);
}
