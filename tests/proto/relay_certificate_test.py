# SPDX-License-Identifier: Apache-2.0
"""Who may relay by the names of a certificate (CERTIssuer:, CERTSubject:, CERTName:), as clients with certificates of several CAs meet it; and by
its key (relay_certificates)."""
import hashlib
import json
import os
import ssl
import subprocess
import unittest

from nexthop import NextHop
from node import NodeTest, message

CA_CONFIG = """[ca]
default_ca = here
[here]
database = {dir}/{ca}.index
new_certs_dir = {dir}
serial = {dir}/{ca}.serial
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
C = optional
O = optional
CN = optional
"""

ACCESS = """CERTIssuer:/C=DE/O=Uni/CN=Uni+20Relay+20CA\tRELAY
CERTIssuer:/O=Big/CN=Big\tSUBJECT
CERTSubject:/O=Dept/CN=good\tRELAY
CERTName:mail.dept.example\tRELAY
"""


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


class RelayCertificate(NodeTest):
    @classmethod
    def make_ca(cls, ca, subject):
        path = cls.node.path
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", subject,
                "-addext", "keyUsage=keyCertSign", "-keyout", path(ca + ".key"), "-out", path(ca + ".pem"))
        for name, text in ((".conf", CA_CONFIG.format(dir=cls.node.dir, ca=ca)), (".index", ""), (".serial", "01\n")):
            cls.node.write(ca + name, text)

    @classmethod
    def make_client(cls, name, ca, subject, dates=("-days", "5"), extension=None):
        path = cls.node.path
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", subject, "-keyout", path(name + ".key"),
                "-out", path(name + ".csr"), *(("-addext", extension) if extension else ()))
        openssl("ca", "-batch", "-notext", "-config", path(ca + ".conf"), "-cert", path(ca + ".pem"), "-keyfile", path(ca + ".key"),
                "-in", path(name + ".csr"), "-out", path(name + ".pem"), *dates)

    @classmethod
    def start_node(cls):
        path = cls.node.path
        cls.node.make_certificates()
        for ca, subject in (("uni", "/C=DE/O=Uni/CN=Uni Relay CA"), ("big", "/O=Big/CN=Big"), ("evil", "/C=DE/O=Uni/CN=Uni Relay CA")):
            cls.make_ca(ca, subject)
        cls.make_client("any", "uni", "/CN=anybody")
        cls.make_client("expired", "uni", "/CN=anybody", dates=("-startdate", "20200101000000Z", "-enddate", "20200201000000Z"))
        cls.make_client("future", "uni", "/CN=anybody", dates=("-startdate", "20400101000000Z", "-enddate", "20400201000000Z"))
        cls.make_client("server", "uni", "/CN=anybody", extension="extendedKeyUsage=serverAuth")
        cls.make_client("good", "big", "/O=Dept/CN=good")
        cls.make_client("bad", "big", "/O=Dept/CN=bad")
        cls.make_client("slash", "big", "/O=Dept\\/CN=good")  # one value that reads like two
        cls.make_client("named", "big", "/CN=whoever", extension="subjectAltName=DNS:other.example,DNS:Mail.Dept.example")
        cls.make_client("misnamed", "big", "/CN=mail.dept.example", extension="subjectAltName=DNS:other.example")
        cls.make_client("cn", "big", "/CN=mail.dept.example")
        cls.make_client("forged", "evil", "/CN=mail.dept.example")  # the CA has the name of ours
        with open(path("cas.pem"), "w", encoding="ascii") as out:
            for ca in ("uni", "big"):
                with open(path(ca + ".pem"), encoding="ascii") as stream:
                    out.write(stream.read())
        cls.node.write("access", ACCESS)
        cls.hop = NextHop(cls.node.address)
        cls.addClassCleanup(cls.hop.close)
        cls.node.overrides.update(relayhost=cls.hop.address, relayhost_tls="none", smtp_client_certificate="ask", tls_ca_file=path("cas.pem"),
                                  access_file=path("access"))
        cls.node.start()

    def session(self, certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certificate:
            context.load_cert_chain(self.node.path(certificate + ".pem"), self.node.path(certificate + ".key"))
        smtp = self.node.smtp()
        smtp.starttls(context=context)
        smtp.ehlo()
        return smtp

    def answer(self, certificate, to="x@far.example"):
        with self.session(certificate) as smtp:
            self.assertEqual(smtp.mail("a@dept.example")[0], 250)
            return smtp.rcpt(to)[0]

    def test_who_may(self):
        for certificate in ("any", "good", "named", "cn"):
            self.assertEqual(self.answer(certificate), 250, certificate)

    def test_who_may_not(self):
        for certificate in (None, "bad", "slash", "misnamed", "forged", "expired", "future", "server", "node"):
            self.assertEqual(self.answer(certificate), 550, certificate)
            self.assertEqual(self.answer(certificate, to="bob@uni.example"), 250, certificate)  # it is a client like others

    def test_whose_certificate_was_refused_is_in_the_log(self):
        for certificate, wanted in (
                ("bad", ("subject=/O=Dept/CN=bad", "issuer=/O=Big/CN=Big", "name=bad", 'problem=""')),
                ("forged", ("subject=/CN=mail.dept.example", 'issuer=/C=DE/O=Uni/CN=Uni+20Relay+20CA', "problem=")),
                ("expired", ("subject=/CN=anybody", 'problem="certificate has expired"'))):
            before = len(self.node.log_text())
            self.assertEqual(self.answer(certificate), 550)
            line = self.node.wait(lambda: [line for line in self.node.log_text()[before:].splitlines()
                                           if "certificate lets it relay nothing" in line], "the line in the log")[0]
            for part in (*wanted, "key=sha256:"):
                self.assertIn(part, line.replace('"/', "/").replace('" ', " "))
        before = len(self.node.log_text())
        self.assertEqual([self.answer("any"), self.answer("bad", to="bob@uni.example")], [250, 250])
        self.assertNotIn("certificate lets it relay nothing", self.node.log_text()[before:])

    def test_why_says_what_a_certificate_is_good_for(self):
        """As RCPT TO would answer a client that shows it."""
        def why(certificate, code):
            return self.node.run("why", "--certificate", self.node.path(certificate + ".pem"), "x@far.example", check=code).stdout
        for certificate in ("any", "good", "named", "cn"):
            self.assertIn("the access table lets the client relay by a name of its certificate", why(certificate, 0))
        for certificate in ("bad", "slash", "misnamed", "forged", "expired", "future", "server"):
            self.assertIn("the client may not relay", why(certificate, 1))
        self.assertIn(", CERTIssuer:/O=Big/CN=Big, CERTSubject:/O=Dept/CN=bad, CERTName:bad; tls_ca_file vouches for it\n", why("bad", 1))
        self.assertIn("tls_ca_file does not vouch for it: certificate has expired\n", why("expired", 1))
        said = json.loads(self.node.run("why", "--json", "--certificate", self.node.path("named.pem"), "x@far.example", check=0).stdout)["certificate"]
        self.assertEqual((said["issuer"], said["subject"], said["names"], said["verified"]),
                         ("/O=Big/CN=Big", "/CN=whoever", ["other.example", "Mail.Dept.example"], True))
        self.assertEqual(self.node.run("why", "--certificate", self.node.path("access"), "x@far.example").returncode, 2)

    def test_mail_arrives(self):
        with self.session("named") as smtp:
            smtp.sendmail("a@dept.example", ["x@far.example"], message("by name", to="x@far.example"))
        self.node.wait(lambda: self.hop.with_subject("by name"), "the message at the next hop")

    def test_a_key(self):
        """By relay_certificates, for which no CA has to vouch."""
        spki = subprocess.run(f"openssl x509 -in {self.node.path('forged.pem')} -pubkey -noout | openssl pkey -pubin -outform der", shell=True,
                              check=True, capture_output=True).stdout
        self.node.change_settings("mta", relay_certificates=["sha256:" + hashlib.sha256(spki).hexdigest()])
        self.addCleanup(lambda: self.node.change_settings("mta", relay_certificates=[]))
        self.assertEqual([self.answer("forged"), self.answer("any"), self.answer("bad")], [250, 250, 550])

    def test_a_ca_file_that_is_gone(self):
        os.rename(self.node.path("cas.pem"), self.node.path("cas.away"))
        self.addCleanup(lambda: self.node.change_settings("mta"))
        self.addCleanup(os.rename, self.node.path("cas.away"), self.node.path("cas.pem"))
        self.node.expect_error("tls_ca_file cannot be read")
        self.node.change_settings("mta")
        self.assertEqual(self.answer("any"), 550)
        self.assertEqual(self.answer("any", to="bob@uni.example"), 250)

    def test_it_is_not_asked_for(self):
        self.node.change_settings("mta", smtp_client_certificate="no")
        self.addCleanup(lambda: self.node.change_settings("mta", smtp_client_certificate="ask"))
        self.assertEqual(self.answer("any"), 550)


if __name__ == "__main__":
    unittest.main()
