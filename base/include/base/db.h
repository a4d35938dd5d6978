// SPDX-License-Identifier: Apache-2.0
// SQLite as we use it: one connection per database (but for readers of the shadow), WAL, FULL, prepared statements by number.
//
//     enum { ADD, FIND, STATEMENTS };
//     static const char *const sql[STATEMENTS] = {[ADD] = "INSERT INTO t(a,b) VALUES(?1,?2)", [FIND] = "SELECT b FROM t WHERE
//     a=?1"}; struct db_options options = {.path = path, .mode = DB_CREATE, .schema = &ddl_t, .sql = sql, .n_sql = STATEMENTS};
//     db_open(&options, &db, err);
//     sqlite3_stmt *find = db_stmt(db, FIND);
//     db_bind_i64(find, 1, 7);
//     while ((step = db_step(db, find, err)) == DB_ROW) ... db_col_str(find, 0) ...      // borrowed until the next step or reset
//     db_reset(find);
//
// Rules (ARCHITECTURE 5, DIRECTORY 1): before 3.51.3 SQLite can corrupt a WAL that two connections checkpoint and write, so one
// connection writes and checkpoints; nobody else opens a database of the queue or a mailbox. Every call blocks on the disk:
// writer and store threads only; readers of the shadow, whose pages are mapped, may run on a scheduler thread. A struct db is
// used by one thread at a time (SQLITE_OPEN_NOMUTEX).
#ifndef BASE_DB_H
#define BASE_DB_H

#include <sqlite3.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

struct db;

// A database format: applied as one transaction on a new file; on an older one the steps that it lacks.
struct db_schema {
	const char *name;           // "queue.db", for errors
	uint32_t application_id;    // in the file's header; another id is ERR_CORRUPT
	uint32_t version;           // user_version; a newer file is ERR_VERSION and is not touched
	const char *const *steps;   // steps[0] makes version `oldest`, the next the one after it, up to `version`
	uint32_t oldest;            // 0: 1; an older file than this is ERR_VERSION and is not touched
};

enum db_mode {
	DB_CREATE,    // read and write, made when missing (the directory is synced)
	DB_READWRITE, // ERR_NOTFOUND when missing
	DB_READONLY,
	DB_FROZEN,    // as DB_READONLY, of a file that nobody changes while it is open: its log is not read, no lock is taken
};

struct db_options {
	const char *path;
	enum db_mode mode;
	const struct db_schema *schema;
	const char *const *sql; // statements, prepared at first use
	size_t n_sql;
	// locking_mode=EXCLUSIVE: no -shm file, one process; a transaction goes into the WAL with one write;
	bool exclusive;
	                        // a file that has other names too is ERR_CORRUPT
	bool keep_wal;          // leave -wal and -shm when closing (SQLITE_FCNTL_PERSIST_WAL): readers elsewhere need them
	uint32_t page_bytes;    // of a new file; 0: 4096
	uint32_t cache_kib;     // page cache; 0: 256
	uint64_t mmap_bytes;    // 0: none
	mode_t file_mode;       // of a new file; 0: 0600
};

enum err_code db_open(const struct db_options *options, struct db **out, struct err *err) ERR_CHECKED;

// What a new file of this schema holds, to be written in one piece instead of being made statement by statement, which takes a
// hundred times as long: where there are many databases of one kind. rows: SQL that adds what all of them begin with, NULL:
// nothing; page_bytes as above. Appended to image_out; ERR_LIMIT when it does not fit. Needs no disk.
enum err_code db_image(const struct db_schema *schema, const char *rows, uint32_t page_bytes, struct buf *image_out,
	struct err *err) ERR_CHECKED;

// From when *stop is true no page of this database is read any more: for what goes through all of it in one statement, which then
// fails or complains, and is not to be believed. Of an exclusive one, or DB_FROZEN with `exclusive`. stop is borrowed until
// db_close().
void db_stop_when(struct db *db, const _Atomic bool *stop);

// Finalises the statements and closes without a checkpoint (the WAL is replayed at the next open). *db becomes NULL.
void db_close(struct db **db);

// Begins a write transaction (IMMEDIATE). Commit returns only when the WAL is on disk.
// After a failed commit the transaction is rolled back.
enum err_code db_begin(struct db *db, struct err *err) ERR_CHECKED;
// for many reads in a row: each is cheaper inside. Ends with db_commit
enum err_code db_begin_read(struct db *db, struct err *err) ERR_CHECKED;
enum err_code db_commit(struct db *db, struct err *err) ERR_CHECKED;
void db_rollback(struct db *db);
bool db_in_transaction(const struct db *db);

// A savepoint inside a transaction: what one record does can be undone alone. Depth is the caller's to match.
enum err_code db_savepoint(struct db *db, struct err *err) ERR_CHECKED;
enum err_code db_release(struct db *db, struct err *err) ERR_CHECKED;
void db_undo(struct db *db); // to the savepoint, and releases it

// SQL without parameters: schema, pragmas. One or several statements.
enum err_code db_exec(struct db *db, const char *sql, struct err *err) ERR_CHECKED;

// Prepares all statements of options.sql now: a file whose schema is damaged is ERR_CORRUPT here, and a bug at db_stmt.
enum err_code db_prepare(struct db *db, struct err *err) ERR_CHECKED;

// Statement number `index` of options.sql, reset and without bindings. A statement that does not prepare is a bug (must).
sqlite3_stmt *db_stmt(struct db *db, size_t index);

// The same for a statement that its caller has reset with db_reset() after its last use, and whose parameters he sets all: what
// they were is left.
sqlite3_stmt *db_stmt_again(struct db *db, size_t index);

// Parameters are numbered from 1. Strings and blobs are borrowed until the statement is reset; {NULL, 0} is the empty string.
void db_bind_i64(sqlite3_stmt *stmt, int parameter, int64_t value);
void db_bind_str(sqlite3_stmt *stmt, int parameter, struct str value);
void db_bind_blob(sqlite3_stmt *stmt, int parameter, struct str value);
void db_bind_null(sqlite3_stmt *stmt, int parameter);

enum db_step { DB_ROW, DB_DONE, DB_FAILED };

// One row further. On DB_FAILED the statement is reset and err->code is set.
enum db_step db_step(struct db *db, sqlite3_stmt *stmt, struct err *err) ERR_CHECKED;
void db_reset(sqlite3_stmt *stmt);

// Steps to the end, ignoring rows, and resets: INSERT, UPDATE, DELETE.
enum err_code db_run(struct db *db, sqlite3_stmt *stmt, struct err *err) ERR_CHECKED;

// Columns are numbered from 0. NULL reads as 0 or the empty string.
int64_t db_col_i64(sqlite3_stmt *stmt, int column);
struct str db_col_str(sqlite3_stmt *stmt, int column);
struct str db_col_blob(sqlite3_stmt *stmt, int column);
bool db_col_is_null(sqlite3_stmt *stmt, int column);

// Rows changed by the last statement; rowid of the last insert.
int64_t db_changes(const struct db *db);
int64_t db_last_rowid(const struct db *db);

// Bytes of WAL written since it was last reset, as of the last commit; what its file has grown to; and the checkpoint. Without
// truncate the file stays, and its blocks are used again; with it the file is cut to zero. Both counts begin at 0 with db_open.
// ERR_NOSPACE: the next checkpoint does all of it again.
uint64_t db_wal_bytes(const struct db *db);
uint64_t db_wal_file_bytes(const struct db *db);
enum err_code db_checkpoint(struct db *db, bool truncate, struct err *err) ERR_CHECKED;

// A checkpoint of an exclusive database after which nothing but db_close() follows: the next opening finds an empty log, whose
// blocks the next commits write over, which is cheaper than to let it grow again. Its header is made void, unsynced: should that
// not last, the log says once more what the checkpoint has written and synced; whoever writes over it syncs a new header first.
enum err_code db_end_wal(struct db *db, struct err *err) ERR_CHECKED;

// A checkpoint that cuts the file and waits for readers at most so long, if other connections have any: ERR_BUSY when one still
// holds a snapshot; what is older than that has then been copied.
enum err_code db_truncate_wal(struct db *db, int64_t wait_ms, struct err *err) ERR_CHECKED;

// The underlying connection, for what is not among the statements.
sqlite3 *db_handle(struct db *db);

// The code for a result of SQLite, with its message. ERR_NOSPACE: nothing was written and it may be tried again; a sync that
// failed is ERR_IO whatever the system said, ENOSPC too, and what was to become durable is in doubt.
enum err_code db_error(struct db *db, int rc, const char *what, struct err *err);

#endif
