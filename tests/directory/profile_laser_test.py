# SPDX-License-Identifier: Apache-2.0
"""ldap_profile = laser: each row of sendmail's ldap_routing table, as `posthouse why`, RCPT and the mail itself show it; from a file and from slapd."""
import os
import unittest

from profile import ProfileTest


class Laser(ProfileTest):
    profile = "laser"
    settings = {"ldap_map": ["employeeType = phStatus: left=disabled *="]}

    def check_rows(self, node):
        self.assert_goes(node, "ann@uni.example", "deliver", ["ann@uni.example"])
        self.assert_goes(node, "Ann.Ahorn+x@uni.example", "deliver", ["ann@uni.example"])
        why = self.assert_goes(node, "bob@uni.example", "expand", ["ann@uni.example"])
        self.assertEqual(self.reason(why, "mailRoutingAddress")["entry"], "uid=bob,ou=people,dc=uni,dc=example")
        why = self.assert_goes(node, "cyd@uni.example", "relay", ["cyd@uni.example"])
        self.assertEqual(self.reason(why, "mailHost")["value"], "mail.dept.example")
        self.assertTrue(why["targets"][0]["host"].startswith("esmtp:["), why)
        self.assertEqual(why["profile"], "laser")
        self.assert_goes(node, "dan@uni.example", "relay", ["d.dattel@dept.example"])
        self.assert_goes(node, "eve@uni.example", "expand", ["eve@else.example"])
        self.assert_goes(node, "fay@uni.example", "defer", [])
        self.assert_goes(node, "anybody@wide.example", "relay", ["anybody@wide.example"])
        self.assert_goes(node, "info@wide.example", "expand", ["ann@uni.example"])
        self.assertEqual(self.rcpt(node, "ann@uni.example", "bob@uni.example", "cyd+x@uni.example", "dan@uni.example", "eve@uni.example", "fay@uni.example",
                                   "nobody@uni.example", "anybody@wide.example"), [250, 250, 250, 250, 250, 451, 550, 250])

    def check_mail(self, node):
        for address, subject in (("ann@uni.example", "own"), ("bob@uni.example", "moved"), ("cyd+x@uni.example", "there"), ("dan@uni.example", "there for"),
                                 ("eve@uni.example", "else"), ("anybody@wide.example", "wide")):
            self.send(node, address, subject)
        subjects = b"".join(node.wait_messages(2, "ann"))
        self.assertIn(b"Subject: own", subjects)
        self.assertIn(b"Subject: moved", subjects)
        self.wait_hop(self.hop, "there", ["cyd+x@uni.example"])
        self.wait_hop(self.hop, "there for", ["d.dattel@dept.example"])
        self.wait_hop(self.hop, "wide", ["anybody@wide.example"])
        self.wait_hop(self.relay, "else", ["eve@else.example"])

    def test_file(self):
        node = self.from_file(TWO_VALUES)
        node.expect_error("several entries claim one key.*twin@uni.example")
        self.check_rows(node)
        self.check_mail(node)
        # several values, two entries: a temporary failure
        self.assertEqual(self.rcpt(node, "two@uni.example", "routes@uni.example", "twin@uni.example"), [451, 451, 451])
        why = self.assert_goes(node, "left@uni.example", "refuse", [])
        reason = self.reason(why, "employeeType")  # the attribute as the directory has it
        self.assertEqual((reason["value"], reason["native"]), ("Left", {"attribute": "phStatus", "value": "disabled"}))
        text = node.run("why", "left@uni.example").stdout
        self.assertIn("employeeType Left (phStatus disabled), in the entry \"cn=left,dc=uni,dc=example\"", text)
        self.assertIn("by the profile laser", text)
        # What is refused is named as the directory has it.
        self.assertIn("mailRoutingAddress", node.log_text())
        # The detail, when it is to be preserved.
        self.assertEqual(node.why("eve+x@uni.example")["targets"][0]["address"], "eve@else.example")
        node.change_settings("mta", routing_detail="preserve")
        self.send(node, "eve+x@uni.example", "detail")
        self.wait_hop(self.relay, "detail", ["eve+x@else.example"])
        lines = node.run("directory", "profile", check=0).stdout.splitlines()
        self.assertEqual(lines, ["# laser", self.settings["ldap_map"][0], *node.run("directory", "profile", "laser").stdout.splitlines()[1:]])
        node.write("change.ldif", "dn: uid=ann,ou=people,dc=uni,dc=example\nchangetype: modify\nreplace: mailHost\nmailHost: mail.dept.example\n")
        self.assertIn("passed on to another server", node.run("why", "--ldif", node.path("change.ldif"), "ann@uni.example", check=0).stdout)
        self.predict(node, "dn: cn=left,dc=uni,dc=example\nchangetype: modify\ndelete: employeeType\nemployeeType: left\n", "left@uni.example", "defer")  # without entryUUID
        # Of a file that is not there any more nothing can be taken; what needs nothing of it is answered all the same.
        node.stop()
        os.rename(node.path("directory.ldif"), node.path("gone"))
        node.write("change.ldif", "dn: cn=left,dc=uni,dc=example\nchangetype: modify\ndelete: employeeType\n")
        self.assertRegex(node.run("why", "--ldif", node.path("change.ldif"), "left@uni.example", check=75).stderr,
                         r"change.ldif:3: .*give it whole.*cannot be asked: .*No such file")
        node.write("change.ldif", "dn: cn=left,dc=uni,dc=example\nchangetype: modify\ndelete: telephoneNumber\n")
        node.run("why", "--ldif", node.path("change.ldif"), "left@uni.example", check=1)

    def test_slapd(self):
        node = self.from_slapd()
        self.check_rows(node)
        self.check_mail(node)
        # An entry whose mailHost changes goes another way at once.
        self.directory.master.modify("dn: uid=cyd,ou=people,dc=uni,dc=example\nchangetype: modify\nreplace: mailHost\nmailHost: mb1.uni.example\n")
        node.wait(lambda: node.why("cyd@uni.example")["verdict"] == "deliver", "the change")
        modify = "dn: uid={},ou=people,dc=uni,dc=example\nchangetype: modify\n"
        self.assert_comes_true(node, modify.format("bob") + "delete: mailRoutingAddress\n", "bob@uni.example", "deliver")
        self.assert_comes_true(node, modify.format("bob") + "add: mailRoutingAddress\nmailRoutingAddress: Ann@uni.example\n-\nreplace: sn\nsn: Birke\n",
                               "bob@uni.example", "expand")
        self.assert_comes_true(node, modify.format("bob") + "delete: mailRoutingAddress\nmailRoutingAddress: ANN@uni.example\n-\nadd: employeeType\n"
                               "employeeType: LEFT\n", "bob@uni.example", "refuse")
        # What the server would refuse; who is asked of a server that is not there.
        for change, line, code in (("delete: employeeType\nemployeeType: away\n", 4, 2), ("add: employeeType\nemployeeType: left\n", 4, 2)):
            path = node.write("change.ldif", modify.format("bob") + change)
            self.assertIn(f"change.ldif:{line}: employeeType: ", node.run("why", "--ldif", path, "bob@uni.example", check=code).stderr)
        path = node.write("change.ldif", modify.format("bbo") + "delete: employeeType\n")
        self.assertIn("change.ldif:1: uid=bbo,ou=people,dc=uni,dc=example: the directory has no entry", node.run("why", "--ldif", path, "bob@uni.example", check=2).stderr)
        path = node.write("change.ldif", modify.format("bob") + "delete: employeeType\n")
        self.directory.master.stop()
        self.assertRegex(node.run("directory", "diff", path, check=75).stderr, "change.ldif:3: employeeType: .*cannot be asked: .*ldap://.*LDAP server")
        self.directory.master.start()
        node.run("directory", "diff", path, check=1)
        # Another map is another reading of all entries (I7): the shadow serves meanwhile, and nobody is gone.
        self.assertTrue(node.why("ann@uni.example")["verdict"] == "deliver")
        node.stop()
        node.overrides["ldap_map"] = ["sn = phStatus: Ahorn=disabled *="]
        node.start()
        node.wait(lambda: node.why("ann@uni.example")["code"] == 550, "the new map")
        self.assertEqual(self.reason(node.why("ann@uni.example"), "sn")["value"], "Ahorn")


TWO_VALUES = """dn: cn=two,dc=uni,dc=example
objectClass: inetLocalMailRecipient
cn: two
mailLocalAddress: two@uni.example
mailHost: mail.dept.example
mailHost: mb1.uni.example

dn: cn=routes,dc=uni,dc=example
objectClass: inetLocalMailRecipient
mailLocalAddress: routes@uni.example
mailRoutingAddress: a@else.example
mailRoutingAddress: b@else.example

dn: cn=twin,dc=uni,dc=example
objectClass: inetLocalMailRecipient
mailLocalAddress: twin@uni.example
mailHost: mail.dept.example

dn: cn=twin2,dc=uni,dc=example
objectClass: inetLocalMailRecipient
mailLocalAddress: twin@uni.example
mailHost: mb1.uni.example

dn: cn=evil,dc=uni,dc=example
objectClass: inetLocalMailRecipient
mailLocalAddress: evil@uni.example
mailRoutingAddress: |/bin/sh

dn: cn=left,dc=uni,dc=example
objectClass: inetLocalMailRecipient
mailLocalAddress: left@uni.example
mailHost: mb1.uni.example
employeeType: Left
"""

if __name__ == "__main__":
    unittest.main()
