#!/usr/bin/env python3
"""--threads N: every thread serves, none loses a byte or a line, and all of them end in good order."""
import collections
import os
import re
import signal
import socket
import tempfile
import unittest

from cmd_support import LIMIT_S, SANITIZE, Started, run

THREADS = 3
CLIENTS = 90
REQUEST = b"GET /page HTTP/1.1\r\nHost: test\r\n\r\n"
BODY = b"<p>page" * 500


class Threads(unittest.TestCase):
    def setUp(self):
        temp = tempfile.TemporaryDirectory()
        self.addCleanup(temp.cleanup)
        self.root = os.path.join(temp.name, "root")
        self.log = os.path.join(temp.name, "log")
        os.mkdir(self.root)
        with open(os.path.join(self.root, "page"), "wb") as file:
            file.write(BODY)

    def start(self, *arguments):
        server = Started(*arguments, "--port", "0", "--threads", str(THREADS))
        self.addCleanup(server.stderr.close)
        self.addCleanup(server.process.stdout.close)
        self.addCleanup(server.process.wait)
        self.addCleanup(server.process.kill)
        return server

    def connect(self, server):
        client = socket.create_connection((server.host, server.port), LIMIT_S)
        self.addCleanup(client.close)
        return client

    def connect_many(self, server):
        return [self.connect(server) for _ in range(CLIENTS)]

    def switches(self, server):
        """How often each serving thread has waited, by its name."""
        counts = {}
        root = "/proc/%d/task" % server.process.pid
        for task in os.listdir(root):
            with open("%s/%s/status" % (root, task), encoding="ascii") as file:
                text = file.read()
            name = re.search(r"^Name:\t(.*)$", text, re.M).group(1)
            if re.fullmatch(r"gyre-\d+", name):
                counts[name] = int(re.search(r"^voluntary_ctxt_switches:\t(\d+)$", text, re.M).group(1))
        return counts

    def get(self, client):
        client.sendall(REQUEST)
        data = b""
        while len(data) < len(BODY) or not data.endswith(BODY):
            got = client.recv(1 << 16)
            self.assertTrue(got, data)
            data += got
        self.assertTrue(data.startswith(b"HTTP/1.1 200 "), data)

    def test_every_thread_serves(self):
        server = self.start("echo")
        before = self.switches(server)
        self.assertEqual(sorted(before), ["gyre-%d" % i for i in range(THREADS)])
        clients = self.connect_many(server)
        for turn in range(3):
            for number, client in enumerate(clients):
                client.sendall(b"%d of %d" % (turn, number))
            for number, client in enumerate(clients):
                expected = b"%d of %d" % (turn, number)
                self.assertEqual(client.recv(100), expected)
        after = self.switches(server)
        for name, count in before.items():
            self.assertGreater(after[name], count, name)
        for client in clients:
            client.close()
        server.stop()

    def test_each_request_has_a_whole_line(self):
        server = self.start("serve", self.root, "--access-log", self.log)
        clients = self.connect_many(server)
        for _ in range(5):
            for client in clients:
                self.get(client)
        server.stop()
        with open(self.log, encoding="ascii") as file:
            lines = file.read().splitlines()
        pattern = r'127\.0\.0\.1 - - \[[^]]*\] "GET /page HTTP/1\.1" 200 %d "-" "-"' % len(BODY)
        odd = collections.Counter(line for line in lines if not re.fullmatch(pattern, line))
        self.assertFalse(odd)
        self.assertEqual(len(lines), 5 * CLIENTS)

    def test_a_signal_ends_all_threads(self):
        for arguments in (("echo",), ("serve", self.root, "--access-log", "off")):
            with self.subTest(arguments[0]):
                server = self.start(*arguments)
                clients = self.connect_many(server)
                if arguments[0] == "serve":
                    for client in clients:
                        self.get(client)
                server.process.send_signal(signal.SIGTERM)
                for client in clients:
                    try:
                        self.assertEqual(client.recv(1), b"")
                    except ConnectionResetError:
                        self.assertNotEqual(arguments[0], "serve")
                server.ended()

    @unittest.skipIf("thread" in SANITIZE, "TSan loses signals")
    def test_a_second_signal_ends_them_at_once(self):
        server = self.start("serve", self.root, "--access-log", "off", "--drain", "3600")
        clients = self.connect_many(server)
        for client in clients:
            client.sendall(REQUEST[:20])
        self.get(self.connect(server))
        server.process.send_signal(signal.SIGTERM)
        while True:  # until nobody listens any more
            with socket.socket() as client:
                if client.connect_ex((server.host, server.port)) != 0:
                    break
        self.assertIsNone(server.process.poll())
        server.process.send_signal(signal.SIGTERM)
        server.ended()

    def test_mistakes(self):
        server = self.start("echo")
        taken = ("--port", str(server.port))
        cases = (
            (1, "already in use", "echo", *taken, "--threads", "2"),
            (1, "already in use", "echo", *taken),
            (1, "/missing: no such", "serve", self.root + "/missing", "--port", "0", "--threads", "3"),
            (1, "no such", "serve", self.root, "--access-log", "/none/log", "--port", "0", "--threads", "3"),
            (2, "one thread", "echo", "--unix", self.root + "/socket", "--threads", "2"),
            (2, '"0" is not', "echo", "--threads", "0"),
            (2, '"1025" is not', "echo", "--threads", "1025"),
            (2, '"-1" is not', "echo", "--threads=-1"),
            (2, "needs a value", "echo", "--threads"),
        )
        for code, pattern, *arguments in cases:
            with self.subTest(arguments):
                got, out, err = run(*arguments)
                self.assertEqual((got, out), (code, ""), err)
                self.assertRegex(err, r"^gyre: [^\n]*%s[^\n]*\n$" % pattern)
        server.stop()

    def test_auto(self):
        server = Started("echo", "--port", "0", "--threads", "auto")
        self.addCleanup(server.stderr.close)
        with socket.create_connection((server.host, server.port), LIMIT_S) as client:
            client.sendall(b"hello")
            self.assertEqual(client.recv(5), b"hello")
        server.stop()


if __name__ == "__main__":
    unittest.main()
