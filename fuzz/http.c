/*
 * The HTTP server on the simulated kernel: the input is what a client sends, in pieces that the
 * seed in its first byte decides. What comes back is responses and nothing else, and nothing is left
 * when the server has stopped.
 */
#include <gyre.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PORT = 80 };

static const uint8_t *input;
static size_t input_len;
static gyre_http_server *server;
static gyre_sim_host *server_host;
static gyre_tcp client;
static gyre_connect_req request;
static char answer[5];
static size_t answer_len;

static void on_request(gyre_http_request *of, void *data)
{
    const gyre_http_header field = {.name = "X-Target", .value = gyre_http_method(of)};
    const gyre_buf body = gyre_http_body(of);

    (void)data;
    (void)gyre_http_header_of(of, "host");
    if (gyre_http_respond(of, 200, &field, 1, body.base, body.len) != 0)
        abort();
}

static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    for (int64_t i = 0; i < nread && answer_len < sizeof(answer); i++)
        answer[answer_len++] = buf->base[i];
    if (nread < 0 && !gyre_is_closing(&stream->handle))
        gyre_close(&stream->handle, NULL);
}

static void on_connected(gyre_connect_req *req, int status)
{
    static gyre_write_req end;

    if (status != 0 || gyre_write_copy(req->stream, input, input_len) != 0 ||
        gyre_shutdown(req->stream, &end, NULL) != 0 || gyre_read_start(req->stream, on_read) != 0)
        gyre_close(&req->stream->handle, NULL);
}

static int boot_server(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    const gyre_http_options options = {.size = sizeof(options), .handler = on_request, .data = ctx};
    gyre_address address;
    int error = gyre_http_server_init(loop, &server, &options);

    gyre_sim_host_address(host, PORT, &address);
    return error == 0 ? gyre_http_server_listen(server, &address, 0) : error;
}

static int boot_client(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    gyre_address address;
    const int error = gyre_tcp_init(loop, &client);

    (void)host;
    (void)ctx;
    gyre_sim_host_address(server_host, PORT, &address);
    return error == 0 ? gyre_tcp_connect(&client, &request, &address, 0, on_connected) : error;
}

static void on_stopped(gyre_http_server *of, void *data)
{
    (void)of;
    *(int *)data = 1;
}

static void on_stop(gyre_deferred *deferred)
{
    (void)deferred;
    gyre_http_server_stop(server, GYRE_SECOND, on_stopped);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const gyre_sim_options options = {.size = sizeof(options), .seed = size > 0 ? data[0] : 0};
    gyre_sim_host *client_host;
    gyre_deferred stop = {0};
    gyre_sim *sim;
    int stopped = 0;

    if (size < 2 || size > 65536)
        return 0;
    input = data + 1;
    input_len = size - 1;
    answer_len = 0;
    if (gyre_sim_init(&sim, &options) != 0 ||
        gyre_sim_host_init(sim, &server_host, "server", boot_server, NULL, &stopped) != 0 ||
        gyre_sim_host_init(sim, &client_host, "client", boot_client, NULL, NULL) != 0)
        abort();
    gyre_sim_set_fault(sim, GYRE_SIM_SHORT_READ, 300000);
    (void)gyre_sim_run_until(sim, gyre_sim_now_ns(sim) + 200 * GYRE_SECOND);
    if (answer_len > 0 && memcmp(answer, "HTTP/", answer_len) != 0)
        abort();
    gyre_defer(gyre_sim_host_loop(server_host), &stop, on_stop);
    (void)gyre_sim_run_until(sim, gyre_sim_now_ns(sim) + 10 * GYRE_SECOND);
    if (!stopped)
        abort();
    gyre_sim_close(sim);
    return 0;
}
