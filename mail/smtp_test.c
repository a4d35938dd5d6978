// SPDX-License-Identifier: Apache-2.0
// SMTP and LMTP command lines and replies: what is taken, what is refused with which code, what goes out.
#include <stdio.h>

#include "mail/smtp.h"
#include "mail/xtext.h"
#include "test_arena.h"

#define S(literal) {literal, sizeof(literal) - 1}
#define GUID "00112233445566778899aabbccddeeff"

struct line {
	struct str in;
	enum smtp_result result;
	const char *verb, *argument;
};

static const struct line lines[] = {
	{S("NOOP"), SMTP_OK, "NOOP", ""},
	{S("mail  FROM:<a@b> \t"), SMTP_OK, "mail", "FROM:<a@b>"},
	{S("\tEHLO x"), SMTP_OK, "EHLO", "x"},
	{S(""), SMTP_NO_VERB, NULL, NULL},
	{S("  "), SMTP_NO_VERB, NULL, NULL},
	{S("M@IL x"), SMTP_NO_VERB, NULL, NULL},
	{S("-x"), SMTP_NO_VERB, NULL, NULL},
	/* nul-cmd */ {S("MAIL FROM:<a\0b@x>"), SMTP_CONTROL, NULL, NULL},
	{S("MAIL FROM:<a@x>\0"), SMTP_CONTROL, NULL, NULL},
	{S("MAIL\rFROM:<a@x>"), SMTP_CONTROL, NULL, NULL},
	{S("MAIL FROM:<a\x7f@x>"), SMTP_CONTROL, NULL, NULL},
	{S("MAIL FROM:<\xff@x>"), SMTP_CONTROL, NULL, NULL},
};

static void smtp_takes_a_line_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		struct smtp_command command;
		enum smtp_result result = smtp_command_parse(lines[i].in, &command);
		if (result != lines[i].result)
			fail_msg("\"%.*s\": %d", STR_FMT(lines[i].in), result);
		if (result == SMTP_OK) {
			assert_true(str_eq(command.verb, str_of_c(lines[i].verb)));
			assert_true(str_eq(command.argument, str_of_c(lines[i].argument)));
		}
	}
}

struct mail {
	struct str in;
	unsigned accepted;
	enum smtp_result result;
	const char *out; // what smtp_mail_format makes of it again
};

enum { ALL = SMTP_FOR_LMTP | SMTP_PARAM_AUTH };

static const struct mail mails[] = {
	{S("FROM:<a@b>"), ALL, SMTP_OK, "FROM:<a@b>"},
	{S("from: <A@B>"), ALL, SMTP_OK, "FROM:<A@B>"},
	{S("FROM:<>"), ALL, SMTP_OK, "FROM:<>"},
	{S("FROM:a@b SIZE=5"), ALL, SMTP_OK, "FROM:<a@b> SIZE=5"},
	{S("FROM:<\"a b\"@c> size=5"), ALL, SMTP_OK, "FROM:<\"a b\"@c> SIZE=5"},
	{S("FROM:<@r:a@b>   SIZE=9223372036854775807\tBODY=8bitmime "), ALL, SMTP_OK,
	 "FROM:<a@b> SIZE=9223372036854775807 BODY=8BITMIME"},
	{S("FROM:<a@b> BODY=7BIT RET=HDRS ENVID=QQ+2B314"), ALL, SMTP_OK, "FROM:<a@b> RET=HDRS ENVID=QQ+2B314"},
	{S("FROM:<a@b> ENVID=,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,"), ALL, SMTP_OK,
	 "FROM:<a@b> ENVID=,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,"}, // does not grow over its limit on the way out
	{S("FROM:<\xc3\xa4@b> SMTPUTF8"), ALL, SMTP_OK, "FROM:<\xc3\xa4@b> SMTPUTF8"},
	{S("FROM:<a@b> AUTH=<> RET=FULL"), ALL, SMTP_OK, "FROM:<a@b> RET=FULL"},
	{S("FROM:<a@b> XPHKEY=" GUID), ALL, SMTP_OK, "FROM:<a@b> XPHKEY=" GUID},
	{S(""), ALL, SMTP_SYNTAX, NULL},
	{S("FROM"), ALL, SMTP_SYNTAX, NULL},
	{S("FROM:"), ALL, SMTP_SYNTAX, NULL},
	{S("FROM :<a@b>"), ALL, SMTP_SYNTAX, NULL},
	{S("TO:<a@b>"), ALL, SMTP_SYNTAX, NULL},
	{S("FROM:<a@b"), ALL, SMTP_BAD_SENDER, NULL},
	{S("FROM:<a>"), ALL, SMTP_BAD_SENDER, NULL},
	{S("FROM:<postmaster>"), ALL, SMTP_BAD_SENDER, NULL},
	{S("FROM:<a@b>SIZE=5"), ALL, SMTP_BAD_SENDER, NULL},
	{S("FROM:<a@b> SIZE"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("FROM:<a@b> SIZE="), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("FROM:<a@b> SIZE=-1"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("FROM:<a@b> SIZE=18446744073709551616"), ALL, SMTP_SIZE_TOO_BIG, NULL},
	{S("FROM:<a@b> SIZE=9223372036854775808"), ALL, SMTP_SIZE_TOO_BIG, NULL},
	{S("FROM:<a@b> SIZE=1 SIZE=1"), ALL, SMTP_DUPLICATE, NULL},
	{S("FROM:<a@b> SIZE=1 size=2"), ALL, SMTP_DUPLICATE, NULL},
	{S("FROM:<a@b> BODY=BINARYMIME"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("FROM:<a@b> SMTPUTF8=yes"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("FROM:<a@b> RET=ALL"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("FROM:<a@b> ENVID="), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("FROM:<a@b> ENVID=a+0Ab"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("FROM:<a@b> ENVID=a+4"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("FROM:<a@b> ENVID=a=b"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("FROM:<a@b> AUTH=a+00b"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("FROM:<a@b> FOO=1"), ALL, SMTP_UNKNOWN_PARAMETER, NULL},
	{S("FROM:<a@b> NOTIFY=NEVER"), ALL, SMTP_UNKNOWN_PARAMETER, NULL},
	{S("FROM:<a@b> =1"), ALL, SMTP_SYNTAX, NULL},
	{S("FROM:<a@b> <c@d>"), ALL, SMTP_SYNTAX, NULL},
	{S("FROM:<a@b> AUTH=<>"), SMTP_FOR_MX, SMTP_UNKNOWN_PARAMETER, NULL},
	/* key-forge: not even a parameter where it is not offered */
	{S("FROM:<a@b> XPHKEY=" GUID), SMTP_FOR_MX, SMTP_UNKNOWN_PARAMETER, NULL},
	{S("FROM:<a@b> XPHKEY=00112233445566778899AABBCCDDEEFF"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("FROM:<a@b> XPHKEY=00000000000000000000000000000000"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("FROM:<a@b> XPHKEY=0011"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("FROM:<\xc3\xa4@b>"), ALL, SMTP_NEEDS_UTF8, NULL},
	{S("FROM:<a@\xc3\xa4.b> SIZE=1"), ALL, SMTP_NEEDS_UTF8, NULL},
};

static void smtp_mail_takes_what_was_offered(void **state)
{
	(void)state;
	struct buf out;
	buf_init(&out, 4096);
	for (size_t i = 0; i < sizeof mails / sizeof *mails; i++) {
		struct smtp_mail mail = {.size_bytes = 77};
		enum smtp_result result = smtp_mail_parse(arena, mails[i].in, mails[i].accepted, &mail);
		if (result != mails[i].result)
			fail_msg("\"%.*s\": %d", STR_FMT(mails[i].in), result);
		if (result != SMTP_OK) {
			assert_int_equal(mail.size_bytes, 77);
			continue;
		}
		buf_clear(&out);
		assert_true(smtp_mail_format(&mail, mails[i].accepted, &out));
		assert_string_equal(buf_c(&out), mails[i].out);
	}
	buf_fini(&out);
}

static const struct mail rcpts[] = {
	{S("TO:<a@b>"), ALL, SMTP_OK, "TO:<a@b>"},
	{S("To: <Postmaster>"), ALL, SMTP_OK, "TO:<Postmaster>"},
	{S("TO:<a@b> NOTIFY=success,DELAY ORCPT=rfc822;A+2B@b"), ALL, SMTP_OK, "TO:<a@b> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;A+2B@b"},
	{S("TO:<a@b> NOTIFY=NEVER"), ALL, SMTP_OK, "TO:<a@b> NOTIFY=NEVER"},
	{S("TO:<a@b> XPHRCPT=,"), ALL, SMTP_OK, "TO:<a@b> XPHRCPT=,"},
	{S("TO:<a@b> XPHRCPT=a+2Cb+3D,l@b"), ALL, SMTP_OK, "TO:<a@b> XPHRCPT=a+2Cb+3D,l@b"},
	{S("TO:<>"), ALL, SMTP_BAD_RECIPIENT, NULL},
	{S("TO:<u@evil@us>"), ALL, SMTP_BAD_RECIPIENT, NULL},
	{S("TO:<a@b> NOTIFY="), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("TO:<a@b> NOTIFY=NEVER,DELAY"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("TO:<a@b> NOTIFY=DELAY,"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("TO:<a@b> ORCPT=rfc822"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("TO:<a@b> ORCPT=;a"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("TO:<a@b> ORCPT=rfc822;"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("TO:<a@b> ORCPT=rfc822;a+0D+0Ab"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("TO:<a@b> ORCPT=utf-8;\xc3\xa4@b"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("TO:<a@b> SIZE=1"), ALL, SMTP_UNKNOWN_PARAMETER, NULL},
	{S("TO:<a@b> NOTIFY=NEVER NOTIFY=NEVER"), ALL, SMTP_DUPLICATE, NULL},
	{S("TO:<a@b> XPHRCPT=,"), SMTP_FOR_MX, SMTP_UNKNOWN_PARAMETER, NULL},
	{S("TO:<a@b> XPHRCPT="), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("TO:<a@b> XPHRCPT=a,b,c"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("TO:<a@b> XPHRCPT=+61,"), ALL, SMTP_BAD_PARAMETER, NULL},   // "a" has one spelling
	{S("TO:<a@b> XPHRCPT=+2c,"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("TO:<a@b> XPHRCPT=+00,"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("TO:<a@b> XPHRCPT=+FF,"), ALL, SMTP_BAD_PARAMETER, NULL},
	{S("TO:<\xc3\xa4@b>"), ALL, SMTP_NEEDS_UTF8, NULL},
};

static void smtp_rcpt_takes_what_was_offered(void **state)
{
	(void)state;
	struct buf out;
	buf_init(&out, 4096);
	for (size_t i = 0; i < sizeof rcpts / sizeof *rcpts; i++) {
		struct smtp_rcpt rcpt;
		enum smtp_result result = smtp_rcpt_parse(arena, rcpts[i].in, rcpts[i].accepted, false, &rcpt);
		if (result != rcpts[i].result)
			fail_msg("\"%.*s\": %d", STR_FMT(rcpts[i].in), result);
		if (result != SMTP_OK)
			continue;
		buf_clear(&out);
		assert_true(smtp_rcpt_format(&rcpt, rcpts[i].accepted, &out));
		assert_string_equal(buf_c(&out), rcpts[i].out);
	}
	buf_fini(&out);
}

// utf8-nohop: a U-label can become an A-label, a local part cannot become anything.
static void smtp_sends_utf8_only_where_it_may(void **state)
{
	(void)state;
	struct buf out;
	struct smtp_rcpt rcpt;
	buf_init(&out, 4096);
	assert_int_equal(smtp_rcpt_parse(arena, STR("TO:<a@b\xc3\xbc" "cher.example> ORCPT=utf-8;\xc3\xa4@b"), ALL, true, &rcpt), SMTP_OK);
	assert_true(str_eq(rcpt.orcpt, STR("\xc3\xa4@b")));
	assert_true(smtp_rcpt_format(&rcpt, 0, &out));
	assert_string_equal(buf_c(&out), "TO:<a@xn--bcher-kva.example>");
	buf_clear(&out);
	assert_true(smtp_rcpt_format(&rcpt, SMTP_PARAM_DSN, &out));
	assert_string_equal(buf_c(&out), "TO:<a@xn--bcher-kva.example> ORCPT=utf-8;\\x{E4}@b");
	buf_clear(&out);
	assert_true(smtp_rcpt_format(&rcpt, ALL, &out));
	assert_string_equal(buf_c(&out), "TO:<a@b\xc3\xbc" "cher.example> ORCPT=utf-8;\xc3\xa4@b");
	assert_int_equal(smtp_rcpt_parse(arena, STR("TO:<\xc3\xa4@b>"), ALL, true, &rcpt), SMTP_OK);
	buf_clear(&out);
	assert_false(smtp_rcpt_format(&rcpt, ALL & ~(unsigned)SMTP_PARAM_UTF8, &out));
	buf_clear(&out);
	assert_true(smtp_rcpt_format(&rcpt, ALL, &out));
	buf_fini(&out);
}

static void smtp_helo_names_stay_harmless(void **state)
{
	(void)state;
	const struct str good[] = {STR("mail.example"), STR("[192.0.2.1]"), STR("[IPv6:::1]"), STR("my_pc"), STR("::1")};
	const struct str bad[] = {STR(""), STR("a b"), STR("a(b"), STR("a]"), STR("[[a]]"), STR("<a>"), STR("\xc3\xa4"), STR("a;b"), STR("\"a\"")};
	struct str name;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_true(smtp_helo_parse(good[i], &name) && str_eq(name, good[i]));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(smtp_helo_parse(bad[i], &name));
}

static void chunk_sizes_do_not_wrap(void **state)
{
	(void)state;
	static const struct {
		struct str in;
		enum smtp_result result;
		uint64_t bytes;
		bool last;
	} chunks[] = {
		{S("0"), SMTP_OK, 0, false},
		{S("0 LAST"), SMTP_OK, 0, true},
		{S("4711 last"), SMTP_OK, 4711, true},
		{S("007  LAST"), SMTP_OK, 7, true},
		{S("4294967295"), SMTP_OK, 4294967295, false},
		{S("4294967296"), SMTP_SIZE_TOO_BIG, 0, false},
		{S("18446744073709551616 LAST"), SMTP_SIZE_TOO_BIG, 0, false},
		{S("99999999999999999999999999999999999999999"), SMTP_SIZE_TOO_BIG, 0, false},
		{S(""), SMTP_SYNTAX, 0, false},
		{S("LAST"), SMTP_SYNTAX, 0, false},
		{S("-1"), SMTP_SYNTAX, 0, false},
		{S("+1"), SMTP_SYNTAX, 0, false},
		{S("1 "), SMTP_SYNTAX, 0, false},
		{S("1x"), SMTP_SYNTAX, 0, false},
		{S("1\tLAST"), SMTP_SYNTAX, 0, false},
		{S("1 LASTX"), SMTP_SYNTAX, 0, false},
		{S("1 LAST LAST"), SMTP_SYNTAX, 0, false},
	};
	for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
		struct smtp_chunk chunk = {0};
		if (smtp_chunk_parse(chunks[i].in, &chunk) != chunks[i].result || chunk.bytes != chunks[i].bytes || chunk.last != chunks[i].last)
			fail_msg("\"%.*s\"", STR_FMT(chunks[i].in));
	}
}

static void xtext_goes_both_ways(void **state)
{
	(void)state;
	char all[256];
	struct buf out;
	struct str back;
	for (int i = 0; i < 256; i++)
		all[i] = (char)i;
	buf_init(&out, 4096);
	assert_true(xtext_encode(str_of(all, sizeof all), &out));
	assert_true(str_is_printable(buf_str(&out)) && str_index(buf_str(&out), ' ') < 0);
	assert_true(xtext_decode(arena, buf_str(&out), &back));
	assert_true(str_eq(back, str_of(all, sizeof all)));
	const struct str bad[] = {STR("+"), STR("+4"), STR("+4G"), STR("a b"), STR("="), STR("\x80"), STR("a+")};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(xtext_decode(arena, bad[i], &back));
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smtp_takes_a_line_apart),
		cmocka_unit_test_setup_teardown(smtp_mail_takes_what_was_offered, setup, teardown),
		cmocka_unit_test_setup_teardown(smtp_rcpt_takes_what_was_offered, setup, teardown),
		cmocka_unit_test_setup_teardown(smtp_sends_utf8_only_where_it_may, setup, teardown),
		cmocka_unit_test(smtp_helo_names_stay_harmless),
		cmocka_unit_test(chunk_sizes_do_not_wrap),
		cmocka_unit_test_setup_teardown(xtext_goes_both_ways, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
