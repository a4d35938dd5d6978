// SPDX-License-Identifier: Apache-2.0
// The outbox: its rows in mail.db, the list of mailboxes in node.db. outbox.h tells the story.
#include "outbox.h"

#include <stdlib.h>

#include "base/must.h"
#include "mail_row.h"
#include "mailbox_private.h"

static const int64_t HOUR_MS = 3600 * 1000;

// --- In the transaction of a delivery ---

// Two rows. MAIL_ROW_SENDS is the memory that it was made: until when it is remembered (without end while it waits), that
// again, when it was made, the change_seq. MAIL_ROW_WAITS is there until a queue has it: when it was made, guid, data. Both have
// for a key the kind, a zero and whom it is for.
enum { SENDS_BYTES = 4 * 8, WAITS_BYTES_MAX = 8 + 16 + OUTBOX_DATA_BYTES_MAX };

struct sends {
	int64_t forget_ms, until_ms, made_ms;
};

static struct mail_key key_of(enum mail_row_kind row, struct str kind, struct str key)
{
	struct mail_key out = mail_key(row);
	mail_key_add(&out, kind);
	mail_key_add(&out, str_of("", 1));
	mail_key_add(&out, key);
	return out;
}

static enum err_code read_sends(struct str value, struct sends *out, struct err *err)
{
	struct mail_reader reader = {.rest = value};
	out->forget_ms = (int64_t)mail_read_u64(&reader);
	out->until_ms = (int64_t)mail_read_u64(&reader);
	out->made_ms = (int64_t)mail_read_u64(&reader);
	mail_read_u64(&reader);
	return mail_read_end(&reader, "a row of an outbox", err);
}

static enum err_code write_sends(struct strand *strand, const struct mail_key *key, const struct sends *sends, struct err *err)
{
	struct buf value;
	buf_init(&value, SENDS_BYTES);
	mail_put_u64(&value, (uint64_t)sends->forget_ms);
	mail_put_u64(&value, (uint64_t)sends->until_ms);
	mail_put_u64(&value, (uint64_t)sends->made_ms);
	mail_put_u64(&value, strand_seq(strand));
	enum err_code code = mail_row_set(strand, key, buf_str(&value), err);
	buf_fini(&value);
	return code;
}

static enum err_code find_sends(struct strand *strand, const struct mail_key *key, struct sends *out, bool *found_out,
	struct err *err)
{
	struct buf value;
	buf_init(&value, SENDS_BYTES);
	enum err_code code = mail_row_get(strand, key, &value, found_out, err);
	if (code == ERR_OK && *found_out)
		code = read_sends(buf_str(&value), out, err);
	buf_fini(&value);
	return code;
}

struct hour {
	int64_t since_ms;
	uint64_t n;
	struct err *err;
	enum err_code code;
};

static bool count_one(void *arg, struct str key, struct str value)
{
	struct hour *hour = arg;
	struct sends sends;
	(void)key;
	hour->code = read_sends(value, &sends, hour->err);
	hour->n += hour->code == ERR_OK && sends.made_ms > hour->since_ms;
	return hour->code == ERR_OK;
}

static enum err_code count_hour(struct strand *strand, const struct outbox_item *item, uint64_t *n_out, struct err *err)
{
	struct hour hour = {.since_ms = item->made_ms - HOUR_MS, .err = err};
	struct mail_key from = key_of(MAIL_ROW_SENDS, item->kind, STR_NONE), end = from;
	end.p[end.n - 1] = 1; // behind the zero
	enum err_code code = mail_rows_each(strand, mail_key_str(&from), mail_key_str(&end), count_one, &hour, err);
	*n_out = hour.n;
	return code ? code : hour.code;
}

// A time to come is of a clock that was set back since: nobody waits for it.
static enum err_code look(struct strand *strand, struct outbox_item *item, struct err *err)
{
	struct mail_key key = key_of(MAIL_ROW_SENDS, item->kind, item->key);
	struct sends sends = {0};
	bool found;
	uint64_t n = 0;
	enum err_code code = find_sends(strand, &key, &sends, &found, err);
	if (code == ERR_OK && item->hour_max)
		code = count_hour(strand, item, &n, err);
	if (code)
		return code;
	if (sends.made_ms > item->since_ms && sends.made_ms <= item->made_ms)
		item->fate = OUTBOX_KNOWN;
	else if (item->hour_max && n >= item->hour_max)
		item->fate = OUTBOX_MANY;
	else
		item->fate = OUTBOX_NONE;
	return ERR_OK;
}

static enum err_code add_rows(struct strand *strand, const struct outbox_item *item, struct err *err)
{
	const struct mail_key sends_key = key_of(MAIL_ROW_SENDS, item->kind, item->key);
	const struct mail_key waits_key = key_of(MAIL_ROW_WAITS, item->kind, item->key);
	const struct sends sends = {.forget_ms = INT64_MAX, .until_ms = item->until_ms, .made_ms = item->made_ms};
	struct buf value;
	buf_init(&value, WAITS_BYTES_MAX);
	mail_put_u64(&value, (uint64_t)item->made_ms);
	mail_put_guid(&value, &item->guid);
	must(buf_add(&value, item->data));
	enum err_code code = mail_row_set(strand, &waits_key, buf_str(&value), err);
	buf_fini(&value);
	return code ? code : write_sends(strand, &sends_key, &sends, err);
}

enum err_code outbox_add(struct strand *strand, struct outbox_item *item, struct err *err)
{
	must(item->data.n <= OUTBOX_DATA_BYTES_MAX && item->key.n <= OUTBOX_KEY_BYTES_MAX);
	if (item->fate == OUTBOX_FAILED)
		return err_set(err, item->failure, "the list of mailboxes that send something cannot be written");
	if (item->fate != OUTBOX_NONE) // seen before the delivery began
		return ERR_OK;
	enum err_code code = look(strand, item, err);
	if (code || item->fate != OUTBOX_NONE)
		return code;
	code = add_rows(strand, item, err);
	item->fate = code ? OUTBOX_NONE : OUTBOX_ADDED;
	return code;
}

enum err_code outbox_forget(struct strand *strand, int64_t now_ms, struct err *err)
{
	return mail_rows_forget(strand, MAIL_ROW_SENDS, now_ms, err);
}

// --- Before and after the jobs of deliveries ---

struct look_job {
	struct job job;
	struct outbox_item *item;
	struct strand *strand;
};

static enum job_step look_run(struct job *job, struct strand *strand)
{
	return job_end(job, look(strand, ((struct look_job *)job)->item, job->err));
}

// Who has had an answer needs no line in node.db. What cannot be seen now is seen in the delivery's transaction.
static void look_at_all(struct delivery *deliveries, size_t n, struct look_job *jobs)
{
	for (size_t i = 0; i < n; i++) {
		jobs[i] = (struct look_job){
			.job = {.kind = JOB_READ, .run = look_run}, .item = deliveries[i].sends, .strand = deliveries[i].strand};
		if (jobs[i].item)
			strand_submit(jobs[i].strand, &jobs[i].job);
	}
	for (size_t i = 0; i < n; i++)
		if (jobs[i].item)
			strand_await(&jobs[i].job);
}

struct list_job {
	struct job job;
	const struct delivery *deliveries;
	size_t n;
};

enum err_code outbox_list(struct strand *node, const struct guid *mailbox, struct err *err)
{
	sqlite3_stmt *stmt = db_stmt(node->db, SQL_NODE_OUTBOX_ADD);
	db_bind_blob(stmt, 1, guid_bytes(mailbox));
	return db_run(node->db, stmt, err);
}

static bool will_add(const struct delivery *delivery)
{
	return delivery->sends && delivery->sends->fate == OUTBOX_NONE;
}

static enum job_step list_run(struct job *job, struct strand *node)
{
	const struct list_job *list = (const struct list_job *)job;
	enum err_code code = ERR_OK;
	for (size_t i = 0; i < list->n && code == ERR_OK; i++)
		if (will_add(&list->deliveries[i]))
			code = outbox_list(node, &list->deliveries[i].account, job->err);
	return job_end(job, code);
}

static size_t count_additions(const struct delivery *deliveries, size_t n)
{
	size_t additions = 0;
	for (size_t i = 0; i < n; i++)
		additions += will_add(&deliveries[i]);
	return additions;
}

static void list_all(struct store *store, struct delivery *deliveries, size_t n)
{
	struct list_job *list = calloc(1, sizeof *list); // with its error text too large for a fiber's stack
	must(list != NULL);
	*list = (struct list_job){.job = {.kind = JOB_WRITE, .run = list_run}, .deliveries = deliveries, .n = n};
	enum err_code code = count_additions(deliveries, n) ? strand_run(store->node, &list->job) : ERR_OK;
	for (size_t i = 0; i < n && code; i++)
		if (will_add(&deliveries[i])) {
			deliveries[i].sends->fate = OUTBOX_FAILED;
			deliveries[i].sends->failure = code;
		}
	free(list);
}

static void count_begun(struct store *store, struct delivery *deliveries, size_t n, bool begins)
{
	pthread_mutex_lock(&store->mutex);
	for (size_t i = 0; i < n; i++) {
		if (deliveries[i].sends == NULL)
			continue;
		deliveries[i].strand->sends_begun += begins;
		deliveries[i].strand->sends_open += begins ? 1u : -1u;
	}
	pthread_mutex_unlock(&store->mutex);
}

static bool any_sends(const struct delivery *deliveries, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (deliveries[i].sends)
			return true;
	return false;
}

void outbox_begin(struct store *store, struct delivery *deliveries, size_t n)
{
	if (!any_sends(deliveries, n))
		return;
	struct look_job *jobs = calloc(n, sizeof *jobs);
	must(jobs != NULL);
	for (size_t i = 0; i < n; i++)
		if (deliveries[i].sends) {
			deliveries[i].sends->fate = OUTBOX_NONE;
			deliveries[i].strand = strand_get(store, &deliveries[i].account);
		}
	count_begun(store, deliveries, n, true);
	look_at_all(deliveries, n, jobs);
	free(jobs);
	list_all(store, deliveries, n);
}

void outbox_end(struct store *store, struct delivery *deliveries, size_t n)
{
	if (!any_sends(deliveries, n))
		return;
	count_begun(store, deliveries, n, false);
	for (size_t i = 0; i < n; i++)
		if (deliveries[i].sends)
			strand_drop(deliveries[i].strand);
}

// --- The sender ---

struct mailboxes_job {
	struct job job;
	struct guid after;
	struct guid *ids;
	size_t n, n_out;
};

static enum job_step mailboxes_run(struct job *job, struct strand *node)
{
	struct mailboxes_job *list = (struct mailboxes_job *)job;
	sqlite3_stmt *stmt = db_stmt(node->db, SQL_NODE_OUTBOX_LIST);
	db_bind_blob(stmt, 1, guid_bytes(&list->after));
	db_bind_i64(stmt, 2, (int64_t)list->n);
	enum db_step step;
	while ((step = db_step(node->db, stmt, job->err)) == DB_ROW && list->n_out < list->n) {
		struct str id = db_col_blob(stmt, 0);
		if (id.n == sizeof *list->ids) // else the row is damaged, and names nobody
			memcpy(&list->ids[list->n_out++], id.p, id.n);
	}
	return job_end(job, mailbox_all_rows(stmt, step, job->err));
}

enum err_code outbox_mailboxes(struct store *store, const struct guid *after, struct guid *ids, size_t n, size_t *n_out,
	struct err *err)
{
	struct mailboxes_job list = {.job = {.kind = JOB_READ, .run = mailboxes_run, .err = err}, .ids = ids, .n = n};
	if (after)
		list.after = *after;
	enum err_code code = strand_run(store->node, &list.job);
	if (code == ERR_OK)
		*n_out = list.n_out;
	return code;
}

struct next_job {
	struct job job;
	const struct outbox_row *after;
	struct arena *arena;
	struct outbox_row *row; // NULL: only whether there is one
	bool found;
};

static bool take_next(void *arg, struct str key, struct str value)
{
	struct next_job *next = arg;
	struct mail_reader reader = {.rest = value};
	ptrdiff_t zero = str_index(key, '\0');
	next->found = true;
	if (next->row == NULL)
		return false;
	struct outbox_row row = {.made_ms = (int64_t)mail_read_u64(&reader)};
	row.guid = mail_read_guid(&reader);
	if (reader.damaged || zero < 1) {
		next->job.code = err_set(next->job.err, ERR_CORRUPT, "what an outbox sends is damaged");
		return false;
	}
	row.kind = arena_dup(next->arena, str_from(str_upto(key, (size_t)zero), 1));
	row.key = arena_dup(next->arena, str_from(key, (size_t)zero + 1));
	row.data = arena_dup(next->arena, reader.rest);
	*next->row = row;
	return false;
}

static enum job_step next_run(struct job *job, struct strand *strand)
{
	struct next_job *next = (struct next_job *)job;
	struct mail_key from = mail_key(MAIL_ROW_WAITS), end = mail_key_behind(MAIL_ROW_WAITS);
	if (next->after) {
		from = key_of(MAIL_ROW_WAITS, next->after->kind, next->after->key);
		mail_key_add(&from, str_of("", 1)); // behind it
	}
	enum err_code code = mail_rows_each(strand, mail_key_str(&from), mail_key_str(&end), take_next, next, job->err);
	return job_end(job, code ? code : job->code);
}

static enum err_code run_on(struct store *store, const struct guid *mailbox, struct job *job)
{
	struct strand *strand = strand_get(store, mailbox);
	enum err_code code = strand_run(strand, job);
	strand_drop(strand);
	return code;
}

enum err_code outbox_next(struct store *store, const struct guid *mailbox, const struct outbox_row *after, struct arena *arena,
	struct outbox_row *row_out, bool *found_out, struct err *err)
{
	struct next_job next = {
		.job = {.kind = JOB_READ, .run = next_run, .err = err}, .after = after, .arena = arena, .row = row_out};
	enum err_code code = run_on(store, mailbox, &next.job);
	if (code == ERR_OK && arena_overflowed(arena))
		code = err_set(err, ERR_LIMIT, "an item of an outbox is larger than fits");
	if (code == ERR_OK)
		*found_out = next.found;
	return code;
}

struct sent_job {
	struct job job;
	const struct outbox_row *row;
};

// Another one may have taken its place.
static enum err_code still_waits(struct strand *strand, const struct mail_key *key, const struct guid *guid, bool *waits_out,
	struct err *err)
{
	struct buf value;
	bool found;
	buf_init(&value, WAITS_BYTES_MAX);
	enum err_code code = mail_row_get(strand, key, &value, &found, err);
	struct mail_reader reader = {.rest = buf_str(&value)};
	mail_read_u64(&reader);
	struct guid there = mail_read_guid(&reader);
	*waits_out = code == ERR_OK && found && guid_eq(&there, guid);
	buf_fini(&value);
	return code;
}

static enum job_step sent_run(struct job *job, struct strand *strand)
{
	const struct outbox_row *row = ((const struct sent_job *)job)->row;
	const struct mail_key sends_key = key_of(MAIL_ROW_SENDS, row->kind, row->key);
	const struct mail_key waits_key = key_of(MAIL_ROW_WAITS, row->kind, row->key);
	struct sends sends;
	bool waits, found = false;
	enum err_code code = still_waits(strand, &waits_key, &row->guid, &waits, job->err);
	if (code || !waits)
		return job_end(job, code);
	code = mail_row_drop(strand, &waits_key, job->err);
	if (code == ERR_OK)
		code = find_sends(strand, &sends_key, &sends, &found, job->err);
	if (code == ERR_OK && found) {
		sends.forget_ms = sends.until_ms;
		code = write_sends(strand, &sends_key, &sends, job->err);
	}
	return job_end(job, code);
}

enum err_code outbox_sent(struct store *store, const struct guid *mailbox, const struct outbox_row *row, struct err *err)
{
	struct sent_job sent = {.job = {.kind = JOB_WRITE, .run = sent_run, .err = err}, .row = row};
	return run_on(store, mailbox, &sent.job);
}

struct settle_job {
	struct job job;
	struct strand *strand;
	uint64_t begun; // when it was looked
};

// A delivery that has begun before this runs is seen here; one that begins later lists the mailbox after this.
static enum job_step settle_run(struct job *job, struct strand *node)
{
	const struct settle_job *settle = (const struct settle_job *)job;
	pthread_mutex_lock(&node->store->mutex);
	bool quiet = settle->strand->sends_open == 0 && settle->strand->sends_begun == settle->begun;
	pthread_mutex_unlock(&node->store->mutex);
	if (!quiet)
		return job_end(job, ERR_OK);
	sqlite3_stmt *stmt = db_stmt(node->db, SQL_NODE_OUTBOX_DROP);
	db_bind_blob(stmt, 1, guid_bytes(&settle->strand->id));
	return job_end(job, db_run(node->db, stmt, job->err));
}

enum err_code outbox_settle(struct store *store, const struct guid *mailbox, struct err *err)
{
	struct settle_job settle = {
		.job = {.kind = JOB_WRITE, .run = settle_run, .err = err}, .strand = strand_get(store, mailbox)};
	struct next_job next = {.job = {.kind = JOB_READ, .run = next_run, .err = err}};
	pthread_mutex_lock(&store->mutex);
	settle.begun = settle.strand->sends_begun;
	pthread_mutex_unlock(&store->mutex);
	enum err_code code = strand_run(settle.strand, &next.job);
	if (code == ERR_NOTFOUND) // it was to be made with the delivery, which then failed
		code = ERR_OK;
	if (code == ERR_OK && !next.found)
		code = strand_run(store->node, &settle.job);
	strand_drop(settle.strand);
	return code;
}
