// SPDX-License-Identifier: Apache-2.0
// Guids, durable files and the SQLite glue.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/db.h"
#include "base/file.h"
#include "base/guid.h"
#include "test_disk.h"

static char dir_path[] = "/tmp/posthouse-storage-XXXXXX";
static int dir = -1;

static int make_dir(void **state)
{
	(void)state;
	struct err err;
	if (mkdtemp(dir_path) == NULL)
		return -1;
	return file_dir_open(str_of_c(dir_path), &dir, &err) ? -1 : 0;
}

static bool remove_one(void *ctx, struct str name)
{
	(void)ctx;
	char c[256];
	if (str_to_c(name, c, sizeof c) && unlinkat(dir, c, 0) != 0)
		unlinkat(dir, c, AT_REMOVEDIR);
	return true;
}

static int drop_dir(void **state)
{
	(void)state;
	enum err_code code = file_dir_each(dir, remove_one, NULL, NULL);
	file_close(dir);
	return rmdir(dir_path) || code;
}

static void guid_text_round_trips(void **state)
{
	(void)state;
	struct guid a = guid_new(), b;
	char text[GUID_TEXT_BYTES], id[GUID_SHORT_BYTES];
	assert_true(guid_parse(guid_text(&a, text), &b));
	assert_true(guid_eq(&a, &b));
	assert_true(guid_parse(STR("00112233-4455-6677-8899-AABBccddeeff"), &b));
	assert_string_equal(guid_text(&b, text).p, "00112233445566778899aabbccddeeff");
	assert_string_equal(guid_short(&b, id).p, "008J4CT4ANK7");
	assert_false(guid_parse(STR("00112233445566778899aabbccddeef"), &b));
	assert_false(guid_parse(STR("00112233445566778899aabbccddeefg"), &b));
	assert_false(guid_parse(STR("0011223344556-677-8899-aabbccddeeff0"), &b));
}

static void guid_derivation_separates_its_fields(void **state)
{
	(void)state;
	struct guid p = guid_new();
	struct guid a = guid_derive(&p, STR("ab"), STR("c")), same = guid_derive(&p, STR("ab"), STR("c"));
	struct guid b = guid_derive(&p, STR("a"), STR("bc"));
	assert_true(guid_eq(&a, &same));
	assert_false(guid_eq(&a, &b));
}

static void file_names_are_single_components(void **state)
{
	(void)state;
	const struct str bad[] = {STR(""), STR("."), STR(".."), STR("a/b"), STR("../x"), STR("a\0b")};
	int fd;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(file_create(dir, bad[i], &fd, NULL), ERR_INVALID);
}

static void file_links_are_not_followed(void **state)
{
	(void)state;
	struct buf out;
	buf_init(&out, 100);
	assert_int_equal(symlinkat("/etc/passwd", dir, "link"), 0);
	assert_int_not_equal(file_read(dir, STR("link"), &out, NULL), ERR_OK);
	assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
	assert_int_equal(file_read(dir, STR("fifo"), &out, NULL), ERR_INVALID);
	int fd;
	const struct str data = STR("x");
	assert_int_equal(file_write_new(dir, STR("given"), &data, 1, NULL), ERR_OK);
	assert_int_equal(file_open(dir, STR("given"), &fd, NULL, NULL), ERR_OK);
	file_close(fd);
	if (geteuid() == 0) { // nobody else can give files away
		assert_int_equal(fchownat(dir, "given", 12345, 12345, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(file_open(dir, STR("given"), &fd, NULL, NULL), ERR_INVALID);
	}
	buf_fini(&out);
}

static void file_new_and_replace_keep_whole_contents(void **state)
{
	(void)state;
	struct buf out;
	struct err err;
	buf_init(&out, 16);
	const struct str parts[] = {STR("head"), STR(""), STR("body")};
	assert_int_equal(file_write_new(dir, STR("new"), parts, 3, &err), ERR_OK);
	assert_int_equal(file_write_new(dir, STR("new"), parts, 3, &err), ERR_EXISTS);
	assert_int_equal(file_read(dir, STR("new"), &out, &err), ERR_OK);
	assert_string_equal(buf_c(&out), "headbody");
	assert_int_equal(file_replace(dir, STR("new"), STR("other"), 0640, &err), ERR_OK);
	buf_clear(&out);
	assert_int_equal(file_read(dir, STR("new"), &out, &err), ERR_OK);
	assert_string_equal(buf_c(&out), "other");
	assert_int_equal(file_replace(dir, STR("new"), STR("more than sixteen"), 0640, &err), ERR_OK);
	buf_clear(&out);
	assert_int_equal(file_read(dir, STR("new"), &out, &err), ERR_LIMIT);
	assert_int_equal(file_link(dir, STR("new"), dir, STR("second"), &err), ERR_OK);
	assert_int_equal(file_link(dir, STR("new"), dir, STR("second"), &err), ERR_EXISTS);
	assert_int_equal(file_link(dir, STR("new"), dir, STR("../second"), &err), ERR_INVALID);
	assert_int_equal(file_remove(dir, STR("new"), &err), ERR_OK);
	assert_int_equal(file_remove(dir, STR("new"), &err), ERR_OK);
	assert_int_equal(file_read(dir, STR("second"), &out, &err), ERR_LIMIT);
	buf_fini(&out);
}

static int refuse_sync(int fd)
{
	(void)fd;
	errno = EIO;
	return -1;
}

static int open_for_test(int at, const char *name, int flags, mode_t mode)
{
	return openat(at, name, flags, mode);
}

static void file_failed_sync_leaves_nothing_behind(void **state)
{
	(void)state;
	struct file_ops broken = {open_for_test, pwrite, pread, refuse_sync, fsync, renameat, unlinkat, mkdirat, close, NULL};
	const struct str part = STR("x");
	struct err err;
	file_ops_set(&broken);
	assert_int_equal(file_write_new(dir, STR("lost"), &part, 1, &err), ERR_IO);
	file_ops_set(NULL);
	assert_int_equal(faccessat(dir, "lost", F_OK, 0), -1);
}

enum { ADD, FIND, STATEMENTS };
static const char *const sql[STATEMENTS] = {
	[ADD] = "INSERT INTO t(a,b) VALUES(?1,?2)",
	[FIND] = "SELECT b FROM t WHERE a=?1",
};
static const char *const steps[] = {"CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB)", "ALTER TABLE t ADD COLUMN c"};
static const struct db_schema version_1 = {"test.db", 0x50485454, 1, steps}, version_2 = {"test.db", 0x50485454, 2, steps},
			      version_4 = {"test.db", 0x50485454, 4, steps, .oldest = 3}, foreign = {"other.db", 0x50480000, 1, steps};

static struct db *open_test(const struct db_schema *schema, enum db_mode mode, enum err_code want)
{
	char path[128];
	snprintf(path, sizeof path, "%s/test.db", dir_path);
	struct db_options options = {.path = path, .mode = mode, .schema = schema, .sql = sql, .n_sql = STATEMENTS, .exclusive = true};
	struct db *db = NULL;
	struct err err = {ERR_OK, ""};
	assert_int_equal(db_open(&options, &db, &err), want);
	return db;
}

static void db_rows_survive_and_formats_are_checked(void **state)
{
	(void)state;
	struct err err;
	open_test(&version_1, DB_READWRITE, ERR_NOTFOUND);
	struct db *db = open_test(&version_1, DB_CREATE, ERR_OK);
	assert_int_equal(db_begin(db, &err), ERR_OK);
	sqlite3_stmt *add = db_stmt(db, ADD);
	db_bind_i64(add, 1, 7);
	db_bind_blob(add, 2, STR("x\0y"));
	assert_int_equal(db_run(db, add, &err), ERR_OK);
	assert_int_equal(db_run(db, add, &err), ERR_EXISTS);
	assert_int_equal(db_savepoint(db, &err), ERR_OK);
	db_bind_i64(add = db_stmt(db, ADD), 1, 8);
	assert_int_equal(db_run(db, add, &err), ERR_OK);
	db_undo(db);
	assert_int_equal(db_commit(db, &err), ERR_OK);
	assert_true(db_wal_bytes(db) > 0);
	assert_int_equal(db_checkpoint(db, true, &err), ERR_OK);
	db_close(&db);

	db = open_test(&version_2, DB_READWRITE, ERR_OK);
	assert_int_equal(faccessat(dir, "test.db-shm", F_OK, 0), -1); // exclusive: the index of the WAL is in memory
	sqlite3_stmt *find = db_stmt(db, FIND);
	db_bind_i64(find, 1, 7);
	assert_int_equal(db_step(db, find, &err), DB_ROW);
	assert_true(str_eq(db_col_blob(find, 0), STR("x\0y")));
	db_bind_i64(find = db_stmt(db, FIND), 1, 8);
	assert_int_equal(db_step(db, find, &err), DB_DONE);
	db_close(&db);
	open_test(&version_1, DB_READWRITE, ERR_VERSION);
	open_test(&version_4, DB_CREATE, ERR_VERSION);
	open_test(&foreign, DB_CREATE, ERR_CORRUPT);
}

static void db_an_image_is_a_new_database(void **state)
{
	(void)state;
	struct err err;
	struct buf image;
	buf_init(&image, 1 << 20);
	assert_int_equal(db_image(&version_2, "INSERT INTO t(a,b) VALUES(1,x'79')", 0, &image, &err), ERR_OK);
	assert_int_equal(file_remove(dir, STR("test.db-wal"), &err), ERR_OK); // of the test before
	assert_int_equal(file_replace(dir, STR("test.db"), buf_str(&image), 0600, &err), ERR_OK);
	buf_fini(&image);
	struct db *db = open_test(&version_2, DB_READWRITE, ERR_OK);
	struct stat wal = {0};
	assert_true(fstatat(dir, "test.db-wal", &wal, 0) != 0 || wal.st_size == 0); // opening it had nothing to make
	assert_int_equal(db_begin(db, &err), ERR_OK);
	sqlite3_stmt *add = db_stmt(db, ADD);
	db_bind_i64(add, 1, 7);
	assert_int_equal(db_run(db, add, &err), ERR_OK);
	assert_int_equal(db_commit(db, &err), ERR_OK);
	sqlite3_stmt *find = db_stmt(db, FIND);
	db_bind_i64(find, 1, 1);
	assert_int_equal(db_step(db, find, &err), DB_ROW);
	assert_true(str_eq(db_col_blob(find, 0), STR("y")));
	db_close(&db);
	open_test(&foreign, DB_CREATE, ERR_CORRUPT);
	buf_init(&image, 100);
	assert_int_equal(db_image(&version_2, NULL, 0, &image, &err), ERR_LIMIT);
	buf_fini(&image);
}

static enum err_code add_row(struct db *db, int64_t a, struct str b, struct err *err)
{
	sqlite3_stmt *add = db_stmt(db, ADD);
	db_bind_i64(add, 1, a);
	db_bind_blob(add, 2, b);
	return db_run(db, add, err);
}

static void assert_row(struct db *db, int64_t a, struct str b)
{
	struct err err;
	sqlite3_stmt *find = db_stmt(db, FIND);
	db_bind_i64(find, 1, a);
	assert_int_equal(db_step(db, find, &err), DB_ROW);
	assert_true(str_eq(db_col_blob(find, 0), b));
	db_reset(find);
}

static struct db *fresh_db(void)
{
	struct err err;
	assert_int_equal(file_remove(dir, STR("test.db"), &err), ERR_OK);
	unlinkat(dir, "test.db-wal", 0);
	return open_test(&version_1, DB_CREATE, ERR_OK);
}

static void db_a_transaction_is_one_write_and_one_sync(void **state)
{
	(void)state;
	static char page[3000];
	struct err err;
	struct db *db = fresh_db();
	for (int64_t round = 0; round < 3; round++) {
		long before = test_disk_operations();
		assert_int_equal(db_begin(db, &err), ERR_OK);
		for (int64_t i = 0; i < 10; i++)
			assert_int_equal(add_row(db, round * 100 + i, str_of(page, sizeof page), &err), ERR_OK);
		assert_int_equal(db_commit(db, &err), ERR_OK);
		assert_int_equal(test_disk_operations() - before, 2);
	}
	db_close(&db);
	db = open_test(&version_1, DB_READWRITE, ERR_OK);
	assert_row(db, 209, str_of(page, sizeof page));
	db_close(&db);
}

// More than the page cache holds: SQLite writes frames before the commit and reads some of them again.
static void db_a_large_transaction_reads_what_it_wrote(void **state)
{
	(void)state;
	enum { ROWS = 3000 };
	char text[2000];
	struct err err;
	struct db *db = fresh_db();
	assert_int_equal(db_begin(db, &err), ERR_OK);
	for (int64_t i = 0; i < ROWS; i++) {
		memset(text, 'a' + (int)(i % 26), sizeof text);
		assert_int_equal(add_row(db, i, str_of(text, sizeof text), &err), ERR_OK);
	}
	for (int round = 0; round < 2; round++) {
		for (int64_t i = 0; i < ROWS; i += 7) {
			memset(text, 'a' + (int)(i % 26), sizeof text);
			assert_row(db, i, str_of(text, sizeof text));
		}
		if (round == 0)
			assert_int_equal(db_commit(db, &err), ERR_OK);
	}
	db_close(&db);
}

static void db_a_failed_write_fails_its_transaction_only(void **state)
{
	(void)state;
	static const struct {
		long operation; // 1 the write, 2 the sync
		int code;
		enum err_code want;
	} cases[] = {{1, ENOSPC, ERR_NOSPACE}, {1, EIO, ERR_IO}, {2, EIO, ERR_IO}, {2, ENOSPC, ERR_IO}};
	struct err err;
	struct db *db = fresh_db();
	for (int64_t i = 0; i < (int64_t)(sizeof cases / sizeof *cases); i++) {
		assert_int_equal(db_begin(db, &err), ERR_OK);
		assert_int_equal(add_row(db, i, STR("lost"), &err), ERR_OK);
		test_disk_fail(cases[i].operation, 1, cases[i].code);
		assert_int_equal(db_commit(db, &err), cases[i].want);
		test_disk_fail(0, 0, 0);
		assert_int_equal(db_begin(db, &err), ERR_OK);
		assert_int_equal(add_row(db, i, STR("kept"), &err), ERR_OK); // the other is not there
		assert_int_equal(db_commit(db, &err), ERR_OK);
		assert_row(db, i, STR("kept"));
	}
	db_close(&db);
}

// A sync in which the disk was full: of a commit it is final, a checkpoint is done again.
static void db_a_failed_sync_is_believed_once(void **state)
{
	(void)state;
	static const struct {
		long sync;
		int code;
		enum err_code want;
	} cases[] = {{1, EIO, ERR_IO}, {1, ENOSPC, ERR_NOSPACE}, // of a WAL that was found
		{2, EIO, ERR_IO}, {1, ENOSPC, ERR_NOSPACE}}; // of the database; the WAL is clean then
	struct err err;
	struct db *db = fresh_db();
	assert_int_equal(db_begin(db, &err), ERR_OK);
	assert_int_equal(add_row(db, 1, STR("kept"), &err), ERR_OK);
	assert_int_equal(db_commit(db, &err), ERR_OK);
	db_close(&db);
	db = open_test(&version_1, DB_CREATE, ERR_OK);
	test_disk_fail_sort(TEST_DISK_SYNCS);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		test_disk_fail(cases[i].sync, 1, cases[i].code);
		assert_int_equal(db_checkpoint(db, true, &err), cases[i].want);
		assert_true(cases[i].want != ERR_IO || str_find(str_of_c(err.text), STR("a sync failed")) >= 0);
	}
	test_disk_fail(0, 0, 0);
	assert_int_equal(db_begin(db, &err), ERR_OK);
	assert_int_equal(add_row(db, 2, STR("lost"), &err), ERR_OK);
	test_disk_fail(1, 1, ENOSPC);
	assert_int_equal(db_commit(db, &err), ERR_IO); // and not for want of space, as the checkpoint's was
	assert_true(str_find(str_of_c(err.text), STR("a sync failed")) >= 0);
	test_disk_fail(0, 0, 0);
	test_disk_fail_sort(TEST_DISK_ANY);
	assert_int_equal(db_checkpoint(db, true, &err), ERR_OK);
	assert_row(db, 1, STR("kept"));
	db_close(&db);
}

int main(void)
{
	test_disk_install();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guid_text_round_trips),
		cmocka_unit_test(guid_derivation_separates_its_fields),
		cmocka_unit_test(file_names_are_single_components),
		cmocka_unit_test(file_links_are_not_followed),
		cmocka_unit_test(file_new_and_replace_keep_whole_contents),
		cmocka_unit_test(file_failed_sync_leaves_nothing_behind),
		cmocka_unit_test(db_rows_survive_and_formats_are_checked),
		cmocka_unit_test(db_an_image_is_a_new_database),
		cmocka_unit_test(db_a_transaction_is_one_write_and_one_sync),
		cmocka_unit_test(db_a_large_transaction_reads_what_it_wrote),
		cmocka_unit_test(db_a_failed_write_fails_its_transaction_only),
		cmocka_unit_test(db_a_failed_sync_is_believed_once),
	};
	return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
