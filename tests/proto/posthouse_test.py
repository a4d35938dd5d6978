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

    def test_a_missing_file_is_one_error(self):
        code, out, _ = self.run_it("-c", self.conf, "check")
        self.assertEqual((code, out.count("\n")), (1, 1))
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
        self.assertEqual(self.run_it("help", "dance")[0], 1)
        self.assertEqual([line.split(" [")[0].split(" -")[0] for line in self.run_it("help", "directory")[1].splitlines() if line[0] != " "],
                         ["directory status", "directory diff", "directory profile", "directory release", "directory reconcile", "directory import", "directory password"])
        code, out, _ = self.run_it("-c", self.conf, "status", "--json")
        self.assertEqual(code, 75)  # no daemon runs: it cannot know
        self.assertEqual([json.loads(line)["serves"] for line in out.splitlines()], [False] * 3)

    def test_half_a_command_is_told_the_rest(self):
        self.run_it("check", conf=self.good)
        for words in (("queue",), ("queue", "flush", "x")):
            code, _, complaint = self.run_it(*words)
            self.assertEqual(code, 2)
            self.assertIn("queue retry [--again [--recipient ADDRESS]] --all|QUEUE_ID...\n", complaint)
            self.assertNotIn("directory", complaint)
        self.assertIn("no command que; `posthouse help`", self.run_it("que")[2])
        for words, what in ((("why", "--form", "x"), "--form is no option"), (("why", "--client", "mx", "a@uni.example"), "--client wants an IP address"),
                            (("why", "a@uni.example", "--from"), "--from wants a value"), (("directory", "import", "mailtable", "/f"), "mailtable is no kind"),
                            (("queue", "replay", "--host", "mb1", "--since", "noon"), "--since noon: is not understood")):
            code, _, complaint = self.run_it(*words)
            self.assertEqual(code, 2)
            self.assertIn(what, complaint)

    def test_manual_pages_are_clean_troff(self):
        for page in ("posthouse.1", "posthouse.conf.5"):
            code, out, _ = self.run_it("manual", page)
            self.assertEqual(code, 0)
            self.assertTrue(out.splitlines()[1].startswith(".TH "))
            self.assertNotIn("\n'", out)


if __name__ == "__main__":
    unittest.main()
