# SPDX-License-Identifier: Apache-2.0
"""Clients that work on a node all at once, each on a thread of its own, until they are told to stop.

    load = Load()
    load.add("reader", open_session, step)   # step(session) again and again; a session that fails, or whose step gave False, is opened anew
    load.start()
    ...
    load.over.set()                          # from here on failures are no news: the server is being stopped
    load.stop(deadline_s)
    load.failures()                          # texts of those before that
"""
import imaplib
import poplib
import smtplib
import ssl
import threading
import time
import traceback

# How a client notices that its connection or its server is gone.
GONE = (OSError, EOFError, ssl.SSLError, smtplib.SMTPServerDisconnected, imaplib.IMAP4.abort, poplib.error_proto)


class Client(threading.Thread):
    def __init__(self, load, name, open_session, step, pause_s):
        super().__init__(name=name, daemon=True)
        self.load, self.open_session, self.step, self.pause_s = load, open_session, step, pause_s
        self.steps, self.failures = 0, []

    def run(self):
        session = None
        while not self.load.stopping.is_set():
            try:
                if session is None:
                    session = self.open_session()
                if self.step(session) is False:  # the session is used up
                    session = self.drop(session)
                self.steps += 1
            except Exception as error:  # whatever a client dies of is the test's to judge
                if not self.load.over.is_set():
                    self.failures.append(traceback.format_exc())
                session = self.drop(session)
                if self.load.over.is_set() and isinstance(error, ConnectionRefusedError):
                    return
                time.sleep(0.02)
            self.load.stopping.wait(self.pause_s)
        if not self.load.keep:
            self.drop(session)

    @staticmethod
    def drop(session):
        for owner in (session, getattr(session, "wire", None)):
            sock = getattr(owner, "sock", None)
            if sock:
                sock.close()


class Load:
    def __init__(self):
        self.clients, self.stopping, self.over, self.keep = [], threading.Event(), threading.Event(), False

    def add(self, name, open_session, step, pause_s=0.0):
        self.clients.append(Client(self, name, open_session, step, pause_s))

    def start(self):
        for client in self.clients:
            client.start()

    def stop(self, deadline_s, keep=False):
        """Ends the clients; their sessions are closed, or kept. Those that do not end are a failure of theirs."""
        self.keep = keep
        self.stopping.set()
        end = time.monotonic() + deadline_s
        for client in self.clients:
            client.join(max(0.1, end - time.monotonic()))
            if client.is_alive():
                client.failures.append(f"{client.name} does not end")

    def failures(self):
        return [f"{client.name}, step {client.steps}: {failure}" for client in self.clients for failure in client.failures]
