# SPDX-License-Identifier: Apache-2.0
"""Between a client and a server: what the server says, as far as a test lets it through. So "in the middle of an answer" is a place and not a time.

    relay = Relay(server.address, server.port)      relay.uri: what to follow instead of it
    relay.hold(9000)                                9000 bytes of what it says from now on pass, then nothing does
    relay.wait_held()                               more has come, and is kept back
    relay.cut()                                     all connections end, and what was kept back with them; later ones pass
    relay.release()                                 or it goes on
    relay.close()
"""
import socket
import threading

DEADLINE_S = 60


class Relay:
    def __init__(self, address, port, scheme="ldap"):
        self.target, self.left, self.sockets = (address, port), None, []
        self.changed, self.held = threading.Condition(), False
        self.listener = socket.create_server((address, 0))
        self.uri = f"{scheme}://%s:%d" % self.listener.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                client = self.listener.accept()[0]
                try:
                    server = socket.create_connection(self.target, DEADLINE_S)
                except OSError:  # it is down, so we are
                    client.close()
                    continue
                server.settimeout(None)
                with self.changed:
                    self.sockets += [client, server]
                threading.Thread(target=self.pump, args=(client, server, lambda data: len(data)), daemon=True).start()
                threading.Thread(target=self.pump, args=(server, client, self.may_pass), daemon=True).start()
        except OSError:
            pass

    def may_pass(self, data):
        """How many of these bytes, as soon as any may."""
        with self.changed:
            while self.left == 0:
                self.held = True
                self.changed.notify_all()
                self.changed.wait()
            n = len(data) if self.left is None else min(self.left, len(data))
            if self.left is not None:
                self.left -= n
            return n

    def pump(self, source, sink, may_pass):
        try:
            while data := source.recv(65536):
                while data:
                    n = may_pass(data)
                    sink.sendall(data[:n])
                    data = data[n:]
        except OSError:
            pass
        for one in (source, sink):
            self.end(one)
        source.close()

    @staticmethod
    def end(one):
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:  # it has ended before
            pass

    def hold(self, n):
        with self.changed:
            self.left, self.held = n, False

    def wait_held(self):
        with self.changed:
            if not self.changed.wait_for(lambda: self.held, DEADLINE_S):
                raise AssertionError("the server has not said so much")

    def release(self):
        with self.changed:
            self.left, self.held = None, False
            self.changed.notify_all()

    def cut(self):
        with self.changed:
            sockets, self.sockets = self.sockets, []
        for one in sockets:
            self.end(one)
        self.release()

    def close(self):
        self.end(self.listener)
        self.listener.close()
        self.cut()
