# SPDX-License-Identifier: Apache-2.0
"""LMTP over real sockets: TLS between nodes, delivery keys that make a delivery happen once, and what strangers may not do."""
import contextlib
import imaplib
import json
import os
import socket
import sqlite3
import ssl
import subprocess
import unittest

from node import PASSWORD, NodeTest, message, uuid_of

KEY = "0123456789abcdef0123456789abcdef"


class Lmtp(NodeTest):
    users = ("ann", "bob")

    def wire(self, certificate=None):
        """A session after LHLO; certificate: over TLS, and shown to the server."""
        wire = self.node.lmtp(certificate)
        self.offers = wire.offers
        return wire

    def data(self, wire, text, recipients=1):
        self.assertEqual(wire.say("DATA"), 354)
        wire.send(text.replace("\r\n.", "\r\n..") + ".\r\n")
        return [wire.reply()[0] for _ in range(recipients)]

    def test_01_a_node_delivers_once(self):
        for _ in range(3):
            with self.wire("node") as wire:
                self.assertIn("XPHKEY", self.offers)
                self.assertEqual(wire.say(f"MAIL FROM:<ann@uni.example> XPHKEY={KEY}"), 250)
                self.assertEqual(wire.say("RCPT TO:<bob@uni.example> XPHRCPT=,"), 250)
                self.assertEqual(self.data(wire, message("once")), [250])
        found = self.node.wait_messages(1, "bob")
        self.assertTrue(found[0].startswith(b"Return-Path: <ann@uni.example>\r\nDelivered-To: bob@uni.example\r\n"), found[0][:100])

    def test_02_a_forged_key_is_refused(self):
        self.node.expect_error("delivery key from a peer that is not one of our nodes")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
                        "-subj", "/CN=mb1.uni.example", "-keyout", self.node.path("evil.key"), "-out", self.node.path("evil.pem")],
                       check=True, capture_output=True)
        for certificate in (None, "evil"):
            with self.wire(certificate) as wire:
                self.assertNotIn("XPHKEY", self.offers)
                self.assertEqual(wire.say(f"MAIL FROM:<> XPHKEY={'f' * 32}"), 550)
                self.assertEqual(wire.say("MAIL FROM:<>"), 250)
                self.assertEqual(wire.say("RCPT TO:<ann@uni.example> XPHRCPT=,"), 550)
        # What the forger wanted to suppress is delivered all the same.
        with self.wire("node") as wire:
            self.assertEqual(wire.say(f"MAIL FROM:<> XPHKEY={'f' * 32}"), 250)
            self.assertEqual(wire.say("RCPT TO:<ann@uni.example> XPHRCPT=,"), 250)
            self.assertEqual(self.data(wire, message("not suppressed")), [250])
        self.node.wait_messages(1, "ann")

    def test_03_one_reply_for_each_recipient(self):
        with self.wire() as wire:
            wire.send("MAIL FROM:<a@else.example>\r\nRCPT TO:<ann@uni.example>\r\nRCPT TO:<nobody@uni.example>\r\nRCPT TO:<bob+x@uni.example>\r\nDATA\r\n")
            self.assertEqual([wire.reply()[0] for _ in range(5)], [250, 250, 550, 250, 354])
            wire.send(message("two") + ".\r\nRSET\r\n")
            self.assertEqual([wire.reply()[0] for _ in range(3)], [250, 250, 250])

    def test_04_a_large_message_is_a_file_and_comes_out_whole(self):
        text = message("large", "".join(f"line {i} of many\r\n" for i in range(150000)))
        with self.wire() as wire:
            self.assertEqual(wire.say("MAIL FROM:<a@else.example>"), 250)
            self.assertEqual(wire.say("RCPT TO:<ann@uni.example>"), 250)
            self.assertEqual(self.data(wire, text), [250])
        mailbox = uuid_of("ann").replace("-", "")
        big = self.node.path("data", "mailboxes", mailbox[:2], mailbox, "big")
        self.assertEqual(len(os.listdir(big)), 1)
        found = [m for m in self.node.messages("ann") if b"Subject: large" in m]
        self.assertEqual(len(found), 1)
        self.assertEqual(found[0].split(b"\r\n", 2)[2], text.encode())
        self.assertEqual(os.listdir(self.node.path("data", "mailboxes", "incoming")), [])

    def test_05_chunks(self):
        """BDAT: octets exactly as they were sent; one reply for each chunk, after the last one for each recipient (PROTOCOLS 98)."""
        chunks = (b"Subject: chunks\r", b"\n\r\n.\r\n..\r\n", b"x" * 100000, b"")
        with self.wire() as wire:
            self.assertIn("CHUNKING", self.offers)
            wire.send("MAIL FROM:<a@else.example>\r\nRCPT TO:<ann@uni.example>\r\nRCPT TO:<nobody@uni.example>\r\nRCPT TO:<bob@uni.example>\r\n")
            self.assertEqual([wire.reply()[0] for _ in range(4)], [250, 250, 550, 250])
            wire.send(b"".join(b"BDAT %d%s\r\n%b" % (len(c), b"" if c else b" LAST", c) for c in chunks) + b"NOOP\r\nVRFY x\r\n")
            self.assertEqual([wire.reply()[0] for _ in range(7)], [250] * 6 + [252])
        for user in ("ann", "bob"):
            found = [m for m in self.node.messages(user) if b"Subject: chunks" in m]
            self.assertEqual(len(found), 1)
            self.assertTrue(found[0].endswith(b"\r\n" + b"".join(chunks)), found[0][:200])

    def test_06_the_mailboxes_are_listed(self):
        ids = set()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.node.path("run", "popimap.sock"))
            sock.sendall(b'{"command": "mailbox.list"}\n')
            for line in sock.makefile("rb"):
                answer = json.loads(line)
                if "ok" in answer:
                    break
                ids.add(answer["item"]["mailbox"])
        self.assertTrue(answer["ok"], answer)
        self.assertEqual(ids, {uuid_of("ann").replace("-", ""), uuid_of("bob").replace("-", "")})

    def test_07_mail_survives_kill_9(self):
        """Deliveries that were acknowledged before a kill are there after it; those sent again are not there twice."""
        self.node.expect_error("daemon died and is started again")
        sent = []
        with self.wire("node") as wire:
            for i in range(20):
                key = f"{i + 1:032x}"
                self.assertEqual(wire.say(f"MAIL FROM:<ann@uni.example> XPHKEY={key}"), 250)
                self.assertEqual(wire.say("RCPT TO:<bob@uni.example> XPHRCPT=,"), 250)
                self.assertEqual(self.data(wire, message(f"kill {i}")), [250])
                sent.append(key)
        pid = self.node.daemon_pids()["popimap"]
        os.kill(pid, 9)
        self.node.wait(lambda: self.node.daemon_pids().get("popimap") not in (None, pid) and self.node.is_up(), "popimap to be back")
        with self.wire("node") as wire:
            for i, key in enumerate(sent):
                self.assertEqual(wire.say(f"MAIL FROM:<ann@uni.example> XPHKEY={key}"), 250)
                self.assertEqual(wire.say("RCPT TO:<bob@uni.example> XPHRCPT=,"), 250)
                self.assertEqual(self.data(wire, message(f"kill {i}")), [250])
        found = [m for m in self.node.messages("bob") if b"Subject: kill " in m]
        self.assertEqual(len(found), 20)

    def test_08_a_mailbox_of_another_format(self):
        """It is left as it is and said in the log, with what to do; its mail waits at the sender; the others are served."""
        mailbox = uuid_of("ann").replace("-", "")
        path = self.node.path("data", "mailboxes", mailbox[:2], mailbox, "mail.db")
        before = len(self.node.messages("ann"))

        def set_format(version):
            self.node.stop()
            with contextlib.closing(sqlite3.connect(path)) as db:
                (old,) = db.execute("PRAGMA user_version").fetchone()
                db.execute(f"PRAGMA user_version={version}")
                db.commit()
            self.node.start()
            return old

        ours = set_format(1)
        for version, advice in ((1, "is too old for this program"), (99, "upgrade, or restore a backup")):
            set_format(version)
            with self.wire("node") as wire:
                self.assertEqual(wire.say("MAIL FROM:<>"), 250)
                self.assertEqual([wire.say(f"RCPT TO:<{user}@uni.example>") for user in ("ann", "bob")], [250, 250])
                self.assertEqual(self.data(wire, message(f"format {version}"), 2), [451, 250])
            with self.node.imap(None) as imap, self.assertRaisesRegex(imaplib.IMAP4.error, "UNAVAILABLE"):
                imap.login("ann", PASSWORD)
            said = [line for line in self.node.log_text().splitlines() if f"{path}: format {version} " in line]
            self.assertTrue(any("delivery failed" in line for line in said) and any("mailbox cannot be opened" in line for line in said), said)
            self.assertTrue(all(advice in line and str(ours) in line for line in said), said)
        set_format(ours)
        self.assertEqual(len(self.node.messages("ann")), before)


NOBODY = 65534


class OneNode(NodeTest):
    """Front-end and mailboxes of one node meet on a socket in run_dir, where nobody else is let in."""
    users = ("ann", "bob")

    def socket_path(self):
        return self.node.path("run", "lmtp.sock")

    def deliver(self, subject):
        with self.node.smtp() as smtp:
            smtp.sendmail("x@out.example", ["bob@uni.example"], message(subject))
        self.node.wait(lambda: any(f"Subject: {subject}".encode() in m for m in self.node.messages("bob")), f"mail over the {subject}")

    def test_01_without_the_socket_mail_goes_to_the_port(self):
        os.unlink(self.socket_path())
        self.deliver("port")
        self.assertIn("peer certificate", self.node.log_text())

    def test_02_mail_goes_over_the_socket(self):
        self.node.stop()
        seen = len(self.node.log_text())
        port = f":{self.node.ports['lmtp']}\n"
        self.assertIn(port, self.node.directory_ldif())
        self.node.write_ldif(self.node.directory_ldif().replace(port, ":1\n"))  # where nobody is
        self.node.start()
        self.deliver("socket")
        self.assertNotIn("peer certificate", self.node.log_text()[seen:])

    def as_nobody(self, *lines):
        """Codes of the replies that a process of another user hears, whatever lies above the socket's folder; or why it is not let in."""
        folder = os.open(self.node.path("run"), os.O_PATH)
        out, back = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.settimeout(30)
                    sock.connect(f"/proc/self/fd/{folder}/lmtp.sock")
                    stream = sock.makefile("rb")
                    for line in (None, *lines):
                        if line:
                            sock.sendall(line + b"\r\n")
                        while (heard := stream.readline())[3:4] == b"-":
                            os.write(back, heard)
                        os.write(back, heard)
            except OSError as problem:
                os.write(back, type(problem).__name__.encode())
            os._exit(0)
        os.close(back)
        os.close(folder)
        with os.fdopen(out, "rb") as stream:
            heard = stream.read()
        os.waitpid(pid, 0)
        return heard

    def test_03_it_is_the_front_ends_alone(self):
        self.assertEqual(os.stat(self.socket_path()).st_mode & 0o777, 0o600)
        if os.geteuid() != 0:
            self.skipTest("only root can be somebody else")
        os.chmod(self.node.path("run"), 0o755)
        self.assertEqual(self.as_nobody(), b"PermissionError")
        os.chmod(self.socket_path(), 0o666)  # even if somebody made it everybody's
        heard = self.as_nobody(b"LHLO x", b"MAIL FROM:<> XPHKEY=" + KEY.encode(), b"MAIL FROM:<>", b"RCPT TO:<ann@uni.example>", b"BDAT 1 LAST\r\nx")
        self.assertNotIn(b"XPHKEY", heard)
        self.assertEqual([line[:3] for line in heard.splitlines() if line[3:4] == b" "], [b"220", b"250", b"530", b"530", b"530", b"503"])
        self.assertEqual(self.node.messages("ann"), [])


if __name__ == "__main__":
    unittest.main()
