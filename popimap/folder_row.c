// SPDX-License-Identifier: Apache-2.0
// Rows of folders and keywords.
#include "folder_row.h"

#include "base/clock.h"
#include "base/must.h"

static const uint32_t FOLDER_ID_MAX = INT32_MAX; // the upper half of a message's number

static void guid_from(struct str bytes, struct guid *guid)
{
	*guid = (struct guid){0};
	if (bytes.n == sizeof guid->b)
		memcpy(guid->b, bytes.p, bytes.n);
}

void folder_row_read(sqlite3_stmt *stmt, struct folder_row *row_out)
{
	*row_out = (struct folder_row){
		.id = (uint32_t)db_col_i64(stmt, 0),
		.uidvalidity = (uint32_t)db_col_i64(stmt, 3),
		.uidnext = (uint32_t)db_col_i64(stmt, 4),
		.modseq = (uint64_t)db_col_i64(stmt, 5),
		.use = (enum folder_use)db_col_i64(stmt, 6),
		.selectable = db_col_i64(stmt, 7) != 0,
		.recent_uid = (uint32_t)db_col_i64(stmt, 8),
		.messages = (uint32_t)db_col_i64(stmt, 9),
		.unseen = (uint32_t)db_col_i64(stmt, 10),
		.deleted = (uint32_t)db_col_i64(stmt, 11),
		.bytes = (uint64_t)db_col_i64(stmt, 12),
		.flags_modseq = (uint64_t)db_col_i64(stmt, 13),
	};
	guid_from(db_col_blob(stmt, 2), &row_out->guid);
}

static enum err_code read_one(struct strand *strand, sqlite3_stmt *stmt, struct folder_row *row_out, struct err *err)
{
	switch (db_step(strand->db, stmt, err)) {
	case DB_FAILED:
		return err->code;
	case DB_DONE:
		return err_set(err, ERR_NOTFOUND, "no such folder");
	case DB_ROW:
		break;
	}
	folder_row_read(stmt, row_out);
	db_reset(stmt);
	return ERR_OK;
}

enum err_code folder_row_by_name(struct strand *strand, struct str name, struct folder_row *row_out, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(strand->db, SQL_FOLDER_BY_NAME);
	db_bind_str(stmt, 1, name);
	return read_one(strand, stmt, row_out, err);
}

enum err_code folder_row_by_id(struct strand *strand, uint32_t id, struct folder_row *row_out, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(strand->db, SQL_FOLDER_BY_ID);
	db_bind_i64(stmt, 1, id);
	return read_one(strand, stmt, row_out, err);
}

enum err_code folder_row_target(struct strand *strand, struct str name, struct folder_row *row_out, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(strand->db, SQL_FOLDER_TARGET);
	db_bind_str(stmt, 1, name);
	enum db_step step = db_step(strand->db, stmt, err);
	if (step == DB_FAILED)
		return err->code;
	bool found = step == DB_ROW && db_col_i64(stmt, 3) != 0;
	if (found)
		*row_out = (struct folder_row){.id = (uint32_t)db_col_i64(stmt, 0), .uidvalidity = (uint32_t)db_col_i64(stmt, 1),
			.uidnext = (uint32_t)db_col_i64(stmt, 2), .selectable = true};
	db_reset(stmt);
	return found ? ERR_OK : err_set(err, ERR_NOTFOUND, "no such folder");
}

enum err_code folder_row_selectable(struct strand *strand, struct str name, struct folder_row *row_out, struct err *err)
{
	struct folder_row row;
	enum err_code code = folder_row_by_name(strand, name, &row, err);
	if (code)
		return code;
	if (!row.selectable)
		return err_set(err, ERR_NOTFOUND, "this name holds only other folders");
	*row_out = row;
	return ERR_OK;
}

void folder_delta_count(struct folder_delta *delta, int n, uint64_t flags, uint64_t bytes)
{
	delta->messages += n;
	delta->unseen += flags & FLAG_SEEN ? 0 : n;
	delta->deleted += flags & FLAG_DELETED ? n : 0;
	delta->bytes += n * (int64_t)bytes;
}

enum err_code folder_row_apply(struct strand *strand, uint32_t id, const struct folder_delta *delta, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(strand->db, delta->flags ? SQL_FOLDER_DELTA_FLAGS : SQL_FOLDER_DELTA);
	db_bind_i64(stmt, 1, id);
	db_bind_i64(stmt, 2, (int64_t)strand_seq(strand));
	db_bind_i64(stmt, 3, delta->uids);
	db_bind_i64(stmt, 4, delta->messages);
	db_bind_i64(stmt, 5, delta->unseen);
	db_bind_i64(stmt, 6, delta->deleted);
	db_bind_i64(stmt, 7, delta->bytes);
	strand->now.folder_seq = strand_seq(strand);
	strand->now.messages += (uint64_t)delta->messages;
	strand->now.bytes += (uint64_t)delta->bytes;
	strand_touch(strand, id);
	return db_run(strand->db, stmt, err);
}

uint32_t folder_new_uidvalidity(struct strand *strand)
{
	uint32_t now_s = (uint32_t)(clock_wall_ms() / 1000);
	strand->now.uidvalidity = now_s > strand->now.uidvalidity ? now_s : strand->now.uidvalidity + 1;
	return strand->now.uidvalidity;
}

enum err_code folder_row_add(struct strand *strand, struct str name, enum folder_use use, uint32_t *id_out, struct err *err)
{
	struct guid guid = guid_new();
	if (strand->now.folder >= FOLDER_ID_MAX)
		return err_set(err, ERR_LIMIT, "this mailbox has used up the numbers of its folders");
	sqlite3_stmt *add = db_stmt(strand->db, SQL_FOLDER_ADD);
	db_bind_str(add, 1, name);
	db_bind_blob(add, 2, guid_bytes(&guid));
	db_bind_i64(add, 3, folder_new_uidvalidity(strand));
	db_bind_i64(add, 4, (int64_t)strand_seq(strand));
	db_bind_i64(add, 5, use);
	db_bind_i64(add, 6, clock_wall_ms());
	db_bind_i64(add, 7, ++strand->now.folder);
	enum err_code code = db_run(strand->db, add, err);
	if (code == ERR_OK)
		*id_out = strand->now.folder;
	return code;
}

enum err_code folder_keywords_read(struct strand *strand, uint32_t folder, struct arena *arena,
	struct folder_keywords *keywords_out, struct err *err)
{
	struct folder_keywords *keywords = keywords_out;
	keywords->n = 0;
	sqlite3_stmt *stmt = db_stmt(strand->db, SQL_KEYWORDS);
	db_bind_i64(stmt, 1, folder);
	enum db_step step = db_step(strand->db, stmt, err);
	if (step == DB_FAILED)
		return err->code;
	struct str rest = step == DB_ROW ? db_col_str(stmt, 0) : STR_NONE, name;
	while (keywords->n < FLAG_KEYWORDS_MAX && str_cut(rest, ' ', &name, &rest))
		keywords->name[keywords->n++] = arena_dup(arena, name);
	db_reset(stmt);
	return arena_overflowed(arena) ? err_set(err, ERR_LIMIT, "too much for one command") : ERR_OK;
}

static enum err_code add_keyword(struct strand *strand, uint32_t folder, size_t bit, struct str name, struct err *err)
{
	if (bit == FLAG_KEYWORDS_MAX)
		return err_set(err, ERR_LIMIT, "this folder has %d keywords already", FLAG_KEYWORDS_MAX);
	if (name.n == 0 || name.n > FLAG_KEYWORD_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "a keyword has at most %d bytes", FLAG_KEYWORD_BYTES_MAX);
	must(str_index(name, ' ') < 0); // an atom
	sqlite3_stmt *add = db_stmt(strand->db, SQL_KEYWORD_ADD);
	db_bind_i64(add, 1, folder);
	db_bind_str(add, 2, name);
	db_bind_i64(add, 3, (int64_t)strand_seq(strand));
	strand->now.folder_seq = strand_seq(strand);
	return db_run(strand->db, add, err);
}

static size_t find_keyword(const struct folder_keywords *keywords, struct str name)
{
	size_t i = 0;
	while (i < keywords->n && !str_eq_nocase(keywords->name[i], name))
		i++;
	return i;
}

enum err_code folder_keyword_bits(struct strand *strand, uint32_t folder, const struct flag_names *names, bool make,
	uint64_t *flags_out, struct err *err)
{
	uint64_t flags = names->system & FLAG_SYSTEM;
	if (names->n == 0) {
		*flags_out = flags;
		return ERR_OK;
	}
	struct arena *arena = arena_new(FLAG_KEYWORDS_MAX * (FLAG_KEYWORD_BYTES_MAX + 64));
	struct folder_keywords keywords;
	enum err_code code = folder_keywords_read(strand, folder, arena, &keywords, err);
	for (size_t i = 0; i < names->n && code == ERR_OK; i++) {
		size_t bit = find_keyword(&keywords, names->keywords[i]);
		if (bit == keywords.n) {
			if (!make)
				continue;
			code = add_keyword(strand, folder, bit, names->keywords[i], err);
			if (code)
				break;
			keywords.name[keywords.n++] = names->keywords[i];
		}
		flags |= UINT64_C(1) << (FLAG_KEYWORD_0 + bit);
	}
	arena_free(&arena);
	if (code == ERR_OK)
		*flags_out = flags;
	return code;
}
