// SPDX-License-Identifier: Apache-2.0
// Blocks of flags: what is written is read, and nothing else is taken for a block.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flag_block.h"

static void what_is_written_is_read(void **state)
{
	(void)state;
	static const struct folder_change messages[] = {
		{256, 0, 1}, {257, FLAG_SEEN, 127}, {300, UINT64_C(1) << 62, 128}, {383, INT64_MAX, INT64_MAX}};
	enum { MESSAGES = sizeof messages / sizeof *messages };
	struct buf data;
	buf_init(&data, FLAG_BLOCK_BYTES_MAX);
	for (size_t i = 0; i < MESSAGES; i++)
		assert_true(flag_block_add(&data, &messages[i]));
	assert_int_equal(flag_block_first(383), 256);
	struct flag_cursor cursor = flag_block_begin(buf_str(&data), 256);
	struct folder_change m;
	for (size_t i = 0; i < MESSAGES; i++) {
		assert_true(flag_block_next(&cursor, &m));
		assert_true(m.uid == messages[i].uid && m.flags == messages[i].flags && m.modseq == messages[i].modseq);
	}
	assert_false(flag_block_next(&cursor, &m) || cursor.damaged);
	buf_fini(&data);
}

static void a_full_block_of_the_longest_fits(void **state)
{
	(void)state;
	struct buf data;
	buf_init(&data, FLAG_BLOCK_BYTES_MAX);
	for (uint32_t uid = 0; uid < FLAG_BLOCK_UIDS; uid++)
		assert_true(flag_block_add(&data, &(struct folder_change){uid, INT64_MAX, INT64_MAX}));
	assert_true(data.n <= 4000); // of a page of 4096
	buf_fini(&data);
}

static void damage_is_said(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		struct str data;
		size_t good; // messages before it
	} cases[] = {
		{"no flags", STR("\0\5"), 0},
		{"no modseq", STR("\0"), 0},
		{"cut within a number", STR("\0\5\1\1\x80"), 1},
		{"a longer form of a number", STR("\0\x85\0\1"), 0},
		{"a number of more than 63 bits", STR("\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\1"), 0},
		{"beyond the block", STR("\x80\5\1"), 0},
		{"the same message twice", STR("\3\5\1\3\6\1"), 1},
		{"descending", STR("\3\5\1\2\6\1"), 1},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct flag_cursor cursor = flag_block_begin(cases[i].data, 0);
		struct folder_change m;
		size_t n = 0;
		while (flag_block_next(&cursor, &m))
			n++;
		if (!cursor.damaged || n != cases[i].good)
			fail_msg("%s: %zu messages, damaged: %d", cases[i].what, n, cursor.damaged);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_full_block_of_the_longest_fits),
		cmocka_unit_test(damage_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
