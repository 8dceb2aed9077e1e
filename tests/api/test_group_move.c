/*
 * Connections that go from loop to loop of a group under load: accepted on one, handed to the least
 * loaded, and then round, while their peers send ahead.
 *
 * An assertion of cmocka may fail on the test's own thread only: what other threads find goes into
 * counters, which the test looks at.
 */
#include "peers.h"

#include <gyre/group.h>

#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOOPS = 3, CONNECTIONS = 24, BYTES = 6000, CHUNK_MAX = 97 };

static gyre_group *group;
static gyre_loop *loops[LOOPS];
static int accepted;
static int wrong; /* what should not be */

static void add(int *counter, int amount)
{
    __atomic_fetch_add(counter, amount, __ATOMIC_SEQ_CST);
}

static int get(const int *counter)
{
    return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

static void check(bool holds)
{
    if (!holds)
        add(&wrong, 1);
}

/* ---- the server ---- */

typedef struct connection {
    gyre_tcp tcp;
    gyre_detached detached;
    gyre_post_node node;
    int place;
} connection;

static gyre_tcp listener;
static gyre_address listener_address;
static int served[LOOPS]; /* bytes that each loop has read */
static int open_connections;

static void on_arrived(gyre_post_node *node, int status);

static void on_connection_closed(gyre_handle *handle)
{
    connection *c = handle->data;

    gyre_group_leave(group, (uint32_t)c->place);
    free(c);
    add(&open_connections, -1);
}

/* Its former stream is closed: the struct goes on with the connection. */
static void on_left(gyre_handle *handle)
{
    connection *c = handle->data;

    c->node.data = c;
    if (gyre_group_post(group, (uint32_t)c->place, &c->node, on_arrived) != 0)
        add(&wrong, 1);
}

static void on_detached(gyre_detached *detached, int status)
{
    connection *c = GYRE_CONTAINER_OF(detached, connection, detached);

    check(status == 0);
    gyre_close(&c->tcp.handle, on_left);
}

static void go_on(connection *c, int where)
{
    const int next = gyre_group_enter(group, where);

    check(next >= 0);
    gyre_group_leave(group, (uint32_t)c->place);
    c->place = next;
    check(gyre_stream_detach(&c->tcp.stream, &c->detached, on_detached) == 0);
}

static void echo_and_go_on(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    connection *c = stream->data;

    if (nread < 0) {
        gyre_close(&stream->handle, on_connection_closed);
        return;
    }
    add(&served[c->place], (int)nread);
    check(gyre_write_copy(stream, buf->base, buf->len) == 0);
    if (nread % 2 == 1)
        go_on(c, GYRE_GROUP_NEXT);
}

static void on_arrived(gyre_post_node *node, int status)
{
    connection *c = node->data;

    check(status == 0);
    check(gyre_tcp_init(loops[c->place], &c->tcp) == 0);
    c->tcp.data = c;
    check(gyre_stream_attach(&c->tcp.stream, &c->detached) == 0);
    check(gyre_read_start(&c->tcp.stream, echo_and_go_on) == 0);
}

/* Accepted on the first loop, served where the load is least. */
static void on_connection(gyre_stream *stream, int status)
{
    connection *c = calloc(1, sizeof(*c));

    check(status == 0 && gyre_accept(stream, &c->tcp.stream) == 0);
    c->tcp.data = c;
    c->place = gyre_group_enter(group, 0);
    add(&open_connections, 1);
    add(&accepted, 1);
    go_on(c, GYRE_GROUP_LEAST);
}

static int setup_listener(gyre_group *of, uint32_t index, gyre_loop *on, void *ctx)
{
    gyre_address address;

    if (index == 0) {
        check(gyre_address_ip(&address, NULL, 0) == 0);
        check(gyre_tcp_init(on, &listener) == 0);
        check(gyre_tcp_bind(&listener, &address, 0) == 0);
        check(gyre_listen(&listener.stream, 0, on_connection) == 0);
        check(gyre_stream_local_address(&listener.stream, &listener_address) == 0);
    }
    (void)ctx;
    check(of == group);
    loops[index] = on;
    return 0;
}

static void drain_listener(gyre_group *of, uint32_t index, gyre_loop *on, void *ctx)
{
    (void)of;
    (void)on;
    (void)ctx;
    if (index == 0)
        gyre_close(&listener.handle, NULL);
}

/* ---- the clients ---- */

typedef struct client {
    int fd;
    unsigned sent;
    unsigned received;
} client;

static char byte_at(const client *c, unsigned at)
{
    return (char)((unsigned)c->fd * 31 + at * 7 + at / 256);
}

static void client_send(client *c)
{
    char bytes[CHUNK_MAX];
    unsigned len = 1 + (c->sent * 13 + (unsigned)c->fd) % CHUNK_MAX;

    if (len > BYTES - c->sent)
        len = BYTES - c->sent;
    for (unsigned i = 0; i < len; i++)
        bytes[i] = byte_at(c, c->sent + i);
    assert_int_equal(send(c->fd, bytes, len, MSG_NOSIGNAL), len);
    c->sent += len;
}

static void client_receive(client *c)
{
    char bytes[4096];
    const ssize_t len = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    assert_true(len > 0);
    for (ssize_t i = 0; i < len; i++)
        assert_int_equal(bytes[i], byte_at(c, c->received + (unsigned)i));
    c->received += (unsigned)len;
}

/* Sends up to three chunks ahead of the echoes, so that bytes come while a connection moves. */
static void talk(client *clients, struct pollfd *polls)
{
    unsigned done = 0;

    while (done < CONNECTIONS) {
        done = 0;
        for (int i = 0; i < CONNECTIONS; i++) {
            client *c = &clients[i];

            while (c->sent < BYTES && c->sent - c->received < 3 * CHUNK_MAX)
                client_send(c);
            polls[i].fd = c->received < BYTES ? c->fd : -1;
            polls[i].events = POLLIN;
            done += c->received == BYTES;
        }
        assert_int_equal(get(&wrong), 0);
        if (done < CONNECTIONS)
            assert_true(poll(polls, CONNECTIONS, -1) > 0);
        for (int i = 0; i < CONNECTIONS; i++) {
            if (polls[i].fd >= 0 && polls[i].revents != 0)
                client_receive(&clients[i]);
        }
    }
}

static void connections_go_from_loop_to_loop_under_load(void **state)
{
    static client clients[CONNECTIONS];
    static struct pollfd polls[CONNECTIONS];
    const gyre_group_options options = {.size = sizeof(options), .drain = drain_listener};
    const gyre_address *address = &listener_address;
    int sum = 0;

    (void)state;
    assert_int_equal(gyre_group_open(&group, LOOPS, &options, setup_listener), 0);
    for (int i = 0; i < CONNECTIONS; i++) {
        clients[i] = (client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        assert_int_equal(connect(clients[i].fd, &address->u.any, address->len), 0);
    }
    talk(clients, polls);
    for (int i = 0; i < CONNECTIONS; i++)
        close(clients[i].fd);
    while (get(&open_connections) > 0) /* one that moves while loops drain would find none */
        sched_yield();
    assert_int_equal(gyre_group_close(group, UINT64_MAX), 0);
    assert_int_equal(get(&wrong), 0);
    assert_int_equal(get(&accepted), CONNECTIONS);
    assert_int_equal(get(&open_connections), 0);
    for (int i = 0; i < LOOPS; i++) {
        assert_true(get(&served[i]) > CONNECTIONS * BYTES / 10);
        sum += get(&served[i]);
    }
    assert_int_equal(sum, CONNECTIONS * BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_go_from_loop_to_loop_under_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
