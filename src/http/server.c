/*
 * The server: listeners, the list of connections, the date, and stopping.
 *
 *   listening --stop--> no more accepted, idle connections closed --all gone--> stopped
 *       |                  ^       |
 *       |                  |    the time is over: the rest is reset
 *       |          the time is over
 *       |                  |
 *       +--drain--> what was accepted is served, each with its last response --all gone--> stopped
 */
#include "http/http.h"

#include <stdlib.h>

static const gyre_http_options option_defaults = {
    .head_bytes_max = 16 << 10,
    .target_bytes_max = 8 << 10,
    .headers_max = 100,
    .body_bytes_max = 1 << 20,
    .requests_max = 10000,
    .connections_max = UINT32_MAX,
    .accepted_max = UINT32_MAX,
    .head_ns = 10 * GYRE_SECOND,
    .body_ns = 30 * GYRE_SECOND,
    .idle_ns = 60 * GYRE_SECOND,
    .write_ns = 30 * GYRE_SECOND,
};

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value != 0 ? value : fallback;
}

static uint64_t or_default_ns(uint64_t value, uint64_t fallback)
{
    return value != 0 ? value : fallback;
}

static void fill_options(gyre_http_options *options, const gyre_http_options *given)
{
    const gyre_http_options *defaults = &option_defaults;

    *options = *given;
    options->head_bytes_max = or_default(given->head_bytes_max, defaults->head_bytes_max);
    options->target_bytes_max = or_default(given->target_bytes_max, defaults->target_bytes_max);
    options->headers_max = or_default(given->headers_max, defaults->headers_max);
    options->body_bytes_max = or_default(given->body_bytes_max, defaults->body_bytes_max);
    options->accepted_max = or_default(given->accepted_max, defaults->accepted_max);
    options->requests_max = or_default(given->requests_max, defaults->requests_max);
    options->connections_max = or_default(given->connections_max, defaults->connections_max);
    options->head_ns = or_default_ns(given->head_ns, defaults->head_ns);
    options->body_ns = or_default_ns(given->body_ns, defaults->body_ns);
    options->idle_ns = or_default_ns(given->idle_ns, defaults->idle_ns);
    options->write_ns = or_default_ns(given->write_ns, defaults->write_ns);
}

int gyre_http_server_init(gyre_loop *loop, gyre_http_server **out, const gyre_http_options *options)
{
    gyre_http_server *server;

    if (options == NULL || options->size != sizeof(*options) || options->handler == NULL ||
        options->head_bytes_max > 1 << 24)
        return GYRE_EINVAL;
    server = calloc(1, sizeof(*server));
    if (server == NULL)
        return GYRE_ENOMEM;
    if (gyre_timer_init(loop, &server->stop_timer) != 0) {
        free(server);
        return GYRE_ENOMEM;
    }
    gyre_unref(&server->stop_timer.handle);
    gyre_handle_set_name(&server->stop_timer.handle, "http server");
    server->stop_timer.data = server;
    server->loop = loop;
    server->date_s = INT64_MIN;
    fill_options(&server->options, options);
    gyrei_list_init(&server->listeners);
    gyrei_list_init(&server->conns);
    *out = server;
    return 0;
}

/* ---- listening ---- */

/* A listener accepts no further connections while it holds one that was not taken. */
static void take_waiting(gyrei_http_listener *listener)
{
    gyre_http_server *server = listener->server;

    if (server->conn_count < server->options.accepted_max &&
        gyrei_http_conn_accept(server, &listener->io.stream))
        listener->waiting--;
}

static void close_listener(gyrei_http_listener *listener);
static void close_timer_if_last(gyre_http_server *server);

static void on_connection(gyre_stream *stream, int status)
{
    gyrei_http_listener *listener = GYRE_CONTAINER_OF(stream, gyrei_http_listener, io.stream);

    if (status == 0) {
        listener->waiting++;
        take_waiting(listener);
    } else if (status == GYRE_ECANCELED) {
        close_listener(listener);
        close_timer_if_last(listener->server);
    }
}

static void finish_if_gone(gyre_http_server *server)
{
    gyre_http_stopped_cb stopped = server->stopped;

    if (!server->timer_closed || server->listener_count > 0 || server->conn_count > 0)
        return;
    if (stopped != NULL)
        stopped(server, server->options.data);
    free(server);
}

static void on_listener_closed(gyre_handle *handle)
{
    gyrei_http_listener *listener = GYRE_CONTAINER_OF(handle, gyrei_http_listener, io.handle);
    gyre_http_server *server = listener->server;

    server->listener_count--;
    free(listener);
    finish_if_gone(server);
}

static void close_listener(gyrei_http_listener *listener)
{
    gyrei_list_remove(&listener->link);
    gyre_close(&listener->io.handle, on_listener_closed);
}

static gyrei_http_listener *new_listener(gyre_http_server *server, bool local, int *error)
{
    gyrei_http_listener *listener = calloc(1, sizeof(*listener));

    *error = GYRE_ENOMEM;
    if (listener == NULL)
        return NULL;
    *error = local ? gyre_pipe_init(server->loop, &listener->io.pipe)
                   : gyre_tcp_init(server->loop, &listener->io.tcp);
    if (*error != 0) {
        free(listener);
        return NULL;
    }
    gyre_handle_set_name(&listener->io.handle, "http listener");
    listener->server = server;
    server->listener_count++;
    gyrei_list_append(&server->listeners, &listener->link);
    return listener;
}

static int listen_or_close(gyrei_http_listener *listener, int error)
{
    if (error == 0)
        error = gyre_listen(&listener->io.stream, 0, on_connection);
    if (error != 0)
        close_listener(listener);
    return error;
}

int gyre_http_server_listen(gyre_http_server *server, const gyre_address *address,
                            uint32_t tcp_flags)
{
    const bool local = address->u.any.sa_family == AF_UNIX;
    gyrei_http_listener *listener;
    char text[GYRE_ADDRESS_TEXT_MAX];
    int error;

    if (server->stopping)
        return GYRE_EBUSY;
    listener = new_listener(server, local, &error);
    if (listener == NULL)
        return error;
    if (!local)
        return listen_or_close(listener, gyre_tcp_bind(&listener->io.tcp, address, tcp_flags));
    error = gyre_address_format(address, text, sizeof(text));
    if (error > 0)
        error = gyre_pipe_bind(&listener->io.pipe, text + sizeof("unix:") - 1);
    return listen_or_close(listener, error);
}

int gyre_http_server_listen_fd(gyre_http_server *server, int fd)
{
    gyrei_http_listener *listener;
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(address);
    bool local;
    int error;

    if (server->stopping)
        return GYRE_EBUSY;
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return GYRE_EBADF;
    local = address.ss_family == AF_UNIX;
    listener = new_listener(server, local, &error);
    if (listener == NULL)
        return error;
    return listen_or_close(listener, local ? gyre_pipe_open(&listener->io.pipe, fd)
                                           : gyre_tcp_open(&listener->io.tcp, fd));
}

int gyre_http_server_address(const gyre_http_server *server, gyre_address *address)
{
    if (gyrei_list_empty(&server->listeners))
        return GYRE_EBADF;
    return gyre_stream_local_address(
        &GYRE_CONTAINER_OF(server->listeners.prev, gyrei_http_listener, link)->io.stream, address);
}

uint32_t gyre_http_server_connections(const gyre_http_server *server)
{
    return server->conn_count;
}

/* ---- the date ---- */

const char *gyrei_http_server_date(gyre_http_server *server)
{
    const int64_t now_s = gyre_loop_wall_ns(server->loop) / (int64_t)GYRE_SECOND;

    if (now_s != server->date_s) {
        server->date_s = now_s;
        gyrei_http_date_format(now_s, server->date);
    }
    return server->date;
}

/* ---- stopping ---- */

static void on_timer_closed(gyre_handle *handle)
{
    gyre_http_server *server = handle->data;

    server->timer_closed = true;
    finish_if_gone(server);
}

static void close_timer_if_last(gyre_http_server *server)
{
    if (server->stopping && server->conn_count == 0 && gyrei_list_empty(&server->listeners) &&
        !gyre_is_closing(&server->stop_timer.handle))
        gyre_close(&server->stop_timer.handle, on_timer_closed);
}

static void abort_all(gyre_http_server *server)
{
    gyre_link *link = server->conns.next;

    while (link != &server->conns) {
        gyrei_http_conn *conn = GYRE_CONTAINER_OF(link, gyrei_http_conn, link);

        link = link->next;
        gyrei_http_conn_abort(conn);
    }
}

static void stop_all(gyre_http_server *server)
{
    gyre_link *link = server->conns.next;

    while (link != &server->conns) {
        gyrei_http_conn *conn = GYRE_CONTAINER_OF(link, gyrei_http_conn, link);

        link = link->next;
        gyrei_http_conn_stop(conn);
    }
}

static void on_time_over(gyre_timer *timer)
{
    gyre_http_server *server = timer->data;

    if (!server->draining) {
        abort_all(server);
        return;
    }
    /* Idle clients are told by FIN, and have the time of a lingering close to hear it. */
    server->draining = false;
    gyre_timer_start(timer, GYREI_HTTP_LINGER_NS + GYRE_SECOND / 2, 0, on_time_over);
    stop_all(server);
}

static void close_listeners(gyre_http_server *server)
{
    while (!gyrei_list_empty(&server->listeners))
        close_listener(GYRE_CONTAINER_OF(server->listeners.next, gyrei_http_listener, link));
}

static void stop_listeners(gyre_http_server *server)
{
    gyre_link *link = server->listeners.next;

    while (link != &server->listeners) {
        gyrei_http_listener *listener = GYRE_CONTAINER_OF(link, gyrei_http_listener, link);

        link = link->next;
        if (gyre_listen_stop(&listener->io.stream) != 0)
            close_listener(listener);
    }
}

void gyre_http_server_drain(gyre_http_server *server, uint64_t timeout_ns, gyre_http_stopped_cb cb)
{
    if (server->stopping)
        return;
    if (timeout_ns == 0) {
        gyre_http_server_stop(server, 0, cb);
        return;
    }
    server->stopping = true;
    server->draining = true;
    server->stopped = cb;
    stop_listeners(server);
    gyre_timer_start(&server->stop_timer, timeout_ns, 0, on_time_over);
    close_timer_if_last(server);
}

void gyre_http_server_stop(gyre_http_server *server, uint64_t timeout_ns, gyre_http_stopped_cb cb)
{
    server->stopping = true;
    server->draining = false;
    server->stopped = cb;
    close_listeners(server);
    stop_all(server);
    if (timeout_ns == 0)
        abort_all(server);
    else if (!gyre_is_closing(&server->stop_timer.handle))
        gyre_timer_start(&server->stop_timer, timeout_ns, 0, on_time_over);
    close_timer_if_last(server);
}

/* There is room for one more. */
static void take_one_that_waits(gyre_http_server *server)
{
    for (gyre_link *link = server->listeners.next; link != &server->listeners; link = link->next) {
        gyrei_http_listener *listener = GYRE_CONTAINER_OF(link, gyrei_http_listener, link);

        if (listener->waiting > 0) {
            take_waiting(listener);
            return;
        }
    }
}

void gyrei_http_server_conn_closed(gyrei_http_conn *conn)
{
    gyre_http_server *server = conn->server;

    gyrei_list_remove(&conn->link);
    server->conn_count--;
    free(conn);
    take_one_that_waits(server);
    close_timer_if_last(server);
    finish_if_gone(server);
}
