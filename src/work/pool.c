/*
 * The pool: a lane for each class of work, and each lane's threads.
 *
 *   give --> queue (by priority) --> a thread's batch --> run --> gyrei_work_finished
 *                  |                      |
 *                  +------ take_back -----+
 *
 * Invariants: a lane's queue, counts and list of threads are touched under its lock. A thread takes
 * several pieces of work at a time only while they have been short, so that the lock costs little;
 * an entry of a batch is claimed by an atomic exchange, whoever comes first: its thread, a thief,
 * or take_back. So that one long piece in a batch holds back neither those behind it nor what ran
 * before it, another thread looks at the batch after STEAL_AFTER_NS. Where there is none, or all
 * may come to wait at once, as for a disk that hangs, there are no batches. A thread ends only when
 * nothing is reserved.
 */
#include "work/pool.h"

#include "base/list.h"
#include "base/memory.h"
#include "core/env.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH_MAX = 16,
    THREADS_LIMIT = 1024,
    QUEUE_MAX = 65536,
    CPU_NICE = 5,
    FILE_THREADS = 4,
    /* work that takes less than this on average is taken in batches */
    SHORT_NS = 5000,
    /* a thread more is worth waking for so much waiting work */
    WORTH_NS = 50000,
    STEAL_AFTER_NS = 1000000
};

typedef struct worker {
    gyrei_lane *lane;
    gyre_work *batch[BATCH_MAX];
    uint32_t count; /* entries of the batch under way */
    bool used;      /* a thread has this place */
    bool ended;     /* its thread has ended and is to be joined */
    pthread_t thread;
    gyre_pool_stats stats; /* of the batch under way */
    /* what has run and was not handed over, all of `owner`, newest first: atomic */
    gyre_link *finished;
    struct gyrei_works *owner;
} worker;

struct gyrei_lane {
    pthread_mutex_t lock;
    pthread_cond_t wake;  /* sleepers: work has come */
    pthread_cond_t guard; /* the one that looks after the others' batches */
    gyre_pool *pool;
    gyre_link queues[GYRE_WORK_PRIORITIES];
    uint32_t queued;   /* in the queues */
    uint32_t reserved; /* atomic: places taken in the queue */
    uint32_t out;      /* atomic: work that its loop has not got back */
    uint32_t threads;  /* atomic */
    uint32_t sleeping;
    uint32_t batches; /* threads that run a batch now */
    uint32_t shared;  /* of those, the batches of more than one piece */
    bool guarded;
    bool ending;
    uint64_t average_ns; /* of recent work; UINT64_MAX until known */
    uint32_t threads_min;
    uint32_t threads_max;
    uint32_t batch_max;
    int32_t nice;
    worker *workers; /* threads_max of them */
    gyre_pool_stats stats;
};

struct gyre_pool {
    gyre_allocator allocator;
    uint64_t idle_ns;
    uint32_t queue_max;
    gyrei_lane lanes[GYRE_WORK_CLASSES];
};

static uint64_t now_ns(void)
{
    return gyrei_env_os.now_ns(&gyrei_env_os);
}

static gyre_work *from_link(gyre_link *link)
{
    return GYRE_CONTAINER_OF(link, gyre_work, task.link);
}

gyrei_lane *gyrei_pool_lane(gyre_pool *pool, gyre_work_class work_class)
{
    GYRE_ASSERT((unsigned)work_class < GYRE_WORK_CLASSES);
    return &pool->lanes[work_class];
}

/* ---- threads ---- */

static void *worker_main(void *context);

/* Joins threads that have ended, which takes no time, and finds a free place. */
static worker *free_place(gyrei_lane *lane)
{
    worker *found = NULL;

    for (uint32_t i = 0; i < lane->threads_max; i++) {
        worker *candidate = &lane->workers[i];

        if (candidate->ended) {
            pthread_join(candidate->thread, NULL);
            candidate->ended = false;
            candidate->used = false;
        }
        if (!candidate->used && found == NULL)
            found = candidate;
    }
    return found;
}

static int start_thread(gyrei_lane *lane)
{
    worker *place = free_place(lane);
    sigset_t all;
    sigset_t before;
    int error;

    GYRE_ASSERT(place != NULL);
    /* Signals are for the program's own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&place->thread, NULL, worker_main, place);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        return GYRE_EAGAIN;
    place->used = true;
    __atomic_add_fetch(&lane->threads, 1, __ATOMIC_SEQ_CST);
    return 0;
}

/* How many threads the waiting work is worth beside those that are busy. */
static uint64_t threads_needed(const gyrei_lane *lane)
{
    uint64_t worth;

    if (lane->queued == 0)
        return lane->shared > 0 ? 1 : 0;
    if (lane->average_ns == UINT64_MAX || lane->average_ns >= WORTH_NS)
        return lane->queued;
    worth = lane->queued * lane->average_ns / WORTH_NS;
    return worth > 0 ? worth : 1;
}

/* Wakes or starts one thread if the work that waits is worth it; that one may invite the next. */
static void invite(gyrei_lane *lane)
{
    const uint32_t threads = __atomic_load_n(&lane->threads, __ATOMIC_RELAXED);

    /* Who waits to look at batches may wait on only while a thread will soon be back for more. */
    if (lane->guarded && lane->queued > 0 && (lane->batches == 0 || lane->average_ns > SHORT_NS))
        pthread_cond_signal(&lane->guard);
    if (threads - lane->sleeping - lane->batches >= threads_needed(lane))
        return;
    if (lane->sleeping > 0)
        pthread_cond_signal(&lane->wake);
    else if (threads < lane->threads_max)
        (void)start_thread(lane); /* one more would have been faster, but is not needed */
}

/* ---- taking work ---- */

static gyre_work *queue_pop(gyrei_lane *lane)
{
    static const gyre_work_priority order[] = {GYRE_WORK_HIGH, GYRE_WORK_NORMAL, GYRE_WORK_LOW};

    for (uint32_t i = 0; i < GYRE_WORK_PRIORITIES; i++) {
        gyre_link *link = gyrei_list_pop(&lane->queues[order[i]]);

        if (link != NULL) {
            gyre_work *work = from_link(link);

            work->queued = 0;
            lane->queued--;
            return work;
        }
    }
    return NULL;
}

static void put_down(worker *self, uint32_t index, gyre_work *work)
{
    __atomic_store_n(&work->place, &self->batch[index], __ATOMIC_RELAXED);
    __atomic_store_n(&self->batch[index], work, __ATOMIC_RELEASE);
}

static uint32_t batch_size(const gyrei_lane *lane)
{
    const uint32_t threads = __atomic_load_n(&lane->threads, __ATOMIC_RELAXED);
    const uint32_t share = lane->queued / (threads * 2) + 1;

    if (lane->average_ns > SHORT_NS)
        return 1;
    return share < lane->batch_max ? share : lane->batch_max;
}

static uint32_t take_from_queue(worker *self)
{
    gyrei_lane *lane = self->lane;
    const uint32_t want = batch_size(lane);
    uint32_t count = 0;
    gyre_work *work;

    while (count < want && (work = queue_pop(lane)) != NULL)
        put_down(self, count++, work);
    __atomic_sub_fetch(&lane->reserved, count, __ATOMIC_SEQ_CST);
    return count;
}

/* Takes one piece of work that another thread has put down and not begun. */
static uint32_t steal(worker *self)
{
    gyrei_lane *lane = self->lane;

    for (uint32_t i = 0; i < lane->threads_max; i++) {
        worker *other = &lane->workers[i];

        for (uint32_t entry = BATCH_MAX; other != self && other->count > 1 && entry > 0; entry--) {
            gyre_work *work = __atomic_exchange_n(&other->batch[entry - 1], NULL, __ATOMIC_ACQ_REL);

            if (work != NULL) {
                put_down(self, 0, work);
                return 1;
            }
        }
    }
    return 0;
}

static gyre_work *claim(worker *self, uint32_t index)
{
    gyre_work *work = __atomic_exchange_n(&self->batch[index], NULL, __ATOMIC_ACQ_REL);

    if (work != NULL)
        __atomic_store_n(&work->place, NULL, __ATOMIC_RELAXED);
    return work;
}

/* ---- running it ---- */

/* Whoever comes first: the worker's thread, or the one that looks after its batch. */
static void hand_over(worker *from)
{
    gyre_link *newest = __atomic_exchange_n(&from->finished, NULL, __ATOMIC_ACQUIRE);
    gyre_link *oldest = newest;
    uint32_t count = 1;

    if (newest == NULL)
        return;
    for (; oldest->next != NULL; oldest = oldest->next)
        count++;
    __atomic_sub_fetch(&from->lane->out, count, __ATOMIC_RELEASE);
    gyrei_work_finished(from_link(newest), from_link(oldest));
}

/* Only this thread adds; what is there may be gone, and its memory, once it was handed over. */
static void add_finished(worker *self, gyre_work *work)
{
    gyre_link *head;

    if (self->owner != work->owner)
        hand_over(self);
    self->owner = work->owner;
    head = __atomic_load_n(&self->finished, __ATOMIC_RELAXED);
    do {
        work->task.link.next = head;
    } while (!__atomic_compare_exchange_n(&self->finished, &head, &work->task.link, true,
                                          __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static void count_run(gyre_pool_stats *stats, uint64_t queue_ns, uint64_t run_ns)
{
    stats->ran++;
    stats->queue_ns_sum += queue_ns;
    stats->run_ns_sum += run_ns;
    if (queue_ns > stats->queue_ns_max)
        stats->queue_ns_max = queue_ns;
    if (run_ns > stats->run_ns_max)
        stats->run_ns_max = run_ns;
}

static void run_batch(worker *self)
{
    const uint64_t begun_ns = now_ns();
    uint64_t last_ns = begun_ns;

    for (uint32_t i = 0; i < self->count; i++) {
        gyre_work *work = claim(self, i);
        uint64_t end_ns;

        if (work == NULL)
            continue;
        work->run(work);
        end_ns = now_ns();
        /* The loop's time of the submit may be ahead of a clock that was read before it. */
        count_run(&self->stats, last_ns > work->submitted_ns ? last_ns - work->submitted_ns : 0,
                  end_ns - last_ns);
        last_ns = end_ns;
        add_finished(self, work);
        if (end_ns - begun_ns > WORTH_NS)
            hand_over(self);
    }
    hand_over(self);
}

static void merge_stats(gyrei_lane *lane, gyre_pool_stats *add)
{
    gyre_pool_stats *sum = &lane->stats;
    const uint64_t mean_ns = add->ran > 0 ? add->run_ns_sum / add->ran : 0;

    if (add->ran == 0)
        return;
    lane->average_ns =
        lane->average_ns == UINT64_MAX ? mean_ns : (lane->average_ns * 7 + mean_ns) / 8;
    sum->ran += add->ran;
    sum->queue_ns_sum += add->queue_ns_sum;
    sum->run_ns_sum += add->run_ns_sum;
    if (add->queue_ns_max > sum->queue_ns_max)
        sum->queue_ns_max = add->queue_ns_max;
    if (add->run_ns_max > sum->run_ns_max)
        sum->run_ns_max = add->run_ns_max;
    *add = (gyre_pool_stats){0};
}

static void run_taken(worker *self, uint32_t count)
{
    gyrei_lane *lane = self->lane;

    self->count = count;
    lane->batches++;
    lane->shared += count > 1;
    if (lane->queued > 0 || count > 1)
        invite(lane);
    pthread_mutex_unlock(&lane->lock);
    run_batch(self);
    pthread_mutex_lock(&lane->lock);
    self->count = 0;
    lane->batches--;
    lane->shared -= count > 1;
    merge_stats(lane, &self->stats);
}

/* ---- resting ---- */

static struct timespec moment(uint64_t after_ns)
{
    const uint64_t ns = now_ns() + after_ns;

    return (struct timespec){.tv_sec = (time_t)(ns / GYRE_SECOND),
                             .tv_nsec = (long)(ns % GYRE_SECOND)};
}

static void hand_over_batches(gyrei_lane *lane)
{
    for (uint32_t i = 0; i < lane->threads_max; i++) {
        if (lane->workers[i].count > 1)
            hand_over(&lane->workers[i]);
    }
}

/*
 * Gives a batch the time that it should need, and then hands over what has run, and takes what has
 * not begun.
 */
static uint32_t watch_batches(worker *self)
{
    gyrei_lane *lane = self->lane;
    const struct timespec until = moment(STEAL_AFTER_NS);
    int error;

    lane->guarded = true;
    error = pthread_cond_timedwait(&lane->guard, &lane->lock, &until);
    lane->guarded = false;
    if (error != 0)
        hand_over_batches(lane);
    return lane->queued > 0 ? 0 : steal(self);
}

/* Says whether the thread should end: it waited long for nothing, or the pool ends. */
static bool sleep_until_work(gyrei_lane *lane)
{
    const struct timespec until = moment(lane->pool->idle_ns);
    bool surplus;
    int error = 0;

    lane->sleeping++;
    if (!lane->ending)
        error = pthread_cond_timedwait(&lane->wake, &lane->lock, &until);
    lane->sleeping--;
    if (lane->queued > 0)
        return false;
    surplus = error != 0 && __atomic_load_n(&lane->threads, __ATOMIC_RELAXED) > lane->threads_min;
    if (!lane->ending && !surplus)
        return false;
    /* Whoever reserves a place now sees a thread fewer, or we see the place. */
    __atomic_sub_fetch(&lane->threads, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&lane->reserved, __ATOMIC_SEQ_CST) == 0)
        return true;
    __atomic_add_fetch(&lane->threads, 1, __ATOMIC_SEQ_CST);
    return false;
}

static void *worker_main(void *context)
{
    worker *self = context;
    gyrei_lane *lane = self->lane;
    bool end = false;

    pthread_setname_np(pthread_self(), "gyre-pool");
    if (lane->nice > 0)
        setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid),
                    getpriority(PRIO_PROCESS, 0) + lane->nice);
    pthread_mutex_lock(&lane->lock);
    while (!end) {
        uint32_t count = take_from_queue(self);

        if (count == 0 && !lane->guarded && lane->shared > 0)
            count = watch_batches(self);
        if (count > 0)
            run_taken(self, count);
        else if (lane->queued == 0)
            end = sleep_until_work(lane);
    }
    self->ended = true;
    pthread_mutex_unlock(&lane->lock);
    return NULL;
}

/* ---- for work.c ---- */

int gyrei_lane_reserve(gyrei_lane *lane)
{
    int error = 0;

    if (__atomic_add_fetch(&lane->reserved, 1, __ATOMIC_SEQ_CST) > lane->pool->queue_max) {
        __atomic_sub_fetch(&lane->reserved, 1, __ATOMIC_SEQ_CST);
        pthread_mutex_lock(&lane->lock);
        lane->stats.rejected++;
        pthread_mutex_unlock(&lane->lock);
        return GYRE_ENOBUFS;
    }
    __atomic_add_fetch(&lane->out, 1, __ATOMIC_RELAXED);
    if (__atomic_load_n(&lane->threads, __ATOMIC_SEQ_CST) > 0)
        return 0;
    pthread_mutex_lock(&lane->lock);
    if (__atomic_load_n(&lane->threads, __ATOMIC_SEQ_CST) == 0)
        error = start_thread(lane);
    if (error != 0)
        gyrei_lane_unreserve(lane);
    pthread_mutex_unlock(&lane->lock);
    return error;
}

void gyrei_lane_unreserve(gyrei_lane *lane)
{
    __atomic_sub_fetch(&lane->out, 1, __ATOMIC_RELEASE);
    __atomic_sub_fetch(&lane->reserved, 1, __ATOMIC_SEQ_CST);
}

void gyrei_lane_give(gyrei_lane *lane, gyre_link *list)
{
    gyre_link *link;

    pthread_mutex_lock(&lane->lock);
    while ((link = gyrei_list_pop(list)) != NULL) {
        gyre_work *work = from_link(link);

        __atomic_store_n(&work->place, NULL, __ATOMIC_RELAXED);
        work->queued = 1;
        gyrei_list_append(&lane->queues[work->priority], link);
        lane->queued++;
    }
    invite(lane);
    pthread_mutex_unlock(&lane->lock);
}

bool gyrei_lane_take_back(gyrei_lane *lane, gyre_work *work)
{
    gyre_work **place;
    bool taken = false;

    pthread_mutex_lock(&lane->lock);
    /* A thread that clears `place` may end, and its batch go, only after it had this lock. */
    place = __atomic_load_n(&work->place, __ATOMIC_RELAXED);
    if (place != NULL) {
        gyre_work *expected = work;

        taken = __atomic_compare_exchange_n(place, &expected, NULL, false, __ATOMIC_ACQ_REL,
                                            __ATOMIC_RELAXED);
        if (taken)
            __atomic_sub_fetch(&lane->out, 1, __ATOMIC_RELEASE);
    } else if (work->queued) {
        work->queued = 0;
        gyrei_list_remove(&work->task.link);
        lane->queued--;
        gyrei_lane_unreserve(lane);
        taken = true;
    }
    if (taken)
        lane->stats.canceled++;
    pthread_mutex_unlock(&lane->lock);
    return taken;
}

void gyre_pool_stats_get(gyre_pool *pool, gyre_work_class work_class, gyre_pool_stats *stats)
{
    gyrei_lane *lane = gyrei_pool_lane(pool, work_class);

    pthread_mutex_lock(&lane->lock);
    *stats = lane->stats;
    stats->threads = __atomic_load_n(&lane->threads, __ATOMIC_RELAXED);
    stats->idle_threads = lane->sleeping;
    stats->waiting = __atomic_load_n(&lane->reserved, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lane->lock);
}

/* ---- life ---- */

static void lane_close(gyrei_lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    lane->ending = true;
    pthread_cond_broadcast(&lane->wake);
    pthread_mutex_unlock(&lane->lock);
    for (uint32_t i = 0; i < lane->threads_max; i++) {
        if (lane->workers[i].used)
            pthread_join(lane->workers[i].thread, NULL);
    }
    pthread_cond_destroy(&lane->guard);
    pthread_cond_destroy(&lane->wake);
    pthread_mutex_destroy(&lane->lock);
    gyrei_free(&lane->pool->allocator, lane->workers, lane->threads_max * sizeof(worker));
}

int gyre_pool_close(gyre_pool *pool)
{
    const gyre_allocator allocator = pool->allocator;

    for (int i = 0; i < GYRE_WORK_CLASSES; i++) {
        if (__atomic_load_n(&pool->lanes[i].out, __ATOMIC_ACQUIRE) > 0)
            return GYRE_EBUSY;
    }
    for (int i = 0; i < GYRE_WORK_CLASSES; i++)
        lane_close(&pool->lanes[i]);
    gyrei_free(&allocator, pool, sizeof(*pool));
    return 0;
}

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

static int lane_init(gyre_pool *pool, gyrei_lane *lane)
{
    lane->workers = gyrei_alloc(&pool->allocator, lane->threads_max * sizeof(worker));
    if (lane->workers == NULL)
        return GYRE_ENOMEM;
    for (uint32_t i = 0; i < lane->threads_max; i++)
        lane->workers[i].lane = lane;
    lane->pool = pool;
    lane->average_ns = UINT64_MAX;
    for (int i = 0; i < GYRE_WORK_PRIORITIES; i++)
        gyrei_list_init(&lane->queues[i]);
    pthread_mutex_init(&lane->lock, NULL);
    init_condition(&lane->wake);
    init_condition(&lane->guard);
    return 0;
}

static uint32_t default_threads(int work_class)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (work_class != GYRE_WORK_CPU)
        return FILE_THREADS;
    return cores < 1 ? 1 : cores > THREADS_LIMIT ? THREADS_LIMIT : (uint32_t)cores;
}

/* Fills the lanes' bounds in. */
static int set_options(gyre_pool *pool, const gyre_pool_options *options)
{
    if (options->size != sizeof(*options) || options->cpu_nice < -1 || options->cpu_nice > 19)
        return GYRE_EINVAL;
    for (int i = 0; i < GYRE_WORK_CLASSES; i++) {
        gyrei_lane *lane = &pool->lanes[i];

        lane->threads_max =
            options->threads_max[i] != 0 ? options->threads_max[i] : default_threads(i);
        lane->threads_min = options->threads_min[i];
        if (lane->threads_max > THREADS_LIMIT || lane->threads_min > lane->threads_max)
            return GYRE_EINVAL;
        lane->batch_max = i == GYRE_WORK_CPU && lane->threads_max > 1 ? BATCH_MAX : 1;
    }
    pool->lanes[GYRE_WORK_CPU].nice = options->cpu_nice == 0 ? CPU_NICE : options->cpu_nice;
    pool->idle_ns = options->idle_ns != 0 ? options->idle_ns : 5 * GYRE_SECOND;
    pool->queue_max = options->queue_max != 0 ? options->queue_max : QUEUE_MAX;
    return 0;
}

int gyre_pool_init(gyre_pool **out, const gyre_pool_options *options)
{
    static const gyre_pool_options defaults = {.size = sizeof(defaults)};
    const gyre_allocator *allocator;
    gyre_pool *pool;
    int error;
    int made = 0;

    if (options == NULL)
        options = &defaults;
    allocator = options->allocator != NULL ? options->allocator : &gyrei_allocator_default;
    pool = gyrei_alloc(allocator, sizeof(*pool));
    if (pool == NULL)
        return GYRE_ENOMEM;
    pool->allocator = *allocator;
    error = set_options(pool, options);
    while (error == 0 && made < GYRE_WORK_CLASSES) {
        error = lane_init(pool, &pool->lanes[made]);
        made += error == 0;
    }
    if (error != 0) {
        while (made > 0)
            lane_close(&pool->lanes[--made]);
        gyrei_free(allocator, pool, sizeof(*pool));
        return error;
    }
    *out = pool;
    return 0;
}
