// SPDX-License-Identifier: Apache-2.0
// Files of databases that one connection has for itself: the lock that others see, and links in a path, with and without openat2().
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <seccomp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/db.h"

static const char *const steps[] = {"CREATE TABLE t(a INTEGER PRIMARY KEY)"};
static const struct db_schema schema = {"test.db", 0x50485454, 1, steps};
static char dir[] = "/tmp/posthouse-file-XXXXXX";

static enum err_code open_at(const char *name, enum db_mode mode, struct db **db_out)
{
	char path[128];
	struct err err;
	snprintf(path, sizeof path, "%s/%s", dir, name);
	const struct db_options options = {.path = path, .mode = mode, .schema = &schema, .exclusive = true};
	return db_open(&options, db_out, &err);
}

static int read_as_stranger(const char *name)
{
	char path[128];
	sqlite3 *other;
	snprintf(path, sizeof path, "%s/%s", dir, name);
	assert_int_equal(sqlite3_open_v2(path, &other, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
	int rc = sqlite3_exec(other, "SELECT * FROM t", NULL, NULL, NULL);
	sqlite3_close(other);
	return rc;
}

// As sqlite3 on the command line would be.
static void others_find_it_locked(void **state)
{
	(void)state;
	struct db *db;
	assert_int_equal(open_at("a.db", DB_CREATE, &db), ERR_OK);
	assert_int_equal(read_as_stranger("a.db"), SQLITE_BUSY);
	assert_int_equal(read_as_stranger("a.db"), SQLITE_BUSY); // its closing took nothing away
	db_close(&db);
	assert_int_equal(read_as_stranger("a.db"), SQLITE_OK);
}

static void make_links(void)
{
	char from[128], to[128];
	snprintf(to, sizeof to, "%s/sub", dir);
	assert_int_equal(mkdir(to, 0700), 0);
	snprintf(from, sizeof from, "%s/link", dir);
	assert_int_equal(symlink(to, from), 0);
	snprintf(to, sizeof to, "%s/a.db", dir);
	snprintf(from, sizeof from, "%s/sub/link.db", dir);
	assert_int_equal(symlink(to, from), 0);
}

// 0: all is as it should be.
static int try_links(void)
{
	struct db *db = NULL;
	if (open_at("sub/b.db", DB_CREATE, &db) != ERR_OK)
		return 1;
	db_close(&db);
	if (open_at("link/b.db", DB_READWRITE, &db) == ERR_OK || open_at("sub/link.db", DB_READWRITE, &db) == ERR_OK)
		return 2;
	if (open_at("sub/none.db", DB_READWRITE, &db) != ERR_NOTFOUND || open_at("none/b.db", DB_CREATE, &db) != ERR_NOTFOUND)
		return 3;
	return open_at("link/new.db", DB_CREATE, &db) == ERR_OK ? 4 : 0;
}

// Threat fs-race.
static void links_are_followed_nowhere(void **state)
{
	(void)state;
	make_links();
	assert_int_equal(try_links(), 0);
	pid_t child = fork();
	if (child == 0) {
		scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
		if (filter == NULL || seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(openat2), 0) != 0 || seccomp_load(filter) != 0)
			_exit(100);
		_exit(try_links());
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	static const char *const names[] = {"a.db", "a.db-wal", "sub/b.db", "sub/b.db-wal", "sub/link.db", "link", "sub", ""};
	char path[128];
	int rc = 0;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		rc = remove(path); // the stranger removed a log
	}
	return rc;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(others_find_it_locked),
		cmocka_unit_test(links_are_followed_nowhere),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
