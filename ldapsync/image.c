// SPDX-License-Identifier: Apache-2.0
// The writer of shadow.db and credentials.db: the file, its transactions, its state.
//
// A full load walks the source once: each entry is looked up by uuid and compared as bytes (data and keys); equal means nothing
// to do. Its row id is marked in a bitmap, and at the end rows without a mark are deleted. All in one transaction: WAL frames of
// a load that was killed are never seen. Readers (directory_shadow.c, credentials.c) never write or checkpoint; this connection
// does both (SQLite before 3.51.3 can corrupt a WAL that two connections write and checkpoint).
//
// No commit folds the WAL in: that is for when nothing else is to be done (image_checkpoint), because it takes as long as a first
// load's last part, and nobody who asks needs it.
#include "image_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/must.h"

#define ROW "(?,?,?),"
#define ROWS_8 ROW ROW ROW ROW ROW ROW ROW ROW

static const char *const sql[IMAGE_STATEMENTS] = {
	[IMAGE_GET_STATE] = "SELECT version, complete, source, source_ok, cookie, confirmed_ms, entries FROM state",
	[IMAGE_SET_STATE] = "INSERT OR REPLACE INTO state VALUES(1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)", // columns as in ddl_shadow.c
	[IMAGE_CONFIRM] = "UPDATE state SET source_ok = ?1, confirmed_ms = ?2",
	[IMAGE_IS_EMPTY] = "SELECT NOT EXISTS(SELECT 1 FROM entry) AND NOT EXISTS(SELECT 1 FROM key)",
	[IMAGE_FIND] = "SELECT id, keys, data FROM entry WHERE uuid = ?1",
	[IMAGE_INSERT] = "INSERT INTO entry(uuid, keys, data) VALUES(?1, ?2, ?3) ON CONFLICT(uuid) DO NOTHING",
	[IMAGE_UPDATE] = "UPDATE entry SET keys = ?2, data = ?3 WHERE id = ?1",
	[IMAGE_DELETE] = "DELETE FROM entry WHERE id = ?1",
	[IMAGE_ALL] = "SELECT id, uuid, keys, data FROM entry",
	[IMAGE_ADD_KEY] = "INSERT INTO key(kind, key, id) VALUES(?1, ?2, ?3)",
	[IMAGE_ADD_KEYS] = "INSERT INTO key(kind, key, id) VALUES" ROWS_8 ROWS_8 ROWS_8 ROW ROW ROW ROW ROW ROW ROW "(?,?,?)",
	[IMAGE_DROP_KEY] = "DELETE FROM key WHERE kind = ?1 AND key = ?2 AND id = ?3",
	[IMAGE_HAS_KEY] = "SELECT 1 FROM key WHERE kind = ?1 AND key = ?2",
	[IMAGE_COUNT_KEYS] = "SELECT count(DISTINCT key) FROM key WHERE kind = ?1",
	[IMAGE_KEYS_IN_ORDER] = "SELECT kind, key FROM key ORDER BY kind, key",
	[IMAGE_CLAIMANTS] = "SELECT e.data FROM key k JOIN entry e ON e.id = k.id WHERE k.kind = ?1 AND k.key = ?2 LIMIT 4",
	[IMAGE_POLLED] = "SELECT uuid, digest FROM polled ORDER BY uuid",
	[IMAGE_SET_POLLED] = "INSERT OR REPLACE INTO polled VALUES(?1, ?2)",
	[IMAGE_DROP_POLLED] = "DELETE FROM polled WHERE uuid = ?1",
	[IMAGE_CLEAR_POLLED] = "DELETE FROM polled",
};

enum {
	CACHE_KIB = 8192,
	FOLD_WAL_BYTES = 1 << 20,
	TRUNCATE_WAIT_MS = 100,    // twice as long as readers hold a snapshot
	TRUNCATE_AGAIN_MS = 60000, // one that was stopped holds its own for ever
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
	struct db_options options = {.path = path, .mode = DB_CREATE, .schema = schema, .sql = sql, .n_sql = IMAGE_STATEMENTS,
	.keep_wal = true,
		.cache_kib = CACHE_KIB, .file_mode = 0640};
	struct db *db;
	enum err_code code = db_open(&options, &db, err);
	if (code)
		return code;
	code = db_prepare(db, err);
	// What is here can be had again from the source: a power cut may cost the last commits, never a whole file, and a change
	// is visible before any disk has turned. Should the two files come back from different moments, their cookies say so.
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
	const char *name = strrchr(path, '/');
	image->folder = name == NULL ? strdup(".") : strndup(path, name == path ? 1 : (size_t)(name - path));
	must(image->folder != NULL);
	buf_init(&image->doubles, IMAGE_DOUBLES_BYTES_MAX);
	buf_init(&image->text, 2 * IMAGE_COOKIE_BYTES_MAX);
	balance_init(&image->balance, BALANCE_KEYS_MAX);
	image->secret = guid_new();
	*image_out = image;
	return ERR_OK;
}

void image_close(struct image **image_in)
{
	struct image *image = *image_in;
	if (image == NULL)
		return;
	image_abort(image);
	db_close(&image->db);
	buf_fini(&image->text);
	buf_fini(&image->doubles);
	free(image->folder);
	balance_fini(&image->balance);
	free(image->seen);
	free(image);
	*image_in = NULL;
}

// --- State ---

enum err_code image_state(struct image *image, struct image_state *state_out, struct err *err)
{
	sqlite3_stmt *get = db_stmt(image->db, IMAGE_GET_STATE);
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

static enum err_code write_state(struct image *image, const struct image_state *state, struct err *err)
{
	const struct image_counters *counters = &image->counters;
	bool changed = counters->added || counters->changed || counters->deleted;
	if (state->source.n + state->cookie.n > 2 * IMAGE_COOKIE_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "cookie of %zu bytes", state->cookie.n);
	sqlite3_stmt *set = db_stmt(image->db, IMAGE_SET_STATE);
	db_bind_i64(set, 1, (int64_t)(image->version + (changed || image->version == 0)));
	db_bind_i64(set, 2, state->complete);
	db_bind_str(set, 3, state->source);
	db_bind_i64(set, 4, state->source_ok);
	db_bind_blob(set, 5, state->cookie);
	db_bind_i64(set, 6, state->confirmed_ms);
	db_bind_i64(set, 7, (int64_t)(counters->entries + counters->added - counters->deleted));
	return db_run(image->db, set, err);
}

enum err_code image_confirm(struct image *image, bool source_ok, int64_t confirmed_ms, struct err *err)
{
	enum err_code code = db_begin(image->db, err);
	if (code)
		return code;
	sqlite3_stmt *stmt = db_stmt(image->db, IMAGE_CONFIRM);
	db_bind_i64(stmt, 1, source_ok);
	db_bind_i64(stmt, 2, confirmed_ms);
	code = db_run(image->db, stmt, err);
	if (code) {
		db_rollback(image->db);
		return code;
	}
	return db_commit(image->db, err);
}

// --- Transactions ---

static enum err_code is_empty(struct image *image, bool *empty_out, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(image->db, IMAGE_IS_EMPTY);
	if (db_step(image->db, stmt, err) == DB_FAILED)
		return err->code;
	*empty_out = db_col_i64(stmt, 0) != 0;
	db_reset(stmt);
	return ERR_OK;
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
	image->is_first = image->had_waiting = image->knows_doubles = false;
	buf_clear(&image->doubles);
	balance_clear(&image->balance);
	if (image->seen)
		memset(image->seen, 0, image->seen_bytes);
	code = db_begin(image->db, err);
	if (code == ERR_OK && state.entries == 0)
		code = is_empty(image, &image->is_first, err);
	image->counters.is_first = image->is_first;
	return code || how == IMAGE_CHANGE ? code : image_count_keys_before(image, err);
}

bool image_has_begun(const struct image *image)
{
	return db_in_transaction(image->db);
}

const struct balance *image_balance(const struct image *image)
{
	return &image->balance;
}

void image_abort(struct image *image)
{
	db_rollback(image->db);
	image_forget_keys(image);
}

enum err_code image_commit(struct image *image, const struct image_state *state, struct err *err)
{
	enum err_code code = write_state(image, state, err);
	if (code == ERR_OK)
		code = db_commit(image->db, err);
	if (code)
		image_abort(image);
	else
		image_carry_counts_on(image);
	return code;
}

void image_checkpoint(struct image *image)
{
	struct err ignored;
	int64_t now_ms = clock_mono_ms();
	bool is_large = db_wal_bytes(image->db) > FOLD_WAL_BYTES;
	if (image_has_begun(image) || (!is_large && image->how == IMAGE_CHANGE))
		return;
	if (!is_large || now_ms < image->truncate_ms)
		(void)!db_checkpoint(image->db, false, &ignored);
	else if (db_truncate_wal(image->db, TRUNCATE_WAIT_MS, &ignored))
		image->truncate_ms = now_ms + TRUNCATE_AGAIN_MS;
}

enum err_code image_fold(struct image *image, struct err *err)
{
	return db_checkpoint(image->db, true, err);
}
