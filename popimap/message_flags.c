// SPDX-License-Identifier: Apache-2.0
// The blocks of flags of a folder, read and written.
#include "message_flags.h"

#include "base/must.h"
#include "mail_sql.h"
#include "message_row.h"

// The key of a row of flags: folder, and the first uid of the block.
static int64_t block_key(uint32_t folder, uint32_t uid)
{
	return message_row_id(folder, flag_block_first(uid));
}

static enum err_code damaged(struct err *err)
{
	return err_set(err, ERR_CORRUPT, "the flags of messages are damaged");
}

// Writes a block, or drops it when nothing is left in it.
static enum err_code write_block(struct strand *strand, int64_t key, uint64_t modseq, struct str block, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(strand->db, block.n ? SQL_BLOCK_SET : SQL_BLOCK_DROP);
	db_bind_i64(stmt, 1, key);
	if (block.n) {
		db_bind_i64(stmt, 2, (int64_t)modseq);
		db_bind_blob(stmt, 3, block);
	}
	return db_run(strand->db, stmt, err);
}

enum err_code message_flags_add(struct strand *strand, uint32_t folder, const struct folder_change *message, struct err *err)
{
	int64_t key = block_key(folder, message->uid);
	sqlite3_stmt *stmt = db_stmt(strand->db, SQL_BLOCK);
	db_bind_i64(stmt, 1, key);
	enum db_step step = db_step(strand->db, stmt, err);
	if (step == DB_FAILED)
		return err->code;
	struct buf block;
	buf_init(&block, FLAG_BLOCK_BYTES_MAX);
	bool fits = (step == DB_DONE || buf_add(&block, db_col_blob(stmt, 0))) && flag_block_add(&block, message);
	db_reset(stmt);
	enum err_code code = fits ? write_block(strand, key, message->modseq, buf_str(&block), err) : damaged(err);
	buf_fini(&block);
	return code;
}

// Calls take for all messages of the block that holds uids[*at]; wanted: it is one of uids. *at moves behind the block.
typedef void block_take(void *arg, struct folder_change *message, bool wanted);

static enum err_code walk_block(struct strand *strand, uint32_t folder, const uint32_t *uids, size_t n, size_t *at,
	block_take *take, void *arg, struct err *err)
{
	uint32_t first = flag_block_first(uids[*at]);
	sqlite3_stmt *stmt = db_stmt(strand->db, SQL_BLOCK);
	db_bind_i64(stmt, 1, block_key(folder, first));
	enum db_step step = db_step(strand->db, stmt, err);
	if (step == DB_FAILED)
		return err->code;
	struct flag_cursor cursor = flag_block_begin(step == DB_ROW ? db_col_blob(stmt, 0) : STR_NONE, first);
	struct folder_change message;
	while (flag_block_next(&cursor, &message)) {
		while (*at < n && uids[*at] < message.uid)
			++*at;
		take(arg, &message, *at < n && uids[*at] == message.uid);
	}
	while (*at < n && flag_block_first(uids[*at]) == first)
		++*at;
	db_reset(stmt);
	return cursor.damaged ? damaged(err) : ERR_OK;
}

struct reading {
	struct folder_change *out;
	size_t n;
};

static void read_one(void *arg, struct folder_change *message, bool wanted)
{
	struct reading *reading = arg;
	if (wanted)
		reading->out[reading->n++] = *message;
}

enum err_code message_flags_read(struct strand *strand, uint32_t folder, const uint32_t *uids, size_t n,
	struct folder_change *out, size_t *n_out, struct err *err)
{
	struct reading reading = {.out = out};
	enum err_code code = ERR_OK;
	for (size_t at = 0; at < n && code == ERR_OK;)
		code = walk_block(strand, folder, uids, n, &at, read_one, &reading, err);
	*n_out = reading.n;
	return code;
}

enum err_code message_flags_each(struct strand *strand, uint32_t folder, uint32_t from, uint64_t since, message_flags_take *each,
	void *arg, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(strand->db, SQL_BLOCK_SINCE);
	db_bind_i64(stmt, 1, block_key(folder, from));
	db_bind_i64(stmt, 2, block_key(folder, UINT32_MAX));
	db_bind_i64(stmt, 3, (int64_t)since);
	bool good = true;
	enum db_step step;
	while (good && (step = db_step(strand->db, stmt, err)) == DB_ROW) {
		uint32_t first = (uint32_t)db_col_i64(stmt, 0);
		good = first == flag_block_first(first); // else blocks overlap, and uids do not ascend
		struct flag_cursor cursor = flag_block_begin(good ? db_col_blob(stmt, 1) : STR_NONE, first);
		struct folder_change message;
		while (flag_block_next(&cursor, &message))
			if (message.uid >= from && message.modseq > since)
				each(arg, &message);
		good = good && !cursor.damaged;
	}
	if (good && step == DB_FAILED)
		return err->code;
	db_reset(stmt);
	return good ? ERR_OK : damaged(err);
}

struct changing {
	message_flags_fate *fate;
	void *arg;
	struct buf block;
	uint64_t modseq; // the highest that the block has
	bool changed;
};

static void change_one(void *arg, struct folder_change *message, bool wanted)
{
	struct changing *changing = arg;
	enum flag_fate fate = wanted ? changing->fate(changing->arg, message) : FLAG_KEPT;
	changing->changed |= fate != FLAG_KEPT;
	if (fate == FLAG_GONE)
		return;
	if (message->modseq > changing->modseq)
		changing->modseq = message->modseq;
	must(flag_block_add(&changing->block, message));
}

enum err_code message_flags_change(struct strand *strand, uint32_t folder, const uint32_t *uids, size_t n,
	message_flags_fate *fate, void *arg, struct err *err)
{
	struct changing changing = {.fate = fate, .arg = arg};
	enum err_code code = ERR_OK;
	buf_init(&changing.block, FLAG_BLOCK_BYTES_MAX);
	for (size_t at = 0; at < n && code == ERR_OK;) {
		int64_t key = block_key(folder, uids[at]);
		changing.changed = false;
		changing.modseq = 0;
		buf_clear(&changing.block);
		code = walk_block(strand, folder, uids, n, &at, change_one, &changing, err);
		if (code == ERR_OK && changing.changed)
			code = write_block(strand, key, changing.modseq, buf_str(&changing.block), err);
	}
	buf_fini(&changing.block);
	return code;
}
