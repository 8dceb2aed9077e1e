/*
 * The two queues: entries go out and completions come in with one system call a turn.
 *
 * Invariants: a completion is given back to the kernel only after it was accepted, so that what has
 * no room stays where it is; the call is left out only when nothing is to be submitted and the
 * kernel has said that nothing waits for it. Must not know operations.
 */
#include "backend/uring.h"

#include "base/hot.h"
#include "os/here.h"

/* A signal mask's bytes, as the kernel counts them; we pass none. */
enum { SIGNAL_BYTES = 8 };

/* How long to wait for room when the kernel takes no entries. */
#define REFUSED_NS GYRE_MILLISECOND

/* Shows the kernel all prepared entries; how many it has not taken yet. */
static uint32_t publish(gyrei_uring *uring)
{
    struct io_uring_sq *sq = &uring->ring.sq;

    io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    return sq->sqe_tail - io_uring_smp_load_acquire(sq->khead);
}

int gyrei_uring_submit(gyrei_uring *uring)
{
    const uint32_t count = publish(uring);
    int result = 0;

    if (count > 0)
        result = uring->env->sys->uring_enter(uring->env, uring->enter_fd, count, 0,
                                              uring->enter_flags, NULL, 0);
    return result < 0 ? result : 0;
}

struct io_uring_sqe *gyrei_uring_sqe(gyrei_uring *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);

    if (sqe != NULL)
        return sqe;
    (void)gyrei_uring_submit(uring);
    return io_uring_get_sqe(&uring->ring);
}

/* Whether the kernel holds completions back until it is entered. */
static bool kernel_waits(const gyrei_uring *uring)
{
    return (IO_URING_READ_ONCE(*uring->ring.sq.kflags) &
            (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN)) != 0;
}

static void prepare_enter(gyrei_uring *uring, uint32_t submit, uint64_t timeout_ns,
                          gyrei_wait_call *call)
{
    call->kind = GYREI_WAIT_URING;
    call->fd = uring->enter_fd;
    call->uring.submit = submit;
    call->uring.wait = timeout_ns != 0;
    call->uring.flags = uring->enter_flags | IORING_ENTER_GETEVENTS;
    call->uring.arg = NULL;
    call->uring.arg_size = 0;
    if (timeout_ns == 0 || timeout_ns == GYREI_WAIT_FOREVER)
        return;
    uring->timeout.tv_sec = (int64_t)(timeout_ns / GYRE_SECOND);
    uring->timeout.tv_nsec = (long long)(timeout_ns % GYRE_SECOND);
    uring->wait_arg.sigmask_sz = SIGNAL_BYTES;
    uring->wait_arg.ts = (uint64_t)(uintptr_t)&uring->timeout;
    call->uring.flags |= IORING_ENTER_EXT_ARG;
    call->uring.arg = &uring->wait_arg;
    call->uring.arg_size = sizeof(uring->wait_arg);
}

/*
 * Submission may be refused for lack of memory, or because completions have overflown: what is
 * under way must end first.
 */
static bool is_refusal(int result)
{
    return result == GYRE_EAGAIN || result == GYRE_EBUSY;
}

GYREI_HOT void gyrei_uring_enter_begin(gyrei_uring *uring, uint64_t timeout_ns,
                                       gyrei_wait_call *call)
{
    const uint32_t submit = publish(uring);

    if (submit != 0 || kernel_waits(uring) ||
        (timeout_ns != 0 && !gyrei_uring_has_completions(uring)))
        prepare_enter(uring, submit, timeout_ns, call);
}

/* After a refusal: submits nothing and waits, not for long and not longer than `refused` would. */
static int enter_again(gyrei_uring *uring, const gyrei_wait_call *refused)
{
    const bool soon = refused->uring.arg != NULL && uring->timeout.tv_sec == 0 &&
                      uring->timeout.tv_nsec < (long long)REFUSED_NS;
    const uint64_t timeout_ns = soon ? (uint64_t)uring->timeout.tv_nsec : REFUSED_NS;
    gyrei_wait_call call;

    prepare_enter(uring, 0, refused->uring.wait != 0 ? timeout_ns : 0, &call);
    return gyrei_here_wait(uring->env, &call);
}

GYREI_HOT int gyrei_uring_enter_end(gyrei_uring *uring, const gyrei_wait_call *call, int result)
{
    if (is_refusal(result) && !gyrei_uring_has_completions(uring))
        result = enter_again(uring, call);
    if (result == GYRE_EINTR || result == GYRE_ETIMEDOUT || is_refusal(result))
        return 0;
    return result < 0 ? result : 0;
}

int gyrei_uring_enter(gyrei_uring *uring, uint64_t timeout_ns)
{
    gyrei_wait_call call = {.kind = GYREI_WAIT_NONE};

    gyrei_uring_enter_begin(uring, timeout_ns, &call);
    if (call.kind == GYREI_WAIT_NONE)
        return 0;
    return gyrei_uring_enter_end(uring, &call, gyrei_here_wait(uring->env, &call));
}

GYREI_HOT void gyrei_uring_reap(gyrei_uring *uring)
{
    struct io_uring_cq *cq = &uring->ring.cq;
    const uint32_t tail = io_uring_smp_load_acquire(cq->ktail);
    uint32_t head = *cq->khead;

    while (head != tail) {
        if (!gyrei_uring_complete(uring, &cq->cqes[head & cq->ring_mask]))
            break;
        head++;
        io_uring_smp_store_release(cq->khead, head);
    }
}
