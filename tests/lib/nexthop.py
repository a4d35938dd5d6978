# SPDX-License-Identifier: Apache-2.0
"""A next hop for a test: an SMTP server that keeps what it gets, and can refuse, offer TLS or break it.

    with NextHop(node.address) as hop:
        hop.context = ...          # STARTTLS is offered
        hop.break_tls = True       # ... and hangs up in the middle of the handshake
        hop.answer = "550 5.7.1 no" # to the final dot; None keeps the message
        hop.refused["x@out.example"] = "550 5.1.1 no such user"
    hop.says["MAIL"] = "451 4.3.0 not now" # to each such command; None: it hangs up
    hop.mute = True            # hangs up after it has kept a message, without a word
    hop.got                    # [Received], oldest first

It speaks RFC 5321 without a client library's help, one thread a connection, and ends with the test.
"""
import collections
import socketserver
import ssl
import threading

from node import NodeTest

Received = collections.namedtuple("Received", "sender recipients data tls")


class Session(socketserver.StreamRequestHandler):
    def say(self, *lines):
        for i, line in enumerate(lines):
            code, text = line.split(" ", 1)
            self.wfile.write(f"{code}{' ' if i == len(lines) - 1 else '-'}{text}\r\n".encode())

    def handle(self):
        try:
            self.serve(self.server.hop)
        except (OSError, ValueError):
            pass  # the client's end of it is what the test looks at
        finally:
            self.connection.close()  # the wrapped one, which its server does not know

    def serve(self, hop):
        self.tls, self.sender, self.recipients = False, None, []
        self.say("220 hop.example ESMTP")
        while raw := self.rfile.readline():
            line = raw.decode("utf-8").rstrip("\r\n")
            verb = line.split(" ")[0].upper()
            hop.heard.append(line)
            if verb in hop.says:
                if hop.says[verb] is None:
                    return
                self.say(hop.says[verb])
                continue
            if verb == "EHLO":
                offers = ["250 STARTTLS"] if hop.context and not self.tls else []
                self.say("250 hop.example", *offers, "250 8BITMIME", "250 PIPELINING")
            elif verb == "STARTTLS" and hop.context:
                self.say("220 go ahead")
                hop.handshakes += 1
                if hop.break_tls:
                    return
                self.connection = hop.context.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
                self.tls = True
            elif verb == "MAIL":
                self.sender, self.recipients = path_of(line), []
                self.say("250 2.1.0 ok")
            elif verb == "RCPT":
                answer = hop.refused.get(path_of(line), "250 2.1.5 ok")
                if answer.startswith("2"):
                    self.recipients.append(path_of(line))
                self.say(answer)
            elif verb == "DATA" and not self.recipients:
                self.say("554 5.5.1 no valid recipients")
            elif verb == "DATA":
                self.say("354 go on")
                if not self.take(hop):
                    return
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok" if verb in ("RSET", "NOOP") else "502 5.5.1 no such command")

    def take(self, hop):
        """The message. False: hang up."""
        lines = []
        for line in iter(self.rfile.readline, b".\r\n"):
            if not line:
                return False
            lines.append(line[1:] if line.startswith(b".") else line)
        if hop.answer:
            self.say(hop.answer)
            return True
        hop.got.append(Received(self.sender, self.recipients, b"".join(lines), self.tls))
        if hop.mute:
            return False
        self.say("250 2.0.0 taken")
        return True


def path_of(line):
    return line[line.index("<") + 1:line.rindex(">")]


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


class NextHop:
    def __init__(self, address):
        self.got, self.answer, self.context, self.break_tls, self.handshakes = [], None, None, False, 0
        self.refused, self.says, self.heard, self.mute = {}, {}, [], False
        self.server = Server((address, 0), Session)
        self.server.hop = self
        self.address = f"{address}:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def with_subject(self, subject):
        return [g for g in self.got if f"Subject: {subject}\r\n".encode() in g.data]

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def server_context(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class RelayNodeTest(NodeTest):
    """One node whose mail for elsewhere goes to cls.hop."""

    @classmethod
    def start_node(cls):
        cls.hop = NextHop(cls.node.address)
        cls.addClassCleanup(cls.hop.close)
        cls.node.overrides.update(relayhost=cls.hop.address, relayhost_tls="none")
        cls.node.start()
