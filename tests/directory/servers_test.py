# SPDX-License-Identifier: Apache-2.0
"""The servers that tests of the directory stand on: who may read what, what is unique, what a consumer can rely on, what the fixture does."""
import os
import unittest

from node import user_ldif
from slapd import BASE, Directory, DirectoryTest, deployed

ANN = f"uid=ann,ou=people,{BASE}"


class Access(DirectoryTest):
    ldif = user_ldif("ann") + user_ldif("bob")

    def values(self, who, *attributes):
        return self.directory.master.search("(uid=ann)", *attributes, who=who)

    def test_the_sync_identity_reads_all_and_nobody_else_reads_hashes(self):
        secrets = ("userPassword", "phScram", "mail")
        self.assertEqual(set(self.values("sync", *secrets)[0][1]), set(secrets))
        self.assertEqual(set(self.values((ANN, "correct horse"), *secrets)[0][1]), {"mail"})
        self.assertEqual(set(self.values((f"uid=bob,ou=people,{BASE}", "correct horse"), *secrets)[0][1]), {"mail"})

    def test_anonymous_sees_nothing(self):
        with self.assertRaisesRegex(deployed.Failed, "No such object"):
            self.values("anonymous")
        with self.assertRaisesRegex(deployed.Failed, "No such object|Invalid credentials"):
            self.values((ANN, "wrong"))

    def test_sync_identity_writes_nothing(self):
        with self.assertRaisesRegex(deployed.Failed, "Insufficient access"):
            self.directory.master.ask("ldapdelete", "-x", "-D", self.directory.sync_dn, "-w", self.directory.sync_password, ANN)

    def test_more_entries_than_others_get(self):
        self.directory.master.load("".join(f"dn: cn=n{n},ou=groups,{BASE}\nobjectClass: phMailGroup\ncn: n{n}\n\n" for n in range(600)))
        self.assertGreaterEqual(len(self.directory.master.search("(cn=n*)", "1.1", who="sync")), 600)
        with self.assertRaisesRegex(deployed.Failed, "Size limit exceeded"):
            self.directory.master.search("(cn=n*)", "1.1", who=(ANN, "correct horse"))

    def test_an_address_has_one_owner_in_each_attribute(self):
        with self.assertRaisesRegex(deployed.Failed, "non-unique attributes"):
            self.directory.master.add(user_ldif("ann").replace("uid=ann", "uid=ann2").replace("uid: ann", "uid: ann2"))

    def test_tls_and_external(self):
        tls = {"LDAPTLS_CACERT": self.directory.certificates.ca, "LDAPTLS_CERT": self.directory.certificates.client_pem,
               "LDAPTLS_KEY": self.directory.certificates.client_key}
        for uri, more in ((self.directory.master.uri, ("-ZZ",)), (self.directory.master.tls_uri, ()), (self.directory.master.local_uri, ())):
            with self.subTest(uri=uri):
                said = self.directory.programs.run("ldapwhoami", "-Y", "EXTERNAL", "-Q", "-H", uri, *more, more=tls, deadline_s=20)
                self.assertEqual(said.strip(), "dn:" + self.directory.sync_dn)


class Replicas(unittest.TestCase):
    def setUp(self):
        self.directory = Directory(shadows=2, ldif=user_ldif("ann")).start()
        self.addCleanup(self.directory.remove)

    def people(self, one):
        return sorted(values["uid"][0].decode() for _, values in one.search("(objectClass=phMailUser)", "uid"))

    def test_shadows_follow_and_catch_up(self):
        master, (first, second) = self.directory.master, self.directory.shadows
        master.add(user_ldif("bob"))
        self.directory.wait_caught_up()
        self.assertEqual(self.people(first), ["ann", "bob"])
        first.kill()
        second.pause()
        master.delete(ANN)
        master.modify(f"dn: uid=bob,ou=people,{BASE}\nchangetype: modify\nreplace: cn\ncn: Robert\n")
        first.start()
        second.resume()
        self.directory.wait_caught_up()
        self.assertEqual(self.people(second), ["bob"])
        self.assertTrue(self.directory.same())

    def test_a_shadow_that_lags_and_an_empty_one(self):
        master, (first, second) = self.directory.master, self.directory.shadows
        first.follow(None)
        before = first.context_csn()
        master.add(user_ldif("bob"))
        self.directory.wait_caught_up(second)
        self.assertEqual(first.context_csn(), before)
        self.assertEqual(self.people(first), ["ann"])
        first.follow(master)
        self.directory.wait_caught_up(first)
        self.assertEqual(self.people(first), ["ann", "bob"])
        master.pause()
        second.follow(None)
        second.empty()
        self.assertEqual(second.search(base="", scope="base")[0][0], "")
        with self.assertRaisesRegex(deployed.Failed, "No such object"):
            second.search()
        second.empty(user_ldif("eve"))
        self.assertEqual(self.people(second), ["eve"])
        master.resume()

    def test_the_session_log_survives_a_restart(self):
        """A consumer that was away is told the deletes alone, not every entry that is there."""
        master, first = self.directory.master, self.directory.shadows[0]
        master.load("".join(user_ldif(f"u{n}") for n in range(20)))
        self.directory.wait_caught_up()
        first.stop()
        master.delete(ANN)
        master.restart()
        mark = first.mark()
        first.log_level = "sync"
        first.start()
        self.directory.wait_caught_up()
        self.assertTrue(first.lines("REFRESH_DELETE", since=mark))
        self.assertEqual(first.lines("REFRESH_PRESENT", since=mark), [])
        self.assertNotIn("ann", self.people(first))
        self.assertTrue(self.directory.same())

    def test_its_log_is_of_use(self):
        master = self.directory.master
        mark = master.mark()
        master.search("(uid=ann)", "uid", who="sync")
        self.assertTrue(master.lines(r'BIND dn="cn=ldapsync,', since=mark))
        self.assertTrue(any("uid=ann" in line for line in master.searches(BASE)))

    def test_two_beside_each_other_and_nothing_left(self):
        other = Directory(ldif=user_ldif("eve")).start()
        pid, folder = other.master.process.pid, other.dir
        self.assertEqual(self.people(other.master), ["eve"])
        self.assertEqual(self.people(self.directory.master), ["ann"])
        other.master.pause()
        other.remove()
        self.assertFalse(os.path.exists(folder))
        self.assertFalse(os.path.exists(f"/proc/{pid}"))


if __name__ == "__main__":
    unittest.main()
