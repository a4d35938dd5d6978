// SPDX-License-Identifier: Apache-2.0
// Metrics of posthouse-ldapsync.
#ifndef LDAPSYNC_LDAPSYNC_METRICS_H
#define LDAPSYNC_LDAPSYNC_METRICS_H

#include "base/metrics.h"

#define LDAPSYNC_METRICS(X)                                                                                              \
	X(COUNTER, ldapsync_loads, "", "Loads of the LDIF file that were committed.")                                    \
	X(COUNTER, ldapsync_failures, "", "Loads that failed: a file that is missing or does not parse.")                \
	X(COUNTER, ldapsync_holds, "", "Loads that the brake held: they would have taken too much away at once.")        \
	X(GAUGE, ldapsync_held, "", "What the held file would take away, recipients or what the log names; 0: nothing is held.") \
	X(GAUGE, ldapsync_entries, "", "Entries in the shadow.")                                                         \
	X(GAUGE, ldapsync_version, "", "Version of the shadow: grows with each commit that changed something.")          \
	X(GAUGE, ldapsync_refused, "", "Values and entries that the last load left out; each is in the log.")            \
	X(GAUGE, ldapsync_conflicts, "", "Addresses and other keys with several owners: their mail is deferred.")

METRICS_DECLARE(LDAPSYNC_METRICS)
extern struct metric *const ldapsync_metrics[];

#endif
