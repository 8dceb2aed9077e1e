/*
 * The tasks: for each kind the handles it has, and the callbacks, as a user would write them.
 *
 * Each callback begins with task_enter() and ends with task_leave(), which is how the picture knows
 * the stack; what the loop does in between is its own affair.
 */
#include "engine.h"

#include "core/loop.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- around a callback ---- */

void task_enter(task *self, const char *callback)
{
    engine *of = self->of;

    frame_crowd(of, true);
    if (of->depth < sizeof(of->stack) / sizeof(of->stack[0]))
        of->stack[of->depth] = callback;
    of->depth++;
}

void task_leave(task *self)
{
    self->of->depth--;
}

static gyre_loop *client_loop(const engine *self)
{
    return gyre_sim_host_loop(self->clients);
}

void engine_compute(engine *self, uint32_t ms)
{
    (void)gyre_sim_run_until(self->sim, gyre_sim_now_ns(self->sim) + ms * GYRE_MILLISECOND);
}

static void compute(task *self, uint32_t ms)
{
    self->burnt_ms += ms;
    engine_compute(self->of, ms);
}

/* ---- the others ---- */

static void on_sync(task *self)
{
    task_enter(self, self->text->name);
    frame_make(self->of, self, "sync",
               "main calls %s, and it runs at once: ordinary code, in order, before the loop has begun.",
               self->text->name);
    task_leave(self);
}

static void on_deferred(gyre_deferred *deferred)
{
    task *self = GYRE_CONTAINER_OF(deferred, task, deferred);

    self->place = PLACE_NONE;
    task_enter(self, "on_deferred");
    frame_make(self->of, self, "on_deferred",
               "%s was put off with gyre_defer, so it runs here, in the pending phase: after whoever "
               "put it off has finished, and before the loop asks the kernel again.",
               self->text->name);
    task_leave(self);
}

/* How late a timer runs, and why. */
static const char *lateness(const task *self, char *room, size_t bytes)
{
    const uint64_t now_ns = gyre_sim_now_ns(self->of->sim);
    const uint64_t late_ns = now_ns - self->due_ns;

    if (late_ns < GYRE_MILLISECOND / 10)
        return "on time, in the timers phase";
    snprintf(room, bytes, "%s ms late, because %s had the thread", words_ms(late_ns),
             self->of->program.calls > 1 ? "main" : "another callback");
    return room;
}

static void on_timer(gyre_timer *timer)
{
    task *self = GYRE_CONTAINER_OF(timer, task, timer);
    const bool is_over = self->left > 0 && --self->left == 0;
    const char *due = words_ms(self->due_ns - self->of->begun_ns);
    char room[80];

    if (is_over)
        gyre_timer_stop(timer);
    task_enter(self, "on_timer");
    if (is_over || gyre_timer_repeat_ns(timer) == 0)
        frame_make(self->of, self, "on_timer", "Timer %s was due at %s ms and runs %s.",
                   self->text->name, due, lateness(self, room, sizeof(room)));
    else
        frame_make(self->of, self, "on_timer",
                   "Timer %s was due at %s ms and runs %s. It repeats, so it is in the heap again.",
                   self->text->name, due, lateness(self, room, sizeof(room)));
    self->due_ns = gyre_sim_now_ns(self->of->sim) + gyre_timer_due_in_ns(timer);
    task_leave(self);
}

static const char *hook_words(bool is_idle, bool is_stopped)
{
    if (!is_idle)
        return is_stopped ? "after the look at the kernel, for the last time: it stops itself."
                          : "after each look at the kernel, whether it brought anything or not.";
    return is_stopped ? "for the last time: it stops itself, and from here on the loop may sleep."
                      : "once in every turn. While one is started the loop always has something to "
                        "do, so it does not sleep.";
}

static void on_hook(gyre_hook *hook)
{
    task *self = GYRE_CONTAINER_OF(hook, task, hook);
    const bool is_idle = self->text->kind == TASK_IDLE;

    if (--self->left == 0) {
        gyre_hook_stop(hook);
        self->place = PLACE_NONE;
    }
    task_enter(self, is_idle ? "on_idle" : "on_check");
    frame_make(self->of, self, is_idle ? "on_idle" : "on_check", "%s hook %s runs %s",
               is_idle ? "Idle" : "Check", self->text->name, hook_words(is_idle, self->left == 0));
    task_leave(self);
}

static void on_closed(gyre_handle *handle)
{
    task *self = handle->data;

    self->place = PLACE_NONE;
    task_enter(self, "on_close");
    frame_make(self->of, self, "on_close",
               "%s was closed earlier, and its close callback runs only now, in the close phase: never "
               "from inside gyre_close, so that whoever closes a handle may still be using it.",
               self->text->name);
    task_leave(self);
}

static void on_slow(gyre_timer *timer)
{
    task *self = GYRE_CONTAINER_OF(timer, task, timer);
    const uint32_t ms = self->text->numbers[1];
    uint32_t waiting;

    task_enter(self, "on_slow");
    frame_make(self->of, self, "on_slow",
               "%s computes for %u ms inside its callback. There is one thread, and it is busy: nobody "
               "is served until this returns.",
               self->text->name, ms);
    compute(self, ms);
    waiting = sockets_waiting(self->of);
    if (waiting > 0)
        frame_make(self->of, self, "on_slow",
                   "%s returns after %u ms. Meanwhile %s %s come, and %s in the kernel, unread: it "
                   "was not asked.",
                   self->text->name, ms, waiting == 1 ? "a line" : words_count(waiting),
                   waiting == 1 ? "has" : "lines have", waiting == 1 ? "waits" : "wait");
    else
        frame_make(self->of, self, "on_slow",
                   "%s returns after %u ms. A timer that fell due meanwhile is still in the heap.",
                   self->text->name, ms);
    task_leave(self);
}

static int on_slice(gyre_slice *slice)
{
    task *self = GYRE_CONTAINER_OF(slice, task, slice);

    task_enter(self, "on_slice");
    compute(self, 1);
    if (self->burnt_ms % 2 == 1)
        frame_make(self->of, self, "on_slice",
                   "A step of %s: %u ms of %u are computed. When this turn's budget of 2 ms is spent, "
                   "the loop asks the kernel before it goes on.",
                   self->text->name, self->burnt_ms, self->text->numbers[1]);
    task_leave(self);
    return self->burnt_ms < self->text->numbers[1] ? 1 : 0;
}

static void on_slice_done(gyre_slice *slice, int status)
{
    task *self = GYRE_CONTAINER_OF(slice, task, slice);

    (void)status;
    task_enter(self, "on_slice_done");
    frame_make(self->of, self, "on_slice_done",
               "%s is computed: on the loop's own thread, but never for longer than 2 ms at a time, so "
               "that nobody waited much longer than that.",
               self->text->name);
    task_leave(self);
}

static void on_job(gyre_work *work)
{
    GYRE_CONTAINER_OF(work, task, work)->is_computed = true;
}

static void on_job_done(gyre_work *work, int status)
{
    task *self = GYRE_CONTAINER_OF(work, task, work);

    (void)status;
    self->place = PLACE_NONE;
    self->is_computed = false;
    task_enter(self, "on_done");
    frame_make(
        self->of, self, "on_done",
        "A thread of the pool has computed %s, %u ms long. The result came to the loop as an event "
        "like any other, and on_done runs on the loop's own thread.",
        self->text->name, self->text->numbers[1]);
    task_leave(self);
}

static void on_message(gyre_post_node *node, int status)
{
    task *self = GYRE_CONTAINER_OF(node, task, node);

    (void)status;
    self->place = PLACE_NONE;
    gyre_loop_release(self->of->loop);
    task_enter(self, "on_post");
    frame_make(self->of, self, "on_post",
               "%s was posted by another thread, which must not touch what belongs to the loop: so it "
               "runs here, on the loop's own thread.",
               self->text->name);
    task_leave(self);
}

/* On the other host's loop: what another thread does. */
static void on_post_due(gyre_timer *timer)
{
    task *self = timer->data;

    self->place = PLACE_PENDING;
    (void)gyre_post(self->of->remote, &self->node, on_message);
    gyre_close(&timer->handle, NULL);
}

/* ---- what begins with a timer of ours ---- */

static void on_submit(gyre_timer *timer)
{
    task *self = GYRE_CONTAINER_OF(timer, task, timer);
    const gyre_work_options options = {.size = sizeof(options)};

    task_enter(self, "on_submit");
    self->place = PLACE_POOL;
    gyre_sim_host_job_time(self->of->workers[0].host, self->text->numbers[1] * GYRE_MILLISECOND,
                           self->text->numbers[1] * GYRE_MILLISECOND);
    if (gyre_work_submit(self->of->loop, &self->work, &options, on_job, on_job_done) != 0)
        abort();
    gyrei_services_flush(self->of->loop); /* now, while the job's time is said */
    frame_make(self->of, self, "on_submit",
               "%s is given to the thread pool: another thread computes on another core, this callback "
               "returns at once, and the loop goes on.",
               self->text->name);
    task_leave(self);
}

static void on_begin_slices(gyre_timer *timer)
{
    task *self = GYRE_CONTAINER_OF(timer, task, timer);

    task_enter(self, "on_begin");
    if (gyre_slice_start(self->of->loop, &self->slice, 2 * GYRE_MILLISECOND, on_slice,
                         on_slice_done) != 0)
        abort();
    frame_make(self->of, self, "on_begin",
               "%s begins, in slices: each step computes for a millisecond and returns, so that the loop "
               "can serve its sockets in between.",
               self->text->name);
    task_leave(self);
}

static void on_ask(gyre_timer *timer)
{
    task *self = GYRE_CONTAINER_OF(timer, task, timer);

    task_enter(self, "on_ask");
    self->place = PLACE_AWAY;
    socket_ask(self);
    frame_make(self->of, self, "on_ask",
               "%s is asked of another process, over a socket. This callback writes the question and "
               "returns: the answer will be an event like any other.",
               self->text->name);
    task_leave(self);
}

/* ---- main ---- */

static void start_timer(task *self, gyre_timer_cb cb)
{
    const uint32_t *numbers = self->text->numbers;
    const bool repeats = self->text->kind == TASK_TIMER && numbers[1] > 0;

    if (gyre_timer_init(self->of->loop, &self->timer) != 0)
        abort();
    gyre_handle_set_name(&self->timer.handle, self->text->name);
    self->has_timer = true;
    self->left = repeats ? (numbers[2] > 0 ? numbers[2] : 3) : 0;
    self->due_ns = gyre_sim_now_ns(self->of->sim) + numbers[0] * GYRE_MILLISECOND;
    gyre_timer_start(&self->timer, numbers[0] * GYRE_MILLISECOND,
                     repeats ? numbers[1] * GYRE_MILLISECOND : 0, cb);
}

static void start_hook(task *self, gyre_hook_phase phase, task_place place)
{
    if (gyre_hook_init(self->of->loop, &self->hook, phase) != 0)
        abort();
    gyre_handle_set_name(&self->hook.handle, self->text->name);
    self->left = self->text->numbers[0] > 0 ? self->text->numbers[0] : 1;
    self->place = place;
    gyre_hook_start(&self->hook, on_hook);
}

static void start_close(task *self)
{
    if (gyre_timer_init(self->of->loop, &self->timer) != 0)
        abort();
    gyre_handle_set_name(&self->timer.handle, self->text->name);
    self->timer.data = self;
    self->place = PLACE_CLOSE;
    gyre_close(&self->timer.handle, on_closed);
}

/* On the clients' loop, which stands for another thread. */
static void on_thread_begins(gyre_post_node *node, int status)
{
    task *self = GYRE_CONTAINER_OF(node, task, clients_node);

    if (status != 0 || gyre_timer_init(client_loop(self->of), &self->timer) != 0)
        return;
    self->timer.data = self;
    gyre_timer_start(&self->timer, self->text->numbers[0] * GYRE_MILLISECOND, 0, on_post_due);
}

/* What happens elsewhere begins there: each loop is touched by its own callbacks only. */
static void begin_elsewhere(task *self, gyre_post_cb cb)
{
    gyre_remote *remote = gyre_loop_remote(client_loop(self->of));

    (void)gyre_post(remote, &self->clients_node, cb);
    gyre_remote_unref(remote);
}

/* The loop is held, since a message to come does not keep it alive. */
static void start_post(task *self)
{
    gyre_loop_hold(self->of->loop);
    begin_elsewhere(self, on_thread_begins);
}

static void start_task(task *self)
{
    switch (self->text->kind) {
    case TASK_SYNC: on_sync(self); break;
    case TASK_DEFER:
        self->place = PLACE_PENDING;
        gyre_defer(self->of->loop, &self->deferred, on_deferred);
        break;
    case TASK_TIMER: start_timer(self, on_timer); break;
    case TASK_IDLE: start_hook(self, GYRE_HOOK_IDLE, PLACE_IDLE); break;
    case TASK_CHECK: start_hook(self, GYRE_HOOK_CHECK, PLACE_CHECK); break;
    case TASK_CLOSE: start_close(self); break;
    case TASK_SOCKET:
    case TASK_CROWD: begin_elsewhere(self, on_clients_begin); break;
    case TASK_SLOW: start_timer(self, on_slow); break;
    case TASK_SLICES: start_timer(self, on_begin_slices); break;
    case TASK_POOL: start_timer(self, on_submit); break;
    case TASK_WORKER: start_timer(self, on_ask); break;
    case TASK_POST: start_post(self); break;
    case TASK_FLOOD: start_timer(self, on_flood); break;
    case TASK_KINDS: break;
    }
}

void tasks_start(engine *self)
{
    for (uint32_t i = 0; i < self->program.count; i++)
        start_task(&self->tasks[i]);
}
