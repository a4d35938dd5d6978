# SPDX-License-Identifier: Apache-2.0
"""Strangers on every port who speak no protocol: junk, half a handshake, requests to the control sockets that are none."""
import random
import select
import socket
import unittest

from node import DEADLINE_S, NodeTest, SERVICES, message


class Ports(NodeTest):
    settings = {"log_level": "info", "smtp_errors_max": 1000, "auth_failures_max": 100}
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

    def mutate(self, rng, line):
        line = bytearray(line)
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(line))
            line[at:at + rng.randrange(2)] = rng.choice((rng.randbytes(3), rng.choice(self.PIECES)))
        return bytes(line)

    def test_junk_on_every_port(self):
        rng = random.Random(2026)
        before = {daemon: self.node.sockets(daemon) for daemon in ("mta", "popimap")}
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
            self.node.wait(lambda: self.node.sockets(daemon) <= n, f"{daemon} to have closed what others left")
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

    def test_a_line_without_an_end(self):
        """Is answered as too long and ends the session, however fast it goes on."""
        answers = {"smtp": b"500 ", "submission": b"500 ", "lmtp": b"500 ", "imap": b"* BYE ", "pop3": b"-ERR "}
        for service, answer in answers.items():
            with self.connect(service) as sock:
                sock.settimeout(DEADLINE_S)
                said, sent = sock.recv(4096), 0  # the greeting
                try:
                    while sent < 256 << 20:
                        if select.select([sock], [], [], 0)[0]:
                            piece = sock.recv(4096)
                            if not piece:
                                break
                            said += piece
                        else:
                            sent += sock.send(b"MAIL NOOP " * 6000)
                except ConnectionError:
                    pass
                else:
                    self.assertLess(sent, 256 << 20, f"{service} goes on reading")
                self.assertEqual(said.count(b"\r\n" + answer), 1, (service, said))
                self.assertTrue(said.split(b"\r\n")[1].startswith(answer), (service, said))

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
