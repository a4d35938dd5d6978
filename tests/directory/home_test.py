# SPDX-License-Identifier: Apache-2.0
"""Mailboxes that are not on this node, or on none: what `posthouse why --login` and `posthouse status` say of them, and what a log-in gets."""
import json
import re
import unittest

from node import NodeTest, PASSWORD, ssha, user_ldif

FAR = ("dn: cn=mb3.uni.example,ou=hosts,dc=uni,dc=example\nobjectClass: phMailHost\ncn: mb3.uni.example\nphHostRole: store\nphHostState: up\n"
       "phHostEndpoint: lmtp=inet:127.0.0.1:24\n\n")


# Nobody's password, and one of imap's.
BARE = re.sub(r"(?m)^(userPassword|phScram): .*\n", "", user_ldif("bare"))
PHONE = re.sub(r"(?m)^(userPassword|phScram): .*\n", "", user_ldif("phone", extra=f"phAppPassword: phone:imap:{ssha(PASSWORD)}\n"))


class Homes(NodeTest):
    ldif = (FAR + BARE + PHONE + user_ldif("far", host="mb3.uni.example") + user_ldif("typo", host="mb11.uni.example")
            + user_ldif("lost").replace("mailHost: mb1.uni.example\n", "") + user_ldif("sender", host="mb11.uni.example", extra="phService: imap\n"))

    def answer_to_log_in(self, login):
        imap = self.node.imap(None)
        try:
            with self.assertRaises(imap.error) as caught:
                imap.login(login, PASSWORD)
            return str(caught.exception)
        finally:
            imap.shutdown()

    def test_why_says_what_a_log_in_gets(self):
        for login, answer, text, reason in (
                ("far", "elsewhere", "mailbox is on another host", "its mailbox is at another node"),
                ("lost", "unavailable", "mailbox has no host, or several", None),
                ("typo", "unavailable", "mailbox is on a host that is not known here", None)):
            with self.subTest(login):
                reason = reason or text
                self.assertIn("UNAVAILABLE", self.answer_to_log_in(login))
                why = json.loads(self.node.run("why", "--json", "--login", login, check=0).stdout)
                self.assertEqual(why["home"], {"answer": answer, "text": text})
                for service in ("imap", "pop3"):
                    self.assertEqual(why["services"][service], {"granted": False, "reason": reason})
                self.assertTrue(why["services"]["submission"]["granted"])
                self.node.submission(login).quit()
                said = self.node.run("why", "--login", login, check=0).stdout
                self.assertIn(f"  imap: no, because {reason}\n", said)
                self.assertIn("told UNAVAILABLE (IMAP) or SYS/TEMP (POP3)", said)
        self.assertIn("its mailbox is at mb3.uni.example (mailHost", self.node.run("why", "--login", "far").stdout)
        self.node.run("why", "--login", "sender", check=1)  # imap only, and not here

    def test_nobody_logs_in_without_a_password(self):
        self.assertIn("AUTHENTICATIONFAILED", self.answer_to_log_in("bare"))
        said = self.node.run("why", "--login", "bare", check=1).stdout
        self.assertIn("  imap: no, because no userPassword, phScram or phAppPassword of it is for this\n", said)
        why = json.loads(self.node.run("why", "--json", "--login", "phone", check=0).stdout)
        self.assertEqual([why["services"][service]["granted"] for service in ("submission", "imap", "pop3")], [False, True, False])

    def test_a_mailbox_on_this_node(self):
        self.node.imap("ann").logout()
        why = json.loads(self.node.run("why", "--json", "--login", "ann", check=0).stdout)
        self.assertEqual(why["home"]["answer"], "here")
        said = self.node.run("why", "--login", "ann", check=0).stdout
        self.assertIn("  imap: yes\n  pop3: yes\n", said)
        self.assertNotIn("UNAVAILABLE", said)

    def test_one_host_of_several_is_enough_for_status(self):
        self.assertNotIn("one of serves", self.node.run("status", check=0).stdout)


class Slip(NodeTest):
    settings = {"serves": ["mb1.uni.exmaple", "mb2.uni.exmaple"]}
    WANTED = "no host of the directory is one of serves: mb1.uni.exmaple, mb2.uni.exmaple;"

    def test_status_says_that_serves_is_nobody(self):
        self.assertIn("; but " + self.WANTED, self.node.run("status", check=75).stdout)
        rows = {row["daemon"]: row for row in map(json.loads, self.node.run("status", "--json", check=75).stdout.splitlines())}
        self.assertIn(self.WANTED, rows["popimap"]["trouble"])
        self.assertNotIn("trouble", rows["mta"])

    def test_case_is_no_slip(self):
        """What the settings file says counts, as at the next reload."""
        self.addCleanup(self.node.write_config)
        self.addCleanup(self.node.overrides.update, dict(self.node.overrides))
        self.node.overrides["serves"] = ["MB1.Uni.Example"]
        self.node.write_config()
        self.node.run("status", check=0)


class WithoutHosts(NodeTest):
    settings = Slip.settings

    @classmethod
    def start_node(cls):
        cls.node.make_certificates()
        records = cls.node.directory_ldif().split("\n\n")
        cls.node.write_ldif("\n\n".join(record for record in records if "phMailHost\n" not in record))
        cls.node.start()

    def test_a_directory_without_hosts_cannot_tell(self):
        self.node.run("status", check=0)


if __name__ == "__main__":
    unittest.main()
