# SPDX-License-Identifier: Apache-2.0
"""Who is away answers once: personal mail to a user with phVacation is delivered, and its sender gets one reply an interval; nobody gets one who
must not (RFC 3834). Whole nodes; senders are users of ours, or outside, where a next hop keeps what it gets."""
import email
import email.policy
import sqlite3
import time
import unittest

from nexthop import NextHop
from node import Node, NodeTest, message, user_ldif, uuid_of


def stamp(seconds):
    """GeneralizedTime of now and so many seconds."""
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + seconds))


def away(uid, text="I am away.", extra="", vacation="on"):
    return user_ldif(uid, extra=f"phVacation: {vacation}\nphVacationText: {text}\n{extra}")


def parsed(data):
    return email.message_from_bytes(data, policy=email.policy.default)


class VacationTest(NodeTest):
    """One node whose mail for elsewhere goes to a next hop."""
    users = ("ann", "bob")

    @classmethod
    def start_node(cls):
        cls.hop = NextHop(cls.node.address)
        cls.hop.__enter__()
        cls.node.overrides.update(relayhost=cls.hop.address, relayhost_tls="none", retry_min_s=1, retry_max_s=1)
        super().start_node()

    @classmethod
    def tearDownClass(cls):
        try:
            super().tearDownClass()
        finally:
            cls.hop.__exit__(None, None, None)

    def send(self, to, subject, sender="pat@else.example", header="", addressed=None):
        text = f"From: <{sender}>\r\nTo: <{addressed or to}>\r\nSubject: {subject}\r\nMessage-ID: <{subject.split()[0]}@client.example>\r\n{header}\r\nhello\r\n"
        before = len(self.verdicts())
        with self.node.smtp() as smtp:
            smtp.sendmail(sender, [to], text.encode())
        self.node.wait(lambda: len(self.verdicts()) > before, "the verdict on " + subject)
        return self.verdicts()[before]

    def verdicts(self):
        return [line for line in self.node.log_text().splitlines() if 'msg="message to somebody who is away"' in line]

    def replies(self, to):
        return [r for r in self.hop.got if r.recipients == [to]]

    def settle(self):
        """All that was to be sent has been sent."""
        self.node.wait_queue_empty()

    def wait_replies(self, n, to):
        self.node.wait(lambda: len(self.replies(to)) >= n, f"{n} replies to {to}")
        self.settle()
        self.assertEqual(len(self.replies(to)), n, self.replies(to))
        return [parsed(r.data) for r in self.replies(to)]


class Replies(VacationTest):
    ldif = (away("joe", extra="displayName: Jörg König\nphVacationSubject: Bin weg – zurück am 1. Dezember\n".replace("displayName", "displayName"),
                 text="Ich bin in Köln. = .")
            + away("jim", extra="phVacationInterval: 1\n") + away("plain"))

    def test_01_a_reply_and_its_form(self):
        self.assertIn("answered=true", self.send("joe@uni.example", "Frage eins", header="References: <old@x.example>\r\n"))
        reply, = self.wait_replies(1, "pat@else.example")
        raw = self.replies("pat@else.example")[0]
        self.assertFalse(raw.sender)  # <>
        self.assertEqual(reply["From"].addresses[0].addr_spec, "joe@uni.example")
        self.assertEqual(reply["From"].addresses[0].display_name, "Jörg König")
        self.assertEqual(reply["To"].addresses[0].addr_spec, "pat@else.example")
        self.assertEqual(reply["Subject"], "Bin weg – zurück am 1. Dezember")
        self.assertEqual(reply["Auto-Submitted"], "auto-replied")
        self.assertEqual(reply["In-Reply-To"], "<Frage@client.example>")
        self.assertEqual(reply["References"], "<old@x.example> <Frage@client.example>")
        self.assertEqual(reply.get_content_type(), "text/plain")
        self.assertEqual(reply.get_content().splitlines(), ["Ich bin in Köln. = ."])
        self.assertIsNotNone(reply["Date"].datetime)
        self.assertRegex(reply["Message-ID"], r"^<[0-9a-f]{32}@mx\.uni\.example>$")
        self.assertTrue(raw.data.isascii())
        self.assertEqual(len(self.node.messages("joe")), 1)

    def test_02_once_an_interval(self):
        for i in range(3):
            verdict = self.send("jim@uni.example", f"again{i}", "kim@else.example")
            self.assertEqual("answered=true" in verdict, i == 0, verdict)
        self.assertIn("answered=true", self.send("jim@uni.example", "other", "lee@else.example"))
        self.wait_replies(1, "kim@else.example")
        reply, = self.wait_replies(1, "lee@else.example")
        self.assertEqual(reply["Subject"], "Auto: other")
        self.node.wait_messages(4, "jim")

    def test_03_nobody_who_must_not(self):
        cases = {
            "from <>": dict(sender=""), "a list": dict(header="List-Id: <l.else.example>\r\n"), "bulk": dict(header="Precedence: bulk\r\n"),
            "a program": dict(header="Auto-Submitted: auto-generated\r\n"), "an answer": dict(header="Auto-Submitted: auto-replied\r\n"),
            "blind copy": dict(addressed="someone@else.example"), "owner": dict(sender="owner-news@else.example"),
            "request": dict(sender="news-request@else.example"), "daemon": dict(sender="MAILER-DAEMON@else.example"),
            "noreply": dict(sender="noreply@else.example"), "own": dict(sender="plain@uni.example"),
            "suppressed": dict(header="X-Auto-Response-Suppress: All\r\n"), "unsubscribe": dict(header="List-Unsubscribe: <mailto:x@y.example>\r\n"),
            "a long header": dict(header="X-Long: " + "x" * 70 + "\r\n" + ("\t" + "y" * 70 + "\r\n") * 1000),
        }
        before = len(self.hop.got)
        for name, how in cases.items():
            with self.subTest(name):
                self.assertIn("answered=false", self.send("plain@uni.example", name.replace(" ", "-"), **how))
        self.settle()
        self.assertEqual(len(self.hop.got), before, self.hop.got[before:])
        self.node.wait_messages(len(cases), "plain")

    def test_04_two_who_are_away(self):
        self.assertIn("answered=true", self.send("plain@uni.example", "to-plain", "joe@uni.example"))
        found = self.node.wait(lambda: [m for m in map(parsed, self.node.messages("joe")) if m["Subject"] == "Auto: to-plain"], "joe's reply")
        self.assertEqual(found[0]["Auto-Submitted"], "auto-replied")
        self.settle()
        self.assertEqual([m for m in map(parsed, self.node.messages("plain")) if m["Auto-Submitted"] and "joe" in m["From"]], [])
        self.assertIn("the message is a report", self.verdicts()[-1])


if __name__ == "__main__":
    unittest.main()
