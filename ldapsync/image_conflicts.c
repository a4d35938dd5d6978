// SPDX-License-Identifier: Apache-2.0
// Keys that several entries claim (I11): of all, found by a walk in order of the keys, or of the keys of one change.
#include "image_parts.h"

#include "keys.h"
#include "schema/entry.h"

// The DNs that claim a key, as "a; b".
static enum err_code claimants(struct image *image, int kind, struct str key, struct buf *dns, size_t *n_out, struct err *err)
{
	size_t n = 0;
	sqlite3_stmt *stmt = db_stmt(image->db, IMAGE_CLAIMANTS);
	enum db_step step;
	db_bind_i64(stmt, 1, kind);
	db_bind_blob(stmt, 2, key);
	while ((step = db_step(image->db, stmt, err)) == DB_ROW) {
		struct entry entry;
		n++;
		if (entry_decode(db_col_blob(stmt, 0), &entry)) {
			buf_add(dns, dns->n ? STR("; ") : STR_NONE);
			buf_add(dns, entry.dn);
		}
	}
	if (step == DB_FAILED)
		return err->code;
	db_reset(stmt);
	*n_out = n;
	return ERR_OK;
}

// As a walk, because to group so many rows costs several times what it takes to read them.
enum err_code image_conflicts(struct image *image, image_conflict_fn *each, void *context, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(image->db, IMAGE_KEYS_IN_ORDER);
	struct buf dns, last;
	enum err_code code = ERR_OK;
	enum db_step step = DB_DONE;
	int64_t last_kind = -1;
	bool told = false;
	if (image->knows_doubles)
		return image_conflicts_of(image, buf_str(&image->doubles), each, context, err);
	buf_init(&dns, 8 * ENTRY_DN_BYTES_MAX);
	buf_init(&last, KEYS_KEY_BYTES_MAX);
	while (code == ERR_OK && (step = db_step(image->db, stmt, err)) == DB_ROW) {
		int64_t kind = db_col_i64(stmt, 0);
		struct str key = db_col_blob(stmt, 1);
		size_t n;
		if (kind != last_kind || !str_eq(key, buf_str(&last))) {
			last_kind = kind;
			buf_clear(&last);
			buf_add(&last, key);
			told = false;
		} else if (!told) {
			buf_clear(&dns);
			code = claimants(image, (int)kind, key, &dns, &n, err);
			if (code == ERR_OK)
				each(context, (int)kind, key, buf_str(&dns));
			told = true;
		}
	}
	if (step == DB_FAILED)
		code = err->code;
	else
		db_reset(stmt);
	buf_fini(&dns);
	buf_fini(&last);
	return code;
}

enum err_code image_conflicts_of(struct image *image, struct str keys, image_conflict_fn *each, void *context, struct err *err)
{
	enum directory_key kind;
	struct str key;
	struct buf dns;
	enum err_code code = ERR_OK;
	buf_init(&dns, 8 * ENTRY_DN_BYTES_MAX);
	while (code == ERR_OK && keys_next(&keys, &kind, &key)) {
		size_t n = 0;
		buf_clear(&dns);
		code = claimants(image, (int)kind, key, &dns, &n, err);
		if (code == ERR_OK && n > 1)
			each(context, (int)kind, key, buf_str(&dns));
	}
	buf_fini(&dns);
	return code;
}
