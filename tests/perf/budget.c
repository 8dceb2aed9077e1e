/*
 * What tests/perf/budget_test.py counts: each kind of work, with the part that counts inside
 * `measured`, which the counter is told to begin and end at.
 *
 *     budget echo CONNECTIONS | connection CONNECTIONS | empty-turn | idle-hook | timer-start |
 *            timer-rearm | timer-stop | timer-expire | async-send | post
 *
 * Prints how often the work was done. All is done in one thread and in a fixed order, so that the
 * count of instructions is the same in each run. Public headers only.
 */
#include <gyre.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROUNDS = 50, WARM_ROUNDS = 5, CONNECTIONS_MAX = 64, MESSAGE = 64, TIMERS = 1000 };

static gyre_loop *loop;
static uint64_t done;

/* The counter's mark: only what runs below this function counts. */
__attribute__((noinline)) static void measured(void (*work)(void))
{
    work();
}

static void check(int error)
{
    if (error < 0) {
        fprintf(stderr, "budget: %s\n", gyre_strerror(error));
        exit(1);
    }
}

static void tick(void)
{
    check((int)gyre_loop_tick(loop));
}

/* ---- echo, as the README has it ---- */

static gyre_tcp server;
static int clients[CONNECTIONS_MAX];
static uint64_t echoed;
static uint64_t accepted;
static uint64_t closed;

static void on_close(gyre_handle *handle)
{
    closed++;
    free(handle);
}

static void on_read(gyre_stream *client, int64_t nread, const gyre_buf *buf)
{
    if (nread > 0)
        echoed++;
    if (nread < 0 || gyre_write_copy(client, buf->base, (size_t)nread) < 0)
        gyre_stream_finish(client, on_close);
}

static void on_connection(gyre_stream *listener, int status)
{
    gyre_tcp *client = status == 0 ? malloc(sizeof(*client)) : NULL;

    if (client != NULL && gyre_accept(listener, &client->stream) == 0) {
        gyre_read_start(&client->stream, on_read);
        accepted++;
    } else {
        free(client);
    }
}

static uint16_t listen_here(void)
{
    gyre_address here;

    check(gyre_tcp_init(loop, &server));
    check(gyre_address_ip(&here, "127.0.0.1", 0));
    check(gyre_tcp_bind(&server, &here, 0));
    check(gyre_listen(&server.stream, 0, on_connection));
    check(gyre_stream_local_address(&server.stream, &here));
    return (uint16_t)gyre_address_port(&here);
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    const int on = 1;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        perror("budget: connect");
        exit(1);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

static void turns_until(const uint64_t *counter, uint64_t value, bool counts)
{
    while (*counter < value) {
        if (counts)
            measured(tick);
        else
            tick();
    }
}

/* Loopback delivers within send(2): what was sent is readable in the very next turn. */
static void echo_round(uint32_t count, bool counts)
{
    char bytes[MESSAGE] = {1};
    const uint64_t expected = echoed + count;

    for (uint32_t i = 0; i < count; i++) {
        if (send(clients[i], bytes, sizeof(bytes), 0) != sizeof(bytes))
            exit(1);
    }
    turns_until(&echoed, expected, counts);
    for (uint32_t i = 0; i < count; i++) {
        if (recv(clients[i], bytes, sizeof(bytes), MSG_WAITALL) != sizeof(bytes))
            exit(1);
    }
}

static void run_echo(uint32_t count)
{
    const uint16_t port = listen_here();

    for (uint32_t i = 0; i < count; i++)
        clients[i] = connect_to(port);
    turns_until(&accepted, count, false);
    for (int i = 0; i < WARM_ROUNDS; i++)
        echo_round(count, false);
    for (int i = 0; i < ROUNDS; i++)
        echo_round(count, true);
    done = (uint64_t)ROUNDS * count;
    for (uint32_t i = 0; i < count; i++)
        close(clients[i]);
    gyre_close(&server.handle, NULL);
}

/* Connect, one request, close: so many at a time. */
static void connection_round(uint16_t port, uint32_t count, bool counts)
{
    const uint64_t expected = closed + count;

    for (uint32_t i = 0; i < count; i++)
        clients[i] = connect_to(port);
    echo_round(count, counts);
    for (uint32_t i = 0; i < count; i++)
        close(clients[i]);
    turns_until(&closed, expected, counts);
}

static void run_connection(uint32_t count)
{
    const uint16_t port = listen_here();

    for (int i = 0; i < WARM_ROUNDS; i++)
        connection_round(port, count, false);
    for (int i = 0; i < ROUNDS; i++)
        connection_round(port, count, true);
    done = (uint64_t)ROUNDS * count;
    gyre_close(&server.handle, NULL);
}

/* ---- turns ---- */

static void turns(void)
{
    for (int i = 0; i < ROUNDS; i++)
        tick();
    done = ROUNDS;
}

static void on_async(gyre_async *async)
{
    (void)async;
}

static void run_empty_turn(void)
{
    static gyre_async async;

    check(gyre_async_init(loop, &async, on_async));
    turns();
    measured(turns);
    gyre_close(&async.handle, NULL);
}

static void on_hook(gyre_hook *hook)
{
    (void)hook;
}

/* The turn itself is shared by so many that what is left is the hook's own cost. */
static void run_idle_hook(void)
{
    gyre_hook *hooks = calloc(TIMERS, sizeof(*hooks));

    for (int i = 0; i < TIMERS; i++) {
        check(gyre_hook_init(loop, &hooks[i], GYRE_HOOK_IDLE));
        gyre_hook_start(&hooks[i], on_hook);
    }
    tick();
    measured(tick);
    done = TIMERS;
    for (int i = 0; i < TIMERS; i++)
        gyre_close(&hooks[i].handle, NULL);
    tick();
    free(hooks);
}

/* ---- timers ---- */

static gyre_timer timers[TIMERS];
static uint64_t fired;
static uint64_t timer_base_ns;

static void on_timer(gyre_timer *timer)
{
    (void)timer;
    fired++;
}

/* 1009 is a prime: the deadlines come in no order, and the same ones in each run. */
static uint64_t deadline_ns(uint32_t i, uint32_t salt)
{
    return timer_base_ns + (uint64_t)(i * 619u + salt) % 1009 * GYRE_MILLISECOND;
}

static void timers_start(void)
{
    for (uint32_t i = 0; i < TIMERS; i++)
        gyre_timer_start_at(&timers[i], deadline_ns(i, 0), 0, on_timer);
}

static void timers_rearm(void)
{
    for (uint32_t i = 0; i < TIMERS; i++)
        gyre_timer_start_at(&timers[i], deadline_ns(i, 500), 0, on_timer);
}

static void timers_stop(void)
{
    for (uint32_t i = 0; i < TIMERS; i++)
        gyre_timer_stop(&timers[i]);
}

static void run_timers(const char *what)
{
    const bool expire = strcmp(what, "timer-expire") == 0;

    /* A second after boot all of them are due; in 2^62 ns none of them is. */
    timer_base_ns = expire ? 1 : 1ull << 62;
    for (int i = 0; i < TIMERS; i++)
        check(gyre_timer_init(loop, &timers[i]));
    if (strcmp(what, "timer-start") == 0)
        measured(timers_start);
    else
        timers_start();
    if (strcmp(what, "timer-rearm") == 0)
        measured(timers_rearm);
    if (strcmp(what, "timer-stop") == 0)
        measured(timers_stop);
    if (expire)
        measured(tick);
    if (expire && fired != TIMERS) {
        fputs("budget: not all timers ran\n", stderr);
        exit(1);
    }
    done = TIMERS;
    for (int i = 0; i < TIMERS; i++)
        gyre_close(&timers[i].handle, NULL);
}

/* ---- from other threads ---- */

static gyre_remote *remote;
static gyre_post_node nodes[ROUNDS];
static uint32_t posted;

static void sends(void)
{
    for (int i = 0; i < ROUNDS; i++)
        gyre_async_send(remote);
}

static void on_post(gyre_post_node *node, int status)
{
    (void)node;
    (void)status;
    posted++;
}

static void posts(void)
{
    for (int i = 0; i < ROUNDS; i++)
        gyre_post(remote, &nodes[i], on_post);
    tick();
}

/* All but the first find one that waits. */
static void run_async_send(void)
{
    static gyre_async async;

    check(gyre_async_init(loop, &async, on_async));
    remote = gyre_async_remote(&async);
    measured(sends);
    done = ROUNDS;
    gyre_remote_unref(remote);
    gyre_close(&async.handle, NULL);
}

/* Posting and running, with the turn that runs them. */
static void run_post(void)
{
    remote = gyre_loop_remote(loop);
    measured(posts);
    if (posted != ROUNDS)
        exit(1);
    done = ROUNDS;
    gyre_remote_unref(remote);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    check(gyre_loop_init(&loop, NULL));
    if (strcmp(what, "echo") == 0 && argc == 3)
        run_echo((uint32_t)strtoul(argv[2], NULL, 10));
    else if (strcmp(what, "connection") == 0 && argc == 3)
        run_connection((uint32_t)strtoul(argv[2], NULL, 10));
    else if (strcmp(what, "empty-turn") == 0)
        run_empty_turn();
    else if (strcmp(what, "idle-hook") == 0)
        run_idle_hook();
    else if (strncmp(what, "timer-", 6) == 0)
        run_timers(what);
    else if (strcmp(what, "async-send") == 0)
        run_async_send();
    else if (strcmp(what, "post") == 0)
        run_post();
    check(gyre_loop_shutdown(loop, GYRE_SECOND));
    printf("%llu\n", (unsigned long long)done);
    return done > 0 ? 0 : 1;
}
