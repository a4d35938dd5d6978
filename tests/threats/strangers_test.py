# SPDX-License-Identifier: Apache-2.0
"""Hostile strangers on every port: addresses that mean something to somebody else, log-ins that break off, junk. Named after the threats."""
import base64
import os
import random
import socket
import unittest

from node import NodeTest, PASSWORD, SERVICES, message


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


class Addresses(NodeTest):
    # A relay is set, so that what is refused is refused by the rule and not for want of a way out.
    settings = {"smtp_errors_max": 1000, "relayhost": "127.0.0.9:2599"}

    def begin(self, utf8=False):
        wire = self.node.raw("smtp")
        wire.reply()
        wire.say("EHLO client.example")
        self.assertEqual(wire.say("MAIL FROM:<x@out.example>" + (" SMTPUTF8" if utf8 else "")), 250)
        return wire

    def refused(self, *addresses, utf8=False):
        with self.begin(utf8) as wire:
            for address in addresses:
                self.assertIn(wire.say(f"RCPT TO:<{address}>"), (501, 550, 553), address)

    def accepted(self, *addresses, utf8=False):
        with self.begin(utf8) as wire:
            for address in addresses:
                self.assertEqual(wire.say(f"RCPT TO:<{address}>"), 250, address)

    def test_pct_bang_and_double_at(self):
        self.refused("u%evil.example@uni.example", "evil.example!u@uni.example", "u@evil.example@uni.example", "ann@uni.example@evil.example",
                     "u%uni.example@evil.example")

    def test_srcroute(self):
        self.refused("@uni.example:u@evil.example", "@uni.example,@evil.example:u@evil.example")
        self.accepted("@a.example,@b.example:ann@uni.example")

    def test_empty_lp_and_shell_lp(self):
        self.refused('""@uni.example', ";id;@uni.example", "|cmd@uni.example", '"|cmd"@uni.example', "$(x)@uni.example", "../x@uni.example",
                     "*@uni.example", "ann)(uid=*@uni.example", "ann@uni.example,dc=evil", "ann(x)@uni.example", "<ann@uni.example>")

    def test_literal_ip(self):
        self.refused("ann@[127.0.0.1]", "ann@[IPv6:::1]", "ann@[]", "ann@[", "postmaster@[127.0.0.1]")

    def test_encword_lp(self):
        self.refused("=?utf-8?q?ann?=@uni.example", "=?utf-8?q?ann=40uni.example?=@uni.example")

    def test_idn_case(self):
        """One identity in all spellings of a domain, and no second one for look-alikes of a person."""
        self.accepted("ANN@UNI.Example", "ann@uni.example.", '"ann"@uni.example')
        self.accepted("ann@ｕｎｉ.example", "ann@uni。example", utf8=True)
        self.refused("ａnn@uni.example", "\u200bann@uni.example", utf8=True)
        self.refused("ann@ｕｎｉ.example", "ann@uni.example..")

    def test_plus_path(self):
        with self.node.smtp() as smtp:
            smtp.sendmail("x@out.example", ["bob+../../../x@uni.example"], message("plus"))
        self.node.wait_messages(1, "bob")
        self.assertFalse([f for _, folders, files in os.walk(self.node.dir) for f in folders + files if f == "x"])

    def test_a_long_local_part_is_explained_as_it_is_answered(self):
        address = "a" * 100 + "@uni.example"
        self.refused(address)
        self.assertEqual(self.node.why(address)["code"], 550)

    def test_backscatter(self):
        """Who is unknown is refused before the message, and nobody hears of it later."""
        with self.begin() as wire:
            self.assertEqual(wire.say("RCPT TO:<nobody@uni.example>"), 550)
            self.assertEqual(wire.say("DATA"), 554)
        self.assertEqual([m for m in self.node.queue() if m.get("sender") != "x@out.example"], [])

    def test_why_takes_any_address(self):
        for address in ("", "@", "<>", "]", '"', "a" * 2000 + "@uni.example", "ann@" + "a." * 500, "\\", "%s%n@uni.example", "ann@uni.example\r\n250 ok"):
            done = self.node.run("why", address)
            self.assertIn(done.returncode, (1, 2), (address, done.stderr))
            self.assertNotIn("\r", done.stdout)


class Ports(NodeTest):
    settings = {"log_level": "info", "smtp_errors_max": 1000, "auth_failures_max": 100}
    STARTTLS = {"submission": "STARTTLS\r\n", "imap": "t STARTTLS\r\n", "pop3": "STLS\r\n"}
    LINES = (b"EHLO a\r\n", b"LHLO a\r\n", b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<ann@uni.example>\r\n", b"DATA\r\n", b"x\r\n.\r\n", b"BDAT 5 LAST\r\nabcde",
             b"AUTH PLAIN =\r\n", b"AUTH SCRAM-SHA-256 biws\r\n", b"*\r\n", b"a LOGIN ann {3+}\r\nabc\r\n", b"a AUTHENTICATE PLAIN\r\n", b"a ID NIL\r\n",
             b"USER ann\r\n", b"PASS x\r\n", b"CAPA\r\n", b"TOP 1 1\r\n", b"XCLIENT ADDR=1.2.3.4\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n")
    PIECES = (b"\0", b"\r", b"\n", b"{99999999999}", b'"', b"\\", b"<", b"%n", b"\xff", b"(" * 30, b"A" * 5000)

    def setUp(self):
        self.pids = self.node.daemon_pids()

    def tearDown(self):
        self.assertEqual(self.node.daemon_pids(), self.pids, "a daemon died")

    def connect(self, service):
        return socket.create_connection((self.node.address, self.node.ports[service]), timeout=30)

    def sockets(self, daemon):
        folder, n = f"/proc/{self.pids[daemon]}/fd", 0
        for name in os.listdir(folder):
            try:
                n += os.readlink(os.path.join(folder, name)).startswith("socket:")
            except OSError:  # closed meanwhile
                pass
        return n

    def mutate(self, rng, line):
        line = bytearray(line)
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(line))
            line[at:at + rng.randrange(2)] = rng.choice((rng.randbytes(3), rng.choice(self.PIECES)))
        return bytes(line)

    def test_junk_on_every_port(self):
        rng = random.Random(2026)
        before = {daemon: self.sockets(daemon) for daemon in ("mta", "popimap")}
        for service in SERVICES:
            for step in range(100):
                with self.connect(service) as sock:
                    try:
                        if service.endswith("s") and step % 2:
                            sock = self.node.tls().wrap_socket(sock, server_hostname="mx.uni.example")
                        sock.sendall(rng.randbytes(rng.randrange(1, 4000)) if step % 3 == 0 else
                                     b"".join(self.mutate(rng, rng.choice(self.LINES)) for _ in range(rng.randrange(1, 15))))
                        if step % 4 == 0:
                            sock.settimeout(0.01)
                            sock.recv(4096)
                    except OSError:
                        pass
                    finally:
                        sock.close()
        for daemon, n in before.items():
            self.node.wait(lambda: self.sockets(daemon) <= n, f"{daemon} to have closed what others left")
        with self.node.smtp() as smtp:
            smtp.sendmail("x@out.example", ["ann@uni.example"], message("after the junk"))
        self.node.wait_messages(1, "ann")

    def test_half_open_tls(self):
        """Hundreds that begin a handshake and say no more keep nobody else out."""
        idle = []
        for n in range(300):
            idle.append(self.connect(("imaps", "pop3s", "submissions")[n % 3]))
            if n % 2:
                idle[-1].sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[:1 + n % 11])
        self.node.imap().logout()
        self.node.pop3().quit()
        self.node.submission().quit()
        for sock in idle:
            sock.close()

    def test_auth_abort(self):
        """Gone in the middle of a log-in, in the clear and under TLS: nothing is left behind."""
        before = {daemon: self.sockets(daemon) for daemon in ("mta", "popimap")}
        lines = {"submission": "AUTH SCRAM-SHA-256 {}\r\n", "imap": "a AUTHENTICATE SCRAM-SHA-256 {}\r\n", "pop3": "AUTH SCRAM-SHA-256 {}\r\n"}
        for n in range(3000):
            with self.connect(("submission", "imap", "pop3")[n % 3]) as sock:
                sock.sendall(b"EHLO x\r\nAUTH PLAIN\r\n" if n % 3 == 0 else b"a AUTHENTICATE PLAIN\r\n" if n % 3 == 1 else b"AUTH PLAIN\r\n")
        for n in range(150):
            service = ("submission", "imap", "pop3")[n % 3]
            with self.node.raw(service) as wire:
                wire.line()
                if service == "submission":
                    wire.say("EHLO x")
                wire.send(self.STARTTLS[service])
                wire.line()
                wire.starttls(self.node.tls())
                if service == "submission":
                    wire.say("EHLO x")
                wire.send(lines[service].format(b64("n,,n=ann,r=x")))
                if n % 2:
                    wire.line()
        for daemon, n in before.items():
            self.node.wait(lambda: self.sockets(daemon) <= n, f"{daemon} to have closed what others left")

    def test_auth_as_somebody_else(self):
        """An authorisation identity that is not the login's own opens nothing (RFC 4616, RFC 5802)."""
        for text, code in ((f"bob\0ann\0{PASSWORD}", 535), (f"\0ann\0{PASSWORD}\0x", 535), (f"\0ann@evil.example\0{PASSWORD}", 535), ("\0\0", 535),
                           (f"\0ann@uni.example\0{PASSWORD}", 235)):
            with self.node.raw("submission") as wire:
                wire.reply()
                wire.say("EHLO x")
                wire.say("STARTTLS")
                wire.starttls(self.node.tls())
                wire.say("EHLO x")
                self.assertEqual(wire.say("AUTH PLAIN " + b64(text)), code, text)

    def test_control_sockets(self):
        for daemon in ("mta", "popimap", "ldapsync"):
            for line in (b"\n", b"{}\n", b"[]\n", b"null\n", b'{"command":5}\n', b'{"command":', b"\0\n", b"[" * 100000 + b"\n", b'{"a":' * 50000 + b"\n",
                         b"x" * 3000000, b"\xff\n", b'{"command":"ping"}\n' * 5000, b'{"command":"queue.hold","ids":[-1,{},"../../x"]}\n'):
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.settimeout(5)
                    sock.connect(self.node.path("run", daemon + ".sock"))
                    try:
                        sock.sendall(line)
                        sock.shutdown(socket.SHUT_WR)
                        sock.recv(4096)
                    except OSError:  # closed on what is no request
                        pass
            self.assertTrue(self.node.command("ping", daemon)["ok"])


if __name__ == "__main__":
    unittest.main()
