# SPDX-License-Identifier: Apache-2.0
"""The rig behind bench/run. Reading order: workloads (what is run, which rows come of it), ours and peers (the two sides), machine (what is
read from the system), measure (one run), flushes, table."""
