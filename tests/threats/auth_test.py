# SPDX-License-Identifier: Apache-2.0
"""Log-ins that are cut, bent or somebody else's, on the submission ports, over IMAP and over POP3. The dialogue of SASL is one code
(router/login.c, mail/sasl.c) behind three protocols: what one test says of a name or a message, it says on each of them."""
import base64
import concurrent.futures
import os
import unittest

import sanitizer
from node import BIN, user_ldif
from threat import PASSWORD, Scram, ThreatTest, b64, cut_off

SERVICES = ("submission", "imap", "pop3")


class AuthTest(ThreatTest):
    def say(self, wire, service, line):
        """One line of a log-in and what came back: "ok", "fail", "bad", "later", "closed", or the text of a challenge."""
        wire.send((line if isinstance(line, bytes) else line.encode()) + b"\r\n")
        while True:
            answer = wire.line()
            if answer == "":
                return "closed"
            if service == "submission" and answer[3:4] == "-" or answer.startswith("* CAPABILITY"):
                continue
            break
        if answer.startswith("334 ") or answer.startswith("+ "):
            return base64.b64decode(answer.split(" ", 1)[1]).decode("utf-8", "replace")
        for start, meaning in (("235", "ok"), ("535", "fail"), ("501", "bad"), ("500", "bad"), ("454", "later"), ("421", "closed"), ("* BYE", "closed"),
                               ("a OK", "ok"), ("a NO [AUTHENTICATIONFAILED]", "fail"), ("a NO", "later"), ("a BAD", "bad"),
                               ("-ERR [AUTH]", "fail"), ("-ERR [IN-USE]", "ok"), ("-ERR [SYS", "later"), ("-ERR", "bad"), ("+OK", "ok")):
            if answer.startswith(start):
                return meaning
        return answer

    def begin(self, wire, service, mechanism, initial=None):
        verb = {"submission": "AUTH", "imap": "a AUTHENTICATE", "pop3": "AUTH"}[service]
        return self.say(wire, service, f"{verb} {mechanism}" + ("" if initial is None else f" {initial}"))

    def alive(self, wire, service):
        """The session understands its next command, and nothing was logged in."""
        wire.send({"submission": "MAIL FROM:<ann@uni.example>\r\nNOOP\r\n", "imap": "z SELECT INBOX\r\nz NOOP\r\n", "pop3": "STAT\r\nCAPA\r\n"}[service])
        answer = wire.line()
        self.assertTrue(answer.startswith({"submission": "530", "imap": "z BAD", "pop3": "-ERR"}[service]), answer)
        answer = wire.line()
        self.assertTrue(answer.startswith({"submission": "250", "imap": "z OK", "pop3": "+OK"}[service]), answer)
        while service == "pop3" and answer != ".":
            answer = wire.line()

    def in_parallel(self, function, cases):
        """Each failure costs its session a wait; the sessions wait together. Each case has an address of its own, from which ann has logged
        in before: so no case fails because the throttle has seen too many others."""
        def run(n, case):
            source = f"127.1.{n // 200}.{n % 200 + 1}"
            service = "submission" if case[0] == "submission" else "imap"  # a POP3 session keeps others out of the mailbox
            with self.secure(service, source) as wire:
                self.assertEqual(self.begin(wire, service, "PLAIN", b64(f"\0ann\0{PASSWORD}")), "ok")
            function(source, *case)

        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            for done in [pool.submit(run, n, case) for n, case in enumerate(cases)]:
                done.result()


class Auth(AuthTest):
    users = ("ann", "bob")

    def test_auth_clear(self):
        """No password is taken in the clear, none is asked for, and none that was sent all the same is believed."""
        plain = b64(f"\0ann\0{PASSWORD}")
        with self.node.raw("submission") as wire:
            wire.reply()
            wire.send("EHLO laptop\r\n")
            self.assertFalse([line for line in wire.reply()[1] if line.upper().startswith("AUTH")])
            for line in ("AUTH PLAIN " + plain, "AUTH PLAIN", "AUTH LOGIN", "AUTH SCRAM-SHA-256 " + b64(Scram().first), "auth plain " + plain):
                self.assertIn(wire.say(line), (530, 538), line)
            self.assertEqual(wire.say(plain), 500)  # nobody has asked for it
            self.assertEqual(wire.say("MAIL FROM:<ann@uni.example>"), 530)
        with self.node.raw("smtp") as wire:  # port 25 has no log-ins, with TLS or without
            wire.reply()
            wire.say("EHLO laptop")
            self.assertEqual(wire.say("AUTH PLAIN " + plain), 502)
            self.assertEqual(wire.say("STARTTLS"), 220)
            wire.starttls(self.node.tls())
            wire.send("EHLO laptop\r\n")
            self.assertFalse([line for line in wire.reply()[1] if line.upper().startswith("AUTH")])
            self.assertEqual(wire.say("AUTH PLAIN " + plain), 502)
        with self.node.raw("imap") as wire:
            self.assertIn("LOGINDISABLED", wire.line())
            for line in (f'LOGIN ann "{PASSWORD}"', "AUTHENTICATE PLAIN " + plain, "AUTHENTICATE LOGIN", "AUTHENTICATE SCRAM-SHA-256",
                         f"LOGIN {{3+}}\r\nann {{{len(PASSWORD)}+}}\r\n{PASSWORD}"):
                wire.send(f"a {line}\r\n")
                self.assertIn("a NO [PRIVACYREQUIRED]", wire.line(), line)
            self.alive(wire, "imap")
        with self.node.raw("pop3") as wire:
            wire.line()
            wire.send("CAPA\r\n")
            capabilities = iter(wire.line, ".")
            self.assertFalse([line for line in capabilities if line.startswith(("SASL", "USER"))])
            for line in ("USER ann", f"PASS {PASSWORD}", "AUTH PLAIN " + plain, "AUTH PLAIN", "APOP ann 0123456789abcdef0123456789abcdef"):
                wire.send(line + "\r\n")
                self.assertTrue(wire.line().startswith("-ERR"), line)
            self.alive(wire, "pop3")

    def test_auth_utf8_and_auth_expand(self):
        """A name is data: the unknown one, the one that cannot be, the one that means something to a shell fail alike and in the same words."""
        names = (b"", b"\xff\xfe", b"an\0n", b"\0", b"ann\xc0\x80", b"ann\xed\xa0\x80", b"\xef\xbb\xbfann", b"ann\n", b"ann\r\nb LOGOUT", b" ann", b"ann ",
                 b"%{home}", b"%u", b"${run{/bin/true}}", b"$(id)", b"`id`", b"../../etc/passwd", b"../ann", b"*", b"a*", b"ann)(uid=*", b"ann\\2a",
                 b"a" * 255, b"a" * 256, b"a" * 5000, b"ann@", b"@uni.example", b"ann@evil.example", b"ann@uni.example@uni.example", b"ann@uni.example\0x",
                 b"ann%uni.example", b"uid=ann,ou=people,dc=uni,dc=example", b"'; DROP TABLE entry; --", "ａnn".encode(), "ａｎｎ@uni.example".encode(),
                 "аnn".encode(), "\u200bann".encode(), b"bob\xc2\x85", b"-", b"root")
        self.in_parallel(self.name_fails, [(service, name) for service in SERVICES for name in names])
        log = self.node.log_text()
        self.assertIn("login=%{home}", log)
        self.assertIn("${run{/bin/true}}", log)
        self.assertFalse([line for line in log.splitlines() if not line.startswith(("ts=", "posthouse"))], "a name has broken a line of the log")

    def name_fails(self, source, service, name):
        with self.secure(service, source) as wire:
            # Longer than a line may be, it is no name at all.
            want = "bad" if len(name) > 4000 else "fail"
            self.assertIn(self.begin(wire, service, "PLAIN", b64(b"\0" + name + b"\0" + PASSWORD.encode())), ("fail", want), (service, name[:60]))
            self.alive(wire, service)
        with self.secure(service, source) as wire:
            self.assertEqual(self.begin(wire, service, "LOGIN"), "Username:")
            answer = self.say(wire, service, b64(name))
            if answer == "Password:":
                answer = self.say(wire, service, b64(PASSWORD))
            self.assertIn(answer, ("fail", want), (service, name[:60]))
            self.alive(wire, service)
        if b"," not in name and b"\0" not in name:
            with self.secure(service, source) as wire:
                answer = self.begin(wire, service, "SCRAM-SHA-256", b64(b"n,,n=" + name.replace(b"=", b"=3D") + b",r=abcdefghijklmnop"))
                if answer.startswith("r="):  # a name that nobody has gets a challenge like any other
                    answer = self.say(wire, service, b64(Scram(name.decode("utf-8", "replace"), nonce="abcdefghijklmnop").final(answer)))
                self.assertIn(answer, ("fail", "bad"), (service, name[:60]))
                self.alive(wire, service)

    def test_auth_bent_base64(self):
        """What is no base64, or no response, ends the log-in and is never read as a command."""
        lines = ("=", "==", "====", "a", "YQ", "YQ=", "YQ===", "Y=Q=", "=YQ=", "YQ==YQ==", "%%%%", "!", "AGFubgBj b3Jy", " ", "\tYQ==", "YQ==\0", "\0",
                 "-_-_", "YR==", "A" * 12289, "A" * 20000, "A" * 300000, "*" * 2, "* ", " *", "NOOP", "QUIT", "RSET", "a LOGOUT", "b NOOP", "STAT", "{5+}")
        self.in_parallel(self.line_is_no_command, [(service, line) for service in SERVICES for line in lines])

    def line_is_no_command(self, source, service, line):
        with self.secure(service, source) as wire:
            self.assertEqual(self.begin(wire, service, "PLAIN"), "", (service, line[:40]))
            self.assertIn(self.say(wire, service, line), ("bad", "fail"), (service, line[:40]))
            self.alive(wire, service)
            if "\0" not in line and len(line) < 900 and " " not in line and not line.startswith("{"):  # a literal is IMAP's own
                answer = self.begin(wire, service, "PLAIN", line)
                if answer == "":  # "=": an initial response that is there and empty
                    answer = self.say(wire, service, "*")
                self.assertIn(answer, ("bad", "fail"), (service, line[:40]))
                self.alive(wire, service)

    def test_auth_given_up(self):
        """"*" ends the dialogue at any step, and what was said before it is forgotten."""
        for service in SERVICES:
            with self.secure(service) as wire:
                for mechanism, steps in (("PLAIN", ()), ("LOGIN", ()), ("LOGIN", ("ann",)), ("SCRAM-SHA-256", ()), ("SCRAM-SHA-256", (Scram().first,))):
                    self.begin(wire, service, mechanism)
                    for step in steps:
                        self.say(wire, service, b64(step))
                    self.assertEqual(self.say(wire, service, "*"), "bad", (service, mechanism, steps))
                    self.alive(wire, service)
                self.assertEqual(self.begin(wire, service, "PLAIN", b64(f"\0ann\0{PASSWORD}")), "ok")

    def test_auth_mechanisms(self):
        """Only what is offered, whatever it is called."""
        for service in SERVICES:
            with self.secure(service) as wire:
                for mechanism in ("CRAM-MD5", "DIGEST-MD5", "EXTERNAL", "GSSAPI", "ANONYMOUS", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "OAUTHBEARER", "NTLM",
                                  "PLAIN%n", "PLAI", "PLAINX", "X" * 100, "../PLAIN", "PLAIN,LOGIN", "*"):
                    self.assertNotIn(self.begin(wire, service, mechanism, b64("\0ann\0" + PASSWORD)), ("ok", ""), (service, mechanism))
                    self.alive(wire, service)

    def test_auth_plain_as_somebody_else(self):
        """An authorisation identity that is not the login's own opens nothing (RFC 4616), nor does a message with more or fewer parts."""
        cases = [(service, text, want) for service in SERVICES for text, want in (
            (f"bob\0ann\0{PASSWORD}", "fail"), (f"bob@uni.example\0ann\0{PASSWORD}", "fail"), (f"\0ann\0{PASSWORD}\0x", "fail"), (f"ann\0{PASSWORD}", "fail"),
            (f"ann {PASSWORD}", "fail"), ("\0\0", "fail"), ("\0", "fail"), ("\0ann\0", "fail"), ("\0ann", "fail"), (f"\0\0{PASSWORD}", "fail"), (f"\0ann@evil.example\0{PASSWORD}", "fail"),
            (f"postmaster\0ann\0{PASSWORD}", "fail"), (f" \0ann\0{PASSWORD}", "fail"), (f"\0ann\0{PASSWORD} ", "fail"), (f"\0ann\0{PASSWORD}\n", "fail"),
            (f"\0ann\0{PASSWORD.upper()}", "fail"), ("\0ann\0" + "x" * 8000, "fail"), (f"\0ann@uni.example\0{PASSWORD}", "ok"), (f"ann\0ann\0{PASSWORD}", "ok"))]
        self.in_parallel(self.plain_is, cases)
        self.in_parallel(self.hash_is_no_password, [(service,) for service in SERVICES])

    def plain_is(self, source, service, text, want):
        with self.secure(service, source) as wire:
            self.assertIn(self.begin(wire, service, "PLAIN", b64(text)), (want, "bad") if len(text) > 700 else (want,), (service, text[:60]))
            if want == "fail":
                self.alive(wire, service)

    def hash_is_no_password(self, source, service):
        """What is stored opens nothing (DIRECTORY 4: libsasl2 would take a hash for the password)."""
        with open(self.node.path("directory.ldif"), encoding="utf-8") as stream:
            stored = [line.split(": ", 1)[1].strip() for line in stream if line.startswith(("userPassword", "phScram"))][:2]
        with self.secure(service, source) as wire:
            for value in stored:
                self.assertEqual(self.begin(wire, service, "PLAIN", b64(f"\0ann\0{value}")), "fail")

    def test_auth_scram(self):
        """The messages of SCRAM, each bent in one place (RFC 5802 sections 5 and 7)."""
        first = ("p=tls-unique,,n=ann,r=x", "p=tls-exporter,,n=ann,r=x", "p,,n=ann,r=x", "z,,n=ann,r=x", ",,n=ann,r=x", "n,n=ann,r=x", "n,,r=x,n=ann", "n,,n=ann",
                 "n,,n=,r=x", "n,,m=ext,n=ann,r=x", "n,,n=ann=,r=x", "n,,n=a=2cnn=2,r=x", "n,,n=ann=2C,r=x", "", "n", "n,,", "n,,,", "\0", "n,,n=ann,r=x\0y",
                 "n,a=bob,n=ann,r=x", "n,a=bob@uni.example,n=ann,r=x", "y,a=bob,n=ann,r=x", "n,x=bob,n=ann,r=x", "n,,n=ann,r=" + "N" * 9000,
                 "n,,n=" + "a" * 9000 + ",r=x", "n,,n=ann,r=x," + "e=1," * 2000)
        self.in_parallel(self.first_message_opens_nothing, [(service, text) for service in SERVICES for text in first])
        bent = [dict(nonce="x"), dict(nonce=""), dict(binding=""), dict(binding="eSws"), dict(binding="biws="), dict(binding="%%%"), dict(proof=""), dict(proof="AAAA"),
                dict(proof="A" * 8000), dict(proof=b64(b"\0" * 32)), dict(proof=b64(b"\0" * 31)), dict(proof=b64(b"\0" * 33))]
        self.in_parallel(self.final_message_opens_nothing, [(service, bend) for service in SERVICES for bend in bent])
        self.in_parallel(self.scram_works, [(service, header) for service in SERVICES for header in ("n,,", "y,,", "n,a=ann,")])

    def first_message_opens_nothing(self, source, service, text):
        with self.secure(service, source) as wire:
            answer = self.begin(wire, service, "SCRAM-SHA-256", b64(text) or "=")
            if answer == "":  # an initial response that is there and empty
                answer = self.say(wire, service, "")
            if answer.startswith("r="):
                client = Scram()
                header, client.bare = text[:text.index("n=")], text[text.index("n="):]
                client.header = header
                answer = self.say(wire, service, b64(client.final(answer)))
                if answer.startswith("v="):
                    answer = self.say(wire, service, "")
            self.assertIn(answer, ("fail", "bad"), (service, text[:60]))
            self.alive(wire, service)

    def final_message_opens_nothing(self, source, service, bend):
        with self.secure(service, source) as wire:
            client = Scram()
            answer = self.begin(wire, service, "SCRAM-SHA-256", b64(client.first))
            self.assertTrue(answer.startswith("r="), answer)
            answer = self.say(wire, service, b64(client.final(answer, **bend)))
            self.assertIn(answer, ("fail", "bad"), (service, bend))
            self.alive(wire, service)

    def scram_works(self, source, service, header):
        with self.secure(service, source) as wire:
            client = Scram(header=header)
            answer = self.say(wire, service, b64(client.final(self.begin(wire, service, "SCRAM-SHA-256", b64(client.first)))))
            self.assertTrue(answer.startswith("v="), (service, header, answer))
            self.assertEqual(self.say(wire, service, ""), "ok")

    def test_a_challenge_belongs_to_its_dialogue(self):
        """A proof for one challenge is none for the next, in the same session or in another."""
        with self.secure() as one, self.secure() as other:
            client = Scram()
            final = client.final(self.begin(one, "submission", "SCRAM-SHA-256", b64(client.first)))
            self.begin(other, "submission", "SCRAM-SHA-256", b64(client.first))
            self.assertEqual(self.say(other, "submission", b64(final)), "fail")
            self.assertEqual(self.say(one, "submission", "*"), "bad")
            self.begin(one, "submission", "SCRAM-SHA-256", b64(client.first))
            self.assertEqual(self.say(one, "submission", b64(final)), "fail")
            self.alive(one, "submission")

    def test_auth_once(self):
        """After a log-in there is no second one, and a failed one leaves the session a stranger's."""
        with self.secure() as wire:
            self.assertEqual(wire.say("AUTH PLAIN " + b64(f"\0ann\0{PASSWORD}")), 235)
            self.assertEqual(wire.say("AUTH PLAIN " + b64(f"\0bob\0{PASSWORD}")), 503)
            self.assertEqual(wire.say("MAIL FROM:<bob@uni.example>"), 553)
            self.assertEqual(wire.say("EHLO again"), 250)
            self.assertEqual(wire.say("MAIL FROM:<bob@uni.example>"), 553)


class SenderLogin(AuthTest):
    users = ("ann", "bob", "eve")
    ldif = (user_ldif("boss", extra="phSendAsGrant: uid=ann,ou=people,dc=uni,dc=example\n") + user_ldif("sales", extra="phSendAs: @shop.example\nphSendAs: desk@uni.example\n"))
    logins = {"boss": "boss", "sales": "sales"}

    def session(self, login):
        wire = self.secure()
        self.assertEqual(wire.say("AUTH PLAIN " + b64(f"\0{login}\0{PASSWORD}")), 235)
        return wire

    def test_sender_login(self):
        """A authenticated, MAIL FROM B: 553 unless B lets A send."""
        others = ("bob@uni.example", "BOB@UNI.EXAMPLE", '"bob"@uni.example', '"b\\ob"@uni.example', "bob+ann@uni.example", "bob+@uni.example", "bob@uni.example.",
                  "@uni.example:bob@uni.example", "nobody@uni.example", "postmaster@uni.example", "mailer-daemon@uni.example", "ann@evil.example", "ann@sub.uni.example",
                  "ann@uni.example.evil.example", "x@shop.example", "desk@uni.example", '"ann@uni.example"@evil.example', "ann%uni.example@evil.example",
                  "ann@[127.0.0.1]", '""@uni.example', '"ann "@uni.example', "an.n@uni.example", "annx@uni.example", "+ann@uni.example", "ann-x@uni.example", "uid=ann@uni.example")
        with self.session("ann") as wire:
            for sender in others:
                self.assertIn(wire.say(f"MAIL FROM:<{sender}>"), (501, 553), sender)
                self.assertEqual(wire.say("RCPT TO:<bob@uni.example>"), 503)
            for line in ("MAIL FROM:<bob@uni.example> AUTH=<ann@uni.example>", "MAIL FROM:<bob@uni.example> ENVID=ann@uni.example", "MAIL FROM:<bob@uni.example> SMTPUTF8",
                         "MAIL FROM:<ｂob@uni.example> SMTPUTF8", "MAIL FROM:<ann@uni.example\u0301> SMTPUTF8", "MAIL FROM:<аnn@uni.example> SMTPUTF8",
                         "MAIL FROM:<ann@uni.example> <bob@uni.example>", "MAIL FROM:<ann@uni.example>,<bob@uni.example>", "MAIL FROM:<<ann@uni.example>bob@uni.example>"):
                self.assertIn(wire.say(line), (501, 553, 555), line)
                self.assertEqual(wire.say("RCPT TO:<bob@uni.example>"), 503)

    def test_sender_login_of_ones_own(self):
        for login, senders in (("ann", ("ann@uni.example", "ANN@uni.example", '"ann"@uni.example', "ann+any@uni.example", "ann@UNI.example.", "boss@uni.example", "")),
                               ("sales", ("sales@uni.example", "any@shop.example", "desk@uni.example", "desk+x@uni.example"))):
            with self.session(login) as wire:
                for sender in senders:
                    self.assertEqual(wire.say(f"MAIL FROM:<{sender}>"), 250, (login, sender))
                    self.assertEqual(wire.say("RSET"), 250)
        with self.session("boss") as wire:  # a grant goes one way
            self.assertEqual(wire.say("MAIL FROM:<ann@uni.example>"), 553)
        with self.session("sales") as wire:
            for sender in ("any@sub.shop.example", "any@xshop.example", "shop.example@uni.example", "@shop.example"):
                self.assertIn(wire.say(f"MAIL FROM:<{sender}>"), (501, 553), sender)

    def test_a_sender_that_was_refused_sends_nothing(self):
        """Pipelined behind a refused MAIL, the rest of the transaction is refused too."""
        with self.session("ann") as wire:
            wire.send("MAIL FROM:<bob@uni.example>\r\nRCPT TO:<eve@uni.example>\r\nDATA\r\n")
            self.assertEqual([wire.reply()[0] for _ in range(3)], [553, 503, 503])
            self.assertEqual(wire.say("NOOP"), 250)


class AuthAbort(AuthTest):
    """A hundred thousand log-ins that break off. Most are given up with "*", many in a connection; thousands end with the connection."""
    settings = {"log_level": "warning", "auth_plaintext": "trusted"}
    users = ("ann",)
    ABORTS = {"submission": 60000, "imap": 20000, "pop3": 20000}

    def resident_kib(self, daemon):
        with open(f"/proc/{self.pids[daemon]}/status", encoding="ascii") as stream:
            return int(next(line for line in stream if line.startswith("VmRSS")).split()[1])

    def descriptors(self, daemon):
        return len(os.listdir(f"/proc/{self.pids[daemon]}/fd"))

    def give_up(self, service, n):
        """n log-ins of one connection, each given up after its first step, sent ahead; the last one by hanging up."""
        begin = {"submission": "AUTH SCRAM-SHA-256 {}", "imap": "a NOOP\r\na AUTHENTICATE SCRAM-SHA-256 {}", "pop3": "AUTH SCRAM-SHA-256 {}"}[service]
        begin = begin.format(b64(Scram().first))
        challenges = 0
        with self.node.raw(service) as wire:
            wire.line()
            if service == "submission":
                wire.say("EHLO x")
            for at in range(0, n, 10):
                batch = min(10, n - at)
                wire.send((begin + "\r\n*\r\n") * (batch - 1) + begin + "\r\n" + ("*\r\n" if at + batch < n else ""))
                want, seen = batch, 0
                while seen < want:
                    line = wire.line()
                    if not line:
                        break
                    seen += line.startswith(("334 ", "+ "))
                challenges += seen
            cut_off(wire.sock)
        return challenges

    def round(self, share):
        """That share of all aborts; the challenges that were seen."""
        per = {"submission": 90, "imap": 90, "pop3": 15}  # auth_failures_max, and how many bad commands in a row a session may say
        jobs = [(service, per[service]) for service, n in self.ABORTS.items() for _ in range(int(n * share) // per[service])]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return sum(pool.map(lambda job: self.give_up(*job), jobs))

    def test_auth_abort(self):
        seen = self.round(0.1)  # what stays in memory for good is there after these
        before = {daemon: (self.resident_kib(daemon), self.descriptors(daemon)) for daemon in ("mta", "popimap")}
        seen += self.round(0.9)
        self.assertGreater(seen, 99000)
        for daemon, (kib, files) in before.items():
            self.node.wait(lambda: self.descriptors(daemon) <= files, f"{daemon} to close what others left")
            if not sanitizer.is_in(os.path.join(BIN, "posthouse-" + daemon)):
                self.assertLess(self.resident_kib(daemon) - kib, 4096, f"{daemon} has grown")

    def test_auth_abort_by_hanging_up(self):
        """Gone in the middle, politely, with a reset, in the clear and under TLS."""
        before = {daemon: self.descriptors(daemon) for daemon in ("mta", "popimap")}
        for n in range(3000):
            service = SERVICES[n % 3]
            wire = self.node.raw(service)
            wire.send({"submission": "EHLO x\r\nAUTH LOGIN\r\n", "imap": "a AUTHENTICATE PLAIN\r\n", "pop3": "AUTH PLAIN\r\n"}[service][:7 + n % 30])
            if n % 2:
                cut_off(wire.sock)
            wire.close()
        for n in range(150):
            service = SERVICES[n % 3]
            wire = self.secure(service)
            self.begin(wire, service, "SCRAM-SHA-256", b64(Scram().first))
            if n % 2:
                cut_off(wire.sock)
            wire.close()
        for daemon, files in before.items():
            self.node.wait(lambda: self.descriptors(daemon) <= files, f"{daemon} to close what others left")


if __name__ == "__main__":
    unittest.main()
