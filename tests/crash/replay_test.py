# SPDX-License-Identifier: Apache-2.0
"""A mailbox is lost and its backup was empty: replay gives it its mail again, each message once, and nobody else gets any twice."""
import collections
import json
import os
import re
import shutil
import time
import unittest

from node import NodeTest, message, uuid_of

N = 20
HOST = "mb1.uni.example"


class Replay(NodeTest):
    def subjects(self, login):
        return collections.Counter(re.search(rb"^Subject: (\S+)", octets, re.M).group(1).decode() for octets in self.node.messages(login))

    def lose_mailbox(self, uid):
        """As after the restore of a backup that was made before the mailbox was; node.db is made again from what is there."""
        box = uuid_of(uid).replace("-", "")
        mailboxes = self.node.path("data", "mailboxes")
        shutil.rmtree(os.path.join(mailboxes, box[:2], box))
        for name in os.listdir(mailboxes):
            if name.startswith("node.db"):
                os.remove(os.path.join(mailboxes, name))

    def replay(self, *args):
        result = self.node.run("queue", "replay", "--host", HOST, *args, "--json")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.node.wait_queue_empty()
        return json.loads(result.stdout)

    def test_restored(self):
        names = [f"m{i}" for i in range(N)]
        with self.node.smtp() as smtp:
            for i, name in enumerate(names):  # the last two in files, for their size
                to = ["ann@uni.example", "bob@uni.example"] if i % 2 else ["bob@uni.example"]
                smtp.sendmail("a@out.example", to, message(name, "x\r\n" * (100000 if i >= N - 2 else 5)))
        self.node.wait_queue_empty()
        everything, half = collections.Counter(names), collections.Counter(names[1::2])
        self.assertEqual(self.subjects("bob"), everything)
        before = self.node.messages("bob")
        self.node.stop()
        self.lose_mailbox("bob")
        self.node.start()
        self.assertEqual(self.node.messages("bob"), [])

        # Somebody else's mail is not for him, and a host that is not meant gets nothing.
        self.assertEqual(self.replay("--mailbox", "ann@uni.example"), {"messages": N // 2, "recipients": N // 2, "unreadable": 0})
        self.assertEqual(json.loads(self.node.run("queue", "replay", "--host", "mb2.uni.example", "--json").stdout)["messages"], 0)
        self.assertEqual(self.node.messages("bob"), [])
        self.assertEqual(self.subjects("ann"), half)

        for _ in range(2):  # again is as once
            self.assertEqual(self.replay(), {"messages": N, "recipients": N + N // 2, "unreadable": 0})
            self.assertEqual(self.subjects("bob"), everything)
            self.assertEqual(self.subjects("ann"), half)
        body = lambda octets: octets.split(b"\r\n\r\n", 1)[1]
        self.assertEqual(sorted(map(body, self.node.messages("bob"))), sorted(map(body, before)))

        # What replay entered is not kept a second time; what is too old is refused; what is not there yet is nothing.
        later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        self.assertEqual(self.replay("--since", later)["messages"], 0)
        self.assertEqual(self.replay("--hours", "1")["messages"], N)
        result = self.node.run("queue", "replay", "--host", HOST, "--hours", "800")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("delivered_key_days", result.stdout + result.stderr)
        self.assertNotEqual(self.node.run("queue", "replay").returncode, 0)
        self.assertEqual(self.node.run("queue", "stats").returncode, 0)
        metrics = self.node.run("metrics", "mta").stdout
        self.assertGreater(int(re.search(r"^\w*mta_replay_bytes (\d+)", metrics, re.M).group(1)), 400000, metrics)
        self.assertGreater(int(re.search(r"^\w*mta_replay_oldest_seconds (\d+)", metrics, re.M).group(1)), time.time() - 7200, metrics)


if __name__ == "__main__":
    unittest.main()
