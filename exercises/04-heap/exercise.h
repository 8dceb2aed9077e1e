/*
 * Exercise 04: a min-heap of timers. The page is README.md; write the functions in exercise.c.
 * Nothing is to be changed here.
 */
#ifndef EXERCISE_04_H
#define EXERCISE_04_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HEAP_NOWHERE = -1 };

/* A part of the timer itself: the heap allocates nothing. */
typedef struct heap_node {
    int64_t due;     /* when; the smallest is the first */
    uint64_t order;  /* how many were pushed before it: decides between equal times */
    ptrdiff_t place; /* its index in heap->nodes, HEAP_NOWHERE when it is in no heap */
} heap_node;

struct heap {
    heap_node **nodes; /* nodes[0] is the first; the children of i stand at 2i+1 and 2i+2 */
    ptrdiff_t count;
    ptrdiff_t room;
    uint64_t pushed; /* nodes pushed so far */
};

/* True if `a` has to come before `b`. The tests bring it, and count how often it is called. */
bool heap_before(const heap_node *a, const heap_node *b);

/* Makes an empty heap in an array with room for `room` pointers. */
void heap_init(struct heap *heap, heap_node **nodes, ptrdiff_t room);

/* Puts `node`, which is in no heap, into the heap; sets all its fields. False when it is full. */
bool heap_push(struct heap *heap, heap_node *node, int64_t due);

/* Returns the first node, which stays; NULL: the heap is empty. */
heap_node *heap_first(const struct heap *heap);

/* Takes the first node out and returns it; NULL: the heap is empty. */
heap_node *heap_pop(struct heap *heap);

/* Takes `node` out, wherever in the heap it is. False if it is in no heap. */
bool heap_remove(struct heap *heap, heap_node *node);

#endif
