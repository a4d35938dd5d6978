# SPDX-License-Identifier: Apache-2.0
"""One delivery key in two LMTP sessions at the same moment: one message is stored and both are told 250, whatever dies in between.

That is what makes a delivery of ours happen once (ARCHITECTURE promise 2): after a takeover two front-ends may hand over the same message side by side.
"""
import collections
import os
import random
import re
import signal
import socket
import struct
import threading
import time
import unittest

from node import DEADLINE_S, NodeTest, message

PAIRS = 300
VANISHED = 150
KILLS = 6
KEYS_PER_KILL = 8
USERS = ("ann", "bob", "eve")
MARK = re.compile(rb"^Subject: (mark-\S+)\r$", re.M)
SMALL, BIG = "small\r\n", ("x" * 70 + "\r\n") * 1200  # in mail.db, and in a file that both deliveries would link


class Delivery:
    """One message under one key, as either front-end hands it over."""

    def __init__(self, kind, n, rng):
        self.kind, self.n, self.mark = kind, n, f"mark-{kind}-{n}"
        self.key = f"{ {'pair': 1, 'vanish': 2, 'kill': 3}[kind]:x}{n:031x}"
        self.recipients = rng.sample(USERS, rng.randrange(1, len(USERS) + 1))
        self.body = BIG if n % 5 == 0 else SMALL

    def begin(self, wire, recipients):
        """All but the final dot."""
        wire.send(f"MAIL FROM:<a@out.example> XPHKEY={self.key}\r\n" + "".join(f"RCPT TO:<{r}@uni.example> XPHRCPT=,\r\n" for r in recipients) + "DATA\r\n")
        codes = [wire.reply()[0] for _ in range(len(recipients) + 2)]
        if codes != [250] * (len(recipients) + 1) + [354]:
            raise AssertionError(f"before the data: {codes}")
        wire.send(message(self.mark, self.body))

    def end(self, wire, recipients):
        """The dot, and what each recipient was told: {recipient: text}."""
        wire.send(".\r\n")
        told = {}
        for recipient in recipients:
            code, lines = wire.reply()
            if code == 0:
                raise ConnectionResetError("closed before the reply")
            if code != 250:
                raise AssertionError(f"{self.mark} for {recipient}: {code} {lines}")
            told[recipient] = lines[0]
        return told


class DeliveryKey(NodeTest):
    users = USERS
    settings = {"log_level": "info", "threads": 4}

    def setUp(self):
        self.rng = random.Random(7)

    def both(self, actions):
        """Runs both at once, each after a pause of its own of up to 3 ms; what they return."""
        barrier, results = threading.Barrier(len(actions)), [None] * len(actions)
        pauses = [self.rng.choice((0, self.rng.random() * 0.003)) for _ in actions]

        def run(i):
            barrier.wait(DEADLINE_S)
            time.sleep(pauses[i])
            try:
                results[i] = actions[i]()
            except Exception as error:  # told to the test's own thread
                results[i] = error
        threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(actions))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
        return results

    def found(self, kind):
        """{mark: how often} of each user's mailbox."""
        return {user: collections.Counter(m.decode() for text in self.node.messages(user) for m in MARK.findall(text) if f"-{kind}-".encode() in m)
                for user in USERS}

    def check_once(self, kind, deliveries):
        found = self.found(kind)
        for user in USERS:
            want = collections.Counter(d.mark for d in deliveries if user in d.recipients)
            self.assertEqual({m: n for m, n in found[user].items() if n != want[m]}, {}, f"{user} has them not once")
            self.assertEqual(sorted(set(want) - set(found[user])), [], f"{user} has them not at all")

    def test_both_are_told_250_and_one_is_stored(self):
        wires = [self.node.lmtp(), self.node.lmtp()]
        deliveries = [Delivery("pair", n, self.rng) for n in range(PAIRS)]
        for delivery in deliveries:
            orders = [delivery.recipients, self.rng.sample(delivery.recipients, len(delivery.recipients))]
            for wire, order in zip(wires, orders):
                delivery.begin(wire, order)
            told = self.both([lambda w=wire, o=order: delivery.end(w, o) for wire, order in zip(wires, orders)])
            for one in told:
                self.assertIsInstance(one, dict, one)
            for recipient in delivery.recipients:
                texts = sorted(one[recipient] for one in told)
                self.assertEqual(texts, ["2.0.0 delivered", "2.0.0 delivered before"], delivery.mark)
        for wire in wires:
            wire.close()
        self.check_once("pair", deliveries)

    def test_the_first_client_vanishes_between_dot_and_reply(self):
        def vanish(wire):
            wire.send(".\r\n")
            if self.rng.random() < 0.5:  # a reset instead of an orderly end
                wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.close()

        stays = self.node.lmtp()
        deliveries = [Delivery("vanish", n, self.rng) for n in range(VANISHED)]
        for delivery in deliveries:
            goes = self.node.lmtp()
            delivery.begin(goes, delivery.recipients)
            delivery.begin(stays, delivery.recipients)
            told = self.both([lambda: vanish(goes), lambda: delivery.end(stays, delivery.recipients)])
            self.assertIsInstance(told[1], dict, told[1])
        stays.close()
        self.check_once("vanish", deliveries)
        self.node.wait(lambda: os.listdir(self.node.path("data", "mailboxes", "incoming")) == [], "files of deliveries that are over to be gone")

    def deliver_until_told(self, delivery, began, give_up):
        """As a front-end does: again, with the same key, until each recipient has its 250."""
        left, wire, met = list(delivery.recipients), None, False
        while left and not give_up.is_set():
            try:
                if wire is None:
                    wire = self.node.lmtp()
                delivery.begin(wire, left)
                if not met:
                    began.wait(DEADLINE_S)
                    met = True
                delivery.end(wire, left)
                left = []
            except (OSError, AssertionError) as error:
                if isinstance(error, AssertionError) and not re.search(r": (\[.*\b(0|4\d\d)\b|0\b|4\d\d)", str(error)):
                    raise
                if wire:
                    wire.close()
                wire = None
                time.sleep(0.02)
        if wire:
            wire.close()
        return not left

    def kill(self):
        before = self.node.daemon_pids()["popimap"]
        os.kill(before, signal.SIGKILL)
        self.node.wait(lambda: self.node.daemon_pids().get("popimap", before) != before and self.node.command("ping", "popimap"), "another popimap")

    def test_kill_9_in_between(self):
        self.node.expect_error("daemon died and is started again")
        deliveries = [Delivery("kill", n, self.rng) for n in range(KILLS * KEYS_PER_KILL)]
        for k in range(KILLS):
            batch = deliveries[k * KEYS_PER_KILL:(k + 1) * KEYS_PER_KILL]
            # All sessions, and the killer, meet before the first dot; from then on everybody is on his own.
            began, give_up, results = threading.Barrier(2 * len(batch) + 1), threading.Event(), []
            def run(delivery):
                try:
                    results.append(self.deliver_until_told(delivery, began, give_up))
                except Exception as error:  # told to the test's own thread
                    results.append(error)
            threads = [threading.Thread(target=run, args=(delivery,), daemon=True) for delivery in batch for _ in range(2)]
            for thread in threads:
                thread.start()
            began.wait(DEADLINE_S)
            time.sleep(self.rng.random() * 0.02)
            self.kill()
            for thread in threads:
                thread.join(DEADLINE_S)
            give_up.set()
            self.assertEqual(results, [True] * len(threads))
            if k % 2:  # `posthouse run` waits longer after each death; a new one does not
                self.node.stop()
                self.node.start()
        self.check_once("kill", deliveries)


if __name__ == "__main__":
    unittest.main()
