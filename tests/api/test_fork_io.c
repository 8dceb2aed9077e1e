/*
 * The fork rule where descriptors are concerned: what a child does with its copy of the loop does
 * not touch its parent's kernel objects, and a child that lives keeps nothing of its parent open.
 */
#include "fixture.h"

#include <unistd.h>

static gyre_tcp *tcp;
static gyre_poll *watcher;
static int tcp_peer;
static int poll_peer;

static void journal_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)buf;
    journal(nread > 0 ? "read" : gyre_errname(nread));
    if (nread < 0)
        gyre_read_stop(stream);
}

static void journal_poll(gyre_poll *self, int status, uint32_t events)
{
    char bytes[64];

    assert_int_equal(status, 0);
    assert_true(events != 0);
    assert_true(read(self->fd, bytes, sizeof(bytes)) > 0);
    journal("poll");
}

/* A stream and a watcher, armed in the kernel. */
static int armed_set_up(void **state)
{
    const int error = loop_set_up(state);

    if (error != 0)
        return error;
    tcp = tcp_new("tcp", &tcp_peer);
    watcher = poll_new("poll", &poll_peer);
    if (gyre_read_start(&tcp->stream, journal_read) != 0 ||
        gyre_poll_start(watcher, GYRE_POLL_IN, journal_poll) != 0)
        return -1;
    for (int i = 0; i < 3; i++)
        gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    return 0;
}

#define ARMED_TEST(name) cmocka_unit_test_setup_teardown(name, armed_set_up, loop_tear_down)

/* The parent's stream and watcher still work, each woken from a sleep. */
static void assert_undisturbed(void)
{
    for (int i = 0; i < 3; i++) {
        assert_int_equal(write(tcp_peer, "x", 1), 1);
        gyre_loop_run(loop, GYRE_RUN_ONCE);
        assert_journal("read");
        assert_int_equal(write(poll_peer, "x", 1), 1);
        gyre_loop_run(loop, GYRE_RUN_ONCE);
        assert_journal("poll");
    }
}

static int close_in_child(void)
{
    return gyre_loop_close(loop) == 0 ? 0 : 1;
}

static void a_childs_close_does_not_touch_the_parents_set(void **state)
{
    (void)state;
    assert_int_equal(child_result(close_in_child), 0);
    assert_undisturbed();
}

static int shut_down_in_child(void)
{
    if (gyre_loop_forked(loop) != 0)
        return 1;
    return gyre_loop_shutdown(loop, 5 * GYRE_SECOND) == 0 ? 0 : 2;
}

static void a_childs_shutdown_does_not_touch_the_parents_set(void **state)
{
    (void)state;
    assert_int_equal(child_result(shut_down_in_child), 0);
    assert_undisturbed();
}

static int stop_in_child(void)
{
    if (gyre_loop_forked(loop) != 0)
        return 1;
    gyre_poll_stop(watcher);
    gyre_close(&tcp->handle, NULL);
    for (int i = 0; i < 3; i++)
        gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    return 0;
}

static void a_child_that_stops_and_closes_does_not_stop_its_parent(void **state)
{
    (void)state;
    assert_int_equal(child_result(stop_in_child), 0);
    assert_undisturbed();
}

/* ---- the child's copy works ---- */

static int calls;

static void count_poll(gyre_poll *self, int status, uint32_t events)
{
    char bytes[64];

    if (status == 0 && events != 0 && read(self->fd, bytes, sizeof(bytes)) > 0)
        calls++;
}

static void count_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    (void)buf;
    if (nread > 0)
        calls++;
}

/* A new pair in the child: what is started after gyre_loop_forked works. */
static int use_new_handles(void)
{
    gyre_poll *own;
    gyre_pipe *local;
    int peers[2];

    if (gyre_loop_forked(loop) != 0)
        return 1;
    own = poll_new("own", &peers[0]);
    local = pipe_new("pipe", &peers[1]);
    if (gyre_poll_start(own, GYRE_POLL_IN, count_poll) != 0 ||
        gyre_read_start(&local->stream, count_read) != 0)
        return 2;
    for (calls = 0; calls < 5;) {
        const int before = calls;

        if (write(peers[calls % 2], "x", 1) != 1)
            return 3;
        while (calls == before)
            if (gyre_loop_run(loop, GYRE_RUN_ONCE) < 0)
                return 4;
    }
    return gyre_loop_shutdown(loop, 5 * GYRE_SECOND) == 0 ? 0 : 5;
}

static void a_forked_loop_serves_new_handles(void **state)
{
    (void)state;
    assert_int_equal(child_result(use_new_handles), 0);
    assert_undisturbed();
}

/* ---- a child that lives keeps no connection of its parent open ---- */

typedef struct living {
    pid_t pid;
    int keeps; /* closing it ends the child */
} living;

/*
 * Forks a child that gives back the descriptors it inherited, as one that execs does by itself, and
 * lives until `keeps` is closed. The kernel's objects behind the loop's mapped memory it has still.
 */
static living live_child(bool closes_loop)
{
    living child;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    child.pid = fork();
    assert_true(child.pid >= 0);
    if (child.pid == 0) {
        char byte;

        if (closes_loop)
            (void)gyre_loop_close(loop);
        for (int fd = 3; fd < 256; fd++) {
            if (fd != ends[0])
                close(fd);
        }
        _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(ends[0]);
    child.keeps = ends[1];
    return child;
}

static void end_child(living child)
{
    close(child.keeps);
    assert_int_equal(child_wait(child.pid), 0);
}

/*
 * Waits until the peer reads the end of the stream. The child may not have closed its descriptors
 * yet, so time must pass; a test that hangs here has failed.
 */
static void assert_end_of_stream(int peer)
{
    char byte;
    ssize_t got;

    do {
        got = read(peer, &byte, 1);
    } while (got < 0);
    assert_int_equal(got, 0);
}

static void closed_connection_reaches_peer(bool child_closes_loop)
{
    const living child = live_child(child_closes_loop);

    gyre_close(&tcp->handle, journal_close);
    gyre_poll_stop(watcher);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_journal("tcp");
    assert_end_of_stream(tcp_peer);
    end_child(child);
}

static void a_closed_connection_ends_though_a_child_lives(void **state)
{
    (void)state;
    closed_connection_reaches_peer(false);
}

static void a_closed_connection_ends_though_a_child_closed_the_loop(void **state)
{
    (void)state;
    closed_connection_reaches_peer(true);
}

static void a_loop_that_is_shut_down_ends_all_though_a_child_lives(void **state)
{
    const living child = live_child(false);

    (void)state;
    assert_int_equal(gyre_loop_shutdown(loop, 5 * GYRE_SECOND), 0);
    loop = NULL;
    assert_end_of_stream(tcp_peer);
    end_child(child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARMED_TEST(a_childs_close_does_not_touch_the_parents_set),
        ARMED_TEST(a_childs_shutdown_does_not_touch_the_parents_set),
        ARMED_TEST(a_child_that_stops_and_closes_does_not_stop_its_parent),
        ARMED_TEST(a_forked_loop_serves_new_handles),
        ARMED_TEST(a_closed_connection_ends_though_a_child_lives),
        ARMED_TEST(a_closed_connection_ends_though_a_child_closed_the_loop),
        ARMED_TEST(a_loop_that_is_shut_down_ends_all_though_a_child_lives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
