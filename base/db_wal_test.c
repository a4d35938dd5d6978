// SPDX-License-Identifier: Apache-2.0
// A transaction that is larger than the cache and meets a full disk in the middle: what is committed in the end is there, all of it. What
// a checkpoint syncs.
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
#include "test_disk.h"

enum { ROW_BYTES = 30000, ROWS = 8, CACHE_KIB = 16 };
enum { ADD, COPY, FIND, COUNT, STATEMENTS };
static const char *const sql[STATEMENTS] = {
	[ADD] = "INSERT INTO t(a, b) VALUES(?1, ?2)",
	[COPY] = "INSERT INTO t(a, b) SELECT a + ?1, b FROM t WHERE a < ?1", // many rows: it can be undone alone
	[FIND] = "SELECT b FROM t WHERE a = ?1",
	[COUNT] = "SELECT count(*) FROM t",
};
static const char *const steps[] = {"CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB)"};
static const struct db_schema schema = {"test.db", 0x50485454, 1, steps};
static char dir[] = "/tmp/posthouse-wal-XXXXXX";

static struct db *open_test(int number)
{
	char path[128];
	struct db *db;
	struct err err;
	snprintf(path, sizeof path, "%s/%d.db", dir, number);
	struct db_options options = {.path = path, .mode = DB_CREATE, .schema = &schema, .sql = sql, .n_sql = STATEMENTS, .exclusive = true,
		.cache_kib = CACHE_KIB};
	if (db_open(&options, &db, &err))
		fail_msg("%s", err.text);
	return db;
}

static struct str row_of(int64_t number)
{
	static char bytes[ROW_BYTES];
	memset(bytes, 'a' + (int)(number % 26), sizeof bytes);
	return str_of(bytes, sizeof bytes);
}

// Rows [from, from + ROWS) in a savepoint, as one job of a batch.
static enum err_code add_rows(struct db *db, int64_t from, struct err *err)
{
	enum err_code code = db_savepoint(db, err);
	for (int64_t i = from; i < from + ROWS && code == ERR_OK; i++) {
		sqlite3_stmt *add = db_stmt(db, ADD);
		db_bind_i64(add, 1, i);
		db_bind_blob(add, 2, row_of(i));
		code = db_run(db, add, err);
	}
	if (code == ERR_OK)
		return db_release(db, err);
	db_undo(db);
	return code;
}

static enum err_code copy_rows(struct db *db, int64_t by, struct err *err)
{
	enum err_code code = db_savepoint(db, err);
	sqlite3_stmt *copy = db_stmt(db, COPY);
	db_bind_i64(copy, 1, by);
	if (code == ERR_OK)
		code = db_run(db, copy, err);
	if (code == ERR_OK)
		return db_release(db, err);
	db_undo(db);
	return code;
}

static int64_t count_rows(struct db *db)
{
	struct err err;
	sqlite3_stmt *count = db_stmt(db, COUNT);
	assert_int_equal(db_step(db, count, &err), DB_ROW);
	int64_t n = db_col_i64(count, 0);
	db_reset(count);
	return n;
}

static void assert_rows(struct db *db, int64_t from)
{
	struct err err;
	for (int64_t i = from; i < from + ROWS; i++) {
		sqlite3_stmt *find = db_stmt(db, FIND);
		db_bind_i64(find, 1, i);
		if (db_step(db, find, &err) != DB_ROW)
			fail_msg("row %d is lost", (int)i);
		assert_true(str_eq(db_col_blob(find, 0), row_of(i)));
		db_reset(find);
	}
}

// True: the disk was full for one write of the second of three jobs; the others went on.
static bool fail_in_the_middle(int n, int number, enum err_code (*second_job)(struct db *db, int64_t from, struct err *err))
{
	struct err err;
	struct db *db = open_test(number);
	assert_int_equal(db_begin(db, &err), ERR_OK);
	assert_int_equal(add_rows(db, 0, &err), ERR_OK);
	test_disk_fail(n, 1, ENOSPC);
	enum err_code second = second_job(db, 100, &err);
	test_disk_fail(0, 0, 0);
	assert_true(second == ERR_OK || second == ERR_NOSPACE);
	enum err_code code = db_in_transaction(db) ? add_rows(db, 200, &err) : err.code;
	if (code == ERR_OK)
		code = db_commit(db, &err);
	else
		db_rollback(db);
	assert_true(code == ERR_OK || code == ERR_NOSPACE);
	db_close(&db); // without writing back: what is there is in the WAL
	db = open_test(number);
	if (code == ERR_OK) {
		assert_rows(db, 0);
		assert_rows(db, 200);
	}
	assert_int_equal(count_rows(db), code ? 0 : second ? 2 * ROWS : 3 * ROWS);
	assert_int_equal(db_begin(db, &err), ERR_OK);
	assert_int_equal(add_rows(db, 300, &err), ERR_OK);
	assert_int_equal(db_commit(db, &err), ERR_OK);
	db_close(&db);
	db = open_test(number);
	assert_rows(db, 300);
	db_close(&db);
	return second != ERR_OK || code != ERR_OK;
}

static void a_full_disk_in_a_large_transaction_loses_nothing_that_is_committed(void **state)
{
	(void)state;
	test_disk_install();
	test_disk_fail_part(TEST_DISK_SQLITE);
	test_disk_fail_sort(TEST_DISK_WRITES);
	int failed = 0, copies_failed = 0;
	for (int n = 1; n <= failed + 3; n++)
		failed += fail_in_the_middle(n, n, add_rows);
	for (int n = 1; n <= copies_failed + 3; n++)
		copies_failed += fail_in_the_middle(n, 1000 + n, copy_rows);
	assert_true(failed > 0 && copies_failed > 0);
}

static void commit_rows(struct db *db, int64_t from)
{
	struct err err;
	assert_int_equal(db_begin(db, &err), ERR_OK);
	assert_int_equal(add_rows(db, from, &err), ERR_OK);
	assert_int_equal(db_commit(db, &err), ERR_OK);
}

// Whether the checkpoint syncs more than once: its second sync would fail.
static bool syncs_twice(struct db *db)
{
	struct err err;
	test_disk_fail_sort(TEST_DISK_SYNCS);
	test_disk_fail(2, 1, EIO);
	enum err_code code = db_checkpoint(db, false, &err);
	test_disk_fail(0, 0, 0);
	return code != ERR_OK;
}

static void a_checkpoint_syncs_the_wal_unless_its_commit_did(void **state)
{
	(void)state;
	struct db *db = open_test(5000);
	commit_rows(db, 0);
	assert_false(syncs_twice(db));
	commit_rows(db, 100);
	db_close(&db);
	db = open_test(5000); // whoever wrote this may have died before the sync
	assert_true(syncs_twice(db));
	db_close(&db);
}

enum { HEADER_BYTES = 32 };

static int open_wal(int number)
{
	char path[128];
	snprintf(path, sizeof path, "%s/%d.db-wal", dir, number);
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	return fd;
}

// Its blocks stay. Should the power go before its new header is on the disk, the old one says nothing that is not true.
static void an_ended_wal_is_written_over(void **state)
{
	(void)state;
	struct err err;
	char header[HEADER_BYTES], after[HEADER_BYTES];
	struct stat st, then;
	for (int lost = 0; lost < 2; lost++) {
		struct db *db = open_test(6000 + lost);
		commit_rows(db, 0);
		commit_rows(db, 100);
		int wal = open_wal(6000 + lost);
		assert_int_equal(fstat(wal, &st), 0);
		assert_int_equal(pread(wal, header, sizeof header, 0), HEADER_BYTES);
		assert_int_equal(db_end_wal(db, &err), ERR_OK);
		db_close(&db);
		assert_int_equal(pread(wal, after, sizeof after, 0), HEADER_BYTES);
		assert_memory_not_equal(header, after, sizeof header);
		if (lost)
			assert_int_equal(pwrite(wal, header, sizeof header, 0), HEADER_BYTES);
		db = open_test(6000 + lost);
		assert_int_equal(count_rows(db), 2 * ROWS);
		commit_rows(db, 200);
		db_close(&db);
		db = open_test(6000 + lost);
		assert_int_equal(count_rows(db), 3 * ROWS);
		db_close(&db);
		assert_int_equal(fstat(wal, &then), 0);
		assert_true(lost ? then.st_size > st.st_size : then.st_size == st.st_size);
		close(wal);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_disk_in_a_large_transaction_loses_nothing_that_is_committed),
		cmocka_unit_test(a_checkpoint_syncs_the_wal_unless_its_commit_did),
		cmocka_unit_test(an_ended_wal_is_written_over),
	};
	if (mkdtemp(dir) == NULL)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	disk_empty(dir);
	return rmdir(dir) || failed;
}
