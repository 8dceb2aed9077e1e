/*
 * The proxy of the scenarios "request" and "proxy", in front of the host that was added before it:
 * two streams, each the other's reader and writer. What one cannot take the other does not read.
 */
#include "swarm_request.h"

enum { QUEUE_HIGH = 2048, QUEUE_LOW = 512 };

static const uint64_t silence_max_ns = 15 * GYRE_SECOND;

typedef struct pair pair;

typedef struct half {
    gyre_tcp tcp;
    gyre_write_req fin;
    pair *of;
    bool open;
    bool reads;
    bool waits; /* for the other half to drain */
    bool ended;
} half;

struct pair {
    object base;
    half halves[2]; /* the client's, the server's */
    gyre_connect_req connect;
    bool leaving;
};

static half *other(half *self)
{
    return &self->of->halves[self == &self->of->halves[0] ? 1 : 0];
}

static void half_closed(gyre_handle *handle)
{
    object_closed(&((half *)handle->data)->of->base);
}

static void pair_leave(pair *self)
{
    if (self->leaving)
        return;
    self->leaving = true;
    for (int i = 0; i < 2; i++) {
        gyre_handle *handle = &self->halves[i].tcp.handle;

        if (self->halves[i].open && !gyre_is_closing(handle))
            gyre_close(handle, half_closed);
    }
}

static void half_fin(gyre_write_req *req, int status)
{
    (void)status;
    object_paid(req->data);
}

static void half_ended(half *self)
{
    half *to = other(self);

    self->ended = true;
    to->fin.data = self->of;
    if (gyre_shutdown(&to->tcp.stream, &to->fin, half_fin) != 0) {
        pair_leave(self->of);
        return;
    }
    object_owes(&self->of->base);
    if (!to->ended)
        return;
    self->of->leaving = true;
    for (int i = 0; i < 2; i++)
        gyre_stream_finish(&self->of->halves[i].tcp.stream, half_closed);
}

static void half_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    half *self = stream->data;
    half *to = other(self);

    EXPECT(self->of->base.owner, !self->of->leaving && !self->waits);
    if (nread == GYRE_EOF) {
        half_ended(self);
    } else if (nread < 0 || gyre_write_copy(&to->tcp.stream, buf->base, (size_t)nread) != 0) {
        pair_leave(self->of);
    } else if (gyre_queued_bytes(&to->tcp.stream) > QUEUE_HIGH) {
        gyre_read_stop(stream);
        self->waits = true;
    }
}

static void half_drained(gyre_stream *stream, int status)
{
    half *self = stream->data;
    half *from = other(self);

    if (self->of->leaving)
        return;
    if (status != 0) {
        pair_leave(self->of);
    } else if (from->waits && gyre_queued_bytes(stream) <= QUEUE_LOW) {
        from->waits = false;
        if (gyre_read_start(&from->tcp.stream, half_read) != 0)
            pair_leave(self->of);
    }
}

static int half_start(half *self)
{
    int error = gyre_stream_set_deadlines(&self->tcp.stream, silence_max_ns, silence_max_ns);

    if (error == 0)
        error = gyre_stream_set_budget(&self->tcp.stream, QUEUE_LOW, QUEUE_HIGH, 0, half_drained);
    return error == 0 ? gyre_read_start(&self->tcp.stream, half_read) : error;
}

static void pair_connected(gyre_connect_req *req, int status)
{
    pair *self = req->data;

    object_paid(&self->base);
    if (self->leaving)
        return;
    if (status != 0 || half_start(&self->halves[0]) != 0 || half_start(&self->halves[1]) != 0)
        pair_leave(self);
}

static void on_pair(gyre_stream *listener, int status)
{
    const station *of = listener->data;
    program *owner = of->base.owner;
    gyre_address address;
    pair *self;

    if (status != 0)
        return;
    self = object_new(owner, sizeof(*self));
    for (int i = 0; i < 2; i++) {
        self->halves[i].of = self;
        if ((i == 0 ? gyre_accept(listener, &self->halves[0].tcp.stream)
                    : gyre_tcp_init(owner->loop, &self->halves[1].tcp)) != 0) {
            if (i == 0)
                object_free(&self->base);
            else
                pair_leave(self);
            return;
        }
        object_opened(&self->base);
        self->halves[i].open = true;
        self->halves[i].tcp.data = &self->halves[i];
    }
    self->connect.data = self;
    host_address(owner, host_of(owner) - 1, REQUEST_PORT, &address);
    if (gyre_tcp_connect(&self->halves[1].tcp, &self->connect, &address, 5 * GYRE_SECOND,
                         pair_connected) != 0)
        pair_leave(self);
    else
        object_owes(&self->base);
}

static int boot_proxy(program *owner)
{
    return station_listen(owner, host_of(owner), on_pair);
}

const role request_proxy = {.boot = boot_proxy, .quit = station_quit};
