# SPDX-License-Identifier: Apache-2.0
"""What lies on the disk, who says he is a node, and a message that kills: fs-race, key-forge, poison."""
import imaplib
import os
import re
import shutil
import signal
import sqlite3
import ssl
import subprocess
import tempfile
import unittest

from node import Node, NodeTest, message, user_ldif, uuid_of
from threat import Outside, ThreatTest

BIG = "Subject: big\r\n\r\n" + ("x" * 70 + "\r\n") * 3000  # over what a database takes in


class FsRace(unittest.TestCase):
    """Somebody could write in our folders once: symbolic and hard links in the place of what we made. Whatever the daemon then does, what is
    outside is untouched and nobody reads another's mail; without the link all is as before."""

    def setUp(self):
        self.node = Node(users=("ann", "bob"), settings={"threads": 1, "retry_min_s": 1, "retry_max_s": 1, "stop_deadline_s": 1})
        self.addCleanup(self.node.remove)
        self.outside = tempfile.mkdtemp(prefix="posthouse-outside-")
        self.addCleanup(shutil.rmtree, self.outside)
        self.node.start()
        with self.node.smtp() as smtp:
            for user in ("ann", "bob"):
                smtp.sendmail("x@out.example", [f"{user}@uni.example"], message(f"secret-of-{user}"))
                smtp.sendmail("x@out.example", [f"{user}@uni.example"], BIG)
        for user in ("ann", "bob"):
            self.node.wait_messages(2, user)
        self.node.wait_queue_empty()
        self.node.stop()

    def tearDown(self):
        self.end()

    def end(self):
        """An end, clean or not: a daemon that found what it must not touch may have given up."""
        try:
            self.node.stop()
        except AssertionError:
            pass

    def data(self, *parts):
        return self.node.path("data", *parts)

    def box(self, user, *parts):
        box = uuid_of(user).replace("-", "")
        return self.data("mailboxes", box[:2], box, *parts)

    def victim(self, name="victim"):
        """Somebody else's file, which nobody must change."""
        path = os.path.join(self.outside, name)
        with open(path, "wb") as stream:
            stream.write(b"not yours\n" * 1000)
        os.chmod(path, 0o640)
        return path

    def state_outside(self):
        state = {}
        for folder, folders, files in os.walk(self.outside):
            for name in folders + files:
                path = os.path.join(folder, name)
                st = os.lstat(path)
                content = b""
                if os.path.isfile(path):
                    with open(path, "rb") as stream:
                        content = stream.read()
                state[os.path.relpath(path, self.outside)] = (st.st_mode, st.st_uid, st.st_gid, content)
        return state

    def plant(self, path, make):
        """make(path, aside): the link in the place of path, which is put aside when it is there."""
        aside = None
        if os.path.lexists(path):
            aside = path + ".aside" if os.path.dirname(path) == self.data() else os.path.join(self.outside + "-aside", os.path.basename(path))
            os.makedirs(os.path.dirname(aside), exist_ok=True)
            self.addCleanup(shutil.rmtree, self.outside + "-aside", ignore_errors=True)
            os.rename(path, aside)
        make(path)
        return aside

    def use(self):
        """Starts the node and has it work, as far as it does: deliveries, small and large, and a look at both mailboxes."""
        try:
            self.node.start()
        except AssertionError:
            return
        try:
            with self.node.smtp() as smtp:
                for text in (message("later"), BIG.replace("big", "big-later")):
                    try:
                        smtp.sendmail("x@out.example", ["ann@uni.example"], text)
                    except Exception:  # pylint: disable=broad-except  # 4xx, or a daemon that is not there
                        pass
        except OSError:
            pass
        for user, other in (("ann", "bob"), ("bob", "ann")):
            try:
                for text in self.node.messages(user):
                    self.assertNotIn(f"secret-of-{other}".encode(), text)
                    self.assertNotIn(b"not yours", text)
                self.read.add(user)
            except AssertionError:
                raise
            except Exception:  # pylint: disable=broad-except  # refused
                pass

    def attack(self, path, make):
        aside = self.plant(path, make)
        before = self.state_outside()
        self.read = set()  # whose mailbox could be read
        self.use()
        self.end()
        after = self.state_outside()
        if path.startswith(self.box("ann")):
            self.assertIn("bob", self.read, "one bad mailbox has stopped another")
        if os.path.islink(path) or (os.path.isfile(path) and os.stat(path).st_nlink > 1):
            os.unlink(path)
        if aside and not os.path.lexists(path):
            os.rename(aside, path)
        self.assertEqual(after, before, path)
        self.node.expected_errors = [re.compile("")]
        self.node.start()
        for user in ("ann", "bob"):
            texts = self.node.messages(user)
            self.assertTrue([t for t in texts if f"secret-of-{user}".encode() in t], (path, user, len(texts)))
            self.assertFalse([t for t in texts if b"Subject: secret-of-" in t and f"secret-of-{user}".encode() not in t])
        with self.node.smtp() as smtp:
            smtp.sendmail("x@out.example", ["ann@uni.example"], message("after"))
        self.node.wait(lambda: [t for t in self.node.messages("ann") if b"Subject: after" in t], "mail after the link is gone")
        self.end()

    def folder_outside(self):
        path = os.path.join(self.outside, "folder")
        os.makedirs(path, exist_ok=True)
        return path

    def test_fs_race_folders(self):
        """A folder of ours is a symbolic link to another's."""
        for path in (self.data("queue", "spool"), self.data("queue", "replay"), self.box("ann"), self.box("ann", "big"), self.data("mailboxes", "incoming"),
                     os.path.dirname(self.box("ann")), self.data("queue"), self.data("mailboxes"), self.data("shadow"), self.data("credentials")):
            with self.subTest(path=os.path.relpath(path, self.node.dir)):
                self.attack(path, lambda p: os.symlink(self.folder_outside(), p))

    def test_fs_race_files(self):
        """A file of ours is a symbolic link to another's, or to one that is not there yet."""
        for path in (self.data("queue", "queue.db"), self.data("queue", "queue.db-wal"), self.data("queue", "starts"), self.data("queue", "ballast"), self.data("queue", "disk"),
                     self.data("queue", "disk.tmp"), self.box("ann", "mail.db"), self.box("ann", "mail.db-wal"), self.data("mailboxes", "node.db"), self.data("shadow", "shadow.db"),
                     self.data("shadow", "shadow.db-wal"), self.data("credentials", "secret"), self.data("credentials", "secret.tmp"), self.data("credentials", "credentials.db")):
            for target in (self.victim(), os.path.join(self.outside, "missing")):
                with self.subTest(path=os.path.relpath(path, self.node.dir), target=os.path.basename(target)):
                    self.attack(path, lambda p: os.symlink(target, p))

    def test_fs_race_hard_links(self):
        """A file of ours is another name of somebody else's: it is not given to us, not changed, not shown."""
        for path in (self.data("credentials", "secret"), self.data("queue", "starts"), self.data("queue", "ballast"), self.box("ann", "mail.db")):
            with self.subTest(path=os.path.relpath(path, self.node.dir)):
                victim = self.victim()
                os.chown(victim, 12345, 12345)
                self.attack(path, lambda p: os.link(victim, p))

    def test_fs_race_of_a_body(self):
        """A body's file is another's: by a symbolic or a hard link, owned by somebody else. It is not shown, whoever asks."""
        name = os.listdir(self.box("ann", "big"))[0]
        other = os.listdir(self.box("bob", "big"))[0]
        victim = self.victim()
        with open(victim, "ab") as stream:  # as long as what it stands for
            stream.truncate(os.stat(self.box("ann", "big", name)).st_size)
        os.chown(victim, 12345, 12345)
        for make in (lambda p: os.symlink(victim, p), lambda p: os.link(victim, p), lambda p: os.symlink(self.box("bob", "big", other), p), os.mkfifo):
            path = self.box("ann", "big", name)
            aside = self.plant(path, make)
            before = self.state_outside()
            self.node.start()
            imap = self.node.imap("ann")
            imap.select()
            self.assertIn(b"secret-of-ann", imap.fetch("1", "(BODY.PEEK[])")[1][0][1])
            try:
                data = imap.fetch("2", "(BODY.PEEK[])")[1]
                self.assertNotIn(b"not yours", b"".join(b"".join(d) if isinstance(d, tuple) else d or b"" for d in data))
            except imap.abort:  # what was announced cannot be sent
                pass
            imap.shutdown()
            self.end()
            self.assertEqual(self.state_outside(), before)
            os.unlink(path)
            os.rename(aside, path)

    def test_fs_race_of_another_mailbox(self):
        """A mailbox whose folder, or whose database, is another's."""
        self.attack(self.box("ann"), lambda p: os.symlink(self.box("bob"), p))
        self.attack(self.box("ann", "mail.db"), lambda p: os.symlink(self.box("bob", "mail.db"), p))

    def test_fs_race_of_one_file_for_two_mailboxes(self):
        """Two mailboxes' databases are one file. Neither is opened while that is so, or what one's log holds would be written into the other."""
        contents = {}
        for user in ("ann", "bob"):
            with open(self.box(user, "mail.db"), "rb") as stream:
                contents[user] = stream.read()
        path, victim = self.box("ann", "mail.db"), self.box("bob", "mail.db")
        aside = self.plant(path, lambda p: os.link(victim, p))
        self.node.expect_error("two mailboxes may be one file")
        self.node.start()
        for user in ("ann", "bob"):
            with self.assertRaises(imaplib.IMAP4.error, msg=user):
                self.node.messages(user)
            with self.node.smtp() as smtp:
                smtp.sendmail("x@out.example", [f"{user}@uni.example"], message(f"later-for-{user}"))
        self.node.wait(lambda: self.node.log_text().count("two mailboxes may be one file") >= 2, "both to be refused")
        self.end()
        with open(victim, "rb") as stream:
            self.assertEqual(stream.read(), contents["bob"])
        os.unlink(path)
        os.rename(aside, path)
        self.node.start()
        for user in ("ann", "bob"):
            self.node.wait(lambda: [t for t in self.node.messages(user) if f"later-for-{user}".encode() in t], "what waited")
            texts = self.node.messages(user)
            self.assertEqual(sum(b"Subject: secret-of-" in t for t in texts), 1)
            self.assertTrue([t for t in texts if f"secret-of-{user}".encode() in t])

    def test_rows_of_one_mailbox_are_damaged(self):
        """A message is longer than its body, says its row. It is not shown; its mailbox, the others and the daemon go on."""
        with sqlite3.connect(self.box("ann", "mail.db")) as db:
            db.execute("UPDATE msg SET bytes = bytes + 1000 WHERE id & 0xffffffff = 1")
        db.close()
        self.node.start()
        pids = self.node.daemon_pids()
        imap = self.node.imap("ann")
        imap.select()
        with self.assertRaises((imaplib.IMAP4.error, imaplib.IMAP4.abort, AssertionError)):
            kind, data = imap.fetch("1", "(BODY.PEEK[])")
            self.assertEqual((kind, len(data)), ("OK", 2))
        imap.shutdown()
        self.assertTrue(self.node.messages("bob"))
        imap = self.node.imap("ann")
        imap.select()
        self.assertIn(b"Subject: big", imap.fetch("2", "(BODY.PEEK[HEADER])")[1][0][1])
        imap.logout()
        self.assertEqual(self.node.daemon_pids(), pids)

    def test_fs_race_of_sockets(self):
        """The place of a control socket is taken: by a link to a file of somebody else's, by a folder."""
        shutil.rmtree(self.node.path("run"), ignore_errors=True)
        os.makedirs(self.node.path("run"))
        victim = self.victim()
        before = self.state_outside()
        os.symlink(victim, self.node.path("run", "mta.sock"))
        self.read = set()
        self.use()
        self.end()
        self.assertEqual(self.state_outside(), before)


class KeyForge(ThreatTest):
    """A delivery key says "if you have this, it was delivered". From anybody but a node of ours it is refused, with an alarm."""
    users = ("ann", "bob")
    KEY = "f" * 32

    def lmtp(self, certificate=None):
        wire = self.node.raw("lmtp")
        wire.reply()
        self.assertEqual(wire.say("LHLO front"), 250)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.load_cert_chain(self.node.path(certificate + ".pem"), self.node.path(certificate + ".key"))
            self.assertEqual(wire.say("STARTTLS"), 220)
            wire.starttls(context)
            self.assertEqual(wire.say("LHLO front"), 250)
        return wire

    def test_key_forge(self):
        self.node.expect_error("delivery key from a peer that is not one of our nodes")
        # A certificate of one's own under the name of a node, and the one that the public ports show: neither is pinned.
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=mb1.uni.example",
                        "-addext", "subjectAltName=DNS:mb1.uni.example", "-keyout", self.node.path("evil.key"), "-out", self.node.path("evil.pem")],
                       check=True, capture_output=True)
        for certificate in (None, "evil", "tls"):
            with self.lmtp(certificate) as wire:
                for line in (f"MAIL FROM:<> XPHKEY={self.KEY}", f"MAIL FROM:<> xphkey={self.KEY}", f"MAIL FROM:<> BODY=8BITMIME XPHKEY={self.KEY}"):
                    self.assertEqual(wire.say(line), 550, (certificate, line))
                for line in ("MAIL FROM:<> XPHKEY=", "MAIL FROM:<> XPHKEY", "MAIL FROM:<> XPHKEY=zz", f"MAIL FROM:<> XPHKEY={self.KEY}0", f"MAIL FROM:<> XPHKEY={self.KEY} XPHKEY={self.KEY}"):
                    self.assertIn(wire.say(line), (501, 550), (certificate, line))
                self.assertEqual(wire.say("MAIL FROM:<>"), 250)
                for line in ("RCPT TO:<ann@uni.example> XPHRCPT=,", "RCPT TO:<ann@uni.example> XPHRCPT=x,y"):
                    self.assertEqual(wire.say(line), 550, (certificate, line))
                self.assertIn(wire.say("DATA"), (503, 554))
        os.unlink(self.node.path("evil.key"))
        os.unlink(self.node.path("evil.pem"))
        for session in (self.stranger, self.user):  # to SMTP such a parameter is unknown
            with session() as wire:
                self.assertIn(wire.say("RCPT TO:<ann@uni.example> XPHRCPT=,"), (501, 555))
                self.assertEqual(wire.say("RSET"), 250)
                self.assertIn(wire.say(f"MAIL FROM:<ann@uni.example> XPHKEY={self.KEY}"), (501, 555))
        self.assertRegex(self.node.run("metrics", "popimap").stdout, r"posthouse_popimap_lmtp_forged_total [1-9]")
        # What the forger wanted to suppress is delivered all the same, once.
        for _ in range(2):
            with self.lmtp("node") as wire:
                self.assertEqual(wire.say(f"MAIL FROM:<> XPHKEY={self.KEY}"), 250)
                self.assertEqual(wire.say("RCPT TO:<ann@uni.example> XPHRCPT=,"), 250)
                self.assertEqual(wire.say("DATA"), 354)
                wire.send(message("not suppressed") + "\r\n.\r\n")
                self.assertEqual(wire.reply()[0], 250)
        self.arrives["ann"] += 1


class Poison(NodeTest):
    """A message that kills whoever handles it. Here the killer is we: each time the front-end has begun to deliver it."""
    users = ("ann", "bob")
    settings = {"log_level": "info", "retry_min_s": 1, "retry_max_s": 1}

    @classmethod
    def setUpClass(cls):
        cls.outside = Outside()
        cls.outside.stalls = "victim"
        cls.ldif = user_ldif("victim", host="mb9.uni.example") + (
            "dn: cn=mb9,ou=hosts,dc=uni,dc=example\nobjectClass: phMailHost\ncn: mb9.uni.example\nphHostRole: store\n"
            f"phHostEndpoint: lmtp=inet:{cls.outside.endpoint}\n\n")
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        try:
            super().tearDownClass()
        finally:
            cls.outside.close()

    def state(self):
        return [r["state"] for m in self.node.queue() for r in m["recipients"] if r["address"] == "victim@uni.example"]

    def test_poison(self):
        self.node.expect_error("daemon")
        self.node.expect_error("held")
        with self.node.smtp() as smtp:
            smtp.sendmail("x@out.example", ["victim@uni.example"], message("poison"))
        deaths = 0
        while self.state() != ["held"]:
            self.assertLess(deaths, 6, "it is never held")
            self.node.wait(lambda: self.outside.stalled > deaths or self.state() == ["held"], "a delivery to begin")
            if self.state() == ["held"]:
                break
            pid = self.node.daemon_pids()["mta"]
            os.kill(pid, signal.SIGKILL)
            deaths += 1
            self.node.wait(lambda: self.node.daemon_pids().get("mta", pid) != pid and self.node.command("ping", "mta"), "the front-end to be back")
        self.assertGreaterEqual(deaths, 3)
        self.assertRegex(self.node.log_text(), "level=error .*held")
        # Others are served, before and after an administrator looks.
        with self.node.smtp() as smtp:
            smtp.sendmail("x@out.example", ["bob@uni.example"], message("beside"))
        self.node.wait_messages(1, "bob")
        self.outside.stalls = None
        self.node.run("queue", "release", "--all", check=0)
        self.node.wait_queue_empty()
        self.assertEqual(self.outside.recipients(), ["victim@uni.example"])


if __name__ == "__main__":
    unittest.main()
