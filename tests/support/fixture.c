/*
 * The loop, the journal, the clocks and the children that tests share.
 */
#include "fixture.h"

#include "child.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOURNAL_BYTES = 4096, LASTING_MAX = 65536, FDS_MAX = 8192 };

gyre_loop *loop;
static void *lasting_memory[LASTING_MAX];
static size_t lasting_count;
static int lasting_fds[FDS_MAX];
static size_t fd_count;
static char words[JOURNAL_BYTES];
static size_t words_len;

int loop_set_up(void **state)
{
    (void)state;
    words_len = 0;
    words[0] = '\0';
    return gyre_loop_init(&loop, NULL);
}

int loop_tear_down(void **state)
{
    int error = 0;

    (void)state;
    if (loop != NULL)
        error = gyre_loop_shutdown(loop, 20 * GYRE_SECOND);
    loop = NULL;
    if (error != 0) {
        print_error("shutdown: %s\n", gyre_strerror(error));
        return error;
    }
    while (fd_count > 0)
        close(lasting_fds[--fd_count]);
    while (lasting_count > 0)
        free(lasting_memory[--lasting_count]);
    return 0;
}

void *lasting(size_t bytes)
{
    void *memory = calloc(1, bytes);

    assert_non_null(memory);
    assert_true(lasting_count < LASTING_MAX);
    lasting_memory[lasting_count++] = memory;
    return memory;
}

void journal(const char *word)
{
    const size_t len = strlen(word);

    if (words_len + len + 2 > sizeof(words))
        return;
    if (words_len > 0)
        words[words_len++] = ' ';
    memcpy(words + words_len, word, len + 1);
    words_len += len;
}

void journal_check(const char *expected, const char *file, int line)
{
    const bool same = strcmp(words, expected) == 0;

    if (!same) {
        print_error("journal:  %s\nexpected: %s\n", words, expected);
        _fail(file, line);
    }
    words_len = 0;
    words[0] = '\0';
}

void journal_timer(gyre_timer *timer)
{
    journal(gyre_handle_name(&timer->handle));
}

void journal_hook(gyre_hook *hook)
{
    journal(gyre_handle_name(&hook->handle));
}

void journal_async(gyre_async *async)
{
    journal(gyre_handle_name(&async->handle));
}

void journal_close(gyre_handle *handle)
{
    journal(gyre_handle_name(handle));
}

void journal_deferred(gyre_deferred *deferred)
{
    journal(deferred->data);
}

void journal_post(gyre_post_node *node, int status)
{
    journal(status == 0 ? node->data : gyre_errname(status));
}

gyre_timer *timer_new(const char *name)
{
    gyre_timer *timer = lasting(sizeof(*timer));

    assert_int_equal(gyre_timer_init(loop, timer), 0);
    gyre_handle_set_name(&timer->handle, name);
    return timer;
}

gyre_hook *hook_new(const char *name, gyre_hook_phase phase)
{
    gyre_hook *hook = lasting(sizeof(*hook));

    assert_int_equal(gyre_hook_init(loop, hook, phase), 0);
    gyre_handle_set_name(&hook->handle, name);
    return hook;
}

gyre_async *async_new(const char *name, gyre_async_cb cb)
{
    gyre_async *async = lasting(sizeof(*async));

    assert_int_equal(gyre_async_init(loop, async, cb), 0);
    gyre_handle_set_name(&async->handle, name);
    return async;
}

/* The text that journal_deferred and journal_post read; nobody writes to it. */
static void *as_data(const char *name)
{
    return gyre_buf_init(name, 0).base;
}

gyre_deferred *deferred_new(const char *name)
{
    gyre_deferred *deferred = lasting(sizeof(*deferred));

    deferred->data = as_data(name);
    return deferred;
}

gyre_post_node *post_new(const char *name)
{
    gyre_post_node *node = lasting(sizeof(*node));

    node->data = as_data(name);
    return node;
}

int lasting_fd(int fd)
{
    assert_true(fd >= 0);
    assert_true(fd_count < FDS_MAX);
    lasting_fds[fd_count++] = fd;
    return fd;
}

void unix_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

void tcp_pair(int fds[2])
{
    const int type = SOCK_STREAM | SOCK_CLOEXEC;
    const int listener = socket(AF_INET, type, 0);
    gyre_address address;
    socklen_t len = sizeof(address.u.v4);

    assert_int_equal(gyre_address_ip(&address, NULL, 0), 0);
    assert_int_equal(bind(listener, &address.u.any, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, &address.u.any, &len), 0);
    fds[0] = socket(AF_INET, type, 0);
    assert_int_equal(connect(fds[0], &address.u.any, len), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    close(listener);
}

gyre_tcp *tcp_new(const char *name, int *peer)
{
    gyre_tcp *tcp = lasting(sizeof(*tcp));
    int fds[2];

    tcp_pair(fds);
    assert_int_equal(gyre_tcp_init(loop, tcp), 0);
    assert_int_equal(gyre_tcp_open(tcp, fds[0]), 0);
    gyre_handle_set_name(&tcp->handle, name);
    *peer = lasting_fd(fds[1]);
    return tcp;
}

gyre_pipe *pipe_new(const char *name, int *peer)
{
    gyre_pipe *local = lasting(sizeof(*local));
    int fds[2];

    unix_pair(fds);
    assert_int_equal(gyre_pipe_init(loop, local), 0);
    assert_int_equal(gyre_pipe_open(local, fds[0]), 0);
    gyre_handle_set_name(&local->handle, name);
    *peer = lasting_fd(fds[1]);
    return local;
}

gyre_poll *poll_new(const char *name, int *peer)
{
    gyre_poll *watcher = lasting(sizeof(*watcher));
    int fds[2];

    unix_pair(fds);
    assert_int_equal(gyre_poll_init(loop, watcher, lasting_fd(fds[0])), 0);
    gyre_handle_set_name(&watcher->handle, name);
    *peer = lasting_fd(fds[1]);
    return watcher;
}

bool backend_is(const char *name)
{
    return strcmp(gyre_loop_backend_name(loop), name) == 0;
}

uint64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * GYRE_SECOND + (uint64_t)now.tv_nsec;
}

int64_t wall_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * (int64_t)GYRE_SECOND + now.tv_nsec;
}

void burn_ns(uint64_t duration_ns)
{
    const uint64_t end = clock_ns() + duration_ns;

    while (clock_ns() < end)
        ;
}

unsigned slowness(void)
{
    const char *factor = getenv("GYRE_SLOW");
    const unsigned long value = factor != NULL ? strtoul(factor, NULL, 10) : 1;

    return value > 1 ? (unsigned)value : 1;
}

int child_wait(int pid)
{
    int status;

    if (waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int child_result(int (*body)(void))
{
    const pid_t pid = fork();

    if (pid == 0)
        child_exit(body());
    return pid < 0 ? -1 : child_wait(pid);
}

bool aborts(void (*body)(void))
{
    const pid_t pid = fork();

    if (pid == 0) {
        const struct rlimit none = {0, 0};

        setrlimit(RLIMIT_CORE, &none);
        dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
        body();
        _exit(0);
    }
    return pid > 0 && child_wait(pid) == -SIGABRT;
}
