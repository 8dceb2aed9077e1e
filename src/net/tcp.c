/*
 * TCP: a stream with addresses and options.
 */
#include "net/stream.h"

#include <netinet/tcp.h>

static int set_option(const gyre_stream *stream, int level, int name, int value)
{
    const gyre_loop *loop = stream->handle.loop;

    return loop->env->sys->set_option(loop->env, gyrei_stream_fd(stream), level, name, &value,
                                      sizeof(value));
}

static bool has_fd(const gyre_stream *stream)
{
    return gyrei_stream_fd(stream) >= 0;
}

/* Accepted sockets inherit the listener's TCP_NODELAY on Linux: no call for each of them. */
int gyrei_tcp_prepare(gyre_stream *stream)
{
    return set_option(stream, IPPROTO_TCP, TCP_NODELAY, (stream->flags & GYREI_STREAM_NAGLE) == 0);
}

int gyre_tcp_init(gyre_loop *loop, gyre_tcp *tcp)
{
    gyrei_loop_check(loop);
    return gyrei_stream_init(loop, &tcp->stream, GYRE_HANDLE_TCP);
}

int gyre_tcp_open(gyre_tcp *tcp, int fd)
{
    const int error = gyrei_stream_adopt(&tcp->stream, fd, AF_INET, AF_INET6);

    /* A socket that cannot do without Nagle still works. */
    if (error == 0)
        (void)gyrei_tcp_prepare(&tcp->stream);
    return error;
}

static int set_bind_options(gyre_stream *stream, int family, uint32_t flags)
{
    int error = set_option(stream, SOL_SOCKET, SO_REUSEADDR, 1);

    if (error == 0 && (flags & GYRE_TCP_REUSEPORT) != 0)
        error = set_option(stream, SOL_SOCKET, SO_REUSEPORT, 1);
    if (error == 0 && family == AF_INET6)
        error = set_option(stream, IPPROTO_IPV6, IPV6_V6ONLY, (flags & GYRE_TCP_V6ONLY) != 0);
    return error;
}

int gyre_tcp_bind(gyre_tcp *tcp, const gyre_address *address, uint32_t flags)
{
    gyre_stream *stream = &tcp->stream;
    gyre_loop *loop = stream->handle.loop;
    const int family = address->u.any.sa_family;
    int error = gyrei_stream_check(stream);

    if (error == 0 &&
        (has_fd(stream) || (flags & ~(uint32_t)(GYRE_TCP_REUSEPORT | GYRE_TCP_V6ONLY)) != 0))
        error = GYRE_EINVAL;
    if (error == 0 && family != AF_INET && family != AF_INET6)
        error = GYRE_EAFNOSUPPORT;
    if (error == 0)
        error = gyrei_stream_socket(stream, family);
    if (error != 0)
        return error;
    error = set_bind_options(stream, family, flags);
    if (error == 0)
        error = loop->env->sys->bind(loop->env, gyrei_stream_fd(stream), address);
    if (error != 0) {
        gyrei_stream_close_fd(stream);
        return error;
    }
    stream->flags |= GYREI_STREAM_BOUND;
    return 0;
}

int gyre_tcp_connect(gyre_tcp *tcp, gyre_connect_req *req, const gyre_address *address,
                     uint64_t timeout_ns, gyre_connect_cb cb)
{
    const int family = address->u.any.sa_family;

    if (family != AF_INET && family != AF_INET6)
        return GYRE_EAFNOSUPPORT;
    req->address = *address;
    return gyrei_connect_start(&tcp->stream, req, timeout_ns, cb);
}

int gyre_tcp_set_nodelay(gyre_tcp *tcp, int on)
{
    gyre_stream *stream = &tcp->stream;
    const uint32_t before = stream->flags;
    int error = gyrei_stream_check(stream);

    if (error != 0)
        return error;
    stream->flags &= ~(uint32_t)GYREI_STREAM_NAGLE;
    if (on == 0)
        stream->flags |= GYREI_STREAM_NAGLE;
    if (has_fd(stream))
        error = gyrei_tcp_prepare(stream);
    if (error != 0)
        stream->flags = before;
    return error;
}

int gyre_tcp_set_keepalive(gyre_tcp *tcp, uint32_t delay_s, uint32_t interval_s, uint32_t count)
{
    const gyre_stream *stream = &tcp->stream;
    int error = gyrei_stream_check(stream);

    if (error != 0)
        return error;
    if (!has_fd(stream))
        return GYRE_EBADF;
    if (delay_s > INT32_MAX || interval_s > INT32_MAX || count > INT32_MAX)
        return GYRE_EINVAL;
    error = set_option(stream, SOL_SOCKET, SO_KEEPALIVE, delay_s > 0);
    if (error == 0 && delay_s > 0)
        error = set_option(stream, IPPROTO_TCP, TCP_KEEPIDLE, (int)delay_s);
    if (error == 0 && delay_s > 0 && interval_s > 0)
        error = set_option(stream, IPPROTO_TCP, TCP_KEEPINTVL, (int)interval_s);
    if (error == 0 && delay_s > 0 && count > 0)
        error = set_option(stream, IPPROTO_TCP, TCP_KEEPCNT, (int)count);
    return error;
}
