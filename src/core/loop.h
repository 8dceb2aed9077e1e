/*
 * The loop's own state, for core and the layers on it. Backends see it through op.h and the
 * accessors at the end.
 *
 * Batches that a phase works through (due timers, posted nodes, tasks, closing handles) live here
 * and never on the C stack, so that a turn may run inside a callback and gyre_loop_step may stop
 * anywhere.
 */
#ifndef GYREI_CORE_LOOP_H
#define GYREI_CORE_LOOP_H

#include "base/heap.h"
#include "base/list.h"
#include "base/slots.h"
#include "core/backend.h"
#include "core/handle.h"
#include "gyre/async.h"
#include "gyre/hook.h"
#include "gyre/loop.h"
#include "gyre/stream.h"
#include "gyre/trace.h"

#define GYREI_HOOK_PHASES 3
#define GYREI_HANDLE_KINDS ((int)GYRE_HANDLE_OTHER + 1)
/*
 * Times that the pending work is drained again after a poll, so that a ONCE woken by a post runs
 * it.
 */
#define GYREI_DRAIN_ROUNDS 8
/*
 * Multishot results that may wait beyond the first of each op: 33 completions of one receive were
 * seen in one batch.
 */
#define GYREI_RECORDS 4096

/*
 * Something that a layer above keeps for each loop, made on first use. Each function may be NULL.
 */
typedef struct gyrei_service {
    gyre_link link;
    const void *key; /* an address of the layer's own */
    /* hands over what the layer has gathered; called before the loop may sleep */
    void (*flush)(gyre_loop *loop, struct gyrei_service *service);
    /* whether a thread has something of the loop's, which comes back without the kernel */
    bool (*is_out)(const struct gyrei_service *service);
    /* asks all requests in flight to end: the loop is shut down */
    void (*cancel)(gyre_loop *loop, struct gyrei_service *service);
    /* the loop was forked, and this is the child */
    void (*forked)(gyre_loop *loop, struct gyrei_service *service);
    /* the loop ends: frees the service */
    void (*close)(gyre_loop *loop, struct gyrei_service *service);
} gyrei_service;

/* Threads for calls that would block the loop: gyrei_loop_offload. */
typedef struct gyrei_offload {
    bool (*start)(gyre_loop *loop, gyre_op *op, gyrei_op_call call);
    void (*cancel)(gyre_loop *loop, gyre_op *op);
} gyrei_offload;

/* The callback that runs: GYRE_HANDLE_NONE and NULL between two. */
typedef struct gyrei_place {
    const char *name;
    uint32_t kind;
} gyrei_place;

/* The read callback that runs, or a NULL stream. */
typedef struct gyrei_reading {
    gyre_stream *stream;
    const char *base; /* what was received; NULL when the user keeps it */
    bool from_stash;  /* a copy, in no buffer of the backend's */
} gyrei_reading;

struct gyre_loop {
    const gyrei_backend_ops *ops;
    gyrei_backend *backend;
    const gyrei_env *env;
    uint64_t now_ns; /* by gyrei_loop_now_ns */
    uint64_t alive;  /* active ref'd handles, requests, closing handles, deferred work, holds */

    gyre_link runnable; /* ops, through gyre_op.link */
    gyre_link queued;   /* ops that the backend could not take */
    gyre_link tasks;    /* gyre_task: deferred work, finished requests */
    uint32_t runnable_count;
    uint32_t task_count;
    /* streams with writes to send or receives to cancel when the callback returns */
    gyre_stream *flush_first;
    /*
     * Flush the first one, which is out of the list then: true, and what it sends next is in
     * `call`. After that: what the kernel has taken of it, or an error; with more it comes back.
     */
    bool (*send_begin)(gyre_loop *loop, gyrei_send_call *call);
    void (*send_end)(gyre_loop *loop, const gyrei_send_call *call, int64_t sent);

    gyrei_heap timers;
    gyre_link due; /* timer nodes collected in this timers phase */
    uint64_t timer_sequence;

    gyre_link hooks[GYREI_HOOK_PHASES];
    /* where the phase that runs goes on; the list's head when it is done */
    gyre_link *hook_next[GYREI_HOOK_PHASES];
    uint64_t hook_sequence;
    uint64_t hook_limit[GYREI_HOOK_PHASES]; /* hooks started from here on wait for the next turn */
    uint32_t idle_count;

    gyre_link closing; /* handles whose close callback is due */
    uint32_t closing_count;
    uint32_t closing_left; /* of the batch that the close phase works through */
    gyre_link handles;
    uint64_t handle_count;
    const gyrei_handle_class *classes[GYREI_HANDLE_KINDS];

    gyre_remote *remote;
    gyre_post_node *posted; /* taken from the remote, oldest first */
    gyre_post_node *posted_last;

    gyrei_slots slots;
    gyrei_record *records_free;
    gyrei_record *records;

    gyre_phase phase;
    uint32_t step_position; /* how far gyre_loop_step has come in its turn */
    uint32_t ops_left;      /* what the drain under way may still run */
    uint32_t tasks_left;
    uint32_t posts_left;
    uint32_t rounds_left;
    uint32_t depth; /* turns under way, nested ones counted */
    bool enabled;   /* backend->enable was called */
    bool stop;
    bool ran;            /* a callback ran since the clock was read */
    bool clock_due;      /* the kernel was asked since then: now_ns is of an earlier turn */
    uintptr_t owner;     /* thread of the first turn; 0 before */
    uint32_t *fork_word; /* a page that the kernel wipes in a child: 1 here, 0 there */
    uint64_t holds;

    /* What the loop is in; written by the loop, read by anyone (relaxed). */
    uint64_t callbacks;
    gyrei_place place;
    gyrei_place outer; /* the callback that the turn under way is in; the loop's own */

    gyrei_reading reading;

    gyre_trace_cb trace;
    void *trace_ctx;
    gyre_allocator allocator;
    gyre_log_cb log;
    void *log_ctx;
    uint32_t run_max;
    uint32_t queued_bytes_max;
    void *signals; /* the loop's part of the signal hub, made by the first watcher */
    void *streams; /* what net/ keeps for each loop (write blocks) */
    void (*streams_close)(gyre_loop *loop);
    void (*signals_close)(gyre_loop *loop);
    const gyrei_offload *offload; /* set by fs/ with its first request */
    gyre_link services;
    bool services_dirty; /* a service has gathered something to flush */
    int fd_to_close;     /* by gyrei_loop_close_fd; -1: none */
};

/* What is known of a callback on both sides of it: kept by whoever calls into user code. */
typedef struct gyrei_frame {
    const void *object;
} gyrei_frame;

/* Tell the trace sink, which is set, of a phase or turn, and of the callback that runs. */
void gyrei_trace_phase(gyre_loop *loop, gyre_trace_type type);
void gyrei_trace_callback(gyre_loop *loop, gyre_trace_type type, const void *object);

/*
 * gyre_loop_run in DEFAULT mode in parts, for who looks at the loop in between: what is due before
 * the first turn, then a turn each. 1 while there is one more, 0, or an error.
 */
int gyrei_loop_run_part(gyre_loop *loop, bool is_first);

/*
 * Looks whether what the loop keeps of itself agrees: between two callbacks, in its thread. NULL,
 * or what does not, a static text. The first looks at what waits to be run, the second at all there
 * is: operations, timers, handles, the backend.
 */
const char *gyrei_loop_verify_queues(const gyre_loop *loop);
const char *gyrei_loop_verify(const gyre_loop *loop);

/*
 * For a shutdown of a loop that cannot wait, because its kernel has refused: runs what needs none
 * of it: results of cancelled operations, closes, what services have left, close callbacks. False
 * when nothing was left to run.
 */
bool gyrei_loop_unwind(gyre_loop *loop);

static inline void gyrei_place_set(gyre_loop *loop, const char *name, uint32_t kind)
{
    __atomic_store_n(&loop->place.name, name, __ATOMIC_RELAXED);
    __atomic_store_n(&loop->place.kind, kind, __ATOMIC_RELAXED);
}

/*
 * Around every call into user code. `object` is the handle or request; `kind` GYRE_HANDLE_NONE for
 * requests and tasks. One callback stands inside another only by a turn, which keeps the outer one.
 */
static inline void gyrei_callback_enter(gyre_loop *loop, gyrei_frame *frame, uint32_t kind,
                                        const void *object, const char *name)
{
    frame->object = object;
    gyrei_place_set(loop, name, kind);
    __atomic_store_n(&loop->callbacks, loop->callbacks + 1, __ATOMIC_RELAXED);
    loop->ran = true;
    if (__builtin_expect(loop->trace != NULL, 0))
        gyrei_trace_callback(loop, GYRE_TRACE_CALLBACK_ENTER, object);
}

/* The object may be gone. The writes that the callback made are sent by loop.c. */
static inline void gyrei_callback_leave(gyre_loop *loop, const gyrei_frame *frame)
{
    if (__builtin_expect(loop->trace != NULL, 0))
        gyrei_trace_callback(loop, GYRE_TRACE_CALLBACK_LEAVE, frame->object);
    gyrei_place_set(loop, loop->outer.name, loop->outer.kind);
}

/*
 * Queues `task`, whose `run` is set, for the pending phase or right after this turn's poll. Not
 * counted as alive.
 */
void gyrei_task_submit(gyre_loop *loop, gyre_task *task);
/* Takes a queued task back. */
void gyrei_task_cancel(gyre_loop *loop, gyre_task *task);
/* Part of gyrei_loop_verify; adds the tasks that are one of loop->alive. */
const char *gyrei_tasks_verify(const gyre_loop *loop, uint64_t *alive);

/*
 * The time of the turn: the clock is read by the first who asks after the poll, since most turns
 * of a server ask for no time.
 */
static inline uint64_t gyrei_loop_now_ns(gyre_loop *loop)
{
    if (loop->clock_due)
        gyre_loop_update_now(loop);
    return loop->now_ns;
}

/* Its address is another one in each thread, and so names the thread. */
extern _Thread_local char gyrei_thread_mark __attribute__((tls_model("initial-exec")));

static inline uintptr_t gyrei_thread_self(void)
{
    return (uintptr_t)&gyrei_thread_mark;
}

/*
 * Asserts that the caller may use the loop: it is in the thread of the first turn, and not in a
 * forked child that has not called gyre_loop_forked. First thing in public functions that change
 * it.
 */
static inline void gyrei_loop_check(const gyre_loop *loop)
{
    GYRE_ASSERT(*loop->fork_word != 0);
    GYRE_ASSERT(loop->owner == 0 || loop->owner == gyrei_thread_self());
}

/*
 * Has the turn close `fd` when the function returns that it has called, and before it calls user
 * code: a close in its own frame is cheaper (os/here.h). It does so when a phase has run a
 * callback, and before the wait; all others, gyre_close among them, ask for it now.
 */
void gyrei_loop_close_fd(gyre_loop *loop, int fd);
/* Closes that descriptor now: its number is to be free for user code. */
void gyrei_loop_close_fd_now(gyre_loop *loop);

/* Adds a service that is not there yet. */
void gyrei_service_add(gyre_loop *loop, gyrei_service *service);
/* The service added with `key`, or NULL. */
gyrei_service *gyrei_service_find(const gyre_loop *loop, const void *key);
/* For loop.c and life.c: each calls the function of that name of every service. */
void gyrei_services_flush(gyre_loop *loop);
bool gyrei_services_out(const gyre_loop *loop);
void gyrei_services_cancel(gyre_loop *loop);
void gyrei_services_forked(gyre_loop *loop);
void gyrei_services_close(gyre_loop *loop);

static inline const gyrei_sys *gyrei_loop_sys(const gyre_loop *loop)
{
    return loop->env->sys;
}

/* A request (write, connect, file) is in flight. Each begin is paired with an end. */
static inline void gyrei_request_begin(gyre_loop *loop)
{
    loop->alive++;
}

static inline void gyrei_request_end(gyre_loop *loop)
{
    GYRE_ASSERT(loop->alive > 0);
    loop->alive--;
}

#endif
