// SPDX-License-Identifier: Apache-2.0
// Changes, applied one record after the other: each entry that is touched is taken once, from the source where that was asked (change_ask.c), else
// from the shadow, back into attributes and values, and changed there. Whatever neither holds and the answer would need is an error with its line.
#include "change.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "dn.h"
#include "value.h"

enum { CHANGE_BYTES_MAX = 1 << 30, VALUES_MAX = 10000000 };

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

static enum err_code bad(const struct change *change, size_t line, enum err_code code, const char *what, struct str name, struct err *err)
{
	return err_set(err, code, "%s:%zu: %.*s%s%s", change->spec->name, line, STR_FMT(name), name.n ? ": " : "", what);
}

// What the source would know.
static enum err_code unknown(const struct change *change, size_t line, const char *what, struct str name, struct err *err)
{
	char text[2 * ERR_TEXT_BYTES];
	snprintf(text, sizeof text, "%s; the directory itself cannot be asked: %s", what, change->trouble);
	return bad(change, line, ERR_NOTFOUND, change->trouble[0] ? text : what, name, err);
}

// --- Entries ---

static enum err_code new_entry(struct change *change, const struct raw_entry *record, struct change_entry **entry_out, struct err *err)
{
	if (change->n == DIRECTORY_OVERLAY_ENTRIES_MAX)
		return bad(change, record->line, ERR_LIMIT, "too many entries in one change", STR(""), err);
	if (change->n == change->room) {
		change->room = change->room ? 2 * change->room : 64;
		change->entries = reallocarray(change->entries, change->room, sizeof *change->entries);
		must(change->entries != NULL);
	}
	*entry_out = &change->entries[change->n++];
	**entry_out = (struct change_entry){.dn = arena_dup(change->arena, record->dn), .dn_key = dn_key(record->dn), .line = record->line};
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

static void copy_value(struct change *change, struct change_entry *entry, struct str name, struct str value, size_t line)
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
		if (!entry->has_uuid && !change->is_ldif && str_eq_nocase(value->name, STR("entryUUID")) && guid_parse(value->value, &uuid) && !guid_is_zero(&uuid)) {
			entry->uuid = uuid;
			entry->has_uuid = true;
		}
	}
}

// The entry a DN names now, as the records before have left it; NULL: there is none, or the shadow knows none and the source was not asked.
static enum err_code find(struct change *change, const struct raw_entry *record, struct str dn, struct change_entry **entry_out, struct err *err)
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
		return bad(change, record->line, ERR_NOTFOUND, "the shadow has two entries with this name", dn, err);
	case DIRECTORY_UNAVAILABLE:
		return bad(change, record->line, ERR_BUSY, directory_trouble(change->base), STR("the shadow cannot be read"), err);
	case DIRECTORY_FOUND:
		break;
	}
	if (match.entry && is_hidden(change, &match.entry->uuid))
		return ERR_OK;
	if (given && given->n == 0)
		return bad(change, record->line, ERR_INVALID, "the directory has no such entry any more", dn, err);
	if (given && given->partial)
		return bad(change, record->line, ERR_NOTFOUND, "the server gives only a part of its values: what becomes of it cannot be told", dn, err);
	if (given == NULL && match.entry->cut)
		return unknown(change, record->line, "the entry is larger than the shadow keeps: what becomes of it cannot be told", dn, err);
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
	return given && given->n == 0 ? bad(change, record->line, ERR_INVALID, "the directory has no entry with this name", record->dn, err) : ERR_OK;
}

// --- Values ---

// One spelling of a value: what the attribute's matching rule holds for equal. {NULL, 0}: it would not be stored.
static struct str normal(struct change *change, const struct attr_info *info, struct str text)
{
	struct value value;
	struct arena *arena = change->scratch;
	if (value_check(info->check, text, arena, &value) != NULL)
		return STR_NONE;
	if (value.key.p)
		return arena_dup(arena, value.key);
	if (info->syntax == ATTR_DN) {
		struct guid key = dn_key(text);
		return arena_dup(arena, guid_bytes(&key));
	}
	char *copy = arena_must(arena, value.text.n + 1);
	bool exact = info->syntax == ATTR_IA5_EXACT || info->syntax == ATTR_TEXT_EXACT || info->syntax == ATTR_OCTETS;
	for (size_t i = 0; i < value.text.n; i++)
		copy[i] = exact ? value.text.p[i] : chr_lower(value.text.p[i]);
	return str_of(copy, value.text.n);
}

// In any case, without the spaces around it: how most attributes are compared.
static struct str fold(struct arena *arena, struct str text)
{
	text = str_trim(text);
	char *copy = arena_must(arena, text.n + 1);
	for (size_t i = 0; i < text.n; i++)
		copy[i] = chr_lower(text.p[i]);
	return str_of(copy, text.n);
}

// An attribute of the directory is compared as the native one that its values are copied to.
static const struct attr_info *compared_as(const struct change *change, struct str name)
{
	const struct profile *profile = change->spec->profile;
	const struct attr_info *info = attr_by_name(name);
	for (size_t i = 0; info == NULL && profile && i < profile->n; i++)
		if (profile->lines[i].how == PROFILE_COPY && str_eq_nocase(profile->lines[i].source, name))
			info = profile->lines[i].attr;
	return info;
}

// As normal(), of an entry that the shadow gave; of others, which may have values that are not stored, never {NULL, 0}.
static struct str spell(struct change *change, const struct change_entry *entry, const struct attr_info *info, struct str text)
{
	struct str spelled = info ? normal(change, info, text) : STR_NONE;
	return spelled.p || entry->native ? spelled : fold(change->scratch, text);
}

static size_t drop_all(struct change_entry *entry, struct str name)
{
	size_t kept = 0, before = entry->n;
	for (size_t i = 0; i < entry->n; i++)
		if (!str_eq_nocase(entry->values[i].name, name))
			entry->values[kept++] = entry->values[i];
	entry->n = kept;
	return before - kept;
}

// The values of one attribute in one spelling, while a modification compares them with others.
struct known {
	struct str *spelled; // beside entry->values; {NULL, 0} for other attributes
};

static struct known know(struct change *change, const struct change_entry *entry, struct str name, const struct attr_info *info)
{
	struct known known = {arena_must(change->scratch, (entry->n + 1) * sizeof *known.spelled)};
	for (size_t i = 0; i < entry->n; i++)
		known.spelled[i] = str_eq_nocase(entry->values[i].name, name) ? spell(change, entry, info, entry->values[i].value) : STR_NONE;
	return known;
}

// Index of the value; n when it is not there.
static size_t index_of(const struct known *known, size_t n, struct str spelled)
{
	size_t i = 0;
	while (i < n && (known->spelled[i].p == NULL || !str_eq(known->spelled[i], spelled)))
		i++;
	return i;
}

static void drop_at(struct change_entry *entry, struct known *known, size_t at)
{
	memmove(&entry->values[at], &entry->values[at + 1], (entry->n - at - 1) * sizeof *entry->values);
	memmove(&known->spelled[at], &known->spelled[at + 1], (entry->n - at - 1) * sizeof *known->spelled);
	entry->n--;
}

// --- One modification ---

enum op { OP_ADD, OP_DELETE, OP_REPLACE };

struct modification {
	enum op op;
	struct str name;               // of the attribute
	const struct raw_value *values;
	size_t n, line;
};

// phMailRecipient of a user or a list is stored whether the entry names it or not: without the other class it cannot be known to stay.
static enum err_code check_implied(struct change *change, struct change_entry *entry, const struct modification *m, struct err *err)
{
	for (size_t i = 0; i < entry->n; i++)
		if (str_eq_nocase(entry->values[i].name, STR("objectClass")) &&
			(attr_class_by_name(entry->values[i].value) & (ENTRY_USER | ENTRY_LIST)))
			return ERR_OK;
	for (size_t i = 0; i < entry->n; i++)
		if (str_eq_nocase(entry->values[i].name, STR("objectClass")) && attr_class_by_name(entry->values[i].value) == ENTRY_RECIPIENT)
			return unknown(change, m->line,
				"the shadow cannot tell whether the entry names phMailRecipient too: delete that as well, or replace objectClass by all that stay",
				m->name, err);
	return ERR_OK;
}

static enum err_code modify_class(struct change *change, struct change_entry *entry, const struct modification *m, struct err *err)
{
	if (entry && (m->op == OP_REPLACE || m->n == 0)) {
		drop_all(entry, m->name);
		entry->class_unknown = false;
	}
	for (size_t i = 0; i < m->n; i++) {
		struct str name = str_trim(m->values[i].value);
		unsigned class = attr_class_by_name(name);
		size_t at = 0;
		if (class == 0)
			continue;
		if (entry == NULL && m->op == OP_DELETE)
			return unknown(change, m->values[i].line, "the shadow knows no entry with this name and class", name, err);
		if (entry == NULL)
			return unknown(change, m->values[i].line,
				"the shadow does not know the entry, for nothing of it was ours: give it whole, as a record without changetype", name, err);
		while (at < entry->n && !(str_eq_nocase(entry->values[at].name, STR("objectClass")) &&
						attr_class_by_name(entry->values[at].value) == class))
			at++;
		bool implied = class == ENTRY_RECIPIENT && entry->class_unknown;
		if (m->op == OP_DELETE && at == entry->n && !implied)
			return bad(change, m->values[i].line, ERR_INVALID, "the entry has no such class", name, err);
		if (m->op == OP_ADD && at < entry->n && !implied)
			return bad(change, m->values[i].line, ERR_INVALID, "the entry has this class", name, err);
		if (m->op == OP_DELETE && at < entry->n) {
			memmove(&entry->values[at], &entry->values[at + 1], (entry->n - at - 1) * sizeof *entry->values);
			entry->n--;
		} else if (m->op != OP_DELETE && at == entry->n) {
			copy_value(change, entry, STR("objectClass"), name, m->values[i].line);
		}
		if (class == ENTRY_RECIPIENT)
			entry->class_unknown = false;
	}
	return entry && entry->class_unknown && m->op == OP_DELETE ? check_implied(change, entry, m, err) : ERR_OK;
}

// An id that was refused, or there twice, is not in the shadow: one more may be right or doubtful.
static bool is_doubtful(const struct change *change, const struct change_entry *entry, const struct modification *m, const struct attr_info *info)
{
	return entry->native && info && info->attr == ATTR_PH_MAILBOX_ID && m->op != OP_REPLACE && m->n > 0 && entry->hides && !entry->has_uuid && !change->is_ldif;
}

// info: what its values are compared as; NULL: as text in any case.
static enum err_code modify_values(struct change *change, struct change_entry *entry, const struct modification *m, struct str name,
	const struct attr_info *info, struct err *err)
{
	if (is_doubtful(change, entry, m, info))
		return unknown(change, m->line, "the shadow cannot tell which ids the entry has: replace it", name, err);
	if (m->op == OP_ADD && m->n == 0)
		return bad(change, m->line, ERR_INVALID, "add without a value", name, err);
	if (m->op == OP_REPLACE || m->n == 0) {
		size_t dropped = drop_all(entry, name);
		if (m->op == OP_DELETE && dropped == 0)
			return bad(change, m->line, ERR_INVALID, entry->native ? "the shadow knows no value of it in this entry" : "the entry has no value of it", name, err);
	}
	struct known known = know(change, entry, name, info);
	size_t n_known = entry->n;
	for (size_t i = 0; i < m->n; i++) {
		const struct raw_value *value = &m->values[i];
		struct str spelled = spell(change, entry, info, value->value);
		size_t at = spelled.p ? index_of(&known, n_known, spelled) : n_known;
		if (m->op == OP_DELETE && spelled.p && at == n_known)
			return bad(change, value->line, ERR_INVALID, "the entry has no such value", name, err);
		if (m->op == OP_ADD && at < n_known)
			return bad(change, value->line, ERR_INVALID, "the entry has this value", name, err);
		if (m->op != OP_DELETE) {
			copy_value(change, entry, name, value->value, value->line);
		} else if (at < n_known) {
			drop_at(entry, &known, at);
			n_known--;
		}
		if (entry->n > VALUES_MAX || arena_overflowed(change->arena) || arena_overflowed(change->scratch))
			return bad(change, value->line, ERR_LIMIT, "the change is too large", name, err);
	}
	return ERR_OK;
}

// What a map makes other attributes of can only be told of an entry as the directory has it, which the shadow does not hold.
static enum err_code check_mapped(const struct change *change, const struct modification *m, struct str name, struct err *err)
{
	bool is_class = str_eq_nocase(name, STR("objectClass"));
	bool mapped = profile_names(change->spec->profile, name) && (!is_class || m->op == OP_REPLACE || m->n == 0);
	for (size_t i = 0; i < m->n && is_class; i++)
		mapped = mapped || profile_asks_class(change->spec->profile, str_trim(m->values[i].value));
	return mapped ? unknown(change, m->line,
		"ldap_profile or ldap_map reads it, and the shadow does not hold the entry in the directory's words: give it whole, as a record without changetype",
		name, err) : ERR_OK;
}

// Does anything here read this attribute of the directory? Hashes are not looked at.
static bool is_read(const struct change *change, struct str name)
{
	const struct profile *profile = change->spec->profile;
	const struct attr_info *info = attr_by_name(name);
	bool read = str_eq_nocase(name, STR("objectClass")) || (info && info->where != ATTR_IN_CREDENTIALS);
	for (size_t i = 0; !read && profile && i < profile->n; i++) {
		const struct profile_line *line = &profile->lines[i];
		if (line->attr && line->attr->where == ATTR_IN_CREDENTIALS)
			continue;
		read = str_eq_nocase(line->source, name);
		for (size_t j = 0; !read && j < line->n_conditions; j++)
			read = str_eq_nocase(line->conditions[j].name, name);
	}
	return read;
}

static bool is_realm(const struct change *change, struct str name)
{
	const struct attr_info *info = compared_as(change, name);
	return info && info->attr == ATTR_PH_AUTH_REALM;
}

static void complain_realm(struct change *change, const struct modification *m)
{
	change->spec->complain(change->spec->context, m->line, STR_NONE, m->name, "changes how users of the domain log in, which is not looked at here");
}

// Of an entry as the directory, or the change, has it whole.
static enum err_code modify_given(struct change *change, struct change_entry *entry, const struct modification *m, struct str name, bool has_option,
	struct err *err)
{
	if (!is_read(change, name))
		return ERR_OK;
	if (has_option)
		return bad(change, m->line, ERR_NOTFOUND, "options of attributes are not kept apart", m->name, err);
	if (is_realm(change, name))
		complain_realm(change, m);
	arena_reset(change->scratch);
	return modify_values(change, entry, m, name, compared_as(change, name), err);
}

// entry is NULL when the shadow does not know it: then what makes it ours is missing in the shadow's view of it.
static enum err_code modify_one(struct change *change, struct change_entry *entry, const struct modification *m, struct err *err)
{
	struct str base, option;
	bool has_option = str_cut(m->name, ';', &base, &option);
	if (!has_option)
		base = m->name;
	if (str_eq_nocase(base, STR("entryUUID")))
		return bad(change, m->line, ERR_UNSUPPORTED, "only the server gives it", m->name, err);
	if (entry && !entry->native)
		return modify_given(change, entry, m, base, has_option, err);
	enum err_code code = check_mapped(change, m, base, err);
	if (code)
		return code;
	arena_reset(change->scratch);
	if (str_eq_nocase(m->name, STR("objectClass")))
		return modify_class(change, entry, m, err);
	const struct attr_info *info = attr_by_name(base);
	if (info == NULL || info->where == ATTR_IN_CREDENTIALS)
		return ERR_OK; // nothing that mail depends on
	if (has_option)
		return bad(change, m->line, ERR_NOTFOUND, "the shadow does not keep options of attributes", m->name, err);
	if (info->attr == ATTR_PH_AUTH_REALM)
		complain_realm(change, m);
	if (entry)
		return modify_values(change, entry, m, str_of_c(info->name), info, err);
	if ((info->attr == ATTR_MAIL || info->attr == ATTR_MEMBER) && m->n > 0)
		return unknown(change, m->line,
			"the shadow does not know the entry, for nothing of it was ours: give it whole, as a record without changetype", m->name, err);
	change->spec->complain(change->spec->context, m->line, STR_NONE, m->name, "is of an entry that the shadow does not know: nothing of ours changes");
	return ERR_OK;
}

static enum err_code modify(struct change *change, const struct raw_entry *record, struct err *err)
{
	static const struct {
		const char *name;
		enum op op;
	} ops[] = {{"add", OP_ADD}, {"delete", OP_DELETE}, {"replace", OP_REPLACE}};
	struct change_entry *entry;
	enum err_code code = find(change, record, record->dn, &entry, err);
	if (code == ERR_OK && entry == NULL)
		code = check_missing(change, record, err);
	for (size_t i = 1; code == ERR_OK && i < record->n_values;) {
		const struct raw_value *head = &record->values[i++];
		struct modification m = {.name = str_trim(head->value), .values = head + 1, .line = head->line};
		size_t op = 0;
		while (op < sizeof ops / sizeof *ops && !str_eq_nocase(head->name, str_of_c(ops[op].name)))
			op++;
		if (op == sizeof ops / sizeof *ops)
			return bad(change, head->line, ERR_UNSUPPORTED, "is none of add, delete and replace", head->name, err);
		m.op = ops[op].op;
		struct str base, option;
		if (!str_cut(m.name, ';', &base, &option))
			base = m.name;
		for (; i < record->n_values && !str_eq(record->values[i].name, STR("-")); i++, m.n++)
			if (!str_eq_nocase(record->values[i].name, base))
				return bad(change, record->values[i].line, ERR_INVALID, "another attribute; end a modification with a line \"-\"",
					record->values[i].name, err);
		i++;
		code = modify_one(change, entry, &m, err);
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
		return bad(change, record->line, ERR_EXISTS, "the entry is there already", record->dn, err);
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
		if (str_eq(value->name, STR("-")) || str_eq_nocase(value->name, STR("changetype")) || str_eq_nocase(value->name, STR("control")))
			return bad(change, value->line, ERR_INVALID, "does not belong into an entry", value->name, err);
		struct guid uuid;
		if (str_eq_nocase(value->name, STR("entryUUID")) && guid_parse(value->value, &uuid) && !guid_is_zero(&uuid)) {
			entry->uuid = uuid;
			entry->has_uuid = true;
		}
		copy_value(change, entry, value->name, value->value, value->line);
	}
	return arena_overflowed(change->arena) ? bad(change, record->line, ERR_LIMIT, "the change is too large", STR(""), err) : ERR_OK;
}

static enum err_code remove_entry(struct change *change, const struct raw_entry *record, struct err *err)
{
	struct change_entry *entry;
	enum err_code code = find(change, record, record->dn, &entry, err);
	if (code)
		return code;
	if (record->n_values > 1)
		return bad(change, record->values[1].line, ERR_INVALID, "nothing follows a delete", record->values[1].name, err);
	if (entry)
		entry->alive = false;
	else
		change->spec->complain(change->spec->context, record->line, record->dn, STR_NONE, "is no entry that the shadow knows: nothing of ours goes");
	return ERR_OK;
}

// What the old name's attributes lose and the new one's get.
static enum err_code rename_values(struct change *change, struct change_entry *entry, struct str rdn, bool gone, size_t line, struct err *err)
{
	struct buf text;
	struct str type;
	enum err_code code = ERR_OK;
	buf_init(&text, ENTRY_DN_BYTES_MAX);
	while (code == ERR_OK && rdn.n && dn_take_part(&rdn, &type, &text)) {
		const struct attr_info *info = entry->native ? attr_by_name(type) : compared_as(change, type);
		struct str name = entry->native && info ? str_of_c(info->name) : type;
		if (entry->native ? info && info->where != ATTR_IN_CREDENTIALS : is_read(change, type)) {
			arena_reset(change->scratch);
			struct known known = know(change, entry, name, info);
			struct str spelled = spell(change, entry, info, buf_str(&text));
			size_t at = spelled.p ? index_of(&known, entry->n, spelled) : entry->n;
			if (gone && at < entry->n)
				drop_at(entry, &known, at);
			else if (!gone && at == entry->n)
				copy_value(change, entry, name, buf_str(&text), line);
		}
		buf_clear(&text);
	}
	buf_fini(&text);
	return rdn.n ? bad(change, line, ERR_INVALID, "is no name", rdn, err) : code;
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
			return bad(change, value->line, ERR_INVALID, "does not belong into a rename", value->name, err);
		*into = str_trim(value->value);
	}
	if (newrdn.n == 0 || !(str_eq(keep, STR("0")) || str_eq(keep, STR("1"))) || !dn_cut(record->dn, &rdn, &parent))
		return bad(change, record->line, ERR_INVALID, "a rename has newrdn, and deleteoldrdn of 0 or 1", STR(""), err);
	enum err_code code = find(change, record, record->dn, &entry, err);
	if (code)
		return code;
	if (entry == NULL && (code = check_missing(change, record, err)) != ERR_OK)
		return code;
	if (entry == NULL)
		return unknown(change, record->line, "the shadow does not know the entry, nor what is beneath it", record->dn, err);
	parent = superior.n ? superior : parent;
	struct str dn = arena_printf(change->arena, "%.*s%s%.*s", STR_FMT(newrdn), parent.n ? "," : "", STR_FMT(parent));
	if (!dn_is_valid(dn))
		return bad(change, record->line, ERR_INVALID, "is no name", dn, err);
	ptrdiff_t at = entry - change->entries;
	if ((code = find(change, record, dn, &other, err)) != ERR_OK)
		return code;
	entry = &change->entries[at]; // find may have moved them
	if (other && other != entry)
		return bad(change, record->line, ERR_EXISTS, "an entry of this name is there already", dn, err);
	if (str_eq(keep, STR("1")))
		code = rename_values(change, entry, rdn, true, record->line, err);
	if (code == ERR_OK)
		code = rename_values(change, entry, newrdn, false, record->line, err);
	entry->dn = dn;
	entry->dn_key = dn_key(dn);
	return code;
}

enum err_code change_apply(struct change *change, const struct raw_entry *record, struct err *err)
{
	struct str type = STR_NONE;
	if (record->n_values > 0 && str_eq_nocase(record->values[0].name, STR("control")))
		return bad(change, record->values[0].line, ERR_UNSUPPORTED, "controls are not known here", STR(""), err);
	if (!dn_is_valid(record->dn))
		return bad(change, record->line, ERR_INVALID, "is no name", record->dn, err);
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
	return bad(change, record->values[0].line, ERR_UNSUPPORTED, "is none of add, modify, delete, modrdn and moddn", type, err);
}
