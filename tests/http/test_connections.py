#!/usr/bin/env python3
"""How connections live and end: persistence, half-closes, resets, lingering, slow and many clients."""
import fcntl
import os
import resource
import select
import signal
import termios
import time
import unittest

from http_support import LIMIT_S, Broken, Client, Server, ServerTest, request

HELLO = b"hello, world\n"
BIG = 100 << 20
MIDDLE = 8 << 20  # more than socket buffers take
SMALL = 40 << 10  # less


def pattern(size):
    return b"".join(b"%015d\n" % number for number in range(size // 16))


class ConnectionTest(ServerTest):
    @classmethod
    def fill(cls, root):
        cls.write("hello.txt", HELLO)
        with open(cls.write("big", b""), "wb") as file:
            file.truncate(BIG)
            file.seek(BIG - 3)
            file.write(b"end")
        cls.write("small", pattern(SMALL))
        cls.middle = pattern(MIDDLE)
        cls.write("middle", cls.middle)

    def open_files(self):
        path = "/proc/%d/fd" % self.server.process.pid
        names = []
        for number in os.listdir(path):
            try:
                names.append(os.readlink(os.path.join(path, number)))
            except FileNotFoundError:
                pass
        return names


class Persistence(ConnectionTest):
    def exchange(self, *headers, version="1.1"):
        """The response's Connection, and whether the server keeps the connection open."""
        with self.server.client() as client:
            client.send(request("GET", "/hello.txt", *headers, version=version))
            response = client.response()
            self.assertEqual(response.body, HELLO)
            client.send(request("GET", "/hello.txt"))
            try:
                kept = client.response().status == 200
            except (Broken, ConnectionError):
                kept = False
        return response["connection"], kept

    def test_http_1_1(self):
        self.assertEqual(self.exchange(), (None, True))
        self.assertEqual(self.exchange("Connection: keep-alive"), (None, True))
        self.assertEqual(self.exchange("Connection: close"), ("close", False))
        self.assertEqual(self.exchange("Connection: CLOSE"), ("close", False))
        self.assertEqual(self.exchange("Connection: TE, close"), ("close", False))
        self.assertEqual(self.exchange("Connection: x", "Connection: close"), ("close", False))

    def test_http_1_0(self):
        self.assertEqual(self.exchange(version="1.0"), ("close", False))
        self.assertEqual(self.exchange("Connection: keep-alive", version="1.0"), ("keep-alive", True))
        self.assertEqual(self.exchange("Connection: close", version="1.0"), ("close", False))
        self.assertEqual(self.exchange("Connection: keep-alive, close", version="1.0"), ("close", False))

    def test_upgrades_are_declined(self):
        self.assertEqual(self.exchange("Connection: Upgrade", "Upgrade: websocket"), (None, True))
        self.assertEqual(self.exchange("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"), (None, True))

    def test_errors_of_files_keep_the_connection(self):
        with self.server.client() as client:
            for _ in range(3):
                client.send(request("GET", "/missing"))
                response = client.response()
                self.assertEqual((response.status, response["connection"]), (404, None))

    def test_a_thousand_requests(self):
        data = request("GET", "/hello.txt")
        with self.server.client() as client:
            for _ in range(1000):
                client.send(data)
                self.assertEqual(client.response().body, HELLO)

    def test_closed_by_the_client_while_idle(self):
        with self.server.client() as client:
            client.send(request("GET", "/hello.txt"))
            client.response()
            client.finish()
            client.at_end()

    def test_no_request_at_all(self):
        with self.server.client() as client:
            client.finish()
            client.at_end()


class HalfClosed(ConnectionTest):
    def test_small(self):
        responses = self.server.ask(request("GET", "/hello.txt"))
        self.assertEqual([response.body for response in responses], [HELLO])

    def test_large(self):
        responses = self.server.ask(request("GET", "/middle"))
        self.assertEqual([len(response.body) for response in responses], [MIDDLE])
        self.assertEqual(responses[0].body, self.middle)

    def test_what_waits_in_the_queue(self):
        # responses to all requests are queued, because the client does not read; then its end comes
        with Server(self.root, unix=os.path.join(self.temp.name, "queue")) as server:
            for count in range(1000, 2400, 200):
                with server.client() as client:
                    client.send(request("GET", "/%zz") * count)
                    client.finish()
                    self.last_request_is_read(server, client)
                    self.assertEqual(len(client.responses_to_end()), count)

    def last_request_is_read(self, server, client):
        """The server has taken what it takes of what the client sent, and has had some turns since."""
        unsent = bytearray(4)
        seen = []
        while seen[-10:] != [bytes(unsent)] * 10:
            server.get("/hello.txt")
            fcntl.ioctl(client.socket, termios.TIOCOUTQ, unsent)
            seen.append(bytes(unsent))


class Lingering(ConnectionTest):
    def test_an_error_reaches_a_client_that_still_sends(self):
        for _ in range(20):
            with self.server.client() as client:
                client.send(request("POST", "/", "Content-Length: 2000000"))
                sent = 0
                while sent < 500000:
                    sent += client.socket.send(b"x" * min(65536, 500000 - sent))
                response = client.response()
                self.assertEqual(response.status, 413)
                client.at_end()

    def test_what_is_sent_behind_a_close_is_read(self):
        with self.server.client() as client:
            client.send(request("GET", "/middle", "Connection: close") + b"x" * 300000)
            self.assertEqual(client.response().body, self.middle)
            client.at_end()

    def test_sending_without_end_is_cut(self):
        with self.server.client() as client:
            client.send(request("GET", "/hello.txt", "Connection: close"))
            self.assertEqual(client.response().status, 200)
            client.at_end()
            with self.assertRaises(ConnectionError):
                for _ in range(10000):
                    client.send(b"x" * 65536)


class SlowClients(ConnectionTest):
    def test_the_kernel_goes_on_sending_behind_a_close(self):
        # All of it is in the kernel's buffers, and the server has waited long enough for our half's end.
        before = len(self.open_files())
        with self.server.client(receive_buffer=4096) as client:
            client.send(request("GET", "/small", "Connection: close"))
            limit = time.monotonic() + LIMIT_S
            while len(self.open_files()) <= before and time.monotonic() < limit:
                time.sleep(0.01)
            while len(self.open_files()) > before and time.monotonic() < limit:
                time.sleep(0.01)
            self.assertEqual(client.response().body, pattern(SMALL))
            client.at_end()

    def test_large_file(self):
        with self.server.client(receive_buffer=65536) as client:
            client.send(request("GET", "/big"))
            status, headers = client.head()
            self.assertEqual(dict(headers)["content-length"], str(BIG))
            time_between = 0
            left = BIG - len(client.received)
            tail = client.received[-3:]
            view = memoryview(bytearray(1 << 20))
            while left > 0:
                size = client.socket.recv_into(view)
                self.assertGreater(size, 0)
                left -= size
                tail = (tail + bytes(view[max(0, size - 3) : size]))[-3:]
                time_between += 1
            self.assertEqual((left, tail), (0, b"end"))
            client.received = b""
            client.send(request("GET", "/hello.txt"))
            self.assertEqual(client.response().body, HELLO)

    def memory_kib(self):
        with open("/proc/%d/statm" % self.server.process.pid, encoding="ascii") as file:
            return int(file.read().split()[1]) * 4

    def test_one_that_does_not_read_costs_no_memory(self):
        self.serves()
        before = self.memory_kib()
        clients = [self.server.client(receive_buffer=4096) for _ in range(20)]
        for client in clients:
            client.send(request("GET", "/big"))
            self.assertEqual(client.head()[0], 200)
        # others are served meanwhile, and a slow one gets all when it wakes up
        for _ in range(50):
            self.serves()
        self.assertLess(self.memory_kib() - before, 20 * 2048)
        for client in clients:
            client.reset()
        self.serves()

    def test_one_that_only_asks(self):
        # requests are not read further than responses are taken
        with self.server.client(receive_buffer=4096) as client:
            client.socket.setblocking(False)
            data = request("GET", "/middle") * 100
            sent = 0
            while sent < 64 << 20:
                ready = select.select([], [client.socket], [], 0.5)[1]
                if not ready:
                    break
                sent += client.socket.send(data)
            self.assertLess(sent, 64 << 20)
            self.serves()


class Resets(ConnectionTest):
    def test_in_the_middle_of_a_response(self):
        for taken in (0, 1, 100, 100000):
            for _ in range(10):
                client = self.server.client()
                client.send(request("GET", "/big"))
                client.take(taken)
                client.reset()
        self.serves()

    def test_in_the_middle_of_a_request(self):
        for data in (b"", b"G", b"GET / HTTP/1.1\r\n", request("POST", "/", "Content-Length: 100") + b"x"):
            for _ in range(10):
                client = self.server.client()
                client.send(data)
                client.reset()
        self.serves()

    def test_behind_a_hundred_requests(self):
        for _ in range(10):
            client = self.server.client()
            client.send(request("GET", "/middle") * 100)
            client.reset()
        self.serves()

    def test_close_with_unread_bytes(self):
        for _ in range(20):
            client = self.server.client()
            client.send(request("GET", "/middle") + request("GET", "/hello.txt"))
            client.take(10)
            client.close()
        self.serves()

    def test_descriptors_come_back(self):
        before = len(self.open_files())
        self.test_in_the_middle_of_a_response()
        self.test_behind_a_hundred_requests()
        limit = time.monotonic() + LIMIT_S
        # the last few go when the server has read their end: each answer is a turn of its loop
        while time.monotonic() < limit:
            self.serves()
            names = self.open_files()
            if len(names) <= before and not [name for name in names if name.startswith(self.root + "/")]:
                return
        self.fail(names)


class Changes(ConnectionTest):
    """A file that changes while it is sent."""

    def begin(self, name):
        """A response under way, of which not more than the socket buffers hold has been read."""
        self.write(name, self.middle)
        client = self.server.client(receive_buffer=65536)
        client.send(request("GET", "/" + name))
        status, headers = client.head()
        self.assertEqual((status, dict(headers)["content-length"]), (200, str(MIDDLE)))
        return client

    def test_truncated(self):
        for size in (0, 100000, MIDDLE - 1):
            with self.subTest(size=size), self.begin("shrinks") as client:
                os.truncate(os.path.join(self.root, "shrinks"), size)
                received = 0
                try:
                    while client.more():
                        pass
                except ConnectionError:
                    pass
                received = len(client.received)
                # fewer bytes than were promised, never others in their place
                self.assertLess(received, MIDDLE)
                self.assertEqual(client.received, self.middle[:received])
        self.serves()

    def test_grown(self):
        with self.begin("grows") as client:
            with open(os.path.join(self.root, "grows"), "ab") as file:
                file.write(b"more" * 1000)
            self.assertEqual(client.take(MIDDLE), self.middle)
            client.send(request("GET", "/hello.txt"))
            self.assertEqual(client.response().body, HELLO)

    def test_replaced(self):
        with self.begin("replaced") as client:
            os.rename(self.write("new", b"new"), os.path.join(self.root, "replaced"))
            self.assertEqual(client.take(MIDDLE), self.middle)
            client.send(request("GET", "/replaced"))
            self.assertEqual(client.response().body, b"new")

    def test_removed(self):
        with self.begin("removed") as client:
            os.remove(os.path.join(self.root, "removed"))
            self.assertEqual(client.take(MIDDLE), self.middle)
            client.send(request("GET", "/removed"))
            self.assertEqual(client.response().status, 404)


class Many(ConnectionTest):
    def test_a_thousand(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 1200:
            self.skipTest("the descriptor limit is %d" % hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        clients = [self.server.client() for _ in range(1000)]
        for turn in range(2):
            for client in clients:
                client.send(request("GET", "/hello.txt"))
            for client in clients:
                self.assertEqual(client.response().body, HELLO)
        for client in clients:
            client.close()


class Stopping(ConnectionTest):
    def started(self, *options):
        return Server(self.root, *options)

    def test_a_response_under_way_is_finished(self):
        with self.started() as server:
            with server.client(receive_buffer=4096) as client:
                client.send(request("GET", "/middle"))
                status, _ = client.head()
                server.process.send_signal(signal.SIGTERM)
                self.refuses(server)
                self.assertEqual(client.take(MIDDLE), self.middle)
                client.at_end()

    def refuses(self, server):
        """Waits until no further connection is taken."""
        limit = time.monotonic() + LIMIT_S
        while time.monotonic() < limit:
            try:
                Client(server).close()
            except ConnectionError:
                return
        self.fail("connections are still taken")

    def test_a_request_under_way_is_answered(self):
        data = request("GET", "/hello.txt")
        with self.started() as server, server.client() as client:
            client.send(data + data[:10])
            client.response()  # the server has seen the first bytes of the second
            server.process.send_signal(signal.SIGTERM)
            self.refuses(server)
            client.send(data[10:])
            response = client.response()
            self.assertEqual((response.body, response["connection"]), (HELLO, "close"))
            client.at_end()

    def test_idle_connections_are_closed(self):
        with self.started() as server, server.client() as client:
            client.send(request("GET", "/hello.txt"))
            client.response()
            server.process.send_signal(signal.SIGTERM)
            client.at_end()

    def test_the_time_for_it_ends(self):
        with self.started("--drain", "0") as server, server.client(receive_buffer=4096) as client:
            client.send(request("GET", "/big"))
            client.head()
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0)

    def test_a_second_signal_ends_it_at_once(self):
        with self.started("--drain", "3600") as server, server.client(receive_buffer=4096) as client:
            client.send(request("GET", "/big"))
            client.head()
            server.process.send_signal(signal.SIGINT)
            self.refuses(server)
            self.assertIsNone(server.process.poll())
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0)


class Unix(ConnectionTest):
    def test_all_of_it_on_a_unix_socket(self):
        path = os.path.join(self.temp.name, "socket")
        with Server(self.root, unix=path) as server:
            self.assertEqual(server.unix, path)
            self.assertEqual(server.get("/hello.txt").body, HELLO)
            self.assertEqual(server.ask(request("GET", "/middle"))[0].body, self.middle)
            client = server.client()
            client.send(request("GET", "/big"))
            client.head()
            client.close()
            self.assertEqual(server.get("/missing").status, 404)
        self.assertFalse(os.path.exists(path))


if __name__ == "__main__":
    unittest.main()
