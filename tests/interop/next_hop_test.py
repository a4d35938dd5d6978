# SPDX-License-Identifier: Apache-2.0
"""A route with several next hops: who is put off by one is offered to the next in the same attempt, and nobody gets a message twice."""
import unittest

from nexthop import NextHop
from node import Node, message
from route_test import bracketed, route_ldif

TO = ["a@hops.example", "b@hops.example", "c@hops.example"]


class NextHops(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.remove)
        cls.hops = [NextHop(cls.node.address) for _ in range(3)]
        for hop in cls.hops:
            cls.addClassCleanup(hop.close)
        cls.node.extra_ldif = route_ldif("hops", "hops.example", "esmtp:" + ",".join(bracketed(hop) for hop in cls.hops))
        cls.addClassCleanup(cls.node.stop)
        cls.node.overrides.update({"relayhost_tls": "none", "retry_min_s": 1, "retry_max_s": 1})
        cls.node.start()

    def setUp(self):
        for hop in self.hops:
            hop.answer, hop.mute = None, False
            for kept in (hop.refused, hop.says, hop.got, hop.heard):
                kept.clear()

    def submit(self, subject, to=TO[:1]):
        with self.node.submission() as smtp:
            smtp.sendmail("ann@uni.example", to, message(subject))

    def took(self, subject):
        """Whom each next hop has got the message for."""
        return [sorted(to for got in hop.with_subject(subject) for to in got.recipients) for hop in self.hops]

    def attempts(self, work):
        """What the log says of the tries that work leads to, until the queue is empty."""
        def lines():
            return [line for line in self.node.log_text().splitlines() if 'msg="recipient tried"' in line and "destination=esmtp:" in line]
        before = len(lines())
        work()
        self.node.wait_queue_empty()
        return lines()[before:]

    def test_put_off_at_each_stage(self):
        for stage, reply in (("MAIL", "451 4.3.0 not now"), ("RCPT", "450 4.2.0 grey"), ("DATA", "451 4.3.0 not now"), ("MAIL", "421 4.3.2 bye"),
                             ("MAIL", None), ("RCPT", None), ("DATA", None)):
            with self.subTest(stage=stage, reply=reply):
                self.setUp()
                self.hops[0].says[stage] = reply
                lines = self.attempts(lambda: self.submit(f"{stage} {reply}"))
                self.assertEqual(self.took(f"{stage} {reply}"), [[], TO[:1], []])
                self.assertEqual([("outcome=relayed" in line, "tries=1 " in line) for line in lines], [(True, True)])

    def test_put_off_after_the_message(self):
        self.hops[0].answer = "451 4.7.1 scanner is busy"
        lines = self.attempts(lambda: self.submit("dot"))
        self.assertEqual((self.took("dot"), len(lines)), ([[], TO[:1], []], 1))

    def test_only_those_who_were_put_off(self):
        self.hops[0].refused.update({TO[1]: "450 4.2.0 grey", TO[2]: "550 5.1.1 no such user"})
        lines = self.attempts(lambda: self.submit("some", TO))
        self.assertEqual(self.took("some"), [TO[:1], TO[1:2], []])
        self.assertEqual(sorted(line.split("outcome=")[1].split()[0] for line in lines), ["bounced", "relayed", "relayed"])
        report = self.node.wait(lambda: self.node.messages("ann"), "the report")[-1]
        self.assertIn(b"no such user", report)
        self.assertNotIn(TO[1].encode(), report)
        self.attempts(lambda: self.submit("after", TO[:1]))  # the first hop is the first again
        self.assertEqual(self.took("after"), [TO[:1], [], []])

    def test_one_after_the_other_to_the_end(self):
        self.hops[0].says["MAIL"], self.hops[1].says["RCPT"] = "451 4.3.0 not now", "451 4.3.0 nor here"
        self.attempts(lambda: self.submit("third"))
        self.assertEqual(self.took("third"), [[], [], TO[:1]])
        for hop in self.hops:
            hop.says["MAIL"] = "451 4.3.0 nobody"
            hop.heard.clear()
        self.submit("none")
        self.node.wait(lambda: self.node.queue()[0]["recipients"][0]["tries"] == 1, "one attempt")
        self.assertEqual([sum(line.startswith("MAIL") for line in hop.heard) for hop in self.hops], [1, 1, 1])
        for hop in self.hops:
            hop.says.clear()
        self.node.wait_queue_empty()
        self.assertEqual(self.took("none"), [TO[:1], [], []])

    def test_who_may_have_it_is_offered_to_nobody_else(self):
        self.hops[0].mute = True
        self.submit("doubt")
        self.node.wait(lambda: self.node.queue()[0]["recipients"][0]["tries"] >= 1, "an attempt")
        self.hops[0].mute = False
        self.node.wait_queue_empty()
        first, second, third = self.took("doubt")
        self.assertGreaterEqual(len(first), 2)  # by the hop that did not say that it has it (RFC 1047)
        self.assertEqual((second, third), ([], []))

    def test_refused_for_good_is_not_asked_elsewhere(self):
        self.hops[0].refused[TO[0]] = "550 5.1.1 no such user"
        self.attempts(lambda: self.submit("no"))
        self.assertEqual([[line for line in hop.heard if line.startswith("RCPT")] for hop in self.hops[1:]], [[], []])


if __name__ == "__main__":
    unittest.main()
