// SPDX-License-Identifier: Apache-2.0
// Ids and digests, sorted by id.
#include "poll_table.h"

#include <stdlib.h>

#include "base/must.h"

void poll_table_clear(struct poll_table *table)
{
	free(table->v);
	*table = (struct poll_table){0};
}

static void reserve(struct poll_table *table, size_t n)
{
	if (n <= table->room)
		return;
	table->room = table->room ? table->room + table->room / 2 : 64;
	if (table->room < n)
		table->room = n;
	table->v = reallocarray(table->v, table->room, sizeof *table->v);
	must(table->v != NULL);
}

bool poll_table_add(struct poll_table *table, const struct guid *uuid, uint64_t digest)
{
	if (table->n == POLL_TABLE_MAX)
		return false;
	reserve(table, table->n + 1);
	table->v[table->n++] = (struct poll_known){*uuid, digest};
	return true;
}

static int order(const struct guid *a, const struct guid *b)
{
	return memcmp(a->b, b->b, sizeof a->b);
}

static int compare(const void *a, const void *b)
{
	return order(&((const struct poll_known *)a)->uuid, &((const struct poll_known *)b)->uuid);
}

void poll_table_sort(struct poll_table *table)
{
	size_t kept = 0;
	if (table->n > 1)
		qsort(table->v, table->n, sizeof *table->v, compare);
	for (size_t i = 0; i < table->n; i++) {
		if (kept > 0 && guid_eq(&table->v[kept - 1].uuid, &table->v[i].uuid)) {
			if (table->v[kept - 1].digest != table->v[i].digest)
				table->v[kept - 1].digest = POLL_DOUBT;
		} else {
			table->v[kept++] = table->v[i];
		}
	}
	table->n = kept;
	if (table->room - kept > kept / 8) { // it stays for long
		table->room = kept ? kept : 1;
		table->v = reallocarray(table->v, table->room, sizeof *table->v);
		must(table->v != NULL);
	}
}

bool poll_table_eq(const struct poll_table *a, const struct poll_table *b)
{
	bool equal = a->n == b->n;
	for (size_t i = 0; equal && i < a->n; i++)
		equal = guid_eq(&a->v[i].uuid, &b->v[i].uuid) && a->v[i].digest == b->v[i].digest;
	return equal;
}

uint64_t poll_table_find(const struct poll_table *table, const struct guid *uuid)
{
	const struct poll_known key = {.uuid = *uuid};
	const struct poll_known *found = table->n ? bsearch(&key, table->v, table->n, sizeof key, compare) : NULL;
	return found ? found->digest : POLL_GONE;
}

// From the end, in place; what is gone is taken out afterwards.
void poll_table_merge(struct poll_table *table, const struct poll_table *changes)
{
	size_t added = 0, kept = 0;
	for (size_t i = 0, j = 0; j < changes->n; j++) {
		while (i < table->n && order(&table->v[i].uuid, &changes->v[j].uuid) < 0)
			i++;
		added += i == table->n || !guid_eq(&table->v[i].uuid, &changes->v[j].uuid);
	}
	if (changes->n == 0)
		return;
	reserve(table, table->n + added);
	size_t from = table->n, change = changes->n, to = table->n + added;
	table->n = to;
	while (change > 0) {
		if (from > 0 && order(&table->v[from - 1].uuid, &changes->v[change - 1].uuid) > 0) {
			table->v[--to] = table->v[--from];
			continue;
		}
		if (from > 0 && guid_eq(&table->v[from - 1].uuid, &changes->v[change - 1].uuid))
			from--;
		table->v[--to] = changes->v[--change];
	}
	for (size_t i = 0; i < table->n; i++)
		if (table->v[i].digest != POLL_GONE)
			table->v[kept++] = table->v[i];
	table->n = kept;
}

void poll_table_each_gone(const struct poll_table *known, const struct poll_table *now,
	void (*gone)(void *context, const struct guid *uuid), void *context)
{
	for (size_t i = 0, j = 0; i < known->n; i++) {
		while (j < now->n && order(&now->v[j].uuid, &known->v[i].uuid) < 0)
			j++;
		if (j == now->n || !guid_eq(&now->v[j].uuid, &known->v[i].uuid))
			gone(context, &known->v[i].uuid);
	}
}
