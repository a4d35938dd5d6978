# SPDX-License-Identifier: Apache-2.0
"""ldap_profile = qmail-ldap: forwards and copies, status, catchall and groups, as users see them; from a file and from slapd."""
import unittest

from profile import ProfileTest


class QmailLdap(ProfileTest):
    profile, schemas = "qmail-ldap", ("qmail-ldap.schema",)

    def check(self, node):
        self.assert_goes(node, "ann.ahorn@uni.example", "deliver", ["ann@uni.example"])
        self.assert_goes(node, "bob@uni.example", "forward", ["bob@uni.example", "bob@else.example"])
        why = self.assert_goes(node, "cyd@uni.example", "forward", ["cyd@else.example"])
        self.assertEqual(self.reason(why, "mailForwardingAddress")["native"], {"attribute": "phForwardAddress", "value": "cyd@else.example"})
        why = self.assert_goes(node, "eve@uni.example", "refuse", [])
        self.assertEqual(self.reason(why, "accountStatus")["value"], "disabled")
        self.assert_goes(node, "whoever@uni.example", "deliver", ["fay@uni.example"])
        why = self.assert_goes(node, "staff@uni.example", "defer", [])
        self.assertIn("filtermember", self.reason(why, "ldap_profile")["value"])
        self.assertEqual(self.rcpt(node, "ann@uni.example", "dan@uni.example", "eve@uni.example", "team@uni.example", "staff@uni.example"),
                         [250, 250, 550, 550, 450])  # team is for its members
        self.assertEqual(sorted(self.targets_from(node, "ann@uni.example", "team@uni.example")), ["ann@uni.example", "guest@else.example"])
        self.assertIn("50000000 (phQuotaBytes, from mailQuotaSize 50000000, in the entry", node.run("why", "--login", "ann", check=0).stdout)
        self.assert_log_ins(node, yes=["ann", "bob"], no=["dan", "eve"])
        self.send(node, "bob@uni.example", "both")
        self.wait_hop(self.relay, "both", ["bob@else.example"])
        self.assertIn(b"Subject: both", node.wait_messages(1, "bob")[0])

    def test_file(self):
        self.check(self.from_file())

    def test_slapd(self):
        node = self.from_slapd()
        self.check(node)
        modify = "dn: uid={},ou=people,dc=uni,dc=example\nchangetype: modify\n"
        self.assert_comes_true(node, modify.format("bob") + "add: deliveryMode\ndeliveryMode: noforward\n", "bob@uni.example", "deliver")
        self.assert_comes_true(node, modify.format("cyd") + "delete: mailForwardingAddress\nmailForwardingAddress: Cyd@Else.Example\n-\n"
                               "replace: deliveryMode\n", "cyd@uni.example", "deliver")
        self.assert_comes_true(node, modify.format("eve") + "replace: accountStatus\naccountStatus: active\n", "eve@uni.example", "deliver")
        self.directory.master.modify("dn: uid=ann,ou=people,dc=uni,dc=example\nchangetype: modify\nreplace: accountStatus\naccountStatus: deleted\n")
        node.wait(lambda: node.why("ann@uni.example")["code"] == 550, "the change of accountStatus")


if __name__ == "__main__":
    unittest.main()
