# SPDX-License-Identifier: Apache-2.0
"""POP3 as clients see it: TLS, mechanisms, the maildrop beside IMAP."""
import base64
import poplib
import unittest

from node import NodeTest, PASSWORD, message


class Pop3(NodeTest):
    users = ("ann", "bob", "eve", "kim")

    def deliver(self, user, n):
        imap = self.node.imap(user)
        for k in range(n):
            self.assertEqual(imap.append("INBOX", None, None, message(f"m{k}", body=f".dot {k}\r\n..\r\nend\r\n").encode())[0], "OK")
        imap.logout()

    def test_capabilities_by_channel(self):
        with self.node.raw("pop3") as wire:
            wire.line()
            wire.send("CAPA\r\n")
            plain = self.listing(wire)
            self.assertIn("STLS", plain)
            self.assertNotIn("USER", plain)
            self.assertFalse([word for word in plain if word.startswith("SASL")])
            wire.send("USER ann\r\n")
            self.assertTrue(wire.line().startswith("-ERR"))
            wire.send("STLS\r\n")
            self.assertTrue(wire.line().startswith("+OK"))
            wire.starttls(self.node.tls())
            wire.send("CAPA\r\n")
            secure = self.listing(wire)
            for word in ("TOP", "UIDL", "USER", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "SASL SCRAM-SHA-256 PLAIN LOGIN"):
                self.assertIn(word, secure)
            self.assertNotIn("STLS", secure)
            wire.send("AUTH PLAIN " + base64.b64encode(f"\0ann\0{PASSWORD}".encode()).decode() + "\r\n")
            self.assertTrue(wire.line().startswith("+OK"))

    def listing(self, wire):
        self.assertTrue(wire.line().startswith("+OK"))
        lines = []
        while (line := wire.line()) != ".":
            lines.append(line)
        return lines

    def test_everyday(self):
        self.deliver("bob", 3)
        pop = self.node.pop3("bob")
        count, size = pop.stat()
        self.assertEqual(count, 3)
        sizes = [int(line.split()[1]) for line in pop.list()[1]]
        self.assertEqual(sum(sizes), size)
        for n in range(3):
            _, lines, _ = pop.retr(n + 1)
            text = b"".join(line + b"\r\n" for line in lines)
            self.assertEqual(text, message(f"m{n}", body=f".dot {n}\r\n..\r\nend\r\n").encode())
            self.assertEqual(len(text), sizes[n])
        self.assertEqual(pop.top(1, 1)[1][-1], b".dot 0")
        uidl = pop.uidl()[1]
        pop.dele(2)
        pop.quit()
        pop = self.node.pop3("bob")
        self.assertEqual([line.split()[1] for line in pop.uidl()[1]], [uidl[0].split()[1], uidl[2].split()[1]])
        pop.dele(1)
        pop.close()  # no QUIT: nothing is removed
        self.node.wait(lambda: self.try_count("bob") == 2, "the maildrop to be free")

    def try_count(self, user):
        try:
            pop = self.node.pop3(user)
        except poplib.error_proto:
            return None
        count = pop.stat()[0]
        pop.quit()
        return count

    def test_one_session_and_imap_beside_it(self):
        self.deliver("eve", 2)
        pop = self.node.pop3("eve")
        with self.assertRaises(poplib.error_proto) as caught:
            self.node.pop3("eve")
        self.assertIn("[IN-USE]", str(caught.exception))
        imap = self.node.imap("eve")
        imap.select("INBOX")
        imap.store("1", "+FLAGS", r"(\Deleted)")
        imap.expunge()
        self.deliver("eve", 1)
        self.assertEqual(pop.stat()[0], 2)
        self.assertTrue(pop.retr(2)[1])
        pop.dele(2)
        pop.quit()
        self.assertEqual(imap.select("INBOX"), ("OK", [b"1"]))
        imap.logout()

    def test_pipelining(self):
        self.deliver("kim", 2)
        pop = self.node.pop3("kim")
        pop.sock.sendall(b"STAT\r\nLIST 1\r\nTOP 1 0\r\nDELE 1\r\nRSET\r\nNOOP\r\nQUIT\r\n")
        got = pop.file.read().decode()
        self.assertEqual(got.count("+OK"), 7, got)
        self.assertTrue(got.endswith("\r\n"))


if __name__ == "__main__":
    unittest.main()
