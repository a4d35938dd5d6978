# SPDX-License-Identifier: Apache-2.0
"""`posthouse run` with daemons that the test writes: sockets are passed on, deaths are answered, the end is clean."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("POSTHOUSE_BIN", os.path.join(ROOT, "build", "release", "bin"))
DEADLINE_S = 30

# Writes what it was given, says READY, then answers each connection on its first socket with its pid until it is told to end.
DAEMON = """#!%s
import json, os, select, signal, socket, sys, time
name = os.path.basename(sys.argv[0]).removeprefix("posthouse-")
folder = os.path.dirname(os.path.abspath(sys.argv[0]))
def note(what, text=""):
    with open(os.path.join(folder, name + "." + what), "a") as stream:
        stream.write(text + "\\n")
plan = os.path.join(folder, name + ".plan")
plan = open(plan).read() if os.path.exists(plan) else ""
if plan.startswith("exit"):
    sys.exit(int(plan.split()[1]))
if plan == "slow":
    time.sleep(1)
signal.signal(signal.SIGHUP, lambda *_: note("hup"))
signal.signal(signal.SIGTERM, lambda *_: (note("term"), os._exit(0)))
signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP, signal.SIGTERM))
sockets = [socket.socket(fileno=3 + i) for i in range(int(os.environ["LISTEN_FDS"]))]
names = os.environ["LISTEN_FDNAMES"].split(":") if sockets else []
note("start", json.dumps({"pid": os.getpid(), "listen_pid": int(os.environ["LISTEN_PID"]), "argv": sys.argv[1:],
    "sockets": [[n, *s.getsockname()] for n, s in zip(names, sockets)], "extra": os.path.exists("/proc/self/fd/%%d" %% (3 + len(sockets)))}))
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
    sock.sendto(b"READY=1", "\\0" + os.environ["NOTIFY_SOCKET"][1:])
while True:
    for ready in select.select(sockets, [], [])[0]:
        peer = ready.accept()[0]
        peer.sendall(str(os.getpid()).encode())
        peer.close()
""" % sys.executable


class RunTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="posthouse-run-")
        self.addCleanup(shutil.rmtree, self.dir)
        os.mkdir(self.path("bin"))
        shutil.copy(os.path.join(BIN, "posthouse"), self.path("bin", "posthouse"))
        for name in ("mta", "popimap", "ldapsync"):
            with open(self.path("bin", "posthouse-" + name), "w", encoding="utf-8") as stream:
                stream.write(DAEMON)
            os.chmod(stream.name, 0o755)
        self.address = f"127.99.{os.getpid() % 250}.{1 + time.monotonic_ns() % 250}"
        with open(self.path("conf"), "w", encoding="utf-8") as stream:
            stream.write('hostname = "mx.uni.example"\nmta_user = ""\npopimap_user = ""\nldapsync_user = ""\ngroup = ""\nlisten_submission = {}\n'
                         'listen_submissions = {}\nlisten_pop3 = {}\nlisten_pop3s = {}\nlisten_imaps = {}\nstop_deadline_s = 5\n'
                         f'data_dir = "{self.path("data")}"\nrun_dir = "{self.path("run")}"\nlisten_lmtp = {{"{self.address}:2403"}}\n'
                         f'listen_smtp = {{"{self.address}:2401", "{self.address}:2402"}}\nlisten_imap = {{"{self.address}:2404"}}\n')
        self.process = None
        self.addCleanup(self.kill)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def plan(self, name, text):
        with open(self.path("bin", name + ".plan"), "w", encoding="utf-8") as stream:
            stream.write(text)

    def notes(self, name, what="start"):
        try:
            with open(self.path("bin", f"{name}.{what}"), encoding="utf-8") as stream:
                return stream.read().splitlines()
        except FileNotFoundError:
            return []

    def starts(self, name):
        return [json.loads(line) for line in self.notes(name)]

    def start(self):
        self.log = open(self.path("log"), "wb")
        self.addCleanup(self.log.close)
        self.process = subprocess.Popen([self.path("bin", "posthouse"), "-c", self.path("conf"), "run"], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)

    def log_text(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def wait(self, condition, what):
        end = time.monotonic() + DEADLINE_S
        while not condition():
            self.assertLess(time.monotonic(), end, f"waited in vain for {what}: {self.log_text()}")
            time.sleep(0.02)

    def start_all(self):
        self.start()
        self.wait(lambda: "all daemons are ready" in self.log_text(), "READY of all")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(DEADLINE_S), 0, self.log_text())

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def who_answers(self, port):
        with socket.create_connection((self.address, port), timeout=DEADLINE_S) as sock:
            return int(sock.recv(100))

    def test_sockets_are_passed_by_name(self):
        self.start_all()
        mta, popimap, ldapsync = (self.starts(name)[0] for name in ("mta", "popimap", "ldapsync"))
        self.assertEqual(mta["sockets"], [["smtp", self.address, 2401], ["smtp", self.address, 2402]])
        self.assertEqual(popimap["sockets"], [["lmtp", self.address, 2403], ["imap", self.address, 2404]])
        self.assertEqual(ldapsync["sockets"], [])
        for daemon in (mta, popimap, ldapsync):
            self.assertEqual(daemon["listen_pid"], daemon["pid"])
            self.assertEqual(daemon["argv"], ["-c", self.path("conf")])
            self.assertFalse(daemon["extra"], "a descriptor of somebody else was passed on")
        self.assertEqual(self.who_answers(2402), mta["pid"])
        self.stop()
        for name in ("mta", "popimap", "ldapsync"):
            self.assertEqual(len(self.notes(name, "term")), 1)

    def test_a_daemon_that_dies_is_started_again_and_no_connection_is_lost(self):
        self.start_all()
        first = self.starts("mta")[0]["pid"]
        os.kill(first, signal.SIGKILL)
        self.assertNotEqual(self.who_answers(2401), first)  # waited in the backlog meanwhile
        self.assertEqual([len(self.starts(name)) for name in ("mta", "popimap", "ldapsync")], [2, 1, 1])
        self.stop()

    def test_a_daemon_is_not_started_again_after_an_io_error(self):
        self.start_all()
        self.plan("mta", "exit 74")
        os.kill(self.starts("mta")[0]["pid"], signal.SIGKILL)
        self.wait(lambda: "stays down" in self.log_text(), "the verdict")
        self.assertIn("level=error", self.log_text().split("stays down")[0].splitlines()[-1])
        self.who_answers(2404)
        self.stop()
        self.assertEqual(len(self.starts("mta")), 1)

    def test_what_cannot_start_ends_all(self):
        self.plan("popimap", "exit 1")
        self.start()
        self.assertEqual(self.process.wait(DEADLINE_S), 1)
        self.assertIn("daemon cannot start", self.log_text())
        # One that is told before it has started hears of it all the same.
        self.wait(lambda: len(self.notes("mta", "term")) >= len(self.starts("mta")), "the others to be told")

    def test_hangup_reads_settings_again_and_a_bad_file_changes_nothing(self):
        self.start_all()
        self.process.send_signal(signal.SIGHUP)
        for name in ("mta", "popimap", "ldapsync"):
            self.wait(lambda name=name: len(self.notes(name, "hup")) == 1, "SIGHUP to be passed on")
        with open(self.path("conf"), "a", encoding="utf-8") as stream:
            stream.write("relayhost = nowhere\n")
        self.process.send_signal(signal.SIGHUP)
        self.wait(lambda: "were not taken over" in self.log_text(), "the complaint")
        self.assertIn(f"{self.path('conf')}:", self.log_text())
        self.stop()
        self.assertEqual(len(self.notes("mta", "hup")), 1)

    def test_a_hangup_during_the_start_ends_nobody(self):
        self.plan("mta", "slow")
        self.start()
        self.wait(lambda: self.log_text().count("daemon started") == 3, "the start")
        self.process.send_signal(signal.SIGHUP)
        self.wait(lambda: "all daemons are ready" in self.log_text(), "READY of all")
        self.wait(lambda: len(self.notes("mta", "hup")) == 1, "SIGHUP to be taken")
        self.stop()

    def test_an_address_in_use_is_said(self):
        with socket.create_server((self.address, 2404)):
            self.start()
            self.assertEqual(self.process.wait(DEADLINE_S), 1)
        self.assertIn("listen_imap", self.log_text())
        self.assertEqual(self.starts("mta"), [])

    def test_folders_have_the_modes_of_the_contract(self):
        self.start_all()
        modes = {name: oct(os.stat(self.path("data", name)).st_mode & 0o7777) for name in os.listdir(self.path("data"))}
        self.assertEqual(modes, {"queue": "0o700", "mailboxes": "0o700", "shadow": "0o2750", "credentials": "0o2750"})
        secret = self.path("data", "credentials", "secret")
        self.assertEqual((oct(os.stat(secret).st_mode & 0o7777), os.stat(secret).st_size), ("0o640", 32))
        with open(secret, "rb") as stream:
            first = stream.read()
        self.stop()
        self.start_all()
        with open(secret, "rb") as stream:
            self.assertEqual(stream.read(), first)
        self.stop()


if __name__ == "__main__":
    unittest.main()
