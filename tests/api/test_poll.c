/*
 * Watchers of foreign descriptors: level-triggered, with a set that may change at any time, and
 * nothing of the descriptor left in the loop once the watcher was stopped.
 */
#include "peers.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static int called;
static int closed;
static uint32_t last_events;
static int reads;

static int set_up(void **state)
{
    called = closed = reads = 0;
    last_events = 0;
    return loop_set_up(state);
}

#define POLL_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, loop_tear_down)

static void count_close(gyre_handle *handle)
{
    (void)handle;
    closed++;
}

static void note(gyre_poll *watcher, int status, uint32_t events)
{
    (void)watcher;
    assert_int_equal(status, 0);
    assert_int_not_equal(events, 0);
    last_events = events;
    called++;
}

static void never(gyre_poll *watcher, int status, uint32_t events)
{
    (void)watcher;
    (void)status;
    (void)events;
    fail();
}

/* A watcher of a descriptor that the test closes itself. */
static gyre_poll *watch(int fd, uint32_t events, gyre_poll_cb cb)
{
    gyre_poll *watcher = lasting(sizeof(*watcher));

    assert_int_equal(gyre_poll_init(loop, watcher, fd), 0);
    assert_int_equal(gyre_poll_start(watcher, events, cb), 0);
    return watcher;
}

/* ---- levels ---- */

static void a_level_is_told_in_each_turn_until_it_falls(void **state)
{
    int peer;
    char byte;
    gyre_poll *watcher = poll_new("watcher", &peer);

    (void)state;
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, note), 0);
    run_turns(3);
    assert_int_equal(called, 0);
    peer_send(peer, "xy", 2);
    for (int i = 1; i <= 5; i++) {
        run_until(&called, i);
        assert_int_equal(last_events, GYRE_POLL_IN);
    }
    assert_int_equal(recv(watcher->fd, &byte, 1, 0), 1);
    run_until(&called, 6);
    assert_int_equal(recv(watcher->fd, &byte, 1, 0), 1);
    run_turns(3);
    assert_int_equal(called, 6);
}

static void room_to_write_is_told_until_it_is_used_up(void **state)
{
    char bytes[4096];
    int peer;
    gyre_poll *watcher = poll_new("watcher", &peer);

    (void)state;
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_OUT, note), 0);
    run_until(&called, 1);
    run_until(&called, 2);
    assert_int_equal(last_events, GYRE_POLL_OUT);
    (void)fill(watcher->fd);
    run_turns(3);
    assert_int_equal(called, 2);
    while (recv(peer, bytes, sizeof(bytes), 0) > 0)
        continue;
    run_until(&called, 3);
}

static void both_directions_come_in_one_call(void **state)
{
    int peer;
    gyre_poll *watcher = poll_new("watcher", &peer);

    (void)state;
    peer_send(peer, "x", 1);
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN | GYRE_POLL_OUT, note), 0);
    run_until(&called, 1);
    assert_int_equal(last_events, GYRE_POLL_IN | GYRE_POLL_OUT);
}

static void urgent_bytes_are_their_own_event(void **state)
{
    int fds[2];
    gyre_poll *watcher;

    (void)state;
    tcp_pair(fds);
    watcher = watch(lasting_fd(fds[0]), GYRE_POLL_PRI, note);
    peer_send(lasting_fd(fds[1]), "x", 1);
    run_turns(3);
    assert_int_equal(called, 0);
    assert_int_equal(send(fds[1], "!", 1, MSG_OOB), 1);
    run_until(&called, 1);
    assert_int_equal(last_events, GYRE_POLL_PRI);
    gyre_poll_stop(watcher);
}

/* ---- ends ---- */

static void a_half_that_is_shut_is_told_to_who_asks(void **state)
{
    int fds[2];
    gyre_poll *watcher;

    (void)state;
    tcp_pair(fds);
    watcher = watch(lasting_fd(fds[0]), GYRE_POLL_RDHUP, note);
    run_turns(2);
    assert_int_equal(shutdown(lasting_fd(fds[1]), SHUT_WR), 0);
    run_until(&called, 1);
    assert_int_equal(last_events, GYRE_POLL_RDHUP);
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, note), 0);
    run_until(&called, 2);
    assert_int_equal(last_events, GYRE_POLL_IN);
}

static void a_hang_up_is_told_unasked(void **state)
{
    int fds[2];

    (void)state;
    unix_pair(fds);
    (void)fill(fds[0]);
    watch(lasting_fd(fds[0]), GYRE_POLL_OUT, note);
    run_turns(2);
    assert_int_equal(called, 0);
    close(fds[1]);
    run_until(&called, 1);
    assert_true((last_events & GYRE_POLL_HUP) != 0);
    assert_int_equal(last_events & (GYRE_POLL_IN | GYRE_POLL_RDHUP), 0);
    run_until(&called, 2);
}

static void a_reset_is_an_error_told_unasked(void **state)
{
    const struct linger at_once = {.l_onoff = 1};
    int fds[2];

    (void)state;
    tcp_pair(fds);
    watch(lasting_fd(fds[0]), GYRE_POLL_PRI, note);
    run_turns(2);
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    close(fds[1]);
    run_until(&called, 1);
    assert_true((last_events & GYRE_POLL_ERR) != 0);
    assert_int_equal(last_events & (GYRE_POLL_IN | GYRE_POLL_OUT | GYRE_POLL_RDHUP), 0);
}

/* ---- the set ---- */

static void turn_to_writing(gyre_poll *watcher, int status, uint32_t events)
{
    assert_int_equal(status, 0);
    assert_int_equal(events, GYRE_POLL_IN);
    reads++;
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_OUT, note), 0);
}

static void a_set_that_is_changed_in_the_callback_holds_from_then_on(void **state)
{
    int peer;
    gyre_poll *watcher = poll_new("watcher", &peer);

    (void)state;
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, turn_to_writing), 0);
    run_turns(2);
    peer_send(peer, "x", 1);
    run_until(&reads, 1);
    run_until(&called, 1);
    assert_int_equal(last_events, GYRE_POLL_OUT);
    run_turns(2);
    assert_int_equal(reads, 1);
    /* And back: the byte is still there. */
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, turn_to_writing), 0);
    run_until(&reads, 2);
}

static void a_set_that_is_changed_outside_holds_in_the_next_turn(void **state)
{
    int peer;
    gyre_poll *watcher = poll_new("watcher", &peer);

    (void)state;
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, never), 0);
    run_turns(2);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_OUT, never), 0);
        assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, note), 0);
    }
    run_turns(2);
    assert_int_equal(called, 0);
    peer_send(peer, "x", 1);
    run_until(&called, 1);
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_OUT, note), 0);
    run_until(&called, 2);
    assert_int_equal(last_events, GYRE_POLL_OUT);
}

static void narrow_sibling(gyre_poll *watcher, int status, uint32_t events)
{
    note(watcher, status, events);
    gyre_poll_stop(watcher);
    assert_int_equal(gyre_poll_start(watcher->data, GYRE_POLL_IN, note), 0);
}

/* The sibling's event may have been fetched already: it was for a set that holds no more. */
static void an_event_that_is_not_wanted_any_more_is_not_told(void **state)
{
    int fds[2];
    gyre_poll *first;
    gyre_poll *second;

    (void)state;
    unix_pair(fds);
    lasting_fd(fds[0]);
    lasting_fd(fds[1]);
    first = watch(fds[0], GYRE_POLL_OUT, narrow_sibling);
    second = watch(fds[1], GYRE_POLL_OUT, narrow_sibling);
    first->data = second;
    second->data = first;
    run_until(&called, 1);
    run_turns(4);
    assert_int_equal(called, 1);
}

/* ---- stopping ---- */

static void stop_self(gyre_poll *watcher, int status, uint32_t events)
{
    note(watcher, status, events);
    gyre_poll_stop(watcher);
}

static void close_self(gyre_poll *watcher, int status, uint32_t events)
{
    note(watcher, status, events);
    gyre_close(&watcher->handle, count_close);
}

static void a_watcher_stops_and_starts_and_closes_in_its_callback(void **state)
{
    int peer;
    gyre_poll *watcher = poll_new("watcher", &peer);

    (void)state;
    peer_send(peer, "x", 1);
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, stop_self), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(called, 1);
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, close_self), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(called, 2);
    assert_int_equal(closed, 1);
}

static void stop_start_stop_in_one_turn(void **state)
{
    int peer;
    gyre_poll *watcher = poll_new("watcher", &peer);

    (void)state;
    peer_send(peer, "x", 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, never), 0);
        gyre_poll_stop(watcher);
        gyre_poll_stop(watcher);
    }
    run_turns(3);
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, never), 0);
    gyre_poll_stop(watcher);
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, note), 0);
    run_until(&called, 1);
}

/* ---- the owner closes ---- */

static void the_owner_closes_right_after_stop_and_the_peer_gets_its_end(void **state)
{
    (void)state;
    for (int turns = 0; turns < 3; turns++) {
        gyre_poll *watcher;
        int fds[2];

        tcp_pair(fds);
        watcher = watch(fds[0], GYRE_POLL_IN, never);
        run_turns(turns);
        gyre_poll_stop(watcher);
        close(fds[0]);
        assert_true(peer_is_at_end(lasting_fd(fds[1])));
        gyre_close(&watcher->handle, NULL);
    }
}

static void stop_and_close_fd(gyre_poll *watcher, int status, uint32_t events)
{
    const int *peer = watcher->data;
    char byte;

    note(watcher, status, events);
    assert_int_equal(recv(watcher->fd, &byte, 1, 0), 1);
    gyre_poll_stop(watcher);
    close(watcher->fd);
    assert_true(peer_is_at_end(*peer));
    gyre_close(&watcher->handle, count_close);
}

static void the_owner_closes_in_the_callback(void **state)
{
    gyre_poll *watcher;
    int fds[2];

    (void)state;
    tcp_pair(fds);
    watcher = watch(fds[0], GYRE_POLL_IN, stop_and_close_fd);
    watcher->data = &fds[1];
    run_turns(1);
    peer_send(lasting_fd(fds[1]), "x", 1);
    run_until(&closed, 1);
    assert_int_equal(called, 1);
}

/* Without SO_REUSEADDR: whoever still held the socket would have its port. */
static void a_watched_listener_frees_its_port_at_once(void **state)
{
    (void)state;
    for (int turns = 0; turns < 3; turns++) {
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        const int again = lasting_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        gyre_address address;
        gyre_poll *watcher;
        socklen_t len;

        assert_int_equal(gyre_address_ip(&address, NULL, 0), 0);
        len = address.len;
        assert_int_equal(bind(fd, &address.u.any, len), 0);
        assert_int_equal(listen(fd, 5), 0);
        assert_int_equal(getsockname(fd, &address.u.any, &len), 0);
        watcher = watch(fd, GYRE_POLL_IN, never);
        run_turns(turns);
        gyre_poll_stop(watcher);
        close(fd);
        assert_int_equal(bind(again, &address.u.any, len), 0);
        assert_int_equal(listen(again, 5), 0);
        gyre_close(&watcher->handle, NULL);
    }
}

static void count_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    (void)buf;
    assert_int_equal(nread, 1);
    reads++;
}

/*
 * The number of a stopped watcher belongs to a stream of the loop by now: to stop the watcher again
 * and to close it must not concern the stream.
 */
static void a_stopped_watcher_leaves_the_next_owner_of_its_number_alone(void **state)
{
    gyre_pipe *local = lasting(sizeof(*local));
    gyre_poll *watcher;
    int number;
    int old[2];
    int fds[2];

    (void)state;
    unix_pair(old);
    number = old[0];
    watcher = watch(number, GYRE_POLL_IN, never);
    run_turns(1);
    gyre_poll_stop(watcher);
    close(number);
    unix_pair(fds);
    assert_int_equal(fds[0], number);
    assert_int_equal(gyre_pipe_init(loop, local), 0);
    assert_int_equal(gyre_pipe_open(local, fds[0]), 0);
    assert_int_equal(gyre_read_start(&local->stream, count_read), 0);
    run_turns(1);
    gyre_poll_stop(watcher);
    peer_send(lasting_fd(fds[1]), "x", 1);
    run_until(&reads, 1);
    gyre_close(&watcher->handle, count_close);
    run_until(&closed, 1);
    peer_send(fds[1], "x", 1);
    run_until(&reads, 2);
    lasting_fd(old[1]);
}

static int turns;

static void count_turn(gyre_hook *hook)
{
    (void)hook;
    turns++;
}

static void stop_loop(gyre_timer *timer)
{
    (void)timer;
    gyre_loop_stop(loop);
}

/*
 * The file lives on under another number, so that closing the watched one tells the kernel nothing:
 * what happens to it neither wakes the loop nor concerns who has the number next.
 */
static void a_duplicate_of_what_was_watched_wakes_nobody(void **state)
{
    gyre_hook *hook = hook_new("hook", GYRE_HOOK_PREPARE);
    gyre_timer *timer = timer_new("timer");
    gyre_poll *watcher;
    int number;
    int old[2];
    int fds[2];

    (void)state;
    unix_pair(old);
    number = old[0];
    lasting_fd(dup(number));
    watcher = watch(number, GYRE_POLL_IN, never);
    run_turns(2);
    gyre_poll_stop(watcher);
    gyre_close(&watcher->handle, NULL);
    close(number);
    unix_pair(fds);
    assert_int_equal(lasting_fd(fds[0]), number);
    lasting_fd(fds[1]);
    watch(number, GYRE_POLL_IN, never);
    peer_send(lasting_fd(old[1]), "x", 1);
    turns = 0;
    gyre_hook_start(hook, count_turn);
    gyre_timer_start(timer, 20 * GYRE_MILLISECOND, 0, stop_loop);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 1);
    assert_in_range(turns, 1, 5);
}

/* ---- what cannot be watched ---- */

static void files_and_directories_cannot_be_watched(void **state)
{
    gyre_poll *watcher = lasting(sizeof(*watcher));

    (void)state;
    assert_int_equal(gyre_poll_init(loop, watcher, lasting_fd(open("/", O_RDONLY | O_CLOEXEC))),
                     GYRE_EPERM);
    assert_int_equal(
        gyre_poll_init(loop, watcher, lasting_fd(open("/etc/passwd", O_RDONLY | O_CLOEXEC))),
        GYRE_EPERM);
    assert_int_equal(gyre_poll_init(loop, watcher, -1), GYRE_EBADF);
    assert_int_equal(gyre_poll_init(loop, watcher, 1 << 19), GYRE_EBADF);
    assert_int_equal(gyre_loop_handle_count(loop), 0);
}

static void one_descriptor_has_one_watcher(void **state)
{
    gyre_poll *second = lasting(sizeof(*second));
    int peer;
    gyre_poll *watcher = poll_new("watcher", &peer);
    const int fd = watcher->fd;

    (void)state;
    assert_int_equal(gyre_poll_init(loop, second, fd), GYRE_EEXIST);
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_OUT, never), 0);
    gyre_close(&watcher->handle, count_close);
    assert_int_equal(gyre_poll_init(loop, second, fd), 0);
    assert_int_equal(gyre_poll_start(second, GYRE_POLL_OUT, note), 0);
    run_until(&called, 1);
    assert_int_equal(closed, 1);
}

static void sets_that_mean_nothing_are_errors(void **state)
{
    int peer;
    gyre_poll *watcher = poll_new("watcher", &peer);

    (void)state;
    assert_int_equal(gyre_poll_start(watcher, 0, never), GYRE_EINVAL);
    assert_int_equal(gyre_poll_start(watcher, 64, never), GYRE_EINVAL);
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN | 1U << 31, never), GYRE_EINVAL);
    assert_int_equal(gyre_is_active(&watcher->handle), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
}

static void a_descriptor_that_was_closed_cannot_be_started(void **state)
{
    gyre_poll *watcher = lasting(sizeof(*watcher));
    int fds[2];

    (void)state;
    unix_pair(fds);
    assert_int_equal(gyre_poll_init(loop, watcher, fds[0]), 0);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(gyre_poll_start(watcher, GYRE_POLL_IN, never), GYRE_EBADF);
    assert_int_equal(gyre_is_active(&watcher->handle), 0);
}

static void the_descriptors_flags_are_left_alone(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    watch(lasting_fd(fds[0]), GYRE_POLL_OUT, note);
    run_until(&called, 1);
    assert_int_equal(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fcntl(lasting_fd(fds[1]), F_GETFD), 0);
    assert_int_equal(fcntl(fds[0], F_GETFD), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POLL_TEST(a_level_is_told_in_each_turn_until_it_falls),
        POLL_TEST(room_to_write_is_told_until_it_is_used_up),
        POLL_TEST(both_directions_come_in_one_call),
        POLL_TEST(urgent_bytes_are_their_own_event),
        POLL_TEST(a_half_that_is_shut_is_told_to_who_asks),
        POLL_TEST(a_hang_up_is_told_unasked),
        POLL_TEST(a_reset_is_an_error_told_unasked),
        POLL_TEST(a_set_that_is_changed_in_the_callback_holds_from_then_on),
        POLL_TEST(a_set_that_is_changed_outside_holds_in_the_next_turn),
        POLL_TEST(an_event_that_is_not_wanted_any_more_is_not_told),
        POLL_TEST(a_watcher_stops_and_starts_and_closes_in_its_callback),
        POLL_TEST(stop_start_stop_in_one_turn),
        POLL_TEST(the_owner_closes_right_after_stop_and_the_peer_gets_its_end),
        POLL_TEST(the_owner_closes_in_the_callback),
        POLL_TEST(a_watched_listener_frees_its_port_at_once),
        POLL_TEST(a_stopped_watcher_leaves_the_next_owner_of_its_number_alone),
        POLL_TEST(a_duplicate_of_what_was_watched_wakes_nobody),
        POLL_TEST(files_and_directories_cannot_be_watched),
        POLL_TEST(one_descriptor_has_one_watcher),
        POLL_TEST(sets_that_mean_nothing_are_errors),
        POLL_TEST(a_descriptor_that_was_closed_cannot_be_started),
        POLL_TEST(the_descriptors_flags_are_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
