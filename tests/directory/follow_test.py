# SPDX-License-Identifier: Apache-2.0
"""ldapsync follows a slapd: changes arrive, a restart goes on from the cookie, one search does it all."""
import os
import time
import unittest

from node import user_ldif
from replica import ReplicaTest, people
from slapd import BASE


class FollowTest(ReplicaTest):
    def test_changes_arrive(self):
        follower = self.follow()
        follower.wait_for("ann@uni.example", 250)
        status = follower.status()
        self.assertEqual((status["state"], status["entries"], status["provider"], status["fresh"]), ("PERSIST", 4, self.master.uri, True))
        self.assertEqual(follower.code("new@uni.example"), 550)
        self.master.add(user_ldif("new"))
        follower.wait_for("new@uni.example", 250)
        self.master.modify(f"dn: uid=new,ou=people,{BASE}\nchangetype: modify\nreplace: mail\nmail: newer@uni.example\n\n")
        follower.wait_for("newer@uni.example", 250)
        self.assertEqual(follower.code("new@uni.example"), 550)
        self.master.modify(f"dn: uid=new,ou=people,{BASE}\nchangetype: modrdn\nnewrdn: uid=renamed\ndeleteoldrdn: 1\n\n")
        self.assert_same(follower)
        self.master.delete(f"uid=renamed,ou=people,{BASE}")
        follower.wait_for("newer@uni.example", 550)
        self.master.modify(f"dn: uid=bob,ou=people,{BASE}\nchangetype: modify\nadd: mailLocalAddress\nmailLocalAddress: ann@uni.example\n\n")
        follower.wait_for("ann@uni.example", 451)  # two owners (I11)
        self.assertIn("several entries claim one key", follower.log_text())
        self.master.delete(f"uid=bob,ou=people,{BASE}")
        follower.wait_for("ann@uni.example", 250)
        self.assert_same(follower)
        self.assertEqual(len(follower.uuids("credentials")), 1)
        self.assertEqual(len(self.master.lines('SRCH base="dc=uni,dc=example" scope=2 .*objectClass=phMailRecipient')), 1)

    def test_changes_outside(self):
        """What the filter does not find changes the server's contextCSN too: the shadow stays equal to it, and fresh."""
        follower = self.follow(fresh_s=2)
        follower.wait_for("ann@uni.example", 250)
        for turn in range(12):
            self.master.modify(f"dn: ou=people,{BASE}\nchangetype: modify\nreplace: description\ndescription: {turn}\n\n")
            self.assertEqual(follower.code("nobody@uni.example"), 550)
            time.sleep(0.3)
        follower.wait(lambda: follower.status()["lag_ms"] == 0, "no lag")
        self.assertEqual(follower.status()["version"], 1)

    def test_an_entry_outside_that_goes(self):
        """Of that a slapd says nothing to the search, and its contextCSN moves: the shadow is fresh all the same, and stays so."""
        follower = self.follow(fresh_s=3)
        follower.wait_for("ann@uni.example", 250)
        self.master.add(f"dn: ou=outside,{BASE}\nobjectClass: organizationalUnit\nou: outside\n")
        self.master.delete(f"ou=outside,{BASE}")
        for _ in range(20):
            self.assertEqual(follower.code("nobody@uni.example"), 550)
            time.sleep(0.3)
        follower.wait(lambda: follower.status()["lag_ms"] == 0, "no lag")
        self.assertEqual((follower.status()["version"], follower.status()["state"]), (1, "PERSIST"))

    def test_check(self):
        """`posthouse check` says what would not work."""
        follower = self.follow()
        follower.wait_for("ann@uni.example", 250)  # it has read its settings, and not those below
        self.assertEqual(follower.run("check").stdout, "ok\n")
        password = self.directory.path("ldap.password")
        os.chmod(password, 0o644)
        done = follower.run("check")
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"ldap_password_file: {password}: mode 644 lets others read or write it", done.stdout)
        follower.set_values(ldap_starttls="never", ldap_uri=["ldap://ldap.uni.example", "http://x"], ldap_base="", shadow_ldif="/x.ldif")
        lines = follower.run("check").stdout
        for wanted in ("shadow_ldif: is set and ldap_uri too", "ldap_base: is not set", "the password would go to ldap.uni.example in the clear",
                       "http://x is no LDAP server"):
            self.assertIn(wanted, lines)

    def test_check_connects(self):
        """`posthouse check --connect` does what ldapsync would do at each server, and says where that ends."""
        follower = self.follow()
        done = follower.run("check", "--connect")
        self.assertEqual((done.returncode, done.stdout), (0, "ok\n"), done.stdout)
        good = dict(follower.settings)
        bad = self.directory.path("bad.password")
        with open(bad, "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as stream:
            stream.write("wrong")
        for change, setting, what in (
                ({"ldap_password_file": bad}, "ldap_uri", "Invalid credentials; are ldap_bind_dn, and what ldap_password_file holds, right"),
                ({"ldap_base": "dc=other,dc=example"}, "ldap_base", "is not there"),
                ({"ldap_base": f"ou=aliases,{BASE}"}, "ldap_base", "no domain, host or person of ours below it"),
                ({"ldap_filter": "(mail=nobody@nowhere.example)"}, "ldap_filter", "no domain, host or person of ours"),
                ({"ldap_uri": ["ldap://127.0.0.1:1", *good["ldap_uri"]]}, "ldap_uri", "ldap://127.0.0.1:1: .*; does its name resolve")):
            with self.subTest(change):
                follower.set({**good, **change})
                self.assertEqual(follower.run("check").stdout, "ok\n")
                done = follower.run("check", "--connect")
                self.assertEqual((done.returncode, len(done.stdout.splitlines())), (1, 1), done.stdout)
                self.assertRegex(done.stdout, rf"^{follower.conf}:\d+: {setting}: .*{what}")

    def test_restart_goes_on_from_the_cookie(self):
        follower = self.follow()
        follower.wait_for("ann@uni.example", 250)
        follower.kill()
        self.master.add(people(["cat"]))
        self.master.delete(f"uid=bob,ou=people,{BASE}")
        self.assertEqual([follower.code(f"{who}@uni.example") for who in ("ann", "bob", "cat")][:2], [250, 250])
        mark = self.master.mark()
        follower.start()
        follower.wait_for("cat@uni.example", 250)
        follower.wait_for("bob@uni.example", 550)
        self.assert_same(follower)
        self.assertIn("from_cookie=true", follower.log_text())
        # Of the whole directory only the new entry was sent again.
        follower.wait_state("PERSIST")
        self.assertEqual(len(self.master.lines("syncprov_search_response|SRCH base=.* scope=2 .*phMailRecipient", since=mark)), 1)
        self.assertEqual(follower.log_text().count("added=1 changed=0 deleted=1"), 1)
        follower.stop()
        follower.start()
        follower.wait(lambda: follower.log_text().count("from_cookie=true entries=4 added=0 changed=0 deleted=0") == 1, "a start without news")
        follower.stop()
        follower.start()  # and one more: what had no news costs no load (I7)
        follower.wait(lambda: follower.log_text().count("from_cookie=true entries=4 added=0 changed=0 deleted=0") == 2, "another")


if __name__ == "__main__":
    unittest.main()
