# SPDX-License-Identifier: Apache-2.0
"""An IMAP client on exact bytes, and what it believes of the folder it has selected.

    with Session(node.raw("imap")) as s:
        s.login(node, "ann")
        s.select("INBOX")
        s.ok("NOOP")                      # what came untagged is checked and is in s.folder
        s.folder.messages                 # [Known(uid, flags), …] by sequence number

A Session reads responses whole, literals included, and holds every untagged one against RFC 3501: EXISTS never shrinks, EXPUNGE and FETCH name
a number that is there, UIDs ascend, and no EXPUNGE comes while a FETCH, STORE or SEARCH by number is answered (7.4.1). What breaks a rule raises
WireError, which is an AssertionError.
"""
import re
import select

from node import PASSWORD

LITERAL = re.compile(rb"\{(\d+)\}$")
NUMBERED = re.compile(r"\* (\d+) (EXISTS|RECENT|EXPUNGE|FETCH)\b ?(.*)", re.S)
FLAGS = re.compile(r"\bFLAGS \(([^)]*)\)")
UID = re.compile(r"\bUID (\d+)")
# By number, so that an EXPUNGE in the answer would shift what the client asks for next.
HOLDS_EXPUNGE = ("FETCH", "STORE", "SEARCH")


class WireError(AssertionError):
    pass


class Closed(WireError):
    """The server has ended the session."""


class Known:
    """A message as the client knows it; None: not told yet."""
    def __init__(self):
        self.uid = self.flags = None

    def __repr__(self):
        return f"{self.uid}:{'?' if self.flags is None else ' '.join(sorted(self.flags))}"


class Folder:
    """The selected folder, from untagged responses alone."""

    def __init__(self):
        self.messages, self.uidvalidity, self.uidnext, self.expunged = [], None, None, 0

    def exists(self, n):
        if n < len(self.messages):
            raise WireError(f"EXISTS shrank from {len(self.messages)} to {n}")
        self.messages += [Known() for _ in range(n - len(self.messages))]

    def at(self, number, what):
        if not 1 <= number <= len(self.messages):
            raise WireError(f"{what} of number {number}, with {len(self.messages)} messages")
        return self.messages[number - 1]

    def expunge(self, number):
        self.at(number, "EXPUNGE")
        del self.messages[number - 1]
        self.expunged += 1

    def fetch(self, number, text):
        known = self.at(number, "FETCH")
        flags, uid = FLAGS.search(text), UID.search(text)
        if flags:
            known.flags = frozenset(f.lower() for f in flags[1].split()) - {"\\recent"}
        if uid is None:
            return
        if known.uid not in (None, int(uid[1])):
            raise WireError(f"number {number} was UID {known.uid} and is UID {uid[1]} without an EXPUNGE")
        known.uid = int(uid[1])
        before = [m.uid for m in self.messages[:number - 1] if m.uid is not None][-1:]
        after = [m.uid for m in self.messages[number:] if m.uid is not None][:1]
        if before and before[0] >= known.uid or after and after[0] <= known.uid:
            raise WireError(f"number {number} has UID {known.uid} between {before} and {after}")

    def view(self):
        return [(m.uid, m.flags) for m in self.messages]


class Session:
    def __init__(self, wire, greet=True):
        self.wire, self.buffer, self.n, self.folder, self.command_name = wire, bytearray(), 0, None, ""
        self.greeting = self.response() if greet else None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.wire.close()

    def login(self, node, login, password=PASSWORD):
        self.ok("STARTTLS")
        self.wire.starttls(node.tls())
        self.ok(f'LOGIN {login} "{password}"')
        return self

    def response(self):
        """The next response with its literals, without its last CRLF."""
        end = 0
        while True:
            while (found := self.buffer.find(b"\r\n", end)) < 0:
                self.fill()
            literal = LITERAL.search(self.buffer, end, found)
            end = found + 2
            if literal is None:
                text = self.buffer[:found].decode("utf-8", "replace")
                del self.buffer[:end]
                return text
            end += int(literal[1])
            while len(self.buffer) < end:
                self.fill()

    def fill(self):
        # Not the wire's stream: what that has buffered cannot be asked for without waiting.
        piece = self.wire.sock.recv(65536)
        if not piece:
            raise Closed(f"closed during {self.command_name or 'nothing'}, after {bytes(self.buffer[-200:])!r}")
        self.buffer += piece

    def has_input(self, wait_s):
        sock = self.wire.sock
        return bool(self.buffer) or bool(getattr(sock, "pending", int)()) or bool(select.select([sock], [], [], wait_s)[0])

    def untagged(self, text):
        """Takes an untagged response into the model."""
        if text.startswith("* BYE") and self.command_name != "LOGOUT":
            raise Closed(text)
        if self.folder is None:
            return
        numbered = NUMBERED.match(text)
        if numbered:
            number, what = int(numbered[1]), numbered[2]
            if what == "EXISTS":
                self.folder.exists(number)
            elif what == "EXPUNGE":
                if self.command_name in HOLDS_EXPUNGE:
                    raise WireError(f"{text} during {self.command_name}")
                self.folder.expunge(number)
            elif what == "FETCH":
                self.folder.fetch(number, numbered[3])
        for name in ("uidvalidity", "uidnext"):
            found = re.match(rf"\* OK \[{name} (\d+)\]", text, re.I)
            if found:
                setattr(self.folder, name, int(found[1]))

    def start(self, text):
        self.n += 1
        self.command_name = text.split()[0].upper()
        self.wire.send(f"t{self.n} {text}\r\n")
        return f"t{self.n}"

    def finish(self, tag):
        """(status, text, [untagged]) of the command."""
        untagged = []
        while True:
            text = self.response()
            if text.startswith(tag + " "):
                status, _, rest = text[len(tag) + 1:].partition(" ")
                self.command_name = ""
                return status, rest, untagged
            self.untagged(text)
            untagged.append(text)

    def command(self, text):
        return self.finish(self.start(text))

    def ok(self, text):
        status, rest, untagged = self.command(text)
        if status != "OK":
            raise WireError(f"{text}: {status} {rest}")
        return untagged

    def append(self, folder, text, flags=""):
        """APPEND with a literal that does not wait; the UID that the message got."""
        data = text if isinstance(text, bytes) else text.encode()
        self.n += 1
        self.command_name = "APPEND"
        self.wire.send(f"t{self.n} APPEND {folder} ({flags}) {{{len(data)}+}}\r\n".encode() + data + b"\r\n")
        status, rest, _ = self.finish(f"t{self.n}")
        if status != "OK":
            raise WireError(f"APPEND: {status} {rest}")
        return int(re.search(r"APPENDUID \d+ (\d+)", rest)[1])

    def select(self, name, command="SELECT"):
        """Selects, and asks for what the model does not know yet. False: there is no such folder."""
        before, self.folder = self.folder, Folder()
        status, rest, _ = self.command(f"{command} {name}")
        if status != "OK":
            self.folder = None  # RFC 3501 6.3.1: a failed SELECT leaves nothing selected
            return False
        self.learn()
        return True

    def learn(self):
        """Asks for UID and flags of those messages of which they are not known yet, as a client does after new ones were announced."""
        while unknown := [n for n, m in enumerate(self.folder.messages, 1) if m.uid is None or m.flags is None]:
            self.ok(f"FETCH {','.join(map(str, unknown))} (UID FLAGS)")
            if all(self.folder.messages[n - 1].uid is None for n in unknown):
                self.ok("NOOP")  # gone before we asked

    def pipeline(self, commands):
        """Sends all at once; what each was answered."""
        tags = []
        for text in commands:
            self.n += 1
            tags.append(f"t{self.n}")
        self.wire.send("".join(f"{tag} {text}\r\n" for tag, text in zip(tags, commands)))
        answers = []
        for tag, text in zip(tags, commands):
            self.command_name = text.split()[0].upper()
            answers.append(self.finish(tag))
        return answers

    def idle(self, ended, look_s=0.2):
        """IDLE until ended() is true of the untagged responses so far; asks it at each, and every look_s."""
        tag, untagged = self.start("IDLE"), []
        while not (text := self.response()).startswith("+"):
            self.untagged(text)
        while not ended(untagged):
            if self.has_input(look_s):
                untagged.append(self.response())
                self.untagged(untagged[-1])
        self.wire.send("DONE\r\n")
        status, rest, more = self.finish(tag)
        if status != "OK":
            raise WireError(f"IDLE: {status} {rest}")
        return untagged + more
