# SPDX-License-Identifier: Apache-2.0
"""deploy/ldap/server.py: slapd servers of our own: a master with syncprov and accesslog, shadows that follow it by syncrepl.

    programs = Programs("/srv/ldap/slapd")                      # unpacked from Debian there at first use, installed nowhere
    certificates = Certificates("/srv/ldap/tls", "127.0.0.1")
    master = Server(programs, "/srv/ldap/master", "127.0.0.1", 2389, "dc=uni,dc=example", certificates)
    shadow = Server(programs, "/srv/ldap/shadow1", "127.0.0.1", 2390, "dc=uni,dc=example", certificates, provider=master)
    master.make(); master.fill(pieces_of_ldif); master.start()
    shadow.make(); shadow.start()
    ...
    shadow.stop(); master.stop()

A server is a folder (configuration, database, accesslog, log, socket) and one process, our child, in the foreground; it ends when we end,
however we end. It runs as whoever starts it and listens on ldap, ldaps and ldapi. Nothing of a slapd that the machine has is read or
written. The same configuration as cn=config, for a slapd that is there already, is what README.md says step by step.

Programs run by the loader and the libraries of the root they were unpacked into, without chroot, so a plain chroot and a user who is not
root will do, and paths are the same for all.
"""
import ctypes
import glob
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = os.path.join(os.path.dirname(HERE), "packages")
DEFAULT_ROOT = os.path.join(os.path.dirname(os.path.dirname(HERE)), "build", "slapd")
SCHEMAS = ("core", "cosine", "nis", "inetorgperson", "misc", "dyngroup")
SECRETS = "userPassword,phScram,phAppPassword"
ADDRESSES = ("mail", "mailLocalAddress", "phIntlAddress")
START_S, STOP_S, ASK_S = 60, 30, 20
DATABASE_BYTES_MAX = 8 << 30  # of address space; the file grows as it is needed
SOCKET_PATH_BYTES = 100


class Failed(Exception):
    """With what the program said."""


class Programs:
    """Debian's slapd, its clients and what they need, unpacked below a folder."""

    def __init__(self, root=DEFAULT_ROOT):
        self.root = os.path.abspath(root)
        done = subprocess.run([PACKAGES, "slapd", self.root], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"slapd could not be unpacked: {done.stderr.strip()[-500:]}")
        self.loader = glob.glob(self.path("lib64", "ld-linux*.so.*")) + glob.glob(self.path("lib", "ld-linux*.so.*"))
        self.libraries = os.path.dirname(glob.glob(self.path("usr", "lib", "*", "libc.so.6"))[0])

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def command(self, name, *arguments):
        """argv for a program by its name."""
        for folder in ("usr/bin", "usr/sbin"):
            program = self.path(folder, name)
            if os.path.exists(program):
                return [self.loader[0], "--library-path", self.libraries, program, *arguments]
        raise Failed(f"{name} is not in {self.root}")

    def environment(self):
        """Nothing of the machine's own configuration of LDAP clients and of SASL."""
        return {**os.environ, "LDAPCONF": "/dev/null", "SASL_PATH": os.path.join(self.libraries, "sasl2"), "LC_ALL": "C"}

    def run(self, name, *arguments, input=None, more=None, deadline_s=None):
        """Runs to its end: what it printed. Failed with what it said, when it failed; subprocess.TimeoutExpired."""
        done = subprocess.run(self.command(name, *arguments), input=input, capture_output=True, text=True, check=False, timeout=deadline_s,
                              env={**self.environment(), **(more or {})})
        if done.returncode != 0:
            raise Failed(f"{name} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-1000:]}")
        return done.stdout


class Certificates:
    """A CA, a certificate for servers at an address, and one of a client: cn=ldapsync,o=posthouse. All in one folder."""

    def __init__(self, folder, address, names=("localhost",)):
        self.folder = folder
        self.ca, self.pem, self.key = self.path("ca.pem"), self.path("server.pem"), self.path("server.key")
        self.client_pem, self.client_key = self.path("ldapsync.pem"), self.path("ldapsync.key")
        if not os.path.exists(self.client_pem):
            os.makedirs(folder, exist_ok=True)
            self.openssl("req", "-x509", *self.new_key("ca.key"), "-subj", "/O=posthouse/CN=example CA", "-days", "825", "-out", self.ca)
            kind = "IP:" if address.replace(".", "").isdigit() or ":" in address else "DNS:"
            self.sign("server", f"/CN={address}", f"{kind}{address}" + "".join(f",DNS:{name}" for name in names))
            self.sign("ldapsync", "/O=posthouse/CN=ldapsync", "DNS:ldapsync")

    def path(self, name):
        return os.path.join(self.folder, name)

    def new_key(self, name):
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", self.path(name)

    def openssl(self, *arguments):
        umask = os.umask(0o077)
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
        os.umask(umask)
        if done.returncode != 0:
            raise Failed(f"openssl {arguments[0]}: {done.stderr.strip()[-500:]}")

    def sign(self, name, subject, names):
        extensions, request, new = self.path(name + ".ext"), self.path(name + ".csr"), self.path(name + ".new")
        with open(extensions, "w", encoding="utf-8") as stream:
            stream.write(f"subjectAltName={names}\n")
        self.openssl("req", *self.new_key(name + ".key"), "-subj", subject, "-out", request)
        self.openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.path("ca.key"), "-CAcreateserial", "-days", "824",
                     "-extfile", extensions, "-out", new)
        os.chmod(self.ca, 0o644)
        os.chmod(new, 0o644)
        os.rename(new, self.path(name + ".pem"))


def parents(base, units=("people", "aliases", "groups", "lists", "domains", "hosts", "routes", "access", "services")):
    """LDIF of the base and of the units below it."""
    name = base.split(",")[0].split("=")[1]
    yield f"dn: {base}\nobjectClass: dcObject\nobjectClass: organization\ndc: {name}\no: {name}\n\n"
    for unit in units:
        yield f"dn: ou={unit},{base}\nobjectClass: organizationalUnit\nou: {unit}\n\n"


def listens_on(address, port):
    try:
        socket.create_connection((address, port), timeout=5).close()
        return True
    except OSError:
        return False


class Server:
    """provider: None for a master, else the Server that this one follows, or a list of them.

    session_log: "accesslog" (the default of a master), "memory" (the default of a shadow) or None.
    provides: False for one without syncprov, which has to be polled. limits: of the sync identity, as olcLimits has them.
    durable: each commit is flushed. log_level: of slapd's -d, as in "stats sync". extra: lines for the global part of slapd.conf.
    identities: further authz-regexp patterns that become the sync identity; the client certificate of Certificates and, over ldapi, our own
    uid are always.
    """

    def __init__(self, programs, folder, address, port, base, certificates, provider=None, server_id=1, admin_password="secret",
                 sync_password="secret", session_log="default", durable=True, log_level="none", extra=(), identities=(), environment=None,
                 end_signal=signal.SIGTERM, provides=True, limits="size=unlimited time=unlimited"):
        self.programs, self.folder, self.address, self.port, self.base = programs, folder, address, port, base
        self.certificates, self.server_id, self.durable, self.log_level = certificates, server_id, durable, log_level
        self.providers = [] if provider is None else list(provider) if isinstance(provider, (list, tuple)) else [provider]
        self.session_log = ("memory" if self.providers else "accesslog") if session_log == "default" else session_log
        self.extra, self.identities, self.more_environment = tuple(extra), tuple(identities), environment or {}
        self.tls_port = port + 1000
        self.uri, self.tls_uri = f"ldap://{address}:{port}", f"ldaps://{address}:{self.tls_port}"
        self.local_uri = None  # in a folder whose path is too long for a socket
        if len(self.path("ldapi")) <= SOCKET_PATH_BYTES:
            self.local_uri = "ldapi://" + urllib.parse.quote(self.path("ldapi"), safe="")
        self.admin_dn, self.admin_password = f"cn=admin,{base}", admin_password
        self.sync_dn, self.sync_password = f"cn=ldapsync,ou=services,{base}", sync_password
        self.end_signal, self.provides, self.limits = end_signal, provides, limits
        if not provides:
            self.session_log = None
        self.process = None

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    # --- files ---

    def make(self):
        """Folders and configuration; what is in the database stays."""
        for name in ("db", "accesslog"):
            os.makedirs(self.path(name), exist_ok=True)
        self.write_config()

    def write_config(self):
        text = "\n".join((*self.global_lines(), *self.accesslog_lines(), *self.database_lines())) + "\n"
        with open(self.path("slapd.conf.new"), "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), 0o600)  # it has passwords
            stream.write(text)
        os.rename(self.path("slapd.conf.new"), self.path("slapd.conf"))

    def global_lines(self):
        modules = ["back_mdb"] + (["syncprov"] if self.provides else []) + ([] if self.providers else ["accesslog", "unique"]) + ["pw-sha2", "argon2"]
        patterns = ["^cn=ldapsync,o=posthouse$", f"^gidNumber=[0-9]+[+]uidNumber={os.getuid()},cn=peercred,cn=external,cn=auth$", *self.identities]
        return (
            *(f'include "{self.programs.path("etc", "ldap", "schema", name)}.schema"' for name in SCHEMAS),
            f'include "{os.path.join(HERE, "posthouse.schema")}"',
            f'modulepath "{self.programs.path("usr", "lib", "ldap")}"', *(f"moduleload {name}" for name in modules),
            f'pidfile "{self.path("slapd.pid")}"', f'argsfile "{self.path("slapd.args")}"', "loglevel none", f"serverID {self.server_id}",
            "threads 4", "tool-threads 2",
            f'TLSCACertificateFile "{self.certificates.ca}"', f'TLSCertificateFile "{self.certificates.pem}"',
            f'TLSCertificateKeyFile "{self.certificates.key}"', "TLSVerifyClient allow",
            *(f'authz-regexp "{pattern}" "{self.sync_dn}"' for pattern in patterns), *self.extra)

    def accesslog_lines(self):
        if self.session_log != "accesslog":
            return ()
        return ("database mdb", "suffix cn=accesslog", f'directory "{self.path("accesslog")}"', f"maxsize {DATABASE_BYTES_MAX}",
                f'rootdn "{self.admin_dn}"', *self.durability(), "index reqStart,reqEnd,reqResult,reqDN,objectClass,entryCSN eq",
                # Played back with the rights of the consumer: without them the whole present phase takes its place.
                f'limits dn.exact="{self.sync_dn}" size=unlimited time=unlimited', f'access to * by dn.exact="{self.sync_dn}" read by * none',
                "overlay syncprov", "syncprov-nopresent TRUE", "syncprov-reloadhint TRUE")

    def durability(self):
        return () if self.durable else ("dbnosync",)

    def database_lines(self):
        lines = ["database mdb", f'suffix "{self.base}"', f'rootdn "{self.admin_dn}"', f"rootpw {self.admin_password}",
                 f'directory "{self.path("db")}"', f"maxsize {DATABASE_BYTES_MAX}", *self.durability(),
                 "index objectClass,uid,mail,mailLocalAddress,phIntlAddress,phMailboxId,phLoginAlias eq", "index entryUUID,entryCSN eq",
                 f'limits dn.exact="{self.sync_dn}" {self.limits}',
                 f'access to attrs={SECRETS} by dn.exact="{self.sync_dn}" read by self =xw by anonymous auth by * none',
                 f'access to * by dn.exact="{self.sync_dn}" read by users read by * none']
        for number, provider in enumerate(self.providers, 1):
            lines.append(f'syncrepl rid={number:03d} provider={provider.uri} type=refreshAndPersist retry="1 +" searchbase="{self.base}" '
                         f'bindmethod=simple binddn="{self.sync_dn}" credentials={self.sync_password}')
        if self.providers:
            lines.append(f"updateref {self.providers[0].uri}")
        if self.provides:
            lines += ["overlay syncprov", "syncprov-checkpoint 1 1"]
        if self.session_log == "memory":
            lines.append("syncprov-sessionlog 10000")
        elif self.session_log == "accesslog":
            lines += ["syncprov-sessionlog-source cn=accesslog", "overlay accesslog", "logdb cn=accesslog", "logops writes", "logsuccess TRUE",
                      "logpurge 07+00:00 01+00:00"]
        if not self.providers:
            lines.append("overlay unique")
            lines += [f"unique_uri ldap:///?{name}?sub" for name in (*ADDRESSES, "uid", "phLoginAlias", "phMailboxId")]
        return lines

    # --- content, while it does not run ---

    def sync_identity(self):
        """LDIF of the entry that a consumer binds as; ou=services is its parent."""
        return (f"dn: {self.sync_dn}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: ldapsync\n"
                f"userPassword: {self.sync_password}\n\n")

    def fill(self, pieces, quick=False):
        """LDIF into the database, which may have content already; quick: without a check against the schema, for what we generated."""
        feed = subprocess.Popen(self.programs.command("slapadd", "-w", *(("-q",) if quick else ()), "-S", str(self.server_id), "-f",
                                                      self.path("slapd.conf"), "-b", self.base),
                                stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.programs.environment())
        try:
            for piece in pieces:
                feed.stdin.write(piece)
        except BrokenPipeError:
            pass  # it says why
        except BaseException:
            feed.kill()
            feed.communicate()
            raise
        said = feed.communicate()[1]
        if feed.returncode != 0:
            raise Failed(f"slapadd ended with {feed.returncode}: {said.strip()[-1000:]}")

    def copy_of(self, other):
        """The database of another server, which does not run either, as if it had all been replicated."""
        done = subprocess.run(["cp", "--sparse=always", other.path("db", "data.mdb"), self.path("db", "data.mdb")], capture_output=True, text=True,
                              check=False)  # the file is as long as the database may become, most of it a hole
        if done.returncode != 0:
            raise Failed(done.stderr.strip())

    def clear(self):
        """Empties database and accesslog."""
        for name in ("db", "accesslog"):
            shutil.rmtree(self.path(name), ignore_errors=True)
            os.makedirs(self.path(name))

    def dump(self):
        """The whole content as LDIF with operational attributes, also while it runs."""
        return self.programs.run("slapcat", "-o", "ldif-wrap=no", "-f", self.path("slapd.conf"), "-b", self.base)

    # --- the process ---

    def start(self):
        """Returns when it answers."""
        for port in (self.port, self.tls_port):
            if listens_on(self.address, port):
                raise Failed(f"{self.address}:{port} is taken")
        libc = ctypes.CDLL(None)

        def end_with_us():
            libc.prctl(1, self.end_signal)  # PR_SET_PDEATHSIG
        with open(self.path("log"), "ab") as log:
            start = log.tell()
            self.process = subprocess.Popen(
                self.programs.command("slapd", "-f", self.path("slapd.conf"), "-h",
                                      " ".join(f"{uri}/" for uri in (self.uri, self.tls_uri, self.local_uri) if uri), "-d",
                                      ",".join(self.log_level.split())),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=end_with_us,
                env={**self.programs.environment(), **self.more_environment})
        end = time.monotonic() + START_S
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                with open(self.path("log"), encoding="utf-8", errors="replace") as log:
                    log.seek(start)
                    said = log.read()[-1000:]
                code = self.end(signal.SIGKILL)
                raise Failed(f"slapd in {self.folder} did not start ({code}): {said}")
            time.sleep(0.02)
        return self

    def answers(self):
        """It serves: asked what it is."""
        if not listens_on(self.address, self.port):
            return False
        try:
            return "namingContexts" in self.ask("ldapsearch", "-x", "-s", "base", "-b", "", "namingContexts", deadline_s=5)
        except (Failed, subprocess.TimeoutExpired):
            return False

    def ask(self, program, *arguments, input=None, deadline_s=ASK_S):
        """An LDAP client on this server."""
        return self.programs.run(program, "-H", self.uri, *arguments, input=input, deadline_s=deadline_s)

    def as_admin(self):
        return "-x", "-D", self.admin_dn, "-w", self.admin_password

    def end(self, sign=signal.SIGTERM):
        """Ends the process, stopped or not; its exit code."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(sign)
            process.send_signal(signal.SIGCONT)
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def stop(self):
        """A clean end; Failed when it was none."""
        code = self.end()
        if code != 0:
            raise Failed(f"slapd in {self.folder} ended with {code}")

    def context_csn(self):
        """The contextCSN values of the base: {server id in hex: CSN}; {} while it has none."""
        told = self.ask("ldapsearch", *self.as_admin(), "-LLL", "-o", "ldif-wrap=no", "-s", "base", "-b", self.base, "contextCSN")
        csns = (line.split(": ", 1)[1] for line in told.splitlines() if line.startswith("contextCSN: "))
        return {csn.split("#")[2]: csn for csn in csns}
