# SPDX-License-Identifier: Apache-2.0
"""Directory servers of every kind that can be followed, behind one face, so that what must hold for all of them is written once (tests/directory/rules.py).

    provider = SlapdShadow(ldif).start()
    provider.writer.add(…)              where changes are made; provider.settle(): the server that is followed has them
    provider.server.kill()              the one that is followed: kill stop start restart pause resume, address, port, uri
    provider.empty(ldif)                made anew with only this: other ids, other change numbers
    provider.reset()                    what tests have changed below the base is as it was at the start
    provider.ids(), addresses(), logins()    what a shadow must have; ids without dashes, in small letters
    provider.settings()                 for Follower
    provider.remove()

What differs, for tests to ask:
    resumes             from what is stored, after a start of ldapsync: no whole load
    resumes_restarted   so also after a start of the server
"""
import re

from ds389 import DirectoryServer389
from node import user_ldif
from slapd import BASE, Directory

OURS = "(|(objectClass=phMailUser)(objectClass=phMailDomain)(objectClass=phMailHost))"


class Provider:
    resumes = resumes_restarted = True
    id_attribute = "entryUUID"

    def begin(self):
        """After the first start: what reset goes back to."""
        self.records = {re.match("dn: (.*)", record)[1]: record for record in re.split(r"\n\n+", self.ldif.strip("\n"))}
        self.content = self.read()
        return self

    def read(self):
        return {dn: {name: sorted(values) for name, values in entry.items()} for dn, entry in self.writer.search(OURS)}

    def settle(self):
        pass

    def reset(self):
        there = self.read()
        gone = [dn for dn, values in there.items() if self.content.get(dn) != values]
        if gone:
            self.writer.delete(*gone)
        missing = [self.records[dn] for dn in self.content if dn in gone or dn not in there]
        if missing:
            self.writer.add("\n\n".join(missing) + "\n")
        self.settle()

    def ids(self):
        return {values[self.id_attribute][0].decode().replace("-", "") for _, values in self.server.search(OURS, self.id_attribute)}

    def addresses(self):
        return {value.decode().lower() for _, values in self.server.search("(mail=*)", "mail") for value in values["mail"]}

    def logins(self):
        return {values["uid"][0].decode() for _, values in self.server.search("(&(objectClass=phMailUser)(uid=*))", "uid")}


class SlapdMaster(Provider):
    shadows = 0
    provides = True

    def __init__(self, ldif):
        self.ldif = ldif
        self.directory = Directory(shadows=self.shadows, ldif=ldif, provides=self.provides)
        self.writer = self.directory.master
        self.server = self.directory.shadows[0] if self.shadows else self.writer

    def start(self):
        self.directory.start()
        return self.begin()

    def settings(self):
        return {name: value for name, value in self.directory.settings(self.server).items() if value != ""}

    def empty(self, ldif):
        self.server.empty(ldif)

    def remove(self):
        self.directory.remove()


class SlapdShadow(SlapdMaster):
    shadows = 1

    def settle(self):
        self.directory.wait_caught_up()

    def empty(self, ldif):
        """The master, and the shadow reads it from the beginning."""
        self.server.stop()
        self.writer.empty(ldif)
        self.server.clear()
        self.server.start()
        self.settle()


class SlapdPolled(SlapdMaster):
    """Without syncprov."""
    provides = False

    def settings(self):
        return {**super().settings(), "ldap_driver": "poll", "ldap_poll_interval_s": 1, "ldap_compare_interval_s": 1}


class Ds389(Provider):
    """It does not say whether its database was loaded anew while it was down, so a start of it costs a load."""
    resumes_restarted = False
    id_attribute = "nsUniqueId"

    def __init__(self, ldif):
        self.ldif = ldif
        self.server = self.writer = DirectoryServer389(ldif=ldif)

    def start(self):
        self.server.start()
        return self.begin()

    def settings(self):
        return self.server.settings()

    def empty(self, ldif):
        self.server.empty(ldif)

    def remove(self):
        self.server.remove()


# --- With a second server, which can be kept behind ---
#
#     provider.other      it; part(): it gets no changes from now on; join(): it does again, and has them all


class SlapdMasterPair(SlapdMaster):
    """A master and its shadow."""
    shadows = 1

    def __init__(self, ldif):
        super().__init__(ldif)
        self.server, self.other = self.writer, self.directory.shadows[0]

    def part(self):
        self.other.follow(None)

    def join(self):
        if self.other.providers != [self.writer]:
            self.other.follow(self.writer)
        self.directory.wait_caught_up()


class SlapdShadowPair(SlapdMasterPair):
    """Two shadows of one master."""
    shadows = 2

    def __init__(self, ldif):
        super().__init__(ldif)
        self.server, self.other = self.directory.shadows

    def settle(self):
        self.directory.wait_caught_up(self.server)


class SlapdPolledPair(SlapdMasterPair):
    def settings(self):
        return {**super().settings(), "ldap_driver": "poll", "ldap_poll_interval_s": 1, "ldap_compare_interval_s": 1}


class Ds389Pair(Ds389):
    """A supplier and its consumer."""

    def __init__(self, ldif):
        super().__init__(ldif)
        self.other = DirectoryServer389()

    def start(self):
        try:
            self.server.start()
            self.server.replicate_to(self.other.start())
            self.server.add(user_ldif("first"))  # a replica says how far it is from its first change on
            self.server.wait_caught_up(self.other)
            self.server.delete(f"uid=first,ou=people,{BASE}")
        except BaseException:
            self.remove()
            raise
        return self.begin()

    def part(self):
        self.server.replicates(False)

    def join(self):
        self.server.replicates(True)
        self.server.wait_caught_up(self.other)

    def remove(self):
        self.other.remove()
        super().remove()
