# SPDX-License-Identifier: Apache-2.0
"""Exim sends to us, over SMTP and over LMTP, in chunks (RFC 3030) because we offer them.

Debian's mail servers exclude each other, so Exim is not installed but unpacked (deploy/packages exim) into build/exim, fetched once, and runs
in a chroot there. Where this process may not do that, it is skipped aloud.
"""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from node import DEADLINE_S, NodeTest, message, ROOT as SOURCE

ROOT = os.path.join(SOURCE, "build", "exim")
FETCH_S = 600
USER = 64999  # Debian-exim, which exists only in there
CONFIG = """\
keep_environment =
primary_hostname = out.example
spool_directory = {dir}/spool
log_file_path = {dir}/%slog
tls_advertise_hosts =
begin routers
lmtp:
  driver = manualroute
  condition = ${{if match{{$local_part}}{{lmtp}}}}
  route_list = * {address}
  transport = lmtp
  self = send
smtp:
  driver = manualroute
  domains = uni.example
  route_list = * {address}
  transport = smtp
  self = send
begin transports
smtp:
  driver = smtp
  port = {smtp}
  allow_localhost
lmtp:
  driver = smtp
  protocol = lmtp
  port = {lmtp}
  allow_localhost
begin retry
* * F,1h,1m
"""


def chroot(*command, text=b""):
    """A program of the unpacked Exim: the finished process."""
    return subprocess.run(["chroot", ROOT, *command], input=text, capture_output=True, timeout=DEADLINE_S, check=False)


def make_root():
    subprocess.run([os.path.join(SOURCE, "deploy", "packages"), "exim", ROOT], check=True, timeout=FETCH_S)
    for name, line in (("passwd", f"root:x:0:0::/:/bin/false\nDebian-exim:x:{USER}:{USER}::/:/bin/false\n"),
                       ("group", f"root:x:0:\nDebian-exim:x:{USER}:\n")):
        with open(os.path.join(ROOT, "etc", name), "w", encoding="ascii") as stream:
            stream.write(line)
    os.makedirs(os.path.join(ROOT, "dev"), exist_ok=True)
    for name, minor in (("null", 3), ("zero", 5), ("random", 8), ("urandom", 9)):
        path = os.path.join(ROOT, "dev", name)
        if not os.path.exists(path):
            os.mknod(path, 0o20666, os.makedev(1, minor))
        os.chmod(path, 0o666)
        open(path, "rb").close()  # refused where no devices are allowed


class Exim(NodeTest):
    users = ("ann", "bob")

    @classmethod
    def setUpClass(cls):
        try:
            make_root()
            done = chroot("/usr/sbin/exim4", "-C", "/dev/null", "-bV")
        except PermissionError as error:
            raise unittest.SkipTest(f"skipped: no chroot for Exim here: {error}") from error
        if done.returncode:
            raise unittest.SkipTest(f"skipped: no chroot for Exim here: {done.stderr.decode(errors='replace')}")
        super().setUpClass()
        node = cls.node
        cls.folder = tempfile.mkdtemp(dir=ROOT)
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.inside = "/" + os.path.basename(cls.folder)
        os.chmod(cls.folder, 0o755)
        os.mkdir(os.path.join(cls.folder, "spool"))
        for path in (cls.folder, os.path.join(cls.folder, "spool")):
            os.chown(path, USER, USER)
        with open(os.path.join(cls.folder, "conf"), "w", encoding="ascii") as stream:
            stream.write(CONFIG.format(dir=cls.inside, address=node.address, smtp=node.ports["smtp"], lmtp=node.ports["lmtp"]))

    def send(self, text, *recipients):
        """What Exim says while it delivers a message with LF line ends."""
        done = chroot("/usr/sbin/exim4", "-C", self.inside + "/conf", "-oi", "-odf", "-v", "-f", "a@out.example", *recipients,
                      text=text.replace("\r\n", "\n").encode())
        return (done.stdout + done.stderr).decode(errors="replace")

    def check(self, subject, size, *recipients):
        body = ".\r\n..\r\nFrom here\r\n" + "0123456789" * 90 + "\r\n"
        said = self.send(message(subject, body * size), *recipients)
        self.assertRegex(said, r"SMTP\+?>> BDAT \d+|SMTP\+> BDAT \d+")
        self.assertNotIn("DATA\n", said)
        self.assertEqual(len(re.findall(r"\n  [=-]> ", said)), len(recipients), said)
        self.node.wait_queue_empty()
        for recipient in recipients:
            user = re.split("[+@]", recipient)[0]
            found = [m for m in self.node.messages(user) if f"Subject: {subject}\r\n".encode() in m]
            self.assertEqual(len(found), 1, said)
            self.assertTrue(found[0].endswith(b"\r\n\r\n" + (body * size).encode()), found[0][:2000])

    def test_one_chunk(self):
        self.check("small", 1, "bob@uni.example")

    def test_two_chunks_and_two_recipients(self):
        self.check("large", 3000, "bob@uni.example", "ann@uni.example")

    def test_over_lmtp(self):
        self.check("lmtp", 3000, "bob+lmtp@uni.example", "ann+lmtp@uni.example")

    def test_nobody(self):
        """The chunk behind a refused recipient was on its way already; Exim and we agree on what the replies belong to."""
        said = self.send(message("nobody"), "nobody@uni.example")
        self.assertRegex(said, r"(?s)BDAT.*SMTP<< 550 5\.1\.1.*SMTP<< 554 5\.5\.1 no valid recipients.*SMTP<< 221")


if __name__ == "__main__":
    unittest.main()
