#!/usr/bin/env python3
"""The command line: options, help, exit codes 0, 1 and 2, one clear line for what is wrong."""
import os
import re
import signal
import socket
import subprocess
import tempfile
import unittest

from cmd_support import BACKEND, LIMIT_S, Started, run


class OptionTest(unittest.TestCase):
    def setUp(self):
        temp = tempfile.TemporaryDirectory()
        self.addCleanup(temp.cleanup)
        self.temp = temp.name
        self.root = os.path.join(temp.name, "root")
        os.mkdir(self.root)
        with open(os.path.join(self.root, "index.html"), "wb") as file:
            file.write(b"<p>page")

    def wrong(self, code, pattern, *arguments):
        """It ends with `code` and one line that says why, and nothing on standard output."""
        got, out, err = run(*arguments)
        self.assertEqual((got, out), (code, ""), (arguments, err))
        self.assertRegex(err, r"^gyre: [^\n]*\n$", arguments)
        self.assertRegex(err, pattern)

    def servers(self):
        """Arguments that begin each of the two servers."""
        return (("serve", self.root), ("echo",))


class Help(OptionTest):
    def test_program(self):
        for option in ("--help", "-h"):
            code, out, err = run(option)
            self.assertEqual((code, err), (0, ""))
            for word in ("serve", "echo", "usage: gyre COMMAND"):
                self.assertIn(word, out)

    def test_commands(self):
        for command, port in (("serve", "8080"), ("echo", "7000")):
            code, out, err = run(command, "--help")
            self.assertEqual((code, err), (0, ""))
            self.assertTrue(out.startswith("usage: gyre %s" % command), out)
            for option in ("--host", "--port", "--unix", "--backend", "--help", "--version"):
                self.assertRegex(out, r"(?m)^  %s\b" % option)
            self.assertIn("default %s)" % port, out)
            self.assertLessEqual(max(map(len, out.splitlines())), 100)

    def test_help_comes_before_mistakes_behind_it(self):
        self.assertEqual(run("serve", "--help", "--nonsense")[0], 0)

    def test_version(self):
        version = run("--version")
        self.assertEqual((version[0], version[2]), (0, ""))
        self.assertRegex(version[1], r"^gyre \d+\.\d+\.\d+\S*\n$")
        self.assertEqual(run("serve", "--version"), version)
        self.assertEqual(run("echo", "--version"), version)

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "wb") as full:
            code, _, err = run("--help", stdout=full)
        self.assertEqual(code, 1, err)


class Mistakes(OptionTest):
    def test_no_command(self):
        code, out, err = run()
        self.assertEqual((code, out), (2, ""))
        self.assertIn("usage: gyre COMMAND", err)

    def test_unknown_command(self):
        self.wrong(2, '"nonsense"', "nonsense")
        self.wrong(2, '""', "")
        self.wrong(2, '"--nonsense"', "--nonsense")
        self.wrong(2, '"serv"', "serv", self.root)

    def test_unknown_options(self):
        for option in ("--nonsense", "--ports", "--port0", "-p", "--", "--help=x", "--nonsense=x"):
            for server in self.servers():
                with self.subTest(option=option, server=server[0]):
                    self.wrong(2, re.escape(option), *server, option)

    def test_options_without_value(self):
        for option in ("--host", "--port", "--unix", "--backend"):
            for server in self.servers():
                self.wrong(2, option + ".*value", *server, option)
        self.wrong(2, "--access-log.*value", "serve", self.root, "--access-log")
        self.wrong(2, "--drain.*value", "serve", self.root, "--drain")

    def test_ports(self):
        for port in ("", "x", "-1", "65536", "80x", " 80", "+80", "0x50", "99999999999999999999", "1e3", "80 "):
            for server in self.servers():
                with self.subTest(port=port, server=server[0]):
                    self.wrong(2, "--port", *server, "--port", port)
                    self.wrong(2, "--port", *server, "--port=" + port)

    def test_hosts(self):
        for host in ("", "x", "localhost", "1.2.3", "1.2.3.4.5", "::g", "127.0.0.1:80"):
            for server in self.servers():
                with self.subTest(host=host, server=server[0]):
                    self.wrong(2, "--host", *server, "--port", "0", "--host", host)

    def test_backends(self):
        for name in ("", "x", "EPOLL", "epoll,poll", "kqueue"):
            for server in self.servers():
                self.wrong(2, "--backend", *server, "--backend", name)

    def test_unix_paths(self):
        for path in ("", "x" * 200):
            for server in self.servers():
                self.wrong(2, "--unix", *server, "--unix", path)

    def test_times(self):
        for time in ("", "x", "-1", "1.5", "1s", "86401"):
            self.wrong(2, "--drain", "serve", self.root, "--drain", time)

    def test_directories(self):
        self.wrong(2, "which directory", "serve")
        self.wrong(2, "which directory", "serve", "--port", "0")
        self.wrong(2, "one directory", "serve", self.root, self.root)
        self.wrong(1, "/missing: ", "serve", self.root + "/missing", "--port", "0")
        self.wrong(1, "index.html: ", "serve", self.root + "/index.html", "--port", "0")
        self.wrong(1, "^gyre: : ", "serve", "", "--port", "0")
        self.wrong(2, '"extra"', "echo", "extra")

    def test_logs(self):
        self.wrong(1, "/missing/log: ", "serve", self.root, "--port", "0", "--access-log", self.root + "/missing/log")
        self.wrong(1, "root: ", "serve", self.root, "--port", "0", "--access-log", self.root)

    def test_addresses_that_are_not_ours(self):
        for server in self.servers():
            self.wrong(1, "192.0.2.1", *server, "--host", "192.0.2.1", "--port", "0")

    def test_taken_port(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            for server in self.servers():
                self.wrong(1, port + ": .*in use", *server, "--port", port)

    def test_taken_by_another_of_us(self):
        for server in self.servers():
            with Started(*server, "--port", "0") as first:
                self.wrong(1, "in use", *server, "--port", str(first.port))


class UnixSockets(OptionTest):
    def path(self):
        return os.path.join(self.temp, "socket")

    def test_taken(self):
        for server in self.servers():
            with Started(*server, "--unix", self.path()):
                self.wrong(1, "in use", *server, "--unix", self.path())
                # the first one is still there
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(self.path())
            self.assertFalse(os.path.exists(self.path()))

    def test_stale(self):
        for server in self.servers():
            with socket.socket(socket.AF_UNIX) as left_behind:
                left_behind.bind(self.path())
            self.assertTrue(os.path.exists(self.path()))
            with Started(*server, "--unix", self.path()), socket.socket(socket.AF_UNIX) as client:
                client.connect(self.path())
            self.assertFalse(os.path.exists(self.path()))

    def test_after_a_kill(self):
        for server in self.servers():
            first = Started(*server, "--unix", self.path())
            first.process.kill()
            first.process.wait()
            first.process.stdout.close()
            with Started(*server, "--unix", self.path()) as second:
                self.assertIn("unix:" + self.path(), second.first_line)

    def test_what_is_no_socket_stays(self):
        with open(self.path(), "wb") as file:
            file.write(b"precious")
        for server in self.servers():
            self.wrong(1, "in use", *server, "--unix", self.path())
        with open(self.path(), "rb") as file:
            self.assertEqual(file.read(), b"precious")

    def test_links_to_sockets_stay(self):
        target = os.path.join(self.temp, "target")
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(target)
        os.symlink(target, self.path())
        self.wrong(1, "in use", "echo", "--unix", self.path())
        self.assertTrue(os.path.islink(self.path()) and os.path.exists(target))

    def test_directory_missing(self):
        for server in self.servers():
            self.wrong(1, "missing/socket: ", *server, "--unix", os.path.join(self.temp, "missing/socket"))


class Starting(OptionTest):
    def test_first_line(self):
        for server, scheme in zip(self.servers(), ("http", "tcp")):
            with Started(*server, "--port", "0") as started:
                self.assertRegex(
                    started.first_line, r"^listening on %s://127\.0\.0\.1:\d+ \(backend \w+\)\n$" % scheme
                )
                self.assertNotEqual(started.port, 0)

    def test_ipv6(self):
        if not socket.has_dualstack_ipv6():
            self.skipTest("no IPv6 here")
        for server in self.servers():
            with Started(*server, "--host", "::1", "--port=0") as started:
                self.assertRegex(started.first_line, r"://\[::1\]:\d+ ")
                socket.create_connection(("::1", started.port), LIMIT_S).close()

    def test_backends(self):
        env = {key: value for key, value in os.environ.items() if not key.startswith("GYRE_BACKEND")}
        for server in self.servers():
            with Started(*server, "--port", "0", "--backend", BACKEND or "epoll", env=env) as started:
                self.assertIn("(backend %s)" % (BACKEND or "epoll"), started.first_line)

    def test_backend_of_the_environment(self):
        if not BACKEND:
            self.skipTest("GYRE_BACKEND is not set")
        for server in self.servers():
            with Started(*server, "--port", "0") as started:
                self.assertIn("(backend %s)" % BACKEND, started.first_line)

    def test_last_option_counts(self):
        with Started("echo", "--port", "1", "--host=192.0.2.1", "--host", "127.0.0.1", "--port=0") as started:
            self.assertEqual(started.host, "127.0.0.1")

    def test_closed_standard_output(self):
        # a first line that nobody can read is no reason to fail
        path = os.path.join(self.temp, "socket")
        process = subprocess.Popen(
            ["sh", "-c", 'exec "$@" >&-', "sh", os.environ.get("GYRE_PROGRAM", "build/gyre"), "serve", self.root]
            + ["--unix", path, "--access-log", "off"],
            stderr=subprocess.PIPE,
        )
        try:
            while process.poll() is None:
                with socket.socket(socket.AF_UNIX) as client:
                    try:
                        client.connect(path)
                    except (FileNotFoundError, ConnectionError):
                        continue
                    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    answer = client.makefile("rb").read()
                break
            self.assertTrue(answer.endswith(b"<p>page"), answer)
        finally:
            while process.poll() is None:
                process.send_signal(signal.SIGTERM)
            self.assertEqual(process.returncode, 0)
            process.stderr.close()


class Signals(OptionTest):
    def test_end(self):
        for server in self.servers():
            for signum in (signal.SIGTERM, signal.SIGINT):
                started = Started(*server, "--port", "0")
                started.stop(signum)

    def test_end_with_clients(self):
        for server in self.servers():
            for signum in (signal.SIGTERM, signal.SIGINT):
                started = Started(*server, "--port", "0")
                with socket.create_connection((started.host, started.port), LIMIT_S) as client:
                    client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
                    got = b""
                    while not got.endswith((b"<p>page", b"\r\nHost: test\r\n\r\n")):
                        got += client.recv(1 << 16)
                    # the client does not close: the server does not wait for that without end
                    started.process.send_signal(signum)
                    self.assertEqual(client.recv(1), b"")
                    started.ended()

    def test_many_signals(self):
        for server in self.servers():
            started = Started(*server, "--port", "0")
            while started.process.poll() is None:
                started.process.send_signal(signal.SIGTERM)
                started.process.send_signal(signal.SIGINT)
            started.ended()

    def test_broken_pipe_of_the_log(self):
        started = Started("serve", self.root, "--port", "0")
        started.process.stdout.close()
        for _ in range(3):
            with socket.create_connection((started.host, started.port), LIMIT_S) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                self.assertTrue(client.makefile("rb").read().endswith(b"<p>page"))
        started.process.send_signal(signal.SIGTERM)
        self.assertEqual(started.wait(), 0)
        self.assertRegex(started.errors(), r"^gyre: access log: [^\n]+\n$")


if __name__ == "__main__":
    unittest.main()
