#!/usr/bin/env python3
"""gyre sim: seeds pass in both modes and every scenario, run twice they are the same, and arguments that mean
nothing are refused."""
import contextlib
import os
import re
import subprocess
import unittest

PROGRAM = os.environ["GYRE_PROGRAM"]


def sim(*arguments):
    return subprocess.run([PROGRAM, "sim", *arguments], capture_output=True, text=True, check=False)


def hashes(text):
    return dict(re.findall(r"^seed (\d+) .* hash ([0-9a-f]{16})$", text, re.M))


class Seeds(unittest.TestCase):
    def passes(self, *arguments):
        result = sim(*arguments)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout

    def test_every_scenario_passes_in_both_modes(self):
        for scenario in ("echo", "request", "proxy", "timers", "storm", "group", "http"):
            for mode in ("readiness", "completion"):
                text = self.passes("--seeds", "1..6", "--minutes", "1", "--scenario", scenario, "--mode", mode)
                self.assertEqual(len(hashes(text)), 6)
                self.assertIn("6 seeds, 0 failed", text)

    def test_a_seed_run_twice_is_the_same(self):
        self.passes("--seeds", "20", "--from", "100", "--minutes", "1", "--twice", "--quiet")

    def test_a_seed_alone_is_the_same_as_among_others(self):
        among = hashes(self.passes("--seeds", "7..9", "--minutes", "1"))
        alone = hashes(self.passes("--seed", "8", "--minutes", "1"))
        self.assertEqual(among["8"], alone["8"])
        self.assertNotEqual(among["7"], among["8"])

    def test_a_trace_says_what_happens(self):
        text = self.passes("--seed", "1", "--scenario", "echo", "--minutes", "1", "--trace")
        for word in ("boot", "connect", "accept", "send", "recv", "close", "heal"):
            self.assertRegex(text, r"(?m)^ *\d+ +\S+ +%s " % word)

    def test_a_failure_says_how_to_run_it_again_and_less_that_fails_too(self):
        result = sim("--seeds", "6..6", "--minutes", "1", "--fail-on", "reset", "--quiet")
        self.assertEqual(result.returncode, 1, result.stdout)
        commands = re.findall(r"(?:replay|shrunk \(\d+ tries\)): gyre sim (.*) --trace$", result.stdout, re.M)
        self.assertGreaterEqual(len(commands), 2, result.stdout)
        for command in commands:
            again = sim(*command.split(), "--trace")
            self.assertEqual(again.returncode, 1, command)
            self.assertIn("FAILED", again.stdout)
        self.assertIn("--faults reset --clients 1", commands[1])

    def test_the_same_failure_is_made_smaller_in_the_same_way(self):
        command = ("--seeds", "6..6", "--seconds", "30", "--fail-on", "reset", "--quiet", "--jobs", "1")
        first, second = sim(*command), sim(*command)
        self.assertIn("shrunk (", first.stdout)
        self.assertEqual(first.stdout, second.stdout)
        self.assertNotIn("shrunk", sim(*command, "--no-shrink").stdout)

    def test_faults_that_are_left_out_do_not_strike(self):
        text = self.passes("--seeds", "3", "--seconds", "20", "--faults", "short-read,EMFILE")
        faults = re.search(r"^faults: (.*)$", text, re.M).group(1).split(", ")
        struck = {name for name, count in (fault.rsplit(" ", 1) for fault in faults) if count != "0"}
        self.assertLessEqual(struck, {"short read", "EMFILE"})

    def test_a_terminal_sees_how_far_it_is(self):
        controller, terminal = os.openpty()
        done = subprocess.run([PROGRAM, "sim", "--seeds", "3", "--seconds", "5", "--quiet"], check=False,
                              stdout=subprocess.DEVNULL, stderr=terminal)
        os.close(terminal)
        text = b""
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
            while piece := os.read(controller, 4096):
                text += piece
        os.close(controller)
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"\r3 of 3 seeds, 0 failed", text)

    def test_what_means_nothing_is_refused(self):
        for arguments in (["--seed", "x"], ["--seeds", "9..1"], ["--seeds", "0"], ["--mode", "none"], ["--x"],
                          ["--scenario", "none"], ["--minutes"], ["--jobs", "0"],
                          ["--faults", "x"], ["--faults", "reset,"], ["--fail-on", "x"], ["--clients", "0"]):
            result = sim(*arguments)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertTrue(result.stderr.startswith("gyre: "), result.stderr)


if __name__ == "__main__":
    unittest.main()
