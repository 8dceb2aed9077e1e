/*
 * Groups: which loop something is placed on, how much each one has, and posting.
 *
 * Everything here may be called by any thread: it touches atomics only. A loop that ends may still
 * be told so between a pick and its use; posting then says GYRE_EGONE.
 */
#include "work/group.h"

enum { LEAST_TRIES = 16 };

static bool serves(const gyrei_member *member)
{
    return __atomic_load_n(&member->state, __ATOMIC_ACQUIRE) == GYREI_MEMBER_SERVING;
}

static uint32_t load_of(const gyrei_member *member)
{
    return __atomic_load_n(&member->load, __ATOMIC_RELAXED);
}

static gyrei_member *member_at(gyre_group *group, uint32_t index)
{
    GYRE_ASSERT(index < group->count);
    return &group->members[index];
}

static uint32_t next_turn(gyre_group *group)
{
    return __atomic_fetch_add(&group->turn, 1, __ATOMIC_RELAXED) % group->count;
}

static gyrei_member *find_next(gyre_group *group)
{
    const uint32_t first = next_turn(group);

    for (uint32_t i = 0; i < group->count; i++) {
        gyrei_member *member = &group->members[(first + i) % group->count];

        if (serves(member))
            return member;
    }
    return NULL;
}

/* Of equals, one after the other is the first. */
static gyrei_member *find_least(gyre_group *group)
{
    const uint32_t first = next_turn(group);
    gyrei_member *least = NULL;

    for (uint32_t i = 0; i < group->count; i++) {
        gyrei_member *member = &group->members[(first + i) % group->count];

        if (serves(member) && (least == NULL || load_of(member) < load_of(least)))
            least = member;
    }
    return least;
}

static int enter(gyrei_member *member)
{
    if (member == NULL || !serves(member))
        return GYRE_EGONE;
    __atomic_fetch_add(&member->load, 1, __ATOMIC_RELAXED);
    return (int)member->index;
}

/* Threads that look at the same time must not all take the same one: the load decides. */
static int enter_least(gyre_group *group)
{
    for (int i = 0; i < LEAST_TRIES; i++) {
        gyrei_member *member = find_least(group);
        uint32_t load;

        if (member == NULL)
            return GYRE_EGONE;
        load = load_of(member);
        if (__atomic_compare_exchange_n(&member->load, &load, load + 1, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return (int)member->index;
    }
    return enter(find_next(group));
}

int gyre_group_enter(gyre_group *group, int where)
{
    if (where == GYRE_GROUP_NEXT)
        return enter(find_next(group));
    if (where == GYRE_GROUP_LEAST)
        return enter_least(group);
    if (where < 0 || (uint32_t)where >= group->count)
        return GYRE_EINVAL;
    return enter(&group->members[where]);
}

void gyre_group_leave(gyre_group *group, uint32_t index)
{
    const uint32_t load = __atomic_fetch_sub(&member_at(group, index)->load, 1, __ATOMIC_RELAXED);

    GYRE_ASSERT(load > 0);
}

uint32_t gyre_group_load(const gyre_group *group, uint32_t index)
{
    GYRE_ASSERT(index < group->count);
    return load_of(&group->members[index]);
}

uint32_t gyre_group_count(const gyre_group *group)
{
    return group->count;
}

int gyre_group_index(const gyre_group *group, const gyre_loop *loop)
{
    for (uint32_t i = 0; loop != NULL && i < group->count; i++) {
        if (__atomic_load_n(&group->members[i].loop, __ATOMIC_RELAXED) == loop)
            return (int)i;
    }
    return GYRE_ENOENT;
}

int gyre_group_post(gyre_group *group, uint32_t index, gyre_post_node *node, gyre_post_cb cb)
{
    return gyre_post(member_at(group, index)->remote, node, cb);
}

uint32_t gyre_group_post_all(gyre_group *group, gyre_post_node *nodes, gyre_post_cb cb)
{
    uint32_t posted = 0;

    for (uint32_t i = 0; i < group->count; i++) {
        if (gyre_group_post(group, i, &nodes[i], cb) == 0)
            posted++;
    }
    return posted;
}

gyre_remote *gyre_group_remote(gyre_group *group, uint32_t index)
{
    return gyre_remote_ref(member_at(group, index)->remote);
}
