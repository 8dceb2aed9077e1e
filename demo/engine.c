/*
 * Runs the program: the world, the loop, and turn after turn of it.
 */
#include "engine.h"

#include "core/loop.h"

#include <stdio.h>
#include <stdlib.h>

enum { ORDER_FIRST = 4096, ORDER_LINE = 96 };

/* ---- the trace sink ---- */

static void note_order(engine *self, const char *name)
{
    int len;

    if (self->order_len + ORDER_LINE > self->order_room) {
        self->order_room = self->order_room * 2 + ORDER_FIRST;
        self->order = realloc(self->order, self->order_room);
        if (self->order == NULL)
            abort();
    }
    len = snprintf(self->order + self->order_len, ORDER_LINE, "%u %s %.40s\n", self->turn,
                   gyre_phase_name(gyre_loop_phase(self->loop)), name != NULL ? name : "-");
    self->order_len += (size_t)len;
}

static void on_phase(engine *self, gyre_phase phase)
{
    const gyre_loop *loop = self->loop;

    if (phase == GYRE_PHASE_CHECK) /* the poll phase is over */
        frame_crowd(self, false);
    self->phase = phase;
    switch (phase) {
    case GYRE_PHASE_PENDING:
        self->may_sleep = loop->task_count == 0 && loop->runnable_count == 0;
        if (!self->may_sleep)
            frame_make(self, NULL, NULL,
                       "Turn %s begins, with what was put off until now: the pending phase.",
                       words_count(self->turn));
        break;
    case GYRE_PHASE_PREPARE: wait_begins(self); break; /* the wait comes next */
    case GYRE_PHASE_POLL: wait_over(self); break;
    case GYRE_PHASE_NONE:
    case GYRE_PHASE_TIMERS:
    case GYRE_PHASE_IDLE:
    case GYRE_PHASE_CHECK:
    case GYRE_PHASE_CLOSE: break;
    }
}

static void on_trace(void *ctx, const gyre_trace_event *event)
{
    engine *self = ctx;

    if (!self->is_set_up)
        return;
    switch (event->type) {
    case GYRE_TRACE_TURN_BEGIN: self->turn++; break;
    case GYRE_TRACE_TURN_END: self->phase = GYRE_PHASE_NONE; break;
    case GYRE_TRACE_PHASE: on_phase(self, event->phase); break;
    case GYRE_TRACE_CALLBACK_ENTER: note_order(self, event->name); break;
    case GYRE_TRACE_CALLBACK_LEAVE:
    case GYRE_TRACE_OP_STATE:
    case GYRE_TRACE_HANDLE_INIT:
    case GYRE_TRACE_HANDLE_CLOSED: break;
    }
}

/* ---- running ---- */

static const char mode_names[][16] = {"GYRE_RUN_DEFAULT", "GYRE_RUN_ONCE", "GYRE_RUN_NOWAIT"};

static void finish(engine *self)
{
    frame_crowd(self, true);
    self->is_ended = true;
    self->phase = GYRE_PHASE_NONE;
    self->depth = 1;
    if (!gyre_loop_alive(self->loop))
        frame_make(self, NULL, NULL,
                   "Nothing keeps the loop alive any more, no handle that is active and no request: "
                   "so gyre_loop_run returns to main.");
    else
        frame_make(self, NULL, NULL,
                   "%s has had its turn, so gyre_loop_run returns to main, which ends here. What "
                   "still waits was never served.",
                   mode_names[self->program.mode]);
}

/* In ONCE and NOWAIT mode main has a loop of its own around. */
static void call_once(engine *self)
{
    self->stack[1] = "gyre_loop_run";
    self->depth = 2;
    (void)gyre_loop_run(self->loop, self->program.mode);
    self->calls++;
    frame_crowd(self, true);
    if (self->calls == self->program.calls || !gyre_loop_alive(self->loop)) {
        finish(self);
        return;
    }
    self->depth = 1;
    frame_make(self, NULL, "work",
               "%s has had its one turn, so gyre_loop_run returns, and main does what is its own: "
               "it takes %u ms, and the loop waits for it.",
               mode_names[self->program.mode], self->program.work_ms);
    engine_compute(self, self->program.work_ms);
}

/* As gyre_loop_run does it: in DEFAULT mode turn after turn while something is alive. */
static void run_turn(engine *self)
{
    const bool is_first = !self->has_begun;

    self->has_begun = true;
    if (self->program.mode != GYRE_RUN_DEFAULT)
        call_once(self);
    else if (gyrei_loop_run_part(self->loop, is_first) <= 0)
        finish(self);
}

static void begin(engine *self)
{
    self->stack[self->depth++] = "main";
    self->begun_ns = gyre_sim_now_ns(self->sim);
    self->now_ns = self->begun_ns;
    self->is_set_up = true;
    gyre_loop_update_now(self->loop);
    tasks_start(self);
    frame_make(self, NULL, NULL,
               "main has set everything up, and hands the thread to the loop: from here on the loop "
               "calls, and the program is called.");
    self->stack[self->depth++] = "gyre_loop_run";
}

static int boot(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    (void)host;
    (void)loop;
    (void)ctx;
    return 0;
}

static int make_world(engine *self, uint64_t seed)
{
    const gyre_sim_options options = {.size = sizeof(options),
                                      .seed = seed,
                                      .mode = GYRE_SIM_READINESS,
                                      .latency_min_ns = 100 * GYRE_MICROSECOND,
                                      .latency_max_ns = 100 * GYRE_MICROSECOND,
                                      .buffer_bytes = 8192,
                                      .fds_max = 2 * CROWD_MAX + 256};
    int error = gyre_sim_init(&self->sim, &options);

    for (uint32_t i = 0; error == 0 && i < self->program.workers; i++) {
        worker *one = &self->workers[i];

        one->of = self;
        one->index = i;
        error = gyre_sim_host_init(self->sim, &one->host, "worker", worker_boot, NULL, one);
    }
    if (error == 0)
        error = gyre_sim_host_init(self->sim, &self->clients, "clients", boot, NULL, NULL);
    if (error != 0)
        return error;
    (void)gyre_sim_run_until(self->sim, gyre_sim_now_ns(self->sim) + GYRE_MILLISECOND); /* boot */
    return gyre_sim_loop_init(self->workers[0].host, &self->loop, NULL);
}

engine *engine_open(const program_text *program, uint64_t seed)
{
    engine *self = calloc(1, sizeof(*self));

    if (self == NULL)
        return NULL;
    self->program = *program;
    if (make_world(self, seed) != 0)
        abort();
    self->remote = gyre_loop_remote(self->loop);
    for (uint32_t i = 0; i < program->count; i++) {
        self->tasks[i].text = &self->program.tasks[i];
        self->tasks[i].of = self;
        self->tasks[i].id = i + 1;
    }
    gyre_loop_set_trace(self->loop, on_trace, self);
    sockets_connect(self);
    begin(self);
    return self;
}

static void forget_holds(engine *self)
{
    while (self->loop->holds > 0)
        gyre_loop_release(self->loop);
}

void engine_close(engine *self)
{
    self->draw_from = UINT64_MAX;
    gyre_remote_unref(self->remote);
    forget_holds(self);
    (void)gyre_loop_shutdown(self->loop, GYRE_SECOND);
    gyre_sim_close(self->sim);
    frames_free(self);
    for (uint32_t i = 0; i < self->program.count; i++) {
        free(self->tasks[i].ends);
        free(self->tasks[i].clients);
    }
    free(self->frames);
    free(self->order);
    free(self);
}

/* False at the end. */
static bool next_frame(engine *self)
{
    while (self->shown == self->events) {
        if (self->is_ended)
            return false;
        frames_free(self);
        run_turn(self);
    }
    self->shown++;
    return true;
}

/* The drawn frames are the last ones. */
const char *engine_step(engine *self, uint64_t count)
{
    const uint64_t last = self->shown + count;
    uint64_t behind;

    self->draw_from = last;
    while (self->shown < last && next_frame(self))
        ;
    behind = self->events - self->shown;
    return behind < self->frame_count ? self->frames[self->frame_count - 1 - behind] : NULL;
}
