// SPDX-License-Identifier: Apache-2.0
// Answers of the directory by address and sender, in one arena that is emptied when it is full.
#include "requeue_answers.h"

#include <stdlib.h>

#include "base/must.h"
#include "item.h"

enum { BUCKETS = 1 << 12 };

struct known {
	struct known *next;
	struct str key, sender;
	bool authenticated;
	enum queue_expand_answer answer;
	struct queue_expansion expansion;
};

struct requeue_answers {
	struct queue *queue;
	struct arena *arena; // of all that is known
	uint64_t world;      // all of it was asked in this one; 0: not known which
	struct known *buckets[BUCKETS];
};

struct requeue_answers *requeue_answers_new(struct queue *queue)
{
	struct requeue_answers *a = calloc(1, sizeof *a);
	must(a != NULL);
	a->queue = queue;
	a->arena = arena_new(REQUEUE_ANSWERS_BYTES);
	return a;
}

void requeue_answers_free(struct requeue_answers **answers)
{
	if (*answers)
		arena_free(&(*answers)->arena);
	free(*answers);
	*answers = NULL;
}

static void begin_anew(struct requeue_answers *a)
{
	memset(a->buckets, 0, sizeof a->buckets);
	arena_reset(a->arena);
}

static void look_at_world(struct requeue_answers *a)
{
	const struct queue_config *config = &a->queue->config;
	uint64_t world = config->world ? config->world(config->arg) : 0;
	if (world == 0 || world != a->world)
		begin_anew(a);
	a->world = world;
}

static struct known **bucket_of(struct requeue_answers *a, struct str key, const struct queue_expand_query *query)
{
	return &a->buckets[(str_hash(key) * 31 + str_hash(query->sender)) % BUCKETS];
}

static void copy_recipients(struct arena *arena, const struct record_recipients *from, struct record_recipients *to_out)
{
	*to_out = (struct record_recipients){arena_array(arena, from->n ? from->n : 1, sizeof *from->v), from->n};
	for (size_t i = 0; i < from->n && !arena_overflowed(arena); i++)
		to_out->v[i] = item_recipient_dup(arena, &from->v[i]);
}

static void keep(struct requeue_answers *a, struct str key, const struct queue_expand_query *query,
	enum queue_expand_answer answer, const struct queue_expansion *expansion)
{
	struct known *known = arena_alloc(a->arena, sizeof *known), **bucket = bucket_of(a, key, query);
	struct known made = {.next = *bucket, .key = arena_dup(a->arena, key), .sender = arena_dup(a->arena, query->sender),
		.authenticated = query->authenticated, .answer = answer, .expansion = {.is_list = expansion->is_list,
			.owner = arena_dup(a->arena, expansion->owner), .reply = arena_dup(a->arena, expansion->reply)}};
	copy_recipients(a->arena, &expansion->to, &made.expansion.to);
	if (arena_overflowed(a->arena)) {
		begin_anew(a); // this one is not kept; the next ones are
		return;
	}
	*known = made;
	*bucket = known;
}

static bool is_same_question(const struct known *known, struct str key, const struct queue_expand_query *query)
{
	return str_eq(known->key, key) && str_eq(known->sender, query->sender) && known->authenticated == query->authenticated;
}

enum queue_expand_answer requeue_answers_ask(struct requeue_answers *a, struct arena *arena, struct str key,
	const struct queue_expand_query *query, struct queue_expansion *expansion_out)
{
	const struct queue_config *config = &a->queue->config;
	look_at_world(a);
	const struct known *known = *bucket_of(a, key, query);
	while (known && !is_same_question(known, key, query))
		known = known->next;
	if (known) {
		*expansion_out = known->expansion;
		return known->answer;
	}
	enum queue_expand_answer answer = config->expand(config->arg, arena, query, expansion_out);
	keep(a, key, query, answer, expansion_out);
	return answer;
}
