# SPDX-License-Identifier: Apache-2.0
"""What holds for every provider, against 389-ds."""
import os
import unittest

from providers import Ds389
from rules import Rules


@unittest.skipUnless(os.geteuid() == 0, "389-ds runs below its root by chroot")
class Ds389Test(Rules, unittest.TestCase):
    make = Ds389


if __name__ == "__main__":
    unittest.main()
