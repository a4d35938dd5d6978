// SPDX-License-Identifier: Apache-2.0
// Changes, applied one record after the other: each entry that is touched is taken once, from the source where that was asked
// (change_ask.c), else from the shadow, back into attributes and values, and changed there. Whatever neither holds and the answer
// would need is an error with its line.
#include "change_parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "dn.h"

enum { CHANGE_BYTES_MAX = 1 << 30 };

void change_init(struct change *change, struct directory *base, const struct directory_overlay_change *spec)
{
	*change = (struct change){.base = base, .spec = spec};
	change->is_ldif = directory_status(base).is_ldif;
	change->arena = arena_new(CHANGE_BYTES_MAX);
	change->scratch = arena_new(CHANGE_BYTES_MAX);
}

void change_fini(struct change *change)
{
	for (size_t i = 0; i < change->n; i++)
		free(change->entries[i].values);
	free(change->entries);
	for (size_t i = 0; i < change->n_given; i++)
		free(change->given[i].values);
	free(change->given);
	arena_free(&change->arena);
	arena_free(&change->scratch);
}

enum err_code change_bad(const struct change *change, size_t line, enum err_code code, const char *what, struct str name,
	struct err *err)
{
	return err_set(err, code, "%s:%zu: %.*s%s%s", change->spec->name, line, STR_FMT(name), name.n ? ": " : "", what);
}

enum err_code change_unknown(const struct change *change, size_t line, const char *what, struct str name, struct err *err)
{
	char text[2 * ERR_TEXT_BYTES];
	snprintf(text, sizeof text, "%s; the directory itself cannot be asked: %s", what, change->trouble);
	return change_bad(change, line, ERR_NOTFOUND, change->trouble[0] ? text : what, name, err);
}

// --- Entries ---

static enum err_code new_entry(struct change *change, const struct raw_entry *record, struct change_entry **entry_out,
	struct err *err)
{
	if (change->n == DIRECTORY_OVERLAY_ENTRIES_MAX)
		return change_bad(change, record->line, ERR_LIMIT, "too many entries in one change", STR(""), err);
	if (change->n == change->room) {
		change->room = change->room ? 2 * change->room : 64;
		change->entries = reallocarray(change->entries, change->room, sizeof *change->entries);
		must(change->entries != NULL);
	}
	*entry_out = &change->entries[change->n++];
	**entry_out = (struct change_entry){
		.dn = arena_dup(change->arena, record->dn), .dn_key = dn_key(record->dn), .line = record->line};
	return ERR_OK;
}

static void add_value(struct change_entry *entry, struct str name, struct str value, size_t line)
{
	if (entry->n == entry->room) {
		entry->room = entry->room ? 2 * entry->room : 16;
		entry->values = reallocarray(entry->values, entry->room, sizeof *entry->values);
		must(entry->values != NULL);
	}
	entry->values[entry->n++] = (struct raw_value){.name = name, .value = value, .line = line};
}

void change_copy_value(struct change *change, struct change_entry *entry, struct str name, struct str value, size_t line)
{
	add_value(entry, arena_dup(change->arena, name), arena_dup(change->arena, value), line);
}

// From what is stored back to attributes and values.
static void unpack(struct change *change, struct change_entry *entry, const struct entry *stored)
{
#define CHANGE_CLASS(id, bit, class_name) {id, class_name},
	static const struct {
		unsigned class;
		const char *name;
	} classes[] = {ATTR_CLASSES(CHANGE_CLASS)};
#undef CHANGE_CLASS
	static const struct raw_value ours; // no file says where values come from
	struct entry_cursor cursor = {0};
	enum attr attr;
	struct str value;
	entry->hides = entry->was = entry->native = true;
	entry->hidden = entry->uuid = stored->uuid;
	entry->has_uuid = stored->has_uuid;
	entry->alive = true;
	entry->dn = entry->was_dn = arena_dup(change->arena, stored->dn);
	entry->class_unknown = (stored->classes & (ENTRY_USER | ENTRY_LIST)) != 0;
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
		if (stored->classes & classes[i].class)
			add_value(entry, STR("objectClass"), str_of_c(classes[i].name), entry->line);
	while (entry_each(stored, &cursor, &attr, &value)) {
		struct str lang = entry_has_languages(attr) ? entry_take_language(&value) : STR_NONE;
		add_value(entry, str_of_c(attr_name(attr)), arena_dup(change->arena, value), entry->line);
		entry->values[entry->n - 1].lang = arena_dup(change->arena, lang);
		if (attr == ATTR_ORIGIN)
			entry->values[entry->n - 1].from = &ours;
	}
}

static bool is_hidden(const struct change *change, const struct guid *uuid)
{
	for (size_t i = 0; i < change->n; i++)
		if (change->entries[i].hides && guid_eq(&change->entries[i].hidden, uuid))
			return true;
	return false;
}

// An entry as the source has it.
static void take_given(struct change *change, struct change_entry *entry, struct change_given *given)
{
	struct guid uuid;
	entry->alive = entry->was = given->taken = true;
	entry->was_dn = entry->hides ? entry->was_dn : entry->dn;
	entry->native = entry->class_unknown = false;
	entry->n = 0;
	for (size_t i = 0; i < given->n; i++) {
		const struct raw_value *value = &given->values[i];
		add_value(entry, value->name, value->value, entry->line);
		if (!entry->has_uuid && !change->is_ldif && str_eq_nocase(value->name, STR("entryUUID")) &&
			guid_parse(value->value, &uuid) && !guid_is_zero(&uuid)) {
			entry->uuid = uuid;
			entry->has_uuid = true;
		}
	}
}

// The entry a DN names now, as the records before have left it; NULL: there is none, or the shadow knows none and the source was
// not asked.
static enum err_code find(struct change *change, const struct raw_entry *record, struct str dn, struct change_entry **entry_out,
	struct err *err)
{
	struct directory_match match = {.entry = NULL};
	struct guid key = dn_key(dn);
	struct change_given *given = change_given(change, dn);
	*entry_out = NULL;
	for (size_t i = 0; i < change->n; i++)
		if (change->entries[i].alive && guid_eq(&change->entries[i].dn_key, &key)) {
			*entry_out = &change->entries[i];
			(*entry_out)->line = record->line;
			return ERR_OK;
		}
	arena_reset(change->scratch);
	switch (directory_find(change->base, DIRECTORY_DN, dn, change->scratch, &match)) {
	case DIRECTORY_NONE:
		if (given == NULL || given->n == 0 || given->taken)
			return ERR_OK;
		break;
	case DIRECTORY_AMBIGUOUS:
		return change_bad(change, record->line, ERR_NOTFOUND, "the shadow has two entries with this name", dn, err);
	case DIRECTORY_UNAVAILABLE:
		return change_bad(change, record->line, ERR_BUSY, directory_trouble(change->base),
			STR("the shadow cannot be read"), err);
	case DIRECTORY_FOUND:
		break;
	}
	if (match.entry && is_hidden(change, &match.entry->uuid))
		return ERR_OK;
	if (given && given->n == 0)
		return change_bad(change, record->line, ERR_INVALID, "the directory has no such entry any more", dn, err);
	if (given && given->partial)
		return change_bad(change, record->line, ERR_NOTFOUND,
			"the server gives only a part of its values: what becomes of it cannot be told", dn, err);
	if (given == NULL && match.entry->cut)
		return change_unknown(change, record->line,
			"the entry is larger than the shadow keeps: what becomes of it cannot be told", dn, err);
	enum err_code code = new_entry(change, &(struct raw_entry){.dn = dn, .line = record->line}, entry_out, err);
	if (code)
		return code;
	if (match.entry)
		unpack(change, *entry_out, match.entry);
	if (given)
		take_given(change, *entry_out, given);
	return ERR_OK;
}

// Of an entry that is not there to be modified or renamed; ERR_OK: it may be there, unknown to the shadow.
static enum err_code check_missing(struct change *change, const struct raw_entry *record, struct err *err)
{
	const struct change_given *given = change_given(change, record->dn);
	return given && given->n == 0 ? change_bad(change, record->line, ERR_INVALID, "the directory has no entry with this name",
						record->dn, err)
				      : ERR_OK;
}

static enum err_code modify(struct change *change, const struct raw_entry *record, struct err *err)
{
	static const struct {
		const char *name;
		enum change_op op;
	} ops[] = {{"add", CHANGE_ADD}, {"delete", CHANGE_DELETE}, {"replace", CHANGE_REPLACE}};
	struct change_entry *entry;
	enum err_code code = find(change, record, record->dn, &entry, err);
	if (code == ERR_OK && entry == NULL)
		code = check_missing(change, record, err);
	for (size_t i = 1; code == ERR_OK && i < record->n_values;) {
		const struct raw_value *head = &record->values[i++];
		struct change_modification m = {.name = str_trim(head->value), .values = head + 1, .line = head->line};
		size_t op = 0;
		while (op < sizeof ops / sizeof *ops && !str_eq_nocase(head->name, str_of_c(ops[op].name)))
			op++;
		if (op == sizeof ops / sizeof *ops)
			return change_bad(change, head->line, ERR_UNSUPPORTED, "is none of add, delete and replace", head->name,
				err);
		m.op = ops[op].op;
		struct str base, option;
		if (!str_cut(m.name, ';', &base, &option))
			base = m.name;
		for (; i < record->n_values && !str_eq(record->values[i].name, STR("-")); i++, m.n++)
			if (!str_eq_nocase(record->values[i].name, base))
				return change_bad(change, record->values[i].line, ERR_INVALID,
					"another attribute; end a modification with a line \"-\"", record->values[i].name, err);
		i++;
		code = change_modify_one(change, entry, &m, err);
	}
	return code;
}

// --- Whole entries, renames ---

static enum err_code put(struct change *change, const struct raw_entry *record, size_t from, bool must_be_new, struct err *err)
{
	struct change_entry *entry;
	enum err_code code = find(change, record, record->dn, &entry, err);
	if (code)
		return code;
	if (entry && must_be_new)
		return change_bad(change, record->line, ERR_EXISTS, "the entry is there already", record->dn, err);
	if (entry == NULL && (code = new_entry(change, record, &entry, err)) != ERR_OK)
		return code;
	if (!entry->alive && !change->is_ldif) { // the server will give it one
		entry->has_uuid = true;
		entry->uuid = guid_derive(&entry->dn_key, STR_NONE, STR("added"));
	}
	entry->alive = true;
	entry->native = entry->class_unknown = false;
	entry->n = 0;
	for (size_t i = from; i < record->n_values; i++) {
		const struct raw_value *value = &record->values[i];
		if (str_eq(value->name, STR("-")) || str_eq_nocase(value->name, STR("changetype")) ||
			str_eq_nocase(value->name, STR("control")))
			return change_bad(change, value->line, ERR_INVALID, "does not belong into an entry", value->name, err);
		struct guid uuid;
		if (str_eq_nocase(value->name, STR("entryUUID")) && guid_parse(value->value, &uuid) && !guid_is_zero(&uuid)) {
			entry->uuid = uuid;
			entry->has_uuid = true;
		}
		change_copy_value(change, entry, value->name, value->value, value->line);
	}
	return arena_overflowed(change->arena)
		       ? change_bad(change, record->line, ERR_LIMIT, "the change is too large", STR(""), err)
		       : ERR_OK;
}

static enum err_code remove_entry(struct change *change, const struct raw_entry *record, struct err *err)
{
	struct change_entry *entry;
	enum err_code code = find(change, record, record->dn, &entry, err);
	if (code)
		return code;
	if (record->n_values > 1)
		return change_bad(change, record->values[1].line, ERR_INVALID, "nothing follows a delete", record->values[1].name,
			err);
	if (entry)
		entry->alive = false;
	else
		change->spec->complain(change->spec->context, record->line, record->dn, STR_NONE,
			"is no entry that the shadow knows: nothing of ours goes");
	return ERR_OK;
}

static enum err_code rename_entry(struct change *change, const struct raw_entry *record, struct err *err)
{
	struct str newrdn = STR_NONE, superior = STR_NONE, keep = STR_NONE, rdn, parent;
	struct change_entry *entry, *other;
	for (size_t i = 1; i < record->n_values; i++) {
		const struct raw_value *value = &record->values[i];
		struct str *into = str_eq_nocase(value->name, STR("newrdn")) ? &newrdn
			: str_eq_nocase(value->name, STR("deleteoldrdn"))    ? &keep
			: str_eq_nocase(value->name, STR("newsuperior"))     ? &superior
									     : NULL;
		if (into == NULL)
			return change_bad(change, value->line, ERR_INVALID, "does not belong into a rename", value->name, err);
		*into = str_trim(value->value);
	}
	if (newrdn.n == 0 || !(str_eq(keep, STR("0")) || str_eq(keep, STR("1"))) || !dn_cut(record->dn, &rdn, &parent))
		return change_bad(change, record->line, ERR_INVALID, "a rename has newrdn, and deleteoldrdn of 0 or 1", STR(""),
			err);
	enum err_code code = find(change, record, record->dn, &entry, err);
	if (code)
		return code;
	if (entry == NULL && (code = check_missing(change, record, err)) != ERR_OK)
		return code;
	if (entry == NULL)
		return change_unknown(change, record->line, "the shadow does not know the entry, nor what is beneath it",
			record->dn, err);
	parent = superior.n ? superior : parent;
	struct str dn = arena_printf(change->arena, "%.*s%s%.*s", STR_FMT(newrdn), parent.n ? "," : "", STR_FMT(parent));
	if (!dn_is_valid(dn))
		return change_bad(change, record->line, ERR_INVALID, "is no name", dn, err);
	ptrdiff_t at = entry - change->entries;
	if ((code = find(change, record, dn, &other, err)) != ERR_OK)
		return code;
	entry = &change->entries[at]; // find may have moved them
	if (other && other != entry)
		return change_bad(change, record->line, ERR_EXISTS, "an entry of this name is there already", dn, err);
	if (str_eq(keep, STR("1")))
		code = change_rename_values(change, entry, rdn, true, record->line, err);
	if (code == ERR_OK)
		code = change_rename_values(change, entry, newrdn, false, record->line, err);
	entry->dn = dn;
	entry->dn_key = dn_key(dn);
	return code;
}

enum err_code change_apply(struct change *change, const struct raw_entry *record, struct err *err)
{
	struct str type = STR_NONE;
	if (record->n_values > 0 && str_eq_nocase(record->values[0].name, STR("control")))
		return change_bad(change, record->values[0].line, ERR_UNSUPPORTED, "controls are not known here", STR(""), err);
	if (!dn_is_valid(record->dn))
		return change_bad(change, record->line, ERR_INVALID, "is no name", record->dn, err);
	if (record->n_values == 0 || !str_eq_nocase(record->values[0].name, STR("changetype")))
		return put(change, record, 0, false, err);
	type = str_trim(record->values[0].value);
	if (str_eq_nocase(type, STR("add")))
		return put(change, record, 1, true, err);
	if (str_eq_nocase(type, STR("modify")))
		return modify(change, record, err);
	if (str_eq_nocase(type, STR("delete")))
		return remove_entry(change, record, err);
	if (str_eq_nocase(type, STR("modrdn")) || str_eq_nocase(type, STR("moddn")))
		return rename_entry(change, record, err);
	return change_bad(change, record->values[0].line, ERR_UNSUPPORTED, "is none of add, modify, delete, modrdn and moddn",
		type, err);
}
