#!/usr/bin/env python3
"""What of a file is sent: all, a range, or nothing; by RFC 9110, sections 13 and 14. HEAD everywhere."""
import email.utils
import os
import re
import unittest

from http_support import ServerTest, request

DATA = bytes(range(256)) * 4
MODIFIED_S = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"


class ContentTest(ServerTest):
    @classmethod
    def fill(cls, root):
        path = cls.write("data.bin", DATA)
        os.utime(path, (MODIFIED_S, MODIFIED_S))
        cls.write("empty", b"")
        cls.write("dir/index.html", b"<p>page")

    def setUp(self):
        self.etag = self.server.get("/data.bin")["etag"]

    def ask(self, *headers, target="/data.bin", method="GET"):
        return self.server.get(target, *headers, method=method)

    def is_whole(self, response):
        self.assertEqual(response.status, 200)
        self.assertEqual(response.body, DATA)
        self.assertIsNone(response["content-range"])

    def is_range(self, response, first, last):
        self.assertEqual(response.status, 206)
        self.assertEqual(response["content-range"], "bytes %d-%d/1024" % (first, last))
        self.assertEqual(response.body, DATA[first : last + 1])

    def is_status(self, status, *headers, **options):
        response = self.ask(*headers, **options)
        self.assertEqual(response.status, status, headers)
        return response


class Whole(ContentTest):
    def test_fields(self):
        response = self.ask()
        self.is_whole(response)
        self.assertEqual(response["last-modified"], DATE)
        self.assertEqual(response["accept-ranges"], "bytes")
        self.assertRegex(response["etag"], r'^"[!#-~]+"$')
        self.assertIsNone(response["connection"])
        date = email.utils.parsedate_to_datetime(response["date"])
        self.assertEqual(email.utils.format_datetime(date, usegmt=True), response["date"])

    def test_empty(self):
        response = self.ask(target="/empty")
        self.assertEqual((response.status, response["content-length"], response.body), (200, "0", b""))

    def test_a_file_from_the_future_is_of_now(self):
        # no Last-Modified behind Date (RFC 9110, section 8.8.2.1)
        os.utime(self.write("future", b"x"), (4e9, 4e9))
        response = self.ask(target="/future")
        modified, date = (email.utils.parsedate_to_datetime(response[name]) for name in ("last-modified", "date"))
        self.assertLessEqual(modified, date)
        again = self.ask("If-Modified-Since: " + response["last-modified"], target="/future")
        self.assertEqual(again.status, 200)

    def test_etag_changes_with_the_file(self):
        path = self.write("changing", b"one")
        tags = {self.ask(target="/changing")["etag"]}
        self.write("changing", b"more")
        tags.add(self.ask(target="/changing")["etag"])
        os.utime(path, (1, 1))
        tags.add(self.ask(target="/changing")["etag"])
        os.utime(path, ns=(1, 10**9 + 1))
        tags.add(self.ask(target="/changing")["etag"])
        self.assertEqual(len(tags), 4)


class Head(ContentTest):
    def test_is_a_get_without_its_body(self):
        for target, headers in (
            ("/data.bin", ()),
            ("/empty", ()),
            ("/dir/", ()),
            ("/dir", ()),
            ("/missing", ()),
            ("/%zz", ()),
            ("/data.bin", ("If-None-Match: *",)),
            ("/data.bin", ("If-Match: none",)),
            ("/../x", ()),
        ):
            with self.subTest(target=target, headers=headers):
                got = self.ask(*headers, target=target)
                asked = self.ask(*headers, target=target, method="HEAD")
                self.assertEqual(asked.status, got.status)
                left_out = ("date",)
                self.assertEqual(
                    [field for field in asked.headers if field[0] not in left_out],
                    [field for field in got.headers if field[0] not in left_out],
                )

    def test_no_byte_of_body(self):
        data = b"".join(
            request("HEAD", target) for target in ("/data.bin", "/missing", "/dir", "/empty", "/dir/", "/%zz")
        )
        with self.server.client() as client:
            client.send(data)
            client.finish()
            responses = client.responses_to_end(heads=range(6))
        self.assertEqual([response.status for response in responses], [200, 404, 301, 200, 200, 400])

    def test_range_means_nothing(self):
        self.assertEqual(self.ask("Range: bytes=0-1", method="HEAD")["content-length"], "1024")


class Ranges(ContentTest):
    def test_single(self):
        for text, first, last in (
            ("0-0", 0, 0),
            ("0-9", 0, 9),
            ("10-19", 10, 19),
            ("1023-1023", 1023, 1023),
            ("1000-5000", 1000, 1023),
            ("0-99999999999999999999999", 0, 1023),
            ("0-", 0, 1023),
            ("1000-", 1000, 1023),
            ("-1", 1023, 1023),
            ("-1024", 0, 1023),
            ("-5000", 0, 1023),
            ("-99999999999999999999999", 0, 1023),
            ("007-008", 7, 8),
        ):
            with self.subTest(text=text):
                response = self.ask("Range: bytes=" + text)
                self.is_range(response, first, last)
                self.assertEqual(response["etag"], self.etag)

    def test_the_unit_in_any_case(self):
        self.is_range(self.ask("Range: BYTES=0-9"), 0, 9)

    def test_unsatisfiable(self):
        for text in ("1024-", "1024-2000", "99999999999999999999999-", "-0", "18446744073709551615-"):
            with self.subTest(text=text):
                response = self.is_status(416, "Range: bytes=" + text)
                self.assertEqual(response["content-range"], "bytes */1024")
        self.assertEqual(self.is_status(416, "Range: bytes=0-", target="/empty")["content-range"], "bytes */0")
        self.is_status(416, "Range: bytes=-1", target="/empty")

    def test_several_are_the_whole(self):
        for text in ("0-1,3-4", "0-1, 3-4", "0-0,-1", "0-,0-,0-,0-", ",".join(["0-1"] * 500)):
            with self.subTest(text=text[:20]):
                self.is_whole(self.ask("Range: bytes=" + text))

    def test_two_fields_are_the_whole(self):
        self.is_whole(self.ask("Range: bytes=0-1", "Range: bytes=5-6"))

    def test_what_is_no_range(self):
        for text in ("bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-4", "bytes=1", "lines=1-2", "bytes=1-2x",
                     "bytes=0x1-2", "bytes=+1-2", "bytes=--1", "bytes 0-1", "0-1", "bytes=1--2", "byte=0-1",
                     "bytesx=0-1", "bytes=1 -2", ""):
            with self.subTest(text=text):
                self.is_whole(self.ask("Range: " + text))

    def test_pieces_make_the_whole(self):
        with self.server.client() as client:
            body = b""
            for first in range(0, 1024, 100):
                client.send(request("GET", "/data.bin", "Range: bytes=%d-%d" % (first, first + 99)))
                body += client.response().body
        self.assertEqual(body, DATA)

    def test_of_a_missing_file(self):
        self.is_status(404, "Range: bytes=0-1", target="/missing")

    def test_of_a_large_file(self):
        size = 5 << 30
        with open(os.path.join(self.root, "large"), "wb") as file:
            file.seek(size - 3)
            file.write(b"end")
        response = self.ask("Range: bytes=%d-" % (size - 5), target="/large")
        self.assertEqual(response.body, b"\0\0end")
        self.assertEqual(response["content-range"], "bytes %d-%d/%d" % (size - 5, size - 1, size))
        self.assertEqual(self.ask(target="/large", method="HEAD")["content-length"], str(size))


class IfRange(ContentTest):
    def counts(self, condition):
        self.is_range(self.ask("Range: bytes=0-9", "If-Range: " + condition), 0, 9)

    def counts_not(self, condition):
        self.is_whole(self.ask("Range: bytes=0-9", "If-Range: " + condition))

    def test_tag(self):
        self.counts(self.etag)
        self.counts_not('"other"')
        self.counts_not("W/" + self.etag)
        self.counts_not(self.etag[:-1])
        self.counts_not("*")

    def test_date(self):
        self.counts(DATE)
        self.counts_not(BEFORE)
        self.counts_not(AFTER)
        self.counts_not("nonsense")
        self.counts_not("")

    def test_unsatisfiable_behind_a_false_condition(self):
        self.is_whole(self.ask("Range: bytes=5000-", 'If-Range: "other"'))


class Conditions(ContentTest):
    def not_modified(self, *headers):
        for method in ("GET", "HEAD"):
            response = self.is_status(304, *headers, method=method)
            self.assertEqual(response["etag"], self.etag)
            self.assertIsNotNone(response["date"])
            self.assertEqual(response.body, b"")

    def failed(self, *headers):
        for method in ("GET", "HEAD"):
            self.is_status(412, *headers, method=method)

    def fine(self, *headers):
        self.is_whole(self.ask(*headers))

    def test_if_none_match(self):
        self.not_modified("If-None-Match: " + self.etag)
        self.not_modified("If-None-Match: *")
        self.not_modified("If-None-Match: W/" + self.etag)
        self.not_modified('If-None-Match: "a", ' + self.etag + ', "b"')
        self.not_modified('If-None-Match: "a,b" ,W/"c",,' + self.etag)
        self.not_modified('If-None-Match: "a"', "If-None-Match: " + self.etag)
        self.fine('If-None-Match: "other"')
        self.fine('If-None-Match: "a", W/"b"')
        self.fine("If-None-Match: " + self.etag[1:-1])
        self.fine("If-None-Match: " + self.etag[:-2] + '"')
        self.fine("If-None-Match: w/" + self.etag)
        self.fine('If-None-Match: "a' + self.etag)
        self.fine("If-None-Match: ")

    def test_if_none_match_comes_first(self):
        self.fine('If-None-Match: "other"', "If-Modified-Since: " + AFTER)
        self.not_modified("If-None-Match: " + self.etag, "If-Modified-Since: " + BEFORE)

    def test_if_modified_since(self):
        self.not_modified("If-Modified-Since: " + DATE)
        self.not_modified("If-Modified-Since: " + AFTER)
        self.not_modified("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT")
        self.not_modified("If-Modified-Since: Sun Nov  6 08:49:37 1994")
        self.fine("If-Modified-Since: " + BEFORE)

    def test_what_is_no_date(self):
        for text in ("", "nonsense", DATE + "x", "784111777", "Sun, 06 Nov 1994 08:49:37 +0000",
                     "Sun, 32 Nov 2094 08:49:37 GMT", "Sun, 06 Foo 2094 08:49:37 GMT", "Sun, 31 Feb 2094 08:49:37 GMT",
                     "Sun, 06 Nov 2094 24:49:37 GMT", "Sun, 06 Nov 2094 08:60:37 GMT", "Foo, 06 Nov 2094 08:49:37 GMT",
                     "06 Nov 2094 08:49:37 GMT"):
            with self.subTest(text=text):
                self.fine("If-Modified-Since: " + text)
                self.fine("If-Unmodified-Since: " + text.replace("2094", "1974"))

    def test_if_match(self):
        self.fine("If-Match: " + self.etag)
        self.fine("If-Match: *")
        self.fine('If-Match: "a", ' + self.etag)
        self.fine('If-Match: "a"', "If-Match: " + self.etag)
        self.failed('If-Match: "other"')
        self.failed("If-Match: W/" + self.etag)
        self.failed("If-Match: ")

    def test_if_unmodified_since(self):
        self.fine("If-Unmodified-Since: " + DATE)
        self.fine("If-Unmodified-Since: " + AFTER)
        self.failed("If-Unmodified-Since: " + BEFORE)
        # If-Match counts in its place
        self.fine("If-Match: " + self.etag, "If-Unmodified-Since: " + BEFORE)

    def test_order(self):
        self.failed('If-Match: "other"', "If-None-Match: " + self.etag)
        self.not_modified("If-Match: " + self.etag, "If-None-Match: " + self.etag)
        self.not_modified("If-None-Match: " + self.etag, "Range: bytes=0-1")
        self.failed('If-Match: "other"', "Range: bytes=0-1")
        self.is_range(self.ask('If-None-Match: "other"', "Range: bytes=0-1"), 0, 1)

    def test_of_a_missing_file(self):
        self.is_status(404, "If-None-Match: *", target="/missing")
        self.is_status(404, "If-Match: *", target="/missing")

    def test_not_modified_keeps_the_connection(self):
        data = request("GET", "/data.bin", "If-None-Match: *") + request("GET", "/data.bin")
        self.assertEqual([response.status for response in self.server.ask(data)], [304, 200])


class Errors(ContentTest):
    def test_pages(self):
        for target, status in (("/missing", 404), ("/%zz", 400), ("/dir", 301)):
            response = self.ask(target=target)
            self.assertEqual(response.status, status)
            self.assertEqual(response["content-type"], "text/html; charset=utf-8")
            page = response.body.decode()
            self.assertTrue(re.search(r"<title>%d [A-Z]" % status, page), page)

    def test_an_error_tells_nothing_of_the_request(self):
        response = self.ask(target="/<script>alert(1)</script>")
        self.assertNotIn(b"script", response.body)


if __name__ == "__main__":
    unittest.main()
