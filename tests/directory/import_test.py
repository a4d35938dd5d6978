# SPDX-License-Identifier: Apache-2.0
"""`posthouse directory import`: the tables of sendmail and Postfix in tests/directory/tables, as LDIF that a node serves and a slapd loads.

What is left out is said with its line; what is there has the fate that the table says."""
import os
import subprocess
import tempfile
import unittest

from nexthop import NextHop
from node import BIN, Node, NodeTest, message, user_ldif
from slapd import Directory

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tables")
KINDS = ("mailertable", "transport", "access", "virtusertable", "virtual", "genericstable", "aliases")
BASE = "dc=uni,dc=example"


class Tables:
    """The tables, with the paths of their includes."""

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="posthouse-test-")
        for name in os.listdir(HERE):
            with open(os.path.join(HERE, name), encoding="utf-8") as stream:
                self.write(name, stream.read().replace("@TABLES@", self.dir.name))

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8", newline="") as stream:
            stream.write(text)

    def run(self, kind, *options, file=None, domain="uni.example"):
        return subprocess.run([os.path.join(BIN, "posthouse"), "directory", "import", "--domain", domain, *options, kind,
                               self.path(file or kind)], capture_output=True, timeout=60)

    def ldif(self, kind, *options, **named):
        return self.run(kind, *options, **named).stdout.decode()

    def complaints(self, kind, *options, **named):
        """[(file, line, rest)]"""
        done = self.run(kind, *options, **named)
        found = []
        for line in done.stderr.decode().splitlines():
            path, number, rest = line.split(":", 2)
            found.append((os.path.basename(path), int(number), rest.strip()))
        return done.returncode, found


class LeftOut(unittest.TestCase):
    """What is complained of: line, key, and a word of the reason. All at once, and nothing else."""
    WANTED = {
        "mailertable": [("mailertable", 7, "uucp.example", "mailer"), ("mailertable", 8, "note: waits.example", "MX")],
        "transport": [("transport", 7, "lists.example", "mailer")],
        "access": [("access", 13, "Connect:dialup.example", "names need DNS"), ("access", 14, "note: GreetPause", "1 row"),
                   ("access", 15, "0.0.0.0/0", "too large a network"), ("access", 17, "from:Twice.Example", "in line 16")],
        "virtusertable": [("virtusertable", 9, "ann+*@shop.example", "pattern of details")],
        "virtual": [("virtual", 10, "copy@shop.example", "phForwardKeepCopy"), ("virtual", 12, "pong@shop.example", "back to itself")],
        "genericstable": [("genericstable", 4, "@host.uni.example", "whole domain")],
        "aliases": [("list", 4, "secretary", "command"), ("aliases", 13, "robot", "command"), ("aliases", 14, "archive", "file"),
                    ("aliases", 15, "both", "command"), ("aliases", 18, "relative", "not absolute"), ("circle", 1, "circle", "includes itself"),
                    ("aliases", 19, "Office", "in line 4"), ("aliases", 12, "bob", "phForwardKeepCopy"), ("aliases", 17, "rang", "back to itself"), ("aliases", 21, "away", "refuses mail")],
    }

    def setUp(self):
        self.tables = Tables()

    def tearDown(self):
        self.tables.dir.cleanup()

    def test_each_with_its_line(self):
        for kind, wanted in self.WANTED.items():
            code, found = self.tables.complaints(kind)
            with self.subTest(kind):
                self.assertEqual(code, 1)
                self.assertEqual(len(found), len(wanted), found)
                for file, line, key, word in wanted:
                    self.assertTrue(any(f[0] == file and f[1] == line and f[2].startswith(key + ": ") and word in f[2] for f in found),
                                    (file, line, key, word, found))

    def test_nothing_of_commands_and_files_is_written(self):
        for text in ("|", "/usr/bin", "/var/mail", ":include:", "robot@", "archive@"):
            self.assertNotIn(text, self.tables.ldif("aliases"), text)

    def members(self, right, kind="aliases"):
        self.tables.write("one", (f"x: {right}\n" if kind == "aliases" else f"x@shop.example {right}\n"))
        return [line.split(": ", 1)[1].removesuffix("@uni.example") for line in self.tables.ldif(kind, file="one").splitlines()
                if line.startswith("rfc822MailMember:")]

    def test_forms_of_members(self):
        for right, wanted in (
                ("a, b,,c", ["a", "b", "c"]), ("a b", ["a", "b"]), ("a,A, a", ["a"]), ('"a b", c', ['"a b"', "c"]), ("\\a", ["a"]),
                ('"Doe, John" <a@b.example>, c', ["a@b.example", "c"]), ("a (John, ann\\)), b", ["a", "b"]), ('"a,b"@c.example', ['"a,b"@c.example']),
                ("(x, y) a, b", ["a", "b"]), ("A@B.Example", ["A@b.example"]), ("a,\n\tb,\n# c,\n d", ["a", "b", "d"]), ('"unclosed, a', []), ("a@, b", ["b"]),
                ('"|prog a,b", c', ["c"]), ("| prog, c", ["c"]), ('"/file", c', ["c"]), ('"/file"@b.example, c', ["c"])):
            self.assertEqual(self.members(right), wanted, right)
        for right, wanted in (("a@b.example c@d.example", ["a@b.example", "c@d.example"]), ("@other.example", ["x@other.example"]),
                              ("%1@other.example", ["%1@other.example"])):
            self.assertEqual(self.members(right, "virtual"), wanted, right)
        self.assertEqual(self.members(f":include:{self.tables.path('list')}, a", "virtual"), ["a"])
        self.assertEqual(self.members("%1-%2%3@other.example", "virtusertable"), ["x-@other.example"])

    def test_targets_of_transport(self):
        ldif = self.tables.ldif("transport")
        for target in (": smtp:[192.0.2.26]:587", ": local:", ": smtp:[192.0.2.30],[192.0.2.31]", ": error:5.1.2 nobody is there any more"):
            self.assertIn(f"phRouteTarget{target}\n", ldif)

    def test_many_members_are_a_list(self):
        for n, kind in ((100, "phMailAlias"), (101, "phMailList")):
            self.tables.write("many", "many: " + ",\n ".join(f"m{i}" for i in range(n)) + "\n")
            self.assertIn(f"objectClass: {kind}\n", self.tables.ldif("aliases", file="many"))

    def test_actions_of_postfix(self):
        rows = (("192.0.2.1 REJECT", "REJECT"), ("192.0.2.1 REJECT go away", "ERROR:554 go away"), ("192.0.2.1 DUNNO", "SKIP"),
                ("192.0.2.1 PERMIT", "OK"), ("192.0.2.1 DEFER", "ERROR:4.7.1:450 try again later"), ("192.0.2.1 HOLD why", "QUARANTINE:why"),
                ("192.0.2.1\tDISCARD\tquietly", "DISCARD"), ("192.0.2.1 554 5.7.1 no", "554 5.7.1 no"))
        for row, wanted in rows:
            self.tables.write("postfix", row + "\n")
            ldif = self.tables.ldif("access", "--tag", "Connect", file="postfix")
            self.assertIn(f"phAccessKey: Connect:192.0.2.1\nphAccessAction: {wanted}\n", ldif)
        for row, wanted in (("a.example 1763800000", "OK"), ("a.example 1", "OK"), ("a.example 550", "550"), ("a.example WARN odd", "SKIP"),
                            ("a.example DEFER_IF_PERMIT busy", "ERROR:450 busy")):
            self.tables.write("postfix", row + "\n")
            self.assertIn(f"phAccessKey: From:a.example\nphAccessAction: {wanted}\n", self.tables.ldif("access", "--tag", "From", file="postfix"))
        for row, said in (("a.example FILTER smtp:[192.0.2.1]", "phMailRoute"), ("a.example REDIRECT x@y.example", "alias"),
                          ("a.example permit_sasl_authenticated, reject", "main.cf")):
            self.tables.write("postfix", row + "\n")
            self.assertIn(said, self.tables.complaints("access", "--tag", "From", file="postfix")[1][0][2])
        for row in ("192.0.2.1 PREPEND X: y", "192.0.2.1 permit_mynetworks", "a.example RELAY"):
            self.tables.write("postfix", row + "\n")
            self.assertEqual(self.tables.run("access", "--tag", "From", file="postfix").returncode, 1, row)

    def test_tags_of_sendmail_that_are_none_here(self):
        """Rows without which nothing is missing are left out with one line for each tag; of others that is asked for."""
        self.tables.write("tags", "GreetPause:127 0\nGreetPause: 5000\nClientRate: 10\ngreetpause:localhost 0\nClientConn:IPv6:::1 0\nFrom:a.example OK\n")
        code, found = self.tables.complaints("access", file="tags")
        self.assertEqual((code, [(line, rest.split(":")[1].strip(), rest.split()[2]) for _, line, rest in found]),
                         (0, [(1, "GreetPause", "3"), (3, "ClientRate", "1"), (5, "ClientConn", "1")]))
        self.assertEqual(self.tables.ldif("access", file="tags").count("phAccessKey:"), 1)
        self.tables.write("tags", "TLS_Clt:192.0.2.1 ENCR:112\nTLS_Clt:192.0.2.2 ENCR:112\nAuthInfo:out.example U:me P:secret\nNew_Tag:x y\n")
        code, found = self.tables.complaints("access", file="tags")
        self.assertEqual((code, len(found)), (1, 4))
        self.assertNotIn("secret", str(found))
        code, found = self.tables.complaints("access", "--skip", "tls_clt,AuthInfo:,new_tag", file="tags")
        self.assertEqual((code, [line for _, line, _ in found]), (0, [1, 3, 4]), found)
        self.assertIn("2 rows with this tag are left out: as --skip says", found[0][2])

    def test_domains_of_virtual(self):
        """Any word may follow a domain; a name with a dot is an alias where nothing says that it is a domain."""
        self.tables.write("virtual2", "\ufeffshop.example 1\nu@shop.example ann\nall.example x\n@all.example ann\nold.example VIRTUAL\nfoo.bar ann\n"
                          "pair.example ann, bob\nu@pair.example ann\n")
        ldif = self.tables.ldif("virtual", file="virtual2")
        self.assertEqual([line.split(": ")[1] for line in ldif.splitlines() if line.startswith("associatedDomain:")],
                         ["shop.example", "all.example", "old.example"])
        self.assertEqual([line.split(": ")[1] for line in ldif.splitlines() if line.startswith("mail:")],
                         ["u@shop.example", "foo.bar@uni.example", "pair.example@uni.example", "u@pair.example"])

    def test_mailers_that_are_none_here(self):
        self.tables.write("lmtp", "a.example lmtp:unix:/run/x\nb.example lmtp:inet:[192.0.2.1]:24\nc.example mailman:\nd.example virtual:\n")
        code, found = self.tables.complaints("transport", file="lmtp")
        self.assertEqual((code, [line for _, line, _ in found]), (1, [1, 2, 3]))
        self.assertTrue("phMailHost" in found[0][2] and "phMailHost" in found[1][2] and "esmtp:[host]:port" in found[2][2], found)
        self.assertIn("phRouteKey: d.example\nphRouteTarget: local:\n", self.tables.ldif("transport", file="lmtp"))

    def test_targets_that_are_wrong(self):
        self.tables.write("targets", "a.example esmtp:[gw]:99999\nb.example gw.b.example\nc.example uucp:c\n")
        code, found = self.tables.complaints("mailertable", file="targets")
        self.assertEqual((code, [rest.split("; ")[1] for _, _, rest in found]),
                         (1, ["write esmtp:[host]:port"] * 2 + ["send it to a server that can do this: esmtp:[host]:port"]))

    def test_patterns(self):
        """Rows of Postfix's regexp and pcre tables are named as what they are."""
        self.tables.write("patterns", "/^x-(.*)@uni\\.example$/ $1@uni.example\nif /example$/\n!/^a@/ b@uni.example\nendif\nc@shop.example ann\n")
        for kind, word in (("virtual", "addresses"), ("transport", "domains"), ("access", "networks")):
            code, found = self.tables.complaints(kind, file="patterns")
            with self.subTest(kind):
                self.assertEqual((code, [line for _, line, rest in found if f"is a pattern, and there are none here; write the {word}" in rest.replace(
                    "addresses, domains or networks", "networks")]), (1, [1, 2, 3, 4]), found)
        self.assertIn("mail: c@shop.example\n", self.tables.ldif("virtual", file="patterns"))

    def test_a_table_that_is_whole(self):
        self.tables.write("whole", "a.example smtp:[192.0.2.1]\r\n\r\n#b.example nonsense\r\n")
        done = self.tables.run("transport", file="whole")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"phRouteKey: a.example\nphRouteTarget: smtp:[192.0.2.1]\n", done.stdout)

    def test_a_note_leaves_nothing_out(self):
        self.tables.write("mx", "a.example esmtp:mx.a.example\n")
        code, found = self.tables.complaints("mailertable", file="mx")
        self.assertEqual((code, len(found)), (0, 1))
        self.assertIn("phRouteTarget: esmtp:mx.a.example\n", self.tables.ldif("mailertable", file="mx"))

    def test_the_same_twice(self):
        for kind in KINDS:
            self.assertEqual(self.tables.ldif(kind), self.tables.ldif(kind), kind)

    def test_include_is_no_link_and_no_device(self):
        os.symlink(self.tables.path("list"), self.tables.path("link"))
        os.mkfifo(self.tables.path("fifo"))
        self.tables.write("odd", "".join(f"{n}: :include:{self.tables.path(n)}, ann\n" for n in ("link", "fifo", "absent")) + "dev: :include:/dev/zero\n")
        code, found = self.tables.complaints("aliases", file="odd")
        self.assertEqual((code, [line for _, line, _ in found]), (1, [1, 2, 3, 4]), found)

    def test_deep_includes_end(self):
        for i in range(12):
            self.tables.write(f"deep{i}", f"m{i}\n:include:{self.tables.path(f'deep{i + 1}')}\n")
        self.tables.write("deep12", "end\n")
        self.tables.write("deep", f"deep: :include:{self.tables.path('deep0')}\n")
        code, found = self.tables.complaints("aliases", file="deep")
        self.assertEqual((code, len(found)), (1, 1), found)
        self.assertIn("more than 8 deep", found[0][2])
        ldif = self.tables.ldif("aliases", file="deep")
        self.assertIn("rfc822MailMember: m7@uni.example\n", ldif)
        self.assertNotIn("m8@", ldif)

    def test_a_chain_as_long_as_the_file(self):
        self.tables.write("chain", "".join(f"a{i}: a{i + 1}\n" for i in range(100000)) + "a100000: a0\n")
        code, found = self.tables.complaints("aliases", file="chain")
        self.assertEqual((code, [line for _, line, _ in found]), (1, [100001]))

    def test_a_large_table(self):
        self.tables.write("large", "".join(f"u{i}@d{i % 100}.example  a{i}@uni.example, b{i}@uni.example\n" for i in range(300000)))
        done = self.tables.run("virtual", "--domains", file="large")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual((done.stdout.count(b"\nrfc822MailMember: "), done.stdout.count(b"\nassociatedDomain: ")), (600000, 100))

    def test_usage(self):
        for arguments in (["aliases"], ["nokind", "x"], ["--tag", "Nobody", "access", "x"], ["--base"]):
            done = subprocess.run([os.path.join(BIN, "posthouse"), "directory", "import", *arguments], capture_output=True, timeout=60)
            self.assertEqual(done.returncode, 2, arguments)
        self.assertEqual(self.tables.run("aliases", file="absent").returncode, 2)

    def test_what_a_manual_says(self):
        done = subprocess.run([os.path.join(BIN, "posthouse"), "manual", "posthouse.1"], capture_output=True, text=True, timeout=60)
        for kind in KINDS:
            self.assertIn(kind, done.stdout)


class Served(NodeTest):
    """The LDIF behind the directory of a node: mail goes where the table said."""

    @classmethod
    def start_node(cls):
        cls.hop = NextHop(cls.node.address)
        cls.addClassCleanup(cls.hop.close)
        cls.tables = tables = Tables()
        cls.addClassCleanup(tables.dir.cleanup)
        with open(tables.path("mailertable"), encoding="utf-8") as stream:
            rows = stream.read().replace("[gw.partner.example]:2525", cls.hop.address)
        tables.write("mailertable", "".join(row for row in rows.splitlines(True) if "waits.example" not in row))
        cls.node.users = ("ann", "bob")
        cls.node.extra_ldif = user_ldif("eve", extra="phLoginAlias: evelog\n") + "".join(
            tables.ldif(kind, "--domains") for kind in ("mailertable", "access", "virtusertable", "aliases"))
        cls.node.start()

    def fate(self, address):
        why = self.node.why(address)
        return why["code"], sorted(target["address"] for target in why["targets"])

    def delivered_to(self, login, subject):
        return self.node.wait(lambda: [m for m in self.node.messages(login) if f"Subject: {subject}".encode() in m], f"{subject} at {login}")

    def test_check_has_nothing_against_it(self):
        done = self.node.run("check")
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    def test_why_says_what_the_tables_said(self):
        ann, bob, eve = (f"{name}@uni.example" for name in ("ann", "bob", "eve"))
        for address, code, targets in (
                # virtusertable
                ("info@shop.example", 250, [ann]), ("info+x@shop.example", 250, [ann]), ('"John Doe"@shop.example', 250, [eve]),
                ("gone@shop.example", 550, []), ("busy@shop.example", 450, []), ("other@shop.example", 550, []),
                ("anybody@club.example", 250, [bob]), ("ann@moved.example", 250, [ann]), ("eve+x@moved.example", 250, [eve]),
                ("nobody@moved.example", 550, []),
                # aliases
                ("postmaster@uni.example", 250, [ann]), ("Root@uni.example", 250, [ann]), ("office@uni.example", 250, [ann, bob, eve]),
                ("secretary@uni.example", 250, [ann, bob, eve]), ('"john doe"@uni.example', 250, [bob]), ("ann@uni.example", 250, [ann]),
                ("rang@uni.example", 250, [ann]), ("robot@uni.example", 550, []), ("moved@uni.example", 550, []), ("away@uni.example", 550, []), ("staff@uni.example", 250, [ann, bob]),
                # mailertable
                ("x@partner.example", 250, ["x@partner.example"]), ("x@old.example", 550, []), ("x@printers.example", 250, [bob]),
                # access
                ("nomail@uni.example", 550, [])):
            with self.subTest(address):
                self.assertEqual(self.fate(address), (code, targets), self.node.run("why", address).stdout)

    def test_no_second_owner(self):
        """What the directory has already is complained of, but not what an import before has written."""
        self.tables.write("second", "ann: bob\nnew: bob\noffice: ann\n")
        done = self.node.run("directory", "import", "aliases", self.tables.path("second"), check=1)
        self.assertEqual(done.stderr, f"{self.tables.path('second')}:1: ann: has an entry already, uid=ann,ou=people,{BASE}; if it is a "
                                      "mailbox, put phForwardAddress there\n")
        self.assertEqual([line for line in done.stdout.splitlines() if line.startswith("mail:")], ["mail: new@uni.example", "mail: office@uni.example"])
        self.tables.write("second", "new@shop.example ann\nx@moved.example ann\n")
        done = self.node.run("directory", "import", "--domains", "virtual", self.tables.path("second"), check=0)
        self.assertIn("mail: x@moved.example\n", done.stdout)
        self.assertNotIn("associatedDomain", done.stdout)  # both domains are there
        self.tables.write("second", "@moved.example @new.example\npartner.example smtp:[192.0.2.1]\n")
        done = self.node.run("directory", "import", "virtual", self.tables.path("second"), check=1)
        self.assertIn(f":1: @moved.example: has an entry already, associatedDomain=moved.example,ou=import-virtusertable,{BASE}; ", done.stderr)
        self.tables.write("second", "bob ann@uni.example\n")  # as a generics table says of people with an address already
        done = self.node.run("directory", "import", "genericstable", self.tables.path("second"), check=1)
        self.assertIn("; nothing is missing if it is the entry of the inner address\n", done.stderr)
        self.tables.write("second", "partner.example smtp:[192.0.2.1]\nother.example smtp:[192.0.2.1]\n")
        done = self.node.run("directory", "import", "transport", self.tables.path("second"), check=1)
        self.assertIn(":1: partner.example: has an entry already, ", done.stderr)
        self.assertIn("phRouteKey: other.example\n", done.stdout)
        self.tables.write("second", "From:bad.example OK\n198.51.100 OK\n")
        done = self.node.run("directory", "import", "--base", f"ou=access,{BASE}", "access", self.tables.path("second"), check=1)
        self.assertEqual(len(done.stderr.splitlines()), 2, done.stderr)

    def test_members_that_are_nobodys(self):
        """Whom neither the table nor the directory has is said, with the line; the row is written."""
        self.tables.write("members", "a: ann, nobdy\nb: a, b2\nb2: ann+x, c+x, owner-c, c-request\nc: friend@out.example, x@shop.example\n"
                          f"d: :include:{self.tables.path('listed')}\ne: info@shop.example, anybody@club.example, ann@moved.example\n"
                          "f: staff, owner-staff\n")
        self.tables.write("listed", "bob\n# nobody\nbbo\n")
        done = self.node.run("directory", "import", "aliases", self.tables.path("members"), check=0)
        self.assertEqual([line.split(": ", 3) for line in done.stderr.splitlines()], [
            [f"{self.tables.path('members')}:1", "note", "a",
             "leads to nobdy@uni.example, whom neither the table nor the directory has; correct it, or add who it is"],
            [f"{self.tables.path('members')}:4", "note", "c",
             "leads to x@shop.example, whom neither the table nor the directory has; correct it, or add who it is"],
            [f"{self.tables.path('listed')}:3", "note", "d",
             "leads to bbo@uni.example, whom neither the table nor the directory has; correct it, or add who it is"]])
        self.assertIn("rfc822MailMember: nobdy@uni.example\n", done.stdout)
        self.tables.write("members", "root: evelog\n")
        done = self.node.run("directory", "import", "aliases", self.tables.path("members"), check=0)
        self.assertIn("; it is the log-in of uid=eve,ou=people,dc=uni,dc=example, which needs mailLocalAddress: evelog@uni.example\n", done.stderr)
        self.tables.write("members", "a@new.example ann\nb@new.example c@new.example\n")  # a domain that comes with the table
        done = self.node.run("directory", "import", "--domains", "virtual", self.tables.path("members"), check=0)
        self.assertRegex(done.stderr, r"members:2: note: b@new.example: leads to c@new.example, ")
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_words_of_the_tables_reach_the_sender(self):
        with self.node.submission() as smtp:
            smtp.mail("ann@uni.example")
            for address, text in (("gone@shop.example", "5.1.1 No such user here"), ("busy@shop.example", "4.2.2 Too busy"),
                                  ("x@old.example", "5.1.2 This domain is gone"), ("nomail@uni.example", "5.1.1 Takes no mail")):
                self.assertEqual(smtp.rcpt(address)[1].decode(), text)

    def test_mail_goes_there(self):
        with self.node.smtp() as smtp:  # RELAY of access lets a stranger send to partner.example
            smtp.sendmail("x@out.example", ["office@uni.example", "any@club.example", "you@partner.example"], message("to many"))
            smtp.sendmail("x@out.example", ["staff@uni.example"], message("to staff"))
        for login in ("ann", "bob", "eve"):
            self.delivered_to(login, "to many")
        for login in ("ann", "bob"):
            self.assertIn(b"Return-Path: <owner-staff@uni.example>", self.delivered_to(login, "to staff")[0])
        self.node.wait(lambda: [got for got in self.hop.got if "you@partner.example" in got.recipients], "the next hop to have it")


class Loaded(unittest.TestCase):
    """A real slapd with our schema takes it, entry for entry."""

    @classmethod
    def setUpClass(cls):
        cls.tables = Tables()
        cls.addClassCleanup(cls.tables.dir.cleanup)
        cls.directory = Directory().start()
        cls.addClassCleanup(cls.directory.remove)

    def take_back(self, kind):
        found = [dn for dn, _ in self.directory.master.search("(objectClass=*)", "*", base=f"ou=import-{kind},{BASE}")]
        self.directory.master.delete(*sorted(found, key=len, reverse=True))
        return found

    def test_every_kind(self):
        for kind in KINDS:
            with self.subTest(kind):
                ldif = self.tables.ldif(kind, "--domains")
                self.directory.master.load(ldif)
                self.assertEqual(len(self.take_back(kind)), len([line for line in ldif.splitlines() if line.startswith("dn:")]))

    def test_odd_names(self):
        """Right below a base that is there; names that RFC 4514 and RFC 2849 have rules for."""
        self.tables.write("odd", '" x": ann\n"a,b=c+d;e": ann\n"#x": ann\n"q\\"<>\\\\": ann\n"\u00fc": ann\nb: x@b\u00fccher.example\n')
        self.directory.master.load(self.tables.ldif("aliases", "--base", f"ou=aliases,{BASE}", file="odd"))
        found = dict(self.directory.master.search("(objectClass=phMailAlias)", "cn", "mail", "phIntlAddress", "rfc822MailMember",
                                                  base=f"ou=aliases,{BASE}"))
        names = sorted(values["cn"][0].decode() for values in found.values())
        self.assertEqual(names, sorted(['" x"@uni.example', '"a,b=c+d;e"@uni.example', '#x@uni.example', '"q\\"<>\\\\"@uni.example',
                                        '\u00fc@uni.example', 'b@uni.example']))
        self.assertIn([b"x@xn--bcher-kva.example"], [values["rfc822MailMember"] for values in found.values()])
        self.assertIn(["\u00fc@uni.example".encode()], [values.get("phIntlAddress") for values in found.values()])

    def test_a_node_that_follows_it(self):
        master = self.directory.master
        master.load(self.tables.ldif("virtual", "--domains"))
        self.addCleanup(self.take_back, "virtual")
        node = Node(users=("ann", "bob", "eve"), settings=self.directory.settings())
        try:
            node.make_certificates()
            master.load(node.directory_ldif())
            node.start()
            for address, wanted in (("info@shop.example", ["ann", "bob"]), ("sales@shop.example", ["ann", "eve"]), ("eve@moved.example", ["eve"]),
                                    ("secretary@uni.example", ["ann"])):
                self.assertEqual(sorted(t["address"].split("@")[0] for t in node.why(address)["targets"]), wanted, address)
            node.stop()
        finally:
            node.remove()


if __name__ == "__main__":
    unittest.main()
