/*
 * Options of TCP streams, before there is a socket, while it lives, and when it is gone.
 */
#include "peers.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

static int option(const gyre_tcp *tcp, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    assert_int_equal(getsockopt(gyre_stream_fd(&tcp->stream), level, name, &value, &len), 0);
    return value;
}

static void nagle_is_off_until_it_is_asked_for(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    assert_int_equal(gyre_tcp_set_nodelay(tcp, 1), 0);
    assert_true(option(tcp, IPPROTO_TCP, TCP_NODELAY) != 0);
    assert_int_equal(gyre_tcp_set_nodelay(tcp, 0), 0);
    assert_int_equal(option(tcp, IPPROTO_TCP, TCP_NODELAY), 0);
}

/* What is set before there is a socket holds for the one that comes. */
static void nodelay_may_be_turned_off_before_there_is_a_socket(void **state)
{
    gyre_tcp *tcp = lasting(sizeof(*tcp));
    gyre_address address;

    (void)state;
    assert_int_equal(gyre_tcp_init(loop, tcp), 0);
    assert_int_equal(gyre_tcp_set_nodelay(tcp, 0), 0);
    assert_int_equal(gyre_address_ip(&address, NULL, 0), 0);
    assert_int_equal(gyre_tcp_bind(tcp, &address, 0), 0);
    assert_int_equal(option(tcp, IPPROTO_TCP, TCP_NODELAY), 0);
}

static void keep_alive_has_its_delay_interval_and_count(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    assert_int_equal(option(tcp, SOL_SOCKET, SO_KEEPALIVE), 0);
    assert_int_equal(gyre_tcp_set_keepalive(tcp, 30, 5, 4), 0);
    assert_true(option(tcp, SOL_SOCKET, SO_KEEPALIVE) != 0);
    assert_int_equal(option(tcp, IPPROTO_TCP, TCP_KEEPIDLE), 30);
    assert_int_equal(option(tcp, IPPROTO_TCP, TCP_KEEPINTVL), 5);
    assert_int_equal(option(tcp, IPPROTO_TCP, TCP_KEEPCNT), 4);
    assert_int_equal(gyre_tcp_set_keepalive(tcp, 0, 0, 0), 0);
    assert_int_equal(option(tcp, SOL_SOCKET, SO_KEEPALIVE), 0);
}

static void options_of_no_socket_are_errors(void **state)
{
    gyre_tcp *tcp = lasting(sizeof(*tcp));

    (void)state;
    assert_int_equal(gyre_tcp_init(loop, tcp), 0);
    assert_int_equal(gyre_tcp_set_keepalive(tcp, 30, 0, 0), GYRE_EBADF);
    gyre_close(&tcp->handle, NULL);
    assert_int_equal(gyre_tcp_set_nodelay(tcp, 1), GYRE_EINVAL);
    assert_int_equal(gyre_tcp_set_keepalive(tcp, 30, 0, 0), GYRE_EINVAL);
}

static void the_version_is_that_of_the_header(void **state)
{
    (void)state;
    assert_string_equal(gyre_version(), GYRE_VERSION_STRING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(nagle_is_off_until_it_is_asked_for),
        LOOP_TEST(nodelay_may_be_turned_off_before_there_is_a_socket),
        LOOP_TEST(keep_alive_has_its_delay_interval_and_count),
        LOOP_TEST(options_of_no_socket_are_errors),
        LOOP_TEST(the_version_is_that_of_the_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
