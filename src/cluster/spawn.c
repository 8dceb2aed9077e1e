/*
 * Starting a worker: the program anew, by fork and execve. Between the two only what is safe after
 * a fork is done; all texts are made before.
 */
#include "cluster/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TEXT_MAX = 1 << 16, EXIT_NOT_EXECUTED = 127 };

/* ---- messages ---- */

int gyrei_message_send(int fd, const gyrei_message *message)
{
    const ssize_t sent = send(fd, message, sizeof(*message), MSG_DONTWAIT | MSG_NOSIGNAL);

    return sent < 0 ? -errno : 0;
}

int gyrei_message_receive(int fd, gyrei_message *message)
{
    ssize_t len;

    do
        len = recv(fd, message, sizeof(*message), MSG_DONTWAIT);
    while (len < 0 && errno == EINTR);
    if (len < 0)
        return errno == EAGAIN ? GYRE_EAGAIN : 0;
    return len == (ssize_t)sizeof(*message) ? 1 : 0;
}

void gyrei_master_signals(sigset_t *set)
{
    static const int numbers[] = {SIGTERM, SIGINT,  SIGHUP,  SIGUSR1,
                                  SIGUSR2, SIGTTIN, SIGTTOU, SIGCHLD};

    sigemptyset(set);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaddset(set, numbers[i]);
}

/* ---- the command line ---- */

/* Reads a whole file of /proc, which tells no length. */
static char *read_all(const char *path, size_t *len)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = NULL;
    size_t room = 0;
    ssize_t got = 1;

    *len = 0;
    while (fd >= 0 && got > 0) {
        if (*len + 1 >= room) {
            char *larger = realloc(text, room = room == 0 ? 4096 : 2 * room);

            if (larger == NULL)
                break;
            text = larger;
        }
        got = read(fd, text + *len, room - *len - 1);
        *len += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0)
        close(fd);
    if (text != NULL)
        text[*len] = '\0';
    return text;
}

/* Where this program lies: as it was called, so that a link that is moved on counts. */
static char *own_path(const char *called_as)
{
    static const char deleted[] = " (deleted)";
    char text[PATH_MAX];
    char *path = NULL;
    ssize_t len;

    if (called_as[0] == '/' && access(called_as, X_OK) == 0)
        return strdup(called_as);
    if (strchr(called_as, '/') != NULL && access(called_as, X_OK) == 0) {
        if (getcwd(text, sizeof(text)) == NULL || asprintf(&path, "%s/%s", text, called_as) < 0)
            return NULL;
        return path;
    }
    len = readlink("/proc/self/exe", text, sizeof(text) - 1);
    if (len < 0)
        return NULL;
    text[len] = '\0';
    if ((size_t)len > strlen(deleted) && strcmp(text + len - strlen(deleted), deleted) == 0)
        text[(size_t)len - strlen(deleted)] = '\0';
    return strdup(text);
}

int gyrei_program_init(gyrei_program *program, const char *path)
{
    size_t len;
    size_t count = 0;

    *program = (gyrei_program){.text = read_all("/proc/self/cmdline", &len)};
    if (program->text == NULL || len == 0)
        return GYRE_ENOMEM;
    for (size_t at = 0; at < len; at++)
        count += program->text[at] == '\0';
    program->argv = calloc(count + 2, sizeof(*program->argv));
    if (program->argv == NULL)
        return GYRE_ENOMEM;
    count = 0;
    for (size_t at = 0; at < len; at += strlen(program->text + at) + 1)
        program->argv[count++] = program->text + at;
    program->path = path != NULL ? strdup(path) : own_path(program->argv[0]);
    return program->path != NULL ? 0 : GYRE_ENOMEM;
}

void gyrei_program_free(gyrei_program *program)
{
    free(program->text);
    free(program->argv);
    free(program->path);
    *program = (gyrei_program){.text = NULL};
}

/* ---- the environment ---- */

static bool is_ours(const char *variable, bool for_worker)
{
    static const char *const names[] = {GYREI_WORKER_VARIABLE "=",
                                        GYREI_MASTER_VARIABLE "=",
                                        "NOTIFY_SOCKET=",
                                        "WATCHDOG_USEC=",
                                        "WATCHDOG_PID=",
                                        "LISTEN_FDS=",
                                        "LISTEN_PID=",
                                        "LISTEN_FDNAMES="};
    const size_t count = for_worker ? sizeof(names) / sizeof(names[0]) : 2;

    for (size_t i = 0; i < count; i++) {
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    }
    return false;
}

char **gyrei_environment(const char *extra, bool for_worker)
{
    size_t count = 0;
    size_t at = 0;
    char **copy;

    while (environ[count] != NULL)
        count++;
    copy = calloc(count + 2, sizeof(*copy));
    if (copy == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (!is_ours(environ[i], for_worker))
            copy[at++] = environ[i];
    }
    if (extra != NULL)
        memcpy(&copy[at], &extra, sizeof(extra));
    return copy;
}

/* GYRE_WORKER=control slot generation, and for each socket descriptor:address */
static char *describe(const gyrei_spawn_options *options, int control)
{
    const gyrei_sockets *sockets = options->sockets;
    char *text = malloc(TEXT_MAX);
    int len;

    if (text == NULL)
        return NULL;
    len = snprintf(text, TEXT_MAX, GYREI_WORKER_VARIABLE "=%d %u %u", control, options->slot,
                   options->generation);
    for (uint32_t i = 0; i < sockets->count && len < TEXT_MAX; i++) {
        const gyrei_socket *socket = &sockets->all[i];

        if (gyrei_socket_is_served_by(socket, options->slot, options->count))
            len += snprintf(text + len, (size_t)(TEXT_MAX - len), " %d:%u", socket->fd,
                            socket->address);
    }
    if (len < TEXT_MAX)
        return text;
    free(text);
    return NULL;
}

/* ---- the child ---- */

static void keep_open(int fd)
{
    (void)fcntl(fd, F_SETFD, 0);
}

/*
 * Signals stay blocked until the worker is ready for them. Whose master dies before that is killed;
 * later it has more time, worker.c.
 */
static _Noreturn void become_worker(const gyrei_spawn_options *options, int control, char **env)
{
    const gyrei_sockets *sockets = options->sockets;
    gyrei_message failed = {.type = GYREI_MESSAGE_NOT_BEGUN};

    (void)signal(SIGALRM, SIG_DFL);
    (void)prctl(PR_SET_PDEATHSIG, SIGALRM);
    for (uint32_t i = 0; i < sockets->count; i++) {
        if (gyrei_socket_is_served_by(&sockets->all[i], options->slot, options->count))
            keep_open(sockets->all[i].fd);
    }
    keep_open(control);
    (void)execve(options->by_path ? options->program->path : "/proc/self/exe",
                 options->program->argv, env);
    failed.value = errno;
    (void)gyrei_message_send(control, &failed);
    _exit(EXIT_NOT_EXECUTED);
}

int gyrei_spawn(const gyrei_spawn_options *options, gyrei_spawned *spawned)
{
    char *description = NULL;
    char **env = NULL;
    int pair[2];
    int error = 0;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return -errno;
    description = describe(options, pair[1]);
    if (description != NULL)
        env = gyrei_environment(description, true);
    spawned->pid = env != NULL ? fork() : -1;
    if (spawned->pid == 0)
        become_worker(options, pair[1], env);
    if (spawned->pid < 0)
        error = env != NULL ? -errno : GYRE_ENOMEM;
    free(env);
    free(description);
    close(pair[1]);
    spawned->control = pair[0];
    if (error != 0)
        close(pair[0]);
    return error;
}
