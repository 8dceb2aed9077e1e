#!/bin/sh
# a share of the mutants: the simulator kills each within a hundred seeds
# (all of them: tests/mutants/run.py --seeds 10000)
exec tests/mutants/run.py --seeds 100 receive_not_rearmed no_generation wakeup_lost \
    timer_rounded_down work_canceled_twice accept_never_resumes
