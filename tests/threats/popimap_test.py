# SPDX-License-Identifier: Apache-2.0
"""The rows of the threats that a mailbox node must withstand, over IMAP and POP3. Each test is named after its row."""
import base64
import os
import unittest

from node import NodeTest, PASSWORD


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


class Threats(NodeTest):
    users = ("ann", "bob")
    settings = {"auth_failures_max": 100}

    def imap(self, tls=True):
        wire = self.node.raw("imap")
        wire.line()
        if tls:
            wire.send("t STARTTLS\r\n")
            self.assertTrue(wire.line().startswith("t OK"))
            wire.starttls(self.node.tls())
        return wire

    def pop3(self, tls=True):
        wire = self.node.raw("pop3")
        wire.line()
        if tls:
            wire.send("STLS\r\n")
            self.assertTrue(wire.line().startswith("+OK"))
            wire.starttls(self.node.tls())
        return wire

    def answer(self, wire, tag):
        while True:
            line = wire.line()
            if line.startswith(tag) or not line:
                return line

    def test_stls_inject(self):
        """What follows STARTTLS in the same segment never runs, on no side of the handshake."""
        for service, start, injected in (("imap", "a STARTTLS", "b CAPABILITY"), ("pop3", "STLS", "CAPA")):
            with self.node.raw(service) as wire:
                wire.line()
                wire.send(f"{start}\r\n{injected}\r\n")
                self.assertIn("OK", wire.line())
                wire.starttls(self.node.tls())
                wire.send("c NOOP\r\n" if service == "imap" else "QUIT\r\n")
                line = wire.line()
                self.assertTrue(line.startswith("c OK") or line.startswith("+OK goodbye"), line)
        self.assertIn("plaintext behind STARTTLS was thrown away", self.node.log_text())

    def test_auth_clear(self):
        """No password is taken in the clear, and none is asked for."""
        with self.imap(tls=False) as wire:
            wire.send(f'a LOGIN ann "{PASSWORD}"\r\nb AUTHENTICATE PLAIN {b64(f"{chr(0)}ann{chr(0)}{PASSWORD}")}\r\nc AUTHENTICATE LOGIN\r\n')
            for tag in "abc":
                self.assertIn(f"{tag} NO [PRIVACYREQUIRED]", self.answer(wire, tag))
        with self.pop3(tls=False) as wire:
            wire.send(f"USER ann\r\nPASS {PASSWORD}\r\nAUTH PLAIN {b64(f'{chr(0)}ann{chr(0)}{PASSWORD}')}\r\n")
            for _ in range(3):
                self.assertTrue(wire.line().startswith("-ERR"))

    def test_auth_abort(self):
        """A client that goes away in the middle leaves nothing behind."""
        pid = self.node.daemon_pids()["popimap"]
        files = lambda: len(os.listdir(f"/proc/{pid}/fd"))

        def abort():
            for make, command in ((self.imap, "a AUTHENTICATE SCRAM-SHA-256 " + b64("n,,n=ann,r=x")), (self.pop3, "AUTH PLAIN")):
                with make() as wire:
                    wire.send(command + "\r\n")
                    self.assertTrue(wire.line().startswith("+"))

        abort()
        before = files()
        for _ in range(100):
            abort()
        self.node.wait(lambda: files() <= before, "the connections to be closed")

    def test_auth_utf8_and_auth_expand(self):
        """A name is data: it fails like any other, in the same words."""
        names = [b"", b"\xff\xfe", b"an\0n", b"%{home}", b"${run{/bin/true}}", b"../../etc/passwd", b"*", b"ann)(uid=*", b"a" * 300, b"ann@", b"@uni.example"]
        with self.imap() as wire:
            for n, name in enumerate(names):
                wire.send(b"x%d LOGIN {%d+}\r\n%s {1+}\r\nx\r\n" % (n, len(name), name) if b"\0" not in name
                          else b"x%d AUTHENTICATE PLAIN " % n + b64(b"\0" + name + b"\0x").encode() + b"\r\n")
                line = self.answer(wire, f"x{n}")
                self.assertTrue(" NO [AUTHENTICATIONFAILED] authentication failed" in line or (b"\0" in name and " BAD " in line), (name, line))
                if n % 3 == 2:  # the penalty grows with the failures of a session
                    wire.close()
                    wire = self.imap()
        with self.pop3() as wire:
            for name in (b"%{home}", b"../x"):
                wire.send(b"USER " + name + b"\r\nPASS x\r\n")
                self.assertEqual(wire.line(), "+OK password?")
                self.assertEqual(wire.line(), "-ERR [AUTH] authentication failed")

    def test_lit_reject(self):
        """A literal that is refused and sent all the same is no command."""
        with self.imap() as wire:
            wire.send(f'l LOGIN bob "{PASSWORD}"\r\n')
            self.assertIn("l OK", self.answer(wire, "l"))
            wire.send("a APPEND Nope {12+}\r\nz DELETE x\r\n\r\n")
            self.assertIn("a NO [TRYCREATE]", self.answer(wire, "a"))
            wire.send("b NOOP\r\n")
            self.assertEqual(wire.line(), "b OK done")
            wire.send("c APPEND INBOX {999999999}\r\n")
            self.assertIn("c NO [TOOBIG]", wire.line())
            wire.send("d APPEND INBOX {999999999+}\r\n")
            self.assertIn("* BYE", wire.line())
            self.assertTrue(wire.closed())

    def test_box_path(self):
        """A mailbox name is a row, never a path."""
        with self.imap() as wire:
            wire.send(f'l LOGIN bob "{PASSWORD}"\r\n')
            self.assertIn("l OK", self.answer(wire, "l"))
            for n, name in enumerate(('"../x"', '"/etc/passwd"', "a/../b", '"."', "&AGE-", "&AAA-", "&2D0-", '"a//b"', '"\\\\..\\\\x"')):
                wire.send(f"n{n} CREATE {name}\r\n")
                line = self.answer(wire, f"n{n} ")
                self.assertIn(" BAD " if n < 8 else " OK ", line, name)
            wire.send(b"z CREATE {4+}\r\na\0bc\r\n")
            self.assertIn("z BAD", self.answer(wire, "z"))
        self.assertFalse([f for _, _, names in os.walk(self.node.path("data", "mailboxes")) for f in names if "x" == f or "passwd" in f])

    def test_xuser(self):
        """Another account's mail cannot be named, whatever the command."""
        imap = self.node.imap("ann")
        imap.append("INBOX", None, None, b"Subject: secret of ann\r\n\r\n")
        imap.logout()
        with self.imap() as wire:
            wire.send(f'l LOGIN bob "{PASSWORD}"\r\n')
            self.assertIn("l OK", self.answer(wire, "l"))
            for n, command in enumerate(("SELECT ~ann/INBOX", 'SELECT "#user/ann"', "SELECT user/ann/INBOX", f'LOGIN ann "{PASSWORD}"')):
                wire.send(f"n{n} {command}\r\n")
                line = self.answer(wire, f"n{n} ")
                self.assertTrue(" NO " in line or " BAD " in line, line)


if __name__ == "__main__":
    unittest.main()
