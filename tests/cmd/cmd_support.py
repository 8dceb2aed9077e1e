"""Runs the program; for tests of its command line."""
import os
import re
import signal
import socket
import subprocess
import tempfile

PROGRAM = os.environ.get("GYRE_PROGRAM", "build/gyre")
BACKEND = os.environ.get("GYRE_BACKEND", "")
SLOW = int(os.environ.get("GYRE_SLOW", "1"))
SANITIZE = os.environ.get("GYRE_SANITIZE", "")
LIMIT_S = 15 * SLOW


def run(*arguments, env=None, stdout=subprocess.PIPE):
    """Runs it to its end: exit code, standard output, standard error."""
    done = subprocess.run(
        [PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=LIMIT_S,
        env=env,
        check=False,
    )
    return done.returncode, (done.stdout or b"").decode(), done.stderr.decode()


class Started:
    """A server that has written its first line; also a context that ends it with SIGTERM."""

    def __init__(self, *arguments, env=None):
        self.stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.stderr, env=env
        )
        self.first_line = self.process.stdout.readline().decode()
        if not self.first_line:
            self.process.wait()
            raise AssertionError(self.errors())
        match = re.search(r"(?:://(\S+):(\d+)|unix:(\S+)) \(", self.first_line)
        self.host, self.port, self.path = match.group(1), int(match.group(2) or 0), match.group(3)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.process.kill()
            self.process.wait()
        self.stderr.close()

    def errors(self):
        self.stderr.seek(0)
        return self.stderr.read().decode(errors="replace")

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
            with socket.socket(socket.AF_UNIX if self.path else socket.AF_INET) as client:
                client.connect_ex(self.path or (self.host, self.port))

    def ended(self):
        """Waits for its end; exit code 0, and nothing on standard error."""
        code = self.wait()
        rest = self.process.stdout.read().decode()
        self.process.stdout.close()
        errors = self.errors()
        assert (code, errors) == (0, ""), "exit code %d: %s" % (code, errors)
        return rest

    def stop(self, signum=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.ended() if not self.process.stdout.closed else ""
