# SPDX-License-Identifier: Apache-2.0
"""Directory servers that lie, break off or say far too much: the last good view serves, nobody is unknown for good by what they say, the daemon
neither ends nor spins, and goes on once the server is honest."""
import json
import os
import socket
import threading
import time
import unittest

from fake_ldap import ADD, DELETE, SYNC_STATE, FakeServer, ber, boolean, integer, octets
from node import uuid_of
from replica import Follower

CSN = "20261122000000.%06dZ#000000#001#000000"
COOKIE = "rid=000,csn="


def uuid(name):
    return bytes.fromhex(uuid_of(name).replace("-", ""))


def user(name, **more):
    return f"uid={name},dc=uni,dc=example", {"objectClass": ["phMailUser"], "uid": [name], "mail": [f"{name}@uni.example"],
                                            "mailHost": ["mb1.uni.example"], **more}


CONTENT = {
    "domain": ("associatedDomain=uni.example,dc=uni,dc=example",
               {"objectClass": ["phMailDomain"], "associatedDomain": ["uni.example"], "phDomainType": ["local"]}),
    "host": ("cn=mb1,dc=uni,dc=example", {"objectClass": ["phMailHost"], "cn": ["mb1.uni.example"], "phHostEndpoint": ["lmtp=inet:127.0.0.1:24"]}),
    "ann": user("ann"),
    "bob": user("bob"),
}


def tell(session, content=CONTENT):
    for name, (dn, values) in content.items():
        session.entry(ADD, dn, values, uuid(name))


def honest(session):
    tell(session)
    session.refresh_done((COOKIE + session.server.csns[0]).encode())


def group_with(members, first=False):
    """A refresh that has the group all@uni.example too; members are encoded values, which come before its other attributes or behind them."""
    def lie(session):
        tell(session)
        attributes = [ber(0x30, octets(name), ber(0x31, *map(octets, values))) for name, values in (
            ("objectClass", ["phMailGroup"]), ("cn", ["all"]), ("mail", ["all@uni.example"]))]
        attributes.insert(0 if first else len(attributes), ber(0x30, octets("member"), ber(0x31, members)))
        state = ber(0x30, integer(ADD, 0x0a), octets(uuid("all")))
        session.say(session.sync_id, ber(0x64, octets("cn=all,dc=uni,dc=example"), ber(0x30, *attributes)),
                    ber(0x30, octets(SYNC_STATE), octets(state)))
        session.refresh_done((COOKIE + session.server.csns[0]).encode())
    return lie


class Liar(unittest.TestCase):
    def setUp(self):
        self.server = FakeServer(honest, [CSN % 1])
        self.addCleanup(self.server.close)
        self.follower = Follower({"ldap_uri": [self.server.uri], "ldap_base": "dc=uni,dc=example", "ldap_starttls": "never", "fresh_s": 60})
        self.addCleanup(self.follower.remove)

    def followed(self):
        self.follower.start()
        self.follower.wait_for("ann@uni.example", 250)

    def honest_again(self):
        """Bob is gone meanwhile."""
        self.assertEqual(self.follower.daemon.poll(), None, self.follower.log_text()[-4000:])
        self.server.csns = [CSN % 9]
        self.server.lies = lambda session: (tell(session, {n: c for n, c in CONTENT.items() if n != "bob"}),
                                            session.refresh_done((COOKIE + CSN % 9).encode()))
        for session in self.server.sessions:
            session.close()
        self.follower.wait_for("bob@uni.example", 550)
        self.assertEqual(self.follower.code("ann@uni.example"), 250)
        self.assertEqual(self.follower.daemon.poll(), None)

    def lie(self, lies, left=True):
        """The next session hears the lie; the server is left for it, and the view stays."""
        self.followed()
        told = threading.Event()

        def once(session):
            told.set()
            lies(session)
        before = self.server.connections
        self.server.lies = once
        self.server.csns = [CSN % 5]
        self.server.sessions[-1].close()
        self.assertTrue(told.wait(30))
        if left:
            self.follower.wait(lambda: self.server.connections > before + 1, "the server to be left")
        self.assertEqual(self.follower.code("ann@uni.example"), 250)
        self.assertEqual(self.follower.code("bob@uni.example"), 250)
        self.honest_again()

    def test_a_hash_that_nobody_asked_for(self):
        """A what-if is answered with what was asked for, whatever the server adds: whoever may ask need not be who may see hashes."""
        dn, values = user("ann", userPassword=["{SSHA512}c2VjcmV0"], krbPrincipalKey=["secret"])
        def answers(session, number, search):
            if search.base.decode() == dn:
                session.say(number, session.content(dn, values))
            session.say(number, session.result(0x65))
        self.followed()
        self.server.answers = answers
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(os.path.join(self.follower.dir, "run", "ldapsync.sock"))
            control.sendall(json.dumps({"command": "directory.entries", "dns": [dn]}).encode() + b"\n")
            given = []
            for line in control.makefile("rb"):
                answer = json.loads(line)
                if "ok" in answer:
                    break
                given.append(answer["item"]["name"].lower())
        self.assertTrue(answer["ok"], answer)
        self.assertIn("mail", given)
        self.assertNotIn("userpassword", given)
        self.assertNotIn("krbprincipalkey", given)

    def test_huge_length(self):
        self.lie(lambda s: s.raw(b"\x30\x84\x7f\xff\xff\xff" + b"\0" * 1000))

    def test_length_of_lengths(self):
        self.lie(lambda s: s.raw(b"\x30\xff" + b"\xff" * 4000))

    def test_no_ber(self):
        self.lie(lambda s: s.raw(os.urandom(4096)))

    def test_entry_without_uuid(self):
        self.lie(lambda s: s.entry(ADD, *CONTENT["ann"], b"", control=b""))

    def test_entry_with_half_a_uuid(self):
        self.lie(lambda s: s.entry(ADD, *CONTENT["ann"], b"12345678"))

    def test_unknown_change(self):
        self.lie(lambda s: s.entry(4, *CONTENT["ann"], uuid("ann")))

    def test_done_without_data(self):
        """I6."""
        self.followed()
        self.server.csns = [CSN % 5]
        self.server.lies = lambda s: s.refresh_done((COOKIE + CSN % 5).encode())
        self.server.sessions[-1].close()
        self.follower.wait_state("BRAKED")
        for name in ("ann", "bob"):
            self.assertEqual(self.follower.code(f"{name}@uni.example"), 250)

    def test_done_twice(self):
        self.lie(lambda s: (honest(s), s.refresh_done((COOKIE + CSN % 5).encode())), left=False)

    def test_referral(self):
        self.lie(lambda s: s.say(s.sync_id, ber(0x73, octets("ldap://127.0.0.1:1/dc=uni"))))

    def test_megabytes_of_cookie(self):
        self.lie(lambda s: (tell(s), s.refresh_done(b"x" * (8 << 20))))

    def test_thousands_of_servers_in_a_cookie(self):
        many = ";".join("20261122000000.000001Z#000000#%03x#000000" % sid for sid in range(1000))
        self.lie(lambda s: (tell(s), s.refresh_done((COOKIE + many).encode())))

    def test_notice_of_disconnection(self):
        self.lie(lambda s: (s.say(0, ber(0x78, integer(52, 0x0a), octets(""), octets("bye"), octets("1.3.6.1.4.1.1466.20036", 0x8a))),
                            s.close()))

    def test_wrong_message_ids(self):
        def lies(session):
            for number in (0, 1, 4711, 2147483647):
                session.say(number, session.content(*CONTENT["ann"]))
                session.say(number, session.result(0x65))
            session.end(80, "now it ends")
        self.lie(lies)

    def test_end_at_once(self):
        self.lie(lambda s: s.end())

    def test_refresh_required_for_ever(self):
        """I7."""
        self.lie(lambda s: s.end(4096))

    def test_contents_that_are_no_contents(self):
        def lies(session):
            session.entry(ADD, "no dn at all", CONTENT["ann"][1], uuid("1"))
            session.entry(ADD, "uid=\0,dc=uni", CONTENT["ann"][1], uuid("2"))
            session.entry(ADD, *user("x", mail=["a\r\nb@uni.example", "\0", "|/bin/sh", "../../x@uni.example", ""]), uuid("x"))
            session.entry(ADD, *user("y", phMailboxId=["../../../etc", "0" * 32]), b"\0" * 16)
            session.entry(ADD, "uid=z,dc=uni", {"": [""], "mail": []}, uuid("z"))
            session.entry(DELETE, "", {}, uuid("nobody"))
            session.end(80, "enough")
        self.lie(lies)

    def test_half_a_message(self):
        self.lie(lambda s: s.raw(b"\x30\x84\0\0\xff\xff\x02\x01"))

    def test_byte_by_byte_for_ever(self):
        def lies(session):
            session.raw(b"\x30\x84\0\xff\xff\xff\x02\x01\x02")
            while True:
                session.raw(b"\0")
                time.sleep(0.1)
        self.lie(lies)

    def test_no_answer_to_heartbeats(self):
        """I10."""
        self.lie(lambda s: setattr(self.server, "csns", None))

    def test_more_contextcsns_than_were_asked_for(self):
        """At a connection, and then to a heartbeat: neither memory nor time is theirs."""
        def floods(session, number):
            one = ber(0x30, integer(number), session.content("dc=uni,dc=example", {"contextCSN": [CSN % 1]}))
            try:
                while True:
                    session.raw(one * 1000)
            except OSError:
                pass
        self.followed()
        for _ in range(2):
            self.server.csns = floods
            self.follower.wait(lambda: "more than the entry that was asked for" in self.follower.status()["trouble"], "it is left")
            self.assertEqual([self.follower.code(f"{name}@uni.example") for name in ("ann", "bob")], [250, 250])
            self.server.csns = [CSN % 1]
            self.follower.wait_state("PERSIST")
        with open(f"/proc/{self.follower.daemon.pid}/status") as status:
            peak_kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        self.assertLess(peak_kib, 60 << 10)

    def test_present_for_ever(self):
        said = []

        def lies(session):
            while True:
                session.present([os.urandom(16) for _ in range(2000)])
                said.append(session)
        self.followed()
        self.server.lies, self.server.csns = lies, [CSN % 5]
        self.server.sessions[-1].close()
        self.follower.wait(lambda: len(said) > 200, "400,000 entries that nobody has")
        for name in ("ann", "bob"):
            self.assertEqual(self.follower.code(f"{name}@uni.example"), 250)
        self.follower.stop()  # a clean end while it is told more and more

    def test_refresh_required_after_each_refresh(self):
        self.followed()
        self.server.lies = lambda s: (honest(s), s.end(4096))
        self.server.sessions[-1].close()
        self.follower.wait(lambda: "one load follows the other" in self.follower.log_text(), "pauses between the loads")
        self.honest_again()

    def test_refresh_that_never_ends(self):
        """An entry now and then, for ever: time bounds it, and the next server is used."""
        def drips(session):
            while True:
                session.entry(ADD, *user("drip"), uuid("drip"))
                time.sleep(0.1)
        good = FakeServer(honest, [CSN % 1])
        self.addCleanup(good.close)
        self.server.lies = drips
        self.follower.set_values(ldap_uri=[self.server.uri, good.uri], ldap_refresh_s=2, ldap_failback_s=0)
        self.followed()
        self.assertEqual(self.follower.status()["provider"], good.uri)
        self.assertIn("ldap_refresh_s", self.follower.log_text())
        self.assertEqual(self.follower.code("drip@uni.example"), 550)

    def test_realms_that_never_end(self):
        """The same of what is asked before: domains, more and more of them."""
        def drips(session, number, search):
            while search.scope:
                session.say(number, session.content("associatedDomain=drip,dc=uni,dc=example", {
                    "objectClass": ["phMailDomain"], "associatedDomain": ["drip.example"], "phAuthRealm": ["uni.example"]}))
                time.sleep(0.1)
            session.say(number, session.result(0x65))
        good = FakeServer(honest, [CSN % 1])
        self.addCleanup(good.close)
        self.server.answers = drips
        self.follower.set_values(ldap_uri=[self.server.uri, good.uri], ldap_refresh_s=2, ldap_failback_s=0)
        self.followed()
        self.assertEqual(self.follower.status()["provider"], good.uri)
        self.assertRegex(self.follower.log_text(), "read the realms of domains.*: it has not answered as a whole within ldap_refresh_s")

    def test_entry_of_60_mib(self):
        """It is known, and that is all: mail for it waits. Everything else is as ever."""
        member = b"".join(octets(f"uid=somebody{n:06d},ou=people,dc=uni,dc=example,o=far away and long ago") for n in range(800000))
        self.assertGreater(len(member), 50 << 20)
        self.server.lies = group_with(member)
        self.followed()
        self.assertEqual([self.follower.code(f"{name}@uni.example") for name in ("all", "bob", "nobody")], [451, 250, 550])

    def test_entry_of_millions_of_empty_values(self):
        """Two bytes each on the wire: they take no gigabytes of ours, and mail for it waits."""
        self.server.lies = group_with(b"\x04\0" * 20_000_000, first=True)
        self.followed()
        self.assertEqual([self.follower.code(f"{name}@uni.example") for name in ("all", "bob", "nobody")], [451, 250, 550])
        with open(f"/proc/{self.follower.daemon.pid}/status") as status:
            peak_kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        self.assertLess(peak_kib, 700 << 10)

    def test_entry_that_is_too_large_for_anything(self):
        """Replication stops there, and says where and why, in the log and in the status; serving goes on."""
        def lies(session):
            tell(session)
            session.raw(b"\x30\x84" + (300 << 20).to_bytes(4, "big") + b"\x02\x01\x03")
        self.followed()
        self.server.lies, self.server.csns = lies, [CSN % 5]
        self.server.sessions[-1].close()
        self.follower.wait(lambda: "256 MiB" in self.follower.status()["trouble"], "why it does not go on")
        self.assertIn("after uid=bob,dc=uni,dc=example", self.follower.status()["trouble"])
        self.assertIn("256 MiB", self.follower.log_text())
        self.assertEqual([self.follower.code(f"{name}@uni.example") for name in ("ann", "bob")], [250, 250])

    def test_realms_that_differ(self):
        """A domain's realm is told in the search for everything and not in the one for realms: not one whole load after the other."""
        def lies(session):
            tell(session)
            dn, values = CONTENT["domain"]
            session.entry(ADD, dn, {**values, "phAuthRealm": ["other.example"]}, uuid("domain"))
            session.refresh_done((COOKIE + CSN % 5).encode())
        self.followed()
        self.server.lies, self.server.csns = lies, [CSN % 5]
        self.server.sessions[-1].close()
        self.follower.wait(lambda: "one load follows the other" in self.follower.log_text(), "pauses between the loads")
        self.assertEqual(self.follower.code("ann@uni.example"), 250)
        self.honest_again()


class FutureTest(unittest.TestCase):
    """A server whose clock was wrong has given out a change number from the future; then the directory was repaired (I4, I7)."""
    FUTURE = "20991231235959.000000Z#000000#001#000000"

    def servers(self, *csns):
        servers = [FakeServer(honest, [csn]) for csn in csns]
        for server in servers:
            self.addCleanup(server.close)
        self.follower = Follower({"ldap_uri": [server.uri for server in servers], "ldap_base": "dc=uni,dc=example", "ldap_starttls": "never",
                                  "fresh_s": 60, "ldap_failback_s": 0})
        self.addCleanup(self.follower.remove)
        return servers

    def test_it_is_said_and_once_repaired_forgotten(self):
        server, = self.servers(self.FUTURE)
        self.follower.start()
        self.follower.wait_for("ann@uni.example", 250)
        self.assertEqual(self.follower.status()["future_csn"], self.FUTURE)
        self.assertIn(self.FUTURE, self.follower.run("directory", "status").stdout)
        self.assertIn("lies in the future", self.follower.log_text())
        server.csns = [CSN % 9]
        server.lies = lambda session: (tell(session, {n: c for n, c in CONTENT.items() if n != "bob"}),
                                       session.refresh_done((COOKIE + CSN % 9).encode()))
        server.sessions[-1].close()
        self.follower.wait_for("bob@uni.example", 550)
        self.assertEqual(self.follower.status()["future_csn"], "")
        self.assertIn("from_cookie=false entries=3", self.follower.log_text())

    def test_of_two_repaired_servers_the_one_that_has_more(self):
        behind, ahead = self.servers(self.FUTURE, self.FUTURE)
        self.follower.start()
        self.follower.wait_for("ann@uni.example", 250)
        searches = behind.searches
        behind.csns, ahead.csns = [CSN % 3], [CSN % 9]
        behind.sessions[-1].close()
        self.follower.wait(lambda: self.follower.log_text().count("directory refreshed") == 2, "the second load")
        self.assertEqual(self.follower.status()["provider"], ahead.uri)
        self.assertEqual(behind.searches, searches)

    def test_a_server_that_lags_is_no_repaired_one(self):
        """The number from the future is still on another server, which is down."""
        gone, behind = self.servers(self.FUTURE, CSN % 3)
        self.follower.start()
        self.follower.wait_for("ann@uni.example", 250)
        gone.close()
        self.follower.wait(lambda: self.follower.run("status").returncode is not None and behind.connections >= 4, "it was asked again and again")
        self.assertEqual(behind.searches, 0)
        self.assertEqual(self.follower.run("directory", "release").returncode, 1)
        self.assertEqual(self.follower.code("bob@uni.example"), 250)


class LargeMap(unittest.TestCase):
    """As large a map as posthouse.conf(5) allows."""

    def follow(self, lines):
        server = FakeServer(honest, [CSN % 1])
        self.addCleanup(server.close)
        follower = Follower({"ldap_uri": [server.uri], "ldap_base": "dc=uni,dc=example", "ldap_starttls": "never", "ldap_map": lines})
        self.addCleanup(follower.remove)
        follower.start()
        follower.wait_for("ann@uni.example", 250)

    def test_attributes(self):
        self.follow([f"[a{i}] [b{i}] [c{i}] theirs{i} = phVacationSubject" for i in range(256)])

    def test_filter(self):
        self.follow([f"[objectClass=theirs{i}] [kind={'*' * 900}] objectClass := phMailUser" for i in range(256)])


if __name__ == "__main__":
    unittest.main()
