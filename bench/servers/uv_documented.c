/* libuv as its documentation shows it: malloc in the allocation callback, uv_write with a request
 * of its own, free in the write callback. Run a second time with glibc's heap trimming off
 * (MALLOC_TRIM_THRESHOLD_ and MALLOC_TOP_PAD_ in the environment), because most of its cost at
 * small sizes is the trimming after each 64 KiB buffer. */
#include "../common/listener.h"
#include "../common/util.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <uv.h>

union conn {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct write_request {
    uv_write_t request;
    uv_buf_t buf;
};

static void on_close(uv_handle_t *handle)
{
    free(handle);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    *buf = uv_buf_init(bench_alloc(suggested), (unsigned)suggested);
}

static void on_write(uv_write_t *request, int status)
{
    struct write_request *write = (struct write_request *)request;
    (void)status;
    free(write->buf.base);
    free(write);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    if (got > 0) {
        struct write_request *write = bench_alloc(sizeof *write);
        write->buf = uv_buf_init(buf->base, (unsigned)got);
        uv_write(&write->request, stream, &write->buf, 1, on_write);
        return;
    }
    if (got < 0) {
        uv_close((uv_handle_t *)stream, on_close);
    }
    free(buf->base);
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
    if (server->type == UV_TCP) {
        uv_tcp_nodelay(&conn->tcp, 1);
    }
    uv_read_start(&conn->stream, on_alloc, on_read);
}

static int bind_tcp(uv_loop_t *loop, uv_tcp_t *server)
{
    struct sockaddr_in address;
    int length = sizeof address;
    uv_ip4_addr("127.0.0.1", 0, &address);
    uv_tcp_init(loop, server);
    uv_tcp_bind(server, (const struct sockaddr *)&address, 0);
    uv_tcp_getsockname(server, (struct sockaddr *)&address, &length);
    return ntohs(address.sin_port);
}

int main(int argc, char **argv)
{
    struct bench_listener listener = bench_listener_parse(argc, argv);
    uv_loop_t *loop = uv_default_loop();
    union conn server;
    int port = 0;
    if (listener.is_unix) {
        uv_pipe_init(loop, &server.pipe, 0);
        uv_pipe_bind(&server.pipe, listener.path);
    } else {
        port = bind_tcp(loop, &server.tcp);
    }
    if (uv_listen(&server.stream, BENCH_BACKLOG, on_connection) < 0) {
        bench_die("uv_listen");
    }
    bench_listener_announce(&listener, port);
    return uv_run(loop, UV_RUN_DEFAULT);
}
