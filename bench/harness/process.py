"""The programs that a measurement runs: a server, and the load generator against it."""
import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time

START_S = 20  # a program silent for so long at its start is broken
WINDOW_S = 60
PRIORITY = -20  # the same for server and load, so that between these two nothing changes


class Failure(Exception):
    """A program did not do its work; the measurement of this peer is void."""


def _go_first():
    """In a process to be: it goes before other work, where it may."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)


def _go_first_on(cpus):
    def settle():
        os.sched_setaffinity(0, cpus)
        _go_first()

    return settle


def _read_line(process, seconds, what):
    """One line of the process's output, which is unbuffered on our side so that select() sees all."""
    line = b""
    deadline = time.monotonic() + seconds
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            raise Failure(f"{what}: silent for {seconds} s")
        byte = os.read(process.stdout.fileno(), 1)
        if not byte:
            raise Failure(f"{what}: ended ({_last_words(process)})")
        line += byte
    return line.decode().strip()


def _last_words(process):
    process.stderr.seek(0)
    lines = process.stderr.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"status {process.poll()}"


def _spawn(command, cpus, env=None, stdin=subprocess.DEVNULL):
    errors = tempfile.TemporaryFile()
    process = subprocess.Popen(command, bufsize=0, stdin=stdin, stdout=subprocess.PIPE,
                               stderr=errors, env={**os.environ, **(env or {})},
                               preexec_fn=_go_first_on(cpus))
    process.stderr = errors
    return process


def _end(process):
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


class Server:
    """An echo server of `peer`, from its start to the end of a with block."""

    def __init__(self, run, peer, point, env=None):
        self.name = peer.name
        self.path = os.path.join(run.scratch, peer.name) if point.transport == "unix" else None
        if self.path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)  # a server that is killed leaves it
        arguments = ["--unix", self.path] if self.path else ["--tcp"]
        program = run.program(peer.server)
        cpus = {run.server_cpu(point.setup)}
        self.process = _spawn([program, *arguments], cpus, {**peer.env, **(env or {})})
        self.pid = self.process.pid
        try:
            where = _read_line(self.process, START_S, peer.name)
        except Failure:
            _end(self.process)
            raise
        self.port = None if self.path else where.rsplit(":", 1)[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        _end(self.process)

    def status_kb(self, *names):
        """The sum of fields of /proc/PID/status, in KiB."""
        total = 0
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name in names:
                    total += int(value.split()[0])
        return total


class Load:
    """The generator, connected to a server; each window() is one stretch of work."""

    def __init__(self, run, server, point):
        command = [run.program("load"), "--conns", str(point.conns), "--depth", str(point.depth),
                   "--size", str(point.size), "--idle", str(point.idle), "--pid", str(server.pid)]
        command += ["--unix", server.path] if server.path else ["--tcp", server.port]
        command += ["--churn"] if point.churn else []
        cpus = {run.load_cpu(point.setup)}
        self.process = _spawn(command, cpus, stdin=subprocess.PIPE)
        try:
            _read_line(self.process, START_S, "load")
        except Failure:
            _end(self.process)
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        _end(self.process)

    def window(self, milliseconds):
        """Runs one window; a dict of requests, seconds, server_cpu_ns, load_cpu_ns, p50_ns, ..."""
        self.process.stdin.write(f"run {milliseconds}\n".encode())
        return json.loads(_read_line(self.process, WINDOW_S, "load"))


def output_of(command, env, seconds):
    """The standard output of a program that ends by itself."""
    try:
        done = subprocess.run(command, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=seconds, check=False,
                              preexec_fn=_go_first)
    except subprocess.TimeoutExpired as error:
        raise Failure(f"{command[0]}: not done in {seconds} s") from error
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise Failure(words[-1] if words else f"status {done.returncode}")
    return done.stdout.decode()
