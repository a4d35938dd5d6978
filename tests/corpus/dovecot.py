# SPDX-License-Identifier: Apache-2.0
"""Debian's Dovecot as a second opinion: its imap program by itself, pre-authenticated on a socket pair as over an ssh login, with a
configuration and a mailbox of its own below one temporary folder. No daemon, no port, no user of the machine's Dovecot is touched.

    with Dovecot() as dovecot:
        imap = dovecot.imap()          # an imap_wire.Imap, logged in
"""
import os
import pwd
import shutil
import socket
import subprocess
import tempfile

from imap_wire import Imap

PROGRAM = "/usr/lib/dovecot/imap"


class Dovecot:
    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="posthouse-dovecot-")
        os.chmod(self.dir, 0o755)
        with open(os.path.join(self.dir, "dovecot.conf"), "w", encoding="ascii") as stream:
            stream.write(f"base_dir = {self.dir}/run\nssl = no\nprotocols = imap\nmail_location = sdbox:{self.dir}/mail\nmail_fsync = never\n"
                         "imap_max_line_length = 1M\nnamespace inbox {\n  inbox = yes\n}\n")
        for name in ("run", "mail"):
            os.mkdir(os.path.join(self.dir, name))
        # It refuses to read mail as root.
        self.user = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        for name in ("", "run", "mail"):
            os.chown(os.path.join(self.dir, name), self.user.pw_uid, self.user.pw_gid)
        self.log = open(os.path.join(self.dir, "log"), "wb")
        self.processes = []
        return self

    def imap(self):
        ours, its = socket.socketpair()
        as_root = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
        self.processes.append(subprocess.Popen([PROGRAM, "-c", os.path.join(self.dir, "dovecot.conf")], stdin=its, stdout=its, stderr=self.log,
                                               cwd=self.dir, env={"HOME": self.dir, "USER": "second"}, **as_root))
        its.close()
        return Imap(ours)

    def log_text(self):
        with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def __exit__(self, *exc):
        for process in self.processes:
            process.terminate()
            process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)
