/*
 * The tasks: for each kind the handles it has, and the callbacks, as a user would write them.
 *
 * Each callback begins with enter() and ends with leave(), which is how the picture knows the
 * stack; what the loop does in between is its own affair. Clients live on another host, whose loop
 * the simulated world runs.
 */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

enum { PORT = 7000, LINE_BYTES = 16, PIECE_BYTES = 4096, CROWD_BURSTS = 4 };

#define ANSWER_NS (2 * GYRE_MICROSECOND)

static const char line[LINE_BYTES] = "hello\n";

/* ---- around a callback ---- */

static void enter(task *self, const char *callback)
{
    engine *of = self->of;

    frame_crowd(of, true);
    if (of->depth < sizeof(of->stack) / sizeof(of->stack[0]))
        of->stack[of->depth] = callback;
    of->depth++;
    self->ran++;
}

static void leave(task *self)
{
    self->of->depth--;
}

static gyre_loop *client_loop(const engine *self)
{
    return gyre_sim_host_loop(self->clients);
}

/* Computes: the world goes on, and this loop does not. */
static void compute(task *self, uint32_t ms)
{
    engine *of = self->of;

    self->burnt_ms += ms;
    (void)gyre_sim_run_until(of->sim, gyre_sim_now_ns(of->sim) + ms * GYRE_MILLISECOND);
}

/* ---- sockets ---- */

static void on_end_closed(gyre_handle *handle)
{
    socket_end *end = handle->data;
    task *self = end->of;

    self->open--;
    if (self->text->kind == TASK_CROWD)
        return;
    self->place = PLACE_NONE;
    enter(self, "on_close");
    frame_make(self->of, self, "on_close",
               "The close callback of socket %s is the last that comes of it: its memory is the "
               "program's again.",
               self->text->name);
    leave(self);
}

static void close_end(socket_end *end)
{
    if (!end->is_open)
        return;
    end->is_open = false;
    end->of->place = PLACE_CLOSE;
    gyre_close(&end->tcp.stream.handle, on_end_closed);
}

static void answer_crowd(socket_end *end, const gyre_buf *buf)
{
    engine *of = end->of->of;
    const uint64_t waited_ns = gyre_sim_now_ns(of->sim) - end->peer->sent_ns;

    /* What it takes to read and answer on a real machine: meanwhile others become ready. */
    (void)gyre_sim_run_until(of->sim, gyre_sim_now_ns(of->sim) + ANSWER_NS);
    of->crowd++;
    of->answered++;
    if (waited_ns > of->worst_ns)
        of->worst_ns = waited_ns;
    (void)gyre_write_copy(&end->tcp.stream, buf->base, buf->len);
}

static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    socket_end *end = stream->handle.data;
    task *self = end->of;

    if (self->text->kind == TASK_CROWD) {
        if (nread > 0)
            answer_crowd(end, buf);
        else
            close_end(end);
        return;
    }
    enter(self, "on_read");
    if (nread < 0) {
        close_end(end);
        frame_make(
            self->of, self, "on_read",
            "The client of socket %s has no more to say, so the program closes it: the close "
            "callback comes in the close phase.",
            self->text->name);
    } else if (self->text->kind == TASK_WORKER) {
        self->place = PLACE_NONE;
        close_end(end);
        frame_make(self->of, self, "on_read",
                   "The other process has sent its result for %s. While it computed, this loop "
                   "served everybody.",
                   self->text->name);
    } else {
        (void)gyre_write_copy(stream, buf->base, buf->len);
        frame_make(self->of, self, "on_read",
                   "Socket %s was readable, so its read callback runs: it answers with what it "
                   "got, and does not wait for anything.",
                   self->text->name);
    }
    leave(self);
}

static void on_connection(gyre_stream *stream, int status)
{
    engine *of = GYRE_CONTAINER_OF(stream, engine, listener.stream);
    task *self = of->accepting;
    socket_end *end = &self->ours[self->open];

    if (status != 0 || self->open == self->count)
        abort();
    end->of = self;
    end->peer = &self->ours[self->count + self->open];
    end->peer->peer = end;
    end->tcp.stream.handle.data = end;
    end->is_open = true;
    self->open++;
    if (gyre_accept(stream, &end->tcp.stream) != 0)
        abort();
    gyre_handle_set_name(&end->tcp.stream.handle, self->text->name);
    (void)gyre_read_start(&end->tcp.stream, on_read);
}

/* ---- clients ---- */

static void on_client_closed(gyre_handle *handle)
{
    (void)handle;
}

static void on_line(gyre_timer *timer);

static void say(socket_end *client, uint64_t after_ns)
{
    gyre_timer_start(&client->timer, after_ns, 0, on_line);
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
        return;
    }
    if (nread > 0 && client->left > 0)
        return;
    client->is_open = false;
    gyre_close(&client->timer.handle, NULL);
    gyre_close(&stream->handle, on_client_closed);
}

/* A line is due, or a worker's answer. */
static void on_line(gyre_timer *timer)
{
    socket_end *client = timer->data;
    const task_text *text = client->of->text;
    const uint32_t every = text->numbers[1];

    if (client->sent_ns == 0)
        client->sent_ns = gyre_sim_now_ns(client->of->of->sim);
    (void)gyre_write_copy(&client->tcp.stream, line, LINE_BYTES);
    if (client->left > 0 && --client->left > 0)
        say(client, every * GYRE_MILLISECOND);
}

static void on_connected(gyre_connect_req *req, int status)
{
    socket_end *client = GYRE_CONTAINER_OF(req, socket_end, connecting);

    if (status != 0 || gyre_read_start(&client->tcp.stream, on_client_read) != 0)
        abort();
    client->is_open = true;
}

static void connect_client(task *self, socket_end *client)
{
    gyre_loop *loop = client_loop(self->of);
    gyre_address address;

    client->of = self;
    gyre_sim_host_address(self->of->server, PORT, &address);
    if (gyre_tcp_init(loop, &client->tcp) != 0 || gyre_timer_init(loop, &client->timer) != 0 ||
        gyre_tcp_connect(&client->tcp, &client->connecting, &address, 0, on_connected) != 0)
        abort();
    client->tcp.stream.handle.data = client;
    client->timer.data = client;
}

static bool is_connected(const task_text *text)
{
    return text->kind == TASK_SOCKET || text->kind == TASK_CROWD || text->kind == TASK_WORKER ||
           text->kind == TASK_FLOOD;
}

static bool all_open(const task *self)
{
    for (uint32_t i = 0; i < self->count; i++) {
        if (!self->ours[self->count + i].is_open)
            return false;
    }
    return self->open == self->count;
}

static void connect_task(engine *self, task *one)
{
    one->count = one->text->kind == TASK_CROWD ? one->text->numbers[0] : 1;
    if (one->count == 0)
        return;
    one->ours = calloc(2 * (size_t)one->count, sizeof(*one->ours));
    if (one->ours == NULL)
        abort();
    self->accepting = one;
    for (uint32_t i = 0; i < one->count; i++)
        connect_client(one, &one->ours[one->count + i]);
    while (!all_open(one)) {
        (void)gyre_sim_run_until(self->sim, gyre_sim_now_ns(self->sim) + GYRE_MILLISECOND);
        (void)gyre_loop_tick(self->loop);
    }
}

void tasks_connect(engine *self)
{
    gyre_address address;

    gyre_sim_host_address(self->server, PORT, &address);
    if (gyre_tcp_init(self->loop, &self->listener) != 0 ||
        gyre_tcp_bind(&self->listener, &address, 0) != 0 ||
        gyre_listen(&self->listener.stream, 0, on_connection) != 0)
        abort();
    for (uint32_t i = 0; i < self->program.count; i++) {
        if (is_connected(self->tasks[i].text))
            connect_task(self, &self->tasks[i]);
    }
    gyre_close(&self->listener.stream.handle, NULL);
    (void)gyre_loop_tick(self->loop);
}

/* ---- the others ---- */

static void on_sync(task *self)
{
    enter(self, self->text->name);
    frame_make(self->of, self, "sync",
               "%s is ordinary code: main calls it, and the loop has not begun to run.",
               self->text->name);
    leave(self);
}

static void on_deferred(gyre_deferred *deferred)
{
    task *self = GYRE_CONTAINER_OF(deferred, task, deferred);

    self->place = PLACE_NONE;
    enter(self, "on_deferred");
    frame_make(self->of, self, "on_deferred",
               "%s was deferred: it runs in the pending phase, before the loop asks the kernel.",
               self->text->name);
    leave(self);
}

static void on_timer(gyre_timer *timer)
{
    task *self = GYRE_CONTAINER_OF(timer, task, timer);
    const bool is_over = self->left > 0 && --self->left == 0;

    if (is_over)
        gyre_timer_stop(timer);
    enter(self, "on_timer");
    frame_make(self->of, self, "on_timer",
               is_over || gyre_timer_repeat_ns(timer) == 0
                   ? "Timer %s was due, so its callback runs in the timers phase."
                   : "Timer %s was due; it repeats, so it is in the heap again before its callback "
                     "runs.",
               self->text->name);
    leave(self);
}

static void on_hook(gyre_hook *hook)
{
    task *self = GYRE_CONTAINER_OF(hook, task, hook);
    const bool is_idle = self->text->kind == TASK_IDLE;

    if (--self->left == 0) {
        gyre_hook_stop(hook);
        self->place = PLACE_NONE;
    }
    enter(self, is_idle ? "on_idle" : "on_check");
    frame_make(self->of, self, is_idle ? "on_idle" : "on_check",
               is_idle ? "Idle hook %s runs once a turn, and while it is started the loop does not "
                         "sleep."
                       : "Check hook %s runs after each look at the kernel.",
               self->text->name);
    leave(self);
}

static void on_closed(gyre_handle *handle)
{
    task *self = handle->data;

    self->place = PLACE_NONE;
    enter(self, "on_close");
    frame_make(self->of, self, "on_close",
               "%s is closed: its callback comes in the close phase, never from inside gyre_close.",
               self->text->name);
    leave(self);
}

static void on_slow(gyre_timer *timer)
{
    task *self = GYRE_CONTAINER_OF(timer, task, timer);
    const uint32_t ms = self->text->numbers[1];

    enter(self, "on_slow");
    frame_make(self->of, self, "on_slow",
               "%s computes for %u ms inside its callback. Nobody else is served until it returns.",
               self->text->name, ms);
    compute(self, ms);
    frame_make(self->of, self, "on_slow",
               "%s returns after %u ms. All that came meanwhile has waited.", self->text->name, ms);
    leave(self);
}

static int on_slice(gyre_slice *slice)
{
    task *self = GYRE_CONTAINER_OF(slice, task, slice);

    enter(self, "on_slice");
    compute(self, 1);
    if (self->burnt_ms % 2 == 1)
        frame_make(self->of, self, "on_slice",
                   "A slice of %s: one millisecond of %u is computed, and when the turn's 2 ms are "
                   "spent the loop serves its sockets.",
                   self->text->name, self->text->numbers[1]);
    leave(self);
    return self->burnt_ms < self->text->numbers[1] ? 1 : 0;
}

static void on_slice_done(gyre_slice *slice, int status)
{
    task *self = GYRE_CONTAINER_OF(slice, task, slice);

    (void)status;
    enter(self, "on_slice_done");
    frame_make(self->of, self, "on_slice_done",
               "%s is computed, in slices of which each turn had a few.", self->text->name);
    leave(self);
}

static void on_job(gyre_work *work)
{
    (void)work;
}

static void on_job_done(gyre_work *work, int status)
{
    task *self = GYRE_CONTAINER_OF(work, task, work);

    (void)status;
    self->place = PLACE_NONE;
    enter(self, "on_done");
    frame_make(
        self->of, self, "on_done",
        "A thread of the pool has computed %s; the result is handed to the loop, which calls "
        "back here.",
        self->text->name);
    leave(self);
}

static void on_message(gyre_post_node *node, int status)
{
    task *self = GYRE_CONTAINER_OF(node, task, node);

    (void)status;
    self->place = PLACE_NONE;
    gyre_loop_release(self->of->loop);
    enter(self, "on_post");
    frame_make(self->of, self, "on_post",
               "Message %s was posted by another thread; it runs here, on the loop's own.",
               self->text->name);
    leave(self);
}

/* On the other host's loop: what another thread does. */
static void on_post_due(gyre_timer *timer)
{
    task *self = timer->data;

    self->place = PLACE_PENDING;
    (void)gyre_post(self->of->remote, &self->node, on_message);
    gyre_close(&timer->handle, NULL);
}

/* ---- what begins with a timer of ours ---- */

static void on_submit(gyre_timer *timer)
{
    task *self = GYRE_CONTAINER_OF(timer, task, timer);
    const gyre_work_options options = {.size = sizeof(options)};

    enter(self, "on_submit");
    self->place = PLACE_POOL;
    if (gyre_work_submit(self->of->loop, &self->work, &options, on_job, on_job_done) != 0)
        abort();
    frame_make(self->of, self, "on_submit",
               "%s is given to the thread pool: another processor computes, and the loop goes on.",
               self->text->name);
    leave(self);
}

static void on_begin_slices(gyre_timer *timer)
{
    task *self = GYRE_CONTAINER_OF(timer, task, timer);

    enter(self, "on_begin");
    if (gyre_slice_start(self->of->loop, &self->slice, 2 * GYRE_MILLISECOND, on_slice,
                         on_slice_done) != 0)
        abort();
    frame_make(self->of, self, "on_begin",
               "%s begins, in slices: it stays on the loop, and lets others through between two.",
               self->text->name);
    leave(self);
}

static void on_ask(gyre_timer *timer)
{
    task *self = GYRE_CONTAINER_OF(timer, task, timer);

    enter(self, "on_ask");
    self->place = PLACE_AWAY;
    (void)gyre_write_copy(&self->ours[0].tcp.stream, line, LINE_BYTES);
    frame_make(self->of, self, "on_ask",
               "%s is asked of another process, over a socket: its answer will be an event like "
               "any other.",
               self->text->name);
    leave(self);
}

/* ---- backpressure ---- */

static void write_more(task *self)
{
    static const char piece[PIECE_BYTES];
    gyre_stream *stream = &self->ours[0].tcp.stream;

    while (self->left > 0 && gyre_queued_bytes(stream) < 4 * PIECE_BYTES) {
        if (gyre_write_copy(stream, piece, PIECE_BYTES) != 0)
            break;
        self->left--;
    }
}

static void on_drain(gyre_stream *stream, int status)
{
    socket_end *end = stream->handle.data;
    task *self = end->of;

    if (status != 0)
        return;
    enter(self, "on_drain");
    write_more(self);
    frame_make(self->of, self, "on_drain",
               "The queue of %s is down to its low mark, so the program writes on: %u KiB to go.",
               self->text->name, self->left * 4);
    if (self->left == 0)
        close_end(end);
    leave(self);
}

static void on_flood(gyre_timer *timer)
{
    task *self = GYRE_CONTAINER_OF(timer, task, timer);
    gyre_stream *stream = &self->ours[0].tcp.stream;

    enter(self, "on_flood");
    (void)gyre_stream_set_budget(stream, PIECE_BYTES, 3 * PIECE_BYTES, 0, on_drain);
    self->left = (self->text->numbers[1] + 3) / 4;
    write_more(self);
    frame_make(
        self->of, self, "on_flood",
        "%s writes faster than its peer reads. Past the high mark it stops and waits for the "
        "queue to drain, instead of filling the memory.",
        self->text->name);
    leave(self);
}

/* ---- main ---- */

static void start_timer(task *self, gyre_timer_cb cb)
{
    const uint32_t *numbers = self->text->numbers;
    const bool repeats = self->text->kind == TASK_TIMER && numbers[1] > 0;

    if (gyre_timer_init(self->of->loop, &self->timer) != 0)
        abort();
    gyre_handle_set_name(&self->timer.handle, self->text->name);
    self->has_timer = true;
    self->left = repeats ? (numbers[2] > 0 ? numbers[2] : 3) : 0;
    gyre_timer_start(&self->timer, numbers[0] * GYRE_MILLISECOND,
                     repeats ? numbers[1] * GYRE_MILLISECOND : 0, cb);
}

static void start_hook(task *self, gyre_hook_phase phase, task_place place)
{
    if (gyre_hook_init(self->of->loop, &self->hook, phase) != 0)
        abort();
    gyre_handle_set_name(&self->hook.handle, self->text->name);
    self->left = self->text->numbers[0] > 0 ? self->text->numbers[0] : 1;
    self->place = place;
    gyre_hook_start(&self->hook, on_hook);
}

static void start_close(task *self)
{
    if (gyre_timer_init(self->of->loop, &self->timer) != 0)
        abort();
    gyre_handle_set_name(&self->timer.handle, self->text->name);
    self->timer.data = self;
    self->place = PLACE_CLOSE;
    gyre_close(&self->timer.handle, on_closed);
}

/* On the clients' loop. */
static void on_clients_begin(gyre_post_node *node, int status)
{
    task *self = GYRE_CONTAINER_OF(node, task, clients_node);
    const uint32_t *numbers = self->text->numbers;
    const bool is_crowd = self->text->kind == TASK_CROWD;
    const uint32_t every = numbers[1] > 0 ? numbers[1] : 1;

    if (status != 0)
        return;

    for (uint32_t i = 0; i < self->count; i++) {
        socket_end *client = &self->ours[self->count + i];

        if (is_crowd) { /* in a few bursts between two lines */
            client->left = numbers[2] / every + 1;
            say(client, every * GYRE_MILLISECOND * (i % CROWD_BURSTS) / CROWD_BURSTS);
        } else {
            client->left = numbers[1] > 0 ? (numbers[2] > 0 ? numbers[2] : 3) : 1;
            say(client, numbers[0] * GYRE_MILLISECOND);
        }
    }
}

/* Also on the clients' loop, which stands for another thread. */
static void on_thread_begins(gyre_post_node *node, int status)
{
    task *self = GYRE_CONTAINER_OF(node, task, clients_node);

    if (status != 0 || gyre_timer_init(client_loop(self->of), &self->timer) != 0)
        return;
    self->timer.data = self;
    gyre_timer_start(&self->timer, self->text->numbers[0] * GYRE_MILLISECOND, 0, on_post_due);
}

/* What happens elsewhere begins there: each loop is touched by its own callbacks only. */
static void begin_elsewhere(task *self, gyre_post_cb cb)
{
    gyre_remote *remote = gyre_loop_remote(client_loop(self->of));

    (void)gyre_post(remote, &self->clients_node, cb);
    gyre_remote_unref(remote);
}

/* The loop is held, since a message to come does not keep it alive. */
static void start_post(task *self)
{
    gyre_loop_hold(self->of->loop);
    begin_elsewhere(self, on_thread_begins);
}

static void start_task(task *self)
{
    switch (self->text->kind) {
    case TASK_SYNC: on_sync(self); break;
    case TASK_DEFER:
        self->place = PLACE_PENDING;
        gyre_defer(self->of->loop, &self->deferred, on_deferred);
        break;
    case TASK_TIMER: start_timer(self, on_timer); break;
    case TASK_IDLE: start_hook(self, GYRE_HOOK_IDLE, PLACE_IDLE); break;
    case TASK_CHECK: start_hook(self, GYRE_HOOK_CHECK, PLACE_CHECK); break;
    case TASK_CLOSE: start_close(self); break;
    case TASK_SOCKET:
    case TASK_CROWD: begin_elsewhere(self, on_clients_begin); break;
    case TASK_SLOW: start_timer(self, on_slow); break;
    case TASK_SLICES: start_timer(self, on_begin_slices); break;
    case TASK_POOL: start_timer(self, on_submit); break;
    case TASK_WORKER: start_timer(self, on_ask); break;
    case TASK_POST: start_post(self); break;
    case TASK_FLOOD: start_timer(self, on_flood); break;
    case TASK_KINDS: break;
    }
}

void tasks_start(engine *self)
{
    for (uint32_t i = 0; i < self->program.count; i++)
        start_task(&self->tasks[i]);
}
