/*
 * Listening sockets; see sockets.h. Made by bare system calls: the master serves none of them.
 */
#include "cluster/sockets.h"

#include <gyre/error.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_INHERITED = 3, BIND_TRIES = 120, BIND_PAUSE_NS = 10 * 1000 * 1000 };

static int last_error(void)
{
    return -errno;
}

bool gyrei_socket_is_served_by(const gyrei_socket *socket, uint32_t slot, uint32_t slots)
{
    return socket->shared || socket->slot % slots == slot;
}

int gyrei_sockets_add(gyrei_sockets *sockets, const gyrei_socket *socket)
{
    if (sockets->count == sockets->room) {
        const uint32_t room = sockets->room == 0 ? 8 : 2 * sockets->room;
        gyrei_socket *larger = realloc(sockets->all, room * sizeof(*larger));

        if (larger == NULL)
            return GYRE_ENOMEM;
        sockets->all = larger;
        sockets->room = room;
    }
    sockets->all[sockets->count++] = *socket;
    return 0;
}

/* ---- binding ---- */

static int bind_once(const gyre_address *address, bool share_port)
{
    const int family = address->u.any.sa_family;
    const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int on = 1;
    const int off = 0;
    int error = 0;

    if (fd < 0)
        return last_error();
    if (family != AF_UNIX)
        error = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (error == 0 && share_port)
        error = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (error == 0 && family == AF_INET6)
        error = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (error == 0)
        error = bind(fd, &address->u.any, address->len);
    if (error == 0)
        return fd;
    error = last_error();
    close(fd);
    return error;
}

/*
 * SO_REUSEPORT would let two clusters share a port by mistake, so a socket without it is bound
 * first: that fails while anybody listens. The workers of a master that was killed need a moment to
 * go, and a ring of theirs some more: it is tried for a while.
 */
static int bind_first(const gyre_address *address)
{
    const struct timespec pause = {.tv_nsec = BIND_PAUSE_NS};
    int fd = GYRE_EADDRINUSE;

    for (int i = 0; fd == GYRE_EADDRINUSE && i < BIND_TRIES; i++) {
        if (i > 0)
            nanosleep(&pause, NULL);
        fd = bind_once(address, false);
    }
    if (fd < 0 || address->u.any.sa_family == AF_UNIX)
        return fd;
    close(fd);
    return bind_once(address, true);
}

/* A path whose server was killed is in the way of the next one; anything else stays. */
static void remove_stale(const gyre_address *address)
{
    struct stat info;
    int fd;

    if (address->u.any.sa_family != AF_UNIX || address->u.local.sun_path[0] == '\0' ||
        lstat(address->u.local.sun_path, &info) != 0 || !S_ISSOCK(info.st_mode))
        return;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, &address->u.any, address->len) != 0 && errno == ECONNREFUSED)
        (void)unlink(address->u.local.sun_path);
    close(fd);
}

/* Makes `fd` listen and keeps it. It is closed on error. */
static int keep(gyrei_sockets *sockets, const gyrei_socket *socket)
{
    int error;

    if (socket->fd < 0)
        return socket->fd;
    error = listen(socket->fd, INT32_MAX) == 0 ? 0 : last_error();
    if (error == 0)
        error = gyrei_sockets_add(sockets, socket);
    if (error != 0)
        close(socket->fd);
    return error;
}

static int get_address(int fd, gyre_address *address)
{
    socklen_t len = sizeof(address->u);

    if (getsockname(fd, &address->u.any, &len) != 0)
        return last_error();
    address->len = len;
    return 0;
}

static int open_address(gyrei_sockets *sockets, const gyre_address *address)
{
    gyrei_socket first = {.address = sockets->address_count,
                          .shared = address->u.any.sa_family == AF_UNIX};
    int error;

    remove_stale(address);
    first.fd = bind_first(address);
    error = keep(sockets, &first);
    if (error != 0)
        return error;
    sockets->addresses[first.address] = *address;
    sockets->address_count++;
    return first.shared ? 0 : get_address(first.fd, &sockets->addresses[first.address]);
}

static bool has_socket(const gyrei_sockets *sockets, uint32_t address, uint32_t slot)
{
    for (uint32_t i = 0; i < sockets->count; i++) {
        if (sockets->all[i].address == address &&
            (sockets->all[i].shared || sockets->all[i].slot == slot))
            return true;
    }
    return false;
}

int gyrei_sockets_grow(gyrei_sockets *sockets, uint32_t slots)
{
    int error = 0;

    for (uint32_t address = 0; address < sockets->address_count; address++) {
        for (uint32_t slot = 0; error == 0 && slot < slots; slot++) {
            gyrei_socket one = {.address = address, .slot = slot};

            if (has_socket(sockets, address, slot))
                continue;
            one.fd = bind_once(&sockets->addresses[address], true);
            error = keep(sockets, &one);
        }
    }
    return error;
}

/* ---- from systemd ---- */

static unsigned long number_of(const char *name)
{
    const char *text = getenv(name);

    return text != NULL ? strtoul(text, NULL, 10) : 0;
}

static int inherit(gyrei_sockets *sockets)
{
    const unsigned long count = number_of("LISTEN_FDS");

    if (count == 0 || count > GYREI_ADDRESSES_MAX ||
        number_of("LISTEN_PID") != (unsigned long)getpid())
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        const gyrei_socket one = {.fd = FIRST_INHERITED + (int)i, .address = i, .shared = true};
        int error = get_address(one.fd, &sockets->addresses[i]);

        if (error == 0 && fcntl(one.fd, F_SETFD, FD_CLOEXEC) != 0)
            error = last_error();
        if (error == 0)
            error = keep(sockets, &one);
        if (error != 0)
            return error;
        sockets->address_count++;
    }
    sockets->inherited = true;
    return 0;
}

int gyrei_sockets_open(gyrei_sockets *sockets, const gyre_address *addresses,
                       uint32_t address_count, uint32_t slots)
{
    int error;

    *sockets = (gyrei_sockets){.count = 0};
    error = inherit(sockets);
    for (uint32_t i = 0; error == 0 && !sockets->inherited && i < address_count; i++)
        error = open_address(sockets, &addresses[i]);
    if (error == 0)
        error = gyrei_sockets_grow(sockets, slots);
    if (error != 0)
        gyrei_sockets_close(sockets);
    return error;
}

void gyrei_sockets_close(gyrei_sockets *sockets)
{
    for (uint32_t i = 0; i < sockets->count; i++)
        close(sockets->all[i].fd);
    for (uint32_t i = 0; i < sockets->address_count && !sockets->inherited; i++) {
        const gyre_address *address = &sockets->addresses[i];

        if (address->u.any.sa_family == AF_UNIX && address->u.local.sun_path[0] != '\0')
            (void)unlink(address->u.local.sun_path);
    }
    free(sockets->all);
    *sockets = (gyrei_sockets){.count = 0};
}
