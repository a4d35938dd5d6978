# SPDX-License-Identifier: Apache-2.0
"""Lists as their members, owners and strangers meet them: who may post, whose name the copies carry, where reports go, how many copies."""
import re
import unittest

from nexthop import RelayNodeTest
from node import message

MANY = 4500


def group_ldif(name, kind, lines):
    return f"dn: cn={name},ou=lists,dc=uni,dc=example\nobjectClass: {kind}\ncn: {name}\nmail: {name}@uni.example\n{lines}\n"


LISTS = (
    group_ldif("news", "phMailGroup\nobjectClass: phMailList",
               "member: uid=ann,ou=people,dc=uni,dc=example\nmember: uid=bob,ou=people,dc=uni,dc=example\n"
               "rfc822MailMember: gone@out.example\nphListOwnerAddress: eve@uni.example\n")
    + group_ldif("club", "phMailGroup\nobjectClass: phMailList",
                 "member: uid=ann,ou=people,dc=uni,dc=example\nphListPostPolicy: members\nowner: uid=eve,ou=people,dc=uni,dc=example\n")
    + group_ldif("board", "phMailGroup\nobjectClass: phMailList",
                 "member: uid=ann,ou=people,dc=uni,dc=example\nphListPostPolicy: moderated\n"
                 "phListModerator: uid=bob,ou=people,dc=uni,dc=example\n")
    + group_ldif("umbrella", "phMailGroup\nobjectClass: phMailList",
                 "member: cn=club,ou=lists,dc=uni,dc=example\nmember: cn=child,ou=lists,dc=uni,dc=example\n"
                 "member: cn=board,ou=lists,dc=uni,dc=example\nowner: uid=eve,ou=people,dc=uni,dc=example\n")
    + group_ldif("child", "phMailGroup\nobjectClass: phMailList",
                 "rfc822MailMember: child@out.example\nphListPostPolicy: listed\n"
                 "phListAllowedSenderDN: cn=umbrella,ou=lists,dc=uni,dc=example\n")
    + group_ldif("deadmod", "phMailGroup\nobjectClass: phMailList",
                 "member: uid=ann,ou=people,dc=uni,dc=example\nphListPostPolicy: moderated\nphListModeratorAddress: nobody@uni.example\n")
    + group_ldif("outmod", "phMailGroup\nobjectClass: phMailList",
                 "member: uid=ann,ou=people,dc=uni,dc=example\nphListPostPolicy: moderated\nphListModeratorAddress: deadmod@out.example\n"
                 "owner: uid=eve,ou=people,dc=uni,dc=example\n")
    + group_ldif("small", "phMailGroup\nobjectClass: phMailList",
                 "member: uid=ann,ou=people,dc=uni,dc=example\nphMaxMessageBytes: 5000\n")
    + group_ldif("all", "phMailGroup\nobjectClass: phMailList",
                 "memberURL: ldap:///ou=people,dc=uni,dc=example??one?(&(objectClass=phMailUser)(uid=*b*))\n")
    + group_ldif("odd", "phMailGroup\nobjectClass: phMailList", "memberURL: ldap:///ou=people,dc=uni,dc=example??sub?(ou=x)\n")
    + group_ldif("empty", "phMailGroup\nobjectClass: phMailList", "")
    + group_ldif("nobody", "phMailGroup\nobjectClass: phMailList", "memberURL: ldap:///ou=people,dc=uni,dc=example??sub?(mail=*@nowhere.example)\n")
    + group_ldif("hollow", "phMailGroup\nobjectClass: phMailList", "member: cn=empty,ou=lists,dc=uni,dc=example\n")
    + group_ldif("ghosts", "phMailGroup\nobjectClass: phMailList", "member: uid=gone,ou=people,dc=uni,dc=example\n")
    + group_ldif("half", "phMailGroup\nobjectClass: phMailList",
                 "member: cn=hollow,ou=lists,dc=uni,dc=example\nmember: uid=ann,ou=people,dc=uni,dc=example\n")
    + group_ldif("many", "phMailGroup\nobjectClass: phMailList",
                 "".join(f"rfc822MailMember: m{i}@out.example\n" for i in range(MANY)) + "phListErrorsTo: eve@uni.example\n")
    + group_ldif("crowd", "phMailGroup",
                 "".join(f"rfc822MailMember: c{i}@out.example\n" for i in range(1500))))


class Lists(RelayNodeTest):
    ldif = LISTS

    def post(self, subject, *to, sender="ann@uni.example"):
        with self.node.smtp() as smtp:
            smtp.sendmail(sender, list(to), message(subject, to=to[0]))

    def refusal(self, to, sender):
        with self.node.smtp() as smtp:
            smtp.ehlo()
            smtp.mail(sender)
            code, text = smtp.rcpt(to)
            return code, text.decode()

    def found(self, login, subject):
        return [m for m in self.node.messages(login) if f"Subject: {subject}".encode() in m]

    def wait_found(self, login, subject, n=1):
        return self.node.wait(lambda: (got := self.found(login, subject)) and len(got) == n and got, f"{n} copies of {subject} at {login}")

    def test_copies_carry_the_owner_and_reports_reach_him(self):
        self.hop.refused["gone@out.example"] = "550 5.1.1 no such user"
        self.post("to news", "news@uni.example")
        for login in ("ann", "bob"):
            self.assertIn(b"Return-Path: <owner-news@uni.example>", self.wait_found(login, "to news")[0])
        self.node.wait(lambda: [m for m in self.node.messages("eve") if b"multipart/report" in m and b"gone@out.example" in m],
                       "a report to the owner")
        self.assertFalse([m for m in self.node.messages("ann") if b"multipart/report" in m])
        self.node.wait_queue_empty()

    def test_who_may_post(self):
        code, text = self.refusal("club@uni.example", "bob@uni.example")
        self.assertEqual((code, text.split()[0]), (550, "5.7.2"))
        self.assertEqual(self.refusal("club@uni.example", "<>")[0], 550)
        self.assertEqual(self.refusal("club@uni.example", "ann@uni.example")[0], 250)
        why = self.node.run("why", "--json", "--from", "bob@uni.example", "club@uni.example", check=1)
        self.assertIn('"may not post"', why.stdout)
        self.assertIn("phListPostPolicy", why.stdout)
        self.post("only for us", "club@uni.example")
        self.wait_found("ann", "only for us")

    def test_a_moderator_sees_it_first(self):
        self.post("please", "board@uni.example", sender="eve@uni.example")
        copy = self.wait_found("bob", "please")[0]
        self.assertIn(b"Return-Path: <owner-board@uni.example>", copy)  # a report about it is not eve's
        self.assertIn(b"From: <ann@uni.example>", copy)
        self.assertFalse(self.found("ann", "please"))
        self.post("approved", "board@uni.example", sender="bob@uni.example")
        self.assertIn(b"Return-Path: <owner-board@uni.example>", self.wait_found("ann", "approved")[0])

    def test_no_moderator(self):
        self.assertEqual(self.refusal("deadmod@uni.example", "eve@uni.example")[0], 451)
        self.assertIn("moderators can be reached in no way", self.node.run("why", "deadmod@uni.example", "--from", "eve@uni.example").stdout
                      + self.node.run("why", "--from", "eve@uni.example", "deadmod@uni.example").stdout)
        # One who is known only at his own server: who runs the list hears of it, who wrote the message does not.
        self.hop.refused["deadmod@out.example"] = "550 5.1.1 no such user"
        before = len(self.node.messages("bob"))
        self.post("dead end", "outmod@uni.example", sender="bob@uni.example")
        self.node.wait(lambda: [m for m in self.node.messages("eve") if b"multipart/report" in m and b"deadmod@out.example" in m],
                       "a report to the owner")
        self.node.wait_queue_empty()
        self.assertEqual(len(self.node.messages("bob")), before)
        self.assertFalse(self.found("ann", "dead end"))

    def test_a_list_in_a_list_asks_for_itself(self):
        self.post("from outside", "umbrella@uni.example", sender="stranger@out.example")
        self.wait_found("bob", "from outside")  # moderates the board
        self.node.wait(lambda: self.received("from outside") == ["child@out.example"], "the copy of the list that names this one")
        report, = self.node.wait(lambda: [m for m in self.node.messages("eve") if b"multipart/report" in m and b"club@uni.example" in m],
                                 "a report to the owner")
        self.assertIn(b"550 5.7.2", report)
        self.node.wait_queue_empty()
        self.assertFalse(self.found("ann", "from outside"))
        self.assertEqual(self.refusal("child@uni.example", "stranger@out.example")[0], 550)
        self.post("from a member", "umbrella@uni.example", sender="ann@uni.example")
        self.wait_found("ann", "from a member")  # of the club
        why = self.node.run("why", "--from", "stranger@out.example", "umbrella@uni.example").stdout
        self.assertIn('may not post because of this: phListPostPolicy members, in the entry "cn=club,', why)
        self.assertIn('may post because of this: phListAllowedSenderDN "cn=umbrella,', why)

    def test_size_of_a_list(self):
        with self.node.smtp() as smtp:
            smtp.ehlo()
            smtp.docmd("MAIL", "FROM:<eve@uni.example> SIZE=5001")
            code, text = smtp.rcpt("small@uni.example")
            self.assertEqual((code, text.split()[0]), (552, b"5.2.3"))
            self.assertEqual(smtp.rcpt("ann@uni.example")[0], 250)
            smtp.rset()
            smtp.mail("eve@uni.example")  # says nothing of its size
            self.assertEqual(smtp.rcpt("small@uni.example")[0], 250)
            code, text = smtp.data(message("large", body="x" * 60 + "\r\n" + ("y" * 60 + "\r\n") * 200))
            self.assertEqual((code, text.split()[0]), (552, b"5.2.3"))
        self.assertIn("phMaxMessageBytes 5000", self.node.run("why", "small@uni.example").stdout)
        # With others, who get it: the sender is told who did not.
        with self.node.smtp() as smtp:
            smtp.ehlo()
            smtp.mail("eve@uni.example")
            for to in ("small@uni.example", "bob@uni.example"):
                self.assertEqual(smtp.rcpt(to)[0], 250)
            self.assertEqual(smtp.data(message("large two", body="x" * 60 + "\r\n" + ("y" * 60 + "\r\n") * 200))[0], 250)
        self.wait_found("bob", "large two")
        report, = self.node.wait(lambda: [m for m in self.node.messages("eve") if b"multipart/report" in m and b"small@uni.example" in m],
                                 "a report to the sender")
        self.assertIn(b"552 5.2.3", report)

    def test_members_by_url(self):
        self.post("to all", "all@uni.example")
        self.assertIn(b"Return-Path: <owner-all@uni.example>", self.wait_found("bob", "to all")[0])
        self.node.wait_queue_empty()
        self.assertFalse(self.found("ann", "to all"))
        # What the shadow cannot answer waits at the client, with the reason, and is nobody's bounce.
        code, text = self.refusal("odd@uni.example", "ann@uni.example")
        self.assertEqual((code, text.split()[0]), (451, "4.3.0"))
        self.assertIn("asks for an attribute", self.node.run("why", "odd@uni.example").stdout)

    def test_a_list_without_anybody_is_refused_at_once(self):
        for name, status in (("empty", "5.2.4"), ("nobody", "5.2.4"), ("hollow", "5.2.4"), ("ghosts", "5.2.4")):
            code, text = self.refusal(f"{name}@uni.example", "ann@uni.example")
            self.assertEqual((code, text.split()[0]), (550, status), name)
            self.assertIn(f"550 {status}", self.node.run("why", f"{name}@uni.example", check=1).stdout)
        self.assertEqual(self.refusal("half@uni.example", "ann@uni.example")[0], 250)
        self.assertIn("names nobody", self.node.run("why", "empty@uni.example", check=1).stdout)

    def test_owner_and_request(self):
        for address in ("owner-news@uni.example", "news-request@uni.example", "owner-club@uni.example"):
            why = self.node.why(address)
            self.assertEqual([t["address"] for t in why["targets"]], ["eve@uni.example"], address)

    def received(self, subject):
        return sorted(r for got in self.hop.with_subject(subject) for r in got.recipients)

    def senders(self, subject):
        return {got.sender for got in self.hop.with_subject(subject)}

    def test_one_copy_each_of_a_large_list(self):
        self.post("to many", "many@uni.example")
        self.node.wait(lambda: len(self.received("to many")) >= MANY, f"{MANY} copies")
        self.node.wait_queue_empty()
        self.assertEqual(self.received("to many"), sorted(f"m{i}@out.example" for i in range(MANY)))
        self.assertEqual(self.senders("to many"), {"eve@uni.example"})
        self.node.run("queue", "stats", check=0)  # the ledger adds up

    def test_a_large_group_keeps_the_sender(self):
        self.post("to crowd", "crowd@uni.example")
        self.node.wait(lambda: len(self.received("to crowd")) >= 1500, "1500 copies")
        self.node.wait_queue_empty()
        self.assertEqual(self.received("to crowd"), sorted(f"c{i}@out.example" for i in range(1500)))
        self.assertEqual(self.senders("to crowd"), {"ann@uni.example"})

    def test_a_body_in_a_file_goes_along(self):
        body = "".join(f"line {i} of a long message\r\n" for i in range(8000))
        with self.node.smtp() as smtp:
            smtp.sendmail("ann@uni.example", ["news@uni.example", "bob@uni.example"], message("long one", body=body, to="news@uni.example"))
        copies = self.wait_found("bob", "long one", n=2)  # his own and the list's
        self.assertTrue(all(b"line 7999 of" in copy for copy in copies))
        self.assertEqual(sorted(re.search(rb"Return-Path: <(.*?)>", copy)[1] for copy in copies), [b"ann@uni.example", b"owner-news@uni.example"])


if __name__ == "__main__":
    unittest.main()
