"""What the tests of the documentation share: pages, their fenced blocks, and how C of them is compiled.

Each block of C says how it is compiled, by itself or by a comment right before it:
    a block with a main()       a whole program: compiled and linked
    <!-- run -->                ... and run on each backend; it exits with 0
    <!-- run: server -->        ... and run on each backend as an echo server that SIGINT ends
    <!-- prints -->             before a block without a language: the output of the program above it
    <!-- above -->              lines that stand in a program of the same page
    <!-- from: PATH -->         lines that stand in a file of the tree
    <!-- file DECLARATIONS -->  file scope, after the declarations (which may be none)
    <!-- body DECLARATIONS -->  statements of a function, after the declarations
"""
import glob
import os
import re
import shlex
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.environ.get("GYRE_SOURCE_DIR", os.path.normpath(os.path.join(HERE, "..", "..")))
BUILD = os.environ.get("GYRE_BUILD_DIR", os.path.join(ROOT, "build"))
CC = os.environ.get("GYRE_CC", "cc")
SANITIZE = os.environ.get("GYRE_SANITIZE", "")
BACKENDS = ("epoll", "poll", "uring")
LIMIT_S = 10 * int(os.environ.get("GYRE_SLOW", "1"))

FENCE = re.compile(
    r"(?:<!--(?P<mark>(?:(?!-->).)*)-->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```", re.S | re.M
)
INCLUDES = "".join(
    "#include <%s>\n" % name
    for name in ("gyre.h", "signal.h", "stdio.h", "stdlib.h", "string.h", "time.h", "unistd.h")
)


class Block:
    def __init__(self, page, match):
        self.page = page
        self.line = page.text.count("\n", 0, match.start("text")) + 1
        self.language = match.group("language")
        self.text = match.group("text")
        mark = (match.group("mark") or "").strip()
        word = re.match(r"(file|body|from:|run: server|run|prints|above)(?!\w)\s*(.*)", mark, re.S)
        self.mark, self.rest = word.groups() if word else ("", "")

    @property
    def is_program(self):
        return self.language == "c" and bool(re.search(r"^int main\(", self.text, re.M))

    @property
    def where(self):
        return "%s:%d" % (self.page.path, self.line)


class Page:
    def __init__(self, path):
        self.path = path
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            self.text = file.read()
        self.blocks = [Block(self, match) for match in FENCE.finditer(self.text)]

    def prose(self):
        """The text without its fenced blocks and comments."""
        text = re.sub(r"^```.*?^```$", "", self.text, flags=re.S | re.M)
        return re.sub(r"<!--.*?-->", "", text, flags=re.S)


def pages():
    paths = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "bench/README.md", "exercises/README.md"]
    paths += sorted(glob.glob("docs/*.md", root_dir=ROOT))
    paths += sorted(glob.glob("exercises/*/README.md", root_dir=ROOT))
    return [Page(path) for path in paths]


def is_guide(page):
    return page.path == "README.md" or page.path.startswith("docs/")


def compiler(*arguments):
    flags = "-std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror -g"
    if SANITIZE:
        flags += " -fsanitize=" + SANITIZE
    command = shlex.split("%s %s" % (CC, flags)) + ["-I", os.path.join(ROOT, "include")]
    return subprocess.run(command + list(arguments), capture_output=True, text=True, check=False)


def build(block, directory):
    """Compiles and links a program; returns the path of the binary, or raises with what cc said."""
    binary = os.path.join(directory, re.sub(r"\W", "_", block.where))
    with open(binary + ".c", "w", encoding="utf-8") as file:
        file.write(block.text)
    library = os.path.join(BUILD, "libgyre.a")
    result = compiler(binary + ".c", library, "-luring", "-pthread", "-o", binary)
    if result.returncode != 0:
        raise AssertionError("%s\n%s" % (block.where, result.stderr))
    return binary


def fragment(block):
    """A whole file around a fragment."""
    code = block.text
    if block.mark == "body":
        code = "void fragment(void);\nvoid fragment(void)\n{\n%s\n%s}\n" % (block.rest, code)
        return INCLUDES + code
    return "%s%s\n#line %d \"%s\"\n%s" % (INCLUDES, block.rest, block.line, block.page.path, code)


def on_backend(backend):
    return dict(os.environ, GYRE_BACKEND=backend, GYRE_BACKEND_STRICT="1")
