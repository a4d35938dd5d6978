// SPDX-License-Identifier: Apache-2.0
// Parts of an entry as a server that lies gives them. Each line of the input is a part: its options ("range=0-9"), then one
// character for each value. Whatever comes, what is whole has every value once and in order, of parts that follow each other, and
// nothing grows beyond its bounds.
// Covers: ldapsync/poll_ranges.c ldapsync/raw_entry.h
#include <stdint.h>

#include "base/must.h"
#include "poll_ranges.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VALUES_MAX = 256 };

struct part {
	struct raw_value values[VALUES_MAX];
	struct raw_range range;
	struct raw_entry entry;
};

static const struct raw_entry *part_of(struct str line, struct part *part)
{
	struct str option = line, values = STR_NONE;
	(void)str_cut(line, ' ', &option, &values);
	values = str_upto(values, VALUES_MAX);
	part->range = (struct raw_range){.name = STR("member"), .n = values.n};
	for (size_t i = 0; i < values.n; i++)
		part->values[i] = (struct raw_value){.name = part->range.name, .value = str_of(values.p + i, 1)};
	struct str lang = raw_option_language(option);
	must(lang.n <= option.n && str_index(lang, ';') < 0);
	bool has_range = raw_range_parse(option, &part->range.from, &part->range.to);
	part->entry = (struct raw_entry){.dn = STR("cn=all"), .values = part->values, .n_values = values.n,
		.partial = raw_option_is_part(option),
		.ranges = &part->range, .n_ranges = has_range};
	return &part->entry;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_of((const char *)data, size), line;
	struct poll_ranges *ranges = poll_ranges_new();
	static struct part part;
	enum poll_ranges_result result = POLL_RANGES_TORN;
	size_t given = 0;
	while (str_next_line(&rest, &line)) {
		const struct raw_entry *entry = part_of(line, &part);
		bool first = result != POLL_RANGES_MORE;
		result = first ? poll_ranges_begin(ranges, entry) : poll_ranges_add(ranges, entry);
		given = first ? entry->n_values : given + entry->n_values;
		const struct raw_entry *got = poll_ranges_entry(ranges);
		must(got->partial == (result != POLL_RANGES_WHOLE));
		must(got->n_values <= given && got->n_values <= POLL_RANGES_VALUES_MAX);
		if (result == POLL_RANGES_WHOLE || result == POLL_RANGES_MORE)
			must(got->n_values == given);
		for (size_t i = 0; got->n_values == given && i < entry->n_values; i++)
			must(str_eq(got->values[given - entry->n_values + i].value, entry->values[i].value));
		if (result == POLL_RANGES_MORE)
			must(str_starts(str_of_c(poll_ranges_ask(ranges)), STR("member;range=")));
	}
	poll_ranges_free(&ranges);
	return 0;
}
