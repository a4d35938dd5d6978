// SPDX-License-Identifier: Apache-2.0
// What a server that is polled had.
#include "image_parts.h"

enum err_code image_polled_set(struct image *image, const struct guid *uuid, uint64_t digest, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(image->db, digest ? IMAGE_SET_POLLED : IMAGE_DROP_POLLED);
	db_bind_blob(stmt, 1, guid_bytes(uuid));
	if (digest)
		db_bind_i64(stmt, 2, (int64_t)digest);
	return db_run(image->db, stmt, err);
}

enum err_code image_polled_clear(struct image *image, struct err *err)
{
	return db_run(image->db, db_stmt(image->db, IMAGE_CLEAR_POLLED), err);
}

enum err_code image_polled_each(struct image *image, image_polled_fn *each, void *context, struct err *err)
{
	sqlite3_stmt *all = db_stmt(image->db, IMAGE_POLLED);
	enum db_step step;
	while ((step = db_step(image->db, all, err)) == DB_ROW) {
		struct guid uuid = {0};
		struct str bytes = db_col_blob(all, 0);
		if (bytes.n == sizeof uuid.b)
			memcpy(uuid.b, bytes.p, sizeof uuid.b);
		if (!each(context, &uuid, (uint64_t)db_col_i64(all, 1)))
			break;
	}
	if (step == DB_FAILED)
		return err->code;
	db_reset(all);
	return ERR_OK;
}
