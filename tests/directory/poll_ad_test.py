# SPDX-License-Identifier: Apache-2.0
"""What Active Directory does otherwise, on a server of our own that does it: large groups come in parts."""
import unittest

from fake_ldap import FakeServer
from polled import ActiveDirectory
from replica import Follower
from slapd import BASE

GROUP = f"cn=all,{BASE}"
ADDRESS = "all@uni.example"


def members(n):
    return [f"u{i % 30}+m{i}@uni.example" for i in range(n)]


class AdTest(unittest.TestCase):
    settings = {"ldap_poll_interval_s": 1, "ldap_compare_interval_s": 3600}

    def setUp(self):
        self.ad = ActiveDirectory()
        self.server = FakeServer(None, answers=self.ad)
        self.addCleanup(self.server.close)
        self.follower = Follower({"shadow_ldif": "", "ldap_uri": [self.server.uri], "ldap_base": BASE, "fresh_s": 5, **self.settings})
        self.addCleanup(self.follower.remove)

    def group(self, n, address=ADDRESS):
        return {"objectClass": ["phMailGroup"], "cn": ["all"], "mail": [address], "rfc822MailMember": members(n)}

    def stored(self):
        """The members of the group as the shadow has them."""
        for (data,) in self.follower.rows("SELECT data FROM entry"):
            if GROUP.encode() in data:
                return data.count(b"+m")
        return None

    def wait_members(self, n):
        self.follower.wait_state("PERSIST")
        self.follower.wait(lambda: self.stored() == n, f"{n} members")
        self.assertEqual(self.follower.code(ADDRESS), 250)


class RangesTest(AdTest):
    """Mail for a group goes to all of its members, or it waits."""

    def test_put_together(self):
        self.ad.put(GROUP, {**self.group(4000), "member": [f"uid=u{n},ou=people,{BASE}" for n in range(30)] * 60}, 30000)
        self.follower.start()
        self.wait_members(4000)
        self.assertEqual(self.ad.parts, 2 + 1)  # of rfc822MailMember and of member
        version = self.follower.status()["version"]
        self.assertNotIn("with a part of its values", self.follower.log_text())
        self.assertEqual(self.follower.run("directory", "reconcile").returncode, 0)
        self.assertEqual(self.ad.loads, 2)
        self.assertEqual(self.follower.status()["version"], version)  # nothing is written that is as it was
        self.ad.change(GROUP, rfc822MailMember=members(4501))
        self.wait_members(4501)
        parts = self.ad.parts
        self.ad.change(f"uid=u1,ou=people,{BASE}", mail=["you@uni.example"])
        self.follower.wait_for("you@uni.example", 250)
        self.assertEqual(self.ad.parts, parts)  # a group that is as it was is not read again
        self.ad.change(GROUP, rfc822MailMember=members(1500), member=[])
        self.wait_members(1500)

    def test_it_changes_meanwhile(self):
        """Once, and it is read again; it grows, it gets smaller, its name goes to another, it goes."""
        changes = iter([lambda: self.ad.change(GROUP, rfc822MailMember=members(5000)), lambda: self.ad.change(GROUP, rfc822MailMember=members(1600))])

        def change(_session, _number, _dn, _name, low):
            if low == 3000:
                next(changes, lambda: None)()
        self.ad.on_part = change
        self.ad.put(GROUP, self.group(4000), 30000)
        self.follower.start()
        self.wait_members(1600)
        def deleted(*_):
            del self.ad.entries[GROUP]
        self.ad.on_part = deleted
        self.ad.change(GROUP, rfc822MailMember=members(4000))
        self.follower.wait(lambda: GROUP not in self.ad.entries, "it goes")
        self.follower.run("directory", "reconcile")
        self.follower.wait_for(ADDRESS, 550)

    def test_it_changes_all_the_time(self):
        def change(*_):
            self.ad.change(GROUP, description=[str(self.ad.usn)])
        self.ad.on_part = change
        self.ad.put(GROUP, self.group(4000), 30000)
        self.follower.start()
        self.follower.wait_for("nobody@uni.example", 550)
        self.assertEqual(self.follower.code(ADDRESS), 451)
        self.assertEqual([self.follower.code("u1@uni.example"), self.follower.code("nobody@uni.example")], [250, 550])
        self.assertIn("it changes all the time", self.follower.log_text())
        self.ad.on_part = None
        self.wait_members(4000)

    def lies(self, answer):
        """The group waits, it is said, everybody else is served; and is whole once the server is."""
        self.ad.on_part = answer
        self.ad.put(GROUP, self.group(4000), 30000)
        self.follower.start()
        self.follower.wait_for("nobody@uni.example", 550)
        self.assertEqual(self.follower.code(ADDRESS), 451)
        self.assertEqual([self.follower.code("u1@uni.example"), self.follower.code("nobody@uni.example")], [250, 550])
        self.assertIn("could not be put together", self.follower.log_text())
        self.assertIn("with a part of its values", self.follower.log_text())
        self.ad.on_part = None
        self.follower.run("directory", "reconcile")
        self.wait_members(4000)

    def part(self, session, number, dn, option, values):
        entry = self.ad.entries[dn]
        session.say(number, session.content(dn, {f"rfc822MailMember;{option}": values, "objectGUID": entry["objectGUID"], "uSNChanged": entry["uSNChanged"]}))
        session.say(number, session.result(0x65))
        return True

    def test_without_end(self):
        self.lies(lambda session, number, dn, _, low: self.part(session, number, dn, f"range={low}-{low}", ["u1+more@uni.example"]))
        self.assertLess(self.ad.parts, 2500)

    def test_backward(self):
        self.lies(lambda session, number, dn, _, low: self.part(session, number, dn, "range=0-1499", members(1500)))

    def test_a_gap(self):
        self.lies(lambda session, number, dn, _, low: self.part(session, number, dn, f"range={low + 1}-*", members(1500)))

    def test_fewer_than_it_says(self):
        self.lies(lambda session, number, dn, _, low: self.part(session, number, dn, f"range={low}-{low + 1499}", members(1499)))

    def test_no_such_part(self):
        self.lies(lambda session, number, dn, _, low: session.say(number, session.result(0x65, 1)) or True)

    def test_nonsense(self):
        self.lies(lambda session, number, dn, _, low: self.part(session, number, dn, "range=all", members(3)))

    def test_the_connection_ends(self):
        """In the middle of a group: nothing of the answer counts, and it comes again."""
        def close(session, *_):
            if self.server.connections < 4:
                session.close()
                return True
            return False
        self.ad.on_part = close
        self.ad.put(GROUP, self.group(4000), 30000)
        self.follower.start()
        self.wait_members(4000)
        self.assertEqual(self.server.connections, 4)


if __name__ == "__main__":
    unittest.main()
