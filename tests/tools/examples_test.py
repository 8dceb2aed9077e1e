#!/usr/bin/env python3
"""The examples of messages: actors lose none; publish and subscribe reach who asked, and a subscriber that does not read
is cut off while the others get all."""
import os
import re
import socket
import subprocess
import unittest

EXAMPLES = os.path.join(os.environ["GYRE_BUILD_DIR"], "examples")
LIMIT_S = 20 * int(os.environ.get("GYRE_SLOW", "1"))


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), LIMIT_S)
        self.lines = self.socket.makefile("rb")

    def say(self, line):
        self.socket.sendall(line.encode() + b"\n")

    def ask(self, line):
        self.say(line)
        return self.hear()

    def hear(self):
        return self.lines.readline().decode().rstrip("\n")

    def close(self):
        self.lines.close()
        self.socket.close()


class Actors(unittest.TestCase):
    def run_actors(self, *arguments):
        output = subprocess.run([os.path.join(EXAMPLES, "actors"), *map(str, arguments)], check=True,
                                capture_output=True, text=True, timeout=LIMIT_S).stdout
        return [int(number) for number in re.findall(r"actor \d+: (\d+) messages", output)]

    def test_no_message_is_lost(self):
        for actors, tokens, hops in ((4, 16, 1000), (1, 3, 10), (3, 1000, 30), (2, 1, 1)):
            received = self.run_actors(actors, tokens, hops)
            self.assertEqual(len(received), actors)
            self.assertEqual(sum(received), tokens * hops)


class ThreadCost(unittest.TestCase):
    def test_a_thread_costs_a_stack_and_switches(self):
        output = subprocess.run([os.path.join(EXAMPLES, "thread_cost"), "200"], check=True, capture_output=True, text=True,
                                timeout=LIMIT_S).stdout
        self.assertGreater(float(re.search(r"pages touched +([0-9.]+) KiB", output).group(1)), 1)
        self.assertGreaterEqual(float(re.search(r"switches +([0-9.]+) a line", output).group(1)), 1)


class PubSub(unittest.TestCase):
    def setUp(self):
        self.server = subprocess.Popen([os.path.join(EXAMPLES, "pubsub"), "0", "65536"],
                                       stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.server.stdout.close)
        self.addCleanup(self.server.wait)
        self.addCleanup(self.server.kill)
        self.port = int(self.server.stdout.readline())

    def client(self):
        client = Client(self.port)
        self.addCleanup(client.close)
        return client

    def test_who_has_subscribed_is_told(self):
        cat, dog, publisher = self.client(), self.client(), self.client()
        self.assertEqual(cat.ask("SUB cats"), "OK")
        self.assertEqual(dog.ask("SUB dogs"), "OK")
        self.assertEqual(dog.ask("SUB cats"), "OK")
        self.assertEqual(publisher.ask("PUB cats they purr"), "OK 2")
        self.assertEqual(publisher.ask("PUB dogs they bark"), "OK 1")
        self.assertEqual(cat.hear(), "MSG cats they purr")
        self.assertEqual([dog.hear(), dog.hear()], ["MSG cats they purr", "MSG dogs they bark"])
        self.assertEqual(dog.ask("UNSUB cats"), "OK")
        self.assertEqual(publisher.ask("PUB cats again"), "OK 1")
        self.assertEqual(publisher.ask("PUB birds none"), "OK 0")
        for wrong in ("", "PUB", "NO way", "SUB " + "x" * 40):
            self.assertEqual(publisher.ask(wrong), "ERR what?")
        cat.close()
        self.server.terminate()
        self.assertEqual(dog.hear(), "")  # the end
        self.assertEqual(self.server.wait(LIMIT_S), 0)

    def test_a_subscriber_that_does_not_read_is_cut_off(self):
        slow, quick, publisher = self.client(), self.client(), self.client()
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.assertEqual(slow.ask("SUB news"), "OK")
        self.assertEqual(quick.ask("SUB news"), "OK")
        text = "x" * 4000
        count = 0
        while publisher.ask("PUB news " + text) == "OK 2":
            self.assertEqual(quick.hear(), "MSG news " + text)
            count += 1
            self.assertLess(count, 10000)  # 40 MB: no bound at all
        self.assertEqual(quick.hear(), "MSG news " + text)
        self.assertGreater(count, 10)
        self.assertEqual(publisher.ask("PUB news last"), "OK 1")
        self.assertEqual(quick.hear(), "MSG news last")


if __name__ == "__main__":
    unittest.main()
