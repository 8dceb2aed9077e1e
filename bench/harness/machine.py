"""A description of the machine and of what was measured, for the report."""
import os
import platform
import shutil
import subprocess

PACKAGES = ("libuv1", "libuv1-dev", "libev4", "libevent-2.1-7", "libasio-dev", "liburing-dev",
            "libc6", "gcc")


def _read(path):
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _command(*arguments, cwd=None):
    if shutil.which(arguments[0]) is None:
        return ""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=cwd)
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor():
    fields = {}
    for line in _command("lscpu").splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    return {name: fields[name] for name in (
        "Model name", "CPU family", "CPU(s)", "Hypervisor vendor", "L1d cache", "L2 cache",
        "L3 cache") if name in fields}


def _mitigations():
    folder = "/sys/devices/system/cpu/vulnerabilities"
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    texts = {name: _read(os.path.join(folder, name)) for name in names}
    return {name: text for name, text in texts.items() if text != "Not affected"}


def _packages():
    if shutil.which("dpkg-query") is None:
        return {}
    # fails if one is unknown, but prints the others
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\\n", *PACKAGES],
                          capture_output=True, text=True, check=False)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def describe(root):
    memory_kb = int((_read("/proc/meminfo").splitlines() or ["MemTotal: 0 kB"])[0].split()[1])
    return {
        "kernel": platform.release(),
        "processor": _processor(),
        "memory_gib": round(memory_kb / (1 << 20), 1),
        "mitigations": _mitigations(),
        "tcp_congestion_control": _read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "compiler": (_command("gcc", "--version").splitlines() or [""])[0],
        "packages": _packages(),
        "commit": _command("git", "rev-parse", "--short", "HEAD", cwd=root),
        "changed": bool(_command("git", "status", "--porcelain", "--", "src", "include", "bench",
                                 cwd=root)),
        "load_average": _read("/proc/loadavg").split()[:3],
    }
