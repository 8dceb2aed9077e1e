"""A cluster under test, and clients that count each answer and each error."""
import collections
import os
import selectors
import signal
import socket
import tempfile
import threading
import time

from cmd_support import LIMIT_S, SLOW, Started

KEEP = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
ONCE = b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
BODY = b"hello, cluster\n"


def wait_until(condition, what="it", limit=LIMIT_S):
    """Looks every few milliseconds until it holds."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("in vain: " + what)
        time.sleep(0.005)


def children(pid):
    """Numbers of the processes that `pid` has, but for those that have ended."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(name))
    return sorted(found)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def processor_s(pid):
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e9


class Site:
    """A directory with one small file, and a place for logs."""

    def __init__(self):
        self.temp = tempfile.TemporaryDirectory()
        self.root = os.path.join(self.temp.name, "root")
        self.log = os.path.join(self.temp.name, "log")
        os.mkdir(self.root)
        with open(os.path.join(self.root, "x"), "wb") as file:
            file.write(BODY)

    def path(self, name):
        return os.path.join(self.temp.name, name)

    def logged(self):
        with open(self.log, "rb") as file:
            return file.read().count(b"\n")

    def close(self):
        self.temp.cleanup()


class Cluster(Started):
    """`gyre serve` or another server with workers."""

    def __init__(self, *arguments, env=None):
        super().__init__(*arguments, env=env)
        self.pid = self.process.pid

    def send(self, signum):
        os.kill(self.pid, signum)

    def workers(self):
        return children(self.pid)

    def wait_for_workers(self, count, without=()):
        """Until there are exactly `count` workers, and none of `without` is left."""
        wait_until(
            lambda: len(self.workers()) == count and not set(self.workers()) & set(without),
            f"{count} workers",
            4 * LIMIT_S,
        )
        return self.workers()

    def reload(self, count, signum=signal.SIGHUP):
        """Reloads, and waits until only new workers are left."""
        old = self.workers()
        self.send(signum)
        return self.wait_for_workers(count, old)

    def wait_errors(self, text):
        wait_until(lambda: text in self.errors(), text)

    def ended_with_errors(self):
        """Waits for its end with exit code 0; what it wrote on standard error."""
        code = self.wait()
        self.process.stdout.close()
        errors = self.errors()
        assert code == 0, "exit code %d: %s" % (code, errors)
        return errors


class Client:
    """One connection of a load."""

    def __init__(self, load, keep):
        self.load, self.keep = load, keep
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.got = b""
        self.sent = False
        self.next = 0
        self.began = time.monotonic()
        self.socket.connect_ex(load.address)
        load.selector.register(self.socket, selectors.EVENT_WRITE, self)

    def ask(self):
        self.got = b""
        self.began = time.monotonic()
        self.sent = True
        self.socket.send(KEEP if self.keep else ONCE)

    def ready(self, _events):
        try:
            if not self.sent:
                error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    raise OSError(error, os.strerror(error))
                self.ask()
                self.load.selector.modify(self.socket, selectors.EVENT_READ, self)
                return
            piece = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(type(error).__name__)
            return
        if not piece:
            # An idle connection may be closed; one with a request in flight may not.
            if self.next:
                self.close()
            else:
                self.fail("closed before the answer")
            return
        self.got += piece
        if self.got.endswith(BODY):
            self.answered()

    def answered(self):
        load = self.load
        if not self.got.startswith(b"HTTP/1.1 200 "):
            self.fail("answer " + self.got[:20].decode(errors="replace"))
            return
        load.answers += 1
        load.slowest = max(load.slowest, time.monotonic() - self.began)
        if not self.keep or b"\r\nConnection: close\r\n" in self.got:
            load.announced += self.keep
            self.close()
            return
        self.next = time.monotonic() + load.pause_s
        load.waiting.append(self)

    def fail(self, what):
        self.load.errors[what] += 1
        self.load.error_times.append(time.monotonic())
        self.close()

    def close(self):
        self.load.selector.unregister(self.socket)
        self.socket.close()
        self.load.clients.discard(self)
        self.next = 0


class Load:
    """`keep` connections that ask again and again, and `rate` connections a second that ask once."""

    def __init__(self, address, keep, rate, pause_s=0.002):
        self.address, self.keep, self.rate, self.pause_s = address, keep, rate, pause_s
        self.selector = selectors.DefaultSelector()
        self.clients = set()
        self.waiting = collections.deque()
        self.answers = 0
        self.announced = 0
        self.errors = collections.Counter()
        self.error_times = []
        self.slowest = 0.0
        self.ending = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def begin_due(self, began, once):
        now = time.monotonic()
        due = int((now - began) * self.rate) - once
        for _ in range(min(due, 200)):
            self.clients.add(Client(self, False))
        missing = self.keep - sum(client.keep for client in self.clients)
        for _ in range(missing):
            self.clients.add(Client(self, True))
        return once + max(0, min(due, 200))

    def ask_due(self):
        now = time.monotonic()
        while self.waiting and (self.waiting[0].next <= now or self.ending):
            client = self.waiting.popleft()
            if client not in self.clients:
                continue
            if self.ending:
                client.close()
                continue
            client.next = 0
            try:
                client.ask()
            except OSError as error:
                client.fail(type(error).__name__)

    def run(self):
        began, once = time.monotonic(), 0
        while not self.ending or self.clients:
            if not self.ending:
                once = self.begin_due(began, once)
            self.ask_due()
            for key, events in self.selector.select(0.002):
                key.data.ready(events)
            for client in [c for c in self.clients if not c.next and time.monotonic() - c.began > LIMIT_S]:
                client.fail("timeout")
        self.selector.close()

    def stop(self):
        """Ends it when what is in flight was answered. How many answers came."""
        self.ending = True
        self.thread.join()
        return self.answers
