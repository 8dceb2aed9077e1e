/*
 * Hooks: per phase a list in start order and a cursor that lives in the loop.
 *
 * The cursor is what makes a stop inside a callback, and a turn inside a callback, safe: whoever
 * takes a hook out moves the cursor past it, and a nested turn goes through the list to its end,
 * which ends the outer phase too.
 */
#include "core/hook.h"

static void hook_close(gyre_loop *loop, gyre_handle *handle)
{
    (void)loop;
    gyre_hook_stop(GYRE_CONTAINER_OF(handle, gyre_hook, handle));
}

static const gyrei_handle_class hook_class = {
    .kind = GYRE_HANDLE_HOOK,
    .bytes = sizeof(gyre_hook),
    .close = hook_close,
};

int gyre_hook_init(gyre_loop *loop, gyre_hook *hook, gyre_hook_phase phase)
{
    gyrei_loop_check(loop);
    if ((unsigned)phase >= GYREI_HOOK_PHASES)
        return GYRE_EINVAL;
    gyrei_handle_init(loop, &hook->handle, &hook_class);
    gyrei_list_init(&hook->link);
    hook->phase = (uint32_t)phase;
    hook->cb = NULL;
    return 0;
}

void gyre_hook_start(gyre_hook *hook, gyre_hook_cb cb)
{
    gyre_loop *loop = hook->handle.loop;

    GYRE_ASSERT(cb != NULL);
    GYRE_ASSERT(!gyrei_handle_is_closing(&hook->handle));
    gyrei_loop_check(loop);
    hook->cb = cb;
    if (gyre_is_active(&hook->handle))
        return;
    hook->sequence = loop->hook_sequence++;
    gyrei_list_append(&loop->hooks[hook->phase], &hook->link);
    if (hook->phase == GYRE_HOOK_IDLE)
        loop->idle_count++;
    gyrei_handle_set_active(&hook->handle, true);
}

void gyre_hook_stop(gyre_hook *hook)
{
    gyre_loop *loop = hook->handle.loop;

    gyrei_loop_check(loop);
    if (!gyre_is_active(&hook->handle))
        return;
    if (loop->hook_next[hook->phase] == &hook->link)
        loop->hook_next[hook->phase] = hook->link.next;
    gyrei_list_remove(&hook->link);
    if (hook->phase == GYRE_HOOK_IDLE)
        loop->idle_count--;
    gyrei_handle_set_active(&hook->handle, false);
}

bool gyrei_hook_run_next(gyre_loop *loop, gyre_hook_phase phase)
{
    gyre_link *link = loop->hook_next[phase];
    gyre_hook *hook = GYRE_CONTAINER_OF(link, gyre_hook, link);
    gyrei_frame frame;

    if (hook->sequence >= loop->hook_limit[phase]) {
        loop->hook_next[phase] = &loop->hooks[phase];
        return false;
    }
    loop->hook_next[phase] = link->next;
    gyrei_callback_enter(loop, &frame, GYRE_HANDLE_HOOK, hook, hook->handle.name);
    hook->cb(hook);
    gyrei_callback_leave(loop, &frame);
    return true;
}
