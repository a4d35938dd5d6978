// SPDX-License-Identifier: Apache-2.0
// The rows of `key`: written, dropped, counted.
//
// A first load writes several for each entry, all over the table: DNs and mailbox ids are hashes. One by one each would fetch a
// page and push another out of the cache. So they are sorted first (image_sort.h) and written in order of the table, many to a
// statement, each at the end of it. Whoever needs the table before that writes what waits (write_waiting): only an entry that
// comes twice does. Keys with several owners come one behind the other then, and are remembered for image_conflicts.
//
// How many keys of a kind there are is counted by a load of a file and carried on from there, because a count takes longer than a
// change. What an entry gains or loses alone is noted when it happens (balance.h), not while a table is filled for the first
// time.
#include "image_parts.h"

#include <stdlib.h>

#include "base/must.h"
#include "keys.h"

// Rows of the next statement.
struct batch {
	struct image *image;
	size_t n;
	struct {
		enum directory_key kind;
		size_t at, n; // in bytes: the key
		int64_t id;
	} rows[IMAGE_ADD_KEYS_ROWS];
	struct buf bytes;
	enum directory_key kind; // of the last row
	struct buf key;
};

// --- Rows ---

static void bind_row(sqlite3_stmt *stmt, int row, enum directory_key kind, struct str key, int64_t id)
{
	db_bind_i64(stmt, 3 * row + 1, kind);
	db_bind_blob(stmt, 3 * row + 2, key);
	db_bind_i64(stmt, 3 * row + 3, id);
}

static enum err_code run_row(struct image *image, size_t statement, enum directory_key kind, struct str key, int64_t id,
	struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(image->db, statement);
	bind_row(stmt, 0, kind, key, id);
	return db_run(image->db, stmt, err);
}

static struct str key_of(const struct batch *batch, size_t row)
{
	return str_of(batch->bytes.p + batch->rows[row].at, batch->rows[row].n);
}

static enum err_code write_batch(struct batch *batch, struct err *err)
{
	struct image *image = batch->image;
	enum err_code code = ERR_OK;
	if (batch->n == IMAGE_ADD_KEYS_ROWS) {
		sqlite3_stmt *stmt = db_stmt(image->db, IMAGE_ADD_KEYS);
		for (size_t i = 0; i < batch->n; i++)
			bind_row(stmt, (int)i, batch->rows[i].kind, key_of(batch, i), batch->rows[i].id);
		code = db_run(image->db, stmt, err);
	} else {
		for (size_t i = 0; code == ERR_OK && i < batch->n; i++)
			code = run_row(image, IMAGE_ADD_KEY, batch->rows[i].kind, key_of(batch, i), batch->rows[i].id, err);
	}
	batch->n = 0;
	buf_clear(&batch->bytes);
	return code;
}

// The next in order.
static enum err_code add_to_batch(void *context, enum directory_key kind, struct str key, int64_t id, struct err *err)
{
	struct batch *batch = context;
	enum err_code code = batch->n == IMAGE_ADD_KEYS_ROWS ? write_batch(batch, err) : ERR_OK;
	if (batch->kind == kind && str_eq(buf_str(&batch->key), key)) {
		keys_add(&batch->image->doubles, kind, key);
	} else {
		batch->kind = kind;
		buf_clear(&batch->key);
		buf_add(&batch->key, key);
	}
	batch->rows[batch->n].kind = kind;
	batch->rows[batch->n].at = batch->bytes.n;
	batch->rows[batch->n].n = key.n;
	batch->rows[batch->n++].id = id;
	must(buf_add(&batch->bytes, key));
	return code;
}

// What waits, into the table.
static enum err_code write_waiting(struct image *image, struct err *err)
{
	if (image->sort == NULL)
		return ERR_OK;
	struct batch *batch = malloc(sizeof *batch);
	must(batch != NULL);
	batch->image = image;
	batch->n = 0;
	batch->kind = 0;
	buf_init(&batch->bytes, IMAGE_ADD_KEYS_ROWS * KEYS_KEY_BYTES_MAX);
	buf_init(&batch->key, KEYS_KEY_BYTES_MAX);
	enum err_code code = image_sort_drain(image->sort, add_to_batch, batch, err);
	if (code == ERR_OK)
		code = write_batch(batch, err);
	buf_fini(&batch->bytes);
	buf_fini(&batch->key);
	free(batch);
	image_sort_free(&image->sort);
	image->knows_doubles = code == ERR_OK && !image->had_waiting && !image->doubles.overflow;
	image->had_waiting = true;
	return code;
}

static enum err_code wait_for_others(struct image *image, enum directory_key kind, struct str key, int64_t id, struct err *err)
{
	if (image->sort == NULL)
		image->sort = image_sort_new(str_of_c(image->folder));
	return image_sort_add(image->sort, kind, key, id, err);
}

void image_forget_keys(struct image *image)
{
	image_sort_free(&image->sort);
}

// --- Counts ---

// The kinds of keys that are counted; false for the others.
static bool is_counted(enum directory_key kind, enum balance_kind *balance_kind_out)
{
	switch (kind) {
	case DIRECTORY_ADDRESS:
		*balance_kind_out = BALANCE_RECIPIENTS;
		return true;
	case DIRECTORY_DOMAIN:
		*balance_kind_out = BALANCE_DOMAINS;
		return true;
	case DIRECTORY_HOST:
		*balance_kind_out = BALANCE_HOSTS;
		return true;
	case DIRECTORY_LOGIN:
		*balance_kind_out = BALANCE_LOGINS;
		return true;
	case DIRECTORY_MAILBOX:
		*balance_kind_out = BALANCE_MAILBOXES;
		return true;
	case DIRECTORY_UUID:
	case DIRECTORY_DN:
	case DIRECTORY_PIN:
	case DIRECTORY_ROUTE:
	case DIRECTORY_ACCESS:
	case DIRECTORY_CLASS_OF_SERVICE:
		return false;
	}
	unreachable("kind of a key");
}

static struct image_gone *gone_of(struct image *image, enum balance_kind kind)
{
	struct image_counters *counters = &image->counters;
	switch (kind) {
	case BALANCE_RECIPIENTS:
		return &counters->recipients;
	case BALANCE_DOMAINS:
		return &counters->domains;
	case BALANCE_HOSTS:
		return &counters->hosts;
	case BALANCE_MAILBOXES:
		return &counters->mailboxes;
	case BALANCE_LOGINS:
		return &counters->logins;
	case BALANCE_ENTRIES:
	case BALANCE_PLACES:
	case BALANCE_PASSWORDS:
	case BALANCE_KINDS:
		break;
	}
	unreachable("kind of a balance");
}

static const enum directory_key counted_kinds[] = {
	DIRECTORY_ADDRESS, DIRECTORY_DOMAIN, DIRECTORY_HOST, DIRECTORY_LOGIN, DIRECTORY_MAILBOX};
enum { COUNTED_KINDS = sizeof counted_kinds / sizeof *counted_kinds };

static enum balance_kind balance_kind_of(size_t i)
{
	enum balance_kind kind;
	must(is_counted(counted_kinds[i], &kind));
	return kind;
}

static enum err_code count_keys(struct image *image, enum directory_key kind, uint64_t *n_out, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(image->db, IMAGE_COUNT_KEYS);
	db_bind_i64(stmt, 1, kind);
	if (db_step(image->db, stmt, err) == DB_FAILED)
		return err->code;
	*n_out = (uint64_t)db_col_i64(stmt, 0);
	db_reset(stmt);
	return ERR_OK;
}

enum err_code image_count_keys_before(struct image *image, struct err *err)
{
	for (size_t i = 0; i < COUNTED_KINDS; i++) {
		enum err_code code = count_keys(image, counted_kinds[i], &gone_of(image, balance_kind_of(i))->before, err);
		if (code)
			return code;
	}
	return ERR_OK;
}

// What is gone; and for a change, of how many: known from before, else counted now, when the changes are in the table.
static enum err_code count_gone(struct image *image, struct err *err)
{
	for (size_t i = 0; i < COUNTED_KINDS; i++) {
		enum balance_kind kind = balance_kind_of(i);
		struct image_gone *gone = gone_of(image, kind);
		gone->gone = image->balance.gone[kind];
		if (image->how == IMAGE_LOAD || gone->gone == 0)
			continue;
		gone->before = image->keys[kind];
		enum err_code code = image->known[kind] ? ERR_OK : count_keys(image, counted_kinds[i], &gone->before, err);
		if (code)
			return code;
		if (!image->known[kind])
			gone->before -= (uint64_t)image->balance.net[kind];
	}
	return ERR_OK;
}

void image_carry_counts_on(struct image *image)
{
	for (size_t i = 0; i < COUNTED_KINDS; i++) {
		enum balance_kind kind = balance_kind_of(i);
		const struct image_gone *gone = gone_of(image, kind);
		if (image->how == IMAGE_LOAD || gone->gone > 0) {
			image->keys[kind] = gone->before;
			image->known[kind] = true;
		}
		image->keys[kind] += (uint64_t)image->balance.net[kind];
		if (image->is_first) // whose keys were not noted
			image->known[kind] = false;
	}
	image_forget_keys(image);
}

// --- Changes ---

void image_note(struct image *image, enum balance_kind kind, struct str key, bool gained)
{
	if (image->is_first)
		return;
	uint64_t hash = balance_hash(&image->secret, kind, key);
	if (gained)
		balance_gained(&image->balance, kind, hash);
	else
		balance_lost(&image->balance, kind, hash);
}

// An entry gets a key, or has lost it: if no other has it, the key came or went.
static enum err_code note_key(struct image *image, enum directory_key kind, struct str key, bool gained, struct err *err)
{
	enum balance_kind balance_kind;
	if (image->is_first || !is_counted(kind, &balance_kind))
		return ERR_OK;
	sqlite3_stmt *stmt = db_stmt(image->db, IMAGE_HAS_KEY);
	db_bind_i64(stmt, 1, kind);
	db_bind_blob(stmt, 2, key);
	enum db_step step = db_step(image->db, stmt, err);
	if (step == DB_FAILED)
		return err->code;
	db_reset(stmt);
	if (step == DB_DONE)
		image_note(image, balance_kind, key, gained);
	return ERR_OK;
}

static bool has_key(struct str keys, enum directory_key kind, struct str key)
{
	enum directory_key other_kind;
	struct str other;
	while (keys_next(&keys, &other_kind, &other))
		if (other_kind == kind && str_eq(other, key))
			return true;
	return false;
}

enum err_code image_change_keys(struct image *image, struct str old_keys, struct str keys, int64_t id, struct err *err)
{
	enum directory_key kind;
	struct str key, rest = old_keys;
	enum err_code code = old_keys.n ? write_waiting(image, err) : ERR_OK;
	while (code == ERR_OK && keys_next(&rest, &kind, &key)) {
		if (has_key(keys, kind, key))
			continue;
		code = run_row(image, IMAGE_DROP_KEY, kind, key, id, err);
		if (code == ERR_OK)
			code = note_key(image, kind, key, false, err);
	}
	rest = keys;
	while (code == ERR_OK && keys_next(&rest, &kind, &key)) {
		if (has_key(old_keys, kind, key))
			continue;
		code = note_key(image, kind, key, true, err);
		if (code == ERR_OK)
			code = image->is_first ? wait_for_others(image, kind, key, id, err)
					       : run_row(image, IMAGE_ADD_KEY, kind, key, id, err);
	}
	return code;
}

enum err_code image_settle_keys(struct image *image, struct err *err)
{
	enum err_code code = write_waiting(image, err);
	return code ? code : count_gone(image, err);
}
