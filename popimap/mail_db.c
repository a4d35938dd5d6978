// SPDX-License-Identifier: Apache-2.0
// mail.db: making, opening, closing; node.db beside it.
//
// Making a mailbox: ab/, ab/cd/, ab/cd/<id>/ are made, each parent synced after; then mail.db with its tables, the directory synced; then
// owner and folders in one commit. After a crash in between the next try goes on from there: a database without an owner row is no mailbox
// yet.
#include "mail_db.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/file.h"
#include "base/log.h"
#include "base/must.h"
#include "mailbox.h"
#include "schema/ddl_mail.h"

#define SQL_TEXT(name, text) text,
static const char *const mail_sql[] = {MAIL_SQL(SQL_TEXT)};
static const char *const node_sql[] = {NODE_SQL(SQL_TEXT)};

enum { MAILBOX_DIR_MODE = 0700, PATH_BYTES = 256 };

// ab, cd and the id, of a mailbox.
struct place {
	char id[GUID_TEXT_BYTES];
	struct str level[3];
};

static void place_of(const struct guid *id, struct place *place)
{
	struct str text = guid_text(id, place->id);
	place->level[0] = str_upto(text, 2);
	place->level[1] = str_upto(str_from(text, 2), 2);
	place->level[2] = text;
}

// Walks to the mailbox's directory, making it on the way if asked.
static enum err_code walk(struct store *store, const struct guid *id, bool make, int *fd_out, struct err *err)
{
	struct place place;
	place_of(id, &place);
	int at = store->dir_fd, next;
	enum err_code code = ERR_OK;
	for (size_t i = 0; i < 3 && code == ERR_OK; i++) {
		if (make)
			code = file_dir_make(at, place.level[i], MAILBOX_DIR_MODE, NULL, err);
		if (code == ERR_OK)
			code = file_dir_open_at(at, place.level[i], &next, err);
		if (at != store->dir_fd)
			file_close(at);
		at = next;
	}
	if (code == ERR_OK)
		*fd_out = at;
	return code;
}

enum err_code mail_db_dir(struct strand *strand, int *fd_out, struct err *err)
{
	return walk(strand->store, &strand->id, false, fd_out, err);
}

enum err_code mail_db_big_dir(struct strand *strand, bool make, int *fd_out, struct err *err)
{
	int dir;
	enum err_code code = mail_db_dir(strand, &dir, err);
	if (code)
		return code;
	if (make)
		code = file_dir_make(dir, STR("big"), MAILBOX_DIR_MODE, NULL, err);
	if (code == ERR_OK)
		code = file_dir_open_at(dir, STR("big"), fd_out, err);
	file_close(dir);
	return code;
}

// --- Making ---

static const struct {
	struct str name;
	enum folder_use use;
} default_folders[] = {
	{STR("INBOX"), FOLDER_USE_NONE},
	{STR("Drafts"), FOLDER_USE_DRAFTS},
	{STR("Sent"), FOLDER_USE_SENT},
	{STR("Junk"), FOLDER_USE_JUNK},
	{STR("Trash"), FOLDER_USE_TRASH},
};

static enum err_code add_default_folder(struct strand *strand, size_t i, uint32_t uidvalidity, int64_t now_ms, struct err *err)
{
	struct guid guid = guid_new();
	sqlite3_stmt *add = db_stmt(strand->db, SQL_FOLDER_ADD);
	db_bind_str(add, 1, default_folders[i].name);
	db_bind_blob(add, 2, guid_bytes(&guid));
	db_bind_i64(add, 3, uidvalidity);
	db_bind_i64(add, 4, 1);
	db_bind_i64(add, 5, default_folders[i].use);
	db_bind_i64(add, 6, now_ms);
	enum err_code code = db_run(strand->db, add, err);
	if (code)
		return code;
	sqlite3_stmt *subscribe = db_stmt(strand->db, SQL_SUBSCRIBE);
	db_bind_str(subscribe, 1, default_folders[i].name);
	db_bind_i64(subscribe, 2, 1);
	db_bind_i64(subscribe, 3, 1);
	return db_run(strand->db, subscribe, err);
}

static enum err_code add_owner(struct strand *strand, const struct store_home *make, struct err *err)
{
	int64_t now_ms = clock_wall_ms();
	enum err_code code = db_begin(strand->db, err);
	if (code)
		return code;
	sqlite3_stmt *owner = db_stmt(strand->db, SQL_OWNER_ADD);
	db_bind_blob(owner, 1, guid_bytes(&strand->id));
	db_bind_str(owner, 2, make->host);
	db_bind_i64(owner, 3, (int64_t)make->epoch);
	db_bind_i64(owner, 4, now_ms);
	code = db_run(strand->db, owner, err);
	size_t n = sizeof default_folders / sizeof *default_folders;
	uint32_t first = (uint32_t)(now_ms / 1000); // one each, so that no two folders ever share (UIDVALIDITY, name)
	for (size_t i = 0; i < n && code == ERR_OK; i++)
		code = add_default_folder(strand, i, first + (uint32_t)i, now_ms, err);
	if (code == ERR_OK) {
		sqlite3_stmt *counts = db_stmt(strand->db, SQL_OWNER_COUNTS);
		db_bind_i64(counts, 1, 1);
		db_bind_i64(counts, 2, first + (uint32_t)n - 1);
		db_bind_i64(counts, 3, 0);
		db_bind_i64(counts, 4, 0);
		db_bind_i64(counts, 5, 0);
		code = db_run(strand->db, counts, err);
	}
	if (code == ERR_OK)
		return db_commit(strand->db, err);
	db_rollback(strand->db);
	return code;
}

// --- Opening ---

static enum err_code read_owner(struct strand *strand, struct err *err)
{
	sqlite3_stmt *owner = db_stmt(strand->db, SQL_OWNER);
	switch (db_step(strand->db, owner, err)) {
	case DB_FAILED:
		return err->code;
	case DB_DONE:
		return err_set(err, ERR_NOTFOUND, "mailbox was never finished");
	case DB_ROW:
		break;
	}
	bool same = str_eq(db_col_blob(owner, 0), guid_bytes(&strand->id));
	strand->moved = db_col_i64(owner, 1) != DDL_MAIL_ACTIVE;
	strand->made_ms = db_col_i64(owner, 2);
	strand->committed = (struct counts){
		.change_seq = (uint64_t)db_col_i64(owner, 3),
		.uidvalidity = (uint32_t)db_col_i64(owner, 4),
		.thread = (uint64_t)db_col_i64(owner, 5),
		.bytes = (uint64_t)db_col_i64(owner, 6),
		.messages = (uint64_t)db_col_i64(owner, 7),
	};
	db_reset(owner);
	if (!same)
		return err_set(err, ERR_CORRUPT, "the database of this mailbox belongs to another one");
	strand->now = strand->committed;
	return ERR_OK;
}

static enum err_code open_mail_db(struct strand *strand, const struct store_home *make, struct err *err)
{
	if (make) {
		int dir;
		enum err_code code = walk(strand->store, &strand->id, true, &dir, err);
		if (code)
			return code;
		file_close(dir);
	}
	char path[PATH_BYTES];
	struct place place;
	place_of(&strand->id, &place);
	snprintf(path, sizeof path, "%.*s/%.*s/%.*s/%.*s/mail.db", STR_FMT(strand->store->dir), STR_FMT(place.level[0]), STR_FMT(place.level[1]),
		STR_FMT(place.level[2]));
	struct db_options options = {.path = path, .mode = make ? DB_CREATE : DB_READWRITE, .schema = &ddl_mail, .sql = mail_sql,
		.n_sql = MAIL_SQL_N, .exclusive = true};
	enum err_code code = db_open(&options, &strand->db, err);
	if (code)
		return code;
	code = read_owner(strand, err);
	if (code == ERR_NOTFOUND && make) {
		code = add_owner(strand, make, err);
		if (code == ERR_OK)
			code = read_owner(strand, err);
	}
	return code;
}

enum err_code mail_db_open(struct strand *strand, const struct store_home *make, struct err *err)
{
	enum err_code code = open_mail_db(strand, NULL, err);
	if (code == ERR_NOTFOUND && make) {
		mail_db_abandon(strand);
		code = open_mail_db(strand, make, err);
	}
	if (code == ERR_OK)
		return ERR_OK;
	mail_db_abandon(strand);
	char id[GUID_TEXT_BYTES];
	guid_text(&strand->id, id);
	return err_wrap(err, "mailbox %s", id);
}

// --- \Recent ---

uint32_t mail_db_recent(const struct strand *strand, uint32_t folder, uint32_t recent_uid)
{
	for (size_t i = 0; i < strand->recent_n; i++)
		if (strand->recent[i].folder == folder && strand->recent[i].uid > recent_uid)
			return strand->recent[i].uid;
	return recent_uid;
}

void mail_db_take_recent(struct strand *strand, uint32_t folder, uint32_t uid)
{
	size_t i = 0;
	while (i < strand->recent_n && strand->recent[i].folder != folder)
		i++;
	if (i == STRAND_RECENT_MAX) // written at the next commit or close; until then the oldest is shown as \Recent again
		i = 0;
	if (i == strand->recent_n)
		strand->recent_n++;
	strand->recent[i] = (struct recent){folder, uid};
	strand->recent_dirty = true;
}

static enum err_code flush_recent(struct strand *strand, struct err *err)
{
	enum err_code code = ERR_OK;
	for (size_t i = 0; i < strand->recent_n && code == ERR_OK; i++) {
		sqlite3_stmt *recent = db_stmt(strand->db, SQL_FOLDER_RECENT);
		db_bind_i64(recent, 1, strand->recent[i].folder);
		db_bind_i64(recent, 2, strand->recent[i].uid);
		code = db_run(strand->db, recent, err);
	}
	if (code == ERR_OK)
		strand->recent_dirty = false;
	return code;
}

enum err_code mail_db_flush(struct strand *strand, struct err *err)
{
	if (strand == strand->store->node)
		return ERR_OK;
	enum err_code code = strand->recent_dirty ? flush_recent(strand, err) : ERR_OK;
	const struct counts *a = &strand->now, *b = &strand->committed;
	if (code || (a->change_seq == b->change_seq && a->uidvalidity == b->uidvalidity && a->thread == b->thread && a->bytes == b->bytes &&
			    a->messages == b->messages))
		return code;
	sqlite3_stmt *counts = db_stmt(strand->db, SQL_OWNER_COUNTS);
	db_bind_i64(counts, 1, (int64_t)a->change_seq);
	db_bind_i64(counts, 2, a->uidvalidity);
	db_bind_i64(counts, 3, (int64_t)a->thread);
	db_bind_i64(counts, 4, (int64_t)a->bytes);
	db_bind_i64(counts, 5, (int64_t)a->messages);
	return db_run(strand->db, counts, err);
}

// --- Closing ---

struct node_changed {
	struct job job;
	struct guid id;
	struct counts counts;
	int64_t now_ms;
	uint64_t wal_bytes;
};

static enum job_step node_changed_run(struct job *job, struct strand *node)
{
	struct node_changed *changed = (struct node_changed *)job;
	sqlite3_stmt *row = db_stmt(node->db, SQL_NODE_CHANGED);
	db_bind_blob(row, 1, guid_bytes(&changed->id));
	db_bind_i64(row, 2, changed->now_ms);
	db_bind_i64(row, 3, ddl_mail.version);
	db_bind_i64(row, 4, (int64_t)changed->wal_bytes);
	db_bind_i64(row, 5, (int64_t)changed->counts.bytes);
	db_bind_i64(row, 6, (int64_t)changed->counts.messages);
	db_bind_i64(row, 7, (int64_t)changed->counts.change_seq);
	return job_end(job, db_run(node->db, row, job->err));
}

static void tell_node(struct strand *strand)
{
	struct node_changed *changed = calloc(1, sizeof *changed);
	must(changed != NULL);
	*changed = (struct node_changed){
		.job = {.kind = JOB_WRITE, .run = node_changed_run, .detached = true},
		.id = strand->id,
		.counts = strand->committed,
		.now_ms = clock_wall_ms(),
		.wal_bytes = db_wal_bytes(strand->db),
	};
	strand_submit(strand->store->node, &changed->job);
}

static enum err_code write_recent(struct strand *strand, struct err *err)
{
	enum err_code code = db_begin(strand->db, err);
	if (code == ERR_OK)
		code = flush_recent(strand, err);
	if (code == ERR_OK)
		return db_commit(strand->db, err);
	db_rollback(strand->db);
	return code;
}

void mail_db_close(struct strand *strand)
{
	struct err err;
	enum err_code code = strand->recent_dirty ? write_recent(strand, &err) : ERR_OK;
	if (code == ERR_OK && db_wal_bytes(strand->db) > 0)
		code = db_checkpoint(strand->db, true, &err);
	if (code)
		log_warning(NULL, "cannot write back a mailbox on closing it", log_err(&err));
	if (strand->changed)
		tell_node(strand);
	mail_db_abandon(strand);
}

void mail_db_abandon(struct strand *strand)
{
	if (strand->db)
		db_close(&strand->db);
	if (strand->big_fd >= 0)
		file_close(strand->big_fd);
	strand->big_fd = -1;
	strand->recent_n = 0;
	strand->recent_dirty = strand->changed = false;
}

// --- node.db ---

enum err_code node_db_open(struct strand *strand, struct err *err)
{
	char path[PATH_BYTES];
	snprintf(path, sizeof path, "%.*s/node.db", STR_FMT(strand->store->dir));
	struct db_options options = {.path = path, .mode = DB_CREATE, .schema = &ddl_node, .sql = node_sql, .n_sql = NODE_SQL_N, .exclusive = true};
	return db_open(&options, &strand->db, err);
}

void node_db_close(struct strand *strand)
{
	struct err err;
	if (strand->db == NULL)
		return;
	if (db_checkpoint(strand->db, true, &err))
		log_warning(NULL, "cannot write back node.db on closing it", log_err(&err));
	db_close(&strand->db);
}

struct walker {
	int dir;
	unsigned depth;
	void (*each)(void *arg, const struct guid *id);
	void *arg;
	struct err *err;
	enum err_code code;
};

// Two levels of two hex digits, then the ids.
static bool walk_one(void *ctx, struct str name)
{
	struct walker *walker = ctx;
	if (walker->depth == 2) {
		struct guid id;
		if (name.n == GUID_TEXT_BYTES - 1 && guid_parse(name, &id))
			walker->each(walker->arg, &id);
		return true;
	}
	if (name.n != 2)
		return true;
	struct walker below = *walker;
	below.depth++;
	if (file_dir_open_at(walker->dir, name, &below.dir, NULL)) // not ours
		return true;
	walker->code = file_dir_each(below.dir, walk_one, &below, walker->err);
	if (walker->code == ERR_OK)
		walker->code = below.code;
	file_close(below.dir);
	return walker->code == ERR_OK;
}

enum err_code node_db_walk(struct store *store, void (*each)(void *arg, const struct guid *id), void *arg, struct err *err)
{
	struct walker walker = {.dir = store->dir_fd, .each = each, .arg = arg, .err = err};
	enum err_code code = file_dir_each(store->dir_fd, walk_one, &walker, err);
	return code ? code : walker.code;
}
