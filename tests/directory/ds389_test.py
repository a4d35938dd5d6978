# SPDX-License-Identifier: Apache-2.0
"""389-ds with 98posthouse.ldif and 389-ds.ldif: it holds the schema as attr.def has it, lets the sync identity in and others not, and tells changes."""
import os
import re
import unittest

from ds389 import DirectoryServer389
from node import Node, user_ldif, uuid_of
from schema_test import forms, statements
from slapd import BASE, deployed


@unittest.skipUnless(os.geteuid() == 0, "389-ds runs below its root by chroot")
class Ds389(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = DirectoryServer389(ldif=user_ldif("ann") + user_ldif("bob")).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.remove()

    def test_it_holds_what_attr_def_says(self):
        values = self.server.search("(objectClass=*)", "attributeTypes", "objectClasses", base="cn=schema", scope="base")[0][1]
        attributes, classes = statements(values["attributeTypes"]), statements(values["objectClasses"])
        for number, name, syntax, single in forms.attr_def():
            text = attributes.get(name)
            self.assertIsNotNone(text, f"389-ds does not know {name}")
            if number < forms.FIRST_STANDARD:
                self.assertTrue(text.startswith(f"( 1.3.6.1.4.1.99999.1.{number} "), text)
                self.assertIn(f"SYNTAX {forms.SYNTAXES[syntax][0]}", text)
                self.assertIn(f"EQUALITY {forms.SYNTAXES[syntax][1]}", text)
                self.assertEqual("SINGLE-VALUE" in text, single, text)
        for cls in forms.read().classes:
            self.assertTrue(classes[cls.name].startswith(f"( 1.3.6.1.4.1.99999.2.{cls.number} "), classes[cls.name])

    def test_the_sync_identity_reads_all_and_nobody_else_reads_hashes(self):
        secrets = ("userPassword", "phScram", "mail")
        self.assertEqual(set(self.server.search("(uid=ann)", *secrets, who="sync")[0][1]), set(secrets))
        for who in ("anonymous", (f"uid=bob,ou=people,{BASE}", "correct horse")):
            for _, values in self.server.search("(uid=ann)", *secrets, who=who):
                self.assertLessEqual(set(values), {"mail"})

    def test_an_address_has_one_owner_over_both_attributes(self):
        for name in ("mail", "mailLocalAddress", "phIntlAddress"):
            with self.subTest(name=name), self.assertRaisesRegex(deployed.Failed, "Constraint violation"):
                self.server.add(f"dn: cn=x,ou=groups,{BASE}\nobjectClass: phMailGroup\ncn: x\n{name}: ann@uni.example\n")
        self.server.add(f"dn: cn=y,ou=groups,{BASE}\nobjectClass: phMailGroup\ncn: y\nphIntlAddress: y@uni.example\nmail: y2@uni.example\n")

    def test_a_log_in_and_a_mailbox_have_one_owner(self):
        someone = user_ldif("cat", extra="phLoginAlias: kitty\n")
        self.server.add(someone)
        other = user_ldif("dan")
        for old, new in (("uid: dan", "uid: kitty"), ("cn: dan", "cn: dan\nphLoginAlias: cat"), (uuid_of("dan"), uuid_of("cat"))):
            with self.subTest(new=new), self.assertRaisesRegex(deployed.Failed, "Constraint violation"):
                self.server.add(other.replace("uid=dan", "uid=kitty" if new == "uid: kitty" else "uid=dan").replace(old, new))
        self.server.add(other)

    def test_the_sync_identity_is_told_changes(self):
        def told(cookie):
            return self.server.ask("ldapsearch", "-x", "-D", self.server.sync_dn, "-w", self.server.sync_password, "-o", "ldif-wrap=no",
                                   "-E", f"!sync=ro{cookie}", "-b", BASE, "(objectClass=*)", "1.1")
        first = told("")
        self.assertIn("uid=ann,", first)
        cookie = re.findall(r"cookie=(\S+)", first) or re.findall(r"cookie: (\S+)", first)
        self.assertTrue(cookie, first)
        self.server.add(user_ldif("eve"))
        later = told("/" + cookie[-1])
        self.assertIn("uid=eve,", later)
        self.assertNotIn("uid=ann,", later)


@unittest.skipUnless(os.geteuid() == 0, "389-ds runs below its root by chroot")
class Followed(unittest.TestCase):
    def test_a_node_follows_it(self):
        node = Node()
        self.addCleanup(node.remove)
        node.make_certificates()
        server = DirectoryServer389(ldif=node.directory_ldif().removeprefix("version: 1\n\n")).start()
        self.addCleanup(server.remove)
        node.overrides.update(server.settings())
        node.start()
        self.addCleanup(node.stop)

        def becomes(address, code):
            node.wait(lambda: node.why(address)["code"] == code, f"{code} for {address}")
        becomes("ann@uni.example", 250)
        becomes("new@uni.example", 550)
        server.add(user_ldif("new"))
        becomes("new@uni.example", 250)
        server.restart()
        server.delete(f"uid=bob,ou=people,{BASE}")
        server.modify(f"dn: uid=new,ou=people,{BASE}\nchangetype: modify\nreplace: mail\nmail: newer@uni.example\n")
        becomes("bob@uni.example", 550)
        becomes("new@uni.example", 550)
        becomes("newer@uni.example", 250)
        self.assertEqual(node.unexpected_errors(), [])


if __name__ == "__main__":
    unittest.main()
