/*
 * The audit of a loop: each part looks whether the invariants hold that its file names.
 *
 * For tests and the simulator, which asks after each turn: a structure that was damaged is told
 * there, and not where it is used next. Changes nothing, calls no user code.
 */
#include "core/hook.h"
#include "core/loop.h"
#include "core/timer.h"

const char *gyrei_loop_verify_queues(const gyre_loop *loop)
{
    if (loop->rounds_left >= GYREI_DRAIN_ROUNDS || loop->ops_left > loop->run_max ||
        loop->tasks_left > loop->run_max || loop->posts_left > loop->run_max)
        return "a drain is past its bound";
    if (loop->fd_to_close >= 0)
        return "a descriptor was let go of and is open";
    return gyrei_ops_verify_queues(loop);
}

/* Requests are counted by who makes them: what is alive beside them is the least there may be. */
static const char *verify_alive(const gyre_loop *loop)
{
    uint64_t alive = loop->holds;
    const char *flaw = gyrei_handles_verify(loop, &alive);

    if (flaw == NULL)
        flaw = gyrei_tasks_verify(loop, &alive);
    if (flaw == NULL && (alive > loop->alive || loop->alive - alive > UINT32_MAX))
        flaw = "what is alive is miscounted";
    return flaw;
}

const char *gyrei_loop_verify(const gyre_loop *loop)
{
    const char *flaw = gyrei_loop_verify_queues(loop);

    if (flaw == NULL)
        flaw = gyrei_ops_verify(loop);
    if (flaw == NULL)
        flaw = gyrei_timers_verify(loop);
    if (flaw == NULL)
        flaw = gyrei_hooks_verify(loop);
    if (flaw == NULL)
        flaw = verify_alive(loop);
    if (flaw == NULL && loop->ops->verify != NULL)
        flaw = loop->ops->verify(loop->backend);
    return flaw;
}
