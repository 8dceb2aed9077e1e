/*
 * Requests: what the simulated kernel works on for a ring.
 *
 *   start --soon--> tried --result--> completion --multishot: tried again
 *                     |  ^
 *          would block|  |the file changes, soon after
 *                     v  |
 *                   waits           cancel --soon--> ECANCELED, unless it ended before
 *
 * A request holds its file open, and works on the op's memory until its last completion: whoever
 * frees either earlier will be found out.
 */
#include "sim/ring.h"

#include <stdlib.h>

static const uint64_t soon_ns = 20 * GYRE_MICROSECOND;
static const uint64_t late_ns = 20 * GYRE_MILLISECOND;

typedef struct request {
    gyrei_sim_watch watch;
    gyre_link link; /* in ring->requests */
    gyre_link starved;
    gyrei_sim_event event;
    gyrei_sim_event cancel;
    gyrei_sim_ring *ring;
    gyrei_sim_file *file;
    gyre_op *op;
    uint64_t id;
    uint32_t kind;
    bool multishot;
    bool connecting;
} request;

static request *request_at(gyre_link *link)
{
    return GYRE_CONTAINER_OF(link, request, link);
}

static request *request_of(const gyre_op *op)
{
    return (request *)(uintptr_t)op->arg64; /* NOLINT(performance-no-int-to-ptr) */
}

static void free_request(request *self)
{
    gyre_sim *sim = self->ring->host->sim;

    gyrei_sim_unschedule(sim, &self->event);
    gyrei_sim_unschedule(sim, &self->cancel);
    gyrei_list_remove(&self->watch.link);
    gyrei_list_remove(&self->starved);
    gyrei_list_remove(&self->link);
    gyrei_sim_file_unref(self->file);
    free(self);
}

/* ---- trying ---- */

static void try_request(gyre_sim *sim, gyrei_sim_event *event);

static void try_soon(request *self)
{
    gyre_sim *sim = self->ring->host->sim;
    uint64_t after_ns = gyrei_sim_below(&sim->random, soon_ns);

    if (gyrei_sim_scheduled(&self->event))
        return;
    if (gyrei_sim_strikes(sim, GYRE_SIM_DELAYED))
        after_ns += gyrei_sim_below(&sim->random, late_ns);
    gyrei_sim_schedule(sim, &self->event, after_ns, try_request);
}

static void changed(gyrei_sim_watch *watch)
{
    try_soon(GYRE_CONTAINER_OF(watch, request, watch));
}

/* The last completion: the op is the library's again when it sees it. */
static void end(request *self, int32_t value)
{
    const gyrei_sim_completion last = {.id = self->id, .kind = self->kind, .value = value};

    self->op->arg64 = 0;
    gyrei_sim_ring_push(self->ring, &last);
    free_request(self);
}

/* A result that may not be the last one. */
static void give(request *self, gyrei_sim_completion values)
{
    gyre_sim *sim = self->ring->host->sim;
    const bool more = self->multishot && !gyrei_sim_strikes(sim, GYRE_SIM_MULTISHOT_ENDED);

    values.id = self->id;
    values.kind = self->kind;
    if (more)
        values.flags |= GYREI_RESULT_MORE;
    gyrei_sim_ring_push(self->ring, &values);
    if (more) {
        try_soon(self);
    } else {
        self->op->arg64 = 0;
        free_request(self);
    }
}

static gyrei_sim_socket *socket_of(const request *self)
{
    return gyrei_sim_socket_of(self->file);
}

static void try_recv(request *self)
{
    gyrei_sim_ring *ring = self->ring;
    const bool lend = self->op->pointer == NULL;
    const uint32_t buffer = lend ? gyrei_sim_ring_buffer(ring) : 0;
    char *base = self->op->pointer;
    int64_t n;

    if (buffer == UINT32_MAX) {
        gyrei_list_remove(&self->starved);
        gyrei_list_append(&ring->starved, &self->starved);
        return;
    }
    if (lend)
        base = ring->arena + (size_t)buffer * ring->buffer_bytes;
    n = gyrei_sim_recv(socket_of(self), base, lend ? ring->buffer_bytes : self->op->arg32);
    if (n <= 0 && lend)
        gyrei_sim_ring_give(ring, buffer);
    if (n == GYRE_EAGAIN)
        return;
    if (n <= 0) {
        end(self, (int32_t)n);
        return;
    }
    if (lend)
        ring->buffers[buffer].bytes = (uint32_t)n;
    give(self, (gyrei_sim_completion){
                   .value = (int32_t)n, .flags = lend ? GYREI_RESULT_BUFFER : 0, .buffer = buffer});
}

static void try_accept(request *self)
{
    const int fd = gyrei_sim_accept(socket_of(self));

    if (fd == GYRE_EAGAIN)
        return;
    if (fd < 0)
        end(self, fd);
    else
        give(self, (gyrei_sim_completion){.value = fd});
}

static void try_send(request *self)
{
    const int64_t n = gyrei_sim_send(socket_of(self), self->op->pointer, self->op->arg32);

    if (n != GYRE_EAGAIN)
        end(self, (int32_t)n);
}

static void try_connect(request *self)
{
    gyrei_sim_socket *socket = socket_of(self);
    int error;

    if (!self->connecting) {
        error = gyrei_sim_connect(socket, self->op->pointer, self->op->arg32);
        self->connecting = true;
        if (error != GYRE_EINPROGRESS)
            end(self, error);
        return;
    }
    if ((socket->flags & GYREI_SIM_CONNECTING) != 0)
        return;
    error = gyrei_sim_socket_error(socket);
    if (error == 0 && (socket->flags & GYREI_SIM_CONNECTED) == 0)
        error = GYRE_ECONNRESET;
    end(self, error);
}

static void try_request(gyre_sim *sim, gyrei_sim_event *event)
{
    request *self = GYRE_CONTAINER_OF(event, request, event);

    (void)sim;
    switch ((gyrei_op_kind)self->kind) {
    case GYREI_OP_RECV: try_recv(self); break;
    case GYREI_OP_ACCEPT: try_accept(self); break;
    case GYREI_OP_SEND: try_send(self); break;
    case GYREI_OP_CONNECT: try_connect(self); break;
    default: end(self, GYRE_ENOTSUP); break;
    }
}

void gyrei_sim_requests_feed(gyrei_sim_ring *ring)
{
    gyre_link *link = gyrei_list_pop(&ring->starved);

    if (link != NULL)
        try_soon(GYRE_CONTAINER_OF(link, request, starved));
}

/* ---- start, cancel, the end ---- */

/* What needs no file of the simulator's kind is answered at once. */
static bool answer_at_once(gyrei_sim_ring *ring, const gyre_op *op, const gyrei_sim_file *file)
{
    const gyrei_env *env = &ring->host->env;
    gyrei_sim_completion values = {.id = gyrei_op_id(ring->base.loop, op), .kind = op->kind};

    switch ((gyrei_op_kind)op->kind) {
    case GYREI_OP_OPEN:
    case GYREI_OP_STAT: values.value = GYRE_ENOENT; break;
    case GYREI_OP_READ: values.value = file != NULL ? GYRE_ESPIPE : GYRE_EBADF; break;
    case GYREI_OP_CLOSE: values.value = env->sys->close(env, op->fd); break;
    default:
        if (file != NULL && file->kind == GYREI_SIM_SOCKET)
            return false;
        values.value = file == NULL ? GYRE_EBADF : GYRE_ENOTSOCK;
        break;
    }
    gyrei_sim_ring_push(ring, &values);
    return true;
}

void gyrei_sim_request_start(gyrei_sim_ring *ring, gyre_op *op)
{
    gyrei_sim_file *file = gyrei_sim_fd_find(ring->host, op->fd);
    request *self;

    if (answer_at_once(ring, op, file))
        return;
    self = gyrei_sim_new(sizeof(*self));
    self->ring = ring;
    self->file = file;
    self->op = op;
    self->id = gyrei_op_id(ring->base.loop, op);
    self->kind = op->kind;
    self->multishot = (op->flags & GYREI_OP_MULTISHOT) != 0;
    self->watch.changed = changed;
    gyrei_sim_file_ref(file);
    gyrei_list_init(&self->starved);
    gyrei_list_append(&file->watches, &self->watch.link);
    gyrei_list_append(&ring->requests, &self->link);
    op->arg64 = (uint64_t)(uintptr_t)self;
    try_soon(self);
}

static void cancel_request(gyre_sim *sim, gyrei_sim_event *event)
{
    (void)sim;
    end(GYRE_CONTAINER_OF(event, request, cancel), GYRE_ECANCELED);
}

static bool has_request(const gyre_op *op)
{
    return op->kind == GYREI_OP_RECV || op->kind == GYREI_OP_SEND || op->kind == GYREI_OP_ACCEPT ||
           op->kind == GYREI_OP_CONNECT;
}

void gyrei_sim_request_cancel(gyrei_sim_ring *ring, gyre_op *op)
{
    gyre_sim *sim = ring->host->sim;
    request *self = has_request(op) ? request_of(op) : NULL;
    uint64_t after_ns = gyrei_sim_below(&sim->random, soon_ns);

    if (self == NULL)
        return;
    GYRE_ASSERT(self->op == op && self->ring == ring);
    if (gyrei_sim_strikes(sim, GYRE_SIM_LATE_CANCEL))
        after_ns = gyrei_sim_below(&sim->random, late_ns);
    gyrei_sim_schedule(sim, &self->cancel, after_ns, cancel_request);
}

const char *gyrei_sim_requests_verify(const gyrei_sim_ring *ring, uint32_t *count)
{
    for (gyre_link *link = ring->requests.next; link != &ring->requests; link = link->next) {
        const request *self = request_at(link);

        if (gyrei_op_find(ring->base.loop, self->id) != self->op || request_of(self->op) != self)
            return "the kernel works on an operation that has ended";
        if (self->op->state != GYREI_OP_IN_KERNEL)
            return "the kernel works on an operation that is not its own";
        (*count)++;
    }
    return NULL;
}

void gyrei_sim_requests_drop(gyrei_sim_ring *ring)
{
    gyre_link *link = ring->requests.next;

    while (link != &ring->requests) {
        request *self = request_at(link);

        link = link->next;
        free_request(self);
    }
}
