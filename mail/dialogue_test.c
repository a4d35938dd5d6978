// SPDX-License-Identifier: Apache-2.0
// The dialogue under SMTP and LMTP, with a protocol that takes everybody but "nobody" and keeps its messages: framing, order, limits, deadlines.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/must.h"
#include "dialogue_toy.h"

// A dialogue as rows: what the client sends, and the codes that it hears ("250 354 550"; EHLO and the greeting included), and the messages that
// were taken, each in brackets.
struct row {
	const char *name;
	struct str in;
	const char *codes;
	const char *messages;
};

#define S(literal) {literal, sizeof(literal) - 1}
#define EHLO "EHLO x\r\n"
#define MAIL "MAIL FROM:<a@b.example>\r\n"
#define TO "RCPT TO:<joe@b.example>\r\n"
#define NOBODY "RCPT TO:<nobody@b.example>\r\n"
#define BEGIN EHLO MAIL TO

static const struct row rows[] = {
	{"data", S(BEGIN "DATA\r\nx\r\n..y\r\n.\r\nQUIT\r\n"), "220 250 250 250 354 250 221", "[x\r\n.y\r\n]"},
	{"data twice", S(BEGIN "DATA\r\n1\r\n.\r\n" MAIL TO "DATA\r\n2\r\n.\r\n"), "220 250 250 250 354 250 250 250 354 250", "[1\r\n][2\r\n]"},
	{"no rcpt", S(EHLO MAIL NOBODY "DATA\r\nNOOP\r\n"), "220 250 250 550 554 250", ""},
	{"bdat last", S(BEGIN "BDAT 5 LAST\r\nx\r\n.\r" "NOOP\r\n"), "220 250 250 250 550 250", ""},
	{"bdat one chunk", S(BEGIN "BDAT 6 LAST\r\nx\r\n.\r\nNOOP\r\n"), "220 250 250 250 250 250", "[x\r\n.\r\n]"},
	{"bdat dots stay", S(BEGIN "BDAT 14 LAST\r\n.\r\n..\r\n\r\n.\r\nx.NOOP\r\n"), "220 250 250 250 250 250", "[.\r\n..\r\n\r\n.\r\nx.]"},
	{"bdat no line end at the end", S(BEGIN "BDAT 1 LAST\r\nxNOOP\r\n"), "220 250 250 250 250 250", "[x]"},
	{"bdat two chunks", S(BEGIN "BDAT 3\r\nx\r\nBDAT 3 LAST\r\ny\r\nNOOP\r\n"), "220 250 250 250 250 250 250", "[x\r\ny\r\n]"},
	{"bdat 0 last", S(BEGIN "BDAT 3\r\nx\r\nBDAT 0 LAST\r\nNOOP\r\n"), "220 250 250 250 250 250 250", "[x\r\n]"},
	{"bdat 0 last alone", S(BEGIN "BDAT 0 LAST\r\nNOOP\r\n"), "220 250 250 250 250 250", "[]"},
	{"bdat 0", S(BEGIN "BDAT 0\r\nBDAT 0\r\nbdat 1 last\r\nx"), "220 250 250 250 250 250 250", "[x]"},
	{"bdat splits a line end", S(BEGIN "BDAT 2\r\nx\rBDAT 1\r\n\nBDAT 0 LAST\r\n"), "220 250 250 250 250 250 250", "[x\r\n]"},
	{"bdat commands in a chunk", S(BEGIN "BDAT 12 LAST\r\nQUIT\r\nQUIT\r\nNOOP\r\n"), "220 250 250 250 250 250", "[QUIT\r\nQUIT\r\n]"},
	{"bdat rset", S(BEGIN "BDAT 3\r\nx\r\nRSET\r\nBDAT 0 LAST\r\n" MAIL TO "BDAT 1 LAST\r\ny"), "220 250 250 250 250 250 503 250 250 250", "[y]"},
	{"bdat ehlo", S(BEGIN "BDAT 3\r\nx\r\n" EHLO "BDAT 0 LAST\r\n"), "220 250 250 250 250 250 503", ""},
	{"bdat noop", S(BEGIN "BDAT 1\r\nxNOOP\r\nVRFY x\r\nBDAT 1 LAST\r\ny"), "220 250 250 250 250 250 252 250", "[xy]"},
	{"bdat then data", S(BEGIN "BDAT 3\r\nx\r\nDATA\r\nMAIL FROM:<>\r\n" TO "STARTTLS\r\nBDAT 0 LAST\r\n"), "220 250 250 250 250 503 503 503 503 250", "[x\r\n]"},
	{"bdat after last", S(BEGIN "BDAT 1 LAST\r\nxBDAT 6 LAST\r\nRSET\r\nNOOP\r\n"), "220 250 250 250 250 503 250", "[x]"},
	{"bdat no mail", S(EHLO "BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"), "220 250 503 503 250", ""},
	{"bdat no ehlo", S("BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"), "220 503 250", ""},
	{"bdat no rcpt", S(EHLO MAIL NOBODY "BDAT 6\r\nQUIT\r\n" TO "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"), "220 250 250 550 554 503 554 250", ""},
	{"bdat no rcpt, then again", S(EHLO MAIL "BDAT 6 LAST\r\nQUIT\r\n" MAIL TO "BDAT 1 LAST\r\nx"), "220 250 250 554 250 250 250", "[x]"},
	{"bdat refused", S(BEGIN "BDAT 7\r\nrefuse!BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"), "220 250 250 250 452 452 452 250", ""},
	{"bdat refused is one error", S(BEGIN "BDAT 7\r\nrefuse!BDAT 0\r\nBDAT 0\r\nBDAT 0\r\nBDAT 0\r\nBDAT 0\r\nBDAT 0 LAST\r\nNOOP\r\n"),
		"220 250 250 250 452 452 452 452 452 452 452 250", ""},
	{"bdat refused at its end", S(BEGIN "BDAT 6 LAST\r\nat-endNOOP\r\n"), "220 250 250 250 451 250", ""},
	{"bdat cannot begin", S(EHLO "MAIL FROM:<full@b.example>\r\n" TO "BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"), "220 250 250 250 452 452 250", ""},
	{"bdat bare lf", S(BEGIN "BDAT 4\r\na\nb\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"), "220 250 250 250 550 550 250", ""},
	{"bdat bare cr at the very end", S(BEGIN "BDAT 2\r\na\rBDAT 0 LAST\r\nNOOP\r\n"), "220 250 250 250 250 550 250", ""},
	{"bdat nul", S(BEGIN "BDAT 3 LAST\r\na\0bNOOP\r\n"), "220 250 250 250 550 250", ""},
	{"bdat-len none", S(BEGIN "BDAT\r\nNOOP\r\n"), "220 250 250 250 501", ""},
	{"bdat-len 2^64", S(BEGIN "BDAT 18446744073709551616\r\nNOOP\r\n"), "220 250 250 250 552", ""},
	{"bdat-len 2^32", S(BEGIN "BDAT 4294967296 LAST\r\nNOOP\r\n"), "220 250 250 250 552", ""},
	{"bdat-len sign", S(BEGIN "BDAT -1 LAST\r\nNOOP\r\n"), "220 250 250 250 501", ""},
	{"bdat-len word", S(BEGIN "BDAT 1 FIRST\r\nxNOOP\r\n"), "220 250 250 250 501", ""},
	{"bdat-len lines", S(BEGIN "BDAT 5 LAST LAST\r\nxNOOP\r\n"), "220 250 250 250 501", ""},
	{"bdat breaks off", S(BEGIN "BDAT 100 LAST\r\nx"), "220 250 250 250", ""},
	{"http-on-25", S("GET / HTTP/1.1\r\nNOOP\r\n"), "220 554", ""},
	{"early-pipe", S("EHLO x\r\nNOOP\r\n\x01"), "220 554", ""}, // \x01: the script does not wait
	{"nul-cmd", S(EHLO "NO\0OP\r\nNOOP\r\n"), "220 250 501 250", ""},
	{"bare lf", S(EHLO "NOOP\nNOOP\r\n"), "220 250 521", ""},
	{"errors", S(EHLO "a\r\nb\r\nc\r\nd\r\ne\r\nf\r\n"), "220 250 500 500 500 500 500 421", ""},
	{"recipients", S(BEGIN TO TO TO), "220 250 250 250 250 250 452", ""},
	{"size", S(EHLO "MAIL FROM:<a@b.example> SIZE=1001\r\n" MAIL), "220 250 552 250", ""},
};

static void check(const struct row *row, bool bytewise)
{
	struct toy toy = {.in = row->in, .waits = !memchr(row->in.p, 1, row->in.n), .bytewise = bytewise};
	if (!toy.waits)
		toy.in.n--;
	toy_run(&toy);
	if (strcmp(toy.codes, row->codes) != 0 || strcmp(buf_c(&toy.messages) ? buf_c(&toy.messages) : "", row->messages) != 0)
		fail_msg("%s%s: \"%s\", messages \"%s\"", row->name, bytewise ? " bytewise" : "", toy.codes, buf_c(&toy.messages));
	toy_free(&toy);
}

static void dialogues(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check(&rows[i], false);
}

// In the smallest pieces that a network makes. Who sends ahead is only seen to do so when it has come.
static void dialogues_bytewise(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (strcmp(rows[i].name, "early-pipe") != 0)
			check(&rows[i], true);
}

static void each_recipient_is_answered_after_last(void **state)
{
	(void)state;
	struct toy toy = {.in = STR(EHLO MAIL TO NOBODY TO "BDAT 1\r\nxBDAT 1 LAST\r\ny" MAIL TO TO "BDAT 2\r\na\nBDAT 0 LAST\r\n" MAIL NOBODY "BDAT 0 LAST\r\nNOOP\r\n"),
		.waits = true, .per_recipient = true};
	toy_run(&toy);
	assert_string_equal(toy.codes, "220 250 250 250 550 250 250 250 250 250 250 250 550 550 550 250 550 554 250");
	assert_string_equal(buf_c(&toy.messages), "[xy]");
	toy_free(&toy);
}

static void line_ends_are_mended(void **state)
{
	(void)state;
	struct toy toy = {.in = STR(BEGIN "BDAT 3\r\na\nbBDAT 3\r\n\n.\nBDAT 2 LAST\r\nc\rNOOP\n"), .waits = true, .newline = SMTP_NEWLINE_NORMALIZE};
	toy_run(&toy);
	assert_string_equal(toy.codes, "220 250 250 250 250 250 250 250");
	assert_string_equal(buf_c(&toy.messages), "[a\r\nb\r\n.\r\nc ]");
	toy_free(&toy);
}

// A peer that falls silent, in whatever state, hears 421; what had come of its message is forgotten.
static void silence_ends_a_session(void **state)
{
	(void)state;
	const struct str silent[] = {STR(""), STR("NOO"), STR(BEGIN), STR(BEGIN "DATA\r\nx\r\n.\r"), STR(BEGIN "BDAT 10 LAST\r\nx"), STR(BEGIN "BDAT 1\r\nx")};
	for (size_t i = 0; i < sizeof silent / sizeof *silent; i++) {
		struct toy toy = {.in = silent[i], .waits = true, .end = ERR_TIMEOUT};
		toy_run(&toy);
		assert_string_equal(toy.codes + strlen(toy.codes) - 3, "421");
		assert_int_equal(toy.messages.n, 0);
		assert_int_equal(toy.begun, toy.forgotten);
		toy_free(&toy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dialogues),
		cmocka_unit_test(dialogues_bytewise),
		cmocka_unit_test(each_recipient_is_answered_after_last),
		cmocka_unit_test(line_ends_are_mended),
		cmocka_unit_test(silence_ends_a_session),
	};
	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
