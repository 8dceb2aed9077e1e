#!/usr/bin/env python3
"""How strong are the random tests? Applies each patch of this folder to a copy of the tree, builds it, and runs
seeds until one fails: of the swarm (gyre sim), unless it is a patch of src/backend/uring*, which the swarm does not
run, and then of the filter on io_uring's completions.

    tests/mutants/run.py [--seeds N] [--minutes M] [--work DIR] [--keep-going] [NAME...]

A mutant that no seed kills is printed as SURVIVED; 1 if more than --allow of them did, or if a patch does
not apply. The copy and its build stay in --work, so that a second run compiles little.
"""
import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "..", ".."))
NEEDED = ("CMakeLists.txt", "cmake", "cmd", "docs", "examples", "include", "src", "tests", "tools")
FILTER = "backend_uring_filter"
FILTER_SEEDS = 1000


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def copy_tree(root, tree):
    """Copies what changed only, so that a second run compiles little."""
    os.makedirs(tree, exist_ok=True)
    for name in NEEDED:
        source, target = os.path.join(root, name), os.path.join(tree, name)
        if os.path.isfile(source):
            copy_changed(source, target)
        for folder, _, files in os.walk(source):
            at = os.path.join(tree, os.path.relpath(folder, root))
            os.makedirs(at, exist_ok=True)
            for file in set(os.listdir(at)) - set(os.listdir(folder)):
                os.remove(os.path.join(at, file))
            for file in files:
                copy_changed(os.path.join(folder, file), os.path.join(at, file))


def copy_changed(source, target):
    with open(source, "rb") as file:
        wanted = file.read()
    if os.path.exists(target):
        with open(target, "rb") as file:
            if file.read() == wanted:
                return
    shutil.copyfile(source, target)


def build(build_dir):
    return run("cmake", "--build", build_dir, "--target", "gyre_program", FILTER, "-j", str(os.cpu_count()))


def hunt(program, seeds, minutes):
    """The first seed that fails of so many: (seed, why), or None."""
    command = [program, "sim", "--seeds", str(seeds), "--minutes", str(minutes), "--quiet", "--limit", "20",
               "--no-shrink"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as swarm:
        for line in swarm.stdout:
            found = re.match(r"seed (\d+) FAILED: (.*)", line)
            if found:
                swarm.kill()
                return int(found.group(1)), found.group(2)
    return None


def hunt_filter(program, seeds):
    """The same with the filter, whose failures are those of a test: a report, a crash or a hang."""
    environment = dict(os.environ, GYRE_BACKEND="uring", CMOCKA_TEST_ABORT="1")
    for seed in range(1, seeds + 1, 10):
        command = [program, str(seed), str(min(10, seeds + 1 - seed))]
        try:
            result = run(*command, env=environment, timeout=60)
        except subprocess.TimeoutExpired:
            return seed, "did not end within 60 s"
        if result.returncode != 0:
            lines = [line for line in (result.stdout + result.stderr).split("\n") if line.strip()]
            ran = len(re.findall(r"^seed \d+", result.stdout + result.stderr, re.M))
            return seed + ran % 10, lines[-1][:120] if lines else "status %d" % result.returncode
    return None


def judge(patch, tree, options):
    """How one mutant ended, in words; True if it is dead."""
    name = os.path.basename(patch)[: -len(".patch")]
    applied = run("patch", "-p1", "--forward", "--no-backup-if-mismatch", "-i", patch, cwd=tree)
    if applied.returncode != 0:
        return None, "%-28s DOES NOT APPLY: %s" % (name, applied.stdout.strip().split("\n")[-1])
    made = build(options.build)
    if made.returncode != 0:
        return None, "%-28s DOES NOT COMPILE: %s" % (name, made.stderr.strip()[-300:])
    begun = time.monotonic()
    with open(patch, encoding="utf-8") as file:
        is_of_ring = "src/backend/uring" in file.read()
    found = None
    if not is_of_ring:
        found = hunt(os.path.join(options.build, "gyre"), options.seeds, options.minutes)
    if found is None:
        found = hunt_filter(os.path.join(options.build, "tests", FILTER), min(options.seeds, FILTER_SEEDS))
    seconds = time.monotonic() - begun
    if found is None:
        return False, "%-28s SURVIVED %d seeds in %.0f s" % (name, options.seeds, seconds)
    return True, "%-28s killed by seed %d in %.1f s: %s" % (name, found[0], seconds, found[1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--minutes", type=int, default=3)
    parser.add_argument("--allow", type=int, default=2)
    parser.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "gyre-mutants"))
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    tree = os.path.join(options.work, "tree")
    clean = os.path.join(options.work, "clean")
    options.build = os.path.join(options.work, "build")
    patches = sorted(glob.glob(os.path.join(HERE, "*.patch")))
    if options.names:
        patches = [p for p in patches if os.path.basename(p)[: -len(".patch")] in options.names]
    copy_tree(ROOT, clean)
    copy_tree(clean, tree)
    run("cmake", "-S", tree, "-B", options.build, "-DCMAKE_BUILD_TYPE=Release", "-DGYRE_TESTS=ON")
    made = build(options.build)
    if made.returncode != 0:
        print(made.stdout[-2000:], made.stderr[-2000:])
        return 1
    found = hunt(os.path.join(options.build, "gyre"), min(options.seeds, 200), options.minutes)
    if found is None:
        found = hunt_filter(os.path.join(options.build, "tests", FILTER), min(options.seeds, 50))
    if found is not None:
        print("the tree itself fails at seed %d: %s" % found)
        return 1
    killed = survived = broken = 0
    for patch in patches:
        dead, text = judge(patch, tree, options)
        print(text, flush=True)
        killed += dead is True
        survived += dead is False
        broken += dead is None
        copy_tree(clean, tree)
    print("%d mutants: %d killed, %d survived, %d broken" % (len(patches), killed, survived, broken))
    return 0 if broken == 0 and survived <= options.allow else 1


if __name__ == "__main__":
    sys.exit(main())
