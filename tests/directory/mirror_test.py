# SPDX-License-Identifier: Apache-2.0
"""Two slapd masters that follow each other (multi-provider, mirror mode): changes are made on both, and each has numbers of its own (I3). One that
lacks what the other has given us is not read (I4), though it has something that the other lacks."""
import re
import unittest

from node import user_ldif
from replica import ReplicaTest, people
from slapd import BASE, Directory, TestServer


class Mirrored(TestServer):
    def database_lines(self):
        return ["multiprovider TRUE" if line.startswith("updateref") else line for line in super().database_lines()]


class MirrorTest(ReplicaTest):
    def setUp(self):
        self.directory = Directory(shadows=1, ldif=self.ldif, server_class=Mirrored)
        self.addCleanup(self.directory.remove)
        self.one, self.two = self.directory.servers
        self.one.providers, self.one.session_log = [self.two], "memory"
        self.directory.start()
        self.master = self.one

    def assert_both(self, follower):
        """Both have all changes, and so has the shadow."""
        def numbers():
            return self.one.context_csn(), self.two.context_csn()
        follower.wait(lambda: len({str(sorted(one.items())) for one in numbers()}) == 1, "the masters to be equal")
        self.assert_same(follower, self.one)
        self.assertEqual(self.ours(self.one), self.ours(self.two))

    def stored(self, follower):
        """The change numbers of the cookie, by server."""
        (cookie,), = follower.rows("SELECT cookie FROM state")
        return {sid: csn for csn, sid in re.findall(r"(\d{14}\.\d{6}Z#\d{6}#(\d{3})#\d{6})", cookie.decode())}

    def followed(self, follower, server):
        follower.wait(lambda: follower.status()["provider"] == server.uri and follower.status()["state"] == "PERSIST", f"{server.uri} to be followed")

    def test_changes_on_both(self):
        """Whichever of them is followed, one stays, the other is killed or comes back: everything once, and never all of it again."""
        follower = self.follow(self.one, self.two, ldap_failback_s=1)
        follower.wait_for("ann@uni.example", 250)
        before = {}
        for turn, gone in enumerate((None, self.one, None, self.two)):
            if gone:
                gone.kill()
                self.followed(follower, self.two if gone is self.one else self.one)
            for number, server in enumerate((self.one, self.two), 1):
                if server is not gone:
                    server.add(people([f"n{turn}-{number}"]))
                    follower.wait_for(f"n{turn}-{number}@uni.example", 250)
            if gone:
                gone.start()
                gone.add(people([f"back{turn}"]))
                follower.wait_for(f"back{turn}@uni.example", 250)
            self.assert_both(follower)
            self.followed(follower, self.one)
            stored = self.stored(follower)
            self.assertEqual(stored, self.one.context_csn())
            self.assertTrue(all(stored[sid] >= csn for sid, csn in before.items()), (before, stored))
            before = stored
        self.assertEqual(set(before), {"001", "002"})
        follower.kill()
        self.two.add(people(["late2"]))
        self.one.add(people(["late1"]))
        self.two.delete(f"uid=bob,ou=people,{BASE}")
        follower.start()
        follower.wait_for("late2@uni.example", 250)
        follower.wait_for("bob@uni.example", 550)
        self.assert_both(follower)
        self.assertEqual(follower.log_text().count("from_cookie=false entries"), 1)

    def test_one_that_is_behind(self):
        """It has a change that nobody else has, and lacks one that we hold: who is new stays, and its own change comes when they have met again."""
        follower = self.follow(self.one, self.two)
        follower.wait_for("ann@uni.example", 250)
        self.two.follow(None)
        self.one.add(user_ldif("new"))
        follower.wait_for("new@uni.example", 250)
        self.two.add(user_ldif("apart"))
        self.one.stop()
        follower.wait(lambda: "it lacks changes that we hold" in follower.log_text(), "it is seen to be behind")
        asked = len(self.two.searches(BASE))
        follower.wait(lambda: len(self.two.searches(BASE)) >= asked + 3, "it is asked again and again")
        self.assertEqual([follower.code(f"{name}@uni.example") for name in ("new", "ann")], [250, 250])
        self.assertNotEqual(follower.code("apart@uni.example"), 250)
        self.one.start()
        self.followed(follower, self.one)
        self.two.follow(self.one)
        follower.wait_for("apart@uni.example", 250)
        self.assert_both(follower)
        self.assertEqual(follower.log_text().count("from_cookie=false entries"), 1)

    def test_killed_in_changes(self):
        """Both are written to; one of them, and then ldapsync, is killed while it is told (I2, I9)."""
        follower = self.follow(self.one, self.two, shadow_brake_percent=100, ldap_failback_s=1)
        follower.wait_for("ann@uni.example", 250)
        for turn in range(3):
            names = [f"k{turn}-{n}" for n in range(20)]
            self.one.add(people(names[:10]))
            self.two.add(people(names[10:]))
            self.two.delete(f"uid={names[10]},ou=people,{BASE}")
            (self.one, self.two)[turn % 2].kill()
            follower.kill()
            follower.start()
            (self.one, self.two)[turn % 2].start()
            self.assert_both(follower)
        self.assertEqual(follower.log_text().count("from_cookie=false entries"), 1)


if __name__ == "__main__":
    unittest.main()
