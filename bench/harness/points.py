"""What is measured: the echo points with their set-ups, and the names of the other kinds of work."""
import fnmatch
from dataclasses import dataclass

SAME, TWO = "same", "two"  # generator and server on one core, or a core each


@dataclass(frozen=True)
class Point:
    transport: str  # tcp, unix
    setup: str
    conns: int
    depth: int = 1
    size: int = 64
    idle: int = 0
    churn: bool = False

    @property
    def name(self):
        if self.churn:
            return f"{self.transport}-churn"
        size = self.size if self.size < 1024 else f"{self.size // 1024}k"
        name = f"{self.transport}-{size}-x{self.conns}"
        name += f"-d{self.depth}" if self.depth > 1 else ""
        return name + (f"-idle{self.idle}" if self.idle else "")

    @property
    def key(self):
        return f"{self.name}@{self.setup}"

    @property
    def title(self):
        """For a plot: short, in words."""
        if self.churn:
            return "churn"
        text = f"{self.size} B" if self.size < 1024 else f"{self.size // 1024} KiB"
        text += f" x {self.conns:,}"
        text += f", depth {self.depth}" if self.depth > 1 else ""
        return text + (f" + {self.idle:,} idle" if self.idle else "")


def _points(setup):
    tcp = [Point("tcp", setup, conns, depth) for depth in (1, 16)
           for conns in (1, 16, 128, 1000, 8000)]
    tcp += [Point("tcp", setup, 128, size=4096), Point("tcp", setup, 16, size=65536),
            Point("tcp", setup, 16, idle=8000), Point("tcp", setup, 16, churn=True)]
    unix = [Point("unix", setup, conns, depth) for depth in (1, 16) for conns in (1, 16, 128)]
    return tcp + unix


ECHO = tuple(_points(SAME) + _points(TWO))

# System calls and allocations are counted at these; a count needs no rounds and no second core.
COUNTED = tuple(Point("tcp", SAME, conns, depth) for conns, depth in
                ((1, 1), (16, 1), (128, 1), (128, 16))) + (
    Point("tcp", SAME, 128, size=4096), Point("tcp", SAME, 16, size=65536),
    Point("tcp", SAME, 16, churn=True), Point("unix", SAME, 128))

# Name of the work -> command lines of a micro benchmark program.
MICRO = {
    "timers": (("timers", "1000"), ("timers", "100000"), ("timers", "1000000")),
    "turns": (("turns",),),
    "startup": (("startup",),),
    "wake": (("wake",), ("wake", "--same")),
    "pending": (("pending",),),
    "flood": (("flood", "1"), ("flood", "8")),
}
# The timers are the same on every backend: one completion backend and one other will do.
MICRO_WITHOUT = {("timers", "gyre-poll")}

IDLE_CONNS = 8000  # for memory per idle connection


def names():
    """Everything that --only may name."""
    return [point.key for point in ECHO] + ["counts", "memory"] + list(MICRO)


def wanted(only, name, *more):
    """Whether one of the patterns names this work (all do when there is none)."""
    return not only or any(fnmatch.fnmatch(n, pattern) for pattern in only for n in (name, *more))
