// SPDX-License-Identifier: Apache-2.0
// Pages of what a command acts on.
#include "queue_select.h"

#include <stdlib.h>

#include "base/must.h"
#include "queue_columns.h"
#include "queue_fold_rows.h"

enum { PAGE_MESSAGES = 200 };

static void add(struct queue_selection *s, const struct guid *guid, uint32_t number)
{
	if (s->n == s->size) {
		s->size = s->size ? 2 * s->size : 64;
		s->refs = reallocarray(s->refs, s->size, sizeof *s->refs);
		must(s->refs != NULL);
	}
	s->refs[s->n++] = (struct record_ref){*guid, number};
}

static bool is_meant(const struct queue_selection *s, struct db *db, sqlite3_stmt *row)
{
	int64_t number = db_col_i64(row, ITEM_NUMBER);
	bool held = db_col_i64(row, ITEM_STATE) == DDL_QUEUE_HELD;
	bool in_state = s->state == QUEUE_SELECT_ANY || held == (s->state == QUEUE_SELECT_HELD);
	return in_state && number > 0 && number <= UINT32_MAX && queue_match_row(s->match, db, row);
}

static void add_each(struct queue_selection *s, struct db *db, const struct guid *guid)
{
	sqlite3_stmt *stmt = fold_stmt(db, SQL_READ_RECIPIENTS);
	enum db_step step;
	db_bind_blob(stmt, 1, guid_bytes(guid));
	while ((step = db_step(db, stmt, &s->err)) == DB_ROW)
		if (is_meant(s, db, stmt))
			add(s, guid, (uint32_t)db_col_i64(stmt, ITEM_NUMBER));
	if (step == DB_DONE)
		db_reset(stmt);
}

static void move_on(struct queue_selection *s, const struct guid *guid)
{
	s->first = *guid;
	for (int i = sizeof s->first.b; i-- > 0 && ++s->first.b[i] == 0;)
		;
}

void queue_select_page(struct db *db, void *arg)
{
	struct queue_selection *s = arg;
	struct guid first = s->first, guid;
	sqlite3_stmt *stmt = fold_stmt(db, SQL_READ_GUIDS);
	db_bind_blob(stmt, 1, guid_bytes(&first));
	db_bind_blob(stmt, 2, guid_bytes(&s->last));
	enum db_step step = DB_DONE;
	size_t looked_at = 0;
	s->n = 0;
	s->err.code = ERR_OK;
	for (; looked_at < PAGE_MESSAGES && s->err.code == ERR_OK; looked_at++) {
		step = db_step(db, stmt, &s->err);
		if (step != DB_ROW || fold_guid(stmt, 0, &guid, &s->err))
			break;
		move_on(s, &guid);
		if (!queue_match_sender(s->match, db_col_str(stmt, 1)))
			continue;
		if (s->each)
			add_each(s, db, &guid);
		else
			add(s, &guid, 0);
	}
	s->more = looked_at == PAGE_MESSAGES;
	if (step != DB_FAILED)
		db_reset(stmt);
}

void queue_select_fini(struct queue_selection *s)
{
	free(s->refs);
	s->refs = NULL;
}
