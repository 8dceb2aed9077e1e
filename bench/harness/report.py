"""The results as text tables."""
from . import stats, targets
from .peers import BASE, PEERS

GROUPS = (
    ("TCP 64 B, same core", ("tcp-64-x1", "tcp-64-x16", "tcp-64-x128", "tcp-64-x1000",
                             "tcp-64-x8000"), "same"),
    ("TCP 64 B, depth 16, same core", ("tcp-64-x1-d16", "tcp-64-x16-d16", "tcp-64-x128-d16",
                                       "tcp-64-x1000-d16", "tcp-64-x8000-d16"), "same"),
    ("TCP, other work, same core", ("tcp-4k-x128", "tcp-64k-x16", "tcp-64-x16-idle8000",
                                    "tcp-churn"), "same"),
    ("Unix sockets, 64 B, same core", ("unix-64-x1", "unix-64-x16", "unix-64-x128"), "same"),
    ("Unix sockets, 64 B, depth 16, same core", ("unix-64-x1-d16", "unix-64-x16-d16",
                                                 "unix-64-x128-d16"), "same"),
    ("TCP 64 B, two cores", ("tcp-64-x1", "tcp-64-x16", "tcp-64-x128", "tcp-64-x1000",
                             "tcp-64-x8000"), "two"),
    ("TCP 64 B, depth 16, two cores", ("tcp-64-x1-d16", "tcp-64-x16-d16", "tcp-64-x128-d16",
                                       "tcp-64-x1000-d16", "tcp-64-x8000-d16"), "two"),
    ("TCP, other work, two cores", ("tcp-4k-x128", "tcp-64k-x16", "tcp-64-x16-idle8000",
                                    "tcp-churn"), "two"),
    ("Unix sockets, 64 B, two cores", ("unix-64-x1", "unix-64-x16", "unix-64-x128"), "two"),
    ("Unix sockets, 64 B, depth 16, two cores", ("unix-64-x1-d16", "unix-64-x16-d16",
                                                 "unix-64-x128-d16"), "two"),
)

# Work -> its metrics, with the words of a table.
MICRO_TABLES = (
    *(("timers", f"Timers, {count:,} started, ns an operation", tuple(
        (f"timer_{what}_{count}", what) for what in ("insert", "rearm", "cancel", "expire")))
      for count in (1000, 100000, 1000000)),
    ("turns", "Turns, ns", (("turn_empty", "empty turn"), ("idle_callback", "idle callback"))),
    ("startup", "Start-up, one turn, tear-down, ns", (("loop_open_turn_close", "loop"),)),
    ("wake", "Wake-up round trip between two loops, ns", (
        ("wake_round_trip_same", "one core"), ("wake_round_trip_two", "two cores"))),
    ("pending", "While one is pending, ns", (("send_while_pending", "wake-up"),
                                             ("post_while_pending", "post"))),
    ("flood", "Floods, ns each", (
        ("send_flood_1", "wake-ups, 1 thread"), ("send_flood_8", "8 threads"),
        ("post_flood_1", "posts, 1 thread"), ("post_flood_8", "8 threads"))),
)


def in_order(names):
    """Names of peers as peers.py lists them."""
    return [peer.name for peer in PEERS if peer.name in names]


def table(head, rows):
    """Lines of a table; the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = []
    for row in [head, *rows]:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * len(lines[0]))
    return lines


def ratio_text(spread):
    if spread is None:
        return "-"
    return f"{spread.median:.2f} ({spread.low:.2f}-{spread.high:.2f})"


def number_text(value):
    """Three digits that matter."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread_text(spread):
    if spread is None:
        return "-"
    low, median, high = (number_text(v) for v in (spread.low, spread.median, spread.high))
    return f"{median} ({low}-{high})"


def _ratio_lines(entries):
    names = in_order({name for entry in entries for name in stats.peers_of(entry["rounds"])})
    head = ["CPU a request / bare epoll"] + [entry["title"] for entry in entries]
    rows = []
    for name in names:
        if name == BASE:
            spreads = [stats.echo_spread(entry, BASE) for entry in entries]
            row = [f"{s.median:,.0f} ns ({s.low:,.0f}-{s.high:,.0f})" if s else "-"
                   for s in spreads]
        else:
            row = [ratio_text(stats.echo_ratio(entry, name, BASE)) for entry in entries]
        rows.append([name, *row])
    return table(head, rows)


def _rate_lines(entries):
    names = in_order({name for entry in entries for name in stats.peers_of(entry["rounds"])})
    head = ["thousand a s; p50, p99, p99.9 us"] + [entry["title"] for entry in entries]
    rows = []
    for name in names:
        row = []
        for entry in entries:
            rate = stats.echo_spread(entry, name, lambda w: w["requests"] / w["seconds"] / 1e3)
            tails = [stats.echo_spread(entry, name, lambda w, k=k: w[k] / 1e3)
                     for k in ("p50_ns", "p99_ns", "p999_ns")]
            row.append(f"{number_text(rate.median)}; " + ", ".join(
                number_text(t.median) for t in tails) if rate else "-")
        rows.append([name, *row])
    return table(head, rows)


def _echo(data):
    by_key = {entry["point"]: entry for entry in data.get("echo", [])}
    for title, names, setup in GROUPS:
        entries = [by_key[f"{name}@{setup}"] for name in names if f"{name}@{setup}" in by_key]
        if entries:
            yield [title, ""] + _ratio_lines(entries)
            if setup == "two":
                yield [title + ": throughput and latency", ""] + _rate_lines(entries)


def _micro(data):
    by_name = {entry["name"]: entry["rounds"] for entry in data.get("micro", [])}
    for name, title, metrics in MICRO_TABLES:
        rounds = by_name.get(name)
        if not rounds:
            continue
        rows = []
        for peer in in_order(stats.peers_of(rounds)):
            spreads = [stats.value_spread(rounds, peer, metric) for metric, _ in metrics]
            if any(spreads):
                rows.append([peer] + [spread_text(s) for s in spreads])
        yield [title, ""] + table([""] + [label for _, label in metrics], rows)


def _counts(data):
    counted = data.get("counts", [])
    names = list(dict.fromkeys(count["point"] for count in counted))
    by_both = {(count["peer"], count["point"]): count for count in counted}
    for title, value in (
            ("System calls a request", lambda c: f"{sum(c['system_calls'].values()):.2f}"),
            ("epoll_ctl a request", lambda c: f"{c['system_calls'].get('epoll_ctl', 0):.3f}"),
            ("Allocations a request", lambda c: f"{c['allocations']:.3f}")):
        rows = []
        for peer in in_order({count["peer"] for count in counted}):
            found = [by_both.get((peer, name)) for name in names]
            rows.append([peer] + [value(c) if c else "-" for c in found])
        if rows:
            yield [title, ""] + table([""] + [name.split("@")[0] for name in names], rows)


def _memory(data):
    rounds = data.get("memory", [])
    rows = []
    for peer in in_order(stats.peers_of(rounds)):
        each = stats.value_spread(rounds, peer, "bytes_each")
        fixed = stats.value_spread(rounds, peer, "fixed_kb")
        rows.append([peer, spread_text(each), spread_text(fixed)])
    if rows:
        yield ["Memory of the server's process", ""] + table(
            ["", "bytes an idle connection", "KiB without any"], rows)


def _check_text(check):
    word = {None: "not measured", True: "met", False: "NOT MET"}[check.met]
    value = ratio_text(check.value) if isinstance(check.value, stats.Spread) \
        else "-" if check.value is None else f"{check.value:.2f}"
    return [check.text, value, (">= " if check.at_least else "<= ") + f"{check.limit:g}", word]


def _targets(data):
    for title, checks in targets.check(data):
        rows = [_check_text(check) for check in checks if check.met is not None]
        if rows:
            yield [f"Goals: {title}", ""] + table(["", "here", "goal", ""], rows)


def _failures(data):
    if data.get("failures"):
        yield ["FAILED, and left out from then on", ""] + table(
            ["work", "peer", "why"], [[f["work"], f["peer"], f["why"]] for f in data["failures"]])


def text(data):
    """The whole report."""
    blocks = []
    for part in (_echo, _counts, _memory, _micro, _targets, _failures):
        blocks += ["\n".join(lines) for lines in part(data)]
    others = [w["others"] for entry in data.get("echo", []) for r in entry["rounds"]
              for w in r.values()]
    if others:
        blocks.append(f"Other work on the processors of the windows: median "
                      f"{sorted(others)[len(others) // 2]:.2f} processors, largest "
                      f"{max(others):.2f}. Above 0.1, trust none of it.")
    return "\n\n".join(blocks) + "\n"
