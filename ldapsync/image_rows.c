// SPDX-License-Identifier: Apache-2.0
// Entries of the image: put, kept, dropped, and at the end of a whole refresh swept.
#include "image_parts.h"

#include <stdlib.h>

#include "base/must.h"
#include "keys.h"
#include "schema/entry.h"

// Marks a row; false when it was marked.
static bool mark(struct image *image, int64_t id)
{
	size_t byte = (size_t)id / 8;
	uint8_t bit = (uint8_t)(1u << (id % 8));
	if (byte >= image->seen_bytes) {
		size_t bytes = image->seen_bytes ? image->seen_bytes : 4096;
		while (bytes <= byte)
			bytes *= 2;
		image->seen = realloc(image->seen, bytes);
		must(image->seen != NULL);
		memset(image->seen + image->seen_bytes, 0, bytes - image->seen_bytes);
		image->seen_bytes = bytes;
	}
	bool fresh = (image->seen[byte] & bit) == 0;
	image->seen[byte] |= bit;
	return fresh;
}

static bool is_marked(const struct image *image, int64_t id)
{
	size_t byte = (size_t)id / 8;
	return byte < image->seen_bytes && (image->seen[byte] & (1u << (id % 8)));
}

static bool has_password(const struct entry *entry)
{
	return entry_has(entry, ATTR_USER_PASSWORD) || entry_has(entry, ATTR_PH_SCRAM) || entry_has(entry, ATTR_PH_APP_PASSWORD);
}

static void note_place(struct image *image, const struct guid *uuid, const struct entry *entry, bool gained)
{
	struct buf key;
	if (!(entry->classes & ENTRY_USER))
		return;
	buf_init(&key, sizeof uuid->b + ENTRY_BYTES_MAX);
	buf_add(&key, guid_bytes(uuid));
	buf_add(&key, entry_first(entry, ATTR_MAIL_HOST));
	image_note(image, BALANCE_PLACES, buf_str(&key), gained);
	buf_fini(&key);
}

static bool is_same_place(const struct entry *a, const struct entry *b)
{
	return (a->classes & ENTRY_USER) == (b->classes & ENTRY_USER) &&
	       str_eq(entry_first(a, ATTR_MAIL_HOST), entry_first(b, ATTR_MAIL_HOST));
}

// What an entry is beside its keys, for the balance; no data: it is not there. Nothing is known of what is damaged.
static void note_change(struct image *image, const struct guid *uuid, struct str old_data, struct str data)
{
	struct entry before = {0}, after = {0};
	if (image->is_first) // which has nothing to lose
		return;
	if (!old_data.n || !data.n)
		image_note(image, BALANCE_ENTRIES, guid_bytes(uuid), data.n > 0);
	if ((old_data.n && !entry_decode(old_data, &before)) || (data.n && !entry_decode(data, &after)))
		return;
	if (!is_same_place(&before, &after)) {
		note_place(image, uuid, &before, false);
		note_place(image, uuid, &after, true);
	}
	if (has_password(&before) != has_password(&after))
		image_note(image, BALANCE_PASSWORDS, guid_bytes(uuid), has_password(&after));
}

// Unless the uuid is there.
static enum err_code insert(struct image *image, const struct guid *uuid, struct str keys, struct str data, bool *inserted_out,
	struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(image->db, IMAGE_INSERT);
	db_bind_blob(stmt, 1, guid_bytes(uuid));
	db_bind_blob(stmt, 2, keys);
	db_bind_blob(stmt, 3, data);
	enum err_code code = db_run(image->db, stmt, err);
	*inserted_out = code == ERR_OK && db_changes(image->db) > 0;
	if (code || !*inserted_out)
		return code;
	int64_t id = db_last_rowid(image->db);
	mark(image, id);
	image->counters.added++;
	note_change(image, uuid, STR_NONE, data);
	return image_change_keys(image, STR_NONE, keys, id, err);
}

static bool has_moved(struct str old_data, struct str data)
{
	struct entry before, after;
	return entry_decode(old_data, &before) && entry_decode(data, &after) && (before.classes & ENTRY_USER) &&
	       !str_eq(entry_first(&before, ATTR_MAIL_HOST), entry_first(&after, ATTR_MAIL_HOST));
}

static bool has_lost_passwords(struct str old_data, struct str data)
{
	struct entry before, after;
	return entry_decode(old_data, &before) && entry_decode(data, &after) && has_password(&before) && !has_password(&after);
}

// find stands on the row.
static enum err_code change(struct image *image, sqlite3_stmt *find, const struct guid *uuid, struct str keys, struct str data,
	struct err *err)
{
	int64_t id = db_col_i64(find, 0);
	struct str old_keys = db_col_blob(find, 1), old_data = db_col_blob(find, 2);
	bool same_keys = str_eq(old_keys, keys);
	if (same_keys && str_eq(old_data, data)) {
		image->counters.unchanged++;
		return ERR_OK;
	}
	image->counters.changed++;
	image->counters.moved += has_moved(old_data, data);
	image->counters.disarmed += has_lost_passwords(old_data, data);
	note_change(image, uuid, old_data, data);
	enum err_code code = same_keys ? ERR_OK : image_change_keys(image, old_keys, keys, id, err);
	db_reset(find);
	if (code)
		return code;
	sqlite3_stmt *update = db_stmt(image->db, IMAGE_UPDATE);
	db_bind_i64(update, 1, id);
	db_bind_blob(update, 2, keys);
	db_bind_blob(update, 3, data);
	return db_run(image->db, update, err);
}

enum err_code image_put(struct image *image, const struct guid *uuid, struct str keys, struct str data, enum image_put *put_out,
	struct err *err)
{
	enum err_code code = ERR_OK;
	enum image_put put = IMAGE_STORED;
	bool inserted = false;
	if (image->is_first) { // hardly one is there
		code = insert(image, uuid, keys, data, &inserted, err);
		if (code || inserted) {
			*put_out = IMAGE_STORED;
			return code;
		}
	}
	sqlite3_stmt *find = db_stmt(image->db, IMAGE_FIND);
	db_bind_blob(find, 1, guid_bytes(uuid));
	switch (db_step(image->db, find, err)) {
	case DB_FAILED:
		return err->code;
	case DB_DONE:
		code = insert(image, uuid, keys, data, &inserted, err);
		break;
	case DB_ROW:
		put = mark(image, db_col_i64(find, 0)) || image->how == IMAGE_CHANGE ? IMAGE_STORED : IMAGE_DUPLICATE;
		code = put == IMAGE_STORED ? change(image, find, uuid, keys, data, err) : ERR_OK;
		break;
	}
	db_reset(find);
	if (code == ERR_OK)
		*put_out = put;
	return code;
}

// The row of a uuid; *id_out is 0 when there is none.
static enum err_code find_row(struct image *image, const struct guid *uuid, struct buf *keys, struct buf *data, int64_t *id_out,
	struct err *err)
{
	sqlite3_stmt *find = db_stmt(image->db, IMAGE_FIND);
	db_bind_blob(find, 1, guid_bytes(uuid));
	switch (db_step(image->db, find, err)) {
	case DB_FAILED:
		return err->code;
	case DB_DONE:
		*id_out = 0;
		break;
	case DB_ROW:
		*id_out = db_col_i64(find, 0);
		if ((keys && !buf_add(keys, db_col_blob(find, 1))) || (data && !buf_add(data, db_col_blob(find, 2)))) {
			db_reset(find);
			return err_set(err, ERR_LIMIT, "an entry is larger than it may be");
		}
		break;
	}
	db_reset(find);
	return ERR_OK;
}

enum err_code image_keep(struct image *image, const struct guid *uuid, struct err *err)
{
	int64_t id;
	enum err_code code = find_row(image, uuid, NULL, NULL, &id, err);
	if (code == ERR_OK && id)
		mark(image, id);
	return code;
}

enum err_code image_get(struct image *image, const struct guid *uuid, struct buf *data, struct err *err)
{
	int64_t id;
	return find_row(image, uuid, NULL, data, &id, err);
}

static enum err_code delete_row(struct image *image, int64_t id, const struct guid *uuid, struct str keys, struct str data,
	struct err *err)
{
	image->counters.deleted++;
	note_change(image, uuid, data, STR_NONE);
	enum err_code code = image_change_keys(image, keys, STR_NONE, id, err);
	if (code)
		return code;
	sqlite3_stmt *delete = db_stmt(image->db, IMAGE_DELETE);
	db_bind_i64(delete, 1, id);
	return db_run(image->db, delete, err);
}

enum err_code image_drop(struct image *image, const struct guid *uuid, struct err *err)
{
	struct buf keys, data;
	int64_t id;
	buf_init(&keys, KEYS_BYTES_MAX);
	buf_init(&data, ENTRY_BYTES_MAX);
	enum err_code code = find_row(image, uuid, &keys, &data, &id, err);
	if (code == ERR_OK && id)
		code = delete_row(image, id, uuid, buf_str(&keys), buf_str(&data), err);
	buf_fini(&keys);
	buf_fini(&data);
	return code;
}

static enum err_code delete_unseen(struct image *image, struct err *err)
{
	sqlite3_stmt *all = db_stmt(image->db, IMAGE_ALL);
	enum err_code code = ERR_OK;
	enum db_step step = DB_DONE;
	while (code == ERR_OK && (step = db_step(image->db, all, err)) == DB_ROW) {
		struct guid uuid;
		struct str bytes = db_col_blob(all, 1);
		if (is_marked(image, db_col_i64(all, 0)))
			continue;
		if (bytes.n != sizeof uuid.b)
			return err_set(err, ERR_CORRUPT, "an entry without its uuid");
		memcpy(uuid.b, bytes.p, sizeof uuid.b);
		code = delete_row(image, db_col_i64(all, 0), &uuid, db_col_blob(all, 2), db_col_blob(all, 3), err);
	}
	if (step == DB_FAILED)
		return err->code;
	db_reset(all);
	return code;
}

enum err_code image_unseen_each(struct image *image, image_unseen_fn *each, void *context, struct err *err)
{
	sqlite3_stmt *all = db_stmt(image->db, IMAGE_ALL);
	enum db_step step = DB_DONE;
	while (!image->is_first && (step = db_step(image->db, all, err)) == DB_ROW) {
		struct guid uuid;
		struct str bytes = db_col_blob(all, 1);
		if (is_marked(image, db_col_i64(all, 0)) || bytes.n != sizeof uuid.b)
			continue;
		memcpy(uuid.b, bytes.p, sizeof uuid.b);
		each(context, &uuid);
	}
	if (step == DB_FAILED)
		return err->code;
	db_reset(all);
	return ERR_OK;
}

enum err_code image_settle(struct image *image, bool purge, struct image_counters *counters_out, struct err *err)
{
	enum err_code code = purge && !image->is_first ? delete_unseen(image, err) : ERR_OK; // else all there is was put
	if (code == ERR_OK)
		code = image_settle_keys(image, err);
	if (code)
		image_abort(image);
	else
		*counters_out = image->counters;
	return code;
}
