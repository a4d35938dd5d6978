// SPDX-License-Identifier: Apache-2.0
// Names of IMAP folders: modified UTF-7 both ways, and the one form in which the house knows a name.
#include "mail/mailbox_name.h"

#include <stdlib.h>
#include <uninorm.h>

#include "base/must.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static int base64_value(char c)
{
	const char *at = c ? strchr(alphabet, c) : NULL;
	return at ? (int)(at - alphabet) : -1;
}

static bool is_direct(char c)
{
	return c >= 0x20 && c <= 0x7E;
}

static void add_utf8(struct buf *out, uint32_t c)
{
	if (c < 0x80) {
		buf_add_byte(out, (char)c);
	} else if (c < 0x800) {
		buf_add_byte(out, (char)(0xC0 | c >> 6));
		buf_add_byte(out, (char)(0x80 | (c & 0x3F)));
	} else if (c < 0x10000) {
		buf_add_byte(out, (char)(0xE0 | c >> 12));
		buf_add_byte(out, (char)(0x80 | (c >> 6 & 0x3F)));
		buf_add_byte(out, (char)(0x80 | (c & 0x3F)));
	} else {
		buf_add_byte(out, (char)(0xF0 | c >> 18));
		buf_add_byte(out, (char)(0x80 | (c >> 12 & 0x3F)));
		buf_add_byte(out, (char)(0x80 | (c >> 6 & 0x3F)));
		buf_add_byte(out, (char)(0x80 | (c & 0x3F)));
	}
}

// One UTF-16 unit more. *high is the first half of a pair that waits for its second.
static bool take_unit(uint32_t unit, uint32_t *high, struct buf *out)
{
	bool is_high = unit >= 0xD800 && unit < 0xDC00, is_low = unit >= 0xDC00 && unit < 0xE000;
	if (*high) {
		if (!is_low)
			return false;
		add_utf8(out, 0x10000 + ((*high - 0xD800) << 10) + (unit - 0xDC00));
		*high = 0;
		return true;
	}
	if (is_high) {
		*high = unit;
		return true;
	}
	if (is_low || (unit < 0x80 && is_direct((char)unit)))
		return false;
	add_utf8(out, unit);
	return true;
}

// The base64 between "&" and "-", at least one byte of it.
static bool decode_shifted(struct str text, struct buf *out)
{
	uint32_t bits = 0, high = 0;
	unsigned count = 0;
	for (size_t i = 0; i < text.n; i++) {
		int value = base64_value(text.p[i]);
		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		count += 6;
		if (count >= 16) {
			count -= 16;
			if (!take_unit(bits >> count & 0xFFFF, &high, out))
				return false;
			bits &= (1u << count) - 1;
		}
	}
	// Fewer than 6 bits are left over and they are 0: otherwise a name would have several spellings.
	return high == 0 && count < 6 && bits == 0;
}

static bool decode_all(struct str text, struct buf *out)
{
	bool after_shift = false;
	for (size_t i = 0; i < text.n; i++) {
		if (!is_direct(text.p[i]))
			return false;
		if (text.p[i] != '&') {
			buf_add_byte(out, text.p[i]);
			after_shift = false;
			continue;
		}
		ptrdiff_t end = str_index(str_from(text, i), '-');
		if (end < 0)
			return false;
		struct str shifted = str_of(text.p + i + 1, (size_t)end - 1);
		i += (size_t)end;
		if (shifted.n == 0) {
			buf_add_byte(out, '&');
			after_shift = false;
			continue;
		}
		// "&AOk-&AOk-" is a superfluous shift: one would have done.
		if (after_shift || !decode_shifted(shifted, out))
			return false;
		after_shift = true;
	}
	return !out->overflow;
}

// The decoded text is never longer than three bytes for each of the encoded: bounded by the caller's line.
static bool decode(struct str text, struct buf *utf8)
{
	buf_init(utf8, text.n * 3);
	if (decode_all(text, utf8))
		return true;
	buf_fini(utf8);
	return false;
}

bool mutf7_decode(struct str text, struct arena *arena, struct str *utf8_out)
{
	struct buf utf8;
	if (!decode(text, &utf8))
		return false;
	struct str copy = arena_dup(arena, buf_str(&utf8));
	buf_fini(&utf8);
	if (copy.p == NULL)
		return false;
	*utf8_out = copy;
	return true;
}

// The next character of well-formed UTF-8.
static uint32_t next_char(struct str *rest)
{
	unsigned char first = (unsigned char)rest->p[0];
	size_t n = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
	uint32_t c = n == 1 ? first : first & (0x7Fu >> n);
	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)rest->p[i] & 0x3F);
	*rest = str_from(*rest, n);
	return c;
}

struct shifter {
	struct buf *out;
	uint32_t bits;
	unsigned count;
	bool shifted;
};

static void shift_unit(struct shifter *s, uint32_t unit)
{
	if (!s->shifted) {
		buf_add_byte(s->out, '&');
		s->shifted = true;
	}
	s->bits = s->bits << 16 | unit;
	s->count += 16;
	while (s->count >= 6) {
		s->count -= 6;
		buf_add_byte(s->out, alphabet[s->bits >> s->count & 0x3F]);
	}
	s->bits &= (1u << s->count) - 1;
}

static void shift_end(struct shifter *s)
{
	if (!s->shifted)
		return;
	if (s->count)
		buf_add_byte(s->out, alphabet[s->bits << (6 - s->count) & 0x3F]);
	buf_add_byte(s->out, '-');
	s->bits = 0;
	s->count = 0;
	s->shifted = false;
}

bool mailbox_name_to_mutf7(const struct mailbox_name *name, struct buf *b)
{
	struct shifter s = {.out = b};
	struct str utf8 = name->path;
	size_t before = b->n;
	if (b->overflow || !str_is_utf8(utf8))
		return false;
	while (utf8.n) {
		uint32_t c = next_char(&utf8);
		if (c < 0x80 && is_direct((char)c)) {
			shift_end(&s);
			buf_add(b, c == '&' ? STR("&-") : str_of(&(char){(char)c}, 1));
		} else if (c < 0x10000) {
			shift_unit(&s, c);
		} else {
			shift_unit(&s, 0xD800 + ((c - 0x10000) >> 10));
			shift_unit(&s, 0xDC00 + ((c - 0x10000) & 0x3FF));
		}
	}
	shift_end(&s);
	if (!b->overflow)
		return true;
	buf_truncate(b, before);
	return false;
}

static bool is_control(const unsigned char *c, size_t n)
{
	bool c0 = c[0] < 0x20 || c[0] == 0x7F;
	bool c1 = c[0] == 0xC2 && n > 1 && c[1] < 0xA0;
	bool line = c[0] == 0xE2 && n > 2 && c[1] == 0x80 && (c[2] == 0xA8 || c[2] == 0xA9); // U+2028, U+2029
	return c0 || c1 || line;
}

static bool is_level(struct str level)
{
	return level.n > 0 && !str_eq(level, STR(".")) && !str_eq(level, STR(".."));
}

static bool is_name(struct str name)
{
	size_t levels = 1;
	if (name.n == 0 || name.n > MAILBOX_NAME_BYTES_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (is_control((const unsigned char *)name.p + i, name.n - i) || name.p[i] == '%' || name.p[i] == '*')
			return false;
	struct str level, rest = name;
	while (str_cut(rest, MAILBOX_NAME_DELIMITER, &level, &rest))
		if (!is_level(level) || ++levels > MAILBOX_NAME_LEVELS_MAX)
			return false;
	return is_level(rest);
}

bool mailbox_name_from_utf8(struct str text, struct arena *arena, struct mailbox_name *out)
{
	struct mailbox_name name = {.path = text};
	// Normal form can be longer than what it is made from, not by more than three times; the limit is on the result.
	if (text.n == 0 || text.n > 4 * MAILBOX_NAME_BYTES_MAX || !str_is_utf8(text))
		return false;
	if (text.n > 1 && text.p[text.n - 1] == MAILBOX_NAME_DELIMITER) {
		name.had_delimiter_at_end = true;
		name.path.n--;
	}
	size_t n = 0;
	uint8_t *nfc = u8_normalize(UNINORM_NFC, (const uint8_t *)name.path.p, name.path.n, NULL, &n);
	must(nfc != NULL);
	struct str path = str_of((const char *)nfc, n);
	if (str_starts_nocase(path, STR("INBOX")) && (n == 5 || nfc[5] == MAILBOX_NAME_DELIMITER))
		memcpy(nfc, "INBOX", 5);
	path = is_name(path) ? arena_dup(arena, path) : STR_NONE;
	free(nfc);
	if (path.p == NULL)
		return false;
	name.path = path;
	*out = name;
	return true;
}

bool mailbox_name_from_mutf7(struct str text, struct arena *arena, struct mailbox_name *out)
{
	struct buf utf8;
	if (!decode(text, &utf8))
		return false;
	bool good = mailbox_name_from_utf8(buf_str(&utf8), arena, out);
	buf_fini(&utf8);
	return good;
}

struct mailbox_name mailbox_name_inbox(void)
{
	return (struct mailbox_name){.path = STR("INBOX")};
}

bool mailbox_name_is_inbox(const struct mailbox_name *name)
{
	return str_eq(name->path, STR("INBOX"));
}

bool mailbox_name_parent(const struct mailbox_name *name, struct mailbox_name *out)
{
	ptrdiff_t at = str_rindex(name->path, MAILBOX_NAME_DELIMITER);
	if (at <= 0)
		return false;
	*out = (struct mailbox_name){.path = str_upto(name->path, (size_t)at)};
	return true;
}
