/*
 * Clusters: a master process that owns the listening sockets, and workers that serve them, so that
 * code, options and workers come and go without a lost connection.
 *
 * gyre_cluster_run makes the process that calls it the master. Workers are the same program,
 * started anew with the same command line: they come to gyre_cluster_run as well, and serve there.
 * What stands before the call in main is done in each of them.
 *
 * Signals of the master: SIGTERM and SIGINT end gracefully, a second one at once. SIGHUP: a new
 * generation of workers takes over, of the program that runs. SIGUSR2: the same, and the master
 * too, of the program that lies at its path now. SIGUSR1: logs are opened anew. SIGTTIN, SIGTTOU:
 * one worker more, one fewer.
 */
#ifndef GYRE_CLUSTER_H
#define GYRE_CLUSTER_H

#include "gyre/address.h"
#include "gyre/loop.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A worker, in its own process. */
typedef struct gyre_worker gyre_worker;

/*
 * Begins to serve: takes the listening sockets (gyre_worker_listener) and puts them on `loop`. The
 * worker counts as ready when this returns 0; a GYRE_E* ends it.
 */
typedef int (*gyre_worker_setup_cb)(gyre_worker *worker, gyre_loop *loop, void *ctx);

/* Why a worker is to drain. */
typedef enum gyre_worker_reason {
    GYRE_WORKER_RETIRES = 0, /* another one serves the same sockets already */
    GYRE_WORKER_STOPS = 1    /* the cluster ends, or the master has died */
} gyre_worker_reason;

/*
 * The worker is to end: stop to accept (gyre_listen_stop), finish what is under way within
 * `timeout_ns`. It ends when nothing keeps its loop alive any more, and is stopped some seconds
 * after the time. May be called again with less time. Runs in a callback of the loop.
 */
typedef void (*gyre_worker_drain_cb)(gyre_worker *worker, gyre_worker_reason reason,
                                     uint64_t timeout_ns, void *ctx);

/* In the worker. The loop will run no more: give back what is more than handles. */
typedef void (*gyre_worker_teardown_cb)(gyre_worker *worker, gyre_loop *loop, void *ctx);

/* In the worker. Log files have been moved away: open them anew. In a callback of the loop. */
typedef void (*gyre_worker_reopen_cb)(gyre_worker *worker, void *ctx);

/*
 * In the master, once: all workers of the first generation are ready. What is bound where; `loop`
 * is the master's own, made with the same options.
 */
typedef void (*gyre_cluster_started_cb)(gyre_loop *loop, const gyre_address *addresses,
                                        uint32_t count, void *ctx);

/* Zero means the default for all but `addresses` and `setup`. */
typedef struct gyre_cluster_options {
    size_t size;      /* sizeof(gyre_cluster_options) */
    uint32_t workers; /* 1..1024; default: one for each processor that the program may use */
    /* Where to listen: TCP, with a socket for each worker, or unix, with one for all. Not used when
     * systemd hands over sockets (LISTEN_FDS). */
    const gyre_address *addresses;
    uint32_t address_count;        /* 1..16 */
    uint32_t pin;                  /* 1: each worker is pinned to one of the processors, in turn */
    const gyre_loop_options *loop; /* of the workers; its log is also the master's */
    const char *program;  /* what SIGUSR2 starts; default: the path that this one was started by */
    const char *pid_file; /* of the master; removed at its end */
    const char *user;     /* the workers', by name or number; default: as it is */
    const char *group;    /* default: that of `user` */
    uint64_t start_ns;    /* for a worker to become ready; default 30 s */
    uint64_t retire_ns;   /* for old workers to finish after a reload; default 60 s */
    uint64_t stop_ns;     /* for workers to finish at the end; default 10 s */
    gyre_worker_setup_cb setup;
    gyre_worker_drain_cb drain;
    gyre_worker_teardown_cb teardown;
    gyre_worker_reopen_cb reopen;
    gyre_cluster_started_cb started;
    void *ctx; /* given to all callbacks */
} gyre_cluster_options;

/*
 * Runs the master, or, in a process that the master started, a worker, to its end.
 *
 * The first generation must start: if one of its workers ends with an error before it is ready, so
 * does the cluster. Later on a worker that dies is replaced, at once or, when it keeps dying, ever
 * more slowly; and a new generation of which one worker fails to start is given up, while the old
 * one goes on serving. When the master dies its workers end within a second.
 *
 * Params: options: the same in each process that the command line leads to.
 * Owns:   nothing is left at return.
 * Thread: any; the program's first, before it has others.
 * Phase:  callbacks run in the worker's process, `started` in the master's.
 * Errors: in a worker those of gyre_loop_init and of `setup`; in the master GYRE_EINVAL (an option
 *         out of range), those of gyre_tcp_bind and gyre_pipe_bind, GYRE_ENOENT (no such user),
 *         GYRE_EPERM (may not become that user), GYRE_ENOMEM, GYRE_EMFILE, and what `setup` said in
 *         a worker of the first generation (GYRE_ECANCELED if it ended without a word). It is the
 *         caller's to say on standard error, and to end with an exit code other than 0.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_cluster_run(const gyre_cluster_options *options);

/*
 * Says whether this process was started as a worker, before gyre_cluster_run.
 *
 * Params: none.
 * Owns:   nothing.
 * Thread: any; before the program has others.
 * Phase:  any.
 * Errors: none; 1 or 0.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_cluster_is_worker(void);

/*
 * How many listening sockets the worker serves: one for each address, or more when the cluster has
 * had more workers before.
 *
 * Params: worker: of a callback.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint32_t gyre_worker_listener_count(const gyre_worker *worker);

/*
 * Takes a listening socket, for gyre_tcp_open, gyre_pipe_open or gyre_http_server_listen_fd.
 *
 * Params: index: below gyre_worker_listener_count. address_index: may be NULL; which of the
 *         cluster's addresses it is.
 * Owns:   the descriptor is the caller's.
 * Thread: loop.
 * Phase:  in `setup`.
 * Errors: GYRE_EBADF when it was taken already; otherwise the descriptor.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_worker_listener(gyre_worker *worker, uint32_t index, uint32_t *address_index);

/*
 * The worker's slot: two workers of one generation have different ones, from 0 on.
 *
 * Params: worker: of a callback.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint32_t gyre_worker_slot(const gyre_worker *worker);

/*
 * The worker's generation: 1, and one more with each reload.
 *
 * Params: worker: of a callback.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint32_t gyre_worker_generation(const gyre_worker *worker);

#ifdef __cplusplus
}
#endif
#endif
