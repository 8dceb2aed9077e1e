/*
 * A group of loops in a simulated world: its threads run one at a time, in the order of the seed,
 * on virtual time. The swarm does the rest: gyre sim --scenario group.
 */
#include <gyre.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { LOOPS = 3, SEEDS = 60, POSTS = 40 };

/* Only the test's own thread may fail an assertion: the loops' threads count. */
typedef struct program {
    gyre_group *group;
    gyre_timer busy[LOOPS];
    gyre_post_node nodes[LOOPS][POSTS];
    int setups;
    int early; /* turns before all were set up */
    int drains;
    int teardowns;
    int ends;
    int ran;
    int open_error;
    bool stays; /* does not drain */
    uint64_t order;
} program;

static program it;
static gyre_sim *sim;
static gyre_sim_host *host;

static void on_busy(gyre_timer *timer)
{
    it.early += it.setups < LOOPS;
    it.order = (it.order ^ (uint64_t)(timer - it.busy)) * UINT64_C(1099511628211);
}

static void on_post(gyre_post_node *node, int status)
{
    const int64_t index = (gyre_timer *)node->data - it.busy;

    it.ran += status == 0;
    it.early += it.setups < LOOPS;
    it.order = (it.order ^ (uint64_t)(10 + index)) * UINT64_C(1099511628211);
}

static int set_up(gyre_group *group, uint32_t index, gyre_loop *loop, void *ctx)
{
    int error = gyre_timer_init(loop, &it.busy[index]);

    (void)ctx;
    if (error != 0)
        return error;
    for (int i = 0; i < POSTS; i++) {
        gyre_post_node *node = &it.nodes[index][i];

        node->data = &it.busy[index];
        error = gyre_group_post(group, (index + (uint32_t)i) % LOOPS, node, on_post);
        if (error != 0)
            return error;
    }
    it.setups++;
    gyre_timer_start(&it.busy[index], 0, GYRE_MILLISECOND, on_busy);
    return 0;
}

static void drain(gyre_group *group, uint32_t index, gyre_loop *loop, void *ctx)
{
    (void)group;
    (void)loop;
    (void)ctx;
    it.drains++;
    if (!it.stays)
        gyre_close(&it.busy[index].handle, NULL);
}

static void tear_down(gyre_group *group, uint32_t index, gyre_loop *loop, void *ctx)
{
    (void)group;
    (void)index;
    (void)loop;
    (void)ctx;
    it.teardowns++;
}

static void ended(gyre_group *group, uint32_t index, void *ctx)
{
    (void)group;
    (void)index;
    (void)ctx;
    it.ends++;
}

static int boot(gyre_sim_host *on, gyre_loop *loop, void *ctx)
{
    gyre_loop_options loops = {.size = sizeof(loops)};
    const gyre_group_options options = {.size = sizeof(options),
                                        .loop = &loops,
                                        .drain = drain,
                                        .teardown = tear_down,
                                        .ended = ended};

    (void)loop;
    (void)ctx;
    gyre_sim_host_loop_options(on, &loops);
    it.setups = 0;
    it.open_error = gyre_group_open(&it.group, LOOPS, &options, set_up);
    return it.open_error;
}

static void begin(uint64_t seed)
{
    const gyre_sim_options options = {.size = sizeof(options), .seed = seed};

    memset(&it, 0, sizeof(it));
    assert_int_equal(gyre_sim_init(&sim, &options), 0);
    assert_int_equal(gyre_sim_host_init(sim, &host, "host", boot, NULL, NULL), 0);
    gyre_sim_set_fault(sim, GYRE_SIM_PREEMPTED, 200000);
}

static void run_for(uint64_t for_ns)
{
    (void)gyre_sim_run_until(sim, gyre_sim_now_ns(sim) + for_ns);
}

static void end(void)
{
    gyre_sim_usage usage;

    if (gyre_sim_host_loop(host) != NULL)
        assert_int_equal(gyre_sim_host_shutdown(host, GYRE_SECOND), 0);
    gyre_sim_host_usage(host, &usage);
    assert_int_equal(usage.blocks, 0);
    assert_int_equal(usage.descriptors, 0);
    gyre_sim_close(sim);
}

static uint64_t run_seed(uint64_t seed)
{
    begin(seed);
    run_for(GYRE_SECOND);
    assert_int_equal(it.open_error, 0);
    assert_int_equal(it.setups, LOOPS);
    assert_int_equal(it.ran, LOOPS * POSTS);
    assert_int_equal(gyre_group_close(it.group, 5 * GYRE_SECOND), 0);
    assert_int_equal(it.early, 0);
    assert_int_equal(it.drains, LOOPS);
    assert_int_equal(it.teardowns, LOOPS);
    assert_int_equal(it.ends, LOOPS);
    end();
    return it.order;
}

static void a_seed_is_the_same_again_and_another_is_another(void **state)
{
    int others = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const uint64_t order = run_seed(seed);

        assert_true(run_seed(seed) == order);
        others += run_seed(seed + 1) != order;
    }
    assert_true(others > SEEDS / 2);
}

/* Virtual time: the deadline is kept to the millisecond, and costs nothing. */
static void a_loop_that_does_not_drain_is_stopped_in_time(void **state)
{
    uint64_t begun_ns;
    uint64_t took_ns;

    (void)state;
    begin(1);
    it.stays = true;
    run_for(GYRE_SECOND);
    begun_ns = gyre_sim_now_ns(sim);
    assert_int_equal(gyre_group_close(it.group, 10 * GYRE_SECOND), GYRE_ETIMEDOUT);
    took_ns = gyre_sim_now_ns(sim) - begun_ns;
    assert_in_range(took_ns, 10 * GYRE_SECOND, 10 * GYRE_SECOND + 10 * GYRE_MILLISECOND);
    assert_int_equal(it.drains, LOOPS);
    assert_int_equal(it.ends, LOOPS);
    end();
}

/* Threads that stand anywhere are no more, and what they had is none of the next process's. */
static void a_crash_takes_the_threads_too(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed);
        run_for(seed * 37 % 5000 * GYRE_MICROSECOND);
        gyre_sim_host_crash(host, seed % 2 == 0);
        assert_int_equal(it.ends, 0);
        gyre_sim_host_restart(host, GYRE_MILLISECOND);
        run_for(GYRE_SECOND);
        assert_int_equal(it.setups, LOOPS);
        assert_int_equal(gyre_group_close(it.group, GYRE_SECOND), 0);
        assert_int_equal(it.ends, LOOPS);
        end();
    }
}

/* The world's end, too. */
static void a_world_may_end_around_a_group(void **state)
{
    (void)state;
    begin(1);
    run_for(GYRE_MILLISECOND);
    gyre_sim_close(sim);
    assert_int_equal(it.ends, 0);
}

/* Whatever allocation or thread there is none of, what had begun has ended. */
static void without_memory_it_is_not_opened(void **state)
{
    int failed = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed);
        gyre_sim_set_fault(sim, GYRE_SIM_ENOMEM, 50000);
        run_for(GYRE_MILLISECOND);
        gyre_sim_set_fault(sim, GYRE_SIM_ENOMEM, 0);
        failed += it.open_error != 0;
        if (gyre_sim_host_loop(host) != NULL && it.open_error == 0)
            (void)gyre_group_close(it.group, GYRE_SECOND);
        assert_int_equal(it.teardowns, it.ends);
        end();
    }
    assert_in_range(failed, 1, SEEDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_is_the_same_again_and_another_is_another),
        cmocka_unit_test(a_loop_that_does_not_drain_is_stopped_in_time),
        cmocka_unit_test(a_crash_takes_the_threads_too),
        cmocka_unit_test(a_world_may_end_around_a_group),
        cmocka_unit_test(without_memory_it_is_not_opened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
