#!/usr/bin/python3
"""tools/site: every link of every page leads to a page and a place in it, and nothing asks another host."""
import glob
import html.parser
import json
import os
import posixpath
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
VOID = set("area base br col embed hr img input link meta source track wbr".split())
LOADS = {"link": "href", "script": "src", "img": "src", "source": "src", "iframe": "src"}

try:
    import markdown_it  # noqa: F401
    import pygments  # noqa: F401
except ImportError:
    print("site_test: skipped, there is no python3-markdown-it or no python3-pygments")
    sys.exit(77)


class Page(html.parser.HTMLParser):
    """What the test asks about a page."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.ids, self.links, self.loads, self.faults, self.open = [], [], [], [], []
        self.counts = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in VOID:
            self.open.append(tag)
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if tag == "a" and "href" in attrs:
            self.links.append(attrs["href"])
        if LOADS.get(tag) in attrs:
            self.loads.append(attrs[LOADS[tag]])
        if tag == "img" and not attrs.get("alt"):
            self.faults.append("an image without a text")

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.faults.append("</%s> closes nothing at %s" % (tag, self.getpos()))


class Built(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temp = tempfile.TemporaryDirectory()
        cls.out = os.path.join(cls.temp.name, "site")
        command = [os.path.join(ROOT, "tools", "site"), "--no-demo", "--out", cls.out]
        cls.result = subprocess.run(command, capture_output=True, text=True, check=False)
        cls.pages = {}
        for path in glob.glob("**/*.html", root_dir=cls.out, recursive=True):
            with open(os.path.join(cls.out, path), encoding="utf-8") as file:
                cls.pages[path] = Page(file.read())

    @classmethod
    def tearDownClass(cls):
        cls.temp.cleanup()

    def test_it_is_built(self):
        self.assertEqual((self.result.returncode, self.result.stderr), (0, ""))
        for path in ("index.html", "guide/index.html", "reference/index.html", "exercises/index.html"):
            self.assertIn(path, self.pages)
        for path in glob.glob("docs/*.md", root_dir=ROOT):
            name = os.path.basename(path)[:-3].replace("README", "index")
            self.assertIn("guide/%s.html" % name, self.pages)
        for path in glob.glob("include/gyre/*.h", root_dir=ROOT):
            self.assertIn("reference/%s.html" % os.path.basename(path)[:-2], self.pages)
        self.assertFalse(os.path.exists(os.path.join(self.out, "guide", "page.html")))

    def resolve(self, path, href):
        """Fails unless `href` on the page `path` leads somewhere here."""
        target, _, fragment = href.partition("#")
        if target:
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        target = target or path
        self.assertFalse(target.startswith(".."), "%s links out of the site: %s" % (path, href))
        self.assertTrue(os.path.isfile(os.path.join(self.out, target)), "%s: %s" % (path, href))
        if fragment:
            self.assertIn(fragment, self.pages[target].ids, "%s: %s" % (path, href))

    def test_links_lead_somewhere(self):
        count = 0
        for path, page in self.pages.items():
            for href in page.links:
                if href.startswith("https://"):
                    continue
                self.resolve(path, href)
                count += 1
        self.assertGreater(count, 5000)

    def test_nothing_is_loaded_from_elsewhere(self):
        for path, page in self.pages.items():
            for href in page.loads:
                self.resolve(path, href)
        for path in glob.glob("**/*.css", root_dir=self.out, recursive=True):
            with open(os.path.join(self.out, path), encoding="utf-8") as file:
                text = file.read()
            self.assertNotIn("//", text.replace("://www.w3.org/2000/svg", ""), path)
            self.assertNotIn("@import", text, path)

    def test_pages_are_well_formed(self):
        for path, page in self.pages.items():
            with self.subTest(path):
                self.assertEqual(page.faults, [])
                self.assertEqual(page.open, [])
                self.assertEqual([page.counts.get(tag) for tag in ("h1", "main")], [1, 1])
                self.assertIn("title", page.counts)
                self.assertEqual(len(page.ids), len(set(page.ids)), "an id twice")

    def test_the_search_has_every_function(self):
        with open(os.path.join(self.out, "guide", "index.js"), encoding="utf-8") as file:
            text = file.read()
        rows = json.loads(text[text.index("[") : text.rindex("]") + 1])
        for address, _, _, _ in rows:
            self.resolve("index.html", address)
        headings = {heading for _, _, heading, _ in rows}
        command = [sys.executable, os.path.join(ROOT, "tools", "apidoc"), "--names"]
        command += glob.glob(os.path.join(ROOT, "include", "gyre", "*.h"))
        names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        self.assertEqual(set(names) - headings, set())

    def test_code_is_linked_and_coloured(self):
        with open(os.path.join(self.out, "guide", "first-server.html"), encoding="utf-8") as file:
            text = file.read()
        self.assertIn('<a href="../reference/loop.html#gyre_loop_run">gyre_loop_run</a>', text)
        self.assertIn('<span class="k">static</span>', text)
        self.assertNotIn("<!--", text)


if __name__ == "__main__":
    unittest.main()
