/*
 * The pool, mailboxes and slices of a program in a simulated world: jobs take virtual time, each in
 * its seed's order, some are slow; what they send arrives, and the same seed does the same again.
 */
#include <gyre.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { SEEDS = 50, JOBS = 40, STEPS = 30 };

typedef struct program {
    gyre_mailbox mailbox;
    gyre_sender *door;
    gyre_work jobs[JOBS];
    gyre_slice slice;
    int ran[JOBS];
    int done[JOBS];
    int received[JOBS];
    int steps;
    int slice_done;
    int closed;
    int left;
    uint64_t order; /* a hash of the order in which all of it came */
} program;

static program it;

static void note(uint64_t what)
{
    it.order = (it.order ^ what) * UINT64_C(1099511628211);
}

static void on_message(gyre_mailbox *mailbox, void *item, int status)
{
    (void)mailbox;
    assert_int_equal(status, 0);
    it.received[*(int *)item]++;
    note(1000 + (uint64_t) * (int *)item);
}

static void on_closed(gyre_handle *handle)
{
    (void)handle;
    it.closed++;
}

static void run_job(gyre_work *work)
{
    const int number = (int)(work - it.jobs);

    it.ran[number]++;
    assert_int_equal(gyre_sender_send(it.door, &number), 0);
}

static void job_done(gyre_work *work, int status)
{
    const int number = (int)(work - it.jobs);

    it.done[number]++;
    assert_int_equal(status, it.ran[number] != 0 ? 0 : GYRE_ECANCELED);
    note((uint64_t)number);
    if (--it.left == 0)
        gyre_close(&it.mailbox.handle, on_closed);
}

static int slice_step(gyre_slice *slice)
{
    (void)slice;
    return ++it.steps < STEPS;
}

static void slice_done(gyre_slice *slice, int status)
{
    (void)slice;
    assert_int_equal(status, 0);
    it.slice_done++;
}

static int boot(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    int error = gyre_mailbox_init(loop, &it.mailbox, sizeof(int), JOBS, on_message);

    (void)host;
    (void)ctx;
    if (error != 0)
        return error;
    it.door = gyre_mailbox_sender(&it.mailbox);
    for (int i = 0; i < JOBS && error == 0; i++)
        error = gyre_work_submit(loop, &it.jobs[i], NULL, run_job, job_done);
    for (int i = 0; i < JOBS; i += 4)
        (void)gyre_work_cancel(&it.jobs[i]);
    return error != 0 ? error : gyre_slice_start(loop, &it.slice, 0, slice_step, slice_done);
}

static uint64_t run_world(uint64_t seed)
{
    const gyre_sim_options options = {.size = sizeof(options), .seed = seed};
    gyre_sim_host *host;
    gyre_sim *sim;

    memset(&it, 0, sizeof(it));
    it.left = JOBS;
    assert_int_equal(gyre_sim_init(&sim, &options), 0);
    assert_int_equal(gyre_sim_host_init(sim, &host, "host", boot, NULL, NULL), 0);
    gyre_sim_set_fault(sim, GYRE_SIM_SLOW_JOB, 100000);
    (void)gyre_sim_run(sim, 60 * GYRE_SECOND);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(it.done[i], 1);
        assert_int_equal(it.ran[i], i % 4 != 0);
        assert_int_equal(it.received[i], it.ran[i]);
    }
    assert_int_equal(it.closed, 1);
    assert_int_equal(it.steps, STEPS);
    assert_int_equal(it.slice_done, 1);
    gyre_sender_unref(it.door);
    gyre_sim_close(sim);
    return it.order;
}

static void each_seed_heals_and_is_the_same_again(void **state)
{
    uint64_t others = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const uint64_t order = run_world(seed);

        assert_true(run_world(seed) == order);
        others += seed > 1 && order != run_world(seed - 1);
    }
    assert_true(others > SEEDS / 2); /* and another seed is another order */
}

/* ---- how long jobs take ---- */

enum { TIMED = 8 };

static gyre_work timed[TIMED];
static uint64_t done_after_ns[TIMED];
static gyre_sim *timed_sim;
static uint64_t timed_begun_ns;

static void run_nothing(gyre_work *work)
{
    (void)work;
}

static void timed_done(gyre_work *work, int status)
{
    assert_int_equal(status, 0);
    done_after_ns[work - timed] = gyre_sim_now_ns(timed_sim) - timed_begun_ns;
}

static int boot_timed(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    const uint64_t *limits_ns = ctx;

    timed_begun_ns = gyre_sim_now_ns(timed_sim);
    gyre_sim_host_job_time(host, limits_ns[0], limits_ns[1]);
    for (int i = 0; i < TIMED; i++) {
        if (gyre_work_submit(loop, &timed[i], NULL, run_nothing, timed_done) != 0)
            return GYRE_ENOMEM;
    }
    return 0;
}

static void run_timed(uint64_t seed, uint64_t min_ns, uint64_t max_ns)
{
    const gyre_sim_options options = {.size = sizeof(options), .seed = seed};
    uint64_t limits_ns[] = {min_ns, max_ns};
    gyre_sim_host *host;

    memset(done_after_ns, 0, sizeof(done_after_ns));
    assert_int_equal(gyre_sim_init(&timed_sim, &options), 0);
    assert_int_equal(gyre_sim_host_init(timed_sim, &host, "host", boot_timed, NULL, limits_ns), 0);
    (void)gyre_sim_run(timed_sim, 60 * GYRE_SECOND);
    gyre_sim_close(timed_sim);
    for (int i = 0; i < TIMED; i++) {
        assert_true(done_after_ns[i] >= min_ns);
        assert_true(done_after_ns[i] <= max_ns + GYRE_MILLISECOND); /* and the loop's own time */
    }
}

static void jobs_take_the_time_that_was_said(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run_timed(seed, 400 * GYRE_MILLISECOND, 400 * GYRE_MILLISECOND);
        run_timed(seed, 10 * GYRE_MILLISECOND, 30 * GYRE_MILLISECOND);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_seed_heals_and_is_the_same_again),
        cmocka_unit_test(jobs_take_the_time_that_was_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
