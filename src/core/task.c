/*
 * The pending queue's tasks, deferred work on it, and the loop's small questions: time, aliveness,
 * names.
 */
#include "core/loop.h"

void gyrei_task_submit(gyre_loop *loop, gyre_task *task)
{
    GYRE_ASSERT(task->run != NULL);
    gyrei_list_append(&loop->tasks, &task->link);
    loop->task_count++;
}

void gyrei_task_cancel(gyre_loop *loop, gyre_task *task)
{
    GYRE_ASSERT(loop->task_count > 0 && !gyrei_list_empty(&task->link));
    gyrei_list_remove(&task->link);
    loop->task_count--;
}

static void deferred_run(gyre_loop *loop, gyre_task *task)
{
    gyre_deferred *deferred = GYRE_CONTAINER_OF(task, gyre_deferred, task);
    gyrei_frame frame;

    deferred->loop = NULL;
    loop->alive--;
    gyrei_callback_enter(loop, &frame, GYRE_HANDLE_NONE, deferred, "deferred");
    deferred->cb(deferred);
    gyrei_callback_leave(loop, &frame);
}

const char *gyrei_tasks_verify(const gyre_loop *loop, uint64_t *alive)
{
    uint32_t count = 0;

    for (const gyre_link *link = loop->tasks.next; link != &loop->tasks; link = link->next) {
        const gyre_task *task = GYRE_CONTAINER_OF(link, gyre_task, link);

        if (task->run == NULL)
            return "a task has nothing to run";
        *alive += task->run == deferred_run;
        count++;
    }
    return count == loop->task_count ? NULL : "tasks are miscounted";
}

void gyre_defer(gyre_loop *loop, gyre_deferred *deferred, gyre_defer_cb cb)
{
    GYRE_ASSERT(cb != NULL);
    GYRE_ASSERT(deferred->loop == NULL);
    gyrei_loop_check(loop);
    deferred->cb = cb;
    deferred->loop = loop;
    deferred->task.run = deferred_run;
    loop->alive++;
    gyrei_task_submit(loop, &deferred->task);
}

int gyre_defer_cancel(gyre_deferred *deferred)
{
    gyre_loop *loop = deferred->loop;

    if (loop == NULL)
        return GYRE_ENOENT;
    gyrei_loop_check(loop);
    gyrei_task_cancel(loop, &deferred->task);
    deferred->loop = NULL;
    loop->alive--;
    return 0;
}

void gyre_loop_hold(gyre_loop *loop)
{
    gyrei_loop_check(loop);
    loop->alive++;
    loop->holds++;
}

void gyre_loop_release(gyre_loop *loop)
{
    gyrei_loop_check(loop);
    GYRE_ASSERT(loop->holds > 0);
    loop->holds--;
    loop->alive--;
}

uint64_t gyre_loop_handle_count(const gyre_loop *loop)
{
    return loop->handle_count;
}

uint64_t gyre_loop_now_ns(const gyre_loop *loop)
{
    /* The caller sees a value, and the same until the next poll: to him nothing changes. */
    return gyrei_loop_now_ns((gyre_loop *)(uintptr_t)loop); /* NOLINT(*-int-to-ptr) */
}

void gyre_loop_update_now(gyre_loop *loop)
{
    loop->now_ns = loop->env->now_ns(loop->env);
    loop->ran = false;
    loop->clock_due = false;
}

int64_t gyre_loop_wall_ns(const gyre_loop *loop)
{
    return loop->env->wall_ns(loop->env);
}

const char *gyre_loop_backend_name(const gyre_loop *loop)
{
    return loop->ops->name;
}

gyre_phase gyre_loop_phase(const gyre_loop *loop)
{
    return loop->phase;
}

const char *gyre_phase_name(gyre_phase phase)
{
    static const char *const names[] = {
        "none", "timers", "pending", "idle", "prepare", "poll", "check", "close",
    };

    return (unsigned)phase < sizeof(names) / sizeof(names[0]) ? names[phase] : "none";
}
