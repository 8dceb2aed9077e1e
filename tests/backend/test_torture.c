/*
 * Torture: each system call and each allocation of a program fails once, and then for ever, at each
 * of its sites. Whatever fails, nothing crashes, hangs or leaks, every request that was taken calls
 * back once, and every handle that was opened gets its close callback.
 */
#include "core/loop.h"

#include "fixture.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* ---- a kernel that fails when it is told to ---- */

#define CALLS(X)                                                                                   \
    X(socket, int, (const gyrei_env *env, int a, int b, int c), (env, a, b, c))                    \
    X(bind, int, (const gyrei_env *env, int fd, const gyre_address *to), (env, fd, to))            \
    X(listen, int, (const gyrei_env *env, int fd, int backlog), (env, fd, backlog))                \
    X(accept, int, (const gyrei_env *env, int fd), (env, fd))                                      \
    X(connect, int, (const gyrei_env *env, int fd, const struct sockaddr *to, uint32_t len),       \
      (env, fd, to, len))                                                                          \
    X(recv, int64_t, (const gyrei_env *env, int fd, void *to, size_t len), (env, fd, to, len))     \
    X(send, int64_t, (const gyrei_env *env, int fd, const void *of, size_t len),                   \
      (env, fd, of, len))                                                                          \
    X(sendv, int64_t, (const gyrei_env *env, int fd, const gyre_buf *of, uint32_t count),          \
      (env, fd, of, count))                                                                        \
    X(shutdown, int, (const gyrei_env *env, int fd, int how), (env, fd, how))                      \
    X(local_address, int, (const gyrei_env *env, int fd, gyre_address *is), (env, fd, is))         \
    X(peer_address, int, (const gyrei_env *env, int fd, gyre_address *is), (env, fd, is))          \
    X(get_option, int,                                                                             \
      (const gyrei_env *env, int fd, int level, int name, void *is, uint32_t *len),                \
      (env, fd, level, name, is, len))                                                             \
    X(set_option, int,                                                                             \
      (const gyrei_env *env, int fd, int level, int name, const void *to, uint32_t len),           \
      (env, fd, level, name, to, len))                                                             \
    X(adopt, int, (const gyrei_env *env, int fd), (env, fd))                                       \
    X(unlink, int, (const gyrei_env *env, const char *path), (env, path))                          \
    X(openat2, int, (const gyrei_env *env, int fd, const char *path, const struct open_how *how),  \
      (env, fd, path, how))                                                                        \
    X(statx, int,                                                                                  \
      (const gyrei_env *env, int fd, const char *path, int flags, uint32_t mask,                   \
       struct statx *out),                                                                         \
      (env, fd, path, flags, mask, out))                                                           \
    X(pread, int64_t, (const gyrei_env *env, int fd, void *to, size_t len, uint64_t at),           \
      (env, fd, to, len, at))                                                                      \
    X(file_mode, int, (const gyrei_env *env, int fd, uint32_t *mode), (env, fd, mode))             \
    X(epoll_create, int, (const gyrei_env *env), (env))                                            \
    X(epoll_ctl, int,                                                                              \
      (const gyrei_env *env, int epoll, int how, int fd, struct epoll_event *event),               \
      (env, epoll, how, fd, event))                                                                \
    X(epoll_wait, int,                                                                             \
      (const gyrei_env *env, int epoll, struct epoll_event *events, int max, uint64_t timeout),    \
      (env, epoll, events, max, timeout))                                                          \
    X(poll, int, (const gyrei_env *env, struct pollfd *fds, uint32_t count, uint64_t timeout),     \
      (env, fds, count, timeout))                                                                  \
    X(event_create, int, (const gyrei_env *env), (env))                                            \
    X(event_write, int, (const gyrei_env *env, int fd), (env, fd))                                 \
    X(event_read, int, (const gyrei_env *env, int fd), (env, fd))                                  \
    X(uring_setup, int, (const gyrei_env *env, uint32_t entries, struct io_uring_params *params),  \
      (env, entries, params))                                                                      \
    X(uring_enter, int,                                                                            \
      (const gyrei_env *env, int ring, uint32_t submit, uint32_t wait, uint32_t flags,             \
       const void *arg, size_t size),                                                              \
      (env, ring, submit, wait, flags, arg, size))                                                 \
    X(uring_register, int,                                                                         \
      (const gyrei_env *env, int ring, uint32_t what, void *arg, uint32_t count),                  \
      (env, ring, what, arg, count))                                                               \
    X(wipe_on_fork, int, (const gyrei_env *env, void *pages, size_t bytes), (env, pages, bytes))

typedef enum call {
#define NAME(name, type, params, args) CALL_##name,
    CALLS(NAME)
#undef NAME
        CALL_close,
    CALL_map,
    CALL_resize,
    CALLS_COUNT
} call;

static struct {
    call kind;
    unsigned from; /* the number of the call that fails first; 0: none */
    bool for_ever;
    int error;
} fault;

static unsigned calls[CALLS_COUNT];

static bool fails(call kind)
{
    calls[kind]++;
    return fault.from != 0 && fault.kind == kind &&
           (calls[kind] == fault.from || (fault.for_ever && calls[kind] > fault.from));
}

#define WRAP(name, type, params, args)                                                             \
    static type wrapped_##name params                                                              \
    {                                                                                              \
        return fails(CALL_##name) ? (type)fault.error : gyrei_env_os.sys->name args;               \
    }
CALLS(WRAP)
#undef WRAP

/* It closes whatever it says (close(2)). */
static int wrapped_close(const gyrei_env *env, int fd)
{
    const int result = gyrei_env_os.sys->close(env, fd);

    return fails(CALL_close) ? fault.error : result;
}

static void *wrapped_map(const gyrei_env *env, size_t bytes)
{
    return fails(CALL_map) ? NULL : gyrei_env_os.sys->map(env, bytes);
}

static int64_t blocks;

static void *wrapped_resize(void *ctx, void *pointer, size_t old_bytes, size_t new_bytes)
{
    void *block;

    (void)ctx;
    (void)old_bytes;
    if (new_bytes == 0) {
        blocks -= pointer != NULL;
        free(pointer);
        return NULL;
    }
    if (fails(CALL_resize))
        return NULL;
    block = realloc(pointer, new_bytes);
    blocks += block != NULL && pointer == NULL;
    return block;
}

static gyrei_sys wrapped_sys;
static gyrei_env wrapped_env;

static void wrap_kernel(void)
{
    wrapped_sys = *gyrei_env_os.sys;
    wrapped_env = gyrei_env_os;
#define SET(name, type, params, args) wrapped_sys.name = wrapped_##name;
    CALLS(SET)
#undef SET
    wrapped_sys.close = wrapped_close;
    wrapped_sys.map = wrapped_map;
    wrapped_env.sys = &wrapped_sys;
}

static void no_log(void *ctx, const char *line)
{
    (void)ctx;
    (void)line;
}

/* ---- what the program keeps count of ---- */

static int opened;  /* handles initialised */
static int closed;  /* close callbacks */
static int taken;   /* requests */
static int ended;   /* their callbacks */
static int arrived; /* bytes that came back to the client */

static void on_closed(gyre_handle *handle)
{
    (void)handle;
    closed++;
}

static void close_handle(gyre_handle *handle)
{
    if (!gyre_is_closing(handle))
        gyre_close(handle, on_closed);
}

static int opening(int error)
{
    opened += error == 0;
    return error;
}

static int taking(int error)
{
    taken += error == 0;
    return error;
}

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

static void close_all(gyre_handle *handle, void *ctx)
{
    (void)ctx;
    close_handle(handle);
}

/* Turns until all of it is over or nothing more can come, and then the end. */
static void run_and_end(gyre_loop *on)
{
    const int turns = fault.from == 0 ? 1000000 : 300;
    int error = 0;

    for (int i = 0; i < turns && error >= 0 && (ended < taken || arrived < 2 * BYTES); i++) {
        error = gyre_loop_run(on, GYRE_RUN_NOWAIT);
        sched_yield();
    }
    gyre_loop_walk(on, close_all, NULL);
    for (int i = 0; i < 2000 && closed < opened; i++) {
        (void)gyre_loop_run(on, GYRE_RUN_NOWAIT);
        sched_yield();
    }
    assert_int_equal(gyre_loop_shutdown(on, GYRE_SECOND), 0);
}

static int open_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 200; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* One run of the program under the present fault. */
static void run_program(void)
{
    const gyre_allocator allocator = {.resize = wrapped_resize};
    const gyre_loop_options options = {
        .size = sizeof(options), .allocator = &allocator, .env = &wrapped_env, .log = no_log};
    gyre_loop *on = NULL;
    const int before = open_descriptors();
    int fds[3];

    memset(calls, 0, sizeof(calls));
    memset(echoes, 0, sizeof(echoes));
    opened = closed = taken = ended = arrived = 0;
    unix_pair(fds);
    fds[2] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    if (gyre_loop_init(&on, &options) == 0) {
        start_tcp(on);
        start_pipe(on);
        start_rest(on, fds);
        run_and_end(on);
    }
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    assert_int_equal(closed, opened);
    assert_int_equal(ended, taken);
    assert_int_equal(blocks, 0);
    assert_int_equal(open_descriptors(), before);
}

/* ---- the tests ---- */

typedef struct site {
    call kind;
    bool for_ever; /* a call without which no turn is possible fails once only */
    int errors[6];
} site;

static const site sites[] = {
    {CALL_socket, true, {GYRE_EMFILE, GYRE_ENFILE, GYRE_ENOBUFS, GYRE_ENOMEM, GYRE_EACCES}},
    {CALL_bind, true, {GYRE_EADDRINUSE, GYRE_EACCES}},
    {CALL_listen, true, {GYRE_EADDRINUSE}},
    {CALL_accept, true, {GYRE_EMFILE, GYRE_ENOMEM, GYRE_ECONNABORTED, GYRE_EAGAIN, GYRE_EPERM}},
    {CALL_connect, true, {GYRE_ECONNREFUSED, GYRE_ENETUNREACH, GYRE_EADDRNOTAVAIL}},
    {CALL_recv, true, {GYRE_ECONNRESET, GYRE_EAGAIN, GYRE_ENOMEM, GYRE_ETIMEDOUT, 0}},
    {CALL_send, true, {GYRE_EPIPE, GYRE_ECONNRESET, GYRE_EAGAIN, GYRE_ENOBUFS}},
    {CALL_sendv, true, {GYRE_EPIPE, GYRE_ECONNRESET, GYRE_EAGAIN, GYRE_ENOBUFS}},
    {CALL_shutdown, true, {GYRE_ENOTCONN}},
    {CALL_local_address, true, {GYRE_ENOBUFS}},
    {CALL_peer_address, true, {GYRE_ENOTCONN, GYRE_ENOBUFS}},
    {CALL_get_option, true, {GYRE_ENOPROTOOPT}},
    {CALL_set_option, true, {GYRE_ENOPROTOOPT, GYRE_ENOMEM}},
    {CALL_adopt, true, {GYRE_EBADF}},
    {CALL_unlink, true, {GYRE_ENOENT}},
    {CALL_openat2, true, {GYRE_ENOENT, GYRE_EMFILE, GYRE_EACCES, GYRE_EINTR}},
    {CALL_statx, true, {GYRE_ENOENT, GYRE_EIO}},
    {CALL_pread, true, {GYRE_EIO, GYRE_EINTR}},
    {CALL_file_mode, true, {GYRE_EBADF}},
    {CALL_epoll_create, true, {GYRE_EMFILE, GYRE_ENOMEM}},
    {CALL_epoll_ctl, true, {GYRE_ENOMEM, GYRE_ENOSPC, GYRE_EPERM}},
    {CALL_epoll_wait, false, {GYRE_EINTR}},
    {CALL_poll, false, {GYRE_EINTR, GYRE_ENOMEM}},
    {CALL_event_create, true, {GYRE_EMFILE, GYRE_ENFILE}},
    {CALL_event_write, false, {GYRE_EAGAIN}},
    {CALL_event_read, true, {GYRE_EAGAIN}},
    {CALL_uring_setup, true, {GYRE_EPERM, GYRE_ENOSYS, GYRE_ENOMEM, GYRE_EINVAL, GYRE_EMFILE}},
    {CALL_uring_enter, false, {GYRE_EINTR, GYRE_EAGAIN, GYRE_EBUSY}},
    {CALL_uring_register, true, {GYRE_EINVAL, GYRE_ENOMEM, GYRE_EPERM}},
    {CALL_wipe_on_fork, true, {GYRE_EINVAL}},
    {CALL_close, true, {GYRE_EIO, GYRE_EINTR}},
    {CALL_map, true, {GYRE_ENOMEM}},
    {CALL_resize, true, {GYRE_ENOMEM}},
};

/* How often the program makes each call when all goes well. */
static unsigned normal[CALLS_COUNT];

static void nothing_fails(void **state)
{
    (void)state;
    fault.from = 0;
    run_program();
    assert_int_equal(arrived, 2 * BYTES);
    memcpy(normal, calls, sizeof(normal));
}

/* All sites of a call with one error; of calls by the hundred the first and some of the others. */
static unsigned fail_each(const site *at, int error, bool for_ever)
{
    unsigned runs = 0;

    for (unsigned n = 1; n <= normal[at->kind]; n += n < 60 ? 1 : n / 4) {
        fault.kind = at->kind;
        fault.from = n;
        fault.for_ever = for_ever;
        fault.error = error;
        run_program();
        runs++;
    }
    return runs;
}

static void each_call_fails(bool for_ever)
{
    unsigned reached = 0;
    unsigned failed = 0;

    for (size_t i = 0; i < sizeof(sites) / sizeof(sites[0]); i++) {
        if (for_ever && !sites[i].for_ever)
            continue;
        reached += normal[sites[i].kind];
        for (size_t e = 0; e < 6 && (e == 0 || sites[i].errors[e] != 0); e++)
            failed += fail_each(&sites[i], sites[i].errors[e], for_ever);
    }
    fault.from = 0;
    print_message("%u sites reached, %u failures\n", reached, failed);
}

static void each_call_fails_once(void **state)
{
    (void)state;
    each_call_fails(false);
}

static void each_call_fails_for_ever(void **state)
{
    (void)state;
    each_call_fails(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_fails),
        cmocka_unit_test(each_call_fails_once),
        cmocka_unit_test(each_call_fails_for_ever),
    };

    wrap_kernel();
    (void)snprintf(pipe_name, sizeof(pipe_name), "@gyre-torture-%d", (int)getpid());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
