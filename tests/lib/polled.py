# SPDX-License-Identifier: Apache-2.0
"""Servers of our own that are polled, and say whatever a test wants.

    lying = Lying(users=30)                              # ids are entryUUID, changes are never told
    with FakeServer(None, answers=lying) as server: ...
    lying.left_out = {dn}                                # by compares; lying.lost: by loads
    lying.end = lambda session, number: ...

    ad = ActiveDirectory()                               # objectGUID, uSNChanged; 1,500 values of an attribute at a time
    ad.put(dn, {"objectClass": ["phMailList"], ...}); ad.delete(dn)
    ad.name = "DC2"; ad.invocation = b"\2" * 16         # another one, or one that was restored
    ad.replicate_to(other); ad.shows_cursors = "replUpToDateVector"
    ad.on_part = lambda ad, dn, name, low: ...           # before each part but the first
"""
import re
import struct
import time
import uuid

from fake_ldap import ber, octets, page
from slapd import BASE

DOMAIN_SCOPE = "1.2.840.113556.1.4.1339"
OPERATIONS_ERROR, NO_SUCH_OBJECT = 1, 32


def refer(session, number):
    session.say(number, ber(0x73, octets("ldap://127.0.0.9/dc=else")))


def people_and_places(users, marks):
    """Entries by DN: u0@uni.example and so on, their domain and host. marks(n): ids and marks of the n-th."""
    entries = {f"uid=u{n},ou=people,{BASE}": {"objectClass": ["phMailUser"], "uid": [f"u{n}"], "mail": [f"u{n}@uni.example"],
                                              "mailHost": ["mb1.uni.example"], **marks(n + 1)} for n in range(users)}
    entries[f"associatedDomain=uni.example,{BASE}"] = {
        "objectClass": ["phMailDomain"], "associatedDomain": ["uni.example"], "phDomainType": ["local"], "phSubaddressDelimiter": ["+"],
        **marks(10000)}
    entries[f"cn=mb1,{BASE}"] = {"objectClass": ["phMailHost"], "cn": ["mb1.uni.example"], "phHostEndpoint": ["lmtp=inet:127.0.0.1:24"],
                                 **marks(10001)}
    return entries


class Lying:
    """An LDAPv3 server that is asked by a poll, and what it makes of it: answers(session, number, search) of fake_ldap."""
    id_name, mark_name = "entryUUID", "modifyTimestamp"

    def __init__(self, users=30):
        self.entries = people_and_places(users, self.marks)
        self.controls, self.compares, self.loads, self.by_ids, self.by_names = ["1.2.840.113556.1.4.319", DOMAIN_SCOPE], 0, 0, 0, 0
        self.left_out, self.end, self.pages, self.slow_s, self.knows_ids = set(), None, None, 0, True
        self.lost = set()

    def marks(self, n):
        return {"entryUUID": [f"00000000-0000-4000-8000-{n:012x}"], "modifyTimestamp": ["20261122010203Z"]}

    def user(self, n):
        return {"objectClass": ["phMailUser"], "uid": [f"u{n}"], "mail": [f"u{n}@uni.example"], "mailHost": ["mb1.uni.example"], **self.marks(n + 1)}

    def root(self):
        return {"supportedControl": self.controls}

    def show(self, _search, values):
        return values

    def __call__(self, session, number, search):
        base = search.base.decode()
        if base == "":
            session.say(number, session.content("", self.root()))
        elif search.scope == 0 and base == BASE:
            session.say(number, session.content(BASE, self.top(search)))
        elif search.scope == 0:
            self.by_names += 1
            self.read(session, number, base, search)
            return
        elif DOMAIN_SCOPE.encode() not in search.controls:
            refer(session, number)  # as Active Directory does, from the top of a domain
        elif b"phAuthRealm" in search.attributes and len(search.attributes) == 3:
            pass
        elif self.mark_name.encode() in search.filter:
            self.tell_changes(session, number, search)
        elif self.id_name.encode() in search.filter:
            self.by_ids += 1
            self.tell_ids(session, number, search)
        else:
            is_load = b"objectClass" in search.attributes
            self.loads += is_load
            self.compares += not is_load
            self.tell(session, number, search, is_load)
            return
        session.say(number, session.result(0x65))

    def top(self, _search):
        return self.marks(20000)

    def read(self, session, number, dn, search):
        if dn not in self.entries:
            session.say(number, session.result(0x65, NO_SUCH_OBJECT))
            return
        session.say(number, session.content(dn, self.show(search, self.entries[dn])))
        session.say(number, session.result(0x65))

    def tell_changes(self, session, number, search):
        """Nothing has changed, it says."""

    def tell_ids(self, session, number, search):
        for dn, values in list(self.entries.items()):
            given = values[self.id_name][0]
            if self.knows_ids and (given if isinstance(given, bytes) else given.encode()) in search.filter:
                session.say(number, session.content(dn, self.show(search, values)))

    def tell(self, session, number, search, is_load):
        names = [dn for dn in list(self.entries) if dn not in (self.lost if is_load else self.left_out)]
        for at, dn in enumerate(names):
            time.sleep(self.slow_s)
            if self.end and at == len(names) // 2:
                self.end(session, number)
                return
            session.say(number, session.content(dn, self.show(search, self.entries[dn])))
        session.say(number, session.result(0x65), *([page(self.pages)] if self.pages is not None else []))


class ActiveDirectory(Lying):
    """A domain controller: it counts changes, and gives 1,500 values of an attribute at a time ([MS-ADTS] 3.1.1.3.1.3.3)."""
    id_name, mark_name = "objectGUID", "uSNChanged"
    VALUES_MAX = 1500

    def __init__(self, users=30, name="DC1"):
        self.usn, self.name, self.on_part, self.parts, self.asked = 100000, name, None, 0, []
        self.invocation = b"\1" * 16
        self.cursors, self.shows_cursors = {}, None  # "replUpToDateVector" or "msDS-NCReplCursors"
        super().__init__(users)

    def marks(self, n):
        return {"objectGUID": [n.to_bytes(4, "little") + b"\0\0\0\x40\x80\0\0\0\0\0\0\1"], "uSNChanged": [str(n)]}

    def root(self):
        return {**super().root(), "highestCommittedUSN": [str(self.usn)], "dsServiceName": [self.service()], "defaultNamingContext": [BASE]}

    def service(self):
        return f"CN=NTDS Settings,CN={self.name},CN=Servers,CN=Configuration,{BASE}"

    def top(self, search):
        """As Active Directory stores its up-to-dateness vector, or as XML."""
        values = super().top(search)
        if self.shows_cursors == "replUpToDateVector":
            values[self.shows_cursors] = [struct.pack("<IIII", 2, 0, len(self.cursors), 0) + b"".join(
                invocation + struct.pack("<QQ", usn, 0) for invocation, usn in self.cursors.items())]
        elif self.shows_cursors:
            values[self.shows_cursors] = [
                f"<DS_REPL_CURSOR>\n\t<uuidSourceDsaInvocationID>{uuid.UUID(bytes_le=invocation)}</uuidSourceDsaInvocationID>\n"
                f"\t<usnAttributeFilter>{usn}</usnAttributeFilter>\n\t<pszSourceDsaDN></pszSourceDsaDN>\n</DS_REPL_CURSOR>\n"
                for invocation, usn in self.cursors.items()]
        return {name: of for name, of in values.items() if name != "replUpToDateVector" or b"replUpToDateVector" in search.attributes}

    def replicate_to(self, other):
        """It has all of this one's entries then, under numbers of its own, and says so by its cursors."""
        for dn in [dn for dn in other.entries if dn not in self.entries]:
            other.delete(dn)
        for dn, values in self.entries.items():
            there = other.entries.get(dn, {})
            if {**values, "uSNChanged": 0} != {**there, "uSNChanged": 0}:
                other.usn += 1
                other.entries[dn] = {**values, "uSNChanged": [str(other.usn)]}
        other.cursors = {**other.cursors, **self.cursors, self.invocation: self.usn}

    def put(self, dn, values, n=None):
        """A new entry with the n-th id, or one that has changed."""
        self.usn += 1
        marks = self.marks(n) if n else {"objectGUID": self.entries[dn]["objectGUID"]}
        self.entries[dn] = {**values, **marks, "uSNChanged": [str(self.usn)]}

    def delete(self, dn):
        self.usn += 1
        del self.entries[dn]

    def change(self, dn, **values):
        self.put(dn, {**self.entries[dn], **values})

    def show(self, search, values):
        shown = {}
        for asked in search.attributes:
            name, _, option = asked.decode().partition(";")
            of = values.get(name)
            low = int(option.partition("=")[2].partition("-")[0]) if option.startswith("range=") else 0
            if of is None or low > len(of):
                continue
            if low == 0 and len(of) <= self.VALUES_MAX:
                shown[name] = of
                continue
            part = of[low:low + self.VALUES_MAX]
            last = low + len(part) == len(of)
            shown[name] = []
            shown[f"{name};range={low}-{'*' if last else low + len(part) - 1}"] = part
        return shown

    def read(self, session, number, dn, search):
        if dn == self.service():
            self.by_names -= 1
            session.say(number, session.content(dn, {"invocationId": [self.invocation]}))
            session.say(number, session.result(0x65))
            return
        asked = [one.decode() for one in search.attributes if b";range=" in one]
        if asked and dn in self.entries:
            self.parts += 1
            name, low = re.match(r"(\w+);range=(\d+)-\*", asked[0]).groups()
            if self.on_part and self.on_part(session, number, dn, name, int(low)):
                return
            if dn in self.entries and int(low) >= len(self.entries[dn].get(name, [])):
                session.say(number, session.result(0x65, OPERATIONS_ERROR, "the range begins behind the last value"))
                return
        super().read(session, number, dn, search)

    def tell_changes(self, session, number, search):
        if search.filter[:2] == b"\xa0\xa2":  # (&(!filter)…): those that are no longer for us
            return
        since = int(re.search(rb"uSNChanged\x04.(\d+)", search.filter, re.DOTALL).group(1))
        self.asked.append(since)
        for dn, values in list(self.entries.items()):
            if int(values["uSNChanged"][0]) >= since:
                session.say(number, session.content(dn, self.show(search, values)))
