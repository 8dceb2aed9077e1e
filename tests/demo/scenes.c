/*
 * Some of the demo's scenes as programs of their own, written by hand on public headers only and
 * run by one gyre_loop_run: prints "scene NAME", and a line for each callback with its turn, phase
 * and name.
 */
#include <gyre.h>
#include <gyre/sim.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { PORT = 7000, CALLERS_MAX = 3 };

static gyre_sim *sim;
static gyre_sim_host *server;
static gyre_sim_host *clients;
static gyre_loop *loop;
static uint32_t turn;

static void need(bool is_so)
{
    if (!is_so)
        abort();
}

/* ---- callers: each sends a line, takes the answer, and hangs up ---- */

typedef struct caller {
    gyre_tcp tcp;
    gyre_tcp accepted;
    gyre_connect_req connecting;
    gyre_timer timer;
    gyre_post_node node;
    uint32_t after_ms;
    const char *name;
    bool is_connected;
} caller;

static caller callers[CALLERS_MAX];
static gyre_tcp listener;
static uint32_t accepted;

static void on_answer(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)nread;
    (void)buf;
    gyre_close(&stream->handle, NULL);
}

static void on_connected(gyre_connect_req *req, int status)
{
    caller *self = GYRE_CONTAINER_OF(req, caller, connecting);

    need(status == 0 && gyre_read_start(&self->tcp.stream, on_answer) == 0);
    self->is_connected = true;
}

static void on_line(gyre_timer *timer)
{
    caller *self = GYRE_CONTAINER_OF(timer, caller, timer);

    need(gyre_write_copy(&self->tcp.stream, "hello\n", 6) == 0);
    gyre_close(&timer->handle, NULL);
}

static void on_begin(gyre_post_node *node, int status)
{
    caller *self = GYRE_CONTAINER_OF(node, caller, node);

    need(status == 0);
    gyre_timer_start(&self->timer, self->after_ms * GYRE_MILLISECOND, 0, on_line);
}

static void on_close(gyre_handle *handle)
{
    (void)handle;
}

static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    if (nread < 0)
        gyre_close(&stream->handle, on_close);
    else
        need(gyre_write_copy(stream, buf->base, buf->len) == 0);
}

static void on_connection(gyre_stream *stream, int status)
{
    caller *self = &callers[accepted++];

    need(status == 0 && gyre_accept(stream, &self->accepted.stream) == 0);
    gyre_handle_set_name(&self->accepted.stream.handle, self->name);
    need(gyre_read_start(&self->accepted.stream, on_read) == 0);
}

static void listen_here(void)
{
    gyre_address address;

    accepted = 0;
    gyre_sim_host_address(server, PORT, &address);
    need(gyre_tcp_init(loop, &listener) == 0 && gyre_tcp_bind(&listener, &address, 0) == 0 &&
         gyre_listen(&listener.stream, 0, on_connection) == 0);
}

static void call(caller *self, const char *name, uint32_t after_ms)
{
    gyre_loop *theirs = gyre_sim_host_loop(clients);
    const uint32_t before = accepted;
    gyre_address address;

    *self = (caller){.name = name, .after_ms = after_ms};
    gyre_sim_host_address(server, PORT, &address);
    need(gyre_tcp_init(theirs, &self->tcp) == 0 && gyre_timer_init(theirs, &self->timer) == 0 &&
         gyre_tcp_connect(&self->tcp, &self->connecting, &address, 0, on_connected) == 0);
    while (!self->is_connected || accepted == before) {
        (void)gyre_sim_run_until(sim, gyre_sim_now_ns(sim) + GYRE_MILLISECOND);
        (void)gyre_loop_tick(loop);
    }
}

static void hang_out(void)
{
    gyre_close(&listener.stream.handle, NULL);
    (void)gyre_loop_tick(loop);
}

static void begin(caller *self)
{
    gyre_remote *remote = gyre_loop_remote(gyre_sim_host_loop(clients));

    need(gyre_post(remote, &self->node, on_begin) == 0);
    gyre_remote_unref(remote);
}

/* ---- the world and the trace ---- */

static int on_boot(gyre_sim_host *host, gyre_loop *of, void *ctx)
{
    (void)host;
    (void)of;
    (void)ctx;
    return 0;
}

static void on_trace(void *ctx, const gyre_trace_event *event)
{
    (void)ctx;
    if (event->type == GYRE_TRACE_TURN_BEGIN)
        turn++;
    if (event->type == GYRE_TRACE_CALLBACK_ENTER)
        printf("%u %s %s\n", turn, gyre_phase_name(gyre_loop_phase(loop)),
               event->name != NULL ? event->name : "-");
}

static void open_world(const char *scene)
{
    const gyre_sim_options options = {.size = sizeof(options),
                                      .seed = 1,
                                      .mode = GYRE_SIM_READINESS,
                                      .latency_min_ns = 100 * GYRE_MICROSECOND,
                                      .latency_max_ns = 100 * GYRE_MICROSECOND,
                                      .buffer_bytes = 8192};

    printf("scene %s\n", scene);
    need(gyre_sim_init(&sim, &options) == 0 &&
         gyre_sim_host_init(sim, &server, "server", on_boot, NULL, NULL) == 0 &&
         gyre_sim_host_init(sim, &clients, "clients", on_boot, NULL, NULL) == 0);
    (void)gyre_sim_run_until(sim, gyre_sim_now_ns(sim) + GYRE_MILLISECOND);
    need(gyre_sim_loop_init(server, &loop, NULL) == 0);
    turn = 0;
}

static void start_trace(void)
{
    gyre_loop_update_now(loop);
    gyre_loop_set_trace(loop, on_trace, NULL);
}

static void close_world(void)
{
    gyre_loop_set_trace(loop, NULL, NULL);
    (void)gyre_loop_shutdown(loop, GYRE_SECOND);
    gyre_sim_close(sim);
}

/* ---- what the scenes are made of ---- */

static gyre_timer timers[5];
static gyre_deferred deferred;

static void on_timer(gyre_timer *timer)
{
    (void)timer;
}

static void on_deferred(gyre_deferred *node)
{
    (void)node;
}

static void start_timer(gyre_timer *timer, const char *name, uint32_t ms, uint32_t every,
                        gyre_timer_cb cb)
{
    need(gyre_timer_init(loop, timer) == 0);
    gyre_handle_set_name(&timer->handle, name);
    gyre_timer_start(timer, ms * GYRE_MILLISECOND, every * GYRE_MILLISECOND, cb);
}

static void compute(uint32_t ms)
{
    (void)gyre_sim_run_until(sim, gyre_sim_now_ns(sim) + ms * GYRE_MILLISECOND);
}

/* ---- the scenes ---- */

static void run_receptionist(void)
{
    open_world("receptionist");
    listen_here();
    call(&callers[0], "ann", 2);
    call(&callers[1], "bob", 3);
    call(&callers[2], "cat", 3);
    hang_out();
    start_trace();
    for (int i = 0; i < 3; i++)
        begin(&callers[i]);
    start_timer(&timers[0], "coffee", 6, 0, on_timer);
    gyre_defer(loop, &deferred, on_deferred);
    need(gyre_loop_run(loop, GYRE_RUN_DEFAULT) == 0);
    close_world();
}

static void on_tick(gyre_timer *timer)
{
    static int left = 4;

    if (--left == 0)
        gyre_timer_stop(timer);
}

static void on_hog(gyre_timer *timer)
{
    (void)timer;
    compute(9);
}

static void run_timers(void)
{
    open_world("timers");
    start_trace();
    start_timer(&timers[0], "thirty", 30, 0, on_timer);
    start_timer(&timers[1], "ten", 10, 0, on_timer);
    start_timer(&timers[2], "twenty", 20, 0, on_timer);
    start_timer(&timers[3], "tick", 8, 8, on_tick);
    start_timer(&timers[4], "hog", 18, 0, on_hog);
    need(gyre_loop_run(loop, GYRE_RUN_DEFAULT) == 0);
    close_world();
}

static void run_mode_default(void)
{
    open_world("mode-default");
    listen_here();
    call(&callers[0], "ann", 5);
    hang_out();
    start_trace();
    gyre_defer(loop, &deferred, on_deferred);
    start_timer(&timers[0], "later", 20, 0, on_timer);
    begin(&callers[0]);
    need(gyre_loop_run(loop, GYRE_RUN_DEFAULT) == 0);
    close_world();
}

static void run_mode_once(void)
{
    open_world("mode-once");
    listen_here();
    call(&callers[0], "ann", 5);
    hang_out();
    start_trace();
    begin(&callers[0]);
    start_timer(&timers[0], "later", 12, 0, on_timer);
    for (int i = 0; i < 4 && gyre_loop_run(loop, GYRE_RUN_ONCE) > 0; i++)
        compute(1);
    close_world();
}

static void run_mode_nowait(void)
{
    open_world("mode-nowait");
    listen_here();
    call(&callers[0], "ann", 5);
    hang_out();
    start_trace();
    gyre_defer(loop, &deferred, on_deferred);
    begin(&callers[0]);
    start_timer(&timers[0], "later", 20, 0, on_timer);
    for (int i = 0; i < 4 && gyre_loop_run(loop, GYRE_RUN_NOWAIT) > 0; i++)
        compute(8);
    close_world();
}

static void on_image(gyre_timer *timer)
{
    (void)timer;
    compute(80);
}

static void on_video(gyre_timer *timer)
{
    (void)timer;
    compute(120);
}

static void on_model(gyre_timer *timer)
{
    (void)timer;
    compute(100);
}

static void run_not(void)
{
    open_world("not");
    listen_here();
    call(&callers[0], "ann", 10);
    hang_out();
    start_trace();
    start_timer(&timers[0], "image", 0, 0, on_image);
    start_timer(&timers[1], "video", 0, 0, on_video);
    start_timer(&timers[2], "model", 0, 0, on_model);
    begin(&callers[0]);
    need(gyre_loop_run(loop, GYRE_RUN_DEFAULT) == 0);
    close_world();
}

int main(void)
{
    run_receptionist();
    run_timers();
    run_mode_default();
    run_mode_once();
    run_mode_nowait();
    run_not();
    return 0;
}
