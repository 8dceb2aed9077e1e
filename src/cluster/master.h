/*
 * A master, as its files see it: master.c runs it, children.c looks after the workers' processes,
 * handover.c takes it from one program to the next.
 */
#ifndef GYREI_CLUSTER_MASTER_H
#define GYREI_CLUSTER_MASTER_H

#include "cluster/plan.h"
#include "cluster/process.h"
#include "gyre/hook.h"
#include "gyre/poll.h"
#include "gyre/signal.h"
#include "gyre/timer.h"

enum { GYREI_MASTER_SIGNALS = 8 };

struct gyrei_master;

/* A worker's process, until it was waited for. */
typedef struct gyrei_child {
    struct gyrei_child *next;
    struct gyrei_master *master;
    uint32_t id; /* the plan's */
    uint32_t slot;
    pid_t pid;
    int control;
    bool ready;
    bool failed; /* it said with what */
    bool wanted; /* nobody told it to go */
    int32_t error;
    gyre_poll poll;
} gyrei_child;

typedef struct gyrei_master {
    const gyre_cluster_options *options;
    gyre_loop *loop;
    gyrei_plan plan;
    gyrei_sockets sockets;
    gyrei_program program;
    gyrei_child *children;
    gyre_signal signals[GYREI_MASTER_SIGNALS];
    gyre_timer tick;      /* the plan's */
    gyre_timer reap;      /* a child whose socket has ended and that could not be waited for yet */
    gyre_timer watchdog;  /* systemd's */
    uint32_t wanted;      /* workers, as options and signals have it */
    bool by_path;         /* workers of the serving generation are of the file at the path */
    bool next_by_path;    /* those of the one that starts */
    bool upgrade_wanted;  /* SIGUSR2 came: so will be the next generation */
    bool upgrade_due;     /* it serves: the master follows */
    gyre_hook last_turns; /* before the hand-over, with signals blocked */
    uint32_t turns;
    int32_t error; /* why the first generation could not be started */
} gyrei_master;

/* One line, by the log of the loops' options. */
void gyrei_master_log(const gyrei_master *master, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* What an event leaves to be done: timers, an upgrade, the end. */
void gyrei_master_settle(gyrei_master *master);
uint64_t gyrei_master_now(const gyrei_master *master);

/* ---- children.c ---- */

extern const gyrei_plan_ops gyrei_master_ops;

/* Watches a process that was spawned, or handed over. GYRE_E*: it was not taken. */
int gyrei_child_add(gyrei_master *master, uint32_t id, uint32_t slot, const gyrei_spawned *spawned);
/* Waits for all that have died, and tells the plan. */
void gyrei_children_reap(gyrei_master *master);
/* To all of them. */
void gyrei_children_tell(const gyrei_master *master, const gyrei_message *message);
gyrei_child *gyrei_child_find(const gyrei_master *master, uint32_t id);

/* ---- handover.c ---- */

/*
 * Executes the program at its path, in this process; returns a GYRE_E* when that fails. With the
 * master's signals blocked, so that one that comes meanwhile waits for the next program.
 */
int gyrei_handover(gyrei_master *master);
/* Whether this process was handed a cluster. */
bool gyrei_handover_is_due(void);
/* Takes it: sockets, plan, children. GYRE_E*, or 0. */
int gyrei_handover_take(gyrei_master *master);

#endif
