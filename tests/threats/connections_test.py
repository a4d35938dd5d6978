# SPDX-License-Identifier: Apache-2.0
"""Caps on who may hold how many connections to a mailbox node: a user from an address, and strangers from one. (SMTP clients have caps of
their own: proto/smtp_test.py.)"""
import base64
import unittest

from node import NodeTest, PASSWORD


class Crowd(NodeTest):
    # Nobody is trusted: loopback is otherwise, and who is trusted is not counted.
    settings = {"imap_connections_per_user_max": 5, "trusted_networks": ["192.0.2.0/24"], "log_level": "info"}
    users = ("ann", "bob")

    def session(self, login="ann", source="127.0.0.2"):
        """A session over IMAP and the answer to its log-in."""
        wire = self.node.raw("imap", source)
        wire.line()
        wire.send("t STARTTLS\r\n")
        wire.line()
        wire.starttls(self.node.tls())
        wire.send(f'a LOGIN {login} "{PASSWORD}"\r\n')
        return wire, wire.line()

    def full(self, **where):
        wires = []
        for _ in range(5):
            wire, answer = self.session(**where)
            self.addCleanup(wire.close)
            self.assertIn("a OK", answer)
            wires.append(wire)
        return wires

    def is_refused(self, **where):
        wire, answer = self.session(**where)
        with wire:
            self.assertEqual(answer, "a NO [LIMIT] too many connections of this user from this address")
            self.assertEqual(wire.line(), "* BYE too many connections of this user from this address")
            self.assertTrue(wire.closed())

    def has_room(self, **where):
        def ok():
            wire, answer = self.session(**where)
            with wire:
                return "a OK" in answer
        return self.node.wait(ok, "room for a session")

    def test_a_user_at_an_address(self):
        wires = self.full()
        self.is_refused()
        self.is_refused(login="ANN@uni.example")  # another spelling of the same user
        self.has_room(login="bob")
        self.has_room(source="127.0.0.3")
        self.assertIn("too many connections of one user from one address", self.node.log_text())
        metrics = self.node.run("metrics", "popimap").stdout
        self.assertRegex(metrics, r"posthouse_popimap_login_crowded_total [1-9]")
        wires[0].send("a LOGOUT\r\n")
        wires[0].closed()
        self.has_room()
        for wire in wires[1:]:
            wire.close()  # without a word
        for wire in self.node.wait(lambda: self.full(source="127.0.0.2"), "the seats to be free again"):
            wire.close()

    def test_sasl_and_failures(self):
        """Failed log-ins take no seat, and AUTHENTICATE takes one as LOGIN does."""

        plain = base64.b64encode(f"\0ann\0{PASSWORD}".encode()).decode()
        wires = []
        for n in range(7):
            wire = self.node.raw("imap", "127.0.0.4")
            wire.line()
            wire.send("t STARTTLS\r\n")
            wire.line()
            wire.starttls(self.node.tls())
            if n < 2:
                wire.send('a LOGIN ann "wrong"\r\n')
                self.assertIn("AUTHENTICATIONFAILED", wire.line())
            wire.send(f"a AUTHENTICATE PLAIN {plain}\r\n")
            self.assertIn("a OK" if n < 5 else "a NO [LIMIT]", wire.line())
            wires.append(wire)
        for wire in wires:
            wire.close()

    def test_pop3(self):
        """POP3 is counted apart, and a maildrop that is in use gives its seat back at once."""
        wires = self.full(login="bob", source="127.0.0.5")
        first = None
        for n in range(12):
            wire = self.node.raw("pop3", "127.0.0.5")
            wire.line()
            wire.send("STLS\r\n")
            wire.line()
            wire.starttls(self.node.tls())
            wire.send(f"USER bob\r\nPASS {PASSWORD}\r\n")
            wire.line()
            answer = wire.line()
            if n == 0:
                self.assertIn("+OK", answer)
                first = wire
            else:
                self.assertIn("-ERR [IN-USE]", answer)
                wires.append(wire)
        first.close()
        for wire in wires:
            wire.close()

    def test_a_reload_moves_it(self):
        self.has_room(login="bob", source="127.0.0.6")
        try:
            self.node.overrides["imap_connections_per_user_max"] = 1
            self.node.write_config()
            self.node.run("reload", check=0)

            def one_only():
                wire, answer = self.session(login="bob", source="127.0.0.6")
                other, second = self.session(login="bob", source="127.0.0.6")
                with wire, other:
                    return "a OK" in answer and "a NO [LIMIT]" in second
            self.node.wait(one_only, "the new cap")
        finally:
            self.node.overrides["imap_connections_per_user_max"] = 5
            self.node.write_config()
            self.node.run("reload", check=0)


class Trusted(NodeTest):
    settings = {"imap_connections_per_user_max": 2}
    users = ("ann",)

    def test_who_is_trusted_is_not_counted(self):
        sessions = [self.node.imap() for _ in range(6)]
        for imap in sessions:
            imap.logout()


class Strangers(NodeTest):
    settings = {"imap_strangers_per_address_max": 5, "trusted_networks": ["192.0.2.0/24"], "log_level": "info"}
    users = ("ann", "bob")
    REFUSED = {"imap": "* BYE [UNAVAILABLE] too many connections", "pop3": "-ERR [SYS/TEMP] too many connections", "imaps": "", "pop3s": ""}
    GREETING = {"imap": "* OK ", "pop3": "+OK "}

    def fill(self, door, source):
        wires = [self.node.raw(door, source) for _ in range(5)]
        for wire in wires:
            self.addCleanup(wire.close)
            self.assertTrue(wire.line().startswith(self.GREETING[door]))
        return wires

    def answer(self, door, source):
        with self.node.raw(door, source) as wire:
            return wire.line()

    def has_room(self, door, source):
        return self.answer(door, source).startswith(self.GREETING[door])

    def test_strangers_of_one_address(self):
        """They have used up what their address may have, under TLS too; other addresses and the other protocol notice nothing."""
        wires = {door: self.fill(door, "127.0.0.7") for door in ("imap", "pop3")}
        for door in self.REFUSED:
            self.assertEqual(self.answer(door, "127.0.0.7"), self.REFUSED[door], door)
        for door in wires:
            self.assertTrue(self.has_room(door, "127.0.0.8"), door)
            wires[door].pop().close()
            self.node.wait(lambda: self.has_room(door, "127.0.0.7"), "room")

    def test_who_has_logged_in_is_no_stranger(self):
        """Many users behind one address, as behind a provider's NAT: more sessions than strangers may have."""
        for door in ("imap", "pop3"):
            for n in range(8):
                wire = self.node.raw(door, "127.0.0.9")
                self.addCleanup(wire.close)
                self.assertTrue(wire.line().startswith(self.GREETING[door]), n)
                wire.send({"imap": "t STARTTLS\r\n", "pop3": "STLS\r\n"}[door])
                wire.line()
                wire.starttls(self.node.tls())
                if door == "imap":
                    wire.send(f'a LOGIN ann "{PASSWORD}"\r\n')
                    self.assertIn("a OK", wire.line())
                else:
                    wire.send(f"USER bob\r\nPASS {PASSWORD}\r\n")
                    wire.line()
                    self.assertIn("+OK", wire.line())
                    wire.send("QUIT\r\n")
                    wire.line()
            wires = self.fill(door, "127.0.0.9")
            self.assertEqual(self.answer(door, "127.0.0.9"), self.REFUSED[door])
            for wire in wires:
                wire.close()


if __name__ == "__main__":
    unittest.main()
