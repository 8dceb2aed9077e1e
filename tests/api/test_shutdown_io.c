/*
 * gyre_loop_shutdown with 1,000 operations of all kinds in flight: they end within a second, every
 * request gets its callback once, and the kernel writes nowhere afterwards.
 */
#include "fixture.h"

#include <sys/resource.h>
#include <sys/socket.h>

enum { EACH = 250, LARGE = 1 << 20 };

static int requests;
static int ended;

static void read_never(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    (void)nread;
    (void)buf;
    fail();
}

static void poll_never(gyre_poll *watcher, int status, uint32_t events)
{
    (void)watcher;
    (void)status;
    (void)events;
    fail();
}

static void listen_never(gyre_stream *listener, int status)
{
    (void)listener;
    (void)status;
    fail();
}

static void write_ended(gyre_write_req *req, int status)
{
    int *count = req->data;

    assert_int_equal(status, GYRE_ECANCELED);
    assert_int_equal(++*count, 1);
    ended++;
}

static void start_read(int i)
{
    int peer;

    if (i % 2 == 0)
        assert_int_equal(gyre_read_start(&tcp_new("tcp", &peer)->stream, read_never), 0);
    else
        assert_int_equal(gyre_read_start(&pipe_new("pipe", &peer)->stream, read_never), 0);
}

static void start_poll(void)
{
    int peer;

    assert_int_equal(gyre_poll_start(poll_new("poll", &peer), GYRE_POLL_IN, poll_never), 0);
}

static void start_listen(void)
{
    gyre_tcp *listener = lasting(sizeof(*listener));
    gyre_address address;

    assert_int_equal(gyre_address_ip(&address, NULL, 0), 0);
    assert_int_equal(gyre_tcp_init(loop, listener), 0);
    assert_int_equal(gyre_tcp_bind(listener, &address, 0), 0);
    assert_int_equal(gyre_listen(&listener->stream, 0, listen_never), 0);
}

/* More than the socket takes: the rest waits in the kernel or for room. */
static void start_write(char *bytes)
{
    gyre_write_req *req = lasting(sizeof(*req));
    const gyre_buf buf = gyre_buf_init(bytes, LARGE);
    int peer;

    req->data = lasting(sizeof(int));
    assert_int_equal(gyre_write(&pipe_new("pipe", &peer)->stream, req, &buf, 1, write_ended), 0);
    requests++;
}

static int raise_limit(void **state)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return -1;
    limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
    return setrlimit(RLIMIT_NOFILE, &limit) != 0 ? -1 : loop_set_up(state);
}

static void a_thousand_operations_in_flight_end_within_a_second(void **state)
{
    char *bytes = lasting(LARGE);
    uint64_t start;

    (void)state;
    requests = 0;
    ended = 0;
    for (int i = 0; i < EACH; i++) {
        start_read(i);
        start_poll();
        start_listen();
        start_write(bytes);
    }
    for (int i = 0; i < 3; i++)
        gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    start = clock_ns();
    assert_int_equal(gyre_loop_shutdown(loop, GYRE_SECOND), 0);
    assert_true(clock_ns() - start < slowness() * GYRE_SECOND);
    loop = NULL;
    assert_int_equal(ended, requests);
}

static void operations_of_a_loop_that_never_ran_end_too(void **state)
{
    char *bytes = lasting(LARGE);

    (void)state;
    requests = 0;
    ended = 0;
    for (int i = 0; i < 10; i++) {
        start_read(i);
        start_poll();
        start_listen();
        start_write(bytes);
    }
    assert_int_equal(gyre_loop_shutdown(loop, GYRE_SECOND), 0);
    loop = NULL;
    assert_int_equal(ended, requests);
}

/* What peers send after the end reaches nobody's memory: ASan watches what was freed. */
static void nothing_is_received_after_the_end(void **state)
{
    int peers[16];

    (void)state;
    for (int i = 0; i < 16; i++) {
        gyre_tcp *tcp = tcp_new("tcp", &peers[i]);

        assert_int_equal(gyre_read_start(&tcp->stream, read_never), 0);
    }
    gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    assert_int_equal(gyre_loop_shutdown(loop, GYRE_SECOND), 0);
    loop = NULL;
    for (int i = 0; i < 16; i++) {
        char byte;

        assert_int_equal(recv(peers[i], &byte, 1, 0), 0);
        (void)send(peers[i], "late", 4, MSG_NOSIGNAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_thousand_operations_in_flight_end_within_a_second,
                                        raise_limit, loop_tear_down),
        LOOP_TEST(operations_of_a_loop_that_never_ran_end_too),
        LOOP_TEST(nothing_is_received_after_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
