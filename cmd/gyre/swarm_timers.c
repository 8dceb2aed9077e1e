/*
 * Timers, jobs, posts, signals: what a loop does without a network. No timer is early, those due in
 * one turn come in order, what was stopped does not come; a job runs once and then is done once;
 * posts come in order; a signal is not lost.
 */
#include "swarm.h"

enum { TIMERS = 24, JOBS_MAX = 8, SIGNUM = 10 };

static const uint64_t late_max_ns = 2 * GYRE_SECOND;

typedef struct clockwork clockwork;

typedef struct ticker {
    gyre_timer timer;
    clockwork *of;
    uint64_t due_ns; /* not before that */
    uint64_t latest_ns;
    uint64_t started; /* order of starting */
    uint64_t repeat_ns;
    bool exact; /* due_ns is the deadline itself */
    bool waits;
} ticker;

struct clockwork {
    object base;
    ticker tickers[TIMERS];
    gyre_hook check;
    gyre_async async;
    gyre_remote *remote;
    gyre_remote *door;
    gyre_signal signal;
    uint32_t opened;
    uint64_t starts;
    uint64_t last_due_ns; /* of the timers that ran in this turn */
    uint64_t last_started;
    bool any;
    uint64_t posted;
    uint64_t delivered;
    struct job *last_job;
    bool sent;     /* an async send that has not been seen */
    bool signaled; /* the same of a signal */
};

static void on_closed(gyre_handle *handle)
{
    object_closed(handle->data);
}

static void ticker_closed(gyre_handle *handle)
{
    object_closed(&((ticker *)handle->data)->of->base);
}

static program *owner_of(const clockwork *self)
{
    return self->base.owner;
}

/* ---- timers ---- */

static void on_ticker(gyre_timer *timer);

static void start(ticker *self)
{
    clockwork *of = self->of;
    const program *owner = owner_of(of);
    gyre_loop *loop = owner->loop;
    const uint64_t after_ns = draw(owner, UINT64_C(1) << draw(owner, 36));

    self->repeat_ns = one_in(owner, 4) ? 1 + draw(owner, 5 * GYRE_SECOND) : 0;
    self->exact = one_in(owner, 2);
    self->waits = true;
    self->started = of->starts++;
    gyre_timer_set_slack(&self->timer, 0);
    if (self->exact) {
        self->due_ns = gyre_loop_now_ns(loop) + after_ns;
        gyre_timer_start_at(&self->timer, self->due_ns, self->repeat_ns, on_ticker);
    } else {
        if (one_in(owner, 2))
            gyre_timer_set_slack(&self->timer, draw(owner, 100 * GYRE_MILLISECOND));
        gyre_loop_update_now(loop);
        self->due_ns = gyre_loop_now_ns(loop) + after_ns;
        gyre_timer_start(&self->timer, after_ns, self->repeat_ns, on_ticker);
    }
    self->latest_ns = self->due_ns + 100 * GYRE_MILLISECOND;
}

static void stop(ticker *self)
{
    self->waits = false;
    gyre_timer_stop(&self->timer);
}

/* The first one is no timer like the others: it disturbs the loop. */
static ticker *any_ticker(clockwork *self)
{
    return &self->tickers[1 + draw(owner_of(self), TIMERS - 1)];
}

/* Those of one turn come by (deadline, start). */
static void check_order(const ticker *self)
{
    clockwork *of = self->of;

    if (!self->exact || self->repeat_ns > 0)
        return;
    if (of->any)
        EXPECT(owner_of(of), of->last_due_ns < self->due_ns || (of->last_due_ns == self->due_ns &&
                                                                of->last_started < self->started));
    of->any = true;
    of->last_due_ns = self->due_ns;
    of->last_started = self->started;
}

static void on_ticker(gyre_timer *timer)
{
    ticker *self = timer->data;
    clockwork *of = self->of;
    program *owner = owner_of(of);
    const uint64_t now_ns = gyre_loop_now_ns(owner->loop);

    EXPECT(owner, self->waits);
    EXPECT(owner, now_ns >= self->due_ns);
    if (owner->swarm->healed)
        owner->done++;
    if (owner->swarm->healed && self->latest_ns > now_ns)
        EXPECT(owner, now_ns < self->latest_ns + late_max_ns);
    check_order(self);
    if (self->repeat_ns > 0) {
        self->due_ns += self->repeat_ns;
        self->exact = false;
    } else {
        self->waits = false;
    }
    if (owner->quitting)
        return;
    if (!self->waits || one_in(owner, 4))
        start(self);
    if (one_in(owner, 3))
        stop(any_ticker(of));
    if (one_in(owner, 2))
        start(any_ticker(of));
}

/* When nothing is wrong, a timer that waits is not overdue. */
static void check_forgotten(const clockwork *self)
{
    const program *owner = owner_of(self);
    const uint64_t now_ns = gyre_sim_now_ns(owner->swarm->sim);

    for (uint32_t i = 1; i < TIMERS && owner->swarm->calm; i++) {
        const ticker *each = &self->tickers[i];
        const uint64_t slack_ns = 100 * GYRE_MILLISECOND;

        EXPECT(owner, !each->waits || each->due_ns + slack_ns + late_max_ns > now_ns);
    }
}

/* A turn is over: the next one's timers are another batch. */
static void on_check(gyre_hook *hook)
{
    clockwork *self = hook->data;

    self->any = false;
    check_forgotten(self);
}

/* ---- posts ---- */

typedef struct letter {
    object base;
    gyre_post_node node;
    clockwork *of;
    uint64_t number;
    uint64_t sent_ns;
} letter;

/* When nothing is wrong, who sleeps is woken at once. */
static bool is_prompt(const program *owner, uint64_t since_ns)
{
    return !owner->swarm->calm ||
           gyre_sim_now_ns(owner->swarm->sim) - since_ns < 10 * GYRE_MILLISECOND;
}

static void cancel_job(struct job *self);

static void on_letter(gyre_post_node *node, int status)
{
    letter *self = node->data;

    (void)status;
    EXPECT(self->base.owner, self->number == self->of->delivered);
    EXPECT(self->base.owner, is_prompt(self->base.owner, self->sent_ns));
    self->of->delivered++;
    if (self->of->last_job != NULL && one_in(self->base.owner, 2))
        cancel_job(self->of->last_job);
    object_paid(&self->of->base);
    object_paid(&self->base);
    object_free(&self->base);
}

static void post(clockwork *self)
{
    letter *one = object_new(self->base.owner, sizeof(*one));

    one->of = self;
    one->node.data = one;
    one->number = self->posted++;
    one->sent_ns = gyre_sim_now_ns(self->base.owner->swarm->sim);
    object_owes(&self->base);
    object_owes(&one->base);
    EXPECT(owner_of(self), gyre_post(self->door, &one->node, on_letter) == 0);
}

/* ---- jobs ---- */

typedef struct job {
    object base;
    gyre_work work;
    clockwork *of;
    uint64_t ran_ns;
    bool ran;
    bool canceled; /* before it ran */
} job;

static void job_run(gyre_work *work)
{
    job *self = work->data;

    EXPECT(self->base.owner, !self->ran && !self->canceled);
    self->ran = true;
    self->ran_ns = gyre_sim_now_ns(self->base.owner->swarm->sim);
    /* From a thread of the pool, while the loop sleeps. */
    if (!self->base.owner->quitting && one_in(self->base.owner, 3))
        post(self->of);
}

static void job_done(gyre_work *work, int status)
{
    job *self = work->data;
    program *owner = self->base.owner;

    EXPECT(owner, (status == 0) == self->ran);
    EXPECT(owner, status == 0 || status == GYRE_ECANCELED || status == GYRE_ETIMEDOUT);
    EXPECT(owner, !self->canceled || status == GYRE_ECANCELED);
    EXPECT(owner, status != 0 || is_prompt(owner, self->ran_ns));
    if (self->of->last_job == self)
        self->of->last_job = NULL;
    owner->busy--;
    object_paid(&self->base);
    object_free(&self->base);
}

static void cancel_job(job *self)
{
    const int error = gyre_work_cancel(&self->work);

    EXPECT(self->base.owner, error == 0 || error == GYRE_EBUSY || error == GYRE_EALREADY);
    if (error == 0)
        self->canceled = true;
}

static void start_job(clockwork *of)
{
    gyre_work_options options = {.size = sizeof(options)};
    program *owner = owner_of(of);
    job *self;

    if (owner->busy >= JOBS_MAX)
        return;
    self = object_new(owner, sizeof(*self));
    self->work.data = self;
    self->of = of;
    if (one_in(owner, 3))
        options.start_within_ns = 1 + draw(owner, 20 * GYRE_MILLISECOND);
    if (gyre_work_submit(owner->loop, &self->work, &options, job_run, job_done) != 0) {
        object_free(&self->base);
        return;
    }
    owner->busy++;
    object_owes(&self->base);
    of->last_job = self;
    if (one_in(owner, 4))
        cancel_job(self);
}

/* ---- sends, signals ---- */

static void on_async(gyre_async *async)
{
    clockwork *self = async->data;

    EXPECT(owner_of(self), self->sent);
    self->sent = false;
}

static void on_signal(gyre_signal *watcher, int signum)
{
    clockwork *self = watcher->data;

    EXPECT(owner_of(self), signum == SIGNUM && self->signaled);
    self->signaled = false;
}

/* Something happens to the loop from outside of it, as from another thread. */
static void disturb(gyre_timer *timer)
{
    const ticker *self = timer->data;
    clockwork *of = self->of;
    program *owner = owner_of(of);

    if (owner->quitting)
        return;
    switch (draw(owner, 5)) {
    case 0: start_job(of); break;
    case 1:
        for (uint64_t count = 1 + draw(owner, 4); count > 0; count--)
            post(of);
        break;
    case 2:
        of->sent = true;
        EXPECT(owner, gyre_async_send(of->remote) == 0);
        break;
    case 3:
        of->signaled = true;
        gyre_sim_host_signal(owner->host, SIGNUM);
        break;
    default: (void)gyre_loop_run(owner->loop, GYRE_RUN_NOWAIT); break;
    }
}

/* ---- the program ---- */

static int open_timers(clockwork *self)
{
    gyre_loop *loop = owner_of(self)->loop;

    for (uint32_t i = 0; i < TIMERS; i++) {
        ticker *one = &self->tickers[i];

        if (gyre_timer_init(loop, &one->timer) != 0)
            return GYRE_ENOMEM;
        one->timer.data = one;
        one->of = self;
        self->opened++;
        object_opened(&self->base);
        if (i == 0)
            gyre_timer_start(&one->timer, 0, (16 * GYRE_MILLISECOND) << draw(owner_of(self), 8),
                             disturb);
        else
            start(one);
    }
    return 0;
}

static int boot_clockwork(program *owner)
{
    clockwork *self = object_new(owner, sizeof(*self));
    gyre_loop *loop = owner->loop;
    int error = gyre_hook_init(loop, &self->check, GYRE_HOOK_CHECK);

    owner->state = self;
    self->check.data = self;
    if (error == 0)
        error = gyre_async_init(loop, &self->async, on_async);
    self->async.data = self;
    if (error == 0)
        error = gyre_signal_init(loop, &self->signal);
    self->signal.data = self;
    if (error == 0)
        error = gyre_signal_start(&self->signal, SIGNUM, on_signal);
    if (error != 0)
        return error;
    for (int i = 0; i < 3; i++)
        object_opened(&self->base);
    gyre_hook_start(&self->check, on_check);
    self->remote = gyre_async_remote(&self->async);
    self->door = gyre_loop_remote(loop);
    return open_timers(self);
}

/* What was sent must have been seen: the loop had nothing to do but that. */
static void quit(program *owner)
{
    clockwork *self = owner->state;

    EXPECT(owner, !self->sent && !self->signaled && self->posted == self->delivered);
    gyre_remote_unref(self->remote);
    gyre_remote_unref(self->door);
    self->remote = NULL;
    gyre_close(&self->check.handle, on_closed);
    gyre_close(&self->async.handle, on_closed);
    gyre_close(&self->signal.handle, on_closed);
    for (uint32_t i = 0; i < self->opened; i++)
        gyre_close(&self->tickers[i].timer.handle, ticker_closed);
}

static const role clockwork_role = {.boot = boot_clockwork, .quit = quit, .always_quits = true};

static void build(swarm *self)
{
    const uint64_t count = 1 + gyre_sim_random(self->sim) % 4;

    for (uint64_t i = 0; i < count; i++)
        swarm_add(self, "clock", &clockwork_role, 50);
}

const scenario scenario_timers = {.name = "timers", .build = build};
