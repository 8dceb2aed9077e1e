/*
 * The door for other threads: a stack of posted nodes that senders push to and the loop takes
 * whole, and the wake-up.
 *
 *   sender: push (release) -> was the stack empty, and does the loop sleep? -> write to the eventfd
 *   loop: sleeping = 1 -> look at the stack once more -> wait -> sleeping = 0 -> take all, oldest
 *   first
 *
 * Both pairs of steps are sequentially consistent, so that either the sender sees the loop asleep
 * or the loop sees the node. One system call a burst: only the push that finds the stack empty may
 * write. A remote is counted; it owns the eventfd, so that a send that races gyre_loop_close
 * touches nothing that is gone. Lock-free and async-signal-safe: a handler that interrupts a push
 * only makes its compare-and-swap fail once.
 */
#include "core/async.h"

#include "core/loop.h"

static gyre_post_node shut_mark;
#define SHUT (&shut_mark)

static gyre_remote *remote_new(gyre_loop *loop)
{
    gyre_remote *remote = gyrei_loop_alloc(loop, sizeof(*remote));

    if (remote == NULL)
        return NULL;
    remote->references = 1;
    remote->wake_fd = -1;
    remote->loop = loop;
    remote->env = loop->env;
    remote->allocator = loop->allocator;
    return remote;
}

gyre_remote *gyre_remote_ref(gyre_remote *remote)
{
    __atomic_fetch_add(&remote->references, 1, __ATOMIC_RELAXED);
    return remote;
}

void gyre_remote_unref(gyre_remote *remote)
{
    while (remote != NULL && __atomic_fetch_sub(&remote->references, 1, __ATOMIC_ACQ_REL) == 1) {
        gyre_remote *parent = remote->parent;
        const gyre_allocator allocator = remote->allocator;

        if (remote->wake_fd >= 0)
            remote->env->sys->close(remote->env, remote->wake_fd);
        gyrei_free(&allocator, remote, sizeof(*remote));
        remote = parent;
    }
}

int gyre_post(gyre_remote *remote, gyre_post_node *node, gyre_post_cb cb)
{
    gyre_post_node *head = __atomic_load_n(&remote->head, __ATOMIC_RELAXED);

    GYRE_ASSERT(cb != NULL && remote->parent == NULL);
    node->cb = cb;
    do {
        if (head == SHUT)
            return GYRE_EGONE;
        node->next = head;
    } while (!__atomic_compare_exchange_n(&remote->head, &head, node, true, __ATOMIC_SEQ_CST,
                                          __ATOMIC_RELAXED));
    if (head == NULL && __atomic_load_n(&remote->sleeping, __ATOMIC_SEQ_CST) != 0)
        gyrei_remote_wake(remote);
    return 0;
}

static void waker_deliver(gyre_post_node *node, int status)
{
    gyre_remote *waker = GYRE_CONTAINER_OF(node, gyre_remote, node);

    /*
     * Cleared before the callback, which thereby sees all that was written before the sends it
     * stands for.
     */
    __atomic_exchange_n(&waker->pending, 0, __ATOMIC_ACQ_REL);
    if (status == 0 && waker->run != NULL)
        waker->run(waker->loop, waker->context);
    gyre_remote_unref(waker);
}

/*
 * In another thread the look at `pending` has to be an exchange: a plain load could be done before
 * the stores that the send announces are seen, and the callback miss them.
 */
static bool sent_by_the_loop(const gyre_remote *waker)
{
    return __atomic_load_n(&waker->parent->owner, __ATOMIC_RELAXED) == gyrei_thread_self();
}

int gyre_async_send(gyre_remote *remote)
{
    GYRE_ASSERT(remote->parent != NULL);
    if (__atomic_load_n(&remote->closed, __ATOMIC_RELAXED) != 0)
        return GYRE_EGONE;
    if (sent_by_the_loop(remote) && __atomic_load_n(&remote->pending, __ATOMIC_RELAXED) != 0)
        return 0;
    if (__atomic_exchange_n(&remote->pending, 1, __ATOMIC_ACQ_REL) != 0)
        return 0;
    gyre_remote_ref(remote);
    if (gyre_post(remote->parent, &remote->node, waker_deliver) == 0)
        return 0;
    gyre_remote_unref(remote);
    return GYRE_EGONE;
}

int gyrei_waker_init(gyre_loop *loop, gyrei_waker_run run, void *context, gyre_remote **waker)
{
    gyre_remote *remote = remote_new(loop);

    if (remote == NULL)
        return GYRE_ENOMEM;
    remote->parent = gyre_remote_ref(loop->remote);
    remote->run = run;
    remote->context = context;
    *waker = remote;
    return 0;
}

void gyrei_waker_close(gyre_remote *waker)
{
    __atomic_store_n(&waker->closed, 1, __ATOMIC_RELAXED);
    waker->run = NULL;
    gyre_remote_unref(waker);
}

/* ---- the loop's side ---- */

int gyrei_remote_open(gyre_loop *loop)
{
    gyre_remote *remote = remote_new(loop);

    if (remote == NULL)
        return GYRE_ENOMEM;
    remote->wake_fd = loop->env->sys->event_create(loop->env);
    if (remote->wake_fd < 0) {
        const int error = remote->wake_fd;

        gyre_remote_unref(remote);
        return error;
    }
    loop->remote = remote;
    return 0;
}

int gyrei_remote_wake_fd(const gyre_remote *remote)
{
    return remote->wake_fd;
}

void gyrei_remote_wake(const gyre_remote *remote)
{
    remote->env->sys->event_write(remote->env, remote->wake_fd);
}

/* Appends a stack of nodes, newest first, to loop->posted, oldest first. */
static void append_reversed(gyre_loop *loop, gyre_post_node *newest)
{
    gyre_post_node *oldest = NULL;
    gyre_post_node *node = newest;

    while (node != NULL) {
        gyre_post_node *next = node->next;

        node->next = oldest;
        oldest = node;
        node = next;
    }
    if (loop->posted == NULL)
        loop->posted = oldest;
    else
        loop->posted_last->next = oldest;
    loop->posted_last = newest;
}

void gyrei_posts_take(gyre_loop *loop)
{
    gyre_post_node *newest = __atomic_exchange_n(&loop->remote->head, NULL, __ATOMIC_SEQ_CST);

    if (newest != NULL)
        append_reversed(loop, newest);
}

static void run_post(gyre_loop *loop, gyre_post_node *node, int status)
{
    gyrei_frame frame;

    /* A waker's callback is entered by whoever it is for: a handle, or the library itself. */
    if (node->cb == waker_deliver) {
        waker_deliver(node, status);
        return;
    }
    gyrei_callback_enter(loop, &frame, GYRE_HANDLE_NONE, node, "post");
    node->cb(node, status);
    gyrei_callback_leave(loop, &frame);
}

bool gyrei_posts_run_next(gyre_loop *loop)
{
    gyre_post_node *node = loop->posted;

    if (node == NULL)
        return false;
    loop->posted = node->next;
    run_post(loop, node, 0);
    return true;
}

void gyrei_remote_shut(gyre_loop *loop)
{
    gyre_remote *remote = loop->remote;
    gyre_post_node *newest = __atomic_exchange_n(&remote->head, SHUT, __ATOMIC_SEQ_CST);

    if (newest != NULL)
        append_reversed(loop, newest);
    while (loop->posted != NULL) {
        gyre_post_node *node = loop->posted;

        loop->posted = node->next;
        run_post(loop, node, GYRE_ECANCELED);
    }
}

int gyrei_remote_forked(gyre_loop *loop)
{
    gyre_remote *remote = loop->remote;

    return loop->env->sys->event_renew(loop->env, remote->wake_fd);
}

gyre_remote *gyre_loop_remote(gyre_loop *loop)
{
    return gyre_remote_ref(loop->remote);
}

/* ---- the handle ---- */

static void async_run(gyre_loop *loop, void *context)
{
    gyre_async *async = context;
    gyrei_frame frame;

    gyrei_callback_enter(loop, &frame, GYRE_HANDLE_ASYNC, async, async->handle.name);
    async->cb(async);
    gyrei_callback_leave(loop, &frame);
}

static void async_close(gyre_loop *loop, gyre_handle *handle)
{
    gyre_async *async = GYRE_CONTAINER_OF(handle, gyre_async, handle);

    (void)loop;
    gyrei_waker_close(async->remote);
    async->remote = NULL;
}

static const gyrei_handle_class async_class = {
    .kind = GYRE_HANDLE_ASYNC,
    .bytes = sizeof(gyre_async),
    .close = async_close,
};

int gyre_async_init(gyre_loop *loop, gyre_async *async, gyre_async_cb cb)
{
    int error;

    GYRE_ASSERT(cb != NULL);
    gyrei_loop_check(loop);
    error = gyrei_waker_init(loop, async_run, async, &async->remote);
    if (error != 0)
        return error;
    gyrei_handle_init(loop, &async->handle, &async_class);
    async->cb = cb;
    gyrei_handle_set_active(&async->handle, true);
    return 0;
}

gyre_remote *gyre_async_remote(gyre_async *async)
{
    GYRE_ASSERT(async->remote != NULL);
    return gyre_remote_ref(async->remote);
}
