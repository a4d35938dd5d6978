# SPDX-License-Identifier: Apache-2.0
"""Our side: a node installed and started as deploy/up does it, with deploy/node.py. Durability, log and threads are as shipped."""
import argparse
import os
import shutil
import subprocess
import sys

from . import machine

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "deploy"))
import example  # noqa: E402
import node  # noqa: E402

PORT_BASE = 22000
# What an administrator would have to set for these clients: LOGIN without TLS, and many unknown recipients in one session. A stop writes
# back each open mailbox, one after the other: thousands of them on a busy disk take longer than the 20 s of the default.
STOP_S = 300
node.STOP_S = STOP_S + 20
SETTINGS = ("auth_plaintext = trusted", "smtp_errors_max = 1000", f"stop_deadline_s = {STOP_S}")
DRAIN_S = 120


class BenchNode(node.Node):
    def write_config(self, sandbox="required"):
        super().write_config(sandbox)
        with open(self.config, encoding="utf-8") as stream:
            text = stream.read()
        node.replace_file(self.config, text + "\n".join(SETTINGS) + "\n", 0o644)


class Ours:
    name = "ours"
    accepts = {"smtp": "mta", "imap": "popimap"}  # which group says 250

    def __init__(self, folder, address, users):
        options = argparse.Namespace(dir=os.path.join(folder, "ours"), address=address, port_base=PORT_BASE, users=users, password_scheme="SSHA")
        self.node = BenchNode(options)
        self.groups = {}
        self.university = None  # of directory.py
        self.password = example.PASSWORD

    def address(self, service):
        return f"{self.node.options.address}:{self.node.ports['smtp' if service == 'rcpt' else service]}"

    def up(self):
        binaries = self.node.path("bin") + "/"
        machine.end_leftovers(lambda pid: machine.link(f"/proc/{pid}/exe").startswith(binaries))
        shutil.rmtree(self.node.dir, ignore_errors=True)  # empty mailboxes
        self.node.install()
        self.start()

    def start(self):
        self.node.start()
        self.groups["supervisor"] = machine.Group("ours-run")
        self.groups["supervisor"].add(self.node.process.pid)
        for daemon, pid in self.node.wait_until_up().items():
            self.groups[daemon] = machine.Group("ours-" + daemon)
            self.groups[daemon].add(pid)

    def stop(self):
        clean = self.node.stop()
        for group in self.groups.values():
            group.end()
            group.remove()
        self.groups = {}
        if not clean:
            raise node.Failed(f"our node did not end cleanly: {self.node.log_tail()}")

    def down(self):
        try:
            self.stop()
        finally:
            if self.university:
                self.university.down()

    def remove(self):
        shutil.rmtree(self.node.dir, ignore_errors=True)

    def restart(self):
        self.stop()
        self.start()

    def queued(self):
        stats = self.node.ask("mta", "stats")
        return stats["mta_queue_recipients"] if stats else 1

    def drain(self):
        machine.wait(DRAIN_S, lambda: not self.queued(), "our queue to be empty")

    def log_errors(self):
        return [line for line in machine.read(self.node.path("log", "posthouse.log")).splitlines() if "level=error" in line]

    def version(self):
        try:
            done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
            return "posthouse " + (done.stdout.strip() or "of an unknown commit")
        except OSError:  # no git here
            return "posthouse of an unknown commit"
