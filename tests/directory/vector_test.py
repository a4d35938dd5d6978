# SPDX-License-Identifier: Apache-2.0
"""How far a 389-ds is (nsds50ruv), said by servers of our own: replicas that are removed, databases that were made anew, numbers from the future.
What real ones do is in ds389_outage_test.py."""
import time
import unittest

from fake_ldap import FakeServer
from liar_test import CONTENT, tell
from replica import Follower

GENERATION, NEWER = "6b02c458000000010000", "6b02c459000000010000"
OLD, NEW = int(time.time()) - 7 * 86400, int(time.time()) - 60


def vector(generation=GENERATION, **replicas):
    """r1=(seconds, count); r2=None: no change yet."""
    return [f"{{replicageneration}} {generation}"] + [
        f"{{replica {name[1:]} ldap://ldap{name[1:]}.uni.example:389}}" + (
            "" if at is None else f" 6b02c458000200010000 {at[0]:08x}{at[1]:04x}{int(name[1:]):04x}0000") for name, at in replicas.items()]


def all_but(*names):
    """What a 389-ds says, without these; its cookie means nothing to us."""
    def say(session):
        tell(session, {name: what for name, what in CONTENT.items() if name not in names})
        session.refresh_done(b"ldap1:389#cn=ldapsync:dc=uni,dc=example:(objectClass=*)#12")
    return say


class VectorTest(unittest.TestCase):
    def servers(self, *vectors, **settings):
        servers = [FakeServer(all_but()) for _ in vectors]
        for server, ruv in zip(servers, vectors):
            server.ruv = ruv
            self.addCleanup(server.close)
        self.follower = Follower({"ldap_uri": [server.uri for server in servers], "ldap_base": "dc=uni,dc=example", "ldap_starttls": "never",
                                  "fresh_s": 60, "ldap_failback_s": 0, "ldap_reconcile_away_s": 0, **settings})
        self.addCleanup(self.follower.remove)
        self.follower.start()
        self.follower.wait_for("ann@uni.example", 250)
        self.follower.wait_state("PERSIST")
        return servers

    def lags(self, server):
        connections = server.connections
        server.lies = all_but("bob")
        server.sessions[-1].close()
        self.follower.wait(lambda: server.connections > connections + 2, "it is asked again and again")
        self.follower.wait(lambda: "it lacks changes that we hold" in self.follower.status()["trouble"], "it lags")
        self.assertEqual([self.follower.code("bob@uni.example"), server.searches], [250, 1])

    def loaded_again(self, server):
        server.lies = all_but("bob")
        server.sessions[-1].close()
        self.follower.wait_for("bob@uni.example", 550)

    def test_it_went_back(self):
        for older in (vector(r1=(NEW, 1)), vector(r2=(NEW, 2)), vector(r1=None)):
            with self.subTest(older=older):
                server, = self.servers(vector(r1=(NEW, 2)))
                server.ruv = older
                self.lags(server)
                server.ruv = vector(r1=(NEW, 2), r2=None)
                self.follower.wait_for("bob@uni.example", 550)

    def test_it_goes_back_while_we_listen(self):
        server, = self.servers(vector(r1=(NEW, 2)))
        server.lies = all_but("bob")
        server.ruv = vector(r1=(NEW, 1))
        self.follower.wait(lambda: "it no longer has changes that it gave us" in self.follower.log_text(), "it is left")
        self.follower.wait(lambda: "it lacks changes that we hold" in self.follower.log_text(), "it lags")
        self.assertEqual([self.follower.code("bob@uni.example"), server.searches], [250, 1])

    def test_a_database_of_another_generation(self):
        """An older one lacks changes. A newer one too, until each replica that we know has made a change in it: whoever made it knows, and releases it."""
        server, = self.servers(vector(NEWER, r1=(NEW, 2)))
        server.ruv = vector(GENERATION, r1=(NEW, 3))
        self.lags(server)
        server, = self.servers(vector(GENERATION, r1=(NEW, 2)))
        server.ruv = vector(NEWER, r1=None)
        self.lags(server)
        self.assertEqual(self.follower.run("directory", "release").returncode, 0)
        self.follower.wait_for("bob@uni.example", 550)

    def test_a_replica_is_removed_while_we_listen(self):
        """cleanAllRUV: nothing is lacking, at the next connection either."""
        server, = self.servers(vector(r1=(NEW, 2), r2=(NEW, 1)))
        server.ruv = vector(r1=(NEW, 2))
        self.follower.wait(lambda: "is no longer known to the directory server" in self.follower.log_text(), "it is forgotten")
        self.follower.wait_state("PERSIST")
        self.assertEqual(server.searches, 1)

    def test_a_replica_was_removed(self):
        """While nobody listened: forgotten when it was silent for a day before."""
        server, = self.servers(vector(r1=(NEW, 2), r2=(OLD, 1)))
        server.ruv = vector(r1=(NEW, 2))
        self.loaded_again(server)
        self.assertIn("of a replica that was removed", self.follower.log_text())
        server, = self.servers(vector(r1=(NEW, 2), r2=(NEW, 1)))
        server.ruv = vector(r1=(NEW, 2))
        self.lags(server)

    def test_a_replica_that_another_server_knows(self):
        """Then it was not removed, and who does not know it lags."""
        first, second = self.servers(vector(r1=(NEW, 2), r2=(OLD, 1)), vector(r1=(NEW, 2)))
        second.lies = all_but("bob")
        first.close()
        self.follower.wait(lambda: second.connections > 2, "it is asked again and again")
        self.assertEqual([self.follower.code("bob@uni.example"), second.searches], [250, 0])

    def test_from_the_future(self):
        ahead = int(time.time()) + 86400
        server, = self.servers(vector(r1=(ahead, 2)))
        self.assertEqual(self.follower.status()["future_csn"], f"{ahead:08x}000200010000")
        server.ruv = vector(r1=(NEW, 2))
        self.loaded_again(server)

    def test_servers_that_do_not_show_it(self):
        """Without replication, or without the rights to see it: after a change of server nobody goes for a while."""
        first, second = self.servers([], [], ldap_lag_s=3600)
        second.lies = all_but("bob")
        first.close()
        self.follower.wait(lambda: self.follower.status()["provider"] == second.uri and self.follower.status()["state"] == "PERSIST", "the second")
        self.assertEqual([self.follower.code("bob@uni.example"), self.follower.status()["spared"]], [250, 1])
        self.assertEqual(self.follower.run("directory", "reconcile").returncode, 0)
        self.assertEqual(self.follower.code("bob@uni.example"), 250)
        first, second = self.servers([], [], ldap_lag_s=2)
        second.lies = all_but("bob")
        first.close()
        self.follower.wait_for("bob@uni.example", 550)
        self.assertIn("does not show whether it lags", self.follower.log_text())

    def test_a_reconcile_while_nobody_goes(self):
        """Which an administrator asks for, or the night does: who was spared goes later all the same."""
        first, second = self.servers([], [], ldap_lag_s=6, ldap_reconcile_hour=24)
        second.lies = all_but("bob")
        first.close()
        self.follower.wait(lambda: self.follower.status()["spared"] == 1, "bob is spared")
        searches = second.searches
        self.assertEqual(self.follower.run("directory", "reconcile").returncode, 0)
        self.follower.wait(lambda: second.searches > searches, "all is compared")
        self.follower.wait_for("bob@uni.example", 550)

    def test_nobody_goes_for_days(self):
        """ldap_lag_s longer than a day: the compare after it is not due at once, and again and again."""
        first, second = self.servers([], [], ldap_lag_s=7 * 86400, ldap_reconcile_hour=24)
        second.lies = all_but("bob")
        first.close()
        self.follower.wait(lambda: self.follower.status()["spared"] == 1, "bob is spared")
        self.assertEqual(self.follower.run("directory", "reconcile").returncode, 0)
        self.follower.wait(lambda: second.searches > 1, "all is compared")
        self.follower.wait_state("PERSIST")
        searches = second.searches
        time.sleep(3)
        self.assertEqual([self.follower.code("bob@uni.example"), second.searches], [250, searches])

    def test_changes_elsewhere(self):
        """Those of which we are told nothing, because they are none of ours, do not make us stale."""
        server, = self.servers(vector(r1=(NEW, 2)), fresh_s=3)
        for count in range(3, 45):
            server.ruv = vector(r1=(NEW, count))
            time.sleep(0.1)
            self.assertEqual(self.follower.code("nobody@uni.example"), 550)
            self.assertLess(self.follower.status()["lag_ms"], 3000)
        self.follower.wait(lambda: self.follower.status()["lag_ms"] == 0, "nothing is lacking")


if __name__ == "__main__":
    unittest.main()
