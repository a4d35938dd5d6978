// SPDX-License-Identifier: Apache-2.0
// The log's writer thread: batches into transactions, reads between them, the space on the disk. log.c says what is promised.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/must.h"
#include "base/thread.h"
#include "log_core.h"

enum {
	RETRY_MS = 1000, // results wait for space
	SPACE_CHECK_MS = 100,
};

// --- Space ---

void cluster_log_look_at_space(struct cluster_log *log)
{
	int64_t now_ms = clock_mono_exact_ms();
	if (log->space_checked_ms && now_ms - log->space_checked_ms < SPACE_CHECK_MS)
		return;
	log->space_checked_ms = now_ms;
	uint64_t free_bytes;
	struct err err;
	if (file_space(log->dir, &free_bytes, &err)) {
		log_warning(NULL, "cannot ask for the free space of the queue's disk", log_err(&err));
		return;
	}
	atomic_store_explicit(&log->stat_free, free_bytes, memory_order_relaxed);
	uint64_t reserve_bytes = atomic_load_explicit(&log->reserve_bytes, memory_order_relaxed);
	bool is_short = free_bytes < reserve_bytes;
	if (is_short != atomic_exchange(&log->short_of_space, is_short)) {
		if (is_short)
			log_error(NULL, "queue: free space is below the reserve, new mail is refused",
				log_u64("free_bytes", free_bytes), log_u64("reserve_bytes", reserve_bytes));
		else
			log_info(NULL, "queue: enough free space again", log_u64("free_bytes", free_bytes));
	}
}

// The ballast is real blocks: a sparse file would give nothing back.
void cluster_log_make_ballast(struct cluster_log *log)
{
	if (log->has_ballast || log->config.ballast_bytes == 0 || atomic_load(&log->short_of_space))
		return;
	int fd = openat(log->dir, CLUSTER_LOG_BALLAST.p, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	log->has_ballast = posix_fallocate(fd, 0, (off_t)log->config.ballast_bytes) == 0;
	file_close(fd);
	if (!log->has_ballast)
		unlinkat(log->dir, CLUSTER_LOG_BALLAST.p, 0);
}

static bool drop_ballast(struct cluster_log *log)
{
	if (!log->has_ballast)
		return false;
	log->has_ballast = false;
	log_error(NULL, "queue: the disk is full, the ballast is used up for results");
	return file_remove(log->dir, CLUSTER_LOG_BALLAST, NULL) == ERR_OK;
}

// --- One transaction ---

static enum err_code apply_one(struct cluster_log *log, uint64_t index, const struct cluster_proposal *p, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(log->db, LOG_APPEND);
	db_bind_i64(stmt, 1, (int64_t)index);
	db_bind_i64(stmt, 2, (int64_t)log->term);
	db_bind_blob(stmt, 3, p->record);
	enum err_code code = db_run(log->db, stmt, err);
	if (code)
		return code;
	arena_reset(log->arena);
	struct cluster_entry entry = {
		.index = index, .term = log->term, .record = p->record, .body = p->body, .answer = p->answer};
	return log->config.fold.apply(log->config.fold.self, log->db, &entry, log->arena, err);
}

static enum err_code set_i64(struct cluster_log *log, size_t statement, uint64_t value, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(log->db, statement);
	db_bind_i64(stmt, 1, (int64_t)value);
	return db_run(log->db, stmt, err);
}

// Cuts a little more than was added, until only the trail is left.
static uint64_t first_after_cut(const struct cluster_log *log, uint64_t applied)
{
	uint64_t want = applied > CLUSTER_LOG_TRAIL ? applied - CLUSTER_LOG_TRAIL + 1 : 1;
	uint64_t at_most = log->first + 2 * (applied - log->applied) + 16;
	return want <= log->first ? log->first : want < at_most ? want : at_most;
}

static enum err_code write_all(struct cluster_log *log, struct cluster_proposal *list, uint64_t *applied_out, uint64_t *first_out,
	struct err *err)
{
	enum err_code code = db_begin(log->db, err);
	uint64_t index = log->applied, first = log->first;
	for (struct cluster_proposal *p = list; p && code == ERR_OK; p = p->next)
		code = apply_one(log, ++index, p, err);
	if (code == ERR_OK)
		code = log->config.fold.flush(log->config.fold.self, log->db, index, err);
	if (code == ERR_OK)
		code = set_i64(log, STATE_APPLIED, index, err);
	if (code == ERR_OK && (first = first_after_cut(log, index)) != log->first)
		code = set_i64(log, LOG_CUT, first, err);
	if (code == ERR_OK)
		code = db_commit(log->db, err);
	if (code) {
		db_rollback(log->db);
		log->config.fold.undone(log->config.fold.self);
		return code;
	}
	*applied_out = index;
	*first_out = first;
	return ERR_OK;
}

static void die(struct cluster_log *log, const struct err *err)
{
	log_error(NULL, "queue: the disk failed or its contents are damaged", log_err(err));
	log->config.died(err);
	abort();
}

static void committed(struct cluster_log *log, struct cluster_proposal *list, uint64_t applied, uint64_t first)
{
	uint64_t index = log->applied;
	log->applied = applied;
	log->first = first;
	atomic_store_explicit(&log->stat_applied, applied, memory_order_relaxed);
	atomic_store_explicit(&log->stat_first, first, memory_order_relaxed);
	atomic_fetch_add_explicit(&log->stat_records, applied - index, memory_order_relaxed);
	atomic_fetch_add_explicit(&log->stat_batches, 1, memory_order_relaxed);
	atomic_store(&log->stuck, false);
	log->config.fold.committed(log->config.fold.self);
	while (list) {
		struct cluster_proposal *p = list;
		list = p->next;
		p->verdict = CLUSTER_COMMITTED;
		p->index = ++index;
		cluster_log_answer(p);
	}
}

// Takes out of the list what is refused before it is proposed.
static struct cluster_proposal *sift(struct cluster_log *log, struct cluster_proposal *list, bool no_space)
{
	struct cluster_proposal *kept = NULL, **tail = &kept;
	while (list) {
		struct cluster_proposal *p = list;
		list = p->next;
		p->next = NULL;
		if (p->class == CLUSTER_CLASS_ENTER && no_space) {
			err_set(&p->err, ERR_NOSPACE, "the queue's disk is full");
			cluster_log_refuse(log, p);
		} else if (p->class == CLUSTER_CLASS_ENTER && p->call && call_is_abandoned(p->call)) {
			err_set(&p->err, ERR_CANCELLED, "nobody waits any more");
			cluster_log_refuse(log, p);
		} else {
			*tail = p;
			tail = &p->next;
		}
	}
	return kept;
}

static void put_back(struct cluster_log *log, struct cluster_proposal *list)
{
	size_t n = 1;
	struct cluster_proposal *last = list;
	for (; last->next; last = last->next)
		n++;
	if (!atomic_exchange(&log->stuck, true))
		log_error(NULL, "queue: the disk is full and results cannot be written, nothing more is tried");
	log->retry_at_ms = clock_mono_exact_ms() + RETRY_MS;
	pthread_mutex_lock(&log->mutex);
	last->next = log->head;
	if (log->head == NULL)
		log->tail = &last->next;
	log->head = list;
	log->waiting += n;
	pthread_mutex_unlock(&log->mutex);
}

static void commit_batch(struct cluster_log *log, struct cluster_proposal *list)
{
	struct err err;
	uint64_t applied, first;
	cluster_log_look_at_space(log);
	list = sift(log, list, atomic_load(&log->short_of_space) || atomic_load(&log->stuck));
	enum err_code code = ERR_OK;
	for (int round = 0; list; round++) {
		code = write_all(log, list, &applied, &first, &err);
		if (code == ERR_OK) {
			committed(log, list, applied, first);
			return;
		}
		if (code != ERR_NOSPACE)
			die(log, &err);
		atomic_store(&log->short_of_space, true);
		list = sift(log, list, true);
		if (list && round > 0 && !drop_ballast(log)) {
			put_back(log, list);
			return;
		}
	}
}

// --- The writer ---

static void maintain(struct cluster_log *log, bool idle)
{
	struct err err;
	if (cluster_log_is_frozen(log))
		return;
	if (db_wal_bytes(log->db) > (idle ? 0 : CLUSTER_LOG_WAL_BYTES)) {
		enum err_code code = db_checkpoint(log->db, idle, &err);
		if (code && code != ERR_NOSPACE && code != ERR_BUSY)
			die(log, &err);
	}
	if (idle)
		cluster_log_make_ballast(log);
}

// Up to a batch off the front, in the order it came.
static struct cluster_proposal *take_batch(struct cluster_log *log)
{
	struct cluster_proposal *list = log->head, **end = &log->head;
	size_t n = 0, bytes = 0;
	while (*end && n < CLUSTER_LOG_BATCH &&
		(n == 0 || bytes + (*end)->record.n + (*end)->body.n <= CLUSTER_LOG_BATCH_BYTES)) {
		bytes += (*end)->record.n + (*end)->body.n;
		end = &(*end)->next;
		n++;
	}
	if (n == 0)
		return NULL;
	struct cluster_proposal *rest = *end;
	*end = NULL; // end is inside the list, as n > 0
	log->head = rest;
	if (rest == NULL)
		log->tail = &log->head;
	log->waiting -= n;
	return list;
}

void *cluster_log_writer(void *arg)
{
	struct cluster_log *log = arg;
	enum { IDLE_MS = 2000 };
	int64_t idle_at_ms = clock_mono_exact_ms() + IDLE_MS;
	pthread_mutex_lock(&log->mutex);
	for (;;) {
		int64_t now_ms = clock_mono_exact_ms();
		bool may_write = log->head && (now_ms >= log->retry_at_ms || log->stopping);
		if (log->reads == NULL && !may_write) {
			if (log->stopping)
				break;
			if (now_ms >= idle_at_ms) {
				idle_at_ms = now_ms + IDLE_MS;
				pthread_mutex_unlock(&log->mutex);
				cluster_log_look_at_space(log);
				maintain(log, true);
				pthread_mutex_lock(&log->mutex);
				continue;
			}
			(void)thread_wait_until(&log->wake, &log->mutex, log->head ? clock_earlier(log->retry_at_ms,
				idle_at_ms) : idle_at_ms);
			continue;
		}
		struct reading *reads = log->reads;
		log->reads = NULL;
		log->reads_tail = &log->reads;
		struct cluster_proposal *batch = may_write ? take_batch(log) : NULL;
		pthread_mutex_unlock(&log->mutex);
		cluster_log_run_reads(log, reads);
		if (batch) {
			commit_batch(log, batch);
			maintain(log, false);
			idle_at_ms = clock_mono_exact_ms() + IDLE_MS;
		}
		pthread_mutex_lock(&log->mutex);
		// At a stop a full disk is not waited for: what could not be written is found again by its absence.
		if (log->stopping && atomic_load(&log->stuck))
			break;
	}
	pthread_mutex_unlock(&log->mutex);
	return NULL;
}
