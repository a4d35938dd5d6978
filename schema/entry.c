// SPDX-License-Identifier: Apache-2.0
// The blob of an entry: written by ldapsync, read in place by all. A blob is checked as a whole once (entry_decode), so that the
// loops over its values need no error path.
//
//     version u8 = 1 or 2, flags u8 (1: the directory gave the uuid, 2: cut), uuid 16 bytes, classes varint, dn varint length +
//     bytes, then values: attribute number u8, varint length, bytes; numbers ascend, values of one attribute stay in the
//     directory's order; version 2: a sum u64 over all that comes before it
#include "schema/entry.h"

#include <endian.h>
#include <time.h>

#include "base/must.h"

enum { PLAIN = 1, SEALED = 2, HAS_UUID = 1, CUT = 2, HEAD_BYTES = 18, VARINT_BYTES_MAX = 5, WORD_BYTES = 8, LANES = 4 };

// --- The seal ---

static inline uint64_t word_at(const char *p)
{
	uint64_t word;
	memcpy(&word, p, sizeof word);
	return le64toh(word);
}

// One to one in both, so that a change of one word always shows; of several, all but once in 2^64.
static inline uint64_t mixed(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
	return sum ^ sum >> 32;
}

// In lanes that do not wait for each other: this is on the way of every decision.
static uint64_t sum_of(struct str bytes)
{
	uint64_t lane[LANES] = {1, 2, 3, 4}, last[LANES] = {0};
	const char *p = bytes.p, *end = p + bytes.n - bytes.n % sizeof last;
	for (; p < end; p += sizeof last)
		for (size_t i = 0; i < LANES; i++)
			lane[i] = mixed(lane[i], word_at(p + i * WORD_BYTES));
	memcpy(last, p, bytes.n % sizeof last);
	for (size_t i = 0; i < LANES; i++)
		lane[i] = mixed(lane[i], le64toh(last[i]));
	uint64_t sum = bytes.n;
	for (size_t i = 0; i < LANES; i++)
		sum = mixed(sum, lane[i]);
	return sum;
}

bool entry_seal(struct buf *b)
{
	must(b->n >= HEAD_BYTES && b->p[0] == PLAIN);
	if (b->overflow)
		return false;
	b->p[0] = SEALED;
	uint64_t sum = htole64(sum_of(buf_str(b)));
	return buf_add(b, str_of((const char *)&sum, sizeof sum));
}

// Is the seal whole? *blob is then what it is over.
static bool unseal(struct str *blob)
{
	if (blob->n < HEAD_BYTES + WORD_BYTES)
		return false;
	struct str sealed = str_upto(*blob, blob->n - WORD_BYTES);
	if (sum_of(sealed) != word_at(sealed.p + sealed.n))
		return false;
	*blob = sealed;
	return true;
}

// --- Writing and reading ---

enum { ATTR_WORD_BITS = 64 };

// Most of what is asked for is not there.
static inline bool is_there(const struct entry *entry, enum attr attr)
{
	return entry->attrs[(unsigned)attr / ATTR_WORD_BITS] >> ((unsigned)attr % ATTR_WORD_BITS) & 1;
}

// Takes a varint (little-endian groups of 7 bits) of at most 32 bits off *rest. Most are one byte.
static inline bool take_varint(struct str *rest, size_t *out)
{
	uint64_t value = 0;
	if (rest->n > 0 && (uint8_t)rest->p[0] < 0x80) {
		*out = (uint8_t)rest->p[0];
		*rest = str_of(rest->p + 1, rest->n - 1);
		return true;
	}
	for (size_t i = 0; i < rest->n && i < VARINT_BYTES_MAX; i++) {
		uint8_t byte = (uint8_t)rest->p[i];
		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte < 0x80) {
			if (value > UINT32_MAX || (byte == 0 && i > 0)) // one form for each number
				return false;
			*rest = str_from(*rest, i + 1);
			*out = (size_t)value;
			return true;
		}
	}
	return false;
}

static inline bool take_counted(struct str *rest, struct str *out)
{
	size_t n;
	if (!take_varint(rest, &n) || n > rest->n)
		return false;
	*out = str_of(rest->p, n);
	*rest = str_of(rest->p + n, rest->n - n);
	return true;
}

static inline bool take_value(struct str *rest, unsigned *number_out, struct str *value_out)
{
	if (rest->n == 0)
		return false;
	*number_out = (uint8_t)rest->p[0];
	*rest = str_of(rest->p + 1, rest->n - 1);
	return take_counted(rest, value_out);
}

static void add_varint(struct buf *b, size_t value)
{
	for (; value >= 0x80; value >>= 7)
		buf_add_byte(b, (char)(uint8_t)(value | 0x80));
	buf_add_byte(b, (char)(uint8_t)value);
}

bool entry_begin(struct buf *b, const struct guid *uuid, bool has_uuid, unsigned classes, struct str dn)
{
	must(dn.n <= ENTRY_DN_BYTES_MAX);
	buf_add_byte(b, PLAIN);
	buf_add_byte(b, has_uuid ? HAS_UUID : 0);
	buf_add(b, guid_bytes(uuid));
	add_varint(b, classes);
	add_varint(b, dn.n);
	return buf_add(b, dn);
}

bool entry_add(struct buf *b, enum attr attr, struct str value)
{
	if (value.n >= 0x80) {
		buf_add_byte(b, (char)(uint8_t)attr);
		add_varint(b, value.n);
		return buf_add(b, value);
	}
	char *to = buf_reserve(b, 2 + value.n);
	if (to == NULL)
		return false;
	to[0] = (char)(uint8_t)attr;
	to[1] = (char)(uint8_t)value.n;
	if (value.n)
		memcpy(to + 2, value.p, value.n);
	buf_grew(b, 2 + value.n);
	return true;
}

void entry_mark_cut(struct buf *b)
{
	must(b->n >= HEAD_BYTES);
	b->p[1] |= CUT;
}

bool entry_decode(struct str blob, struct entry *entry_out)
{
	struct entry entry;
	size_t classes;
	if (blob.n < HEAD_BYTES || blob.n > ENTRY_BYTES_MAX || (blob.p[1] & ~(HAS_UUID | CUT)) != 0)
		return false;
	if (blob.p[0] != PLAIN && (blob.p[0] != SEALED || !unseal(&blob)))
		return false;
	entry.has_uuid = blob.p[1] & HAS_UUID;
	entry.cut = blob.p[1] & CUT;
	memcpy(entry.uuid.b, blob.p + 2, sizeof entry.uuid.b);
	struct str rest = str_from(blob, HEAD_BYTES);
	if (!take_varint(&rest, &classes) || !take_counted(&rest, &entry.dn) || entry.dn.n > ENTRY_DN_BYTES_MAX)
		return false;
	entry.classes = (unsigned)classes;
	entry.values = rest;
	memset(entry.attrs, 0, sizeof entry.attrs);
	unsigned number, last = 0;
	struct str value;
	while (rest.n > 0) {
		if (!take_value(&rest, &number, &value) || number < last || attr_by_number(number) == NULL)
			return false;
		entry.attrs[number / ATTR_WORD_BITS] |= (uint64_t)1 << number % ATTR_WORD_BITS;
		last = number;
	}
	*entry_out = entry;
	return true;
}

bool entry_each(const struct entry *entry, struct entry_cursor *cursor, enum attr *attr_out, struct str *value_out)
{
	struct str rest = str_from(entry->values, cursor->at);
	unsigned number;
	if (rest.n == 0)
		return false;
	must(take_value(&rest, &number, value_out)); // entry_decode has checked
	*attr_out = (enum attr)number;
	cursor->at = entry->values.n - rest.n;
	return true;
}

bool entry_next(const struct entry *entry, enum attr attr, struct entry_cursor *cursor, struct str *value_out)
{
	const char *p = entry->values.p + cursor->at, *end = entry->values.p + entry->values.n;
	if (!is_there(entry, attr))
		return false;
	while (p < end && (uint8_t)*p <= (unsigned)attr) { // they ascend
		bool found = (uint8_t)*p == (unsigned)attr;
		size_t n = (uint8_t)p[1]; // entry_decode has checked that it is there
		p += 2;
		if (n >= 0x80) {
			struct str rest = str_of(p - 1, (size_t)(end - p) + 1);
			must(take_varint(&rest, &n));
			p = rest.p;
		}
		if (found)
			*value_out = str_of(p, n);
		p += n;
		if (found) {
			cursor->at = (size_t)(p - entry->values.p);
			return true;
		}
	}
	cursor->at = (size_t)(p - entry->values.p);
	return false;
}

struct str entry_first(const struct entry *entry, enum attr attr)
{
	struct entry_cursor cursor = {0};
	struct str value = STR_NONE;
	if (is_there(entry, attr))
		entry_next(entry, attr, &cursor, &value);
	return value;
}

bool entry_has(const struct entry *entry, enum attr attr)
{
	return is_there(entry, attr);
}

// --- Languages ---

enum { LANGUAGE_MARK = 0x1f, LANGUAGE_BYTES_MAX = 40 };

bool entry_has_languages(enum attr attr)
{
	return attr == ATTR_PH_VACATION_SUBJECT || attr == ATTR_PH_VACATION_TEXT || attr == ATTR_PH_VACATION_TEXT_INTERNAL;
}

bool entry_is_language(struct str lang)
{
	for (size_t i = 0; i < lang.n; i++)
		if (!chr_is_alpha(lang.p[i]) && !chr_is_digit(lang.p[i]) && lang.p[i] != '-')
			return false;
	return lang.n > 0 && lang.n <= LANGUAGE_BYTES_MAX;
}

struct str entry_with_language(struct arena *arena, struct str lang, struct str text)
{
	return arena_printf(arena, "%c%.*s%c%.*s", LANGUAGE_MARK, STR_FMT(lang), LANGUAGE_MARK, STR_FMT(text));
}

struct str entry_take_language(struct str *value)
{
	struct str lang, text;
	if (value->n == 0 || value->p[0] != LANGUAGE_MARK || !str_cut(str_from(*value, 1), LANGUAGE_MARK, &lang, &text) ||
		!entry_is_language(lang))
		return STR_NONE;
	*value = text;
	return lang;
}

// How well a language fits what is wanted: 2 the same, 1 a wider or narrower one (RFC 4647 section 3.4, both ways), 0 not.
static unsigned fits(struct str lang, struct str wanted)
{
	struct str longer = lang.n > wanted.n ? lang : wanted, shorter = lang.n > wanted.n ? wanted : lang;
	if (shorter.n == 0 || !str_starts_nocase(longer, shorter))
		return 0;
	return longer.n == shorter.n ? 2 : longer.p[shorter.n] == '-';
}

struct str entry_text(const struct entry *entry, enum attr attr, const struct str *langs, size_t n, struct str *lang_out)
{
	struct entry_cursor cursor = {0};
	struct str value, best = STR_NONE, best_lang = STR_NONE;
	size_t best_rank = SIZE_MAX; // the lower the better
	while (entry_next(entry, attr, &cursor, &value)) {
		struct str lang = entry_take_language(&value);
		size_t rank = lang.n ? 2 * n + 1 : 2 * n;
		for (size_t i = 0; i < n && rank >= 2 * n; i++)
			if (fits(lang, langs[i]))
				rank = 2 * i + 2 - fits(lang, langs[i]);
		if (rank >= best_rank)
			continue;
		best_rank = rank;
		best = value;
		best_lang = lang;
	}
	*lang_out = best_lang;
	return best;
}

bool entry_flag(const struct entry *entry, enum attr attr)
{
	return str_eq_nocase(entry_first(entry, attr), STR("TRUE"));
}

bool entry_mailbox_id(const struct entry *entry, struct guid *id_out)
{
	if (guid_parse(entry_first(entry, ATTR_PH_MAILBOX_ID), id_out))
		return true;
	if (!entry->has_uuid)
		return false;
	*id_out = entry->uuid;
	return true;
}

enum entry_status entry_status(const struct entry *entry)
{
	struct str word = entry_first(entry, ATTR_PH_STATUS);
	return word.p ? entry_status_of(word) : ENTRY_STATUS_ACTIVE;
}

static const struct str class_default = STR("default");

bool entry_class_is_default(const struct entry *entry)
{
	return str_eq_nocase(str_trim(entry_first(entry, ATTR_PH_CLASS_OF_SERVICE)), class_default);
}

bool entry_class_of_service(const struct entry *entry, unsigned tries, struct str *name_out)
{
	struct str name = entry_first(entry, ATTR_PH_CLASS_OF_SERVICE);
	if (name.n == 0 || tries > 1 || (tries == 1 && entry_class_is_default(entry)))
		return false;
	*name_out = tries ? class_default : name;
	return true;
}

bool entry_is_expired(const struct entry *entry, int64_t now_wall_ms)
{
	int64_t expires_ms;
	return entry_time_parse(entry_first(entry, ATTR_PH_EXPIRES), &expires_ms) && expires_ms <= now_wall_ms;
}

// Takes up to two digits off *text; false when they are missing or above max.
static bool take_two_digits(struct str *text, int max, int *out)
{
	uint64_t value;
	if (text->n < 2 || !str_to_u64(str_upto(*text, 2), (uint64_t)max, &value))
		return false;
	*out = (int)value;
	*text = str_from(*text, 2);
	return true;
}

// What follows the digits: "Z", or "+hhmm", "-hh".
static bool take_zone(struct str text, int64_t *offset_ms)
{
	int hours, minutes = 0;
	*offset_ms = 0;
	if (str_eq(text, STR("Z")) || str_eq(text, STR("z")))
		return true;
	if (text.n == 0 || (text.p[0] != '+' && text.p[0] != '-'))
		return false;
	int sign = text.p[0] == '-' ? -1 : 1;
	text = str_from(text, 1);
	if (!take_two_digits(&text, 23, &hours) || (text.n && !take_two_digits(&text, 59, &minutes)) || text.n)
		return false;
	*offset_ms = sign * (hours * 60 + minutes) * (int64_t)60000;
	return true;
}

bool entry_time_parse(struct str text, int64_t *wall_ms_out)
{
	uint64_t year;
	struct tm tm = {0};
	if (text.n < 4 || !str_to_u64(str_upto(text, 4), 9999, &year))
		return false;
	text = str_from(text, 4);
	if (!take_two_digits(&text, 12, &tm.tm_mon) || !take_two_digits(&text, 31, &tm.tm_mday) ||
		!take_two_digits(&text, 23, &tm.tm_hour))
		return false;
	if (text.n && chr_is_digit(text.p[0]) && !take_two_digits(&text, 59, &tm.tm_min))
		return false;
	if (text.n && chr_is_digit(text.p[0]) && !take_two_digits(&text, 60, &tm.tm_sec))
		return false;
	if (text.n && (text.p[0] == '.' || text.p[0] == ',')) { // fractions are cut: nothing here is decided by them
		size_t digits = 1;
		while (digits < text.n && chr_is_digit(text.p[digits]))
			digits++;
		if (digits == 1)
			return false;
		text = str_from(text, digits);
	}
	int64_t offset_ms;
	if (tm.tm_mon == 0 || tm.tm_mday == 0 || !take_zone(text, &offset_ms))
		return false;
	tm.tm_year = (int)year - 1900;
	tm.tm_mon -= 1;
	*wall_ms_out = (int64_t)timegm(&tm) * 1000 - offset_ms;
	return true;
}
