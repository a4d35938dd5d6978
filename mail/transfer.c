// SPDX-License-Identifier: Apache-2.0
// Content-Transfer-Encoding undone, leniently.
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
