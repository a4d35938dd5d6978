// SPDX-License-Identifier: Apache-2.0
// Encoded words, RFC 2047: to text and from text.
//
// Decoding: a word is "=?charset?encoding?data?=" without a "?" in its parts, so looking for one from any "=?" ends at the fourth
// "?" and the whole is linear. Bytes of neighbours with one charset are collected and converted together, because senders cut
// characters.
#include "mail/encword.h"

#include "base/codec.h"
#include "base/must.h"
#include "chars.h"
#include "mail/charset.h"

enum {
	CHARSET_NAME_BYTES_MAX = 40,
	WORD_DATA_BYTES_MAX = 75 - 12, // RFC 2047 section 2: 75 with "=?utf-8?q?" and "?="
	B_BYTES_MAX = WORD_DATA_BYTES_MAX / 4 * 3,
	LONG_WORD_BYTES = 200, // a longer word of ASCII is encoded too, so that a line can be folded in it
};

struct word {
	struct str charset; // without RFC 2231's "*language"
	char encoding;      // 'q' or 'b'
	struct str data;
	size_t n; // bytes of the whole word
};

// Takes up to the next "?" off *rest, which is then behind it.
static bool take_part(struct str *rest, struct str *part_out)
{
	return str_cut(*rest, '?', part_out, rest);
}

static bool parse_word(struct str text, struct word *word_out)
{
	struct word word;
	struct str encoding, rest = str_from(text, 2);
	if (!str_starts(text, STR("=?")) || !take_part(&rest, &word.charset) || !take_part(&rest, &encoding) ||
	    !take_part(&rest, &word.data) || rest.n == 0 || rest.p[0] != '=')
		return false;
	struct str language;
	str_cut(word.charset, '*', &word.charset, &language);
	if (encoding.n != 1 || word.charset.n > CHARSET_NAME_BYTES_MAX || !charset_known(word.charset))
		return false;
	word.encoding = chr_lower(encoding.p[0]);
	word.n = text.n - rest.n + 1;
	*word_out = word;
	return word.encoding == 'q' || word.encoding == 'b';
}

static bool decode_q(struct str data, struct buf *bytes)
{
	bool ok = true;
	for (size_t i = 0; i < data.n && ok; i++) {
		int high = data.p[i] == '=' && i + 2 < data.n ? chr_hex(data.p[i + 1]) : -1;
		int low = high >= 0 ? chr_hex(data.p[i + 2]) : -1;
		ok = buf_add_byte(bytes, low >= 0 ? (char)(high << 4 | low) : data.p[i] == '_' ? ' ' : data.p[i]);
		i += low >= 0 ? 2 : 0;
	}
	return ok;
}

// Padding may be missing or too long: senders do both.
static bool decode_b(struct str data, struct buf *bytes)
{
	while (data.n && data.p[data.n - 1] == '=')
		data.n--;
	return codec_base64_bare_decode(data, bytes);
}

struct decoder {
	struct buf out;
	struct buf bytes;   // of encoded words, not yet converted
	struct str charset; // theirs; n is 0 when bytes is empty
};

static void flush(struct decoder *d)
{
	if (d->charset.n)
		charset_to_utf8(d->charset, buf_str(&d->bytes), &d->out);
	buf_clear(&d->bytes);
	d->charset = STR_NONE;
}

// Takes the word over; false when its data is not what it says.
static bool add_word(struct decoder *d, const struct word *word)
{
	size_t start = d->bytes.n;
	struct buf fresh;
	buf_init(&fresh, word->data.n);
	bool ok = word->encoding == 'q' ? decode_q(word->data, &fresh) : decode_b(word->data, &fresh);
	if (ok) {
		if (start && !str_eq_nocase(d->charset, word->charset))
			flush(d);
		d->charset = word->charset;
		must(buf_add(&d->bytes, buf_str(&fresh)));
	}
	buf_fini(&fresh);
	return ok;
}

static void add_plain(struct decoder *d, struct str text)
{
	flush(d);
	charset_repair_utf8(text, &d->out);
}

static bool all_blank(struct str s)
{
	return str_trim(s).n == 0;
}

static void decode(struct decoder *d, struct str text)
{
	struct str plain = str_upto(text, 0);
	bool after_word = false;
	while (text.n) {
		struct word word;
		ptrdiff_t at = str_find(text, STR("=?"));
		size_t before = at < 0 ? text.n : (size_t)at;
		plain.n += before;
		text = str_from(text, before);
		if (text.n && parse_word(text, &word)) {
			struct str gap = plain;
			if (!(after_word && all_blank(gap)) && gap.n) // RFC 2047 section 6.2: space between two words is not text
				add_plain(d, gap);
			if (add_word(d, &word)) {
				text = str_from(text, word.n);
				plain = str_upto(text, 0);
				after_word = true;
				continue;
			}
			plain = str_upto(text, 0); // bad data: the word is text; what stood before it is out already
			if (after_word && gap.n && all_blank(gap))
				add_plain(d, gap);
			after_word = false;
		}
		size_t step = text.n < 2 ? text.n : 2;
		plain.n += step;
		text = str_from(text, step);
	}
	if (plain.n)
		add_plain(d, plain);
	flush(d);
}

struct str encword_decode(struct arena *arena, struct str text)
{
	// A byte becomes at most four: U+FFFD is three, and no charset of the table makes more of one byte.
	if (text.n > SIZE_MAX / 16)
		return STR_NONE;
	struct decoder d = {.charset = STR_NONE};
	buf_init(&d.out, text.n * 4 + 16);
	buf_init(&d.bytes, text.n);
	decode(&d, text);
	for (size_t i = 0; i < d.out.n; i++)
		if (chars_is_control(d.out.p[i]))
			d.out.p[i] = ' ';
	struct str result = arena_dup(arena, buf_str(&d.out));
	buf_fini(&d.out);
	buf_fini(&d.bytes);
	return result;
}

// RFC 2047 section 5 (3): what may stand as itself in a phrase, the strictest place.
static bool is_q_literal(char c)
{
	return chr_is_alpha(c) || chr_is_digit(c) || (c && strchr("!*+-/", c));
}

static size_t character_bytes(struct str text)
{
	size_t n = 1;
	while (n < text.n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
		n++;
	return n;
}

static size_t q_bytes(struct str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += is_q_literal(s.p[i]) || s.p[i] == ' ' ? 1 : 3;
	return n;
}

static bool add_q(struct str s, struct buf *out)
{
	bool ok = buf_add(out, STR("=?utf-8?q?"));
	for (size_t i = 0; i < s.n && ok; i++) {
		if (s.p[i] == ' ')
			ok = buf_add_byte(out, '_');
		else if (is_q_literal(s.p[i]))
			ok = buf_add_byte(out, s.p[i]);
		else
			ok = buf_printf(out, "=%02X", (unsigned char)s.p[i]);
	}
	return ok && buf_add(out, STR("?="));
}

// As many whole characters as fit one word.
static size_t word_bytes(struct str text, bool q)
{
	size_t n = 0, used = 0;
	while (n < text.n) {
		size_t more = character_bytes(str_from(text, n));
		size_t cost = q ? q_bytes(str_upto(str_from(text, n), more)) : more;
		if (used + cost > (q ? WORD_DATA_BYTES_MAX : B_BYTES_MAX))
			break;
		used += cost;
		n += more;
	}
	return n;
}

static bool encode_all(struct str text, struct buf *out)
{
	bool q = q_bytes(text) <= 2 * text.n, ok = true, first = true; // Q while it can be read by eye
	while (text.n && ok) {
		size_t n = word_bytes(text, q);
		must(n > 0);
		ok = first || buf_add_byte(out, ' ');
		first = false;
		if (q)
			ok = ok && add_q(str_upto(text, n), out);
		else
			ok = ok && buf_add(out, STR("=?utf-8?b?")) && codec_base64_add(out, str_upto(text, n)) &&
			     buf_add(out, STR("?="));
		text = str_from(text, n);
	}
	return ok;
}

static bool needs_encoding(struct str word)
{
	return word.n > LONG_WORD_BYTES || !chars_all_ascii(word) || chars_any_control(word) || str_find(word, STR("=?")) >= 0;
}

// How much of text, from its start, is words that need encoding with the spaces between them; 0: the first word needs none.
static size_t run_to_encode(struct str text)
{
	size_t run = 0, at = 0;
	while (at < text.n) {
		size_t end = at;
		while (end < text.n && text.p[end] != ' ')
			end++;
		if (end > at) {
			if (!needs_encoding(str_upto(str_from(text, at), end - at)))
				break;
			run = end;
		}
		at = end < text.n ? end + 1 : end;
	}
	return run;
}

static bool encode_some(struct str text, struct buf *out)
{
	bool ok = true;
	while (text.n && ok) {
		size_t n = text.p[0] == ' ' ? 0 : run_to_encode(text);
		if (n) {
			ok = encode_all(str_upto(text, n), out);
		} else {
			while (n < text.n && text.p[n] != ' ')
				n++;
			n += n < text.n ? 1 : 0; // a word and one space, or a space
			ok = buf_add(out, str_upto(text, n));
		}
		text = str_from(text, n);
	}
	return ok;
}

static bool with_repaired(struct str text, struct buf *out, bool (*encode)(struct str text, struct buf *out))
{
	struct buf repaired;
	buf_init(&repaired, text.n * 3);
	charset_repair_utf8(text, &repaired);
	bool ok = encode(buf_str(&repaired), out);
	buf_fini(&repaired);
	return ok;
}

bool encword_encode(struct str text, struct buf *out)
{
	return with_repaired(text, out, encode_some);
}

bool encword_encode_phrase(struct str text, struct buf *out)
{
	return with_repaired(text, out, encode_all);
}
