// SPDX-License-Identifier: Apache-2.0
// The store's threads: strands in turn, one batch at a time, commits shared, databases opened and closed by use. strand.h tells
// the story.
#include "strand.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/must.h"
#include "mail_make.h"

enum {
	CLOSED_TO_TRIM = 32,
	TRIM_MS = 1000,
	TOGETHER_MS = 1000, // databases of so long are closed together
};

// --- Jobs ---

static void finish(struct job *job)
{
	if (job->detached)
		free(job);
	else
		completion_finish(&job->completion);
}

void strand_await(struct job *job)
{
	completion_await(&job->completion);
}

enum job_step job_fail(struct job *job, enum err_code code, const char *format, ...)
{
	char text[ERR_TEXT_BYTES];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	job->code = err_set(job->err, code, "%s", text);
	return JOB_DONE;
}

enum job_step job_end(struct job *job, enum err_code code)
{
	job->code = code;
	return JOB_DONE;
}

// --- The table of strands; all under the mutex ---

static struct strand **chain_of(struct store *store, const struct guid *id)
{
	uint64_t hash;
	memcpy(&hash, id->b, sizeof hash); // an id is random, or a UUID
	return &store->chains[(hash ^ hash >> 32) % store->chains_n];
}

void strand_make_table(struct store *store, size_t chains)
{
	struct strand **old = store->chains;
	size_t old_n = store->chains_n;
	store->chains = calloc(chains, sizeof(struct strand *));
	must(store->chains != NULL);
	store->chains_n = chains;
	for (size_t i = 0; i < old_n; i++)
		for (struct strand *strand = old[i], *next; strand; strand = next) {
			struct strand **chain = chain_of(store, &strand->id);
			next = strand->chain;
			strand->chain = *chain;
			*chain = strand;
		}
	free(old);
}

static void unlink_and_free(struct strand *strand)
{
	struct strand **p = chain_of(strand->store, &strand->id);
	while (*p != strand)
		p = &(*p)->chain;
	*p = strand->chain;
	strand->store->stats.strands--;
	must(strand->first == NULL && strand->watches == NULL && !strand->rest.taken && strand->db == NULL);
	free(strand);
}

static void unref(struct strand *strand)
{
	must(strand->refs > 0);
	strand->refs--;
	if (strand->refs == 0 && strand->state == STRAND_IDLE && strand->db == NULL)
		unlink_and_free(strand);
}

static struct strand *find(struct store *store, const struct guid *id)
{
	struct strand *strand = *chain_of(store, id);
	while (strand && !guid_eq(&strand->id, id))
		strand = strand->chain;
	return strand;
}

struct strand *strand_get(struct store *store, const struct guid *id)
{
	pthread_mutex_lock(&store->mutex);
	struct strand *strand = find(store, id);
	if (strand == NULL) {
		if (store->stats.strands == store->chains_n)
			strand_make_table(store, 2 * store->chains_n);
		struct strand **chain = chain_of(store, id);
		strand = calloc(1, sizeof *strand);
		must(strand != NULL);
		*strand = (struct strand){.store = store, .id = *id, .chain = *chain, .end = &strand->first, .big_fd = -1};
		*chain = strand;
		store->stats.strands++;
	}
	strand->refs++;
	pthread_mutex_unlock(&store->mutex);
	return strand;
}

bool strand_exists(struct store *store, const struct guid *id)
{
	pthread_mutex_lock(&store->mutex);
	bool exists = find(store, id) != NULL;
	pthread_mutex_unlock(&store->mutex);
	return exists;
}

void strand_drop(struct strand *strand)
{
	struct store *store = strand->store;
	pthread_mutex_lock(&store->mutex);
	unref(strand);
	pthread_mutex_unlock(&store->mutex);
}

// Who calls it sees to it that a thread comes: itself, or one that it wakes after it gave up the mutex.
static void queue_strand(struct store *store, struct strand *strand)
{
	strand->state = STRAND_QUEUED;
	strand->run_next = NULL;
	*store->run_end = strand;
	store->run_end = &strand->run_next;
}

static void push_job(struct strand *strand, struct job *job)
{
	job->next = NULL;
	*strand->end = job;
	strand->end = &job->next;
	strand->store->stats.waiting++;
}

void strand_submit(struct strand *strand, struct job *job)
{
	struct store *store = strand->store;
	completion_init(&job->completion);
	job->code = ERR_OK;
	if (job->err == NULL)
		job->err = &job->own;
	pthread_mutex_lock(&store->mutex);
	strand->refs++;
	push_job(strand, job);
	struct crew_member *thread = NULL;
	if (strand->state == STRAND_IDLE) {
		rest_remove(&store->rest, strand);
		store->busy++;
		queue_strand(store, strand);
		thread = crew_next(&store->crew);
	}
	pthread_mutex_unlock(&store->mutex);
	crew_wake(thread);
}

enum err_code strand_run(struct strand *strand, struct job *job)
{
	strand_submit(strand, job);
	strand_await(job);
	return job->code;
}

// --- Databases, opened and closed by use ---

// The strand comes to rest, or is queued again when it got jobs meanwhile, and then true. Under the mutex.
static bool come_to_rest(struct store *store, struct strand *strand)
{
	if (strand->first) {
		queue_strand(store, strand);
		return true;
	}
	strand->state = STRAND_IDLE;
	if (--store->busy == 0)
		pthread_cond_broadcast(&store->rested);
	if (strand->db && strand != store->node) // node.db stays open
		rest_add(&store->rest, strand, clock_mono_exact_ms());
	if (strand->db == NULL && strand->refs == 0)
		unlink_and_free(strand);
	return false;
}

// Closes the database of one that rests. Under the mutex, which it gives up meanwhile.
static void close_one(struct store *store, struct strand *strand)
{
	rest_remove(&store->rest, strand);
	strand->state = STRAND_RUNNING;
	store->busy++;
	pthread_mutex_unlock(&store->mutex);
	mail_db_close(strand);
	pthread_mutex_lock(&store->mutex);
	store->open--;
	store->stats.closed++;
	rest_closed(&store->rest, &strand->id, clock_mono_exact_ms());
	if (come_to_rest(store, strand))
		crew_wake(crew_next(&store->crew));
}

// Until fewer than `limit` are open, or none is idle.
static void close_idle(struct store *store, size_t limit)
{
	struct strand *victim;
	while (store->open >= limit && (victim = rest_victim(&store->rest)) != NULL)
		close_one(store, victim);
}

// Makes room for one more open database. Only idle strands are closed: when all are busy there are a few more than open_max for a
// while, at most one per thread and per job that rests between two slices.
static void make_room(struct store *store, struct strand *strand)
{
	pthread_mutex_lock(&store->mutex);
	close_idle(store, store->open_max);
	store->open++;
	strand->rest.again = rest_was_open(&store->rest, &strand->id, clock_mono_exact_ms());
	pthread_mutex_unlock(&store->mutex);
}

static enum err_code ensure_open(struct store *store, struct strand *strand, const struct job *job)
{
	if (strand->db)
		return ERR_OK;
	make_room(store, strand);
	enum err_code code =
		strand == store->node ? node_db_open(strand, job->err) : mail_db_open(strand, job->make != NULL, job->err);
	pthread_mutex_lock(&store->mutex);
	if (code)
		store->open--;
	else
		store->stats.opened++;
	pthread_mutex_unlock(&store->mutex);
	return code;
}

// After a failed commit: what is in memory may know things that are not on the disk.
static void abandon(struct store *store, struct strand *strand)
{
	mail_db_abandon(strand);
	pthread_mutex_lock(&store->mutex);
	store->open--;
	store->stats.closed++;
	pthread_mutex_unlock(&store->mutex);
}

// --- A turn ---

uint64_t strand_seq(struct strand *strand)
{
	if (strand->job_seq == 0)
		strand->job_seq = ++strand->now.change_seq;
	return strand->job_seq;
}

void strand_touch(struct strand *strand, uint32_t folder)
{
	struct touched *touched = &strand->touched;
	for (size_t i = 0; i < touched->n; i++)
		if (touched->folder[i] == folder)
			return;
	if (touched->n == STRAND_TOUCHED_MAX)
		touched->all = true;
	else
		touched->folder[touched->n++] = folder;
}

static bool is_touched(const struct touched *touched, uint32_t folder)
{
	for (size_t i = 0; i < touched->n; i++)
		if (touched->folder[i] == folder)
			return true;
	return touched->all;
}

// Counts a commit and tells those who watch, before the callers are woken.
static void settle(struct store *store, struct strand *strand, size_t n)
{
	pthread_mutex_lock(&store->mutex);
	store->stats.commits++;
	store->stats.batched += n > 1 ? n : 0;
	for (struct watch *watch = strand->touched.n ? strand->watches : NULL; watch; watch = watch->next) {
		if (!is_touched(&strand->touched, watch->folder))
			continue;
		atomic_store_explicit(&watch->changed, true, memory_order_release);
		if (watch->fiber.fiber)
			fiber_ref_wake(watch->fiber);
	}
	pthread_mutex_unlock(&store->mutex);
	strand->touched = (struct touched){0};
}

static void undo(struct strand *strand, struct job *job, struct counts before)
{
	strand->now = before;
	if (job->failed)
		job->failed(job, strand);
}

// One job of a batch inside the transaction. Alone in its batch it needs no savepoint: the transaction is rolled back instead.
static void run_one_write(struct strand *strand, struct job *job, bool alone)
{
	if (strand->moved && !job->when_moved) {
		job_fail(job, ERR_BUSY, "this mailbox has moved to another host");
		return;
	}
	struct counts before = strand->now;
	strand->job_seq = 0;
	if (!alone && (job->code = db_savepoint(strand->db, job->err)) != ERR_OK)
		return;
	enum job_step step = job->run(job, strand);
	must(step == JOB_DONE);
	if (job->code == ERR_OK && !alone)
		job->code = db_release(strand->db, job->err);
	if (job->code == ERR_OK)
		return;
	if (alone)
		db_rollback(strand->db);
	else
		db_undo(strand->db);
	undo(strand, job, before);
}

// The batch is a list through next. Returns whether the connection is still good.
static bool run_writes(struct strand *strand, struct job *batch)
{
	bool alone = batch->next == NULL;
	struct err err;
	struct counts before = strand->committed;
	strand->now = before;
	enum err_code code = db_begin(strand->db, &err);
	if (code == ERR_OK && strand->ownerless)
		code = mail_make_owner(strand, batch->make, &err);
	if (code == ERR_OK) {
		for (struct job *job = batch; job && code == ERR_OK; job = job->next) {
			run_one_write(strand, job, alone);
			if (!alone && !db_in_transaction(strand->db)) // SQLite undid all of it, as for a full disk
				code = err_set(&err, job->code, "%s", job->err->text);
		}
		if (alone && batch->code)
			return true;
	}
	if (code == ERR_OK) {
		code = mail_db_flush(strand, &err);
		if (code == ERR_OK)
			code = db_commit(strand->db, &err);
	}
	if (code == ERR_OK) {
		strand->committed = strand->now;
		strand->changed = true;
		strand->ownerless = false;
		return true;
	}
	strand->touched = (struct touched){0};
	strand->in_doubt = code == ERR_IO;
	db_rollback(strand->db);
	for (struct job *job = batch; job; job = job->next)
		if (job->code == ERR_OK) {
			job->code = err_set(job->err, code, "%s", err.text);
			undo(strand, job, before);
		}
	strand->in_doubt = false;
	return false;
}

// Only what was to be written: a sector that cannot be read is one mailbox's misfortune.
static void check_for_eio(struct store *store, const struct job *batch)
{
	for (const struct job *job = batch; job; job = job->next)
		if (job->code == ERR_IO && job->kind != JOB_READ && store->on_eio) {
			store->on_eio(job->err, store->arg);
			return;
		}
}

// The first job, and what may share its commit. Under the mutex. n_out counts them.
static struct job *take_batch(struct strand *strand, size_t *n_out)
{
	struct job *batch = strand->first, *last = batch;
	size_t n = 1;
	if (batch->kind == JOB_WRITE && strand->db) // else the first one opens, or makes, the database
		while (last->next && last->next->kind == JOB_WRITE && n < STORE_BATCH_MAX) {
			last = last->next;
			n++;
		}
	strand->first = last->next;
	if (strand->first == NULL)
		strand->end = &strand->first;
	last->next = NULL;
	*n_out = n;
	return batch;
}

// What it finds missing and adds (a cache) is committed with it.
static enum job_step run_read(struct strand *strand, struct job *job)
{
	if ((job->code = db_begin_read(strand->db, job->err)) != ERR_OK)
		return JOB_DONE;
	enum job_step step = job->run(job, strand);
	if (job->code) {
		db_rollback(strand->db);
		return JOB_DONE;
	}
	job->code = db_commit(strand->db, job->err);
	return job->code ? JOB_DONE : step;
}

static enum job_step run_batch(struct store *store, struct strand *strand, struct job *batch)
{
	if (batch->kind != JOB_PLAIN && (batch->code = ensure_open(store, strand, batch)) != ERR_OK)
		return JOB_DONE;
	switch (batch->kind) {
	case JOB_PLAIN:
		return batch->run(batch, strand);
	case JOB_READ:
		return run_read(strand, batch);
	case JOB_WRITE:
		break;
	}
	if (!run_writes(strand, batch) || strand->ownerless)
		abandon(store, strand);
	return JOB_DONE;
}

// After the callers were woken, so that they do not wait for it. A failure is found again by the next commit.
static void write_back(struct strand *strand)
{
	struct err err;
	if (strand->db && db_wal_bytes(strand->db) > STORE_WAL_BYTES_MAX && db_checkpoint(strand->db, false, &err))
		log_warning(NULL, "cannot write back a mailbox's log", log_err(&err));
}

// With the mutex held on entry and return.
static void turn(struct store *store, struct strand *strand)
{
	size_t n;
	struct job *batch = take_batch(strand, &n);
	strand->state = STRAND_RUNNING;
	store->stats.waiting -= n;
	pthread_mutex_unlock(&store->mutex);

	bool wrote = batch->kind == JOB_WRITE;
	enum job_step step = run_batch(store, strand, batch);
	check_for_eio(store, batch);
	if (wrote)
		settle(store, strand, n);
	if (step == JOB_DONE)
		while (batch) {
			struct job *next = batch->next;
			finish(batch);
			batch = next;
		}
	if (wrote)
		write_back(strand);

	pthread_mutex_lock(&store->mutex);
	if (step == JOB_AGAIN) {
		push_job(strand, batch);
	} else {
		strand->refs -= n;
		store->stats.jobs += n;
	}
	come_to_rest(store, strand); // this thread looks at the queue next
}

// What the allocator holds of closed databases goes back to the system, when it is much, and at most once in TRIM_MS: it looks at
// all that is free. Gives up the mutex meanwhile.
static void give_memory_back(struct store *store, int64_t now_ms)
{
	store->closed_at_trim = store->stats.closed;
	store->trimmed_ms = now_ms;
	pthread_mutex_unlock(&store->mutex);
	malloc_trim(0);
	pthread_mutex_lock(&store->mutex);
}

// Nothing to do: one of the threads that wait keeps house meanwhile: closes what rested long enough, gives memory back. A thread
// that works has no time for it; when it comes back here, it looks.
static void wait_for_work(struct store_thread *thread)
{
	struct store *store = thread->store;
	int64_t close_ms = CLOCK_NEVER;
	struct strand *next = rest_next(&store->rest, &close_ms);
	bool trims = store->stats.closed - store->closed_at_trim >= CLOSED_TO_TRIM;
	if (store->keeper_waits || !(next || trims)) {
		crew_wait(&store->crew, &thread->member, &store->mutex, CLOCK_NEVER);
		return;
	}
	int64_t now_ms = clock_mono_exact_ms();
	int64_t trim_ms = trims ? store->trimmed_ms + TRIM_MS : CLOCK_NEVER;
	if (close_ms <= now_ms) {
		close_one(store, next);
	} else if (trim_ms <= now_ms) {
		give_memory_back(store, now_ms);
	} else {
		store->keeper_waits = true;
		crew_wait(&store->crew, &thread->member, &store->mutex,
			clock_earlier(next ? close_ms + TOGETHER_MS : CLOCK_NEVER, trim_ms));
		store->keeper_waits = false;
	}
}

void *strand_thread(void *arg)
{
	struct store_thread *thread = arg;
	struct store *store = thread->store;
	pthread_mutex_lock(&store->mutex);
	for (;;) {
		struct strand *strand = store->run_first;
		if (strand) {
			store->run_first = strand->run_next;
			if (store->run_first == NULL)
				store->run_end = &store->run_first;
			else
				crew_wake(crew_next(&store->crew));
			turn(store, strand);
		} else if (store->closing) {
			break;
		} else {
			wait_for_work(thread);
		}
	}
	pthread_mutex_unlock(&store->mutex);
	return NULL;
}

void strand_close_all(struct store *store)
{
	atomic_store(&store->ending, true);
	pthread_mutex_lock(&store->mutex);
	// a caller may be awake before its strand has come to rest; a thread may be closing one
	while (store->busy || rest_victim(&store->rest)) {
		close_idle(store, 0);
		if (store->busy)
			pthread_cond_wait(&store->rested, &store->mutex);
	}
	pthread_mutex_unlock(&store->mutex);
	if (store->node)
		node_db_tell(store);
}

void strand_free_all(struct store *store)
{
	if (store->node) // not in a store whose folder could not be opened
		node_db_close(store->node);
	for (size_t i = 0; i < store->chains_n; i++)
		while (store->chains[i]) {
			must(store->chains[i]->refs == 0 || store->chains[i] == store->node);
			unlink_and_free(store->chains[i]);
		}
	free(store->chains);
}
