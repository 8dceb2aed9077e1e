/*
 * Listening and accepting: addresses, options, connections that wait, and what happens when there
 * are no descriptors left.
 */
#include "peers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CLIENTS_MAX = 500 };

static gyre_tcp *clients[CLIENTS_MAX];
static int accepted;
static int announced;
static int paused;
static int echoed;
static int closed;

static int set_up(void **state)
{
    accepted = announced = paused = echoed = closed = 0;
    return loop_set_up(state);
}

#define LISTEN_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, loop_tear_down)

static void on_closed(gyre_handle *handle)
{
    (void)handle;
    closed++;
}

static void echo(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    if (nread < 0) {
        gyre_close(&stream->handle, on_closed);
        return;
    }
    assert_int_equal(gyre_write_copy(stream, buf->base, (size_t)nread), 0);
    echoed++;
}

static void accept_one(gyre_stream *listener, int status)
{
    gyre_tcp *client = lasting(sizeof(*client));

    if (status != 0) {
        assert_true(status == GYRE_EMFILE || status == GYRE_ENFILE);
        paused++;
        return;
    }
    announced++;
    assert_int_equal(gyre_accept(listener, &client->stream), 0);
    clients[accepted++] = client;
    assert_int_equal(gyre_read_start(&client->stream, echo), 0);
}

static void announce_only(gyre_stream *listener, int status)
{
    (void)listener;
    assert_int_equal(status, 0);
    announced++;
}

static void never(gyre_stream *listener, int status)
{
    (void)listener;
    (void)status;
    fail();
}

/* ---- accepting ---- */

static void every_connection_is_announced_and_taken(void **state)
{
    enum { COUNT = 100 };
    gyre_tcp *listener = listener_new(accept_one);
    int peers[COUNT];

    (void)state;
    for (int i = 0; i < COUNT; i++)
        peers[i] = peer_connect(listener);
    run_until(&accepted, COUNT);
    for (int i = 0; i < COUNT; i++)
        peer_send(peers[i], "x", 1);
    run_until(&echoed, COUNT);
    assert_int_equal(announced, COUNT);
}

static void a_connection_that_is_not_taken_waits(void **state)
{
    gyre_tcp *listener = listener_new(announce_only);
    gyre_tcp *client = lasting(sizeof(*client));
    gyre_tcp *other = lasting(sizeof(*other));

    (void)state;
    peer_connect(listener);
    run_until(&announced, 1);
    peer_connect(listener);
    run_turns(5);
    assert_int_equal(announced, 1);
    assert_int_equal(gyre_accept(&listener->stream, &client->stream), 0);
    run_until(&announced, 2);
    assert_int_equal(gyre_accept(&listener->stream, &other->stream), 0);
    other = lasting(sizeof(*other));
    assert_int_equal(gyre_accept(&listener->stream, &other->stream), GYRE_EAGAIN);
}

static void names_of_both_ends_agree(void **state)
{
    gyre_tcp *listener = listener_new(accept_one);
    const int peer = peer_connect(listener);
    gyre_address ours;
    gyre_address theirs;
    gyre_address told;
    socklen_t len = sizeof(theirs.u);

    (void)state;
    run_until(&accepted, 1);
    assert_int_equal(gyre_stream_local_address(&clients[0]->stream, &ours), 0);
    assert_int_equal(gyre_stream_local_address(&listener->stream, &told), 0);
    assert_int_equal(gyre_address_port(&ours), gyre_address_port(&told));
    assert_int_equal(gyre_stream_peer_address(&clients[0]->stream, &told), 0);
    assert_int_equal(getsockname(peer, &theirs.u.any, &len), 0);
    assert_int_equal(gyre_address_port(&told), gyre_address_port(&theirs));
    assert_int_equal(gyre_stream_peer_address(&listener->stream, &told), GYRE_ENOTCONN);
}

/* Accepted sockets are what the library needs, and do not leak into programs that are started. */
static void accepted_sockets_are_closed_on_exec_and_without_delay(void **state)
{
    gyre_tcp *listener = listener_new(accept_one);
    int nodelay = 0;
    socklen_t len = sizeof(nodelay);
    int fd;

    (void)state;
    peer_connect(listener);
    run_until(&accepted, 1);
    fd = gyre_stream_fd(&clients[0]->stream);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &nodelay, &len), 0);
    assert_true(nodelay != 0);
}

static void close_of_a_listener_frees_its_port_at_once(void **state)
{
    gyre_tcp *listener = listener_new(never);
    gyre_tcp *again = lasting(sizeof(*again));
    gyre_address address;

    (void)state;
    assert_int_equal(gyre_stream_local_address(&listener->stream, &address), 0);
    run_turns(2);
    gyre_close(&listener->handle, on_closed);
    run_until(&closed, 1);
    assert_int_equal(gyre_tcp_init(loop, again), 0);
    assert_int_equal(gyre_tcp_bind(again, &address, 0), 0);
    assert_int_equal(gyre_listen(&again->stream, 0, never), 0);
}

static void close_in_the_callback(gyre_stream *listener, int status)
{
    assert_int_equal(status, 0);
    announced++;
    gyre_close(&listener->handle, on_closed);
}

static void a_listener_may_be_closed_in_its_callback(void **state)
{
    gyre_tcp *listener = listener_new(close_in_the_callback);

    (void)state;
    peer_connect(listener);
    peer_connect(listener);
    peer_connect(listener);
    run_until(&closed, 1);
    assert_int_equal(announced, 1);
}

/* ---- binding ---- */

static int bind_to(gyre_tcp *tcp, const char *host, uint16_t port, uint32_t flags)
{
    gyre_address address;

    assert_int_equal(gyre_tcp_init(loop, tcp), 0);
    assert_int_equal(gyre_address_ip(&address, host, port), 0);
    return gyre_tcp_bind(tcp, &address, flags);
}

static uint16_t port_of(const gyre_tcp *tcp)
{
    gyre_address address;

    assert_int_equal(gyre_stream_local_address(&tcp->stream, &address), 0);
    return gyre_address_port(&address);
}

static void a_port_that_is_taken_is_an_error(void **state)
{
    gyre_tcp *listener = listener_new(never);
    gyre_tcp *other = lasting(sizeof(*other));
    int error = bind_to(other, "127.0.0.1", port_of(listener), 0);

    (void)state;
    if (error == 0)
        error = gyre_listen(&other->stream, 0, never);
    assert_int_equal(error, GYRE_EADDRINUSE);
}

static void ports_can_be_shared_when_all_agree(void **state)
{
    gyre_tcp *listeners[3];

    (void)state;
    for (int i = 0; i < 3; i++) {
        const uint16_t port = i == 0 ? 0 : port_of(listeners[0]);

        listeners[i] = lasting(sizeof(gyre_tcp));
        assert_int_equal(bind_to(listeners[i], "127.0.0.1", port, GYRE_TCP_REUSEPORT), 0);
        assert_int_equal(gyre_listen(&listeners[i]->stream, 0, accept_one), 0);
    }
    for (int i = 0; i < 60; i++)
        peer_connect(listeners[0]);
    run_until(&accepted, 60);
}

static void an_ipv6_listener_may_refuse_ipv4(void **state)
{
    for (uint32_t only = 0; only < 2; only++) {
        gyre_tcp *listener = lasting(sizeof(*listener));
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        gyre_address address;

        assert_int_equal(bind_to(listener, "::", 0, only != 0 ? GYRE_TCP_V6ONLY : 0), 0);
        assert_int_equal(gyre_listen(&listener->stream, 0, accept_one), 0);
        assert_int_equal(gyre_address_ip(&address, "127.0.0.1", port_of(listener)), 0);
        assert_int_equal(connect(lasting_fd(fd), &address.u.any, address.len), only != 0 ? -1 : 0);
    }
    (void)state;
    run_until(&accepted, 1);
}

static void misuse_is_an_error(void **state)
{
    gyre_tcp *tcp = lasting(sizeof(*tcp));
    gyre_tcp *client = lasting(sizeof(*client));
    gyre_address address;

    (void)state;
    assert_int_equal(gyre_tcp_init(loop, tcp), 0);
    assert_int_equal(gyre_listen(&tcp->stream, 0, never), GYRE_EINVAL);
    assert_int_equal(gyre_accept(&tcp->stream, &client->stream), GYRE_EINVAL);
    assert_int_equal(gyre_stream_fd(&tcp->stream), GYRE_EBADF);
    assert_int_equal(gyre_stream_local_address(&tcp->stream, &address), GYRE_EBADF);
    assert_int_equal(gyre_address_ip(&address, "203.0.113.7", 0), 0); /* not ours (RFC 5737) */
    assert_int_equal(gyre_tcp_bind(tcp, &address, 0), GYRE_EADDRNOTAVAIL);
    assert_int_equal(gyre_address_unix(&address, "@x"), 0);
    assert_int_equal(gyre_tcp_bind(tcp, &address, 0), GYRE_EAFNOSUPPORT);
    assert_int_equal(gyre_tcp_open(tcp, 1 << 19), GYRE_EBADF);
    assert_int_equal(gyre_tcp_open(tcp, lasting_fd(open("/dev/null", O_RDONLY))), GYRE_ENOTSOCK);
    assert_int_equal(gyre_tcp_open(tcp, lasting_fd(socket(AF_INET, SOCK_DGRAM, 0))), GYRE_EINVAL);
    assert_int_equal(gyre_tcp_open(tcp, lasting_fd(socket(AF_UNIX, SOCK_STREAM, 0))), GYRE_EINVAL);
}

static void a_listening_socket_can_be_adopted(void **state)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    gyre_tcp *listener = lasting(sizeof(*listener));
    gyre_address address;

    (void)state;
    assert_int_equal(gyre_address_ip(&address, NULL, 0), 0);
    assert_int_equal(bind(fd, &address.u.any, address.len), 0);
    assert_int_equal(listen(fd, 10), 0);
    assert_int_equal(gyre_tcp_init(loop, listener), 0);
    assert_int_equal(gyre_tcp_open(listener, fd), 0);
    assert_int_equal(gyre_tcp_open(listener, fd), GYRE_EBUSY);
    assert_int_equal(gyre_listen(&listener->stream, 0, accept_one), 0);
    peer_connect(listener);
    run_until(&accepted, 1);
}

/* ---- unix sockets ---- */

static void a_path_is_bound_and_removed_at_close(void **state)
{
    char path[64];
    struct stat stat_of;
    gyre_pipe *listener = lasting(sizeof(*listener));
    gyre_pipe *other = lasting(sizeof(*other));
    gyre_pipe *client = lasting(sizeof(*client));
    gyre_address address;
    int fd;

    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/gyre-test-%d.sock", (int)getpid());
    (void)unlink(path);
    assert_int_equal(gyre_pipe_init(loop, listener), 0);
    assert_int_equal(gyre_pipe_init(loop, other), 0);
    assert_int_equal(gyre_pipe_bind(listener, path), 0);
    assert_int_equal(gyre_pipe_bind(other, path), GYRE_EADDRINUSE);
    assert_int_equal(gyre_listen(&listener->stream, 0, announce_only), 0);
    assert_int_equal(gyre_address_unix(&address, path), 0);
    fd = lasting_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    assert_int_equal(connect(fd, &address.u.any, address.len), 0);
    run_until(&announced, 1);
    assert_int_equal(gyre_accept(&listener->stream, &client->stream), 0);
    gyre_close(&listener->handle, on_closed);
    run_until(&closed, 1);
    assert_int_equal(stat(path, &stat_of), -1);
    assert_int_equal(errno, ENOENT);
}

static void an_abstract_name_needs_no_file(void **state)
{
    char name[64];
    gyre_pipe *listener = lasting(sizeof(*listener));
    gyre_address address;
    int fd;

    (void)state;
    (void)snprintf(name, sizeof(name), "@gyre-test-%d", (int)getpid());
    assert_int_equal(gyre_pipe_init(loop, listener), 0);
    assert_int_equal(gyre_pipe_bind(listener, name), 0);
    assert_int_equal(gyre_listen(&listener->stream, 0, announce_only), 0);
    assert_int_equal(gyre_address_unix(&address, name), 0);
    fd = lasting_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    assert_int_equal(connect(fd, &address.u.any, address.len), 0);
    run_until(&announced, 1);
}

/* ---- no descriptors ---- */

static uint64_t processor_ns(void)
{
    struct rusage usage;

    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * GYRE_SECOND +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

static void stop_loop(gyre_timer *timer)
{
    (void)timer;
    gyre_loop_stop(loop);
}

/*
 * A child is the clients: 500 of them against a limit of 64 descriptors here. It writes a byte when
 * all are connected (the kernel's queue takes those that we do not), and closes them when it is
 * told to.
 */
static int be_clients(const gyre_address *address, int told)
{
    int fds[CLIENTS_MAX];
    char byte;

    for (int i = 0; i < CLIENTS_MAX; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fds[i] < 0 || connect(fds[i], &address->u.any, address->len) != 0)
            return 1;
    }
    if (write(told, "c", 1) != 1 || read(told, &byte, 1) != 1)
        return 2;
    /* The first ones are served all the while. */
    for (int i = 0; i < 10; i++) {
        if (write(fds[i], "x", 1) != 1 || read(fds[i], &byte, 1) != 1)
            return 3;
    }
    if (write(told, "s", 1) != 1 || read(told, &byte, 1) != 1)
        return 4;
    for (int i = 0; i < CLIENTS_MAX; i++)
        close(fds[i]);
    return 0;
}

static int heard;

static void hear(gyre_poll *watcher, int status, uint32_t events)
{
    char byte;

    assert_int_equal(status, 0);
    (void)events;
    if (recv(watcher->fd, &byte, 1, MSG_DONTWAIT) == 1)
        heard++;
    else
        gyre_poll_stop(watcher);
}

static void at_the_descriptor_limit_the_served_go_on_and_the_rest_wait(void **state)
{
    gyre_tcp *listener = listener_new(accept_one);
    gyre_poll *watcher = lasting(sizeof(*watcher));
    gyre_timer *timer = timer_new("timer");
    struct rlimit before;
    struct rlimit few;
    gyre_address address;
    uint64_t began;
    int fds[2];
    pid_t child;

    (void)state;
    assert_int_equal(gyre_stream_local_address(&listener->stream, &address), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    child = fork();
    if (child == 0) {
        close(gyre_stream_fd(&listener->stream));
        _exit(be_clients(&address, fds[1]));
    }
    close(fds[1]);
    heard = 0;
    assert_int_equal(gyre_poll_init(loop, watcher, lasting_fd(fds[0])), 0);
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, hear), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 64;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (heard < 1 || paused == 0)
        assert_true(gyre_loop_run(loop, GYRE_RUN_ONCE) >= 0);
    assert_in_range(accepted, 10, 63);
    /* Nothing happens now, and nothing is what it costs. */
    gyre_timer_start(timer, 300 * GYRE_MILLISECOND, 0, stop_loop);
    began = processor_ns();
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 1);
    assert_true(processor_ns() - began < 100 * GYRE_MILLISECOND);
    assert_int_equal(write(fds[0], "g", 1), 1);
    run_until(&heard, 2);
    assert_int_equal(echoed, 10);
    assert_int_equal(write(fds[0], "g", 1), 1);
    while (closed < CLIENTS_MAX)
        assert_true(gyre_loop_run(loop, GYRE_RUN_ONCE) >= 0);
    assert_int_equal(accepted, CLIENTS_MAX);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(child_wait(child), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LISTEN_TEST(every_connection_is_announced_and_taken),
        LISTEN_TEST(a_connection_that_is_not_taken_waits),
        LISTEN_TEST(names_of_both_ends_agree),
        LISTEN_TEST(accepted_sockets_are_closed_on_exec_and_without_delay),
        LISTEN_TEST(close_of_a_listener_frees_its_port_at_once),
        LISTEN_TEST(a_listener_may_be_closed_in_its_callback),
        LISTEN_TEST(a_port_that_is_taken_is_an_error),
        LISTEN_TEST(ports_can_be_shared_when_all_agree),
        LISTEN_TEST(an_ipv6_listener_may_refuse_ipv4),
        LISTEN_TEST(misuse_is_an_error),
        LISTEN_TEST(a_listening_socket_can_be_adopted),
        LISTEN_TEST(a_path_is_bound_and_removed_at_close),
        LISTEN_TEST(an_abstract_name_needs_no_file),
        LISTEN_TEST(at_the_descriptor_limit_the_served_go_on_and_the_rest_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
