// SPDX-License-Identifier: Apache-2.0
// Lines of a map, and an entry through those that are good. The input is a letter for the profile, lines up to an empty one, then
// LDIF. Whatever they are: a line is taken or something is said of a part of it; what the map makes of an entry decodes, holds no
// control characters, and says where it comes from.
// Covers: schema/profile.c schema/entry_origin.c ldapsync/profile_map.c ldapsync/profile_value.c ldapsync/profile_search.c
#include <stdint.h>

#include "base/must.h"
#include "intake.h"
#include "ldif.h"
#include "profile_search.h"
#include "schema/entry_origin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES = 32 };

static void complain(void *context, size_t line, struct str dn, struct str attribute, const char *what)
{
	(void)context;
	(void)line;
	(void)dn;
	(void)attribute;
	must(what != NULL);
}

static void check(struct str blob)
{
	struct entry entry;
	struct entry_cursor cursor = {0};
	enum attr attr;
	struct str value, name, given;
	must(entry_decode(blob, &entry));
	while (entry_each(&entry, &cursor, &attr, &value)) {
		must(!entry_origin(&entry, attr, value, &name, &given) || name.n > 0);
		for (size_t i = 0; i < value.n && attr_by_number((unsigned)attr)->check != ATTR_CHECK_RAW; i++)
			must((unsigned char)value.p[i] >= 0x20 && value.p[i] != 0x7f);
	}
}

// The good lines; *rest is what follows the empty one.
static size_t read_lines(struct arena *arena, struct str *rest, struct str *good)
{
	struct str text, at = STR_NONE;
	size_t n = 0;
	while (n < LINES && str_next_line(rest, &text) && text.n) {
		struct profile_line line;
		const char *wrong = profile_line_parse(arena, text, &line, &at);
		must(wrong == NULL || at.n <= text.n);
		if (wrong == NULL)
			good[n++] = text;
	}
	return n;
}

static void ask(const struct profile *profile)
{
	struct arena *arena = arena_new(PROFILE_SEARCH_BYTES);
	struct profile_search search;
	profile_search_all(profile, true, arena, &search);
	must(search.filter[0] == '(' && search.attributes[0]);
	profile_search_realms(profile, arena, &search);
	must(search.filter[0] == '(' && search.attributes[0]);
	arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str good[LINES], rest = str_of((const char *)data + (size > 0), size - (size > 0));
	struct arena *arena = arena_new(PROFILE_SEARCH_BYTES);
	struct settings_list map = {good, 0};
	struct raw_entry record;
	struct intake_made made;
	struct err err;
	int families = 0;
	while (profile_name(families))
		families++;
	map.n = read_lines(arena, &rest, good);
	struct profile *profile = profile_new(size ? (uint8_t)(data[0] - 'a') % families : 0, &map);
	struct intake *intake = intake_new(complain, NULL);
	intake_use_profile(intake, profile);
	ask(profile);
	struct ldif *ldif = ldif_open_text(rest, "fuzz");
	while (ldif_next(ldif, &record, &err) == LDIF_RECORD) {
		intake_survey(intake, &record);
		(void)intake_realms_differ(intake, &record);
		if (intake_make(intake, &record, 0, &made) == INTAKE_TAKEN)
			check(made.data);
	}
	ldif_close(&ldif);
	intake_free(&intake);
	profile_free(&profile);
	arena_free(&arena);
	return 0;
}
