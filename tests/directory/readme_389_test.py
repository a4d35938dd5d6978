# SPDX-License-Identifier: Apache-2.0
"""deploy/ldap/README.md on a 389-ds: its steps 7 to 11, word by word, after those of its own section (which ds389.py follows), and what they come to."""
import json
import os
import re
import subprocess
import unittest

import node
from ds389 import DirectoryServer389
from readme_test import blocks
from slapd import BASE, deployed

ADA = (f"dn: uid=ada,ou=people,{BASE}\nobjectClass: inetOrgPerson\nuid: ada\ncn: Ada Amsel\nsn: Amsel\nmail: ada@uni.example\n\n")


@unittest.skipUnless(os.geteuid() == 0, "389-ds runs below its root by chroot")
class Readme389(unittest.TestCase):
    def setUp(self):
        self.server = DirectoryServer389(ldif=ADA).start()
        self.addCleanup(self.server.remove)
        self.node = node.Node(users=("ada",), settings=self.server.settings())
        self.addCleanup(self.node.remove)
        self.node.make_certificates()
        names = blocks("sh")[0]
        for pattern, value in ((r"PIN=.*", f"PIN={self.node.pin}"), (r"LMTP=.*", f"LMTP={self.node.address}:{self.node.ports['lmtp']}")):
            names = re.sub("(?m)^" + pattern + "$", value, names)
        self.names = names

    def follow(self, script):
        """The shell makes the LDIF; `data` is ldapmodify as the Directory Manager."""
        said = subprocess.run(["sh", "-eu", "-c", self.names + 'data() { echo "#data $*"; cat; echo; }\n' + script], capture_output=True, text=True,
                              check=True).stdout
        for part in said.split("#data ")[1:]:
            options, ldif = part.split("\n", 1)
            self.server.ask("ldapmodify", *self.server.as_admin(), *options.split(), input=ldif)

    def why(self, *arguments):
        said = json.loads(self.node.run("why", "--json", *arguments).stdout)
        return said["code"], sorted(target["address"] for target in said["targets"])

    def test_steps_7_to_11(self):
        domain, ada, bob = [script for script in blocks("sh") if re.match(r"data( -a)? <<END", script)]
        self.follow(domain + ada)
        self.node.start()
        self.addCleanup(self.node.stop)
        done = self.node.run("check", "--connect")
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1]), (0, "ok"), done.stdout)
        self.assertEqual(self.why("ada@uni.example"), (250, ["ada@uni.example"]))
        self.assertEqual(self.why("bob@uni.example")[0], 550)
        self.follow(bob)
        self.node.wait(lambda: self.why("bob@uni.example")[0] == 250, "bob to be known")
        with self.node.smtp() as smtp:
            smtp.sendmail("friend@elsewhere.example", ["bob.birke@uni.example"], node.message("welcome"))
        command = blocks("password")[0].split(" > ")[0].split()[1:]
        ldif = self.node.run(*command, input=node.PASSWORD + "\n", check=0).stdout
        self.server.ask("ldapmodify", *self.server.as_admin(), input=ldif)
        self.assertIn(b"Subject: welcome", self.node.wait_messages(1, "bob")[0])
        # The server itself lets him in by what was made for Posthouse.
        self.server.search("(uid=bob)", "uid", who=(f"uid=bob,ou=people,{BASE}", node.PASSWORD))
        with self.assertRaisesRegex(deployed.Failed, "Invalid credentials"):
            self.server.search("(uid=bob)", "uid", who=(f"uid=bob,ou=people,{BASE}", node.PASSWORD + "!"))
        for script in blocks("more"):
            self.follow(script)
        for line in blocks("why")[0].splitlines():
            arguments, wanted = re.fullmatch(r"posthouse why (.*\S) +# (.*)", line).groups()
            if re.fullmatch(r"\d+( \S+@\S+)*", wanted):
                wanted = (int(wanted.split()[0]), wanted.split()[1:])
                self.node.wait(lambda: self.why(*arguments.split()) == wanted, f"{arguments} to be {wanted}")
        self.assertEqual(self.node.unexpected_errors(), [])


if __name__ == "__main__":
    unittest.main()
