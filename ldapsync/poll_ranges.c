// SPDX-License-Identifier: Apache-2.0
// Parts of an entry, one after the other.
#include "poll_ranges.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/must.h"

struct attribute {
	struct str name;
	uint64_t next; // the first value that is missing; RAW_RANGE_END: none is
};

struct poll_ranges {
	struct arena *arena;      // owned; of what `values` and `attributes` say
	struct raw_value *values; // owned
	size_t n, room;
	struct attribute attributes[POLL_RANGES_ATTRIBUTES_MAX];
	size_t n_attributes;
	unsigned parts;
	enum poll_ranges_result result; // of the last call
	struct raw_entry entry;
	char ask[POLL_RANGES_NAME_BYTES];
};

struct poll_ranges *poll_ranges_new(void)
{
	struct poll_ranges *ranges = calloc(1, sizeof *ranges);
	must(ranges != NULL);
	ranges->arena = arena_new(POLL_RANGES_BYTES_MAX);
	return ranges;
}

void poll_ranges_free(struct poll_ranges **ranges_in)
{
	struct poll_ranges *ranges = *ranges_in;
	if (ranges == NULL)
		return;
	arena_free(&ranges->arena);
	free(ranges->values);
	free(ranges);
	*ranges_in = NULL;
}

static struct attribute *unfinished(struct poll_ranges *ranges)
{
	for (size_t i = 0; i < ranges->n_attributes; i++)
		if (ranges->attributes[i].next != RAW_RANGE_END)
			return &ranges->attributes[i];
	return NULL;
}

static bool add_value(struct poll_ranges *ranges, struct str name, struct str value)
{
	struct str copy = arena_dup(ranges->arena, value);
	if (ranges->n == POLL_RANGES_VALUES_MAX || arena_overflowed(ranges->arena))
		return false;
	if (ranges->n == ranges->room) {
		ranges->room = ranges->room ? 2 * ranges->room : 4096;
		ranges->values = reallocarray(ranges->values, ranges->room, sizeof *ranges->values);
		must(ranges->values != NULL);
	}
	ranges->values[ranges->n++] = (struct raw_value){.name = name, .value = copy};
	return true;
}

// Is as much here as it says? *next_out: what is to be asked for then.
static bool is_true(const struct raw_range *range, uint64_t *next_out)
{
	*next_out = range->to == RAW_RANGE_END ? RAW_RANGE_END : range->to + 1;
	return range->to == RAW_RANGE_END || range->n == *next_out - range->from;
}

static enum poll_ranges_result result_of(struct poll_ranges *ranges)
{
	return unfinished(ranges) ? POLL_RANGES_MORE : POLL_RANGES_WHOLE;
}

static bool copy_values(struct poll_ranges *ranges, const struct raw_entry *entry)
{
	struct str given = STR_NONE, name = STR_NONE;
	for (size_t i = 0; i < entry->n_values; i++) {
		// values of one attribute share it
		if (given.p != entry->values[i].name.p || given.n != entry->values[i].name.n) {
			given = entry->values[i].name;
			name = arena_dup(ranges->arena, given);
		}
		if (!add_value(ranges, name, entry->values[i].value))
			return false;
	}
	return true;
}

static enum poll_ranges_result begin(struct poll_ranges *ranges, const struct raw_entry *entry)
{
	arena_reset(ranges->arena);
	ranges->n = ranges->n_attributes = 0;
	ranges->parts = 0;
	ranges->entry = (struct raw_entry){.dn = arena_dup(ranges->arena, entry->dn)};
	if (!copy_values(ranges, entry) || entry->n_ranges > POLL_RANGES_ATTRIBUTES_MAX ||
		(entry->partial && entry->n_ranges == 0))
		return POLL_RANGES_BAD;
	for (size_t i = 0; i < entry->n_ranges; i++) {
		struct attribute *attribute = &ranges->attributes[i];
		attribute->name = arena_dup(ranges->arena, entry->ranges[i].name);
		if (entry->ranges[i].from != 0 || !is_true(&entry->ranges[i], &attribute->next))
			return POLL_RANGES_BAD;
		ranges->n_attributes++;
	}
	return arena_overflowed(ranges->arena) ? POLL_RANGES_BAD : result_of(ranges);
}

enum poll_ranges_result poll_ranges_begin(struct poll_ranges *ranges, const struct raw_entry *entry)
{
	ranges->result = begin(ranges, entry);
	return ranges->result;
}

const char *poll_ranges_ask(struct poll_ranges *ranges)
{
	const struct attribute *attribute = unfinished(ranges);
	must(attribute != NULL);
	// One with a longer name is cut: the server gives nothing for it, or what does not go on.
	(void)snprintf(ranges->ask, sizeof ranges->ask, "%.*s;range=%llu-*",
		STR_FMT(str_upto(attribute->name, POLL_RANGES_NAME_BYTES - 32)), (unsigned long long)attribute->next);
	return ranges->ask;
}

static const struct raw_range *find(const struct raw_entry *entry, struct str name)
{
	for (size_t i = 0; i < entry->n_ranges; i++)
		if (str_eq_nocase(entry->ranges[i].name, name))
			return &entry->ranges[i];
	return NULL;
}

static enum poll_ranges_result add(struct poll_ranges *ranges, const struct raw_entry *entry)
{
	struct attribute *attribute = unfinished(ranges);
	must(attribute != NULL);
	const struct raw_range *range = find(entry, attribute->name);
	uint64_t next;
	if (range == NULL || range->from != attribute->next)
		return POLL_RANGES_TORN;
	if (++ranges->parts > POLL_RANGES_PARTS_MAX || !is_true(range, &next))
		return POLL_RANGES_BAD;
	for (size_t i = range->first; i < range->first + range->n; i++)
		if (!add_value(ranges, attribute->name, entry->values[i].value))
			return POLL_RANGES_BAD;
	attribute->next = next;
	return result_of(ranges);
}

enum poll_ranges_result poll_ranges_add(struct poll_ranges *ranges, const struct raw_entry *entry)
{
	ranges->result = add(ranges, entry);
	return ranges->result;
}

const struct raw_entry *poll_ranges_entry(struct poll_ranges *ranges)
{
	ranges->entry.values = ranges->values;
	ranges->entry.n_values = ranges->n;
	ranges->entry.partial = ranges->result != POLL_RANGES_WHOLE;
	return &ranges->entry;
}
