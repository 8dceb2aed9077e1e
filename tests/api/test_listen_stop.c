/*
 * Taking the accept back: no connection of a shared socket is lost, and the end is told once.
 */
#include "peers.h"

#include <string.h>
#include <unistd.h>

enum { COUNT = 100 };

static gyre_tcp *clients[COUNT];
static gyre_tcp *first;
static int accepted;
static int by_first;
static int echoed;
static int stopped;
static int stop_after;

static int set_up(void **state)
{
    accepted = by_first = echoed = stopped = 0;
    stop_after = 1;
    first = NULL;
    return loop_set_up(state);
}

#define STOP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, loop_tear_down)

static void echo(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    assert_true(nread > 0);
    assert_int_equal(gyre_write_copy(stream, buf->base, (size_t)nread), 0);
    echoed++;
}

static void take(gyre_stream *listener)
{
    gyre_tcp *client = lasting(sizeof(*client));

    assert_int_equal(gyre_accept(listener, &client->stream), 0);
    assert_true(accepted < COUNT);
    clients[accepted++] = client;
    assert_int_equal(gyre_read_start(&client->stream, echo), 0);
}

static void accept_and_stop(gyre_stream *listener, int status)
{
    if (status == GYRE_ECANCELED) {
        stopped++;
        return;
    }
    assert_int_equal(status, 0);
    assert_int_equal(stopped, 0);
    take(listener);
    if (++by_first == stop_after)
        assert_int_equal(gyre_listen_stop(listener), 0);
}

static void accept_all(gyre_stream *listener, int status)
{
    assert_int_equal(status, 0);
    take(listener);
}

static void hold(gyre_stream *listener, int status)
{
    (void)listener;
    if (status == GYRE_ECANCELED)
        stopped++;
    else
        accepted++;
}

static gyre_tcp *second_of(const gyre_tcp *listener)
{
    gyre_tcp *second = lasting(sizeof(*second));
    const int fd = dup(gyre_stream_fd(&listener->stream));

    assert_true(fd >= 0);
    assert_int_equal(gyre_tcp_init(loop, second), 0);
    assert_int_equal(gyre_tcp_open(second, fd), 0);
    return second;
}

/* What two workers of a reload do: the one stops in the middle of a burst, the other one begins. */
static void another_one_goes_on_without_a_loss(void **state)
{
    gyre_tcp *listener = listener_new(accept_and_stop);
    gyre_tcp *second = second_of(listener);
    int peers[COUNT];

    (void)state;
    stop_after = 3;
    for (int i = 0; i < COUNT / 2; i++)
        peers[i] = peer_connect(listener);
    run_until(&stopped, 1);
    assert_true(accepted >= 3);
    assert_false(gyre_is_active(&listener->handle));
    gyre_close(&listener->handle, NULL);
    for (int i = COUNT / 2; i < COUNT; i++)
        peers[i] = peer_connect(second);
    assert_int_equal(gyre_listen(&second->stream, 0, accept_all), 0);
    run_until(&accepted, COUNT);
    for (int i = 0; i < COUNT; i++)
        peer_send(peers[i], "x", 1);
    run_until(&echoed, COUNT);
    assert_int_equal(stopped, 1);
}

/* What was accepted is the user's to take: the end is told after it. */
static void a_connection_that_is_not_taken_comes_before_the_end(void **state)
{
    gyre_tcp *listener = listener_new(hold);

    (void)state;
    peer_connect(listener);
    run_until(&accepted, 1);
    assert_int_equal(gyre_listen_stop(&listener->stream), 0);
    run_turns(5);
    assert_int_equal(stopped, 0);
    accepted = 0;
    take(&listener->stream);
    run_until(&stopped, 1);
}

static void it_is_never_told_from_inside_the_call(void **state)
{
    gyre_tcp *listener = listener_new(hold);

    (void)state;
    run_turns(3);
    assert_int_equal(gyre_listen_stop(&listener->stream), 0);
    assert_int_equal(stopped, 0);
    assert_int_equal(gyre_listen_stop(&listener->stream), GYRE_EALREADY);
    assert_int_equal(gyre_listen(&listener->stream, 0, hold), GYRE_EALREADY);
    run_until(&stopped, 1);
    assert_int_equal(gyre_listen_stop(&listener->stream), GYRE_EINVAL);
    assert_int_equal(gyre_listen(&listener->stream, 0, accept_all), 0);
    peer_connect(listener);
    run_until(&accepted, 1);
    assert_int_equal(stopped, 1);
}

static void stop_and_run_turns(gyre_stream *listener, int status)
{
    if (status == GYRE_ECANCELED) {
        stopped++;
        return;
    }
    assert_int_equal(stopped, 0);
    take(listener);
    assert_int_equal(gyre_listen_stop(listener), 0);
    run_until(&stopped, 1);
}

/* The end may be told inside the callback of a connection, by a turn of its own. */
static void it_may_be_told_in_a_nested_turn(void **state)
{
    gyre_tcp *listener = listener_new(stop_and_run_turns);

    (void)state;
    peer_connect(listener);
    run_until(&accepted, 1);
    peer_connect(listener);
    run_turns(5);
    assert_int_equal(accepted, 1);
    assert_int_equal(stopped, 1);
    assert_false(gyre_is_active(&listener->handle));
    assert_int_equal(gyre_listen(&listener->stream, 0, accept_all), 0);
    run_until(&accepted, 2);
}

static void a_close_comes_instead(void **state)
{
    gyre_tcp *listener = listener_new(hold);

    (void)state;
    run_turns(3);
    assert_int_equal(gyre_listen_stop(&listener->stream), 0);
    gyre_close(&listener->handle, NULL);
    assert_int_equal(gyre_listen_stop(&listener->stream), GYRE_EINVAL);
    run_turns(5);
    assert_int_equal(stopped, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STOP_TEST(another_one_goes_on_without_a_loss),
        STOP_TEST(a_connection_that_is_not_taken_comes_before_the_end),
        STOP_TEST(it_is_never_told_from_inside_the_call),
        STOP_TEST(it_may_be_told_in_a_nested_turn),
        STOP_TEST(a_close_comes_instead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
