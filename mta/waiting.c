// SPDX-License-Identifier: Apache-2.0
// What waits, decided again before it is tried.
//
// Happy path: nothing changed since it was decided last, so nothing is asked; or the answer is the same. Changed: one ROUTE
// record for up to ROUTES_MAX recipients, whose commit is waited for, so that the next page of rows has them under their new
// destination. Failure: a directory that cannot say leaves the way that is recorded, which may be good; a route that is broken
// now makes its mail wait. Crash story: without the ROUTE the row is as it was and is decided again after the start; what is
// remembered here is not needed.
#include "waiting.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/must.h"
#include "queue_core.h"
#include "queue_metrics.h"
#include "requeue.h"

enum {
	ROUTES_MAX = 100,             // of one record: far below RECORD_BYTES_MAX whatever their strings
	ARENA_BYTES = 64 << 20,       // of a page
	QUESTION_BYTES = 64 << 20,    // of one recipient: an alias that became a large group
};

struct remembered {
	uint64_t who, world; // world 0: nobody
};

struct waiting {
	struct queue *queue;
	struct remembered seen[WAITING_REMEMBERED]; // by who, the last one that came
};

struct waiting *waiting_new(struct queue *queue)
{
	struct waiting *w = calloc(1, sizeof *w);
	must(w != NULL);
	w->queue = queue;
	return w;
}

void waiting_free(struct waiting **waiting)
{
	free(*waiting);
	*waiting = NULL;
}

// Guids are random; two recipients that look the same by 64 bits of them are nobody's worry for longer than one version.
static uint64_t who_of(const struct item *item)
{
	uint64_t who;
	memcpy(&who, item->message->guid.b + sizeof item->message->guid.b - sizeof who, sizeof who);
	return who ^ (uint64_t)item->r.number * UINT64_C(0x9e3779b97f4a7c15);
}

static struct remembered *slot_of(struct waiting *w, uint64_t who)
{
	return &w->seen[(who ^ who >> 32) % WAITING_REMEMBERED];
}

static bool is_known(struct waiting *w, const struct item *item, uint64_t world)
{
	uint64_t who = who_of(item);
	const struct remembered *slot = slot_of(w, who);
	return world != 0 && slot->world == world && slot->who == who;
}

static void remember(struct waiting *w, const struct item *item, uint64_t world)
{
	uint64_t who = who_of(item);
	*slot_of(w, who) = (struct remembered){who, world};
}

// --- A page ---

// Nobody is there any more: what an alias or a forward led to may lead elsewhere by now.
struct orphan {
	struct item *item; // owned
	struct str reply;  // of the way that it has no more
};

struct page {
	struct waiting *w;
	struct orphan *orphans; // in the arena, as many as there are rows
	size_t orphans_n;
	struct arena *arena; // answers that are kept
	struct item *moved;  // whose ROUTE is being written
	struct record_one_route routes[ROUTES_MAX];
	size_t n;
	struct waiting_settled *settled;
	uint64_t world;
	enum err_code code;
	struct err *err;
};

static void say_routes(struct page *p)
{
	struct record record = {.type = RECORD_ROUTE, .route = {.at_ms = clock_wall_ms(), .routes = {p->routes, p->n}}};
	struct queue_fold_answer answer = {0};
	if (p->n > 0 && p->code == ERR_OK)
		p->code = queue_say(p->w->queue, &record, &answer, p->err);
	if (p->code == ERR_OK)
		metric_add(&metric_mta_queue_rerouted, (int64_t)answer.counted);
	for (const struct item *item = p->moved; item && p->code == ERR_OK; item = item->next)
		remember(p->w, item, p->world);
	item_free_list(&p->moved);
	p->n = 0;
}

static void log_route(const struct item *item, const struct record_one_route *r)
{
	char id[GUID_SHORT_BYTES];
	log_info(NULL, "recipient goes another way", log_str("queue_id", guid_short(&item->message->guid, id)),
		log_str("recipient", item->r.address), log_str("destination", item->r.destination),
		log_str("now", r->destination), log_str("address", r->address));
}

static void add_route(struct page *p, struct item *item, const struct record_recipient *to)
{
	struct arena *a = p->arena;
	struct record_one_route *r = &p->routes[p->n++];
	*r = (struct record_one_route){.guid = item->message->guid, .number = item->r.number, .target = to->target,
		.address = arena_dup(a, to->address),
		.key = arena_dup(a, to->key), .original = arena_dup(a, to->original),
		.destination = arena_dup(a, to->destination),
		.mailbox_id = arena_dup(a, to->mailbox_id), .detail = arena_dup(a, to->detail),
		.stands_for = arena_dup(a, to->stands_for)};
	log_route(item, r);
	item->next = p->moved;
	p->moved = item;
	if (p->n == ROUTES_MAX)
		say_routes(p);
}

static void settle(struct page *p, struct item *item, enum record_outcome outcome, struct str reply)
{
	struct waiting_settled *s = p->settled;
	s->v[s->n++] = (struct deliver_result){.item = item, .outcome = outcome, .reply = arena_dup(p->arena, reply)};
}

// An alias or a forward led there. What a list was expanded into stays.
static bool may_lead_elsewhere(const struct item *item)
{
	bool by_another = item->r.original.n > 0 || (item->r.notify & RECORD_SHARED);
	return by_another && item->r.list.n == 0 && item->message->kind != RECORD_LIST;
}

// Nobody need be told of a copy whose address leads elsewhere by now; all of a page are asked about together (settle_orphans).
static void nobody(struct page *p, struct item *item, struct str reply)
{
	if (may_lead_elsewhere(item))
		p->orphans[p->orphans_n++] = (struct orphan){item, arena_dup(p->arena, reply)};
	else
		settle(p, item, RECORD_BOUNCED, reply);
}

// True: the item stays the caller's. Else it is passed on.
static bool goes_on(struct page *p, struct item *item, struct arena *arena)
{
	const struct queue_config *config = &p->w->queue->config;
	const struct queue_route_query query = {.recipient = &item->r, .sender = item->message->sender};
	struct queue_route route;
	switch (config->route(config->arg, arena, &query, &route)) {
	case QUEUE_ROUTE_SAME:
		remember(p->w, item, p->world);
		return true;
	case QUEUE_ROUTE_OTHER:
		add_route(p, item, &route.to);
		return false;
	case QUEUE_ROUTE_LATER:
		settle(p, item, RECORD_DEFERRED, route.reply);
		return false;
	case QUEUE_ROUTE_NOBODY:
		nobody(p, item, route.reply);
		return false;
	}
	unreachable("answer about a way");
}

// --- Who is gone ---

static int compare_orphans(const void *a, const void *b)
{
	const struct orphan *x = a, *y = b;
	int order = memcmp(&x->item->message->guid, &y->item->message->guid, sizeof(struct guid));
	uint32_t n = x->item->r.number, m = y->item->r.number;
	return order ? order : (n > m) - (n < m);
}

// One that is not open any more since the page was read would be in the report of one that is.
static void settle_orphan(struct page *p, struct orphan *orphan, enum requeue_fate fate, struct str later)
{
	switch (fate) {
	case REQUEUE_CLOSED:
	case REQUEUE_CHANGED:
		item_free(&orphan->item);
		return;
	case REQUEUE_STAYS:
		settle(p, orphan->item, RECORD_BOUNCED, orphan->reply);
		return;
	case REQUEUE_LATER:
		settle(p, orphan->item, RECORD_DEFERRED, later);
		return;
	}
	unreachable("requeue_fate");
}

// The first n: all of one message.
static void settle_message(struct page *p, struct orphan *orphans, size_t n, struct requeue_answers *answers)
{
	struct arena *arena = arena_new(QUESTION_BYTES);
	uint32_t *numbers = arena_must(arena, n * sizeof *numbers);
	for (size_t i = 0; i < n; i++)
		numbers[i] = orphans[i].item->r.number;
	const struct requeue_query query = {.guid = orphans->item->message->guid, .numbers = numbers, .n = n,
		.who = STR("the queue"), .answers = answers};
	struct requeue_found found;
	struct err err;
	enum err_code code = requeue_message(p->w->queue, arena, &query, &found, &err);
	if (code && p->code == ERR_OK)
		p->code = err_set(p->err, code, "%s", err.text);
	for (size_t i = 0; i < n; i++)
		settle_orphan(p, &orphans[i], code ? REQUEUE_CLOSED : found.fates[i], found.reply);
	arena_free(&arena);
}

static void settle_orphans(struct page *p)
{
	if (p->orphans_n == 0)
		return;
	struct requeue_answers *answers = requeue_answers_new(p->w->queue);
	qsort(p->orphans, p->orphans_n, sizeof *p->orphans, compare_orphans);
	for (size_t at = 0, n; at < p->orphans_n; at += n) {
		const struct guid *guid = &p->orphans[at].item->message->guid;
		for (n = 1; at + n < p->orphans_n && guid_eq(&p->orphans[at + n].item->message->guid, guid);)
			n++;
		settle_message(p, p->orphans + at, n, answers);
	}
	requeue_answers_free(&answers);
}

// A list is asked about when it is expanded.
static bool is_asked_about(const struct item *item)
{
	return item->r.target != RECORD_TO_EXPAND;
}

static size_t count(const struct item *list)
{
	size_t n = 0;
	for (; list; list = list->next)
		n++;
	return n;
}

enum err_code waiting_decide(struct waiting *w, struct item **list, struct waiting_settled *settled_out, struct err *err)
{
	struct queue *queue = w->queue;
	size_t n = count(*list);
	*settled_out = (struct waiting_settled){NULL, 0, NULL};
	if (queue->config.route == NULL || n == 0)
		return ERR_OK;
	*settled_out = (struct waiting_settled){.arena = arena_new(ARENA_BYTES)};
	settled_out->v = arena_must(settled_out->arena, n * sizeof *settled_out->v);
	struct page *p = calloc(1, sizeof *p);
	must(p != NULL);
	*p = (struct page){.w = w, .arena = settled_out->arena, .settled = settled_out, .err = err};
	p->orphans = arena_must(p->arena, n * sizeof *p->orphans);
	p->world = queue->config.world(queue->config.arg); // of before the first answer: what changes meanwhile is asked again
	struct arena *question = arena_new(QUESTION_BYTES);
	for (struct item **at = list; *at;) {
		struct item *item = *at;
		if (!is_asked_about(item) || is_known(w, item, p->world)) {
			at = &item->next;
			continue;
		}
		struct item *next = item->next;
		arena_reset(question);
		item->next = NULL;
		*at = next;
		if (goes_on(p, item, question)) {
			item->next = next;
			*at = item;
			at = &item->next;
		}
		fiber_spent(0, 1);
	}
	say_routes(p);
	settle_orphans(p);
	arena_free(&question);
	enum err_code code = p->code;
	free(p);
	return code;
}

void waiting_settled_free(struct waiting_settled *settled)
{
	for (size_t i = 0; i < settled->n; i++)
		item_free(&settled->v[i].item);
	arena_free(&settled->arena);
	settled->v = NULL;
	settled->n = 0;
}
