// SPDX-License-Identifier: Apache-2.0
// Opening a database: our pragmas, format versions and what takes an older file further; images of new ones.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/must.h"
#include "db_file.h"
#include "db_memory.h"
#include "db_private.h"
#include "db_wal.h"

enum { PAGE_BYTES = 4096 };

// Statistics of its memory would put one lock around every allocation of all threads; nobody asks for them. A mailbox's database
// is open for some seconds and uses a dozen pages: of the 87 KiB of pages and 48 KiB of small pieces that each would begin with
// most are touched and never used. All refused where SQLite runs already, which only costs speed.
static void configure_sqlite(void)
{
	enum { SMALL_BYTES = 1200, SMALL_N = 8 };
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	db_memory_configure();
	sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
	sqlite3_config(SQLITE_CONFIG_LOOKASIDE, SMALL_BYTES, SMALL_N);
}

static int count_wal(void *ctx, sqlite3 *handle, const char *name, int pages)
{
	(void)handle;
	(void)name;
	struct db *db = ctx;
	db->wal_bytes = (uint64_t)pages * db->page_bytes;
	if (db->wal_file_bytes < db->wal_bytes)
		db->wal_file_bytes = db->wal_bytes;
	return SQLITE_OK;
}

static enum err_code pragma_u64(struct db *db, const char *sql, uint64_t *out, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db->handle, sql, -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*out = (uint64_t)sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW ? ERR_OK : db_error(db, rc, sql, err);
}

static uint32_t oldest_of(const struct db_schema *schema)
{
	return schema->oldest ? schema->oldest : 1;
}

// From a version, 0: from nothing, to the last.
static enum err_code migrate(struct db *db, const struct db_schema *schema, uint64_t from, struct err *err)
{
	enum err_code code = db_begin(db, err);
	uint64_t oldest = oldest_of(schema);
	for (uint64_t v = from ? from + 1 : oldest; code == ERR_OK && v <= schema->version; v++)
		code = db_exec(db, schema->steps[v - oldest], err);
	if (code == ERR_OK) {
		char sql[128];
		snprintf(sql, sizeof sql, "PRAGMA application_id=%u; PRAGMA user_version=%u", schema->application_id,
			schema->version);
		code = db_exec(db, sql, err);
	}
	if (code == ERR_OK)
		return db_commit(db, err);
	db_rollback(db);
	return code;
}

static bool is_reader(const struct db_options *options)
{
	return options->mode == DB_READONLY || options->mode == DB_FROZEN;
}

// A file of another program, or of a Posthouse that is newer or too old, is left exactly as it is.
static enum err_code check_format(struct db *db, const struct db_options *options, bool known, struct err *err)
{
	const struct db_schema *schema = options->schema;
	uint64_t id, version, pages;
	enum err_code code = pragma_u64(db, "PRAGMA user_version", &version, err);
	if (code || (known && version == schema->version))
		return code;
	code = pragma_u64(db, "PRAGMA application_id", &id, err);
	if (code == ERR_OK)
		code = pragma_u64(db, "PRAGMA page_count", &pages, err);
	if (code)
		return code;
	bool fresh = pages == 0 || (id == 0 && version == 0);
	if (!fresh && (uint32_t)id != schema->application_id)
		return err_set(err, ERR_CORRUPT, "%s: not a %s (application id %08x)", db->path, schema->name, (unsigned)id);
	if (version > schema->version)
		return err_set(err, ERR_VERSION, "%s: format %u is newer than this program's %u: upgrade, or restore a backup",
			db->path, (unsigned)version, schema->version);
	if (!fresh && version < oldest_of(schema))
		return err_set(err, ERR_VERSION,
			"%s: format %u is too old for this program, which needs %u: take its data out with the program "
			"that wrote it, or move it away",
			db->path, (unsigned)version, schema->version);
	if (version == schema->version && !fresh)
		return ERR_OK;
	if (is_reader(options))
		return err_set(err, fresh ? ERR_NOTFOUND : ERR_VERSION, "%s: format %u, need %u: its owner has not made it yet", db->path,
			(unsigned)version, schema->version);
	return migrate(db, schema, fresh ? 0 : version, err);
}

// What the file itself begins with (SQLite file format, 1.3): page size at 16, 2 at 18 and 19 for a WAL, application_id at 68.
// None of them changes in the life of a file; a version may be in the WAL alone.
enum { HEADER_BYTES = 100, HEADER_PAGE = 16, HEADER_WRITE_VERSION = 18, HEADER_READ_VERSION = 19, HEADER_APPLICATION = 68,
	HEADER_WAL = 2 };

static uint32_t big_endian(const unsigned char *p, size_t n)
{
	uint32_t value = 0;
	for (size_t i = 0; i < n; i++)
		value = value << 8 | p[i];
	return value;
}

// Is it a file of ours, with a WAL? Then there is less to ask and to set: each statement costs an opening some 8,000
// instructions.
static bool read_header(struct db *db, const struct db_schema *schema)
{
	unsigned char header[HEADER_BYTES];
	sqlite3_file *file = NULL;
	sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_FILE_POINTER, &file);
	if (file == NULL || file->pMethods == NULL || file->pMethods->xRead(file, header, sizeof header, 0) != SQLITE_OK)
		return false;
	uint32_t page_bytes = big_endian(header + HEADER_PAGE, 2);
	if (header[HEADER_WRITE_VERSION] != HEADER_WAL || header[HEADER_READ_VERSION] != HEADER_WAL || page_bytes <= 1 ||
		big_endian(header + HEADER_APPLICATION, 4) != schema->application_id)
		return false;
	db->page_bytes = page_bytes;
	return true;
}

// known: read_header() said so.
static enum err_code set_pragmas(struct db *db, const struct db_options *options, bool known, struct err *err)
{
	char sql[512];
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_ENABLE_FKEY, 0, NULL);
	sqlite3_extended_result_codes(db->handle, 1);
	sqlite3_busy_timeout(db->handle, is_reader(options) ? DB_READER_BUSY_MS : DB_WRITER_BUSY_MS);
	// The lock first, before anything reads the file: a connection that has it from the start needs no -shm file.
	int n = snprintf(sql, sizeof sql, "%s PRAGMA cache_size=-%u; PRAGMA temp_store=MEMORY",
		options->exclusive ? "PRAGMA locking_mode=EXCLUSIVE;" : "", options->cache_kib ? options->cache_kib : 256);
	if (options->mmap_bytes)
		n += snprintf(sql + n, sizeof sql - (size_t)n, "; PRAGMA mmap_size=%llu",
			(unsigned long long)options->mmap_bytes);
	if (!is_reader(options))
		n += snprintf(sql + n, sizeof sql - (size_t)n, "; PRAGMA synchronous=FULL; PRAGMA secure_delete=FAST");
	if (!is_reader(options) && !known)
		snprintf(sql + n, sizeof sql - (size_t)n, "; PRAGMA page_size=%u; PRAGMA journal_mode=WAL",
			options->page_bytes ? options->page_bytes : PAGE_BYTES);
	return db_exec(db, sql, err);
}

// The directory entry of a new database must survive a cut, and the removal of its first journal; SQLite syncs for the WAL only.
static enum err_code sync_parent(const char *path, struct err *err)
{
	struct str whole = str_of_c(path);
	ptrdiff_t slash = str_rindex(whole, '/');
	struct str parent = slash < 0 ? STR(".") : slash == 0 ? STR("/") : str_upto(whole, (size_t)slash);
	int fd;
	enum err_code code = file_dir_open(parent, &fd, err);
	if (code)
		return code;
	code = file_dir_sync(fd, err);
	file_close(fd);
	return code;
}

// A log is found by the database's name: under a second name the same file would get another's (threat fs-race). By name, as
// closing a descriptor of it here would end the locks of who has it open.
static enum err_code check_names(const struct db_options *options, struct err *err)
{
	struct stat st;
	if (!options->exclusive || lstat(options->path, &st) != 0 || st.st_nlink <= 1)
		return ERR_OK;
	return err_set(err, ERR_CORRUPT,
		"%s: the file has %lu names (hard links): two mailboxes may be one file, or a backup is; leave it one",
		options->path, (unsigned long)st.st_nlink);
}

// As a URI (sqlite.org/uri.html), the only way to say that a file is immutable.
static int open_frozen(struct db *db, const struct db_options *options, int flags)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/-_.";
	struct buf uri;
	buf_init(&uri, 3 * strlen(options->path) + 64);
	buf_add_c(&uri, "file:");
	for (const char *c = options->path; *c; c++)
		buf_printf(&uri, strchr(plain, *c) ? "%c" : "%%%02X", (unsigned char)*c);
	buf_add_c(&uri, "?immutable=1");
	int rc = sqlite3_open_v2(buf_c(&uri), &db->handle, flags | SQLITE_OPEN_URI, options->exclusive ? db_wal_vfs() : NULL);
	buf_fini(&uri);
	return rc;
}

static enum err_code open_handle(struct db *db, const struct db_options *options, struct err *err)
{
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
	switch (options->mode) {
	case DB_CREATE:
		flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
		break;
	case DB_READWRITE:
		flags |= SQLITE_OPEN_READWRITE;
		break;
	case DB_READONLY:
	case DB_FROZEN:
		flags |= SQLITE_OPEN_READONLY;
		break;
	}
	enum err_code code = check_names(options, err);
	if (code)
		return code;
	bool made = options->mode == DB_CREATE && access(options->path, F_OK) != 0;
	int rc = options->mode == DB_FROZEN ? open_frozen(db, options, flags) :
		sqlite3_open_v2(options->path, &db->handle, flags, options->exclusive ? db_wal_vfs() : NULL);
	if (rc != SQLITE_OK)
		return db_error(db, rc, "open", err);
	if (options->keep_wal) {
		int on = 1;
		sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
	}
	if (made && chmod(options->path, options->file_mode ? options->file_mode : 0600) != 0)
		return err_errno(err, "chmod %s", options->path);
	bool known = read_header(db, options->schema);
	uint64_t page_bytes = db->page_bytes;
	code = set_pragmas(db, options, known, err);
	if (code == ERR_OK)
		code = check_format(db, options, known, err);
	if (code == ERR_OK && !known)
		code = pragma_u64(db, "PRAGMA page_size", &page_bytes, err);
	// Also when it was there: whoever made it may have died before its sync. And the journal of its making must not come back
	// after a power cut: SQLite would roll the new database back to nothing, and drop the WAL with it.
	if (code == ERR_OK && options->mode == DB_CREATE)
		code = sync_parent(options->path, err);
	db->page_bytes = (uint32_t)page_bytes;
	return code;
}

static struct db *db_new(const struct db_options *options)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, configure_sqlite);
	struct db *db = calloc(1, sizeof *db);
	must(db != NULL);
	db->path = strdup(options->path);
	db->sql = options->sql;
	db->n_sql = options->n_sql;
	db->stmts = calloc(options->n_sql ? options->n_sql : 1, sizeof *db->stmts);
	must(db->path != NULL && db->stmts != NULL);
	if (options->exclusive) // others have files, and pieces, in common
		db->pool = db_pool_new();
	return db;
}

enum err_code db_open(const struct db_options *options, struct db **out, struct err *err)
{
	struct db *db = db_new(options);
	struct db_pool *before = db_pool_use(db->pool);
	enum err_code code = open_handle(db, options, err);
	db_pool_use(before);
	if (code) {
		db_close(&db);
		return code;
	}
	sqlite3_wal_hook(db->handle, count_wal, db); // in place of the one that writes back by itself
	*out = db;
	return ERR_OK;
}

static enum err_code make_in_memory(struct db *db, const struct db_schema *schema, const char *rows, uint32_t page_bytes,
	struct err *err)
{
	char sql[64];
	int rc = sqlite3_open_v2(db->path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK)
		return db_error(db, rc, "open", err);
	snprintf(sql, sizeof sql, "PRAGMA page_size=%u", page_bytes ? page_bytes : PAGE_BYTES);
	enum err_code code = db_exec(db, sql, err);
	if (code == ERR_OK)
		code = migrate(db, schema, 0, err);
	return code || rows == NULL ? code : db_exec(db, rows, err);
}

enum err_code db_image(const struct db_schema *schema, const char *rows, uint32_t page_bytes, struct buf *image_out,
	struct err *err)
{
	struct db *db = db_new(&(struct db_options){.path = ":memory:"});
	sqlite3_int64 n = 0;
	enum err_code code = make_in_memory(db, schema, rows, page_bytes, err);
	unsigned char *image = code ? NULL : sqlite3_serialize(db->handle, "main", &n, 0);
	must(code || image != NULL);
	if (code == ERR_OK) {
		image[HEADER_WRITE_VERSION] = image[HEADER_READ_VERSION] = HEADER_WAL; // which a database in memory never has
		if (!buf_add(image_out, str_of((const char *)image, (size_t)n)))
			code = err_set(err, ERR_LIMIT, "an empty %s has %lld bytes", schema->name, (long long)n);
	}
	sqlite3_free(image);
	db_close(&db);
	return code;
}
