/*
 * The ring buffer: bounds, the way round its end, counts that wrap, and two threads at a time.
 */
#include <gyre/error.h>
#include <gyre/ring.h>

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { ROOM = 8, ITEMS = 200000 };

static gyre_ring ring;

static void what_is_pushed_is_popped_in_order(void **state)
{
    char memory[ROOM];
    char out[ROOM];

    (void)state;
    assert_int_equal(gyre_ring_init(&ring, memory, 1, ROOM), 0);
    assert_int_equal(gyre_ring_pop(&ring, out, 1), GYRE_EAGAIN);
    assert_int_equal(gyre_ring_pop(&ring, out, 0), 0);
    assert_int_equal(gyre_ring_push(&ring, "abcdef", 6), 6);
    assert_int_equal(gyre_ring_pop(&ring, out, 4), 4);
    assert_memory_equal(out, "abcd", 4);
    /* six more where two wait: round the end */
    assert_int_equal(gyre_ring_push(&ring, "ghijkl", 6), 6);
    assert_int_equal(gyre_ring_count(&ring), ROOM);
    assert_int_equal(gyre_ring_push(&ring, "m", 1), GYRE_ENOBUFS);
    assert_int_equal(gyre_ring_push(&ring, NULL, 0), 0);
    assert_int_equal(gyre_ring_pop(&ring, out, ROOM), ROOM);
    assert_memory_equal(out, "efghijkl", ROOM);
}

static void as_much_is_taken_as_there_is_room_for(void **state)
{
    uint64_t memory[4];
    const uint64_t in[6] = {1, 2, 3, 4, 5, 6};
    uint64_t out[6];

    (void)state;
    assert_int_equal(gyre_ring_init(&ring, memory, sizeof(in[0]), 4), 0);
    assert_int_equal(gyre_ring_push(&ring, in, 6), 4);
    assert_int_equal(gyre_ring_pop(&ring, out, 6), 4);
    assert_memory_equal(out, in, 4 * sizeof(in[0]));
}

static void the_counts_wrap(void **state)
{
    uint32_t memory[2];
    uint32_t out;

    (void)state;
    assert_int_equal(gyre_ring_init(&ring, memory, sizeof(memory[0]), 2), 0);
    ring.pushed = ring.popped = UINT32_MAX - 2;
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(gyre_ring_push(&ring, &i, 1), 1);
        assert_int_equal(gyre_ring_count(&ring), 1);
        assert_int_equal(gyre_ring_pop(&ring, &out, 1), 1);
        assert_int_equal(out, i);
    }
}

static void bad_sizes_are_refused(void **state)
{
    char memory[ROOM];

    (void)state;
    assert_int_equal(gyre_ring_init(&ring, memory, 1, 0), GYRE_EINVAL);
    assert_int_equal(gyre_ring_init(&ring, memory, 1, 6), GYRE_EINVAL);
    assert_int_equal(gyre_ring_init(&ring, memory, 0, ROOM), GYRE_EINVAL);
    assert_int_equal(gyre_ring_init(&ring, NULL, 1, ROOM), GYRE_EINVAL);
    assert_int_equal(gyre_ring_init(&ring, memory, SIZE_MAX / 4, ROOM), GYRE_EINVAL);
    assert_int_equal(gyre_ring_init(&ring, memory, 1, UINT32_C(1) << 31), GYRE_EINVAL);
}

static void *push_all(void *unused)
{
    for (uint32_t next = 0; next < ITEMS;) {
        uint32_t some[3] = {next, next + 1, next + 2};
        const uint32_t want = ITEMS - next < 3 ? ITEMS - next : 3;
        const int64_t taken = gyre_ring_push(&ring, some, want);

        if (taken > 0)
            next += (uint32_t)taken;
        else
            sched_yield();
    }
    return unused;
}

static void one_thread_pushes_while_another_pops(void **state)
{
    uint32_t memory[ROOM];
    uint32_t expected = 0;
    pthread_t thread;

    (void)state;
    assert_int_equal(gyre_ring_init(&ring, memory, sizeof(memory[0]), ROOM), 0);
    assert_int_equal(pthread_create(&thread, NULL, push_all, NULL), 0);
    while (expected < ITEMS) {
        uint32_t out[5];
        const int64_t moved = gyre_ring_pop(&ring, out, 5);

        if (moved < 0)
            sched_yield();
        for (int64_t i = 0; i < moved; i++)
            assert_int_equal(out[i], expected++);
    }
    pthread_join(thread, NULL);
    assert_int_equal(gyre_ring_count(&ring), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_pushed_is_popped_in_order),
        cmocka_unit_test(as_much_is_taken_as_there_is_room_for),
        cmocka_unit_test(the_counts_wrap),
        cmocka_unit_test(bad_sizes_are_refused),
        cmocka_unit_test(one_thread_pushes_while_another_pops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
