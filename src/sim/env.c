/*
 * The table of system calls that a host's loops are given: descriptors to files, and everything
 * that goes wrong at the door. What the library may call is here or says GYRE_ENOSYS.
 */
#include "sim/sim.h"

#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>

/* What a call takes of virtual time, and what reading a clock does. */
enum { CALL_NS = 250, CLOCK_NS = 20 };

static const int64_t wall_offset_ns = INT64_C(1700000000) * INT64_C(1000000000);

uint64_t gyrei_sim_clock(gyre_sim_host *host)
{
    gyre_sim *sim = host->sim;

    /* Time goes on while somebody waits for it to. */
    sim->now_ns += CLOCK_NS;
    return sim->now_ns < host->frozen_until_ns ? host->frozen_ns : sim->now_ns;
}

static gyre_sim_host *enter(const gyrei_env *env)
{
    gyre_sim_host *host = gyrei_sim_host_of(env);

    gyrei_sim_thread_preempt(host->sim);
    host->sim->now_ns += CALL_NS;
    return host;
}

/* ---- what may befall a new descriptor ---- */

int gyrei_sim_new_fd_fault(gyre_sim *sim)
{
    if (gyrei_sim_strikes(sim, GYRE_SIM_EMFILE))
        return GYRE_EMFILE;
    if (gyrei_sim_strikes(sim, GYRE_SIM_ENFILE))
        return GYRE_ENFILE;
    if (gyrei_sim_strikes(sim, GYRE_SIM_ENOBUFS))
        return GYRE_ENOBUFS;
    return gyrei_sim_strikes(sim, GYRE_SIM_ENOMEM) ? GYRE_ENOMEM : 0;
}

/* ---- sockets ---- */

static int sim_socket(const gyrei_env *env, int family, int type, int protocol)
{
    gyre_sim_host *host = enter(env);
    const int error = gyrei_sim_new_fd_fault(host->sim);
    gyrei_sim_socket *socket;
    int fd;

    (void)protocol;
    if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
        return GYRE_EAFNOSUPPORT;
    if (type != SOCK_STREAM)
        return GYRE_EPROTONOSUPPORT;
    if (error != 0)
        return error;
    socket = gyrei_sim_socket_new(host, family);
    fd = gyrei_sim_fd_take(&socket->file);
    if (fd < 0)
        gyrei_sim_file_unref(&socket->file);
    gyrei_sim_note(host->sim, host, "socket", fd, family);
    return fd;
}

static int sim_bind(const gyrei_env *env, int fd, const gyre_address *address)
{
    const gyre_sim_host *host = enter(env);
    int error;
    gyrei_sim_socket *socket = gyrei_sim_socket_find(host, fd, &error);

    if (socket != NULL)
        error = gyrei_sim_bind(socket, address);
    gyrei_sim_note(host->sim, host, "bind", fd, error);
    return error;
}

static int sim_listen(const gyrei_env *env, int fd, int backlog)
{
    const gyre_sim_host *host = enter(env);
    int error;
    gyrei_sim_socket *socket = gyrei_sim_socket_find(host, fd, &error);

    return socket != NULL ? gyrei_sim_listen(socket, backlog) : error;
}

static int sim_accept(const gyrei_env *env, int fd)
{
    const gyre_sim_host *host = enter(env);
    int error;
    gyrei_sim_socket *socket = gyrei_sim_socket_find(host, fd, &error);

    return socket != NULL ? gyrei_sim_accept(socket) : error;
}

static int sim_connect(const gyrei_env *env, int fd, const struct sockaddr *address, uint32_t len)
{
    const gyre_sim_host *host = enter(env);
    int error;
    gyrei_sim_socket *socket = gyrei_sim_socket_find(host, fd, &error);

    return socket != NULL ? gyrei_sim_connect(socket, address, len) : error;
}

static int64_t sim_recv(const gyrei_env *env, int fd, void *base, size_t len)
{
    const gyre_sim_host *host = enter(env);
    int error;
    gyrei_sim_socket *socket = gyrei_sim_socket_find(host, fd, &error);

    return socket != NULL ? gyrei_sim_recv(socket, base, len) : error;
}

static int64_t sim_sendv(const gyrei_env *env, int fd, const gyre_buf *bufs, uint32_t count)
{
    const gyre_sim_host *host = enter(env);
    int error;
    gyrei_sim_socket *socket = gyrei_sim_socket_find(host, fd, &error);

    if (socket == NULL)
        return error;
    /* A completion backend tries sends too: this one says so, and an operation does the rest. */
    if (gyrei_sim_strikes(host->sim, GYRE_SIM_SEND_BLOCKED))
        return GYRE_EAGAIN;
    return gyrei_sim_send(socket, bufs, count);
}

static int64_t sim_send(const gyrei_env *env, int fd, const void *base, size_t len)
{
    const gyre_buf buf = gyre_buf_init(base, len);

    return sim_sendv(env, fd, &buf, 1);
}

static int sim_shutdown(const gyrei_env *env, int fd, int how)
{
    const gyre_sim_host *host = enter(env);
    int error;
    gyrei_sim_socket *socket = gyrei_sim_socket_find(host, fd, &error);

    return socket != NULL ? gyrei_sim_shutdown(socket, how) : error;
}

static int sim_local_address(const gyrei_env *env, int fd, gyre_address *address)
{
    const gyre_sim_host *host = enter(env);
    int error;
    const gyrei_sim_socket *socket = gyrei_sim_socket_find(host, fd, &error);

    if (socket == NULL)
        return error;
    *address = socket->local;
    return 0;
}

static int sim_peer_address(const gyrei_env *env, int fd, gyre_address *address)
{
    const gyre_sim_host *host = enter(env);
    int error;
    const gyrei_sim_socket *socket = gyrei_sim_socket_find(host, fd, &error);

    if (socket == NULL)
        return error;
    if ((socket->flags & GYREI_SIM_CONNECTED) == 0)
        return GYRE_ENOTCONN;
    *address = socket->peer;
    return 0;
}

/* ---- options ---- */

static int sim_get_option(const gyrei_env *env, int fd, int level, int name, void *value,
                          uint32_t *len)
{
    const gyre_sim_host *host = enter(env);
    int error;
    gyrei_sim_socket *socket = gyrei_sim_socket_find(host, fd, &error);
    int answer = 0;

    if (socket == NULL)
        return error;
    if (*len < sizeof(answer))
        return GYRE_EINVAL;
    if (level == SOL_SOCKET && name == SO_ERROR)
        answer = gyrei_sim_socket_error(socket);
    else if (level == SOL_SOCKET && name == SO_TYPE)
        answer = SOCK_STREAM;
    else if (level == SOL_SOCKET && name == SO_DOMAIN)
        answer = socket->family;
    else if (level == SOL_SOCKET && name == SO_ACCEPTCONN)
        answer = (socket->flags & GYREI_SIM_LISTENING) != 0;
    memcpy(value, &answer, sizeof(answer));
    *len = sizeof(answer);
    return 0;
}

static int sim_set_option(const gyrei_env *env, int fd, int level, int name, const void *value,
                          uint32_t len)
{
    const gyre_sim_host *host = enter(env);
    int error;
    gyrei_sim_socket *socket = gyrei_sim_socket_find(host, fd, &error);

    if (socket == NULL)
        return error;
    if (level == SOL_SOCKET && name == SO_LINGER && len == sizeof(struct linger)) {
        struct linger linger;

        memcpy(&linger, value, sizeof(linger));
        if (linger.l_onoff != 0 && linger.l_linger == 0)
            socket->flags |= GYREI_SIM_LINGER_RESET;
    } else if (level == SOL_SOCKET && name == SO_REUSEPORT) {
        socket->flags |= GYREI_SIM_REUSEPORT;
    }
    return 0;
}

static int sim_adopt(const gyrei_env *env, int fd)
{
    return gyrei_sim_fd_find(enter(env), fd) != NULL ? 0 : GYRE_EBADF;
}

static int sim_close(const gyrei_env *env, int fd)
{
    gyre_sim_host *host = enter(env);

    gyrei_sim_note(host->sim, host, "close", fd, 0);
    return gyrei_sim_fd_close(host, fd);
}

static int sim_unlink(const gyrei_env *env, const char *path)
{
    return gyrei_sim_unlink(enter(env), path);
}

/* ---- files: a host has none ---- */

static int sim_openat2(const gyrei_env *env, int directory, const char *path,
                       const struct open_how *how)
{
    (void)enter(env);
    (void)directory;
    (void)path;
    (void)how;
    return GYRE_ENOENT;
}

static int sim_set_status(const gyrei_env *env, int fd, int flags)
{
    (void)flags;
    return gyrei_sim_fd_find(enter(env), fd) != NULL ? 0 : GYRE_EBADF;
}

static int sim_statx(const gyrei_env *env, int directory, const char *path, int flags,
                     uint32_t mask, struct statx *out)
{
    (void)enter(env);
    (void)directory;
    (void)path;
    (void)flags;
    (void)mask;
    (void)out;
    return GYRE_ENOENT;
}

static int64_t sim_pread(const gyrei_env *env, int fd, void *base, size_t len, uint64_t offset)
{
    (void)base;
    (void)len;
    (void)offset;
    return gyrei_sim_fd_find(enter(env), fd) != NULL ? GYRE_ESPIPE : GYRE_EBADF;
}

static int sim_file_mode(const gyrei_env *env, int fd, uint32_t *mode)
{
    const gyrei_sim_file *file = gyrei_sim_fd_find(enter(env), fd);

    if (file == NULL)
        return GYRE_EBADF;
    *mode = file->kind == GYREI_SIM_SOCKET ? S_IFSOCK | 0777 : 0600;
    return 0;
}

/* ---- wake-ups ---- */

static int sim_event_create(const gyrei_env *env)
{
    gyre_sim_host *host = enter(env);
    const int error = gyrei_sim_new_fd_fault(host->sim);

    return error != 0 ? error : gyrei_sim_eventfd(host);
}

static int sim_event_write(const gyrei_env *env, int fd)
{
    gyrei_sim_file *file = gyrei_sim_fd_find(enter(env), fd);

    if (file == NULL || file->kind != GYREI_SIM_EVENTFD)
        return GYRE_EBADF;
    file->counter++;
    if (file->wake != NULL)
        file->wake->woken = true;
    gyrei_sim_file_changed(file);
    return 0;
}

static int sim_event_read(const gyrei_env *env, int fd)
{
    gyrei_sim_file *file = gyrei_sim_fd_find(enter(env), fd);

    if (file == NULL || file->kind != GYREI_SIM_EVENTFD)
        return GYRE_EBADF;
    if (file->counter == 0)
        return GYRE_EAGAIN;
    file->counter = 0;
    return 0;
}

static int sim_event_renew(const gyrei_env *env, int fd)
{
    (void)env;
    (void)fd;
    return GYRE_ENOSYS;
}

/* ---- memory ---- */

static void *sim_map(const gyrei_env *env, size_t bytes)
{
    return gyrei_sim_memory_new(enter(env), bytes);
}

static void sim_unmap(const gyrei_env *env, void *pages, size_t bytes)
{
    gyrei_sim_memory_free(enter(env), pages, bytes);
}

static int sim_wipe_on_fork(const gyrei_env *env, void *pages, size_t bytes)
{
    (void)env;
    (void)pages;
    (void)bytes;
    return 0;
}

/* The poller and the ring are the simulator's own: nobody asks for epoll or io_uring here. */
static const gyrei_sys sys = {
    .socket = sim_socket,
    .bind = sim_bind,
    .listen = sim_listen,
    .accept = sim_accept,
    .connect = sim_connect,
    .recv = sim_recv,
    .send = sim_send,
    .sendv = sim_sendv,
    .shutdown = sim_shutdown,
    .local_address = sim_local_address,
    .peer_address = sim_peer_address,
    .get_option = sim_get_option,
    .set_option = sim_set_option,
    .adopt = sim_adopt,
    .close = sim_close,
    .unlink = sim_unlink,
    .openat2 = sim_openat2,
    .set_status = sim_set_status,
    .statx = sim_statx,
    .pread = sim_pread,
    .openat2_now = sim_openat2,
    .pread_now = sim_pread,
    .file_mode = sim_file_mode,
    .event_create = sim_event_create,
    .event_write = sim_event_write,
    .event_read = sim_event_read,
    .event_renew = sim_event_renew,
    .map = sim_map,
    .unmap = sim_unmap,
    .wipe_on_fork = sim_wipe_on_fork,
};

/* ---- the rest of the environment ---- */

static uint64_t sim_now_ns(const gyrei_env *env)
{
    return gyrei_sim_clock(gyrei_sim_host_of(env));
}

static int64_t sim_wall_ns(const gyrei_env *env)
{
    return wall_offset_ns + (int64_t)gyrei_sim_host_of(env)->sim->now_ns;
}

static uint64_t sim_random(const gyrei_env *env)
{
    return gyrei_sim_next(&gyrei_sim_host_of(env)->random);
}

static const char *sim_variable(const gyrei_env *env, const char *name)
{
    (void)env;
    (void)name;
    return NULL;
}

void gyrei_sim_env_init(gyre_sim_host *host)
{
    host->env = (gyrei_env){
        .sys = &sys,
        .now_ns = sim_now_ns,
        .wall_ns = sim_wall_ns,
        .random = sim_random,
        .variable = sim_variable,
        .backend = host->completion ? &gyrei_backend_sim_ring : &gyrei_backend_sim_poller,
        .threads = &gyrei_sim_threads,
        .job_start = gyrei_sim_job_start,
        .job_cancel = gyrei_sim_job_cancel,
        .signal_watch = gyrei_sim_signal_watch,
        .signal_unwatch = gyrei_sim_signal_unwatch,
    };
}
