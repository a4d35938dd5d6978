// SPDX-License-Identifier: Apache-2.0
// Entries that are given in parts.
#include "poll_ranges.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"

enum { VALUES = 2000 };

// An entry with "member;range=from-to", or all of it.
struct part {
	struct raw_value values[VALUES + 1];
	char text[VALUES][16];
	struct raw_range range;
	struct raw_entry entry;
};

static const struct raw_entry *part(struct part *part, uint64_t from, uint64_t to, size_t n)
{
	*part = (struct part){.range = {.name = STR("member"), .from = from, .to = to, .first = 1, .n = n}};
	part->values[0] = (struct raw_value){.name = STR("mail"), .value = STR("all@uni.example")};
	for (size_t i = 0; i < n; i++) {
		must(snprintf(part->text[i], sizeof part->text[i], "cn=%zu", (size_t)from + i) > 0);
		part->values[i + 1] = (struct raw_value){.name = STR("member"), .value = str_of_c(part->text[i])};
	}
	part->entry = (struct raw_entry){.dn = STR("cn=all"), .values = part->values, .n_values = n + 1, .partial = true, .ranges = &part->range, .n_ranges = 1};
	return &part->entry;
}

static void options_are_read(void **state)
{
	(void)state;
	static const struct {
		struct str text;
		bool good;
		uint64_t from, to;
	} cases[] = {
		{STR("range=0-1499"), true, 0, 1499},
		{STR("Range=1500-*"), true, 1500, RAW_RANGE_END},
		{STR("range=0-0"), true, 0, 0},
		{STR("range=2-1"), false, 0, 0},
		{STR("range=*-1"), false, 0, 0},
		{STR("range=-"), false, 0, 0},
		{STR("range=0"), false, 0, 0},
		{STR("range=0-1;binary"), false, 0, 0},
		{STR("range=0-99999999999"), false, 0, 0},
		{STR("binary"), false, 0, 0},
		{STR(""), false, 0, 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint64_t from = 0, to = 0;
		assert_int_equal(raw_range_parse(cases[i].text, &from, &to), cases[i].good);
		assert_true(from == cases[i].from || !cases[i].good);
		assert_true(to == cases[i].to);
	}
}

static void parts_become_one(void **state)
{
	(void)state;
	struct part *given = calloc(1, sizeof *given);
	struct poll_ranges *ranges = poll_ranges_new();
	must(given != NULL);
	for (unsigned turn = 0; turn < 2; turn++) { // it is used again
		assert_int_equal(poll_ranges_begin(ranges, part(given, 0, 1499, 1500)), POLL_RANGES_MORE);
		assert_string_equal(poll_ranges_ask(ranges), "member;range=1500-*");
		assert_int_equal(poll_ranges_add(ranges, part(given, 1500, 2999, 1500)), POLL_RANGES_MORE);
		assert_true(poll_ranges_entry(ranges)->partial);
		assert_string_equal(poll_ranges_ask(ranges), "member;range=3000-*");
		assert_int_equal(poll_ranges_add(ranges, part(given, 3000, RAW_RANGE_END, 7)), POLL_RANGES_WHOLE);
		const struct raw_entry *entry = poll_ranges_entry(ranges);
		assert_false(entry->partial);
		assert_true(str_eq(entry->dn, STR("cn=all")));
		assert_int_equal(entry->n_values, 1 + 3007);
		assert_true(str_eq(entry->values[0].value, STR("all@uni.example")));
		for (size_t i = 1; i < entry->n_values; i++) {
			char wanted[32];
			must(snprintf(wanted, sizeof wanted, "cn=%zu", i - 1) > 0);
			assert_true(str_eq(entry->values[i].value, str_of_c(wanted)));
			assert_true(str_eq(entry->values[i].name, STR("member")));
		}
	}
	poll_ranges_free(&ranges);
	free(given);
}

static void what_does_not_go_on_is_torn_or_bad(void **state)
{
	(void)state;
	static const struct {
		uint64_t from, to;
		size_t n;
		enum poll_ranges_result result;
	} cases[] = {
		{0, 1499, 1500, POLL_RANGES_TORN},
		{1501, RAW_RANGE_END, 5, POLL_RANGES_TORN},
		{1499, RAW_RANGE_END, 5, POLL_RANGES_TORN},
		{1500, 1509, 9, POLL_RANGES_BAD},
		{1500, 1509, 11, POLL_RANGES_BAD},
		{1500, 1509, 10, POLL_RANGES_MORE},
		{1500, RAW_RANGE_END, 0, POLL_RANGES_WHOLE},
	};
	struct part *given = calloc(1, sizeof *given);
	struct poll_ranges *ranges = poll_ranges_new();
	must(given != NULL);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(poll_ranges_begin(ranges, part(given, 0, 1499, 1500)), POLL_RANGES_MORE);
		assert_int_equal(poll_ranges_add(ranges, part(given, cases[i].from, cases[i].to, cases[i].n)), cases[i].result);
		assert_int_equal(poll_ranges_entry(ranges)->partial, cases[i].result != POLL_RANGES_WHOLE);
	}
	assert_int_equal(poll_ranges_begin(ranges, part(given, 5, 9, 5)), POLL_RANGES_BAD); // that is no beginning
	assert_int_equal(poll_ranges_begin(ranges, part(given, 0, 1499, 1500)), POLL_RANGES_MORE);
	struct raw_entry without = {.dn = STR("cn=all")};
	assert_int_equal(poll_ranges_add(ranges, &without), POLL_RANGES_TORN);
	poll_ranges_free(&ranges);
	free(given);
}

static void it_does_not_grow_for_ever(void **state)
{
	(void)state;
	struct part *given = calloc(1, sizeof *given);
	struct poll_ranges *ranges = poll_ranges_new();
	enum poll_ranges_result result;
	unsigned parts = 0;
	must(given != NULL);
	result = poll_ranges_begin(ranges, part(given, 0, 0, 1));
	for (uint64_t at = 1; result == POLL_RANGES_MORE; at++, parts++)
		result = poll_ranges_add(ranges, part(given, at, at, 1));
	assert_int_equal(result, POLL_RANGES_BAD);
	assert_int_equal(parts, POLL_RANGES_PARTS_MAX + 1);
	result = poll_ranges_begin(ranges, part(given, 0, VALUES - 1, VALUES));
	for (uint64_t at = VALUES; result == POLL_RANGES_MORE; at += VALUES)
		result = poll_ranges_add(ranges, part(given, at, at + VALUES - 1, VALUES));
	assert_int_equal(result, POLL_RANGES_BAD);
	assert_true(poll_ranges_entry(ranges)->n_values <= POLL_RANGES_VALUES_MAX);
	poll_ranges_free(&ranges);
	free(given);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_are_read),
		cmocka_unit_test(parts_become_one),
		cmocka_unit_test(what_does_not_go_on_is_torn_or_bad),
		cmocka_unit_test(it_does_not_grow_for_ever),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
