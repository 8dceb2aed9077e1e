/*
 * The tests of exercise 06, on real pipes and sockets. What is to be ready is made ready before the
 * turn, so that no test waits. epoll_wait goes through __wrap_epoll_wait (see the file `flags`),
 * which looks at the timeout and can say that a signal came.
 */
#define _GNU_SOURCE
#include "check.h"
#include "exercise.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MANY = 80 };

typedef struct actor {
    int fd;       /* that it watches */
    int peer;     /* what is written there can be read from fd */
    int called;   /* times */
    size_t reads; /* bytes per call */
    uint32_t events;
    bool leaves;             /* ends its own watch in its handler */
    struct actor *ends;      /* whose watch it ends in its handler, unless that one ran before */
    struct actor *successor; /* who then gets the number of that descriptor */
} actor;

static struct reactor the_reactor;
static bool interrupt_next;
static int last_timeout_ms = -77;
static int waits;

int __real_epoll_wait(int epoll, struct epoll_event *events, int room, int timeout_ms);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int room, int timeout_ms);

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int room, int timeout_ms)
{
    last_timeout_ms = timeout_ms;
    waits++;
    if (interrupt_next) {
        interrupt_next = false;
        errno = EINTR;
        return -1;
    }
    return __real_epoll_wait(epoll, events, room, timeout_ms);
}

static void connect_pair(actor *who)
{
    int ends[2];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0, "no socketpair");
    who->fd = ends[0];
    who->peer = ends[1];
    who->reads = 64;
}

static void write_bytes(const actor *who, size_t count)
{
    static const char bytes[64];

    CHECK(write(who->peer, bytes, count) == (ssize_t)count, "the test cannot write");
}

static void on_ready(struct reactor *reactor, int fd, uint32_t events, void *data);

static void take_over(actor *old, actor *successor)
{
    const int number = old->fd;

    close(number);
    CHECK(dup2(successor->fd, number) == number, "the test cannot use the number again");
    successor->fd = number;
    CHECK_INT(reactor_watch(&the_reactor, number, EPOLLIN, on_ready, successor), 0,
              "reactor_watch of a new descriptor with a number used before");
}

static void on_ready(struct reactor *reactor, int fd, uint32_t events, void *data)
{
    actor *self = data;
    char bytes[64];

    CHECK(reactor == &the_reactor, "a handler was given another reactor");
    CHECK_INT(fd, self->fd, "the descriptor given to a handler");
    self->called++;
    self->events = events;
    if ((events & EPOLLIN) != 0 && self->reads > 0)
        CHECK(read(fd, bytes, self->reads) >= 0,
              "a handler was called, and there is nothing to read");
    if (self->leaves)
        CHECK_INT(reactor_unwatch(reactor, fd), 0, "reactor_unwatch by the handler itself");
    if (self->ends != NULL && self->ends->called == 0) {
        CHECK_INT(reactor_unwatch(reactor, self->ends->fd), 0, "reactor_unwatch of another one");
        if (self->successor != NULL)
            take_over(self->ends, self->successor);
    }
}

static void begin(void)
{
    memset(&the_reactor, 0xff, sizeof(the_reactor));
    CHECK_INT(reactor_init(&the_reactor), 0, "reactor_init");
}

static void watch_it(actor *who, uint32_t events)
{
    CHECK_INT(reactor_watch(&the_reactor, who->fd, events, on_ready, who), 0, "reactor_watch");
}

static void expect_turn(int called, const char *what)
{
    CHECK_INT(reactor_turn(&the_reactor, 0), called, what);
}

static void ready_is_called(void)
{
    actor a = {.called = 0};

    begin();
    connect_pair(&a);
    watch_it(&a, EPOLLIN);
    expect_turn(0, "handlers called when nothing is ready");
    write_bytes(&a, 5);
    expect_turn(1, "handlers called when one descriptor has five bytes");
    CHECK_INT(a.called, 1, "calls of its handler");
    CHECK((a.events & EPOLLIN) != 0, "the handler was not told EPOLLIN, but %u", a.events);
    expect_turn(0, "handlers called when all was read");
}

static void timeout_is_passed_on(void)
{
    actor a = {.called = 0};

    begin();
    connect_pair(&a);
    watch_it(&a, EPOLLIN);
    write_bytes(&a, 1);
    CHECK_INT(reactor_turn(&the_reactor, 1234), 1, "handlers called when one is ready");
    CHECK_INT(last_timeout_ms, 1234, "the timeout given to epoll_wait");
    CHECK_INT(waits, 1, "calls of epoll_wait in one turn");
}

static void rest_is_reported_again(void)
{
    actor a = {.called = 0};

    begin();
    connect_pair(&a);
    a.reads = 2;
    watch_it(&a, EPOLLIN);
    write_bytes(&a, 5);
    expect_turn(1, "handlers called, first turn: two of five bytes are read");
    expect_turn(1, "handlers called, second turn: three bytes are left");
    expect_turn(1, "handlers called, third turn: one byte is left");
    expect_turn(0, "handlers called, fourth turn: nothing is left");
}

static void interest_can_change(void)
{
    actor a = {.called = 0};
    actor b = {.called = 0};

    begin();
    connect_pair(&a);
    b = a;
    watch_it(&a, EPOLLOUT);
    expect_turn(1, "handlers called: an idle socket can always be written to");
    CHECK_INT(a.events, EPOLLOUT, "the events told to the handler");
    watch_it(&b, EPOLLIN);
    expect_turn(0, "handlers called when only reading is watched, and there is nothing to read");
    write_bytes(&b, 1);
    expect_turn(1, "handlers called when there is something to read");
    CHECK(a.called == 1 && b.called == 1, "the second watch has to get its own handler and data");
    CHECK_INT(reactor_unwatch(&the_reactor, b.fd), 0, "reactor_unwatch");
    CHECK_INT(reactor_run(&the_reactor), 0, "reactor_run when nothing is watched");
}

static void unwatched_is_silent(void)
{
    actor a = {.called = 0};

    begin();
    connect_pair(&a);
    CHECK_INT(reactor_unwatch(&the_reactor, a.fd), -1, "reactor_unwatch of what was never watched");
    watch_it(&a, EPOLLIN);
    write_bytes(&a, 1);
    CHECK_INT(reactor_unwatch(&the_reactor, a.fd), 0, "reactor_unwatch");
    CHECK_INT(reactor_unwatch(&the_reactor, a.fd), -1, "reactor_unwatch again");
    expect_turn(0, "handlers called after the watch was ended");
    watch_it(&a, EPOLLIN);
    expect_turn(1, "handlers called when it is watched again");
}

static void refused(void)
{
    actor a = {.called = 0};

    begin();
    connect_pair(&a);
    close(a.fd);
    CHECK_INT(reactor_watch(&the_reactor, a.fd, EPOLLIN, on_ready, &a), -1,
              "reactor_watch of a descriptor that is closed");
    CHECK_INT(reactor_unwatch(&the_reactor, a.fd), -1, "reactor_unwatch of it");
    CHECK_INT(reactor_run(&the_reactor), 0, "reactor_run when nothing is watched");
}

/* Whichever of the two is called first ends the other: exactly one runs. */
static void sibling_ends_it(void)
{
    actor a = {.called = 0};
    actor b = {.ends = &a};

    begin();
    connect_pair(&a);
    connect_pair(&b);
    a.ends = &b;
    watch_it(&a, EPOLLIN);
    watch_it(&b, EPOLLIN);
    write_bytes(&a, 1);
    write_bytes(&b, 1);
    expect_turn(1, "handlers called when two are ready, and the first ends the other's watch");
    CHECK_INT(a.called + b.called, 1, "calls of both");
}

static void number_used_again(void)
{
    actor quiet = {.called = 0};
    actor a = {.successor = &quiet};
    actor b = {.successor = &quiet, .ends = &a};

    begin();
    connect_pair(&a);
    connect_pair(&b);
    connect_pair(&quiet);
    quiet.reads = 0;
    a.ends = &b;
    watch_it(&a, EPOLLIN);
    watch_it(&b, EPOLLIN);
    write_bytes(&a, 1);
    write_bytes(&b, 1);
    CHECK_INT(reactor_turn(&the_reactor, 0) + 10 * quiet.called, 1,
              "handlers called (10 more for a call of the newcomer, who has nothing to read)");
    write_bytes(&quiet, 1);
    expect_turn(1, "handlers called when the newcomer has something to read");
    CHECK_INT(quiet.called, 1, "calls of the newcomer");
}

static void on_ready_frees(struct reactor *reactor, int fd, uint32_t events, void *data)
{
    (void)events;
    CHECK_INT(reactor_unwatch(reactor, fd), 0, "reactor_unwatch by the handler itself");
    close(fd);
    free(data);
}

static void leaves_in_handler(void)
{
    actor *a = calloc(1, sizeof(*a));
    actor b = {.leaves = true};

    begin();
    CHECK(a != NULL, "no memory");
    connect_pair(a);
    connect_pair(&b);
    write_bytes(a, 1);
    write_bytes(&b, 1);
    CHECK_INT(reactor_watch(&the_reactor, a->fd, EPOLLIN, on_ready_frees, a), 0, "reactor_watch");
    watch_it(&b, EPOLLIN);
    CHECK_INT(reactor_run(&the_reactor), 0, "reactor_run: both handlers end their own watch");
    expect_turn(0, "handlers called after that");
}

static void peer_has_gone(void)
{
    actor a = {.leaves = true};

    begin();
    connect_pair(&a);
    watch_it(&a, EPOLLIN);
    close(a.peer);
    expect_turn(1, "handlers called when the peer has closed its end");
    CHECK((a.events & EPOLLHUP) != 0, "the handler was not told EPOLLHUP, but %u", a.events);
}

static void signal_is_no_error(void)
{
    actor a = {.leaves = true};

    begin();
    connect_pair(&a);
    watch_it(&a, EPOLLIN);
    write_bytes(&a, 1);
    interrupt_next = true;
    expect_turn(0, "reactor_turn when a signal has ended the sleep");
    CHECK_INT(a.called, 0, "calls of a handler in that turn");
    interrupt_next = true;
    CHECK_INT(reactor_run(&the_reactor), 0, "reactor_run with a signal in its first turn");
    CHECK_INT(a.called, 1, "calls of the handler in the end");
}

static void many_are_served(void)
{
    static actor all[MANY];

    begin();
    for (int i = 0; i < MANY; i++) {
        all[i].leaves = true;
        connect_pair(&all[i]);
        watch_it(&all[i], EPOLLIN);
        write_bytes(&all[i], 1);
    }
    CHECK_INT(reactor_run(&the_reactor), 0, "reactor_run with 80 descriptors that are ready");
    for (int i = 0; i < MANY; i++)
        CHECK_INT(all[i].called, 1, "calls of each of 80 handlers");
}

static void closes_its_set(void)
{
    actor a = {.called = 0};
    int epoll;

    begin();
    connect_pair(&a);
    watch_it(&a, EPOLLIN);
    epoll = the_reactor.epoll;
    CHECK((fcntl(epoll, F_GETFD) & FD_CLOEXEC) != 0, "the epoll set would be inherited by programs"
                                                     " that this one starts");
    reactor_close(&the_reactor);
    CHECK(fcntl(epoll, F_GETFD) < 0, "the epoll set is still open after reactor_close");
    CHECK(fcntl(a.fd, F_GETFD) >= 0, "reactor_close has closed a descriptor that is not its own");
}

static const check_test tests[] = {
    {"the handler of a ready descriptor is called", ready_is_called,
     "epoll_create1, then epoll_ctl ADD; epoll_wait gives back the event.data you put in."},
    {"a turn is one epoll_wait with the timeout that was asked for", timeout_is_passed_on,
     "pass timeout_ms on as it is: epoll_wait has the same -1 and 0."},
    {"what was not read is reported again", rest_is_reported_again,
     "that is epoll without EPOLLET: do not set it."},
    {"watching again changes events, handler and data", interest_can_change,
     "a descriptor in the set already needs EPOLL_CTL_MOD: ADD says EEXIST. Count it once."},
    {"after unwatch the handler is not called", unwatched_is_silent,
     "EPOLL_CTL_DEL, and handler = NULL. Not watched: -1."},
    {"a watch that the kernel refuses is not there", refused,
     "change your table only after epoll_ctl has said 0."},
    {"a watch that another handler ended in this turn is not called", sibling_ends_it,
     "the events in your array are older than the last handler: look at the table each time."},
    {"a new watch with an old number does not get the old one's event", number_used_again,
     "put a generation beside the descriptor into event.data.u64, and compare before the call."},
    {"a handler may end its own watch and free its data", leaves_in_handler,
     "copy what you need of the watch before the call, and touch nothing of it after."},
    {"the end of the peer is reported", peer_has_gone,
     "EPOLLHUP and EPOLLERR come unasked: do not filter them out."},
    {"a signal during the sleep is no error", signal_is_no_error,
     "epoll_wait returns -1 with errno EINTR: that is a turn without events."},
    {"80 ready descriptors are served by a few turns, and the run ends", many_are_served,
     "what does not fit into the array comes with the next epoll_wait; end when count is 0."},
    {"close gives back the epoll set, and only that", closes_its_set,
     "EPOLL_CLOEXEC at its making; close(reactor->epoll) at its end."},
};

int main(int argc, char **argv)
{
    return check_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
