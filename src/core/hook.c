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

static const char *verify_phase(const gyre_loop *loop, uint32_t phase)
{
    const gyre_link *head = &loop->hooks[phase];
    uint64_t sequence = 0;
    uint32_t count = 0;
    bool met = loop->hook_next[phase] == head;

    for (const gyre_link *link = head->next; link != head; link = link->next) {
        const gyre_hook *hook = GYRE_CONTAINER_OF(link, gyre_hook, link);

        if (hook->phase != phase || !gyre_is_active(&hook->handle))
            return "a hook that was not started stands in a phase";
        if (hook->sequence < sequence || hook->sequence >= loop->hook_sequence)
            return "hooks do not stand in the order of their start";
        sequence = hook->sequence + 1;
        count++;
        met = met || loop->hook_next[phase] == link;
    }
    if (phase == GYRE_HOOK_IDLE && count != loop->idle_count)
        return "idle hooks are miscounted";
    return met ? NULL : "a phase goes on at a hook that is gone";
}

const char *gyrei_hooks_verify(const gyre_loop *loop)
{
    const char *flaw = NULL;

    for (uint32_t phase = 0; flaw == NULL && phase < GYREI_HOOK_PHASES; phase++)
        flaw = verify_phase(loop, phase);
    return flaw;
}
