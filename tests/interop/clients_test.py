# SPDX-License-Identifier: Apache-2.0
"""Real clients from Debian against a running node: swaks, curl, s-nail, mbsync, fetchmail."""
import os
import subprocess
import unittest

from node import DEADLINE_S, NodeTest, PASSWORD, message


class Clients(NodeTest):
    users = ("ann", "bob", "eve", "kim", "lee")

    def call(self, *args, input=None, env=None):
        home = self.node.path("home")
        os.makedirs(home, exist_ok=True)
        done = subprocess.run(args, input=input, capture_output=True, text=True, timeout=DEADLINE_S * 2,
                              env={**os.environ, "HOME": home, "SSL_CERT_FILE": self.node.path("tls.pem"), **(env or {})})
        self.assertEqual(done.returncode, 0, f"{args}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def private(self, name, text):
        path = self.node.write(name, text)
        os.chmod(path, 0o600)
        return path

    def test_swaks_submits_with_every_mechanism(self):
        node = self.node
        for n, (service, tls) in enumerate((("submission", "--tls"), ("submissions", "--tls-on-connect"))):
            for mechanism in ("PLAIN", "LOGIN"):
                out = self.call("swaks", "--server", node.address, "--port", str(node.ports[service]), tls, "--auth", mechanism, "--auth-user", "ann",
                                "--auth-password", PASSWORD, "--from", "ann@uni.example", "--to", "bob@uni.example", "--header",
                                f"Subject: swaks {service} {mechanism}")
                self.assertIn("queued as", out)
        node.wait(lambda: len([m for m in node.messages("bob") if b"Subject: swaks" in m]) == 4, "four messages")

    def test_curl_speaks_all_three(self):
        node = self.node
        mail = node.write("curl.eml", message("curl", to="kim@uni.example"))
        ca = ["--cacert", node.path("tls.pem"), "--ssl-reqd", "-sS"]
        self.call("curl", *ca, f"smtp://{node.address}:{node.ports['submission']}", "--user", f"ann:{PASSWORD}", "--mail-from", "ann@uni.example",
                  "--mail-rcpt", "kim@uni.example", "--upload-file", mail)
        node.wait_messages(1, "kim")
        user = ["--user", f"kim:{PASSWORD}"]
        self.assertIn("INBOX", self.call("curl", *ca, *user, f"imap://{node.address}:{node.ports['imap']}/"))
        over_imap = self.call("curl", *ca, *user, f"imaps://{node.address}:{node.ports['imaps']}/INBOX;MAILINDEX=1")
        over_pop3 = self.call("curl", *ca, *user, f"pop3://{node.address}:{node.ports['pop3']}/1")
        self.assertIn("Subject: curl", over_imap)
        self.assertEqual(over_imap, over_pop3)
        self.call("curl", *ca, *user, f"imaps://{node.address}:{node.ports['imaps']}/Sent", "--upload-file", mail)
        self.assertEqual(len(node.messages("kim", "Sent")), 1)

    def test_s_nail_sends(self):
        node = self.node
        rc = self.private("mailrc", f"set v15-compat=yes smtp-auth=plain tls-ca-file={node.path('tls.pem')} tls-ca-no-defaults "
                          f"mta=smtp://ann:correct%20horse@{node.address}:{node.ports['submission']} smtp-use-starttls from=ann@uni.example\n")
        self.call("s-nail", "-:u", "-s", "nail", "lee@uni.example", input="hello\n", env={"MAILRC": rc})
        node.wait(lambda: [m for m in node.messages("lee") if b"Subject: nail" in m], "the message")

    def test_mbsync_copies_both_ways(self):
        node = self.node
        with node.smtp() as smtp:
            for n in range(3):
                smtp.sendmail("a@out.example", ["eve@uni.example"], message(f"sync {n}", to="eve@uni.example"))
        node.wait_messages(3, "eve")
        os.makedirs(node.path("maildir"))
        rc = self.private("mbsyncrc", f"""
IMAPAccount eve
Host {node.address}
Port {node.ports['imaps']}
User eve
Pass "{PASSWORD}"
SSLType IMAPS
CertificateFile {node.path('tls.pem')}

IMAPStore far
Account eve

MaildirStore near
Path {node.path('maildir')}/
Inbox {node.path('maildir')}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
""")
        self.call("mbsync", "-c", rc, "all")
        new = node.path("maildir", "INBOX", "new")
        cur = node.path("maildir", "INBOX", "cur")
        names = [os.path.join(d, f) for d in (new, cur) for f in os.listdir(d)]
        self.assertEqual(len(names), 3)
        # One is deleted here, one is written here: both travel.
        os.unlink(names[0])
        with open(os.path.join(new, "1.local"), "w", encoding="ascii") as stream:
            stream.write(message("from near").replace("\r\n", "\n"))
        self.call("mbsync", "-c", rc, "all")
        self.assertEqual(sorted(b"from near" in m for m in node.messages("eve")), [False, False, True])
        self.call("mbsync", "-c", rc, "all")
        self.assertEqual(len(node.messages("eve")), 3)

    def test_fetchmail_empties_a_maildrop(self):
        node = self.node
        with node.smtp() as smtp:
            for n in range(3):
                smtp.sendmail("a@out.example", ["lee@uni.example"], message(f"fetch {n}", to="lee@uni.example"))
        node.wait(lambda: len([m for m in node.messages("lee") if b"Subject: fetch" in m]) == 3, "three messages")
        box = node.path("fetched")
        for protocol, service in (("pop3", "pop3s"), ("imap", "imaps")):
            rc = self.private("fetchmailrc", f'poll {node.address} protocol {protocol} port {node.ports[service]} username lee password "{PASSWORD}" '
                              f'ssl sslcertfile {node.path("tls.pem")} '
                              f'{"keep" if protocol == "pop3" else "nokeep"} fetchall mda "cat >> {box}.{protocol}"\n')
            self.call("fetchmail", "-f", rc, "--nodetach", "-v", "--nosyslog", "--pidfile", node.path("fetchmail.pid"))
            with open(f"{box}.{protocol}", encoding="utf-8") as stream:
                self.assertEqual(stream.read().count("Subject: fetch"), 3)
        self.assertEqual(node.messages("lee"), [])


if __name__ == "__main__":
    unittest.main()
