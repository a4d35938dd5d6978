# SPDX-License-Identifier: Apache-2.0
"""A node under attack: what every test of a threat checks beside the reply that it asks for.

    class Address(ThreatTest):
        def test_pct(self):
            self.refused("u%evil.example@uni.example")
            self.arrives["ann"] = 1          # what the test lets through, by mailbox
            self.leaves.append("u@evil.example")

Before each test the mailboxes (over IMAP), the files, the daemons and what the outside world was sent are noted; after it the queue is
empty, each mailbox has just what the test said, the world has heard of the recipients the test named and of no other, no file is where
none belongs, and the daemons are the same processes and still serve.
"""
import base64
import collections
import hashlib
import hmac
import os
import re
import socket
import socketserver
import threading

from node import DEADLINE_S, PASSWORD, NodeTest, message, uuid_of

# Every file that a node may make, below its folder.
FILES = re.compile(
    r"log|posthouse\.conf|directory\.ldif(\.new)?|(tls|node)\.(key|pem)|run/((mta|popimap|ldapsync|lmtp|smtp)\.sock|log-ins)|"
    r"data/credentials/(secret|credentials\.db(-wal|-shm)?)|data/shadow/shadow\.db(-wal|-shm)?|data/mailboxes/node\.db(-wal|-shm)?|"
    r"data/mailboxes/(?P<head>[0-9a-f]{2})/(?P<box>(?P=head)[0-9a-f]{30})/(mail\.db(-wal|-shm)?|big/[0-9a-f]{32})|"
    r"data/queue/(disk|ballast|starts|queue\.db(-wal|-shm)?|replay/\d+-\d+\.seg|spool/[0-9a-f]{32})")


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


class Outside:
    """The rest of the world: a mail server that takes everything, or refuses what `refuses` matches, and remembers it."""

    def __init__(self):
        outside = self
        self.envelopes = []  # (sender, [recipient, ...], octets)
        self.refuses = None  # a pattern of recipients that get 550
        self.stalls = None   # and of those whose message is taken without an answer
        self.stalled = 0     # how often that was

        class Session(socketserver.StreamRequestHandler):
            def handle(self):
                outside.serve(self.rfile, self.wfile)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        # An address of its own: the node under test listens on others.
        self.server = Server(("127.0.0.9", 0), Session)
        self.endpoint = "%s:%d" % self.server.server_address
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def serve(self, rfile, wfile):
        def say(text):
            wfile.write(text.encode() + b"\r\n")

        sender, recipients = "", []
        say("220 outside.example")
        for line in rfile:
            verb = line[:4].upper()
            path = re.search(rb"<(.*?)>", line)
            path = path[1].decode("utf-8", "replace") if path else ""
            if verb == b"EHLO":
                say("250-outside.example\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8")
            elif verb == b"MAIL":
                sender, recipients = path, []
                say("250 ok")
            elif verb == b"RCPT" and self.refuses and re.search(self.refuses, path):
                say("550 5.1.1 nobody")
            elif verb == b"RCPT":
                recipients.append(path)
                say("250 ok")
            elif verb == b"DATA" and not recipients:
                say("554 nobody")
            elif verb == b"DATA":
                say("354 go on")
                text = b""
                for line in rfile:
                    if line == b".\r\n":
                        break
                    text += line[1:] if line.startswith(b".") else line
                if self.stalls and any(re.search(self.stalls, recipient) for recipient in recipients):
                    self.stalled += 1
                    rfile.read()  # until the other side has enough
                    return
                self.envelopes.append((sender, recipients, text))
                say("250 ok")
            elif verb == b"QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")

    def recipients(self):
        return sorted(r for _, recipients, _ in self.envelopes for r in recipients)


class ThreatTest(NodeTest):
    logins = {}  # of users that `ldif` adds: name to login

    @classmethod
    def setUpClass(cls):
        cls.outside = Outside()
        # A way out is set, so that what is refused is refused by the rule and not for want of one.
        cls.settings = {"smtp_errors_max": 1000, "auth_failures_max": 100, "relayhost": cls.outside.endpoint, "relayhost_tls": "none",
                        **cls.settings}
        try:
            super().setUpClass()
        except BaseException:
            cls.outside.close()
            raise

    @classmethod
    def tearDownClass(cls):
        try:
            super().tearDownClass()
        finally:
            cls.outside.close()

    def setUp(self):
        self.outside.envelopes.clear()
        self.arrives = collections.Counter()
        self.leaves = []
        self.pids = self.node.daemon_pids()
        self.before = self.mailboxes()

    def tearDown(self):
        self.node.wait(lambda: self.node.queue() == [], "the queue to be empty")
        self.node.wait(lambda: sum((self.mailboxes() - self.before).values()) >= sum(self.arrives.values()), "the mail to arrive")
        self.assertEqual(self.mailboxes() - self.before, +self.arrives, "mailboxes")
        self.assertEqual(self.outside.recipients(), sorted(self.leaves), "recipients in the outside world")
        self.assertEqual(self.strange_files(), [])
        self.assertEqual(self.node.daemon_pids(), self.pids, "a daemon died")
        self.assertTrue(all(self.node.command("ping", daemon) for daemon in self.pids))
        with self.node.raw("smtp") as wire:
            self.assertEqual(wire.reply()[0], 220)

    def everybody(self):
        return {**{user: user for user in self.users}, **self.logins}

    def mailboxes(self):
        """{user: messages in all folders}."""
        counts = collections.Counter()
        for user, login in self.everybody().items():
            imap = self.node.imap(login)
            for line in imap.list()[1]:
                folder = line.decode().rsplit(" ", 1)[1]
                if b"\\Noselect" not in line:
                    counts[user] += int(re.search(rb"MESSAGES (\d+)", imap.status(folder, "(MESSAGES)")[1][0])[1])
            imap.logout()
        return counts

    def strange_files(self):
        """Files that no part of the node makes, and mailboxes of nobody."""
        boxes, strange = {uuid_of(user).replace("-", "") for user in self.everybody()}, []
        for folder, folders, files in os.walk(self.node.dir):
            for name in files + [f for f in folders if os.path.islink(os.path.join(folder, f))]:
                path = os.path.relpath(os.path.join(folder, name), self.node.dir)
                match = FILES.fullmatch(path)
                if not match or (match["box"] and match["box"] not in boxes):
                    strange.append(path)
        return strange

    # --- what attackers and clients say ---

    def stranger(self, utf8=False, sender="x@out.example"):
        """A session on port 25 after MAIL."""
        wire = self.node.raw("smtp")
        wire.reply()
        wire.say("EHLO client.example")
        self.assertEqual(wire.say(f"MAIL FROM:<{sender}>" + (" SMTPUTF8" if utf8 else "")), 250)
        return wire

    def secure(self, service="submission", source=None):
        """A session under TLS before its log-in, on a port that has STARTTLS."""
        wire = self.node.raw(service, source)
        if service == "submission":
            wire.reply()
            wire.say("EHLO laptop")
            wire.send("STARTTLS\r\n")
        else:
            wire.line()
            wire.send({"imap": "t STARTTLS\r\n", "pop3": "STLS\r\n"}[service])
        wire.line()
        wire.starttls(self.node.tls())
        if service == "submission":
            wire.say("EHLO laptop")
        return wire

    def user(self, utf8=False, login="ann", sender=None):
        """A session on port 587 after log-in and MAIL."""
        wire = self.secure()
        self.assertEqual(wire.say("AUTH PLAIN " + b64(f"\0{login}\0{PASSWORD}")), 235)
        self.assertEqual(wire.say(f"MAIL FROM:<{sender or login + '@uni.example'}>" + (" SMTPUTF8" if utf8 else "")), 250)
        return wire

    def refused(self, *addresses, utf8=False, session=None, codes=(500, 501, 550, 553)):
        """Each address gets 5xx, from a stranger or in the session that `session` makes, and DATA behind them nothing."""
        with (session or self.stranger)(utf8=utf8) as wire:
            for address in addresses:
                self.assertIn(wire.say(f"RCPT TO:<{address}>"), codes, address)
            self.assertIn(wire.say("DATA"), (503, 554))

    def accepted(self, *addresses, utf8=False, session=None, subject="taken"):
        """One message to all of the addresses; the test says where it arrives or leaves."""
        with (session or self.stranger)(utf8=utf8) as wire:
            for address in addresses:
                self.assertEqual(wire.say(f"RCPT TO:<{address}>"), 250, address)
            self.assertEqual(wire.say("DATA"), 354)
            wire.send(message(subject) + "\r\n.\r\n")
            self.assertEqual(wire.reply()[0], 250)


class Scram:
    """A client of SCRAM-SHA-256 (RFC 5802, RFC 7677) whose messages a test may bend."""

    def __init__(self, login="ann", password=PASSWORD, header="n,,", nonce="rOprNGfwEbeRWgbNEkqO"):
        self.header, self.password = header, password
        self.bare = f"n={login},r={nonce}"
        self.first = header + self.bare

    def final(self, server_first, binding=None, nonce=None, proof=None):
        fields = dict(part.split("=", 1) for part in server_first.split(","))
        binding = b64(self.header) if binding is None else binding
        without_proof = f"c={binding},r={nonce if nonce is not None else fields['r']}"
        text = f"{self.bare},{server_first},{without_proof}".encode()
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(key).digest(), text, "sha256")
        return without_proof + ",p=" + (b64(bytes(a ^ b for a, b in zip(key, signature))) if proof is None else proof)


def cut_off(sock):
    """Closes with a reset, as a client does that is switched off."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


__all__ = ["DEADLINE_S", "PASSWORD", "Outside", "Scram", "ThreatTest", "b64", "cut_off", "message"]
