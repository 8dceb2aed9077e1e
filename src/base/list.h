/*
 * Intrusive doubly linked list: a ring of gyre_link through a head. A link outside any list points
 * to itself.
 *
 * Append, remove and move are O(1) and cannot fail. Knows nothing of what its nodes stand in.
 */
#ifndef GYREI_BASE_LIST_H
#define GYREI_BASE_LIST_H

#include "gyre/base.h"

#include <stdbool.h>

/*
 * A link as the functions here write and read it. A head inside a larger struct and a bare link are
 * of one type, and yet gcc 12 at -O2 takes them for different objects: it moved the load of a
 * head's `next` out of a loop that changed it through its neighbour. Now it may not.
 */
typedef gyre_link *gyrei_link_pointer __attribute__((may_alias));

static inline void gyrei_list_join(gyre_link *before, gyre_link *after)
{
    *(gyrei_link_pointer *)&before->next = after;
    *(gyrei_link_pointer *)&after->prev = before;
}

static inline gyre_link *gyrei_list_next(const gyre_link *link)
{
    return *(const gyrei_link_pointer *)&link->next;
}

static inline gyre_link *gyrei_list_prev(const gyre_link *link)
{
    return *(const gyrei_link_pointer *)&link->prev;
}

static inline void gyrei_list_init(gyre_link *head)
{
    gyrei_list_join(head, head);
}

static inline bool gyrei_list_empty(const gyre_link *head)
{
    return gyrei_list_next(head) == head;
}

/* Adds `node` behind all others. */
static inline void gyrei_list_append(gyre_link *head, gyre_link *node)
{
    gyre_link *last = gyrei_list_prev(head);

    gyrei_list_join(node, head);
    gyrei_list_join(last, node);
}

/* Adds `node` before all others. */
static inline void gyrei_list_prepend(gyre_link *head, gyre_link *node)
{
    gyrei_list_append(gyrei_list_next(head), node);
}

/* Takes `node` out of its list; harmless on a node that is in none. */
static inline void gyrei_list_remove(gyre_link *node)
{
    gyrei_list_join(gyrei_list_prev(node), gyrei_list_next(node));
    gyrei_list_init(node);
}

/* Takes out the first node, or returns NULL. */
static inline gyre_link *gyrei_list_pop(gyre_link *head)
{
    gyre_link *first = gyrei_list_next(head);

    if (first == head)
        return NULL;
    gyrei_list_remove(first);
    return first;
}

/* Moves all nodes of `from` behind those of `to`. */
static inline void gyrei_list_splice(gyre_link *to, gyre_link *from)
{
    gyre_link *first = gyrei_list_next(from);
    gyre_link *last = gyrei_list_prev(from);

    if (first == from)
        return;
    gyrei_list_join(gyrei_list_prev(to), first);
    gyrei_list_join(last, to);
    gyrei_list_init(from);
}

#endif
