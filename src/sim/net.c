/*
 * Connections: what lies between two sockets. Each direction is a queue of segments that arrive in
 * order, late, or after they were sent again; bytes are copied once, when they are sent, and become
 * visible when their segment arrives.
 *
 *   send --> ring (on its way) --arrives--> ring (visible) --read--> released --> room again
 *
 * A connection lives while a socket or an event refers to it.
 */
#include "sim/sim.h"

#include <stdlib.h>
#include <string.h>

enum { SYN_TRIES = 6, BUFFER_MIN = 4096, BUFFER_MAX = 65536, RING_FIRST = 512 };

static const uint64_t resend_first_ns = 200 * GYRE_MILLISECOND;
static const uint64_t resend_max_ns = 5 * GYRE_SECOND;
static const uint64_t give_up_ns = 20 * GYRE_SECOND;

bool gyrei_sim_reachable(const gyre_sim *sim, const gyre_sim_host *a, const gyre_sim_host *b)
{
    return a->powered && b->powered && (sim->cut[a->id] >> b->id & 1) == 0;
}

static uint64_t latency_ns(gyre_sim *sim, const gyre_sim_host *a, const gyre_sim_host *b)
{
    uint64_t ns;

    if (a == b)
        return gyrei_sim_between(&sim->random, 5 * GYRE_MICROSECOND, 30 * GYRE_MICROSECOND);
    ns = gyrei_sim_between(&sim->random, sim->options.latency_min_ns, sim->options.latency_max_ns);
    if (gyrei_sim_strikes(sim, GYRE_SIM_LATENCY))
        ns += gyrei_sim_below(&sim->random, 500 * GYRE_MILLISECOND);
    while (ns < give_up_ns && gyrei_sim_strikes(sim, GYRE_SIM_LOSS))
        ns += ns < resend_first_ns ? resend_first_ns : ns;
    return ns;
}

static uint64_t between_ends_ns(const gyrei_sim_conn *conn)
{
    return conn->local ? 0 : latency_ns(conn->sim, conn->ends[0].host, conn->ends[1].host);
}

static bool is_cut(const gyrei_sim_conn *conn)
{
    return !conn->local && !gyrei_sim_reachable(conn->sim, conn->ends[0].host, conn->ends[1].host);
}

/* ---- life ---- */

gyrei_sim_conn *gyrei_sim_conn_new(gyrei_sim_socket *socket, gyre_sim_host *to)
{
    gyre_sim *sim = to->sim;
    gyrei_sim_conn *conn = gyrei_sim_new(sizeof(*conn));

    conn->sim = sim;
    conn->ends[0] = (gyrei_sim_end){.socket = socket, .host = socket->file.host};
    conn->ends[1] = (gyrei_sim_end){.host = to};
    for (uint32_t side = 0; side < 2; side++) {
        conn->pipes[side].conn = conn;
        conn->pipes[side].side = side;
    }
    conn->buffer_bytes = sim->options.buffer_bytes != 0
                             ? sim->options.buffer_bytes
                             : (uint32_t)gyrei_sim_between(&sim->random, BUFFER_MIN, BUFFER_MAX);
    socket->conn = conn;
    socket->side = 0;
    gyrei_list_append(&sim->conns, &conn->link);
    return conn;
}

static void clear_segments(gyrei_sim_pipe *pipe)
{
    while (pipe->first != NULL) {
        gyrei_sim_segment *segment = pipe->first;

        pipe->first = segment->next;
        pipe->used -= segment->bytes;
        free(segment);
    }
    pipe->last = NULL;
    gyrei_sim_unschedule(pipe->conn->sim, &pipe->event);
}

void gyrei_sim_conn_free(gyrei_sim_conn *conn)
{
    gyrei_sim_unschedule(conn->sim, &conn->handshake);
    for (int side = 0; side < 2; side++) {
        clear_segments(&conn->pipes[side]);
        gyrei_sim_unschedule(conn->sim, &conn->pipes[side].window);
        free(conn->pipes[side].ring);
    }
    gyrei_list_remove(&conn->link);
    free(conn);
}

static void settle(gyrei_sim_conn *conn)
{
    if (conn->held == 0 && conn->ends[0].socket == NULL && conn->ends[1].socket == NULL &&
        !gyrei_sim_scheduled(&conn->handshake) && !gyrei_sim_scheduled(&conn->pipes[0].event) &&
        !gyrei_sim_scheduled(&conn->pipes[1].event))
        gyrei_sim_conn_free(conn);
}

void gyrei_sim_conn_leave(gyrei_sim_conn *conn, uint32_t side, bool reset, bool silent)
{
    const gyrei_sim_socket *socket = conn->ends[side].socket;
    const bool over = (socket->flags & GYREI_SIM_BROKEN) != 0;

    conn->held++;
    conn->ends[side].socket = NULL;
    /* Whoever gives up before he was answered is not known to the other side. */
    if (side == 0 && conn->ends[1].socket == NULL && gyrei_sim_scheduled(&conn->handshake))
        gyrei_sim_unschedule(conn->sim, &conn->handshake);
    else if (silent || over)
        clear_segments(&conn->pipes[side]);
    else if (reset)
        gyrei_sim_pipe_end(&conn->pipes[side], GYREI_SIM_RST);
    else if ((socket->flags & GYREI_SIM_SHUT_WRITE) == 0)
        gyrei_sim_pipe_end(&conn->pipes[side], GYREI_SIM_FIN);
    conn->held--;
    settle(conn);
}

/* ---- one direction ---- */

uint32_t gyrei_sim_pipe_space(const gyrei_sim_pipe *pipe)
{
    return pipe->conn->buffer_bytes - pipe->used - pipe->released;
}

static void grow(gyrei_sim_pipe *pipe, uint32_t need)
{
    uint32_t room = pipe->room == 0 ? RING_FIRST : pipe->room;
    const uint32_t tail = pipe->start + pipe->used;
    char *ring;

    while (room < need)
        room *= 2;
    if (room == pipe->room)
        return;
    ring = gyrei_sim_new(room);
    if (tail <= pipe->room) {
        if (pipe->used > 0)
            memcpy(ring, pipe->ring + pipe->start, pipe->used);
    } else {
        memcpy(ring, pipe->ring + pipe->start, pipe->room - pipe->start);
        memcpy(ring + (pipe->room - pipe->start), pipe->ring, tail - pipe->room);
    }
    free(pipe->ring);
    pipe->ring = ring;
    pipe->room = room;
    pipe->start = 0;
}

void gyrei_sim_pipe_write(gyrei_sim_pipe *pipe, const void *base, uint32_t bytes)
{
    uint32_t at;
    uint32_t first;

    grow(pipe, pipe->used + bytes);
    at = (pipe->start + pipe->used) % pipe->room;
    first = pipe->room - at < bytes ? pipe->room - at : bytes;
    memcpy(pipe->ring + at, base, first);
    memcpy(pipe->ring, (const char *)base + first, bytes - first);
    pipe->used += bytes;
}

static void arrive(gyre_sim *sim, gyrei_sim_event *event);

static void schedule_first(gyrei_sim_pipe *pipe)
{
    gyre_sim *sim = pipe->conn->sim;
    const uint64_t at = pipe->first->arrives_ns;

    gyrei_sim_schedule(sim, &pipe->event, at > sim->now_ns ? at - sim->now_ns : 0, arrive);
}

static void add_segment(gyrei_sim_pipe *pipe, gyrei_sim_segment_kind kind, uint32_t bytes)
{
    gyrei_sim_segment *segment = gyrei_sim_new(sizeof(*segment));
    const uint64_t at = pipe->conn->sim->now_ns + between_ends_ns(pipe->conn);

    if (at > pipe->last_arrival_ns)
        pipe->last_arrival_ns = at;
    segment->kind = kind;
    segment->bytes = bytes;
    segment->arrives_ns = pipe->last_arrival_ns;
    if (pipe->last != NULL)
        pipe->last->next = segment;
    else
        pipe->first = segment;
    pipe->last = segment;
    if (pipe->first == segment)
        schedule_first(pipe);
}

static gyrei_sim_socket *receiver_of(const gyrei_sim_pipe *pipe)
{
    return pipe->conn->ends[1 - pipe->side].socket;
}

static gyrei_sim_socket *sender_of(const gyrei_sim_pipe *pipe)
{
    return pipe->conn->ends[pipe->side].socket;
}

/* A segment may be cut in two on the way. */
void gyrei_sim_pipe_send(gyrei_sim_pipe *pipe, uint32_t bytes)
{
    gyre_sim *sim = pipe->conn->sim;

    if (pipe->conn->local) {
        pipe->visible += bytes;
        if (receiver_of(pipe) != NULL)
            gyrei_sim_file_changed(&receiver_of(pipe)->file);
        return;
    }
    if (bytes > 1 && gyrei_sim_below(&sim->random, 8) == 0) {
        const uint32_t part = (uint32_t)gyrei_sim_between(&sim->random, 1, bytes - 1);

        add_segment(pipe, GYREI_SIM_DATA, part);
        bytes -= part;
    }
    add_segment(pipe, GYREI_SIM_DATA, bytes);
}

static void take_fin(gyrei_sim_pipe *pipe)
{
    pipe->fin = true;
    if (receiver_of(pipe) != NULL)
        gyrei_sim_file_changed(&receiver_of(pipe)->file);
}

static void take_reset(gyrei_sim_pipe *pipe)
{
    gyrei_sim_socket *socket = receiver_of(pipe);

    if (socket == NULL || (socket->flags & GYREI_SIM_BROKEN) != 0)
        return;
    clear_segments(&pipe->conn->pipes[1 - pipe->side]);
    gyrei_sim_socket_break(socket, GYRE_ECONNRESET);
}

void gyrei_sim_pipe_end(gyrei_sim_pipe *pipe, gyrei_sim_segment_kind kind)
{
    /* What is on its way is mostly lost with a reset: nobody would send it again. */
    if (kind == GYREI_SIM_RST)
        clear_segments(pipe);
    if (!pipe->conn->local)
        add_segment(pipe, kind, 0);
    else if (kind == GYREI_SIM_FIN)
        take_fin(pipe);
    else
        take_reset(pipe);
}

/* ---- arrival ---- */

static void take_bytes(gyrei_sim_pipe *pipe, uint32_t bytes)
{
    gyrei_sim_socket *socket = receiver_of(pipe);

    if (socket != NULL && (socket->flags & GYREI_SIM_BROKEN) == 0 && !pipe->is_lost) {
        pipe->visible += bytes;
        gyrei_sim_file_changed(&socket->file);
        return;
    }
    /* Bytes for a socket that is closed are answered with a reset. */
    pipe->used -= bytes;
    gyrei_sim_pipe_end(&pipe->conn->pipes[1 - pipe->side], GYREI_SIM_RST);
}

static void break_both(gyrei_sim_conn *conn, int error)
{
    for (int side = 0; side < 2; side++) {
        gyrei_sim_socket *socket = conn->ends[side].socket;

        clear_segments(&conn->pipes[side]);
        if (socket != NULL && (socket->flags & GYREI_SIM_BROKEN) == 0)
            gyrei_sim_socket_break(socket, error);
    }
}

/* The way is blocked: the segment is sent again, later and later, until the sender gives up. */
static void resend(gyre_sim *sim, gyrei_sim_pipe *pipe)
{
    gyrei_sim_socket *sender = sender_of(pipe);

    if (pipe->blocked_since_ns == 0) {
        pipe->blocked_since_ns = sim->now_ns;
        pipe->backoff_ns = resend_first_ns;
    }
    if (sim->now_ns - pipe->blocked_since_ns < give_up_ns) {
        gyrei_sim_schedule(sim, &pipe->event, pipe->backoff_ns, arrive);
        pipe->backoff_ns =
            pipe->backoff_ns * 2 < resend_max_ns ? pipe->backoff_ns * 2 : resend_max_ns;
        return;
    }
    clear_segments(pipe);
    if (sender != NULL && (sender->flags & GYREI_SIM_BROKEN) == 0)
        gyrei_sim_socket_break(sender, GYRE_ETIMEDOUT);
}

/*
 * A box on the way has forgotten the connection in this direction and ended it: the receiver sees
 * the end of the stream, and what the sender goes on to send is answered with a reset.
 */
static void close_half(gyrei_sim_pipe *pipe)
{
    clear_segments(pipe);
    pipe->is_lost = true;
    take_fin(pipe);
}

static void take_first(gyrei_sim_pipe *pipe)
{
    gyrei_sim_segment *segment = pipe->first;
    const gyrei_sim_segment_kind kind = segment->kind;
    const uint32_t bytes = segment->bytes;

    pipe->blocked_since_ns = 0;
    pipe->first = segment->next;
    if (pipe->first == NULL)
        pipe->last = NULL;
    free(segment);
    if (kind == GYREI_SIM_DATA)
        take_bytes(pipe, bytes);
    else if (kind == GYREI_SIM_FIN)
        take_fin(pipe);
    else
        take_reset(pipe);
}

static bool may_half_close(const gyrei_sim_pipe *pipe)
{
    return pipe->conn->ends[0].host != pipe->conn->ends[1].host &&
           pipe->first->kind == GYREI_SIM_DATA && !pipe->fin;
}

static void arrive(gyre_sim *sim, gyrei_sim_event *event)
{
    gyrei_sim_pipe *pipe = GYRE_CONTAINER_OF(event, gyrei_sim_pipe, event);
    gyrei_sim_conn *conn = pipe->conn;

    conn->held++;
    if (is_cut(conn)) {
        resend(sim, pipe);
    } else if (conn->ends[0].host != conn->ends[1].host && gyrei_sim_strikes(sim, GYRE_SIM_RESET)) {
        break_both(conn, GYRE_ECONNRESET);
    } else if (may_half_close(pipe) && gyrei_sim_strikes(sim, GYRE_SIM_HALF_CLOSED)) {
        close_half(pipe);
    } else {
        take_first(pipe);
        if (pipe->first != NULL)
            schedule_first(pipe);
    }
    conn->held--;
    settle(conn);
}

/* ---- what was read makes room ---- */

static void window_opens(gyre_sim *sim, gyrei_sim_event *event)
{
    gyrei_sim_pipe *pipe = GYRE_CONTAINER_OF(event, gyrei_sim_pipe, window);
    gyrei_sim_socket *sender = sender_of(pipe);

    if (is_cut(pipe->conn)) {
        gyrei_sim_schedule(sim, event, resend_first_ns, window_opens);
        return;
    }
    pipe->released = 0;
    if (sender != NULL)
        gyrei_sim_file_changed(&sender->file);
}

uint32_t gyrei_sim_pipe_read(gyrei_sim_pipe *pipe, void *base, uint32_t bytes)
{
    const uint32_t first = pipe->room - pipe->start < bytes ? pipe->room - pipe->start : bytes;

    GYRE_ASSERT(bytes <= pipe->visible);
    memcpy(base, pipe->ring + pipe->start, first);
    memcpy((char *)base + first, pipe->ring, bytes - first);
    pipe->start = (pipe->start + bytes) % pipe->room;
    pipe->visible -= bytes;
    pipe->used -= bytes;
    if (sender_of(pipe) == NULL)
        return bytes;
    if (pipe->conn->local) {
        gyrei_sim_file_changed(&sender_of(pipe)->file);
        return bytes;
    }
    pipe->released += bytes;
    if (!gyrei_sim_scheduled(&pipe->window))
        gyrei_sim_schedule(pipe->conn->sim, &pipe->window, between_ends_ns(pipe->conn),
                           window_opens);
    return bytes;
}

/* ---- the handshake ---- */

static void ask(gyre_sim *sim, gyrei_sim_event *event);

static gyrei_sim_conn *conn_of(gyrei_sim_event *event)
{
    return GYRE_CONTAINER_OF(event, gyrei_sim_conn, handshake);
}

static void fail(gyrei_sim_conn *conn, int error)
{
    conn->held++;
    if (conn->ends[0].socket != NULL)
        gyrei_sim_socket_break(conn->ends[0].socket, error);
    conn->held--;
    settle(conn);
}

static void refuse(gyre_sim *sim, gyrei_sim_event *event)
{
    (void)sim;
    fail(conn_of(event), GYRE_ECONNREFUSED);
}

static void try_again(gyrei_sim_conn *conn, gyrei_sim_fire fire)
{
    if (++conn->attempts >= SYN_TRIES)
        fail(conn, GYRE_ETIMEDOUT);
    else
        gyrei_sim_schedule(conn->sim, &conn->handshake, GYRE_SECOND << (conn->attempts - 1), fire);
}

/* The answer reaches who asked. */
static void answer(gyre_sim *sim, gyrei_sim_event *event)
{
    gyrei_sim_conn *conn = conn_of(event);
    gyrei_sim_socket *socket = conn->ends[0].socket;

    if (is_cut(conn) && socket != NULL) {
        try_again(conn, answer);
        return;
    }
    if (socket == NULL) {
        conn->held++;
        gyrei_sim_pipe_end(&conn->pipes[0], GYREI_SIM_RST);
        conn->held--;
        settle(conn);
        return;
    }
    gyrei_sim_note(sim, socket->file.host, "connected", socket->file.fd, 0);
    socket->flags &= ~(uint32_t)GYREI_SIM_CONNECTING;
    socket->flags |= GYREI_SIM_CONNECTED;
    gyrei_sim_file_changed(&socket->file);
}

void gyrei_sim_conn_queue(gyrei_sim_conn *conn, gyrei_sim_socket *listener)
{
    gyrei_sim_socket *socket = gyrei_sim_socket_new(listener->file.host, listener->family);

    socket->flags |= GYREI_SIM_CONNECTED;
    socket->local = listener->local;
    if (conn->ends[0].socket != NULL)
        socket->peer = conn->ends[0].socket->local;
    socket->conn = conn;
    socket->side = 1;
    conn->ends[1].socket = socket;
    gyrei_list_append(&listener->queue, &socket->queued);
    listener->queue_count++;
    gyrei_sim_file_changed(&listener->file);
}

/* The question reaches the host that is called. A full queue drops it, as Linux does. */
static void ask(gyre_sim *sim, gyrei_sim_event *event)
{
    gyrei_sim_conn *conn = conn_of(event);
    gyrei_sim_socket *listener;

    if (is_cut(conn) || conn->lost) {
        try_again(conn, ask);
        return;
    }
    listener = gyrei_sim_find_listener(conn->ends[1].host, &conn->ends[0].socket->peer);
    if (listener == NULL || conn->refused) {
        gyrei_sim_schedule(sim, event, between_ends_ns(conn), refuse);
        return;
    }
    if (listener->queue_count > listener->backlog) {
        try_again(conn, ask);
        return;
    }
    gyrei_sim_conn_queue(conn, listener);
    gyrei_sim_schedule(sim, event, between_ends_ns(conn), answer);
    conn->pipes[1].last_arrival_ns = event->at_ns;
}

void gyrei_sim_conn_begin(gyrei_sim_conn *conn, uint64_t after_ns)
{
    gyrei_sim_schedule(conn->sim, &conn->handshake, after_ns + between_ends_ns(conn), ask);
}
