# SPDX-License-Identifier: Apache-2.0
"""The access table, from the directory and from a file: who is let in, thrown away, held, and who may relay. Routes from a file too."""
import json
import os
import smtplib
import ssl
import subprocess
import unittest

from nexthop import NextHop
from node import DEADLINE_S, Node, message
from route_test import bracketed, route_ldif

OU = "ou=access,dc=uni,dc=example"


def access_ldif(cn, key, action):
    return f"dn: cn={cn},{OU}\nobjectClass: phMailAccess\ncn: {cn}\nphAccessKey: {key}\nphAccessAction: {action}\n\n"


class AccessTest(unittest.TestCase):
    files = {}

    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.remove)
        cls.relay, cls.one = NextHop(cls.node.address), NextHop(cls.node.address)
        for hop in (cls.relay, cls.one):
            cls.addClassCleanup(hop.close)
        cls.addClassCleanup(cls.node.stop)
        cls.node.extra_ldif = cls.directory()
        cls.node.overrides.update({"relayhost": cls.relay.address, "relayhost_tls": "none", "retry_min_s": 1, "retry_max_s": 1})
        for setting, name in cls.files.items():
            cls.node.overrides[setting] = cls.node.write(name, cls.table(setting))
        cls.node.start()

    def smtp(self, source="127.0.0.1"):
        return smtplib.SMTP(self.node.address, self.node.ports["smtp"], timeout=DEADLINE_S, source_address=(source, 0))

    def rcpt(self, *to, source="127.0.0.1", sender="a@out.example"):
        """The codes of RCPT, or the one of MAIL that refused."""
        with self.smtp(source) as smtp:
            smtp.ehlo()
            code = smtp.mail(sender)[0]
            return [code] if code != 250 else [smtp.rcpt(one)[0] for one in to]

    def stats(self):
        stats = self.node.command("queue.stats", "mta")["result"]
        self.assertTrue(stats["balanced"])
        return stats["ledger"]


class Directory(AccessTest):
    @classmethod
    def directory(cls):
        return (access_ldif("net", "Connect:127.9.0.0/16", "REJECT") + access_ldif("later", "Connect:127.9.1", "ERROR:4.7.1:450 come back") +
                access_ldif("ok", "Connect:127.9.1.5", "OK") + access_ldif("relays", "Connect:127.8", "RELAY") +
                access_ldif("okclient", "Connect:127.8.1.1", "OK") + access_ldif("thrown", "Connect:127.7", "DISCARD") +
                access_ldif("bad", "From:bad.example", "ERROR:5.7.1:550 not from there") + access_ldif("trap", "From:trap.example", "DISCARD") +
                access_ldif("held", "From:odd.example", "QUARANTINE:an odd sender") + access_ldif("closed", "To:closed@uni.example", "REJECT") +
                access_ldif("in", "To:inbound.example", "RELAY") + access_ldif("everybody", "Connect:0.0.0.0/0", "RELAY"))

    def test_refused_at_the_greeting(self):
        with self.node.raw("smtp", source="127.9.7.7") as wire:
            self.assertEqual(wire.reply()[0], 554)
            for line in ("EHLO x.example", "MAIL FROM:<a@out.example>", "STARTTLS", "NOOP"):
                self.assertEqual(wire.say(line), 503, line)
            self.assertEqual(wire.say("QUIT"), 221)

    def test_refused_for_now_at_the_greeting(self):
        with self.node.raw("smtp", source="127.9.1.1") as wire:
            self.assertEqual(wire.reply()[0], 421)
            self.assertTrue(wire.closed())

    def test_the_longest_network_counts(self):
        self.assertEqual(self.rcpt("ann@uni.example", source="127.9.1.5"), [250])

    def test_relay_by_client_and_recipient(self):
        self.assertEqual(self.rcpt("x@far.example"), [550])
        self.assertEqual(self.rcpt("x@far.example", source="127.8.1.1"), [550])  # OK is not RELAY
        self.assertEqual(self.rcpt("x@far.example", "u%evil.example@far.example", source="127.8.0.1"), [250, 550])
        self.assertEqual(self.rcpt("x@inbound.example", "x@sub.inbound.example", "x@other.example"), [250, 250, 550])
        with self.smtp("127.8.0.1") as smtp:
            smtp.sendmail("a@out.example", ["x@far.example"], message("relayed"))
        self.node.wait(lambda: self.relay.with_subject("relayed"), "the message at the relayhost")

    def test_senders(self):
        self.assertEqual(self.rcpt("ann@uni.example", sender="x@sub.bad.example"), [550])
        with self.smtp() as smtp:
            smtp.ehlo()
            self.assertEqual(smtp.mail("x@bad.example"), (550, b"5.7.1 not from there"))
            self.assertEqual(smtp.mail("x@good.example")[0], 250)
        self.assertEqual(self.rcpt("closed@uni.example", "ann@uni.example"), [550, 250])

    def test_discard(self):
        before = self.stats()["discarded"]
        for sender, source in (("x@trap.example", "127.0.0.1"), ("x@out.example", "127.7.1.1")):
            with self.smtp(source) as smtp:
                smtp.sendmail(sender, ["ann@uni.example", "bob@uni.example"], message("thrown away"))
        self.node.wait_queue_empty()
        self.assertEqual(self.stats()["discarded"], before + 4)
        self.assertEqual([m for m in self.node.messages("ann") if b"Subject: thrown away" in m], [])

    def test_quarantine(self):
        with self.smtp() as smtp:
            smtp.sendmail("x@odd.example", ["ann@uni.example"], message("odd"))
        item = self.node.wait(self.node.queue, "the message in the queue")[0]
        self.assertEqual([(r["state"], r["last_reply"], r["tries"]) for r in item["recipients"]], [("held", "an odd sender", 0)])
        self.assertEqual([m for m in self.node.messages("ann") if b"Subject: odd" in m], [])
        self.node.run("queue", "release", item["queue_id"], check=0)
        self.node.wait(lambda: [m for m in self.node.messages("ann") if b"Subject: odd" in m], "the message that was released")

    def test_a_certificate_relays(self):
        def submit(context):
            with self.smtp() as smtp:
                smtp.starttls(context=context)
                smtp.ehlo()
                smtp.mail("a@out.example")
                return smtp.rcpt("x@far.example")[0]
        context = ssl.create_default_context(cafile=self.node.path("tls.pem"))
        context.check_hostname = False
        shows = ssl.create_default_context(cafile=self.node.path("tls.pem"))
        shows.check_hostname = False
        shows.load_cert_chain(self.node.path("node.pem"), self.node.path("node.key"))
        self.assertEqual((submit(context), submit(shows)), (550, 550))
        self.node.change_settings("mta", relay_certificates=[self.node.pin])
        self.assertEqual((submit(context), submit(shows)), (550, 250))
        self.node.change_settings("mta", relay_certificates=["sha256:" + "0" * 64])
        self.assertEqual((submit(context), submit(shows)), (550, 550))

    def test_only_the_key_of_a_certificate_counts(self):
        """Another key under the same names; the same certificate without its key; a session that was begun with the right one and is resumed."""
        def attack(context, session=None):
            with self.smtp() as smtp:
                smtp.ehlo()
                self.assertEqual(smtp.docmd("STARTTLS")[0], 220)
                smtp.sock = context.wrap_socket(smtp.sock, session=session)
                smtp.file = None
                smtp.ehlo()
                smtp.mail("a@out.example")
                code = smtp.rcpt("x@far.example")[0]
                return code, smtp.sock.session, smtp.sock.session_reused

        def context_of(name=None):
            context = ssl.create_default_context(cafile=self.node.path("tls.pem"))
            context.check_hostname = False
            if name:
                context.load_cert_chain(self.node.path(name + ".pem"), self.node.path(name + ".key"))
            return context
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj",
                        "/CN=mx.uni.example", "-addext", "subjectAltName=DNS:mb1.uni.example", "-keyout", self.node.path("evil.key"), "-out",
                        self.node.path("evil.pem")], check=True, capture_output=True)
        self.node.change_settings("mta", relay_certificates=[self.node.pin])
        try:
            good = context_of("node")
            code, session, _ = attack(good)
            self.assertEqual(code, 250)
            self.assertEqual(attack(context_of("evil"))[0], 550)
            self.assertEqual(attack(context_of())[0], 550)
            again, _, reused = attack(good, session)  # resumed or not: its key was shown, by him
            self.assertEqual(again, 250, f"reused: {reused}")
            self.node.change_settings("mta", relay_certificates=["sha256:" + "0" * 64])
            self.assertEqual(attack(good, session)[0], 550)  # what he showed then counts no more
        finally:
            self.node.change_settings("mta", relay_certificates=["sha256:" + "0" * 64])

    def test_networks_relay(self):
        self.node.change_settings("mta", relay_networks=["127.6.0.0/16"])
        self.assertEqual(self.rcpt("x@far.example", source="127.6.1.1"), [250])
        self.assertEqual(self.rcpt("x@far.example", source="127.5.1.1"), [550])

    def test_why(self):
        def why(*args):
            return json.loads(self.node.run("why", "--json", *args).stdout)
        self.assertEqual(why("--client", "127.9.7.7", "ann@uni.example")["reasons"][0],
                         {"rule": "access client", "entry": f"cn=net,{OU}", "attribute": "phAccessAction", "value": "REJECT"})
        self.assertIn({"rule": "relay client", "entry": f"cn=relays,{OU}", "attribute": "phAccessAction", "value": "RELAY"},
                      why("--client", "127.8.0.1", "x@far.example")["reasons"])
        self.assertEqual(why("--client", "127.0.0.1", "x@far.example")["code"], 550)
        self.assertEqual(why("--outside", "--from", "x@bad.example", "ann@uni.example")["text"], "not from there")
        self.assertEqual(why("--from", "x@odd.example", "ann@uni.example")["held"], "an odd sender")


class Files(AccessTest):
    files = {"access_file": "access", "routes_file": "mailertable"}

    @classmethod
    def directory(cls):
        return route_ldif("one", "one.example", "discard:") + access_ldif("bad", "From:bad.example", "REJECT")

    @classmethod
    def table(cls, setting):
        if setting == "access_file":
            return "# access\nConnect:127.9\tREJECT\nFrom:bad.example\tOK\nTo:one.example\tRELAY\n"
        return f"one.example\tesmtp:{bracketed(cls.one)}\n"

    def test_files_beside_the_directory(self):
        with self.node.raw("smtp", source="127.9.7.7") as wire:
            self.assertEqual(wire.reply()[0], 554)
        with self.smtp() as smtp:
            smtp.sendmail("x@bad.example", ["x@one.example"], message("by files"))
        self.node.wait(lambda: self.one.with_subject("by files"), "the message at the route's next hop")

    def test_reload(self):
        path = self.node.path("access")
        with open(path, "a", encoding="utf-8") as stream:
            stream.write("From:new.example\tREJECT\n")
        self.node.change_settings("mta")
        self.assertEqual(self.rcpt("ann@uni.example", sender="x@new.example"), [550])
        self.node.expect_error("row of a table is wrong|were not read again")
        with open(path, "a", encoding="utf-8") as stream:
            stream.write("From:newer.example\tREJEKT\n")
        self.node.change_settings("mta")  # the old table stays, all of it
        self.assertEqual(self.rcpt("ann@uni.example", sender="x@newer.example"), [250])
        self.assertEqual(self.rcpt("ann@uni.example", sender="x@new.example"), [550])
        done = self.node.run("check")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"{path}:6: From:newer.example: is none of OK", done.stdout)
        done = self.node.run("reload")
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{path}:6: From:newer.example: is none of OK", done.stderr)


class WrongFiles(AccessTest):
    """A start with a wrong row: what the file decides waits, all else goes on."""
    files = {"access_file": "access", "routes_file": "mailertable"}

    @classmethod
    def directory(cls):
        return route_ldif("one", "one.example", "discard:")

    @classmethod
    def table(cls, setting):
        return "# none\n"

    def rewrite(self, name, text):
        return self.node.write(name, text)

    def restart(self):
        self.node.stop()
        self.node.start()

    def status(self, code):
        done = self.node.run("status", "--json", check=code)
        return {s["daemon"]: s.get("trouble", "") for s in map(json.loads, done.stdout.splitlines())}

    def tearDown(self):
        self.rewrite("access", "# none\n")
        self.rewrite("mailertable", "# none\n")
        self.node.run("reload", check=0)
        self.node.wait(lambda: self.status(0)["mta"] == "", "the tables to be good")

    def test_routes(self):
        self.node.expect_error("row of a table is wrong|a table cannot be used|were not read again")
        path = self.rewrite("mailertable", f"far.example\tesmtp:{bracketed(self.one)}\nnear.example\tno such mailer\n")
        self.restart()
        with self.node.submission() as smtp:  # our users' mail goes on
            smtp.sendmail("ann@uni.example", ["bob@uni.example"], message("inside"))
        self.node.wait_messages(1, "bob")
        with self.node.submission() as smtp:
            smtp.ehlo()
            smtp.mail("ann@uni.example")
            for to in ("x@far.example", "x@near.example", "x@one.example", "x@any.example"):
                self.assertEqual(smtp.rcpt(to)[0], 451, to)
        self.assertIn("routes_file", self.status(75)["mta"])
        self.assertIn(f"{path}:2: near.example", self.node.run("check", check=1).stdout)
        why = self.node.run("why", "--json", "x@far.example", check=75)
        self.assertIn({"rule": "bad route", "entry": path, "attribute": "", "value": "the file cannot be read, or a row of it is wrong"},
                      json.loads(why.stdout)["reasons"])
        self.node.run("why", "bob@uni.example", check=0)
        self.rewrite("mailertable", f"far.example\tesmtp:{bracketed(self.one)}\n")
        self.node.run("reload", check=0)
        self.node.wait(lambda: self.status(0)["mta"] == "", "the table to be good")
        with self.node.submission() as smtp:
            smtp.sendmail("ann@uni.example", ["x@far.example"], message("outside"))
        self.node.wait(lambda: self.one.with_subject("outside"), "the message at the next hop")

    def test_access(self):
        self.node.expect_error("row of a table is wrong|a table cannot be used|were not read again")
        with self.node.submission() as smtp:
            smtp.sendmail("ann@uni.example", ["eve@uni.example"], message("before"))
        self.node.wait_messages(1, "eve")
        self.rewrite("access", "From:bad.example\tREJEKT\n")
        self.restart()
        self.assertEqual(len(self.node.messages("eve")), 1)  # mailboxes serve
        with self.smtp() as smtp:
            smtp.ehlo()
            code, text = smtp.mail("x@bad.example")
            self.assertEqual((code, text[:5]), (451, b"4.3.5"))
        self.assertIn("access_file", self.status(75)["mta"])
        self.node.run("why", "bob@uni.example", check=75)
        # A file that cannot be read is the same, and a reload with it leaves a good one alone.
        self.rewrite("access", "From:bad.example\tREJECT\n")
        self.node.run("reload", check=0)
        self.node.wait(lambda: self.status(0)["mta"] == "", "the table to be good")
        os.unlink(self.node.path("access"))
        self.node.change_settings("mta")
        with self.smtp() as smtp:
            smtp.ehlo()
            self.assertEqual(smtp.mail("x@bad.example")[0], 550)


if __name__ == "__main__":
    unittest.main()
