# SPDX-License-Identifier: Apache-2.0
"""The directory of a large university: how fast a node takes it over from slapd, how soon it knows of a change, what it costs to keep,
and how many recipients a second the shadow decides. A slapd and a node of their own (deploy/ldap/directory.py), beside the two sides."""
import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
import time

from . import machine
from .measure import Spoilt, results
from .ours import ROOT, example, node

sys.path.insert(0, os.path.join(ROOT, "deploy", "ldap"))
import directory as deployed  # noqa: E402
import server  # noqa: E402

DECIDE = os.path.join(ROOT, "build", "release", "bench", "decide")
PORT_BASE = 24000
DECIDE_S, SYNC_S, VISIBLE_S = 5, 300, 20
CHANGES_PER_S = 50
ADDRESS_KEY = 1  # kind of an address in the shadow, schema/FORMATS.md section 9


class University:
    """Made at the first workload that wants it, kept for the repeats, stopped by the side that has it."""

    def __init__(self, folder, address, users):
        options = argparse.Namespace(dir=os.path.join(folder, "directory"), address=address, port_base=PORT_BASE, users=users, shadows=0,
                                     password_scheme=None)
        self.rig = deployed.Rig(options)
        self.shadow = self.rig.path("data", "shadow", "shadow.db")
        self.group = None

    def up(self):
        shutil.rmtree(self.rig.dir, ignore_errors=True)
        self.rig.install()
        self.rig.start_servers()

    def down(self):
        self.stop_node()
        self.rig.stop()
        shutil.rmtree(self.rig.dir, ignore_errors=True)

    def stop_node(self):
        clean = node.Node.stop(self.rig)
        if self.group:
            self.group.end()
            self.group.remove()
            self.group = None
        if not clean:
            raise Spoilt(f"directory: the node did not end cleanly: {self.rig.log_tail()}")

    def status(self):
        return self.rig.ask("ldapsync", "directory.status") or {}

    def first_sync(self):
        """Entries a second into an empty node, from the start of its daemons until the shadow is complete; and of ldapsync's CPU."""
        self.stop_node()
        shutil.rmtree(self.rig.path("data", "shadow"), ignore_errors=True)
        shutil.rmtree(self.rig.path("data", "credentials"), ignore_errors=True)
        start = time.monotonic()
        self.rig.start()
        machine.wait(SYNC_S, lambda: self.status().get("state") == "PERSIST", "the first sync")
        seconds = time.monotonic() - start
        pid = self.rig.ask("ldapsync", "ping")["pid"]
        cpu_s = sum(int(field) for field in machine.read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[11:13]) * machine.TICK_S
        self.group = machine.Group("directory-ldapsync")
        self.group.add(pid)
        with sqlite3.connect(f"file:{self.shadow}?mode=ro", uri=True) as shadow:
            entries = shadow.execute("SELECT entries FROM state").fetchone()[0]
        if entries < self.rig.options.users:
            raise Spoilt(f"directory: {entries} entries came of {self.rig.options.users} users")
        return entries / seconds, entries / max(cpu_s, machine.TICK_S)

    def visible(self, changes):
        """Seconds from handing a change to the master's client until the shadow has it, of each."""
        master = self.rig.master
        client = subprocess.Popen(master.programs.command("ldapmodify", "-H", master.uri, *master.as_admin()), stdin=subprocess.PIPE,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=master.programs.environment())
        found = []
        try:
            with sqlite3.connect(f"file:{self.shadow}?mode=ro", uri=True, isolation_level=None) as shadow:
                for number in range(changes):
                    uid = f"new{os.getpid()}x{time.monotonic_ns()}"
                    key = f"{uid}@{example.DOMAIN}".encode()
                    dn = f"uid={uid},ou=people,{example.BASE}"
                    text = example.entry(dn, ("inetOrgPerson", "phMailUser"), f"uid: {uid}", "cn: New", "sn: New",
                                         f"mail: {uid}@{example.DOMAIN}", f"mailHost: {example.HOSTS[0]}")
                    text = text.replace("\n", "\nchangetype: add\n", 1)
                    start = time.monotonic()
                    client.stdin.write(text)
                    client.stdin.flush()
                    while not shadow.execute("SELECT 1 FROM key WHERE kind = ? AND key = ?", (ADDRESS_KEY, key)).fetchone():
                        if time.monotonic() - start > VISIBLE_S:
                            raise Spoilt(f"directory: change {number} was not in the shadow after {VISIBLE_S} s")
                        time.sleep(0.0001)
                    found.append(time.monotonic() - start)
                    time.sleep(1 / CHANGES_PER_S)
        finally:
            client.stdin.close()
            client.wait()
            client.stderr.close()
        return sorted(found)

    def decide(self):
        done = subprocess.run([DECIDE, self.shadow, example.DOMAIN, str(self.rig.options.users), str(DECIDE_S)], capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            raise Spoilt(f"directory: {done.stderr.strip()[-300:]}")
        return results(done.stdout)[0]


def run(side, plan):
    if side.university is None:
        side.university = University(os.path.dirname(side.node.dir), side.node.options.address, plan.people)
        side.university.up()
    here = side.university
    busy, all_, start = *machine.cpu_of_machine(), time.monotonic()
    rate, cpu_rate = here.first_sync()
    waits = here.visible(max(100, plan.n(500)))
    memory = here.group.pss_kib()
    decided = here.decide()
    busy_after, all_after = machine.cpu_of_machine()
    return {"sync_rate": rate, "sync_cpu_rate": cpu_rate, "visible_ms": 1000 * waits[int(0.99 * (len(waits) - 1))],
            "visible_p50_ms": 1000 * waits[len(waits) // 2], "users": here.rig.options.users, "memory_mib": memory / 1024,
            "decide_rate": decided["rate"], "decide_cpu_rate": decided["cpu_rate"], "decide_us": decided["p99_us"],
            "ok": decided["ok"], "seconds": time.monotonic() - start, "busy_pct": 100 * (busy_after - busy) / max(all_after - all_, 0.01)}


FAULTS = (server.Failed, sqlite3.Error)
