# SPDX-License-Identifier: Apache-2.0
"""Every point at which queue and mailboxes can be stopped (tests/crash/run --only points); and a disk that lies about its syncs is found out."""
import json
import os
import subprocess
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.environ.get("POSTHOUSE_BIN", os.path.join(os.path.dirname(os.path.dirname(HERE)), "build", "release", "bin"))
DEADLINE_S = 570


def counts_of(*command):
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=DEADLINE_S, check=False)
    return result, json.loads(result.stdout.splitlines()[-1])


class Points(unittest.TestCase):
    def test_nothing_is_lost_and_nothing_is_twice(self):
        result, counts = counts_of(os.path.join(HERE, "run"), "--only", "points")
        self.assertEqual((counts["lost"], counts["duplicated"], result.returncode), (0, 0, 0), result.stderr)
        self.assertGreater(counts["points"], 2000)
        self.assertGreater(counts["acknowledged"], 500)

    def test_a_missing_sync_is_seen(self):
        for program, lies in (("queue_crash", ("sqlite", "files", "dirs")), ("store_crash", ("sqlite", "files", "dirs")),
                              ("outbox_crash", ("sqlite",))):
            for lie in lies:
                with self.subTest(program=program, lie=lie):
                    result, counts = counts_of(os.path.join(os.path.dirname(BIN), "crash", program), "--lie", lie, "--only", "power")
                    self.assertGreater(counts["lost"], 0, result.stderr)
                    self.assertEqual(result.returncode, 1)


if __name__ == "__main__":
    unittest.main()
