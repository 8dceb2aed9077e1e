/*
 * Exercise 01: a loop that calls handlers. The page is README.md; write the functions in
 * exercise.c. Nothing is to be changed here.
 */
#ifndef EXERCISE_01_H
#define EXERCISE_01_H

#include <stdbool.h>

enum { LOOP_HANDLERS_MAX = 64 };

struct loop;
typedef void (*loop_handler)(struct loop *loop, void *data);

typedef struct loop_entry {
    int id; /* 0: removed, and to be tidied away */
    loop_handler handler;
    void *data;
} loop_entry;

struct loop {
    loop_entry entries[LOOP_HANDLERS_MAX]; /* in the order of adding */
    int used;                              /* how many of them are in use, removed ones too */
    int last_id;                           /* the last id given */
    bool ticking;                          /* a tick is under way */
};

/* Makes an empty loop. */
void loop_init(struct loop *loop);

/* Adds a handler. Returns its id: 1, 2, 3 ..., never one that was given before; -1 when all 64
 * places are taken. A place given back during a tick is free when that tick has ended. */
int loop_add(struct loop *loop, loop_handler handler, void *data);

/* Takes a handler out, also from inside a handler. Returns 0, or -1 when there is none with this
 * id. */
int loop_remove(struct loop *loop, int id);

/* Returns how many handlers are there. */
int loop_count(const struct loop *loop);

/* Calls each handler once, in the order of adding. One that is added meanwhile waits for the next
 * tick; one that is removed meanwhile is not called. Returns how many were called. */
int loop_tick(struct loop *loop);

/* Ticks at most `ticks_max` times, and stops early when no handler is left. Returns the number of
 * ticks. */
int loop_run(struct loop *loop, int ticks_max);

#endif
