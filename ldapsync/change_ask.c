// SPDX-License-Identifier: Apache-2.0
// Which entries a change is about that the shadow may not hold enough of, and what the source says of them: one question for all,
// because a question may cost a connection to a server, or reading a whole file.
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "change.h"
#include "dn.h"

struct names {
	struct str *v; // owned; in change->arena
	size_t n, room;
};

// Of what it says of classes and ids the shadow holds only what counts.
static bool touches_more(const struct raw_entry *record)
{
	for (size_t i = 1; i < record->n_values; i++) {
		struct str name = str_trim(record->values[i].value);
		if (str_eq_nocase(name, STR("objectClass")) || str_eq_nocase(name, STR("phMailboxId")))
			return true;
	}
	return false;
}

static bool needs_source(struct change *change, const struct raw_entry *record)
{
	static const char *const types[] = {"modify", "modrdn", "moddn"};
	struct directory_match match;
	bool modifies = false;
	if (record->n_values == 0 || !str_eq_nocase(record->values[0].name, STR("changetype")))
		return false;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		modifies = modifies || str_eq_nocase(str_trim(record->values[0].value), str_of_c(types[i]));
	if (!modifies)
		return false;
	arena_reset(change->scratch);
	return !profile_is_native(change->spec->profile) || touches_more(record) ||
	       directory_find(change->base, DIRECTORY_DN, record->dn, change->scratch, &match) != DIRECTORY_FOUND ||
	       match.entry->cut;
}

static void add_name(struct change *change, struct names *names, struct str dn)
{
	if (names->n == names->room) {
		names->room = names->room ? 2 * names->room : 64;
		names->v = reallocarray(names->v, names->room, sizeof *names->v);
		must(names->v != NULL);
	}
	names->v[names->n++] = arena_dup(change->arena, dn);
}

// What does not parse is said when it is applied.
static void collect(struct change *change, struct str text, struct names *names)
{
	struct raw_entry record;
	struct err ignored;
	struct ldif *ldif = ldif_open_text(text, change->spec->name);
	ldif_allow_changes(ldif);
	while (names->n < DIRECTORY_OVERLAY_ENTRIES_MAX && ldif_next(ldif, &record, &ignored) == LDIF_RECORD)
		if (needs_source(change, &record))
			add_name(change, names, record.dn);
	ldif_close(&ldif);
}

static int compare_given(const void *a, const void *b)
{
	return memcmp(&((const struct change_given *)a)->dn_key, &((const struct change_given *)b)->dn_key, sizeof(struct guid));
}

// Each once, by its key; the names are left in the same order.
static void prepare(struct change *change, struct names *names)
{
	size_t kept = 0;
	change->given = calloc(names->n, sizeof *change->given);
	must(change->given != NULL);
	for (size_t i = 0; i < names->n; i++)
		change->given[i] = (struct change_given){.dn_key = dn_key(names->v[i]), .n = i};
	qsort(change->given, names->n, sizeof *change->given, compare_given);
	struct str *sorted = calloc(names->n, sizeof *sorted);
	must(sorted != NULL);
	for (size_t i = 0; i < names->n; i++) {
		if (kept && guid_eq(&change->given[i].dn_key, &change->given[kept - 1].dn_key))
			continue;
		sorted[kept] = names->v[change->given[i].n];
		change->given[kept++] = (struct change_given){.dn_key = change->given[i].dn_key};
	}
	free(names->v);
	names->v = sorted;
	names->n = change->n_given = kept;
}

static void take(void *taker, size_t which, struct str name, struct str value)
{
	struct change *change = taker;
	must(which < change->n_given);
	struct change_given *given = &change->given[which];
	if (name.n == 0) {
		given->partial = true;
		return;
	}
	if (given->n == given->room) {
		given->room = given->room ? 2 * given->room : 16;
		given->values = reallocarray(given->values, given->room, sizeof *given->values);
		must(given->values != NULL);
	}
	given->values[given->n++] =
		(struct raw_value){.name = arena_dup(change->arena, name), .value = arena_dup(change->arena, value)};
}

static void forget(struct change *change)
{
	for (size_t i = 0; i < change->n_given; i++)
		free(change->given[i].values);
	free(change->given);
	change->given = NULL;
	change->n_given = 0;
}

void change_ask(struct change *change, struct str text)
{
	const struct entry_source *source = change->spec->source;
	struct names names = {0};
	struct err err;
	if (source == NULL)
		return;
	collect(change, text, &names);
	if (names.n > 0) {
		prepare(change, &names);
		bool asked = source->fetch(source->context, names.v, names.n, take, change, &err) == ERR_OK;
		if (asked && arena_overflowed(change->arena))
			asked = err_set(&err, ERR_LIMIT, "the entries are too large") == ERR_OK;
		if (!asked) {
			forget(change);
			snprintf(change->trouble, sizeof change->trouble, "%s", err.text);
		}
	}
	free(names.v);
}

struct change_given *change_given(struct change *change, struct str dn)
{
	const struct change_given wanted = {.dn_key = dn_key(dn)};
	return change->n_given ? bsearch(&wanted, change->given, change->n_given, sizeof wanted, compare_given) : NULL;
}
