#!/usr/bin/env python3
"""Programs that others wrote: curl, wrk and a headless Chromium are served. Skips those that are missing."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from http_support import SLOW, ServerTest

PAGE = b"""<!doctype html>
<meta charset="utf-8">
<title>test</title>
<link rel="stylesheet" href="style.css">
<p id="text">before</p>
<img id="picture" src="picture.svg" alt="">
<script src="script.js"></script>
"""
SCRIPT = b"""
const lines = [];
addEventListener("load", async () => {
    lines.push("color " + getComputedStyle(document.getElementById("text")).color);
    lines.push("picture " + document.getElementById("picture").naturalWidth);
    const range = await fetch("data.txt", {headers: {Range: "bytes=2-4"}});
    lines.push("range " + range.status + " " + await range.text());
    const all = await Promise.all(Array.from({length: 50}, (_, n) => fetch("data.txt?" + n)));
    const texts = await Promise.all(all.map((response) => response.text()));
    lines.push("fetched " + texts.filter((text) => text === "0123456789").length);
    lines.push("missing " + (await fetch("missing")).status);
    lines.push("post " + (await fetch("data.txt", {method: "POST", body: "x".repeat(100000)})).status);
    lines.push("redirected " + (await fetch("dir")).url.replace(/^.*:\\d+/, ""));
    document.getElementById("text").textContent = lines.join("; ");
});
"""
PICTURE = b'<svg xmlns="http://www.w3.org/2000/svg" width="37" height="10"></svg>'


def needs(program):
    return unittest.skipUnless(shutil.which(program), program + " is not installed (tools/packages.txt)")


class ToolTest(ServerTest):
    @classmethod
    def fill(cls, root):
        cls.write("index.html", PAGE)
        cls.write("style.css", b"#text { color: rgb(1, 2, 3) }")
        cls.write("script.js", SCRIPT)
        cls.write("picture.svg", PICTURE)
        cls.write("data.txt", b"0123456789")
        cls.write("dir/index.html", b"dir")
        cls.large = os.urandom(1 << 20) * 8
        cls.write("large.bin", cls.large)

    def url(self, target=""):
        return "http://%s:%d/%s" % (self.server.host, self.server.port, target)

    def run_tool(self, *command, seconds=60):
        environment = {key: value for key, value in os.environ.items() if not key.endswith("_proxy")}
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=seconds,
            env=environment,
            check=False,
        )


@needs("curl")
class Curl(ToolTest):
    def curl(self, *arguments):
        done = self.run_tool("curl", "--silent", "--show-error", "--noproxy", "*", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_get(self):
        self.assertEqual(self.curl(self.url("large.bin")), self.large)

    def test_head(self):
        self.assertRegex(self.curl("--head", self.url("large.bin")), rb"\r\nContent-Length: 8388608\r\n")

    def test_one_connection_for_many(self):
        urls = [self.url("data.txt")] * 20
        out = self.curl("--write-out", " %{num_connects}\n", *urls)
        self.assertEqual(sum(int(line.split()[1]) for line in out.splitlines()), 1)

    def test_resume(self):
        with tempfile.NamedTemporaryFile() as part:
            part.write(self.large[:3000000])
            part.flush()
            self.curl("--continue-at", "-", "--output", part.name, self.url("large.bin"))
            with open(part.name, "rb") as file:
                self.assertEqual(file.read(), self.large)

    def test_conditions(self):
        with tempfile.NamedTemporaryFile() as tag:
            self.curl("--etag-save", tag.name, self.url("data.txt"))
            out = self.curl("--etag-compare", tag.name, "--write-out", "%{http_code}", self.url("data.txt"))
            self.assertEqual(out, b"304")

    def test_body_with_expectation(self):
        out = self.curl("--data-binary", "@" + os.path.join(self.root, "large.bin"), "--header", "Expect: 100-continue",
                        "--write-out", "%{http_code}", "--output", "/dev/null", self.url("data.txt"))
        self.assertEqual(out, b"413")

    def test_chunked_body(self):
        out = self.curl("--data-binary", "x" * 100000, "--header", "Transfer-Encoding: chunked", "--write-out",
                        "%{http_code}", "--output", "/dev/null", self.url("data.txt"))
        self.assertEqual(out, b"405")

    def test_http_1_0(self):
        self.assertEqual(self.curl("--http1.0", self.url("data.txt")), b"0123456789")

    def test_redirect(self):
        self.assertEqual(self.curl("--location", self.url("dir")), b"dir")

    def test_in_parallel(self):
        urls = [word for _ in range(50) for word in ("--output", "/dev/null", self.url("large.bin"))]
        out = self.curl("--parallel", "--write-out", "%{size_download}\n", *urls)
        self.assertEqual(out.split(), [b"8388608"] * 50)


@needs("wrk")
class Wrk(ToolTest):
    def test_run(self):
        done = self.run_tool("wrk", "-t1", "-c50", "-d2s", self.url("data.txt"))
        text = done.stdout.decode()
        self.assertEqual(done.returncode, 0, text)
        self.assertGreater(int(re.search(r"(\d+) requests in", text).group(1)), 100)
        self.assertNotIn("Socket errors", text)
        self.assertNotIn("Non-2xx", text)
        self.assertEqual(self.server.get("/data.txt").body, b"0123456789")


@needs("chromium")
class Chromium(ToolTest):
    def test_page(self):
        with tempfile.TemporaryDirectory() as profile:
            done = self.run_tool(
                "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-proxy-server",
                "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                "--user-data-dir=" + profile, "--virtual-time-budget=20000", "--dump-dom", self.url(),
                seconds=40 * SLOW,
            )
        text = re.search(r'<p id="text">([^<]*)</p>', done.stdout.decode())
        self.assertIsNotNone(text, done.stderr.decode()[-2000:])
        self.assertEqual(
            text.group(1),
            "color rgb(1, 2, 3); picture 37; range 206 234; fetched 50; missing 404; post 405; redirected /dir/",
        )


if __name__ == "__main__":
    unittest.main()
