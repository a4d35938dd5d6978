# SPDX-License-Identifier: Apache-2.0
"""Directory servers for a test: a slapd master, and shadows of it, in a temporary folder, on an address of their own.

    class Follows(DirectoryTest):
        shadows = 2                                   # 0 without
        def test_new_user(self):
            self.directory.master.add(node.user_ldif("new"))
            self.directory.wait_caught_up()

or, beside a node, `directory = Directory(ldif=…, shadows=1).start()` and `directory.remove()` in the end, whatever happened.

Directory: master, shadows (a list), servers (all), certificates (ca, client_pem, client_key), sync_dn, sync_password, base; start(), remove(),
wait_caught_up(), same(). Its content: the base, the units (ou=people, …), the sync identity, and the argument ldif (entries without their
parents will do). What a node needs to follow it: settings().

Each server (TestServer):
    uri, tls_uri, local_uri                           ldap://, ldaps://, ldapi:// of it
    stop() start() restart()                          clean
    kill()                                            kill -9
    pause() resume()                                  SIGSTOP, SIGCONT
    empty(ldif=None)                                  restarted without content (None), or with only this; a new contextCSN
    follow(server or None)                            restarted as a shadow of another server, or of none: it lags from here on
    load(ldif), modify(ldif), add(ldif), delete(dn)   as the administrator; load also takes 100,000 entries, modify takes changetype: records
    search(filter, *attributes, base=, scope=, who=)  [(dn, {attribute: [bytes, …]}), …]; who: "admin", "sync", "anonymous", or (dn, password)
    context_csn()                                     {"001": "20261122…"}
    lines(pattern)                                    lines of the stats log that match; mark() and lines(pattern, since=mark) for those after
    searches(base=None)                               the searches that it saw, as lines
All of them wait until they are done. slapd comes from Debian and is unpacked into build/slapd at first use; nothing is installed. What was
started ends with the test program, also when that is killed.
"""
import base64
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "deploy", "ldap"))
import server as deployed  # noqa: E402  the servers of deploy/ldap

BASE = "dc=uni,dc=example"
DEADLINE_S = float(os.environ.get("POSTHOUSE_TEST_DEADLINE_S", "30"))
PORT = 2389


class Content:
    """What a test does to the entries of a server, by LDAP; over ask(program, *arguments) and as_admin()."""

    def load(self, ldif):
        self.ask("ldapadd", *self.as_admin(), input=ldif, deadline_s=600)

    add = load

    def modify(self, ldif):
        self.ask("ldapmodify", *self.as_admin(), input=ldif, deadline_s=600)

    def delete(self, *names):
        self.ask("ldapdelete", *self.as_admin(), *names)

    def search(self, filter="(objectClass=*)", *attributes, base=None, scope="sub", who="admin"):
        known = {"admin": (self.admin_dn, self.admin_password), "sync": (self.sync_dn, self.sync_password)}
        login = () if who == "anonymous" else ("-D", known.get(who, who)[0], "-w", known.get(who, who)[1])
        return entries(self.ask("ldapsearch", "-x", *login, "-LLL", "-o", "ldif-wrap=no", "-b", self.base if base is None else base, "-s", scope,
                                filter, *attributes, deadline_s=120))


class TestServer(Content, deployed.Server):
    def empty(self, ldif=None):
        self.end()
        self.clear()
        if ldif is not None:
            self.fill([*deployed.parents(self.base), self.sync_identity(), ldif])
        self.start()

    def restart(self):
        self.stop()
        self.start()

    def kill(self):
        self.end(signal.SIGKILL)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        while True:
            with open(f"/proc/{self.process.pid}/stat", encoding="ascii", errors="replace") as stream:
                if stream.read().rsplit(")", 1)[1].split()[0] == "T":
                    return
            time.sleep(0.005)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def follow(self, provider):
        self.end()
        self.providers = [provider] if provider else []
        self.write_config()
        self.start()

    # --- its log ---

    def log_text(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def mark(self):
        return os.path.getsize(self.path("log"))

    def lines(self, pattern, since=0):
        with open(self.path("log"), "rb") as stream:
            stream.seek(since)
            return [line for line in stream.read().decode(errors="replace").splitlines() if re.search(pattern, line)]

    def searches(self, base=None):
        return self.lines(f'SRCH base="{re.escape(base)}"' if base is not None else "SRCH base=")


def entries(ldif):
    """[(dn, {attribute: [bytes, …]}), …] of LDIF whose lines are not folded."""
    found = []
    for record in re.split(r"\n\n+", ldif.strip("\n")):
        values, dn = {}, None
        for line in record.splitlines():
            name, _, rest = line.partition(":")
            value = base64.b64decode(rest[1:].strip()) if rest.startswith(":") else rest.strip().encode()
            if name == "dn":
                dn = value.decode()
            elif name and not name.startswith("#"):
                values.setdefault(name, []).append(value)
        if dn is not None:
            found.append((dn, values))
    return found


class Directory:
    def __init__(self, shadows=0, ldif="", base=BASE, log_level="stats", extra=(), identities=(), session_log="default", environment=None,
                 address=None, provides=True, server_class=TestServer):
        """extra, identities, session_log, environment, provides: as in deploy/ldap/server.py, for all its servers. address: in place of one of its own."""
        self.base = base
        self.programs = deployed.Programs()
        self.dir = tempfile.mkdtemp(prefix="posthouse-slapd-")
        rng = random.Random(f"slapd-{os.getpid()}-{time.monotonic_ns()}")
        self.address = address or f"127.{rng.randrange(64, 128)}.{rng.randrange(1, 255)}.{rng.randrange(1, 255)}"  # as in node.py
        self.certificates = deployed.Certificates(os.path.join(self.dir, "tls"), self.address)
        common = {"log_level": log_level, "extra": extra, "identities": identities, "session_log": session_log, "durable": False,
                  "environment": environment, "provides": provides, "end_signal": signal.SIGKILL}  # which also ends what was stopped
        self.master = server_class(self.programs, self.path("master"), self.address, PORT, base, self.certificates, **common)
        self.shadows = [server_class(self.programs, self.path(f"shadow{n}"), self.address, PORT + n, base, self.certificates,
                                   provider=self.master, server_id=n + 1, **common) for n in range(1, shadows + 1)]
        self.servers = [self.master, *self.shadows]
        self.sync_dn, self.sync_password = self.master.sync_dn, self.master.sync_password
        self.ldif = ldif

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def start(self):
        """The master with its content, then the shadows; returns when these have it too."""
        try:
            for one in self.servers:
                one.make()
            self.master.fill([*deployed.parents(self.base), self.master.sync_identity(), self.ldif])
            for one in self.shadows:
                one.copy_of(self.master)
            for one in self.servers:
                one.start()
            self.wait_caught_up()
        except BaseException:
            self.remove()
            raise
        return self

    def settings(self, *servers):
        """Settings of a node that follows these servers, the master if none are named; for node.Node."""
        password = self.path("ldap.password")
        with open(password, "w", encoding="utf-8") as stream:
            stream.write(self.sync_password + "\n")
        os.chmod(password, 0o600)
        return {"shadow_ldif": "", "ldap_uri": [one.uri for one in servers or (self.master,)], "ldap_base": self.base, "ldap_bind": "simple",
                "ldap_bind_dn": self.sync_dn, "ldap_password_file": password, "ldap_ca_file": self.certificates.ca}

    def wait_caught_up(self, *servers):
        """Until these shadows, or all, have the contextCSN of the master."""
        end = time.monotonic() + DEADLINE_S
        wanted = self.master.context_csn()
        for one in servers or self.shadows:
            while not all(csn <= one.context_csn().get(server, "") for server, csn in wanted.items()):
                if time.monotonic() > end:
                    raise AssertionError(f"{one.uri} did not catch up with {wanted}: {one.context_csn()}\n{one.log_text()[-2000:]}")
                time.sleep(0.05)

    def same(self):
        """Each shadow holds what the master holds, entry for entry, by entryUUID and entryCSN."""
        def content(one):
            return sorted((dn.lower(), values["entryUUID"][0], values["entryCSN"][0]) for dn, values in entries(one.dump()))
        return all(content(one) == content(self.master) for one in self.shadows)

    def remove(self):
        for one in self.servers:
            one.end(signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)


class DirectoryTest(unittest.TestCase):
    shadows = 0
    ldif = ""

    @classmethod
    def setUpClass(cls):
        cls.directory = Directory(shadows=cls.shadows, ldif=cls.ldif).start()

    @classmethod
    def tearDownClass(cls):
        cls.directory.remove()
