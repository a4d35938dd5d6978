// SPDX-License-Identifier: Apache-2.0
// The queue from start to end: opens log, fold, spool and starts; recovers what a crash left; closes.
//
// Crash story. The rows are whole (cluster/log.c). What else a death leaves behind, and what is done about it here, without a
// hand:
//   attempts that were open     nobody else can be at them (the database is locked by us): RESULT "interrupted", they are tried
//                               again; to the world that may be a second copy (CLUSTER 4), to our mailboxes it is not (the
//                               delivery key)
//   bodies without a message    their 250 was never said: removed
//   messages that were tried    their starts say so; after the third death they are held (keeper.h)
//
// Called by the daemon's main thread, apart from queue_reload and queue_stop.
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/must.h"
#include "base/tls.h"
#include "dispatch.h"
#include "expand.h"
#include "queue_columns.h"
#include "queue_core.h"
#include "queue_fold_rows.h"
#include "queue_metrics.h"
#include "replay.h"

enum { BALLAST_BYTES = 8 << 20, SUSPECTS_MAX = KEEPER_SLOTS, RESULTS_OF_RECORD = 1000 };

// --- What a reload replaces ---

struct settings_snapshot *queue_settings(struct queue *queue)
{
	pthread_mutex_lock(&queue->mutex);
	struct settings_snapshot *snapshot = settings_ref(queue->settings);
	pthread_mutex_unlock(&queue->mutex);
	return snapshot;
}

struct tls_client *queue_client(struct queue *queue, struct tls_client **slot)
{
	pthread_mutex_lock(&queue->mutex);
	struct tls_client *client = *slot ? tls_client_ref(*slot) : NULL;
	pthread_mutex_unlock(&queue->mutex);
	return client;
}

static void replace_client(struct tls_client **slot, struct tls_client *client)
{
	if (*slot)
		tls_client_drop(slot);
	*slot = client ? tls_client_ref(client) : NULL;
}

static void replace_clients(struct queue_tls *mine, const struct queue_tls *tls)
{
	replace_client(&mine->lmtp, tls->lmtp);
	replace_client(&mine->relay, tls->relay);
	replace_client(&mine->open, tls->open);
	replace_client(&mine->verified, tls->verified);
}

static void take_settings(struct queue *queue, struct settings_snapshot *settings, const struct queue_tls *tls)
{
	pthread_mutex_lock(&queue->mutex);
	struct settings_snapshot *before = queue->settings;
	queue->settings = settings_ref(settings);
	replace_clients(&queue->tls, tls);
	pthread_mutex_unlock(&queue->mutex);
	if (before)
		settings_unref(&before);
	atomic_store(&queue->commit_timeout_ms, settings_of(settings)->commit_timeout_ms);
}

static struct replay_limits replay_limits_of(const struct settings *s)
{
	return (struct replay_limits){.hours = s->replay_hours, .bytes = (uint64_t)s->replay_bytes,
		.reserve_bytes = (uint64_t)s->queue_reserve_bytes};
}

void queue_reload(struct queue *queue, struct settings_snapshot *settings, const struct queue_tls *tls)
{
	take_settings(queue, settings, tls);
	cluster_log_set_reserve(queue->log, (uint64_t)settings_of(settings)->queue_reserve_bytes);
	struct replay_limits limits = replay_limits_of(settings_of(settings));
	replay_set_limits(queue->replay, &limits);
	dispatch_reload(queue->dispatch);
}

// --- Recovery ---

struct suspects {
	struct guid guid[SUSPECTS_MAX];
	unsigned deaths[SUSPECTS_MAX];
	size_t n;
};

static void add_suspect(void *arg, const struct guid *guid, unsigned deaths)
{
	struct suspects *s = arg;
	if (s->n < SUSPECTS_MAX) {
		s->guid[s->n] = *guid;
		s->deaths[s->n++] = deaths;
	}
}

struct presence {
	const struct guid *guid;
	bool there, spooled;
};

static void look_for(struct db *db, void *arg)
{
	struct presence *p = arg;
	struct err err;
	sqlite3_stmt *stmt = fold_stmt(db, SQL_READ_SPOOLED);
	db_bind_blob(stmt, 1, guid_bytes(p->guid));
	enum db_step step = db_step(db, stmt, &err);
	p->there = step != DB_DONE; // what cannot be read is not thrown away
	p->spooled = step == DB_FAILED || (step == DB_ROW && (db_col_i64(stmt, 0) & RECORD_FLAG_SPOOL));
	if (step != DB_FAILED)
		db_reset(stmt);
}

enum err_code queue_knows(struct queue *queue, const struct guid *guid, bool *known_out, struct err *err)
{
	struct presence p = {.guid = guid};
	enum err_code code = cluster_log_read(queue->log, look_for, &p, err);
	*known_out = p.there;
	return code;
}

static enum err_code hold_suspects(struct queue *queue, const struct suspects *s, struct err *err)
{
	enum err_code code = ERR_OK;
	for (size_t i = 0; i < s->n && code == ERR_OK; i++) {
		struct presence p = {.guid = &s->guid[i]};
		code = cluster_log_read(queue->log, look_for, &p, err);
		if (code || (p.there && s->deaths[i] < KEEPER_DEATHS_MAX))
			continue;
		if (p.there) {
			char id[GUID_SHORT_BYTES];
			struct record record = {.type = RECORD_HOLD, .hold = {.guid = s->guid[i], .at_ms = clock_wall_ms(),
				.why = STR("we died three times while it was tried")}};
			log_error(NULL, "queue: a message is held because the process died repeatedly while it was tried",
				log_str("queue_id", guid_short(&s->guid[i], id)));
			code = queue_say(queue, &record, NULL, err);
		}
		if (code == ERR_OK)
			keeper_forget(queue->keeper, &s->guid[i]);
	}
	return code;
}

struct interrupted {
	struct record_one_result results[RESULTS_OF_RECORD];
	uint64_t attempt;
	size_t n;
	struct err err;
};

// Results for one attempt at a time: the first one in the rows.
static void look_for_attempt(struct db *db, void *arg)
{
	struct interrupted *x = arg;
	sqlite3_stmt *stmt = fold_stmt(db, SQL_READ_ATTEMPTS);
	enum db_step step = DB_DONE;
	x->n = 0;
	x->err.code = ERR_OK;
	while (x->n < RESULTS_OF_RECORD && (step = db_step(db, stmt, &x->err)) == DB_ROW) {
		struct guid guid = {{0}};
		if (fold_guid(stmt, ATTEMPT_GUID, &guid, &x->err))
			break;
		uint64_t attempt = (uint64_t)db_col_i64(stmt, ATTEMPT_INDEX);
		if (x->n > 0 && attempt != x->attempt)
			break;
		x->attempt = attempt;
		struct record_one_result *r = &x->results[x->n++];
		*r = (struct record_one_result){.guid = guid,
			.number = (uint32_t)db_col_i64(stmt, ATTEMPT_NUMBER),
			.outcome = RECORD_DEFERRED,
			.next_try_ms = clock_wall_ms(),
			.waited_s = (uint32_t)db_col_i64(stmt, ATTEMPT_WAITED),
			.reply = STR("451 4.4.2 interrupted by a restart")};
	}
	if (step != DB_FAILED)
		db_reset(stmt);
}

static enum err_code close_attempts(struct queue *queue, struct err *err)
{
	struct interrupted *x = calloc(1, sizeof *x);
	must(x != NULL);
	enum err_code code;
	while ((code = cluster_log_read(queue->log, look_for_attempt, x, err)) == ERR_OK && x->n > 0 && x->err.code == ERR_OK) {
		struct record record = {.type = RECORD_RESULT,
			.result = {.attempt = x->attempt, .at_ms = clock_wall_ms(), .results = {x->results, x->n}}};
		struct queue_fold_answer answer = {0};
		code = queue_say(queue, &record, &answer, err);
		if (code == ERR_OK && answer.counted == 0) // else it would be found again for ever
			code = err_set(err, ERR_CORRUPT, "queue.db: an attempt is open that no result ends");
		if (code)
			break;
	}
	if (code == ERR_OK && x->err.code)
		code = err_set(err, x->err.code, "%s", x->err.text);
	free(x);
	return code;
}

struct sweep {
	struct queue *queue;
	size_t removed;
};

static bool sweep_one(void *arg, struct str name)
{
	struct sweep *sweep = arg;
	struct guid guid;
	struct presence p = {.guid = &guid};
	struct err err;
	if (!guid_parse(name, &guid) || cluster_log_read(sweep->queue->log, look_for, &p, &err))
		return true; // not ours: left alone
	if (!p.spooled && file_remove(sweep->queue->spool_dir, name, &err) == ERR_OK)
		sweep->removed++;
	return true;
}

static enum err_code recover(struct queue *queue, const struct suspects *suspects, struct err *err)
{
	struct sweep sweep = {.queue = queue};
	enum err_code code = close_attempts(queue, err);
	if (code == ERR_OK)
		code = hold_suspects(queue, suspects, err);
	if (code == ERR_OK)
		code = file_dir_each(queue->spool_dir, sweep_one, &sweep, err);
	int64_t counters[LEDGER_COUNTERS];
	bool balanced;
	queue_fold_ledger(queue->fold, counters, &balanced);
	if (code == ERR_OK)
		log_info(NULL, "queue opened", log_i64("recipients", counters[LEDGER_QUEUED]), log_u64("suspects", suspects->n),
			log_u64("bodies_swept", sweep.removed), log_bool("balanced", balanced));
	return code;
}

// --- Metrics ---

static void collect(void *arg)
{
	struct queue *queue = *(struct queue **)arg;
	struct cluster_log_stats log;
	struct schedule_stats schedule;
	struct replay_stats replay;
	int64_t counters[LEDGER_COUNTERS];
	bool balanced;
	if (queue == NULL)
		return;
	cluster_log_stats(queue->log, &log);
	dispatch_stats(queue->dispatch, &schedule);
	queue_fold_ledger(queue->fold, counters, &balanced);
	metric_set(&metric_mta_queue_recipients, counters[LEDGER_QUEUED]);
	metric_set(&metric_mta_queue_unbalanced, !balanced);
	metric_set(&metric_mta_queue_destinations, (int64_t)schedule.destinations);
	metric_set(&metric_mta_queue_destinations_dead, (int64_t)schedule.dead);
	metric_set(&metric_mta_queue_connections_open, (int64_t)schedule.agents);
	metric_set(&metric_mta_queue_log_applied, (int64_t)log.applied);
	metric_set(&metric_mta_queue_log_waiting, (int64_t)log.waiting);
	metric_set(&metric_mta_queue_log_batches, (int64_t)log.batches);
	metric_set(&metric_mta_queue_free, (int64_t)log.free_bytes);
	metric_set(&metric_mta_queue_short_of_space, log.short_of_space);
	replay_stats(queue->replay, &replay);
	metric_set(&metric_mta_replay, (int64_t)replay.bytes);
	metric_set(&metric_mta_replay_oldest, replay.oldest_s);
}

// The queue of this process; a daemon has one. Renderings happen on fibers, which have ended when it is closed.
static struct queue *rendered;

static void register_metrics(struct queue *queue)
{
	static bool once;
	rendered = queue;
	metrics_register(mta_queue_metrics);
	if (!once)
		metrics_on_render(collect, &rendered);
	once = true;
}

// --- Opening and closing ---

static enum err_code open_dirs(struct queue *queue, struct err *err)
{
	enum err_code code = file_dir_open(str_of_c(queue->config.dir), &queue->dir, err);
	if (code == ERR_OK)
		code = file_dir_make(queue->dir, STR("spool"), 0700, NULL, err);
	return code ? code : file_dir_open_at(queue->dir, STR("spool"), &queue->spool_dir, err);
}

static enum err_code open_all(struct queue *queue, struct err *err)
{
	struct suspects *suspects = calloc(1, sizeof *suspects);
	must(suspects != NULL);
	enum err_code code = open_dirs(queue, err);
	if (code == ERR_OK) {
		struct replay_limits limits = replay_limits_of(settings_of(queue->settings));
		code = replay_open(queue->dir, &limits, &queue->replay, err);
	}
	if (code == ERR_OK)
		code = keeper_open(queue->dir, queue->spool_dir, add_suspect, suspects, queue->config.died, &queue->keeper, err);
	if (code == ERR_OK) {
		struct cluster_log_config config = {.dir = queue->config.dir,
			.fold = queue_fold_table(queue->fold),
			.reserve_bytes = (uint64_t)settings_of(queue->settings)->queue_reserve_bytes,
			.ballast_bytes = BALLAST_BYTES,
			.died = queue->config.died};
		code = cluster_log_open(&config, &queue->log, err);
	}
	if (code == ERR_OK)
		code = recover(queue, suspects, err);
	free(suspects);
	return code;
}

enum err_code queue_open(const struct queue_config *config, struct queue **queue_out, struct err *err)
{
	struct queue *queue = calloc(1, sizeof *queue);
	must(queue != NULL);
	struct err local;
	err = err ? err : &local;
	queue->config = *config;
	queue->config.dir = strdup(config->dir);
	must(queue->config.dir != NULL);
	queue->dir = queue->spool_dir = -1;
	pthread_mutex_init(&queue->mutex, NULL);
	take_settings(queue, config->settings, &config->tls);
	queue->inline_bytes_max = (size_t)settings_of(config->settings)->queue_body_inline_bytes;
	queue->expand_part_max = EXPAND_PART_MAX;
	queue->dispatch = dispatch_new(queue);
	struct queue_fold_sink sink = dispatch_sink(queue->dispatch);
	queue->fold = queue_fold_new(&sink);
	enum err_code code = open_all(queue, err);
	if (code) {
		queue_close(&queue);
		return err_wrap(err, "open the queue");
	}
	register_metrics(queue);
	*queue_out = queue;
	return ERR_OK;
}

void queue_start(struct queue *queue)
{
	dispatch_start(queue->dispatch);
}

void queue_stop(struct queue *queue)
{
	atomic_store(&queue->stopping, true);
	cluster_log_end_snapshots(queue->log);
	dispatch_stop(queue->dispatch);
}

void queue_flush(struct queue *queue)
{
	dispatch_flush(queue->dispatch);
}

void queue_close(struct queue **queue_in)
{
	struct queue *queue = *queue_in;
	if (queue == NULL)
		return;
	rendered = NULL;
	cluster_log_close(&queue->log);
	keeper_close(&queue->keeper);
	replay_close(&queue->replay);
	queue_fold_free(&queue->fold);
	dispatch_free(&queue->dispatch);
	if (queue->spool_dir >= 0)
		file_close(queue->spool_dir);
	if (queue->dir >= 0)
		file_close(queue->dir);
	replace_clients(&queue->tls, &(struct queue_tls){NULL});
	settings_unref(&queue->settings);
	pthread_mutex_destroy(&queue->mutex);
	free(queue->commands);
	char *dir = (char *)(uintptr_t)queue->config.dir;
	free(dir);
	free(queue);
	*queue_in = NULL;
}
