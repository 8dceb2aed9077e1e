/*
 * gyre sim: what the files of the swarm share.
 *
 * A swarm is one seed's run: a world, programs on its hosts, and checkers. A program is written on
 * public headers only, must bear every fault, and has a quota of work; first faults strike, then
 * the world heals and all quotas must be met. Objects of a program hold handles and requests; they
 * count what the library owes them.
 */
#ifndef GYRE_CMD_SWARM_H
#define GYRE_CMD_SWARM_H

#include "command.h"

typedef struct swarm swarm;
typedef struct swarm_options swarm_options;
typedef struct program program;
typedef struct object object;
typedef struct tracker tracker;

enum { PROGRAMS_MAX = 16, FAILURE_MAX = 160 };

/* What a host's program does. */
typedef struct role {
    int (*boot)(program *self);  /* negative: boots again later */
    void (*quit)(program *self); /* closes everything in order; may be NULL */
    bool always_quits;
} role;

typedef struct scenario {
    const char *name;
    void (*build)(swarm *self);
} scenario;

struct object {
    object *next;
    object *prev;
    program *owner;
    uint32_t bytes;
    uint32_t handles; /* open, or their close callback is to come */
    uint32_t owed;    /* callbacks of requests that are to come before that */
};

struct program {
    swarm *swarm;
    const role *role;
    gyre_sim_host *host;
    gyre_loop *loop;
    object objects; /* head of a ring */
    tracker *tracker;
    void *state;     /* the role's, an object that lasts for this life */
    uint32_t busy;   /* the role's: pieces of work under way in this life */
    uint64_t done;   /* outlives crashes, as all below does */
    uint64_t wanted; /* without end until the world is calm, and then `quota` more */
    uint64_t quota;
    uint32_t number; /* among those of its role */
    bool quitting;
    bool closes; /* everything by itself, at the end */
};

struct swarm {
    gyre_sim *sim;
    uint64_t seed;
    program programs[PROGRAMS_MAX];
    uint32_t count;
    const swarm_options *options;
    bool healed;
    bool calm; /* and whatever was broken before is gone: now nothing may fail */
    char failure[FAILURE_MAX];
};

/* What one seed came to. */
typedef struct swarm_result {
    uint64_t seed;
    uint64_t virtual_ns;
    uint64_t events;
    uint64_t hash;
    uint64_t done;
    uint64_t faults[GYRE_SIM_FAULTS];
    char scenario[16];
    char failure[FAILURE_MAX];
} swarm_result;

struct swarm_options {
    gyre_sim_mode mode;
    const char *scenario; /* NULL: the seed's choice */
    uint64_t virtual_ns;  /* of the phase with faults */
    uint64_t faults;      /* a bit for each kind that may strike */
    uint32_t clients_max; /* 0: as many as the seed says */
    int fail_on;          /* this kind of fault counts as a failure when it strikes; -1: none */
    bool trace;
};

extern const scenario scenario_echo;
extern const scenario scenario_request;
extern const scenario scenario_proxy;
extern const scenario scenario_timers;
extern const scenario scenario_storm;
extern const scenario scenario_group;
extern const scenario scenario_http; /* only with the HTTP module */

/* ---- swarm.c ---- */

void swarm_run(uint64_t seed, const swarm_options *options, swarm_result *result);
bool swarm_knows(const char *scenario_name);
program *swarm_add(swarm *self, const char *name, const role *plays, uint64_t quota);
/* How many clients a scenario shall have: 1 to `most`. */
uint64_t swarm_clients(swarm *self, uint64_t most);
/* 0 .. limit - 1 */
uint64_t draw(const program *self, uint64_t limit);
bool one_in(const program *self, uint64_t chance);
/* The first failure is kept. */
void swarm_fail(swarm *self, const char *file, int line, const char *what);
#define EXPECT(program, condition)                                                                 \
    ((condition) ? (void)0 : swarm_fail((program)->swarm, __FILE__, __LINE__, #condition))

#define FLAW(program, text) swarm_fail((program)->swarm, __FILE__, __LINE__, text)

/* ---- objects ---- */

/* Zeroed, and begins with its object; freed by object_free or the end of the program. */
void *object_new(program *owner, uint32_t bytes);
void object_free(object *self);
/* A handle was opened; a close callback came, and with the last one the object goes, unless it is
 * the program's state. */
void object_opened(object *self);
void object_closed(object *self);
/* A request was taken; its callback came. */
void object_owes(object *self);
void object_paid(object *self);
/* The program's host, by the order of swarm_add. */
uint32_t host_of(const program *self);
/* The address of a host of the world, by the order of swarm_add. */
void host_address(const program *self, uint32_t host, uint16_t port, gyre_address *address);
/* Byte `at` of the stream that `key` names. */
static inline char pattern(uint64_t key, uint64_t at)
{
    return (char)((key + at * UINT64_C(0x9E3779B97F4A7C15)) >> 40);
}

/* ---- tracker.c: what the loop's trace must never say ---- */

tracker *tracker_new(program *owner);
void tracker_free(tracker *self);

#endif
