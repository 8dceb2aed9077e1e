/*
 * A simulated kernel: hosts with loops on virtual time and a faulty network, replayed from a seed.
 *
 * A world holds hosts. A host boots by a function of yours, which is given a loop and sets up the
 * same program that would run on a real one. The world runs one of them at a time; its
 * clock jumps from one event to the next. One seed decides everything that is left to chance: the
 * same seed gives the same run, and the same trace hash.
 */
#ifndef GYRE_SIM_H
#define GYRE_SIM_H

#include "gyre/address.h"
#include "gyre/loop.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gyre_sim gyre_sim;
typedef struct gyre_sim_host gyre_sim_host;

typedef enum gyre_sim_mode {
    GYRE_SIM_BY_SEED = 0, /* each host one or the other */
    GYRE_SIM_READINESS,   /* as epoll: the kernel says what is ready */
    GYRE_SIM_COMPLETION   /* as io_uring: the kernel says what is done */
} gyre_sim_mode;

/* What can go wrong. A rate is a chance in a million; each says of what. */
typedef enum gyre_sim_fault {
    GYRE_SIM_LATENCY = 0,     /* of a segment: it takes up to half a second longer */
    GYRE_SIM_LOSS,            /* of a segment: lost and sent again, 200 ms later and more */
    GYRE_SIM_SHORT_READ,      /* of a receive */
    GYRE_SIM_SHORT_WRITE,     /* of a send */
    GYRE_SIM_SEND_BLOCKED,    /* of a send: GYRE_EAGAIN though there is room */
    GYRE_SIM_SEND_ENOBUFS,    /* of a send */
    GYRE_SIM_RESET,           /* of a segment: the connection is reset on the way */
    GYRE_SIM_HALF_CLOSED,     /* of a segment: it and what follows is lost, the peer sees an end */
    GYRE_SIM_REFUSED,         /* of a connect */
    GYRE_SIM_BLACKHOLED,      /* of a connect: nobody answers */
    GYRE_SIM_SLOW_CONNECT,    /* of a connect: it takes up to 10 s */
    GYRE_SIM_UNREACHABLE,     /* of a connect: GYRE_ENETUNREACH at once */
    GYRE_SIM_ABORTED,         /* of an accept: GYRE_ECONNABORTED */
    GYRE_SIM_EMFILE,          /* of a new descriptor */
    GYRE_SIM_ENFILE,          /* of a new descriptor */
    GYRE_SIM_ENOBUFS,         /* of a new descriptor */
    GYRE_SIM_ENOMEM,          /* of an allocation, or a new descriptor */
    GYRE_SIM_INTERRUPTED,     /* of a wait: it ends early, with nothing */
    GYRE_SIM_SPURIOUS,        /* of a wait, readiness: an event that does not hold */
    GYRE_SIM_LATE,            /* of an event, readiness: reported up to 20 ms later */
    GYRE_SIM_REORDERED,       /* of a wait: what it brings comes in another order */
    GYRE_SIM_QUEUE_FULL,      /* of a submit, completion */
    GYRE_SIM_DELAYED,         /* of a completion: up to 20 ms later */
    GYRE_SIM_MULTISHOT_ENDED, /* of a result, completion: the last one of its request */
    GYRE_SIM_LATE_CANCEL,     /* of a cancel, completion: up to 20 ms later */
    GYRE_SIM_SLOW_JOB,        /* of a pool job: up to 2 s */
    GYRE_SIM_PREEMPTED,       /* of a system call of a group's thread: others run before it */
    GYRE_SIM_PARTITION,       /* of a tenth of a second: two hosts lose each other for a while */
    GYRE_SIM_CRASH,           /* of a tenth of a second: a process ends, and boots again later */
    GYRE_SIM_POWER_LOSS,      /* of a tenth of a second: the same, and its peers hear nothing */
    GYRE_SIM_PAUSE,           /* of a tenth of a second: a host does not run for a while */
    GYRE_SIM_CLOCK_STALL,     /* of a tenth of a second: a host's clock stands still */
    GYRE_SIM_FAULTS
} gyre_sim_fault;

/* All members may be zero, which means the default. Set `size` to sizeof(gyre_sim_options). */
typedef struct gyre_sim_options {
    size_t size;
    uint64_t seed;
    gyre_sim_mode mode;
    uint64_t latency_min_ns; /* between two hosts, one way; default 50 us */
    uint64_t latency_max_ns; /* default 2 ms; at most an hour */
    uint32_t buffer_bytes; /* of a socket, each way, 256..16 MiB; default 4 KiB to 64 KiB by seed */
    uint32_t fds_max;      /* descriptors of a host; default 1024, at most 16 Mi */
    uint64_t memory_max;   /* bytes that a host's loops may have; default no limit */
} gyre_sim_options;

/* What a host holds at present. */
typedef struct gyre_sim_usage {
    uint32_t descriptors;
    uint64_t blocks; /* of memory, and their sum */
    uint64_t bytes;
    uint64_t boots;
    uint64_t allocations; /* made so far */
} gyre_sim_usage;

/* A line of the trace. */
typedef struct gyre_sim_trace_event {
    uint64_t now_ns;
    const char *host; /* NULL: the world itself */
    const char *what;
    int64_t a;
    int64_t b;
} gyre_sim_trace_event;

/*
 * Sets the host's program up on `loop`, which is the world's: at the start, and after each crash. A
 * negative number leaves the host down until gyre_sim_host_restart.
 */
typedef int (*gyre_sim_boot_cb)(gyre_sim_host *host, gyre_loop *loop, void *ctx);

/*
 * The host's process is no more: its loop and handles are gone without a callback. Frees what the
 * program had of its own; what came from gyre_sim_host_allocator is gone already.
 */
typedef void (*gyre_sim_crash_cb)(gyre_sim_host *host, void *ctx);

typedef void (*gyre_sim_trace_cb)(void *ctx, const gyre_sim_trace_event *event);

/*
 * Makes a world without hosts, at time 1 s. No fault has a rate yet.
 *
 * Params: options: may be NULL for all defaults.
 * Owns:   the world is the library's object; give it back with gyre_sim_close.
 * Thread: any; all further calls in the same one.
 * Phase:  none.
 * Errors: GYRE_EINVAL.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_sim_init(gyre_sim **sim, const gyre_sim_options *options);

/*
 * Ends the world. Hosts that still run crash first.
 *
 * Params: sim: not inside a callback of one of its loops, and not used any more.
 * Owns:   the world is gone.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  none.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_sim_close(gyre_sim *sim);

/*
 * Adds a host, which boots when the world runs next. Its address is 10.0.0.N, N counting from 1;
 * 127.0.0.1 is itself.
 *
 * Params: name: for the trace, not NULL. boot: not NULL. crashed: may be NULL. ctx: given to both.
 * Owns:   the host is the world's; `name` and `ctx` outlive it.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  `boot` runs outside of turns.
 * Errors: GYRE_ENOSPC past 64 hosts.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_sim_host_init(gyre_sim *sim, gyre_sim_host **host, const char *name,
                                   gyre_sim_boot_cb boot, gyre_sim_crash_cb crashed, void *ctx);

/*
 * The loop that the host's program runs on.
 *
 * Params: host: of a world.
 * Owns:   the loop is the host's.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none; NULL while the host is down.
 * Since:  0.1.
 */
GYRE_EXPORT gyre_loop *gyre_sim_host_loop(const gyre_sim_host *host);

/*
 * Makes a further loop on the host, for a program that runs its loops by itself: a gyre_loop_run
 * that sleeps runs the rest of the world meanwhile, and says GYRE_EDEADLK when nothing could ever
 * wake it. It must be closed before the world is.
 *
 * Params: options: may be NULL; its allocator, env and backend are the host's.
 * Owns:   as gyre_loop_init.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: those of gyre_loop_init.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_sim_loop_init(gyre_sim_host *host, gyre_loop **loop,
                                   const gyre_loop_options *options);

/*
 * Fills in what makes loops those of the host: env and allocator, and a log if there is none. With
 * these options gyre_group_open makes a group of the host: its threads run one at a time, in the
 * order of the seed, and go with the process in a crash. What waits for them, gyre_group_open and
 * gyre_group_close, runs the world meanwhile.
 *
 * Params: options: its `size` is set; what else is set stays.
 * Owns:   the host outlives the loops.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_sim_host_loop_options(gyre_sim_host *host, gyre_loop_options *options);

/*
 * The host's address with a port.
 *
 * Params: address: filled in.
 * Owns:   nothing.
 * Thread: any.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_sim_host_address(const gyre_sim_host *host, uint16_t port,
                                       gyre_address *address);

/*
 * Memory of the host's process: its loops take theirs from here, it fails as GYRE_SIM_ENOMEM says,
 * and all of it goes with a crash.
 *
 * Params: host: of a world.
 * Owns:   the allocator is the host's.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT const gyre_allocator *gyre_sim_host_allocator(const gyre_sim_host *host);

/*
 * Fails one allocation of the host's process, whatever the rate of GYRE_SIM_ENOMEM, under which it
 * is counted. To fail each in turn, run a world for nth = 1, 2, ... until nothing failed.
 *
 * Params: nth: from now, 1 for the next one; 0 for none.
 * Owns:   nothing.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_sim_host_fail_allocation(gyre_sim_host *host, uint64_t nth);

/*
 * What the host holds: to find leaks.
 *
 * Params: usage: filled in.
 * Owns:   nothing.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_sim_host_usage(const gyre_sim_host *host, gyre_sim_usage *usage);

/*
 * Ends the host's process at once: no callback is called. Its peers see what they would of a killed
 * process, or nothing after a loss of power.
 *
 * Params: power_loss: 1 or 0. Inside a callback of the host it happens when the turn ends.
 * Owns:   the host's loop, and what its allocator gave, are gone.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  none.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_sim_host_crash(gyre_sim_host *host, int power_loss);

/*
 * Boots a host that is down, after some time.
 *
 * Params: after_ns: from now.
 * Owns:   nothing.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  none.
 * Errors: none; a host that is up stays as it is.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_sim_host_restart(gyre_sim_host *host, uint64_t after_ns);

/*
 * Ends the host's program in order, as gyre_loop_shutdown does; the host stays down.
 *
 * Params: timeout_ns: virtual.
 * Owns:   the host's loop is gone if 0 is returned.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  the host's callbacks run in their phases; the world goes on meanwhile.
 * Errors: those of gyre_loop_shutdown.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_sim_host_shutdown(gyre_sim_host *host, uint64_t timeout_ns);

/*
 * Keeps the host from running for a while; what comes in meanwhile waits.
 *
 * Params: for_ns: from now.
 * Owns:   nothing.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_sim_host_pause(gyre_sim_host *host, uint64_t for_ns);

/*
 * Sends a signal to the host's process, as kill(2) does: its gyre_signal watchers are called.
 *
 * Params: signum: 1..64; one that nobody watches does nothing.
 * Owns:   nothing.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_sim_host_signal(gyre_sim_host *host, int signum);

/*
 * Says how long the jobs take that the host's loops give to a pool from now on: each a time from
 * `min_ns` to `max_ns`, by the seed. At first up to 5 ms.
 *
 * Params: host: of this world. min_ns: not over `max_ns`.
 * Owns:   nothing.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_sim_host_job_time(gyre_sim_host *host, uint64_t min_ns, uint64_t max_ns);

/*
 * Cuts two hosts off from each other, or joins them again.
 *
 * Params: a, b: two hosts of one world. cut: 1 or 0.
 * Owns:   nothing.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_sim_partition(gyre_sim_host *a, gyre_sim_host *b, int cut);

/*
 * Ends all that is wrong: rates are zero from now on, hosts are joined, run, and boot again.
 *
 * Params: sim: a world.
 * Owns:   nothing.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_sim_heal(gyre_sim *sim);

/*
 * Sets how often a fault strikes.
 *
 * Params: rate: 0..1000000, a chance in a million.
 * Owns:   nothing.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_sim_set_fault(gyre_sim *sim, gyre_sim_fault fault, uint32_t rate);

/*
 * How often a fault has struck.
 *
 * Params: fault: one of gyre_sim_fault.
 * Owns:   nothing.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint64_t gyre_sim_fault_count(const gyre_sim *sim, gyre_sim_fault fault);

/*
 * The word for a fault: "latency", "short read", ...
 *
 * Params: fault: any.
 * Owns:   the text is static.
 * Thread: any.
 * Phase:  none.
 * Errors: none; "none" for a number outside the enum.
 * Since:  0.1.
 */
GYRE_EXPORT const char *gyre_sim_fault_name(gyre_sim_fault fault);

/*
 * Runs the world until a moment of virtual time.
 *
 * Params: until_ns: by gyre_sim_now_ns; one in the past runs nothing, UINT64_MAX as long as
 *         anything happens. Not inside a callback of the world.
 * Owns:   nothing.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  the loops' callbacks run in their phases.
 * Errors: none; 1 if a loop is still alive, 0 if not.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_sim_run_until(gyre_sim *sim, uint64_t until_ns);

/*
 * Runs the world until no loop is alive, or a moment of virtual time.
 *
 * Params: until_ns: by gyre_sim_now_ns; UINT64_MAX: no such moment. Not inside a callback of the
 *         world.
 * Owns:   nothing.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  the loops' callbacks run in their phases.
 * Errors: none; 1 if a loop is still alive, 0 if not.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_sim_run(gyre_sim *sim, uint64_t until_ns);

/*
 * Virtual time: what a host's monotonic clock says unless it stands still.
 *
 * Params: sim: a world.
 * Owns:   nothing.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint64_t gyre_sim_now_ns(const gyre_sim *sim);

/*
 * A random number of the test's own stream: what it draws changes nothing of the kernel's.
 *
 * Params: sim: a world.
 * Owns:   nothing.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint64_t gyre_sim_random(gyre_sim *sim);

/*
 * Adds a line of the test's own to the trace, and so to its hash.
 *
 * Params: host: of this world; may be NULL. what: static. a, b: no addresses.
 * Owns:   nothing.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_sim_note(gyre_sim *sim, const gyre_sim_host *host, const char *what,
                               int64_t a, int64_t b);

/*
 * The hash of the trace so far: equal for equal runs.
 *
 * Params: sim: a world.
 * Owns:   nothing.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint64_t gyre_sim_hash(const gyre_sim *sim);

/*
 * How many lines the trace has so far.
 *
 * Params: sim: a world.
 * Owns:   nothing.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT uint64_t gyre_sim_events(const gyre_sim *sim);

/*
 * What the simulator itself found wrong: a loop that spins, or one whose own structures do not
 * agree, which is looked at after each turn. The world does not go on from there.
 *
 * Params: sim: a world.
 * Owns:   the text is static.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none; NULL if nothing.
 * Since:  0.1.
 */
GYRE_EXPORT const char *gyre_sim_failure(const gyre_sim *sim);

/*
 * Sets or removes the sink of the trace.
 *
 * Params: cb: NULL removes it. ctx: given to `cb`.
 * Owns:   nothing.
 * Thread: loop; the thread that made the world is that of all its loops.
 * Phase:  any.
 * Errors: none.
 * Since:  0.1.
 */
GYRE_EXPORT void gyre_sim_set_trace(gyre_sim *sim, gyre_sim_trace_cb cb, void *ctx);

#ifdef __cplusplus
}
#endif
#endif
