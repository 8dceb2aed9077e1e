#!/usr/bin/env python3
"""tools/apidoc passes on the public headers, its pages are clean roff, and it finds each fault."""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
GOOD = """/* About a. */
#define GYRE_ERROR_MAP(X) X(EINVAL, -22, "invalid")
typedef void (*gyre_a_cb)(int x);
/*
 * Starts `x`.
 *
 * More words; see gyre_a_start.
 *
 * Params: x: 0 to 9,
 *         or 10.
 * Owns:   nothing.
 * Thread: loop.
 * Phase:  timers.
 * Errors: GYRE_EINVAL.
 * Since:  0.1.
 */
GYRE_EXPORT int gyre_a_start(int x, gyre_a_cb cb);
"""


def apidoc(*arguments):
    command = [sys.executable, os.path.join(ROOT, "tools", "apidoc"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class Headers(unittest.TestCase):
    def setUp(self):
        self.headers = sorted(glob.glob(os.path.join(ROOT, "include", "gyre", "*.h")))
        self.assertTrue(self.headers)

    def test_public_headers(self):
        result = apidoc(*self.headers)
        self.assertEqual(result.returncode, 0, "\n" + result.stderr)

    def test_the_umbrella_reaches_every_header(self):
        reached, queue = set(), ["gyre.h"]
        while queue:
            with open(os.path.join(ROOT, "include", queue.pop()), encoding="utf-8") as file:
                found = set(re.findall(r'#\s*include\s+"([^"]+)"', file.read())) - reached
            reached |= found
            queue += found
        self.assertEqual({"gyre/" + os.path.basename(path) for path in self.headers}, reached)

    @unittest.skipUnless(shutil.which("groff"), "no groff")
    def test_pages_are_clean(self):
        with tempfile.TemporaryDirectory() as directory:
            apidoc("--man", directory, *self.headers)
            pages = glob.glob(os.path.join(directory, "man*", "*"))
            names = apidoc("--names", *self.headers).stdout.split()
            self.assertEqual(len(pages), len(names) + 1)
            command = ["groff", "-man", "-Tutf8", "-ww", "-z", *pages]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual((result.returncode, result.stderr), (0, ""))


class Findings(unittest.TestCase):
    def run_on(self, text, *arguments):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "error.h")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            return apidoc(*arguments, path)

    def bad(self, old, new, expected):
        self.assertIn(old, GOOD)
        result = self.run_on(GOOD.replace(old, new))
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn(expected, result.stderr)
        self.assertRegex(result.stderr, r"error\.h:\d+: ")

    def test_good(self):
        result = self.run_on(GOOD)
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_each_tag_is_needed(self):
        for tag in ("Params", "Owns", "Thread", "Phase", "Errors", "Since"):
            self.bad(" * %s:" % tag, " * Note ", "the tag `%s:` is missing" % tag)
        self.bad("Owns:   nothing.", "Owns:", "the tag `Owns:` is missing or empty")

    def test_values(self):
        self.bad("Thread: loop", "Thread: main", "`Thread:` begins with one of")
        self.bad("Since:  0.1.", "Since:  soon", "`Since:` is a version")
        self.bad("Errors: GYRE_EINVAL", "Errors: GYRE_ENEVER", "GYRE_ENEVER is not in the error")
        self.bad("see gyre_a_start", "see gyre_a_stop", "names gyre_a_stop, which does not exist")

    def test_declaration(self):
        self.bad("GYRE_EXPORT int", "int", "is not declared with GYRE_EXPORT")
        self.bad("gyre_a_start(int", "a_start(int", "a public function is named gyre_*")
        self.bad(" */\nGYRE", " */\nint gyre_b;\nGYRE", "has no comment right before it")
        self.bad("Starts `x`.", "Starts `x`", "ends with a full stop")

    def test_page(self):
        with tempfile.TemporaryDirectory() as directory:
            self.run_on(GOOD, "--man", directory)
            with open(os.path.join(directory, "man3", "gyre_a_start.3"), encoding="utf-8") as file:
                page = file.read()
        self.assertIn("gyre_a_start \\- starts x", page)
        self.assertIn("typedef void (*gyre_a_cb)(int x);", page)
        self.assertIn("x: 0 to 9, or 10.", page)
        for heading in ("NAME", "SYNOPSIS", "PARAMETERS", "OWNERSHIP", "THREAD", "PHASE", "ERRORS"):
            self.assertIn(".SH " + heading + "\n", page)

    def test_markdown(self):
        text = "/* About a. */\n/* How many. */\n#define GYRE_A_MAX 9\n" + GOOD.replace("/* About a. */\n", "")
        with tempfile.TemporaryDirectory() as directory:
            self.run_on(text, "--markdown", directory)
            with open(os.path.join(directory, "error.md"), encoding="utf-8") as file:
                page = file.read()
            with open(os.path.join(directory, "README.md"), encoding="utf-8") as file:
                contents = file.read()
        self.assertIn("# gyre/error.h\n\nAbout a.\n", page)
        self.assertIn("### gyre_a_start\n\n```c\nint gyre_a_start(int x, gyre_a_cb cb);\n```", page)
        self.assertIn("More words; see `gyre_a_start`.", page)
        self.assertIn("- **Params:** x: 0 to 9, or 10.\n- **Owns:** nothing.\n", page)
        self.assertIn("### gyre_a_cb\n\n```c\ntypedef void (*gyre_a_cb)(int x);\n```", page)
        self.assertIn("### GYRE_A_MAX\n\nHow many.\n", page)
        self.assertIn("| `GYRE_EINVAL` | -22 | invalid |", page)
        self.assertIn("- [`gyre_a_start`](error.md#gyre_a_start)", contents)


if __name__ == "__main__":
    unittest.main()
