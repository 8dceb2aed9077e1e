"""Wrong solutions of the exercises: for each exercise, what is wrong, and what is replaced in the solution.

Each text stands exactly once in the solution. The exercise's tests have to fail with it.
"""

MUTANTS = {
    "01-basic": [
        ("a tick calls what was added during it", "i < end; i++) {\n        const", "i < loop->used; i++) {\n        const"),
        ("a tick calls what was removed", "if (entry.id != 0) {", "{"),
        ("a removal closes the gap at once", "if (!loop->ticking)\n", ""),
        ("the last one is added at the front", "return called;", "return called - 1;"),
        ("a run does not stop early", "ticks < ticks_max && loop_count(loop) > 0", "ticks < ticks_max"),
        ("places never come back", "    loop->used = kept;\n", "    (void)kept;\n"),
    ],
    "02-timers": [
        ("a timer stays after it ran", "(void)timer_stop(loop, timer.id); /*", "/*"),
        ("a turn never sleeps", "wait(loop->kernel, loop_timeout_ms(loop), ready)", "wait(loop->kernel, 0, ready)"),
        ("a turn runs timers started in it", "timer->id > last_id)", "last_id < 0)"),
        ("equal times in any order", "timer->id < best->id", "timer->id > best->id"),
        ("early by one", "next->due_ms > now_ms)", "next->due_ms > now_ms + 1)"),
        ("a stopped reader is called", "const reader_entry reader = loop->readers[ready[i]];",
         "static reader_entry old[LOOP_FDS_MAX];\n        if (i == 0)\n            memcpy(old, loop->readers, sizeof(old));\n        const reader_entry reader = old[ready[i]];"),
        ("timers wait for another turn after reading", "called += run_timers(loop);", "called += called == 0 ? run_timers(loop) : 0;"),
    ],
}
