/*
 * Slices, through the public interface: long computations on the loop that let I/O run in between.
 */
#include <gyre.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static gyre_loop *loop;

static int set_up(void **state)
{
    (void)state;
    return gyre_loop_init(&loop, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    return gyre_loop_shutdown(loop, 10 * GYRE_SECOND);
}

typedef struct count {
    gyre_slice slice;
    int left;
    int fails_at;
    int steps;
    int done;
    int status;
    struct count *other;
    int largest_lead;
} count;

static int step(gyre_slice *slice)
{
    count *self = slice->data;

    self->steps++;
    self->left--;
    if (self->other != NULL && self->other->done == 0 &&
        self->steps - self->other->steps > self->largest_lead)
        self->largest_lead = self->steps - self->other->steps;
    if (self->fails_at != 0 && self->left == self->fails_at)
        return GYRE_EIO;
    return self->left > 0;
}

static void done(gyre_slice *slice, int status)
{
    count *self = slice->data;

    self->done++;
    self->status = status;
}

static void start(count *self, uint64_t budget_ns)
{
    self->slice.data = self;
    assert_int_equal(gyre_slice_start(loop, &self->slice, budget_ns, step, done), 0);
}

static void steps_run_to_the_end(void **state)
{
    count one = {.left = 100000};

    (void)state;
    start(&one, 0);
    assert_int_equal(one.steps, 0);
    assert_int_equal(gyre_loop_alive(loop), 1);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(one.steps, 100000);
    assert_int_equal(one.done, 1);
    assert_int_equal(one.status, 0);
    assert_int_equal(one.slice.steps, 100000);
}

typedef struct again {
    gyre_deferred deferred;
    const gyre_slice *slice;
    uint64_t ran;
} again;

/* Something to do in each turn, as long as the slice computes. */
static void go_again(gyre_deferred *deferred)
{
    again *self = deferred->data;

    self->ran++;
    if (self->slice->steps < 20)
        gyre_defer(loop, deferred, go_again);
}

/* A step that takes a budget of 1 ms. */
static int slow_step(gyre_slice *slice)
{
    const uint64_t begun_ns = gyre_loop_now_ns(loop);

    do
        gyre_loop_update_now(loop);
    while (gyre_loop_now_ns(loop) - begun_ns < GYRE_MILLISECOND);
    return step(slice);
}

/* Work that never ends gets many turns between two budgets, and the slice comes to its end. */
static void others_get_more_turns_while_they_have_work(void **state)
{
    count one = {.left = 20};
    again other = {.slice = &one.slice};

    (void)state;
    other.deferred.data = &other;
    one.slice.data = &one;
    assert_int_equal(gyre_slice_start(loop, &one.slice, GYRE_MILLISECOND, slow_step, done), 0);
    gyre_defer(loop, &other.deferred, go_again);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(one.steps, 20);
    assert_true(other.ran > 10 * one.slice.turns);
}

static int checks;

static void on_check(gyre_hook *hook)
{
    (void)hook;
    checks++;
}

/* A budget that one step spends: each turn computes one step, and all phases run in between. */
static void each_turn_serves_the_loop_between_budgets(void **state)
{
    count one = {.left = 50};
    gyre_hook hook;

    (void)state;
    checks = 0;
    assert_int_equal(gyre_hook_init(loop, &hook, GYRE_HOOK_CHECK), 0);
    gyre_hook_start(&hook, on_check);
    gyre_unref(&hook.handle);
    start(&one, 1);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_true(one.slice.turns >= 50);
    assert_true(checks >= 49);
    gyre_close(&hook.handle, NULL);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
}

static void two_slices_take_turns(void **state)
{
    count a = {.left = 5000};
    count b = {.left = 5000};

    (void)state;
    a.other = &b;
    b.other = &a;
    start(&a, 0);
    start(&b, 100 * GYRE_MILLISECOND);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    assert_int_equal(a.steps, 5000);
    assert_int_equal(b.steps, 5000);
    assert_true(a.largest_lead <= 1 && b.largest_lead <= 1);
}

static void a_failing_step_ends_it(void **state)
{
    count one = {.left = 100, .fails_at = 40};

    (void)state;
    start(&one, 0);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    assert_int_equal(one.steps, 60);
    assert_int_equal(one.status, GYRE_EIO);
    assert_int_equal(one.done, 1);
}

static void cancel_calls_done_and_no_step(void **state)
{
    count one = {.left = 1 << 30};

    (void)state;
    start(&one, 1);
    while (one.steps < 3)
        gyre_loop_run(loop, GYRE_RUN_ONCE);
    const int steps = one.steps;

    assert_int_equal(gyre_slice_cancel(&one.slice), 0);
    assert_int_equal(one.done, 0);
    assert_int_equal(gyre_slice_cancel(&one.slice), GYRE_EALREADY);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(one.steps, steps);
    assert_int_equal(one.done, 1);
    assert_int_equal(one.status, GYRE_ECANCELED);
}

static int step_that_cancels(gyre_slice *slice)
{
    count *self = slice->data;

    self->steps++;
    assert_int_equal(gyre_slice_cancel(slice), 0);
    return 1;
}

static void a_step_may_cancel_its_slice(void **state)
{
    count one = {.left = 1};

    (void)state;
    one.slice.data = &one;
    assert_int_equal(gyre_slice_start(loop, &one.slice, 0, step_that_cancels, done), 0);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    assert_int_equal(one.steps, 1);
    assert_int_equal(one.done, 1);
    assert_int_equal(one.status, GYRE_ECANCELED);
}

static void restart(gyre_slice *slice, int status)
{
    count *self = slice->data;

    assert_int_equal(status, 0);
    if (++self->done < 3) {
        self->left = 10;
        assert_int_equal(gyre_slice_start(loop, slice, 1, step, restart), 0);
    }
}

static void done_may_start_it_again(void **state)
{
    count one = {.left = 10};

    (void)state;
    one.slice.data = &one;
    assert_int_equal(gyre_slice_start(loop, &one.slice, 1, step, restart), 0);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    assert_int_equal(one.done, 3);
    assert_int_equal(one.steps, 30);
}

static int step_with_a_turn(gyre_slice *slice)
{
    count *self = slice->data;

    if (++self->steps == 5)
        gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    return --self->left > 0;
}

static void a_step_may_run_a_turn(void **state)
{
    count outer = {.left = 10};
    count inner = {.left = 100};

    (void)state;
    outer.slice.data = &outer;
    assert_int_equal(gyre_slice_start(loop, &outer.slice, 0, step_with_a_turn, done), 0);
    start(&inner, 0);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    assert_int_equal(outer.done, 1);
    assert_int_equal(outer.steps, 10);
    assert_int_equal(inner.steps, 100);
}

static void shutdown_cancels(void **state)
{
    count one = {.left = 1 << 30};

    (void)state;
    start(&one, 1);
    assert_int_equal(gyre_loop_shutdown(loop, 10 * GYRE_SECOND), 0);
    assert_int_equal(one.status, GYRE_ECANCELED);
    assert_int_equal(gyre_loop_init(&loop, NULL), 0);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(steps_run_to_the_end),
        LOOP_TEST(each_turn_serves_the_loop_between_budgets),
        LOOP_TEST(others_get_more_turns_while_they_have_work),
        LOOP_TEST(two_slices_take_turns),
        LOOP_TEST(a_failing_step_ends_it),
        LOOP_TEST(cancel_calls_done_and_no_step),
        LOOP_TEST(a_step_may_cancel_its_slice),
        LOOP_TEST(done_may_start_it_again),
        LOOP_TEST(a_step_may_run_a_turn),
        LOOP_TEST(shutdown_cancels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
