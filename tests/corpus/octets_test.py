# SPDX-License-Identifier: Apache-2.0
"""What goes in comes out, octet by octet: over SMTP (behind our trace headers) and by APPEND, read over IMAP in every way, and over POP3."""
import contextlib
import re
import socket
import unittest

from node import PASSWORD, NodeTest

import generated
import packages
from imap_wire import Imap, No

PIECE = 3333  # of partial fetches


def trace_of(login):
    """The header lines that we add to what sender m1, m2, … sent to that user."""
    to = login.encode() + rb"@uni\.example"
    return re.compile(rb"Return-Path: <m(\d+)@out\.example>\r\nDelivered-To: " + to + rb"\r\n"
                      rb"Received: from client\.example \(\[127\.\d+\.\d+\.\d+\]\)\r\n\tby mx\.uni\.example \(Posthouse\) with ESMTP\r\n"
                      rb"\tid [0-9A-Za-z]+\r\n\tfor <" + to + rb">; [A-Z][a-z]{2}, \d\d? [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\r\n")


def crlf(octets):
    return re.sub(rb"\r?\n", b"\r\n", octets)


def may_go_by_smtp(octets):
    """A bare CR or a NUL is no mail (RFC 5321 section 2.3.8): refused, which the tests of the protocol show."""
    return b"\0" not in octets and b"\r" not in octets.replace(b"\r\n", b"")


def body_at(octets):
    """Where the body starts: behind the first empty line (RFC 5322 section 2.1)."""
    at = 0
    for line in octets.split(b"\n"):
        at += len(line) + 1
        if line in (b"", b"\r"):
            break
    return min(at, len(octets))


class Pop3:
    """Reads the lines as they are: poplib forgets how a line ended."""

    def __init__(self, sock):
        self.sock, self.stream = sock, sock.makefile("rb", 1 << 20)
        self.line()

    def line(self):
        line = self.stream.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the connection ended")
        return line

    def say(self, text):
        self.sock.sendall(text + b"\r\n")
        answer = self.line()
        if not answer.startswith(b"+OK"):
            raise AssertionError(f"{text!r}: {answer!r}")
        return answer

    def multi(self, text):
        """The octets of a multi-line answer, without stuffing and without its end."""
        self.say(text)
        lines = []
        while True:
            line = self.line()
            if line == b".\r\n":
                return b"".join(lines)
            lines.append(line[1:] if line.startswith(b".") else line)

    def close(self):
        self.stream.close()
        self.sock.close()


class Octets(NodeTest):
    users = ("ann", "bob", "eve")
    settings = {"log_level": "info"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.messages = packages.messages() + generated.messages()

    def setUp(self):
        self.bad = []

    def tearDown(self):
        self.assertEqual(len(self.bad), 0, f"{len(self.bad)} differ:\n" + "\n".join(self.bad[:20]))

    @contextlib.contextmanager
    def collecting(self, name, what):
        """One message that differs hides no other."""
        try:
            yield
        except AssertionError as error:
            self.bad.append(f"{name} {what}: {error}")

    def connect(self, service):
        sock = socket.create_connection((self.node.address, self.node.ports[service]), timeout=60)
        return self.node.tls().wrap_socket(sock, server_hostname="mx.uni.example")

    def imap(self, login):
        imap = Imap(self.connect("imaps"))
        imap.command(f'LOGIN {login} "{PASSWORD}"'.encode())
        return imap

    def same(self, name, got, want):
        if got == want:
            return
        at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
        raise AssertionError(f"{name}: {len(got)} octets, want {len(want)}; differs at {at}: "
                             f"{got[max(0, at - 20):at + 40]!r}, want {want[max(0, at - 20):at + 40]!r}")

    def check_imap(self, login, wanted):
        """wanted: {number: (name, octets)}. Every way to read a message gives the same octets."""
        imap = self.imap(login)
        imap.command(b"SELECT INBOX")
        small = b",".join(b"%d" % n for n, (_, octets) in wanted.items() if len(octets) < 1 << 20)
        pieces = b" ".join(b"BODY.PEEK[]<%d.%d>" % (at, PIECE) for at in range(0, 9 * PIECE, PIECE))
        for items in (b"(RFC822.SIZE BODY.PEEK[])", b"(RFC822)", b"(BODY.PEEK[HEADER] BODY.PEEK[TEXT])", b"(RFC822.HEADER RFC822.TEXT)", b"(BODY.PEEK[TEXT])",
                      b"(BODY.PEEK[HEADER])", b"(" + pieces + b")"):
            numbers = small if b"<" in items else b"1:*"
            found = imap.fetch(numbers, items)
            self.assertEqual(len(found), numbers.count(b",") + 1 if numbers == small else len(wanted))
            for number, got in found:
                name, octets = wanted[number]
                with self.collecting(name, items[:40]):
                    self.check_items(name, got, octets, items)
        for number, (name, octets) in wanted.items():
            if len(octets) >= 1 << 20:
                got = b"".join(imap.fetch(b"%d" % number, b"BODY.PEEK[]<%d.%d>" % (at, 1 << 20))[0][1][b"BODY[]<%d>" % at]
                               for at in range(0, len(octets), 1 << 20))
                self.same(name, got, octets)
        imap.close()

    def check_items(self, name, got, octets, items):
        if b"RFC822.SIZE" in got:
            self.assertEqual(int(got[b"RFC822.SIZE"]), len(octets))
        if b"<" in items:
            whole = b"".join(got[b"BODY[]<%d>" % at] for at in range(0, 9 * PIECE, PIECE))
            self.same(name, whole, octets[:9 * PIECE])
            return
        for whole in (b"BODY[]", b"RFC822"):
            if whole in got:
                self.same(name, got[whole], octets)
        at = body_at(octets)
        for what, want in ((b"HEADER", octets[:at]), (b"TEXT", octets[at:])):
            for item in (b"BODY[" + what + b"]", b"RFC822." + what):
                if item in got:
                    self.same(name, got[item], want)

    def check_pop3(self, login, wanted):
        pop = Pop3(self.connect("pop3s"))
        pop.say(b"USER " + login.encode())
        pop.say(b"PASS " + PASSWORD.encode())
        sizes = dict(map(int, line.split()) for line in pop.multi(b"LIST").splitlines())
        self.assertEqual(sorted(sizes), sorted(wanted))
        stat = pop.say(b"STAT").split()
        self.assertEqual((int(stat[1]), int(stat[2])), (len(sizes), sum(sizes.values())))
        for number, (name, octets) in wanted.items():
            with self.collecting(name, "POP3"):
                # POP3 cannot say that the last line has no end (RFC 1939 section 3): it gets one, and its two octets are counted.
                ended = octets if octets.endswith(b"\n") or not octets else octets + b"\r\n"
                self.same(name, pop.multi(b"RETR %d" % number), ended)
                self.assertEqual(sizes[number], len(ended), name)
                self.assertEqual(int(pop.say(b"LIST %d" % number).split()[2]), len(ended))
        pop.close()

    def test_bdat_in(self):
        """The same by BDAT (RFC 3030), in chunks that end anywhere; a message whose last line has no end gets one on its way."""
        sent = {}
        with self.node.raw("smtp") as wire:
            wire.reply()
            self.assertEqual(wire.say("EHLO client.example"), 250)
            for i, message in enumerate(self.messages):
                octets = crlf(message.octets)
                if len(octets) > 1 << 20 or not octets:
                    continue
                cut = (i * 7919) % len(octets)
                wire.send(f"MAIL FROM:<m{i}@out.example> BODY=8BITMIME\r\nRCPT TO:<eve@uni.example>\r\nBDAT {cut}\r\n".encode() + octets[:cut] +
                          f"BDAT {len(octets) - cut} LAST\r\n".encode() + octets[cut:])
                codes = [wire.reply()[0] for _ in range(4)]
                self.assertEqual(codes[:2], [250, 250], message.name)
                if codes[3] == 250:
                    sent[i] = (message.name, octets + (b"" if octets.endswith(b"\r\n") else b"\r\n"))
                self.assertEqual(codes[3] == 250, may_go_by_smtp(octets), f"{message.name}: {codes}")
        self.assertGreater(len(sent), 400)
        self.node.wait_queue_empty()
        imap = self.imap("eve")
        imap.command(b"SELECT INBOX")
        for _, got in imap.fetch(b"1:*", b"(BODY.PEEK[])"):
            trace = trace_of("eve").match(got[b"BODY[]"])
            self.assertIsNotNone(trace, got[b"BODY[]"][:300])
            name, octets = sent.pop(int(trace[1]))
            with self.collecting(name, "BDAT"):
                self.same(name, got[b"BODY[]"][trace.end():], octets)
        imap.close()
        self.assertEqual(sent, {})

    def test_smtp_in(self):
        sent = {}
        with self.node.raw("smtp") as wire:
            wire.reply()
            self.assertEqual(wire.say("EHLO client.example"), 250)
            for i, message in enumerate(self.messages):
                octets = crlf(message.octets)
                octets += b"" if octets.endswith(b"\r\n") or not octets else b"\r\n"  # DATA ends a line (RFC 5321 section 4.1.1.4)
                wire.send(f"MAIL FROM:<m{i}@out.example> BODY=8BITMIME\r\nRCPT TO:<bob@uni.example>\r\nDATA\r\n")
                self.assertEqual([wire.reply()[0] for _ in range(3)], [250, 250, 354], message.name)
                wire.send(re.sub(rb"(?m)^\.", b"..", octets) + b".\r\n")
                code = wire.reply()[0]
                if may_go_by_smtp(octets):
                    sent[i] = (message.name, octets)
                self.assertEqual(code, 250 if i in sent else 550, message.name)
        self.assertGreater(len(sent), 400)
        self.node.wait_queue_empty()
        imap = self.imap("bob")
        imap.command(b"SELECT INBOX")
        wanted = {}
        for number, got in imap.fetch(b"1:*", b"(BODY.PEEK[])"):
            trace = trace_of("bob").match(got[b"BODY[]"])
            self.assertIsNotNone(trace, got[b"BODY[]"][:300])
            name, octets = sent.pop(int(trace[1]))
            self.same(name, got[b"BODY[]"][trace.end():], octets)
            wanted[number] = (name, trace[0] + octets)
        imap.close()
        self.assertEqual(sent, {})
        self.check_imap("bob", wanted)
        self.check_pop3("bob", wanted)

    def test_append(self):
        """APPEND stores what was sent, bare CR and LF too; only a NUL is refused (RFC 9051 section 4.3)."""
        imap = self.imap("ann")
        wanted = {}
        for message in self.messages:
            if b"\0" in message.octets:
                with self.assertRaises(No, msg=message.name) as refused:
                    imap.append(b"INBOX", message.octets)
                self.assertIn("NUL", str(refused.exception))
            else:
                imap.append(b"INBOX", message.octets)
                wanted[len(wanted) + 1] = (message.name, message.octets)
        self.assertGreater(len(wanted), 400)
        self.check_imap("ann", wanted)
        # What is known of the octets survives flags that are set and copies.
        for command in (b"SELECT INBOX", b"STORE 1:* FLAGS.SILENT (\\Flagged)", b"CREATE away", b"MOVE 1:* away", b"SELECT away", b"COPY 1:* INBOX"):
            imap.command(command)
        imap.close()
        self.check_pop3("ann", wanted)


if __name__ == "__main__":
    unittest.main()
