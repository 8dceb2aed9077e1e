/*
 * A storm: everything is opened, closed, cancelled and reset at moments that nobody would choose,
 * inside callbacks and outside of them. Nothing is asked of the results but that each comes once,
 * and that in the end all is given back.
 */
#include "swarm.h"

#include <string.h>

enum { PORT = 99, BOATS_MAX = 24, LISTENERS = 3, WRITES_MAX = 6, BYTES = 3000 };

typedef struct boat {
    object base;
    gyre_tcp tcp;
    gyre_timer timer;
    gyre_connect_req connect;
    gyre_write_req fin;
    gyre_write_req writes[WRITES_MAX];
    bool writing[WRITES_MAX];
    bool connecting;
    bool finishing;
    bool shut;
    bool closed; /* close was called, or finish */
    char bytes[BYTES];
} boat;

typedef struct harbour {
    object base;
    gyre_timer pacer;
    gyre_tcp listeners[LISTENERS];
    bool listens[LISTENERS];
} harbour;

static void on_closed(gyre_handle *handle)
{
    object_closed(handle->data);
}

static void boat_closed(gyre_handle *handle)
{
    boat *self = handle->data;

    EXPECT(self->base.owner, !self->connecting && !self->finishing);
    for (int i = 0; i < WRITES_MAX; i++)
        EXPECT(self->base.owner, !self->writing[i]);
    object_closed(&self->base);
}

static void boat_end(boat *self)
{
    program *owner = self->base.owner;

    if (self->closed)
        return;
    self->closed = true;
    owner->busy--;
    owner->done++;
    if (!gyre_is_closing(&self->timer.handle))
        gyre_close(&self->timer.handle, on_closed);
    if (gyre_is_closing(&self->tcp.handle))
        return;
    switch (draw(owner, 3)) {
    case 0: gyre_reset(&self->tcp.stream, boat_closed); break;
    case 1:
        /* The other end may be a connection that nobody takes: it would last for ever. */
        (void)gyre_stream_set_deadlines(&self->tcp.stream, 0, 5 * GYRE_SECOND);
        gyre_stream_finish(&self->tcp.stream, boat_closed);
        break;
    default: gyre_close(&self->tcp.handle, boat_closed); break;
    }
}

/* ---- what a boat may do ---- */

static void boat_act(boat *self);

static void boat_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    boat *self = stream->data;

    EXPECT(self->base.owner, !self->closed);
    EXPECT(self->base.owner, nread < 0 || (nread > 0 && buf->len == (size_t)nread));
    if (nread < 0 && one_in(self->base.owner, 2))
        boat_end(self);
    else
        boat_act(self);
}

static void boat_written(gyre_write_req *req, int status)
{
    boat *self = req->data;
    const ptrdiff_t index = req - self->writes;

    (void)status;
    EXPECT(self->base.owner, self->writing[index]);
    self->writing[index] = false;
    object_paid(&self->base);
    boat_act(self);
}

static void boat_fin(gyre_write_req *req, int status)
{
    boat *self = req->data;

    (void)status;
    EXPECT(self->base.owner, self->finishing);
    self->finishing = false;
    object_paid(&self->base);
    boat_act(self);
}

static void boat_write(boat *self)
{
    const program *owner = self->base.owner;
    const uint64_t index = draw(owner, WRITES_MAX);
    const gyre_buf buf = gyre_buf_init(self->bytes, draw(owner, BYTES));

    if (self->writing[index])
        return;
    self->writes[index].data = self;
    if (gyre_write(&self->tcp.stream, &self->writes[index], &buf, 1, boat_written) != 0)
        return;
    self->writing[index] = true;
    object_owes(&self->base);
}

static void boat_shut(boat *self)
{
    self->fin.data = self;
    if (self->finishing || gyre_shutdown(&self->tcp.stream, &self->fin, boat_fin) != 0)
        return;
    self->finishing = true;
    object_owes(&self->base);
}

static void boat_connected(gyre_connect_req *req, int status)
{
    boat *self = req->data;

    EXPECT(self->base.owner, self->connecting);
    EXPECT(self->base.owner, !self->closed || status != 0);
    self->connecting = false;
    object_paid(&self->base);
    if (!self->closed && status == 0)
        (void)gyre_read_start(&self->tcp.stream, boat_read);
    boat_act(self);
}

static void boat_connect(boat *self)
{
    const program *owner = self->base.owner;
    gyre_address address;
    uint16_t port;

    if (self->connecting)
        return;
    port = (uint16_t)(PORT + draw(owner, LISTENERS + 1));
    host_address(owner, (uint32_t)draw(owner, owner->swarm->count), port, &address);
    self->connect.data = self;
    if (gyre_tcp_connect(&self->tcp, &self->connect, &address, draw(owner, 10 * GYRE_MILLISECOND),
                         boat_connected) != 0)
        return;
    self->connecting = true;
    object_owes(&self->base);
}

static void boat_act(boat *self)
{
    const program *owner = self->base.owner;
    const gyre_buf buf = gyre_buf_init(self->bytes, 100);

    if (self->closed || gyre_is_closing(&self->tcp.handle))
        return;
    switch (draw(owner, 12)) {
    case 0: boat_end(self); break;
    case 1: (void)gyre_connect_cancel(&self->connect); break;
    case 2: boat_connect(self); break;
    case 3: gyre_read_stop(&self->tcp.stream); break;
    case 4:
    case 5: (void)gyre_read_start(&self->tcp.stream, boat_read); break;
    case 6: boat_shut(self); break;
    case 7: (void)gyre_stream_set_deadlines(&self->tcp.stream, draw(owner, GYRE_SECOND), 1); break;
    case 8: (void)gyre_try_write(&self->tcp.stream, &buf, 1); break;
    case 9: (void)gyre_write_copy(&self->tcp.stream, self->bytes, draw(owner, BYTES)); break;
    default: boat_write(self); break;
    }
}

static void boat_tick(gyre_timer *timer)
{
    boat_act(timer->data);
}

/* ---- where boats come from ---- */

static boat *boat_new(program *owner)
{
    boat *self = object_new(owner, sizeof(*self));

    if (gyre_timer_init(owner->loop, &self->timer) != 0) {
        object_free(&self->base);
        return NULL;
    }
    object_opened(&self->base);
    memset(self->bytes, 'b', BYTES);
    self->timer.data = self;
    return self;
}

static void boat_start(boat *self)
{
    program *owner = self->base.owner;
    uint64_t period_ns;

    object_opened(&self->base);
    owner->busy++;
    self->tcp.data = self;
    period_ns = 1 + draw(owner, 20 * GYRE_MILLISECOND);
    gyre_timer_start(&self->timer, draw(owner, 5 * GYRE_MILLISECOND), period_ns, boat_tick);
}

/* Connections are not always taken, nor only in the callback. */
static void on_connection(gyre_stream *listener, int status)
{
    const harbour *of = listener->data;
    program *owner = of->base.owner;
    boat *self;

    if (status != 0 || one_in(owner, 4))
        return;
    do {
        self = boat_new(owner);
        if (self == NULL)
            return;
        if (gyre_accept(listener, &self->tcp.stream) != 0) {
            gyre_close(&self->timer.handle, on_closed);
            return;
        }
        boat_start(self);
        if (one_in(owner, 4))
            boat_act(self);
    } while (one_in(owner, 2));
}

static void listener_closed(gyre_handle *handle)
{
    harbour *self = handle->data;

    for (int i = 0; i < LISTENERS; i++) {
        if (handle == &self->listeners[i].handle)
            self->listens[i] = false;
    }
    object_closed(&self->base);
}

static void toggle_listener(harbour *self)
{
    const program *owner = self->base.owner;
    const uint64_t index = draw(owner, LISTENERS);
    gyre_tcp *listener = &self->listeners[index];
    gyre_address address;

    if (self->listens[index]) {
        if (!gyre_is_closing(&listener->handle))
            gyre_close(&listener->handle, listener_closed);
        return;
    }
    gyre_sim_host_address(owner->host, (uint16_t)(PORT + index), &address);
    if (gyre_tcp_init(owner->loop, listener) != 0)
        return;
    listener->data = self;
    object_opened(&self->base);
    self->listens[index] = true;
    if (gyre_tcp_bind(listener, &address, 0) != 0 ||
        gyre_listen(&listener->stream, (int)draw(owner, 4), on_connection) != 0)
        gyre_close(&listener->handle, listener_closed);
}

static void on_pace(gyre_timer *pacer)
{
    harbour *self = pacer->data;
    program *owner = self->base.owner;
    boat *one;

    if (owner->quitting)
        return;
    if (one_in(owner, 20) || !self->listens[0])
        toggle_listener(self);
    if (owner->busy >= BOATS_MAX || (!owner->swarm->healed && !one_in(owner, 3)))
        return;
    one = boat_new(owner);
    if (one == NULL)
        return;
    if (gyre_tcp_init(owner->loop, &one->tcp) != 0) {
        gyre_close(&one->timer.handle, on_closed);
        return;
    }
    boat_start(one);
    boat_connect(one);
}

static int boot_harbour(program *owner)
{
    harbour *self = object_new(owner, sizeof(*self));
    const int error = gyre_timer_init(owner->loop, &self->pacer);

    owner->state = self;
    if (error != 0)
        return error;
    object_opened(&self->base);
    self->pacer.data = self;
    gyre_timer_start(&self->pacer, 0, 100 * GYRE_MILLISECOND, on_pace);
    return 0;
}

/* Boats end by themselves, as they always do. */
static void quit(program *owner)
{
    harbour *self = owner->state;

    gyre_close(&self->pacer.handle, on_closed);
    for (int i = 0; i < LISTENERS; i++) {
        if (self->listens[i] && !gyre_is_closing(&self->listeners[i].handle))
            gyre_close(&self->listeners[i].handle, listener_closed);
    }
}

static const role harbour_role = {.boot = boot_harbour, .quit = quit};

static void build(swarm *self)
{
    const uint64_t count = 2 + gyre_sim_random(self->sim) % 2;

    for (uint64_t i = 0; i < count; i++)
        swarm_add(self, "harbour", &harbour_role, 10);
}

const scenario scenario_storm = {.name = "storm", .build = build};
