/*
 * The tests of exercise 07. read, write and pthread_cond_wait go through the functions below (see
 * the file `flags`), so that the tests can bring about what otherwise happens once in a million
 * times: a job that ends just while pool_finish looks, a thread that is woken for nothing.
 */
#define _GNU_SOURCE
#include "check.h"
#include "exercise.h"

#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

enum { JOBS = 1000, GRACE_MS = 200, PATIENCE_MS = 2500 };

typedef struct task {
    struct job job; /* first: a job is a task */
    sem_t *gate;    /* its work waits here */
    sem_t *ready;   /* its work opens this */
    pthread_barrier_t *meeting;
    struct task *next; /* submitted by its `done` */
    pthread_t worker;
    int worked;
    int turn; /* how many were worked on before it */
    int done;
} task;

static struct pool the_pool;
static pthread_t loop_thread;
static task *done_order[JOBS];
static int done_count;

static atomic_int worked_count;
static atomic_int sleepers;        /* threads inside pthread_cond_wait */
static atomic_int spurious_left;   /* waits that end for nothing */
static atomic_int signals_written; /* to the pool's descriptor */
static sem_t *race_gate;           /* opened by the next read of the pool's descriptor */
static atomic_int joins;           /* begun */

int __real_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock);
int __real_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_join(pthread_t thread, void **result);
ssize_t __real_read(int fd, void *buffer, size_t size);
ssize_t __wrap_read(int fd, void *buffer, size_t size);
ssize_t __real_write(int fd, const void *buffer, size_t size);
ssize_t __wrap_write(int fd, const void *buffer, size_t size);

static long long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Waits until a counter has got there. A pool that is built otherwise may never bring it there:
 * then the test goes on, and is only less sharp. */
static void wait_for_count(atomic_int *counter, int wanted)
{
    const long long end_ms = now_ms() + GRACE_MS;

    while (atomic_load(counter) < wanted && now_ms() < end_ms)
        (void)poll(NULL, 0, 1);
}

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock)
{
    int result;

    if (atomic_load(&spurious_left) > 0) {
        atomic_fetch_sub(&spurious_left, 1);
        return 0;
    }
    atomic_fetch_add(&sleepers, 1);
    result = __real_pthread_cond_wait(condition, lock);
    atomic_fetch_sub(&sleepers, 1);
    return result;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
    atomic_fetch_add(&joins, 1);
    return __real_pthread_join(thread, result);
}

ssize_t __wrap_write(int fd, const void *buffer, size_t size)
{
    const ssize_t result = __real_write(fd, buffer, size);

    atomic_fetch_add(&signals_written, 1);
    return result;
}

/* Lets a job end between what the caller did before his read, and the read. */
ssize_t __wrap_read(int fd, void *buffer, size_t size)
{
    if (race_gate != NULL) {
        const int before = atomic_load(&signals_written);

        sem_post(race_gate);
        race_gate = NULL;
        wait_for_count(&signals_written, before + 1);
    }
    return __real_read(fd, buffer, size);
}

static void on_work(struct job *job)
{
    task *self = (task *)(void *)job;

    self->worker = pthread_self();
    if (self->meeting != NULL)
        (void)pthread_barrier_wait(self->meeting);
    if (self->gate != NULL)
        while (sem_wait(self->gate) != 0)
            ;
    self->worked++;
    self->turn = atomic_fetch_add(&worked_count, 1);
    if (self->ready != NULL)
        sem_post(self->ready);
}

static void on_done(struct job *job)
{
    task *self = (task *)(void *)job;

    CHECK(pthread_equal(pthread_self(), loop_thread), "`done` was called on a thread of the pool");
    CHECK_INT(self->worked, 1, "calls of `work` before `done`");
    CHECK_INT(++self->done, 1, "calls of `done` for one job");
    CHECK(done_count < JOBS, "`done` is called without end");
    done_order[done_count++] = self;
    if (self->next != NULL)
        pool_submit(&the_pool, &self->next->job);
}

static void submit(task *what)
{
    what->job.work = on_work;
    what->job.done = on_done;
    pool_submit(&the_pool, &what->job);
}

static void begin(int threads)
{
    loop_thread = pthread_self();
    CHECK_INT(pool_init(&the_pool, threads), 0, "pool_init");
}

static bool fd_readable(int timeout_ms)
{
    struct pollfd fd = {.fd = pool_fd(&the_pool), .events = POLLIN};

    CHECK(fd.fd >= 0, "pool_fd is no descriptor: %d", fd.fd);
    return poll(&fd, 1, timeout_ms) == 1 && (fd.revents & POLLIN) != 0;
}

/* What a loop does: sleeps until the descriptor is readable, then finishes. */
static void loop_until_done(int count)
{
    while (done_count < count) {
        CHECK(fd_readable(PATIENCE_MS),
              "the loop sleeps for ever: %d of %d jobs were finished, and"
              " pool_fd does not become readable",
              done_count, count);
        (void)pool_finish(&the_pool);
    }
    CHECK_INT(done_count, count, "calls of `done`");
}

static void two_threads(void)
{
    task a = {.worked = 0};

    begin(1);
    submit(&a);
    loop_until_done(1);
    CHECK(!pthread_equal(a.worker, loop_thread), "`work` ran on the loop's thread");
}

static void submit_does_not_wait(void)
{
    sem_t gate;
    task a = {.gate = &gate};

    sem_init(&gate, 0, 0);
    begin(1);
    submit(&a);
    CHECK_INT(pool_finish(&the_pool), 0, "jobs finished while the only one is under way");
    CHECK(!fd_readable(0), "pool_fd is readable, and no job has ended");
    sem_post(&gate);
    loop_until_done(1);
}

static void silent_afterwards(void)
{
    task a = {.worked = 0};

    begin(1);
    submit(&a);
    CHECK(fd_readable(PATIENCE_MS), "a job has ended, and pool_fd does not become readable");
    CHECK(fd_readable(0), "pool_fd was readable, and is not any more before pool_finish");
    CHECK_INT(pool_finish(&the_pool), 1, "jobs finished when one has ended");
    CHECK(!fd_readable(0), "all is finished, and pool_fd is still readable: the loop would spin");
    CHECK_INT(pool_finish(&the_pool), 0, "jobs finished when all are");
}

static void side_by_side(void)
{
    pthread_barrier_t meeting;
    task tasks[4];

    pthread_barrier_init(&meeting, NULL, 4);
    begin(4);
    wait_for_count(&sleepers, 4);
    for (int i = 0; i < 4; i++) {
        tasks[i] = (task){.meeting = &meeting};
        submit(&tasks[i]);
    }
    loop_until_done(4);
}

static void woken_for_nothing(void)
{
    task a = {.worked = 0};

    atomic_store(&spurious_left, 3);
    begin(2);
    wait_for_count(&sleepers, 2);
    submit(&a);
    loop_until_done(1);
}

static void in_order(void)
{
    sem_t gate;
    task tasks[4] = {{.gate = &gate}};

    sem_init(&gate, 0, 0);
    begin(1);
    for (int i = 0; i < 4; i++)
        submit(&tasks[i]);
    sem_post(&gate);
    wait_for_count(&signals_written, 4);
    loop_until_done(4);
    for (int i = 0; i < 4; i++)
        CHECK_INT(tasks[i].turn, i, "jobs that one thread worked on before this one");
    for (int i = 0; i < 4; i++)
        CHECK(done_order[i] == &tasks[i],
              "with one thread jobs are finished in the order in which they came");
}

static void many(void)
{
    static task tasks[JOBS];

    begin(4);
    for (int i = 0; i < JOBS; i++)
        submit(&tasks[i]);
    loop_until_done(JOBS);
    for (int i = 0; i < JOBS; i++)
        CHECK(tasks[i].worked == 1 && tasks[i].done == 1, "job %d: work %d times, done %d times", i,
              tasks[i].worked, tasks[i].done);
}

static void done_submits(void)
{
    task b = {.worked = 0};
    task a = {.next = &b};

    begin(1);
    b.job = (struct job){.work = on_work, .done = on_done};
    submit(&a);
    loop_until_done(2);
    CHECK(done_order[0] == &a && done_order[1] == &b, "the order of the two jobs is wrong");
}

/* Job `b` ends while pool_finish, which is about `a`, reads the descriptor. */
static void ends_meanwhile(void)
{
    sem_t gate;
    task a = {.worked = 0};
    task b = {.gate = &gate};

    sem_init(&gate, 0, 0);
    begin(2);
    submit(&b);
    submit(&a);
    CHECK(fd_readable(PATIENCE_MS), "a job has ended, and pool_fd does not become readable");
    race_gate = &gate;
    (void)pool_finish(&the_pool);
    if (race_gate != NULL)
        sem_post(&gate);
    loop_until_done(2);
}

/* Opens the gate when the pool is being closed. */
static void *open_at_close(void *gate)
{
    wait_for_count(&joins, 1);
    sem_post(gate);
    return NULL;
}

static void close_does_all(void)
{
    pthread_t opener;
    sem_t gate;
    task first = {.gate = &gate};
    task last[5] = {{.worked = 0}};

    sem_init(&gate, 0, 0);
    begin(1);
    submit(&first);
    for (int i = 0; i < 5; i++)
        submit(&last[i]);
    atomic_store(&joins, 0);
    CHECK(pthread_create(&opener, NULL, open_at_close, &gate) == 0, "no thread for the test");
    pool_close(&the_pool);
    (void)__real_pthread_join(opener, NULL);
    CHECK_INT(done_count, 6, "jobs finished when pool_close has returned, of six");
}

static void close_wakes_sleepers(void)
{
    begin(8);
    wait_for_count(&sleepers, 8);
    pool_close(&the_pool);
    begin(1);
    pool_close(&the_pool);
}

static const check_test tests[] = {
    {"work runs on a thread of the pool, done on the loop's", two_threads,
     "thread: wait for a job, work, put it into `ended`, write 8 bytes to the eventfd."},
    {"submit and finish do not wait for a job", submit_does_not_wait,
     "submit only appends and signals; the eventfd is EFD_NONBLOCK, and its read never sleeps."},
    {"the descriptor is readable until the jobs are finished, and then not", silent_afterwards,
     "a write of a uint64_t 1 makes an eventfd readable, one read of 8 bytes clears it."},
    {"four threads work on four jobs at the same time", side_by_side,
     "no lock may be held while `work` runs; each submit has to wake one thread."},
    {"a thread that is woken for nothing sleeps again", woken_for_nothing,
     "pthread_cond_wait may return without a signal: `while (nothing to do)`, never `if`."},
    {"jobs are done in the order in which they came", in_order,
     "append at `last`, take at `first`, in both lists."},
    {"each of 1000 jobs is worked on once and finished once", many,
     "lists are touched under the lock only, on both sides."},
    {"done may submit another job", done_submits,
     "take the whole list under the lock, unlock, and only then call `done`."},
    {"a job that ends while finish looks is not forgotten", ends_meanwhile,
     "first clear the signal, then take the list; the other way round a signal is lost."},
    {"close does all that was submitted", close_does_all,
     "a thread ends only when `closing` is set and nothing waits; join all, then finish."},
    {"close wakes threads that sleep", close_wakes_sleepers,
     "set `closing` under the lock, then pthread_cond_broadcast: all of them have to look."},
};

int main(int argc, char **argv)
{
    return check_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
