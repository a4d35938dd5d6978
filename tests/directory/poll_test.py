# SPDX-License-Identifier: Apache-2.0
"""Servers that do not tell changes by themselves are polled: slapd without syncprov. Every change arrives, what is gone goes, and whatever happens
to a server in the middle of an answer, nobody becomes unknown by it."""
import os
import random
import threading
import time
import unittest

from ds389 import DirectoryServer389
from fake_ldap import FakeServer
from node import Node, message, user_ldif
from polled import Lying, refer
from replica import DOMAIN, Follower, ReplicaTest, people
from slapd import BASE, Directory

QUICK = {"ldap_poll_interval_s": 1, "ldap_compare_interval_s": 1}
USERS = [f"u{n}" for n in range(40)]
ADDRESS = 1  # a kind of key
SELDOM = {"ldap_poll_interval_s": 1, "ldap_compare_interval_s": 3600}


def addresses(follower):
    return {bytes(key).decode() for (key,) in follower.rows(f"SELECT key FROM key WHERE kind = {ADDRESS}")}


class PollTest(ReplicaTest):
    provides = False

    def poll(self, *servers, **settings):
        return self.follow(*servers, **{"ldap_driver": "poll", **QUICK, **settings})


class ChangesTest(PollTest):
    """I5, I9: what is gone goes after a whole compare alone; entries are told by their ids."""

    def test_auto(self):
        follower = self.follow(**SELDOM)
        follower.wait_for("ann@uni.example", 250)
        self.assertEqual(follower.code("nobody@uni.example"), 550)
        status = follower.status()
        self.assertEqual([status["state"], status["driver"], status["provider"]], ["PERSIST", "poll", self.master.uri])
        self.assertIn("driver=poll", follower.log_text())
        self.assertIn("id=entryUUID", follower.log_text())
        self.assertIn("change=entryCSN", follower.log_text())
        self.assertIn("which is polled", follower.run("directory", "status").stdout)
        self.assert_same(follower)
        self.master.add(user_ldif("new"))
        follower.wait_for("new@uni.example", 250)
        self.assert_same(follower)

    def test_every_kind_of_change(self):
        follower = self.poll()
        follower.wait_for("ann@uni.example", 250)
        self.master.add(user_ldif("cat"))
        self.master.modify(f"dn: uid=ann,ou=people,{BASE}\nchangetype: modify\nreplace: mail\nmail: anna@uni.example\n")
        follower.wait_for("anna@uni.example", 250)
        follower.wait_for("ann@uni.example", 550)
        follower.wait_for("cat@uni.example", 250)
        self.master.modify(f"dn: uid=cat,ou=people,{BASE}\nchangetype: modrdn\nnewrdn: uid=kate\ndeleteoldrdn: 1\n")
        follower.wait(lambda: "uid=kate" in follower.run("why", "cat@uni.example").stdout, "the new name")
        self.master.delete(f"uid=kate,ou=people,{BASE}")
        follower.wait_for("cat@uni.example", 550)
        self.assert_same(follower)


    def test_leaves_the_filter_or_the_base(self):
        follower = self.poll(**SELDOM, ldap_filter="(|(objectClass=phMailDomain)(objectClass=phMailHost)(phStatus=active))")
        self.master.modify("".join(f"dn: uid={name},ou=people,{BASE}\nchangetype: modify\nreplace: phStatus\nphStatus: active\n\n" for name in ("ann", "bob")))
        follower.wait_for("ann@uni.example", 250)
        self.master.modify(f"dn: uid=ann,ou=people,{BASE}\nchangetype: modify\nreplace: phStatus\nphStatus: suspended\n")
        follower.wait_for("ann@uni.example", 550)  # long before a compare
        self.assertEqual(follower.code("bob@uni.example"), 250)
        follower.stop()
        follower.set_values(ldap_base=f"ou=people,{BASE}", ldap_filter="(objectClass=phMailUser)", ldap_compare_interval_s=1, shadow_brake_percent=100)
        follower.start()
        follower.wait(lambda: len(follower.uuids()) == 2, "people alone")
        self.master.modify(f"dn: uid=bob,ou=people,{BASE}\nchangetype: modrdn\nnewrdn: uid=bob\ndeleteoldrdn: 0\nnewsuperior: ou=services,{BASE}\n")
        follower.wait(lambda: len(follower.uuids()) == 1, "it is below another base now")

    def test_two_owners(self):
        """I11: both are kept, and mail waits, also after a start that asks for changes alone; who is left gets it."""
        follower = self.poll(**SELDOM)
        follower.wait_for("ann@uni.example", 250)
        self.master.modify(f"dn: uid=bob,ou=people,{BASE}\nchangetype: modify\nadd: mailLocalAddress\nmailLocalAddress: ann@uni.example\n")
        follower.wait_for("ann@uni.example", 451)
        self.assertIn("several entries claim one key", follower.log_text())
        self.assertEqual(follower.code("bob@uni.example"), 250)
        follower.stop()
        refreshed = follower.log_text().count("directory refreshed")
        follower.start()
        follower.wait(lambda: follower.log_text().count("directory refreshed") > refreshed, "it has asked")
        self.assertEqual([follower.code("ann@uni.example"), follower.log_text().count("from_before=false")], [451, 1])
        self.assertEqual(follower.status()["state"], "PERSIST")
        self.assert_same(follower)
        self.master.delete(f"uid=ann,ou=people,{BASE}")
        follower.run("directory", "reconcile")
        follower.wait_for("ann@uni.example", 250)
        self.assertIn("uid=bob", follower.run("why", "ann@uni.example").stdout)

    def test_another_at_the_same_name(self):
        follower = self.poll(**SELDOM)
        follower.wait_for("ann@uni.example", 250)
        before = follower.uuids()
        self.master.delete(f"uid=ann,ou=people,{BASE}")
        self.master.add(user_ldif("ann"))
        follower.wait(lambda: follower.uuids() == self.ours(self.master), "the old one goes although no compare was due")
        self.assertNotEqual(follower.uuids(), before)
        follower.wait_for("ann@uni.example", 250)

    def test_a_subtree_gets_another_name(self):
        """Nothing but its top has changed as far as slapd says."""
        follower = self.poll()
        follower.wait_for("ann@uni.example", 250)
        self.master.modify(f"dn: ou=people,{BASE}\nchangetype: modrdn\nnewrdn: ou=persons\ndeleteoldrdn: 1\n")
        follower.wait(lambda: f"uid=ann,ou=persons,{BASE}" in follower.run("why", "ann@uni.example").stdout, "the new name")
        self.assert_same(follower)

    def test_many_changes_in_one_second(self):
        names = [f"u{n}" for n in range(300)]
        for attribute in ("entryCSN", "modifyTimestamp"):
            with self.subTest(attribute=attribute):
                follower = self.poll(**SELDOM, ldap_change_attribute=attribute, shadow_brake_percent=100)
                follower.wait_for("ann@uni.example", 250)
                self.master.add(people(names))
                for word in ("one", "two", "three"):
                    self.master.modify("".join(f"dn: uid={name},ou=people,{BASE}\nchangetype: modify\nreplace: mail\nmail: {name}.{word}@uni.example\n\n"
                                               for name in names))
                follower.wait(lambda: all(f"{name}.three@uni.example" in addresses(follower) for name in names), "the last of each")
                self.assertFalse({f"{name}.two@uni.example" for name in names} & addresses(follower))
                self.assert_same(follower)
                self.master.delete(*(f"uid={name},ou=people,{BASE}" for name in names))
                follower.run("directory", "reconcile")
                self.assert_same(follower)
                follower.stop()

    def test_the_clock_is_set_back(self):
        """Times are what phVacationStart says, so that this test has the clock."""
        def dated(name, when):
            return user_ldif(name, extra=f"phVacationStart: {when}\n")
        self.master.add(dated("cat", "20261122120000Z"))
        follower = self.poll(ldap_change_attribute="phVacationStart")
        follower.wait_for("cat@uni.example", 250)
        self.master.add(dated("dan", "20261122100000Z"))
        follower.wait_for("dan@uni.example", 250)
        follower.stop()
        follower.set_values(ldap_compare_interval_s=3600)
        follower.start()  # and a clock that stands at noon
        follower.wait_state("PERSIST")
        self.master.add(dated("eve", "20261122080000Z"))
        follower.run("directory", "reconcile")
        follower.wait_for("eve@uni.example", 250)

    def test_ids_that_are_no_uuid(self):
        """uid names people for ever here; whoever has none is told by the DN."""
        follower = self.poll(ldap_id_attribute="uid")
        follower.wait_for("ann@uni.example", 250)
        before = follower.uuids()
        self.master.modify(f"dn: uid=ann,ou=people,{BASE}\nchangetype: modrdn\nnewrdn: cn=Ann\ndeleteoldrdn: 0\n")
        follower.wait(lambda: "cn=Ann" in follower.run("why", "ann@uni.example").stdout, "the new name")
        self.assertEqual(follower.uuids(), before)
        self.assertIn("an entry has no id of its own", follower.log_text())
        self.master.delete(f"uid=bob,ou=people,{BASE}")
        follower.wait_for("bob@uni.example", 550)


class FailingTest(PollTest):
    """I1, I5, I6, I8, I10."""
    ldif = ReplicaTest.ldif + people(USERS)

    def test_a_limit_of_size(self):
        """Threat ldap-partial: part of the directory is no directory (I5, I8)."""
        follower = self.poll(fresh_s=2)
        follower.wait_for("nobody@uni.example", 550)
        wanted = follower.uuids()
        self.master.limits = "size=20 time=unlimited"
        self.master.write_config()
        self.master.restart()
        follower.wait(lambda: "limit exceeded" in follower.status()["trouble"], "the limit is said")
        follower.wait_for("nobody@uni.example", 451)
        self.assertEqual(follower.uuids(), wanted)
        follower.kill()
        follower.start()
        follower.wait(lambda: "limit exceeded" in follower.status()["trouble"], "and again")
        self.assertEqual(follower.uuids(), wanted)
        self.assertEqual([follower.code("u1@uni.example"), follower.code("nobody@uni.example")], [250, 451])
        self.master.limits = "size=unlimited"
        self.master.write_config()
        self.master.restart()
        follower.wait_for("nobody@uni.example", 550)
        self.assert_same(follower)

    def test_killed_in_the_middle(self):
        """Of searches: a reconcile runs all the time (I1, I5)."""
        rng = random.Random(7)
        follower = self.poll(ldap_timeout_s=1, ldap_compare_interval_s=1)
        follower.wait_for("u1@uni.example", 250)
        wanted = self.ours(self.master)
        for turn in range(6):
            threads = [threading.Thread(target=follower.run, args=("directory", "reconcile")) for _ in range(2)]
            for one in threads:
                one.start()
            time.sleep(rng.random() / 10)
            self.master.kill()
            self.assertEqual(follower.uuids(), wanted)
            self.master.start()
            for one in threads:
                one.join()
            self.master.add(user_ldif(f"new{turn}"))
            wanted = self.ours(self.master)
            follower.wait(lambda: follower.uuids() == wanted, f"turn {turn}")
        follower.kill()
        follower.start()
        self.assert_same(follower)


class ServersTest(PollTest):
    """Two providers, which show their contextCSN: values of one mean nothing to the other, and one that lacks what we hold is not read (I4)."""
    provides = True
    shadows = 1

    def test_failover(self):
        shadow = self.directory.shadows[0]
        follower = self.poll(self.master, shadow)
        follower.wait_for("ann@uni.example", 250)
        self.assertEqual(follower.status()["driver"], "poll")
        self.assertFalse(self.master.lines("syncrepl|SYNC"))
        self.master.add(user_ldif("cat"))
        follower.wait_for("cat@uni.example", 250)
        self.directory.wait_caught_up()
        self.master.stop()
        follower.wait(lambda: follower.status()["provider"] == shadow.uri and follower.status()["state"] == "PERSIST", "the other")
        self.assertEqual(follower.log_text().count("from_before=false"), 2)  # everything was compared
        self.assert_same(follower, shadow)
        self.assertEqual(follower.code("cat@uni.example"), 250)

    def test_back_to_the_first(self):
        """When it answers again and has all changes, not before (I4)."""
        shadow = self.directory.shadows[0]
        follower = self.poll(self.master, shadow, ldap_failback_s=1)
        follower.wait_for("ann@uni.example", 250)
        self.directory.wait_caught_up()
        self.master.stop()
        follower.wait(lambda: follower.status()["provider"] == shadow.uri and follower.status()["state"] == "PERSIST", "the other")
        self.master.start()
        follower.wait(lambda: follower.status()["provider"] == self.master.uri and follower.status()["state"] == "PERSIST", "back")
        self.master.add(user_ldif("cat"))
        follower.wait_for("cat@uni.example", 250)
        self.assert_same(follower)

    def test_a_restart_holds_the_change_numbers(self):
        """I2, I3, I4: they are stored with the data, so a start asks the same server for changes alone, and reads nothing of one that lacks them."""
        shadow = self.directory.shadows[0]
        follower = self.poll(self.master, shadow, ldap_compare_interval_s=3600)
        follower.wait_for("ann@uni.example", 250)
        follower.stop()
        self.master.add(user_ldif("cat"))
        self.master.modify(f"dn: uid=ann,ou=people,{BASE}\nchangetype: modify\nreplace: mail\nmail: anna@uni.example\n")
        self.directory.wait_caught_up()
        shadow.follow(None)
        follower.start()
        follower.wait_for("cat@uni.example", 250)
        follower.wait_for("ann@uni.example", 550)
        self.assertEqual(follower.log_text().count("from_before=false"), 1)
        self.master.add(user_ldif("new"))
        follower.wait_for("new@uni.example", 250)
        wanted = self.assert_same(follower)
        self.master.stop()
        for _ in range(2):
            follower.kill()
            lacks = follower.log_text().count("it lacks changes that we hold")
            follower.start()
            follower.wait(lambda lacks=lacks: follower.log_text().count("it lacks changes that we hold") > lacks, "the shadow lags")
            self.assertEqual([follower.uuids(), follower.code("new@uni.example")], [wanted, 250])
        self.master.start()
        follower.wait_state("PERSIST")
        self.assertEqual(follower.log_text().count("from_before=false"), 1)
        self.assert_same(follower)

    def test_auto_takes_syncrepl(self):
        follower = self.follow(ldap_driver="auto")
        follower.wait_for("ann@uni.example", 250)
        self.assertEqual(follower.status()["driver"], "syncrepl")
        self.master.add(user_ldif("cat"))
        follower.wait_for("cat@uni.example", 250)
        follower.stop()
        follower.set_values(ldap_driver="poll", **QUICK)
        follower.start()  # the other way, and back
        follower.wait(lambda: follower.status()["driver"] == "poll" and follower.status()["state"] == "PERSIST", "polled")
        wanted = self.assert_same(follower)
        self.assertEqual(follower.status()["version"], 2)  # the same entries, none of them written again
        follower.stop()
        follower.set_values(ldap_driver="syncrepl")
        follower.start()
        follower.wait(lambda: follower.status()["driver"] == "syncrepl" and follower.status()["state"] == "PERSIST", "told")
        self.assertEqual(follower.uuids(), wanted)


class RefusedTest(PollTest):
    def test_offered_and_refused(self):
        """slapd with the module and without the overlay says that it can, and then that it cannot."""
        self.master.extra = ("moduleload syncprov",)
        self.master.write_config()
        self.master.restart()
        follower = self.follow(**SELDOM)
        follower.wait_for("ann@uni.example", 250)
        self.assertEqual(follower.status()["driver"], "poll")
        self.assertIn("offers syncrepl (RFC 4533) and refuses it", follower.log_text())
        self.master.add(user_ldif("new"))
        follower.wait_for("new@uni.example", 250)


@unittest.skipUnless(os.geteuid() == 0, "389-ds runs below its root by chroot")
class Ds389Test(unittest.TestCase):
    def test_389(self):
        server = DirectoryServer389(ldif=DOMAIN + people(["ann", "bob"])).start()
        self.addCleanup(server.remove)
        follower = Follower({**server.settings(), **QUICK}).start()
        self.addCleanup(follower.remove)
        follower.wait_for("ann@uni.example", 250)
        self.assertEqual(follower.status()["driver"], "syncrepl")
        by_sync = follower.uuids()
        version = follower.status()["version"]
        follower.stop()
        follower.set_values(ldap_driver="poll")
        follower.start()
        follower.wait(lambda: follower.status()["driver"] == "poll" and follower.status()["state"] == "PERSIST", "polled")
        self.assertEqual([follower.uuids(), follower.status()["version"]], [by_sync, version])  # its own ids, the same both ways
        self.assertIn("id=nsUniqueId change=modifyTimestamp", follower.log_text())
        server.add(user_ldif("cat"))
        follower.wait_for("cat@uni.example", 250)
        server.modify(f"dn: uid=ann,ou=people,{BASE}\nchangetype: modify\nreplace: mail\nmail: anna@uni.example\n")
        follower.wait_for("anna@uni.example", 250)
        follower.wait_for("ann@uni.example", 550)
        server.modify(f"dn: uid=cat,ou=people,{BASE}\nchangetype: modrdn\nnewrdn: uid=kate\ndeleteoldrdn: 1\n")
        follower.wait(lambda: "uid=kate" in follower.run("why", "cat@uni.example").stdout, "the new name")
        server.delete(f"uid=bob,ou=people,{BASE}")
        follower.wait_for("bob@uni.example", 550)
        server.pause()
        follower.wait(lambda: "no answer in time" in follower.status()["trouble"], "it hangs")
        self.assertEqual(follower.code("anna@uni.example"), 250)
        server.resume()
        server.restart()
        server.add(user_ldif("new"))
        follower.wait_for("new@uni.example", 250)
        ids = server.search("(objectClass=phMailUser)", "nsUniqueId") + server.search("(|(objectClass=phMailDomain)(objectClass=phMailHost))", "nsUniqueId")
        self.assertEqual(follower.uuids(), {values["nsUniqueId"][0].decode().replace("-", "") for _, values in ids})


class LiarTest(unittest.TestCase):
    """Threat ldap-partial (I5)."""

    def setUp(self):
        self.lying = Lying()
        self.server = FakeServer(None, answers=self.lying)
        self.addCleanup(self.server.close)
        self.follower = Follower({"shadow_ldif": "", "ldap_uri": [self.server.uri], "ldap_base": BASE, "fresh_s": 3, "ldap_poll_interval_s": 1,
                                  "ldap_compare_interval_s": 1}).start()
        self.addCleanup(self.follower.remove)
        self.follower.wait_for("u1@uni.example", 250)
        self.wanted = self.follower.uuids()

    def test_not_whole(self):
        """Half of the entries, and then a limit, a refusal, a referral, nonsense, an end of the connection; first to compares, then to loads too."""
        def reference(session, number):
            refer(session, number)
            session.say(number, session.result(0x65))
        ends = [lambda session, number, code=code: session.say(number, session.result(0x65, code)) for code in (1, 3, 4, 10, 11, 32, 50, 51, 52, 53, 80)]
        ends += [reference, lambda session, number: session.close(), lambda session, number: session.raw(b"\x30\x84\xff\xff\xff\xff")]
        for one in ends:
            self.follower.wait_state("PERSIST")
            before = self.follower.log_text().count("directory refreshed")
            connections = self.server.connections
            self.lying.end = one
            self.follower.wait(lambda: self.server.connections > connections + 1, "it is left, and asked again")
            self.assertEqual(self.follower.uuids(), self.wanted)
            self.lying.end = None
            self.follower.wait(lambda: self.follower.log_text().count("directory refreshed") > before, "it is whole again")
        self.lying.end = ends[2]
        self.follower.wait_for("nobody@uni.example", 451)
        self.follower.kill()
        with self.follower.writes() as db:
            db.execute("UPDATE state SET cookie = x''")
        self.follower.start()
        loads = self.lying.loads
        self.follower.wait(lambda: self.lying.loads > loads + 1, "loads that fail")
        self.assertEqual(self.follower.uuids(), self.wanted)
        self.assertEqual([self.follower.code("u1@uni.example"), self.follower.code("nobody@uni.example")], [250, 451])
        self.lying.end = None
        self.follower.wait_for("nobody@uni.example", 550)

    def test_left_out(self):
        """A search that leaves entries out, though they are there: they are asked for before they go. Those that are not there go."""
        self.lying.left_out = {f"uid=u{n},ou=people,{BASE}" for n in range(5)}
        del self.lying.entries[f"uid=u3,ou=people,{BASE}"]
        self.follower.wait_for("u3@uni.example", 550)
        self.assertEqual(self.follower.code("u2@uni.example"), 250)
        self.assertEqual(len(self.wanted - self.follower.uuids()), 1)
        self.assertIn("left entries out of a search", self.follower.log_text())
        self.assertGreater(self.lying.by_ids, 0)
        compares = self.lying.compares
        self.follower.wait(lambda: self.lying.compares > compares + 2, "again and again")
        self.assertEqual(self.follower.code("u2@uni.example"), 250)

    def test_ids_cannot_be_asked_for(self):
        """A server that finds nothing by its ids: who is not mentioned is asked for by name."""
        self.lying.knows_ids = False
        self.test_left_out()

    def test_half_is_left_out(self):
        """However many: each of them is asked for, be it by its id or by its name."""
        self.follower.stop()
        self.follower.set_values(shadow_brake_percent=100)
        self.follower.start()
        self.lying.entries.update({f"uid=u{n},ou=people,{BASE}": self.lying.user(n) for n in range(30, 3000)})
        self.follower.wait_for("u2999@uni.example", 250)
        wanted = self.follower.uuids()
        self.assertEqual(len(wanted), 3002)
        self.lying.left_out = {f"uid=u{n},ou=people,{BASE}" for n in range(1500)}
        for gone, self.lying.knows_ids in enumerate((True, False), 1):
            del self.lying.entries[f"uid=u{gone},ou=people,{BASE}"]
            self.follower.wait_for(f"u{gone}@uni.example", 550)
            self.assertEqual([len(wanted - self.follower.uuids()), self.follower.code("u1499@uni.example")], [gone, 250])

    def test_many_come_and_go(self):
        """They are asked for by their ids, many at once."""
        self.follower.stop()
        self.follower.set_values(shadow_brake_percent=100)
        self.follower.start()
        self.follower.wait_state("PERSIST")
        names = self.lying.by_names
        self.lying.entries.update({f"uid=u{n},ou=people,{BASE}": self.lying.user(n) for n in range(30, 200)})
        self.follower.wait_for("u199@uni.example", 250)
        self.assertEqual(len(self.follower.uuids()), len(self.wanted) + 170)
        for n in range(1, 200):
            del self.lying.entries[f"uid=u{n},ou=people,{BASE}"]
        self.follower.wait_for("u29@uni.example", 550)
        self.assertEqual(self.follower.code("u0@uni.example"), 250)
        self.assertEqual([self.lying.by_names - names, len(self.wanted - self.follower.uuids()), len(self.follower.uuids())], [0, 29, 3])

    def test_a_load_that_was_cut(self):
        """A page of it is lost: nobody goes for it; who is gone does. In a first load nobody is unknown for it."""
        everybody = list(self.lying.entries)
        self.follower.stop()
        self.follower.set_values(ldap_compare_interval_s=3600)
        self.follower.start()
        self.follower.wait_state("PERSIST")
        for asked_by in (True, False):
            self.lying.lost, self.lying.knows_ids = set(everybody[3:25]), asked_by
            self.assertEqual(self.follower.run("directory", "reconcile").returncode, 0)
            self.assertEqual(self.follower.uuids(), self.wanted)
            self.assertEqual([self.follower.code("u4@uni.example"), self.follower.code("nobody@uni.example")], [250, 550])
        self.assertIn("left entries out of a search", self.follower.log_text())
        del self.lying.entries[everybody[5]]
        self.lying.lost = self.lying.left_out = set(everybody[3:25])  # by both searches
        self.assertEqual(self.follower.run("directory", "reconcile").returncode, 0)
        self.assertEqual([self.follower.code("u4@uni.example"), self.follower.code("u5@uni.example")], [250, 550])
        self.assertEqual(len(self.wanted - self.follower.uuids()), 1)
        self.lying.left_out = set()
        another = Follower({name: value for name, value in self.follower.settings.items() if name not in ("data_dir", "run_dir")})
        self.addCleanup(another.remove)
        another.start()
        another.wait_for("nobody@uni.example", 550)
        self.assertEqual([another.code("u4@uni.example"), another.uuids()], [250, self.follower.uuids()])

    def test_pages_without_end(self):
        self.lying.pages = b"more"
        self.lying.entries = {}
        self.follower.wait(lambda: "pages without an entry" in self.follower.status()["trouble"], "it is left")
        self.assertEqual(self.follower.uuids(), self.wanted)

    def test_without_end(self):
        """Entries that drip, for ever."""
        self.follower.stop()
        self.follower.set_values(ldap_refresh_s=1)
        self.lying.slow_s = 0.1
        self.follower.start()
        self.follower.wait(lambda: "not answered as a whole within ldap_refresh_s (1 s)" in self.follower.status()["trouble"], "it is left")
        self.assertEqual(self.follower.uuids(), self.wanted)

    def test_a_group_in_parts(self):
        """Active Directory shows 1,500 members at a time: mail for the group waits, it does not go to a part of it."""
        self.lying.entries[f"cn=all,{BASE}"] = {
            "objectClass": ["phMailList"], "cn": ["all"], "mail": ["all@uni.example"], "member;range=0-1": [f"uid=u{n},ou=people,{BASE}" for n in range(2)],
            **self.lying.marks(30000)}
        self.follower.wait_for("all@uni.example", 451)
        self.follower.wait(lambda: "is given with a part of its values" in self.follower.log_text(), "it is said")

    def test_many_differ(self):
        """More than are read one by one: everything is read, in one transaction."""
        self.lying.entries.update({f"uid=u{n},ou=people,{BASE}": self.lying.user(n) for n in range(30, 1500)})
        self.follower.wait_for("u1499@uni.example", 250)
        self.assertEqual(len(self.follower.uuids()), 1502)
        self.assertEqual(self.lying.loads, 2)


class MailTest(unittest.TestCase):
    """A whole node on a slapd without syncprov."""

    def test_a_new_user_receives_mail(self):
        one = Node(users=["ann"])
        self.addCleanup(one.remove)
        one.make_certificates()
        directory = Directory(ldif=one.directory_ldif().removeprefix("version: 1\n\n"), provides=False)
        self.addCleanup(directory.remove)
        directory.start()
        one.overrides.update(directory.settings(), ldap_timeout_s=2, fresh_s=4, ldap_poll_interval_s=1)
        self.addCleanup(one.stop)
        one.start()

        def rcpt(*names):
            with one.smtp() as smtp:
                smtp.ehlo()
                smtp.mail("sender@else.example")
                return [smtp.rcpt(f"{name}@uni.example")[0] for name in names]
        one.wait(lambda: rcpt("ann", "new") == [250, 550], "a fresh shadow")
        directory.master.add(user_ldif("new"))
        one.wait(lambda: rcpt("new") == [250], "the new user")
        with one.smtp() as smtp:
            smtp.sendmail("sender@else.example", ["new@uni.example"], message("welcome", to="new@uni.example"))
        self.assertIn(b"Subject: welcome", one.wait_messages(1, "new")[0])
        directory.master.kill()
        one.wait(lambda: rcpt("ann", "new", "nobody") == [250, 250, 451], "451 without a server")
        directory.master.start()
        one.wait(lambda: rcpt("ann", "nobody") == [250, 550], "550 when it is fresh again")
        self.assertEqual(one.unexpected_errors(), [])


if __name__ == "__main__":
    unittest.main()
