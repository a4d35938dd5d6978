// SPDX-License-Identifier: Apache-2.0
// The store as a whole: opening and closing it, the list of mailboxes, background work.
//
// node.db is a strand like a mailbox, so that it too has one connection and shared commits. It may lag behind the mailboxes (a
// row tells how one was when its database was closed last) but lists them all: a row is committed before its mailbox is made, and
// a node.db that is missing is made from the directories.
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/must.h"
#include "base/thread.h"
#include "mail_make.h"
#include "mailbox_private.h"
#include "outbox.h"
#include "schema/ddl_mail.h"

enum { DIR_MODE = 0700, CHAINS_MIN = 64 };

// --- node.db ---

struct node_add {
	struct job job;
	struct guid id;
};

static enum job_step node_add_run(struct job *job, struct strand *node)
{
	const struct node_add *add = (const struct node_add *)job;
	sqlite3_stmt *stmt = db_stmt(node->db, SQL_NODE_ADD);
	db_bind_blob(stmt, 1, guid_bytes(&add->id));
	db_bind_i64(stmt, 2, clock_wall_ms());
	db_bind_i64(stmt, 3, ddl_mail.version);
	return job_end(job, db_run(node->db, stmt, job->err));
}

enum err_code store_run_making(struct strand *strand, const struct store_home *home, struct job *job)
{
	struct node_add add = {.job = {.kind = JOB_WRITE, .run = node_add_run, .err = job->err}, .id = strand->id};
	enum err_code code = strand_run(strand->store->node, &add.job);
	if (code)
		return code;
	job->make = home;
	return strand_run(strand, job);
}

struct node_list {
	struct job job;
	struct guid after;
	struct store_mailbox *rows;
	int64_t *tidied_ms; // beside rows; may be NULL
	size_t n, n_out;
};

static enum job_step node_list_run(struct job *job, struct strand *node)
{
	struct node_list *list = (struct node_list *)job;
	sqlite3_stmt *stmt = db_stmt(node->db, SQL_NODE_LIST);
	db_bind_blob(stmt, 1, guid_bytes(&list->after));
	db_bind_i64(stmt, 2, (int64_t)list->n);
	enum db_step step;
	while ((step = db_step(node->db, stmt, job->err)) == DB_ROW && list->n_out < list->n) {
		struct str id = db_col_blob(stmt, 0);
		struct store_mailbox *row = &list->rows[list->n_out];
		*row = (struct store_mailbox){
			.made_ms = db_col_i64(stmt, 1),
			.changed_ms = db_col_i64(stmt, 2),
			.bytes = (uint64_t)db_col_i64(stmt, 3),
			.messages = (uint64_t)db_col_i64(stmt, 4),
		};
		if (list->tidied_ms)
			list->tidied_ms[list->n_out] = db_col_i64(stmt, 5);
		if (id.n == sizeof row->id)
			memcpy(&row->id, id.p, id.n);
		list->n_out++;
	}
	return job_end(job, mailbox_all_rows(stmt, step, job->err));
}

enum err_code store_mailboxes(struct store *store, const struct guid *after, struct store_mailbox *rows, size_t n, size_t *n_out,
	struct err *err)
{
	struct node_list list = {
		.job = {.kind = JOB_READ, .run = node_list_run, .err = err}, .rows = rows, .n = n};
	if (after)
		list.after = *after;
	node_db_tell(store);
	enum err_code code = strand_run(store->node, &list.job);
	if (code == ERR_OK)
		*n_out = list.n_out;
	return code;
}

// --- Tidying ---

struct tidy {
	struct job job;
	int64_t now_ms;
	bool more;
};

enum { TIDY_MESSAGES_MAX = 500 }; // ended in one commit, so that no session waits long

// The oldest of the trash, old delivery keys, old answers.
static enum job_step tidy_run(struct job *job, struct strand *strand)
{
	struct tidy *tidy = (struct tidy *)job;
	size_t n;
	int64_t gone_ms = tidy->now_ms - STORE_TRASH_S * INT64_C(1000);
	enum err_code code = message_trash_end(strand, gone_ms, TIDY_MESSAGES_MAX, &n, job->err);
	if (code)
		return job_end(job, code);
	tidy->more = n == TIDY_MESSAGES_MAX;
	int64_t days = atomic_load(&strand->store->key_days);
	code = mail_rows_forget(strand, MAIL_ROW_DELIVERED, tidy->now_ms - days * 24 * 3600 * 1000, job->err);
	if (code == ERR_OK)
		code = outbox_forget(strand, tidy->now_ms, job->err);
	return job_end(job, code);
}

static enum job_step sweep_run(struct job *job, struct strand *strand)
{
	return job_end(job, body_sweep(strand, job->err));
}

static enum err_code tidy_one(struct store *store, const struct guid *id, int64_t now_ms, struct err *err)
{
	struct strand *strand = strand_get(store, id);
	struct tidy tidy = {.job = {.kind = JOB_WRITE, .run = tidy_run, .err = err}, .now_ms = now_ms, .more = true};
	enum err_code code = ERR_OK;
	while (code == ERR_OK && tidy.more)
		code = strand_run(strand, &tidy.job);
	if (code == ERR_OK) {
		struct job sweep = {.kind = JOB_READ, .run = sweep_run, .err = err};
		code = strand_run(strand, &sweep);
	}
	strand_drop(strand);
	return code;
}

struct node_tidied {
	struct job job;
	struct guid id;
	int64_t now_ms;
};

static enum job_step node_tidied_run(struct job *job, struct strand *node)
{
	const struct node_tidied *tidied = (const struct node_tidied *)job;
	sqlite3_stmt *stmt = db_stmt(node->db, SQL_NODE_TIDIED);
	db_bind_blob(stmt, 1, guid_bytes(&tidied->id));
	db_bind_i64(stmt, 2, tidied->now_ms);
	return job_end(job, db_run(node->db, stmt, job->err));
}

// Once a day, until the last keys of a mailbox have ended; node.db knows a change only when the database was closed after it, so
// whoever is in memory counts as changed.
static bool needs_tidying(struct store *store, const struct store_mailbox *row, int64_t tidied_ms, int64_t now_ms)
{
	const int64_t day_ms = STORE_TRASH_S * INT64_C(1000);
	int64_t keys_ms = (int64_t)atomic_load(&store->key_days) * day_ms;
	return now_ms - tidied_ms >= day_ms &&
	       (tidied_ms <= row->changed_ms + keys_ms + day_ms || strand_exists(store, &row->id));
}

enum err_code store_tidy(struct store *store, int64_t now_ms, size_t n, struct guid *cursor, struct err *err)
{
	struct store_mailbox *rows = calloc(n + 1, sizeof *rows);
	int64_t *tidied_ms = calloc(n + 1, sizeof *tidied_ms);
	must(rows != NULL && tidied_ms != NULL);
	struct node_list list = {.job = {.kind = JOB_READ, .run = node_list_run, .err = err},
		.after = *cursor,
		.rows = rows,
		.tidied_ms = tidied_ms,
		.n = n};
	node_db_tell(store);
	enum err_code code = strand_run(store->node, &list.job);
	for (size_t i = 0; i < list.n_out && code == ERR_OK; i++) {
		*cursor = rows[i].id;
		if (!needs_tidying(store, &rows[i], tidied_ms[i], now_ms))
			continue;
		code = tidy_one(store, &rows[i].id, now_ms, err);
		if (code == ERR_NOTFOUND || code == ERR_BUSY) // listed, but never made; moved
			code = ERR_OK;
		struct node_tidied tidied = {
			.job = {.kind = JOB_WRITE, .run = node_tidied_run, .err = err}, .id = rows[i].id, .now_ms = now_ms};
		if (code == ERR_OK)
			code = strand_run(store->node, &tidied.job);
	}
	if (code == ERR_OK && list.n_out < n)
		*cursor = (struct guid){0};
	free(rows);
	free(tidied_ms);
	return code;
}

// --- Opening ---

static bool sweep_incoming(void *ctx, struct str name)
{
	const struct store *store = ctx;
	return file_remove(store->incoming_fd, name, NULL) == ERR_OK;
}

static enum err_code open_dirs(struct store *store, struct err *err)
{
	enum err_code code = file_dir_open(store->dir, &store->dir_fd, err);
	if (code == ERR_OK)
		code = file_dir_make(store->dir_fd, STR("incoming"), DIR_MODE, NULL, err);
	if (code == ERR_OK)
		code = file_dir_open_at(store->dir_fd, STR("incoming"), &store->incoming_fd, err);
	if (code == ERR_OK) // what died half way in
		code = file_dir_each(store->incoming_fd, sweep_incoming, store, err);
	return code;
}

struct rebuild {
	struct strand *node;
	struct node_add add;
	enum err_code code;
};

static void rebuild_one(void *arg, const struct guid *id)
{
	struct rebuild *rebuild = arg;
	rebuild->add.id = *id;
	if (rebuild->code == ERR_OK) {
		node_add_run(&rebuild->add.job, rebuild->node);
		rebuild->code =
			rebuild->add.job.code ? rebuild->add.job.code : outbox_list(rebuild->node, id, rebuild->add.job.err);
	}
}

// Opens node.db, on this thread, before any other runs. An empty one is filled from the directories.
static enum err_code open_node(struct store *store, struct err *err)
{
	const struct guid zero = {0};
	store->node = strand_get(store, &zero);
	enum err_code code = node_db_open(store->node, err);
	if (code)
		return code;
	store->open++;
	struct store_mailbox first;
	struct node_list list = {.job.err = err, .rows = &first, .n = 1};
	node_list_run(&list.job, store->node);
	if (list.job.code || list.n_out)
		return list.job.code;
	struct rebuild rebuild = {.node = store->node, .add.job.err = err};
	code = db_begin(store->node->db, err);
	if (code)
		return code;
	code = node_db_walk(store, rebuild_one, &rebuild, err);
	if (code == ERR_OK)
		code = rebuild.code;
	if (code == ERR_OK)
		return db_commit(store->node->db, err);
	db_rollback(store->node->db);
	return code;
}

static enum err_code start_threads(struct store *store, unsigned threads, struct err *err)
{
	while (store->threads_n < threads) {
		struct store_thread *thread = &store->threads[store->threads_n];
		thread->store = store;
		crew_member_init(&thread->member);
		enum err_code code = thread_start(&thread->id, "store", strand_thread, thread, err);
		if (code)
			return code;
		store->threads_n++;
	}
	return ERR_OK;
}

enum err_code store_open(const struct store_config *config, struct store **store_out, struct err *err)
{
	must(config->threads >= 1 && config->threads <= 64);
	struct store *store = calloc(1, sizeof *store + config->threads * sizeof *store->threads);
	must(store != NULL);
	char *dir = strndup(config->dir.p, config->dir.n);
	must(dir != NULL);
	store->dir_owned = dir;
	store->dir = str_of(dir, config->dir.n);
	store->dir_fd = store->incoming_fd = -1;
	store->open_max = config->open_max > config->threads ? config->open_max : config->threads;
	strand_make_table(store, CHAINS_MIN);
	rest_init(&store->rest, config->idle_ms ? config->idle_ms : STORE_IDLE_MS,
		config->again_ms ? config->again_ms : STORE_AGAIN_MS);
	store->on_eio = config->on_eio;
	store->arg = config->arg;
	store->run_end = &store->run_first;
	atomic_init(&store->key_days, config->key_days);
	store->mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER; // held for a few instructions: better than to sleep
	must(pthread_cond_init(&store->rested, NULL) == 0);
	enum err_code code = mail_make_image(store, err);
	if (code == ERR_OK)
		code = open_dirs(store, err);
	if (code == ERR_OK)
		code = open_node(store, err);
	if (code == ERR_OK)
		code = start_threads(store, config->threads, err);
	if (code) {
		store_close(&store);
		return err_wrap(err, "mailboxes in %.*s", STR_FMT(config->dir));
	}
	*store_out = store;
	return ERR_OK;
}

void store_close(struct store **store_taken)
{
	struct store *store = *store_taken;
	*store_taken = NULL;
	if (store == NULL)
		return;
	strand_close_all(store);
	pthread_mutex_lock(&store->mutex);
	store->closing = true;
	crew_wake_all(&store->crew);
	pthread_mutex_unlock(&store->mutex);
	for (unsigned i = 0; i < store->threads_n; i++) {
		must(pthread_join(store->threads[i].id, NULL) == 0);
		crew_member_fini(&store->threads[i].member);
	}
	strand_free_all(store);
	rest_fini(&store->rest);
	if (store->incoming_fd >= 0)
		file_close(store->incoming_fd);
	if (store->dir_fd >= 0)
		file_close(store->dir_fd);
	pthread_cond_destroy(&store->rested);
	pthread_mutex_destroy(&store->mutex);
	buf_fini(&store->empty_mail_db);
	free(store->dir_owned);
	free(store);
}

void store_set_key_days(struct store *store, unsigned key_days)
{
	atomic_store(&store->key_days, key_days);
}

void store_count_deliveries(struct store *store, const struct delivery *deliveries, size_t n)
{
	pthread_mutex_lock(&store->mutex);
	for (size_t i = 0; i < n; i++)
		if (deliveries[i].code == ERR_OK)
			*(deliveries[i].known ? &store->stats.known : &store->stats.delivered) += 1;
	pthread_mutex_unlock(&store->mutex);
}

void store_stats(struct store *store, struct store_stats *stats_out)
{
	pthread_mutex_lock(&store->mutex);
	*stats_out = store->stats;
	stats_out->open = store->open;
	stats_out->open_max = store->open_max;
	pthread_mutex_unlock(&store->mutex);
}
