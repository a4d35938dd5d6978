# SPDX-License-Identifier: Apache-2.0
"""Two hundred IMAP sessions on one folder, ten of which change it while a POP3 client deletes from it: what each client was told adds up to what is there.

Each session keeps its own picture of the folder from untagged responses alone (imap_client.py holds every response against RFC 3501 on the way). At the end
all pictures are the same, and equal to what a new session fetches; every message has the text it was stored with; and none is gone but those that
somebody deleted or moved.
"""
import random
import re
import threading
import time
import unittest

from imap_client import Session
from load import Load
from node import DEADLINE_S, NodeTest, message

SESSIONS, CHANGERS, FOLLOWER_THREADS = 200, 10, 8
LOAD_S = 15
MESSAGES, MESSAGES_MAX = 60, 200
FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "\\Draft", "$Forwarded", "$Label1")
SUBJECT = re.compile(r"UID (\d+).*?Subject: (\S+)", re.S)


class Sessions(NodeTest):
    users = ("ann",)
    settings = {"auth_plaintext": "trusted", "log_level": "warning", "threads": 4}

    def setUp(self):
        self.rng, self.lock = random.Random(200), threading.Lock()
        self.marks = {}     # UID: the subject that it was stored with
        self.doomed = set() # UIDs that somebody deleted or moved away
        self.next_mark = 0

    def choose(self, *of):
        with self.lock:
            return self.rng.choice(of)

    def session(self):
        session = Session(self.node.raw("imap"))
        session.ok('LOGIN ann "correct horse"')
        self.assertTrue(session.select("INBOX"))
        return session

    # --- Those who change ---

    def append(self, session):
        with self.lock:
            mark, self.next_mark = f"mark-{self.next_mark}", self.next_mark + 1
        uid = session.append("INBOX", message(mark), self.choose("", "\\Seen", "$Label1"))
        with self.lock:
            self.assertFalse(uid in self.marks, f"UID {uid} was used before")
            self.marks[uid] = mark

    def doom(self, uids):
        with self.lock:
            self.doomed.update(uids)

    def store(self, session, first, last):
        """Flags by number; what .SILENT does not tell is known to who asked for it."""
        sign, flag, silent = self.choose("+", "-"), self.choose(*FLAGS), self.choose("", ".SILENT")
        # Before it is sent: what the answer tells is newer.
        for known in session.folder.messages[first - 1:last] if silent else ():
            known.flags = known.flags | {flag.lower()} if sign == "+" else known.flags - {flag.lower()}
        session.ok(f"STORE {first}:{last} {sign}FLAGS{silent} ({flag})")

    def delete(self, session, first, last):
        uids = [m.uid for m in session.folder.messages[first - 1:last]]
        self.doom(uids)
        session.ok(f"STORE {first}:{last} +FLAGS (\\Deleted)")
        session.ok(self.choose("EXPUNGE", "UID EXPUNGE " + ",".join(map(str, uids))))

    def move(self, session, number):
        self.doom([session.folder.messages[number - 1].uid])
        session.ok(f"MOVE {number} Trash")

    def copy(self, session, number):
        uid = session.folder.messages[number - 1].uid
        status, text, _ = session.command(f"COPY {number} Drafts")
        if "COPYUID" in text:
            self.assertEqual(int(re.search(r"COPYUID \d+ (\d+) ", text)[1]), uid)
        else:  # somebody else was faster
            self.assertTrue(uid in self.doomed, (uid, status, text))

    def read(self, session, number):
        uid = session.folder.messages[number - 1].uid
        _, _, lines = session.command(f"FETCH {number} (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        found = [SUBJECT.search(line).groups() for line in lines if "Subject" in line]
        if found:
            # Who appended it may not know its UID yet.
            self.assertEqual(found, [(str(uid), self.marks.get(uid, found[0][1]))])
        else:
            self.assertTrue(uid in self.doomed, f"UID {uid}, which nobody deleted, cannot be read")

    def change(self, session):
        session.learn()
        count = len(session.folder.messages)
        if count < MESSAGES:
            return self.append(session)
        first = self.choose(*range(1, count + 1))
        last = min(count, first + self.choose(0, 0, 1, 5))
        what = self.choose("append", "append", "append", "store", "store", "store", "delete", "move", "copy", "read", "noop")
        if what == "append" and count < MESSAGES_MAX:
            return self.append(session)
        if what in ("append", "delete"):
            return self.delete(session, first, last)
        if what == "store":
            return self.store(session, first, last)
        if what == "noop":
            session.ok("NOOP")
            return None
        return {"move": self.move, "copy": self.copy, "read": self.read}[what](session, first)

    def pop3(self, _):
        pop = self.node.pop3("ann")
        listing = [line.decode().split() for line in pop.uidl()[1]]
        gone = [(number, int(uidl.rpartition(".")[2])) for number, uidl in listing if self.choose(True, False, False, False, False)][:10]
        for number, uid in gone:
            self.doom([uid])
            pop.dele(int(number))
        pop.quit()

    # --- Those who follow ---

    def follow(self, sessions):
        for session in sessions:
            count = len(session.folder.messages)
            what = self.choose("idle", "noop", "learn", "by number", "uid", "check", "nothing")
            if what == "idle":
                end = time.monotonic() + 0.05
                session.idle(lambda _: time.monotonic() > end, 0.02)
            elif what == "noop":
                session.ok("NOOP")
            elif what == "learn":
                session.learn()
            elif what == "by number" and count:
                first = self.choose(*range(1, count + 1))
                # Sent together: what answers the first must not shift what the next one means.
                answers = session.pipeline([f"FETCH {first}:{count} (UID)", "SEARCH ALL", f"FETCH {count} (UID FLAGS)"])
                for status, text, _ in answers:
                    self.assertEqual(status, "OK", text)
                numbers = [int(n) for n in next(line for line in answers[1][2] if line.startswith("* SEARCH")).split()[2:]]
                self.assertEqual(numbers, sorted(set(numbers)))
                self.assertLessEqual(max(numbers, default=0), len(session.folder.messages))
            elif what == "uid":
                session.ok("UID FETCH 1:* (FLAGS)")
            elif what == "check":
                session.ok("CHECK")

    def test_all_agree(self):
        first = self.session()
        for _ in range(MESSAGES):
            self.append(first)
        sessions = [first] + [self.session() for _ in range(SESSIONS - 1)]
        load = Load()
        for n in range(CHANGERS):
            load.add(f"change{n}", lambda n=n: sessions[n], self.change)
        for n in range(FOLLOWER_THREADS):
            load.add(f"follow{n}", lambda n=n: sessions[CHANGERS + n::FOLLOWER_THREADS], self.follow)
        load.add("pop3", lambda: self, self.pop3, 0.3)
        load.start()
        load.stopping.wait(LOAD_S)
        load.stop(DEADLINE_S, keep=True)
        if load.failures():
            self.fail("\n".join(load.failures()[:3]))
        steps = sum(client.steps for client in load.clients[:CHANGERS])
        self.assertGreater(steps, 100, "no load worth the name")

        fresh = self.session()
        want = fresh.folder.view()
        for n, session in enumerate(sessions):
            session.ok("NOOP")
            session.learn()
            self.assertEqual(session.folder.view(), want, f"session {n}")
            self.assertEqual(session.folder.uidvalidity, fresh.folder.uidvalidity)
        uids = {uid for uid, _ in want}
        self.assertEqual(sorted(uid for uid in self.marks if uid not in uids and uid not in self.doomed), [], "gone, and nobody deleted them")
        self.assertGreater(fresh.folder.uidnext, max(self.marks))
        texts = {int(uid): mark for line in fresh.ok("FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])") for uid, mark in SUBJECT.findall(line)}
        self.assertEqual(texts, {uid: self.marks[uid] for uid in uids}, "a message under another's UID")
        print(f"{steps} changes, {len(self.marks)} messages stored, {len(want)} left, {sum(s.folder.expunged for s in sessions)} times EXPUNGE told")
        for session in sessions + [fresh]:
            session.wire.close()


if __name__ == "__main__":
    unittest.main()
