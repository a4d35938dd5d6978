# SPDX-License-Identifier: Apache-2.0
"""Mail that waits goes by what the directory says at its next try, not by what it said when the mail came in."""
import json
import unittest

from nexthop import NextHop
from node import Node, message, user_ldif
from route_test import bracketed, domain_ldif, route_ldif


def host_ldif(name, address, port):
    return (f"dn: cn={name},ou=hosts,dc=uni,dc=example\nobjectClass: phMailHost\ncn: {name}\nphHostRole: store\nphHostState: up\n"
            f"phHostEndpoint: lmtp=inet:{address}:{port}\n\n")


def alias_ldif(name, *members):
    return (f"dn: cn={name},ou=people,dc=uni,dc=example\nobjectClass: phMailAlias\ncn: {name}\nmail: {name}@uni.example\n" +
            "".join(f"rfc822MailMember: {m}\n" for m in members) + "\n")


class Waiting(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.remove)
        self.hop = NextHop(self.node.address)
        self.addCleanup(self.hop.close)
        dead = NextHop(self.node.address)
        self.dead = bracketed(dead)
        dead.close()
        self.hosts = host_ldif("mb9.uni.example", *dead.address.rsplit(":", 1))
        self.addCleanup(self.node.stop)
        self.node.overrides.update({"relayhost_tls": "none", "retry_min_s": 1, "retry_max_s": 1})

    def directory(self, text):
        self.node.extra_ldif = self.hosts + text
        self.node.write_ldif()

    def start(self, text):
        self.node.extra_ldif = self.hosts + text
        self.node.start()

    def change(self, text, address, verdict, host=None):
        """Changes the directory and waits until it is what decides."""
        self.directory(text)

        def decided():
            why = self.node.why(address)
            return why["verdict"] == verdict and (host is None or why["targets"][0]["host"] == host)
        self.node.wait(decided, "the change to be in the shadow")

    def send(self, subject, to):
        with self.node.submission() as smtp:
            smtp.sendmail("ann@uni.example", [to], message(subject))

    def waits(self, n=1):
        """Tried, and in the queue still."""
        self.node.wait(lambda: [r["tries"] > 0 for m in self.node.queue() for r in m["recipients"]] == [True] * n, "the message to wait")

    def subjects(self, login):
        return [m for m in self.node.messages(login) if b"Subject: " in m]

    def arrives(self, login):
        self.node.wait_queue_empty()
        self.node.wait_messages(1, login)

    def ends(self, **ledger):
        self.node.wait_queue_empty()
        stats = self.node.command("queue.stats", "mta")["result"]
        self.assertTrue(stats["balanced"])
        self.assertEqual({name: stats["ledger"][name] for name in ledger}, ledger)
        self.assertEqual(self.node.unexpected_errors(), [])

    def test_a_mailbox_that_moved(self):
        self.start(user_ldif("dana", host="mb9.uni.example"))
        self.send("moved", "dana+box@uni.example")
        self.waits()
        self.change(user_ldif("dana"), "dana@uni.example", "deliver", "mb1.uni.example")
        self.arrives("dana")
        self.ends(delivered=1, accepted=1, bounced=0)

    def test_a_mailbox_that_moved_under_another_name(self):
        self.start(user_ldif("dana", host="mb9.uni.example"))
        self.send("renamed", "dana@uni.example")
        self.waits()
        self.change(user_ldif("dana").replace("mail: dana@", "mail: d.new@"), "d.new@uni.example", "deliver")
        self.arrives("dana")
        self.ends(delivered=1, bounced=0)

    def test_the_way_of_the_next_try_is_told(self):
        self.node.overrides.update({"retry_min_s": 3600, "retry_max_s": 3600})
        self.start(user_ldif("dana", host="mb9.uni.example"))
        self.send("told", "dana@uni.example")
        self.waits()

        def told():
            message_id = self.node.queue()[0]["queue_id"]
            recipient = json.loads(self.node.run("queue", "list", "--json", message_id, check=0).stdout)["recipients"][0]
            return recipient["destination"], recipient.get("destination_now"), recipient.get("reply_now")
        self.assertEqual(told(), ("mb9.uni.example", None, None))
        self.change(user_ldif("dana"), "dana@uni.example", "deliver", "mb1.uni.example")
        self.node.wait(lambda: told() == ("mb9.uni.example", "mb1.uni.example", None), "the other way to be told")
        self.change("", "dana@uni.example", "refuse")
        self.node.wait(lambda: told()[2].startswith("550 5.1.1"), "the end to be told")
        text = self.node.run("queue", "list", self.node.queue()[0]["queue_id"], check=0).stdout
        self.assertIn("its next try: 550 5.1.1", text)

    def test_a_route_that_was_changed(self):
        self.start(route_ldif("one", "one.example", f"esmtp:{self.dead}"))
        self.send("rerouted", "x@one.example")
        self.waits()
        self.change(route_ldif("one", "one.example", f"esmtp:{bracketed(self.hop)}"), "x@one.example", "relay", f"esmtp:{bracketed(self.hop)}")
        self.node.wait(lambda: self.hop.with_subject("rerouted"), "the message at the next hop")
        self.ends(relayed=1, bounced=0)
        self.assertEqual(len(self.hop.got), 1)

    def test_an_address_at_another_host_stays_its_owners(self):
        """What goes to a mailHost under a routing address is not routed by that address: the relayhost has nothing to do with it."""
        def dana(host, relay="phMailHostRelay: TRUE\nmailRoutingAddress: dana@else.example\n"):
            return user_ldif("dana", host=host, extra=relay)
        elsewhere = NextHop(self.node.address)
        self.addCleanup(elsewhere.close)
        self.node.overrides["relayhost"] = bracketed(elsewhere)
        self.start(dana("sun.uni.example") + alias_ldif("team", "dana@uni.example", "bob@uni.example") +
                   route_ldif("sun", "sun.uni.example", f"esmtp:{self.dead}"))
        self.send("to the other host", "dana@uni.example")
        self.send("to all", "team@uni.example")
        self.node.wait(lambda: [r["tries"] > 2 for m in self.node.queue() for r in m["recipients"]] == [True, True], "three tries")
        self.assertEqual(elsewhere.got, [])
        self.change(dana("moon.uni.example") + alias_ldif("team", "dana@uni.example", "bob@uni.example") +
                    route_ldif("moon", "moon.uni.example", f"esmtp:{bracketed(self.hop)}"), "dana@uni.example", "relay", f"esmtp:{bracketed(self.hop)}")
        self.node.wait(lambda: self.hop.with_subject("to the other host") and self.hop.with_subject("to all"), "both at the host of today")
        self.assertEqual({tuple(m.recipients) for m in self.hop.got}, {("dana@else.example",)})
        self.ends(relayed=2, delivered=1, bounced=0)
        self.assertEqual(elsewhere.got, [])

    def test_a_mailbox_that_comes_from_another_host(self):
        self.start(user_ldif("dana", host="sun.uni.example", extra="phMailHostRelay: TRUE\nmailRoutingAddress: dana@else.example\n") +
                   route_ldif("sun", "sun.uni.example", f"esmtp:{self.dead}"))
        self.send("moved here", "dana@uni.example")
        self.waits()
        self.change(user_ldif("dana"), "dana@uni.example", "deliver", "mb1.uni.example")
        self.arrives("dana")
        self.ends(delivered=1, relayed=0, bounced=0)

    def test_no_route_any_more_waits_and_refusal_bounces(self):
        self.start(route_ldif("one", "one.example", f"esmtp:{self.dead}"))
        self.send("where to", "x@one.example")
        self.waits()
        self.change("", "x@one.example", "refuse")
        self.node.wait(lambda: "4.3.5" in self.node.queue()[0]["recipients"][0]["last_reply"], "the message to wait for a route")
        self.change(route_ldif("one", "one.example", "error:5.1.2:550 that domain is closed"), "x@one.example", "refuse")
        report = self.node.wait(lambda: self.subjects("ann"), "a report")[0]
        self.assertIn(b"that domain is closed", report)
        self.ends(bounced=1, relayed=0)

    def test_a_domain_that_became_ours(self):
        self.start(route_ldif("one", "one.example", f"esmtp:{self.dead}"))
        self.send("ours", "zoe@one.example")
        self.waits()
        self.change(domain_ldif("one.example", "local") + user_ldif("zoe", domain="one.example"), "zoe@one.example", "deliver")
        self.ends(delivered=1, relayed=0, bounced=0)

    def test_a_user_who_was_taken_away(self):
        self.start(user_ldif("dana", host="mb9.uni.example"))
        self.send("gone", "dana@uni.example")
        self.waits()
        self.change("", "dana@uni.example", "refuse")
        self.assertIn(b"5.1.1", self.node.wait(lambda: self.subjects("ann"), "a report")[0])
        self.ends(bounced=1, generated=1, delivered=1)

    def test_a_user_who_became_an_alias_of_two(self):
        self.start(user_ldif("dana", host="mb9.uni.example"))
        self.send("successors", "dana@uni.example")
        self.waits()
        self.change(alias_ldif("dana", "bob@uni.example", "eve@uni.example"), "dana@uni.example", "expand")
        for login in ("bob", "eve"):
            self.arrives(login)
        self.ends(delivered=2, expanded=1, bounced=0)

    def test_what_was_expanded_is_not_expanded_again(self):
        way = route_ldif("one", "one.example", f"esmtp:{bracketed(self.hop)}")
        forward = "phForwardAddress: x@one.example\nphForwardKeepCopy: TRUE\n"
        self.start(way + user_ldif("dana", host="mb9.uni.example", extra=forward))
        self.send("copy", "dana@uni.example")
        self.node.wait(lambda: self.hop.with_subject("copy"), "the forwarded copy")
        self.waits()
        self.change(way + user_ldif("dana", extra=forward), "dana@uni.example", "forward")
        self.arrives("dana")
        self.ends(delivered=1, relayed=1, bounced=0)
        self.assertEqual(len(self.hop.with_subject("copy")), 1)

    def test_a_wrong_alias_is_corrected(self):
        """`queue retry --again`: the copy to the wrong target is withdrawn, the right one is sent, and nobody gets a second one."""
        way = route_ldif("one", "one.example", f"esmtp:{bracketed(self.hop)}") + user_ldif("dana", host="mb9.uni.example")
        self.start(way + alias_ldif("team", "dana@uni.example", "bob@uni.example", "x@one.example"))
        self.send("for the team", "team@uni.example")
        self.node.wait(lambda: self.hop.with_subject("for the team"), "the copy to the outside")
        self.node.wait_messages(1, "bob")
        self.waits()
        self.change(way + alias_ldif("team", "eve@uni.example", "bob@uni.example", "x@one.example"), "team@uni.example", "expand")
        self.node.wait(lambda: "eve@uni.example" in str(self.node.why("team@uni.example")), "the change to be in the shadow")
        name = self.node.queue()[0]["queue_id"]
        self.node.run("queue", "retry", "--again", "--recipient", "ann@uni.example", name, check=1)  # it was not sent to ann
        done = json.loads(self.node.run("queue", "retry", "--again", "--json", "--recipient", "team@uni.example", name, check=0).stdout)
        self.assertEqual((done["changed"], done["nobody"], done["later"]), (3, 0, 0))  # dana left, eve and bob came, whose mailbox knows it
        self.arrives("eve")
        self.node.wait_queue_empty()
        self.assertEqual((len(self.subjects("bob")), len(self.hop.with_subject("for the team"))), (1, 1))
        self.ends(expanded=1, expanded_into=2, bounced=0, generated=0, relayed=1)

    def test_two_aliases_lead_to_one_mailbox_and_one_is_corrected(self):
        """Whichever of the two: nobody gets two copies, and nobody none."""
        self.node.overrides.update({"retry_min_s": 3600, "retry_max_s": 3600})
        dana = user_ldif("dana", host="mb9.uni.example")

        def two(team, crew):
            return dana + alias_ldif("team", f"{team}@uni.example") + alias_ldif("crew", f"{crew}@uni.example")

        def correct(team, crew, who):
            self.directory(two(team, crew))
            self.node.wait(lambda: f"{who}@uni.example" in str(self.node.why("team@uni.example")["targets"]) + str(
                self.node.why("crew@uni.example")["targets"]), "the change to be in the shadow")
            return json.loads(self.node.run("queue", "retry", "--again", "--json", "--all", check=0).stdout)
        self.start(two("dana", "dana"))
        with self.node.submission() as smtp:
            smtp.sendmail("ann@uni.example", ["team@uni.example", "crew@uni.example"], message("to both"))
        self.waits()
        self.assertEqual(self.node.queue()[0]["recipients"][0]["also"], ["crew@uni.example"])
        self.assertIn("<dana@uni.example>, came for <team@uni.example> and <crew@uni.example>  waiting", self.node.run("queue", "list", check=0).stdout)
        done = correct("dana", "eve", "eve")  # the second one
        self.assertEqual((done["changed"], done["withdrawn"]), (1, 0))
        self.node.wait_messages(1, "eve")
        self.waits()
        self.assertNotIn("also", self.node.queue()[0]["recipients"][0])
        done = correct("bob", "eve", "bob")  # and then the first
        self.assertEqual((done["changed"], done["withdrawn"]), (2, 1))
        self.arrives("bob")
        self.assertEqual((len(self.subjects("eve")), len(self.subjects("bob"))), (1, 1))
        self.ends(expanded=1, expanded_into=2, bounced=0, generated=0, delivered=2)

    def test_all_that_waits_is_expanded_anew(self):
        self.node.overrides.update({"retry_min_s": 3600, "retry_max_s": 3600})
        self.start(user_ldif("dana", host="mb9.uni.example") + alias_ldif("team", "dana@uni.example"))
        for subject in ("one", "two"):
            self.send(subject, "team@uni.example")
        self.send("three", "dana@uni.example")
        self.waits(3)
        self.assertEqual(sorted(m["recipients"][0].get("original", "") for m in self.node.queue()), ["", "team@uni.example", "team@uni.example"])
        self.assertIn("    <dana@uni.example>, came for <team@uni.example>  waiting, ", self.node.run("queue", "list", check=0).stdout)
        self.change(user_ldif("dana", host="mb9.uni.example") + alias_ldif("team", "eve@uni.example"), "team@uni.example", "expand")
        self.node.wait(lambda: "eve@uni.example" in str(self.node.why("team@uni.example")), "the change to be in the shadow")
        text = self.node.run("queue", "retry", "--again", "--all", check=0).stdout
        self.assertIn("2 messages, 4 recipients\n2 copies were withdrawn, 2 added\n", text)
        self.node.wait_messages(2, "eve")
        self.waits(1)
        self.assertEqual(self.node.queue()[0]["recipients"][0]["address"], "dana@uni.example")

    def test_an_alias_whose_target_is_gone_is_followed(self):
        """Nobody is told that it failed while it leads to somebody today."""
        self.start(user_ldif("dana", host="mb9.uni.example") + alias_ldif("team", "dana@uni.example"))
        self.send("to who follows", "team@uni.example")
        self.waits()
        self.change(alias_ldif("team", "eve@uni.example"), "dana@uni.example", "refuse")
        self.arrives("eve")
        self.ends(delivered=1, expanded=1, expanded_into=1, bounced=0, generated=0)

    def test_a_restart_forgets_nothing(self):
        self.start(user_ldif("dana", host="mb9.uni.example"))
        self.send("over a restart", "dana@uni.example")
        self.waits()
        self.node.stop()
        self.directory(user_ldif("dana"))
        self.node.start()
        self.arrives("dana")
        self.ends(delivered=1, bounced=0)


if __name__ == "__main__":
    unittest.main()
