/*
 * Connecting: success, refusal, deadlines, cancelling, and closing meanwhile; each request calls
 * back once, and never from inside the call.
 */
#include "peers.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int called;
static int last_status;
static int closed;
static bool inside;

static int set_up(void **state)
{
    called = last_status = closed = 0;
    inside = false;
    return loop_set_up(state);
}

#define CONNECT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, loop_tear_down)

static void on_connected(gyre_connect_req *req, int status)
{
    assert_non_null(req->stream);
    assert_false(inside);
    last_status = status;
    called++;
}

static void on_closed(gyre_handle *handle)
{
    (void)handle;
    assert_int_equal(called, 1);
    closed++;
}

static void on_connection(gyre_stream *listener, int status)
{
    gyre_tcp *client = lasting(sizeof(*client));

    assert_int_equal(status, 0);
    assert_int_equal(gyre_accept(listener, &client->stream), 0);
}

static void on_pipe(gyre_stream *listener, int status)
{
    gyre_pipe *client = lasting(sizeof(*client));

    assert_int_equal(status, 0);
    assert_int_equal(gyre_accept(listener, &client->stream), 0);
}

static gyre_tcp *connecting(const gyre_address *address, uint64_t timeout_ns,
                            gyre_connect_req **given)
{
    gyre_tcp *tcp = lasting(sizeof(*tcp));
    gyre_connect_req *req = lasting(sizeof(*req));

    assert_int_equal(gyre_tcp_init(loop, tcp), 0);
    inside = true;
    assert_int_equal(gyre_tcp_connect(tcp, req, address, timeout_ns, on_connected), 0);
    inside = false;
    if (given != NULL)
        *given = req;
    return tcp;
}

static gyre_address address_of(const gyre_tcp *listener)
{
    gyre_address address;

    assert_int_equal(gyre_stream_local_address(&listener->stream, &address), 0);
    return address;
}

/* A port that is bound, so that nobody else has it, but where nobody listens. */
static gyre_address nobody(void)
{
    const int fd = lasting_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    gyre_address address;
    socklen_t len;

    assert_int_equal(gyre_address_ip(&address, NULL, 0), 0);
    len = address.len;
    assert_int_equal(bind(fd, &address.u.any, len), 0);
    assert_int_equal(getsockname(fd, &address.u.any, &len), 0);
    return address;
}

/* A listener that nobody serves and whose queue is full: a further SYN gets no answer. */
static gyre_address silence(void)
{
    const int fd = lasting_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    gyre_address address;
    socklen_t len;

    assert_int_equal(gyre_address_ip(&address, NULL, 0), 0);
    len = address.len;
    assert_int_equal(bind(fd, &address.u.any, len), 0);
    assert_int_equal(getsockname(fd, &address.u.any, &len), 0);
    assert_int_equal(listen(fd, 0), 0);
    for (int i = 0; i < 4; i++) {
        const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        (void)connect(lasting_fd(client), &address.u.any, len);
    }
    return address;
}

static void a_connection_is_made_and_has_its_names(void **state)
{
    gyre_tcp *listener = listener_new(on_connection);
    const gyre_address address = address_of(listener);
    gyre_tcp *tcp = connecting(&address, 0, NULL);
    gyre_address peer;

    (void)state;
    assert_int_equal(gyre_write_copy(&tcp->stream, "x", 1), GYRE_ENOTCONN);
    run_until(&called, 1);
    assert_int_equal(last_status, 0);
    assert_int_equal(gyre_stream_peer_address(&tcp->stream, &peer), 0);
    assert_int_equal(gyre_address_port(&peer), gyre_address_port(&address));
    assert_int_equal(gyre_write_copy(&tcp->stream, "x", 1), 0);
}

static void connecting_twice_is_an_error(void **state)
{
    gyre_tcp *listener = listener_new(on_connection);
    const gyre_address address = address_of(listener);
    gyre_connect_req *other = lasting(sizeof(*other));
    gyre_tcp *tcp = connecting(&address, 0, NULL);

    (void)state;
    assert_int_equal(gyre_tcp_connect(tcp, other, &address, 0, on_connected), GYRE_EALREADY);
    run_until(&called, 1);
    assert_int_equal(gyre_tcp_connect(tcp, other, &address, 0, on_connected), GYRE_EISCONN);
    run_turns(2);
    assert_int_equal(called, 1);
}

static void a_port_where_nobody_listens_refuses(void **state)
{
    const gyre_address address = nobody();

    (void)state;
    connecting(&address, 0, NULL);
    run_until(&called, 1);
    assert_int_equal(last_status, GYRE_ECONNREFUSED);
}

/* The deadline is the result: nobody answers, and it is not early. */
static void a_deadline_ends_a_connect(void **state)
{
    const gyre_address address = silence();
    const uint64_t began = clock_ns();

    (void)state;
    connecting(&address, 50 * GYRE_MILLISECOND, NULL);
    run_until(&called, 1);
    assert_int_equal(last_status, GYRE_ETIMEDOUT);
    assert_true(clock_ns() - began >= 50 * GYRE_MILLISECOND);
}

static void a_connect_can_be_cancelled(void **state)
{
    const gyre_address address = silence();
    gyre_connect_req *req;

    (void)state;
    for (int turns = 0; turns < 3; turns++) {
        called = 0;
        connecting(&address, GYRE_SECOND, &req);
        run_turns(turns);
        inside = true;
        assert_int_equal(gyre_connect_cancel(req), 0);
        inside = false;
        run_until(&called, 1);
        assert_int_equal(last_status, GYRE_ECANCELED);
        assert_int_equal(gyre_connect_cancel(req), GYRE_ENOENT);
    }
}

static void close_meanwhile_calls_the_connect_back_first(void **state)
{
    const gyre_address address = silence();

    (void)state;
    for (int turns = 0; turns < 3; turns++) {
        gyre_tcp *tcp;

        called = closed = 0;
        tcp = connecting(&address, GYRE_SECOND, NULL);
        run_turns(turns);
        gyre_close(&tcp->handle, on_closed);
        run_until(&closed, 1);
        assert_int_equal(last_status, GYRE_ECANCELED);
    }
}

static void a_thousand_connects_at_once(void **state)
{
    enum { COUNT = 1000 };
    gyre_tcp *listener = listener_new(on_connection);
    const gyre_address address = address_of(listener);

    (void)state;
    for (int i = 0; i < COUNT; i++)
        connecting(&address, 0, NULL);
    while (called < COUNT) {
        assert_true(gyre_loop_run(loop, GYRE_RUN_ONCE) >= 0);
        assert_int_equal(last_status, 0);
    }
}

static void errors_that_are_known_at_once_are_returned(void **state)
{
    gyre_tcp *tcp = lasting(sizeof(*tcp));
    gyre_connect_req *req = lasting(sizeof(*req));
    gyre_address address;

    (void)state;
    assert_int_equal(gyre_tcp_init(loop, tcp), 0);
    assert_int_equal(gyre_address_unix(&address, "@x"), 0);
    assert_int_equal(gyre_tcp_connect(tcp, req, &address, 0, on_connected), GYRE_EAFNOSUPPORT);
    assert_int_equal(gyre_address_ip(&address, NULL, 1), 0);
    gyre_close(&tcp->handle, NULL);
    assert_int_equal(gyre_tcp_connect(tcp, req, &address, 0, on_connected), GYRE_EINVAL);
    run_turns(2);
    assert_int_equal(called, 0);
}

/* ---- unix sockets ---- */

static int connect_pipe(const char *path)
{
    gyre_pipe *local = lasting(sizeof(*local));
    gyre_connect_req *req = lasting(sizeof(*req));
    const int before = called;
    int error;

    assert_int_equal(gyre_pipe_init(loop, local), 0);
    error = gyre_pipe_connect(local, req, path, 0, on_connected);
    if (error == 0) {
        run_until(&called, before + 1);
        error = last_status;
    }
    return error;
}

static void a_path_is_connected_to(void **state)
{
    char name[64];
    gyre_pipe *listener = lasting(sizeof(*listener));

    (void)state;
    (void)snprintf(name, sizeof(name), "@gyre-connect-%d", (int)getpid());
    assert_int_equal(connect_pipe(name), GYRE_ECONNREFUSED);
    assert_int_equal(gyre_pipe_init(loop, listener), 0);
    assert_int_equal(gyre_pipe_bind(listener, name), 0);
    assert_int_equal(gyre_listen(&listener->stream, 0, on_pipe), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(connect_pipe(name), 0);
}

static void paths_that_lead_nowhere_are_errors(void **state)
{
    char longest[300];

    (void)state;
    memset(longest, 'x', sizeof(longest) - 1);
    longest[0] = '/';
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(connect_pipe("/nonexistent/socket"), GYRE_ENOENT);
    assert_int_equal(connect_pipe("/dev/null/socket"), GYRE_ENOTDIR);
    assert_int_equal(connect_pipe("/dev/null"), GYRE_ECONNREFUSED);
    assert_int_equal(connect_pipe(longest), GYRE_ENAMETOOLONG);
    assert_int_equal(connect_pipe(""), GYRE_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONNECT_TEST(a_connection_is_made_and_has_its_names),
        CONNECT_TEST(connecting_twice_is_an_error),
        CONNECT_TEST(a_port_where_nobody_listens_refuses),
        CONNECT_TEST(a_deadline_ends_a_connect),
        CONNECT_TEST(a_connect_can_be_cancelled),
        CONNECT_TEST(close_meanwhile_calls_the_connect_back_first),
        CONNECT_TEST(a_thousand_connects_at_once),
        CONNECT_TEST(errors_that_are_known_at_once_are_returned),
        CONNECT_TEST(a_path_is_connected_to),
        CONNECT_TEST(paths_that_lead_nowhere_are_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
