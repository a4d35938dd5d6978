// SPDX-License-Identifier: Apache-2.0
// Filters and attributes from the lines of a profile.
#include "profile_search.h"

#include "base/buf.h"
#include "base/must.h"

// ours, and lines whose every byte is escaped
enum { FILTER_BYTES_MAX = (64 << 10) + PROFILE_LINES_MAX * 3 * PROFILE_LINE_BYTES_MAX };

struct names {
	const char **v;
	size_t n;
};

static void add_name(struct names *names, struct arena *arena, struct str name)
{
	for (size_t i = 0; i < names->n; i++)
		if (str_eq_nocase(str_of_c(names->v[i]), name))
			return;
	names->v[names->n++] = arena_dup(arena, name).p;
}

// RFC 4515 section 3: what a value must not hold as it is.
static void add_escaped(struct buf *b, struct str value)
{
	for (size_t i = 0; i < value.n; i++)
		if (strchr("*()\\", value.p[i]))
			buf_printf(b, "\\%02x", (unsigned)(uint8_t)value.p[i]);
		else
			buf_add_byte(b, value.p[i]);
}

// What the conditions of a line ask for, an AND of them; nothing when they ask for nothing that a filter should.
static void add_conditions(struct buf *b, const struct profile_line *line)
{
	size_t before = b->n;
	buf_add_c(b, "(&");
	for (size_t i = 0; i < line->n_conditions; i++) {
		const struct profile_condition *condition = &line->conditions[i];
		if (condition->negated)
			continue;
		buf_printf(b, "(%.*s=", STR_FMT(condition->name));
		if (condition->value.p)
			add_escaped(b, condition->value);
		else
			buf_add_c(b, "*");
		buf_add_c(b, ")");
	}
	if (b->n == before + 2)
		b->n = before;
	else
		buf_add_c(b, ")");
}

static const char *text_of(struct buf *b, struct arena *arena)
{
	must(!b->overflow);
	const char *text = arena_dup(arena, buf_str(b)).p;
	must(text != NULL);
	buf_fini(b);
	return text;
}

// Room for all names that a profile can have.
static struct names names_of(const struct profile *profile, struct arena *arena)
{
	size_t n = ATTR_NUMBER_MAX + 2 + (profile ? profile->n * (1 + PROFILE_CONDITIONS_MAX) : 0);
	return (struct names){.v = arena_must(arena, n * sizeof *(struct names){0}.v)};
}

static void add_line_names(struct names *names, struct arena *arena, const struct profile_line *line)
{
	if (line->source.n)
		add_name(names, arena, line->source);
	for (size_t i = 0; i < line->n_conditions; i++)
		add_name(names, arena, line->conditions[i].name);
}

static bool is_asked(const struct attr_info *attr, bool secrets)
{
	return secrets || attr->where != ATTR_IN_CREDENTIALS;
}

void profile_search_all(const struct profile *profile, bool secrets, struct arena *arena, struct profile_search *search_out)
{
	struct names names = names_of(profile, arena);
	struct buf filter;
	buf_init(&filter, FILTER_BYTES_MAX);
#define CLASS_FILTER(id, bit, name) "(objectClass=" name ")"
	buf_add_c(&filter, "(|" ATTR_CLASSES(CLASS_FILTER));
#undef CLASS_FILTER
	for (size_t i = 0; profile && i < profile->n; i++)
		if (profile->lines[i].target == PROFILE_TO_CLASS)
			add_conditions(&filter, &profile->lines[i]);
	buf_add_c(&filter, "(mail=*)(member=*))");
	add_name(&names, arena, STR("objectClass"));
	for (unsigned number = 1; number <= ATTR_NUMBER_MAX; number++)
		if (attr_by_number(number) && number != ATTR_ORIGIN && is_asked(attr_by_number(number), secrets))
			add_name(&names, arena, str_of_c(attr_name((enum attr)number)));
	for (size_t i = 0; profile && i < profile->n; i++)
		if (profile->lines[i].attr == NULL || is_asked(profile->lines[i].attr, secrets))
			add_line_names(&names, arena, &profile->lines[i]);
	*search_out = (struct profile_search){.filter = text_of(&filter, arena), .attributes = names.v};
}

void profile_search_realms(const struct profile *profile, struct arena *arena, struct profile_search *search_out)
{
	static const enum attr wanted[] = {ATTR_ASSOCIATED_DOMAIN, ATTR_PH_AUTH_REALM};
	struct names names = names_of(profile, arena);
	struct buf filter;
	buf_init(&filter, FILTER_BYTES_MAX);
	buf_add_c(&filter, "(|(&(objectClass=phMailDomain)(phAuthRealm=*))");
	add_name(&names, arena, STR("objectClass"));
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
		add_name(&names, arena, str_of_c(attr_name(wanted[i])));
	for (size_t i = 0; profile && i < profile->n; i++) {
		const struct profile_line *line = &profile->lines[i];
		enum attr attr = line->attr ? line->attr->attr : ATTR_NONE;
		bool makes_domains = line->target == PROFILE_TO_CLASS && attr_class_by_name(line->argument) == ENTRY_DOMAIN;
		if (!makes_domains && attr != ATTR_ASSOCIATED_DOMAIN && attr != ATTR_PH_AUTH_REALM)
			continue;
		add_line_names(&names, arena, line);
		if (attr == ATTR_PH_AUTH_REALM && line->source.n)
			buf_printf(&filter, "(%.*s=*)", STR_FMT(line->source));
		if (attr == ATTR_PH_AUTH_REALM && line->source.n == 0)
			add_conditions(&filter, line);
	}
	buf_add_c(&filter, ")");
	*search_out = (struct profile_search){.filter = text_of(&filter, arena), .attributes = names.v};
}
