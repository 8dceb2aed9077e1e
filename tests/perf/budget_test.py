#!/usr/bin/env python3
"""Counts the instructions that the library runs in user space, and holds them against ceilings.

    budget_test.py PROGRAM             for the backend of GYRE_BACKEND; 1 if a ceiling is passed
    budget_test.py PROGRAM --record    write what is counted into ceilings.txt, with 2 % of room
    budget_test.py PROGRAM --profile WORK [ARGUMENT]    which functions the instructions are in

PROGRAM is tests/perf/budget.c. A count is exact and the same in each run: valgrind's callgrind counts
what runs below the program's function `measured`, kernel excluded. A change that makes a ceiling too
low is a change that adds work to every request: look at the profile before recording a new one.
"""
import math
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
CEILINGS = os.path.join(HERE, "ceilings.txt")
WORKS = ("echo 1", "echo 16", "connection 1", "connection 16", "empty-turn", "idle-hook", "timer-start",
         "timer-rearm", "timer-stop", "timer-expire", "async-send", "post")
ROOM = 1.02
SKIPPED = 77


def count(program, work, out="/dev/null"):
    """Instructions for each time that the work was done."""
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
               "--toggle-collect=measured", program, *work.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    collected = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or collected is None:
        sys.exit(f"budget {work}: status {done.returncode}\n{done.stderr}")
    return int(collected.group(1)) / int(done.stdout)


def read_ceilings():
    """(backend, work) -> ceiling"""
    ceilings = {}
    with open(CEILINGS, encoding="ascii") as file:
        for line in file:
            words = line.split()
            if words and words[0] != "#":
                ceilings[words[0], " ".join(words[1:-1])] = int(words[-1])
    return ceilings


def record(program, backend):
    ceilings = read_ceilings()
    for work in WORKS:
        ceilings[backend, work] = math.ceil(count(program, work) * ROOM)
    with open(CEILINGS, encoding="ascii") as file:
        head = [line for line in file if line.startswith("#")]
    with open(CEILINGS, "w", encoding="ascii") as file:
        file.writelines(head)
        for name in sorted({name for name, _ in ceilings}):
            file.writelines(f"{name:6} {work:14} {ceilings[name, work]:6}\n"
                            for work in WORKS if (name, work) in ceilings)


def profile(program, work):
    with tempfile.NamedTemporaryFile() as out:
        each = count(program, work, out.name)
        text = subprocess.run(["callgrind_annotate", "--threshold=97", out.name],
                              capture_output=True, text=True, check=True).stdout
    print(f"{work}: {each:.1f} instructions")
    print(text[text.index("file:function"):])


def compare(program, backend):
    ceilings = read_ceilings()
    passed = 0
    for work in WORKS:
        ceiling = ceilings.get((backend, work))
        each = count(program, work)
        good = ceiling is not None and each <= ceiling
        passed += good
        print(f"{backend:6} {work:14} {each:8.1f}  ceiling {ceiling}"
              + ("" if good else "  PASSED: see the head of budget_test.py"))
    return 0 if passed == len(WORKS) else 1


def main():
    program = os.path.abspath(sys.argv[1])
    backend = os.environ.get("GYRE_BACKEND", "epoll")
    if "--profile" in sys.argv:
        profile(program, " ".join(sys.argv[3:]))
    elif "--record" in sys.argv:
        record(program, backend)
    elif not os.path.exists(CEILINGS):
        return SKIPPED
    else:
        return compare(program, backend)
    return 0


if __name__ == "__main__":
    sys.exit(main())
