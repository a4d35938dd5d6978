// SPDX-License-Identifier: Apache-2.0
// Strings, buffers, arenas and errors: the ground that all else stands on.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

static void str_compares_bytes_and_folds_only_ascii(void **state)
{
	(void)state;
	assert_true(str_eq(STR("a\0b"), STR("a\0b")));
	assert_false(str_eq(STR("a\0b"), STR("a\0c")));
	assert_true(str_eq(STR_NONE, STR("")));
	assert_true(str_eq_nocase(STR("Rcpt"), STR("rCPT")));
	assert_false(str_eq_nocase(STR("\xc3\x84"), STR("\xc3\xa4")));
	assert_true(str_cmp(STR("a"), STR("ab")) < 0);
	assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
	assert_true(str_starts_nocase(STR("MAIL FROM:<>"), STR("mail from:")));
	assert_true(str_ends(STR("a.db-wal"), STR("-wal")));
	assert_false(str_ends(STR("al"), STR("-wal")));
}

static void str_cuts_and_trims(void **state)
{
	(void)state;
	struct str before = STR("untouched"), after = STR("untouched");
	assert_false(str_cut(STR("none"), ':', &before, &after));
	assert_true(str_eq(before, STR("untouched")));
	assert_true(str_cut(STR("a:b:c"), ':', &before, &after));
	assert_true(str_eq(before, STR("a")) && str_eq(after, STR("b:c")));
	assert_true(str_eq(str_trim(STR(" \t x y\r\n")), STR("x y")));
	assert_int_equal(str_from(STR("abc"), 9).n, 0);
	assert_int_equal(str_find(STR("abcabd"), STR("abd")), 3);
	assert_int_equal(str_find(STR("abc"), STR("abd")), -1);
}

static void str_takes_lines_with_either_end(void **state)
{
	(void)state;
	struct str rest = STR("one\r\ntwo\n\nlast"), line;
	const struct str want[] = {STR("one"), STR("two"), STR(""), STR("last")};
	for (size_t i = 0; i < 4; i++) {
		assert_true(str_next_line(&rest, &line));
		assert_true(str_eq(line, want[i]));
	}
	assert_false(str_next_line(&rest, &line));
}

static void str_numbers_refuse_what_is_not_one(void **state)
{
	(void)state;
	uint64_t v = 7;
	const struct str bad[] = {STR(""), STR("-1"), STR("+1"), STR(" 1"), STR("1x"), STR("18446744073709551616"), STR("101")};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(str_to_u64(bad[i], 100, &v));
	assert_int_equal(v, 7);
	assert_true(str_to_u64(STR("18446744073709551615"), UINT64_MAX, &v));
	assert_true(v == UINT64_MAX);
}

static void str_to_c_refuses_nul_and_overlength(void **state)
{
	(void)state;
	char c[4];
	assert_true(str_to_c(STR("abc"), c, sizeof c));
	assert_string_equal(c, "abc");
	assert_false(str_to_c(STR("abcd"), c, sizeof c));
	assert_string_equal(c, "");
	assert_false(str_to_c(STR("a\0b"), c, sizeof c));
}

static void str_utf8_follows_rfc3629(void **state)
{
	(void)state;
	const struct str good[] = {STR(""), STR("abc"), STR("\xc3\xa4"), STR("\xe2\x82\xac"), STR("\xf0\x9f\x98\x80"), STR("\xf4\x8f\xbf\xbf")};
	const struct str bad[] = {STR("\x80"), STR("\xc0\xaf"), STR("\xc3"), STR("\xe0\x80\x80"), STR("\xed\xa0\x80"), STR("\xf4\x90\x80\x80"), STR("\xff")};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_true(str_is_utf8(good[i]));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(str_is_utf8(bad[i]));
}

static void buf_adds_all_or_nothing_up_to_its_cap(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, 10);
	assert_string_equal(buf_c(&b), "");
	assert_true(buf_add(&b, STR("12345")));
	assert_true(buf_printf(&b, "%d", 678));
	assert_false(buf_add(&b, STR("abc")));
	assert_true(b.overflow);
	assert_false(buf_add_byte(&b, 'x'));
	assert_string_equal(buf_c(&b), "12345678");
	buf_clear(&b);
	assert_true(buf_add_u64(&b, 1234567890));
	assert_false(b.overflow);
	buf_drop(&b, 4);
	assert_true(str_eq(buf_str(&b), STR("567890")));
	buf_truncate(&b, 2);
	memcpy(buf_reserve(&b, 3), "xyz", 3);
	buf_grew(&b, 3);
	assert_string_equal(buf_c(&b), "56xyz");
	buf_clear(&b);
	buf_add(&b, STR("a\0b"));
	assert_null(buf_c(&b));
	buf_fini(&b);
}

static void check_arena(struct arena *a)
{
	for (int i = 0; i < 100; i++) {
		char *p = arena_alloc(a, 1000);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		for (int k = 0; k < 1000; k++)
			assert_int_equal(p[k], 0);
		memset(p, 0xaa, 1000);
	}
	assert_non_null(arena_alloc(a, 100000));
	assert_null(arena_alloc(a, 1));
	assert_true(arena_overflowed(a));
	arena_reset(a);
	assert_int_equal(arena_used(a), 0);
	assert_true(str_eq(arena_dup(a, STR("x\0y")), STR("x\0y")));
	assert_true(str_eq(arena_printf(a, "%s-%d", "q", 7), STR("q-7")));
	assert_null(arena_array(a, SIZE_MAX / 2, 4));
	arena_free(&a);
	assert_null(a);
}

static void arena_is_bounded_and_resets(void **state)
{
	(void)state;
	check_arena(arena_new(200000));
	check_arena(arena_new_ready(200000)); // and so is one that has its first chunk
	struct arena *a = arena_new_ready(200000);
	for (int i = 0; i < 3; i++) { // used, grown and given back, again and again
		assert_non_null(arena_alloc(a, 5000));
		assert_true(str_eq(arena_dup(a, STR("small")), STR("small")));
		arena_release(a);
		assert_int_equal(arena_used(a), 0);
		assert_true(str_eq(arena_dup(a, STR("small")), STR("small")));
		arena_reset(a);
	}
	arena_free(&a);
}

static enum err_code inner(struct err *err)
{
	errno = ENOSPC;
	return err_errno(err, "open spool file %s", "5f\r\n");
}

static void err_texts_grow_outward_and_stay_on_one_line(void **state)
{
	(void)state;
	struct err err = {ERR_OK, ""};
	assert_int_equal(inner(&err), ERR_NOSPACE);
	assert_int_equal(err_wrap(&err, "accept message"), ERR_NOSPACE);
	assert_string_equal(err.text, "accept message: open spool file 5f??: No space left on device");
	assert_true(err_is_temporary(err.code));
	assert_false(err_is_temporary(ERR_INVALID));
	for (int i = 0; i < 100; i++)
		err_wrap(&err, "wrapped and wrapped");
	assert_int_equal(strlen(err.text), ERR_TEXT_BYTES - 1);
	assert_string_equal(err.text + ERR_TEXT_BYTES - 4, "...");
	assert_int_equal(inner(NULL), ERR_NOSPACE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(str_compares_bytes_and_folds_only_ascii),
		cmocka_unit_test(str_cuts_and_trims),
		cmocka_unit_test(str_takes_lines_with_either_end),
		cmocka_unit_test(str_numbers_refuse_what_is_not_one),
		cmocka_unit_test(str_to_c_refuses_nul_and_overlength),
		cmocka_unit_test(str_utf8_follows_rfc3629),
		cmocka_unit_test(buf_adds_all_or_nothing_up_to_its_cap),
		cmocka_unit_test(arena_is_bounded_and_resets),
		cmocka_unit_test(err_texts_grow_outward_and_stay_on_one_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
