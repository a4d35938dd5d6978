# SPDX-License-Identifier: Apache-2.0
"""Servers that die, hang, lag, lie or refuse: the shadow serves, nobody is unknown for good by a view that is not fresh, and nothing is loaded
that should not be. Threats ldap-down, ldap-partial, lag, mass-delete."""
import os
import signal
import unittest

from node import user_ldif
from replica import ReplicaTest, people
from slapd import BASE

USERS = [f"u{n}" for n in range(40)]


def delete_all(server, names):
    server.modify("".join(f"dn: uid={name},ou=people,{BASE}\nchangetype: delete\n\n" for name in names))


class DownTest(ReplicaTest):
    """Threats ldap-down and lag (I8)."""

    def test_wrong_password(self):
        follower = self.follow()
        follower.wait_for("ann@uni.example", 250)
        follower.stop()
        with open(self.directory.path("ldap.password"), "w", encoding="utf-8") as stream:
            stream.write("wrong\n")
        follower.start()
        follower.wait(lambda: "Invalid credentials" in follower.status()["trouble"], "the refusal is said")
        self.assertEqual(follower.code("ann@uni.example"), 250)
        with open(self.directory.path("ldap.password"), "w", encoding="utf-8") as stream:
            stream.write(self.directory.sync_password + "\n")
        os.chmod(self.directory.path("ldap.password"), 0o644)  # nor is a file used that everybody can read
        follower.wait(lambda: "mode 644" in follower.status()["trouble"], "the mode is said")
        os.chmod(self.directory.path("ldap.password"), 0o600)
        follower.wait_state("PERSIST")


class HangTest(ReplicaTest):
    """A server that is stopped in the middle of things holds nobody up (I10)."""
    shadows = 1

    def wait_moved(self, follower, name):
        self.directory.master.add(user_ldif(name))
        follower.wait_for(f"{name}@uni.example", 250)
        self.assert_same(follower)

    def test_in_persist(self):
        shadow = self.directory.shadows[0]
        follower = self.follow(shadow, self.master)
        follower.wait_for("ann@uni.example", 250)
        self.assertEqual(follower.status()["provider"], shadow.uri)
        shadow.pause()
        self.wait_moved(follower, "cat")
        self.assertEqual(follower.status()["provider"], self.master.uri)
        self.assertIn("from_cookie=true", follower.log_text().rsplit("directory refreshed", 1)[1])
        shadow.resume()

    def test_in_connect(self):
        shadow = self.directory.shadows[0]
        shadow.pause()
        # In the TLS handshake, in StartTLS, in the bind: libldap's own time-outs end only the last.
        for settings in ({"ldap_uri": [shadow.tls_uri, self.master.uri]}, {"ldap_uri": [shadow.uri, self.master.uri]},
                         {"ldap_uri": [shadow.uri, self.master.uri], "ldap_starttls": "always"}):
            with self.subTest(settings=settings):
                follower = self.follow(**settings)
                follower.wait_for("ann@uni.example", 250)
                self.assertEqual(follower.status()["provider"], self.master.uri)
                self.assertRegex(follower.log_text(), "no answer in time|Timed out")  # the watchdog's words or libldap's
                follower.stop()
        shadow.resume()

    def test_stops_at_once(self):
        self.master.pause()
        follower = self.follow(ldap_timeout_s=600)
        follower.wait(lambda: follower.run("status").returncode in (0, 1, 75) and os.path.exists(os.path.join(follower.dir, "run/ldapsync.sock")), "it is up")
        follower.stop()  # within its deadline, though a bind waits
        self.master.resume()


class ClockTest(ReplicaTest):
    def test_the_clock_was_set_back(self):
        """I8: confirmed by a clock that was an hour ahead, as that of a node whose hardware clock has local time; then all servers are down."""
        follower = self.follow()
        follower.wait_for("nobody@uni.example", 550)
        follower.stop()
        self.master.stop()
        with follower.writes() as db:
            db.execute("UPDATE state SET confirmed_ms = confirmed_ms + 3600000")
        self.assertEqual([follower.code("ann@uni.example"), follower.code("nobody@uni.example")], [250, 451])
        self.assertEqual(follower.status()["state"], "STALE")
        follower.start()
        follower.wait(lambda: "directory server is left" in follower.log_text(), "it finds nobody")
        self.assertEqual([follower.code("ann@uni.example"), follower.code("nobody@uni.example")], [250, 451])
        follower.wait_state("STALE")
        self.master.start()
        follower.wait_for("nobody@uni.example", 550)


class HungTest(ReplicaTest):
    def test_ldapsync_hangs(self):
        """Nobody waits for it for ever: the shadow is told, and that it does not answer."""
        follower = self.follow()
        follower.wait_for("nobody@uni.example", 550)
        follower.daemon.send_signal(signal.SIGSTOP)
        self.addCleanup(follower.daemon.send_signal, signal.SIGCONT)
        status = follower.status()
        self.assertEqual((status["entries"], status["complete"], status["ldapsync_runs"]), (4, True, False))
        self.assertIn("does not answer", status["trouble"])
        done = follower.run("directory", "reconcile")
        self.assertEqual(done.returncode, 75)
        self.assertIn("does not answer", done.stderr)


class LagTest(ReplicaTest):
    """A server that lacks changes is not loaded from (I4): what else there is to it than in rules_lag_test.py."""
    shadows = 1

    def test_back_to_the_first(self):
        """The preferred server comes back: followed again once it has answered for a while and has everything, and nothing is loaded twice."""
        shadow = self.directory.shadows[0]
        follower = self.follow(shadow, self.master, ldap_failback_s=1)
        follower.wait_for("ann@uni.example", 250)
        shadow.follow(None)  # it stays behind
        follower.wait(lambda: follower.status()["provider"] in (self.master.uri, shadow.uri) and follower.status()["state"] == "PERSIST", "one of them")
        shadow.stop()
        follower.wait(lambda: follower.status()["provider"] == self.master.uri and follower.status()["state"] == "PERSIST", "the master instead")
        self.master.add(user_ldif("new"))
        follower.wait_for("new@uni.example", 250)
        shadow.start()
        mark = shadow.mark()
        follower.wait(lambda: len([line for line in shadow.lines("SRCH base=", since=mark) if f'"{BASE}"' in line]) >= 8, "it is asked")
        self.assertEqual(follower.status()["provider"], self.master.uri)  # it lags
        shadow.follow(self.master)
        follower.wait(lambda: follower.status()["provider"] == shadow.uri and follower.status()["state"] == "PERSIST", "back to the first")
        self.assertIn("from_cookie=true", follower.log_text().rsplit("directory refreshed", 1)[1])
        self.assertEqual(follower.log_text().count("from_cookie=false entries"), 1)
        self.master.add(user_ldif("newer"))
        follower.wait_for("newer@uni.example", 250)
        self.assert_same(follower)

    def test_set_back(self):
        """All servers were restored from an old backup: an administrator says that this is so."""
        shadow = self.directory.shadows[0]
        follower = self.follow(self.master)
        follower.wait_for("ann@uni.example", 250)
        shadow.follow(None)
        self.master.add(user_ldif("new"))
        follower.wait_for("new@uni.example", 250)
        follower.stop()
        follower.set_values(ldap_uri=[shadow.uri])
        follower.start()
        follower.wait(lambda: "posthouse directory release" in follower.status()["trouble"], "the way out is said")
        self.assertEqual([follower.code("new@uni.example"), follower.code("ann@uni.example")], [250, 250])
        done = follower.run("directory", "release")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([follower.code("new@uni.example"), follower.code("ann@uni.example")], [550, 250])
        self.assert_same(follower, shadow)


class BrakeTest(ReplicaTest):
    """Threat mass-delete, from a server (I6)."""
    ldif = ReplicaTest.ldif + people(USERS)

    def codes(self, follower, *names):
        return [follower.code(f"{name}@uni.example") for name in names]

    def test_emptied_of_everything(self):
        with open(self.directory.path("admin.password"), "w", encoding="utf-8") as stream:  # whom slapd knows without an entry
            stream.write(self.master.admin_password + "\n")
        os.chmod(self.directory.path("admin.password"), 0o600)
        follower = self.follow(ldap_bind_dn=self.master.admin_dn, ldap_password_file=self.directory.path("admin.password"))
        follower.wait_for("ann@uni.example", 250)
        self.master.empty()
        follower.wait(lambda: "does not show us how far it is" in follower.log_text(), "a server without content is not believed")
        self.assertEqual(self.codes(follower, "u1", "ann"), [250, 250])

    def test_few_are_no_storm(self):
        follower = self.follow()
        follower.wait_for("ann@uni.example", 250)
        delete_all(self.master, USERS[:5])
        follower.wait_for("u4@uni.example", 550)
        self.assert_same(follower)
        self.assertEqual(follower.status()["state"], "PERSIST")

    def test_one_that_never_rests(self):
        """An entry whose address changes all the time takes nobody away; who deletes people meanwhile is still stopped."""
        follower = self.follow()
        follower.wait_for("ann@uni.example", 250)
        dn = f"dn: uid=u39,ou=people,{BASE}\nchangetype: modify\n"
        for begin in range(0, 3000, 500):
            self.master.modify("".join(f"{dn}replace: mail\nmail: u39.{n}@uni.example\n\n" for n in range(begin, begin + 500)))
            follower.wait_for(f"u39.{begin + 499}@uni.example", 250)
        self.assertEqual(follower.status()["state"], "PERSIST")
        self.assertNotIn("held by the brake", follower.log_text())
        self.master.modify(f"{dn}replace: mail\nmail: u39@uni.example\n\n")  # as it was
        follower.wait_for("u39@uni.example", 250)
        for count, name in enumerate(USERS[:13], start=1):  # 30 % of the people
            self.master.delete(f"uid={name},ou=people,{BASE}")
            follower.wait(lambda name=name: follower.status()["state"] == "BRAKED" or follower.code(f"{name}@uni.example") != 250, f"{name} to be gone, or held")
            if follower.status()["state"] == "BRAKED":
                break
        follower.wait_state("BRAKED")
        self.assertEqual(count, 11)  # ten are never too much
        self.assertEqual(follower.status()["held_deletes"], 11)
        self.assertEqual(self.codes(follower, "u11", "u39", "nobody"), [250, 250, 451])


class PartialTest(ReplicaTest):
    """Threat ldap-partial: part of an answer is no answer (I5)."""
    ldif = ReplicaTest.ldif + people(USERS)

    def limit(self, size):
        """The sync identity's limit, while the server is down."""
        path = self.master.path("slapd.conf")
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text.replace("size=unlimited", f"size={size}"))
        self.master.start()

    def test_size_limit(self):
        self.master.stop()
        self.limit(10)
        follower = self.follow()
        follower.wait(lambda: "Size limit exceeded" in follower.log_text(), "the limit is said")
        self.assertEqual(follower.status()["state"], "EMPTY")
        self.assertEqual([follower.code("ann@uni.example"), follower.code("u39@uni.example")], [451, 451])

    def test_size_limit_later(self):
        follower = self.follow(fresh_s=2)
        follower.wait_for("u39@uni.example", 250)
        follower.stop()
        self.master.stop()
        self.limit(10)
        follower.start()
        done = follower.run("directory", "reconcile")
        follower.wait(lambda: "Size limit exceeded" in follower.log_text() or "from_cookie=true" in follower.log_text(), "it asked")
        self.assertEqual([follower.code("ann@uni.example"), follower.code("u39@uni.example")], [250, 250])
        self.assertEqual(len(follower.uuids()), 44, done)

    def test_elsewhere(self):
        """A base that the server does not have: it refers us to another."""
        self.master.stop()
        with open(self.master.path("slapd.conf"), encoding="utf-8") as stream:
            text = stream.read()
        with open(self.master.path("slapd.conf"), "w", encoding="utf-8") as stream:
            stream.write("referral ldap://127.0.0.1:1/\n" + text)
        self.master.start()
        follower = self.follow(ldap_base="dc=other,dc=example")
        follower.wait(lambda: "Referral" in follower.log_text() or "No such object" in follower.log_text(), "the refusal is said")
        self.assertEqual(follower.status()["state"], "EMPTY")
        self.assertEqual(follower.code("ann@uni.example"), 451)


if __name__ == "__main__":
    unittest.main()
