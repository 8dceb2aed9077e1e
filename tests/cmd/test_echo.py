#!/usr/bin/env python3
"""gyre echo: every byte comes back, in order, to clients of any pace, on TCP and on a unix socket."""
import hashlib
import os
import selectors
import signal
import socket
import tempfile
import threading
import unittest

from cmd_support import LIMIT_S, SLOW, Started

BIG = (64 << 20) // SLOW


class Echo(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temp = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temp.cleanup)
        cls.path = os.path.join(cls.temp.name, "socket")
        cls.tcp = Started("echo", "--port", "0")
        cls.addClassCleanup(cls.tcp.stop)
        cls.unix = Started("echo", "--unix", cls.path)
        cls.addClassCleanup(cls.unix.stop)

    def connect_tcp(self):
        client = socket.create_connection((self.tcp.host, self.tcp.port), LIMIT_S)
        self.addCleanup(client.close)
        return client

    def connect_unix(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(LIMIT_S)
        client.connect(self.path)
        self.addCleanup(client.close)
        return client

    def both(self):
        return (("tcp", self.connect_tcp), ("unix", self.connect_unix))

    def exchange(self, client, data, piece=1 << 16):
        """Sends all in pieces while it reads; returns what came back until the server's end."""

        def send():
            view = memoryview(data)
            for at in range(0, len(data), piece):
                client.sendall(view[at : at + piece])
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        back = bytearray()
        while got := client.recv(1 << 16):
            back += got
        sender.join()
        return back

    def test_nothing(self):
        for name, connect in self.both():
            with self.subTest(name), connect() as client:
                self.assertEqual(self.exchange(client, b""), b"")

    def test_pieces(self):
        data = os.urandom(5000)
        for name, connect in self.both():
            for piece in (1, 7, 4096, 5000):
                with self.subTest(name, piece=piece), connect() as client:
                    self.assertEqual(self.exchange(client, data, piece), data)

    def test_big_data(self):
        data = os.urandom(1 << 20) * (BIG >> 20)
        for name, connect in self.both():
            with self.subTest(name), connect() as client:
                back = self.exchange(client, data)
                self.assertEqual(len(back), len(data))
                self.assertEqual(hashlib.sha256(back).digest(), hashlib.sha256(data).digest())

    def memory_kib(self, server):
        with open("/proc/%d/statm" % server.process.pid, encoding="ascii") as file:
            return int(file.read().split()[1]) * 4

    def test_a_client_that_does_not_read_is_not_read(self):
        # what is not taken back is not taken in without end
        for server, (name, connect) in zip((self.tcp, self.unix), self.both()):
            with self.subTest(name), connect() as client:
                before = self.memory_kib(server)
                client.setblocking(False)
                sent = self.send_until_stuck(client, 256 << 20)
                self.assertLess(sent, 256 << 20)
                self.assertLess(self.memory_kib(server) - before, SLOW * (8 << 10))
                # and all of it comes back once it reads
                client.setblocking(True)
                client.settimeout(LIMIT_S)
                client.shutdown(socket.SHUT_WR)
                received = 0
                while got := client.recv(1 << 20):
                    received += len(got)
                self.assertEqual(received, sent)

    def send_until_stuck(self, client, limit):
        sent = 0
        data = b"x" * 65536
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_WRITE)
            while sent < limit and selector.select(1):
                sent += client.send(data)
        return sent

    def test_many_at_once(self):
        for name, connect in self.both():
            with self.subTest(name):
                clients = [connect() for _ in range(200)]
                for turn in range(3):
                    for number, client in enumerate(clients):
                        client.sendall(b"%d of %d" % (turn, number))
                    for number, client in enumerate(clients):
                        expected = b"%d of %d" % (turn, number)
                        self.assertEqual(client.recv(100), expected)
                for client in clients:
                    client.close()

    def test_resets(self):
        for _ in range(50):
            client = self.connect_tcp()
            client.sendall(b"x" * 100000)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        with self.connect_tcp() as client:
            self.assertEqual(self.exchange(client, b"alive"), b"alive")

    def test_what_has_come_is_sent_back_before_the_end(self):
        server = Started("echo", "--port", "0")
        with socket.create_connection((server.host, server.port), LIMIT_S) as client:
            client.sendall(b"hello")
            self.assertEqual(client.recv(5), b"hello")
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(client.recv(1), b"")
            server.ended()


if __name__ == "__main__":
    unittest.main()
