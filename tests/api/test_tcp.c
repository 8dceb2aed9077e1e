/*
 * TCP: options, adopted sockets, both families, and what a stream of it weighs.
 */
#include "peers.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static int received;
static int accepted;
static int connected;
static int closed;

static int set_up(void **state)
{
    received = accepted = connected = closed = 0;
    return loop_set_up(state);
}

#define TCP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, loop_tear_down)

static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    (void)buf;
    assert_true(nread > 0);
    received += (int)nread;
}

static void on_connected(gyre_connect_req *req, int status)
{
    (void)req;
    assert_int_equal(status, 0);
    connected++;
}

static gyre_tcp *last_client;

static void on_connection(gyre_stream *listener, int status)
{
    assert_int_equal(status, 0);
    last_client = lasting(sizeof(*last_client));
    assert_int_equal(gyre_accept(listener, &last_client->stream), 0);
    accepted++;
}

static void never(gyre_stream *listener, int status)
{
    (void)listener;
    (void)status;
    fail();
}

static void count_close(gyre_handle *handle)
{
    (void)handle;
    closed++;
}

static int option(const gyre_tcp *tcp, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    assert_int_equal(getsockopt(gyre_stream_fd(&tcp->stream), level, name, &value, &len), 0);
    return value;
}

static gyre_tcp *fresh(void)
{
    gyre_tcp *tcp = lasting(sizeof(*tcp));

    assert_int_equal(gyre_tcp_init(loop, tcp), 0);
    return tcp;
}

static void the_size_of_a_stream_is_kept_small(void **state)
{
    (void)state;
    assert_true(sizeof(gyre_tcp) <= 256);
    assert_int_equal(sizeof(gyre_tcp), sizeof(gyre_pipe));
}

/* ---- options ---- */

static void nagle_is_off_unless_asked_for(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    assert_int_not_equal(option(tcp, IPPROTO_TCP, TCP_NODELAY), 0);
    assert_int_equal(gyre_tcp_set_nodelay(tcp, 0), 0);
    assert_int_equal(option(tcp, IPPROTO_TCP, TCP_NODELAY), 0);
    assert_int_equal(gyre_tcp_set_nodelay(tcp, 1), 0);
    assert_int_not_equal(option(tcp, IPPROTO_TCP, TCP_NODELAY), 0);
}

/* What was asked for before there was a socket holds for the one that comes. */
static void nagle_can_be_asked_for_before_there_is_a_socket(void **state)
{
    for (int on = 0; on < 2; on++) {
        gyre_tcp *listener = listener_new(on_connection);
        gyre_tcp *tcp = fresh();
        gyre_connect_req *req = lasting(sizeof(*req));
        gyre_address address;

        connected = 0;
        assert_int_equal(gyre_tcp_set_nodelay(tcp, on), 0);
        assert_int_equal(gyre_stream_local_address(&listener->stream, &address), 0);
        assert_int_equal(gyre_tcp_connect(tcp, req, &address, 0, on_connected), 0);
        run_until(&connected, 1);
        assert_int_equal(option(tcp, IPPROTO_TCP, TCP_NODELAY) != 0, on);
    }
    (void)state;
}

static void keepalive_is_set_and_taken_back(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);
    const int count = option(tcp, IPPROTO_TCP, TCP_KEEPCNT);

    (void)state;
    assert_int_equal(option(tcp, SOL_SOCKET, SO_KEEPALIVE), 0);
    assert_int_equal(gyre_tcp_set_keepalive(tcp, 42, 7, 0), 0);
    assert_int_equal(option(tcp, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option(tcp, IPPROTO_TCP, TCP_KEEPIDLE), 42);
    assert_int_equal(option(tcp, IPPROTO_TCP, TCP_KEEPINTVL), 7);
    assert_int_equal(option(tcp, IPPROTO_TCP, TCP_KEEPCNT), count);
    assert_int_equal(gyre_tcp_set_keepalive(tcp, 43, 0, 5), 0);
    assert_int_equal(option(tcp, IPPROTO_TCP, TCP_KEEPIDLE), 43);
    assert_int_equal(option(tcp, IPPROTO_TCP, TCP_KEEPCNT), 5);
    assert_int_equal(gyre_tcp_set_keepalive(tcp, 0, 0, 0), 0);
    assert_int_equal(option(tcp, SOL_SOCKET, SO_KEEPALIVE), 0);
}

static void keepalive_that_cannot_be_is_an_error(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    assert_int_equal(gyre_tcp_set_keepalive(fresh(), 1, 0, 0), GYRE_EBADF);
    assert_int_equal(gyre_tcp_set_keepalive(tcp, 1U << 31, 0, 0), GYRE_EINVAL);
    assert_int_equal(gyre_tcp_set_keepalive(tcp, 1, 1U << 31, 0), GYRE_EINVAL);
    assert_int_equal(gyre_tcp_set_keepalive(tcp, 1, 0, 1U << 31), GYRE_EINVAL);
    assert_int_equal(gyre_tcp_set_keepalive(tcp, 32768, 0, 0), GYRE_EINVAL); /* tcp(7)'s limit */
}

/* ---- adopted sockets ---- */

static void an_adopted_socket_is_made_fit_for_a_loop(void **state)
{
    gyre_tcp *tcp = fresh();
    char bytes[8];
    int fds[2];

    (void)state;
    tcp_pair(fds);
    assert_int_equal(fcntl(fds[0], F_SETFL, 0), 0);
    assert_int_equal(fcntl(fds[0], F_SETFD, 0), 0);
    assert_int_equal(gyre_tcp_open(tcp, fds[0]), 0);
    assert_int_equal(gyre_stream_fd(&tcp->stream), fds[0]);
    assert_true((fcntl(fds[0], F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fds[0], F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(gyre_read_start(&tcp->stream, on_read), 0);
    assert_int_equal(gyre_write_copy(&tcp->stream, "out", 3), 0);
    peer_send(lasting_fd(fds[1]), "in", 2);
    run_until(&received, 2);
    assert_int_equal(peer_receive(fds[1], bytes, sizeof(bytes)), 3);
}

/* The descriptor is the caller's as before: it can be used, and adopted by another. */
static void what_cannot_be_adopted_stays_the_callers(void **state)
{
    gyre_tcp *tcp = fresh();
    gyre_pipe *local = lasting(sizeof(*local));
    char byte;
    int unix_fds[2];
    int fds[2];

    (void)state;
    tcp_pair(fds);
    unix_pair(unix_fds);
    assert_int_equal(gyre_pipe_init(loop, local), 0);
    assert_int_equal(gyre_tcp_open(tcp, unix_fds[0]), GYRE_EINVAL);
    assert_int_equal(gyre_pipe_open(local, fds[0]), GYRE_EINVAL);
    assert_int_equal(gyre_stream_fd(&tcp->stream), GYRE_EBADF);
    peer_send(unix_fds[0], "x", 1);
    assert_int_equal(recv(unix_fds[1], &byte, 1, 0), 1);
    assert_int_equal(gyre_tcp_open(tcp, fds[0]), 0);
    assert_int_equal(gyre_pipe_open(local, unix_fds[0]), 0);
    assert_int_equal(gyre_tcp_open(tcp, lasting_fd(fds[1])), GYRE_EBUSY);
    assert_int_equal(gyre_pipe_open(local, lasting_fd(unix_fds[1])), GYRE_EBUSY);
    gyre_close(&tcp->handle, count_close);
    assert_int_equal(gyre_tcp_open(tcp, fds[1]), GYRE_EINVAL);
    run_until(&closed, 1);
}

static void a_bound_socket_that_is_adopted_can_listen(void **state)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    gyre_tcp *listener = fresh();
    gyre_address address;

    (void)state;
    assert_int_equal(gyre_address_ip(&address, NULL, 0), 0);
    assert_int_equal(bind(fd, &address.u.any, address.len), 0);
    assert_int_equal(gyre_tcp_open(listener, fd), 0);
    assert_int_equal(gyre_tcp_bind(listener, &address, 0), GYRE_EINVAL);
    assert_int_equal(gyre_listen(&listener->stream, 1, on_connection), 0);
    peer_connect(listener);
    run_until(&accepted, 1);
}

static void a_connected_socket_cannot_listen(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    assert_int_equal(gyre_listen(&tcp->stream, 0, never), GYRE_EINVAL);
    assert_int_equal(gyre_read_start(&tcp->stream, on_read), 0);
    peer_send(peer, "x", 1);
    run_until(&received, 1);
}

/* ---- addresses ---- */

static gyre_tcp *bound(const char *host, uint32_t flags)
{
    gyre_tcp *tcp = fresh();
    gyre_address address;

    assert_int_equal(gyre_address_ip(&address, host, 0), 0);
    assert_int_equal(gyre_tcp_bind(tcp, &address, flags), 0);
    return tcp;
}

static void assert_same_name(const gyre_address *a, const gyre_address *b)
{
    char texts[2][GYRE_ADDRESS_TEXT_MAX];

    assert_true(gyre_address_format(a, texts[0], sizeof(texts[0])) > 0);
    assert_true(gyre_address_format(b, texts[1], sizeof(texts[1])) > 0);
    assert_string_equal(texts[0], texts[1]);
}

static void both_ends_name_each_other_in_both_families(void **state)
{
    const char *const hosts[] = {"127.0.0.1", "::1"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        gyre_tcp *listener = bound(hosts[i], 0);
        gyre_tcp *tcp = fresh();
        gyre_connect_req *req = lasting(sizeof(*req));
        gyre_address ours;
        gyre_address theirs;

        connected = accepted = 0;
        assert_int_equal(gyre_listen(&listener->stream, 0, on_connection), 0);
        assert_int_equal(gyre_stream_local_address(&listener->stream, &theirs), 0);
        assert_int_equal(gyre_tcp_connect(tcp, req, &theirs, GYRE_SECOND, on_connected), 0);
        run_until(&connected, 1);
        run_until(&accepted, 1);
        assert_int_equal(gyre_stream_peer_address(&tcp->stream, &ours), 0);
        assert_same_name(&ours, &theirs);
        assert_int_equal(gyre_stream_local_address(&tcp->stream, &ours), 0);
        assert_int_equal(gyre_stream_peer_address(&last_client->stream, &theirs), 0);
        assert_same_name(&ours, &theirs);
    }
}

/* A client may choose its own port, too. */
static void a_bound_stream_connects_from_its_address(void **state)
{
    gyre_tcp *listener = listener_new(on_connection);
    gyre_tcp *tcp = bound("127.0.0.1", 0);
    gyre_connect_req req = {0};
    gyre_address ours;
    gyre_address theirs;

    (void)state;
    assert_int_equal(gyre_stream_local_address(&tcp->stream, &ours), 0);
    assert_int_not_equal(gyre_address_port(&ours), 0);
    assert_int_equal(gyre_stream_local_address(&listener->stream, &theirs), 0);
    assert_int_equal(gyre_tcp_connect(tcp, &req, &theirs, 0, on_connected), 0);
    run_until(&connected, 1);
    run_until(&accepted, 1);
    assert_int_equal(gyre_stream_peer_address(&last_client->stream, &theirs), 0);
    assert_same_name(&ours, &theirs);
}

static void binding_twice_and_unknown_flags_are_errors(void **state)
{
    gyre_tcp *tcp = bound("127.0.0.1", 0);
    gyre_address address;

    (void)state;
    assert_int_equal(gyre_address_ip(&address, NULL, 0), 0);
    assert_int_equal(gyre_tcp_bind(tcp, &address, 0), GYRE_EINVAL);
    assert_int_equal(gyre_tcp_bind(fresh(), &address, 4), GYRE_EINVAL);
}

/* One port, one listener of each family. */
static void v6_only_leaves_the_port_to_v4(void **state)
{
    gyre_tcp *six = bound("::", GYRE_TCP_V6ONLY);
    gyre_tcp *four = fresh();
    gyre_address address;

    (void)state;
    assert_int_equal(gyre_listen(&six->stream, 0, never), 0);
    assert_int_equal(gyre_stream_local_address(&six->stream, &address), 0);
    assert_int_equal(gyre_address_ip(&address, "0.0.0.0", gyre_address_port(&address)), 0);
    assert_int_equal(gyre_tcp_bind(four, &address, 0), 0);
    assert_int_equal(gyre_listen(&four->stream, 0, on_connection), 0);
    peer_connect(four);
    run_until(&accepted, 1);
}

/* A server starts again while connections of its former run linger in TIME_WAIT. */
static void a_port_is_bound_again_behind_lingering_connections(void **state)
{
    gyre_tcp *listener = listener_new(on_connection);
    gyre_tcp *again = fresh();
    gyre_address address;
    int peer = peer_connect(listener);

    (void)state;
    run_until(&accepted, 1);
    assert_int_equal(gyre_stream_local_address(&listener->stream, &address), 0);
    gyre_close(&last_client->handle, count_close);
    gyre_close(&listener->handle, count_close);
    run_until(&closed, 2);
    assert_true(peer_is_at_end(peer));
    assert_int_equal(shutdown(peer, SHUT_RDWR), 0);
    assert_int_equal(gyre_tcp_bind(again, &address, 0), 0);
    assert_int_equal(gyre_listen(&again->stream, 0, on_connection), 0);
    peer_connect(again);
    run_until(&accepted, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TCP_TEST(the_size_of_a_stream_is_kept_small),
        TCP_TEST(nagle_is_off_unless_asked_for),
        TCP_TEST(nagle_can_be_asked_for_before_there_is_a_socket),
        TCP_TEST(keepalive_is_set_and_taken_back),
        TCP_TEST(keepalive_that_cannot_be_is_an_error),
        TCP_TEST(an_adopted_socket_is_made_fit_for_a_loop),
        TCP_TEST(what_cannot_be_adopted_stays_the_callers),
        TCP_TEST(a_bound_socket_that_is_adopted_can_listen),
        TCP_TEST(a_connected_socket_cannot_listen),
        TCP_TEST(both_ends_name_each_other_in_both_families),
        TCP_TEST(a_bound_stream_connects_from_its_address),
        TCP_TEST(binding_twice_and_unknown_flags_are_errors),
        TCP_TEST(v6_only_leaves_the_port_to_v4),
        TCP_TEST(a_port_is_bound_again_behind_lingering_connections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
