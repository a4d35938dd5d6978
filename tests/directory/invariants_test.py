# SPDX-License-Identifier: Apache-2.0
"""What holds whatever happens in the middle of what slapd says, as those see it who read the shadow: they have the old directory or the new one.
A relay keeps back the rest, so that the middle is no matter of time."""
import threading
import unittest

from node import user_ldif
from relay import Relay
from replica import ReplicaTest, people
from slapd import BASE

USERS = [f"u{n}" for n in range(300)]
PERSISTENT = f'SRCH base="{BASE}" scope=2 .*objectClass=phMailRecipient'
MIDDLES = (3000, 40000, 90000)  # bytes, of 150,000
ADDRESS = 1  # a kind of key


def addresses(follower):
    return frozenset(bytes(key).decode() for (key,) in follower.rows(f"SELECT key FROM key WHERE kind = {ADDRESS}"))


class Reader:
    """Reads the shadow without a pause, as every other process does, and keeps each view that it has not seen before."""

    def __init__(self, follower):
        self.follower, self.views, self.ends = follower, [], threading.Event()
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def look(self):
        view = addresses(self.follower)
        if view not in self.views:
            self.views.append(view)

    def read(self):
        while not self.ends.wait(0.005):
            self.look()

    def end(self):
        self.ends.set()
        self.thread.join()


class RelayTest(ReplicaTest):
    ldif = ReplicaTest.ldif + people(USERS)

    def relay(self, server=None):
        relay = Relay((server or self.master).address, (server or self.master).port)
        self.addCleanup(relay.close)
        return relay

    def follow_over(self, relay, **settings):
        return self.follow(ldap_uri=[relay.uri], ldap_starttls="never", shadow_brake_percent=100, **settings)


class MiddleTest(RelayTest):
    def change_all(self, turn):
        self.master.modify("".join(f"dn: uid={name},ou=people,{BASE}\nchangetype: modify\nreplace: mail\nmail: {name}.{turn}@uni.example\n\n" for name in USERS))

    def replaced(self, turn):
        return frozenset({f"{name}.{turn}@uni.example" for name in USERS} | {f"{name}@uni.example" for name in ("ann", "bob")})

    def interrupted(self, end):
        """Everybody's address changes while we are away; in the middle of being told so, with the cookie and without, end(follower, relay)."""
        relay = self.relay()
        follower = self.follow_over(relay)
        follower.wait_for("u299@uni.example", 250)
        for turn, (middle, keeps_cookie) in enumerate((middle, keeps) for middle in MIDDLES for keeps in (True, False)):
            follower.stop()
            before = addresses(follower)
            if not keeps_cookie:
                with follower.writes() as db:
                    db.execute("UPDATE state SET cookie = x''")
            self.change_all(turn)
            reader = Reader(follower)
            self.addCleanup(reader.end)
            relay.hold(middle)
            follower.start()
            relay.wait_held()
            end(follower, relay)
            self.assertEqual(addresses(follower), before)
            relay.cut()
            if follower.daemon is None:
                follower.start()
            follower.wait(lambda: addresses(follower) == self.replaced(turn), "the new one")
            reader.end()
            reader.look()
            self.assertEqual(reader.views, [before, self.replaced(turn)])
            self.assert_same(follower)

    def test_ldapsync_is_killed(self):
        """I1, I2, I7."""
        self.interrupted(lambda follower, relay: follower.kill())

    def test_slapd_is_killed(self):
        """I1, I2, I5."""
        def end(follower, relay):
            self.master.kill()
            left = follower.log_text().count("directory server is left")
            relay.cut()
            follower.wait(lambda: follower.log_text().count("directory server is left") > left, "it is left")
            self.master.start()
        self.interrupted(end)

    def test_slapd_hangs(self):
        """I1, I10."""
        def end(follower, relay):
            left = follower.log_text().count("directory server is left")
            follower.wait(lambda: follower.log_text().count("directory server is left") > left, "it is left")
        self.interrupted(end)

    def test_never_complete(self):
        """I8: part of a first load is nobody's; neither known nor unknown."""
        relay = self.relay()
        relay.hold(MIDDLES[-1])
        follower = self.follow_over(relay)
        relay.wait_held()
        self.assertEqual([follower.code("u1@uni.example"), follower.code("nobody@uni.example"), follower.status()["complete"]], [451, 451, False])
        self.master.kill()
        relay.cut()
        follower.kill()
        follower.start()
        follower.wait(lambda: "directory server is left" in follower.log_text(), "it is down")
        self.assertEqual([follower.code("u1@uni.example"), follower.code("nobody@uni.example")], [451, 451])
        self.assertEqual(addresses(follower), frozenset())
        self.master.start()
        follower.wait_for("nobody@uni.example", 550)
        self.assertEqual(follower.code("u1@uni.example"), 250)
        self.assert_same(follower)


class PresentTest(RelayTest):
    """I5: a shadow that has lost the log of its session tells who is present, and not who has gone."""
    shadows = 1

    def test_present(self):
        shadow = self.directory.shadows[0]
        relay = self.relay(shadow)
        follower = self.follow_over(relay)
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
