# SPDX-License-Identifier: Apache-2.0
"""What holds for two servers of every kind, one of which lags."""
import os
import unittest

from providers import Ds389Pair, SlapdMasterPair, SlapdPolledPair, SlapdShadowPair
from rules import LagRules


class SlapdMasterTest(LagRules, unittest.TestCase):
    make = SlapdMasterPair


class SlapdShadowTest(LagRules, unittest.TestCase):
    make = SlapdShadowPair


class SlapdPolledTest(LagRules, unittest.TestCase):
    make = SlapdPolledPair


@unittest.skipUnless(os.geteuid() == 0, "389-ds runs below its root by chroot")
class Ds389Test(LagRules, unittest.TestCase):
    make = Ds389Pair


if __name__ == "__main__":
    unittest.main()
