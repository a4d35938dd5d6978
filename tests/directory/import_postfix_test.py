# SPDX-License-Identifier: Apache-2.0
"""Tables of Postfix, imported, loaded into a slapd and followed by a node, answer as Postfix's own postmap and postalias do of the same files.

Debian's Postfix is not installed but unpacked (deploy/packages postfix) into build/postfix, fetched once; its two programs run in a chroot there,
and no daemon. Where this process may not do that, it is skipped aloud.
"""
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from node import BIN, DEADLINE_S, Node, ROOT as SOURCE
from slapd import Directory

ROOT = os.path.join(SOURCE, "build", "postfix")
FETCH_S = 600
USERS = ("ann", "bob", "eve", "dan", "fay")

VIRTUAL = (
    "\ufeff# as an editor on Windows leaves it\r\n"
    "early.example  1\r\nlate@early.example ann\r\n"
    "shop.example\tanything\r\ninfo@shop.example   ann@uni.example bob@uni.example\r\nSALES@Shop.Example\tann@uni.example,\r\n\t\t,eve@uni.example\r\n"
    "# in between\r\n  dan\r\n\"john doe\"@shop.example eve\r\ntag+x@shop.example bob\r\ntag@shop.example ann\r\nwide@shop.example  outside@else.example, ann\r\n"
    "chain@shop.example info@shop.example,chain2@shop.example\r\nchain2@shop.example fay\r\nmoved@shop.example @moved.example\r\n"
    "@moved.example @uni.example\r\n@club.example fay@uni.example\r\nann@club.example ann@uni.example\r\nfoo.bar  dan\r\nsecretary ann,bob\r\n"
    "keep@shop.example keep@shop.example\r\n" + "".join(f"u{i}@many.example {USERS[i % 5]}, {USERS[(i + 1) % 5]}@uni.example\r\n" for i in range(500)))
ASKED_VIRTUAL = [
    "late@early.example", "info@shop.example", "sales@shop.example", "Sales@SHOP.example", '"john doe"@shop.example', "tag@shop.example", "tag+x@shop.example",
    "tag+y@shop.example", "wide@shop.example", "chain@shop.example", "ann@moved.example", "eve+z@moved.example", "any@club.example", "ann@club.example",
    "foo.bar@uni.example", "secretary@uni.example", *(f"u{i}@many.example" for i in range(0, 500, 7))]

ALIASES = (
    "# aliases(5)\npostmaster: root\nroot:\tann\n\"John Doe\": bob\nstaff: ann, bob,\n\t# folded\n   eve\nOffice : Staff , fay\nodd.name: \"dan\"\n"
    "far: x@else.example, ann\ncalls: \"|/usr/bin/prog -x\", dan\nfiled: /var/mail/x, eve\nlisted: :include:@LIST@, fay\nspaced:    ann   bob\n"
    "brackets: \"Doe, John\" <eve@uni.example>, Bob Builder <bob>\ncommented: ann (the first), bob\nback: \\ann\n")
ASKED_ALIASES = ["postmaster", "Root", "root", '"John Doe"', "staff", "office", "OFFICE", "odd.name", "far", "calls", "filed", "listed", "spaced", "brackets",
                 "commented", "back"]

TRANSPORT = (
    "partner.example\tsmtp:[192.0.2.25]:2525\n.partner.example   smtp:[192.0.2.26]\nchief@partner.example relay:[192.0.2.27]:submission\n"
    "UPPER.Example SMTP:[192.0.2.28]\nshut.example error:5.1.2 this domain is shut\nlater.example retry:4.3.0 come back\nsix.example smtp:[2001:db8::1]:25\n"
    "b\u00fccher.example smtp:[192.0.2.30]\ntwo.example smtp:[192.0.2.31],\n  [192.0.2.32]:26\nbox.example lmtp:unix:/var/run/x\n* relay:[192.0.2.29]\n")
ASKED_TRANSPORT = ["x@partner.example", "x@a.partner.example", "x@a.b.partner.example", "chief@partner.example", "Chief+x@partner.example", "x@upper.example",
                   "x@shut.example", "x@later.example", "x@six.example", "x@b\u00fccher.example", "x@two.example", "x@anywhere.example"]


def chroot(*command, text=""):
    return subprocess.run(["chroot", ROOT, *command], input=text, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def make_root():
    subprocess.run([os.path.join(SOURCE, "deploy", "packages"), "postfix", ROOT], check=True, timeout=FETCH_S, capture_output=True)
    os.makedirs(os.path.join(ROOT, "etc", "postfix"), exist_ok=True)
    for name, text in (
            ("passwd", "root:x:0:0::/:/bin/false\npostfix:x:64998:64998::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n"),
            ("group", "root:x:0:\npostfix:x:64998:\npostdrop:x:64997:\nnogroup:x:65534:\n"),
            ("postfix/main.cf", "compatibility_level = 3.6\nmyhostname = mx.uni.example\nmydomain = uni.example\n")):
        with open(os.path.join(ROOT, "etc", name), "w", encoding="ascii") as stream:
            stream.write(text)


class Postfix:
    """A table as Postfix has it: what its look-up program gives for keys."""

    def __init__(self, folder, name, text, program="postmap"):
        self.program, self.table = program, f"hash:/{os.path.basename(folder)}/{name}"
        with open(os.path.join(folder, name), "w", encoding="utf-8", newline="") as stream:
            stream.write(text.removeprefix("\ufeff"))  # which it would take for a part of the first key
        done = chroot(f"/usr/sbin/{program}", self.table)
        if done.returncode:
            raise AssertionError(done.stderr)
        listed = chroot(f"/usr/sbin/{program}", "-s", self.table).stdout
        self.keys = {line.partition("\t")[0].rstrip(":").lower() for line in listed.splitlines()}

    def get(self, key):
        done = chroot(f"/usr/sbin/{self.program}", "-q", key, self.table)
        return done.stdout.rstrip("\n") if done.returncode == 0 else None

    def first(self, keys):
        """As daemons ask: one key after the other. What -s does not list need not be asked for."""
        for key in keys:
            if key.lower() in self.keys:
                found = self.get(key)
                if found is not None:
                    return found
        return None


def parts(address):
    local, _, domain = address.rpartition("@")
    user, plus, _ = local.partition("+")
    return local, (user if plus and user and not local.startswith('"') else None), domain


def expand_virtual(table, address, seen=()):
    """virtual(5): which addresses an address becomes."""
    local, user, domain = parts(address)
    names = [name for name in (local, user) if name]
    keys = [f"{name}@{domain}" for name in names] + (names if domain == "uni.example" else []) + [f"@{domain}"]
    found = None if address in seen else table.first(keys)
    if found is None:
        return {f"{user or local}@{domain}" if domain == "uni.example" else address}
    targets = re.split(r"[,\s]+", found.strip(", \t"))
    whole = [f"{local}{one}" if one.startswith("@") else one if "@" in one else f"{one}@uni.example" for one in targets]
    return set().union(*(expand_virtual(table, one, (*seen, address)) for one in whole))


def expand_alias(table, name, seen=()):
    """aliases(5), in the form that local(8) reads: commands and files reach nobody."""
    found = None if name in seen else table.first([name.strip('"')])
    if found is None:
        return {name if "@" in name else f"{name}@uni.example"}
    reached = set()
    for one in re.findall(r'(?:"[^"]*"|<[^>]*>|\([^)]*\)|[^,"<(])+', found):
        one = re.sub(r"\([^)]*\)", "", one).strip()
        bracketed = re.search(r"<([^>]*)>", one)
        if bracketed:
            words = [bracketed.group(1)]
        elif one.strip('"').startswith("|") or one.startswith("/"):
            words = []
        elif one.startswith(":include:"):
            words = ["bob", "dan"]
        else:
            words = [word.strip('"').removeprefix("\\") for word in one.split()]
        for word in words:
            reached |= {word} if "@" in word else expand_alias(table, word.lower(), (*seen, name))
    return reached


class AsPostfix(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            make_root()
            done = chroot("/usr/sbin/postmap", "-q", "x", "inline:{x=y}")
        except PermissionError as error:
            raise unittest.SkipTest(f"skipped: no chroot for Postfix here: {error}") from error
        if done.stdout != "y\n":
            raise unittest.SkipTest(f"skipped: no chroot for Postfix here: {done.stderr}")
        cls.folder = tempfile.mkdtemp(dir=ROOT)
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        members = os.path.join(cls.folder, "members")
        with open(members, "w", encoding="ascii") as stream:
            stream.write("# of a list\nbob\ndan\n")
        tables = {"virtual": VIRTUAL, "aliases": ALIASES.replace("@LIST@", members), "transport": TRANSPORT}
        cls.tables = {kind: Postfix(cls.folder, kind, text, "postalias" if kind == "aliases" else "postmap") for kind, text in tables.items()}
        cls.node = Node(users=USERS, settings={"relayhost": "relay.else.example:25", "relayhost_tls": "none"})
        cls.addClassCleanup(cls.node.remove)
        cls.node.make_certificates()
        cls.directory = Directory(ldif=cls.node.directory_ldif().replace("version: 1\n\n", "")).start()
        cls.addClassCleanup(cls.directory.remove)
        cls.said = {}
        for kind, text in tables.items():
            path = os.path.join(cls.folder, kind + ".txt")
            with open(path, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
            done = subprocess.run([os.path.join(BIN, "posthouse"), "directory", "import", "--domain", "uni.example", "--domains", kind, path],
                                  capture_output=True, text=True, timeout=60, check=False)
            cls.said[kind] = done.returncode, done.stderr.replace(path, kind)
            cls.directory.master.load(done.stdout)
        cls.node.overrides.update(cls.directory.settings())
        cls.node.start()
        cls.addClassCleanup(cls.node.stop)

    def answers(self, addresses):
        """By address, what `posthouse why` says."""
        done = self.node.run("why", "--json", *addresses)
        found = {answer["address"]: answer for answer in map(json.loads, done.stdout.splitlines())}
        self.assertEqual(set(found), set(addresses), done.stderr)
        return found

    def reached(self, answer):
        return {target["address"] for target in answer["targets"]}

    def test_virtual(self):
        self.assertEqual(self.said["virtual"], (0, ""))
        for address, answer in self.answers(ASKED_VIRTUAL).items():
            self.assertEqual(self.reached(answer), expand_virtual(self.tables["virtual"], address), (address, answer))

    def test_aliases(self):
        code, said = self.said["aliases"]
        self.assertEqual((code, len(said.splitlines())), (1, 2), said)
        self.assertRegex(said, r"^aliases:11: calls: .*command.*\naliases:12: filed: .*file")
        asked = {name + "@uni.example": name for name in ASKED_ALIASES}
        for address, answer in self.answers(list(asked)).items():
            self.assertEqual(self.reached(answer), expand_alias(self.tables["aliases"], asked[address].lower()), (address, answer))

    def test_transport(self):
        code, said = self.said["transport"]
        self.assertEqual((code, len(said.splitlines())), (1, 1), said)
        self.assertRegex(said, "^transport:11: box.example: .*phMailHost")
        for address, answer in self.answers(ASKED_TRANSPORT).items():
            local, user, domain = parts(address)
            names = [f"{name}@{domain}" for name in (local, user) if name]
            above = [domain[at:] for at in range(len(domain)) if domain[at] == "."]
            wanted = self.tables["transport"].first([*names, domain, *above, "*"])
            kind, _, rest = wanted.partition(":")
            with self.subTest(address, wanted=wanted):
                if kind in ("error", "retry"):
                    self.assertEqual((answer["verdict"], answer["text"]), ({"error": "refuse", "retry": "defer"}[kind], rest.split(" ", 1)[1]))
                    continue
                self.assertEqual(answer["verdict"], "relay")
                hops = answer["targets"][0]["host"].removeprefix("esmtp:").split(";")[0].split(",")
                told = [hop.replace("submission", "587") for hop in re.split(r"[,\s]+", rest)]
                self.assertEqual([hop.removesuffix(":25").upper() for hop in hops], [hop.removesuffix(":25").upper() for hop in told])


if __name__ == "__main__":
    unittest.main()
