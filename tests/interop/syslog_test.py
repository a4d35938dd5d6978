# SPDX-License-Identifier: Apache-2.0
"""log_destination = syslog: the daemons' lines reach /dev/log, with the facility mail, from inside their sandboxes.

The test's /dev is its own: a mount namespace with a socket of the test at /dev/log. The machine's log hears nothing.
"""
import os
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

from node import Node, message

FACILITY_MAIL, ERROR, INFO = 2, 3, 6


class Syslog(unittest.TestCase):
    def setUp(self):
        if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no mount namespace here (in a chroot whose root is no mount point)")
        self.dev = tempfile.mkdtemp(prefix="posthouse-dev-")
        self.addCleanup(shutil.rmtree, self.dev)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(os.path.join(self.dev, "log"))
        self.socket.settimeout(0.2)
        os.chmod(os.path.join(self.dev, "log"), 0o666)
        for name in ("null", "zero", "full", "random", "urandom", "tty"):
            open(os.path.join(self.dev, name), "w", encoding="ascii").close()
        self.lines = []

    def hear(self):
        """All lines so far, as (facility, severity, program, pid, text)."""
        try:
            while True:
                self.lines.append(self.socket.recv(65536).decode())
        except TimeoutError:
            pass
        parsed = [re.fullmatch(r"<(\d+)>... .\d \d\d:\d\d:\d\d ([a-z]+)\[(\d+)\]: (.*)", line, re.S) for line in self.lines]
        self.assertNotIn(None, parsed, self.lines)
        return [(int(m[1]) >> 3, int(m[1]) & 7, m[2], int(m[3]), m[4]) for m in parsed]

    def test_lines_of_all_daemons(self):
        mounts = " && ".join(f"mount --bind /dev/{name} {self.dev}/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty"))
        node = Node(settings={"log_destination": "syslog", "sandbox": "required"},
                    wrapper=("unshare", "--mount", "sh", "-c", f'{mounts} && mount --rbind {self.dev} /dev && exec "$@"', "sh"))
        self.addCleanup(node.remove)
        node.start()
        try:
            pids = node.daemon_pids()
            with node.smtp() as smtp:
                smtp.sendmail("a@out.example", ["bob@uni.example"], message("a\tsubject"))
            node.wait(lambda: any("msg=\"recipient tried\"" in line[4] for line in self.hear()), "the delivery's line")
        finally:
            node.stop()
        heard = self.hear()
        for name in ("mta", "popimap", "ldapsync"):
            mine = [line for line in heard if line[3] == pids[name]]
            self.assertTrue(any('msg="ready"' in line[4] for line in mine), name)
            self.assertTrue(any('msg="stopped"' in line[4] for line in mine), name)
        self.assertEqual({line[0] for line in heard}, {FACILITY_MAIL})
        self.assertEqual([line for line in heard if line[1] <= ERROR], [])
        accepted = [line for line in heard if 'msg="message accepted"' in line[4]]
        self.assertEqual([line[1] for line in accepted], [INFO])
        self.assertFalse(any("\n" in line[4] or line[4].startswith("ts=") for line in heard))  # syslog has a time of its own


if __name__ == "__main__":
    unittest.main()
