/*
 * Exercise 07: a pool of threads for what is slow. The page is README.md; write the functions in
 * exercise.c. You may add fields to struct pool; nothing else is to be changed here.
 */
#ifndef EXERCISE_07_H
#define EXERCISE_07_H

#include <pthread.h>
#include <stdbool.h>

enum { POOL_THREADS_MAX = 16 };

/* The caller's memory, from pool_submit to the call of `done`. */
struct job;
struct job {
    void (*work)(struct job *self); /* slow; called on a thread of the pool */
    void (*done)(struct job *self); /* called after it, on the loop's thread */
    struct job *next;               /* the pool's, for its lists */
};

typedef struct job_list {
    struct job *first;
    struct job *last;
} job_list;

struct pool {
    pthread_mutex_t lock; /* for all that follows, up to the line */
    pthread_cond_t wake;  /* threads sleep here while nothing is to be done */
    job_list waiting;     /* to be worked on */
    job_list ended;       /* worked on, to be finished */
    bool closing;
    /* ---- */
    int signal_fd; /* an eventfd: readable while something is in `ended` */
    pthread_t threads[POOL_THREADS_MAX];
    int thread_count;
};

/* Starts a pool of 1 to 16 threads. Returns 0, or -1 when the system refuses. */
int pool_init(struct pool *pool, int threads);

/* Gives a job to the pool, and returns at once. Called on the loop's thread, also by `done`. */
void pool_submit(struct pool *pool, struct job *job);

/* A descriptor that is readable while jobs have ended that were not finished: for the loop's epoll
 * set. */
int pool_fd(const struct pool *pool);

/* Calls `done` of each job that has ended by now, in the order of their ends. Never sleeps. Returns
 * how many. Called on the loop's thread, never by `done`. */
int pool_finish(struct pool *pool);

/* Lets the threads do all jobs that were submitted, ends the threads, calls `done` of each job for
 * which it was not called, and gives all back. `done` submits nothing any more. */
void pool_close(struct pool *pool);

#endif
