# SPDX-License-Identifier: Apache-2.0
"""The contract of `posthouse` with scripts: exit codes, the lines of check, what works with no daemon running."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
POSTHOUSE = os.path.join(os.environ.get("POSTHOUSE_BIN", os.path.join(ROOT, "build", "release", "bin")), "posthouse")


class PosthouseTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="posthouse-ctl-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.conf = os.path.join(self.dir, "posthouse.conf")
        self.write_directory("phMailboxId: 12345678-1234-1234-1234-123456789abc")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=mx",
                        "-keyout", os.path.join(self.dir, "key"), "-out", os.path.join(self.dir, "pem")], check=True, capture_output=True)
        self.good = ('hostname = "mx.uni.example"\nmta_user = ""\npopimap_user = ""\nldapsync_user = ""\ngroup = ""\nsandbox = optional\n'
                     f'tls {{\n  certificate = {{"{self.dir}/pem"}}\n  key = {{"{self.dir}/key"}}\n}}\nrun_dir = "{self.dir}/run"\n'
                     f'shadow_ldif = "{self.dir}/directory.ldif"\n')

    def write_directory(self, *lines):
        with open(os.path.join(self.dir, "directory.ldif"), "w", encoding="utf-8") as stream:
            stream.write("version: 1\n\ndn: uid=ann,dc=uni\nobjectClass: inetOrgPerson\nobjectClass: phMailUser\nuid: ann\ncn: Ann\nsn: Ann\n"
                         "mail: ann@uni.example\nmailHost: mb1.uni.example\n" + "".join(line + "\n" for line in lines))

    def run_it(self, *arguments, conf=None, environment=None):
        if conf is not None:
            with open(self.conf, "w", encoding="utf-8") as stream:
                stream.write(conf)
        done = subprocess.run([POSTHOUSE, *arguments], capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})})
        return done.returncode, done.stdout, done.stderr

    def check(self, conf):
        code, out, err = self.run_it("-c", self.conf, "check", conf=conf)
        self.assertEqual(err, "")
        return code, out

    def test_check_says_ok(self):
        self.assertEqual(self.check(self.good), (0, "ok\n"))
        self.assertEqual(self.run_it("check", environment={"POSTHOUSE_CONF": self.conf})[:2], (0, "ok\n"))

    def test_check_reports_every_error_with_its_place(self):
        code, out = self.check(self.good + "relayhos = x\nrecipients_max = 0\nsmtp_bare_newline = maybe\n")
        self.assertEqual(code, 1)
        lines = out.splitlines()
        self.assertEqual(len(lines), 3)
        self.assertEqual(lines[0], f"{self.conf}:13: relayhos: unknown setting; did you mean relayhost?")
        for line in lines:
            place, setting, what = line.split(": ", 2)
            self.assertRegex(place, r"posthouse\.conf:\d+$")
            self.assertIn("; ", what if "did you mean" not in what else what)
            self.assertTrue(setting)

    def test_check_looks_at_what_the_settings_name(self):
        conf = self.good.replace("/pem", "/directory.ldif").replace('mta_user = ""', 'mta_user = "no-such-user"')
        code, out = self.check(conf + 'lmtp_networks = {}\n')
        self.assertEqual(code, 1)
        self.assertIn(f"{self.conf}:2: mta_user: there is no user no-such-user; ", out)
        self.assertIn(f"{self.conf}:8: tls_certificate: ", out)
        code, out = self.check(self.good.replace("directory.ldif", "gone.ldif"))
        self.assertIn(f"{self.conf}:12: shadow_ldif: {self.dir}/gone.ldif", out)

    def test_check_reads_the_directory(self):
        self.write_directory()
        code, out = self.check(self.good)
        self.assertEqual((code, out.count("\n")), (1, 1), out)
        self.assertTrue(out.startswith(f"{self.dir}/directory.ldif:3: "), out)
        self.assertIn('; correct the entry "uid=ann,dc=uni"', out)
        self.write_directory("phMailboxId: 12345678-1234-1234-1234-123456789abc", "mailLocalAddress: |cmd", "phForwardAddress: a@b c")
        code, out = self.check(self.good)
        self.assertEqual(sorted(line.split(": ")[1] for line in out.splitlines()), ["mailLocalAddress", "phForwardAddress"])
        self.write_directory("this is no LDIF")
        code, out = self.check(self.good)
        self.assertIn(f"{self.dir}/directory.ldif:11: ", out)

    def test_check_warns_of_certificates_that_nobody_is_asked_for(self):
        access = os.path.join(self.dir, "access")
        with open(access, "w", encoding="utf-8") as stream:
            stream.write("From:spam.example REJECT\nCERTIssuer:/C=DE/CN=Uni+20CA SUBJECT\nCERTSubject:/C=DE/CN=a RELAY\nCERTName:mail.dept.example RELAY\n")
        with open(os.path.join(self.dir, "directory.ldif"), "a", encoding="utf-8") as stream:
            stream.write("\ndn: cn=rows,dc=uni\nobjectClass: phMailAccess\ncn: rows\nphAccessKey: From:bad.example\nphAccessAction: REJECT\n"
                         "\ndn: cn=cert,dc=uni\nobjectClass: phMailAccess\ncn: cert\nphAccessKey: CertName:b.dept.example\nphAccessAction: RELAY\n")
        conf = self.good + f'access_file = "{access}"\n'
        code, out = self.check(conf)
        lines = out.splitlines()
        self.assertEqual((code, len(lines), lines[-1]), (0, 5, "ok"), out)
        for line, key in ((2, "CERTIssuer:/C=DE/CN=Uni+20CA"), (3, "CERTSubject:/C=DE/CN=a"), (4, "CERTName:mail.dept.example")):
            self.assertIn(f"{access}:{line}: {key}: warning: has no effect, ", out)
        self.assertRegex(out, rf'{self.dir}/directory.ldif:\d+: phAccessKey: warning: has no effect, .*"cn=cert,dc=uni"')
        self.assertEqual(self.check(conf + f'smtp_client_certificate = ask\ntls_ca_file = "{self.dir}/pem"\n'), (0, "ok\n"))

    def test_check_warns_of_rows_that_say_nothing_here(self):
        """Once for each tag; a table of sendmail's stays as it is."""
        access = os.path.join(self.dir, "access")
        with open(access, "w", encoding="utf-8") as stream:
            stream.write("GreetPause:127 0\nGreetPause: 5000\nClientRate: 10\nGreetPause:127 0\nFrom:spam.example REJECT\n")
        conf = self.good + f'access_file = "{access}"\n'
        code, out = self.check(conf)
        self.assertEqual((code, [line.split(": ")[:3] for line in out.splitlines()]),
                         (0, [[f"{access}:1", "GreetPause:", "warning"], [f"{access}:3", "ClientRate:", "warning"], ["ok"]]), out)
        with open(access, "a", encoding="utf-8") as stream:
            stream.write("TLS_Clt:192.0.2.1 ENCR:112\n")
        self.assertEqual(self.check(conf)[0], 1)

    @unittest.skipUnless(os.geteuid() == 0, "only root can be somebody else")
    def test_check_reads_as_the_daemons(self):
        """What they read at the start must be theirs to read; of a certificate's key a reload would keep the old one."""
        conf = self.good.replace('mta_user = ""', 'mta_user = "daemon"').replace('ldapsync_user = ""', 'ldapsync_user = "games"')
        os.chmod(self.dir, 0o755)
        os.chmod(os.path.join(self.dir, "key"), 0o600)
        os.chmod(os.path.join(self.dir, "directory.ldif"), 0o640)
        code, out = self.check(conf)
        self.assertEqual(code, 1, out)
        self.assertRegex(out, rf"shadow_ldif: {self.dir}/directory.ldif cannot be read by games, who reads it at the start: Permission denied; ")
        self.assertRegex(out, rf"tls_key: warning: {self.dir}/key cannot be read by daemon, who reads it at a reload, which then keeps the old one")
        shutil.chown(os.path.join(self.dir, "directory.ldif"), group="games")
        shutil.chown(os.path.join(self.dir, "key"), group="daemon")
        os.chmod(os.path.join(self.dir, "key"), 0o640)
        self.assertEqual(self.check(conf), (0, "ok\n"))

    @unittest.skipUnless(os.geteuid() == 0, "only root can be somebody else")
    def test_check_reads_the_last_of_many_keys(self):
        """A provider has a certificate for each of his customers."""
        last = os.path.join(self.dir, "last")
        shutil.copy(os.path.join(self.dir, "key"), last)
        for name, mode in ((self.dir, 0o755), (os.path.join(self.dir, "key"), 0o640), (last, 0o600), (os.path.join(self.dir, "directory.ldif"), 0o644)):
            os.chmod(name, mode)
        shutil.chown(os.path.join(self.dir, "key"), group="daemon")
        pem, key = f'"{self.dir}/pem"', f'"{self.dir}/key"'
        conf = self.good.replace('mta_user = ""', 'mta_user = "daemon"')
        conf = conf.replace(f"{{{pem}}}", "{" + ", ".join([pem] * 40) + "}").replace(f"{{{key}}}", "{" + ", ".join([key] * 39 + [f'"{last}"']) + "}")
        self.assertRegex(self.check(conf)[1], rf"tls_key: warning: {last} cannot be read by daemon")

    @unittest.skipUnless(os.geteuid() == 0, "only root can be somebody else")
    def test_what_an_ordinary_user_is_told(self):
        conf = self.good.replace('mta_user = ""', 'mta_user = "daemon"')
        with open(self.conf, "w", encoding="utf-8") as stream:
            stream.write(conf)
        os.chmod(self.dir, 0o755)
        os.chmod(self.conf, 0o644)
        for command in ("run", "setup"):
            done = self.as_nobody("-c", self.conf, command)
            self.assertEqual((done.returncode, done.stderr), (77, "posthouse: only root can become daemon, whom the settings name; do this as root, or "
                                                                  "set mta_user, popimap_user, ldapsync_user and group to \"\"\n"))
        self.assertIn("as root it is what the daemons will meet", self.as_nobody("-c", self.conf, "check").stderr)

    def as_nobody(self, *arguments):
        program = shutil.copy(POSTHOUSE, os.path.join(self.dir, "posthouse"))
        return subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", program, *arguments], capture_output=True,
                              text=True, timeout=60, check=False)

    def test_check_knows_a_dn(self):
        ldap = "\n".join(line for line in self.good.splitlines() if not line.startswith("shadow_ldif")) + "\n"
        ldap += 'ldap_uri = {"ldapi://%2Ftmp%2Fno-such-socket"}\n'
        for base, ok in (("dc=uni,dc=example", True), ("O=Uni\\\\, Example, C=DE", True), ("uni.example", False), ("dc=uni,,dc=example", False),
                         ("dc=uni,dc", False), ("=uni", False), ("ou=people,dc=uni,", False)):
            code, out = self.check(ldap + f'ldap_base = "{base}"\n')
            self.assertEqual((code, "ldap_base" in out), (0, False) if ok else (1, True), (base, out))
            if not ok:
                self.assertRegex(out, rf'^{self.conf}:\d+: ldap_base: ".*" is no name of an entry \(DN\); write it')

    def test_a_missing_file_is_one_error(self):
        code, out, _ = self.run_it("-c", self.conf, "check")
        self.assertEqual((code, out.count("\n")), (2, 1))
        self.assertTrue(out.startswith(f"{self.conf}:1: "))

    def test_what_cannot_be_settings_is_said_and_ends_nothing(self):
        fifo = os.path.join(self.dir, "fifo")
        os.mkfifo(fifo)
        for file in (self.dir, fifo, "/dev/zero"):
            code, out, _ = self.run_it("-c", file, "check")
            self.assertEqual((code, out), (1, f"{file}:1: file: is not a regular file\n"))
            code, out = self.check(self.good + f'include("{file}")\n')
            self.assertEqual((code, out), (1, f"{file}:1: include: is not a regular file\n"))
        code, out = self.check(self.good + "#" * 1000000 + "\n")
        self.assertEqual(code, 1)
        self.assertIn("is larger than", out)

    def test_settings_prints_what_differs(self):
        code, out, _ = self.run_it("-c", self.conf, "settings", conf=self.good + "relayhost = \"relay.example:25\"\nqueue_lifetime_s = 3d\n")
        self.assertEqual(code, 0)
        self.assertIn('relayhost = "relay.example:25"\n', out)
        self.assertIn("queue_lifetime_s = 3d\n", out)
        self.assertNotIn("recipients_max", out)
        self.assertEqual(self.run_it("-c", self.conf, "check", conf=out)[:2], (0, "ok\n"))
        self.assertIn("recipients_max", self.run_it("-c", self.conf, "settings", "--all")[1])
        self.assertEqual(json.loads(self.run_it("-c", self.conf, "--json", "settings")[1])["sandbox"], "optional")

    def test_exit_codes(self):
        self.run_it("check", conf=self.good)
        self.assertEqual(self.run_it()[0], 2)
        self.assertEqual(self.run_it("dance")[0], 2)
        self.assertEqual(self.run_it("check", "it")[0], 2)
        self.assertEqual(self.run_it("check", "it")[0], 2)
        self.assertEqual(self.run_it("help")[0], 0)
        self.assertEqual(self.run_it("help", "dance")[0], 2)
        prose = self.run_it("help")[1].split("\nExit:\n")[0].splitlines()
        self.assertLessEqual(max(len(line) for line in prose if line.startswith("    ")), 100)
        self.assertEqual([line.split(" [")[0].split(" -")[0] for line in self.run_it("help", "directory")[1].splitlines() if line[0] != " "],
                         ["directory status", "directory diff", "directory profile", "directory release", "directory reconcile", "directory import", "directory password"])
        code, out, _ = self.run_it("-c", self.conf, "status", "--json")
        self.assertEqual(code, 75)  # no daemon runs: it cannot know
        self.assertEqual([json.loads(line)["serves"] for line in out.splitlines()], [False] * 3)

    def test_half_a_command_is_told_the_rest(self):
        self.run_it("check", conf=self.good)
        for words in (("queue",), ("queue", "flush", "x"), ("queue", "--json")):
            code, _, complaint = self.run_it(*words)
            self.assertEqual(code, 2)
            self.assertIn("queue retry [--again] [--recipient ADDRESS] --all|--to ADDRESS|@DOMAIN|--from ADDRESS|@DOMAIN|QUEUE_ID...\n", complaint)
            self.assertNotIn("directory", complaint)
        self.assertIn("no command que; `posthouse help`", self.run_it("que")[2])
        for words, what in ((("why", "--form", "x"), "--form is no option here; did you mean --from?"),
                            (("why", "--client", "mx", "a@uni.example"), "--client mx: is no IP address"),
                            (("why", "a@uni.example", "--from"), "--from wants a value"), (("why", "--from", "a b", "x"), "--from a b: is no address"),
                            (("why", "--login", "--login", "ann"), "--login is given twice"), (("settings", "--all=yes"), "--all takes no value"),
                            (("why", "-x@uni.example"), "stands behind --"), (("check", "it"), "what is it to be?"),
                            (("directory", "import", "mailtable", "/f"), "mailtable is no kind"),
                            (("directory", "import", "--tag", "Form", "access", "/f"), "--tag Form: "),
                            (("directory", "import", "--base", "mail", "access", "/f"), "--base mail: is no name of an entry"),
                            (("directory", "release", "--xx"), "--xx is no option here\n"), (("status", "-C"), "did you mean -c?"),
                            (("directory", "password", "--scheme", "MD4", "ann"), "--scheme MD4: "),
                            (("why", "--login", "--client", "192.0.2.1", "ann"), "--client 192.0.2.1: stands without --login"),
                            (("why", "--message", self.conf, "a@uni.example"), "stands with --from"),
                            (("queue", "replay", "--hours", "3"), "--host HOST is missing"),
                            (("queue", "replay", "--host", "mb1", "--hours", "0"), "--hours 0: is not understood"),
                            (("queue", "replay", "--host", "mb1", "--hours", "1", "--since", "2026-11-21T19:00:00Z"), "--hours 1: stands without --since"),
                            (("queue", "replay", "--host", "mb1", "--since=noon"), "--since noon: is not understood"),
                            (("queue", "hold", "--all", "Q"), "usage: "), (("queue", "delete", "--all", "--damaged"), "usage: "),
                            (("queue", "retry", "--recipient", "a@b.example", "--all"), "--recipient a@b.example: stands with --again")):
            code, out, complaint = self.run_it("-c", self.conf, *words)
            self.assertEqual((code, out), (2, ""), words)
            self.assertIn(what, complaint)
        # What begins with - is an argument behind --; options stand anywhere before it.
        self.assertEqual(self.run_it("why", "--from=", "-c", self.conf, "--", "-x@uni.example")[0], 75)

    def commands(self):
        """[(command, options)] as `posthouse help` tells them: what the table has."""
        found = []
        for line in self.run_it("help")[1].split("\nWith any of them")[0].splitlines():
            if not line.startswith(" "):
                words = line.split()
                found.append((words[:2] if words[0] in ("directory", "queue") else words[:1], []))
            elif line.startswith("    --"):
                found[-1][1].append(line.split()[0])
        return found

    GOOD_USE = {"manual": ["posthouse.1"], "why": ["ann@uni.example"], "directory diff": ["CHANGE"], "directory import": ["aliases", "CHANGE"],
                "directory password": ["ann"], "queue hold": ["--all"], "queue release": ["--all"], "queue delete": ["--all"], "queue retry": ["--all"],
                "queue replay": ["--host", "mb1.uni.example"]}
    OF_DAEMONS = {"status", "reload", "metrics", "directory release", "directory reconcile", "queue list", "queue hold", "queue release", "queue delete",
                  "queue retry", "queue stats", "queue replay"}
    WITHOUT_SETTINGS = {"help", "manual", "directory password"}

    def good_use(self, words):
        change = os.path.join(self.dir, "change")
        with open(change, "w", encoding="utf-8"):
            pass
        return [change if word == "CHANGE" else word for word in self.GOOD_USE.get(" ".join(words), [])]

    def test_exit_codes_are_one_table(self):
        commands = [(words, options) for words, options in self.commands() if words[0] not in ("run", "setup")]
        self.assertEqual(len(commands), 22)
        codes = {int(line.split()[0]) for line in self.run_it("help")[1].split("\nExit:\n")[1].splitlines()}
        self.assertEqual(codes, {0, 1, 2, 75, 77})
        self.run_it("check", conf=self.good)
        for words, _ in commands:
            name, use = " ".join(words), self.good_use(words)
            with self.subTest(name):
                code, out, complaint = self.run_it("-c", self.conf, *words, *use, "--no-such-option")
                self.assertEqual((code, out), (2, ""))
                self.assertIn("--no-such-option is no option", complaint)
                self.assertIn("usage: posthouse [-c FILE] [--json] " + name, complaint)
                self.assertEqual(self.run_it("-c", self.conf, *words, "--help")[0], 0)
                self.assertTrue(self.run_it(*words, "--help")[1].startswith("run" if name == "help" else name))
                if name in self.OF_DAEMONS:
                    self.assertEqual(self.run_it("-c", self.conf, *words, *use)[0], 75)
                if name not in self.WITHOUT_SETTINGS:
                    self.assertEqual(self.run_it("-c", self.conf + ".none", *words, *use)[0], 2)
        for words in (["why", "--message", "/no/such", "ann@uni.example"], ["why", "--ldif", "/no/such", "ann@uni.example"], ["directory", "diff", "/no/such"],
                      ["directory", "import", "aliases", "/no/such"]):
            code, out, complaint = self.run_it("-c", self.conf, *words)
            self.assertEqual((code, out), (2, ""), words)
            self.assertIn("/no/such: No such file", complaint)

    @unittest.skipUnless(os.geteuid() == 0, "becomes somebody else")
    def test_who_may_not_is_told_so(self):
        program = shutil.copy(POSTHOUSE, self.dir)
        self.run_it("check", conf=self.good)
        os.chmod(self.dir, 0o755)

        def as_nobody(*words):
            done = subprocess.run([program, "-c", self.conf, *words], capture_output=True, text=True, check=False, user=65534, group=65534, extra_groups=[])
            return done.returncode, done.stdout, done.stderr
        os.chmod(self.conf, 0o600)
        for words, _ in self.commands():
            if words[0] == "run" or " ".join(words) in self.WITHOUT_SETTINGS:
                continue
            code, out, complaint = as_nobody(*words, *self.good_use(words))
            self.assertEqual((code, out), (77, ""), words)
            self.assertIn("posthouse.conf: Permission denied", complaint)
        os.chmod(self.conf, 0o644)
        run = os.path.join(self.dir, "run")
        os.mkdir(run, 0o700)  # the sockets are in there
        for words, _ in self.commands():
            if " ".join(words) in self.OF_DAEMONS:
                code, _, complaint = as_nobody(*words, *self.good_use(words))
                self.assertEqual(code, 77, (words, complaint))
        secret = os.path.join(self.dir, "secret")
        with open(secret, "w", encoding="utf-8"):
            os.chmod(secret, 0o600)
        for words in (["why", "--message", secret, "ann@uni.example"], ["why", "--ldif", secret, "ann@uni.example"], ["directory", "diff", secret],
                      ["directory", "import", "aliases", secret]):
            code, out, complaint = as_nobody(*words)
            self.assertEqual((code, out), (77, ""), words)
            self.assertIn("secret: Permission denied", complaint)
        data = os.path.join(self.dir, "data")
        os.makedirs(os.path.join(data, "shadow"), 0o755)
        with open(os.path.join(data, "shadow", "shadow.db"), "w", encoding="utf-8"):
            os.chmod(os.path.join(data, "shadow", "shadow.db"), 0o600)
        with open(self.conf, "a", encoding="utf-8") as stream:
            stream.write(f'data_dir = "{data}"\n')
        for words in (["why", "ann@uni.example"], ["directory", "status"], ["directory", "diff", self.conf]):
            self.assertEqual(as_nobody(*words)[:2], (77, ""), words)

    def test_completion_is_the_table(self):
        self.run_it("check", conf=self.good)
        script = self.run_it("manual", "posthouse.bash")[1]

        def complete(*words):
            line = " ".join(f"'{word}'" for word in words)
            done = subprocess.run(["bash", "-c", f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _posthouse; echo ${{COMPREPLY[*]}}"],
                                  capture_output=True, text=True, check=True)
            return set(done.stdout.split())
        self.assertEqual(complete("posthouse", "s"), {"settings", "status", "setup"})
        self.assertEqual(complete("posthouse", "-c", "x", "queue", "re"), {"release", "retry", "replay"})
        self.assertEqual(complete("posthouse", "queue", "retry", "--"), {"--all", "--to", "--from", "--again", "--recipient", "--json", "--help"})
        self.assertEqual(complete("posthouse", "directory", "status", "--"), {"--json", "--help"})
        self.assertEqual(complete("posthouse", "settings", "--a"), {"--all"})

    def test_manual_pages_are_clean_troff(self):
        for page in ("posthouse.1", "posthouse.conf.5"):
            code, out, _ = self.run_it("manual", page)
            self.assertEqual(code, 0)
            self.assertTrue(out.splitlines()[1].startswith(".TH "))
            self.assertNotIn("\n'", out)


if __name__ == "__main__":
    unittest.main()
