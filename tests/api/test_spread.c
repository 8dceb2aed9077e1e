/*
 * A thousand connections over two loops of a group: with a listener for each, where the kernel
 * spreads them by a hash, and with one that hands over to the loop with the least load, each serves
 * at least 35 in a hundred.
 */
#include "peers.h"

#include <gyre/group.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOOPS = 2, CONNECTIONS = 1000, SHARE = 350 };

typedef struct server {
    gyre_tcp listener;
    gyre_loop *loop;
    int served;
} server;

/* A connection: on the loop that accepted it, then on the one that it was moved to. */
typedef struct connection {
    gyre_tcp tcp;
    gyre_detached detached;
    gyre_post_node node;
    int place;
} connection;

static gyre_group *group;
static server servers[LOOPS];
static connection connections[CONNECTIONS];
static int accepted;  /* by the one listener, or atomic */
static int wrong;     /* atomic */
static bool handing;  /* one listener */
static uint16_t port; /* of all listeners */

static void check(bool holds)
{
    if (!holds)
        __atomic_add_fetch(&wrong, 1, __ATOMIC_SEQ_CST);
}

/* ---- a byte back for each byte ---- */

static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    server *self = stream->data;

    if (nread > 0) {
        self->served++;
        check(gyre_write_copy(stream, buf->base, (size_t)nread) == 0);
    }
}

static void serve(gyre_loop *its, connection *self)
{
    const int index = gyre_group_index(group, its);

    check(index >= 0);
    self->tcp.data = &servers[index];
    check(gyre_read_start(&self->tcp.stream, on_read) == 0);
}

/* ---- handing over ---- */

static void on_arrived(gyre_post_node *node, int status)
{
    connection *self = node->data;
    gyre_loop *its = servers[self->place].loop;

    check(status == 0);
    check(gyre_tcp_init(its, &self->tcp) == 0);
    check(gyre_stream_attach(&self->tcp.stream, &self->detached) == 0);
    serve(its, self);
}

static void on_left(gyre_handle *handle)
{
    connection *self = handle->data;

    self->node.data = self;
    check(gyre_group_post(group, (uint32_t)self->place, &self->node, on_arrived) == 0);
}

static void on_detached(gyre_detached *detached, int status)
{
    connection *self = detached->data;

    check(status == 0);
    gyre_close(&self->tcp.handle, on_left);
}

static void on_connection(gyre_stream *listener, int status)
{
    connection *self = &connections[__atomic_fetch_add(&accepted, 1, __ATOMIC_SEQ_CST)];

    check(status == 0 && gyre_accept(listener, &self->tcp.stream) == 0);
    if (!handing) {
        serve(listener->handle.loop, self);
        return;
    }
    self->place = gyre_group_enter(group, GYRE_GROUP_LEAST);
    check(self->place >= 0);
    self->tcp.data = self;
    self->detached.data = self;
    check(gyre_stream_detach(&self->tcp.stream, &self->detached, on_detached) == 0);
}

/* ---- the test ---- */

static int set_up(gyre_group *of, uint32_t index, gyre_loop *its, void *ctx)
{
    server *self = &servers[index];
    gyre_address address;
    int error = gyre_address_ip(&address, "127.0.0.1", port);

    (void)of;
    (void)ctx;
    self->loop = its;
    if (handing && index > 0)
        return 0;
    if (error == 0)
        error = gyre_tcp_init(its, &self->listener);
    if (error == 0)
        error = gyre_tcp_bind(&self->listener, &address, GYRE_TCP_REUSEPORT);
    if (error == 0)
        error = gyre_listen(&self->listener.stream, 0, on_connection);
    return error;
}

/* A port that stays ours: bound and not listening. */
static int reserve_port(void)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    const int on = 1;

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    port = ntohs(address.sin_port);
    return fd;
}

static int client(void)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};

    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void run_all(void)
{
    static int clients[CONNECTIONS];
    const int reserved = reserve_port();
    char byte = 'x';

    memset(servers, 0, sizeof(servers));
    memset(connections, 0, sizeof(connections));
    accepted = wrong = 0;
    assert_int_equal(gyre_group_open(&group, LOOPS, NULL, set_up), 0);
    for (int i = 0; i < CONNECTIONS; i++)
        clients[i] = client();
    for (int i = 0; i < CONNECTIONS; i++)
        assert_int_equal(send(clients[i], &byte, 1, MSG_NOSIGNAL), 1);
    for (int i = 0; i < CONNECTIONS; i++)
        assert_int_equal(recv(clients[i], &byte, 1, 0), 1);
    assert_int_equal(gyre_group_close(group, 0), 0);
    for (int i = 0; i < CONNECTIONS; i++)
        close(clients[i]);
    close(reserved);
    assert_int_equal(wrong, 0);
    assert_int_equal(servers[0].served + servers[1].served, CONNECTIONS);
    assert_true(servers[0].served >= SHARE && servers[1].served >= SHARE);
}

static void the_kernel_spreads(void **state)
{
    (void)state;
    handing = false;
    run_all();
}

static void handing_over_spreads(void **state)
{
    (void)state;
    handing = true;
    run_all();
    assert_int_equal(servers[0].served, CONNECTIONS / LOOPS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_kernel_spreads),
        cmocka_unit_test(handing_over_spreads),
    };
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1;
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_max < 2 * CONNECTIONS + 100)
        return 77; /* skipped: not enough descriptors */
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
