/*
 * Torture: each system call and each allocation of a program fails once, and then for ever, at each
 * of its sites. Here: streams, and what a loop has beside them.
 */
#include "torture.h"

#include <signal.h>

static int arrived; /* bytes that came back to the client */

/* ---- the program: an echo over TCP and one over a unix socket, and all the rest ---- */

enum { BYTES = 300000, WATCHERS = 2 };

typedef struct echo {
    union {
        gyre_stream stream;
        gyre_tcp tcp;
        gyre_pipe pipe;
        gyre_handle handle;
    } listener, server, client;
    gyre_connect_req connect;
    gyre_write_req write;
    gyre_write_req end;
} echo;

static echo echoes[2];
static char pipe_name[32]; /* of this process: the backends are tested at the same time */
static char bytes[BYTES];

static void server_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    if (nread < 0 || gyre_write_copy(stream, buf->base, (size_t)nread) < 0)
        close_handle(&stream->handle);
}

static void on_connection(gyre_stream *listener, int status)
{
    echo *self = listener->data;

    if (status != 0 || gyre_accept(listener, &self->server.stream) != 0)
        return;
    opened++;
    if (gyre_read_start(&self->server.stream, server_read) != 0)
        close_handle(&self->server.handle);
    close_handle(&listener->handle);
}

static void client_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)buf;
    arrived += nread > 0 ? (int)nread : 0;
    if (nread < 0)
        close_handle(&stream->handle);
}

static void on_written(gyre_write_req *req, int status)
{
    (void)req;
    (void)status;
    ended++;
}

static void on_connected(gyre_connect_req *req, int status)
{
    echo *self = req->data;
    const gyre_buf buf = gyre_buf_init(bytes, BYTES);

    ended++;
    if (status != 0 || gyre_stream_set_deadlines(&self->client.stream, GYRE_SECOND, GYRE_SECOND) ||
        gyre_read_start(&self->client.stream, client_read) != 0 ||
        taking(gyre_write(&self->client.stream, &self->write, &buf, 1, on_written)) != 0 ||
        taking(gyre_shutdown(&self->client.stream, &self->end, on_written)) != 0)
        close_handle(&self->client.handle);
}

static void start_tcp(gyre_loop *on)
{
    echo *self = &echoes[0];
    gyre_address address;

    if (gyre_address_ip(&address, NULL, 0) != 0 || opening(gyre_tcp_init(on, &self->listener.tcp)))
        return;
    self->listener.stream.data = self;
    if (gyre_tcp_bind(&self->listener.tcp, &address, GYRE_TCP_REUSEPORT) != 0 ||
        gyre_listen(&self->listener.stream, 0, on_connection) != 0 ||
        gyre_stream_local_address(&self->listener.stream, &address) != 0 ||
        opening(gyre_tcp_init(on, &self->client.tcp)) != 0)
        return;
    self->connect.data = self;
    (void)gyre_tcp_set_nodelay(&self->client.tcp, 0);
    (void)taking(
        gyre_tcp_connect(&self->client.tcp, &self->connect, &address, GYRE_SECOND, on_connected));
    (void)gyre_tcp_set_keepalive(&self->client.tcp, 30, 5, 4);
}

static void start_pipe(gyre_loop *on)
{
    echo *self = &echoes[1];

    if (opening(gyre_pipe_init(on, &self->listener.pipe)) != 0)
        return;
    self->listener.stream.data = self;
    if (gyre_pipe_bind(&self->listener.pipe, pipe_name) != 0 ||
        gyre_listen(&self->listener.stream, 0, on_connection) != 0 ||
        opening(gyre_pipe_init(on, &self->client.pipe)) != 0)
        return;
    self->connect.data = self;
    (void)taking(gyre_pipe_connect(&self->client.pipe, &self->connect, pipe_name, GYRE_SECOND,
                                   on_connected));
}

static gyre_timer timer;
static gyre_async async;
static gyre_signal watcher;
static gyre_poll polls[WATCHERS];
static gyre_fs_req files[4];
static char file_bytes[16];

static void on_timer(gyre_timer *of)
{
    (void)of;
}

static void on_async(gyre_async *of)
{
    (void)of;
}

static void on_signal(gyre_signal *of, int signum)
{
    (void)signum;
    gyre_signal_stop(of);
}

static void on_poll(gyre_poll *of, int status, uint32_t events)
{
    (void)status;
    (void)events;
    gyre_poll_stop(of);
}

static void on_file(gyre_fs_req *req)
{
    ended++;
    if (req == &files[0] && req->result >= 0)
        close((int)req->result);
}

static void start_rest(gyre_loop *on, const int *fds)
{
    if (opening(gyre_timer_init(on, &timer)) == 0)
        gyre_timer_start(&timer, GYRE_MILLISECOND, GYRE_MILLISECOND, on_timer);
    if (opening(gyre_async_init(on, &async, on_async)) == 0) {
        gyre_remote *remote = gyre_async_remote(&async);

        (void)gyre_async_send(remote);
        gyre_remote_unref(remote);
    }
    if (opening(gyre_signal_init(on, &watcher)) == 0)
        (void)gyre_signal_start(&watcher, SIGUSR2, on_signal);
    for (int i = 0; i < WATCHERS; i++) {
        if (opening(gyre_poll_init(on, &polls[i], fds[i])) == 0)
            (void)gyre_poll_start(&polls[i], GYRE_POLL_OUT, on_poll);
    }
    (void)taking(gyre_fs_open(on, &files[0], GYRE_FS_CWD, "/dev/null", GYRE_FS_READ, 0, on_file));
    (void)taking(gyre_fs_stat_path(on, &files[1], GYRE_FS_CWD, "/", on_file));
    (void)taking(gyre_fs_stat_fd(on, &files[2], fds[0], on_file));
    (void)taking(gyre_fs_read(on, &files[3], fds[2], file_bytes, sizeof(file_bytes), 0, on_file));
}

static bool is_done(void)
{
    return ended == taken && arrived == 2 * BYTES;
}

static void run_program(void)
{
    const gyre_loop_options options = torture_loop_options();
    gyre_loop *on = NULL;
    int fds[3];

    memset(echoes, 0, sizeof(echoes));
    arrived = 0;
    unix_pair(fds);
    fds[2] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    if (gyre_loop_init(&on, &options) == 0) {
        start_tcp(on);
        start_pipe(on);
        start_rest(on, fds);
        torture_run_and_end(on, is_done);
    }
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

static void streams_survive(void **state)
{
    const torture_program program = {"streams", run_program};

    (void)state;
    torture_all(&program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(streams_survive)};

    torture_wrap_kernel();
    (void)snprintf(pipe_name, sizeof(pipe_name), "@gyre-torture-%d", (int)getpid());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
