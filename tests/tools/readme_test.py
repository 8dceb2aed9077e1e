#!/usr/bin/env python3
"""The echo server in README.md compiles as printed, is short, and echoes on every backend.

The README has exactly one fenced ```c block with a main(). The program takes a port as argv[1] (0 picks
one) and prints "listening on tcp://HOST:PORT", perhaps with more after it, as its first line.
"""
import os
import re
import shlex
import socket
import subprocess
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.environ.get("GYRE_SOURCE_DIR", os.path.normpath(os.path.join(HERE, "..", "..")))
BUILD = os.environ.get("GYRE_BUILD_DIR", os.path.join(ROOT, "build"))
CC = os.environ.get("GYRE_CC", "cc")
SANITIZE = os.environ.get("GYRE_SANITIZE", "")
LIMIT_S = 10 * int(os.environ.get("GYRE_SLOW", "1"))
LINES_MAX = 39


def program():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        blocks = re.findall(r"^```c\n(.*?)^```", file.read(), re.S | re.M)
    return [block for block in blocks if re.search(r"\bmain\s*\(", block)]


class Readme(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temp = tempfile.TemporaryDirectory()
        cls.blocks = program()
        cls.binary = os.path.join(cls.temp.name, "echo")
        if not cls.blocks:
            return
        source = cls.binary + ".c"
        with open(source, "w", encoding="utf-8") as file:
            file.write(cls.blocks[0])
        flags = "-std=c11 -Wall -Wextra -Wpedantic -Werror -g"
        if SANITIZE:
            flags += " -fsanitize=" + SANITIZE
        library = os.path.join(BUILD, "libgyre.a")
        command = shlex.split("%s %s" % (CC, flags))
        command += ["-I", os.path.join(ROOT, "include"), source, library, "-luring", "-pthread"]
        subprocess.run(command + ["-o", cls.binary], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.temp.cleanup()

    def test_one_short_program(self):
        self.assertEqual(len(self.blocks), 1, "README.md has one ```c block with a main()")
        self.assertLessEqual(len(self.blocks[0].splitlines()), LINES_MAX)

    def echo_on(self, backend):
        env = dict(os.environ, GYRE_BACKEND=backend, GYRE_BACKEND_STRICT="1")
        command = [self.binary, "0"]
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as server:
            try:
                line = server.stdout.readline()
                match = re.match(r"listening on tcp://(\S+):(\d+)\b", line)
                self.assertTrue(match, "the first line is %r" % line)
                data = os.urandom(300000)
                self.assertEqual(exchange(match.group(1), int(match.group(2)), data), data)
            finally:
                server.kill()

    def test_echo(self):
        for backend in ("epoll", "poll", "uring"):
            with self.subTest(backend=backend):
                self.echo_on(backend)


def exchange(host, port, data):
    """Sends `data` in pieces, then the end; returns all that comes back until the server's end."""
    back = b""
    with socket.create_connection((host.strip("[]"), port), timeout=LIMIT_S) as client:
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


if __name__ == "__main__":
    unittest.main()
