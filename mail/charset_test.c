// SPDX-License-Identifier: Apache-2.0
// Charsets and encoded words: what people read and what search compares.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/arena.h"
#include "mail/charset.h"
#include "mail/encword.h"

#define S(literal) {literal, sizeof(literal) - 1}
#define FFFD "\xef\xbf\xbd"

struct conversion {
	const char *charset;
	struct str in;
	enum charset_result result;
	struct str out;
};

static const struct conversion conversions[] = {
	{"utf-8", S("a\xc3\xa4\xe2\x82\xac"), CHARSET_OK, S("a\xc3\xa4\xe2\x82\xac")},
	{"UTF-8", S("a\xff\xfe\x80z\xc3"), CHARSET_REPLACED, S("a" FFFD "z" FFFD)},
	{"utf-8", S("\xed\xa0\x80\xc0\xaf"), CHARSET_REPLACED, S(FFFD)},
	{"us-ascii", S("caf\xc3\xa9"), CHARSET_OK, S("caf\xc3\xa9")},
	{"ISO-8859-1", S("caf\xe9 \x93x\x94\x81"), CHARSET_REPLACED, S("caf\xc3\xa9 \xe2\x80\x9cx\xe2\x80\x9d" FFFD)},
	{"iso-8859-15", S("\xa4"), CHARSET_OK, S("\xe2\x82\xac")},
	{"ISO_8859_15", S("\xa4"), CHARSET_OK, S("\xe2\x82\xac")},
	{"iso8859-15", S("\xa4"), CHARSET_OK, S("\xe2\x82\xac")},
	{"iso-8859-150", S("\xa4"), CHARSET_UNKNOWN, S("")},
	{"-", S("\xa4"), CHARSET_UNKNOWN, S("")},
	{"cp1254", S("\xf0"), CHARSET_OK, S("\xc4\x9f")},
	{"koi8-r", S("\xf0\xd2\xc9"), CHARSET_OK, S("\xd0\x9f\xd1\x80\xd0\xb8")},
	{"Shift_JIS", S("\x93\xfa\x96\x7b"), CHARSET_OK, S("\xe6\x97\xa5\xe6\x9c\xac")},
	{"iso-2022-jp", S("\x1b$BF|K\\\x1b(B!"), CHARSET_OK, S("\xe6\x97\xa5\xe6\x9c\xac!")},
	{"gb2312", S("\xd6\xd0\xce\xc4"), CHARSET_OK, S("\xe4\xb8\xad\xe6\x96\x87")},
	{"big5", S("\xa4\xa4"), CHARSET_OK, S("\xe4\xb8\xad")},
	{"euc-kr", S("\xc7\xd1"), CHARSET_OK, S("\xed\x95\x9c")},
	{"euc-jp", S("\xff\xff\xff" "a\xc6"), CHARSET_REPLACED, S(FFFD "a" FFFD)},
	{"utf-16be", S("\0a\xd8\0"), CHARSET_REPLACED, S("a" FFFD)},
	{"windows-1251", S(""), CHARSET_OK, S("")},
	{"klingon", S("a"), CHARSET_UNKNOWN, S("")},
	{"", S("a"), CHARSET_UNKNOWN, S("")},
	{"koi8-r//TRANSLIT", S("a"), CHARSET_UNKNOWN, S("")},
	{"../../tmp/x", S("a"), CHARSET_UNKNOWN, S("")},
	{"ISO-2022-CN-EXT", S("a"), CHARSET_UNKNOWN, S("")},
};

static void charset_becomes_utf8(void **state)
{
	(void)state;
	struct buf out;
	buf_init(&out, 4096);
	assert_int_equal(charset_preload(), 0);
	assert_int_equal(charset_preload(), 0);
	for (size_t i = 0; i < sizeof conversions / sizeof *conversions; i++) {
		const struct conversion *c = &conversions[i];
		buf_clear(&out);
		enum charset_result result = charset_to_utf8(str_of_c(c->charset), c->in, &out);
		if (result != c->result || !str_eq(buf_str(&out), c->out))
			fail_msg("%s, row %zu: %d \"%.*s\"", c->charset, i, result, STR_FMT(buf_str(&out)));
	}
	buf_fini(&out);
}

static void charset_output_is_bounded_at_a_character(void **state)
{
	(void)state;
	const char *const charsets[] = {"utf-8", "iso-8859-1", "koi8-u"};
	char in[3000];
	memset(in, 0xe9, sizeof in);
	for (size_t i = 0; i < 3; i++)
		for (size_t max = 0; max < 40; max++) {
			struct buf out;
			buf_init(&out, max);
			struct str bytes = i ? str_of(in, sizeof in) : STR("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xe2\x82\xac\xf0\x9f\x98\x80\xe2\x82\xac\xf0\x9f\x98\x80");
			assert_int_equal(charset_to_utf8(str_of_c(charsets[i]), bytes, &out), CHARSET_FULL);
			assert_true(str_is_utf8(buf_str(&out)) && out.n <= max && out.n + 4 > max);
			buf_fini(&out);
		}
}

struct pair {
	struct str in, out;
};

static const struct pair casemaps[] = {
	{S("Hello"), S("HELLO")},
	{S("\xc3\xa4"), S("A\xcc\x88")},
	{S("\xc3\x84"), S("A\xcc\x88")},
	{S("a\xcc\x88"), S("A\xcc\x88")},
	{S("\xef\xac\x81"), S("fi")},              // a ligature: its decomposition, not title-cased again (RFC 5051 section 2)
	{S("\xd0\xb6"), S("\xd0\x96")},
	{S("a\xff" "b"), S("A\xff" "B")},
	{S("\xc3"), S("\xc3")},
};

static void charset_casemap_makes_equal_what_looks_equal(void **state)
{
	(void)state;
	struct buf out;
	buf_init(&out, 100);
	for (size_t i = 0; i < sizeof casemaps / sizeof *casemaps; i++) {
		buf_clear(&out);
		assert_true(charset_casemap(casemaps[i].in, &out));
		if (!str_eq(buf_str(&out), casemaps[i].out))
			fail_msg("row %zu: \"%.*s\"", i, STR_FMT(buf_str(&out)));
	}
	buf_clear(&out);
	assert_true(charset_nfc(STR("a\xcc\x88 x"), &out) && str_eq(buf_str(&out), STR("\xc3\xa4 x")));
	assert_false(charset_nfc(STR("\xff"), &out));
	buf_fini(&out);
	buf_init(&out, 3);
	assert_false(charset_casemap(STR("abcd"), &out));
	buf_fini(&out);
}

static const struct pair words[] = {
	{S("plain text"), S("plain text")},
	{S("=?utf-8?q?caf=C3=A9_au_lait?="), S("caf\xc3\xa9 au lait")},
	{S("=?ISO-8859-1*de?Q?f=FCr?= Sie"), S("f\xc3\xbcr Sie")},
	{S("=?utf-8?B?w6Q=?="), S("\xc3\xa4")},
	{S("=?utf-8?b?w6Q?="), S("\xc3\xa4")},
	{S("a =?utf-8?q?b?= c"), S("a b c")},
	{S("=?utf-8?q?a?= \t =?utf-8?q?b?="), S("ab")},
	{S("=?utf-8?q?=C3?= =?UTF-8?b?pA==?="), S("\xc3\xa4")}, // one character in two words
	{S("=?utf-8?q?=C3?= =?iso-8859-1?q?=E4?="), S(FFFD "\xc3\xa4")},
	{S("x=?utf-8?q?a?=y"), S("xay")},
	{S("=?klingon?q?a?="), S("=?klingon?q?a?=")},
	{S("=?utf-8?x?a?="), S("=?utf-8?x?a?=")},
	{S("=?utf-8?b?!!?="), S("=?utf-8?b?!!?=")},
	{S("=?utf-8?q?a?= =?utf-8?b?!!?= z"), S("a =?utf-8?b?!!?= z")},
	{S("=?utf-8?q?a"), S("=?utf-8?q?a")},
	{S("=?utf-8?q?a?"), S("=?utf-8?q?a?")},
	{S("=?"), S("=?")},
	{S("=?=?utf-8?q?a?="), S("=?a")},
	{S("=?utf-8?q?=ZZ=4?="), S("=ZZ=4")},
	{S("=?utf-8?q?" "?="), S("")},
	/* header injection by way of a decoded word */ {S("=?utf-8?q?a=0D=0ABcc:_x=00?="), S("a  Bcc: x ")},
	{S("\xe4\t\x01"), S(FFFD "  ")},
	{S(""), S("")},
};

static void encword_decodes_words_and_nothing_else(void **state)
{
	(void)state;
	struct arena *arena = arena_new(1 << 20);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		struct str out = encword_decode(arena, words[i].in);
		if (!str_eq(out, words[i].out))
			fail_msg("\"%.*s\": \"%.*s\"", STR_FMT(words[i].in), STR_FMT(out));
	}
	arena_free(&arena);
}

static const struct pair encoded[] = {
	{S("plain text, even (odd) \"chars\""), S("plain text, even (odd) \"chars\"")},
	{S("caf\xc3\xa9"), S("=?utf-8?q?caf=C3=A9?=")},
	{S("un caf\xc3\xa9 \xc3\xa0 Lyon"), S("un =?utf-8?q?caf=C3=A9_=C3=A0?= Lyon")},
	{S("=?utf-8?q?x?="), S("=?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3F=3D?=")},
	{S("\xff"), S("=?utf-8?b?77+9?=")},
};

static void encword_encodes_only_what_needs_it(void **state)
{
	(void)state;
	struct buf out;
	buf_init(&out, 4096);
	for (size_t i = 0; i < sizeof encoded / sizeof *encoded; i++) {
		buf_clear(&out);
		assert_true(encword_encode(encoded[i].in, &out));
		if (!str_eq(buf_str(&out), encoded[i].out))
			fail_msg("\"%.*s\": \"%.*s\"", STR_FMT(encoded[i].in), STR_FMT(buf_str(&out)));
	}
	buf_fini(&out);
}

static void encword_long_text_comes_back_in_words_of_75(void **state)
{
	(void)state;
	struct buf text, out;
	struct arena *arena = arena_new(1 << 20);
	buf_init(&text, 4096);
	buf_init(&out, 1 << 14);
	for (int mix = 0; mix < 4; mix++) {
		buf_clear(&text);
		buf_clear(&out);
		for (int i = 0; i < 200; i++)
			buf_add(&text, i % (mix + 1) ? STR("x y") : STR("\xe2\x82\xac" "a\xf0\x9f\x98\x80"));
		assert_true(encword_encode(buf_str(&text), &out));
		struct str rest = buf_str(&out), word = STR_NONE;
		while (str_cut(rest, ' ', &word, &rest))
			assert_true(word.n <= 75);
		assert_true(rest.n <= 75 && str_is_printable(buf_str(&out)));
		assert_true(str_eq(encword_decode(arena, buf_str(&out)), buf_str(&text)));
	}
	buf_fini(&text);
	buf_fini(&out);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(charset_becomes_utf8),
		cmocka_unit_test(charset_output_is_bounded_at_a_character),
		cmocka_unit_test(charset_casemap_makes_equal_what_looks_equal),
		cmocka_unit_test(encword_decodes_words_and_nothing_else),
		cmocka_unit_test(encword_encodes_only_what_needs_it),
		cmocka_unit_test(encword_long_text_comes_back_in_words_of_75),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
