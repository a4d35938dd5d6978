// SPDX-License-Identifier: Apache-2.0
// The rows of `key`: written, dropped, counted.
//
// A first load writes several for each entry, all over the table: DNs and mailbox ids are hashes. One by one each would fetch a
// page and push another out of the cache. So they wait in memory, up to RUN_BYTES_MAX, and are written in order of the table,
// many to a statement; the second run goes through the pages of the first once. Whoever needs the table before that writes what
// waits (write_run): only an entry that comes twice does.
//
// How many keys of a kind there are is counted by a load of a file and carried on from there, because a count takes longer than a
// change. What an entry gains or loses alone is noted when it happens (balance.h), not while a table is filled for the first
// time.
#include "image_parts.h"

#include <stdlib.h>

#include "base/must.h"
#include "keys.h"

enum { RUN_BYTES_MAX = 4 << 20, RUN_KEYS_MAX = 128 << 10, HEAD_BYTES = 8 };

struct waiting {
	uint64_t prefix; // kind and the first bytes of the key, in the order of the table
	uint32_t at, n;  // in bytes: the key
	int64_t id;
};

struct image_run {
	struct waiting *v; // owned
	size_t n, room;
	struct buf bytes;
};

// --- Rows ---

static struct str key_of(const struct image_run *run, const struct waiting *one)
{
	return str_of(run->bytes.p + one->at, one->n);
}

static enum directory_key kind_of(const struct waiting *one)
{
	return (enum directory_key)(one->prefix >> 56);
}

static int compare_waiting(const void *a_in, const void *b_in, void *run)
{
	const struct waiting *a = a_in, *b = b_in;
	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	int order = str_cmp(key_of(run, a), key_of(run, b));
	return order ? order : a->id < b->id ? -1 : a->id > b->id;
}

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

// What waits, into the table.
static enum err_code write_run(struct image *image, struct err *err)
{
	struct image_run *run = image->run;
	enum err_code code = ERR_OK;
	size_t i = 0;
	if (run == NULL || run->n == 0)
		return ERR_OK;
	qsort_r(run->v, run->n, sizeof *run->v, compare_waiting, run);
	for (; code == ERR_OK && i + IMAGE_ADD_KEYS_ROWS <= run->n; i += IMAGE_ADD_KEYS_ROWS) {
		sqlite3_stmt *stmt = db_stmt(image->db, IMAGE_ADD_KEYS);
		for (int row = 0; row < IMAGE_ADD_KEYS_ROWS; row++)
			bind_row(stmt, row, kind_of(&run->v[i + (size_t)row]), key_of(run, &run->v[i + (size_t)row]),
				run->v[i + (size_t)row].id);
		code = db_run(image->db, stmt, err);
	}
	for (; code == ERR_OK && i < run->n; i++)
		code = run_row(image, IMAGE_ADD_KEY, kind_of(&run->v[i]), key_of(run, &run->v[i]), run->v[i].id, err);
	run->n = 0;
	buf_clear(&run->bytes);
	return code;
}

static struct image_run *run_new(void)
{
	struct image_run *run = calloc(1, sizeof *run);
	must(run != NULL);
	buf_init(&run->bytes, RUN_BYTES_MAX);
	return run;
}

static uint64_t prefix_of(enum directory_key kind, struct str key)
{
	uint64_t prefix = (uint8_t)kind;
	for (size_t i = 0; i < HEAD_BYTES - 1; i++)
		prefix = prefix << 8 | (i < key.n ? (uint8_t)key.p[i] : 0);
	return prefix;
}

static enum err_code wait_in_run(struct image *image, enum directory_key kind, struct str key, int64_t id, struct err *err)
{
	if (image->run == NULL)
		image->run = run_new();
	struct image_run *run = image->run;
	if (run->n == RUN_KEYS_MAX || key.n > RUN_BYTES_MAX - run->bytes.n) {
		enum err_code code = write_run(image, err);
		if (code)
			return code;
	}
	if (run->n == run->room) {
		run->room = run->room ? 2 * run->room : 1024;
		run->v = reallocarray(run->v, run->room, sizeof *run->v);
		must(run->v != NULL);
	}
	run->v[run->n++] = (struct waiting){prefix_of(kind, key), (uint32_t)run->bytes.n, (uint32_t)key.n, id};
	must(buf_add(&run->bytes, key));
	return ERR_OK;
}

void image_forget_keys(struct image *image)
{
	struct image_run *run = image->run;
	image->run = NULL;
	if (run == NULL)
		return;
	free(run->v);
	buf_fini(&run->bytes);
	free(run);
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
	enum err_code code = old_keys.n ? write_run(image, err) : ERR_OK;
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
			code = image->is_first ? wait_in_run(image, kind, key, id, err)
					       : run_row(image, IMAGE_ADD_KEY, kind, key, id, err);
	}
	return code;
}

enum err_code image_settle_keys(struct image *image, struct err *err)
{
	enum err_code code = write_run(image, err);
	return code ? code : count_gone(image, err);
}
