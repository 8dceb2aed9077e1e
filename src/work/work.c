/*
 * The loop's side of the pool: requests out, results in.
 *
 *   IDLE --submit--> HELD --give--> WAITING (the lane's) --finished--> DONE --task--> IDLE
 *                      \---------------- cancel, deadline ------------/
 *
 * Work submitted while results are being delivered is held and given to its lane together, so that
 * a busy loop takes the lane's lock once for many. Finished work comes through one stack that
 * threads push chains to; only the push that finds it empty wakes the loop. `state` is the loop's
 * thread's alone. Must not know how a lane shares its work out.
 */
#include "base/list.h"
#include "core/async.h"
#include "core/loop.h"
#include "core/timer.h"
#include "work/pool.h"

/* Held work beyond this is given at once: the lane should not stand idle. */
enum { HELD_MAX = 64 };

typedef struct gyrei_works {
    gyrei_service service;
    gyre_loop *loop;
    gyre_remote *waker;
    gyre_pool *pool;
    bool owns_pool;
    gyre_link *finished; /* atomic: a stack of tasks' links, newest first */
    gyre_link held;
    uint32_t held_count;
    gyre_link flight;
} works;

static const char works_key;

static gyre_work *from_task(gyre_link *link)
{
    return GYRE_CONTAINER_OF(link, gyre_work, task.link);
}

static works *works_of(const gyre_loop *loop)
{
    return (works *)gyrei_service_find(loop, &works_key);
}

/* ---- results ---- */

static void work_done(gyre_loop *loop, gyre_task *task)
{
    gyre_work *work = GYRE_CONTAINER_OF(task, gyre_work, task);
    gyrei_frame frame;

    GYRE_ASSERT(work->state == GYREI_WORK_DONE);
    if (work->has_timer)
        gyrei_timer_node_close(loop, &work->timer);
    gyrei_list_remove(&work->flight);
    work->state = GYREI_WORK_IDLE;
    gyrei_request_end(loop);
    gyrei_callback_enter(loop, &frame, GYRE_HANDLE_NONE, work, "work");
    work->done(work, work->status);
    gyrei_callback_leave(loop, &frame);
}

static void settle(gyre_work *work, int status)
{
    work->status = status;
    work->state = GYREI_WORK_DONE;
    work->task.run = work_done;
    gyrei_task_submit(work->loop, &work->task);
}

/* On the loop: takes what threads have pushed, in the order in which it ended. */
static void take_finished(gyre_loop *loop, void *context)
{
    works *self = context;
    gyre_link *link = __atomic_exchange_n(&self->finished, NULL, __ATOMIC_ACQUIRE);
    gyre_link *oldest = NULL;

    (void)loop;
    while (link != NULL) {
        gyre_link *next = link->next;

        link->next = oldest;
        oldest = link;
        link = next;
    }
    while (oldest != NULL) {
        gyre_link *next = oldest->next;

        settle(from_task(oldest), 0);
        oldest = next;
    }
}

void gyrei_work_finished(gyre_work *newest, gyre_work *oldest)
{
    works *self = newest->owner;
    gyre_remote *waker = gyre_remote_ref(self->waker);
    gyre_link *head = __atomic_load_n(&self->finished, __ATOMIC_RELAXED);

    do {
        oldest->task.link.next = head;
    } while (!__atomic_compare_exchange_n(&self->finished, &head, &newest->task.link, true,
                                          __ATOMIC_RELEASE, __ATOMIC_RELAXED));
    /* From here on the loop may have taken it all, and ended: only the waker is ours. */
    if (head == NULL)
        (void)gyre_async_send(waker);
    gyre_remote_unref(waker);
}

/* ---- giving work to lanes ---- */

/* In an environment that has threads of its own. */
static void run_job(void *job)
{
    gyre_work *work = job;

    work->run(work);
    gyrei_work_finished(work, work);
}

/* Work of the same lane; without one it is the environment's. */
static void give(gyre_loop *loop, gyrei_lane *lane, gyre_link *list)
{
    gyre_link *link;

    if (lane != NULL) {
        gyrei_lane_give(lane, list);
        return;
    }
    while ((link = gyrei_list_pop(list)) != NULL)
        loop->env->job_start(loop->env, from_task(link), run_job);
}

static int reserve(gyrei_lane *lane)
{
    return lane != NULL ? gyrei_lane_reserve(lane) : 0;
}

/* Gives what is held to its lanes, one lock for each lane. */
static void give_held(gyre_loop *loop, gyrei_service *service)
{
    works *self = (works *)service;

    while (!gyrei_list_empty(&self->held)) {
        gyrei_lane *lane = from_task(self->held.next)->lane;
        gyre_link same;
        gyre_link *link = self->held.next;

        gyrei_list_init(&same);
        while (link != &self->held) {
            gyre_work *work = from_task(link);

            link = link->next;
            if (work->lane == lane) {
                work->state = GYREI_WORK_WAITING;
                gyrei_list_remove(&work->task.link);
                gyrei_list_append(&same, &work->task.link);
            }
        }
        give(loop, lane, &same);
    }
    self->held_count = 0;
}

static void hold_or_give(works *self, gyre_work *work)
{
    gyre_loop *loop = self->loop;

    work->state = GYREI_WORK_HELD;
    gyrei_list_append(&self->held, &work->task.link);
    self->held_count++;
    if (loop->task_count == 0 || self->held_count >= HELD_MAX)
        give_held(loop, &self->service);
    else
        loop->services_dirty = true;
}

/* ---- cancel and deadline ---- */

/* Takes work back that has not begun; false when it has. */
static bool take_back(gyre_work *work, int status)
{
    if (work->state == GYREI_WORK_HELD) {
        gyrei_list_remove(&work->task.link);
        work->owner->held_count--;
        if (work->lane != NULL)
            gyrei_lane_unreserve(work->lane);
    } else if (work->lane == NULL) {
        if (!work->loop->env->job_cancel(work->loop->env, work))
            return false;
    } else if (!gyrei_lane_take_back(work->lane, work)) {
        return false;
    }
    settle(work, status);
    return true;
}

static void deadline_passed(gyre_loop *loop, gyre_timer_node *node)
{
    gyre_work *work = GYRE_CONTAINER_OF(node, gyre_work, timer);

    (void)loop;
    if (work->state != GYREI_WORK_DONE)
        (void)take_back(work, GYRE_ETIMEDOUT);
}

int gyre_work_cancel(gyre_work *work)
{
    if (work->state == GYREI_WORK_IDLE || work->state == GYREI_WORK_DONE ||
        gyre_work_canceled(work))
        return GYRE_EALREADY;
    gyrei_loop_check(work->loop);
    __atomic_store_n(&work->canceled, 1, __ATOMIC_RELAXED);
    return take_back(work, GYRE_ECANCELED) ? 0 : GYRE_EBUSY;
}

int gyre_work_canceled(const gyre_work *work)
{
    return __atomic_load_n(&work->canceled, __ATOMIC_RELAXED) != 0;
}

/* ---- the service ---- */

static bool works_out(const gyrei_service *service)
{
    return !gyrei_list_empty(&((const works *)service)->flight);
}

static void works_cancel(gyre_loop *loop, gyrei_service *service)
{
    works *self = (works *)service;
    gyre_link *link = self->flight.next;

    (void)loop;
    while (link != &self->flight) {
        gyre_work *work = GYRE_CONTAINER_OF(link, gyre_work, flight);

        link = link->next;
        (void)gyre_work_cancel(work);
    }
}

/* A child has none of the threads: what they had ends here, and their pool is left as it is. */
static void works_forked(gyre_loop *loop, gyrei_service *service)
{
    works *self = (works *)service;

    (void)loop;
    self->finished = NULL;
    self->pool = NULL;
    self->owns_pool = false;
    self->held_count = 0;
    gyrei_list_init(&self->held);
    for (gyre_link *link = self->flight.next; link != &self->flight; link = link->next) {
        gyre_work *work = GYRE_CONTAINER_OF(link, gyre_work, flight);

        if (work->state != GYREI_WORK_DONE)
            settle(work, GYRE_ECANCELED);
    }
}

static void works_close(gyre_loop *loop, gyrei_service *service)
{
    works *self = (works *)service;

    gyrei_waker_close(self->waker);
    if (self->owns_pool && !gyrei_loop_is_forked(loop)) {
        const int error = gyre_pool_close(self->pool);

        GYRE_ASSERT(error == 0);
    }
    gyrei_loop_free(loop, self, sizeof(*self));
}

static int works_open(gyre_loop *loop, works **out)
{
    works *self = works_of(loop);
    int error;

    *out = self;
    if (self != NULL)
        return 0;
    self = gyrei_loop_alloc(loop, sizeof(*self));
    if (self == NULL)
        return GYRE_ENOMEM;
    error = gyrei_waker_init(loop, take_finished, self, &self->waker);
    if (error != 0) {
        gyrei_loop_free(loop, self, sizeof(*self));
        return error;
    }
    self->service = (gyrei_service){.key = &works_key,
                                    .flush = give_held,
                                    .is_out = works_out,
                                    .cancel = works_cancel,
                                    .forked = works_forked,
                                    .close = works_close};
    self->loop = loop;
    gyrei_list_init(&self->held);
    gyrei_list_init(&self->flight);
    gyrei_service_add(loop, &self->service);
    *out = self;
    return 0;
}

int gyre_loop_set_pool(gyre_loop *loop, gyre_pool *pool)
{
    works *self;
    int error;

    gyrei_loop_check(loop);
    error = works_open(loop, &self);
    if (error != 0)
        return error;
    if (self->owns_pool)
        return GYRE_EBUSY;
    self->pool = pool;
    return 0;
}

static int works_pool(works *self, gyre_pool **pool)
{
    int error;

    if (self->pool == NULL) {
        error = gyre_pool_init(&self->pool, NULL);
        if (error != 0)
            return error;
        self->owns_pool = true;
    }
    *pool = self->pool;
    return 0;
}

int gyre_loop_pool(gyre_loop *loop, gyre_pool **pool)
{
    works *self;
    int error;

    gyrei_loop_check(loop);
    error = works_open(loop, &self);
    return error != 0 ? error : works_pool(self, pool);
}

/* ---- submit ---- */

static bool options_valid(const gyre_work_options *options)
{
    return options->size == sizeof(*options) && (unsigned)options->work_class < GYRE_WORK_CLASSES &&
           (unsigned)options->priority < GYRE_WORK_PRIORITIES;
}

static int start_deadline(gyre_loop *loop, gyre_work *work, uint64_t within_ns)
{
    int error;

    work->has_timer = within_ns > 0;
    if (within_ns == 0)
        return 0;
    error = gyrei_timer_node_init(loop, &work->timer, deadline_passed);
    if (error != 0)
        return error;
    gyrei_timer_node_start(loop, &work->timer,
                           gyrei_time_add(loop->env->now_ns(loop->env), within_ns), 0);
    return 0;
}

int gyre_work_submit(gyre_loop *loop, gyre_work *work, const gyre_work_options *options,
                     gyre_work_cb run, gyre_work_done_cb done)
{
    static const gyre_work_options defaults = {.size = sizeof(defaults)};
    gyre_pool *pool;
    works *self;
    int error;

    GYRE_ASSERT(run != NULL && done != NULL);
    gyrei_loop_check(loop);
    if (options == NULL)
        options = &defaults;
    if (!options_valid(options))
        return GYRE_EINVAL;
    error = works_open(loop, &self);
    pool = options->pool;
    if (error == 0 && pool == NULL && loop->env->job_start == NULL)
        error = works_pool(self, &pool);
    if (error == 0)
        error = start_deadline(loop, work, options->start_within_ns);
    if (error != 0)
        return error;
    work->lane = pool != NULL ? gyrei_pool_lane(pool, options->work_class) : NULL;
    error = reserve(work->lane);
    if (error != 0) {
        if (work->has_timer)
            gyrei_timer_node_close(loop, &work->timer);
        return error;
    }
    work->loop = loop;
    work->owner = self;
    work->run = run;
    work->done = done;
    work->canceled = 0;
    work->priority = (uint8_t)options->priority;
    work->submitted_ns = gyrei_loop_now_ns(loop);
    gyrei_request_begin(loop);
    gyrei_list_append(&self->flight, &work->flight);
    hold_or_give(self, work);
    return 0;
}
