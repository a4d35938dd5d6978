// SPDX-License-Identifier: Apache-2.0
// Is a value one of its attribute's words?
#include "schema/attr_words.h"

static const struct {
	enum attr attr;
	struct str words;
	const char *wrong;
} rows[] = {
#define ATTR_WORDS_ROW(attr_, words_) {.attr = attr_, .words = STR(words_), .wrong = "is none of " words_},
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

const char *attr_words_wrong(enum attr attr, struct str value)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].attr == attr)
			return is_one_of(rows[i].words, value) ? NULL : rows[i].wrong;
	return NULL;
}
