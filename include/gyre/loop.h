/*
 * The loop: one thread that waits in the kernel and dispatches what is ready to callbacks.
 *
 * A turn goes round these phases: pending, idle, prepare, poll, check, close, timers. gyre_loop_run
 * says where a turn begins in each mode. A loop belongs to the thread of its first turn; every
 * function here is for that thread unless it says otherwise.
 */
#ifndef GYRE_LOOP_H
#define GYRE_LOOP_H

#include "gyre/handle.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum gyre_run_mode {
    GYRE_RUN_DEFAULT = 0, /* until nothing is alive or gyre_loop_stop */
    GYRE_RUN_ONCE,        /* one turn, which sleeps until there is something to do */
    GYRE_RUN_NOWAIT       /* one turn, which never sleeps */
} gyre_run_mode;

typedef enum gyre_phase {
    GYRE_PHASE_NONE = 0,
    GYRE_PHASE_TIMERS,
    GYRE_PHASE_PENDING,
    GYRE_PHASE_IDLE,
    GYRE_PHASE_PREPARE,
    GYRE_PHASE_POLL,
    GYRE_PHASE_CHECK,
    GYRE_PHASE_CLOSE
} gyre_phase;

/*
 * All members may be zero, which means the default. Set `size` to sizeof(gyre_loop_options).
 */
typedef struct gyre_loop_options {
    size_t size;
    /* "auto" (default), "uring", "epoll", "poll"; the variable GYRE_BACKEND overrides it */
    const char *backend;
    const gyre_allocator *allocator; /* default: realloc and free */
    gyre_log_cb log;                 /* default: standard error */
    void *log_ctx;
    uint32_t ring_entries; /* io_uring submission entries, 8..32768; default 256 */
    uint32_t run_max; /* callbacks of completed operations a phase runs at most; default 4096 */
    uint32_t read_buffer_bytes;  /* of one buffer of the loop's pool, 4096..1 MiB; default 65536 */
    uint32_t read_buffers;       /* how many, 2..64; default 8 on io_uring, 4 elsewhere */
    uint32_t read_keep_max;      /* buffers that gyre_buf_keep may hold at a time; default 16 */
    uint32_t queued_bytes_max;   /* a stream's default hard cap on queued writes; default 16 MiB */
    const struct gyrei_env *env; /* private: the simulator's */
} gyre_loop_options;

/* A unit of deferred work; the caller's memory, the library's from gyre_defer to its callback. */
typedef struct gyre_deferred gyre_deferred;
typedef void (*gyre_defer_cb)(gyre_deferred *deferred);

struct gyre_deferred {
    void *data; /* the user's */
    gyre_task task;
    gyre_defer_cb cb;
    gyre_loop *loop; /* NULL when it does not wait */
};

/* Called for each open handle; may close it, and only it. */
typedef void (*gyre_walk_cb)(gyre_handle *handle, void *ctx);

/*
 * Makes a loop. It may be made in one thread and run in another.
 *
 * Params: options: may be NULL for all defaults.
 * Owns:   the loop is the library's object; give it back with gyre_loop_close.
 * Thread: any.
 * Phase:  none.
 * Errors: GYRE_EINVAL (an option out of range, an unknown backend), GYRE_ENOMEM, GYRE_EMFILE,
 *         GYRE_ENFILE; with GYRE_BACKEND_STRICT=1 also what the kernel says when it refuses the
 *         backend: GYRE_EPERM, GYRE_ENOSYS.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_loop_init(gyre_loop **loop, const gyre_loop_options *options);

/*
 * Frees the loop. Posted functions that have not run are called with GYRE_ECANCELED.
 *
 * Params: loop: not inside a callback of it.
 * Owns:   the loop is gone if 0 is returned.
 * Thread: loop.
 * Phase:  none.
 * Errors: GYRE_EBUSY while handles are open, requests are in flight, or deferred work waits; then
 *         nothing happened.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_loop_close(gyre_loop *loop);

/*
 * Cancels every operation, closes every handle that is open, runs the loop until all callbacks were
 * called, and frees it.
 *
 * Params: loop: not inside a callback of it. timeout_ns: how long callbacks that start new work may
 *         keep it going.
 * Owns:   the loop is gone if 0 is returned.
 * Thread: loop.
 * Phase:  callbacks run in their phases.
 * Errors: GYRE_ETIMEDOUT when callbacks kept opening handles: the loop still stands.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_loop_shutdown(gyre_loop *loop, uint64_t timeout_ns);

/*
 * Runs the loop.
 *
 * DEFAULT: due timers run once, then turns (pending, idle, prepare, poll, check, close, timers)
 * until nothing is alive or gyre_loop_stop was called. ONCE: one turn, which sleeps until an
 * operation, a post or the nearest timer, unless work or an idle hook waited when it began; a lone
 * timer is waited for and run in this call. NOWAIT: one turn that does not sleep. A turn may be run
 * from inside a callback (ONCE or NOWAIT); it finishes the phase that it interrupts.
 *
 * Params: mode: one of gyre_run_mode.
 * Owns:   nothing.
 * Thread: loop; the first call makes the calling thread the loop's.
 * Phase:  all.
 * Errors: GYRE_EINVAL for an unknown mode; what the kernel answers when waiting itself fails for
 *         good (GYRE_EBADF, GYRE_ENOMEM). Otherwise 1 if something is still alive, 0 if not.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_loop_run(gyre_loop *loop, gyre_run_mode mode);

/*
 * Runs one turn that does not sleep.
 *
 * Params: loop: open.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  all.
 * Errors: as gyre_loop_run; otherwise the number of callbacks dispatched.
 * Since:  0.1.
 */
GYRE_EXPORT int64_t gyre_loop_tick(gyre_loop *loop);

/*
 * Runs at most `max` turns that may sleep, as ONCE does; stops early when nothing is alive or
 * gyre_loop_stop was called.
 *
 * Params: max: 0 runs none.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  all.
 * Errors: as gyre_loop_run; otherwise the number of turns run.
 * Since:  0.1.
 */
GYRE_EXPORT int64_t gyre_loop_run_turns(gyre_loop *loop, uint64_t max);

/*
 * Runs at most one callback: the next one that a turn without sleeping would run, going through as
 * many phases as it takes, a whole round of them at most. The turn goes on with the next call. For
 * debuggers and teaching.
 *
 * Params: loop: open.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  all; gyre_loop_phase says which one it stopped in.
 * Errors: as gyre_loop_run; otherwise 1 if a callback ran, 0 if a whole turn had none.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_loop_step(gyre_loop *loop);

/*
 * Ends the present gyre_loop_run after this turn; called before a run, it ends that run before its
 * first turn.
 *
 * Params: loop: open. From other threads: gyre_post a function that calls it.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_loop_stop(gyre_loop *loop);

/*
 * Says whether something keeps the loop alive: an active and ref'd handle, a request in flight, a
 * closing handle, deferred or posted work, a hold.
 *
 * Params: loop: open.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none; 1 or 0.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_loop_alive(const gyre_loop *loop);

/*
 * Keeps the loop alive until a gyre_loop_release; counted. For layers above with work of their own.
 *
 * Params: loop: open.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_loop_hold(gyre_loop *loop);

/*
 * Takes one gyre_loop_hold back.
 *
 * Params: loop: held.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none; one release too many is a programmer's error.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_loop_release(gyre_loop *loop);

/*
 * How many handles are initialised and not yet closed, closing ones included.
 *
 * Params: loop: open.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint64_t gyre_loop_handle_count(const gyre_loop *loop);

/*
 * Calls `cb` for each handle that is initialised and not yet closed: first those whose close
 * callback is due, then the others in order of init.
 *
 * Params: ctx: given to `cb`.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any; `cb` runs inside the call.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_loop_walk(gyre_loop *loop, gyre_walk_cb cb, void *ctx);

/*
 * The loop's time: the monotonic clock in nanoseconds. Read once a turn, by the first who asks
 * after the turn's poll, and again before timers are looked at.
 *
 * Params: loop: open.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint64_t gyre_loop_now_ns(const gyre_loop *loop);

/*
 * Reads the clock into the loop's time now, after a long callback.
 *
 * Params: loop: open.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_loop_update_now(gyre_loop *loop);

/*
 * The wall clock, in nanoseconds since 1970-01-01 UTC, through the loop's environment (so that a
 * simulated one is simulated).
 *
 * Params: loop: open.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT int64_t gyre_loop_wall_ns(const gyre_loop *loop);

/*
 * The backend that really runs: "uring", "epoll", "poll", "sim".
 *
 * Params: loop: open.
 * Owns:   the text is static.
 * Thread: any.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT const char *gyre_loop_backend_name(const gyre_loop *loop);

/*
 * The phase that runs now; GYRE_PHASE_NONE outside a turn.
 *
 * Params: loop: open.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT gyre_phase gyre_loop_phase(const gyre_loop *loop);

/*
 * The word for `phase`: "timers", "pending", ...
 *
 * Params: phase: any.
 * Owns:   the text is static.
 * Thread: any.
 * Phase:  none.
 * Errors: none; "none" for a number outside the enum.
 * Since:  0.1.
 */
GYRE_EXPORT const char *gyre_phase_name(gyre_phase phase);

/*
 * A descriptor that polls readable when the loop has something to do, to embed it in another loop.
 * Before that loop sleeps call gyre_loop_embed_prepare and let it sleep no longer than
 * gyre_loop_timeout_ns; when it wakes, run a NOWAIT turn.
 *
 * Params: loop: open.
 * Owns:   the descriptor is the loop's.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_ENOTSUP on the poll backend; GYRE_EMFILE, GYRE_ENOMEM.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_loop_fd(gyre_loop *loop);

/*
 * How long a host loop may sleep: 0 while anything is runnable, posted, idle or closing, UINT64_MAX
 * without timers and when nothing is alive.
 *
 * Params: loop: open.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none; nanoseconds from now.
 * Since:  0.1.
 */
GYRE_EXPORT uint64_t gyre_loop_timeout_ns(gyre_loop *loop);

/*
 * Hands everything submitted to the kernel, so that gyre_loop_fd will wake for it. For a host loop,
 * before it sleeps.
 *
 * Params: loop: open.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  none.
 * Errors: as gyre_loop_run.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_loop_embed_prepare(gyre_loop *loop);

/*
 * Runs `cb(deferred)` on this loop in the pending phase of the next turn, or right after this
 * turn's poll.
 *
 * Params: deferred: zeroed or used before, and not waiting at present.
 * Owns:   its memory is the library's until `cb` begins.
 * Thread: loop.
 * Phase:  `cb` runs in the pending phase, in order of gyre_defer.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_defer(gyre_loop *loop, gyre_deferred *deferred, gyre_defer_cb cb);

/*
 * Takes deferred work back before it runs.
 *
 * Params: deferred: zeroed or once given to gyre_defer.
 * Owns:   its memory is the caller's again.
 * Thread: loop.
 * Phase:  any.
 * Errors: GYRE_ENOENT when it was not waiting.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_defer_cancel(gyre_deferred *deferred);

/*
 * Makes the loop usable in a child after fork, on kernel objects of its own. What was in flight
 * ends with GYRE_ECANCELED there; descriptors are shared with the parent, as fork has it. Any other
 * call but gyre_loop_close in a child asserts before this one.
 *
 * Params: loop: inherited through fork.
 * Owns:   nothing.
 * Thread: the child's only one, which becomes the loop's.
 * Phase:  none.
 * Errors: GYRE_ENOMEM, GYRE_EMFILE, GYRE_ENFILE: then only gyre_loop_close is possible.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_loop_forked(gyre_loop *loop);

/* What the loop is doing at present, for a watchdog in another thread. */
typedef struct gyre_loop_position {
    uint64_t callbacks; /* callbacks entered since the loop was made */
    gyre_phase phase;
    gyre_handle_kind kind; /* of the callback that runs; GYRE_HANDLE_NONE between callbacks */
    const char *name;      /* the handle's name, or NULL */
} gyre_loop_position;

/*
 * Which callback the loop is in. A racy snapshot that is good enough to name the one that blocks.
 *
 * Params: position: filled in.
 * Owns:   nothing.
 * Thread: any that knows the loop to be alive.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_loop_position_get(const gyre_loop *loop, gyre_loop_position *position);

#ifdef __cplusplus
}
#endif
#endif
