/*
 * What a master is to do next: a state machine without a system call, a clock or a process.
 *
 * It is told what happened (a worker is ready, one died, a signal came, time passed) and answers by
 * calling its user's operations. So it runs as well in the master as in a test that throws events
 * at it in any order.
 *
 *   a worker:  STARTING --ready--> READY --retired--> RETIRING --deadline--> KILLED
 *                  \---not wanted any more, or too slow---> ENDING --grace--/
 *   anything may die at any moment.
 */
#ifndef GYREI_CLUSTER_PLAN_H
#define GYREI_CLUSTER_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum gyrei_worker_state {
    GYREI_WORKER_FREE = 0,
    GYREI_WORKER_STARTING,
    GYREI_WORKER_READY,
    GYREI_WORKER_RETIRING, /* finishes what it has */
    GYREI_WORKER_ENDING,   /* told to go at once */
    GYREI_WORKER_KILLED
} gyrei_worker_state;

typedef struct gyrei_planned {
    uint32_t id; /* never 0, never used again */
    uint32_t slot;
    uint32_t generation;
    uint32_t state;
    uint64_t began_ns;
    uint64_t ready_ns;
    uint64_t deadline_ns; /* of this state; UINT64_MAX: none */
} gyrei_planned;

typedef enum gyrei_plan_phase {
    GYREI_PLAN_STARTING = 0, /* the first generation was never whole */
    GYREI_PLAN_SERVING,
    GYREI_PLAN_STOPPING,
    GYREI_PLAN_ENDED
} gyrei_plan_phase;

typedef enum gyrei_death {
    GYREI_DEATH_CRASHED = 0,
    GYREI_DEATH_REFUSED /* before it was ready, with an error: it would not do better again */
} gyrei_death;

typedef struct gyrei_plan_ops {
    /* Starts a process that will be known as `id`; its generation is the newest if `next`. 0, or an
     * error: it is as if it had died at once. */
    int (*spawn)(void *ctx, const gyrei_planned *worker, bool next);
    void (*drain)(void *ctx, uint32_t id, uint64_t timeout_ns);
    void (*end)(void *ctx, uint32_t id);
    void (*kill)(void *ctx, uint32_t id);
    void (*started)(void *ctx); /* the first generation is whole */
    /* A reload is over. Good: the new generation serves, the old one was told to retire. */
    void (*reloaded)(void *ctx, bool good);
    void (*backing_off)(void *ctx, uint32_t slot, uint64_t delay_ns);
} gyrei_plan_ops;

typedef struct gyrei_plan_times {
    uint64_t start_ns;   /* to become ready */
    uint64_t retire_ns;  /* to finish, after a reload */
    uint64_t stop_ns;    /* to finish, at the end */
    uint64_t replace_ns; /* from a death to the successor */
} gyrei_plan_times;

typedef struct gyrei_plan_slot {
    uint32_t failures;   /* deaths in a row that came at once */
    uint64_t respawn_ns; /* UINT64_MAX: it has a worker, or needs none */
} gyrei_plan_slot;

typedef struct gyrei_plan {
    const gyrei_plan_ops *ops;
    void *ctx;
    gyrei_plan_times times;
    gyrei_plan_phase phase;
    uint32_t count;           /* of slots of the serving generation */
    uint32_t next_count;      /* of the one that starts */
    uint32_t generation;      /* that serves */
    uint32_t next_generation; /* that starts; 0: none */
    uint32_t last_generation; /* ever begun */
    uint32_t last_id;
    uint32_t wanted_count; /* of the reload that waits; 0: none waits */
    bool refused;          /* the first generation could not be started */
    bool hurried;          /* the second stop came */
    gyrei_plan_slot *slots;
    gyrei_planned *workers;
    uint32_t workers_room;
} gyrei_plan;

enum { GYREI_PLAN_SLOTS_MAX = 1024 };

/* False: no memory. */
bool gyrei_plan_init(gyrei_plan *plan, const gyrei_plan_ops *ops, void *ctx,
                     const gyrei_plan_times *times);
void gyrei_plan_free(gyrei_plan *plan);

/* Begins with `count` workers. */
void gyrei_plan_start(gyrei_plan *plan, uint32_t count, uint64_t now_ns);
/* Takes up where another master's plan ended: then gyrei_plan_adopt for each worker. */
void gyrei_plan_resume(gyrei_plan *plan, uint32_t count, uint32_t generation, uint32_t last_id);
bool gyrei_plan_adopt(gyrei_plan *plan, const gyrei_planned *worker);

/* A new generation of `count` workers. During a reload: another one follows. */
void gyrei_plan_reload(gyrei_plan *plan, uint32_t count, uint64_t now_ns);
/* Gracefully; called again, at once. */
void gyrei_plan_stop(gyrei_plan *plan, uint64_t now_ns);

void gyrei_plan_ready(gyrei_plan *plan, uint32_t id, uint64_t now_ns);
void gyrei_plan_died(gyrei_plan *plan, uint32_t id, gyrei_death how, uint64_t now_ns);
/* Does what is due. */
void gyrei_plan_tick(gyrei_plan *plan, uint64_t now_ns);
/* When gyrei_plan_tick is due; UINT64_MAX: not at all. */
uint64_t gyrei_plan_next_ns(const gyrei_plan *plan);

/* NULL when it is gone. */
const gyrei_planned *gyrei_plan_find(const gyrei_plan *plan, uint32_t id);

#endif
