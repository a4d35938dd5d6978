# SPDX-License-Identifier: Apache-2.0
"""A directory server that lies: as much of LDAP (RFC 4511) and content synchronisation (RFC 4533) as a follower asks for, and then whatever
a test wants to be said.

    def lies(session):                       # after the follower's persistent search; a thread of the session
        session.entry(1, "uid=ann,...", {"objectClass": ["phMailUser"], ...}, uuid)
        session.refresh_done(b"rid=000,csn=...")
    with FakeServer(lies) as server:         # server.uri; server.csns, server.ruv, server.realms: what other searches are told; csns may be a function, as answers
        ...

Each connection is a session of its own; server.searches counts the persistent searches, server.connections the connections.
"""
import socket
import threading

SYNC_STATE, SYNC_INFO = b"1.3.6.1.4.1.4203.1.9.1.2", b"1.3.6.1.4.1.4203.1.9.1.4"
PRESENT, ADD, MODIFY, DELETE = range(4)


def ber(tag, *contents):
    content = b"".join(contents)
    length = bytes([len(content)]) if len(content) < 128 else b"\x84" + len(content).to_bytes(4, "big")
    return bytes([tag]) + length + content


def integer(value, tag=2):
    return ber(tag, value.to_bytes(max(1, value.bit_length() // 8 + 1), "big"))


def octets(value, tag=4):
    return ber(tag, value if isinstance(value, bytes) else value.encode())


def boolean(value):
    return ber(1, b"\xff" if value else b"\0")


def take(data):
    """(tag, content, rest) of the first element; IndexError when it is not whole."""
    n, head = data[1], 2
    if n & 128:
        head += n & 127
        n = int.from_bytes(data[2:head], "big")
    if len(data) < head + n:
        raise IndexError
    return data[0], data[head:head + n], data[head + n:]


def page(cookie):
    """The response control of a page of results (RFC 2696)."""
    return ber(0x30, octets(b"1.2.840.113556.1.4.319"), octets(ber(0x30, integer(0), octets(cookie))))


class Session(threading.Thread):
    def __init__(self, server, sock):
        super().__init__(daemon=True)
        self.server, self.sock, self.sync_id = server, sock, None
        self.lock = threading.Lock()

    def run(self):
        data = b""
        try:
            while more := self.sock.recv(1 << 16):
                data += more
                try:
                    while True:
                        _, message, data = take(data)
                        self.request(message)
                except IndexError:
                    pass
        except OSError:
            pass

    def request(self, message):
        _, number, rest = take(message)
        op, content, rest = take(rest)
        number = int.from_bytes(number, "big")
        if op == 0x60:  # bind
            self.say(number, self.result(0x61))
        elif op == 0x63 and b"1.3.6.1.4.1.4203.1.9.1.1" in rest:
            self.sync_id = number
            self.server.searches += 1
            threading.Thread(target=self.lie, daemon=True).start()
        elif op == 0x63 and b"contextCSN" in content:
            if callable(self.server.csns):
                self.server.csns(self, number)
            elif self.server.csns is not None:
                self.say(number, self.content("dc=uni,dc=example", {"contextCSN": self.server.csns}))
                self.say(number, self.result(0x65))
        elif op == 0x63 and b"nsds50ruv" in content:
            if self.server.ruv:
                self.say(number, self.content("cn=replica,cn=config", {"nsds50ruv": self.server.ruv}))
            self.say(number, self.result(0x65))
        elif op == 0x63 and self.server.answers:
            self.server.answers(self, number, Search(content, rest))
        elif op == 0x63:  # realms of domains
            for dn, values in self.server.realms:
                self.say(number, self.content(dn, values))
            self.say(number, self.result(0x65))

    def lie(self):
        try:
            self.server.lies(self)
        except OSError:  # the follower has left
            pass

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # it has gone before
            pass
        self.sock.close()

    # --- what is said ---

    def raw(self, data):
        with self.lock:
            self.sock.sendall(data)

    def say(self, number, op, *controls):
        self.raw(ber(0x30, integer(number), op, *([ber(0xa0, *controls)] if controls else [])))

    @staticmethod
    def result(tag, code=0, text=""):
        return ber(tag, integer(code, 0x0a), octets(""), octets(text))

    @staticmethod
    def content(dn, values):
        return ber(0x64, octets(dn), ber(0x30, *(ber(0x30, octets(name), ber(0x31, *map(octets, of))) for name, of in values.items())))

    def entry(self, change, dn, values, uuid, cookie=None, control=None):
        """A change of an entry; control instead of a right sync state; b"": none."""
        if control is None:
            control = ber(0x30, integer(change, 0x0a), octets(uuid), octets(cookie) if cookie is not None else b"")
        controls = [ber(0x30, octets(SYNC_STATE), octets(control))] if control else []
        self.say(self.sync_id, self.content(dn, values), *controls)

    def info(self, value):
        self.say(self.sync_id, ber(0x79, octets(SYNC_INFO, 0x80), octets(value, 0x81)))

    def refresh_done(self, cookie, present=True):
        self.info(ber(0xa2 if present else 0xa1, octets(cookie), boolean(True)))

    def present(self, uuids, deletes=False):
        self.info(ber(0xa3, boolean(deletes), ber(0x31, *map(octets, uuids))))

    def end(self, code=0, text=""):
        self.say(self.sync_id, self.result(0x65, code, text))


class Search:
    """base, scope (0: the base alone), filter and controls as they came, attributes (bytes)."""

    def __init__(self, content, controls):
        _, self.base, rest = take(content)
        _, scope, rest = take(rest)
        for _ in range(4):  # deref, limits, typesOnly
            _, _, rest = take(rest)
        tag, self.filter, rest = take(rest)
        self.filter = bytes([tag]) + self.filter
        self.attributes = []
        _, names, _ = take(rest)
        while names:
            _, name, names = take(names)
            self.attributes.append(name)
        self.scope, self.controls = scope[0], controls


class FakeServer:
    def __init__(self, lies, csns=(), address="127.0.0.8", answers=None, port=0):
        """answers(session, number, search): to all searches that are neither for a contextCSN nor persistent."""
        self.lies, self.csns, self.realms, self.searches, self.connections = lies, list(csns), [], 0, 0
        self.answers, self.ruv = answers, []
        self.listener = socket.create_server((address, port))
        self.uri = "ldap://%s:%d" % self.listener.getsockname()
        self.sessions = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                session = Session(self, self.listener.accept()[0])
                session.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                self.sessions.append(session)
                session.start()
        except OSError:
            pass

    def close(self):
        if self.listener.fileno() < 0:
            return
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for session in self.sessions:
            session.close()
