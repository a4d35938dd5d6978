// SPDX-License-Identifier: Apache-2.0
// Tables in files: sorted arrays of canonical keys, asked before the directory.
#include "router/rules.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/must.h"
#include "mail/access_rule.h"
#include "mail/route_rule.h"
#include "mail/rule_file.h"

enum { ARENA_BYTES = 4 * RULES_FILE_BYTES_MAX, SCRATCH_BYTES = 1 << 20, KINDS = RULES_ACCESS + 1 };

struct row {
	struct str key, value, original;
	size_t line;
};

struct table {
	struct str name;
	struct row *rows; // owned; sorted by key
	size_t n, room;
	bool damaged;
};

struct rules {
	_Atomic unsigned refs;
	struct arena *arena; // owned; names, keys, values
	struct table tables[KINDS];
};

static const enum directory_key keys_of[KINDS] = {[RULES_ROUTES] = DIRECTORY_ROUTE, [RULES_ACCESS] = DIRECTORY_ACCESS};

struct rules *rules_new(void)
{
	struct rules *rules = calloc(1, sizeof *rules);
	must(rules != NULL);
	atomic_init(&rules->refs, 1);
	rules->arena = arena_new(ARENA_BYTES);
	return rules;
}

struct rules *rules_ref(struct rules *rules)
{
	atomic_fetch_add_explicit(&rules->refs, 1, memory_order_relaxed);
	return rules;
}

void rules_drop(struct rules **rules_in)
{
	struct rules *rules = *rules_in;
	*rules_in = NULL;
	if (rules == NULL || atomic_fetch_sub_explicit(&rules->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (size_t i = 0; i < KINDS; i++)
		free(rules->tables[i].rows);
	arena_free(&rules->arena);
	free(rules);
}

// --- Reading ---

struct reading {
	struct rules *rules;
	struct table *table;
	struct arena *scratch; // of a row
	rules_complain_fn *complain;
	void *context;
	bool good;
};

static void complain(struct reading *r, size_t line, struct str key, const char *what)
{
	r->good = false;
	r->complain(r->context, r->table->name, line, key, what);
}

static void add_row(struct reading *r, struct str key, const struct rule_file_row *from)
{
	struct table *table = r->table;
	if (table->n == table->room) {
		table->room = table->room ? 2 * table->room : 64;
		table->rows = reallocarray(table->rows, table->room, sizeof *table->rows);
		must(table->rows != NULL);
	}
	table->rows[table->n++] = (struct row){.key = arena_dup(r->rules->arena, key),
		.value = arena_dup(r->rules->arena, from->value),
		.original = arena_dup(r->rules->arena, from->key),
		.line = from->line};
}

static const char *read_route(struct reading *r, const struct rule_file_row *row)
{
	struct route_rule rule = ROUTE_RULE_NONE;
	struct str key;
	const char *wrong = route_rule_key(r->scratch, row->key, &key);
	if (wrong == NULL)
		wrong = route_rule_value(r->scratch, row->value, &rule);
	if (wrong == NULL && route_rule_needs_mx(&rule))
		wrong = "needs MX records, which are not looked up yet: write the next hop as [name]";
	if (wrong == NULL)
		add_row(r, key, row);
	return wrong;
}

// Kept for rules_each alone: no key that is asked for begins so.
static void add_idle(struct reading *r, const struct rule_file_row *row)
{
	add_row(r, arena_printf(r->scratch, RULES_IDLE "%zu", row->line), row);
}

static const char *read_access(struct reading *r, const struct rule_file_row *row)
{
	struct access_rule_keys keys;
	struct access_rule rule;
	struct str tag;
	const char *instead;
	if (access_rule_tag(row->key, &tag, &instead) == ACCESS_RULE_TAG_IDLE) {
		add_idle(r, row);
		return NULL;
	}
	const char *wrong = access_rule_keys(r->scratch, row->key, &keys);
	if (wrong == NULL)
		wrong = access_rule_action(r->scratch, row->value, &rule);
	if (wrong == NULL)
		wrong = access_rule_check(&keys, &rule);
	for (size_t i = 0; wrong == NULL && i < keys.n; i++)
		add_row(r, keys.v[i], row);
	return wrong;
}

static int compare_rows(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int order = str_cmp(x->key, y->key);
	return order ? order : (x->line > y->line) - (x->line < y->line);
}

static void look_for_repetitions(struct reading *r)
{
	for (size_t i = 1; i < r->table->n; i++)
		if (str_eq(r->table->rows[i - 1].key, r->table->rows[i].key))
			complain(r, r->table->rows[i].line, r->table->rows[i].original,
				"is there already: its key has a row further up");
}

bool rules_add(struct rules *rules, enum rules_kind kind, struct str name, struct str text, rules_complain_fn *complain_fn,
	void *context)
{
	struct reading r = {.rules = rules, .table = &rules->tables[kind], .scratch = arena_new(SCRATCH_BYTES),
	.complain = complain_fn,
		.context = context, .good = true};
	struct rule_file file = rule_file_of(text);
	struct rule_file_row row;
	must(r.table->n == 0);
	r.table->name = arena_dup(rules->arena, name);
	while (rule_file_next(&file, r.scratch, &row)) {
		const char *wrong = row.value.n == 0       ? "has no value"
				    : kind == RULES_ROUTES ? read_route(&r, &row)
							   : read_access(&r, &row);
		if (wrong)
			complain(&r, row.line, row.key, wrong);
		arena_reset(r.scratch);
	}
	if (r.table->n)
		qsort(r.table->rows, r.table->n, sizeof *r.table->rows, compare_rows);
	look_for_repetitions(&r);
	if (arena_overflowed(rules->arena))
		complain(&r, 0, STR_NONE, "has more rows than fit");
	arena_free(&r.scratch);
	if (!r.good)
		rules_damage(rules, kind, name);
	return r.good;
}

void rules_damage(struct rules *rules, enum rules_kind kind, struct str name)
{
	struct table *table = &rules->tables[kind];
	table->name = arena_dup(rules->arena, name);
	table->n = 0;
	table->damaged = true;
}

bool rules_is_damaged(const struct rules *rules, enum rules_kind kind)
{
	return rules && rules->tables[kind].damaged;
}

struct str rules_name(const struct rules *rules, enum rules_kind kind)
{
	return rules->tables[kind].name;
}

// --- Asking ---

// Index of the first row that is not below.
static size_t first_from(const struct table *table, struct str key)
{
	size_t low = 0, high = table->n;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (str_cmp(table->rows[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void rules_each(const struct rules *rules, enum rules_kind kind, struct str prefix, rules_each_fn *each, void *context)
{
	const struct table *table = &rules->tables[kind];
	for (size_t i = first_from(table, prefix); i < table->n && str_starts(table->rows[i].key, prefix); i++)
		each(context, table->name, table->rows[i].line, table->rows[i].original);
}

enum rules_answer rules_find(const struct rules *rules, enum rules_kind kind, struct directory *directory, struct str key,
	enum attr attr, struct arena *arena, struct rules_row *row_out)
{
	struct directory_match match;
	if (rules_is_damaged(rules, kind))
		return RULES_UNAVAILABLE;
	if (rules && rules->tables[kind].n) {
		const struct table *table = &rules->tables[kind];
		size_t at = first_from(table, key);
		if (at < table->n && str_eq(table->rows[at].key, key)) {
			*row_out = (struct rules_row){.attribute = "", .value = table->rows[at].value,
				.entry = arena_printf(arena, "%.*s:%zu", STR_FMT(table->name), table->rows[at].line)};
			return RULES_FOUND;
		}
	}
	switch (directory_find(directory, keys_of[kind], key, arena, &match)) {
	case DIRECTORY_FOUND:
		*row_out = (struct rules_row){.entry = match.entry->dn,
			.attribute = attr_name(attr),
			.value = entry_first(match.entry, attr),
			.of_directory = match.entry};
		return RULES_FOUND;
	case DIRECTORY_NONE:
		return RULES_NONE;
	case DIRECTORY_AMBIGUOUS:
		*row_out = (struct rules_row){.entry = match.entry->dn,
			.attribute = attr_name(attr),
			.value = entry_first(match.entry, attr),
			.of_directory = match.entry};
		return RULES_TWICE;
	case DIRECTORY_UNAVAILABLE:
		return RULES_UNAVAILABLE;
	}
	unreachable("directory_answer");
}

struct str rules_next_key(const struct rules *rules, enum rules_kind kind, struct directory *directory, struct str from,
	struct arena *arena)
{
	struct str theirs = directory_next_key(directory, keys_of[kind], from, arena);
	if (rules == NULL)
		return theirs;
	const struct table *table = &rules->tables[kind];
	size_t at = first_from(table, from);
	if (at == table->n)
		return theirs;
	return theirs.n && str_cmp(theirs, table->rows[at].key) < 0 ? theirs : table->rows[at].key;
}

bool rules_have(const struct rules *rules, enum rules_kind kind, struct directory *directory, struct str prefix,
	struct arena *arena)
{
	if (rules_is_damaged(rules, kind))
		return true;
	struct str first = rules_next_key(rules, kind, directory, prefix, arena);
	return first.n > 0 && str_starts(first, prefix);
}
