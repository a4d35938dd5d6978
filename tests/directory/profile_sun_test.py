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
        self.assert_log_ins(node, yes=["ann"], no=["dan", "eve"])

    def test_file(self):
        self.check(self.from_file())

    def test_slapd(self):
        self.check(self.from_slapd())


if __name__ == "__main__":
    unittest.main()
