# SPDX-License-Identifier: Apache-2.0
"""What 389-ds alone does to those who follow it: it says nothing of what left the filter while they were away, nor that its database was loaded from a
file, and its cookies mean nothing to a second server. What holds for it as for all others is in rules_389_test.py."""
import os
import unittest

from ds389 import DirectoryServer389
from node import user_ldif
from providers import Ds389
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

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.other = DirectoryServer389()
            cls.addClassCleanup(cls.other.remove)
            cls.server.replicate_to(cls.other.start())
        except BaseException:
            cls.provider.remove()
            raise

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
        follower.start()
        follower.wait_for("new@uni.example", 550)
        self.assertEqual(self.loads(follower), loads + 2)  # and this was its own
        self.assert_same(follower)
        self.other.start()


if __name__ == "__main__":
    unittest.main()
