"""Wrong solutions of the exercises: for each exercise, what is wrong, and what is replaced in the solution.

Each text stands exactly once in the solution. The exercise's tests have to fail with it.
"""

MUTANTS = {
    "01-basic": [
        ("a tick calls what was added during it", "i < end; i++) {\n        const", "i < loop->used; i++) {\n        const"),
        ("a tick calls what was removed", "if (entry.id != 0) {", "{"),
        ("a removal closes the gap at once", "if (!loop->ticking)\n", ""),
        ("a tick counts one too few", "return called;", "return called - 1;"),
        ("a run does not stop early", "ticks < ticks_max && loop_count(loop) > 0", "ticks < ticks_max"),
        ("places never come back", "    loop->used = kept;\n", "    (void)kept;\n"),
    ],
    "02-timers": [
        ("a timer stays after it ran", "(void)timer_stop(loop, timer.id);", ""),
        ("a turn never sleeps", "wait(loop->kernel, loop_timeout_ms(loop), ready)", "wait(loop->kernel, 0, ready)"),
        ("a turn runs timers started in it", "timer->id > last_id)", "last_id < 0)"),
        ("equal times in any order", "timer->id < best->id", "timer->id > best->id"),
        ("early by one", "next->due_ms > now_ms)", "next->due_ms > now_ms + 1)"),
        ("a stopped reader is called", "const reader_entry reader = loop->readers[ready[i]];",
         "static reader_entry old[LOOP_FDS_MAX];\n        if (i == 0)\n            memcpy(old, loop->readers, sizeof(old));\n        const reader_entry reader = old[ready[i]];"),
        ("timers wait for another turn after reading", "called += run_timers(loop);", "called += called == 0 ? run_timers(loop) : 0;"),
    ],
    "03-run-modes": [
        ("NOWAIT sleeps", "mode == RUN_ONCE && ", ""),
        ("ONCE sleeps although work waits", " && !parts->has_pending(parts));", ");"),
        ("a stopped turn sleeps", "!may_sleep || loop->stop ||", "!may_sleep ||"),
        ("new pending work waits for the sleep", "|| parts->has_pending(parts) ||", "||"),
        ("sleeps when nothing is left", " || !parts->alive(parts))", ")"),
        ("a run forgets a stop before it", "struct parts *parts = loop->parts;\n\n    if (mode",
         "struct parts *parts = loop->parts;\n\n    loop->stop = false;\n    if (mode"),
        ("a stop is never used up", "    loop->stop = false;\n    return", "    return"),
        ("DEFAULT does not begin with timers", "        if (goes_on(loop))\n            parts->run_timers(parts);\n", ""),
    ],
    "04-heap": [
        ("always the left child", "            child++;", "            child += 0;"),
        ("a removal never goes up", "if (place > 0 && heap_before(last", "if (place < 0 && heap_before(last"),
        ("equal times in any order", "node->order = heap->pushed++;", "node->order = 0;"),
        ("places are not told", "    node->place = place;\n}", "}"),
        ("the last child is forgotten", "child + 1 < heap->count &&", "child + 2 < heap->count &&"),
        ("a sift up that stops one level early", "while (place > 0) {\n        const ptrdiff_t parent = (place - 1) / 2;\n",
         "while (place > 2) {\n        const ptrdiff_t parent = (place - 1) / 2;\n"),
        ("a removed node keeps its place", "    node->place = HEAP_NOWHERE;\n", ""),
    ],
    "05-ring": [
        ("drops what wraps", "    ring->tail++;\n", "    ring->tail = (ring->tail + 1) & (ring->size - 1);\n"),
        ("a move copies the array as it is", "*slot(slots, size, number) = *slot(ring->slots, ring->size, number);",
         "slots[number - ring->head] = *slot(ring->slots, ring->size, number);"),
        ("a full queue overwrites", "if (ring_count(ring) == ring->size)\n        return false;", ""),
        ("one slot stays free", "if (ring_count(ring) == ring->size)", "if (ring_count(ring) == ring->size - 1)"),
        ("a run goes on until it is empty", "i < count; i++)", "ring_count(ring) > 0; i++)"),
        ("head and tail are compared", "if (ring_count(ring) == 0)", "if (ring->head >= ring->tail)"),
        ("any size is taken", "return size != 0 && (size & (size - 1)) == 0;", "return size != 0;"),
    ],
}
