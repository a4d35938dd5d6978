# SPDX-License-Identifier: Apache-2.0
"""A whole node under everything at once, with daemons that watch themselves for data races (build/tsan), and stopped in the middle of it.

SMTP with and without TLS, submission, LMTP, IMAP (watchers, changers, folders that come and go under those who have them selected), POP3, operators'
commands, reloads, a changing directory, clients that vanish. Any report of the sanitizer fails the test; so does a reply that no such load explains,
a folder whose numbers go wrong, and a message acknowledged before the stop that is not there after it.
"""
import collections
import itertools
import json
import poplib
import random
import re
import signal
import smtplib
import threading
import time
import unittest

import sanitizer
from imap_client import Closed, Session
from load import Load
from node import DEADLINE_S, NodeTest, PASSWORD, message, user_ldif, uuid_of

LOAD_S = 30
SUBJECT = re.compile(rb"^Subject: (mark-\S+)\r$", re.M)
BODIES = ("small\r\n", "x" * 70 + "\r\n", ("x" * 70 + "\r\n") * 1500)  # the last one is a file in spool and mailbox
# A mailbox host of ours that does not answer: what waits in the queue, for those who look at it.
AWAY = ("dn: cn=mb9.uni.example,ou=hosts,dc=uni,dc=example\nobjectClass: phMailHost\ncn: mb9.uni.example\nphHostRole: store\nphHostState: up\n"
        "phHostEndpoint: lmtp=inet:127.0.0.1:1\n\n" + user_ldif("away", host="mb9.uni.example"))


class LoadTest(NodeTest):
    # kim keeps what she gets; the others' mailboxes are changed by many.
    users = ("ann", "bob", "eve", "kim")
    ldif = AWAY
    settings = {"log_level": "info", "retry_min_s": 1, "retry_max_s": 2, "submission_recipients_hour_max": 1000000, "stop_deadline_s": 30,
                "auth_failures_max": 100}

    def setUp(self):
        self.rng = random.Random(20261121)
        self.lock = threading.Lock()
        self.marks, self.acknowledged = itertools.count(), []

    # --- Mail in ---

    def text(self, kind):
        with self.lock:
            mark = f"mark-{kind}-{next(self.marks)}"
            return mark, message(mark, self.rng.choice(BODIES))

    def sent(self, mark):
        with self.lock:
            self.acknowledged.append(mark)

    def choose(self, *of):
        with self.lock:
            return self.rng.choice(of)

    def starttls(self):
        smtp = self.node.smtp()
        smtp.starttls(context=self.node.tls())
        return smtp

    def submissions(self):
        smtp = smtplib.SMTP_SSL(self.node.address, self.node.ports["submissions"], timeout=DEADLINE_S, local_hostname="laptop",
                                context=self.node.tls())
        smtp.login("ann", PASSWORD)
        return smtp

    def send(self, sender, kind):
        def step(smtp):
            mark, text = self.text(kind)
            smtp.sendmail(sender, ["kim@uni.example", self.choose("ann", "bob", "eve", "away", "ann+x") + "@uni.example"], text)
            self.sent(mark)
            return self.choose(True, True, True, False)
        return step

    def lmtp_step(self, wire):
        # A few keys, so that deliveries meet their like.
        key = self.choose(*range(1, 1000))
        wire.send(f"MAIL FROM:<a@out.example> XPHKEY={key:032x}\r\nRCPT TO:<ann@uni.example> XPHRCPT=,\r\nRCPT TO:<eve@uni.example> XPHRCPT=,\r\nDATA\r\n")
        self.assertEqual([wire.reply()[0] for _ in range(4)], [250, 250, 250, 354])
        wire.send(self.text("lmtp")[1].replace("\r\n.", "\r\n..") + ".\r\n")
        self.assertEqual([wire.reply()[0] for _ in range(2)], [250, 250])

    def vanish(self, wire):
        """Half of something, and gone."""
        wire.send(self.choose("EHLO x\r\nMAIL FROM:<a@out.example>\r\nRCPT TO:<ann@uni.example>\r\nDATA\r\nSubject: half\r\n", "EHLO x\r\nMAIL", "STARTTLS\r\n"))
        wire.close()
        return False

    # --- IMAP ---

    def imap(self, login, folder="INBOX"):
        session = Session(self.node.raw("imap")).login(self.node, login)
        session.select(folder)
        return session

    def watch(self, session):
        """IDLE until something happens or a second is over, then what came is learned."""
        end = time.monotonic() + 1
        session.idle(lambda got: len(got) > 2 or time.monotonic() > end)
        session.learn()

    def change(self, session):
        count = len(session.folder.messages)
        k = self.choose(*range(1, count + 1)) if count else 0
        if count < 5 or k == 1:
            session.append("INBOX", self.text("append")[1], self.choose("", "\\Flagged", "$Forwarded"))
        else:
            # By number: another may have taken the message, which is NO, and no fault.
            session.command(self.choose(f"STORE {k} +FLAGS (\\Seen \\Deleted)", f"STORE {k} -FLAGS (\\Seen)", f"STORE {k}:* +FLAGS.SILENT (\\Flagged)",
                                        "EXPUNGE", f"MOVE {k} Trash", f"COPY {k} Drafts", "SEARCH TEXT small", "SEARCH UNSEEN", "CHECK",
                                        f"FETCH {k} (BODY.PEEK[] ENVELOPE BODYSTRUCTURE)", f"FETCH {k}:* (UID FLAGS)", "STATUS Trash (MESSAGES UIDNEXT)",
                                        "UID EXPUNGE 1:*" if count > 40 else "NOOP"))
        if len(session.folder.messages) > 60:
            session.ok(f"STORE 1:40 +FLAGS.SILENT (\\Deleted)")
            session.ok("EXPUNGE")

    def folders(self, session):
        """Folders that are made, renamed and deleted while others have them selected."""
        n = self.choose(1, 2, 3)
        session.command(self.choose(f"CREATE box{n}", f"RENAME box{n} box{n}.new", f"RENAME box{n}.new box{n}", f"DELETE box{n}", f"DELETE box{n}.new",
                                    f"COPY 1:* box{n}", f"SUBSCRIBE box{n}", 'LIST "" *', 'LSUB "" %'))

    def in_folder(self, session):
        name = "box" + self.choose("1", "2", "3") + self.choose("", ".new")
        try:
            if session.select(name):
                session.append(name, self.text("box")[1])
                for command in ("NOOP", "FETCH 1:* FLAGS", "UID STORE 1:* +FLAGS (\\Seen)", "NOOP", "CLOSE"):
                    session.command(command)
        except Closed as error:
            self.assertIn("deleted", str(error))
            return False
        except AssertionError as error:  # the folder went between SELECT and APPEND
            self.assertIn("TRYCREATE", str(error))
        return True

    def sign_in(self, session):
        """Log-ins good and bad: they run on workers."""
        self.assertEqual(session.command('LOGIN ann "wrong"')[0], "NO")
        self.assertEqual(session.command(f'LOGIN bob "{PASSWORD}"')[0], "OK")
        session.select("INBOX", "EXAMINE")
        session.ok("LOGOUT") if self.choose(True, False) else None
        return False

    def stranger(self):
        session = Session(self.node.raw("imap"))
        session.ok("STARTTLS")
        session.wire.starttls(self.node.tls())
        return session

    # --- POP3 ---

    def pop3_step(self, _):
        try:
            pop = self.node.pop3(self.choose("ann", "bob"))
        except poplib.error_proto as error:
            self.assertIn(b"[IN-USE]", error.args[0])
            return
        count = pop.stat()[0]
        pop.uidl()
        for n in range(1, min(count, 4) + 1):
            try:
                pop.retr(n)
                if count > 20:
                    pop.dele(n)
            except poplib.error_proto:  # gone via IMAP: for it alone (PROTOCOLS 89)
                pass
        if self.choose(True, True, False):
            pop.quit()
        pop.close()

    # --- Operators ---

    def operate(self, _):
        args = self.choose(("why", "ann@uni.example"), ("queue", "list", "--json"), ("queue", "stats"), ("queue", "retry", "--all"), ("metrics",), ("status",),
                           ("directory", "status"), ("queue", "hold", "--all"), ("queue", "release", "--all"))
        done = self.node.run(*args)
        self.assertIn(done.returncode, (0, 1, 75), (args, done.stdout, done.stderr))
        self.assertFalse(sanitizer.has_report(done.stderr), done.stderr)

    def ask(self, _):
        daemon, command = self.choose(("mta", "stats"), ("popimap", "stats"), ("ldapsync", "stats"), ("popimap", "mailbox.list"), ("mta", "queue.list"),
                                      ("mta", "queue.stats"), ("mta", "ping"))
        self.assertIsNotNone(self.node.command(command, daemon), (daemon, command))

    def reload(self, _):
        self.node.overrides["recipients_max"] = self.choose(900, 1000)
        self.node.overrides["tls_min"] = self.choose("1.2", "1.3")
        self.node.write_config()
        self.node.run("reload", check=0)

    def change_directory(self, _):
        # A few come and go; too many at once would be held (shadow_brake_percent).
        self.node.write_ldif(self.node.directory_ldif() + "".join(user_ldif(f"new{n}") for n in range(self.choose(40, 41, 42))))

    # --- All of it ---

    def build(self):
        load, nothing = Load(), lambda: self
        for n in range(2):
            load.add(f"smtp{n}", self.node.smtp, self.send("x@out.example", "smtp"), 0.01)
        load.add("starttls", self.starttls, self.send("x@out.example", "starttls"), 0.01)
        load.add("submission", self.node.submission, self.send("ann@uni.example", "submission"), 0.01)
        load.add("submissions", self.submissions, self.send("ann@uni.example", "submissions"), 0.01)
        for n in range(2):
            load.add(f"lmtp{n}", self.node.lmtp, self.lmtp_step, 0.01)
        load.add("vanish", lambda: self.node.raw("smtp"), self.vanish, 0.05)
        for n in range(3):
            load.add(f"watch{n}", lambda: self.imap("ann"), self.watch)
            load.add(f"change{n}", lambda: self.imap("ann"), self.change, 0.005)
        load.add("folders", lambda: self.imap("eve"), self.folders, 0.005)
        for n in range(2):
            load.add(f"in-folder{n}", lambda: self.imap("eve"), self.in_folder, 0.005)
        load.add("sign-in", self.stranger, self.sign_in, 0.05)
        load.add("pop3", nothing, self.pop3_step, 0.02)
        load.add("operate", nothing, self.operate, 0.05)
        load.add("ask", nothing, self.ask, 0.02)
        load.add("reload", nothing, self.reload, 0.5)
        load.add("directory", nothing, self.change_directory, 0.5)
        return load

    def check_clients(self, load):
        failures = load.failures()
        if failures:
            self.fail(f"{len(failures)} failures of clients:\n" + "\n".join(failures[:5]))

    def check_reports(self):
        found = sanitizer.reports(self.node.log_text())
        if found:
            self.fail(f"{len(found)} reports:\n" + "\n".join(found[:5]))

    def test_a_node_under_load_has_no_race_and_stops(self):
        load = self.build()
        load.start()
        time.sleep(LOAD_S)
        self.check_clients(load)
        load.over.set()
        try:
            self.node.stop()
        finally:
            load.stop(DEADLINE_S)
            self.check_reports()
        self.check_clients(load)
        idle = [client.name for client in load.clients if client.steps < 3]
        self.assertEqual(idle, [], "no load worth the name")
        # After the stop: nothing that was acknowledged is lost, and the ledger adds up.
        self.node.start()
        self.node.run("queue", "release", "--all")
        self.node.wait(lambda: all(r["address"] == "away@uni.example" for m in self.node.queue() for r in m["recipients"]), "what can be delivered to be")
        self.assertTrue(json.loads(self.node.run("queue", "stats", "--json", check=0).stdout)["balanced"])
        found = collections.Counter(m.decode() for text in self.node.messages("kim") for m in SUBJECT.findall(text))
        self.assertEqual([m for m in self.acknowledged if found[m] != 1], [], f"of {len(self.acknowledged)} acknowledged, {sum(found.values())} are there")
        self.check_reports()


if __name__ == "__main__":
    unittest.main()
