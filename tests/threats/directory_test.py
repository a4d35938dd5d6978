# SPDX-License-Identifier: Apache-2.0
"""A directory that lies, loops or loses people, and names that would be patterns in it. The rows that hold for an LDIF file as well as for
an LDAP server."""
import base64
import json
import re
import unittest

from node import NodeTest, user_ldif, uuid_of
from threat import PASSWORD, ThreatTest


def alias(name, *members, kind="rfc822MailMember"):
    return (f"dn: cn={name},ou=aliases,dc=uni,dc=example\nobjectClass: phMailAlias\ncn: {name}\nmail: {name}@uni.example\n" +
            "".join(f"{kind}: {member}\n" for member in members) + "\n")


def group(name, *members):
    """members: DNs."""
    return (f"dn: cn={name},ou=groups,dc=uni,dc=example\nobjectClass: phMailGroup\ncn: {name}\nmail: {name}@uni.example\n" +
            "".join(f"member: {member}\n" for member in members) + "\n")


def person(name):
    return f"uid={name},ou=people,dc=uni,dc=example"


class Star(ThreatTest):
    users = ("ann", "bob")

    def test_ldap_star(self):
        """What is a pattern to LDAP or SQL matches nobody."""
        addresses = ("*@uni.example", "a*@uni.example", "*nn@uni.example", "ann*@uni.example", "ann+*@*", "*", "**@uni.example", "?nn@uni.example", "%@uni.example",
                     "a%@uni.example", "_nn@uni.example", "a__@uni.example", "[a-z]nn@uni.example", "ann@*", "ann@*.example", "ann@uni.*", "ann@%",
                     "(uid=*)@uni.example", "ann)(uid=*@uni.example", "ann)(|(uid=*@uni.example", "ann\\2a@uni.example", "ann\\00@uni.example", "'ann'@uni.example",
                     "ann'--@uni.example", "ann'/**/or/**/'1@uni.example", '"ann\' OR \'1\'=\'1"@uni.example', "ann@uni.example,dc=evil", "uid=ann@uni.example", "@uni.example")
        self.refused(*addresses, "ann@uni_example")
        self.refused(*addresses, session=self.user)
        for address in addresses:
            self.assertNotEqual(self.node.why(address)["verdict"], "deliver", address)
        with self.node.raw("lmtp") as wire:
            wire.reply()
            wire.say("LHLO client.example")
            wire.say("MAIL FROM:<x@out.example>")
            for address in addresses:
                self.assertIn(wire.say(f"RCPT TO:<{address}>"), (500, 501, 550, 553), address)


# What must be refused when it is read: (attribute, value).
EVIL = [(attribute, value) for attribute in ("phForwardAddress", "mailRoutingAddress") for value in (
            b"|/bin/touch /tmp/owned", b'"|/bin/touch /tmp/owned"@uni.example', b"/etc/passwd", b'"/etc/passwd"@uni.example', b":include:/etc/passwd",
            b"a@evil.example\r\nRCPT TO:<b@evil.example>", b"a@evil.example\nBcc: b@evil.example", b"a@evil.example,b@evil.example", b"a@evil.example b@evil.example",
            b"<a@evil.example>", b"a@evil.example>", b"a\0@evil.example", b"a@evil.example\0", b"a@evil.example\r", b"\xff@evil.example", b"a@@evil.example",
            b"@evil.example:b@evil.example", b"a@evil.example\xc2\x85", b"../../a", b"a@evil..example", b"")]
EVIL_HOSTS = (b"|cmd", b"/tmp/socket", b"unix:/tmp/socket", b"../mb1.uni.example", b"mb1.uni.example\r\nX: y", b"mb1.uni.example:24", b"[127.0.0.1]", b"127.0.0.9",
              b"mb1.uni.example/../x", b"mb1.uni.example ", b"mb1 .uni.example", b"mb1.uni.example\0", b"user@mb1.uni.example", b"\xff", b"-oProxyCommand=id", b"$(id).example", b"")


# What was meant to forbid, to keep or to open to a few, and cannot be read: (line, code at RCPT, may log in).
UNREADABLE = (("phStatus: on hold", 450, False), ("phStatus:: /w==", 450, False), ("phExpires: 2020-01-01", 450, False),
              ("phForwardAddress: ann@uni.example\nphForwardKeepCopy: yes", 250, True), ("phService: imap pop3", 250, False))
UNREADABLE_OF_LISTS = ("phListPostPolicy: members only", "phListRequireAuth: yes", "phListAllowedSender: uni.example", "phListAllowedSenderDN: ann")


class EvilAttribute(ThreatTest):
    """CRLF, a command or a path in a forward address, a mailHost or an id: refused when read, with a line in the log; the rest of the entry stands."""
    users = ("ann",)
    ldif = ("".join(user_ldif(f"f{n}", extra=f"{attribute}:: {base64.b64encode(value).decode()}\n") for n, (attribute, value) in enumerate(EVIL)) +
            "".join(user_ldif(f"h{n}").replace("mailHost: mb1.uni.example", "mailHost:: " + base64.b64encode(value).decode()) for n, value in enumerate(EVIL_HOSTS)) +
            "".join(user_ldif(f"i{n}").replace(f"phMailboxId: {uuid_of(f'i{n}')}", "phMailboxId: " + value)
                    for n, value in enumerate(("../../../../tmp/x", "/etc", "x", "00000000-0000-0000-0000-000000000000", "ab/cd"))) +
            "".join(user_ldif(f"n{n}", extra=line + "\n") for n, (line, _, _) in enumerate(UNREADABLE)) +
            "".join(group(f"l{n}", person("ann")).replace("phMailGroup", "phMailGroup\nobjectClass: phMailList").rstrip() + f"\n{line}\n\n"
                    for n, line in enumerate(UNREADABLE_OF_LISTS)) +
            alias("evil", "|/bin/touch /tmp/owned", ":include:/etc/passwd", "ann@uni.example") + alias("onlyevil", "|/bin/touch /tmp/owned"))
    logins = {**{f"f{n}": f"f{n}" for n in range(len(EVIL))}, "n3": "n3"}

    def test_evil_attr_in_forwards(self):
        """The mail stays in the mailbox: what was refused is as if it were not there."""
        self.accepted(*(f"f{n}@uni.example" for n in range(len(EVIL))))
        self.arrives.update({f"f{n}": 1 for n in range(len(EVIL))})
        log = [line for line in self.node.log_text().splitlines() if "directory value refused" in line]
        for n, (attribute, value) in enumerate(EVIL):
            self.assertTrue([line for line in log if f"uid=f{n}," in line and attribute in line], (attribute, value))

    def test_evil_attr_in_hosts_and_ids(self):
        """Without a host or an id nobody can be delivered to now; nobody is unknown for it either."""
        with self.stranger() as wire:
            for name in [f"h{n}" for n in range(len(EVIL_HOSTS))] + [f"i{n}" for n in range(5)]:
                self.assertEqual(wire.say(f"RCPT TO:<{name}@uni.example>"), 451, name)

    def test_evil_attr_that_forbids(self):
        """What cannot be read does not open what it was to close, and refuses nobody for good."""
        for n, (line, code, logs_in) in enumerate(UNREADABLE):
            with self.stranger() as wire:
                self.assertEqual(wire.say(f"RCPT TO:<n{n}@uni.example>"), code, line)
            with self.secure("imap") as wire:
                wire.send(f'a LOGIN n{n} "{PASSWORD}"\r\n')
                self.assertEqual("a OK" in wire.line(), logs_in, line)
        for n, line in enumerate(UNREADABLE_OF_LISTS):
            with self.stranger() as wire:
                self.assertEqual(wire.say(f"RCPT TO:<l{n}@uni.example>"), 451, line)
        self.accepted("n3@uni.example")
        self.arrives.update({"n3": 1, "ann": self.arrives["ann"] + 1})

    def test_evil_attr_in_aliases(self):
        self.accepted("evil@uni.example")
        self.arrives["ann"] += 1
        with self.stranger() as wire:
            self.assertIn(wire.say("RCPT TO:<onlyevil@uni.example>"), (451, 550))


class HostAllow(ThreatTest):
    """mailHost outside the node list: no mail and no password is sent there."""
    users = ("ann",)
    ldif = (user_ldif("far", host="evil.example") + user_ldif("near", host="localhost") + user_ldif("sub", host="x.mb1.uni.example") +
            user_ldif("noport", host="mb3.uni.example") + "dn: cn=mb3,ou=hosts,dc=uni,dc=example\nobjectClass: phMailHost\ncn: mb3.uni.example\nphHostRole: store\n"
            "phHostEndpoint: lmtp=unix:/tmp/socket\nphHostEndpoint: smtp=inet:127.0.0.9:25\n\n" + alias("mixed", "ann@uni.example"))

    def test_host_allow(self):
        for name in ("far", "near", "sub", "noport"):
            with self.stranger() as wire:
                self.assertEqual(wire.say(f"RCPT TO:<{name}@uni.example>"), 451, name)
            with self.node.raw("lmtp") as wire:
                wire.reply()
                wire.say("LHLO client.example")
                wire.say("MAIL FROM:<x@out.example>")
                self.assertIn(wire.say(f"RCPT TO:<{name}@uni.example>"), (450, 451), name)
            with self.secure("imap") as wire:
                wire.send(f'a LOGIN {name} "{PASSWORD}"\r\n')
                self.assertIn("a NO [UNAVAILABLE]", wire.line(), name)
            with self.secure("pop3") as wire:
                wire.send(f"USER {name}\r\nPASS {PASSWORD}\r\n")
                wire.line()
                self.assertIn("-ERR [SYS/TEMP]", wire.line(), name)


WIDE, DEEP = 1000, 100  # groups in the large group, members of each


class Cycle(ThreatTest):
    """Aliases and groups that lead back to themselves, and a group of 100,000 nested members: bounded, one copy each."""
    users = ("ann", "bob", "eve")
    settings = {"log_level": "info"}
    ldif = (alias("self", "self@uni.example") + alias("ping", "pong@uni.example") + alias("pong", "ping@uni.example") +
            alias("ring1", "ring2@uni.example", "ann@uni.example") + alias("ring2", "ring3@uni.example") + alias("ring3", "ring1@uni.example", "ann+x@uni.example") +
            user_ldif("fwd1", extra="phForwardAddress: fwd2@uni.example\n") + user_ldif("fwd2", extra="phForwardAddress: fwd1@uni.example\n") +
            user_ldif("keep1", extra="phForwardAddress: keep2@uni.example\nphForwardKeepCopy: TRUE\n") +
            user_ldif("keep2", extra="phForwardAddress: keep1@uni.example\nphForwardKeepCopy: TRUE\n") +
            group("g1", "cn=g2,ou=groups,dc=uni,dc=example", person("ann")) + group("g2", "cn=g1,ou=groups,dc=uni,dc=example", person("ann"), person("bob")) +
            group("itself", "cn=itself,ou=groups,dc=uni,dc=example") +
            "".join(alias(f"deep{n}", f"deep{n + 1}@uni.example") for n in range(80)) + alias("deep80", "ann@uni.example") +
            "".join(f"dn: associatedDomain={a}.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: {a}.example\nphDomainType: alias\nphDomainAliasOf: {b}.example\n\n"
                    for a, b in (("loopa", "loopb"), ("loopb", "loopa"), ("loopc", "loopc"))) +
            group("all", *(f"cn=part{n},ou=groups,dc=uni,dc=example" for n in range(WIDE))) +
            "".join(group(f"part{n}", *[person(("ann", "bob", "eve")[m % 3]) for m in range(DEEP - 1)], "cn=all,ou=groups,dc=uni,dc=example") for n in range(WIDE)))
    logins = {name: name for name in ("keep1", "keep2", "fwd1", "fwd2")}

    def test_cycle(self):
        for name in ("self", "ping", "pong", "itself"):
            with self.stranger() as wire:
                self.assertIn(wire.say(f"RCPT TO:<{name}@uni.example>"), (550,), name)
        with self.stranger() as wire:
            for domain in ("loopa", "loopb", "loopc"):
                self.assertIn(wire.say(f"RCPT TO:<ann@{domain}.example>"), (451,), domain)

    def test_cycle_with_people_in_it(self):
        self.accepted("ring1@uni.example", "ring2@uni.example", "ring3@uni.example")
        self.arrives["ann"] += 2  # as ann and as ann+x
        self.node.wait_queue_empty()
        self.accepted("g1@uni.example", "g2@uni.example", "ann@uni.example")
        self.arrives.update({"ann": 1, "bob": 1})
        self.node.wait_queue_empty()
        self.accepted("keep1@uni.example")
        self.arrives.update({"keep1": 1, "keep2": 1})
        self.accepted("fwd1@uni.example")  # each sends it to the other: it stays with the first
        self.arrives["fwd1"] += 1

    def test_cycle_that_is_none_but_deep(self):
        with self.stranger() as wire:
            self.assertEqual(wire.say("RCPT TO:<deep0@uni.example>"), 550)
        self.accepted("deep60@uni.example")
        self.arrives["ann"] += 1

    def test_cycle_of_a_hundred_thousand_nested_members(self):
        with self.stranger() as wire:
            wire.send("RCPT TO:<all@uni.example>\r\n")
            with self.node.smtp() as smtp:  # others are served meanwhile
                smtp.sendmail("x@out.example", ["bob@uni.example"], "Subject: beside\r\n\r\n")
            self.assertEqual(wire.reply()[0], 250)
            self.assertEqual(wire.say("DATA"), 354)
            wire.send("Subject: all\r\n\r\nx\r\n.\r\n")
            self.assertEqual(wire.reply()[0], 250)
        self.arrives.update({"ann": 1, "bob": 2, "eve": 1})


class MassDelete(NodeTest):
    """One version of the file that takes away over a fifth of what was there: held, alarm, the last good view kept."""
    users = tuple(f"u{n}" for n in range(60))
    settings = {"shadow_check_ms": 20, "log_level": "info"}

    def setUp(self):
        self.node.expect_error("directory file is held by the brake")
        self.put(self.whole())
        self.node.wait(lambda: self.rcpt("u59@uni.example", "new@uni.example") == [250, 550], "the whole file to be loaded")

    def whole(self, users=users, hosts=True, domain=True):
        self.node.users = users
        text = self.node.directory_ldif()
        parts = [part for part in text.split("\n\n") if (hosts or "phMailHost" not in part) and (domain or "phMailDomain" not in part)]
        return "\n\n".join(parts) + "\n\n"

    def put(self, text):
        self.node.write_ldif(text)

    def status(self):
        return json.loads(self.node.run("directory", "status", "--json").stdout)

    def settled(self, state, what=""):
        return self.node.wait(lambda: (s := self.status())["state"] == state and what in s["trouble"] and s, f"state {state} {what}")

    def rcpt(self, *addresses):
        with self.node.raw("smtp") as wire:
            wire.reply()
            wire.say("EHLO client.example")
            wire.say("MAIL FROM:<x@out.example>")
            return [wire.say(f"RCPT TO:<{address}>") for address in addresses]

    def held(self, text, what):
        self.put(self.whole())
        self.settled("PERSIST")  # nothing is held any more from before
        self.put(text)
        status = self.settled("BRAKED", what)
        self.assertGreater(status["held_deletes"], 0)
        self.assertFalse(status["fresh"])
        # Who was there is there; nobody is unknown for good, for a new one may be in the file.
        self.assertEqual(self.rcpt("u1@uni.example", "u59@uni.example", "nobody@uni.example"), [250, 250, 451])
        imap = self.node.imap("u59")
        imap.logout()
        metrics = self.node.run("metrics", "ldapsync").stdout
        self.assertIn(f"posthouse_ldapsync_held {status['held_deletes']}", metrics)

    def test_mass_delete(self):
        self.held(self.whole(self.users[:40]), "20 of 60 recipients")
        self.assertIn("recipients: 20 of 60; at most 12 may go at once: too many\n", self.node.run("directory", "status", check=75).stdout)
        held = self.status()["held"]
        self.assertEqual((held["what"], held["gone"], held["of"], held["percent"], held["window_s"]), ("recipients", 20, 60, 20, 0))
        self.assertRegex(held["since"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        released = json.loads(self.node.run("directory", "release", "--json", check=0).stdout)
        self.assertEqual(released["deleted"], 20)
        self.assertEqual(self.rcpt("u1@uni.example", "u59@uni.example", "nobody@uni.example"), [250, 550, 550])
        self.assertEqual(self.status()["held_deletes"], 0)
        self.assertNotIn("held", self.status())
        self.assertNotEqual(self.node.run("directory", "release").returncode, 0)  # nothing is held any more

    def test_mass_delete_that_only_looks_like_a_change(self):
        """Every entry is still there, but not what makes it a recipient."""
        whole = self.whole()
        self.held(whole.replace("\nmail: ", "\nx-mail: "), "recipients")
        self.held(whole.replace("@uni.example", "@uni.exmaple"), "recipients")
        self.held(whole.replace("objectClass: phMailUser\n", ""), "recipients")
        self.held(whole.replace("mailHost: mb1.uni.example", "mailHost: mb2.uni.example"), "users moved to another host")

    def test_mass_loss_of_mailboxes(self):
        """Everybody is still a recipient, of a mailbox that is new and empty: an export that made its ids anew."""
        self.held(re.sub(r"(?m)^phMailboxId: ........", "phMailboxId: 01234567", self.whole()), "60 of 60 mailboxes")

    def test_mass_loss_of_log_ins(self):
        """Mail comes, and nobody can read it: an export by somebody who may not see passwords."""
        whole = self.whole()
        self.held(re.sub(r"(?m)^(userPassword|phScram): .*\n", "", whole), "60 of 63 passwords of entries")
        self.held(re.sub(r"(?m)^uid: .*\n", "", whole), "60 of 60 log-ins")
        self.put(re.sub(r"(?m)^phScram: .*\n", "", whole))  # another way to log in is left
        self.settled("PERSIST")

    def test_mass_delete_of_domains_and_hosts(self):
        """A domain or a host is few entries and many people."""
        self.held(self.whole(domain=False), "1 of 1 domains")
        self.held(self.whole(hosts=False), "2 of 2 hosts")

    def test_mass_delete_and_a_better_file(self):
        """A better file ends it without anybody's help, and what was accepted is the file that was held and no other."""
        self.held(self.whole(self.users[:1]), "recipients")
        self.put(self.whole(self.users[:55] + ("new",)))
        self.node.wait(lambda: self.rcpt("new@uni.example") == [250], "the better file to be loaded")
        self.assertEqual(self.rcpt("new@uni.example", "u54@uni.example", "u59@uni.example", "nobody@uni.example"), [250, 250, 550, 550])

    def test_mass_delete_survives_a_restart(self):
        self.held(self.whole(self.users[:1]), "recipients")
        self.node.stop()
        self.node.start()
        self.settled("BRAKED")
        self.assertEqual(self.rcpt("u59@uni.example", "nobody@uni.example"), [250, 451])

    def test_empty_and_cut_files_are_no_deletions(self):
        self.node.expect_error("directory file cannot be loaded")
        for text in ("version: 1\n", self.whole()[:-30] + "\nmail", "# nothing\n"):
            self.put(text)
            self.settled("STALE")
            self.assertEqual(self.rcpt("u59@uni.example", "nobody@uni.example"), [250, 451])


if __name__ == "__main__":
    unittest.main()
