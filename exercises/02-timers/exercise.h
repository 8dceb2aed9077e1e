/*
 * Exercise 02: one-shot timers between input and output. The page is README.md; write the functions
 * in exercise.c. Nothing is to be changed here.
 */
#ifndef EXERCISE_02_H
#define EXERCISE_02_H

#include <stdbool.h>
#include <stdint.h>

enum { LOOP_TIMERS_MAX = 64, LOOP_FDS_MAX = 16 };

/*
 * What the loop needs of an operating system. The tests bring one of their own, in which time
 * passes only when they say so; a real one would use clock_gettime and epoll_wait.
 */
struct kernel;
struct kernel {
    /* The time in milliseconds; it never goes back. */
    int64_t (*now_ms)(struct kernel *kernel);
    /*
     * Sleeps until a descriptor has something to read, or `timeout_ms` have passed: 0 does not
     * sleep, -1 sleeps for as long as it takes. It may come back early, with nothing. Puts the
     * descriptors that have something to read into `ready`, and returns how many: 0 to
     * LOOP_FDS_MAX.
     */
    int (*wait)(struct kernel *kernel, int64_t timeout_ms, int ready[LOOP_FDS_MAX]);
};

struct loop;
typedef void (*timer_handler)(struct loop *loop, void *data);
typedef void (*read_handler)(struct loop *loop, int fd, void *data);

typedef struct timer_entry {
    int id; /* 0: this place is free. A greater one was started later */
    int64_t due_ms;
    timer_handler handler;
    void *data;
} timer_entry;

typedef struct reader_entry {
    read_handler handler; /* NULL: nobody reads this descriptor */
    void *data;
} reader_entry;

struct loop {
    struct kernel *kernel;
    timer_entry timers[LOOP_TIMERS_MAX];
    reader_entry readers[LOOP_FDS_MAX]; /* by descriptor: 0 .. LOOP_FDS_MAX - 1 */
    int last_timer_id;
};

/* Makes a loop with no timers and no readers. */
void loop_init(struct loop *loop, struct kernel *kernel);

/* Starts a timer that runs once, `delay_ms` after now or as soon as possible later, never earlier.
 * Returns its id: 1, 2, 3 ...; -1 when 64 timers wait. */
int timer_start(struct loop *loop, int64_t delay_ms, timer_handler handler, void *data);

/* Stops a timer that has not run. Returns 0, or -1 when none with this id waits. */
int timer_stop(struct loop *loop, int id);

/* Calls `handler` in each turn in which `fd` (0 .. 15) has something to read. */
void reader_start(struct loop *loop, int fd, read_handler handler, void *data);

/* Calls it no more. */
void reader_stop(struct loop *loop, int fd);

/* True while a timer waits or a descriptor is read. */
bool loop_alive(const struct loop *loop);

/* Returns how long a turn may sleep: the milliseconds to the nearest timer, 0 when one is due, -1
 * without timers. */
int64_t loop_timeout_ms(const struct loop *loop);

/* One turn: waits, calls the readers of what is ready, then the timers that are due. Returns how
 * many handlers were called. */
int loop_turn(struct loop *loop);

/* Turns while the loop is alive. Returns how many handlers were called. */
int loop_run(struct loop *loop);

#endif
