/*
 * The seam to the kernel. Core owns it; src/backend and src/sim implement it, and backend/select.c
 * picks.
 *
 * A backend knows operations and descriptors. It does not know timers, streams, phases or
 * callbacks: it marks ops runnable with the functions of op.h and never calls done(). All functions
 * are called on the loop's thread; `open` may be called on another one, before the first turn.
 */
#ifndef GYREI_CORE_BACKEND_H
#define GYREI_CORE_BACKEND_H

#include "core/env.h"
#include "core/op.h"

#define GYREI_WAIT_FOREVER UINT64_MAX

typedef struct gyrei_backend gyrei_backend; /* each implementation's own struct */

typedef struct gyrei_backend_config {
    /* core's eventfd, which outlives the backend: a write to it ends a wait; edge-triggered */
    int wake_fd;
    uint32_t ring_entries;
    uint32_t read_buffer_bytes;
    uint32_t read_buffers; /* 0: the backend's default */
    uint32_t read_keep_max;
} gyrei_backend_config;

typedef struct gyrei_backend_ops {
    const char *name;

    /*
     * Probes and opens. An error says that this kernel cannot: the caller tries the next backend.
     */
    int (*open)(gyre_loop *loop, const gyrei_backend_config *config, gyrei_backend **backend);

    /*
     * Every op has finished. After a fork without `forked` it only frees memory and closes
     * descriptors of this process.
     */
    void (*close)(gyrei_backend *backend);

    /* Called once, on the loop's thread, before its first submit, wait or forget. */
    int (*enable)(gyrei_backend *backend);

    /*
     * Reserves what submitting on `fd` will need, so that submit does not allocate; `foreign` when
     * that will be POLL ops. GYRE_ENOMEM. Idempotent per descriptor.
     */
    int (*attach)(gyrei_backend *backend, int fd, bool foreign);

    /*
     * Forgets `fd` at once: its owner closes it next. No op is parked on it or in the kernel,
     * except POLL ops, which were finished or cancelled before. What the kernel still reports for
     * the old descriptor must not reach a new one of the same number.
     */
    void (*forget)(gyrei_backend *backend, int fd);

    /* As forget, but the descriptor stays open: another loop, or nobody, has it next. */
    void (*leave)(gyrei_backend *backend, int fd);

    /*
     * Takes a QUEUED op: gyrei_op_parked, gyrei_op_in_kernel, gyrei_op_ready or gyrei_op_complete
     * before it returns 0. GYRE_EAGAIN: no room now, core keeps it and offers it again before the
     * next wait.
     */
    int (*submit)(gyrei_backend *backend, gyre_op *op);

    /*
     * Cancels an op that is PARKED (take it out and gyrei_op_complete it with GYRE_ECANCELED at
     * once; one that was offloaded: gyrei_loop_offload_cancel) or IN_KERNEL (ask the kernel; the
     * final result comes later). Core handles QUEUED and RUNNABLE itself.
     */
    void (*cancel)(gyrei_backend *backend, gyre_op *op);

    /* The events that a POLL op in flight watches for have changed, in op->arg32. */
    void (*change_events)(gyrei_backend *backend, gyre_op *op);

    /*
     * Readiness: makes the system call of an op marked with gyrei_op_ready, other than RECV and
     * ACCEPT, at dispatch. True:
     * `result` is filled in; with GYREI_RESULT_MORE the op was parked again (gyrei_op_parked)
     * before. False: it would block, and was parked again.
     *
     * A RECV comes in two halves, between which the turn makes the call. recv_begin: False when
     * there is no buffer for it now. recv_end: as perform, of what `call` has got. An ACCEPT needs
     * only the second half, which is given what the call has said. NULL for completion backends.
     */
    bool (*perform)(gyrei_backend *backend, gyre_op *op, gyrei_result *result);
    bool (*recv_begin)(gyrei_backend *backend, gyre_op *op, gyrei_recv_call *call);
    bool (*recv_end)(gyrei_backend *backend, gyre_op *op, const gyrei_recv_call *call, int64_t got,
                     gyrei_result *result);
    bool (*accept_end)(gyrei_backend *backend, gyre_op *op, int fd, gyrei_result *result);

    /*
     * Flushes submissions and interest, waits at most `timeout_ns` (0: not at all;
     * GYREI_WAIT_FOREVER) for something to become runnable or config.wake_fd, and marks all that is
     * ready. May return early with nothing (EINTR). Does not wait when the run queue is not empty.
     * Errors: only what makes waiting impossible for good.
     *
     * In two halves, between which the turn makes the system call: unless `call` stays
     * GYREI_WAIT_NONE, when the first half was all, and its answer is.
     */
    int (*wait_begin)(gyrei_backend *backend, uint64_t timeout_ns, gyrei_wait_call *call);
    int (*wait_end)(gyrei_backend *backend, const gyrei_wait_call *call, int result);

    /*
     * In a forked child: new kernel objects; parked ops stay, those in the kernel finish with
     * GYRE_ECANCELED.
     */
    int (*forked)(gyrei_backend *backend);

    /*
     * For embedding: a descriptor that polls readable when `wait` would find something.
     * GYRE_ENOTSUP.
     */
    int (*fd)(gyrei_backend *backend);

    /*
     * Flushes submissions and interest to the kernel without waiting, so that fd() wakes for them.
     */
    int (*flush)(gyrei_backend *backend);

    /*
     * Received bytes in the backend's pool. base: the address of an offset. release: core is done
     * with a result. keep: the user holds the bytes until unkeep, GYRE_ENOBUFS when read_keep_max
     * are held. `base` may point anywhere into the bytes of one result.
     */
    char *(*buf_base)(gyrei_backend *backend, uint32_t offset);
    int (*buf_keep)(gyrei_backend *backend, const void *base);
    void (*buf_release)(gyrei_backend *backend, const void *base);
    void (*buf_unkeep)(gyrei_backend *backend, const void *base);

    /*
     * The backend's part of gyrei_loop_verify: the ops that it has stand where they belong, and no
     * buffer has two owners. NULL, or what is wrong. The function may be NULL, too.
     */
    const char *(*verify)(gyrei_backend *backend);
} gyrei_backend_ops;

/* ---- what a backend may ask of its loop ---- */

const gyrei_env *gyrei_loop_env(const gyre_loop *loop);
void *gyrei_loop_alloc(const gyre_loop *loop, size_t bytes); /* zeroed, or NULL */
void gyrei_loop_free(const gyre_loop *loop, void *pointer, size_t bytes);
/* Turns under way: of the buffers that are lent, a callback of each but the last may have one. */
uint32_t gyrei_loop_depth(const gyre_loop *loop);
/* Whether this is a child that was never told of the fork. */
bool gyrei_loop_is_forked(const gyre_loop *loop);
/*
 * At dispatch: gives an op whose call would wait to another thread, which makes it by `call`. True:
 * it is PARKED, and its result will come; cancelling may bring that forward. False: there is no
 * other thread.
 */
bool gyrei_loop_offload(gyre_loop *loop, gyre_op *op, gyrei_op_call call);
void gyrei_loop_offload_cancel(gyre_loop *loop, gyre_op *op);
/* Reports one line through the loop's log callback. */
void gyrei_log(const gyre_loop *loop, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Opens the backend that `name` asks for ("auto", "uring", "epoll", "poll"), falling back as design
 * says; strict forbids falling back from a named one. Implemented by backend/select.c.
 */
int gyrei_backend_select(gyre_loop *loop, const char *name, bool strict,
                         const gyrei_backend_config *config, const gyrei_backend_ops **ops,
                         gyrei_backend **backend);

#endif
