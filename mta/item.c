// SPDX-License-Identifier: Apache-2.0
// Recipients and their messages in memory: one allocation each, strings behind the struct.
#include "item.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/must.h"
#include "mail/addr.h"

static _Atomic size_t bodies_bytes;

size_t item_bodies_bytes(void)
{
	return atomic_load_explicit(&bodies_bytes, memory_order_relaxed);
}

static void place(struct str *field, char **at)
{
	if (field->n)
		memcpy(*at, field->p, field->n);
	field->p = field->n ? *at : NULL;
	*at += field->n;
}

struct str item_asked(const struct record_recipient *recipient)
{
	return recipient->original.n ? recipient->original : recipient->address;
}

// What is stored was an address once; should it be none for this version, it is one by its letters.
struct str item_asked_key(struct arena *arena, const struct record_recipient *recipient)
{
	struct addr addr;
	if (recipient->original.n == 0)
		return recipient->key;
	if (addr_parse(arena, recipient->original, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr) != ADDR_OK)
		return recipient->original;
	return addr.key;
}

bool item_same_target(const struct record_recipient *a, const struct record_recipient *b)
{
	bool mailbox = a->target == RECORD_TO_MAILBOX;
	return a->target == b->target && (mailbox ? str_eq(a->mailbox_id, b->mailbox_id) : str_eq(a->key, b->key));
}

struct item_message *item_message_new(const struct record_enter *enter, int64_t body_id, struct str body)
{
	struct item_message *m = malloc(sizeof *m + enter->sender.n + enter->envid.n + body.n);
	must(m != NULL);
	char *at = (char *)(m + 1);
	*m = (struct item_message){.guid = enter->guid, .root = enter->root, .kind = enter->kind, .flags = enter->flags,
		.sender = enter->sender, .envid = enter->envid, .received_ms = enter->received_ms,
		.body_bytes = enter->body_bytes,
		.body_id = body_id, .body = body};
	atomic_init(&m->refs, 1);
	if (enter->digest.n == sizeof m->digest)
		memcpy(m->digest, enter->digest.p, sizeof m->digest);
	place(&m->sender, &at);
	place(&m->envid, &at);
	place(&m->body, &at);
	atomic_fetch_add_explicit(&bodies_bytes, body.n, memory_order_relaxed);
	return m;
}

struct item_message *item_message_ref(struct item_message *message)
{
	atomic_fetch_add_explicit(&message->refs, 1, memory_order_relaxed);
	return message;
}

void item_message_drop(struct item_message **message)
{
	if (*message && atomic_fetch_sub_explicit(&(*message)->refs, 1, memory_order_acq_rel) == 1) {
		atomic_fetch_sub_explicit(&bodies_bytes, (*message)->body.n, memory_order_relaxed);
		free(*message);
	}
	*message = NULL;
}

// What of a recipient is text.
static const size_t strings[] = {offsetof(struct record_recipient, address), offsetof(struct record_recipient, key),
	offsetof(struct record_recipient, original), offsetof(struct record_recipient, orcpt),
	offsetof(struct record_recipient, destination), offsetof(struct record_recipient, mailbox_id),
	offsetof(struct record_recipient, detail), offsetof(struct record_recipient, list),
	offsetof(struct record_recipient, stands_for)};
enum { STRINGS = sizeof strings / sizeof *strings };

static struct str *string_of(struct record_recipient *r, size_t i)
{
	return (struct str *)(void *)((char *)r + strings[i]);
}

struct record_recipient item_recipient_dup(struct arena *arena, const struct record_recipient *recipient)
{
	struct record_recipient r = *recipient;
	r.also.v = NULL;
	r.also.n = 0;
	for (size_t i = 0; i < STRINGS; i++)
		*string_of(&r, i) = arena_dup(arena, *string_of(&r, i));
	return r;
}

struct item *item_new(struct item_message *message, const struct record_recipient *recipient)
{
	struct record_recipient r = *recipient;
	size_t n = 0;
	r.also.v = NULL;
	r.also.n = 0;
	for (size_t i = 0; i < STRINGS; i++)
		n += string_of(&r, i)->n;
	struct item *item = malloc(sizeof *item + n);
	must(item != NULL);
	char *at = (char *)(item + 1);
	*item = (struct item){.message = item_message_ref(message), .r = r};
	for (size_t i = 0; i < STRINGS; i++)
		place(string_of(&item->r, i), &at);
	return item;
}

void item_free(struct item **item)
{
	if (*item) {
		item_message_drop(&(*item)->message);
		free(*item);
	}
	*item = NULL;
}

void item_free_list(struct item **list)
{
	while (*list) {
		struct item *item = *list;
		*list = item->next;
		item_free(&item);
	}
}
