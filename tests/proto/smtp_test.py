# SPDX-License-Identifier: Apache-2.0
"""SMTP as a client sees it: ports 25 and 587 of a running node."""
import base64
import unittest

from node import NodeTest, PASSWORD, message


def plain(login, password=PASSWORD):
    return base64.b64encode(f"\0{login}\0{password}".encode()).decode()


class Port25(NodeTest):
    settings = {"message_size_max": 1 << 20, "recipients_max": 3, "smtp_errors_max": 10}

    def begin(self, hello="EHLO client.example"):
        wire = self.node.raw("smtp")
        self.assertEqual(wire.reply()[0], 220)
        wire.send(hello + "\r\n")
        self.hello = wire.reply()
        self.assertEqual(self.hello[0], 250)
        return wire

    def test_ehlo_offers_what_works_here(self):
        with self.begin() as wire:
            words = {line.split()[0] for line in self.hello[1][1:]}
            self.assertEqual(words, {"PIPELINING", "SIZE", "STARTTLS", "ENHANCEDSTATUSCODES", "8BITMIME", "CHUNKING", "SMTPUTF8", "DSN"})
            self.assertEqual(wire.say("AUTH PLAIN " + plain("ann")), 502)

    def test_helo_is_plain_smtp(self):
        with self.begin("HELO old.example") as wire:
            self.assertEqual(len(self.hello[1]), 1)
            self.assertEqual(wire.say("MAIL FROM:<a@out.example>"), 250)
            self.assertEqual(wire.say("QUIT"), 221)
            self.assertTrue(wire.closed())

    def test_states(self):
        with self.node.raw("smtp") as wire:
            wire.reply()
            self.assertEqual(wire.say("MAIL FROM:<a@out.example>"), 503)
            self.assertEqual(wire.say("EHLO client.example"), 250)
            self.assertEqual(wire.say("RCPT TO:<ann@uni.example>"), 503)
            self.assertEqual(wire.say("DATA"), 503)
            self.assertEqual(wire.say("MAIL FROM:<>"), 250)
            self.assertEqual(wire.say("MAIL FROM:<>"), 503)
            self.assertEqual(wire.say("DATA"), 554)
            self.assertEqual(wire.say("MAIL FROM:<a@out.example>"), 250)
            self.assertEqual(wire.say("RSET"), 250)
            self.assertEqual(wire.say("RCPT TO:<ann@uni.example>"), 503)
            self.assertEqual(wire.say("VRFY ann"), 252)
            self.assertEqual(wire.say("EXPN staff"), 502)
            self.assertEqual(wire.say("WHAT"), 500)

    def test_recipients(self):
        with self.begin() as wire:
            self.assertEqual(wire.say("MAIL FROM:<a@out.example>"), 250)
            wire.send("RCPT TO:<nobody@uni.example>\r\n")
            code, lines = wire.reply()
            self.assertEqual((code, lines[0][:5]), (550, "5.1.1"))
            wire.send("RCPT TO:<x@elsewhere.example>\r\n")
            code, lines = wire.reply()
            self.assertEqual((code, lines[0][:5]), (550, "5.7.1"))
            self.assertEqual(wire.say("RCPT TO:<ANN@UNI.EXAMPLE>"), 250)
            self.assertEqual(wire.say("RCPT TO:<ann+lists@uni.example>"), 250)
            self.assertEqual(wire.say("RCPT TO: <bob@uni.example> "), 250)
            self.assertEqual(wire.say("RCPT TO:<eve@uni.example>"), 452)
            self.assertEqual(wire.say("RCPT TO:<ann@uni.example> FOO=1"), 555)

    def test_parameters(self):
        with self.begin() as wire:
            self.assertEqual(wire.say("MAIL FROM:<a@out.example> FOO=bar"), 555)
            self.assertEqual(wire.say("MAIL FROM:<a@out.example> SIZE=1 SIZE=2"), 501)
            self.assertEqual(wire.say("MAIL FROM:<a@out.example> SIZE=1048577"), 552)
            self.assertEqual(wire.say("MAIL FROM:<a@out.example> SIZE=1048576 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x"), 250)

    def test_a_pipelined_transaction_is_answered_in_order(self):
        with self.begin() as wire:
            wire.send("MAIL FROM:<a@out.example>\r\nRCPT TO:<nobody@uni.example>\r\nRCPT TO:<bob@uni.example>\r\nNOOP\r\nDATA\r\n")
            self.assertEqual([wire.reply()[0] for _ in range(5)], [250, 550, 250, 250, 354])
            wire.send(message("pipelined") + ".\r\nQUIT\r\n")
            code, lines = wire.reply()
            self.assertEqual(code, 250)
            self.assertRegex(lines[0], r"^2\.0\.0 queued as [0-9A-HJKMNP-TV-Z]{12}$")
            self.assertEqual(wire.reply()[0], 221)
        self.node.wait_queue_empty()
        self.assertTrue(any(b"Subject: pipelined" in m for m in self.node.messages("bob")))

    def test_too_big_without_saying_so(self):
        with self.begin() as wire:
            for line in ("MAIL FROM:<a@out.example>", "RCPT TO:<bob@uni.example>"):
                self.assertEqual(wire.say(line), 250)
            self.assertEqual(wire.say("DATA"), 354)
            wire.send("Subject: big\r\n\r\n" + ("x" * 998 + "\r\n") * 1100 + ".\r\n")
            self.assertEqual(wire.reply()[0], 552)
            self.assertEqual(wire.say("NOOP"), 250)
        self.assertEqual([m for m in self.node.messages("bob") if b"Subject: big" in m], [])

    def test_errors_are_counted(self):
        with self.begin() as wire:
            codes = []
            while not codes or codes[-1] == 500:
                codes.append(wire.say("JUNK"))
            self.assertEqual(codes, [500] * 10 if codes[-1] == 0 else [500] * 10 + [421])
            self.assertTrue(wire.closed())

    def test_postmaster_without_a_domain(self):
        with self.begin() as wire:
            self.assertEqual(wire.say("MAIL FROM:<a@out.example>"), 250)
            # No postmaster entry in this directory: whatever is said, it is not "unknown command" or a bad address.
            self.assertIn(wire.say("RCPT TO:<postmaster>"), (250, 451, 550))

    def test_hops(self):
        with self.begin() as wire:
            for line in ("MAIL FROM:<a@out.example>", "RCPT TO:<bob@uni.example>"):
                self.assertEqual(wire.say(line), 250)
            self.assertEqual(wire.say("DATA"), 354)
            wire.send("Received: from a by b; x\r\n" * 101 + "Subject: loop\r\n\r\n.\r\n")
            code, lines = wire.reply()
            self.assertEqual((code, lines[0][:5]), (554, "5.4.6"))


class Chunks(NodeTest):
    """BDAT (RFC 3030): octets exactly as they were sent, and a reply for each chunk."""
    settings = {"message_size_max": 1 << 20}

    def begin(self):
        wire = self.node.raw("smtp")
        wire.reply()
        for line in ("EHLO client.example", "MAIL FROM:<a@out.example> BODY=8BITMIME", "RCPT TO:<bob@uni.example>"):
            self.assertEqual(wire.say(line), 250)
        return wire

    def arrived(self, subject):
        self.node.wait_queue_empty()
        found = [m for m in self.node.messages("bob") if b"Subject: " + subject in m]
        self.assertEqual(len(found), 1, found)
        return found[0]

    def test_one_chunk(self):
        text = b"Subject: one\r\n\r\n.\r\n..\r\n\xff\xfe\r\n.\r\n"
        with self.begin() as wire:
            wire.send(b"BDAT %d LAST\r\n%b" % (len(text), text))
            code, lines = wire.reply()
            self.assertEqual(code, 250)
            self.assertRegex(lines[0], r"^2\.0\.0 queued as [0-9A-HJKMNP-TV-Z]{12}$")
        self.assertTrue(self.arrived(b"one").endswith(b"\r\n" + text))

    def test_many_chunks_in_one_segment(self):
        text = b"Subject: many\r\n\r\n" + b"line\r\n.\r\n" * 300
        chunks = [text[i:i + 7] for i in range(0, len(text), 7)]
        with self.begin() as wire:
            wire.send(b"".join(b"BDAT %d\r\n%b" % (len(c), c) for c in chunks) + b"BDAT 0 LAST\r\nQUIT\r\n")
            self.assertEqual([wire.reply()[0] for _ in range(len(chunks) + 2)], [250] * (len(chunks) + 1) + [221])
        self.assertTrue(self.arrived(b"many").endswith(b"\r\n" + text))

    def test_a_last_line_without_its_end_and_a_file_in_the_spool(self):
        text = b"Subject: file\r\n\r\n" + b"0123456789\r\n" * 20000 + b"the end"
        with self.begin() as wire:
            for i in range(0, len(text), 50000):
                chunk = text[i:i + 50000]
                wire.send(b"BDAT %d%s\r\n" % (len(chunk), b" LAST" if i + 50000 >= len(text) else b"") + chunk)
                self.assertEqual(wire.reply()[0], 250)
        # To the mailbox it goes by DATA, where every line has an end.
        self.assertTrue(self.arrived(b"file").endswith(b"\r\n" + text + b"\r\n"))

    def test_a_client_that_looks_at_the_replies_before_it_sends_its_chunk(self):
        with self.node.raw("smtp") as wire:
            wire.reply()
            self.assertEqual(wire.say("EHLO client.example"), 250)
            wire.send("MAIL FROM:<a@out.example>\r\nRCPT TO:<bob@uni.example>\r\nBDAT 15\r\n")
            self.assertEqual([wire.reply()[0] for _ in range(2)], [250, 250])
            wire.send("Subject: look\r\nBDAT 3 LAST\r\n")
            self.assertEqual(wire.reply()[0], 250)
            wire.send("\r\nx")
            self.assertEqual(wire.reply()[0], 250)
        self.arrived(b"look")

    def test_too_big(self):
        with self.begin() as wire:
            chunk = b"x" * 510 + b"\r\n"
            wire.send((b"BDAT 512\r\n" + chunk) * 2100 + b"BDAT 0 LAST\r\n")
            codes = [wire.reply()[0] for _ in range(2101)]
            self.assertTrue(codes == sorted(codes) and (codes[0], codes[-1]) == (250, 552), codes)
            self.assertEqual(wire.say("MAIL FROM:<a@out.example>"), 250)  # one error, however much was on its way

    def test_binary_is_not_offered(self):
        with self.node.raw("smtp") as wire:
            wire.reply()
            wire.send("EHLO client.example\r\n")
            words = wire.reply()[1]
            self.assertIn("CHUNKING", words)
            self.assertNotIn("BINARYMIME", words)
            self.assertEqual(wire.say("MAIL FROM:<a@out.example> BODY=BINARYMIME"), 501)


class Submission(NodeTest):
    settings = {"submission_recipients_hour_max": 20}

    def begin(self, login=None):
        wire = self.node.raw("submission")
        wire.reply()
        self.assertEqual(wire.say("EHLO laptop"), 250)
        self.assertEqual(wire.say("STARTTLS"), 220)
        wire.starttls(self.node.tls())
        wire.send("EHLO laptop\r\n")
        self.hello = wire.reply()
        if login:
            self.assertEqual(wire.say("AUTH PLAIN " + plain(login)), 235)
        return wire

    def test_nothing_before_tls(self):
        with self.node.raw("submission") as wire:
            wire.reply()
            wire.send("EHLO laptop\r\n")
            self.assertFalse([line for line in wire.reply()[1] if line.startswith("AUTH")])
            self.assertIn(wire.say("AUTH PLAIN " + plain("ann")), (530, 538))
            self.assertEqual(wire.say("MAIL FROM:<ann@uni.example>"), 530)

    def test_auth(self):
        with self.begin() as wire:
            auth = [line for line in self.hello[1] if line.startswith("AUTH ")][0].split()[1:]
            self.assertEqual(set(auth), {"PLAIN", "LOGIN", "SCRAM-SHA-256"})
            self.assertEqual(wire.say("MAIL FROM:<ann@uni.example>"), 530)
            self.assertEqual(wire.say("AUTH CRAM-MD5"), 504)
            self.assertEqual(wire.say("AUTH PLAIN"), 334)
            self.assertEqual(wire.say("*"), 501)
            self.assertEqual(wire.say("AUTH PLAIN " + plain("ann")), 235)
            self.assertEqual(wire.say("AUTH PLAIN " + plain("ann")), 503)

    def test_failures_look_alike_and_end_the_session(self):
        replies = set()
        for login in ("nobody", "ann", "%{user}", "../../etc/passwd", ""):
            with self.begin() as wire:
                wire.send("AUTH PLAIN " + plain(login, "wrong") + "\r\n")
                code, lines = wire.reply()
                replies.add((code, tuple(lines)))
        self.assertEqual(len(replies), 1, replies)
        self.assertEqual(replies.pop()[0], 535)
        with self.begin() as wire:
            codes = [wire.say("AUTH PLAIN " + plain("eve", "wrong")) for _ in range(3)]
            self.assertEqual(codes, [535] * 3)
            self.assertEqual(wire.reply()[0], 421)

    def test_auth_utf8(self):
        with self.begin() as wire:
            self.assertEqual(wire.say("AUTH PLAIN " + base64.b64encode(b"\0a\xff\0x").decode()), 535)
            self.assertEqual(wire.say("AUTH PLAIN ====="), 501)

    def test_auth_login_in_steps(self):
        with self.begin() as wire:
            self.assertEqual(wire.say("AUTH LOGIN"), 334)
            self.assertEqual(wire.say(base64.b64encode(b"ann").decode()), 334)
            self.assertEqual(wire.say(base64.b64encode(PASSWORD.encode()).decode()), 235)

    def test_sender_login(self):
        with self.begin("ann") as wire:
            wire.send("MAIL FROM:<bob@uni.example>\r\n")
            code, lines = wire.reply()
            self.assertEqual((code, lines[0][:5]), (553, "5.7.1"))
            self.assertEqual(wire.say("MAIL FROM:<ann+any@uni.example>"), 250)

    def test_header_is_completed_and_bcc_is_gone(self):
        with self.begin("ann") as wire:
            self.assertEqual(wire.say("MAIL FROM:<ann@uni.example>"), 250)
            self.assertEqual(wire.say("RCPT TO:<bob@uni.example>"), 250)
            self.assertEqual(wire.say("DATA"), 354)
            wire.send("Subject: bare\r\nBcc: eve@uni.example\r\n\r\ntext\r\n.\r\n")
            self.assertEqual(wire.reply()[0], 250)
        text = self.node.wait_messages(1, "bob")[0]
        self.assertNotIn(b"Bcc", text)
        for field in (b"\r\nDate: ", b"\r\nMessage-ID: <", b"\r\nFrom: <ann@uni.example>", b"with ESMTPSA", b"Received: from a logged-in user"):
            self.assertIn(field, text)
        self.assertNotIn(self.node.address.encode(), text)

    def test_no_relay_without_a_relayhost(self):
        with self.begin("ann") as wire:
            self.assertEqual(wire.say("MAIL FROM:<ann@uni.example>"), 250)
            wire.send("RCPT TO:<x@elsewhere.example>\r\n")
            code, lines = wire.reply()
            self.assertEqual((code, lines[0][:5]), (550, "5.7.1"))

    def test_hourly_budget(self):
        with self.begin("eve") as wire:
            self.assertEqual(wire.say("MAIL FROM:<eve@uni.example>"), 250)
            codes = [wire.say("RCPT TO:<bob@uni.example>") for _ in range(22)]
            self.assertEqual(codes, [250] * 20 + [450] * 2)


if __name__ == "__main__":
    unittest.main()
