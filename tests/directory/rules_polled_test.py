# SPDX-License-Identifier: Apache-2.0
"""What holds for every provider, against a slapd without syncprov, which is polled."""
import unittest

from providers import SlapdPolled
from rules import Rules


class SlapdPolledTest(Rules, unittest.TestCase):
    make = SlapdPolled


if __name__ == "__main__":
    unittest.main()
