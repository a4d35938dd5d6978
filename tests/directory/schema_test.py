# SPDX-License-Identifier: Apache-2.0
"""The native schema: its forms say the same as attr.def, and slapd loads them; what classes and attributes allow is what slapd then holds to."""
import os
import re
import subprocess
import sys
import unittest

from slapd import ROOT, Directory, deployed

sys.path.insert(0, os.path.join(ROOT, "deploy"))
sys.path.insert(0, os.path.join(ROOT, "deploy", "ldap"))
import example  # noqa: E402
import schema as forms  # noqa: E402

BASE = "dc=uni,dc=example"


def statements(values):
    """{name: text} of attributeTypes or objectClasses as a server shows them."""
    found = {}
    for value in values:
        text = value.decode()
        for name in re.findall(r"'([\w-]+)'", re.search(r"NAME (\([^)]*\)|'[^']*')", text).group(1)):
            found[name] = text
    return found


class Forms(unittest.TestCase):
    def test_all_say_the_same(self):
        done = subprocess.run([sys.executable, "-B", os.path.join(ROOT, "deploy", "ldap", "schema.py"), "--check"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_difference_is_found(self):
        schema = forms.read()
        schema.attributes[0] = schema.attributes[0]._replace(number=3)
        schema.classes.pop()
        found = forms.differences(schema)
        self.assertTrue(any(text.startswith("phStatus is 1 IA5 SINGLE in attr.def") for text in found), found)
        self.assertTrue(forms.stale(schema))


class Loaded(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Directory().start()

    @classmethod
    def tearDownClass(cls):
        cls.directory.remove()

    def test_slapd_holds_what_attr_def_says(self):
        """Also of the attributes that are not ours, so that no row of attr.def is wrong about them."""
        _, values = self.subschema()
        attributes, classes = statements(values["attributeTypes"]), statements(values["objectClasses"])
        for number, name, syntax, single in forms.attr_def():
            text = attributes.get(name)
            self.assertIsNotNone(text, f"slapd does not know {name}")
            if number < forms.FIRST_STANDARD:
                self.assertTrue(text.startswith(f"( 1.3.6.1.4.1.99999.1.{number} "), text)
                oid, equality = forms.SYNTAXES[syntax]
                self.assertIn(f"SYNTAX {oid}", text)
                self.assertIn(f"EQUALITY {equality}", text)
            self.assertEqual("SINGLE-VALUE" in text, single, text)
        for cls in forms.read().classes:
            self.assertTrue(classes[cls.name].startswith(f"( 1.3.6.1.4.1.99999.2.{cls.number} "), classes[cls.name])

    def subschema(self):
        return self.directory.master.search("(objectClass=*)", "attributeTypes", "objectClasses", base="cn=Subschema", scope="base")[0]

    def test_every_class_takes_all_that_it_may_have(self):
        value = {"IA5": "x@uni.example", "IA5_EXACT": "x", "TEXT": "x", "TEXT_EXACT": "x", "INTEGER": "7", "BOOLEAN": "TRUE",
                 "TIME": "20261122000000Z", "DN": BASE, "OCTETS": "x"}
        kinds = {name: value[syntax] for _, name, syntax, _ in forms.attr_def()}
        for cls in forms.read().classes:
            auxiliary = "AUXILIARY" in cls.text
            lines = ["objectClass: device", "objectClass: " + cls.name] if auxiliary else ["objectClass: " + cls.name]
            names = dict.fromkeys(["cn", *cls.must, *cls.may])
            lines += [f"{name}: {'x' if name == 'cn' else kinds[name]}" for name in names]
            dn = f"cn=x,{BASE}"
            with self.subTest(cls=cls.name):
                self.directory.master.add(f"dn: {dn}\n" + "\n".join(lines) + "\n")
                self.directory.master.delete(dn)

    def test_what_the_router_reads_of_an_entry_fits_into_it(self):
        """Owners of aliases, groups and domains, and who stands in for them: router/list.c, router/recipient_address.c."""
        owner, names = f"owner: {BASE}", ("phListOwnerAddress", "phListRequestAddress", "phListErrorsTo")
        addresses = "\n".join(f"{name}: x@uni.example" for name in names)
        for dn, lines in (("cn=a", f"objectClass: phMailAlias\ncn: a\nmail: a@uni.example\n{owner}\n{addresses}"),
                          ("cn=g", f"objectClass: phMailGroup\ncn: g\nmail: g@uni.example\n{owner}\n{addresses}\nphSendAsGrant: {BASE}"),
                          ("associatedDomain=d.example", f"objectClass: phMailDomain\nassociatedDomain: d.example\nphDomainType: local\n{owner}")):
            self.directory.master.add(f"dn: {dn},{BASE}\n{lines}\n")

    def test_a_value_of_the_wrong_kind_is_refused(self):
        for line in ("phQuotaBytes: many", "phForwardKeepCopy: perhaps", "phExpires: tomorrow", "phSendAsGrant: nobody",
                     "phStatus: active\nphStatus: hold"):
            with self.subTest(line=line), self.assertRaisesRegex(deployed.Failed, "Invalid syntax|Constraint violation"):
                self.directory.master.add(f"dn: cn=x,{BASE}\nobjectClass: device\nobjectClass: phMailUser\ncn: x\n{line}\n")

    def test_the_example_directory_fits(self):
        hashes = [("userPassword: {SSHA}x", "phScram: SCRAM-SHA-256$1:x$x:x")] * example.SHARED_HASHES
        made, example.hashes_by_posthouse = example.hashes_by_posthouse, lambda *_: hashes
        try:
            pieces = list(example.ldif(10, None, ["sha256:00"], "127.0.0.1:24", "", ""))
        finally:
            example.hashes_by_posthouse = made
        here = Directory()
        try:
            here.master.make()
            here.master.fill(piece for piece in pieces if not piece.startswith("version:"))
            self.assertEqual(here.master.dump().count("objectClass: phMailUser"), 60)
        finally:
            here.remove()


if __name__ == "__main__":
    unittest.main()
