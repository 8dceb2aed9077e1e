"""A few kinds of plots as SVG text. Knows nothing of benchmarks: rows, marks, axes.

Colours are CSS classes (gyre, bare, other; see page.py), so that one page fits light and dark.
"""
import html
import math
from dataclasses import dataclass, field

ROW = 19
HEAD = 40
FOOT = 24
CHAR = 6.6  # width of a character of the labels


@dataclass
class Mark:
    """One value with its quartiles; a panel has at most one for each row."""
    row: str
    family: str
    value: float
    low: float
    high: float
    label: str


@dataclass
class Panel:
    title: str
    marks: list = field(default_factory=list)
    note: str = ""


def _text(x, y, words, css="", anchor="start"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" class="{css}" text-anchor="{anchor}">'
            f'{html.escape(words)}</text>')


def _line(x1, y1, x2, y2, css):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'


def _document(width, height, title, parts):
    return (f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
            f'style="max-width:{width:.0f}px" aria-label="{html.escape(title)}">'
            + "".join(parts) + "</svg>")


TICK_STEPS = tuple(step * 10 ** power for power in range(-3, 10) for step in (1, 2, 5))
TICK_STEPS_FINE = (.8, .9, 1, 1.25, 1.5, 2, 3, 5, 8)


def _ticks(axis, gap, steps):
    """Those of `steps` on the axis that stand at least `gap` apart; 1 goes before others."""
    chosen = []
    for step in sorted(steps, key=lambda step: step != 1):
        if axis.low <= step <= axis.high and all(
                abs(axis(step) - axis(other)) >= gap for other in chosen):
            chosen.append(step)
    return chosen


class _LogAxis:
    def __init__(self, low, high, x, width):
        self.low, self.high = low, high
        self._x, self._width = x, width

    def __call__(self, value):
        value = min(max(value, self.low), self.high)
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self._x + share * self._width


def _dot_row(mark, axis, y, label_x):
    parts = [_line(axis(mark.low), y, axis(mark.high), y, f"whisker {mark.family}"),
             f'<circle cx="{axis(mark.value):.1f}" cy="{y:.1f}" r="4" class="{mark.family}">'
             f"<title>{html.escape(mark.row)}: {html.escape(mark.label)}</title></circle>",
             _text(label_x, y + 4, mark.label, f"value {mark.family}", "end")]
    return "".join(parts)


def dots(title, rows, panels, low, high, one=1.0, panel_width=190):
    """Panels side by side over common rows (name, family); x is a log scale from low to high."""
    names = [name for name, _ in rows]
    left = max(len(name) for name in names) * CHAR + 14
    height = HEAD + ROW * len(rows) + FOOT
    value_width = 52
    parts = []
    for i, (name, family) in enumerate(rows):
        y = HEAD + ROW * i + ROW / 2
        parts.append(_text(left - 10, y + 4, name, f"name {family}", "end"))
    for number, panel in enumerate(panels):
        x = left + number * panel_width
        axis = _LogAxis(low, high, x + 4, panel_width - value_width - 16)
        parts.append(_text(x + 4, 14, panel.title, "title"))
        parts.append(_text(x + 4, 28, panel.note, "note"))
        for tick in _ticks(axis, 24, TICK_STEPS_FINE):
            parts.append(_line(axis(tick), HEAD - 4, axis(tick), height - FOOT, "grid"))
            parts.append(_text(axis(tick), height - 8, f"{tick:g}", "tick", "middle"))
        parts.append(_line(axis(one), HEAD - 4, axis(one), height - FOOT, "one"))
        for mark in panel.marks:
            y = HEAD + ROW * names.index(mark.row) + ROW / 2
            parts.append(_dot_row(mark, axis, y, x + panel_width - 10))
    return _document(left + panel_width * len(panels), height, title, parts)


def bars(title, rows, panels, panel_width=190):
    """Panels of horizontal bars over common rows, each on a linear scale of its own from 0."""
    names = [name for name, _ in rows]
    left = max(len(name) for name in names) * CHAR + 14
    height = HEAD + ROW * len(rows) + 6
    value_width = 58
    parts = []
    for i, (name, family) in enumerate(rows):
        parts.append(_text(left - 10, HEAD + ROW * i + ROW / 2 + 4, name, f"name {family}", "end"))
    for number, panel in enumerate(panels):
        x = left + number * panel_width
        room = panel_width - value_width - 14
        most = max((mark.value for mark in panel.marks), default=0) or 1
        parts.append(_text(x, 14, panel.title, "title"))
        parts.append(_text(x, 28, panel.note, "note"))
        parts.append(_line(x, HEAD - 4, x, height, "grid"))
        for mark in panel.marks:
            y = HEAD + ROW * names.index(mark.row)
            width = max(room * mark.value / most, .8)
            parts.append(f'<rect x="{x:.1f}" y="{y + 4}" width="{width:.1f}" height="{ROW - 8}" '
                         f'class="{mark.family}"/>')
            parts.append(_text(x + width + 5, y + ROW / 2 + 4, mark.label, f"value {mark.family}"))
    return _document(left + panel_width * len(panels), height, title, parts)


def lines(title, panels, x_names, panel_width=230, height=230):
    """Panels of lines over a few named places; panel.marks: (name, family, [value or None])."""
    parts = []
    top, bottom, left = HEAD, height - 24, 44
    for number, panel in enumerate(panels):
        x = number * panel_width
        values = [v for _, _, series in panel.marks for v in series if v]
        low, high = min(values) / 1.4, max(values) * 1.4
        axis = _LogAxis(low, high, 0, bottom - top)
        places = [x + left + 14 + i * (panel_width - left - 84) / (len(x_names) - 1)
                  for i in range(len(x_names))]
        parts.append(_text(x + left, 14, panel.title, "title"))
        parts.append(_text(x + left, 28, panel.note, "note"))
        for tick in _ticks(axis, 16, TICK_STEPS):
            y = bottom - axis(tick)
            parts.append(_line(x + left, y, places[-1] + 8, y, "grid"))
            parts.append(_text(x + left - 6, y + 4, f"{tick:g}", "tick", "end"))
        for place, name in zip(places, x_names):
            parts.append(_text(place, height - 8, name, "tick", "middle"))
        parts += _curves(panel, places, lambda v, a=axis: bottom - a(v))
    return _document(panel_width * len(panels), height, title, parts)


def _curves(panel, places, y_of):
    parts = []
    taken = []
    for name, family, series in panel.marks:
        points = [(x, y_of(v)) for x, v in zip(places, series) if v]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" class="curve {family}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="{family}"/>' for x, y in points]
        x, y = points[-1]
        while any(abs(y - other) < 11 for other in taken):
            y += 3
        taken.append(y)
        parts.append(_text(x + 8, y + 4, name, f"name {family}"))
    return parts
