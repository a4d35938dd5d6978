# SPDX-License-Identifier: Apache-2.0
"""Routes: mail leaves by the way that the directory names, under the TLS that it demands, or not at all."""
import unittest

from nexthop import NextHop, server_context
from node import Node, message, user_ldif

OU = "ou=routes,dc=uni,dc=example"


def route_ldif(cn, key, target, extra=""):
    return f"dn: cn={cn},{OU}\nobjectClass: phMailRoute\ncn: {cn}\nphRouteKey: {key}\nphRouteTarget: {target}\n{extra}\n"


def domain_ldif(name, kind, extra=""):
    return (f"dn: associatedDomain={name},ou=domains,dc=uni,dc=example\nobjectClass: phMailDomain\nassociatedDomain: {name}\n"
            f"phDomainType: {kind}\n{extra}\n")


def bracketed(hop):
    host, port = hop.address.rsplit(":", 1)
    return f"[{host}]:{port}"


class Routes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.remove)
        cls.relay, cls.one, cls.two = (NextHop(cls.node.address) for _ in range(3))
        for hop in (cls.relay, cls.one, cls.two):
            cls.addClassCleanup(hop.close)
        dead = NextHop(cls.node.address)
        cls.dead = bracketed(dead)
        dead.close()
        cls.node.extra_ldif = cls.directory()
        cls.addClassCleanup(cls.node.stop)
        cls.node.overrides.update({"relayhost": cls.relay.address, "relayhost_tls": "none", "retry_min_s": 1, "retry_max_s": 1})
        cls.node.start()

    @classmethod
    def directory(cls):
        one, two = bracketed(cls.one), bracketed(cls.two)
        return (route_ldif("one", "one.example", f"esmtp:{one}") + route_ldif("below", ".one.example", f"esmtp:{two}") +
                route_ldif("list", "list.example", f"esmtp:{cls.dead},{two}") + route_ldif("trash", "trash.example", "discard:") +
                route_ldif("no", "no.example", "error:5.7.1:550 we send nothing there") +
                route_ldif("here", "here.example", "local:bob") + route_ldif("mx", "mx.example", "esmtp:mail.mx.example") +
                route_ldif("encrypt", "encrypt.example", f"esmtp:{one}", "phRouteTls: encrypt\n") +
                route_ldif("verify", "verify.example", f"esmtp:{one}", "phRouteTls: verify\n") +
                route_ldif("named", "named.example", f"esmtp:{one}", "phRouteTls: verify\nphRouteOptions: tls_name=other.example\n") +
                route_ldif("may", "may.example", f"esmtp:{one}", "phRouteOptions: tls_name=hop.example\n") +
                route_ldif("plain", "plain.example", f"esmtp:{one}", "phRouteTls: none\n") +
                route_ldif("eve", "from:eve@uni.example", f"esmtp:{two}") +
                domain_ldif("backup.example", "backup", f"phRelayTransport: esmtp:{one}\n") +
                domain_ldif("split.example", "local", f"phUnknownUser: relay\nphRelayTransport: esmtp:{two}\n") +
                user_ldif("known", domain="split.example"))

    def setUp(self):
        for hop in (self.relay, self.one, self.two):
            hop.context, hop.break_tls, hop.handshakes, hop.answer = None, False, 0, None

    def submit(self, subject, to, sender="ann"):
        with self.node.submission(sender) as smtp:
            smtp.sendmail(f"{sender}@uni.example", [to], message(subject))

    def arrived(self, hop, subject):
        return self.node.wait(lambda: hop.with_subject(subject), "the message at the next hop")[0]

    def discarded(self):
        stats = self.node.command("queue.stats", "mta")["result"]
        self.assertTrue(stats["balanced"])
        return stats["ledger"]["discarded"]

    def test_domain_subdomain_and_the_rest(self):
        for to, hop in (("x@one.example", self.one), ("x@deep.below.one.example", self.two), ("x@else.example", self.relay)):
            self.submit(f"way of {to}", to)
            self.assertEqual(self.arrived(hop, f"way of {to}").recipients, [to])
        self.node.wait_queue_empty()

    def test_a_dead_hop_is_passed_over(self):
        self.submit("list", "x@list.example")
        self.arrived(self.two, "list")
        self.node.wait_queue_empty()

    def test_sender(self):
        self.submit("by sender", "x@else.example", sender="eve")
        self.arrived(self.two, "by sender")

    def test_domains_of_ours_elsewhere(self):
        for to, hop in (("x@backup.example", self.one), ("unknown@split.example", self.two)):
            with self.node.smtp() as smtp:
                smtp.sendmail("a@out.example", [to], message(f"stranger to {to}"))
            self.arrived(hop, f"stranger to {to}")
        with self.node.smtp() as smtp:
            smtp.sendmail("a@out.example", ["known@split.example"], message("known"))
        self.node.wait_queue_empty()
        self.assertEqual(self.two.with_subject("known"), [])

    def test_local(self):
        self.submit("home", "zoe@here.example")
        self.node.wait(lambda: [m for m in self.node.messages("bob") if b"Subject: home" in m], "the message in bob's mailbox")

    def test_discard_is_counted(self):
        before = self.discarded()
        self.submit("trash", "x@trash.example")
        self.node.wait_queue_empty()
        self.assertEqual(self.discarded(), before + 1)
        self.assertIn('outcome=discarded', self.node.log_text())
        self.assertEqual([h.with_subject("trash") for h in (self.relay, self.one, self.two)], [[], [], []])

    def test_error_and_doubt_are_said_at_rcpt(self):
        with self.node.submission("ann") as smtp:
            smtp.ehlo()
            smtp.mail("ann@uni.example")
            self.assertEqual(smtp.rcpt("x@no.example"), (550, b"5.7.1 we send nothing there"))
            code, text = smtp.rcpt("x@mx.example")
            self.assertEqual((code, text[:5]), (451, b"4.3.5"))
            self.assertEqual(smtp.rcpt("x@[127.0.0.1]")[0], 550)
        done = self.node.run("check")
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"directory.ldif:\d+: phRouteTarget: needs MX records")

    def test_a_route_is_no_permission(self):
        with self.node.smtp() as smtp:
            smtp.ehlo()
            smtp.mail("ann@uni.example")
            for to in ("x@one.example", "x@deep.one.example", "x@trash.example", "x@here.example", "x@else.example"):
                self.assertEqual(smtp.rcpt(to)[0], 550, to)

    def test_encrypt(self):
        self.submit("encrypt", "x@encrypt.example")
        item = self.node.wait(lambda: (q := [i for i in self.node.queue() if i["recipients"][0]["tries"] > 0]) and q[0], "a try")
        self.assertIn("451 4.4.1", item["recipients"][0]["last_reply"])
        self.assertEqual(self.one.with_subject("encrypt"), [])
        self.one.context = server_context(self.node.path("tls.pem"), self.node.path("tls.key"))
        self.assertTrue(self.arrived(self.one, "encrypt").tls)

    def test_may_and_none(self):
        self.one.context = server_context(self.node.path("tls.pem"), self.node.path("tls.key"))
        self.submit("may", "x@may.example")
        self.assertTrue(self.arrived(self.one, "may").tls)
        self.submit("none", "x@plain.example")
        self.assertFalse(self.arrived(self.one, "none").tls)

    def test_verify(self):
        self.one.context = server_context(self.node.path("tls.pem"), self.node.path("tls.key"))
        self.submit("stranger's certificate", "x@verify.example")
        item = self.node.wait(lambda: (q := [i for i in self.node.queue() if i["recipients"][0]["tries"] > 0]) and q[0], "a try")
        self.assertIn("certificate", item["recipients"][0]["last_reply"])
        self.node.change_settings("mta", tls_ca_file=self.node.path("tls.pem"))
        self.assertTrue(self.arrived(self.one, "stranger's certificate").tls)
        self.submit("another name", "x@named.example")
        item = self.node.wait(lambda: (q := [i for i in self.node.queue() if i["recipients"][0]["tries"] > 0]) and q[0], "a try")
        self.assertIn("hostname mismatch", item["recipients"][0]["last_reply"])
        self.assertEqual(self.one.with_subject("another name"), [])
        self.node.run("queue", "delete", "--all")

    def test_why(self):
        answer = self.node.why("x@deep.one.example")
        self.assertEqual(answer["verdict"], "relay")
        self.assertEqual([t["host"] for t in answer["targets"]], [f"esmtp:{bracketed(self.two)}"])
        self.assertIn({"rule": "route", "entry": f"cn=below,{OU}", "attribute": "phRouteTarget", "value": f"esmtp:{bracketed(self.two)}"},
                      answer["reasons"])


if __name__ == "__main__":
    unittest.main()
