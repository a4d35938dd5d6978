// SPDX-License-Identifier: Apache-2.0
// xtext, RFC 3461 section 4.
#include "mail/xtext.h"

#include "chars.h"

static bool is_xchar(char c)
{
	return c > 0x20 && c < 0x7f && c != '+' && c != '=';
}

bool xtext_encode_part(struct str s, char separator, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		bool added = is_xchar(s.p[i]) && s.p[i] != separator ? buf_add_byte(out, s.p[i])
		                                                     : buf_printf(out, "+%02X", (unsigned char)s.p[i]);
		if (!added)
			return false;
	}
	return true;
}

bool xtext_encode(struct str s, struct buf *out)
{
	return xtext_encode_part(s, '+', out); // "+" is encoded anyway
}

bool xtext_decode(struct arena *arena, struct str s, struct str *out)
{
	char *decoded = arena_alloc(arena, s.n);
	size_t n = 0;
	if (decoded == NULL)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (is_xchar(s.p[i])) {
			decoded[n++] = s.p[i];
			continue;
		}
		int high = s.p[i] == '+' && i + 2 < s.n ? chr_hex(s.p[i + 1]) : -1;
		int low = high >= 0 ? chr_hex(s.p[i + 2]) : -1;
		if (low < 0)
			return false;
		decoded[n++] = (char)(high << 4 | low);
		i += 2;
	}
	*out = str_of(decoded, n);
	return true;
}
