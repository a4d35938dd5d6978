# SPDX-License-Identifier: Apache-2.0
"""deploy/ldap/up, as others' scripts use it: its last line, endpoints.json, what is served, a second run, a clean end. As root only."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from node import user_ldif
from slapd import ROOT, deployed

UP = os.path.join(ROOT, "deploy", "ldap", "up")
DEADLINE_S = 240  # generous: for a noisy machine, never asserted as a speed


@unittest.skipUnless(os.geteuid() == 0, "deploy/ldap/up makes users")
class UpTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="posthouse-ldap-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        address = f"127.{64 + os.getpid() % 60}.{time.monotonic_ns() % 250}.2"
        self.arguments = [UP, "--no-install", "--dir", self.dir, "--address", address, "--port-base", "30000"]
        self.endpoints = os.path.join(self.dir, "endpoints.json")
        self.programs = deployed.Programs()

    def start(self, *more):
        """The process and what endpoints.json says."""
        process = subprocess.Popen([*self.arguments, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(self.end, process)
        end = time.monotonic() + DEADLINE_S
        while not os.path.exists(self.endpoints):
            self.assertIsNone(process.poll(), process.poll() is not None and process.communicate()[0])
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        with open(self.endpoints, encoding="utf-8") as stream:
            return process, json.load(stream)

    def end(self, process):
        """Its exit code after SIGTERM."""
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=DEADLINE_S)
        process.stdout.close()
        return process.returncode

    def ask(self, program, told, uri, *more, input=None):
        return self.programs.run(program, "-x", "-H", uri, "-D", told["admin_dn"], "-w", told["admin_password"], *more, input=input,
                                 deadline_s=DEADLINE_S)

    def count(self, told, uri, filter):
        return self.ask("ldapsearch", told, uri, "-LLL", "-b", told["base_dn"], filter, "1.1").count("dn: ")

    def test_once(self):
        done = subprocess.run([*self.arguments, "--once", "--users", "5", "--shadows", "2"], capture_output=True, text=True, timeout=DEADLINE_S,
                              check=False)
        result = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual((done.returncode, result["error"]), (0, None), done.stderr)
        self.assertEqual(result, {"ok": True, "users": 5, "shadows": 2, "shadows_equal": True, "node_synced": True, "error": None})
        self.assertFalse(os.path.exists(self.endpoints))
        done = subprocess.run([*self.arguments, "--once", "--shadows", "0"], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        result = json.loads(done.stdout.splitlines()[-1])  # a new directory in the same folder
        self.assertEqual((done.returncode, result["error"]), (0, None), done.stderr)

    def test_it_serves_until_it_is_told_to_end_and_keeps_what_was_changed(self):
        process, told = self.start("--users", "30", "--shadows", "2")
        self.assertEqual(set(told), {"ldap_master", "ldap_shadows", "base_dn", "admin_dn", "admin_password", "config"})
        self.assertEqual(len(told["ldap_shadows"]), 2)
        for uri in (told["ldap_master"], *told["ldap_shadows"]):
            self.assertEqual(self.count(told, uri, "(objectClass=phMailUser)"), 80, uri)
            self.assertEqual(self.count(told, uri, "(objectClass=phMailHost)"), 2, uri)
            self.assertEqual(self.count(told, uri, "(|(objectClass=phMailAlias)(objectClass=phMailList)(objectClass=phMailGroup))"), 10, uri)
        self.ask("ldapadd", told, told["ldap_master"], input=user_ldif("zara"))
        checked = subprocess.run([os.path.join(self.dir, "bin", "posthouse"), "-c", told["config"], "check"], capture_output=True, text=True)
        self.assertEqual(checked.stdout, "ok\n")
        with open(told["config"], encoding="utf-8") as stream:
            self.assertIn(f'ldap_uri = {{"{told["ldap_shadows"][0]}"', stream.read())

        beside = subprocess.run([*self.arguments[:-1], "33000"], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        self.assertEqual(beside.returncode, 1)
        self.assertIn("runs already in " + self.dir, beside.stderr)
        self.assertIn(f"kill {process.pid}", beside.stderr)
        self.assertTrue(os.path.exists(self.endpoints))
        again = subprocess.run([*self.arguments, "--users", "30", "--shadows", "2"], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        self.assertEqual(again.returncode, 0, again.stderr)
        for said in (f"as process {process.pid}", told["ldap_master"], *told["ldap_shadows"], self.endpoints):
            self.assertIn(said, again.stdout)
        once = subprocess.run([*self.arguments, "--users", "30", "--shadows", "2", "--once"], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        result = json.loads(once.stdout.splitlines()[-1])
        self.assertEqual((once.returncode, result["ok"]), (1, False))
        self.assertIn(f"kill {process.pid}", result["error"])
        self.assertIsNone(process.poll())

        self.assertEqual(self.end(process), 0)
        self.assertFalse(os.path.exists(self.endpoints))
        process, told = self.start("--users", "30", "--shadows", "2")
        self.assertEqual(self.count(told, told["ldap_shadows"][1], "(uid=zara)"), 1)
        self.assertEqual(self.end(process), 0)
        process, told = self.start("--users", "3", "--shadows", "0")
        self.assertEqual((self.count(told, told["ldap_master"], "(objectClass=phMailUser)"), told["ldap_shadows"]), (53, []))
        self.assertEqual(self.end(process), 0)

    def posthouse(self, told, *arguments):
        return subprocess.run([os.path.join(self.dir, "bin", "posthouse"), "-c", told["config"], *arguments], capture_output=True, text=True, check=False)

    def wait_for(self, condition):
        end = time.monotonic() + DEADLINE_S
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)

    def test_it_comes_back_to_a_node_that_runs(self):
        process, told = self.start("--users", "3")
        node = subprocess.Popen([os.path.join(self.dir, "bin", "posthouse"), "-c", told["config"], "run"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: node.poll() is None and (node.terminate(), node.wait(DEADLINE_S)))
        self.wait_for(lambda: self.posthouse(told, "directory", "status").returncode == 0)
        self.assertEqual(self.end(process), 0)
        other = subprocess.run([*self.arguments, "--users", "4"], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        self.assertEqual(other.returncode, 1)  # it would take its directory away
        self.assertIn(f"kill {node.pid}", other.stderr)
        process, told = self.start("--users", "3")
        self.wait_for(lambda: self.posthouse(told, "directory", "status", "--json").stdout.find('"state":"PERSIST"') > 0)
        self.ask("ldapadd", told, told["ldap_master"], input=user_ldif("zara"))
        self.wait_for(lambda: self.posthouse(told, "why", "zara@uni.example").returncode == 0)
        self.assertEqual(self.end(process), 0)
        once = subprocess.run([*self.arguments, "--users", "3", "--once"], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        self.assertEqual(json.loads(once.stdout.splitlines()[-1])["error"], None, once.stderr)
        self.assertIsNone(node.poll())
        node.terminate()
        self.assertEqual(node.wait(DEADLINE_S), 0)

    def test_a_server_that_dies_is_said(self):
        process, _ = self.start()
        with open(os.path.join(self.dir, "slapd", "shadow1", "slapd.pid"), encoding="ascii") as stream:
            os.kill(int(stream.read()), signal.SIGKILL)
        output = process.communicate(timeout=DEADLINE_S)[0]
        self.assertEqual(process.returncode, 1, output)
        self.assertRegex(output, r"slapd on ldap://\S+ ended with -9; its log is ")
        self.assertFalse(os.path.exists(self.endpoints))

    def test_wrong_use_is_said(self):
        for arguments, said in ((["--dance"], "unknown option '--dance'"), (["--users", "many"], "wants a number, not 'many'"),
                                (["--users"], "wants a value"), (["--shadows", "100"], "at most 99"), (["--port-base", "65000"], "at most 64000"),
                                (["--address", "192.0.2.1"], "not one of loopback")):
            done = subprocess.run([UP, *arguments], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(said, done.stderr.splitlines()[0])


if __name__ == "__main__":
    unittest.main()
