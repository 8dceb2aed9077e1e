/*
 * Slices: long computations that stay on the loop, a turn's budget at a time.
 *
 * All slices of a loop stand in a ring and get a step each, in turn, until the budget is spent. A
 * timer that is always due drives them: one started in the timers phase waits for the next turn, so
 * that each turn polls for I/O between two budgets, and never sleeps meanwhile.
 *
 * A turn takes from the kernel what fits its buffers, on io_uring 64 receives. Were each such turn
 * followed by a whole budget, a loop with more to do would fall ever further behind. So a turn that
 * called others is followed by the next one, until there is nothing to do, or they have had
 * OTHERS_SHARE times a budget.
 */
#include "base/list.h"
#include "core/loop.h"
#include "core/timer.h"
#include "gyre/work.h"

enum { OTHERS_SHARE = 4 };

typedef enum slice_state { SLICE_IDLE = 0, SLICE_RUNNING, SLICE_CANCELED } slice_state;

typedef struct slices {
    gyrei_service service;
    gyre_timer_node timer;
    gyre_link ring;           /* the one whose step is next stands first */
    uint64_t others_until_ns; /* when others have had their share */
    uint64_t callbacks;       /* of the loop when the last turn's budget was spent */
} slices;

static const char slices_key;

static uint64_t clock_ns(const gyre_loop *loop)
{
    return loop->env->now_ns(loop->env);
}

static void finish(gyre_loop *loop, gyre_slice *slice, int status)
{
    gyrei_frame frame;

    gyrei_list_remove(&slice->link);
    slice->status = status;
    slice->state = SLICE_IDLE;
    gyrei_request_end(loop);
    gyrei_callback_enter(loop, &frame, GYRE_HANDLE_NONE, slice, "slice");
    slice->done(slice, status);
    gyrei_callback_leave(loop, &frame);
}

/*
 * One step of the first slice, which then goes to the end of the ring. It is out of the ring
 * meanwhile: a step may run a turn of its own, which must not step it again.
 */
static uint64_t run_step(gyre_loop *loop, slices *self, uint64_t begun_ns)
{
    gyre_slice *slice = GYRE_CONTAINER_OF(self->ring.next, gyre_slice, link);
    gyrei_frame frame;
    uint64_t ended_ns;
    int more;

    if (slice->state == SLICE_CANCELED) {
        finish(loop, slice, GYRE_ECANCELED);
        return clock_ns(loop);
    }
    gyrei_list_remove(&slice->link);
    gyrei_callback_enter(loop, &frame, GYRE_HANDLE_NONE, slice, "slice");
    more = slice->step(slice);
    gyrei_callback_leave(loop, &frame);
    ended_ns = clock_ns(loop);
    slice->steps++;
    slice->run_ns += ended_ns - begun_ns;
    if (slice->state == SLICE_CANCELED)
        finish(loop, slice, GYRE_ECANCELED);
    else if (more <= 0)
        finish(loop, slice, more);
    else
        gyrei_list_append(&self->ring, &slice->link);
    return ended_ns;
}

/* Says whether others were called since the last budget, or look, and may go on. */
static bool others_go_on(gyre_loop *loop, slices *self, uint64_t now_ns)
{
    const bool called = loop->callbacks != self->callbacks;

    self->callbacks = loop->callbacks;
    return called && now_ns < self->others_until_ns;
}

/* The largest budget of those that compute now; each takes part in one turn more. */
static uint64_t turn_budget_ns(slices *self)
{
    uint64_t budget_ns = 0;

    for (gyre_link *link = self->ring.next; link != &self->ring; link = link->next) {
        gyre_slice *slice = GYRE_CONTAINER_OF(link, gyre_slice, link);

        slice->turns++;
        if (slice->budget_ns > budget_ns)
            budget_ns = slice->budget_ns;
    }
    return budget_ns;
}

static void run_turn(gyre_loop *loop, gyre_timer_node *node)
{
    slices *self = GYRE_CONTAINER_OF(node, slices, timer);
    const uint64_t begun_ns = clock_ns(loop);
    uint64_t budget_ns;
    uint64_t now_ns = begun_ns;

    /* Started first, so that a turn that a step runs goes on with the others. */
    gyrei_timer_node_start(loop, node, gyrei_loop_now_ns(loop), 0);
    if (others_go_on(loop, self, begun_ns))
        return;
    budget_ns = turn_budget_ns(self);
    while (!gyrei_list_empty(&self->ring) && now_ns - begun_ns < budget_ns)
        now_ns = run_step(loop, self, now_ns);
    self->others_until_ns = gyrei_time_add(now_ns, budget_ns * OTHERS_SHARE);
    self->callbacks = loop->callbacks;
    if (gyrei_list_empty(&self->ring))
        gyrei_timer_node_stop(loop, node);
    else if (!gyrei_timer_node_started(node))
        gyrei_timer_node_start(loop, node, gyrei_loop_now_ns(loop), 0);
}

static void slices_cancel(gyre_loop *loop, gyrei_service *service)
{
    slices *self = (slices *)service;

    (void)loop;
    for (gyre_link *link = self->ring.next; link != &self->ring; link = link->next)
        GYRE_CONTAINER_OF(link, gyre_slice, link)->state = SLICE_CANCELED;
}

static void slices_close(gyre_loop *loop, gyrei_service *service)
{
    slices *self = (slices *)service;

    if (!gyrei_loop_is_forked(loop)) /* else the timers are forgotten already */
        gyrei_timer_node_close(loop, &self->timer);
    gyrei_loop_free(loop, self, sizeof(*self));
}

static int slices_open(gyre_loop *loop, slices **out)
{
    slices *self = (slices *)gyrei_service_find(loop, &slices_key);
    int error;

    *out = self;
    if (self != NULL)
        return 0;
    self = gyrei_loop_alloc(loop, sizeof(*self));
    if (self == NULL)
        return GYRE_ENOMEM;
    error = gyrei_timer_node_init(loop, &self->timer, run_turn);
    if (error != 0) {
        gyrei_loop_free(loop, self, sizeof(*self));
        return error;
    }
    self->service =
        (gyrei_service){.key = &slices_key, .cancel = slices_cancel, .close = slices_close};
    gyrei_list_init(&self->ring);
    gyrei_service_add(loop, &self->service);
    *out = self;
    return 0;
}

int gyre_slice_start(gyre_loop *loop, gyre_slice *slice, uint64_t budget_ns,
                     gyre_slice_step_cb step, gyre_slice_done_cb done)
{
    slices *self;
    int error;

    GYRE_ASSERT(step != NULL && done != NULL);
    gyrei_loop_check(loop);
    error = slices_open(loop, &self);
    if (error != 0)
        return error;
    slice->loop = loop;
    slice->step = step;
    slice->done = done;
    slice->budget_ns = budget_ns != 0 ? budget_ns : GYRE_SLICE_BUDGET_NS;
    slice->steps = 0;
    slice->turns = 0;
    slice->run_ns = 0;
    slice->status = 0;
    slice->state = SLICE_RUNNING;
    gyrei_request_begin(loop);
    gyrei_list_append(&self->ring, &slice->link);
    if (!gyrei_timer_node_started(&self->timer))
        gyrei_timer_node_start(loop, &self->timer, gyrei_loop_now_ns(loop), 0);
    return 0;
}

int gyre_slice_cancel(gyre_slice *slice)
{
    if (slice->state != SLICE_RUNNING)
        return GYRE_EALREADY;
    gyrei_loop_check(slice->loop);
    slice->state = SLICE_CANCELED;
    return 0;
}
