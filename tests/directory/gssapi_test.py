# SPDX-License-Identifier: Apache-2.0
"""A node that has no password for the directory but a Kerberos ticket, from its keytab."""
import os
import subprocess
import unittest

from kerberos import Realm
from node import Node, user_ldif
from slapd import BASE, Directory, deployed

MAY_MOUNT = os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
HAS_GSSAPI = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", "libsasl2-modules-gssapi-mit"], capture_output=True, text=True,
                            check=False).stdout == "install ok installed"


class Gssapi(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.remove)
        self.node.make_certificates()
        self.realm = Realm(self.node.path("kerberos"), deployed.Programs(), self.node.address)
        self.addCleanup(self.realm.stop)
        environment = {"KRB5_CONFIG": self.realm.config, "KRB5_KTNAME": self.realm.path("slapd.keytab")}
        self.directory = Directory(ldif=self.node.directory_ldif().removeprefix("version: 1\n\n"), environment=environment,
                                   address=self.node.address, identities=("^uid=ldapsync(,cn=uni.example)?,cn=gssapi,cn=auth$",),
                                   extra=(f"sasl-realm {self.realm.name}", f"sasl-host {self.node.address}"))
        self.addCleanup(self.directory.remove)
        self.realm.add(f"ldap/{self.node.address}", "slapd.keytab")
        self.realm.add("ldapsync", "ldapsync.keytab")
        self.realm.start()
        self.directory.start()

    @unittest.skipUnless(MAY_MOUNT and HAS_GSSAPI, "needs mounting, and libsasl2-modules-gssapi-mit")
    def test_a_node_follows_with_its_keytab(self):
        self.node.wrapper = self.realm.wrapper()
        self.node.overrides.update(self.directory.settings())
        self.node.overrides.update({"ldap_bind": "gssapi", "ldap_bind_dn": "", "ldap_password_file": "", "ldap_starttls": "never",
                                    "ldap_keytab": self.realm.path("ldapsync.keytab")})
        self.node.start()
        self.addCleanup(self.node.stop)
        self.assertEqual(self.node.why("ann@uni.example")["code"], 250)
        self.assertTrue(self.directory.master.lines('BIND dn="cn=ldapsync,ou=services,dc=uni,dc=example" mech=GSSAPI'))
        self.directory.master.add(user_ldif("new"))
        self.node.wait(lambda: self.node.why("new@uni.example")["code"] == 250, "who was just added")
        self.directory.master.restart()
        self.directory.master.delete(f"uid=new,ou=people,{BASE}")
        self.node.wait(lambda: self.node.why("new@uni.example")["code"] == 550, "who was just deleted")


if __name__ == "__main__":
    unittest.main()
