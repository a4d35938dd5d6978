// SPDX-License-Identifier: Apache-2.0
// Recipients and their messages in memory: one allocation each, strings behind the struct.
#include "item.h"

#include <stdlib.h>

#include "base/must.h"

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

bool item_asked_same(const struct record_recipient *a, const struct record_recipient *b)
{
	return str_eq_nocase(item_asked(a), item_asked(b));
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

struct item *item_new(struct item_message *message, const struct record_recipient *recipient)
{
	const struct record_recipient *r = recipient;
	struct item *item = malloc(sizeof *item + r->address.n + r->key.n + r->original.n + r->orcpt.n + r->destination.n +
				   r->mailbox_id.n + r->detail.n + r->list.n + r->stands_for.n);
	must(item != NULL);
	char *at = (char *)(item + 1);
	*item = (struct item){.message = item_message_ref(message), .r = *r};
	struct str *const fields[] = {&item->r.address, &item->r.key, &item->r.original, &item->r.orcpt, &item->r.destination,
		&item->r.mailbox_id, &item->r.detail, &item->r.list, &item->r.stands_for};
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		place(fields[i], &at);
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
