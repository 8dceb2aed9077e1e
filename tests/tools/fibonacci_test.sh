#!/bin/sh
# The Fibonacci example: all four ways give the same number; in the callback it freezes the others, in the other ways
# they are answered meanwhile; the load generator measures.
set -eu
build=${GYRE_BUILD_DIR:?}
[ -x "$build/examples/fibonacci" ] || exit 77 # built without HTTP
exec python3 - "$build/examples" <<'PYTHON'
import http.client
import os
import subprocess
import sys
import threading

SLOW = int(os.environ.get("GYRE_SLOW", "1"))
examples = sys.argv[1]
N = 32 if SLOW > 1 else 36


def get(port, target):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    client.request("GET", target)
    response = client.getresponse()
    return response.status, response.read()


def others(port, way):
    """How many short answers came while the number was computed."""
    numbers = []
    asked = threading.Thread(target=lambda: numbers.append(get(port, f"/fib?n={N}&way={way}")))
    asked.start()
    count = 0
    while asked.is_alive():
        assert get(port, "/") == (200, b"hello\n")
        count += 1
    asked.join()
    assert numbers == [(200, b"14930352\n" if N == 36 else b"2178309\n")], numbers
    return count


with subprocess.Popen([examples + "/fibonacci"], stdout=subprocess.PIPE, text=True) as server:
    try:
        port = int(server.stdout.readline())
        counts = {way: others(port, way) for way in ("callback", "pool", "slices", "loop")}
        print(counts)
        assert get(port, "/fib?n=99&way=pool")[0] == 404
        assert get(port, "/fib?n=9&way=none")[0] == 503
        words = subprocess.run([examples + "/fibonacci_load", str(port), "20", "1", "500",
                                "/fib?n=20&way=pool"], check=True, capture_output=True, text=True,
                               timeout=60).stdout.split()
        assert float(words[0]) == 500 and int(words[4]) > 0, words
    finally:
        server.terminate()
        assert server.wait(60) == 0, server.returncode
PYTHON
