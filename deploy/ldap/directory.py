# SPDX-License-Identifier: Apache-2.0
"""deploy/ldap/directory.py: a slapd master and shadows on loopback, filled with the example directory. Called by deploy/ldap/up.

Typed again while it runs, it says what runs, and that is all. A node that somebody started on its configuration is left alone, and followed
again: what would need another one is refused, with its process.

The folder is that of a node (deploy/node.py), whose directory is these servers instead of a file: its posthouse.conf is what endpoints.json
names. A second run on it keeps the directory, with what was changed in it, as long as the first run's arguments are the same.
"""
import fcntl
import json
import os
import secrets
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import example  # noqa: E402
import node  # noqa: E402
import server  # noqa: E402

LDAP = 389      # the master's offset from the port base; shadow n is n above it
FOLLOW_S = 120  # until a change is on all shadows
node.START_S = 300  # until a node has hundreds of thousands of people
UP = "deploy/ldap/up"


class RunsAlready(Exception):
    """Another process of ours has the folder; same: with the same arguments."""
    def __init__(self, pid, same):
        super().__init__(pid)
        self.pid, self.same = pid, same


class Rig(node.Node):
    made_by = UP

    def __init__(self, options):
        super().__init__(options)
        self.servers = []
        self.lock = None             # held
        self.arguments_before = None # of the run before
        self.node_pid = None         # of a node that somebody started

    # --- installing ---

    def password(self, name):
        """Made at the first run, kept after it."""
        path = self.path("etc", name)
        if not os.path.exists(path):
            node.replace_file(path, secrets.token_urlsafe(15) + "\n", 0o600)
        with open(path, encoding="ascii") as stream:
            return stream.read().strip()

    def arguments(self):
        """What servers and configuration follow from."""
        return [self.options.address, self.options.port_base, self.options.users, self.options.shadows]

    def claim(self):
        """One run for a folder at a time: two slapd on one database would end it. The file says who holds it, or did last, and with what."""
        lock = open(self.path("lock"), "a+", encoding="ascii")
        lock.seek(0)
        try:
            pid, self.arguments_before = json.loads(lock.read() or "[0, null]")
        except ValueError:
            pid, self.arguments_before = 0, None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunsAlready(pid, self.arguments_before == self.arguments()) from None
        self.lock = lock

    def note_arguments(self):
        self.lock.truncate(0)
        self.lock.write(json.dumps([os.getpid(), self.arguments()]))
        self.lock.flush()

    def meet(self, pid):
        """Its configuration and its shadow must stay what they are."""
        if self.arguments_before != self.arguments():
            raise node.Failed(f"a node runs in {self.dir}, as process {pid}, on the directory of another --users, --shadows, --address or --port-base; "
                              f"end it first (kill {pid}), or give the same ones")
        self.node_pid = pid

    def make_folders(self):
        super().make_folders()
        self.claim()
        self.make_servers()

    def install(self):
        super().install()
        self.note_arguments()

    def make_servers(self):
        programs = server.Programs()
        certificates = server.Certificates(self.path("slapd-tls", self.options.address), self.options.address)
        common = {"admin_password": self.password("ldap-admin.password"), "sync_password": self.password("ldap.password")}
        shutil.chown(self.path("etc", "ldap.password"), "root", "posthouse-ldapsync")
        os.chmod(self.path("etc", "ldap.password"), 0o640)
        port = self.options.port_base + LDAP

        def one(name, n, provider):
            return server.Server(programs, self.path("slapd", name), self.options.address, port + n, example.BASE, certificates, provider=provider,
                                 server_id=n + 1, **common)
        master = one("master", 0, None)
        self.servers = [master, *(one(f"shadow{n}", n, master) for n in range(1, self.options.shadows + 1))]
        self.certificates = certificates

    @property
    def master(self):
        return self.servers[0]

    @property
    def shadows(self):
        return self.servers[1:]

    def directory_settings(self):
        uris = ", ".join(f'"{one.uri}"' for one in (*self.shadows, self.master))
        return [f"ldap_uri = {{{uris}}}", f'ldap_base = "{example.BASE}"', "ldap_bind = simple", f'ldap_bind_dn = "{self.master.sync_dn}"',
                f'ldap_password_file = "{self.path("etc", "ldap.password")}"', f'ldap_ca_file = "{self.certificates.ca}"']

    def write_directory(self):
        """Into the master by slapadd; the shadows get its database, as if all had been replicated."""
        pins = self.pins()
        recipe, note = self.recipe(pins) + json.dumps([self.options.shadows, self.master.admin_password]), self.path("directory", "recipe")
        for one in self.servers:
            one.make()
        if os.path.exists(note) and open(note, encoding="utf-8").read() == recipe:
            return
        if self.node_pid:
            raise node.Failed(f"the directory has to be made anew, for the example changed, and a node runs on it, as process {self.node_pid}; "
                              f"end it first (kill {self.node_pid})")
        if os.path.exists(note):
            os.unlink(note)
        self.forget_shadow()
        for one in self.servers:
            one.clear()
        content = (piece for piece in self.pieces(pins) if not piece.startswith("version:"))  # which slapadd does not know
        services = f"dn: ou=services,{example.BASE}\nobjectClass: organizationalUnit\nou: services\n\n"
        self.master.fill([*content, services, self.master.sync_identity()], quick=True)
        for one in self.shadows:
            one.copy_of(self.master)
        node.replace_file(note, recipe, 0o644)

    def forget_shadow(self):
        """The next directory has new entryUUIDs: the brake of a node with a shadow of the one before would hold it, as if everybody went."""
        for kind in ("shadow", "credentials"):
            for suffix in ("", "-wal", "-shm"):
                file = self.path("data", kind, kind + ".db" + suffix)
                if os.path.exists(file):
                    os.unlink(file)

    # --- running ---

    def start_servers(self):
        for one in self.servers:
            one.start()
        self.wait_until_equal()

    def wait_until_equal(self):
        """The shadows have what the master has: by their contextCSN."""
        end = time.monotonic() + FOLLOW_S
        wanted = self.master.context_csn()
        for one in self.shadows:
            while not all(csn <= one.context_csn().get(sid, "") for sid, csn in wanted.items()):
                if time.monotonic() > end:
                    raise node.Failed(f"{one.uri} did not follow the master within {FOLLOW_S} s; its log is {one.path('log')}")
                time.sleep(0.05)

    def write_endpoints(self):
        node.replace_file(self.endpoints, json.dumps({
            "ldap_master": self.master.uri, "ldap_shadows": [one.uri for one in self.shadows], "base_dn": example.BASE,
            "admin_dn": self.master.admin_dn, "admin_password": self.master.admin_password, "config": self.config,
        }, indent=2) + "\n", 0o600)

    def watch(self):
        """Until one of the servers ends, which it should not."""
        while True:
            for one in self.servers:
                if one.process.poll() is not None:
                    raise node.Failed(f"slapd on {one.uri} ended with {one.process.returncode}; its log is {one.path('log')}")
            time.sleep(0.2)

    def stop(self):
        """A clean end, the shadows first; true when it was one."""
        if self.lock is None:  # another run's folder
            return True
        node_ended = super().stop()
        return all([one.end() == 0 for one in reversed(self.servers)]) and node_ended

    def unclean(self):
        return "a server did not end cleanly"

    # --- proving ---

    def prove_shadows_and_node(self, result):
        """Somebody who is added on the master is on all shadows and known to a node that follows them, and is gone again from all; and a message
        goes from one person of the directory to another."""
        uid = f"proof{os.getpid()}"
        dn = f"uid={uid},ou=people,{example.BASE}"
        change = example.entry(dn, ("inetOrgPerson", "phMailUser"), f"uid: {uid}", f"cn: {uid}", f"sn: {uid}", f"mail: {uid}@{example.DOMAIN}",
                               f"mailHost: {example.HOSTS[0]}", f"phMailboxId: {example.mailbox_id(uid)}")

        def node_says(code):
            return self.posthouse("why", f"{uid}@{example.DOMAIN}").returncode == code
        if self.node_pid is None:
            self.start()
        self.wait_until_up()
        self.master.ask("ldapadd", *self.master.as_admin(), input=change)
        try:
            self.wait_until_equal()
            for one in self.shadows:
                if dn not in one.ask("ldapsearch", *one.as_admin(), "-LLL", "-b", example.BASE, f"(uid={uid})", "1.1"):
                    raise node.Failed(f"{one.uri} has the contextCSN of the master and not its newest entry")
            result["shadows_equal"] = True
            self.wait("the node to know who was just added", FOLLOW_S, lambda: node_says(0))
        finally:
            self.master.ask("ldapdelete", *self.master.as_admin(), dn)
        self.wait_until_equal()
        self.wait("the node to know who was just deleted", FOLLOW_S, lambda: node_says(1))
        sent = self.prove()
        result["node_synced"] = sent["imap_equal"] and sent["pop3_equal"]


def explain(rig):
    print(f"{rig.options.users + len(example.GIVEN)} people below {example.BASE} on {rig.master.uri}"
          + (f", followed by {', '.join(one.uri for one in rig.shadows)}" if rig.shadows else "") + ".\n"
          f"Administrator: {rig.master.admin_dn}, password in {rig.path('etc', 'ldap-admin.password')}. CA of ldaps and StartTLS: "
          f"{rig.certificates.ca}.\n"
          + (f"A node follows them, as process {rig.node_pid}.\n" if rig.node_pid else
             f"A node that follows them:\n  {rig.path('bin', 'posthouse')} -c {rig.config} run\n")
          + f"Endpoints: {rig.endpoints}. SIGTERM or Ctrl-C ends it.", flush=True)


def tell_what_runs(rig, running):
    """None; or the error, when that is not what was asked for."""
    said = f"{UP} runs already in {rig.dir}, as process {running.pid}"
    try:
        with open(rig.endpoints, encoding="utf-8") as stream:
            told = json.load(stream)
        said += f", with {told['ldap_master']}" + "".join(f" and {uri}" for uri in told["ldap_shadows"])
    except (OSError, ValueError):
        said += ", and is still starting"
    if running.same and not rig.options.once:
        print(f"{said}. Endpoints: {rig.endpoints}. kill {running.pid} ends it.", flush=True)
        return None
    return f"{said}; end it (kill {running.pid}), or choose another --dir and --port-base"


def main():
    options = node.read_options(lambda parser: parser.add_argument("--shadows", type=int, required=True))
    options.password_scheme = None
    rig = Rig(options)
    result = {"users": options.users, "shadows": options.shadows, "shadows_equal": False, "node_synced": False}

    def work():
        try:
            rig.install()
        except RunsAlready as running:
            return tell_what_runs(rig, running)
        rig.start_servers()
        rig.write_endpoints()
        if options.once:
            rig.prove_shadows_and_node(result)
            return None if result["node_synced"] else node.UNEQUAL
        explain(rig)
        rig.watch()
        return None

    return node.see_through(rig, result, work, (server.Failed,))


if __name__ == "__main__":
    sys.exit(main())
