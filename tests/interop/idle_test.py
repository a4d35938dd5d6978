# SPDX-License-Identifier: Apache-2.0
"""Ten thousand idle IMAP sessions: served by a bounded number of threads, all of them alive, told of new mail, and at the cap a BYE."""
import json
import os
import resource
import selectors
import smtplib
import socket
import time
import unittest

from node import DEADLINE_S, NodeTest, PASSWORD, message

SESSIONS = 10000
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
USERS = tuple(f"u{n:03d}" for n in range(100))


class Idle(NodeTest):
    users = USERS
    settings = {"auth_plaintext": "trusted", "imap_login_s": 600, "log_level": "info", "store_threads": 16}

    def threads(self):
        return len(os.listdir(f"/proc/{self.node.daemon_pids()['popimap']}/task"))

    def open_session(self, user):
        sock = socket.create_connection((self.node.address, self.node.ports["imap"]), timeout=DEADLINE_S)
        sock.sendall(f'a LOGIN {user} "{PASSWORD}"\r\nb SELECT INBOX\r\nc IDLE\r\n'.encode())
        return sock

    def read_until(self, sock, marks):
        data = b""
        while not any(mark in data for mark in marks):
            piece = sock.recv(65536)
            if not piece:
                return data
            data += piece
        return data

    def test_ten_thousand(self):
        sessions = []
        try:
            while len(sessions) < SESSIONS:
                batch = [self.open_session(USERS[(len(sessions) + n) % len(USERS)]) for n in range(100)]
                for sock in batch:
                    self.assertIn(b"+ ", self.read_until(sock, [b"\r\n+ "]))
                sessions += batch
            cores = len(os.sched_getaffinity(0))
            self.assertLessEqual(self.threads(), cores + 8 + 16 + 1)  # and one of a sanitizer's own
            with smtplib.SMTP(self.node.address, self.node.ports["smtp"], timeout=DEADLINE_S, local_hostname="client.example") as smtp:
                smtp.sendmail("a@out.example", ["u007@uni.example"], message("wake", to="u007@uni.example"))
            told = [sock for n, sock in enumerate(sessions) if USERS[n % len(USERS)] == "u007"]
            for sock in told:
                self.assertIn(b"1 EXISTS", self.read_until(sock, [b"EXISTS"]))
            with selectors.DefaultSelector() as others:
                for n, sock in enumerate(sessions):
                    if USERS[n % len(USERS)] != "u007":
                        others.register(sock, selectors.EVENT_READ)
                self.assertEqual(others.select(0), [])
            for sock in sessions[::100]:
                sock.sendall(b"DONE\r\nd NOOP\r\n")
                self.assertIn(b"d OK", self.read_until(sock, [b"d OK", b"d NO", b"d BAD"]))
        finally:
            for sock in sessions:
                sock.close()


class Cap(NodeTest):
    settings = {"auth_plaintext": "trusted", "imap_connections_max": 20, "smtp_connections_max": 20}

    def test_over_the_cap(self):
        for service, greeting, refusal in (("imap", b"* OK", b"* BYE"), ("smtp", b"220", b"421")):
            kept = [self.node.raw(service) for _ in range(20)]
            for wire in kept:
                self.assertTrue(wire.stream.readline().startswith(greeting))
            over = self.node.raw(service)
            self.assertTrue(over.stream.readline().startswith(refusal), service)
            daemon = {"imap": "popimap", "smtp": "mta"}[service]
            metrics = json.loads(self.node.run("--json", "metrics", daemon, check=0).stdout)["metrics"]
            self.assertEqual(metrics[{"imap": "popimap_over_cap", "smtp": "mta_smtp_over_cap"}[service]], 1)
            self.assertGreater(metrics[daemon + "_tls_expires"], time.time())
            for wire in kept + [over]:
                wire.close()


if __name__ == "__main__":
    unittest.main()
