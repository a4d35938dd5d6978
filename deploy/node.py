# SPDX-License-Identifier: Apache-2.0
"""deploy/node.py: installs the release build into DIR, runs a node from there, proves it with a message. Called by deploy/up.

Only the standard library. Everything the daemons need is in DIR: they run as users of their own and never see the clone, which may
lie in a home folder that is closed to them. A second run on the same DIR keeps certificates, mailboxes and queue.
"""
import argparse
import ctypes
import grp
import hashlib
import imaplib
import ipaddress
import json
import os
import poplib
import pwd
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time

import example

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAMS = ("posthouse", "posthouse-mta", "posthouse-popimap", "posthouse-ldapsync")
DAEMONS = ("mta", "popimap", "ldapsync")
USERS = ("posthouse-mta", "posthouse-popimap", "posthouse-ldapsync")
GROUPS = ("posthouse", "posthouse-auth")
OFFSETS = {"smtp": 25, "submission": 587, "submissions": 465, "lmtp": 24, "imap": 143, "imaps": 993, "pop3": 110, "pop3s": 995}
HOSTNAME = "mx.uni.example"
START_S = 60    # until all ports answer
DELIVER_S = 20  # until the message is in the mailboxes
STOP_S = 40
SOCKET_PATH_BYTES = 100
UNEQUAL = "the message that was read is not the message that was sent"


class Failed(Exception):
    """Said to the operator; nothing else to clean up."""


class Stopped(Exception):
    """SIGTERM or SIGINT."""


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command[:3])} ...: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def replace_file(path, text, mode):
    """Written beside and renamed, and only when it differs: nobody ever reads half of it."""
    data = text.encode() if isinstance(text, str) else text
    try:
        with open(path, "rb") as stream:
            if stream.read() == data:
                return
    except OSError:
        pass
    with open(path + ".new", "wb") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(data)
    os.replace(path + ".new", path)


def make_users():
    for group in GROUPS:
        try:
            grp.getgrnam(group)
        except KeyError:
            run("groupadd", "--system", group)
    for user in USERS:
        try:
            pwd.getpwnam(user)
        except KeyError:
            run("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin",
                "--groups", ",".join(GROUPS), user)
        for group in GROUPS:
            if user not in grp.getgrnam(group).gr_mem:
                run("usermod", "--append", "--groups", group, user)


class Node:
    made_by = "deploy/up"

    def __init__(self, options):
        self.options = options
        self.dir = os.path.normpath(options.dir)
        self.config = self.path("etc", "posthouse.conf")
        self.ldif = self.path("directory", "directory.ldif")
        self.endpoints = self.path("endpoints.json")
        self.ports = {name: options.port_base + offset for name, offset in OFFSETS.items()}
        self.run_dir = self.path("run")
        if len(self.run_dir) + len("/ldapsync.sock") > SOCKET_PATH_BYTES:  # a socket's path has a limit in the kernel
            self.run_dir = "/run/posthouse-" + hashlib.sha256(self.dir.encode()).hexdigest()[:12]
        self.process = None  # posthouse run, where it is ours

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    # --- installing ---

    def make_folders(self):
        os.makedirs(self.dir, exist_ok=True)
        os.chmod(self.dir, 0o755)
        above = self.dir
        while above != "/":
            above = os.path.dirname(above)
            if not os.stat(above).st_mode & 0o001:
                raise Failed(f"{above} is closed to other users, so the daemons could not reach {self.dir}; choose another --dir")
        for name in ("bin", "directory", "etc", "log", "man", "tls"):
            os.makedirs(self.path(name), exist_ok=True)
            os.chmod(self.path(name), 0o755)

    def install_programs(self):
        built = os.path.join(ROOT, "build", "release", "bin")
        for name in PROGRAMS:
            target = self.path("bin", name)
            shutil.copyfile(os.path.join(built, name), target + ".new")
            os.chmod(target + ".new", 0o755)
            os.replace(target + ".new", target)
        for page in ("posthouse.1", "posthouse.conf.5"):
            replace_file(self.path("man", page), run(self.path("bin", "posthouse"), "manual", page), 0o644)
        for page in ("posthouse-mta.8", "posthouse-popimap.8", "posthouse-ldapsync.8"):
            shutil.copyfile(os.path.join(ROOT, "doc", page), self.path("man", page))

    def make_certificate(self, name, names):
        """A self-signed ECDSA certificate, kept while it fits and lasts. Readers of the key: the group that checks passwords."""
        pem, key = self.path("tls", name + ".pem"), self.path("tls", name + ".key")
        wanted = f"subjectAltName={names}"
        note = self.path("tls", name + ".names")
        fits = os.path.exists(note) and open(note, encoding="utf-8").read() == wanted and subprocess.run(
            ["openssl", "x509", "-in", pem, "-noout", "-checkend", "604800"], capture_output=True, check=False).returncode == 0
        if not fits:
            umask = os.umask(0o077)
            run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "825",
                "-subj", f"/CN={HOSTNAME}", "-addext", wanted, "-keyout", key, "-out", pem)
            os.umask(umask)
            replace_file(note, wanted, 0o644)
        os.chmod(pem, 0o644)
        shutil.chown(key, "root", "posthouse-auth")
        os.chmod(key, 0o640)
        return pem

    def pin(self, pem):
        """phHostTlsPin: the digest of the certificate's public key."""
        public = run("openssl", "x509", "-in", pem, "-noout", "-pubkey")
        der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=public.encode(), capture_output=True, check=True).stdout
        return "sha256:" + hashlib.sha256(der).hexdigest()

    def listen(self, port):
        return f"[{self.options.address}]:{port}" if ":" in self.options.address else f"{self.options.address}:{port}"

    def directory_settings(self):
        return [f'shadow_ldif = "{self.ldif}"']

    def write_config(self, sandbox="required"):
        lines = [
            f"# Made by {self.made_by}; posthouse.conf(5) explains each setting, `posthouse settings` shows what differs from the defaults.",
            f'hostname = "{HOSTNAME}"', f'domain = "{example.DOMAIN}"',
            "serves = {" + ", ".join(f'"{host}"' for host in example.HOSTS) + "}",
            f'data_dir = "{self.path("data")}"', f'run_dir = "{self.run_dir}"',
            *self.directory_settings(), f"sandbox = {sandbox}",
            "tls {", f'  certificate = {{"{self.path("tls", "mx.pem")}"}}', f'  key = {{"{self.path("tls", "mx.key")}"}}', "}",
            f'node_certificate = "{self.path("tls", "node.pem")}"', f'node_key = "{self.path("tls", "node.key")}"',
            "listen {", *(f'  {name} = {{"{self.listen(port)}"}}' for name, port in self.ports.items()), "}",
            "# All load comes from one address here.",
            "smtp_connections_per_address_max = 100000", "submission_recipients_hour_max = 1000000",
        ]
        replace_file(self.config, "\n".join(lines) + "\n", 0o644)

    def pins(self):
        return [self.pin(self.make_certificate("node", "DNS:" + ",DNS:".join(example.HOSTS)))]

    def recipe(self, pins):
        """What the directory depends on: while it is the same, the directory need not be made again."""
        return json.dumps([self.options.users, self.options.password_scheme, pins, self.listen(self.ports["lmtp"]), source_digest()])

    def pieces(self, pins):
        """The example directory as LDIF, in pieces."""
        return example.ldif(self.options.users, self.options.password_scheme, pins, self.listen(self.ports["lmtp"]),
                            self.path("bin", "posthouse"), self.config)

    def write_directory(self):
        pins = self.pins()
        recipe = self.recipe(pins)
        note, target = self.path("directory", "recipe"), self.ldif
        if os.path.exists(target) and os.path.exists(note) and open(note, encoding="utf-8").read() == recipe:
            return
        with open(target + ".new", "w", encoding="utf-8") as stream:
            stream.writelines(self.pieces(pins))
        shutil.chown(target + ".new", "root", "posthouse-ldapsync")  # it holds hashes: ldapsync alone opens it
        os.chmod(target + ".new", 0o640)
        os.replace(target + ".new", target)
        replace_file(note, recipe, 0o644)

    def meet(self, pid):
        """A node runs here already, under this supervisor."""
        raise Failed(f"a node runs already in {self.dir}, as process {pid}; end it (kill {pid}), or choose another --dir and --port-base")

    def install(self):
        try:
            ipaddress.ip_address(self.options.address)
        except ValueError:
            raise Failed(f"--address: '{self.options.address}' is no IP address") from None
        make_users()
        self.make_folders()
        runs = self.ask("mta", "ping")
        if runs:
            self.meet(parent_of(runs["pid"]))
        if os.path.exists(self.endpoints):
            os.unlink(self.endpoints)
        self.install_programs()
        address = self.options.address
        self.make_certificate("mx", f"DNS:{HOSTNAME},DNS:localhost,IP:{address}")
        self.write_config()
        self.write_directory()
        complaints = self.check()
        if complaints and all(": sandbox: " in line for line in complaints):
            print(f"{self.made_by}: this kernel cannot confine the daemons; they run without: " + complaints[0].split(": ", 2)[2], file=sys.stderr)
            self.write_config(sandbox="optional")
            complaints = self.check()
        if complaints:
            raise Failed("posthouse check: " + " / ".join(complaints))

    def posthouse(self, *arguments):
        return subprocess.run([self.path("bin", "posthouse"), "-c", self.config, *arguments], capture_output=True, text=True, check=False)

    def check(self):
        done = self.posthouse("check")
        return [] if done.returncode == 0 else (done.stdout or done.stderr).splitlines()

    # --- running ---

    def start(self):
        libc = ctypes.CDLL(None)

        def end_with_us():
            libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        log = open(self.path("log", "posthouse.log"), "ab")
        self.log_start = log.tell()
        self.process = subprocess.Popen([self.path("bin", "posthouse"), "-c", self.config, "run"], cwd="/", stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log, preexec_fn=end_with_us)
        log.close()

    def log_tail(self):
        with open(self.path("log", "posthouse.log"), "rb") as stream:
            stream.seek(self.log_start)
            lines = stream.read().decode(errors="replace").splitlines()
        told = [line for line in lines if "level=error" in line] or lines
        return " / ".join(told[-3:])

    def wait(self, what, deadline_s, condition):
        end = time.monotonic() + deadline_s
        while True:
            if self.process is not None and self.process.poll() is not None:
                raise Failed(f"posthouse run ended with {self.process.returncode}: {self.log_tail()}")
            try:
                value = condition()
                if value:
                    return value
            except (OSError, smtplib.SMTPException, imaplib.IMAP4.error, poplib.error_proto, EOFError) as problem:
                what_now = f"{what} ({problem})"
            else:
                what_now = what
            if time.monotonic() > end:
                raise Failed(f"waited {deadline_s} s in vain for {what_now}: {self.log_tail()}")
            time.sleep(0.05)

    def ask(self, daemon, command):
        """One question on a control socket; None while nobody answers."""
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(5)
                sock.connect(os.path.join(self.run_dir, daemon + ".sock"))
                sock.sendall(json.dumps({"command": command}).encode() + b"\n")
                return json.loads(sock.makefile("rb").readline()).get("result")
        except (OSError, ValueError):
            return None

    def context(self):
        return ssl.create_default_context(cafile=self.path("tls", "mx.pem"))

    def greets(self, name):
        wanted = {"imap": b"* OK", "pop3": b"+OK"}.get(name.removesuffix("s"), b"220")
        with socket.create_connection((self.options.address, self.ports[name]), timeout=10) as plain:
            sock = self.context().wrap_socket(plain, server_hostname=self.options.address) if name in ("submissions", "imaps", "pop3s") else plain
            return sock.recv(512).startswith(wanted)

    def wait_until_up(self):
        for name in self.ports:
            self.wait(f"{name} on {self.listen(self.ports[name])} to greet", START_S, lambda name=name: self.greets(name))
        pids = {}
        for daemon in DAEMONS:
            pids[daemon] = self.wait(f"posthouse-{daemon} to answer", START_S, lambda daemon=daemon: self.ask(daemon, "ping"))["pid"]
        self.wait("the directory to be loaded", START_S, lambda: self.posthouse("directory", "status").returncode == 0)
        return pids

    def write_endpoints(self, pids):
        uid, given, family, _, _ = example.person(0)
        replace_file(self.endpoints, json.dumps({
            "address": self.options.address, "ports": self.ports, "ca_file": self.path("tls", "mx.pem"), "config": self.config,
            "ldif": self.ldif, "pids": pids,
            "user": {"login": uid, "address": f"{given.lower()}.{family.lower()}@{example.DOMAIN}", "password": example.PASSWORD},
        }, indent=2) + "\n", 0o644)

    def stop(self):
        """A clean end; true when it was one."""
        if os.path.exists(self.endpoints):
            os.unlink(self.endpoints)
        if self.process is None:
            return True
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.process = None
        return code == 0

    def unclean(self):
        """What to say when stop() was not clean."""
        return f"the node did not end cleanly: {self.log_tail()}"

    # --- proving ---

    def imap(self, uid):
        imap = imaplib.IMAP4_SSL(self.options.address, self.ports["imaps"], ssl_context=self.context(), timeout=30)
        imap.login(uid, example.PASSWORD)
        return imap

    def find_over_imap(self, uid, message_id):
        imap = self.imap(uid)
        try:
            imap.select("INBOX", readonly=True)
            found = imap.search(None, "HEADER", "Message-ID", f'"{message_id}"')[1][0].split()
            return imap.fetch(found[-1].decode(), "(BODY.PEEK[])")[1][0][1] if found else None
        finally:
            imap.logout()

    def find_over_pop3(self, uid, octets):
        pop = poplib.POP3_SSL(self.options.address, self.ports["pop3s"], context=self.context(), timeout=30)
        try:
            pop.user(uid)
            pop.pass_(example.PASSWORD)
            for number in range(pop.stat()[0], 0, -1):
                lines = pop.retr(number)[1]
                if b"".join(line + b"\r\n" for line in lines) == octets:
                    return True
            return False
        finally:
            pop.quit()

    def submit(self, sender_uid, sender, recipients, octets):
        with smtplib.SMTP(self.options.address, self.ports["submission"], local_hostname="laptop.example", timeout=30) as smtp:
            smtp.starttls(context=self.context())
            smtp.login(sender_uid, example.PASSWORD)
            smtp.ehlo_or_helo_if_needed()
            code, text = smtp.mail(sender, ["BODY=8BITMIME"])
            if code == 250:
                for recipient in recipients:
                    code, text = smtp.rcpt(recipient)
                    if code != 250:
                        break
            if code == 250:
                code, text = smtp.data(octets)
        if code != 250:
            raise Failed(f"submission was refused: {code} {text.decode(errors='replace')}")
        found = re.search(rb"\b([0-9A-HJKMNP-TV-Z]{12})\b", text)
        if not found:
            raise Failed(f"the reply names no queue id: {text.decode(errors='replace')}")
        return found.group(1).decode()

    def prove(self):
        """One message to a mailbox on each host, by submission; read over IMAP and POP3, octet for octet."""
        sender = example.person(0)
        address = lambda who: f"{who[1].lower()}.{who[2].lower()}@{example.DOMAIN}"
        readers = [example.person(1), example.person(0)]
        message_id = f"<{time.time_ns():x}.{os.getpid()}@laptop.example>"
        octets = (f"From: {sender[1]} {sender[2]} <{address(sender)}>\r\nTo: {', '.join(address(who) for who in readers)}\r\n"
                  f"Subject: Through the posthouse\r\nDate: {time.strftime('%a, %d %b %Y %H:%M:%S +0000', time.gmtime())}\r\nMessage-ID: {message_id}\r\n"
                  "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
                  "Gr\u00fc\u00dfe aus der Posthalterei.\r\n.\r\n..two dots, and a line that ends with a space \r\n\r\n").encode()
        queue_id = self.submit(sender[0], address(sender), [address(who) for who in readers], octets)
        result = {"queue_id": queue_id, "imap_equal": True, "pop3_equal": True, "accepted": len(readers), "delivered": 0}
        for who in readers:
            got = self.wait(f"the message in the mailbox of {who[0]}", DELIVER_S, lambda who=who: self.find_over_imap(who[0], message_id))
            result["delivered"] += 1
            result["imap_equal"] &= got.endswith(octets) and is_trace(got[:len(got) - len(octets)])
            result["pop3_equal"] &= self.find_over_pop3(who[0], got)
        self.shown = got
        return result


def parent_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
        return int(stream.read().rsplit(")", 1)[1].split()[1])


def is_trace(head):
    """Only what a server adds in front: Return-Path, Delivered-To, Received."""
    fields = re.split(rb"\r\n(?![ \t])", head)
    return fields[-1] == b"" and all(re.match(rb"(Return-Path|Delivered-To|Received):", field) for field in fields[:-1])


def source_digest():
    with open(os.path.join(ROOT, "deploy", "example.py"), "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def explain(node, result):
    login = example.person(0)[0]
    print(node.shown.decode(errors="replace"))
    print(f"Message {result['queue_id']} went in by submission, through the queue, over LMTP into {result['delivered']} mailboxes, and was read back "
          f"over IMAP ({'equal' if result['imap_equal'] else 'NOT equal'}) and POP3 ({'equal' if result['pop3_equal'] else 'NOT equal'}).\n")
    print(f"Log in as {login}, password {example.PASSWORD}; any of the 50 people has it. Server {node.options.address}, certificate "
          f"{node.path('tls', 'mx.pem')}:")
    for name, port in sorted(node.ports.items(), key=lambda item: item[1]):
        print(f"  {name:12} {port}")
    bin_ = node.path("bin", "posthouse")
    ends = "The node stops now, as --once says; `why`, `check` and the manual go on working." if node.options.once else "SIGTERM or Ctrl-C ends it."
    print(f"\n  {bin_} -c {node.config} why physics@{example.DOMAIN}\n  {bin_} -c {node.config} queue list\n  man -l {node.path('man', 'posthouse.1')}\n"
          f"\nLog: {node.path('log', 'posthouse.log')}. {ends}", flush=True)


def read_options(add):
    """The arguments that deploy/up and deploy/ldap/up hand over, and their own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--dir", required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--port-base", type=int, required=True)
    parser.add_argument("--users", type=int, required=True)
    add(parser)
    return parser.parse_args()


def see_through(node, result, work, faults=()):
    """Does work(), which fills result in and returns what is wrong with it, or None; stops the node, whatever happened; says how it went. Returns
    the exit code. faults: exceptions that are for the operator, beside ours."""
    def on_signal(_number, _frame):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise Stopped

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    error, stopped = None, False
    try:
        error = work()
    except Stopped:
        stopped = True
    except (Failed, OSError, RuntimeError, subprocess.SubprocessError, smtplib.SMTPException, imaplib.IMAP4.error, poplib.error_proto,
            *faults) as problem:
        error = str(problem) or type(problem).__name__
    if not node.stop() and error is None:
        error = node.unclean()
    if error:
        print(f"{node.made_by}: {error}", file=sys.stderr)
    if node.options.once:
        ok = error is None and not stopped
        print(json.dumps({"ok": ok, **result, "error": None if ok else error or "stopped by a signal"}), flush=True)
        return 0 if ok else 1
    return 1 if error else 0


def main():
    node = Node(read_options(lambda parser: parser.add_argument("--password-scheme", type=str.upper, default=None)))
    result = {"queue_id": None, "imap_equal": False, "pop3_equal": False, "accepted": 0, "delivered": 0}

    def work():
        node.install()
        node.start()
        node.write_endpoints(node.wait_until_up())
        result.update(node.prove())
        explain(node, result)
        if not node.options.once and node.process.wait() != 0:
            return f"posthouse run ended: {node.log_tail()}"
        return None if result["imap_equal"] and result["pop3_equal"] else UNEQUAL

    return see_through(node, result, work)


if __name__ == "__main__":
    sys.exit(main())
