# SPDX-License-Identifier: Apache-2.0
"""ldap_profile = kolab: addresses, delegates, groups and a shared folder, as users see them; from a file and from slapd."""
import unittest

from profile import ProfileTest


class Kolab(ProfileTest):
    profile, schemas = "kolab", ("kolab.schema",)

    def check(self, node):
        self.assert_goes(node, "ann.ahorn@uni.example", "deliver", ["ann@uni.example"])
        self.assert_goes(node, "bob@uni.example", "deliver", ["bob@uni.example"])
        self.assertEqual(self.reason(node.why("cyd@uni.example"), "ldap_profile")["value"], "[kolabDeleteflag] phStatus := deleted")
        self.assert_goes(node, "guest@uni.example", "forward", ["guest@else.example"])
        self.assert_goes(node, "team@uni.example", "expand", ["ann@uni.example", "guest@else.example"])
        self.assertEqual(self.rcpt(node, "ann@uni.example", "cyd@uni.example", "office@uni.example", "nobody@uni.example"), [250, 550, 450, 550])
        for sender, may in (("bob@uni.example", True), ("x@partner.example", True), ("ann@uni.example", False)):
            self.assertEqual(self.targets_from(node, sender, "staff@uni.example", check=0 if may else 1), ["ann@uni.example"] if may else [], sender)
        # bob is ann's delegate, and she is not his.
        self.assertIn("ann@uni.example may be the sender", node.run("why", "--login", "--from", "ann@uni.example", "bob").stdout)
        self.assertIn("bob@uni.example may not be the sender", node.run("why", "--login", "--from", "bob@uni.example", "ann").stdout)
        self.assert_log_ins(node, yes=["ann", "ann.ahorn@uni.example", "bob@uni.example"], no=["cyd"])

    def test_file(self):
        self.check(self.from_file())

    def test_slapd(self):
        node = self.from_slapd()
        self.check(node)
        cyd = "dn: uid=cyd,ou=people,dc=uni,dc=example\nchangetype: modify\n"
        self.assert_comes_true(node, cyd + "delete: kolabDeleteflag\n", "cyd@uni.example", "deliver")


if __name__ == "__main__":
    unittest.main()
