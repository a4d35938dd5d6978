// SPDX-License-Identifier: Apache-2.0
// One record while it is applied: what queue_fold_apply.c (coming in, going out), queue_fold_acts.c (trying, resting,
// removing, mending) and queue_fold_requeue.c (expanded anew) share.
#ifndef MTA_QUEUE_FOLD_APPLY_H
#define MTA_QUEUE_FOLD_APPLY_H

#include "queue_fold_rows.h"

struct apply {
	struct queue_fold *fold;
	struct db *db;
	const struct cluster_entry *entry;
	struct queue_fold_answer *answer; // never NULL
	struct arena *arena;
	struct str bodies; // not yet taken by an ENTER of this record
	unsigned bodies_n;
	struct err *err;
};

// The ledger, and a part of a record that had nothing left to do.
void fold_count(struct apply *a, enum queue_ledger counter, int64_t n);
void fold_repeat(struct apply *a);

// NULL for an empty one.
void fold_bind_text(sqlite3_stmt *stmt, int parameter, struct str s);

// The statement with guid and number bound.
sqlite3_stmt *fold_bind_row(struct apply *a, enum fold_sql statement, const struct guid *guid, uint32_t number);

// A recipient that no REQUEUE may begin anew while its message is here (schema/ddl_queue.c).
struct fold_ended {
	struct str who, detail;
};

// A row of recipient, due at next_try_ms. held: why it rests; empty: it does not.
enum err_code fold_add_recipient(struct apply *a, const struct guid *guid, const struct record_recipient *r, int64_t next_try_ms,
	struct str held);

// For whom else the copy is. *noted_inout counts rows that came, for fold_note_more().
enum err_code fold_add_also(struct apply *a, const struct guid *guid, uint32_t number, const struct record_also *also,
	int64_t *noted_inout);

// So many rows more in `ended` or `also`, which go when the message does.
enum err_code fold_note_more(struct apply *a, const struct guid *guid, int64_t n);

// The message got n recipients more, in the ledger too; last is the highest of their numbers.
enum err_code fold_more_recipients(struct apply *a, const struct guid *guid, int64_t n, uint32_t last);

// n of the message's recipients were closed: their rows are gone. With the last one goes the message. ended: one of them; may be
// NULL.
enum err_code fold_close_recipients(struct apply *a, const struct guid *guid, int64_t n, const struct fold_ended *ended);

// What a REQUEUE must know of one that ends; empty of what a list led to, which is not asked about. In the record's arena.
enum err_code fold_who_ends(struct apply *a, const struct guid *guid, uint32_t number, struct fold_ended *ended_out);

// Has the statement, bound, a row? It is reset.
enum err_code fold_is_there(struct apply *a, sqlite3_stmt *stmt, bool *there_out);

// Messages that a record begets count when what it says of their parent counted: else they were entered when it was said first.
enum err_code fold_enter_begotten(struct apply *a, const struct record_enters *begets, const struct record_refs *counted);

// queue_fold_acts.c, queue_fold_requeue.c: rows of the table in queue_fold_apply.c
enum err_code fold_apply_attempt(struct apply *a, const struct record *record);
enum err_code fold_apply_hold(struct apply *a, const struct record *record);
enum err_code fold_apply_release(struct apply *a, const struct record *record);
enum err_code fold_apply_delete(struct apply *a, const struct record *record);
enum err_code fold_apply_route(struct apply *a, const struct record *record);
enum err_code fold_apply_mend(struct apply *a, const struct record *record);
enum err_code fold_apply_requeue(struct apply *a, const struct record *record);
enum err_code fold_apply_warned(struct apply *a, const struct record *record);
enum err_code fold_apply_features(struct apply *a, const struct record *record);
enum err_code fold_apply_policy(struct apply *a, const struct record *record);
enum err_code fold_apply_retired(struct apply *a, const struct record *record);

#endif
