# SPDX-License-Identifier: Apache-2.0
"""Clients for tests/crash that mark each attempt and never use a mark again, and the count of what became of the marks.

A message that is found under no acknowledged mark is one whose reply died with the daemon, and it may be there once.
"""
import collections
import imaplib
import json
import re
import smtplib
import ssl
import threading
import time

from node import DEADLINE_S, message

MARK = re.compile(rb"^Subject: (mark-\S+)\r$", re.M)
LINE = "x" * 70 + "\r\n"
# Sizes of bodies in lines: in the database, and in a file of the spool and of the mailbox.
SIZES = (1, 1, 1, 1500)
READERS = ("ann", "bob", "eve")


class Client(threading.Thread):
    """Sends marked messages until it is told to stop; connects again after each failure."""

    def __init__(self, name, to, open_session, send):
        super().__init__(name=name)
        self.to, self.open_session, self.send = to, open_session, send
        self.tried, self.acknowledged, self.stopping, self.pause_s = 0, [], False, 0

    def run(self):
        session = None
        while not self.stopping:
            try:
                session = session or self.open_session()
                mark = f"mark-{self.name}-{self.tried}"
                self.tried += 1
                self.send(session, mark, message(mark, LINE * SIZES[self.tried % len(SIZES)]))
                self.acknowledged.append(mark)
                time.sleep(self.pause_s)
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


def append(imap, mark, text):
    if imap.append("INBOX", None, None, text.encode())[0] != "OK":
        raise imaplib.IMAP4.error("not appended")


def clients_of(node):
    """Mail from outside, submission to two, and APPEND, none of them started."""
    outside = lambda s, mark, text: s.sendmail("x@out.example", ["ann@uni.example"], text)
    both = lambda s, mark, text: s.sendmail("ann@uni.example", ["bob@uni.example", "eve@uni.example"], text)
    return [Client(f"smtp{i}", ("ann",), node.smtp, outside) for i in range(3)] + [
        Client("submission", ("bob", "eve"), node.submission, both), Client("append", ("eve",), lambda: node.imap("eve"), append)]


def stop(clients):
    for client in clients:
        client.stopping = True
    for client in clients:
        client.join(DEADLINE_S)


def tell(points, acknowledged, lost, duplicated):
    """For tests/crash/run."""
    print(json.dumps({"points": points, "acknowledged": acknowledged, "lost": lost, "duplicated": duplicated}), flush=True)


def settle(test, clients, points):
    """After the last message was delivered: all that was acknowledged is there, and nothing is twice."""
    found = {login: collections.Counter(m.decode() for text in test.node.messages(login) for m in MARK.findall(text)) for login in READERS}
    lost = [(login, mark) for client in clients for login in client.to for mark in client.acknowledged if not found[login][mark]]
    twice = [(login, mark) for login in READERS for mark, n in found[login].items() if n > 1]
    tell(points, sum(len(client.acknowledged) for client in clients), len(lost), len(twice))
    test.assertEqual(lost, [], "acknowledged and lost")
    test.assertEqual(twice, [], "twice in a mailbox")
