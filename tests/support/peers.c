/* The other side of a test's streams. */
#include "peers.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

void run_until(const int *count, int goal)
{
    while (*count < goal)
        assert_true(gyre_loop_run(loop, GYRE_RUN_ONCE) >= 0);
    assert_int_equal(*count, goal);
}

void run_turns(int turns)
{
    for (int i = 0; i < turns; i++)
        assert_true(gyre_loop_run(loop, GYRE_RUN_NOWAIT) >= 0);
}

gyre_tcp *listener_new(gyre_listen_cb cb)
{
    gyre_tcp *listener = lasting(sizeof(*listener));
    gyre_address address;

    assert_int_equal(gyre_address_ip(&address, NULL, 0), 0);
    assert_int_equal(gyre_tcp_init(loop, listener), 0);
    gyre_handle_set_name(&listener->handle, "listener");
    assert_int_equal(gyre_tcp_bind(listener, &address, 0), 0);
    assert_int_equal(gyre_listen(&listener->stream, 0, cb), 0);
    return listener;
}

int peer_connect(const gyre_tcp *listener)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    gyre_address address;

    if (fd < 0)
        return -1;
    assert_int_equal(gyre_stream_local_address(&listener->stream, &address), 0);
    assert_true(connect(fd, &address.u.any, address.len) == 0 || errno == EINPROGRESS);
    return lasting_fd(fd);
}

void peer_send(int fd, const void *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

size_t peer_receive(int fd, void *bytes, size_t room)
{
    char *to = bytes;
    size_t len = 0;
    ssize_t part;

    while (len < room && (part = recv(fd, to + len, room - len, MSG_DONTWAIT)) > 0)
        len += (size_t)part;
    return len;
}

bool peer_is_at_end(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

bool peer_is_reset(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
}

size_t fill(int fd)
{
    static const char bytes[4096];
    size_t len = 0;
    ssize_t part;

    while ((part = send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
        len += (size_t)part;
    return len;
}
