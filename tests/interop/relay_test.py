# SPDX-License-Identifier: Apache-2.0
"""Mail that leaves the house through the relayhost: what goes, what comes back, and how it is encrypted on the way."""
import unittest

from nexthop import NextHop, server_context
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
        self.assertEqual(set(item["recipients"][0]), {"address", "destination", "state", "tries", "next_try", "last_reply"})
        self.assertIn("451", item["recipients"][0]["last_reply"])
        self.hop.answer = None
        self.node.wait(lambda: self.hop.with_subject("later"), "the retry")
        self.node.wait_queue_empty()

class Encryption(RelayTest):
    """relayhost_tls against a next hop with a good certificate, with a certificate nobody vouches for, with broken TLS, with none."""

    def setUp(self):
        self.hop.context = server_context(self.node.path("tls.pem"), self.node.path("tls.key"))
        self.hop.break_tls, self.hop.handshakes = False, 0

    def tearDown(self):
        self.node.run("queue", "delete", "--all")

    def demand(self, policy, ca="tls.pem"):
        self.node.change_settings("mta", relayhost_tls=policy, tls_ca_file=self.node.path(ca))

    def deferred(self, subject):
        """It waits in the queue with a reason, and nothing of it left."""
        item = self.node.wait(lambda: (q := [i for i in self.node.queue() if i["recipients"][0]["tries"] > 0]) and q[0], "a try")
        self.assertEqual(self.hop.with_subject(subject), [])
        return item["recipients"][0]["last_reply"]

    def test_may_encrypts_when_offered(self):
        self.demand("may", ca="node.pem")  # whoever signed it
        self.submit("may-offered")
        self.assertTrue(self.arrived("may-offered").tls)

    def test_may_goes_plain_when_not_offered(self):
        self.demand("may")
        self.hop.context = None
        self.submit("may-none")
        self.assertFalse(self.arrived("may-none").tls)

    def test_may_goes_plain_when_broken(self):
        self.demand("may")
        self.hop.break_tls = True
        self.submit("may-broken")
        self.assertFalse(self.arrived("may-broken").tls)
        self.assertGreaterEqual(self.hop.handshakes, 1)

    def test_none_does_not_try(self):
        self.demand("none")
        self.submit("none")
        self.assertFalse(self.arrived("none").tls)
        self.assertEqual(self.hop.handshakes, 0)

    def test_encrypt_never_goes_plain(self):
        self.demand("encrypt")
        self.hop.context = None
        self.submit("encrypt-none")
        self.assertIn("451 4.4.1", self.deferred("encrypt-none"))
        self.setUp()  # the next hop learns TLS, and the next try takes it
        self.assertTrue(self.arrived("encrypt-none").tls)

    def test_encrypt_never_goes_plain_when_broken(self):
        self.demand("encrypt")
        self.hop.break_tls = True
        self.submit("encrypt-broken")
        self.assertIn("451 4.4.1", self.deferred("encrypt-broken"))

    def test_verify_takes_only_a_vouched_certificate(self):
        self.demand("verify", ca="node.pem")
        self.submit("verify-other")
        self.assertIn("certificate", self.deferred("verify-other"))
        self.demand("verify")
        self.assertTrue(self.arrived("verify-other").tls)


if __name__ == "__main__":
    unittest.main()
