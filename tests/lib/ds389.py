# SPDX-License-Identifier: Apache-2.0
"""A 389-ds for a test, with our schema and the content synchronisation of RFC 4533, on an address of its own.

    one = DirectoryServer389(ldif=node.user_ldif("ann")).start()
    ...
    one.remove()                                            # in the end, whatever happened

uri, base, sync_dn, sync_password; start(), stop(), restart(), kill(), pause(), resume(), remove(); empty(ldif): made anew, with only this;
load_from(export()), load_running(export()); replicate_to(other), then replicates(False), vector(), wait_caught_up(other); and what Content in slapd.py has: add, modify, delete, load, search(…, who=). settings(): what a node needs to follow it. No TLS (that would need an NSS database).

Debian's package is unpacked into build/389-ds at first use (deploy/packages 389-ds) and never installed. The instance is made from the package's own
template, since its set-up program wants systemd; the server runs below that root by chroot, so as root only.
"""
import ctypes
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

import node
from slapd import BASE, DEADLINE_S, ROOT, Content, deployed

PORT = 2389
ADMIN, ADMIN_PASSWORD = "cn=Directory Manager", "secretsecret"
USER, ID = "dirsrv", 106
REPLICATOR = "cn=replicator,cn=config"


class DirectoryServer389(Content):
    def __init__(self, ldif="", base=BASE):
        self.base, self.ldif, self.process = base, ldif, None
        self.root = os.path.join(ROOT, "build", "389-ds")
        done = subprocess.run([deployed.PACKAGES, "389-ds", self.root], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise deployed.Failed(f"389-ds could not be unpacked: {done.stderr.strip()[-500:]}")
        self.clients = deployed.Programs()
        self.sync_dn, self.sync_password = f"cn=ldapsync,ou=services,{base}", "secret"
        self.admin_dn, self.admin_password = ADMIN, ADMIN_PASSWORD
        rng = random.Random(f"389-{os.getpid()}-{time.monotonic_ns()}")
        self.address = f"127.{rng.randrange(64, 128)}.{rng.randrange(1, 255)}.{rng.randrange(1, 255)}"  # as in node.py
        self.port = PORT
        self.uri = f"ldap://{self.address}:{PORT}"
        os.makedirs(self.below("etc/dirsrv"), exist_ok=True)
        self.folder = tempfile.mkdtemp(prefix="slapd-", dir=self.below("etc/dirsrv"))
        self.secrets = tempfile.mkdtemp(prefix="posthouse-389-")  # outlives empty(): a sandbox lets its daemon into this folder, not into a later one of its name
        self.name = os.path.basename(self.folder)
        self.folders = {what: f"/{what}/{self.name}" for what in ("etc/dirsrv", "run/lock/dirsrv", "var/lib/dirsrv", "var/log/dirsrv")}

    def below(self, path):
        return os.path.join(self.root, path.lstrip("/"))

    # --- making ---

    def make_root(self):
        for folder in ("dev/shm", "tmp", "run/dirsrv", "proc/self"):
            os.makedirs(self.below(folder), exist_ok=True)
        for folder in ("tmp", "dev/shm"):
            os.chmod(self.below(folder), 0o1777)
        os.chown(self.below("run/dirsrv"), ID, ID)
        for name, minor in (("null", 3), ("zero", 5), ("random", 8), ("urandom", 9)):
            if not os.path.exists(self.below("dev/" + name)):
                os.mknod(self.below("dev/" + name), 0o20666, os.makedev(1, minor))
                os.chmod(self.below("dev/" + name), 0o666)
        for name, text in (("passwd", f"root:x:0:0::/:/bin/sh\n{USER}:x:{ID}:{ID}::/:/bin/sh\n"), ("group", f"root:x:0:\n{USER}:x:{ID}:\n"),
                           ("hosts", "127.0.0.1 localhost\n"), ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")):
            self.write("etc/" + name, text)

    def write(self, path, text):
        with open(self.below(path), "w", encoding="utf-8") as stream:
            stream.write(text)

    def make_instance(self):
        etc, lock, lib, log = (self.folders[what] for what in ("etc/dirsrv", "run/lock/dirsrv", "var/lib/dirsrv", "var/log/dirsrv"))
        for folder in (etc + "/schema", lock, *(f"{lib}/{name}" for name in ("db", "ldif", "bak", "changelog")), log):
            os.makedirs(self.below(folder), exist_ok=True)
        for name in ("slapd-collations.conf", "certmap.conf"):
            shutil.copy(self.below("etc/dirsrv/config/" + name), self.folder)
        shutil.copy(self.below("etc/dirsrv/schema/99user.ldif"), self.folder + "/schema")
        shutil.copy(os.path.join(ROOT, "deploy", "ldap", "98posthouse.ldif"), self.folder + "/schema")
        values = {
            "schema_dir": etc + "/schema", "lock_dir": lock, "tmp_dir": "/tmp", "cert_dir": etc, "config_dir": etc, "ldif_dir": lib + "/ldif",
            "bak_dir": lib + "/bak", "run_dir": "/run/dirsrv", "inst_dir": lib, "log_dir": log, "db_dir": lib + "/db", "db_home_dir": lib + "/db",
            "db_lib": "bdb", "fqdn": "localhost", "ds_port": str(PORT), "ds_user": USER, "rootdn": ADMIN, "ds_passwd": node.ssha(ADMIN_PASSWORD),
            "ds_suffix": self.base, "ldapi_enabled": "off", "ldapi": f"/run/dirsrv/{self.name}.socket", "ldapi_autobind": "off",
        }
        with open(self.below("usr/share/dirsrv/data/template-dse.ldif"), encoding="utf-8") as stream:
            text = stream.read()
        for name, value in values.items():
            text = text.replace(f"%{name}%", value)
        entries = text.split("\n\n")
        for number, entry in enumerate(entries):
            if entry.lstrip().startswith("dn: cn=config\n"):
                entry += f"\nnsslapd-listenhost: {self.address}"
            entries[number] = entry
        self.write(etc + "/dse.ldif", "\n\n".join(entries))
        for top in self.folders.values():
            for here, folders, files in os.walk(self.below(top)):
                for name in (".", *folders, *files):
                    os.chown(os.path.join(here, name), ID, ID)

    def fill(self):
        """The database for the base; the base, the units, the sync identity and what it may do; and the content."""
        self.add(f"dn: cn=userRoot,cn=ldbm database,cn=plugins,cn=config\nobjectClass: extensibleObject\nobjectClass: nsBackendInstance\n"
                 f"cn: userRoot\nnsslapd-suffix: {self.base}\n\n"
                 f'dn: cn="{self.base}",cn=mapping tree,cn=config\nobjectClass: extensibleObject\nobjectClass: nsMappingTree\n'
                 f'cn: {self.base}\nnsslapd-state: backend\nnsslapd-backend: userRoot\n')
        self.load("".join(deployed.parents(self.base)) + f"dn: {self.sync_dn}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
                  f"cn: ldapsync\nuserPassword: {self.sync_password}\n\n" + self.ldif)
        self.follow("389-ds-plugins.ldif")
        self.restart()
        self.follow("389-ds.ldif")

    def follow(self, name):
        """A file of deploy/ldap, as its administrator would."""
        with open(os.path.join(ROOT, "deploy", "ldap", name), encoding="utf-8") as stream:
            self.modify(stream.read().replace("dc=uni,dc=example", self.base))

    # --- the process ---

    def below_root(self):
        """In a new process: its root is that of the package."""
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        mine = self.below(f"proc/{os.getpid()}")  # it dies without these, and /proc may be mounted only where mounting is allowed
        os.makedirs(mine, exist_ok=True)
        for source, target in (("/proc/self/status", mine + "/status"), ("/proc/meminfo", self.below("proc/meminfo"))):
            with open(source, encoding="ascii", errors="replace") as stream:
                text = stream.read()
            with open(target, "w", encoding="ascii") as stream:
                stream.write(text)
        os.chroot(self.root)
        os.chdir("/")

    def program(self, *arguments):
        with open(os.path.join(self.folder, "output"), "ab") as output:
            return subprocess.Popen(["/usr/sbin/ns-slapd", *arguments, "-D", self.folders["etc/dirsrv"], "-d", "0"], preexec_fn=self.below_root,
                                    stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def launch(self):
        self.process = self.program("-i", f"/run/dirsrv/{self.name}.pid")
        end = time.monotonic() + 2 * DEADLINE_S
        while not deployed.listens_on(self.address, PORT):
            if self.process.poll() is not None or time.monotonic() > end:
                raise deployed.Failed(f"389-ds did not start ({self.process.poll()}): {self.said()}")
            time.sleep(0.05)

    def said(self):
        """The end of its log of errors."""
        lines = []
        for path in (os.path.join(self.folder, "output"), self.below(self.folders["var/log/dirsrv"] + "/errors")):
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as stream:
                    lines += stream.read().splitlines()[-15:]
        return "\n".join(lines)

    def start(self):
        """New with its content, or as it was stopped."""
        try:
            if os.path.exists(self.below(self.folders["var/lib/dirsrv"])):
                self.launch()
            else:
                self.make_root()
                self.make_instance()
                self.launch()
                self.fill()
        except BaseException:
            self.remove()
            raise
        return self

    def end(self, sign):
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(sign)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(2 * DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(self.below(f"proc/{process.pid}"), ignore_errors=True)

    def stop(self):
        self.end(signal.SIGTERM)

    def kill(self):
        self.end(signal.SIGKILL)

    def restart(self):
        self.stop()
        self.launch()

    def empty(self, ldif=""):
        """Another of this name and address: content, unique ids and change numbers are new."""
        self.clear()
        self.ldif = ldif
        os.makedirs(self.folder)
        self.start()

    # --- its content as a file, and as another server's ---

    def export(self):
        """Writes its content, with the ids that it has, to a file; for load_from."""
        name = f"saved{time.monotonic_ns()}"
        path = self.folders["var/lib/dirsrv"] + f"/ldif/{name}.ldif"
        task = f"cn={name},cn=export,cn=tasks,cn=config"
        self.add(f"dn: {task}\nobjectClass: extensibleObject\ncn: {name}\nnsInstance: userRoot\nnsFilename: {path}\nttl: 600\n")
        self.wait(lambda: b"0" in self.search("(objectClass=*)", "nsTaskExitCode", base=task, scope="base")[0][1].get("nsTaskExitCode", []), task)
        return path

    def load_running(self, path):
        """The file in the place of its content, while it runs: nobody is served meanwhile."""
        task = f"cn=load{time.monotonic_ns()},cn=import,cn=tasks,cn=config"
        self.add(f"dn: {task}\nobjectClass: extensibleObject\ncn: {task[3:].split(',')[0]}\nnsInstance: userRoot\nnsFilename: {path}\nttl: 600\n")
        self.wait(lambda: b"0" in self.search("(objectClass=*)", "nsTaskExitCode", base=task, scope="base")[0][1].get("nsTaskExitCode", []), task)

    def load_from(self, path):
        """The file in the place of its content, while it is stopped; then it starts."""
        self.stop()
        done = self.program("ldif2db", "-n", "userRoot", "-i", path)
        if done.wait(2 * DEADLINE_S) != 0:
            raise deployed.Failed(f"the import ended with {done.returncode}: {self.said()}")
        shutil.rmtree(self.below(f"proc/{done.pid}"), ignore_errors=True)
        self.start()

    def replicate_to(self, other):
        """other becomes a replica of this one, which has all of its content when this returns."""
        replica = f'cn=replica,cn="{self.base}",cn=mapping tree,cn=config'
        for server, kind in ((self, "nsDS5ReplicaType: 3\nnsDS5Flags: 1\nnsDS5ReplicaId: 1"), (other, "nsDS5ReplicaType: 2\nnsDS5Flags: 0\nnsDS5ReplicaId: 65535")):
            server.add(f"dn: {REPLICATOR}\nobjectClass: inetOrgPerson\ncn: replicator\nsn: replicator\nuserPassword: {ADMIN_PASSWORD}\n")
            server.add(f"dn: {replica}\nobjectClass: nsds5replica\nobjectClass: extensibleObject\ncn: replica\nnsDS5ReplicaRoot: {self.base}\n{kind}\n"
                       f"nsDS5ReplicaBindDN: {REPLICATOR}\n")
        self.agreement = f"cn=other,{replica}"
        self.add(f"dn: {self.agreement}\nobjectClass: nsds5replicationagreement\ncn: other\nnsDS5ReplicaHost: {other.address}\n"
                 f"nsDS5ReplicaPort: {other.port}\nnsDS5ReplicaBindDN: {REPLICATOR}\nnsDS5ReplicaBindMethod: SIMPLE\nnsDS5ReplicaTransportInfo: LDAP\n"
                 f"nsDS5ReplicaCredentials: {ADMIN_PASSWORD}\nnsDS5ReplicaRoot: {self.base}\nnsds5BeginReplicaRefresh: start\n")
        self.wait(lambda: b"Total update succeeded" in self.search("(objectClass=*)", "nsds5replicaLastInitStatus", base=self.agreement,
                                                                    scope="base")[0][1].get("nsds5replicaLastInitStatus", [b""])[0], "the replica")

    def replicates(self, on):
        """Do changes go to the other one?"""
        self.modify(f"dn: {self.agreement}\nchangetype: modify\nreplace: nsds5ReplicaEnabled\nnsds5ReplicaEnabled: {'on' if on else 'off'}\n")

    def vector(self):
        """How far it is: {replica id: last change}."""
        found = self.search("(&(nsUniqueId=ffffffff-ffffffff-ffffffff-ffffffff)(objectClass=nsTombstone))", "nsds50ruv")
        return {one[1]: one[2] for _, values in found for value in values["nsds50ruv"]
                if (one := re.match(r"\{replica (\d+).*\} \S+ (\S+)", value.decode()))}

    def wait_caught_up(self, other):
        """The other one has all of this one's changes."""
        self.wait(lambda: other.vector() == self.vector(), "the replica has all changes")

    def wait(self, condition, what):
        end = time.monotonic() + 2 * DEADLINE_S
        while not condition():
            if time.monotonic() > end:
                raise deployed.Failed(f"389-ds: never: {what}: {self.said()}")
            time.sleep(0.05)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def clear(self):
        self.end(signal.SIGKILL)
        for top in self.folders.values():
            shutil.rmtree(self.below(top), ignore_errors=True)

    def remove(self):
        self.clear()
        shutil.rmtree(self.secrets, ignore_errors=True)

    # --- for Content, and for a node ---

    def ask(self, program, *arguments, input=None, deadline_s=deployed.ASK_S):
        return self.clients.run(program, "-H", self.uri, *arguments, input=input, deadline_s=deadline_s)

    def as_admin(self):
        return "-x", "-D", ADMIN, "-w", ADMIN_PASSWORD

    def settings(self):
        password = os.path.join(self.secrets, "ldap.password")
        with open(password, "w", encoding="utf-8") as stream:
            stream.write(self.sync_password + "\n")
        os.chmod(password, 0o600)
        return {"shadow_ldif": "", "ldap_uri": [self.uri], "ldap_base": self.base, "ldap_bind": "simple", "ldap_bind_dn": self.sync_dn,
                "ldap_password_file": password}
