/*
 * The pool under stress: cancels that race the threads, a sole job that is cancelled, loops that
 * leave a group with work under way; and posts from one and from eight threads, also while the loop
 * is closed. What it must not do is for ASan and TSan to see.
 */
#include "peers.h"

#include <gyre/group.h>
#include <gyre/work.h>

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { JOBS = 10000, LOOPS = 4, EACH = 2000, POSTS = 40000, SENDERS_MAX = 8 };

typedef struct job {
    gyre_work work;
    int ran;
    int done;
    int status;
} job;

static void run(gyre_work *work)
{
    ((job *)work->data)->ran++;
}

static void done(gyre_work *work, int status)
{
    job *self = work->data;

    self->done++;
    self->status = status;
}

static void submit(job *self)
{
    self->work.data = self;
    assert_int_equal(gyre_work_submit(loop, &self->work, NULL, run, done), 0);
}

/* Each second one is cancelled when thousands of others are under way: each is done once, and what
 * was cancelled before it began did not run. */
static void half_of_the_jobs_are_cancelled_while_they_run(void **state)
{
    job *jobs = calloc(JOBS, sizeof(*jobs));
    int canceled = 0;

    (void)state;
    assert_non_null(jobs);
    for (int i = 0; i < JOBS; i++) {
        submit(&jobs[i]);
        if (i >= 64 && i % 2 == 0)
            canceled += gyre_work_cancel(&jobs[i - 64].work) == 0;
        if (i % 500 == 0)
            (void)gyre_loop_run(loop, GYRE_RUN_NOWAIT);
    }
    (void)gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].done, 1);
        assert_int_equal(jobs[i].ran, jobs[i].status == 0);
        canceled -= jobs[i].status == GYRE_ECANCELED;
    }
    assert_int_equal(canceled, 0);
    free(jobs);
}

/* Nothing else happens on the loop that could wake it. The best of some: a machine may be busy. */
static void a_sole_job_that_is_cancelled_completes(void **state)
{
    uint64_t best_ns = UINT64_MAX;

    (void)state;
    for (int i = 0; i < 20; i++) {
        job one = {0};
        uint64_t began_ns;

        submit(&one);
        began_ns = clock_ns();
        (void)gyre_work_cancel(&one.work);
        assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
        assert_int_equal(one.done, 1);
        if (clock_ns() - began_ns < best_ns)
            best_ns = clock_ns() - began_ns;
    }
    assert_true(best_ns < 10 * GYRE_MILLISECOND);
}

/* ---- loops that share a pool, and leave ---- */

static gyre_pool *pool;
static int wrong;   /* atomic */
static int results; /* atomic */

typedef struct busy {
    gyre_work works[32];
    gyre_loop *loop;
    int left;
} busy;

static busy servers[LOOPS];

static void busy_run(gyre_work *work)
{
    (void)gyre_work_canceled(work);
}

static void busy_done(gyre_work *work, int status)
{
    busy *self = work->data;

    __atomic_add_fetch(&results, 1, __ATOMIC_RELAXED);
    if (status != 0 && status != GYRE_ECANCELED)
        __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
    if (status == GYRE_ECANCELED)
        return;
    if (self->left-- > 0) {
        if (gyre_work_submit(self->loop, work, NULL, busy_run, busy_done) != 0)
            __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
    } else {
        gyre_loop_stop(self->loop); /* leaves the group with work under way */
    }
}

static int busy_set_up(gyre_group *group, uint32_t index, gyre_loop *its, void *ctx)
{
    busy *self = &servers[index];
    int error = gyre_loop_set_pool(its, pool);

    (void)group;
    (void)ctx;
    self->loop = its;
    self->left = EACH * (int)(index + 1) / LOOPS;
    for (int i = 0; i < 32 && error == 0; i++) {
        self->works[i].data = self;
        error = gyre_work_submit(its, &self->works[i], NULL, busy_run, busy_done);
    }
    return error;
}

static void loops_leave_a_group_under_load(void **state)
{
    gyre_group *group;

    (void)state;
    memset(servers, 0, sizeof(servers));
    wrong = results = 0;
    assert_int_equal(gyre_pool_init(&pool, NULL), 0);
    assert_int_equal(gyre_group_open(&group, LOOPS, NULL, busy_set_up), 0);
    while (__atomic_load_n(&results, __ATOMIC_RELAXED) < EACH)
        sched_yield();
    (void)gyre_group_close(group, 0);
    assert_int_equal(wrong, 0);
    assert_int_equal(gyre_pool_close(pool), 0);
}

/* ---- posts ---- */

typedef struct sender {
    pthread_t thread;
    gyre_remote *door;
    gyre_post_node *nodes;
    int count;
    int taken;
} sender;

static int posted;
static int undone;

static void on_post(gyre_post_node *node, int status)
{
    (void)node;
    posted += status == 0;
    undone += status == GYRE_ECANCELED;
}

static void *post_all(void *context)
{
    sender *self = context;

    for (int i = 0; i < self->count; i++)
        self->taken += gyre_post(self->door, &self->nodes[i], on_post) == 0;
    return NULL;
}

static void begin_posting(sender *senders, int count)
{
    posted = undone = 0;
    for (int i = 0; i < count; i++) {
        senders[i] = (sender){.door = gyre_loop_remote(loop), .count = POSTS / count};
        senders[i].nodes = calloc((size_t)senders[i].count, sizeof(gyre_post_node));
        assert_non_null(senders[i].nodes);
        assert_int_equal(pthread_create(&senders[i].thread, NULL, post_all, &senders[i]), 0);
    }
}

static int end_posting(sender *senders, int count)
{
    int taken = 0;

    for (int i = 0; i < count; i++) {
        pthread_join(senders[i].thread, NULL);
        gyre_remote_unref(senders[i].door);
        free(senders[i].nodes);
        taken += senders[i].taken;
    }
    return taken;
}

static void posts_from_one_and_from_eight_threads_all_run(void **state)
{
    static const int counts[] = {1, SENDERS_MAX};
    sender senders[SENDERS_MAX];

    (void)state;
    for (int i = 0; i < 2; i++) {
        gyre_loop_hold(loop);
        begin_posting(senders, counts[i]);
        run_until(&posted, POSTS);
        gyre_loop_release(loop);
        assert_int_equal(end_posting(senders, counts[i]), POSTS);
    }
}

/* Each post that was taken is called, with 0 or cancelled, wherever the close falls. */
static void a_loop_is_closed_while_eight_threads_post(void **state)
{
    sender senders[SENDERS_MAX];

    for (int round = 0; round < 5; round++) {
        begin_posting(senders, SENDERS_MAX);
        while (posted < round * 1000)
            assert_true(gyre_loop_run(loop, GYRE_RUN_ONCE) >= 0);
        assert_int_equal(gyre_loop_shutdown(loop, 10 * GYRE_SECOND), 0);
        loop = NULL;
        assert_int_equal(end_posting(senders, SENDERS_MAX), posted + undone);
        assert_int_equal(loop_set_up(state), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(half_of_the_jobs_are_cancelled_while_they_run),
        LOOP_TEST(a_sole_job_that_is_cancelled_completes),
        LOOP_TEST(loops_leave_a_group_under_load),
        LOOP_TEST(posts_from_one_and_from_eight_threads_all_run),
        LOOP_TEST(a_loop_is_closed_while_eight_threads_post),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
