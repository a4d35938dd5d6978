# SPDX-License-Identifier: Apache-2.0
"""Addresses that mean something to somebody else: routes, shells, paths, look-alikes. One test for each row of the threats; from
strangers on 25 nothing of it leaves the node, and from users on 587 it leaves as it was written or not at all."""
import unittest

from node import user_ldif
from threat import PASSWORD, ThreatTest, b64

IDN = ("dn: associatedDomain=xn--bcher-kva.example,ou=domains,dc=uni,dc=example\nobjectClass: phMailDomain\n"
       "associatedDomain: xn--bcher-kva.example\nphDomainType: local\n\n")
RELAY = ("dn: associatedDomain=relay.example,ou=domains,dc=uni,dc=example\nobjectClass: phMailDomain\nassociatedDomain: relay.example\n"
         "phDomainType: relay\n\n")


class Address(ThreatTest):
    users = ("ann", "bob")
    ldif = (IDN + RELAY + user_ldif("karl", domain="xn--bcher-kva.example") +
            user_ldif("joerg", extra="phIntlAddress:: asO2cmdAdW5pLmV4YW1wbGU="))  # jörg@uni.example
    logins = {"karl": "karl@xn--bcher-kva.example", "joerg": "joerg"}

    def as_written(self, *addresses):
        """What is another's to judge leaves, from a user, with the local part that it came with."""
        self.accepted(*addresses, session=self.user)
        self.leaves += addresses

    def test_pct(self):
        ours = ("u%evil.example@uni.example", "ann%evil.example@uni.example", '"ann%evil.example"@uni.example', "ann%uni.example@uni.example",
                "u%evil.example%uni.example@uni.example", "%@uni.example", "ann%@uni.example", "%evil.example@uni.example",
                "@uni.example:u%evil.example@uni.example", "u%evil.example", "u%evil.example@", "u%40evil.example@uni.example")
        theirs = ("u%uni.example@evil.example", '"u%other.example x"@evil.example', "ann%@evil.example", "u+x%other.example@evil.example")
        self.refused(*ours, *theirs, "u%evil.example@relay.example", '"u%evil.example"@relay.example', "u+x%evil.example@relay.example")
        self.refused("u\uff05evil.example@uni.example", "ann\ufe6aevil.example@uni.example", utf8=True)
        self.refused(*ours, "u%evil.example@relay.example", session=self.user)
        self.as_written(*theirs)
        self.accepted("ann+u%evil.example@uni.example")  # a detail is a word, whatever it looks like
        self.arrives["ann"] += 1

    def test_bang(self):
        ours = ("evil.example!u@uni.example", "uni.example!ann@uni.example", "uni.example!evil.example!u@uni.example", "!@uni.example",
                '"evil.example!u"@uni.example', "evil.example!u", "evil.example!u%uni.example@uni.example", "ann!@uni.example",
                "u@uni.example!evil.example", "@uni.example:evil.example!u@uni.example", "!ann@uni.example")
        theirs = ("other.example!u@evil.example", "uni.example!ann@evil.example", "a!b!c!d@evil.example")
        self.refused(*ours, *theirs, "evil.example!u@relay.example", '"evil.example!u"@relay.example')
        self.refused("evil.example\uff01u@uni.example", utf8=True)
        self.refused(*ours, "evil.example!u@relay.example", session=self.user)
        self.as_written(*theirs)
        self.accepted("ann+evil.example!u@uni.example")
        self.arrives["ann"] += 1

    def test_srcroute(self):
        malformed = ("@uni.example", "@uni.example:", "@:ann@uni.example", "@uni.example,:ann@uni.example", "@uni.example,ann@uni.example",
                     "@uni.example;ann@uni.example", "@uni.example:@evil.example:u@evil.example", "@uni.example:ann", "@uni.example:postmaster",
                     "@uni.example @evil.example:ann@uni.example", "@@uni.example:ann@uni.example", "uni.example:ann@uni.example",
                     "@uni..example:ann@uni.example", "@-.example:ann@uni.example", "@[300.0.0.1]:ann@uni.example",
                     "," .join("@" + "a" * 60 + f".h{n}.example" for n in range(40)) + ":ann@uni.example", "@uni.example:\"\"@uni.example")
        self.refused("@uni.example:u@evil.example", "@uni.example,@evil.example:u@evil.example", "@evil.example:u@evil.example",
                     "@evil.example:nobody@uni.example", "@uni.example:u%evil.example@uni.example", *malformed)
        self.refused(*malformed, session=self.user)
        self.accepted("@a.example,@b.example:ann@uni.example", "@uni.example:ann@uni.example", "@evil.example:ann@UNI.example")
        self.arrives["ann"] += 1  # one person, one copy
        self.accepted("@uni.example,@a.example:u@evil.example", session=self.user)
        self.leaves.append("u@evil.example")

    def test_srcroute_of_a_sender(self):
        """A route before the sender is dropped too: it authorises nobody."""
        with self.secure() as wire:
            self.assertEqual(wire.say("AUTH PLAIN " + b64(f"\0ann\0{PASSWORD}")), 235)
            for sender in ("@uni.example:bob@uni.example", "@ann@uni.example:bob@uni.example", "@evil.example:x@evil.example"):
                self.assertIn(wire.say(f"MAIL FROM:<{sender}>"), (501, 553), sender)
            self.assertEqual(wire.say("MAIL FROM:<@evil.example:ann@uni.example>"), 250)

    def test_double_at(self):
        ours = ("u@evil.example@uni.example", "ann@uni.example@evil.example", "ann@uni.example@uni.example", "ann@@uni.example",
                "@ann@uni.example", "ann@uni.example@", "ann@", "@", "@@", '"u@evil.example"@uni.example', '"ann@uni.example"@uni.example',
                '"ann"@uni.example@evil.example', "ann\\@uni.example@uni.example", "ann@uni.example>@evil.example",
                "ann@uni.example,u@evil.example", "ann@uni.example u@evil.example", "ann@uni.example> <u@evil.example",
                "ann(@evil.example)@uni.example", "ann@(u@evil.example)uni.example")
        self.refused(*ours, '"ann@uni.example"@evil.example', '"u@evil.example"@relay.example', '"u\\@evil.example"@relay.example')
        self.refused("u\uff20evil.example@uni.example", "ann\uff20uni.example", "ann@uni.example\uff20evil.example", "u\ufe6bevil.example@uni.example",
                     "ann@evil.example\uff20uni.example", utf8=True)
        self.refused(*ours, '"u@evil.example"@relay.example', session=self.user)
        self.as_written('"ann@uni.example"@evil.example')

    def test_empty_lp(self):
        addresses = ('""@uni.example', '"" @uni.example', '""', '"""@uni.example', '"@uni.example', '"\\"@uni.example', '" "@uni.example',
                     '"\\ "@uni.example', '"".ann@uni.example', 'ann.""@uni.example', '""+ann@uni.example', '""ann@uni.example', '"+x"@uni.example',
                     "+x@uni.example", "+@uni.example", "", " ", ".@uni.example", "..@uni.example", ".ann@uni.example", "ann.@uni.example",
                     "an..n@uni.example")
        self.refused(*addresses)
        self.refused(*addresses, session=self.user)
        self.refused("\u00ad@uni.example", "\u200b@uni.example", "\u3000@uni.example", "\u2060@uni.example", utf8=True)
        with self.stranger() as wire:  # as a sender an empty local part is nobody, and is not the null sender
            wire.say("RSET")
            self.assertIn(wire.say('MAIL FROM:<""@uni.example>'), (250, 501))
            self.assertEqual(wire.say("NOOP"), 250)

    def test_shell_lp(self):
        words = (";id;", "|id", '"|id"', '"| /bin/sh -c id"', "$(id)", "`id`", "${IFS}id", "../x", "../../../../etc/passwd", "/etc/passwd",
                 '"/etc/passwd"', '"../x"', "~root", ":include:/etc/passwd", '":include:/etc/passwd"', "&id&", ">x", '">x"', "<x", "x\\;id",
                 "-froot", "--help", "-oQ/tmp", "*", "?", "[a-z]nn", "ann)(uid=*", "ann\\2a", "%s%n%x", "${run{id}}", "%{home}", '"ann\\\\"',
                 "'; DROP TABLE message; --", '"ann\' OR 1=1 --"', "ann\t", "{a,n,n}", "ann#", '"#{id}"', "con", "nul", ".", "..")
        addresses = [word + "@uni.example" for word in words] + ["ann@uni.example;id", "ann@$(id).example", "ann@../x", "ann@uni.example/../x",
                                                                 "ann@|id", "ann@uni.example\\", "ann@uni.example,dc=evil", "ann@uni_example'"]
        self.refused(*addresses)
        self.refused(*addresses, session=self.user)
        self.as_written("-froot@evil.example", "|id@evil.example")

    def test_literal_ip(self):
        addresses = ("ann@[127.0.0.1]", "ann@[IPv6:::1]", "ann@[ipv6:::1]", "ann@[IPv6:::ffff:127.0.0.1]", f"ann@[{self.node.address}]",
                     "postmaster@[127.0.0.1]", "ann@[]", "ann@[", "ann@]", "ann@[127.0.0.1", "ann@127.0.0.1]", "ann@127.0.0.1", "ann@2130706433",
                     "ann@[2130706433]", "ann@[127.1]", "ann@[0x7f.0.0.1]", "ann@[0177.0.0.1]", "ann@[::1]", "ann@[IPv6:]", "ann@[IPv6:::1%lo]",
                     "ann@[IPv6:1:2:3:4:5:6:7:8:9]", "ann@[x-tag:abc]", "ann@[uni.example]", "ann@[127.0.0.1].uni.example", "ann@x[127.0.0.1]",
                     "ann@[[127.0.0.1]]", "ann@[127.0.0.1]:25", "ann@[127.0.0.1]@uni.example", "ann@[127.0.0.1\\]", "@[127.0.0.1]:u@[10.0.0.1]",
                     "ann@#2130706433", "ann@127.0.0.1.")
        self.refused(*addresses)
        self.refused(*addresses, session=self.user)
        self.refused("ann@[\uff11\uff12\uff17.0.0.1]", "ann@\uff11\uff12\uff17.0.0.1", "ann@127\u30020.0.1", "ann@\u2460\u2461\u2466.0.0.1", utf8=True)

    def test_encword_lp(self):
        addresses = ("=?utf-8?q?ann?=@uni.example", "=?utf-8?b?YW5u?=@uni.example", "=?utf-8?q?ann=40uni.example?=@uni.example",
                     "=?utf-8?q?u=40evil.example=3e=00?=foo@uni.example", "=?iso-8859-1?q?=61=6e=6e?=@uni.example", '"=?utf-8?q?ann?="@uni.example',
                     "=?utf-7?q?ann+AEA-evil.example?=@uni.example", "=?x?q?ann?=@uni.example", "ann=@uni.example", "=61nn@uni.example",
                     "ann@=?utf-8?q?uni.example?=", "ann@=?utf-8?q?uni?=.example", "ann=?utf-8?q?=0d=0a?=@uni.example", "ann&AEA-@uni.example",
                     "&#97;nn@uni.example", "%61nn@uni.example", "\\u0061nn@uni.example", "+AGEAbgBu-@uni.example", "xn--ann@uni.example")
        self.refused(*addresses)
        self.refused(*addresses, session=self.user)
        self.as_written("=?utf-8?q?u=40other.example?=@evil.example")

    def test_idn_case(self):
        """One identity in all spellings: one message to all of them is one copy."""
        self.accepted("ann@uni.example", "ANN@UNI.Example", "ann@uni.example.", '"ann"@uni.example', '"a\\nn"@uni.example')
        self.arrives["ann"] += 1
        self.accepted("ann@ｕｎｉ.example", "ann@uni。example", "Ann@UNI．EXAMPLE", "ann@uni｡example", utf8=True)
        self.arrives["ann"] += 1
        self.accepted("karl@xn--bcher-kva.example", "KARL@XN--BCHER-KVA.EXAMPLE", "karl@xn--bcher-kva.example.", "karl@bücher.example",
                      "karl@BÜCHER.EXAMPLE", "karl@bu\u0308cher.example", "karl@bücher。example", "karl@ｂｕ\u0308cher.example.", utf8=True)
        self.arrives["karl"] += 1
        self.accepted("jörg@uni.example", "JÖRG@uni.example", "jo\u0308rg@uni.example", '"jörg"@uni.example', "joerg@uni.example", utf8=True)
        self.arrives["joerg"] += 1

    def test_idn_case_of_others(self):
        """No second identity for what only looks like one."""
        self.refused("ａnn@uni.example", "\u200bann@uni.example", "ann\u200b@uni.example", "аnn@uni.example", "ann@unі.example", "ann@xn--uni-.example",
                     "karl@bucher.example", "karl@xn--bcher-kvb.example", "karl@xn--bcher.example", "ann@xn--uni.example", "ann@uni.example..", "ann@.uni.example",
                     "ann@uni..example", "ann@uni。。example", "ann@uni.example\u0301", "ann@\u202euni.example", "jorg@uni.example", "j\u00f6rg\u0301@uni.example",
                     "karl@xn--BCHER-kva..example", "ann@" + "ü" * 70 + ".example", "ann@" + "ü." * 130 + "example", "ann@xn--" + "9" * 60 + ".example", utf8=True)
        # Without SMTPUTF8 there are no other letters (RFC 6531 section 3.4).
        self.refused("ann@ｕｎｉ.example", "karl@bücher.example", "jörg@uni.example", codes=(501, 550, 553))
        with self.stranger(utf8=True) as wire:
            for raw in (b"ann@uni.exampl\xe9", b"\xffann@uni.example", b"ann\xc0\xae@uni.example", b"ann@uni\xed\xa0\x80.example", b"j\xc3@uni.example"):
                wire.send(b"RCPT TO:<" + raw + b">\r\n")
                self.assertIn(wire.reply()[0], (500, 501, 550, 553), raw)

    def test_plus_path(self):
        """A detail is data. It goes along to the mailbox and is no folder and no file there."""
        details = ("../../../x", "/etc/passwd", "..", "a/b", "INBOX", "Trash/x", "+", "", "%00", "x" * 40, "..%2f..%2fx", "~root", "con", "mail.db",
                   "../../../../data/mailboxes/x")
        self.accepted(*(f"bob+{detail}@uni.example" for detail in details), '"bob+\\"../x"@uni.example', '"bob+ x"@uni.example', '"bob+a\\\\b"@uni.example')
        self.node.wait_queue_empty()
        self.arrives["bob"] += len(details) + 3  # each detail is a delivery of its own
        self.assertEqual({line.decode().rsplit(" ", 1)[1].strip('"') for line in self.folders("bob")}, {"INBOX", "Drafts", "Sent", "Junk", "Trash"})
        self.refused("+../x@uni.example", "nobody+../x@uni.example", "../bob+x@uni.example", "bob+" + "x" * 300 + "@uni.example", "bob-../x@uni.example")
        with self.stranger() as wire:
            wire.send(b"RCPT TO:<bob+\0../x@uni.example>\r\n")
            self.assertIn(wire.reply()[0], (500, 501))

    def folders(self, user):
        imap = self.node.imap(user)
        try:
            return imap.list()[1]
        finally:
            imap.logout()

    def test_long_addresses(self):
        """Over the limits of RFC 5321 section 4.5.3.1 an address is refused whole, never cut to a shorter one."""
        for session in (self.stranger, self.user):
            self.refused("ann" + "n" * 100 + "@uni.example", "ann@" + "a" * 64 + ".uni.example", "ann@" + "a." * 200 + "uni.example",
                         "ann@" + "uni.example." * 100, '"' + "\\a" * 300 + '"@uni.example', '"ann"' + '"' * 200 + "@uni.example", session=session)
        address = "a" * 100 + "@uni.example"
        self.assertEqual(self.node.why(address)["code"], 550)  # explained as it is answered

    def test_comments_are_no_syntax(self):
        """RFC 5321 has no comments and no white space in a path; RFC 5322's are for headers."""
        for session in (self.stranger, self.user):
            self.refused("ann(x)@uni.example", "(x)ann@uni.example", "ann@uni.example(x)", "ann@(x)uni.example", "ann @uni.example", "ann@ uni.example",
                         " ann@uni.example", "ann@uni.example ", "Ann <ann@uni.example", "ann.(x).b@uni.example", "group:ann@uni.example;",
                         "ann@uni.example\rRCPT TO:<u@evil.example", session=session)
            # What stands behind the path is a parameter or an error, never a second recipient.
            with session() as wire:
                for line in ("RCPT TO:<ann@uni.example> <u@evil.example>", "RCPT TO:<ann@uni.example>,<u@evil.example>", "RCPT TO:ann@uni.example>",
                             "RCPT TO:<ann@uni.example", "RCPT TO:<<ann@uni.example>>", "RCPT TO:<ann@uni.example> NOTIFY", "RCPT TO:<ann@uni.example> X=Y",
                             "RCPT TO:<ann@uni.example> ORCPT=rfc822;u@evil.example ORCPT=rfc822;v@evil.example", "RCPT TO:<ann@uni.example>;u@evil.example",
                             "RCPT FROM:<ann@uni.example>", "RCPT", "RCPT TO", "RCPT TO:", "RCPT TO:<"):
                    self.assertIn(wire.say(line), (500, 501, 504, 550, 553, 555), line)

    def test_why_takes_any_address(self):
        for address in ("", "@", "<>", "]", '"', "a" * 2000 + "@uni.example", "ann@" + "a." * 500, "\\", "%s%n@uni.example", "ann@uni.example\r\n250 ok"):
            done = self.node.run("why", address)
            self.assertIn(done.returncode, (1, 2), (address, done.stderr))
            self.assertNotIn("\r", done.stdout)


if __name__ == "__main__":
    unittest.main()
