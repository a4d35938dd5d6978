# SPDX-License-Identifier: Apache-2.0
"""Passwords are guessed in many connections: a user from one address and an address as a whole have budgets of failures, on all protocols; and no
stranger's guesses lock a user out who comes from elsewhere."""
import unittest

from auth_test import AuthTest
from threat import PASSWORD, b64

USER_MAX, ADDRESS_MAX = 3, 6


class Guess(AuthTest):
    users = ("ann", "bob")
    settings = {"auth_failures_user_hour_max": USER_MAX, "auth_failures_address_hour_max": ADDRESS_MAX, "auth_exempt_networks": ["127.5.0.0/16"],
                "trusted_networks": []}

    def once(self, service, source, user, password):
        """One log-in in a connection of its own: the meaning of the answer."""
        with self.secure(service, source) as wire:
            return self.begin(wire, service, "PLAIN", b64(f"\0{user}\0{password}"))

    def guess(self, service, source, user, n):
        self.assertEqual({self.once(service, source, user, f"wrong{i}") for i in range(n)}, {"fail"})

    def count(self, text):
        return sum(text in line for line in self.node.log_text().splitlines())

    def test_one_user_then_the_address(self):
        for i, service in enumerate(("submission", "imap", "pop3")):
            with self.subTest(service=service):
                here, there = f"127.2.{i}.1", f"127.2.{i}.2"
                self.guess(service, here, "ann", USER_MAX)
                self.assertEqual(self.once(service, here, "ann", PASSWORD), "fail")  # unheard
                self.assertEqual(self.once(service, there, "ann", PASSWORD), "ok")   # the owner, where he has never been
                self.assertEqual(self.once(service, here, "bob", PASSWORD), "ok")    # and another user of that address
                self.guess(service, here, "nobody", USER_MAX + 1)                    # it sounds the same: nothing is learnt about who is here
                self.assertEqual(self.once(service, here, "bob", PASSWORD), "fail")  # the address is used up
                self.assertEqual(self.once(service, there, "bob", PASSWORD), "ok")
                self.assertEqual(self.count(f"address={here}"), 2)                   # ann, then the address: once each

    def test_all_protocols_are_one(self):
        self.guess("pop3", "127.3.0.1", "ann", 1)
        self.guess("submission", "127.3.0.1", "ann", 1)
        self.guess("imap", "127.3.0.1", "ann", USER_MAX - 2)
        for service in ("imap", "pop3", "submission"):
            self.assertEqual(self.once(service, "127.3.0.1", "ann", PASSWORD), "fail")

    def test_a_right_password_forgives(self):
        for _ in range(2):
            self.guess("imap", "127.4.0.1", "ann", USER_MAX - 1)
            self.assertEqual(self.once("imap", "127.4.0.1", "ann", PASSWORD), "ok")

    def test_exempt(self):
        for service in ("submission", "imap"):
            self.guess(service, "127.5.0.1", "ann", ADDRESS_MAX + 1)
            self.assertEqual(self.once(service, "127.5.0.1", "ann", PASSWORD), "ok")

    def test_it_is_counted(self):
        self.guess("imap", "127.6.0.1", "ann", USER_MAX + 2)
        stats = self.node.command("stats", "popimap")["result"]
        self.assertGreaterEqual(stats["login_throttled"], 2)
        self.assertGreaterEqual(stats["login_users_throttled"], 1)


if __name__ == "__main__":
    unittest.main()
