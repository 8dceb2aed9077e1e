/*
 * The rings: entries in, completions out, one system call for both.
 *
 * liburing maps the memory; every system call goes through the environment's table. The array of
 * indices between the kernel and the entries is filled once with the identity, so that an entry is
 * submitted by moving the tail. Must not know what an entry means.
 */
#include "backend/uring.h"

#include <signal.h>
#include <string.h>

/* Completions that the kernel holds before it has to allocate for more. */
enum { COMPLETIONS_MIN = 4096, COMPLETIONS_EACH = 4, SIGNALS_BYTES = 8 };

static void fill_index(struct io_uring *ring)
{
    for (uint32_t i = 0; i < *ring->sq.kring_entries; i++)
        ring->sq.array[i] = i;
}

int gyrei_uring_ring_open(gyrei_uring_ring *ring, const gyrei_env *env, uint32_t entries)
{
    struct io_uring_params params = {.flags = GYREI_URING_SETUP};
    const uint32_t completions = entries * COMPLETIONS_EACH;
    int fd;

    params.cq_entries = completions > COMPLETIONS_MIN ? completions : COMPLETIONS_MIN;
    fd = env->sys->uring_setup(env, entries, &params);
    if (fd < 0)
        return fd;
    *ring = (gyrei_uring_ring){.env = env, .enter_fd = fd};
    if ((params.features & IORING_FEAT_NODROP) == 0 ||
        (params.features & IORING_FEAT_EXT_ARG) == 0 ||
        io_uring_queue_mmap(fd, &params, &ring->ring) != 0) {
        env->sys->close(env, fd);
        return GYRE_ENOMEM;
    }
    fill_index(&ring->ring);
    ring->tail = *ring->ring.sq.ktail;
    return 0;
}

/* io_uring_queue_exit would unmap, close and, in a thread of its own, wait: the first two do. */
void gyrei_uring_ring_close(gyrei_uring_ring *ring)
{
    struct io_uring_sq *sq = &ring->ring.sq;
    struct io_uring_cq *cq = &ring->ring.cq;
    const gyrei_env *env = ring->env;

    if (ring->enter_flags != 0) {
        struct io_uring_rsrc_update update = {.offset = (uint32_t)ring->enter_fd};

        (void)env->sys->uring_register(env, ring->ring.ring_fd, IORING_UNREGISTER_RING_FDS, &update,
                                       1);
    }
    env->sys->unmap(env, sq->sqes, *sq->kring_entries * sizeof(struct io_uring_sqe));
    if (cq->ring_ptr != NULL && cq->ring_ptr != sq->ring_ptr)
        env->sys->unmap(env, cq->ring_ptr, cq->ring_sz);
    env->sys->unmap(env, sq->ring_ptr, sq->ring_sz);
    env->sys->close(env, ring->ring.ring_fd);
}

int gyrei_uring_ring_enable(gyrei_uring_ring *ring)
{
    const gyrei_env *env = ring->env;
    const int fd = ring->ring.ring_fd;
    struct io_uring_rsrc_update update = {.offset = UINT32_MAX, .data = (uint32_t)fd};
    const int error = env->sys->uring_register(env, fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

    if (error < 0)
        return error;
    /* Saves looking the descriptor up at each enter; a thread without room for it does without. */
    if (env->sys->uring_register(env, fd, IORING_REGISTER_RING_FDS, &update, 1) == 1) {
        ring->enter_fd = (int)update.offset;
        ring->enter_flags = IORING_ENTER_REGISTERED_RING;
    }
    return 0;
}

struct io_uring_sqe *gyrei_uring_sqe(gyrei_uring_ring *ring)
{
    struct io_uring_sq *sq = &ring->ring.sq;
    const uint32_t head = io_uring_smp_load_acquire(sq->khead);
    struct io_uring_sqe *sqe;

    if (ring->tail - head == *sq->kring_entries)
        return NULL;
    sqe = &sq->sqes[ring->tail & *sq->kring_mask];
    ring->tail++;
    memset(sqe, 0, sizeof(*sqe));
    return sqe;
}

/* Task work waits for an enter, or completions that did not fit wait in the kernel. */
static bool must_fetch(const gyrei_uring_ring *ring)
{
    return (IO_URING_READ_ONCE(*ring->ring.sq.kflags) &
            (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

int gyrei_uring_enter(gyrei_uring_ring *ring, uint64_t timeout_ns)
{
    struct io_uring_sq *sq = &ring->ring.sq;
    struct __kernel_timespec timeout = {
        .tv_sec = (long long)(timeout_ns / GYRE_SECOND),
        .tv_nsec = (long long)(timeout_ns % GYRE_SECOND),
    };
    struct io_uring_getevents_arg arg = {
        .sigmask_sz = SIGNALS_BYTES,
        .ts = timeout_ns == GYREI_WAIT_FOREVER ? 0 : (uint64_t)(uintptr_t)&timeout,
    };
    const uint32_t submit = ring->tail - io_uring_smp_load_acquire(sq->khead);
    const bool wait = timeout_ns > 0 && gyrei_uring_cqe(ring) == NULL;
    int result;

    if (submit == 0 && !wait && !must_fetch(ring))
        return 0;
    io_uring_smp_store_release(sq->ktail, ring->tail);
    result = ring->env->sys->uring_enter(
        ring->env, ring->enter_fd, submit, wait ? 1 : 0,
        ring->enter_flags | IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof(arg));
    switch (result) {
    case GYRE_EINTR:
    case GYRE_EAGAIN: /* no memory for a request just now: it stays in the ring */
    case GYRE_EBUSY:  /* completions must be taken first */
    case GYRE_ETIMEDOUT: return 0;
    default: return result < 0 ? result : 0;
    }
}

struct io_uring_cqe *gyrei_uring_cqe(const gyrei_uring_ring *ring)
{
    const struct io_uring_cq *cq = &ring->ring.cq;
    const uint32_t head = *cq->khead;

    if (head == io_uring_smp_load_acquire(cq->ktail))
        return NULL;
    return &cq->cqes[head & *cq->kring_mask];
}

void gyrei_uring_cqe_taken(gyrei_uring_ring *ring)
{
    io_uring_smp_store_release(ring->ring.cq.khead, *ring->ring.cq.khead + 1);
}
