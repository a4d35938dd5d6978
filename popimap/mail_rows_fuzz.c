// SPDX-License-Identifier: Apache-2.0
// What a mailbox finds in its database: lines with rows of mail.db (tests/fuzz/fuzz_rows.h; an owner row is there already). Then
// it is used as a session and a delivery use it: folders, messages, flags, copies, expunging. A damaged row is an error or
// nothing; nothing is read beside it, what is said to be there fits its arena, and the store ends in order.
// Covers: popimap/mail_row.c popimap/folder_row.c popimap/message_row.c popimap/message_flags.c popimap/message_get.c popimap/folder_view.c
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/codec.h"
#include "base/log.h"
#include "base/must.h"
#include "base/random.h"
#include "fuzz_rows.h"
#include "mail_row.h"
#include "mailbox.h"
#include "schema/ddl_mail.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 8 << 20, FOLDERS_MAX_USED = 3, UIDS_MAX = 20, READ_BYTES = 4096 };

#define ID "000102030405060708090a0b0c0d0e0f"
static const struct guid id = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
static const struct store_home home = {.host = {"mb1.uni.example", 15}, .epoch = 1};
static struct store *store;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level(LOG_LEVEL_ERROR);
	return 0;
}

static void died(const struct err *err, void *arg)
{
	(void)arg;
	fprintf(stderr, "the disk: %s\n", err->text);
	abort();
}

static void put_owner(struct db *db)
{
	const struct mail_owner owner = {
		.mailbox = id, .epoch = 1, .made_ms = 1000, .change_seq = 5, .uidvalidity = 5, .folder = 9, .host = home.host};
	struct buf value, line;
	buf_init(&value, MAIL_OWNER_BYTES_MAX);
	buf_init(&line, 2 * MAIL_OWNER_BYTES_MAX);
	mail_db_put_owner(&value, &owner);
	must(buf_add(&line, STR("row b41|b")) && codec_hex_add(&line, buf_str(&value)) && fuzz_rows_put(db, buf_str(&line)));
	buf_fini(&value);
	buf_fini(&line);
}

static void write_rows(const char *dir, struct str in)
{
	char path[128];
	struct db *db;
	struct str line;
	for (int level = 1; level <= 2; level++) {
		snprintf(path, sizeof path, level == 1 ? "%s/00" : "%s/00/" ID, dir);
		must(mkdir(path, 0700) == 0);
	}
	snprintf(path, sizeof path, "%s/00/" ID "/mail.db", dir);
	const struct db_options options = {.path = path, .mode = DB_CREATE, .schema = &ddl_mail, .exclusive = true};
	must(db_open(&options, &db, NULL) == ERR_OK && db_begin(db, NULL) == ERR_OK);
	put_owner(db);
	while (str_cut(in, '\n', &line, &in))
		(void)!fuzz_rows_put(db, line);
	must(db_commit(db, NULL) == ERR_OK);
	db_close(&db);
}

static struct mailbox_name name_of(const char *text, struct arena *arena)
{
	struct mailbox_name name;
	must(mailbox_name_from_utf8(str_of_c(text), arena, &name));
	return name;
}

static bool matches(void *arg, const struct message *message)
{
	*(size_t *)arg += message->text.n + message->cache.n;
	return message->uid % 2;
}

static void read_messages(struct mailbox *mb, uint32_t folder, const uint32_t *uids, size_t n, struct arena *arena)
{
	struct message *messages;
	struct uid_list matched;
	struct buf text;
	struct err err;
	size_t found, bytes = 0;
	buf_init(&text, READ_BYTES);
	for (unsigned what = 0; what < 16; what += 5)
		if (message_fetch(mb, folder, uids, n, what, arena, &messages, &found, &err) == ERR_OK)
			must(found <= n && (n == 0 || found > 0));
	for (size_t i = 0; i < n; i++)
		if (message_read(mb, folder, uids[i], i * 7, READ_BYTES, &text, &err) == ERR_OK)
			buf_clear(&text);
	if (message_scan(mb, folder, uids, n, FETCH_TEXT | FETCH_CACHE, matches, &bytes, arena, &matched, &err) == ERR_OK)
		must(matched.n <= n);
	buf_fini(&text);
}

static void change_messages(struct mailbox *mb, uint32_t folder, const uint32_t *uids, size_t n, struct arena *arena)
{
	static const struct str keywords[] = {STR("$Forwarded"), STR("later")};
	struct flag_request request = {
		.change = FLAG_ADD, .flags = {.system = FLAG_SEEN, .keywords = keywords, .n = 2}, .unchanged_since = UINT64_MAX};
	struct mailbox_name inbox = name_of("INBOX", arena), fresh = name_of("New/Below", arena);
	struct flag_result result;
	struct copy_result copied;
	struct uid_list gone;
	struct err err;
	bool missing;
	(void)!message_flag(mb, folder, uids, n, &request, arena, &result, &err);
	request.change = FLAG_REPLACE;
	request.flags = (struct flag_names){.system = FLAG_DELETED};
	request.unchanged_since = 6;
	(void)!message_flag(mb, folder, uids, n / 2, &request, arena, &result, &err);
	(void)!message_copy(mb, folder, uids, n, &inbox, false, arena, &copied, &missing, &err);
	(void)!folder_create(mb, &fresh, FOLDER_USE_JUNK, &err);
	(void)!message_copy(mb, folder, uids, n / 2, &fresh, true, arena, &copied, &missing, &err);
	(void)!message_expunge(mb, folder, NULL, 0, arena, &gone, &err);
	(void)!message_remove(mb, folder, uids, n, arena, &gone, &err);
}

static void use_folder(struct mailbox *mb, const struct folder_info *info, struct arena *arena)
{
	struct folder_view view;
	struct folder_changes changes;
	struct folder_info status;
	struct err err;
	uint32_t wanted[UIDS_MAX + 1];
	if (folder_select(mb, &info->name, FOLDER_READ_WRITE, arena, &view, &err))
		return;
	size_t n = view.uids.n < UIDS_MAX ? view.uids.n : UIDS_MAX;
	for (size_t i = 0; i < n; i++) {
		wanted[i] = view.uids.p[i];
		must(i == 0 || wanted[i] > wanted[i - 1]);
	}
	if (n == 0 || wanted[n - 1] < UINT32_MAX)
		wanted[n++] = UINT32_MAX; // that is not there
	struct folder_seen seen = {
		.modseq = 0, .uidnext = view.info.uidnext, .uidvalidity = view.info.uidvalidity, .take_recent = true};
	(void)!folder_changes(mb, view.info.id, &seen, arena, &changes, &err);
	read_messages(mb, view.info.id, wanted, n, arena);
	change_messages(mb, view.info.id, wanted, n, arena);
	seen.uidnext = 1;
	(void)!folder_changes(mb, view.info.id, &seen, arena, &changes, &err);
	(void)!folder_status(mb, &info->name, arena, &status, &err);
}

static void deliver(void)
{
	static const struct str text = STR("Subject: hello\r\nMessage-ID: <1@uni.example>\r\n\r\nhello\r\n");
	struct err err;
	struct incoming *body = incoming_new(store, READ_BYTES);
	must(incoming_add(body, text, &err) == ERR_OK);
	struct delivery d = {.account = id, .home = &home, .root = id, .prefix = STR("Return-Path: <>\r\n"), .body = body,
		.received = {.utc_s = 1795286655}};
	store_deliver(store, &d, 1);
	must(d.code || d.known || d.uid);
	incoming_free(&body);
}

static void use(struct mailbox *mb, struct arena *arena)
{
	struct folder_info *folders;
	struct mailbox_usage usage;
	struct err err;
	size_t n;
	struct mailbox_name from = name_of("New", arena), to = name_of("Other/New", arena), inbox = name_of("INBOX", arena);
	(void)!mailbox_usage(mb, &usage, &err);
	if (folder_list(mb, arena, &folders, &n, &err) == ERR_OK)
		for (size_t i = 0; i < n && i < FOLDERS_MAX_USED; i++)
			use_folder(mb, &folders[i], arena);
	deliver();
	(void)!folder_rename(mb, &from, &to, &err);
	(void)!folder_rename(mb, &inbox, &from, &err);
	(void)!folder_delete(mb, &to, &err);
	(void)!folder_subscribe(mb, &to, true, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *dir = fuzz_rows_dir();
	struct mailbox_access access = {.account = id, .actor = id};
	struct mailbox *mb;
	struct err err;
	struct buf said; // what is damaged is said at level error, in each run
	buf_init(&said, ARENA_BYTES);
	log_capture_begin(&said);
	random_inject(1);
	write_rows(dir, str_of((const char *)data, size));
	const struct store_config config = {.dir = str_of_c(dir), .threads = 1, .open_max = 10, .key_days = 30, .on_eio = died};
	must(store_open(&config, &store, &err) == ERR_OK);
	struct arena *arena = arena_new(ARENA_BYTES);
	if (mailbox_open(store, &access, &mb, &err) == ERR_OK) {
		use(mb, arena);
		mailbox_close(&mb);
	}
	arena_free(&arena);
	store_close(&store);
	random_inject_end();
	log_capture_end();
	buf_fini(&said);
	return 0;
}
