#!/usr/bin/env python3
"""examples/echo_cluster.c: under 60 lines, serves by several processes, and survives a reload with its connections."""
import os
import signal
import socket
import subprocess
import unittest

from cluster_support import children, is_alive, wait_until
from cmd_support import LIMIT_S

EXAMPLE = os.path.join(os.environ["GYRE_BUILD_DIR"], "examples", "echo_cluster")
SOURCE = os.path.join(os.environ["GYRE_SOURCE_DIR"], "examples", "echo_cluster.c")


class Example(unittest.TestCase):
    def setUp(self):
        # Handed over as systemd does it (sd_listen_fds(3)): so the test knows the port.
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.listener.close)
        self.port = self.listener.getsockname()[1]
        script = 'exec env LISTEN_PID=$$ LISTEN_FDS=1 "$0"'
        self.process = subprocess.Popen(["sh", "-c", script, EXAMPLE], close_fds=False, preexec_fn=self.hand_over)
        self.addCleanup(self.end)

    def hand_over(self):
        os.dup2(self.listener.fileno(), 3)
        os.set_inheritable(3, True)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def connect(self):
        client = socket.create_connection(("127.0.0.1", self.port), LIMIT_S)
        self.addCleanup(client.close)
        client.settimeout(LIMIT_S)
        return client

    def echo(self, client, text):
        client.sendall(text)
        got = b""
        while len(got) < len(text):
            piece = client.recv(100)
            self.assertTrue(piece)
            got += piece
        self.assertEqual(got, text)

    def test_it_is_short(self):
        with open(SOURCE, encoding="ascii") as file:
            self.assertLess(len(file.readlines()), 60)

    def test_a_connection_outlives_a_reload_and_a_stop_ends_all(self):
        first = self.connect()
        self.echo(first, b"before")
        old = set(children(self.process.pid))
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: set(children(self.process.pid)) - old, "new workers")
        self.echo(first, b"after")
        second = self.connect()
        self.echo(second, b"new")
        first.close()
        second.close()
        wait_until(lambda: not any(is_alive(pid) for pid in old), "the end of the old workers")
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(LIMIT_S), 0)


if __name__ == "__main__":
    unittest.main()
