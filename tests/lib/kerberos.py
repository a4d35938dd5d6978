# SPDX-License-Identifier: Apache-2.0
"""A Kerberos realm for a test: a KDC on an address of its own, keytabs, and the krb5.conf that leads there.

    realm = Realm(folder, programs, "127.70.1.2")                     # programs: deploy/ldap/server.py; they hold Debian's KDC, unpacked
    realm.add("ldap/127.70.1.2", "slapd.keytab"); realm.add("ldapsync", "ldapsync.keytab")
    realm.start()
    ...
    realm.stop()

realm.name, realm.config (krb5.conf), realm.path(file). A server gets its keytab by {"KRB5_CONFIG": realm.config, "KRB5_KTNAME": realm.path(…)}. A
daemon of ours reads /etc/krb5.conf alone: wrapper() is a command in front of it that shows it ours there, where mounting is allowed.
"""
import ctypes
import os
import shutil
import signal
import subprocess
import time

from slapd import DEADLINE_S, deployed

PORT = 2088


class Realm:
    name = "UNI.EXAMPLE"

    def __init__(self, folder, programs, address):
        self.folder, self.programs, self.address, self.process = folder, programs, address, None
        os.makedirs(folder, exist_ok=True)
        self.config = self.path("krb5.conf")
        plugins = os.path.join(programs.libraries, "krb5", "plugins", "kdb")
        with open(self.config, "w", encoding="ascii") as stream:
            stream.write(f"[libdefaults]\ndefault_realm = {self.name}\ndns_lookup_kdc = false\ndns_lookup_realm = false\nrdns = false\n"
                         f"dns_canonicalize_hostname = false\nudp_preference_limit = 1\n"
                         f"[realms]\n{self.name} = {{\n kdc = {address}:{PORT}\n}}\n[dbmodules]\ndb_module_dir = {plugins}\n")
        with open(self.path("kdc.conf"), "w", encoding="ascii") as stream:
            stream.write(f"[kdcdefaults]\nkdc_listen = \"\"\nkdc_tcp_listen = {address}:{PORT}\n[realms]\n{self.name} = {{\n"
                         f" database_name = {self.path('principal')}\n key_stash_file = {self.path('stash')}\n acl_file = {self.path('acl')}\n}}\n")
        self.environment = {"KRB5_CONFIG": self.config, "KRB5_KDC_PROFILE": self.path("kdc.conf")}
        self.run("kdb5_util", "create", "-s", "-W", "-r", self.name, "-P", "of the realm")

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self, name, *arguments):
        self.programs.run(name, *arguments, more=self.environment, deadline_s=DEADLINE_S)

    def add(self, principal, keytab):
        """A principal with a random key, which goes into the keytab."""
        self.run("kadmin.local", "-r", self.name, "-q", f"addprinc -randkey {principal}")
        self.run("kadmin.local", "-r", self.name, "-q", f"ktadd -k {self.path(keytab)} {principal}")

    def start(self):
        def end_with_us():
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        with open(self.path("kdc.log"), "ab") as log:
            self.process = subprocess.Popen(self.programs.command("krb5kdc", "-n", "-r", self.name), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=end_with_us, env={**self.programs.environment(), **self.environment})
        end = time.monotonic() + DEADLINE_S
        while not deployed.listens_on(self.address, PORT):
            if self.process.poll() is not None or time.monotonic() > end:
                with open(self.path("kdc.log"), encoding="utf-8", errors="replace") as log:
                    raise deployed.Failed(f"the KDC did not start: {log.read()[-1000:]}")
            time.sleep(0.02)

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def wrapper(self):
        """For node.Node: /etc as it is, with our krb5.conf in it, for that process and its children alone."""
        etc = self.path("etc")
        shutil.rmtree(etc, ignore_errors=True)
        subprocess.run(["cp", "-a", "/etc/.", etc], check=True)
        shutil.copy(self.config, os.path.join(etc, "krb5.conf"))
        return ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc && exec "$@"', etc)
