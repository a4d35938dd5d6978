// SPDX-License-Identifier: Apache-2.0
// Replies: the table keeps its promises, what is written fits the wire, what is read is bounded.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "mail/reply.h"

static const enum reply_id ids[] = {
#define ID(id, code, enhanced, text) id,
	REPLIES(ID)
#undef ID
};

static void reply_table_has_classes_that_agree(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		struct reply reply = reply_of(ids[i]);
		assert_in_range(reply.code, 200, 599);
		if (reply.enhanced.n)
			assert_int_equal(reply.enhanced.p[0], '0' + reply.code / 100);
		assert_true(reply.text.n && str_is_printable(reply.text));
	}
	assert_int_equal(reply_of(REPLY_UNKNOWN_USER).code, 550);
	assert_int_equal(reply_of(REPLY_MAILBOX_FULL).code, 452);
	assert_int_equal(reply_of(REPLY_TOO_BIG).code, 552);
	assert_int_equal(reply_of(REPLY_TOO_MANY_RECIPIENTS).code, 452);
}

static void reply_to_a_fault_of_ours_is_temporary(void **state)
{
	(void)state;
	for (int code = ERR_OK + 1; code <= ERR_UNSUPPORTED; code++)
		assert_in_range(reply_of_err((enum err_code)code).code, 400, 499);
	assert_int_equal(reply_of_err(ERR_NOSPACE).code, 452);
	assert_int_equal(reply_of_err(ERR_CANCELLED).code, 421);
}

static void reply_lines_fit_and_hold_no_line_end_from_outside(void **state)
{
	(void)state;
	struct buf out, text;
	buf_init(&out, 8192);
	buf_init(&text, 8192);
	assert_true(reply_format(reply_of(REPLY_UNKNOWN_USER), &out));
	assert_string_equal(buf_c(&out), "550 5.1.1 no such user here\r\n");
	buf_clear(&out);
	assert_true(reply_format((struct reply){250, STR_NONE, STR("mx.example\nSIZE 5\nHELP")}, &out));
	assert_string_equal(buf_c(&out), "250-mx.example\r\n250-SIZE 5\r\n250 HELP\r\n");
	buf_clear(&out);
	assert_true(reply_format(reply_with(REPLY_REFUSED, STR("a\r\nb\0\xc3\xa4")), &out));
	assert_int_equal(out.n, strlen("550-5.7.1 a?\r\n550 5.7.1 b???\r\n"));
	assert_memory_equal(out.p, "550-5.7.1 a?\r\n550 5.7.1 b???\r\n", out.n);
	buf_clear(&out);
	assert_true(reply_format(reply_with(REPLY_REFUSED, STR("")), &out));
	assert_string_equal(buf_c(&out), "550 5.7.1\r\n");
	buf_clear(&out);
	for (int i = 0; i < 300; i++)
		buf_add(&text, i % 100 < 80 ? STR("word ") : STR("xxxxx"));
	assert_true(reply_format(reply_with(REPLY_REFUSED, buf_str(&text)), &out));
	struct str rest = buf_str(&out), line;
	size_t seen = 0;
	while (str_next_line(&rest, &line)) {
		assert_true(line.n <= 510 && str_starts(line, rest.n ? STR("550-5.7.1 ") : STR("550 5.7.1 ")));
		seen += line.n - 10;
	}
	assert_int_equal(seen, text.n);
	struct buf small;
	buf_init(&small, 20);
	assert_true(buf_add(&small, STR("x")));
	assert_false(reply_format(reply_of(REPLY_UNKNOWN_USER), &small));
	assert_int_equal(small.n, 1);
	buf_fini(&small);
	buf_fini(&out);
	buf_fini(&text);
}

struct read {
	const char *lines[4];
	enum reply_read last;
	int code;
	const char *enhanced, *text;
};

static const struct read reads[] = {
	{{"250 ok"}, REPLY_READ_DONE, 250, "", "ok"},
	{{"250"}, REPLY_READ_DONE, 250, "", ""},
	{{"250 2.1.5 ok"}, REPLY_READ_DONE, 250, "2.1.5", "ok"},
	{{"550-5.1.1 no", "550 5.1.1 user"}, REPLY_READ_DONE, 550, "5.1.1", "no\nuser"},
	{{"250-mx", "250-SIZE 5", "250 AUTH PLAIN"}, REPLY_READ_DONE, 250, "", "mx\nSIZE 5\nAUTH PLAIN"},
	{{"550 4.1.1 odd class"}, REPLY_READ_DONE, 550, "", "4.1.1 odd class"},
	{{"550 5.1.1.1 address"}, REPLY_READ_DONE, 550, "", "5.1.1.1 address"},
	{{"550 5.1111.1 x"}, REPLY_READ_DONE, 550, "", "5.1111.1 x"},
	{{"250 a\tb\x01"}, REPLY_READ_DONE, 250, "", "a?b?"},
	{{"354 3.0.0 go"}, REPLY_READ_DONE, 354, "", "3.0.0 go"},
	{{"250-a", "550 b"}, REPLY_READ_BAD, 0, NULL, NULL},
	{{"25 a"}, REPLY_READ_BAD, 0, NULL, NULL},
	{{"2500"}, REPLY_READ_BAD, 0, NULL, NULL},
	{{"150 a"}, REPLY_READ_BAD, 0, NULL, NULL},
	{{"600 a"}, REPLY_READ_BAD, 0, NULL, NULL},
	{{""}, REPLY_READ_BAD, 0, NULL, NULL},
	{{"* OK"}, REPLY_READ_BAD, 0, NULL, NULL},
};

static void reply_reader_takes_replies_and_nothing_else(void **state)
{
	(void)state;
	struct reply_reader reader;
	reply_reader_init(&reader);
	for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
		enum reply_read result = REPLY_READ_MORE;
		for (size_t k = 0; k < 4 && reads[i].lines[k]; k++) {
			assert_int_equal(result, REPLY_READ_MORE);
			result = reply_reader_line(&reader, str_of_c(reads[i].lines[k]));
		}
		if (result != reads[i].last)
			fail_msg("row %zu: %d", i, result);
		if (result != REPLY_READ_DONE)
			continue;
		struct reply reply = reply_reader_reply(&reader);
		assert_int_equal(reply.code, reads[i].code);
		assert_true(str_eq(reply.enhanced, str_of_c(reads[i].enhanced)));
		if (!str_eq(reply.text, str_of_c(reads[i].text)))
			fail_msg("row %zu: \"%.*s\"", i, STR_FMT(reply.text));
	}
	reply_reader_fini(&reader);
}

static void reply_reader_is_bounded(void **state)
{
	(void)state;
	struct reply_reader reader;
	static char text[REPLY_LINE_BYTES_MAX + 2];
	memset(text, 'x', sizeof text);
	memcpy(text, "250-", 4);
	reply_reader_init(&reader);
	assert_int_equal(reply_reader_line(&reader, str_of(text, sizeof text)), REPLY_READ_BAD);
	unsigned lines = 0;
	while (reply_reader_line(&reader, STR("250-x")) == REPLY_READ_MORE)
		lines++;
	assert_int_equal(lines, REPLY_LINES_MAX);
	size_t bytes = 0;
	while (reply_reader_line(&reader, str_of(text, 2000)) == REPLY_READ_MORE)
		bytes += 2000;
	assert_true(bytes <= REPLY_TEXT_BYTES_MAX + 100);
	reply_reader_fini(&reader);
}

static void reply_finds_keywords_of_ehlo(void **state)
{
	(void)state;
	struct reply reply = {250, STR_NONE, STR("STARTTLS\nSIZE 1000\n8bitmime\nAUTH=LOGIN\nSIZEX 5")};
	struct str params;
	assert_false(reply_has_keyword(reply, STR("STARTTLS"), NULL)); // the first line is the server's name
	assert_true(reply_has_keyword(reply, STR("size"), &params) && str_eq(params, STR("1000")));
	assert_true(reply_has_keyword(reply, STR("8BITMIME"), &params) && params.n == 0);
	assert_true(reply_has_keyword(reply, STR("AUTH"), &params) && str_eq(params, STR("LOGIN")));
	assert_false(reply_has_keyword(reply, STR("SIZ"), NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reply_table_has_classes_that_agree),
		cmocka_unit_test(reply_to_a_fault_of_ours_is_temporary),
		cmocka_unit_test(reply_lines_fit_and_hold_no_line_end_from_outside),
		cmocka_unit_test(reply_reader_takes_replies_and_nothing_else),
		cmocka_unit_test(reply_reader_is_bounded),
		cmocka_unit_test(reply_finds_keywords_of_ehlo),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
