# SPDX-License-Identifier: Apache-2.0
"""THREATS, SMTP framing, and STARTTLS on every port: nothing in a message is a command, nothing said before TLS counts, and slow or foreign
talkers cost nobody else anything. Each test is named after its row and asks every door that speaks SMTP or LMTP.
"""
import re
import ssl
import time
import unittest

from threat import DEADLINE_S, PASSWORD, ThreatTest, b64, message

SMUGGLED = (b"MAIL FROM:<evil@out.example>\r\nRCPT TO:<ann@uni.example>\r\nDATA\r\nSubject: inner\r\n\r\nsmuggled\r\n.\r\n")


class Hostile(ThreatTest):
    DOORS = ("smtp", "submission", "lmtp")
    SENDERS = {"smtp": "a@out.example", "submission": "ann@uni.example", "lmtp": "a@out.example"}

    def tearDown(self):
        for door in self.DOORS:
            with self.ready(door) as wire:
                self.assertEqual(wire.say("NOOP"), 250, door)
        super().tearDown()

    def tls(self, door):
        if door != "lmtp":
            return self.node.tls()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # shows the node's certificate, which clients know by its pin
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def ready(self, door):
        """A session that may begin a transaction: greeted, and on submission logged in under TLS."""
        wire = self.node.raw(door)
        hello = "LHLO client" if door == "lmtp" else "EHLO client"
        self.assertEqual(wire.reply()[0], 220, door)
        self.assertEqual(wire.say(hello), 250, door)
        if door == "submission":
            self.assertEqual(wire.say("STARTTLS"), 220)
            wire.starttls(self.node.tls())
            self.assertEqual(wire.say(hello), 250)
            self.assertEqual(wire.say("AUTH PLAIN " + b64(f"\0ann\0{PASSWORD}")), 235)
        return wire

    def begin(self, door, *recipients):
        wire = self.ready(door)
        self.assertEqual(wire.say(f"MAIL FROM:<{self.SENDERS[door]}>"), 250, door)
        for recipient in recipients or ("bob@uni.example",):
            self.assertEqual(wire.say(f"RCPT TO:<{recipient}>"), 250, door)
        return wire

    def data(self, door, body):
        """What is said to a message of these octets."""
        with self.begin(door) as wire:
            self.assertEqual(wire.say("DATA"), 354, door)
            wire.send(body)
            code, _ = wire.reply()
            self.assertEqual(wire.say("NOOP"), 250, (door, body))  # and nothing else: the next reply is NOOP's
        return code


MIXED = (b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n\0.\r\n", b"\r\n.\r\r\n", b"\r.\r\n", b"\n\n.\r\n", b"\r\n.\0\r\n", b"\r\n.\r\0\n")


class Framing(Hostile):
    settings = {"log_level": "info", "message_size_max": 1 << 20, "smtp_errors_max": 20}

    def test_smug_lf_lf(self):
        for door in self.DOORS:
            self.assertEqual(self.data(door, b"Subject: outer\r\n\r\nx\n.\n" + SMUGGLED), 550, door)

    def test_smug_mixed(self):
        for door in self.DOORS:
            for end in MIXED:
                self.assertEqual(self.data(door, b"Subject: outer\r\n\r\nx" + end + SMUGGLED), 550, (door, end))

    def test_bare_lf_ends_no_command(self):
        for door in self.DOORS:
            with self.ready(door) as wire:
                wire.send("NOOP\nMAIL FROM:<evil@out.example>\r\n")
                self.assertEqual(wire.reply()[0], 521, door)
                self.assertTrue(wire.closed())

    def test_bdat_len(self):
        """A length that no message can have is refused, costs no memory, and what follows is never read as commands."""
        resident = {daemon: self.resident_kib(daemon) for daemon in ("mta", "popimap")}
        for door in self.DOORS:
            for length in ("18446744073709551615", "18446744073709551616", "18446744073709551621 LAST", "9" * 1000, "4294967296", "-1", "+5", "0x10", "",
                           "LAST", "5 LAST x", "5 FIRST", "5,5", "5\t5"):
                with self.begin(door) as wire:
                    wire.send(f"BDAT {length}\r\nRSET\r\nMAIL FROM:<evil@out.example>\r\nRCPT TO:<ann@uni.example>\r\nDATA\r\n")
                    self.assertIn(wire.reply()[0], (501, 552), (door, length))
                    self.assertTrue(wire.closed(), (door, length))
        for daemon, kib in resident.items():
            self.assertLess(self.resident_kib(daemon) - kib, 64 << 10, daemon)

    def resident_kib(self, daemon):
        with open(f"/proc/{self.pids[daemon]}/status", encoding="ascii") as stream:
            return int(re.search(r"VmRSS:\s+(\d+)", stream.read()).group(1))

    def test_bdat_reject(self):
        """The octets of a chunk that is refused are consumed, whatever the reason."""
        chunk = b"RSET\r\n" + SMUGGLED
        bdat = lambda n, last="": b"BDAT %d%s\r\n" % (n, last.encode())
        for door in self.DOORS:
            sender = self.SENDERS[door].encode()
            for name, sent, codes in (
                    ("no recipient", b"MAIL FROM:<%s>\r\nRCPT TO:<nobody@uni.example>\r\n" % sender + bdat(len(chunk)) + chunk +
                     bdat(len(chunk), " LAST") + chunk, [250, 550, 554, 554]),
                    ("no sender", bdat(len(chunk), " LAST") + chunk, [503]),
                    ("behind LAST", bdat(len(chunk)) + chunk + bdat(0, " LAST"), [503, 503]),
                    ("DATA behind BDAT", b"MAIL FROM:<%s>\r\nRCPT TO:<bob@uni.example>\r\n" % sender + bdat(2) + b"x\r" + b"RSET\r\nNOOP\r\n",
                     [250, 250, 250, 250, 250]),
                    ("too big", b"MAIL FROM:<%s>\r\nRCPT TO:<bob@uni.example>\r\n" % sender + bdat(2 << 20) + b"QUIT\r\n  " * (1 << 18) +
                     bdat(len(chunk), " LAST") + chunk, [250, 250, 552, 552]),
                    ("bare LF", b"MAIL FROM:<%s>\r\nRCPT TO:<bob@uni.example>\r\n" % sender + bdat(7) + b"a: b\nc\n" + bdat(len(chunk), " LAST") + chunk,
                     [250, 250, 550, 550]),
                    ("NUL", b"MAIL FROM:<%s>\r\nRCPT TO:<bob@uni.example>\r\n" % sender + bdat(3, " LAST") + b"a\0b", [250, 250, 550]),
            ):
                with self.ready(door) as wire:
                    wire.send(sent + b"NOOP\r\nVRFY x\r\n")
                    self.assertEqual([wire.reply()[0] for _ in codes] + [wire.reply()[0], wire.reply()[0]], codes + [250, 252], (door, name))
        for door, hello in (("submission", "EHLO x"), ("smtp", "HELO x")):  # before the log-in, and in what is not ESMTP
            with self.node.raw(door) as wire:
                wire.reply()
                self.assertEqual(wire.say(hello), 250)
                wire.send(bdat(len(chunk), " LAST") + chunk + b"NOOP\r\n")
                self.assertEqual([wire.reply()[0] for _ in range(2)], [503, 250], door)

    def test_bdat_and_data_do_not_mix(self):
        for door in self.DOORS:
            with self.begin(door) as wire:
                wire.send("BDAT 6\r\na: b\r\nRCPT TO:<ann@uni.example>\r\nMAIL FROM:<>\r\nDATA\r\n")
                self.assertEqual([wire.reply()[0] for _ in range(4)], [250, 503, 503, 503], door)
                wire.send("RSET\r\nBDAT 0 LAST\r\n")
                self.assertEqual([wire.reply()[0] for _ in range(2)], [250, 503], door)

    def test_long_cmd(self):
        for door in self.DOORS:
            with self.ready(door) as wire:
                wire.send(b"NOOP " + b"x" * (1 << 20) + b"\r\nNOOP\r\n" + b"\rRSET\rMAIL FROM:<a@b>\r" * 50000 + b"\r\nVRFY x\r\n")
                self.assertEqual([wire.reply()[0] for _ in range(4)], [500, 250, 500, 252], door)

    def test_nul_cmd(self):
        for door in self.DOORS:
            with self.ready(door) as wire:
                for line in (b"MAIL FROM:<a\0b@x.example>\r\n", b"\0\r\n", b"NOOP\0\r\n", b"NO\0OP\r\n", b"MAIL FROM:<a@x.example>\0 SIZE=1\r\n"):
                    wire.send(line)
                    self.assertEqual(wire.reply()[0], 501, (door, line))
                self.assertEqual(wire.say("RCPT TO:<bob@uni.example>"), 503)

    def test_early_pipe(self):
        """Input where a client has to wait ends the session: behind the greeting of the client, behind DATA."""
        for door in self.DOORS:
            hello = "LHLO" if door == "lmtp" else "EHLO"
            with self.node.raw(door) as wire:
                wire.reply()
                wire.send(f"{hello} client\r\nMAIL FROM:<{self.SENDERS[door]}>\r\n")
                self.assertEqual(wire.reply()[0], 554, door)
                self.assertTrue(wire.closed())
            with self.begin(door) as wire:
                wire.send("DATA\r\nSubject: early\r\n\r\n.\r\n")
                self.assertEqual(wire.reply()[0], 554, door)
                self.assertTrue(wire.closed())

    def test_data_after_5xx(self):
        """A client that sends its message although DATA was refused hears a bounded number of errors, and then nobody listens."""
        for door in self.DOORS:
            with self.ready(door) as wire:
                self.assertEqual(wire.say(f"MAIL FROM:<{self.SENDERS[door]}>"), 250)
                self.assertEqual(wire.say("RCPT TO:<nobody@uni.example>"), 550)
                self.assertEqual(wire.say("DATA"), 554)
                wire.send("Subject: not taken\r\n\r\n" + "a line of text\r\n" * 1000 + ".\r\n")
                codes = []
                while not codes or codes[-1] >= 500:
                    codes.append(wire.reply()[0])
                self.assertEqual(codes[-1], 421, door)
                self.assertLessEqual(len(codes), 21, door)
                self.assertTrue(wire.closed())

    def test_http_on_25(self):
        for door in self.DOORS:
            for method in ("POST", "GET", "PUT", "HEAD", "OPTIONS", "CONNECT", "post"):
                with self.node.raw(door) as wire:
                    wire.reply()
                    wire.send(f"{method} / HTTP/1.1\r\nHost: x\r\n\r\nEHLO client\r\nMAIL FROM:<a@out.example>\r\nRCPT TO:<ann@uni.example>\r\nDATA\r\n")
                    self.assertEqual(wire.reply()[0], 554, (door, method))
                    self.assertTrue(wire.closed(), (door, method))

    def test_half_a_message_is_none(self):
        """What broke off before its end was never taken: in DATA, in a chunk, between chunks, before LAST."""
        for door in self.DOORS:
            for sent in (b"BDAT 100 LAST\r\nSubject: half\r\n", b"BDAT 15\r\nSubject: half\r\n", b"BDAT 15\r\nSubject: half\r\nQUIT\r\n",
                         b"BDAT 15\r\nSubject: half\r\nBDAT 0 L"):
                with self.begin(door) as wire:
                    wire.send(sent)
            with self.begin(door) as wire:
                self.assertEqual(wire.say("DATA"), 354)
                wire.send(b"Subject: half\r\n\r\n\r\n.\r")


class Normalize(Hostile):
    """The same input where line ends are mended: it is text of one message, and still no command."""
    settings = {"smtp_bare_newline": "normalize", "log_level": "info"}
    MENDED = {b"\n.\n": b"\r\n.\r\n", b"\n.\r\n": b"\r\n.\r\n", b"\r\n.\n": b"\r\n\r\n", b"\r.\r": b" . ", b"\r\n\0.\r\n": b"\r\n.\r\n"}

    def test_smug_lf_lf_and_smug_mixed(self):
        for door in self.DOORS:
            for n, (end, mended) in enumerate(self.MENDED.items()):
                subject = f"outer {door} {n}"
                self.assertEqual(self.data(door, b"Subject: " + subject.encode() + b"\r\n\r\nx" + end + b"MAIL FROM:<evil@out.example>\r\n.\r\n"), 250)
                self.arrives["bob"] += 1
                self.node.wait_queue_empty()
                text = [m for m in self.node.messages("bob") if b"Subject: " + subject.encode() + b"\r\n" in m]
                self.assertEqual(len(text), 1)
                self.assertTrue(text[0].endswith(b"\r\n\r\nx" + mended + b"MAIL FROM:<evil@out.example>\r\n"), text[0])

    def test_bdat(self):
        """A bare LF is a line end, also where a chunk ends in the middle of a CR LF."""
        for door in self.DOORS:
            subject = f"chunks {door}"
            with self.begin(door) as wire:
                first, second = b"Subject: " + subject.encode() + b"\n\none\r", b"\ntwo\n.\r\n..\rthree"
                wire.send(b"BDAT %d\r\n%bBDAT %d LAST\r\n%b" % (len(first), first, len(second), second))
                self.assertEqual([wire.reply()[0] for _ in range(2)], [250, 250], door)
            self.arrives["bob"] += 1
            self.node.wait_queue_empty()
            text = [m for m in self.node.messages("bob") if subject.encode() in m][0]
            self.assertIn(b"Subject: " + subject.encode() + b"\r\n", text)
            self.assertIn(b"\r\n\r\none\r\ntwo\r\n.\r\n.. three", text)


class BeforeTheGreeting(Hostile):
    settings = {"smtp_greet_pause_ms": 500, "log_level": "info"}

    def test_early_pipe(self):
        """Who speaks before the greeting of port 25 is no mail server: turned away, unheard."""
        for sent in ("EHLO client.example\r\n", "EHLO client.example\r\nMAIL FROM:<a@out.example>\r\n", "\r\n", "x"):
            with self.node.raw("smtp") as wire:
                wire.send(sent)
                self.assertEqual(wire.reply()[0], 554)
                self.assertTrue(wire.closed())
        self.assertIn("input before our reply", self.node.log_text())


class SlowCap(Hostile):
    """With long deadlines: what the slow ones hold, they hold for the whole of a test, however busy the machine is."""
    settings = {"trusted_networks": ["192.0.2.0/24"], "smtp_connections_per_address_max": 5, "log_level": "info"}

    def connect(self, source="127.9.9.9"):
        return self.node.raw("smtp", source)

    def test_slow_cap(self):
        """The slow ones have used up what their address may have; others notice nothing; and who comes when they have gone is served."""
        slow = [self.connect() for _ in range(5)]
        for wire in slow:
            self.assertEqual(wire.reply()[0], 220)
            wire.send("N")
        with self.connect() as wire:
            self.assertEqual(wire.reply()[0], 421)
            self.assertTrue(wire.closed())
        with self.node.smtp() as smtp:
            smtp.sendmail("a@out.example", ["ann@uni.example"], message("meanwhile"))
        self.arrives["ann"] += 1
        self.node.wait_messages(1, "ann")
        for wire in slow:
            wire.close()

        def is_served():
            with self.connect() as wire:
                return wire.reply()[0] == 220
        self.node.wait(is_served, "the address to be served again")


class Slow(Hostile):
    """Deadlines as short as the settings allow."""
    settings = {"trusted_networks": ["192.0.2.0/24"], "smtp_idle_s": 5, "lmtp_idle_s": 5, "smtp_data_s": 10, "smtp_session_s": 15,
                "log_level": "info"}

    def connect(self, door="smtp", source="127.9.9.9"):
        return self.node.raw(door, source)

    def in_data(self, door, command):
        wire = self.connect(door)
        wire.reply()
        for line in ("LHLO x" if door == "lmtp" else "EHLO x", "MAIL FROM:<a@out.example>", "RCPT TO:<bob@uni.example>"):
            self.assertEqual(wire.say(line), 250)
        wire.send(command)
        return wire

    def drip(self, wires):
        """Sends what each has, piece by piece, until the server has closed all of them; the codes that they heard."""
        heard, reset = {name: [] for name in wires}, set()
        end = time.monotonic() + DEADLINE_S
        while wires and time.monotonic() < end:
            for name, (wire, piece) in list(wires.items()):
                try:
                    wire.sock.setblocking(False)
                    heard[name].append(wire.sock.recv(4096))
                    if heard[name][-1] == b"":
                        raise ConnectionResetError
                except BlockingIOError:
                    pass
                except ConnectionError:
                    if not heard[name] or heard[name][-1] != b"":
                        reset.add(name)  # we were so slow that the server did not wait for us to read its last words
                    wire.close()
                    del wires[name]
                    continue
                try:
                    wire.sock.send(piece)
                except OSError:
                    pass  # closed: the next recv says so
            time.sleep(0.3)
        self.assertEqual(wires, {}, "nobody ended these")
        return {name: b"".join(parts).decode() for name, parts in heard.items() if name not in reset}

    def test_slow(self):
        wires = {
            "command": (self.connect(), b"N"),
            "commands": (self.connect(), b"NOOP\r\n"),
            "data": (self.in_data("smtp", "DATA\r\n"), b"x"),
            "bdat": (self.in_data("smtp", "BDAT 1000000 LAST\r\n"), b"x"),
            "bdats": (self.in_data("smtp", ""), b"BDAT 1\r\nx"),
            "lmtp command": (self.connect("lmtp"), b"N"),
            "lmtp data": (self.in_data("lmtp", "DATA\r\n"), b"x"),
        }
        for name, heard in self.drip(wires).items():
            self.assertRegex(heard, r"(^|\n)421 4\.4\.2 [^\n]*\r\n$", name)
        with self.connect() as wire:
            self.assertEqual(wire.reply()[0], 220)


class StartTls(Hostile):
    settings = {"log_level": "info", "auth_plaintext": "trusted"}
    START = {"smtp": "STARTTLS", "submission": "STARTTLS", "lmtp": "STARTTLS", "imap": "a STARTTLS", "pop3": "STLS"}

    def start(self, door, before=(), behind=""):
        """A session whose TLS has begun: what was said before, what came in the same segment as STARTTLS."""
        wire = self.node.raw(door)
        wire.reply() if door in self.DOORS else wire.line()
        for line in before:
            wire.send(line + "\r\n")
            wire.reply() if door in self.DOORS else wire.line()
        wire.send(self.START[door] + "\r\n" + behind)
        answer = wire.line()
        self.assertRegex(answer, r"^(220 |a OK|\+OK)", door)
        wire.starttls(self.tls(door))
        return wire

    def test_stls_inject(self):
        """What follows STARTTLS in the same segment never runs, on no side of the handshake."""
        before = self.node.log_text().count("plaintext behind STARTTLS was thrown away")
        for door in self.DOORS:
            hello = "LHLO x" if door == "lmtp" else "EHLO x"
            with self.start(door, [hello], f"{hello}\r\nMAIL FROM:<evil@out.example>\r\nRCPT TO:<ann@uni.example>\r\nDATA\r\n") as wire:
                self.assertEqual(wire.say("NOOP"), 250, door)
                self.assertIn(wire.say("RCPT TO:<ann@uni.example>"), (503, 530), door)
        with self.start("imap", [], f'b LOGIN ann "{PASSWORD}"\r\nc CREATE Injected\r\n') as wire:
            wire.send("d SELECT INBOX\r\n")
            self.assertTrue(wire.line().startswith("d BAD"))
        with self.start("pop3", [], f"USER ann\r\nPASS {PASSWORD}\r\n") as wire:
            wire.send("STAT\r\n")
            self.assertTrue(wire.line().startswith("-ERR"))
        imap = self.node.imap("ann")
        self.assertNotIn(b"Injected", b"".join(imap.list()[1]))
        imap.logout()
        self.node.wait(lambda: self.node.log_text().count("plaintext behind STARTTLS was thrown away") == before + 5, "all five to be in the log")

    def test_stls_reset(self):
        """What was said in the clear is forgotten: the greeting, the sender, the half of a log-in; and TLS begins once."""
        for door in self.DOORS:
            hello = "LHLO x" if door == "lmtp" else "EHLO x"
            with self.start(door, [hello]) as wire:
                self.assertIn(wire.say(f"MAIL FROM:<{self.SENDERS[door]}>"), (503, 530), door)
                self.assertEqual(wire.say(hello), 250, door)
                self.assertEqual(wire.say("STARTTLS"), 503, door)
            with self.ready(door) as wire:  # in a transaction it cannot begin at all
                if not isinstance(wire.sock, ssl.SSLSocket):
                    self.assertEqual(wire.say(f"MAIL FROM:<{self.SENDERS[door]}>"), 250)
                    self.assertEqual(wire.say("STARTTLS"), 503, door)
        auth = "AUTH PLAIN " + b64(f"\0ann\0{PASSWORD}")
        with self.start("submission", ["EHLO x", auth]) as wire:
            self.assertEqual(wire.say("EHLO x"), 250)
            self.assertEqual(wire.say("MAIL FROM:<ann@uni.example>"), 530)
        with self.start("imap") as wire:
            wire.send("b STARTTLS\r\nc SELECT INBOX\r\n")
            self.assertTrue(wire.line().startswith("b BAD"))
            self.assertTrue(wire.line().startswith("c BAD"))
        with self.start("pop3", ["USER ann"]) as wire:
            wire.send(f"PASS {PASSWORD}\r\nSTAT\r\nSTLS\r\n")
            for _ in range(3):
                self.assertTrue(wire.line().startswith("-ERR"))


if __name__ == "__main__":
    unittest.main()
