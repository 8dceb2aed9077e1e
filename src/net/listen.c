/*
 * Listening: one multishot accept, a queue of connections that were not taken yet, and a pause when
 * descriptors run out.
 *
 *   accepting --untaken connection--> held (accept taken back) --gyre_accept empties the queue-->
 *       |  ^
 *  no descriptors: the user is told
 *       v  |
 *     paused --a descriptor of the loop was closed, or 100 ms .. 1 s passed-->
 *   any of these --gyre_listen_stop--> stopping --accept taken back, queue empty--> bound
 *
 * A connection that the kernel accepted is never lost: it waits in the queue until it is taken or
 * the listener closed. While paused nothing is asked of the kernel, so that the processor is idle.
 */
#include "net/stream.h"

enum { ACCEPTED_ROOM = 8, SWEEP_MAX = 64 };

static const uint64_t retry_first_ns = 100 * GYRE_MILLISECOND;
static const uint64_t retry_max_ns = GYRE_SECOND;

static void on_accepted(gyre_loop *loop, gyre_op *op, const gyrei_result *result);

static void on_stopped(gyre_loop *loop, gyre_task *task);

static void accept_next(gyre_stream *listener)
{
    gyrei_op_prepare(&listener->in, GYREI_OP_ACCEPT, gyrei_stream_fd(listener), GYREI_OP_MULTISHOT,
                     on_accepted);
    gyrei_stream_submit(listener, &listener->in);
}

/* Once nothing is in flight and nothing waits, the user is told that nothing will come. */
static void settle_stop(gyre_stream *listener)
{
    gyrei_stream_extra *extra = listener->extra;

    if (!gyrei_op_is_idle(&listener->in)) {
        gyrei_op_cancel(listener->handle.loop, &listener->in);
    } else if (extra->accepted_count == 0 && !extra->stopped_due) {
        extra->stopped_due = true;
        extra->stopped_task.run = on_stopped;
        gyrei_handle_hold(&listener->handle);
        gyrei_task_submit(listener->handle.loop, &extra->stopped_task);
    }
}

/* Accepts if nothing speaks against it: a callback's own turns may have brought the stop's end. */
void gyrei_listen_settle(gyre_stream *listener)
{
    if (gyrei_handle_is_closing(&listener->handle) ||
        (listener->flags & GYREI_STREAM_LISTENING) == 0 ||
        (listener->flags & GYREI_STREAM_PAUSED) != 0)
        return;
    if ((listener->flags & GYREI_STREAM_UNLISTENING) != 0)
        settle_stop(listener);
    else if (listener->extra->accepted_count > 0)
        gyrei_op_cancel(listener->handle.loop, &listener->in);
    else if (gyrei_op_is_idle(&listener->in))
        accept_next(listener);
}

/* ---- want of descriptors ---- */

static bool is_want(int error)
{
    return error == GYRE_EMFILE || error == GYRE_ENFILE || error == GYRE_ENOBUFS ||
           error == GYRE_ENOMEM;
}

/* Errors of one connection, which is gone; accept(2) lists them. All others would come again. */
static bool concerns_one_connection(int error)
{
    return error == GYRE_ECONNABORTED || error == GYRE_EPROTO || error == GYRE_ENETDOWN ||
           error == GYRE_ENOPROTOOPT || error == GYRE_EHOSTDOWN || error == GYRE_EHOSTUNREACH ||
           error == GYRE_ENETUNREACH || error == GYRE_EPERM || error == GYRE_ETIMEDOUT ||
           error == GYRE_EINTR;
}

static void pause_accepting(gyre_stream *listener, int error)
{
    gyre_loop *loop = listener->handle.loop;
    gyrei_stream_extra *extra = listener->extra;

    listener->flags |= GYREI_STREAM_PAUSED;
    if (is_want(error))
        gyrei_list_append(&gyrei_streams_of(loop)->paused, &extra->paused);
    extra->retry_ns = extra->retry_ns == 0 ? retry_first_ns : extra->retry_ns * 2;
    if (extra->retry_ns > retry_max_ns)
        extra->retry_ns = retry_max_ns;
    gyrei_timer_node_start(loop, &extra->timer,
                           gyrei_time_add(loop->env->now_ns(loop->env), extra->retry_ns), 0);
}

static void resume(gyre_stream *listener)
{
    listener->flags &= ~(uint32_t)GYREI_STREAM_PAUSED;
    gyrei_list_remove(&listener->extra->paused);
    gyrei_timer_node_stop(listener->handle.loop, &listener->extra->timer);
    gyrei_listen_settle(listener);
}

void gyrei_listen_retry(gyre_stream *listener)
{
    resume(listener);
}

void gyrei_listen_resume(gyre_loop *loop)
{
    gyre_link waiting;
    gyre_link *link;

    if (!gyrei_listen_any_paused(loop))
        return;
    gyrei_list_init(&waiting);
    gyrei_list_splice(&waiting, &gyrei_streams_of(loop)->paused);
    while ((link = gyrei_list_pop(&waiting)) != NULL)
        resume(GYRE_CONTAINER_OF(link, gyrei_stream_extra, paused)->stream);
}

/* ---- results ---- */

static int keep_accepted(gyre_stream *listener, int fd)
{
    gyre_loop *loop = listener->handle.loop;
    gyrei_stream_extra *extra = listener->extra;

    if (extra->accepted_count == extra->accepted_room) {
        const uint32_t room = extra->accepted_room * 2;
        int *larger = gyrei_loop_alloc(loop, room * sizeof(int));

        if (larger == NULL)
            return GYRE_ENOMEM;
        for (uint32_t i = 0; i < extra->accepted_count; i++)
            larger[i] = extra->accepted[i];
        gyrei_loop_free(loop, extra->accepted, extra->accepted_room * sizeof(int));
        extra->accepted = larger;
        extra->accepted_room = room;
    }
    extra->accepted[extra->accepted_count++] = fd;
    return 0;
}

static void call_back(gyre_stream *listener, int status)
{
    gyre_loop *loop = listener->handle.loop;
    gyrei_frame frame;

    gyrei_callback_enter(loop, &frame, listener->handle.kind, listener, listener->handle.name);
    listener->cb.listen(listener, status);
    gyrei_callback_leave(loop, &frame);
}

static void take_connection(gyre_stream *listener, int fd)
{
    gyre_loop *loop = listener->handle.loop;
    const int error = keep_accepted(listener, fd);

    listener->extra->retry_ns = 0;
    if (error != 0)
        (void)loop->env->sys->close(loop->env, fd);
    call_back(listener, error);
}

static void take_error(gyre_stream *listener, int error)
{
    if (error == GYRE_ECANCELED)
        return;
    if (!concerns_one_connection(error))
        pause_accepting(listener, error);
    call_back(listener, error);
}

static void on_accepted(gyre_loop *loop, gyre_op *op, const gyrei_result *result)
{
    gyre_stream *listener = GYRE_CONTAINER_OF(op, gyre_stream, in);

    /* Held until the end, and if not by the accept that was: the callback may close it. */
    if ((result->flags & GYREI_RESULT_MORE) != 0)
        gyrei_handle_hold(&listener->handle);
    if (gyrei_handle_is_closing(&listener->handle)) {
        if (result->value >= 0)
            (void)loop->env->sys->close(loop->env, result->value);
    } else {
        if (result->value >= 0)
            take_connection(listener, result->value);
        else
            take_error(listener, result->value);
        gyrei_listen_settle(listener);
    }
    gyrei_handle_release(&listener->handle);
}

/* ---- the user's side ---- */

int gyre_listen(gyre_stream *listener, int backlog, gyre_listen_cb cb)
{
    gyre_loop *loop = listener->handle.loop;
    int error = gyrei_stream_check(listener);

    GYRE_ASSERT(cb != NULL);
    if (error == 0 && (listener->flags & GYREI_STREAM_BOUND) == 0)
        error = GYRE_EINVAL;
    if (error == 0 && backlog < 0)
        error = GYRE_EINVAL;
    if (error == 0)
        error = gyrei_stream_need_extra(listener);
    if (error != 0)
        return error;
    if ((listener->flags & GYREI_STREAM_UNLISTENING) != 0)
        return GYRE_EALREADY;
    if ((listener->flags & GYREI_STREAM_LISTENING) != 0) {
        listener->cb.listen = cb;
        return 0;
    }
    if (listener->extra->accepted == NULL) {
        listener->extra->accepted = gyrei_loop_alloc(loop, ACCEPTED_ROOM * sizeof(int));
        if (listener->extra->accepted == NULL)
            return GYRE_ENOMEM;
        listener->extra->accepted_room = ACCEPTED_ROOM;
    }
    /* The kernel cuts a backlog down to net.core.somaxconn. */
    error = loop->env->sys->listen(loop->env, gyrei_stream_fd(listener),
                                   backlog == 0 ? INT32_MAX : backlog);
    if (error != 0)
        return error;
    listener->cb.listen = cb;
    listener->flags |= GYREI_STREAM_LISTENING;
    gyrei_stream_update_active(listener);
    accept_next(listener);
    return 0;
}

/*
 * The kernel wakes one of those that wait for a connection (epoll(7), EPOLLEXCLUSIVE), and if that
 * was us, on our way out, nobody else hears of it: what is in the queue now is ours.
 */
static void sweep_queue(gyre_stream *listener)
{
    gyre_loop *loop = listener->handle.loop;

    for (int i = 0; i < SWEEP_MAX; i++) {
        const int fd = loop->env->sys->accept(loop->env, gyrei_stream_fd(listener));

        if (fd < 0)
            return;
        take_connection(listener, fd);
        if (gyrei_handle_is_closing(&listener->handle))
            return;
    }
}

static void on_stopped(gyre_loop *loop, gyre_task *task)
{
    gyrei_stream_extra *extra = GYRE_CONTAINER_OF(task, gyrei_stream_extra, stopped_task);
    gyre_stream *listener = extra->stream;

    (void)loop;
    if (!gyrei_handle_is_closing(&listener->handle))
        sweep_queue(listener);
    extra->stopped_due = false;
    if (!gyrei_handle_is_closing(&listener->handle) && extra->accepted_count == 0) {
        listener->flags &= ~(uint32_t)(GYREI_STREAM_LISTENING | GYREI_STREAM_UNLISTENING);
        gyrei_stream_update_active(listener);
        call_back(listener, GYRE_ECANCELED);
    }
    gyrei_handle_release(&listener->handle);
}

int gyre_listen_stop(gyre_stream *listener)
{
    const int error = gyrei_stream_check(listener);

    if (error != 0 || (listener->flags & GYREI_STREAM_LISTENING) == 0)
        return GYRE_EINVAL;
    if ((listener->flags & GYREI_STREAM_UNLISTENING) != 0)
        return GYRE_EALREADY;
    listener->flags |= GYREI_STREAM_UNLISTENING;
    if ((listener->flags & GYREI_STREAM_PAUSED) != 0)
        resume(listener);
    else
        gyrei_listen_settle(listener);
    return 0;
}

static int take_oldest(gyre_stream *listener)
{
    gyrei_stream_extra *extra = listener->extra;
    const int fd = extra->accepted[0];

    extra->accepted_count--;
    for (uint32_t i = 0; i < extra->accepted_count; i++)
        extra->accepted[i] = extra->accepted[i + 1];
    return fd;
}

int gyre_accept(gyre_stream *listener, gyre_stream *client)
{
    gyre_loop *loop = listener->handle.loop;
    int error = gyrei_stream_check(listener);
    int fd;

    if (error != 0 || (listener->flags & GYREI_STREAM_LISTENING) == 0)
        return GYRE_EINVAL;
    if (listener->extra->accepted_count == 0)
        return GYRE_EAGAIN;
    fd = take_oldest(listener);
    /* The accept was taken back for those that waited; one that is still out settles by itself. */
    if (listener->extra->accepted_count == 0 && gyrei_op_is_idle(&listener->in))
        gyrei_stream_want_flush(listener);
    error = gyrei_stream_init(loop, client, (gyre_handle_kind)listener->handle.kind);
    if (error == 0) {
        error = gyrei_stream_set_fd(client, fd);
        if (error != 0) {
            gyrei_op_close(loop, &client->in);
            gyrei_op_close(loop, &client->out);
            gyrei_handle_abandon(&client->handle);
        }
    }
    if (error != 0) {
        (void)loop->env->sys->close(loop->env, fd);
        return error;
    }
    client->flags |= GYREI_STREAM_CONNECTED;
    return 0;
}

void gyrei_listen_close(gyre_stream *listener)
{
    gyre_loop *loop = listener->handle.loop;
    gyrei_stream_extra *extra = listener->extra;

    if ((listener->flags & GYREI_STREAM_LISTENING) == 0)
        return;
    gyrei_list_remove(&extra->paused);
    while (extra->accepted_count > 0)
        (void)loop->env->sys->close(loop->env, extra->accepted[--extra->accepted_count]);
}
