// SPDX-License-Identifier: Apache-2.0
// A queue's log on one node: one SQLite database, one writer thread, group commit.
//
// Happy path. Proposals wait in a line; the writer takes up to CLUSTER_LOG_BATCH of them, opens a transaction, appends each
// record to `log`, gives it to the fold, which changes the rows, sets `applied`, cuts the log's oldest end, commits (one flush
// for all), tells the fold, and then answers each caller. While it commits the next batch gathers.
//
// Failure modes. ENOSPC while writing: roll back; ENTERs of the batch are refused; the others are written again; if that fails
// too the ballast file goes and they are written again; if that fails they wait and are tried once a second (stuck). Below the
// reserve ENTERs are refused before anything is written. Everything else that the disk says is final: config.died.
//
// Crash story. A commit is whole or absent. What waited in memory was answered to nobody: sessions that waited lose their
// connection, and their clients try again. The start needs no hand: SQLite replays its WAL, `applied` and the rows are of one
// transaction.
//
// Threads. propose, submit, read: any. Everything that has a struct db argument: the writer thread (at open: the opening thread).
#include "cluster/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/completion.h"
#include "base/file.h"
#include "base/log.h"
#include "base/must.h"
#include "base/thread.h"
#include "log_core.h"

enum {
	RECORD_ARENA_BYTES = 64 << 20, // what a fold may use for one record
};

static const char *const own_sql[OWN_STATEMENTS] = {
	[LOG_APPEND] = "INSERT INTO log(idx, term, record) VALUES(?1, ?2, ?3)",
	[LOG_CUT] = "DELETE FROM log WHERE idx < ?1",
	[LOG_FIRST] = "SELECT min(idx) FROM log",
	[STATE_GET] = "SELECT applied, term, disk, grp FROM state",
	[STATE_PUT] = "INSERT INTO state(one, applied, term, disk, grp, features, copies) VALUES(1, 0, 1, ?1, ?2, '', 1)",
	[STATE_APPLIED] = "UPDATE state SET applied = ?1",
	[STATE_IDENTITY] = "UPDATE state SET disk = ?1, grp = ?2",
};

// --- The line ---

static void enqueue(struct cluster_log *log, struct cluster_proposal *p)
{
	p->next = NULL;
	pthread_mutex_lock(&log->mutex);
	must(!log->stopping || p->class == CLUSTER_CLASS_RESULT);
	bool was_empty = log->head == NULL;
	*log->tail = p;
	log->tail = &p->next;
	log->waiting++;
	pthread_mutex_unlock(&log->mutex);
	if (was_empty)
		pthread_cond_signal(&log->wake); // not before: who wakes up wants the mutex
}

void cluster_log_answer(struct cluster_proposal *p)
{
	struct call *call = p->call;
	if (call)
		call_done(&call); // p may be gone from here on
	else
		p->done(p);
}

void cluster_log_refuse(struct cluster_log *log, struct cluster_proposal *p)
{
	p->verdict = CLUSTER_REFUSED;
	atomic_fetch_add_explicit(&log->stat_refused, 1, memory_order_relaxed);
	cluster_log_answer(p);
}

static bool line_is_full(struct cluster_log *log)
{
	pthread_mutex_lock(&log->mutex);
	bool full = log->waiting >= CLUSTER_LOG_WAITING_MAX;
	pthread_mutex_unlock(&log->mutex);
	return full;
}

void cluster_log_submit(struct cluster_log *log, struct cluster_proposal *p)
{
	if (p->class == CLUSTER_CLASS_ENTER && line_is_full(log)) {
		err_set(&p->err, ERR_BUSY, "the queue's log has %d records in line", CLUSTER_LOG_WAITING_MAX);
		cluster_log_refuse(log, p);
		return;
	}
	enqueue(log, p);
}

void cluster_log_propose(struct cluster_log *log, struct call *call)
{
	struct cluster_proposal *p = call_payload(call);
	p->call = call;
	cluster_log_submit(log, p);
}

// --- Reading between transactions ---

enum err_code cluster_log_read(struct cluster_log *log, void (*fn)(struct db *db, void *arg), void *arg, struct err *err)
{
	struct reading r = {.fn = fn, .arg = arg};
	if (line_is_full(log))
		return err_set(err, ERR_BUSY, "the queue's log has %d records in line", CLUSTER_LOG_WAITING_MAX);
	completion_init(&r.completion);
	pthread_mutex_lock(&log->mutex);
	bool was_empty = log->reads == NULL;
	*log->reads_tail = &r;
	log->reads_tail = &r.next;
	if (was_empty)
		pthread_cond_signal(&log->wake);
	pthread_mutex_unlock(&log->mutex);
	completion_await(&r.completion);
	return ERR_OK;
}

void cluster_log_run_reads(struct cluster_log *log, struct reading *list)
{
	while (list) {
		struct reading *r = list;
		list = r->next;
		r->fn(log->db, r->arg);
		must(!db_in_transaction(log->db));
		completion_finish(&r->completion);
	}
}

// --- Opening and closing ---

static enum err_code read_state(struct cluster_log *log, bool *there_out, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(log->db, STATE_GET);
	switch (db_step(log->db, stmt, err)) {
	case DB_FAILED:
		return err->code;
	case DB_DONE:
		*there_out = false;
		db_reset(stmt);
		return ERR_OK;
	case DB_ROW:
		break;
	}
	struct str disk = db_col_blob(stmt, 2), group = db_col_blob(stmt, 3);
	if (disk.n != sizeof(struct guid) || group.n != sizeof(struct guid)) {
		db_reset(stmt);
		return err_set(err, ERR_CORRUPT, "queue.db: ids of %zu and %zu bytes", disk.n, group.n);
	}
	log->applied = (uint64_t)db_col_i64(stmt, 0);
	log->term = (uint64_t)db_col_i64(stmt, 1);
	memcpy(log->identity.disk.b, disk.p, disk.n);
	memcpy(log->identity.group.b, group.p, group.n);
	*there_out = true;
	db_reset(stmt);
	stmt = db_stmt(log->db, LOG_FIRST);
	if (db_step(log->db, stmt, err) == DB_FAILED)
		return err->code;
	log->first = db_col_is_null(stmt, 0) ? log->applied + 1 : (uint64_t)db_col_i64(stmt, 0);
	db_reset(stmt);
	return ERR_OK;
}

static enum err_code put_identity(struct cluster_log *log, size_t statement, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(log->db, statement);
	db_bind_blob(stmt, 1, guid_bytes(&log->identity.disk));
	db_bind_blob(stmt, 2, guid_bytes(&log->identity.group));
	enum err_code code = db_run(log->db, stmt, err);
	return code ? code : disk_write(log->dir, &log->identity, err);
}

// Database first, file second: a crash between them looks like a copy, and a copy only costs new ids.
static enum err_code identify(struct cluster_log *log, struct err *err)
{
	bool there;
	struct disk_identity on_file = {0};
	enum disk_answer answer;
	log->term = log->first = 1;
	enum err_code code = read_state(log, &there, err);
	if (code == ERR_OK)
		code = disk_read(log->dir, &on_file, &answer, err);
	if (code)
		return code;
	if (there && answer == DISK_SAME && guid_eq(&on_file.disk, &log->identity.disk) &&
		guid_eq(&on_file.group, &log->identity.group))
		return ERR_OK;
	if (there && log->applied > 0) // else it may be the first start that was cut off between the two; nothing is in it
		log_error(NULL, "queue: this disk is a copy of another one, it gets an identity of its own; mail that the "
				"original has sent since may be sent again");
	log->identity = (struct disk_identity){guid_new(), guid_new()};
	return put_identity(log, there ? STATE_IDENTITY : STATE_PUT, err);
}

bool cluster_log_path(const struct cluster_log *log, char *path_out, size_t bytes)
{
	return snprintf(path_out, bytes, "%s/queue.db", log->dir_path) < (int)bytes;
}

static enum err_code open_all(struct cluster_log *log, struct err *err)
{
	const struct cluster_log_fold *fold = &log->config.fold;
	char path[CLUSTER_LOG_PATH_BYTES];
	enum err_code code = file_dir_open(str_of_c(log->dir_path), &log->dir, err);
	if (code)
		return code;
	if (!cluster_log_path(log, path, sizeof path))
		return err_set(err, ERR_INVALID, "the path of the queue is too long");
	log->sql = calloc(CLUSTER_LOG_SQL + fold->n_sql, sizeof *log->sql);
	must(log->sql != NULL);
	memcpy(log->sql, own_sql, sizeof own_sql);
	if (fold->n_sql)
		memcpy(log->sql + CLUSTER_LOG_SQL, fold->sql, fold->n_sql * sizeof *fold->sql);
	struct db_options options = {.path = path, .mode = DB_CREATE, .schema = fold->schema, .sql = log->sql,
		.n_sql = CLUSTER_LOG_SQL + fold->n_sql, .exclusive = true, .cache_kib = CLUSTER_LOG_CACHE_KIB};
	code = db_open(&options, &log->db, err);
	if (code == ERR_OK)
		code = identify(log, err);
	if (code == ERR_OK)
		code = fold->opened(fold->self, log->db, log->applied, err);
	log->has_ballast = faccessat(log->dir, CLUSTER_LOG_BALLAST.p, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	atomic_store(&log->stat_applied, log->applied);
	atomic_store(&log->stat_first, log->first);
	return code;
}

static void free_all(struct cluster_log *log)
{
	if (log->db)
		db_close(&log->db);
	if (log->dir >= 0)
		file_close(log->dir);
	arena_free(&log->arena);
	pthread_cond_destroy(&log->wake);
	pthread_mutex_destroy(&log->mutex);
	free(log->sql);
	free(log->dir_path);
	free(log);
}

enum err_code cluster_log_open(const struct cluster_log_config *config, struct cluster_log **log_out, struct err *err)
{
	struct cluster_log *log = calloc(1, sizeof *log);
	must(log != NULL);
	struct err local;
	err = err ? err : &local;
	log->config = *config;
	atomic_init(&log->reserve_bytes, config->reserve_bytes);
	log->dir = -1;
	log->dir_path = strdup(config->dir);
	log->arena = arena_new(RECORD_ARENA_BYTES);
	log->tail = &log->head;
	log->reads_tail = &log->reads;
	must(log->dir_path != NULL);
	pthread_mutex_init(&log->mutex, NULL);
	pthread_cond_init(&log->wake, NULL);
	enum err_code code = open_all(log, err);
	if (code == ERR_OK) {
		cluster_log_look_at_space(log);
		cluster_log_make_ballast(log);
		code = thread_start(&log->thread, "queue-log", cluster_log_writer, log, err);
	}
	if (code) {
		free_all(log);
		return err_wrap(err, "open the queue in %s", config->dir);
	}
	*log_out = log;
	return ERR_OK;
}

void cluster_log_close(struct cluster_log **log_in)
{
	struct cluster_log *log = *log_in;
	if (log == NULL)
		return;
	pthread_mutex_lock(&log->mutex);
	log->stopping = true;
	pthread_cond_signal(&log->wake);
	pthread_mutex_unlock(&log->mutex);
	pthread_join(log->thread, NULL);
	while (log->head) { // only when stuck
		struct cluster_proposal *p = log->head;
		log->head = p->next;
		err_set(&p->err, ERR_NOSPACE, "the disk is full and the process stops");
		cluster_log_refuse(log, p);
	}
	struct err err;
	if (db_checkpoint(log->db, true, &err))
		log_warning(NULL, "queue: no checkpoint at the end, the next start replays the WAL", log_err(&err));
	free_all(log);
	*log_in = NULL;
}

void cluster_log_set_reserve(struct cluster_log *log, uint64_t reserve_bytes)
{
	atomic_store_explicit(&log->reserve_bytes, reserve_bytes, memory_order_relaxed);
}

void cluster_log_stats(struct cluster_log *log, struct cluster_log_stats *out)
{
	pthread_mutex_lock(&log->mutex);
	out->waiting = log->waiting;
	pthread_mutex_unlock(&log->mutex);
	out->term = 1;
	out->first = atomic_load_explicit(&log->stat_first, memory_order_relaxed);
	out->applied = atomic_load_explicit(&log->stat_applied, memory_order_relaxed);
	out->records = atomic_load_explicit(&log->stat_records, memory_order_relaxed);
	out->batches = atomic_load_explicit(&log->stat_batches, memory_order_relaxed);
	out->refused = atomic_load_explicit(&log->stat_refused, memory_order_relaxed);
	out->free_bytes = atomic_load_explicit(&log->stat_free, memory_order_relaxed);
	out->short_of_space = atomic_load(&log->short_of_space);
	out->stuck = atomic_load(&log->stuck);
}

struct guid cluster_log_disk_id(const struct cluster_log *log)
{
	return log->identity.disk;
}

struct guid cluster_log_group_id(const struct cluster_log *log)
{
	return log->identity.group;
}
