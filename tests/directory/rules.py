# SPDX-License-Identifier: Apache-2.0
"""What holds whatever directory server is followed, the invariants of ../../ldapsync/README.md by their numbers: each scenario once, run against every
kind of provider by rules_*_test.py. Servers and ldapsync are killed, stopped, restarted, emptied and cut off in the middle of what they say, and
after each the shadow is compared with the directory.

A relay keeps back the rest of an answer, so that its middle is a place and no matter of time. One server serves all tests of a class.
"""
import base64
import threading

from node import user_ldif
from providers import OURS
from relay import Relay
from replica import DOMAIN, Follower, people
from slapd import BASE

FEW = DOMAIN + people(["ann", "bob"])
USERS = [f"u{n}" for n in range(60)]
MIDDLES = (3000, 20000)  # bytes, of 40,000
ADDRESS = 1  # a kind of key
OTHER_DOMAIN = "xn--bcher-kva.example"
OTHER_DOMAIN_LDIF = (f"dn: associatedDomain={OTHER_DOMAIN},{BASE}\nobjectClass: phMailDomain\nassociatedDomain: {OTHER_DOMAIN}\n"
                     "phDomainType: local\n\n")


def uid(name):
    return f"uid={name},ou=people,{BASE}"


def modify(name, attribute, value):
    return f"dn: {uid(name)}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n\n"


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


class Followed:
    """A follower of one provider, over a relay; for unittest.TestCase. make: the class of the provider."""
    ldif = FEW + people(USERS)

    @classmethod
    def setUpClass(cls):
        cls.provider = cls.make(cls.ldif).start()
        cls.server, cls.writer = cls.provider.server, cls.provider.writer

    @classmethod
    def tearDownClass(cls):
        cls.provider.remove()

    def setUp(self):
        if self.server.process is None:
            self.server.start()
        self.provider.reset()
        self.relay = Relay(self.server.address, self.server.port)
        self.addCleanup(self.relay.close)

    def follower(self, **settings):
        follower = Follower({**self.provider.settings(), "ldap_uri": [self.relay.uri], "ldap_starttls": "never", "ldap_timeout_s": 1, "fresh_s": 3,
                             "shadow_brake_min": 10, **settings})
        self.addCleanup(follower.remove)
        return follower

    def follow(self, **settings):
        """One that has read everything."""
        follower = self.follower(**settings).start()
        follower.wait_for("u59@uni.example", 250)
        return follower

    def codes(self, follower, *names):
        return [follower.code(f"{name}@uni.example") for name in names]

    def loads(self, follower):
        return follower.log_text().count("from_cookie=false entries")

    def lefts(self, follower):
        return follower.log_text().count("directory server is left")

    def assert_same(self, follower):
        """Waits until the shadow has what the server has, neither more nor less, and nobody is in doubt."""
        self.provider.settle()
        wanted = self.provider.ids(), self.provider.addresses(), len(self.provider.logins())
        follower.wait(lambda: (follower.uuids(), addresses(follower), len(follower.uuids("credentials"))) == wanted, "the entries of the server")
        follower.wait_state("PERSIST")
        follower.wait_for("nobody@uni.example", 550)


class MiddleRules(Followed):
    """Ends in the middle of an answer."""

    def change_all(self, word):
        self.writer.modify("".join(modify(name, "mail", f"{name}.{word}@uni.example") for name in USERS))
        self.provider.settle()

    def interrupted(self, end):
        """Everybody's address changes while we are away; in the middle of being told so, with a cookie and without, end(follower)."""
        follower = self.follow(shadow_brake_percent=100)
        self.assert_same(follower)
        cases = [(middle, keeps) for keeps in (True, False) for middle in MIDDLES]
        for turn, (middle, keeps_cookie) in enumerate(cases):
            follower.stop()
            before = addresses(follower)
            if not keeps_cookie:
                with follower.writes() as db:
                    db.execute("UPDATE state SET cookie = x''")
            self.change_all(turn)
            after = frozenset(self.provider.addresses())
            reader = Reader(follower)
            self.addCleanup(reader.end)
            self.relay.hold(middle)
            follower.start()
            self.relay.wait_held()
            end(follower)
            self.assertEqual(addresses(follower), before)
            self.relay.cut()
            if follower.daemon is None:
                follower.start()
            follower.wait(lambda: addresses(follower) == after, "the new one")
            reader.end()
            reader.look()
            self.assertEqual(reader.views, [before, after])
            self.assert_same(follower)

    def test_ldapsync_is_killed(self):
        """I1, I2, I7."""
        self.interrupted(lambda follower: follower.kill())

    def test_the_server_is_killed(self):
        """I1, I2, I5."""
        def end(follower):
            lefts = self.lefts(follower)
            self.server.kill()
            self.relay.cut()
            follower.wait(lambda: self.lefts(follower) > lefts, "it is left")
            self.server.start()
        self.interrupted(end)

    def test_the_server_hangs(self):
        """I1, I10."""
        def end(follower):
            lefts = self.lefts(follower)
            follower.wait(lambda: self.lefts(follower) > lefts, "it is left")
        self.interrupted(end)

    def test_in_the_first_load(self):
        """I1, I8: part of a first load is nobody's, neither known nor unknown."""
        self.relay.hold(MIDDLES[-1])
        follower = self.follower().start()
        self.relay.wait_held()
        self.assertEqual([*self.codes(follower, "u1", "nobody"), follower.status()["complete"]], [451, 451, False])
        self.server.kill()
        self.relay.cut()
        follower.kill()
        follower.start()
        follower.wait(lambda: self.lefts(follower) > 0, "it is down")
        self.assertEqual(self.codes(follower, "u1", "nobody"), [451, 451])
        self.assertEqual(follower.status()["state"], "EMPTY")
        self.assertEqual(follower.uuids(), set())
        self.server.start()
        follower.wait_for("nobody@uni.example", 550)
        self.assert_same(follower)

    def in_changes(self, end, resumes, turns):
        """What came before the end is there once, what did not come comes later, and all without a new load where the server can go on."""
        follower = self.follow(shadow_brake_percent=100)
        loads = self.loads(follower)
        for turn in range(turns):
            new = [f"k{turn}-{n}" for n in range(20)]
            self.relay.hold(2500)
            self.writer.add(people(new))
            self.writer.delete(*map(uid, USERS[10 * turn:10 * turn + 10]))
            self.relay.wait_held()
            end(follower)
            self.assertEqual(self.codes(follower, "ann", "u59"), [250, 250])
            if follower.daemon is None:
                follower.start()
            if self.server.process is None:
                self.server.start()
            self.assert_same(follower)
            self.assertEqual(self.codes(follower, new[19], f"u{10 * turn}"), [250, 550])
            if resumes:
                self.assertEqual(self.loads(follower), loads)

    def test_ldapsync_is_killed_in_changes(self):
        """I2, I9."""
        def end(follower):
            follower.kill()
            self.relay.cut()
        self.in_changes(end, self.provider.resumes, turns=2)

    def test_the_server_is_killed_in_changes(self):
        """I2, I8, I9."""
        def end(follower):
            self.server.kill()
            self.relay.cut()
            follower.wait_for("nobody@uni.example", 451)
        self.in_changes(end, self.provider.resumes_restarted, turns=1)


class ServerRules(Followed):
    """A server that is down, hangs, or was emptied."""

    def test_it_is_down(self):
        """I8: the shadow serves, and nobody is unknown for good by a view that is not fresh."""
        follower = self.follow()
        self.assert_same(follower)
        self.server.kill()
        follower.wait_for("nobody@uni.example", 451)
        follower.wait_state("STALE")
        self.assertEqual(self.codes(follower, "ann"), [250])
        follower.kill()
        follower.start()  # with nobody to ask
        follower.wait_state("STALE")
        self.assertEqual(self.codes(follower, "ann", "nobody"), [250, 451])
        self.server.start()
        follower.wait_for("nobody@uni.example", 550)
        self.writer.add(user_ldif("new"))
        follower.wait_for("new@uni.example", 250)
        self.assert_same(follower)

    def test_it_restarts(self):
        """I2: with what has changed meanwhile."""
        follower = self.follow()
        loads = self.loads(follower)
        self.server.stop()
        follower.wait(lambda: self.lefts(follower) > 0, "it is left")
        self.server.start()
        self.writer.delete(uid("bob"))
        self.writer.add(user_ldif("new"))
        follower.wait_for("bob@uni.example", 550)
        follower.wait_for("new@uni.example", 250)
        self.assert_same(follower)
        if self.provider.resumes_restarted:
            self.assertEqual(self.loads(follower), loads)

    def test_it_hangs(self):
        """I10: while it is followed, and while it is connected to; nothing is loaded twice when it goes on."""
        follower = self.follow()
        self.assert_same(follower)
        loads = self.loads(follower)
        self.server.pause()
        follower.wait(lambda: "no answer" in follower.status()["trouble"], "it hangs")
        follower.wait_for("nobody@uni.example", 451)
        self.assertEqual(self.codes(follower, "ann"), [250])
        self.assertGreater(follower.status()["lag_ms"], 2000)
        follower.kill()
        follower.start()
        follower.wait(lambda: "no answer in time" in follower.status()["trouble"], "it hangs")
        self.assertEqual(self.codes(follower, "ann", "nobody"), [250, 451])
        self.server.resume()
        self.writer.add(user_ldif("new"))
        follower.wait_for("new@uni.example", 250)
        self.assert_same(follower)
        if self.provider.resumes:
            self.assertEqual(self.loads(follower), loads)

    def test_it_was_emptied(self):
        """I6, I7: made anew with two people. Its ids and change numbers are others; the brake holds it until somebody says that it is right."""
        follower = self.follow()
        self.provider.empty(FEW)
        follower.wait_state("BRAKED")
        self.assertEqual(follower.status()["held_deletes"], len(USERS))
        self.assertEqual(self.codes(follower, "u1", "ann", "nobody"), [250, 250, 451])
        follower.kill()
        follower.start()
        follower.wait_state("BRAKED")
        self.assertEqual(self.codes(follower, "u1", "ann", "nobody"), [250, 250, 451])
        done = follower.run("directory", "release", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        follower.wait_for("u1@uni.example", 550)
        self.assert_same(follower)
        self.assertEqual(follower.status()["held_deletes"], 0)
        self.assertEqual(follower.run("directory", "release").returncode, 1)
        self.writer.add(user_ldif("new"))
        follower.wait_for("new@uni.example", 250)
        self.assert_same(follower)

    def test_it_is_emptied_one_by_one(self):
        """I6: as a tool in a loop does it."""
        follower = self.follow()
        self.writer.delete(*map(uid, USERS[:40]))
        follower.wait_state("BRAKED")
        left = [name for name in USERS[:40] if self.codes(follower, name) == [250]]
        self.assertGreater(len(left), 20)  # what went before the brake bit stays gone
        self.assertEqual(self.codes(follower, "u59", "nobody"), [250, 451])
        # All that waits is counted soon, and adds up: what is gone, what waits, what there was.
        def counted():
            return {count["what"]: count for count in follower.status()["held"]["counts"]}
        follower.wait(lambda: counted()["entries"]["gone"] == 40, "all that waits to be counted")
        counts = counted()
        for what in ("entries", "recipients", "mailboxes", "log-ins"):
            self.assertEqual(counts[what]["gone"] - counts[what]["already"], len(left), counts)
            self.assertGreater(counts[what]["gone"], counts[what]["allowed"])
        text = follower.run("directory", "status").stdout
        parts = f", of which {40 - len(left)} are gone already and {len(left)} wait" if len(left) < 40 else ""
        self.assertRegex(text, rf"recipients: 40 of \d+{parts}; at most \d+ may go at once: too many\n")
        self.assertIn("`posthouse directory release` lets go what waits", text)
        done = follower.run("directory", "release")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"{len(left)} entries are gone", done.stdout)
        follower.wait_for("u39@uni.example", 550)
        self.assert_same(follower)

    def test_many_move(self):
        """I6."""
        follower = self.follow()
        self.writer.modify("".join(modify(name, "mailHost", "mb2.uni.example") for name in USERS))
        follower.wait_state("BRAKED")
        self.assertIn("users moved to another host", follower.status()["trouble"])
        self.assertEqual(self.codes(follower, "ann", "nobody"), [250, 451])


class EntryRules(Followed):
    """What is stored of entries."""

    def test_names(self):
        """I9: entries are told by their ids. New names and swapped addresses, told at once and while we were away; another entry of the same name."""
        follower = self.follow()
        ids = follower.uuids()
        for turn, live in enumerate((True, False)):
            with self.subTest(live=live):
                if not live:
                    follower.stop()
                one, two = f"u{2 * turn}", f"u{2 * turn + 1}"
                self.writer.modify(modify(one, "mail", "between@uni.example") + modify(two, "mail", f"{one}@uni.example") +
                                   modify(one, "mail", f"{two}@uni.example"))
                name = f"v{turn}"
                self.writer.modify(f"dn: {uid(one)}\nchangetype: modrdn\nnewrdn: uid={name}\ndeleteoldrdn: 1\n\n")
                if not live:
                    follower.start()
                follower.wait(lambda: uid(name) in follower.run("why", f"{two}@uni.example").stdout, "the new name and address")
                follower.wait(lambda: uid(two) in follower.run("why", f"{one}@uni.example").stdout, "the other one's address")
                self.assert_same(follower)
                self.assertEqual(follower.uuids(), ids)
        self.writer.delete(uid("bob"))
        self.writer.add(user_ldif("bob"))
        follower.wait(lambda: follower.uuids() != ids, "another of the same name")
        self.assert_same(follower)
        self.assertEqual(len(follower.uuids() & ids), len(ids) - 1)

    def test_two_owners(self):
        """I11: they are kept and reported, and mail for both waits, also after a load. The servers' own rule that an address has one owner compares
        the address in its two spellings as two."""
        follower = self.follow()
        spelt = base64.b64encode("one@b\u00fccher.example".encode()).decode()
        address = f"one@{OTHER_DOMAIN}"
        self.writer.add(OTHER_DOMAIN_LDIF + user_ldif("one", domain=OTHER_DOMAIN) + people(["two"]))
        follower.wait_for(address, 250)
        self.writer.modify(f"dn: {uid('two')}\nchangetype: modify\nadd: phIntlAddress\nphIntlAddress:: {spelt}\n\n")
        follower.wait_for(address, 451)
        self.assertIn("several entries claim one key", follower.log_text())
        self.assertEqual(follower.code("two@uni.example"), 250)
        follower.stop()
        with follower.writes() as db:
            db.execute("UPDATE state SET cookie = x''")
        told = follower.log_text().count("several entries claim one key")
        follower.start()
        follower.wait(lambda: follower.log_text().count("several entries claim one key") > told, "it is said again")
        follower.wait_state("PERSIST")
        self.assertEqual(follower.code(address), 451)
        self.provider.settle()
        self.assertEqual(follower.uuids(), self.provider.ids())
        self.writer.delete(uid("one"))
        follower.wait_for(address, 250)
        self.assertIn(uid("two"), follower.run("why", address).stdout)

    def test_reconcile(self):
        """I12: what was lost though the cookie says that all is there, and what should have gone."""
        follower = self.follow()
        self.assert_same(follower)
        follower.stop()
        for database in ("shadow", "credentials"):
            with follower.writes(database) as db:
                lost = "(SELECT id FROM entry WHERE instr(data, 'uid=bob,'))"
                db.execute(f"DELETE FROM key WHERE id = {lost}")
                db.execute(f"DELETE FROM entry WHERE id = {lost}")
                db.execute("UPDATE state SET entries = entries - 1")
        refreshed = follower.log_text().count("directory refreshed")
        follower.start()
        follower.wait(lambda: follower.log_text().count("directory refreshed") > refreshed, "it is followed")
        if self.provider.resumes:
            self.assertEqual(self.codes(follower, "bob"), [550])
        self.assertEqual(follower.run("directory", "reconcile").returncode, 0)
        self.assertEqual(self.codes(follower, "bob"), [250])
        self.assertIn("the copy differed from the directory", follower.log_text())
        self.assert_same(follower)

    def test_damaged_cookie(self):
        """I7: it costs a load, and not one entry."""
        follower = self.follow()
        self.assert_same(follower)
        follower.stop()
        version = follower.status()["version"]
        for damage, database in (("CAST(substr(cookie, 1, length(cookie) - 1) || '!' AS BLOB)", "shadow"), ("x''", "shadow"), ("x'00'", "credentials")):
            with follower.writes(database) as db:
                db.execute(f"UPDATE state SET cookie = {damage}")
            loads = self.loads(follower)
            follower.start()
            follower.wait(lambda loads=loads: self.loads(follower) > loads, "a load")
            self.assert_same(follower)
            follower.stop()
        self.assertEqual(follower.status()["version"], version)  # nothing was written
        loads, refreshed = self.loads(follower), follower.log_text().count("directory refreshed")
        follower.start()
        follower.wait(lambda: follower.log_text().count("directory refreshed") > refreshed, "it is followed")
        if self.provider.resumes:
            self.assertEqual(self.loads(follower), loads)


class LagRules(Followed):
    """Two servers of one directory (the pairs of providers.py), of which the second can be kept behind."""

    def setUp(self):
        for server in (self.server, self.provider.other):
            if server.process is None:
                server.start()
        self.provider.join()
        super().setUp()

    def wait_follows(self, follower, server):
        follower.wait(lambda: follower.status()["provider"] == server.uri and follower.status()["state"] == "PERSIST", "it is followed")

    def wait_refused(self, follower):
        lacks = follower.log_text().count("it lacks changes that we hold")
        follower.wait(lambda: follower.log_text().count("it lacks changes that we hold") > lacks + 2, "it is asked again and again")
        follower.wait(lambda: "it lacks changes that we hold" in follower.status()["trouble"], "status says so")

    def test_a_server_that_lags(self):
        """I4: the other is not loaded from while it lags, so nobody vanishes who was just added, not after a start of ldapsync either; and is once
        it has caught up. The first is gone back to when it is there again."""
        other = self.provider.other
        follower = self.follower(ldap_uri=[self.server.uri, other.uri], ldap_failback_s=1).start()
        follower.wait_for("u59@uni.example", 250)
        self.wait_follows(follower, self.server)
        self.provider.part()
        self.writer.add(user_ldif("new"))
        self.writer.modify(modify("u1", "mail", "u1.new@uni.example"))
        follower.wait_for("u1.new@uni.example", 250)
        self.server.kill()
        names = "new", "u1.new", "u1", "u2"
        for _ in range(2):
            self.wait_refused(follower)
            follower.wait_for("nobody@uni.example", 451)
            self.assertEqual(self.codes(follower, *names), [250, 250, 451, 250])
            self.assertEqual(follower.run("directory", "release").returncode, 1)  # one server is down, not behind
            follower.kill()
            follower.start()
        self.server.start()
        self.provider.join()
        self.server.kill()
        self.wait_follows(follower, other)
        follower.wait_for("nobody@uni.example", 550)
        self.assertEqual(self.codes(follower, *names), [250, 250, 550, 250])
        self.assertEqual(follower.uuids(), {values[self.provider.id_attribute][0].decode().replace("-", "")
                                            for _, values in other.search(OURS, self.provider.id_attribute)})
        self.server.start()
        self.wait_follows(follower, self.server)
        self.assert_same(follower)


class Rules(MiddleRules, ServerRules, EntryRules):
    pass
