#!/usr/bin/env python3
"""gyre sim: seeds pass in both modes and every scenario, run twice they are the same, and arguments that mean
nothing are refused."""
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
        for scenario in ("echo", "request", "timers", "storm"):
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

    def test_what_means_nothing_is_refused(self):
        for arguments in (["--seed", "x"], ["--seeds", "9..1"], ["--seeds", "0"], ["--mode", "none"], ["--x"],
                          ["--scenario", "none"], ["--minutes"], ["--jobs", "0"]):
            result = sim(*arguments)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertTrue(result.stderr.startswith("gyre: "), result.stderr)


if __name__ == "__main__":
    unittest.main()
