# SPDX-License-Identifier: Apache-2.0
"""A whole node whose directory is an example of deploy/ldap/profiles: from the file, and from a slapd that has it.

    class Laser(ProfileTest):
        profile = "laser"                       # ldap_profile and deploy/ldap/profiles/laser.ldif
        schemas = ("laser.schema",)             # of that folder, for slapd; none where Debian's has them
        settings = {"ldap_map": [...]}
        def test_file(self):
            node = self.from_file()
            self.assert_goes(node, "ann@uni.example", "deliver", ["ann@uni.example"])
        def test_slapd(self):
            node = self.from_slapd()            # self.directory.master is the server

The example's mailbox host, mb1.uni.example, is this node. self.hop is the server that mail.dept.example is, by a route entry; self.relay the relayhost.
"""
import imaplib
import json
import os
import re
import time
import unittest

from nexthop import NextHop
from node import DEADLINE_S, PASSWORD, ROOT, Node, message
from slapd import Directory

FOLDER = os.path.join(ROOT, "deploy", "ldap", "profiles")


class ProfileTest(unittest.TestCase):
    profile, schemas, settings = "native", (), {}

    def example(self, node):
        """The example with this node's endpoint and the route to self.hop."""
        with open(os.path.join(FOLDER, self.profile + ".ldif"), encoding="utf-8") as stream:
            text = re.sub(r"^#.*\n", "", stream.read(), flags=re.M)
        text = text.replace("lmtp=inet:127.0.0.1:24", f"lmtp=inet:{node.address}:{node.ports['lmtp']}\nphHostTlsPin: {node.pin}")
        host, port = self.hop.address.rsplit(":", 1)
        return (text + "\ndn: cn=dept,ou=mail,dc=uni,dc=example\nobjectClass: phMailRoute\ncn: dept\nphRouteKey: mail.dept.example\n"
                f"phRouteTarget: esmtp:[{host}]:{port}\nphRouteTls: none\n")

    def make_node(self):
        node = Node(users=["ann"], settings={"ldap_profile": self.profile, "retry_min_s": 1, "retry_max_s": 1, **self.settings})
        self.addCleanup(node.remove)
        node.make_certificates()
        self.hop, self.relay = NextHop(node.address), NextHop(node.address)
        self.addCleanup(self.hop.close)
        self.addCleanup(self.relay.close)
        node.overrides.update({"relayhost": self.relay.address, "relayhost_tls": "none"})
        return node

    def start(self, node):
        self.addCleanup(node.stop)
        node.start()
        self.addCleanup(lambda: self.assertEqual(node.unexpected_errors(), []))
        return node

    def from_file(self, more=""):
        node = self.make_node()
        node.write_ldif(self.example(node) + "\n" + more)
        return self.start(node)

    def from_slapd(self, more=""):
        """Operational attributes of the example are left to the server."""
        node = self.make_node()
        ldif = re.sub(r"^entryUUID: .*\n", "", self.example(node) + "\n" + more, flags=re.M).removeprefix("version: 1\n")
        self.directory = Directory(ldif=ldif, extra=[f'include "{os.path.join(FOLDER, name)}"' for name in self.schemas])
        self.addCleanup(self.directory.remove)
        self.directory.start()
        node.overrides.update(self.directory.settings(), ldap_timeout_s=2, ldap_heartbeat_ms=200)
        self.start(node)
        node.wait(lambda: node.why("ann@uni.example")["shadow"]["fresh"], "a fresh shadow")
        return node

    # --- what a user sees ---

    def rcpt(self, node, *addresses):
        with node.smtp() as smtp:
            smtp.ehlo()
            smtp.mail("sender@else.example")
            return [smtp.rcpt(address)[0] for address in addresses]

    def send(self, node, address, subject):
        with node.smtp() as smtp:
            smtp.sendmail("sender@else.example", [address], message(subject, to=address))

    def assert_goes(self, node, address, verdict, targets):
        why = node.why(address)
        self.assertEqual((why["verdict"], [target["address"] for target in why["targets"]]), (verdict, targets), why)
        return why

    def predict(self, node, change, address, verdict):
        """What `posthouse why --ldif` says becomes of an address by this change, without what the shadow is; `directory diff` lists it too."""
        before = node.why(address)["verdict"]
        path = node.write("change.ldif", change)
        done = node.run("why", "--json", "--ldif", path, address)
        self.assertTrue(done.stdout, done.stderr)
        predicted = {name: value for name, value in json.loads(done.stdout).items() if name != "shadow"}
        self.assertNotEqual(before, verdict, address)
        self.assertEqual(predicted["verdict"], verdict, done.stdout + done.stderr)
        listed = [json.loads(line) for line in node.run("directory", "diff", "--json", path, check=1).stdout.splitlines()]
        self.assertIn((address, before, verdict), [(row["address"], row["before"]["verdict"], row["after"]["verdict"]) for row in listed if "address" in row])
        return predicted

    def assert_comes_true(self, node, change, address, verdict):
        """The same; then it is made, and every word of it is true."""
        predicted = self.predict(node, change, address, verdict)
        self.directory.master.modify(change)
        node.wait(lambda: {name: value for name, value in node.why(address).items() if name != "shadow"} == predicted,
                  f"{predicted}, which was predicted; it is {node.why(address)}")

    def targets_from(self, node, sender, address, check=0):
        """Where a message of this sender goes; check: the exit code, 1 when it is refused."""
        return [target["address"] for target in json.loads(node.run("why", "--json", "--from", sender, address, check=check).stdout)["targets"]]

    def assert_log_ins(self, node, yes, no):
        """Who may use IMAP."""
        for uid in [*yes, *no]:
            imap = imaplib.IMAP4_SSL(node.address, node.ports["imaps"], ssl_context=node.tls(), timeout=DEADLINE_S)
            try:
                logged_in = imap.login(uid, PASSWORD)[0] == "OK"
            except imaplib.IMAP4.error:
                logged_in = False
            finally:
                imap.shutdown()
            self.assertEqual(logged_in, uid in yes, uid)

    def reason(self, why, attribute):
        """The first reason that names this attribute of the directory."""
        found = [reason for reason in why["reasons"] if reason["attribute"] == attribute]
        self.assertTrue(found, why["reasons"])
        return found[0]

    def wait_hop(self, hop, subject, recipients):
        node_waits = self.poll_until(lambda: hop.with_subject(subject))
        self.assertEqual([got.recipients for got in node_waits], [recipients])

    def poll_until(self, condition):
        end = time.monotonic() + DEADLINE_S
        while not (value := condition()):
            self.assertLess(time.monotonic(), end, "waited in vain")
            time.sleep(0.02)
        return value
