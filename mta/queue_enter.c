// SPDX-License-Identifier: Apache-2.0
// The door: a message becomes an ENTER record, the log gives its verdict, and a verdict that does not come in time becomes a
// CANCEL.
//
// Happy path: the body is complete and durable where it is a file, the record is encoded, proposed once, committed with its rows;
// 250. Failure: refused before it was proposed (no space, line full, the record too long): nothing of it will ever count, a file
// is removed. Time is over: CANCEL goes into the same line behind the ENTER, so whichever way the ENTER went, it does not count
// afterwards; CANCEL is never refused, it waits for the disk. If the process dies first, the ENTER may stand: the client, told
// 451 or nothing, sends again, as RFC 1047 allows.
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "queue_core.h"

enum {
	LINE_MAX = CLUSTER_LOG_WAITING_MAX / 2,
	ALSO_OF_MESSAGE_MAX = 4000, // struct record_also of all its recipients: the record has an end
	KEY_ARENA_BYTES = 64 << 10,
};

// --- Proposals ---

static void fini_proposal(void *payload)
{
	struct queue_proposal *proposal = payload;
	if (!guid_is_zero(&proposal->spool) && proposal->p.verdict == CLUSTER_REFUSED)
		keeper_unlink(proposal->queue->keeper, &proposal->spool);
	buf_fini(&proposal->record);
	buf_fini(&proposal->body);
}

static bool init_proposal(struct queue_proposal *proposal, struct queue *queue, const struct record *record,
	size_t body_bytes_max)
{
	proposal->queue = queue;
	proposal->p.class = CLUSTER_CLASS_RESULT;
	proposal->p.answer = &proposal->answer;
	buf_init(&proposal->record, RECORD_BYTES_MAX);
	buf_init(&proposal->body, body_bytes_max);
	bool fits = record_encode(record, &proposal->record);
	proposal->p.record = buf_str(&proposal->record);
	return fits;
}

struct call *queue_proposal_call(struct queue *queue, const struct record *record, size_t body_bytes_max)
{
	struct call *call = call_new(sizeof(struct queue_proposal), fini_proposal);
	if (init_proposal(call_payload(call), queue, record, body_bytes_max))
		return call;
	struct call *callee = call;
	call_done(&callee);
	call_drop(&call);
	return NULL;
}

struct queue_proposal *queue_proposal_new(struct queue *queue, const struct record *record, size_t body_bytes_max)
{
	struct queue_proposal *proposal = calloc(1, sizeof *proposal);
	must(proposal != NULL);
	if (init_proposal(proposal, queue, record, body_bytes_max))
		return proposal;
	fini_proposal(proposal);
	free(proposal);
	return NULL;
}

static void submitted_done(struct cluster_proposal *p)
{
	struct queue_proposal *proposal = (struct queue_proposal *)p;
	if (proposal->done)
		proposal->done(proposal, proposal->arg);
	fini_proposal(proposal);
	free(proposal);
}

void queue_proposal_submit(struct queue_proposal *proposal)
{
	proposal->p.body = buf_str(&proposal->body);
	proposal->p.done = submitted_done;
	cluster_log_submit(proposal->queue->log, &proposal->p);
}

enum err_code queue_say(struct queue *queue, const struct record *record, struct queue_fold_answer *answer_out, struct err *err)
{
	struct call *call = queue_proposal_call(queue, record, 0);
	if (call == NULL)
		return err_set(err, ERR_LIMIT, "the record is too long");
	struct queue_proposal *proposal = call_payload(call);
	cluster_log_propose(queue->log, call);
	enum err_code code = call_wait(call, CLOCK_NEVER);
	if (code == ERR_OK && proposal->p.verdict == CLUSTER_REFUSED)
		code = err_set(err, proposal->p.err.code, "%s", proposal->p.err.text);
	else if (code == ERR_OK && answer_out)
		*answer_out = proposal->answer;
	else if (code)
		err_set(err, code, "not committed yet");
	call_drop(&call);
	return code;
}

// --- Recipients ---

static bool same_way(const struct record_recipient *a, const struct record_recipient *b)
{
	return a->target == b->target && str_eq(a->key, b->key) && str_eq(a->mailbox_id, b->mailbox_id) &&
	       str_eq(a->detail, b->detail) && str_eq(a->list, b->list) && str_eq(a->destination, b->destination);
}

static uint64_t hash_way(const struct record_recipient *r)
{
	return str_hash(r->key) * 31 + str_hash(r->detail) * 17 + str_hash(r->list) + (uint64_t)r->target;
}

// --- Two addresses that lead to one copy ---

struct sharing {
	struct arena *arena, *scratch; // scratch: of one address, NULL until there is one
	size_t left;                   // so many may be remembered still
};

static struct str key_of(struct sharing *s, const struct record_recipient *r)
{
	if (s->scratch == NULL)
		s->scratch = arena_new(KEY_ARENA_BYTES);
	arena_reset(s->scratch);
	return arena_dup(s->arena, item_asked_key(s->scratch, r));
}

static bool is_known(struct sharing *s, const struct record_recipient *first, const struct record_recipient *second,
	struct str *key_out)
{
	if (str_eq(item_asked(first), item_asked(second)))
		return true;
	*key_out = key_of(s, second);
	bool known = str_eq(*key_out, key_of(s, first));
	for (size_t i = 0; i < first->also.n && !known; i++)
		known = str_eq(*key_out, first->also.v[i].key);
	return known;
}

// It is remembered for whom the copy is. False over the arena's cap.
static bool add_also(struct sharing *s, struct record_recipient *first, const struct record_recipient *second)
{
	struct str key;
	size_t n = first->also.n;
	if (is_known(s, first, second, &key))
		return true;
	if (n == RECORD_ALSO_MAX || s->left == 0) {
		first->notify |= RECORD_SHARED_MORE;
		return true;
	}
	if ((n & (n - 1)) == 0) { // 0, 1, 2, 4, …
		struct record_also *more = arena_array(s->arena, n ? 2 * n : 1, sizeof *more);
		if (more == NULL)
			return false;
		if (n)
			memcpy(more, first->also.v, n * sizeof *more);
		first->also.v = more;
	}
	s->left--;
	first->notify |= RECORD_SHARED;
	first->also.v[first->also.n++] = (struct record_also){.key = key, .address = item_asked(second),
		.notify = second->notify & RECORD_NOTIFY_ALL, .orcpt = second->orcpt};
	return true;
}

// A copy without repetitions, numbered from 1. NULL over the arena's cap.
static struct record_recipient *number_recipients(struct sharing *sharing, const struct queue_message *m, size_t *n_out)
{
	struct arena *arena = sharing->arena;
	size_t buckets = 16, n = 0;
	while (buckets < 2 * m->n)
		buckets *= 2;
	struct record_recipient *list = arena_array(arena, m->n, sizeof *list);
	uint32_t *table = arena_array(arena, buckets, sizeof *table); // 1 + index into list
	if (list == NULL || table == NULL)
		return NULL;
	for (size_t i = 0; i < m->n; i++) {
		size_t at = hash_way(&m->recipients[i]) & (buckets - 1);
		while (table[at] && !same_way(&list[table[at] - 1], &m->recipients[i]))
			at = (at + 1) & (buckets - 1);
		if (table[at]) {
			if (!add_also(sharing, &list[table[at] - 1], &m->recipients[i]))
				return NULL;
			continue;
		}
		list[n] = m->recipients[i];
		list[n].number = (uint32_t)(n + 1);
		table[at] = (uint32_t)++n;
	}
	*n_out = n;
	return list;
}

// --- Entering ---

static void cancel(struct queue *queue, const struct guid *guid)
{
	struct record record = {.type = RECORD_CANCEL, .cancel = {*guid}};
	queue_proposal_submit(queue_proposal_new(queue, &record, 0));
}

static struct call *prepare(struct queue *queue, const struct queue_message *m, struct spool_contents *c, struct err *err)
{
	struct arena *arena = arena_new(32 << 20);
	struct record record = {.type = RECORD_ENTER,
		.enter = {.guid = c->guid, .root = guid_is_zero(&m->root) ? c->guid : m->root, .kind = RECORD_ACCEPTED,
			.sender = m->sender,
			.flags = (uint8_t)(m->flags | (c->file ? RECORD_FLAG_SPOOL : 0) |
				(c->open_end ? RECORD_FLAG_OPEN_END : 0)),
			.envid = m->envid, .source = m->source,
			.held = m->held, .received_ms = clock_wall_ms(), .body_bytes = c->bytes,
			.digest = str_of((const char *)c->digest, sizeof c->digest)}};
	struct record_recipients *to = &record.enter.recipients;
	struct sharing sharing = {arena, NULL, ALSO_OF_MESSAGE_MAX};
	to->v = number_recipients(&sharing, m, &to->n);
	arena_free(&sharing.scratch);
	struct call *call = to->v ? queue_proposal_call(queue, &record, 0) : NULL;
	arena_free(&arena);
	if (call == NULL) {
		err_set(err, ERR_LIMIT, "%zu recipients are too many for one message", m->n);
		return NULL;
	}
	struct queue_proposal *proposal = call_payload(call);
	proposal->p.class = CLUSTER_CLASS_ENTER;
	proposal->body = c->body;
	proposal->p.body = c->file ? STR_NONE : buf_str(&proposal->body);
	if (c->file)
		proposal->spool = c->guid;
	return call;
}

static enum queue_verdict verdict_of(const struct queue_proposal *proposal, struct err *err)
{
	switch (proposal->p.verdict) {
	case CLUSTER_COMMITTED:
		return QUEUE_COMMITTED;
	case CLUSTER_REFUSED:
		if (err)
			*err = proposal->p.err;
		return QUEUE_REFUSED;
	}
	unreachable("verdict");
}

enum queue_verdict queue_enter(struct queue *queue, const struct queue_message *message, struct spool **spool, struct err *err)
{
	must(message->n > 0);
	struct spool_contents contents;
	if (spool_finish(spool, &contents, err))
		return QUEUE_REFUSED;
	struct call *call = prepare(queue, message, &contents, err);
	if (call == NULL) {
		if (contents.file)
			keeper_unlink(queue->keeper, &contents.guid);
		buf_fini(&contents.body);
		return QUEUE_REFUSED;
	}
	cluster_log_propose(queue->log, call);
	enum err_code code =
		call_wait(call, clock_after_ms(atomic_load_explicit(&queue->commit_timeout_ms, memory_order_relaxed)));
	enum queue_verdict verdict = QUEUE_UNKNOWN;
	if (code == ERR_OK)
		verdict = verdict_of(call_payload(call), err);
	else
		err_set(err, code, "the commit did not come in time");
	call_drop(&call);
	if (verdict == QUEUE_UNKNOWN)
		cancel(queue, &contents.guid);
	return verdict;
}

enum err_code queue_accepts(struct queue *queue, struct err *err)
{
	struct cluster_log_stats stats;
	if (atomic_load_explicit(&queue->stopping, memory_order_relaxed))
		return err_set(err, ERR_CANCELLED, "the queue is stopping");
	cluster_log_stats(queue->log, &stats);
	if (stats.short_of_space)
		return err_set(err, ERR_NOSPACE, "the queue's disk has less free space than the reserve");
	if (stats.waiting > LINE_MAX)
		return err_set(err, ERR_BUSY, "%llu records are in line for the queue's log", (unsigned long long)stats.waiting);
	return ERR_OK;
}
