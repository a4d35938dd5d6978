# SPDX-License-Identifier: Apache-2.0
"""ldapsync and slapd are killed at any moment, files are damaged, settings change: the shadow is always one that the directory was once, and
ends up as it is now."""
import glob
import os
import random
import sqlite3
import time
import unittest

from node import user_ldif
from replica import ReplicaTest, people
from slapd import BASE

MANY = [f"m{n}" for n in range(3000)]
STARTS = 6


class KillTest(ReplicaTest):
    ldif = ReplicaTest.ldif + people(MANY)

    def test_in_the_first_load(self):
        """Nothing or everything (I1)."""
        rng = random.Random(7)
        follower = self.follow(ldap_uri=[self.master.uri])
        whole = len(MANY) + 4
        for _ in range(STARTS):
            time.sleep(rng.uniform(0.02, 0.25))
            follower.kill()
            entries = len(follower.uuids()) if os.path.exists(os.path.join(follower.dir, "data/shadow/shadow.db")) else 0
            self.assertIn(entries, (0, whole))
            self.assertEqual(follower.code("m2999@uni.example"), 250 if entries else 451)
            follower.start()
        follower.wait_for("m2999@uni.example", 250)
        self.assert_same(follower)

    def test_in_a_storm_of_changes(self):
        """Nobody is lost between the data and the cookie (I2), and nothing is there twice (I9)."""
        rng = random.Random(8)
        follower = self.follow(shadow_brake_percent=100)
        follower.wait_for("m2999@uni.example", 250)
        follower.wait(lambda: "from_cookie=false entries" in follower.log_text(), "the first load")
        for turn in range(STARTS):
            names = [f"s{turn}-{n}" for n in range(60)]
            self.master.add(people(names))
            self.master.modify("".join(f"dn: uid={name},ou=people,{BASE}\nchangetype: {change}\n\n" for name in rng.sample(names, 30)
                                       for change in ("delete",)))
            time.sleep(rng.uniform(0, 0.05))
            follower.kill()
            follower.start()
        self.assert_same(follower)
        self.assertEqual(len(follower.uuids("credentials")), len(MANY) + 2 + 30 * STARTS)
        self.assertEqual(follower.log_text().count("from_cookie=false entries"), 1)  # never everything again


class DamageTest(ReplicaTest):
    def change(self, follower, sql, database="shadow"):
        with sqlite3.connect(f"{follower.dir}/data/{database}/{database}.db") as db:
            db.execute(sql)

    def reload(self, follower, text):
        before = follower.log_text().count(text)
        follower.start()
        follower.wait(lambda: follower.log_text().count(text) > before, text)

    def test_damaged_file(self):
        follower = self.follow()
        follower.wait_for("ann@uni.example", 250)
        follower.stop()
        for path in glob.glob(f"{follower.dir}/data/shadow/shadow.db-*"):
            os.remove(path)
        with open(f"{follower.dir}/data/shadow/shadow.db", "r+b") as stream:
            stream.write(b"this is no database at all")
        follower.start()
        follower.wait_for("ann@uni.example", 250)
        self.assertTrue(os.path.exists(f"{follower.dir}/data/shadow/shadow.db.damaged"))
        self.assert_same(follower)

    def test_another_filter(self):
        """What is asked for changed: the cookie is of no use, the content stays until all is there (I7)."""
        follower = self.follow()
        follower.wait_for("ann@uni.example", 250)
        follower.stop()
        follower.set_values(ldap_filter="(!(uid=bob))", shadow_brake_min=100)
        follower.start()
        follower.wait_for("bob@uni.example", 550)
        self.assertEqual(follower.code("ann@uni.example"), 250)
        self.assertEqual(follower.log_text().count("from_cookie=false entries"), 2)

    def test_from_a_file_to_servers(self):
        """The file's view serves until the servers were read, and nobody is unknown for good by it."""
        follower = self.follow()
        follower.stop()
        wanted = follower.settings
        with open(f"{follower.dir}/people.ldif", "w", encoding="utf-8") as stream:
            stream.write(self.ldif + people(["old"]))
        follower.set({**{name: what for name, what in wanted.items() if not name.startswith("ldap_")}, "shadow_ldif": f"{follower.dir}/people.ldif"})
        follower.start()
        follower.wait_for("old@uni.example", 250)
        follower.stop()
        self.master.stop()
        follower.set({**wanted, "shadow_brake_min": 100, "shadow_brake_percent": 100})
        follower.start()
        follower.wait_for("nobody@uni.example", 451)
        self.assertEqual(follower.code("old@uni.example"), 250)
        self.master.start()
        follower.wait_for("old@uni.example", 550)
        self.assert_same(follower)


class RealmTest(ReplicaTest):
    def logins(self, follower):
        return {key.decode() for (key,) in follower.rows("SELECT key FROM key WHERE kind = 3", "credentials")}

    def test_realm_of_a_domain(self):
        """Names to log in by depend on another entry, the domain's."""
        follower = self.follow()
        follower.wait_for("ann@uni.example", 250)
        self.assertEqual(self.logins(follower), {"ann@uni.example", "bob@uni.example"})
        domain = f"dn: associatedDomain=uni.example,{BASE}\nchangetype: modify\n"
        self.master.modify(domain + "add: phAuthRealm\nphAuthRealm: people.example\n\n")
        follower.wait(lambda: self.logins(follower) == {"ann@people.example", "bob@people.example"}, "the new realm")
        follower.stop()
        self.master.modify(domain + "replace: phAuthRealm\nphAuthRealm: others.example\n\n")
        follower.start()
        follower.wait(lambda: self.logins(follower) == {"ann@others.example", "bob@others.example"}, "the realm that was changed meanwhile")
        self.master.modify(domain + "delete: phAuthRealm\n\n")
        follower.wait(lambda: self.logins(follower) == {"ann@uni.example", "bob@uni.example"}, "no realm")
        self.master.add(user_ldif("new"))
        follower.wait(lambda: "new@uni.example" in self.logins(follower), "a new user's")


class BindTest(ReplicaTest):
    """Ways to a server: in the clear on loopback, StartTLS, ldaps, and who we are by a certificate or a socket."""

    def works(self, follower):
        follower.wait_for("ann@uni.example", 250)
        self.assertEqual(len(follower.uuids("credentials")), 2)  # it reads hashes
        follower.stop()

    def test_tls(self):
        for settings in ({"ldap_starttls": "always"}, {"ldap_uri": [self.master.tls_uri]}):
            self.works(self.follow(**settings))
        self.assertEqual(len(self.master.lines("STARTTLS|TLS established")) > 1, True)

    def test_untrusted(self):
        empty = self.directory.path("no.pem")
        with open(self.directory.certificates.ca, encoding="utf-8") as stream:
            self.assertIn("BEGIN CERTIFICATE", stream.read())
        os.system(f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/null -out {empty} -subj /CN=other "
                  "2>/dev/null")
        follower = self.follow(ldap_uri=[self.master.tls_uri], ldap_ca_file=empty)
        follower.wait(lambda: "directory server is left" in follower.log_text(), "its certificate is refused")
        self.assertEqual(follower.code("ann@uni.example"), 451)
        self.assertEqual(self.master.lines(f'BIND dn="{self.directory.sync_dn}"'), [])  # no password was sent

    def test_external(self):
        certificates = self.directory.certificates
        for settings in ({"ldap_uri": [self.master.local_uri]},
                         {"ldap_uri": [self.master.tls_uri], "ldap_certificate": certificates.client_pem, "ldap_key": certificates.client_key}):
            self.works(self.follow(ldap_bind="external", ldap_bind_dn="", ldap_password_file="", **settings))


if __name__ == "__main__":
    unittest.main()
