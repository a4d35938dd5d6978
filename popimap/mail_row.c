// SPDX-License-Identifier: Apache-2.0
// Rows under a key of bytes: the statements, the bytes of keys and values.
#include "mail_row.h"

#include "base/must.h"
#include "mailbox_private.h"

// --- Keys ---

struct mail_key mail_key(enum mail_row_kind kind)
{
	struct mail_key key;
	key.n = 1;
	key.p[0] = (char)kind;
	key.p[1] = '\0';
	return key;
}

struct mail_key mail_key_behind(enum mail_row_kind kind)
{
	return mail_key((enum mail_row_kind)(kind + 1));
}

void mail_key_add(struct mail_key *key, struct str bytes)
{
	must(bytes.n <= MAIL_KEY_BYTES_MAX - key->n);
	if (bytes.n)
		memcpy(key->p + key->n, bytes.p, bytes.n);
	key->n += bytes.n;
	key->p[key->n] = '\0';
}

static void to_bytes(uint64_t value, size_t n, char *p)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(uint8_t)(value >> (8 * (n - 1 - i)));
}

void mail_key_u32(struct mail_key *key, uint32_t value)
{
	char p[sizeof value];
	to_bytes(value, sizeof p, p);
	mail_key_add(key, str_of(p, sizeof p));
}

void mail_key_u64(struct mail_key *key, uint64_t value)
{
	char p[sizeof value];
	to_bytes(value, sizeof p, p);
	mail_key_add(key, str_of(p, sizeof p));
}

// --- Rows ---

static sqlite3_stmt *range_stmt(struct strand *strand, size_t sql, struct str from, struct str end)
{
	sqlite3_stmt *stmt = db_stmt(strand->db, sql);
	db_bind_blob(stmt, 1, from);
	db_bind_blob(stmt, 2, end);
	return stmt;
}

// The range that holds one key: a statement less to prepare for a mailbox that is opened.
static sqlite3_stmt *one_stmt(struct strand *strand, const struct mail_key *key)
{
	return range_stmt(strand, SQL_ROWS, mail_key_str(key), str_of(key->p, key->n + 1));
}

enum err_code mail_row_get(struct strand *strand, const struct mail_key *key, struct buf *value, bool *found_out, struct err *err)
{
	sqlite3_stmt *stmt = one_stmt(strand, key);
	enum db_step step = db_step(strand->db, stmt, err);
	if (step == DB_FAILED)
		return err->code;
	bool fits = step == DB_DONE || buf_add(value, db_col_blob(stmt, 1));
	db_reset(stmt);
	*found_out = step == DB_ROW;
	return fits ? ERR_OK : err_set(err, ERR_CORRUPT, "a row of this mailbox is larger than any we write");
}

enum err_code mail_row_set(struct strand *strand, const struct mail_key *key, struct str value, struct err *err)
{
	return db_run(strand->db, range_stmt(strand, SQL_ROW_SET, mail_key_str(key), value), err);
}

enum err_code mail_row_drop(struct strand *strand, const struct mail_key *key, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(strand->db, SQL_ROW_DROP);
	db_bind_blob(stmt, 1, mail_key_str(key));
	return db_run(strand->db, stmt, err);
}

static enum err_code take_all(struct strand *strand, sqlite3_stmt *stmt, mail_row_take *take, void *arg, struct err *err)
{
	enum db_step step;
	while ((step = db_step(strand->db, stmt, err)) == DB_ROW && take(arg, db_col_blob(stmt, 0), db_col_blob(stmt, 1)))
		;
	return mailbox_all_rows(stmt, step, err);
}

enum err_code mail_rows_each(struct strand *strand, struct str from, struct str end, mail_row_take *take, void *arg,
	struct err *err)
{
	return take_all(strand, range_stmt(strand, SQL_ROWS, from, end), take, arg, err);
}

static sqlite3_stmt *kind_stmt(struct strand *strand, size_t sql, enum mail_row_kind kind, struct mail_key keys[2])
{
	keys[0] = mail_key(kind);
	keys[1] = mail_key_behind(kind);
	return range_stmt(strand, sql, mail_key_str(&keys[0]), mail_key_str(&keys[1]));
}

enum err_code mail_rows_count(struct strand *strand, enum mail_row_kind kind, uint64_t *n_out, struct err *err)
{
	struct mail_key keys[2];
	sqlite3_stmt *stmt = kind_stmt(strand, SQL_ROWS_COUNT, kind, keys);
	enum db_step step = db_step(strand->db, stmt, err);
	if (step == DB_ROW)
		*n_out = (uint64_t)db_col_i64(stmt, 0);
	return mailbox_all_rows(stmt, step, err);
}

enum err_code mail_rows_old(struct strand *strand, enum mail_row_kind kind, int64_t until_ms, size_t n, mail_row_take *take,
	void *arg, struct err *err)
{
	struct mail_key keys[2];
	char time[sizeof until_ms];
	sqlite3_stmt *stmt = kind_stmt(strand, SQL_ROWS_OLD, kind, keys);
	to_bytes((uint64_t)until_ms, sizeof time, time);
	db_bind_blob(stmt, 3, str_of(time, sizeof time));
	db_bind_i64(stmt, 4, (int64_t)n);
	return take_all(strand, stmt, take, arg, err);
}

enum err_code mail_rows_forget(struct strand *strand, enum mail_row_kind kind, int64_t before_ms, struct err *err)
{
	struct mail_key keys[2];
	char time[sizeof before_ms];
	sqlite3_stmt *stmt = kind_stmt(strand, SQL_ROWS_FORGET, kind, keys);
	to_bytes(before_ms > 0 ? (uint64_t)before_ms : 0, sizeof time, time);
	db_bind_blob(stmt, 3, str_of(time, sizeof time));
	return db_run(strand->db, stmt, err);
}

// --- Values ---

static void put(struct buf *value, uint64_t n, size_t bytes)
{
	char p[sizeof n];
	to_bytes(n, bytes, p);
	must(buf_add(value, str_of(p, bytes)));
}

void mail_put_u8(struct buf *value, uint8_t n)
{
	put(value, n, sizeof n);
}

void mail_put_u32(struct buf *value, uint32_t n)
{
	put(value, n, sizeof n);
}

void mail_put_u64(struct buf *value, uint64_t n)
{
	put(value, n, sizeof n);
}

void mail_put_str(struct buf *value, struct str bytes)
{
	must(bytes.n <= UINT16_MAX);
	put(value, bytes.n, sizeof(uint16_t));
	must(buf_add(value, bytes));
}

void mail_put_guid(struct buf *value, const struct guid *guid)
{
	must(buf_add(value, guid_bytes(guid)));
}

static struct str take_bytes(struct mail_reader *reader, size_t n)
{
	reader->damaged |= reader->rest.n < n;
	if (reader->damaged)
		return STR_NONE;
	struct str bytes = str_upto(reader->rest, n);
	reader->rest = str_from(reader->rest, n);
	return bytes;
}

static uint64_t take_number(struct mail_reader *reader, size_t n)
{
	struct str bytes = take_bytes(reader, n);
	uint64_t value = 0;
	for (size_t i = 0; i < bytes.n; i++)
		value = value << 8 | (uint8_t)bytes.p[i];
	return value;
}

uint8_t mail_read_u8(struct mail_reader *reader)
{
	return (uint8_t)take_number(reader, sizeof(uint8_t));
}

uint32_t mail_read_u32(struct mail_reader *reader)
{
	return (uint32_t)take_number(reader, sizeof(uint32_t));
}

uint64_t mail_read_u64(struct mail_reader *reader)
{
	return take_number(reader, sizeof(uint64_t));
}

struct str mail_read_str(struct mail_reader *reader)
{
	size_t n = (size_t)take_number(reader, sizeof(uint16_t));
	return take_bytes(reader, n);
}

struct guid mail_read_guid(struct mail_reader *reader)
{
	struct guid guid = {0};
	struct str bytes = take_bytes(reader, sizeof guid.b);
	if (bytes.n)
		memcpy(guid.b, bytes.p, bytes.n);
	return guid;
}

struct mail_reader mail_read_key(struct str key, enum mail_row_kind kind)
{
	struct mail_reader reader = {.rest = key};
	reader.damaged = mail_read_u8(&reader) != (uint8_t)kind;
	return reader;
}

enum err_code mail_read_end(const struct mail_reader *reader, const char *what, struct err *err)
{
	return reader->damaged || reader->rest.n ? err_set(err, ERR_CORRUPT, "%s is damaged", what) : ERR_OK;
}
