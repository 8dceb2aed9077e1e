/*
 * Unix sockets: what is bound to a path, what removes it and what must not, names, and both ends of
 * a pair.
 */
#include "peers.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[32];
static char path[96];
static int received;
static int announced;
static int connected;
static int last_status;
static int closed;

static int set_up(void **state)
{
    received = announced = connected = last_status = closed = 0;
    (void)snprintf(folder, sizeof(folder), "/tmp/gyre-pipe-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/socket", folder);
    return loop_set_up(state);
}

static int tear_down(void **state)
{
    const int error = loop_tear_down(state);

    (void)unlink(path);
    return rmdir(folder) != 0 ? -1 : error;
}

#define PIPE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    (void)buf;
    assert_true(nread > 0);
    received += (int)nread;
}

static void announce(gyre_stream *listener, int status)
{
    (void)listener;
    assert_int_equal(status, 0);
    announced++;
}

static void on_connected(gyre_connect_req *req, int status)
{
    (void)req;
    last_status = status;
    connected++;
}

static void count_close(gyre_handle *handle)
{
    (void)handle;
    closed++;
}

static gyre_pipe *fresh(void)
{
    gyre_pipe *local = lasting(sizeof(*local));

    assert_int_equal(gyre_pipe_init(loop, local), 0);
    return local;
}

static bool exists(const char *name)
{
    struct stat about;

    return lstat(name, &about) == 0;
}

static void close_and_wait(gyre_pipe *local)
{
    closed = 0;
    gyre_close(&local->handle, count_close);
    run_until(&closed, 1);
}

static int connect_to(const char *name)
{
    gyre_connect_req *req = lasting(sizeof(*req));

    connected = 0;
    assert_int_equal(gyre_pipe_connect(fresh(), req, name, 0, on_connected), 0);
    run_until(&connected, 1);
    return last_status;
}

/* ---- paths ---- */

static void a_path_lives_as_long_as_its_stream(void **state)
{
    gyre_pipe *listener = fresh();

    (void)state;
    assert_int_equal(gyre_pipe_bind(listener, path), 0);
    assert_true(exists(path));
    assert_int_equal(connect_to(path), GYRE_ECONNREFUSED); /* it does not listen yet */
    assert_int_equal(gyre_listen(&listener->stream, 0, announce), 0);
    assert_int_equal(connect_to(path), 0);
    run_until(&announced, 1);
    close_and_wait(listener);
    assert_false(exists(path));
    assert_int_equal(connect_to(path), GYRE_ENOENT);
}

/* The path is the binder's: neither who failed to bind it nor who connects to it removes it. */
static void only_the_binder_removes_the_path(void **state)
{
    gyre_pipe *listener = fresh();
    gyre_pipe *other = fresh();
    gyre_pipe *client = fresh();
    gyre_pipe *accepted = lasting(sizeof(*accepted));
    gyre_connect_req req = {0};

    (void)state;
    assert_int_equal(gyre_pipe_bind(listener, path), 0);
    assert_int_equal(gyre_listen(&listener->stream, 0, announce), 0);
    assert_int_equal(gyre_pipe_bind(other, path), GYRE_EADDRINUSE);
    close_and_wait(other);
    assert_true(exists(path));
    assert_int_equal(gyre_pipe_connect(client, &req, path, 0, on_connected), 0);
    run_until(&connected, 1);
    run_until(&announced, 1);
    assert_int_equal(gyre_accept(&listener->stream, &accepted->stream), 0);
    close_and_wait(client);
    close_and_wait(accepted);
    assert_true(exists(path));
}

/* Whether to remove what stands there is the caller's decision. */
static void a_file_that_stands_there_is_left_alone(void **state)
{
    gyre_pipe *listener = fresh();

    (void)state;
    lasting_fd(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(gyre_pipe_bind(listener, path), GYRE_EADDRINUSE);
    assert_int_equal(gyre_stream_fd(&listener->stream), GYRE_EBADF);
    assert_true(exists(path));
    assert_int_equal(unlink(path), 0);
    /* The stream is as it was: it can be bound now. */
    assert_int_equal(gyre_pipe_bind(listener, path), 0);
    assert_int_equal(gyre_listen(&listener->stream, 0, announce), 0);
    assert_int_equal(connect_to(path), 0);
}

static void a_reset_removes_the_path_too(void **state)
{
    gyre_pipe *listener = fresh();

    (void)state;
    assert_int_equal(gyre_pipe_bind(listener, path), 0);
    gyre_reset(&listener->stream, count_close);
    run_until(&closed, 1);
    assert_false(exists(path));
}

static void paths_that_cannot_be_are_errors(void **state)
{
    const size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    gyre_pipe *listener = fresh();
    char longest[300];

    (void)state;
    memset(longest, 'x', sizeof(longest));
    memcpy(longest, folder, strlen(folder));
    longest[strlen(folder)] = '/';
    longest[most + 1] = '\0';
    assert_int_equal(gyre_pipe_bind(listener, longest), GYRE_ENAMETOOLONG);
    assert_int_equal(gyre_pipe_bind(listener, ""), GYRE_EINVAL);
    assert_int_equal(gyre_pipe_bind(listener, "/nonexistent/socket"), GYRE_ENOENT);
    assert_int_equal(gyre_pipe_bind(listener, "/dev/null/socket"), GYRE_ENOTDIR);
    /* One byte less fits, and it works after all those errors. */
    longest[most] = '\0';
    assert_int_equal(gyre_pipe_bind(listener, longest), 0);
    assert_int_equal(gyre_pipe_bind(listener, path), GYRE_EINVAL);
    assert_true(exists(longest));
    close_and_wait(listener);
    assert_false(exists(longest));
}

/* A backlog of one, and nobody accepts: unix sockets say so at once (connect(2), EAGAIN). */
static void a_full_queue_is_an_error_of_the_connect(void **state)
{
    const int fd = lasting_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    gyre_address address;
    int status = 0;

    (void)state;
    assert_int_equal(gyre_address_unix(&address, path), 0);
    assert_int_equal(bind(fd, &address.u.any, address.len), 0);
    assert_int_equal(listen(fd, 1), 0);
    for (int i = 0; i < 5 && status == 0; i++)
        status = connect_to(path);
    assert_int_equal(status, GYRE_EAGAIN);
}

/* ---- names ---- */

static void the_ends_have_their_names(void **state)
{
    gyre_pipe *listener = fresh();
    gyre_pipe *client = fresh();
    gyre_pipe *accepted = lasting(sizeof(*accepted));
    gyre_connect_req req = {0};
    gyre_address address;
    char expected[GYRE_ADDRESS_TEXT_MAX];
    char text[GYRE_ADDRESS_TEXT_MAX];

    (void)state;
    (void)snprintf(expected, sizeof(expected), "unix:%s", path);
    assert_int_equal(gyre_pipe_bind(listener, path), 0);
    assert_int_equal(gyre_listen(&listener->stream, 0, announce), 0);
    assert_int_equal(gyre_pipe_connect(client, &req, path, 0, on_connected), 0);
    run_until(&connected, 1);
    run_until(&announced, 1);
    assert_int_equal(gyre_accept(&listener->stream, &accepted->stream), 0);
    assert_int_equal(gyre_stream_peer_address(&client->stream, &address), 0);
    assert_true(gyre_address_format(&address, text, sizeof(text)) > 0);
    assert_string_equal(text, expected);
    assert_int_equal(gyre_stream_local_address(&accepted->stream, &address), 0);
    assert_true(gyre_address_format(&address, text, sizeof(text)) > 0);
    assert_string_equal(text, expected);
    assert_int_equal(gyre_stream_peer_address(&accepted->stream, &address), 0);
    assert_true(gyre_address_format(&address, text, sizeof(text)) > 0);
    assert_string_equal(text, "unix:");
    assert_int_equal(gyre_stream_peer_address(&listener->stream, &address), GYRE_ENOTCONN);
}

/* ---- a pair ---- */

static void both_ends_of_a_pair_belong_to_one_loop(void **state)
{
    gyre_pipe *ends[2] = {fresh(), fresh()};
    int fds[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(gyre_pipe_open(ends[i], fds[i]), 0);
        assert_true((fcntl(fds[i], F_GETFL) & O_NONBLOCK) != 0);
        assert_true((fcntl(fds[i], F_GETFD) & FD_CLOEXEC) != 0);
        assert_int_equal(gyre_read_start(&ends[i]->stream, on_read), 0);
    }
    assert_int_equal(gyre_write_copy(&ends[0]->stream, "there", 5), 0);
    assert_int_equal(gyre_write_copy(&ends[1]->stream, "back", 4), 0);
    while (received < 9)
        assert_true(gyre_loop_run(loop, GYRE_RUN_ONCE) >= 0);
    assert_int_equal(received, 9);
}

static void what_is_no_stream_socket_cannot_be_adopted(void **state)
{
    gyre_pipe *local = fresh();

    (void)state;
    assert_int_equal(gyre_pipe_open(local, 1 << 19), GYRE_EBADF);
    assert_int_equal(gyre_pipe_open(local, -1), GYRE_EBADF);
    assert_int_equal(gyre_pipe_open(local, lasting_fd(open("/dev/null", O_RDONLY))), GYRE_ENOTSOCK);
    assert_int_equal(gyre_pipe_open(local, lasting_fd(socket(AF_UNIX, SOCK_DGRAM, 0))),
                     GYRE_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PIPE_TEST(a_path_lives_as_long_as_its_stream),
        PIPE_TEST(only_the_binder_removes_the_path),
        PIPE_TEST(a_file_that_stands_there_is_left_alone),
        PIPE_TEST(a_reset_removes_the_path_too),
        PIPE_TEST(paths_that_cannot_be_are_errors),
        PIPE_TEST(a_full_queue_is_an_error_of_the_connect),
        PIPE_TEST(the_ends_have_their_names),
        PIPE_TEST(both_ends_of_a_pair_belong_to_one_loop),
        PIPE_TEST(what_is_no_stream_socket_cannot_be_adopted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
