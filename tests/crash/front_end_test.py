# SPDX-License-Identifier: Apache-2.0
"""The front-end dies by kill -9 under load, again and again: what got its 250 is in the mailbox, once."""
import collections
import os
import re
import signal
import smtplib
import threading
import unittest

import crash
from node import NodeTest, message

SENDERS, EACH, KILLS = 4, 60, 4


class FrontEnd(NodeTest):
    def setUp(self):
        self.promised, self.lock = set(), threading.Lock()
        self.node.expect_error("died|killed|ended by signal|signal 9")

    def send_all(self, sender):
        smtp = None
        for number in range(EACH):
            for attempt in range(1000):  # until this one has its 250, under a name of its own for each attempt
                name = f"m-{sender}-{number}-{attempt}"
                try:
                    if smtp is None:
                        smtp = self.node.smtp()
                    smtp.sendmail("a@out.example", ["bob@uni.example"], message(name))
                    with self.lock:
                        self.promised.add(name)
                    break
                except (OSError, smtplib.SMTPException):
                    smtp = None
        if smtp is not None:
            smtp.close()

    def test_every_250_is_delivered_once(self):
        threads = [threading.Thread(target=self.send_all, args=(i,)) for i in range(SENDERS)]
        for thread in threads:
            thread.start()
        for kill in range(1, KILLS + 1):
            self.node.wait(lambda: len(self.promised) >= kill * SENDERS * EACH // (KILLS + 1), "some more messages", 120)
            pid = self.node.wait(lambda: self.node.daemon_pids().get("mta"), "the front-end", 60)
            os.kill(pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
        self.node.drain(120)
        found = collections.Counter()
        for octets in self.node.messages("bob"):
            found[re.search(rb"^Subject: (\S+)", octets, re.M).group(1).decode()] += 1
        lost, twice = sorted(self.promised - set(found)), [name for name, n in found.items() if n > 1]
        crash.tell(KILLS, len(self.promised), len(lost), len(twice))
        self.assertEqual(lost, [], "lost")
        self.assertEqual(twice, [], "twice in the mailbox")
        self.assertEqual(len(self.promised), SENDERS * EACH)
        self.assertEqual(self.node.run("queue", "stats").returncode, 0)


if __name__ == "__main__":
    unittest.main()
