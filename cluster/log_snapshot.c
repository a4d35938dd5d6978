// SPDX-License-Identifier: Apache-2.0
// A snapshot of the database that nothing is copied for: the writer makes the file whole by a checkpoint and makes no other until
// the end.
//
// Happy path: checkpoint on the writer's thread, frozen; a second connection, without a lock and without the WAL, reads the file
// on the caller's thread; not frozen any more. Failure: as for any checkpoint. Whoever commits wants space for a WAL that only
// grows: the writer looks after each batch whether that is enough now (thaw). Crash story: a WAL that was not written back,
// longer than usual.
#include "base/must.h"
#include "log_core.h"

struct freezing {
	struct cluster_log *log;
	enum err_code code;
	struct err err;
};

// On the writer's thread, as all of frozen.
static void freeze(struct db *db, void *arg)
{
	struct freezing *f = arg;
	struct cluster_log *log = f->log;
	if (log->frozen) {
		f->code = err_set(&f->err, ERR_BUSY, "the database is being read as a whole already");
		return;
	}
	atomic_store(&log->thaw, false); // before it is asked whether all is to end, which comes after the end was said
	f->code = atomic_load(&log->snapshots_end) ? err_set(&f->err, ERR_CANCELLED, "the queue is stopping")
						   : db_checkpoint(db, true, &f->err);
	log->frozen = f->code == ERR_OK;
}

static void unfreeze(struct db *db, void *arg)
{
	(void)db;
	struct cluster_log *log = arg;
	log->frozen = false;
}

bool cluster_log_is_frozen(struct cluster_log *log)
{
	if (log->frozen && (db_wal_bytes(log->db) > CLUSTER_LOG_FROZEN_WAL_BYTES || atomic_load(&log->short_of_space) ||
				   atomic_load(&log->snapshots_end)))
		atomic_store(&log->thaw, true);
	return log->frozen;
}

static enum err_code run_frozen(struct cluster_log *log, void (*fn)(struct db *db, void *arg), void *arg, struct err *err)
{
	char path[CLUSTER_LOG_PATH_BYTES];
	struct db *db;
	must(cluster_log_path(log, path, sizeof path)); // it was opened by this name
	const struct db_options options = {.path = path, .mode = DB_FROZEN, .schema = log->config.fold.schema, .sql = log->sql,
		.n_sql = CLUSTER_LOG_SQL + log->config.fold.n_sql, .exclusive = true};
	enum err_code code = db_open(&options, &db, err);
	if (code)
		return code;
	db_stop_when(db, &log->thaw);
	fn(db, arg);
	db_close(&db);
	if (!atomic_load(&log->thaw))
		return ERR_OK;
	return atomic_load(&log->snapshots_end) ? err_set(err, ERR_CANCELLED, "the queue is stopping") :
		err_set(err, ERR_BUSY, "too much mail came in, or space is short: it could not be read to its end");
}

enum err_code cluster_log_snapshot(struct cluster_log *log, void (*fn)(struct db *db, void *arg), void *arg, struct err *err)
{
	struct freezing f = {.log = log};
	enum err_code code = cluster_log_read(log, freeze, &f, err);
	if (code == ERR_OK && f.code)
		code = err_set(err, f.code, "%s", f.err.text);
	if (code)
		return code;
	code = run_frozen(log, fn, arg, err);
	while (cluster_log_read(log, unfreeze, log, NULL))
		; // ERR_BUSY: the line is too long
	return code;
}

void cluster_log_end_snapshots(struct cluster_log *log)
{
	atomic_store(&log->snapshots_end, true);
	atomic_store(&log->thaw, true);
}
