/* Exercise 04, solved: a min-heap of timers. */
#include "exercise.h"

void heap_init(struct heap *heap, heap_node **nodes, ptrdiff_t room)
{
    *heap = (struct heap){.nodes = nodes, .room = room};
}

static void put(struct heap *heap, heap_node *node, ptrdiff_t place)
{
    heap->nodes[place] = node;
    node->place = place;
}

/* `place` is a hole: it goes up until `node` may stand in it. */
static void sift_up(struct heap *heap, heap_node *node, ptrdiff_t place)
{
    while (place > 0) {
        const ptrdiff_t parent = (place - 1) / 2;

        if (!heap_before(node, heap->nodes[parent]))
            break;
        put(heap, heap->nodes[parent], place);
        place = parent;
    }
    put(heap, node, place);
}

/* The same downwards. */
static void sift_down(struct heap *heap, heap_node *node, ptrdiff_t place)
{
    for (;;) {
        ptrdiff_t child = 2 * place + 1;

        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && heap_before(heap->nodes[child + 1], heap->nodes[child]))
            child++;
        if (!heap_before(heap->nodes[child], node))
            break;
        put(heap, heap->nodes[child], place);
        place = child;
    }
    put(heap, node, place);
}

bool heap_push(struct heap *heap, heap_node *node, int64_t due)
{
    if (heap->count == heap->room)
        return false;
    node->due = due;
    node->order = heap->pushed++;
    heap->count++;
    sift_up(heap, node, heap->count - 1);
    return true;
}

heap_node *heap_first(const struct heap *heap)
{
    return heap->count > 0 ? heap->nodes[0] : NULL;
}

heap_node *heap_pop(struct heap *heap)
{
    heap_node *first = heap_first(heap);

    if (first != NULL)
        (void)heap_remove(heap, first);
    return first;
}

bool heap_remove(struct heap *heap, heap_node *node)
{
    const ptrdiff_t place = node->place;
    heap_node *last;

    if (place == HEAP_NOWHERE)
        return false;
    heap->count--;
    last = heap->nodes[heap->count];
    node->place = HEAP_NOWHERE;
    if (last == node)
        return true;
    /* The last one comes from another branch: it may belong above the hole as well as below. */
    if (place > 0 && heap_before(last, heap->nodes[(place - 1) / 2]))
        sift_up(heap, last, place);
    else
        sift_down(heap, last, place);
    return true;
}
