# SPDX-License-Identifier: Apache-2.0
"""Messages made to hurt whoever reads them: in over SMTP, out over IMAP and POP3, with the structure asked for. Each row is tried for what
is answered and what is kept, and for the work: twice as much of it costs the daemons about twice the CPU, not four times."""
import glob
import os
import poplib
import re
import socket
import unittest

from imap_wire import Imap
from node import PASSWORD
from threat import ThreatTest

poplib._MAXLINE = 1 << 26
MANY = 100000
PARTS_MAX = 10000      # mail/mime.h
ADDRESSES_MAX = 10000  # mail/envelope.h, of one field
# A quadratic reader of MANY needs minutes where a linear one needs tenths of a second: factor 4 against 2, with room for a noisy machine.
LINEAR_FACTOR, LINEAR_SLACK_S = 3, 0.5


def repeated(before, each, after=b"\r\nSubject: last\r\n\r\nthe body\r\n"):
    """A message that grows with n: each is octets, or makes them of a number."""
    return lambda n: before + (each * n if isinstance(each, bytes) else b"".join(each(i) for i in range(n))) + after


ADDR_LIST = {
    "folded": repeated(b"To: x@example.org", lambda i: b",\r\n User %d <user%d@example.org>" % (i, i)),
    "one line": repeated(b"To: x@example.org", lambda i: b",user%d@example.org" % i),
    "many fields": repeated(b"Cc: x@example.org", lambda i: b"\r\nTo: user%d@example.org" % i),
    "open comments": repeated(b"From: ", b"("),
    "comments": repeated(b"To: ", b"(a)", b"<a@b>\r\nSubject: last\r\n\r\nx\r\n"),
    "quotes": repeated(b"Cc: \"", b'"'),
    "backslashes": repeated(b"To: \"", b"\\"),
    "groups": repeated(b"Bcc: ", b"g:"),
    "ended groups": repeated(b"Bcc: ", b"g:a@b;,"),
    "angles": repeated(b"From: ", b"<"),
    "words": repeated(b"From: ", b"a "),
    "routes": repeated(b"From: <", b"@a,", b":u@b>\r\nSubject: last\r\n\r\nx\r\n"),
    "references": repeated(b"References:", lambda i: b" <a%d@b>" % i),
    "open references": repeated(b"In-Reply-To: ", b"<"),
    "encoded words": repeated(b"Subject: ", b"=?utf-8?q?=41?=\r\n ", b"x\r\n\r\nx\r\n"),
    "half words": repeated(b"Subject: ", b"=?utf-8?q?", b"x\r\n\r\nx\r\n"),
    "replies": repeated(b"Subject: ", b"[fwd: ", b"x\r\n\r\nx\r\n"),
}
MIME_BOMB = {
    "parts": repeated(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"--b\r\n\r\nx\r\n", b"--b--\r\n"),
    "parts with fields": repeated(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"--b\r\nContent-Type: text/x; a=b; c*0=d; c*1=e\r\n\r\nx\r\n", b"--b--\r\n"),
    "nested": repeated(b"X: y\r\n", lambda i: b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i), b"\r\nx\r\n"),
    "nested prefixes": repeated(b"X: y\r\n", lambda i: b"Content-Type: multipart/mixed; boundary=%s\r\n\r\n--%s\r\n" % (b"b" * (i % 70 + 1), b"b" * (i % 70 + 1)), b"\r\nx\r\n"),
    "messages": repeated(b"", b"Content-Type: message/rfc822\r\n\r\n", b"\r\nx\r\n"),
    "digest": repeated(b"Content-Type: multipart/digest; boundary=b\r\n\r\n", b"--b\r\n\r\nFrom: a@b\r\nTo: c@d\r\n\r\nx\r\n", b"--b--\r\n"),
    "the same boundary": repeated(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n", b"\r\nx\r\n"),
    "boundaries that are none": repeated(b"Content-Type: multipart/mixed; boundary=" + b"b" * 70 + b"\r\n\r\n", b"--" + b"b" * 69 + b"\r\n", b"\r\nx\r\n"),
    "parameters": repeated(b"Content-Type: text/plain", lambda i: b";\r\n p%d=v" % i),
    "sections": repeated(b"Content-Disposition: attachment", lambda i: b";\r\n filename*%d*=%%41" % i),
    "semicolons": repeated(b"Content-Type: text/plain", b";"),
    "languages": repeated(b"Content-Language: de", b",en"),
    "fields": repeated(b"", lambda i: b"X-%d: y\r\n" % i, b"\r\nthe body\r\n"),
    "folds": repeated(b"X: y", b"\r\n z"),
}
# What is odd, and the envelope that says so: (Subject, From, To). None: not asked.
CUT = b"\xc3"
ODD_SYNTAX = {
    "comment ends in a backslash": (b"From: (a\\\r\nTo: x@y\r\n\r\nx\r\n", None, None, [[None, None, b"x", b"y"]]),
    "quote ends in a backslash": (b"From: \"a\\\r\nTo: x@y\r\n\r\nx\r\n", None, [[None, None, b"a\\", b""]], [[None, None, b"x", b"y"]]),
    "group": (b"From: a@b\r\nTo: g:a@b,c@d;\r\n\r\nx\r\n", None, [[None, None, b"a", b"b"]],
              [[None, None, b"g", None], [None, None, b"a", b"b"], [None, None, b"c", b"d"], [None, None, None, None]]),
    "empty group": (b"To: undisclosed:;\r\n\r\nx\r\n", None, None, [[None, None, b"undisclosed", None], [None, None, None, None]]),
    "group that does not end": (b"To: g: a@b\r\n\r\nx\r\n", None, None, [[None, None, b"g", None], [None, None, b"a", b"b"], [None, None, None, None]]),
    "empty From": (b"From:\r\nTo: x@y\r\nSubject:\r\n\r\nx\r\n", b"", None, [[None, None, b"x", b"y"]]),
    "From <>": (b"From: <>\r\n\r\nx\r\n", None, [[None, None, b"", b""]], None),
    "cut UTF-8": (b"Subject: a" + CUT + b"\r\nFrom: " + CUT + b" <a@b>\r\n\r\n" + CUT, b"a" + CUT, [[CUT, None, b"a", b"b"]], None),
    "cut UTF-8 in an encoded word": (b"Subject: =?utf-8?q?=C3?=\r\n\r\nx\r\n", b"=?utf-8?q?=C3?=", None, None),
    "a bad date": (b"Date: Fri, 99 Foo -1 99:99:99 +9999\r\nSubject: x\r\n\r\nx\r\n", b"x", None, None),
    "no fields": (b"\\\r\n: x\r\n:\r\nno colon\r\nx\r\n", None, None, None),
    "a binary name": (b"\xff\xfe: \xc3\r\nContent-Type: text/plain; charset=\"\\\r\n\r\nx\r\n", None, None, None),
    "nothing": (b"", None, None, None),
    "one long line": (b"x" * MANY + b"\r\n", None, None, None),
    "NUL": (b"Subject: ab\r\nFrom: a@b\r\n\r\n\0\0x\r\n", b"ab", [[None, None, b"a", b"b"]], None),
    "a charset that is a path": (b"Subject: =?../../%s%n?q?a?=\r\nContent-Type: text/plain; charset=\"../../%s%n\"\r\nContent-Transfer-Encoding: x\r\n\r\n+\r\n",
                                 b"=?../../%s%n?q?a?=", None, None),
    "utf-7": (b"Content-Type: text/plain; charset=utf-7\r\n\r\n" + b"+" * MANY + b"\r\n", None, None, None),
    "iso-2022": (b"Content-Type: text/plain; charset=iso-2022-jp-2\r\n\r\n" + b"\x1b$B" * MANY + b"\r\n", None, None, None),
    "base64": (b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"=A" * MANY + b"\r\n", None, None, None),
    "quoted-printable": (b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=" * MANY + b"\r\n" + b"=\r\n" * MANY,
                         None, None, None),
}


class Content(ThreatTest):
    users = ("ann", "bob", "eve")
    settings = {"log_level": "info", "smtp_bare_newline": "normalize"}
    linear = True  # where CPU is what it is in production

    # --- the messages' way ---

    def deliver(self, who, text):
        with self.stranger() as wire:
            self.assertEqual(wire.say(f"RCPT TO:<{who}@uni.example>"), 250)
            self.assertEqual(wire.say("DATA"), 354)
            wire.send(re.sub(rb"(?m)^\.", b"..", text) + (b"" if text.endswith(b"\r\n") or not text else b"\r\n") + b".\r\n")
            self.assertEqual(wire.reply()[0], 250)
        self.node.wait_queue_empty()
        self.arrives[who] += 1

    def open(self, who):
        sock = socket.create_connection((self.node.address, self.node.ports["imaps"]), timeout=120)
        imap = Imap(self.node.tls().wrap_socket(sock, server_hostname="mx.uni.example"))
        imap.command(f'LOGIN {who} "{PASSWORD}"'.encode())
        imap.command(b"SELECT INBOX")
        return imap

    def read(self, who, text):
        """The newest message: its envelope and structure; nothing of it is lost, whatever they say."""
        imap = self.open(who)
        number, items = imap.fetch(b"*", b"(ENVELOPE BODY BODYSTRUCTURE RFC822.SIZE BODY.PEEK[])")[-1]
        whole = items[b"BODY[]"]
        text = text.replace(b"\0", b"")  # normalize drops them
        self.assertTrue(whole.endswith(text if text.endswith(b"\r\n") or not text else text + b"\r\n"), "octets")
        self.assertEqual(int(items[b"RFC822.SIZE"]), len(whole))
        return imap, b"%d" % number, items

    def cpu_s(self):
        """CPU that the daemons have used, all threads."""
        total = 0
        for pid in self.node.daemon_pids().values():
            for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
                with open(path, encoding="ascii") as stream:
                    total += int(stream.read().split()[0])
        return total / 1e9

    def work(self, who, text):
        """CPU of a message's whole way: in, described, searched, read in part."""
        before = self.cpu_s()
        self.deliver(who, text)
        imap = self.open(who)
        imap.fetch(b"*", b"(ENVELOPE BODY BODYSTRUCTURE BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[9999] BODY.PEEK[2.1.1.1] "
                         b"BODY.PEEK[HEADER.FIELDS (X-5 TO)] BODY.PEEK[HEADER.FIELDS.NOT (X-5 TO)])")
        self.assertEqual(imap.search(b"SEARCH UID * TEXT nowhere-at-all"), [])
        imap.close()
        return self.cpu_s() - before

    def is_linear(self, who, families):
        if not self.linear:
            self.skipTest("CPU says nothing under a sanitizer")
        self.work(who, b"Subject: warm\r\n\r\nx\r\n")
        for name, make in families.items():
            with self.subTest(name):
                half, whole = self.work(who, make(MANY // 2)), self.work(who, make(MANY))
                self.assertLess(whole, LINEAR_FACTOR * half + LINEAR_SLACK_S, f"{half:.3f} s of CPU for {MANY // 2}, {whole:.3f} s for {MANY}")

    # --- addr-list ---

    def test_addr_list(self):
        for name, make in ADDR_LIST.items():
            with self.subTest(name):
                text = make(MANY)
                self.deliver("ann", text)
                imap, number, items = self.read("ann", text)
                envelope = items[b"ENVELOPE"]
                self.assertEqual(len(envelope), 10)
                for addresses in envelope[2:8]:
                    self.assertLessEqual(len(addresses or ()), 3 * ADDRESSES_MAX + 2)  # a group is three
                if name in ("folded", "one line"):
                    self.assertEqual(envelope[5][1][2:], [b"user0", b"example.org"])
                    self.assertGreater(len(envelope[5]), 5000)
                if name == "encoded words":
                    self.assertEqual(imap.search(b"SEARCH SUBJECT AAAAA"), [int(number)])
                imap.close()

    def test_addr_list_linear(self):
        self.is_linear("ann", ADDR_LIST)

    # --- mime-bomb ---

    def test_mime_bomb(self):
        for name, make in MIME_BOMB.items():
            with self.subTest(name):
                text = make(MANY if name not in ("nested", "nested prefixes", "messages") else MANY // 5)
                self.deliver("bob", text)
                imap, number, items = self.read("bob", text)
                self.assertLessEqual(self.parts(items[b"BODYSTRUCTURE"]), PARTS_MAX)
                if name == "parts":
                    self.assertGreater(self.parts(items[b"BODYSTRUCTURE"]), PARTS_MAX - 2)
                imap.fetch(number, b"(" + b" ".join([b"BODY.PEEK[9998]"] * 190) + b")")
                found = imap.fetch(number, b"(BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[9999] BODY.PEEK[2.1.1.1] BODY.PEEK[HEADER.FIELDS (X-5)])")[0][1]
                if name == "fields":
                    self.assertTrue(found[b"BODY[HEADER.FIELDS (X-5)]"].startswith(b"X-5: y\r\n"))
                if name == "parts":
                    self.assertEqual(found[b"BODY[1]"], b"x")
                imap.close()

    def parts(self, body):
        """Leaves of a BODYSTRUCTURE, without recursion."""
        count, waiting = 0, [body]
        while waiting:
            part = waiting.pop()
            if isinstance(part[0], list):
                waiting += [p for p in part if isinstance(p, list) and p and (isinstance(p[0], list) or len(p) > 6)]
                continue
            count += 1
            if part[0].lower() == b"message" and isinstance(part[8], list):
                waiting.append(part[8])
        return count

    def test_mime_bomb_linear(self):
        self.is_linear("bob", MIME_BOMB)

    # --- odd-syntax ---

    def test_odd_syntax(self):
        for name, (text, subject, sender, recipients) in ODD_SYNTAX.items():
            with self.subTest(name):
                self.deliver("eve", text)
                imap, number, items = self.read("eve", text)
                envelope = items[b"ENVELOPE"]
                for got, want in ((envelope[1], subject), (envelope[2], sender), (envelope[5], recipients)):
                    if want is not None:
                        self.assertEqual(got, want)
                self.assertEqual(imap.search(b"SEARCH CHARSET UTF-8 TEXT nowhere-at-all"), [])
                imap.close()
        pop = self.node.pop3("eve")
        sizes = {int(line.split()[0]): int(line.split()[1]) for line in pop.list()[1]}
        self.assertEqual(len(sizes), len(ODD_SYNTAX))
        for number, size in sizes.items():
            self.assertEqual(sum(len(line) + 2 for line in pop.retr(number)[1]), size)
        pop.quit()

    def test_thousand_recipients_over_lmtp(self):
        with self.node.raw("lmtp") as wire:
            wire.reply()
            wire.say("LHLO client.example")
            self.assertEqual(wire.say("MAIL FROM:<x@out.example>"), 250)
            wire.send("".join(f"RCPT TO:<{('ann', 'nobody')[n % 10 == 9]}+{n}@uni.example>\r\n" for n in range(1010)))
            codes = [wire.reply()[0] for _ in range(1010)]
            good = codes.count(250)
            self.assertEqual((good, codes.count(550) + codes.count(452)), (909, 101))
            self.assertEqual(wire.say("DATA"), 354)
            wire.send("Subject: many\r\n\r\nx\r\n.\r\nNOOP\r\n")
            self.assertEqual([wire.reply()[0] for _ in range(good + 1)], [250] * (good + 1))
        self.arrives["ann"] += good


if __name__ == "__main__":
    unittest.main()
