// SPDX-License-Identifier: Apache-2.0
// What records do to rows that are there: tries, rests, other ways, removals; and records about the log itself.
#include "queue_fold_apply.h"

// --- Trying, resting, removing ---

enum err_code fold_apply_attempt(struct apply *a, const struct record *record)
{
	const struct record_attempt *t = &record->attempt;
	int64_t taken = 0;
	for (size_t i = 0; i < t->refs.n; i++) {
		sqlite3_stmt *stmt = fold_bind_row(a, SQL_RECIPIENT_TAKE, &t->refs.v[i].guid, t->refs.v[i].number);
		db_bind_i64(stmt, 3, (int64_t)a->entry->index);
		enum err_code code = db_run(a->db, stmt, a->err);
		if (code)
			return code;
		bool took = db_changes(a->db) == 1;
		taken += took;
		if (!took)
			fold_repeat(a);
		if (a->answer->took)
			a->answer->took[i] = took;
	}
	a->answer->counted = (size_t)taken;
	if (taken == 0)
		return ERR_OK;
	sqlite3_stmt *stmt = fold_stmt(a->db, SQL_ATTEMPT_ADD);
	db_bind_i64(stmt, 1, (int64_t)a->entry->index);
	db_bind_str(stmt, 2, t->destination);
	db_bind_i64(stmt, 3, t->at_ms);
	db_bind_i64(stmt, 4, t->validity_ms);
	db_bind_i64(stmt, 5, taken);
	return db_run(a->db, stmt, a->err);
}

enum err_code fold_apply_hold(struct apply *a, const struct record *record)
{
	const struct record_hold *h = &record->hold;
	struct str reason =
		arena_printf(a->arena, "held by %.*s: %.*s", STR_FMT(h->who.n ? h->who : STR("the queue")), STR_FMT(h->why));
	sqlite3_stmt *stmt = fold_bind_row(a, SQL_RECIPIENT_HOLD, &h->guid, h->number);
	db_bind_str(stmt, 3, reason);
	enum err_code code = db_run(a->db, stmt, a->err);
	if (code)
		return code;
	a->answer->counted = (size_t)db_changes(a->db);
	if (a->answer->counted == 0)
		fold_repeat(a);
	fold_stage_gone(a->fold, &h->guid, h->number);
	return ERR_OK;
}

enum err_code fold_apply_release(struct apply *a, const struct record *record)
{
	const struct record_release *r = &record->release;
	sqlite3_stmt *stmt = fold_bind_row(a, SQL_RECIPIENT_RELEASE, &r->guid, r->number);
	db_bind_i64(stmt, 3, r->at_ms);
	enum db_step step;
	while ((step = db_step(a->db, stmt, a->err)) == DB_ROW) {
		a->answer->counted++;
		fold_stage_due(a->fold, db_col_str(stmt, 0), r->at_ms);
	}
	if (step == DB_FAILED)
		return a->err->code;
	db_reset(stmt);
	if (a->answer->counted == 0)
		fold_repeat(a);
	return ERR_OK;
}

enum err_code fold_apply_delete(struct apply *a, const struct record *record)
{
	const struct record_delete *d = &record->delete;
	struct fold_ended ended = {.who = STR_NONE};
	enum err_code code = d->number ? fold_who_ends(a, &d->guid, d->number, &ended) : ERR_OK;
	if (code == ERR_OK)
		code = db_run(a->db, fold_bind_row(a, SQL_RECIPIENT_REMOVE, &d->guid, d->number), a->err);
	if (code)
		return code;
	int64_t n = db_changes(a->db);
	a->answer->counted = (size_t)n;
	if (n == 0)
		fold_repeat(a);
	fold_count(a, LEDGER_DELETED, n);
	fold_stage_gone(a->fold, &d->guid, d->number);
	return fold_close_recipients(a, &d->guid, n, ended.who.n ? &ended : NULL);
}

// Only of one that waits: an ATTEMPT that has it has said where to, and its RESULT says what came of that.
static enum err_code one_route(struct apply *a, const struct record_one_route *r, int64_t at_ms)
{
	sqlite3_stmt *stmt = fold_bind_row(a, SQL_RECIPIENT_ROUTE, &r->guid, r->number);
	db_bind_i64(stmt, 3, at_ms);
	db_bind_i64(stmt, 4, r->target);
	db_bind_str(stmt, 5, r->destination);
	db_bind_str(stmt, 6, r->address);
	db_bind_str(stmt, 7, r->key);
	fold_bind_text(stmt, 8, r->original);
	fold_bind_text(stmt, 9, r->mailbox_id);
	fold_bind_text(stmt, 10, r->detail);
	fold_bind_text(stmt, 11, r->stands_for);
	enum db_step step = db_step(a->db, stmt, a->err);
	if (step == DB_FAILED)
		return a->err->code;
	bool waits = step == DB_ROW && db_col_i64(stmt, 0) == DDL_QUEUE_WAITS;
	db_reset(stmt);
	if (step == DB_ROW)
		a->answer->counted++;
	else
		fold_repeat(a);
	if (waits)
		fold_stage_due(a->fold, r->destination, at_ms);
	return ERR_OK;
}

enum err_code fold_apply_route(struct apply *a, const struct record *record)
{
	enum err_code code = ERR_OK;
	for (size_t i = 0; i < record->route.routes.n && code == ERR_OK; i++)
		code = one_route(a, &record->route.routes.v[i], record->route.at_ms);
	return code;
}

// --- Mending ---

static enum err_code free_files(struct apply *a)
{
	sqlite3_stmt *stmt = fold_stmt(a->db, SQL_MEND_SPOOLED);
	enum db_step step;
	struct guid guid = {{0}};
	db_bind_i64(stmt, 1, RECORD_FLAG_SPOOL);
	while ((step = db_step(a->db, stmt, a->err)) == DB_ROW)
		if (fold_guid(stmt, 0, &guid, a->err) == ERR_OK)
			fold_stage_body(a->fold, &guid);
	if (step == DB_FAILED)
		return a->err->code;
	db_reset(stmt);
	return ERR_OK;
}

enum err_code fold_apply_mend(struct apply *a, const struct record *record)
{
	(void)record;
	static const enum fold_sql before[] = {SQL_MEND_OPEN, SQL_MEND_ATTEMPTS},
				   after[] = {SQL_MEND_BODIES, SQL_MEND_MESSAGES, SQL_MEND_ENDED, SQL_MEND_ALSO};
	enum err_code code = db_run(a->db, fold_stmt(a->db, SQL_MEND_RECIPIENTS), a->err);
	if (code)
		return code;
	int64_t n = db_changes(a->db);
	a->answer->counted = (size_t)n;
	fold_count(a, LEDGER_DELETED, n);
	fold_count(a, LEDGER_QUEUED, -n);
	for (size_t i = 0; i < sizeof before / sizeof *before && code == ERR_OK; i++)
		code = db_run(a->db, fold_stmt(a->db, before[i]), a->err);
	if (code == ERR_OK)
		code = free_files(a);
	for (size_t i = 0; i < sizeof after / sizeof *after && code == ERR_OK; i++)
		code = db_run(a->db, fold_stmt(a->db, after[i]), a->err);
	return code;
}

enum err_code fold_apply_warned(struct apply *a, const struct record *record)
{
	const struct record_warned *w = &record->warned;
	struct record_refs counted = {arena_array(a->arena, w->refs.n, sizeof *counted.v), 0};
	if (counted.v == NULL)
		return err_set(a->err, ERR_LIMIT, "WARNED with %zu recipients", w->refs.n);
	for (size_t i = 0; i < w->refs.n; i++) {
		enum err_code code =
			db_run(a->db, fold_bind_row(a, SQL_RECIPIENT_WARNED, &w->refs.v[i].guid, w->refs.v[i].number), a->err);
		if (code)
			return code;
		if (db_changes(a->db) == 1)
			counted.v[counted.n++] = w->refs.v[i];
		else
			fold_repeat(a);
	}
	a->answer->counted = counted.n;
	return fold_enter_begotten(a, &w->begets, &counted);
}

// --- About the log itself ---

enum err_code fold_apply_features(struct apply *a, const struct record *record)
{
	struct buf lines;
	buf_init(&lines, 8192);
	for (size_t i = 0; i < record->features.may.n; i++)
		buf_printf(&lines, "%u %u\n", record->features.may.v[i].type, record->features.may.v[i].version);
	sqlite3_stmt *stmt = fold_stmt(a->db, SQL_FEATURES);
	db_bind_str(stmt, 1, buf_str(&lines));
	enum err_code code = db_run(a->db, stmt, a->err);
	buf_fini(&lines);
	return code;
}

enum err_code fold_apply_policy(struct apply *a, const struct record *record)
{
	sqlite3_stmt *stmt = fold_stmt(a->db, SQL_POLICY);
	db_bind_i64(stmt, 1, record->policy.copies);
	return db_run(a->db, stmt, a->err);
}

// The last record of a group; nothing is left to change.
enum err_code fold_apply_retired(struct apply *a, const struct record *record)
{
	(void)a;
	(void)record;
	return ERR_OK;
}
