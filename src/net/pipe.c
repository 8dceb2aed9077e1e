/*
 * Unix sockets: a stream with a path for a name.
 */
#include "net/stream.h"

#include <string.h>

int gyre_pipe_init(gyre_loop *loop, gyre_pipe *pipe)
{
    gyrei_loop_check(loop);
    return gyrei_stream_init(loop, &pipe->stream, GYRE_HANDLE_PIPE);
}

int gyre_pipe_open(gyre_pipe *pipe, int fd)
{
    return gyrei_stream_adopt(&pipe->stream, fd, AF_UNIX, AF_UNIX);
}

/* Remembers the path to remove at close; an abstract name goes by itself (unix(7)). */
static int remember_path(gyre_stream *stream, const char *path)
{
    const size_t bytes = strlen(path) + 1;
    int error;

    if (path[0] == '@')
        return 0;
    error = gyrei_stream_need_extra(stream);
    if (error != 0)
        return error;
    stream->extra->path = gyrei_loop_alloc(stream->handle.loop, bytes);
    if (stream->extra->path == NULL)
        return GYRE_ENOMEM;
    memcpy(stream->extra->path, path, bytes);
    stream->extra->path_bytes = bytes;
    return 0;
}

static void forget_path(gyre_stream *stream)
{
    gyrei_stream_extra *extra = stream->extra;

    if (extra == NULL || extra->path == NULL)
        return;
    gyrei_loop_free(stream->handle.loop, extra->path, extra->path_bytes);
    extra->path = NULL;
}

int gyre_pipe_bind(gyre_pipe *pipe, const char *path)
{
    gyre_stream *stream = &pipe->stream;
    gyre_loop *loop = stream->handle.loop;
    gyre_address address;
    int error = gyrei_stream_check(stream);

    if (error == 0 && gyrei_stream_fd(stream) >= 0)
        error = GYRE_EINVAL;
    if (error == 0)
        error = gyre_address_unix(&address, path);
    if (error == 0)
        error = gyrei_stream_socket(stream, AF_UNIX);
    if (error != 0)
        return error;
    error = remember_path(stream, path);
    if (error == 0)
        error = loop->env->sys->bind(loop->env, gyrei_stream_fd(stream), &address);
    if (error != 0) {
        forget_path(stream);
        gyrei_stream_close_fd(stream);
        return error;
    }
    stream->flags |= GYREI_STREAM_BOUND;
    return 0;
}

int gyre_pipe_connect(gyre_pipe *pipe, gyre_connect_req *req, const char *path, uint64_t timeout_ns,
                      gyre_connect_cb cb)
{
    const int error = gyre_address_unix(&req->address, path);

    return error != 0 ? error : gyrei_connect_start(&pipe->stream, req, timeout_ns, cb);
}
