/*
 * The same random program on epoll, poll, io_uring and the simulated kernel in both modes: per
 * handle the same callbacks with the same results in the same order, and the same bytes.
 *
 * After each call the program waits until what it must cause has happened; so nothing depends on
 * how quick a kernel is, and the traces must be equal to the letter. What may differ between
 * backends, and is not in the trace: in how many pieces bytes arrive, in which turn, and the order
 * of callbacks of different handles.
 */
#include <gyre.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    PAIRS = 8,
    TIMERS = 4,
    CALLS = 10000,
    PROGRAMS = 2,
    UNREAD_MAX = 20000,
    TRACE_BYTES = 1 << 19
};

/* ---- the trace ---- */

/* One text for each end, and one for what has no end. */
enum { LOOP = 2 * PAIRS, TEXTS };

typedef struct trace {
    char text[TEXTS][TRACE_BYTES];
    size_t len[TEXTS];
} trace;

static trace *current;

static void note(int of, const char *format, ...)
{
    va_list arguments;

    assert_true(current->len[of] + 200 < TRACE_BYTES);
    va_start(arguments, format);
    current->len[of] +=
        (size_t)vsnprintf(current->text[of] + current->len[of], 200, format, arguments);
    va_end(arguments);
}

/* ---- one end of a connection ---- */

typedef struct end {
    gyre_tcp tcp;
    struct end *peer;
    uint64_t sent;
    uint64_t received;
    uint64_t sum; /* of the bytes, with their places */
    int number;
    int written;
    int closed;
    bool open;
    bool reading;
    bool finished; /* has shut its writing half */
    bool ended;    /* has been told of its peer's end */
} end;

static gyre_loop *loop;
static gyre_tcp listener;
static gyre_address where;
static end ends[2 * PAIRS];
static end *arriving;
static gyre_timer timers[TIMERS];
static int fired;
static int connected;
static int deferred_ran;

static void wait_for(const int *count, int goal)
{
    for (int i = 0; *count < goal; i++) {
        assert_true(gyre_loop_run(loop, GYRE_RUN_ONCE) >= 0);
        assert_true(i < 100000);
    }
}

static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    end *self = stream->data;

    if (nread <= 0) {
        self->ended = true;
        self->reading = false;
        /* A close with unread bytes resets, unless a ring had taken them for a receive that was
           stopped: then it is the end of stream. */
        note(self->number, "read %s\n",
             nread == GYRE_ECONNRESET && self->peer->received < self->sent ? "EOF"
                                                                           : gyre_errname(nread));
        return;
    }
    for (int64_t i = 0; i < nread; i++) {
        self->received++;
        self->sum = self->sum * 31 + (unsigned char)buf->base[i];
    }
}

static void wait_for_bytes(end *self)
{
    for (int i = 0; self->received < self->peer->sent; i++) {
        assert_true(gyre_loop_run(loop, GYRE_RUN_ONCE) >= 0);
        assert_true(i < 100000);
    }
}

static void wait_for_end(const end *self)
{
    for (int i = 0; !self->ended; i++) {
        assert_true(gyre_loop_run(loop, GYRE_RUN_ONCE) >= 0);
        assert_true(i < 100000);
    }
}

static void on_closed(gyre_handle *handle)
{
    end *self = handle->data;

    note(self->number, "closed: %llu bytes, %llx\n", (unsigned long long)self->received,
         (unsigned long long)self->sum);
    self->closed = 1;
}

static void close_end(end *self, bool gently)
{
    if (gently)
        gyre_stream_finish(&self->tcp.stream, on_closed);
    else
        gyre_close(&self->tcp.handle, on_closed);
    wait_for(&self->closed, 1);
    self->open = false;
}

static void on_written(gyre_write_req *req, int status)
{
    end *self = req->data;

    note(self->number, "written %s\n", gyre_errname(status));
    self->written++;
    free(req);
}

static void on_connection(gyre_stream *of, int status)
{
    assert_int_equal(status, 0);
    assert_int_equal(gyre_accept(of, &arriving->tcp.stream), 0);
    arriving->tcp.data = arriving;
    connected++;
}

static void on_connected(gyre_connect_req *req, int status)
{
    note(((end *)req->data)->number, "connected %s\n", gyre_errname(status));
    connected++;
}

/* ---- the calls ---- */

static void begin(end *self, int number, end *peer)
{
    memset(self, 0, sizeof(*self));
    self->number = number;
    self->peer = peer;
    self->open = true;
}

static end *ends_of(int pair)
{
    return &ends[(size_t)pair * 2];
}

static void connect_pair(int pair)
{
    static gyre_connect_req request;
    end *left = ends_of(pair);

    begin(left, 2 * pair, left + 1);
    begin(left + 1, 2 * pair + 1, left);
    arriving = left + 1;
    connected = 0;
    assert_int_equal(gyre_tcp_init(loop, &left->tcp), 0);
    left->tcp.data = left;
    request.data = left;
    assert_int_equal(gyre_tcp_connect(&left->tcp, &request, &where, 0, on_connected), 0);
    wait_for(&connected, 2);
    for (end *each = left; each < left + 2; each++) {
        assert_int_equal(gyre_read_start(&each->tcp.stream, on_read), 0);
        each->reading = true;
    }
}

static char *pattern(end *self, size_t len)
{
    char *bytes = malloc(len + 1);

    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)((self->sent + i) * 7 + (uint64_t)self->number);
    self->sent += len;
    return bytes;
}

static void write_bytes(end *self, size_t len, bool copied)
{
    const int before = self->written;
    gyre_buf buf;
    char *bytes;
    int result;

    if (!self->peer->reading && self->sent - self->peer->received > UNREAD_MAX)
        return;
    bytes = pattern(self, len);
    buf = gyre_buf_init(bytes, len);

    if (copied) {
        result = gyre_write_copy(&self->tcp.stream, bytes, len);
    } else {
        gyre_write_req *req = calloc(1, sizeof(*req));

        assert_non_null(req);
        req->data = self;
        result = gyre_write(&self->tcp.stream, req, &buf, 1, on_written);
        if (result != 0)
            free(req);
    }
    note(self->number, "write %zu %s\n", len, gyre_errname(result));
    if (result != 0)
        self->sent -= len;
    if (self->peer->reading)
        wait_for_bytes(self->peer);
    if (result == 0 && !copied)
        wait_for(&self->written, before + 1);
    free(bytes);
}

static void shut(end *self)
{
    gyre_write_req *req = calloc(1, sizeof(*req));
    const int before = self->written;
    int result;

    assert_non_null(req);
    req->data = self;
    result = gyre_shutdown(&self->tcp.stream, req, on_written);
    note(self->number, "shutdown %s\n", gyre_errname(result));
    if (result != 0) {
        free(req);
        return;
    }
    self->finished = true;
    wait_for(&self->written, before + 1);
    if (self->peer->reading)
        wait_for_end(self->peer);
}

static void toggle_reading(end *self)
{
    int result;

    if (self->reading) {
        gyre_read_stop(&self->tcp.stream);
        self->reading = false;
        return;
    }
    result = gyre_read_start(&self->tcp.stream, on_read);
    note(self->number, "read_start %s\n", gyre_errname(result));
    if (result != 0)
        return;
    self->reading = true;
    wait_for_bytes(self);
    if (self->peer->finished)
        wait_for_end(self);
}

/*
 * Both ends go; the other is told first, when it listens. What was not read resets (RFC 9293, 3.6).
 */
static void close_pair(end *self, bool gently)
{
    close_end(self, gently);
    if (self->peer->reading)
        wait_for_end(self->peer);
    self->peer->reading = false;
    close_end(self->peer, false);
}

static void on_timer(gyre_timer *timer)
{
    note(LOOP, "timer %d\n", (int)(timer - timers));
    fired++;
}

/* Several at once, in an order of their own: they fire by deadline, then by start. */
static void run_timers(uint64_t random)
{
    const uint64_t now = gyre_loop_now_ns(loop);

    fired = 0;
    for (int i = 0; i < TIMERS; i++)
        gyre_timer_start_at(&timers[i], now + (random >> (4 * i) & 3) * 1000, 0, on_timer);
    wait_for(&fired, TIMERS);
}

static void on_deferred(gyre_deferred *deferred)
{
    note(LOOP, "deferred %d\n", *(int *)deferred->data);
    deferred_ran++;
}

static void run_deferred(uint64_t random)
{
    static gyre_deferred work[4];
    static int numbers[4] = {0, 1, 2, 3};
    const int cancelled = (int)(random % 4);

    deferred_ran = 0;
    for (int i = 0; i < 4; i++) {
        work[i].data = &numbers[i];
        gyre_defer(loop, &work[i], on_deferred);
    }
    note(LOOP, "cancel %s\n", gyre_errname(gyre_defer_cancel(&work[cancelled])));
    wait_for(&deferred_ran, 3);
}

static void call_on(end *self, uint64_t random)
{
    switch (random % 10) {
    case 0:
    case 1:
    case 2: write_bytes(self, 1 + random / 16 % 2000, true); break;
    case 3:
    case 4: write_bytes(self, random / 16 % 3000, false); break;
    case 5: write_bytes(self, self->peer->reading ? 200000 : 1, true); break;
    case 6:
    case 7: toggle_reading(self); break;
    case 8: shut(self); break;
    default: close_pair(self, random / 16 % 2 == 0); break;
    }
}

/* A generator of numbers that is the same everywhere (Vigna's splitmix64). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t value = *state += UINT64_C(0x9E3779B97F4A7C15);

    value = (value ^ value >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    value = (value ^ value >> 27) * UINT64_C(0x94D049BB133111EB);
    return value ^ value >> 31;
}

static void call_one(uint64_t random)
{
    const int pair = (int)((random >> 40) % (PAIRS + 2));

    if (pair == PAIRS)
        run_timers(random);
    else if (pair > PAIRS)
        run_deferred(random);
    else if (!ends_of(pair)->open)
        connect_pair(pair);
    else
        call_on(ends_of(pair) + (random >> 24 & 1), random >> 4);
}

/* ---- a program on a loop ---- */

static void open_all(void)
{
    memset(ends, 0, sizeof(ends));
    memset(timers, 0, sizeof(timers));
    assert_int_equal(gyre_tcp_init(loop, &listener), 0);
    assert_int_equal(gyre_tcp_bind(&listener, &where, 0), 0);
    assert_int_equal(gyre_listen(&listener.stream, 0, on_connection), 0);
    assert_int_equal(gyre_stream_local_address(&listener.stream, &where), 0);
    for (int i = 0; i < TIMERS; i++)
        assert_int_equal(gyre_timer_init(loop, &timers[i]), 0);
}

static void run_program(uint64_t seed, trace *into)
{
    uint64_t state = seed;

    current = into;
    memset(into->len, 0, sizeof(into->len));
    open_all();
    for (int i = 0; i < CALLS; i++)
        call_one(next_random(&state));
    for (int i = 0; i < PAIRS; i++) {
        if (ends_of(i)->open)
            close_pair(ends_of(i), true);
    }
    assert_int_equal(gyre_loop_shutdown(loop, 600 * GYRE_SECOND), 0);
}

static void run_on_backend(const char *name, uint64_t seed, trace *into)
{
    const gyre_loop_options options = {.size = sizeof(options), .backend = name};

    assert_int_equal(gyre_loop_init(&loop, &options), 0);
    assert_int_equal(gyre_address_ip(&where, NULL, 0), 0);
    run_program(seed, into);
}

static int boot_nothing(gyre_sim_host *host, gyre_loop *on, void *ctx)
{
    (void)host;
    (void)on;
    (void)ctx;
    return 0;
}

static void run_on_sim(gyre_sim_mode mode, uint64_t seed, trace *into)
{
    const gyre_sim_options options = {
        .size = sizeof(options), .seed = seed, .mode = mode, .buffer_bytes = 65536};
    gyre_sim_host *host;
    gyre_sim *sim;

    assert_int_equal(gyre_sim_init(&sim, &options), 0);
    assert_int_equal(gyre_sim_host_init(sim, &host, "host", boot_nothing, NULL, NULL), 0);
    (void)gyre_sim_run_until(sim, gyre_sim_now_ns(sim) + 1);
    gyre_sim_host_address(host, 7, &where);
    assert_int_equal(gyre_sim_loop_init(host, &loop, NULL), 0);
    run_program(seed, into);
    gyre_sim_close(sim);
}

static void compare(const trace *a, const trace *b, const char *name, uint64_t seed)
{
    for (int i = 0; i < TEXTS; i++) {
        size_t at = 0;
        size_t line = 0;

        while (at < a->len[i] && at < b->len[i] && a->text[i][at] == b->text[i][at]) {
            if (a->text[i][at++] == '\n')
                line = at;
        }
        if (a->len[i] != b->len[i] || at != a->len[i])
            fail_msg("program %d, end %d, %s:\n%.60s\nwhere epoll has\n%.60s", (int)seed, i, name,
                     b->text[i] + line, a->text[i] + line);
    }
}

static void programs_are_the_same_everywhere(void **state)
{
    static trace expected;
    static trace other;

    (void)state;
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) {
        run_on_backend("epoll", seed, &expected);
        assert_true(expected.len[0] > 1000);
        run_on_backend("poll", seed, &other);
        compare(&expected, &other, "poll", seed);
        run_on_backend("uring", seed, &other);
        compare(&expected, &other, "uring", seed);
        run_on_sim(GYRE_SIM_READINESS, seed, &other);
        compare(&expected, &other, "the simulator, readiness", seed);
        run_on_sim(GYRE_SIM_COMPLETION, seed, &other);
        compare(&expected, &other, "the simulator, completion", seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(programs_are_the_same_everywhere)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
