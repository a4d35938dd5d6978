# SPDX-License-Identifier: Apache-2.0
"""ldap_profile = sun: delivery options, two statuses, a group and a domain, as users see them; from a file and from slapd."""
import unittest

from profile import ProfileTest


class Sun(ProfileTest):
    profile, schemas = "sun", ("sun.schema",)

    def check(self, node):
        self.assert_goes(node, "a@uni.example", "deliver", ["ann@uni.example"])
        self.assert_goes(node, "bob@uni.example", "forward", ["bob@uni.example", "bob@else.example"])
        self.assert_goes(node, "cyd@uni.example", "forward", ["cyd@else.example"])
        self.assertEqual(self.reason(node.why("dan@uni.example"), "mailUserStatus")["value"], "inactive")
        self.assertEqual(self.reason(node.why("eve@uni.example"), "inetUserStatus")["value"], "deleted")
        self.assertEqual(self.rcpt(node, "ann@uni.example", "dan@uni.example", "eve@uni.example", "team@uni.example"), [250, 450, 550, 550])
        self.assertEqual(sorted(self.targets_from(node, "ann@uni.example", "team@uni.example")), ["ann@uni.example", "guest@else.example"])
        # Who may post by way of a group, of a search, of a domain; who may not; who is nobody's.
        for sender, may in (("ann@uni.example", True), ("bob@uni.example", True), ("x@partner.example", True),
                            ("cyd@uni.example", False), ("dan@uni.example", False)):
            self.assertEqual(self.targets_from(node, sender, "staff@uni.example", check=0 if may else 1), ["ann@uni.example"] if may else [], sender)
        # A domain that is switched off, and one that is inactive.
        self.assertEqual(self.rcpt(node, "old@old.example", "nobody@old.example", "x@new.example"), [550, 550, 450])
        self.assertEqual(self.reason(node.why("old@old.example"), "mailDomainStatus")["value"], "disabled")
        self.assert_log_ins(node, yes=["ann"], no=["dan", "eve", "old@old.example"])

    def test_file(self):
        self.check(self.from_file())

    def test_slapd(self):
        node = self.from_slapd()
        self.check(node)
        modify = "dn: uid={},ou=people,dc=uni,dc=example\nchangetype: modify\n"
        self.assert_comes_true(node, modify.format("cyd") + "replace: mailDeliveryOption\nmailDeliveryOption: mailbox\n", "cyd@uni.example", "deliver")
        self.assert_comes_true(node, modify.format("ann") + "replace: mailUserStatus\nmailUserStatus: hold\n", "a@uni.example", "defer")
        self.assert_comes_true(node, modify.format("eve") + "delete: inetUserStatus\n", "eve@uni.example", "deliver")


if __name__ == "__main__":
    unittest.main()
