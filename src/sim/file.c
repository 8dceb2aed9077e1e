/*
 * Descriptors: a host's table of files, and who waits for a file to change.
 *
 * A file lives while something refers to it: its descriptor, a request in the ring, a listener's
 * queue. So a request in flight keeps a socket open after close, as io_uring does.
 */
#include "sim/sim.h"

#include <stdlib.h>

enum { FIRST_FD = 3, FDS_MAX = 1024 };

void gyrei_sim_file_init(gyrei_sim_file *file, gyre_sim_host *host, gyrei_sim_kind kind)
{
    file->kind = kind;
    file->host = host;
    file->references = 1;
    file->fd = -1;
    gyrei_list_init(&file->watches);
}

static int lowest_free(gyre_sim_host *host)
{
    int fd = host->fd_first_free < FIRST_FD ? FIRST_FD : host->fd_first_free;

    while (fd < host->fd_room && host->fds[fd] != NULL)
        fd++;
    return fd;
}

static void grow(gyre_sim_host *host, int fd)
{
    const int before = host->fd_room;

    if (fd < before)
        return;
    host->fd_room = before == 0 ? 64 : before * 2;
    host->fds = gyrei_sim_resize(host->fds, (size_t)host->fd_room * sizeof(gyrei_sim_file *));
    for (int i = before; i < host->fd_room; i++)
        host->fds[i] = NULL;
}

int gyrei_sim_fd_take(gyrei_sim_file *file)
{
    gyre_sim_host *host = file->host;
    const uint32_t max = host->sim->options.fds_max;
    const int fd = lowest_free(host);

    if ((uint32_t)fd >= (max != 0 ? max : FDS_MAX))
        return GYRE_EMFILE;
    grow(host, fd);
    host->fds[fd] = file;
    host->fd_first_free = fd + 1;
    host->fd_count++;
    file->fd = fd;
    return fd;
}

gyrei_sim_file *gyrei_sim_fd_find(const gyre_sim_host *host, int fd)
{
    return fd >= 0 && fd < host->fd_room ? host->fds[fd] : NULL;
}

int gyrei_sim_fd_close(gyre_sim_host *host, int fd)
{
    gyrei_sim_file *file = gyrei_sim_fd_find(host, fd);

    if (file == NULL)
        return GYRE_EBADF;
    host->fds[fd] = NULL;
    host->fd_count--;
    if (fd < host->fd_first_free)
        host->fd_first_free = fd;
    gyrei_sim_file_unref(file);
    return 0;
}

void gyrei_sim_file_ref(gyrei_sim_file *file)
{
    file->references++;
}

void gyrei_sim_file_unref(gyrei_sim_file *file)
{
    GYRE_ASSERT(file->references > 0);
    if (--file->references > 0)
        return;
    /* As in an epoll set: a file that is closed is watched no more. */
    while (gyrei_list_pop(&file->watches) != NULL)
        ;
    if (file->kind == GYREI_SIM_SOCKET)
        gyrei_sim_socket_released(gyrei_sim_socket_of(file));
    else
        free(file);
}

void gyrei_sim_file_changed(gyrei_sim_file *file)
{
    gyre_link *link = file->watches.next;

    while (link != &file->watches) {
        gyrei_sim_watch *watch = GYRE_CONTAINER_OF(link, gyrei_sim_watch, link);

        link = link->next;
        watch->changed(watch);
    }
}

uint32_t gyrei_sim_file_events(const gyrei_sim_file *file)
{
    union {
        const gyrei_sim_file *seen;
        gyrei_sim_file *own;
    } cast = {.seen = file};

    if (file->kind == GYREI_SIM_SOCKET)
        return gyrei_sim_socket_events(gyrei_sim_socket_of(cast.own));
    return GYRE_POLL_OUT | (file->counter > 0 ? GYRE_POLL_IN : 0);
}

int gyrei_sim_eventfd(gyre_sim_host *host)
{
    gyrei_sim_file *file = gyrei_sim_new(sizeof(*file));
    int fd;

    gyrei_sim_file_init(file, host, GYREI_SIM_EVENTFD);
    fd = gyrei_sim_fd_take(file);
    if (fd < 0)
        gyrei_sim_file_unref(file);
    return fd;
}

void gyrei_sim_files_drop(gyre_sim_host *host, bool silent)
{
    for (int fd = 0; fd < host->fd_room; fd++) {
        gyrei_sim_file *file = host->fds[fd];

        if (file == NULL)
            continue;
        if (file->kind == GYREI_SIM_SOCKET)
            gyrei_sim_socket_of(file)->silent = silent;
        GYRE_ASSERT(file->references == 1);
        (void)gyrei_sim_fd_close(host, fd);
    }
    GYRE_ASSERT(host->fd_count == 0);
}
