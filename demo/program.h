/*
 * The demo's programs: a list of tasks as text, small enough to stand in a URL.
 *
 *     mode default                   main runs the loop until nothing is alive
 *     mode once|nowait [TIMES [MS]]  a turn, so many times, and in between main works for so long
 *     workers COUNT                  the crowd is served by so many loops on cores of their own; the
 *                                    picture shows the first one
 *     beside threads                 what a thread for each connection would take stands beside it
 *     sync NAME                      main calls it before the loop runs
 *     defer NAME                     deferred work
 *     timer NAME MS [EVERY TIMES]    a timer, that may repeat
 *     idle NAME TIMES                a hook of each turn; check NAME TIMES likewise
 *     close NAME                     closes a handle
 *     socket NAME MS [EVERY TIMES]   a client sends a line, and gets it back
 *     crowd COUNT EVERY MS           so many clients that send again and again, for so long
 *     slow NAME MS FOR               at MS a callback computes for so many milliseconds
 *     slices NAME MS FOR             the same in slices
 *     pool NAME MS FOR               the same in the thread pool
 *     worker NAME MS FOR             the same in another process
 *     post NAME MS                   another thread posts a message
 *     flood NAME MS KILOBYTES        a stream is written to faster than its peer reads
 */
#ifndef GYRE_DEMO_PROGRAM_H
#define GYRE_DEMO_PROGRAM_H

#include <gyre.h>
#include <stdbool.h>

enum {
    TASKS_MAX = 16,
    NAME_MAX_BYTES = 20,
    CROWD_MAX = 5000,        /* of all crowds together */
    CROWD_LINES_MAX = 200000, /* that they send */
    WORKERS_MAX = 8
};

typedef enum task_kind {
    TASK_SYNC,
    TASK_DEFER,
    TASK_TIMER,
    TASK_IDLE,
    TASK_CHECK,
    TASK_CLOSE,
    TASK_SOCKET,
    TASK_CROWD,
    TASK_SLOW,
    TASK_SLICES,
    TASK_POOL,
    TASK_WORKER,
    TASK_POST,
    TASK_FLOOD,
    TASK_KINDS
} task_kind;

/* What a line says; numbers are in the order of the line. */
typedef struct task_text {
    task_kind kind;
    char name[NAME_MAX_BYTES];
    uint32_t numbers[3];
} task_text;

typedef struct program_text {
    gyre_run_mode mode;
    uint32_t calls;   /* of gyre_loop_run, at least 1 */
    uint32_t work_ms; /* of main's own, before each call but the first */
    uint32_t workers; /* at least 1 */
    bool beside_threads;
    uint32_t count;
    task_text tasks[TASKS_MAX];
} program_text;

extern const char *const task_words[TASK_KINDS];

/* 0, or the number of the line that is wrong; `why` says how, within 100 characters. */
int program_parse(const char *text, program_text *program, char *why);

#endif
