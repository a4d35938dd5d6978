# SPDX-License-Identifier: Apache-2.0
"""389-ds killed in the middle of what it says, hanging, restarted, emptied, made anew: the shadow serves, nobody is unknown for good by a view that
is not fresh, and in the end it is what the directory is."""
import os
import unittest

from ds389 import DirectoryServer389
from node import user_ldif
from relay import Relay
from replica import DOMAIN, Follower, people
from slapd import BASE

USERS = [f"u{n}" for n in range(60)]
LDIF = DOMAIN + people(["ann", "bob"])


def uid(name):
    return f"uid={name},ou=people,{BASE}"


@unittest.skipUnless(os.geteuid() == 0, "389-ds runs below its root by chroot")
class Ds389Test(unittest.TestCase):
    filter = "(|(objectClass=phMailUser)(objectClass=phMailDomain)(objectClass=phMailHost))"

    @classmethod
    def setUpClass(cls):
        cls.server = DirectoryServer389(ldif=LDIF + people(USERS)).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.remove()

    def setUp(self):
        self.relay = Relay(self.server.address, self.server.port)
        self.addCleanup(self.relay.close)

    def follow(self, **settings):
        follower = Follower({**self.server.settings(), "ldap_uri": [self.relay.uri], "ldap_timeout_s": 1, "fresh_s": 3, **settings})
        self.addCleanup(follower.remove)
        return follower.start()

    def ours(self):
        found = self.server.search(self.filter, "nsUniqueId")
        return {values["nsUniqueId"][0].decode().replace("-", "") for _, values in found}

    def assert_same(self, follower):
        wanted = self.ours()
        follower.wait(lambda: follower.uuids() == wanted, "the entries of the server")
        follower.wait_state("PERSIST")

    def codes(self, follower, *names):
        return [follower.code(f"{name}@uni.example") for name in names]


class KilledTest(Ds389Test):
    def test_in_the_first_load(self):
        """Nothing of it is seen (I1, I8)."""
        self.relay.hold(20000)
        follower = self.follow()
        self.relay.wait_held()
        self.server.kill()
        self.relay.cut()
        follower.wait(lambda: "directory server is left" in follower.log_text(), "it is down")
        self.assertEqual(follower.uuids(), set())
        self.assertEqual(self.codes(follower, "ann", "nobody"), [451, 451])
        self.server.start()
        follower.wait_for("ann@uni.example", 250)
        self.assertEqual(self.codes(follower, "nobody"), [550])
        self.assert_same(follower)

    def test_in_changes(self):
        """What came before it died is there once, what did not comes from the cookie (I2, I9)."""
        follower = self.follow(shadow_brake_percent=100)
        follower.wait_for("ann@uni.example", 250)
        loads = follower.log_text().count("from_cookie=false entries")
        self.relay.hold(2500)
        self.server.add(people(f"k{n}" for n in range(20)))
        self.server.delete(*map(uid, USERS[:10]))
        self.relay.wait_held()
        self.server.kill()
        self.relay.cut()
        follower.wait_for("nobody@uni.example", 451)  # I8
        self.assertEqual(self.codes(follower, "ann", "u20"), [250, 250])
        self.server.start()
        self.assert_same(follower)
        follower.wait_for("k19@uni.example", 250)
        self.assertEqual(self.codes(follower, "u1", "k0"), [550, 250])
        self.assertEqual(follower.log_text().count("from_cookie=false entries"), loads)  # never everything again
        self.assertEqual(len(follower.uuids("credentials")), len(self.ours()) - 2)

    def test_ldapsync_in_changes(self):
        follower = self.follow(shadow_brake_percent=100)
        follower.wait_for("ann@uni.example", 250)
        self.relay.hold(2500)
        self.server.add(people(f"l{n}" for n in range(20)))
        self.relay.wait_held()
        follower.kill()
        self.relay.cut()
        self.assertEqual(self.codes(follower, "ann"), [250])
        follower.start()
        self.assert_same(follower)
        self.assertEqual(follower.log_text().count("from_cookie=false entries"), 1)


class HangTest(Ds389Test):
    def test_stopped_and_restarted(self):
        """It is left when it hangs (I10), and nothing is loaded twice when it is back."""
        follower = self.follow()
        follower.wait_for("nobody@uni.example", 550)
        self.server.pause()
        follower.wait(lambda: "no answer" in follower.status()["trouble"], "it hangs")
        follower.wait_for("nobody@uni.example", 451)
        self.assertEqual(self.codes(follower, "ann"), [250])
        self.server.resume()
        self.server.add(user_ldif("cat"))
        follower.wait_for("cat@uni.example", 250)
        self.server.stop()
        follower.wait_for("nobody@uni.example", 451)
        self.server.start()
        self.server.delete(uid("cat"))
        follower.wait_for("cat@uni.example", 550)
        self.assert_same(follower)
        self.assertEqual(follower.log_text().count("from_cookie=false entries"), 1)

    def test_stopped_in_the_first_load(self):
        self.relay.hold(20000)
        follower = self.follow()
        self.relay.wait_held()  # hangs
        follower.wait(lambda: "no answer" in follower.status()["trouble"], "it hangs")
        self.assertEqual(follower.uuids(), set())
        self.assertEqual(self.codes(follower, "ann"), [451])
        self.relay.cut()
        follower.wait_for("ann@uni.example", 250)
        self.assert_same(follower)


class AwayTest(Ds389Test):
    filter = "(&(|(objectClass=phMailUser)(objectClass=phMailDomain)(objectClass=phMailHost))(!(phStatus=deleted)))"

    def leaves(self, *names):
        self.server.modify("".join(f"dn: {uid(name)}\nchangetype: modify\nreplace: phStatus\nphStatus: deleted\n\n" for name in names))

    def test_left_the_filter(self):
        """While we listen it says so. While we were away it does not, and we compare soon (I12), without anybody's help."""
        follower = self.follow(ldap_filter=self.filter, ldap_reconcile_away_s=1)
        follower.wait_for("u1@uni.example", 250)
        self.leaves("u1")
        follower.wait_for("u1@uni.example", 550)
        follower.stop()
        self.leaves("u2", "u3")
        follower.start()
        follower.wait_for("u2@uni.example", 550)
        self.assertIn("from_cookie=true", follower.log_text())
        self.assertIn("the copy differed from the directory", follower.log_text())
        self.assert_same(follower)
        self.assertEqual(self.codes(follower, "u2", "u3", "u4"), [550, 550, 250])


class AnewTest(Ds389Test):
    def test_emptied(self):
        """By hand, entry for entry: the brake (I6). Made anew: the cookie is refused, and the brake again (I6, I7)."""
        follower = self.follow(shadow_brake_min=10)
        follower.wait_for("u1@uni.example", 250)
        follower.stop()
        self.server.delete(*map(uid, USERS[:40]))
        follower.start()
        follower.wait_state("BRAKED")
        self.assertEqual(self.codes(follower, "u1", "ann", "nobody"), [250, 250, 451])
        self.server.empty(LDIF)
        follower.kill()
        follower.start()
        follower.wait_state("BRAKED")
        self.assertEqual(self.codes(follower, "u1", "ann", "nobody"), [250, 250, 451])
        self.assertEqual(follower.run("directory", "release").returncode, 0)
        self.assertEqual(self.codes(follower, "u1", "u59", "ann", "nobody"), [550, 550, 250, 550])
        self.assert_same(follower)
        self.server.add(user_ldif("new"))
        follower.wait_for("new@uni.example", 250)
        self.assert_same(follower)


if __name__ == "__main__":
    unittest.main()
