// SPDX-License-Identifier: Apache-2.0
// What a connection reads and answers does not depend on the pieces in which the bytes came, and is what a plain look at the
// bytes says.
//
// Input: one byte for the line limit, one for the pieces and for what comes after the last byte, then the peer's bytes.
// Covers: base/conn.c base/conn_memory.c
#include <stdint.h>
#include <stdlib.h>

#include "base/conn.h"
#include "base/fiber.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECES_MAX = 64 };

// The next line of rest as RFC 5321 section 2.3.8 and our limit have it; false when no LF is left.
static bool expect(struct str *rest, size_t max, struct str *line_out, enum conn_eol *eol_out, bool *too_long_out)
{
	ptrdiff_t lf = str_index(*rest, '\n');
	if (lf < 0)
		return false;
	struct str line = str_upto(*rest, (size_t)lf);
	bool crlf = str_ends(line, STR("\r"));
	line.n -= crlf;
	*line_out = line;
	*eol_out = crlf ? CONN_CRLF : CONN_BARE_LF;
	*too_long_out = line.n > max;
	*rest = str_from(*rest, (size_t)lf + 1);
	return true;
}

static void read_lines(struct str input, const size_t *splits, size_t splits_n, size_t max)
{
	struct conn *conn = conn_of_memory(&(struct conn_memory){.input = input, .splits = splits, .splits_n = splits_n});
	struct str rest = input, want, got;
	enum conn_eol want_eol, eol;
	bool too_long;
	while (expect(&rest, max, &want, &want_eol, &too_long)) {
		enum err_code code = conn_read_line(conn, max, &got, &eol, NULL);
		must(code == (too_long ? ERR_LIMIT : ERR_OK));
		must(too_long || (str_eq(got, want) && eol == want_eol));
	}
	must(conn_read_line(conn, max, &got, &eol, NULL) == ERR_CLOSED);
	must(conn_bytes_in(conn) == input.n);
	conn_close(&conn, 0);
}

// Lines and exact reads in turn, as IMAP has them: all bytes come out once, in order.
static void read_mixed(struct str input, size_t splits_n, size_t max)
{
	struct conn *conn = conn_of_memory(&(struct conn_memory){.input = input, .splits_n = splits_n});
	struct buf literal;
	struct str line, rest = input;
	enum conn_eol eol;
	buf_init(&literal, 16);
	for (;;) {
		enum err_code code = conn_read_line(conn, max, &line, &eol, NULL);
		if (code == ERR_CLOSED)
			break;
		ptrdiff_t lf = str_index(rest, '\n');
		must(lf >= 0);
		rest = str_from(rest, (size_t)lf + 1);
		buf_clear(&literal);
		if (code != ERR_OK || line.n == 0 || !chr_is_digit(line.p[0]))
			continue;
		size_t n = (size_t)(line.p[0] - '0');
		if (conn_read_exact(conn, n, &literal, NULL) != ERR_OK)
			break;
		must(str_eq(buf_str(&literal), str_upto(rest, n)));
		rest = str_from(rest, n);
	}
	buf_fini(&literal);
	conn_close(&conn, 0);
}

// n bytes without a line, in the ways there are. False at the end.
static bool take_bytes(struct conn *conn, char how, size_t n, struct buf *out)
{
	struct str chunk;
	if (how == 'x')
		return conn_read_exact(conn, n, out, NULL) == ERR_OK;
	while (n) {
		if (how == 'p') {
			if (conn_peek(conn, &chunk, NULL))
				return false;
			chunk = str_upto(chunk, n);
		} else if (conn_read_some(conn, n, &chunk, NULL)) {
			return false;
		}
		must(chunk.n > 0 && chunk.n <= n && buf_add(out, chunk));
		n -= chunk.n;
		if (how == 'p')
			conn_consume(conn, chunk.n);
	}
	return true;
}

static void answer(struct conn *conn, struct str line, struct buf *bytes)
{
	char how = line.n ? line.p[0] : '\0';
	switch (how) {
	case 'x': // bytes behind the line, as many as it is long, and back with them
	case 'p':
	case 's':
		buf_clear(bytes);
		take_bytes(conn, how, line.n, bytes);
		conn_write(conn, buf_str(bytes));
		break;
	case 'b': // more than is buffered
		for (int i = 0; i < 300; i++)
			conn_write(conn, line);
		break;
	case 't':
		buf_clear(bytes);
		for (int i = 0; i < 20; i++)
			must(buf_add(bytes, line));
		conn_write_through(conn, buf_str(bytes));
		break;
	case 'f':
		must(conn_flush(conn, NULL) == ERR_OK);
		conn_idle(conn);
		break;
	case 'w': // a wait sees what there is to read, or how the script ends
		must(conn_has_input(conn) ? conn_wait(conn, FIBER_READABLE, 0) == FIBER_READABLE
					  : conn_wait(conn, FIBER_READABLE, 0) != 0);
		break;
	default:
		conn_printf(conn, "250 %.*s\r\n", STR_FMT(line));
	}
}

// A dialogue; what the peer got is in output.
static void converse(const struct conn_memory *script, size_t max)
{
	struct conn *conn = conn_of_memory(script);
	struct buf bytes;
	struct str line;
	enum conn_eol eol;
	enum err_code code;
	buf_init(&bytes, CONN_LINE_BYTES_MAX);
	while ((code = conn_read_line(conn, max, &line, &eol, NULL)) == ERR_OK || code == ERR_LIMIT) {
		if (code == ERR_LIMIT)
			conn_write(conn, STR("500\r\n"));
		else
			answer(conn, line, &bytes);
	}
	must(code == script->end);
	if (code != ERR_CLOSED)
		conn_write(conn, STR("421\r\n")); // the connection is whole
	must(conn_bytes_in(conn) == script->input.n);
	conn_close(&conn, 1000);
	buf_fini(&bytes);
}

// A peer that takes no more than a few bytes: the failure is remembered and ends the dialogue.
static void converse_with_deaf(struct str input, size_t max)
{
	struct buf output;
	struct str line;
	enum conn_eol eol;
	enum err_code code;
	buf_init(&output, 8);
	struct conn *conn = conn_of_memory(&(struct conn_memory){.input = input, .output = &output});
	do {
		code = conn_read_line(conn, max, &line, &eol, NULL);
		if (code == ERR_OK)
			conn_printf(conn, "250 %.*s\r\n", STR_FMT(line));
	} while ((code == ERR_OK || code == ERR_LIMIT) && conn_flush(conn, NULL) == ERR_OK);
	must(output.n <= 8 && conn_bytes_out(conn) == output.n);
	conn_close(&conn, 1000);
	buf_fini(&output);
}

static void converse_in_pieces(struct str input, const size_t *splits, size_t splits_n, size_t max, enum err_code end)
{
	struct buf whole, pieces, bytewise;
	buf_init(&whole, 64 << 20);
	buf_init(&pieces, 64 << 20);
	buf_init(&bytewise, 64 << 20);
	converse(&(struct conn_memory){.input = input, .output = &whole, .end = end}, max);
	converse(&(struct conn_memory){.input = input, .output = &pieces, .splits = splits, .splits_n = splits_n, .end = end},
		max);
	converse(&(struct conn_memory){.input = input, .output = &bytewise, .splits_n = CONN_MEMORY_BYTEWISE, .end = end}, max);
	must(str_eq(buf_str(&whole), buf_str(&pieces)) && str_eq(buf_str(&whole), buf_str(&bytewise)));
	buf_fini(&whole);
	buf_fini(&pieces);
	buf_fini(&bytewise);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum err_code ends[] = {ERR_CLOSED, ERR_TIMEOUT, ERR_CANCELLED};
	size_t splits[PIECES_MAX], n = 0;
	if (size < 2)
		return 0;
	size_t max = ((size_t)data[0] + 1) * 16, step = (size_t)data[1] + 1;
	struct str input = str_of((const char *)data + 2, size - 2);
	for (size_t at = step; at < input.n && n < PIECES_MAX; at += step)
		splits[n++] = at;
	read_lines(input, NULL, 0, max);
	read_lines(input, splits, n, max);
	read_lines(input, NULL, CONN_MEMORY_BYTEWISE, max);
	read_mixed(input, 0, max);
	read_mixed(input, CONN_MEMORY_BYTEWISE, max);
	converse_in_pieces(input, splits, n, max, ends[data[1] % 3]);
	converse_with_deaf(input, max);
	return 0;
}
