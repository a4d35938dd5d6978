# SPDX-License-Identifier: Apache-2.0
"""content_test.py once more with daemons under ASan and UBSan, where an over-read ends the daemon and a long turn of a scheduler aborts."""
import os
import unittest

RELEASE = os.environ.get("POSTHOUSE_BIN", "")
ASAN = os.path.join(os.path.dirname(os.path.dirname(RELEASE.rstrip("/"))), "asan", "bin")
os.environ["POSTHOUSE_BIN"] = ASAN  # before node.py looks
os.environ["ASAN_OPTIONS"] = "detect_stack_use_after_return=0:abort_on_error=1"

import content_test  # pylint: disable=wrong-import-position


@unittest.skipUnless(os.path.exists(os.path.join(ASAN, "posthouse-popimap")), "build/asan is not there: tests/run builds it")
class ContentAsan(content_test.Content):
    linear = False


if __name__ == "__main__":
    unittest.main()
