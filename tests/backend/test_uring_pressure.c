/*
 * The ring when something is short: submission entries, completions, records for results, memory in
 * the kernel, or patience. Nothing is lost, nothing comes twice, and order holds.
 */
#include "uring_support.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>

static const gyre_loop_options small_ring = {.ring_entries = 8};

/* ---- submission entries ---- */

static void a_thousand_operations_go_through_eight_entries(void **state)
{
    enum { OPS = 1000 };
    const int directory = open("/", O_PATH | O_CLOEXEC);
    struct statx *stats;
    raw_op **ops;

    (void)state;
    NEED_URING();
    loop_open_well(small_ring);
    stats = lasting(OPS * sizeof(*stats));
    ops = lasting(OPS * sizeof(raw_op *));
    turn_now();
    for (int i = 0; i < OPS; i++) {
        ops[i] = raw_new(GYREI_OP_STAT, directory, 0);
        ops[i]->op.pointer = ".";
        ops[i]->op.arg64 = (uint64_t)(uintptr_t)&stats[i];
        raw_submit(ops[i]);
    }
    for (int i = 0; i < OPS; i++) {
        run_until_final(ops[i]);
        assert_int_equal(ops[i]->results, 1);
        assert_int_equal(ops[i]->value, 0);
        assert_true(S_ISDIR(stats[i].stx_mode));
        raw_free(ops[i]);
    }
    close(directory);
    loop_close_well();
}

static void operations_before_the_first_turn_wait_for_it(void **state)
{
    raw_op *receives[100];
    int ends[100][2];

    (void)state;
    NEED_URING();
    loop_open_well(small_ring);
    for (int i = 0; i < 100; i++) {
        socket_pair(ends[i]);
        receives[i] = raw_receive(ends[i][0]);
        assert_int_equal(receives[i]->op.state, GYREI_OP_QUEUED);
        send_bytes(ends[i][1], "x", 1);
    }
    for (int i = 0; i < 100; i++)
        run_until_received(receives[i], 1);
    for (int i = 0; i < 100; i++) {
        raw_end(receives[i]);
        close(ends[i][0]);
        close(ends[i][1]);
    }
    loop_close_well();
}

/* ---- a kernel that does not take entries ---- */

static int refusal;
static unsigned refusals_left;

static int refuse_entries(uint32_t submit, uint32_t wait)
{
    (void)wait;
    if (submit == 0 || refusals_left == 0)
        return 0;
    refusals_left--;
    return refusal;
}

static void entries_that_were_refused_are_offered_again(void **state)
{
    static const int answers[] = {GYRE_EAGAIN, GYRE_EBUSY, GYRE_EINTR};
    raw_op *receives[40];
    int ends[40][2];

    (void)state;
    NEED_URING();
    loop_open_well(small_ring);
    turn_now();
    kernel.on_enter = refuse_entries;
    for (int answer = 0; answer < 3; answer++) {
        refusal = answers[answer];
        refusals_left = 30;
        for (int i = 0; i < 40; i++) {
            socket_pair(ends[i]);
            receives[i] = raw_receive(ends[i][0]);
            send_bytes(ends[i][1], "yes", 3);
        }
        for (int i = 0; i < 40; i++)
            run_until_received(receives[i], 3);
        refusals_left = 30;
        for (int i = 0; i < 40; i++)
            gyrei_op_cancel(loop, &receives[i]->op);
        for (int i = 0; i < 40; i++) {
            run_until_final(receives[i]);
            assert_int_equal(receives[i]->value, GYRE_ECANCELED);
            raw_free(receives[i]);
            close(ends[i][0]);
            close(ends[i][1]);
        }
        assert_int_equal(refusals_left, 0);
    }
    loop_close_well();
}

static int answer_always(uint32_t submit, uint32_t wait)
{
    (void)submit;
    (void)wait;
    return refusal;
}

/* What cannot get better is the turn's error. */
static void an_error_that_stays_ends_the_run(void **state)
{
    (void)state;
    NEED_URING();
    loop_open_well(small_ring);
    turn_now();
    kernel.on_enter = answer_always;
    refusal = GYRE_EFAULT;
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_ONCE), GYRE_EFAULT);
    kernel.on_enter = NULL;
    loop_close_well();
}

static void on_alarm(int number)
{
    (void)number;
}

static void count_timer(gyre_timer *timer)
{
    ++*(unsigned *)timer->data;
}

/* Signals interrupt the wait: it goes on, and no timer is early. */
static void signals_do_not_shorten_a_wait(void **state)
{
    const struct itimerval often = {.it_interval.tv_usec = 500, .it_value.tv_usec = 500};
    const struct itimerval never = {.it_value.tv_usec = 0};
    const struct sigaction action = {.sa_handler = on_alarm};
    const uint64_t before = clock_ns();
    gyre_timer *timer;
    unsigned fired = 0;

    (void)state;
    NEED_URING();
    loop_open_well(small_ring);
    timer = timer_new("t");
    timer->data = &fired;
    gyre_timer_start(timer, 20 * GYRE_MILLISECOND, 0, count_timer);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    while (fired == 0)
        turn();
    setitimer(ITIMER_REAL, &never, NULL);
    assert_true(clock_ns() - before >= 20 * GYRE_MILLISECOND);
    gyre_close(&timer->handle, NULL);
    turn_now();
    loop_close_well();
}

/* ---- completions ---- */

/* More sockets become readable at a time than the completion queue has room for. */
static void completions_that_overflow_are_not_lost(void **state)
{
    enum { SOCKETS = 300, ROUNDS = 5 };
    raw_op *receives[SOCKETS];
    int ends[SOCKETS][2];
    bool overflown = false;

    (void)state;
    NEED_URING();
    loop_open_well(small_ring);
    assert_true(uring_of_loop()->ring.cq.ring_entries < SOCKETS);
    for (int i = 0; i < SOCKETS; i++) {
        socket_pair(ends[i]);
        receives[i] = raw_receive(ends[i][0]);
    }
    turn_now();
    for (size_t round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < SOCKETS; i++) {
            char bytes[32];

            snprintf(bytes, sizeof(bytes), "%03d:%zu;", i, round);
            send_bytes(ends[i][1], bytes, 6);
        }
        for (int i = 0; i < SOCKETS; i++) {
            run_until_received(receives[i], (round + 1) * 6);
            overflown = overflown || (*uring_of_loop()->ring.sq.kflags & IORING_SQ_CQ_OVERFLOW);
        }
    }
    for (int i = 0; i < SOCKETS; i++) {
        for (size_t round = 0; round < ROUNDS; round++) {
            char bytes[32];

            snprintf(bytes, sizeof(bytes), "%03d:%zu;", i, round);
            assert_memory_equal(receives[i]->bytes + round * 6, bytes, 6);
        }
        raw_end(receives[i]);
        close(ends[i][0]);
        close(ends[i][1]);
    }
    loop_close_well();
}

/* One batch of accepts is larger than the queue: its request ends early and is armed anew. */
static void more_connections_than_completions_are_all_accepted(void **state)
{
    enum { CLIENTS = 500 };
    struct sockaddr_un address;
    socklen_t len;
    raw_op *accepting;
    int clients[CLIENTS];
    int listener;

    (void)state;
    NEED_URING();
    listener = listen_somewhere(&address, &len);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = connect_to(&address, len);
    loop_open_well(small_ring);
    accepting = raw_accept(listener);
    while (accepting->fd_count < CLIENTS)
        turn();
    assert_false(accepting->final);
    raw_end(accepting);
    for (unsigned i = 0; i < CLIENTS; i++)
        close(accepting->fds[i]);
    /* Each client had its own end. */
    for (int i = 0; i < CLIENTS; i++) {
        assert_true(is_at_end(clients[i]));
        close(clients[i]);
    }
    close(listener);
    loop_close_well();
}

/* ---- records ---- */

/* Results beyond the first of an op need a record each; without one the completion stays. */
static void results_without_a_record_wait_in_the_ring(void **state)
{
    enum { CLIENTS = 100, LEFT = 3 };
    struct sockaddr_un address;
    gyrei_record *taken;
    gyrei_record *last;
    socklen_t len;
    raw_op *accepting;
    int clients[CLIENTS];
    int listener;

    (void)state;
    NEED_URING();
    listener = listen_somewhere(&address, &len);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = connect_to(&address, len);
    loop_open_well((gyre_loop_options){.ring_entries = 64});
    last = loop->records_free;
    for (int i = 1; i < LEFT; i++)
        last = last->next;
    taken = last->next;
    last->next = NULL;
    accepting = raw_accept(listener);
    assert_true(gyre_loop_run(loop, GYRE_RUN_NOWAIT) >= 0);
    while (accepting->fd_count < CLIENTS) /* not turn(): the loop would miss its records */
        assert_true(gyre_loop_run(loop, GYRE_RUN_ONCE) >= 0);
    last = loop->records_free;
    for (int i = 1; i < LEFT; i++)
        last = last->next;
    assert_null(last->next); /* all are back */
    last->next = taken;
    raw_end(accepting);
    for (unsigned i = 0; i < CLIENTS; i++)
        close(accepting->fds[i]);
    for (int i = 0; i < CLIENTS; i++) {
        assert_true(is_at_end(clients[i]));
        close(clients[i]);
    }
    close(listener);
    loop_close_well();
}

/* ---- system calls ---- */

/* A turn with nothing to do asks the kernel nothing; one that waits enters once. */
static void a_turn_costs_one_call_at_most(void **state)
{
    raw_op *receive;
    int ends[2];

    (void)state;
    NEED_URING();
    loop_open_well(small_ring);
    socket_pair(ends);
    receive = raw_receive(ends[0]);
    turn_now();
    turn_now();
    kernel.enters = 0;
    for (int i = 0; i < 10; i++)
        turn_now();
    assert_int_equal(kernel.enters, 0);
    for (size_t i = 1; i <= 10; i++) {
        send_bytes(ends[1], "x", 1);
        turn();
        assert_int_equal(receive->len, i);
        assert_int_equal(kernel.enters, i);
    }
    raw_end(receive);
    close(ends[0]);
    close(ends[1]);
    loop_close_well();
}

/* A result that is there already is found without waiting, though a peek does not show it. */
static void a_nowait_turn_finds_what_has_completed(void **state)
{
    raw_op *receive;
    int ends[2];

    (void)state;
    NEED_URING();
    loop_open_well(small_ring);
    socket_pair(ends);
    receive = raw_receive(ends[0]);
    turn_now();
    for (size_t i = 1; i <= 5; i++) {
        send_bytes(ends[1], "x", 1);
        turn_now();
        assert_int_equal(receive->len, i);
    }
    raw_end(receive);
    close(ends[0]);
    close(ends[1]);
    loop_close_well();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        URING_TEST(a_thousand_operations_go_through_eight_entries),
        URING_TEST(operations_before_the_first_turn_wait_for_it),
        URING_TEST(entries_that_were_refused_are_offered_again),
        URING_TEST(an_error_that_stays_ends_the_run),
        URING_TEST(signals_do_not_shorten_a_wait),
        URING_TEST(completions_that_overflow_are_not_lost),
        URING_TEST(more_connections_than_completions_are_all_accepted),
        URING_TEST(results_without_a_record_wait_in_the_ring),
        URING_TEST(a_turn_costs_one_call_at_most),
        URING_TEST(a_nowait_turn_finds_what_has_completed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
