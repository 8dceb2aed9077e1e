#!/usr/bin/env python3
"""The access log: one line for each response, in the combined format, whatever clients send."""
import os
import re
import unittest

from http_support import Server, ServerTest, request

HELLO = b"hello, world\n"
LINE = re.compile(
    rb"127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "
    rb'"([^"]*)" (\d{3}) (\d+) "([^"]*)" "([^"]*)"'
)


class LogTest(ServerTest):
    @classmethod
    def fill(cls, root):
        cls.write("hello.txt", HELLO)
        cls.write("middle", b"x" * (8 << 20))

    def logged(self, *requests):
        """Sends each on a connection of its own. The parts of the lines for them."""
        with Server(self.root, log=True) as server:
            for data in requests:
                with server.client() as client:
                    client.send(data)
                    client.finish()
                    client.to_end()
            lines = server.stop()
        parts = []
        for line in lines:
            match = LINE.fullmatch(line)
            self.assertIsNotNone(match, line)
            self.assertTrue(all(0x20 <= byte < 0x7F for byte in line), line)
            parts.append(tuple(part.decode() for part in match.groups()))
        return parts

    def test_fields(self):
        headers = ("Referer: http://from.test/", "User-Agent: tester/1.0 (x; y)")
        self.assertEqual(
            self.logged(
                request("GET", "/hello.txt?a=b", *headers),
                request("HEAD", "/hello.txt", version="1.0"),
                request("GET", "/missing"),
                request("GET", "/hello.txt", "Range: bytes=1-3"),
                request("GET", "/hello.txt", "If-None-Match: *"),
                request("POST", "/hello.txt", "Content-Length: 3") + b"abc",
            ),
            [
                ("GET /hello.txt?a=b HTTP/1.1", "200", "13", "http://from.test/", "tester/1.0 (x; y)"),
                ("HEAD /hello.txt HTTP/1.0", "200", "0", "-", "-"),
                ("GET /missing HTTP/1.1", "404", self.page_bytes("/missing"), "-", "-"),
                ("GET /hello.txt HTTP/1.1", "206", "3", "-", "-"),
                ("GET /hello.txt HTTP/1.1", "304", "0", "-", "-"),
                ("POST /hello.txt HTTP/1.1", "405", self.page_bytes("/hello.txt", "POST"), "-", "-"),
            ],
        )

    def page_bytes(self, target, method="GET"):
        return str(len(self.server.get(target, method=method).body))

    def test_what_was_refused(self):
        lines = self.logged(
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/3.0\r\n\r\n",
            b"BREW / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\x00\r\n",
            b"GET /" + b"x" * 20000,
            b"GET /hello.txt HTTP/1.1\r\nHost: test\r\nUser-Agent: me\r\nBad Name: x\r\n\r\n",
        )
        self.assertEqual([line[1] for line in lines[:3] + lines[4:]], ["400", "505", "501", "414", "400"])
        self.assertIn(lines[3][1], ("400", "501"))
        self.assertEqual(lines[0][0], "GET / HTTP/1.1")
        # no method that nobody sent
        for line in lines[2:4]:
            self.assertTrue(line[0].startswith("- "), line)
        self.assertEqual((lines[5][0], lines[5][4]), ("GET /hello.txt HTTP/1.1", "me"))

    def test_nothing_can_be_smuggled_in(self):
        for text in ('" 200 0 "', "\\", "a\tb", "\xff\xfe", "\x80\x9b31m", '\\" x', "\xc3\xa4"):
            with self.subTest(text=text):
                (line,) = self.logged(
                    request("GET", "/hello.txt", "User-Agent: a" + text + "b", "Referer: c" + text + "d")
                )
                self.assertEqual(line[:3], ("GET /hello.txt HTTP/1.1", "200", "13"))
                for part, front, back in ((line[4], "a", "b"), (line[3], "c", "d")):
                    self.assertEqual(self.unescape(part), front + text + back)
        (line,) = self.logged(request("GET", '/"%22\\%0a\xff'))
        self.assertEqual(self.unescape(line[0]), 'GET /"%22\\%0a\xff HTTP/1.1')

    def unescape(self, text):
        return re.sub(r"\\x([0-9A-F]{2})", lambda match: chr(int(match.group(1), 16)), text)

    def test_long_fields_are_cut(self):
        (line,) = self.logged(
            request("GET", "/" + "t" * 3000, "User-Agent: " + '"' * 3000, "Referer: " + "r" * 3000)
        )
        self.assertEqual(line[1], "404")
        self.assertLess(len("".join(line)), 4096)

    def test_pipelined(self):
        lines = self.logged(request("GET", "/hello.txt") * 50)
        self.assertEqual(lines, [("GET /hello.txt HTTP/1.1", "200", "13", "-", "-")] * 50)

    def test_broken_off(self):
        with Server(self.root, log=True) as server:
            with server.client(receive_buffer=4096) as client:
                client.send(request("GET", "/middle"))
                client.head()
                client.reset()
            server.get("/hello.txt")
            lines = server.stop()
        self.assertEqual(len(lines), 2)
        # who the client was the kernel no longer knows
        broken = [re.search(rb'"GET /middle HTTP/1.1" 200 (\d+) "-" "-"$', line) for line in lines]
        broken = [int(match.group(1)) for match in broken if match]
        self.assertEqual(len(broken), 1)
        self.assertLess(broken[0], 8 << 20)

    def test_appends(self):
        path = os.path.join(self.temp.name, "log")
        for _ in range(2):
            with Server(self.root, "--access-log", path) as server:
                server.get("/hello.txt")
        with open(path, "rb") as file:
            self.assertEqual(file.read().count(b"\n"), 2)

    def test_on_a_unix_socket(self):
        with Server(self.root, log=True, unix=os.path.join(self.temp.name, "socket")) as server:
            server.get("/hello.txt")
            lines = server.stop()
        self.assertEqual(len(lines), 1)
        self.assertTrue(lines[0].startswith(b"- - - ["), lines)

    def test_a_full_device(self):
        with Server(self.root, "--access-log", "/dev/full") as server:
            for _ in range(3):
                self.assertEqual(server.get("/hello.txt").status, 200)
            server.stop(allowed=r"gyre: access log: [^\n]+\n")


if __name__ == "__main__":
    unittest.main()
