// SPDX-License-Identifier: Apache-2.0
// Is a value one of its attribute's words?
#include "schema/attr_words.h"

#include "mail/addr.h"

static const struct {
	enum attr attr;
	struct str words;
	bool or_address;
	const char *wrong;
} rows[] = {
#define ATTR_WORDS_ROW(attr_, words_, more) \
	{.attr = attr_, .words = STR(words_), .or_address = sizeof(more) > 1, .wrong = "is none of " words_ more},
	ATTR_WORDS(ATTR_WORDS_ROW)
#undef ATTR_WORDS_ROW
};

static bool is_one_of(struct str words, struct str value)
{
	for (struct str rest = words, word; rest.n > 0;) {
		if (!str_cut(rest, ',', &word, &rest)) {
			word = rest;
			rest = STR_NONE;
		}
		if (str_eq_nocase(str_trim(word), value))
			return true;
	}
	return false;
}

static bool is_address(struct str value)
{
	enum { ADDRESS_BYTES = 16 << 10 };
	struct arena *arena = arena_new(ADDRESS_BYTES);
	struct addr addr;
	bool is = addr_parse(arena, value, ADDR_UTF8, &addr) == ADDR_OK;
	arena_free(&arena);
	return is;
}

const char *attr_words_wrong(enum attr attr, struct str value)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].attr == attr) {
			bool fits = is_one_of(rows[i].words, value) || (rows[i].or_address && is_address(value));
			return fits ? NULL : rows[i].wrong;
		}
	return NULL;
}
