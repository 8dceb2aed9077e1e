#!/usr/bin/env python3
"""exercises/run, as a learner sees it: it says what is wrong with a file that does not compile, lacks a function,
crashes or hangs, and still tries the others.
"""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.environ.get("GYRE_SOURCE_DIR", os.path.normpath(os.path.join(HERE, "..", "..")))
EXERCISES = os.path.join(ROOT, "exercises")
NAMES = sorted(n for n in os.listdir(EXERCISES) if os.path.exists(os.path.join(EXERCISES, n, "test.c")))


def solution(name):
    return os.path.join(EXERCISES, "solutions", name + ".c")


def read(file):
    with open(file, encoding="utf-8") as opened:
        return opened.read()


class Runner(unittest.TestCase):
    def run_with(self, changes, *args):
        """Runs it on the solutions, some of them changed: name -> text, or a function of the text."""
        with tempfile.TemporaryDirectory() as folder:
            for name in NAMES:
                shutil.copy(solution(name), folder)
            for name, change in changes.items():
                text = change(read(solution(name))) if callable(change) else change
                with open(os.path.join(folder, name + ".c"), "w", encoding="utf-8") as file:
                    file.write(text)
            return self.run_it("--from", folder, *args)

    def run_it(self, *args):
        env = dict(os.environ, EXERCISES_LIMIT_S="3")
        command = [os.path.join(EXERCISES, "run"), *args]
        run = subprocess.run(command, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return run.returncode, run.stdout + run.stderr

    def test_all_solutions(self):
        status, output = self.run_it("--solutions")
        self.assertEqual(status, 0, output)
        self.assertIn("All %d exercises pass." % len(NAMES), output)

    def test_broken_files(self):
        broken = {
            "01-basic": lambda text: text.replace("int called = 0;", "int called = ;"),
            "03-run-modes": lambda text: re.sub(r"^void loop_stop\(.*?^}\n", "", text, flags=re.S | re.M),
            "04-heap": lambda text: text.replace("heap->nodes[place] = node;", "heap->nodes[place + 100000000] = node;"),
            "05-ring": lambda text: text.replace("ring->head++;", "while (ring->head != ring->tail + 1)\n        ;"),
        }
        status, output = self.run_with(broken, "01", "02", "03", "04", "05")
        self.assertEqual(status, 1, output)
        self.assertRegex(output, r"01-basic\n   does not compile:\n.*01-basic.c:\d+:\d+: error")
        self.assertRegex(output, r"02-[a-z-]+\n   passes: all")
        self.assertRegex(output, r"03-run-modes\n   cannot be linked(.|\n)*loop_stop")
        self.assertRegex(output, r"04-heap\n(.|\n)*it crashed: ")
        self.assertRegex(output, r"05-ring\n(.|\n)*it hung: ")
        self.assertIn("1 of 5 exercises pass", output)

    def test_one_shows_each_test(self):
        status, output = self.run_it("--solutions", "01")
        self.assertEqual(status, 0, output)
        self.assertRegex(output, r"   ok     a tick calls each handler once")
        self.assertEqual(self.run_it("--solutions", "1"), (status, output), "1 is 01")
        self.assertEqual(self.run_it("99")[0], 2)

    def test_make(self):
        run = subprocess.run(["make", "-C", ROOT, "exercises"], capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        for name in NAMES:
            self.assertIn(name + "\n", run.stdout)
        self.assertRegex(run.stdout, r"\d exercises pass")


if __name__ == "__main__":
    unittest.main()
