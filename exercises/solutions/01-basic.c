/* Exercise 01, solved: a loop that calls handlers. */
#include "exercise.h"

#include <string.h>

void loop_init(struct loop *loop)
{
    memset(loop, 0, sizeof(*loop));
}

int loop_add(struct loop *loop, loop_handler handler, void *data)
{
    if (loop->used == LOOP_HANDLERS_MAX)
        return -1;
    loop->last_id++;
    loop->entries[loop->used++] =
        (loop_entry){.id = loop->last_id, .handler = handler, .data = data};
    return loop->last_id;
}

/* Closes the gaps of removed handlers. Never during a tick, which counts places. */
static void tidy(struct loop *loop)
{
    int kept = 0;

    for (int i = 0; i < loop->used; i++) {
        if (loop->entries[i].id != 0)
            loop->entries[kept++] = loop->entries[i];
    }
    loop->used = kept;
}

int loop_remove(struct loop *loop, int id)
{
    if (id <= 0)
        return -1;
    for (int i = 0; i < loop->used; i++) {
        if (loop->entries[i].id == id) {
            loop->entries[i].id = 0;
            if (!loop->ticking)
                tidy(loop);
            return 0;
        }
    }
    return -1;
}

int loop_count(const struct loop *loop)
{
    int count = 0;

    for (int i = 0; i < loop->used; i++)
        count += loop->entries[i].id != 0;
    return count;
}

int loop_tick(struct loop *loop)
{
    const int end = loop->used; /* what is added from now on stands behind it */
    int called = 0;

    loop->ticking = true;
    for (int i = 0; i < end; i++) {
        const loop_entry entry = loop->entries[i];

        if (entry.id != 0) {
            entry.handler(loop, entry.data);
            called++;
        }
    }
    loop->ticking = false;
    tidy(loop);
    return called;
}

int loop_run(struct loop *loop, int ticks_max)
{
    int ticks = 0;

    while (ticks < ticks_max && loop_count(loop) > 0) {
        loop_tick(loop);
        ticks++;
    }
    return ticks;
}
