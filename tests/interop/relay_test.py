# SPDX-License-Identifier: Apache-2.0
"""Mail that leaves the house through the relayhost: what goes, what comes back, and how it is encrypted on the way."""
import unittest

from nexthop import NextHop
from node import Node, message, user_ldif


class RelayTest(unittest.TestCase):
    """A node with a next hop of ours, which each test sets up as it likes."""
    ldif = ""

    @classmethod
    def setUpClass(cls):
        cls.node = Node(ldif=cls.ldif)
        cls.hop = NextHop(cls.node.address)
        cls.addClassCleanup(cls.node.remove)
        cls.addClassCleanup(cls.hop.close)
        cls.addClassCleanup(cls.node.stop)
        cls.node.overrides.update({"relayhost": cls.hop.address, "retry_min_s": 1, "retry_max_s": 1})
        cls.node.start()

    def submit(self, subject, to="x@far.example"):
        with self.node.submission("ann") as smtp:
            smtp.sendmail("ann@uni.example", [to], message(subject))

    def arrived(self, subject):
        return self.node.wait(lambda: self.hop.with_subject(subject), "the message at the next hop")[0]


class Relay(RelayTest):
    ldif = user_ldif("fwd", extra="phForwardAddress: friend@far.example\nphForwardKeepCopy: TRUE\n")

    def setUp(self):
        self.hop.answer = None

    def test_outside_address_of_a_user(self):
        with self.node.submission("ann") as smtp:
            smtp.sendmail("ann@uni.example", ["x@far.example", "bob@uni.example"], message("out"))
        got = self.node.wait(lambda: self.hop.with_subject("out"), "the message at the next hop")
        self.assertEqual(got[0][:2], ("ann@uni.example", ["x@far.example"]))
        self.node.wait(lambda: [m for m in self.node.messages("bob") if b"Subject: out" in m], "the copy inside")
        self.node.wait_queue_empty()

    def test_strangers_do_not_relay(self):
        with self.node.smtp() as smtp:
            smtp.ehlo()
            smtp.mail("a@out.example")
            for evil in ("x@far.example", "x%far.example@uni.example", "far.example!x@uni.example", "@uni.example:x@far.example",
                         '"x@far.example"@uni.example', "x@[127.0.0.1]"):
                self.assertIn(smtp.docmd(f"RCPT TO:<{evil}>")[0], (501, 550, 553), evil)

    def test_forward_with_a_copy(self):
        with self.node.smtp() as smtp:
            smtp.sendmail("a@out.example", ["fwd@uni.example"], message("onward"))
        got = self.node.wait(lambda: self.hop.with_subject("onward"), "the forwarded message")
        self.assertEqual(got[0][1], ["friend@far.example"])
        self.node.wait(lambda: [m for m in self.node.messages("fwd") if b"Subject: onward" in m], "the copy")

    def test_refusal_becomes_a_report(self):
        self.hop.answer = "550 5.7.1 not here"
        try:
            with self.node.submission("ann") as smtp:
                smtp.sendmail("ann@uni.example", ["y@far.example"], message("bounced"))
            report = self.node.wait(lambda: [m for m in self.node.messages("ann") if b"multipart/report" in m], "the report")[0]
        finally:
            self.hop.answer = None
        self.assertIn(b"Final-Recipient: rfc822;y@far.example", report.replace(b"rfc822; ", b"rfc822;"))
        self.assertIn(b"Status: 5.7.1", report)
        self.assertIn(b"Return-Path: <>", report)
        self.node.wait_queue_empty()

    def test_deferred_is_listed_and_goes_on(self):
        self.hop.answer = "451 4.3.0 later"
        with self.node.submission("ann") as smtp:
            smtp.sendmail("ann@uni.example", ["z@far.example"], message("later"))
        item = self.node.wait(lambda: (q := [i for i in self.node.queue() if i["recipients"][0]["tries"] > 0]) and q[0], "a try")
        self.assertEqual(set(item), {"queue_id", "guid", "sender", "size_bytes", "received", "recipients"})
        self.assertEqual(set(item["recipients"][0]), {"address", "state", "tries", "next_try", "last_reply"})
        self.assertIn("451", item["recipients"][0]["last_reply"])
        self.hop.answer = None
        self.node.wait(lambda: self.hop.with_subject("later"), "the retry")
        self.node.wait_queue_empty()

if __name__ == "__main__":
    unittest.main()
