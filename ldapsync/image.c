// SPDX-License-Identifier: Apache-2.0
// The writer of shadow.db and credentials.db.
//
// A full load walks the source once: each entry is looked up by uuid and compared as bytes (data and keys); equal means nothing to do. Its
// row id is marked in a bitmap, and at the end rows without a mark are deleted. All in one transaction: WAL frames of a load that was
// killed are never seen. Readers (directory_shadow.c, credentials.c) never write or checkpoint; this connection does both (SQLite before
// 3.51.3 can corrupt a WAL that two connections write and checkpoint).
//
// A change from a server is a transaction of one entry or some, committed without a checkpoint: the WAL is folded in when it has grown.
// How many keys of a kind there are is counted by a full load and carried on from there, because a count takes longer than a change.
#include "image.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/must.h"
#include "keys.h"
#include "schema/entry.h"

enum { GET_STATE, SET_STATE, CONFIRM, FIND, INSERT, UPDATE, DELETE, ADD_KEY, DROP_KEY, ALL, CONFLICTS, CLAIMANTS, COUNT_KEYS, HAS_KEY, STATEMENTS };

static const char *const sql[STATEMENTS] = {
	[GET_STATE] = "SELECT version, complete, source, source_ok, cookie, confirmed_ms, entries FROM state",
	[SET_STATE] = "INSERT OR REPLACE INTO state VALUES(1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)", // columns as in ddl_shadow.c
	[CONFIRM] = "UPDATE state SET source_ok = ?1, confirmed_ms = ?2",
	[FIND] = "SELECT id, keys, data FROM entry WHERE uuid = ?1",
	[INSERT] = "INSERT INTO entry(uuid, keys, data) VALUES(?1, ?2, ?3) ON CONFLICT(uuid) DO NOTHING",
	[UPDATE] = "UPDATE entry SET keys = ?2, data = ?3 WHERE id = ?1",
	[DELETE] = "DELETE FROM entry WHERE id = ?1",
	[ADD_KEY] = "INSERT INTO key(kind, key, id) VALUES(?1, ?2, ?3)",
	[DROP_KEY] = "DELETE FROM key WHERE kind = ?1 AND key = ?2 AND id = ?3",
	[ALL] = "SELECT id, keys FROM entry",
	[CONFLICTS] = "SELECT kind, key FROM key GROUP BY kind, key HAVING count(*) > 1",
	[CLAIMANTS] = "SELECT e.data FROM key k JOIN entry e ON e.id = k.id WHERE k.kind = ?1 AND k.key = ?2 LIMIT 4",
	[COUNT_KEYS] = "SELECT count(DISTINCT key) FROM key WHERE kind = ?1",
	[HAS_KEY] = "SELECT 1 FROM key WHERE kind = ?1 AND key = ?2",
};

enum { CACHE_KIB = 8192, TRUNCATE_WAL_BYTES = 1 << 20, DROPPED_BYTES_MAX = 512 << 20, KINDS = 256 };

struct image {
	struct db *db;
	struct buf text;       // what image_state lends out
	uint8_t *seen;         // owned; a bit for each row id
	size_t seen_bytes;
	struct buf dropped;    // counted keys that an entry lost in this transaction, in the form of keys.h
	enum image_begin how;
	uint64_t keys[KINDS];  // of each kind (a byte, keys.h), as far as known
	bool known[KINDS];
	uint64_t new_keys[KINDS]; // written in this transaction
	struct image_counters counters;
	uint64_t version;      // before the transaction
};

// Readers of the group map -shm and take locks in it; SQLite made both with the mode of the database.
static enum err_code open_to_group(const char *path, struct err *err)
{
	static const char *const suffixes[] = {"-wal", "-shm"};
	for (size_t i = 0; i < 2; i++) {
		char *name;
		must(asprintf(&name, "%s%s", path, suffixes[i]) > 0);
		int rc = chmod(name, 0660);
		enum err_code code = rc ? err_errno(err, "chmod %s", name) : ERR_OK;
		free(name);
		if (code)
			return code;
	}
	return ERR_OK;
}

enum err_code image_open(const char *path, const struct db_schema *schema, struct image **image_out, struct err *err)
{
	struct db_options options = {.path = path, .mode = DB_CREATE, .schema = schema, .sql = sql, .n_sql = STATEMENTS, .keep_wal = true,
		.cache_kib = CACHE_KIB, .file_mode = 0640};
	struct db *db;
	enum err_code code = db_open(&options, &db, err);
	if (code)
		return code;
	code = db_prepare(db, err);
	// What is here can be had again from the source: a power cut may cost the last commits, never a whole file, and a change is visible before
	// any disk has turned. Should the two files come back from different moments, their cookies say so.
	if (code == ERR_OK)
		code = db_exec(db, "PRAGMA synchronous = NORMAL", err);
	// A write makes -wal and -shm exist, so that readers can open the file while nobody writes.
	if (code == ERR_OK)
		code = db_begin(db, err);
	if (code == ERR_OK)
		code = db_exec(db, "DELETE FROM state WHERE id = 0", err);
	if (code == ERR_OK)
		code = db_commit(db, err);
	if (code == ERR_OK)
		code = open_to_group(path, err);
	if (code) {
		db_rollback(db);
		db_close(&db);
		return code;
	}
	struct image *image = calloc(1, sizeof *image);
	must(image != NULL);
	image->db = db;
	buf_init(&image->text, 2 * IMAGE_COOKIE_BYTES_MAX);
	buf_init(&image->dropped, DROPPED_BYTES_MAX);
	*image_out = image;
	return ERR_OK;
}

void image_close(struct image **image_in)
{
	struct image *image = *image_in;
	if (image == NULL)
		return;
	db_rollback(image->db);
	db_close(&image->db);
	buf_fini(&image->text);
	buf_fini(&image->dropped);
	free(image->seen);
	free(image);
	*image_in = NULL;
}

enum err_code image_state(struct image *image, struct image_state *state_out, struct err *err)
{
	sqlite3_stmt *get = db_stmt(image->db, GET_STATE);
	struct image_state state = {0};
	enum db_step step = db_step(image->db, get, err);
	if (step == DB_FAILED)
		return err->code;
	if (step == DB_ROW) {
		struct str source = db_col_str(get, 2), cookie = db_col_blob(get, 4);
		buf_clear(&image->text);
		buf_add(&image->text, source);
		buf_add(&image->text, cookie);
		must(!image->text.overflow); // image_commit has checked
		state = (struct image_state){
			.version = (uint64_t)db_col_i64(get, 0),
			.complete = db_col_i64(get, 1) != 0,
			.source = str_upto(buf_str(&image->text), source.n),
			.source_ok = db_col_i64(get, 3) != 0,
			.cookie = str_from(buf_str(&image->text), source.n),
			.confirmed_ms = db_col_i64(get, 5),
			.entries = (uint64_t)db_col_i64(get, 6),
		};
	}
	db_reset(get);
	*state_out = state;
	return ERR_OK;
}

// The kinds of keys that are counted; NULL for the others.
static struct image_gone *counted(struct image *image, enum directory_key kind)
{
	switch (kind) {
	case DIRECTORY_ADDRESS:
		return &image->counters.recipients;
	case DIRECTORY_DOMAIN:
		return &image->counters.domains;
	case DIRECTORY_HOST:
		return &image->counters.hosts;
	case DIRECTORY_LOGIN:
		return &image->counters.logins;
	case DIRECTORY_MAILBOX:
		return &image->counters.mailboxes;
	case DIRECTORY_UUID:
	case DIRECTORY_DN:
	case DIRECTORY_PIN:
	case DIRECTORY_ROUTE:
	case DIRECTORY_ACCESS:
	case DIRECTORY_CLASS_OF_SERVICE:
		return NULL;
	}
	unreachable("kind of a key");
}

static const enum directory_key counted_kinds[] = {DIRECTORY_ADDRESS, DIRECTORY_DOMAIN, DIRECTORY_HOST, DIRECTORY_LOGIN, DIRECTORY_MAILBOX};
enum { COUNTED_KINDS = sizeof counted_kinds / sizeof *counted_kinds };

static enum err_code count_keys(struct image *image, enum directory_key kind, uint64_t *n_out, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(image->db, COUNT_KEYS);
	db_bind_i64(stmt, 1, kind);
	if (db_step(image->db, stmt, err) == DB_FAILED)
		return err->code;
	*n_out = (uint64_t)db_col_i64(stmt, 0);
	db_reset(stmt);
	return ERR_OK;
}

static enum err_code count_before(struct image *image, struct err *err)
{
	for (size_t i = 0; i < COUNTED_KINDS; i++) {
		enum err_code code = count_keys(image, counted_kinds[i], &counted(image, counted_kinds[i])->before, err);
		if (code)
			return code;
	}
	return ERR_OK;
}

// For a change: known from before, else counted now, when the keys that it lost are gone.
static enum err_code count_where_lost(struct image *image, struct err *err)
{
	for (size_t i = 0; i < COUNTED_KINDS; i++) {
		enum directory_key kind = counted_kinds[i];
		struct image_gone *gone = counted(image, kind);
		if (image->how == IMAGE_LOAD || gone->gone == 0)
			continue;
		gone->before = image->keys[kind];
		enum err_code code = image->known[kind] ? ERR_OK : count_keys(image, kind, &gone->before, err);
		if (code)
			return code;
		if (!image->known[kind])
			gone->before += gone->gone;
	}
	return ERR_OK;
}

static void carry_counts_on(struct image *image)
{
	for (size_t i = 0; i < COUNTED_KINDS; i++) {
		enum directory_key kind = counted_kinds[i];
		const struct image_gone *gone = counted(image, kind);
		if (image->how == IMAGE_LOAD || gone->before > 0) {
			image->keys[kind] = gone->before;
			image->known[kind] = true;
		}
		image->keys[kind] += image->new_keys[kind];
		image->keys[kind] -= gone->gone < image->keys[kind] ? gone->gone : image->keys[kind];
	}
}

enum err_code image_begin(struct image *image, enum image_begin how, struct err *err)
{
	struct image_state state;
	enum err_code code = image_state(image, &state, err);
	if (code)
		return code;
	image->how = how;
	image->version = state.version;
	image->counters = (struct image_counters){.entries = state.entries};
	memset(image->new_keys, 0, sizeof image->new_keys);
	buf_clear(&image->dropped);
	if (image->seen)
		memset(image->seen, 0, image->seen_bytes);
	code = db_begin(image->db, err);
	return code || how == IMAGE_CHANGE ? code : count_before(image, err);
}

bool image_has_begun(const struct image *image)
{
	return db_in_transaction(image->db);
}

void image_abort(struct image *image)
{
	db_rollback(image->db);
	buf_release(&image->dropped);
}

// Marks a row; false when it was marked.
static bool mark(struct image *image, int64_t id)
{
	size_t byte = (size_t)id / 8;
	uint8_t bit = (uint8_t)(1u << (id % 8));
	if (byte >= image->seen_bytes) {
		size_t bytes = image->seen_bytes ? image->seen_bytes : 4096;
		while (bytes <= byte)
			bytes *= 2;
		image->seen = realloc(image->seen, bytes);
		must(image->seen != NULL);
		memset(image->seen + image->seen_bytes, 0, bytes - image->seen_bytes);
		image->seen_bytes = bytes;
	}
	bool fresh = (image->seen[byte] & bit) == 0;
	image->seen[byte] |= bit;
	return fresh;
}

static bool is_marked(const struct image *image, int64_t id)
{
	size_t byte = (size_t)id / 8;
	return byte < image->seen_bytes && (image->seen[byte] & (1u << (id % 8)));
}

static enum err_code write_keys(struct image *image, size_t statement, struct str keys, int64_t id, struct err *err)
{
	enum directory_key kind;
	struct str key;
	while (keys_next(&keys, &kind, &key)) {
		sqlite3_stmt *stmt = db_stmt(image->db, statement);
		image->new_keys[kind] += statement == ADD_KEY;
		db_bind_i64(stmt, 1, kind);
		db_bind_blob(stmt, 2, key);
		db_bind_i64(stmt, 3, id);
		enum err_code code = db_run(image->db, stmt, err);
		if (code)
			return code;
	}
	return ERR_OK;
}

// An entry loses keys: another one may have them now, or get them in this load. Asked at the end.
static enum err_code drop_keys(struct image *image, struct str keys, int64_t id, struct err *err)
{
	enum directory_key kind;
	struct str key, rest = keys;
	while (keys_next(&rest, &kind, &key)) {
		struct buf one;
		if (!counted(image, kind))
			continue;
		buf_init(&one, KEYS_KEY_BYTES_MAX + 16);
		keys_add(&one, kind, key);
		if (!buf_add(&image->dropped, buf_str(&one)))
			counted(image, kind)->gone++; // more than can be remembered is more than the brake lets through
		buf_fini(&one);
	}
	return write_keys(image, DROP_KEY, keys, id, err);
}

static enum err_code count_gone(struct image *image, struct err *err)
{
	struct str rest = buf_str(&image->dropped), key;
	enum directory_key kind;
	while (keys_next(&rest, &kind, &key)) {
		sqlite3_stmt *stmt = db_stmt(image->db, HAS_KEY);
		db_bind_i64(stmt, 1, kind);
		db_bind_blob(stmt, 2, key);
		enum db_step step = db_step(image->db, stmt, err);
		if (step == DB_FAILED)
			return err->code;
		counted(image, kind)->gone += step == DB_DONE;
		db_reset(stmt);
	}
	buf_release(&image->dropped);
	return ERR_OK;
}

// Unless the uuid is there.
static enum err_code insert(struct image *image, const struct guid *uuid, struct str keys, struct str data, bool *inserted_out, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(image->db, INSERT);
	db_bind_blob(stmt, 1, guid_bytes(uuid));
	db_bind_blob(stmt, 2, keys);
	db_bind_blob(stmt, 3, data);
	enum err_code code = db_run(image->db, stmt, err);
	*inserted_out = code == ERR_OK && db_changes(image->db) > 0;
	if (code || !*inserted_out)
		return code;
	int64_t id = db_last_rowid(image->db);
	mark(image, id);
	image->counters.added++;
	return write_keys(image, ADD_KEY, keys, id, err);
}

static bool has_moved(struct str old_data, struct str data)
{
	struct entry before, after;
	return entry_decode(old_data, &before) && entry_decode(data, &after) && (before.classes & ENTRY_USER) &&
	       !str_eq(entry_first(&before, ATTR_MAIL_HOST), entry_first(&after, ATTR_MAIL_HOST));
}

static bool has_password(const struct entry *entry)
{
	return entry_has(entry, ATTR_USER_PASSWORD) || entry_has(entry, ATTR_PH_SCRAM) || entry_has(entry, ATTR_PH_APP_PASSWORD);
}

static bool has_lost_passwords(struct str old_data, struct str data)
{
	struct entry before, after;
	return entry_decode(old_data, &before) && entry_decode(data, &after) && has_password(&before) && !has_password(&after);
}

// find stands on the row.
static enum err_code change(struct image *image, sqlite3_stmt *find, struct str keys, struct str data, struct err *err)
{
	int64_t id = db_col_i64(find, 0);
	struct str old_keys = db_col_blob(find, 1), old_data = db_col_blob(find, 2);
	if (str_eq(old_keys, keys) && str_eq(old_data, data)) {
		image->counters.unchanged++;
		return ERR_OK;
	}
	image->counters.changed++;
	image->counters.moved += has_moved(old_data, data);
	image->counters.disarmed += has_lost_passwords(old_data, data);
	enum err_code code = str_eq(old_keys, keys) ? ERR_OK : drop_keys(image, old_keys, id, err);
	if (code == ERR_OK && !str_eq(old_keys, keys))
		code = write_keys(image, ADD_KEY, keys, id, err);
	db_reset(find);
	if (code)
		return code;
	sqlite3_stmt *update = db_stmt(image->db, UPDATE);
	db_bind_i64(update, 1, id);
	db_bind_blob(update, 2, keys);
	db_bind_blob(update, 3, data);
	return db_run(image->db, update, err);
}

enum err_code image_put(struct image *image, const struct guid *uuid, struct str keys, struct str data, enum image_put *put_out,
	struct err *err)
{
	enum err_code code = ERR_OK;
	enum image_put put = IMAGE_STORED;
	bool inserted = false;
	if (image->counters.entries == 0) { // a first load: hardly one is there
		code = insert(image, uuid, keys, data, &inserted, err);
		if (code || inserted) {
			*put_out = IMAGE_STORED;
			return code;
		}
	}
	sqlite3_stmt *find = db_stmt(image->db, FIND);
	db_bind_blob(find, 1, guid_bytes(uuid));
	switch (db_step(image->db, find, err)) {
	case DB_FAILED:
		return err->code;
	case DB_DONE:
		code = insert(image, uuid, keys, data, &inserted, err);
		break;
	case DB_ROW:
		put = mark(image, db_col_i64(find, 0)) || image->how == IMAGE_CHANGE ? IMAGE_STORED : IMAGE_DUPLICATE;
		code = put == IMAGE_STORED ? change(image, find, keys, data, err) : ERR_OK;
		break;
	}
	db_reset(find);
	if (code == ERR_OK)
		*put_out = put;
	return code;
}

// The row of a uuid; *id_out is 0 when there is none.
static enum err_code find_row(struct image *image, const struct guid *uuid, struct buf *keys, struct buf *data, int64_t *id_out, struct err *err)
{
	sqlite3_stmt *find = db_stmt(image->db, FIND);
	db_bind_blob(find, 1, guid_bytes(uuid));
	switch (db_step(image->db, find, err)) {
	case DB_FAILED:
		return err->code;
	case DB_DONE:
		*id_out = 0;
		break;
	case DB_ROW:
		*id_out = db_col_i64(find, 0);
		if ((keys && !buf_add(keys, db_col_blob(find, 1))) || (data && !buf_add(data, db_col_blob(find, 2)))) {
			db_reset(find);
			return err_set(err, ERR_LIMIT, "an entry is larger than it may be");
		}
		break;
	}
	db_reset(find);
	return ERR_OK;
}

enum err_code image_keep(struct image *image, const struct guid *uuid, struct err *err)
{
	int64_t id;
	enum err_code code = find_row(image, uuid, NULL, NULL, &id, err);
	if (code == ERR_OK && id)
		mark(image, id);
	return code;
}

enum err_code image_get(struct image *image, const struct guid *uuid, struct buf *data, struct err *err)
{
	int64_t id;
	return find_row(image, uuid, NULL, data, &id, err);
}

static enum err_code delete_row(struct image *image, int64_t id, struct str keys, struct err *err)
{
	image->counters.deleted++;
	enum err_code code = drop_keys(image, keys, id, err);
	if (code)
		return code;
	sqlite3_stmt *delete = db_stmt(image->db, DELETE);
	db_bind_i64(delete, 1, id);
	return db_run(image->db, delete, err);
}

enum err_code image_drop(struct image *image, const struct guid *uuid, struct err *err)
{
	struct buf keys;
	int64_t id;
	buf_init(&keys, KEYS_BYTES_MAX);
	enum err_code code = find_row(image, uuid, &keys, NULL, &id, err);
	if (code == ERR_OK && id)
		code = delete_row(image, id, buf_str(&keys), err);
	buf_fini(&keys);
	return code;
}

static enum err_code delete_unseen(struct image *image, struct err *err)
{
	sqlite3_stmt *all = db_stmt(image->db, ALL);
	enum err_code code = ERR_OK;
	enum db_step step = DB_DONE;
	while (code == ERR_OK && (step = db_step(image->db, all, err)) == DB_ROW)
		if (!is_marked(image, db_col_i64(all, 0)))
			code = delete_row(image, db_col_i64(all, 0), db_col_blob(all, 1), err);
	if (step == DB_FAILED)
		return err->code;
	db_reset(all);
	return code;
}

static enum err_code write_state(struct image *image, const struct image_state *state, struct err *err)
{
	const struct image_counters *counters = &image->counters;
	bool changed = counters->added || counters->changed || counters->deleted;
	if (state->source.n + state->cookie.n > 2 * IMAGE_COOKIE_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "cookie of %zu bytes", state->cookie.n);
	sqlite3_stmt *set = db_stmt(image->db, SET_STATE);
	db_bind_i64(set, 1, (int64_t)(image->version + (changed || image->version == 0)));
	db_bind_i64(set, 2, state->complete);
	db_bind_str(set, 3, state->source);
	db_bind_i64(set, 4, state->source_ok);
	db_bind_blob(set, 5, state->cookie);
	db_bind_i64(set, 6, state->confirmed_ms);
	db_bind_i64(set, 7, (int64_t)(counters->entries + counters->added - counters->deleted));
	return db_run(image->db, set, err);
}

// The WAL of a large load is folded in and cut at once; readers that hold a snapshot only make it wait for a later commit.
static void checkpoint(struct image *image)
{
	struct err ignored;
	(void)!db_checkpoint(image->db, db_wal_bytes(image->db) > TRUNCATE_WAL_BYTES, &ignored);
}

static void checkpoint_if_large(struct image *image)
{
	if (db_wal_bytes(image->db) > TRUNCATE_WAL_BYTES)
		checkpoint(image);
}

enum err_code image_fold(struct image *image, struct err *err)
{
	return db_checkpoint(image->db, true, err);
}

enum err_code image_settle(struct image *image, bool purge, struct image_counters *counters_out, struct err *err)
{
	enum err_code code = purge ? delete_unseen(image, err) : ERR_OK;
	if (code == ERR_OK)
		code = count_gone(image, err);
	if (code == ERR_OK)
		code = count_where_lost(image, err);
	if (code)
		image_abort(image);
	else
		*counters_out = image->counters;
	return code;
}

enum err_code image_commit(struct image *image, const struct image_state *state, struct err *err)
{
	enum err_code code = write_state(image, state, err);
	if (code) {
		db_rollback(image->db);
		return code;
	}
	code = db_commit(image->db, err);
	if (code)
		return code;
	carry_counts_on(image);
	if (image->how == IMAGE_LOAD)
		checkpoint(image);
	else
		checkpoint_if_large(image);
	return ERR_OK;
}

// The DNs that claim a key, as "a; b".
static enum err_code claimants(struct image *image, int kind, struct str key, struct buf *dns, size_t *n_out, struct err *err)
{
	size_t n = 0;
	sqlite3_stmt *stmt = db_stmt(image->db, CLAIMANTS);
	enum db_step step;
	db_bind_i64(stmt, 1, kind);
	db_bind_blob(stmt, 2, key);
	while ((step = db_step(image->db, stmt, err)) == DB_ROW) {
		struct entry entry;
		n++;
		if (entry_decode(db_col_blob(stmt, 0), &entry)) {
			buf_add(dns, dns->n ? STR("; ") : STR_NONE);
			buf_add(dns, entry.dn);
		}
	}
	if (step == DB_FAILED)
		return err->code;
	db_reset(stmt);
	*n_out = n;
	return ERR_OK;
}

enum err_code image_conflicts(struct image *image, void (*each)(void *context, int kind, struct str key, struct str dns), void *context,
	struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(image->db, CONFLICTS);
	struct buf dns;
	enum err_code code = ERR_OK;
	enum db_step step = DB_DONE;
	buf_init(&dns, 8 * ENTRY_DN_BYTES_MAX);
	while (code == ERR_OK && (step = db_step(image->db, stmt, err)) == DB_ROW) {
		int kind = (int)db_col_i64(stmt, 0);
		buf_clear(&dns);
		size_t n;
		code = claimants(image, kind, db_col_blob(stmt, 1), &dns, &n, err);
		if (code == ERR_OK)
			each(context, kind, db_col_blob(stmt, 1), buf_str(&dns));
	}
	if (step == DB_FAILED)
		code = err->code;
	else
		db_reset(stmt);
	buf_fini(&dns);
	return code;
}

enum err_code image_conflicts_of(struct image *image, struct str keys, void (*each)(void *context, int kind, struct str key, struct str dns),
	void *context, struct err *err)
{
	enum directory_key kind;
	struct str key;
	struct buf dns;
	enum err_code code = ERR_OK;
	buf_init(&dns, 8 * ENTRY_DN_BYTES_MAX);
	while (code == ERR_OK && keys_next(&keys, &kind, &key)) {
		size_t n = 0;
		buf_clear(&dns);
		code = claimants(image, (int)kind, key, &dns, &n, err);
		if (code == ERR_OK && n > 1)
			each(context, (int)kind, key, buf_str(&dns));
	}
	buf_fini(&dns);
	return code;
}

enum err_code image_confirm(struct image *image, bool source_ok, int64_t confirmed_ms, struct err *err)
{
	enum err_code code = db_begin(image->db, err);
	if (code)
		return code;
	sqlite3_stmt *stmt = db_stmt(image->db, CONFIRM);
	db_bind_i64(stmt, 1, source_ok);
	db_bind_i64(stmt, 2, confirmed_ms);
	code = db_run(image->db, stmt, err);
	if (code) {
		db_rollback(image->db);
		return code;
	}
	code = db_commit(image->db, err);
	if (code == ERR_OK)
		checkpoint_if_large(image);
	return code;
}
