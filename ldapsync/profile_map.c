// SPDX-License-Identifier: Apache-2.0
// Applying a profile: which lines hold for the entry, native values first, then what each line makes of its source, then the
// constants, then where all of it comes from.
#include "profile_map.h"

#include "base/must.h"
#include "profile_value.h"
#include "schema/entry_origin.h"

enum {
	BY_NOBODY = 0, // who gave a native attribute its values: nobody, the entry itself, or line i as BY_LINE + i
	BY_ENTRY = 1,
	BY_LINE = 2,
	UNIQUE_MAX = 512, // values up to which each is kept once; beyond that, twice does no harm
};

struct mapping {
	const struct profile *profile;
	const struct raw_entry *entry;
	struct arena *arena;
	profile_complain_fn *complain; // NULL: says nothing
	void *context;
	unsigned classes;
	bool *holds; // of each line
	struct raw_value *values;
	size_t n, room;
	uint16_t by[ATTR_NUMBER_MAX + 1]; // the first who gave values of it
	bool mixed[ATTR_NUMBER_MAX + 1];  // several did, or the values are not as given
	bool failed;
};

// One value on its way through a line.
struct passage {
	struct mapping *m;
	size_t line;
	const struct raw_value *given;
};

// --- Conditions ---

static bool has_class(const struct mapping *m, struct str name)
{
	unsigned class = attr_class_by_name(name);
	if (class == ENTRY_RECIPIENT)
		class |= ENTRY_USER | ENTRY_LIST; // SUP
	return m->classes & class;
}

static bool condition_holds(const struct mapping *m, const struct profile_condition *condition)
{
	bool found = condition->value.p && str_eq_nocase(condition->name, STR("objectClass")) && has_class(m, condition->value);
	for (size_t i = 0; i < m->entry->n_values && !found; i++) {
		const struct raw_value *value = &m->entry->values[i];
		found = value->name.n == condition->name.n && str_eq_nocase(value->name, condition->name) &&
			(condition->value.p == NULL || str_eq_nocase(str_trim(value->value), condition->value));
	}
	return found != condition->negated;
}

static bool line_holds(const struct mapping *m, const struct profile_line *line)
{
	for (size_t i = 0; i < line->n_conditions; i++)
		if (!condition_holds(m, &line->conditions[i]))
			return false;
	return true;
}

// Classes that the entry names, then those that lines give it.
static void find_classes(struct mapping *m)
{
	for (size_t i = 0; i < m->entry->n_values; i++)
		if (str_eq_nocase(m->entry->values[i].name, STR("objectClass")))
			m->classes |= attr_class_by_name(str_trim(m->entry->values[i].value));
	for (size_t i = 0; i < m->profile->n; i++) {
		const struct profile_line *line = &m->profile->lines[i];
		if (line->target == PROFILE_TO_CLASS && line_holds(m, line))
			m->classes |= attr_class_by_name(line->argument);
	}
	if (m->classes & (ENTRY_USER | ENTRY_LIST))
		m->classes |= ENTRY_RECIPIENT;
}

// --- Values ---

static struct raw_value *add(struct mapping *m, const struct raw_value *value)
{
	if (m->n == m->room) {
		size_t room = m->room ? 2 * m->room : 64;
		struct raw_value *values = arena_array(m->arena, room, sizeof *values);
		if (values == NULL) {
			m->failed = true;
			return NULL;
		}
		if (m->n)
			memcpy(values, m->values, m->n * sizeof *values);
		m->values = values;
		m->room = room;
	}
	m->values[m->n] = *value;
	return &m->values[m->n++];
}

static bool is_there(const struct mapping *m, struct str name, struct str value)
{
	for (size_t i = 0; i < m->n && m->n <= UNIQUE_MAX; i++)
		if (m->values[i].name.p == name.p && str_eq_nocase(m->values[i].value, value))
			return true;
	return false;
}

// May who gives this attribute a value do so? Of one value the first who gives any counts; the words of phStatus and phService
// are put together later.
static bool takes(struct mapping *m, const struct attr_info *attr, unsigned by, bool as_given)
{
	unsigned first = m->by[attr->attr];
	if (first != BY_NOBODY && first != by) {
		if (attr->values == ATTR_SINGLE && attr->attr != ATTR_PH_STATUS)
			return false;
		m->mixed[attr->attr] = true;
	}
	if (first == BY_NOBODY)
		m->by[attr->attr] = (uint16_t)by;
	if (!as_given)
		m->mixed[attr->attr] = true;
	return true;
}

static void give(void *context, struct str value)
{
	struct passage *passage = context;
	struct mapping *m = passage->m;
	const struct profile_line *line = &m->profile->lines[passage->line];
	const struct raw_value *given = passage->given;
	// "mail = mail" beside "mail = phLoginAlias"
	bool same = line->how == PROFILE_COPY && str_eq_nocase(line->name, given->name);
	struct raw_value made = {.name = line->name, .value = value, .lang = given->lang, .line = given->line,
		.from = same ? NULL : given};
	if (line->target == PROFILE_TO_ATTR) {
		made.name = str_of_c(line->attr->name); // its address tells natives apart
		if (is_there(m, made.name, value) ||
			!takes(m, line->attr, (unsigned)(BY_LINE + passage->line), line->how == PROFILE_COPY))
			return;
	}
	(void)add(m, &made);
}

// Is the attribute the source of a line that holds?
static bool is_source(const struct mapping *m, struct str name)
{
	for (size_t i = 0; i < m->profile->n; i++) {
		const struct profile_line *line = &m->profile->lines[i];
		if (line->source.n == name.n && m->holds[i] && str_eq_nocase(line->source, name))
			return true;
	}
	return false;
}

static void take_natives(struct mapping *m)
{
	struct str name = STR_NONE; // values of one attribute stand together
	bool passes = false;
	const struct attr_info *attr = NULL;
	for (size_t i = 0; i < m->entry->n_values; i++) {
		struct raw_value value = m->entry->values[i];
		if (name.p == NULL || !str_eq(value.name, name)) {
			name = value.name;
			attr = attr_by_name(name);
			passes = (attr || str_eq_nocase(name, STR("objectClass")) || str_eq_nocase(name, STR("entryUUID"))) &&
				 !is_source(m, name);
		}
		if (!passes)
			continue;
		if (attr) {
			value.name = str_of_c(attr->name);
			(void)takes(m, attr, BY_ENTRY, true);
		}
		(void)add(m, &value);
	}
}

// Does a line of the administrator's stand in the place of this one?
static bool is_replaced(const struct mapping *m, const struct profile_line *line)
{
	for (size_t i = 0; !line->own && i < m->profile->n && m->profile->lines[i].own; i++) {
		const struct profile_line *own = &m->profile->lines[i];
		if (m->holds[i] && own->source.n && str_eq_nocase(own->source, line->source) &&
			(own->target == PROFILE_TO_NOTHING || str_eq(own->name, line->name)))
			return true;
	}
	return false;
}

static void take_line(struct mapping *m, size_t at)
{
	const struct profile_line *line = &m->profile->lines[at];
	for (size_t i = 0; i < m->entry->n_values && !m->failed; i++) {
		const struct raw_value *given = &m->entry->values[i];
		struct passage passage = {m, at, given};
		if (given->name.n != line->source.n || !str_eq_nocase(given->name, line->source))
			continue;
		const char *wrong = profile_value(line, given->value, m->arena, give, &passage);
		if (wrong && m->complain)
			m->complain(m->context, given->line, m->entry->dn, given->name, wrong);
	}
}

static void take_constant(struct mapping *m, size_t at)
{
	const struct profile_line *line = &m->profile->lines[at];
	struct raw_value *from = arena_alloc(m->arena, sizeof *from);
	if (from)
		*from = (struct raw_value){.name = line->own ? STR("ldap_map") : STR("ldap_profile"), .value = line->text};
	struct raw_value made = {.name = line->name, .value = line->argument, .line = m->entry->line, .from = from};
	if (line->target == PROFILE_TO_ATTR) {
		if (m->by[line->attr->attr] != BY_NOBODY)
			return;
		made.name = str_of_c(line->attr->name);
		(void)takes(m, line->attr, (unsigned)(BY_LINE + at), false);
	}
	(void)add(m, &made);
}

// --- Words that are put together ---

static void drop(struct mapping *m, size_t at)
{
	memmove(&m->values[at], &m->values[at + 1], (m->n - at - 1) * sizeof *m->values);
	m->n--;
}

// Of several statuses the most restrictive, as the enum has them; a word that is none counts most, as nobody knows what it was to
// stop.
static void settle_status(struct mapping *m)
{
	ptrdiff_t best = -1;
	for (size_t i = 0; i < m->n && m->mixed[ATTR_PH_STATUS]; i++) {
		if (attr_by_name(m->values[i].name) != attr_by_number(ATTR_PH_STATUS))
			continue;
		if (best < 0) {
			best = (ptrdiff_t)i;
			continue;
		}
		if (entry_status_of(m->values[i].value) > entry_status_of(m->values[best].value))
			m->values[best] = m->values[i];
		drop(m, i--);
	}
}

// Services that lines take away: from those that are named, else from all.
static void settle_services(struct mapping *m)
{
	static const char *const services[] = {"imap", "pop3", "submission", "sieve"};
	enum { N = sizeof services / sizeof *services };
	struct raw_value last = {0};
	unsigned without = 0, named = 0;
	const char *name = attr_name(ATTR_PH_SERVICE);
	if (!m->mixed[ATTR_PH_SERVICE])
		return;
	for (size_t i = 0; i < m->n; i++)
		for (size_t j = 0; j < N && m->values[i].name.p == name; j++) {
			struct str value = m->values[i].value;
			if (str_eq_nocase(value, str_of_c(services[j])))
				named |= 1u << j;
			if (str_starts(value, STR("-")) && str_eq_nocase(str_from(value, 1), str_of_c(services[j]))) {
				without |= 1u << j;
				last = m->values[i];
			}
		}
	if (without == 0)
		return;
	bool is_named = false;
	for (size_t i = 0; i < m->n; i++)
		if (m->values[i].name.p == name) {
			is_named = is_named || !str_starts(m->values[i].value, STR("-"));
			drop(m, i--);
		}
	unsigned left = (is_named ? named : (1u << N) - 1) & ~without;
	for (size_t j = 0; j < N; j++)
		if (left & 1u << j) {
			last.value = str_of_c(services[j]);
			(void)add(m, &last);
		}
	if (left == 0) {
		last.value = STR("none");
		(void)add(m, &last);
	}
}

// --- Where it comes from ---

static void add_origin(struct mapping *m, struct str text, size_t line)
{
	static const struct raw_value ours; // no file says where values come from
	if (text.p)
		(void)add(m, &(struct raw_value){
				     .name = str_of_c(attr_name(ATTR_ORIGIN)), .value = text, .line = line, .from = &ours});
}

static void add_origins(struct mapping *m)
{
	uint8_t said[ATTR_NUMBER_MAX + 1] = {0};
	size_t n = m->n;
	for (size_t i = 0; i < n && !m->failed; i++) {
		struct raw_value value = m->values[i];
		const struct attr_info *attr = value.from ? attr_by_name(value.name) : NULL;
		if (attr == NULL || said[attr->attr] > ENTRY_ORIGIN_VALUES_MAX || (said[attr->attr] && !m->mixed[attr->attr]))
			continue;
		if (!m->mixed[attr->attr] || said[attr->attr] == ENTRY_ORIGIN_VALUES_MAX)
			add_origin(m, entry_origin_of_all(m->arena, attr->attr, value.from->name), value.line);
		else
			add_origin(m,
				entry_origin_of_value(m->arena, attr->attr, value.from->name, value.value, value.from->value),
				value.line);
		said[attr->attr]++;
	}
}

// --- All of it ---

static bool begin(struct mapping *m)
{
	find_classes(m);
	m->holds = arena_array(m->arena, m->profile->n, sizeof *m->holds);
	for (size_t i = 0; m->holds && i < m->profile->n; i++)
		m->holds[i] = line_holds(m, &m->profile->lines[i]);
	return m->holds != NULL;
}

unsigned profile_map_classes(const struct profile *profile, const struct raw_entry *entry)
{
	static const struct profile none;
	struct mapping m = {.profile = profile && !entry->native ? profile : &none, .entry = entry};
	find_classes(&m);
	return m.classes;
}

bool profile_map_entry(const struct profile *profile, const struct raw_entry *entry, struct arena *arena,
	profile_complain_fn *complain, void *context, struct raw_entry *native_out)
{
	struct mapping m = {.profile = profile, .entry = entry, .arena = arena, .complain = complain, .context = context};
	if (profile_is_native(profile) || entry->native) {
		*native_out = *entry;
		return true;
	}
	if (!begin(&m))
		return false;
	take_natives(&m);
	for (size_t i = 0; i < profile->n; i++)
		if (m.holds[i] && profile->lines[i].source.n && profile->lines[i].target != PROFILE_TO_NOTHING &&
			!is_replaced(&m, &profile->lines[i]))
			take_line(&m, i);
	settle_status(&m);
	settle_services(&m);
	for (size_t i = 0; i < profile->n; i++)
		if (m.holds[i] && profile->lines[i].source.n == 0)
			take_constant(&m, i);
	add_origins(&m);
	*native_out = *entry;
	native_out->values = m.values;
	native_out->n_values = m.n;
	return !m.failed && !arena_overflowed(arena);
}
