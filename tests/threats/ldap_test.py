# SPDX-License-Identifier: Apache-2.0
"""Names from strangers beside a real slapd: no log-in and no recipient makes a filter or a DN of them. The server is asked nothing because of
them, and what the directory itself says in filters (memberURL) stays what it says. And a directory that is not there, is there in part, or
behind: nobody is unknown for good, as senders see it (tests/directory/ has the rest)."""
import concurrent.futures
import re
import unittest

from node import Node, user_ldif
from relay import Relay
from slapd import BASE, Directory
from threat import PASSWORD, ThreatTest, b64

# Patterns of RFC 4515 and what ends one; with the right password of ann, which a filter (uid=NAME) would find by.
NAMES = (b"*", b"a*", b"*nn", b"ann*", b"*)(uid=*", b"ann)(uid=*", b"ann)(|(uid=*", b"*))%00", b"ann)(userPassword=*", b"(uid=ann)", b"ann)(&", b"\\", b"ann\\",
         b"\\61nn", b"ann\\2a", b"ann\\00", b"ann\0", b"\0", b"an\0n", b"\xff", b"ann\xff", b"ann\xc0\x80", b"ann\xe2\x28\xa1", b"!(uid=x)", b"ann)(!(uid=x)",
         b"uid=ann", b"ann)(objectClass=*", b"ann))(|(cn=*", b"~=ann", b">=a", b"ann:caseExactMatch:=ann", b"ann,ou=people", f"uid=ann,ou=people,{BASE}".encode())
# Domains that would end the DN of an entry, and begin another.
DOMAINS = ("uni,dc=evil", "uni.example,dc=evil", "uni.example+dc=evil", "uni.example,ou=domains", "uni\\2cdc=evil", "uni.example\\", "uni.example;dc=evil",
           '"uni.example"', "<uni.example>", "#uni.example", "uni.example ", "uni.example)(associatedDomain=*", "*.example", "*", "uni.example\0", "=uni.example",
           f"uni.example,{BASE}")


def member_url(name, *filters):
    return (f"dn: cn={name},ou=groups,{BASE}\nobjectClass: groupOfURLs\nobjectClass: phMailList\ncn: {name}\nmail: {name}@uni.example\n" +
            "".join(f"memberURL: ldap:///ou=people,{BASE}??sub?{text}\n" for text in filters) + "\n")


class Ldap(ThreatTest):
    users = ("ann", "bob")
    ldif = (member_url("good", "(uid=ann)") + member_url("none", "(uid=a\\2a)") + member_url("bent", "(uid=ann)(uid=*)", "(uid=*", "uid=*)(", "(|(uid=ann)", "(uid=\\zz)"))

    @classmethod
    def start_node(cls):
        cls.node.make_certificates()
        cls.directory = Directory(ldif=cls.node.directory_ldif().removeprefix("version: 1\n\n")).start()
        cls.addClassCleanup(cls.directory.remove)
        cls.node.overrides.update(cls.directory.settings())
        cls.node.start()

    def setUp(self):
        super().setUp()
        self.mark = self.directory.master.mark()

    def tearDown(self):
        super().tearDown()
        # Heartbeats, of one entry by its name, and nothing else.
        asked = self.directory.master.lines("SRCH base=", since=self.mark)
        self.assertEqual([line for line in asked if f'SRCH base="{BASE}" scope=0' not in line], [])
        self.assertEqual([line for line in self.directory.master.lines(r" (BIND|CMP|EXT) ", since=self.mark) if "dn=" in line], [])

    def log_in_fails(self, source, name):
        """In each protocol, from an address of its own, as failures wait."""
        with self.secure("submission", source) as wire:
            self.assertEqual(wire.say("AUTH PLAIN " + b64(b"\0" + name + b"\0" + PASSWORD.encode())), 535, name)
        with self.secure("imap", source) as wire:
            wire.send(b"a LOGIN {%d+}\r\n" % len(name) + name + b' "' + PASSWORD.encode() + b'"\r\n')
            self.assertRegex(wire.line(), r"^a (NO \[AUTHENTICATIONFAILED\]|BAD)", name)
        with self.secure("pop3", source) as wire:
            wire.send(b"USER " + name + b"\r\nPASS " + PASSWORD.encode() + b"\r\n")
            self.assertTrue(wire.line().startswith(("+OK", "-ERR")), name)
            self.assertTrue(wire.line().startswith("-ERR"), name)

    def log_ins_fail(self, names):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            for done in [pool.submit(self.log_in_fails, f"127.2.0.{n + 1}", name) for n, name in enumerate(names)]:
                done.result()

    def test_ldap_inj_log_ins(self):
        self.log_ins_fail(NAMES)

    def test_ldap_inj_recipients(self):
        addresses = [name.decode("latin-1") + "@uni.example" for name in NAMES] + \
                    ['"%s"@uni.example' % name.decode("latin-1").replace("\\", "\\\\") for name in NAMES]
        with self.stranger() as wire:
            for address in addresses:
                wire.send(f"RCPT TO:<{address}>\r\n".encode("latin-1"))
                self.assertIn(wire.reply()[0], (500, 501, 550, 553), address)
            self.assertEqual(wire.say("RCPT TO:<ann@uni.example>"), 250)
        for address in addresses:
            if "\0" not in address:
                self.assertNotEqual(self.node.why(address)["verdict"], "deliver", address)

    def test_dn_inj(self):
        with self.stranger() as wire:
            for domain in DOMAINS:
                self.assertIn(wire.say(f"RCPT TO:<ann@{domain}>"), (500, 501, 550, 553), domain)
        self.log_ins_fail([f"ann@{domain}".encode() for domain in DOMAINS])  # as a realm
        for option in ("--domain", "--base"):
            done = self.node.run("directory", "import", option, "uni.example,dc=evil\ndn: cn=x", "aliases", "/dev/null")
            self.assertEqual(re.findall(r"(?m)^dn: (?!ou=import-)", done.stdout), [], option)

    def test_ldap_inj_in_filters_of_the_directory(self):
        """What is quoted in a filter is no pattern, and a filter that is none selects nobody."""
        self.accepted("good@uni.example")
        self.arrives["ann"] += 1
        self.assertEqual([self.node.why(f"{name}@uni.example")["code"] for name in ("none", "bent")], [550, 451])


class Outage(unittest.TestCase):
    def setUp(self):
        self.node = Node(users=["ann"])
        self.addCleanup(self.node.remove)
        self.node.make_certificates()
        self.directory = Directory(ldif=self.node.directory_ldif().removeprefix("version: 1\n\n"))
        self.addCleanup(self.directory.remove)
        self.directory.start()
        self.master = self.directory.master
        self.addCleanup(self.node.stop)

    def start(self, **settings):
        self.node.overrides.update({**self.directory.settings(), "ldap_timeout_s": 2, "ldap_heartbeat_ms": 200, "fresh_s": 3, **settings})
        self.node.start(has_directory=False)

    def rcpt(self, *names):
        with self.node.smtp() as smtp:
            smtp.ehlo()
            smtp.mail("sender@else.example")
            return [smtp.rcpt(f"{name}@uni.example")[0] for name in names]

    def left(self, said):
        """A server is left for this reason, with nothing known from it."""
        self.node.wait(lambda: re.search(said, self.node.log_text()), said)
        self.assertEqual(self.rcpt("ann", "nobody"), [451, 451])

    def recovers(self):
        self.node.wait(lambda: self.rcpt("ann", "nobody") == [250, 550], "what the directory says")

    def configure(self, change):
        """The server's configuration with a change, while it is down."""
        self.master.stop()
        path = self.master.path("slapd.conf")
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(change(text))
        self.master.start()

    def test_ldap_down(self):
        """Every server is down, and there is no shadow yet."""
        self.master.stop()
        self.start()
        self.left("directory server is left")
        self.master.start()
        self.recovers()
        self.master.kill()
        self.node.wait(lambda: self.rcpt("ann", "nobody") == [250, 451], "451 for whoever is not in the shadow")

    def test_ldap_partial_cut_mid_refresh(self):
        relay = Relay(self.master.address, self.master.port)
        self.addCleanup(relay.close)
        relay.hold(1500)
        self.start(ldap_uri=[relay.uri], ldap_starttls="never")
        relay.wait_held()
        self.assertEqual(self.rcpt("ann", "nobody"), [451, 451])
        relay.cut()
        self.recovers()

    def test_ldap_partial_time_out(self):
        relay = Relay(self.master.address, self.master.port)
        self.addCleanup(relay.close)
        relay.hold(1500)
        self.start(ldap_uri=[relay.uri], ldap_starttls="never")
        self.left("no answer")
        relay.release()
        self.recovers()

    def test_ldap_partial_size_limit(self):
        self.configure(lambda text: text.replace("size=unlimited", "size=1"))
        self.start()
        self.left("Size limit exceeded")
        self.configure(lambda text: text.replace("size=1", "size=unlimited"))
        self.recovers()

    def test_ldap_partial_referral(self):
        self.configure(lambda text: "referral ldap://127.0.0.1:1/\n" + text)
        self.start(ldap_base="dc=other,dc=example")
        self.left("Referral|No such object")

    def test_lag(self):
        """A user was just added, and the shadow has not heard of it for a while."""
        relay = Relay(self.master.address, self.master.port)
        self.addCleanup(relay.close)
        self.start(ldap_uri=[relay.uri], ldap_starttls="never", ldap_timeout_s=60)
        self.recovers()
        relay.hold(0)
        self.master.add(user_ldif("new"))
        self.node.wait(lambda: self.rcpt("ann", "new", "nobody") == [250, 451, 451], "a stale shadow")
        relay.release()
        self.node.wait(lambda: self.rcpt("ann", "new", "nobody") == [250, 250, 550], "what was added")


if __name__ == "__main__":
    unittest.main()
