/*
 * Moving a connection from one loop to another: not a byte is lost or comes out of order, in either
 * direction, whatever is in flight when it leaves; and the loop that it left knows nothing of it.
 */
#include "peers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LARGE = 4 << 20, ROOM = 1 << 16 };

static gyre_loop *other;
static gyre_detached detached;
static int detach_count;
static int detach_status;
static int closed;
static int written;
static int last_written;
static char got[ROOM];
static size_t got_len;
static int64_t got_end;

static int set_up(void **state)
{
    int error = loop_set_up(state);

    detach_count = closed = written = last_written = 0;
    detach_status = 1;
    got_len = 0;
    got_end = 0;
    if (error == 0)
        error = gyre_loop_init(&other, NULL);
    return error;
}

static int tear_down(void **state)
{
    const int error = gyre_loop_shutdown(other, 20 * GYRE_SECOND);

    return error != 0 ? error : loop_tear_down(state);
}

#define MOVE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* ---- callbacks ---- */

static void on_closed(gyre_handle *handle)
{
    (void)handle;
    closed++;
}

static void on_detached(gyre_detached *moving, int status)
{
    assert_ptr_equal(moving, &detached);
    assert_int_equal(closed, 0);
    detach_status = status;
    detach_count++;
}

static void on_written(gyre_write_req *req, int status)
{
    (void)req;
    assert_int_equal(detach_count, 0);
    last_written = status;
    written++;
}

static void collect(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    if (nread < 0) {
        got_end = nread;
        return;
    }
    assert_true(got_len + buf->len <= ROOM);
    memcpy(got + got_len, buf->base, buf->len);
    got_len += buf->len;
}

static void never(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    (void)nread;
    (void)buf;
    fail();
}

/* ---- both loops ---- */

static void turn(void)
{
    assert_true(gyre_loop_run(loop, GYRE_RUN_NOWAIT) >= 0);
    assert_true(gyre_loop_run(other, GYRE_RUN_NOWAIT) >= 0);
}

static void until_detached(int count)
{
    while (detach_count < count)
        turn();
    assert_int_equal(detach_count, count);
}

static void until_closed(void)
{
    while (closed == 0)
        turn();
    assert_int_equal(closed, 1);
}

static void until_received(const char *expected)
{
    while (got_len < strlen(expected) && got_end == 0)
        turn();
    assert_int_equal(got_len, strlen(expected));
    assert_memory_equal(got, expected, got_len);
}

static gyre_tcp *tcp_empty(gyre_loop *of)
{
    gyre_tcp *tcp = lasting(sizeof(*tcp));

    assert_int_equal(gyre_tcp_init(of, tcp), 0);
    return tcp;
}

static gyre_stream *detach(gyre_stream *stream)
{
    detach_count = 0;
    assert_int_equal(gyre_stream_detach(stream, &detached, on_detached), 0);
    assert_int_equal(detach_count, 0);
    return stream;
}

static void attach(gyre_stream *stream)
{
    assert_int_equal(gyre_stream_attach(stream, &detached), 0);
    assert_int_equal(detached.fd, -1);
    assert_null(detached.unread);
}

/* Takes the connection to a new stream of `to`. */
static gyre_stream *move(gyre_stream *stream, gyre_loop *to)
{
    gyre_stream *moved = &tcp_empty(to)->stream;

    detach(stream);
    until_detached(1);
    assert_int_equal(detach_status, 0);
    attach(moved);
    return moved;
}

/* Bytes that a stream has received and not delivered, as a paused receive leaves them. */
static void put_unread(const char *bytes)
{
    char *copy = strdup(bytes);

    assert_null(detached.unread);
    assert_non_null(copy);
    detached.unread = copy;
    detached.unread_bytes = strlen(bytes);
}

/* ---- bytes ---- */

static void a_moved_connection_goes_on_in_the_other_loop(void **state)
{
    char reply[8];
    size_t len = 0;
    int peer;
    gyre_tcp *tcp = tcp_new("moved", &peer);
    gyre_stream *moved;

    (void)state;
    assert_int_equal(gyre_read_start(&tcp->stream, collect), 0);
    peer_send(peer, "one", 3);
    until_received("one");
    moved = move(&tcp->stream, other);
    assert_int_equal(gyre_stream_fd(&tcp->stream), GYRE_EBADF);
    assert_int_equal(gyre_read_start(moved, collect), 0);
    peer_send(peer, "two", 3);
    until_received("onetwo");
    assert_int_equal(gyre_write_copy(moved, "reply", 5), 0);
    while (len < 5) {
        turn();
        len += peer_receive(peer, reply + len, sizeof(reply) - len);
    }
    assert_memory_equal(reply, "reply", 5);
    gyre_close(&moved->handle, on_closed);
    until_closed();
    assert_true(peer_is_at_end(peer));
}

static void a_unix_connection_moves_too(void **state)
{
    int peer;
    gyre_pipe *from = pipe_new("moved", &peer);
    gyre_pipe *to = lasting(sizeof(*to));

    (void)state;
    assert_int_equal(gyre_pipe_init(other, to), 0);
    assert_int_equal(gyre_read_start(&from->stream, never), 0);
    turn();
    detach(&from->stream);
    until_detached(1);
    peer_send(peer, "hello", 5);
    assert_int_equal(gyre_stream_attach(&tcp_empty(other)->stream, &detached), GYRE_EINVAL);
    attach(&to->stream);
    assert_int_equal(gyre_read_start(&to->stream, collect), 0);
    until_received("hello");
}

/* Sent before, while and after the connection is under way; on io_uring some was received here. */
static void bytes_that_come_meanwhile_are_read_in_order(void **state)
{
    int peer;
    gyre_stream *stream = &tcp_new("moved", &peer)->stream;

    (void)state;
    for (int turns = 0; turns < 4; turns++) {
        gyre_loop *to = gyre_handle_loop(&stream->handle) == loop ? other : loop;

        got_len = 0;
        assert_int_equal(gyre_read_start(stream, never), 0);
        for (int i = 0; i < turns; i++)
            turn();
        peer_send(peer, "a", 1);
        detach(stream);
        peer_send(peer, "b", 1);
        until_detached(1);
        peer_send(peer, "c", 1);
        stream = &tcp_empty(to)->stream;
        attach(stream);
        peer_send(peer, "d", 1);
        assert_int_equal(gyre_read_start(stream, collect), 0);
        peer_send(peer, "e", 1);
        until_received("abcde");
        gyre_read_stop(stream);
    }
}

static gyre_stream *pair[2];

static void detach_the_other(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    assert_int_equal(nread, 5);
    assert_memory_equal(buf->base, "bytes", 5);
    detach(pair[stream == pair[0] ? 1 : 0]);
}

/* Both have bytes in the same turn: on io_uring those of the second were received already. */
static void bytes_that_were_received_already_move_too(void **state)
{
    gyre_stream *moved = &tcp_empty(other)->stream;
    int peers[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        pair[i] = &tcp_new("one of two", &peers[i])->stream;
        assert_int_equal(gyre_read_start(pair[i], detach_the_other), 0);
    }
    turn();
    for (int i = 0; i < 2; i++)
        peer_send(peers[i], "bytes", 5);
    until_detached(1);
    if (backend_is("uring"))
        assert_int_equal(detached.unread_bytes, 5);
    attach(moved);
    assert_int_equal(gyre_read_start(moved, collect), 0);
    until_received("bytes");
}

static void unread_bytes_come_first(void **state)
{
    int peer;
    gyre_stream *stream = &tcp_new("moved", &peer)->stream;

    (void)state;
    detach(stream);
    until_detached(1);
    peer_send(peer, "late", 4);
    put_unread("early, ");
    attach(stream);
    /* and again, without a read between */
    stream = move(stream, other);
    assert_int_equal(gyre_read_start(stream, collect), 0);
    assert_int_equal(got_len, 0);
    until_received("early, late");
}

static void the_end_of_stream_moves_too(void **state)
{
    int peer;
    gyre_stream *stream = &tcp_new("moved", &peer)->stream;

    (void)state;
    assert_int_equal(gyre_read_start(stream, never), 0);
    turn();
    peer_send(peer, "last", 4);
    shutdown(peer, SHUT_WR);
    stream = move(stream, other);
    assert_int_equal(gyre_read_start(stream, collect), 0);
    until_received("last");
    while (got_end == 0)
        turn();
    assert_int_equal(got_end, GYRE_EOF);
    stream = move(stream, loop);
    assert_int_equal(gyre_read_start(stream, collect), GYRE_EOF);
    assert_int_equal(gyre_write_copy(stream, "x", 1), 0);
}

static void a_stream_that_was_shut_down_stays_so(void **state)
{
    int peer;
    gyre_stream *stream = &tcp_new("moved", &peer)->stream;
    gyre_write_req *req = lasting(sizeof(*req));

    (void)state;
    assert_int_equal(gyre_shutdown(stream, req, on_written), 0);
    stream = move(stream, other);
    assert_int_equal(written, 1);
    assert_true(peer_is_at_end(peer));
    assert_int_equal(gyre_write_copy(stream, "x", 1), GYRE_ESHUTDOWN);
    peer_send(peer, "still", 5);
    assert_int_equal(gyre_read_start(stream, collect), 0);
    until_received("still");
}

/* ---- writes ---- */

static void queued_writes_are_sent_before_it_leaves(void **state)
{
    char *bytes = lasting(LARGE);
    char *arrived = lasting(LARGE + 1);
    size_t len = 0;
    int peer;
    gyre_stream *stream = &tcp_new("moved", &peer)->stream;
    gyre_write_req *req = lasting(sizeof(*req));
    const gyre_buf buf = gyre_buf_init(bytes, LARGE);

    (void)state;
    for (size_t i = 0; i < LARGE; i++)
        bytes[i] = (char)(i * 7 / 5);
    assert_int_equal(gyre_write(stream, req, &buf, 1, on_written), 0);
    detach(stream);
    for (int i = 0; i < 10; i++)
        turn();
    assert_int_equal(detach_count, 0);
    assert_true(gyre_queued_bytes(stream) > 0);
    while (detach_count == 0) {
        len += peer_receive(peer, arrived + len, LARGE - len);
        turn();
    }
    assert_int_equal(detach_status, 0);
    assert_int_equal(written, 1);
    assert_int_equal(last_written, 0);
    stream = &tcp_empty(other)->stream;
    attach(stream);
    assert_int_equal(gyre_write_copy(stream, "!", 1), 0);
    while (len < LARGE + 1) {
        turn();
        len += peer_receive(peer, arrived + len, LARGE + 1 - len);
    }
    assert_memory_equal(arrived, bytes, LARGE);
    assert_int_equal(arrived[LARGE], '!');
}

static void reply_and_detach(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    assert_int_equal(nread, 3);
    assert_memory_equal(buf->base, "one", 3);
    assert_int_equal(gyre_write_copy(stream, "reply", 5), 0);
    detach(stream);
    assert_int_equal(gyre_write_copy(stream, "late", 4), GYRE_EINVAL);
}

static void a_read_callback_may_reply_and_let_go(void **state)
{
    char reply[8];
    int peer;
    gyre_stream *stream = &tcp_new("moved", &peer)->stream;

    (void)state;
    assert_int_equal(gyre_read_start(stream, reply_and_detach), 0);
    peer_send(peer, "one", 3);
    until_detached(1);
    assert_int_equal(detach_status, 0);
    assert_int_equal(peer_receive(peer, reply, sizeof(reply)), 5);
    assert_memory_equal(reply, "reply", 5);
    peer_send(peer, "two", 3);
    stream = &tcp_empty(other)->stream;
    attach(stream);
    assert_int_equal(gyre_read_start(stream, collect), 0);
    until_received("two");
}

/* ---- what is not possible ---- */

static void a_stream_that_leaves_takes_no_calls(void **state)
{
    gyre_detached second = {.fd = -1};
    int peer;
    gyre_stream *stream = &tcp_new("moved", &peer)->stream;
    gyre_write_req *req = lasting(sizeof(*req));

    (void)state;
    assert_int_equal(gyre_read_start(stream, never), 0);
    turn();
    detach(stream);
    assert_int_equal(gyre_read_start(stream, never), GYRE_EINVAL);
    assert_int_equal(gyre_write_copy(stream, "x", 1), GYRE_EINVAL);
    assert_int_equal(gyre_write(stream, req, NULL, 0, NULL), GYRE_EINVAL);
    assert_int_equal(gyre_shutdown(stream, req, NULL), GYRE_EINVAL);
    assert_int_equal(gyre_stream_detach(stream, &second, on_detached), GYRE_EALREADY);
    gyre_read_stop(stream);
    until_detached(1);
    assert_int_equal(gyre_read_start(stream, never), GYRE_ENOTCONN);
    assert_int_equal(gyre_write_copy(stream, "x", 1), GYRE_ENOTCONN);
    assert_int_equal(gyre_stream_detach(stream, &second, on_detached), GYRE_ENOTCONN);
    gyre_detached_close(&detached);
    gyre_detached_close(&detached);
    assert_true(peer_is_at_end(peer));
}

static void what_has_no_connection_cannot_leave(void **state)
{
    int peer;
    gyre_stream *taken = &tcp_new("taken", &peer)->stream;
    gyre_stream *stream = &tcp_empty(loop)->stream;

    (void)state;
    assert_int_equal(gyre_stream_detach(stream, &detached, on_detached), GYRE_ENOTCONN);
    detach(&tcp_new("moved", &peer)->stream);
    until_detached(1);
    assert_int_equal(gyre_stream_attach(taken, &detached), GYRE_EBUSY);
    gyre_close(&stream->handle, on_closed);
    assert_int_equal(gyre_stream_attach(stream, &detached), GYRE_EINVAL);
    assert_int_equal(gyre_stream_detach(stream, &detached, on_detached), GYRE_EINVAL);
    gyre_stream_finish(taken, NULL);
    gyre_detached_close(&detached);
}

static void closing_ends_the_move(void **state)
{
    (void)state;
    for (int turns = 0; turns < 3; turns++) {
        int peer;
        gyre_stream *stream = &tcp_new("closed", &peer)->stream;
        gyre_write_req *req = lasting(sizeof(*req));
        const gyre_buf buf = gyre_buf_init(lasting(LARGE), LARGE);

        closed = detach_count = written = 0;
        detach_status = 1;
        assert_int_equal(gyre_read_start(stream, never), 0);
        turn();
        assert_int_equal(gyre_write(stream, req, &buf, 1, NULL), 0);
        detach(stream);
        for (int i = 0; i < turns; i++)
            turn();
        assert_int_equal(detach_count, 0);
        gyre_close(&stream->handle, on_closed);
        assert_int_equal(detach_count, 0);
        until_closed();
        assert_int_equal(detach_count, 1);
        assert_int_equal(detach_status, GYRE_ECANCELED);
        assert_int_equal(detached.fd, -1);
    }
}

static void finishing_ends_the_move(void **state)
{
    char *arrived = lasting(LARGE);
    size_t len = 0;
    int peer;
    gyre_stream *stream = &tcp_new("finished", &peer)->stream;
    gyre_write_req *req = lasting(sizeof(*req));
    const gyre_buf buf = gyre_buf_init(lasting(LARGE), LARGE);

    (void)state;
    assert_int_equal(gyre_write(stream, req, &buf, 1, on_written), 0);
    detach(stream);
    turn();
    gyre_stream_finish(stream, on_closed);
    while (closed == 0) {
        len += peer_receive(peer, arrived + len, LARGE - len);
        turn();
    }
    len += peer_receive(peer, arrived + len, LARGE - len);
    assert_int_equal(len, LARGE);
    assert_int_equal(last_written, 0);
    assert_int_equal(detach_count, 1);
    assert_int_equal(detach_status, GYRE_ECANCELED);
}

static void a_shutdown_of_the_loop_ends_the_move(void **state)
{
    int peer;
    gyre_stream *stream = &tcp_new("moved", &peer)->stream;
    const gyre_buf buf = gyre_buf_init(lasting(LARGE), LARGE);

    (void)state;
    assert_int_equal(gyre_write(stream, lasting(sizeof(gyre_write_req)), &buf, 1, NULL), 0);
    detach(stream);
    turn();
    assert_int_equal(gyre_loop_shutdown(loop, GYRE_SECOND), 0);
    loop = NULL;
    assert_int_equal(detach_count, 1);
    assert_int_equal(detach_status, GYRE_ECANCELED);
}

static void a_connection_that_breaks_stays(void **state)
{
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    int peer;
    gyre_stream *stream = &tcp_new("broken", &peer)->stream;
    const gyre_buf buf = gyre_buf_init(lasting(LARGE), LARGE);

    (void)state;
    assert_int_equal(gyre_write(stream, lasting(sizeof(gyre_write_req)), &buf, 1, on_written), 0);
    detach(stream);
    turn();
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    dup2(STDERR_FILENO, peer);
    until_detached(1);
    assert_true(detach_status == GYRE_ECONNRESET || detach_status == GYRE_EPIPE);
    assert_int_equal(last_written, detach_status);
    assert_int_equal(detached.fd, -1);
    assert_true(gyre_stream_fd(stream) >= 0);
    assert_int_equal(gyre_stream_detach(stream, &detached, on_detached), detach_status);
}

static void the_write_deadline_bounds_the_wait(void **state)
{
    int peer;
    gyre_stream *stream = &tcp_new("stuck", &peer)->stream;
    const gyre_buf buf = gyre_buf_init(lasting(LARGE), LARGE);

    (void)state;
    assert_int_equal(gyre_stream_set_deadlines(stream, 0, 20 * GYRE_MILLISECOND), 0);
    assert_int_equal(gyre_write(stream, lasting(sizeof(gyre_write_req)), &buf, 1, on_written), 0);
    detach(stream);
    until_detached(1);
    assert_int_equal(detach_status, GYRE_ETIMEDOUT);
    assert_int_equal(last_written, GYRE_ETIMEDOUT);
}

/* ---- the loop that it left ---- */

/* With the same number in the same kernel object: what was watched must have been given up. */
static void a_connection_may_come_back(void **state)
{
    int peer;
    gyre_stream *streams[2];
    gyre_stream *stream = streams[0] = &tcp_new("moved", &peer)->stream;
    const int fd = gyre_stream_fd(stream);
    char expected[ROOM] = "";

    (void)state;
    streams[1] = &tcp_empty(other)->stream;
    for (int i = 0; i < 20; i++) {
        const char byte = (char)('a' + i);

        assert_int_equal(gyre_read_start(stream, collect), 0);
        peer_send(peer, &byte, 1);
        expected[i] = byte;
        until_received(expected);
        detach(stream);
        until_detached(1);
        assert_int_equal(detached.fd, fd);
        stream = streams[(i + 1) % 2];
        attach(stream);
    }
    assert_int_equal(got_end, 0);
}

static void count_turn(gyre_hook *hook)
{
    ++*(int *)hook->data;
}

static void stop_both(gyre_timer *timer)
{
    gyre_loop_stop(gyre_handle_loop(&timer->handle));
}

/* A loop that still watched what it gave away would wake for bytes that nobody reads. */
static void the_old_loop_sleeps(void **state)
{
    int turns = 0;
    int peer;
    gyre_hook *hook = hook_new("turns", GYRE_HOOK_PREPARE);
    gyre_stream *stream = &tcp_new("moved", &peer)->stream;

    (void)state;
    assert_int_equal(gyre_read_start(stream, never), 0);
    turn();
    (void)move(stream, other);
    peer_send(peer, "unread", 6);
    turn();
    hook->data = &turns;
    gyre_hook_start(hook, count_turn);
    gyre_timer_start(timer_new("end"), 20 * GYRE_MILLISECOND, 0, stop_both);
    assert_true(gyre_loop_run(loop, GYRE_RUN_DEFAULT) >= 0);
    assert_true(turns <= 4);
}

/* ---- memory ---- */

static int budget;

static void *bounded(void *ctx, void *pointer, size_t old_bytes, size_t new_bytes)
{
    (void)ctx;
    (void)old_bytes;
    if (new_bytes == 0) {
        free(pointer);
        return NULL;
    }
    if (budget == 0)
        return NULL;
    budget--;
    return realloc(pointer, new_bytes);
}

static void without_memory_nothing_is_lost(void **state)
{
    const gyre_allocator allocator = {.resize = bounded, .ctx = NULL};
    const gyre_loop_options options = {.size = sizeof(options), .allocator = &allocator};
    gyre_tcp *tcp = lasting(sizeof(*tcp));
    int fails = 0;
    int error;
    int peer;

    (void)state;
    budget = INT32_MAX;
    assert_int_equal(gyre_loop_shutdown(other, GYRE_SECOND), 0);
    assert_int_equal(gyre_loop_init(&other, &options), 0);
    detach(&tcp_new("moved", &peer)->stream);
    until_detached(1);
    put_unread("precious");
    assert_int_equal(gyre_tcp_init(other, tcp), 0);
    for (budget = 0; (error = gyre_stream_attach(&tcp->stream, &detached)) != 0; budget = ++fails) {
        assert_int_equal(error, GYRE_ENOMEM);
        assert_true(detached.fd >= 0);
        assert_memory_equal(detached.unread, "precious", 8);
    }
    assert_true(fails > 0);
    budget = 0;
    while ((error = gyre_stream_detach(&tcp->stream, &detached, on_detached)) != 0)
        assert_int_equal(error, GYRE_ENOMEM);
    until_detached(2);
    assert_int_equal(detach_status, GYRE_ENOMEM);
    budget = INT32_MAX;
    assert_int_equal(gyre_read_start(&tcp->stream, collect), 0);
    until_received("precious");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MOVE_TEST(a_moved_connection_goes_on_in_the_other_loop),
        MOVE_TEST(a_unix_connection_moves_too),
        MOVE_TEST(bytes_that_come_meanwhile_are_read_in_order),
        MOVE_TEST(bytes_that_were_received_already_move_too),
        MOVE_TEST(unread_bytes_come_first),
        MOVE_TEST(the_end_of_stream_moves_too),
        MOVE_TEST(a_stream_that_was_shut_down_stays_so),
        MOVE_TEST(queued_writes_are_sent_before_it_leaves),
        MOVE_TEST(a_read_callback_may_reply_and_let_go),
        MOVE_TEST(a_stream_that_leaves_takes_no_calls),
        MOVE_TEST(what_has_no_connection_cannot_leave),
        MOVE_TEST(closing_ends_the_move),
        MOVE_TEST(finishing_ends_the_move),
        MOVE_TEST(a_shutdown_of_the_loop_ends_the_move),
        MOVE_TEST(a_connection_that_breaks_stays),
        MOVE_TEST(the_write_deadline_bounds_the_wait),
        MOVE_TEST(a_connection_may_come_back),
        MOVE_TEST(the_old_loop_sleeps),
        MOVE_TEST(without_memory_nothing_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
