# SPDX-License-Identifier: Apache-2.0
"""The header of a list's copies, as its readers, the people whom they answer and the servers of members outside see it."""
import email
import email.policy
import os
import unittest

from nexthop import RelayNodeTest

MANY = 2500


def list_ldif(name, lines, kind="phMailGroup\nobjectClass: phMailList"):
    return f"dn: cn={name},ou=lists,dc=uni,dc=example\nobjectClass: {kind}\ncn: {name}\nmail: {name}@uni.example\n{lines}\n"


ANN = "member: uid=ann,ou=people,dc=uni,dc=example\n"
BOB = "member: uid=bob,ou=people,dc=uni,dc=example\n"
EVE = "owner: uid=eve,ou=people,dc=uni,dc=example\n"
LISTS = (
    list_ldif("course", ANN + BOB + EVE + "rfc822MailMember: out@out.example\ndisplayName: A course, with commas\n"
              "phListReplyTo: list\nphListSubjectTag: [course]\n")
    + list_ldif("umlaut", ANN + "phListSubjectTag:: W8O8YnVuZ10=\nphListReplyTo: desk@uni.example\n")
    + list_ldif("typo", ANN + "phListReplyTo: poster\n")
    + list_ldif("board", ANN + "phListPostPolicy: moderated\nphListModerator: uid=bob,ou=people,dc=uni,dc=example\n" + EVE)
    + list_ldif("outer", "member: cn=typo,ou=lists,dc=uni,dc=example\n" + BOB)
    + list_ldif("group", ANN + EVE, kind="phMailGroup")
    + list_ldif("many", ANN + EVE + "".join(f"rfc822MailMember: m{i}@out.example\n" for i in range(MANY)))
)


class ListHeader(RelayNodeTest):
    ldif = LISTS

    def post(self, text, *to, sender="ann@uni.example", **options):
        with self.node.smtp() as smtp:
            smtp.sendmail(sender, list(to), text, **options)

    def copy(self, login, mark, n=1):
        """The n copies whose Message-ID has the mark."""
        def found():
            got = [m for m in self.node.messages(login) if f"Message-ID: <{mark}@".encode() in m]
            return len(got) == n and got
        return [email.message_from_bytes(m, policy=email.policy.default) for m in self.node.wait(found, f"{n} copies of {mark} at {login}")]

    def sent(self, mark, header="", subject="hello", body="text\r\n"):
        return (f"From: Ann <ann@uni.example>\r\nTo: course@uni.example\r\nSubject: {subject}\r\nMessage-ID: <{mark}@uni.example>\r\n{header}"
                f"\r\n{body}").encode()

    def test_the_fields_of_a_copy(self):
        self.post(self.sent("fields"), "course@uni.example")
        m, = self.copy("ann", "fields")
        self.assertEqual(m["List-Id"], '"A course, with commas" <course.uni.example>')
        self.assertEqual(m["List-Post"], "<mailto:course@uni.example>")
        self.assertEqual(m["List-Owner"], "<mailto:owner-course@uni.example>")
        self.assertEqual(m["List-Help"], "<mailto:course-request@uni.example?subject=help>")
        self.assertEqual(m["List-Unsubscribe"], "<mailto:course-request@uni.example?subject=unsubscribe>")
        self.assertEqual((m["Precedence"], m["Reply-To"], m["Subject"]), ("list", "course@uni.example", "[course] hello"))
        self.assertEqual((m["From"], m["To"]), ("Ann <ann@uni.example>", "course@uni.example"))
        self.assertEqual(m.get_content(), "text\r\n")
        # What the fields name is there.
        for address in ("owner-course@uni.example", "course-request@uni.example"):
            self.assertEqual([t["address"] for t in self.node.why(address)["targets"]], ["eve@uni.example"])
        # An answer to the list, by somebody whose client keeps the subject.
        self.post(self.sent("answer", "Reply-To: Bob <bob@home.example>\r\n", subject="Re: [course] hello"), "course@uni.example")
        m, = self.copy("bob", "answer")
        self.assertEqual(m["Subject"], "Re: [course] hello")
        self.assertEqual(m["Reply-To"], "course@uni.example, Bob <bob@home.example>")

    def test_only_the_list_copies_are_changed(self):
        self.post(self.sent("both"), "course@uni.example", "bob@uni.example")
        copies = self.copy("bob", "both", n=2)
        self.assertEqual(sorted(str(m["Subject"]) for m in copies), ["[course] hello", "hello"])
        own, = [m for m in copies if m["List-Id"] is None]
        self.assertIsNone(own["Reply-To"])

    def test_a_message_that_is_signed(self):
        """Without a tag and a Reply-To what was sent stands below our fields, each octet."""
        text = self.sent("signed", "DKIM-Signature: v=1; h=from:subject:list-id;\r\n\tb=abc\r\nX-Odd:  two  spaces \r\n")
        self.post(text, "typo@uni.example")
        self.copy("ann", "signed")
        raw, = [m for m in self.node.messages("ann") if b"<signed@" in m]
        self.assertTrue(raw.endswith(b"\r\n" + text), raw)
        self.assertLess(raw.index(b"List-Id:"), raw.index(b"Received:"))

    def test_fields_of_another_list(self):
        self.post(self.sent("foreign", "List-Id: Other <o.example>\r\nList-Unsubscribe: <mailto:x@o.example>\r\n"
                            "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nPrecedence: bulk\r\n"), "typo@uni.example")
        m, = self.copy("ann", "foreign")
        self.assertEqual(m.get_all("List-Id"), ["<typo.uni.example>"])
        self.assertEqual(m.get_all("List-Unsubscribe"), ["<mailto:typo-request@uni.example?subject=unsubscribe>"])
        self.assertEqual((m.get_all("List-Unsubscribe-Post"), m.get_all("Precedence")), (None, ["bulk"]))

    def test_subjects_that_are_not_ascii(self):
        self.post(self.sent("encoded", subject="=?iso-8859-1?q?sch=F6n?="), "umlaut@uni.example")
        m, = self.copy("ann", "encoded")
        self.assertEqual((m["Subject"], m["Reply-To"]), ("[\u00fcbung] sch\u00f6n", "desk@uni.example"))
        self.post(self.sent("there", subject="=?utf-8?b?UmU6IFvDvGJ1bmddIHNjaMO2bg==?="), "umlaut@uni.example")
        m, = self.copy("ann", "there")
        self.assertEqual(m["Subject"], "Re: [\u00fcbung] sch\u00f6n")
        with self.node.smtp() as smtp:
            smtp.ehlo()
            smtp.sendmail("ann@uni.example", ["umlaut@uni.example"],
                          self.sent("raw", subject="sch\u00f6n").decode().encode("utf-8"), mail_options=["SMTPUTF8", "BODY=8BITMIME"])
        self.copy("ann", "raw")
        raw, = [m for m in self.node.messages("ann") if b"<raw@" in m]
        self.assertIn("Subject: =?utf-8?b?W8O8YnVuZ10=?= sch\u00f6n\r\n".encode(), raw)

    def test_what_comes_back_is_stopped(self):
        """A member outside who sends his copies to the list again; the list's owner hears of it, the other members do not."""
        self.post(self.sent("loop"), "course@uni.example")
        self.copy("bob", "loop")
        copy = self.node.wait(lambda: [got for got in self.hop.got if b"<loop@" in got.data], "the copy outside")[0].data
        self.post(copy, "course@uni.example", sender="out@out.example")
        queued = self.node.wait(lambda: [got for got in self.hop.got if b"multipart/report" in got.data], "a report to who sent it")
        self.assertIn(b"550 5.4.6", queued[-1].data)
        self.assertEqual(queued[-1].recipients, ["out@out.example"])
        self.node.wait_queue_empty()
        self.assertEqual(len(self.copy("bob", "loop")), 1)
        # By way of another list, which put its own List-Id there: Delivered-To is left.
        other = b"".join(line for line in copy.splitlines(True) if not line.startswith(b"List-"))
        self.post(b"List-Id: <other.example>\r\n" + other, "course@uni.example", sender="owner-course@uni.example")
        self.node.wait(lambda: [m for m in self.node.messages("eve") if b"multipart/report" in m and b"550 5.4.6" in m], "the owner's report")
        self.node.wait_queue_empty()
        self.assertEqual(len(self.copy("bob", "loop")), 1)

    def test_moderators_see_what_was_sent(self):
        self.post(self.sent("first"), "board@uni.example", sender="eve@uni.example")
        m, = self.copy("bob", "first")
        self.assertEqual((m["List-Id"], m["Precedence"]), (None, None))
        raw, = [m for m in self.node.messages("bob") if b"<first@" in m]
        self.post(raw[raw.index(b"From:"):], "board@uni.example", sender="bob@uni.example")  # sent on as it is
        m, = self.copy("ann", "first")
        self.assertEqual(m["List-Id"], "<board.uni.example>")
        # Once more, and it would go round.
        raw, = [m for m in self.node.messages("ann") if b"<first@" in m]
        self.post(raw, "board@uni.example", sender="eve@uni.example")
        self.node.wait(lambda: [m for m in self.node.messages("eve") if b"multipart/report" in m and b"board@uni.example" in m], "a report")
        self.assertEqual(len(self.copy("bob", "first")), 1)

    def test_lists_in_lists_and_groups(self):
        self.post(self.sent("nested"), "outer@uni.example")
        m, = self.copy("ann", "nested")  # a member of the inner one
        self.assertEqual((m.get_all("List-Id"), m["Return-Path"]), (["<outer.uni.example>"], "<owner-outer@uni.example>"))
        self.post(self.sent("grouped"), "group@uni.example")
        m, = self.copy("ann", "grouped")
        self.assertEqual((m["List-Id"], m["Return-Path"]), (None, "<owner-group@uni.example>"))

    def test_one_body_for_all_members(self):
        """3 MB to 2,501 members: one file of the list's beside the one that was sent, however many rows there are."""
        body = ("x" * 70 + "\r\n") * 42000
        spool = self.node.path("data", "queue", "spool")
        sizes = set()
        self.post(self.sent("large", body=body), "many@uni.example")

        def arrived():
            for name in os.listdir(spool):
                try:
                    sizes.add((name, os.stat(os.path.join(spool, name)).st_size))
                except FileNotFoundError:
                    pass
            return len([m for m in self.node.messages("ann") if b"<large@" in m]) == 1
        self.node.wait(arrived, "the copy")
        m, = self.copy("ann", "large")
        self.assertEqual((m["List-Id"], len(m.get_content())), ("<many.uni.example>", 72 * 42000))
        self.assertLessEqual(len({name for name, _ in sizes}), 2, sizes)

    def test_why_and_check(self):
        why = self.node.run("why", "course@uni.example").stdout
        self.assertIn('its copies carry this in their header: "List-Post: <mailto:course@uni.example>"', why)
        self.assertIn('answers to its copies go there: phListReplyTo list', why)
        self.assertIn('its copies have this before their subject: phListSubjectTag [course]', why)
        self.assertIn("phListReplyTo poster, which is none of sender, list, an address", self.node.run("why", "typo@uni.example").stdout)
        checked = self.node.run("check")
        self.assertRegex(checked.stdout + checked.stderr, r"phListReplyTo.*is none of sender, list, an address")


if __name__ == "__main__":
    unittest.main()
