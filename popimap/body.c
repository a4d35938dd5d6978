// SPDX-License-Identifier: Apache-2.0
// Bodies of messages, their cache and their threads.
#include "body.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/must.h"
#include "mail/cache.h"
#include "mail_row.h"
#include "mailbox_private.h"

// --- One piece of memory ---

enum { CACHE_USUAL_BYTES = 1500 };
static const uint64_t BODY_BYTES_MAX = INT64_MAX / 2; // no sum of two overflows

// prefix and a file of n bytes: the file is mapped at a page boundary, the prefix lies right before it in anonymous memory.
static enum err_code map_file(int fd, uint64_t n, struct str prefix, struct body_view *view_out, struct err *err)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), before = (prefix.n + page - 1) / page * page;
	size_t whole = before + (n + page - 1) / page * page;
	char *base = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return err_errno(err, "map a message of %llu bytes", (unsigned long long)n);
	if (mmap(base + before, n, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) == MAP_FAILED) {
		enum err_code code = err_errno(err, "map a message of %llu bytes", (unsigned long long)n);
		munmap(base, whole);
		return code;
	}
	char *text = base + before - prefix.n;
	if (prefix.n)
		memcpy(text, prefix.p, prefix.n);
	*view_out = (struct body_view){.text = str_of(text, prefix.n + n), .map = base, .map_bytes = whole};
	return ERR_OK;
}

static void join(struct str prefix, struct str data, struct body_view *view_out)
{
	if (prefix.n == 0) { // an APPEND: as it is
		*view_out = (struct body_view){.text = data};
		return;
	}
	char *heap = malloc(prefix.n + data.n + 1);
	must(heap != NULL);
	memcpy(heap, prefix.p, prefix.n);
	if (data.n)
		memcpy(heap + prefix.n, data.p, data.n);
	*view_out = (struct body_view){.text = str_of(heap, prefix.n + data.n), .heap = heap};
}

void body_view_close(struct body_view *view)
{
	free(view->heap);
	if (view->map)
		munmap(view->map, view->map_bytes);
	*view = (struct body_view){0};
}

// --- Adding ---

// The thread of a message: that of the first message it names that we know (RFC 5256's references); else it bears the hash of the
// oldest one it names, which may come later, or its own. What it names and itself are remembered, but for what that rule says
// anyhow.
enum { THREAD_REFERENCES_MAX = 16 }; // looked at from the newest, besides the first; a longer list says the same

struct threading {
	uint64_t own;                           // 0: none
	uint64_t kept[THREAD_REFERENCES_MAX];   // newest first
	size_t kept_n;
	uint64_t root;                          // the thread's number if nobody is known
};

static uint64_t hash_of(struct str message_id)
{
	struct guid nobody = {0}, hash = guid_derive(&nobody, message_id, STR("thread"));
	uint64_t bits;
	memcpy(&bits, hash.b, sizeof bits);
	return bits >> 1;
}

static void read_references(const struct cache *cache, struct threading *threading)
{
	struct str last[THREAD_REFERENCES_MAX], first = cache->message_id, id;
	size_t n = 0;
	for (struct str rest = cache->references_raw; cache_reference(&rest, &id); n++) {
		if (n == 0)
			first = id;
		last[n % THREAD_REFERENCES_MAX] = id;
	}
	threading->own = cache->message_id.n ? hash_of(cache->message_id) : 0;
	threading->kept_n = n < THREAD_REFERENCES_MAX ? n : THREAD_REFERENCES_MAX;
	for (size_t i = 0; i < threading->kept_n; i++)
		threading->kept[i] = hash_of(last[(n - 1 - i) % THREAD_REFERENCES_MAX]);
	threading->root = n ? hash_of(first) : threading->own;
}

static struct mail_key thread_key(uint64_t hash)
{
	struct mail_key key = mail_key(MAIL_ROW_THREAD);
	mail_key_u64(&key, hash);
	return key;
}

static enum err_code look_up(struct strand *strand, uint64_t hash, uint64_t *thread, struct err *err)
{
	struct mail_key key = thread_key(hash);
	struct buf value;
	bool found;
	buf_init(&value, sizeof hash);
	enum err_code code = mail_row_get(strand, &key, &value, &found, err);
	struct mail_reader reader = {.rest = buf_str(&value)};
	if (code == ERR_OK && found) {
		*thread = mail_read_u64(&reader);
		code = mail_read_end(&reader, "the thread of a message", err);
	}
	buf_fini(&value);
	return code;
}

// What was remembered first stays.
static enum err_code remember(struct strand *strand, uint64_t hash, uint64_t thread, struct err *err)
{
	uint64_t before = 0;
	if (hash == thread)
		return ERR_OK;
	enum err_code code = look_up(strand, hash, &before, err);
	if (code || before)
		return code;
	struct mail_key key = thread_key(hash);
	struct buf value;
	buf_init(&value, sizeof thread);
	mail_put_u64(&value, thread);
	code = mail_row_set(strand, &key, buf_str(&value), err);
	buf_fini(&value);
	return code;
}

// A message without an id that names nobody is alone in a thread with the number of its own body.
static enum err_code find_thread(struct strand *strand, struct str cache_bytes, const struct guid *body, uint64_t *thread_out,
	struct err *err)
{
	struct cache cache;
	struct threading threading;
	uint64_t thread = 0;
	if (cache_open(cache_bytes, &cache, err))
		return err->code;
	read_references(&cache, &threading);
	enum err_code code = threading.own ? look_up(strand, threading.own, &thread, err) : ERR_OK;
	for (size_t i = 0; i < threading.kept_n && thread == 0 && code == ERR_OK; i++)
		code = look_up(strand, threading.kept[i], &thread, err);
	if (thread == 0)
		thread = threading.root ? threading.root : hash_of(guid_bytes(body));
	if (threading.own && code == ERR_OK)
		code = remember(strand, threading.own, thread, err);
	for (size_t i = 0; i < threading.kept_n && code == ERR_OK; i++)
		code = remember(strand, threading.kept[i], thread, err);
	*thread_out = thread;
	return code;
}

// The cache's number among the blocks; those of flags are all below.
static int64_t cache_id(int64_t body)
{
	return INT64_C(1) << 62 | body;
}

static enum err_code add_cache(struct strand *strand, int64_t id, struct str cache, struct err *err)
{
	sqlite3_stmt *add = db_stmt(strand->db, SQL_BLOCK_SET);
	db_bind_i64(add, 1, cache_id(id));
	db_bind_i64(add, 2, 0);
	db_bind_blob(add, 3, cache);
	return db_run(strand->db, add, err);
}

static struct mail_key big_key(const struct guid *guid)
{
	struct mail_key key = mail_key(MAIL_ROW_BIG);
	mail_key_add(&key, guid_bytes(guid));
	return key;
}

// So that sweeping knows which files are wanted.
static enum err_code name_file(struct strand *strand, const struct body_new *body, struct err *err)
{
	struct mail_key key = big_key(&body->guid);
	return body->big ? mail_row_set(strand, &key, STR_NONE, err) : ERR_OK;
}

static enum err_code add_rows(struct strand *strand, const struct incoming *incoming, struct str prefix, struct str text,
	struct body_new *body, struct err *err)
{
	struct buf cache;
	uint64_t thread;
	buf_init(&cache, CACHE_BYTES_MAX);
	must(buf_reserve(&cache, CACHE_USUAL_BYTES) != NULL && cache_build(text, &cache));
	enum err_code code = find_thread(strand, buf_str(&cache), &body->guid, &thread, err);
	if (code == ERR_OK) {
		sqlite3_stmt *add = db_stmt(strand->db, SQL_BODY_ADD);
		db_bind_blob(add, 1, guid_bytes(&body->guid));
		db_bind_i64(add, 2, (int64_t)incoming->bytes);
		db_bind_i64(add, 3, (int64_t)thread);
		db_bind_blob(add, 4, prefix);
		if (body->big)
			db_bind_null(add, 5);
		else
			db_bind_blob(add, 5, buf_str(&incoming->memory));
		code = db_run(strand->db, add, err);
	}
	if (code == ERR_OK) {
		body->id = db_last_rowid(strand->db);
		code = add_cache(strand, body->id, buf_str(&cache), err);
	}
	if (code == ERR_OK)
		code = name_file(strand, body, err);
	buf_fini(&cache);
	return code;
}

// Links the file into big/, synced.
static enum err_code take_file(struct strand *strand, const struct incoming *incoming, const struct guid *guid, struct err *err)
{
	char from[GUID_TEXT_BYTES], to[GUID_TEXT_BYTES];
	int dir;
	enum err_code code = mail_db_big_dir(strand, true, &dir, err);
	if (code)
		return code;
	code = file_link(strand->store->incoming_fd, guid_text(&incoming->guid, from), dir, guid_text(guid, to), err);
	if (code == ERR_OK)
		code = file_dir_sync(dir, err);
	file_close(dir);
	return code;
}

enum err_code body_add(struct strand *strand, const struct incoming *incoming, struct str prefix, struct body_new *body_out,
	struct err *err)
{
	must(incoming->sealed && prefix.n <= STORE_PREFIX_BYTES_MAX);
	struct body_new *body = body_out;
	struct body_view view;
	enum err_code code = ERR_OK;
	*body = (struct body_new){.guid = guid_new(), .bytes = prefix.n + incoming->bytes, .big = incoming->fd >= 0};
	if (body->big) {
		code = take_file(strand, incoming, &body->guid, err);
		if (code == ERR_OK)
			code = map_file(incoming->fd, incoming->bytes, prefix, &view, err);
	} else {
		join(prefix, buf_str(&incoming->memory), &view);
	}
	if (code)
		return code;
	code = add_rows(strand, incoming, prefix, view.text, body, err);
	body_view_close(&view);
	return code;
}

static void remove_file(struct strand *strand, const struct guid *guid)
{
	char name[GUID_TEXT_BYTES];
	int dir;
	if (mail_db_big_dir(strand, false, &dir, NULL))
		return;
	if (file_remove(dir, guid_text(guid, name), NULL) == ERR_OK && guid_eq(&strand->big_guid, guid) && strand->big_fd >= 0) {
		file_close(strand->big_fd);
		strand->big_fd = -1;
	}
	file_close(dir); // what could not be removed is swept later
}

void body_undo(struct strand *strand, const struct body_new *body)
{
	if (body->big && !strand->in_doubt)
		remove_file(strand, &body->guid);
}

// The last reference has gone.
static enum err_code drop(struct strand *strand, int64_t id, struct err *err)
{
	struct mail_key key = mail_key(MAIL_ROW_BIG);
	sqlite3_stmt *body = db_stmt(strand->db, SQL_BODY_DROP);
	db_bind_i64(body, 1, id);
	enum db_step step = db_step(strand->db, body, err);
	if (step == DB_ROW)
		mail_key_add(&key, str_upto(db_col_blob(body, 0), sizeof(struct guid)));
	enum err_code code = mailbox_all_rows(body, step, err);
	if (code == ERR_OK)
		code = mail_row_drop(strand, &key, err);
	sqlite3_stmt *cache = db_stmt(strand->db, SQL_BLOCK_DROP);
	db_bind_i64(cache, 1, cache_id(id));
	return code ? code : db_run(strand->db, cache, err);
}

enum err_code body_count(struct strand *strand, int64_t id, int n, struct err *err)
{
	sqlite3_stmt *count = db_stmt(strand->db, SQL_BODY_REFS);
	db_bind_i64(count, 1, id);
	db_bind_i64(count, 2, n);
	switch (db_step(strand->db, count, err)) {
	case DB_FAILED:
		return err->code;
	case DB_DONE:
		return err_set(err, ERR_CORRUPT, "a message without its body");
	case DB_ROW:
		break;
	}
	bool none = db_col_i64(count, 0) <= 0;
	db_reset(count);
	return none ? drop(strand, id, err) : ERR_OK;
}

// --- Reading ---

enum err_code body_find(struct strand *strand, int64_t id, struct body *body_out, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(strand->db, SQL_BODY);
	db_bind_i64(stmt, 1, id);
	switch (db_step(strand->db, stmt, err)) {
	case DB_FAILED:
		return err->code;
	case DB_DONE:
		return err_set(err, ERR_CORRUPT, "a message without its body");
	case DB_ROW:
		break;
	}
	*body_out = (struct body){
		.id = id,
		.bytes = (uint64_t)db_col_i64(stmt, 1),
		.thread = (uint64_t)db_col_i64(stmt, 2),
		.prefix_bytes = db_col_blob(stmt, 3).n,
		.big = db_col_i64(stmt, 4) != 0,
	};
	struct str guid = db_col_blob(stmt, 0);
	if (guid.n == sizeof body_out->guid)
		memcpy(&body_out->guid, guid.p, guid.n);
	db_reset(stmt);
	return body_out->bytes > BODY_BYTES_MAX ? err_set(err, ERR_CORRUPT, "a body of a size that none has") : ERR_OK;
}

// The file of a body, which stays open until another one is wanted.
static enum err_code open_file(struct strand *strand, const struct body *body, struct err *err)
{
	if (strand->big_fd >= 0 && guid_eq(&strand->big_guid, &body->guid))
		return ERR_OK;
	char name[GUID_TEXT_BYTES];
	int dir, fd;
	off_t bytes;
	enum err_code code = mail_db_big_dir(strand, false, &dir, err);
	if (code == ERR_OK) {
		code = file_open(dir, guid_text(&body->guid, name), &fd, &bytes, err);
		file_close(dir);
	}
	if (code == ERR_NOTFOUND)
		return err_set(err, ERR_CORRUPT, "the file of a message is missing");
	if (code)
		return code;
	if ((uint64_t)bytes != body->bytes) {
		file_close(fd);
		return err_set(err, ERR_CORRUPT, "the file of a message has %lld bytes instead of %llu", (long long)bytes,
			(unsigned long long)body->bytes);
	}
	if (strand->big_fd >= 0)
		file_close(strand->big_fd);
	strand->big_fd = fd;
	strand->big_guid = body->guid;
	return ERR_OK;
}

// Appends to `out` what of [*at, *at + *n) lies in a part of the message, and moves the range to what comes after the part.
static bool add_part(struct str part, uint64_t *at, size_t *n, struct buf *out)
{
	if (*at >= part.n) {
		*at -= part.n;
		return true;
	}
	struct str piece = str_upto(str_from(part, (size_t)*at), *n);
	*at = 0;
	*n -= piece.n;
	return buf_add(out, piece);
}

// A body in its row is read whole, 64 KiB at most: to open it for a piece (incremental blob I/O) costs more than to read it.
static enum err_code read_row(struct strand *strand, const struct body *body, uint64_t at, size_t n, struct buf *out,
	struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(strand->db, body->big ? SQL_BODY_PREFIX : SQL_BODY_TEXT);
	db_bind_i64(stmt, 1, body->id);
	enum db_step step = db_step(strand->db, stmt, err);
	bool fits = step != DB_ROW ||
		    (add_part(db_col_blob(stmt, 0), &at, &n, out) && (body->big || add_part(db_col_blob(stmt, 1), &at, &n, out)));
	db_reset(stmt);
	if (step == DB_FAILED)
		return err->code;
	if (!fits)
		return err_set(err, ERR_LIMIT, "no room for %zu bytes of a message", n);
	if (step == DB_DONE || n)
		return err_set(err, ERR_CORRUPT, "a message without its body");
	return ERR_OK;
}

static enum err_code read_file(struct strand *strand, const struct body *body, uint64_t at, size_t n, struct buf *out,
	struct err *err)
{
	char *p = buf_reserve(out, n);
	if (p == NULL)
		return err_set(err, ERR_LIMIT, "no room for %zu bytes of a message", n);
	enum err_code code = open_file(strand, body, err);
	if (code == ERR_OK)
		code = file_read_at(strand->big_fd, p, n, (off_t)at, err);
	if (code == ERR_OK)
		buf_grew(out, n);
	return code;
}

enum err_code body_read(struct strand *strand, const struct body *body, uint64_t at, size_t n, struct buf *out, struct err *err)
{
	uint64_t bytes = body->prefix_bytes + body->bytes;
	if (at > bytes || n > bytes - at) // what its row in msg says is more than there is
		return err_set(err, ERR_CORRUPT, "a message is longer than its body");
	size_t in_row = !body->big                    ? n
			: at >= body->prefix_bytes    ? 0
			: body->prefix_bytes - at < n ? (size_t)(body->prefix_bytes - at)
						      : n;
	size_t before = out->n;
	enum err_code code = in_row ? read_row(strand, body, at, in_row, out, err) : ERR_OK;
	if (code == ERR_OK && in_row < n)
		code = read_file(strand, body, at + in_row - body->prefix_bytes, n - in_row, out, err);
	if (code)
		buf_truncate(out, before);
	return code;
}

enum err_code body_view_open(struct strand *strand, const struct body *body, struct body_view *view_out, struct err *err)
{
	struct buf text;
	if (!body->big) {
		buf_init(&text, STORE_INLINE_BYTES_MAX + STORE_PREFIX_BYTES_MAX);
		enum err_code code = body_read(strand, body, 0, body->prefix_bytes + body->bytes, &text, err);
		if (code == ERR_OK)
			*view_out = (struct body_view){.text = buf_str(&text), .heap = text.p};
		else
			buf_fini(&text);
		return code;
	}
	buf_init(&text, STORE_PREFIX_BYTES_MAX);
	enum err_code code = body_read(strand, body, 0, body->prefix_bytes, &text, err);
	if (code == ERR_OK)
		code = open_file(strand, body, err);
	if (code == ERR_OK)
		code = map_file(strand->big_fd, body->bytes, buf_str(&text), view_out, err);
	buf_fini(&text);
	return code;
}

enum err_code body_cache(struct strand *strand, const struct body *body, struct buf *out, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(strand->db, SQL_BLOCK);
	db_bind_i64(stmt, 1, cache_id(body->id));
	enum db_step step = db_step(strand->db, stmt, err);
	struct cache cache;
	struct err own;
	bool good = step == DB_ROW && cache_open(db_col_blob(stmt, 0), &cache, &own) == ERR_OK;
	bool fits = !good || buf_add(out, db_col_blob(stmt, 0));
	db_reset(stmt);
	if (step == DB_FAILED)
		return err->code;
	if (!fits)
		return err_set(err, ERR_LIMIT, "no room for the structure of a message");
	if (good)
		return ERR_OK;
	struct body_view view;
	size_t before = out->n;
	enum err_code code = body_view_open(strand, body, &view, err);
	if (code)
		return code;
	bool built = cache_build(view.text, out);
	body_view_close(&view);
	return built ? add_cache(strand, body->id, str_from(buf_str(out), before), err) :
		       err_set(err, ERR_LIMIT, "no room for the structure of a message");
}

// --- Sweeping ---

struct sweep {
	struct strand *strand;
	int dir;
	struct err *err;
	enum err_code code;
};

static bool sweep_one(void *ctx, struct str name)
{
	struct sweep *sweep = ctx;
	struct guid guid;
	if (!guid_parse(name, &guid))
		return true;
	struct mail_key key = big_key(&guid);
	struct buf value;
	bool found;
	buf_init(&value, 0);
	sweep->code = mail_row_get(sweep->strand, &key, &value, &found, sweep->err);
	buf_fini(&value);
	if (sweep->code == ERR_OK && !found)
		sweep->code = file_remove(sweep->dir, name, sweep->err);
	return sweep->code == ERR_OK;
}

enum err_code body_sweep(struct strand *strand, struct err *err)
{
	must(sqlite3_txn_state(db_handle(strand->db), NULL) != SQLITE_TXN_WRITE);
	struct sweep sweep = {.strand = strand, .err = err};
	enum err_code code = mail_db_big_dir(strand, false, &sweep.dir, err);
	if (code)
		return code == ERR_NOTFOUND ? ERR_OK : code; // no large message yet
	code = file_dir_each(sweep.dir, sweep_one, &sweep, err);
	file_close(sweep.dir);
	return code ? code : sweep.code;
}
