/*
 * Group: an echo server on several loops. Connections are spread by the kernel or handed over to
 * the least loaded loop, and move on now and then with what is unread; loops post to each other,
 * leave, drain, and are stopped when their time is over; then there is another group. What was
 * counted in must be counted out again, whoever was in the midst of what.
 */
#include "swarm_echo.h"

#include <string.h>

enum { LOOPS_MAX = 4, QUEUE_MAX = 65536 };

static const uint64_t silence_max_ns = 15 * GYRE_SECOND;
static const uint64_t quit_max_ns = 30 * GYRE_SECOND;

typedef struct station station;
typedef struct guest guest;

/* A loop of the group. */
typedef struct place {
    object base;
    station *of;
    gyre_loop *loop;
    gyre_tcp listener;
    gyre_timer ticker;
    uint32_t index;
    uint64_t sent[LOOPS_MAX]; /* notes to each */
    uint64_t received[LOOPS_MAX];
    bool listens;
    bool drained;
} place;

struct station {
    object base;
    gyre_timer pacer; /* on the host's own loop */
    gyre_group *group;
    place *places[LOOPS_MAX];
    uint32_t count;
    bool handed_over; /* all connections are accepted on the first loop */
    uint32_t ended;
    uint64_t ended_ns; /* when the last one did */
    guest *guests;
    uint64_t posts; /* that are to be called */
};

struct guest {
    object base;
    station *of;
    guest *next_guest;
    gyre_loop *loop; /* that has its handle; NULL: it is on its way */
    gyre_tcp tcp;
    gyre_detached detached;
    gyre_post_node node;
    uint32_t place;
    uint32_t next; /* while it moves */
    bool moves;
    bool leaving;
};

typedef struct note {
    object base;
    station *of;
    gyre_post_node node;
    place *from;
    place *to;
    uint64_t number;
} note;

static void on_closed(gyre_handle *handle)
{
    object_closed(handle->data);
}

static void close_once(gyre_handle *handle)
{
    if (!gyre_is_closing(handle))
        gyre_close(handle, on_closed);
}

/* ---- connections ---- */

static void guest_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf);

static void guest_gone(guest *self)
{
    station *of = self->of;
    guest **link = &of->guests;

    while (*link != self)
        link = &(*link)->next_guest;
    *link = self->next_guest;
    gyre_group_leave(of->group, self->place);
    if (self->moves)
        gyre_group_leave(of->group, self->next);
    object_closed(&self->base);
}

static void guest_closed(gyre_handle *handle)
{
    guest_gone(handle->data);
}

static void guest_leave(guest *self, bool gently)
{
    /* Is the loop shut down around it, then `ended` sees to it. */
    if (self->leaving || gyre_is_closing(&self->tcp.handle))
        return;
    self->leaving = true;
    if (gently)
        gyre_stream_finish(&self->tcp.stream, guest_closed);
    else
        gyre_close(&self->tcp.handle, guest_closed);
}

static void guest_stay(guest *self)
{
    EXPECT(self->base.owner, self->of->places[self->place]->loop == self->tcp.handle.loop);
    if (gyre_stream_set_deadlines(&self->tcp.stream, silence_max_ns, silence_max_ns) != 0 ||
        gyre_read_start(&self->tcp.stream, guest_read) != 0)
        guest_leave(self, false);
}

/* There is no loop that would have it. */
static void guest_homeless(guest *self)
{
    gyre_detached_close(&self->detached);
    guest_gone(self);
}

static void guest_arrived(gyre_post_node *node, int status)
{
    guest *self = node->data;
    station *of = self->of;
    place *at = of->places[self->next];

    of->posts--;
    if (status != 0 || gyre_tcp_init(at->loop, &self->tcp) != 0) {
        guest_homeless(self);
        return;
    }
    self->tcp.data = self;
    self->loop = at->loop;
    gyre_group_leave(of->group, self->place);
    self->place = self->next;
    self->moves = false;
    if (gyre_stream_attach(&self->tcp.stream, &self->detached) != 0) {
        gyre_detached_close(&self->detached);
        guest_leave(self, false);
        return;
    }
    guest_stay(self);
}

/* The handle is closed, and this is only a connection. */
static void guest_left(gyre_handle *handle)
{
    guest *self = handle->data;
    station *of = self->of;

    self->loop = NULL;
    self->node.data = self;
    of->posts++; /* before: others may run before the call returns */
    if (gyre_group_post(of->group, self->next, &self->node, guest_arrived) != 0) {
        of->posts--;
        guest_homeless(self);
    }
}

static void guest_detached(gyre_detached *detached, int status)
{
    guest *self = GYRE_CONTAINER_OF(detached, guest, detached);

    object_paid(&self->base);
    if (status == 0) {
        gyre_close(&self->tcp.handle, guest_left);
        return;
    }
    self->moves = false;
    gyre_group_leave(self->of->group, self->next);
    guest_leave(self, false);
}

/* False: it stays where it is. */
static bool guest_go(guest *self, int where)
{
    station *of = self->of;
    const int next = gyre_group_enter(of->group, where);

    if (next < 0)
        return false;
    EXPECT(self->base.owner, (uint32_t)next < of->count && !of->places[next]->drained);
    if (gyre_stream_detach(&self->tcp.stream, &self->detached, guest_detached) != 0) {
        gyre_group_leave(of->group, (uint32_t)next);
        return false;
    }
    object_owes(&self->base);
    self->moves = true;
    self->next = (uint32_t)next;
    return true;
}

static void guest_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    guest *self = stream->data;
    const program *owner = self->base.owner;

    EXPECT(owner, !self->leaving && !self->moves);
    EXPECT(owner, gyre_group_index(self->of->group, stream->handle.loop) == (int)self->place);
    if (nread <= 0) {
        guest_leave(self, nread == GYRE_EOF);
    } else if (gyre_write_copy(stream, buf->base, (size_t)nread) != 0 ||
               gyre_queued_bytes(stream) > QUEUE_MAX) {
        guest_leave(self, false);
    } else if (one_in(owner, 5)) {
        (void)guest_go(self, (int)draw(owner, self->of->count + 2) - 2);
    }
}

static void on_guest(gyre_stream *listener, int status)
{
    place *at = listener->data;
    station *of = at->of;
    guest *self;
    int entered;

    if (status != 0)
        return;
    self = object_new(at->base.owner, sizeof(*self));
    if (gyre_accept(listener, &self->tcp.stream) != 0) {
        object_free(&self->base);
        return;
    }
    object_opened(&self->base);
    self->tcp.data = self;
    entered = gyre_group_enter(of->group, gyre_group_index(of->group, at->loop));
    if (entered < 0) { /* the loop drains: nothing is placed on it any more */
        EXPECT(at->base.owner, entered == GYRE_EGONE);
        gyre_close(&self->tcp.handle, on_closed);
        return;
    }
    self->of = of;
    self->loop = at->loop;
    self->place = (uint32_t)entered;
    self->next_guest = of->guests;
    of->guests = self;
    if (!of->handed_over || !guest_go(self, GYRE_GROUP_LEAST))
        guest_stay(self);
}

/* ---- posts ---- */

/* Called once each, also by a loop that has left, and in the order in which they were sent. */
static void note_arrived(gyre_post_node *node, int status)
{
    note *self = node->data;
    uint64_t *received = &self->to->received[self->from->index];

    EXPECT(self->base.owner, status == 0 || status == GYRE_ECANCELED);
    EXPECT(self->base.owner, self->number == *received + 1);
    *received = self->number;
    self->of->posts--;
    object_paid(&self->base);
    object_free(&self->base);
}

static void post_something(place *from)
{
    station *of = from->of;
    program *owner = of->base.owner;
    note *self = object_new(owner, sizeof(*self));
    const uint32_t to = (uint32_t)draw(owner, of->count);

    self->of = of;
    self->node.data = self;
    self->from = from;
    self->to = of->places[to];
    self->number = from->sent[to] + 1;
    object_owes(&self->base);
    of->posts++;
    if (gyre_group_post(of->group, to, &self->node, note_arrived) == 0) {
        from->sent[to]++; /* the note may be gone already */
        return;
    }
    of->posts--;
    object_paid(&self->base);
    object_free(&self->base);
}

static void on_tick(gyre_timer *ticker)
{
    place *self = ticker->data;
    const program *owner = self->base.owner;

    for (uint64_t i = draw(owner, 4); i > 0; i--)
        post_something(self);
    if (!owner->swarm->healed && one_in(owner, 3000))
        gyre_loop_stop(self->loop); /* it leaves the group, which goes on without it */
}

/* ---- the group's loops ---- */

static int listen_at(place *self, unsigned flags)
{
    gyre_address address;
    int error;

    host_address(self->base.owner, 0, ECHO_PORT, &address);
    error = gyre_tcp_init(self->loop, &self->listener);
    if (error != 0)
        return error;
    object_opened(&self->base);
    self->listens = true;
    self->listener.data = self;
    error = gyre_tcp_bind(&self->listener, &address, flags);
    return error == 0 ? gyre_listen(&self->listener.stream, 0, on_guest) : error;
}

static int set_up(gyre_group *group, uint32_t index, gyre_loop *loop, void *ctx)
{
    station *of = ctx;
    program *owner = of->base.owner;
    place *self = of->places[index];
    int error;

    EXPECT(owner, gyre_group_count(group) == of->count);
    of->group = group;
    self->loop = loop;
    error = gyre_timer_init(loop, &self->ticker);
    if (error != 0)
        return error;
    object_opened(&self->base);
    self->ticker.data = self;
    gyre_unref(&self->ticker.handle);
    gyre_timer_start(&self->ticker, 0, 20 * GYRE_MILLISECOND + draw(owner, GYRE_SECOND), on_tick);
    if (!of->handed_over)
        return listen_at(self, GYRE_TCP_REUSEPORT);
    return index == 0 ? listen_at(self, 0) : 0;
}

static void drain(gyre_group *group, uint32_t index, gyre_loop *loop, void *ctx)
{
    const station *of = ctx;
    place *self = of->places[index];

    (void)group;
    EXPECT(self->base.owner, self->loop == loop && !self->drained);
    self->drained = true;
    close_once(&self->ticker.handle);
    if (self->listens)
        close_once(&self->listener.handle);
}

/* Handles of a loop that was stopped are closed without a word to who did not close them. */
static void forget_place(place *self)
{
    station *of = self->of;
    guest *one = of->guests;

    EXPECT(self->base.owner, !self->drained || self->base.handles == 1);
    self->base.handles = 1;
    while (one != NULL) {
        guest *next = one->next_guest;

        if (one->loop == self->loop)
            guest_gone(one);
        one = next;
    }
}

/* With the last one all is over: what was entered has left, what was posted was called. */
static void ended(gyre_group *group, uint32_t index, void *ctx)
{
    station *of = ctx;
    const program *owner = of->base.owner;

    forget_place(of->places[index]);
    of->ended_ns = gyre_sim_now_ns(owner->swarm->sim);
    if (++of->ended < of->count)
        return;
    EXPECT(owner, of->guests == NULL);
    EXPECT(owner, of->posts == 0);
    for (uint32_t i = 0; i < of->count; i++)
        EXPECT(owner, gyre_group_load(group, i) == 0);
}

/* ---- groups, one after the other ---- */

static int open_group(station *self)
{
    program *owner = self->base.owner;
    gyre_loop_options loop = {.size = sizeof(loop)};
    const gyre_group_options options = {
        .size = sizeof(options), .loop = &loop, .drain = drain, .ended = ended, .ctx = self};
    int error;

    gyre_sim_host_loop_options(owner->host, &loop);
    self->count = 1 + (uint32_t)draw(owner, LOOPS_MAX);
    self->handed_over = one_in(owner, 2);
    self->ended = 0;
    for (uint32_t i = 0; i < self->count; i++) {
        self->places[i] = object_new(owner, sizeof(place));
        self->places[i]->of = self;
        self->places[i]->index = i;
        object_opened(&self->places[i]->base); /* ours, until the group is closed */
    }
    error = gyre_group_open(&self->group, self->count, &options, set_up);
    for (uint32_t i = 0; error != 0 && i < self->count; i++)
        object_closed(&self->places[i]->base);
    if (error != 0)
        self->group = NULL;
    return error;
}

/* In time, and no later than the last loop has ended; asked before, or not. */
static void close_group(station *self, uint64_t timeout_ns)
{
    const program *owner = self->base.owner;
    gyre_sim *sim = owner->swarm->sim;
    const uint64_t begun_ns = gyre_sim_now_ns(sim);
    const bool healed = owner->swarm->healed;
    uint64_t now_ns;
    int error;

    for (uint64_t asks = draw(owner, 3); asks > 0; asks--)
        gyre_group_drain(self->group);
    error = gyre_group_close(self->group, timeout_ns);
    EXPECT(owner, error == 0 || !owner->swarm->calm);
    EXPECT(owner, error == 0 || error == GYRE_ETIMEDOUT || !healed);
    now_ns = gyre_sim_now_ns(sim);
    EXPECT(owner, !healed || now_ns - begun_ns <= timeout_ns + GYRE_SECOND);
    EXPECT(owner,
           !healed || self->ended_ns < begun_ns || now_ns - self->ended_ns <= GYRE_MILLISECOND);
    EXPECT(owner, self->ended == self->count);
    self->group = NULL;
    for (uint32_t i = 0; i < self->count; i++)
        object_closed(&self->places[i]->base);
}

static void on_pace(gyre_timer *pacer)
{
    station *self = pacer->data;
    program *owner = self->base.owner;

    owner->done++;
    if (owner->quitting || owner->swarm->calm)
        return;
    if (self->group == NULL) {
        (void)open_group(self);
    } else if (self->ended > 0 ? owner->swarm->healed : one_in(owner, 20)) {
        /* One that has lost loops goes on without them, until the world is to be whole again. */
        close_group(self, one_in(owner, 4) ? 0 : draw(owner, 5 * GYRE_SECOND));
        (void)open_group(self);
    }
}

static int boot_server(program *owner)
{
    station *self = object_new(owner, sizeof(*self));

    owner->state = self;
    if (gyre_timer_init(owner->loop, &self->pacer) != 0)
        return GYRE_ENOMEM;
    object_opened(&self->base);
    self->pacer.data = self;
    gyre_timer_start(&self->pacer, 0, GYRE_SECOND, on_pace);
    return open_group(self);
}

/* The clients are done: nobody has to be cut off. */
static void quit(program *owner)
{
    station *self = owner->state;

    if (self->group != NULL)
        close_group(self, quit_max_ns);
    close_once(&self->pacer.handle);
}

static const role server = {.boot = boot_server, .quit = quit, .always_quits = true};

static void build(swarm *self)
{
    const uint64_t clients = swarm_clients(self, 3);

    swarm_add(self, "server", &server, 5);
    for (uint64_t i = 0; i < clients; i++)
        swarm_add(self, "client", &echo_client, 10);
}

const scenario scenario_group = {.name = "group", .build = build};
