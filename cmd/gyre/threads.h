/*
 * A server on several threads: a listener on each, all on one port, among which the kernel spreads
 * connections.
 */
#ifndef GYRE_CMD_THREADS_H
#define GYRE_CMD_THREADS_H

#include "command.h"

/* What a command does on each thread. `data` is the command's; `index` counts the threads. */
typedef struct server_threads {
    const server_options *options;
    const char *scheme; /* for the first line */
    void *data;
    /* Listens on `address` with `tcp_flags`. 0, or an exit code, having said why and given back all
     * that it had. One thread after the other. */
    int (*open)(void *data, uint32_t index, gyre_loop *loop, const gyre_address *address,
                uint32_t tcp_flags);
    /* Stops to accept, and lets the loop end when all is done. */
    void (*stop)(void *data, uint32_t index);
    /* After stop: ends at once. */
    void (*stop_now)(void *data, uint32_t index);
    /* Gives back what `open` made; the loop runs no more. */
    void (*close)(void *data, uint32_t index);
} server_threads;

/* Serves until a signal ends it. An exit code. */
int server_threads_run(const server_threads *threads, uint32_t count);

#endif
