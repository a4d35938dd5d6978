# SPDX-License-Identifier: Apache-2.0
"""Servers that do not tell changes by themselves are polled: slapd without syncprov. Every change arrives, what is gone goes, and whatever happens
to a server in the middle of an answer, nobody becomes unknown by it."""
import unittest

from node import user_ldif
from replica import ReplicaTest, people
from slapd import BASE

QUICK = {"ldap_poll_interval_s": 1, "ldap_compare_interval_s": 1}
SELDOM = {"ldap_poll_interval_s": 1, "ldap_compare_interval_s": 3600}


class PollTest(ReplicaTest):
    provides = False

    def poll(self, *servers, **settings):
        return self.follow(*servers, **{"ldap_driver": "poll", **QUICK, **settings})


class ChangesTest(PollTest):
    def test_auto(self):
        follower = self.follow(**SELDOM)
        follower.wait_for("ann@uni.example", 250)
        self.assertEqual(follower.code("nobody@uni.example"), 550)
        status = follower.status()
        self.assertEqual([status["state"], status["driver"], status["provider"]], ["PERSIST", "poll", self.master.uri])
        self.assertIn("driver=poll", follower.log_text())
        self.assertIn("id=entryUUID", follower.log_text())
        self.assertIn("change=entryCSN", follower.log_text())
        self.assertIn("which is polled", follower.run("directory", "status").stdout)
        self.assert_same(follower)
        self.master.add(user_ldif("new"))
        follower.wait_for("new@uni.example", 250)
        self.assert_same(follower)

    def test_every_kind_of_change(self):
        follower = self.poll()
        follower.wait_for("ann@uni.example", 250)
        self.master.add(user_ldif("cat"))
        self.master.modify(f"dn: uid=ann,ou=people,{BASE}\nchangetype: modify\nreplace: mail\nmail: anna@uni.example\n")
        follower.wait_for("anna@uni.example", 250)
        follower.wait_for("ann@uni.example", 550)
        follower.wait_for("cat@uni.example", 250)
        self.master.modify(f"dn: uid=cat,ou=people,{BASE}\nchangetype: modrdn\nnewrdn: uid=kate\ndeleteoldrdn: 1\n")
        follower.wait(lambda: "uid=kate" in follower.run("why", "cat@uni.example").stdout, "the new name")
        self.master.delete(f"uid=kate,ou=people,{BASE}")
        follower.wait_for("cat@uni.example", 550)
        self.assert_same(follower)


if __name__ == "__main__":
    unittest.main()
