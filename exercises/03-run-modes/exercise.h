/*
 * Exercise 03: the run modes. The page is README.md; write the functions in exercise.c. Nothing
 * is to be changed here.
 */
#ifndef EXERCISE_03_H
#define EXERCISE_03_H

#include <stdbool.h>
#include <stdint.h>

typedef enum run_mode {
    RUN_DEFAULT, /* until nothing is alive, or stop */
    RUN_ONCE,    /* one turn, which may sleep */
    RUN_NOWAIT   /* one turn, which never sleeps */
} run_mode;

/* The parts of a loop, which the earlier exercises were about. The tests bring them. */
struct parts {
    /* Something is registered that can still call a handler: a reader, a timer, pending work. */
    bool (*alive)(struct parts *parts);
    /* Pending work waits to be run. */
    bool (*has_pending)(struct parts *parts);
    /* Milliseconds to the nearest timer: 0 when one is due, -1 without timers. */
    int64_t (*next_timer_ms)(struct parts *parts);

    /* Runs the pending work that waits now. What is added meanwhile waits for the next time. */
    void (*run_pending)(struct parts *parts);
    /* Sleeps until input is there or `timeout_ms` have passed (0: does not sleep, -1: as long as it
     * takes), and calls the readers. */
    void (*wait)(struct parts *parts, int64_t timeout_ms);
    /* Runs the timers that are due. */
    void (*run_timers)(struct parts *parts);
};

struct loop {
    struct parts *parts;
    bool stop; /* a stop was asked for, and not yet used up by a run */
};

/* Makes a loop of these parts. */
void loop_init(struct loop *loop, struct parts *parts);

/* Asks for the end of the run: after the turn under way. Before a run: it ends that run before its
 * first turn. */
void loop_stop(struct loop *loop);

/* Runs as `mode` says. Returns true if something is alive afterwards. Never called by a handler. */
bool loop_run(struct loop *loop, run_mode mode);

#endif
