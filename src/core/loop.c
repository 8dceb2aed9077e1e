/*
 * The turn: the page that everyone reads. One thread waits in the kernel, and dispatches what is
 * ready in phases.
 *
 *      +--> pending --> idle --> prepare --> poll --> check --> close --> timers --+
 *      +---------------------------------------------------------------------------+
 *
 * Each phase begins with a batch and runs it one callback at a time; the batch stands in the loop,
 * so that a turn may run inside a callback and gyre_loop_step may stop between any two. What a
 * phase's callbacks add waits for the next drain, so every phase ends. Must not know which backend
 * runs, nor what streams or files are.
 */
#include "core/loop.h"

#include "base/hot.h"
#include "core/async.h"
#include "core/hook.h"
#include "core/timer.h"
#include "os/here.h"

/* The turn is one function, and makes its system calls itself: os/here.h says why. */
#define FLAT __attribute__((always_inline)) static inline

typedef struct phase_spec {
    gyre_phase phase;
    bool (*is_due)(const gyre_loop *loop); /* there is something to begin */
    void (*begin)(gyre_loop *loop);
    bool (*run_next)(gyre_loop *loop);
} phase_spec;

/* ---- descriptors that were let go of ---- */

FLAT void close_let_go(gyre_loop *loop)
{
    const int fd = loop->fd_to_close;

    if (__builtin_expect(fd < 0, 1))
        return;
    loop->fd_to_close = -1;
    (void)gyrei_here_close(loop->env, fd); /* it is gone whatever close says */
}

void gyrei_loop_close_fd_now(gyre_loop *loop)
{
    close_let_go(loop);
}

void gyrei_loop_close_fd(gyre_loop *loop, int fd)
{
    close_let_go(loop);
    loop->fd_to_close = fd;
}

/* ---- pending work ---- */

static bool has_posts(const gyre_loop *loop)
{
    return loop->posted != NULL || gyrei_remote_has_posts(loop->remote);
}

static bool has_pending(const gyre_loop *loop)
{
    return loop->runnable_count > 0 || loop->task_count > 0 || has_posts(loop);
}

/* Takes a batch: what waits now is run, what comes meanwhile waits for the next drain. */
static void drain_begin(gyre_loop *loop)
{
    if (gyrei_remote_has_posts(loop->remote))
        gyrei_posts_take(loop);
    loop->ops_left = loop->runnable_count < loop->run_max ? loop->runnable_count : loop->run_max;
    loop->tasks_left = loop->task_count < loop->run_max ? loop->task_count : loop->run_max;
    loop->posts_left = loop->run_max;
}

/* A stream, as most ops stand in, is four lines of memory: from the end of its handle on. */
enum { LINE_BYTES = 64, FETCH_FROM = -16, FETCH_TO = 192 };

/*
 * Asks for the memory around the op that is next, while this one makes its system calls: of
 * thousands of connections each is a cache miss a line when its turn comes.
 */
FLAT void fetch_next(const gyre_loop *loop)
{
    const char *next = (const char *)gyrei_list_next(&loop->runnable);

    for (int i = FETCH_FROM; i < FETCH_TO; i += LINE_BYTES)
        __builtin_prefetch(next + i);
}

/* The system call of an op that is ready for it. False: it has no result yet. */
FLAT bool perform(gyre_loop *loop, gyre_op *op, gyrei_result *result)
{
    gyrei_recv_call call;
    int64_t got;

    if (op->kind == GYREI_OP_ACCEPT) {
        const int fd = gyrei_here_accept(loop->env, op->fd);

        return loop->ops->accept_end(loop->backend, op, fd, result);
    }
    if (op->kind != GYREI_OP_RECV)
        return loop->ops->perform(loop->backend, op, result);
    if (!loop->ops->recv_begin(loop->backend, op, &call))
        return false;
    got = gyrei_here_recv(loop->env, &call);
    return loop->ops->recv_end(loop->backend, op, &call, got, result);
}

/* One result of one operation. */
FLAT bool run_op(gyre_loop *loop)
{
    gyre_link *link = gyrei_list_pop(&loop->runnable);
    gyrei_result result;
    gyre_op *op;

    if (link == NULL)
        return false;
    fetch_next(loop);
    op = GYRE_CONTAINER_OF(link, gyre_op, link);
    loop->runnable_count--;
    op->flags &= (uint16_t)~GYREI_OP_IN_RUN_QUEUE;
    if ((op->flags & GYREI_OP_PERFORM) != 0) {
        op->flags &= (uint16_t)~GYREI_OP_PERFORM;
        if (!perform(loop, op, &result))
            return true;
        if ((result.flags & GYREI_RESULT_MORE) == 0)
            gyrei_op_performed(loop, op);
    } else {
        gyrei_op_take_result(loop, op, &result);
    }
    op->done(loop, op, &result);
    if ((result.flags & GYREI_RESULT_BUFFER) != 0)
        loop->ops->buf_release(loop->backend, result.base);
    return true;
}

static bool run_task(gyre_loop *loop)
{
    gyre_link *link = gyrei_list_pop(&loop->tasks);
    gyre_task *task;

    if (link == NULL)
        return false;
    task = GYRE_CONTAINER_OF(link, gyre_task, link);
    loop->task_count--;
    task->run(loop, task);
    return true;
}

FLAT bool drain_next(gyre_loop *loop)
{
    if (loop->ops_left > 0) {
        loop->ops_left--;
        if (run_op(loop))
            return true;
    }
    if (loop->tasks_left > 0) {
        loop->tasks_left--;
        if (run_task(loop))
            return true;
    }
    if (loop->posts_left > 0) {
        loop->posts_left--;
        if (gyrei_posts_run_next(loop))
            return true;
    }
    loop->ops_left = 0;
    loop->tasks_left = 0;
    loop->posts_left = 0;
    return false;
}

static void pending_begin(gyre_loop *loop)
{
    loop->rounds_left = 0;
    drain_begin(loop);
}

static void poll_begin(gyre_loop *loop)
{
    loop->rounds_left = GYREI_DRAIN_ROUNDS - 1;
    drain_begin(loop);
}

/* Drained again, boundedly, so that a ONCE woken by a post also runs what that post caused. */
FLAT bool poll_next(gyre_loop *loop)
{
    for (;;) {
        if (drain_next(loop))
            return true;
        if (loop->rounds_left == 0 || !has_pending(loop))
            return false;
        loop->rounds_left--;
        drain_begin(loop);
    }
}

/* ---- the other phases ---- */

static bool timers_due(const gyre_loop *loop)
{
    return loop->timers.count > 0 || !gyrei_list_empty(&loop->due);
}

static void timers_begin(gyre_loop *loop)
{
    if (loop->timers.count == 0)
        return;
    if (loop->ran || loop->clock_due)
        gyre_loop_update_now(loop);
    gyrei_timers_collect(loop);
}

static bool idle_due(const gyre_loop *loop)
{
    return gyrei_hooks_due(loop, GYRE_HOOK_IDLE);
}

static void idle_begin(gyre_loop *loop)
{
    gyrei_hooks_begin(loop, GYRE_HOOK_IDLE);
}

static bool idle_next(gyre_loop *loop)
{
    return gyrei_hooks_run_next(loop, GYRE_HOOK_IDLE);
}

static bool prepare_due(const gyre_loop *loop)
{
    return gyrei_hooks_due(loop, GYRE_HOOK_PREPARE);
}

static void prepare_begin(gyre_loop *loop)
{
    gyrei_hooks_begin(loop, GYRE_HOOK_PREPARE);
}

static bool prepare_next(gyre_loop *loop)
{
    return gyrei_hooks_run_next(loop, GYRE_HOOK_PREPARE);
}

static bool check_due(const gyre_loop *loop)
{
    return gyrei_hooks_due(loop, GYRE_HOOK_CHECK);
}

static void check_begin(gyre_loop *loop)
{
    gyrei_hooks_begin(loop, GYRE_HOOK_CHECK);
}

static bool check_next(gyre_loop *loop)
{
    return gyrei_hooks_run_next(loop, GYRE_HOOK_CHECK);
}

static bool close_due(const gyre_loop *loop)
{
    return loop->closing_count > 0;
}

/*
 * A handle closed by a close callback waits for the next turn: the ones behind this moment are not
 * of this batch.
 */
static void close_begin(gyre_loop *loop)
{
    loop->closing_left = loop->closing_count;
}

static bool close_next(gyre_loop *loop)
{
    if (loop->closing_left == 0)
        return false;
    loop->closing_left--;
    return gyrei_closing_run_next(loop);
}

static const phase_spec phase_timers = {GYRE_PHASE_TIMERS, timers_due, timers_begin,
                                        gyrei_timers_run_next};
static const phase_spec phase_pending = {GYRE_PHASE_PENDING, has_pending, pending_begin,
                                         drain_next};
static const phase_spec phase_idle = {GYRE_PHASE_IDLE, idle_due, idle_begin, idle_next};
static const phase_spec phase_prepare = {GYRE_PHASE_PREPARE, prepare_due, prepare_begin,
                                         prepare_next};
static const phase_spec phase_poll = {GYRE_PHASE_POLL, has_pending, poll_begin, poll_next};
static const phase_spec phase_check = {GYRE_PHASE_CHECK, check_due, check_begin, check_next};
static const phase_spec phase_close = {GYRE_PHASE_CLOSE, close_due, close_begin, close_next};

/* ---- waiting ---- */

/* Writes go out, receives that were stopped are taken back, and what was let go of is closed. */
FLAT void flush_writes(gyre_loop *loop)
{
    gyrei_send_call call;

    while (loop->flush_first != NULL) {
        if (loop->send_begin(loop, &call))
            loop->send_end(loop, &call, gyrei_here_send(loop->env, &call));
    }
    close_let_go(loop);
}

static void flush(gyre_loop *loop)
{
    flush_writes(loop);
    if (loop->services_dirty)
        gyrei_services_flush(loop);
    if (!gyrei_list_empty(&loop->queued))
        gyrei_op_flush_queued(loop);
}

/* Whether the loop has something to run without the kernel's help. */
static bool is_busy(const gyre_loop *loop)
{
    return has_pending(loop) || loop->idle_count > 0 || loop->closing_count > 0 || loop->stop ||
           !gyrei_list_empty(&loop->due) || !gyrei_list_empty(&loop->queued);
}

/* How long the loop may sleep, by a clock read since the last callback. */
static uint64_t sleep_ns(gyre_loop *loop)
{
    uint64_t next_ns;

    if (is_busy(loop))
        return 0;
    next_ns = gyrei_timers_next_ns(loop);
    if (next_ns == UINT64_MAX)
        return GYREI_WAIT_FOREVER;
    if (loop->ran || loop->clock_due)
        gyre_loop_update_now(loop);
    return next_ns > loop->now_ns ? next_ns - loop->now_ns : 0;
}

FLAT int wait_once(gyre_loop *loop, uint64_t timeout_ns)
{
    gyrei_wait_call call;
    int result;

    call.kind = GYREI_WAIT_NONE;
    result = loop->ops->wait_begin(loop->backend, timeout_ns, &call);
    if (call.kind == GYREI_WAIT_NONE)
        return result;
    result = gyrei_here_wait(loop->env, &call);
    return loop->ops->wait_end(loop->backend, &call, result);
}

/*
 * Lets the kernel say what is ready. Sleeps again when it woke for nothing (a signal, a wake-up
 * that was served already), so that a ONCE does not end before what it waits for.
 */
FLAT int wait_for_events(gyre_loop *loop, bool may_sleep)
{
    uint64_t timeout_ns;
    int error;

    do {
        flush(loop);
        timeout_ns = may_sleep && loop->alive > 0 ? sleep_ns(loop) : 0;
        if (timeout_ns > 0) {
            gyrei_remote_sleep(loop->remote);
            if (gyrei_remote_has_posts(loop->remote))
                timeout_ns = 0;
        }
        error = wait_once(loop, timeout_ns);
        gyrei_remote_awake(loop->remote);
        loop->clock_due = true;
    } while (error == 0 && timeout_ns > 0 && sleep_ns(loop) > 0);
    return error;
}

/* ---- the turn ---- */

/* Other threads read it: gyre_loop_position_get. */
static void set_phase(gyre_loop *loop, gyre_phase phase)
{
    __atomic_store_n(&loop->phase, phase, __ATOMIC_RELAXED);
}

static void phase_enter(gyre_loop *loop, const phase_spec *spec)
{
    set_phase(loop, spec->phase);
    if (__builtin_expect(loop->trace != NULL, 0))
        gyrei_trace_phase(loop, GYRE_TRACE_PHASE);
    spec->begin(loop);
}

/* Runs the next callback and sends what it has written. */
FLAT bool dispatch_next(gyre_loop *loop, const phase_spec *spec)
{
    if (!spec->run_next(loop))
        return false;
    flush_writes(loop);
    return true;
}

/*
 * Who traces the loop sees each phase; else one with nothing to do costs a look.
 */
FLAT void run_phase(gyre_loop *loop, const phase_spec *spec)
{
    if (__builtin_expect(!spec->is_due(loop) && loop->trace == NULL, 1)) {
        set_phase(loop, spec->phase);
        return;
    }
    phase_enter(loop, spec);
    while (dispatch_next(loop, spec))
        ;
}

static void trace_turn(gyre_loop *loop, gyre_trace_type type)
{
    if (__builtin_expect(loop->trace != NULL, 0))
        gyrei_trace_phase(loop, type);
}

/* A turn inside a callback: the loop is in that one whenever none of the turn's own runs. */
static void nest(gyre_loop *loop, gyrei_place *outer)
{
    *outer = loop->outer;
    loop->outer = loop->place;
}

/* Around what runs callbacks; `outer` keeps what the turn around it has of its own. */
FLAT void depth_enter(gyre_loop *loop, gyrei_place *outer)
{
    if (__builtin_expect(loop->depth++ > 0, 0))
        nest(loop, outer);
}

FLAT void depth_leave(gyre_loop *loop, const gyrei_place *outer)
{
    if (__builtin_expect(--loop->depth > 0, 0))
        loop->outer = *outer;
}

/* Operations and tasks are not asked: who waits for one is counted himself. */
int gyre_loop_alive(const gyre_loop *loop)
{
    return loop->alive > 0 || has_posts(loop);
}

/* A stop ends the outermost run; a nested one that it ended too leaves it standing. */
static int run_end(gyre_loop *loop, int error)
{
    if (loop->depth == 0)
        loop->stop = false;
    return error != 0 ? error : gyre_loop_alive(loop);
}

/* What turns are told: they may sleep; their caller waits for one; they are the last of a run. */
enum { TURNS_SLEEP = 1, TURNS_ONE = 2, TURNS_LAST = 4 };

/*
 * A turn that its caller waits for does not sleep when something ran before its poll: what the
 * caller waits for may have been that. A post may come in between, so a look beforehand is not
 * enough.
 */
FLAT bool may_sleep(const gyre_loop *loop, uint32_t flags, uint64_t callbacks_before)
{
    return (flags & TURNS_SLEEP) != 0 &&
           ((flags & TURNS_ONE) == 0 || loop->callbacks == callbacks_before);
}

FLAT int turn(gyre_loop *loop, uint32_t flags)
{
    const uint64_t before = loop->callbacks;
    const gyre_phase phase = loop->phase;
    gyrei_place outer;
    bool sleeps;
    int error;

    depth_enter(loop, &outer);
    trace_turn(loop, GYRE_TRACE_TURN_BEGIN);
    run_phase(loop, &phase_pending);
    run_phase(loop, &phase_idle);
    sleeps = may_sleep(loop, flags, before);
    run_phase(loop, &phase_prepare);
    error = wait_for_events(loop, sleeps);
    run_phase(loop, &phase_poll);
    run_phase(loop, &phase_check);
    run_phase(loop, &phase_close);
    run_phase(loop, &phase_timers);
    set_phase(loop, phase);
    trace_turn(loop, GYRE_TRACE_TURN_END);
    depth_leave(loop, &outer);
    return error;
}

/*
 * At most `max` turns, while the loop is alive and not stopped: 1 if it is alive, 0, or an error.
 * They are in this function, and the last ones end their run here: so nothing returns between two
 * requests (os/here.h).
 */
GYREI_HOT static int run_turns(gyre_loop *loop, uint32_t flags, uint64_t max)
{
    int error = 0;

    for (; error == 0 && max > 0 && gyre_loop_alive(loop) && !loop->stop; max--)
        error = turn(loop, flags);
    if ((flags & TURNS_LAST) != 0)
        return run_end(loop, error);
    return error != 0 ? error : gyre_loop_alive(loop);
}

/* The calling thread becomes the loop's at its first turn: only then may the ring be enabled. */
static int claim(gyre_loop *loop)
{
    int error;

    /* The caller may have taken his time since the last turn. */
    loop->ran = true;
    if (loop->enabled) {
        gyrei_loop_check(loop);
        return 0;
    }
    loop->owner = gyrei_thread_self();
    __atomic_store_n(&loop->remote->owner, loop->owner, __ATOMIC_RELAXED);
    gyrei_loop_check(loop);
    error = loop->ops->enable(loop->backend);
    if (error != 0) {
        loop->owner = 0;
        return error;
    }
    loop->enabled = true;
    return 0;
}

/* Timers that are due before the first turn of DEFAULT. */
static void run_due_timers(gyre_loop *loop)
{
    const gyre_phase phase = loop->phase;
    gyrei_place outer;

    if (!gyre_loop_alive(loop) || loop->stop)
        return;
    depth_enter(loop, &outer);
    gyre_loop_update_now(loop);
    run_phase(loop, &phase_timers);
    set_phase(loop, phase);
    depth_leave(loop, &outer);
}

/* A turn that its caller waits for: it need not sleep when there is work before its poll. */
static uint32_t one_turn(const gyre_loop *loop)
{
    return has_pending(loop) || loop->idle_count > 0 ? TURNS_ONE : TURNS_ONE | TURNS_SLEEP;
}

int gyre_loop_run(gyre_loop *loop, gyre_run_mode mode)
{
    int error;

    if ((unsigned)mode > GYRE_RUN_NOWAIT)
        return GYRE_EINVAL;
    error = claim(loop);
    if (error != 0)
        return error;
    if (mode == GYRE_RUN_DEFAULT) {
        run_due_timers(loop);
        return run_turns(loop, TURNS_LAST | TURNS_SLEEP, UINT64_MAX);
    }
    if (loop->stop || !gyre_loop_alive(loop))
        gyre_loop_update_now(loop);
    return run_turns(loop, TURNS_LAST | (mode == GYRE_RUN_ONCE ? one_turn(loop) : 0), 1);
}

int gyrei_loop_run_part(gyre_loop *loop, bool is_first)
{
    int error = 0;

    if (is_first) {
        error = claim(loop);
        if (error == 0)
            run_due_timers(loop);
    } else {
        error = run_turns(loop, TURNS_SLEEP, 1);
    }
    return error < 0 ? error : gyre_loop_alive(loop) && !loop->stop;
}

bool gyrei_loop_unwind(gyre_loop *loop)
{
    const uint64_t before = loop->callbacks;
    const uint32_t closing = loop->closing_count;

    loop->depth++;
    gyrei_op_close_queued(loop);
    run_phase(loop, &phase_pending);
    run_phase(loop, &phase_close);
    run_phase(loop, &phase_timers);
    set_phase(loop, GYRE_PHASE_NONE);
    loop->depth--;
    return loop->callbacks != before || loop->closing_count != closing;
}

int64_t gyre_loop_tick(gyre_loop *loop)
{
    const uint64_t before = loop->callbacks;
    const int error = gyre_loop_run(loop, GYRE_RUN_NOWAIT);

    return error < 0 ? error : (int64_t)(loop->callbacks - before);
}

int64_t gyre_loop_run_turns(gyre_loop *loop, uint64_t max)
{
    uint64_t turns = 0;
    int error = claim(loop);

    while (error >= 0 && turns < max && !loop->stop && gyre_loop_alive(loop)) {
        error = run_turns(loop, one_turn(loop), 1);
        turns++;
    }
    (void)run_end(loop, 0);
    return error < 0 ? error : (int64_t)turns;
}

static const phase_spec *const round_of_phases[] = {
    &phase_pending, &phase_idle,  &phase_prepare, &phase_poll,
    &phase_check,   &phase_close, &phase_timers,
};
enum { ROUND_PHASES = sizeof(round_of_phases) / sizeof(round_of_phases[0]) };

static int step_enter(gyre_loop *loop, const phase_spec *spec)
{
    int error = 0;

    if (loop->step_position == 0)
        trace_turn(loop, GYRE_TRACE_TURN_BEGIN);
    if (spec == &phase_poll)
        error = wait_for_events(loop, false);
    phase_enter(loop, spec);
    loop->step_position++;
    return error;
}

static void step_leave(gyre_loop *loop)
{
    loop->step_position = (loop->step_position + 1) % (2 * ROUND_PHASES);
    if (loop->step_position != 0)
        return;
    set_phase(loop, GYRE_PHASE_NONE);
    trace_turn(loop, GYRE_TRACE_TURN_END);
}

/*
 * Goes on in the phase of step_position / 2: an even position is about to enter it, an odd one is
 * in it. Ends at the first callback, or when every phase was entered without one.
 */
static int step_to_callback(gyre_loop *loop)
{
    const uint64_t before = loop->callbacks;
    uint32_t entered = 0;

    for (;;) {
        const phase_spec *spec = round_of_phases[loop->step_position / 2];

        if (loop->step_position % 2 == 0) {
            int error;

            if (entered++ == ROUND_PHASES || (loop->step_position == 0 && !gyre_loop_alive(loop)))
                return 0;
            error = step_enter(loop, spec);
            if (error != 0)
                return error;
        } else if (!dispatch_next(loop, spec)) {
            step_leave(loop);
        } else if (loop->callbacks != before) {
            return 1;
        }
    }
}

int gyre_loop_step(gyre_loop *loop)
{
    int ran = claim(loop);
    gyrei_place outer;

    if (ran != 0)
        return ran;
    depth_enter(loop, &outer);
    ran = step_to_callback(loop);
    depth_leave(loop, &outer);
    return ran;
}

void gyre_loop_stop(gyre_loop *loop)
{
    gyrei_loop_check(loop);
    loop->stop = true;
}

/* ---- embedding ---- */

int gyre_loop_fd(gyre_loop *loop)
{
    const int error = claim(loop);

    return error != 0 ? error : loop->ops->fd(loop->backend);
}

uint64_t gyre_loop_timeout_ns(gyre_loop *loop)
{
    gyrei_loop_check(loop);
    gyre_loop_update_now(loop);
    /* A turn of a loop that is not alive would do nothing, now or later. */
    if (!gyre_loop_alive(loop))
        return UINT64_MAX;
    return loop->flush_first != NULL ? 0 : sleep_ns(loop);
}

int gyre_loop_embed_prepare(gyre_loop *loop)
{
    const int error = claim(loop);
    gyrei_place outer;

    if (error != 0)
        return error;
    depth_enter(loop, &outer);
    flush(loop);
    depth_leave(loop, &outer);
    /*
     * The host sleeps in our place: posts must write to the eventfd until the next turn. One that
     * is there already stands in the way of that write, which only the first of a burst makes.
     */
    gyrei_remote_sleep(loop->remote);
    if (gyrei_remote_has_posts(loop->remote))
        gyrei_remote_wake(loop->remote);
    return loop->ops->flush(loop->backend);
}
