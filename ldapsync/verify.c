// SPDX-License-Identifier: Apache-2.0
// Looking for damage in shadow.db and credentials.db.
#include "verify.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "base/thread.h"
#include "keys.h"
#include "schema/ddl_shadow.h"
#include "schema/entry.h"

enum { STATE, PAGES, ENTRIES, KEYS, STATEMENTS };

static const char *const sql[STATEMENTS] = {
	[STATE] = "SELECT complete, entries FROM state",
	[PAGES] = "PRAGMA quick_check(1)",
	[ENTRIES] = "SELECT id, keys, data FROM entry",
	[KEYS] = "SELECT kind, key, id FROM key",
};

enum { CACHE_KIB = 1024, OPS_PER_LOOK_AT_STOP = 100000, AGAIN_MS = 1000 };

// --- One file ---

// Keys as entries have them, and as the table has them: as many, of the same sum, in whatever order.
struct sum {
	uint64_t n, hashes;
};

static void count_key(struct sum *sum, int kind, struct str key, int64_t id)
{
	uint64_t row[2] = {(uint64_t)kind << 56 ^ (uint64_t)id, str_hash(key)};
	sum->n++;
	sum->hashes += str_hash(str_of((const char *)row, sizeof row));
}

static enum err_code damaged(struct err *err, const char *path, const char *what)
{
	return err_set(err, ERR_CORRUPT, "%s: %s", path, what);
}

static enum err_code look_at_pages(struct db *db, const char *path, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(db, PAGES);
	if (db_step(db, stmt, err) == DB_FAILED)
		return err->code;
	struct str said = db_col_str(stmt, 0);
	enum err_code code = str_eq(said, STR("ok")) ? ERR_OK : err_set(err, ERR_CORRUPT, "%s: %.*s", path, (int)said.n, said.p);
	db_reset(stmt);
	return code;
}

static enum err_code look_at_entry(sqlite3_stmt *stmt, struct sum *sum, const char *path, struct classes *classes,
	struct err *err)
{
	struct str keys = db_col_blob(stmt, 1), key;
	enum directory_key kind;
	struct entry entry;
	if (!entry_decode(db_col_blob(stmt, 2), &entry))
		return damaged(err, path, "an entry does not decode");
	if (classes)
		classes_note(classes, &entry);
	while (keys_next(&keys, &kind, &key))
		count_key(sum, (int)kind, key, db_col_i64(stmt, 0));
	return keys.n ? damaged(err, path, "the keys of an entry do not decode") : ERR_OK;
}

static enum err_code look_at_rows(struct db *db, const char *path, uint64_t entries, struct classes *classes, struct err *err)
{
	struct sum theirs = {0}, table = {0};
	uint64_t n = 0;
	enum err_code code = ERR_OK;
	enum db_step step = DB_DONE;
	sqlite3_stmt *stmt = db_stmt(db, ENTRIES);
	for (; code == ERR_OK && (step = db_step(db, stmt, err)) == DB_ROW; n++)
		code = look_at_entry(stmt, &theirs, path, classes, err);
	if (step == DB_FAILED)
		return err->code;
	db_reset(stmt);
	if (code)
		return code;
	stmt = db_stmt(db, KEYS);
	while ((step = db_step(db, stmt, err)) == DB_ROW)
		count_key(&table, (int)db_col_i64(stmt, 0), db_col_blob(stmt, 1), db_col_i64(stmt, 2));
	if (step == DB_FAILED)
		return err->code;
	db_reset(stmt);
	if (n != entries)
		return damaged(err, path, "entries are missing");
	return theirs.n == table.n && theirs.hashes == table.hashes ? ERR_OK
								    : damaged(err, path, "keys are missing, or lead astray");
}

static enum err_code look(struct db *db, const char *path, struct classes *classes, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(db, STATE);
	enum db_step step = db_step(db, stmt, err);
	if (step == DB_FAILED)
		return err->code;
	bool complete = step == DB_ROW && db_col_i64(stmt, 0) != 0;
	uint64_t entries = (uint64_t)db_col_i64(stmt, 1);
	db_reset(stmt);
	if (!complete)
		return ERR_OK;
	enum err_code code = look_at_pages(db, path, err);
	return code ? code : look_at_rows(db, path, entries, classes, err);
}

static int is_told_to_stop(void *arg)
{
	atomic_bool *stop = arg;
	return atomic_load(stop);
}

enum err_code verify_file(const char *path, const struct db_schema *schema, struct classes *classes, atomic_bool *stop,
	struct err *err)
{
	struct db_options options = {
		.path = path, .mode = DB_READONLY, .schema = schema, .sql = sql, .n_sql = STATEMENTS, .keep_wal = true,
		.cache_kib = CACHE_KIB};
	struct db *db;
	enum err_code code = db_open(&options, &db, err);
	if (code)
		return code;
	if (stop)
		sqlite3_progress_handler(db_handle(db), OPS_PER_LOOK_AT_STOP, is_told_to_stop, stop);
	code = db_prepare(db, err);
	if (code == ERR_OK)
		code = db_begin_read(db, err);
	if (code == ERR_OK)
		code = look(db, path, classes, err);
	db_rollback(db);
	db_close(&db);
	return code;
}

// --- The thread ---

struct verify {
	pthread_t thread;
	char *shadow_path, *credentials_path; // owned
	void (*damaged)(void *arg, const struct err *err);
	void *arg;
	struct classes *classes; // borrowed
	atomic_bool stopping;
	pthread_mutex_t mutex; // guards every_ms and was_set
	pthread_cond_t changed;
	int64_t every_ms;
	bool was_set;
};

// Until ms have gone, or something was set, or stopping.
static void rest(struct verify *verify, int64_t ms)
{
	int64_t until_ms = clock_mono_exact_ms() + ms;
	pthread_mutex_lock(&verify->mutex);
	while (!verify->was_set && !atomic_load(&verify->stopping))
		if (!thread_wait_until(&verify->changed, &verify->mutex, until_ms))
			break;
	verify->was_set = false;
	pthread_mutex_unlock(&verify->mutex);
}

// What is busy, not there yet, or of a newer program is not damaged.
static bool is_damage(enum err_code code)
{
	return code == ERR_CORRUPT || code == ERR_IO;
}

static enum err_code look_at_both(struct verify *verify, struct err *err)
{
	if (verify->classes)
		classes_begin(verify->classes);
	enum err_code code = verify_file(verify->shadow_path, &ddl_shadow, verify->classes, &verify->stopping, err);
	if (verify->classes)
		(code ? classes_abort : classes_end)(verify->classes);
	return is_damage(code) ? code : verify_file(verify->credentials_path, &ddl_credentials, NULL, &verify->stopping, err);
}

static void *verify_thread(void *arg)
{
	struct verify *verify = arg;
	struct err err;
	while (!atomic_load(&verify->stopping)) {
		if (is_damage(look_at_both(verify, &err))) {
			rest(verify, AGAIN_MS); // it may have been replaced while it was read
			if (!atomic_load(&verify->stopping) && is_damage(look_at_both(verify, &err)))
				verify->damaged(verify->arg, &err);
		}
		pthread_mutex_lock(&verify->mutex);
		int64_t every_ms = verify->every_ms;
		pthread_mutex_unlock(&verify->mutex);
		rest(verify, every_ms);
	}
	return NULL;
}

static void let_go(struct verify **verify_in)
{
	struct verify *verify = *verify_in;
	pthread_cond_destroy(&verify->changed);
	pthread_mutex_destroy(&verify->mutex);
	free(verify->shadow_path);
	free(verify->credentials_path);
	free(verify);
	*verify_in = NULL;
}

enum err_code verify_start(const struct verify_config *config, struct verify **verify_out, struct err *err)
{
	struct verify *verify = calloc(1, sizeof *verify);
	must(verify != NULL && pthread_mutex_init(&verify->mutex, NULL) == 0 && pthread_cond_init(&verify->changed, NULL) == 0);
	verify->shadow_path = strdup(config->shadow_path);
	verify->credentials_path = strdup(config->credentials_path);
	must(verify->shadow_path != NULL && verify->credentials_path != NULL);
	verify->damaged = config->damaged;
	verify->arg = config->arg;
	verify->classes = config->classes;
	verify->every_ms = config->every_ms;
	enum err_code code = thread_start(&verify->thread, "verify", verify_thread, verify, err);
	if (code)
		let_go(&verify);
	else
		*verify_out = verify;
	return code;
}

static void wake(struct verify *verify)
{
	pthread_cond_signal(&verify->changed);
	pthread_mutex_unlock(&verify->mutex);
}

void verify_set(struct verify *verify, int64_t every_ms)
{
	pthread_mutex_lock(&verify->mutex);
	verify->was_set = true;
	verify->every_ms = every_ms;
	wake(verify);
}

void verify_stop(struct verify **verify)
{
	if (*verify == NULL)
		return;
	pthread_mutex_lock(&(*verify)->mutex);
	atomic_store(&(*verify)->stopping, true);
	wake(*verify);
	pthread_join((*verify)->thread, NULL);
	let_go(verify);
}
