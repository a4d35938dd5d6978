// SPDX-License-Identifier: Apache-2.0
// Header fields and their offsets, unfolding, comments, message ids.
#include <stdio.h>

#include "base/buf.h"
#include "mail/header.h"
#include "test_arena.h"

#define S(literal) {literal, sizeof(literal) - 1}

struct walked {
	struct str message;
	const char *names, *bodies; // each followed by "|"
	size_t header_end, body_start;
};

static const struct walked walked[] = {
	{S("A: b\r\nC:d\r\n\r\nbody"), "A|C|", " b|d|", 11, 13},
	{S("A: b\nC: d\n\nbody"), "A|C|", " b| d|", 10, 11},
	{S("A: b\r\n c\r\n\td\r\n\r\n"), "A|", " b\r\n c\r\n\td|", 14, 16},
	{S("A : b\r\n\r\n"), "A|", " b|", 7, 9},
	{S("A: b"), "A|", " b|", 4, 4},
	{S("A: b\r\n"), "A|", " b|", 6, 6},
	{S("A: b\r\nno field\r\nC: d\r\n\r\n"), "A||C|", " b|no field| d|", 22, 24},
	{S("From joe Sat Nov 21 18:44:15 2026\nA: b\n\n"), "|A|", "From joe Sat Nov 21 18:44:15 2026| b|", 39, 40},
	{S(" lost\r\nA: b\r\n\r\n"), "|A|", " lost| b|", 13, 15},
	{S("Two words: x\r\n\r\n"), "|", "Two words: x|", 14, 16},
	{S("A:\r\n \r\n\r\nx"), "A|", "\r\n |", 7, 9},
	{S("A:\rb\r\n\r\n"), "A|", "\rb|", 6, 8},
	{S(":x\n\n"), "|", ":x|", 3, 4},
	{S("A\xc3\xa4: x\n\n"), "|", "A\xc3\xa4: x|", 7, 8},
	{S("\r\nA: b"), "", "", 0, 2},
	{S("\nA: b"), "", "", 0, 1},
	{S(""), "", "", 0, 0},
	{S("A"), "|", "A|", 1, 1},
};

static void header_walks_every_byte_of_the_header(void **state)
{
	(void)state;
	struct buf names, bodies;
	buf_init(&names, 4096);
	buf_init(&bodies, 4096);
	for (size_t i = 0; i < sizeof walked / sizeof *walked; i++) {
		struct header_walk walk;
		struct header_field field;
		size_t at = 0;
		buf_clear(&names);
		buf_clear(&bodies);
		header_walk_init(&walk, walked[i].message);
		while (header_walk_next(&walk, &field)) {
			assert_int_equal(field.start, at);
			assert_int_equal(field.raw.n, field.end - field.start);
			assert_ptr_equal(field.raw.p, walked[i].message.p + field.start);
			assert_ptr_equal(field.body.p, walked[i].message.p + field.body_start);
			at = field.end;
			buf_add(&names, field.name);
			buf_add_byte(&names, '|');
			buf_add(&bodies, field.body);
			buf_add_byte(&bodies, '|');
		}
		assert_string_equal(buf_c(&names), walked[i].names);
		assert_string_equal(buf_c(&bodies), walked[i].bodies);
		assert_int_equal(walk.header_end, at);
		assert_int_equal(walk.header_end, walked[i].header_end);
		assert_int_equal(walk.body_start, walked[i].body_start);
		assert_false(header_walk_next(&walk, &field));
		assert_int_equal(header_body_start(walked[i].message), walked[i].body_start);
	}
	buf_fini(&names);
	buf_fini(&bodies);
}

// two-from and its like are seen by counting.
static void header_finds_first_last_and_count(void **state)
{
	(void)state;
	struct str message = STR("From: a\r\nTo: b\r\nFROM: c\r\n\r\nFrom: d\r\n");
	struct header_field field;
	assert_true(header_find(message, STR("from"), &field) && field.start == 0);
	assert_true(header_find_last(message, STR("from"), &field) && field.start == 16);
	assert_int_equal(header_count(message, STR("From")), 2);
	assert_false(header_find(message, STR("Cc"), &field));
	assert_false(header_find(STR("none\r\n"), STR(""), &field));
	assert_int_equal(field.start, 16);
}

static void header_bodies_unfold(void **state)
{
	(void)state;
	assert_true(str_eq(header_unfold(arena, STR(" a\r\n b\n\tc \r\n")), STR("a b\tc")));
	assert_true(str_eq(header_unfold(arena, STR("a\rb\0c")), STR("a b c")));
	assert_true(str_eq(header_unfold(arena, STR("")), STR("")));
	assert_true(str_eq(header_text(arena, STR(" =?utf-8?q?caf=C3=A9?=\r\n =?utf-8?q?_bar?= x\xff")), STR("caf\xc3\xa9 bar x\xef\xbf\xbd")));
}

static void header_comments_nest_and_end(void **state)
{
	(void)state;
	assert_true(str_eq(header_skip_cfws(STR(" (a(b)\\)c) \r\n (x)y (z)")), STR("y (z)")));
	/* odd-syntax */
	assert_int_equal(header_skip_cfws(STR("(a\\")).n, 0);
	assert_int_equal(header_skip_cfws(STR("((a)")).n, 0);
	assert_true(str_eq(header_skip_cfws(STR("x")), STR("x")));
}

struct ids {
	struct str body;
	size_t max;
	const char *ids; // each followed by "|"
	bool cut;
};

static const struct ids ids[] = {
	{S(" <a@b>\r\n <c@d>"), 10, "a@b|c@d|", false},
	{S("(<no@no>) <a@b> \"<no@no>\" <c\r\n @d>"), 10, "a@b|c@d|", false},
	{S("Your message of \"Mon <a@b>"), 10, "a@b|", false},
	{S("a@b"), 10, "", false},
	{S("<a@b"), 10, "", false},
	{S("<a> <b> <c> <d> <e>"), 3, "a|d|e|", true},
	{S("<a> <b>"), 1, "a|", true},
	{S("<a>"), 0, "", true},
	{S("(\\"), 3, "", false},
};

static void header_msgids_are_found_between_brackets(void **state)
{
	(void)state;
	struct buf out;
	buf_init(&out, 4096);
	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		struct header_msgids found;
		header_msgids(arena, ids[i].body, ids[i].max, &found);
		buf_clear(&out);
		for (size_t k = 0; k < found.n; k++) {
			buf_add(&out, found.ids[k]);
			buf_add_byte(&out, '|');
		}
		assert_string_equal(buf_c(&out), ids[i].ids);
		assert_int_equal(found.cut, ids[i].cut);
	}
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_walks_every_byte_of_the_header),
		cmocka_unit_test(header_finds_first_last_and_count),
		cmocka_unit_test_setup_teardown(header_bodies_unfold, setup, teardown),
		cmocka_unit_test(header_comments_nest_and_end),
		cmocka_unit_test_setup_teardown(header_msgids_are_found_between_brackets, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
