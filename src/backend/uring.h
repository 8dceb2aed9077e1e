/*
 * The io_uring backend, as its files see it.
 *
 *   uring.c        the seam: life, fork, waiting, in terms of the others
 *   uring_setup.c  the ring itself: probing, mapping, enabling
 *   uring_ring.c   its two queues: submission entries, the one system call, completions
 *   uring_ops.c    operations as submission entries, completions as results
 *   uring_watch.c  descriptors beside those of ops: wake-ups, the foreign set, embedding
 *   uring_pool.c   receive buffers
 *
 * An entry's user_data is an op's id, with what the entry is for in four bits of the slot number;
 * never a pointer. A completion whose id is stale is disposed of by these bits alone: its buffer
 * goes back, its descriptor is closed.
 */
#ifndef GYREI_BACKEND_URING_H
#define GYREI_BACKEND_URING_H

#include "backend/backends.h"
#include "backend/uring_pool.h"

#include <liburing.h>
#include <sys/socket.h>

/* What an entry is for: a gyrei_op_kind, or one of these. */
enum gyrei_uring_tag {
    GYREI_URING_CANCEL = GYREI_OP_KINDS, /* of the op that the id names */
    GYREI_URING_DRAIN,                   /* the cancel of everything, at the end */
    GYREI_URING_WAKE,                    /* poll of core's eventfd */
    GYREI_URING_FOREIGN,                 /* poll of the set of foreign descriptors */
    GYREI_URING_TAGS
};

#define GYREI_URING_TAG_SHIFT 28
#define GYREI_URING_TAG_MASK (UINT64_C(15) << GYREI_URING_TAG_SHIFT)

_Static_assert((int)GYREI_URING_TAGS <= 16, "tags have four bits");

/* op flags of ours */
enum gyrei_uring_op_flags {
    GYREI_URING_OP_WAITING = GYREI_OP_BACKEND_A, /* in the list of waiting ops, not in the kernel */
    GYREI_URING_OP_OWED = GYREI_OP_BACKEND_B,    /* its cancel did not reach the kernel yet */
    GYREI_URING_OP_SINGLE = GYREI_OP_BACKEND_C,  /* multishot by arming it anew for each result */
    GYREI_URING_OP_STARVED = GYREI_OP_BACKEND_D  /* found no buffer: it is armed for one result */
};

typedef struct gyrei_uring {
    gyre_loop *loop;
    const gyrei_env *env;
    gyrei_backend_config config;
    struct io_uring ring;    /* the mapped queues; the descriptors in it are not used */
    int fd;                  /* -1: there is no ring */
    int enter_fd;            /* for io_uring_enter: fd, or its registered index */
    uint32_t enter_flags;    /* says which */
    struct msghdr *messages; /* one per submission entry: what a SENDMSG points to until it is in */
    /* Ops that could not be armed (again), oldest first, through arg64. */
    gyre_op *waiting_first;
    gyre_op *waiting_last;
    bool waiting_due; /* one of them may go on now, buffers or not */
    bool owes;        /* some op has GYREI_URING_OP_OWED */
    bool enabled;
    bool wake_armed;
    bool foreign_used; /* a POLL op was submitted */
    bool foreign_armed;
    bool foreign_due; /* the set has something to tell */
    int embed_fd;     /* -1 until asked for */
    int embed_event;
    /* what a timed wait points to */
    struct __kernel_timespec timeout;
    struct io_uring_getevents_arg wait_arg;
    int32_t drained; /* how many requests the last GYREI_URING_DRAIN has cancelled */
    gyrei_uring_pool pool;
    gyrei_ready foreign;
} gyrei_uring;

/* ---- uring_setup.c ---- */

/* Makes a disabled ring: uring->fd, the queues, messages. An error: this kernel has none for us. */
int gyrei_uring_ring_open(gyrei_uring *uring);
/* From now on the ring belongs to the calling thread. */
int gyrei_uring_ring_enable(gyrei_uring *uring);
/* `ours`: this process made the ring, which is not shared with a parent. */
void gyrei_uring_ring_close(gyrei_uring *uring, bool ours);

/* ---- uring_ring.c ---- */

/* A free submission entry, submitting the others if it must; NULL when the kernel takes none. */
struct io_uring_sqe *gyrei_uring_sqe(gyrei_uring *uring);
/* Hands over what was prepared, without waiting. */
int gyrei_uring_submit(gyrei_uring *uring);
/*
 * The system call of a turn: submits, waits, lets the kernel finish. `call` stays GYREI_WAIT_NONE
 * when none is needed.
 */
void gyrei_uring_enter_begin(gyrei_uring *uring, uint64_t timeout_ns, gyrei_wait_call *call);
/* What has come of it: 0 or an error. */
int gyrei_uring_enter_end(gyrei_uring *uring, const gyrei_wait_call *call, int result);
/* Both, with the call. */
int gyrei_uring_enter(gyrei_uring *uring, uint64_t timeout_ns);
/* Takes completions in order while gyrei_uring_complete accepts them. */
void gyrei_uring_reap(gyrei_uring *uring);

static inline bool gyrei_uring_has_completions(const gyrei_uring *uring)
{
    return io_uring_smp_load_acquire(uring->ring.cq.ktail) != *uring->ring.cq.khead;
}

/* ---- uring_ops.c ---- */

/* Prepares an entry for `op`. False: there is no room. */
bool gyrei_uring_arm(gyrei_uring *uring, gyre_op *op);
void gyrei_uring_cancel(gyrei_uring *uring, gyre_op *op);
/* One completion. False: its op's results have no room; it must come again. */
bool gyrei_uring_complete(gyrei_uring *uring, const struct io_uring_cqe *cqe);
/* Before a wait: arms what waited and can go on, and asks again for cancels that are owed. */
void gyrei_uring_pay_debts(gyrei_uring *uring);
/* In a forked child, before core ends all ops that were handed over. */
void gyrei_uring_forget_debts(gyrei_uring *uring);

/* ---- uring_watch.c ---- */

/* Before a wait: polls the wake-up's descriptor and the foreign set, if they are not polled. */
int gyrei_uring_watch(gyrei_uring *uring);
/* A completion of one of them. */
void gyrei_uring_watched(gyrei_uring *uring, uint32_t tag, const struct io_uring_cqe *cqe);
/* After a wait: takes what the foreign set has to tell. */
int gyrei_uring_take_foreign(gyrei_uring *uring);
/* The descriptor for a host loop's poller, made at the first call. An unfinished one is undone. */
int gyrei_uring_embed_fd(gyrei_uring *uring);
/* Before a wait: what completes from now on shall make it readable anew. */
void gyrei_uring_embed_clear(gyrei_uring *uring);
/* Also in a forked child: it asks for one of its own. */
void gyrei_uring_embed_close(gyrei_uring *uring);

#endif
