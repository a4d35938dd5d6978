# SPDX-License-Identifier: Apache-2.0
"""`posthouse reload` as an administrator meets it: what is taken over, what waits for a start, what could not be read."""
import json
import os
import shutil
import unittest

from node import NodeTest

DAEMONS = ["ldapsync", "mta", "popimap"]


class Reload(NodeTest):
    def reload(self, code, **settings):
        self.node.overrides.update(settings)
        self.node.write_config()
        return self.node.run("reload", check=code)

    def test_what_is_read_at_the_start_alone_is_named(self):
        self.assertEqual(self.reload(0, recipients_max="50").stdout, "")
        done = self.reload(0, fresh_s="40", threads="3")
        self.assertEqual(done.stdout, "threads: takes effect at the next start of ldapsync, mta, popimap\n"
                                      "fresh_s: takes effect at the next start of ldapsync, mta, popimap\n")
        said = json.loads(self.node.run("reload", "--json", check=0).stdout)  # not only the first time
        self.assertEqual({name: sorted(daemons) for name, daemons in said["restart"].items()}, {"threads": DAEMONS, "fresh_s": DAEMONS})
        self.assertEqual(said["errors"], [])
        self.assertEqual(self.reload(0, fresh_s="30", threads="2").stdout, "")

    def test_what_could_not_be_read_is_said(self):
        key = self.node.path("tls.key")
        shutil.copy(key, key + ".good")
        self.node.expect_error("certificates were not read again")
        with open(key, "w", encoding="ascii") as stream:
            stream.write("no key\n")
        done = self.reload(1)
        self.assertEqual(sorted(line.split(": ")[1] for line in done.stderr.splitlines()), ["mta", "popimap"], done.stderr)
        self.assertIn("certificates were not read again; the old ones stay in use: ", done.stderr)
        os.rename(key + ".good", key)
        self.assertEqual(self.reload(0).stderr, "")

    def test_errors_change_nothing(self):
        done = self.reload(1, recipients_max="many")
        self.assertIn(": recipients_max: ", done.stderr)
        self.assertEqual(self.reload(0, recipients_max="100").stderr, "")


if __name__ == "__main__":
    unittest.main()
