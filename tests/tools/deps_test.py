#!/usr/bin/env python3
"""tools/deps passes on this tree, and finds each fault of a small bad one."""
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
HEAD = "/* A file. */\n"
LONG_BODY = "    x();\n" * 70


def deps(root):
    command = [sys.executable, os.path.join(ROOT, "tools", "deps"), root]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.returncode, result.stderr


class Tree(unittest.TestCase):
    def test_this_tree(self):
        code, text = deps(ROOT)
        self.assertEqual(code, 0, "\n" + text)


class Findings(unittest.TestCase):
    def check(self, path, text, expected, line=None):
        """A tree with only this file gives `expected` at `path` (None: no finding)."""
        with tempfile.TemporaryDirectory() as root:
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full))
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)
            code, output = deps(root)
        if expected is None:
            self.assertEqual((code, output), (0, ""))
            return
        where = "%s:%s" % (path, "" if line is None else "%d:" % line)
        self.assertEqual(code, 1, output)
        self.assertIn(where, output)
        self.assertIn(expected, output)

    def include(self, path, name, expected):
        self.check(path, HEAD + '#include "%s"\n' % name, expected, 2)

    def test_arrows_up_are_found(self):
        self.include("src/core/a.c", "backend/epoll.h", "must not include backend/epoll.h")
        self.include("src/core/a.c", "sim/sim.h", "must not include")
        self.include("src/base/a.c", "core/loop.h", "must not include")
        self.include("src/net/a.c", "backend/ready.h", "must not include")
        self.include("src/fs/a.c", "backend/uring.h", "must not include")
        self.include("src/net/a.c", "http/http.h", "must not include")
        self.include("src/backend/a.c", "net/stream.h", "must not include")
        self.include("src/backend/a.c", "core/loop.h", "must not include")
        self.include("src/backend/epoll.c", "sim/sim.h", "may include sim/")
        self.include("src/http/a.c", "backend/ready.h", "must not include")

    def test_only_public_headers(self):
        for path in ("cmd/gyre/a.c", "compat/a.c", "examples/a.c", "src/cluster/a.c", "tests/api/a.c"):
            self.include(path, "core/loop.h", "uses public headers only")

    def test_arrows_down_are_fine(self):
        self.include("src/core/a.c", "base/list.h", None)
        self.include("src/backend/a.c", "core/op.h", None)
        self.include("src/backend/a.c", "os/linux/epoll.h", None)
        self.include("src/backend/select.c", "sim/sim.h", None)
        self.include("src/net/a.c", "core/loop.h", None)
        self.include("src/http/a.c", "net/stream.h", None)
        self.include("cmd/gyre/a.c", "gyre/loop.h", None)
        self.include("src/core/a.c", "core/b.h", None)

    def test_odd_includes(self):
        self.include("src/core/a.c", "core/b.c", "includes the source")
        self.include("src/core/a.c", "../net/a.h", "without `..`")
        self.include("include/gyre/a.h", "core/loop.h", "a public header includes only gyre/")

    def test_long_function(self):
        body = HEAD + "void f(void)\n{\n%s}\n" % LONG_BODY
        self.check("src/core/a.c", body, "f is 72 lines; the limit is 70", 3)

    def test_long_tables_are_fine(self):
        rows = "    {1, 2},\n" * 100
        cases = "".join("    case %d: return %d;\n" % (n, n) for n in range(90))
        self.check("src/core/a.c", HEAD + "static const int t[][2] = {\n%s};\n" % rows, None)
        self.check(
            "src/core/a.c", HEAD + "int f(int x)\n{\n    switch (x) {\n%s    }\n}\n" % cases, None
        )

    def test_extern_c_is_no_function(self):
        body = HEAD + 'extern "C" {\n' + "void f(void);\n" * 100 + "}\n"
        self.check("include/gyre/a.h", body, None)

    def test_long_file(self):
        self.check("src/core/a.c", HEAD + "int x;\n" * 800, "801 lines; the limit is 800", 801)

    def test_if_inside_a_body(self):
        body = HEAD + "void f(void)\n{\n#if X\n    g();\n#endif\n}\n"
        self.check("src/core/a.c", body, "#if inside the body of f", 4)
        self.check("src/core/a.c", HEAD + "#if X\nvoid f(void)\n{\n    g();\n}\n#endif\n", None)

    def test_text(self):
        self.check("src/core/a.c", HEAD + "\tint x;\n", "a tab", 2)
        self.check("src/core/a.c", HEAD + "int x; \n", "white space at the end", 2)
        self.check("src/core/a.c", HEAD + "int x" * 30 + ";\n", "columns; the limit is 100", 2)
        self.check("src/core/a.c", HEAD + "int x;", "no newline", 2)
        self.check("src/core/a.c", "int x;\n", "a file begins with a comment", 1)

    def test_commented_out_code(self):
        self.check("src/core/a.c", HEAD + "/* x = y + 1; */\n", "commented-out code", 2)
        self.check("src/core/a.c", HEAD + "// close(fd);\n", "commented-out code", 2)
        self.check("src/core/a.c", HEAD + "/*\n * if (a) {\n */\n", "commented-out code", 3)
        self.check("src/core/a.c", HEAD + "/* The kernel says: if (it) can; then. */\n", None)
        self.check("src/core/a.c", HEAD + "#if 0\nint x;\n#endif\n", "#if 0", 2)

    def test_open_ends(self):
        self.check("src/core/a.c", HEAD + "/* TO" + "DO: this. */\n", "an open end", 2)

    def test_strings_and_comments_are_no_code(self):
        body = HEAD + 'const char *s = "{ // /* \\" }";\n/* { */\nvoid f(void)\n{\n}\n'
        self.check("src/core/a.c", body, None)


if __name__ == "__main__":
    unittest.main()
