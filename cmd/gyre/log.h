/*
 * An access log that never blocks the loop: lines are gathered and written when the loop is about
 * to wait; when the reader is slow they wait, and beyond a bound they are dropped and counted.
 */
#ifndef GYRE_CMD_LOG_H
#define GYRE_CMD_LOG_H

#include <gyre.h>

typedef struct access_log {
    gyre_hook before_wait;
    char *lines;
    size_t len;
    size_t room;
    uint64_t dropped;
    int fd; /* -1: no log */
} access_log;

/* Appends to a file, or writes to a descriptor if `path` is "-". GYRE_E*, or 0. */
int access_log_open(access_log *log, gyre_loop *loop, const char *path);
/* Adds a line of the combined format. */
void access_log_add(access_log *log, gyre_http_request *request, int status, uint64_t bytes);
/* Lines go to a new file of this name from now on, if it can be opened. */
void access_log_reopen(access_log *log, const char *path);
/* Writes what is left. */
void access_log_close(access_log *log);

#endif
