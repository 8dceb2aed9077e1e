/* Exercise 04: your file. The contracts are in exercise.h, the page is README.md. */
#include "exercise.h"

void heap_init(struct heap *heap, heap_node **nodes, ptrdiff_t room)
{
    (void)heap; /* your code here */
    (void)nodes;
    (void)room;
}

bool heap_push(struct heap *heap, heap_node *node, int64_t due)
{
    (void)heap;
    (void)node;
    (void)due;
    return false;
}

heap_node *heap_first(const struct heap *heap)
{
    (void)heap;
    return NULL;
}

heap_node *heap_pop(struct heap *heap)
{
    (void)heap;
    return NULL;
}

bool heap_remove(struct heap *heap, heap_node *node)
{
    (void)heap;
    (void)node;
    return false;
}
