/*
 * The native trace of the demo's scenes: the same tasks on the library as it is built for this
 * machine, and the loop run in one go by gyre_loop_run, not a turn at a time.
 * usage: trace [PROGRAM]: prints "scene NAME" and a line for each callback: its turn, phase and
 * name. With a program's text, only that.
 */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>

static uint32_t turn;

static void on_trace(void *ctx, const gyre_trace_event *event)
{
    engine *self = ctx;

    if (event->type == GYRE_TRACE_TURN_BEGIN)
        turn++;
    if (event->type == GYRE_TRACE_CALLBACK_ENTER)
        printf("%u %s %.40s\n", turn, gyre_phase_name(gyre_loop_phase(self->loop)),
               event->name != NULL ? event->name : "-");
}

static int trace(const char *name, const char *text)
{
    static program_text program;
    char why[128];
    engine *self;

    printf("scene %s\n", name);
    if (program_parse(text, &program, why) != 0) {
        fprintf(stderr, "%s: %s\n", name, why);
        return 1;
    }
    self = engine_open(&program, 1);
    if (self == NULL)
        return 1;
    turn = 0;
    self->draw_from = UINT64_MAX;
    gyre_loop_set_trace(self->loop, on_trace, self);
    for (uint32_t i = 0; i < program.calls && (i == 0 || gyre_loop_alive(self->loop)); i++) {
        if (i > 0)
            engine_compute(self, program.work_ms);
        if (gyre_loop_run(self->loop, program.mode) < 0)
            return 1;
    }
    gyre_loop_set_trace(self->loop, NULL, NULL);
    engine_close(self);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return trace("given", argv[1]);
    for (uint32_t i = 0; i < scene_count; i++) {
        if (trace(scenes[i].name, scenes[i].program) != 0)
            return 1;
    }
    return 0;
}
