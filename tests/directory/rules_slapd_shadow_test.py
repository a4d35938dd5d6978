# SPDX-License-Identifier: Apache-2.0
"""What holds for every provider, against a slapd that is a shadow of another."""
import unittest

from providers import SlapdShadow
from rules import Rules


class SlapdShadowTest(Rules, unittest.TestCase):
    make = SlapdShadow


if __name__ == "__main__":
    unittest.main()
