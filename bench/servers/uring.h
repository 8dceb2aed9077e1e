/* What the bare io_uring servers share: the ring, tags, multishot accept, and a ring of provided
 * buffers, incremental where the kernel has it.
 * A completion's user_data is kind << 32 | descriptor; a descriptor is closed only after its last
 * completion, so that a tag is never stale. */
#ifndef BENCH_URING_H
#define BENCH_URING_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

enum uring_kind {
    URING_ACCEPT = 1,
    URING_RECV,
    URING_SEND,
    URING_POLL_IN,
    URING_POLL_OUT,
    URING_CLOSE
};

/* IORING_CQE_F_BUF_MORE and IOU_PBUF_RING_INC (Linux 6.12), which liburing 2.3 does not declare. */
enum { URING_CQE_BUF_MORE = 1 << 4, URING_PBUF_INC = 2 };

enum { URING_FD_MAX = 32768, URING_POOL_MAX = 1024 };

struct uring_pool {
    struct io_uring_buf_ring *ring;
    char *memory;
    unsigned count, size; /* buffers, a power of two, and bytes of each */
    bool incremental;
    unsigned used[URING_POOL_MAX]; /* bytes of each buffer already filled, when incremental */
};

/* A piece of a buffer that one completion filled. */
struct uring_piece {
    char *bytes;
    uint16_t buffer;
    bool last; /* the kernel is done with this buffer: give it back */
};

/* The ring as it is best on this kernel: SINGLE_ISSUER, DEFER_TASKRUN, a registered descriptor. */
void uring_open(struct io_uring *ring);

/* A free submission entry; submits when there is none. */
struct io_uring_sqe *uring_sqe(struct io_uring *ring);

/* Two set-ups of one pool: `incremental` asks for it and says in pool->incremental what it got. */
void uring_pool_open(struct uring_pool *pool, struct io_uring *ring, unsigned count, unsigned size,
                     bool incremental);
struct uring_piece uring_pool_take(struct uring_pool *pool, const struct io_uring_cqe *cqe);
void uring_pool_give(struct uring_pool *pool, uint16_t buffer);

void uring_arm_accept(struct io_uring *ring, int listen_fd);
void uring_arm_recv(struct io_uring *ring, int fd);
void uring_arm_poll_out(struct io_uring *ring, int fd);
void uring_close(struct io_uring *ring, int fd);

/* Submits, waits for at least one completion, and calls `on_cqe` for each that is there. */
void uring_turn(struct io_uring *ring, void (*on_cqe)(const struct io_uring_cqe *cqe));

static inline void uring_tag(struct io_uring_sqe *sqe, enum uring_kind kind, int fd)
{
    io_uring_sqe_set_data64(sqe, (uint64_t)kind << 32 | (uint32_t)fd);
}

static inline enum uring_kind uring_kind(const struct io_uring_cqe *cqe)
{
    return (enum uring_kind)(cqe->user_data >> 32);
}

static inline int uring_fd(const struct io_uring_cqe *cqe)
{
    return (int)(uint32_t)cqe->user_data;
}

#endif
