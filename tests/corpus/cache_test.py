# SPDX-License-Identifier: Apache-2.0
"""ENVELOPE, BODY, BODYSTRUCTURE and sizes come from the cache: strace watches a daemon that has just started, and what it reads from the
disk for them holds no page of any body."""
import re
import socket
import unittest

from node import PASSWORD, NodeTest

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

    def trace(self, work):
        """What the daemon read from files meanwhile, with their paths."""
        return self.node.trace("popimap", ["-y", "-s", "5000", "-e", "trace=pread64,read,preadv,mmap,openat"], work)

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
        # A trace has megabytes: what is shown when it is not as it should be is one sentence.
        self.assertTrue("mail.db" in trace, "mail.db was not read")
        self.assertFalse(MARK in trace, "a page of a body was read")
        self.assertFalse(re.search(r"/big/[^ ]", trace), "a large body was read")
        # The same eyes see bodies where they are read.
        trace = self.trace(lambda: imap.fetch(b"1:*", b"(BODY.PEEK[2])"))
        self.assertTrue(MARK in trace, "no body was read")
        self.assertTrue(re.search(r"/big\b", trace), "no large body was read")
        imap.close()


if __name__ == "__main__":
    unittest.main()
