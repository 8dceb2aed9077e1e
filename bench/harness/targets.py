"""The goals that the library set itself, checked against one set of results.

Each goal is a figure with its limit; what was not measured in this run says so.
"""
from dataclasses import dataclass

from . import points, stats
from .peers import BASE, BY_NAME

TCP_SMALL = ("tcp-64-x1", "tcp-64-x16", "tcp-64-x128")
TCP_DEEP = ("tcp-64-x1-d16", "tcp-64-x16-d16", "tcp-64-x128-d16")
UNIX = ("unix-64-x1", "unix-64-x16", "unix-64-x128", "unix-64-x1-d16", "unix-64-x16-d16",
        "unix-64-x128-d16")
CROWDS = ("tcp-64-x1000", "tcp-64-x8000")
CROWDS_DEEP = ("tcp-64-x1000-d16", "tcp-64-x8000-d16")
UNIT_POINTS = TCP_SMALL + TCP_DEEP + UNIX + ("tcp-4k-x128", "tcp-64-x16-idle8000") + CROWDS + CROWDS_DEEP
HANDLE_BYTES = 256 + 16  # a gyre_tcp on the heap of the caller
GYRES = ("gyre-epoll", "gyre-uring")


@dataclass(frozen=True)
class Check:
    text: str
    value: object  # a number, a stats.Spread, or None: not measured
    limit: float
    at_least: bool = False

    @property
    def number(self):
        return getattr(self.value, "median", self.value)

    @property
    def met(self):
        """None when it was not measured. Ratios are judged at the two digits that are printed."""
        if self.number is None:
            return None
        digits = 2 if abs(self.limit) < 10 else 1
        number = round(self.number, digits)
        return number >= self.limit if self.at_least else number <= self.limit


class Results:
    """Access to one run's data by name; None for what it lacks."""

    def __init__(self, data):
        self.echo = {entry["point"]: entry for entry in data.get("echo", [])}
        self.micro = {entry["name"]: entry["rounds"] for entry in data.get("micro", [])}
        self.counts = {(c["point"], c["peer"]): c for c in data.get("counts", [])}
        self.memory = data.get("memory", [])

    def ratio(self, key, peer, base):
        entry = self.echo.get(key)
        return stats.echo_ratio(entry, peer, base) if entry else None

    def micro_value(self, work, peer, metric):
        return stats.value_spread(self.micro.get(work, []), peer, metric)

    def micro_ratio(self, work, peer, base, metric):
        return stats.value_ratio(self.micro.get(work, []), peer, base, metric)

    def system_calls(self, point, peer, name=None):
        calls = self.counts.get((point, peer), {}).get("system_calls")
        if calls is None:
            return None
        return calls.get(name, 0.0) if name else sum(calls.values())

    def allocations(self, point, peer):
        return self.counts.get((point, peer), {}).get("allocations")


def _below(r, peer, base, names, setup, limit):
    for name in names:
        key = f"{name}@{setup}"
        yield Check(f"{peer} / {base}, {key}", r.ratio(key, peer, base), limit)


def _above(r, peer, base, names, limit):
    """`base` costs at least `limit` times what `peer` does, same-core."""
    for name in names:
        key = f"{name}@{points.SAME}"
        yield Check(f"{base} / {peer}, {key}", r.ratio(key, base, peer), limit, at_least=True)


def _against_bare(r):
    for names, setup, limit in ((TCP_SMALL + TCP_DEEP, "same", 1.03), (UNIX, "same", 1.05),
                                (("tcp-64k-x16",), "same", 1.05), (CROWDS, "two", 1.05)):
        yield from _below(r, "gyre-epoll", BASE, names, setup, limit)
    yield from _below(r, "gyre-uring", BASE, UNIT_POINTS, "same", 1.00)
    yield from _below(r, "gyre-uring", BASE, CROWDS, "two", 1.05)
    yield from _below(r, "gyre-uring", BASE, ("tcp-64k-x16",), "same", 1.12)
    yield from _below(r, "gyre-uring", "uring-inline", UNIT_POINTS + ("tcp-64k-x16",), "same", 1.03)


def _against_peers(r):
    for gyre in GYRES:
        yield from _above(r, gyre, "uv-documented", TCP_SMALL[1:], 1.6)
        yield from _above(r, gyre, "uv-documented", UNIX[1:3], 2.5)
        yield from _above(r, gyre, "uv-documented", ("tcp-4k-x128", "tcp-64k-x16"), 2.0)
        yield from _above(r, gyre, "uv-documented-notrim", TCP_SMALL[1:], 1.12)
        yield from _above(r, gyre, "uv-documented-notrim", UNIX[1:3], 1.4)
        yield from _above(r, gyre, "uv-tuned", TCP_SMALL[1:], 1.04)
        yield from _above(r, gyre, "uv-tuned", UNIX[1:3], 1.12)
        yield from _above(r, gyre, "bufferevent", TCP_SMALL[1:], 1.35)
    others = [name for name, peer in BY_NAME.items() if peer.family == "other"]
    for key in sorted(r.echo):
        if not key.endswith("@same"):
            continue
        for gyre in GYRES:
            found = [(s.median, s, name) for name in others
                     if (s := r.ratio(key, gyre, name)) is not None]
            if found:
                _, worst, name = max(found, key=lambda item: item[0])
                yield Check(f"{gyre} / best peer ({name}), {key}", worst, 1.02)


def _churn_and_counts(r):
    yield from _below(r, "gyre-epoll", BASE, ("tcp-churn",), "same", 1.02)
    yield from _below(r, "gyre-uring", BASE, ("tcp-churn",), "same", 0.95)
    for gyre, churn, busy in (("gyre-epoll", 6.2, 2.1), ("gyre-uring", 2.1, 1.06)):
        yield Check(f"{gyre}: system calls a connection, churn",
                    r.system_calls("tcp-churn@same", gyre), churn)
        yield Check(f"{gyre}: system calls a request, tcp-64-x128",
                    r.system_calls("tcp-64-x128@same", gyre), busy)
        yield Check(f"{gyre}: allocations a request, tcp-64-x128",
                    r.allocations("tcp-64-x128@same", gyre), 0.0)
    yield Check("gyre-epoll: epoll_ctl a request, tcp-64-x128",
                r.system_calls("tcp-64-x128@same", "gyre-epoll", "epoll_ctl"), 0.0)


def _idle(r):
    for gyre in GYRES:
        yield Check(f"{gyre}: bytes an idle connection, beside the handle",
                    _minus(stats.value_spread(r.memory, gyre, "bytes_each"), HANDLE_BYTES), 160)
        alone = r.ratio("tcp-64-x16@same", gyre, BASE)
        beside = r.ratio("tcp-64-x16-idle8000@same", gyre, BASE)
        yield Check(f"{gyre}: x16 beside 8,000 idle / x16 alone (each as a ratio to bare epoll)",
                    beside.median / alone.median if alone and beside else None, 1.03)


def _minus(spread, what):
    return None if spread is None else spread.median - what


def _timers(r):
    for work, limit in (("insert", 15), ("rearm", 60), ("cancel", 45), ("expire", 220)):
        metric = f"timer_{work}_1000000"
        value = r.micro_value("timers", "gyre-epoll", metric)
        ratio = r.micro_ratio("timers", "gyre-epoll", "libev", metric)
        if value is not None and value.median <= limit or ratio is None:
            yield Check(f"timers: {work} at 1,000,000, ns", value, limit)
        else:
            yield Check(f"timers: {work} at 1,000,000, / libev", ratio, 1.0)


def _turns(r):
    for gyre in GYRES:
        bare = r.micro_value("turns", BASE, "turn_empty")
        yield Check(f"{gyre}: empty turn, ns more than a bare epoll_wait(0)",
                    bare and _minus(r.micro_value("turns", gyre, "turn_empty"), bare.median), 30)
        yield Check(f"{gyre}: idle callback, ns", r.micro_value("turns", gyre, "idle_callback"), 3)
        for what in ("send", "post"):
            yield Check(f"{gyre}: {what} while one is pending, ns",
                        r.micro_value("pending", gyre, f"{what}_while_pending"), 3)
    for gyre, limit in (("gyre-epoll", 1.05), ("gyre-uring", 0.95)):
        for where in ("same", "two"):
            yield Check(f"{gyre}: wake-up round trip / bare eventfd, {where}",
                        r.micro_ratio("wake", gyre, BASE, f"wake_round_trip_{where}"), limit)


def check(data):
    """All goals, in the order of their groups: (title, [Check])."""
    r = Results(data)
    return [("Against bare servers", list(_against_bare(r))),
            ("Against other libraries", list(_against_peers(r))),
            ("Churn, system calls, allocations", list(_churn_and_counts(r))),
            ("Idle connections", list(_idle(r))),
            ("Timers, turns, wake-ups", list(_timers(r)) + list(_turns(r)))]
