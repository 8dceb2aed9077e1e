/* The tests of exercise 05. Items are letters of a text, in the order of the alphabet. */
#include "check.h"
#include "exercise.h"

#include <string.h>

enum { SIZE = 8, BIG = 16 };

static struct ring ring;
static void *slots[SIZE + 1]; /* one more, which has to stay as it is */
static void *more[BIG + 1];
static char letters[] = "abcdefghijklmnopqrstuvwxyz";
static char seen[64];

static void begin(void)
{
    memset(&ring, 0xff, sizeof(ring));
    memset(slots, 0xff, sizeof(slots));
    slots[SIZE] = letters;
    more[BIG] = letters;
    CHECK(ring_init(&ring, slots, SIZE), "ring_init has refused 8 slots");
}

static void push(const char *text)
{
    for (; *text != '\0'; text++)
        CHECK(ring_push(&ring, strchr(letters, *text)), "ring_push has refused '%c': %d of %u wait",
              *text, (int)(ring.tail - ring.head), ring.size);
}

static void see(const void *item)
{
    const size_t length = strlen(seen);

    CHECK(item != NULL, "an item is missing after \"%s\"", seen);
    CHECK((const char *)item >= letters && (const char *)item < letters + 26,
          "an item after \"%s\" is none that was pushed", seen);
    CHECK(length + 1 < sizeof(seen), "items come out without end");
    seen[length] = *(const char *)item;
}

static void expect_pops(const char *text)
{
    memset(seen, 0, sizeof(seen));
    for (size_t i = 0; i < strlen(text); i++)
        see(ring_pop(&ring));
    CHECK_TEXT(seen, text, "the items that were popped");
    CHECK(slots[SIZE] == letters && more[BIG] == letters, "a slot behind the last was written to");
}

static void expect_count(uint32_t count, const char *when)
{
    CHECK(ring_count(&ring) == count, "items that wait %s: expected %u, got %u", when, count,
          ring_count(&ring));
}

static void first_in_first_out(void)
{
    begin();
    expect_count(0, "in a new queue");
    CHECK(ring_pop(&ring) == NULL, "ring_pop of an empty queue is not NULL");
    push("abc");
    expect_count(3, "after three pushes");
    expect_pops("ab");
    push("d");
    expect_pops("cd");
    CHECK(ring_pop(&ring) == NULL, "ring_pop is not NULL when all were popped");
    expect_count(0, "when all were popped");
}

static void all_slots(void)
{
    begin();
    push("abcdefgh");
    expect_count(8, "after eight pushes into eight slots");
    CHECK(!ring_push(&ring, letters), "ring_push took a ninth item into eight slots");
    expect_count(8, "after a push that was refused");
    expect_pops("abcdefgh");
    expect_count(0, "when all were popped");
}

static void wraps(void)
{
    begin();
    push("abcdef");
    expect_pops("abcde");
    push("ghijklm");
    expect_count(8, "when the queue is full across the end of the array");
    CHECK(!ring_push(&ring, letters), "ring_push took a ninth item into eight slots");
    expect_pops("fghijklm");
    for (int i = 0; i < 1000; i++) {
        push("xyz");
        expect_pops("xyz");
    }
    expect_count(0, "in the end");
}

static void counters_wrap(void)
{
    begin();
    ring.head = UINT32_MAX - 2;
    ring.tail = UINT32_MAX - 2;
    expect_count(0, "when both counters are 4294967293");
    push("abcde");
    expect_count(5, "when the tail has gone on at 0, and the head has not");
    push("fgh");
    CHECK(!ring_push(&ring, letters), "ring_push took a ninth item into eight slots");
    expect_pops("abcdefgh");
    CHECK(ring_pop(&ring) == NULL, "ring_pop of an empty queue is not NULL");
    expect_count(0, "in the end");
}

static void only_powers_of_two(void)
{
    static const uint32_t bad[] = {0, 3, 6, 7, 12, UINT32_MAX};
    struct ring before;

    begin();
    before = ring;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK(!ring_init(&ring, more, bad[i]), "ring_init took %u slots", bad[i]);
    CHECK(before.slots == ring.slots && before.size == ring.size && before.head == ring.head,
          "a ring_init that is refused changed the ring");
    CHECK(ring_init(&ring, slots, 1), "ring_init has refused one slot");
    push("a");
    CHECK(!ring_push(&ring, letters), "ring_push took a second item into one slot");
    expect_pops("a");
}

static void on_item(struct ring *from, void *item, void *context)
{
    CHECK(from == &ring && context == seen, "the handler was given something else");
    see(item);
    if (*(char *)item < 'd')
        push(*(char *)item == 'a' ? "xy" : "z"); /* the slot of the item itself is free by now */
}

static void runs_a_batch(void)
{
    begin();
    memset(seen, 0, sizeof(seen));
    push("qrstu");
    for (int i = 0; i < 5; i++)
        (void)ring_pop(&ring);
    push("abc");
    CHECK_INT(ring_run(&ring, on_item, seen), 3, "items that ring_run says it handled");
    CHECK_TEXT(seen, "abc", "the items that ring_run handled");
    expect_count(4, "that the handler has pushed");
    CHECK_INT(ring_run(&ring, on_item, seen), 4, "items that the next ring_run handled");
    CHECK_TEXT(seen, "abcxyzz", "the items of both");
    CHECK_INT(ring_run(&ring, on_item, seen), 0, "items that ring_run of an empty queue handled");
}

static void runs_a_full_queue(void)
{
    begin();
    memset(seen, 0, sizeof(seen));
    push("cpqrstuv"); /* `c` pushes a `z`: there is room only if `c` was taken out before */
    CHECK_INT(ring_run(&ring, on_item, seen), 8, "items that ring_run handled");
    CHECK_TEXT(seen, "cpqrstuv", "the items that ring_run handled");
    expect_pops("z");
}

static void moves_in_order(void)
{
    begin();
    push("abcdef");
    expect_pops("abcde");
    push("ghijklm"); /* f g h at the end of the array, i to m at its begin */
    CHECK(ring_move(&ring, more, BIG), "ring_move has refused 16 slots");
    memset(slots, 0xff, SIZE * sizeof(slots[0]));
    expect_count(8, "after ring_move");
    push("nopqrstu");
    CHECK(!ring_push(&ring, letters), "ring_push took a 17th item into 16 slots");
    expect_pops("fghijklmnopqrstu");
}

static void moves_only_where_it_fits(void)
{
    begin();
    push("abcde");
    CHECK(!ring_move(&ring, more, 4), "ring_move put five items into four slots");
    CHECK(!ring_move(&ring, more, 12), "ring_move took 12 slots: no power of two");
    CHECK(!ring_move(&ring, more, 0), "ring_move took 0 slots");
    expect_pops("a");
    CHECK(ring_move(&ring, more, 4), "ring_move has refused four slots for four items");
    expect_pops("bcde");
    ring.head = UINT32_MAX - 1;
    ring.tail = UINT32_MAX - 1;
    push("abcd");
    CHECK(ring_move(&ring, slots, SIZE), "ring_move has refused 8 slots");
    push("efgh");
    expect_pops("abcdefgh");
}

static const check_test tests[] = {
    {"what goes in first comes out first", first_in_first_out,
     "push writes at slots[tail % size] and adds 1 to tail; pop does the same with head."},
    {"all slots can be used, and no more", all_slots,
     "full is tail - head == size, empty is tail == head: no slot has to stay free."},
    {"the end of the array is followed by its begin", wraps,
     "never set head or tail back: take the lowest bits, number & (size - 1), for the index."},
    {"the counters go on at 0 after 4294967295", counters_wrap,
     "tail - head is right in uint32_t even when tail is the smaller number; tail < head is not."},
    {"only a power of two is taken as the size", only_powers_of_two,
     "a power of two has one bit: (size & (size - 1)) == 0, and it is not 0. Check first."},
    {"a run handles what waited when it began", runs_a_batch,
     "note ring_count first, and take out that many; a `while (not empty)` may never end."},
    {"an item is taken out before its handler is called", runs_a_full_queue,
     "its slot must be free when the handler pushes: pop, then call."},
    {"a move keeps the order of a queue that goes round the end", moves_in_order,
     "copy item by item, from head to tail: number & (old size - 1), number & (new size - 1)."},
    {"a move is refused where the items do not fit", moves_only_where_it_fits,
     "compare the new size with ring_count, not with the old size: fewer slots may do."},
};

int main(int argc, char **argv)
{
    return check_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
