// SPDX-License-Identifier: Apache-2.0
// Inside of base/db.h: what a database has, and what db.c and db_pool.c do for each other.
#ifndef BASE_DB_PRIVATE_H
#define BASE_DB_PRIVATE_H

#include "base/db.h"

// Statements of our own, prepared once as those of options.sql.
enum db_own {
	DB_BEGIN, DB_BEGIN_READ, DB_COMMIT, DB_SAVEPOINT, DB_RELEASE,
	DB_APPLICATION_ID, DB_USER_VERSION, DB_SCHEMA, // what a file is, for db_pool.c
	DB_OWN_N
};

struct db {
	sqlite3 *handle;
	sqlite3_stmt **stmts;        // owned, n_sql of them, NULL until first use
	sqlite3_stmt *own[DB_OWN_N]; // the same
	const char *const *sql;
	size_t n_sql;
	uint64_t wal_bytes, wal_file_bytes;
	uint32_t page_bytes;
	char *path;           // owned
	bool failed;          // something did: this connection is not used again
	struct db_pool *pool; // borrowed; NULL: none
	struct db *next;      // in the pool
	uint64_t schema_sum;  // of what its statements were prepared for
};

void db_end(struct db *db); // closes and frees
sqlite3_stmt *db_own_stmt(struct db *db, enum db_own which);

// A connection of the pool on the file of options->path, NULL: there is none, or the file cannot be opened so, and db_open() says why.
struct db *db_pool_take(const struct db_options *options);
void db_pool_began(struct db *db, struct db_pool *pool); // one that was opened anew
bool db_pool_put(struct db *db); // false: it has to be ended

#endif
