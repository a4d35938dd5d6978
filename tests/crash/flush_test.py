# SPDX-License-Identifier: Apache-2.0
"""No 250 before a flush: strace watches the daemons while messages go in, one at a time, and sees a sync between DATA and each 250."""
import imaplib
import re
import smtplib
import unittest

from node import DEADLINE_S, NodeTest, PASSWORD, message

SYNC = re.compile(r"(fdatasync|fsync)(\(|  ?resumed)")


class Flush(NodeTest):
    settings = {"auth_plaintext": "trusted"}

    def trace(self, daemon, work):
        return self.node.trace(daemon, ["-s", "120", "-e", "trace=fdatasync,fsync,write,writev,sendto,sendmsg"], work).splitlines(True)

    def check(self, lines, begins, ends, count):
        """Between each line that begins and the next that ends there is a sync; so many pairs there are."""
        pairs, flushed, waiting = 0, False, False
        for line in lines:
            if begins in line:
                flushed, waiting = False, True
            elif SYNC.search(line) and "= 0" in line:
                flushed = True
            elif waiting and ends in line:
                self.assertTrue(flushed, f"no sync before: {line}")
                pairs, waiting = pairs + 1, False
        self.assertEqual(pairs, count, "".join(lines[-40:]))

    def test_smtp(self):
        def work():
            with self.node.smtp() as smtp:
                for size in (10, 1000, 100, 200000):  # the last one is a file in the spool
                    smtp.sendmail("a@out.example", ["ann@uni.example"], message(f"m{size}", "x\r\n" * size))
        self.check(self.trace("mta", work), '"354 ', "2.0.0 queued as", 4)
        self.node.wait_queue_empty()

    def chunks(self, wire, hello):
        """Messages in chunks, one after the other: the last chunk of each is sent when all before were answered."""
        wire.reply()
        wire.say(hello)
        for size in (10, 200000):
            text = message(f"b{size}", "x\r\n" * size).encode()
            for line in ("MAIL FROM:<a@out.example>", "RCPT TO:<eve@uni.example>"):
                self.assertEqual(wire.say(line), 250)
            wire.send(b"BDAT %d\r\n%b" % (len(text), text))
            self.assertEqual(wire.reply()[0], 250)
            self.assertEqual(wire.say("BDAT 0 LAST"), 250)
        wire.close()

    def test_bdat(self):
        """The sync comes behind the last chunk, not only behind those before it."""
        self.check(self.trace("mta", lambda: self.chunks(self.node.raw("smtp"), "EHLO x")), "chunk received", "2.0.0 queued as", 2)
        self.node.wait_queue_empty()
        self.check(self.trace("popimap", lambda: self.chunks(self.node.raw("lmtp"), "LHLO x")), "chunk received", "2.0.0 delivered", 2)

    def test_lmtp(self):
        def work():
            with smtplib.LMTP(self.node.address, self.node.ports["lmtp"], local_hostname="client.example") as lmtp:
                for size in (10, 1000, 100000):
                    lmtp.sendmail("a@out.example", ["bob@uni.example"], message(f"m{size}", "x\r\n" * size))
        self.check(self.trace("popimap", work), '"354 ', '"250 ', 3)

    def test_append(self):
        def work():
            imap = imaplib.IMAP4(self.node.address, self.node.ports["imap"], timeout=DEADLINE_S)
            imap.login("eve", PASSWORD)
            for size in (10, 100000):
                self.assertEqual(imap.append("INBOX", None, None, message(f"m{size}", "x\r\n" * size).encode())[0], "OK")
            imap.logout()
        self.check(self.trace("popimap", work), '"+ ', "[APPENDUID", 2)


if __name__ == "__main__":
    unittest.main()
