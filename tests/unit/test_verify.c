/*
 * The audit of a loop: a sound one passes it in both modes of the simulator, each damage is told by
 * its name, and a world whose loop is damaged says so after the next turn.
 */
#include "backend/ready.h"
#include "core/loop.h"
#include "sim/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <gyre.h>

enum { PORT = 7, TIMERS = 8, BUFFER_LENT = 1, NODE_DUE = 1 };

typedef struct program {
    gyre_sim *sim;
    gyre_sim_host *host;
    gyre_loop *loop;
    gyre_tcp listener, served, client;
    gyre_connect_req connect;
    gyre_timer timers[TIMERS];
    gyre_hook hook;
    gyre_deferred deferred;
    bool connected;
} program;

static program it;

/* ---- a program that has some of all ---- */

static void on_read(gyre_stream *stream, int64_t nread, const gyre_buf *buf)
{
    (void)stream;
    (void)nread;
    (void)buf;
}

static void on_connection(gyre_stream *listener, int status)
{
    assert_int_equal(status, 0);
    assert_int_equal(gyre_accept(listener, &it.served.stream), 0);
    assert_int_equal(gyre_read_start(&it.served.stream, on_read), 0);
}

static void on_connected(gyre_connect_req *req, int status)
{
    assert_int_equal(status, 0);
    assert_int_equal(gyre_read_start(req->stream, on_read), 0);
    it.connected = true;
}

static void on_timer(gyre_timer *timer)
{
    (void)timer;
}

static void on_hook(gyre_hook *hook)
{
    (void)hook;
}

static void on_deferred(gyre_deferred *deferred)
{
    (void)deferred;
}

static int boot(gyre_sim_host *host, gyre_loop *loop, void *ctx)
{
    gyre_address address;

    (void)ctx;
    it.loop = loop;
    gyre_sim_host_address(host, PORT, &address);
    assert_int_equal(gyre_tcp_init(loop, &it.listener), 0);
    assert_int_equal(gyre_tcp_bind(&it.listener, &address, 0), 0);
    assert_int_equal(gyre_listen(&it.listener.stream, 0, on_connection), 0);
    assert_int_equal(gyre_tcp_init(loop, &it.client), 0);
    assert_int_equal(gyre_tcp_connect(&it.client, &it.connect, &address, 0, on_connected), 0);
    assert_int_equal(gyre_hook_init(loop, &it.hook, GYRE_HOOK_PREPARE), 0);
    gyre_hook_start(&it.hook, on_hook);
    for (uint64_t i = 0; i < TIMERS; i++) {
        assert_int_equal(gyre_timer_init(loop, &it.timers[i]), 0);
        gyre_timer_set_slack(&it.timers[i], i == 1 ? GYRE_SECOND : 0);
        gyre_timer_start(&it.timers[i], (TIMERS - i) * GYRE_SECOND, 0, on_timer);
    }
    gyre_timer_start(&it.timers[2], 100 * GYRE_SECOND, 0, on_timer); /* left behind */
    gyre_timer_stop(&it.timers[3]);
    return 0;
}

static void open_world(gyre_sim_mode mode)
{
    const gyre_sim_options options = {.size = sizeof(options), .seed = 1, .mode = mode};

    it = (program){.connected = false};
    assert_int_equal(gyre_sim_init(&it.sim, &options), 0);
    assert_int_equal(gyre_sim_host_init(it.sim, &it.host, "host", boot, NULL, NULL), 0);
    gyre_sim_run_until(it.sim, gyre_sim_now_ns(it.sim) + GYRE_SECOND / 2);
    assert_true(it.connected);
    gyre_defer(it.loop, &it.deferred, on_deferred);
    assert_null(gyrei_loop_verify(it.loop));
}

/* ---- damages ---- */

/* The operation of the first stream that waits for bytes. */
static gyre_op *receive(void)
{
    uint32_t position = 0;
    gyre_op *op;

    do
        op = gyrei_op_next(it.loop, &position);
    while (op->kind != GYREI_OP_RECV);
    return op;
}

static void more_runnable(void)
{
    it.loop->runnable_count++;
}

static void drain_past_bound(void)
{
    it.loop->rounds_left = GYREI_DRAIN_ROUNDS;
}

static void runnable_in_no_list(void)
{
    receive()->flags |= GYREI_OP_IN_RUN_QUEUE;
}

static void queued_in_no_list(void)
{
    receive()->state = GYREI_OP_QUEUED;
}

static void descriptor_left_open(void)
{
    it.loop->fd_to_close = INT32_MAX;
}

static void stateless(void)
{
    receive()->state = GYREI_OP_RUNNABLE + 1;
}

static void wrong_slot(void)
{
    receive()->slot++;
}

static void record_lost(void)
{
    it.loop->records_free = it.loop->records_free->next;
}

/* A final result, and another one behind it. */
static void ends_twice(void)
{
    gyre_op *op = receive();

    op->records = it.loop->records_free;
    it.loop->records_free = op->records->next;
    *op->records = (gyrei_record){.next = op->records};
    op->flags |= GYREI_OP_HAS_RESULT | GYREI_OP_IN_RUN_QUEUE;
    op->state = GYREI_OP_RUNNABLE;
    gyrei_list_remove(&op->link);
    gyrei_list_append(&it.loop->runnable, &op->link);
    it.loop->runnable_count++;
}

/* Results that wait: the first goes on, the second ends the operation. */
static void two_results(void)
{
    ends_twice();
    receive()->flags |= GYREI_OP_RESULT_MORE;
}

static void ended_and_in_kernel(void)
{
    two_results();
    receive()->records->flags |= GYREI_RESULT_MORE;
}

static void slot_counted_twice(void)
{
    it.loop->slots.used++;
}

static void slot_lost(void)
{
    it.loop->slots.first_free =
        gyrei_slots_at(&it.loop->slots, it.loop->slots.first_free)->next_free;
}

static void slot_promised_in_vain(void)
{
    it.loop->slots.reserved += it.loop->slots.chunk_count * GYREI_SLOT_CHUNK;
}

static void slot_free_and_used(void)
{
    it.loop->slots.first_free = receive()->slot;
}

static void slot_without_generation(void)
{
    gyrei_slots_at(&it.loop->slots, receive()->slot)->generation = 0;
}

static void heap_out_of_order(void)
{
    it.loop->timers.entries[0].key = UINT64_MAX;
}

static void heap_misplaced(void)
{
    it.loop->timers.entries[1].node->heap_index = 0;
}

static void timer_late(void)
{
    it.timers[TIMERS - 1].node.deadline_ns--;
}

static void timer_early(void)
{
    it.timers[TIMERS - 1].node.deadline_ns++;
}

static void timer_with_slack_early(void)
{
    it.timers[1].node.deadline_ns += 2 * GYRE_SECOND;
}

static void timer_due_early(void)
{
    static gyre_timer_node node;

    node = (gyre_timer_node){.state = NODE_DUE, .deadline_ns = UINT64_MAX};
    gyrei_list_append(&it.loop->due, &node.link);
}

static void hook_gone(void)
{
    it.loop->hook_next[GYRE_HOOK_PREPARE] = &it.hook.handle.link;
}

static void hook_stopped(void)
{
    it.hook.handle.flags &= (uint16_t)~GYREI_HANDLE_ACTIVE;
}

static void hook_unordered(void)
{
    it.hook.sequence = it.loop->hook_sequence;
}

static void idle_miscounted(void)
{
    it.loop->idle_count++;
}

static void handle_miscounted(void)
{
    it.loop->handle_count++;
}

static void handle_gone(void)
{
    it.hook.handle.state = 0;
}

static void close_early(void)
{
    it.hook.handle.flags |= GYREI_HANDLE_QUEUED;
}

static void close_lost(void)
{
    it.hook.handle.flags |= GYREI_HANDLE_CLOSING;
}

static void close_with_pending(void)
{
    gyre_close(&it.hook.handle, NULL);
    it.hook.handle.pending++;
}

static void close_miscounted(void)
{
    gyre_close(&it.hook.handle, NULL);
    it.loop->closing_count++;
}

static void task_miscounted(void)
{
    it.loop->task_count++;
}

static void alive_miscounted(void)
{
    it.loop->alive = 1;
}

/* ---- of readiness ---- */

static gyrei_ready *ready(void)
{
    return (gyrei_ready *)(void *)it.loop->backend;
}

static void parked_elsewhere(void)
{
    receive()->fd++;
}

static void parked_nowhere(void)
{
    gyrei_list_remove(&receive()->link);
}

static void interest_lost(void)
{
    ready()->chunks[0][receive()->fd].armed = 0;
}

static void starved_wrongly(void)
{
    gyre_op *op = receive();

    gyrei_list_remove(&op->link);
    gyrei_list_append(&ready()->starved, &op->link);
    op->pointer = &it;
}

static void dirty_lost(void)
{
    ready()->chunks[0][receive()->fd].flags |= 1;
}

static void dirty_wrongly(void)
{
    ready()->dirty = 1;
}

static void buffer_lent(void)
{
    ready()->buffers.entries[0].state = BUFFER_LENT;
}

static void buffer_twice(void)
{
    ready()->buffers.entries[1].base = ready()->buffers.entries[0].base + 1;
}

static void kept_miscounted(void)
{
    ready()->buffers.kept++;
}

/* ---- of completion ---- */

static gyrei_sim_ring *ring(void)
{
    return (gyrei_sim_ring *)(void *)it.loop->backend;
}

static void ring_buffer_lost(void)
{
    assert_true(gyrei_sim_ring_buffer(ring()) != UINT32_MAX);
}

static void ring_buffer_twice(void)
{
    const gyrei_sim_completion one = {.flags = GYREI_RESULT_BUFFER | GYREI_RESULT_MORE,
                                      .buffer = gyrei_sim_ring_buffer(ring())};

    gyrei_sim_ring_push(ring(), &one);
    gyrei_sim_ring_push(ring(), &one);
}

static void ring_buffer_not_lent(void)
{
    const gyrei_sim_completion one = {.flags = GYREI_RESULT_BUFFER | GYREI_RESULT_MORE};

    gyrei_sim_ring_push(ring(), &one);
}

static void ring_lent_miscounted(void)
{
    ring()->lent++;
}

/* Its request goes on, and yet it ends. */
static void ring_second_end(void)
{
    const gyrei_sim_completion end = {.id = gyrei_op_id(it.loop, receive())};

    gyrei_sim_ring_push(ring(), &end);
}

static void ring_stale_request(void)
{
    gyrei_slots_renew(&it.loop->slots, receive()->slot);
}

typedef struct damage {
    void (*make)(void);
    const char *flaw;
} damage;

static const damage of_any[] = {
    {more_runnable, "the run queue is miscounted"},
    {drain_past_bound, "a drain is past its bound"},
    {descriptor_left_open, "a descriptor was let go of and is open"},
    {stateless, "an operation is in no state"},
    {wrong_slot, "an operation stands in two slots"},
    {record_lost, "a record was lost"},
    {ends_twice, "an operation ends twice"},
    {ended_and_in_kernel, "an operation is in the kernel after its end, or not before"},
    {queued_in_no_list, "an operation that waits is in no list"},
    {slot_counted_twice, "slots in use are miscounted"},
    {slot_lost, "a slot was lost"},
    {slot_promised_in_vain, "more slots are promised than there are"},
    {slot_free_and_used, "a slot is free and in use"},
    {slot_without_generation, "a slot has the generation that means none"},
    {heap_out_of_order, "the timer heap is out of order"},
    {heap_misplaced, "a timer is not at its place in the heap"},
    {timer_late, "a timer would be late"},
    {timer_early, "a timer's key is not its own"},
    {timer_with_slack_early, "a timer's key is not its own"},
    {timer_due_early, "a timer is due early"},
    {hook_gone, "a phase goes on at a hook that is gone"},
    {hook_stopped, "a hook that was not started stands in a phase"},
    {hook_unordered, "hooks do not stand in the order of their start"},
    {idle_miscounted, "idle hooks are miscounted"},
    {handle_miscounted, "handles are miscounted"},
    {handle_gone, "a handle that is gone stands in the loop"},
    {close_early, "a handle stands in the wrong list"},
    {close_lost, "a closing handle has nothing pending, and its close is not due"},
    {close_with_pending, "a handle whose close is due has something pending"},
    {close_miscounted, "closes that are due are miscounted"},
    {task_miscounted, "tasks are miscounted"},
    {alive_miscounted, "what is alive is miscounted"},
};

static const damage of_readiness[] = {
    {runnable_in_no_list, "an operation that has no result would be run"},
    {parked_elsewhere, "an operation is parked where it does not belong"},
    {parked_nowhere, "an operation is parked nowhere"},
    {interest_lost, "an operation waits for what the kernel was not asked"},
    {starved_wrongly, "an operation that needs no buffer waits for one"},
    {dirty_lost, "a descriptor's interest would never be flushed"},
    {dirty_wrongly, "a descriptor stands wrongly among the dirty ones"},
    {buffer_lent, "a receive buffer is lent, and no callback has it"},
    {buffer_twice, "a receive buffer is there twice"},
    {kept_miscounted, "kept buffers are miscounted"},
};

static const damage of_completion[] = {
    {runnable_in_no_list, "an operation in the kernel waits wrongly"},
    {ring_buffer_lost, "a buffer was lost"},
    {ring_buffer_twice, "a buffer has two owners"},
    {ring_buffer_not_lent, "a result stands in a buffer that is not lent"},
    {ring_lent_miscounted, "buffers are miscounted"},
    {ring_second_end, "an operation in the kernel has no request, or two ends"},
    {ring_stale_request, "the kernel works on an operation that has ended"},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void try_all(gyre_sim_mode mode, const damage *damages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *flaw;

        open_world(mode);
        damages[i].make();
        flaw = gyrei_loop_verify(it.loop);
        assert_non_null(flaw);
        assert_string_equal(flaw, damages[i].flaw);
        gyre_sim_close(it.sim);
    }
}

static void test_damage_is_told(void **state)
{
    (void)state;
    try_all(GYRE_SIM_READINESS, of_any, COUNT(of_any));
    try_all(GYRE_SIM_COMPLETION, of_any, COUNT(of_any));
    try_all(GYRE_SIM_READINESS, of_readiness, COUNT(of_readiness));
    try_all(GYRE_SIM_COMPLETION, of_completion, COUNT(of_completion));
}

static void test_results_that_wait_are_no_damage(void **state)
{
    (void)state;
    open_world(GYRE_SIM_READINESS);
    two_results();
    assert_null(gyrei_loop_verify(it.loop));
    gyre_sim_close(it.sim);
}

/* The queues are looked at after each turn, all of the loop soon after. */
static void test_a_damaged_world_fails(void **state)
{
    (void)state;
    open_world(GYRE_SIM_BY_SEED);
    more_runnable();
    gyre_sim_run_until(it.sim, gyre_sim_now_ns(it.sim) + 1);
    assert_string_equal(gyre_sim_failure(it.sim), "the run queue is miscounted");
    gyre_sim_close(it.sim);

    open_world(GYRE_SIM_BY_SEED);
    gyre_timer_start(&it.timers[0], 0, GYRE_MILLISECOND, on_timer);
    idle_miscounted();
    assert_int_equal(gyre_sim_run_until(it.sim, gyre_sim_now_ns(it.sim) + GYRE_SECOND), 1);
    assert_string_equal(gyre_sim_failure(it.sim), "idle hooks are miscounted");
    gyre_sim_close(it.sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damage_is_told),
        cmocka_unit_test(test_results_that_wait_are_no_damage),
        cmocka_unit_test(test_a_damaged_world_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
