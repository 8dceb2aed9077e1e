/*
 * The guided scenes: programs as a reader could type them, and what to watch.
 */
#include "engine.h"

const scene scenes[] = {
    {"receptionist", "One receptionist, many callers",
     "socket ann 2\nsocket bob 3\nsocket cat 3\ntimer coffee 6\ndefer note\n",
     "One person at a desk serves many callers, because nobody is kept on the line: she answers "
     "what she can at once, and looks who is next. While nobody calls she sleeps, and costs "
     "nothing. Step through a turn: first what was put off, then one question to the kernel, who "
     "is ready?, then all of them, then the timers that are due."},
    {"fibonacci", "5,000 sockets and a Fibonacci", "crowd 5000 20 120\nslow fibonacci 30 400\n",
     "Five thousand clients send a line every 20 ms and are answered at once. At 30 ms one callback "
     "computes a Fibonacci number for 400 ms. Watch the longest wait: everybody waits for it, "
     "because there is one thread, and it does not come back."},
    {"pool", "First cure: the thread pool", "crowd 5000 20 120\npool fibonacci 30 400\n",
     "The same computation is given to the pool. The callback returns at once, the crowd is "
     "served, and the result comes back to the loop as an event like any other."},
    {"slices", "Second cure: slices", "crowd 2000 20 60\nslices fibonacci 30 20\n",
     "The computation stays on the loop, but in steps of a millisecond: when a turn's budget of 2 "
     "ms is spent, the loop asks the kernel again, and nobody waits for longer than that."},
    {"process", "Third cure: another process", "crowd 5000 20 120\nworker fibonacci 30 400\n",
     "Another process computes, and is asked over a socket. It may crash, or run on another "
     "machine: to this loop it is one more connection."},
    {"timers", "Timers and their order",
     "timer thirty 30\ntimer ten 10\ntimer twenty 20\ntimer tick 8 8 4\nslow hog 18 9\n",
     "Timers stand in a heap whose first one is due next: children are later than their parent, "
     "and that is all the order it keeps. A timer is never early. It is late when a callback "
     "is slow: hog computes from 18 to 27 ms, and what was due meanwhile comes after it."},
    {"mode-default", "Run mode DEFAULT",
     "mode default\ndefer first\ntimer later 20\nsocket ann 5\n",
     "gyre_loop_run(loop, GYRE_RUN_DEFAULT) runs until nothing is alive. It is the right one for "
     "a server: main has nothing else to do."},
    {"mode-once", "Run mode ONCE", "mode once\nsocket ann 5\ntimer later 20\n",
     "ONCE is one turn, which sleeps until something happens: here until ann calls. It is right "
     "where the loop is a part of another one that wants to look around after each event."},
    {"mode-nowait", "Run mode NOWAIT", "mode nowait\ndefer first\ntimer later 20\nsocket ann 5\n",
     "NOWAIT is one turn that never sleeps: it serves what is ready and returns. It is right for a "
     "game that draws frames, or a program with a loop of its own."},
    {"workers", "Why nginx has several workers",
     "crowd 1000 10 60\nslow disk 20 50\nworker sibling 20 5\n",
     "One loop uses one core, and a slow callback stops all that it serves: here a disk that takes "
     "50 ms. Another worker has a loop, a core and a fate of its own: sibling answers in 5 ms "
     "whatever this one does, though its answer is heard late. So nginx runs a worker for each core."},
    {"redis", "How one thread does 100,000 operations a second", "crowd 1000 4 40\n",
     "A thousand clients ask every 4 ms. Look how many sockets one question to the kernel brings, "
     "and that nothing waits in between: the cost of asking is shared by all that are ready. "
     "The busier the loop, the cheaper each request."},
    {"backpressure", "Backpressure", "flood film 2 96\nsocket ann 4\n",
     "A program writes a film to a peer that reads slowly. What the kernel does not take is "
     "queued, and past the high mark the program stops writing until the queue is down to the low "
     "mark: memory stays bounded, and ann is served in between."},
    {"threads", "A thread for each connection, beside it", "crowd 1000 20 60\n",
     "The loop holds a thousand connections in a thousand small structs. A thread for each would "
     "take a stack of 8 MiB of addresses and some 10 KiB of memory, and each line a switch to "
     "it and back, 2 to 5 microseconds: fine for a hundred, dear for ten thousand. What threads "
     "give is that one may compute, or wait for a disk, without a thought for the others."},
    {"not", "When not to use an event loop",
     "slow image 0 80\nslow video 0 120\nslow model 0 100\nsocket ann 10\n",
     "Three computations, and one client. There is nothing to wait for, so there is nothing to "
     "multiplex: the loop only puts the work in a row, and ann waits for all of it. Work for the "
     "processor wants threads or processes, as many as there are cores."},
};

const uint32_t scene_count = sizeof(scenes) / sizeof(scenes[0]);
