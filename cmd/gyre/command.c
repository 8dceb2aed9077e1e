/*
 * What the commands share: reading options, the first line, ending by a signal.
 */
#include "command.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int fail(int code, const char *format, ...)
{
    va_list arguments;

    fputs("gyre: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return code;
}

int show(const char *text)
{
    fputs(text, stdout);
    if (fflush(stdout) != 0)
        return fail(EXIT_FAILED, "standard output: %s", strerror(errno));
    return EXIT_OK;
}

int show_version(void)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "gyre %s\n", gyre_version());
    return show(text);
}

const char *option_value(const char *name, int argc, char **argv, int *at, bool *missing)
{
    const size_t len = strlen(name);
    const char *argument = argv[*at];

    if (strncmp(argument, name, len) != 0)
        return NULL;
    if (argument[len] == '=') {
        (*at)++;
        return argument + len + 1;
    }
    if (argument[len] != '\0')
        return NULL;
    if (*at + 1 == argc) {
        *missing = true;
        return NULL;
    }
    *at += 2;
    return argv[*at - 1];
}

static bool read_port(const char *text, uint16_t *port)
{
    char *end;
    const unsigned long number = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end != '\0' || number > UINT16_MAX)
        return false;
    *port = (uint16_t)number;
    return true;
}

static bool is_backend(const char *name)
{
    return strcmp(name, "epoll") == 0 || strcmp(name, "poll") == 0 || strcmp(name, "uring") == 0;
}

bool read_whole(const char *text, uint32_t min, uint32_t max, uint32_t *number)
{
    char *end;
    const unsigned long value = strtoul(text, &end, 10);

    *number = (uint32_t)value;
    return *text >= '0' && *text <= '9' && *end == '\0' && value >= min && value <= max;
}

bool read_count(const char *text, uint32_t max, uint32_t *number)
{
    cpu_set_t allowed;

    if (strcmp(text, "auto") != 0)
        return read_whole(text, 1, max, number);
    *number =
        sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? (uint32_t)CPU_COUNT(&allowed) : 1;
    return true;
}

int server_option(server_options *options, const char *help, int argc, char **argv, int *at,
                  bool *used)
{
    const char *name = argv[*at];
    bool missing = false;
    const char *value;

    *used = true;
    if (strcmp(name, "--help") == 0)
        return show(help);
    if (strcmp(name, "--version") == 0)
        return show_version();
    if ((value = option_value("--host", argc, argv, at, &missing)) != NULL) {
        options->host = value;
    } else if ((value = option_value("--unix", argc, argv, at, &missing)) != NULL) {
        options->local_path = value;
    } else if ((value = option_value("--port", argc, argv, at, &missing)) != NULL) {
        if (!read_port(value, &options->port))
            return fail(EXIT_USAGE, "--port: \"%s\" is no port", value);
    } else if ((value = option_value("--backend", argc, argv, at, &missing)) != NULL) {
        if (!is_backend(value))
            return fail(EXIT_USAGE, "--backend: \"%s\" is not epoll, poll or uring", value);
        options->backend = value;
    } else if ((value = option_value("--threads", argc, argv, at, &missing)) != NULL) {
        if (!read_count(value, THREADS_MAX, &options->threads))
            return fail(EXIT_USAGE, "--threads: \"%s\" is not 1 to %d, or auto", value,
                        THREADS_MAX);
    } else if (!missing) {
        const int code = workers_option(options, argc, argv, at, used, &missing);

        if (code != PARSED_GO_ON)
            return code;
    }
    return missing ? fail(EXIT_USAGE, "%s needs a value", name) : PARSED_GO_ON;
}

/*
 * Whether the server that `fd` was connected to is gone: a ring that is torn down keeps its
 * listener for a moment longer than its process, whose number the kernel noted (unix(7)).
 */
static bool is_orphaned(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 0 &&
           kill(peer.pid, 0) != 0 && errno == ESRCH;
}

/*
 * A socket that its server left behind, because it crashed, is in the way of the next one. It is
 * one if nobody takes a connection on it; anything else stays, and binding says that it is there.
 */
static void remove_stale_socket(const gyre_address *address, const char *path)
{
    struct stat info;
    int fd;

    if (lstat(path, &info) != 0 || !S_ISSOCK(info.st_mode))
        return;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, &address->u.any, address->len) == 0 ? is_orphaned(fd) : errno == ECONNREFUSED)
        (void)unlink(path);
    close(fd);
}

int server_address(const server_options *options, gyre_address *address)
{
    int error;

    if (options->local_path != NULL) {
        error = gyre_address_unix(address, options->local_path);
        if (error != 0)
            return fail(EXIT_USAGE, "--unix %s: %s", options->local_path, gyre_strerror(error));
        if (options->workers == 0) /* a cluster's master does it */
            remove_stale_socket(address, options->local_path);
        return 0;
    }
    error = gyre_address_ip(address, options->host, options->port);
    return error == 0 ? 0
                      : fail(EXIT_USAGE, "--host: \"%s\" is not a numeric address", options->host);
}

void announce(const char *scheme, const gyre_address *address, const gyre_loop *loop)
{
    char text[GYRE_ADDRESS_TEXT_MAX];

    if (gyre_address_format(address, text, sizeof(text)) < 0)
        text[0] = '\0';
    printf("listening on %s%s (backend %s)\n", strncmp(text, "unix:", 5) == 0 ? "" : scheme, text,
           gyre_loop_backend_name(loop));
    fflush(stdout);
}

void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

uint32_t descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT32_MAX)
        return INT32_MAX;
    return (uint32_t)limit.rlim_cur;
}

/* ---- ending by a signal ---- */

static void on_signal(gyre_signal *watcher, int signum)
{
    stop_signals *signals = watcher->data;

    (void)signum;
    if (++signals->count == 1)
        signals->stop(signals->data);
    else
        signals->stop_now(signals->data);
}

static const int numbers[2] = {SIGTERM, SIGINT};

static int start_watchers(gyre_loop *loop, stop_signals *signals)
{
    int error = 0;

    for (int i = 0; error == 0 && i < 2; i++) {
        error = gyre_signal_init(loop, &signals->watchers[i]);
        if (error != 0)
            break;
        signals->watchers[i].data = signals;
        gyre_unref(&signals->watchers[i].handle);
        error = gyre_signal_start(&signals->watchers[i], numbers[i], on_signal);
    }
    return error;
}

/*
 * What the last watcher restores when it closes is "ignored": a further signal must not turn an end
 * in good order into a death by signal. One that comes before the watchers wait is kept for them.
 */
int stop_signals_start(gyre_loop *loop, stop_signals *signals)
{
    sigset_t blocked;
    sigset_t before;
    int error;

    sigemptyset(&blocked);
    for (int i = 0; i < 2; i++)
        sigaddset(&blocked, numbers[i]);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    for (int i = 0; i < 2; i++)
        signal(numbers[i], SIG_IGN);
    error = start_watchers(loop, signals);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return error;
}

void stop_signals_close(stop_signals *signals)
{
    for (int i = 0; i < 2; i++) {
        if (!gyre_is_closing(&signals->watchers[i].handle))
            gyre_close(&signals->watchers[i].handle, NULL);
    }
}
