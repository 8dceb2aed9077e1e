/*
 * Operations as submission entries, and completions as results.
 *
 *   submit --> armed --completion--> result
 *               ^  |
 *               |  +-- F_MORE is clear, no buffer, no room: the request ended, the op did not
 *               +----- armed anew: at once, or from the list of waiting ops before the next wait
 *
 * A multishot receive takes all buffers that it can fill. One that found none is therefore armed
 * for a single result, so that what is free then serves many: a firehose starves nobody.
 *
 * Invariants: an op in the list of waiting ops is not in the kernel, and only
 * gyrei_uring_pay_debts finishes it; so the list needs one pointer, for which a receive into the
 * pool and an accept lend arg64. Whatever a completion carries that nobody wants is given back:
 * bytes to the pool, descriptors to the system. Must not know what an op is for.
 */
#include "backend/uring.h"

#include "backend/uring_abi.h"
#include "base/hot.h"
#include "os/os.h"

#include <limits.h>
#include <stddef.h>
#include <sys/stat.h>

_Static_assert(sizeof(gyre_buf) == sizeof(struct iovec) &&
                   offsetof(gyre_buf, len) == offsetof(struct iovec, iov_len),
               "an array of gyre_buf is one of iovec");

/* ---- names for the kernel ---- */

static uint64_t user_data(uint64_t id, uint32_t tag)
{
    GYRE_ASSERT((id & GYREI_URING_TAG_MASK) == 0 && tag < GYREI_URING_TAGS);
    return id | (uint64_t)tag << GYREI_URING_TAG_SHIFT;
}

static bool is_pool_receive(const gyre_op *op)
{
    return op->kind == GYREI_OP_RECV && op->pointer == NULL;
}

/* Such an op is armed anew when its request ends early, and may wait for that. */
static bool is_renewable(const gyre_op *op)
{
    return is_pool_receive(op) || op->kind == GYREI_OP_ACCEPT;
}

static bool is_multishot_request(const gyre_op *op)
{
    const uint16_t flags = GYREI_OP_MULTISHOT | GYREI_URING_OP_SINGLE | GYREI_URING_OP_STARVED;

    return (op->flags & flags) == GYREI_OP_MULTISHOT;
}

/* ---- submission entries ---- */

/* An op carries addresses as numbers, as the kernel's entries do. */
static void *address_of(uint64_t number)
{
    return (void *)(uintptr_t)number; /* NOLINT(performance-no-int-to-ptr) */
}

static void prepare_recv(struct io_uring_sqe *sqe, const gyre_op *op)
{
    if (op->pointer != NULL) {
        io_uring_prep_recv(sqe, op->fd, op->pointer, op->arg32, 0);
        return;
    }
    if (is_multishot_request(op))
        io_uring_prep_recv_multishot(sqe, op->fd, NULL, 0, 0);
    else
        io_uring_prep_recv(sqe, op->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GYREI_URING_GROUP;
}

static void prepare_accept(struct io_uring_sqe *sqe, const gyre_op *op)
{
    const int flags = SOCK_NONBLOCK | SOCK_CLOEXEC;

    if (is_multishot_request(op))
        io_uring_prep_multishot_accept(sqe, op->fd, NULL, NULL, flags);
    else
        io_uring_prep_accept(sqe, op->fd, NULL, NULL, flags);
}

static void prepare_send(gyrei_uring *uring, struct io_uring_sqe *sqe, const gyre_op *op)
{
    if (op->arg32 == 1) {
        const gyre_buf *buf = op->pointer;

        io_uring_prep_send(sqe, op->fd, buf->base, buf->len, MSG_NOSIGNAL);
    } else {
        struct msghdr *message = &uring->messages[sqe - uring->ring.sq.sqes];

        *message = (struct msghdr){.msg_iov = op->pointer,
                                   .msg_iovlen = op->arg32 < IOV_MAX ? op->arg32 : IOV_MAX};
        io_uring_prep_sendmsg(sqe, op->fd, message, MSG_NOSIGNAL);
    }
    if ((op->flags & GYREI_OP_POLL_FIRST) != 0)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
}

static void prepare(gyrei_uring *uring, struct io_uring_sqe *sqe, const gyre_op *op)
{
    switch ((gyrei_op_kind)op->kind) {
    case GYREI_OP_ACCEPT: prepare_accept(sqe, op); break;
    case GYREI_OP_CONNECT: io_uring_prep_connect(sqe, op->fd, op->pointer, op->arg32); break;
    case GYREI_OP_RECV: prepare_recv(sqe, op); break;
    case GYREI_OP_SEND: prepare_send(uring, sqe, op); break;
    case GYREI_OP_OPEN:
        io_uring_prep_openat2(sqe, op->fd, op->pointer, address_of(op->arg64));
        break;
    case GYREI_OP_STAT:
        io_uring_prep_statx(sqe, op->fd, op->pointer, (int)op->arg32, STATX_BASIC_STATS,
                            address_of(op->arg64));
        break;
    case GYREI_OP_READ: io_uring_prep_read(sqe, op->fd, op->pointer, op->arg32, op->arg64); break;
    case GYREI_OP_CLOSE: io_uring_prep_close(sqe, op->fd); break;
    case GYREI_OP_NONE:
    case GYREI_OP_POLL:
    case GYREI_OP_KINDS: GYRE_ASSERT(op->kind == GYREI_OP_ACCEPT); break;
    }
}

bool gyrei_uring_arm(gyrei_uring *uring, gyre_op *op)
{
    struct io_uring_sqe *sqe = gyrei_uring_sqe(uring);

    if (sqe == NULL)
        return false;
    prepare(uring, sqe, op);
    io_uring_sqe_set_data64(sqe, user_data(gyrei_op_id(uring->loop, op), op->kind));
    return true;
}

/* ---- waiting ops ---- */

static void wait_to_arm(gyrei_uring *uring, gyre_op *op)
{
    GYRE_ASSERT(is_renewable(op) && (op->flags & GYREI_URING_OP_WAITING) == 0);
    op->flags |= GYREI_URING_OP_WAITING;
    op->arg64 = 0;
    if (uring->waiting_first == NULL)
        uring->waiting_first = op;
    else
        uring->waiting_last->arg64 = (uint64_t)(uintptr_t)op;
    uring->waiting_last = op;
}

/* Goes on, ends, or waits longer. */
static void resume(gyrei_uring *uring, gyre_op *op)
{
    op->flags &= (uint16_t)~GYREI_URING_OP_WAITING;
    if ((op->flags & GYREI_OP_CANCELING) != 0) {
        if (gyrei_op_complete(uring->loop, op, GYRE_ECANCELED, 0, 0))
            return;
        uring->waiting_due = true;
    } else if (!is_pool_receive(op) || uring->pool.provided > 0) {
        if (gyrei_uring_arm(uring, op))
            return;
        uring->waiting_due = true;
    }
    wait_to_arm(uring, op);
}

static void resume_waiting(gyrei_uring *uring)
{
    gyre_op *op = uring->waiting_first;

    uring->waiting_first = NULL;
    uring->waiting_due = false;
    while (op != NULL) {
        gyre_op *next = address_of(op->arg64);

        resume(uring, op);
        op = next;
    }
}

/* ---- cancelling ---- */

void gyrei_uring_cancel(gyrei_uring *uring, gyre_op *op)
{
    struct io_uring_sqe *sqe;

    if ((op->flags & GYREI_URING_OP_WAITING) != 0) {
        uring->waiting_due = true;
        return;
    }
    sqe = gyrei_uring_sqe(uring);
    if (sqe == NULL) {
        op->flags |= GYREI_URING_OP_OWED;
        uring->owes = true;
        return;
    }
    op->flags &= (uint16_t)~GYREI_URING_OP_OWED;
    io_uring_prep_cancel64(sqe, user_data(gyrei_op_id(uring->loop, op), op->kind), 0);
    io_uring_sqe_set_data64(sqe, user_data(gyrei_op_id(uring->loop, op), GYREI_URING_CANCEL));
    if ((uring->ring.features & IORING_FEAT_CQE_SKIP) != 0)
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/*
 * A request that is on its way between poll and worker is not found for a moment (ENOENT). If the
 * op is still there, it is asked for again; if it has ended, its completion says so before that.
 */
static void cancel_answered(gyrei_uring *uring, gyre_op *op, int32_t result)
{
    if (result != GYRE_ENOENT || op == NULL || op->state != GYREI_OP_IN_KERNEL ||
        (op->flags & GYREI_URING_OP_WAITING) != 0)
        return;
    op->flags |= GYREI_URING_OP_OWED;
    uring->owes = true;
}

static void cancel_owed(gyrei_uring *uring)
{
    uint32_t position = 0;
    gyre_op *op;

    uring->owes = false;
    while ((op = gyrei_op_next(uring->loop, &position)) != NULL) {
        if (op->state == GYREI_OP_IN_KERNEL && (op->flags & GYREI_URING_OP_OWED) != 0)
            gyrei_uring_cancel(uring, op);
    }
}

GYREI_HOT void gyrei_uring_pay_debts(gyrei_uring *uring)
{
    if (uring->waiting_first != NULL && (uring->waiting_due || uring->pool.provided > 0))
        resume_waiting(uring);
    if (uring->owes)
        cancel_owed(uring);
}

void gyrei_uring_forget_debts(gyrei_uring *uring)
{
    gyre_op *op = uring->waiting_first;

    uring->waiting_first = NULL;
    uring->waiting_due = false;
    uring->owes = false;
    while (op != NULL) {
        op->flags &= (uint16_t)~GYREI_URING_OP_WAITING;
        op = address_of(op->arg64);
    }
}

/* ---- completions ---- */

static bool has_buffer(const struct io_uring_cqe *cqe)
{
    return (cqe->flags & IORING_CQE_F_BUFFER) != 0;
}

static gyrei_uring_part part_of(const struct io_uring_cqe *cqe)
{
    return (gyrei_uring_part){
        .buffer = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT),
        .len = cqe->res > 0 ? (uint32_t)cqe->res : 0,
        .last = (cqe->flags & GYREI_URING_CQE_BUFFER_MORE) == 0,
    };
}

/* What a completion that has no op any more has brought. */
static void dispose(gyrei_uring *uring, uint32_t tag, const struct io_uring_cqe *cqe)
{
    if (has_buffer(cqe)) {
        const gyrei_uring_part part = part_of(cqe);

        gyrei_uring_pool_drop(&uring->pool, &part);
    }
    if ((tag == GYREI_OP_ACCEPT || tag == GYREI_OP_OPEN) && cqe->res >= 0)
        uring->env->sys->close(uring->env, cqe->res);
}

/* The request ended for a reason of its own, which is no result of the op. */
static bool is_passing(int32_t value)
{
    return value == GYRE_ENOBUFS || value == GYRE_EAGAIN || value == GYRE_EINTR;
}

static bool is_interlude(const gyre_op *op, int32_t value)
{
    return is_renewable(op) && (op->flags & GYREI_OP_CANCELING) == 0 && is_passing(value);
}

static int32_t error_of(const gyre_op *op, int32_t value)
{
    /* It would have gone on, but for the cancel. A worker's call that is cancelled says EINTR. */
    if ((op->flags & GYREI_OP_CANCELING) != 0 && is_passing(value))
        return GYRE_ECANCELED;
    return gyrei_os_error(-value);
}

/*
 * A kernel that does not know multishot requests of this kind says EINVAL, and so does one that
 * means the descriptor: a request for one result will show.
 */
static bool is_unknown(const gyre_op *op, int32_t value)
{
    return value == GYRE_EINVAL && is_renewable(op) && is_multishot_request(op) &&
           (op->flags & GYREI_OP_CANCELING) == 0;
}

/* Nothing was achieved, and the op goes on: it is armed anew before the next wait. */
static void interrupt(gyrei_uring *uring, gyre_op *op, int32_t value)
{
    if (value == GYRE_EINVAL)
        op->flags |= GYREI_URING_OP_SINGLE;
    if (value == GYRE_ENOBUFS)
        op->flags |= GYREI_URING_OP_STARVED;
    else
        uring->waiting_due = true;
    wait_to_arm(uring, op);
}

static bool complete_without(gyrei_uring *uring, gyre_op *op, const struct io_uring_cqe *cqe)
{
    if (is_interlude(op, cqe->res) || is_unknown(op, cqe->res)) {
        interrupt(uring, op, cqe->res);
        return true;
    }
    if (!gyrei_op_complete(uring->loop, op, cqe->res < 0 ? error_of(op, cqe->res) : cqe->res, 0, 0))
        return false;
    if (has_buffer(cqe)) {
        const gyrei_uring_part part = part_of(cqe);

        gyrei_uring_pool_drop(&uring->pool, &part);
    }
    return true;
}

/* Behind those that wait, so that one that always has bytes takes no buffer before them. */
static void arm_anew(gyrei_uring *uring, gyre_op *op)
{
    if (uring->waiting_first == NULL && gyrei_uring_arm(uring, op))
        return;
    uring->waiting_due = true;
    wait_to_arm(uring, op);
}

/* A result of an op that may have more; when the request has ended, it is armed anew. */
static bool complete_with(gyrei_uring *uring, gyre_op *op, const struct io_uring_cqe *cqe)
{
    const bool ended = (cqe->flags & IORING_CQE_F_MORE) == 0;
    const bool multishot = (op->flags & GYREI_OP_MULTISHOT) != 0;
    const bool more = !ended || (multishot && (op->flags & GYREI_OP_CANCELING) == 0);
    const uint32_t flags = more ? GYREI_RESULT_MORE : 0;

    if (has_buffer(cqe)) {
        const gyrei_uring_part part = part_of(cqe);

        if (!gyrei_op_complete(uring->loop, op, cqe->res, flags | GYREI_RESULT_BUFFER,
                               gyrei_uring_pool_offset(&uring->pool, &part)))
            return false;
        gyrei_uring_pool_take(&uring->pool, &part);
    } else if (!gyrei_op_complete(uring->loop, op, cqe->res, flags, 0)) {
        return false;
    }
    op->flags &= (uint16_t)~GYREI_URING_OP_STARVED;
    if (more && ended)
        arm_anew(uring, op);
    return true;
}

static bool has_achieved(const gyre_op *op, int32_t value)
{
    return op->kind == GYREI_OP_RECV ? value > 0 : value >= 0;
}

/* What nearly all completions are: a receive that goes on has filled a part of a buffer. */
static inline bool is_part(const gyre_op *op, uint32_t tag, const struct io_uring_cqe *cqe)
{
    const uint32_t flags = IORING_CQE_F_BUFFER | IORING_CQE_F_MORE;

    return tag == GYREI_OP_RECV && (cqe->flags & flags) == flags && cqe->res > 0 && op != NULL &&
           (op->flags & GYREI_URING_OP_WAITING) == 0;
}

/* The short way for it: complete_with does the same. */
static inline bool complete_part(gyrei_uring *uring, gyre_op *op, const struct io_uring_cqe *cqe)
{
    const gyrei_uring_part part = part_of(cqe);

    GYRE_ASSERT(op->kind == GYREI_OP_RECV && op->state == GYREI_OP_IN_KERNEL);
    if (!gyrei_op_complete(uring->loop, op, cqe->res, GYREI_RESULT_MORE | GYREI_RESULT_BUFFER,
                           gyrei_uring_pool_offset(&uring->pool, &part)))
        return false;
    gyrei_uring_pool_take(&uring->pool, &part);
    return true;
}

GYREI_HOT bool gyrei_uring_complete(gyrei_uring *uring, const struct io_uring_cqe *cqe)
{
    const uint32_t tag =
        (uint32_t)((cqe->user_data & GYREI_URING_TAG_MASK) >> GYREI_URING_TAG_SHIFT);
    gyre_op *op;

    if (tag >= GYREI_URING_DRAIN) {
        gyrei_uring_watched(uring, tag, cqe);
        return true;
    }
    op = gyrei_op_find(uring->loop, cqe->user_data & ~GYREI_URING_TAG_MASK);
    if (__builtin_expect(is_part(op, tag, cqe), 1))
        return complete_part(uring, op, cqe);
    if (tag == GYREI_URING_CANCEL) {
        cancel_answered(uring, op, cqe->res);
        return true;
    }
    if (op == NULL || (op->flags & GYREI_URING_OP_WAITING) != 0) {
        dispose(uring, tag, cqe);
        return true;
    }
    GYRE_ASSERT(op->kind == tag && op->state == GYREI_OP_IN_KERNEL);
    if (has_achieved(op, cqe->res))
        return complete_with(uring, op, cqe);
    return complete_without(uring, op, cqe);
}
