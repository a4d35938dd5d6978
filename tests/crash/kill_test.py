# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load: each daemon dies while clients deliver, submit and append. What was acknowledged is in the mailbox; nothing is there twice.

Clients mark each attempt, and never use a mark again: a message that is found under no acknowledged mark is one whose reply died with the
daemon, and it may be there once.
"""
import collections
import imaplib
import os
import re
import signal
import smtplib
import ssl
import threading
import time
import unittest

from node import DEADLINE_S, NodeTest, PASSWORD, message

MARK = re.compile(rb"^Subject: (mark-\S+)\r$", re.M)
DEATHS = 2     # of each daemon
LOAD_S = 0.4   # between two
BIG = "x" * 70 + "\r\n"
# Sizes of bodies in lines: in the database, and in a file of the spool and of the mailbox.
SIZES = (1, 1, 1, 1500)


class Client(threading.Thread):
    """Sends marked messages until it is told to stop; connects again after each failure."""

    def __init__(self, test, name, open_session, send):
        super().__init__(name=name)
        self.test, self.open_session, self.send = test, open_session, send
        self.tried, self.acknowledged, self.stopping = 0, [], False

    def run(self):
        session = None
        while not self.stopping:
            try:
                session = session or self.open_session()
                mark = f"mark-{self.name}-{self.tried}"
                self.tried += 1
                self.send(session, mark, message(mark, BIG * SIZES[self.tried % len(SIZES)]))
                self.acknowledged.append(mark)
            except (OSError, EOFError, ssl.SSLError, smtplib.SMTPException, imaplib.IMAP4.error):
                session = self.drop(session)
                time.sleep(0.02)
        self.drop(session)

    @staticmethod
    def drop(session):
        sock = getattr(session, "sock", None)
        if sock:
            sock.close()
        return None


class Kill(NodeTest):
    settings = {"log_level": "info", "retry_min_s": 1, "retry_max_s": 1, "submission_recipients_hour_max": 1000000}
    readers = ("ann", "bob", "eve")

    def imap_session(self):
        imap = self.node.imap("eve")
        return imap

    @staticmethod
    def append(imap, mark, text):
        if imap.append("INBOX", None, None, text.encode())[0] != "OK":
            raise imaplib.IMAP4.error("not appended")

    def clients(self):
        smtp = lambda s, mark, text: s.sendmail("x@out.example", ["ann@uni.example"], text)
        both = lambda s, mark, text: s.sendmail("ann@uni.example", ["bob@uni.example", "eve@uni.example"], text)
        return [Client(self, f"smtp{i}", self.node.smtp, smtp) for i in range(3)] + [
            Client(self, "submission", self.node.submission, both), Client(self, "append", self.imap_session, self.append)]

    def kill(self, daemon):
        before = self.node.daemon_pids()[daemon]
        os.kill(before, signal.SIGKILL)
        self.node.wait(lambda: self.node.daemon_pids().get(daemon, before) != before and self.node.command("ping", daemon), f"another {daemon}")

    def found(self, login):
        return collections.Counter(m for text in self.node.messages(login) for m in MARK.findall(text))

    def test_nothing_acknowledged_is_lost_and_nothing_is_twice(self):
        self.node.expect_error("signal|killed|died|ended")
        clients = self.clients()
        for client in clients:
            client.start()
        for _ in range(DEATHS):
            for daemon in ("mta", "popimap", "ldapsync"):
                time.sleep(LOAD_S)
                self.kill(daemon)
        time.sleep(LOAD_S)
        for client in clients:
            client.stopping = True
        for client in clients:
            client.join(DEADLINE_S)
        self.node.drain()
        found = {login: self.found(login) for login in self.readers}
        for client in clients:
            self.assertGreater(len(client.acknowledged), 5, f"{client.name}: no load worth the name")
            for login in {"submission": ("bob", "eve"), "append": ("eve",)}.get(client.name, ("ann",)):
                lost = [m for m in client.acknowledged if m.encode() not in found[login]]
                self.assertEqual(lost, [], f"acknowledged and lost, of {len(client.acknowledged)}")
        for login in self.readers:
            self.assertEqual([m for m, n in found[login].items() if n > 1], [], f"twice in the mailbox of {login}")


if __name__ == "__main__":
    unittest.main()
