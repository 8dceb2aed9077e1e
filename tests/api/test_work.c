/*
 * The thread pool, through the public interface: every result comes back once, on the loop; lanes,
 * priorities, bounds, deadlines and cancels do what gyre/work.h says.
 */
#include "child.h"

#include <gyre.h>

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MANY = 10000 };

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

/* Work that tells what happened to it, and can be made to wait for the test. */
typedef struct job {
    gyre_work work;
    sem_t *wait_for;
    sem_t *tell;
    pthread_t ran_in;
    int ran;
    int done;
    int status;
    int order;
    int saw_cancel;
} job;

static _Thread_local int order_next; /* each thread's loop counts for itself */

static void job_run(gyre_work *work)
{
    job *self = work->data;

    self->ran_in = pthread_self();
    self->ran++;
    if (self->tell != NULL)
        sem_post(self->tell);
    if (self->wait_for != NULL)
        sem_wait(self->wait_for);
    self->saw_cancel = gyre_work_canceled(work);
}

static void job_done(gyre_work *work, int status)
{
    job *self = work->data;

    self->done++;
    self->status = status;
    self->order = order_next++;
}

static void submit(job *self, const gyre_work_options *options)
{
    self->work.data = self;
    assert_int_equal(gyre_work_submit(loop, &self->work, options, job_run, job_done), 0);
}

static gyre_pool *make_pool(uint32_t threads, uint32_t queue_max)
{
    gyre_pool_options options = {.size = sizeof(options), .queue_max = queue_max};
    gyre_pool *pool;

    for (int i = 0; i < GYRE_WORK_CLASSES; i++)
        options.threads_max[i] = threads;
    assert_int_equal(gyre_pool_init(&pool, &options), 0);
    return pool;
}

static void run_in_another_thread_and_done_on_the_loop(void **state)
{
    job one = {0};

    (void)state;
    submit(&one, NULL);
    assert_int_equal(one.done, 0);
    assert_int_equal(gyre_loop_alive(loop), 1);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    assert_int_equal(one.ran, 1);
    assert_int_equal(one.done, 1);
    assert_int_equal(one.status, 0);
    assert_false(pthread_equal(one.ran_in, pthread_self()));
}

static void every_one_of_many_is_done_once(void **state)
{
    job *jobs = calloc(MANY, sizeof(*jobs));

    (void)state;
    for (int i = 0; i < MANY; i++)
        submit(&jobs[i], NULL);
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(jobs[i].ran, 1);
        assert_int_equal(jobs[i].done, 1);
        assert_int_equal(jobs[i].status, 0);
    }
    free(jobs);
}

static void again(gyre_work *work, int status)
{
    job *self = work->data;

    assert_int_equal(status, 0);
    if (++self->done < MANY)
        assert_int_equal(gyre_work_submit(loop, work, NULL, job_run, again), 0);
}

static void work_submitted_by_its_own_callback_goes_on(void **state)
{
    job jobs[8] = {{.done = 0}};

    (void)state;
    for (int i = 0; i < 8; i++) {
        jobs[i].work.data = &jobs[i];
        assert_int_equal(gyre_work_submit(loop, &jobs[i].work, NULL, job_run, again), 0);
    }
    assert_int_equal(gyre_loop_run(loop, GYRE_RUN_DEFAULT), 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(jobs[i].ran, MANY);
}

static void higher_priority_runs_first(void **state)
{
    gyre_pool *pool = make_pool(1, 0);
    gyre_work_options options = {.size = sizeof(options), .pool = pool};
    sem_t begun;
    sem_t go;
    job blocker = {.tell = &begun, .wait_for = &go};
    job low = {0};
    job normal = {0};
    job high = {0};

    (void)state;
    sem_init(&begun, 0, 0);
    sem_init(&go, 0, 0);
    submit(&blocker, &options);
    sem_wait(&begun);
    options.priority = GYRE_WORK_LOW;
    submit(&low, &options);
    options.priority = GYRE_WORK_NORMAL;
    submit(&normal, &options);
    options.priority = GYRE_WORK_HIGH;
    submit(&high, &options);
    order_next = 0;
    sem_post(&go);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    assert_int_equal(blocker.order, 0);
    assert_int_equal(high.order, 1);
    assert_int_equal(normal.order, 2);
    assert_int_equal(low.order, 3);
    assert_int_equal(gyre_pool_close(pool), 0);
}

static void a_blocked_class_does_not_starve_another(void **state)
{
    gyre_pool *pool = make_pool(1, 0);
    gyre_work_options names = {.size = sizeof(names), .work_class = GYRE_WORK_DNS, .pool = pool};
    gyre_work_options files = {.size = sizeof(files), .work_class = GYRE_WORK_FILE, .pool = pool};
    sem_t go;
    job slow = {.wait_for = &go};
    job file = {0};

    (void)state;
    sem_init(&go, 0, 0);
    submit(&slow, &names);
    submit(&file, &files);
    while (file.done == 0)
        gyre_loop_run(loop, GYRE_RUN_ONCE);
    assert_int_equal(slow.done, 0);
    sem_post(&go);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    assert_int_equal(slow.done, 1);
    assert_int_equal(gyre_pool_close(pool), 0);
}

static void cancel_before_it_begins(void **state)
{
    gyre_pool *pool = make_pool(1, 0);
    gyre_work_options options = {.size = sizeof(options), .pool = pool};
    sem_t begun;
    sem_t go;
    job blocker = {.tell = &begun, .wait_for = &go};
    job victim = {0};

    (void)state;
    sem_init(&begun, 0, 0);
    sem_init(&go, 0, 0);
    submit(&blocker, &options);
    submit(&victim, &options);
    sem_wait(&begun);
    assert_int_equal(gyre_work_cancel(&victim.work), 0);
    assert_int_equal(victim.done, 0);
    assert_int_equal(gyre_work_cancel(&victim.work), GYRE_EALREADY);
    while (victim.done == 0)
        gyre_loop_run(loop, GYRE_RUN_ONCE);
    assert_int_equal(victim.status, GYRE_ECANCELED);
    assert_int_equal(victim.ran, 0);
    assert_int_equal(blocker.done, 0);
    sem_post(&go);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    assert_int_equal(gyre_pool_close(pool), 0);
}

static void cancel_of_running_work_sets_its_token(void **state)
{
    sem_t begun;
    sem_t go;
    job one = {.tell = &begun, .wait_for = &go};

    (void)state;
    sem_init(&begun, 0, 0);
    sem_init(&go, 0, 0);
    submit(&one, NULL);
    sem_wait(&begun);
    assert_int_equal(gyre_work_cancel(&one.work), GYRE_EBUSY);
    assert_int_equal(gyre_work_cancel(&one.work), GYRE_EALREADY);
    sem_post(&go);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    assert_int_equal(one.status, 0);
    assert_int_equal(one.saw_cancel, 1);
}

static void cancel_half_of_many(void **state)
{
    job *jobs = calloc(MANY, sizeof(*jobs));
    int canceled = 0;

    (void)state;
    for (int i = 0; i < MANY; i++)
        submit(&jobs[i], NULL);
    for (int i = 0; i < MANY; i += 2)
        canceled += gyre_work_cancel(&jobs[i].work) == 0;
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(jobs[i].done, 1);
        assert_int_equal(jobs[i].ran, jobs[i].status == 0);
        canceled -= jobs[i].status == GYRE_ECANCELED;
    }
    assert_int_equal(canceled, 0);
    free(jobs);
}

static void a_deadline_ends_work_that_has_not_begun(void **state)
{
    gyre_pool *pool = make_pool(1, 0);
    gyre_work_options options = {.size = sizeof(options), .pool = pool};
    sem_t begun;
    sem_t go;
    job blocker = {.tell = &begun, .wait_for = &go};
    job late = {0};

    (void)state;
    sem_init(&begun, 0, 0);
    sem_init(&go, 0, 0);
    options.start_within_ns = GYRE_MILLISECOND;
    submit(&blocker, &options);
    sem_wait(&begun);
    submit(&late, &options);
    while (late.done == 0)
        gyre_loop_run(loop, GYRE_RUN_ONCE);
    assert_int_equal(late.status, GYRE_ETIMEDOUT);
    assert_int_equal(late.ran, 0);
    sem_post(&go);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    assert_int_equal(blocker.status, 0);
    assert_int_equal(gyre_pool_close(pool), 0);
}

static void a_full_queue_is_an_error(void **state)
{
    gyre_pool *pool = make_pool(1, 2);
    gyre_work_options options = {.size = sizeof(options), .pool = pool};
    gyre_pool_stats stats;
    sem_t begun;
    sem_t go;
    job blocker = {.tell = &begun, .wait_for = &go};
    job waiting[2] = {{.done = 0}};
    job refused = {0};

    (void)state;
    sem_init(&begun, 0, 0);
    sem_init(&go, 0, 0);
    submit(&blocker, &options);
    sem_wait(&begun);
    submit(&waiting[0], &options);
    submit(&waiting[1], &options);
    refused.work.data = &refused;
    assert_int_equal(gyre_work_submit(loop, &refused.work, &options, job_run, job_done),
                     GYRE_ENOBUFS);
    gyre_pool_stats_get(pool, GYRE_WORK_CPU, &stats);
    assert_int_equal(stats.rejected, 1);
    assert_int_equal(stats.waiting, 2);
    assert_int_equal(stats.threads, 1);
    assert_int_equal(gyre_pool_close(pool), GYRE_EBUSY);
    sem_post(&go);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    assert_int_equal(refused.done, 0);
    assert_int_equal(waiting[1].status, 0);
    do { /* a thread adds its figures after it has handed the results over */
        gyre_pool_stats_get(pool, GYRE_WORK_CPU, &stats);
    } while (stats.ran < 3);
    assert_int_equal(stats.ran, 3);
    assert_true(stats.queue_ns_max > 0 && stats.run_ns_max > 0);
    assert_int_equal(gyre_pool_close(pool), 0);
}

enum { BATCH = 40 };

static int count_done(const job *jobs, int first, int end)
{
    int done = 0;

    for (int i = first; i < end; i++)
        done += jobs[i].done;
    return done;
}

/* Gives a pool of two threads, or one, 40 pieces of short work, but for some from `which` on that
 * are held up. With a thread left all others must come, else all before them. */
static void hold_up(gyre_work_class class, uint32_t threads, uint32_t held, int which)
{
    gyre_pool *pool = make_pool(threads, 0);
    gyre_work_options options = {.size = sizeof(options), .work_class = class, .pool = pool};
    const int end = held == threads ? which : BATCH;
    static job warm[2000];
    static job batch[BATCH];
    sem_t go;

    sem_init(&go, 0, 0);
    for (int round = 0; round < 10; round++) {
        memset(warm, 0, sizeof(warm));
        for (int i = 0; i < 2000; i++)
            submit(&warm[i], &options);
        gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    }
    memset(batch, 0, sizeof(batch));
    for (uint32_t i = 0; i < held; i++)
        batch[which + 2 * (int)i].wait_for = &go;
    for (int i = 0; i < BATCH; i++)
        submit(&batch[i], &options);
    do
        gyre_loop_run(loop, GYRE_RUN_ONCE);
    while (count_done(batch, 0, end) < (end > which ? end - 1 : end));
    assert_int_equal(batch[which].done, 0);
    for (uint32_t i = 0; i < held; i++)
        sem_post(&go);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    assert_int_equal(count_done(batch, 0, BATCH), BATCH);
    assert_int_equal(gyre_pool_close(pool), 0);
}

/* Short work makes a thread take several pieces at a time; a long one among them must not hold the
 * others back: neither those behind it, nor the results of those before it. */
static void long_work_does_not_hold_back_short_work(void **state)
{
    (void)state;
    hold_up(GYRE_WORK_CPU, 2, 1, 0);
    for (int which = 1; which < BATCH; which += 3)
        hold_up(GYRE_WORK_CPU, 2, 1, which);
}

static void long_work_does_not_hold_back_results_of_its_only_thread(void **state)
{
    (void)state;
    for (int which = 1; which < BATCH; which += 3)
        hold_up(GYRE_WORK_CPU, 1, 1, which);
}

static void a_disk_that_hangs_does_not_hold_back_results(void **state)
{
    (void)state;
    for (int which = 1; which < BATCH - 2; which += 3)
        hold_up(GYRE_WORK_FILE, 2, 2, which);
}

static void on_look(gyre_timer *timer)
{
    gyre_pool_stats stats;

    gyre_pool_stats_get(timer->data, GYRE_WORK_CPU, &stats);
    if (stats.threads == 0)
        gyre_close(&timer->handle, NULL);
}

static void threads_end_when_there_is_nothing_to_do(void **state)
{
    gyre_pool_options options = {.size = sizeof(options), .idle_ns = GYRE_MILLISECOND};
    gyre_work_options to_pool = {.size = sizeof(to_pool)};
    gyre_timer timer = {.repeat_ns = 0};
    gyre_pool *pool;
    job one = {0};

    (void)state;
    assert_int_equal(gyre_pool_init(&pool, &options), 0);
    to_pool.pool = pool;
    for (int round = 0; round < 3; round++) {
        submit(&one, &to_pool);
        assert_int_equal(gyre_timer_init(loop, &timer), 0);
        timer.data = pool;
        gyre_timer_start(&timer, GYRE_MILLISECOND, GYRE_MILLISECOND, on_look);
        gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    }
    assert_int_equal(one.done, 3);
    assert_int_equal(gyre_pool_close(pool), 0);
}

static void *other_loop(void *context)
{
    gyre_loop *mine;
    static job jobs[1000];

    if (gyre_loop_init(&mine, NULL) != 0 || gyre_loop_set_pool(mine, context) != 0)
        return NULL;
    for (int i = 0; i < 1000; i++) {
        jobs[i].work.data = &jobs[i];
        if (gyre_work_submit(mine, &jobs[i].work, NULL, job_run, job_done) != 0)
            return NULL;
    }
    gyre_loop_run(mine, GYRE_RUN_DEFAULT);
    for (int i = 0; i < 1000; i++) {
        if (jobs[i].done != 1)
            return NULL;
    }
    return gyre_loop_close(mine) == 0 ? context : NULL;
}

static void loops_share_a_pool(void **state)
{
    static job jobs[1000];
    gyre_pool *pool = make_pool(2, 0);
    gyre_pool *got;
    pthread_t thread;
    void *result;

    (void)state;
    memset(jobs, 0, sizeof(jobs));
    assert_int_equal(gyre_loop_set_pool(loop, pool), 0);
    assert_int_equal(gyre_loop_pool(loop, &got), 0);
    assert_ptr_equal(got, pool);
    assert_int_equal(pthread_create(&thread, NULL, other_loop, pool), 0);
    for (int i = 0; i < 1000; i++)
        submit(&jobs[i], NULL);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    pthread_join(thread, &result);
    assert_non_null(result);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(jobs[i].done, 1);
    assert_int_equal(gyre_loop_close(loop), 0);
    assert_int_equal(gyre_pool_close(pool), 0);
    assert_int_equal(gyre_loop_init(&loop, NULL), 0);
}

static void shutdown_ends_all_work(void **state)
{
    static job jobs[1000];

    (void)state;
    memset(jobs, 0, sizeof(jobs));
    for (int i = 0; i < 1000; i++)
        submit(&jobs[i], NULL);
    assert_int_equal(gyre_loop_close(loop), GYRE_EBUSY);
    assert_int_equal(gyre_loop_shutdown(loop, 10 * GYRE_SECOND), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(jobs[i].done, 1);
    assert_int_equal(gyre_loop_init(&loop, NULL), 0);
}

static void nested(gyre_work *work, int status)
{
    job *self = work->data;
    job inner = {0};

    assert_int_equal(status, 0);
    submit(&inner, NULL);
    while (inner.done == 0)
        gyre_loop_run(loop, GYRE_RUN_ONCE);
    self->done++;
}

static void a_turn_inside_a_done_callback_gets_results(void **state)
{
    job outer[4] = {{.done = 0}};

    (void)state;
    for (int i = 0; i < 4; i++) {
        outer[i].work.data = &outer[i];
        assert_int_equal(gyre_work_submit(loop, &outer[i].work, NULL, job_run, nested), 0);
    }
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    for (int i = 0; i < 4; i++)
        assert_int_equal(outer[i].done, 1);
}

static void in_a_child_work_ends_and_new_work_runs(void **state)
{
    sem_t go;
    job lost = {.wait_for = &go};
    int status = -1;
    pid_t child;

    (void)state;
    if (!CAN_FORK_THREADS)
        skip();
    sem_init(&go, 0, 0);
    submit(&lost, NULL);
    child = fork();
    if (child == 0) {
        job fresh = {0};

        fresh.work.data = &fresh;
        if (gyre_loop_forked(loop) != 0 || gyre_loop_run(loop, GYRE_RUN_DEFAULT) != 0 ||
            lost.status != GYRE_ECANCELED ||
            gyre_work_submit(loop, &fresh.work, NULL, job_run, job_done) != 0)
            child_exit(1);
        gyre_loop_run(loop, GYRE_RUN_DEFAULT);
        child_exit(fresh.done == 1 && fresh.status == 0 ? 0 : 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    sem_post(&go);
    gyre_loop_run(loop, GYRE_RUN_DEFAULT);
    assert_int_equal(lost.status, 0);
}

static void bad_options_are_refused(void **state)
{
    gyre_pool_options pool_options = {.size = 1};
    gyre_work_options work_options = {.size = 1};
    gyre_work work = {.data = NULL};
    gyre_pool *pool;

    (void)state;
    assert_int_equal(gyre_pool_init(&pool, &pool_options), GYRE_EINVAL);
    pool_options.size = sizeof(pool_options);
    pool_options.threads_max[0] = 5000;
    assert_int_equal(gyre_pool_init(&pool, &pool_options), GYRE_EINVAL);
    pool_options.threads_max[0] = 1;
    pool_options.threads_min[0] = 2;
    assert_int_equal(gyre_pool_init(&pool, &pool_options), GYRE_EINVAL);
    assert_int_equal(gyre_work_submit(loop, &work, &work_options, job_run, job_done), GYRE_EINVAL);
    work_options.size = sizeof(work_options);
    work_options.work_class = GYRE_WORK_CLASSES;
    assert_int_equal(gyre_work_submit(loop, &work, &work_options, job_run, job_done), GYRE_EINVAL);
    assert_int_equal(gyre_work_cancel(&work), GYRE_EALREADY);
    assert_int_equal(gyre_loop_alive(loop), 0);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(run_in_another_thread_and_done_on_the_loop),
        LOOP_TEST(every_one_of_many_is_done_once),
        LOOP_TEST(work_submitted_by_its_own_callback_goes_on),
        LOOP_TEST(higher_priority_runs_first),
        LOOP_TEST(a_blocked_class_does_not_starve_another),
        LOOP_TEST(cancel_before_it_begins),
        LOOP_TEST(cancel_of_running_work_sets_its_token),
        LOOP_TEST(cancel_half_of_many),
        LOOP_TEST(a_deadline_ends_work_that_has_not_begun),
        LOOP_TEST(a_full_queue_is_an_error),
        LOOP_TEST(long_work_does_not_hold_back_short_work),
        LOOP_TEST(long_work_does_not_hold_back_results_of_its_only_thread),
        LOOP_TEST(a_disk_that_hangs_does_not_hold_back_results),
        LOOP_TEST(threads_end_when_there_is_nothing_to_do),
        LOOP_TEST(loops_share_a_pool),
        LOOP_TEST(shutdown_ends_all_work),
        LOOP_TEST(a_turn_inside_a_done_callback_gets_results),
        LOOP_TEST(in_a_child_work_ends_and_new_work_runs),
        LOOP_TEST(bad_options_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
