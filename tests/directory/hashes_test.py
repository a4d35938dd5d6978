# SPDX-License-Identifier: Apache-2.0
"""Hashes are where log-ins are checked and nowhere else: a node without such a listener asks its server for none and keeps none on its disk."""
import glob
import os
import unittest

from node import Node
from replica import ReplicaTest, people

NO_LOG_INS = {f"listen_{name}": [] for name in ("submission", "submissions", "imap", "imaps", "pop3", "pop3s")}
SECRETS = ("userPassword", "phScram", "phAppPassword")


def files_with(folder, text):
    """Files below a folder that have these octets anywhere, free pages and logs too."""
    found = []
    for path in glob.glob(os.path.join(folder, "**"), recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as stream:
                if text in stream.read():
                    found.append(os.path.relpath(path, folder))
    return sorted(found)


class FromServers(ReplicaTest):
    names = [f"u{n}" for n in range(30)]
    ldif = ReplicaTest.ldif + people(names)

    def data(self, follower):
        return os.path.join(follower.dir, "data")

    def test_none_is_asked_for_and_none_is_kept(self):
        follower = self.follow(**NO_LOG_INS)
        follower.wait_for("u29@uni.example", 250)
        self.assertEqual(follower.uuids("credentials"), set())
        asked = " ".join(self.master.lines("SRCH attr="))
        self.assertIn("mailHost", asked)
        for name in SECRETS:
            self.assertNotIn(name, asked)
        self.master.modify("dn: uid=u1,ou=people,dc=uni,dc=example\nchangetype: modify\nreplace: mail\nmail: other@uni.example\n\n")
        follower.wait_for("other@uni.example", 250)
        self.assert_same(follower)
        self.assertEqual(files_with(self.data(follower), b"{SSHA}") + files_with(self.data(follower), b"SCRAM-SHA-256"), [])

    def test_a_node_that_changes_its_mind(self):
        follower = self.follow()
        follower.wait_for("u29@uni.example", 250)
        self.assertEqual(len(follower.uuids("credentials")), 32)
        self.assertEqual({name.split("-")[0] for name in files_with(self.data(follower), b"{SSHA}")}, {"credentials/credentials.db"})
        follower.stop()
        kept = {name: follower.settings.get(name) for name in NO_LOG_INS}
        follower.set_values(**NO_LOG_INS)
        follower.start()
        follower.wait(lambda: files_with(self.data(follower), b"{SSHA}") == [], "the hashes to be gone")
        follower.wait(lambda: (status := follower.status())["ldapsync_runs"] and status["state"] == "PERSIST", "all to be loaded, not held by the brake")
        self.assertEqual(follower.code("u29@uni.example"), 250)
        follower.stop()
        follower.set({name: what for name, what in {**follower.settings, **kept}.items() if what is not None})
        follower.start()
        follower.wait(lambda: len(follower.uuids("credentials")) == 32, "the hashes")
        self.assert_same(follower)


class FromFile(unittest.TestCase):
    def test_a_front_end_that_only_takes_mail_in(self):
        node = Node(settings={**NO_LOG_INS, "shadow_check_ms": 50})
        self.addCleanup(node.remove)
        node.start()
        self.addCleanup(node.stop)
        with node.smtp() as smtp:
            smtp.sendmail("x@out.example", ["ann@uni.example"], "Subject: x\r\n\r\nx\r\n")
            self.assertFalse(smtp.has_extn("auth"))
        node.wait_queue_empty()
        self.assertEqual(files_with(node.path("data"), b"{SSHA}") + files_with(node.path("data"), b"SCRAM-SHA-256"), [])
        self.assertEqual(node.unexpected_errors(), [])


if __name__ == "__main__":
    unittest.main()
