/*
 * Operations: the one thing the core asks of a kernel. Submit one, and it finishes exactly once
 * with a result; a multishot one reports many results and then finishes once.
 *
 *            submit            backend takes it          result, or ready to be performed
 *   IDLE ------------> QUEUED ------------------> PARKED | IN_KERNEL -----------------> RUNNABLE
 *                      |                             ^                                    |
 *                      +-- no room: core offers it   +------ multishot: done(), goes on --+
 *                          again before the wait                                          |
 *                                                            the last: IDLE, then done() <+
 *
 * Only op.c changes a state. A multishot op in the kernel stays IN_KERNEL while its results wait:
 * the first in the op itself, more in records of a pool made at init. done() is called from the run
 * queue only, never from submit, cancel or while kernel events are scanned. When done() gets a
 * final result the op is IDLE already and may be submitted anew or freed.
 */
#ifndef GYREI_CORE_OP_H
#define GYREI_CORE_OP_H

#include "core/env.h"
#include "gyre/op.h"

#include <stdbool.h>

/*
 * kind     fd         pointer         arg32         arg64      result
 * ACCEPT   listener   -               -             -          a descriptor, non-blocking, cloexec
 * CONNECT  socket     sockaddr        its length    -          0
 * RECV     socket     NULL: the pool  -             -          bytes, 0 at the end of the stream;
 *                                                              see GYREI_RESULT_BUFFER
 *                     caller's bytes  length        -          the same
 * SEND     socket     gyre_buf array  its length    -          bytes, perhaps fewer than asked
 * POLL     foreign    -               GYRE_POLL_*   -          the events that hold (level)
 * OPEN     directory  path            -             open_how*  a descriptor
 * STAT     directory  path            AT_* flags    statx*     0
 *          file       ""              AT_* flags    statx*     0
 * READ     file       bytes           length        offset     bytes
 * CLOSE    any        -               -             -          0
 */
typedef enum gyrei_op_kind {
    GYREI_OP_NONE = 0,
    GYREI_OP_ACCEPT,
    GYREI_OP_CONNECT,
    GYREI_OP_RECV,
    GYREI_OP_SEND,
    GYREI_OP_POLL,
    GYREI_OP_OPEN,
    GYREI_OP_STAT,
    GYREI_OP_READ,
    GYREI_OP_CLOSE,
    GYREI_OP_KINDS
} gyrei_op_kind;

typedef enum gyrei_op_state {
    GYREI_OP_IDLE = 0,
    GYREI_OP_QUEUED,    /* in loop->queued: the backend could not take it yet */
    GYREI_OP_PARKED,    /* a readiness backend waits for its descriptor */
    GYREI_OP_IN_KERNEL, /* a completion backend has handed it over */
    GYREI_OP_RUNNABLE   /* in loop->runnable, and nothing of it is left with the kernel */
} gyrei_op_state;

enum gyrei_op_flags {
    /* set by the submitter */
    GYREI_OP_MULTISHOT = 1,  /* ACCEPT, RECV from the pool, POLL */
    GYREI_OP_POLL_FIRST = 2, /* SEND: it was tried just now and would block */
    /* set by op.c and backends only */
    GYREI_OP_IN_RUN_QUEUE = 16,
    GYREI_OP_PERFORM = 32,    /* runnable, but the backend makes the system call at dispatch */
    GYREI_OP_HAS_RESULT = 64, /* op->result is valid (more may wait in op->records) */
    GYREI_OP_CANCELING = 128, /* cancel was asked for */
    GYREI_OP_RESULT_BUFFER = 256,
    GYREI_OP_RESULT_MORE = 512,
    GYREI_OP_BACKEND_A = 1024, /* free for the backend's own use; cleared at submit */
    GYREI_OP_BACKEND_B = 2048,
    GYREI_OP_BACKEND_C = 4096,
    GYREI_OP_BACKEND_D = 8192
};

enum gyrei_result_flags {
    GYREI_RESULT_MORE = 1,  /* the op goes on: this is not its final result */
    GYREI_RESULT_BUFFER = 2 /* `base` is lent from the backend's pool until done() returns */
};

typedef struct gyrei_result {
    int32_t value; /* >= 0 or a GYRE_E* */
    uint32_t flags;
    char *base;
} gyrei_result;

/* A further result of a multishot op whose first one still waits. */
typedef struct gyrei_record {
    struct gyrei_record *next;
    int32_t value;
    uint32_t flags;
    uint32_t offset;
} gyrei_record;

/* A blocking call that an op stands for, made in any thread: reads the op, answers its result. */
typedef int64_t (*gyrei_op_call)(const gyrei_env *env, const gyre_op *op);

typedef void (*gyrei_op_done)(gyre_loop *loop, gyre_op *op, const gyrei_result *result);

/* ---- for submitters (net, fs, core) ---- */

/*
 * Reserves a slot for `op`, which is IDLE from now on and takes it when it is first submitted.
 * GYRE_ENOMEM. Each init is paired with gyrei_op_close.
 */
int gyrei_op_init(gyre_loop *loop, gyre_op *op);

/* Gives the slot back; the op must be IDLE. */
void gyrei_op_close(gyre_loop *loop, gyre_op *op);

/*
 * Fills an IDLE op in. pointer, arg32 and arg64 are the caller's to set, after this and before
 * submit.
 */
void gyrei_op_prepare(gyre_op *op, gyrei_op_kind kind, int fd, uint32_t flags, gyrei_op_done done);

/* Submits a prepared op. Cannot fail: an error is the op's result. */
void gyrei_op_submit(gyre_loop *loop, gyre_op *op);

/*
 * Asks for the op to end: with GYRE_ECANCELED, or with its real result if that came first. Results
 * that wait already are delivered before the final one. Harmless on an op that is IDLE or being
 * cancelled. On return nothing is written to a socket op's bytes on a readiness backend; else only
 * once done() got the final result.
 */
void gyrei_op_cancel(gyre_loop *loop, gyre_op *op);

/* A POLL op that is not IDLE watches for `events` from now on. One being cancelled stays so. */
void gyrei_op_change_events(gyre_loop *loop, gyre_op *op, uint32_t events);

static inline bool gyrei_op_is_idle(const gyre_op *op)
{
    return op->state == GYREI_OP_IDLE;
}

const char *gyrei_op_kind_name(uint32_t kind);
const char *gyrei_op_state_name(uint32_t state);

/* ---- for backends ---- */

/*
 * QUEUED, or RUNNABLE after a fruitless perform -> PARKED. The link is the backend's until the op
 * is made runnable.
 */
void gyrei_op_parked(gyre_loop *loop, gyre_op *op);

/* QUEUED -> IN_KERNEL. The link is the backend's while no result waits. */
void gyrei_op_in_kernel(gyre_loop *loop, gyre_op *op);

/*
 * PARKED or QUEUED -> RUNNABLE: the backend's perform will be called at dispatch. The op must be
 * out of the backend's lists. One that is being performed, with more to come, stays RUNNABLE.
 */
void gyrei_op_ready(gyre_loop *loop, gyre_op *op);

/*
 * Gives a result to an op that is QUEUED, PARKED or IN_KERNEL: final without GYREI_RESULT_MORE.
 * With GYREI_RESULT_BUFFER `offset` is what the backend's buf_base turns into an address. Returns
 * false, and has done nothing, when the pool of records is empty: the backend must leave the event
 * in the kernel and come back. The op must be out of the backend's lists.
 */
bool gyrei_op_complete(gyre_loop *loop, gyre_op *op, int32_t value, uint32_t flags,
                       uint32_t offset);

/* Whether something waits in the run queue, so that a wait should not sleep. */
bool gyrei_op_any_runnable(const gyre_loop *loop);

/* The op's number for the kernel, and back; NULL for one that is gone or was finished since. */
uint64_t gyrei_op_id(const gyre_loop *loop, const gyre_op *op);
gyre_op *gyrei_op_find(const gyre_loop *loop, uint64_t id);

/*
 * The next op from *position on that is not IDLE, moving *position behind it; NULL when there is
 * none. Looks at every slot: for rare sweeps.
 */
gyre_op *gyrei_op_next(const gyre_loop *loop, uint32_t *position);

/* ---- for loop.c and life.c ---- */

/*
 * Ends an op that is IN_KERNEL, but with a kernel object that is no more: with GYRE_ECANCELED, or
 * when there is no room for that, with the last result that it has.
 */
void gyrei_op_lose(gyre_loop *loop, gyre_op *op);

/*
 * Takes the oldest result out of `op`, and with the last one its op is IDLE. What waits behind it
 * moves up, and the op back into the run queue.
 */
void gyrei_op_take_result(gyre_loop *loop, gyre_op *op, gyrei_result *result);

/* The op was performed at dispatch, and this was its last result. */
void gyrei_op_performed(gyre_loop *loop, gyre_op *op);

/* Part of gyrei_loop_verify: the states agree with the lists, and no result or record is lost. */
const char *gyrei_ops_verify(const gyre_loop *loop);
/* The same of the run queue alone, which is short most of the time. */
const char *gyrei_ops_verify_queues(const gyre_loop *loop);

/* Hands ops that waited in core to the backend. */
void gyrei_op_flush_queued(gyre_loop *loop);
/* Closes the descriptors of closes that wait there: the backend will not take them any more. */
void gyrei_op_close_queued(gyre_loop *loop);

#endif
