# SPDX-License-Identifier: Apache-2.0
"""The other side: Postfix, Dovecot and OpenLDAP from Debian, in a root of their own (deploy/packages peers ROOT).

They are unpacked there and never installed: Debian's mail servers remove each other, and an administrator's must stay. Everything that
they read and write is below that root, so it is on the same file system as our side's data.
"""
import os
import shutil
import socket
import subprocess

from . import machine
from .ours import ROOT, example, node

PORTS = {"ldap": 23389, "smtp": 23025, "rcpt": 23026, "submission": 23587, "lmtp": 23024, "imap": 23143, "imaps": 23993, "pop3": 23110}
# uid and gid of each; they mean something only below the root.
IDS = {"postfix": 201, "openldap": 202, "dovecot": 203, "dovenull": 204, "vmail": 205, "postdrop": 206}
# A session in IDLE has an inotify instance each, and one user has all mail.
SYSCTLS = {"fs/inotify/max_user_instances": 16384, "fs/inotify/max_user_watches": 1048576}
DATA = ("var/spool/postfix", "var/lib/postfix", "var/lib/dovecot", "var/lib/ldap", "srv/mail", "var/log", "run/dovecot")
START_S, DRAIN_S = 30, 180
BASE = example.BASE


class Peers:
    name = "peers"
    accepts = {"smtp": "postfix", "imap": "dovecot"}

    def __init__(self, folder, address, users, store):
        self.root, self.listen, self.users, self.store = os.path.join(folder, "peers"), address, users, store
        self.password = example.PASSWORD
        self.groups = {}
        self.sysctls = {}

    def path(self, *parts):
        return os.path.join(self.root, *(part.lstrip("/") for part in parts))

    def address(self, service):
        return f"{self.listen}:{PORTS[service]}"

    # --- setting up ---

    def up(self):
        node.run(os.path.join(ROOT, "deploy", "packages"), "peers", self.root)
        machine.end_leftovers(lambda pid: machine.link(f"/proc/{pid}/root") == self.root)
        for name, least in SYSCTLS.items():
            path = "/proc/sys/" + name
            if int(machine.read(path)) < least:
                self.sysctls[path] = machine.read(path)
                self.write_sysctl(path, str(least))
        self.make_root()
        self.fill_directory()
        self.start("slapd", "postfix", "dovecot")

    def write_sysctl(self, path, value):
        try:
            with open(path, "w", encoding="ascii") as stream:
                stream.write(value)
        except OSError:
            pass  # idle sessions beyond the limit poll instead

    def make_root(self):
        for folder in ("dev", "proc", "tmp", "run", "srv", "etc/ssl"):
            os.makedirs(self.path(folder), exist_ok=True)
        os.chmod(self.path("tmp"), 0o1777)
        for name, minor in (("null", 3), ("zero", 5), ("random", 8), ("urandom", 9)):
            if not os.path.exists(self.path("dev", name)):
                os.mknod(self.path("dev", name), 0o20666, os.makedev(1, minor))
                os.chmod(self.path("dev", name), 0o666)
        self.write("etc/passwd", "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
                   + "".join(f"{name}:x:{n}:{n}::/:/bin/false\n" for name, n in IDS.items()))
        self.write("etc/group", "root:x:0:\nnogroup:x:65534:\n" + "".join(f"{name}:x:{n}:\n" for name, n in IDS.items()))
        self.write("etc/hosts", f"127.0.0.1 localhost\n{self.listen} mx.uni.example\n")
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
        self.write("etc/postfix/dynamicmaps.cf", "ldap\tpostfix-ldap.so\tdict_ldap_open\n")
        self.remove()
        for folder in DATA:
            os.makedirs(self.path(folder))
        for folder, owner in (("var/lib/postfix", "postfix"), ("var/lib/ldap", "openldap"), ("run", "openldap"), ("srv/mail", "vmail")):
            os.chown(self.path(folder), IDS[owner], IDS[owner])
        # Dovecot puts its socket for log-ins where Postfix looks, before Postfix has made the folder.
        os.makedirs(self.path("var/spool/postfix/private"))
        os.chown(self.path("var/spool/postfix/private"), IDS["postfix"], 0)
        os.chmod(self.path("var/spool/postfix/private"), 0o700)
        self.make_certificate()
        for folder, names in (("etc/ldap", ("slapd.conf",)), ("etc/postfix", ("main.cf", "master.cf", "ldap-users.cf")),
                              ("etc/dovecot", ("dovecot.conf", "dovecot-ldap.conf"))):
            for name in names:
                self.write(f"{folder}/{name}", self.filled_in(machine.read(os.path.join(ROOT, "bench", "peers", name))))

    def filled_in(self, text):
        values = {"STORE": self.store, "ADDRESS": self.listen, "PASSWORD": self.password, **{name.upper(): str(port) for name, port in PORTS.items()}}
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        return text

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as stream:
            stream.write(text)

    def make_certificate(self):
        """As deploy/node.py makes ours."""
        if not os.path.exists(self.path("etc/ssl/bench.pem")):
            node.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "825",
                     "-subj", "/CN=mx.uni.example", "-addext", "subjectAltName=DNS:mx.uni.example", "-keyout", self.path("etc/ssl/bench.key"),
                     "-out", self.path("etc/ssl/bench.pem"))

    def ssha(self, uid):
        return example.salted("SSHA", uid)

    def ldif(self):
        yield example.entry(BASE, ("dcObject", "organization"), "dc: uni", "o: University of Example")
        yield example.entry(f"ou=people,{BASE}", ("organizationalUnit",), "ou: people")
        yield example.entry(f"cn=svc,{BASE}", ("organizationalRole", "simpleSecurityObject"), "cn: svc", f"userPassword: {self.ssha('svc')}")
        for number in range(1, self.users + 1):
            uid = f"u{number:05d}"
            yield example.entry(f"uid={uid},ou=people,{BASE}", ("inetOrgPerson", "inetLocalMailRecipient"), f"uid: {uid}",
                                f"cn: Person {number}", "sn: Person", f"mail: {uid}@{example.DOMAIN}",
                                f"mailLocalAddress: {uid}@{example.DOMAIN}", "mailHost: mb1.uni.example", f"userPassword: {self.ssha(uid)}")

    def fill_directory(self):
        with open(self.path("tmp/users.ldif"), "w", encoding="utf-8") as stream:
            stream.writelines(self.ldif())
        self.inside("slapadd", "-q", "-f", "/etc/ldap/slapd.conf", "-l", "/tmp/users.ldif")
        for here, _, names in os.walk(self.path("var/lib/ldap")):
            for name in names:
                os.chown(os.path.join(here, name), IDS["openldap"], IDS["openldap"])

    # --- running ---

    def inside(self, *command, group=None):
        """Runs to its end below the root, in the control group of its part."""
        def enter():
            if group:
                group.add(os.getpid())
            os.chroot(self.root)
            os.chdir("/")
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
        with open(self.path("var/log/start.log"), "ab") as log:
            # A daemon keeps the standard output it was given, so it must not be a pipe that somebody reads to the end.
            done = subprocess.run(["/usr/bin/env", *command], preexec_fn=enter, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  check=False)
        if done.returncode != 0:
            said = machine.read(self.path("var/log/start.log")) + machine.read(self.path("var/log/postfix.log"))
            raise node.Failed(f"{command[0]} ended with {done.returncode}: {said[-600:]}")

    def start(self, *parts):
        commands = {
            "slapd": (("slapd", "-f", "/etc/ldap/slapd.conf", "-u", "openldap", "-g", "openldap", "-h", f"ldap://{self.address('ldap')}/"), "ldap"),
            "postfix": (("postfix", "start"), "smtp"),
            "dovecot": (("dovecot", "-c", "/etc/dovecot/dovecot.conf"), "imap"),
        }
        pid_files = {"slapd": "run/slapd.pid", "postfix": "var/spool/postfix/pid/master.pid", "dovecot": "run/dovecot/master.pid"}
        for part in parts:
            command, service = commands[part]
            if self.is_open(service):
                raise node.Failed(f"port {PORTS[service]} is taken")
            self.groups[part] = machine.Group("peers-" + part)
            self.inside(*command, group=self.groups[part])
            machine.wait(START_S, lambda: self.is_open(service) and machine.read(self.path(pid_files[part])).strip(), f"{part} to listen")
            self.groups[part].is_led_by(int(machine.read(self.path(pid_files[part]))))

    def is_open(self, service):
        try:
            socket.create_connection((self.listen, PORTS[service]), timeout=5).close()
            return True
        except OSError:
            return False

    def end(self, *parts):
        for part in parts:
            if part in self.groups:
                self.groups[part].end()
                self.groups[part].remove()
                del self.groups[part]

    def restart(self):
        self.end("postfix", "dovecot")
        self.start("postfix", "dovecot")

    def down(self):
        self.end("postfix", "dovecot", "slapd")
        for path, value in self.sysctls.items():
            self.write_sysctl(path, value)

    def remove(self):
        """Mail and directory; what was unpacked stays for the next run."""
        for folder in DATA:
            shutil.rmtree(self.path(folder), ignore_errors=True)

    def queued(self):
        spool = self.path("var/spool/postfix")
        return any(names for part in ("maildrop", "incoming", "active", "deferred") for _, _, names in os.walk(os.path.join(spool, part)))

    def drain(self):
        machine.wait(DRAIN_S, lambda: not self.queued(), "Postfix's queue to be empty")

    def log_errors(self):
        lines = (machine.read(self.path("var/log/postfix.log")) + machine.read(self.path("var/log/dovecot.log"))).splitlines()
        return [line for line in lines if any(mark in line for mark in ("Error:", "Fatal:", "Panic:", "fatal:", "error:", "status=deferred"))]

    def version(self):
        versions = dict(line.split() for line in machine.read(self.path("packages")).splitlines())
        return ", ".join(f"{name} {versions[name]}" for name in ("postfix", "dovecot-core", "slapd")) + f", {self.store}"
