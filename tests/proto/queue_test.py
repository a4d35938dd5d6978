# SPDX-License-Identifier: Apache-2.0
"""The queue as administrators meet it: `posthouse queue list --json`, hold, release, delete, retry, stats."""
import json
import socket
import unittest

from node import DEADLINE_S, NodeTest, message, user_ldif

# A mailbox host of ours that does not answer.
AWAY = """dn: cn=mb9.uni.example,ou=hosts,dc=uni,dc=example
objectClass: phMailHost
cn: mb9.uni.example
phHostRole: store
phHostState: up
phHostEndpoint: lmtp=inet:127.0.0.1:1

"""


class Queue(NodeTest):
    ldif = (AWAY + user_ldif("away", host="mb9.uni.example") + user_ldif("gone", host="mb9.uni.example") +
            "dn: cn=team,ou=people,dc=uni,dc=example\nobjectClass: phMailAlias\ncn: team\nmail: team@uni.example\n"
            "rfc822MailMember: away@uni.example\n\n")

    def send(self, subject, *to):
        with self.node.smtp() as smtp:
            smtp.sendmail("a@out.example", list(to), message(subject, to=to[0]))

    def waiting(self, address):
        return [m for m in self.node.queue() if any(r["address"] == address for r in m["recipients"])]

    def tearDown(self):
        if self.node.queue():
            self.node.run("queue", "delete", "--all", check=0)

    def test_list_is_the_contract(self):
        self.send("wait", "away@uni.example", "ann@uni.example")
        self.node.wait_messages(1, "ann")
        # Ann's copy is read before its result is committed.
        found = self.node.wait(lambda: [m for m in self.waiting("away@uni.example") if [r["tries"] > 0 for r in m["recipients"]] == [True]],
                               "a first try, and ann's result")
        self.assertEqual(len(found), 1)
        self.assertEqual(set(found[0]), {"queue_id", "guid", "sender", "size_bytes", "received", "recipients"})
        self.assertEqual(found[0]["sender"], "a@out.example")
        self.assertRegex(found[0]["queue_id"], "^[0-9A-Z]{12}$")
        self.assertRegex(found[0]["guid"], "^[0-9a-f]{32}$")
        self.assertRegex(found[0]["received"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        recipient, = found[0]["recipients"]
        self.assertEqual(set(recipient), {"address", "destination", "state", "tries", "next_try", "last_reply"})
        self.assertEqual(recipient["state"], "waiting")
        self.assertRegex(recipient["last_reply"], "^451 4.4.1 mb9.uni.example")
        # One by its id, of either kind; another by none.
        for name in (found[0]["queue_id"], found[0]["queue_id"].lower(), found[0]["guid"]):
            done = self.node.run("queue", "list", "--json", name, check=0)
            self.assertEqual([json.loads(line)["guid"] for line in done.stdout.splitlines()], [found[0]["guid"]])
        for more in ((), ("--json",)):
            done = self.node.run("queue", "list", *more, "000000000000", check=1)
            self.assertEqual((done.stdout, done.stderr), ("", "posthouse: 000000000000: no such message\n"))
        self.node.run("queue", "list", "no-id", check=2)

    def test_hold_release_delete(self):
        self.send("held", "gone@uni.example")
        found, = self.node.wait(lambda: self.waiting("gone@uni.example"), "the message")
        name = found["queue_id"]
        self.node.run("queue", "hold", "--why", "to look at", name, check=0)
        held, = self.waiting("gone@uni.example")
        self.assertEqual(held["recipients"][0]["state"], "held")
        self.assertIn("to look at", held["recipients"][0]["last_reply"])
        self.assertEqual(len(self.node.run("queue", "list", "--json", "held", check=0).stdout.splitlines()), 1)
        self.node.run("queue", "hold", name, check=1)  # nothing to do
        self.node.run("queue", "release", name, check=0)
        self.assertEqual(self.waiting("gone@uni.example")[0]["recipients"][0]["state"], "waiting")
        self.assertEqual(self.node.run("queue", "delete", "--why", "spam", name, check=0).stdout, "1 message, 1 recipient\n")
        self.assertEqual(self.waiting("gone@uni.example"), [])
        self.node.run("queue", "delete", name, check=1)
        self.node.run("queue", "delete", check=2)
        stats = json.loads(self.node.run("queue", "stats", "--json", check=0).stdout)
        self.assertTrue(stats["balanced"])
        self.assertGreaterEqual(stats["ledger"]["deleted"], 1)

    def listed(self, *words, check=0):
        """Who is listed, by message: the addresses of its recipients."""
        done = self.node.run("queue", "list", "--json", *words, check=check)
        return sorted(sorted(r["address"] for r in json.loads(line)["recipients"]) for line in done.stdout.splitlines())

    def fill(self):
        """Three messages that wait: to both, to one, and to one from another sender. None is being tried any more."""
        self.send("both", "away@uni.example", "gone@uni.example")
        self.send("one", "team@uni.example")
        with self.node.smtp() as smtp:
            smtp.sendmail("b@else.example", ["gone@uni.example"], message("else", to="gone@uni.example"))
        self.node.wait(lambda: [r["tries"] > 0 for m in self.node.queue() for r in m["recipients"]] == [True] * 4, "each to be tried")

    def test_search_by_address(self):
        self.fill()
        away, gone = "away@uni.example", "gone@uni.example"
        for words, found in ((("--to", "Gone@UNI.example"), [[gone], [gone]]), (("--to", away), [[away], [away]]),
                             (("--to", "team@uni.example"), [[away]]), (("--to", "@uni.example"), [[away], [away, gone], [gone]]),
                             (("--from", "a@out.example"), [[away], [away, gone]]), (("--from", "@else.example"), [[gone]]),
                             (("--from", "@out.example", "--to", gone), [[gone]]), (("--to", gone, "waiting"), [[gone], [gone]]),
                             (("--to", "x@uni.example"), []), (("--to", "@example"), []), (("--from", "<>"), []), (("--to", gone, "held"), [])):
            self.assertEqual(self.listed(*words, check=0 if found else 1), sorted(found), words)
        self.assertIn("<away@uni.example>, came for <team@uni.example>", self.node.run("queue", "list", "--to", "team@uni.example", check=0).stdout)
        for words in (("--to", ""), ("--to", "no address"), ("--from", "@"), ("--from", "")):
            complaint = self.node.run("queue", "list", *words, check=2).stderr
            self.assertIn("is neither an address nor @domain", complaint)

    def test_acts_by_address(self):
        self.fill()

        def act(*words, check=0):
            done = json.loads(self.node.run("queue", *words, "--json", check=check).stdout)
            return done["messages"], done["recipients"]
        gone = "gone@uni.example"
        self.assertEqual(act("hold", "--to", gone, "--why", "asked"), (2, 2))
        self.assertEqual(self.listed("held"), [[gone], [gone]])
        self.assertEqual(act("retry", "--to", gone), (0, 0))  # held ones stay held
        self.assertEqual(act("release", "--to", gone, "--from", "b@else.example"), (1, 1))
        self.assertEqual(self.listed("held"), [[gone]])
        self.assertEqual(act("release", "--to", "away@uni.example"), (0, 0))  # is not held
        self.assertEqual(act("retry", "--from", "a@out.example"), (2, 2))  # but for who is held
        self.assertEqual(self.listed("held"), [[gone]])
        both = next(m["queue_id"] for m in self.node.queue() if len(m["recipients"]) == 2)
        self.assertEqual(act("delete", "--to", gone, both), (1, 1))  # of this message only, and who is held too
        self.assertEqual(self.listed(), [["away@uni.example"], ["away@uni.example"], [gone]])
        self.assertEqual(act("delete", "--from", "@else.example"), (1, 1))
        self.assertEqual(act("delete", "--to", "team@uni.example"), (1, 1))  # what it came for
        self.assertEqual(self.listed(), [["away@uni.example"]])
        for words in (("delete", "--to", ""), ("delete", "--from", ""), ("hold", "--to", "@"), ("retry", "--again", "--to", gone)):
            self.node.run("queue", *words, check=2)
        for words in (("delete", "--all", "--to", gone), ("delete", "--damaged", "--from", gone), ("delete",)):
            self.assertIn("usage: ", self.node.run("queue", *words, check=2).stderr)
        latin1 = b"m\xfcller@uni.example"  # left out of a question it would be one for all the rest
        for words in (("delete", "--from", "@out.example", "--to", latin1), ("delete", latin1, "--from", "@out.example"),
                      ("list", "--from", "@out.example", "--to", latin1), ("retry", "--again", "--all", "--recipient", latin1)):
            self.assertIn("is not UTF-8", self.node.run("queue", *words, check=2).stderr, words)
        self.assertEqual(self.listed(), [["away@uni.example"]])

    def test_a_copy_for_two_does_not_go_with_one(self):
        """Who is named himself keeps what came by an alias, too."""
        away, team = "away@uni.example", "team@uni.example"

        def send(*to):
            self.send("shared", *to)
            self.node.wait(lambda: [r["tries"] > 0 for m in self.node.queue() for r in m["recipients"]] == [True], "it to be tried")
            self.assertEqual(self.listed("--to", team), [[away]])
        for to in ((away, team), (team, away)):
            send(*to)
            self.assertEqual(self.node.run("queue", "delete", "--to", team, check=0).stdout, "0 messages, 0 recipients\n")
            self.assertEqual(self.listed(), [[away]])
            self.assertEqual(self.node.run("queue", "delete", "--to", "@uni.example", check=0).stdout, "1 message, 1 recipient\n")
            send(*to)
            self.assertEqual(self.node.run("queue", "delete", "--to", away, check=0).stdout, "1 message, 1 recipient\n")  # where it goes

    def test_retry_tries_now(self):
        self.send("again", "away@uni.example")
        first = self.node.wait(lambda: [m for m in self.waiting("away@uni.example") if m["recipients"][0]["tries"] > 0], "a first try")[0]
        tries = first["recipients"][0]["tries"]
        self.node.run("queue", "retry", "--all", check=0)
        self.node.wait(lambda: self.waiting("away@uni.example")[0]["recipients"][0]["tries"] > tries, "another try")

    def test_a_replay_for_nobody_is_no_success(self):
        for host in ("mb99.uni.example", "mb1.uni.exmaple", "mb1..example"):
            done = self.node.run("queue", "replay", "--host", host, "--hours", "1", check=1)
            self.assertEqual(done.stdout, "")
            self.assertIn(f"--host {host}: neither the directory nor what was delivered from here knows", done.stderr)
        for host in ("mb9.uni.example", "MB1.Uni.example"):  # known, and nothing to do
            self.assertIn(" entered again", self.node.run("queue", "replay", "--host", host, "--hours", "1", check=0).stdout)

    def test_without_the_daemon_it_cannot_know(self):
        done = self.node.run("queue", "list", "-c", self.node.write("other.conf", 'hostname = "x.example"\nrun_dir = "%s"\nshadow_ldif = "%s"\n'
                             'listen { imaps = {} pop3s = {} submissions = {} }\n' % (self.node.path("nowhere"), self.node.path("directory.ldif"))))
        self.assertEqual(done.returncode, 75)


class Stop(NodeTest):
    """A mailbox host that takes connections and says nothing; deliveries to it do not hold up a stop, and are not held against the message."""

    @classmethod
    def setUpClass(cls):
        cls.silent = socket.create_server(("127.0.0.1", 0))
        cls.silent.settimeout(DEADLINE_S)
        cls.ldif = AWAY.replace("127.0.0.1:1", f"127.0.0.1:{cls.silent.getsockname()[1]}") + user_ldif("away", host="mb9.uni.example")
        cls.settings = {"stop_deadline_s": 2}
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        cls.silent.close()
        super().tearDownClass()

    def test_a_stop_waits_for_no_greeting(self):
        with self.node.smtp() as smtp:
            smtp.sendmail("a@out.example", ["away@uni.example"], message("silence"))
        peer, _ = self.silent.accept()
        self.node.stop()
        peer.close()
        self.node.start()
        found, = self.node.queue()
        self.assertEqual([(r["tries"], r["last_reply"]) for r in found["recipients"]], [(0, None)])


if __name__ == "__main__":
    unittest.main()
