// SPDX-License-Identifier: Apache-2.0
// Metrics of posthouse-ldapsync.
#ifndef LDAPSYNC_LDAPSYNC_METRICS_H
#define LDAPSYNC_LDAPSYNC_METRICS_H

#include "base/metrics.h"

#define LDAPSYNC_METRICS(X)                                                                                              \
	X(COUNTER, ldapsync_loads, "", "Times that the whole directory was read and committed: the LDIF file, or a server without a cookie.") \
	X(COUNTER, ldapsync_resumes, "", "Times that an LDAP server went on from where the shadow was.")                 \
	X(COUNTER, ldapsync_changes, "", "Entries that an LDAP server changed or deleted under our eyes.")               \
	X(COUNTER, ldapsync_drift, "", "Entries that differed from the directory although the shadow had all changes.")  \
	X(COUNTER, ldapsync_failures, "", "Loads that failed: a file that is missing or does not parse; LDAP servers that were left.") \
	X(COUNTER, ldapsync_holds, "", "Loads and changes that the brake held: they would have taken too much away at once.") \
	X(GAUGE, ldapsync_held, "", "What is held would take away so much, recipients or what the log names; 0: nothing is held.") \
	X(GAUGE, ldapsync_connected, "", "1 while an LDAP server is followed.")                                          \
	X(GAUGE, ldapsync_future, "", "1 while a change number of the directory lies in the future: a clock is wrong.")    \
	X(GAUGE, ldapsync_lag_ms, "", "Milliseconds for which the LDAP server has had something that the shadow lacks; of one that is polled, since the last whole answer.") \
	X(GAUGE, ldapsync_entries, "", "Entries in the shadow.")                                                         \
	X(GAUGE, ldapsync_version, "", "Version of the shadow: grows with each commit that changed something.")          \
	X(GAUGE, ldapsync_refused, "", "Values and entries that were left out; the first are in the log.")               \
	X(GAUGE, ldapsync_conflicts, "", "Addresses and other keys with several owners: their mail is deferred.")

METRICS_DECLARE(LDAPSYNC_METRICS)
extern struct metric *const ldapsync_metrics[];

#endif
