/*
 * The access log, in the combined format that every analyser reads.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    LINES_MAX = 1 << 20, /* that may wait for a slow reader */
    WRITE_BYTES = 4096   /* of which poll(2) promises that a pipe takes them without waiting */
};

static bool is_writable(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLOUT};

    return poll(&entry, 1, 0) == 1 && (entry.revents & POLLOUT) != 0;
}

static void give_up(access_log *log)
{
    fprintf(stderr, "gyre: access log: %s; no further lines\n", strerror(errno));
    log->fd = -1;
    log->len = 0;
}

/* As many lines as one write takes: other threads may write to the same file between two. */
static size_t whole_lines(const char *lines, size_t len)
{
    const char *end;

    if (len <= WRITE_BYTES)
        return len;
    end = memrchr(lines, '\n', WRITE_BYTES);
    return end != NULL ? (size_t)(end - lines) + 1 : WRITE_BYTES;
}

static void write_lines(access_log *log)
{
    size_t at = 0;

    while (log->fd >= 0 && at < log->len && is_writable(log->fd)) {
        const size_t len = whole_lines(log->lines + at, log->len - at);
        const ssize_t written = write(log->fd, log->lines + at, len);

        if (written < 0 && errno != EINTR && errno != EAGAIN)
            give_up(log);
        at += written > 0 ? (size_t)written : 0;
        if (written < 0)
            break;
    }
    if (log->len > at)
        memmove(log->lines, log->lines + at, log->len - at);
    log->len = log->len > at ? log->len - at : 0;
}

static void before_wait(gyre_hook *hook)
{
    access_log *log = hook->data;

    if (log->len > 0)
        write_lines(log);
}

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
}

int access_log_open(access_log *log, gyre_loop *loop, const char *path)
{
    int error;

    *log = (access_log){.fd = -1};
    log->fd = strcmp(path, "-") == 0 ? STDOUT_FILENO : open_file(path);
    if (log->fd < 0)
        return -errno;
    error = gyre_hook_init(loop, &log->before_wait, GYRE_HOOK_PREPARE);
    if (error != 0)
        return error;
    log->before_wait.data = log;
    gyre_handle_set_name(&log->before_wait.handle, "access log");
    gyre_hook_start(&log->before_wait, before_wait);
    gyre_unref(&log->before_wait.handle);
    return 0;
}

void access_log_reopen(access_log *log, const char *path)
{
    int fd;

    if (log->fd <= STDERR_FILENO)
        return;
    if (log->len > 0)
        write_lines(log);
    fd = open_file(path);
    if (fd < 0) {
        fprintf(stderr, "gyre: %s: %s; the access log goes on where it was\n", path,
                strerror(errno));
        return;
    }
    if (log->fd >= 0)
        close(log->fd);
    log->fd = fd;
}

void access_log_close(access_log *log)
{
    if (log->len > 0)
        write_lines(log);
    if (log->dropped > 0)
        fprintf(stderr, "gyre: access log: %llu lines were dropped\n",
                (unsigned long long)log->dropped);
    if (log->fd > STDERR_FILENO)
        close(log->fd);
    free(log->lines);
    if (gyre_handle_loop(&log->before_wait.handle) != NULL)
        gyre_close(&log->before_wait.handle, NULL);
    log->fd = -1;
}

/* ---- a line ---- */

/* Copies `text`; what could end a field or a line is written as \xNN. */
static size_t escape(char *to, size_t max, const char *text)
{
    size_t len = 0;

    for (; *text != '\0' && len + 5 < max; text++) {
        const unsigned char byte = (unsigned char)*text;

        if (byte < 0x20 || byte >= 0x7f || byte == '"' || byte == '\\')
            len += (size_t)snprintf(to + len, max - len, "\\x%02X", byte);
        else
            to[len++] = (char)byte;
    }
    to[len] = '\0';
    return len;
}

static void format_client(gyre_http_request *request, char *text, size_t max)
{
    gyre_address peer;
    char *port;

    if (gyre_http_peer(request, &peer) != 0 || gyre_address_format(&peer, text, max) < 0 ||
        strncmp(text, "unix:", 5) == 0) {
        (void)snprintf(text, max, "-");
        return;
    }
    port = strrchr(text, ':');
    if (port != NULL)
        *port = '\0';
}

static size_t format_line(char *line, size_t max, gyre_http_request *request, int status,
                          uint64_t bytes)
{
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const time_t now = (time_t)(gyre_loop_wall_ns(gyre_http_loop(request)) / (int64_t)GYRE_SECOND);
    const char *referer = gyre_http_header_of(request, "referer");
    const char *agent = gyre_http_header_of(request, "user-agent");
    char client[GYRE_ADDRESS_TEXT_MAX];
    char target[1024];
    char from[512];
    char by[512];
    struct tm parts;

    format_client(request, client, sizeof(client));
    escape(target, sizeof(target), gyre_http_target(request));
    escape(from, sizeof(from), referer != NULL ? referer : "-");
    escape(by, sizeof(by), agent != NULL ? agent : "-");
    gmtime_r(&now, &parts);
    return (size_t)snprintf(
        line, max,
        "%s - - [%02d/%s/%04d:%02d:%02d:%02d +0000] \"%s %s HTTP/1.%d\" %d %llu \"%s\" \"%s\"\n",
        client, parts.tm_mday, months[parts.tm_mon % 12], parts.tm_year + 1900, parts.tm_hour,
        parts.tm_min, parts.tm_sec, gyre_http_method(request), target, gyre_http_minor(request),
        status, (unsigned long long)bytes, from, by);
}

void access_log_add(access_log *log, gyre_http_request *request, int status, uint64_t bytes)
{
    char line[4096];
    size_t len;

    if (log->fd < 0)
        return;
    len = format_line(line, sizeof(line), request, status, bytes);
    if (log->len + len > log->room && log->room < LINES_MAX) {
        const size_t room = log->room == 0 ? 1 << 16 : log->room * 2;
        char *lines = realloc(log->lines, room);

        if (lines != NULL) {
            log->lines = lines;
            log->room = room;
        }
    }
    if (log->len + len > log->room) {
        log->dropped++;
        return;
    }
    memcpy(log->lines + log->len, line, len);
    log->len += len;
}
