// SPDX-License-Identifier: Apache-2.0
// REQUEUE: addresses of a message leave copies that they do not lead to any more, and copies come that they lead to now.
//
// A copy is for the address that its row names (its own) and for those in `also`. When its own leaves, the next of these takes
// its place, so that reports name whom they concern; with the last one goes the copy. All that comes is looked for in one pass
// over the message's rows.
#include "queue_fold_apply.h"

#include "base/must.h"

enum { KEY_ARENA_BYTES = 64 << 10 };

struct requeue {
	struct apply *a;
	const struct record_requeue *q;
	struct arena *scratch; // of one key
	int64_t last;          // the highest number that the message has given
	int64_t left, came;
	int64_t noted;         // rows of `also` that came, less those that went
	uint32_t *open;        // by the index in come: the copy's number; 0: it is not open
	uint32_t *buckets;     // 1 + index in come, by hash_target(); the first of several that are the same
	size_t buckets_n;
};

// The highest number that the message has given; 0: there is no such message.
static enum err_code last_number(struct requeue *x)
{
	sqlite3_stmt *stmt = fold_stmt(x->a->db, SQL_MESSAGE_LAST);
	db_bind_blob(stmt, 1, guid_bytes(&x->q->guid));
	enum db_step step = db_step(x->a->db, stmt, x->a->err);
	if (step == DB_FAILED)
		return x->a->err->code;
	x->last = step == DB_ROW ? db_col_i64(stmt, 0) : 0;
	db_reset(stmt);
	return ERR_OK;
}

// --- Leaving ---

// What there is of a copy. Strings are in the record's arena.
struct copy_row {
	bool there, tried;
	int64_t notify;
	struct str own_key, destination;
	int64_t next_try_ms;
	bool waits;
};

static enum err_code read_row(struct requeue *x, uint32_t number, struct copy_row *row_out)
{
	sqlite3_stmt *stmt = fold_bind_row(x->a, SQL_RECIPIENT_LEAVES, &x->q->guid, number);
	enum db_step step = db_step(x->a->db, stmt, x->a->err);
	if (step == DB_FAILED)
		return x->a->err->code;
	*row_out = (struct copy_row){.there = step == DB_ROW};
	if (step == DB_ROW) {
		const struct record_recipient r = {.key = db_col_str(stmt, 0), .original = db_col_str(stmt, 1)};
		arena_reset(x->scratch);
		row_out->own_key = arena_dup(x->a->arena, item_asked_key(x->scratch, &r));
		row_out->tried = db_col_i64(stmt, 2) != 0;
		row_out->notify = db_col_i64(stmt, 3);
		row_out->destination = arena_dup(x->a->arena, db_col_str(stmt, 4));
		row_out->next_try_ms = db_col_i64(stmt, 5);
		row_out->waits = db_col_i64(stmt, 6) == DDL_QUEUE_WAITS;
	}
	db_reset(stmt);
	return arena_overflowed(x->a->arena) ? err_set(x->a->err, ERR_LIMIT, "a REQUEUE with long addresses") : ERR_OK;
}

static enum err_code drop_also(struct requeue *x, uint32_t number, struct str key, bool *dropped_out)
{
	sqlite3_stmt *stmt = fold_bind_row(x->a, SQL_ALSO_DROP, &x->q->guid, number);
	db_bind_str(stmt, 3, key);
	enum err_code code = db_run(x->a->db, stmt, x->a->err);
	*dropped_out = code == ERR_OK && db_changes(x->a->db) == 1;
	x->noted -= *dropped_out;
	return code;
}

// The next address that the copy is for becomes its own; none: *key_out is empty. Its string is in the record's arena.
static enum err_code take_over(struct requeue *x, uint32_t number, struct str *key_out)
{
	sqlite3_stmt *stmt = fold_bind_row(x->a, SQL_ALSO_TAKES_OVER, &x->q->guid, number);
	db_bind_i64(stmt, 3, RECORD_SHARED);
	enum db_step step = db_step(x->a->db, stmt, x->a->err);
	if (step == DB_FAILED)
		return x->a->err->code;
	*key_out = step == DB_ROW ? arena_dup(x->a->arena, db_col_str(stmt, 0)) : STR_NONE;
	db_reset(stmt);
	return ERR_OK;
}

static enum err_code own_leaves(struct requeue *x, uint32_t number, const struct copy_row *row)
{
	struct str heir = STR_NONE;
	bool dropped;
	if (row->notify & RECORD_SHARED_MORE) {
		fold_repeat(x->a);
		return ERR_OK;
	}
	enum err_code code = take_over(x, number, &heir);
	if (code)
		return code;
	if (heir.n) {
		fold_stage_gone(x->a->fold, &x->q->guid, number); // memory has the address that was
		if (row->waits)
			fold_stage_due(x->a->fold, row->destination, row->next_try_ms);
		return drop_also(x, number, heir, &dropped);
	}
	sqlite3_stmt *stmt = fold_bind_row(x->a, SQL_RECIPIENT_END, &x->q->guid, number);
	db_bind_i64(stmt, 3, 0);
	code = db_run(x->a->db, stmt, x->a->err);
	if (code == ERR_OK) {
		x->left++;
		fold_stage_gone(x->a->fold, &x->q->guid, number);
	}
	return code;
}

// Whom an ATTEMPT has stays as it is: its RESULT says what came of it.
static enum err_code leave(struct requeue *x, const struct record_leave *leaves)
{
	struct copy_row row;
	bool dropped = false;
	enum err_code code = read_row(x, leaves->number, &row);
	if (code)
		return code;
	if (row.there && !row.tried && str_eq(row.own_key, leaves->key))
		return own_leaves(x, leaves->number, &row);
	code = drop_also(x, leaves->number, leaves->key, &dropped);
	if (code == ERR_OK && !dropped)
		fold_repeat(x->a);
	return code;
}

// --- Coming ---

static struct str who_of(const struct record_recipient *r)
{
	return r->mailbox_id.n ? r->mailbox_id : r->key;
}

static size_t hash_target(int64_t target, struct str who, struct str detail)
{
	return str_hash(who) * 31 + str_hash(detail) * 17 + (uint64_t)target;
}

// Where the first one in come with this target is in the table, or would be.
static uint32_t *find_target(const struct requeue *x, int64_t target, struct str who, struct str detail)
{
	size_t at = hash_target(target, who, detail) & (x->buckets_n - 1);
	for (; x->buckets[at]; at = (at + 1) & (x->buckets_n - 1)) {
		const struct record_recipient *r = &x->q->come.v[x->buckets[at] - 1];
		if (r->target == target && str_eq(who_of(r), who) && str_eq(r->detail, detail))
			break;
	}
	return &x->buckets[at];
}

static uint32_t *find_come(const struct requeue *x, const struct record_recipient *r)
{
	return find_target(x, r->target, who_of(r), r->detail);
}

static enum err_code look_for_all(struct requeue *x)
{
	const struct record_recipients *come = &x->q->come;
	for (x->buckets_n = 16; x->buckets_n < 2 * come->n;)
		x->buckets_n *= 2;
	x->open = arena_array(x->a->arena, come->n, sizeof *x->open);
	x->buckets = arena_array(x->a->arena, x->buckets_n, sizeof *x->buckets);
	if (x->open == NULL || x->buckets == NULL)
		return err_set(x->a->err, ERR_LIMIT, "REQUEUE with %zu recipients", come->n);
	for (size_t i = 0; i < come->n; i++) {
		uint32_t *bucket = find_come(x, &come->v[i]);
		*bucket = *bucket ? *bucket : (uint32_t)i + 1;
	}
	sqlite3_stmt *stmt = fold_stmt(x->a->db, SQL_RECIPIENT_TARGETS);
	db_bind_blob(stmt, 1, guid_bytes(&x->q->guid));
	enum db_step step;
	while ((step = db_step(x->a->db, stmt, x->a->err)) == DB_ROW) {
		const uint32_t *bucket = find_target(x, db_col_i64(stmt, 1), db_col_str(stmt, 2), db_col_str(stmt, 3));
		if (*bucket && x->open[*bucket - 1] == 0)
			x->open[*bucket - 1] = (uint32_t)db_col_i64(stmt, 0);
	}
	if (step == DB_FAILED)
		return x->a->err->code;
	db_reset(stmt);
	return ERR_OK;
}

static enum err_code has_ended(struct requeue *x, const struct record_recipient *r, bool *ended_out)
{
	sqlite3_stmt *stmt = fold_stmt(x->a->db, SQL_ENDED_THERE);
	db_bind_blob(stmt, 1, guid_bytes(&x->q->guid));
	db_bind_str(stmt, 2, who_of(r));
	db_bind_str(stmt, 3, r->detail);
	return fold_is_there(x->a, stmt, ended_out);
}

static enum err_code too_many(struct requeue *x, uint32_t number, bool *full_out)
{
	sqlite3_stmt *stmt = fold_bind_row(x->a, SQL_ALSO_COUNT, &x->q->guid, number);
	if (db_step(x->a->db, stmt, x->a->err) == DB_FAILED)
		return x->a->err->code;
	*full_out = db_col_i64(stmt, 0) >= RECORD_ALSO_MAX;
	db_reset(stmt);
	return ERR_OK;
}

static enum err_code add_notify(struct requeue *x, uint32_t number, const struct copy_row *row, int64_t flag)
{
	if (row->notify & flag)
		return ERR_OK;
	sqlite3_stmt *stmt = fold_bind_row(x->a, SQL_RECIPIENT_SHARE, &x->q->guid, number);
	db_bind_i64(stmt, 3, flag);
	return db_run(x->a->db, stmt, x->a->err);
}

// It is open: for this address, too, from now on.
static enum err_code share(struct requeue *x, uint32_t number, const struct record_recipient *r)
{
	struct copy_row row;
	bool full = false;
	enum err_code code = read_row(x, number, &row);
	fold_repeat(x->a); // no copy comes
	if (code)
		return code;
	arena_reset(x->scratch);
	const struct record_also also = {.key = item_asked_key(x->scratch, r), .address = item_asked(r),
		.notify = r->notify & RECORD_NOTIFY_ALL, .orcpt = r->orcpt};
	if (str_eq(also.key, row.own_key))
		return ERR_OK;
	code = too_many(x, number, &full);
	if (code == ERR_OK && !full)
		code = fold_add_also(x->a, &x->q->guid, number, &also, &x->noted);
	return code ? code : add_notify(x, number, &row, full ? RECORD_SHARED_MORE : RECORD_SHARED);
}

static enum err_code come(struct requeue *x, size_t i)
{
	struct record_recipient r = x->q->come.v[i];
	uint32_t *open = &x->open[*find_come(x, &r) - 1];
	bool ended = false;
	if (*open)
		return share(x, *open, &r);
	enum err_code code = has_ended(x, &r, &ended);
	if (code)
		return code;
	if (ended || x->last + x->came >= UINT32_MAX) {
		fold_repeat(x->a);
		return ERR_OK;
	}
	r.number = *open = (uint32_t)(x->last + ++x->came);
	fold_stage_due(x->a->fold, r.destination, x->q->at_ms);
	return fold_add_recipient(x->a, &x->q->guid, &r, x->q->at_ms, STR_NONE);
}

// --- All of it ---

static enum err_code count(struct requeue *x)
{
	enum err_code code = ERR_OK;
	x->a->answer->counted = (size_t)(x->left + x->came);
	x->a->answer->left = (size_t)x->left;
	fold_count(x->a, LEDGER_EXPANDED, x->left);
	if (x->came)
		code = fold_more_recipients(x->a, &x->q->guid, x->came, (uint32_t)(x->last + x->came));
	if (code == ERR_OK && x->noted)
		code = fold_note_more(x->a, &x->q->guid, x->noted);
	return code ? code : fold_close_recipients(x->a, &x->q->guid, x->left, NULL); // last, for it may end the message
}

static enum err_code run(struct requeue *x)
{
	const struct record_requeue *q = x->q;
	enum err_code code = last_number(x);
	if (code == ERR_OK && x->last == 0)
		fold_repeat(x->a);
	if (code || x->last == 0)
		return code;
	for (size_t i = 0; i < q->leave.n && code == ERR_OK; i++)
		code = leave(x, &q->leave.v[i]);
	if (code == ERR_OK && q->come.n)
		code = look_for_all(x);
	for (size_t i = 0; i < q->come.n && code == ERR_OK; i++)
		code = come(x, i);
	return code ? code : count(x);
}

enum err_code fold_apply_requeue(struct apply *a, const struct record *record)
{
	struct requeue x = {.a = a, .q = &record->requeue, .scratch = arena_new(KEY_ARENA_BYTES)};
	enum err_code code = run(&x);
	arena_free(&x.scratch);
	return code;
}
