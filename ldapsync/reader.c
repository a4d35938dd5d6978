// SPDX-License-Identifier: Apache-2.0
// Reading shadow.db or credentials.db beside a writer in another process, or without any.
//
// A reader's connection only reads: it never checkpoints (that is the writer's alone) and never makes a file. It holds a lock of
// the WAL only between begin and end, so that the writer can fold the WAL in whenever no decision is under way.
//
// The file is mapped, and somebody may cut it: whatever touches it is between mapped_begin and mapped_end (base/mapped.h), and
// what was found while a page was missing counts for nothing.
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mapped.h"
#include "base/must.h"
#include "directory_source.h"
#include "dn.h"

enum { BEGIN, END, FIND, FIND_UUID, FIND_MORE, NEXT_KEY, EACH, STATE, STATEMENTS };

static const char *const sql[STATEMENTS] = {
	[BEGIN] = "BEGIN",
	[END] = "ROLLBACK", // it only read
	[FIND] = "SELECT e.data FROM key k JOIN entry e ON e.id = k.id WHERE k.kind = ?1 AND k.key = ?2 ORDER BY k.id",
	[FIND_UUID] = "SELECT data FROM entry WHERE uuid = ?1",
	[FIND_MORE] = ("SELECT e.data FROM key k JOIN entry e ON e.id = k.id WHERE k.kind = ?1 AND k.key = ?2"
		       " ORDER BY k.id LIMIT 2 OFFSET ?3"),
	[NEXT_KEY] = "SELECT key FROM key WHERE kind = ?1 AND key >= ?2 ORDER BY key LIMIT 1",
	[EACH] = "SELECT data FROM entry",
	[STATE] = "SELECT version, complete, source = 'ldif', source_ok, confirmed_ms, entries FROM state",
};

enum { RETRY_MS = 1000, RETRY_OPEN_MS = 20, CACHE_KIB = 512, RECENT_MAX = 16, NEXT_MAX = 64, RECENT_BYTES_MAX = 16 << 10 };
static const uint64_t MMAP_BYTES = (uint64_t)4 << 30;

// Domains and hosts are asked for at every recipient and hardly change: the last ones are kept, for one version of the shadow.
struct recent {
	enum directory_key kind;
	uint64_t version; // 0: free
	struct buf key, blob;
	struct entry entry; // of blob
};

// What came behind a key. Asked at every recipient of tables that are mostly empty.
struct recent_next {
	enum directory_key kind;
	uint64_t version; // 0: free
	struct buf from, key;
};

// Has a kind any keys?
struct kind_state {
	uint64_t version; // 0: not known
	bool is_empty;
};

struct reader {
	char *path; // owned
	const struct db_schema *schema;
	struct db *db;         // NULL: not open
	dev_t device;          // of the open file
	ino_t inode;
	int64_t look_again_ms; // when the path is looked at next; 0: now
	bool in_transaction, is_doubtful; // an entry that was asked for in it does not decode
	struct reader_state state;
	struct recent recent[RECENT_MAX]; // by hash of the key
	struct recent_next next[NEXT_MAX];
	struct kind_state kinds[DIRECTORY_CLASS_OF_SERVICE + 1];
	struct err trouble;
};

struct reader *reader_new(const char *path, const struct db_schema *schema)
{
	struct reader *reader = calloc(1, sizeof *reader);
	must(reader != NULL);
	reader->path = strdup(path);
	must(reader->path != NULL);
	reader->schema = schema;
	for (size_t i = 0; i < RECENT_MAX; i++) {
		buf_init(&reader->recent[i].key, RECENT_BYTES_MAX);
		buf_init(&reader->recent[i].blob, RECENT_BYTES_MAX);
	}
	for (size_t i = 0; i < NEXT_MAX; i++) {
		buf_init(&reader->next[i].from, RECENT_BYTES_MAX);
		buf_init(&reader->next[i].key, RECENT_BYTES_MAX);
	}
	return reader;
}

void reader_free(struct reader **reader_in)
{
	struct reader *reader = *reader_in;
	if (reader == NULL)
		return;
	reader_end(reader);
	mapped_begin();
	db_close(&reader->db);
	(void)mapped_end();
	for (size_t i = 0; i < RECENT_MAX; i++) {
		buf_fini(&reader->recent[i].key);
		buf_fini(&reader->recent[i].blob);
	}
	for (size_t i = 0; i < NEXT_MAX; i++) {
		buf_fini(&reader->next[i].from);
		buf_fini(&reader->next[i].key);
	}
	free(reader->path);
	free(reader);
	*reader_in = NULL;
}

static void open_file(struct reader *reader)
{
	struct stat st;
	struct db_options options = {.path = reader->path, .mode = DB_READONLY, .schema = reader->schema, .sql = sql,
		.n_sql = STATEMENTS,
		.keep_wal = true, .cache_kib = CACHE_KIB, .mmap_bytes = MMAP_BYTES};
	if (stat(reader->path, &st) != 0) {
		err_errno(&reader->trouble, "%s", reader->path);
		reader->look_again_ms = 0;
		return;
	}
	reader->look_again_ms = clock_mono_ms() + RETRY_OPEN_MS;
	if (db_open(&options, &reader->db, &reader->trouble))
		return;
	if (db_prepare(reader->db, &reader->trouble)) {
		db_close(&reader->db);
		return;
	}
	reader->device = st.st_dev;
	reader->inode = st.st_ino;
	reader->look_again_ms = clock_mono_ms() + RETRY_MS;
}

// Opens a file that was missing, as soon as it is there: mail that comes while a node starts for the first time waits for nothing
// else. Once a second: drops one that was replaced.
static void look_at_path(struct reader *reader)
{
	struct stat st;
	int64_t now_ms = clock_mono_ms();
	if (now_ms < reader->look_again_ms)
		return;
	reader->look_again_ms = now_ms + RETRY_MS;
	if (reader->db && (stat(reader->path, &st) != 0 || st.st_dev != reader->device || st.st_ino != reader->inode))
		db_close(&reader->db);
	if (reader->db == NULL) {
		for (size_t i = 0; i < RECENT_MAX; i++)
			reader->recent[i].version = 0; // another file may have the same version
		for (size_t i = 0; i < NEXT_MAX; i++)
			reader->next[i].version = 0;
		memset(reader->kinds, 0, sizeof reader->kinds);
		open_file(reader);
	}
}

static void end_transaction(struct reader *reader)
{
	if (reader->in_transaction && db_run(reader->db, db_stmt(reader->db, END), NULL) != ERR_OK)
		db_rollback(reader->db); // SQLite has ended it already
	reader->in_transaction = false;
}

// A database that failed is opened anew in a second.
static void give_up(struct reader *reader)
{
	end_transaction(reader);
	db_close(&reader->db);
	reader->look_again_ms = clock_mono_ms() + RETRY_MS;
}

// Ends what mapped_begin began. True: a page was missing, and what was found is worth nothing.
static bool was_cut(struct reader *reader)
{
	if (!mapped_end())
		return false;
	mapped_begin();
	give_up(reader);
	(void)mapped_end(); // the map is gone
	err_set(&reader->trouble, ERR_CORRUPT, "%s: it was cut", reader->path);
	return true;
}

static bool read_state(struct reader *reader)
{
	sqlite3_stmt *stmt = db_stmt(reader->db, STATE);
	reader->state = (struct reader_state){0};
	switch (db_step(reader->db, stmt, &reader->trouble)) {
	case DB_FAILED:
		return false;
	case DB_DONE:
		break;
	case DB_ROW:
		reader->state = (struct reader_state){
			.version = (uint64_t)db_col_i64(stmt, 0),
			.complete = db_col_i64(stmt, 1) != 0,
			.is_ldif = db_col_i64(stmt, 2) != 0,
			.source_ok = db_col_i64(stmt, 3) != 0,
			.confirmed_ms = db_col_i64(stmt, 4),
			.entries = (uint64_t)db_col_i64(stmt, 5),
		};
		break;
	}
	db_reset(stmt);
	return true;
}

static bool begin(struct reader *reader)
{
	look_at_path(reader);
	if (reader->db == NULL)
		return false;
	reader->trouble = (struct err){0};
	reader->is_doubtful = false;
	reader->in_transaction = db_run(reader->db, db_stmt(reader->db, BEGIN), &reader->trouble) == ERR_OK;
	if (!reader->in_transaction || !read_state(reader)) {
		give_up(reader);
		return false;
	}
	return true;
}

bool reader_begin(struct reader *reader)
{
	must(!reader->in_transaction);
	mapped_begin();
	bool has_begun = begin(reader);
	return !was_cut(reader) && has_begun;
}

void reader_end(struct reader *reader)
{
	mapped_begin();
	end_transaction(reader);
	(void)was_cut(reader);
}

struct reader_state reader_state(const struct reader *reader)
{
	struct reader_state state = reader->in_transaction ? reader->state : (struct reader_state){0};
	state.complete = state.complete && !reader->is_doubtful;
	return state;
}

const char *reader_trouble(const struct reader *reader)
{
	return reader->trouble.text;
}

struct str reader_key(enum directory_key kind, struct str key, struct arena *arena)
{
	if (kind != DIRECTORY_DN)
		return key;
	struct guid hash = dn_key(key);
	return arena_dup(arena, guid_bytes(&hash));
}

const struct entry *reader_entry(struct str blob, struct arena *arena)
{
	struct str copy = arena_dup(arena, blob);
	struct entry *entry = arena_alloc(arena, sizeof *entry);
	return entry && copy.p && entry_decode(copy, entry) ? entry : NULL;
}

static enum directory_answer collect(struct reader *reader, sqlite3_stmt *stmt, struct arena *arena,
	struct directory_match *match_out)
{
	struct directory_match match = {NULL, NULL};
	enum db_step step = DB_DONE;
	while (match.other == NULL && (step = db_step(reader->db, stmt, &reader->trouble)) == DB_ROW) {
		const struct entry *entry = reader_entry(db_col_blob(stmt, 0), arena);
		if (entry == NULL) {
			err_set(&reader->trouble, ERR_CORRUPT, "%s: an entry does not decode, or no room for it", reader->path);
			reader->is_doubtful |= !arena_overflowed(arena); // for want of room only this one is in doubt
			return DIRECTORY_UNAVAILABLE;
		}
		*(match.entry ? &match.other : &match.entry) = entry;
	}
	if (step == DB_FAILED) {
		give_up(reader);
		return DIRECTORY_UNAVAILABLE;
	}
	if (match.entry == NULL)
		return DIRECTORY_NONE;
	*match_out = match;
	return match.other ? DIRECTORY_AMBIGUOUS : DIRECTORY_FOUND;
}

// The place of a key that may be kept; NULL for kinds that are not.
static struct recent *recent_of(struct reader *reader, enum directory_key kind, struct str key)
{
	if (kind != DIRECTORY_DOMAIN && kind != DIRECTORY_HOST)
		return NULL;
	return &reader->recent[(str_hash(key) + (uint64_t)kind) % RECENT_MAX];
}

static bool find_recent(struct reader *reader, enum directory_key kind, struct str key, struct arena *arena,
	struct directory_match *match_out)
{
	struct recent *recent = recent_of(reader, kind, key);
	if (recent == NULL || recent->version != reader->state.version || recent->kind != kind ||
		!str_eq(buf_str(&recent->key), key))
		return false;
	struct str copy = arena_dup(arena, buf_str(&recent->blob));
	struct entry *entry = arena_alloc(arena, sizeof *entry);
	if (entry == NULL || copy.p == NULL)
		return false;
	*entry = recent->entry; // checked once: only its strings move
	entry->dn.p = copy.p + (entry->dn.p - recent->blob.p);
	entry->values.p = copy.p + (entry->values.p - recent->blob.p);
	*match_out = (struct directory_match){.entry = entry};
	return true;
}

static void keep_recent(struct reader *reader, enum directory_key kind, struct str key, const struct entry *entry)
{
	struct recent *recent = recent_of(reader, kind, key);
	if (recent == NULL)
		return;
	buf_clear(&recent->key);
	buf_clear(&recent->blob);
	buf_add(&recent->key, key);
	entry_begin(&recent->blob, &entry->uuid, entry->has_uuid, entry->classes, entry->dn);
	buf_add(&recent->blob, entry->values);
	recent->kind = kind;
	bool whole = !recent->key.overflow && !recent->blob.overflow && entry_decode(buf_str(&recent->blob), &recent->entry);
	recent->version = whole ? reader->state.version : 0;
}

// False with the trouble set: there is nothing to look into.
static bool is_readable(struct reader *reader)
{
	if (reader->in_transaction && !reader->state.complete)
		err_set(&reader->trouble, ERR_NOTFOUND, "%s: never loaded completely", reader->path);
	return reader->in_transaction && reader->state.complete;
}

// The statement for a key, with it.
static sqlite3_stmt *ask(struct reader *reader, enum directory_key kind, struct str key, size_t skip)
{
	if (kind == DIRECTORY_UUID) {
		sqlite3_stmt *stmt = db_stmt(reader->db, FIND_UUID);
		db_bind_blob(stmt, 1, key);
		return stmt;
	}
	// That of nearly every look-up was reset after the last one, and each binds all there is.
	sqlite3_stmt *stmt = skip > 0 ? db_stmt(reader->db, FIND_MORE) : db_stmt_again(reader->db, FIND);
	db_bind_i64(stmt, 1, kind);
	db_bind_blob(stmt, 2, key);
	if (skip > 0)
		db_bind_i64(stmt, 3, (int64_t)skip);
	return stmt;
}

static enum directory_answer find(struct reader *reader, enum directory_key kind, struct str key, size_t skip,
	struct arena *arena, struct directory_match *match_out)
{
	if (!is_readable(reader))
		return DIRECTORY_UNAVAILABLE;
	if (kind == DIRECTORY_UUID && skip > 0)
		return DIRECTORY_NONE; // each is there once
	key = reader_key(kind, key, arena);
	if (skip == 0 && find_recent(reader, kind, key, arena, match_out))
		return DIRECTORY_FOUND;
	sqlite3_stmt *stmt = ask(reader, kind, key, skip);
	enum directory_answer answer = collect(reader, stmt, arena, match_out);
	if (reader->db)
		db_reset(stmt);
	if (answer == DIRECTORY_FOUND && skip == 0)
		keep_recent(reader, kind, key, match_out->entry);
	return answer;
}

enum directory_answer reader_find(struct reader *reader, enum directory_key kind, struct str key, size_t skip,
	struct arena *arena, struct directory_match *match_out)
{
	struct directory_match match;
	mapped_begin();
	enum directory_answer answer = find(reader, kind, key, skip, arena, &match);
	if (was_cut(reader))
		return DIRECTORY_UNAVAILABLE;
	if (answer == DIRECTORY_FOUND || answer == DIRECTORY_AMBIGUOUS)
		*match_out = match;
	return answer;
}

// Appends the first key of a kind that is not below `from`. False: it failed, and the database is closed.
static bool find_next(struct reader *reader, enum directory_key kind, struct str from, struct buf *key, bool *found_out)
{
	sqlite3_stmt *stmt = db_stmt(reader->db, NEXT_KEY);
	db_bind_i64(stmt, 1, kind);
	db_bind_blob(stmt, 2, from);
	enum db_step step = db_step(reader->db, stmt, &reader->trouble);
	if (step == DB_FAILED) {
		give_up(reader);
		return false;
	}
	if (step == DB_ROW)
		buf_add(key, db_col_blob(stmt, 0));
	db_reset(stmt);
	*found_out = step == DB_ROW;
	return true;
}

// Most tables have no row at all: known for one version of the shadow, whatever key is asked for.
static bool has_none(struct reader *reader, enum directory_key kind)
{
	struct kind_state *state = &reader->kinds[kind];
	if (state->version != reader->state.version) {
		struct buf first;
		bool found;
		buf_init(&first, RECENT_BYTES_MAX);
		if (find_next(reader, kind, STR_NONE, &first, &found)) {
			state->version = reader->state.version;
			state->is_empty = !found;
		}
		buf_fini(&first);
	}
	return reader->db == NULL || state->is_empty;
}

static struct str next_key(struct reader *reader, enum directory_key kind, struct str from, struct arena *arena)
{
	if (!reader->in_transaction || !reader->state.complete || has_none(reader, kind))
		return STR_NONE;
	struct recent_next *next = &reader->next[(str_hash(from) + (uint64_t)kind) % NEXT_MAX];
	bool found;
	if (next->version != reader->state.version || next->kind != kind || !str_eq(buf_str(&next->from), from)) {
		buf_clear(&next->from);
		buf_clear(&next->key);
		next->version = 0;
		if (!find_next(reader, kind, from, &next->key, &found))
			return STR_NONE;
		buf_add(&next->from, from);
		next->kind = kind;
		if (!next->from.overflow)
			next->version = reader->state.version;
	}
	return next->key.n ? arena_dup(arena, buf_str(&next->key)) : STR_NONE;
}

struct str reader_next_key(struct reader *reader, enum directory_key kind, struct str from, struct arena *arena)
{
	mapped_begin();
	struct str key = next_key(reader, kind, from, arena);
	return was_cut(reader) ? STR_NONE : key;
}

static enum directory_answer walk(struct reader *reader, bool (*each)(void *arg, const struct entry *entry), void *arg)
{
	struct entry entry;
	enum db_step step;
	bool more = true;
	if (!is_readable(reader))
		return DIRECTORY_UNAVAILABLE;
	sqlite3_stmt *stmt = db_stmt(reader->db, EACH);
	while (more && (step = db_step(reader->db, stmt, &reader->trouble)) == DB_ROW) {
		if (!entry_decode(db_col_blob(stmt, 0), &entry)) {
			err_set(&reader->trouble, ERR_CORRUPT, "%s: an entry does not decode", reader->path);
			db_reset(stmt);
			return DIRECTORY_UNAVAILABLE;
		}
		more = each(arg, &entry);
	}
	if (more && step == DB_FAILED) {
		give_up(reader);
		return DIRECTORY_UNAVAILABLE;
	}
	db_reset(stmt);
	return DIRECTORY_FOUND;
}

enum directory_answer reader_each(struct reader *reader, bool (*each)(void *arg, const struct entry *entry), void *arg)
{
	mapped_begin();
	enum directory_answer answer = walk(reader, each, arg);
	return was_cut(reader) ? DIRECTORY_UNAVAILABLE : answer;
}
