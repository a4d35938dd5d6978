# SPDX-License-Identifier: Apache-2.0
"""What Active Directory does otherwise, on a server of our own that does it: large groups come in parts; it counts its changes, and says when it was
restored, so that a start needs to ask for nothing else."""
import os
import random
import re
import signal
import time
import unittest

from fake_ldap import FakeServer
from node import user_ldif
from polled import NO_SUCH_OBJECT, ActiveDirectory
from replica import DOMAIN, Follower
from slapd import BASE

GROUP = f"cn=all,{BASE}"
ADDRESS = "all@uni.example"


def members(n):
    return [f"u{i % 30}+m{i}@uni.example" for i in range(n)]


class AdTest(unittest.TestCase):
    settings = {"ldap_poll_interval_s": 1, "ldap_compare_interval_s": 3600}

    def setUp(self):
        self.ad = ActiveDirectory()
        self.server = FakeServer(None, answers=self.ad)
        self.addCleanup(self.server.close)
        self.follower = Follower({"shadow_ldif": "", "ldap_uri": [self.server.uri], "ldap_base": BASE, "fresh_s": 5, **self.settings})
        self.addCleanup(self.follower.remove)

    def group(self, n, address=ADDRESS):
        return {"objectClass": ["phMailGroup"], "cn": ["all"], "mail": [address], "rfc822MailMember": members(n)}

    def stored(self):
        """The members of the group as the shadow has them."""
        for (data,) in self.follower.rows("SELECT data FROM entry"):
            if GROUP.encode() in data:
                return set(re.findall(rb"u\d+\+m\d+@uni.example", data))
        return None

    def wait_members(self, n, but=()):
        wanted = {one.encode() for one in members(n) if one not in but}
        self.follower.wait_state("PERSIST")
        self.follower.wait(lambda: self.stored() == wanted, f"{n} members")
        self.assertEqual(self.follower.code(ADDRESS), 250)


class RangesTest(AdTest):
    """Mail for a group goes to all of its members, or it waits."""

    def test_put_together(self):
        self.ad.put(GROUP, {**self.group(4000), "member": [f"uid=u{n},ou=people,{BASE}" for n in range(30)] * 60}, 30000)
        self.follower.start()
        self.wait_members(4000)
        self.assertEqual(self.ad.parts, 2 + 1)  # of rfc822MailMember and of member
        version = self.follower.status()["version"]
        self.assertNotIn("with a part of its values", self.follower.log_text())
        self.assertEqual(self.follower.run("directory", "reconcile").returncode, 0)
        self.assertEqual(self.ad.loads, 2)
        self.assertEqual(self.follower.status()["version"], version)  # nothing is written that is as it was
        self.ad.change(GROUP, rfc822MailMember=members(4501))
        self.wait_members(4501)
        parts = self.ad.parts
        self.ad.change(f"uid=u1,ou=people,{BASE}", mail=["you@uni.example"])
        self.follower.wait_for("you@uni.example", 250)
        self.assertEqual(self.ad.parts, parts)  # a group that is as it was is not read again
        self.ad.change(GROUP, rfc822MailMember=members(1500), member=[])
        self.wait_members(1500)

    def test_no_room_to_read_it(self):
        """A group in parts whose name cannot be kept holds up no other, and is in doubt: the next compare reads it again."""
        for name in ("x" * (33 << 20), "x\0"):
            self.ad.loads = 0
            self.ad.put(f"cn={name},{BASE}", self.group(4000, "odd@uni.example"), 29999)
            self.ad.entries.pop(GROUP, None)
            self.ad.put(GROUP, self.group(4000), 30000)
            self.follower.set_values(ldap_driver="poll", ldap_compare_interval_s=3600)
            self.follower.start()
            self.wait_members(4000)
            self.follower.stop()
            self.follower.set_values(ldap_compare_interval_s=1)
            loads = self.ad.loads
            self.follower.start()
            self.follower.wait(lambda loads=loads: self.ad.loads > loads + 1, "it is read again")
            self.follower.stop()
            self.ad.delete(f"cn={name},{BASE}")

    def test_it_changes_meanwhile(self):
        """Then it is read again: one leaves who was read already, it gets smaller than what was read, it goes."""
        lists = iter([members(4000)[1:], members(1600)])

        def change(_session, _number, _dn, _name, low):
            if low == 3000 and (new := next(lists, None)):
                self.ad.change(GROUP, rfc822MailMember=new)
        self.ad.on_part = change
        self.ad.put(GROUP, self.group(4000), 30000)
        self.follower.start()
        self.wait_members(1600)
        lists = iter([members(4000)[1:]])
        self.ad.change(GROUP, rfc822MailMember=members(4000))
        self.wait_members(4000, but=members(1))
        self.assertEqual(list(lists), [])

        def deleted(*_):
            del self.ad.entries[GROUP]
        self.ad.on_part = deleted
        self.ad.change(GROUP, rfc822MailMember=members(4000))
        self.follower.wait(lambda: GROUP not in self.ad.entries, "it goes")
        self.follower.run("directory", "reconcile")
        self.follower.wait_for(ADDRESS, 550)

    def test_never_of_two_moments(self):
        """Not even until the next poll."""
        lists = iter([members(4000)[1:]])

        def change(_session, _number, _dn, _name, low):
            if low == 3000 and (new := next(lists, None)):
                self.ad.change(GROUP, rfc822MailMember=new)
        self.ad.on_part = change
        self.ad.put(GROUP, self.group(4000), 30000)
        self.follower.set_values(ldap_driver="poll", ldap_poll_interval_s=600, fresh_s=2000)
        self.follower.start()
        self.wait_members(4000, but=members(1))
        self.assertEqual(self.ad.loads, 1)

    def test_it_changes_all_the_time(self):
        def change(*_):
            self.ad.change(GROUP, description=[str(self.ad.usn)])
        self.ad.on_part = change
        self.ad.put(GROUP, self.group(4000), 30000)
        self.follower.start()
        self.follower.wait_for("nobody@uni.example", 550)
        self.assertEqual(self.follower.code(ADDRESS), 451)
        self.assertEqual([self.follower.code("u1@uni.example"), self.follower.code("nobody@uni.example")], [250, 550])
        self.assertIn("it changes all the time", self.follower.log_text())
        self.ad.on_part = None
        self.wait_members(4000)

    def lies(self, answer):
        """The group waits, it is said, everybody else is served; and is whole once the server is."""
        self.ad.on_part = answer
        self.ad.put(GROUP, self.group(4000), 30000)
        self.follower.start()
        self.follower.wait_for("nobody@uni.example", 550)
        self.assertEqual(self.follower.code(ADDRESS), 451)
        self.assertEqual([self.follower.code("u1@uni.example"), self.follower.code("nobody@uni.example")], [250, 550])
        self.assertIn("could not be put together", self.follower.log_text())
        self.assertIn("with a part of its values", self.follower.log_text())
        self.ad.on_part = None
        self.follower.run("directory", "reconcile")
        self.wait_members(4000)

    def part(self, session, number, dn, option, values):
        entry = self.ad.entries[dn]
        session.say(number, session.content(dn, {f"rfc822MailMember;{option}": values, "objectGUID": entry["objectGUID"], "uSNChanged": entry["uSNChanged"]}))
        session.say(number, session.result(0x65))
        return True

    def test_without_end(self):
        self.lies(lambda session, number, dn, _, low: self.part(session, number, dn, f"range={low}-{low}", ["u1+more@uni.example"]))
        self.assertLess(self.ad.parts, 2500)

    def test_backward(self):
        self.lies(lambda session, number, dn, _, low: self.part(session, number, dn, "range=0-1499", members(1500)))

    def test_a_gap(self):
        self.lies(lambda session, number, dn, _, low: self.part(session, number, dn, f"range={low + 1}-*", members(1500)))

    def test_fewer_than_it_says(self):
        self.lies(lambda session, number, dn, _, low: self.part(session, number, dn, f"range={low}-{low + 1499}", members(1499)))

    def test_no_such_part(self):
        self.lies(lambda session, number, dn, _, low: session.say(number, session.result(0x65, 1)) or True)

    def test_nonsense(self):
        self.lies(lambda session, number, dn, _, low: self.part(session, number, dn, "range=all", members(3)))

    def test_the_connection_ends(self):
        """In the middle of a group: nothing of the answer counts, and it comes again."""
        def close(session, *_):
            if self.server.connections < 4:
                session.close()
                return True
            return False
        self.ad.on_part = close
        self.ad.put(GROUP, self.group(4000), 30000)
        self.follower.start()
        self.wait_members(4000)
        self.assertEqual(self.server.connections, 4)


class RestartTest(AdTest):
    """I2, I7: what is known of a domain controller is in the shadow, with the data; a start asks for what has changed since."""

    def start(self):
        refreshed = self.refreshed()
        self.follower.start()
        self.follower.wait(lambda: self.refreshed() > refreshed, "it has asked")
        self.follower.wait_state("PERSIST")

    def refreshed(self):
        return self.follower.log_text().count("directory refreshed") if os.path.exists(f"{self.follower.dir}/log") else 0

    def restart(self, kill=False):
        """(loads, compares) of the new start, once it has asked."""
        if self.follower.daemon:
            self.follower.stop(signal.SIGKILL if kill else signal.SIGTERM)
        before, asked = (self.ad.loads, self.ad.compares), len(self.ad.asked)
        self.start()
        self.follower.wait(lambda: len(self.ad.asked) > asked + 1, "and goes on asking")
        return self.ad.loads - before[0], self.ad.compares - before[1]

    def user(self, name, n):
        self.ad.put(f"uid={name},ou=people,{BASE}", {"objectClass": ["phMailUser"], "uid": [name], "mail": [f"{name}@uni.example"],
                                                     "mailHost": ["mb1.uni.example"]}, n)

    def setUp(self):
        super().setUp()
        self.ad.put(GROUP, self.group(1), 30000)
        self.start()

    def test_changes_alone(self):
        """Not one entry is read that has not changed, and compares come when they would have come."""
        for kill in (False, True):
            self.follower.stop(signal.SIGKILL if kill else signal.SIGTERM)
            version = self.follower.status()["version"]
            self.assertEqual(self.restart(), (0, 0))
            self.assertIn("from_cookie=true", self.follower.log_text())
            self.assertEqual(self.follower.status()["version"], version)
            self.follower.stop()
            self.user(f"new{kill}", 40000 + kill)
            before = self.ad.usn
            self.assertEqual(self.restart(), (0, 0))
            self.assertLess(max(self.ad.asked), before + 1)
            self.assertGreater(min(self.ad.asked), 90000)
            self.assertEqual(self.follower.code(f"new{kill}@uni.example"), 250)

    def test_a_compare_that_is_due(self):
        self.follower.stop()
        self.follower.set_values(ldap_compare_interval_s=1)
        self.ad.delete(f"uid=u1,ou=people,{BASE}")
        self.assertEqual(self.restart()[0], 0)
        self.follower.wait_for("u1@uni.example", 550)
        self.assertEqual([self.follower.code("u2@uni.example"), self.ad.loads], [250, 1])
        self.assertEqual(self.restart()[0], 0)  # what the compare has found is stored, too
        self.ad.put(f"uid=u1,ou=people,{BASE}", self.ad.user(1), 2)
        self.assertEqual(self.follower.run("directory", "reconcile").returncode, 0)
        self.assertEqual(self.restart()[0], 0)
        self.assertNotIn("the copy differed from the directory", self.follower.log_text())

    def test_killed_at_any_time(self):
        """Whatever was committed, the ids and the mark are of the same moment."""
        self.follower.set_values(shadow_brake_percent=100)
        for turn in range(30):
            self.follower.kill()
            for n in range(10):
                self.user(f"k{turn}-{n}", 50000 + 10 * turn + n)
            self.ad.change(f"uid=u{turn},ou=people,{BASE}", mail=[f"u{turn}.new@uni.example"])
            self.follower.start()
            time.sleep(random.random() / 10)
        self.follower.wait_for("k29-9@uni.example", 250)
        wanted = {values["mail"][0] for values in self.ad.entries.values() if "mail" in values}
        self.follower.wait(lambda: wanted == {bytes(key).decode() for (key,) in self.follower.rows("SELECT key FROM key WHERE kind = 1")}, "every change")
        self.assertEqual(self.follower.rows("SELECT count(*) FROM polled"), [(len(self.ad.entries),)])
        self.assertEqual(self.follower.rows("SELECT count(*) FROM polled LEFT JOIN entry USING (uuid) WHERE entry.uuid IS NULL"), [(0,)])
        self.assertLess(self.ad.loads, 10)  # a kill between the commits of the two files costs one

    def costs_a_load(self):
        """And no entry."""
        version, ids = self.follower.status()["version"], self.follower.uuids()
        self.assertEqual(self.restart()[0], 1)
        self.assertEqual([self.follower.status()["version"], self.follower.uuids()], [version, ids])
        self.assertEqual(self.restart(), (0, 0))

    def test_another_server(self):
        self.follower.stop()
        self.ad.name = "DC2"
        self.costs_a_load()

    def test_a_restored_server(self):
        """It counts on from where it was then, and changes have numbers again that others had (I4, I7)."""
        self.follower.stop()
        self.ad.invocation = b"\2" * 16
        self.costs_a_load()

    def test_a_count_that_went_back(self):
        self.follower.stop()
        self.user("new", 40000)
        self.ad.entries[f"uid=new,ou=people,{BASE}"]["uSNChanged"] = ["99000"]
        self.ad.usn = 99000
        self.assertEqual(self.restart()[0], 1)
        self.assertEqual(self.follower.code("new@uni.example"), 250)

    def test_another_question(self):
        self.follower.stop()
        for changed in ({"ldap_filter": "(objectClass=*)"}, {"ldap_id_attribute": "uid", "shadow_brake_percent": 100}):
            self.follower.set_values(**changed)
            self.assertEqual(self.restart()[0], 1)
            self.assertEqual(self.restart()[0], 0)
            self.follower.stop()

    def test_what_is_stored_is_damaged(self):
        self.follower.stop()
        for sql, database in (("UPDATE state SET cookie = CAST(replace(CAST(cookie AS TEXT), 'poll:', 'poll:0') AS BLOB)", "shadow"),
                              ("DELETE FROM polled WHERE rowid IN (SELECT rowid FROM polled LIMIT 1)".replace("rowid", "uuid"), "shadow"),
                              ("UPDATE state SET cookie = x''", "credentials")):
            with self.subTest(sql=sql):
                with self.follower.writes(database) as db:
                    db.execute(sql)
                self.costs_a_load()
                self.follower.stop()

    def test_another_source_between(self):
        """What an LDIF file or another driver has written, polls know nothing of."""
        self.follower.stop()
        people = f"{self.follower.dir}/people.ldif"
        with open(people, "w", encoding="utf-8") as stream:
            stream.write("version: 1\n\n" + DOMAIN + user_ldif("ann", extra="entryUUID: 4d7a9f3e-2b1c-4f64-9a52-7d0c1b8e6f01\n"))
        uri = self.follower.settings["ldap_uri"]
        self.follower.set_values(shadow_ldif=people, ldap_uri=[], shadow_brake_percent=100)
        self.follower.start()
        self.follower.wait_for("ann@uni.example", 250)
        self.follower.stop()
        self.follower.set_values(shadow_ldif="", ldap_uri=uri)
        self.assertEqual(self.restart()[0], 1)
        self.follower.wait_for("u1@uni.example", 250)
        self.assertEqual(self.follower.code("ann@uni.example"), 550)


class FailbackTest(AdTest):
    """The first of ldap_uri is gone back to when it answers again; nothing that was there in between is lost."""

    def test_back(self):
        two = ActiveDirectory(name="DC2")
        second = FakeServer(None, answers=two)
        self.addCleanup(second.close)
        port = int(self.server.uri.rpartition(":")[2])
        self.follower.set_values(ldap_uri=[self.server.uri, second.uri], ldap_failback_s=1)
        self.follower.start()
        self.follower.wait(lambda: self.follower.status()["provider"] == self.server.uri and self.follower.status()["state"] == "PERSIST", "the first")
        ids = self.follower.uuids()
        self.server.close()
        self.follower.wait(lambda: self.follower.status()["provider"] == second.uri and self.follower.status()["state"] == "PERSIST", "the second")
        for ad in (self.ad, two):
            ad.put(GROUP, self.group(4000), 30000)
        self.wait_members(4000)
        again = FakeServer(None, answers=self.ad, port=port)
        self.addCleanup(again.close)
        self.follower.wait(lambda: self.follower.status()["provider"] == again.uri and self.follower.status()["state"] == "PERSIST", "back")
        self.assertIn("a directory server that is preferred is back", self.follower.log_text())
        self.assertEqual(len(self.follower.uuids() - ids), 1)
        self.wait_members(4000)

    def test_not_to_one_without_the_base(self):
        """It answers, and has nothing of ours: going to it would cost a load each time."""
        two = ActiveDirectory(name="DC2")
        second = FakeServer(None, answers=two)
        self.addCleanup(second.close)

        def bare(session, number, _search):
            session.say(number, session.result(0x65, NO_SUCH_OBJECT))
        self.server.answers = bare
        self.follower.set_values(ldap_uri=[self.server.uri, second.uri], ldap_failback_s=1)
        self.follower.start()
        self.follower.wait(lambda: self.follower.status()["provider"] == second.uri and self.follower.status()["state"] == "PERSIST", "the second")
        connections = self.server.connections
        self.follower.wait(lambda: self.server.connections > connections + 8, "it is asked")
        self.assertEqual([two.loads, self.follower.status()["provider"]], [1, second.uri])


if __name__ == "__main__":
    unittest.main()
