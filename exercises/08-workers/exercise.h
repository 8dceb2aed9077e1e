/*
 * Exercise 08: many workers on one port. The page is README.md; write the functions in exercise.c.
 * Nothing is to be changed here.
 */
#ifndef EXERCISE_08_H
#define EXERCISE_08_H

#include <stdint.h>
#include <sys/types.h>

enum { CLUSTER_WORKERS_MAX = 16, CLUSTER_RESTARTS_MAX = 3, CLUSTER_BACKLOG = 128 };

/* What a worker does, in a process of its own, with its listening socket. The result is the status
 * with which the process ends: 0: it has finished; anything else: it has failed. */
typedef int (*worker_main)(int listener, int index, void *data);

/* One for each worker. It outlives the process in it. */
typedef struct slot {
    int listener; /* open in the master from cluster_open to cluster_stop */
    pid_t pid;    /* the worker's process; 0: none */
    int restarts; /* how many successors this slot has had */
} slot;

struct cluster {
    slot slots[CLUSTER_WORKERS_MAX];
    int count;     /* of slots */
    uint16_t port; /* of all listeners, on 127.0.0.1 */
    worker_main main;
    void *data;
};

/* Opens `workers` (1 to 16) listening sockets on one port of 127.0.0.1, which the kernel picks;
 * starts no worker. Returns 0, or -1, and then nothing is left open. */
int cluster_open(struct cluster *cluster, int workers, worker_main main, void *data);

/* Starts a worker for each slot: a process that calls main(listener, index, data), with the other
 * listeners closed, and ends with its result. Returns 0, or -1 if one could not be started. */
int cluster_start(struct cluster *cluster);

/* Sleeps until a worker has ended. If it failed, or was killed, a successor is started in its slot,
 * with the same listener; but each slot gets at most 3 successors. Returns the index of the slot;
 * -1 if there is no worker to wait for. */
int cluster_wait(struct cluster *cluster);

/* Sends SIGTERM to all workers, waits for all of them, and closes the listeners. */
void cluster_stop(struct cluster *cluster);

#endif
