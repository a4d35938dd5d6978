// SPDX-License-Identifier: Apache-2.0
// Mail into mailboxes: deliveries and their keys, making mailboxes, large bodies, what survives reopening, tidying.
#include "test_store.h"

#include <dirent.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "mailbox_private.h"

static void a_delivery_is_there_with_its_prefix(void **state)
{
	(void)state;
	struct delivery d = test_deliver(1, 1);
	assert_int_equal(d.code, ERR_OK);
	assert_false(d.known);
	assert_int_equal(d.uid, 1);
	struct mailbox *mb = test_mailbox(1);
	struct folder_view view = test_select(mb, "INBOX", FOLDER_READ_WRITE);
	assert_int_equal(view.uids.n, 1);
	assert_int_equal(view.info.recent, 1);
	struct message m = test_fetch(mb, view.info.id, 1, FETCH_TEXT | FETCH_IDS | FETCH_CACHE);
	static char whole[2048];
	snprintf(whole, sizeof whole, "%s%s", test_prefix, test_message);
	assert_true(str_eq(m.text, str_of_c(whole)));
	assert_int_equal(m.bytes, strlen(whole));
	assert_int_equal(view.info.bytes, strlen(whole));
	assert_int_equal(m.received.utc_s, 1795286655);
	assert_int_equal(m.received.zone_min, 60);
	assert_true(guid_eq(&m.emailid, &d.emailid));
	assert_true(m.cache.n > 0 && m.thread > 0);
	struct message header = test_fetch(mb, view.info.id, 1, FETCH_HEADER);
	assert_true(str_ends(header.text, STR("+0100\r\n\r\n")));
	test_close(&mb);
}

static void a_folder_that_is_missing_is_said(void **state)
{
	(void)state;
	struct store *store = NULL;
	struct err err;
	const struct store_config config = {.dir = STR("/nonexistent/mailboxes"), .threads = 1, .open_max = 1, .key_days = 30};
	assert_int_equal(store_open(&config, &store, &err), ERR_NOTFOUND);
	assert_non_null(strstr(err.text, "/nonexistent/mailboxes"));
	assert_null(store);
}

static void a_key_delivers_once(void **state)
{
	(void)state;
	struct delivery first = test_deliver(2, 1), again = test_deliver(2, 1), other = test_deliver(2, 2);
	assert_true(first.code == ERR_OK && again.code == ERR_OK && other.code == ERR_OK);
	assert_true(!first.known && again.known && !other.known);
	assert_int_equal(again.uid, first.uid);
	assert_true(guid_eq(&again.emailid, &first.emailid));
	// Another detail and another list are other deliveries; so is another mailbox.
	struct incoming *body = test_incoming(str_of_c(test_message));
	static struct delivery more[4];
	for (unsigned i = 0; i < 4; i++)
		more[i] = test_delivery(i < 3 ? 2 : 3, 1, body);
	more[0].detail = STR("work");
	more[1].list = STR("all@uni.example");
	more[2].detail = STR("work");
	store_deliver(test_store, more, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(more[i].code, ERR_OK);
		assert_int_equal(more[i].known, i == 2);
	}
	incoming_free(&body);
	test_reopen();
	assert_true(test_deliver(2, 2).known);
	struct mailbox *mb = test_mailbox(2);
	assert_int_equal(test_status(mb, "INBOX").messages, 4);
	test_close(&mb);
	struct store_stats stats;
	store_stats(test_store, &stats);
	assert_int_equal(stats.known, 1);
}

static void mailboxes_are_made_only_when_allowed(void **state)
{
	(void)state;
	struct err err;
	struct incoming *body = test_incoming(str_of_c(test_message));
	struct delivery d = test_delivery(4, 1, body);
	d.home = NULL;
	store_deliver(test_store, &d, 1);
	assert_int_equal(d.code, ERR_NOTFOUND);
	incoming_free(&body);
	struct mailbox *mb = NULL;
	struct mailbox_access access = {.account = test_id(4), .actor = test_id(4)};
	assert_int_equal(mailbox_open(test_store, &access, &mb, &err), ERR_NOTFOUND);
	access.actor = test_id(5);
	access.home = &test_home;
	assert_int_equal(mailbox_open(test_store, &access, &mb, &err), ERR_DENIED);
	struct store_mailbox rows[10];
	size_t n;
	assert_int_equal(store_mailboxes(test_store, NULL, rows, 10, &n, &err), ERR_OK);
	assert_int_equal(n, 0);
	mb = test_mailbox(4);
	assert_string_equal(test_folders(mb), "INBOX Drafts Junk Sent Trash");
	assert_int_equal(test_status(mb, "Sent").use, FOLDER_USE_SENT);
	assert_true(test_status(mb, "Sent").subscribed);
	test_close(&mb);
	assert_int_equal(store_mailboxes(test_store, NULL, rows, 10, &n, &err), ERR_OK);
	assert_int_equal(n, 1);
	struct guid id = test_id(4);
	assert_true(guid_eq(&rows[0].id, &id));
}

// A message of n bytes, each line numbered.
static struct str large_text(size_t n)
{
	char *p = malloc(n + 64);
	size_t at = (size_t)snprintf(p, n + 64, "Subject: large\r\n\r\n");
	for (unsigned line = 0; at < n; line++)
		at += (size_t)snprintf(p + at, n + 64 - at, "line %u\r\n", line);
	return str_of(p, at);
}

static size_t count_big(unsigned mailbox)
{
	return test_count_files(test_path(mailbox, "big"));
}

static size_t count_incoming(void)
{
	char path[sizeof test_dir + 16];
	snprintf(path, sizeof path, "%s/incoming", test_dir);
	return test_count_files(path);
}

static void large_bodies_are_files_and_read_in_slices(void **state)
{
	(void)state;
	struct str text = large_text(3 << 20);
	struct incoming *body = test_incoming(text);
	struct delivery d[] = {test_delivery(5, 1, body), test_delivery(6, 1, body)};
	store_deliver(test_store, d, 2);
	if (d[0].code || d[1].code)
		fail_msg("%s, %s", d[0].err.text, d[1].err.text);
	assert_int_equal(count_incoming(), 1);
	incoming_free(&body);
	assert_int_equal(count_incoming(), 0);
	assert_int_equal(count_big(5) + count_big(6), 2);
	test_reopen();
	struct mailbox *mb = test_mailbox(5);
	struct folder_info info = test_status(mb, "INBOX");
	struct message m = test_fetch(mb, info.id, 1, FETCH_TEXT | FETCH_CACHE);
	assert_int_equal(m.bytes, text.n + strlen(test_prefix));
	assert_true(m.text.p == NULL && m.cache.n > 0);
	struct buf whole, out;
	struct err err;
	buf_init(&whole, 8 << 20);
	buf_init(&out, 8 << 20);
	buf_add_c(&whole, test_prefix);
	buf_add(&whole, text);
	for (uint64_t at = 0; at < m.bytes; at += 100001)
		assert_int_equal(message_read(mb, info.id, 1, at, 100001, &out, &err), ERR_OK);
	assert_true(str_eq(buf_str(&out), buf_str(&whole)));
	buf_clear(&out);
	assert_int_equal(message_read(mb, info.id, 1, 20, 60, &out, &err), ERR_OK); // over the end of the prefix
	assert_true(str_eq(buf_str(&out), str_of(whole.p + 20, 60)));
	buf_clear(&out);
	assert_int_equal(message_read(mb, info.id, 1, m.bytes, 10, &out, &err), ERR_OK);
	assert_int_equal(out.n, 0);
	buf_fini(&whole);
	buf_fini(&out);
	test_close(&mb);
	free((void *)(uintptr_t)text.p);
}

static void the_limit_of_a_message_holds(void **state)
{
	(void)state;
	struct err err;
	struct incoming *body = incoming_new(test_store, 100);
	assert_int_equal(incoming_add(body, STR("0123456789"), &err), ERR_OK);
	char more[91] = {0};
	assert_int_equal(incoming_add(body, str_of(more, 91), &err), ERR_LIMIT);
	assert_int_equal(incoming_add(body, str_of(more, 1), &err), ERR_LIMIT);
	struct delivery d = test_delivery(7, 1, body);
	store_deliver(test_store, &d, 1);
	assert_int_equal(d.code, ERR_LIMIT);
	incoming_free(&body);
}

static void threads_follow_references(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"Message-ID: <a@x>\r\nSubject: one\r\n\r\nx\r\n",
		"Message-ID: <b@x>\r\nReferences: <a@x>\r\nSubject: two\r\n\r\nx\r\n",
		"Message-ID: <c@x>\r\nSubject: other\r\n\r\nx\r\n",
		"Message-ID: <d@x>\r\nReferences: <a@x> <b@x>\r\nSubject: three\r\n\r\nx\r\n",
		"Message-ID: <f@x>\r\nIn-Reply-To: <e@x>\r\nSubject: before its parent\r\n\r\nx\r\n",
		"Message-ID: <e@x>\r\nSubject: parent\r\n\r\nx\r\n",
		"Message-ID: <h@x>\r\nReferences: <g@x>\r\nSubject: reply to one that never comes\r\n\r\nx\r\n",
		"References: <h@x>\r\nSubject: no id, and names only the last\r\n\r\nx\r\n",
		"Subject: no id\r\n\r\nx\r\n",
		"Subject: no id either\r\n\r\nx\r\n",
	};
	enum { TEXTS = sizeof texts / sizeof *texts };
	struct mailbox *mb = test_mailbox(8);
	uint64_t thread[TEXTS];
	for (size_t i = 0; i < TEXTS; i++) {
		test_append(mb, "INBOX", str_of_c(texts[i]), 0);
		thread[i] = test_fetch(mb, test_status(mb, "INBOX").id, (uint32_t)i + 1, FETCH_IDS).thread;
	}
	assert_true(thread[0] == thread[1] && thread[1] == thread[3] && thread[0] != thread[2]);
	assert_true(thread[4] == thread[5] && thread[4] != thread[0]);
	assert_true(thread[6] == thread[7] && thread[6] != thread[4]);
	assert_true(thread[8] && thread[9] && thread[8] != thread[9]);
	test_close(&mb);
}

static void bodies_end_a_day_after_their_last_copy(void **state)
{
	(void)state;
	struct str text = large_text(100 << 10);
	struct err err;
	struct mailbox *mb = test_mailbox(9);
	test_append(mb, "INBOX", text, 0);
	test_append(mb, "INBOX", str_of_c(test_message), 0);
	uint32_t inbox = test_status(mb, "INBOX").id, uid = 1;
	struct mailbox_name sent = test_name("Sent");
	struct copy_result copied;
	struct uid_list gone;
	bool missing;
	assert_int_equal(message_copy(mb, inbox, &uid, 1, &sent, false, test_arena, &copied, &missing, &err), ERR_OK);
	const uint32_t both[] = {1, 2};
	assert_int_equal(message_remove(mb, inbox, both, 2, test_arena, &gone, &err), ERR_OK);
	assert_int_equal(gone.n, 2);
	assert_true(test_fetch(mb, inbox, 1, FETCH_CACHE).expunged); // still readable by sessions that were not told yet

	int64_t now_ms = clock_wall_ms(), day_ms = 86400000;
	struct guid cursor = {0};
	assert_int_equal(store_tidy(test_store, now_ms, 10, &cursor, &err), ERR_OK);
	assert_true(test_fetch(mb, inbox, 2, 0).found);
	assert_int_equal(store_tidy(test_store, now_ms + 2 * day_ms, 10, &cursor, &err), ERR_OK);
	assert_false(test_fetch(mb, inbox, 1, 0).found);
	assert_false(test_fetch(mb, inbox, 2, 0).found);
	assert_int_equal(count_big(9), 1); // the copy in Sent has it
	uint32_t sent_id = test_status(mb, "Sent").id;
	struct buf out;
	buf_init(&out, 1 << 20);
	assert_int_equal(message_read(mb, sent_id, 1, 0, 1000, &out, &err), ERR_OK);
	assert_true(str_eq(buf_str(&out), str_upto(text, 1000)));
	buf_fini(&out);
	assert_int_equal(message_remove(mb, sent_id, &uid, 1, test_arena, &gone, &err), ERR_OK);
	assert_int_equal(store_tidy(test_store, now_ms + 4 * day_ms, 10, &cursor, &err), ERR_OK);
	assert_int_equal(count_big(9), 0);
	test_close(&mb);
	free((void *)(uintptr_t)text.p);
}

static void keys_are_forgotten_in_time(void **state)
{
	(void)state;
	struct err err;
	struct guid cursor = {0};
	int64_t day_ms = 86400000, now_ms = clock_wall_ms();
	test_deliver(10, 1);
	assert_int_equal(store_tidy(test_store, now_ms + 29 * day_ms, 10, &cursor, &err), ERR_OK);
	assert_true(test_deliver(10, 1).known);
	assert_int_equal(store_tidy(test_store, now_ms + 32 * day_ms, 10, &cursor, &err), ERR_OK);
	assert_false(test_deliver(10, 1).known);
}

static void node_db_is_made_anew(void **state)
{
	(void)state;
	struct err err;
	struct store_mailbox rows[10];
	size_t n;
	for (unsigned i = 20; i < 25; i++)
		test_deliver(i, 1);
	store_close(&test_store);
	char path[128];
	snprintf(path, sizeof path, "%s/node.db", test_dir);
	assert_int_equal(unlink(path), 0);
	test_open(2, 10);
	assert_int_equal(store_mailboxes(test_store, NULL, rows, 10, &n, &err), ERR_OK);
	assert_int_equal(n, 5);
	assert_int_equal(store_mailboxes(test_store, &rows[2].id, rows, 10, &n, &err), ERR_OK);
	assert_int_equal(n, 2);
}

// The state is the byte behind the mailbox's id in the owner's row.
static void set_moved(unsigned mailbox)
{
	static const char moved[] = "UPDATE row SET v=CAST(substr(v,1,16)||x'01'||substr(v,18) AS BLOB) WHERE k=x'41'";
	sqlite3 *db;
	assert_int_equal(sqlite3_open(test_path(mailbox, "mail.db"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, moved, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void a_mailbox_that_moved_takes_nothing_new(void **state)
{
	(void)state;
	struct err err;
	test_deliver(11, 1);
	store_close(&test_store);
	set_moved(11);
	test_open(2, 10);
	struct delivery known = test_deliver(11, 1), fresh = test_deliver(11, 2);
	assert_true(known.code == ERR_OK && known.known); // a known key comes before any refusal
	assert_int_equal(fresh.code, ERR_BUSY);
	struct mailbox *mb;
	struct mailbox_access access = {.account = test_id(11), .actor = test_id(11)};
	assert_int_equal(mailbox_open(test_store, &access, &mb, &err), ERR_BUSY);
}

static void an_outdated_cache_is_built_again(void **state)
{
	(void)state;
	struct mailbox *mb = test_mailbox(12);
	test_append(mb, "INBOX", str_of_c(test_message), 0);
	uint32_t inbox = test_status(mb, "INBOX").id;
	struct message before = test_fetch(mb, inbox, 1, FETCH_CACHE);
	test_close(&mb);
	store_close(&test_store);
	sqlite3 *db;
	assert_int_equal(sqlite3_open(test_path(12, "mail.db"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "UPDATE block SET data=x'7f00' WHERE id>=1<<62", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	test_open(2, 10);
	mb = test_mailbox(12);
	struct message after = test_fetch(mb, inbox, 1, FETCH_CACHE);
	assert_true(after.cache.n > 2 && str_eq(before.cache, after.cache));
	test_close(&mb);
}

static off_t log_bytes(unsigned mailbox)
{
	struct stat st;
	assert_int_equal(stat(test_path(mailbox, "mail.db-wal"), &st), 0);
	return st.st_size;
}

// What a stop leaves the next opening reads, frame by frame.
static void a_long_log_is_written_back_at_the_stop(void **state)
{
	(void)state;
	static char text[60 << 10];
	struct mailbox *mb = test_mailbox(18);
	memset(text, 'x', sizeof text);
	for (size_t n = 0; n < STORE_WAL_LEFT_BYTES + sizeof text; n += sizeof text)
		test_append(mb, "INBOX", str_of(text, sizeof text), 0);
	test_deliver(19, 1);
	assert_true(log_bytes(18) > STORE_WAL_LEFT_BYTES);
	off_t short_log = log_bytes(19);
	test_close(&mb);
	store_close(&test_store);
	assert_true(log_bytes(18) < STORE_WAL_KEPT_BYTES);
	assert_true(short_log > 0 && log_bytes(19) == short_log);
	test_open(2, 10);
	mb = test_mailbox(18);
	assert_true(test_status(mb, "INBOX").messages > 4);
	test_close(&mb);
}

static void change_file(unsigned mailbox, const char *sql)
{
	sqlite3 *db;
	store_close(&test_store);
	assert_int_equal(sqlite3_open(test_path(mailbox, "mail.db"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	test_open(2, 10);
}

// Not opened, not changed, and said in so many words; the others are served.
static void another_format_is_said(void **state)
{
	(void)state;
	static const char *const sql[] = {"PRAGMA user_version=1", "PRAGMA user_version=99"};
	static const char *const said[] = {"format 1 is too old for this program, which needs 4: take its data out with the program that wrote it",
		"format 99 is newer than this program's 4: upgrade"};
	test_deliver(14, 1);
	for (size_t i = 0; i < 2; i++) {
		change_file(14, sql[i]);
		struct delivery d = test_deliver(14, 2);
		assert_int_equal(d.code, ERR_VERSION);
		assert_non_null(strstr(d.err.text, "/mail.db: "));
		assert_non_null(strstr(d.err.text, said[i]));
		assert_true(err_is_temporary(d.code));
		struct mailbox *mb;
		struct err err;
		struct mailbox_access access = {.account = test_id(14), .actor = test_id(14), .home = &test_home};
		assert_int_equal(mailbox_open(test_store, &access, &mb, &err), ERR_VERSION);
		assert_int_equal(test_deliver(15, (unsigned)i).code, ERR_OK);
	}
	change_file(14, "PRAGMA user_version=4");
	assert_true(test_deliver(14, 1).known && test_deliver(14, 2).code == ERR_OK);
}

static void damaged_flags_are_said(void **state)
{
	(void)state;
	struct err err;
	test_deliver(16, 1);
	change_file(16, "UPDATE block SET data=x'0105' WHERE id<1<<62");
	struct mailbox *mb = test_mailbox(16);
	struct mailbox_name inbox = test_name("INBOX");
	struct folder_view view;
	struct flag_result result;
	const uint32_t uid = 1;
	const struct flag_request request = {FLAG_ADD, {.system = FLAG_SEEN}, UINT64_MAX, 0};
	assert_int_equal(folder_select(mb, &inbox, FOLDER_READ_ONLY, test_arena, &view, &err), ERR_CORRUPT);
	assert_int_equal(message_flag(mb, test_status(mb, "Sent").id, &uid, 1, &request, test_arena, &result, &err), ERR_OK);
	assert_int_equal(message_flag(mb, 1, &uid, 1, &request, test_arena, &result, &err), ERR_CORRUPT);
	test_close(&mb);
	struct message *messages;
	size_t n;
	test_deliver(17, 1);
	change_file(17, "DELETE FROM msg");
	mb = test_mailbox(17);
	assert_int_equal(message_fetch(mb, test_status(mb, "INBOX").id, &uid, 1, 0, test_arena, &messages, &n, &err), ERR_CORRUPT);
	test_close(&mb);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, test_setup, test_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_delivery_is_there_with_its_prefix),
		TEST(a_folder_that_is_missing_is_said),
		TEST(a_key_delivers_once),
		TEST(mailboxes_are_made_only_when_allowed),
		TEST(large_bodies_are_files_and_read_in_slices),
		TEST(the_limit_of_a_message_holds),
		TEST(threads_follow_references),
		TEST(bodies_end_a_day_after_their_last_copy),
		TEST(keys_are_forgotten_in_time),
		TEST(node_db_is_made_anew),
		TEST(a_mailbox_that_moved_takes_nothing_new),
		TEST(an_outdated_cache_is_built_again),
		TEST(another_format_is_said),
		TEST(damaged_flags_are_said),
		TEST(a_long_log_is_written_back_at_the_stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
