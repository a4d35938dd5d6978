// SPDX-License-Identifier: Apache-2.0
// Rows of messages.
#include "message_row.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"

void message_row_read(sqlite3_stmt *stmt, struct message_row *row_out)
{
	*row_out = (struct message_row){
		.folder = (uint32_t)db_col_i64(stmt, 0),
		.uid = (uint32_t)db_col_i64(stmt, 1),
		.modseq = (uint64_t)db_col_i64(stmt, 2),
		.flags = (uint64_t)db_col_i64(stmt, 3),
		.body = db_col_i64(stmt, 4),
		.bytes = (uint64_t)db_col_i64(stmt, 5),
		.received = {.utc_s = db_col_i64(stmt, 6), .zone_min = (int16_t)db_col_i64(stmt, 7)},
		.saved_ms = db_col_i64(stmt, 8),
	};
}

static enum err_code find(struct strand *strand, size_t sql, uint32_t folder, uint32_t uid, struct message_row *row_out, bool *found_out,
	struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(strand->db, sql);
	db_bind_i64(stmt, 1, folder);
	db_bind_i64(stmt, 2, uid);
	enum db_step step = db_step(strand->db, stmt, err);
	if (step == DB_FAILED)
		return err->code;
	if (step == DB_ROW)
		message_row_read(stmt, row_out);
	db_reset(stmt);
	*found_out = step == DB_ROW;
	return ERR_OK;
}

enum err_code message_row_find(struct strand *strand, uint32_t folder, uint32_t uid, struct message_row *row_out, bool *found_out,
	struct err *err)
{
	return find(strand, SQL_MSG, folder, uid, row_out, found_out, err);
}

enum err_code message_row_find_expunged(struct strand *strand, uint32_t folder, uint32_t uid, struct message_row *row_out, bool *found_out,
	struct err *err)
{
	return find(strand, SQL_TRASH, folder, uid, row_out, found_out, err);
}

static void bind_row(sqlite3_stmt *stmt, const struct message_row *row)
{
	db_bind_i64(stmt, 1, row->folder);
	db_bind_i64(stmt, 2, row->uid);
	db_bind_i64(stmt, 3, (int64_t)row->modseq);
	db_bind_i64(stmt, 4, (int64_t)row->flags);
	db_bind_i64(stmt, 5, row->body);
	db_bind_i64(stmt, 6, (int64_t)row->bytes);
	db_bind_i64(stmt, 7, row->received.utc_s);
	db_bind_i64(stmt, 8, row->received.zone_min);
	db_bind_i64(stmt, 9, row->saved_ms);
}

enum err_code message_row_add(struct strand *strand, const struct folder_row *folder, struct folder_delta *delta, struct message_row *row,
	struct err *err)
{
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
	return db_run(strand->db, add, err);
}

enum err_code message_row_expunge(struct strand *strand, const struct message_row *row, struct folder_delta *delta, struct err *err)
{
	folder_delta_count(delta, -1, row->flags, row->bytes);
	sqlite3_stmt *trash = db_stmt(strand->db, SQL_TRASH_ADD);
	bind_row(trash, row);
	db_bind_i64(trash, 10, clock_wall_ms());
	enum err_code code = db_run(strand->db, trash, err);
	if (code)
		return code;
	sqlite3_stmt *tombstone = db_stmt(strand->db, SQL_EXPUNGED_ADD);
	db_bind_i64(tombstone, 1, (int64_t)strand_seq(strand));
	db_bind_i64(tombstone, 2, row->folder);
	db_bind_i64(tombstone, 3, row->uid);
	code = db_run(strand->db, tombstone, err);
	if (code)
		return code;
	sqlite3_stmt *drop = db_stmt(strand->db, SQL_MSG_DROP);
	db_bind_i64(drop, 1, row->folder);
	db_bind_i64(drop, 2, row->uid);
	return db_run(strand->db, drop, err);
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
