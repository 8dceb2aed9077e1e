/*
 * What a user may do wrong with a world: options out of range are refused, programmer's errors
 * assert, and the ends of every range are harmless.
 */
#include "fixture.h"

#include <gyre.h>

#include <string.h>

static gyre_sim *sim;
static gyre_sim_host *host;
static gyre_timer timer;
static void (*inside)(void);

static void on_timer(gyre_timer *self)
{
    if (inside != NULL)
        inside();
    if (!gyre_is_closing(&self->handle))
        gyre_close(&self->handle, NULL);
}

static int boot(gyre_sim_host *self, gyre_loop *own, void *ctx)
{
    (void)self;
    (void)ctx;
    assert_int_equal(gyre_timer_init(own, &timer), 0);
    gyre_timer_start(&timer, GYRE_SECOND, 0, on_timer);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    inside = NULL;
    assert_int_equal(gyre_sim_init(&sim, NULL), 0);
    assert_int_equal(gyre_sim_host_init(sim, &host, "host", boot, NULL, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    gyre_sim_close(sim);
    return 0;
}

static void test_options_out_of_range(void **state)
{
    const gyre_sim_options wrong[] = {
        {.size = 1},
        {.size = sizeof(wrong[0]), .mode = (gyre_sim_mode)7},
        {.size = sizeof(wrong[0]), .latency_min_ns = 2, .latency_max_ns = 1},
        {.size = sizeof(wrong[0]), .latency_max_ns = UINT64_MAX},
        {.size = sizeof(wrong[0]), .buffer_bytes = 255},
        {.size = sizeof(wrong[0]), .buffer_bytes = UINT32_MAX},
        {.size = sizeof(wrong[0]), .fds_max = UINT32_MAX},
    };
    gyre_sim *none = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(gyre_sim_init(&none, &wrong[i]), GYRE_EINVAL);
    assert_null(none);
}

static void test_a_world_without_hosts(void **state)
{
    gyre_sim *empty;

    (void)state;
    assert_int_equal(gyre_sim_init(&empty, NULL), 0);
    gyre_sim_set_fault(empty, GYRE_SIM_CRASH, 1000000);
    gyre_sim_set_fault(empty, GYRE_SIM_PARTITION, 1000000);
    assert_int_equal(gyre_sim_run(empty, UINT64_MAX), 0);
    assert_int_equal(gyre_sim_run_until(empty, 5 * GYRE_SECOND), 0);
    assert_int_equal(gyre_sim_now_ns(empty), 5 * GYRE_SECOND);
    gyre_sim_heal(empty);
    assert_int_equal(gyre_sim_run_until(empty, UINT64_MAX), 0);
    assert_null(gyre_sim_failure(empty));
    gyre_sim_close(empty);
}

/* A host takes a moment to boot. */
static void assert_time(uint64_t about_ns)
{
    assert_in_range(gyre_sim_now_ns(sim), about_ns, about_ns + GYRE_MILLISECOND);
}

/* What never comes is not waited for, and time does not go round. */
static void test_moments_that_never_come(void **state)
{
    (void)state;
    gyre_sim_host_job_time(host, 0, UINT64_MAX);
    assert_int_equal(gyre_sim_run_until(sim, UINT64_MAX), 0);
    assert_time(2 * GYRE_SECOND);
    gyre_sim_host_restart(host, UINT64_MAX);
    gyre_sim_host_pause(host, UINT64_MAX);
    gyre_timer_init(gyre_sim_host_loop(host), &timer);
    gyre_timer_start(&timer, UINT64_MAX - 3 * GYRE_SECOND, 0, on_timer);
    assert_int_equal(gyre_sim_run_until(sim, 10 * GYRE_SECOND), 1);
    assert_null(gyre_sim_failure(sim));
    gyre_sim_heal(sim);
    gyre_timer_start(&timer, GYRE_SECOND, 0, on_timer);
    assert_int_equal(gyre_sim_run(sim, UINT64_MAX), 0);
    assert_time(11 * GYRE_SECOND);
}

/* A host that is down is told nothing, and may be told anything. */
static void test_a_host_that_is_down(void **state)
{
    gyre_sim_usage usage;

    (void)state;
    assert_int_equal(gyre_sim_run(sim, UINT64_MAX), 0);
    assert_int_equal(gyre_sim_host_shutdown(host, GYRE_SECOND), 0);
    assert_int_equal(gyre_sim_host_shutdown(host, GYRE_SECOND), 0);
    gyre_sim_host_crash(host, 1);
    gyre_sim_host_crash(host, 0);
    gyre_sim_host_signal(host, 15);
    gyre_sim_host_fail_allocation(host, UINT64_MAX);
    gyre_sim_host_fail_allocation(host, 0);
    assert_null(gyre_sim_host_loop(host));
    assert_int_equal(gyre_sim_run(sim, UINT64_MAX), 0);
    gyre_sim_host_usage(host, &usage);
    assert_int_equal(usage.blocks + usage.descriptors, 0);
    assert_int_equal(usage.boots, 1);
}

/* ---- programmer's errors ---- */

static void rate_past_a_million(void)
{
    gyre_sim_set_fault(sim, GYRE_SIM_RESET, 1000001);
}

static void no_such_fault(void)
{
    gyre_sim_set_fault(sim, GYRE_SIM_FAULTS, 1);
}

static void count_of_no_fault(void)
{
    (void)gyre_sim_fault_count(sim, GYRE_SIM_FAULTS);
}

static void host_without_boot(void)
{
    gyre_sim_host_init(sim, &host, "host", NULL, NULL, NULL);
}

static void host_without_name(void)
{
    gyre_sim_host_init(sim, &host, NULL, boot, NULL, NULL);
}

static void cut_off_itself(void)
{
    gyre_sim_partition(host, host, 1);
}

static gyre_sim_host *stranger(void)
{
    gyre_sim *other;
    gyre_sim_host *there;

    assert_int_equal(gyre_sim_init(&other, NULL), 0);
    assert_int_equal(gyre_sim_host_init(other, &there, "stranger", boot, NULL, NULL), 0);
    return there;
}

static void cut_worlds(void)
{
    gyre_sim_partition(host, stranger(), 1);
}

static void note_of_another_world(void)
{
    gyre_sim_note(sim, stranger(), "note", 0, 0);
}

static void no_such_signal(void)
{
    gyre_sim_host_signal(host, 65);
}

static void job_times_reversed(void)
{
    gyre_sim_host_job_time(host, 2, 1);
}

static void run_world(void)
{
    gyre_sim_run(sim, UINT64_MAX);
}

static void run_until(void)
{
    gyre_sim_run_until(sim, UINT64_MAX);
}

static void close_world(void)
{
    gyre_sim_close(sim);
}

static void shut_down(void)
{
    gyre_sim_host_shutdown(host, GYRE_SECOND);
}

static void test_errors_of_the_programmer(void **state)
{
    static void (*const errors[])(void) = {
        rate_past_a_million, no_such_fault,      count_of_no_fault, host_without_boot,
        host_without_name,   cut_off_itself,     cut_worlds,        note_of_another_world,
        no_such_signal,      job_times_reversed,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        assert_true(aborts(errors[i]));
}

/* The world cannot be run, or go, while code of it is at work. */
static void test_errors_inside_a_callback(void **state)
{
    static void (*const errors[])(void) = {run_world, run_until, close_world, shut_down};

    (void)state;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        inside = errors[i];
        assert_true(aborts(run_world));
    }
    inside = NULL;
    assert_false(aborts(run_world));
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_out_of_range), cmocka_unit_test(test_a_world_without_hosts),
        WORLD_TEST(test_moments_that_never_come),    WORLD_TEST(test_a_host_that_is_down),
        WORLD_TEST(test_errors_of_the_programmer),   WORLD_TEST(test_errors_inside_a_callback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
