# SPDX-License-Identifier: Apache-2.0
"""deploy/ldap/README.md, followed word by word by an administrator who has a slapd as Debian's package sets it up, with people in it.

Only what the README says is to be set is set: the names in its first block. Below a folder of its own, as root: slapd is unpacked there and
never installed.
"""
import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import node
from slapd import ROOT, deployed

README = os.path.join(ROOT, "deploy", "ldap", "README.md")
ADMIN_PASSWORD, DEADLINE_S = "of the administrator", 60
BASE, HOST = "dc=uni,dc=example", "ldap.uni.example"
UIDS = {"root": 0, "openldap": 105}
# An overlay that an administrator has put on his database before, the first of its numbers.
MEMBEROF = """
dn: olcOverlay={0}memberof,olcDatabase={1}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcMemberOfConfig
olcOverlay: {0}memberof
"""
# The node finds HOST in a hosts file of its own. Where nothing can be mounted, HOST is set to the address instead.
MAY_MOUNT = os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


def blocks(kind, until=None):
    """The fenced blocks of a kind, before a heading or all."""
    with open(README, encoding="utf-8") as stream:
        text = stream.read()
    if until:
        text = text[:text.index(until)]
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, flags=re.M | re.S)


class StockSlapd:
    """Debian's slapd after its installation, below a root of its own: cn=config from the package's template, user openldap, no TLS."""

    def __init__(self, address, memberof=False):
        self.address, self.process = address, None
        programs = deployed.Programs()
        self.root = tempfile.mkdtemp(prefix="readme-", dir=os.path.dirname(programs.root))  # links need one file system
        subprocess.run(["cp", "-al", programs.root + "/.", self.root], check=True)
        for folder in ("dev", "tmp", "proc", "var/lib/ldap", "var/run/slapd", "etc/ldap/slapd.d", "etc/posthouse/tls"):
            os.makedirs(self.path(folder), exist_ok=True)
        for name, minor in (("null", 3), ("random", 8), ("urandom", 9)):
            os.mknod(self.path("dev", name), 0o20666, os.makedev(1, minor))
            os.chmod(self.path("dev", name), 0o666)
        self.write("etc/passwd", "".join(f"{name}:x:{n}:{n}::/:/bin/sh\n" for name, n in UIDS.items()))
        self.write("etc/group", "".join(f"{name}:x:{n}:\n" for name, n in UIDS.items()))
        self.write("etc/hosts", f"127.0.0.1 localhost\n{address} {HOST}\n")
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
        self.write("etc/ldap/admin.password", ADMIN_PASSWORD)
        os.chmod(self.path("etc/ldap/admin.password"), 0o600)
        shutil.copytree(os.path.join(ROOT, "deploy", "ldap"), self.path("posthouse/deploy/ldap"))
        with open(self.path("usr/share/slapd/slapd.init.ldif"), encoding="utf-8") as stream:
            template = stream.read()
        if memberof:
            template = template.replace("olcModuleLoad: back_mdb\n", "olcModuleLoad: back_mdb\nolcModuleLoad: memberof\n").rstrip("\n") + "\n" + MEMBEROF
        hashed = self.run("slappasswd", "-h", "{SSHA}", "-s", ADMIN_PASSWORD).strip()
        self.write("tmp/config.ldif", template.replace("@SUFFIX@", BASE).replace("@PASSWORD@", hashed))
        self.run("slapadd", "-F", "/etc/ldap/slapd.d", "-b", "cn=config", "-l", "/tmp/config.ldif")
        self.write("tmp/people.ldif", f"dn: {BASE}\nobjectClass: top\nobjectClass: dcObject\nobjectClass: organization\no: uni\ndc: uni\n\n"
                   f"dn: ou=people,{BASE}\nobjectClass: organizationalUnit\nou: people\n\n"
                   f"dn: uid=ada,ou=people,{BASE}\nobjectClass: inetOrgPerson\nuid: ada\ncn: Ada Amsel\nsn: Amsel\nmail: ada@uni.example\n"
                   f"userPassword: {node.ssha(node.PASSWORD)}\n\n"
                   + "".join(f"dn: uid=s{n},ou=people,{BASE}\nobjectClass: account\nuid: s{n}\n\n" for n in range(600)))
        self.run("slapadd", "-F", "/etc/ldap/slapd.d", "-b", BASE, "-l", "/tmp/people.ldif")
        for top in ("etc/ldap/slapd.d", "var/lib/ldap", "var/run/slapd"):
            for here, folders, files in os.walk(self.path(top)):
                for name in (".", *folders, *files):
                    os.chown(os.path.join(here, name), UIDS["openldap"], UIDS["openldap"])

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as stream:
            stream.write(text)

    def enter(self):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        os.chroot(self.root)
        os.chdir("/posthouse")

    def run(self, *command, input=None):
        """What it printed; AssertionError with all that was said when it failed."""
        done = subprocess.run(["/usr/bin/env", *command], preexec_fn=self.enter, input=input, capture_output=True, text=True, check=False,
                              timeout=DEADLINE_S, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "LC_ALL": "C"})
        if done.returncode != 0:
            raise AssertionError(f"{command[0]} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}\n{self.log()[-2000:]}")
        return done.stdout

    def start(self):
        """As its unit starts it, but on an address of loopback; its log to a file."""
        with open(self.path("tmp/log"), "ab") as log:
            self.process = subprocess.Popen(
                ["/usr/sbin/slapd", "-h", f"ldap://{self.address}/ ldapi:///", "-u", "openldap", "-g", "openldap", "-F", "/etc/ldap/slapd.d",
                 "-d", "stats,sync"], preexec_fn=self.enter, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + DEADLINE_S
        while not deployed.listens_on(self.address, 389) or not os.path.exists(self.path("var/run/slapd/ldapi")):
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(self.log())
            time.sleep(0.05)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(DEADLINE_S)

    def log(self):
        if not os.path.exists(self.path("tmp/log")):
            return ""
        with open(self.path("tmp/log"), encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def remove(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def search(self, filter, *attributes, who=(), more=()):
        return self.run("ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-H", "ldapi:///", *who, *more, "-b", BASE, filter, *attributes)


@unittest.skipUnless(os.geteuid() == 0, "slapd as its package starts it changes its user")
class Base(unittest.TestCase):
    memberof = False
    sync = ("-D", f"cn=ldapsync,ou=services,{BASE}", "-y", "/etc/ldap/ldapsync.password")

    @classmethod
    def setUpClass(cls):
        cls.node = node.Node()
        if MAY_MOUNT:
            cls.node.wrapper = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0/hosts" /etc/hosts && exec "$@"', cls.node.dir)
        cls.slapd = None
        try:
            cls.slapd = StockSlapd(cls.node.address, cls.memberof)
            cls.slapd.start()
            cls.node.make_certificates()
            shutil.copyfile(cls.node.path("node.pem"), cls.slapd.path("etc/posthouse/tls/node.pem"))
            pin = cls.slapd.run("sh", "-c", blocks("pin")[0]).strip()
            names, *rest = blocks("sh", until="## 10. Somebody new")
            names = cls.replaced(names, r"PIN=.*", f"PIN={pin}")
            if not MAY_MOUNT:
                names = cls.replaced(names, r"HOST=.*", f"HOST={cls.node.address}")
            cls.names = cls.replaced(names, r"LMTP=.*", f"LMTP={cls.node.address}:{cls.node.ports['lmtp']}")
            cls.helpers = rest[0]
            cls.said = cls.slapd.run("sh", "-eu", "-c", "\n".join((cls.names, *rest)))
            if blocks("restart") != ["systemctl restart slapd\n"]:
                raise AssertionError("the README restarts slapd in another way")
            cls.slapd.stop()
            cls.slapd.start()
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        if cls.slapd:
            cls.slapd.remove()
        cls.node.remove()

    @staticmethod
    def replaced(text, pattern, value):
        text, n = re.subn("^" + pattern + "$", value, text, flags=re.M)
        if n != 1:
            raise AssertionError(f"the README has no {pattern}")
        return text

    def follow(self, script):
        return self.slapd.run("sh", "-eu", "-c", "\n".join((self.names, self.helpers, script)))

    def test_an_address_has_one_owner(self):
        with self.assertRaisesRegex(AssertionError, "non-unique attributes found"):
            self.follow(f"data -a <<END\ndn: uid=ada2,ou=people,{BASE}\nobjectClass: inetOrgPerson\nuid: ada2\ncn: x\nsn: x\nmail: ada@uni.example\nEND\n")

    def told_of_a_delete(self, uid, restart):
        """What slapd says to whoever was away when somebody went."""
        csn = re.search(r"contextCSN: (\S+)", self.slapd.search("(objectClass=*)", "contextCSN", who=self.sync, more=("-s", "base")))[1]
        self.follow(f'ldapdelete -x -H ldapi:/// -D "$ADMIN" -y "$ADMIN_PASSWORD_FILE" uid={uid},ou=people,{BASE}')
        if restart:
            self.slapd.stop()
            self.slapd.start()
        before = len(self.slapd.log())
        self.assertEqual(self.slapd.search("(objectClass=*)", "1.1", who=self.sync, more=("-E", f"!sync=ro/rid=000,csn={csn}")).count("dn: "), 0)
        return self.slapd.log()[before:]

    def test_whoever_was_away_is_told_the_changes_only_also_after_a_restart(self):
        for uid, restart in (("s0", False), ("s1", True)):
            told = self.told_of_a_delete(uid, restart)
            self.assertIn("syncprov_sendinfo: delete syncIdSet", told)
            self.assertNotIn("syncprov_sendinfo: present syncIdSet", told)


class Readme(Base):
    def start_node(self):
        """With the settings of the README, its files where it says, and HOST a name that resolves."""
        shutil.copyfile("/etc/hosts", self.node.path("hosts"))
        with open(self.node.path("hosts"), "a", encoding="ascii") as stream:
            stream.write(f"\n{self.slapd.address} {HOST}\n")
        for source, target, mode in (("etc/ldap/ldapsync.password", "ldap.password", 0o640), ("etc/ldap/tls/slapd.pem", "ldap-ca.pem", 0o644)):
            shutil.copyfile(self.slapd.path(source), self.node.path(target))
            os.chmod(self.node.path(target), mode)
        for name, value in re.findall(r"^(\w+) = (.*)$", blocks("conf")[0], flags=re.M):
            value = value.replace("/etc/posthouse/", self.node.dir + "/")
            value = value if MAY_MOUNT else value.replace(HOST, self.node.address)
            self.node.overrides[name] = re.findall(r'"([^"]*)"', value) if value.startswith("{") else value.strip('"')
        self.node.overrides["shadow_ldif"] = ""
        self.node.start()

    def test_a_node_follows_and_somebody_who_was_just_added_receives_mail(self):
        """Steps 9 and 10."""
        self.start_node()
        self.addCleanup(self.node.stop)
        commands = blocks("node")[0].splitlines()
        self.assertEqual(len(commands), 3)
        for command in commands:
            said = self.as_on_the_node(command)
        self.assertIn("uid=ada,ou=people", said)
        self.assertEqual(self.node.why("bob@uni.example")["code"], 550)
        self.follow(blocks("sh")[-1])
        self.node.wait(lambda: self.node.why("bob@uni.example")["code"] == 250, "bob to be known")
        with self.node.smtp() as smtp:
            smtp.sendmail("friend@elsewhere.example", ["bob.birke@uni.example"], node.message("welcome"))
        made, loaded = blocks("password")[0].splitlines()
        command = made.removesuffix(" > bob.ldif").split()[1:]
        self.slapd.write("posthouse/bob.ldif", self.node.run(*command, input=node.PASSWORD + "\n", check=0).stdout)
        self.follow(loaded)
        self.assertIn(b"Subject: welcome", self.node.wait_messages(1, "bob")[0])
        # What was made for Posthouse lets him in at slapd as well, as it was installed.
        self.assertIn("uid: bob", self.slapd.search("(uid=bob)", "uid", who=("-D", f"uid=bob,ou=people,{BASE}", "-w", node.PASSWORD)))
        with self.assertRaisesRegex(AssertionError, "Invalid credentials"):
            self.slapd.search("(uid=bob)", "uid", who=("-D", f"uid=bob,ou=people,{BASE}", "-w", node.PASSWORD + "!"))
        self.more_entries()
        self.assertEqual(self.node.unexpected_errors(), [])

    def as_on_the_node(self, command):
        """Where HOST resolves, as for its daemons."""
        done = subprocess.run([*self.node.wrapper, os.path.join(node.BIN, "posthouse"), "-c", self.node.config, *command.split()[1:]],
                              capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def more_entries(self):
        """Step 11: each example is taken by slapd as it stands, and decides what the README says behind it."""
        for script in blocks("more"):
            self.follow(script)
        lines = [re.fullmatch(r"posthouse (why .*\S) +# (.*)", line) for line in blocks("why")[0].splitlines()]
        self.assertGreater(len(lines), 10)
        login = [line for line in lines if "--login" in line[1]]
        for line in lines:
            command, wanted = line[1].split(), line[2]
            if line in login:
                self.node.wait(lambda: json.loads(self.node.run(*command, "--json").stdout).get("class"), "the class of service")
                said = json.loads(self.node.run(*command, "--json").stdout)
                granted = [name for name in ("imap", "pop3", "submission") if said["services"][name]["granted"]]
                said = f"{', '.join(granted)}; {said['limits']['phQuotaBytes']['value']} bytes in the mailbox"
            else:
                said = json.loads(self.node.run(*command, "--json").stdout)
                reached = ["thrown away"] if said["verdict"] == "discard" else sorted(target["address"] for target in said["targets"])
                said = " ".join((str(said["code"]), *reached))
            with self.subTest(line[1]):
                self.assertEqual(said, wanted)
        self.assertEqual(len(login), 1)

    def test_a_node_would_be_let_in(self):
        self.assertRegex(self.said, r"(?m)^contextCSN: \d{14}\.\d{6}Z#")
        self.assertRegex(self.slapd.log(), r"TLS established")

    def test_the_sync_identity_reads_all_and_others_what_they_did_before(self):
        self.follow(f"data <<'END'\ndn: uid=ada,ou=people,{BASE}\nchangetype: modify\nadd: phScram\nphScram: SCRAM-SHA-256$1:x$x:x\nEND\n")
        secrets = ("userPassword", "phScram", "mail")
        mine = self.slapd.search("(uid=ada)", *secrets, who=self.sync)
        for name in secrets:
            self.assertRegex(mine, rf"(?m)^{name}:")
        others = self.slapd.search("(uid=ada)", *secrets)
        self.assertRegex(others, r"(?m)^mail:")
        self.assertNotRegex(others, r"(?m)^(userPassword|phScram):")
        self.assertGreater(self.slapd.search("(objectClass=*)", "1.1", who=self.sync).count("dn: "), 600)
        with self.assertRaisesRegex(AssertionError, "Size limit exceeded"):
            self.slapd.search("(objectClass=*)", "1.1")

    def test_a_node_where_nobody_logs_in_needs_no_hashes(self):
        """Its identity reads what the router needs, and is told changes; no hash, neither in an entry nor in the log of changes."""
        self.follow(blocks("front")[0])
        front = ("-D", f"cn=frontsync,ou=services,{BASE}", "-y", "/etc/ldap/frontsync.password")
        self.follow(f"data <<'END'\ndn: uid=s2,ou=people,{BASE}\nchangetype: modify\nadd: objectClass\nobjectClass: phMailUser\n-\nadd: phScram\n"
                    f"phScram: SCRAM-SHA-256$1:s$t:r\n-\nadd: phAppPassword\nphAppPassword: x:*:{{SSHA}}x\n-\nadd: userPassword\nuserPassword: {{SSHA}}secret\n-\nadd: mail\n"
                    "mail: s2@uni.example\nEND\n")
        secrets = ("userPassword", "phScram", "phAppPassword")
        mine = self.slapd.search("(uid=s2)", "mail", *secrets, who=front)
        self.assertRegex(mine, r"(?m)^mail:")
        self.assertNotRegex(mine, r"(?m)^(userPassword|phScram|phAppPassword):")
        self.assertRegex(self.slapd.search("(uid=s2)", *secrets, who=self.sync), r"(?m)^phAppPassword:")  # as before
        self.assertGreater(self.slapd.search("(objectClass=*)", "1.1", who=front).count("dn: "), 600)
        logged = self.slapd.run("ldapsearch", "-x", "-LLL", "-H", "ldapi:///", *front, "-b", "cn=accesslog", "(objectClass=*)", "*", "+")
        self.assertIn("reqDN: uid=s2,", logged)
        self.assertNotIn("reqMod", logged)
        csn = re.search(r"contextCSN: (\S+)", self.slapd.search("(objectClass=*)", "contextCSN", who=front, more=("-s", "base")))[1]
        self.follow(f'ldapdelete -x -H ldapi:/// -D "$ADMIN" -y "$ADMIN_PASSWORD_FILE" uid=s3,ou=people,{BASE}')
        before = self.slapd.log().count("syncprov_sendinfo: delete syncIdSet")
        told = self.slapd.search("(objectClass=*)", "1.1", who=front, more=("-E", f"!sync=ro/rid=000,csn={csn}"))
        self.assertEqual(told.count("dn: "), 0, told)
        self.assertGreater(self.slapd.log().count("syncprov_sendinfo: delete syncIdSet"), before)

    def test_people_read_no_hash_of_others(self):
        self.follow(f"data <<'END'\ndn: uid=s4,ou=people,{BASE}\nchangetype: modify\nadd: objectClass\nobjectClass: phMailUser\n-\nadd: phScram\n"
                    "phScram: SCRAM-SHA-256$1:s$t:r\n-\nadd: userPassword\nuserPassword: {SSHA}secret\nEND\n")
        ada = ("-D", f"uid=ada,ou=people,{BASE}", "-w", node.PASSWORD)
        self.assertRegex(self.slapd.search("(uid=s4)", "uid", who=ada), r"(?m)^uid: s4")
        for who in ("uid=s4", "uid=ada"):
            self.assertNotRegex(self.slapd.search(f"({who})", "*", "userPassword", "phScram", "phAppPassword", who=ada), r"(?m)^(phScram|phAppPassword):")
        self.assertNotRegex(self.slapd.search("(uid=s4)", "*", "userPassword", who=ada), r"(?m)^userPassword:")
        self.assertEqual(self.slapd.search("(phScram=*)", "1.1", who=ada), "")  # nor may they ask by it

    def test_indexes(self):
        told = self.slapd.run("ldapsearch", "-Q", "-LLL", "-Y", "EXTERNAL", "-H", "ldapi:///", "-b", "cn=config", f"(olcSuffix={BASE})", "olcDbIndex")
        names = {name for line in re.findall(r"olcDbIndex: (\S+) eq", told) for name in line.split(",")}
        self.assertLessEqual({"mail", "mailLocalAddress", "phIntlAddress", "phMailboxId", "phLoginAlias", "uid", "objectClass", "entryUUID",
                              "entryCSN"}, names)


class WithMemberof(Base):
    """Step 4 where an overlay has {0} already: syncprov and the others come behind it, and it does what it did."""
    memberof = True

    def test_the_overlays_stand_behind_it(self):
        told = self.slapd.run("ldapsearch", "-Q", "-LLL", "-Y", "EXTERNAL", "-H", "ldapi:///", "-b", "cn=config", "(olcOverlay=*)", "olcOverlay")
        own = re.findall(r"dn: olcOverlay=(\S+),olcDatabase=\{1\}mdb,", told)
        self.assertEqual(sorted(own), ["{0}memberof", "{1}syncprov", "{2}accesslog", "{3}unique"])

    def test_memberof_goes_on(self):
        self.follow(f"data -a <<END\ndn: cn=team,{BASE}\nobjectClass: groupOfNames\ncn: team\nmember: uid=ada,ou=people,{BASE}\nEND\n")
        self.assertIn(f"memberOf: cn=team,{BASE}", self.slapd.search("(uid=ada)", "memberOf"))


del Base  # else unittest would run what both share once more


if __name__ == "__main__":
    unittest.main()
