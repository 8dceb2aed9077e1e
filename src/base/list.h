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

static inline void gyrei_list_init(gyre_link *head)
{
    head->next = head;
    head->prev = head;
}

static inline bool gyrei_list_empty(const gyre_link *head)
{
    return head->next == head;
}

/* Adds `node` behind all others. */
static inline void gyrei_list_append(gyre_link *head, gyre_link *node)
{
    gyre_link *last = head->prev;

    node->next = head;
    node->prev = last;
    last->next = node;
    head->prev = node;
}

/* Adds `node` before all others. */
static inline void gyrei_list_prepend(gyre_link *head, gyre_link *node)
{
    gyrei_list_append(head->next, node);
}

/* Takes `node` out of its list; harmless on a node that is in none. */
static inline void gyrei_list_remove(gyre_link *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    gyrei_list_init(node);
}

/* Takes out the first node, or returns NULL. */
static inline gyre_link *gyrei_list_pop(gyre_link *head)
{
    gyre_link *first = head->next;

    if (first == head)
        return NULL;
    gyrei_list_remove(first);
    return first;
}

/* Moves all nodes of `from` behind those of `to`. */
static inline void gyrei_list_splice(gyre_link *to, gyre_link *from)
{
    gyre_link *first = from->next;
    gyre_link *last = from->prev;

    if (first == from)
        return;
    first->prev = to->prev;
    to->prev->next = first;
    last->next = to;
    to->prev = last;
    gyrei_list_init(from);
}

#endif
