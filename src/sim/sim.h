/*
 * The simulated kernel, as its files see each other.
 *
 *   world.c    the clock that jumps, who runs next, the trace and its hash
 *   events.c   what is to happen, by virtual time          random.c  numbers, chance
 *   host.c     a host: its loop, boot, crash, pause        memory.c  its memory, which it loses
 *   file.c     descriptors and who waits for them          env.c     the table of system calls
 *   socket.c   sockets                                     net.c     connections between them
 *   poller.c   mode readiness: a poller for ready.c        ring*.c   mode completion
 *   jobs.c     pool jobs and signals                       chaos.c   what befalls whole hosts
 *   threads.c  threads, one at a time                      posix/    their stacks
 *   audit.c    whether each loop is sound
 *
 * Invariants: one seed decides everything, so nothing here reads a clock, an address or the order
 * of pointers; whatever is random is drawn in an order that the language fixes. The simulator's own
 * memory is not the library's: it never fails a call for want of it.
 */
#ifndef GYREI_SIM_SIM_H
#define GYREI_SIM_SIM_H

#include "base/list.h"
#include "core/backend.h"
#include "core/threads.h"
#include "gyre/poll.h"
#include "gyre/sim.h"

typedef struct gyrei_sim_file gyrei_sim_file;
typedef struct gyrei_sim_socket gyrei_sim_socket;
typedef struct gyrei_sim_conn gyrei_sim_conn;
typedef struct gyrei_sim_loop gyrei_sim_loop;
typedef struct gyrei_sim_thread gyrei_sim_thread;

enum { GYREI_SIM_NO_INDEX = 0, GYREI_SIM_HOSTS_MAX = 64 };

/* ---- random.c ---- */

typedef struct gyrei_sim_random {
    uint64_t state;
} gyrei_sim_random;

uint64_t gyrei_sim_next(gyrei_sim_random *random);
/* 0 .. limit - 1; 0 when limit is 0. */
uint64_t gyrei_sim_below(gyrei_sim_random *random, uint64_t limit);
/* min .. max. */
uint64_t gyrei_sim_between(gyrei_sim_random *random, uint64_t min, uint64_t max);

/* ---- events.c ---- */

typedef struct gyrei_sim_event gyrei_sim_event;
typedef void (*gyrei_sim_fire)(gyre_sim *sim, gyrei_sim_event *event);

/* Stands in what it is about; zeroed means not scheduled. */
struct gyrei_sim_event {
    uint64_t at_ns;
    uint64_t sequence;
    gyrei_sim_fire fire;
    size_t index; /* in the heap, from 1; GYREI_SIM_NO_INDEX: not scheduled */
};

typedef struct gyrei_sim_events {
    gyrei_sim_event **heap; /* from 1 */
    size_t count;
    size_t room;
    uint64_t sequence;
} gyrei_sim_events;

/* Has `event` fire after so long; one that is scheduled is moved. */
void gyrei_sim_schedule(gyre_sim *sim, gyrei_sim_event *event, uint64_t after_ns,
                        gyrei_sim_fire fire);
void gyrei_sim_unschedule(gyre_sim *sim, gyrei_sim_event *event);
/* The moment of the next event; UINT64_MAX: none. */
uint64_t gyrei_sim_next_event_ns(const gyre_sim *sim);
/* Takes out and fires the first event that is due. False: none is. */
bool gyrei_sim_fire_next(gyre_sim *sim);

static inline bool gyrei_sim_scheduled(const gyrei_sim_event *event)
{
    return event->index != GYREI_SIM_NO_INDEX;
}

/* ---- the world ---- */

struct gyre_sim {
    uint64_t now_ns;
    uint64_t hash;
    uint64_t notes;
    uint64_t turns;          /* of all loops */
    uint64_t idle_turns;     /* turns since virtual time last jumped */
    gyrei_sim_random random; /* the kernel's */
    gyrei_sim_random user;   /* gyre_sim_random */
    gyrei_sim_events events;
    gyre_link hosts;
    gyre_link conns;
    gyre_link threads;         /* that have not ended */
    gyrei_sim_thread *current; /* the one that runs; NULL: the world's own stack */
    uint32_t host_count;
    gyre_sim_host *host_of[GYREI_SIM_HOSTS_MAX];
    uint64_t cut[GYREI_SIM_HOSTS_MAX]; /* a bit for each host that is out of reach */
    uint32_t rates[GYRE_SIM_FAULTS];
    uint64_t counts[GYRE_SIM_FAULTS];
    gyre_sim_options options;
    gyre_sim_trace_cb trace;
    void *trace_ctx;
    uint64_t cut_by_chance[GYREI_SIM_HOSTS_MAX]; /* of these, at the lower number */
    gyrei_sim_event chaos;
    const char *failure;
};

/* The moment so long after now; UINT64_MAX, which never comes, for one past all others. */
static inline uint64_t gyrei_sim_after(const gyre_sim *sim, uint64_t after_ns)
{
    return after_ns > UINT64_MAX - sim->now_ns ? UINT64_MAX : sim->now_ns + after_ns;
}

/* Whether this fault strikes now; counts it. */
bool gyrei_sim_strikes(gyre_sim *sim, gyre_sim_fault fault);
/* It does, for a reason of its own. */
void gyrei_sim_struck(gyre_sim *sim, gyre_sim_fault fault);
/* One line of the trace: part of the hash. */
void gyrei_sim_note(gyre_sim *sim, const gyre_sim_host *host, const char *what, int64_t a,
                    int64_t b);
/* What somebody waits for. */
typedef struct gyrei_sim_wish {
    bool (*granted)(const void *ctx);
    const void *ctx;
    uint64_t until_ns; /* at the latest; UINT64_MAX: no such moment */
} gyrei_sim_wish;

/* Runs the world until a wish is granted or its moment has come. False: that can never be. */
bool gyrei_sim_wait(gyre_sim *sim, const gyrei_sim_wish *wish);
/* The same until `loop` has something to do. GYRE_EDEADLK: never. */
int gyrei_sim_sleep(gyrei_sim_loop *loop, uint64_t timeout_ns);
/* Zeroed memory of the simulator's own. */
void *gyrei_sim_new(size_t bytes);
void *gyrei_sim_resize(void *pointer, size_t bytes);

/* ---- hosts ---- */

typedef enum gyrei_sim_state { GYREI_SIM_DOWN = 0, GYREI_SIM_UP } gyrei_sim_state;

struct gyre_sim_host {
    gyrei_env env; /* what its loops are given */
    gyre_sim *sim;
    gyre_link link;
    const char *name;
    uint32_t id;
    uint32_t boots;
    gyrei_sim_state state;
    bool completion;
    bool powered; /* its kernel answers, even if the process is gone */
    bool crash_due;
    bool crash_silent;
    gyre_sim_boot_cb boot;
    gyre_sim_crash_cb crashed;
    void *ctx;
    gyre_loop *loop;
    gyrei_sim_random random; /* what the host's program draws */
    gyrei_sim_event restart;
    gyrei_sim_loop *main; /* the loop that the world drives */
    uint64_t paused_until_ns;
    uint64_t frozen_ns; /* what the clock says while it stands still */
    uint64_t frozen_until_ns;
    gyre_link loops; /* gyrei_sim_loop */

    gyrei_sim_file **fds;
    int fd_room;
    int fd_count;
    int fd_first_free; /* no lower number is free */
    uint16_t next_port;
    gyre_link bound; /* sockets that have a name */
    gyre_link stale; /* names of files that were sockets */

    gyre_allocator allocator;
    gyre_link blocks;
    uint64_t block_count;
    uint64_t block_bytes;
    uint64_t alloc_count;
    uint64_t alloc_fails; /* the number of the one that does; 0: none */

    gyre_link jobs;
    uint64_t job_min_ns; /* how long one takes */
    uint64_t job_max_ns;
    gyre_link signals;
    gyre_link threads;
    gyre_link monitors;
};

static inline gyre_sim_host *gyrei_sim_host_of(const gyrei_env *env)
{
    union {
        const gyrei_env *seen;
        gyrei_env *own;
    } cast = {.seen = env};

    return GYRE_CONTAINER_OF(cast.own, gyre_sim_host, env);
}

/* Zeroed memory of the host's process; NULL as GYRE_SIM_ENOMEM says. */
void *gyrei_sim_memory_new(gyre_sim_host *host, size_t bytes);
void gyrei_sim_memory_free(gyre_sim_host *host, void *pointer, size_t bytes);
/* Memory and descriptors of a process that is no more. `silent`: the peers are told nothing. */
void gyrei_sim_memory_drop(gyre_sim_host *host);
void gyrei_sim_files_drop(gyre_sim_host *host, bool silent);
void gyrei_sim_jobs_drop(gyre_sim_host *host);
void gyrei_sim_memory_init(gyre_sim_host *host);
/* env.c */
/* What befalls a new descriptor: 0 or an error. */
int gyrei_sim_new_fd_fault(gyre_sim *sim);
void gyrei_sim_env_init(gyre_sim_host *host);
/* The host's clock. */
uint64_t gyrei_sim_clock(gyre_sim_host *host);
/* host.c: one turn of the host's loop, and how long it sleeps then. */
void gyrei_sim_host_turn(gyre_sim_host *host);
bool gyrei_sim_host_runnable(const gyre_sim_host *host);
/* When the host wants to run without anything happening; UINT64_MAX: never. */
uint64_t gyrei_sim_host_wake_ns(const gyre_sim_host *host);
void gyrei_sim_host_open(gyre_sim_host *host);
void gyrei_sim_host_free(gyre_sim_host *host);
/* socket.c: forgets the files that were sockets. */
void gyrei_sim_names_drop(gyre_sim_host *host);
/* jobs.c */
void gyrei_sim_job_start(const gyrei_env *env, void *job, void (*run)(void *job));
bool gyrei_sim_job_cancel(const gyrei_env *env, void *job);
void gyrei_sim_signal_watch(const gyrei_env *env, int signum,
                            void (*deliver)(void *ctx, int signum), void *ctx);
void gyrei_sim_signal_unwatch(const gyrei_env *env, int signum, void *ctx);
/* threads.c */
extern const gyrei_threads gyrei_sim_threads;
struct gyrei_sim_thread {
    gyrei_thread base;
    gyre_link link;    /* in sim->threads, until it has ended */
    gyre_link of_host; /* in host->threads, until it was joined */
    gyre_sim_host *host;
    struct gyrei_relay *stack;
    gyrei_thread_options options;
    const gyrei_sim_wish *wish; /* NULL: it goes on */
    bool ended;
};

static inline gyrei_sim_thread *gyrei_sim_thread_at(gyre_link *link)
{
    return GYRE_CONTAINER_OF(link, gyrei_sim_thread, link);
}

bool gyrei_sim_thread_runnable(const gyrei_sim_thread *thread);
/* When it goes on without anything happening; UINT64_MAX: never. */
uint64_t gyrei_sim_thread_wake_ns(const gyrei_sim_thread *thread);
/* Runs it until it waits, is preempted or ends. */
void gyrei_sim_thread_turn(gyrei_sim_thread *thread);
/* On the thread: others run until the wish is granted or its moment has come. */
bool gyrei_sim_thread_wait(gyrei_sim_thread *thread, const gyrei_sim_wish *wish);
/* A turn is over: others may run, if this is a thread. */
void gyrei_sim_thread_yield(const gyre_sim *sim);
/* A system call: others may run first, as GYRE_SIM_PREEMPTED says. */
void gyrei_sim_thread_preempt(gyre_sim *sim);
/* Whether the host's program is at work on a thread right now. */
bool gyrei_sim_thread_runs(const gyre_sim_host *host);
/* All of a process that is no more. */
void gyrei_sim_threads_drop(gyre_sim_host *host);
/* chaos.c: the ticks begin if a rate asks for them. */
void gyrei_sim_chaos_want(gyre_sim *sim);

/* ---- loops, as backends ---- */

typedef struct gyrei_sim_kernel_ops {
    /* Whether wait would find something. */
    bool (*ready)(const gyrei_sim_loop *loop);
    /* The process is gone: frees what the simulator has, without a look at the loop. */
    void (*drop)(gyrei_sim_loop *loop);
} gyrei_sim_kernel_ops;

struct gyrei_sim_loop {
    gyre_link link; /* in host->loops */
    gyre_sim_host *host;
    gyre_loop *loop;
    const gyrei_sim_kernel_ops *ops;
    gyrei_sim_file *wake;
    uint64_t wake_ns;
    bool woken;        /* core's eventfd was written to */
    bool running;      /* a turn is under way: not to be entered again */
    bool driven;       /* by the world, which looks at the loop when the turn has ended */
    uint64_t audit_in; /* turns until all of the loop is looked at */
    bool ended;        /* nothing was alive in its last turn */
};

extern const gyrei_backend_ops gyrei_backend_sim_poller;
extern const gyrei_backend_ops gyrei_backend_sim_ring;

/* poller.c: a set of watched descriptors; a ring has one for foreign ones. */
typedef struct gyrei_sim_poller gyrei_sim_poller;
struct gyrei_poller_ops;
extern const struct gyrei_poller_ops gyrei_sim_poller_ops;
bool gyrei_sim_poller_ready(const gyrei_sim_poller *poller);
void gyrei_sim_poller_free(gyrei_sim_poller *poller);

/* Looks whether the loop is sound, once a turn; if not, that is the world's failure. */
void gyrei_sim_audit(gyrei_sim_loop *self);
/* The loop's kernel half comes to be, and goes. */
void gyrei_sim_loop_open(gyrei_sim_loop *self, gyre_loop *loop, int wake_fd,
                         const gyrei_sim_kernel_ops *ops);
void gyrei_sim_loop_close(gyrei_sim_loop *self);

/* ---- files ---- */

typedef enum gyrei_sim_kind { GYREI_SIM_EVENTFD = 1, GYREI_SIM_SOCKET } gyrei_sim_kind;

/* Somebody who is told when the state of a file changes: a poller's entry, or a request. */
typedef struct gyrei_sim_watch {
    gyre_link link; /* in file->watches */
    void (*changed)(struct gyrei_sim_watch *watch);
} gyrei_sim_watch;

struct gyrei_sim_file {
    gyrei_sim_kind kind;
    gyre_sim_host *host;
    uint32_t references; /* its descriptor, and requests in flight */
    int fd;              /* for the trace; -1 before and after */
    gyre_link watches;
    uint64_t counter;     /* eventfd */
    gyrei_sim_loop *wake; /* eventfd: the loop that it wakes */
};

void gyrei_sim_file_init(gyrei_sim_file *file, gyre_sim_host *host, gyrei_sim_kind kind);
/* The file takes the lowest free number, and its reference is the descriptor's. GYRE_EMFILE. */
int gyrei_sim_fd_take(gyrei_sim_file *file);
gyrei_sim_file *gyrei_sim_fd_find(const gyre_sim_host *host, int fd);
int gyrei_sim_fd_close(gyre_sim_host *host, int fd);
void gyrei_sim_file_ref(gyrei_sim_file *file);
void gyrei_sim_file_unref(gyrei_sim_file *file);
/* Tells who watches. */
void gyrei_sim_file_changed(gyrei_sim_file *file);
/* What holds now: a set of GYRE_POLL_*. */
uint32_t gyrei_sim_file_events(const gyrei_sim_file *file);
int gyrei_sim_eventfd(gyre_sim_host *host);

/* ---- sockets ---- */

enum gyrei_sim_socket_flags {
    GYREI_SIM_BOUND = 1,
    GYREI_SIM_LISTENING = 2,
    GYREI_SIM_CONNECTING = 4,
    GYREI_SIM_CONNECTED = 8,
    GYREI_SIM_SHUT_WRITE = 16,
    GYREI_SIM_LINGER_RESET = 32,
    GYREI_SIM_BROKEN = 64, /* the connection is no more */
    GYREI_SIM_REUSEPORT = 128
};

struct gyrei_sim_socket {
    gyrei_sim_file file;
    int family;
    uint32_t flags;
    int error; /* SO_ERROR */
    gyre_address local;
    gyre_address peer;
    gyre_link bound;
    gyrei_sim_conn *conn;
    uint32_t side;
    gyre_link queue; /* listener: connections that nobody has accepted */
    gyre_link queued;
    uint32_t queue_count;
    uint32_t backlog;
    bool silent; /* its host lost power: the peer is told nothing */
};

static inline gyrei_sim_socket *gyrei_sim_socket_of(gyrei_sim_file *file)
{
    return GYRE_CONTAINER_OF(file, gyrei_sim_socket, file);
}

gyrei_sim_socket *gyrei_sim_socket_new(gyre_sim_host *host, int family);
/* The socket behind a descriptor; GYRE_EBADF, GYRE_ENOTSOCK in `error`. */
gyrei_sim_socket *gyrei_sim_socket_find(const gyre_sim_host *host, int fd, int *error);
int gyrei_sim_bind(gyrei_sim_socket *socket, const gyre_address *address);
int gyrei_sim_listen(gyrei_sim_socket *socket, int backlog);
int gyrei_sim_accept(gyrei_sim_socket *listener);
int gyrei_sim_connect(gyrei_sim_socket *socket, const struct sockaddr *address, uint32_t len);
int64_t gyrei_sim_recv(gyrei_sim_socket *socket, void *base, size_t len);
int64_t gyrei_sim_send(gyrei_sim_socket *socket, const gyre_buf *bufs, uint32_t count);
int gyrei_sim_unlink(gyre_sim_host *host, const char *path);
int gyrei_sim_shutdown(gyrei_sim_socket *socket, int how);
int gyrei_sim_socket_error(gyrei_sim_socket *socket); /* reads and clears */
uint32_t gyrei_sim_socket_events(const gyrei_sim_socket *socket);
void gyrei_sim_socket_released(gyrei_sim_socket *socket);
gyrei_sim_socket *gyrei_sim_find_listener(const gyre_sim_host *host, const gyre_address *address);
gyre_sim_host *gyrei_sim_find_host(gyre_sim_host *from, const gyre_address *address);
/* The kernel breaks the connection of this socket. */
void gyrei_sim_socket_break(gyrei_sim_socket *socket, int error);

/* ---- connections ---- */

typedef enum gyrei_sim_segment_kind {
    GYREI_SIM_DATA = 1,
    GYREI_SIM_FIN,
    GYREI_SIM_RST
} gyrei_sim_segment_kind;

typedef struct gyrei_sim_segment {
    struct gyrei_sim_segment *next;
    gyrei_sim_segment_kind kind;
    uint32_t bytes;
    uint64_t arrives_ns;
} gyrei_sim_segment;

/* One direction: bytes on their way, then bytes that wait to be read, in one ring. */
typedef struct gyrei_sim_pipe {
    gyrei_sim_event event; /* the first segment arrives, or is tried again */
    gyrei_sim_event window;
    gyrei_sim_conn *conn;
    uint32_t side; /* of the sender */
    char *ring;
    uint32_t room;
    uint32_t start;    /* of what waits to be read */
    uint32_t used;     /* waits or is on its way */
    uint32_t visible;  /* waits */
    uint32_t released; /* was read, and the sender has not heard of it */
    uint64_t last_arrival_ns;
    uint64_t blocked_since_ns; /* 0: the way is free */
    uint64_t backoff_ns;
    bool fin;     /* has arrived */
    bool is_lost; /* nothing more will: the way has closed in this direction */
    gyrei_sim_segment *first;
    gyrei_sim_segment *last;
} gyrei_sim_pipe;

typedef struct gyrei_sim_end {
    gyrei_sim_socket *socket; /* NULL: closed */
    gyre_sim_host *host;
} gyrei_sim_end;

struct gyrei_sim_conn {
    gyre_link link; /* in sim->conns */
    gyre_sim *sim;
    gyrei_sim_end ends[2];   /* who connected, who accepted */
    gyrei_sim_pipe pipes[2]; /* by the sender's side */
    gyrei_sim_event handshake;
    uint32_t attempts;
    uint32_t buffer_bytes;
    bool lost; /* the first packet never arrives */
    bool refused;
    bool local;    /* a unix socket: no way between the ends */
    uint32_t held; /* not to be freed */
};

/* A connection of `socket`, which is CONNECTING, to a host. */
gyrei_sim_conn *gyrei_sim_conn_new(gyrei_sim_socket *socket, gyre_sim_host *to);
/* Sends the first packet of a TCP connection, after so long. */
void gyrei_sim_conn_begin(gyrei_sim_conn *conn, uint64_t after_ns);
/* Makes the called end, and puts it in the listener's queue. */
void gyrei_sim_conn_queue(gyrei_sim_conn *conn, gyrei_sim_socket *listener);
void gyrei_sim_conn_free(gyrei_sim_conn *conn);
uint32_t gyrei_sim_pipe_space(const gyrei_sim_pipe *pipe);
/* Bytes that there is space for, in parts; then send says how many they were. */
void gyrei_sim_pipe_write(gyrei_sim_pipe *pipe, const void *base, uint32_t bytes);
void gyrei_sim_pipe_send(gyrei_sim_pipe *pipe, uint32_t bytes);
void gyrei_sim_pipe_end(gyrei_sim_pipe *pipe, gyrei_sim_segment_kind kind);
uint32_t gyrei_sim_pipe_read(gyrei_sim_pipe *pipe, void *base, uint32_t bytes);
/* The socket leaves its connection. */
void gyrei_sim_conn_leave(gyrei_sim_conn *conn, uint32_t side, bool reset, bool silent);
bool gyrei_sim_reachable(const gyre_sim *sim, const gyre_sim_host *a, const gyre_sim_host *b);

#endif
