"""The measurements. Each returns plain data for the JSON file and knows nothing of reports.

In a round the peers take turns, in random order, with fresh processes: where the kernel happens to
place a process's pages moves its speed by a percent or two for as long as it lives.
"""
import contextlib
import os
import re
import signal
import statistics
import struct
import subprocess
import time

from . import points
from .process import Failure, Load, Server, output_of

WARM_MS = 60
COUNT_MS = 300
SLICES = 10
CROWD = 2000
MICRO_S = 120
CALL = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$")


def _busy_ticks(cpus):
    """Of these processors, by /proc/stat: all but idle and iowait."""
    names = {f"cpu{cpu}" for cpu in cpus}
    busy = 0
    with open("/proc/stat", encoding="ascii") as file:
        for line in file:
            name, *fields = line.split()
            if name in names:
                numbers = [int(field) for field in fields[:8]]
                busy += sum(numbers) - numbers[3] - numbers[4]
    return busy


def _window(run, server, load, point, milliseconds):
    """One stretch of work, with what other work took of its processors meanwhile."""
    cpus = {run.server_cpu(point.setup), run.load_cpu(point.setup)}
    ticks = _busy_ticks(cpus)
    began = time.monotonic()
    window = load.window(milliseconds)
    lasted = time.monotonic() - began
    busy_s = (_busy_ticks(cpus) - ticks) / os.sysconf("SC_CLK_TCK")
    own_s = (window["server_cpu_ns"] + window["load_cpu_ns"]) / 1e9
    window["others"] = round(max(0.0, busy_s - own_s) / lasted, 3)
    if window["requests"] == 0 or window["server_cpu_ns"] == 0:
        raise Failure(f"{server.name}: no work was done")
    return window


def _together(slices):
    """Sums of the counts; medians of the latencies."""
    sums = ("requests", "seconds", "server_cpu_ns", "load_cpu_ns")
    return {key: sum(s[key] for s in slices) if key in sums
            else statistics.median(s[key] for s in slices) for key in slices[0]}


class Failures:
    """Who fails is out of this piece of work from then on."""

    def __init__(self, run, label):
        self._run, self._label = run, label
        self._names = set()

    def healthy(self, peers):
        return [peer for peer in peers if peer.name not in self._names]

    @contextlib.contextmanager
    def of(self, peer):
        try:
            yield
        except Failure as failure:
            self._names.add(peer.name)
            self._run.failed(self._label, peer.name, failure)


def _start(run, peer, point, stack):
    server = stack.enter_context(Server(run, peer, point))
    load = stack.enter_context(Load(run, server, point))
    load.window(WARM_MS)
    return server, load


def _round_by_turns(run, peers, point, failures):
    """All servers are up, and their windows are cut into slices: each sees the same moments."""
    slices = {peer: [] for peer in peers}
    with contextlib.ExitStack() as stack:
        up = {}
        for peer in peers:
            with failures.of(peer):
                up[peer] = _start(run, peer, point, stack)
        for _ in range(SLICES):
            for peer in failures.healthy(run.shuffled(list(up))):
                with failures.of(peer):
                    slices[peer].append(_window(run, *up[peer], point, run.window_ms // SLICES))
    return {peer.name: _together(slices[peer]) for peer in failures.healthy(peers)}


def _round_of_crowds(run, peers, point, failures):
    """One server after the other: thousands of connections of each are too many at once."""
    results = {}
    for peer in peers:
        with failures.of(peer), contextlib.ExitStack() as stack:
            server, load = _start(run, peer, point, stack)
            results[peer.name] = _window(run, server, load, point, run.window_ms)
    return results


def _rounds(run, peers, label, measure):
    """`measure(peer)` once for each peer and round."""
    failures = Failures(run, label)
    rounds = []
    for number in range(run.rounds):
        results = {}
        for peer in failures.healthy(run.shuffled(peers)):
            run.say(f"{label}  round {number + 1}/{run.rounds}  {peer.name}")
            with failures.of(peer):
                results[peer.name] = measure(peer)
        rounds.append(results)
    return rounds


def echo(run, point):
    peers = [peer for peer in run.peers if peer.server and point.conns <= peer.conns_max
             and point.idle <= peer.conns_max]
    one_round = _round_by_turns if point.conns + point.idle < CROWD else _round_of_crowds
    failures = Failures(run, point.key)
    rounds = []
    for number in range(run.rounds):
        run.say(f"{point.key}  round {number + 1}/{run.rounds}")
        rounds.append(one_round(run, failures.healthy(run.shuffled(peers)), point, failures))
    return {"point": point.key, "name": point.name, "title": point.title, "setup": point.setup,
            "transport": point.transport, "conns": point.conns, "depth": point.depth,
            "size": point.size, "idle": point.idle, "churn": point.churn, "rounds": rounds}


def micro(run, name):
    peers = [peer for peer in run.peers
             if peer.micro and (name, peer.name) not in points.MICRO_WITHOUT]

    def measure(peer):
        values = {}
        for arguments in points.MICRO[name]:
            command = [run.program(peer.micro), *arguments]
            for line in output_of(command, peer.env, MICRO_S).splitlines():
                metric, value = line.split()
                values[metric] = float(value)
        return values

    return {"name": name, "rounds": _rounds(run, peers, name, measure)}


def memory(run):
    """Bytes that an idle connection costs the server's process, its own handle included."""
    few = points.Point("tcp", points.SAME, 16)
    many = points.Point("tcp", points.SAME, 16, idle=points.IDLE_CONNS)
    peers = [peer for peer in run.peers if peer.server and peer.conns_max >= points.IDLE_CONNS]

    def resident_kb(peer, point):
        with Server(run, peer, point) as server, Load(run, server, point) as load:
            load.window(WARM_MS)
            return server.status_kb("RssAnon", "RssShmem")

    def measure(peer):
        with_none = resident_kb(peer, few)
        return {"fixed_kb": with_none,
                "bytes_each": (resident_kb(peer, many) - with_none) * 1024 / points.IDLE_CONNS}

    return _rounds(run, peers, "memory", measure)


def _system_calls(run, peer, point):
    """Calls of one window by name, and its requests; strace slows the server but not the counts."""
    table = os.path.join(run.scratch, "calls")
    with Server(run, peer, point) as server, Load(run, server, point) as load:
        load.window(WARM_MS)
        strace = subprocess.Popen(["strace", "-qq", "-c", "-f", "-o", table, "-p",
                                   str(server.pid)], stdin=subprocess.DEVNULL)
        try:
            _await_tracer(server.pid)
            requests = load.window(COUNT_MS)["requests"]
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait()
    with open(table, encoding="ascii") as file:
        found = (CALL.match(line.rstrip()) for line in file)
        calls = {match.group(2): int(match.group(1)) for match in found if match}
    calls.pop("total", None)
    return {name: count / requests for name, count in calls.items()}


def _await_tracer(pid):
    for _ in range(500):
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            if "TracerPid:\t0\n" not in file.read():
                return
        time.sleep(.01)
    raise Failure("strace cannot attach")


def _allocations(run, peer, point):
    """malloc, calloc, realloc and their like a request, by a counting library loaded before libc."""
    path = os.path.join(run.scratch, "allocations")
    env = {"LD_PRELOAD": run.program("malloc_count.so"), "BENCH_MALLOC_COUNTERS": path}

    def total():
        with open(path, "rb") as file:
            allocations, _, _, reallocations = struct.unpack("4Q", file.read(32))
        return allocations + reallocations

    with Server(run, peer, point, env) as server, Load(run, server, point) as load:
        load.window(WARM_MS)
        before = total()
        requests = load.window(COUNT_MS)["requests"]
        made = total() - before
    os.unlink(path)
    return made / requests


def counts(run):
    results = []
    for point in points.COUNTED:
        for peer in run.peers:
            if not peer.server:
                continue
            run.say(f"counts  {point.key}  {peer.name}")
            try:
                calls = _system_calls(run, peer, point)
                results.append({"point": point.key, "peer": peer.name, "system_calls": calls,
                                "allocations": _allocations(run, peer, point)})
            except Failure as failure:
                run.failed(f"counts {point.key}", peer.name, failure)
    return results
