# SPDX-License-Identifier: Apache-2.0
"""Who is away answers once: personal mail to a user with phVacation is delivered, and its sender gets one reply an interval; nobody gets one who
must not (RFC 3834). Whole nodes; senders are users of ours, or outside, where a next hop keeps what it gets."""
import base64
import email
import email.policy
import os
import pwd
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
import unittest

from nexthop import NextHop
from node import DEADLINE_S, Node, NodeTest, Wire, message, user_ldif, uuid_of


FOR_EVER = 2**63 - 1  # of an answer that still waits


def stamp(seconds):
    """GeneralizedTime of now and so many seconds."""
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + seconds))


def away(uid, text="I am away.", extra="", vacation="on"):
    return user_ldif(uid, extra=f"phVacation: {vacation}\nphVacationText: {text}\n{extra}")


def b64(text):
    return base64.b64encode(text.encode()).decode()


def parsed(data):
    return email.message_from_bytes(data, policy=email.policy.default)


class VacationTest(NodeTest):
    """One node whose mail for elsewhere goes to a next hop."""
    users = ("ann", "bob")

    @classmethod
    def start_node(cls):
        cls.hop = NextHop(cls.node.address)
        cls.hop.__enter__()
        cls.node.overrides.update(relayhost=cls.hop.address, relayhost_tls="none", retry_min_s=1, retry_max_s=1)
        super().start_node()

    @classmethod
    def tearDownClass(cls):
        try:
            super().tearDownClass()
        finally:
            cls.hop.__exit__(None, None, None)

    def send(self, to, subject, sender="pat@else.example", header="", addressed=None):
        text = f"From: <{sender}>\r\nTo: <{addressed or to}>\r\nSubject: {subject}\r\nMessage-ID: <{subject.split()[0]}@client.example>\r\n{header}\r\nhello\r\n"
        before = len(self.verdicts())
        with self.node.smtp() as smtp:
            smtp.sendmail(sender, [to], text.encode())
        self.node.wait(lambda: len(self.verdicts()) > before, "the verdict on " + subject)
        return self.verdicts()[before]

    def verdicts(self):
        return [line for line in self.node.log_text().splitlines() if 'msg="message to somebody who is away"' in line]

    def replies(self, to):
        return [r for r in self.hop.got if r.recipients == [to]]

    def settle(self):
        """All that was to be sent has been sent."""
        self.node.wait_queue_empty()

    def wait_replies(self, n, to):
        self.node.wait(lambda: len(self.replies(to)) >= n, f"{n} replies to {to}")
        self.settle()
        self.assertEqual(len(self.replies(to)), n, self.replies(to))
        return [parsed(r.data) for r in self.replies(to)]


class Replies(VacationTest):
    ldif = (away("joe", extra="displayName: Jörg König\nphVacationSubject: Bin weg – zurück am 1. Dezember\n",
                 text="Ich bin in Köln. = .")
            + user_ldif("evil", extra="phVacation: on\nphVacationSubject:: " + b64("x\r\nBcc: all@uni.example") + "\nphVacationText:: "
                        + b64("first\r\n.\r\nMAIL FROM:<x@y.example>\n\nlast") + "\n")
            + user_ldif("joe-marie") + away("jim", extra="phVacationInterval: 1\n") + away("plain"))

    def test_01_a_reply_and_its_form(self):
        self.assertIn("answered=true", self.send("joe@uni.example", "Frage eins", header="References: <old@x.example>\r\n"))
        reply, = self.wait_replies(1, "pat@else.example")
        raw = self.replies("pat@else.example")[0]
        self.assertFalse(raw.sender)  # <>
        self.assertEqual(reply["From"].addresses[0].addr_spec, "joe@uni.example")
        self.assertEqual(reply["From"].addresses[0].display_name, "Jörg König")
        self.assertEqual(reply["To"].addresses[0].addr_spec, "pat@else.example")
        self.assertEqual(reply["Subject"], "Bin weg – zurück am 1. Dezember")
        self.assertEqual(reply["Auto-Submitted"], "auto-replied")
        self.assertEqual(reply["In-Reply-To"], "<Frage@client.example>")
        self.assertEqual(reply["References"], "<old@x.example> <Frage@client.example>")
        self.assertEqual(reply.get_content_type(), "text/plain")
        self.assertEqual(reply.get_content().splitlines(), ["Ich bin in Köln. = ."])
        self.assertIsNotNone(reply["Date"].datetime)
        self.assertRegex(reply["Message-ID"], r"^<[0-9a-f]{32}@mx\.uni\.example>$")
        self.assertTrue(raw.data.isascii())
        self.assertEqual(len(self.node.messages("joe")), 1)

    def test_02_once_an_interval(self):
        for i in range(3):
            verdict = self.send("jim@uni.example", f"again{i}", "kim@else.example")
            self.assertEqual("answered=true" in verdict, i == 0, verdict)
        self.assertIn("answered=true", self.send("jim@uni.example", "other", "lee@else.example"))
        self.wait_replies(1, "kim@else.example")
        reply, = self.wait_replies(1, "lee@else.example")
        self.assertEqual(reply["Subject"], "Auto: other")
        self.node.wait_messages(4, "jim")

    def test_03_nobody_who_must_not(self):
        cases = {
            "from <>": dict(sender=""), "a list": dict(header="List-Id: <l.else.example>\r\n"), "bulk": dict(header="Precedence: bulk\r\n"),
            "a program": dict(header="Auto-Submitted: auto-generated\r\n"), "an answer": dict(header="Auto-Submitted: auto-replied\r\n"),
            "blind copy": dict(addressed="someone@else.example"), "owner": dict(sender="owner-news@else.example"),
            "request": dict(sender="news-request@else.example"), "daemon": dict(sender="MAILER-DAEMON@else.example"),
            "noreply": dict(sender="noreply@else.example"), "own": dict(sender="plain@uni.example"),
            "suppressed": dict(header="X-Auto-Response-Suppress: All\r\n"), "unsubscribe": dict(header="List-Unsubscribe: <mailto:x@y.example>\r\n"),
            "a crowded header": dict(addressed="a@b.example", header=("Cc: " + "a_b@c," * 150 + "\r\n") * 60 + "Cc: plain@uni.example\r\n"),
            "a long header": dict(header="X-Long: " + "x" * 70 + "\r\n" + ("\t" + "y" * 70 + "\r\n") * 1000),
        }
        before = len(self.hop.got)
        for name, how in cases.items():
            with self.subTest(name):
                self.assertIn("answered=false", self.send("plain@uni.example", name.replace(" ", "-"), **how))
        self.settle()
        self.assertEqual(len(self.hop.got), before, self.hop.got[before:])
        self.node.wait_messages(len(cases), "plain")

    def test_05_nothing_gets_out_of_its_place(self):
        """Subject, ids and text of strangers and of the directory."""
        hostile = "Subject: =?utf-8?q?x=0D=0ABcc:_all=40uni.example?=\r\nReferences: <a\r\n b@x> <" + "y" * 900 + "@z> <c@d>\r\n"
        text = f"From: <eva@else.example>\r\nTo: <evil@uni.example>\r\nMessage-ID: <m\u00fc@x>\r\n{hostile}\r\nhello\r\n"
        with self.node.smtp() as smtp:
            smtp.ehlo()
            smtp.sendmail("eva@else.example", ["evil@uni.example"], text.encode(), mail_options=["SMTPUTF8"])
        reply, = self.wait_replies(1, "eva@else.example")
        raw = self.replies("eva@else.example")[0].data
        self.assertNotIn(b"\nBcc:", raw)
        self.assertIsNone(reply["In-Reply-To"])
        self.assertEqual(reply["References"], "<ab@x> <c@d>")
        self.assertEqual(reply.get_content().splitlines(), ["first", ".", "MAIL FROM:<x@y.example>", "", "last"])
        self.assertTrue(raw.isascii())

    def test_04_two_who_are_away(self):
        self.assertIn("answered=true", self.send("plain@uni.example", "to-plain", "joe@uni.example"))
        found = self.node.wait(lambda: [m for m in map(parsed, self.node.messages("joe")) if m["Subject"] == "Auto: to-plain"], "joe's reply")
        self.assertEqual(found[0]["Auto-Submitted"], "auto-replied")
        self.settle()
        self.assertEqual([m for m in map(parsed, self.node.messages("plain")) if m["Auto-Submitted"] and "joe" in m["From"]], [])
        self.assertIn("the message is a report", self.verdicts()[-1])

    def test_06_a_hyphen_is_part_of_a_name(self):
        """With the delimiter "+" joe-marie is not joe, as a sender or as who is addressed."""
        self.assertIn("answered=false", self.send("joe@uni.example", "not-to-joe", addressed="joe-marie@uni.example"))
        self.assertIn("answered=true", self.send("joe@uni.example", "from-marie", "joe-marie@uni.example"))
        self.node.wait_messages(1, "joe-marie")
        self.assertIn("answered=false", self.send("joe@uni.example", "from-joe", "joe+marie@uni.example"))



class Window(VacationTest):
    """When: the time of the vacation, and of the interval."""
    ldif = away("soon", vacation="scheduled", extra=f"phVacationStart: {stamp(3600)}\n") + away("past", vacation="scheduled", extra=f"phVacationEnd: {stamp(-3600)}\n")
    plan = "phVacationStart: {}\nphVacationEnd: {}\n"

    def change(self, ldif):
        self.node.extra_ldif = ldif
        version = self.node.why("ann@uni.example")["shadow"]["version"]
        self.node.write_ldif()
        self.node.wait(lambda: self.node.why("ann@uni.example")["shadow"]["version"] > version, "the change in the shadow")

    def set_back(self, uid, days):
        """All answers of a mailbox were sent so many days before."""
        box = uuid_of(uid).replace("-", "")
        self.node.stop()
        with sqlite3.connect(self.node.path("data", "mailboxes", box[:2], box, "mail.db")) as db:
            for key, value in db.execute("SELECT k, v FROM row WHERE k>=x'6f' AND k<x'70'").fetchall():
                forget_ms, until_ms, made_ms, modseq = struct.unpack(">QQQQ", value)
                back_ms = days * 86400000
                times = (forget_ms if forget_ms == FOR_EVER else forget_ms - back_ms, until_ms - back_ms, made_ms - back_ms, modseq)
                db.execute("UPDATE row SET v=? WHERE k=?", (struct.pack(">QQQQ", *times), key))
        db.close()
        self.node.start()

    def test_01_before_and_after(self):
        for uid in ("soon", "past"):
            with self.node.smtp() as smtp:
                smtp.sendmail("pat@else.example", [f"{uid}@uni.example"], message("x", to=f"{uid}@uni.example"))
            self.node.wait_messages(1, uid)
        self.change(away("soon", vacation="scheduled", extra=self.plan.format(stamp(-3600), stamp(3600))))
        self.assertIn("answered=true", self.send("soon@uni.example", "in-time"))
        self.assertEqual(len(self.verdicts()), 1)  # what came before is not even asked about: the log has it in its order
        self.assertIn("answered=false", self.send("soon@uni.example", "in-time-too"))
        self.wait_replies(1, "pat@else.example")
        # Another vacation.
        time.sleep(1.1)
        self.change(away("soon", vacation="scheduled", extra=self.plan.format(stamp(0), stamp(3600))))
        self.assertIn("answered=true", self.send("soon@uni.example", "next-vacation"))
        self.wait_replies(2, "pat@else.example")

    def test_02_the_interval(self):
        self.change(away("week") + away("day", extra="phVacationInterval: 1\n"))
        for uid in ("week", "day"):
            self.assertIn("answered=true", self.send(f"{uid}@uni.example", "first-" + uid, "kim@else.example"))
            self.wait_replies(1 if uid == "week" else 2, "kim@else.example")
            self.set_back(uid, 2)
        self.assertIn("answered=false", self.send("week@uni.example", "again-week", "kim@else.example"))
        self.assertIn("answered=true", self.send("day@uni.example", "again-day", "kim@else.example"))
        self.wait_replies(3, "kim@else.example")

    def test_03_so_many_in_an_hour(self):
        self.change(away("busy"))
        self.node.change_settings("popimap", vacation_hour_max=2)
        got = ["answered=true" in self.send("busy@uni.example", f"h{i}", f"h{i}@else.example") for i in range(4)]
        self.assertEqual(got, [True, True, False, False])
        self.assertIn("too many others", self.verdicts()[-1])
        self.node.wait_messages(4, "busy")
        self.node.change_settings("popimap", vacation_hour_max=0)
        with self.node.smtp() as smtp:
            smtp.sendmail("h9@else.example", ["busy@uni.example"], message("h9", to="busy@uni.example"))
        self.node.wait_messages(5, "busy")
        self.node.change_settings("popimap", vacation_hour_max=100)
        self.assertIn("answered=true", self.send("busy@uni.example", "h10", "h10@else.example"))
        self.assertEqual([v for v in self.verdicts() if "h9@" in v], [])


class Trap(dict):
    """In the place of NextHop.says: does something the first time a command comes, before it is answered."""

    def __init__(self, verb, act):
        super().__init__()
        self.verb, self.act = verb, act

    def __contains__(self, verb):
        if verb == self.verb:
            self.verb = None
            self.act()
        return False


class TrapList(list):
    """In the place of NextHop.got: does something once a message is kept, before its 250."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def append(self, item):
        super().append(item)
        act, self.act = self.act, lambda: None
        act()


class Queue(unittest.TestCase):
    """Where a reply waits, and what a death there costs. The queue is a program of the test: submit_servers."""

    def setUp(self):
        self.node = Node(users=("ann", "bob"), ldif=away("joe"))
        self.hop = NextHop(self.node.address)
        self.addCleanup(self.hop.close)
        self.addCleanup(self.node.remove)
        self.addCleanup(self.end)
        self.node.overrides.update(submit_servers=[self.hop.address])
        self.node.start()

    def end(self):
        self.node.stop()
        self.assertEqual(self.node.unexpected_errors(), [])

    def send(self, subject, sender="pat@else.example"):
        with self.node.smtp() as smtp:
            smtp.sendmail(sender, ["joe@uni.example"], message(subject, sender=sender, to="joe@uni.example"))
        self.node.wait(lambda: f"correspondent={sender} answered=true" in self.node.log_text(), "an answer")

    def outcomes(self, outcome):
        return [line for line in self.node.log_text().splitlines() if f"outcome={outcome} kind=vacation" in line]

    def wait_got(self, n):
        self.node.wait(lambda: len(self.hop.got) >= n and len(self.outcomes("queued")) > 0, f"{n} replies")
        self.assertEqual(len(self.hop.got), n)
        self.assertEqual({(r.sender, tuple(r.recipients)) for r in self.hop.got}, {("", ("pat@else.example",))})
        self.assertEqual(len({parsed(r.data)["Message-ID"] for r in self.hop.got}), 1)

    def kill(self):
        """-9 for all daemons at once, and a start."""
        pids = [self.node.process.pid, *self.node.daemon_pids().values()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.node.process.wait()
        self.node.log.close()
        self.node.wait(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "the dead to be gone")
        self.dead.set()

    def waits(self):
        """What is in the outbox of the mailbox, and how many mailboxes the list has: one more than it needs while the sender is at work."""
        for _ in range(5):
            rows, listed = self.look()
            if listed == sum(kind == "blob" for _, kind in rows):
                break
        return rows, listed

    def look(self):
        self.node.stop()
        box = uuid_of("joe").replace("-", "")
        with sqlite3.connect(self.node.path("data", "mailboxes", box[:2], box, "mail.db")) as db:
            def keys(kind):
                return [key[1:].split(b"\0")[1].decode() for key, in db.execute("SELECT k FROM row WHERE substr(k,1,1)=?", (kind,))]
            waits = keys(b"q")
            rows = [(key, "blob" if key in waits else "null") for key in keys(b"o")]
        db.close()
        with sqlite3.connect(self.node.path("data", "mailboxes", "node.db")) as node:
            listed = node.execute("SELECT count(*) FROM outbox").fetchone()[0]
        node.close()
        self.node.start()
        return rows, listed

    def test_away_and_back(self):
        self.hop.says["EHLO"] = "421 4.3.2 not now"
        self.send("waits")
        self.node.wait(lambda: "no queue takes what mailboxes send" in self.node.log_text(), "a try")
        self.assertEqual(self.waits(), ([("pat@else.example", "blob")], 1))
        self.node.wait(lambda: self.node.log_text().count("no queue takes what mailboxes send") > 2, "more tries")
        del self.hop.says["EHLO"]
        self.wait_got(1)
        self.assertEqual(self.waits(), ([("pat@else.example", "null")], 0))
        self.assertEqual(len(self.hop.got), 1)

    def test_refused(self):
        self.hop.refused["pat@else.example"] = "550 5.1.1 no such user"
        self.send("refused")
        self.node.wait(lambda: "mail of a mailbox will not be sent" in self.node.log_text(), "the refusal")
        self.assertEqual(self.waits(), ([("pat@else.example", "null")], 0))
        self.assertEqual(self.hop.got, [])

    def test_one_that_waits_stops_nobody(self):
        self.hop.refused["kim@else.example"] = "450 4.2.0 later"
        self.send("deferred", "kim@else.example")
        self.node.wait(lambda: self.outcomes("deferred"), "the first to be deferred")
        self.send("passes")
        self.wait_got(1)
        self.hop.got.clear()
        del self.hop.refused["kim@else.example"]
        self.node.wait(lambda: [r.recipients for r in self.hop.got] == [["kim@else.example"]], "the first one's reply")
        self.node.wait(lambda: len(self.outcomes("queued")) == 2, "both to be noted")

    def test_a_queue_that_says_nothing(self):
        self.hop.mute = True
        self.send("doubt")
        self.node.wait(lambda: len(self.hop.got) >= 1, "a copy")
        self.hop.mute = False
        self.node.wait(lambda: self.outcomes("queued"), "the queue's word")
        copies = len(self.hop.got)
        self.wait_got(copies)  # all under one Message-ID
        self.assertEqual(self.waits(), ([("pat@else.example", "null")], 0))
        self.assertEqual(len(self.hop.got), copies)

    def death_at(self, set_trap, copies):
        self.dead = threading.Event()
        set_trap(self.kill)
        with self.node.smtp() as smtp:
            smtp.sendmail("pat@else.example", ["joe@uni.example"], message("death", to="joe@uni.example"))
        self.assertTrue(self.dead.wait(DEADLINE_S))  # all of them: not only who started them
        self.node.process = None
        self.node.start()
        self.wait_got(copies)
        self.assertEqual(self.waits(), ([("pat@else.example", "null")], 0))
        self.assertEqual(len(self.hop.got), copies)
        self.node.wait_messages(1, "joe")

    def test_death_before_it_is_taken(self):
        for verb in ("EHLO", "MAIL", "RCPT", "DATA"):
            with self.subTest(verb):
                def trap(act, verb=verb):
                    self.hop.says = Trap(verb, act)
                self.death_at(trap, 1)
            self.doCleanups()
            self.setUp()

    def test_death_before_it_is_noted(self):
        def trap(act):
            self.hop.got = TrapList(act)
        self.death_at(trap, 2)


class FrontEnd(VacationTest):
    """Deaths of the front-end of the same node, whose queue has the reply or is to have it."""
    ldif = away("joe")

    def deliver(self, sender):
        """Into the mailbox, without the front-end."""
        with self.node.lmtp(None) as wire:
            self.assertEqual([wire.say(f"MAIL FROM:<{sender}>"), wire.say("RCPT TO:<joe@uni.example>"), wire.say("DATA")], [250, 250, 354])
            wire.send(message("lmtp", sender=sender, to="joe@uni.example") + ".\r\n")
            self.assertEqual(wire.reply()[0], 250)

    def sockets_at(self, name):
        """The listener, and connections that it has not taken yet."""
        with open("/proc/net/unix", encoding="ascii") as stream:
            return sum(line.rstrip().endswith(" " + self.node.path("run", name)) for line in stream)

    def test_01_it_dies_before_it_has_it(self):
        self.node.expect_error("daemon died|signal")
        mta = self.node.daemon_pids()["mta"]
        os.kill(mta, signal.SIGSTOP)
        self.deliver("pat@else.example")
        self.node.wait(lambda: "answered=true" in self.node.log_text(), "the answer")
        self.node.wait(lambda: self.sockets_at("smtp.sock") > 1, "the sender to wait for its greeting")
        os.kill(mta, signal.SIGKILL)
        self.wait_replies(1, "pat@else.example")

    def test_02_it_dies_when_it_has_it(self):
        self.hop.says["MAIL"] = "421 4.3.2 not now"
        self.deliver("kim@else.example")
        self.node.wait(lambda: len([q for q in self.node.queue() if "kim@" in str(q)]) == 1, "the reply in the queue")
        mta = self.node.daemon_pids()["mta"]
        os.kill(mta, signal.SIGKILL)
        self.node.wait(lambda: self.node.daemon_pids().get("mta", mta) != mta and self.node.command("ping", "mta"), "another mta")
        del self.hop.says["MAIL"]
        self.node.drain()
        self.wait_replies(1, "kim@else.example")

    def test_04_twice_is_once_in_our_mailboxes(self):
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(self.node.path("run", "smtp.sock"))
                wire = Wire(sock)
                wire.reply()
                self.assertEqual([wire.say(line) for line in ("EHLO x", "MAIL FROM:<> XPHKEY=" + "ab" * 16, "RCPT TO:<bob@uni.example>", "DATA")],
                                 [250, 250, 250, 354])
                wire.send(message("reply") + ".\r\n")
                self.assertEqual(wire.reply()[0], 250)
        self.node.wait(lambda: self.node.log_text().count('reply="250 2.0.0 delivered before"') == 1, "the second one")
        self.node.wait_messages(1, "bob")

    def test_03_nobody_else_uses_the_socket(self):
        path = self.node.path("run", "smtp.sock")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            stream = sock.makefile("rwb", 0)
            said = []
            for line in (b"", b"EHLO x\r\n", b"MAIL FROM:<ann@uni.example>\r\n", b"MAIL FROM:<>\r\n", b"RCPT TO:<x@far.example>\r\n", b"AUTH PLAIN\r\n"):
                stream.write(line)
                while True:
                    answer = stream.readline().decode()
                    if answer[3:4] == " ":
                        break
                said.append(answer[:3])
        self.assertEqual(said, ["220", "250", "553", "250", "250", "502"])


# Daemons find their groups by name: a group file of the test's, for them alone.
MAY_MOUNT = os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


@unittest.skipUnless(MAY_MOUNT, "root's, and where something can be mounted")
class Users(unittest.TestCase):
    """Each daemon as a user of its own, as on a node: the mailboxes reach the queue of the front-end, and nobody else does."""
    daemons = {"mta_user": "daemon", "popimap_user": "bin", "ldapsync_user": "sys"}

    def setUp(self):
        self.node = Node(users=("ann",), ldif=away("joe"))
        self.hop = NextHop(self.node.address)
        self.addCleanup(self.hop.close)
        self.addCleanup(self.node.remove)
        os.chmod(self.node.dir, 0o755)
        with open("/etc/group", encoding="utf-8") as stream:
            lines = [line.rstrip("\n") for line in stream]
        members = ",".join(self.daemons.values())
        self.node.write("group", "".join(line + (members if line.startswith(("mail:", "news:")) else "") + "\n" for line in lines))
        self.node.wrapper = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/group && exec "$@"', self.node.path("group"))
        self.node.overrides.update(self.daemons, group="mail", auth_group="news", relayhost=self.hop.address, relayhost_tls="none")
        self.addCleanup(self.node.stop)
        self.node.start()

    def test_a_reply_goes_from_one_to_the_other(self):
        users = {name: os.stat(f"/proc/{pid}").st_uid for name, pid in self.node.daemon_pids().items()}
        self.assertEqual({name + "_user": pwd.getpwuid(uid).pw_name for name, uid in users.items()}, self.daemons)
        with self.node.smtp() as smtp:
            smtp.sendmail("pat@else.example", ["joe@uni.example"], message("x", to="joe@uni.example"))
        self.node.wait(lambda: len(self.hop.got) == 1, "the reply")
        self.assertEqual((self.hop.got[0].sender, self.hop.got[0].recipients), ("", ["pat@else.example"]))
        sock = os.stat(self.node.path("run", "smtp.sock"))
        self.assertEqual((sock.st_uid, sock.st_mode & 0o777), (users["popimap"], 0o600))
        for uid in (users["ldapsync"], pwd.getpwnam("games").pw_uid):
            knock = "import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
            tried = subprocess.run([sys.executable, "-c", knock, self.node.path("run", "smtp.sock")], user=uid, group=uid, extra_groups=[],
                                   capture_output=True, text=True, check=False)
            self.assertIn("Permission", tried.stderr)
        self.node.stop()
        self.assertEqual(self.node.unexpected_errors(), [])


if __name__ == "__main__":
    unittest.main()
