/*
 * Runs the program: the world, the loop, and turn after turn of it.
 */
#include "engine.h"

#include "core/loop.h"

#include <stdlib.h>
#include <string.h>

enum { ORDER_FIRST = 4096, CROWD_READY = 100 };

/* Less than this is the time that things take, and no sleep. */
#define SLEPT_NS (10 * GYRE_MICROSECOND)

/* ---- the trace sink ---- */

static void note_order(engine *self, const char *name)
{
    const size_t len = strlen(name);

    if (self->order_len + len + 2 > self->order_room) {
        self->order_room = self->order_room * 2 + len + ORDER_FIRST;
        self->order = realloc(self->order, self->order_room);
        if (self->order == NULL)
            abort();
    }
    memcpy(self->order + self->order_len, name, len);
    self->order_len += len;
    self->order[self->order_len++] = '\n';
    self->order[self->order_len] = '\0';
}

static uint32_t ready_count(const gyre_loop *loop)
{
    return loop->runnable_count;
}

static bool has_crowd(const engine *self)
{
    for (uint32_t i = 0; i < self->program.count; i++) {
        if (self->tasks[i].text->kind == TASK_CROWD && self->tasks[i].open > 0)
            return true;
    }
    return false;
}

static void on_wait_over(engine *self)
{
    const uint64_t slept_ns = gyre_sim_now_ns(self->sim) - self->wait_ns;
    const uint32_t ready = ready_count(self->loop);

    /* Of a crowd's turns, which are many, the ones that bring much are shown. */
    if (has_crowd(self) && ready < CROWD_READY && self->loop->idle_count == 0)
        return;
    if (slept_ns >= SLEPT_NS)
        frame_make(self, NULL, NULL,
                   "Nothing was ready, so the loop slept in the kernel for %u.%u ms, and used no "
                   "processor. %s",
                   (uint32_t)(slept_ns / GYRE_MILLISECOND),
                   (uint32_t)(slept_ns / (GYRE_MILLISECOND / 10) % 10),
                   ready > 0 ? "A socket woke it." : "The first timer, or a message, ends that.");
    else if (ready > 0)
        frame_make(self, NULL, NULL,
                   "One call asks the kernel about every socket: %u %s ready, and all of them are "
                   "served in this turn.",
                   ready, ready == 1 ? "is" : "are");
    else
        frame_make(self, NULL, NULL, "The kernel is asked, and has nothing: nobody waits for it.");
}

static void on_phase(engine *self, gyre_phase phase)
{
    const gyre_loop *loop = self->loop;

    frame_crowd(self, false);
    self->phase = phase;
    if (phase == GYRE_PHASE_PREPARE) /* the wait comes next */
        self->wait_ns = gyre_sim_now_ns(self->sim);
    if (phase == GYRE_PHASE_POLL)
        on_wait_over(self);
    else if (phase == GYRE_PHASE_PENDING && (loop->task_count > 0 || loop->runnable_count > 0))
        frame_make(self, NULL, NULL, "Turn %u begins, with the work that was put off.", self->turn);
}

static void on_trace(void *ctx, const gyre_trace_event *event)
{
    engine *self = ctx;

    if (!self->is_set_up)
        return;
    switch (event->type) {
    case GYRE_TRACE_TURN_BEGIN: self->turn++; break;
    case GYRE_TRACE_TURN_END:
        frame_crowd(self, false);
        self->phase = GYRE_PHASE_NONE;
        break;
    case GYRE_TRACE_PHASE: on_phase(self, event->phase); break;
    case GYRE_TRACE_CALLBACK_ENTER:
        note_order(self, event->name != NULL ? event->name : "-");
        break;
    case GYRE_TRACE_CALLBACK_LEAVE:
    case GYRE_TRACE_OP_STATE:
    case GYRE_TRACE_HANDLE_INIT:
    case GYRE_TRACE_HANDLE_CLOSED: break;
    }
}

/* ---- running ---- */

static void finish(engine *self)
{
    static const char *const why[] = {
        "Nothing keeps the loop alive any more: no active handle, no request. gyre_loop_run returns.",
        "GYRE_RUN_ONCE was one turn, which may sleep: gyre_loop_run returns, whatever is left.",
        "GYRE_RUN_NOWAIT was one turn that never sleeps: gyre_loop_run returns, whatever is left.",
    };

    frame_crowd(self, true);
    self->is_ended = true;
    self->depth = 0;
    self->stack[self->depth++] = "main";
    frame_make(self, NULL, NULL, "%s",
               why[self->program.mode == GYRE_RUN_DEFAULT || !gyre_loop_alive(self->loop)
                       ? 0
                       : (int)self->program.mode]);
}

/* As gyre_loop_run does it: in DEFAULT mode turn after turn while something is alive. */
static void run_turn(engine *self)
{
    const gyre_run_mode mode = self->program.mode;

    if (self->is_ended)
        return;
    if (mode == GYRE_RUN_DEFAULT && gyre_loop_alive(self->loop)) {
        (void)gyre_loop_run_turns(self->loop, 1);
        return;
    }
    if (mode != GYRE_RUN_DEFAULT)
        (void)gyre_loop_run(self->loop, mode);
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
               "main has set everything up, and hands the thread to the loop: gyre_loop_run.");
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

    if (error == 0)
        error = gyre_sim_host_init(self->sim, &self->server, "server", boot, NULL, NULL);
    if (error == 0)
        error = gyre_sim_host_init(self->sim, &self->clients, "clients", boot, NULL, NULL);
    if (error == 0)
        error = gyre_sim_run_until(self->sim, gyre_sim_now_ns(self->sim) + GYRE_MILLISECOND);
    if (error == 0)
        error = gyre_sim_loop_init(self->server, &self->loop, NULL);
    return error;
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
    tasks_connect(self);
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
    for (uint32_t i = 0; i < self->program.count; i++)
        free(self->tasks[i].ours);
    free(self->order);
    free(self);
}

/* False at the end. */
static bool next_frame(engine *self)
{
    while (self->frame_next == self->frame_count) {
        if (self->is_ended)
            return false;
        frames_free(self);
        run_turn(self);
    }
    self->frame_next++;
    self->shown++;
    return true;
}

const char *engine_step(engine *self, uint64_t count)
{
    self->draw_from = self->shown + count;
    while (count > 0 && next_frame(self))
        count--;
    /* At the end fewer have come than were asked for, and the last one was not drawn. */
    return self->frame_next > 0 ? self->frames[self->frame_next - 1] : NULL;
}
