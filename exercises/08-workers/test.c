/*
 * The tests of exercise 08. A worker answers each connection with a line about itself. The kernel
 * spreads connections by a hash of their ports, so a test that wants to meet each worker makes
 * many: 64 connections miss one of three workers once in 10^11 runs. waitpid goes through
 * __wrap_waitpid (see the file `flags`), which can say that a signal came.
 */
#define _GNU_SOURCE
#include "check.h"
#include "exercise.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONNECTIONS = 64, WORKERS = 3 };

typedef struct answer {
    int index;
    pid_t pid;
    int foreign; /* how many listeners of others were open in the worker */
} answer;

static struct cluster cluster;
static pid_t master;
static int reports[2]; /* a pipe: workers write a byte */
static bool interrupt_next;

pid_t __real_waitpid(pid_t pid, int *status, int options);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);

pid_t __wrap_waitpid(pid_t pid, int *status, int options)
{
    if (interrupt_next) {
        interrupt_next = false;
        errno = EINTR;
        return -1;
    }
    return __real_waitpid(pid, status, options);
}

/* ---- workers ---- */

static int serve(int listener, int index, void *data)
{
    const struct cluster *all = data;
    answer me = {.index = index, .pid = getpid()};

    for (int i = 0; i < all->count; i++) {
        if (i != index && fcntl(all->slots[i].listener, F_GETFD) >= 0)
            me.foreign++;
    }
    for (;;) {
        const int client = accept(listener, NULL, NULL);

        if (client < 0)
            return 1;
        if (write(client, &me, sizeof(me)) != (ssize_t)sizeof(me))
            return 1;
        close(client);
    }
}

static int report(int status)
{
    return write(reports[1], "w", 1) == 1 ? status : 99;
}

static int finish(int listener, int index, void *data)
{
    (void)listener;
    (void)index;
    (void)data;
    return report(0);
}

static int fail(int listener, int index, void *data)
{
    (void)listener;
    (void)index;
    (void)data;
    return report(1);
}

/* ---- the master ---- */

static void check_master(const char *function)
{
    CHECK(getpid() == master, "a worker's process has returned from %s", function);
}

static void begin(int workers, worker_main main)
{
    master = getpid();
    CHECK(pipe2(reports, O_NONBLOCK) == 0, "no pipe");
    memset(&cluster, 0xff, sizeof(cluster));
    CHECK_INT(cluster_open(&cluster, workers, main, &cluster), 0, "cluster_open");
    CHECK_INT(cluster.count, workers, "cluster.count");
}

static void start(int workers, worker_main main)
{
    begin(workers, main);
    CHECK_INT(cluster_start(&cluster), 0, "cluster_start");
    check_master("cluster_start");
}

static int wait_for_end(void)
{
    const int index = cluster_wait(&cluster);

    check_master("cluster_wait");
    return index;
}

static int reported(void)
{
    char bytes[64];
    const ssize_t got = read(reports[0], bytes, sizeof(bytes));

    return got > 0 ? (int)got : 0;
}

static int call(void)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(cluster.port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0, "no socket");
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Reads the answer to a call, and checks that it is from the worker of a slot. */
static answer hear(int fd)
{
    answer got = {.index = -1};

    CHECK(fd >= 0, "a connection was refused");
    CHECK(read(fd, &got, sizeof(got)) == (ssize_t)sizeof(got),
          "a connection was lost: a worker took"
          " it, or nobody, and it was closed");
    close(fd);
    CHECK(got.index >= 0 && got.index < cluster.count, "a worker got the index %d", got.index);
    CHECK_INT(got.pid, cluster.slots[got.index].pid, "the process that answers, and slots[i].pid");
    return got;
}

/* Its process has ended, and nobody has waited for it. */
static void kill_worker(int index)
{
    siginfo_t info;

    CHECK(cluster.slots[index].pid > 0, "slots[%d].pid is %d", index, cluster.slots[index].pid);
    kill(cluster.slots[index].pid, SIGKILL);
    while (waitid(P_PID, (id_t)cluster.slots[index].pid, &info, WEXITED | WNOWAIT) != 0)
        CHECK(errno == EINTR, "slots[%d].pid is no child of the master", index);
}

static void one_port(void)
{
    begin(WORKERS, serve);
    CHECK(cluster.port != 0, "cluster.port is 0: getsockname tells what the kernel has picked");
    for (int i = 0; i < WORKERS; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET};
        socklen_t length = sizeof(address);
        int listens = 0;
        socklen_t size = sizeof(listens);

        CHECK(getsockname(cluster.slots[i].listener, (struct sockaddr *)&address, &length) == 0,
              "slots[%d].listener is no socket", i);
        CHECK_INT(ntohs(address.sin_port), cluster.port, "the port of a listener");
        CHECK(address.sin_addr.s_addr == htonl(INADDR_LOOPBACK), "a listener is not on 127.0.0.1");
        (void)getsockopt(cluster.slots[i].listener, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size);
        CHECK(listens == 1, "slots[%d].listener does not listen", i);
        CHECK(i == 0 || cluster.slots[i].listener != cluster.slots[i - 1].listener,
              "two slots have the same listener");
        CHECK_INT(cluster.slots[i].pid, 0, "slots[i].pid before cluster_start");
    }
}

static void all_serve(void)
{
    bool met[WORKERS] = {false};

    start(WORKERS, serve);
    for (int i = 0; i < CONNECTIONS; i++)
        met[hear(call()).index] = true;
    for (int i = 0; i < WORKERS; i++)
        CHECK(met[i], "64 connections, and worker %d has got none of them", i);
}

static void only_own_listener(void)
{
    start(WORKERS, serve);
    CHECK_INT(hear(call()).foreign, 0, "listeners of other workers that are open in a worker");
}

static void replaced(void)
{
    bool met = false;
    pid_t before;

    start(WORKERS, serve);
    before = cluster.slots[1].pid;
    kill_worker(1);
    CHECK_INT(wait_for_end(), 1, "cluster_wait when worker 1 was killed");
    CHECK(cluster.slots[1].pid > 0 && cluster.slots[1].pid != before, "no successor was started");
    CHECK_INT(cluster.slots[1].restarts, 1, "slots[1].restarts");
    for (int i = 0; i < CONNECTIONS; i++)
        met |= hear(call()).index == 1;
    CHECK(met, "64 connections, and the successor has got none of them");
}

static void nothing_is_lost(void)
{
    int calls[CONNECTIONS];

    start(2, serve);
    kill_worker(0);
    for (int i = 0; i < CONNECTIONS; i++)
        calls[i] = call();
    CHECK_INT(wait_for_end(), 0, "cluster_wait when worker 0 was killed");
    for (int i = 0; i < CONNECTIONS; i++)
        (void)hear(calls[i]);
}

static void finished_is_finished(void)
{
    int first;

    start(2, finish);
    first = wait_for_end();
    CHECK(first == 0 || first == 1, "cluster_wait has returned %d, no slot", first);
    CHECK_INT(wait_for_end(), 1 - first, "cluster_wait when the other one has finished, too");
    CHECK_INT(wait_for_end(), -1, "cluster_wait when no worker is left");
    CHECK_INT(reported(), 2, "processes started for two workers that finish");
    CHECK_INT(cluster.slots[0].pid, 0, "slots[0].pid when its worker has finished");
}

static void gives_up(void)
{
    start(1, fail);
    for (int i = 0; i < 1 + CLUSTER_RESTARTS_MAX; i++)
        CHECK_INT(wait_for_end(), 0, "cluster_wait when worker 0 has failed");
    CHECK_INT(wait_for_end(), -1, "cluster_wait when the last successor has failed");
    CHECK_INT(reported(), 4, "processes started for a worker that always fails");
}

static void on_exit_of_the_program(void)
{
    (void)report(0);
}

static void ends_with_its_result(void)
{
    start(1, finish);
    CHECK(atexit(on_exit_of_the_program) == 0, "no atexit");
    CHECK_INT(wait_for_end(), 0, "cluster_wait");
    begin(1, finish);
    CHECK_INT(cluster_start(&cluster), 0, "cluster_start");
    check_master("cluster_start");
    CHECK_INT(wait_for_end(), 0, "cluster_wait");
    CHECK_INT(reported(), 1,
              "bytes written by one worker and what the master has put off with"
              " atexit");
}

static void signal_is_no_end(void)
{
    start(1, serve);
    kill_worker(0);
    interrupt_next = true;
    CHECK_INT(wait_for_end(), 0, "cluster_wait when a signal comes first");
}

static void stops(void)
{
    int status;

    start(WORKERS, serve);
    (void)hear(call());
    interrupt_next = true;
    cluster_stop(&cluster);
    CHECK(__real_waitpid(-1, &status, WNOHANG) < 0 && errno == ECHILD,
          "a worker was not waited for: it still runs, or is a zombie");
    CHECK(call() < 0, "the port still takes connections: a listener is open");
}

static void stops_what_is_left(void)
{
    start(2, finish);
    CHECK(wait_for_end() >= 0 && wait_for_end() >= 0, "cluster_wait has found no worker");
    cluster_stop(&cluster);
    CHECK(call() < 0, "the port still takes connections: a listener is open");
}

static const check_test tests[] = {
    {"the listeners share one port", one_port,
     "SO_REUSEPORT before bind; the first with port 0, then getsockname, the rest with that port."},
    {"each worker serves", all_serve,
     "fork; the child calls main with slots[index].listener; the master notes its pid there."},
    {"a worker has only its own listener", only_own_listener,
     "a child inherits all descriptors: close the other listeners before main."},
    {"one that was killed is replaced", replaced,
     "waitpid(-1, &status, 0), find the slot with that pid, start a worker there again."},
    {"connections that wait while a worker is dead are not lost", nothing_is_lost,
     "the master keeps each listener open, and the successor gets the same one."},
    {"one that has finished is not replaced", finished_is_finished,
     "status is 0 only if the process ended by itself, with 0. pid = 0 marks the empty slot."},
    {"one that always fails is given up after three successors", gives_up,
     "count in slots[i].restarts; a loop of crashes would eat the machine."},
    {"a worker ends with _exit", ends_with_its_result,
     "exit and return run what the master has put off (atexit, stdio): _exit(main(...))."},
    {"a signal during the wait is no end", signal_is_no_end,
     "waitpid returns -1 with errno EINTR: wait again."},
    {"stop ends all workers, waits for them and closes the port", stops,
     "kill(pid, SIGTERM) for each, then waitpid for each (again after EINTR), then close."},
    {"stop leaves empty slots alone", stops_what_is_left,
     "kill(0, SIGTERM) goes to every process of your own group: only if pid > 0."},
};

int main(int argc, char **argv)
{
    return check_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
