// SPDX-License-Identifier: Apache-2.0
// Reading the queue's rows and bodies, in pages, between two transactions of the writer.
#include "queue_rows.h"

#include <stdio.h>

#include "base/file.h"
#include "base/must.h"
#include "base/runtime.h"
#include "queue_columns.h"
#include "queue_fold_rows.h"

static bool is_number(int64_t number)
{
	return number > 0 && number <= UINT32_MAX;
}

static bool is_target(int64_t target)
{
	return target == RECORD_TO_MAILBOX || target == RECORD_TO_RELAY || target == RECORD_TO_EXPAND;
}

struct record_recipient queue_rows_recipient(sqlite3_stmt *stmt)
{
	return (struct record_recipient){.number = (uint32_t)db_col_i64(stmt, ITEM_NUMBER),
		.target = (enum record_target)db_col_i64(stmt, ITEM_TARGET), .notify = (uint8_t)db_col_i64(stmt, ITEM_NOTIFY),
		.destination = db_col_str(stmt, ITEM_DESTINATION), .address = db_col_str(stmt, ITEM_ADDRESS),
		.key = db_col_str(stmt, ITEM_KEY),
		.original = db_col_str(stmt, ITEM_ORIGINAL), .orcpt = db_col_str(stmt, ITEM_ORCPT),
		.mailbox_id = db_col_str(stmt, ITEM_MAILBOX),
		.detail = db_col_str(stmt, ITEM_DETAIL), .list = db_col_str(stmt, ITEM_LIST),
		.stands_for = db_col_str(stmt, ITEM_STANDS_FOR)};
}

// Rows of one message stand together, as they have the same time: they share the message. NULL: the row is damaged
// (FOLD_ROW_IS_SOUND).
static struct item *read_item(sqlite3_stmt *stmt, const struct item *last, struct err *err)
{
	struct guid guid = {{0}}, root = {{0}};
	struct item_message *message;
	if (db_col_is_null(stmt, ITEM_ROOT)) {
		err_set(err, ERR_CORRUPT, "queue.db: a recipient has no message");
		return NULL;
	}
	if (fold_guid(stmt, ITEM_GUID, &guid, err) || fold_guid(stmt, ITEM_ROOT, &root, err))
		return NULL;
	if (!is_number(db_col_i64(stmt, ITEM_NUMBER))) {
		err_set(err, ERR_CORRUPT, "queue.db: a recipient has a number that none has");
		return NULL;
	}
	if (!is_target(db_col_i64(stmt, ITEM_TARGET))) {
		err_set(err, ERR_CORRUPT, "queue.db: a recipient has no kind of destination that there is");
		return NULL;
	}
	if (last && guid_eq(&last->message->guid, &guid)) {
		message = item_message_ref(last->message);
	} else {
		const struct record_enter e = {.guid = guid, .root = root,
			.kind = (enum record_kind)db_col_i64(stmt, ITEM_KIND), .flags = (uint8_t)db_col_i64(stmt, ITEM_FLAGS),
			.sender = db_col_str(stmt, ITEM_SENDER), .envid = db_col_str(stmt, ITEM_ENVID),
			.received_ms = db_col_i64(stmt, ITEM_RECEIVED), .body_bytes = (uint64_t)db_col_i64(stmt, ITEM_BYTES),
			.digest = db_col_blob(stmt, ITEM_DIGEST)};
		message = item_message_new(&e, db_col_i64(stmt, ITEM_BODY), STR_NONE);
	}
	struct record_recipient r = queue_rows_recipient(stmt);
	struct item *item = item_new(message, &r);
	item->next_try_ms = db_col_i64(stmt, ITEM_NEXT_TRY);
	item->tries = (uint32_t)db_col_i64(stmt, ITEM_TRIES);
	item->waited_s = (uint32_t)db_col_i64(stmt, ITEM_WAITED);
	item->warned = db_col_i64(stmt, ITEM_WARNED) != 0;
	item_message_drop(&message);
	return item;
}

static enum err_code next_due(struct db *db, struct queue_page *page)
{
	sqlite3_stmt *stmt = fold_stmt(db, SQL_READ_NEXT_DUE);
	db_bind_str(stmt, 1, page->destination);
	db_bind_i64(stmt, 2, page->until_ms);
	if (db_step(db, stmt, &page->err) == DB_FAILED)
		return page->err.code;
	page->next_due_ms = db_col_is_null(stmt, 0) ? INT64_MAX : db_col_i64(stmt, 0);
	db_reset(stmt);
	return ERR_OK;
}

uint64_t queue_rows_hash(sqlite3_stmt *stmt)
{
	_Static_assert((int)ITEM_GUID == 0 && (int)ITEM_NUMBER == 1, "of any statement that begins with a row's key");
	return str_hash(db_col_blob(stmt, ITEM_GUID)) ^ (uint64_t)db_col_i64(stmt, ITEM_NUMBER);
}

static void note_damaged(sqlite3_stmt *stmt, struct queue_page *page)
{
	if (page->damaged_n < QUEUE_PAGE_DAMAGED_MAX)
		page->damaged[page->damaged_n++] = queue_rows_hash(stmt);
}

void queue_rows_page(struct db *db, void *arg)
{
	struct queue_page *page = arg;
	struct item **tail = &page->items, *last = NULL;
	page->err.code = ERR_OK;
	page->n = page->damaged_n = 0;
	page->items = NULL;
	page->next_due_ms = INT64_MAX;
	sqlite3_stmt *stmt = fold_stmt(db, SQL_READ_PAGE);
	db_bind_str(stmt, 1, page->destination);
	db_bind_i64(stmt, 2, page->until_ms);
	enum db_step step = DB_DONE;
	while (page->n < page->limit && (step = db_step(db, stmt, &page->err)) == DB_ROW) {
		struct item *item = read_item(stmt, last, &page->damage);
		if (item == NULL) {
			note_damaged(stmt, page);
			continue;
		}
		last = *tail = item;
		tail = &last->next;
		page->n++;
	}
	if (step == DB_FAILED)
		return;
	db_reset(stmt);
	if (page->n == page->limit && last)
		page->next_due_ms = last->next_try_ms;
	else
		page->err.code = next_due(db, page);
}

static enum err_code read_also(struct db *db, struct queue_copies *copies)
{
	struct queue_also **tail = &copies->also;
	sqlite3_stmt *stmt = fold_stmt(db, SQL_READ_ALSO);
	enum db_step step;
	db_bind_blob(stmt, 1, guid_bytes(&copies->guid));
	while ((step = db_step(db, stmt, &copies->err)) == DB_ROW && !arena_overflowed(copies->arena)) {
		struct queue_also *also = arena_alloc(copies->arena, sizeof *also);
		const struct record_also r = {.key = arena_dup(copies->arena, db_col_str(stmt, 1)),
			.address = arena_dup(copies->arena, db_col_str(stmt, 2)), .notify = (uint8_t)db_col_i64(stmt, 3),
			.orcpt = arena_dup(copies->arena, db_col_str(stmt, 4))};
		if (arena_overflowed(copies->arena))
			break;
		*also = (struct queue_also){.number = (uint32_t)db_col_i64(stmt, 0), .r = r};
		*tail = also;
		tail = &also->next;
	}
	if (step == DB_FAILED)
		return copies->err.code;
	db_reset(stmt);
	return arena_overflowed(copies->arena) ? err_set(&copies->err, ERR_LIMIT, "a message with too many addresses") : ERR_OK;
}

void queue_rows_copies(struct db *db, void *arg)
{
	struct queue_copies *copies = arg;
	struct item **tail = &copies->items, *last = NULL;
	struct err damage;
	copies->err.code = ERR_OK;
	copies->items = NULL;
	copies->also = NULL;
	sqlite3_stmt *stmt = fold_stmt(db, SQL_READ_COPIES);
	db_bind_blob(stmt, 1, guid_bytes(&copies->guid));
	db_bind_i64(stmt, 2, RECORD_LIST);
	db_bind_i64(stmt, 3, copies->held);
	enum db_step step;
	while ((step = db_step(db, stmt, &copies->err)) == DB_ROW) {
		struct item *item = read_item(stmt, last, &damage);
		if (item == NULL)
			continue;
		last = *tail = item;
		tail = &last->next;
	}
	if (step == DB_FAILED)
		return;
	db_reset(stmt);
	copies->err.code = read_also(db, copies);
}

void queue_rows_destinations(struct db *db, void *arg)
{
	struct queue_destinations *d = arg;
	sqlite3_stmt *stmt = fold_stmt(db, SQL_READ_DESTINATIONS);
	enum db_step step;
	d->err.code = ERR_OK;
	while ((step = db_step(db, stmt, &d->err)) == DB_ROW)
		d->each(d->arg, db_col_str(stmt, 0), db_col_i64(stmt, 1));
	if (step == DB_DONE)
		db_reset(stmt);
}

// --- The database beneath ---

static enum err_code check_table(struct db *db, const char *table, struct err *err)
{
	char sql[64];
	sqlite3_stmt *stmt;
	enum err_code code = ERR_OK;
	must(snprintf(sql, sizeof sql, "PRAGMA quick_check('%s')", table) < (int)sizeof sql);
	int rc = sqlite3_prepare_v2(db_handle(db), sql, -1, &stmt, NULL);
	if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct str said = db_col_str(stmt, 0), headline, rest;
		if (str_starts(said, STR("***")) && str_cut(said, '\n', &headline, &rest)) // of a list of complaints
			said = rest;
		if (!str_eq(said, STR("ok")))
			code = err_set(err, ERR_CORRUPT, "queue.db, table %s: %.*s", table, STR_FMT(str_upto(said, 200)));
	} else {
		code = db_error(db, rc, sql, err);
	}
	sqlite3_finalize(stmt);
	return code;
}

void queue_rows_check(struct db *db, void *arg)
{
	static const char *const tables[] = {"state", "message", "recipient", "attempt", "ended", "also", "body"};
	struct err *err = arg;
	err->code = ERR_OK;
	for (size_t i = 0; i < sizeof tables / sizeof *tables && err->code == ERR_OK; i++)
		err->code = check_table(db, tables[i], err);
}

// --- Bodies ---

struct row_job {
	int64_t id;
	struct buf *out;
	enum err_code code;
	struct err err;
};

static void read_row(struct db *db, void *arg)
{
	struct row_job *job = arg;
	sqlite3_stmt *stmt = fold_stmt(db, SQL_READ_BODY);
	db_bind_i64(stmt, 1, job->id);
	switch (db_step(db, stmt, &job->err)) {
	case DB_FAILED:
		job->code = job->err.code;
		return;
	case DB_DONE:
		job->code = err_set(&job->err, ERR_NOTFOUND, "the message has left the queue");
		break;
	case DB_ROW:
		job->code =
			buf_add(job->out, db_col_blob(stmt, 0)) ? ERR_OK : err_set(&job->err, ERR_LIMIT, "the body is too long");
		break;
	}
	db_reset(stmt);
}

enum err_code queue_rows_body(struct queue *queue, const struct item_message *message, struct buf *out, struct err *err)
{
	if (message->body.n > 0)
		return buf_add(out, message->body) ? ERR_OK : err_set(err, ERR_LIMIT, "the body is too long");
	if (message->flags & RECORD_FLAG_SPOOL)
		return queue_rows_body_file(queue, message, 0, (size_t)message->body_bytes, out, err);
	struct row_job job = {.id = message->body_id, .out = out};
	enum err_code code = cluster_log_read(queue->log, read_row, &job, err);
	if (code == ERR_OK && job.code)
		code = err_set(err, job.code, "%s", job.err.text);
	return code;
}

struct file_job {
	struct queue *queue;
	const struct item_message *message;
	uint64_t offset;
	size_t n;
	struct buf *out;
	enum err_code code;
	struct err err;
};

static void read_file(void *arg)
{
	struct file_job *job = arg;
	char name[GUID_TEXT_BYTES];
	int fd;
	off_t bytes;
	job->code = file_open(job->queue->spool_dir, guid_text(&job->message->guid, name), &fd, &bytes, &job->err);
	if (job->code)
		return;
	if ((uint64_t)bytes != job->message->body_bytes)
		job->code = err_set(&job->err, ERR_CORRUPT, "spool/%s has %lld bytes instead of %llu", name, (long long)bytes,
			(unsigned long long)job->message->body_bytes);
	else
		job->code = file_read_at(fd, job->out->p + job->out->n, job->n, (off_t)job->offset, &job->err);
	file_close(fd);
}

enum err_code queue_rows_body_file(struct queue *queue, const struct item_message *message, uint64_t offset, size_t n,
	struct buf *out, struct err *err)
{
	struct file_job job = {.queue = queue, .message = message, .offset = offset, .out = out};
	job.n = message->body_bytes - offset < n ? (size_t)(message->body_bytes - offset) : n;
	if (buf_reserve(out, job.n) == NULL)
		return err_set(err, ERR_LIMIT, "the body is too long");
	enum err_code code = ERR_OK;
	if (queue->config.runtime)
		code = worker_run(runtime_workers(queue->config.runtime), read_file, &job, err);
	else
		read_file(&job);
	if (code == ERR_OK && job.code)
		return err_set(err, job.code, "%s", job.err.text);
	if (code == ERR_OK)
		buf_grew(out, job.n);
	return code;
}
