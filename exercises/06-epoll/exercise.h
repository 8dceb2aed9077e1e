/*
 * Exercise 06: a readiness loop on epoll. The page is README.md; write the functions in exercise.c.
 * Nothing is to be changed here.
 */
#ifndef EXERCISE_06_H
#define EXERCISE_06_H

#include <stdint.h>

enum { REACTOR_FDS_MAX = 256, REACTOR_BATCH = 64 };

struct reactor;
/* `events` are those of epoll that came: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR. */
typedef void (*watch_handler)(struct reactor *reactor, int fd, uint32_t events, void *data);

typedef struct watch {
    watch_handler handler; /* NULL: this descriptor is not watched */
    void *data;
    uint32_t generation; /* how many watches this descriptor has had */
} watch;

struct reactor {
    int epoll;                      /* the descriptor of the epoll set */
    watch watches[REACTOR_FDS_MAX]; /* by descriptor */
    int count;                      /* of watched descriptors */
};

/* Makes a reactor that watches nothing. Returns 0, or -1 when the kernel gives no epoll set. */
int reactor_init(struct reactor *reactor);

/* Gives the epoll set back. The watched descriptors stay open: they are their owners'. */
void reactor_close(struct reactor *reactor);

/* Calls `handler` in each turn in which `fd` (0 .. 255) is ready for one of `events` (EPOLLIN,
 * EPOLLOUT, or both), or its peer has gone. For a descriptor that is watched already, this is a new
 * watch in place of the old one: other events, handler, data. Returns 0, or -1 when the kernel
 * refuses; then it is as if nothing had been asked. */
int reactor_watch(struct reactor *reactor, int fd, uint32_t events, watch_handler handler,
                  void *data);

/* Ends the watch: its handler is not called any more, not even in the turn under way. Call it
 * before fd is closed. Returns 0, or -1 if fd is not watched. */
int reactor_unwatch(struct reactor *reactor, int fd);

/* One turn: sleeps until a descriptor is ready or `timeout_ms` have passed (0: does not sleep, -1:
 * as long as it takes), then calls the handlers of up to 64 ready ones. An event that is older than
 * its watch is not delivered. Returns how many handlers were called; 0 too when a signal ended the
 * sleep; -1 when waiting has failed. */
int reactor_turn(struct reactor *reactor, int timeout_ms);

/* Turns until nothing is watched. Returns 0, or -1 when a turn has failed. */
int reactor_run(struct reactor *reactor);

#endif
