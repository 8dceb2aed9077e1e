/*
 * The interface on the simulated kernel: each byte of the input is a call, on one of a few streams,
 * timers and requests. Every request that was taken calls back once, every handle that was opened
 * is closed, and nothing is left.
 */
#include <gyre.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAMS = 6, TIMERS = 3, PORT = 9, REQUESTS_MAX = 4096 };

static gyre_loop *loop;
static gyre_sim_host *host;
static gyre_tcp listener;
static gyre_tcp streams[STREAMS];
static gyre_connect_req connects[STREAMS];
static gyre_timer timers[TIMERS];
static bool open_streams[STREAMS];
static bool connecting[STREAMS];
static bool finishing[STREAMS];
static gyre_write_req *requests;
static int request_count;
static int opened;
static int closed;
static int taken;
static int ended;
static char bytes[70000];

static void on_closed(gyre_handle *handle)
{
    for (int i = 0; i < STREAMS; i++) {
        if (handle == &streams[i].handle)
            open_streams[i] = finishing[i] = false;
    }
    closed++;
}

static void on_timer(gyre_timer *timer)
{
    (void)timer;
}

static void on_written(gyre_write_req *req, int status)
{
    (void)status;
    if (req->data != NULL)
        abort();
    req->data = req;
    ended++;
}

static void on_connected(gyre_connect_req *req, int status)
{
    (void)status;
    connecting[req - connects] = false;
    ended++;
}

static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    if (nread > 0 && buf->base[0] == 'e')
        (void)gyre_write_copy(stream, buf->base, (size_t)nread);
    if (nread > 0 && buf->base[0] == 's')
        gyre_read_stop(stream);
}

static void on_connection(gyre_stream *of, int status)
{
    if (status != 0)
        return;
    for (int i = 0; i < STREAMS; i++) {
        if (open_streams[i] || gyre_accept(of, &streams[i].stream) != 0)
            continue;
        open_streams[i] = true;
        opened++;
        (void)gyre_read_start(&streams[i].stream, on_read);
    }
}

static void open_stream(int i)
{
    gyre_address address;

    if (open_streams[i] || gyre_tcp_init(loop, &streams[i]) != 0)
        return;
    open_streams[i] = true;
    opened++;
    gyre_sim_host_address(host, PORT, &address);
    if (!connecting[i] &&
        gyre_tcp_connect(&streams[i], &connects[i], &address, GYRE_SECOND, on_connected) == 0) {
        connecting[i] = true;
        taken++;
    }
}

static void write_some(gyre_stream *stream, size_t len)
{
    const gyre_buf buf = gyre_buf_init(bytes, len);

    if (request_count < REQUESTS_MAX &&
        gyre_write(stream, &requests[request_count], &buf, 1, on_written) == 0) {
        request_count++;
        taken++;
    }
}

static void shut(gyre_stream *stream)
{
    if (request_count < REQUESTS_MAX &&
        gyre_shutdown(stream, &requests[request_count], on_written) == 0) {
        request_count++;
        taken++;
    }
}

static void call_on_stream(int i, int what)
{
    gyre_stream *stream = &streams[i].stream;
    const gyre_buf buf = gyre_buf_init(bytes, 100);

    if (!open_streams[i]) {
        open_stream(i);
        return;
    }
    if (gyre_is_closing(&stream->handle))
        return;
    switch (what) {
    case 0: write_some(stream, 10); break;
    case 1: write_some(stream, sizeof(bytes)); break;
    case 2: (void)gyre_write_copy(stream, bytes, 500); break;
    case 3: (void)gyre_try_write(stream, &buf, 1); break;
    case 4: (void)gyre_read_start(stream, on_read); break;
    case 5: gyre_read_stop(stream); break;
    case 6: shut(stream); break;
    case 7: gyre_close(&stream->handle, on_closed); break;
    case 8: gyre_reset(stream, on_closed); break;
    case 9:
        if (!finishing[i])
            gyre_stream_finish(stream, on_closed);
        finishing[i] = true;
        break;
    case 10: (void)gyre_stream_set_deadlines(stream, GYRE_MILLISECOND, GYRE_SECOND); break;
    case 11: (void)gyre_stream_set_budget(stream, 100, 1000, 5000, NULL); break;
    default: (void)gyre_connect_cancel(&connects[i]); break;
    }
}

static void call_on_timer(int i, int what)
{
    if (what % 3 == 0)
        gyre_timer_stop(&timers[i]);
    else
        gyre_timer_start(&timers[i], (uint64_t)what * GYRE_MILLISECOND,
                         what % 3 == 1 ? GYRE_MILLISECOND : 0, on_timer);
}

static void call(uint8_t byte)
{
    const int what = byte / 9;
    const int which = byte % 9;

    bytes[0] = (char)(what % 3 == 0 ? 'e' : what % 3 == 1 ? 's' : 'x');
    if (byte >= 250)
        (void)gyre_loop_run(loop, GYRE_RUN_ONCE);
    else if (byte >= 240)
        (void)gyre_loop_step(loop);
    else if (which < STREAMS)
        call_on_stream(which, what % 13);
    else
        call_on_timer(which - STREAMS, what);
}

static int boot(gyre_sim_host *of, gyre_loop *on, void *ctx)
{
    (void)of;
    (void)on;
    (void)ctx;
    return 0;
}

static void open_all(void)
{
    gyre_address address;

    gyre_sim_host_address(host, PORT, &address);
    if (gyre_sim_loop_init(host, &loop, NULL) != 0 || gyre_tcp_init(loop, &listener) != 0 ||
        gyre_tcp_bind(&listener, &address, 0) != 0 ||
        gyre_listen(&listener.stream, 0, on_connection) != 0)
        abort();
    for (int i = 0; i < TIMERS; i++) {
        if (gyre_timer_init(loop, &timers[i]) != 0)
            abort();
        gyre_timer_start(&timers[i], GYRE_MILLISECOND, GYRE_MILLISECOND, on_timer);
    }
    opened = 1 + TIMERS;
}

static void close_one(gyre_handle *handle, void *ctx)
{
    (void)ctx;
    if (!gyre_is_closing(handle))
        gyre_close(handle, on_closed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const gyre_sim_options options = {.size = sizeof(options), .seed = size > 0 ? data[0] : 0};
    gyre_sim *sim;

    if (size < 2)
        return 0;
    memset(open_streams, 0, sizeof(open_streams));
    memset(connecting, 0, sizeof(connecting));
    memset(finishing, 0, sizeof(finishing));
    requests = calloc(REQUESTS_MAX, sizeof(*requests));
    request_count = opened = closed = taken = ended = 0;
    if (requests == NULL || gyre_sim_init(&sim, &options) != 0 ||
        gyre_sim_host_init(sim, &host, "host", boot, NULL, NULL) != 0)
        abort();
    (void)gyre_sim_run_until(sim, gyre_sim_now_ns(sim) + 1);
    open_all();
    gyre_sim_set_fault(sim, GYRE_SIM_SHORT_READ, 100000);
    gyre_sim_set_fault(sim, GYRE_SIM_SHORT_WRITE, 100000);
    gyre_sim_set_fault(sim, GYRE_SIM_REFUSED, 50000);
    gyre_sim_set_fault(sim, GYRE_SIM_RESET, 20000);
    for (size_t i = 1; i < size; i++)
        call(data[i]);
    gyre_loop_walk(loop, close_one, NULL);
    if (gyre_loop_shutdown(loop, 600 * GYRE_SECOND) != 0 || closed != opened || ended != taken)
        abort();
    gyre_sim_close(sim);
    free(requests);
    return 0;
}
