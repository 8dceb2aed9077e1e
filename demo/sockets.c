/*
 * Sockets: the ends that the loop serves, their clients on another host, and the other workers that
 * serve a part of the crowd.
 *
 * The loop that is shown is that of the first worker, which the engine runs. The world runs the
 * others, as cores of their own would.
 */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

enum { PORT = 7000, LINE_BYTES = 16, PIECE_BYTES = 4096, CROWD_BURSTS = 4 };

#define HIGH_BYTES UINT32_C(12288) /* the mark of a stream's queue */

#define ANSWER_NS (2 * GYRE_MICROSECOND)
#define SIP_NS GYRE_MILLISECOND /* between two reads of a slow client */

static const char line[LINE_BYTES] = "hello\n";

/* ---- the servers' ends ---- */

static void on_end_closed(gyre_handle *handle)
{
    socket_end *end = handle->data;
    task *self = end->of;

    end->at->open--;
    if (end->at->index > 0)
        return;
    self->open--;
    if (self->text->kind == TASK_CROWD) {
        self->of->hung_up++;
        return;
    }
    self->place = PLACE_NONE;
    task_enter(self, "on_close");
    frame_make(self->of, self, "on_close",
               "%s's socket is closed, and its close callback runs: the last one that ever comes "
               "of it, so its memory may be freed here.",
               self->text->name);
    task_leave(self);
}

static void close_end(socket_end *end)
{
    if (!end->is_open)
        return;
    end->is_open = false;
    if (end->of->text->kind != TASK_CROWD)
        end->of->place = PLACE_CLOSE;
    gyre_close(&end->tcp.stream.handle, on_end_closed);
}

/* When the answer goes out, on a machine where each takes its time: meanwhile others come. */
static uint64_t answer_time(worker *at)
{
    gyre_sim *sim = at->of->sim;
    const uint64_t now_ns = gyre_sim_now_ns(sim);

    if (at->index == 0) {
        (void)gyre_sim_run_until(sim, now_ns + ANSWER_NS);
        return now_ns + ANSWER_NS;
    }
    if (at->busy_until_ns < now_ns)
        at->busy_until_ns = now_ns;
    at->busy_until_ns += ANSWER_NS;
    return at->busy_until_ns;
}

static void answer_crowd(socket_end *end, const gyre_buf *buf)
{
    engine *of = end->of->of;
    worker *at = end->at;
    const uint64_t waited_ns = answer_time(at) - end->peer->sent_ns;

    at->answered++;
    if (waited_ns > at->worst_ns)
        at->worst_ns = waited_ns;
    if (at->index == 0) {
        of->crowd++;
        if (waited_ns > of->crowd_worst_ns)
            of->crowd_worst_ns = waited_ns;
    }
    (void)gyre_write_copy(&end->tcp.stream, buf->base, buf->len);
}

static void on_crowd_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    socket_end *end = stream->handle.data;

    if (nread > 0)
        answer_crowd(end, buf);
    else
        close_end(end);
}

static void answer(task *self, gyre_stream *stream, const gyre_buf *buf)
{
    if (self->text->kind == TASK_WORKER) {
        self->place = PLACE_NONE;
        close_end(stream->handle.data);
        frame_make(self->of, self, "on_read",
                   "The other process has sent its result for %s: to this loop it was one more "
                   "readable socket, and nobody waited for it.",
                   self->text->name);
        return;
    }
    (void)gyre_write_copy(stream, buf->base, buf->len);
    frame_make(self->of, self, "on_read",
               "%s sent a line and the kernel reported it, so on_read runs: it answers with what it "
               "got and returns at once, because others may be waiting.",
               self->text->name);
}

static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    socket_end *end = stream->handle.data;
    task *self = end->of;

    task_enter(self, "on_read");
    if (nread < 0) {
        close_end(end);
        frame_make(self->of, self, "on_read",
                   "%s has hung up: the kernel reports the end of the stream, so on_read closes the "
                   "socket. The close callback comes in the close phase, not from here.",
                   self->text->name);
    } else {
        answer(self, stream, buf);
    }
    task_leave(self);
}

/* ---- accepting ---- */

/* The task's ends of a worker: client number i is served by the worker i modulo their number. */
static uint32_t share(const task *self, uint32_t worker_index)
{
    const uint32_t workers = self->text->kind == TASK_CROWD ? self->of->program.workers : 1;

    return (self->count + workers - 1 - worker_index) / workers;
}

static uint32_t first_end(const task *self, uint32_t worker_index)
{
    uint32_t first = 0;

    for (uint32_t i = 0; i < worker_index; i++)
        first += share(self, i);
    return first;
}

static void on_connection(gyre_stream *stream, int status)
{
    worker *at = GYRE_CONTAINER_OF(stream, worker, listener.stream);
    task *self = at->of->accepting;
    const uint32_t workers = self->text->kind == TASK_CROWD ? at->of->program.workers : 1;
    const uint32_t number = at->accepted++;
    socket_end *end = &self->ends[first_end(self, at->index) + number];

    if (status != 0 || number >= share(self, at->index))
        abort();
    end->of = self;
    end->at = at;
    end->peer = &self->clients[number * workers + at->index];
    end->tcp.stream.handle.data = end;
    end->is_open = true;
    at->open++;
    self->open += at->index == 0;
    if (gyre_accept(stream, &end->tcp.stream) != 0)
        abort();
    gyre_handle_set_name(&end->tcp.stream.handle, self->text->name);
    (void)gyre_read_start(&end->tcp.stream,
                          self->text->kind == TASK_CROWD ? on_crowd_read : on_read);
}

static void worker_listen(worker *self, gyre_loop *loop)
{
    gyre_address address;

    gyre_sim_host_address(self->host, PORT, &address);
    if (gyre_tcp_init(loop, &self->listener) != 0 ||
        gyre_tcp_bind(&self->listener, &address, 0) != 0 ||
        gyre_listen(&self->listener.stream, 0, on_connection) != 0)
        abort();
}

int worker_boot(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    worker *self = ctx;

    self->host = host;
    if (self->index > 0)
        worker_listen(self, loop);
    return 0;
}

/* ---- clients ---- */

static void on_line(gyre_timer *timer);

static void say(socket_end *client, uint64_t after_ns)
{
    gyre_timer_start(&client->timer, after_ns, 0, on_line);
}

static void close_client(socket_end *client)
{
    client->is_open = false;
    gyre_close(&client->timer.handle, NULL);
    gyre_close(&client->tcp.stream.handle, NULL);
}

static void on_client_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf);

static void on_sip(gyre_timer *timer)
{
    socket_end *client = timer->data;

    (void)gyre_read_start(&client->tcp.stream, on_client_read);
}

static void on_client_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    socket_end *client = stream->handle.data;
    const task_text *text = client->of->text;

    (void)buf;
    if (!client->is_open)
        return;
    client->sent_ns = 0;
    if (nread > 0 && text->kind == TASK_WORKER) {
        say(client, text->numbers[1] * GYRE_MILLISECOND);
    } else if (nread > 0 && text->kind == TASK_FLOOD) {
        gyre_read_stop(stream);
        gyre_timer_start(&client->timer, SIP_NS, 0, on_sip);
    } else if (nread < 0 || client->left == 0) {
        close_client(client);
    }
}

/* A line is due, or a worker's answer. */
static void on_line(gyre_timer *timer)
{
    socket_end *client = timer->data;
    const uint32_t every = client->of->text->numbers[1];

    if (client->sent_ns == 0)
        client->sent_ns = gyre_sim_now_ns(client->of->of->sim);
    (void)gyre_write_copy(&client->tcp.stream, line, LINE_BYTES);
    if (client->left > 0 && --client->left > 0)
        say(client, every * GYRE_MILLISECOND);
}

static void client_begin(task *self, socket_end *client, uint32_t number)
{
    const uint32_t *numbers = self->text->numbers;
    const uint32_t every = numbers[1];

    if (self->text->kind == TASK_CROWD) { /* in a few bursts between two lines */
        client->left = numbers[2] / every + 1;
        say(client, every * GYRE_MILLISECOND * (number % CROWD_BURSTS) / CROWD_BURSTS);
    } else {
        client->left = every > 0 ? (numbers[2] > 0 ? numbers[2] : 3) : 1;
        say(client, numbers[0] * GYRE_MILLISECOND);
    }
}

void on_clients_begin(gyre_post_node *node, int status)
{
    task *self = GYRE_CONTAINER_OF(node, task, clients_node);

    for (uint32_t i = 0; status == 0 && i < self->count; i++)
        client_begin(self, &self->clients[i], i);
}

static void on_connected(gyre_connect_req *req, int status)
{
    socket_end *client = GYRE_CONTAINER_OF(req, socket_end, connecting);

    if (status != 0 || gyre_read_start(&client->tcp.stream, on_client_read) != 0)
        abort();
    client->is_open = true;
}

static void connect_client(task *self, socket_end *client, const worker *to)
{
    gyre_loop *loop = gyre_sim_host_loop(self->of->clients);
    gyre_address address;

    client->of = self;
    gyre_sim_host_address(to->host, PORT, &address);
    if (gyre_tcp_init(loop, &client->tcp) != 0 || gyre_timer_init(loop, &client->timer) != 0 ||
        gyre_tcp_connect(&client->tcp, &client->connecting, &address, 0, on_connected) != 0)
        abort();
    client->tcp.stream.handle.data = client;
    client->timer.data = client;
}

/* ---- set-up ---- */

static bool all_open(const task *self)
{
    for (uint32_t i = 0; i < self->count; i++) {
        if (!self->clients[i].is_open || !self->ends[i].is_open)
            return false;
    }
    return true;
}

static void connect_task(engine *self, task *one)
{
    const bool is_crowd = one->text->kind == TASK_CROWD;
    const uint32_t workers = is_crowd ? self->program.workers : 1;

    GYRE_ASSERT(workers > 0);
    one->count = is_crowd ? one->text->numbers[0] : 1;
    one->ours = share(one, 0);
    one->ends = calloc(one->count, sizeof(*one->ends));
    one->clients = calloc(one->count, sizeof(*one->clients));
    if (one->ends == NULL || one->clients == NULL)
        abort();
    self->accepting = one;
    for (uint32_t i = 0; i < self->program.workers; i++)
        self->workers[i].accepted = 0;
    for (uint32_t i = 0; i < one->count; i++)
        connect_client(one, &one->clients[i],
                       &self->workers[i % workers]);
    while (!all_open(one)) {
        (void)gyre_sim_run_until(self->sim, gyre_sim_now_ns(self->sim) + GYRE_MILLISECOND);
        (void)gyre_loop_tick(self->loop);
    }
}

void sockets_connect(engine *self)
{
    worker_listen(&self->workers[0], self->loop);
    for (uint32_t i = 0; i < self->program.count; i++) {
        const task_kind kind = self->tasks[i].text->kind;

        if (kind == TASK_SOCKET || kind == TASK_CROWD || kind == TASK_WORKER || kind == TASK_FLOOD)
            connect_task(self, &self->tasks[i]);
    }
    gyre_close(&self->workers[0].listener.stream.handle, NULL);
    (void)gyre_loop_tick(self->loop);
}

/* ---- what tasks do with their socket ---- */

uint32_t sockets_waiting(const engine *self)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < self->program.count; i++) {
        const task *each = &self->tasks[i];

        for (uint32_t k = 0; k < each->ours && each->text->kind != TASK_WORKER; k++)
            count += each->ends[k].peer->sent_ns != 0;
    }
    return count;
}

void socket_ask(task *self)
{
    (void)gyre_write_copy(&self->ends[0].tcp.stream, line, LINE_BYTES);
}

/* Backpressure: writes until the queue is above its high mark. */
static void write_more(task *self)
{
    static const char piece[PIECE_BYTES];
    socket_end *end = &self->ends[0];

    while (self->left > 0 && gyre_queued_bytes(&end->tcp.stream) <= HIGH_BYTES) {
        if (gyre_write_copy(&end->tcp.stream, piece, PIECE_BYTES) != 0)
            break;
        self->left--;
    }
    if (self->left > 0 || !end->is_open)
        return;
    end->is_open = false;
    self->place = PLACE_CLOSE;
    gyre_stream_finish(&end->tcp.stream, on_end_closed);
}

static void on_drain(gyre_stream *stream, int status)
{
    socket_end *end = stream->handle.data;
    task *self = end->of;

    if (status != 0 || !end->is_open)
        return;
    task_enter(self, "on_drain");
    write_more(self);
    if (self->left > 0)
        frame_make(self->of, self, "on_drain",
                   "The peer has read, and %s's queue is down to its low mark: so on_drain runs, "
                   "and the program writes again up to the high mark. %u KiB are still to come.",
                   self->text->name, self->left * PIECE_BYTES / 1024);
    else
        frame_make(self->of, self, "on_drain",
                   "The queue is down to its low mark, and the rest of %s fits: the stream is "
                   "finished, which sends what is queued and then closes.",
                   self->text->name);
    task_leave(self);
}

void on_flood(gyre_timer *timer)
{
    task *self = GYRE_CONTAINER_OF(timer, task, timer);

    task_enter(self, "on_flood");
    (void)gyre_stream_set_budget(&self->ends[0].tcp.stream, PIECE_BYTES, HIGH_BYTES, 0,
                                 on_drain);
    self->left = (self->text->numbers[1] * 1024 + PIECE_BYTES - 1) / PIECE_BYTES;
    write_more(self);
    frame_make(self->of, self, "on_flood",
               "%s is written until the queue is above its high mark of 12 KiB, and then no more: "
               "the peer reads slowly, and what it does not take would fill our memory. %u KiB are "
               "still to come.",
               self->text->name, self->left * PIECE_BYTES / 1024);
    task_leave(self);
}
