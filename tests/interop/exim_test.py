# SPDX-License-Identifier: Apache-2.0
"""Exim sends to us, over SMTP and over LMTP, in chunks (RFC 3030) because we offer them.

Debian's mail servers exclude each other, so Exim is not installed but unpacked, and shown to itself alone in a mount namespace:

    apt-get download exim4-daemon-light && dpkg-deb -x exim4-daemon-light_*.deb ROOT
    POSTHOUSE_EXIM_ROOT=ROOT …/exim_test.py

Without the variable, or without root, this is left out.
"""
import os
import re
import subprocess
import unittest

from node import DEADLINE_S, NodeTest, message

ROOT = os.environ.get("POSTHOUSE_EXIM_ROOT", "")
USER = 64999  # Debian-exim, which exists only for Exim's eyes
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


@unittest.skipUnless(ROOT and os.geteuid() == 0, "POSTHOUSE_EXIM_ROOT is not set, or this is not root")
class Exim(NodeTest):
    users = ("ann", "bob")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        node = cls.node
        os.chmod(node.dir, 0o755)
        for name in ("exim", "exim/spool"):
            os.mkdir(node.path(name))
            os.chown(node.path(name), USER, USER)
        node.write("exim/conf", CONFIG.format(dir=node.path("exim"), address=node.address, smtp=node.ports["smtp"], lmtp=node.ports["lmtp"]))
        for name, line in (("passwd", f"Debian-exim:x:{USER}:{USER}::/:/bin/false\n"), ("group", f"Debian-exim:x:{USER}:\n")):
            with open(f"/etc/{name}", encoding="utf-8") as stream:
                node.write("exim/" + name, stream.read() + line)

    def send(self, text, *recipients):
        """What Exim says while it delivers a message with LF line ends."""
        folder = self.node.path("exim")
        script = (f"mount --bind {folder}/passwd /etc/passwd && mount --bind {folder}/group /etc/group && "
                  f"mount -t overlay overlay -o lowerdir={ROOT}/usr/sbin:/usr/sbin /usr/sbin && "
                  f"exec exim4 -C {folder}/conf -oi -odf -v -f a@out.example {' '.join(recipients)}")
        done = subprocess.run(["unshare", "-m", "sh", "-c", script], input=text.replace("\r\n", "\n").encode(), capture_output=True, timeout=DEADLINE_S)
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
