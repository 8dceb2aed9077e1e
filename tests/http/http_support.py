"""The server under test and a client that says exactly what it sends.

A Server is `gyre serve` on the backend of the environment, on a port that the kernel picks. Its stop() asks it
to end with SIGTERM, and fails the test if it does not end with 0, if a sanitizer wrote anything, or if it
wrote any line that the test did not allow. A Client is a raw socket with a reader of responses that knows
nothing but RFC 9112: it fails on a byte too few or too many.
"""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.environ.get("GYRE_PROGRAM", "build/gyre")
SLOW = int(os.environ.get("GYRE_SLOW", "1"))
SANITIZE = os.environ.get("GYRE_SANITIZE", "")
LIMIT_S = 15 * SLOW
CRLF = b"\r\n"


class Server:
    """A running `gyre serve`; also a context."""

    def __init__(self, directory, *options, log=False, unix=None, limits=None, wrapper=()):
        self.stderr = tempfile.TemporaryFile()
        self.log = tempfile.NamedTemporaryFile(suffix=".log")
        where = ["--unix", unix] if unix else ["--port", "0"]
        target = self.log.name if log else "off"
        command = [*wrapper, PROGRAM, "serve", directory, *where, "--access-log", target, *options]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            preexec_fn=limits,
        )
        self.first_line = self.process.stdout.readline().decode()
        match = re.fullmatch(
            r"listening on (?:http://(\S+):(\d+)|unix:(\S+)) \(backend (\w+)\)\n", self.first_line
        )
        if match is None:
            self.process.kill()
            self.process.wait()
            raise AssertionError("first line %r, %r" % (self.first_line, self.errors()))
        self.host = match.group(1)
        self.port = int(match.group(2) or 0)
        self.unix = match.group(3)
        self.backend = match.group(4)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.process.kill()
            self.process.wait()
            sys.stderr.write(self.errors())
            self.free()

    def errors(self):
        self.stderr.seek(0)
        return self.stderr.read().decode(errors="replace")

    def log_lines(self):
        """The access log as it is; complete only after stop()."""
        with open(self.log.name, "rb") as file:
            return file.read().split(b"\n")[:-1]

    def free(self):
        self.process.stdout.close()
        self.stderr.close()

    def stop(self, allowed=""):
        """Ends it; what it wrote to standard error must match `allowed` as a whole. Returns log lines."""
        if self.stderr.closed:
            return self.log_lines()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.wait()
        errors = self.errors()
        self.free()
        assert code == 0, "exit code %d\n%s" % (code, errors)
        assert re.fullmatch(allowed, errors), errors
        return self.log_lines()

    def wait(self):
        """Waits for its end. Its exit code."""
        for _ in range(LIMIT_S):
            try:
                return self.process.wait(1)
            except subprocess.TimeoutExpired:
                self.wake()
        self.process.kill()
        self.process.wait()
        raise AssertionError("it does not end")

    def wake(self):
        """
        TSan puts a signal off to the next call that it knows, and io_uring_enter is none: the handler
        may not run while the server sleeps there, and some signals TSan loses altogether. In other
        builds a signal needs no help.
        """
        if "thread" in SANITIZE:
            self.process.send_signal(signal.SIGTERM)
            try:
                Client(self).close()
            except OSError:
                pass

    def client(self, **options):
        return Client(self, **options)

    def ask(self, request):
        """One request on a connection of its own, which is then half-closed. All responses to it."""
        with self.client() as client:
            client.send(request)
            client.finish()
            return client.responses_to_end()

    def get(self, target, *headers, method="GET"):
        """One response; the connection must be left in order."""
        with self.client() as client:
            client.send(request(method, target, *headers))
            return client.response(head=method == "HEAD")


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # of (lower-case name, value)
        self.body = body

    def all(self, name):
        return [value for key, value in self.headers if key == name]

    def __getitem__(self, name):
        values = self.all(name)
        if len(values) > 1:
            raise AssertionError("%s stands %d times" % (name, len(values)))
        return values[0] if values else None

    def __repr__(self):
        return "<%d %r %r>" % (self.status, self.headers, self.body[:100])


class Broken(AssertionError):
    """The stream of responses ended, or was none."""


class Client:
    def __init__(self, server, receive_buffer=None):
        family = socket.AF_UNIX if server.unix else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(LIMIT_S)
        self.socket.connect(server.unix or (server.host, server.port))
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def finish(self):
        self.socket.shutdown(socket.SHUT_WR)

    def more(self):
        """Receives once. False at the end of the connection."""
        data = self.socket.recv(1 << 16)
        self.received += data
        return len(data) > 0

    def take(self, length):
        while len(self.received) < length:
            if not self.more():
                raise Broken("%d bytes of %d: %r" % (len(self.received), length, self.received[:200]))
        data, self.received = self.received[:length], self.received[length:]
        return data

    def line(self):
        while CRLF not in self.received:
            if not self.more():
                raise Broken("no whole line: %r" % self.received)
        data, self.received = self.received.split(CRLF, 1)
        return data

    def head(self):
        """Status and headers."""
        first = self.line()
        match = re.fullmatch(rb"HTTP/1\.1 ([1-5]\d\d) [ -~]+", first)
        if match is None:
            raise Broken("no status line: %r" % first)
        headers = []
        while line := self.line():
            field = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([ -~]*)", line)
            if field is None:
                raise Broken("no header field: %r" % line)
            headers.append((field.group(1).decode().lower(), field.group(2).decode()))
        return int(match.group(1)), headers

    def response(self, head=False):
        """One response. `head`: to HEAD, whose body is not sent."""
        status, headers = self.head()
        response = Response(status, headers, b"")
        length = response["content-length"]
        if head or status < 200 or status in (204, 304):
            return response
        if response["transfer-encoding"] == "chunked":
            response.body = self.chunks()
        elif length is not None:
            response.body = self.take(int(length))
        else:
            raise Broken("a body of unknown length")
        return response

    def chunks(self):
        body = b""
        while length := int(self.line(), 16):
            body += self.take(length)
            if self.take(2) != CRLF:
                raise Broken("a chunk's end")
        if self.line() != b"":
            raise Broken("the last chunk's end")
        return body

    def to_end(self):
        """All bytes until the server closes."""
        while self.more():
            pass
        return self.received

    def responses_to_end(self, heads=()):
        """Responses until the server closes; those whose index is in `heads` are to HEAD."""
        responses = []
        while self.received or self.more():
            responses.append(self.response(head=len(responses) in heads))
        return responses

    def at_end(self):
        """Waits for the server's FIN; a byte before it is a failure."""
        if self.received or self.more():
            raise Broken("more bytes: %r" % self.received[:200])
        return True


def request(method, target, *headers, version="1.1", host="test"):
    lines = ["%s %s HTTP/%s" % (method, target, version)]
    if host is not None:
        lines.append("Host: %s" % host)
    lines.extend(headers)
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


class ServerTest(unittest.TestCase):
    """One server for all tests of a class, on a directory that fill() fills."""

    options = ()
    log = False

    @classmethod
    def fill(cls, root):
        """Makes the files."""

    @classmethod
    def setUpClass(cls):
        cls.temp = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temp.cleanup)
        cls.root = os.path.join(cls.temp.name, "root")
        os.mkdir(cls.root)
        cls.fill(cls.root)
        cls.server = Server(cls.root, *cls.options, log=cls.log)
        cls.addClassCleanup(cls.server.stop)

    @classmethod
    def write(cls, name, data):
        path = os.path.join(cls.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def closed_after(self, data, status, head=False):
        """
        Sends without closing our half: one response of this status, and then the server's end. Status 0:
        400, 501 or 505, where more than one rule is broken.
        """
        with self.server.client() as client:
            client.send(data)
            response = client.response(head=head)
            allowed = (status,) if status else (400, 501, 505)
            self.assertIn(response.status, allowed, data[:200])
            self.assertEqual(response["connection"], "close")
            client.at_end()
        return response

    def serves(self, target="/hello.txt", status=200):
        """It is alive and well."""
        self.assertEqual(self.server.get(target).status, status)
