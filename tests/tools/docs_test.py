#!/usr/bin/env python3
"""The documentation is true: its C compiles and runs, its commands exist, its links and names lead somewhere."""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

import docs_support as docs

COMMANDS = "apt-get cc cd cmake ctest curl git kill ldconfig make man".split()
TREES = (
    "include src tests tools bench examples exercises docs cmd cmake contrib demo wasm site fuzz .ci"
).split()


def headings(text):
    """The fragments of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)
    found = []
    for heading in re.findall(r"^#{1,6} +(.*?) *$", text, re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        found.append(re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-"))
    return set(found)


def read(path):
    with open(os.path.join(docs.ROOT, path), encoding="utf-8") as file:
        return file.read()


class Code(unittest.TestCase):
    """Every block of C in README.md and docs/."""

    @classmethod
    def setUpClass(cls):
        cls.temp = tempfile.TemporaryDirectory()
        cls.pages = [page for page in docs.pages() if docs.is_guide(page)]
        cls.blocks = [block for page in cls.pages for block in page.blocks if block.language == "c"]

    @classmethod
    def tearDownClass(cls):
        cls.temp.cleanup()

    def test_each_block_says_how_it_is_compiled(self):
        for block in self.blocks:
            with self.subTest(block.where):
                self.assertTrue(block.is_program or block.mark in ("above", "from:", "file", "body"))

    def test_fragments_compile(self):
        for block in self.blocks:
            if block.mark in ("file", "body"):
                with self.subTest(block.where):
                    path = os.path.join(self.temp.name, "fragment.c")
                    with open(path, "w", encoding="utf-8") as file:
                        file.write(docs.fragment(block))
                    result = docs.compiler("-Wno-unused", "-fsyntax-only", path)
                    self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_quotations_are_exact(self):
        for block in self.blocks:
            with self.subTest(block.where):
                if block.mark == "above":
                    others = [b.text for b in block.page.blocks if b.is_program]
                    self.assertTrue(any(block.text in other for other in others))
                elif block.mark == "from:":
                    self.assertIn(block.text, read(block.rest.strip()))

    def test_programs_run(self):
        for page in self.pages:
            for number, block in enumerate(page.blocks):
                if not block.is_program:
                    continue
                with self.subTest(block.where):
                    binary = docs.build(block, self.temp.name)
                    prints = [b.text for b in page.blocks[number + 1 :] if b.mark == "prints"][:1]
                    for backend in docs.BACKENDS:
                        with self.subTest(backend):
                            self.run_program(block, binary, backend, prints)

    def run_program(self, block, binary, backend, prints):
        if block.mark == "run: server":
            serve(self, binary, backend, signal.SIGINT)
        elif block.mark == "run":
            result = subprocess.run(
                [binary], env=docs.on_backend(backend), capture_output=True, text=True, timeout=docs.LIMIT_S, check=False
            )
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            if prints:
                self.assertEqual(result.stdout, prints[0])


class Readme(unittest.TestCase):
    """The README's echo server is short, and echoes on every backend."""

    LINES_MAX = 39

    def test_echo(self):
        programs = [block for block in docs.Page("README.md").blocks if block.is_program]
        self.assertEqual(len(programs), 1, "README.md has one ```c block with a main()")
        self.assertLessEqual(len(programs[0].text.splitlines()), self.LINES_MAX)
        with tempfile.TemporaryDirectory() as temp:
            binary = docs.build(programs[0], temp)
            for backend in docs.BACKENDS:
                with self.subTest(backend):
                    serve(self, binary, backend, signal.SIGKILL)


def serve(test, binary, backend, end):
    """Runs an echo server on a port that the kernel picks, talks to it, and ends it."""
    command = [binary, "0"]
    with subprocess.Popen(command, env=docs.on_backend(backend), stdout=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline()
            match = re.match(r"listening on tcp://(\S+):(\d+)\b", line)
            test.assertTrue(match, "the first line is %r" % line)
            address = (match.group(1), int(match.group(2)))
            data = os.urandom(300000)
            test.assertEqual(exchange(address, data), data)
            with socket.create_connection(address, timeout=docs.LIMIT_S) as silent:
                silent.sendall(b"x")
                test.assertEqual(silent.recv(1), b"x")
                server.send_signal(end)
                test.assertEqual(server.wait(timeout=docs.LIMIT_S), 0 if end == signal.SIGINT else -end)
        finally:
            server.kill()


def exchange(address, data):
    """Sends `data` in pieces, then the end; returns all that comes back until the server's end."""
    back = b""
    with socket.create_connection(address, timeout=docs.LIMIT_S) as client:
        for start in range(0, len(data), 50000):
            client.sendall(data[start : start + 50000])
            while len(back) < min(start + 50000, len(data)):
                piece = client.recv(65536)
                if not piece:
                    return back
                back += piece
        client.shutdown(socket.SHUT_WR)
        while piece := client.recv(65536):
            back += piece
    return back


class Commands(unittest.TestCase):
    """Every line of every ```sh block: the program, its sub-command and its options exist."""

    def lines(self):
        for page in docs.pages():
            for block in page.blocks:
                if block.language == "sh":
                    for line in block.text.splitlines():
                        line = re.sub(r"(^|\s)#.*", "", line).strip()
                        if line:
                            yield block, line

    def test_commands_exist(self):
        for block, line in self.lines():
            for part in re.split(r"&&|\||;", line):
                words = [w for w in part.split() if not re.match(r"[A-Z_]+=", w)]
                while words and words[0] in ("sudo", "setarch"):
                    words.pop(0)
                with self.subTest("%s: %s" % (block.where, part.strip())):
                    self.command(block, words)

    def command(self, block, words):
        name = words[0].strip("'\"")
        if name == "build/gyre":
            self.program(words[1:])
        elif name == "make":
            self.targets(words[1:])
        elif name == "cmake" and "--preset" in words:
            self.assertIn('"name": "%s"' % words[words.index("--preset") + 1], read("CMakePresets.json"))
        elif name.startswith("./"):
            self.assertRegex(block.page.text, r"-o %s\b" % re.escape(name[2:]))
        elif name.startswith("build/"):
            self.assertTrue(os.path.exists(os.path.join(docs.BUILD, name[6:])), name)
        elif "/" in name:
            self.assertTrue(os.access(os.path.join(docs.ROOT, name), os.X_OK), name)
        else:
            self.assertIn(name, COMMANDS)

    def program(self, words):
        command = words[0]
        result = subprocess.run(
            [os.path.join(docs.BUILD, "gyre"), command, "--help"], capture_output=True, text=True, check=False
        )
        self.assertEqual(result.returncode, 0, "gyre %s" % command)
        for option in re.findall(r"--[a-z-]+", " ".join(words)):
            self.assertIn(option, result.stdout + result.stderr)

    def targets(self, words):
        known = re.findall(r"^([a-z]+):", read("Makefile"), re.M)
        for word in words:
            if re.fullmatch(r"[a-z]+", word):
                self.assertIn(word, known)


class Names(unittest.TestCase):
    """Code spans: paths, tests, functions and constants that they name exist."""

    @classmethod
    def setUpClass(cls):
        cls.pages = docs.pages()
        texts = [text for tree in ("include", "src", "tests", "cmake") for text in cls.gather(tree)]
        cls.known = set(re.findall(r"\w+", " ".join(texts + [read("CMakeLists.txt")])))

    @staticmethod
    def gather(tree):
        texts = []
        for folder, _, names in os.walk(os.path.join(docs.ROOT, tree)):
            for name in names:
                if name.endswith((".c", ".h", ".py", ".cmake", ".sh")):
                    with open(os.path.join(folder, name), encoding="utf-8") as file:
                        texts.append(file.read())
        return texts

    def spans(self):
        for page in self.pages:
            for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page.prose()):
                yield page.path, span

    def test_paths_exist(self):
        for path, span in self.spans():
            name = re.match(r"((?:%s)/[\w./-]+)" % "|".join(re.escape(tree) for tree in TREES), span)
            if name and "*" not in span and not re.search(r"[A-Z]{2,}[./]|_X\b|test_X|/NAME", span):
                with self.subTest("%s: %s" % (path, span)):
                    self.assertTrue(os.path.exists(os.path.join(docs.ROOT, name.group(1).rstrip("."))))

    def test_names_exist(self):
        for path, span in self.spans():
            for name in re.findall(r"\b(?:gyre|gyrei|GYRE)_\w+", span):
                if name.endswith("_") or re.search(r"[A-Z]$|gyre_[A-Z]", name) and name.startswith("gyre"):
                    continue
                with self.subTest("%s: %s" % (path, name)):
                    self.assertTrue(name in self.known or name[5:] in self.known)

    def test_tests_exist(self):
        for path, span in self.spans():
            others = re.match(r"(gyre|uv|event|bufferevent)_", span)
            if re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+){3,}", span) and not others:
                with self.subTest("%s: %s" % (path, span)):
                    self.assertTrue(span in self.known, "no test has this name")


class Links(unittest.TestCase):
    def test_links_lead_somewhere(self):
        for page in docs.pages():
            for target in re.findall(r"\]\(([^)\s]+)\)", page.prose()):
                with self.subTest("%s: %s" % (page.path, target)):
                    self.link(page, target)

    def link(self, page, target):
        if target.startswith("https://"):
            return
        self.assertFalse(re.match(r"[a-z]+:", target), "no such scheme here")
        path, _, fragment = target.partition("#")
        path = os.path.normpath(os.path.join(os.path.dirname(page.path), path)) if path else page.path
        self.assertTrue(os.path.exists(os.path.join(docs.ROOT, path)))
        if fragment:
            if os.path.isdir(os.path.join(docs.ROOT, path)):
                path = os.path.join(path, "README.md")
            self.assertIn(fragment, headings(read(path)))

    def test_the_contents_have_every_page(self):
        listed = set(re.findall(r"\]\(([\w-]+\.md)\)", read("docs/README.md")))
        there = {os.path.basename(p.path) for p in docs.pages() if p.path.startswith("docs/")}
        self.assertEqual(listed, there - {"README.md"})


if __name__ == "__main__":
    sys.exit(unittest.main())
