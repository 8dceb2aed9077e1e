/* The tests of exercise 01. Each handler writes its letter into `ran`. */
#include "check.h"
#include "exercise.h"

#include <string.h>

typedef struct actor {
    char letter;
    int id;
    struct actor *other; /* whom it adds or removes, by its handler */
    int left;            /* calls after which it removes itself */
} actor;

static struct loop the_loop;
static char ran[128];

static void note(char letter)
{
    const size_t length = strlen(ran);

    CHECK(length + 1 < sizeof(ran), "handlers are called without end");
    ran[length] = letter;
}

static void on_call(struct loop *loop, void *data)
{
    const actor *self = data;

    CHECK(loop == &the_loop, "a handler was given another loop");
    note(self->letter);
}

static void add(actor *who, loop_handler handler)
{
    who->id = loop_add(&the_loop, handler, who);
    CHECK(who->id > 0, "loop_add has refused a handler: it returned %d", who->id);
}

static void adds_other(struct loop *loop, void *data)
{
    actor *self = data;

    on_call(loop, data);
    if (self->other->id == 0)
        add(self->other, on_call);
}

static void removes_other(struct loop *loop, void *data)
{
    actor *self = data;

    on_call(loop, data);
    if (self->other->id != 0)
        CHECK_INT(loop_remove(loop, self->other->id), 0, "loop_remove of a handler that is there");
    self->other->id = 0;
}

static void counts_down(struct loop *loop, void *data)
{
    actor *self = data;

    on_call(loop, data);
    if (--self->left == 0)
        CHECK_INT(loop_remove(loop, self->id), 0, "loop_remove of the handler that runs");
}

static void tick_calls_all(void)
{
    actor a = {.letter = 'a'};
    actor b = {.letter = 'b'};
    actor c = {.letter = 'c'};

    loop_init(&the_loop);
    add(&a, on_call);
    add(&b, on_call);
    add(&c, on_call);
    CHECK_INT(loop_tick(&the_loop), 3, "handlers that loop_tick says it called");
    CHECK_TEXT(ran, "abc", "the handlers that ran in the first tick");
    CHECK_INT(loop_tick(&the_loop), 3, "the same, second tick");
    CHECK_TEXT(ran, "abcabc", "the handlers that ran in two ticks");
}

static void ids_and_count(void)
{
    actor a = {.letter = 'a'};

    loop_init(&the_loop);
    CHECK_INT(loop_count(&the_loop), 0, "handlers in a new loop");
    CHECK_INT(loop_tick(&the_loop), 0, "calls by a loop without handlers");
    CHECK_INT(loop_add(&the_loop, on_call, &a), 1, "the first id");
    CHECK_INT(loop_add(&the_loop, on_call, &a), 2, "the second id");
    CHECK_INT(loop_count(&the_loop), 2, "handlers after two were added");
    CHECK_INT(loop_remove(&the_loop, 2), 0, "loop_remove(2)");
    CHECK_INT(loop_remove(&the_loop, 2), -1, "loop_remove(2) again");
    CHECK_INT(loop_remove(&the_loop, 0), -1, "loop_remove(0), which is nobody's id");
    CHECK_INT(loop_remove(&the_loop, 77), -1, "loop_remove(77), which was never given");
    CHECK_INT(loop_add(&the_loop, on_call, &a), 3, "the id after 2 was removed");
    CHECK_INT(loop_count(&the_loop), 2, "handlers in the end");
}

static void added_waits(void)
{
    actor b = {.letter = 'b'};
    actor a = {.letter = 'a', .other = &b};

    loop_init(&the_loop);
    add(&a, adds_other);
    CHECK_INT(loop_tick(&the_loop), 1, "calls in the tick in which `a` adds `b`");
    CHECK_TEXT(ran, "a", "the handlers that ran in that tick");
    CHECK_INT(loop_tick(&the_loop), 2, "calls in the next tick");
    CHECK_TEXT(ran, "aab", "the handlers that ran in both");
}

static void removed_is_not_called(void)
{
    actor c = {.letter = 'c'};
    actor b = {.letter = 'b', .other = &c};

    loop_init(&the_loop);
    add(&b, removes_other);
    add(&c, on_call);
    CHECK_INT(loop_tick(&the_loop), 1, "calls in the tick in which `b` removes `c` behind it");
    CHECK_TEXT(ran, "b", "the handlers that ran");
    CHECK_INT(loop_count(&the_loop), 1, "handlers left");
}

static void removal_skips_nobody(void)
{
    actor a = {.letter = 'a', .left = 1};
    actor b = {.letter = 'b', .left = 2};
    actor d = {.letter = 'd'};
    actor c = {.letter = 'c', .other = &b};

    loop_init(&the_loop);
    add(&a, counts_down);
    add(&b, counts_down);
    add(&c, removes_other);
    add(&d, on_call);
    CHECK_INT(loop_tick(&the_loop), 4, "calls in a tick in which `a` and `b` are taken out");
    CHECK_TEXT(ran, "abcd", "the handlers that ran");
    CHECK_INT(loop_tick(&the_loop), 2, "calls in the tick after it");
    CHECK_TEXT(ran, "abcdcd", "the handlers that ran in both");
}

static void places_come_back(void)
{
    actor a = {.letter = 'a'};
    int id = 0;

    loop_init(&the_loop);
    for (int i = 0; i < LOOP_HANDLERS_MAX; i++)
        id = loop_add(&the_loop, on_call, &a);
    CHECK_INT(id, LOOP_HANDLERS_MAX, "the id of the 64th handler");
    CHECK_INT(loop_add(&the_loop, on_call, &a), -1, "loop_add when all places are taken");
    for (int i = 0; i < 1000; i++) {
        CHECK_INT(loop_remove(&the_loop, id), 0, "loop_remove of the newest handler");
        id = loop_add(&the_loop, on_call, &a);
        CHECK(id > 0, "loop_add found no place after a removal (round %d)", i);
    }
    CHECK_INT(loop_count(&the_loop), LOOP_HANDLERS_MAX, "handlers in the end");
}

static void run_stops_at_max(void)
{
    actor a = {.letter = 'a'};

    loop_init(&the_loop);
    add(&a, on_call);
    CHECK_INT(loop_run(&the_loop, 5), 5, "ticks by loop_run(5)");
    CHECK_TEXT(ran, "aaaaa", "the handlers that ran");
    CHECK_INT(loop_run(&the_loop, 0), 0, "ticks by loop_run(0)");
}

static void run_stops_early(void)
{
    actor a = {.letter = 'a', .left = 2};
    actor b = {.letter = 'b', .left = 3};

    loop_init(&the_loop);
    CHECK_INT(loop_run(&the_loop, 10), 0, "ticks by loop_run of a loop without handlers");
    add(&a, counts_down);
    add(&b, counts_down);
    CHECK_INT(loop_run(&the_loop, 10), 3,
              "ticks by loop_run(10) when the last leaves in the third");
    CHECK_TEXT(ran, "ababb", "the handlers that ran");
}

static const check_test tests[] = {
    {"a tick calls each handler once, in the order of adding", tick_calls_all,
     "put them into loop->entries one behind the other, and walk over the first loop->used."},
    {"ids are given once, removing answers 0 or -1, count counts", ids_and_count,
     "loop->last_id only grows; a removed entry has id 0, so 0 must never match."},
    {"a handler added during a tick waits for the next", added_waits,
     "remember how many entries there were when the tick began, and walk no further."},
    {"a handler removed during a tick is not called", removed_is_not_called,
     "during a tick, removing sets the id to 0 and moves nothing; the tick skips such entries."},
    {"a removal during a tick makes nobody miss his turn", removal_skips_nobody,
     "moving entries while a tick walks over them skips one. Mark during a tick, tidy after it."},
    {"places of removed handlers can be used again", places_come_back,
     "outside of a tick a removed entry may be closed up at once; after a tick do all."},
    {"run ticks as often as it was told", run_stops_at_max,
     "call loop_tick in a loop and count the ticks."},
    {"run stops early when no handler is left", run_stops_early,
     "ask loop_count before each tick; a loop with nobody to call has nothing to wait for."},
};

int main(int argc, char **argv)
{
    return check_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
