// SPDX-License-Identifier: Apache-2.0
// A queue's log and its fold: records go in, get an index, and the rows that follow from them change in the same transaction.
//
//     struct cluster_log_fold fold = {.schema = &ddl_queue, .sql = ..., .apply = fold_apply, .committed = fold_committed, ...};
//     cluster_log_open(&(struct cluster_log_config){.dir = "…/queue", .fold = &fold, …}, &log, err);
//
//     struct call *call = call_new(sizeof(struct cluster_proposal), proposal_fini);      // a fiber; or NULL call: nobody waits
//     struct cluster_proposal *p = call_payload(call);
//     p->record = …; p->body = …;
//     cluster_log_propose(log, call);
//     if (call_wait(call, deadline_ms) == ERR_OK)  switch (p->verdict) …
//
// The way of a proposal is propose, committed index, apply; on one node all three are one transaction of one writer thread, which
// takes all that waits, up to CLUSTER_LOG_BATCH records, before each commit (CLUSTER 7). With copies, libraft stands between the
// first two and nothing changes for callers.
//
// Verdicts (CLUSTER 3): COMMITTED; REFUSED before it was proposed, a retry is safe; a caller whose deadline passes does not know
// and says so by CANCEL. A proposal whose caller has gone before the writer takes it is refused.
//
// Failure. ENOSPC: the batch is rolled back; proposals of class ENTER are refused with ERR_NOSPACE, results are tried again on
// the space that a ballast file kept for them, and wait when even that is gone. EIO, and anything else the disk says, ENOSPC at
// the sync of a commit too (base/db.h): config->died is called and does not return; the disk is a new one when it comes back
// (ARCHITECTURE 4). Crash: the database has the last commit, nothing else counts.
//
// Threads: propose and read from anywhere; everything of the fold runs on the writer thread.
#ifndef CLUSTER_LOG_H
#define CLUSTER_LOG_H

#include "base/arena.h"
#include "base/call.h"
#include "base/db.h"
#include "base/err.h"
#include "base/guid.h"

struct cluster_log;

enum {
	CLUSTER_LOG_BATCH = 128,          // records of one transaction
	CLUSTER_LOG_BATCH_BYTES = 8 << 20, // CLUSTER 23
	CLUSTER_LOG_TRAIL = 10000,        // applied records that are kept
	CLUSTER_LOG_WAITING_MAX = 100000, // proposals in line; further ENTERs are refused with ERR_BUSY
	CLUSTER_LOG_WAL_BYTES = 16 << 20,  // checkpoint above this
	CLUSTER_LOG_FROZEN_WAL_BYTES = 1 << 30, // a snapshot ends above this
	CLUSTER_LOG_SQL = 16,             // the fold's statement i is db_stmt(db, CLUSTER_LOG_SQL + i)
};

enum cluster_verdict {
	CLUSTER_COMMITTED, // durable, and in the rows
	CLUSTER_REFUSED,   // never was and never will be in the log
};

// Who may use the last of the space.
enum cluster_class {
	CLUSTER_CLASS_ENTER,  // new mail: refused when space or line is short
	CLUSTER_CLASS_RESULT, // ends or moves what is there: never refused for space, waits
};

// The payload of a call to propose, alone or as the first member of a larger one.
struct cluster_proposal {
	struct str record; // encoded; owned by the payload, as is body
	struct str body;   // what the fold stores with an ENTER; may be empty
	enum cluster_class class;
	void *answer;      // handed to the fold, which may say there what the record did; owned by the payload; may be NULL
	// Results, valid when the call is done.
	enum cluster_verdict verdict;
	uint64_t index;    // CLUSTER_COMMITTED
	struct err err;    // CLUSTER_REFUSED: why
	// The log's own.
	struct call *call; // the callee's reference; NULL when nobody waits
	void (*done)(struct cluster_proposal *proposal); // without a call: on the writer thread, may free it
	struct cluster_proposal *next;
};

// One record as the fold sees it.
struct cluster_entry {
	uint64_t index, term;
	struct str record, body;
	void *answer; // of the proposal; NULL where the proposal was another node's
};

struct cluster_log_fold {
	const struct db_schema *schema; // has the tables log and state of schema/ddl_queue.c
	const char *const *sql;
	size_t n_sql;
	void *self;

	// Once, after the database was opened and before anything else, on the opening thread: read what is kept in memory.
	enum err_code (*opened)(void *self, struct db *db, uint64_t applied, struct err *err);

	// Inside the transaction. Deterministic: reads the record and the rows, nothing else. A record that has nothing to act on
	// is a counted no-op and ERR_OK. An error undoes the whole batch; ERR_CORRUPT and ERR_VERSION stop the process, they are
	// never skipped. The arena is the record's: reset before the next one.
	enum err_code (*apply)(void *self, struct db *db, const struct cluster_entry *entry, struct arena *arena,
		struct err *err);

	// Inside the transaction, once, after its last record (index applied): what is written once a batch (counters).
	enum err_code (*flush)(void *self, struct db *db, uint64_t applied, struct err *err);

	// After the commit: what apply staged in memory counts. After a rollback: it does not.
	void (*committed)(void *self);
	void (*undone)(void *self);
};

struct cluster_log_config {
	const char *dir;             // exists, ours, 0700; queue.db, disk, ballast are made in it
	struct cluster_log_fold fold;
	uint64_t reserve_bytes;      // free space below which ENTER is refused
	uint64_t ballast_bytes;      // kept for results
	void (*died)(const struct err *err); // EIO and its like: does not return (daemon_die_of_eio)
};

// Opens or makes the log, checks the disk's identity, starts the writer. Blocks; at start only. Needs no hand after a crash.
enum err_code cluster_log_open(const struct cluster_log_config *config, struct cluster_log **log_out,
	struct err *err) ERR_CHECKED;

// Ends the writer after what waits was done, checkpoints, closes. No propose may follow. Blocks.
void cluster_log_close(struct cluster_log **log);

// Hands over call, whose payload is (or begins with) a struct cluster_proposal. Does not block.
void cluster_log_propose(struct cluster_log *log, struct call *call);

// The same without a caller that waits: proposal->done is told. Does not block. The proposal is the log's until then.
void cluster_log_submit(struct cluster_log *log, struct cluster_proposal *proposal);

// Runs fn(db, arg) on the writer thread between two transactions, and waits for it; for pages of rows and bodies. Never gives up
// early, so arg may be on the caller's stack. May wait; on a plain thread it blocks. ERR_BUSY when the line is too long.
enum err_code cluster_log_read(struct cluster_log *log, void (*fn)(struct db *db, void *arg), void *arg,
	struct err *err) ERR_CHECKED;

// Runs fn(db, arg) on the caller's thread over the database as it is now, read-only, while the writer goes on: for what reads
// all of it. Nothing is copied: the file stays as a checkpoint leaves it, and what is committed meanwhile waits in the WAL. When
// that grows over CLUSTER_LOG_FROZEN_WAL_BYTES, or space is short, the snapshot ends: fn finds that nothing can be read any more,
// what it has found does not count, and the call fails with ERR_BUSY; ERR_CANCELLED after cluster_log_end_snapshots(). One at a
// time (ERR_BUSY). Blocks: not for a fiber (base/worker.h).
enum err_code cluster_log_snapshot(struct cluster_log *log, void (*fn)(struct db *db, void *arg), void *arg,
	struct err *err) ERR_CHECKED;

// Ends the one that is under way and lets none begin: before the end of the process. Any thread, does not block.
void cluster_log_end_snapshots(struct cluster_log *log);

// Another reserve from now on. Any thread, does not block.
void cluster_log_set_reserve(struct cluster_log *log, uint64_t reserve_bytes);

struct cluster_log_stats {
	uint64_t first, applied, term; // indexes
	uint64_t records, batches;     // since the start
	uint64_t refused;
	uint64_t waiting;              // in line now
	uint64_t free_bytes;
	bool short_of_space;           // ENTER is refused
	bool stuck;                    // results cannot be written: nothing new is tried
};
void cluster_log_stats(struct cluster_log *log, struct cluster_log_stats *stats_out);

// The identity of this disk and of this log (CLUSTER 16, 17).
struct guid cluster_log_disk_id(const struct cluster_log *log);
struct guid cluster_log_group_id(const struct cluster_log *log);

#endif
