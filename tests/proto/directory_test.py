# SPDX-License-Identifier: Apache-2.0
"""posthouse-ldapsync, `posthouse why` and `posthouse directory` as scripts and administrators meet them: with ldapsync alone, killed, and
with files that change, lie or do not parse."""
import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from node import BIN, DEADLINE_S, user_ldif

DOMAIN = ("dn: associatedDomain=uni.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: local\n\n"
          "dn: cn=mb1,dc=uni\nobjectClass: phMailHost\ncn: mb1.uni.example\nphHostEndpoint: lmtp=inet:127.0.0.1:24\n\n")


class DirectoryTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="posthouse-directory-")
        self.addCleanup(shutil.rmtree, self.dir)
        for folder in ("data/shadow", "data/credentials", "run"):
            os.makedirs(os.path.join(self.dir, folder))
        self.conf = os.path.join(self.dir, "posthouse.conf")
        with open(self.conf, "w", encoding="utf-8") as stream:
            stream.write(f'hostname = "mx.uni.example"\ndata_dir = "{self.dir}/data"\nrun_dir = "{self.dir}/run"\nsandbox = optional\n'
                         f'shadow_ldif = "{self.dir}/people.ldif"\nshadow_check_ms = 20\ngroup = ""\nldapsync_user = ""\nmta_user = ""\n'
                         'popimap_user = ""\nlisten_submissions = {}\nlisten_imaps = {}\nlisten_pop3s = {}\n')
        self.daemon = None
        self.addCleanup(self.stop)

    def stop(self, number=signal.SIGTERM):
        if self.daemon is not None:
            self.daemon.send_signal(number)
            self.daemon.wait(timeout=60)
            self.log.close()
            self.daemon = None

    def start(self):
        self.log = open(os.path.join(self.dir, "log"), "ab")
        self.daemon = subprocess.Popen([os.path.join(BIN, "posthouse-ldapsync"), "-c", self.conf], stderr=self.log, stdout=self.log)

    def log_text(self):
        with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def write(self, text):
        path = os.path.join(self.dir, "people.ldif")
        with open(path + ".new", "w", encoding="utf-8") as stream:
            stream.write(text)
        os.rename(path + ".new", path)

    def run_it(self, *arguments, text=None):
        done = subprocess.run([os.path.join(BIN, "posthouse"), "-c", self.conf, *arguments], input=text, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def why(self, address, *more):
        code, out, err = self.run_it("why", "--json", *more, address)
        self.assertIn(code, (0, 1, 75), err)
        answer = json.loads(out)
        self.assertEqual(set(answer), {"address", "verdict", "code", "enhanced", "text", "targets", "reasons", "shadow"})
        self.assertEqual(set(answer["shadow"]), {"version", "complete", "fresh", "age_s"})
        self.assertEqual(code, 75 if answer["verdict"] == "defer" else 1 if answer["verdict"] == "refuse" else 0)
        return answer

    def wait(self, condition):
        end = time.monotonic() + DEADLINE_S
        while not condition():
            self.assertLess(time.monotonic(), end, self.log_text()[-2000:])
            time.sleep(0.02)

    def wait_for(self, address, verdict):
        self.wait(lambda: self.why(address)["verdict"] == verdict)

    def test_from_nothing_to_killed(self):
        self.assertEqual(self.why("ann@uni.example")["code"], 451)  # no shadow: never "unknown"
        self.assertEqual(self.run_it("directory", "status")[0], 75)
        self.write(DOMAIN + user_ldif("ann"))
        self.start()
        self.wait_for("ann@uni.example", "deliver")
        answer = self.why("ann+x@uni.example")
        self.assertEqual([(t["address"], t["host"]) for t in answer["targets"]], [("ann@uni.example", "mb1.uni.example")])
        self.assertIn({"rule": "mailbox", "entry": "uid=ann,ou=people,dc=uni,dc=example", "attribute": "mail", "value": "ann@uni.example"},
                      answer["reasons"])
        status = json.loads(self.run_it("directory", "status", "--json")[1])
        self.assertEqual((status["state"], status["entries"], status["ldapsync_runs"]), ("PERSIST", 3, True))
        self.assertEqual(status["conflicts"], 0)
        self.stop(signal.SIGKILL)
        self.assertNotIn("conflicts", json.loads(self.run_it("directory", "status", "--json")[1]))  # only ldapsync knows
        self.assertEqual(self.why("ann@uni.example")["verdict"], "deliver")
        self.assertEqual(self.why("bob@uni.example")["code"], 550)
        self.write(DOMAIN + user_ldif("ann") + user_ldif("bob"))
        self.start()
        self.wait_for("bob@uni.example", "deliver")
        self.assertEqual(self.why("bob@uni.example")["shadow"]["version"], 2)

    def test_bad_file_keeps_the_old_view(self):
        self.write(DOMAIN + user_ldif("ann"))
        self.start()
        self.wait_for("ann@uni.example", "deliver")
        self.assertEqual(self.why("bob@uni.example")["code"], 550)
        self.write(DOMAIN + user_ldif("bob") + "this is no LDIF\n")
        self.wait(lambda: self.why("bob@uni.example")["code"] == 451)
        self.assertEqual(self.why("ann@uni.example")["verdict"], "deliver")
        self.assertRegex(self.log_text(), r"level=error .*people\.ldif:\d+: not ")
        code, out, _ = self.run_it("directory", "status")
        self.assertEqual(code, 75)
        self.assertIn("people.ldif:", out)
        self.assertRegex(self.run_it("status")[1], r"ldapsync: serves.*; but the directory is STALE: .*people\.ldif:")
        self.write(DOMAIN + user_ldif("bob"))
        self.wait_for("bob@uni.example", "deliver")
        self.assertEqual(self.why("ann@uni.example")["code"], 550)

    def test_evil_values_are_reported(self):
        self.write(DOMAIN + user_ldif("ann", extra="phForwardAddress: |/bin/sh\nphForwardAddress:: YUBiDQpSQ1BUIFRPOjx4QHk+\n") +
                   user_ldif("bob") + user_ldif("bob2", extra="mailLocalAddress: bob@uni.example\n"))
        self.start()
        self.wait_for("ann@uni.example", "deliver")
        self.assertEqual(self.why("bob@uni.example")["code"], 451)
        self.assertEqual(self.why("bob2@uni.example")["verdict"], "deliver")
        self.assertEqual(self.log_text().count("directory value refused"), 2)
        self.assertIn("several entries claim one key", self.log_text())
        self.assertEqual(json.loads(self.run_it("directory", "status", "--json")[1])["conflicts"], 1)
        self.assertIn('1 address or other key has several owners, and what is sent to it is deferred: the log of ldapsync names them ("several '
                      'entries claim one key")', self.run_it("directory", "status")[1])
        self.write(DOMAIN + user_ldif("ann") + user_ldif("bob"))
        self.wait_for("bob@uni.example", "deliver")
        self.wait(lambda: json.loads(self.run_it("directory", "status", "--json")[1])["conflicts"] == 0)
        self.assertNotIn("several owners", self.run_it("directory", "status")[1])

    def test_why_for_people(self):
        self.write(DOMAIN + user_ldif("ann"))
        self.start()
        self.wait_for("ann@uni.example", "deliver")
        code, out, _ = self.run_it("why", "ann@uni.example", "nobody@uni.example")
        self.assertEqual(code, 1)
        self.assertIn("ann@uni.example is delivered to a mailbox of ours: 250 2.1.5", out)
        self.assertIn("because nobody has this address: nobody@uni.example, in the entry", out)
        self.assertEqual(self.run_it("why", "ann@uni.example", "--from", "x@else.example", "--outside")[0], 0)  # options stand anywhere
        self.assertEqual(self.run_it("why", "--", "-nobody@uni.example")[0], 1)
        self.assertIn("from version 1 of the shadow, up to date", out)
        self.assertEqual(self.run_it("why")[0], 2)
        self.assertEqual(self.run_it("why", "--wrong", "a@b")[0], 2)
        self.assertEqual(self.why("not an address")["code"], 501)
        self.assertEqual(self.why("x@else.example")["code"], 550)

    def test_outside(self):
        with open(self.conf, "a", encoding="utf-8") as stream:
            stream.write('relayhost = "smart.example:25"\n')
        self.write(DOMAIN + user_ldif("ann"))
        self.start()
        self.wait_for("ann@uni.example", "deliver")
        answer = self.why("x@else.example")
        self.assertEqual((answer["verdict"], answer["targets"]), ("relay", [{"address": "x@else.example", "host": "smart.example:25"}]))
        self.assertEqual(self.why("x@else.example", "--outside")["code"], 550)

    def test_password(self):
        code, out, _ = self.run_it("directory", "password", "--json", "ann", text="correct horse\n")
        self.assertEqual(code, 0)
        values = json.loads(out)
        self.assertTrue(values["userPassword"].startswith("{CRYPT}$y$"))
        self.assertTrue(values["phScram"].startswith("SCRAM-SHA-256$"))
        code, out, _ = self.run_it("directory", "password", "--scheme", "SSHA", "ann", text="x\n")
        self.assertIn("userPassword: {SSHA}", out)
        self.assertIn("userPassword: {ARGON2}$argon2id$", self.run_it("directory", "password", "--scheme", "argon2", "ann", text="x\n")[1])
        code, out, _ = self.run_it("directory", "password", "--dn", "uid=ann,ou=J\u00fcnger,dc=uni", "ann", text="x\n")
        self.assertEqual(base64.b64decode(out.splitlines()[1].removeprefix("dn:: ")).decode(), "uid=ann,ou=J\u00fcnger,dc=uni")
        self.assertIn("\ndn: uid=ann,dc=uni\n", self.run_it("directory", "password", "--dn", "uid=ann,dc=uni", "ann", text="x\n")[1])
        self.assertEqual([line.split(":")[0] for line in out.splitlines()[2:]],
                         ["changetype", "replace", "userPassword", "-", "replace", "phScram", "-"])
        self.assertEqual(self.run_it("directory", "password", "--dn", "ann", "ann", text="x\n")[0], 2)
        self.assertEqual(self.run_it("directory", "password", "--scheme", "ROT13", "ann", text="x\n")[0], 2)
        self.assertEqual(self.run_it("directory", "password", "ann", text="")[0], 2)
        self.assertEqual(self.run_it("directory", "password", "ann", text="\n")[0], 2)


if __name__ == "__main__":
    unittest.main()
