/*
 * The demo's engine: a program of tasks as real handles and callbacks on a real loop, whose kernel
 * is simulated and whose clock is virtual. Each event is a frame, and each frame a picture of the
 * loop as it is at that moment.
 *
 * The loop is run a turn at a time; its trace sink and the callbacks make the frames of that turn,
 * which are then handed out one by one. Nothing is stored of what was shown: to go back is to run
 * again, which the seed makes the same.
 */
#ifndef GYRE_DEMO_ENGINE_H
#define GYRE_DEMO_ENGINE_H

#include "program.h"

#include <gyre/sim.h>

typedef struct engine engine;
typedef struct task task;

/* Where a task waits, for the picture. */
typedef enum task_place {
    PLACE_NONE,
    PLACE_PENDING,
    PLACE_IDLE,
    PLACE_CHECK,
    PLACE_CLOSE,
    PLACE_POOL,
    PLACE_AWAY /* in another process */
} task_place;

/* One end of a connection, ours or a client's. */
typedef struct socket_end {
    gyre_tcp tcp;
    task *of;
    struct socket_end *peer;
    gyre_connect_req connecting;
    gyre_timer timer; /* a client's: its next line, or its answer */
    uint64_t sent_ns; /* a client's: when the line was sent that is not answered */
    uint32_t left;    /* a client's: lines still to send */
    bool is_open;
} socket_end;

struct task {
    const task_text *text;
    engine *of;
    uint32_t id;
    uint32_t ran;
    uint32_t left;
    task_place place;
    gyre_timer timer; /* ours: starts it, or is it */
    bool has_timer;
    gyre_hook hook;
    gyre_deferred deferred;
    gyre_slice slice;
    gyre_work work;
    gyre_post_node node;
    gyre_post_node clients_node; /* begins what happens on the clients' host */
    socket_end *ours;            /* `count` of them; the clients' ends are behind them */
    uint32_t count;
    uint32_t open;
    uint32_t burnt_ms;
};

struct engine {
    program_text program;
    gyre_sim *sim;
    gyre_sim_host *server;
    gyre_sim_host *clients;
    gyre_loop *loop;
    gyre_remote *remote;
    gyre_tcp listener;
    task tasks[TASKS_MAX];
    task *accepting; /* set-up: whose connections come */
    uint64_t begun_ns;
    uint32_t turn;
    gyre_phase phase;
    uint32_t depth; /* of the stack below */
    const char *stack[8];
    uint64_t events; /* frames made so far */
    bool is_set_up;
    bool is_ended;
    uint64_t draw_from; /* frames before this one are counted, and not drawn */
    uint64_t shown;     /* frames handed out */
    uint32_t crowd;     /* answers of the crowd that no frame has told of yet */
    uint64_t answered;  /* all answers of the crowd */
    uint64_t worst_ns;  /* the longest that one of the crowd had to wait */
    uint64_t now_ns;    /* at the last frame */
    uint64_t wait_ns;   /* when the kernel was last asked */
    char *frames[4096]; /* of the turn that ran; JSON */
    uint32_t frame_count;
    uint32_t frame_next;
    char *order; /* the names of all callbacks that the trace sink saw, a line each */
    size_t order_len;
    size_t order_room;
};

/* ---- engine.c ---- */

/* NULL for want of memory. The program was parsed. */
engine *engine_open(const program_text *program, uint64_t seed);
void engine_close(engine *self);
/* Hands out `count` frames: the last one's JSON, valid until the next call; NULL: there was none. */
const char *engine_step(engine *self, uint64_t count);

/* ---- tasks.c ---- */

/* Connects what is to be connected, before the demo's time begins. */
void tasks_connect(engine *self);
/* What main does before it runs the loop. */
void tasks_start(engine *self);

/* ---- frames.c ---- */

/* A picture of the loop, and one sentence of what has just happened. `ran` may be NULL. */
void frame_make(engine *self, const task *of, const char *ran, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/*
 * The crowd's answers as one frame for many: when `must` something else is to be shown, else when
 * they are many, or old.
 */
void frame_crowd(engine *self, bool must);
void frames_free(engine *self);

/* ---- source.c ---- */

/* The C program that the tasks stand for; to be freed. */
char *source_text(const program_text *program);
/* The line of it in which a task's callback is, or that runs the loop for NULL. */
uint32_t source_line(const program_text *program, const task *of, const char *ran);

/* ---- scenes.c ---- */

typedef struct scene {
    const char *name;
    const char *title;
    const char *program;
    const char *words; /* what to watch */
} scene;

extern const scene scenes[];
extern const uint32_t scene_count;

#endif
