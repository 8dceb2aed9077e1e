/*
 * A loop inside another one, with descriptors: a host's epoll on gyre_loop_fd wakes for what is to
 * read, for connections and for room to write.
 */
#include "fixture.h"

#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static int host = -1;

/* The first turn: what the descriptor says before it is stale. A turn needs something alive. */
static void settle_loop(void)
{
    gyre_loop_hold(loop);
    gyre_loop_tick(loop);
    gyre_loop_release(loop);
}

static int host_set_up(void **state)
{
    const int error = loop_set_up(state);
    struct epoll_event event = {.events = EPOLLIN};
    int fd;

    if (error != 0)
        return error;
    fd = gyre_loop_fd(loop);
    settle_loop();
    host = fd >= 0 ? epoll_create1(EPOLL_CLOEXEC) : -1;
    return host >= 0 ? epoll_ctl(host, EPOLL_CTL_ADD, fd, &event) : 0;
}

static int host_tear_down(void **state)
{
    if (host >= 0)
        close(host);
    return loop_tear_down(state);
}

#define HOST_TEST(name) cmocka_unit_test_setup_teardown(name, host_set_up, host_tear_down)

/* A signal may end the sleep: a ring that was closed a moment ago interrupts its thread. */
static void host_sleep(void)
{
    struct epoll_event event;

    while (epoll_wait(host, &event, 1, -1) != 1)
        ;
}

/* Turns of a host that sleeps until the loop's descriptor wakes it, until a callback has run. */
static void host_run(void)
{
    do {
        assert_int_equal(gyre_loop_embed_prepare(loop), 0);
        if (gyre_loop_timeout_ns(loop) != 0)
            host_sleep();
    } while (gyre_loop_tick(loop) == 0);
}

/* Goes round until what was submitted is with the kernel and the descriptor is quiet. */
static void host_settle(void)
{
    struct epoll_event event;

    do {
        assert_int_equal(gyre_loop_tick(loop), 0);
        assert_int_equal(gyre_loop_embed_prepare(loop), 0);
    } while (gyre_loop_timeout_ns(loop) == 0 || epoll_wait(host, &event, 1, 0) > 0);
}

static void journal_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    char text[16] = "";

    if (nread > 0 && nread < 16)
        memcpy(text, buf->base, (size_t)nread);
    journal(nread > 0 ? text : gyre_errname(nread));
    if (nread < 0)
        gyre_close(&stream->handle, NULL);
}

static void read_wakes(gyre_stream *stream, int peer)
{
    assert_int_equal(gyre_read_start(stream, journal_read), 0);
    for (int i = 0; i < 5; i++) {
        host_settle();
        assert_int_equal(write(peer, "bytes", 5), 5);
        host_run();
        assert_journal("bytes");
    }
    host_settle();
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    host_run();
    assert_journal("EOF");
}

static void bytes_for_a_tcp_stream_wake_the_host(void **state)
{
    gyre_tcp *tcp;
    int peer;

    (void)state;
    if (host < 0)
        skip();
    tcp = tcp_new("tcp", &peer);
    read_wakes(&tcp->stream, peer);
}

static void bytes_for_a_unix_stream_wake_the_host(void **state)
{
    gyre_pipe *local;
    int peer;

    (void)state;
    if (host < 0)
        skip();
    local = pipe_new("pipe", &peer);
    read_wakes(&local->stream, peer);
}

static void drain_peer(gyre_poll *watcher, int status, uint32_t events)
{
    char bytes[16];

    assert_int_equal(status, 0);
    assert_int_equal(events & GYRE_POLL_IN, GYRE_POLL_IN);
    journal_close(&watcher->handle);
    assert_true(read(watcher->fd, bytes, sizeof(bytes)) > 0);
}

static void a_foreign_descriptor_wakes_the_host(void **state)
{
    gyre_poll *watcher;
    int peer;

    (void)state;
    if (host < 0)
        skip();
    watcher = poll_new("poll", &peer);
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, drain_peer), 0);
    for (int i = 0; i < 5; i++) {
        host_settle();
        assert_int_equal(write(peer, "x", 1), 1);
        host_run();
        assert_journal("poll");
    }
}

static void a_level_that_is_left_wakes_the_host_again(void **state)
{
    gyre_poll *watcher;
    int peer;

    (void)state;
    if (host < 0)
        skip();
    watcher = poll_new("poll", &peer);
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, drain_peer), 0);
    host_settle();
    assert_int_equal(write(peer, "0123456789abcdef0123456789abcdef", 32), 32);
    host_run();
    host_run();
    assert_journal("poll poll");
    host_settle();
}

static void take_connection(gyre_stream *listener, int status)
{
    gyre_tcp *client = lasting(sizeof(*client));

    assert_int_equal(status, 0);
    assert_int_equal(gyre_accept(listener, &client->stream), 0);
    journal("connection");
}

static void a_connection_wakes_the_host(void **state)
{
    gyre_tcp *listener;
    gyre_address address;
    int fd;

    (void)state;
    if (host < 0)
        skip();
    listener = lasting(sizeof(*listener));
    assert_int_equal(gyre_address_ip(&address, NULL, 0), 0);
    assert_int_equal(gyre_tcp_init(loop, listener), 0);
    assert_int_equal(gyre_tcp_bind(listener, &address, 0), 0);
    assert_int_equal(gyre_listen(&listener->stream, 0, take_connection), 0);
    assert_int_equal(gyre_stream_local_address(&listener->stream, &address), 0);
    host_settle();
    fd = lasting_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    assert_int_equal(connect(fd, &address.u.any, address.len), 0);
    host_run();
    assert_journal("connection");
}

enum { LARGE = 8 << 20 };

static void written(gyre_write_req *req, int status)
{
    (void)req;
    journal(gyre_errname(status));
}

static void room_to_write_wakes_the_host(void **state)
{
    char *bytes = lasting(LARGE);
    gyre_write_req *req = lasting(sizeof(*req));
    const gyre_buf buf = gyre_buf_init(bytes, LARGE);
    size_t taken = 0;
    gyre_pipe *local;
    int peer;

    (void)state;
    if (host < 0)
        skip();
    local = pipe_new("pipe", &peer);
    assert_int_equal(gyre_write(&local->stream, req, &buf, 1, written), 0);
    host_settle();
    assert_true(gyre_queued_bytes(&local->stream) > 0);
    while (taken < LARGE) {
        const ssize_t got = read(peer, bytes, 65536);

        if (got > 0) {
            taken += (size_t)got;
            continue;
        }
        assert_int_equal(gyre_loop_embed_prepare(loop), 0);
        if (gyre_loop_timeout_ns(loop) != 0)
            host_sleep();
        gyre_loop_tick(loop);
    }
    while (gyre_loop_alive(loop))
        gyre_loop_tick(loop);
    assert_journal("OK");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOST_TEST(bytes_for_a_tcp_stream_wake_the_host),
        HOST_TEST(bytes_for_a_unix_stream_wake_the_host),
        HOST_TEST(a_foreign_descriptor_wakes_the_host),
        HOST_TEST(a_level_that_is_left_wakes_the_host_again),
        HOST_TEST(a_connection_wakes_the_host),
        HOST_TEST(room_to_write_wakes_the_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
