# SPDX-License-Identifier: Apache-2.0
"""Reports that would hit somebody who sent nothing, go round in circles, or tell a stranger who has a mailbox here."""
import base64
import re
import unittest

from node import NodeTest, PASSWORD, user_ldif
from threat import ThreatTest, message


def alias(name, *members):
    return (f"dn: cn={name},ou=aliases,dc=uni,dc=example\nobjectClass: phMailAlias\ncn: {name}\nmail: {name}@uni.example\n" +
            "".join(f"rfc822MailMember: {member}\n" for member in members) + "\n")


class Backscatter(ThreatTest):
    ldif = alias("team", "ann@uni.example", "gone@uni.example") + alias("nobodies", "gone@uni.example") + \
        user_ldif("carl", extra="phStatus: disabled\n")

    def test_backscatter(self):
        """Who is unknown is refused before the message, and neither the forged sender nor anybody else hears of it later."""
        for sender in ("x@out.example", "ann@uni.example", "nobody@uni.example", "victim+tag@victim.example", ""):
            with self.stranger(sender=sender) as wire:
                for address in ("nobody@uni.example", "nobodies@uni.example", "carl@uni.example", "nobody+ann@uni.example", "victim@victim.example",
                                "nobody@sub.uni.example"):
                    self.assertIn(wire.say(f"RCPT TO:<{address}>"), (550,), address)
                self.assertIn(wire.say("DATA"), (503, 554))
                self.assertEqual(wire.say("NOOP"), 250)

    def test_backscatter_of_the_others(self):
        """A message for some who exist and some who do not goes to those who do, and no report goes to the rest's "sender"."""
        with self.stranger(sender="victim@victim.example") as wire:
            codes = [wire.say(f"RCPT TO:<{to}@uni.example>") for to in ("ann", "nobody", "bob", "carl", "team")]
            self.assertEqual(codes, [250, 550, 250, 550, 250])
            self.assertEqual(wire.say("DATA"), 354)
            wire.send(message("some") + "\r\n.\r\n")
            self.assertEqual(wire.reply()[0], 250)
        self.arrives.update({"ann": 1, "bob": 1})

    def test_backscatter_over_lmtp(self):
        with self.node.raw("lmtp") as wire:
            wire.reply()
            wire.say("LHLO client.example")
            self.assertEqual(wire.say("MAIL FROM:<victim@victim.example>"), 250)
            self.assertEqual([wire.say(f"RCPT TO:<{to}@uni.example>") for to in ("nobody", "carl")], [550, 550])
            self.assertIn(wire.say("DATA"), (503, 554))

    def test_backscatter_of_refused_messages(self):
        """What is wrong with a message is said at its end, not in a report."""
        with self.stranger(sender="victim@victim.example") as wire:
            self.assertEqual(wire.say("RCPT TO:<ann@uni.example>"), 250)
            self.assertEqual(wire.say("DATA"), 354)
            wire.send("Subject: bare\n\r\nx\r\n.\r\n")
            self.assertEqual(wire.reply()[0], 550)
        with self.stranger(sender="victim@victim.example") as wire:
            wire.say("RSET")
            self.assertEqual(wire.say("MAIL FROM:<victim@victim.example> SIZE=99999999999"), 552)


class Enum(NodeTest):
    """Guessing who is here in one session."""
    settings = {"smtp_errors_max": 20}

    def test_enum(self):
        for _ in range(3):
            with self.node.raw("smtp") as wire:
                wire.reply()
                wire.say("EHLO client.example")
                wire.say("MAIL FROM:<x@out.example>")
                codes = []
                for n in range(100):
                    wire.send(f"RCPT TO:<guess{n}@uni.example>\r\n")
                    code = wire.reply()[0]
                    codes.append(code)
                    if code not in (550,):
                        break
                    if n % 5 == 4:
                        wire.say("RSET")  # a new transaction does not begin the count anew
                        wire.say("MAIL FROM:<x@out.example>")
                self.assertLessEqual(len(codes), 21)
                self.assertTrue(wire.closed())

    def test_enum_by_other_commands(self):
        """VRFY and EXPN tell nothing (RFC 5321 section 7.3), and MAIL tells nobody who is here."""
        with self.node.raw("smtp") as wire:
            wire.reply()
            wire.say("EHLO client.example")
            answers = []
            for name in ("ann", "zzz"):
                for line in (f"VRFY {name}", f"VRFY <{name}@uni.example>", f"EXPN {name}", f"MAIL FROM:<{name}@uni.example>"):
                    wire.send(line + "\r\n")
                    answers.append(wire.reply())
                wire.say("RSET")
            self.assertEqual(answers[:4], answers[4:])


class EnumBudget(NodeTest):
    """Guessing who is here in many sessions: the budget of an address, on one node. One for the whole cluster needs the cluster."""
    settings = {"smtp_errors_max": 100, "smtp_unknown_hour_max": 30, "trusted_networks": ["192.0.2.0/24"], "log_level": "info"}
    ldif = ("dn: associatedDomain=later.example,dc=uni,dc=example\nobjectClass: phMailDomain\nassociatedDomain: later.example\n"
            "phDomainType: local\nphUnknownUser: tempfail\n\n")

    def ask(self, source, *names, domain="uni.example"):
        """What a stranger at an address hears about each name, in sessions of ten."""
        answers = []
        for at in range(0, len(names), 10):
            with self.node.raw("smtp", source) as wire:
                wire.reply()
                wire.say("EHLO client.example")
                self.assertEqual(wire.say("MAIL FROM:<x@out.example>"), 250)
                for name in names[at:at + 10]:
                    wire.send(f"RCPT TO:<{name}@{domain}>\r\n")
                    answers.append(wire.reply())
        return answers

    def test_enum_where_the_unknown_are_told_to_come_again(self):
        answers = self.ask("127.0.0.14", *[f"guess{n}" for n in range(31)], domain="later.example")
        self.assertEqual([lines[0].split()[0] for _, lines in answers], ["4.1.1"] * 30 + ["4.7.1"])
        self.assertEqual([code for code, _ in self.ask("127.0.0.14", "ann")], [450])

    def test_enum_over_many_sessions(self):
        """When the budget of an address is used up, all that it asks about is answered alike; others notice nothing."""
        guesses = [f"guess{n}" for n in range(60)]
        self.assertEqual({code for code, _ in self.ask("127.0.0.11", "ann", *guesses[:29], "bob")}, {250, 550})
        self.assertEqual([code for code, _ in self.ask("127.0.0.11", "ann", "guess29", "ann")], [250, 550, 450])
        answers = self.ask("127.0.0.11", *guesses[30:], "ann", "bob", "postmaster")
        self.assertEqual({(code, *lines) for code, lines in answers}, {(450, "4.7.1 too many unknown recipients from your address, try again later")})
        self.assertEqual([code for code, _ in self.ask("127.0.0.12", "ann", "guess0")], [250, 550])
        warnings = [line for line in self.node.log_text().splitlines() if "too many unknown recipients from one address" in line]
        self.assertEqual(sum("address=127.0.0.11 " in line for line in warnings), 1, warnings)
        self.assertRegex(self.node.run("metrics", "mta").stdout, r"posthouse_mta_rcpt_guessing_total [1-9]")

    def test_a_log_in_is_not_guessing(self):
        """Our own user mistypes as often as they like, from an address that used its budget up."""
        self.ask("127.0.0.13", *[f"guess{n}" for n in range(31)])
        self.assertEqual([code for code, _ in self.ask("127.0.0.13", "ann")], [450])
        wire = self.node.raw("submission", "127.0.0.13")
        with wire:
            wire.reply()
            wire.say("EHLO laptop")
            wire.say("STARTTLS")
            wire.starttls(self.node.tls())
            wire.say("EHLO laptop")
            self.assertEqual(wire.say("AUTH PLAIN " + base64.b64encode(f"\0ann\0{PASSWORD}".encode()).decode()), 235)
            self.assertEqual(wire.say("MAIL FROM:<ann@uni.example>"), 250)
            self.assertEqual([wire.say(f"RCPT TO:<{name}@uni.example>") for name in ("nobody", "bob")], [550, 250])


class DoubleBounce(ThreatTest):
    """What cannot be returned stops at postmaster: the world refuses all that we send, and the reports about it too."""
    users = ("ann", "postmaster")
    settings = {"log_level": "info"}
    ldif = (alias("away", "refused@evil.example") + alias("round", "round2@uni.example", "refused@evil.example") + alias("round2", "round@uni.example") +
            alias("selfish", "selfish@evil.example"))

    def setUp(self):
        super().setUp()
        self.outside.refuses = r"refused|victim|selfish|nobody"

    def send(self, sender, to, extra=""):
        with self.node.raw("smtp") as wire:
            wire.reply()
            wire.say("EHLO client.example")
            self.assertEqual(wire.say(f"MAIL FROM:<{sender}>"), 250)
            self.assertEqual(wire.say(f"RCPT TO:<{to}>{extra}"), 250)
            self.assertEqual(wire.say("DATA"), 354)
            wire.send(message("round") + "\r\n.\r\n")
            self.assertEqual(wire.reply()[0], 250)
        self.node.wait_queue_empty()

    def test_dbl_bounce(self):
        """The report's addressee refuses it: postmaster gets the second report, and there is no third."""
        self.send("victim@victim.example", "away@uni.example")
        self.arrives["postmaster"] += 1
        found = self.node.wait_messages(self.before["postmaster"] + 1, "postmaster")[-1]
        self.assertIn(b"victim@victim.example", found)
        self.assertIn(b"Auto-Submitted: auto-", found)
        self.assertTrue(re.search(rb"^Return-Path: <>\r\n", found, re.M), found[:300])

    def test_dbl_bounce_to_nobody_here(self):
        """The forged sender is one of ours that does not exist, a role, a robot: postmaster at once."""
        for sender in ("nobody@uni.example", "mailer-daemon@uni.example", "double-bounce@uni.example"):
            self.send(sender, "away@uni.example")
            self.arrives["postmaster"] += 1

    def test_dbl_bounce_in_circles(self):
        """Aliases that lead back to themselves as senders."""
        self.send("round@uni.example", "round2@uni.example")  # the report goes out by the same alias and is refused there
        self.arrives["postmaster"] += 1
        self.send("selfish@uni.example", "selfish@uni.example")
        self.arrives["postmaster"] += 1

    def test_dbl_bounce_of_nothing(self):
        """A message from <> that fails is no reason for a report to anybody but postmaster."""
        self.send("", "away@uni.example")
        self.arrives["postmaster"] += 1

    def test_dbl_bounce_unwanted(self):
        """NOTIFY=NEVER: nobody is told."""
        self.send("victim@victim.example", "away@uni.example", " NOTIFY=NEVER")

    def test_success_is_told_once(self):
        """A report of success to somebody who refuses it ends there (RFC 3461 section 6)."""
        self.send("victim@victim.example", "ann@uni.example", " NOTIFY=SUCCESS,FAILURE,DELAY")
        self.arrives.update({"ann": 1, "postmaster": 1})


class DoubleBounceWithoutPostmaster(ThreatTest):
    """Nobody reads postmaster's mail, which goes to an address outside: the end is a line in the log, not a circle."""
    users = ("ann",)
    settings = {"log_level": "info"}
    ldif = alias("away", "refused@evil.example") + alias("postmaster", "refused@evil.example")

    def test_dbl_bounce(self):
        self.outside.refuses = "refused|victim"
        self.node.expect_error("a recipient failed and nobody can be told")
        for sender in ("victim@victim.example", "postmaster@uni.example", ""):
            self.accepted("away@uni.example", session=lambda utf8: self.stranger(sender=sender))
        self.node.wait_queue_empty()
        self.assertEqual(self.node.log_text().count("nobody can be told"), 3)


if __name__ == "__main__":
    unittest.main()
