# SPDX-License-Identifier: Apache-2.0
"""What 389-ds alone does to those who follow it: it says nothing of what left the filter while they were away, nor that its database was loaded from a
file, and its cookies mean nothing to a second server. What holds for it as for all others is in rules_389_test.py and
rules_lag_test.py."""
import os
import unittest

from node import user_ldif
from providers import Ds389, Ds389Pair
from rules import Followed, modify, uid


class Ds389Test(Followed):
    make = Ds389

    def leaves(self, *names):
        self.server.modify("".join(modify(name, "phStatus", "deleted") for name in names))


@unittest.skipUnless(os.geteuid() == 0, "389-ds runs below its root by chroot")
class AloneTest(Ds389Test, unittest.TestCase):
    def test_left_the_filter(self):
        """While we listen it says so. While we were away it does not, and we compare soon (I12), without anybody's help."""
        follower = self.follow(ldap_reconcile_away_s=1, ldap_filter="(&(|(objectClass=phMailUser)(objectClass=phMailDomain)"
                               "(objectClass=phMailHost))(!(phStatus=deleted)))")
        self.leaves("u1")
        follower.wait_for("u1@uni.example", 550)
        follower.stop()
        self.leaves("u2", "u3")
        follower.start()
        follower.wait_for("u2@uni.example", 550)
        self.assertIn("from_cookie=true", follower.log_text())
        self.assertIn("the copy differed from the directory", follower.log_text())
        self.assertEqual(follower.uuids(), {values["nsUniqueId"][0].decode().replace("-", "") for _, values in self.server.search(
            "(&(|(objectClass=phMailUser)(objectClass=phMailDomain)(objectClass=phMailHost))(!(phStatus=deleted)))", "nsUniqueId")})
        self.assertEqual(self.codes(follower, "u2", "u3", "u4"), [550, 550, 250])

    def loaded_from_a_file(self, load):
        """With the ids that it had: its log of changes goes on as if nothing had happened, so nobody would be told who came and went (I7, I8)."""
        follower = self.follow()
        self.writer.add(user_ldif("new"))
        saved = self.server.export()
        follower.wait_for("new@uni.example", 250)
        whole = follower.uuids()
        self.writer.delete(uid("new"))
        self.writer.add(user_ldif("newer"))
        follower.wait_for("newer@uni.example", 250)
        self.assert_same(follower)
        load(saved)
        follower.wait_for("new@uni.example", 250)
        follower.wait_for("newer@uni.example", 550)
        self.assert_same(follower)
        self.assertEqual(follower.uuids(), whole)

    def test_loaded_from_a_file_while_it_was_down(self):
        self.loaded_from_a_file(self.server.load_from)

    def test_loaded_from_a_file_while_it_runs(self):
        """It answers no heartbeat then."""
        self.loaded_from_a_file(self.server.load_running)


@unittest.skipUnless(os.geteuid() == 0, "389-ds runs below its root by chroot")
class PairTest(Ds389Test, unittest.TestCase):
    """Two servers, the second one a replica of the first."""

    make = Ds389Pair

    def setUp(self):
        self.other = self.provider.other
        for server in (self.server, self.other):
            if server.process is None:
                server.start()
        self.provider.join()
        super().setUp()

    def behind(self, **settings):
        """A follower of both that has somebody new, whom the other one does not have; and the first one is down."""
        follower = self.follow(ldap_uri=[self.server.uri, self.other.uri], ldap_failback_s=1, **settings)
        self.provider.part()
        self.writer.add(user_ldif("new"))
        self.writer.modify(modify("u1", "mail", "u1.new@uni.example"))
        follower.wait_for("u1.new@uni.example", 250)
        self.server.kill()
        return follower

    def test_an_older_directory_by_release(self):
        """The first one is lost with what it alone had: it is taken out of ldap_uri, and an administrator takes the other as it is."""
        follower = self.behind()
        follower.stop()
        follower.set_values(ldap_uri=[self.other.uri])
        follower.start()
        follower.wait(lambda: follower.run("directory", "release").returncode == 0, "it was asked")
        follower.wait_for("new@uni.example", 550)
        self.assertEqual(self.codes(follower, "u1", "u1.new"), [250, 550])
        self.server.start()

    def test_one_that_does_not_say(self):
        """What we hold came with a vector; who shows none, to us, is not loaded from."""
        follower = self.follow(ldap_uri=[self.server.uri, self.other.uri])
        rights = self.other.search("(aci=*)", "aci", base="cn=mapping tree,cn=config", scope="base")[0][1]["aci"]
        ours, = (one.decode() for one in rights if b"how far replicas are" in one)
        mapping = f"dn: cn=mapping tree,cn=config\nchangetype: modify\n%s: aci\naci: {ours}\n"
        self.other.modify(mapping % "delete")
        self.server.kill()
        follower.wait(lambda: "does not show us how far it is" in follower.log_text(), "it is refused")
        follower.wait_for("nobody@uni.example", 451)
        self.assertEqual(self.codes(follower, "u1"), [250])
        self.other.modify(mapping % "add")
        follower.wait(lambda: follower.status()["provider"] == self.other.uri and follower.status()["state"] == "PERSIST", "the other one")
        self.server.start()

    def test_to_the_other_and_back(self):
        """A cookie is of use to the server that gave it alone (I3): each change of server is a whole load, by which no entry is lost, changed or added
        (I7), for a replica's ids are those of the first. What was changed while one was down comes from the other, or when it is back."""
        follower = self.follow(ldap_uri=[self.server.uri, self.other.uri])
        self.assertEqual(follower.status()["provider"], self.server.uri)
        version, loads = follower.status()["version"], self.loads(follower)
        self.server.kill()
        follower.wait(lambda: follower.status()["provider"] == self.other.uri and follower.status()["state"] == "PERSIST", "the other one")
        self.assertEqual([follower.status()["version"], self.loads(follower)], [version, loads + 1])
        follower.wait_for("nobody@uni.example", 550)
        self.server.start()
        self.writer.add(user_ldif("new"))
        follower.wait_for("new@uni.example", 250)  # by way of the replica
        self.assert_same(follower)
        follower.stop()
        follower.start()  # with the cookie of the second, and asks the first
        follower.wait(lambda: self.loads(follower) == loads + 2, "a load")
        self.assertEqual(follower.status()["provider"], self.server.uri)
        self.assert_same(follower)
        follower.stop()
        self.other.kill()
        self.writer.delete(uid("new"))
        follower.set_values(ldap_uri=[self.server.uri])
        follower.start()
        follower.wait_for("new@uni.example", 550)
        self.assertEqual(self.loads(follower), loads + 2)  # and this was its own
        self.assert_same(follower)
        self.other.start()


if __name__ == "__main__":
    unittest.main()
