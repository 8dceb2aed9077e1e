"""Who is measured: each peer is a server program, a micro benchmark program, and an environment.

A peer whose program was not built (its library is not installed) is left out by the caller.
"""
from dataclasses import dataclass, field

# glibc gives the top of the heap back after each 64 KiB free; this is the documented way to stop it.
NO_TRIM = {"MALLOC_TRIM_THRESHOLD_": "1073741824", "MALLOC_TOP_PAD_": "1048576"}


@dataclass(frozen=True)
class Peer:
    name: str
    server: str = ""  # program in the build's bench/bin, "": none
    micro: str = ""
    env: dict = field(default_factory=dict, hash=False)
    family: str = "other"  # gyre, bare, other: how a plot colours it
    about: str = ""
    conns_max: int = 1 << 30  # more connections are beside the point for it


def _gyre(backend, **more):
    env = {"GYRE_BACKEND": backend, "GYRE_BACKEND_STRICT": "1"}
    return Peer(f"gyre-{backend}", "echo_gyre", "micro_gyre", env, "gyre",
                f"gyre, the README's echo server, on {backend}", **more)


PEERS = (
    _gyre("epoll"),
    _gyre("uring"),
    _gyre("poll", conns_max=128),
    Peer("gyre-fresh", "", "micro_gyre_fresh",
         {"GYRE_BACKEND": "epoll", "GYRE_BACKEND_STRICT": "1"}, "gyre",
         "gyre on epoll; timers by gyre_timer_start, which reads the clock each time"),
    Peer("epoll", "echo_epoll", "micro_bare", {}, "bare",
         "bare epoll, level-triggered, one static buffer: the base of the ratios"),
    Peer("epoll-here", "echo_epoll_here", "", {}, "bare",
         "the same, and no function returns across recv, send and epoll_wait"),
    Peer("uring-inline", "echo_uring_inline", "", {}, "bare",
         "bare io_uring: multishot receive into an incremental buffer ring, send(2) at once"),
    Peer("uring-here", "echo_uring_here", "", {}, "bare",
         "the same, and no function returns across a send"),
    Peer("uring-send", "echo_uring_send", "", {}, "bare",
         "bare io_uring, the textbook: 256 x 4 KiB buffer ring, sends by the ring"),
    Peer("uring-poll", "echo_uring_poll", "", {}, "bare",
         "bare io_uring: multishot poll, recv(2), send(2)"),
    Peer("uv-documented", "echo_uv_documented", "", {}, "other",
         "libuv as documented: malloc in alloc_cb, uv_write"),
    Peer("uv-documented-notrim", "echo_uv_documented", "", NO_TRIM, "other",
         "the same, glibc's heap trimming off"),
    Peer("uv-tuned", "echo_uv_tuned", "", {}, "other",
         "libuv tuned: uv_try_write, one static buffer"),
    Peer("libuv", "", "micro_uv", {}, "other", "libuv: uv_timer_t, uv_idle_t, uv_async_t"),
    Peer("libev", "echo_libev", "micro_ev", {}, "other", "libev, ev_io"),
    Peer("libevent", "echo_libevent", "micro_event", {}, "other", "libevent, raw events"),
    Peer("bufferevent", "echo_bufferevent", "", {}, "other", "libevent's bufferevent"),
    Peer("asio", "echo_asio", "", {}, "other", "asio, stand-alone, 64 KiB a session"),
)

BASE = "epoll"
BY_NAME = {peer.name: peer for peer in PEERS}
