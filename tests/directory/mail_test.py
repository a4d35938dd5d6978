# SPDX-License-Identifier: Apache-2.0
"""A whole node whose people are in slapd: a user who was just added receives mail; the loss of every server stops nothing."""
import unittest

from node import Node, message, user_ldif
from slapd import Directory


class MailTest(unittest.TestCase):
    def setUp(self):
        self.node = Node(users=["ann"])
        self.addCleanup(self.node.remove)
        self.node.make_certificates()  # their pin is in the directory
        self.directory = Directory(ldif=self.node.directory_ldif().removeprefix("version: 1\n\n"))
        self.addCleanup(self.directory.remove)
        self.directory.start()
        self.node.overrides.update(self.directory.settings(), ldap_timeout_s=2, ldap_heartbeat_ms=200, fresh_s=3)
        self.addCleanup(self.node.stop)
        self.node.start()

    def rcpt(self, *addresses):
        with self.node.smtp() as smtp:
            smtp.ehlo()
            smtp.mail("sender@else.example")
            return [smtp.rcpt(address)[0] for address in addresses]

    def send(self, name):
        with self.node.smtp() as smtp:
            smtp.sendmail("sender@else.example", [f"{name}@uni.example"], message("welcome", to=f"{name}@uni.example"))

    def test_new_user_and_no_servers(self):
        self.node.wait(lambda: self.rcpt("ann@uni.example", "new@uni.example") == [250, 550], "a fresh shadow")
        self.directory.master.add(user_ldif("new"))
        self.node.wait(lambda: self.rcpt("new@uni.example") == [250], "the new user")
        self.send("new")
        self.assertIn(b"Subject: welcome", self.node.wait_messages(1, "new")[0])
        self.directory.master.kill()
        self.node.wait(lambda: self.rcpt("ann@uni.example", "new@uni.example", "nobody@uni.example") == [250, 250, 451], "451 without a server")
        self.send("new")
        self.node.wait_messages(2, "new")  # deliveries and log-ins go on
        self.assertEqual(self.node.unexpected_errors(), [])


if __name__ == "__main__":
    unittest.main()
