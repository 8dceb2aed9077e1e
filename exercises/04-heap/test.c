/* The tests of exercise 04. They count comparisons, and check the whole heap after each step. */
#include "check.h"
#include "exercise.h"

#include <string.h>

enum { NODES = 1024, STEPS = 20000, LEVELS = 11 };

static heap_node *places[NODES];
static heap_node nodes[NODES];
static struct heap heap;
static long comparisons;
static uint64_t random_state = 1;

bool heap_before(const heap_node *a, const heap_node *b)
{
    comparisons++;
    return a->due < b->due || (a->due == b->due && a->order < b->order);
}

/* Always the same numbers: xorshift. */
static int next_random(int below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int)(random_state % (uint64_t)below);
}

static void begin(void)
{
    memset(&heap, 0xff, sizeof(heap));
    heap_init(&heap, places, NODES);
    for (int i = 0; i < NODES; i++)
        nodes[i] = (heap_node){.place = HEAP_NOWHERE};
}

static void check_heap(int count, const char *after)
{
    CHECK(heap.count == count, "after %s: heap->count: expected %d, got %lld", after, count,
          (long long)heap.count);
    for (ptrdiff_t i = 0; i < heap.count; i++) {
        const heap_node *parent = heap.nodes[i > 0 ? (i - 1) / 2 : 0];

        CHECK(heap.nodes[i] != NULL, "after %s: nodes[%d] is NULL", after, (int)i);
        CHECK(heap.nodes[i]->place == i, "after %s: nodes[%d]->place is %d, not %d", after, (int)i,
              (int)heap.nodes[i]->place, (int)i);
        CHECK(i == 0 || !heap_before(heap.nodes[i], parent),
              "after %s: nodes[%d] (due %lld) has to come before its parent nodes[%d] (due %lld)",
              after, (int)i, (long long)heap.nodes[i]->due, (int)(i - 1) / 2,
              (long long)parent->due);
    }
}

static void push(int which, int64_t due)
{
    CHECK(heap_push(&heap, &nodes[which], due), "heap_push has refused a node: there is room");
    CHECK_INT(nodes[which].due, due, "node->due after heap_push");
}

/* Pops one; it has to be nodes[which]. */
static void pop(int which)
{
    const heap_node *node = heap_pop(&heap);

    CHECK(node != NULL, "heap_pop returned NULL, and the heap is not empty");
    CHECK(node == &nodes[which], "heap_pop: expected the node pushed as number %d, got number %d",
          which, (int)(node - nodes));
    CHECK_INT(node->place, HEAP_NOWHERE, "the place of a node that was popped");
}

static void empty(void)
{
    begin();
    CHECK_INT(heap.count, 0, "nodes in a new heap");
    CHECK(heap_first(&heap) == NULL, "heap_first of an empty heap is not NULL");
    CHECK(heap_pop(&heap) == NULL, "heap_pop of an empty heap is not NULL");
    push(0, 7);
    CHECK(heap_first(&heap) == &nodes[0], "heap_first is not the only node");
    pop(0);
    CHECK(heap_first(&heap) == NULL, "heap_first is not NULL after the only node was popped");
}

static void first_is_smallest(void)
{
    static const int64_t due[] = {50, 30, 40, 10, 20, 60, 5};
    static const int smallest[] = {0, 1, 1, 3, 3, 3, 6};

    begin();
    for (int i = 0; i < 7; i++) {
        push(i, due[i]);
        check_heap(i + 1, "a push");
        CHECK(heap_first(&heap) == &nodes[smallest[i]],
              "heap_first is not the one that is due at"
              " %d",
              (int)due[smallest[i]]);
    }
}

static void pops_in_order(void)
{
    static const int64_t due[] = {50, 30, 40, 10, 20, 60, 5, 45};
    static const int order[] = {6, 3, 4, 1, 2, 7, 0, 5};

    begin();
    for (int i = 0; i < 8; i++)
        push(i, due[i]);
    for (int i = 0; i < 8; i++) {
        pop(order[i]);
        check_heap(7 - i, "a pop");
    }
}

static void equal_times(void)
{
    begin();
    for (int i = 0; i < 100; i++)
        push(i, i % 2 == 0 ? 5 : 9);
    for (int i = 0; i < 100; i += 2)
        pop(i);
    for (int i = 1; i < 100; i += 2)
        pop(i);
}

static void full(void)
{
    heap_node one_more = {.place = HEAP_NOWHERE};

    begin();
    for (int i = 0; i < NODES; i++)
        push(i, i);
    CHECK(!heap_push(&heap, &one_more, 1), "heap_push has put a node into a full heap");
    check_heap(NODES, "a push that was refused");
}

/*
 * The last node, 4, goes to the place of 51, whose parent is 50: it has to go up.
 *
 *              1
 *        50         2
 *     51    52    3   4 (last)
 */
static void remove_up(void)
{
    static const int64_t due[] = {1, 50, 2, 51, 52, 3, 4};

    begin();
    for (int i = 0; i < 7; i++)
        push(i, due[i]);
    CHECK(heap_remove(&heap, &nodes[3]), "heap_remove has refused a node of the heap");
    check_heap(6, "the removal of 51 from 1 50 2 51 52 3 4");
    CHECK_INT(nodes[3].place, HEAP_NOWHERE, "the place of a node that was removed");
    CHECK(!heap_remove(&heap, &nodes[3]), "heap_remove of a node that is in no heap is true");
    check_heap(6, "a removal that was refused");
}

static void remove_down_and_last(void)
{
    begin();
    for (int i = 0; i < 7; i++)
        push(i, i);
    CHECK(heap_remove(&heap, &nodes[1]), "heap_remove has refused a node of the heap");
    check_heap(6, "the removal of 1 from 0 1 2 3 4 5 6");
    CHECK(heap_remove(&heap, heap.nodes[5]), "heap_remove has refused the last node");
    check_heap(5, "the removal of the last node");
    CHECK(heap_remove(&heap, &nodes[0]), "heap_remove has refused the first node");
    check_heap(4, "the removal of the first node");
    CHECK(heap_first(&heap) == &nodes[2], "heap_first is not 2 after 0 and 1 were removed");
}

/* The first among all nodes, by looking at each. */
static heap_node *first_by_looking(void)
{
    heap_node *first = NULL;

    for (int i = 0; i < NODES; i++) {
        if (nodes[i].place != HEAP_NOWHERE && (first == NULL || heap_before(&nodes[i], first)))
            first = &nodes[i];
    }
    return first;
}

static void many_steps(void)
{
    int count = 0;

    begin();
    for (int step = 0; step < STEPS; step++) {
        heap_node *node = &nodes[next_random(NODES)];

        if (node->place != HEAP_NOWHERE) {
            CHECK(heap_remove(&heap, node), "heap_remove has refused a node of the heap");
            count--;
        } else {
            CHECK(heap_push(&heap, node, next_random(300)), "heap_push has refused a node");
            count++;
        }
        if (step % 64 == 0) {
            check_heap(count, "many random pushes and removals");
            CHECK(heap_first(&heap) == first_by_looking(), "heap_first is not the first of all");
        }
    }
    for (heap_node *first = first_by_looking(); first != NULL; first = first_by_looking())
        CHECK(heap_pop(&heap) == first, "heap_pop is not the first of all");
}

static void few_comparisons(void)
{
    begin();
    comparisons = 0;
    for (int i = 0; i < NODES; i++)
        push(i, NODES - i);
    CHECK(comparisons > 0, "nodes were not compared with heap_before");
    CHECK(comparisons <= (long)NODES * LEVELS, "%d pushes took %ld comparisons, more than %d each",
          NODES, comparisons, LEVELS);
    comparisons = 0;
    for (int i = 0; i < NODES; i++)
        (void)heap_pop(&heap);
    CHECK(comparisons <= 2L * NODES * LEVELS, "%d pops took %ld comparisons, more than %d each",
          NODES, comparisons, 2 * LEVELS);
}

static const check_test tests[] = {
    {"an empty heap has no first node", empty,
     "set every field in heap_init; heap_first is nodes[0], if count is not 0."},
    {"the first node is the smallest after each push", first_is_smallest,
     "put the new one at the end; while it comes before its parent (place - 1) / 2, swap the two."},
    {"nodes are popped in the order of their time", pops_in_order,
     "the last node goes to the top, then down: swap with the smaller of its two children."},
    {"nodes of the same time are popped in the order of their push", equal_times,
     "heap_push sets node->order from heap->pushed, which only grows."},
    {"a full heap refuses a push", full, "compare count and room before anything is changed."},
    {"a removal can send the last node up", remove_up,
     "the last node comes from another branch: compare it with its new parent first."},
    {"a removal from anywhere keeps the order", remove_down_and_last,
     "node->place tells where it is. When the removed node is the last one, nothing moves."},
    {"20000 random pushes and removals keep the order", many_steps,
     "each move of a node has to set its place: use one function for both."},
    {"a step takes as many comparisons as the heap has levels", few_comparisons,
     "go along one branch only. Sorting or searching the array compares far too often."},
};

int main(int argc, char **argv)
{
    return check_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
