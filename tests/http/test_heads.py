#!/usr/bin/env python3
"""Request lines and header fields: what RFC 9112 refuses is refused, with one answer and a close."""
import unittest

from http_support import ServerTest, request

HELLO = b"hello, world\n"
GOOD = request("GET", "/hello.txt")


def raw(first, *fields):
    return b"".join(line + b"\r\n" for line in (first, *fields)) + b"\r\n"


class HeadTest(ServerTest):
    @classmethod
    def fill(cls, root):
        cls.write("hello.txt", HELLO)

    def refused(self, data, status=400, head=False):
        return self.closed_after(data + GOOD, status, head=head)

    def accepted(self, data, status=200):
        """Answered, and the next request too."""
        self.assertEqual([got.status for got in self.server.ask(data + GOOD)], [status, 200], data[:200])


class Limits(HeadTest):
    def test_target(self):
        room = 8192 - len("/hello.txt?")
        self.accepted(request("GET", "/hello.txt?" + "x" * room))
        self.refused(request("GET", "/hello.txt?" + "x" * (room + 1)), 414)

    def test_request_line_without_end(self):
        self.closed_after(b"GET /" + b"x" * 100000, 414)

    def test_one_long_header(self):
        self.accepted(request("GET", "/hello.txt", "X-Long: " + "x" * 15000))
        self.refused(request("GET", "/hello.txt", "X-Long: " + "x" * 17000), 431)
        self.closed_after(b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 100000, 431)
        self.closed_after(b"GET / HTTP/1.1\r\n" + b"x" * 100000, 431)

    def test_all_headers_together(self):
        fields = ["X-%02d: %s" % (number, "x" * 200) for number in range(90)]
        self.refused(request("GET", "/hello.txt", *fields), 431)

    def test_a_head_in_pieces(self):
        # none of the pieces is too long, all of them are
        with self.server.client() as client:
            client.socket.setsockopt(6, 1, 1)
            client.send(b"GET / HTTP/1.1\r\nHost: test\r\n")
            for number in range(40):
                client.send(b"X-%02d: %s\r\n" % (number, b"x" * 500))
            client.send(b"\r\n")
            self.assertEqual(client.response().status, 431)
            client.at_end()

    def test_count_of_headers(self):
        fields = ["X-%d: y" % number for number in range(99)]
        self.accepted(request("GET", "/hello.txt", *fields))
        self.refused(request("GET", "/hello.txt", *fields, "One: more"), 431)

    def test_empty_lines_without_end(self):
        self.closed_after(b"\r\n" * 10000, 414)


class RequestLine(HeadTest):
    def test_versions(self):
        for version in (b"HTTP/2.0", b"HTTP/1.2", b"HTTP/0.9", b"HTTP/3.0", b"HTTP/9.9"):
            with self.subTest(version=version):
                self.refused(raw(b"GET / " + version, b"Host: test"), 505)

    def test_what_is_no_version(self):
        for version in (b"HTTP/1", b"HTTP/1.", b"HTTP/11", b"HTTP/1.10", b"HTTP/01.1", b"http/1.1", b"HTTP 1.1"):
            with self.subTest(version=version):
                response = self.closed_after(raw(b"GET / " + version, b"Host: test") + GOOD, 0)
                self.assertIn(response.status, (400, 505))

    def test_other_protocols(self):
        for version in (b"RTSP/1.0", b"ICE/1.0", b"HTTPS/1.1", b"X/1.1"):
            for method in (b"GET", b"OPTIONS", b"SOURCE"):
                with self.subTest(version=version, method=method):
                    self.closed_after(raw(method + b" / " + version, b"Host: test") + GOOD, 0)

    def test_no_version(self):
        self.closed_after(b"GET /\r\n\r\n", 0)
        self.closed_after(b"GET / \r\n\r\n", 0)

    def test_http_2_preface(self):
        self.closed_after(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)

    def test_a_tls_hello(self):
        self.closed_after(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0)

    def test_blanks(self):
        for line in (b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b"GET / HTTP/1.1 ", b" GET / HTTP/1.1",
                     b"GET\t/ HTTP/1.1", b"GET /\tHTTP/1.1", b"GET / x HTTP/1.1", b"GET HTTP/1.1",
                     b"GET /a b HTTP/1.1", b"GET /a\tb HTTP/1.1", b"GET /a\x0cb HTTP/1.1"):
            with self.subTest(line=line):
                self.closed_after(raw(line, b"Host: test") + GOOD, 0)

    def test_control_bytes(self):
        for byte in (0, 1, 8, 9, 11, 12, 13, 27, 31, 127):
            with self.subTest(byte=byte):
                line = b"GET /hello.txt?a%cb HTTP/1.1" % byte
                self.closed_after(raw(line, b"Host: test") + GOOD, 0)

    def test_unknown_methods(self):
        for method in ("BREW", "GETT", "GE", "get", "Get", "X", "ANNOUNCE", "PLAY", "G-T", "FLUSH"):
            with self.subTest(method=method):
                self.refused(request(method, "/hello.txt"), 501)

    def test_what_is_no_method(self):
        for method in (b"", b"G(T", b"G\x00T", b"\xff", b"GET,", b"[]"):
            with self.subTest(method=method):
                response = self.closed_after(raw(method + b" / HTTP/1.1", b"Host: test") + GOOD, 0)
                self.assertIn(response.status, (400, 501))

    def test_methods_that_files_do_not_have(self):
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "PURGE"):
            with self.subTest(method=method):
                with self.server.client() as client:
                    client.send(request(method, "/hello.txt") + GOOD)
                    response = client.response()
                    self.assertEqual(response.status, 405)
                    self.assertEqual(response["allow"], "GET, HEAD")
                    self.assertEqual(client.response().status, 200)

    def test_connect(self):
        self.refused(raw(b"CONNECT test:443 HTTP/1.1", b"Host: test:443"), 501)

    def test_forms_of_targets(self):
        for target in ("http://test/hello.txt", "http://other:81/hello.txt", "HTTP://TEST/hello.txt?a=http://x",
                       "https://test/hello.txt"):
            with self.subTest(target=target):
                self.accepted(request("GET", target))
        for target in ("http://test", "http://test?a=b", "/", "/?a#b"):
            with self.subTest(target=target):
                self.accepted(request("GET", target), 404)
        self.accepted(request("OPTIONS", "*"), 405)
        for target in ("*", "hello.txt", "test:80", "ftp://test/hello.txt", "http:/hello.txt", "http:hello.txt",
                       "?a", "#a", "../hello.txt", "http:///hello.txt", "file:///hello.txt", "http://:80/hello.txt",
                       "http://user@test/hello.txt", "http://test:x/hello.txt", "http://te<st/hello.txt"):
            with self.subTest(target=target):
                self.refused(request("GET", target), 400)


class Host(HeadTest):
    def test_missing(self):
        self.refused(request("GET", "/hello.txt", host=None))
        self.refused(request("GET", "http://test/hello.txt", host=None))

    def test_missing_in_http_1_0(self):
        self.assertEqual(self.server.ask(request("GET", "/hello.txt", host=None, version="1.0"))[0].status, 200)

    def test_two(self):
        self.refused(request("GET", "/hello.txt", "Host: test"))
        self.refused(request("GET", "/hello.txt", "hOST: other"))
        self.refused(request("GET", "/hello.txt", "Host: other", version="1.0"))

    def test_what_is_no_host(self):
        for value in ("a b", "a/b", "a, b", "user@test", "a\\b", "<x>", '"a"', "a?b", "a#b", "test:80:80", "test:x",
                      "[::1", "::1"):
            with self.subTest(value=value):
                self.refused(request("GET", "/hello.txt", host=value))

    def test_hosts(self):
        for value in ("", "test:8080", "127.0.0.1", "[::1]", "[::1]:80", "a-b.c_d", "test:", "%41"):
            with self.subTest(value=value):
                self.accepted(request("GET", "/hello.txt", host=value))


class Fields(HeadTest):
    def with_field(self, field):
        return raw(b"GET /hello.txt HTTP/1.1", b"Host: test", field)

    def test_bare_line_feeds(self):
        for data in (
            b"GET / HTTP/1.1\nHost: test\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: test\n\r\n",
            b"GET / HTTP/1.1\r\nHost: test\r\n\n",
            b"GET / HTTP/1.1\nHost: test\n\n",
            b"\nGET / HTTP/1.1\r\nHost: test\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: test\r\nA: b\nTransfer-Encoding: chunked\r\n\r\n",
        ):
            with self.subTest(data=data):
                self.refused(data)

    def test_bare_carriage_returns(self):
        for data in (b"GET / HTTP/1.1\rHost: test\r\n\r\n", b"GET / HTTP/1.1\r\r\nHost: test\r\n\r\n"):
            with self.subTest(data=data):
                self.refused(data, 0)
        for data in (
            b"GET / HTTP/1.1\r\nHost: test\rA: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: te\rst\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: test\r\n\r\r\n",
            b"GET / HTTP/1.1\r\nHost: test\r\nA:\rb\r\n\r\n",
        ):
            with self.subTest(data=data):
                self.refused(data)

    def test_folded_lines(self):
        self.refused(raw(b"GET / HTTP/1.1", b"Host: test", b"A: b", b" c"))
        self.refused(raw(b"GET / HTTP/1.1", b"Host: test", b"A: b", b"\tc"))
        self.refused(raw(b"GET / HTTP/1.1", b"Host: test", b"A:", b" c"))
        self.refused(raw(b"GET / HTTP/1.1", b" Host: test"))
        self.refused(raw(b"GET / HTTP/1.1", b"Host: test", b"Transfer-Encoding:", b" chunked"))
        self.refused(raw(b"GET / HTTP/1.1", b"Host: test", b" "))

    def test_blanks_and_names(self):
        for field in (b"Name : value", b"Name\t: value", b" Name: value", b"Na me: value", b": value", b"Name",
                      b"Name value", b"(Name): value", b"Name\x00: value", b"N\x01me: value", b"N\xe4me: value",
                      b"N@me: value", b'"Name": value', b"Name;: value", b"Name\x7f: value", b"Name[]: value"):
            with self.subTest(field=field):
                self.refused(self.with_field(field))

    def test_values(self):
        for field in (b"Name: a\x00b", b"Name: \x00", b"Name: a\x01b", b"Name: a\x7fb", b"Name: a\x0bb", b"Name: \x1b[0m"):
            with self.subTest(field=field):
                self.refused(self.with_field(field))
        for field in (b"Name:", b"Name:value", b"Name: \t value \t ", b"Name: a\tb", b"Name: \xc3\xa4", b"Name: a:b:c",
                      b"!#$%&'*+-.^_`|~0aA: value"):
            with self.subTest(field=field):
                self.accepted(self.with_field(field))

    def test_error_to_a_head_request_has_no_body(self):
        self.refused(raw(b"HEAD /hello.txt HTTP/1.1", b"Host: test", b"Na me: value"), head=True)

    def test_many_bad_clients_leave_nothing(self):
        for number in range(100):
            self.refused(b"GET /%d HTTP/1.1\r\n\r\n" % number)
        self.serves()


if __name__ == "__main__":
    unittest.main()
