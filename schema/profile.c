// SPDX-License-Identifier: Apache-2.0
// Lines of a map, read: conditions, then "SOURCE = TARGET: HOW" or "TARGET := VALUE". What is wrong with one is said before a
// daemon starts.
#include "schema/profile.h"

#include <stdlib.h>

#include "base/must.h"
#include "schema/attr_words.h"
#include "schema/entry_status.h"

enum { PROFILE_BYTES_MAX = 4 << 20, NAME_BYTES_MAX = 128 };

// While a line is read: the first thing that is wrong, and with which part of it.
struct reading {
	struct arena *arena;
	struct profile_line *line;
	struct str *at_out;
};

static const char *wrong(struct reading *r, struct str at, const char *what)
{
	*r->at_out = at;
	return what;
}

// RFC 4512 section 1.4: descr. Options and OIDs are none.
static bool is_name(struct str s)
{
	if (s.n == 0 || s.n > NAME_BYTES_MAX || !chr_is_alpha(s.p[0]))
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (!chr_is_alpha(s.p[i]) && !chr_is_digit(s.p[i]) && s.p[i] != '-' && s.p[i] != '_')
			return false;
	return true;
}

static bool is_one_of(struct str s, const char *const *words)
{
	for (size_t i = 0; words[i]; i++)
		if (str_eq_nocase(s, str_of_c(words[i])))
			return true;
	return false;
}

// Takes the next word off *rest; empty at the end.
static struct str take_word(struct str *rest)
{
	size_t n = 0;
	*rest = str_trim(*rest);
	while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t')
		n++;
	struct str word = str_upto(*rest, n);
	*rest = str_trim(str_from(*rest, n));
	return word;
}

// --- Conditions ---

static const char *read_condition(struct reading *r, struct str text)
{
	struct profile_condition condition = {.negated = str_starts(text, STR("!"))};
	struct str name = condition.negated ? str_from(text, 1) : text, value;
	if (str_cut(name, '=', &name, &value)) {
		condition.value = str_trim(value);
		if (condition.value.n == 0)
			return wrong(r, text, "compares with nothing; write [attribute] for one that has a value");
	}
	condition.name = str_trim(name);
	if (!is_name(condition.name))
		return wrong(r, text,
			"is no condition; write [attribute], [attribute=value], [!attribute] or [!attribute=value]");
	if (r->line->n_conditions == PROFILE_CONDITIONS_MAX)
		return wrong(r, text, "is one condition too many; a line has at most four");
	r->line->conditions[r->line->n_conditions++] = condition;
	return NULL;
}

static const char *read_conditions(struct reading *r, struct str *rest)
{
	for (*rest = str_trim(*rest); str_starts(*rest, STR("[")); *rest = str_trim(*rest)) {
		ptrdiff_t end = str_index(*rest, ']');
		if (end < 0)
			return wrong(r, *rest, "is a condition without its ]");
		const char *what = read_condition(r, str_trim(str_from(str_upto(*rest, (size_t)end), 1)));
		if (what)
			return what;
		*rest = str_from(*rest, (size_t)end + 1);
	}
	return NULL;
}

// --- Targets ---

static const char *read_target(struct reading *r, struct str name, bool constant)
{
	struct profile_line *line = r->line;
	line->attr = attr_by_name(name);
	if (line->attr && line->attr->attr != ATTR_ORIGIN) {
		line->target = PROFILE_TO_ATTR;
		line->name = str_of_c(line->attr->name);
		return NULL;
	}
	line->attr = NULL;
	line->name = name;
	if (constant && str_eq_nocase(name, STR("objectClass"))) {
		line->target = PROFILE_TO_CLASS;
		line->name = STR("objectClass");
		return NULL;
	}
	if (!constant && str_eq_nocase(name, STR("entryUUID"))) {
		line->target = PROFILE_TO_UUID;
		line->name = STR("entryUUID");
		return NULL;
	}
	if (!constant && str_eq(name, STR("-"))) {
		line->target = PROFILE_TO_NOTHING;
		return NULL;
	}
	if (str_eq_nocase(name, STR("objectClass")))
		return wrong(r, name, "is not mapped by =; write [objectClass=theirs] objectClass := phMailUser");
	return wrong(r, name, "is no attribute of ours; posthouse.schema has them");
}

// What a word or a constant becomes must be a value that means something; other values are checked when an entry has them.
static const char *check_result(struct reading *r, struct str value)
{
	static const char *const flags[] = {"TRUE", "FALSE", NULL};
	const struct profile_line *line = r->line;
	uint64_t number;
	if (line->attr == NULL || str_eq(value, STR("*")))
		return NULL;
	if (line->attr->attr == ATTR_PH_STATUS && entry_status_of(value) == ENTRY_STATUS_BAD)
		return wrong(r, value, "is no phStatus; write active, nologin, noreceive, hold, suspended, disabled or deleted");
	if (line->attr->attr == ATTR_PH_SERVICE &&
		attr_words_wrong(ATTR_PH_SERVICE, str_starts(value, STR("-")) ? str_from(value, 1) : value))
		return wrong(r, value, "is no phService; write imap, pop3, submission, sieve or none, or one with - before it");
	if (line->attr->attr == ATTR_PH_VACATION && attr_words_wrong(ATTR_PH_VACATION, value))
		return wrong(r, value, "is no phVacation; write off, on or scheduled");
	if (line->attr->check == ATTR_CHECK_FLAG && !is_one_of(value, flags))
		return wrong(r, value, "is neither TRUE nor FALSE");
	if (line->attr->check == ATTR_CHECK_NUMBER && !str_eq(value, STR("-1")) && !str_to_u64(value, INT64_MAX, &number))
		return wrong(r, value, "is neither a whole number nor -1");
	return NULL;
}

// --- How ---

static const char *read_words(struct reading *r, struct str rest)
{
	struct profile_word *words = arena_array(r->arena, PROFILE_WORDS_MAX, sizeof *words);
	struct profile_line *line = r->line;
	line->how = PROFILE_WORDS;
	line->words = words;
	for (struct str word = take_word(&rest); words && word.n; word = take_word(&rest)) {
		struct profile_word *made = &words[line->n_words];
		if (line->n_words++ == PROFILE_WORDS_MAX)
			return wrong(r, word, "is one word too many; a table has at most 64");
		if (!str_cut(word, '=', &made->from, &made->to) || made->from.n == 0)
			return wrong(r, word, "is no pair of words; write theirs=ours");
		for (size_t i = 0; i + 1 < line->n_words; i++)
			if (str_eq_nocase(words[i].from, made->from))
				return wrong(r, word, "is there twice");
		struct str values = made->to, value;
		while (values.n) {
			if (!str_cut(values, ',', &value, &values)) {
				value = values;
				values = STR_NONE;
			}
			const char *what = check_result(r, value);
			if (what)
				return what;
		}
	}
	return NULL;
}

enum argument { NONE, TEXT, NUMBER, BIT };

static const char *read_argument(struct reading *r, struct str name, enum argument kind, struct str rest)
{
	struct profile_line *line = r->line;
	line->argument = take_word(&rest);
	if (kind == BIT || kind == NUMBER) {
		uint64_t max = kind == BIT ? 63 : 1 << 30;
		if (!str_to_u64(line->argument, max, &line->number) || line->number == 0)
			return wrong(r, name, kind == BIT ? "needs the number of a bit, from 1, and a word" : "needs a number");
		line->argument = kind == BIT ? take_word(&rest) : line->argument;
	}
	if (kind != NONE && line->argument.n == 0)
		return wrong(r, name, "needs something after it");
	if (kind == NONE && line->argument.n)
		return wrong(r, line->argument, "is too much: nothing follows here");
	if (rest.n)
		return wrong(r, rest, "is too much: nothing follows here");
	if (line->how == PROFILE_SPLIT && line->argument.n != 1)
		return wrong(r, line->argument, "is not one character");
	return kind == BIT ? check_result(r, line->argument) : NULL;
}

static const char *read_how(struct reading *r, struct str rest)
{
	static const struct {
		const char *name;
		enum argument argument;
	} functions[] = {
#define PROFILE_ROW(id, name_, argument_) {name_, argument_},
		PROFILE_FUNCTIONS(PROFILE_ROW)
#undef PROFILE_ROW
	};
	struct str words = rest, name = take_word(&rest);
	if (str_index(name, '=') >= 0)
		return read_words(r, words);
	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
		if (str_eq(name, str_of_c(functions[i].name))) {
			r->line->how = (enum profile_how)(PROFILE_WORDS + 1 + i);
			return read_argument(r, name, functions[i].argument, rest);
		}
	return wrong(r, name, "is neither a pair of words (theirs=ours) nor a function of a map");
}

// --- A line ---

static const char *read_constant(struct reading *r, struct str target, struct str value)
{
	struct profile_line *line = r->line;
	const char *what = read_target(r, target, true);
	if (what)
		return what;
	if (value.n == 0)
		return wrong(r, r->line->text, "gives nothing; write a value after :=");
	line->argument = value;
	if (line->target == PROFILE_TO_CLASS && attr_class_by_name(value) == 0)
		return wrong(r, value, "is no class of ours; posthouse.schema has them");
	if (line->target == PROFILE_TO_CLASS && line->n_conditions == 0)
		return wrong(r, r->line->text,
			"would make every entry one of ours; write a condition before it, such as [objectClass=person]");
	return check_result(r, value);
}

static const char *read_line(struct reading *r)
{
	struct str rest = r->line->text, left, right, how = STR_NONE;
	const char *what = read_conditions(r, &rest);
	if (what)
		return what;
	if (!str_cut(rest, '=', &left, &right))
		return wrong(r, r->line->text,
			"is no line of a map; write THEIRS = OURS, THEIRS = OURS: theirs=ours, or OURS := VALUE");
	left = str_trim(left);
	right = str_trim(right);
	if (str_ends(left, STR(":")))
		return read_constant(r, str_trim(str_upto(left, left.n - 1)), right);
	if (!is_name(left))
		return wrong(r, left, "is no name of an attribute; options and OIDs are not written here");
	r->line->source = left;
	bool has_how = str_cut(right, ':', &right, &how);
	what = read_target(r, str_trim(right), false);
	if (what)
		return what;
	if (str_eq_nocase(left, STR("objectClass")))
		return wrong(r, left, "is not mapped by =; write [objectClass=theirs] objectClass := phMailUser");
	if (!has_how)
		return NULL;
	how = str_trim(how);
	if (how.n == 0)
		return wrong(r, r->line->text, "says nothing after the colon; write theirs=ours, or leave it out");
	return read_how(r, how);
}

const char *profile_line_parse(struct arena *arena, struct str text, struct profile_line *line_out, struct str *at_out)
{
	struct profile_line line = {.text = arena_dup(arena, str_trim(text))};
	struct reading r = {.arena = arena, .line = &line, .at_out = at_out};
	if (line.text.n > PROFILE_LINE_BYTES_MAX)
		return wrong(&r, str_upto(line.text, 32), "begins a line that is too long");
	if (!str_is_printable(line.text))
		return wrong(&r, STR_NONE, "has something beside printable ASCII");
	const char *what = read_line(&r);
	if (what == NULL && arena_overflowed(arena))
		what = wrong(&r, line.text, "is one line too many");
	if (what == NULL)
		*line_out = line;
	return what;
}

// --- A profile ---

static void add(struct profile *profile, struct str text, bool own)
{
	struct str at;
	struct profile_line *line = &profile->lines[profile->n++];
	must(profile_line_parse(profile->arena, text, line, &at) == NULL); // ours, or checked with the settings
	line->own = own;
	profile->hash = guid_derive(&profile->hash, line->text, own ? STR("own line") : STR("line"));
}

struct profile *profile_new(int family, const struct settings_list *map)
{
	const char *const *lines = profile_lines(family);
	size_t n = map ? map->n : 0;
	struct profile *profile = calloc(1, sizeof *profile);
	must(profile != NULL && n <= PROFILE_LINES_MAX);
	for (size_t i = 0; lines[i]; i++)
		n++;
	profile->arena = arena_new(PROFILE_BYTES_MAX);
	profile->name = str_of_c(profile_name(family));
	profile->lines = arena_must(profile->arena, (n + 1) * sizeof *profile->lines);
	for (size_t i = 0; map && i < map->n; i++)
		add(profile, map->v[i], true);
	for (size_t i = 0; lines[i]; i++)
		add(profile, str_of_c(lines[i]), false);
	return profile;
}

void profile_free(struct profile **profile)
{
	if (*profile == NULL)
		return;
	arena_free(&(*profile)->arena);
	free(*profile);
	*profile = NULL;
}

bool profile_is_native(const struct profile *profile)
{
	return profile == NULL || profile->n == 0;
}

bool profile_names(const struct profile *profile, struct str attribute)
{
	for (size_t i = 0; profile && i < profile->n; i++) {
		const struct profile_line *line = &profile->lines[i];
		if (str_eq_nocase(line->source, attribute) || (line->attr && str_eq_nocase(line->name, attribute)))
			return true;
		for (size_t j = 0; j < line->n_conditions; j++)
			if (str_eq_nocase(line->conditions[j].name, attribute))
				return true;
	}
	return false;
}

bool profile_asks_class(const struct profile *profile, struct str class)
{
	for (size_t i = 0; profile && i < profile->n; i++)
		for (size_t j = 0; j < profile->lines[i].n_conditions; j++) {
			const struct profile_condition *condition = &profile->lines[i].conditions[j];
			if (str_eq_nocase(condition->name, STR("objectClass")) &&
				(condition->value.p == NULL || str_eq_nocase(condition->value, class)))
				return true;
		}
	return false;
}
