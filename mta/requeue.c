// SPDX-License-Identifier: Apache-2.0
// Requeue: what the addresses of a queued message lead to, asked anew.
//
// Happy path: the message's open copies are read, those of one address are taken together, the directory is asked once for each
// address, and where its answer is another one a REQUEUE is committed. The fold has the last word: it knows what is being tried,
// what is there under another address, and what ended. Failure: a record that is not committed has changed nothing; the addresses
// before it are done. Crash story: as for any record. What was computed here is not needed again.
#include "requeue.h"

#include "base/clock.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/must.h"
#include "mail/addr.h"
#include "queue_metrics.h"
#include "queue_rows.h"

enum { ANSWER_BYTES_MAX = 64 << 20 }; // of one address: an alias that became a large group

struct requeue {
	struct queue *queue;
	struct arena *arena; // the caller's
	const struct requeue_query *query;
	struct requeue_found *found;
};

static bool is_target(const struct record_recipient *a, const struct record_recipient *b)
{
	return a->target == b->target && str_eq(a->detail, b->detail) &&
	       (a->target == RECORD_TO_MAILBOX ? str_eq(a->mailbox_id, b->mailbox_id) : str_eq(a->key, b->key));
}

static bool leads_to(const struct record_recipients *now, const struct record_recipient *r)
{
	for (size_t i = 0; i < now->n; i++)
		if (is_target(&now->v[i], r))
			return true;
	return false;
}

static bool is_open(const struct item *copies, const struct record_recipient *r)
{
	for (; copies; copies = copies->next)
		if (is_target(&copies->r, r))
			return true;
	return false;
}

// What leaves of the copies, and what comes: as its address asked for reports.
static void compare(struct arena *arena, const struct item *copies, const struct record_recipients *now,
	struct record_requeue *out)
{
	size_t n = 0;
	for (const struct item *item = copies; item; item = item->next)
		n++;
	out->leave.v = arena_must(arena, n * sizeof *out->leave.v);
	out->come.v = arena_must(arena, (now->n + 1) * sizeof *out->come.v);
	for (const struct item *item = copies; item; item = item->next)
		if (!leads_to(now, &item->r) && (item->r.notify & RECORD_SHARED) == 0)
			out->leave.v[out->leave.n++].number = item->r.number;
	for (size_t i = 0; i < now->n; i++) {
		if (is_open(copies, &now->v[i]))
			continue;
		struct record_recipient *r = &out->come.v[out->come.n++];
		*r = now->v[i];
		r->number = (uint32_t)out->come.n;
		r->notify = copies->r.notify & RECORD_NOTIFY_ALL;
		r->orcpt = copies->r.orcpt;
	}
}

static bool leaves(const struct record_requeue *q, uint32_t number)
{
	for (size_t i = 0; i < q->leave.n; i++)
		if (q->leave.v[i].number == number)
			return true;
	return false;
}

static void note_copies(struct requeue *x, const struct item *copies, const struct record_requeue *q)
{
	struct requeue_found *found = x->found;
	size_t n = 0, left = 0;
	for (const struct item *item = copies; item; item = item->next)
		n++;
	found->v = arena_array(x->arena, n, sizeof *found->v);
	for (const struct item *item = copies; item && found->v; item = item->next) {
		bool leaves = left < q->leave.n && q->leave.v[left].number == item->r.number; // both in the copies' order
		left += leaves;
		found->v[found->n++] = (struct requeue_copy){item->r.number, leaves};
	}
}

static enum err_code say(struct requeue *x, const struct item *copies, const struct record_recipients *now, struct arena *arena,
	struct err *err)
{
	struct record record = {
		.type = RECORD_REQUEUE, .requeue = {.guid = x->query->guid, .at_ms = clock_wall_ms(), .who = x->query->who}};
	struct queue_fold_answer answer = {0};
	char id[GUID_SHORT_BYTES];
	compare(arena, copies, now, &record.requeue);
	if (x->query->number)
		note_copies(x, copies, &record.requeue);
	if (record.requeue.leave.n + record.requeue.come.n == 0 ||
		(x->query->number && !leaves(&record.requeue, x->query->number)))
		return ERR_OK;
	enum err_code code = queue_say(x->queue, &record, &answer, err);
	if (code)
		return code;
	log_info(NULL, "recipient expanded anew", log_str("queue_id", guid_short(&x->query->guid, id)),
		log_str("recipient", item_asked(&copies->r)), log_u64("left", record.requeue.leave.n),
		log_u64("came", record.requeue.come.n), log_u64("counted", answer.counted), log_str("who", x->query->who));
	metric_add(&metric_mta_queue_rerouted, (int64_t)answer.counted);
	x->found->copies += answer.counted;
	x->found->left += answer.left;
	return ERR_OK;
}

// The open copies of one address.
static enum err_code of_address(struct requeue *x, const struct item *copies, struct arena *arena, struct err *err)
{
	const struct queue_config *config = &x->queue->config;
	const struct queue_expand_query query = {.address = item_asked(&copies->r), .sender = copies->message->sender,
		.authenticated = copies->message->flags & RECORD_FLAG_LOGIN, .as_at_rcpt = true};
	struct queue_expansion now;
	switch (config->expand(config->arg, arena, &query, &now)) {
	case QUEUE_EXPAND_DONE:
		if (now.to.n > 0)
			return say(x, copies, &now.to, arena, err);
		x->found->nobody++;
		break;
	case QUEUE_EXPAND_LATER:
		x->found->later++;
		break;
	case QUEUE_EXPAND_NOBODY:
		x->found->nobody++;
		break;
	}
	x->found->reply = arena_dup(x->arena, now.reply);
	if (x->query->number)
		note_copies(x, copies, &(struct record_requeue){.leave = {NULL, 0}});
	return ERR_OK;
}

// The items of the first one's address off the list.
static struct item *cut_address(struct item **list)
{
	struct item *first = *list, **tail = &first->next;
	*list = first->next;
	*tail = NULL;
	for (struct item **at = list; *at;) {
		struct item *item = *at;
		if (!item_asked_same(&item->r, &first->r)) {
			at = &item->next;
			continue;
		}
		*at = item->next;
		item->next = NULL;
		*tail = item;
		tail = &item->next;
	}
	return first;
}

static bool has_number(const struct item *copies, uint32_t number)
{
	while (copies && copies->r.number != number)
		copies = copies->next;
	return copies != NULL;
}

static bool is_meant(const struct requeue *x, struct arena *arena, const struct item *copies)
{
	struct addr addr;
	if (x->query->number) {
		if (!has_number(copies, x->query->number))
			return false;
		x->found->open = true;
	}
	return x->query->address.n == 0 ||
	       (addr_parse(arena, item_asked(&copies->r), ADDR_UTF8 | ADDR_LONG_LOCAL, &addr) == ADDR_OK &&
		       str_eq(addr.key, x->query->address));
}

enum err_code requeue_message(struct queue *queue, struct arena *arena, const struct requeue_query *query,
	struct requeue_found *found_out, struct err *err)
{
	struct requeue x = {.queue = queue, .arena = arena, .query = query, .found = found_out};
	struct queue_copies copies = {.guid = query->guid, .held = query->held};
	*found_out = (struct requeue_found){.reply = STR_NONE};
	if (queue->config.expand == NULL)
		return err_set(err, ERR_BUSY, "there is no directory to ask");
	enum err_code code = cluster_log_read(queue->log, queue_rows_copies, &copies, err);
	if (code == ERR_OK && copies.err.code)
		code = err_set(err, copies.err.code, "%s", copies.err.text);
	struct arena *answer = arena_new(ANSWER_BYTES_MAX);
	while (copies.items && code == ERR_OK) {
		struct item *one = cut_address(&copies.items);
		arena_reset(answer);
		if (is_meant(&x, answer, one))
			code = of_address(&x, one, answer, err);
		item_free_list(&one);
		fiber_spent(0, 1);
	}
	item_free_list(&copies.items);
	arena_free(&answer);
	return code;
}
