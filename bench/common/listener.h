/* The command line and the listening socket that all echo servers share:
 *     SERVER --tcp          127.0.0.1, a free port
 *     SERVER --unix PATH    a unix stream socket
 * The first line on standard output says where: "listening on tcp://127.0.0.1:PORT" or
 * "listening on unix:PATH". */
#ifndef BENCH_LISTENER_H
#define BENCH_LISTENER_H

#include <stdbool.h>

struct bench_listener {
    bool is_unix;
    const char *path; /* of the unix socket, else NULL */
    int fd;           /* listening and non-blocking; -1 after bench_listener_parse */
};

/* Reads the command line and sets the process up; exits with 2 on a mistake. Opens nothing. */
struct bench_listener bench_listener_parse(int argc, char **argv);

/* Parses, binds, listens and announces. TCP_NODELAY is set on the listener: Linux lets accepted
 * sockets inherit it, which saves a system call a connection. */
struct bench_listener bench_listener_open(int argc, char **argv);

/* Prints the first line; `port` is ignored for a unix socket. For a server that binds by itself. */
void bench_listener_announce(const struct bench_listener *listener, int port);

enum { BENCH_BACKLOG = 4096 };

#endif
