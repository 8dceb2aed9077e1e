"""The results as one page with plots: no script, no file beside it."""
import html

from . import report, stats, svg, targets
from .peers import BASE, BY_NAME

CSS = """
:root { --ink: #1f2328; --dim: #6b7280; --grid: #e5e7eb; --ground: #fff; --gyre: #0f766e;
  --bare: #9a6700; --other: #6b7280; --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --dim: #9aa2ad; --grid: #2d333b;
  --ground: #15181c; --gyre: #2dd4bf; --bare: #e3b341; --other: #9aa2ad; --bad: #ff8a7a; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  margin: 2rem auto; max-width: 1180px; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
p, li { max-width: 46rem; } .dim { color: var(--dim); }
svg { display: block; width: 100%; height: auto; margin: .6rem 0 1.2rem; }
svg text { font: 11px system-ui, sans-serif; fill: var(--dim); }
svg .title { font-weight: 600; fill: var(--ink); } svg .value { font-size: 10.5px; }
svg text.gyre { fill: var(--gyre); font-weight: 600; } svg text.bare { fill: var(--bare); }
svg circle.gyre, svg rect.gyre { fill: var(--gyre); }
svg circle.bare, svg rect.bare { fill: var(--bare); }
svg circle.other, svg rect.other { fill: var(--other); }
svg .grid { stroke: var(--grid); } svg .one { stroke: var(--bare); stroke-dasharray: 3 2; }
svg .whisker { stroke-width: 2; opacity: .6; } svg .curve { fill: none; stroke-width: 1.5; }
svg .gyre { stroke: var(--gyre); } svg .bare { stroke: var(--bare); }
svg .other { stroke: var(--other); } svg text, svg circle, svg rect { stroke: none !important; }
table { border-collapse: collapse; font-size: 13px; } td, th { padding: .15rem .8rem .15rem 0;
  text-align: left; border-bottom: 1px solid var(--grid); } td.number { text-align: right;
  font-variant-numeric: tabular-nums; } .missed { color: var(--bad); font-weight: 600; }
pre { font-size: 11.5px; overflow-x: auto; line-height: 1.35; }
"""


def _family(name):
    return BY_NAME[name].family if name in BY_NAME else "other"


def _rows(names):
    return [(name, _family(name)) for name in report.in_order(names)]


def _mark(name, spread, label):
    return svg.Mark(name, _family(name), spread.median, spread.low, spread.high, label)


def _ratio_plot(title, entries):
    panels = []
    names = set()
    for entry in entries:
        base = stats.echo_spread(entry, BASE)
        panel = svg.Panel(entry["title"], note=f"bare epoll: {base.median:,.0f} ns" if base else "")
        for name in stats.peers_of(entry["rounds"]):
            ratio = stats.echo_ratio(entry, name, BASE)
            if ratio is not None and name != BASE:
                panel.marks.append(_mark(name, ratio, f"{ratio.median:.2f}"))
                names.add(name)
        panels.append(panel)
    if not names:
        return ""
    values = [mark.value for panel in panels for mark in panel.marks]
    return svg.dots(title, _rows(names), panels, min(.85, min(values) / 1.03),
                    max(1.5, min(max(values) * 1.05, 8)))


def _latency_plot(title, entries):
    def panel_of(entry, key, words):
        panel = svg.Panel(entry["title"], note=words)
        for name in stats.peers_of(entry["rounds"]):
            spread = stats.echo_spread(entry, name, key)
            if spread is not None:
                panel.marks.append(_mark(name, spread, report.number_text(spread.median)))
        return panel

    names = {name for entry in entries for name in stats.peers_of(entry["rounds"])}
    rates = [panel_of(entry, lambda w: w["requests"] / w["seconds"] / 1e3, "thousand a second")
             for entry in entries]
    tails = [panel_of(entry, lambda w: w["p99_ns"] / 1e3, "p99, us") for entry in entries]
    return svg.bars(title, _rows(names), rates) + svg.bars(title, _rows(names), tails)


def _echo(data):
    by_key = {entry["point"]: entry for entry in data.get("echo", [])}
    for title, names, setup in report.GROUPS:
        entries = [by_key[f"{name}@{setup}"] for name in names if f"{name}@{setup}" in by_key]
        if entries:
            yield f"<h2>{title}</h2><p class=dim>Processor time a request over bare epoll's of " \
                  "the same round; median and quartiles.</p>"
            yield _ratio_plot(title, entries)
            if setup == "two":
                yield _latency_plot(title, entries)


def _timers(rounds):
    counts = (1000, 100000, 1000000)
    names = report.in_order(stats.peers_of(rounds))
    panels = []
    for what in ("insert", "rearm", "cancel", "expire"):
        panel = svg.Panel(what, note="ns an operation")
        for name in names:
            spreads = [stats.value_spread(rounds, name, f"timer_{what}_{n}") for n in counts]
            if all(spreads):
                panel.marks.append((name, _family(name), [s.median for s in spreads]))
        if panel.marks:
            panels.append(panel)
    return svg.lines("timers", panels, ("1,000", "100,000", "1,000,000"), 285) if panels else ""


def _micro(data):
    for entry in data.get("micro", []):
        rounds = entry["rounds"]
        title, metrics = next((t, m) for name, t, m in report.MICRO_TABLES
                              if name == entry["name"])
        if entry["name"] == "timers":
            yield "<h2>Timers, ns an operation</h2>"
            yield _timers(rounds)
            continue
        yield f"<h2>{title}</h2>"
        panels = []
        for metric, label in metrics:
            panel = svg.Panel(label, note="ns")
            for name in stats.peers_of(rounds):
                spread = stats.value_spread(rounds, name, metric)
                if spread is not None:
                    panel.marks.append(_mark(name, spread, report.number_text(spread.median)))
            panels.append(panel)
        names = {mark.row for panel in panels for mark in panel.marks}
        if names:
            yield svg.bars(title, _rows(names), panels)


def _counted_panel(counted, point, note, value):
    panel = svg.Panel(point.split("@")[0], note=note)
    for count in counted:
        if count["point"] == point:
            number = value(count)
            panel.marks.append(svg.Mark(count["peer"], _family(count["peer"]), number, number,
                                        number, f"{number:.2f}"))
    return panel


def _counts(data):
    counted = data.get("counts", [])
    keys = list(dict.fromkeys(count["point"] for count in counted))
    names = {count["peer"] for count in counted}
    for title, value in (("System calls a request", lambda c: sum(c["system_calls"].values())),
                         ("Allocations a request", lambda c: c["allocations"])):
        for part in (keys[:4], keys[4:]):
            if part:
                yield f"<h2>{title}</h2>" if part == keys[:4] else ""
                yield svg.bars(title, _rows(names),
                               [_counted_panel(counted, key, "", value) for key in part], 230)


def _memory(data):
    rounds = data.get("memory", [])
    panel = svg.Panel("bytes an idle connection", note="its handle included")
    fixed = svg.Panel("KiB without any", note="")
    for name in stats.peers_of(rounds):
        each = stats.value_spread(rounds, name, "bytes_each")
        alone = stats.value_spread(rounds, name, "fixed_kb")
        panel.marks.append(_mark(name, each, f"{each.median:,.0f}"))
        fixed.marks.append(_mark(name, alone, f"{alone.median:,.0f}"))
    if panel.marks:
        yield "<h2>Memory of the server's process</h2>"
        yield svg.bars("memory", _rows(stats.peers_of(rounds)), [panel, fixed], 330)


def _goals(data):
    for title, checks in targets.check(data):
        rows = []
        for check in checks:
            if check.met is None:
                continue
            value = report.ratio_text(check.value) if isinstance(check.value, stats.Spread) \
                else f"{check.value:.2f}"
            sign = "&ge;" if check.at_least else "&le;"
            css, word = ("", "met") if check.met else ("missed", "not met")
            rows.append(f"<tr><td>{html.escape(check.text)}<td class=number>{value}"
                        f"<td class=number>{sign} {check.limit:g}<td class='{css}'>{word}")
        if rows:
            yield f"<h2>Goals: {title}</h2><table><tr><th>figure<th>here<th>goal<th>" \
                  + "".join(rows) + "</table>"


def _machine(data):
    machine = data["machine"]
    facts = {"kernel": machine["kernel"], **machine["processor"],
             "memory": f"{machine['memory_gib']} GiB", "compiler": machine["compiler"],
             "TCP": machine["tcp_congestion_control"],
             "mitigations": "; ".join(f"{k}: {v}" for k, v in machine["mitigations"].items())
             or "none needed",
             "libraries": ", ".join(f"{k} {v}" for k, v in machine["packages"].items())}
    rows = "".join(f"<tr><th>{html.escape(str(name))}<td>{html.escape(str(value))}"
                   for name, value in facts.items())
    return f"<h2>The machine</h2><table>{rows}</table>"


def _sittings(data):
    rows = "".join(
        f"<tr><td>{html.escape(s['began'])}"
        f"<td>{html.escape(s['commit'])}{' with changes' if s['changed'] else ''}"
        f"<td>{s['rounds']} of {s['window_ms']} ms, seed {s['seed']}"
        f"<td>{html.escape(', '.join(s['load_average']))}"
        f"<td>{html.escape(', '.join(s['work']))}" for s in data["sittings"])
    return ("<h2>The sittings</h2><table><tr><th>begun<th>gyre<th>rounds<th>load then<th>work"
            f"{rows}</table>")


def html_parts(data):
    yield "<h1>Gyre: benchmarks</h1>"
    yield ("<p>Same work, same generator, same sitting. The figure is the server's <b>processor "
           "time a request</b> (from the scheduler's own account), as a ratio to a bare epoll "
           "server that ran within the same round. Lower is better; the dashed line is bare "
           "epoll. <b>Same core</b> ratios are the ones to trust; two cores are for throughput "
           "and latency. <code>bench/README.md</code> says what not to conclude.</p>")
    for part in (_echo, _counts, _memory, _micro, _goals):
        yield from part(data)
    yield _machine(data)
    yield _sittings(data)
    yield f"<h2>As text</h2><pre>{html.escape(report.text(data))}</pre>"


def html_page(data):
    """The whole page."""
    return ("<!doctype html><html lang=en><meta charset=utf-8>"
            "<meta name=viewport content='width=device-width, initial-scale=1'>"
            f"<title>Gyre: benchmarks</title><style>{CSS}</style>" + "\n".join(html_parts(data)))
