/*
 * What a master and its workers say to each other, and how a process learns what it is.
 *
 * A worker is the program started anew, with a control socket, its listening sockets and the
 * variable GYRE_WORKER, which says which is which. A master that replaces its own code by execve
 * hands everything to itself through GYRE_MASTER; handover.c.
 */
#ifndef GYREI_CLUSTER_PROCESS_H
#define GYREI_CLUSTER_PROCESS_H

#include "cluster/sockets.h"
#include "gyre/cluster.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#define GYREI_WORKER_VARIABLE "GYRE_WORKER"
#define GYREI_MASTER_VARIABLE "GYRE_MASTER"

typedef enum gyrei_message_type {
    GYREI_MESSAGE_READY = 1, /* worker: setup went well */
    GYREI_MESSAGE_FAILED,    /* worker: value is what setup said */
    GYREI_MESSAGE_NOT_BEGUN, /* worker: value is the errno of execve */
    GYREI_MESSAGE_DRAIN,     /* master: value is the reason, time_ns the time for it */
    GYREI_MESSAGE_END,       /* master: at once */
    GYREI_MESSAGE_REOPEN     /* master: log files */
} gyrei_message_type;

/* One packet of a SOCK_SEQPACKET pair. */
typedef struct gyrei_message {
    uint32_t type;
    int32_t value;
    uint64_t time_ns;
} gyrei_message;

/* Never waits, never raises a signal. A GYRE_E*, or 0. */
int gyrei_message_send(int fd, const gyrei_message *message);
/* 1: one was read; 0: the other side is gone; GYRE_EAGAIN: nothing is there. */
int gyrei_message_receive(int fd, gyrei_message *message);

/* ---- spawn.c ---- */

/* What every worker is started with. */
typedef struct gyrei_program {
    char *text;  /* of /proc/self/cmdline */
    char **argv; /* into it */
    char *path;  /* absolute: what lies there now may be newer than what runs */
} gyrei_program;

/* Reads how this process was started; `path` overrides where its file is. GYRE_E*, or 0. */
int gyrei_program_init(gyrei_program *program, const char *path);
void gyrei_program_free(gyrei_program *program);

typedef struct gyrei_spawned {
    pid_t pid;
    int control; /* the master's end */
} gyrei_spawned;

typedef struct gyrei_spawn_options {
    const gyrei_program *program;
    const gyrei_sockets *sockets;
    uint32_t id;
    uint32_t slot;
    uint32_t count; /* of slots */
    uint32_t generation;
    bool by_path; /* the file at the program's path, not the one that runs */
} gyrei_spawn_options;

/* GYRE_E*, or 0. That the file cannot be executed is a message of the worker. */
int gyrei_spawn(const gyrei_spawn_options *options, gyrei_spawned *spawned);

/* A copy of the environment without the variables of clusters and of systemd's notification, and
 * with `extra`, which may be NULL. Free it with one free(). */
char **gyrei_environment(const char *extra, bool for_worker);

/* The signals that a master takes. */
void gyrei_master_signals(sigset_t *set);

/* ---- worker.c ---- */

int gyrei_worker_run(const gyre_cluster_options *options);
/* The processor for a slot, if workers are to be pinned. GYRE_E*, or 0. */
int gyrei_worker_pin(uint32_t slot);

/* ---- master.c ---- */

int gyrei_master_run(const gyre_cluster_options *options);

/* ---- privileges.c ---- */

/* Becomes the user and the group, without a way back. GYRE_E*, or 0. */
int gyrei_privileges_drop(const char *user, const char *group);
/* Whether both exist. GYRE_E*, or 0. */
int gyrei_privileges_check(const char *user, const char *group);

/* ---- notify.c ---- */

/* Tells systemd, if it listens. */
void gyrei_notify(const char *state);
/* RELOADING, with the moment that systemd wants. */
void gyrei_notify_reloading(void);
/* How often systemd wants to hear of us; 0: not at all. */
uint64_t gyrei_notify_watchdog_ns(void);
/* Writes the process's number into a file, which is whole at any moment. GYRE_E*, or 0. */
int gyrei_pid_file_write(const char *path);

#endif
