// SPDX-License-Identifier: Apache-2.0
// What the queue counts. The ledger is counted here since the start of the process, and in the queue itself since it was made.
#ifndef MTA_QUEUE_METRICS_H
#define MTA_QUEUE_METRICS_H

#include "base/metrics.h"

#define MTA_QUEUE_METRICS(X)                                                                                                  \
	X(COUNTER, mta_queue_accepted, "", "Recipients of messages that clients gave us.")                                    \
	X(COUNTER, mta_queue_generated, "", "Recipients of messages that the queue made: reports, warnings.")                 \
	X(COUNTER, mta_queue_delivered, "", "Recipients delivered into mailboxes.")                                           \
	X(COUNTER, mta_queue_relayed, "", "Recipients handed to a next hop.")                                                 \
	X(COUNTER, mta_queue_bounced, "", "Recipients refused for good.")                                                     \
	X(COUNTER, mta_queue_expired, "", "Recipients whose lifetime ended.")                                                 \
	X(COUNTER, mta_queue_discarded, "", "Recipients that failed without anybody to tell.")                                \
	X(COUNTER, mta_queue_deleted, "", "Recipients removed by administrators.")                                            \
	X(COUNTER, mta_queue_cancelled, "", "Recipients whose client was told 451 because the commit was not sure.")          \
	X(COUNTER, mta_queue_repeats, "", "Parts of records that had nothing left to do.")                                    \
	X(COUNTER, mta_queue_rerouted, "", "Recipients that waited and go another way than they came in for.")               \
	X(COUNTER, mta_queue_tries, "", "Transactions with mailbox hosts and next hops.")                                     \
	X(COUNTER, mta_queue_connections, "", "Connections made to mailbox hosts and next hops.")                             \
	X(COUNTER, mta_queue_connections_failed, "", "Connections that could not be made.")                                   \
	X(GAUGE, mta_queue_recipients, "", "Recipients in the queue.")                                                        \
	X(GAUGE, mta_queue_unbalanced, "", "1 when the ledger does not add up: an operator must act.")                        \
	X(GAUGE, mta_queue_destinations, "", "Destinations that something waits for.")                                        \
	X(GAUGE, mta_queue_destinations_dead, "", "Of these, those that do not answer.")                                      \
	X(GAUGE, mta_queue_connections_open, "", "Deliveries under way or kept open.")                                        \
	X(GAUGE, mta_queue_log_applied, "", "Index of the last record of the log.")                                           \
	X(GAUGE, mta_queue_log_waiting, "", "Records in line for the log.")                                                   \
	X(GAUGE, mta_queue_log_batches, "", "Commits of the log since the start.")                                            \
	X(GAUGE, mta_queue_free, "bytes", "Free space on the queue's disk.")                                            \
	X(COUNTER, mta_replay_kept, "", "Deliveries to mailboxes kept for replay.")                                            \
	X(COUNTER, mta_replay_skipped, "", "Deliveries that could not be kept for replay.")                                   \
	X(GAUGE, mta_replay, "bytes", "Size of what is kept for replay.")                                                      \
	X(GAUGE, mta_replay_oldest, "seconds", "How far back replay reaches, seconds since 1970; 0: nothing is kept.")        \
	X(GAUGE, mta_queue_short_of_space, "", "1 while new mail is refused for space.")
METRICS_DECLARE(MTA_QUEUE_METRICS)

extern struct metric *const mta_queue_metrics[];

#endif
