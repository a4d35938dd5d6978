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
#include "base/file.h"
#include "base/must.h"
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

// The default folders, subscribed. Their guids, UIDVALIDITY and times come with the owner.
enum err_code mail_make_image(struct store *store, struct err *err)
{
	struct buf rows;
	buf_init(&rows, IMAGE_BYTES_MAX);
	for (size_t i = 0; i < sizeof default_folders / sizeof *default_folders; i++)
		must(buf_printf(&rows,
			"INSERT INTO "
			"folder(name,guid,uidvalidity,uidnext,modseq,flags_modseq,use,selectable,made_ms,recent_uid,messages,"
			"unseen,deleted,bytes,keywords) VALUES('%s',x'',0,1,1,1,%d,1,0,1,0,0,0,0,''); INSERT INTO "
			"subscription(name,subscribed,modseq) VALUES('%s',1,1);",
			default_folders[i].name, default_folders[i].use, default_folders[i].name));
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
	struct guid guids[DEFAULT_FOLDERS];
	strand->made_ms = clock_wall_ms();
	uint32_t before = (uint32_t)(strand->made_ms / 1000);
	// Of an ownerless mailbox nothing outlives a commit that fails, so this may say already what the commit will make true.
	strand->now = strand->committed = (struct counts){
		.change_seq = 1, .folder_seq = 1, .uidvalidity = before + DEFAULT_FOLDERS, .folder = DEFAULT_FOLDERS};
	sqlite3_stmt *owner = db_stmt(strand->db, SQL_OWNER_ADD);
	db_bind_blob(owner, 1, guid_bytes(&strand->id));
	db_bind_str(owner, 2, home->host);
	db_bind_i64(owner, 3, (int64_t)home->epoch);
	db_bind_i64(owner, 4, strand->made_ms);
	db_bind_i64(owner, 5, (int64_t)strand->now.change_seq);
	db_bind_i64(owner, 6, strand->now.uidvalidity);
	db_bind_i64(owner, 7, strand->now.folder);
	enum err_code code = db_run(strand->db, owner, err);
	if (code)
		return code;
	for (size_t i = 0; i < DEFAULT_FOLDERS; i++)
		guids[i] = guid_new();
	sqlite3_stmt *folders = db_stmt(strand->db, SQL_FOLDERS_BEGIN);
	db_bind_blob(folders, 1, str_of((const char *)guids, sizeof guids));
	db_bind_i64(folders, 2, before);
	db_bind_i64(folders, 3, strand->made_ms);
	return db_run(strand->db, folders, err);
}
