# SPDX-License-Identifier: Apache-2.0
"""Whoever is away says so in his directory: a slapd, whose changes count at once and whose texts have languages; and the words of another schema."""
import email
import email.policy
import unittest

from node import Node, message, user_ldif
from slapd import Directory

TEXTS = """phVacation: on
phVacationText: I am away until December.
phVacationText;lang-de: Ich bin bis Dezember in Köln.
phVacationSubject: Away
phVacationSubject;lang-de: Nicht im Büro
"""


class Away(unittest.TestCase):
    def reply_to(self, node, sender, to, header=""):
        """What the inbox of a user of ours gets after he has written to somebody."""
        before = len(node.messages(sender))
        text = message("question", sender=f"{sender}@uni.example", to=f"{to}@uni.example").replace("\r\n\r\n", "\r\n" + header + "\r\n", 1)
        with node.smtp() as smtp:
            smtp.sendmail(f"{sender}@uni.example", [f"{to}@uni.example"], text)
        found = node.wait_messages(before + 1, sender)
        reply = email.message_from_bytes(found[-1], policy=email.policy.default)
        self.assertEqual(reply["Auto-Submitted"], "auto-replied")
        self.assertEqual(reply["To"], f"{sender}@uni.example")
        return reply["Subject"], reply.get_content().splitlines()


class Slapd(Away):
    def setUp(self):
        self.node = Node(users=["ann", "bob", "eve", "dan"], ldif=user_ldif("joe", extra=TEXTS))
        self.addCleanup(self.node.remove)
        self.node.make_certificates()
        self.directory = Directory(ldif=self.node.directory_ldif().removeprefix("version: 1\n\n"))
        self.addCleanup(self.directory.remove)
        self.directory.start()
        self.node.overrides.update(self.directory.settings(), ldap_timeout_s=2, ldap_heartbeat_ms=200, fresh_s=3)
        self.addCleanup(self.node.stop)
        self.node.start()

    def test_two_languages_and_the_end(self):
        plain, german = ("Away", ["I am away until December."]), ("Nicht im Büro", ["Ich bin bis Dezember in Köln."])
        self.assertEqual(self.reply_to(self.node, "ann", "joe"), plain)
        self.assertEqual(self.reply_to(self.node, "bob", "joe", "Accept-Language: de-DE, en;q=0.5\r\n"), german)
        self.assertEqual(self.reply_to(self.node, "eve", "joe", "Content-Language: de\r\n"), german)
        modify = "dn: uid=joe,ou=people,dc=uni,dc=example\nchangetype: modify\nreplace: phVacation\nphVacation: off\n"
        version = self.node.why("joe@uni.example")["shadow"]["version"]
        self.directory.master.modify(modify)
        self.node.wait(lambda: self.node.why("joe@uni.example")["shadow"]["version"] > version, "the change in the shadow")
        with self.node.smtp() as smtp:
            smtp.sendmail("dan@uni.example", ["joe@uni.example"], message("back", sender="dan@uni.example", to="joe@uni.example"))
        self.node.wait_messages(4, "joe")
        self.assertNotIn("correspondent=dan@uni.example", self.node.log_text())
        self.assertEqual(self.node.unexpected_errors(), [])


class Sun(Away):
    """mailDeliveryOption autoreply and what belongs to it."""
    JOE = """dn: uid=joe,ou=people,dc=uni,dc=example
objectClass: inetMailUser
uid: joe
cn: Joe
mail: joe@uni.example
mailHost: mb1.uni.example
phMailboxId: 00000000-0000-0000-0000-00000000000a
mailDeliveryOption: mailbox
mailDeliveryOption: autoreply
mailAutoReplyMode: reply
mailAutoReplySubject: Out
mailAutoReplyText: I am out.
mailAutoReplyText;lang-fr: Je suis parti.

"""

    def setUp(self):
        self.node = Node(users=["ann", "bob"], ldif=self.JOE, settings={"ldap_profile": "sun"})
        self.addCleanup(self.node.remove)
        self.addCleanup(self.node.stop)
        self.node.start()

    def test_autoreply(self):
        self.assertEqual(self.reply_to(self.node, "ann", "joe"), ("Out", ["I am out."]))
        self.assertEqual(self.reply_to(self.node, "bob", "joe", "Accept-Language: fr\r\n"), ("Out", ["Je suis parti."]))
        self.assertEqual(self.node.unexpected_errors(), [])


if __name__ == "__main__":
    unittest.main()
