// SPDX-License-Identifier: Apache-2.0
// Folder names: checks, NFC, and modified UTF-7 (RFC 3501 section 5.1.3).
#include "mail/mailbox_name.h"

#include <stdlib.h>
#include <uninorm.h>
#include <unistr.h>

#include "base/must.h"

enum { CODE_POINT_BYTES_MAX = 4 };

// --- Names ---

// Characters that a folder name may not hold, beside '%' and '*': controls would break listings, line and paragraph separators
// too.
static bool is_forbidden(ucs4_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029 || c == '%' || c == '*';
}

static bool has_forbidden(struct str text)
{
	const uint8_t *p = (const uint8_t *)text.p, *end = p + text.n;
	while (p < end) {
		ucs4_t c;
		int n = u8_mbtouc(&c, p, (size_t)(end - p)); // the text is well-formed
		if (is_forbidden(c))
			return true;
		p += n;
	}
	return false;
}

static bool levels_are_valid(struct str path)
{
	struct str level, rest = path;
	for (size_t n = 1; n <= MAILBOX_NAME_LEVELS_MAX; n++) {
		bool more = str_cut(rest, MAILBOX_NAME_DELIMITER, &level, &rest);
		if (!more)
			level = rest;
		if (level.n == 0 || str_eq(level, STR(".")) || str_eq(level, STR("..")))
			return false;
		if (!more)
			return true;
	}
	return false;
}

// NFC of text in the arena; {NULL, 0} when the arena is full.
static struct str compose(struct str text, struct arena *arena)
{
	size_t n;
	uint8_t *nfc = u8_normalize(UNINORM_NFC, (const uint8_t *)text.p, text.n, NULL, &n);
	must(nfc != NULL);
	struct str result = arena_dup(arena, str_of((const char *)nfc, n));
	free(nfc);
	return result;
}

bool mailbox_name_from_utf8(struct str text, struct arena *arena, struct mailbox_name *out)
{
	// Composing may lengthen a text threefold at most; what is longer than the limit before is not worth the work.
	if (text.n == 0 || text.n > MAILBOX_NAME_BYTES_MAX || !str_is_utf8(text))
		return false;
	bool had_delimiter = text.p[text.n - 1] == MAILBOX_NAME_DELIMITER;
	if (had_delimiter)
		text = str_upto(text, text.n - 1);
	if (text.n == 0 || has_forbidden(text))
		return false;
	struct str path = compose(text, arena);
	if (path.n == 0 || path.n > MAILBOX_NAME_BYTES_MAX || has_forbidden(path) || !levels_are_valid(path))
		return false;
	struct str inbox = STR("INBOX");
	if (path.n >= inbox.n && str_eq_nocase(str_upto(path, inbox.n), inbox) &&
		(path.n == inbox.n || path.p[inbox.n] == MAILBOX_NAME_DELIMITER)) {
		path = arena_printf(arena, "INBOX%.*s", STR_FMT(str_from(path, inbox.n)));
		if (path.n == 0)
			return false;
	}
	*out = (struct mailbox_name){.path = path, .had_delimiter_at_end = had_delimiter};
	return true;
}

bool mailbox_name_from_mutf7(struct str text, struct arena *arena, struct mailbox_name *out)
{
	struct str utf8;
	// Modified UTF-7 needs at most three and a bit bytes for what is one in UTF-8 ("&AOQ-": 5 for 2).
	return text.n <= 4 * MAILBOX_NAME_BYTES_MAX && mutf7_decode(text, arena, &utf8) &&
	       mailbox_name_from_utf8(utf8, arena, out);
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
	if (at < 0)
		return false;
	*out = (struct mailbox_name){.path = str_upto(name->path, (size_t)at)};
	return true;
}

// --- Modified UTF-7 ---

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static int digit_of(char c)
{
	const char *p = c ? strchr(base64_digits, c) : NULL;
	return p ? (int)(p - base64_digits) : -1;
}

// One run of base64 between '&' and '-', as UTF-8. Strict: no printable ASCII, surrogates in pairs, leftover bits few and zero.
static bool decode_run(struct str run, struct buf *out)
{
	uint32_t bits = 0, high = 0;
	unsigned n_bits = 0;
	for (size_t i = 0; i < run.n; i++) {
		int digit = digit_of(run.p[i]);
		if (digit < 0)
			return false;
		bits = bits << 6 | (uint32_t)digit;
		n_bits += 6;
		if (n_bits < 16)
			continue;
		n_bits -= 16;
		uint32_t unit = bits >> n_bits & 0xffff;
		bits &= (1u << n_bits) - 1;
		bool is_high = unit >= 0xd800 && unit < 0xdc00, is_low = unit >= 0xdc00 && unit < 0xe000;
		if (is_low != (high != 0)) // also a high one after a high one
			return false;
		if (is_high) {
			high = unit;
			continue;
		}
		ucs4_t c = is_low ? 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00) : unit;
		high = 0;
		uint8_t utf8[CODE_POINT_BYTES_MAX];
		int length = c >= 0x20 && c <= 0x7e ? -1 : u8_uctomb(utf8, c, sizeof utf8);
		if (length < 0 || !buf_add(out, str_of((const char *)utf8, (size_t)length)))
			return false;
	}
	return run.n > 0 && high == 0 && n_bits < 6 && bits == 0;
}

static bool decode_into(struct str text, struct buf *out)
{
	bool after_run = false;
	while (text.n) {
		char c = text.p[0];
		if (c < 0x20 || c > 0x7e) // 8-bit bytes are negative or above
			return false;
		if (c != '&') {
			buf_add_byte(out, c);
			text = str_from(text, 1);
			after_run = false;
			continue;
		}
		struct str run;
		if (!str_cut(str_from(text, 1), '-', &run, &text))
			return false;
		if (run.n == 0) {
			buf_add_byte(out, '&');
			after_run = false;
			continue;
		}
		if (after_run || !decode_run(run, out)) // two runs that could be one
			return false;
		after_run = true;
	}
	return !out->overflow;
}

bool mutf7_decode(struct str text, struct arena *arena, struct str *utf8_out)
{
	struct buf out;
	buf_init(&out, 2 * text.n + CODE_POINT_BYTES_MAX); // eight digits of base64 give nine bytes of UTF-8 at most
	bool good = decode_into(text, &out);
	if (good) {
		*utf8_out = arena_dup(arena, buf_str(&out));
		good = utf8_out->n == out.n;
	}
	buf_fini(&out);
	return good;
}

static void encode_unit(struct buf *b, uint32_t *bits, unsigned *n_bits, uint32_t unit)
{
	*bits = *bits << 16 | unit;
	for (*n_bits += 16; *n_bits >= 6; *n_bits -= 6)
		buf_add_byte(b, base64_digits[*bits >> (*n_bits - 6) & 63]);
}

bool mailbox_name_to_mutf7(const struct mailbox_name *name, struct buf *b)
{
	const uint8_t *p = (const uint8_t *)name->path.p, *end = p + name->path.n;
	while (p < end) {
		if (*p < 0x80) {
			buf_add_byte(b, (char)*p);
			if (*p++ == '&')
				buf_add_byte(b, '-');
			continue;
		}
		uint32_t bits = 0;
		unsigned n_bits = 0;
		buf_add_byte(b, '&');
		while (p < end && *p >= 0x80) {
			ucs4_t c;
			p += u8_mbtouc(&c, p, (size_t)(end - p));
			if (c >= 0x10000) {
				encode_unit(b, &bits, &n_bits, 0xd800 + ((c - 0x10000) >> 10));
				encode_unit(b, &bits, &n_bits, 0xdc00 + ((c - 0x10000) & 0x3ff));
			} else {
				encode_unit(b, &bits, &n_bits, c);
			}
		}
		if (n_bits)
			buf_add_byte(b, base64_digits[bits << (6 - n_bits) & 63]);
		buf_add_byte(b, '-');
	}
	return !b->overflow;
}
