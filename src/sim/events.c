/*
 * What is to happen: a heap of events by (moment, order of scheduling).
 */
#include "sim/sim.h"

#include <stdlib.h>

static bool before(const gyrei_sim_event *a, const gyrei_sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->sequence < b->sequence;
}

static void put(gyrei_sim_events *events, size_t index, gyrei_sim_event *event)
{
    events->heap[index] = event;
    event->index = index;
}

static void sift_up(gyrei_sim_events *events, size_t index, gyrei_sim_event *event)
{
    while (index > 1 && before(event, events->heap[index / 2])) {
        put(events, index, events->heap[index / 2]);
        index /= 2;
    }
    put(events, index, event);
}

static void sift_down(gyrei_sim_events *events, size_t index, gyrei_sim_event *event)
{
    while (index * 2 <= events->count) {
        size_t child = index * 2;

        if (child < events->count && before(events->heap[child + 1], events->heap[child]))
            child++;
        if (!before(events->heap[child], event))
            break;
        put(events, index, events->heap[child]);
        index = child;
    }
    put(events, index, event);
}

void gyrei_sim_schedule(gyre_sim *sim, gyrei_sim_event *event, uint64_t after_ns,
                        gyrei_sim_fire fire)
{
    gyrei_sim_events *events = &sim->events;

    gyrei_sim_unschedule(sim, event);
    if (events->count + 1 >= events->room) {
        events->room = events->room == 0 ? 256 : events->room * 2;
        events->heap = gyrei_sim_resize(events->heap, events->room * sizeof(gyrei_sim_event *));
    }
    event->at_ns = gyrei_sim_after(sim, after_ns);
    event->sequence = events->sequence++;
    event->fire = fire;
    events->count++;
    sift_up(events, events->count, event);
}

void gyrei_sim_unschedule(gyre_sim *sim, gyrei_sim_event *event)
{
    gyrei_sim_events *events = &sim->events;
    const size_t index = event->index;
    gyrei_sim_event *last;

    if (!gyrei_sim_scheduled(event))
        return;
    GYRE_ASSERT(events->heap[index] == event);
    event->index = GYREI_SIM_NO_INDEX;
    last = events->heap[events->count--];
    if (last == event)
        return;
    if (index > 1 && before(last, events->heap[index / 2]))
        sift_up(events, index, last);
    else
        sift_down(events, index, last);
}

uint64_t gyrei_sim_next_event_ns(const gyre_sim *sim)
{
    return sim->events.count > 0 ? sim->events.heap[1]->at_ns : UINT64_MAX;
}

bool gyrei_sim_fire_next(gyre_sim *sim)
{
    gyrei_sim_event *event;

    if (gyrei_sim_next_event_ns(sim) > sim->now_ns)
        return false;
    event = sim->events.heap[1];
    gyrei_sim_unschedule(sim, event);
    event->fire(sim, event);
    return true;
}
