# SPDX-License-Identifier: Apache-2.0
"""posthouse why --ldif and posthouse directory diff: what they say of a change is what is true once it was made; what they do not list has not
changed; what the shadow cannot know is said, with its line."""
import json
import os
import socket
import subprocess
import time
import unittest

from node import BIN, DEADLINE_S, Node, user_ldif
from slapd import Directory

DC = "dc=uni,dc=example"
PEOPLE = f"ou=people,{DC}"
USERS = ("ann", "bob", "eve", "dan", "fay")
GROUPS = (
    f"dn: cn=staff,ou=groups,{DC}\nobjectClass: phMailGroup\ncn: staff\nmail: staff@uni.example\n"
    f"member: uid=ann,{PEOPLE}\nmember: uid=bob,{PEOPLE}\n\n"
    f"dn: cn=all,ou=groups,{DC}\nobjectClass: phMailGroup\ncn: all\nmail: all@uni.example\n"
    f"member: cn=staff,ou=groups,{DC}\n\n"
    f"dn: cn=news,ou=groups,{DC}\nobjectClass: phMailGroup\nobjectClass: phMailList\ncn: news\nmail: news@uni.example\nmailHost: mb1.uni.example\n"
    f"member: uid=eve,{PEOPLE}\nowner: uid=dan,{PEOPLE}\n\n"
    f"dn: cn=help,ou=aliases,{DC}\nobjectClass: phMailAlias\ncn: help\nmail: help@uni.example\nrfc822MailMember: bob+help@uni.example\n\n"
    f"dn: associatedDomain=old.example,ou=domains,{DC}\nobjectClass: phMailDomain\nassociatedDomain: old.example\nphDomainType: alias\n"
    "phDomainAliasOf: uni.example\n\n"
    f"dn: associatedDomain=any.example,ou=domains,{DC}\nobjectClass: phMailDomain\nassociatedDomain: any.example\nphDomainType: local\n"
    "phCatchAll: fay@uni.example\n\n")

# (what, the change for ldapmodify, addresses that must be listed, some that must not)
CHANGES = (
    ("another host", f"dn: uid=bob,{PEOPLE}\nchangetype: modify\nreplace: mailHost\nmailHost: mb2.uni.example\n",
     {"bob@uni.example", "bob@old.example", "staff@uni.example", "all@uni.example", "help@uni.example"}, {"ann@uni.example", "news@uni.example"}),
    ("a forward", f"dn: uid=eve,{PEOPLE}\nchangetype: modify\nadd: phForwardAddress\nphForwardAddress: bob@uni.example\n-\n"
     "replace: phForwardKeepCopy\nphForwardKeepCopy: TRUE\n", {"eve@uni.example", "news@uni.example"}, {"bob@uni.example"}),
    ("one more address", f"dn: uid=ann,{PEOPLE}\nchangetype: modify\nadd: mailLocalAddress\nmailLocalAddress: Anna@Uni.Example\n"
     "mailLocalAddress: x@any.example\n", {"anna@uni.example", "x@any.example"}, {"ann@uni.example"}),
    ("a deleted user", f"dn: uid=fay,{PEOPLE}\nchangetype: delete\n", {"fay@uni.example", "*@any.example", "abuse@any.example"},
     {"ann@uni.example", "*@uni.example"}),
    ("a new user", user_ldif("new").replace("\nobjectClass", "\nchangetype: add\nobjectClass", 1), {"new@uni.example"}, {"ann@uni.example"}),
    ("another list member", f"dn: cn=news,ou=groups,{DC}\nchangetype: modify\nadd: member\nmember: uid=ann, OU=people,{DC}\n-\n"
     f"replace: owner\nowner: uid=ann,{PEOPLE}\n", {"news@uni.example", "owner-news@uni.example"}, {"ann@uni.example"}),
    ("a rename, whose group keeps the old name", f"dn: uid=ann,{PEOPLE}\nchangetype: modrdn\nnewrdn: uid=anne\ndeleteoldrdn: 1\n",
     {"staff@uni.example", "all@uni.example"}, {"ann@uni.example"}),
    ("another catch-all", f"dn: associatedDomain=any.example,ou=domains,{DC}\nchangetype: modify\nreplace: phCatchAll\n"
     "phCatchAll: bob@uni.example\n", {"*@any.example"}, {"fay@uni.example"}),
    ("an address that has two owners", f"dn: cn=help,ou=aliases,{DC}\nchangetype: modify\nadd: mailLocalAddress\nmailLocalAddress: dan@uni.example\n",
     {"dan@uni.example"}, {"help@uni.example"}),
    ("a domain of its own", f"dn: associatedDomain=old.example,ou=domains,{DC}\nchangetype: modify\nreplace: phDomainType\nphDomainType: local\n-\n"
     "delete: phDomainAliasOf\n", {"bob@old.example", "staff@old.example"}, {"bob@uni.example"}),
    ("nothing for mail", f"dn: uid=bob,{PEOPLE}\nchangetype: modify\nreplace: telephoneNumber\ntelephoneNumber: 1\n-\nreplace: userPassword\n"
     "userPassword: secret\n", set(), {"bob@uni.example"}),
)

EVERYBODY = sorted({f"{u}@{d}" for u in (*USERS, "new", "anna", "anne", "x", "staff", "all", "news", "help", "owner-news", "news-request", "nobody",
                                         "postmaster", "abuse", "*", "bob+lists") for d in ("uni.example", "old.example", "any.example")})


def fate(answer):
    """What an answer says becomes of the mail, without its reasons."""
    targets = sorted((t["address"], t["host"], t.get("detail", ""), t.get("list", ""), t.get("forwarder", "")) for t in answer["targets"])
    return answer["verdict"], answer["code"], answer["enhanced"], answer.get("owner", ""), answer.get("held", ""), targets


class WhatIf(unittest.TestCase):
    settings = {}

    def setUp(self):
        self.start()
        self.addCleanup(lambda: (self.node.stop(), self.node.remove()))

    def start(self):
        self.node = Node(users=USERS, ldif=GROUPS)
        self.node.start()

    def posthouse(self, *arguments):
        done = subprocess.run([os.path.join(BIN, "posthouse"), "-c", self.node.config, *arguments], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def fates(self, *options):
        code, out, err = self.posthouse("why", "--json", *options, *EVERYBODY)
        self.assertIn(code, (0, 1, 75), err)
        return {answer["address"]: fate(answer) for answer in map(json.loads, out.splitlines())}

    def diff(self, text):
        path = self.node.write("change.ldif", text)
        code, out, err = self.posthouse("--json", "directory", "diff", path)
        rows = [json.loads(line) for line in out.splitlines()]
        self.logins = {row["login"]: row for row in rows if "login" in row}
        return code, {row["address"]: row for row in rows if "address" in row}, err

    def apply(self, text):
        """The change, made for real: here the file as an administrator would write it anew."""
        raise NotImplementedError

    def version(self):
        return json.loads(self.posthouse("directory", "status", "--json")[1])["version"]

    def check(self, text, listed, unlisted):
        before = self.fates()
        code, rows, err = self.diff(text)
        self.assertEqual(code, 1 if listed else 0, err)
        self.assertLessEqual(listed, set(rows))
        self.assertFalse(unlisted & set(rows))
        predicted = self.fates("--ldif", self.node.path("change.ldif"))
        self.assertEqual({a for a in EVERYBODY if predicted[a] != before[a]} - set(rows) - self.not_asked(before, predicted), set())
        for address, row in rows.items():
            self.assertNotEqual(fate(row["before"]), fate(row["after"]), address)
            if address in before:
                self.assertEqual((fate(row["before"]), fate(row["after"])), (before[address], predicted[address]))
        self.apply(text)
        end = time.monotonic() + DEADLINE_S
        while (now := self.fates()) != predicted and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(now, predicted)

    def not_asked(self, before, predicted):
        """Addresses that no entry has are stood for by others: *@domain, an address without its detail or in the domain that an alias is of."""
        return {a for a in EVERYBODY if "+" in a
                or (a.split("@")[0] not in ("*", "postmaster", "abuse") and before[a] == before["*@" + a.split("@")[1]]
                    and predicted[a] == predicted["*@" + a.split("@")[1]])
                or (a.endswith("@any.example") and "fay@uni.example" in str(before[a]))}


class BySlapd(WhatIf):
    def start(self):
        node = Node(users=USERS, ldif=GROUPS)
        node.pin = "sha256:" + 64 * "0"
        self.directory = Directory(ldif=node.directory_ldif().replace("version: 1\n\n", ""))
        node.remove()
        self.addCleanup(self.directory.remove)
        self.directory.start()
        self.node = Node(users=("ann",), settings=self.directory.settings())
        self.node.start()

    def apply(self, text):
        self.directory.master.modify(text)

    def test_somebody_who_becomes_ours(self):
        """Of people without mail the shadow has nothing: the server is asked, as long as ldapsync runs."""
        stranger = f"uid=stranger,{PEOPLE}"
        self.directory.master.add(f"dn: {stranger}\nobjectClass: inetOrgPerson\nuid: stranger\ncn: S\nsn: S\nuserPassword: secret\n\n"
                                  f"dn: ou=folk,{DC}\nobjectClass: organizationalUnit\nou: folk\n")
        text = (f"dn: {stranger}\nchangetype: modify\nadd: objectClass\nobjectClass: phMailUser\n-\nadd: mail\nmail: new@uni.example\n-\n"
                "add: mailHost\nmailHost: mb1.uni.example\n-\nreplace: userPassword\nuserPassword: other\n")
        self.check(text, {"new@uni.example"}, {"bob@uni.example"})
        self.check(f"dn: uid=fay,{PEOPLE}\nchangetype: modify\ndelete: objectClass\nobjectClass: phMailUser\n-\ndelete: mailHost\n-\ndelete: phMailboxId\n-\ndelete: phScram\n",
                   {"fay@uni.example"}, {"ann@uni.example"})
        for code, text in ((2, f"dn: uid=bbo,{PEOPLE}\nchangetype: modify\nreplace: mail\nmail: b@uni.example\n"),
                           (75, f"dn: {PEOPLE}\nchangetype: modrdn\nnewrdn: ou=persons\ndeleteoldrdn: 1\n"),
                           (0, f"dn: ou=folk,{DC}\nchangetype: modrdn\nnewrdn: ou=persons\ndeleteoldrdn: 1\n"),
                           (2, "dn: cn=ldapsync,dc=else,dc=example\nchangetype: modify\nreplace: mail\nmail: b@uni.example\n")):
            got, _, err = self.diff(text)
            self.assertEqual(got, code, text + err)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(DEADLINE_S)
            sock.connect(self.node.path("run", "ldapsync.sock"))
            sock.sendall(json.dumps({"command": "directory.entries", "dns": [f"uid=bob,{PEOPLE}"]}).encode() + b"\n")
            names = set()
            for line in map(json.loads, sock.makefile("rb")):
                if "item" not in line:
                    break
                names.add(line["item"]["name"])
        self.assertTrue(line["ok"])
        self.assertLessEqual({"mailHost", "objectClass", "entryUUID"}, names)
        self.assertFalse({"userPassword", "phScram", "phAppPassword"} & names)  # hashes stay where they are
        self.node.stop()
        got, _, err = self.diff(f"dn: {PEOPLE}\nchangetype: modify\nadd: objectClass\nobjectClass: phMailUser\n")
        self.assertEqual(got, 75)
        self.assertIn("cannot be asked: posthouse-ldapsync does not run", err)

    def test_what_is_predicted_comes_true(self):
        for what, text, listed, unlisted in CHANGES:
            with self.subTest(what):
                self.check(text, listed, unlisted)


class ByFile(WhatIf):
    """Content records: the file and the change are of one form. The daemons are down while it is asked."""

    def apply(self, text):
        dn = text.splitlines()[0]
        records = [r for r in self.node.directory_ldif().split("\n\n") if not r.startswith(dn + "\n")]
        self.node.write_ldif("\n\n".join([*records, text, ""]))

    def test_log_ins(self):
        modify = f"dn: uid=bob,{PEOPLE}\nchangetype: modify\n"
        bob = "bob@uni.example"
        _, rows, err = self.diff(modify + "add: phStatus\nphStatus: nologin\n")
        self.assertEqual((list(rows), list(self.logins)), ([], [bob]), err)
        granted = [{name: s["granted"] for name, s in self.logins[bob][when]["services"].items()} for when in ("before", "after")]
        self.assertTrue(granted[0]["imap"] and not granted[1]["imap"])
        self.diff(modify + "replace: mailHost\nmailHost: mb2.uni.example\n")
        self.assertEqual([self.logins[bob][when]["host"] for when in ("before", "after")], ["mb1.uni.example", "mb2.uni.example"])
        self.diff(f"dn: uid=bob,{PEOPLE}\nchangetype: delete\n")
        self.assertEqual((list(self.logins), self.logins[bob]["after"]["reason"]), ([bob], "nobody has this login"))
        self.diff(modify + "replace: uid\nuid: bob\nuid: robert\n")
        self.assertEqual(list(self.logins), ["robert@uni.example"])
        self.assertEqual((self.diff(modify + "add: phSubmitRate\nphSubmitRate: 5\n")[0], list(self.logins)), (1, [bob]))
        code, out, _ = self.posthouse("directory", "diff", self.node.path("change.ldif"))
        self.assertEqual(code, 1)
        self.assertIn(f"log-in {bob}\n", out)
        self.assertIn('"phSubmitRate"', out)
        self.assertEqual((self.diff(modify + "add: telephoneNumber\ntelephoneNumber: 1\n")[0], self.logins), (0, {}))

    def test_details_and_subdomains(self):
        modify = f"dn: associatedDomain=uni.example,ou=domains,{DC}\nchangetype: modify\n"
        _, rows, err = self.diff(modify + "add: phSubaddressDelimiter\nphSubaddressDelimiter: _\n")
        self.assertLessEqual({f"{u}{c}*@uni.example" for u in USERS for c in "+_"}, set(rows), err)
        self.assertNotIn("bob@uni.example", rows)
        self.assertEqual([rows["bob+*@uni.example"][when]["code"] for when in ("before", "after")], [250, 550])
        _, rows, err = self.diff(modify + "add: phIncludeSubdomains\nphIncludeSubdomains: TRUE\n-\nadd: phCatchAll\nphCatchAll: bob@uni.example\n")
        self.assertLessEqual({"*@any.uni.example", "*@uni.example"}, set(rows), err)
        self.assertEqual(rows["*@any.uni.example"]["after"]["targets"][0]["address"], "bob@uni.example")

    def test_what_the_file_alone_has(self):
        """Classes that the shadow does not tell apart."""
        code, rows, err = self.diff(f"dn: uid=bob,{PEOPLE}\nchangetype: modify\ndelete: objectClass\nobjectClass: phMailUser\n")
        self.assertEqual((code, rows["bob@uni.example"]["after"]["verdict"]), (1, "refuse"), err)

    def test_an_entry_as_it_would_be(self):
        self.check(user_ldif("bob", host="mb2.uni.example", extra="phForwardAddress: ann@uni.example\n"),
                   {"bob@uni.example", "staff@uni.example", "help@uni.example"}, {"ann@uni.example"})

    def test_an_entry_that_is_new(self):
        self.check(user_ldif("new", extra="mailLocalAddress: dan@uni.example\n"), {"new@uni.example", "dan@uni.example"}, {"ann@uni.example"})

    def test_with_the_daemons_down(self):
        self.node.stop()
        code, rows, err = self.diff(f"dn: uid=fay,{PEOPLE}\nchangetype: delete\n")
        self.assertEqual(code, 1, err)
        self.assertEqual(rows["fay@uni.example"]["before"]["verdict"], "deliver")
        self.assertEqual(rows["fay@uni.example"]["after"]["code"], 550)
        code, out, err = self.posthouse("directory", "diff", self.node.path("change.ldif"))
        self.assertIn("fay@uni.example\n  - is delivered", out)
        self.assertRegex(err, r"\d+ of \d+ addresses and log-ins would change")
        self.assertEqual(self.posthouse("why", "--ldif", self.node.path("change.ldif"), "fay@uni.example")[0], 1)

    def test_what_cannot_be_said_has_its_line(self):
        bob = f"dn: uid=bob,{PEOPLE}\nchangetype: modify\n"
        for code, line, text in (
                (2, 3, bob + "increment: phQuotaBytes\nphQuotaBytes: 1\n"),
                (2, 4, bob + "delete: mailHost\nmailHost: mb9.uni.example\n"),
                (2, 4, bob + "add: mail\nmail: BOB@uni.example\n"),
                (2, 1, user_ldif("ann").replace("\nobjectClass", "\nchangetype: add\nobjectClass", 1)),
                (2, 2, "dn: uid=ann\nthis is no LDIF\n"),
                (75, 3, bob + "replace: mail;lang-de\nmail;lang-de: b@uni.example\n"),
                (2, 1, f"dn: uid=stranger,{PEOPLE}\nchangetype: modify\nadd: objectClass\nobjectClass: phMailUser\n"),
                (2, 1, f"dn: uid=bbo,{PEOPLE}\nchangetype: modify\nreplace: phStatus\nphStatus: disabled\n"),
                (2, 1, f"dn: {PEOPLE}\nchangetype: modrdn\nnewrdn: ou=folk\ndeleteoldrdn: 1\n")):
            with self.subTest(text):
                got, rows, err = self.diff(text)
                self.assertEqual((got, rows), (code, {}), err)
                self.assertIn(f"change.ldif:{line}: ", err)
                self.assertEqual(self.posthouse("why", "--ldif", self.node.path("change.ldif"), "bob@uni.example")[0], code)
        self.node.stop()
        os.rename(self.node.path("directory.ldif"), self.node.path("gone"))  # then the shadow is all there is
        for line, text in ((3, bob + "delete: objectClass\nobjectClass: phMailUser\n"),
                           (4, f"dn: uid=stranger,{PEOPLE}\nchangetype: modify\nadd: objectClass\nobjectClass: phMailUser\n")):
            got, rows, err = self.diff(text)
            self.assertEqual((got, rows), (75, {}))
            self.assertRegex(err, f"change.ldif:{line}: .*; the directory itself cannot be asked: .*No such file")
        got, rows, err = self.diff(f"dn: uid=bbo,{PEOPLE}\nchangetype: modify\nreplace: phStatus\nphStatus: disabled\n")
        self.assertEqual((got, rows), (0, {}))
        self.assertIn("change.ldif:3: phStatus is of an entry that the shadow does not know", err)
        self.assertEqual(self.posthouse("directory", "diff")[0], 2)
        self.assertEqual(self.posthouse("directory", "diff", self.node.path("no-such-file"))[0], 2)
        os.rename(self.node.path("data", "shadow", "shadow.db"), self.node.path("data", "shadow", "gone"))
        self.assertEqual(self.diff(bob + "replace: mailHost\nmailHost: mb2.uni.example\n")[0], 75)
        os.rename(self.node.path("data", "shadow", "gone"), self.node.path("data", "shadow", "shadow.db"))


if __name__ == "__main__":
    unittest.main()
