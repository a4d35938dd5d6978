# SPDX-License-Identifier: Apache-2.0
"""The main job with Python's own clients: in over SMTP or submission, through the queue, read over IMAP and POP3, octet for octet."""
import asyncore
import email.message
import json
import smtpd
import threading
import unittest

from node import Node, NodeTest, message, user_ldif

GROUP = """dn: cn=staff,ou=lists,dc=uni,dc=example
objectClass: groupOfNames
objectClass: phMailList
cn: staff
mail: staff@uni.example
member: uid=ann,ou=people,dc=uni,dc=example
member: uid=bob,ou=people,dc=uni,dc=example
member: uid=eve,ou=people,dc=uni,dc=example

dn: cn=postmaster,ou=aliases,dc=uni,dc=example
objectClass: phMailAlias
cn: postmaster
mailLocalAddress: postmaster@uni.example
mailLocalAddress: help@uni.example
rfc822MailMember: eve@uni.example

"""


def without_trace(octets):
    """What comes after our own trace: Return-Path, Delivered-To, Received, in front of what was sent."""
    lines = octets.split(b"\r\n")
    while lines and (lines[0].lower().startswith((b"return-path:", b"delivered-to:", b"received:")) or lines[0][:1] in b" \t" and lines[0]):
        lines.pop(0)
    return b"\r\n".join(lines)


class MainJob(NodeTest):
    ldif = GROUP

    def test_octets_come_back_over_imap_and_pop3(self):
        body = "dots\r\n.\r\n..\r\n.x\r\ntrailing space \r\n" + "x" * 998 + "\r\n\r\n\r\nno end"
        sent = message("octets", body).encode() + b"\r\n\xff\x80 8-bit\r\n"
        with self.node.submission("ann") as smtp:
            smtp.sendmail("ann@uni.example", ["bob@uni.example"], sent, mail_options=["BODY=8BITMIME"])
        self.node.wait(lambda: any(b"Subject: octets" in m for m in self.node.messages("bob")), "the message")
        found = self.node.messages("bob")
        number = [b"Subject: octets" in m for m in found].index(True) + 1
        over_imap = found[number - 1]
        self.assertEqual(without_trace(over_imap), sent)
        pop = self.node.pop3("bob")
        self.assertEqual(pop.stat(), (len(found), sum(len(m) for m in found)))
        self.assertEqual(b"\r\n".join(pop.retr(number)[1]) + b"\r\n", over_imap)
        pop.quit()
        imap = self.node.imap("bob")
        imap.select("INBOX", readonly=True)
        self.assertIn(b"RFC822.SIZE %d" % len(over_imap), imap.fetch(str(number), "(RFC822.SIZE)")[1][0])
        imap.logout()

    def test_a_large_message_goes_through_the_spool(self):
        sent = message("large", ("line %d\r\n" % 7) * 200000, to="eve@uni.example").encode()
        with self.node.smtp() as smtp:
            smtp.sendmail("a@out.example", ["eve@uni.example"], sent)
        found = self.node.wait(lambda: [m for m in self.node.messages("eve") if b"Subject: large" in m], "the large message")
        self.assertEqual(without_trace(found[0]), sent)
        self.node.wait_queue_empty()

    def test_group_and_alias(self):
        with self.node.smtp() as smtp:
            smtp.sendmail("a@out.example", ["staff@uni.example", "help@uni.example", "eve+x@uni.example"], message("spread", to="staff@uni.example"))
        for login in ("ann", "bob", "eve"):
            self.node.wait(lambda: [m for m in self.node.messages(login) if b"Subject: spread" in m], f"spread at {login}")
        self.node.wait_queue_empty()
        self.assertEqual(len([m for m in self.node.messages("ann") if b"Subject: spread" in m]), 1)

    def test_postmaster(self):
        with self.node.smtp() as smtp:
            smtp.ehlo()
            self.assertEqual(smtp.mail("")[0], 250)
            self.assertEqual(smtp.rcpt("postmaster")[0], 250)

    def test_utf8_headers_and_smtputf8(self):
        m = email.message.EmailMessage()
        m["From"], m["To"], m["Subject"] = "ann@uni.example", "bob@uni.example", "Gr\u00fc\u00dfe"
        m.set_content("\u00e4\u00f6\u00fc\n")
        with self.node.submission("ann") as smtp:
            smtp.send_message(m)
        self.node.wait(lambda: [x for x in self.node.messages("bob") if b"=?utf-8?" in x], "the message")

    def test_why_explains(self):
        why = self.node.why("help@uni.example")
        self.assertEqual((why["verdict"], why["code"]), ("expand", 250))
        self.assertEqual([(t["address"], t["host"]) for t in why["targets"]], [("eve@uni.example", "mb1.uni.example")])
        self.assertTrue(why["reasons"] and all(set(r) == {"rule", "entry", "attribute", "value"} for r in why["reasons"]))
        self.assertEqual(self.node.run("why", "nobody@uni.example").returncode, 1)
        refused = self.node.why("nobody@uni.example")
        self.assertEqual((refused["verdict"], refused["code"], refused["enhanced"]), ("refuse", 550, "5.1.1"))


class DirectoryChanges(NodeTest):
    def test_new_user_and_killed_ldapsync(self):
        self.assertEqual(self.node.why("new@uni.example")["code"], 550)
        self.node.write_ldif(self.node.directory_ldif() + user_ldif("new"))
        self.node.wait(lambda: self.node.why("new@uni.example")["verdict"] == "deliver", "the new user")
        # A file that cannot be parsed changes nothing.
        self.node.expect_error("ldif|LDIF|directory")
        self.node.write_ldif("version: 1\n\ndn: broken\nno colon here\n")
        with self.node.smtp() as smtp:
            smtp.sendmail("a@out.example", ["new@uni.example"], message("still there"))
        self.node.wait_messages(1, "new")

    def test_host_nobody_knows_is_deferred(self):
        self.node.write_ldif(self.node.directory_ldif() + user_ldif("lost", host="mb9.uni.example"))
        why = self.node.wait(lambda: (w := self.node.why("lost@uni.example"))["code"] == 451 and w, "the verdict")
        self.assertEqual(why["verdict"], "defer")


class Sink(smtpd.SMTPServer):
    """A next hop that keeps what it gets, or refuses."""
    def __init__(self, address):
        super().__init__((address, 0), None, decode_data=False, enable_SMTPUTF8=True)
        self.port = self.socket.getsockname()[1]
        self.got = []
        self.answer = None

    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        if self.answer:
            return self.answer
        self.got.append((mailfrom, rcpttos, data))
        return None


class Relay(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node(ldif=user_ldif("fwd", extra="phForwardAddress: friend@far.example\nphForwardKeepCopy: TRUE\n"))
        cls.sink = Sink(cls.node.address)
        cls.running = True

        def loop():
            while cls.running:
                asyncore.loop(timeout=0.05, count=1)
        cls.thread = threading.Thread(target=loop, daemon=True)
        cls.thread.start()
        cls.node.overrides.update({"relayhost": f"{cls.node.address}:{cls.sink.port}", "relayhost_tls": "may", "retry_min_s": 1, "retry_max_s": 1})
        cls.node.start()

    @classmethod
    def tearDownClass(cls):
        try:
            cls.node.stop()
        finally:
            cls.running = False
            cls.thread.join()
            cls.sink.close()
            cls.node.remove()

    def setUp(self):
        self.sink.answer = None

    def test_outside_address_of_a_user(self):
        with self.node.submission("ann") as smtp:
            smtp.sendmail("ann@uni.example", ["x@far.example", "bob@uni.example"], message("out"))
        got = self.node.wait(lambda: [g for g in self.sink.got if b"Subject: out" in g[2]], "the message at the next hop")
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
        got = self.node.wait(lambda: [g for g in self.sink.got if b"Subject: onward" in g[2]], "the forwarded message")
        self.assertEqual(got[0][1], ["friend@far.example"])
        self.node.wait(lambda: [m for m in self.node.messages("fwd") if b"Subject: onward" in m], "the copy")

    def test_refusal_becomes_a_report(self):
        self.sink.answer = "550 5.7.1 not here"
        try:
            with self.node.submission("ann") as smtp:
                smtp.sendmail("ann@uni.example", ["y@far.example"], message("bounced"))
            report = self.node.wait(lambda: [m for m in self.node.messages("ann") if b"multipart/report" in m], "the report")[0]
        finally:
            self.sink.answer = None
        self.assertIn(b"Final-Recipient: rfc822;y@far.example", report.replace(b"rfc822; ", b"rfc822;"))
        self.assertIn(b"Status: 5.7.1", report)
        self.assertIn(b"Return-Path: <>", report)
        self.node.wait_queue_empty()

    def test_deferred_is_listed_and_goes_on(self):
        self.sink.answer = "451 4.3.0 later"
        with self.node.submission("ann") as smtp:
            smtp.sendmail("ann@uni.example", ["z@far.example"], message("later"))
        item = self.node.wait(lambda: (q := [i for i in self.node.queue() if i["recipients"][0]["tries"] > 0]) and q[0], "a try")
        self.assertEqual(set(item), {"queue_id", "guid", "sender", "size_bytes", "received", "recipients"})
        self.assertEqual(set(item["recipients"][0]), {"address", "state", "tries", "next_try", "last_reply"})
        self.assertIn("451", item["recipients"][0]["last_reply"])
        self.sink.answer = None
        self.node.wait(lambda: [g for g in self.sink.got if b"Subject: later" in g[2]], "the retry")
        self.node.wait_queue_empty()


if __name__ == "__main__":
    unittest.main()
