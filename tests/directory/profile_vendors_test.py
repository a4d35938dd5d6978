# SPDX-License-Identifier: Apache-2.0
"""ldap_profile = courier, zimbra, ad: the example of each as `posthouse why`, RCPT, mail and log-ins show it."""
import poplib
import unittest

from profile import ProfileTest

PASSWORD = "correct horse"


class Courier(ProfileTest):
    profile, schemas = "courier", ("courier.schema",)

    def check(self, node):
        self.assert_goes(node, "ann@uni.example", "deliver", ["ann@uni.example"])
        why = self.assert_goes(node, "bob@uni.example", "forward", ["bob@else.example"])
        self.assertEqual(self.reason(why, "maildrop")["value"], "bob@else.example")
        self.assert_goes(node, "everybody@uni.example", "expand", ["ann@uni.example", "bob@else.example"])
        self.assertEqual(self.rcpt(node, "ann@uni.example", "bob@uni.example", "team@uni.example", "nobody@uni.example"), [250, 250, 250, 550])
        self.send(node, "team@uni.example", "all of us")
        self.assertIn(b"Subject: all of us", b"".join(node.wait_messages(1, "ann@uni.example")))
        self.wait_hop(self.relay, "all of us", ["bob@else.example"])

    def test_file(self):
        node = self.from_file()
        self.check(node)
        self.assertRaises(poplib.error_proto, node.pop3, "ann@uni.example", PASSWORD)

    def test_slapd(self):
        node = self.from_slapd()
        self.check(node)
        bob = "dn: mail=bob@uni.example,ou=people,dc=uni,dc=example\nchangetype: modify\n"
        self.assert_comes_true(node, bob + "delete: maildrop\nmaildrop: bob@else.example\n", "bob@uni.example", "deliver")
        self.assert_comes_true(node, bob + "add: maildrop\nmaildrop: ann@uni.example\n", "bob@uni.example", "forward")


class Zimbra(ProfileTest):
    profile = "zimbra"

    def test_file(self):
        node = self.from_file()
        for address in ("ann@uni.example", "Ann.Ahorn@uni.example", "ann@old.example"):
            why = self.assert_goes(node, address, "deliver", ["ann@uni.example"])
        self.assert_goes(node, "bea@uni.example", "forward", ["bea@uni.example", "bea@else.example"])
        self.assert_goes(node, "cyd@uni.example", "forward", ["cyd@else.example"])
        why = self.assert_goes(node, "dan@uni.example", "defer", [])
        self.assertEqual(self.reason(why, "zimbraAccountStatus")["value"], "maintenance")
        self.assert_goes(node, "eve@uni.example", "refuse", [])
        self.assert_goes(node, "team@uni.example", "expand", ["ann@uni.example", "dora@else.example"])
        modify = "dn: uid={},ou=people,dc=uni,dc=example\nchangetype: modify\n"
        self.predict(node, modify.format("dan") + "replace: zimbraAccountStatus\nzimbraAccountStatus: active\n", "dan@uni.example", "deliver")
        self.predict(node, modify.format("ann") + "add: zimbraPrefMailForwardingAddress\nzimbraPrefMailForwardingAddress: ann@else.example\n", "ann@uni.example", "forward")
        self.assertEqual(self.rcpt(node, "team@old.example", "dan@uni.example", "eve@uni.example", "nobody@old.example"), [250, 450, 550, 550])
        self.send(node, "team@uni.example", "zimbra")
        self.wait_hop(self.relay, "zimbra", ["dora@else.example"])
        # She may log in with any of her addresses; of POP3 her account has no service.
        self.assertIn(b"Subject: zimbra", b"".join(node.wait_messages(1, "ann.ahorn@uni.example")))
        self.assertRaises(poplib.error_proto, node.pop3, "ann", PASSWORD)


class ActiveDirectory(ProfileTest):
    profile = "ad"
    settings = {"ldap_map": ["[objectClass=phMailUser] mailHost := mb1.uni.example"]}

    def test_file(self):
        node = self.from_file()
        node.expect_error("with a part of its values")
        self.assert_goes(node, "ann.ahorn@uni.example", "deliver", ["ann@uni.example"])
        why = self.assert_goes(node, "bob@uni.example", "refuse", [])
        self.assertEqual(self.reason(why, "userAccountControl")["value"], "514")
        self.assert_goes(node, "cyd@uni.example", "forward", ["cyd@cloud.example"])
        why = self.assert_goes(node, "eva@uni.example", "forward", ["ann@uni.example"])
        self.assertIn("Ann Ahorn", self.reason(why, "altRecipient")["value"])
        self.assert_goes(node, "fay@uni.example", "forward", ["fay@uni.example", "dora@else.example"])
        self.assertEqual(self.targets_from(node, "eva@uni.example", "team@uni.example", check=1), [])
        self.assert_goes(node, "team@uni.example", "expand", ["ann@uni.example", "dora@else.example"])
        self.assert_goes(node, "all@uni.example", "defer", [])
        self.predict(node, "dn: cn=bob birke,ou=people,dc=uni,dc=example\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: 512\n", "bob@uni.example", "deliver")
        self.predict(node, "dn: CN=Cyd Citrus,OU=People,DC=uni,DC=example\nchangetype: modify\ndelete: targetAddress\n", "cyd@uni.example", "deliver")
        self.assertEqual(self.rcpt(node, "ann@uni.example", "bob@uni.example", "all@uni.example", "nobody@uni.example"), [250, 550, 451, 550])
        self.send(node, "team@uni.example", "ad")
        self.wait_hop(self.relay, "ad", ["dora@else.example"])
        for login in ("ann", "ann@ad.uni.example"):
            self.assertIn(b"Subject: ad", b"".join(node.wait_messages(1, login)))


if __name__ == "__main__":
    unittest.main()
