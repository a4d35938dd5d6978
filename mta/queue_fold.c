// SPDX-License-Identifier: Apache-2.0
// The fold between two commits: its statements, the ledger, and what is told to the scheduler once a batch is durable.
//
// Happy path: apply (queue_fold_apply.c) changes rows and stages effects; flush writes the counters that moved; after the commit
// the counters count and the sink hears what happened. Rolled back: the stage is emptied, rows are as before.
//
// Crash story: everything kept here is in the rows too; opened() reads it back and checks that it adds up.
#include "queue_fold_rows.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/must.h"
#include "grow.h"
#include "queue_columns.h"
#include "queue_metrics.h"

static const char *const sql[SQL_FOLD_STATEMENTS] = {
	[SQL_MESSAGE_ADD] = "INSERT OR IGNORE INTO message(guid, root, parent, kind, flags, sender, envid, source, received, bytes, digest,"
			    " body, open, last, ended) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, 0)",
	[SQL_MESSAGE_OPEN] = "SELECT open, body, flags, ended FROM message WHERE guid = ?1", // RETURNING would make a table for its one row
	[SQL_MESSAGE_END] = "DELETE FROM message WHERE guid = ?1",
	[SQL_MESSAGE_LESS] = "UPDATE message SET open = open - ?2, ended = ended + ?3 WHERE guid = ?1",
	[SQL_MESSAGE_MORE] = "UPDATE message SET open = open + ?2, last = max(last, ?3) WHERE guid = ?1",
	[SQL_MESSAGE_NOTED] = "UPDATE message SET ended = ended + ?2 WHERE guid = ?1",
	[SQL_MESSAGE_LAST] = "SELECT last FROM message WHERE guid = ?1",
	[SQL_MESSAGE_THERE] = "SELECT 1 FROM message WHERE guid = ?1",
	[SQL_RECIPIENT_ADD] = "INSERT INTO recipient(guid, number, state, next_try, tries, waited, warned, attempt, target, notify,"
			      " destination, address, akey, original, orcpt, mailbox, detail, list, reply, stands_for)"
			      " VALUES(?1, ?2, ?15, ?3, 0, 0, 0, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?16)",
	[SQL_RECIPIENT_END] = "DELETE FROM recipient WHERE guid = ?1 AND number = ?2 AND attempt = ?3",
	[SQL_RECIPIENT_WHO] = "SELECT coalesce(mailbox, akey), detail, list FROM recipient WHERE guid = ?1 AND number = ?2",
	[SQL_RECIPIENT_LEAVES] = "SELECT akey, original, attempt, notify, destination, next_try, state FROM recipient"
				 " WHERE guid = ?1 AND number = ?2",
	[SQL_RECIPIENT_SHARE] = "UPDATE recipient SET notify = notify | ?3 WHERE guid = ?1 AND number = ?2",
	[SQL_RECIPIENT_TARGETS] = "SELECT number, target, coalesce(mailbox, akey), detail FROM recipient WHERE guid = ?1 AND list IS NULL",
	[SQL_RECIPIENT_DEFER] = "UPDATE recipient SET next_try = ?4, waited = ?5, reply = ?6, tries = tries + 1, attempt = 0"
				" WHERE guid = ?1 AND number = ?2 AND attempt = ?3 RETURNING destination, state",
	[SQL_RECIPIENT_REMOVE] = "DELETE FROM recipient WHERE guid = ?1 AND (number = ?2 OR ?2 = 0)",
	[SQL_RECIPIENT_CANCEL] = "DELETE FROM recipient WHERE guid = ?1 AND attempt = 0",
	[SQL_RECIPIENT_HOLD] = "UPDATE recipient SET state = 1, reply = ?3 WHERE guid = ?1 AND (number = ?2 OR ?2 = 0) AND state = 0",
	[SQL_RECIPIENT_RELEASE] = "UPDATE recipient SET state = 0, next_try = ?3 WHERE guid = ?1 AND (number = ?2 OR ?2 = 0)"
				  " RETURNING destination",
	[SQL_RECIPIENT_TAKE] = "UPDATE recipient SET attempt = ?3 WHERE guid = ?1 AND number = ?2 AND state = 0 AND attempt = 0",
	[SQL_RECIPIENT_WARNED] = "UPDATE recipient SET warned = 1 WHERE guid = ?1 AND number = ?2 AND warned = 0",
	[SQL_RECIPIENT_ROUTE] = "UPDATE recipient SET next_try = ?3, target = ?4, destination = ?5, address = ?6, akey = ?7,"
				" original = coalesce(?8, original), mailbox = ?9, detail = ?10, stands_for = ?11"
				" WHERE guid = ?1 AND number = ?2 AND attempt = 0 RETURNING state",
	[SQL_MEND_RECIPIENTS] = "DELETE FROM recipient WHERE (guid, number) IN (SELECT r.guid, r.number FROM recipient r LEFT JOIN message m"
				" ON m.guid = r.guid WHERE NOT " FOLD_ROW_IS_SOUND ")",
	[SQL_MEND_OPEN] = "UPDATE message SET open = (SELECT count(*) FROM recipient r WHERE r.guid = message.guid)"
			  " WHERE open <> (SELECT count(*) FROM recipient r WHERE r.guid = message.guid)",
	[SQL_MEND_ATTEMPTS] = "DELETE FROM attempt WHERE idx NOT IN (SELECT attempt FROM recipient)",
	[SQL_MEND_SPOOLED] = "SELECT guid FROM message WHERE open <= 0 AND length(guid) = 16 AND flags & ?1",
	[SQL_MEND_BODIES] = "DELETE FROM body WHERE id IN (SELECT body FROM message WHERE open <= 0)",
	[SQL_MEND_MESSAGES] = "DELETE FROM message WHERE open <= 0",
	[SQL_MEND_ENDED] = "DELETE FROM ended WHERE guid NOT IN (SELECT guid FROM message)",
	[SQL_MEND_ALSO] = "DELETE FROM also WHERE guid NOT IN (SELECT guid FROM message)",
	[SQL_ENDED_ADD] = "INSERT OR IGNORE INTO ended(guid, who, detail) VALUES(?1, ?2, ?3)",
	[SQL_ENDED_THERE] = "SELECT 1 FROM ended WHERE guid = ?1 AND who = ?2 AND detail = ?3",
	[SQL_ENDED_END] = "DELETE FROM ended WHERE guid = ?1",
	[SQL_ALSO_ADD] = "INSERT OR IGNORE INTO also(guid, number, akey, address, notify, orcpt) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
	[SQL_ALSO_DROP] = "DELETE FROM also WHERE guid = ?1 AND number = ?2 AND akey = ?3",
	[SQL_ALSO_COUNT] = "SELECT count(*) FROM also WHERE guid = ?1 AND number = ?2",
	[SQL_ALSO_TAKES_OVER] = "UPDATE recipient SET original = nullif(n.address, recipient.address), orcpt = n.orcpt,"
				" notify = n.notify | ?3 FROM (SELECT akey, address, notify, orcpt FROM also"
				" WHERE guid = ?1 AND number = ?2 ORDER BY akey LIMIT 1) n WHERE guid = ?1 AND number = ?2 RETURNING"
				" (SELECT akey FROM also WHERE guid = ?1 AND number = ?2 ORDER BY akey LIMIT 1)",
	[SQL_ALSO_END] = "DELETE FROM also WHERE guid = ?1",
	[SQL_BODY_ADD] = "INSERT INTO body(id, data) VALUES(?1, ?2)",
	[SQL_BODY_END] = "DELETE FROM body WHERE id = ?1",
	[SQL_ATTEMPT_ADD] = "INSERT INTO attempt(idx, destination, at, validity, open) VALUES(?1, ?2, ?3, ?4, ?5)",
	[SQL_ATTEMPT_LESS] = "UPDATE attempt SET open = open - ?2 WHERE idx = ?1",
	[SQL_ATTEMPT_END] = "DELETE FROM attempt WHERE idx = ?1 AND open <= 0",
	[SQL_TOMBSTONE_ADD] = "INSERT OR IGNORE INTO tombstone(guid, idx) VALUES(?1, ?2)",
	[SQL_TOMBSTONE_THERE] = "SELECT 1 FROM tombstone WHERE guid = ?1",
	[SQL_TOMBSTONE_CUT] = "DELETE FROM tombstone WHERE idx < ?1",
	[SQL_TOMBSTONE_COUNT] = "SELECT count(*) FROM tombstone",
	[SQL_LEDGER_GET] = "SELECT value FROM ledger WHERE name = ?1",
	[SQL_LEDGER_PUT] = "INSERT INTO ledger(name, value) VALUES(?1, ?2) ON CONFLICT(name) DO UPDATE SET value = excluded.value",
	[SQL_QUEUED_COUNT] = "SELECT count(*) FROM recipient",
	[SQL_FEATURES] = "UPDATE state SET features = ?1",
	[SQL_POLICY] = "UPDATE state SET copies = ?1",
	[SQL_READ_PAGE] = "SELECT" QUEUE_COLUMNS_TEXT(QUEUE_ITEM_COLUMNS) " FROM recipient r LEFT JOIN message m ON m.guid = r.guid"
			  " WHERE r.destination = ?1 AND r.state = 0 AND r.next_try <= ?2 AND r.attempt = 0 ORDER BY r.next_try",
	[SQL_READ_COPIES] = "SELECT" QUEUE_COLUMNS_TEXT(QUEUE_ITEM_COLUMNS) " FROM recipient r JOIN message m ON m.guid = r.guid"
			    " WHERE r.guid = ?1 AND r.list IS NULL AND m.kind <> ?2 AND (r.state = 0 OR ?3) ORDER BY r.number",
	[SQL_READ_ALSO] = "SELECT number, akey, address, notify, orcpt FROM also WHERE guid = ?1 ORDER BY number, akey",
	[SQL_READ_ALSO_OF] = "SELECT akey, address FROM also WHERE guid = ?1 AND number = ?2 ORDER BY akey",
	[SQL_READ_NEXT_DUE] = "SELECT min(next_try) FROM recipient WHERE destination = ?1 AND state = 0 AND next_try > ?2",
	[SQL_READ_DESTINATIONS] = "SELECT destination, min(next_try) FROM recipient WHERE state = 0 GROUP BY destination",
	[SQL_READ_ATTEMPTS] = "SELECT" QUEUE_COLUMNS_TEXT(QUEUE_ATTEMPT_COLUMNS) " FROM recipient WHERE attempt <> 0 AND typeof(guid) = 'blob' AND length(guid) = 16"
			      " ORDER BY attempt",
	[SQL_READ_SPOOLED] = "SELECT flags FROM message WHERE guid = ?1",
	[SQL_READ_BODY] = "SELECT data FROM body WHERE id = ?1",
	[SQL_READ_MESSAGES] = "SELECT" QUEUE_COLUMNS_TEXT(QUEUE_MESSAGE_COLUMNS) " FROM message"
			      " WHERE guid > ?1 AND typeof(guid) = 'blob' AND length(guid) = 16 ORDER BY guid LIMIT ?2",
	[SQL_READ_RECIPIENTS] = "SELECT" QUEUE_COLUMNS_TEXT(QUEUE_ITEM_COLUMNS) " FROM recipient r LEFT JOIN message m ON m.guid = r.guid"
				" WHERE r.guid = ?1 ORDER BY r.number",
	[SQL_READ_GUIDS] = "SELECT guid, sender FROM message WHERE guid BETWEEN ?1 AND ?2 AND typeof(guid) = 'blob' AND length(guid) = 16",
	[SQL_READ_SOUND] = "SELECT r.guid, r.number, r.destination, " FOLD_ROW_IS_SOUND " FROM recipient r"
			   " LEFT JOIN message m ON m.guid = r.guid WHERE (r.guid, r.number) > (?1, ?2) ORDER BY r.guid, r.number",
	[SQL_READ_DAMAGED] = "SELECT" QUEUE_COLUMNS_TEXT(QUEUE_DAMAGED_COLUMNS) " FROM recipient r"
			     " LEFT JOIN message m ON m.guid = r.guid LEFT JOIN body b ON b.id = m.body WHERE NOT " FOLD_ROW_IS_SOUND
			     " UNION ALL SELECT 'message', m.guid, NULL, NULL, NULL, m.sender, m.received, m.bytes, b.data FROM message m"
			     " LEFT JOIN body b ON b.id = m.body WHERE NOT EXISTS (SELECT 1 FROM recipient r WHERE r.guid = m.guid) LIMIT ?1 OFFSET ?2",
};

static const struct {
	const char *name;
	int sign;
} ledger[LEDGER_COUNTERS] = {
#define QUEUE_LEDGER_ROW(id, name, sign) [id] = {name, sign},
	QUEUE_LEDGER(QUEUE_LEDGER_ROW)
#undef QUEUE_LEDGER_ROW
};

const char *queue_ledger_name(enum queue_ledger counter)
{
	return ledger[counter].name;
}

// --- Staging ---

void fold_stage_due(struct queue_fold *fold, struct str destination, int64_t next_try_ms)
{
	struct fold_stage *s = &fold->stage;
	if (s->due_n > 0) { // mostly the same again
		struct fold_due *last = &s->due[s->due_n - 1];
		if (str_eq(str_of(last->destination, last->bytes), destination)) {
			last->next_try_ms = next_try_ms < last->next_try_ms ? next_try_ms : last->next_try_ms;
			return;
		}
	}
	s->due = grow(s->due, s->due_n, &s->due_size, sizeof *s->due);
	char *copy = malloc(destination.n + 1);
	must(copy != NULL);
	if (destination.n)
		memcpy(copy, destination.p, destination.n);
	s->due[s->due_n++] = (struct fold_due){copy, destination.n, next_try_ms};
}

void fold_stage_gone(struct queue_fold *fold, const struct guid *guid, uint32_t number)
{
	struct fold_stage *s = &fold->stage;
	s->gone = grow(s->gone, s->gone_n, &s->gone_size, sizeof *s->gone);
	s->gone[s->gone_n++] = (struct record_ref){*guid, number};
}

void fold_stage_body(struct queue_fold *fold, const struct guid *guid)
{
	struct fold_stage *s = &fold->stage;
	s->bodies = grow(s->bodies, s->bodies_n, &s->bodies_size, sizeof *s->bodies);
	s->bodies[s->bodies_n++] = *guid;
}

static void empty_stage(struct queue_fold *fold)
{
	struct fold_stage *s = &fold->stage;
	memset(s->delta, 0, sizeof s->delta);
	item_free_list(&s->arrived);
	s->arrived_tail = &s->arrived;
	for (size_t i = 0; i < s->due_n; i++)
		free(s->due[i].destination);
	s->due_n = s->gone_n = s->bodies_n = 0;
	s->tombstones = 0;
}

// --- The log's table ---

static bool adds_up(const int64_t counters[LEDGER_COUNTERS])
{
	int64_t sum = 0;
	for (int i = 0; i < LEDGER_COUNTERS; i++)
		sum += ledger[i].sign * counters[i];
	return sum == 0;
}

static enum err_code put_counter(struct db *db, enum queue_ledger counter, int64_t value, struct err *err)
{
	sqlite3_stmt *stmt = fold_stmt(db, SQL_LEDGER_PUT);
	db_bind_str(stmt, 1, str_of_c(ledger[counter].name));
	db_bind_i64(stmt, 2, value);
	return db_run(db, stmt, err);
}

static enum err_code flush(void *self, struct db *db, uint64_t applied, struct err *err)
{
	struct queue_fold *fold = self;
	enum err_code code = ERR_OK;
	for (int i = 0; i < LEDGER_COUNTERS && code == ERR_OK; i++)
		if (fold->stage.delta[i])
			code = put_counter(db, (enum queue_ledger)i, fold->counters[i] + fold->stage.delta[i], err);
	if (code == ERR_OK && fold->tombstones + fold->stage.tombstones > 0 && applied > CLUSTER_LOG_TRAIL) {
		sqlite3_stmt *stmt = fold_stmt(db, SQL_TOMBSTONE_CUT);
		db_bind_i64(stmt, 1, (int64_t)(applied - CLUSTER_LOG_TRAIL));
		code = db_run(db, stmt, err);
		fold->stage.tombstones -= db_changes(db);
	}
	return code;
}

static void alarm_gap(const int64_t counters[LEDGER_COUNTERS])
{
	struct buf text;
	buf_init(&text, 1024);
	for (int i = 0; i < LEDGER_COUNTERS; i++)
		buf_printf(&text, "%s%s=%lld", i ? " " : "", ledger[i].name, (long long)counters[i]);
	log_error(NULL, "queue: the ledger does not add up, mail was lost or counted twice", log_str("ledger", buf_str(&text)));
	buf_fini(&text);
}

// Counters that operators look at; what is left out is in `posthouse queue stats`.
static void count_metrics(const int64_t delta[LEDGER_COUNTERS])
{
	static struct metric *const metrics[LEDGER_COUNTERS] = {
		[LEDGER_ACCEPTED] = &metric_mta_queue_accepted, [LEDGER_GENERATED] = &metric_mta_queue_generated,
		[LEDGER_DELIVERED] = &metric_mta_queue_delivered, [LEDGER_RELAYED] = &metric_mta_queue_relayed,
		[LEDGER_BOUNCED] = &metric_mta_queue_bounced, [LEDGER_EXPIRED] = &metric_mta_queue_expired,
		[LEDGER_DISCARDED] = &metric_mta_queue_discarded, [LEDGER_DELETED] = &metric_mta_queue_deleted,
		[LEDGER_CANCELLED] = &metric_mta_queue_cancelled, [LEDGER_REPEATS] = &metric_mta_queue_repeats};
	for (int i = 0; i < LEDGER_COUNTERS; i++)
		if (metrics[i] && delta[i])
			metric_add(metrics[i], delta[i]);
}

static void committed(void *self)
{
	struct queue_fold *fold = self;
	struct fold_stage *s = &fold->stage;
	pthread_mutex_lock(&fold->mutex);
	for (int i = 0; i < LEDGER_COUNTERS; i++)
		fold->counters[i] += s->delta[i];
	bool was_balanced = fold->balanced;
	fold->balanced = adds_up(fold->counters);
	pthread_mutex_unlock(&fold->mutex);
	if (was_balanced && !fold->balanced)
		alarm_gap(fold->counters);
	fold->tombstones += s->tombstones;
	count_metrics(s->delta);
	for (size_t i = 0; i < s->gone_n; i++)
		fold->sink.gone(fold->sink.self, &s->gone[i].guid, s->gone[i].number);
	if (s->arrived)
		fold->sink.arrived(fold->sink.self, &s->arrived);
	for (size_t i = 0; i < s->due_n; i++)
		fold->sink.due(fold->sink.self, str_of(s->due[i].destination, s->due[i].bytes), s->due[i].next_try_ms);
	for (size_t i = 0; i < s->bodies_n; i++)
		fold->sink.body_free(fold->sink.self, &s->bodies[i]);
	empty_stage(fold);
}

static void undone(void *self)
{
	empty_stage(self);
}

static enum err_code get_i64(struct db *db, sqlite3_stmt *stmt, int64_t *out, struct err *err)
{
	switch (db_step(db, stmt, err)) {
	case DB_FAILED:
		return err->code;
	case DB_DONE:
		*out = 0;
		break;
	case DB_ROW:
		*out = db_col_i64(stmt, 0);
		break;
	}
	db_reset(stmt);
	return ERR_OK;
}

static enum err_code opened(void *self, struct db *db, uint64_t applied, struct err *err)
{
	(void)applied;
	struct queue_fold *fold = self;
	int64_t queued;
	enum err_code code = get_i64(db, fold_stmt(db, SQL_TOMBSTONE_COUNT), &fold->tombstones, err);
	for (int i = 0; i < LEDGER_COUNTERS && code == ERR_OK; i++) {
		sqlite3_stmt *stmt = fold_stmt(db, SQL_LEDGER_GET);
		db_bind_str(stmt, 1, str_of_c(ledger[i].name));
		code = get_i64(db, stmt, &fold->counters[i], err);
	}
	if (code == ERR_OK)
		code = get_i64(db, fold_stmt(db, SQL_QUEUED_COUNT), &queued, err);
	if (code)
		return code;
	fold->balanced = adds_up(fold->counters) && queued == fold->counters[LEDGER_QUEUED];
	if (!fold->balanced)
		alarm_gap(fold->counters);
	return ERR_OK;
}

struct cluster_log_fold queue_fold_table(struct queue_fold *fold)
{
	return (struct cluster_log_fold){.schema = &ddl_queue, .sql = sql, .n_sql = SQL_FOLD_STATEMENTS, .self = fold,
	.opened = opened,
		.apply = fold_apply, .flush = flush, .committed = committed, .undone = undone};
}

struct queue_fold *queue_fold_new(const struct queue_fold_sink *sink)
{
	struct queue_fold *fold = calloc(1, sizeof *fold);
	must(fold != NULL);
	fold->sink = *sink;
	fold->stage.arrived_tail = &fold->stage.arrived;
	pthread_mutex_init(&fold->mutex, NULL);
	return fold;
}

void queue_fold_free(struct queue_fold **fold_in)
{
	struct queue_fold *fold = *fold_in;
	if (fold == NULL)
		return;
	empty_stage(fold);
	free(fold->stage.due);
	free(fold->stage.gone);
	free(fold->stage.bodies);
	pthread_mutex_destroy(&fold->mutex);
	free(fold);
	*fold_in = NULL;
}

void queue_fold_ledger(struct queue_fold *fold, int64_t counters_out[LEDGER_COUNTERS], bool *balanced_out)
{
	pthread_mutex_lock(&fold->mutex);
	memcpy(counters_out, fold->counters, sizeof fold->counters);
	*balanced_out = fold->balanced;
	pthread_mutex_unlock(&fold->mutex);
}

// --- The digest ---

static void digest_row(EVP_MD_CTX *ctx, sqlite3_stmt *stmt)
{
	for (int i = 0; i < sqlite3_column_count(stmt); i++) {
		struct str value = db_col_blob(stmt, i); // numbers as their text
		uint8_t head[9] = {(uint8_t)sqlite3_column_type(stmt, i)};
		for (int k = 0; k < 8; k++)
			head[1 + k] = (uint8_t)(value.n >> (8 * k));
		must(EVP_DigestUpdate(ctx, head, sizeof head) == 1 && EVP_DigestUpdate(ctx, value.p, value.n) == 1);
	}
}

enum err_code queue_fold_digest(struct db *db, uint8_t digest_out[RECORD_DIGEST_BYTES], struct err *err)
{
	static const char *const tables[] = {
		"SELECT * FROM message ORDER BY guid", "SELECT * FROM recipient ORDER BY guid, number", "SELECT * FROM body ORDER BY id",
		"SELECT * FROM attempt ORDER BY idx", "SELECT * FROM ended ORDER BY guid, who, detail", "SELECT * FROM also ORDER BY guid, number, akey",
		"SELECT * FROM tombstone ORDER BY guid", "SELECT * FROM ledger ORDER BY name",
		"SELECT applied, features, copies FROM state"};
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	must(ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
	enum err_code code = ERR_OK;
	for (size_t i = 0; i < sizeof tables / sizeof *tables && code == ERR_OK; i++) {
		sqlite3_stmt *stmt;
		int rc = sqlite3_prepare_v2(db_handle(db), tables[i], -1, &stmt, NULL);
		while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
			digest_row(ctx, stmt);
			rc = SQLITE_OK;
		}
		if (rc != SQLITE_DONE)
			code = db_error(db, rc, tables[i], err);
		sqlite3_finalize(stmt);
	}
	must(EVP_DigestFinal_ex(ctx, digest_out, NULL) == 1);
	EVP_MD_CTX_free(ctx);
	return code;
}
