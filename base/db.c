// SPDX-License-Identifier: Apache-2.0
// SQLite glue: statements by number, transactions, errors mapped. Opening is in db_open.c.
#include "base/db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "db_file.h"
#include "db_memory.h"
#include "db_private.h"

enum { WAL_HEADER_BYTES = 32 };

static const char *const transaction_sql[DB_TRANSACTION_N] = {[DB_BEGIN] = "BEGIN IMMEDIATE",
	[DB_BEGIN_READ] = "BEGIN",
	[DB_COMMIT] = "COMMIT",
	[DB_SAVEPOINT] = "SAVEPOINT s",
	[DB_RELEASE] = "RELEASE s"};

static enum err_code code_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return ERR_NOSPACE;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_BUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ERR_CORRUPT;
	case SQLITE_CONSTRAINT:
		return ERR_EXISTS;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return ERR_DENIED;
	case SQLITE_NOMEM:
		return ERR_NOMEM;
	case SQLITE_TOOBIG:
		return ERR_LIMIT;
	case SQLITE_INTERRUPT:
		return ERR_CANCELLED;
	case SQLITE_CANTOPEN: // a link (SQLITE_CANTOPEN_SYMLINK), a path that is none; where the system said why, db_error asks
			      // it
		return ERR_INVALID;
	default:
		return ERR_IO;
	}
}

// A sync that failed is final, also where the system says ENOSPC (delayed allocation, thin provisioning, NFS): the kernel may
// have dropped what was to become durable, so a second sync that succeeds says nothing, and the commit may come back after a cut
// (ARCHITECTURE 4). A write for which there is no room is SQLITE_FULL.
static bool is_sync(int rc)
{
	return rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC;
}

// What the system said of the WAL, or of the database: SQLite keeps it by file.
static int sync_errno(struct db *db)
{
	sqlite3_file *wal = NULL;
	int errnum = 0;
	sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
	if (wal && wal->pMethods)
		wal->pMethods->xFileControl(wal, SQLITE_FCNTL_LAST_ERRNO, &errnum);
	if (errnum == 0)
		sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_LAST_ERRNO, &errnum);
	return errnum;
}

static enum err_code sync_error(struct db *db, const char *what, struct err *err)
{
	int errnum = sync_errno(db);
	return err_set(err, ERR_IO, "%s: %s: a sync failed%s%s", db->path, what, errnum ? ": " : "",
		errnum ? strerrordesc_np(errnum) : "");
}

enum err_code db_error(struct db *db, int rc, const char *what, struct err *err)
{
	enum err_code code = code_of(rc);
	if (is_sync(rc) && db->handle)
		return sync_error(db, what, err);
	int errnum = db->handle ? sqlite3_system_errno(db->handle) : 0;
	if ((rc & 0xff) == SQLITE_CANTOPEN && errnum)
		code = err_of_errno(errnum);
	// What failed on an open file is the disk's fault, whatever errno is left from before; a full disk is worth telling
	// apart.
	if ((rc & 0xff) == SQLITE_IOERR && err_of_errno(errnum) == ERR_NOSPACE)
		code = ERR_NOSPACE;
	return err_set(err, code, "%s: %s: %s", db->path, what, db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc));
}

enum err_code db_exec(struct db *db, const char *sql, struct err *err)
{
	struct db_pool *before = db_pool_use(db->pool);
	int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
	db_pool_use(before);
	return rc == SQLITE_OK ? ERR_OK : db_error(db, rc, sql, err);
}

void db_close(struct db **db_in)
{
	struct db *db = *db_in;
	if (db == NULL)
		return;
	for (size_t i = 0; i < db->n_sql; i++)
		sqlite3_finalize(db->stmts[i]);
	for (size_t i = 0; i < DB_TRANSACTION_N; i++)
		sqlite3_finalize(db->transaction[i]);
	must(sqlite3_close(db->handle) == SQLITE_OK);
	db_pool_free(&db->pool);
	free(db->stmts);
	free(db->path);
	free(db);
	*db_in = NULL;
}

static sqlite3_stmt *prepared(struct db *db, sqlite3_stmt **slot, const char *sql)
{
	if (*slot == NULL) {
		struct db_pool *before = db_pool_use(db->pool);
		int rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, slot, NULL);
		db_pool_use(before);
		if (rc != SQLITE_OK)
			fprintf(stderr, "posthouse: %s: %s: %s\n", db->path, sql, sqlite3_errmsg(db->handle));
		must(rc == SQLITE_OK && *slot != NULL);
	}
	return *slot;
}

enum err_code db_prepare(struct db *db, struct err *err)
{
	for (size_t i = 0; i < db->n_sql; i++) {
		int rc = sqlite3_prepare_v3(db->handle, db->sql[i], -1, SQLITE_PREPARE_PERSISTENT, &db->stmts[i], NULL);
		if (rc == SQLITE_ERROR) // tables or columns are missing
			return err_set(err, ERR_CORRUPT, "%s: %s", db->path, sqlite3_errmsg(db->handle));
		if (rc != SQLITE_OK)
			return db_error(db, rc, db->sql[i], err);
	}
	return ERR_OK;
}

static enum err_code run_transaction(struct db *db, enum db_transaction step, struct err *err)
{
	return db_run(db, prepared(db, &db->transaction[step], transaction_sql[step]), err);
}

enum err_code db_begin(struct db *db, struct err *err)
{
	return run_transaction(db, DB_BEGIN, err);
}

enum err_code db_begin_read(struct db *db, struct err *err)
{
	return run_transaction(db, DB_BEGIN_READ, err);
}

enum err_code db_commit(struct db *db, struct err *err)
{
	enum err_code code = run_transaction(db, DB_COMMIT, err);
	if (code)
		db_rollback(db);
	return code;
}

void db_rollback(struct db *db)
{
	if (db_in_transaction(db)) // some errors have rolled back already
		sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

bool db_in_transaction(const struct db *db)
{
	return sqlite3_get_autocommit(db->handle) == 0;
}

enum err_code db_savepoint(struct db *db, struct err *err)
{
	return run_transaction(db, DB_SAVEPOINT, err);
}

enum err_code db_release(struct db *db, struct err *err)
{
	return run_transaction(db, DB_RELEASE, err);
}

void db_undo(struct db *db)
{
	if (db_in_transaction(db))
		sqlite3_exec(db->handle, "ROLLBACK TO s; RELEASE s", NULL, NULL, NULL);
}

sqlite3_stmt *db_stmt(struct db *db, size_t index)
{
	must(index < db->n_sql);
	sqlite3_stmt *stmt = prepared(db, &db->stmts[index], db->sql[index]);
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return stmt;
}

sqlite3_stmt *db_stmt_again(struct db *db, size_t index)
{
	must(index < db->n_sql);
	return prepared(db, &db->stmts[index], db->sql[index]);
}

void db_bind_i64(sqlite3_stmt *stmt, int parameter, int64_t value)
{
	must(sqlite3_bind_int64(stmt, parameter, value) == SQLITE_OK);
}

void db_bind_str(sqlite3_stmt *stmt, int parameter, struct str value)
{
	must(sqlite3_bind_text64(stmt, parameter, value.n ? value.p : "", value.n, SQLITE_STATIC, SQLITE_UTF8) == SQLITE_OK);
}

void db_bind_blob(sqlite3_stmt *stmt, int parameter, struct str value)
{
	must(sqlite3_bind_blob64(stmt, parameter, value.n ? value.p : "", value.n, SQLITE_STATIC) == SQLITE_OK);
}

void db_bind_null(sqlite3_stmt *stmt, int parameter)
{
	must(sqlite3_bind_null(stmt, parameter) == SQLITE_OK);
}

enum db_step db_step(struct db *db, sqlite3_stmt *stmt, struct err *err)
{
	struct db_pool *before = db_pool_use(db->pool);
	int rc = sqlite3_step(stmt);
	db_pool_use(before);
	if (rc == SQLITE_ROW)
		return DB_ROW;
	if (rc == SQLITE_DONE)
		return DB_DONE;
	db_error(db, rc, sqlite3_sql(stmt), err);
	sqlite3_reset(stmt);
	return DB_FAILED;
}

void db_reset(sqlite3_stmt *stmt)
{
	sqlite3_reset(stmt);
}

enum err_code db_run(struct db *db, sqlite3_stmt *stmt, struct err *err)
{
	struct db_pool *before = db_pool_use(db->pool);
	int rc;
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
		;
	db_pool_use(before);
	enum err_code code = rc == SQLITE_DONE ? ERR_OK : db_error(db, rc, sqlite3_sql(stmt), err);
	sqlite3_reset(stmt);
	return code;
}

int64_t db_col_i64(sqlite3_stmt *stmt, int column)
{
	return sqlite3_column_int64(stmt, column);
}

struct str db_col_str(sqlite3_stmt *stmt, int column)
{
	const char *p = (const char *)sqlite3_column_text(stmt, column);
	return str_of(p, (size_t)sqlite3_column_bytes(stmt, column));
}

struct str db_col_blob(sqlite3_stmt *stmt, int column)
{
	const char *p = sqlite3_column_blob(stmt, column);
	return str_of(p, (size_t)sqlite3_column_bytes(stmt, column));
}

bool db_col_is_null(sqlite3_stmt *stmt, int column)
{
	return sqlite3_column_type(stmt, column) == SQLITE_NULL;
}

int64_t db_changes(const struct db *db)
{
	return sqlite3_changes64(db->handle);
}

int64_t db_last_rowid(const struct db *db)
{
	return sqlite3_last_insert_rowid(db->handle);
}

uint64_t db_wal_bytes(const struct db *db)
{
	return db->wal_bytes;
}

uint64_t db_wal_file_bytes(const struct db *db)
{
	return db->wal_file_bytes;
}

enum err_code db_checkpoint(struct db *db, bool truncate, struct err *err)
{
	int rc = sqlite3_wal_checkpoint_v2(db->handle, "main", truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE,
		NULL, NULL);
	// Here a sync may be tried again: what a checkpoint writes counts only after it, and the next one writes all of it again.
	if (is_sync(rc) && sqlite3_system_errno(db->handle) == ENOSPC)
		return err_set(err, ERR_NOSPACE, "%s: checkpoint: no space for a sync", db->path);
	if (rc != SQLITE_OK)
		return db_error(db, rc, "checkpoint", err);
	if (truncate)
		db->wal_bytes = db->wal_file_bytes = 0;
	return ERR_OK;
}

enum err_code db_end_wal(struct db *db, struct err *err)
{
	static const unsigned char nothing[WAL_HEADER_BYTES];
	sqlite3_file *wal = NULL;
	int frames = 0, written = 0;
	struct db_pool *before = db_pool_use(db->pool);
	int rc = sqlite3_wal_checkpoint_v2(db->handle, "main", SQLITE_CHECKPOINT_PASSIVE, &frames, &written);
	db_pool_use(before);
	if (rc == SQLITE_OK && written == frames) {
		sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
		must(wal != NULL && wal->pMethods != NULL);
		rc = wal->pMethods->xWrite(wal, nothing, sizeof nothing, 0);
	}
	if (rc != SQLITE_OK)
		return db_error(db, rc, "checkpoint", err);
	db->wal_bytes = 0;
	return ERR_OK;
}

enum err_code db_truncate_wal(struct db *db, int64_t wait_ms, struct err *err)
{
	sqlite3_busy_timeout(db->handle, (int)wait_ms);
	enum err_code code = db_checkpoint(db, true, err);
	sqlite3_busy_timeout(db->handle, DB_WRITER_BUSY_MS);
	return code;
}

void db_stop_when(struct db *db, const _Atomic bool *stop)
{
	sqlite3_file_control(db->handle, "main", DB_FILE_STOP, (void *)(uintptr_t)stop);
}

sqlite3 *db_handle(struct db *db)
{
	return db->handle;
}
