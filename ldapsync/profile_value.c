// SPDX-License-Identifier: Apache-2.0
// The table of words and the functions of a map, each on its own. What they make is checked as any native value is, by the
// intake.
#include "profile_value.h"

#include <time.h>

enum {
	GUID_BYTES = 16,
	YEAR_MAX = 9999,
};
static const int64_t FILETIME_PER_S = 10000000, FILETIME_EPOCH_S = 11644473600, DAY_S = 86400;

struct made {
	struct arena *arena;
	profile_value_fn *each;
	void *context;
};

static void give(const struct made *made, struct str value)
{
	if (value.n)
		made->each(made->context, value);
}

// The pieces of text between separators, trimmed.
static void give_pieces(const struct made *made, struct str text, char separator, struct str star)
{
	struct str piece;
	while (text.n) {
		if (!str_cut(text, separator, &piece, &text)) {
			piece = text;
			text = STR_NONE;
		}
		piece = str_trim(piece);
		give(made, star.p && str_eq(piece, STR("*")) ? star : piece);
	}
}

static const char *by_words(const struct profile_line *line, struct str given, const struct made *made)
{
	const struct profile_word *any = NULL;
	for (size_t i = 0; i < line->n_words; i++) {
		const struct profile_word *word = &line->words[i];
		if (str_eq_nocase(word->from, given)) {
			give_pieces(made, word->to, ',', given);
			return NULL;
		}
		if (str_eq(word->from, STR("*")))
			any = word;
	}
	if (any == NULL)
		return "is a word that the map has nothing for; give it one in ldap_map";
	give_pieces(made, any->to, ',', given);
	return NULL;
}

// INTEGER of LDAP: a sign may be there.
static bool read_number(struct str text, bool *negative_out, uint64_t *number_out)
{
	bool negative = str_starts(text, STR("-"));
	if (!str_to_u64(negative ? str_from(text, 1) : text, INT64_MAX, number_out))
		return false;
	*negative_out = negative;
	return true;
}

static const char *by_bit(const struct profile_line *line, struct str given, const struct made *made)
{
	bool negative;
	uint64_t number;
	if (!read_number(given, &negative, &number))
		return "is not a whole number";
	uint64_t bits = negative ? -number : number;
	if (bits >> (line->number - 1) & 1)
		give(made, line->argument);
	return NULL;
}

static const char *by_times(const struct profile_line *line, struct str given, const struct made *made)
{
	bool negative;
	uint64_t number;
	if (!read_number(given, &negative, &number) || (negative && number != 1))
		return "is neither a whole number nor -1";
	if (negative) {
		give(made, given);
		return NULL;
	}
	if (line->how == PROFILE_OVER)
		number = number / line->number + (number % line->number > 0);
	else if (number > (uint64_t)INT64_MAX / line->number)
		return "is too large a number";
	else
		number *= line->number;
	give(made, arena_printf(made->arena, "%llu", (unsigned long long)number));
	return NULL;
}

// Maildir++: "10485760S,1000C", either alone too; a number alone is bytes. 0 is no limit.
static const char *by_quota(const struct profile_line *line, struct str given, const struct made *made)
{
	struct str rest = given, item;
	char wanted = line->how == PROFILE_QUOTA_BYTES ? 'S' : 'C';
	while (rest.n) {
		uint64_t number;
		if (!str_cut(rest, ',', &item, &rest)) {
			item = rest;
			rest = STR_NONE;
		}
		item = str_trim(item);
		char unit = item.n ? chr_upper(item.p[item.n - 1]) : '\0';
		if (unit == 'S' || unit == 'C')
			item = str_upto(item, item.n - 1);
		else
			unit = 'S';
		if (!str_to_u64(item, INT64_MAX, &number))
			return "is no quota such as 10485760S,1000C";
		if (unit == wanted)
			give(made, number ? arena_dup(made->arena, item) : STR("-1"));
	}
	return NULL;
}

// A time as the schema has it. What is beyond the year 9999 means never.
static void give_time(const struct made *made, int64_t seconds)
{
	time_t at = (time_t)seconds;
	struct tm tm;
	if (gmtime_r(&at, &tm) == NULL || tm.tm_year > YEAR_MAX - 1900 || tm.tm_year < 1 - 1900)
		return;
	give(made, arena_printf(made->arena, "%04d%02d%02d%02d%02d%02dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
			   tm.tm_hour, tm.tm_min, tm.tm_sec));
}

static const char *by_time(const struct profile_line *line, struct str given, const struct made *made)
{
	bool negative;
	uint64_t number;
	if (!read_number(given, &negative, &number) || (negative && number != 1))
		return "is not a number of units of time";
	if (negative)
		return NULL;
	if (line->how == PROFILE_DAYS && number <= (uint64_t)(INT64_MAX / DAY_S))
		give_time(made, (int64_t)number * DAY_S);
	else if (line->how == PROFILE_SECONDS && number)
		give_time(made, (int64_t)number);
	else if (line->how == PROFILE_FILETIME && number && number != (uint64_t)INT64_MAX)
		give_time(made, (int64_t)number / FILETIME_PER_S - FILETIME_EPOCH_S);
	return NULL;
}

// The first three fields are little-endian there.
static const char *by_guid(struct str given, const struct made *made)
{
	static const uint8_t order[GUID_BYTES] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
	struct guid guid;
	char text[GUID_TEXT_BYTES];
	if (given.n == GUID_BYTES)
		for (size_t i = 0; i < GUID_BYTES; i++)
			guid.b[i] = (uint8_t)given.p[order[i]];
	else if (!guid_parse(given, &guid))
		return "is not a UUID";
	give(made, arena_dup(made->arena, guid_text(&guid, text)));
	return NULL;
}

// The DN of a URL (RFC 4516 section 2), which may have bytes as %XX; the server that it names does not matter.
static const char *by_url(const struct profile_line *line, struct str given, const struct made *made)
{
	struct str rest, dn;
	ptrdiff_t slash = -1;
	if (str_starts_nocase(given, STR("ldap://")) || str_starts_nocase(given, STR("ldaps://"))) {
		rest = str_from(given, (size_t)str_index(given, '/') + 2);
		slash = str_index(rest, '/');
	}
	if (slash < 0)
		return NULL;
	dn = rest = str_from(rest, (size_t)slash + 1);
	bool searches = str_cut(rest, '?', &dn, &rest) && str_find(rest, STR("?")) >= 0 && str_trim(rest).n > 1;
	if (searches == (line->how == PROFILE_URL_DN))
		return NULL;
	if (searches) {
		give(made, given);
		return NULL;
	}
	char *p = arena_alloc(made->arena, dn.n + 1);
	size_t n = 0;
	for (size_t i = 0; p && i < dn.n; i++) {
		int high = dn.p[i] == '%' && i + 2 < dn.n ? chr_hex(dn.p[i + 1]) : -1,
		    low = high >= 0 ? chr_hex(dn.p[i + 2]) : -1;
		if (dn.p[i] == '%' && low < 0)
			return "is no LDAP URL";
		p[n++] = low < 0 ? dn.p[i] : (char)(high * 16 + low);
		i += low < 0 ? 0 : 2;
	}
	if (p)
		give(made, str_of(p, n));
	return NULL;
}

const char *profile_value(const struct profile_line *line, struct str given, struct arena *arena, profile_value_fn *each,
	void *context)
{
	const struct made made = {arena, each, context};
	struct str text = str_trim(given);
	if (line->how != PROFILE_COPY && given.n > PROFILE_VALUE_BYTES_MAX)
		return "is too long";
	switch (line->how) {
	case PROFILE_COPY:
		each(context, given);
		return NULL;
	case PROFILE_WORDS:
		return by_words(line, text, &made);
	case PROFILE_PREFIX:
		if (str_starts(text, line->argument))
			give(&made, str_trim(str_from(text, line->argument.n)));
		return NULL;
	case PROFILE_BEFORE:
		give(&made, str_starts(text, line->argument)
				    ? text
				    : arena_printf(arena, "%.*s%.*s", STR_FMT(line->argument), STR_FMT(text)));
		return NULL;
	case PROFILE_URL_DN:
	case PROFILE_URL_SEARCH:
		return by_url(line, text, &made);
	case PROFILE_SUFFIX:
		give(&made, str_index(text, '@') >= 0 ? text
						      : arena_printf(arena, "%.*s%.*s", STR_FMT(text), STR_FMT(line->argument)));
		return NULL;
	case PROFILE_CATCHALL:
		if (text.n > line->argument.n && str_starts_nocase(text, line->argument) && text.p[line->argument.n] == '@')
			give(&made, str_from(text, line->argument.n));
		return NULL;
	case PROFILE_SPLIT:
		give_pieces(&made, text, line->argument.p[0], STR_NONE);
		return NULL;
	case PROFILE_BIT:
		return by_bit(line, text, &made);
	case PROFILE_TIMES:
	case PROFILE_OVER:
		return by_times(line, text, &made);
	case PROFILE_QUOTA_BYTES:
	case PROFILE_QUOTA_MESSAGES:
		return by_quota(line, text, &made);
	case PROFILE_FILETIME:
	case PROFILE_DAYS:
	case PROFILE_SECONDS:
		return by_time(line, text, &made);
	case PROFILE_GUID:
		return by_guid(given, &made);
	}
	return "has an unknown function";
}
