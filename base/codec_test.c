// SPDX-License-Identifier: Apache-2.0
// Base64 and hex: RFC 4648's vectors, and the texts that a strict decoder refuses.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/codec.h"

typedef bool transform(struct buf *b, struct str in);

static bool decode_base64(struct buf *b, struct str text)
{
	return codec_base64_decode(text, b);
}

static bool decode_bare(struct buf *b, struct str text)
{
	return codec_base64_bare_decode(text, b);
}

static bool decode_hex(struct buf *b, struct str text)
{
	return codec_hex_decode(text, b);
}

struct pair {
	struct str bytes, text;
};

static void both_ways(const struct pair *pairs, size_t n, transform *encode, transform *decode)
{
	struct buf b;
	buf_init(&b, 64);
	for (size_t i = 0; i < n; i++) {
		buf_clear(&b);
		buf_add(&b, STR(">"));
		assert_true(encode(&b, pairs[i].bytes));
		assert_true(str_eq(str_from(buf_str(&b), 1), pairs[i].text));
		buf_clear(&b);
		buf_add(&b, STR(">"));
		assert_true(decode(&b, pairs[i].text));
		assert_true(str_eq(str_from(buf_str(&b), 1), pairs[i].bytes));
	}
	buf_fini(&b);
}

static void refused(const struct str *texts, size_t n, transform *decode)
{
	struct buf b;
	buf_init(&b, 64);
	for (size_t i = 0; i < n; i++) {
		assert_false(decode(&b, texts[i]));
		assert_int_equal(b.n, 0);
	}
	buf_fini(&b);
}

static void base64_has_rfc_4648_vectors(void **state)
{
	(void)state;
	const struct pair pairs[] = {
		{STR(""), STR("")}, {STR("f"), STR("Zg==")}, {STR("fo"), STR("Zm8=")}, {STR("foo"), STR("Zm9v")},
		{STR("foob"), STR("Zm9vYg==")}, {STR("fooba"), STR("Zm9vYmE=")}, {STR("foobar"), STR("Zm9vYmFy")},
		{STR("\0\xff\xfe\xfb"), STR("AP/++w==")},
	};
	both_ways(pairs, sizeof pairs / sizeof *pairs, codec_base64_add, decode_base64);
	const struct str bad[] = {STR("Zg="), STR("Zg"), STR("Zh=="), STR("Zm9="), STR("===="), STR("Z==="), STR("=g=="), STR("Zg==Zg=="),
		STR("Zm9v\r\n"), STR("Zm 9"), STR("Zm.v"), STR("Zm9v\0Zm9"), STR("\xc3\xa4zz")};
	refused(bad, sizeof bad / sizeof *bad, decode_base64);
}

static void bare_base64_is_that_of_pw_pbkdf2(void **state)
{
	(void)state;
	const struct pair pairs[] = {{STR("f"), STR("Zg")}, {STR("fo"), STR("Zm8")}, {STR("\0\xff\xfe\xfb"), STR("AP/..w")}};
	both_ways(pairs, sizeof pairs / sizeof *pairs, codec_base64_bare_add, decode_bare);
	const struct str bad[] = {STR("Z"), STR("Zg=="), STR("Zh"), STR("Zm9vY")};
	refused(bad, sizeof bad / sizeof *bad, decode_bare);
}

static void hex_takes_both_cases_and_whole_bytes(void **state)
{
	(void)state;
	const struct pair pairs[] = {{STR(""), STR("")}, {STR("\0\x9f\xa0\xff"), STR("009fa0ff")}};
	both_ways(pairs, sizeof pairs / sizeof *pairs, codec_hex_add, decode_hex);
	const struct str bad[] = {STR("0"), STR("0g"), STR("0x"), STR(" 0"), STR("000")};
	refused(bad, sizeof bad / sizeof *bad, decode_hex);
	struct buf b;
	buf_init(&b, 8);
	assert_true(codec_hex_decode(STR("aBcD"), &b) && str_eq(buf_str(&b), STR("\xab\xcd")));
	buf_fini(&b);
}

static void a_full_buffer_takes_nothing(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, 3);
	assert_false(codec_base64_add(&b, STR("f")));
	assert_true(b.overflow && b.n == 0);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_has_rfc_4648_vectors),
		cmocka_unit_test(bare_base64_is_that_of_pw_pbkdf2),
		cmocka_unit_test(hex_takes_both_cases_and_whole_bytes),
		cmocka_unit_test(a_full_buffer_takes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
