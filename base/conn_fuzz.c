// SPDX-License-Identifier: Apache-2.0
// Fuzz: what a connection reads does not depend on the pieces in which the bytes came, and is what a plain look at the bytes
// says.
//
// Input: one byte for the line limit, one for the pieces, then the peer's bytes.
#include <stdint.h>
#include <stdlib.h>

#include "base/conn.h"
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t splits[PIECES_MAX], n = 0;
	if (size < 2)
		return 0;
	size_t max = (size_t)data[0] + 1, step = (size_t)data[1] + 1;
	struct str input = str_of((const char *)data + 2, size - 2);
	for (size_t at = step; at < input.n && n < PIECES_MAX; at += step)
		splits[n++] = at;
	read_lines(input, NULL, 0, max);
	read_lines(input, splits, n, max);
	read_lines(input, NULL, CONN_MEMORY_BYTEWISE, max);
	read_mixed(input, 0, max);
	read_mixed(input, CONN_MEMORY_BYTEWISE, max);
	return 0;
}
