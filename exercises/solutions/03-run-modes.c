/* Exercise 03, solved: the run modes. */
#include "exercise.h"

void loop_init(struct loop *loop, struct parts *parts)
{
    loop->parts = parts;
    loop->stop = false;
}

void loop_stop(struct loop *loop)
{
    loop->stop = true;
}

static int64_t timeout_ms(const struct loop *loop, bool may_sleep)
{
    struct parts *parts = loop->parts;

    if (!may_sleep || loop->stop || parts->has_pending(parts) || !parts->alive(parts))
        return 0;
    return parts->next_timer_ms(parts);
}

static void turn(struct loop *loop, bool may_sleep)
{
    struct parts *parts = loop->parts;

    parts->run_pending(parts);
    parts->wait(parts, timeout_ms(loop, may_sleep));
    parts->run_timers(parts);
}

static bool goes_on(const struct loop *loop)
{
    return loop->parts->alive(loop->parts) && !loop->stop;
}

bool loop_run(struct loop *loop, run_mode mode)
{
    struct parts *parts = loop->parts;

    if (mode == RUN_DEFAULT) {
        if (goes_on(loop))
            parts->run_timers(parts);
        while (goes_on(loop))
            turn(loop, true);
    } else if (goes_on(loop)) {
        turn(loop, mode == RUN_ONCE && !parts->has_pending(parts));
    }
    loop->stop = false;
    return parts->alive(parts);
}
