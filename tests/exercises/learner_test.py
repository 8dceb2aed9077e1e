#!/usr/bin/env python3
"""Every solution passes its tests, every skeleton fails them, and every mutant of a solution fails too.

Both compilers take all files of the exercises without a warning; the pages say what has to be written.
"""
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.environ.get("GYRE_SOURCE_DIR", os.path.normpath(os.path.join(HERE, "..", "..")))
EXERCISES = os.path.join(ROOT, "exercises")
SANITIZE = os.environ.get("GYRE_SANITIZE", "")
SLOW = int(os.environ.get("GYRE_SLOW", "1"))
WARNINGS = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror".split()
FLAGS = ["-std=c11", "-g", "-O1", "-pthread", "-I", EXERCISES]
COMPILERS = [cc for cc in ("gcc", "clang") if shutil.which(cc)]

sys.dont_write_bytecode = True
sys.path.insert(0, HERE)
from mutants import MUTANTS  # noqa: E402 (it stands beside this file)

NAMES = sorted(n for n in os.listdir(EXERCISES) if os.path.exists(os.path.join(EXERCISES, n, "test.c")))


def path(name, file):
    return os.path.join(EXERCISES, name, file)


def solution(name):
    return os.path.join(EXERCISES, "solutions", name + ".c")


def read(file):
    with open(file, encoding="utf-8") as opened:
        return opened.read()


def link_flags(name):
    file = path(name, "flags")
    return read(file).split() if os.path.exists(file) else []


def side_by_side(work, items):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return list(pool.map(work, items))


class Exercises(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temp = tempfile.TemporaryDirectory()
        cls.sanitize = ["-fsanitize=" + SANITIZE] if SANITIZE else []
        cls.compile("gcc", os.path.join(EXERCISES, "check.c"), cls.file("check.o"), ".")
        side_by_side(lambda n: cls.compile("gcc", path(n, "test.c"), cls.file(n + ".test.o"), n), NAMES)

    @classmethod
    def tearDownClass(cls):
        cls.temp.cleanup()

    @classmethod
    def file(cls, name):
        return os.path.join(cls.temp.name, name)

    @classmethod
    def compile(cls, cc, source, target, name, warnings=WARNINGS):
        """Compiles one file; without a warning, unless none is asked for."""
        flags = FLAGS + warnings + cls.sanitize + ["-I", os.path.join(EXERCISES, name)]
        run = subprocess.run([cc, *flags, "-c", "-o", target, source], capture_output=True, text=True)
        if run.returncode != 0:
            raise AssertionError("%s on %s:\n%s" % (cc, source, run.stderr))

    @classmethod
    def attempt(cls, name, source, label, limit_s=10 * SLOW):
        """Builds `source` as the answer to an exercise, and runs the tests: (status, output)."""
        made, program = cls.file(label + ".o"), cls.file(label)
        cls.compile("gcc", source, made, name, [])
        parts = [made, cls.file(name + ".test.o"), cls.file("check.o")]
        command = ["gcc", *FLAGS, *cls.sanitize, "-o", program, *parts, *link_flags(name)]
        subprocess.run(command, check=True)
        env = dict(os.environ, EXERCISES_LIMIT_S=str(limit_s))
        run = subprocess.run([program], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return run.returncode, run.stdout

    def test_each_is_complete(self):
        self.assertEqual(len(NAMES), 8)
        for name in NAMES:
            for file in ("README.md", "exercise.h", "exercise.c", "test.c"):
                self.assertTrue(os.path.exists(path(name, file)), name + "/" + file)
            self.assertTrue(os.path.exists(solution(name)), name)
            self.assertIn("(%s/" % name, read(os.path.join(EXERCISES, "README.md")))
            self.assertGreaterEqual(len(MUTANTS[name]), 3, name)

    def test_pages_name_every_function(self):
        for name in NAMES:
            page = read(path(name, "README.md"))
            header = re.sub(r"/\*.*?\*/", "", read(path(name, "exercise.h")), flags=re.S)
            declared = re.findall(r"^(?:[a-z_0-9]+ )+\**([a-z_0-9]+)\(", header, re.M)
            self.assertTrue(declared, name)
            for function in declared:
                self.assertIn(function + "(", page, "%s/README.md has no contract of it" % name)

    def test_pages_name_files_that_exist(self):
        for name in [*NAMES, "."]:
            for file in re.findall(r"`((?:src|include|docs|tests|bench|cmd)/[\w/.-]+\.\w+)`", read(path(name, "README.md"))):
                self.assertTrue(os.path.exists(os.path.join(ROOT, file)), "%s names %s" % (name, file))

    def test_no_warnings(self):
        jobs = []
        for cc in COMPILERS:
            jobs.append((cc, os.path.join(EXERCISES, "check.c"), "."))
            for name in NAMES:
                files = (path(name, "exercise.c"), path(name, "test.c"), solution(name))
                jobs += [(cc, file, name) for file in files]
        side_by_side(lambda job: self.compile(job[0], job[1], os.devnull, job[2]), jobs)

    def test_solutions_pass(self):
        for name in NAMES:
            with self.subTest(exercise=name):
                status, output = self.attempt(name, solution(name), name + ".solution")
                self.assertEqual(status, 0, output)
                self.assertRegex(output, r"passes: all \d+ tests")

    def test_skeletons_fail(self):
        for name in NAMES:
            with self.subTest(exercise=name):
                status, output = self.attempt(name, path(name, "exercise.c"), name + ".skeleton")
                self.assertEqual(status, 1, output)
                self.assertRegex(output, r"\n   hint:  \S")
                self.assertNotIn("it hung", output, "a skeleton answers at once")

    def mutant(self, job):
        name, number, (what, old, new) = job
        text = read(solution(name))
        if text.count(old) != 1:
            return "%s: %s: the replaced text stands %d times in the solution" % (name, what, text.count(old))
        label = "%s.mutant%d" % (name, number)
        with open(self.file(label + ".c"), "w", encoding="utf-8") as file:
            file.write(text.replace(old, new))
        status, output = self.attempt(name, self.file(label + ".c"), label, 3)
        if "-v" in sys.argv:
            print("%s: %s: %s" % (name, what, re.sub(r"\s+", " ", output)))
        return None if status == 1 else "%s: %s: was not found: %s" % (name, what, output)

    def test_mutants_fail(self):
        jobs = [(n, i, m) for n in NAMES for i, m in enumerate(MUTANTS[n])]
        survivors = [text for text in side_by_side(self.mutant, jobs) if text]
        self.assertEqual(survivors, [])


if __name__ == "__main__":
    unittest.main()
