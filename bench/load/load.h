/* The load generator: one thread, one io_uring, a closed loop.
 *     load (--tcp PORT | --unix PATH) [--conns N] [--depth D] [--size BYTES] [--idle M] [--churn]
 *          [--pid PID]
 * It connects, prints "ready", and then answers each line "run MS" on standard input with one line
 * of JSON: a window of MS milliseconds. A window begins and ends with the server at rest, so the
 * server's processor time (of process PID) is exactly that of the window's requests.
 * Every byte that comes back is compared with what was sent. */
#ifndef LOAD_H
#define LOAD_H

#include "hist.h"

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

struct load_options {
    const char *unix_path; /* NULL: TCP */
    int port;
    uint32_t conns, depth, size, idle;
    bool churn;
    int pid; /* of the server; 0: no processor time */
};

struct load_window {
    struct load_hist latency;
    uint64_t requests;
    uint64_t deadline_ns;
};

enum {
    LOAD_PERIOD = 4093, /* of the byte pattern: a prime, so that no message size divides it */
    LOAD_CHUNK = 65536, /* the longest single send or receive */
    LOAD_STALL_S = 10,  /* a server silent for so long is broken */
    LOAD_SIZE_MAX = 1 << 24,
};

/* connect.c: a connected, blocking socket; exits on failure. A churning client passes a new `turn`
 * each time and so leaves from another loopback address: TIME_WAIT never eats the ports. */
int load_connect(const struct load_options *options);
int load_socket(const struct load_options *options, uint32_t turn);
struct sockaddr;
const struct sockaddr *load_address(const struct load_options *options, uint32_t *length);

/* pattern.c: LOAD_PERIOD + LOAD_CHUNK bytes; position p of a connection's stream holds
 * pattern[p % LOAD_PERIOD]. */
const char *load_pattern(void);

/* cpu.c: processor time of a process so far, in ns, and waiting until it rests. */
uint64_t load_process_cpu_ns(int pid);
void load_await_rest(int pid);

/* ring.c: the ring, and one turn of it: submit, wait, and give each completion to `on_cqe`. */
void load_ring_open(struct io_uring *ring);
struct io_uring_sqe *load_ring_sqe(struct io_uring *ring);
void load_ring_turn(struct io_uring *ring, void (*on_cqe)(const struct io_uring_cqe *cqe));

/* The two kinds of work: set-up once, then windows. A window returns when all it sent came back. */
void load_echo_open(const struct load_options *options);
void load_echo_run(struct load_window *window);
void load_churn_open(const struct load_options *options);
void load_churn_run(struct load_window *window);

#endif
