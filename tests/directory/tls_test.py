# SPDX-License-Identifier: Apache-2.0
"""A directory server that may not be ours: by ldaps and by StartTLS, whoever does not show the certificate that is asked for gets no password."""
import subprocess
import unittest

from replica import ReplicaTest
from slapd import deployed


class NoPassword(ReplicaTest):
    def refused(self, said, **settings):
        """It is left, for the reason that is named, nothing is known of it, and nobody has bound there."""
        mark = self.master.mark()
        follower = self.follow(**settings)
        follower.wait(lambda: "directory server is left" in follower.log_text(), "it to be left")
        self.assertRegex(follower.log_text(), said)
        self.assertEqual(follower.code("ann@uni.example"), 451)
        self.assertEqual(follower.code("nobody@uni.example"), 451)
        self.assertEqual(self.master.lines("BIND dn=", since=mark), [])
        follower.stop()

    def refused_both_ways(self, said):
        self.refused(said, ldap_uri=[self.master.tls_uri])
        self.refused(said, ldap_starttls="always")

    def show(self, pem, key):
        """The server shows this certificate from now on."""
        certificates = self.directory.certificates
        certificates.pem, certificates.key = pem, key
        self.master.write_config()
        self.master.restart()

    def test_another_ca(self):
        other = deployed.Certificates(self.directory.path("other"), self.directory.address)
        self.show(other.pem, other.key)
        self.refused_both_ways("is its certificate for the name in ldap_uri, and of a CA in ldap_ca_file")

    def test_another_name(self):
        certificates = self.directory.certificates
        certificates.sign("elsewhere", "/CN=elsewhere.example", "DNS:elsewhere.example")
        self.show(certificates.path("elsewhere.pem"), certificates.path("elsewhere.key"))
        self.refused_both_ways("certificate")

    def test_expired(self):
        certificates = self.directory.certificates
        subprocess.run(["openssl", "x509", "-req", "-in", certificates.path("server.csr"), "-CA", certificates.ca, "-CAkey",
                        certificates.path("ca.key"), "-days", "-1", "-extfile", certificates.path("server.ext"), "-out",
                        certificates.path("old.pem")], check=True, capture_output=True)
        self.show(certificates.path("old.pem"), certificates.key)
        self.refused_both_ways("certificate")

    def test_no_starttls(self):
        """One between us and the server takes the offer of StartTLS away: an answer that says no, and no password in the clear."""
        self.directory.certificates.pem = self.directory.certificates.key = ""
        self.master.write_config()
        with open(self.master.path("slapd.conf"), encoding="utf-8") as stream:
            text = "".join(line for line in stream if not line.startswith("TLS"))
        with open(self.master.path("slapd.conf"), "w", encoding="utf-8") as stream:
            stream.write(text)
        self.master.restart()
        self.refused("StartTLS", ldap_starttls="always")


if __name__ == "__main__":
    unittest.main()
