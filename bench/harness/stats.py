"""Medians, quartiles, and ratios that are paired within a round."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    median: float
    low: float  # quartiles
    high: float
    count: int


def _at(values, share):
    """The quantile of sorted values, interpolated."""
    position = share * (len(values) - 1)
    below = int(position)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (position - below)


def spread(values):
    """None for no values."""
    ordered = sorted(values)
    if not ordered:
        return None
    return Spread(_at(ordered, .5), _at(ordered, .25), _at(ordered, .75), len(ordered))


def cpu_ns(window):
    return window["server_cpu_ns"] / window["requests"]


def echo_spread(entry, peer, value=cpu_ns):
    """The spread of `value(window)` over the rounds of one echo point."""
    return spread(value(r[peer]) for r in entry["rounds"] if peer in r)


def echo_ratio(entry, peer, base):
    """CPU a request of `peer` over that of `base`, paired within each round."""
    return spread(cpu_ns(r[peer]) / cpu_ns(r[base]) for r in entry["rounds"]
                  if peer in r and base in r)


def value_spread(rounds, peer, metric):
    return spread(r[peer][metric] for r in rounds if metric in r.get(peer, {}))


def value_ratio(rounds, peer, base, metric):
    return spread(r[peer][metric] / r[base][metric] for r in rounds
                  if metric in r.get(peer, {}) and r.get(base, {}).get(metric))


def peers_of(rounds):
    """Names that appear in any round."""
    return {name for r in rounds for name in r}
