// SPDX-License-Identifier: Apache-2.0
// What each record does to the rows. One function a record type, a table in front.
//
// Who may be closed: a row of `recipient` is there while its recipient is open, so a record for a closed one finds no row, and
// that is the no-op of CLUSTER 1. A RESULT finds its row only under the attempt that it names (CLUSTER 4): deliveries that stay
// with us have attempt 0. Held recipients take results too: the try was under way when they were held.
#include "queue_fold_apply.h"

#include "base/must.h"

enum { BODIES_OF_RECORD_MAX = 256 }; // body.id = index * 256 + n-th of the record

void fold_count(struct apply *a, enum queue_ledger counter, int64_t n)
{
	a->fold->stage.delta[counter] += n;
}

void fold_repeat(struct apply *a)
{
	fold_count(a, LEDGER_REPEATS, 1);
	a->answer->repeats++;
}

// --- Coming in ---

void fold_bind_text(sqlite3_stmt *stmt, int parameter, struct str s)
{
	if (s.n)
		db_bind_str(stmt, parameter, s);
	else
		db_bind_null(stmt, parameter);
}

enum err_code fold_add_recipient(struct apply *a, const struct guid *guid, const struct record_recipient *r, int64_t next_try_ms,
	struct str held)
{
	sqlite3_stmt *stmt = fold_stmt(a->db, SQL_RECIPIENT_ADD);
	db_bind_blob(stmt, 1, guid_bytes(guid));
	db_bind_i64(stmt, 2, r->number);
	db_bind_i64(stmt, 3, next_try_ms);
	db_bind_i64(stmt, 4, r->target);
	db_bind_i64(stmt, 5, r->notify);
	db_bind_str(stmt, 6, r->destination);
	db_bind_str(stmt, 7, r->address);
	db_bind_str(stmt, 8, r->key);
	fold_bind_text(stmt, 9, r->original);
	fold_bind_text(stmt, 10, r->orcpt);
	fold_bind_text(stmt, 11, r->mailbox_id);
	fold_bind_text(stmt, 12, r->detail);
	fold_bind_text(stmt, 13, r->list);
	fold_bind_text(stmt, 14, held);
	db_bind_i64(stmt, 15, held.n ? DDL_QUEUE_HELD : DDL_QUEUE_WAITS);
	fold_bind_text(stmt, 16, r->stands_for);
	return db_run(a->db, stmt, a->err);
}

enum err_code fold_add_also(struct apply *a, const struct guid *guid, uint32_t number, const struct record_also *also,
	int64_t *noted_inout)
{
	sqlite3_stmt *stmt = fold_bind_row(a, SQL_ALSO_ADD, guid, number);
	db_bind_str(stmt, 3, also->key);
	db_bind_str(stmt, 4, also->address);
	db_bind_i64(stmt, 5, also->notify);
	fold_bind_text(stmt, 6, also->orcpt);
	enum err_code code = db_run(a->db, stmt, a->err);
	*noted_inout += code == ERR_OK ? db_changes(a->db) : 0;
	return code;
}

// *added_out is false when the guid has a row already.
static enum err_code add_message(struct apply *a, const struct record_enter *e, int64_t body_id, bool *added_out)
{
	sqlite3_stmt *stmt = fold_stmt(a->db, SQL_MESSAGE_ADD);
	db_bind_blob(stmt, 1, guid_bytes(&e->guid));
	db_bind_blob(stmt, 2, guid_bytes(&e->root));
	if (!guid_is_zero(&e->parent))
		db_bind_blob(stmt, 3, guid_bytes(&e->parent));
	db_bind_i64(stmt, 4, e->kind);
	db_bind_i64(stmt, 5, e->flags);
	db_bind_str(stmt, 6, e->sender);
	db_bind_str(stmt, 7, e->envid);
	db_bind_str(stmt, 8, e->source);
	db_bind_i64(stmt, 9, e->received_ms);
	db_bind_i64(stmt, 10, (int64_t)e->body_bytes);
	db_bind_blob(stmt, 11, e->digest);
	db_bind_i64(stmt, 12, body_id);
	db_bind_i64(stmt, 13, (int64_t)e->recipients.n);
	db_bind_i64(stmt, 14, e->recipients.v[e->recipients.n - 1].number);
	enum err_code code = db_run(a->db, stmt, a->err);
	*added_out = code == ERR_OK && db_changes(a->db) == 1;
	return code;
}

static enum err_code add_body(struct apply *a, int64_t id, struct str body)
{
	sqlite3_stmt *stmt = fold_stmt(a->db, SQL_BODY_ADD);
	db_bind_i64(stmt, 1, id);
	db_bind_blob(stmt, 2, body);
	return db_run(a->db, stmt, a->err);
}

static sqlite3_stmt *bind_guid(struct apply *a, enum fold_sql statement, const struct guid *guid)
{
	sqlite3_stmt *stmt = fold_stmt(a->db, statement);
	db_bind_blob(stmt, 1, guid_bytes(guid));
	return stmt;
}

enum err_code fold_is_there(struct apply *a, sqlite3_stmt *stmt, bool *there_out)
{
	enum db_step step = db_step(a->db, stmt, a->err);
	if (step == DB_FAILED)
		return a->err->code;
	*there_out = step == DB_ROW;
	db_reset(stmt);
	return ERR_OK;
}

// A part of a list is expanded at once by who made it; its row is for the case that this one is no more.
static bool is_part(const struct record_recipient *r)
{
	return r->target == RECORD_TO_EXPAND && r->detail.n > 0 && chr_is_digit(r->detail.p[0]);
}

static int64_t first_try_ms(const struct record_recipient *r, int64_t at_ms)
{
	return is_part(r) ? at_ms + RECORD_PART_DELAY_MS : at_ms;
}

// For the scheduler: the recipients themselves while there is room, else word that rows wait.
static void stage_arrival(struct apply *a, const struct record_enter *e, int64_t body_id, struct str body)
{
	struct fold_stage *stage = &a->fold->stage;
	if (is_part(&e->recipients.v[0]) || !a->fold->sink.has_room(a->fold->sink.self, e->body_bytes)) {
		for (size_t i = 0; i < e->recipients.n; i++)
			fold_stage_due(a->fold, e->recipients.v[i].destination, first_try_ms(&e->recipients.v[i],
				e->received_ms));
		return;
	}
	struct item_message *message = item_message_new(e, body_id, body);
	for (size_t i = 0; i < e->recipients.n; i++) {
		struct item *item = item_new(message, &e->recipients.v[i]);
		item->next_try_ms = e->received_ms;
		*stage->arrived_tail = item;
		stage->arrived_tail = &item->next;
	}
	item_message_drop(&message);
}

enum err_code fold_note_more(struct apply *a, const struct guid *guid, int64_t n)
{
	sqlite3_stmt *stmt = bind_guid(a, SQL_MESSAGE_NOTED, guid);
	db_bind_i64(stmt, 2, n);
	return db_run(a->db, stmt, a->err);
}

// Addresses whose copy is there for another one.
static enum err_code add_also(struct apply *a, const struct record_enter *e)
{
	int64_t noted = 0;
	enum err_code code = ERR_OK;
	for (size_t i = 0; i < e->recipients.n && code == ERR_OK; i++) {
		const struct record_recipient *r = &e->recipients.v[i];
		for (size_t k = 0; k < r->also.n && code == ERR_OK; k++)
			code = fold_add_also(a, &e->guid, r->number, &r->also.v[k], &noted);
	}
	return code || noted == 0 ? code : fold_note_more(a, &e->guid, noted);
}

static enum err_code enter_cancelled(struct apply *a, const struct record_enter *e)
{
	fold_count(a, LEDGER_ACCEPTED, (int64_t)e->recipients.n);
	fold_count(a, LEDGER_CANCELLED, (int64_t)e->recipients.n);
	if (e->flags & RECORD_FLAG_SPOOL)
		fold_stage_body(a->fold, &e->guid);
	return ERR_OK;
}

static enum err_code enter(struct apply *a, const struct record_enter *e)
{
	bool cancelled = false, added;
	enum err_code code = ERR_OK;
	bool spool = e->flags & RECORD_FLAG_SPOOL;
	struct str body = spool ? STR_NONE : str_upto(a->bodies, (size_t)e->body_bytes);
	if (!spool && (body.n != e->body_bytes || a->bodies_n >= BODIES_OF_RECORD_MAX))
		return err_set(a->err, ERR_CORRUPT, "ENTER %llu: its body has not come with it",
			(unsigned long long)a->entry->index);
	a->bodies = str_from(a->bodies, body.n);
	int64_t body_id = spool ? 0 : (int64_t)a->entry->index * BODIES_OF_RECORD_MAX + a->bodies_n++;
	if (a->fold->tombstones + a->fold->stage.tombstones > 0)
		code = fold_is_there(a, bind_guid(a, SQL_TOMBSTONE_THERE, &e->guid), &cancelled);
	if (code || cancelled)
		return code ? code : enter_cancelled(a, e);
	code = add_message(a, e, body_id, &added);
	if (code || !added) {
		if (code == ERR_OK)
			fold_repeat(a);
		return code;
	}
	for (size_t i = 0; i < e->recipients.n && code == ERR_OK; i++)
		code = fold_add_recipient(a, &e->guid, &e->recipients.v[i], first_try_ms(&e->recipients.v[i], e->received_ms),
			e->held);
	if (code == ERR_OK)
		code = add_also(a, e);
	if (code == ERR_OK && !spool)
		code = add_body(a, body_id, body);
	if (code)
		return code;
	fold_count(a, e->kind == RECORD_ACCEPTED ? LEDGER_ACCEPTED : LEDGER_GENERATED, (int64_t)e->recipients.n);
	fold_count(a, LEDGER_QUEUED, (int64_t)e->recipients.n);
	if (e->held.n == 0)
		stage_arrival(a, e, body_id, body);
	return ERR_OK;
}

static enum err_code apply_enter(struct apply *a, const struct record *record)
{
	a->answer->counted = record->enter.recipients.n;
	return enter(a, &record->enter);
}

static bool has_guid(const struct record_refs *refs, const struct guid *guid)
{
	for (size_t i = 0; i < refs->n; i++)
		if (guid_eq(&refs->v[i].guid, guid))
			return true;
	return false;
}

// Messages that a record begets count when what it says of their parent counted: else they were entered when it was said first.
enum err_code fold_enter_begotten(struct apply *a, const struct record_enters *begets, const struct record_refs *counted)
{
	enum err_code code = ERR_OK;
	for (size_t i = 0; i < begets->n && code == ERR_OK; i++) {
		const struct record_enter *e = &begets->v[i];
		if (has_guid(counted, &e->parent)) {
			code = enter(a, e);
		} else {
			a->bodies = str_from(a->bodies, e->flags & RECORD_FLAG_SPOOL ? 0 : (size_t)e->body_bytes);
			fold_repeat(a);
		}
	}
	return code;
}

// --- Going out ---

static enum err_code run_on_guid(struct apply *a, enum fold_sql statement, const struct guid *guid)
{
	return db_run(a->db, bind_guid(a, statement, guid), a->err);
}

static enum err_code note_ended(struct apply *a, const struct guid *guid, const struct fold_ended *ended)
{
	sqlite3_stmt *stmt = bind_guid(a, SQL_ENDED_ADD, guid);
	db_bind_str(stmt, 2, ended->who);
	db_bind_str(stmt, 3, ended->detail);
	return db_run(a->db, stmt, a->err);
}

// What a message was, of which no recipient is open any more.
struct ended_message {
	int64_t body_id, flags, noted;
};

static enum err_code end_message(struct apply *a, const struct guid *guid, const struct ended_message *m)
{
	enum err_code code = run_on_guid(a, SQL_MESSAGE_END, guid);
	if (code == ERR_OK && m->noted)
		code = run_on_guid(a, SQL_ENDED_END, guid);
	if (code == ERR_OK && m->noted)
		code = run_on_guid(a, SQL_ALSO_END, guid);
	if (code)
		return code;
	if (m->flags & RECORD_FLAG_SPOOL) {
		fold_stage_body(a->fold, guid);
		return ERR_OK;
	}
	sqlite3_stmt *stmt = fold_stmt(a->db, SQL_BODY_END);
	db_bind_i64(stmt, 1, m->body_id);
	return db_run(a->db, stmt, a->err);
}

enum err_code fold_close_recipients(struct apply *a, const struct guid *guid, int64_t n, const struct fold_ended *ended)
{
	if (n == 0)
		return ERR_OK;
	fold_count(a, LEDGER_QUEUED, -n);
	sqlite3_stmt *stmt = bind_guid(a, SQL_MESSAGE_OPEN, guid);
	enum db_step step = db_step(a->db, stmt, a->err);
	if (step == DB_FAILED)
		return a->err->code;
	bool there = step == DB_ROW, ends = there && db_col_i64(stmt, 0) <= n;
	struct ended_message m = {0};
	if (there)
		m = (struct ended_message){db_col_i64(stmt, 1), db_col_i64(stmt, 2), db_col_i64(stmt, 3)};
	db_reset(stmt);
	if (!there) // a damaged row: its recipients had no message
		return ERR_OK;
	if (ends)
		return end_message(a, guid, &m);
	stmt = bind_guid(a, SQL_MESSAGE_LESS, guid);
	db_bind_i64(stmt, 2, n);
	db_bind_i64(stmt, 3, ended != NULL);
	enum err_code code = db_run(a->db, stmt, a->err);
	return code || ended == NULL ? code : note_ended(a, guid, ended);
}

static enum err_code apply_cancel(struct apply *a, const struct record *record)
{
	const struct guid *guid = &record->cancel.guid;
	bool there = false;
	enum err_code code = fold_is_there(a, bind_guid(a, SQL_MESSAGE_THERE, guid), &there);
	if (code)
		return code;
	if (!there) {
		sqlite3_stmt *stmt = fold_stmt(a->db, SQL_TOMBSTONE_ADD);
		db_bind_blob(stmt, 1, guid_bytes(guid));
		db_bind_i64(stmt, 2, (int64_t)a->entry->index);
		code = db_run(a->db, stmt, a->err);
		if (code == ERR_OK && db_changes(a->db) == 0)
			fold_repeat(a);
		else if (code == ERR_OK)
			a->fold->stage.tombstones++;
		return code;
	}
	sqlite3_stmt *stmt = fold_stmt(a->db, SQL_RECIPIENT_CANCEL);
	db_bind_blob(stmt, 1, guid_bytes(guid));
	code = db_run(a->db, stmt, a->err);
	if (code)
		return code;
	int64_t n = db_changes(a->db);
	a->answer->counted = (size_t)n;
	fold_count(a, LEDGER_CANCELLED, n);
	fold_stage_gone(a->fold, guid, 0);
	return fold_close_recipients(a, guid, n, NULL);
}

static enum queue_ledger counter_of(enum record_outcome outcome)
{
	switch (outcome) {
	case RECORD_DELIVERED:
		return LEDGER_DELIVERED;
	case RECORD_RELAYED:
		return LEDGER_RELAYED;
	case RECORD_BOUNCED:
		return LEDGER_BOUNCED;
	case RECORD_EXPIRED:
		return LEDGER_EXPIRED;
	case RECORD_DISCARDED:
		return LEDGER_DISCARDED;
	case RECORD_SUPPRESSED:
		return LEDGER_SUPPRESSED;
	case RECORD_DEFERRED:
		break;
	}
	unreachable("outcome that ends a recipient");
}

sqlite3_stmt *fold_bind_row(struct apply *a, enum fold_sql statement, const struct guid *guid, uint32_t number)
{
	sqlite3_stmt *stmt = fold_stmt(a->db, statement);
	db_bind_blob(stmt, 1, guid_bytes(guid));
	db_bind_i64(stmt, 2, number);
	return stmt;
}

static enum err_code defer(struct apply *a, const struct record_one_result *r, uint64_t attempt, bool *counted_out)
{
	sqlite3_stmt *stmt = fold_bind_row(a, SQL_RECIPIENT_DEFER, &r->guid, r->number);
	db_bind_i64(stmt, 3, (int64_t)attempt);
	db_bind_i64(stmt, 4, r->next_try_ms);
	db_bind_i64(stmt, 5, r->waited_s);
	db_bind_str(stmt, 6, r->reply);
	enum db_step step = db_step(a->db, stmt, a->err);
	if (step == DB_FAILED)
		return a->err->code;
	*counted_out = step == DB_ROW;
	if (step == DB_ROW && db_col_i64(stmt, 1) == DDL_QUEUE_WAITS)
		fold_stage_due(a->fold, db_col_str(stmt, 0), r->next_try_ms);
	db_reset(stmt);
	return ERR_OK;
}

static enum err_code end_recipient(struct apply *a, const struct record_one_result *r, uint64_t attempt, bool *counted_out)
{
	sqlite3_stmt *stmt = fold_bind_row(a, SQL_RECIPIENT_END, &r->guid, r->number);
	db_bind_i64(stmt, 3, (int64_t)attempt);
	enum err_code code = db_run(a->db, stmt, a->err);
	*counted_out = code == ERR_OK && db_changes(a->db) == 1;
	return code;
}

enum err_code fold_who_ends(struct apply *a, const struct guid *guid, uint32_t number, struct fold_ended *ended_out)
{
	sqlite3_stmt *stmt = fold_bind_row(a, SQL_RECIPIENT_WHO, guid, number);
	enum db_step step = db_step(a->db, stmt, a->err);
	if (step == DB_FAILED)
		return a->err->code;
	bool of_list = number >> RECORD_PART_BITS || (step == DB_ROW && !db_col_is_null(stmt, 2));
	if (step == DB_ROW && !of_list)
		*ended_out =
			(struct fold_ended){arena_dup(a->arena, db_col_str(stmt, 0)), arena_dup(a->arena, db_col_str(stmt, 1))};
	db_reset(stmt);
	return arena_overflowed(a->arena) ? err_set(a->err, ERR_LIMIT, "a record with long addresses") : ERR_OK;
}

static enum err_code one_result(struct apply *a, const struct record_one_result *r, uint64_t attempt, bool *counted_out)
{
	struct fold_ended ended = {.who = STR_NONE};
	enum err_code code = ERR_OK;
	if (r->outcome == RECORD_DEFERRED)
		return defer(a, r, attempt, counted_out);
	if (r->outcome != RECORD_DELIVERED) // a mailbox has its delivery key
		code = fold_who_ends(a, &r->guid, r->number, &ended);
	if (code == ERR_OK)
		code = end_recipient(a, r, attempt, counted_out);
	if (code || !*counted_out)
		return code;
	fold_count(a, counter_of(r->outcome), 1);
	return fold_close_recipients(a, &r->guid, 1, ended.who.n ? &ended : NULL);
}

static enum err_code close_attempt(struct apply *a, uint64_t attempt, int64_t n)
{
	if (attempt == 0 || n == 0)
		return ERR_OK;
	sqlite3_stmt *stmt = fold_stmt(a->db, SQL_ATTEMPT_LESS);
	db_bind_i64(stmt, 1, (int64_t)attempt);
	db_bind_i64(stmt, 2, n);
	enum err_code code = db_run(a->db, stmt, a->err);
	if (code)
		return code;
	stmt = fold_stmt(a->db, SQL_ATTEMPT_END);
	db_bind_i64(stmt, 1, (int64_t)attempt);
	return db_run(a->db, stmt, a->err);
}

static enum err_code apply_result(struct apply *a, const struct record *record)
{
	const struct record_result *result = &record->result;
	struct record_refs counted = {arena_array(a->arena, result->results.n, sizeof *counted.v), 0};
	if (counted.v == NULL)
		return err_set(a->err, ERR_LIMIT, "RESULT with %zu recipients", result->results.n);
	enum err_code code = ERR_OK;
	for (size_t i = 0; i < result->results.n && code == ERR_OK; i++) {
		const struct record_one_result *r = &result->results.v[i];
		bool one_counted = false;
		code = one_result(a, r, result->attempt, &one_counted);
		if (one_counted)
			counted.v[counted.n++] = (struct record_ref){r->guid, r->number};
		else if (code == ERR_OK)
			fold_repeat(a);
	}
	a->answer->counted = counted.n;
	if (code == ERR_OK)
		code = close_attempt(a, result->attempt, (int64_t)result->results.n); // also those that were deleted meanwhile
	return code ? code : fold_enter_begotten(a, &result->begets, &counted);
}

enum err_code fold_more_recipients(struct apply *a, const struct guid *guid, int64_t n, uint32_t last)
{
	fold_count(a, LEDGER_EXPANDED_INTO, n);
	fold_count(a, LEDGER_QUEUED, n);
	sqlite3_stmt *stmt = bind_guid(a, SQL_MESSAGE_MORE, guid);
	db_bind_i64(stmt, 2, n);
	db_bind_i64(stmt, 3, last);
	return db_run(a->db, stmt, a->err);
}

static enum err_code apply_expand(struct apply *a, const struct record *record)
{
	const struct record_expand *x = &record->expand;
	struct fold_ended ended = {.who = STR_NONE};
	// a list has a message of its own now
	enum err_code code = x->begets.n ? fold_who_ends(a, &x->guid, x->number, &ended) : ERR_OK;
	if (code)
		return code;
	sqlite3_stmt *stmt = fold_bind_row(a, SQL_RECIPIENT_END, &x->guid, x->number);
	db_bind_i64(stmt, 3, 0);
	code = db_run(a->db, stmt, a->err);
	if (code)
		return code;
	if (db_changes(a->db) == 0) {
		fold_repeat(a);
		return ERR_OK;
	}
	a->answer->counted = 1;
	fold_count(a, LEDGER_EXPANDED, 1);
	fold_stage_gone(a->fold, &x->guid, x->number);
	for (size_t i = 0; i < x->into.n && code == ERR_OK; i++) {
		code = fold_add_recipient(a, &x->guid, &x->into.v[i], x->at_ms, STR_NONE);
		fold_stage_due(a->fold, x->into.v[i].destination, x->at_ms);
	}
	int64_t n = (int64_t)x->into.n;
	if (code == ERR_OK && n > 0)
		code = fold_more_recipients(a, &x->guid, n, x->into.v[n - 1].number);
	struct record_ref parent = {x->guid, x->number};
	if (code == ERR_OK)
		code = fold_close_recipients(a, &x->guid, 1, ended.who.n ? &ended : NULL);
	return code ? code : fold_enter_begotten(a, &x->begets, &(struct record_refs){&parent, 1});
}

static enum err_code (*const table[])(struct apply *a, const struct record *record) = {
	[RECORD_ENTER] = apply_enter,
	[RECORD_CANCEL] = apply_cancel,
	[RECORD_EXPAND] = apply_expand,
	[RECORD_ATTEMPT] = fold_apply_attempt,
	[RECORD_RESULT] = apply_result,
	[RECORD_HOLD] = fold_apply_hold,
	[RECORD_RELEASE] = fold_apply_release,
	[RECORD_DELETE] = fold_apply_delete,
	[RECORD_WARNED] = fold_apply_warned,
	[RECORD_FEATURES] = fold_apply_features,
	[RECORD_POLICY] = fold_apply_policy,
	[RECORD_RETIRED] = fold_apply_retired,
	[RECORD_ROUTE] = fold_apply_route,
	[RECORD_MEND] = fold_apply_mend,
	[RECORD_REQUEUE] = fold_apply_requeue,
};

enum err_code fold_apply(void *self, struct db *db, const struct cluster_entry *entry, struct arena *arena, struct err *err)
{
	struct queue_fold_answer nobody = {0};
	struct record record;
	struct apply a = {.fold = self, .db = db, .entry = entry, .answer = entry->answer ? entry->answer : &nobody,
		.arena = arena,
		.bodies = entry->body, .err = err};
	enum err_code code = record_decode(arena, entry->record, &record, err);
	if (code == ERR_OK) {
		a.answer->counted = 0; // an undone batch is applied again
		a.answer->repeats = 0;
		code = table[record.type](&a, &record);
	}
	return code;
}
