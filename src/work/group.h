/*
 * A group, as its files see it.
 */
#ifndef GYREI_WORK_GROUP_H
#define GYREI_WORK_GROUP_H

#include "core/threads.h"
#include "gyre/group.h"

enum {
    GYREI_MEMBER_SERVING = 0,
    GYREI_MEMBER_DRAINING,
    GYREI_MEMBER_ENDING, /* the loop is being shut down */
    GYREI_MEMBER_ENDED
};

/* One loop and its thread. Larger than a cache line, so that loads do not share one. */
typedef struct gyrei_member {
    gyre_group *group;
    gyre_loop *loop; /* atomic; NULL once it was closed */
    gyre_remote *remote;
    gyrei_thread *thread;
    uintptr_t self; /* atomic: what names the thread while it runs */
    uint32_t index;
    uint32_t state;      /* atomic */
    uint32_t load;       /* atomic */
    uint32_t drain_told; /* atomic: the node below is posted, or was */
    uint32_t stop_told;
    bool held; /* by the group, so that it serves on when it has nothing to do */
    gyre_post_node drain;
    gyre_post_node stop;
} gyrei_member;

struct gyre_group {
    gyre_group_options options;
    gyre_group_setup_cb setup;
    gyre_allocator allocator;
    size_t bytes;
    char name[16];
    const gyrei_env *env;

    gyrei_monitor *monitor;
    uint32_t arrived; /* threads that have called `setup` */
    uint32_t ended;   /* threads that have called `ended` */
    int setup_error;
    int run_error;

    uint32_t turn; /* atomic: where GYRE_GROUP_NEXT goes on */
    uint32_t count;
    gyrei_member members[];
};

#endif
