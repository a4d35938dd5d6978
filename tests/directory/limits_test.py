# SPDX-License-Identifier: Apache-2.0
"""What a log-in may do, by its entry or its class of service: services, recipients of a message and of an hour, sizes of messages."""
import imaplib
import json
import os
import poplib
import re
import smtplib
import subprocess
import unittest

from node import BIN, NodeTest, message, user_ldif

CLASSES = """dn: cn=small,ou=classes,dc=uni,dc=example
objectClass: phClassOfServiceEntry
cn: Small
phService: imap
phService: submission
phMaxRecipients: 2
phSubmitRate: 5
phMaxMessageBytes: 5000

dn: cn=readers,ou=classes,dc=uni,dc=example
objectClass: phClassOfServiceEntry
cn: readers
phService: pop3

dn: cn=closed,ou=classes,dc=uni,dc=example
objectClass: phClassOfServiceEntry
cn: closed
phService: none

"""
TYPO = """dn: cn=typo,ou=lists,dc=uni,dc=example
objectClass: phMailGroup
objectClass: phMailList
cn: typo
mail: typo@uni.example
member: uid=ann,ou=people,dc=uni,dc=example
phListPostPolicy: memebrs

"""
BIG = "x" * 60 + "\r\n" + ("y" * 60 + "\r\n") * 200


class Limits(NodeTest):
    ldif = (CLASSES + TYPO + user_ldif("truthy", extra="phVacation: TRUE\nphVacationText: away\n") + user_ldif("few", extra="phClassOfService: small\n") + user_ldif("busy", extra="phClassOfService: small\nphSubmitRate: -1\n")
            + user_ldif("reader", extra="phClassOfService: Readers\n") + user_ldif("gone", extra="phClassOfService: closed\n")
            + user_ldif("own", extra="phClassOfService: closed\nphService: imap\n")
            + user_ldif("tight", extra="phMaxMessageBytes: 3000\n") + user_ldif("mute", extra="phSubmitRate: 0\n")
            + user_ldif("away", extra="phVacation: on\nphVacationText: I am away.\n"))

    def may(self, login):
        """The services that let it in."""
        allowed = set()
        try:
            self.node.imap(login).logout()
            allowed.add("imap")
        except imaplib.IMAP4.error as error:
            self.assertIn("AUTHENTICATIONFAILED", str(error))  # as for a wrong password
        try:
            self.node.pop3(login).quit()
            allowed.add("pop3")
        except poplib.error_proto as error:
            self.assertIn(b"-ERR [AUTH]", error.args[0])
        try:
            self.node.submission(login).quit()
            allowed.add("submission")
        except smtplib.SMTPAuthenticationError as error:
            self.assertEqual(error.smtp_code, 535)
        return allowed

    def test_services_of_a_class(self):
        for login, services in (("few", {"imap", "submission"}), ("reader", {"pop3"}), ("gone", set()), ("own", {"imap"}),
                                ("ann", {"imap", "pop3", "submission"})):
            self.assertEqual(self.may(login), services, login)
            why = json.loads(self.node.run("why", "--json", "--login", login).stdout)
            self.assertEqual({name for name, s in why["services"].items() if s["granted"]} - {"sieve"}, services, login)
        self.assertRegex(self.node.log_text(), 'msg="log-in failed".*login=gone reason="phService of the class of service does not grant it"')
        self.assertEqual(self.node.run("why", "--login", "gone").returncode, 1)
        self.assertIn("nobody has this login", self.node.run("why", "--login", "noone", check=1).stdout)

    def test_a_class_that_changes(self):
        text = self.node.directory_ldif()
        self.node.write_ldif(text.replace("cn: readers\nphService: pop3", "cn: readers\nphService: imap"))
        self.node.wait(lambda: self.may("reader") == {"imap"}, "the class to have changed")
        self.node.write_ldif(text)
        self.node.wait(lambda: self.may("reader") == {"pop3"}, "and to be what it was")

    def test_why_says_what_may_be_sent(self):
        why = self.node.run("why", "--from", "ann@uni.example", "--login", "few", check=0).stdout
        self.assertIn('recipients an hour: 5 (phSubmitRate, in the entry "cn=small,', why)
        self.assertIn("ann@uni.example may not be the sender", why)
        self.assertIn("bytes in the mailbox: quota_bytes of the settings", why)

    def test_recipients_of_a_message(self):
        with self.node.submission("busy") as smtp:
            smtp.mail("busy@uni.example")
            codes = [smtp.rcpt(f"{to}@uni.example") for to in ("ann", "bob", "eve")]
        self.assertEqual([code for code, _ in codes], [250, 250, 452])
        self.assertTrue(codes[2][1].startswith(b"4.5.3"), codes)

    def test_recipients_of_an_hour(self):
        def send():
            with self.node.submission("few") as smtp:
                smtp.mail("few@uni.example")
                answer = smtp.rcpt("ann@uni.example")
                smtp.rset()
                return answer
        answers = [send() for _ in range(6)]  # each on a connection of its own
        self.assertEqual([code for code, _ in answers], [250] * 5 + [450])
        self.assertEqual(answers[5][1], b"4.7.1 too many recipients in one hour, try again later")
        with self.node.submission("mute") as smtp:
            self.assertEqual(smtp.mail("mute@uni.example"), (550, b"5.7.1 you may not send messages"))

    def test_size_of_what_is_sent(self):
        with self.node.submission("busy") as smtp:
            code, text = smtp.docmd("MAIL", "FROM:<busy@uni.example> SIZE=5001")
            self.assertEqual((code, text.split()[0]), (552, b"5.3.4"))
            smtp.mail("busy@uni.example")
            smtp.rcpt("ann@uni.example")
            code, text = smtp.data(message("too large", body=BIG, sender="busy@uni.example"))
            self.assertEqual((code, text.split()[0]), (552, b"5.3.4"))
            smtp.sendmail("busy@uni.example", ["ann@uni.example"], message("it fits", sender="busy@uni.example"))
        self.node.wait(lambda: [m for m in self.node.messages("ann") if b"it fits" in m], "what fits")

    def test_size_of_what_is_received(self):
        with self.node.smtp() as smtp:
            smtp.ehlo()
            smtp.docmd("MAIL", "FROM:<a@out.example> SIZE=3001")
            code, text = smtp.rcpt("tight@uni.example")
            self.assertEqual((code, text.split()[0]), (552, b"5.2.3"))
            smtp.rset()
            smtp.mail("ann@uni.example")
            for to in ("tight@uni.example", "bob@uni.example"):
                self.assertEqual(smtp.rcpt(to)[0], 250)
            self.assertEqual(smtp.data(message("one of two", body=BIG))[0], 250)
        self.node.wait(lambda: [m for m in self.node.messages("bob") if b"one of two" in m], "the copy of who takes it")
        report = self.node.wait(lambda: [m for m in self.node.messages("ann") if b"multipart/report" in m], "a report")[0]
        self.assertIn(b"552 5.2.3 message is larger than this mailbox takes", report)
        self.assertEqual(self.node.messages("tight"), [])

    def test_would_somebody_be_answered(self):
        def answer(sender, *options):
            return json.loads(self.node.run("why", "--json", "--from", sender, *options, "away@uni.example").stdout)["vacation"]["away@uni.example"]
        self.assertIn("the user is away", answer("ann@uni.example"))
        self.assertIn("it comes from <>", answer(""))
        self.assertIn("a program's", answer("owner-x@out.example"))
        bulk = self.node.write("bulk.eml", message("sale", to="away@uni.example").replace("Subject", "Precedence: bulk\r\nSubject", 1).replace("\r\n", "\n"))
        self.assertIn("bulk mail", answer("ann@uni.example", "--message", bulk))
        self.assertIn("in To or Cc", answer("ann@uni.example", "--message", self.node.write("cc.eml", message("hidden"))))
        self.assertIn("phVacation: the user is away", self.node.run("why", "--from", "ann@uni.example", "away@uni.example").stdout)

    def test_a_word_that_is_none_is_complained_about(self):
        logged = self.node.log_text()
        for entry, problem in (("uid=truthy", "phVacation problem=\"is none of off, on, scheduled\""),
                               ("cn=typo", "phListPostPolicy problem=\"is none of anyone, internal, members, listed, moderated, nobody\"")):
            self.assertRegex(logged, f'msg="directory value refused".*dn="?{entry},.* attribute={problem}')
        for options in ((), ("--from", "ann@uni.example")):
            self.assertIn("    phVacation: TRUE is none of off, on, scheduled\n", self.node.run("why", *options, "truthy@uni.example", check=0).stdout)
            why = self.node.run("why", *options, "typo@uni.example").stdout
            self.assertIn("phListPostPolicy memebrs, which is none of anyone, internal, members, listed, moderated, nobody, in the entry", why)
        reasons = json.loads(self.node.run("why", "--json", "typo@uni.example").stdout)["reasons"]
        self.assertEqual([r["wrong"] for r in reasons if "wrong" in r], ["is none of anyone, internal, members, listed, moderated, nobody"])

    def test_a_mailbox_at_another_node(self):
        """As a front-end knows people: not refused, but to be asked elsewhere, and where."""
        with open(self.node.config, encoding="utf-8") as stream:
            front = self.node.write("front.conf", re.sub(r"(?m)^serves = .*$", 'serves = {"front.uni.example"}', stream.read()))
        why = subprocess.run([os.path.join(BIN, "posthouse"), "-c", front, "why", "--login", "ann"], capture_output=True, text=True, timeout=30)
        self.assertEqual(why.returncode, 0, why.stdout)
        for line in ("  submission: yes\n", "  imap: no, because its mailbox is at another node\n",
                     '  its mailbox is at mb1.uni.example (mailHost, in the entry "uid=ann,ou=people,dc=uni,dc=example"), and this node is '
                     "front.uni.example (serves): imap and pop3 are to be asked there; "):
            self.assertIn(line, why.stdout)

    def test_brackets_are_the_paths(self):
        """As logs and bounces have an address."""
        for given, code in (("<ann@uni.example>", 250), ("ann@uni.example", 250), ("<nobody@uni.example>", 550), ("<ann@uni.example", 501), ("<>", 501)):
            self.assertEqual(self.node.why(given)["code"], code, given)
        for sender in ("<bob@uni.example>", "<>", ""):
            self.node.run("why", "--from", sender, "ann@uni.example", check=0)

    def test_a_service_that_there_is_not_is_no_line(self):
        why = self.node.run("why", "--login", "ann", check=0).stdout
        self.assertIn("  pop3: yes\n", why)
        self.assertNotIn("sieve", why)


if __name__ == "__main__":
    unittest.main()
