// SPDX-License-Identifier: Apache-2.0
// Values of ATTR_ORIGIN, written and read.
#include "schema/entry_origin.h"

enum { SEPARATOR = 0x1f };

struct origin {
	uint64_t number;
	struct str name, value, given; // value.p is NULL: of all values
};

static bool parse(struct str text, struct origin *out)
{
	struct str number, rest;
	struct origin origin = {0};
	if (!str_cut(text, SEPARATOR, &number, &rest) || !str_to_u64(number, ATTR_NUMBER_MAX, &origin.number))
		return false;
	if (!str_cut(rest, SEPARATOR, &origin.name, &rest))
		origin.name = rest;
	else if (!str_cut(rest, SEPARATOR, &origin.value, &origin.given))
		return false;
	*out = origin;
	return origin.name.n > 0;
}

// A domain is stored in another spelling than it was given in; then the first is as good as any.
bool entry_origin(const struct entry *entry, enum attr attr, struct str value, struct str *name_out, struct str *given_out)
{
	struct entry_cursor cursor = {0};
	struct str text;
	struct origin origin;
	while (entry_next(entry, ATTR_ORIGIN, &cursor, &text)) {
		if (!parse(text, &origin) || origin.number != (uint64_t)attr)
			continue;
		if (origin.value.p && !str_eq_nocase(origin.value, value))
			continue;
		*name_out = origin.name;
		*given_out = origin.given.n ? origin.given : value;
		return true;
	}
	return false;
}

struct str entry_origin_of_all(struct arena *arena, enum attr attr, struct str name)
{
	return arena_printf(arena, "%u%c%.*s", (unsigned)attr, SEPARATOR, STR_FMT(name));
}

struct str entry_origin_of_value(struct arena *arena, enum attr attr, struct str name, struct str value, struct str given)
{
	if (given.n > ENTRY_ORIGIN_GIVEN_BYTES_MAX || !str_is_utf8(given))
		given = STR_NONE;
	return arena_printf(arena, "%u%c%.*s%c%.*s%c%.*s", (unsigned)attr, SEPARATOR, STR_FMT(name), SEPARATOR, STR_FMT(value),
		SEPARATOR, STR_FMT(given));
}
