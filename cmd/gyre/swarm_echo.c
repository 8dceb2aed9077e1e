/*
 * Echo: clients send streams whose every byte is known, the server sends them back; over TCP
 * between hosts, and over a unix socket within one. Whatever arrives must be the stream, from its
 * beginning, without a gap; and a stream that ends without an error on either side is complete.
 */
#include "swarm_echo.h"

#include <string.h>

enum { TALKS_MAX = 4, CHUNK_MAX = 8192, QUEUE_HIGH = 65536, QUEUE_LOW = 8192 };

static const char local_name[] = "@echo";
static const uint64_t silence_max_ns = 15 * GYRE_SECOND;
static const uint64_t talk_max_ns = 20 * GYRE_SECOND;

typedef union endpoint {
    gyre_tcp tcp;
    gyre_pipe pipe;
    gyre_stream stream;
    gyre_handle handle;
} endpoint;

typedef struct guest guest;

typedef struct station {
    object base;
    gyre_timer pacer;
    endpoint listeners[2];
    uint32_t opened;
    guest *sleeper; /* the last guest that rests */
    bool local;     /* talks to itself over the unix socket */
} station;

static void on_closed(gyre_handle *handle)
{
    object_closed(handle->data);
}

/* Handles have their object as data; closing twice is nobody's. */
static void close_once(gyre_handle *handle)
{
    if (!gyre_is_closing(handle))
        gyre_close(handle, on_closed);
}

/* ---- writes that are owed a callback ---- */

typedef struct parcel {
    object base;
    gyre_write_req req;
    object *of;
    char bytes[];
} parcel;

static void parcel_done(gyre_write_req *req, int status)
{
    parcel *self = req->data;

    (void)status;
    object_paid(self->of);
    object_paid(&self->base);
    object_free(&self->base);
}

static int send_parcel(object *of, gyre_stream *stream, const char *bytes, size_t len)
{
    parcel *self = object_new(of->owner, (uint32_t)(sizeof(*self) + len));
    const size_t half = len / 2;
    gyre_buf bufs[2];
    int error;

    memcpy(self->bytes, bytes, len);
    bufs[0] = gyre_buf_init(self->bytes, half);
    bufs[1] = gyre_buf_init(self->bytes + half, len - half);
    self->req.data = self;
    self->of = of;
    error = gyre_write(stream, &self->req, bufs, 2, parcel_done);
    if (error == 0) {
        object_owes(of);
        object_owes(&self->base);
    } else {
        object_free(&self->base);
    }
    return error;
}

/* One of the ways to write. */
static int send_some_way(object *of, gyre_stream *stream, const char *bytes, size_t len)
{
    const gyre_buf buf = gyre_buf_init(bytes, len);
    int64_t sent;

    switch (draw(of->owner, 3)) {
    case 0: return send_parcel(of, stream, bytes, len);
    case 1:
        sent = gyre_try_write(stream, &buf, 1);
        if (sent == GYRE_EAGAIN)
            sent = 0;
        if (sent < 0 || (size_t)sent == len)
            return sent < 0 ? (int)sent : 0;
        return gyre_write_copy(stream, bytes + sent, len - (size_t)sent);
    default: return gyre_write_copy(stream, bytes, len);
    }
}

/* ---- the server's side ---- */

struct guest {
    object base;
    endpoint end;
    gyre_timer rest; /* until reading goes on */
    bool resting;
    bool leaving;
};

static void forget_sleeper(const guest *self)
{
    station *of = self->base.owner->state;

    if (of->sleeper == self)
        of->sleeper = NULL;
}

/* Debug builds overwrite a handle before its close callback. */
#ifdef GYRE_DEBUG
enum { CLOSED_CAN_BE_ASKED = 0 };
#else
enum { CLOSED_CAN_BE_ASKED = 1 };
#endif

/* Every write has ended, and was taken off the budget. */
static void guest_closed(gyre_handle *handle)
{
    guest *self = handle->data;

    EXPECT(self->base.owner, !CLOSED_CAN_BE_ASKED || gyre_queued_bytes(&self->end.stream) == 0);
    object_closed(&self->base);
}

static void guest_leave(guest *self, bool gently)
{
    if (self->leaving)
        return;
    self->leaving = true;
    forget_sleeper(self);
    close_once(&self->rest.handle);
    if (gyre_is_closing(&self->end.handle)) /* the loop is shut down around us */
        return;
    if (gently)
        gyre_stream_finish(&self->end.stream, guest_closed);
    else if (one_in(self->base.owner, 4))
        gyre_reset(&self->end.stream, guest_closed);
    else
        gyre_close(&self->end.handle, guest_closed);
}

static void guest_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf);

static void guest_rested(gyre_timer *timer)
{
    guest *self = timer->data;

    if (gyre_queued_bytes(&self->end.stream) > QUEUE_LOW) {
        gyre_timer_start(timer, 10 * GYRE_MILLISECOND, 0, guest_rested);
        return;
    }
    self->resting = false;
    forget_sleeper(self);
    if (gyre_read_start(&self->end.stream, guest_read) != 0)
        guest_leave(self, false);
}

/* Reading may go on inside another stream's callback too, between results of one batch. */
static void wake_sleeper(const program *owner)
{
    const station *of = owner->state;

    if (of->sleeper == NULL || !one_in(owner, 3) || gyre_is_closing(&of->sleeper->end.handle))
        return;
    gyre_timer_stop(&of->sleeper->rest);
    guest_rested(&of->sleeper->rest);
}

static void guest_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    guest *self = stream->data;
    const program *owner = self->base.owner;

    EXPECT(owner, !self->leaving && !self->resting);
    if (nread <= 0) {
        guest_leave(self, nread == GYRE_EOF);
        return;
    }
    wake_sleeper(owner);
    if (send_some_way(&self->base, stream, buf->base, (size_t)nread) != 0) {
        guest_leave(self, false);
        return;
    }
    if (gyre_queued_bytes(stream) > QUEUE_HIGH || one_in(owner, 6)) {
        gyre_read_stop(stream);
        self->resting = true;
        ((station *)owner->state)->sleeper = self;
        gyre_timer_start(&self->rest, draw(owner, UINT64_C(1) << draw(owner, 25)), 0, guest_rested);
    }
}

static void on_guest(gyre_stream *listener, int status)
{
    station *of = listener->data;
    program *owner = of->base.owner;
    guest *self;

    if (status != 0)
        return;
    self = object_new(owner, sizeof(*self));
    if (gyre_timer_init(owner->loop, &self->rest) != 0) {
        object_free(&self->base);
        return;
    }
    object_opened(&self->base);
    self->rest.data = self;
    if (gyre_accept(listener, &self->end.stream) != 0) {
        gyre_close(&self->rest.handle, on_closed);
        return;
    }
    object_opened(&self->base);
    self->end.handle.data = self;
    /* Where nothing may fail none is needed, and a stream without has ways of its own. */
    if ((!owner->swarm->calm &&
         gyre_stream_set_deadlines(&self->end.stream, silence_max_ns, silence_max_ns) != 0) ||
        gyre_read_start(&self->end.stream, guest_read) != 0)
        guest_leave(self, false);
}

/* ---- the client's side ---- */

typedef struct talk {
    object base;
    endpoint end;
    gyre_timer timer;
    gyre_connect_req connect;
    gyre_write_req fin;
    uint64_t key;
    uint64_t total;
    uint64_t sent;
    uint64_t received;
    uint64_t give_up_ns;
    bool local;
    bool calm; /* began when nothing may fail any more */
    bool connected;
    bool shut;
    bool leaving;
} talk;

static void talk_leave(talk *self)
{
    if (self->leaving)
        return;
    self->leaving = true;
    self->base.owner->busy--;
    close_once(&self->timer.handle);
    if (!gyre_is_closing(&self->end.handle) && one_in(self->base.owner, 8))
        gyre_reset(&self->end.stream, on_closed);
    else
        close_once(&self->end.handle);
}

static void talk_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    talk *self = stream->data;
    program *owner = self->base.owner;

    EXPECT(owner, !self->leaving);
    if (nread <= 0) {
        const bool complete = nread == GYRE_EOF && self->received == self->total && self->shut;

        EXPECT(owner, complete || !self->calm);
        if (complete)
            owner->done++;
        talk_leave(self);
        return;
    }
    wake_sleeper(owner);
    for (int64_t i = 0; i < nread; i++) {
        if (buf->base[i] != pattern(self->key, self->received + (uint64_t)i)) {
            FLAW(owner, "a byte of an echo is another");
            break;
        }
    }
    self->received += (uint64_t)nread;
    EXPECT(owner, self->received <= self->sent);
}

static void talk_fin(gyre_write_req *req, int status)
{
    talk *self = req->data;

    (void)status;
    object_paid(&self->base);
}

static void talk_send(talk *self)
{
    const program *owner = self->base.owner;
    uint64_t len = draw(owner, CHUNK_MAX) + 1;
    char bytes[CHUNK_MAX];

    if (len > self->total - self->sent)
        len = self->total - self->sent;
    for (uint64_t i = 0; i < len; i++)
        bytes[i] = pattern(self->key, self->sent + i);
    if (len > 0 && send_some_way(&self->base, &self->end.stream, bytes, len) != 0) {
        talk_leave(self);
        return;
    }
    self->sent += len;
    if (self->sent < self->total || self->shut)
        return;
    self->fin.data = self;
    if (gyre_shutdown(&self->end.stream, &self->fin, talk_fin) != 0) {
        talk_leave(self);
        return;
    }
    object_owes(&self->base);
    self->shut = true;
}

static void talk_tick(gyre_timer *timer)
{
    talk *self = timer->data;
    const program *owner = self->base.owner;

    EXPECT(owner, !self->leaving);
    if (gyre_loop_now_ns(owner->loop) >= self->give_up_ns ||
        (!owner->swarm->healed && one_in(owner, 200))) {
        EXPECT(owner, !self->calm);
        talk_leave(self);
        return;
    }
    if (self->connected && !self->shut && gyre_queued_bytes(&self->end.stream) < QUEUE_HIGH)
        talk_send(self);
}

static void talk_connected(gyre_connect_req *req, int status)
{
    talk *self = req->data;

    object_paid(&self->base);
    if (self->leaving)
        return;
    if (status != 0 || gyre_read_start(&self->end.stream, talk_read) != 0) {
        /* A unix listener's queue may be full. */
        EXPECT(self->base.owner, !self->calm || (self->local && status == GYRE_EAGAIN));
        talk_leave(self);
        return;
    }
    self->connected = true;
    talk_send(self);
}

static int talk_connect(talk *self)
{
    gyre_address address;

    if (self->local)
        return gyre_pipe_connect(&self->end.pipe, &self->connect, local_name, 5 * GYRE_SECOND,
                                 talk_connected);
    host_address(self->base.owner, 0, ECHO_PORT, &address);
    return gyre_tcp_connect(&self->end.tcp, &self->connect, &address, 5 * GYRE_SECOND,
                            talk_connected);
}

static void talk_start(station *of)
{
    program *owner = of->base.owner;
    talk *self = object_new(owner, sizeof(*self));
    uint64_t period_ns;

    self->local = of->local;
    self->calm = owner->swarm->calm;
    self->key = draw(owner, UINT64_MAX);
    self->total = draw(owner, UINT64_C(1) << draw(owner, 17)) + 1;
    self->give_up_ns = gyre_loop_now_ns(owner->loop) + talk_max_ns;
    if (gyre_timer_init(owner->loop, &self->timer) != 0) {
        object_free(&self->base);
        return;
    }
    object_opened(&self->base);
    self->timer.data = self;
    if ((of->local ? gyre_pipe_init(owner->loop, &self->end.pipe)
                   : gyre_tcp_init(owner->loop, &self->end.tcp)) != 0) {
        gyre_close(&self->timer.handle, on_closed);
        return;
    }
    object_opened(&self->base);
    self->end.handle.data = self;
    self->connect.data = self;
    owner->busy++;
    if (talk_connect(self) != 0) {
        talk_leave(self);
        return;
    }
    object_owes(&self->base);
    period_ns = GYRE_MILLISECOND + draw(owner, 50 * GYRE_MILLISECOND);
    gyre_timer_start(&self->timer, draw(owner, 30 * GYRE_MILLISECOND), period_ns, talk_tick);
}

/* ---- programs ---- */

static void on_pace(gyre_timer *pacer)
{
    station *self = pacer->data;
    program *owner = self->base.owner;

    /* Faults strike for long: then there are breaks. */
    if (owner->quitting || owner->busy >= TALKS_MAX ||
        (owner->swarm->healed ? owner->done >= owner->wanted : !one_in(owner, 40)))
        return;
    talk_start(self);
}

static station *station_new(program *owner, bool local)
{
    station *self = object_new(owner, sizeof(*self));

    owner->state = self;
    self->local = local;
    if (gyre_timer_init(owner->loop, &self->pacer) != 0)
        return NULL;
    object_opened(&self->base);
    self->pacer.data = self;
    gyre_timer_start(&self->pacer, 0, 50 * GYRE_MILLISECOND, on_pace);
    return self;
}

static int listen_on(station *self, int index)
{
    program *owner = self->base.owner;
    endpoint *listener = &self->listeners[index];
    gyre_address address;
    int error;

    host_address(owner, 0, ECHO_PORT, &address);
    error = index == 0 ? gyre_tcp_init(owner->loop, &listener->tcp)
                       : gyre_pipe_init(owner->loop, &listener->pipe);
    if (error != 0)
        return error;
    object_opened(&self->base);
    self->opened++;
    listener->handle.data = self;
    error = index == 0 ? gyre_tcp_bind(&listener->tcp, &address, 0)
                       : gyre_pipe_bind(&listener->pipe, local_name);
    return error == 0 ? gyre_listen(&listener->stream, (int)draw(owner, 8), on_guest) : error;
}

static int boot_server(program *owner)
{
    station *self = station_new(owner, true);
    int error = self != NULL ? 0 : GYRE_ENOMEM;

    for (int i = 0; error == 0 && i < 2; i++)
        error = listen_on(self, i);
    return error;
}

static int boot_client(program *owner)
{
    return station_new(owner, false) != NULL ? 0 : GYRE_ENOMEM;
}

static void quit(program *owner)
{
    station *self = owner->state;

    close_once(&self->pacer.handle);
    for (uint32_t i = 0; i < self->opened; i++)
        close_once(&self->listeners[i].handle);
}

static const role server = {.boot = boot_server, .quit = quit};
const role echo_client = {.boot = boot_client, .quit = quit};

static void build(swarm *self)
{
    const uint64_t clients = swarm_clients(self, 3);

    swarm_add(self, "server", &server, 5);
    for (uint64_t i = 0; i < clients; i++)
        swarm_add(self, "client", &echo_client, 10);
}

const scenario scenario_echo = {.name = "echo", .build = build};
