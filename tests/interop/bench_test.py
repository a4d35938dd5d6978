# SPDX-License-Identifier: Apache-2.0
"""bench/run on our side alone and small: that the rig still works, says what it measured, and would see a missing flush. No speed is asserted."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEADLINE_S = 300
ROWS = "message,through,rcpt-unknown,submission,imap-append,pop3,mailbox-search,idle-smtp,flush-lmtp,directory-shadow"
sys.path.insert(0, os.path.join(ROOT, "bench"))


@unittest.skipUnless(os.geteuid() == 0, "bench/run makes users")
class BenchTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="posthouse-bench-", dir="/var/tmp")
        os.chmod(self.dir, 0o755)  # the daemons have users of their own
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.address = f"127.{64 + os.getpid() % 60}.{time.monotonic_ns() % 250}.2"

    def bench(self, *arguments):
        return subprocess.run([os.path.join(ROOT, "bench", "run"), "--ours", "--no-install", "--dir", self.dir, "--address", self.address, *arguments],
                              capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    def test_rows_and_summary(self):
        done = self.bench("--scale", "0.004", "--repeats", "1", "--json", "--only", ROWS)
        *rows, summary = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual((done.returncode, summary["ok"], summary["failed"]), (0, True, []), done.stderr)
        self.assertEqual(summary["rows"], len(rows))
        found = {row["row"]: row for row in rows}
        self.assertLessEqual(set(ROWS.split(",")) - {"directory-shadow"} | {"mailbox-metadata", "mailbox-seen", "directory-sync"}, set(found))
        for row in rows:
            if row["unit"] == "KiB PSS":  # of so few connections it is less than what a process gives back meanwhile
                self.assertIsInstance(row["ours"]["value"], (int, float), row)
            else:
                self.assertGreater(row["ours"]["value"], 0, row)
            self.assertIsNone(row["peers"])
        self.assertEqual(found["flush-lmtp"]["unit"], "a message")
        self.assertIn("popimap", found["message"]["ours"]["cpu_ms_by"])
        self.assertEqual(os.listdir(self.dir), ["made-by-bench-run"])  # no mailbox is left
        path = os.path.join(self.dir, "json")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(done.stdout)
        report = subprocess.run([os.path.join(ROOT, "bench", "report"), path], capture_output=True, text=True, check=False)
        self.assertEqual((report.returncode, report.stdout.count("flush-lmtp")), (0, 1), report.stderr)

    def test_wrong_use_is_said(self):
        self.assertEqual(self.bench("--only", "dance").returncode, 2)
        self.assertEqual(self.bench("--repeats", "0", "--scale", "-1").returncode, 2)


if __name__ == "__main__":
    unittest.main()
