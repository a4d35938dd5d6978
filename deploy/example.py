# SPDX-License-Identifier: Apache-2.0
"""The example directory: uni.example as LDIF, the same every time for the same arguments.

50 people in five departments on two mailbox hosts, an alias or two for each kind, a group for each department, a list, and as many
more people as are asked for (u00001, ...). All have the same, public, password.

Hashes are slow on purpose, so a default hash is not made for each of thousands of people: they share a handful of values. Fast ones
(SSHA and its like) are made for each.
"""
import base64
import hashlib
import subprocess

DOMAIN = "uni.example"
BASE = "dc=uni,dc=example"
HOSTS = ("mb1.uni.example", "mb2.uni.example")
PASSWORD = "horse-relay-42"
SHARED_HASHES = 8

DEPARTMENTS = ("physics", "history", "medicine", "law", "library")
GIVEN = ("Ada", "Bruno", "Clara", "David", "Elena", "Felix", "Greta", "Hugo", "Ines", "Jonas",
         "Katja", "Leo", "Mara", "Nils", "Olga", "Paul", "Quentin", "Rosa", "Simon", "Thea",
         "Udo", "Vera", "Willem", "Xenia", "Yusuf", "Zoe", "Anton", "Berta", "Carl", "Dora",
         "Emil", "Frieda", "Georg", "Hanna", "Ivo", "Judit", "Karl", "Lena", "Max", "Nora",
         "Otto", "Petra", "Ralf", "Sofia", "Tom", "Ute", "Viktor", "Wanda", "Yann", "Zita")
FAMILY = ("Amsel", "Birke", "Cerny", "Distel", "Eiche", "Fink", "Ginster", "Hasel", "Iltis", "Jasmin")


def person(number):
    """uid, given name, family name, department, host of person 0 to 49."""
    given, family = GIVEN[number], FAMILY[(number * 7) % len(FAMILY)]
    return given.lower(), given, family, DEPARTMENTS[number % len(DEPARTMENTS)], HOSTS[number % len(HOSTS)]


def mailbox_id(uid):
    """Made from the name, so that the example is the same each time; a real directory gives out random ones."""
    digest = hashlib.sha256(b"mailbox " + uid.encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"


FAST = {"SSHA": "sha1", "SSHA512": "sha512"}


def salted(scheme, uid):
    """{SSHA}, {SSHA512}; the salt is made from the name, for the same reason."""
    algorithm = FAST[scheme]
    salt = hashlib.sha256(b"salt " + uid.encode()).digest()[:8]
    digest = hashlib.new(algorithm, PASSWORD.encode() + salt).digest()
    return f"{{{scheme}}}" + base64.b64encode(digest + salt).decode()


def hashes_by_posthouse(program, config, scheme):
    """userPassword and phScram lines as `posthouse directory password` makes them for our password; SHARED_HASHES pairs, as many salts."""
    command = [program, "-c", config, "directory", "password"] + (["--scheme", scheme] if scheme else []) + ["example"]
    values = []
    for _ in range(SHARED_HASHES):
        done = subprocess.run(command, input=PASSWORD + "\n", capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"posthouse directory password: {done.stderr.strip()}")
        lines = dict(line.split(": ", 1) for line in done.stdout.splitlines() if not line.startswith("#"))
        values.append((f"userPassword: {lines['userPassword']}", f"phScram: {lines['phScram']}"))
    return values


def entry(dn, classes, *lines):
    return f"dn: {dn}\n" + "".join(f"objectClass: {name}\n" for name in classes) + "".join(line + "\n" for line in lines if line) + "\n"


def ldif(users, scheme, pins, endpoint, program, config):
    """Yields the directory in pieces."""
    shared = hashes_by_posthouse(program, config, scheme)

    def secret(uid, number):
        hashed, scram = shared[number % SHARED_HASHES]
        return f"userPassword: {salted(scheme, uid)}\n{scram}" if scheme in FAST else f"{hashed}\n{scram}"

    yield "version: 1\n\n"
    yield entry(BASE, ("dcObject", "organization"), "dc: uni", "o: University of Example")
    for unit in ("people", "aliases", "groups", "domains", "hosts"):
        yield entry(f"ou={unit},{BASE}", ("organizationalUnit",), f"ou: {unit}")
    yield entry(f"associatedDomain={DOMAIN},ou=domains,{BASE}", ("phMailDomain",), f"associatedDomain: {DOMAIN}", "phDomainType: local")
    for host in HOSTS:
        yield entry(f"cn={host},ou=hosts,{BASE}", ("phMailHost",), f"cn: {host}", "phHostRole: mx", "phHostRole: submission",
                    "phHostRole: store", "phHostState: up", f"phHostEndpoint: lmtp=inet:{endpoint}", *(f"phHostTlsPin: {pin}" for pin in pins))
    for number in range(len(GIVEN)):
        uid, given, family, department, host = person(number)
        yield entry(f"uid={uid},ou=people,{BASE}", ("inetOrgPerson", "phMailUser"), f"uid: {uid}", f"cn: {given} {family}", f"sn: {family}",
                    f"givenName: {given}", f"ou: {department}", f"mail: {given.lower()}.{family.lower()}@{DOMAIN}",
                    f"mailLocalAddress: {uid}@{DOMAIN}", f"mailHost: {host}", f"phMailboxId: {mailbox_id(uid)}", secret(uid, number))
    for number in range(1, users + 1):
        uid = f"u{number:05d}"
        yield entry(f"uid={uid},ou=people,{BASE}", ("inetOrgPerson", "phMailUser"), f"uid: {uid}", f"cn: Person {number}", "sn: Person",
                    f"mail: {uid}@{DOMAIN}", f"mailHost: {HOSTS[number % 2]}", f"phMailboxId: {mailbox_id(uid)}", secret(uid, number))
    for name, target in (("postmaster", "ada"), ("abuse", "bruno"), ("webmaster", "clara")):
        yield entry(f"cn={name},ou=aliases,{BASE}", ("phMailAlias",), f"cn: {name}", f"mailLocalAddress: {name}@{DOMAIN}",
                    f"rfc822MailMember: {target}@{DOMAIN}")
    for department in DEPARTMENTS:
        members = [person(n)[0] for n in range(len(GIVEN)) if person(n)[3] == department]
        yield entry(f"cn={department},ou=groups,{BASE}", ("phMailGroup",), f"cn: {department}", f"mail: {department}@{DOMAIN}",
                    *(f"member: uid={uid},ou=people,{BASE}" for uid in members))
    yield entry(f"cn=everyone,ou=groups,{BASE}", ("groupOfNames", "phMailList"), "cn: everyone", f"mail: everyone@{DOMAIN}",
                f"phListErrorsTo: everyone-owner@{DOMAIN}", *(f"member: uid={person(n)[0]},ou=people,{BASE}" for n in range(len(GIVEN))))
    yield entry(f"cn=everyone-owner,ou=aliases,{BASE}", ("phMailAlias",), "cn: everyone-owner", f"mailLocalAddress: everyone-owner@{DOMAIN}",
                f"rfc822MailMember: ada@{DOMAIN}")
