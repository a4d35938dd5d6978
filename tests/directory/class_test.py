# SPDX-License-Identifier: Apache-2.0
"""A class of service that nobody has, as the user and the postmaster meet it; what 0 means, in whatever limit it stands."""
import json
import smtplib
import unittest

from node import NodeTest, PASSWORD, message, user_ldif

TYPO = "phClassOfService: staf\n"
DEFAULT = "dn: cn=default,ou=classes,dc=uni,dc=example\nobjectClass: phClassOfServiceEntry\ncn: default\nphQuotaMessages: 1\nphService: imap\n\n"


class Base(NodeTest):
    def waiting(self, address):
        return self.node.wait(lambda: [r["last_reply"] for m in self.node.queue() for r in m["recipients"]
                                       if r["address"] == address and r["tries"] > 0], f"a try for {address}")

    def send(self, to, subject):
        with self.node.smtp() as smtp:
            smtp.sendmail("a@out.example", [to], message(subject, to=to))

    def answer_to_log_in(self, login, password=PASSWORD):
        imap = self.node.imap(None)
        try:
            with self.assertRaises(imap.error) as caught:
                imap.login(login, password)
            return str(caught.exception)
        finally:
            imap.shutdown()

    def tearDown(self):
        self.node.run("queue", "delete", "--all", check=0)


class MissingClass(Base):
    settings = {"quota_messages": 2, "shadow_verify_s": "1"}
    ldif = (user_ldif("typo", extra=TYPO) + user_ldif("own", extra=TYPO + "phService: imap\nphQuotaMessages: 3\n"))

    def test_nobody_logs_in_for_now(self):
        self.assertIn("UNAVAILABLE", self.answer_to_log_in("typo"))
        self.assertIn("AUTHENTICATIONFAILED", self.answer_to_log_in("typo", "wrong"))  # a stranger learns nothing
        with self.node.submission(login=None) as smtp:
            with self.assertRaises(smtplib.SMTPAuthenticationError) as caught:
                smtp.login("typo", PASSWORD)
            self.assertEqual(caught.exception.smtp_code, 454)
        self.node.imap("own").logout()  # what the entry says itself counts as ever
        self.node.wait(lambda: "phClassOfService names a class that nobody has" in self.node.log_text(), "the reason in the log")

    def test_mail_comes_in_under_the_limits_of_the_settings(self):
        for login, n in (("typo", 2), ("own", 3)):
            for i in range(n + 1):
                self.send(f"{login}@uni.example", f"n{i}")
            self.assertRegex(self.waiting(f"{login}@uni.example")[0], "^452 4.2.2")

    def test_the_postmaster_is_told(self):
        why = self.node.run("why", "--login", "typo", check=1).stdout
        self.assertIn("nobody has the class of service staf", why)
        self.assertIn("imap: no, because phClassOfService names a class that nobody has", why)
        self.assertIn("quota_messages of the settings", why)
        self.assertIn("it names a class of service that nobody has", self.node.run("why", "typo@uni.example").stdout)
        self.assertTrue(self.node.wait(lambda: "nobody has the class of service staf, which 2 entries name"
                                       in self.node.run("directory", "status").stdout, "the status to say so"))
        self.assertIn("nobody has a class of service that entries name", self.node.log_text())
        status = json.loads(self.node.run("directory", "status", "--json").stdout)
        self.assertEqual([(m["class"], m["entries"]) for m in status["missing_classes"]], [("staf", 2)])


class DefaultClass(Base):
    ldif = DEFAULT + user_ldif("typo", extra=TYPO)

    def test_the_class_default_stands_in(self):
        self.node.imap("typo").logout()
        for i in range(2):
            self.send("typo@uni.example", f"n{i}")
        self.assertRegex(self.waiting("typo@uni.example")[0], "^452 4.2.2")
        why = self.node.run("why", "--login", "typo").stdout
        self.assertIn("nobody has the class of service staf", why)
        self.assertIn("the class default stands in", why)


class Zero(Base):
    ldif = (user_ldif("full", extra="phQuotaMessages: 0\n") + user_ldif("full2", extra="phQuotaBytes: 0\n")
            + user_ldif("deaf", extra="phMaxMessageBytes: 0\n") + user_ldif("mute", extra="phSubmitRate: 0\n")
            + user_ldif("mute2", extra="phMaxRecipients: 0\n")
            + "dn: cn=group,dc=uni,dc=example\nobjectClass: phMailGroup\ncn: group\nmail: group@uni.example\n"
              "rfc822MailMember: deaf@uni.example\nrfc822MailMember: ann@uni.example\n\n")

    def test_a_quota_of_nothing(self):
        for login in ("full", "full2"):
            self.send(f"{login}@uni.example", "never")
            self.assertRegex(self.waiting(f"{login}@uni.example")[0], "^452 4.2.2")

    def test_a_mailbox_that_takes_no_message(self):
        with self.node.smtp() as smtp:
            smtp.ehlo()
            smtp.mail("a@out.example")
            code, text = smtp.rcpt("deaf@uni.example")
            self.assertEqual((code, text[:5]), (552, b"5.2.3"))
            self.assertEqual(smtp.rcpt("ann@uni.example")[0], 250)
        self.send("group@uni.example", "one of two")
        self.node.wait_messages(1, "ann")
        self.assertRegex(self.waiting("deaf@uni.example")[0], "^552 5.2.3")  # a member's limit is its mailbox host's matter
        self.assertEqual(self.node.messages("deaf"), [])

    def test_who_may_not_send(self):
        for login in ("mute", "mute2", "deaf"):
            with self.node.submission(login=login) as smtp:
                code, text = smtp.mail(f"{login}@uni.example")
                self.assertEqual((code, text[:5]), (550, b"5.7.1"), login)


if __name__ == "__main__":
    unittest.main()
