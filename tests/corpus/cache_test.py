# SPDX-License-Identifier: Apache-2.0
"""ENVELOPE, BODY, BODYSTRUCTURE and sizes come from the cache: strace watches a daemon that has just started, and what it reads from the
disk for them holds no page of any body."""
import re
import socket
import subprocess
import time
import unittest

from node import DEADLINE_S, PASSWORD, NodeTest

from imap_wire import Imap

MARK = "only-bodies-have-this"
SIZES = [60 << 10] * 40 + [300 << 10] * 4  # in mail.db, and in files of their own
# The beginning of a body may share a page with its row.
FIRST_BYTES = 8 << 10


def message(number, size):
    head = (f"From: ann@uni.example\r\nTo: bob@uni.example\r\nSubject: number {number}\r\nMIME-Version: 1.0\r\n"
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: text/html\r\n\r\n")
    first = "x" * 70 + "\r\n"
    body = first * (FIRST_BYTES // len(first)) + (MARK + " " + "y" * 40 + "\r\n") * ((size - FIRST_BYTES) // 64)
    return (head + body + "\r\n--b--\r\n").encode()


class Cache(NodeTest):
    users = ("ann",)
    settings = {"log_level": "info"}

    def imap(self):
        sock = socket.create_connection((self.node.address, self.node.ports["imaps"]), timeout=60)
        imap = Imap(self.node.tls().wrap_socket(sock, server_hostname="mx.uni.example"))
        imap.command(f'LOGIN ann "{PASSWORD}"'.encode())
        imap.command(b"EXAMINE INBOX")
        return imap

    def is_traced(self, pid):
        with open(f"/proc/{pid}/status", encoding="ascii") as stream:
            return "TracerPid:\t0\n" not in stream.read()

    def trace(self, work):
        """What the daemon read from files while it worked: [(path, what strace shows)]."""
        out = self.node.path("strace.popimap")
        pid = self.node.daemon_pids()["popimap"]
        strace = subprocess.Popen(["strace", "-f", "-q", "-y", "-s", "5000", "-e", "trace=pread64,read,preadv,mmap,openat", "-o", out, "-p", str(pid)],
                                  stderr=subprocess.PIPE)
        try:
            self.node.wait(lambda: self.is_traced(pid), "strace to attach")
            time.sleep(0.5)  # all threads, not only the first
            work()
        finally:
            strace.terminate()
            strace.wait(DEADLINE_S)
            strace.stderr.close()
        with open(out, encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def test_nothing_of_a_body_is_read(self):
        imap = self.imap()
        for number, size in enumerate(SIZES, 1):
            imap.append(b"INBOX", message(number, size))
        imap.close()
        self.node.stop()
        self.node.start()
        imap = self.imap()
        found = []
        wanted = b"(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY)"
        trace = self.trace(lambda: found.extend(imap.fetch(b"1:*", wanted)))
        self.assertEqual([items[b"ENVELOPE"][1] for _, items in found], [b"number %d" % n for n in range(1, len(SIZES) + 1)])
        self.assertEqual({len(items[b"BODYSTRUCTURE"]) for _, items in found}, {7})
        self.assertIn("mail.db", trace)
        self.assertNotIn(MARK, trace)
        self.assertIsNone(re.search(r"/big/[^ ]", trace))
        # The same eyes see bodies where they are read.
        trace = self.trace(lambda: imap.fetch(b"1:*", b"(BODY.PEEK[2])"))
        self.assertIn(MARK, trace)
        self.assertRegex(trace, r"/big\b")
        imap.close()


if __name__ == "__main__":
    unittest.main()
