# SPDX-License-Identifier: Apache-2.0
"""The main job with Python's own clients: in over SMTP or submission, through the queue, read over IMAP and POP3, octet for octet."""
import email.message
import json
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


if __name__ == "__main__":
    unittest.main()
