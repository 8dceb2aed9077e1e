/*
 * The two queues: entries go out and completions come in with one system call a turn.
 *
 * Invariants: a completion is given back to the kernel only after it was accepted, so that what has
 * no room stays where it is; the call is left out only when nothing is to be submitted and the
 * kernel has said that nothing waits for it. Must not know operations.
 */
#include "backend/uring.h"

#include "base/hot.h"

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

static int enter(gyrei_uring *uring, uint32_t submit, uint64_t timeout_ns)
{
    const struct __kernel_timespec timeout = {.tv_sec = (int64_t)(timeout_ns / GYRE_SECOND),
                                              .tv_nsec = (long long)(timeout_ns % GYRE_SECOND)};
    const struct io_uring_getevents_arg argument = {.sigmask_sz = SIGNAL_BYTES,
                                                    .ts = (uint64_t)(uintptr_t)&timeout};
    const bool timed = timeout_ns != 0 && timeout_ns != GYREI_WAIT_FOREVER;
    const uint32_t flags = uring->enter_flags | IORING_ENTER_GETEVENTS;
    const uint32_t wait = timeout_ns != 0;

    return uring->env->sys->uring_enter(uring->env, uring->enter_fd, submit, wait,
                                        timed ? flags | IORING_ENTER_EXT_ARG : flags,
                                        timed ? &argument : NULL, timed ? sizeof(argument) : 0);
}

/*
 * Submission may be refused for lack of memory, or because completions have overflown: what is
 * under way must end first.
 */
static bool is_refusal(int result)
{
    return result == GYRE_EAGAIN || result == GYRE_EBUSY;
}

GYREI_HOT int gyrei_uring_enter(gyrei_uring *uring, uint64_t timeout_ns)
{
    const uint32_t submit = publish(uring);
    int result;

    if (submit == 0 && !kernel_waits(uring) &&
        (timeout_ns == 0 || gyrei_uring_has_completions(uring)))
        return 0;
    result = enter(uring, submit, timeout_ns);
    if (is_refusal(result) && !gyrei_uring_has_completions(uring))
        result = enter(uring, 0, timeout_ns < REFUSED_NS ? timeout_ns : REFUSED_NS);
    if (result == GYRE_EINTR || result == GYRE_ETIMEDOUT || is_refusal(result))
        return 0;
    return result < 0 ? result : 0;
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
