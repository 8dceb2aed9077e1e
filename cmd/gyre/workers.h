/*
 * A server as a cluster: a master, and workers that are processes.
 */
#ifndef GYRE_CMD_WORKERS_H
#define GYRE_CMD_WORKERS_H

#include "command.h"

/* What a command does in each worker; `data` is the command's. */
typedef struct server_workers {
    const server_options *options;
    const char *scheme; /* for the first line */
    void *data;
    uint64_t stop_ns; /* time to finish at the end */
    /* Serves a listening socket. GYRE_E*, or 0: an error ends the process, and the socket. */
    int (*listen)(void *data, int fd);
    /* What must stand before. GYRE_E*, or 0. */
    int (*open)(void *data, gyre_loop *loop);
    void (*drain)(void *data, gyre_worker_reason reason, uint64_t timeout_ns);
    /* Gives back what `open` made; the loop runs no more. May be called without `open`. */
    void (*close)(void *data);
    void (*reopen)(void *data); /* log files; may be NULL */
} server_workers;

/* Serves until a signal ends it; in the master as in a worker. An exit code. */
int server_workers_run(const server_workers *self);

#endif
