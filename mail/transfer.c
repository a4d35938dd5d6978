// SPDX-License-Identifier: Apache-2.0
// Content-Transfer-Encoding undone, leniently; and done.
#include "mail/transfer.h"

#include "base/must.h"

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool decode_base64(struct str body, struct buf *out)
{
	uint32_t bits = 0;
	unsigned count = 0;
	for (size_t i = 0; i < body.n && body.p[i] != '='; i++) {
		int value = base64_value(body.p[i]);
		if (value < 0)
			continue;
		bits = (bits << 6 | (uint32_t)value) & 0xFFFFFF;
		count += 6;
		if (count >= 8) {
			count -= 8;
			if (!buf_add_byte(out, (char)(bits >> count)))
				return false;
		}
	}
	return true;
}

// How many bytes a soft line break at the start of s has, 0 when it is none. Space before the line end is the transport's.
static size_t soft_break(struct str s)
{
	size_t i = 1;
	while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t'))
		i++;
	if (i < s.n && s.p[i] == '\r')
		i++;
	return i == s.n ? i : s.p[i] == '\n' ? i + 1 : 0;
}

static bool decode_quoted_printable(struct str body, struct buf *out)
{
	while (body.n) {
		ptrdiff_t at = str_index(body, '=');
		if (!buf_add(out, at < 0 ? body : str_upto(body, (size_t)at)))
			return false;
		if (at < 0)
			return true;
		body = str_from(body, (size_t)at);
		size_t soft = soft_break(body);
		int high = body.n > 2 ? chr_hex(body.p[1]) : -1, low = high >= 0 ? chr_hex(body.p[2]) : -1;
		if (soft) {
			body = str_from(body, soft);
		} else if (low >= 0) {
			if (!buf_add_byte(out, (char)(high << 4 | low)))
				return false;
			body = str_from(body, 3);
		} else {
			if (!buf_add_byte(out, '='))
				return false;
			body = str_from(body, 1);
		}
	}
	return true;
}

bool transfer_decode(enum mime_encoding encoding, struct str body, struct buf *out)
{
	switch (encoding) {
	case MIME_BASE64:
		return decode_base64(body, out);
	case MIME_QUOTED_PRINTABLE:
		return decode_quoted_printable(body, out);
	case MIME_7BIT:
	case MIME_8BIT:
	case MIME_BINARY:
	case MIME_UNKNOWN_ENCODING:
		return buf_add(out, body);
	}
	unreachable("transfer encoding");
}

// --- The other way ---

enum { LINE_BYTES_MAX = 76 }; // RFC 2045 section 6.7, rule 5

// A line that ends in LF, CR or CRLF, or with the text.
static bool next_line(struct str *rest, struct str *line_out)
{
	size_t n = 0;
	if (rest->n == 0)
		return false;
	while (n < rest->n && rest->p[n] != '\r' && rest->p[n] != '\n')
		n++;
	*line_out = str_upto(*rest, n);
	size_t end = n + 1 < rest->n && rest->p[n] == '\r' && rest->p[n + 1] == '\n' ? 2 : 1;
	*rest = str_from(*rest, n + end < rest->n ? n + end : rest->n);
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_literal(char c)
{
	return c >= '!' && c <= '~' && c != '=';
}

static bool is_plain(struct str line)
{
	for (size_t i = 0; i < line.n; i++)
		if (!is_literal(line.p[i]) && line.p[i] != '=' && !is_blank(line.p[i]))
			return false;
	return line.n <= LINE_BYTES_MAX && !(line.n && is_blank(line.p[line.n - 1])) && !str_starts(line, STR("From "));
}

static bool add_quoted(struct str line, struct buf *out)
{
	size_t column = 0;
	for (size_t i = 0; i < line.n; i++) {
		bool last = i + 1 == line.n;
		bool literal = is_literal(line.p[i]) || (is_blank(line.p[i]) && !last);
		if (column == 0 &&
			(line.p[i] == '.' || str_starts(str_from(line, i), STR("From ")))) // what other transports trip over
			literal = false;
		size_t n = literal ? 1 : 3;
		if (column + n > LINE_BYTES_MAX - 1) { // the "=" of a soft line break
			if (!buf_add(out, STR("=\r\n")))
				return false;
			column = 0;
		}
		column += n;
		if (!(literal ? buf_add_byte(out, line.p[i]) : buf_printf(out, "=%02X", (unsigned char)line.p[i])))
			return false;
	}
	return buf_add(out, STR("\r\n"));
}

bool transfer_encode_text(struct str text, enum mime_encoding *encoding_out, struct buf *out)
{
	struct str rest = text, line;
	bool plain = true, ok = true;
	while (plain && next_line(&rest, &line))
		plain = is_plain(line);
	rest = text;
	while (ok && next_line(&rest, &line))
		ok = plain ? buf_add(out, line) && buf_add(out, STR("\r\n")) : add_quoted(line, out);
	*encoding_out = plain ? MIME_7BIT : MIME_QUOTED_PRINTABLE;
	return ok;
}
