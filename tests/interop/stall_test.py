# SPDX-License-Identifier: Apache-2.0
"""A disk that stalls under one mailbox: the others go on. The mailbox's folder is a file system of its own (a loop device), frozen by
fsfreeze while somebody writes to it; a NOOP and a FETCH on another mailbox answer within 50 ms, a store thread is all that is held."""
import imaplib
import os
import subprocess
import threading
import time
import unittest

from node import DEADLINE_S, Node, PASSWORD, message, uuid_of

FREEZE_S_MAX = 40  # a watchdog thaws after this, whatever becomes of the test


class Stall(unittest.TestCase):
    def setUp(self):
        # Mailboxes are at ab/<id>: freezing "ab" of one user must not freeze the other's.
        self.node = Node(users=("ann", "bob"), settings={"auth_plaintext": "trusted"})
        self.assertNotEqual(uuid_of("ann")[:2], uuid_of("bob")[:2])
        image, self.mount = self.node.path("disk.img"), self.node.path("data", "mailboxes", uuid_of("ann")[:2])
        os.makedirs(self.mount)
        for path in (self.node.path("data"), self.node.path("data", "mailboxes"), self.mount):
            os.chmod(path, 0o700)
        with open(image, "wb") as stream:
            stream.truncate(64 << 20)
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        mounted = subprocess.run(["mount", "-o", "loop", image, self.mount], capture_output=True, text=True)
        if mounted.returncode:
            self.node.remove()
            self.skipTest("no loop device to mount here: " + mounted.stderr.strip())
        os.chmod(self.mount, 0o700)
        self.node.start()

    def tearDown(self):
        subprocess.run(["fsfreeze", "-u", self.mount], capture_output=True)
        try:
            self.node.stop()
        finally:
            subprocess.run(["umount", self.mount], check=True)
            self.node.remove()

    def session(self, login):
        imap = imaplib.IMAP4(self.node.address, self.node.ports["imap"], timeout=DEADLINE_S)
        imap.login(login, PASSWORD)
        self.assertEqual(imap.select("INBOX")[0], "OK")
        return imap

    def test_another_mailbox_does_not_wait(self):
        ann, bob = self.session("ann"), self.session("bob")
        for imap in (ann, bob):
            self.assertEqual(imap.append("INBOX", None, None, message("first").encode())[0], "OK")
        watchdog = subprocess.Popen(["sh", "-c", f"sleep {FREEZE_S_MAX}; fsfreeze -u '{self.mount}'"], stderr=subprocess.DEVNULL)
        stalled = threading.Thread(target=lambda: ann.append("INBOX", None, None, message("stalled").encode()), daemon=True)
        try:
            subprocess.run(["fsfreeze", "-f", self.mount], check=True)
            stalled.start()
            time.sleep(0.5)
            took = []
            for _ in range(20):
                begin = time.monotonic()
                self.assertEqual(bob.noop()[0], "OK")
                self.assertEqual(bob.fetch("1", "(FLAGS BODY.PEEK[])")[0], "OK")
                took.append(time.monotonic() - begin)
            self.assertTrue(stalled.is_alive(), "the frozen mailbox was written to: this test sees nothing")
        finally:
            subprocess.run(["fsfreeze", "-u", self.mount], check=True)
            watchdog.terminate()
            watchdog.wait()
        stalled.join(DEADLINE_S)
        self.assertFalse(stalled.is_alive())
        # The median, because this machine is not ours alone.
        self.assertLess(sorted(took)[len(took) // 2], 0.05)
        self.assertEqual(len(self.node.messages("ann")), 2)


if __name__ == "__main__":
    unittest.main()
