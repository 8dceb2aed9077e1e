#!/usr/bin/env python3
"""At the limit of descriptors: those who are served go on, nobody spins, and it recovers."""
import os
import resource
import select
import socket
import time
import unittest

from http_support import LIMIT_S, Client, Server, ServerTest, request

HELLO = b"hello, world\n"
CLIENTS = 500


def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


class Limit(ServerTest):
    @classmethod
    def fill(cls, root):
        cls.write("hello.txt", HELLO)

    def setUp(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 2 * CLIENTS:
            self.skipTest("the descriptor limit is %d" % hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def processor_s(self, server):
        with open("/proc/%d/stat" % server.process.pid, encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def answered(self, clients, count=CLIENTS):
        """Up to `count` that get their answer to a request that they have sent, without waiting long."""
        by_socket = {client.socket: client for client in clients}
        served = []
        while by_socket and len(served) < count:
            ready = select.select(list(by_socket), [], [], 1)[0]
            if not ready:
                break
            for one in ready:
                client = by_socket.pop(one)
                self.assertEqual(client.response().body, HELLO)
                served.append(client)
        return served

    def test_descriptors(self):
        with Server(self.root, limits=few_descriptors) as server:
            clients = []
            for _ in range(CLIENTS):
                client = Client(server)
                client.send(request("GET", "/hello.txt"))
                clients.append(client)
            served = self.answered(clients)
            self.assertGreater(len(served), 16)
            self.assertLess(len(served), 64)
            # the others wait; that costs nothing, and the served ones go on
            before = self.processor_s(server)
            began = time.monotonic()
            for _ in range(20):
                for client in served:
                    client.send(request("GET", "/hello.txt"))
                    self.assertEqual(client.response().body, HELLO)
            busy = self.processor_s(server)
            while time.monotonic() < began + 1:
                select.select([], [], [], 0.1)
            idle = self.processor_s(server) - busy
            self.assertLess(idle, 0.1, "it spins (%f s before)" % (busy - before))
            self.finish_all(clients, served)
            self.assertEqual(server.get("/hello.txt").body, HELLO)

    def finish_all(self, clients, served):
        """As some leave others get their turn, until each has had its answer."""
        waiting = [client for client in clients if client not in served]
        limit = time.monotonic() + LIMIT_S
        while True:
            for client in served:
                client.close()
            if not waiting or time.monotonic() > limit:
                break
            served = self.answered(waiting, len(served))
            waiting = [client for client in waiting if client not in served]
        self.assertEqual(len(waiting), 0)


if __name__ == "__main__":
    unittest.main()
