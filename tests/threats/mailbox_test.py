# SPDX-License-Identifier: Apache-2.0
"""Clients of a mailbox that name what is not theirs, or say one thing and send another: box-path, lit-reject, xuser."""
import unittest

from threat import PASSWORD, ThreatTest

FOLDERS = {"INBOX", "Drafts", "Sent", "Junk", "Trash"}


class MailboxTest(ThreatTest):
    users = ("ann", "bob")

    def session(self, login="bob"):
        wire = self.secure("imap")
        self.assertIn("l OK", self.run_line(wire, f'LOGIN {login} "{PASSWORD}"', "l"))
        return wire

    def run_line(self, wire, command, tag="a"):
        """The tagged answer to a command, BYE, or "" when the session has ended."""
        wire.send((tag + " ").encode() + (command if isinstance(command, bytes) else command.encode()) + b"\r\n")
        return self.answer(wire, tag)

    def answer(self, wire, tag="a"):
        while True:
            line = wire.line()
            if line.startswith((tag + " ", "* BYE", "* BAD")) or not line:
                return line

    def folders(self, wire):
        wire.send('f LIST "" *\r\n')
        names = set()
        while True:
            line = wire.line()
            if line.startswith("f "):
                return names
            names.add(line.rsplit(" ", 1)[1].strip('"'))


class BoxPath(MailboxTest):
    # No name at all: a path, a control character, no text, or too long. As an astring of IMAP.
    BAD = (b'"../x"', b'".."', b'"."', b'"/etc/passwd"', b'"a/../b"', b'"a/./b"', b'"a/.."', b'"../../../../x"', b'"a//b"', b'"/"', b'"//"', b'""', b'"INBOX/../x"',
           b'"a/ /../b"', b"&AGE-", b"&AC4ALg-/x", b'"&AC4-./x"', b'"&AC8-etc"', b"&AAA-", b"a&AAA-b", b"&2D0-", b"&3D3YAA-", b"&", b"&-&", b"&AGE", b"&*-", b"&A-",
           b"&AAoACg-", b"{3+}\r\na\0b", b"{1+}\r\n\0", b"{5+}\r\na\r\nb\0", b"{4+}\r\na\r\nb", b"{2+}\r\n\xff\xfe", b'"a\x01b"', b'"a\x7fb"', b'"a%b"', b'"a*b"', b'"%"',
           b'"' + b"x" * 3000 + b'"', b'"' + b"x/" * 200 + b'"', b'"' + b"x/" * 4000 + b'y"', b"{3+}\r\n\xc0\xae\x2f", b"&AIU-", b"&ICg-x", b"{6+}\r\na\r\n..b")
    COMMANDS = (b"CREATE %s", b"SELECT %s", b"EXAMINE %s", b"DELETE %s", b"RENAME %s good", b"RENAME Trash %s", b"SUBSCRIBE %s", b"UNSUBSCRIBE %s", b"STATUS %s (MESSAGES)",
                b"APPEND %s {3+}\r\nabc")

    def test_box_path(self):
        """BAD, no file touched, and the tree of folders as it was."""
        with self.session() as wire:
            for command in self.COMMANDS:
                for name in self.BAD:
                    line = self.run_line(wire, command % name)
                    self.assertIn("a BAD", line, (command, name[:40]))
                    self.assertEqual(self.run_line(wire, "NOOP"), "a OK done")
            self.assertIn("a OK", self.run_line(wire, "SELECT INBOX"))
            for name in self.BAD:
                for command in (b"COPY 1 %s", b"UID COPY 1:* %s", b"MOVE 1 %s"):
                    self.assertIn("a BAD", self.run_line(wire, command % name), (command, name[:40]))
                    self.assertEqual(self.run_line(wire, "NOOP"), "a OK done")
            self.assertEqual(self.folders(wire), FOLDERS)

    def test_box_path_of_names_that_only_look_dangerous(self):
        """A name is a row: what is no path to us is a folder like any other, listed as it was made."""
        names = ("\\\\..\\\\x", "...", "~root", "$(id)", ";id;", "|id", "con", "mail.db", "x.", "../".replace("/", ""). replace("..", ". ."), "a'b", "--help", "%2e%2e".replace("%", "="),
                 "&-", "&,w7,Dv8P-x", "INBOX.x")
        with self.session() as wire:
            made = []
            for name in names:
                line = self.run_line(wire, f'CREATE "{name}"')
                self.assertIn(line[:4], ("a OK", "a BA"), name)
                if line.startswith("a OK"):
                    made.append(name)
                    self.assertIn("a OK", self.run_line(wire, f'SELECT "{name}"'), name)
                    self.assertIn("a OK", self.run_line(wire, "CLOSE"), name)
            self.assertGreater(len(made), 10)
            self.assertEqual(self.strange_files(), [])
            for name in made:
                self.assertIn("a OK", self.run_line(wire, f'DELETE "{name}"'), name)
            self.assertEqual(self.folders(wire), FOLDERS)

    def test_box_path_of_patterns(self):
        """A pattern or a reference of LIST is no path either."""
        with self.session() as wire:
            for arguments in ('"../" *', '"/etc/" *', '"" "../*"', '"" "/%"', '"../../" "../%"', '"~" *', '"" "' + "%*" * 1000 + 'x"', '"" "&AGE-"'):
                wire.send(f"a LIST {arguments}\r\n")
                while not (line := wire.line()).startswith("a "):
                    self.assertIn(line.rsplit(" ", 1)[1].strip('"'), FOLDERS, arguments)


class LitReject(MailboxTest):
    """A literal that is refused and sent all the same is no command."""

    def test_lit_reject(self):
        with self.session() as wire:
            self.assertIn("a NO [TRYCREATE]", self.run_line(wire, "APPEND Nope {12+}\r\nz DELETE x\r\n"))
            self.assertEqual(self.run_line(wire, "NOOP"), "a OK done")
            inner = "z CREATE injected\r\nz LOGOUT\r\n"
            for command in ("APPEND Nope", "APPEND ../x", "APPEND INBOX (\\NoFlag", "APPEND INBOX \"99-Foo-2026 00:00:00 +0000\"", "APPEND", "NOSUCH", "SELECT INBOX x",
                            "LOGIN", "SEARCH CHARSET X-NONE TEXT", "COPY 1", "ID (", "CREATE a\0b", "APPEND INBOX ~"):
                line = self.run_line(wire, f"{command} {{{len(inner)}+}}\r\n{inner}")
                self.assertIn(line[:4], ("a NO", "a BA", "* BA"), command)
                self.assertEqual(self.run_line(wire, "NOOP"), "a OK done", command)
            self.assertEqual(self.folders(wire), FOLDERS)

    def test_lit_reject_of_announcements_that_are_none(self):
        """What looks like a literal and is none ends the line: nothing is waited for and nothing is skipped."""
        with self.session() as wire:
            for end in ("{-1}", "{-1+}", "{+}", "{}", "{5++}", "{0x5+}", "{ 5+}", "{5 +}", "{5+} ", "{5", "5+}", "{1e3+}", "{5-}"):
                self.assertIn(self.run_line(wire, "SELECT " + end)[:5], ("a BAD", "a NO "), end)
                self.assertEqual(self.run_line(wire, "NOOP"), "a OK done", end)

    def test_lit_reject_that_does_not_fit(self):
        """Over the limit: NO when the client asks first; the end when it does not, for where the next command begins is then not known."""
        with self.session() as wire:
            self.assertIn("a NO [TOOBIG]", self.run_line(wire, "APPEND INBOX {999999999}"))
            self.assertEqual(self.run_line(wire, "NOOP"), "a OK done")
            for literal in ("{4294967296}", "{9223372036854775807}", "{9223372036854775808}", "{18446744073709551616}", "{" + "9" * 1000 + "}"):
                self.assertIn(self.run_line(wire, "APPEND INBOX " + literal)[:4], ("a NO", "a BA"), literal)
                self.assertEqual(self.run_line(wire, "NOOP"), "a OK done", literal[:40])
        for literal in ("{999999999+}", "{4294967296+}", "{4294967301+}", "{9223372036854775807+}", "{9223372036854775808+}", "{18446744073709551616+}", "{18446744073709551621+}",
                        "{" + "9" * 1000 + "+}", "~{999999999+}"):
            for command in ("APPEND INBOX", "SELECT", "LOGIN"):
                with self.session() as wire:
                    self.assertIn("* BYE", self.run_line(wire, f"{command} {literal}\r\nz CREATE injected"), (command, literal[:40]))
                    self.assertTrue(wire.closed())
        with self.session() as wire:
            self.assertEqual(self.folders(wire), FOLDERS)

    def test_lit_reject_and_a_client_that_does_not_wait(self):
        """The client asks, and sends without hearing the answer. What it sent ahead of our "no" is not read as commands."""
        for command in ("APPEND INBOX {999999999}", "APPEND Nope {30}", "APPEND ../x {30}", "SELECT {999999}", "APPEND INBOX ~{30}", "APPEND INBOX {18446744073709551616}"):
            with self.session() as wire:
                wire.send(f"a {command}\r\nz CREATE injected\r\nz LOGOUT\r\n")
                self.assertIn(self.answer(wire)[:5], ("a NO ", "a BAD", "* BYE"), command)
                self.assertNotIn(b"z ", wire.stream.read(), command)
        with self.session() as wire:
            self.assertEqual(self.folders(wire), FOLDERS)

    def test_lit_reject_of_strangers(self):
        """Before the log-in a literal is a name or a password, and nothing else."""
        for literal in ("{100000+}", "{9999999999+}", "{18446744073709551616+}"):
            with self.secure("imap") as wire:
                self.assertIn("* BYE", self.run_line(wire, f"LOGIN {literal}\r\nz LOGIN bob x"), literal)
                self.assertTrue(wire.closed())
        with self.secure("imap") as wire:
            self.assertIn(self.run_line(wire, "LOGIN {100000}")[:5], ("a BAD", "a NO "))
            self.assertEqual(self.run_line(wire, "NOOP"), "a OK done")
            self.assertIn("a BAD", self.run_line(wire, "APPEND INBOX {30+}\r\n" + "z LOGOUT\r\nz CREATE injected\r\n\r\n"[:30]))


class OtherUsers(MailboxTest):
    def test_xuser(self):
        """Another account's mail cannot be named, whatever the command."""
        imap = self.node.imap("ann")
        imap.append("INBOX", None, None, b"Subject: secret of ann\r\n\r\n")
        imap.logout()
        self.arrives["ann"] += 1
        with self.session() as wire:
            for command in ("SELECT ~ann/INBOX", 'SELECT "#user/ann"', "SELECT user/ann/INBOX", "SELECT user.ann", 'EXAMINE "Other Users/ann"', "STATUS ~ann (MESSAGES)",
                            f'LOGIN ann "{PASSWORD}"', "AUTHENTICATE PLAIN AGFubgBjb3JyZWN0IGhvcnNl", "SETACL INBOX ann lrs", "GETQUOTAROOT ../ann"):
                self.assertIn(self.run_line(wire, command)[:5], ("a NO ", "a BAD"), command)
            wire.send('a LIST "" "*ann*"\r\n')
            self.assertTrue(wire.line().startswith("a OK"))


if __name__ == "__main__":
    unittest.main()
