// SPDX-License-Identifier: Apache-2.0
// Making a mailbox: directory, database, first rows.
//
// Happy path: ab/ and ab/<id>/ are made, each parent synced after; mail.db is written in one piece, the image of an empty database that is the
// same for all, and beside it an empty mail.db-wal, so that SQLite has none to make and no directory to sync for it; the directory is
// synced. Owner and folders are added in the transaction of the first job, a delivery as a rule: one commit for both.
//
// Crash story: mail.db gets its name when it is whole and synced; a database without an owner row is no mailbox yet. After a crash at any
// point the next try goes on from there.
#include "mail_make.h"

#include "base/clock.h"
#include "base/file.h"
#include "mailbox.h"
#include "schema/ddl_mail.h"

enum { DIR_MODE = 0700, FILE_MODE = 0600, IMAGE_BYTES_MAX = 1 << 20 };

enum err_code mail_make_image(struct store *store, struct err *err)
{
	buf_init(&store->empty_mail_db, IMAGE_BYTES_MAX);
	return db_image(&ddl_mail, 0, &store->empty_mail_db, err);
}

// --- Files ---

// The directory ab/, once in the life of a store: whoever made it before may have died before its sync.
static enum err_code make_level(struct store *store, const struct mail_place *place, struct err *err)
{
	_Atomic bool *made = &store->levels_made[place->level_number];
	if (atomic_load(made))
		return ERR_OK;
	enum err_code code = file_dir_make(store->dir_fd, place->level, DIR_MODE, NULL, err);
	if (code == ERR_OK)
		atomic_store(made, true);
	return code;
}

static enum err_code make_dir(struct strand *strand, int *fd_out, struct err *err)
{
	struct mail_place place;
	int level;
	mail_db_place(&strand->id, &place);
	enum err_code code = make_level(strand->store, &place, err);
	if (code == ERR_OK)
		code = file_dir_open_at(strand->store->dir_fd, place.level, &level, err);
	if (code)
		return code;
	code = file_dir_make(level, place.id, DIR_MODE, NULL, err);
	if (code == ERR_OK)
		code = file_dir_open_at(level, place.id, fd_out, err);
	file_close(level);
	return code;
}

static enum err_code make_wal(int dir, struct err *err)
{
	int fd;
	enum err_code code = file_create(dir, STR("mail.db-wal"), &fd, err);
	if (code == ERR_EXISTS) // of an earlier try
		return ERR_OK;
	if (code == ERR_OK)
		file_close(fd);
	return code;
}

enum err_code mail_make_files(struct strand *strand, struct err *err)
{
	int dir, fd;
	enum err_code code = make_dir(strand, &dir, err);
	if (code)
		return code;
	code = file_open(dir, STR("mail.db"), &fd, NULL, err);
	if (code == ERR_OK) { // an earlier try came as far as this
		file_close(fd);
		code = file_dir_sync(dir, err);
	} else if (code == ERR_NOTFOUND) {
		code = make_wal(dir, err);
		if (code == ERR_OK)
			code = file_replace(dir, STR("mail.db"), buf_str(&strand->store->empty_mail_db), FILE_MODE, err);
	}
	file_close(dir);
	return code;
}

// --- Rows ---

static const struct {
	struct str name;
	enum folder_use use;
} default_folders[] = {
	{STR("INBOX"), FOLDER_USE_NONE},
	{STR("Drafts"), FOLDER_USE_DRAFTS},
	{STR("Sent"), FOLDER_USE_SENT},
	{STR("Junk"), FOLDER_USE_JUNK},
	{STR("Trash"), FOLDER_USE_TRASH},
};

static enum err_code add_default_folder(struct strand *strand, size_t i, uint32_t uidvalidity, struct err *err)
{
	struct guid guid = guid_new();
	sqlite3_stmt *add = db_stmt(strand->db, SQL_FOLDER_ADD);
	db_bind_str(add, 1, default_folders[i].name);
	db_bind_blob(add, 2, guid_bytes(&guid));
	db_bind_i64(add, 3, uidvalidity);
	db_bind_i64(add, 4, 1);
	db_bind_i64(add, 5, default_folders[i].use);
	db_bind_i64(add, 6, strand->made_ms);
	enum err_code code = db_run(strand->db, add, err);
	if (code)
		return code;
	sqlite3_stmt *subscribe = db_stmt(strand->db, SQL_SUBSCRIBE);
	db_bind_str(subscribe, 1, default_folders[i].name);
	db_bind_i64(subscribe, 2, 1);
	db_bind_i64(subscribe, 3, 1);
	return db_run(strand->db, subscribe, err);
}

enum err_code mail_make_owner(struct strand *strand, const struct store_home *home, struct err *err)
{
	strand->made_ms = clock_wall_ms();
	sqlite3_stmt *owner = db_stmt(strand->db, SQL_OWNER_ADD);
	db_bind_blob(owner, 1, guid_bytes(&strand->id));
	db_bind_str(owner, 2, home->host);
	db_bind_i64(owner, 3, (int64_t)home->epoch);
	db_bind_i64(owner, 4, strand->made_ms);
	enum err_code code = db_run(strand->db, owner, err);
	size_t n = sizeof default_folders / sizeof *default_folders;
	uint32_t first = (uint32_t)(strand->made_ms / 1000); // one each, so that no two folders ever share (UIDVALIDITY, name)
	for (size_t i = 0; i < n && code == ERR_OK; i++)
		code = add_default_folder(strand, i, first + (uint32_t)i, err);
	strand->now.change_seq = 1;
	strand->now.uidvalidity = first + (uint32_t)n - 1;
	return code;
}
