"""The measurements. Each returns plain data for the JSON file and knows nothing of reports.

In a round each peer has one turn, in random order, with fresh processes: where the kernel happens
to place a process's pages moves its speed by a percent or two for as long as it lives.
"""
import os
import re
import signal
import struct
import subprocess
import time

from . import points
from .process import Failure, Load, Server, output_of

WARM_MS = 60
COUNT_MS = 300
MICRO_S = 120
CALL = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$")


def _busy_ticks():
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(field) for field in file.readline().split()[1:9]]
    return sum(fields) - fields[3] - fields[4]  # all but idle and iowait


def _echo_window(run, peer, point):
    with Server(run, peer, point) as server, Load(run, server, point) as load:
        load.window(WARM_MS)
        ticks = _busy_ticks()
        began = time.monotonic()
        window = load.window(run.window_ms)
        lasted = time.monotonic() - began
        busy_s = (_busy_ticks() - ticks) / os.sysconf("SC_CLK_TCK")
    own_s = (window["server_cpu_ns"] + window["load_cpu_ns"]) / 1e9
    window["others"] = round(max(0.0, busy_s - own_s) / lasted, 3)
    if window["requests"] == 0 or window["server_cpu_ns"] == 0:
        raise Failure("no work was done")
    return window


def _rounds(run, peers, label, measure):
    """`measure(peer)` once for each peer and round; who fails is out of this work from then on."""
    rounds = []
    failed = set()
    for number in range(run.rounds):
        results = {}
        for peer in run.shuffled(peers):
            if peer.name in failed:
                continue
            run.say(f"{label}  round {number + 1}/{run.rounds}  {peer.name}")
            try:
                results[peer.name] = measure(peer)
            except Failure as failure:
                failed.add(peer.name)
                run.failed(label, peer.name, failure)
        rounds.append(results)
    return rounds


def echo(run, point):
    peers = [peer for peer in run.peers if peer.server and point.conns <= peer.conns_max
             and point.idle <= peer.conns_max]
    rounds = _rounds(run, peers, point.key, lambda peer: _echo_window(run, peer, point))
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
