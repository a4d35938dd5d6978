# SPDX-License-Identifier: Apache-2.0
"""IMAP as clients see it: TLS, every mechanism, two sessions at once, sizes that do not fit a buffer, a node that stops."""
import base64
import hashlib
import hmac
import imaplib
import threading
import unittest

from node import DEADLINE_S, NodeTest, PASSWORD, message


class Session:
    """One IMAP session on exact bytes: command() gives (status, text, untagged lines)."""

    def __init__(self, wire, greet=True):
        self.wire, self.n = wire, 0
        self.greeting = wire.line() if greet else None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.wire.close()

    def start(self, text):
        self.n += 1
        self.wire.send(f"t{self.n} {text}\r\n")
        return f"t{self.n}"

    def finish(self, tag):
        untagged = []
        while True:
            line = self.wire.line()
            if line.startswith(tag + " "):
                status, _, rest = line[len(tag) + 1:].partition(" ")
                return status, rest, untagged
            if not line and self.wire.closed():
                raise AssertionError(f"closed before the answer to {tag}: {untagged}")
            untagged.append(line)

    def command(self, text):
        return self.finish(self.start(text))

    def ok(self, text):
        status, rest, untagged = self.command(text)
        if status != "OK":
            raise AssertionError(f"{text}: {status} {rest}")
        return untagged


class Imap(NodeTest):
    users = ("ann", "bob", "eve", "kim", "lee")

    def session(self, login=None):
        session = Session(self.node.raw("imap"))
        if login:
            session.ok("STARTTLS")
            session.wire.starttls(self.node.tls())
            session.ok(f'LOGIN {login} "{PASSWORD}"')
        return session

    def append(self, login, text, folder="INBOX"):
        imap = self.node.imap(login)
        self.assertEqual(imap.append(folder, None, None, text.encode())[0], "OK")
        imap.logout()

    def test_greeting_and_starttls(self):
        with self.session() as s:
            self.assertTrue(s.greeting.startswith("* OK [CAPABILITY IMAP4rev1 "))
            self.assertIn(" STARTTLS", s.greeting)
            self.assertIn(" LOGINDISABLED", s.greeting)
            self.assertNotIn("AUTH=", s.greeting)
            status, text, _ = s.command(f'LOGIN ann "{PASSWORD}"')
            self.assertEqual((status, text.split("]")[0]), ("NO", "[PRIVACYREQUIRED"))
            s.ok("STARTTLS")
            s.wire.starttls(self.node.tls())
            capability = s.ok("CAPABILITY")[0]
            self.assertNotIn("STARTTLS", capability)
            self.assertNotIn("LOGINDISABLED", capability)
            for word in ("AUTH=PLAIN", "AUTH=LOGIN", "AUTH=SCRAM-SHA-256", "SASL-IR"):
                self.assertIn(word, capability)
            self.assertEqual(s.command("STARTTLS")[0], "BAD")
            status, text, _ = s.command(f'LOGIN ann "{PASSWORD}"')
            self.assertEqual(status, "OK")
            self.assertIn("[CAPABILITY IMAP4rev1", text)
            for word in ("IDLE", "UIDPLUS", "MOVE", "UNSELECT", "NAMESPACE", "SPECIAL-USE", "LITERAL+", "ID"):
                self.assertIn(" " + word, text)

    def test_plain_and_login_and_scram(self):
        b64 = lambda text: base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()
        with self.session() as s:
            s.ok("STARTTLS")
            s.wire.starttls(self.node.tls())
            self.assertEqual(s.command("AUTHENTICATE PLAIN " + b64(f"\0ann\0{PASSWORD}"))[0], "OK")
        with self.session() as s:
            s.ok("STARTTLS")
            s.wire.starttls(self.node.tls())
            tag = s.start("AUTHENTICATE LOGIN")
            for answer in ("ann", PASSWORD):
                self.assertTrue(s.wire.line().startswith("+ "))
                s.wire.send(b64(answer) + "\r\n")
            self.assertEqual(s.finish(tag)[0], "OK")
        with self.session() as s:
            s.ok("STARTTLS")
            s.wire.starttls(self.node.tls())
            first = "n=ann,r=clientnonce"
            tag = s.start("AUTHENTICATE SCRAM-SHA-256 " + b64("n,," + first))
            server_first = base64.b64decode(s.wire.line()[2:]).decode()
            fields = dict(f.split("=", 1) for f in server_first.split(","))
            salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
            client_key = hmac.digest(salted, b"Client Key", "sha256")
            without = "c=biws,r=" + fields["r"]
            signature = hmac.digest(hashlib.sha256(client_key).digest(), ",".join((first, server_first, without)).encode(), "sha256")
            proof = bytes(a ^ b for a, b in zip(client_key, signature))
            s.wire.send(b64(f"{without},p={b64(proof)}") + "\r\n")
            line = s.wire.line()
            if line.startswith("+"):
                s.wire.send("\r\n")
                line = s.wire.line()
            self.assertTrue(line.startswith(tag + " OK"), line)

    def test_everyday(self):
        imap = self.node.imap("kim")
        for text in (message("one"), message("two", body="gr\u00fc\u00dfe\r\n")):
            status, data = imap.append("INBOX", r"(\Flagged)", imaplib.Time2Internaldate(1000000000), text.encode())
            self.assertEqual(status, "OK")
            self.assertIn(b"APPENDUID", data[0])
        self.assertEqual(imap.select("INBOX"), ("OK", [b"2"]))
        self.assertEqual(imap.search("UTF-8", "SUBJECT", '"TWO"'), ("OK", [b"2"]))
        _, data = imap.fetch("1", "(FLAGS ENVELOPE BODYSTRUCTURE RFC822.SIZE BODY.PEEK[])")
        self.assertEqual(data[0][1], message("one").encode())
        self.assertIn(b"RFC822.SIZE %d" % len(message("one")), data[0][0])
        self.assertEqual(imap.store("1", "+FLAGS", r"(\Deleted)")[0], "OK")
        self.assertEqual(imap.create("Archive/2026")[0], "OK")
        self.assertEqual(imap.copy("2", "Archive/2026")[0], "OK")
        self.assertEqual(imap.expunge(), ("OK", [b"1"]))
        self.assertEqual(imap.uid("MOVE", "2", "Trash")[0], "OK")
        self.assertEqual(imap.select("Trash"), ("OK", [b"1"]))
        self.assertEqual(imap.close()[0], "OK")
        self.assertEqual(imap.logout()[0], "BYE")

    def test_idle_tells_at_once(self):
        with self.session("eve") as s:
            s.ok("SELECT INBOX")
            tag = s.start("IDLE")
            self.assertTrue(s.wire.line().startswith("+"))
            with self.node.smtp() as smtp:
                smtp.sendmail("a@out.example", ["eve@uni.example"], message("wake up", to="eve@uni.example"))
            self.assertEqual(s.wire.line(), "* 1 EXISTS")
            self.assertEqual(s.wire.line(), "* 1 RECENT")
            other = self.node.imap("eve")
            other.select("INBOX")
            other.store("1", "+FLAGS", r"(\Seen)")
            self.assertIn("FETCH (FLAGS (\\Seen", s.wire.line())
            other.store("1", "+FLAGS", r"(\Deleted)")
            self.assertIn("FETCH (FLAGS (", s.wire.line())
            other.expunge()
            self.assertEqual(s.wire.line(), "* 1 EXPUNGE")
            s.wire.send("DONE\r\n")
            self.assertEqual(s.finish(tag)[0], "OK")

    def test_pipelined(self):
        with self.session("lee") as s:
            text = message("pipe")
            s.wire.send(f"a SELECT INBOX\r\nb APPEND INBOX {{{len(text)}+}}\r\n{text}\r\nc FETCH 1 (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])\r\n"
                        "d STORE 1 +FLAGS.SILENT (\\Deleted)\r\ne EXPUNGE\r\nf LOGOUT\r\n")
            got = s.wire.stream.read().decode()
            order = [got.index(mark) for mark in ("\r\na OK", "* 1 EXISTS", "\r\nb OK [APPENDUID", "* 1 FETCH (UID", "Subject: pipe", "\r\nc OK",
                                                   "\r\nd OK", "* 1 EXPUNGE", "\r\ne OK", "* BYE", "\r\nf OK")]
            self.assertEqual(order, sorted(order), got)

    def test_large_message_both_ways(self):
        body = "".join(f"line {n:07d} of a message that fits no buffer\r\n" for n in range(200000))
        text = message("large", body=body)
        imap = self.node.imap("bob")
        self.assertEqual(imap.append("INBOX", None, None, text.encode())[0], "OK")
        imap.select("INBOX")
        _, data = imap.fetch("1", "(RFC822.SIZE BODY.PEEK[])")
        self.assertEqual(data[0][1], text.encode())
        _, data = imap.fetch("1", "(BODY.PEEK[TEXT]<9000000.44>)")
        self.assertEqual(data[0][1], body.encode()[9000000:9000044])
        imap.logout()

    def test_a_slow_reader_holds_nobody(self):
        self.append("ann", message("slow", body=("x" * 78 + "\r\n") * 50000))
        with self.session("ann") as slow:
            slow.ok("SELECT INBOX")
            slow.start("FETCH 1:* BODY.PEEK[]")  # and nothing is read
            with self.session("ann") as other:
                self.assertTrue(any("EXISTS" in line for line in other.ok("SELECT INBOX")))
                other.ok("STORE 1 +FLAGS (\\Flagged)")

    def test_many_sessions_one_folder(self):
        errors = []

        def work(n):
            try:
                imap = self.node.imap("lee")
                for k in range(5):
                    assert imap.append("Work", None, None, message(f"m{n}-{k}").encode())[0] == "OK"
                    imap.select("Work")
                    assert imap.store("1:*", "+FLAGS", f"(w{n})")[0] == "OK"
                imap.logout()
            except Exception as error:  # shown by the main thread
                errors.append(error)

        imap = self.node.imap("lee")
        imap.create("Work")
        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
        self.assertEqual(errors, [])
        self.assertEqual(imap.select("Work"), ("OK", [b"30"]))
        _, data = imap.uid("FETCH", "1:*", "(UID)")
        self.assertEqual(len(data), 30)
        imap.logout()


class Stopping(NodeTest):
    def test_sessions_hear_bye(self):
        idle = Session(self.node.raw("imap"))
        idle.ok("STARTTLS")
        idle.wire.starttls(self.node.tls())
        idle.ok(f'LOGIN ann "{PASSWORD}"')
        idle.ok("SELECT INBOX")
        idle.start("IDLE")
        self.assertTrue(idle.wire.line().startswith("+"))
        waiting = Session(self.node.raw("imap"))
        self.node.stop()
        self.assertTrue(idle.wire.line().startswith("* BYE"))
        self.assertTrue(waiting.wire.line().startswith("* BYE"))
        idle.wire.close()
        waiting.wire.close()


if __name__ == "__main__":
    unittest.main()
