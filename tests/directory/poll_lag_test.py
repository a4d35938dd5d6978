# SPDX-License-Identifier: Apache-2.0
"""I4 for servers that are polled: domain controllers by their cursors, others by the entry that was changed last; and where nothing tells, nobody goes for
a change of server who was just added."""
import signal
import unittest

from fake_ldap import FakeServer
from polled import ActiveDirectory, Lying
from replica import Follower
from slapd import BASE

LACKS = "it lacks changes that we hold"


def dn(name):
    return f"uid={name},ou=people,{BASE}"


def user(name):
    return {"objectClass": ["phMailUser"], "uid": [name], "mail": [f"{name}@uni.example"], "mailHost": ["mb1.uni.example"]}


class Pair(unittest.TestCase):
    """Two servers of one directory; the first is followed."""

    def begin(self, one, two, **settings):
        self.one, self.two = one, two
        self.first, self.second = (FakeServer(None, answers=each) for each in (one, two))
        self.addCleanup(self.first.close)
        self.addCleanup(self.second.close)
        self.follower = Follower({"shadow_ldif": "", "ldap_uri": [self.first.uri, self.second.uri], "ldap_base": BASE, "fresh_s": 3, "ldap_failback_s": 0,
                                  "ldap_driver": "poll", "ldap_poll_interval_s": 1, "ldap_compare_interval_s": 1, **settings}).start()
        self.addCleanup(self.follower.remove)
        self.wait_follows(self.first)

    def wait_follows(self, server):
        self.follower.wait(lambda: self.follower.status()["provider"] == server.uri and self.follower.status()["state"] == "PERSIST", "it is followed")

    def codes(self, *names):
        return [self.follower.code(f"{name}@uni.example") for name in names]

    def lacks(self):
        return self.follower.log_text().count(LACKS)

    def wait_asked(self):
        lacks = self.lacks()
        self.follower.wait(lambda: self.lacks() > lacks + 1, "it is asked again and again")

    def wait_refused(self):
        self.wait_asked()
        self.follower.wait(lambda: LACKS in self.follower.status()["trouble"], "status says so")


class CursorsTest(Pair):
    """Domain controllers."""

    def begin_with(self, shows, **settings):
        one, two = ActiveDirectory(name="DC1"), ActiveDirectory(name="DC2")
        two.invocation, two.usn, two.shows_cursors = b"\2" * 16, 50000, shows
        one.shows_cursors = shows
        self.begin(one, two, **settings)
        one.replicate_to(two)
        one.put(dn("new"), user("new"), 40000)
        one.change(dn("u1"), mail=["u1.new@uni.example"])
        self.follower.wait_for("u1.new@uni.example", 250)
        self.assertEqual(self.codes("new"), [250])

    def lags(self, shows):
        self.begin_with(shows)
        self.first.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.wait_refused()
            self.assertEqual(self.codes("new", "u1.new"), [250, 250])
            self.follower.stop(number)
            self.follower.start()
        self.assertEqual(self.two.loads, 0)
        self.one.replicate_to(self.two)
        self.wait_follows(self.second)
        self.assertEqual(self.codes("new", "u1.new", "u1", "u2"), [250, 250, 550, 250])
        self.assertEqual(self.follower.status()["spared"], 0)
        self.two.delete(dn("u2"))
        self.follower.wait_for("u2@uni.example", 550)

    def test_octets(self):
        self.lags("replUpToDateVector")

    def test_xml(self):
        self.lags("msDS-NCReplCursors")

    def test_back_to_the_first(self):
        """Which has been restored, counts under another name, and has caught up or not."""
        self.begin_with("replUpToDateVector", ldap_failback_s=1)
        self.one.replicate_to(self.two)
        self.first.close()
        self.wait_follows(self.second)
        self.two.put(dn("newer"), user("newer"), 40001)
        self.follower.wait_for("newer@uni.example", 250)
        again = FakeServer(None, answers=self.one, port=int(self.first.uri.rpartition(":")[2]))
        self.addCleanup(again.close)
        self.wait_asked()
        self.assertEqual(self.codes("new", "newer"), [250, 250])
        self.two.replicate_to(self.one)
        self.wait_follows(again)
        self.assertEqual(self.codes("new", "newer"), [250, 250])

    def test_an_older_directory_by_release(self):
        self.begin_with("replUpToDateVector")
        self.first.close()
        self.follower.stop()
        self.follower.set_values(ldap_uri=[self.second.uri])
        self.follower.start()
        self.follower.wait(lambda: self.follower.run("directory", "release").returncode == 0, "it was asked")
        self.follower.wait_for("u1@uni.example", 250)
        self.follower.wait_for("new@uni.example", 550)

    def test_hidden(self):
        """Who may not read cursors cannot tell: nobody goes for a while, and then who is still not there."""
        self.begin_with(None, ldap_lag_s=3600)
        del self.two.entries[dn("u2")]
        self.first.close()
        self.wait_follows(self.second)
        self.assertIn("does not show whether it lags", self.follower.log_text())
        self.assertEqual([self.codes("new", "u2", "u3"), self.follower.status()["spared"]], [[250, 250, 250], 2])
        self.assertIn("2 entries stay", self.follower.run("directory", "status").stdout)
        self.follower.kill()
        self.follower.start()
        compares = self.two.compares
        self.follower.wait(lambda: self.two.compares > compares + 1, "it is compared")
        self.assertEqual([self.codes("new", "u2", "u3"), self.two.loads], [[250, 250, 250], 1])
        self.two.put(dn("new"), user("new"), 40000)  # it catches up
        self.two.delete(dn("u3"))                    # whom it had, it takes away
        self.follower.wait(lambda: self.follower.status()["spared"] == 1, "of these it has one now")
        self.follower.wait_for("u3@uni.example", 550)
        self.assertEqual(self.codes("new", "u2"), [250, 250])
        self.follower.stop()
        self.follower.set_values(ldap_uri=[self.first.uri])

    def test_hidden_and_over(self):
        self.begin_with(None, ldap_lag_s=2)
        self.first.close()
        self.follower.wait_for("new@uni.example", 550)
        self.assertLess(self.follower.log_text().index("does not show whether it lags"), self.follower.log_text().rindex("directory refreshed"))
        self.assertEqual(self.codes("u2"), [250])
        self.assertGreater(self.two.by_ids, 0)


class WitnessTest(Pair):
    """Servers that show nothing but when each entry was changed."""

    def begin_with(self, **settings):
        self.begin(Lying(), Lying(), **settings)
        self.one.entries[dn("new")] = {**user("new"), **self.one.marks(40000), "modifyTimestamp": ["20261122020304Z"]}
        self.follower.wait_for("new@uni.example", 250)
        self.first.close()

    def test_it_lags(self):
        self.begin_with()
        self.wait_refused()
        self.assertEqual([self.codes("new"), self.two.loads], [[250], 0])
        self.two.entries[dn("new")] = {**self.one.entries[dn("new")], "modifyTimestamp": ["20261122020303Z"]}  # as it was before
        self.follower.kill()
        self.follower.start()
        self.wait_refused()
        self.two.entries[dn("new")] = self.one.entries[dn("new")]
        del self.two.entries[dn("u2")]
        self.wait_follows(self.second)
        self.follower.wait_for("u2@uni.example", 550)
        self.assertEqual([self.codes("new"), self.follower.status()["spared"]], [[250], 0])

    def test_the_witness_was_deleted(self):
        """Or will never come: after ldap_lag_s the server is taken all the same, and after that again nobody stays for it."""
        self.begin_with(ldap_lag_s=2)
        self.wait_refused()
        self.wait_follows(self.second)
        self.follower.wait_for("new@uni.example", 550)
        self.assertIn("does not show whether it lags", self.follower.log_text())

    def test_another_directory(self):
        """Nothing of what we hold is waited for: the brake judges."""
        two = Lying(users=3)
        two.marks = lambda n: {"entryUUID": [f"11111111-0000-4000-8000-{n:012x}"], "modifyTimestamp": ["20261122010203Z"]}
        self.begin(Lying(), two, shadow_brake_min=10)
        self.first.close()
        self.follower.wait_state("BRAKED")
        self.assertNotIn(LACKS, self.follower.log_text())


if __name__ == "__main__":
    unittest.main()
