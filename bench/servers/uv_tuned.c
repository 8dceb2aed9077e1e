/* libuv tuned by somebody who knows it: one static receive buffer, uv_try_write, and uv_write only
 * for what the socket did not take. */
#include "../common/listener.h"
#include "../common/util.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

union conn {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct write_request {
    uv_write_t request;
    char bytes[];
};

static char buffer[65536];

static void on_close(uv_handle_t *handle)
{
    free(handle);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(buffer, sizeof buffer);
}

static void on_write(uv_write_t *request, int status)
{
    (void)status;
    free(request);
}

static void write_rest(uv_stream_t *stream, const char *bytes, size_t length)
{
    struct write_request *write = bench_alloc(sizeof *write + length);
    uv_buf_t buf = uv_buf_init(write->bytes, (unsigned)length);
    memcpy(write->bytes, bytes, length);
    uv_write(&write->request, stream, &buf, 1, on_write);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    if (got < 0) {
        uv_close((uv_handle_t *)stream, on_close);
        return;
    }
    if (got == 0) {
        return;
    }
    uv_buf_t out = uv_buf_init(buf->base, (unsigned)got);
    int sent = uv_try_write(stream, &out, 1);
    if (sent == UV_EAGAIN) {
        sent = 0;
    }
    if (sent < 0) {
        uv_close((uv_handle_t *)stream, on_close);
    } else if (sent < got) {
        write_rest(stream, buf->base + sent, (size_t)(got - sent));
    }
}

static void on_connection(uv_stream_t *server, int status)
{
    union conn *conn = bench_alloc(sizeof *conn);
    if (status < 0) {
        bench_die(uv_strerror(status));
    }
    if (server->type == UV_TCP) {
        uv_tcp_init(server->loop, &conn->tcp);
    } else {
        uv_pipe_init(server->loop, &conn->pipe, 0);
    }
    if (uv_accept(server, &conn->stream) < 0) {
        uv_close(&conn->handle, on_close);
        return;
    }
    uv_read_start(&conn->stream, on_alloc, on_read);
}

int main(int argc, char **argv)
{
    struct bench_listener listener = bench_listener_open(argc, argv);
    uv_loop_t *loop = uv_default_loop();
    union conn server;
    if (listener.is_unix) {
        uv_pipe_init(loop, &server.pipe, 0);
        uv_pipe_open(&server.pipe, listener.fd);
    } else {
        uv_tcp_init(loop, &server.tcp);
        uv_tcp_open(&server.tcp, listener.fd);
    }
    if (uv_listen(&server.stream, BENCH_BACKLOG, on_connection) < 0) {
        bench_die("uv_listen");
    }
    return uv_run(loop, UV_RUN_DEFAULT);
}
