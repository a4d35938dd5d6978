# SPDX-License-Identifier: Apache-2.0
"""Hostile clients over IMAP that have logged in: what they may cost, and that two at once do not confuse each other."""
import random
import threading
import unittest

from node import NodeTest, PASSWORD


class HostileImap(NodeTest):
    settings = {"log_level": "info"}

    def session(self, login="ann", select="INBOX"):
        wire = self.node.raw("imap")
        wire.line()
        wire.send("t STARTTLS\r\n")
        wire.line()
        wire.starttls(self.node.tls())
        self.assertIn("l OK", self.run_line(wire, f'LOGIN {login} "{PASSWORD}"', "l")[1])
        if select:
            self.exists = int(next(l for l in self.run_line(wire, "SELECT " + select)[0] if l.endswith("EXISTS")).split()[1])
        return wire

    def run_line(self, wire, command, tag="a"):
        """The untagged lines of a command's answer and the tagged one; "" when the session was ended."""
        wire.send(f"{tag} {command}\r\n")
        lines = []
        while True:
            line = wire.line()
            if not line and not lines or line.startswith(tag + " ") or line.startswith("* BYE"):
                return lines, line
            lines.append(line)

    def append(self, wire, folder, text):
        self.assertIn("a OK", self.run_line(wire, "APPEND %s {%d+}\r\n%s" % (folder, len(text), text))[1])

    def memory_kib(self):
        with open(f"/proc/{self.node.daemon_pids()['popimap']}/status", encoding="ascii") as stream:
            return int(next(l for l in stream if l.startswith("VmRSS")).split()[1])

    def test_deep_and_huge_commands_are_refused_and_cost_nothing(self):
        with self.session() as wire:
            for command in ("SEARCH " + "(" * 30000, "SEARCH " + "NOT " * 15000 + "ALL", "SEARCH " + "OR ALL " * 8000 + "ALL",
                            "FETCH 1 BODY[" + "1." * 30000 + "1]", "FETCH 1 (" + "BODY[] " * 9000 + "UID)", "STORE 1 +FLAGS (" + "k " * 30000 + "x)",
                            "UID FETCH 99999999999999999999 FLAGS", "UID FETCH 0 FLAGS", "FETCH 1 BODY[]<0.99999999999>",
                            "CREATE " + "x/" * 20000 + "y", "ID (" + '"a" "b" ' * 5000 + ")"):
                self.assertIn("a BAD", self.run_line(wire, command)[1], command[:30])
                wire.send("a NOOP\r\n")  # nineteen in a row are no attack yet
                self.assertEqual(wire.line(), "a OK done")
            self.assertIn("a OK", self.run_line(wire, "UID FETCH " + ",".join(["1:4294967295"] * 4800) + " FLAGS")[1])
            for literal in ("{4294967296}", "{18446744073709551615}"):
                self.assertIn("a BAD", self.run_line(wire, "SELECT " + literal)[1])

    def test_odd_messages_are_taken_as_they_are_or_refused(self):
        with self.session("bob") as wire:
            self.assertIn("a NO", self.run_line(wire, "APPEND INBOX {0+}\r\n")[1])
            self.assertIn("a BAD NUL", self.run_line(wire, "APPEND INBOX {3+}\r\na\0b")[1])
            odd = ("Subject: header only\r\n", "Subject: cut", "\r", "\n", "From: (a\\\r\nTo: g:a@b,;,<>;:\r\n: x\r\n:\r\nno colon\r\nSubject: \"\r\n\r\n",
                   "Subject: x\rTo: a\nFrom: b\n\r\n\rbare\rcr\nlf\n\n.\n\r", "Content-Type: multipart/mixed; boundary=\"\r\n\r\n--\r\n----\r\n")
            for text in odd:
                self.append(wire, "INBOX", text)
            wire.send("a FETCH 1:* (FLAGS ENVELOPE BODY BODYSTRUCTURE BODY.PEEK[] BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[HEADER.FIELDS (TO)] BODY.PEEK[]<2.3>)\r\n")
            answers = 0
            while True:
                line = wire.stream.readline()  # bare line ends of the messages are not lines
                answers += line.startswith(b"* ") and b" FETCH (" in line
                if line.startswith(b"a "):
                    break
            self.assertIn(b"a OK", line)
            self.assertEqual(answers, len(odd))

    def test_a_client_that_does_not_read_costs_little_and_is_no_warning(self):
        with self.session("eve") as wire:
            self.append(wire, "INBOX", "Subject: big\r\n\r\n" + ("x" * 70 + "\r\n") * 300000)
        before, sockets = self.memory_kib(), self.node.sockets("popimap")
        wires = [self.session("eve") for _ in range(20)]
        for wire in wires:
            wire.send("a FETCH 1 BODY.PEEK[]\r\n" * 50)
        with self.session("eve") as beside:
            self.assertEqual(self.run_line(beside, "NOOP")[1], "a OK done")
        # Twenty messages of 20 MB were asked for fifty times each.
        self.assertLess(self.memory_kib() - before, 200 << 10)
        for wire in wires:
            wire.close()
        self.node.wait(lambda: self.node.sockets("popimap") <= sockets, "the sessions to end")
        self.assertNotIn("command failed", self.node.log_text())
        self.assertNotIn("message cannot be sent", self.node.log_text())

    def test_sessions_that_expunge_under_each_other_keep_their_numbers(self):
        folder, wrong = "Trash", []
        with self.session("ann") as wire:
            for n in range(60):
                self.append(wire, folder, f"Subject: {n}\r\n\r\n")

        def act(seed):
            rng = random.Random(seed)
            try:
                with self.session("ann", None) as wire:
                    count = 0
                    for step in range(80):
                        k = rng.randrange(1, max(2, count + 1))
                        command = "SELECT " + folder if step == 0 else rng.choice(
                            (f"STORE {k} +FLAGS (\\Deleted)", "EXPUNGE", "NOOP", f"FETCH {k}:* (FLAGS UID BODY.PEEK[])", "SEARCH ALL", f"MOVE {k} INBOX",
                             f"COPY {k} {folder}", f"APPEND {folder} {{12+}}\r\nSubject: x\r\n", f"UID STORE 1:* +FLAGS (k{seed})"))
                        before = count
                        lines, tagged = self.run_line(wire, command)
                        for line in lines:
                            words = line.split()
                            if words[2:3] == ["EXISTS"]:
                                if int(words[1]) < count:
                                    wrong.append((command, count, line))
                                count = int(words[1])
                            elif words[2:3] == ["EXPUNGE"]:
                                if command[:5] in ("STORE", "FETCH", "SEARC") or not 1 <= int(words[1]) <= count:
                                    wrong.append((command, count, line))
                                count -= 1
                            elif words[2:3] == ["FETCH"] and int(words[1]) > count:
                                wrong.append((command, count, line))
                        if not tagged.startswith("a ") or (tagged.startswith("a BAD") and k <= before):
                            wrong.append((command, before, tagged))
            except Exception as error:  # pylint: disable=broad-except  # told by the main thread
                wrong.append(repr(error))

        threads = [threading.Thread(target=act, args=(seed,)) for seed in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_folders_that_vanish_under_sessions(self):
        """CREATE, RENAME and DELETE of what others have selected: each session gets an answer or BYE, and the tree is whole."""
        wrong = []

        def act(seed):
            rng = random.Random(seed)
            try:
                wire = self.session("bob", None)
                for _ in range(60):
                    a, b = rng.choice("xyz"), rng.choice("xyz")
                    command = rng.choice((f"CREATE {a}", f"CREATE {a}/{b}", f"DELETE {a}", f"DELETE {a}/{b}", f"RENAME {a} {b}", f"RENAME {a} {a}/{b}/q",
                                          f"SELECT {a}", f"SELECT {a}/{b}", "CLOSE", 'LIST "" *', "EXPUNGE", f"APPEND {a} {{12+}}\r\nSubject: x\r\n",
                                          f"STATUS {a} (MESSAGES)", "FETCH 1:* BODY.PEEK[HEADER]", f"COPY 1 {b}", f"MOVE 1 {b}"))
                    tagged = self.run_line(wire, command)[1]
                    if "was deleted" in tagged:
                        wire.close()
                        wire = self.session("bob", None)
                    elif not tagged.startswith("a "):
                        wrong.append((command, tagged))
                        break
                wire.close()
            except Exception as error:  # pylint: disable=broad-except  # told by the main thread
                wrong.append(repr(error))

        threads = [threading.Thread(target=act, args=(seed,)) for seed in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        with self.session("bob", None) as wire:
            for line in self.run_line(wire, 'LIST "" *')[0]:
                if "\\Noselect" not in line:
                    name = line.rsplit(" ", 1)[1]
                    self.assertIn("a OK", self.run_line(wire, "SELECT " + name)[1], line)


if __name__ == "__main__":
    unittest.main()
