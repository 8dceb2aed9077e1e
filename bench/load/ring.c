/* The generator's ring. One system call submits a whole batch and waits for the next, so on a
 * shared core the server gets its work in batches that do not depend on who preempts whom. */
#include "load.h"

#include "../common/util.h"

#include <errno.h>

enum { SQ_ENTRIES = 4096, CQ_ENTRIES = 32768 };

void load_ring_open(struct io_uring *ring)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = CQ_ENTRIES,
    };
    int error = io_uring_queue_init_params(SQ_ENTRIES, ring, &params);
    if (error < 0) {
        errno = -error;
        bench_die("io_uring_setup");
    }
    io_uring_register_ring_fd(ring);
}

struct io_uring_sqe *load_ring_sqe(struct io_uring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    while (sqe == NULL) {
        io_uring_submit(ring);
        sqe = io_uring_get_sqe(ring);
    }
    return sqe;
}

void load_ring_turn(struct io_uring *ring, void (*on_cqe)(const struct io_uring_cqe *cqe))
{
    struct __kernel_timespec stall = {.tv_sec = LOAD_STALL_S};
    struct io_uring_cqe *cqe = NULL;
    unsigned head;
    unsigned count = 0;
    if (io_uring_submit_and_wait_timeout(ring, &cqe, 1, &stall, NULL) == -ETIME) {
        errno = 0;
        bench_die("the server stalls");
    }
    io_uring_for_each_cqe(ring, head, cqe)
    {
        on_cqe(cqe);
        count++;
    }
    io_uring_cq_advance(ring, count);
}
