/*
 * The guided scenes: programs as a reader could type them, and what to watch.
 */
#include "engine.h"

const scene scenes[] = {
    {"receptionist", "One receptionist, many callers",
     "socket ann 2\nsocket bob 3\nsocket cat 3\ntimer coffee 6\ndefer note\n",
     "One person at a desk serves many callers, because nobody is kept on the line: she answers what "
     "she can at once, and looks who is next. While nobody calls she sleeps. The thread does the "
     "same: it asks the kernel who is ready, serves all of them, then the timers that are due, and "
     "asks again."},
    {"phases", "One turn, phase by phase",
     "sync hello\ndefer note\nidle spin 2\ncheck after 2\nclose old\ntimer zero 0\npost letter 1\n"
     "socket ann 1\n",
     "A task of every kind. Guess before each step which one comes next: it does not depend on the "
     "order in which main has started them, but on the phase that each of them belongs to."},
    {"fibonacci", "5,000 WebSockets and a Fibonacci", "crowd 5000 20 120\nslow fibonacci 30 400\n",
     "Five thousand clients send a line every 20 ms and are answered at once. At 30 ms one callback "
     "computes a Fibonacci number for 400 ms. Watch the longest wait: everybody waits for it, "
     "because there is one thread, and it does not come back. The next three scenes are the cures."},
    {"pool", "First cure: the thread pool", "crowd 5000 20 60\npool fibonacci 30 400\n",
     "The same computation is given to the pool. The callback returns at once, the crowd is served, "
     "and the result comes back to the loop as an event like any other. Right for what blocks or "
     "computes, and needs no more than its input."},
    {"slices", "Second cure: slices", "crowd 2000 20 60\nslices fibonacci 30 20\n",
     "The computation stays on the loop, but in steps of a millisecond: when a turn's budget of 2 ms "
     "is spent, the loop asks the kernel again. Nobody waits for much longer than that. Right for "
     "what works on the loop's own data."},
    {"process", "Third cure: another process", "crowd 5000 20 60\nworker fibonacci 30 400\n",
     "Another process computes, and is asked over a socket. It may crash, or run on another machine: "
     "to this loop it is one more connection. Right for what is not trusted, or too big for this "
     "machine."},
    {"timers", "Timers and their order",
     "timer thirty 30\ntimer ten 10\ntimer twenty 20\ntimer tick 8 8 4\nslow hog 18 9\n",
     "Timers stand in a heap: each is due no later than those below it, and that is all the order it "
     "keeps. So the next one is always at the top. A timer is never early, but it is late when a "
     "callback is slow: hog computes from 18 to 27 ms, and what was due meanwhile comes after it."},
    {"mode-default", "Run mode DEFAULT",
     "mode default\ndefer first\ntimer later 20\nsocket ann 5\n",
     "gyre_loop_run(loop, GYRE_RUN_DEFAULT) goes round until nothing is alive. Right for a server: "
     "main has nothing else to do."},
    {"mode-once", "Run mode ONCE", "mode once 4 1\nsocket ann 5\ntimer later 12\n",
     "ONCE is a single turn, which sleeps until something happens. Right where main wants to look "
     "around after each event, as a debugger or a test does. Here main calls it again and again, "
     "and takes 1 ms for its own work."},
    {"mode-nowait", "Run mode NOWAIT", "mode nowait 4 8\ndefer first\nsocket ann 5\ntimer later 20\n",
     "NOWAIT is a single turn that never sleeps: it serves what is ready and returns. Right for a "
     "game, which has a picture to draw every few milliseconds, here 8, and serves its sockets in "
     "between. What comes meanwhile waits for the next call."},
    {"workers", "Why nginx has several workers", "workers 4\ncrowd 2000 10 60\nslow disk 20 50\n",
     "One loop uses one core, and a slow callback stops all that it serves: here a disk takes 50 ms. "
     "Four workers share the crowd, each with a loop and a core of its own. You see the first, which "
     "waits for the disk: its quarter of the crowd waits with it, and the others notice nothing. So "
     "nginx runs a worker for each core."},
    {"redis", "How one thread does 100,000 operations a second", "crowd 1000 4 12\n",
     "A thousand clients ask every 4 ms. Nothing waits in between, and the cost of asking the kernel "
     "is shared by all that are ready: the busier the loop, the more each question brings, and the "
     "cheaper a request becomes. An answer from memory takes microseconds, so one thread is enough."},
    {"backpressure", "Backpressure", "flood film 2 64\nsocket ann 4\n",
     "A film is written to a peer that reads slowly. What the kernel does not take is queued, and "
     "above the high mark the program stops writing until the queue is down to its low mark: memory "
     "stays bounded however long the film is, and ann is served in between."},
    {"threads", "A thread for each connection, beside it", "beside threads\ncrowd 1000 20 40\n",
     "The same crowd, and beside it what a thread for each connection would take for the same lines. "
     "Threads are fine for a hundred, and dear for ten thousand. What they give is that one may "
     "compute, or wait for a disk, without a thought for the others."},
    {"not", "When not to use an event loop",
     "slow image 0 80\nslow video 0 120\nslow model 0 100\nsocket ann 10\n",
     "Three computations, and one client. There is nothing to wait for, so there is nothing to share "
     "out: the loop only puts the work in a row, and ann waits for all of it. Work for the processor "
     "wants threads or processes, as many as there are cores."},
};

const uint32_t scene_count = sizeof(scenes) / sizeof(scenes[0]);
