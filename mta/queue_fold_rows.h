// SPDX-License-Identifier: Apache-2.0
// What the two halves of the fold share: its statements, its staged effects, and the state between two commits.
#ifndef MTA_QUEUE_FOLD_ROWS_H
#define MTA_QUEUE_FOLD_ROWS_H

#include <pthread.h>
#include <string.h>

#include "queue_fold.h"

enum fold_sql {
	SQL_MESSAGE_ADD,
	SQL_MESSAGE_OPEN,
	SQL_MESSAGE_END,
	SQL_MESSAGE_LESS,
	SQL_MESSAGE_MORE,
	SQL_MESSAGE_NOTED,
	SQL_MESSAGE_LAST,
	SQL_MESSAGE_THERE,
	SQL_RECIPIENT_ADD,
	SQL_RECIPIENT_END,
	SQL_RECIPIENT_WHO,
	SQL_RECIPIENT_LEAVES,
	SQL_RECIPIENT_SHARE,
	SQL_RECIPIENT_TARGETS,
	SQL_RECIPIENT_DEFER,
	SQL_RECIPIENT_REMOVE,
	SQL_RECIPIENT_CANCEL,
	SQL_RECIPIENT_HOLD,
	SQL_RECIPIENT_RELEASE,
	SQL_RECIPIENT_TAKE,
	SQL_RECIPIENT_WARNED,
	SQL_RECIPIENT_ROUTE,
	SQL_MEND_RECIPIENTS,
	SQL_MEND_OPEN,
	SQL_MEND_ATTEMPTS,
	SQL_MEND_SPOOLED,
	SQL_MEND_BODIES,
	SQL_MEND_MESSAGES,
	SQL_MEND_ENDED,
	SQL_MEND_ALSO,
	SQL_ENDED_ADD,
	SQL_ENDED_THERE,
	SQL_ENDED_END,
	SQL_ALSO_ADD,
	SQL_ALSO_DROP,
	SQL_ALSO_COUNT,
	SQL_ALSO_TAKES_OVER,
	SQL_ALSO_END,
	SQL_BODY_ADD,
	SQL_BODY_END,
	SQL_ATTEMPT_ADD,
	SQL_ATTEMPT_LESS,
	SQL_ATTEMPT_END,
	SQL_TOMBSTONE_ADD,
	SQL_TOMBSTONE_THERE,
	SQL_TOMBSTONE_CUT,
	SQL_TOMBSTONE_COUNT,
	SQL_LEDGER_GET,
	SQL_LEDGER_PUT,
	SQL_QUEUED_COUNT,
	SQL_FEATURES,
	SQL_POLICY,
	// Not the fold's: what others read between transactions (queue_rows.c).
	SQL_READ_PAGE,
	SQL_READ_COPIES,
	SQL_READ_ALSO,
	SQL_READ_ALSO_OF,
	SQL_READ_NEXT_DUE,
	SQL_READ_DESTINATIONS,
	SQL_READ_ATTEMPTS,
	SQL_READ_SPOOLED,
	SQL_READ_BODY,
	SQL_READ_MESSAGES,
	SQL_READ_RECIPIENTS,
	SQL_READ_GUIDS,
	SQL_READ_DAMAGED,
	SQL_READ_SOUND,
	SQL_FOLD_STATEMENTS,
};

// A row of recipient that is sound: it can be read, and what comes of a try finds it again. Others are left alone, in the ledger,
// until an administrator removes them. r is the recipient's table or alias, m its message's, by a left join.
#define FOLD_ROW_IS_SOUND                                                                                                     \
	"(typeof(r.guid) = 'blob' AND length(r.guid) = 16 AND typeof(r.number) = 'integer' AND r.number BETWEEN 1 AND 4294967295" \
	" AND r.target BETWEEN 1 AND 3 AND m.guid IS NOT NULL AND typeof(m.root) = 'blob' AND length(m.root) = 16)"

struct fold_due {
	char *destination; // owned
	size_t bytes;
	int64_t next_try_ms;
};

// What a batch did, until its commit.
struct fold_stage {
	int64_t delta[LEDGER_COUNTERS];
	struct item *arrived, **arrived_tail;
	struct fold_due *due;
	size_t due_n, due_size;
	struct record_ref *gone;
	size_t gone_n, gone_size;
	struct guid *bodies;
	size_t bodies_n, bodies_size;
	int64_t tombstones;
};

struct queue_fold {
	struct queue_fold_sink sink;
	struct fold_stage stage;
	int64_t tombstones; // rows in tombstone: mostly none, then no look-up
	pthread_mutex_t mutex; // guards counters, balanced
	int64_t counters[LEDGER_COUNTERS];
	bool balanced;
};

static inline sqlite3_stmt *fold_stmt(struct db *db, enum fold_sql statement)
{
	return db_stmt(db, CLUSTER_LOG_SQL + (size_t)statement);
}

// The guid in a column. A row that has none is damaged: ERR_CORRUPT, guid_out untouched.
static inline enum err_code fold_guid(sqlite3_stmt *stmt, int column, struct guid *guid_out, struct err *err)
{
	struct str bytes = db_col_blob(stmt, column);
	if (bytes.n != sizeof guid_out->b)
		return err_set(err, ERR_CORRUPT, "queue.db: a row has %zu bytes where a guid has %zu", bytes.n, sizeof guid_out->b);
	memcpy(guid_out->b, bytes.p, bytes.n);
	return ERR_OK;
}

// Staging; strings are copied.
void fold_stage_due(struct queue_fold *fold, struct str destination, int64_t next_try_ms);
void fold_stage_gone(struct queue_fold *fold, const struct guid *guid, uint32_t number);
void fold_stage_body(struct queue_fold *fold, const struct guid *guid);

// queue_fold_apply.c
enum err_code fold_apply(void *self, struct db *db, const struct cluster_entry *entry, struct arena *arena,
	struct err *err) ERR_CHECKED;

#endif
