/*
 * The io_uring backend's parts, as its own files see them.
 *
 *   uring.c        the seam: open, wait, fork, embedding, close
 *   uring_ring.c   the two rings: set-up, submission entries, one enter, completions
 *   uring_op.c     operations to submission entries, completions to results
 *   uring_buf.c    the ring of provided buffers
 */
#ifndef GYREI_BACKEND_URING_H
#define GYREI_BACKEND_URING_H

#include "backend/backends.h"
#include "backend/uring_kernel.h"

/* ---- uring_ring.c ---- */

typedef struct gyrei_uring_ring {
    const gyrei_env *env;
    struct io_uring ring;
    int enter_fd;         /* the descriptor, or its index among the thread's registered ones */
    uint32_t enter_flags; /* that go with enter_fd */
    uint32_t tail;        /* entries filled in; the kernel's tail is set at enter */
} gyrei_uring_ring;

/* GYRE_EPERM, GYRE_ENOSYS, GYRE_EINVAL, GYRE_ENOMEM, ...: this kernel cannot, or does not let us. */
int gyrei_uring_ring_open(gyrei_uring_ring *ring, const gyrei_env *env, uint32_t entries);
void gyrei_uring_ring_close(gyrei_uring_ring *ring);
/* Makes the calling thread the ring's own. */
int gyrei_uring_ring_enable(gyrei_uring_ring *ring);
/* A zeroed submission entry; NULL when the kernel takes no more at present. */
struct io_uring_sqe *gyrei_uring_sqe(gyrei_uring_ring *ring);
/*
 * Submits what is filled in, and waits for a completion at most `timeout_ns`; makes no system call
 * when there is nothing to submit, to wait for, or to fetch.
 */
int gyrei_uring_enter(gyrei_uring_ring *ring, uint64_t timeout_ns);
/* The oldest completion that was not taken, or NULL. */
struct io_uring_cqe *gyrei_uring_cqe(const gyrei_uring_ring *ring);
void gyrei_uring_cqe_taken(gyrei_uring_ring *ring);

/* ---- uring_buf.c ---- */

/* The number of the one group of buffers. */
#define GYREI_URING_GROUP 0u

typedef struct gyrei_uring_buffer {
    uint32_t filled; /* where the kernel writes next */
    uint32_t parts;  /* results in it that were not given back */
    uint32_t kept;   /* of these, the user's */
    bool used_up;    /* the kernel is through with it */
} gyrei_uring_buffer;

typedef struct gyrei_uring_buffers {
    const gyrei_env *env;
    gyre_loop *loop;
    struct io_uring_buf_ring *ring;
    char *arena;
    gyrei_uring_buffer *buffers;
    uint32_t count; /* a power of two */
    uint32_t bytes; /* of one buffer */
    uint32_t out;   /* buffers that the kernel does not have */
    uint32_t kept;  /* buffers with a part that is kept */
    uint32_t kept_max;
    uint16_t tail;
    bool incremental;
} gyrei_uring_buffers;

int gyrei_uring_buffers_open(gyrei_uring_buffers *buffers, gyre_loop *loop, gyrei_uring_ring *ring,
                             const gyrei_backend_config *config);
void gyrei_uring_buffers_close(gyrei_uring_buffers *buffers);
/* In a child: gives the buffers that are not in use to a new ring. */
int gyrei_uring_buffers_forked(gyrei_uring_buffers *buffers, gyrei_uring_ring *ring);
/* The arena's offset of the `len` bytes that a completion reports. */
uint32_t gyrei_uring_buffers_received(gyrei_uring_buffers *buffers, uint32_t cqe_flags,
                                      uint32_t len);
/* A part is done with. */
void gyrei_uring_buffers_release(gyrei_uring_buffers *buffers, const void *base);
int gyrei_uring_buffers_keep(gyrei_uring_buffers *buffers, const void *base);
void gyrei_uring_buffers_unkeep(gyrei_uring_buffers *buffers, const void *base);

/* ---- the backend ---- */

/* user_data that is no op's: generations are never this large together with these slots. */
#define GYREI_URING_WAKE UINT64_MAX
#define GYREI_URING_FOREIGN (UINT64_MAX - 1)
#define GYREI_URING_IGNORE (UINT64_MAX - 2)

/* Ops that can be remembered for later. */
#define GYREI_URING_LATER 1024u

typedef struct gyrei_uring {
    gyre_loop *loop;
    const gyrei_env *env;
    gyrei_uring_ring ring;
    gyrei_uring_buffers buffers;
    gyrei_ready foreign; /* POLL ops live in an epoll set that the ring polls */
    uint64_t *later;     /* ops to look at before the next wait, by number */
    uint32_t later_count;
    gyrei_backend_config config;
    int embed_fd; /* eventfd that the ring signals, -1 until asked for */
    bool enabled;
    bool wake_armed;
    bool foreign_armed;
    bool foreign_used;
    bool foreign_ready;
} gyrei_uring;

/* ---- uring_op.c ---- */

int gyrei_uring_submit(gyrei_uring *uring, gyre_op *op);
void gyrei_uring_cancel(gyrei_uring *uring, gyre_op *op);
/* Gives a completion to its op. False: there is no room for the result now. */
bool gyrei_uring_complete(gyrei_uring *uring, gyre_op *op, const struct io_uring_cqe *cqe);
/* A submission entry, made free by an enter if need be; NULL when the kernel is full. */
struct io_uring_sqe *gyrei_uring_entry(gyrei_uring *uring);
/* Arms what waited for a buffer, and cancels what waited for an entry, as far as it goes. */
void gyrei_uring_do_later(gyrei_uring *uring);

#endif
