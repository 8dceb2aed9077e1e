#!/usr/bin/env python3
"""Where one request ends and the next begins (RFC 9112): never two answers for one, never one for two."""
import unittest

from http_support import ServerTest, request

HELLO = b"hello, world\n"
GOOD = request("GET", "/hello.txt")


class FramingTest(ServerTest):
    @classmethod
    def fill(cls, root):
        cls.write("hello.txt", HELLO)

    def answers(self, data):
        """The statuses of all responses to these bytes, our half closed behind them."""
        return [response.status for response in self.server.ask(data)]

    def refused(self, data, status=400):
        """One answer, then the end; what stands behind is not read as a request."""
        self.closed_after(data + GOOD, status)


class Whole(FramingTest):
    def test_split_at_every_byte(self):
        data = request("GET", "/hello.txt", "X-Long:   value  ", "Accept: */*")
        with self.server.client() as client:
            for at in range(1, len(data)):
                client.send(data[:at])
                client.socket.setsockopt(6, 1, 1)  # TCP_NODELAY: two segments
                client.send(data[at:])
                self.assertEqual(client.response().body, HELLO, at)

    def test_one_byte_at_a_time(self):
        post = request("POST", "/hello.txt", "Transfer-Encoding: chunked")
        post += b"3;name=value\r\nabc\r\n0\r\nTrailer: x\r\n\r\n"
        with self.server.client() as client:
            client.socket.setsockopt(6, 1, 1)
            for byte in post + GOOD:
                client.send(bytes([byte]))
            self.assertEqual([client.response().status, client.response().status], [405, 200])

    def test_a_hundred_pipelined(self):
        for number in range(100):
            self.write("n%d.txt" % number, b"%d" % number * (number * 37 + 1))
        data = b"".join(request("GET", "/n%d.txt" % number) for number in range(100))
        for cut in (len(data), 1000, 7):
            with self.server.client() as client:
                for at in range(0, len(data), cut):
                    client.send(data[at : at + cut])
                for number in range(100):
                    body = client.response().body
                    self.assertEqual(body, b"%d" % number * (number * 37 + 1))
                client.finish()
                client.at_end()

    def test_pipelined_and_half_closed(self):
        data = request("GET", "/hello.txt") + request("HEAD", "/hello.txt")
        data += request("GET", "/missing") + request("GET", "/hello.txt", "Connection: close")
        with self.server.client() as client:
            client.send(data)
            client.finish()
            responses = client.responses_to_end(heads=(1,))
        self.assertEqual([response.status for response in responses], [200, 200, 404, 200])

    def test_nothing_behind_a_close(self):
        last = request("GET", "/hello.txt", "Connection: close")
        self.assertEqual(self.answers(last + GOOD), [200])

    def test_body_of_a_get_is_skipped(self):
        with_length = request("GET", "/hello.txt", "Content-Length: %d" % len(GOOD)) + GOOD
        self.assertEqual(self.answers(with_length + GOOD), [200, 200])
        chunked = request("GET", "/hello.txt", "Transfer-Encoding: chunked")
        chunked += b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)
        self.assertEqual(self.answers(chunked + GOOD), [200, 200])

    def test_empty_lines_before_a_request(self):
        self.assertEqual(self.answers(b"\r\n" + GOOD + b"\r\n" + GOOD), [200, 200])

    def test_a_request_broken_off_is_not_answered(self):
        for at in (1, len(GOOD) // 2, len(GOOD) - 1):
            self.assertEqual(self.answers(GOOD + GOOD[:at]), [200])
        post = request("POST", "/hello.txt", "Content-Length: 10")
        self.assertEqual(self.answers(post + b"123456789"), [])


class Length(FramingTest):
    def post(self, *headers):
        return request("POST", "/hello.txt", *headers)

    def test_conflicting_lengths(self):
        self.refused(self.post("Content-Length: 5", "Content-Length: 6") + b"abcdef")
        self.refused(self.post("Content-Length: 5, 6") + b"abcdef")

    def test_the_same_length_twice(self):
        self.refused(self.post("Content-Length: 5", "Content-Length: 5") + b"abcde")
        self.refused(self.post("Content-Length: 5, 5") + b"abcde")

    def test_what_is_no_length(self):
        for value in ("", "-1", "+5", "0x5", "5 5", "5a", "a", "1e1", "5.0", "\t", "٥"):
            with self.subTest(value=value):
                field = b"Content-Length: " + value.encode()
                self.refused(b"POST / HTTP/1.1\r\nHost: test\r\n" + field + b"\r\n\r\nabcde")

    def test_lengths_beyond_all_numbers(self):
        for value in ("18446744073709551616", "99999999999999999999999", "1" * 300):
            with self.subTest(value=value):
                self.refused(self.post("Content-Length: " + value))

    def test_a_body_that_is_too_large(self):
        for value in ("1048577", "9223372036854775808", "18446744073709551615"):
            with self.subTest(value=value):
                self.refused(self.post("Content-Length: " + value), 413)

    def test_the_largest_body(self):
        largest = self.post("Content-Length: 1048576") + b"x" * 1048576
        self.assertEqual(self.answers(largest + GOOD), [405, 200])

    def test_zeros_before_a_length(self):
        self.assertEqual(self.answers(self.post("Content-Length: 0005") + b"abcde" + GOOD), [405, 200])


class Coding(FramingTest):
    def post(self, *headers, version="1.1"):
        return request("POST", "/hello.txt", *headers, version=version)

    def test_length_and_coding(self):
        for headers in (
            ("Content-Length: 5", "Transfer-Encoding: chunked"),
            ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ):
            with self.subTest(headers=headers):
                self.refused(self.post(*headers) + b"0\r\n\r\n")

    def test_other_codings(self):
        for value in ("gzip", "identity", "xchunked", "chunked, gzip", "gzip, chunked", "chunked, chunked"):
            with self.subTest(value=value):
                data = self.post("Transfer-Encoding: " + value) + b"0\r\n\r\n" + GOOD
                statuses = self.answers(data)
                self.assertEqual(len(statuses), 1)
                self.assertIn(statuses[0], (400, 501))

    def test_disguised_codings(self):
        for value in ("\x0bchunked", "chunked\x0b", '"chunked"', "", ",chunked", "chunked;x=y"):
            with self.subTest(value=value):
                data = self.post("Transfer-Encoding: " + value) + b"0\r\n\r\n" + GOOD
                statuses = self.answers(data)
                self.assertEqual(len(statuses), 1)
                self.assertIn(statuses[0], (400, 501))

    def test_coding_twice(self):
        data = self.post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + b"0\r\n\r\n"
        statuses = self.answers(data + GOOD)
        self.assertEqual(len(statuses), 1)
        self.assertIn(statuses[0], (400, 501))
        data = self.post("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + b"0\r\n\r\n"
        self.assertEqual(len(self.answers(data + GOOD)), 1)

    def test_coding_in_http_1_0(self):
        self.refused(self.post("Transfer-Encoding: chunked", version="1.0") + b"0\r\n\r\n")

    def test_the_name_in_any_case(self):
        data = self.post("tRANSFER-eNCODING:cHUNKED") + b"1\r\nx\r\n0\r\n\r\n"
        self.assertEqual(self.answers(data + GOOD), [405, 200])


class Chunks(FramingTest):
    def chunked(self, body):
        return request("POST", "/hello.txt", "Transfer-Encoding: chunked") + body

    def test_chunks(self):
        for body in (
            b"0\r\n\r\n",
            b"5\r\nabcde\r\n0\r\n\r\n",
            b"A\r\n0123456789\r\n1\r\nx\r\n000\r\n\r\n",
            b"a;name\r\n0123456789\r\n0;name=value\r\n\r\n",
            b'1;name="quoted; text"\r\nx\r\n0\r\n\r\n',
            b"0\r\nTrailer: value\r\nOther: value\r\n\r\n",
        ):
            with self.subTest(body=body):
                self.assertEqual(self.answers(self.chunked(body) + GOOD), [405, 200])

    def test_garbage(self):
        for body in (
            b"x\r\nabc\r\n0\r\n\r\n",
            b"\r\nabc\r\n0\r\n\r\n",
            b"-1\r\nabc\r\n0\r\n\r\n",
            b"+3\r\nabc\r\n0\r\n\r\n",
            b"0x3\r\nabc\r\n0\r\n\r\n",
            b" 3\r\nabc\r\n0\r\n\r\n",
            b"3 \r\nabc\r\n0\r\n\r\n",
            b"3 4\r\nabc\r\n0\r\n\r\n",
            b"3g\r\nabc\r\n0\r\n\r\n",
            b"3\r\nabcd\r\n0\r\n\r\n",
            b"3\r\nab\r\n0\r\n\r\n",
            b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
            b"10000000000000003\r\nabc\r\n0\r\n\r\n",
            b"3;\0\r\nabc\r\n0\r\n\r\n",
        ):
            with self.subTest(body=body):
                self.refused(self.chunked(body))

    def test_line_ends(self):
        for body in (
            b"3\nabc\r\n0\r\n\r\n",
            b"3\rabc\r\n0\r\n\r\n",
            b"3\r\nabc\n0\r\n\r\n",
            b"3\r\nabc\r0\r\n\r\n",
            b"3\r\nabc0\r\n\r\n",
            b"3\r\nabc\r\n0\n\r\n",
            b"3\r\nabc\r\n0\r\n\n",
            b"3;a\nb\r\nabc\r\n0\r\n\r\n",
            b"3;a\rb\r\nabc\r\n0\r\n\r\n",
            b"0\r\nTrailer: value\n\r\n",
            b"0\r\nTrailer: value\r\n\n",
            b"0\r\nTrailer: value\r\n folded\r\n\r\n",
        ):
            with self.subTest(body=body):
                self.refused(self.chunked(body))

    def test_too_much_of_it(self):
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        self.refused(self.chunked(chunk * 16 + b"1\r\nx\r\n0\r\n\r\n"), 413)
        self.refused(self.chunked(b"100001\r\n"), 413)
        self.refused(self.chunked(b"ffffffffffffffff\r\n"), 413)

    def test_the_largest_body(self):
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        self.assertEqual(self.answers(self.chunked(chunk * 16 + b"0\r\n\r\n") + GOOD), [405, 200])

    def test_overlong_extensions(self):
        self.refused(self.chunked(b"1;" + b"a" * 20000 + b"\r\nx\r\n0\r\n\r\n"))
        self.refused(self.chunked(b"1;a=" + b"b" * 20000 + b"\r\nx\r\n0\r\n\r\n"))
        self.refused(self.chunked(b"1;a=1234567890\r\nx\r\n" * 2000 + b"0\r\n\r\n"))

    def test_overlong_trailers(self):
        self.refused(self.chunked(b"0\r\nName: " + b"x" * 20000 + b"\r\n\r\n"), 431)
        self.refused(self.chunked(b"0\r\n" + b"Name: value\r\n" * 20000 + b"\r\n"), 431)

    def test_a_trailer_is_no_header(self):
        # a length or a coding that comes in a trailer must not frame anything
        body = b"0\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n"
        statuses = self.answers(self.chunked(body) + GOOD)
        self.assertIn(statuses, ([405, 200], [400]))


class Expect(FramingTest):
    def test_continue(self):
        with self.server.client() as client:
            client.send(request("POST", "/", "Content-Length: 5", "Expect: 100-Continue"))
            self.assertEqual(client.response().status, 100)
            client.send(b"abcde" + GOOD)
            self.assertEqual([client.response().status, client.response().status], [405, 200])

    def test_continue_chunked(self):
        with self.server.client() as client:
            client.send(request("GET", "/hello.txt", "Transfer-Encoding: chunked", "Expect: 100-continue"))
            self.assertEqual(client.response().status, 100)
            client.send(b"1\r\nx\r\n0\r\n\r\n")
            self.assertEqual(client.response().body, HELLO)

    def test_no_continue_without_a_body(self):
        self.assertEqual(self.answers(request("GET", "/hello.txt", "Expect: 100-continue")), [200])

    def test_no_continue_in_http_1_0(self):
        data = request("POST", "/", "Content-Length: 5", "Expect: 100-continue", version="1.0") + b"abcde"
        self.assertEqual(self.answers(data), [405])

    def test_no_continue_for_what_is_refused(self):
        self.closed_after(request("POST", "/", "Content-Length: 9999999", "Expect: 100-continue"), 413)
        self.closed_after(request("POST", "/", "Content-Length: a", "Expect: 100-continue"), 400)

    def test_other_expectations(self):
        self.refused(request("GET", "/hello.txt", "Expect: tea"), 417)
        self.refused(request("POST", "/", "Content-Length: 5", "Expect: 200-ok") + b"abcde", 417)


if __name__ == "__main__":
    unittest.main()
