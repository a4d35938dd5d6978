# SPDX-License-Identifier: Apache-2.0
"""A broken disk made rows of the queue unreadable: they rest, apart and in the ledger; all other mail goes on; an administrator sees and removes them."""
import base64
import json
import os
import sqlite3
import unittest

from nexthop import NextHop
from node import Node, message

DAMAGE = {
    "guid": "UPDATE recipient SET guid = x'0102' WHERE guid = ?",
    "message": "UPDATE message SET guid = x'03' || substr(guid, 2) WHERE guid = ?",
    "short-message": "UPDATE message SET guid = x'0405' WHERE guid = ?",
    "target": "UPDATE recipient SET target = 9 WHERE guid = ?",
    "number": "UPDATE recipient SET number = -5 WHERE guid = ?",
    "root": "UPDATE message SET root = x'06' WHERE guid = ?",
}


class QueueDamage(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.remove)
        self.hop = NextHop(self.node.address)
        self.addCleanup(self.hop.close)
        self.addCleanup(self.node.stop)
        self.node.overrides.update({"relayhost": self.hop.address, "relayhost_tls": "none", "retry_min_s": 1, "retry_max_s": 1})
        self.node.start()

    def ledger(self):
        stats = self.node.command("queue.stats", "mta")["result"]
        self.assertTrue(stats["balanced"])
        return stats["ledger"]

    def damaged(self):
        return [json.loads(line) for line in self.node.run("queue", "list", "--json", "damaged", check=0).stdout.splitlines()]

    def damage(self):
        """One message for each kind of damage, and two sound ones beside them; the queue is damaged while nobody has it."""
        self.hop.answer = "451 4.3.0 later"
        for subject in (*DAMAGE, "sound", "large"):
            with self.node.submission() as smtp:
                smtp.sendmail("ann@uni.example", [f"{subject}@far.example"], message(subject, body="x" * 70 * (2000 if subject == "large" else 1)))
        self.node.wait(lambda: all(m["recipients"][0]["tries"] > 0 for m in self.node.queue()), "each to be tried")
        guids = {m["recipients"][0]["address"].split("@")[0]: bytes.fromhex(m["guid"].replace("-", "")) for m in self.node.queue()}
        self.node.stop()
        with sqlite3.connect(self.node.path("data", "queue", "queue.db")) as db:
            for kind, sql in DAMAGE.items():
                self.assertEqual(db.execute(sql, (guids[kind],)).rowcount, 1, kind)
        db.close()
        self.hop.answer = None
        self.node.expect_error("a row is damaged")

    def test_the_rest_goes_on(self):
        self.damage()
        self.node.start()
        for subject in ("sound", "large"):
            self.node.wait(lambda s=subject: self.hop.with_subject(s), f"{subject} at the next hop")
        self.node.wait(lambda: self.ledger()["queued"] == len(DAMAGE), "their results")
        self.assertEqual([self.hop.with_subject(kind) for kind in DAMAGE], [[]] * len(DAMAGE))
        rows = self.damaged()
        self.assertEqual(sorted(r["address"] for r in rows if r["row"] == "recipient"), sorted(f"{kind}@far.example" for kind in DAMAGE))
        bodies = b"".join(base64.b64decode(r["body_base64"]) for r in rows)
        self.assertIn(b"Subject: guid", bodies)  # of a message that has lost its recipient
        self.assertIn(b"Subject: target", bodies)
        self.node.run("queue", "retry", "--all", check=0)
        self.node.wait(lambda: "queue list damaged" in self.node.run("status").stdout, "the daemon to say so")
        alarms = [line for line in self.node.log_text().splitlines() if "level=error" in line]
        self.assertEqual(len(alarms), len(DAMAGE), alarms)  # one each
        done = json.loads(self.node.run("queue", "delete", "--damaged", "--json", "--why", "disk", check=0).stdout)
        self.assertEqual(done["recipients"], len(DAMAGE))
        self.assertEqual((self.damaged(), self.node.queue()), ([], []))
        ledger = self.ledger()
        self.assertEqual((ledger["queued"], ledger["deleted"], ledger["relayed"]), (0, len(DAMAGE), 2))
        self.node.run("status", check=0)
        self.node.stop()
        with sqlite3.connect(self.node.path("data", "queue", "queue.db")) as db:
            self.assertEqual([db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("message", "recipient", "body", "attempt")], [0] * 4)
        db.close()
        self.assertEqual(os.listdir(self.node.path("data", "queue", "spool")), [])
        self.assertEqual(self.node.unexpected_errors(), [])

    def test_a_start_tells_of_rows_that_are_not_due(self):
        self.damage()
        self.node.overrides.update({"retry_min_s": 3600, "retry_max_s": 3600})
        with sqlite3.connect(self.node.path("data", "queue", "queue.db")) as db:
            db.execute("UPDATE recipient SET next_try = next_try + 3000000")
        db.close()
        self.node.start()
        self.node.wait(lambda: f"{len(DAMAGE)} rows of the queue are damaged" in self.node.run("status").stdout, "the daemon to say so")

    def test_a_broken_file_is_told_and_nothing_is_removed(self):
        self.damage()
        path = self.node.path("data", "queue", "queue.db")
        with sqlite3.connect(path) as db:
            root, = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ended'").fetchone()
            size, = db.execute("PRAGMA page_size").fetchone()
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        with open(path, "r+b") as file:
            file.seek((root - 1) * size)
            file.write(b"\xff" * size)
        self.node.start()
        done = self.node.run("queue", "delete", "--damaged")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("nothing was removed", done.stderr)
        self.assertIn("recipient of guid 0102, number 1: from <> to <guid@far.example>", done.stdout)
        self.assertEqual(self.ledger()["deleted"], 0)

    def test_what_is_sound_is_not_touched(self):
        self.hop.answer = "451 4.3.0 later"
        with self.node.submission() as smtp:
            smtp.sendmail("ann@uni.example", ["sound@far.example"], message("sound"))
        done = json.loads(self.node.run("queue", "delete", "--damaged", "--json", check=0).stdout)
        self.assertEqual(done["recipients"], 0)
        self.assertEqual(len(self.node.queue()), 1)
        self.hop.answer = None
        self.node.wait(lambda: self.hop.with_subject("sound"), "the message at the next hop")
        self.node.wait_queue_empty()
        self.ledger()


if __name__ == "__main__":
    unittest.main()
