// SPDX-License-Identifier: Apache-2.0
// The inside of struct db, for base/db.c and base/db_open.c.
#ifndef BASE_DB_PRIVATE_H
#define BASE_DB_PRIVATE_H

#include "base/db.h"

// What every transaction runs, prepared once as those of options.sql.
enum db_transaction { DB_BEGIN, DB_BEGIN_READ, DB_COMMIT, DB_SAVEPOINT, DB_RELEASE, DB_TRANSACTION_N };

enum { DB_READER_BUSY_MS = 1000, DB_WRITER_BUSY_MS = 10000 };

struct db {
	sqlite3 *handle;
	sqlite3_stmt **stmts; // owned, n_sql of them, NULL until first use
	sqlite3_stmt *transaction[DB_TRANSACTION_N]; // the same
	const char *const *sql;
	size_t n_sql;
	uint64_t wal_bytes, wal_file_bytes;
	uint32_t page_bytes;
	char *path; // owned
	struct db_pool *pool; // owned; NULL: not exclusive
};

#endif
