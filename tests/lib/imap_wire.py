# SPDX-License-Identifier: Apache-2.0
"""A small IMAP client that keeps octets and structure as they were sent: for comparing servers, where imaplib would tidy up.

    imap = Imap(sock)                        # reads the greeting
    imap.command(b"LOGIN ann secret")
    for number, items in imap.fetch(b"1:*", b"(UID ENVELOPE BODY.PEEK[])"):
        items[b"ENVELOPE"]                   # nested lists, bytes, None for NIL; an atom is an Atom

A command that is not answered with OK raises No with the tagged line.
"""
import re

LITERAL = re.compile(rb"~?\{(\d+)\}\r\n$")
TOKEN = re.compile(rb'[()]|"((?:[^"\\]|\\.)*)"|~?\{(\d+)\}\r\n|((?:[^\s()"\[{]|\[[^\]]*\])+)|\s+|.', re.S)


class No(Exception):
    pass


class Atom(bytes):
    """What was sent without quotes: a number, a flag, a name."""

    def __repr__(self):
        return self.decode("latin-1")


class Imap:
    def __init__(self, sock):
        self.sock, self.stream, self.tag = sock, sock.makefile("rb", 1 << 20), 0
        self.greeting = self.response()

    def close(self):
        self.stream.close()
        self.sock.close()

    def response(self):
        """One response with its literals, as bytes: a literal's octets follow its {n}."""
        parts = []
        while True:
            line = self.stream.readline()
            if not line.endswith(b"\r\n"):
                raise EOFError(f"connection ended after {b''.join(parts)[-200:]!r}{line[-200:]!r}")
            parts.append(line)
            literal = LITERAL.search(line)
            if literal is None:
                return b"".join(parts)
            n = int(literal[1])
            data = self.stream.read(n)
            if len(data) != n:
                raise EOFError("connection ended in a literal")
            parts.append(data)

    def send(self, text):
        self.tag += 1
        self.sock.sendall(b"t%d %s\r\n" % (self.tag, text))
        return b"t%d " % self.tag

    def finish(self, tag):
        """Untagged responses until the tagged one, which is the last."""
        found = []
        while True:
            response = self.response()
            found.append(response)
            if response.startswith(tag):
                return found

    def command(self, text):
        found = self.finish(self.send(text))
        if found[-1].split(b" ", 2)[1] != b"OK":
            raise No(found[-1].decode("utf-8", "replace").strip())
        return found

    def append(self, folder, octets):
        tag = self.send(b"APPEND %s {%d}" % (folder, len(octets)))
        response = self.response()
        if not response.startswith(b"+"):
            raise No(response.decode("utf-8", "replace").strip())
        self.sock.sendall(octets + b"\r\n")
        found = self.finish(tag)
        if found[-1].split(b" ", 2)[1] != b"OK":
            raise No(found[-1].decode("utf-8", "replace").strip())

    def fetch(self, numbers, items):
        """[(number, {name: value})] in the order of the answers."""
        found = []
        for response in self.command(b"FETCH %s %s" % (numbers, items)):
            head = re.match(rb"\* (\d+) FETCH ", response)
            if head:
                values = parse(response[head.end():])[0]
                found.append((int(head[1]), {bytes(values[i]).upper(): values[i + 1] for i in range(0, len(values), 2)}))
        return found

    def search(self, text):
        for response in self.command(text):
            if response.startswith(b"* SEARCH"):
                return [int(n) for n in response.split()[2:]]
        return []


def parse(text):
    """The values of a response: lists, bytes (quoted or literal), None (NIL), Atom."""
    stack, at = [[]], 0
    while at < len(text):
        token = TOKEN.match(text, at)
        at = token.end()
        what = token[0]
        if what == b"(":
            stack.append([])
        elif what == b")":
            done = stack.pop()
            stack[-1].append(done)
        elif token[1] is not None:
            stack[-1].append(re.sub(rb"\\(.)", rb"\1", token[1], flags=re.S))
        elif token[2] is not None:
            n = int(token[2])
            stack[-1].append(text[at:at + n])
            at += n
        elif token[3] is not None:
            stack[-1].append(None if what.upper() == b"NIL" else Atom(what))
        elif what.strip():
            raise ValueError(f"unexpected {what!r} in {text[max(0, at - 60):at + 60]!r}")
    if len(stack) != 1:
        raise ValueError(f"parentheses do not match in {text[:200]!r}")
    return stack[0]
