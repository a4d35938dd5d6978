// SPDX-License-Identifier: Apache-2.0
// The fold of a queue's log: what each record does to the rows, the ledger, and what the scheduler must hear of it.
//
// Deterministic (CLUSTER 1): a record and the rows decide, no clock, setting, directory or random number. A record for what is
// closed already is a counted no-op. Rows change inside the log's transaction; what goes to the sink is kept until the commit.
//
// All on the log's writer thread, but queue_fold_ledger(), which any thread may call.
#ifndef MTA_QUEUE_FOLD_H
#define MTA_QUEUE_FOLD_H

#include "cluster/log.h"
#include "item.h"
#include "schema/ddl_queue.h"

// The ledger of ARCHITECTURE 4, in recipients. What came in = what went out + what is there.
#define QUEUE_LEDGER(X)                                                                                               \
	X(LEDGER_ACCEPTED, "accepted", +1) X(LEDGER_GENERATED, "generated", +1) X(LEDGER_EXPANDED_INTO, "expanded_into", +1)  \
	X(LEDGER_DELIVERED, "delivered", -1) X(LEDGER_RELAYED, "relayed", -1) X(LEDGER_BOUNCED, "bounced", -1)               \
	X(LEDGER_EXPIRED, "expired", -1) X(LEDGER_DISCARDED, "discarded", -1) X(LEDGER_DELETED, "deleted", -1)               \
	X(LEDGER_EXPANDED, "expanded", -1) X(LEDGER_SUPPRESSED, "suppressed", -1) X(LEDGER_CANCELLED, "cancelled", -1)       \
	X(LEDGER_QUEUED, "queued", -1) X(LEDGER_REPEATS, "repeats", 0)

enum queue_ledger {
#define QUEUE_LEDGER_ENUM(id, name, sign) id,
	QUEUE_LEDGER(QUEUE_LEDGER_ENUM)
#undef QUEUE_LEDGER_ENUM
	LEDGER_COUNTERS
};
const char *queue_ledger_name(enum queue_ledger counter);

// What happened, told after the commit, in order. Runs on the writer thread; must not block.
struct queue_fold_sink {
	void *self;
	// During apply: is there room in memory for recipients of a message of so many bytes? If not they are found in the rows
	// later.
	bool (*has_room)(void *self, uint64_t bytes);
	void (*arrived)(void *self, struct item **list);                                   // takes the list
	void (*due)(void *self, struct str destination, int64_t next_try_ms);              // rows wait for this destination
	// 0: all; held, deleted, cancelled, expanded
	void (*gone)(void *self, const struct guid *guid, uint32_t number);
	void (*body_free)(void *self, const struct guid *guid);                            // spool/<guid> is nobody's any more
};

// What a record did, for its proposer (cluster_proposal.answer).
struct queue_fold_answer {
	size_t counted;    // recipients it acted on
	size_t left;       // REQUEUE: of them, those that are withdrawn
	uint64_t repeats;  // of its parts, no-ops
	uint8_t *took;     // ATTEMPT: one byte a ref, 1 where the recipient is this attempt's; the caller's memory, or NULL
};

struct queue_fold;
struct queue_fold *queue_fold_new(const struct queue_fold_sink *sink);
void queue_fold_free(struct queue_fold **fold);

// The table for cluster_log_open().
struct cluster_log_fold queue_fold_table(struct queue_fold *fold);

// The counters as of the last commit; balanced says whether they add up. Any thread.
void queue_fold_ledger(struct queue_fold *fold, int64_t counters_out[LEDGER_COUNTERS], bool *balanced_out);

// SHA-256 over all rows that are the fold's, in their order: equal logs give equal digests (CLUSTER 2). Inside
// cluster_log_read().
enum err_code queue_fold_digest(struct db *db, uint8_t digest_out[RECORD_DIGEST_BYTES], struct err *err) ERR_CHECKED;

#endif
