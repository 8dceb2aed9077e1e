/*
 * Sockets: names, listening, connecting, and the calls that move bytes.
 *
 * What lies between two sockets is a connection of net.c. A socket that lost it keeps what had
 * arrived: bytes first, then the error, then the end of the stream, as Linux has it.
 */
#include "sim/sim.h"

#include <stdlib.h>
#include <string.h>

enum { BACKLOG_MAX = 4096, FIRST_PORT = 32768, LAST_PORT = 60999, HOST_NET = 0x0a000000 };

static gyre_sim *sim_of(const gyrei_sim_socket *socket)
{
    return socket->file.host->sim;
}

gyrei_sim_socket *gyrei_sim_socket_new(gyre_sim_host *host, int family)
{
    gyrei_sim_socket *socket = gyrei_sim_new(sizeof(*socket));

    gyrei_sim_file_init(&socket->file, host, GYREI_SIM_SOCKET);
    gyrei_list_init(&socket->bound);
    gyrei_list_init(&socket->queue);
    gyrei_list_init(&socket->queued);
    socket->family = family;
    socket->local.u.any.sa_family = (sa_family_t)family;
    socket->local.len = family == AF_INET    ? sizeof(struct sockaddr_in)
                        : family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                             : sizeof(sa_family_t);
    return socket;
}

gyrei_sim_socket *gyrei_sim_socket_find(const gyre_sim_host *host, int fd, int *error)
{
    gyrei_sim_file *file = gyrei_sim_fd_find(host, fd);

    *error = file == NULL ? GYRE_EBADF : file->kind != GYREI_SIM_SOCKET ? GYRE_ENOTSOCK : 0;
    return *error == 0 ? gyrei_sim_socket_of(file) : NULL;
}

void gyrei_sim_socket_released(gyrei_sim_socket *socket)
{
    gyre_link *link;

    gyrei_list_remove(&socket->bound);
    while ((link = gyrei_list_pop(&socket->queue)) != NULL) {
        gyrei_sim_socket *waiting = GYRE_CONTAINER_OF(link, gyrei_sim_socket, queued);

        /* Nobody will take it: the kernel resets what a closed listener has in its queue. */
        waiting->flags |= GYREI_SIM_LINGER_RESET;
        waiting->silent = socket->silent;
        gyrei_sim_file_unref(&waiting->file);
    }
    if (socket->conn != NULL) {
        const gyrei_sim_pipe *in = &socket->conn->pipes[1 - socket->side];
        const bool reset = (socket->flags & GYREI_SIM_LINGER_RESET) != 0 || in->visible > 0;

        gyrei_sim_conn_leave(socket->conn, socket->side, reset, socket->silent);
    }
    free(socket);
}

/* ---- names ---- */

static uint16_t port_of(const gyre_address *address)
{
    return gyre_address_port(address);
}

static void set_port(gyre_address *address, uint16_t port)
{
    if (address->u.any.sa_family == AF_INET)
        address->u.v4.sin_port = htons(port);
    else
        address->u.v6.sin6_port = htons(port);
}

static bool same_path(const gyre_address *a, const gyre_address *b)
{
    return a->len == b->len && memcmp(&a->u.local, &b->u.local, a->len) == 0;
}

/* Whether a name stands in the way of another, or is meant by it. */
static bool same_name(const gyre_address *a, const gyre_address *b)
{
    if ((a->u.any.sa_family == AF_UNIX) != (b->u.any.sa_family == AF_UNIX))
        return false;
    return a->u.any.sa_family == AF_UNIX ? same_path(a, b) : port_of(a) == port_of(b);
}

static bool is_taken(const gyre_sim_host *host, const gyrei_sim_socket *socket,
                     const gyre_address *address)
{
    for (gyre_link *link = host->bound.next; link != &host->bound; link = link->next) {
        const gyrei_sim_socket *other = GYRE_CONTAINER_OF(link, gyrei_sim_socket, bound);

        if (same_name(&other->local, address) &&
            (other->flags & socket->flags & GYREI_SIM_REUSEPORT) == 0)
            return true;
    }
    return false;
}

static uint16_t free_port(gyre_sim_host *host)
{
    if (host->next_port < FIRST_PORT || host->next_port > LAST_PORT)
        host->next_port = FIRST_PORT;
    return host->next_port++;
}

typedef struct stale {
    gyre_link link;
    gyre_address address;
} stale;

static stale *find_stale(const gyre_sim_host *host, const gyre_address *address)
{
    for (gyre_link *link = host->stale.next; link != &host->stale; link = link->next) {
        stale *entry = GYRE_CONTAINER_OF(link, stale, link);

        if (same_path(&entry->address, address))
            return entry;
    }
    return NULL;
}

int gyrei_sim_unlink(gyre_sim_host *host, const char *path)
{
    gyre_address address;
    stale *entry;

    if (gyre_address_unix(&address, path) != 0)
        return GYRE_ENOENT;
    entry = find_stale(host, &address);
    if (entry == NULL)
        return GYRE_ENOENT;
    gyrei_list_remove(&entry->link);
    free(entry);
    return 0;
}

void gyrei_sim_names_drop(gyre_sim_host *host)
{
    gyre_link *link = host->stale.next;

    while (link != &host->stale) {
        stale *entry = GYRE_CONTAINER_OF(link, stale, link);

        link = link->next;
        free(entry);
    }
    gyrei_list_init(&host->stale);
}

int gyrei_sim_bind(gyrei_sim_socket *socket, const gyre_address *address)
{
    gyre_sim_host *host = socket->file.host;

    if ((socket->flags & GYREI_SIM_BOUND) != 0)
        return GYRE_EINVAL;
    if (address->u.any.sa_family != socket->family)
        return GYRE_EAFNOSUPPORT;
    if (socket->family == AF_UNIX && find_stale(host, address) != NULL)
        return GYRE_EADDRINUSE;
    socket->local = *address;
    if (socket->family != AF_UNIX && port_of(address) == 0) {
        do {
            set_port(&socket->local, free_port(host));
        } while (is_taken(host, socket, &socket->local));
    } else if (is_taken(host, socket, address)) {
        return GYRE_EADDRINUSE;
    }
    /* A file stays until it is removed, whatever becomes of its socket. */
    if (socket->family == AF_UNIX && address->u.local.sun_path[0] != '\0') {
        stale *entry = gyrei_sim_new(sizeof(*entry));

        entry->address = *address;
        gyrei_list_append(&host->stale, &entry->link);
    }
    gyrei_list_append(&host->bound, &socket->bound);
    socket->flags |= GYREI_SIM_BOUND;
    return 0;
}

int gyrei_sim_listen(gyrei_sim_socket *socket, int backlog)
{
    if ((socket->flags & (GYREI_SIM_CONNECTING | GYREI_SIM_CONNECTED)) != 0)
        return GYRE_EINVAL;
    socket->backlog = backlog > BACKLOG_MAX ? BACKLOG_MAX : (uint32_t)backlog;
    socket->flags |= GYREI_SIM_LISTENING;
    return 0;
}

gyrei_sim_socket *gyrei_sim_find_listener(const gyre_sim_host *host, const gyre_address *address)
{
    for (gyre_link *link = host->bound.next; link != &host->bound; link = link->next) {
        gyrei_sim_socket *socket = GYRE_CONTAINER_OF(link, gyrei_sim_socket, bound);

        if ((socket->flags & GYREI_SIM_LISTENING) != 0 && same_name(&socket->local, address))
            return socket;
    }
    return NULL;
}

gyre_sim_host *gyrei_sim_find_host(gyre_sim_host *from, const gyre_address *address)
{
    uint32_t number;

    if (address->u.any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&address->u.v6.sin6_addr) ? from : NULL;
    number = ntohl(address->u.v4.sin_addr.s_addr);
    if (number >> 24 == 127 || number == 0)
        return from;
    if (number <= HOST_NET || number - HOST_NET > from->sim->host_count)
        return NULL;
    return from->sim->host_of[number - HOST_NET - 1];
}

void gyre_sim_host_address(const gyre_sim_host *host, uint16_t port, gyre_address *address)
{
    memset(address, 0, sizeof(*address));
    address->len = sizeof(address->u.v4);
    address->u.v4.sin_family = AF_INET;
    address->u.v4.sin_port = htons(port);
    address->u.v4.sin_addr.s_addr = htonl(HOST_NET + host->id + 1);
}

/* ---- connecting ---- */

static int connect_unix(gyrei_sim_socket *socket, const gyre_address *address)
{
    gyre_sim_host *host = socket->file.host;
    gyrei_sim_socket *listener = gyrei_sim_find_listener(host, address);
    gyrei_sim_conn *conn;

    if (address->u.local.sun_path[0] != '\0' && find_stale(host, address) == NULL)
        return GYRE_ENOENT;
    if (listener == NULL)
        return GYRE_ECONNREFUSED;
    if (gyrei_sim_strikes(host->sim, GYRE_SIM_REFUSED))
        return GYRE_ECONNREFUSED;
    if (listener->queue_count > listener->backlog)
        return GYRE_EAGAIN;
    conn = gyrei_sim_conn_new(socket, host);
    conn->local = true;
    gyrei_sim_conn_queue(conn, listener);
    socket->flags |= GYREI_SIM_CONNECTED;
    gyrei_sim_file_changed(&socket->file);
    return 0;
}

static int connect_tcp(gyrei_sim_socket *socket, const gyre_address *address)
{
    gyre_sim *sim = sim_of(socket);
    gyre_sim_host *host = socket->file.host;
    gyre_sim_host *to = gyrei_sim_find_host(host, address);
    gyrei_sim_conn *conn;
    uint64_t after_ns = 0;

    if (to == NULL || gyrei_sim_strikes(sim, GYRE_SIM_UNREACHABLE))
        return GYRE_ENETUNREACH;
    if ((socket->flags & GYREI_SIM_BOUND) == 0) {
        gyre_sim_host_address(host, free_port(host), &socket->local);
        if (socket->family == AF_INET6)
            (void)gyre_address_ip(&socket->local, "::1", port_of(&socket->local));
    }
    conn = gyrei_sim_conn_new(socket, to);
    conn->refused = gyrei_sim_strikes(sim, GYRE_SIM_REFUSED);
    conn->lost = gyrei_sim_strikes(sim, GYRE_SIM_BLACKHOLED);
    if (gyrei_sim_strikes(sim, GYRE_SIM_SLOW_CONNECT))
        after_ns = gyrei_sim_below(&sim->random, 10 * GYRE_SECOND);
    socket->flags |= GYREI_SIM_CONNECTING;
    gyrei_sim_conn_begin(conn, after_ns);
    return GYRE_EINPROGRESS;
}

int gyrei_sim_connect(gyrei_sim_socket *socket, const struct sockaddr *address, uint32_t len)
{
    int error;

    if ((socket->flags & GYREI_SIM_CONNECTED) != 0)
        return GYRE_EISCONN;
    if ((socket->flags & GYREI_SIM_CONNECTING) != 0)
        return GYRE_EALREADY;
    if ((socket->flags & GYREI_SIM_LISTENING) != 0 || len > sizeof(socket->peer.u))
        return GYRE_EINVAL;
    if (address->sa_family != socket->family)
        return GYRE_EAFNOSUPPORT;
    memset(&socket->peer, 0, sizeof(socket->peer));
    memcpy(&socket->peer.u, address, len);
    socket->peer.len = len;
    error = socket->family == AF_UNIX ? connect_unix(socket, &socket->peer)
                                      : connect_tcp(socket, &socket->peer);
    gyrei_sim_note(sim_of(socket), socket->file.host, "connect", socket->file.fd, error);
    return error;
}

int gyrei_sim_accept(gyrei_sim_socket *listener)
{
    gyre_sim_host *host = listener->file.host;
    gyre_sim *sim = host->sim;
    gyrei_sim_socket *socket;
    int fd;

    if ((listener->flags & GYREI_SIM_LISTENING) == 0)
        return GYRE_EINVAL;
    if (gyrei_list_empty(&listener->queue))
        return GYRE_EAGAIN;
    fd = gyrei_sim_new_fd_fault(sim);
    if (fd != 0) {
        gyrei_sim_note(sim, host, "accept", listener->file.fd, fd);
        return fd;
    }
    socket = GYRE_CONTAINER_OF(listener->queue.next, gyrei_sim_socket, queued);
    if (gyrei_sim_strikes(sim, GYRE_SIM_ABORTED))
        fd = GYRE_ECONNABORTED;
    else
        fd = gyrei_sim_fd_take(&socket->file);
    gyrei_sim_note(sim, host, "accept", listener->file.fd, fd);
    if (fd < 0 && fd != GYRE_ECONNABORTED)
        return fd;
    gyrei_list_remove(&socket->queued);
    listener->queue_count--;
    if (fd == GYRE_ECONNABORTED) {
        socket->flags |= GYREI_SIM_LINGER_RESET;
        gyrei_sim_file_unref(&socket->file);
    }
    return fd;
}

/* ---- bytes ---- */

int gyrei_sim_socket_error(gyrei_sim_socket *socket)
{
    const int error = socket->error;

    socket->error = 0;
    return error;
}

/* The library knows which of its sockets are connected: another one is taken for connected. */
static void check_connected(const gyrei_sim_socket *socket)
{
    gyre_sim *sim = sim_of(socket);

    if ((socket->flags & GYREI_SIM_CONNECTING) != 0 && sim->failure == NULL)
        sim->failure = "bytes are asked of a socket that connects";
}

int64_t gyrei_sim_recv(gyrei_sim_socket *socket, void *base, size_t len)
{
    gyre_sim *sim = sim_of(socket);
    gyrei_sim_pipe *in = socket->conn != NULL ? &socket->conn->pipes[1 - socket->side] : NULL;
    uint32_t bytes;

    check_connected(socket);
    if (in != NULL && in->visible > 0 && (socket->flags & GYREI_SIM_CONNECTING) == 0) {
        bytes = in->visible < len ? in->visible : (uint32_t)len;
        if (bytes > 1 && gyrei_sim_strikes(sim, GYRE_SIM_SHORT_READ))
            bytes = (uint32_t)gyrei_sim_between(&sim->random, 1, bytes - 1);
        gyrei_sim_note(sim, socket->file.host, "recv", socket->file.fd, bytes);
        return gyrei_sim_pipe_read(in, base, bytes);
    }
    if (socket->error != 0)
        return gyrei_sim_socket_error(socket);
    if ((socket->flags & GYREI_SIM_BROKEN) != 0)
        return 0;
    if ((socket->flags & GYREI_SIM_CONNECTED) == 0 || in == NULL)
        return GYRE_ENOTCONN;
    return in->fin ? 0 : GYRE_EAGAIN;
}

static void send_bytes(gyrei_sim_pipe *out, const gyre_buf *bufs, uint32_t bytes)
{
    for (; bytes > 0; bufs++) {
        const uint32_t part = bufs->len < bytes ? (uint32_t)bufs->len : bytes;

        if (part > 0)
            gyrei_sim_pipe_write(out, bufs->base, part);
        bytes -= part;
    }
}

int64_t gyrei_sim_send(gyrei_sim_socket *socket, const gyre_buf *bufs, uint32_t count)
{
    gyre_sim *sim = sim_of(socket);
    uint64_t asked = 0;
    uint32_t bytes;
    gyrei_sim_pipe *out;

    check_connected(socket);
    if (socket->error != 0)
        return gyrei_sim_socket_error(socket);
    if ((socket->flags & (GYREI_SIM_BROKEN | GYREI_SIM_SHUT_WRITE)) != 0)
        return GYRE_EPIPE;
    if ((socket->flags & GYREI_SIM_CONNECTED) == 0)
        return GYRE_ENOTCONN;
    if (socket->conn->local && socket->conn->ends[1 - socket->side].socket == NULL)
        return GYRE_EPIPE;
    for (uint32_t i = 0; i < count; i++)
        asked += bufs[i].len;
    out = &socket->conn->pipes[socket->side];
    bytes = gyrei_sim_pipe_space(out);
    if (bytes == 0)
        return asked > 0 ? GYRE_EAGAIN : 0;
    if (gyrei_sim_strikes(sim, GYRE_SIM_SEND_ENOBUFS))
        return GYRE_ENOBUFS;
    if (asked < bytes)
        bytes = (uint32_t)asked;
    if (bytes > 1 && gyrei_sim_strikes(sim, GYRE_SIM_SHORT_WRITE))
        bytes = (uint32_t)gyrei_sim_between(&sim->random, 1, bytes - 1);
    gyrei_sim_note(sim, socket->file.host, "send", socket->file.fd, bytes);
    send_bytes(out, bufs, bytes);
    if (bytes > 0)
        gyrei_sim_pipe_send(out, bytes);
    return bytes;
}

int gyrei_sim_shutdown(gyrei_sim_socket *socket, int how)
{
    if ((socket->flags & GYREI_SIM_CONNECTED) == 0)
        return GYRE_ENOTCONN;
    gyrei_sim_note(sim_of(socket), socket->file.host, "shutdown", socket->file.fd, how);
    if (how == SHUT_RD || (socket->flags & GYREI_SIM_SHUT_WRITE) != 0)
        return 0;
    socket->flags |= GYREI_SIM_SHUT_WRITE;
    gyrei_sim_pipe_end(&socket->conn->pipes[socket->side], GYREI_SIM_FIN);
    gyrei_sim_file_changed(&socket->file);
    return 0;
}

void gyrei_sim_socket_break(gyrei_sim_socket *socket, int error)
{
    const bool connecting = (socket->flags & GYREI_SIM_CONNECTING) != 0;

    gyrei_sim_note(sim_of(socket), socket->file.host, "broken", socket->file.fd, error);
    socket->error = error;
    socket->flags &= ~(uint32_t)(GYREI_SIM_CONNECTING | GYREI_SIM_CONNECTED);
    socket->flags |= GYREI_SIM_BROKEN;
    if (connecting) {
        gyrei_sim_conn *conn = socket->conn;

        socket->conn = NULL;
        gyrei_sim_conn_leave(conn, socket->side, true, true);
    }
    gyrei_sim_file_changed(&socket->file);
}

uint32_t gyrei_sim_socket_events(const gyrei_sim_socket *socket)
{
    const uint32_t shut = GYRE_POLL_IN | GYRE_POLL_OUT | GYRE_POLL_HUP | GYRE_POLL_RDHUP;
    const gyrei_sim_conn *conn = socket->conn;
    uint32_t events = 0;

    if ((socket->flags & GYREI_SIM_LISTENING) != 0)
        return gyrei_list_empty(&socket->queue) ? 0 : GYRE_POLL_IN;
    if ((socket->flags & GYREI_SIM_BROKEN) != 0)
        return shut | (socket->error != 0 ? GYRE_POLL_ERR : 0);
    if ((socket->flags & GYREI_SIM_CONNECTING) != 0)
        return 0;
    if (conn == NULL)
        return GYRE_POLL_OUT | GYRE_POLL_HUP;
    if (conn->pipes[1 - socket->side].visible > 0)
        events |= GYRE_POLL_IN;
    if (conn->pipes[1 - socket->side].fin)
        events |= GYRE_POLL_IN | GYRE_POLL_RDHUP;
    if ((socket->flags & GYREI_SIM_SHUT_WRITE) != 0)
        events |= conn->pipes[1 - socket->side].fin ? shut : GYRE_POLL_OUT;
    else if (gyrei_sim_pipe_space(&conn->pipes[socket->side]) > 0 ||
             (conn->local && conn->ends[1 - socket->side].socket == NULL))
        events |= GYRE_POLL_OUT;
    return events;
}
