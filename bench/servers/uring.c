/* The helpers of uring.h. */
#include "uring.h"

#include "../common/util.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum { SQ_ENTRIES = 1024, CQ_ENTRIES = 4096, POOL_GROUP = 0 };

void uring_open(struct io_uring *ring)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries = CQ_ENTRIES,
    };
    int error = io_uring_queue_init_params(SQ_ENTRIES, ring, &params);
    if (error < 0) {
        errno = -error;
        bench_die("io_uring_setup");
    }
    io_uring_register_ring_fd(ring);
}

struct io_uring_sqe *uring_sqe(struct io_uring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    while (sqe == NULL) {
        io_uring_submit(ring);
        sqe = io_uring_get_sqe(ring);
    }
    return sqe;
}

static int pool_register(struct uring_pool *pool, struct io_uring *ring)
{
    struct io_uring_buf_reg reg = {
        .ring_addr = (uint64_t)(uintptr_t)pool->ring,
        .ring_entries = pool->count,
        .bgid = POOL_GROUP,
        .pad = pool->incremental ? URING_PBUF_INC : 0, /* the field's name before 6.4 */
    };
    return io_uring_register_buf_ring(ring, &reg, 0);
}

static void *pages(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) {
        bench_die("mmap");
    }
    return memory;
}

void uring_pool_open(struct uring_pool *pool, struct io_uring *ring, unsigned count, unsigned size,
                     bool incremental)
{
    pool->ring = pages(count * sizeof(struct io_uring_buf));
    pool->memory = pages((size_t)count * size);
    pool->count = count;
    pool->size = size;
    pool->incremental = incremental;
    int error = pool_register(pool, ring);
    if (error == -EINVAL && incremental) {
        pool->incremental = false;
        return; /* the caller chooses another size */
    }
    if (error < 0) {
        errno = -error;
        bench_die("io_uring buffer ring");
    }
    io_uring_buf_ring_init(pool->ring);
    for (unsigned i = 0; i < count; i++) {
        uring_pool_give(pool, (uint16_t)i);
    }
}

struct uring_piece uring_pool_take(struct uring_pool *pool, const struct io_uring_cqe *cqe)
{
    uint16_t buffer = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    struct uring_piece piece = {
        .bytes = pool->memory + (size_t)buffer * pool->size + pool->used[buffer],
        .buffer = buffer,
        .last = (cqe->flags & URING_CQE_BUF_MORE) == 0,
    };
    pool->used[buffer] = piece.last ? 0 : pool->used[buffer] + (unsigned)cqe->res;
    return piece;
}

void uring_pool_give(struct uring_pool *pool, uint16_t buffer)
{
    io_uring_buf_ring_add(pool->ring, pool->memory + (size_t)buffer * pool->size, pool->size,
                          buffer, io_uring_buf_ring_mask(pool->count), 0);
    io_uring_buf_ring_advance(pool->ring, 1);
}

void uring_arm_accept(struct io_uring *ring, int listen_fd)
{
    struct io_uring_sqe *sqe = uring_sqe(ring);
    io_uring_prep_multishot_accept(sqe, listen_fd, NULL, NULL, SOCK_CLOEXEC);
    uring_tag(sqe, URING_ACCEPT, listen_fd);
}

void uring_arm_recv(struct io_uring *ring, int fd)
{
    struct io_uring_sqe *sqe = uring_sqe(ring);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = POOL_GROUP;
    uring_tag(sqe, URING_RECV, fd);
}

void uring_arm_poll_out(struct io_uring *ring, int fd)
{
    struct io_uring_sqe *sqe = uring_sqe(ring);
    io_uring_prep_poll_add(sqe, fd, POLLOUT);
    uring_tag(sqe, URING_POLL_OUT, fd);
}

void uring_close(struct io_uring *ring, int fd)
{
    struct io_uring_sqe *sqe = uring_sqe(ring);
    io_uring_prep_close(sqe, fd);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    uring_tag(sqe, URING_CLOSE, fd);
}

void uring_turn(struct io_uring *ring, void (*on_cqe)(const struct io_uring_cqe *cqe))
{
    struct io_uring_cqe *cqe;
    unsigned head;
    unsigned count = 0;
    io_uring_submit_and_wait(ring, 1);
    io_uring_for_each_cqe(ring, head, cqe)
    {
        on_cqe(cqe);
        count++;
    }
    io_uring_cq_advance(ring, count);
}
