# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load: each daemon dies while clients deliver, submit and append. What was acknowledged is in the mailbox; nothing is there twice."""
import os
import signal
import time
import unittest

import crash
from node import NodeTest

DEATHS = 2     # of each daemon
LOAD_S = 0.4   # between two


class Kill(NodeTest):
    settings = {"log_level": "info", "retry_min_s": 1, "retry_max_s": 1, "submission_recipients_hour_max": 1000000}

    def kill(self, daemon):
        before = self.node.daemon_pids()[daemon]
        os.kill(before, signal.SIGKILL)
        self.node.wait(lambda: self.node.daemon_pids().get(daemon, before) != before and self.node.command("ping", daemon), f"another {daemon}")

    def test_nothing_acknowledged_is_lost_and_nothing_is_twice(self):
        self.node.expect_error("signal|killed|died|ended")
        clients = crash.clients_of(self.node)
        for client in clients:
            client.start()
        for _ in range(DEATHS):
            for daemon in ("mta", "popimap", "ldapsync"):
                time.sleep(LOAD_S)
                self.kill(daemon)
        time.sleep(LOAD_S)
        crash.stop(clients)
        self.node.drain()
        for client in clients:
            self.assertGreater(len(client.acknowledged), 5, f"{client.name}: no load worth the name")
        crash.settle(self, clients, 3 * DEATHS)


if __name__ == "__main__":
    unittest.main()
