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
typedef struct worker worker;

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

/* One end of a connection, a server's or a client's. */
typedef struct socket_end {
    gyre_tcp tcp;
    task *of;
    worker *at; /* a server's */
    struct socket_end *peer;
    gyre_connect_req connecting;
    gyre_timer timer; /* a client's: its next line, its answer, or when it reads on */
    uint64_t sent_ns; /* a client's: when the line was sent that is not answered */
    uint32_t left;    /* a client's: lines still to send */
    bool is_open;
} socket_end;

struct task {
    const task_text *text;
    engine *of;
    uint32_t id;
    uint32_t left;
    task_place place;
    gyre_timer timer; /* ours: starts it, or is it */
    bool has_timer;
    uint64_t due_ns; /* of that timer, as it was started */
    gyre_hook hook;
    gyre_deferred deferred;
    gyre_slice slice;
    gyre_work work;
    bool is_computed; /* by the pool, which has yet to say so */
    gyre_post_node node;
    gyre_post_node clients_node; /* begins what happens on the clients' host */
    socket_end *ends;            /* the servers', worker after worker */
    socket_end *clients;         /* as many */
    uint32_t count;
    uint32_t ours; /* ends of the first worker: the first ones */
    uint32_t open; /* of ours */
    uint32_t burnt_ms;
};

/* One of the loops that serve the crowd. The first is the one that is shown. */
struct worker {
    engine *of;
    uint32_t index;
    gyre_sim_host *host;
    gyre_tcp listener;
    uint32_t accepted;
    uint32_t open;
    uint64_t busy_until_ns; /* not of the first: it takes its time itself */
    uint64_t answered;
    uint64_t worst_ns; /* the longest that a client had to wait */
};

struct engine {
    program_text program;
    gyre_sim *sim;
    gyre_sim_host *clients;
    worker workers[WORKERS_MAX];
    gyre_loop *loop; /* of the first worker */
    gyre_remote *remote;
    task tasks[TASKS_MAX];
    task *accepting; /* set-up: whose connections come */
    uint64_t begun_ns;
    uint32_t turn;
    gyre_phase phase;
    uint32_t depth; /* of the stack below */
    const char *stack[8];
    bool is_set_up;
    bool has_begun; /* the loop has run */
    bool is_ended;
    uint32_t calls; /* of gyre_loop_run, when it is called again and again */

    uint32_t crowd;   /* answers of the crowd that no frame has told of yet */
    uint32_t hung_up; /* likewise */
    uint64_t crowd_worst_ns; /* among those answers */

    uint64_t wait_ns; /* when the kernel was last asked */
    bool may_sleep;   /* nothing else was to be done then */
    uint64_t asks;    /* how often it was */
    uint64_t sleeps;

    uint64_t events; /* frames made so far */
    uint64_t shown;  /* frames handed out */
    uint64_t draw_from; /* frames before this one are counted, and not drawn */
    uint64_t now_ns;    /* at the last frame */
    char **frames;      /* the drawn ones of the turn that ran: the last ones; JSON */
    uint32_t frame_count;
    uint32_t frame_room;

    char *order; /* of all callbacks that the trace sink saw, a line each: turn, phase, name */
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

/* What main does before it runs the loop. */
void tasks_start(engine *self);
/* Around a callback: which is how the picture knows the stack. */
void task_enter(task *self, const char *callback);
void task_leave(task *self);
/* Computes: the world goes on, and the loop does not. */
void engine_compute(engine *self, uint32_t ms);

/* ---- sockets.c ---- */

int worker_boot(gyre_sim_host *host, gyre_loop *loop, void *ctx);
/* Connects what is to be connected, before the demo's time begins. */
void sockets_connect(engine *self);
/* What happens on the clients' host, with the task `node` belongs to. */
void on_clients_begin(gyre_post_node *node, int status);
void on_flood(gyre_timer *timer);
/* Lines that have come, or are on their way, and are not answered. */
uint32_t sockets_waiting(const engine *self);
/* Sends the task's question to the other process. */
void socket_ask(task *self);

/* ---- wait.c ---- */

/* Before and after the kernel is asked. */
void wait_begins(engine *self);
void wait_over(engine *self);

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
/* Numbers for a sentence, "5,000" and "0.4"; good for a few calls more. */
const char *words_count(uint64_t number);
const char *words_ms(uint64_t ns);
/* How many of a task's sockets the kernel has reported, and the program has not read. */
uint32_t ready_sockets(const task *each);
uint32_t open_sockets(const task *each);
/* The task whose timer is the first one due, or NULL. */
const task *first_timer(const engine *self);

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
