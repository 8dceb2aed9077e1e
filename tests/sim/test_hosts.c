/*
 * Hosts of a world: crash and restart, loss of power, partitions, signals, jobs, a program that
 * runs its loop by itself, names of unix sockets, memory that fails.
 */
#include <gyre.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { PORT = 7 };

/* A host with one listener, which greets, and one client, which notes what it gets. */
typedef struct pair {
    gyre_sim *sim;
    gyre_sim_host *server;
    gyre_sim_host *client;
    gyre_tcp listener;
    gyre_tcp accepted;
    gyre_tcp tcp;
    gyre_connect_req connect;
    int boots;
    int crashes;
    int connects;
    int connect_status;
    int64_t last_read;
    uint64_t bytes;
} pair;

static void greet(gyre_stream *listener, int status)
{
    pair *self = listener->data;

    assert_int_equal(status, 0);
    assert_int_equal(gyre_accept(listener, &self->accepted.stream), 0);
    self->accepted.data = self;
    assert_int_equal(gyre_write_copy(&self->accepted.stream, "hello", 5), 0);
}

static int boot_server(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    pair *self = ctx;
    gyre_address address;

    self->boots++;
    gyre_sim_host_address(host, PORT, &address);
    assert_int_equal(gyre_tcp_init(loop, &self->listener), 0);
    self->listener.data = self;
    assert_int_equal(gyre_tcp_bind(&self->listener, &address, 0), 0);
    return gyre_listen(&self->listener.stream, 0, greet);
}

static void crashed(gyre_sim_host *host, void *ctx)
{
    (void)host;
    ((pair *)ctx)->crashes++;
}

static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    pair *self = stream->data;

    (void)buf;
    self->last_read = nread;
    if (nread > 0)
        self->bytes += (uint64_t)nread;
}

static void on_connected(gyre_connect_req *req, int status)
{
    pair *self = req->data;

    self->connects++;
    self->connect_status = status;
    if (status == 0)
        assert_int_equal(gyre_read_start(&self->tcp.stream, on_read), 0);
}

static int boot_client(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    pair *self = ctx;
    gyre_address address;

    (void)host;
    gyre_sim_host_address(self->server, PORT, &address);
    assert_int_equal(gyre_tcp_init(loop, &self->tcp), 0);
    self->tcp.data = self;
    self->connect.data = self;
    return gyre_tcp_connect(&self->tcp, &self->connect, &address, 0, on_connected);
}

static pair two;

static int set_up(gyre_sim_mode mode)
{
    const gyre_sim_options options = {.size = sizeof(options), .seed = 5, .mode = mode};

    memset(&two, 0, sizeof(two));
    assert_int_equal(gyre_sim_init(&two.sim, &options), 0);
    assert_int_equal(gyre_sim_host_init(two.sim, &two.server, "server", boot_server, crashed, &two),
                     0);
    assert_int_equal(gyre_sim_host_init(two.sim, &two.client, "client", boot_client, crashed, &two),
                     0);
    return 0;
}

static int set_up_readiness(void **state)
{
    (void)state;
    return set_up(GYRE_SIM_READINESS);
}

static int set_up_completion(void **state)
{
    (void)state;
    return set_up(GYRE_SIM_COMPLETION);
}

static int tear_down(void **state)
{
    (void)state;
    assert_null(gyre_sim_failure(two.sim));
    gyre_sim_close(two.sim);
    return 0;
}

static void run_for(uint64_t for_ns)
{
    gyre_sim_run_until(two.sim, gyre_sim_now_ns(two.sim) + for_ns);
}

/* ---- crashes ---- */

static void a_killed_process_ends_its_connections(void **state)
{
    gyre_sim_usage usage;

    (void)state;
    run_for(GYRE_SECOND);
    assert_int_equal(two.bytes, 5);
    gyre_sim_host_crash(two.server, 0);
    assert_null(gyre_sim_host_loop(two.server));
    gyre_sim_host_usage(two.server, &usage);
    assert_int_equal(usage.blocks, 0);
    assert_int_equal(usage.descriptors, 0);
    run_for(GYRE_SECOND);
    assert_int_equal(two.last_read, GYRE_EOF);
    assert_int_equal(two.crashes, 1);
    assert_int_equal(two.boots, 1);
}

static void a_host_without_power_says_nothing(void **state)
{
    (void)state;
    run_for(GYRE_SECOND);
    gyre_sim_host_crash(two.server, 1);
    run_for(60 * GYRE_SECOND);
    assert_int_equal(two.last_read, 5);
    /* When it is back it does not know the connection. */
    gyre_sim_host_restart(two.server, 0);
    run_for(GYRE_SECOND);
    assert_int_equal(two.boots, 2);
    assert_int_equal(gyre_write_copy(&two.tcp.stream, "?", 1), 0);
    run_for(GYRE_SECOND);
    assert_int_equal(two.last_read, GYRE_ECONNRESET);
}

static void nobody_answers_without_power(void **state)
{
    (void)state;
    gyre_sim_run_until(two.sim, gyre_sim_now_ns(two.sim) + 1);
    gyre_sim_host_crash(two.server, 1);
    run_for(120 * GYRE_SECOND);
    assert_int_equal(two.connects, 1);
    assert_int_equal(two.connect_status, GYRE_ETIMEDOUT);
}

/* ---- the network ---- */

static void a_partition_delays(void **state)
{
    (void)state;
    run_for(GYRE_SECOND);
    gyre_sim_partition(two.server, two.client, 1);
    assert_int_equal(gyre_write_copy(&two.accepted.stream, "again", 5), 0);
    run_for(5 * GYRE_SECOND);
    assert_int_equal(two.bytes, 5);
    gyre_sim_partition(two.server, two.client, 0);
    run_for(10 * GYRE_SECOND);
    assert_int_equal(two.bytes, 10);
}

static void a_long_partition_breaks(void **state)
{
    (void)state;
    run_for(GYRE_SECOND);
    gyre_sim_partition(two.server, two.client, 1);
    assert_int_equal(gyre_write_copy(&two.tcp.stream, "lost", 4), 0);
    run_for(60 * GYRE_SECOND);
    assert_int_equal(two.last_read, GYRE_ETIMEDOUT);
}

static void a_fault_strikes_at_its_rate(void **state)
{
    (void)state;
    gyre_sim_set_fault(two.sim, GYRE_SIM_REFUSED, 1000000);
    run_for(GYRE_SECOND);
    assert_int_equal(two.connect_status, GYRE_ECONNREFUSED);
    assert_int_equal(gyre_sim_fault_count(two.sim, GYRE_SIM_REFUSED), 1);
    assert_string_equal(gyre_sim_fault_name(GYRE_SIM_REFUSED), "refused");
}

/* One direction ends on the way; the other one goes on, until somebody writes against the end. */
static void a_half_closed_way_ends_one_direction(void **state)
{
    (void)state;
    run_for(GYRE_SECOND);
    gyre_sim_set_fault(two.sim, GYRE_SIM_HALF_CLOSED, 1000000);
    assert_int_equal(gyre_write_copy(&two.accepted.stream, "lost", 4), 0);
    run_for(GYRE_SECOND);
    gyre_sim_set_fault(two.sim, GYRE_SIM_HALF_CLOSED, 0);
    assert_int_equal(gyre_sim_fault_count(two.sim, GYRE_SIM_HALF_CLOSED), 1);
    assert_int_equal(two.bytes, 5);
    assert_int_equal(two.last_read, GYRE_EOF);
    assert_int_equal(gyre_read_start(&two.accepted.stream, on_read), 0);
    assert_int_equal(gyre_write_copy(&two.tcp.stream, "heard", 5), 0);
    run_for(GYRE_SECOND);
    assert_int_equal(two.bytes, 10);
    assert_int_equal(gyre_write_copy(&two.accepted.stream, "more", 4), 0);
    run_for(GYRE_SECOND);
    assert_int_equal(two.last_read, GYRE_ECONNRESET);
}

/* ---- signals and jobs ---- */

static void on_signal(gyre_signal *watcher, int signum)
{
    *(int *)watcher->data += signum;
}

static void signals_reach_the_host(void **state)
{
    gyre_signal watcher;
    int sum = 0;

    (void)state;
    run_for(GYRE_SECOND);
    assert_int_equal(gyre_signal_init(gyre_sim_host_loop(two.server), &watcher), 0);
    watcher.data = &sum;
    assert_int_equal(gyre_signal_start(&watcher, 15, on_signal), 0);
    gyre_sim_host_signal(two.client, 15);
    run_for(GYRE_SECOND);
    assert_int_equal(sum, 0);
    gyre_sim_host_signal(two.server, 15);
    gyre_sim_host_signal(two.server, 1);
    run_for(GYRE_SECOND);
    assert_int_equal(sum, 15);
    gyre_close(&watcher.handle, NULL);
    run_for(GYRE_SECOND);
}

typedef struct task {
    gyre_work work;
    int ran;
    int done;
    int status;
} task;

static void run_task(gyre_work *work)
{
    ((task *)work->data)->ran++;
}

static void task_done(gyre_work *work, int status)
{
    task *self = work->data;

    self->done++;
    self->status = status;
}

static void jobs_take_virtual_time(void **state)
{
    task tasks[2];

    (void)state;
    run_for(GYRE_SECOND);
    memset(tasks, 0, sizeof(tasks));
    for (int i = 0; i < 2; i++) {
        tasks[i].work.data = &tasks[i];
        assert_int_equal(gyre_work_submit(gyre_sim_host_loop(two.server), &tasks[i].work, NULL,
                                          run_task, task_done),
                         0);
    }
    assert_int_equal(gyre_work_cancel(&tasks[1].work), 0);
    assert_int_equal(tasks[0].ran, 0);
    run_for(GYRE_SECOND);
    assert_int_equal(tasks[0].ran, 1);
    assert_int_equal(tasks[0].done, 1);
    assert_int_equal(tasks[0].status, 0);
    assert_int_equal(tasks[1].ran, 0);
    assert_int_equal(tasks[1].status, GYRE_ECANCELED);
}

/* ---- a program that runs its loop by itself ---- */

static void count_down(gyre_timer *timer)
{
    int *left = timer->data;

    if (--*left == 0)
        gyre_close(&timer->handle, NULL);
}

static void a_loop_that_sleeps_runs_the_world(void **state)
{
    const uint64_t begun_ns = gyre_sim_now_ns(two.sim);
    gyre_timer timer;
    gyre_loop *loop;
    int left = 10;

    (void)state;
    assert_int_equal(gyre_sim_loop_init(two.client, &loop, NULL), 0);
    assert_string_equal(gyre_loop_backend_name(loop), "sim");
    assert_int_equal(gyre_timer_init(loop, &timer), 0);
    timer.data = &left;
    gyre_timer_start(&timer, GYRE_SECOND, GYRE_SECOND, count_down);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(left, 0);
    assert_int_equal(two.bytes, 5);
    assert_true(gyre_sim_now_ns(two.sim) - begun_ns >= 10 * GYRE_SECOND);
    /* Nothing could ever wake it. */
    gyre_loop_hold(loop);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), GYRE_EDEADLK);
    gyre_loop_release(loop);
    assert_int_equal(gyre_loop_close(loop), 0);
}

/* ---- limits ---- */

static void memory_may_fail(void **state)
{
    gyre_loop *loop;

    (void)state;
    run_for(GYRE_SECOND);
    gyre_sim_set_fault(two.sim, GYRE_SIM_ENOMEM, 1000000);
    assert_int_equal(gyre_sim_loop_init(two.client, &loop, NULL), GYRE_ENOMEM);
    gyre_sim_set_fault(two.sim, GYRE_SIM_ENOMEM, 0);
    assert_int_equal(gyre_sim_loop_init(two.client, &loop, NULL), 0);
    assert_int_equal(gyre_loop_close(loop), 0);
}

/* Each allocation of a loop's beginning fails in turn; then none is left to fail. */
static void the_nth_allocation_fails(void **state)
{
    gyre_loop *loop;
    gyre_sim_usage usage;
    uint64_t failed = 0;
    uint64_t blocks;

    (void)state;
    run_for(GYRE_SECOND);
    gyre_sim_host_usage(two.client, &usage);
    blocks = usage.blocks;
    for (;;) {
        gyre_sim_host_fail_allocation(two.client, failed + 1);
        if (gyre_sim_loop_init(two.client, &loop, NULL) == 0)
            break;
        failed++;
        gyre_sim_host_usage(two.client, &usage);
        assert_int_equal(usage.blocks, blocks);
    }
    assert_true(failed > 3);
    assert_int_equal(gyre_sim_fault_count(two.sim, GYRE_SIM_ENOMEM), failed);
    gyre_sim_host_fail_allocation(two.client, 0);
    assert_int_equal(gyre_loop_close(loop), 0);
}

static void a_unix_path_outlives_its_process(void **state)
{
    gyre_loop *loop;
    gyre_pipe pipe;

    (void)state;
    run_for(GYRE_SECOND);
    assert_int_equal(gyre_pipe_init(gyre_sim_host_loop(two.server), &pipe), 0);
    assert_int_equal(gyre_pipe_bind(&pipe, "/run/x"), 0);
    gyre_sim_host_crash(two.server, 0);
    gyre_sim_host_restart(two.server, 0);
    run_for(GYRE_SECOND);
    loop = gyre_sim_host_loop(two.server);
    assert_non_null(loop);
    assert_int_equal(gyre_pipe_init(loop, &pipe), 0);
    assert_int_equal(gyre_pipe_bind(&pipe, "/run/x"), GYRE_EADDRINUSE);
    assert_int_equal(gyre_pipe_bind(&pipe, "@x"), 0);
    gyre_close(&pipe.handle, NULL);
    run_for(GYRE_SECOND);
}

#define IN_BOTH_MODES(test)                                                                        \
    {#test " (readiness)", test, set_up_readiness, tear_down, NULL},                               \
    {                                                                                              \
#test " (completion)", test, set_up_completion, tear_down, NULL                            \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH_MODES(a_killed_process_ends_its_connections),
        IN_BOTH_MODES(a_host_without_power_says_nothing),
        IN_BOTH_MODES(nobody_answers_without_power),
        IN_BOTH_MODES(a_partition_delays),
        IN_BOTH_MODES(a_long_partition_breaks),
        IN_BOTH_MODES(a_fault_strikes_at_its_rate),
        IN_BOTH_MODES(a_half_closed_way_ends_one_direction),
        IN_BOTH_MODES(signals_reach_the_host),
        IN_BOTH_MODES(jobs_take_virtual_time),
        IN_BOTH_MODES(a_loop_that_sleeps_runs_the_world),
        IN_BOTH_MODES(memory_may_fail),
        IN_BOTH_MODES(the_nth_allocation_fails),
        IN_BOTH_MODES(a_unix_path_outlives_its_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
