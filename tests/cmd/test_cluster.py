#!/usr/bin/env python3
"""gyre serve --workers: reload, upgrade and scaling lose no request; deaths harm nobody else; ends in good order."""
import contextlib
import os
import shutil
import signal
import socket
import sys
import time
import unittest

import cmd_support
from cluster_support import BODY, KEEP, Cluster, Load, Site, children, descriptors, is_alive, processor_s, wait_until
from cmd_support import LIMIT_S, PROGRAM, SANITIZE, SLOW, run

KEEP_ALIVE = 50 // SLOW
RATE = 400 // SLOW
RELOADS = 20 // SLOW


class ClusterTest(unittest.TestCase):
    def setUp(self):
        self.site = Site()
        self.addCleanup(self.site.close)
        self.noisy = False

    def start(self, workers, *arguments, log=None, env=None):
        cluster = Cluster(
            "serve", self.site.root, "--port", "0", "--workers", str(workers), "--access-log", log or "off", *arguments,
            env=env,
        )
        self.addCleanup(self.end, cluster)
        self.assertEqual(len(cluster.workers()), workers)
        return cluster

    def end(self, cluster):
        workers = cluster.workers() if cluster.process.poll() is None else []
        if cluster.process.poll() is None:
            cluster.send(signal.SIGTERM)
        if not cluster.process.stdout.closed:
            errors = cluster.ended_with_errors()
            if not self.noisy:
                self.assertEqual(errors, "")
        cluster.stderr.close()
        for pid in workers:
            wait_until(lambda pid=pid: not is_alive(pid), "the end of a worker")

    def load(self, cluster, keep=KEEP_ALIVE, rate=RATE):
        load = Load((cluster.host, cluster.port), keep, rate)
        self.addCleanup(load.stop)
        return load

    def check(self, load, least=1):
        answers = load.stop()
        self.assertEqual(dict(load.errors), {})
        self.assertGreaterEqual(answers, least)
        return answers

    def ask(self, cluster):
        with socket.create_connection((cluster.host, cluster.port), LIMIT_S) as client:
            client.sendall(KEEP)
            got = b""
            while not got.endswith(BODY):
                piece = client.recv(4096)
                self.assertTrue(piece, "closed before the answer")
                got += piece
            return got


class Reload(ClusterTest):
    def test_no_request_is_lost_and_each_is_logged_once(self):
        cluster = self.start(2, log=self.site.log)
        load = self.load(cluster)
        for _ in range(RELOADS):
            cluster.reload(2)
        answers = self.check(load, RELOADS)
        self.assertGreater(load.announced, 0)
        self.end(cluster)
        self.assertEqual(self.site.logged(), answers)

    def test_more_and_fewer_workers(self):
        cluster = self.start(4, log=self.site.log)
        load = self.load(cluster)
        for signum, count in [(signal.SIGTTOU, 3), (signal.SIGTTOU, 2), (signal.SIGTTOU, 1), (signal.SIGTTIN, 2),
                              (signal.SIGTTIN, 3), (signal.SIGTTIN, 4)]:
            cluster.reload(count, signum)
            self.ask(cluster)
        answers = self.check(load)
        self.end(cluster)
        self.assertEqual(self.site.logged(), answers + 6)

    def test_the_last_worker_stays(self):
        cluster = self.start(1)
        before = cluster.workers()
        cluster.send(signal.SIGTTOU)
        self.ask(cluster)
        self.assertEqual(cluster.workers(), before)

    def test_many_signals_at_once(self):
        cluster = self.start(2)
        first = cluster.workers()
        for _ in range(50):
            cluster.send(signal.SIGHUP)
            time.sleep(0.02)
        # The last generation is told by its lasting: between two, too, there may be two workers.
        seen = [0.0, None]

        def lasts():
            now = cluster.workers()
            if now != seen[1]:
                seen[:] = [time.monotonic(), now]
            return len(now) == 2 and not set(now) & set(first) and time.monotonic() - seen[0] > 0.5 * SLOW

        wait_until(lasts, "two workers that stay", 4 * LIMIT_S)
        self.ask(cluster)

    def test_an_idle_client_keeps_its_connection_for_one_request_more(self):
        cluster = self.start(1)
        with socket.create_connection((cluster.host, cluster.port), LIMIT_S) as client:
            for announced in (False, True):
                client.sendall(KEEP)
                got = b""
                while not got.endswith(BODY):
                    piece = client.recv(4096)
                    self.assertTrue(piece)
                    got += piece
                self.assertEqual(b"Connection: close" in got, announced)
                if not announced:
                    old = cluster.workers()
                    cluster.send(signal.SIGHUP)
                    wait_until(lambda: len(cluster.workers()) == 2, "two generations")
                    # The new one has to be ready before the old one hears of it.
                    with socket.create_connection((cluster.host, cluster.port), LIMIT_S) as other:
                        other.sendall(KEEP)
                        self.assertTrue(other.recv(4096))
                    time.sleep(0.5 * SLOW)
            self.assertEqual(client.recv(100), b"")
            cluster.wait_for_workers(1, old)

    def test_an_idle_client_is_told_by_fin_when_the_time_is_over(self):
        cluster = self.start(1, "--retire", "1")
        with socket.create_connection((cluster.host, cluster.port), LIMIT_S) as client:
            client.sendall(KEEP)
            client.recv(4096)
            old = cluster.workers()
            cluster.send(signal.SIGHUP)
            self.assertEqual(client.recv(100), b"")
            client.sendall(KEEP)  # it crosses the FIN, and must not be answered by a reset
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(client.recv(100), b"")
        cluster.wait_for_workers(1, old)

    def test_a_slow_download_completes(self):
        size = (8 << 20) // SLOW
        with open(os.path.join(self.site.root, "big"), "wb") as file:
            file.truncate(size)
        cluster = self.start(1)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            client.settimeout(LIMIT_S)
            client.connect((cluster.host, cluster.port))
            client.sendall(KEEP.replace(b"/x", b"/big"))
            got = len(client.recv(1000))
            old = cluster.workers()
            cluster.send(signal.SIGHUP)
            wait_until(lambda: len(cluster.workers()) == 2, "two generations")
            self.ask(cluster)
            while got < size:
                piece = client.recv(1 << 16)
                self.assertTrue(piece, "the download was cut")
                got += len(piece)
        cluster.wait_for_workers(1, old)

    def test_a_new_generation_that_cannot_start_leaves_the_old_one(self):
        self.noisy = True
        cluster = self.start(2)
        before = cluster.workers()
        fds = descriptors(cluster.pid)
        os.rename(self.site.root, self.site.root + "-away")
        for count in range(1, RELOADS + 1):
            cluster.send(signal.SIGHUP)
            wait_until(lambda n=count: cluster.errors().count("the reload failed") == n, "a failed reload")
        self.assertEqual(cluster.wait_for_workers(2), before)
        wait_until(lambda: descriptors(cluster.pid) == fds, f"{fds} descriptors, as before")
        os.rename(self.site.root + "-away", self.site.root)
        self.ask(cluster)
        cluster.reload(2)
        self.ask(cluster)


class Upgrade(ClusterTest):
    def setUp(self):
        super().setUp()
        self.program = self.site.path("program")
        shutil.copy(PROGRAM, self.program)
        self.log = self.site.log

    def start(self, workers, *arguments, log=None, env=None):
        before = cmd_support.PROGRAM
        cmd_support.PROGRAM = self.program
        try:
            return super().start(workers, *arguments, log=log, env=env)
        finally:
            cmd_support.PROGRAM = before

    def replace(self, content=None):
        fresh = self.program + ".new"
        if content is None:
            shutil.copy(PROGRAM, fresh)
        else:
            with open(fresh, "wb") as file:
                file.write(content)
            os.chmod(fresh, 0o755)
        os.rename(fresh, self.program)

    def inode(self, pid):
        return os.stat(f"/proc/{pid}/exe").st_ino

    def test_the_master_follows_and_no_request_is_lost(self):
        cluster = self.start(2, log=self.log)
        load = self.load(cluster)
        fds = descriptors(cluster.pid)
        for _ in range(max(2, RELOADS // 4)):
            self.replace()
            cluster.reload(2, signal.SIGUSR2)
            wait_until(lambda: self.inode(cluster.pid) == os.stat(self.program).st_ino, "the master's new program")
            for pid in cluster.workers():
                self.assertEqual(self.inode(pid), self.inode(cluster.pid))
            cluster.reload(2)
            wait_until(lambda: descriptors(cluster.pid) <= fds, f"{fds} descriptors, as before")
        answers = self.check(load)
        self.end(cluster)
        self.assertEqual(self.site.logged(), answers)

    def test_without_an_upgrade_the_old_program_goes_on(self):
        cluster = self.start(1)
        before = self.inode(cluster.pid)
        self.replace()
        cluster.reload(1)
        self.assertEqual(self.inode(cluster.workers()[0]), before)

    def test_a_broken_program_leaves_the_old_one(self):
        self.noisy = True
        cluster = self.start(2)
        before, fds = cluster.workers(), descriptors(cluster.pid)
        for count, content in enumerate([b"no program", b"#!/bin/sh\nexit 3\n", b"#!/bin/sh\nkill -ABRT $$\n"] * 3, 1):
            self.replace(content)
            cluster.send(signal.SIGUSR2)
            wait_until(lambda n=count: cluster.errors().count("the reload failed") == n, "a failed upgrade")
            self.ask(cluster)
        self.assertEqual(cluster.wait_for_workers(2), before)
        wait_until(lambda: descriptors(cluster.pid) == fds, f"{fds} descriptors, as before")
        self.assertIn("Exec format error", cluster.errors())
        self.replace()
        cluster.reload(2, signal.SIGUSR2)
        self.ask(cluster)

    def test_a_signal_to_a_master_that_hands_over_is_not_lost(self):
        cluster = self.start(1)
        # The kernel runs this instead of the next program, with SIGTERM blocked as the master has left it.
        self.replace(
            b'#!/bin/sh\n[ -z "$GYRE_MASTER" ] || kill -TERM $$\nexec "%s" "$@"\n' % os.fsencode(os.path.realpath(PROGRAM))
        )
        cluster.send(signal.SIGUSR2)
        self.assertEqual(cluster.ended_with_errors(), "")

    def test_an_end_at_any_moment_of_an_upgrade(self):
        self.noisy = True
        for step in range(8):
            cluster = self.start(1)
            old = cluster.workers()
            cluster.send(signal.SIGUSR2)
            wait_until(lambda c=cluster, o=old: c.workers() != o, "a new worker")
            time.sleep(step / 500)  # no waiting for anything: each step strikes at another moment
            cluster.send(signal.SIGTERM)
            cluster.ended_with_errors()


class Deaths(ClusterTest):
    def test_a_killed_worker_is_replaced_and_the_others_notice_nothing(self):
        self.noisy = True
        cluster = self.start(2)
        load = self.load(cluster, keep=KEEP_ALIVE, rate=0)
        time.sleep(0.6)  # who lived so long is replaced at once
        took = []
        for _ in range(5):
            victim = cluster.workers()[0]
            mine = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda v=victim: len(cluster.workers()) == 2 and v not in cluster.workers(), "a successor")
            took.append(time.monotonic() - mine)
            self.ask(cluster)
            time.sleep(0.7)
        load.stop()
        self.assertLess(sorted(took)[2], 0.2 * SLOW, "the median of five")
        # A connection of the victim breaks, once: it had at most one request in flight.
        self.assertLessEqual(sum(load.errors.values()), 5 * KEEP_ALIVE)
        self.assertEqual(cluster.errors().count("died of signal 9"), 5)

    def test_a_worker_that_keeps_dying_costs_little(self):
        self.noisy = True
        cluster = self.start(1)
        began, used = time.monotonic(), processor_s(cluster.pid)
        while time.monotonic() - began < 2:
            for pid in cluster.workers():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
        self.assertLess(cluster.errors().count("died of signal"), 12)
        if not SANITIZE:
            self.assertLess(processor_s(cluster.pid) - used, 0.1)
        wait_until(lambda: cluster.workers(), "a worker", 6 * LIMIT_S)
        self.ask(cluster)

    def test_without_its_master_a_worker_ends_and_the_port_is_free(self):
        cluster = self.start(2)
        workers = cluster.workers()
        began = time.monotonic()
        cluster.process.kill()
        cluster.process.wait()
        cluster.process.stdout.close()
        again = Cluster("serve", self.site.root, "--port", str(cluster.port), "--workers", "2", "--access-log", "off")
        self.addCleanup(self.end, again)
        self.ask(again)
        for pid in workers:
            wait_until(lambda pid=pid: not is_alive(pid), "the end of an orphan")
        self.assertLess(time.monotonic() - began, 1 * SLOW)

    def test_a_hung_worker_does_not_outlive_its_master(self):
        cluster = self.start(1)
        worker = cluster.workers()[0]
        os.kill(worker, signal.SIGSTOP)
        cluster.process.kill()
        cluster.process.wait()
        cluster.process.stdout.close()
        os.kill(worker, signal.SIGCONT)
        wait_until(lambda: not is_alive(worker), "the end of an orphan")


class Ends(ClusterTest):
    def test_a_request_in_flight_is_finished(self):
        with open(os.path.join(self.site.root, "big"), "wb") as file:
            file.truncate(8 << 20)
        cluster = self.start(2)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            client.settimeout(LIMIT_S)
            client.connect((cluster.host, cluster.port))
            client.sendall(KEEP.replace(b"/x", b"/big"))
            got = len(client.recv(1000))
            cluster.send(signal.SIGTERM)
            while piece := client.recv(1 << 16):
                got += len(piece)
            self.assertGreater(got, 8 << 20)

    def test_a_second_signal_ends_at_once(self):
        with open(os.path.join(self.site.root, "big"), "wb") as file:
            file.truncate(64 << 20)
        cluster = self.start(2, "--drain", "3600")
        with socket.create_connection((cluster.host, cluster.port), LIMIT_S) as client:
            client.sendall(KEEP.replace(b"/x", b"/big"))
            client.recv(1000)
            cluster.send(signal.SIGTERM)
            # The signals must be two: the first one was taken when the port is closed.
            wait_until(lambda: self.is_refused(cluster), "a closed port")
            cluster.send(signal.SIGINT)
            self.assertEqual(cluster.wait(), 0)

    def is_refused(self, cluster):
        with socket.socket() as client:
            return client.connect_ex((cluster.host, cluster.port)) != 0

    def test_what_cannot_start_says_so(self):
        code, out, errors = run("serve", self.site.path("nowhere"), "--port", "0", "--workers", "2")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("no such file", errors)
        cluster = self.start(1)
        code, out, errors = run("serve", self.site.root, "--port", str(cluster.port), "--workers", "1")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("in use", errors)

    def test_options_that_do_not_go_together(self):
        for arguments in (["--workers", "0"], ["--workers", "x"], ["--workers", "2", "--threads", "2"],
                          ["--pid-file", "x"], ["--retire", "5"], ["--workers", "1", "--retire", "0"]):
            with self.subTest(arguments):
                code, out, errors = run("serve", self.site.root, *arguments)
                self.assertEqual((code, out), (2, ""))
                self.assertEqual(errors.count("\n"), 1)


class Outside(ClusterTest):
    def test_pid_file(self):
        path = self.site.path("pid")
        cluster = self.start(1, "--pid-file", path)
        with open(path, encoding="ascii") as file:
            self.assertEqual(int(file.read()), cluster.pid)
        self.end(cluster)
        self.assertFalse(os.path.exists(path))

    def test_logs_are_opened_anew(self):
        cluster = self.start(2, log=self.site.log)
        self.ask(cluster)
        wait_until(lambda: self.site.logged() == 1, "a line")
        os.rename(self.site.log, self.site.log + ".1")
        cluster.send(signal.SIGUSR1)
        wait_until(lambda: os.path.exists(self.site.log), "a new file")
        time.sleep(0.1 * SLOW)  # each worker opens it
        for _ in range(10):
            self.ask(cluster)
        wait_until(lambda: self.site.logged() == 10, "lines in the new file")

    def test_connections_are_spread(self):
        count = 1000 // SLOW
        cluster = self.start(2)
        clients = []
        self.addCleanup(lambda: [client.close() for client in clients])
        for _ in range(count):
            clients.append(socket.create_connection((cluster.host, cluster.port), LIMIT_S))
        for client in clients:
            client.sendall(KEEP)
        for client in clients:
            self.assertTrue(client.recv(4096))
        sockets = []
        for pid in cluster.workers():
            links = []
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(FileNotFoundError):  # a file that was just sent is closed
                    links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
            sockets.append(sum(link.startswith("socket:") for link in links))
        self.assertGreaterEqual(min(sockets), 0.35 * count)
        self.assertGreaterEqual(sum(sockets), count)

    def test_systemd(self):
        path = self.site.path("notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, socket.create_server(("127.0.0.1", 0)) as given:
            notify.bind(path)
            notify.settimeout(LIMIT_S)
            code = (
                "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid());"
                "os.set_inheritable(3, True); os.execv(sys.argv[2], sys.argv[2:])"
            )
            env = {**os.environ, "NOTIFY_SOCKET": path, "LISTEN_FDS": "1", "WATCHDOG_USEC": "200000"}
            os.set_inheritable(given.fileno(), True)
            starter = self.site.path("starter")
            with open(starter, "w", encoding="ascii") as file:
                file.write(f"#!{sys.executable}\nimport sys\nsys.argv[1:1] = ['{given.fileno()}', '{PROGRAM}']\n{code}\n")
            os.chmod(starter, 0o755)
            before, popen = cmd_support.PROGRAM, cmd_support.subprocess.Popen
            cmd_support.PROGRAM = starter
            cmd_support.subprocess.Popen = lambda *a, **k: popen(*a, pass_fds=[given.fileno()], **k)
            try:
                cluster = Cluster("serve", self.site.root, "--workers", "2", "--access-log", "off", env=env)
            finally:
                cmd_support.PROGRAM, cmd_support.subprocess.Popen = before, popen
            self.addCleanup(self.end, cluster)
            self.assertEqual(cluster.port, given.getsockname()[1])
            self.assertEqual(notify.recv(100), b"READY=1")
            self.assertEqual(notify.recv(100), b"WATCHDOG=1")
            self.ask(cluster)
            cluster.reload(2)
            self.ask(cluster)
            told = [notify.recv(100).split(b"\n")[0]]
            while told[-1] != b"READY=1":
                told.append(notify.recv(100).split(b"\n")[0])
            self.assertIn(b"RELOADING=1", told)
            cluster.send(signal.SIGTERM)
            while told[-1] != b"STOPPING=1":
                told.append(notify.recv(100))

    @unittest.skipUnless(os.getuid() == 0, "only root has privileges to drop")
    def test_workers_become_another_user(self):
        os.chmod(self.site.temp.name, 0o755)
        cluster = self.start(1, "--user", "nobody")
        self.ask(cluster)
        with open(f"/proc/{cluster.workers()[0]}/status", encoding="ascii") as file:
            status = dict(line.split(":\t", 1) for line in file if ":\t" in line)
        for name in ("Uid", "Gid"):
            self.assertEqual(set(status[name].split()), {"65534"})
        self.assertNotIn("0", status["Groups"].split())
        cluster.reload(1)
        self.ask(cluster)

    def test_unknown_users(self):
        code, _, errors = run("serve", self.site.root, "--port", "0", "--workers", "1", "--user", "no-such-user")
        self.assertEqual(code, 1)
        self.assertIn("no such user", errors)


class Echo(ClusterTest):
    def test_connections_outlive_a_reload(self):
        for listen in (["--port", "0"], ["--unix", self.site.path("socket")]):
            with self.subTest(listen):
                cluster = Cluster("echo", *listen, "--workers", "2")
                self.addCleanup(self.end, cluster)
                first = self.connect(cluster)
                self.assertEqual(self.echo(first, b"before"), b"before")
                old = cluster.workers()
                cluster.send(signal.SIGHUP)
                wait_until(lambda: set(cluster.workers()) - set(old), "new workers")
                self.assertEqual(self.echo(first, b"after"), b"after")
                second = self.connect(cluster)
                self.assertEqual(self.echo(second, b"new"), b"new")
                first.close()
                second.close()
                cluster.wait_for_workers(2, old)

    def connect(self, cluster):
        client = socket.socket(socket.AF_UNIX if cluster.path else socket.AF_INET)
        self.addCleanup(client.close)
        client.settimeout(LIMIT_S)
        client.connect(cluster.path or (cluster.host, cluster.port))
        return client

    def echo(self, client, text):
        client.sendall(text)
        got = b""
        while len(got) < len(text):
            got += client.recv(100)
        return got


if __name__ == "__main__":
    if "thread" in SANITIZE and cmd_support.BACKEND == "uring":
        sys.exit(77)  # TSan puts off, or loses, the signals of a master that sleeps in a ring
    unittest.main()
