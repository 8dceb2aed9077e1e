/*
 * What every backend owes to core, operation by operation: the same table for all of them. A case
 * prepares an operation that has to wait (or, for files, need not), and can make it ready. What
 * holds for every case stands first, what one kind alone promises after it.
 */
#include "raw.h"

#include <errno.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* ---- the table ---- */

typedef struct op_case {
    const char *name;
    /* A prepared operation that is not submitted; *peer is what `satisfy` needs. */
    raw_op *(*prepare)(int *peer);
    /* NULL: it has its result without anybody's help. */
    void (*satisfy)(int peer);
    /* Whether `value` is a result of the satisfied operation. */
    bool (*is_good)(int32_t value);
    bool multishot;
} op_case;

static bool is_zero(int32_t value)
{
    return value == 0;
}

static bool is_five(int32_t value)
{
    return value == 5;
}

static bool is_positive(int32_t value)
{
    return value > 0;
}

/* A descriptor that is ours from now on. */
static bool is_descriptor(int32_t value)
{
    const int flags = value >= 0 ? fcntl(value, F_GETFD) : -1;

    if (flags >= 0)
        lasting_fd(value);
    return flags >= 0 && (flags & FD_CLOEXEC) != 0;
}

static bool is_readable(int32_t value)
{
    return value == GYRE_POLL_IN;
}

static void send_five(int peer)
{
    send_bytes(peer, "gyre!", 5);
}

/* One end for the operation, the other for the test. */
static int one_end(int *peer)
{
    int ends[2];

    tcp_pair(ends);
    *peer = lasting_fd(ends[1]);
    return lasting_fd(ends[0]);
}

static raw_op *prepare_receive_into(int *peer)
{
    raw_op *raw = raw_new(GYREI_OP_RECV, one_end(peer), 0);

    raw->op.pointer = lasting(64);
    raw->op.arg32 = 64;
    return raw;
}

static raw_op *prepare_receive(int *peer)
{
    raw_op *raw = raw_new(GYREI_OP_RECV, one_end(peer), 0);

    raw->bytes = lasting(RAW_BYTES);
    return raw;
}

static raw_op *prepare_receive_many(int *peer)
{
    raw_op *raw = raw_new(GYREI_OP_RECV, one_end(peer), GYREI_OP_MULTISHOT);

    raw->bytes = lasting(RAW_BYTES);
    return raw;
}

/* The other end has not read what fills the socket: a unix one, where nothing is on its way. */
static raw_op *prepare_send(int *peer)
{
    static char bytes[1 << 16];
    gyre_buf *buf = lasting(sizeof(*buf));
    int ends[2];
    int fd;
    raw_op *raw;

    unix_pair(ends);
    fd = lasting_fd(ends[0]);
    *peer = lasting_fd(ends[1]);
    while (send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
        continue;
    assert_int_equal(errno, EAGAIN);
    raw = raw_new(GYREI_OP_SEND, fd, 0);
    buf->base = bytes;
    buf->len = sizeof(bytes);
    raw->op.pointer = buf;
    raw->op.arg32 = 1;
    return raw;
}

static void drain(int peer)
{
    static char bytes[1 << 16];

    while (recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
}

static raw_op *prepare_poll(int *peer)
{
    const int fd = one_end(peer);
    raw_op *raw = raw_new(GYREI_OP_POLL, fd, 0);

    raw->op.arg32 = GYRE_POLL_IN;
    return raw;
}

static raw_op *prepare_poll_many(int *peer)
{
    raw_op *raw = prepare_poll(peer);

    raw->op.flags |= GYREI_OP_MULTISHOT;
    return raw;
}

static raw_op *prepare_accept(int *peer)
{
    struct sockaddr_un address;
    socklen_t len;
    raw_op *raw;

    *peer = lasting_fd(listen_somewhere(&address, &len));
    assert_int_equal(fcntl(*peer, F_SETFL, O_NONBLOCK), 0);
    raw = raw_new(GYREI_OP_ACCEPT, *peer, 0);
    return raw;
}

static raw_op *prepare_accept_many(int *peer)
{
    raw_op *raw = prepare_accept(peer);

    raw->op.flags |= GYREI_OP_MULTISHOT;
    return raw;
}

static void connect_once(int listener)
{
    struct sockaddr_un address = {0};
    socklen_t len = sizeof(address);

    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    lasting_fd(connect_to(&address, len));
}

static raw_op *prepare_connect(int *peer)
{
    struct sockaddr_un *address = lasting(sizeof(*address));
    socklen_t len;
    raw_op *raw;

    *peer = lasting_fd(listen_somewhere(address, &len));
    raw = raw_new(GYREI_OP_CONNECT,
                  lasting_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)), 0);
    raw->op.pointer = address;
    raw->op.arg32 = len;
    return raw;
}

static raw_op *prepare_open(int *peer)
{
    struct open_how *how = lasting(sizeof(*how));
    raw_op *raw = raw_new(GYREI_OP_OPEN, AT_FDCWD, 0);

    *peer = -1;
    how->flags = O_RDONLY | O_CLOEXEC;
    raw->op.pointer = "/dev/null";
    raw->op.arg64 = (uintptr_t)how;
    return raw;
}

static raw_op *prepare_stat(int *peer)
{
    raw_op *raw = raw_new(GYREI_OP_STAT, AT_FDCWD, 0);

    *peer = -1;
    raw->op.pointer = "/";
    raw->op.arg64 = (uintptr_t)lasting(sizeof(struct statx));
    return raw;
}

static raw_op *prepare_read(int *peer)
{
    raw_op *raw = raw_new(GYREI_OP_READ, lasting_fd(open("/dev/zero", O_RDONLY | O_CLOEXEC)), 0);

    *peer = -1;
    raw->op.pointer = lasting(5);
    raw->op.arg32 = 5;
    return raw;
}

static raw_op *prepare_close(int *peer)
{
    *peer = -1;
    return raw_new(GYREI_OP_CLOSE, open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
}

static const op_case cases[] = {
    {"accept", prepare_accept, connect_once, is_descriptor, false},
    {"accept, multishot", prepare_accept_many, connect_once, is_descriptor, true},
    {"connect", prepare_connect, NULL, is_zero, false},
    {"receive into the caller's bytes", prepare_receive_into, send_five, is_five, false},
    {"receive into the pool", prepare_receive, send_five, is_five, false},
    {"receive into the pool, multishot", prepare_receive_many, send_five, is_five, true},
    {"send", prepare_send, drain, is_positive, false},
    {"poll", prepare_poll, send_five, is_readable, false},
    {"poll, multishot", prepare_poll_many, send_five, is_readable, true},
    {"open", prepare_open, NULL, is_descriptor, false},
    {"stat", prepare_stat, NULL, is_zero, false},
    {"read", prepare_read, NULL, is_five, false},
    {"close", prepare_close, NULL, is_zero, false},
};

static const op_case *const cases_end = cases + sizeof(cases) / sizeof(cases[0]);

/* ---- a loop that waits for raw operations ---- */

static int set_up(void **state)
{
    const int error = loop_set_up(state);

    gyre_loop_hold(loop);
    return error;
}

static int tear_down(void **state)
{
    gyre_loop_release(loop);
    return loop_tear_down(state);
}

#define OP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void run_until_results(const raw_op *raw, unsigned results)
{
    while (raw->results < results)
        turn();
}

/* Ends it, if it has not ended, and looks at the first result and at the last. */
static void expect_good(const op_case *each, raw_op *raw)
{
    run_until_results(raw, 1);
    if (!each->is_good(raw->value))
        fail_msg("%s: result %d", each->name, raw->value);
    assert_int_equal(raw->final, !each->multishot);
    if (each->multishot) {
        gyrei_op_cancel(loop, &raw->op);
        run_until_final(raw);
        assert_int_equal(raw->value, GYRE_ECANCELED);
    }
    if (raw->op.kind == GYREI_OP_POLL)
        loop->ops->forget(loop->backend, raw->op.fd);
    raw_free(raw);
}

/* After a cancel: canceled, or the result that came first. */
static void expect_canceled(const op_case *each, raw_op *raw)
{
    run_until_final(raw);
    if (raw->value != GYRE_ECANCELED && !each->is_good(raw->value))
        fail_msg("%s: result %d", each->name, raw->value);
    for (int i = 0; i < 3; i++)
        turn_now();
    if (raw->op.kind == GYREI_OP_CLOSE && raw->value == GYRE_ECANCELED)
        close(raw->op.fd);
    if (raw->op.kind == GYREI_OP_POLL)
        loop->ops->forget(loop->backend, raw->op.fd);
    raw_free(raw);
}

/* ---- what holds for all ---- */

static void a_result_that_is_there_comes_once_and_never_from_inside_submit(void **state)
{
    (void)state;
    for (const op_case *each = cases; each < cases_end; each++) {
        int peer;
        raw_op *raw = each->prepare(&peer);

        if (each->satisfy != NULL)
            each->satisfy(peer);
        raw_submit(raw);
        assert_int_equal(raw->results, 0);
        expect_good(each, raw);
    }
}

static void a_result_that_comes_later_comes_once(void **state)
{
    (void)state;
    for (const op_case *each = cases; each < cases_end; each++) {
        int peer;
        raw_op *raw = each->prepare(&peer);

        raw_submit(raw);
        if (each->satisfy != NULL) {
            for (int i = 0; i < 3; i++)
                turn_now();
            assert_int_equal(raw->results, 0);
            each->satisfy(peer);
        }
        expect_good(each, raw);
    }
}

static void cancel_right_after_submit_ends_it(void **state)
{
    (void)state;
    for (const op_case *each = cases; each < cases_end; each++) {
        int peer;
        raw_op *raw = each->prepare(&peer);

        raw_submit(raw);
        gyrei_op_cancel(loop, &raw->op);
        assert_int_equal(raw->results, 0);
        expect_canceled(each, raw);
    }
}

static void cancel_while_it_waits_ends_it_and_a_second_one_does_no_harm(void **state)
{
    (void)state;
    for (const op_case *each = cases; each < cases_end; each++) {
        int peer;
        raw_op *raw = each->prepare(&peer);

        raw_submit(raw);
        turn_now();
        gyrei_op_cancel(loop, &raw->op);
        gyrei_op_cancel(loop, &raw->op);
        expect_canceled(each, raw);
    }
}

static void cancel_of_a_result_on_its_way_loses_nothing(void **state)
{
    (void)state;
    for (const op_case *each = cases; each < cases_end; each++) {
        int peer;
        raw_op *raw = each->prepare(&peer);

        raw_submit(raw);
        turn_now();
        if (each->satisfy != NULL && !raw->final)
            each->satisfy(peer);
        gyrei_op_cancel(loop, &raw->op);
        expect_canceled(each, raw);
    }
}

static raw_op *to_cancel;

static void cancel_the_other(raw_op *raw, const gyrei_result *result)
{
    (void)raw;
    (void)result;
    if (to_cancel != NULL)
        gyrei_op_cancel(loop, &to_cancel->op);
    to_cancel = NULL;
}

/* Two operations are ready in one turn, and the first to be dispatched cancels the other. */
static void cancel_of_a_runnable_one_from_a_sibling_ends_it(void **state)
{
    (void)state;
    for (const op_case *each = cases; each < cases_end; each++) {
        int peers[2];
        raw_op *first = prepare_receive_into(&peers[0]);
        raw_op *second = each->prepare(&peers[1]);

        first->on_result = cancel_the_other;
        raw_submit(first);
        turn_now();
        to_cancel = second;
        send_five(peers[0]);
        if (each->satisfy != NULL)
            each->satisfy(peers[1]);
        raw_submit(second);
        run_until_final(first);
        expect_canceled(each, second);
        raw_free(first);
    }
}

static void a_descriptor_that_is_none_is_an_error_of_the_operation(void **state)
{
    (void)state;
    for (const op_case *each = cases; each < cases_end; each++) {
        int peer;
        raw_op *raw = each->prepare(&peer);
        const int old = raw->op.fd;

        if (raw->op.kind != GYREI_OP_POLL && old != AT_FDCWD) {
            raw->op.fd = 1 << 19;
            assert_int_equal(loop->ops->attach(loop->backend, raw->op.fd, false), 0);
            raw_submit(raw);
            run_until_final(raw);
            assert_int_equal(raw->value, GYRE_EBADF);
            if (raw->op.kind == GYREI_OP_CLOSE)
                close(old);
        }
        raw_free(raw);
    }
}

static void resubmit_three_times(raw_op *raw, const gyrei_result *result)
{
    (void)result;
    if (raw->final && raw->value != GYRE_ECANCELED && raw->results < 4)
        raw_submit(raw);
}

static void an_operation_may_be_submitted_anew_from_its_own_end(void **state)
{
    (void)state;
    for (const op_case *each = cases; each < cases_end; each++) {
        int peer;
        raw_op *raw = each->prepare(&peer);

        if (each->multishot || raw->op.kind == GYREI_OP_CONNECT || raw->op.kind == GYREI_OP_CLOSE) {
            if (raw->op.kind == GYREI_OP_CLOSE)
                close(raw->op.fd);
            raw_free(raw);
            continue;
        }
        raw->on_result = resubmit_three_times;
        raw_submit(raw);
        while (raw->results < 4) {
            const unsigned before = raw->results;

            if (each->satisfy != NULL)
                each->satisfy(peer);
            run_until_results(raw, before + 1);
            assert_true(each->is_good(raw->value) || raw->value == 0);
        }
        run_until_final(raw);
        if (raw->op.kind == GYREI_OP_POLL)
            loop->ops->forget(loop->backend, raw->op.fd);
        raw_free(raw);
    }
}

/* ---- receiving ---- */

static void a_peer_that_finishes_ends_a_receive_with_0_after_its_bytes(void **state)
{
    int peer;
    raw_op *raw = prepare_receive_many(&peer);

    (void)state;
    raw_submit(raw);
    turn_now();
    send_five(peer);
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    run_until_final(raw);
    assert_int_equal(raw->value, 0);
    assert_int_equal(raw->len, 5);
    assert_memory_equal(raw->bytes, "gyre!", 5);
    raw_free(raw);
}

static void a_reset_ends_a_receive_with_its_error(void **state)
{
    const struct linger at_once = {.l_onoff = 1};
    int ends[2];
    raw_op *raw;

    (void)state;
    tcp_pair(ends);
    raw = raw_receive(lasting_fd(ends[0]));
    turn_now();
    assert_int_equal(setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    close(ends[1]);
    run_until_final(raw);
    assert_int_equal(raw->value, GYRE_ECONNRESET);
    raw_free(raw);
}

static void what_was_received_before_a_cancel_comes_before_its_end(void **state)
{
    int peer;
    raw_op *raw = prepare_receive_many(&peer);

    (void)state;
    raw_submit(raw);
    turn_now();
    for (int i = 0; i < 50; i++) {
        send_five(peer);
        run_until_received(raw, (size_t)(i + 1) * 5);
    }
    gyrei_op_cancel(loop, &raw->op);
    run_until_final(raw);
    assert_int_equal(raw->value, GYRE_ECANCELED);
    assert_int_equal(raw->len, 250);
    raw_free(raw);
}

static void a_receive_takes_what_is_there_and_leaves_the_rest(void **state)
{
    char rest[8];
    int peer;
    raw_op *raw = prepare_receive_into(&peer);

    (void)state;
    raw->op.arg32 = 2;
    send_five(peer);
    raw_submit(raw);
    run_until_final(raw);
    assert_int_equal(raw->value, 2);
    assert_memory_equal(raw->op.pointer, "gy", 2);
    assert_int_equal(recv(raw->op.fd, rest, sizeof(rest), MSG_DONTWAIT), 3);
    raw_free(raw);
}

/* ---- sending ---- */

static void a_send_larger_than_the_socket_is_short(void **state)
{
    enum { BYTES = 64 << 20 };
    int peer;
    gyre_buf bufs[2];
    const int fd = one_end(&peer);
    raw_op *raw = raw_new(GYREI_OP_SEND, fd, 0);

    (void)state;
    bufs[0].base = bufs[1].base = lasting(BYTES);
    bufs[0].len = bufs[1].len = BYTES;
    raw->op.pointer = bufs;
    raw->op.arg32 = 2;
    raw_submit(raw);
    run_until_final(raw);
    assert_in_range(raw->value, 1, BYTES);
    raw_free(raw);
}

static void a_send_to_a_peer_that_is_gone_is_an_error_and_no_signal(void **state)
{
    int ends[2];
    gyre_buf buf = {.base = "gyre!", .len = 5};
    raw_op *raw;

    (void)state;
    unix_pair(ends);
    close(ends[1]);
    raw = raw_new(GYREI_OP_SEND, lasting_fd(ends[0]), 0);
    raw->op.pointer = &buf;
    raw->op.arg32 = 1;
    raw_submit(raw);
    run_until_final(raw);
    assert_int_equal(raw->value, GYRE_EPIPE);
    raw_free(raw);
}

/* ---- accepting and connecting ---- */

static void a_multishot_accept_takes_every_connection_until_it_is_cancelled(void **state)
{
    int listener;
    raw_op *raw = prepare_accept_many(&listener);

    (void)state;
    raw->fds = lasting(RAW_FDS * sizeof(int));
    raw_submit(raw);
    for (int i = 0; i < 100; i++)
        connect_once(listener);
    run_until_results(raw, 100);
    gyrei_op_cancel(loop, &raw->op);
    run_until_final(raw);
    assert_int_equal(raw->value, GYRE_ECANCELED);
    assert_int_equal(raw->fd_count, 100);
    for (unsigned i = 0; i < raw->fd_count; i++)
        assert_int_equal(close(raw->fds[i]), 0);
    raw_free(raw);
}

static void a_connect_to_nobody_is_refused(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    const int taken = lasting_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    raw_op *raw =
        raw_new(GYREI_OP_CONNECT,
                lasting_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)), 0);

    (void)state;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    /* Bound, so that nobody else gets the port, but not listening. */
    assert_int_equal(bind(taken, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(taken, (struct sockaddr *)&address, &len), 0);
    raw->op.pointer = &address;
    raw->op.arg32 = len;
    raw_submit(raw);
    run_until_final(raw);
    assert_int_equal(raw->value, GYRE_ECONNREFUSED);
    raw_free(raw);
}

/* ---- watching ---- */

static void a_watch_reports_as_long_as_its_events_hold(void **state)
{
    char bytes[8];
    int peer;
    raw_op *raw = prepare_poll_many(&peer);
    unsigned results;

    (void)state;
    raw_submit(raw);
    send_five(peer);
    run_until_results(raw, 3);
    assert_int_equal(recv(raw->op.fd, bytes, sizeof(bytes), MSG_DONTWAIT), 5);
    turn_now();
    results = raw->results;
    for (int i = 0; i < 3; i++)
        turn_now();
    assert_int_equal(raw->results, results);
    gyrei_op_change_events(loop, &raw->op, GYRE_POLL_IN | GYRE_POLL_OUT);
    run_until_results(raw, results + 1);
    assert_int_equal(raw->value, GYRE_POLL_OUT);
    gyrei_op_cancel(loop, &raw->op);
    run_until_final(raw);
    loop->ops->forget(loop->backend, raw->op.fd);
    raw_free(raw);
}

/* ---- files ---- */

static void errors_of_files_are_results(void **state)
{
    int unused;
    raw_op *opening = prepare_open(&unused);
    raw_op *looking = prepare_stat(&unused);
    raw_op *reading = prepare_read(&unused);

    (void)state;
    opening->op.pointer = looking->op.pointer = "/nonexistent/file";
    reading->op.fd = lasting_fd(open("/", O_RDONLY | O_CLOEXEC));
    raw_submit(opening);
    raw_submit(looking);
    raw_submit(reading);
    run_until_final(opening);
    run_until_final(looking);
    run_until_final(reading);
    assert_int_equal(opening->value, GYRE_ENOENT);
    assert_int_equal(looking->value, GYRE_ENOENT);
    assert_int_equal(reading->value, GYRE_EISDIR);
    raw_free(opening);
    raw_free(looking);
    raw_free(reading);
}

static void a_read_at_the_end_is_short_and_then_0(void **state)
{
    FILE *file = tmpfile();
    int unused;
    raw_op *raw = prepare_read(&unused);

    (void)state;
    assert_non_null(file);
    assert_int_equal(fputs("gyre!", file), 1);
    assert_int_equal(fflush(file), 0);
    raw->op.fd = fileno(file);
    raw->op.arg64 = 2;
    raw_submit(raw);
    run_until_final(raw);
    assert_int_equal(raw->value, 3);
    assert_memory_equal(raw->op.pointer, "re!", 3);
    raw->op.arg64 = 5;
    raw_submit(raw);
    run_until_final(raw);
    assert_int_equal(raw->value, 0);
    raw_free(raw);
    assert_int_equal(fclose(file), 0);
}

/* ---- many ---- */

static void ten_thousand_operations_at_once_end_each_once(void **state)
{
    enum { OPS = 10000 };
    raw_op **raws = lasting(OPS * sizeof(raw_op *));

    (void)state;
    for (int i = 0; i < OPS; i++) {
        raws[i] = raw_new(GYREI_OP_STAT, AT_FDCWD, 0);
        raws[i]->op.pointer = "/";
        raws[i]->op.arg64 = (uintptr_t)lasting(sizeof(struct statx));
        raw_submit(raws[i]);
        if (i % 3 == 0)
            gyrei_op_cancel(loop, &raws[i]->op);
    }
    for (int i = 0; i < OPS; i++) {
        run_until_final(raws[i]);
        assert_int_equal(raws[i]->results, 1);
        raw_free(raws[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OP_TEST(a_result_that_is_there_comes_once_and_never_from_inside_submit),
        OP_TEST(a_result_that_comes_later_comes_once),
        OP_TEST(cancel_right_after_submit_ends_it),
        OP_TEST(cancel_while_it_waits_ends_it_and_a_second_one_does_no_harm),
        OP_TEST(cancel_of_a_result_on_its_way_loses_nothing),
        OP_TEST(cancel_of_a_runnable_one_from_a_sibling_ends_it),
        OP_TEST(a_descriptor_that_is_none_is_an_error_of_the_operation),
        OP_TEST(an_operation_may_be_submitted_anew_from_its_own_end),
        OP_TEST(a_peer_that_finishes_ends_a_receive_with_0_after_its_bytes),
        OP_TEST(a_reset_ends_a_receive_with_its_error),
        OP_TEST(what_was_received_before_a_cancel_comes_before_its_end),
        OP_TEST(a_receive_takes_what_is_there_and_leaves_the_rest),
        OP_TEST(a_send_larger_than_the_socket_is_short),
        OP_TEST(a_send_to_a_peer_that_is_gone_is_an_error_and_no_signal),
        OP_TEST(a_multishot_accept_takes_every_connection_until_it_is_cancelled),
        OP_TEST(a_connect_to_nobody_is_refused),
        OP_TEST(a_watch_reports_as_long_as_its_events_hold),
        OP_TEST(errors_of_files_are_results),
        OP_TEST(a_read_at_the_end_is_short_and_then_0),
        OP_TEST(ten_thousand_operations_at_once_end_each_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
