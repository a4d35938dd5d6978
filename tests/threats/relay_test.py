# SPDX-License-Identifier: Apache-2.0
"""Open relays: whatever a stranger says, mail for outside addresses does not leave; not by what the access table and the routes say of others, nor
by rules that would let everybody through."""
import unittest

from node import user_ldif
from threat import ThreatTest


def access_ldif(cn, key, action):
    return f"dn: cn={cn},dc=uni,dc=example\nobjectClass: phMailAccess\ncn: {cn}\nphAccessKey: {key}\nphAccessAction: {action}\n\n"


class Relay(ThreatTest):
    users = ("ann", "bob")
    settings = {"relay_networks": ["192.0.2.0/24", "2001:db8::/32"], "relay_certificates": ["sha256:" + "ab" * 32]}
    ldif = (access_ldif("everybody", "Connect:0.0.0.0/0", "RELAY") + access_ldif("half", "Connect:0.0.0.0/1", "RELAY") +
            access_ldif("ok", "Connect:127.0.0.0/8", "OK") + access_ldif("from", "From:uni.example", "RELAY") +
            access_ldif("top", "To:example", "RELAY") + access_ldif("user", "To:postmaster@", "RELAY") +
            access_ldif("inbound", "To:inbound.example", "RELAY") + access_ldif("notthis", "To:no.inbound.example", "OK") +
            "dn: cn=way,dc=uni,dc=example\nobjectClass: phMailRoute\ncn: way\nphRouteKey: *\nphRouteKey: evil.example\n"
            "phRouteKey: [127.0.0.1]\nphRouteKey: from:ann@uni.example\nphRouteTarget: esmtp:[127.0.0.1]:1\n\n" +
            "dn: associatedDomain=old.example,dc=uni,dc=example\nobjectClass: phMailDomain\nassociatedDomain: old.example\n"
            "phDomainType: local\nphCatchAll: %1@inbound.example\n\n" +
            user_ldif("carl"))

    def test_open_relay(self):
        self.refused("u@evil.example", "u@sub.evil.example", "u@[127.0.0.1]", "u@[IPv6:::1]", "postmaster@evil.example", "u@example",
                     "u@no.inbound.example", "u@inbound.example.evil.example", "u@notinbound.example", "u@inbound.examplee",
                     "@inbound.example:u@evil.example", "@uni.example,@inbound.example:u@evil.example")

    def test_open_relay_by_sender(self):
        for sender in ("ann@uni.example", "carl@uni.example", "u@inbound.example", "", "postmaster@uni.example"):
            with self.node.raw("smtp") as wire:
                wire.reply()
                wire.say("EHLO mx.uni.example")
                self.assertEqual(wire.say(f"MAIL FROM:<{sender}>"), 250)
                self.assertEqual(wire.say("RCPT TO:<u@evil.example>"), 550, sender)

    def test_open_relay_through_an_allowed_domain(self):
        self.refused("u%evil.example@inbound.example", "evil.example!u@inbound.example", '"u@evil.example"@inbound.example',
                     "@inbound.example:u%evil.example@inbound.example", "u%evil.example%inbound.example@inbound.example",
                     "u+x%evil.example@inbound.example")

    def test_open_relay_through_a_catch_all(self):
        self.refused("u%evil.example@old.example", "evil.example!u@old.example", '"u@evil.example"@old.example',
                     "@old.example:u%evil.example@old.example")
        self.assertEqual(self.node.why("plain@old.example")["code"], 250)

    def test_open_relay_by_helo_and_silence(self):
        for hello in ("HELO uni.example", "EHLO [192.0.2.1]", "EHLO inbound.example"):
            with self.node.raw("smtp") as wire:
                wire.reply()
                wire.say(hello)
                wire.say("MAIL FROM:<a@out.example>")
                self.assertEqual(wire.say("RCPT TO:<u@evil.example>"), 550, hello)


if __name__ == "__main__":
    unittest.main()
