# SPDX-License-Identifier: Apache-2.0
"""deploy/up, as others' scripts use it: its last line, endpoints.json, a second run, a clean end. As root only: it makes users."""
import imaplib
import json
import os
import shutil
import signal
import smtplib
import ssl
import subprocess
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UP = os.path.join(ROOT, "deploy", "up")
DEADLINE_S = 240  # generous: for a noisy machine, never asserted as a speed
SERVICES = {"smtp", "submission", "submissions", "lmtp", "imap", "imaps", "pop3", "pop3s"}


@unittest.skipUnless(os.geteuid() == 0, "deploy/up makes users")
class DeployTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="posthouse-deploy-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        address = f"127.{64 + os.getpid() % 60}.{time.monotonic_ns() % 250}.1"
        self.arguments = [UP, "--no-install", "--dir", self.dir, "--address", address, "--port-base", "30000"]

    def once(self, *more):
        done = subprocess.run([*self.arguments, "--once", *more], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        return done, json.loads(done.stdout.splitlines()[-1])

    def read(self, *parts):
        with open(os.path.join(self.dir, *parts), encoding="ascii") as stream:
            return stream.read()

    def wait(self, process, path):
        end = time.monotonic() + DEADLINE_S
        while not os.path.exists(path):
            self.assertIsNone(process.poll(), process.poll() is not None and process.communicate()[0])
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def wait_for(self, condition):
        end = time.monotonic() + DEADLINE_S
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def test_once_proves_that_a_message_goes_through_and_again_on_the_same_folder(self):
        done, result = self.once()
        self.assertEqual((done.returncode, result["error"]), (0, None), done.stderr)
        self.assertEqual(set(result), {"ok", "queue_id", "imap_equal", "pop3_equal", "accepted", "delivered", "error"})
        self.assertEqual((result["ok"], result["imap_equal"], result["pop3_equal"]), (True, True, True))
        self.assertEqual(result["accepted"], result["delivered"])
        self.assertRegex(result["queue_id"], "^[0-9A-HJKMNP-TV-Z]{12}$")
        self.assertFalse(os.path.exists(os.path.join(self.dir, "endpoints.json")))
        certificate = self.read("tls", "mx.pem")
        done, again = self.once("--users", "3", "--password-scheme", "SSHA")
        self.assertEqual((done.returncode, again["ok"]), (0, True), done.stderr)
        self.assertNotEqual(again["queue_id"], result["queue_id"])
        self.assertEqual(self.read("tls", "mx.pem"), certificate)

    def test_in_the_foreground_it_serves_until_it_is_told_to_end(self):
        path = os.path.join(self.dir, "endpoints.json")
        process = subprocess.Popen([*self.arguments, "--users", "2"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            self.wait(process, path)
            with open(path, encoding="utf-8") as stream:
                endpoints = json.load(stream)
            self.assertEqual(set(endpoints["ports"]), SERVICES)
            self.assertEqual(endpoints["ports"]["imaps"], 30993)
            context = ssl.create_default_context(cafile=endpoints["ca_file"])
            user, address = endpoints["user"], endpoints["address"]
            with smtplib.SMTP(address, endpoints["ports"]["submission"], timeout=DEADLINE_S) as smtp:
                smtp.starttls(context=context)
                smtp.login(user["login"], user["password"])
            imap = imaplib.IMAP4_SSL(address, endpoints["ports"]["imaps"], ssl_context=context, timeout=DEADLINE_S)
            imap.login("u00002", user["password"])
            imap.logout()
            daemons = {}
            for name, pid in endpoints["pids"].items():
                with open(f"/proc/{pid}/status", encoding="ascii") as stream:
                    daemons[name] = dict(line.rstrip("\n").split(":\t", 1) for line in stream if ":\t" in line)
                self.assertEqual(os.readlink(f"/proc/{pid}/exe"), os.path.join(self.dir, "bin", "posthouse-" + name))
            self.assertEqual(len({status["Uid"] for status in daemons.values()}), 3)  # users of their own
            for status in daemons.values():
                self.assertNotIn("\t0", "\t" + status["Uid"])
                self.assertEqual((status["NoNewPrivs"], status["Seccomp"], int(status["CapEff"], 16)), ("1", "2", 0))
            def posthouse(*words):
                return subprocess.run([os.path.join(self.dir, "bin", "posthouse"), "-c", endpoints["config"], *words], capture_output=True,
                                      text=True, check=False)
            why = posthouse("why", "--json", "everyone@uni.example")
            self.assertEqual((why.returncode, json.loads(why.stdout)["verdict"]), (0, "expand"), why.stderr)
            self.assertEqual(posthouse("check").stdout, "ok\n")
            self.assertEqual({row["daemon"]: row["pid"] for row in map(json.loads, posthouse("status", "--json").stdout.splitlines())},
                             endpoints["pids"])
            self.assertRegex(posthouse("metrics", "popimap").stdout, r"(?s)posthouse_control_requests_total \d+\n.*# EOF\n$")
            for daemon in ("mta", "popimap", "ldapsync"):
                self.assertRegex(posthouse("metrics", daemon).stdout, r"posthouse_fiber_stack_high_water_bytes [1-9]\d+\n", daemon)
            # Certificates and settings are read again by users who may read them, inside their sandboxes.
            self.assertEqual(posthouse("reload").returncode, 0)
            for daemon in endpoints["pids"]:
                self.wait_for(lambda daemon=daemon: f'daemon={daemon} msg="settings were read again"' in self.read("log", "posthouse.log"))
            self.assertNotIn("level=error", self.read("log", "posthouse.log"))
        finally:
            process.send_signal(signal.SIGTERM)
            output = process.communicate(timeout=DEADLINE_S)[0]
        self.assertEqual(process.returncode, 0, output)
        self.assertFalse(os.path.exists(path))
        for pid in endpoints["pids"].values():
            self.assertFalse(os.path.exists(f"/proc/{pid}"))

    def test_wrong_use_is_said(self):
        self.assertEqual(subprocess.run([UP, "--dance"], capture_output=True, check=False).returncode, 2)
        self.assertEqual(subprocess.run([UP, "--users", "many"], capture_output=True, check=False).returncode, 2)


if __name__ == "__main__":
    unittest.main()
