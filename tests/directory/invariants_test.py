# SPDX-License-Identifier: Apache-2.0
"""What slapd tells whom it tells changes: who is present, after the log of its session was lost; and one search for each time that it is followed."""
import unittest

from node import user_ldif
from relay import Relay
from replica import ReplicaTest, people
from slapd import BASE

USERS = [f"u{n}" for n in range(300)]
PERSISTENT = f'SRCH base="{BASE}" scope=2 .*objectClass=phMailRecipient'


class PresentTest(ReplicaTest):
    """I5: a shadow that has lost the log of its session tells who is present, and not who has gone."""
    shadows = 1
    ldif = ReplicaTest.ldif + people(USERS)

    def test_present(self):
        shadow = self.directory.shadows[0]
        relay = Relay(shadow.address, shadow.port)
        self.addCleanup(relay.close)
        follower = self.follow(ldap_uri=[relay.uri], ldap_starttls="never", shadow_brake_percent=100)
        follower.wait_for("u299@uni.example", 250)
        follower.stop()
        self.master.delete(f"uid=bob,ou=people,{BASE}")
        self.master.add(user_ldif("new"))
        self.directory.wait_caught_up()
        shadow.log_level = "stats sync"
        shadow.restart()
        mark, before = shadow.mark(), follower.uuids()
        relay.hold(3000)
        follower.start()
        relay.wait_held()
        shadow.kill()
        relay.cut()
        follower.wait(lambda: "directory server is left" in follower.log_text(), "it is left")
        self.assertEqual(follower.uuids(), before)  # those of whom it did not come to speak are not gone
        shadow.start()
        follower.wait_for("bob@uni.example", 550)
        follower.wait_for("new@uni.example", 250)
        self.assert_same(follower)
        self.assertTrue(shadow.lines("sendinfo: refreshPresent", since=mark))
        self.assertIn("from_cookie=true entries=304 added=1 changed=0 deleted=1", follower.log_text())


class OneSearchTest(ReplicaTest):
    shadows = 1

    def followed(self, follower, server):
        follower.wait(lambda: follower.status()["provider"] == server.uri and follower.status()["state"] == "PERSIST", f"{server.uri} to be followed")

    def test_one_persistent_search(self):
        """Each time that a server is followed costs it one search of the directory, whatever changes then; to another server and back."""
        shadow = self.directory.shadows[0]
        follower = self.follow(shadow, self.master, ldap_failback_s=1)
        self.followed(follower, shadow)

        def searches():
            return [len(one.lines(PERSISTENT)) for one in (shadow, self.master)]

        def live(name):
            self.master.add(user_ldif(name))
            follower.wait_for(f"{name}@uni.example", 250)
            server = shadow if follower.status()["provider"] == shadow.uri else self.master
            beats = len(server.lines("contextCSN"))
            follower.wait(lambda: len(server.lines("contextCSN")) > beats + 3, "heartbeats")
            self.master.delete(f"uid={name},ou=people,{BASE}")
            follower.wait_for(f"{name}@uni.example", 550)
            self.assert_same(follower)
        live("one")
        self.assertEqual(searches(), [1, 0])
        shadow.kill()
        self.followed(follower, self.master)
        live("two")
        self.assertEqual(searches(), [1, 1])
        shadow.start()
        self.followed(follower, shadow)
        live("three")
        self.assertEqual(searches(), [2, 1])
        shadow.pause()
        self.followed(follower, self.master)
        self.assertEqual(searches(), [2, 2])
        shadow.resume()
        self.followed(follower, shadow)
        live("four")
        self.assertEqual(searches(), [3, 2])
        self.assertEqual(follower.log_text().count("from_cookie=false entries"), 1)


if __name__ == "__main__":
    unittest.main()
