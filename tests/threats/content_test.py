# SPDX-License-Identifier: Apache-2.0
"""Messages made to hurt whoever reads them: in over SMTP, out over IMAP, with the structure asked for. The deadlines of the test node
are the bound on time: what is quadratic in a hundred thousand does not meet them."""
import imaplib
import poplib
import unittest

from node import NodeTest

imaplib._MAXLINE = 1 << 26  # a BODYSTRUCTURE is one line
poplib._MAXLINE = 1 << 26
MANY = 100000


class Content(NodeTest):
    settings = {"log_level": "info", "smtp_bare_newline": "normalize"}

    def deliver(self, text):
        with self.node.raw("smtp") as wire:
            wire.reply()
            for line in ("EHLO client.example", "MAIL FROM:<x@out.example>", f"RCPT TO:<{self.who}@uni.example>"):
                self.assertEqual(wire.say(line), 250)
            self.assertEqual(wire.say("DATA"), 354)
            wire.send(text + b"\r\n.\r\n")
            self.assertEqual(wire.reply()[0], 250)
        self.node.wait_queue_empty()

    def fetch(self, imap, number, items="ENVELOPE BODY BODYSTRUCTURE"):
        status, data = imap.fetch(str(number), f"({items})")
        self.assertEqual(status, "OK")
        return b"".join(b"".join(d) if isinstance(d, tuple) else d for d in data)

    def test_addr_list(self):
        self.who = "ann"
        # One after the other: the order of deliveries is nobody's promise.
        for text in (b"To: " + b",\r\n ".join(b"User %d <user%d@example.org>" % (i, i) for i in range(MANY)) + b"\r\nSubject: folded\r\n\r\nhi",
                     b"To: " + b",".join(b"user%d@example.org" % i for i in range(MANY)) + b"\r\nSubject: one line\r\n\r\nhi",
                     b"From: " + b"(" * MANY + b"\r\nTo: " + b"(a)" * MANY + b"<a@b>\r\nCc: " + b'"' * (MANY + 1) + b"\r\nBcc: " + b"g:" * MANY + b"\r\n\r\nx",
                     b"References: " + b" ".join(b"<a%d@b>" % i for i in range(MANY)) + b"\r\nIn-Reply-To: " + b"<" * MANY + b"\r\n\r\nx",
                     b"Subject: " + b"=?utf-8?q?=41?=\r\n " * MANY + b"\r\n\r\nx", b"Subject: " + b"[fwd: " * MANY + b"x" + b"]" * MANY + b"\r\n\r\nx"):
            self.deliver(text)
        imap = self.node.imap("ann")
        imap.select()
        self.assertIn(b'"folded"', self.fetch(imap, 1))
        self.assertIn(b'"user0" "example.org"', self.fetch(imap, 2))
        for number in (3, 4, 5, 6):
            self.assertIn(b"ENVELOPE", self.fetch(imap, number))
        self.assertEqual(imap.search(None, "SUBJECT", "AAAAA"), ("OK", [b"5"]))
        self.assertEqual(imap.search(None, "TEXT", "nowhere")[0], "OK")
        imap.logout()

    def test_mime_bomb(self):
        self.who = "bob"
        nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i) for i in range(20000))
        whole = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * MANY + b"--b--\r\n"
        for text in (whole, nested + b"x", b"Content-Type: message/rfc822\r\n\r\n" * 20000 + b"x",
                     b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" * 20000,
                     b"Content-Type: text/plain" + b"".join(b"; \r\n p%d=v" % i for i in range(MANY)) + b"\r\n\r\nx",
                     b"Content-Disposition: attachment" + b"".join(b"; \r\n filename*%d*=%%41" % i for i in range(MANY)) + b"\r\n\r\nx",
                     b"".join(b"X-%d: y\r\n" % i for i in range(2 * MANY)) + b"\r\nx"):
            self.deliver(text)
        imap = self.node.imap("bob")
        imap.select()
        for number in range(1, 8):
            self.assertIn(b"BODYSTRUCTURE", self.fetch(imap, number))
            self.fetch(imap, number, " ".join(["BODY.PEEK[9998]"] * 190))
            self.fetch(imap, number, "BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[9999] BODY.PEEK[2.1.1.1] BODY.PEEK[HEADER.FIELDS (X-5 TO)]")
        self.assertIn(whole, self.fetch(imap, 1, "BODY.PEEK[]"))  # nothing of it is lost, whatever the structure says
        self.assertEqual(imap.search(None, "TEXT", "nowhere")[0], "OK")
        imap.logout()

    def test_odd_syntax(self):
        self.who = "eve"
        odd = (b"From: (a\\\r\nTo: g:a@b,c@d;,<>;:\r\nCc: \r\nReply-To:\r\nSender: \"a\r\nSubject: =?utf-8?q?=C3?=\r\nDate: Fri, 99 Foo -1 99:99:99 +9999\r\n\r\nx",
               b"From: \\\r\n: x\r\n:\r\nno colon\r\nx", b"\xff\xfe: \xc3\r\nContent-Type: text/plain; charset=\"\\\r\n\r\nx", b"", b"x" * MANY,
               b"Subject: a\0b\r\nFrom: a\0@b\r\n\r\n\0\0x", b"Content-Type: text/plain; charset=\"../../%s%n\"\r\nContent-Transfer-Encoding: x\r\n\r\n+",
               b"Content-Type: text/plain; charset=utf-7\r\n\r\n" + b"+" * MANY, b"Content-Type: text/plain; charset=iso-2022-jp-2\r\n\r\n" + b"\x1b$B" * MANY,
               b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"=A" * MANY,
               b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=" * MANY + b"\r\n" + b"=\r\n" * MANY)
        for text in odd:
            self.deliver(text)
        imap = self.node.imap("eve")
        imap.select()
        for number in range(1, len(odd) + 1):
            self.assertIn(b"BODYSTRUCTURE", self.fetch(imap, number))
        self.assertEqual(imap.search("UTF-8", "TEXT", "nowhere"), ("OK", [b""]))
        imap.logout()
        pop = self.node.pop3("eve")
        self.assertEqual(pop.stat()[0], len(odd))
        sizes = {int(line.split()[0]): int(line.split()[1]) for line in pop.list()[1]}
        for number, size in sizes.items():
            with self.subTest(number=number):
                lines = pop.retr(number)[1]
                self.assertEqual(sum(len(line) + 2 for line in lines), size)
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


if __name__ == "__main__":
    unittest.main()
