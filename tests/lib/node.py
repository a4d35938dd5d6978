# SPDX-License-Identifier: Apache-2.0
"""A whole Posthouse node for a test: real daemons, a temporary folder, an address of its own on loopback.

    class Submit(NodeTest):
        settings = {"recipients_max": 10}
        def test_limit(self):
            with self.node.smtp() as smtp: ...

NodeTest starts one node for the class and stops it at the end; a daemon that died, or a line at level error that the test did not
expect (expect_error), fails the class. Programs come from $POSTHOUSE_BIN. Everything the node makes is below one temporary folder,
removed afterwards, and every process it started is stopped by its id.
"""
import base64
import hashlib
import imaplib
import json
import os
import poplib
import random
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

import sanitizer

os.environ.update(sanitizer.environment(os.environ))  # for daemons that watch themselves
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("POSTHOUSE_BIN", os.path.join(ROOT, "build", "release", "bin"))
SERVICES = ("smtp", "submission", "submissions", "lmtp", "imap", "imaps", "pop3", "pop3s")
PASSWORD = "correct horse"
DEADLINE_S = float(os.environ.get("POSTHOUSE_TEST_DEADLINE_S", "30"))  # generous: for a noisy machine, never asserted as a speed


def ssha(password, salt=b"saltsalt"):
    """{SSHA}: cheap on purpose, so that a test with many log-ins measures no hash."""
    digest = hashlib.sha1(password.encode() + salt).digest()
    return "{SSHA}" + base64.b64encode(digest + salt).decode()


def scram(password, salt=b"0123456789abcdef", rounds=4096):
    """RFC 5803 value for SCRAM-SHA-256."""
    import hmac
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    b64 = lambda b: base64.b64encode(b).decode()
    return f"SCRAM-SHA-256${rounds}:{b64(salt)}${b64(stored)}:{b64(server)}"


def uuid_of(name):
    h = hashlib.md5(name.encode()).hexdigest()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def user_ldif(uid, host="mb1.uni.example", domain="uni.example", extra=""):
    return (f"dn: uid={uid},ou=people,dc=uni,dc=example\nobjectClass: inetOrgPerson\nobjectClass: phMailUser\nuid: {uid}\ncn: {uid}\nsn: {uid}\n"
            f"mail: {uid}@{domain}\nmailHost: {host}\nphMailboxId: {uuid_of(uid)}\nuserPassword: {ssha(PASSWORD)}\nphScram: {scram(PASSWORD)}\n"
            f"{extra}\n")


class Node:
    def __init__(self, users=("ann", "bob", "eve"), ldif="", settings=None, keep=False, wrapper=()):
        """wrapper: a command in front of `posthouse run`, which it must become by exec."""
        self.wrapper = wrapper
        self.users, self.extra_ldif, self.overrides = users, ldif, dict(settings or {})
        self.dir = tempfile.mkdtemp(prefix="posthouse-test-")
        self.process = None
        self.keep = keep
        self.expected_errors = []
        # An address of its own, so that two runs do not meet; 127.64.0.0/10 is left to tests.
        rng = random.Random(f"{os.getpid()}-{time.monotonic_ns()}")
        self.address = f"127.{rng.randrange(64, 128)}.{rng.randrange(1, 255)}.{rng.randrange(1, 255)}"
        self.ports = {name: 2000 + i for i, name in enumerate(SERVICES)}

    # --- files ---

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, text):
        """Replaces a file of the node's folder, as an administrator should: by a rename. A reload never meets half of it."""
        with open(self.path(name + ".new"), "w", encoding="utf-8") as stream:
            stream.write(text)
        os.rename(self.path(name + ".new"), self.path(name))
        return self.path(name)

    def make_certificates(self):
        for name, names in (("tls", f"DNS:mx.uni.example,DNS:localhost,DNS:{self.address},IP:{self.address}"), ("node", "DNS:mb1.uni.example")):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                            "-subj", "/CN=mx.uni.example", "-addext", "subjectAltName=" + names, "-keyout", self.path(name + ".key"),
                            "-out", self.path(name + ".pem")], check=True, capture_output=True)
        der = subprocess.run(f"openssl x509 -in {self.path('node.pem')} -pubkey -noout | openssl pkey -pubin -outform der", shell=True,
                             check=True, capture_output=True).stdout
        self.pin = "sha256:" + hashlib.sha256(der).hexdigest()

    def directory_ldif(self):
        hosts = "".join(
            f"dn: cn={host},ou=hosts,dc=uni,dc=example\nobjectClass: phMailHost\ncn: {host}\nphHostRole: store\nphHostRole: mx\nphHostState: up\n"
            f"phHostEndpoint: lmtp=inet:{self.address}:{self.ports['lmtp']}\nphHostTlsPin: {self.pin}\n\n"
            for host in ("mb1.uni.example", "mb2.uni.example"))
        domain = ("dn: associatedDomain=uni.example,ou=domains,dc=uni,dc=example\nobjectClass: phMailDomain\nassociatedDomain: uni.example\n"
                  "phDomainType: local\n\n")
        return "version: 1\n\n" + domain + hosts + "".join(user_ldif(u) for u in self.users) + self.extra_ldif

    def write_ldif(self, text=None):
        self.write("directory.ldif", text if text is not None else self.directory_ldif())

    def write_config(self):
        values = {
            "hostname": "mx.uni.example", "domain": "uni.example", "serves": ["mb1.uni.example", "mb2.uni.example"],
            "data_dir": self.path("data"), "run_dir": self.path("run"), "mta_user": "", "popimap_user": "", "ldapsync_user": "", "group": "",
            "tls_certificate": [self.path("tls.pem")], "tls_key": [self.path("tls.key")],
            "node_certificate": self.path("node.pem"), "node_key": self.path("node.key"),
            "shadow_ldif": self.path("directory.ldif"), "log_level": "debug", "threads": 2, "stop_deadline_s": 10,
            # One address for all tests' clients: caps for addresses are tested where a test asks for them.
            "smtp_connections_per_address_max": 20000, "auth_failures_user_hour_max": 1000000, "auth_failures_address_hour_max": 1000000,
        }
        for name in SERVICES:
            values["listen_" + name] = [f"{self.address}:{self.ports[name]}"]
        values.update(self.overrides)
        lines = []
        for name, value in values.items():
            if isinstance(value, (list, tuple)):
                lines.append(f"{name} = {{{', '.join(json.dumps(v) for v in value)}}}")
            else:
                lines.append(f"{name} = {json.dumps(str(value))}")
        self.config = self.write("posthouse.conf", "\n".join(lines) + "\n")

    def change_settings(self, daemon, **values):
        """New values for a running daemon, as an administrator would: edit, reload, wait until it has read them."""
        def reloads():
            return sum("settings were read again" in line and f"daemon={daemon}" in line for line in self.log_text().splitlines())
        before = reloads()
        self.overrides.update(values)
        self.write_config()
        self.command("reload", daemon)
        self.wait(lambda: reloads() > before, f"{daemon} to read its settings again")

    # --- life ---

    def start(self, has_directory=True):
        """Returns when it serves; without has_directory also when nothing of the directory is there."""
        if not os.path.exists(self.path("tls.pem")):
            self.make_certificates()
        if not os.path.exists(self.path("directory.ldif")):
            self.write_ldif()
        self.write_config()
        self.log = open(self.path("log"), "ab")
        # In a folder of its own, where a file with a relative name would be found.
        self.process = subprocess.Popen([*self.wrapper, os.path.abspath(os.path.join(BIN, "posthouse")), "-c", self.config, "run"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd=self.dir)
        self.wait(lambda: self.process.poll() is not None or self.is_up(), "the node to be up")
        if self.process.poll() is not None:
            raise AssertionError(f"posthouse run ended with {self.process.returncode}:\n{self.log_text()[-4000:]}")
        if has_directory:
            self.wait(lambda: self.why("ann@uni.example" if "ann" in self.users else f"{self.users[0]}@uni.example")["shadow"]["complete"],
                      "the shadow to be complete")
        return self

    def is_up(self):
        for name in SERVICES:
            if not self.overrides.get("listen_" + name, True):
                continue
            try:
                socket.create_connection((self.address, self.ports[name]), timeout=5).close()
            except OSError:
                return False
        # The sockets listen before the daemons serve: ask those.
        return all(self.command("ping", daemon) for daemon in ("mta", "popimap", "ldapsync"))

    def command(self, command, daemon, **args):
        """One request on a control socket; the last line of the answer, or None while nobody serves it."""
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(DEADLINE_S)
                sock.connect(self.path("run", daemon + ".sock"))
                sock.sendall(json.dumps({"command": command, **args}).encode() + b"\n")
                for line in sock.makefile("rb"):
                    answer = json.loads(line)
                    if "ok" in answer:
                        return answer
        except OSError:
            pass
        return None

    def stop(self):
        """A clean end: SIGTERM, exit 0, nothing killed."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.process = None
        self.log.close()
        if code != 0:
            raise AssertionError(f"posthouse run ended with {code}:\n{self.log_text()[-6000:]}")

    def remove(self):
        if not self.keep:
            shutil.rmtree(self.dir, ignore_errors=True)

    def daemon_pids(self):
        """{"mta": pid, …}: the children of `posthouse run`, by the names of their programs."""
        pids = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as stream:
                    stat = stream.read()
                with open(f"/proc/{entry}/cmdline", "rb") as stream:
                    program = os.path.basename(stream.read().split(b"\0")[0].decode())
            except OSError:
                continue
            if int(stat.rsplit(")", 1)[1].split()[1]) == self.process.pid and program.startswith("posthouse-"):
                pids[program.removeprefix("posthouse-")] = int(entry)
        return pids

    def sockets(self, daemon):
        """How many sockets a daemon has open."""
        folder, n = f"/proc/{self.daemon_pids()[daemon]}/fd", 0
        for name in os.listdir(folder):
            try:
                n += os.readlink(os.path.join(folder, name)).startswith("socket:")
            except OSError:  # closed meanwhile
                pass
        return n

    # --- looking ---

    def trace(self, daemon, options, work):
        """What strace, with these options, shows of a daemon while work() runs."""
        def attached():
            with open(f"/proc/{pid}/status", encoding="ascii") as stream:
                return "TracerPid:\t0\n" not in stream.read()
        out, pid = self.path(f"strace.{daemon}"), self.daemon_pids()[daemon]
        strace = subprocess.Popen(["strace", "-f", "-q", *options, "-o", out, "-p", str(pid)], stderr=subprocess.PIPE)
        try:
            self.wait(attached, "strace to attach")
            time.sleep(0.5)  # all threads, not only the first
            work()
        finally:
            strace.terminate()
            strace.wait(DEADLINE_S)
            strace.stderr.close()
        with open(out, encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def wait(self, condition, what, deadline_s=None):
        end = time.monotonic() + (deadline_s or DEADLINE_S)
        while True:
            try:
                value = condition()
            except (OSError, AssertionError, KeyError, TypeError, json.JSONDecodeError):
                value = None
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"waited in vain for {what}:\n{self.log_text()[-4000:]}")
            time.sleep(0.02)

    def log_text(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def expect_error(self, pattern):
        """A line at level error that matches is part of this test."""
        self.expected_errors.append(re.compile(pattern))

    def unexpected_errors(self):
        bad = [line for line in self.log_text().splitlines() if "level=error" in line or "posthouse: bug" in line or sanitizer.has_report(line)]
        return [line for line in bad if not any(p.search(line) for p in self.expected_errors)]

    def run(self, *args, input=None, check=None):
        """`posthouse ARGS` with this node's configuration: the finished process."""
        done = subprocess.run([os.path.join(BIN, "posthouse"), "-c", self.config, *args], input=input, capture_output=True, text=True,
                              timeout=DEADLINE_S)
        if check is not None and done.returncode != check:
            raise AssertionError(f"posthouse {' '.join(args)}: exit {done.returncode}, want {check}\n{done.stdout}{done.stderr}")
        return done

    def why(self, address):
        return json.loads(self.run("why", "--json", address).stdout)

    def queue(self):
        return [json.loads(line) for line in self.run("queue", "list", "--json", check=0).stdout.splitlines()]

    def drain(self, deadline_s=None):
        """Waits for an empty queue as an administrator would after crashes: what was under way alone at a third death is held, rightly
        (queue rule 8), and goes on when it is released."""
        def empty():
            self.run("queue", "release", "--all")
            return self.queue() == []
        self.wait(empty, "the queue to drain", deadline_s)

    def wait_queue_empty(self):
        self.wait(lambda: self.queue() == [], "the queue to be empty")

    # --- clients ---

    def tls(self):
        context = ssl.create_default_context(cafile=self.path("tls.pem"))
        return context

    def raw(self, service, source=None):
        """A plain socket, for what no client library would send; from another address of loopback where a test needs one."""
        return Wire(socket.create_connection((self.address, self.ports[service]), timeout=DEADLINE_S,
                                             source_address=(source, 0) if source else None))

    def smtp(self):
        return smtplib.SMTP(self.address, self.ports["smtp"], timeout=DEADLINE_S, local_hostname="client.example")

    def submission(self, login="ann", password=PASSWORD):
        smtp = smtplib.SMTP(self.address, self.ports["submission"], timeout=DEADLINE_S, local_hostname="laptop")
        smtp.starttls(context=self.tls())
        if login:
            smtp.login(login, password)
        return smtp

    def imap(self, login="ann", password=PASSWORD):
        imap = imaplib.IMAP4_SSL(self.address, self.ports["imaps"], ssl_context=self.tls(), timeout=DEADLINE_S)
        if login:
            imap.login(login, password)
        return imap

    def lmtp(self, certificate="node"):
        """A session after LHLO, its extensions in .offers; certificate: over TLS, and shown to the server (None: neither)."""
        wire = self.raw("lmtp")
        wire.reply()
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the server is checked by nobody here
            context.load_cert_chain(self.path(certificate + ".pem"), self.path(certificate + ".key"))
            wire.say("LHLO front")
            wire.say("STARTTLS")
            wire.starttls(context)
        wire.send("LHLO front\r\n")
        code, wire.offers = wire.reply()
        if code != 250:
            raise AssertionError(f"LHLO: {code}")
        return wire

    def pop3(self, login="ann", password=PASSWORD):
        pop = poplib.POP3_SSL(self.address, self.ports["pop3s"], context=self.tls(), timeout=DEADLINE_S)
        if login:
            pop.user(login)
            pop.pass_(password)
        return pop

    def messages(self, login="ann", folder="INBOX"):
        """All messages of a folder as octets, in order."""
        imap = self.imap(login)
        try:
            imap.select(folder, readonly=True)
            _, data = imap.uid("FETCH", "1:*", "(BODY.PEEK[])")  # BAD by number in an empty folder
            return [item[1] for item in data if isinstance(item, tuple)]
        finally:
            imap.logout()

    def wait_messages(self, n, login="ann", folder="INBOX"):
        def enough():
            found = self.messages(login, folder)
            return found if len(found) >= n else None
        found = self.wait(enough, f"{n} messages of {login}")
        if len(found) != n:
            raise AssertionError(f"{login} has {len(found)} messages, want {n}")
        return found


class Wire:
    """Both ends of a line protocol: say exact bytes, read exact lines."""

    def __init__(self, sock):
        self.sock = sock
        self.stream = sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.stream.close()
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def line(self):
        """The next line without CRLF; "" when the peer has closed."""
        data = self.stream.readline()
        if data and not data.endswith(b"\r\n"):
            raise AssertionError(f"line without CRLF: {data!r}")
        return data[:-2].decode("utf-8", "replace")

    def reply(self):
        """An SMTP reply: (code, [lines]); (0, []) when the peer has closed."""
        lines = []
        while True:
            line = self.line()
            if not line:
                return (0, lines)
            lines.append(line[4:])
            if line[3:4] != "-":
                return (int(line[:3]), lines)

    def say(self, line):
        """A command and its SMTP reply's code."""
        self.send(line + "\r\n")
        return self.reply()[0]

    def starttls(self, context, host="mx.uni.example"):
        self.stream.close()
        self.sock = context.wrap_socket(self.sock, server_hostname=host)
        self.stream = self.sock.makefile("rb")

    def closed(self):
        """The peer has nothing more to say."""
        try:
            return self.stream.read() == b""
        except (ConnectionResetError, ssl.SSLError):
            return True


class NodeTest(unittest.TestCase):
    settings = {}
    users = ("ann", "bob", "eve")
    ldif = ""

    @classmethod
    def setUpClass(cls):
        cls.node = Node(users=cls.users, ldif=cls.ldif, settings=cls.settings)
        try:
            cls.start_node()
        except BaseException:
            cls.node.keep = bool(os.environ.get("POSTHOUSE_TEST_KEEP"))
            try:
                cls.node.stop()
            except AssertionError:
                pass
            cls.node.remove()
            raise

    @classmethod
    def start_node(cls):
        """For tests that prepare something in the node's folder first."""
        cls.node.start()

    @classmethod
    def tearDownClass(cls):
        try:
            cls.node.stop()
            errors = cls.node.unexpected_errors()
            if errors:
                raise AssertionError("errors in the log:\n" + "\n".join(errors[:20]))
        finally:
            cls.node.remove()


def message(subject, body="hello\r\n", sender="ann@uni.example", to="bob@uni.example"):
    return f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: Sat, 21 Nov 2026 19:00:00 +0000\r\nMessage-ID: <{subject}@client.example>\r\n\r\n{body}"
