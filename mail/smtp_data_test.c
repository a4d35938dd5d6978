// SPDX-License-Identifier: Apache-2.0
// DATA both ways. The smug-* rows of the threats, each at every split of its input into three portions and in both modes: only CRLF.CRLF
// ends the data.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/arena.h"
#include "mail/smtp_data.h"

struct row {
	const char *name;
	struct str in;   // what the client sends after 354, its true end included
	struct str out;  // the message, in normalize mode
	size_t rest;     // bytes after the end of the data, not consumed
	enum reply_id reject; // the verdict in reject mode; REPLY_OK: taken
};

#define END "\r\n.\r\n"
#define S(literal) {literal, sizeof(literal) - 1}

static const struct row rows[] = {
	{"plain", S("a\r\nb" END), S("a\r\nb\r\n"), 0, REPLY_OK},
	{"empty", S(".\r\n"), S(""), 0, REPLY_OK},
	{"empty-line", S("\r\n.\r\n"), S("\r\n"), 0, REPLY_OK},
	{"stuffed", S("..\r\n...a\r\n.b" END), S(".\r\n..a\r\nb\r\n"), 0, REPLY_OK},
	{"dot-inside", S("a.\r\nb.c" END), S("a.\r\nb.c\r\n"), 0, REPLY_OK},
	{"pipelined", S("a" END "QUIT\r\n"), S("a\r\n"), 6, REPLY_OK},
	{"8-bit", S("\xff\xfe\x80" END), S("\xff\xfe\x80\r\n"), 0, REPLY_OK},
	{"smug-lf-lf", S("a\n.\nMAIL FROM:<x@y>" END), S("a\r\n.\r\nMAIL FROM:<x@y>\r\n"), 0, REPLY_BARE_NEWLINE},
	{"smug-mixed lf.crlf", S("a\n.\r\nMAIL" END), S("a\r\n.\r\nMAIL\r\n"), 0, REPLY_BARE_NEWLINE},
	{"smug-mixed crlf.lf", S("a\r\n.\nMAIL" END), S("a\r\n\r\nMAIL\r\n"), 0, REPLY_BARE_NEWLINE},
	{"smug-mixed cr.cr", S("a\r.\rMAIL" END), S("a . MAIL\r\n"), 0, REPLY_BARE_NEWLINE},
	{"smug-mixed crlf.cr", S("a\r\n.\rMAIL" END), S("a\r\n MAIL\r\n"), 0, REPLY_BARE_NEWLINE},
	{"smug-mixed crlf.crcrlf", S("a\r\n.\r\r\nMAIL" END), S("a\r\n \r\nMAIL\r\n"), 0, REPLY_BARE_NEWLINE},
	{"smug-mixed cr.crlf", S("a\r.\r\nMAIL" END), S("a .\r\nMAIL\r\n"), 0, REPLY_BARE_NEWLINE},
	{"smug-mixed crlf-nul.crlf", S("a\r\n\0.\r\nMAIL" END), S("a\r\n.\r\nMAIL\r\n"), 0, REPLY_NUL_IN_DATA},
	{"smug-mixed crlf.nul-crlf", S("a\r\n.\0\r\nMAIL" END), S("a\r\n\r\nMAIL\r\n"), 0, REPLY_NUL_IN_DATA},
	{"smug-mixed crlf.cr-nul-lf", S("a\r\n.\r\0\nMAIL" END), S("a\r\n \r\nMAIL\r\n"), 0, REPLY_BARE_NEWLINE},
	{"smug-mixed cr-nul-lf.crlf", S("a\r\0\n.\r\nMAIL" END), S("a \r\n.\r\nMAIL\r\n"), 0, REPLY_BARE_NEWLINE},
	{"smug crlf-space", S("a\r\n .\r\nb\r\n. \r\nMAIL" END), S("a\r\n .\r\nb\r\n \r\nMAIL\r\n"), 0, REPLY_OK},
	{"smug lf..crlf", S("a\n..\r\nMAIL" END), S("a\r\n..\r\nMAIL\r\n"), 0, REPLY_BARE_NEWLINE},
	{"first .lf", S(".\nMAIL" END), S("\r\nMAIL\r\n"), 0, REPLY_BARE_NEWLINE},
	{"first lf.crlf", S("\n.\r\nMAIL" END), S("\r\n.\r\nMAIL\r\n"), 0, REPLY_BARE_NEWLINE},
	{"crcr", S("a\r\r\r\n.\r\r\n" END), S("a  \r\n \r\n\r\n"), 0, REPLY_BARE_NEWLINE},
	{"lf before the end", S("a\n\r\n.\r\n"), S("a\r\n\r\n"), 0, REPLY_BARE_NEWLINE},
	{"nul", S("a\0b" END), S("ab\r\n"), 0, REPLY_NUL_IN_DATA},
	{"long", S("0123456789012345678901234567890123456789012345678901234567890123456789" END),
	 S("0123456789012345678901234567890123456789012345678901234567890123456789\r\n"), 0, REPLY_DATA_LINE_TOO_LONG},
};

// Feeds in as portions that end at a and b; returns the bytes consumed.
static size_t decode(struct smtp_data_decoder *decoder, struct str in, size_t a, size_t b, struct buf *out)
{
	size_t cuts[] = {0, a, b, in.n}, used = 0;
	for (int i = 0; i < 3; i++)
		used += smtp_data_decode(decoder, str_of(in.p + cuts[i], cuts[i + 1] - cuts[i]), out);
	return used;
}

static void check(const struct row *row, enum smtp_newline newline, size_t a, size_t b, struct buf *out)
{
	struct smtp_data_decoder decoder;
	enum reply_id why = REPLY_OK;
	smtp_data_decoder_init(&decoder, newline, 64);
	buf_clear(out);
	size_t used = decode(&decoder, row->in, a, b, out);
	bool taken = decoder.done && smtp_data_verdict(&decoder, &why);
	enum reply_id want = newline == SMTP_NEWLINE_REJECT || row->reject == REPLY_DATA_LINE_TOO_LONG ? row->reject : REPLY_OK;
	if (!decoder.done || used != row->in.n - row->rest || !str_eq(buf_str(out), row->out) || decoder.bytes != out->n ||
	    why != want || taken != (want == REPLY_OK))
		fail_msg("%s split at %zu, %zu: done %d used %zu verdict %d out \"%.*s\"", row->name, a, b, decoder.done, used, why,
		         STR_FMT(buf_str(out)));
}

static void data_ends_only_at_crlf_dot_crlf(void **state)
{
	(void)state;
	struct buf out;
	buf_init(&out, 4096);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (size_t a = 0; a <= rows[i].in.n; a++)
			for (size_t b = a; b <= rows[i].in.n; b++) {
				check(&rows[i], SMTP_NEWLINE_REJECT, a, b, &out);
				check(&rows[i], SMTP_NEWLINE_NORMALIZE, a, b, &out);
			}
	buf_fini(&out);
}

static void data_is_not_done_before_its_end(void **state)
{
	(void)state;
	const struct str partial[] = {STR(""), STR("a"), STR("a\r\n"), STR("a\r\n."), STR("a\r\n.\r"), STR("a\n.\n"), STR(".\r"), STR("a.\r\n")};
	struct buf out;
	buf_init(&out, 4096);
	for (size_t i = 0; i < sizeof partial / sizeof *partial; i++) {
		struct smtp_data_decoder decoder;
		smtp_data_decoder_init(&decoder, SMTP_NEWLINE_NORMALIZE, 0);
		assert_int_equal(smtp_data_decode(&decoder, partial[i], &out), partial[i].n);
		assert_false(decoder.done);
	}
	buf_fini(&out);
}

struct sent {
	struct str in, out;
};

static const struct sent sent[] = {
	{S("a\r\nb\r\n"), S("a\r\nb\r\n.\r\n")},
	{S(""), S(".\r\n")},
	{S("a"), S("a\r\n.\r\n")},
	{S(".\r\n..\r\n.a\r\n"), S("..\r\n...\r\n..a\r\n.\r\n")},
	{S("a\n.\nb\n"), S("a\r\n..\r\nb\r\n.\r\n")},
	{S("a\r.\rb\r\n"), S("a . b\r\n.\r\n")},
	{S("a\r\r\n"), S("a \r\n.\r\n")},
	{S("a\r"), S("a\r\n.\r\n")},
	{S("\n\n"), S("\r\n\r\n.\r\n")},
};

static void encode(struct str in, size_t line_bytes_max, size_t cut, struct buf *out)
{
	struct smtp_data_encoder encoder;
	buf_clear(out);
	smtp_data_encoder_init(&encoder, line_bytes_max);
	assert_true(smtp_data_encode(&encoder, str_upto(in, cut), out));
	assert_true(smtp_data_encode(&encoder, str_from(in, cut), out));
	assert_true(smtp_data_encode_end(&encoder, out));
}

static void data_goes_out_stuffed_with_crlf_only(void **state)
{
	(void)state;
	struct buf out;
	buf_init(&out, 4096);
	for (size_t i = 0; i < sizeof sent / sizeof *sent; i++)
		for (size_t cut = 0; cut <= sent[i].in.n; cut++) {
			encode(sent[i].in, 0, cut, &out);
			if (!str_eq(buf_str(&out), sent[i].out))
				fail_msg("row %zu cut at %zu: \"%.*s\"", i, cut, STR_FMT(buf_str(&out)));
		}
	buf_fini(&out);
}

// What the encoder sends, the decoder takes in reject mode, and the message is the one that was sent, with CRLF line ends.
static void data_round_trip_is_never_refused(void **state)
{
	(void)state;
	const char bytes[] = "\r\n.a";
	struct buf wire, back, again;
	buf_init(&wire, 4096);
	buf_init(&back, 4096);
	buf_init(&again, 4096);
	for (unsigned n = 0; n < 1u << 14; n++) { // every text of seven of these bytes
		char text[7];
		for (unsigned i = 0; i < 7; i++)
			text[i] = bytes[n >> 2 * i & 3];
		encode(str_of(text, sizeof text), 0, 3, &wire);
		struct smtp_data_decoder decoder;
		enum reply_id why;
		smtp_data_decoder_init(&decoder, SMTP_NEWLINE_REJECT, 0);
		buf_clear(&back);
		assert_int_equal(smtp_data_decode(&decoder, buf_str(&wire), &back), wire.n);
		assert_true(decoder.done && smtp_data_verdict(&decoder, &why));
		encode(buf_str(&back), 0, 0, &again);
		assert_true(str_eq(buf_str(&again), buf_str(&wire)));
	}
	buf_fini(&wire);
	buf_fini(&back);
	buf_fini(&again);
}

static void data_wraps_long_lines_between_characters(void **state)
{
	(void)state;
	struct buf in, out;
	buf_init(&in, 4096);
	buf_init(&out, 16384);
	for (int i = 0; i < 100; i++)
		buf_add(&in, STR("abc\xe2\x82\xac"));
	for (size_t cut = 0; cut <= in.n; cut++) {
		encode(buf_str(&in), 64, cut, &out);
		struct str rest = buf_str(&out), line;
		size_t text = 0;
		while (str_next_line(&rest, &line) && !str_eq(line, STR("."))) {
			assert_true(line.n <= 64 && line.n >= 1 && str_is_utf8(line));
			text += line.n - (text ? 1 : 0);
		}
		assert_int_equal(text, in.n);
	}
	buf_clear(&in);
	for (int i = 0; i < 64; i++)
		buf_add_byte(&in, 'x');
	encode(buf_str(&in), 64, 10, &out);
	assert_int_equal(out.n, 64 + 2 + 3); // exactly full: not wrapped
	buf_fini(&in);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_ends_only_at_crlf_dot_crlf),
		cmocka_unit_test(data_is_not_done_before_its_end),
		cmocka_unit_test(data_goes_out_stuffed_with_crlf_only),
		cmocka_unit_test(data_round_trip_is_never_refused),
		cmocka_unit_test(data_wraps_long_lines_between_characters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
