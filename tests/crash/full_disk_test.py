# SPDX-License-Identifier: Apache-2.0
"""A disk that is really full, again and again, under load: mail is refused for a while, nobody dies, and what was acknowledged is there once.

The node's data are on a small tmpfs, which the test fills and frees. Without the right to mount one it is skipped.
"""
import errno
import os
import subprocess
import time
import unittest

import crash
from node import NodeTest

DISK_MIB = 256
ROUNDS = 6
LOAD_S = 0.5
PAUSE_S = 0.02  # so that mail alone does not fill it
FREE_KIB = (0, 30, 200, 4, 1000, 90)  # what is left, by round


class FullDisk(NodeTest):
    settings = {"log_level": "info", "retry_min_s": 1, "retry_max_s": 1, "submission_recipients_hour_max": 1000000, "queue_reserve_bytes": 0}

    @classmethod
    def start_node(cls):
        cls.disk = cls.node.path("data")
        os.mkdir(cls.disk)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=755", "tmpfs", cls.disk], capture_output=True, text=True, check=False)
        if done.returncode:
            raise unittest.SkipTest(f"skipped: no tmpfs can be mounted here: {done.stderr.strip()}")
        cls.addClassCleanup(cls.node.remove)
        cls.addClassCleanup(subprocess.run, ["umount", cls.disk], check=True)
        cls.node.start()

    def fill(self, free_kib):
        """All of the disk but so much; more than once, as the daemons free what they can."""
        name = os.path.join(self.disk, "filler")
        with open(name, "ab", buffering=0) as stream:
            try:
                while True:
                    stream.write(bytes(4096))
            except OSError as error:
                self.assertEqual(error.errno, errno.ENOSPC)
            stream.truncate(max(0, stream.tell() - free_kib * 1024))

    def test_nothing_acknowledged_is_lost_and_nothing_is_twice(self):
        self.node.expect_error("space|full|ballast|results")
        pids = self.node.daemon_pids()
        clients = crash.clients_of(self.node)
        for client in clients:
            client.pause_s = PAUSE_S
            client.start()
        refused = 0
        for turn in range(ROUNDS):
            time.sleep(LOAD_S)
            self.fill(FREE_KIB[turn % len(FREE_KIB)])
            before = sum(client.tried - len(client.acknowledged) for client in clients)
            time.sleep(LOAD_S)
            refused += sum(client.tried - len(client.acknowledged) for client in clients) - before
            os.remove(os.path.join(self.disk, "filler"))
        told = [len(client.acknowledged) for client in clients]
        self.node.wait(lambda: all(len(client.acknowledged) > n + 3 for client, n in zip(clients, told)), "mail to go on")
        crash.stop(clients)
        self.node.drain()
        self.assertGreater(refused, ROUNDS, "the disk was never full")
        self.assertEqual(self.node.daemon_pids(), pids, "a daemon died of a full disk")
        crash.settle(self, clients, ROUNDS)


if __name__ == "__main__":
    unittest.main()
