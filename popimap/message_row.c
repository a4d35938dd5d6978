// SPDX-License-Identifier: Apache-2.0
// Rows of messages.
#include "message_row.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"
#include "body.h"
#include "mail_row.h"
#include "mailbox_private.h"
#include "message_flags.h"

int64_t message_row_id(uint32_t folder, uint32_t uid)
{
	return (int64_t)((uint64_t)folder << 32 | uid);
}

// From a statement over MAIL_MSG_COLUMNS: all but flags and MODSEQ.
static void read_row(sqlite3_stmt *stmt, struct message_row *row)
{
	int64_t id = db_col_i64(stmt, 0);
	row->folder = (uint32_t)(id >> 32);
	row->uid = (uint32_t)id;
	row->body = db_col_i64(stmt, 1);
	row->bytes = (uint64_t)db_col_i64(stmt, 2);
	row->received = (struct date){.utc_s = db_col_i64(stmt, 3), .zone_min = (int16_t)db_col_i64(stmt, 4)};
	row->saved_ms = db_col_i64(stmt, 5);
}

static sqlite3_stmt *find_stmt(struct strand *strand, size_t sql, uint32_t folder, uint32_t uid)
{
	sqlite3_stmt *stmt = db_stmt(strand->db, sql);
	db_bind_i64(stmt, 1, message_row_id(folder, uid));
	return stmt;
}

enum err_code message_row_find(struct strand *strand, uint32_t folder, uint32_t uid, struct message_row *row_out, bool *found_out,
	struct err *err)
{
	sqlite3_stmt *stmt = find_stmt(strand, SQL_MSG, folder, uid);
	enum db_step step = db_step(strand->db, stmt, err);
	if (step == DB_FAILED)
		return err->code;
	*row_out = (struct message_row){0};
	if (step == DB_ROW)
		read_row(stmt, row_out);
	db_reset(stmt);
	*found_out = step == DB_ROW;
	return ERR_OK;
}

// --- The trash ---

enum { TRASH_BYTES = 8 * 8 };

static struct mail_key trash_key(uint32_t folder, uint32_t uid)
{
	struct mail_key key = mail_key(MAIL_ROW_TRASH);
	mail_key_u32(&key, folder);
	mail_key_u32(&key, uid);
	return key;
}

static enum err_code add_trash(struct strand *strand, const struct message_row *row, struct err *err)
{
	struct mail_key key = trash_key(row->folder, row->uid);
	struct buf value;
	buf_init(&value, TRASH_BYTES);
	mail_put_u64(&value, (uint64_t)clock_wall_ms());
	mail_put_u64(&value, (uint64_t)row->body);
	mail_put_u64(&value, row->bytes);
	mail_put_u64(&value, (uint64_t)row->received.utc_s);
	mail_put_u64(&value, (uint64_t)row->received.zone_min);
	mail_put_u64(&value, (uint64_t)row->saved_ms);
	mail_put_u64(&value, row->flags);
	mail_put_u64(&value, row->modseq);
	enum err_code code = mail_row_set(strand, &key, buf_str(&value), err);
	buf_fini(&value);
	return code;
}

static enum err_code read_trash(struct str key, struct str value, struct message_row *row_out, struct err *err)
{
	struct mail_reader named = mail_read_key(key, MAIL_ROW_TRASH), reader = {.rest = value};
	struct message_row row = {.folder = mail_read_u32(&named)};
	row.uid = mail_read_u32(&named);
	mail_read_u64(&reader);
	row.body = (int64_t)mail_read_u64(&reader);
	row.bytes = mail_read_u64(&reader);
	row.received.utc_s = (int64_t)mail_read_u64(&reader);
	row.received.zone_min = (int16_t)mail_read_u64(&reader);
	row.saved_ms = (int64_t)mail_read_u64(&reader);
	row.flags = mail_read_u64(&reader);
	row.modseq = mail_read_u64(&reader);
	reader.damaged |= named.damaged;
	*row_out = row;
	return mail_read_end(&reader, "a message in the trash", err);
}

enum err_code message_row_find_expunged(struct strand *strand, uint32_t folder, uint32_t uid, struct message_row *row_out,
	bool *found_out, struct err *err)
{
	struct mail_key key = trash_key(folder, uid);
	struct message_row row = {0};
	struct buf value;
	bool found;
	buf_init(&value, TRASH_BYTES);
	enum err_code code = mail_row_get(strand, &key, &value, &found, err);
	if (code == ERR_OK && found)
		code = read_trash(mail_key_str(&key), buf_str(&value), &row, err);
	buf_fini(&value);
	if (code)
		return code;
	*row_out = row;
	*found_out = found;
	return ERR_OK;
}

struct trash_read {
	struct message_row *rows;
	size_t n;
	struct err *err;
	enum err_code code;
};

static bool take_trash(void *arg, struct str key, struct str value)
{
	struct trash_read *read = arg;
	read->code = read_trash(key, value, &read->rows[read->n], read->err);
	read->n += read->code == ERR_OK;
	return read->code == ERR_OK;
}

enum err_code message_trash_end(struct strand *strand, int64_t until_ms, size_t n, size_t *n_out, struct err *err)
{
	struct trash_read read = {.rows = calloc(n, sizeof *read.rows), .err = err};
	must(read.rows != NULL);
	enum err_code code = mail_rows_old(strand, MAIL_ROW_TRASH, until_ms, n, take_trash, &read, err);
	if (code == ERR_OK)
		code = read.code;
	for (size_t i = 0; i < read.n && code == ERR_OK; i++) {
		struct mail_key key = trash_key(read.rows[i].folder, read.rows[i].uid);
		code = mail_row_drop(strand, &key, err);
		if (code == ERR_OK)
			code = body_count(strand, read.rows[i].body, -1, err);
	}
	free(read.rows);
	*n_out = read.n;
	return code;
}

// --- Tombstones ---

enum err_code message_tombstone_add(struct strand *strand, uint32_t folder, uint32_t uid, struct err *err)
{
	struct mail_key key = mail_key(MAIL_ROW_EXPUNGED);
	mail_key_u64(&key, strand_seq(strand));
	mail_key_u32(&key, folder);
	mail_key_u32(&key, uid);
	return mail_row_set(strand, &key, STR_NONE, err);
}

enum err_code message_tombstones_drop(struct strand *strand, uint32_t folder, struct err *err)
{
	struct mail_key from = mail_key(MAIL_ROW_EXPUNGED), end = mail_key_behind(MAIL_ROW_EXPUNGED);
	struct mail_key id = mail_key(MAIL_ROW_EXPUNGED);
	mail_key_u32(&id, folder);
	sqlite3_stmt *stmt = db_stmt(strand->db, SQL_EXPUNGED_FORGET);
	db_bind_blob(stmt, 1, mail_key_str(&from));
	db_bind_blob(stmt, 2, mail_key_str(&end));
	db_bind_blob(stmt, 3, str_from(mail_key_str(&id), 1));
	return db_run(strand->db, stmt, err);
}

// --- Many ---

enum { DENSE_MIN = 8, DENSE_FACTOR = 4 };

enum err_code message_rows_read_flags(struct strand *strand, uint32_t folder, const uint32_t *uids, size_t n,
	struct message_row *rows, struct err *err)
{
	struct folder_change *flags = calloc(n + 1, sizeof *flags);
	size_t flags_n = 0, next = 0;
	must(flags != NULL);
	enum err_code code = message_flags_read(strand, folder, uids, n, flags, &flags_n, err);
	for (size_t i = 0; i < n; i++) {
		rows[i] = (struct message_row){0};
		if (next == flags_n || flags[next].uid != uids[i])
			continue;
		rows[i] = (struct message_row){
			.folder = folder, .uid = uids[i], .flags = flags[next].flags, .modseq = flags[next].modseq};
		next++;
	}
	free(flags);
	return code;
}

static enum err_code read_dense(struct strand *strand, uint32_t folder, const uint32_t *uids, size_t n, struct message_row *rows,
	struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(strand->db, SQL_MSG_RANGE);
	db_bind_i64(stmt, 1, message_row_id(folder, uids[0]));
	db_bind_i64(stmt, 2, message_row_id(folder, uids[n - 1]));
	enum db_step step;
	size_t i = 0;
	while ((step = db_step(strand->db, stmt, err)) == DB_ROW) {
		uint32_t uid = (uint32_t)db_col_i64(stmt, 0);
		while (i < n && uids[i] < uid)
			i++;
		if (i < n && rows[i].uid == uid)
			read_row(stmt, &rows[i]);
	}
	return mailbox_all_rows(stmt, step, err);
}

static enum err_code read_each(struct strand *strand, uint32_t folder, size_t n, struct message_row *rows, struct err *err)
{
	enum err_code code = ERR_OK;
	for (size_t i = 0; i < n && code == ERR_OK; i++) {
		if (rows[i].uid == 0)
			continue;
		sqlite3_stmt *stmt = find_stmt(strand, SQL_MSG, folder, rows[i].uid);
		enum db_step step = db_step(strand->db, stmt, err);
		if (step == DB_ROW)
			read_row(stmt, &rows[i]);
		code = mailbox_all_rows(stmt, step, err);
	}
	return code;
}

enum err_code message_rows_read(struct strand *strand, uint32_t folder, const uint32_t *uids, size_t n, struct message_row *rows,
	struct err *err)
{
	bool dense = n >= DENSE_MIN && uids[n - 1] - uids[0] <= n * DENSE_FACTOR;
	enum err_code code = message_rows_read_flags(strand, folder, uids, n, rows, err);
	if (code == ERR_OK)
		code = dense ? read_dense(strand, folder, uids, n, rows, err) : read_each(strand, folder, n, rows, err);
	for (size_t i = 0; i < n && code == ERR_OK; i++)
		if (rows[i].uid && rows[i].body == 0) // a message is in msg and in flags, or in neither
			code = err_set(err, ERR_CORRUPT, "flags without their message");
	return code;
}

struct listing {
	uint64_t flags;
	struct uid_buf *uids;
};

static void list_one(void *arg, const struct folder_change *message)
{
	struct listing *listing = arg;
	if (listing->flags == 0 || message->flags & listing->flags)
		uid_buf_add(listing->uids, message->uid);
}

enum err_code message_row_uids(struct strand *strand, uint32_t folder, uint64_t flags, struct uid_buf *uids, struct err *err)
{
	struct listing listing = {.flags = flags, .uids = uids};
	return message_flags_each(strand, folder, 0, 0, list_one, &listing, err);
}

// --- Into a folder, and out of it ---

static void bind_row(sqlite3_stmt *stmt, const struct message_row *row)
{
	db_bind_i64(stmt, 1, message_row_id(row->folder, row->uid));
	db_bind_i64(stmt, 2, row->body);
	db_bind_i64(stmt, 3, (int64_t)row->bytes);
	db_bind_i64(stmt, 4, row->received.utc_s);
	db_bind_i64(stmt, 5, row->received.zone_min);
	db_bind_i64(stmt, 6, row->saved_ms);
}

enum err_code message_row_add(struct strand *strand, const struct folder_row *folder, struct folder_delta *delta,
	struct message_row *row, struct err *err)
{
	if (folder->uidnext == 0)
		return err_set(err, ERR_CORRUPT, "a folder that has no next uid");
	if (UINT32_MAX - folder->uidnext <= delta->uids)
		return err_set(err, ERR_LIMIT, "this folder has used up its uids");
	row->folder = folder->id;
	row->uid = folder->uidnext + delta->uids;
	row->modseq = strand_seq(strand);
	row->saved_ms = clock_wall_ms();
	delta->uids++;
	folder_delta_count(delta, 1, row->flags, row->bytes);
	sqlite3_stmt *add = db_stmt(strand->db, SQL_MSG_ADD);
	bind_row(add, row);
	enum err_code code = db_run(strand->db, add, err);
	const struct folder_change flags = {.uid = row->uid, .flags = row->flags, .modseq = row->modseq};
	return code ? code : message_flags_add(strand, row->folder, &flags, err);
}

static enum err_code expunge_row(struct strand *strand, const struct message_row *row, struct err *err)
{
	enum err_code code = add_trash(strand, row, err);
	if (code == ERR_OK)
		code = message_tombstone_add(strand, row->folder, row->uid, err);
	return code ? code : db_run(strand->db, find_stmt(strand, SQL_MSG_DROP, row->folder, row->uid), err);
}

static enum flag_fate gone_for_good(void *arg, struct folder_change *message)
{
	(void)arg;
	(void)message;
	return FLAG_GONE;
}

enum { EXPUNGE_ROWS = 1000 }; // in memory at a time

enum err_code message_rows_expunge(struct strand *strand, uint32_t folder, const uint32_t *uids, size_t n, uint64_t flags,
	struct folder_delta *delta, struct uid_buf *gone, struct err *err)
{
	struct message_row *rows = calloc(EXPUNGE_ROWS, sizeof *rows);
	size_t before = gone->n;
	enum err_code code = ERR_OK;
	must(rows != NULL);
	for (size_t at = 0; at < n && code == ERR_OK; at += EXPUNGE_ROWS) {
		size_t some = n - at < EXPUNGE_ROWS ? n - at : EXPUNGE_ROWS;
		code = message_rows_read(strand, folder, uids + at, some, rows, err);
		for (size_t i = 0; i < some && code == ERR_OK; i++) {
			if (rows[i].uid == 0 || (flags && !(rows[i].flags & flags)))
				continue;
			folder_delta_count(delta, -1, rows[i].flags, rows[i].bytes);
			uid_buf_add(gone, rows[i].uid);
			code = expunge_row(strand, &rows[i], err);
		}
	}
	free(rows);
	if (code || gone->n == before)
		return code;
	return message_flags_change(strand, folder, gone->p + before, gone->n - before, gone_for_good, NULL, err);
}

// --- Lists of uids ---

void uid_buf_add(struct uid_buf *uids, uint32_t uid)
{
	if (uids->n == uids->size) {
		uids->size = uids->size ? 2 * uids->size : 64;
		uids->p = reallocarray(uids->p, uids->size, sizeof *uids->p);
		must(uids->p != NULL);
	}
	uids->p[uids->n++] = uid;
}

static int compare_uids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

void uid_buf_sort(struct uid_buf *uids)
{
	if (uids->n == 0)
		return;
	qsort(uids->p, uids->n, sizeof *uids->p, compare_uids);
	size_t n = 1;
	for (size_t i = 1; i < uids->n; i++)
		if (uids->p[i] != uids->p[n - 1])
			uids->p[n++] = uids->p[i];
	uids->n = n;
}

void uid_buf_fini(struct uid_buf *uids)
{
	free(uids->p);
	*uids = (struct uid_buf){0};
}

enum err_code uid_buf_give(struct uid_buf *uids, struct arena *arena, struct uid_list *list_out, struct err *err)
{
	size_t n = uids->n;
	uint32_t *p = arena_array(arena, n, sizeof *p);
	if (p && n)
		memcpy(p, uids->p, n * sizeof *p);
	uid_buf_fini(uids);
	if (p == NULL)
		return err_set(err, ERR_LIMIT, "a list of %zu uids is too much for one command", n);
	*list_out = (struct uid_list){.p = p, .n = n};
	return ERR_OK;
}
