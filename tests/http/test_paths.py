#!/usr/bin/env python3
"""Which file a target means: never one outside the root, never one that is no document."""
import os
import socket
import unittest

from http_support import Server, ServerTest, request

SECRET = b"secret outside the root"


class PathTest(ServerTest):
    @classmethod
    def fill(cls, root):
        outside = os.path.join(os.path.dirname(root), "secret.txt")
        with open(outside, "wb") as file:
            file.write(SECRET)
        os.mkdir(os.path.join(os.path.dirname(root), "root2"))
        with open(os.path.join(os.path.dirname(root), "root2", "secret.txt"), "wb") as file:
            file.write(SECRET)
        cls.write("index.html", b"<p>top")
        cls.write("hello.txt", b"hello")
        cls.write("dir/index.html", b"<p>dir")
        cls.write("dir/sub/file.txt", b"file")
        cls.write("empty/.keep", b"")
        cls.write("with space & more+%.txt", b"odd")
        cls.write("ümlaut.txt", b"umlaut")
        cls.write("...", b"three dots")
        cls.write("back\\slash.txt", b"backslash")


class Traversal(PathTest):
    def never_outside(self, target):
        for version in ("1.0", "1.1"):
            responses = self.server.ask(request("GET", target, version=version))
            self.assertEqual(len(responses), 1, target)
            self.assertNotIn(SECRET, responses[0].body, target)
            self.assertIn(responses[0].status, (400, 403, 404), target)

    def test_spellings(self):
        ups = ("..", "%2e%2e", "%2E.", ".%2e", "..%00", "..%c0%af", "%c0%ae%c0%ae", "..;", "..%20", "%252e%252e",
               "..\\", "%5c..", "..%5c", "\\..", "..%0a", "..%09", "....", ". .", "%u002e%u002e", "..%ff")
        slashes = ("/", "%2f", "%2F", "\\", "%5c", "//", "/./", "%252f", "%c0%af", "/%2f")
        for up in ups:
            for slash in slashes:
                for front in ("/", "/dir/", "/dir/sub/", "//", "/./", "/%2f"):
                    levels = front.count("/") + 2
                    self.check_spelling(front, up, slash, levels)

    def check_spelling(self, front, up, slash, levels):
        target = front + (up + slash) * levels + "secret.txt"
        if " " in target:
            return self.closed(target)
        return self.never_outside(target)

    def closed(self, target):
        self.closed_after(request("GET", target), 400)

    def test_absolute_names(self):
        outside = os.path.join(self.temp.name, "secret.txt")
        for target in ("/" + outside, "//" + outside, "/%2f" + outside[1:], "/dir//" + outside, "/." + outside):
            self.never_outside(target)
        self.never_outside("http://test" + outside)

    def test_neighbours(self):
        # "root2" begins as the root's name does
        for target in ("/../root2/secret.txt", "/..root2/secret.txt", "2/secret.txt"):
            self.never_outside(target)

    def test_above_the_root_and_back(self):
        for target in ("/../root/hello.txt", "/dir/../../root/hello.txt", "/.."):
            self.never_outside(target)

    def test_dots_inside(self):
        for target in ("/dir/../hello.txt", "/./hello.txt", "/dir/sub/../../hello.txt", "/dir/%2e%2e/hello.txt",
                       "/missing/../hello.txt", "//hello.txt", "/dir//..//hello.txt", "/%68ello.txt", "/hello%2etxt",
                       "/dir/..%2fhello.txt"):
            with self.subTest(target=target):
                self.assertEqual(self.server.get(target).body, b"hello")
        self.assertEqual(self.server.get("/...").body, b"three dots")


class Links(PathTest):
    @classmethod
    def fill(cls, root):
        super().fill(root)
        above = os.path.dirname(root)
        for name, target in (
            ("absolute", os.path.join(above, "secret.txt")),
            ("relative", "../secret.txt"),
            ("up", ".."),
            ("slash", "/"),
            ("proc", "/proc/self/root"),
            ("inside-absolute", os.path.join(root, "hello.txt")),
            ("inside", "hello.txt"),
            ("loop", "loop"),
            ("dangling", "nothing"),
            ("out-and-back", "../root/hello.txt"),
            ("chain", "dir/chain"),
            ("to-dir", "dir/sub"),
        ):
            os.symlink(target, os.path.join(root, name))
        os.symlink("../../secret.txt", os.path.join(root, "dir/chain"))

    def test_out_of_the_root(self):
        outside = os.path.join(self.temp.name, "secret.txt")
        for target in ("/absolute", "/relative", "/up/secret.txt", "/slash" + outside, "/proc" + outside, "/chain",
                       "/dir/chain", "/out-and-back", "/up/", "/slash/", "/up/root/hello.txt"):
            with self.subTest(target=target):
                self.assertEqual(self.server.get(target).status, 403)

    def test_that_lead_nowhere(self):
        self.assertEqual(self.server.get("/dangling").status, 404)
        self.assertIn(self.server.get("/loop").status, (403, 404))

    def test_inside_the_root(self):
        self.assertEqual(self.server.get("/inside").body, b"hello")
        self.assertEqual(self.server.get("/to-dir/file.txt").body, b"file")


class Names(PathTest):
    def test_decoding(self):
        for target in ("/with%20space%20&%20more+%25.txt", "/with%20space%20%26%20more%2b%25.txt"):
            self.assertEqual(self.server.get(target).body, b"odd")
        self.assertEqual(self.server.get("/%c3%bcmlaut.txt").body, b"umlaut")
        self.assertEqual(self.server.get("/back%5cslash.txt").body, b"backslash")
        # decoded once
        self.assertEqual(self.server.get("/%2568ello.txt").status, 404)

    def test_what_is_no_escape(self):
        for target in ("/%", "/%2", "/%zz", "/%2g", "/hello.txt%", "/%00", "/hello.txt%00", "/hello%00.txt", "/%-1",
                       "/% 1"[:2]):
            with self.subTest(target=target):
                self.assertEqual(self.server.get(target).status, 400)

    def test_queries(self):
        for target in ("/hello.txt?", "/hello.txt?a=b", "/hello.txt?/../..", "/hello.txt?%zz", "/hello.txt?a?b"):
            with self.subTest(target=target):
                self.assertEqual(self.server.get(target).body, b"hello")

    def test_long_names(self):
        self.assertEqual(self.server.get("/" + "x" * 255).status, 404)
        self.assertEqual(self.server.get("/" + "x" * 256).status, 404)
        self.assertIn(self.server.get("/" + "x/" * 2100).status, (400, 404))
        self.assertIn(self.server.get("/" + "x" * 5000).status, (400, 404))
        self.assertEqual(self.server.get("/" + "./" * 3000 + "hello.txt").body, b"hello")
        self.assertEqual(self.server.get("/" + "dir/../" * 1000 + "hello.txt").body, b"hello")

    def test_missing(self):
        for target in ("/missing", "/missing/", "/dir/missing", "/hello.txt/", "/hello.txt/more", "/HELLO.TXT"):
            with self.subTest(target=target):
                response = self.server.get(target)
                self.assertEqual(response.status, 404)
                self.assertIn(b"404", response.body)
                self.assertNotIn(b"missing", response.body)

    def test_types(self):
        for name, kind in (
            ("a.html", "text/html; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.PNG", "image/png"),
            ("a.svg", "image/svg+xml"),
            ("a.wasm", "application/wasm"),
            ("a.unknown", "application/octet-stream"),
            ("none", "application/octet-stream"),
            ("a.png/none", "application/octet-stream"),
        ):
            with self.subTest(name=name):
                self.write("types/" + name, b"x")
                self.assertEqual(self.server.get("/types/" + name)["content-type"], kind)
                if name == "a.png/none":
                    break


class Directories(PathTest):
    def test_index(self):
        self.assertEqual(self.server.get("/").body, b"<p>top")
        self.assertEqual(self.server.get("/?query").body, b"<p>top")
        self.assertEqual(self.server.get("/dir/").body, b"<p>dir")
        self.assertEqual(self.server.get("/dir/").headers, self.server.get("/dir/index.html").headers)

    def test_without_index(self):
        self.assertEqual(self.server.get("/empty/").status, 404)
        self.assertEqual(self.server.get("/dir/sub/").status, 404)

    def redirects(self, target, location):
        response = self.server.get(target)
        self.assertEqual(response.status, 301, target)
        self.assertEqual(response["location"], location, target)

    def test_redirects(self):
        self.redirects("/dir", "/dir/")
        self.redirects("/dir?a=b&c", "/dir/?a=b&c")
        self.redirects("/dir?a=%2F?b#c", "/dir/?a=%2F?b#c")
        self.redirects('/dir?\xff"<>\\|', "/dir/?%FF%22%3C%3E%5C%7C")
        self.redirects("/dir/sub", "/dir/sub/")
        self.redirects("http://other/dir", "/dir/")
        self.redirects("/dir/sub/..", "/dir/")
        self.redirects("/dir/.", "/dir/")

    def test_redirects_stay_here(self):
        # what a browser takes for another host begins with two slashes or backslashes, blanks left out
        os.makedirs(os.path.join(self.root, "evil.test"), exist_ok=True)
        os.makedirs(os.path.join(self.root, "\\evil.test"), exist_ok=True)
        self.redirects("//evil.test", "/evil.test/")
        self.redirects("///evil.test", "/evil.test/")
        self.redirects("/%2fevil.test", "/evil.test/")
        self.redirects("/\\evil.test", "/%5Cevil.test/")
        self.redirects("/%5cevil.test", "/%5Cevil.test/")
        self.redirects("/\\evil.test/..", "/")

    def test_redirects_to_odd_names(self):
        for name, location in (("a b", "/a%20b/"), ("q?", "/q%3F/"), ("h#", "/h%23/"), ("p%41", "/p%2541/"),
                               ("nl\r\nX: y", "/nl%0D%0AX:%20y/"), ("ü", "/%C3%BC/")):
            with self.subTest(name=name):
                os.makedirs(os.path.join(self.root, name), exist_ok=True)
                sent = "/" + "".join("%%%02x" % byte for byte in name.encode())
                self.redirects(sent, location)


class Special(PathTest):
    @classmethod
    def fill(cls, root):
        super().fill(root)
        os.mkfifo(os.path.join(root, "fifo"))
        listener = socket.socket(socket.AF_UNIX)
        cls.addClassCleanup(listener.close)
        listener.bind(os.path.join(root, "socket"))
        os.symlink("/dev/zero", os.path.join(root, "zero"))

    def test_fifo(self):
        # with nobody at its other end an open would wait for ever
        self.assertEqual(self.server.get("/fifo").status, 403)
        self.serves()

    def test_fifo_with_a_writer(self):
        reader = os.open(os.path.join(self.root, "fifo"), os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(os.path.join(self.root, "fifo"), os.O_WRONLY)
        os.write(writer, b"not for you")
        self.assertEqual(self.server.get("/fifo").status, 403)
        self.assertEqual(os.read(reader, 100), b"not for you")
        os.close(writer)
        os.close(reader)

    def test_socket(self):
        self.assertEqual(self.server.get("/socket").status, 403)

    def test_device(self):
        self.assertEqual(self.server.get("/zero").status, 403)
        if os.getuid() != 0:
            self.skipTest("a device node needs root")
        try:
            os.mknod(os.path.join(self.root, "device"), 0o600 | 0o020000, os.makedev(1, 5))
        except PermissionError:
            self.skipTest("device nodes are refused here")
        self.assertEqual(self.server.get("/device").status, 403)

    def test_unreadable(self):
        # root reads everything, unless it gives that up
        powers = "-dac_override,-dac_read_search"
        wrapper = ("setpriv", "--inh-caps=" + powers, "--bounding-set=" + powers) if os.getuid() == 0 else ()
        os.chmod(self.write("locked.txt", b"x"), 0)
        os.chmod(os.path.dirname(self.write("locked/file.txt", b"x")), 0)
        with Server(self.root, wrapper=wrapper) as server:
            self.assertEqual(server.get("/locked.txt").status, 403)
            self.assertEqual(server.get("/locked/file.txt").status, 403)
            self.assertEqual(server.get("/locked/").status, 403)
            self.assertEqual(server.get("/hello.txt").status, 200)


if __name__ == "__main__":
    unittest.main()
