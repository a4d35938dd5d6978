# SPDX-License-Identifier: Apache-2.0
"""What an account is granted: a quota of its own or of its class of service, and what a full mailbox means to LMTP, SMTP and IMAP."""
import unittest

from node import NodeTest, message, user_ldif

CLASSES = """dn: cn=small,ou=classes,dc=uni,dc=example
objectClass: phClassOfServiceEntry
cn: Small
phQuotaMessages: 2

"""


class Quota(NodeTest):
    ldif = (CLASSES + user_ldif("few", extra="phClassOfService: small\n") + user_ldif("big", extra="phClassOfService: SMALL\nphQuotaMessages: -1\n")
            + user_ldif("tiny", extra="phQuotaBytes: 4000\n") + user_ldif("moving", extra="phMoveState: cutover\nphMoveTo: mb2.uni.example\n"))

    def send(self, to, subject, body="hello\r\n"):
        with self.node.smtp() as smtp:
            smtp.sendmail("a@out.example", [to], message(subject, body=body, to=to))

    def waiting(self, address):
        """What was said of it at its last try."""
        return self.node.wait(lambda: [r["last_reply"] for m in self.node.queue() for r in m["recipients"]
                                       if r["address"] == address and r["tries"] > 0], f"a try for {address}")

    def tearDown(self):
        self.node.run("queue", "delete", "--all", check=0)

    def test_messages_of_a_class(self):
        for i in range(3):
            self.send("few@uni.example", f"n{i}")
            if i < 2:
                self.node.wait_messages(i + 1, "few")
        self.assertRegex(self.waiting("few@uni.example")[0], "^452 4.2.2 mailbox full")
        self.assertEqual(len(self.node.messages("few")), 2)
        for i in range(3):
            self.send("big@uni.example", f"n{i}")
        self.node.wait_messages(3, "big")  # its own value counts

    def test_bytes_and_append(self):
        self.send("tiny@uni.example", "fits")
        self.node.wait_messages(1, "tiny")
        self.send("tiny@uni.example", "does not", body="x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * 60)
        self.assertRegex(self.waiting("tiny@uni.example")[0], "^452 4.2.2")
        imap = self.node.imap("tiny")
        self.assertEqual(imap.append("INBOX", None, None, message("small one").encode())[0], "OK")
        kind, text = imap.append("INBOX", None, None, message("too big", body=("z" * 70 + "\r\n") * 60).encode())
        self.assertEqual(kind, "NO")
        self.assertIn(b"OVERQUOTA", text[0])
        # Room again: the next try delivers.
        imap.select()
        imap.store("1:*", "+FLAGS", "\\Deleted")
        imap.expunge()
        self.assertEqual(imap.append("INBOX", None, None, message("now", body=("z" * 70 + "\r\n") * 40).encode())[0], "OK")
        imap.logout()

    def test_a_mailbox_that_is_being_moved_waits(self):
        self.send("moving@uni.example", "later")
        self.assertRegex(self.waiting("moving@uni.example")[0], "^451 4.3.0 mailbox is being moved")


if __name__ == "__main__":
    unittest.main()
