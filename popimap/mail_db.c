// SPDX-License-Identifier: Apache-2.0
// mail.db: opening, closing, what a commit adds; node.db beside it.
#include "mail_make.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/file.h"
#include "base/log.h"
#include "base/must.h"
#include "folder_row.h"
#include "mailbox.h"
#include "schema/ddl_mail.h"

#define SQL_TEXT(name, text) text,
static const char *const mail_sql[] = {MAIL_SQL(SQL_TEXT)};
static const char *const node_sql[] = {NODE_SQL(SQL_TEXT)};

static const uint64_t CHANGE_SEQ_MAX = INT64_MAX / 2;

enum { MAILBOX_DIR_MODE = 0700, PATH_BYTES = 256, NODE_NEWS_MAX = 64 };

void mail_db_place(const struct guid *id, struct mail_place *place_out)
{
	place_out->id = guid_text(id, place_out->text);
	place_out->level = str_upto(place_out->id, MAIL_LEVEL_DIGITS);
	place_out->level_number = id->b[0];
}

enum err_code mail_db_dir(struct strand *strand, int *fd_out, struct err *err)
{
	struct mail_place place;
	int level;
	mail_db_place(&strand->id, &place);
	enum err_code code = file_dir_open_at(strand->store->dir_fd, place.level, &level, err);
	if (code)
		return code;
	code = file_dir_open_at(level, place.id, fd_out, err);
	file_close(level);
	return code;
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

// --- Opening ---

void mail_db_put_owner(struct buf *value, const struct mail_owner *owner)
{
	mail_put_guid(value, &owner->mailbox);
	mail_put_u8(value, (uint8_t)owner->state);
	mail_put_u64(value, owner->epoch);
	mail_put_u64(value, (uint64_t)owner->made_ms);
	mail_put_u64(value, owner->change_seq);
	mail_put_u32(value, owner->uidvalidity);
	mail_put_u32(value, owner->folder);
	mail_put_str(value, owner->host);
	mail_put_str(value, owner->moved_to);
}

static enum err_code read_owner(struct str value, struct mail_owner *owner_out, struct err *err)
{
	struct mail_reader reader = {.rest = value};
	owner_out->mailbox = mail_read_guid(&reader);
	owner_out->state = (enum ddl_mail_owner_state)mail_read_u8(&reader);
	owner_out->epoch = mail_read_u64(&reader);
	owner_out->made_ms = (int64_t)mail_read_u64(&reader);
	owner_out->change_seq = mail_read_u64(&reader);
	owner_out->uidvalidity = mail_read_u32(&reader);
	owner_out->folder = mail_read_u32(&reader);
	owner_out->host = mail_read_str(&reader);
	owner_out->moved_to = mail_read_str(&reader);
	return mail_read_end(&reader, "the owner row", err);
}

static enum err_code take_owner(struct strand *strand, struct str value, struct err *err)
{
	struct mail_owner owner;
	enum err_code code = read_owner(value, &owner, err);
	if (code)
		return code;
	if (!guid_eq(&owner.mailbox, &strand->id))
		return err_set(err, ERR_CORRUPT, "the database of this mailbox belongs to another one");
	strand->moved = owner.state != DDL_MAIL_ACTIVE;
	strand->made_ms = owner.made_ms;
	strand->committed = (struct counts){
		.change_seq = owner.change_seq, .uidvalidity = owner.uidvalidity, .folder = owner.folder};
	return ERR_OK;
}

static enum err_code count_folder(struct counts *counts, struct str key, struct str value, struct err *err)
{
	struct folder_row row;
	struct str name;
	if (!folder_row_read(key, value, &row, &name, err))
		return err->code;
	if (counts->folder_seq < row.modseq)
		counts->folder_seq = row.modseq;
	counts->bytes += row.bytes;
	counts->messages += row.messages;
	return ERR_OK;
}

struct opening {
	struct strand *strand;
	struct err *err;
	enum err_code code;
	bool owned;
};

// The owner's row comes first.
static bool take_first_rows(void *arg, struct str key, struct str value)
{
	struct opening *opening = arg;
	if (opening->owned)
		opening->code = count_folder(&opening->strand->committed, key, value, opening->err);
	else if (key.n == 1 && key.p[0] == MAIL_ROW_OWNER)
		opening->code = take_owner(opening->strand, value, opening->err);
	else
		opening->code = err_set(opening->err, ERR_NOTFOUND, "mailbox was never finished");
	opening->owned = true;
	return opening->code == ERR_OK;
}

// Whose it is, and what the rows of folders say of it.
static enum err_code read_counts(struct strand *strand, struct err *err)
{
	struct opening opening = {.strand = strand, .err = err};
	struct mail_key from = mail_key(MAIL_ROW_OWNER), end = mail_key_behind(MAIL_ROW_FOLDER);
	enum err_code code = mail_rows_each(strand, mail_key_str(&from), mail_key_str(&end), take_first_rows, &opening, err);
	if (code == ERR_OK)
		code = opening.owned ? opening.code : err_set(err, ERR_NOTFOUND, "mailbox was never finished");
	if (code)
		return code;
	struct counts *counts = &strand->committed;
	if (counts->change_seq < counts->folder_seq)
		counts->change_seq = counts->folder_seq;
	strand->now = *counts;
	if (counts->change_seq > CHANGE_SEQ_MAX)
		return err_set(err, ERR_CORRUPT, "the counter of changes is where no mailbox gets");
	return ERR_OK;
}

static enum err_code open_mail_db(struct strand *strand, struct err *err)
{
	char path[PATH_BYTES];
	struct mail_place place;
	mail_db_place(&strand->id, &place);
	snprintf(path, sizeof path, "%.*s/%.*s/%.*s/mail.db", STR_FMT(strand->store->dir), STR_FMT(place.level),
		STR_FMT(place.id));
	struct db_options options = {
		.path = path, .mode = DB_READWRITE, .schema = &ddl_mail, .sql = mail_sql, .n_sql = MAIL_SQL_N, .exclusive = true};
	return db_open(&options, &strand->db, err);
}

enum err_code mail_db_open(struct strand *strand, bool make, struct err *err)
{
	enum err_code code = make ? mail_make_files(strand, err) : ERR_OK;
	if (code == ERR_OK)
		code = open_mail_db(strand, err);
	if (code == ERR_OK)
		code = read_counts(strand, err);
	strand->ownerless = code == ERR_NOTFOUND && make && strand->db;
	if (code == ERR_OK || strand->ownerless)
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
	if (strand->recent == NULL) {
		strand->recent = calloc(STRAND_RECENT_MAX, sizeof *strand->recent);
		must(strand->recent != NULL);
	}
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
	for (size_t i = 0; i < strand->recent_n && code == ERR_OK; i++)
		code = folder_row_recent(strand, strand->recent[i].folder, strand->recent[i].uid, err);
	if (code == ERR_OK)
		strand->recent_dirty = false;
	return code;
}

static enum err_code write_counts(struct strand *strand, struct err *err)
{
	const struct mail_key key = mail_key(MAIL_ROW_OWNER);
	struct mail_owner owner;
	struct buf before, after;
	bool found;
	buf_init(&before, MAIL_OWNER_BYTES_MAX);
	buf_init(&after, MAIL_OWNER_BYTES_MAX);
	enum err_code code = mail_row_get(strand, &key, &before, &found, err);
	if (code == ERR_OK)
		code = read_owner(buf_str(&before), &owner, err);
	if (code == ERR_OK) {
		owner.change_seq = strand->now.change_seq;
		owner.uidvalidity = strand->now.uidvalidity;
		owner.folder = strand->now.folder;
		mail_db_put_owner(&after, &owner);
		code = mail_row_set(strand, &key, buf_str(&after), err);
	}
	buf_fini(&before);
	buf_fini(&after);
	return code;
}

enum err_code mail_db_flush(struct strand *strand, struct err *err)
{
	if (strand == strand->store->node)
		return ERR_OK;
	enum err_code code = strand->recent_dirty ? flush_recent(strand, err) : ERR_OK;
	const struct counts *now = &strand->now, *committed = &strand->committed;
	bool seq_is_safe = now->change_seq == now->folder_seq || now->change_seq == committed->change_seq;
	if (code || (seq_is_safe && now->uidvalidity == committed->uidvalidity && now->folder == committed->folder))
		return code;
	return write_counts(strand, err);
}

// --- Closing ---

struct node_row {
	struct guid id;
	struct counts counts;
	int64_t now_ms;
	uint64_t wal_bytes;
};

struct node_news {
	struct job job;
	size_t n;
	struct node_row rows[NODE_NEWS_MAX];
};

static enum job_step node_news_run(struct job *job, struct strand *node)
{
	const struct node_news *news = (const struct node_news *)job;
	enum err_code code = ERR_OK;
	for (size_t i = 0; i < news->n && code == ERR_OK; i++) {
		const struct node_row *changed = &news->rows[i];
		sqlite3_stmt *row = db_stmt(node->db, SQL_NODE_CHANGED);
		db_bind_blob(row, 1, guid_bytes(&changed->id));
		db_bind_i64(row, 2, changed->now_ms);
		db_bind_i64(row, 3, ddl_mail.version);
		db_bind_i64(row, 4, (int64_t)changed->wal_bytes);
		db_bind_i64(row, 5, (int64_t)changed->counts.bytes);
		db_bind_i64(row, 6, (int64_t)changed->counts.messages);
		db_bind_i64(row, 7, (int64_t)changed->counts.change_seq);
		code = db_run(node->db, row, job->err);
	}
	return job_end(job, code);
}

// Takes the news away when there are at least n. Under the mutex.
static struct node_news *take_news(struct store *store, size_t n)
{
	struct node_news *news = store->news;
	if (news == NULL || news->n < n)
		return NULL;
	store->news = NULL;
	return news;
}

// Many mailboxes in one commit: nobody waits for it.
static void tell_node(struct strand *strand)
{
	struct store *store = strand->store;
	pthread_mutex_lock(&store->mutex);
	if (store->news == NULL) {
		store->news = calloc(1, sizeof *store->news);
		must(store->news != NULL);
		store->news->job = (struct job){.kind = JOB_WRITE, .run = node_news_run, .detached = true};
	}
	store->news->rows[store->news->n++] = (struct node_row){
		.id = strand->id, .counts = strand->committed, .now_ms = clock_wall_ms(), .wal_bytes = db_wal_bytes(strand->db)};
	struct node_news *full = take_news(store, NODE_NEWS_MAX);
	pthread_mutex_unlock(&store->mutex);
	if (full)
		strand_submit(store->node, &full->job);
}

void node_db_tell(struct store *store)
{
	pthread_mutex_lock(&store->mutex);
	struct node_news *news = take_news(store, 1);
	pthread_mutex_unlock(&store->mutex);
	if (news)
		strand_submit(store->node, &news->job);
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

// The next opening reads all of a log.
static enum err_code shorten_wal(struct strand *strand, struct err *err)
{
	if (db_wal_file_bytes(strand->db) > STORE_WAL_FILE_BYTES)
		return db_checkpoint(strand->db, true, err);
	return db_wal_bytes(strand->db) > STORE_WAL_KEPT_BYTES ? db_end_wal(strand->db, err) : ERR_OK;
}

void mail_db_close(struct strand *strand)
{
	struct err err;
	enum err_code code = strand->recent_dirty ? write_recent(strand, &err) : ERR_OK;
	// At the end thousands are closed one after the other: their logs are safe as they are, and the next opening reads them,
	// but for the few that are long.
	if (code == ERR_OK && (!atomic_load(&strand->store->ending) || db_wal_bytes(strand->db) > STORE_WAL_LEFT_BYTES))
		code = shorten_wal(strand, &err);
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
	free(strand->recent);
	strand->recent = NULL;
	strand->recent_n = 0;
	strand->recent_dirty = strand->changed = strand->ownerless = false;
}

// --- node.db ---

enum err_code node_db_open(struct strand *strand, struct err *err)
{
	char path[PATH_BYTES];
	snprintf(path, sizeof path, "%.*s/node.db", STR_FMT(strand->store->dir));
	struct db_options options = {
		.path = path, .mode = DB_CREATE, .schema = &ddl_node, .sql = node_sql, .n_sql = NODE_SQL_N, .exclusive = true};
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
	bool below; // in one of the directories of the first level
	void (*each)(void *arg, const struct guid *id);
	void *arg;
	struct err *err;
	enum err_code code;
};

// A level of two hex digits, then the ids.
static bool walk_one(void *ctx, struct str name)
{
	struct walker *walker = ctx;
	if (walker->below) {
		struct guid id;
		if (name.n == GUID_TEXT_BYTES - 1 && guid_parse(name, &id))
			walker->each(walker->arg, &id);
		return true;
	}
	if (name.n != MAIL_LEVEL_DIGITS)
		return true;
	struct walker below = *walker;
	below.below = true;
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
