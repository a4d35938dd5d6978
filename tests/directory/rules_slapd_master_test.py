# SPDX-License-Identifier: Apache-2.0
"""What holds for every provider, against a slapd master with syncprov and accesslog."""
import unittest

from providers import SlapdMaster
from rules import Rules


class SlapdMasterTest(Rules, unittest.TestCase):
    make = SlapdMaster


if __name__ == "__main__":
    unittest.main()
