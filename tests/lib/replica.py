# SPDX-License-Identifier: Apache-2.0
"""posthouse-ldapsync alone, beside the slapd servers of slapd.py: what follows them, and what `posthouse` says of it.

    class Follows(ReplicaTest):
        shadows = 1
        def test_it(self):
            follower = self.follow(self.directory.master)          # settings: keyword arguments
            follower.wait_for("ann@uni.example", "deliver")
            self.assert_same(follower)                             # the shadow is what the master has
"""
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

from node import BIN, user_ldif
from slapd import DEADLINE_S, Directory, DirectoryTest

DOMAIN = ("dn: associatedDomain=uni.example,dc=uni,dc=example\nobjectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: local\n\n"
          "dn: cn=mb1,dc=uni,dc=example\nobjectClass: phMailHost\ncn: mb1.uni.example\nphHostEndpoint: lmtp=inet:127.0.0.1:24\n\n")


def people(names, **more):
    return "".join(user_ldif(name, **more) for name in names)


class Follower:
    def __init__(self, settings):
        self.dir = tempfile.mkdtemp(prefix="posthouse-replica-")
        for folder in ("data/shadow", "data/credentials", "run"):
            os.makedirs(os.path.join(self.dir, folder))
        self.conf = os.path.join(self.dir, "posthouse.conf")
        self.set({"hostname": "mx.uni.example", "data_dir": f"{self.dir}/data", "run_dir": f"{self.dir}/run", "sandbox": "optional", "group": "",
                  "ldapsync_user": "", "mta_user": "", "popimap_user": "", "listen_submissions": [], "listen_imaps": [], "listen_pop3s": [],
                  "log_level": "debug", "ldap_reconcile_hour": 24, "ldap_timeout_s": 2, "ldap_heartbeat_ms": 200, **settings})
        self.daemon = None

    def set_values(self, **settings):
        self.set({**self.settings, **settings})

    def set(self, settings):
        self.settings = settings
        def value(what):
            return "{" + ", ".join(value(one) for one in what) + "}" if isinstance(what, list) else f'"{what}"'
        with open(self.conf, "w", encoding="utf-8") as stream:
            stream.writelines(f"{name} = {value(what)}\n" for name, what in settings.items())

    def start(self):
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.daemon = subprocess.Popen([os.path.join(BIN, "posthouse-ldapsync"), "-c", self.conf], stderr=log, stdout=log)
        return self

    def stop(self, number=signal.SIGTERM):
        if self.daemon is not None:
            self.daemon.send_signal(number)
            code = self.daemon.wait(timeout=60)
            self.daemon = None
            if code not in (0, -number):
                raise AssertionError(f"ldapsync ended with {code}\n{self.log_text()[-4000:]}")

    def kill(self):
        self.stop(signal.SIGKILL)

    def remove(self):
        try:
            self.stop()
        finally:
            shutil.rmtree(self.dir)

    def log_text(self):
        with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def run(self, *arguments):
        return subprocess.run([os.path.join(BIN, "posthouse"), "-c", self.conf, *arguments], capture_output=True, text=True, check=False)

    def status(self):
        return json.loads(self.run("directory", "status", "--json").stdout)

    def code(self, address):
        return json.loads(self.run("why", "--json", address).stdout)["code"]

    def wait(self, condition, what=""):
        end = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"never: {what}\n{self.status()}\n{self.log_text()[-4000:]}")
            time.sleep(0.02)

    def wait_for(self, address, code):
        self.wait(lambda: self.code(address) == code, f"{address} {code}")

    def wait_state(self, *states):
        self.wait(lambda: self.status()["state"] in states, " or ".join(states))

    def rows(self, sql, database="shadow"):
        with sqlite3.connect(f"file:{self.dir}/data/{database}/{database}.db?mode=ro", uri=True) as db:
            return db.execute(sql).fetchall()

    def writes(self, database="shadow"):
        """with follower.writes() as db: what a test does to what is stored, while ldapsync is stopped."""
        return sqlite3.connect(f"{self.dir}/data/{database}/{database}.db")

    def uuids(self, database="shadow"):
        """What is stored, by entryUUID; and every row of key belongs to an entry."""
        if self.rows("SELECT count(*) FROM key WHERE id NOT IN (SELECT id FROM entry)", database) != [(0,)]:
            raise AssertionError(f"{database}.db has keys of no entry")
        return {uuid.hex() for (uuid,) in self.rows("SELECT uuid FROM entry", database)}


class ReplicaTest(DirectoryTest):
    """One directory for each test, because they break it."""
    provides = True  # False: slapd without syncprov
    ldif = DOMAIN + people(["ann", "bob"])

    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    def setUp(self):
        self.directory = Directory(shadows=self.shadows, ldif=self.ldif, provides=self.provides)
        self.addCleanup(self.directory.remove)
        self.directory.start()
        self.master = self.directory.master

    def follow(self, *servers, **settings):
        follower = Follower({**{name: what for name, what in self.directory.settings(*servers).items() if what != ""}, **settings})
        self.addCleanup(follower.remove)
        return follower.start()

    def ours(self, server):
        found = server.search("(|(objectClass=phMailUser)(objectClass=phMailDomain)(objectClass=phMailHost)(mail=*)(member=*))", "entryUUID")
        return {values["entryUUID"][0].decode().replace("-", "") for _, values in found}

    def assert_same(self, follower, server=None):
        """Waits until the shadow has the entries of the server, neither more nor fewer."""
        wanted = self.ours(server or self.master)
        follower.wait(lambda: follower.uuids() == wanted, "the entries of the server")
        return wanted
