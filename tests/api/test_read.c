/*
 * Reading: every byte arrives once and in order however reading stops and starts, kept buffers stay
 * as they were, and the end is told once, after the last byte.
 */
#include "peers.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KEPT_MAX = 64, PIECE = 1000 };

static size_t received; /* and all of them were what was sent */
static int calls;
static int ends;
static int64_t last_end;
static int written;
static int closed;

static int set_up(void **state)
{
    received = 0;
    calls = ends = written = closed = 0;
    last_end = 0;
    return loop_set_up(state);
}

#define READ_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, loop_tear_down)

static char byte_at(size_t place)
{
    return (char)(place * 2654435761U >> 13);
}

static void send_pattern(int peer, size_t from, size_t len)
{
    char *bytes = lasting(len);

    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_at(from + i);
    peer_send(peer, bytes, len);
}

/* Counts what came, which must be the next bytes of the pattern. */
static void take(const gyre_buf *buf, int64_t nread)
{
    assert_int_equal(ends, 0);
    if (nread < 0) {
        assert_null(buf);
        last_end = nread;
        ends++;
        return;
    }
    assert_int_equal(buf->len, nread);
    for (size_t i = 0; i < buf->len; i++) {
        if (buf->base[i] != byte_at(received + i))
            fail_msg("byte %zu", received + i);
    }
    received += buf->len;
    calls++;
}

static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    take(buf, nread);
}

static void never(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    (void)nread;
    (void)buf;
    fail();
}

static void count_close(gyre_handle *handle)
{
    (void)handle;
    closed++;
}

static void run_until_received(size_t goal)
{
    while (received < goal)
        assert_true(gyre_loop_run(loop, GYRE_RUN_ONCE) >= 0);
    assert_int_equal(received, goal);
}

/* ---- stop and start ---- */

static void read_and_stop(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    take(buf, nread);
    gyre_read_stop(stream);
}

/* After a stop nothing comes, whatever was on its way; what was is delivered by the next start. */
static void after_a_stop_nothing_comes_until_the_next_start(void **state)
{
    int peer;
    size_t sent = 0;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    for (int i = 1; i <= 100; i++) {
        int before;

        while (sent < (size_t)i * PIECE) {
            send_pattern(peer, sent, 250);
            sent += 250;
        }
        before = calls;
        assert_int_equal(gyre_read_start(&tcp->stream, read_and_stop), 0);
        run_until(&calls, before + 1);
        run_turns(i % 4);
        assert_int_equal(calls, before + 1);
    }
    assert_int_equal(gyre_read_start(&tcp->stream, on_read), 0);
    run_until_received(sent);
}

static void stop_outside_at_any_moment_loses_nothing(void **state)
{
    int peer;
    size_t sent = 0;
    gyre_pipe *local = pipe_new("pipe", &peer);

    (void)state;
    for (int i = 0; i < 200; i++) {
        int before;

        assert_int_equal(gyre_read_start(&local->stream, on_read), 0);
        run_turns(i % 3);
        send_pattern(peer, sent, PIECE);
        sent += PIECE;
        run_turns(i % 2);
        gyre_read_stop(&local->stream);
        before = calls;
        run_turns(i % 4);
        assert_int_equal(calls, before);
    }
    assert_int_equal(gyre_read_start(&local->stream, on_read), 0);
    run_until_received(sent);
}

/* The end came after the stop: it is told by the next start, after the bytes. */
static void an_end_that_comes_after_the_stop_is_told_later(void **state)
{
    (void)state;
    for (int turns = 0; turns < 3; turns++) {
        int peer;
        gyre_tcp *tcp = tcp_new("tcp", &peer);

        received = 0;
        ends = 0;
        assert_int_equal(gyre_read_start(&tcp->stream, on_read), 0);
        run_turns(turns);
        send_pattern(peer, 0, PIECE);
        assert_int_equal(shutdown(peer, SHUT_WR), 0);
        gyre_read_stop(&tcp->stream);
        run_turns(3);
        assert_int_equal(received, 0);
        assert_int_equal(ends, 0);
        assert_int_equal(gyre_read_start(&tcp->stream, read_and_stop), 0);
        run_until_received(PIECE);
        run_turns(2);
        assert_int_equal(ends, 0);
        assert_int_equal(gyre_read_start(&tcp->stream, on_read), 0);
        run_until(&ends, 1);
        assert_int_equal(last_end, GYRE_EOF);
        assert_int_equal(gyre_read_start(&tcp->stream, never), GYRE_EOF);
        run_turns(2);
    }
}

static void then_on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    take(buf, nread);
    assert_int_equal(calls, 1);
    assert_int_equal(gyre_read_start(stream, on_read), 0);
}

static void the_callback_may_be_changed_while_reading(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    assert_int_equal(gyre_read_start(&tcp->stream, never), 0);
    run_turns(2);
    assert_int_equal(gyre_read_start(&tcp->stream, then_on_read), 0);
    send_pattern(peer, 0, PIECE);
    run_until_received(PIECE);
    send_pattern(peer, PIECE, PIECE);
    run_until_received((size_t)2 * PIECE);
    assert_int_equal(calls, 2);
}

static void close_after_stop_drops_what_is_left(void **state)
{
    (void)state;
    for (int turns = 0; turns < 4; turns++) {
        int peer;
        gyre_pipe *local = pipe_new("pipe", &peer);

        closed = 0;
        assert_int_equal(gyre_read_start(&local->stream, never), 0);
        run_turns(1);
        send_pattern(peer, 0, PIECE);
        gyre_read_stop(&local->stream);
        run_turns(turns / 2);
        if (turns % 2 == 1)
            assert_int_equal(gyre_read_start(&local->stream, never), 0);
        gyre_close(&local->handle, count_close);
        run_until(&closed, 1);
    }
}

enum { CROWD = 8, CROWD_BYTES = 1 << 20 };

typedef struct member {
    gyre_pipe *local;
    size_t received;
    size_t sent;
    bool reading;
} member;

static member crowd[CROWD];
static uint32_t dice;

static uint32_t roll(uint32_t below)
{
    dice = dice * 1664525U + 1013904223U;
    return (dice >> 16) % below;
}

static void disturb(gyre_stream *stream, int64_t nread, const gyre_buf *buf);

static void set_reading(member *who, bool on)
{
    who->reading = on;
    if (on)
        assert_int_equal(gyre_read_start(&who->local->stream, disturb), 0);
    else
        gyre_read_stop(&who->local->stream);
}

/* Whoever is called stops and starts itself and others. */
static void disturb(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    member *self = stream->data;

    assert_true(nread > 0);
    assert_true(self->reading);
    for (size_t i = 0; i < buf->len; i++) {
        if (buf->base[i] != byte_at(self->received + i))
            fail_msg("byte %zu of member %d", self->received + i, (int)(self - crowd));
    }
    self->received += buf->len;
    set_reading(self, roll(2) == 0);
    for (int i = 0; i < 3; i++)
        set_reading(&crowd[roll(CROWD)], roll(3) > 0);
}

static size_t feed(member *who, int peer, const char *bytes)
{
    size_t len = CROWD_BYTES - who->sent;
    ssize_t part;

    if (len > 150000)
        len = 150000;
    part = len > 0 ? send(peer, bytes + who->sent, len, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    who->sent += part > 0 ? (size_t)part : 0;
    return CROWD_BYTES - who->received;
}

/* What came after a stop goes before what comes after the next start, in one batch too. */
static void streams_that_stop_and_start_each_other_keep_their_order(void **state)
{
    char *bytes = lasting(CROWD_BYTES);
    int peers[CROWD];
    size_t left;

    (void)state;
    dice = 1;
    for (size_t i = 0; i < CROWD_BYTES; i++)
        bytes[i] = byte_at(i);
    for (int i = 0; i < CROWD; i++) {
        const int room = 1 << 20;

        crowd[i] = (member){.local = pipe_new("member", &peers[i])};
        crowd[i].local->data = &crowd[i];
        assert_int_equal(setsockopt(peers[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
    }
    do {
        left = 0;
        for (int i = 0; i < CROWD; i++)
            left += feed(&crowd[i], peers[i], bytes);
        set_reading(&crowd[roll(CROWD)], true);
        run_turns(1);
    } while (left > 0);
}

/* A stopped stream lets its loop end, and a reading one keeps it. */
static void only_who_reads_is_alive(void **state)
{
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    assert_int_equal(gyre_read_start(&tcp->stream, on_read), 0);
    assert_int_equal(gyre_is_active(&tcp->handle), 1);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_NOWAIT), 1);
    gyre_read_stop(&tcp->stream);
    gyre_read_stop(&tcp->stream);
    assert_int_equal(gyre_is_active(&tcp->handle), 0);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
}

/* ---- much ---- */

/* The sender is always ahead: all buffers of the loop are in use all the time. */
static void a_lot_of_bytes_keep_their_order(void **state)
{
    enum { TOTAL = 16 << 20 };
    char *bytes = lasting(TOTAL);
    size_t sent = 0;
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    for (size_t i = 0; i < TOTAL; i++)
        bytes[i] = byte_at(i);
    assert_int_equal(gyre_read_start(&tcp->stream, on_read), 0);
    while (received < TOTAL) {
        ssize_t part;

        while (sent < TOTAL &&
               (part = send(peer, bytes + sent, TOTAL - sent, MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
            sent += (size_t)part;
        assert_true(gyre_loop_run(loop, GYRE_RUN_ONCE) >= 0);
    }
    assert_int_equal(received, TOTAL);
}

/* ---- kept buffers ---- */

typedef struct kept {
    const char *base;
    size_t place;
    size_t len;
} kept;

static kept keeps[KEPT_MAX];
static int kept_count;
static int refused;

static void keep_all(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    const size_t place = received;
    int error;

    take(buf, nread);
    assert_true(nread > 0);
    error = gyre_buf_keep(stream, buf);
    if (error == GYRE_ENOBUFS) {
        refused++;
        return;
    }
    assert_int_equal(error, 0);
    assert_int_equal(gyre_buf_keep(stream, buf), GYRE_EINVAL);
    assert_true(kept_count < KEPT_MAX);
    keeps[kept_count++] = (kept){buf->base, place, buf->len};
}

static void check_keeps(void)
{
    for (int i = 0; i < kept_count; i++) {
        for (size_t at = 0; at < keeps[i].len; at++) {
            if (keeps[i].base[at] != byte_at(keeps[i].place + at))
                fail_msg("kept buffer %d, byte %zu", i, at);
        }
    }
}

static void give_keeps_back(void)
{
    while (kept_count > 0)
        gyre_buf_release(loop, keeps[--kept_count].base);
}

/* Large pieces, so that no two of them share a buffer of the loop. */
static void kept_buffers_stay_as_they_were_and_are_limited(void **state)
{
    enum { LARGE = 65536, ROUNDS = 3 };
    const int room = 4 * LARGE;
    size_t sent = 0;
    int peer;
    gyre_pipe *local = pipe_new("pipe", &peer);

    (void)state;
    kept_count = refused = 0;
    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
    for (int round = 0; round < ROUNDS; round++) {
        assert_int_equal(gyre_read_start(&local->stream, keep_all), 0);
        refused = 0;
        while (refused < 20) {
            send_pattern(peer, sent, LARGE);
            sent += LARGE;
            run_until_received(sent);
        }
        assert_in_range(kept_count, 16, KEPT_MAX);
        check_keeps();
        /* Those that nobody keeps are used again meanwhile. */
        assert_int_equal(gyre_read_start(&local->stream, on_read), 0);
        for (int i = 0; i < 50; i++) {
            send_pattern(peer, sent, LARGE);
            sent += LARGE;
            run_until_received(sent);
        }
        check_keeps();
        give_keeps_back();
    }
}

static void keep_none(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    static char foreign[8];
    gyre_buf wrong = gyre_buf_init(foreign, sizeof(foreign));

    take(buf, nread);
    assert_int_equal(gyre_buf_keep(stream, &wrong), GYRE_EINVAL);
    assert_int_equal(gyre_buf_keep(stream->data, buf), GYRE_EINVAL);
}

static void only_the_callbacks_own_buffer_can_be_kept(void **state)
{
    static char foreign[8];
    const gyre_buf wrong = gyre_buf_init(foreign, sizeof(foreign));
    int peer;
    int other_peer;
    gyre_pipe *local = pipe_new("pipe", &peer);
    gyre_pipe *other = pipe_new("other", &other_peer);

    (void)state;
    local->data = &other->stream;
    assert_int_equal(gyre_buf_keep(&local->stream, &wrong), GYRE_EINVAL);
    assert_int_equal(gyre_read_start(&local->stream, keep_none), 0);
    send_pattern(peer, 0, PIECE);
    run_until_received(PIECE);
    assert_int_equal(gyre_buf_keep(&local->stream, &wrong), GYRE_EINVAL);
}

static void keep_and_close(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    keep_all(stream, nread, buf);
    gyre_close(&stream->handle, count_close);
}

static void a_kept_buffer_outlives_its_stream(void **state)
{
    int peer;
    int other_peer;
    gyre_pipe *local = pipe_new("pipe", &peer);
    gyre_pipe *other = pipe_new("other", &other_peer);

    (void)state;
    kept_count = refused = 0;
    assert_int_equal(gyre_read_start(&local->stream, keep_and_close), 0);
    send_pattern(peer, 0, PIECE);
    run_until(&closed, 1);
    assert_int_equal(kept_count, 1);
    received = 0;
    assert_int_equal(gyre_read_start(&other->stream, on_read), 0);
    for (size_t i = 0; i < 100; i++) {
        send_pattern(other_peer, i * PIECE, PIECE);
        run_until_received((i + 1) * PIECE);
    }
    check_keeps();
    give_keeps_back();
}

/* ---- halves ---- */

static void on_written(gyre_write_req *req, int status)
{
    (void)req;
    assert_int_equal(status, 0);
    written++;
}

static void the_peers_end_leaves_our_half_open(void **state)
{
    char bytes[8];
    int peer;
    gyre_write_req req = {0};
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    assert_int_equal(gyre_read_start(&tcp->stream, on_read), 0);
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    run_until(&ends, 1);
    assert_int_equal(last_end, GYRE_EOF);
    assert_int_equal(gyre_write_copy(&tcp->stream, "answer", 6), 0);
    assert_int_equal(gyre_shutdown(&tcp->stream, &req, on_written), 0);
    run_until(&written, 1);
    assert_int_equal(peer_receive(peer, bytes, sizeof(bytes)), 6);
    assert_true(peer_is_at_end(peer));
}

static void our_end_leaves_the_peers_half_open(void **state)
{
    int peer;
    gyre_write_req req = {0};
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    assert_int_equal(gyre_shutdown(&tcp->stream, &req, on_written), 0);
    assert_int_equal(gyre_read_start(&tcp->stream, on_read), 0);
    run_until(&written, 1);
    assert_true(peer_is_at_end(peer));
    for (size_t i = 0; i < 10; i++) {
        send_pattern(peer, i * PIECE, PIECE);
        run_until_received((i + 1) * PIECE);
    }
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    run_until(&ends, 1);
    assert_int_equal(last_end, GYRE_EOF);
}

/* ---- errors ---- */

static void on_connection(gyre_stream *listener, int status)
{
    (void)listener;
    (void)status;
    fail();
}

static void who_cannot_be_read_is_told(void **state)
{
    gyre_tcp *listener = listener_new(on_connection);
    gyre_tcp *fresh = lasting(sizeof(*fresh));
    int peer;
    gyre_tcp *tcp = tcp_new("tcp", &peer);

    (void)state;
    assert_int_equal(gyre_tcp_init(loop, fresh), 0);
    assert_int_equal(gyre_read_start(&fresh->stream, never), GYRE_ENOTCONN);
    gyre_read_stop(&fresh->stream);
    assert_int_equal(gyre_read_start(&listener->stream, never), GYRE_EINVAL);
    gyre_close(&tcp->handle, NULL);
    assert_int_equal(gyre_read_start(&tcp->stream, never), GYRE_EINVAL);
    gyre_read_stop(&tcp->stream);
    run_turns(2);
}

/* An error is told once. Who reads on hears no more than the end, and no turn spins. */
static void a_reset_is_told_once(void **state)
{
    const struct linger at_once = {.l_onoff = 1};
    gyre_tcp *tcp = lasting(sizeof(*tcp));
    int fds[2];
    int error;

    (void)state;
    tcp_pair(fds);
    assert_int_equal(gyre_tcp_init(loop, tcp), 0);
    assert_int_equal(gyre_tcp_open(tcp, fds[0]), 0);
    assert_int_equal(gyre_read_start(&tcp->stream, on_read), 0);
    run_turns(1);
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    close(fds[1]);
    run_until(&ends, 1);
    assert_int_equal(last_end, GYRE_ECONNRESET);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(gyre_write_copy(&tcp->stream, "x", 1), GYRE_ECONNRESET);
    ends = 0;
    error = gyre_read_start(&tcp->stream, on_read);
    if (error == 0)
        run_until(&ends, 1);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        READ_TEST(after_a_stop_nothing_comes_until_the_next_start),
        READ_TEST(stop_outside_at_any_moment_loses_nothing),
        READ_TEST(an_end_that_comes_after_the_stop_is_told_later),
        READ_TEST(the_callback_may_be_changed_while_reading),
        READ_TEST(close_after_stop_drops_what_is_left),
        READ_TEST(streams_that_stop_and_start_each_other_keep_their_order),
        READ_TEST(only_who_reads_is_alive),
        READ_TEST(a_lot_of_bytes_keep_their_order),
        READ_TEST(kept_buffers_stay_as_they_were_and_are_limited),
        READ_TEST(only_the_callbacks_own_buffer_can_be_kept),
        READ_TEST(a_kept_buffer_outlives_its_stream),
        READ_TEST(the_peers_end_leaves_our_half_open),
        READ_TEST(our_end_leaves_the_peers_half_open),
        READ_TEST(who_cannot_be_read_is_told),
        READ_TEST(a_reset_is_told_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
