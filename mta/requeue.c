// SPDX-License-Identifier: Apache-2.0
// Requeue: what the addresses of a queued message lead to, asked anew.
//
// Happy path: the message's open copies are read, with all addresses that they are for; sorted by address; the directory is asked
// for each address, and where its answer is another one this goes into a REQUEUE. The fold has the last word: it knows what is
// being tried, what is there under another address, and what ended.
// Failure: a record that is not committed has changed nothing; those before it are done.
// Crash story: as for any record. What was computed here is not needed again.
#include "requeue.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/must.h"
#include "grow.h"
#include "queue_metrics.h"
#include "queue_rows.h"

enum {
	ANSWER_BYTES_MAX = 64 << 20, // of one address: an alias that became a large group
	ROWS_BYTES_MAX = 256 << 20,  // what is known of a message's copies
	KEY_BYTES_MAX = 64 << 10,
	FIELDS_BYTES = 64,           // of a recipient in a record, beside its strings
};

// That a copy is for an address.
struct link {
	struct str key;                  // of the address
	struct item *copy;
	const struct record_also *also;  // NULL: it is the one in the copy's row
};

// The links of one address, all in a row.
struct address {
	const struct link *links;
	size_t n;
	struct str text, orcpt;
	uint8_t notify;
};

// A REQUEUE that is being put together. Its strings are in the arena, or the copies'.
struct batch {
	struct arena *arena;
	struct record_leave *leave; // owned
	size_t leave_n, leave_size;
	struct record_recipient *come; // owned
	size_t come_n, come_size;
	size_t bytes, addresses;
	struct str first; // of the addresses
};

struct requeue {
	struct queue *queue;
	struct arena *arena; // the caller's
	const struct requeue_query *query;
	struct requeue_found *found;
	struct queue_copies copies;
	struct arena *rows, *answer;
	struct link *links; // owned
	size_t links_n;
	struct requeue_answers *answers;
	struct batch batch;
	struct err *err;
};

// --- The copies, by address ---

static int compare_links(const void *a, const void *b)
{
	const struct link *x = a, *y = b;
	int order = str_cmp(x->key, y->key);
	return order ? order : (x->copy->r.number > y->copy->r.number) - (x->copy->r.number < y->copy->r.number);
}

// Copies and `also` come in the order of numbers.
static enum err_code link_all(struct requeue *x)
{
	size_t size = 0;
	const struct queue_also *also = x->copies.also;
	struct arena *scratch = arena_new(KEY_BYTES_MAX);
	for (struct item *copy = x->copies.items; copy; copy = copy->next) {
		arena_reset(scratch);
		x->links = grow(x->links, x->links_n, &size, sizeof *x->links);
		x->links[x->links_n++] = (struct link){arena_dup(x->rows, item_asked_key(scratch, &copy->r)), copy, NULL};
		while (also && also->number < copy->r.number) // of one that is closed, or held
			also = also->next;
		for (; also && also->number == copy->r.number; also = also->next) {
			x->links = grow(x->links, x->links_n, &size, sizeof *x->links);
			x->links[x->links_n++] = (struct link){also->r.key, copy, &also->r};
		}
	}
	arena_free(&scratch);
	if (arena_overflowed(x->rows))
		return err_set(x->err, ERR_LIMIT, "a message with too many addresses");
	if (x->links_n)
		qsort(x->links, x->links_n, sizeof *x->links, compare_links);
	return ERR_OK;
}

static struct address address_at(const struct requeue *x, size_t at)
{
	const struct link *first = &x->links[at];
	const struct record_recipient *r = &first->copy->r;
	struct address address = {.links = first, .n = 1, .text = first->also ? first->also->address : item_asked(r),
		.orcpt = first->also ? first->also->orcpt : r->orcpt,
		.notify = first->also ? first->also->notify : r->notify & RECORD_NOTIFY_ALL};
	while (at + address.n < x->links_n && str_eq(first[address.n].key, first->key))
		address.n++;
	return address;
}

// --- Copies that the query names ---

static int compare_numbers(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

// NULL: it is none of them.
static enum requeue_fate *fate_of(const struct requeue *x, uint32_t number)
{
	const struct requeue_query *query = x->query;
	const uint32_t *at = query->n ? bsearch(&number, query->numbers, query->n, sizeof number, compare_numbers) : NULL;
	return at ? &x->found->fates[at - query->numbers] : NULL;
}

static void set_fates(const struct requeue *x, const struct address *address, enum requeue_fate fate)
{
	for (size_t i = 0; i < address->n; i++) {
		enum requeue_fate *of = fate_of(x, address->links[i].copy->r.number);
		if (of && *of < fate)
			*of = fate;
	}
}

static bool is_meant(const struct requeue *x, const struct address *address)
{
	bool named = x->query->numbers == NULL;
	for (size_t i = 0; i < address->n && !named; i++)
		named = fate_of(x, address->links[i].copy->r.number) != NULL;
	return named && (x->query->address.n == 0 || str_eq(address->links->key, x->query->address));
}

// --- What leaves, what comes ---

// By target, then by who it is, then by detail.
static int compare_targets(const struct record_recipient *a, const struct record_recipient *b)
{
	bool mailbox = a->target == RECORD_TO_MAILBOX;
	if (a->target != b->target)
		return a->target < b->target ? -1 : 1;
	int order = mailbox ? str_cmp(a->mailbox_id, b->mailbox_id) : str_cmp(a->key, b->key);
	return order ? order : str_cmp(a->detail, b->detail);
}

static int compare_pointers(const void *a, const void *b)
{
	return compare_targets(*(const struct record_recipient *const *)a, *(const struct record_recipient *const *)b);
}

// Sorted pointers, to look one up in; owned by the caller.
struct targets {
	const struct record_recipient **v;
	size_t n;
};

static struct targets sort_targets(struct targets t)
{
	qsort(t.v, t.n, sizeof *t.v, compare_pointers);
	return t;
}

static struct targets targets_now(const struct record_recipients *now)
{
	struct targets t = {calloc(now->n, sizeof *t.v), now->n};
	must(t.v != NULL);
	for (size_t i = 0; i < now->n; i++)
		t.v[i] = &now->v[i];
	return sort_targets(t);
}

static struct targets targets_before(const struct address *address)
{
	struct targets t = {calloc(address->n, sizeof *t.v), address->n};
	must(t.v != NULL);
	for (size_t i = 0; i < address->n; i++)
		t.v[i] = &address->links[i].copy->r;
	return sort_targets(t);
}

static bool have(const struct targets *t, const struct record_recipient *r)
{
	return bsearch(&r, t->v, t->n, sizeof *t->v, compare_pointers) != NULL;
}

static bool leaves(const struct link *link, const struct targets *now)
{
	bool stays_for_others = link->also == NULL && (link->copy->r.notify & RECORD_SHARED_MORE);
	return !stays_for_others && !have(now, &link->copy->r);
}

static void add_leave(struct batch *b, const struct link *link)
{
	b->leave = grow(b->leave, b->leave_n, &b->leave_size, sizeof *b->leave);
	b->leave[b->leave_n++] = (struct record_leave){link->copy->r.number, link->key};
	b->bytes += FIELDS_BYTES + link->key.n;
}

static void add_come(struct batch *b, const struct address *address, const struct record_recipient *now)
{
	b->come = grow(b->come, b->come_n, &b->come_size, sizeof *b->come);
	struct record_recipient *r = &b->come[b->come_n++];
	*r = item_recipient_dup(b->arena, now);
	r->number = (uint32_t)b->come_n;
	r->notify = address->notify;
	r->orcpt = address->orcpt;
	b->bytes += FIELDS_BYTES + r->address.n + r->key.n + r->original.n + r->orcpt.n + r->destination.n + r->mailbox_id.n +
		    r->detail.n + r->list.n + r->stands_for.n;
}

// Those that the query names, if any of them leaves.
static bool would_leave(const struct requeue *x, const struct address *address, const struct targets *now)
{
	bool any = x->query->numbers == NULL;
	for (size_t i = 0; i < address->n && !any; i++)
		any = leaves(&address->links[i], now) && fate_of(x, address->links[i].copy->r.number);
	return any;
}

static void compare(struct requeue *x, const struct address *address, const struct record_recipients *to)
{
	struct batch *b = &x->batch;
	struct targets now = targets_now(to), before = targets_before(address);
	size_t leave_n = b->leave_n, come_n = b->come_n;
	bool wanted = would_leave(x, address, &now);
	for (size_t i = 0; i < address->n && wanted; i++) {
		if (!leaves(&address->links[i], &now))
			continue;
		enum requeue_fate *fate = fate_of(x, address->links[i].copy->r.number);
		add_leave(b, &address->links[i]);
		if (fate && address->links[i].also == NULL)
			*fate = REQUEUE_CHANGED;
	}
	for (size_t i = 0; i < to->n && wanted; i++)
		if (!have(&before, &to->v[i]))
			add_come(b, address, &to->v[i]);
	if (b->leave_n > leave_n || b->come_n > come_n)
		b->first = b->addresses++ ? b->first : address->text;
	free(now.v);
	free(before.v);
}

static enum err_code say(struct requeue *x)
{
	struct batch *b = &x->batch;
	struct record record = {.type = RECORD_REQUEUE,
		.requeue = {.guid = x->query->guid, .at_ms = clock_wall_ms(), .who = x->query->who,
			.leave = {b->leave, b->leave_n}, .come = {b->come, b->come_n}}};
	struct queue_fold_answer answer = {0};
	char id[GUID_SHORT_BYTES];
	enum err_code code = ERR_OK;
	if (arena_overflowed(b->arena))
		code = err_set(x->err, ERR_LIMIT, "%.*s leads to too many", STR_FMT(b->first));
	if (code == ERR_OK && b->addresses)
		code = queue_say(x->queue, &record, &answer, x->err);
	if (code || b->addresses == 0)
		return code;
	log_info(NULL, "recipients expanded anew", log_str("queue_id", guid_short(&x->query->guid, id)), log_str("recipient", b->first),
		log_u64("addresses", b->addresses), log_u64("left", answer.left), log_u64("came", answer.counted - answer.left),
		log_str("who", x->query->who));
	metric_add(&metric_mta_queue_rerouted, (int64_t)answer.counted);
	x->found->copies += answer.counted;
	x->found->left += answer.left;
	b->leave_n = b->come_n = b->bytes = b->addresses = 0;
	arena_reset(b->arena);
	return ERR_OK;
}

// --- One address ---

static void left_alone(struct requeue *x, const struct address *address, size_t *counter, enum requeue_fate fate,
	struct str reply)
{
	++*counter;
	set_fates(x, address, fate);
	x->found->reply = arena_dup(x->arena, reply);
}

static enum err_code of_address(struct requeue *x, const struct address *address)
{
	const struct item_message *message = x->copies.items->message;
	const struct queue_expand_query query = {.address = address->text, .sender = message->sender,
		.authenticated = message->flags & RECORD_FLAG_LOGIN, .as_at_rcpt = true};
	struct queue_expansion now;
	arena_reset(x->answer);
	switch (requeue_answers_ask(x->answers, x->answer, address->links->key, &query, &now)) {
	case QUEUE_EXPAND_DONE:
		if (now.to.n > 0)
			compare(x, address, &now.to);
		else
			left_alone(x, address, &x->found->nobody, REQUEUE_STAYS, now.reply);
		break;
	case QUEUE_EXPAND_LATER:
		left_alone(x, address, &x->found->later, REQUEUE_LATER, now.reply);
		break;
	case QUEUE_EXPAND_NOBODY:
		left_alone(x, address, &x->found->nobody, REQUEUE_STAYS, now.reply);
		break;
	}
	return x->batch.bytes > REQUEUE_RECORD_BYTES ? say(x) : ERR_OK;
}

static enum err_code of_all(struct requeue *x)
{
	enum err_code code = link_all(x);
	for (struct item *copy = x->copies.items; copy; copy = copy->next) {
		enum requeue_fate *fate = fate_of(x, copy->r.number);
		if (fate)
			*fate = REQUEUE_STAYS;
	}
	for (size_t at = 0; at < x->links_n && code == ERR_OK;) {
		const struct address address = address_at(x, at);
		if (is_meant(x, &address))
			code = of_address(x, &address);
		at += address.n;
		fiber_spent(0, 1);
	}
	return code ? code : say(x);
}

static enum err_code read_copies(struct requeue *x)
{
	x->copies = (struct queue_copies){.guid = x->query->guid, .held = x->query->held, .arena = x->rows};
	enum err_code code = cluster_log_read(x->queue->log, queue_rows_copies, &x->copies, x->err);
	return code == ERR_OK && x->copies.err.code ? err_set(x->err, x->copies.err.code, "%s", x->copies.err.text) : code;
}

enum err_code requeue_message(struct queue *queue, struct arena *arena, const struct requeue_query *query,
	struct requeue_found *found_out, struct err *err)
{
	struct requeue x = {.queue = queue, .arena = arena, .query = query, .found = found_out, .err = err};
	struct requeue_answers *own = NULL;
	*found_out = (struct requeue_found){.reply = STR_NONE};
	found_out->fates = arena_array(arena, query->n + 1, sizeof *found_out->fates);
	if (queue->config.expand == NULL)
		return err_set(err, ERR_BUSY, "there is no directory to ask");
	if (found_out->fates == NULL)
		return err_set(err, ERR_LIMIT, "too many copies at once");
	x.rows = arena_new(ROWS_BYTES_MAX);
	x.answer = arena_new(ANSWER_BYTES_MAX);
	x.batch.arena = arena_new(ANSWER_BYTES_MAX);
	x.answers = query->answers ? query->answers : (own = requeue_answers_new(queue));
	enum err_code code = read_copies(&x);
	if (code == ERR_OK && x.copies.items)
		code = of_all(&x);
	item_free_list(&x.copies.items);
	requeue_answers_free(&own);
	free(x.links);
	free(x.batch.leave);
	free(x.batch.come);
	arena_free(&x.batch.arena);
	arena_free(&x.answer);
	arena_free(&x.rows);
	return code;
}
