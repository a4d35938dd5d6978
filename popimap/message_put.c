// SPDX-License-Identifier: Apache-2.0
// Messages into folders: COPY, MOVE and APPEND of a session, and deliveries.
//
// A delivery: the key is looked up; known, it is a success, whatever state the mailbox is in. Else the body with its cache and
// thread, the message in INBOX and the key are added in one transaction, which may hold other deliveries too; the caller's 250
// follows the commit. Two deliveries with one key at once are two jobs of one strand, so the second finds the key of the first,
// committed or in the same transaction. If that transaction fails, both fail. What the delivery sends is in the outbox with that
// commit (outbox.h).
#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"
#include "mailbox_private.h"
#include "outbox.h"

// --- COPY and MOVE ---

struct copy_job {
	struct job job;
	uint32_t folder;
	const uint32_t *uids;
	size_t n;
	struct str to;
	bool move;
	struct arena *arena;
	struct copy_result result;
	bool to_missing;
	// While it runs.
	struct message_row *rows; // those that are still there
	size_t rows_n;
};

static enum err_code read_sources(struct copy_job *copy, struct strand *strand)
{
	copy->rows = arena_array(copy->arena, copy->n, sizeof *copy->rows);
	if (copy->rows == NULL)
		return err_set(copy->job.err, ERR_LIMIT, "%zu messages are too many for one command", copy->n);
	enum err_code code = message_rows_read(strand, copy->folder, copy->uids, copy->n, copy->rows, copy->job.err);
	for (size_t i = 0; i < copy->n && code == ERR_OK; i++)
		if (copy->rows[i].uid)
			copy->rows[copy->rows_n++] = copy->rows[i];
	return code;
}

// Keyword bits are each folder's own: bit k of the source becomes target[k].
static enum err_code map_keywords(struct copy_job *copy, struct strand *strand, uint32_t to, uint64_t target[FLAG_KEYWORDS_MAX])
{
	uint64_t used = 0;
	for (size_t i = 0; i < copy->rows_n; i++)
		used |= copy->rows[i].flags >> FLAG_KEYWORD_0;
	if (used == 0)
		return ERR_OK;
	struct folder_keywords *keywords = arena_alloc(copy->arena, sizeof *keywords);
	if (keywords == NULL)
		return err_set(copy->job.err, ERR_LIMIT, "too much for one command");
	enum err_code code = folder_keywords_read(strand, copy->folder, copy->arena, keywords, copy->job.err);
	for (size_t k = 0; k < keywords->n && code == ERR_OK; k++) {
		struct flag_names one = {.keywords = &keywords->name[k], .n = 1};
		if (used >> k & 1)
			code = folder_keyword_bits(strand, to, &one, true, &target[k], copy->job.err);
	}
	return code;
}

static uint64_t translate(uint64_t flags, const uint64_t target[FLAG_KEYWORDS_MAX])
{
	uint64_t out = flags & (FLAG_SYSTEM | FLAG_UNENDED);
	for (size_t k = 0; k < FLAG_KEYWORDS_MAX; k++)
		if (flags >> (FLAG_KEYWORD_0 + k) & 1)
			out |= target[k];
	return out;
}

static enum err_code copy_rows(struct copy_job *copy, struct strand *strand, const struct folder_row *to)
{
	uint64_t target[FLAG_KEYWORDS_MAX] = {0};
	struct folder_delta there = {0}, here = {0};
	struct uid_buf gone = {0};
	struct err *err = copy->job.err;
	uint32_t *from_uids = arena_array(copy->arena, copy->rows_n, sizeof *from_uids);
	uint32_t *to_uids = arena_array(copy->arena, copy->rows_n, sizeof *to_uids);
	if (from_uids == NULL || to_uids == NULL)
		return err_set(err, ERR_LIMIT, "%zu messages are too many for one command", copy->rows_n);
	enum err_code code = map_keywords(copy, strand, to->id, target);
	for (size_t i = 0; i < copy->rows_n && code == ERR_OK; i++) {
		const struct message_row *source = &copy->rows[i];
		struct message_row row = *source;
		row.flags = translate(source->flags, target);
		code = message_row_add(strand, to, &there, &row, err);
		if (code == ERR_OK)
			code = body_count(strand, row.body, 1, err);
		from_uids[i] = source->uid;
		to_uids[i] = row.uid;
	}
	if (code == ERR_OK)
		code = folder_row_apply(strand, to->id, &there, err);
	if (code == ERR_OK && copy->move)
		code = message_rows_expunge(strand, copy->folder, from_uids, copy->rows_n, 0, &here, &gone, err);
	if (code == ERR_OK && copy->move)
		code = folder_row_apply(strand, copy->folder, &here, err);
	uid_buf_fini(&gone);
	copy->result = (struct copy_result){
		.uidvalidity = to->uidvalidity, .from = {from_uids, copy->rows_n}, .to = {to_uids, copy->rows_n}};
	return code;
}

static enum job_step copy_run(struct job *job, struct strand *strand)
{
	struct copy_job *copy = (struct copy_job *)job;
	struct folder_row from, to;
	enum err_code code = folder_row_by_id(strand, copy->folder, &from, job->err);
	if (code)
		return job_end(job, code);
	code = folder_row_selectable(strand, copy->to, &to, job->err);
	copy->to_missing = code == ERR_NOTFOUND;
	if (code == ERR_OK)
		code = read_sources(copy, strand);
	copy->result.uidvalidity = to.uidvalidity;
	if (code == ERR_OK && copy->rows_n)
		code = copy_rows(copy, strand, &to);
	return job_end(job, code);
}

enum err_code message_copy(struct mailbox *mailbox, uint32_t folder, const uint32_t *uids, size_t n,
	const struct mailbox_name *to, bool move, struct arena *arena, struct copy_result *result_out, bool *to_missing_out,
	struct err *err)
{
	struct copy_job copy = {.folder = folder, .uids = uids, .n = n, .to = to->path, .move = move, .arena = arena};
	enum err_code code = mailbox_run(mailbox, &copy.job, JOB_WRITE, copy_run, err);
	*to_missing_out = code == ERR_NOTFOUND && copy.to_missing;
	if (code == ERR_OK)
		*result_out = copy.result;
	return code;
}

enum { MOVE_BYTES_EACH = sizeof(struct message_row) + 2 * sizeof(uint32_t) + 16, MOVE_BYTES = 1 << 20 };

enum err_code message_move_all(struct strand *strand, uint32_t from, uint32_t to, const uint32_t *uids, size_t n, struct err *err)
{
	struct folder_row target;
	struct copy_job copy = {.job.err = err, .folder = from, .uids = uids, .n = n, .move = true};
	copy.arena = arena_new(MOVE_BYTES + n * MOVE_BYTES_EACH);
	enum err_code code = folder_row_by_id(strand, to, &target, err);
	if (code == ERR_OK)
		code = read_sources(&copy, strand);
	if (code == ERR_OK)
		code = copy_rows(&copy, strand, &target);
	arena_free(&copy.arena);
	return code;
}

// --- APPEND ---

struct append_job {
	struct job job;
	struct str to;
	const struct append *appends;
	size_t n;
	struct store_quota quota;
	struct arena *arena;
	uint32_t uidvalidity;
	uint32_t *uids;
	// While it runs, for undoing.
	struct body_new *bodies;
	size_t bodies_n;
};

static enum err_code append_one(struct append_job *append, struct strand *strand, const struct folder_row *to,
	struct folder_delta *delta, size_t i)
{
	const struct append *one = &append->appends[i];
	struct body_new *body = &append->bodies[i];
	struct err *err = append->job.err;
	enum err_code code = body_add(strand, one->body, STR_NONE, body, err);
	append->bodies_n = i + 1;
	struct message_row row = {.body = body->id, .bytes = body->bytes, .received = one->received};
	if (code == ERR_OK)
		code = folder_keyword_bits(strand, to->id, &one->flags, true, &row.flags, err);
	row.flags |= incoming_flags(one->body);
	if (code == ERR_OK)
		code = message_row_add(strand, to, delta, &row, err);
	append->uids[i] = row.uid;
	return code;
}

static enum job_step append_run(struct job *job, struct strand *strand)
{
	struct append_job *append = (struct append_job *)job;
	struct folder_row to;
	struct folder_delta delta = {0};
	append->uids = arena_array(append->arena, append->n, sizeof *append->uids);
	append->bodies = arena_array(append->arena, append->n, sizeof *append->bodies);
	if (append->uids == NULL || append->bodies == NULL)
		return job_fail(job, ERR_LIMIT, "%zu messages are too many for one command", append->n);
	uint64_t bytes = 0;
	for (size_t i = 0; i < append->n; i++)
		bytes += incoming_bytes(append->appends[i].body);
	enum err_code code = folder_row_selectable(strand, append->to, &to, job->err);
	if (code == ERR_OK)
		code = mailbox_has_room(strand, &append->quota, bytes, append->n, job->err);
	for (size_t i = 0; i < append->n && code == ERR_OK; i++)
		code = append_one(append, strand, &to, &delta, i);
	if (code == ERR_OK)
		code = folder_row_apply(strand, to.id, &delta, job->err);
	append->uidvalidity = to.uidvalidity;
	return job_end(job, code);
}

static void append_failed(struct job *job, struct strand *strand)
{
	const struct append_job *append = (const struct append_job *)job;
	for (size_t i = 0; i < append->bodies_n; i++)
		body_undo(strand, &append->bodies[i]);
}

enum err_code message_append(struct mailbox *mailbox, const struct mailbox_name *to, const struct append *appends, size_t n,
	struct arena *arena, uint32_t *uidvalidity_out, struct uid_list *uids_out, struct err *err)
{
	must(n > 0);
	for (size_t i = 0; i < n; i++) {
		enum err_code code = incoming_seal(appends[i].body, err);
		if (code)
			return code;
	}
	struct append_job append = {
		.job.failed = append_failed, .to = to->path, .appends = appends, .n = n, .quota = mailbox->quota, .arena = arena};
	enum err_code code = mailbox_run(mailbox, &append.job, JOB_WRITE, append_run, err);
	if (code == ERR_OK) {
		*uidvalidity_out = append.uidvalidity;
		*uids_out = (struct uid_list){.p = append.uids, .n = n};
	}
	return code;
}

// --- Deliveries ---

struct deliver_job {
	struct job job;
	struct delivery *delivery;
	struct strand *strand;
	struct body_new body;
};

enum { KEY_VALUE_BYTES = 3 * 8 };

static struct mail_key key_of(const struct delivery *delivery)
{
	struct mail_key key = mail_key(MAIL_ROW_DELIVERED);
	mail_key_add(&key, guid_bytes(&delivery->root));
	if (delivery->detail.n || delivery->list.n) {
		struct guid digest = guid_derive(&delivery->root, delivery->detail, delivery->list);
		mail_key_add(&key, guid_bytes(&digest));
	}
	return key;
}

// When it was, which message, and the change_seq.
static enum err_code read_key(struct str value, int64_t *id_out, struct err *err)
{
	struct mail_reader reader = {.rest = value};
	mail_read_u64(&reader);
	*id_out = (int64_t)mail_read_u64(&reader);
	mail_read_u64(&reader);
	return mail_read_end(&reader, "a delivery key", err);
}

static enum err_code look_up_key(struct strand *strand, struct delivery *delivery, struct err *err)
{
	struct mail_key key = key_of(delivery);
	struct buf value;
	int64_t id = 0;
	bool found = false;
	buf_init(&value, KEY_VALUE_BYTES);
	enum err_code code = mail_row_get(strand, &key, &value, &delivery->known, err);
	if (code == ERR_OK && delivery->known)
		code = read_key(buf_str(&value), &id, err);
	buf_fini(&value);
	delivery->uid = (uint32_t)id;
	struct message_row row;
	struct body body;
	if (code == ERR_OK && delivery->known)
		code = message_row_find(strand, (uint32_t)(id >> 32), delivery->uid, &row, &found, err);
	if (code == ERR_OK && found)
		code = body_find(strand, row.body, &body, err);
	delivery->emailid = code == ERR_OK && found ? body.guid : (struct guid){0};
	return code;
}

static enum err_code add_key(struct strand *strand, const struct delivery *delivery, uint32_t folder, struct err *err)
{
	struct mail_key key = key_of(delivery);
	struct buf value;
	buf_init(&value, KEY_VALUE_BYTES);
	mail_put_u64(&value, (uint64_t)clock_wall_ms());
	mail_put_u64(&value, (uint64_t)message_row_id(folder, delivery->uid));
	mail_put_u64(&value, strand_seq(strand));
	enum err_code code = mail_row_set(strand, &key, buf_str(&value), err);
	buf_fini(&value);
	return code;
}

static enum err_code store_one(struct deliver_job *deliver, struct strand *strand, struct err *err)
{
	struct delivery *delivery = deliver->delivery;
	struct folder_row inbox;
	struct folder_delta delta = {0};
	enum err_code code = folder_row_selectable(strand, STR("INBOX"), &inbox, err);
	if (code == ERR_OK)
		code = body_add(strand, delivery->body, delivery->prefix, &deliver->body, err);
	struct message_row row = {.flags = incoming_flags(delivery->body),
		.body = deliver->body.id,
		.bytes = deliver->body.bytes,
		.received = delivery->received};
	if (code == ERR_OK)
		code = message_row_add(strand, &inbox, &delta, &row, err);
	if (code == ERR_OK)
		code = folder_row_apply(strand, inbox.id, &delta, err);
	delivery->uid = row.uid;
	delivery->emailid = deliver->body.guid;
	if (code == ERR_OK && delivery->sends)
		code = outbox_add(strand, delivery->sends, err);
	return code ? code : add_key(strand, delivery, inbox.id, err);
}

static enum job_step deliver_run(struct job *job, struct strand *strand)
{
	struct deliver_job *deliver = (struct deliver_job *)job;
	enum err_code code = look_up_key(strand, deliver->delivery, job->err);
	if (code || deliver->delivery->known)
		return job_end(job, code);
	if (strand->moved)
		return job_fail(job, ERR_BUSY, "this mailbox has moved to another host");
	const struct delivery *delivery = deliver->delivery;
	code = mailbox_has_room(strand, &delivery->quota, incoming_bytes(delivery->body) + delivery->prefix.n, 1, job->err);
	return job_end(job, code ? code : store_one(deliver, strand, job->err));
}

static void deliver_failed(struct job *job, struct strand *strand)
{
	struct deliver_job *deliver = (struct deliver_job *)job;
	deliver->delivery->known = false;
	if (deliver->delivery->sends && deliver->delivery->sends->fate == OUTBOX_ADDED)
		deliver->delivery->sends->fate = OUTBOX_NONE;
	body_undo(strand, &deliver->body);
}

static struct deliver_job deliver_begin(struct store *store, struct delivery *delivery)
{
	return (struct deliver_job){
		.job = {.kind = JOB_WRITE, .run = deliver_run, .failed = deliver_failed, .err = &delivery->err,
		.when_moved = true},
		.delivery = delivery,
		.strand = strand_get(store, &delivery->account),
	};
}

static bool is_valid(const struct delivery *delivery, struct err *err)
{
	if (!guid_is_zero(&delivery->account) && !guid_is_zero(&delivery->root))
		return true;
	err_set(err, ERR_NOTFOUND, "a delivery without a mailbox id or a guid");
	return false;
}

void store_deliver(struct store *store, struct delivery *deliveries, size_t n)
{
	struct deliver_job *jobs = calloc(n ? n : 1, sizeof *jobs);
	must(jobs != NULL);
	outbox_begin(store, deliveries, n);
	for (size_t i = 0; i < n; i++) {
		struct delivery *delivery = &deliveries[i];
		delivery->known = false;
		delivery->uid = 0;
		delivery->code =
			is_valid(delivery, &delivery->err) ? incoming_seal(delivery->body, &delivery->err) : ERR_NOTFOUND;
		if (delivery->code)
			continue;
		jobs[i] = deliver_begin(store, delivery);
		strand_submit(jobs[i].strand, &jobs[i].job);
	}
	for (size_t i = 0; i < n; i++) {
		if (jobs[i].strand == NULL)
			continue;
		strand_await(&jobs[i].job);
		deliveries[i].code = jobs[i].job.code;
		if (deliveries[i].code == ERR_NOTFOUND && deliveries[i].home)
			deliveries[i].code = store_run_making(jobs[i].strand, deliveries[i].home, &jobs[i].job);
		strand_drop(jobs[i].strand);
	}
	free(jobs);
	outbox_end(store, deliveries, n);
	store_count_deliveries(store, deliveries, n);
}

struct knows_job {
	struct job job;
	struct delivery *delivery; // its key
};

static enum job_step knows_run(struct job *job, struct strand *strand)
{
	return job_end(job, look_up_key(strand, ((struct knows_job *)job)->delivery, job->err));
}

bool store_knows(struct store *store, const struct guid *account, const struct guid *root, struct str detail, struct str list)
{
	struct delivery *delivery = calloc(1, sizeof *delivery); // with its error text too large for a fiber's stack
	must(delivery != NULL);
	*delivery = (struct delivery){.account = *account, .root = *root, .detail = detail, .list = list};
	struct knows_job knows = {.job = {.kind = JOB_READ, .run = knows_run, .err = &delivery->err}, .delivery = delivery};
	bool known = false;
	if (is_valid(delivery, &delivery->err)) {
		struct strand *strand = strand_get(store, account);
		known = strand_run(strand, &knows.job) == ERR_OK && delivery->known;
		strand_drop(strand);
	}
	free(delivery);
	return known;
}
