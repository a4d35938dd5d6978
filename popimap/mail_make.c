// SPDX-License-Identifier: Apache-2.0
// Making a mailbox: directory, database, first rows.
//
// Happy path: ab/ and ab/<id>/ are made, each parent synced after; mail.db is written in one piece, an image that is the same for
// all and has the default folders in it, and beside it an empty mail.db-wal, so that SQLite has none to make and no directory to
// sync for it; the directory is synced. The owner is added, and the folders get their guids and UIDVALIDITY, in the transaction
// of the first job, a delivery as a rule: one commit for both.
//
// Crash story: mail.db gets its name when it is whole and synced; a database without an owner row is no mailbox yet. After a
// crash at any point the next try goes on from there.
#include "mail_make.h"

#include "base/clock.h"
#include "base/codec.h"
#include "base/file.h"
#include "base/must.h"
#include "folder_row.h"
#include "mailbox.h"
#include "schema/ddl_mail.h"

enum { DIR_MODE = 0700, FILE_MODE = 0600, IMAGE_BYTES_MAX = 1 << 20 };

// --- The image ---

static const struct {
	const char *name;
	enum folder_use use;
} default_folders[] = {
	{"INBOX", FOLDER_USE_NONE},
	{"Drafts", FOLDER_USE_DRAFTS},
	{"Sent", FOLDER_USE_SENT},
	{"Junk", FOLDER_USE_JUNK},
	{"Trash", FOLDER_USE_TRASH},
};

static bool add_row(struct buf *sql, struct str key, struct str value)
{
	return buf_add(sql, STR("INSERT INTO row VALUES(x'")) && codec_hex_add(sql, key) && buf_add(sql, STR("',x'")) &&
	       codec_hex_add(sql, value) && buf_add(sql, STR("');"));
}

static void add_folder(struct buf *sql, uint32_t id, struct str name, enum folder_use use)
{
	struct folder_image image;
	struct mail_key subscription = folder_subscription_key(name);
	struct buf subscribed;
	buf_init(&subscribed, FOLDER_SUBSCRIPTION_BYTES);
	folder_subscription_put(&subscribed, true, 1);
	folder_row_first(id, name, use, &image);
	must(add_row(sql, mail_key_str(&image.key), buf_str(&image.value)));
	must(add_row(sql, mail_key_str(&image.name), buf_str(&image.id)));
	must(add_row(sql, mail_key_str(&subscription), buf_str(&subscribed)));
	buf_fini(&image.value);
	buf_fini(&image.id);
	buf_fini(&subscribed);
}

// The default folders, subscribed. Their guids, UIDVALIDITY and times come with the owner.
enum err_code mail_make_image(struct store *store, struct err *err)
{
	struct buf rows;
	buf_init(&rows, IMAGE_BYTES_MAX);
	for (size_t i = 0; i < sizeof default_folders / sizeof *default_folders; i++)
		add_folder(&rows, (uint32_t)i + 1, str_of_c(default_folders[i].name), default_folders[i].use);
	buf_init(&store->empty_mail_db, IMAGE_BYTES_MAX);
	enum err_code code = db_image(&ddl_mail, buf_c(&rows), 0, &store->empty_mail_db, err);
	buf_fini(&rows);
	return code;
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

enum { DEFAULT_FOLDERS = sizeof default_folders / sizeof *default_folders };

enum err_code mail_make_owner(struct strand *strand, const struct store_home *home, struct err *err)
{
	strand->made_ms = clock_wall_ms();
	uint32_t before = (uint32_t)(strand->made_ms / 1000);
	// Of an ownerless mailbox nothing outlives a commit that fails, so this may say already what the commit will make true.
	strand->now = strand->committed = (struct counts){
		.change_seq = 1, .folder_seq = 1, .uidvalidity = before + DEFAULT_FOLDERS, .folder = DEFAULT_FOLDERS};
	const struct mail_key key = mail_key(MAIL_ROW_OWNER);
	const struct mail_owner owner = {.mailbox = strand->id, .state = DDL_MAIL_ACTIVE, .epoch = home->epoch,
		.made_ms = strand->made_ms, .change_seq = strand->now.change_seq, .uidvalidity = strand->now.uidvalidity,
		.folder = strand->now.folder, .host = home->host};
	struct buf value;
	buf_init(&value, MAIL_OWNER_BYTES_MAX);
	mail_db_put_owner(&value, &owner);
	enum err_code code = mail_row_set(strand, &key, buf_str(&value), err);
	buf_fini(&value);
	for (uint32_t id = 1; id <= DEFAULT_FOLDERS && code == ERR_OK; id++)
		code = folder_row_begin(strand, id,
			&(struct folder_begin){.guid = guid_new(), .uidvalidity = before + id, .made_ms = strand->made_ms}, err);
	return code;
}
