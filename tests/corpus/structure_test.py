# SPDX-License-Identifier: Apache-2.0
"""What FETCH and SEARCH say of a message, beside what Debian's Dovecot says of the same octets. Each class of differences that we mean is a
row of differences.py with its argument; a difference that no row knows fails, and so does a row that no message needs any more."""
import collections
import os
import re
import socket
import unittest

from node import PASSWORD, NodeTest

import differences
import generated
import packages
from dovecot import PROGRAM, Dovecot
from imap_wire import Imap, No

ITEMS = (b"RFC822.SIZE", b"ENVELOPE", b"BODY", b"BODYSTRUCTURE", b"BODY.PEEK[HEADER]", b"BODY.PEEK[TEXT]", b"BODY.PEEK[HEADER.FIELDS (SUBJECT TO DATE)]",
         b"BODY.PEEK[HEADER.FIELDS.NOT (Subject to DATE)]", b"BODY.PEEK[HEADER.FIELDS (X-NOT-THERE)]", b"BODY.PEEK[]<100.200>", b"BODY.PEEK[TEXT]<7.9>",
         b"BODY.PEEK[999]", b"BODY.PEEK[999.MIME]", b"BODY.PEEK[1.999]")
SEARCHES = (
    "ALL", "SUBJECT folded", "SUBJECT notmuch", "SUBJECT PATCH", "FROM ann", "FROM example", "FROM \"Ann Example\"", "TO bob", "TO b.example", "CC x@y", "BCC a",
    "HEADER Subject \"\"", "HEADER X-Mailer \"\"", "HEADER Message-ID gen.example", "HEADER Content-Type multipart", "HEADER Received by", "HEADER X-Nowhere \"\"",
    "TEXT notmuch", "TEXT boundary", "TEXT \"Ann Example\"", "BODY notmuch", "BODY \"the core\"", "BODY preamble", "BODY \"inner body\"", "BODY \"part 777\"",
    "TEXT nowhere-at-all", "LARGER 100000", "SMALLER 300", "SENTBEFORE 1-Jan-2010", "SENTON 21-Nov-2026", "SENTSINCE 1-Jan-2012",
    "NOT HEADER Subject \"\"", "OR SUBJECT folded SUBJECT nested", "SUBJECT \"one two\"", "SUBJECT a", "NOT SUBJECT a", "HEADER Content-Description second",
    "CHARSET UTF-8 SUBJECT Gr\u00fc\u00dfe", "CHARSET UTF-8 SUBJECT \u65e5\u672c", "CHARSET UTF-8 BODY \u041f\u0440\u0438\u0432\u0435\u0442", "CHARSET UTF-8 BODY Gr\u00fc\u00dfe",
    "CHARSET UTF-8 BODY \u65e5\u672c", "CHARSET UTF-8 TEXT \ud55c\uad6d", "CHARSET UTF-8 SUBJECT GR\u00dc", "CHARSET UTF-8 FROM Andr\u00e9",
    "CHARSET US-ASCII SUBJECT x",
)


def crlf(octets):
    return re.sub(rb"\r?\n", b"\r\n", octets)


def paths(body, prefix=()):
    """The part numbers of a message's BODYSTRUCTURE, as a client counts them (RFC 9051 section 6.4.5.1)."""
    parts = [body]
    if isinstance(body[0], list):
        parts = body[:next(i for i, p in enumerate(body) if not isinstance(p, list))]
    for i, part in enumerate(parts, 1):
        path = prefix + (i,)
        yield path
        if isinstance(part[0], list):
            yield from paths(part, path)
        elif (part[0].lower(), part[1].lower()) == (b"message", b"rfc822"):
            yield from paths(part[8], path)


def apart(ours, theirs, path=()):
    """The places where two answers differ: (path, ours, theirs). Lists of one length are gone into."""
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for i, (a, b) in enumerate(zip(ours, theirs)):
            yield from apart(a, b, path + (i,))
    elif ours != theirs:
        yield path, ours, theirs


@unittest.skipUnless(os.access(PROGRAM, os.X_OK), "no Dovecot: deploy/packages test installs it")
class Structure(NodeTest):
    users = ("ann",)
    settings = {"log_level": "info"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        found = packages.messages() + generated.messages()
        # A NUL is in no literal, and ten mebibytes say no more here than one.
        cls.messages = [(m.name, crlf(m.octets)) for m in found if b"\0" not in m.octets and len(m.octets) < 5 << 20]
        cls.second = Dovecot().__enter__()
        cls.ours, cls.theirs = cls.our_imap(), cls.second.imap()
        for imap in (cls.ours, cls.theirs):
            for _, octets in cls.messages:
                imap.append(b"INBOX", octets)
            imap.command(b"SELECT INBOX")

    @classmethod
    def tearDownClass(cls):
        cls.ours.close()
        cls.theirs.close()
        cls.second.__exit__()
        super().tearDownClass()

    @classmethod
    def our_imap(cls):
        sock = socket.create_connection((cls.node.address, cls.node.ports["imaps"]), timeout=60)
        imap = Imap(cls.node.tls().wrap_socket(sock, server_hostname="mx.uni.example"))
        imap.command(f'LOGIN ann "{PASSWORD}"'.encode())
        return imap

    def setUp(self):
        self.unknown, self.used = [], collections.Counter()

    def compare(self, name, octets, item, ours, theirs):
        for path, a, b in apart(differences.in_order(item, ours), differences.in_order(item, theirs)):
            case = differences.Case(name, octets, item, path, a, b)
            row = next((row for row in differences.ROWS if row.knows(case)), None)
            if row:
                self.used[row.name] += 1
            else:
                self.unknown.append(f"{name}: {item.decode()} {path}: ours {a!r:.300}, Dovecot's {b!r:.300}")

    def judge(self, kind):
        self.assertEqual(len(self.unknown), 0, f"{len(self.unknown)} differences that no row knows:\n" + "\n".join(self.unknown[:40]))
        idle = [row.name for row in differences.ROWS if row.kind == kind and not self.used[row.name]]
        self.assertEqual(idle, [], "rows that nothing needs")

    def test_fetch(self):
        answers = [dict(imap.fetch(b"1:*", b"(" + b" ".join(ITEMS) + b")")) for imap in (self.ours, self.theirs)]
        self.assertEqual(sorted(answers[0]), sorted(answers[1]))
        self.assertEqual(len(answers[0]), len(self.messages))
        for number, (name, octets) in enumerate(self.messages, 1):
            self.assertEqual(sorted(answers[0][number]), sorted(answers[1][number]), name)
            for item, ours in answers[0][number].items():
                self.compare(name, octets, item, ours, answers[1][number][item])
        for number, (name, octets) in enumerate(self.messages, 1):
            numbers = [".".join(map(str, path)).encode() for path in paths(answers[0][number][b"BODYSTRUCTURE"])][:60]
            wanted = b"(" + b" ".join(b"BODY.PEEK[%s.MIME] BODY.PEEK[%s]" % (n, n) for n in numbers) + b")"
            ours, theirs = (imap.fetch(b"%d" % number, wanted)[0][1] for imap in (self.ours, self.theirs))
            for item in ours:
                self.compare(name, octets, item, ours[item], theirs[item])
        self.judge("fetch")

    def test_search(self):
        for text in SEARCHES:
            ours, theirs = (self.search(imap, text) for imap in (self.ours, self.theirs))
            for number in sorted(ours ^ theirs):
                name, octets = self.messages[number - 1]
                self.compare(name, octets, text.encode(), number in ours, number in theirs)
        self.judge("search")

    def search(self, imap, text):
        """Words beyond ASCII go as literals."""
        parts = re.split(r"([^\x00-\x7f]\S*|\S*[^\x00-\x7f]\S*)", text)
        line = b""
        for part in parts:
            word = part.encode()
            line += word if part.isascii() else b"{%d+}\r\n" % len(word) + word
        return set(imap.search(b"SEARCH " + line))

    def test_unknown_charset(self):
        for imap in (self.ours, self.theirs):
            with self.assertRaisesRegex(No, "NO .*BADCHARSET"):
                imap.command(b"SEARCH CHARSET x-no-such-charset SUBJECT a")


if __name__ == "__main__":
    unittest.main()
