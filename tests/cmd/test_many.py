#!/usr/bin/env python3
"""gyre echo on one thread with as many idle connections as the machine's descriptors allow, and 16 active.

Run with -v it says how many bytes of the server's own memory an idle connection takes.
"""
import resource
import socket
import struct
import sys
import time
import unittest

from cmd_support import BACKEND, LIMIT_S, SANITIZE, Started

# poll(2) looks at all of them in each turn: it is not for so many.
CONNECTIONS = 2000 if BACKEND == "poll" else 15000
ACTIVE = 16
# Bytes an idle connection: its handle of 256, and little more. Few connections are measured less exactly.
MEMORY_MAX = 400 if BACKEND == "poll" else 356
ROUNDS = 200
SPARE = 200  # descriptors for everything else
RESET = struct.pack("ii", 1, 0)  # no TIME_WAIT: the ports are free for the next run


def limit():
    """Descriptors that a process may have; the soft limit is raised to that."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def anonymous_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


def processor_s(pid):
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e9


class Many(unittest.TestCase):
    def setUp(self):
        # The sanitizers' shadow of so many allocations is not what is measured here.
        self.count = min(1500 if SANITIZE else CONNECTIONS, limit() - SPARE)
        self.server = Started("echo", "--port", "0")
        self.addCleanup(self.server.stop)
        self.clients = []
        self.addCleanup(lambda: [client.close() for client in self.clients])

    def connect(self):
        client = socket.socket()
        client.settimeout(LIMIT_S)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.connect((self.server.host, self.server.port))
        self.clients.append(client)

    def echo(self, client, text):
        client.sendall(text)
        got = b""
        while len(got) < len(text):
            piece = client.recv(len(text))
            self.assertTrue(piece, "the server has closed")
            got += piece
        self.assertEqual(got, text)

    def test_idle_connections_cost_memory_and_nothing_else(self):
        pid = self.server.process.pid
        for _ in range(100):
            self.connect()
            self.echo(self.clients[-1], b"warm")
        before = anonymous_bytes(pid)
        while len(self.clients) < self.count:
            self.connect()
        self.echo(self.clients[-1], b"all are served")
        each = (anonymous_bytes(pid) - before) / (self.count - 100)
        active = self.clients[:: self.count // ACTIVE][:ACTIVE]
        for turn in range(ROUNDS):
            for client in active:
                self.echo(client, b"turn %d" % turn)
        # Nobody says anything: the processor is left alone.
        used = processor_s(pid)
        time.sleep(0.2)
        self.assertLess(processor_s(pid) - used, 0.02)
        print(f"{self.count} connections, {ACTIVE} active, {each:.0f} bytes an idle connection", file=sys.stderr)
        if not SANITIZE:
            self.assertLess(each, MEMORY_MAX)


if __name__ == "__main__":
    unittest.main()
