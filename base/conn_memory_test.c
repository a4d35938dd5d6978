// SPDX-License-Identifier: Apache-2.0
// Connections over memory: lines, limits, chunks, output, whatever the pieces in which the input comes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/conn.h"
#include "base/fiber.h"

static struct conn *script(struct str input, size_t splits_n)
{
	return conn_of_memory(&(struct conn_memory){.input = input, .splits_n = splits_n});
}

static void expect_line(struct conn *conn, size_t max, struct str want, enum conn_eol want_eol)
{
	struct str line;
	enum conn_eol eol;
	struct err err = {0};
	assert_int_equal(conn_read_line(conn, max, &line, &eol, &err), ERR_OK);
	assert_int_equal(line.n, want.n);
	assert_memory_equal(line.p, want.p, want.n);
	assert_int_equal(eol, want_eol);
}

static void expect_failure(struct conn *conn, size_t max, enum err_code want)
{
	struct str line = STR("untouched");
	enum conn_eol eol;
	struct err err = {0};
	assert_int_equal(conn_read_line(conn, max, &line, &eol, &err), want);
	assert_true(err.text[0]);
	assert_true(str_eq(line, STR("untouched")));
}

static const size_t piecewise[] = {0, CONN_MEMORY_BYTEWISE};

static void lines_say_how_they_ended_and_keep_nul_and_cr(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct conn *conn = script(STR("EHLO a\r\nbare\n\r\n\na\0b\rc\r\r\ncut"), piecewise[i]);
		expect_line(conn, 100, STR("EHLO a"), CONN_CRLF);
		expect_line(conn, 100, STR("bare"), CONN_BARE_LF);
		expect_line(conn, 100, STR(""), CONN_CRLF);
		expect_line(conn, 100, STR(""), CONN_BARE_LF);
		expect_line(conn, 100, STR("a\0b\rc\r"), CONN_CRLF);
		expect_failure(conn, 100, ERR_CLOSED);
		expect_failure(conn, 100, ERR_CLOSED);
		assert_int_equal(conn_bytes_in(conn), 27);
		conn_close(&conn, 0);
		assert_null(conn);
	}
}

static void a_line_of_just_the_limit_is_a_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct conn *conn = script(STR("12345\r\n12345\n123456\r\n123456\n12345\r\r\nok\r\n"), piecewise[i]);
		expect_line(conn, 5, STR("12345"), CONN_CRLF);
		expect_line(conn, 5, STR("12345"), CONN_BARE_LF);
		expect_failure(conn, 5, ERR_LIMIT);
		expect_failure(conn, 5, ERR_LIMIT);
		expect_failure(conn, 5, ERR_LIMIT);
		expect_line(conn, 5, STR("ok"), CONN_CRLF);
		conn_close(&conn, 0);
	}
}

// THREATS long-cmd: a megabyte of commands without a line end is one failure, and the next line is read as what it is.
static void a_huge_line_fails_once_and_is_swallowed(void **state)
{
	(void)state;
	enum { HUGE_BYTES = 1 << 20 };
	char *input = malloc(HUGE_BYTES + 8);
	for (size_t i = 0; i < HUGE_BYTES; i++)
		input[i] = "DATA MAIL "[i % 10];
	memcpy(input + HUGE_BYTES, "\r\nNOOP\r\n", 8);
	for (size_t i = 0; i < 2; i++) {
		struct conn *conn = script(str_of(input, HUGE_BYTES + 8), piecewise[i]);
		expect_failure(conn, 1000, ERR_LIMIT);
		expect_line(conn, 1000, STR("NOOP"), CONN_CRLF);
		expect_failure(conn, 1000, ERR_CLOSED);
		conn_close(&conn, 0);
	}
	free(input);
}

// One without an end is a failure too, soon, and what comes after it is nothing.
static void a_line_without_an_end_ends_the_reading(void **state)
{
	(void)state;
	enum { INPUT_BYTES = CONN_SWALLOW_BYTES_MAX + 200000 };
	char *input = malloc(INPUT_BYTES);
	memset(input, 'x', INPUT_BYTES);
	memcpy(input + INPUT_BYTES - 8, "\r\nNOOP\r\n", 8);
	struct conn *conn = script(str_of(input, INPUT_BYTES), 0);
	expect_failure(conn, 1000, ERR_LIMIT);
	expect_failure(conn, 1000, ERR_CLOSED);
	expect_failure(conn, 1000, ERR_CLOSED);
	assert_false(conn_has_input(conn));
	assert_int_equal(conn_printf(conn, "BYE\r\n"), ERR_OK);
	assert_int_equal(conn_flush(conn, NULL), ERR_OK);
	conn_close(&conn, 0);
	free(input);
}

static void long_lines_up_to_64_kib_are_read_whole(void **state)
{
	(void)state;
	char *input = malloc(CONN_LINE_BYTES_MAX + 2);
	memset(input, 'x', CONN_LINE_BYTES_MAX);
	memcpy(input + CONN_LINE_BYTES_MAX, "\r\n", 2);
	struct conn *conn = script(str_of(input, CONN_LINE_BYTES_MAX + 2), 0);
	expect_line(conn, CONN_LINE_BYTES_MAX, str_of(input, CONN_LINE_BYTES_MAX), CONN_CRLF);
	conn_close(&conn, 0);
	free(input);
}

static void exact_reads_cross_pieces_and_respect_the_cap(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct conn *conn = script(STR("A1 APPEND {6}\r\nab\r\ncd rest\r\n"), piecewise[i]);
		struct buf body;
		buf_init(&body, 8);
		expect_line(conn, 100, STR("A1 APPEND {6}"), CONN_CRLF);
		assert_int_equal(conn_read_exact(conn, 9, &body, NULL), ERR_LIMIT);
		assert_int_equal(body.n, 0);
		assert_int_equal(conn_read_exact(conn, 6, &body, NULL), ERR_OK);
		assert_string_equal(buf_c(&body), "ab\r\ncd");
		expect_line(conn, 100, STR(" rest"), CONN_CRLF);
		buf_clear(&body);
		assert_int_equal(conn_read_exact(conn, 1, &body, NULL), ERR_CLOSED);
		buf_fini(&body);
		conn_close(&conn, 0);
	}
}

static void peeked_bytes_stay_until_they_are_consumed(void **state)
{
	(void)state;
	struct conn *conn = script(STR("body\r\n.\r\nNOOP\r\n"), 0);
	struct str chunk;
	assert_false(conn_has_input(conn));
	assert_int_equal(conn_peek(conn, &chunk, NULL), ERR_OK);
	assert_true(str_eq(chunk, STR("body\r\n.\r\nNOOP\r\n")));
	assert_true(conn_has_input(conn));
	conn_consume(conn, 9);
	expect_line(conn, 100, STR("NOOP"), CONN_CRLF);
	assert_int_equal(conn_peek(conn, &chunk, NULL), ERR_CLOSED);
	conn_close(&conn, 0);

	conn = script(STR("abcdef"), 0);
	assert_int_equal(conn_read_some(conn, 4, &chunk, NULL), ERR_OK);
	assert_true(str_eq(chunk, STR("abcd")));
	assert_int_equal(conn_read_some(conn, 4, &chunk, NULL), ERR_OK);
	assert_true(str_eq(chunk, STR("ef")));
	conn_close(&conn, 0);
}

static void pieces_end_where_the_script_says(void **state)
{
	(void)state;
	const size_t splits[] = {2, 5};
	struct conn *conn = conn_of_memory(&(struct conn_memory){.input = STR("abcdefg"), .splits = splits, .splits_n = 2});
	const struct str want[] = {STR("ab"), STR("cde"), STR("fg")};
	for (size_t i = 0; i < 3; i++) {
		struct str chunk;
		assert_int_equal(conn_read_some(conn, 100, &chunk, NULL), ERR_OK);
		assert_true(str_eq(chunk, want[i]));
	}
	conn_close(&conn, 0);
}

static void output_is_all_there_in_order(void **state)
{
	(void)state;
	struct buf out, want;
	buf_init(&out, 1 << 20);
	buf_init(&want, 1 << 20);
	struct conn *conn = conn_of_memory(&(struct conn_memory){.input = STR("x"), .output = &out});
	enum { BIG_BYTES = 40000 };
	char *big = malloc(BIG_BYTES);
	memset(big, 'b', BIG_BYTES);
	assert_int_equal(conn_write(conn, STR("250 ok\r\n")), ERR_OK);
	assert_int_equal(out.n, 0); // buffered
	assert_int_equal(conn_printf(conn, "%d %s\r\n", 354, "go"), ERR_OK);
	assert_int_equal(conn_printf(conn, "%.*s\r\n", 3000, big), ERR_OK);
	assert_int_equal(conn_write_through(conn, str_of(big, BIG_BYTES)), ERR_OK);
	assert_int_equal(conn_write_through(conn, STR("few")), ERR_OK);
	assert_int_equal(conn_write(conn, str_of(big, BIG_BYTES)), ERR_OK);
	buf_printf(&want, "250 ok\r\n354 go\r\n%.*s\r\n%.*sfew%.*s", 3000, big, BIG_BYTES, big, BIG_BYTES, big);
	for (int i = 0; i < 5000; i++) {
		conn_printf(conn, "line %d\r\n", i);
		buf_printf(&want, "line %d\r\n", i);
	}
	assert_true(want.n - out.n <= CONN_OUTPUT_BYTES);
	assert_int_equal(conn_flush(conn, NULL), ERR_OK);
	assert_int_equal(out.n, want.n);
	assert_memory_equal(out.p, want.p, want.n);
	assert_int_equal(conn_bytes_out(conn), want.n);
	conn_printf(conn, "221 bye\r\n");
	conn_close(&conn, 1000);
	assert_true(str_ends(buf_str(&out), STR("221 bye\r\n")));
	buf_fini(&out);
	buf_fini(&want);
	free(big);
}

static void replies_wait_while_there_is_more_to_read(void **state)
{
	(void)state;
	struct buf out;
	struct str chunk;
	const size_t split = 5;
	buf_init(&out, 100);
	struct conn *conn = conn_of_memory(&(struct conn_memory){
		.input = STR("MAIL\nbody"), .splits = &split, .splits_n = 1, .output = &out, .end = ERR_TIMEOUT});
	expect_line(conn, 100, STR("MAIL"), CONN_BARE_LF);
	conn_write(conn, STR("250\r\n"));
	assert_int_equal(conn_flush_before_wait(conn, NULL), ERR_OK); // the body is there, though not in our buffer yet
	assert_int_equal(out.n, 0);
	assert_int_equal(conn_read_some(conn, 100, &chunk, NULL), ERR_OK);
	assert_true(str_eq(chunk, STR("body")));
	assert_int_equal(conn_flush_before_wait(conn, NULL), ERR_OK); // nothing more: the peer may wait for us
	assert_true(str_eq(buf_str(&out), STR("250\r\n")));
	conn_close(&conn, 0);
	buf_fini(&out);
}

static void a_failed_write_is_remembered(void **state)
{
	(void)state;
	struct buf out;
	buf_init(&out, 10);
	struct conn *conn = conn_of_memory(&(struct conn_memory){.input = STR("NOOP\r\n"), .output = &out});
	struct err err = {0};
	assert_int_equal(conn_write(conn, STR("more than ten bytes")), ERR_OK);
	assert_int_equal(conn_flush(conn, &err), ERR_LIMIT);
	assert_string_equal(err.text, "the script's output is full");
	assert_int_equal(conn_write(conn, STR("x")), ERR_LIMIT);
	assert_int_equal(conn_flush(conn, NULL), ERR_LIMIT);
	expect_failure(conn, 100, ERR_LIMIT);
	conn_close(&conn, 1000);
	buf_fini(&out);
}

static void messages_come_where_the_script_says(void **state)
{
	(void)state;
	const size_t messages[] = {6, 6, 12};
	struct conn *conn = conn_of_memory(&(struct conn_memory){
		.input = STR("IDLE\r\nDONE\r\nx\r\n"), .messages = messages, .messages_n = 3, .end = ERR_TIMEOUT});
	enum { BOTH = FIBER_READABLE | FIBER_MESSAGE };
	assert_int_equal(conn_wait(conn, BOTH, 1), FIBER_READABLE);
	expect_line(conn, 100, STR("IDLE"), CONN_CRLF);
	assert_int_equal(conn_wait(conn, BOTH, 1), FIBER_MESSAGE);
	assert_int_equal(conn_wait(conn, BOTH, 1), FIBER_MESSAGE);
	assert_int_equal(conn_wait(conn, BOTH, 1), FIBER_READABLE);
	expect_line(conn, 100, STR("DONE"), CONN_CRLF);
	expect_line(conn, 100, STR("x"), CONN_CRLF); // nobody waited for the third message
	assert_int_equal(conn_wait(conn, FIBER_MESSAGE, 1), FIBER_MESSAGE);
	assert_int_equal(conn_wait(conn, BOTH, 1), FIBER_TIMEOUT);
	expect_failure(conn, 100, ERR_TIMEOUT);
	conn_close(&conn, 0);
}

static void a_cancelled_script_can_still_say_goodbye(void **state)
{
	(void)state;
	struct buf out;
	buf_init(&out, 100);
	struct conn_memory memory = {.input = STR("NOOP\r\nMA"), .output = &out, .end = ERR_CANCELLED};
	struct conn *conn = conn_of_memory(&memory);
	expect_line(conn, 100, STR("NOOP"), CONN_CRLF);
	expect_failure(conn, 100, ERR_CANCELLED);
	conn_write(conn, STR("421 bye\r\n"));
	conn_close(&conn, 1000);
	assert_string_equal(buf_c(&out), "421 bye\r\n");
	buf_fini(&out);
}

// THREATS stls-inject: what came with STARTTLS in one piece is thrown away and counted; what comes later is read.
static void starttls_discards_what_came_ahead(void **state)
{
	(void)state;
	const size_t splits[] = {25};
	struct conn *conn = conn_of_memory(
		&(struct conn_memory){.input = STR("STARTTLS\r\nMAIL FROM:<a>\r\nEHLO b\r\n"), .splits = splits, .splits_n = 1, .peer_spki = "0a"});
	size_t discarded = 0;
	struct err err = {0};
	expect_line(conn, 100, STR("STARTTLS"), CONN_CRLF);
	assert_null(conn_tls(conn));
	assert_int_equal(conn_tls_accept(conn, NULL, &discarded, &err), ERR_OK);
	assert_int_equal(discarded, 15);
	assert_string_equal(conn_tls(conn)->peer_spki, "0a");
	assert_false(conn_has_input(conn));
	expect_line(conn, 100, STR("EHLO b"), CONN_CRLF);
	conn_close(&conn, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_say_how_they_ended_and_keep_nul_and_cr),
		cmocka_unit_test(a_line_of_just_the_limit_is_a_line),
		cmocka_unit_test(a_huge_line_fails_once_and_is_swallowed),
		cmocka_unit_test(a_line_without_an_end_ends_the_reading),
		cmocka_unit_test(long_lines_up_to_64_kib_are_read_whole),
		cmocka_unit_test(exact_reads_cross_pieces_and_respect_the_cap),
		cmocka_unit_test(peeked_bytes_stay_until_they_are_consumed),
		cmocka_unit_test(pieces_end_where_the_script_says),
		cmocka_unit_test(output_is_all_there_in_order),
		cmocka_unit_test(replies_wait_while_there_is_more_to_read),
		cmocka_unit_test(a_failed_write_is_remembered),
		cmocka_unit_test(messages_come_where_the_script_says),
		cmocka_unit_test(a_cancelled_script_can_still_say_goodbye),
		cmocka_unit_test(starttls_discards_what_came_ahead),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
