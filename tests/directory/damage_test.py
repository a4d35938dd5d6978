# SPDX-License-Identifier: Apache-2.0
"""shadow.db is damaged under running daemons or between two starts: it is made anew without anybody's help, beside the old one, which serves as
far as it can be read; and nobody who is there is ever unknown."""
import contextlib
import imaplib
import itertools
import os
import random
import sqlite3
import threading
import time
import unittest

from node import DEADLINE_S, PASSWORD, NodeTest, message
from replica import ReplicaTest, people

USERS = tuple(f"u{n}" for n in range(3200))  # so many that a load empties the log, and reads come from the file
PAGE = 4096


def overwrite(path, at, data):
    with open(path, "r+b") as stream:
        stream.seek(at)
        stream.write(data)


def middle(path):
    return os.path.getsize(path) // 2 // PAGE * PAGE


def fold(path):
    """Nothing is in the log: reads come from the file, and nothing is written over what a test does to it. False while a reader is in the way."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        (busy, _, _), = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return busy == 0


def overwrite_value(path):
    """Another host for somebody, as far as SQLite can tell: no page, no length and no number is wrong."""
    with open(path, "rb") as stream:
        data = stream.read()
    overwrite(path, data.index(b"mb1.uni.example", data.index(f"uid={USERS[401]},".encode())), b"mb2")


# What happens to the file.
PLACES = {
    "a value": overwrite_value,
    "header": lambda path: overwrite(path, 0, b"this is no database any more" * 4),
    "schema": lambda path: overwrite(path, 100, bytes(PAGE - 100)),
    "root of a table": lambda path: overwrite(path, 2 * PAGE, random.Random(1).randbytes(PAGE)),
    "page of zeros": lambda path: overwrite(path, middle(path), bytes(PAGE)),
    "some bytes of a page": lambda path: overwrite(path, middle(path) + 8, b"\xff" * 8),
    "last page": lambda path: overwrite(path, os.path.getsize(path) - PAGE, random.Random(2).randbytes(PAGE)),
    "cut": lambda path: os.truncate(path, middle(path)),
    "empty": lambda path: os.truncate(path, 0),
    "removed": os.remove,
}


class FromFile(NodeTest):
    users = USERS
    settings = {"shadow_check_ms": 50, "shadow_verify_s": 1, "log_level": "info", "retry_min_s": 1, "retry_max_s": 1}
    known = tuple(f"{name}@uni.example" for name in USERS[::401])

    @classmethod
    def start_node(cls):
        cls.node.expect_error("the shadow is damaged; it is made anew")
        cls.node.expect_error("directory file cannot be loaded")
        cls.node.start()

    def setUp(self):
        self.shadow = self.node.path("data/shadow/shadow.db")
        self.settle()

    def settle(self):
        self.node.wait(self.is_well, "a good shadow")
        self.node.wait(lambda: fold(self.shadow), "the log to be folded in")

    def codes(self):
        """Of those who are known, and of somebody who is not; nothing while the front-end starts."""
        try:
            with self.node.raw("smtp") as wire:
                wire.reply()
                wire.say("EHLO client.example")
                wire.say("MAIL FROM:<x@out.example>")
                codes = [wire.say(f"RCPT TO:<{address}>") for address in (*self.known, "nobody@uni.example")]
        except OSError:
            return [], 0
        self.assertLessEqual(set(codes[:-1]), {250, 451, 0})
        return codes[:-1], codes[-1]

    def is_well(self):
        codes, nobody = self.codes()
        return codes == [250] * len(self.known) and nobody == 550 and self.node.run("directory", "status").returncode == 0

    def is_made_anew(self, before):
        self.codes()
        return os.path.exists(self.shadow) and os.stat(self.shadow).st_ino != before and self.is_well()

    def test_while_it_runs(self):
        for name, damage in PLACES.items():
            with self.subTest(name):
                self.settle()
                before = os.stat(self.shadow).st_ino
                damage(self.shadow)
                self.node.wait(lambda: self.is_made_anew(before), "a shadow that was made anew")

    def has_once(self, who, subjects):
        """Each of these messages; False, too, while popimap cannot read the shadow."""
        try:
            found = self.node.messages(who)
        except imaplib.IMAP4.error as error:
            self.assertIn("UNAVAILABLE", str(error))
            return False
        return all(sum(subject + b"\r\n" in one for one in found) == 1 for subject in subjects)

    def test_cut_while_mail_comes(self):
        """Front-ends that have the file mapped say 451 and live; what they took is delivered."""
        pids, taken, codes, ends = self.node.daemon_pids(), [], set(), threading.Event()

        def sends(who):
            for n in itertools.count():
                if ends.is_set():
                    return
                with self.node.smtp() as smtp:
                    smtp.ehlo()
                    smtp.mail("x@out.example")
                    code = smtp.rcpt(f"{who}@uni.example")[0]
                    codes.add(code)
                    if code == 250 and smtp.data(message(f"{who}-{n}"))[0] == 250:
                        taken.append((who, n))
        threads = [threading.Thread(target=sends, args=(who,)) for who in ("u0", "u1600", "u3199")]
        for one in threads:
            one.start()
        try:
            for turn in range(4):
                self.settle()
                before = os.stat(self.shadow).st_ino
                os.truncate(self.shadow, 0 if turn % 2 else middle(self.shadow))
                self.node.wait(lambda before=before: self.is_made_anew(before), "a shadow that was made anew")
        finally:
            ends.set()
            for one in threads:
                one.join()
        self.assertLessEqual(codes, {250, 451})
        self.assertIn(451, codes)
        self.assertEqual(self.node.daemon_pids(), pids)
        for who in ("u0", "u1600", "u3199"):
            subjects = [f"Subject: {name}-{n}".encode() for name, n in taken if name == who]
            self.assertTrue(subjects)
            self.node.wait(lambda who=who, subjects=subjects: self.has_once(who, subjects), f"the {len(subjects)} messages of {who}")

    def test_log_while_it_runs(self):
        with contextlib.closing(sqlite3.connect(self.shadow, isolation_level=None)) as db:  # something that is in the log alone
            db.execute("UPDATE state SET confirmed_ms = confirmed_ms + 1")
        size = os.path.getsize(self.shadow + "-wal")
        self.assertGreater(size, 32)
        overwrite(self.shadow + "-wal", 0, random.Random(3).randbytes(size))
        self.node.wait(self.is_well, "a good shadow")

    def test_at_a_start(self):
        for name, damage in PLACES.items():
            with self.subTest(name):
                self.settle()
                self.node.stop()
                damage(self.shadow)
                self.node.start()
                self.node.wait(self.is_well, "a good shadow")

    def test_the_logs_are_gone_or_of_another_time_at_a_start(self):
        """As after a reboot, and after a restore that brought some of the files."""
        for suffixes in (("-shm",), ("-wal",), ("-wal", "-shm")):
            with self.subTest(gone=suffixes):
                self.node.stop()
                for suffix in suffixes:
                    os.remove(self.shadow + suffix)
                self.node.start()
                self.node.wait(self.is_well, "a good shadow")
        self.node.stop()
        overwrite(self.shadow + "-wal", 0, random.Random(4).randbytes(3 * PAGE))
        overwrite(self.shadow + "-shm", 0, random.Random(5).randbytes(PAGE))
        self.node.start()
        self.node.wait(self.is_well, "a good shadow")

    def test_credentials(self):
        """Nobody is told that the password is wrong, and soon everybody can log in."""
        credentials, before = self.node.path("data/credentials/credentials.db"), os.stat(self.shadow).st_ino
        self.node.wait(lambda: fold(credentials), "the log to be folded in")
        with open(credentials, "r+b") as stream:  # all but the header and the state
            size = os.path.getsize(credentials)
            stream.seek(2 * PAGE)
            stream.write(random.Random(6).randbytes(size - 2 * PAGE))

        def logs_in():
            wire = self.node.imap(login=None)
            try:
                wire.login("u7", PASSWORD)
                return True
            except imaplib.IMAP4.error as error:
                self.assertIn("UNAVAILABLE", str(error))
                return False
            finally:
                wire.shutdown()
        self.node.wait(lambda: os.stat(self.shadow).st_ino != before and logs_in(), "log-ins")
        self.assertTrue(os.path.exists(credentials + ".damaged"))

    def test_keys_that_are_gone_are_missed(self):
        """Rows that SQLite has nothing against: an address that led to its owner, and leads nowhere."""
        with contextlib.closing(sqlite3.connect(self.shadow, isolation_level=None)) as db:
            db.execute("DELETE FROM key WHERE kind = 1 AND key = CAST('u7@uni.example' AS BLOB)")
        before = os.stat(self.shadow).st_ino
        self.node.wait(lambda: self.is_made_anew(before), "a shadow that was made anew")
        self.assertEqual(self.node.why("u7@uni.example")["code"], 250)


class Rules(NodeTest):
    """A rule that cannot be read is not a rule that is not there: what it would refuse is not let through, and what it lets through is not refused
    for good."""
    users = ("ann",)
    settings = {"shadow_check_ms": 50, "relayhost": "127.0.0.9:9"}
    ldif = "".join(f"dn: cn=a{n},ou=access,dc=uni,dc=example\nobjectClass: phMailAccess\ncn: a{n}\nphAccessKey: {key}\nphAccessAction: {action}\n\n"
                   for n, (key, action) in enumerate((("Connect:127.0.0.1", "RELAY"), ("From:bad.example", "REJECT"), ("To:closed@uni.example", "REJECT"))))

    def codes(self):
        found = []
        for sender, recipient in (("x@out.example", "y@out.example"), ("x@bad.example", "ann@uni.example"), ("x@out.example", "closed@uni.example"),
                                  ("x@out.example", "ann@uni.example")):
            with self.node.raw("smtp") as wire:
                wire.reply()
                wire.say("EHLO client.example")
                code = wire.say(f"MAIL FROM:<{sender}>")
                found.append(code if code != 250 else wire.say(f"RCPT TO:<{recipient}>"))
        return found

    def test_rules(self):
        self.assertEqual(self.codes(), [250, 550, 550, 250])
        with contextlib.closing(sqlite3.connect(self.node.path("data/shadow/shadow.db"), isolation_level=None)) as db:
            db.execute("UPDATE entry SET data = x'01' WHERE instr(data, 'ou=access')")
        allowed = ({250, 451}, {550, 451}, {550, 451}, {250, 451})  # a snapshot from before may serve for a moment

        def put_off():
            codes = self.codes()
            self.assertTrue(all(code in fine for code, fine in zip(codes, allowed)), codes)
            return codes[:3] == [451] * 3
        end = time.monotonic() + DEADLINE_S
        while not put_off():
            self.assertLess(time.monotonic(), end)



class FromServers(ReplicaTest):
    ldif = ReplicaTest.ldif + people(USERS[:3000])

    def shadow_of(self, follower):
        return f"{follower.dir}/data/shadow/shadow.db"

    def damage(self, follower):
        """Of a page with keys, so that some are found and some are not."""
        overwrite(self.shadow_of(follower), middle(self.shadow_of(follower)), bytes(PAGE))

    def follow_settled(self, **settings):
        follower = self.follow(shadow_verify_s=1, **settings)
        follower.wait_for("u2999@uni.example", 250)
        follower.wait(lambda: fold(self.shadow_of(follower)), "the log to be folded in")
        return follower

    def codes(self, follower, *names):
        return [follower.code(f"{name}@uni.example") for name in names]

    def test_while_all_servers_are_down(self):
        """What can still be read serves, and of the rest nobody is unknown; not a new view that has nobody."""
        follower = self.follow_settled(fresh_s=1)
        names = USERS[:3000:300]
        self.master.stop()
        self.damage(follower)
        follower.wait(lambda: os.path.exists(self.shadow_of(follower) + ".new"), "a new shadow beside the old one")
        codes = self.codes(follower, *names)
        self.assertIn(follower.status()["state"], ("STALE", "CONNECT", "BACKOFF"))  # not EMPTY
        self.assertIn(250, codes)
        self.assertLessEqual(set(codes), {250, 451})
        self.assertEqual(self.codes(follower, "nobody"), [451])
        follower.stop()
        os.remove(self.shadow_of(follower) + ".new")
        follower.start()
        self.assertIn(250, self.codes(follower, *names))
        follower.wait(lambda: os.path.exists(self.shadow_of(follower) + ".new"), "a new shadow beside the old one again")
        self.master.start()
        follower.wait_for("nobody@uni.example", 550)
        self.assertEqual(self.codes(follower, *names), [250] * len(names))
        self.assertTrue(os.path.exists(self.shadow_of(follower) + ".damaged"))
        self.assert_same(follower)

    def test_changes_go_on(self):
        follower = self.follow_settled()
        self.damage(follower)
        follower.wait(lambda: "the shadow was made anew" in follower.log_text(), "a new shadow")
        self.master.add(people(["new"]))
        follower.wait_for("new@uni.example", 250)
        self.assert_same(follower)

    def test_what_the_brake_would_hold_does_not_come_this_way(self):
        """A directory that was emptied meanwhile."""
        follower = self.follow_settled()
        follower.stop()
        self.master.empty(ReplicaTest.ldif)
        self.damage(follower)
        follower.start()
        follower.wait(lambda: os.path.exists(self.shadow_of(follower) + ".new"), "a new shadow beside the old one")
        follower.wait_state("BRAKED")
        self.assertIn(250, self.codes(follower, *USERS[:3000:300]))
        done = follower.run("directory", "release")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.codes(follower, "u1", "ann", "nobody"), [550, 250, 550])


if __name__ == "__main__":
    unittest.main()
