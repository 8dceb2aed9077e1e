/*
 * Signals: one hub for the process, and for each loop the watchers that it serves.
 *
 *   kernel --> handler --> every subscription of the number: pending = 1, wake its loop
 *   loop's thread <-- waker: for each number that is pending, call the loop's watchers
 *
 * The hub is the library's one hidden global, because a handler has no other way to find anything.
 * Subscriptions (a loop's interest in a number) are never freed, only used again, so that the
 * handler walks their list without a lock; `readers` counts handlers at work, and who takes a loop
 * out of a subscription waits for it to be zero before the loop's door goes. Only async-signal-safe
 * things happen in the handler: atomics, and the write of gyre_async_send.
 */
#include "gyre/signal.h"

#include "core/async.h"
#include "core/loop.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

enum { SIGNALS = 65, FLAG_ONESHOT = 1 };

typedef struct subscription {
    struct subscription *next; /* set once, before it is published */
    gyre_remote *remote;       /* atomic; NULL: free to be used again */
    uint32_t pending;          /* atomic */
} subscription;

static struct {
    pthread_mutex_t lock;
    pthread_once_t once;
    uint32_t readers;              /* atomic: handlers at work */
    subscription *first[SIGNALS];  /* atomic */
    uint32_t subscribers[SIGNALS]; /* under the lock, as all below */
    struct sigaction before[SIGNALS];
} hub = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

/* What a loop keeps: loop->signals. */
typedef struct loop_signals {
    gyre_remote *waker;
    gyre_link watchers[SIGNALS];
    uint32_t watcher_counts[SIGNALS]; /* on that list, or due for their callback in a batch */
    subscription *subscriptions[SIGNALS];
} loop_signals;

/* ---- the handler ---- */

static void on_signal(int signum)
{
    const int before = errno;

    __atomic_add_fetch(&hub.readers, 1, __ATOMIC_SEQ_CST);
    for (subscription *each = __atomic_load_n(&hub.first[signum], __ATOMIC_ACQUIRE); each != NULL;
         each = each->next) {
        gyre_remote *remote = __atomic_load_n(&each->remote, __ATOMIC_SEQ_CST);

        if (remote == NULL)
            continue;
        __atomic_store_n(&each->pending, 1, __ATOMIC_RELEASE);
        (void)gyre_async_send(remote);
    }
    __atomic_sub_fetch(&hub.readers, 1, __ATOMIC_SEQ_CST);
    errno = before;
}

/* ---- the hub, under its lock ---- */

static void lock_hub(void)
{
    pthread_mutex_lock(&hub.lock);
}

static void unlock_hub(void)
{
    pthread_mutex_unlock(&hub.lock);
}

/* In a child no other thread is left: neither a holder of the lock nor a handler at work. */
static void child_of_fork(void)
{
    __atomic_store_n(&hub.readers, 0, __ATOMIC_SEQ_CST);
    unlock_hub();
}

static void register_fork_handlers(void)
{
    pthread_atfork(lock_hub, unlock_hub, child_of_fork);
}

static subscription *free_subscription(int signum)
{
    subscription *each = hub.first[signum];

    while (each != NULL && each->remote != NULL)
        each = each->next;
    if (each != NULL)
        return each;
    each = calloc(1, sizeof(*each)); /* not the loop's allocator: it outlives every loop */
    if (each == NULL)
        return NULL;
    each->next = hub.first[signum];
    __atomic_store_n(&hub.first[signum], each, __ATOMIC_RELEASE);
    return each;
}

/* The first subscriber of a number installs the handler. */
static int install(int signum)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    if (hub.subscribers[signum] > 0)
        return 0;
    sigfillset(&action.sa_mask);
    return sigaction(signum, &action, &hub.before[signum]) == 0 ? 0 : GYRE_EINVAL;
}

static int subscribe_process(loop_signals *signals, int signum)
{
    subscription *mine;
    int error = GYRE_ENOMEM;

    lock_hub();
    mine = free_subscription(signum);
    if (mine != NULL) {
        __atomic_store_n(&mine->pending, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&mine->remote, signals->waker, __ATOMIC_SEQ_CST);
        error = install(signum);
        if (error != 0)
            __atomic_store_n(&mine->remote, NULL, __ATOMIC_SEQ_CST);
    }
    if (error == 0) {
        hub.subscribers[signum]++;
        signals->subscriptions[signum] = mine;
    }
    unlock_hub();
    return error;
}

/* On return no handler refers to the loop's door any more. */
static void unsubscribe_process(loop_signals *signals, int signum)
{
    lock_hub();
    if (--hub.subscribers[signum] == 0)
        (void)sigaction(signum, &hub.before[signum], NULL);
    __atomic_store_n(&signals->subscriptions[signum]->remote, NULL, __ATOMIC_SEQ_CST);
    signals->subscriptions[signum] = NULL;
    while (__atomic_load_n(&hub.readers, __ATOMIC_SEQ_CST) > 0)
        sched_yield();
    unlock_hub();
}

/* ---- where the environment has signals of its own ---- */

static void deliver(void *ctx, int signum)
{
    loop_signals *signals = ctx;

    __atomic_store_n(&signals->subscriptions[signum]->pending, 1, __ATOMIC_RELEASE);
    (void)gyre_async_send(signals->waker);
}

static int subscribe(gyre_loop *loop, int signum)
{
    loop_signals *signals = loop->signals;

    if (loop->env->signal_watch == NULL)
        return subscribe_process(signals, signum);
    signals->subscriptions[signum] = gyrei_loop_alloc(loop, sizeof(subscription));
    if (signals->subscriptions[signum] == NULL)
        return GYRE_ENOMEM;
    loop->env->signal_watch(loop->env, signum, deliver, signals);
    return 0;
}

static void unsubscribe(gyre_loop *loop, int signum)
{
    loop_signals *signals = loop->signals;

    if (loop->env->signal_watch == NULL) {
        unsubscribe_process(signals, signum);
        return;
    }
    loop->env->signal_unwatch(loop->env, signum, signals);
    gyrei_loop_free(loop, signals->subscriptions[signum], sizeof(subscription));
    signals->subscriptions[signum] = NULL;
}

/* ---- the loop's side ---- */

static void call_back(gyre_loop *loop, gyre_signal *watcher)
{
    const int signum = watcher->signum;
    gyrei_frame frame;

    if ((watcher->flags & FLAG_ONESHOT) != 0)
        gyre_signal_stop(watcher);
    gyrei_callback_enter(loop, &frame, GYRE_HANDLE_SIGNAL, watcher, watcher->handle.name);
    watcher->cb(watcher, signum);
    gyrei_callback_leave(loop, &frame);
}

/* Each watcher goes back to the list before it is called: it may stop or close itself or others. */
static void call_watchers(gyre_loop *loop, gyre_link *watchers)
{
    gyre_link due;
    gyre_link *link;

    gyrei_list_init(&due);
    gyrei_list_splice(&due, watchers);
    while ((link = gyrei_list_pop(&due)) != NULL) {
        gyrei_list_append(watchers, link);
        call_back(loop, GYRE_CONTAINER_OF(link, gyre_signal, link));
    }
}

static void on_wake(gyre_loop *loop, void *context)
{
    loop_signals *signals = context;

    for (int signum = 1; signum < SIGNALS; signum++) {
        subscription *mine = signals->subscriptions[signum];

        if (mine != NULL && __atomic_exchange_n(&mine->pending, 0, __ATOMIC_ACQ_REL) != 0)
            call_watchers(loop, &signals->watchers[signum]);
    }
}

static void close_signals(gyre_loop *loop)
{
    loop_signals *signals = loop->signals;

    for (int signum = 1; signum < SIGNALS; signum++) {
        if (signals->subscriptions[signum] != NULL)
            unsubscribe(loop, signum);
    }
    gyrei_waker_close(signals->waker);
    gyrei_loop_free(loop, signals, sizeof(*signals));
    loop->signals = NULL;
}

static int need_signals(gyre_loop *loop)
{
    loop_signals *signals;
    int error;

    if (loop->signals != NULL)
        return 0;
    signals = gyrei_loop_alloc(loop, sizeof(*signals));
    if (signals == NULL)
        return GYRE_ENOMEM;
    error = gyrei_waker_init(loop, on_wake, signals, &signals->waker);
    if (error != 0) {
        gyrei_loop_free(loop, signals, sizeof(*signals));
        return error;
    }
    for (int signum = 0; signum < SIGNALS; signum++)
        gyrei_list_init(&signals->watchers[signum]);
    pthread_once(&hub.once, register_fork_handlers);
    loop->signals = signals;
    loop->signals_close = close_signals;
    return 0;
}

/* ---- the handle ---- */

static void signal_close(gyre_loop *loop, gyre_handle *handle)
{
    (void)loop;
    gyre_signal_stop(GYRE_CONTAINER_OF(handle, gyre_signal, handle));
}

static const gyrei_handle_class signal_class = {
    .kind = GYRE_HANDLE_SIGNAL,
    .bytes = sizeof(gyre_signal),
    .close = signal_close,
};

int gyre_signal_init(gyre_loop *loop, gyre_signal *watcher)
{
    int error;

    gyrei_loop_check(loop);
    error = need_signals(loop);
    if (error != 0)
        return error;
    gyrei_handle_init(loop, &watcher->handle, &signal_class);
    gyrei_list_init(&watcher->link);
    watcher->cb = NULL;
    watcher->signum = 0;
    watcher->flags = 0;
    return 0;
}

static int start(gyre_signal *watcher, int signum, gyre_signal_cb cb, uint32_t flags)
{
    gyre_loop *loop = watcher->handle.loop;
    loop_signals *signals = loop->signals;
    int error = 0;

    GYRE_ASSERT(cb != NULL);
    GYRE_ASSERT(!gyrei_handle_is_closing(&watcher->handle));
    gyrei_loop_check(loop);
    if (signum < 1 || signum >= SIGNALS || signum == SIGKILL || signum == SIGSTOP)
        return GYRE_EINVAL;
    if (signum != watcher->signum) {
        if (signals->subscriptions[signum] == NULL)
            error = subscribe(loop, signum);
        if (error != 0)
            return error;
        gyre_signal_stop(watcher);
        watcher->signum = signum;
        signals->watcher_counts[signum]++;
        gyrei_list_append(&signals->watchers[signum], &watcher->link);
        gyrei_handle_set_active(&watcher->handle, true);
    }
    watcher->cb = cb;
    watcher->flags = flags;
    return 0;
}

int gyre_signal_start(gyre_signal *watcher, int signum, gyre_signal_cb cb)
{
    return start(watcher, signum, cb, 0);
}

int gyre_signal_start_oneshot(gyre_signal *watcher, int signum, gyre_signal_cb cb)
{
    return start(watcher, signum, cb, FLAG_ONESHOT);
}

void gyre_signal_stop(gyre_signal *watcher)
{
    gyre_loop *loop = watcher->handle.loop;
    loop_signals *signals = loop->signals;
    const int signum = watcher->signum;

    gyrei_loop_check(loop);
    if (signum == 0)
        return;
    watcher->signum = 0;
    gyrei_list_remove(&watcher->link);
    gyrei_handle_set_active(&watcher->handle, false);
    if (--signals->watcher_counts[signum] == 0)
        unsubscribe(loop, signum);
}
