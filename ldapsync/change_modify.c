// SPDX-License-Identifier: Apache-2.0
// One modification of one entry (add, delete, replace), by the matching rules of its attributes: of an entry from the shadow,
// which is native, or of one as the directory has it, in any words.
#include "change_parts.h"

#include "base/must.h"
#include "dn.h"
#include "value.h"

enum { VALUES_MAX = 10000000 };

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

// A text in another language is a value of another attribute (RFC 4512 section 2.5): no option names only the one without.
static bool is_of(const struct raw_value *value, struct str name, struct str lang)
{
	return str_eq_nocase(value->name, name) && str_eq_nocase(value->lang, lang);
}

static size_t drop_all(struct change_entry *entry, struct str name, struct str lang)
{
	size_t kept = 0, before = entry->n;
	for (size_t i = 0; i < entry->n; i++)
		if (!is_of(&entry->values[i], name, lang))
			entry->values[kept++] = entry->values[i];
	entry->n = kept;
	return before - kept;
}

// The values of one attribute in one spelling, while a modification compares them with others.
struct known {
	struct str *spelled; // beside entry->values; {NULL, 0} for other attributes
};

static struct known know(struct change *change, const struct change_entry *entry, struct str name, struct str lang,
	const struct attr_info *info)
{
	struct known known = {arena_must(change->scratch, (entry->n + 1) * sizeof *known.spelled)};
	for (size_t i = 0; i < entry->n; i++)
		known.spelled[i] = is_of(&entry->values[i], name, lang) ? spell(change, entry, info, entry->values[i].value)
									: STR_NONE;
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

// phMailRecipient of a user or a list is stored whether the entry names it or not: without the other class it cannot be known to
// stay.
static enum err_code check_implied(struct change *change, struct change_entry *entry, const struct change_modification *m,
	struct err *err)
{
	for (size_t i = 0; i < entry->n; i++)
		if (str_eq_nocase(entry->values[i].name, STR("objectClass")) &&
			(attr_class_by_name(entry->values[i].value) & (ENTRY_USER | ENTRY_LIST)))
			return ERR_OK;
	for (size_t i = 0; i < entry->n; i++)
		if (str_eq_nocase(entry->values[i].name, STR("objectClass")) &&
			attr_class_by_name(entry->values[i].value) == ENTRY_RECIPIENT)
			return change_unknown(change, m->line,
				"the shadow cannot tell whether the entry names phMailRecipient too: delete that as well, or "
				"replace objectClass by all that stay",
				m->name, err);
	return ERR_OK;
}

static enum err_code modify_class(struct change *change, struct change_entry *entry, const struct change_modification *m,
	struct err *err)
{
	if (entry && (m->op == CHANGE_REPLACE || m->n == 0)) {
		drop_all(entry, m->name, STR_NONE);
		entry->class_unknown = false;
	}
	for (size_t i = 0; i < m->n; i++) {
		struct str name = str_trim(m->values[i].value);
		unsigned class = attr_class_by_name(name);
		size_t at = 0;
		if (class == 0)
			continue;
		if (entry == NULL && m->op == CHANGE_DELETE)
			return change_unknown(change, m->values[i].line, "the shadow knows no entry with this name and class",
				name, err);
		if (entry == NULL)
			return change_unknown(change, m->values[i].line,
				"the shadow does not know the entry, for nothing of it was ours: give it whole, as a record "
				"without changetype",
				name, err);
		while (at < entry->n && !(str_eq_nocase(entry->values[at].name, STR("objectClass")) &&
						attr_class_by_name(entry->values[at].value) == class))
			at++;
		bool implied = class == ENTRY_RECIPIENT && entry->class_unknown;
		if (m->op == CHANGE_DELETE && at == entry->n && !implied)
			return change_bad(change, m->values[i].line, ERR_INVALID, "the entry has no such class", name, err);
		if (m->op == CHANGE_ADD && at < entry->n && !implied)
			return change_bad(change, m->values[i].line, ERR_INVALID, "the entry has this class", name, err);
		if (m->op == CHANGE_DELETE && at < entry->n) {
			memmove(&entry->values[at], &entry->values[at + 1], (entry->n - at - 1) * sizeof *entry->values);
			entry->n--;
		} else if (m->op != CHANGE_DELETE && at == entry->n) {
			change_copy_value(change, entry, STR("objectClass"), name, m->values[i].line);
		}
		if (class == ENTRY_RECIPIENT)
			entry->class_unknown = false;
	}
	return entry && entry->class_unknown && m->op == CHANGE_DELETE ? check_implied(change, entry, m, err) : ERR_OK;
}

// An id that was refused, or there twice, is not in the shadow: one more may be right or doubtful.
static bool is_doubtful(const struct change *change, const struct change_entry *entry, const struct change_modification *m,
	const struct attr_info *info)
{
	return entry->native && info && info->attr == ATTR_PH_MAILBOX_ID && m->op != CHANGE_REPLACE && m->n > 0 && entry->hides &&
	       !entry->has_uuid && !change->is_ldif;
}

// info: what its values are compared as; NULL: as text in any case.
static enum err_code modify_values(struct change *change, struct change_entry *entry, const struct change_modification *m,
	struct str name, const struct attr_info *info, struct err *err)
{
	if (is_doubtful(change, entry, m, info))
		return change_unknown(change, m->line, "the shadow cannot tell which ids the entry has: replace it", name, err);
	if (m->op == CHANGE_ADD && m->n == 0)
		return change_bad(change, m->line, ERR_INVALID, "add without a value", name, err);
	if (m->op == CHANGE_REPLACE || m->n == 0) {
		size_t dropped = drop_all(entry, name, m->lang);
		if (m->op == CHANGE_DELETE && dropped == 0)
			return change_bad(change, m->line, ERR_INVALID,
				entry->native ? "the shadow knows no value of it in this entry" : "the entry has no value of it",
				name, err);
	}
	struct known known = know(change, entry, name, m->lang, info);
	size_t n_known = entry->n;
	for (size_t i = 0; i < m->n; i++) {
		const struct raw_value *value = &m->values[i];
		struct str spelled = spell(change, entry, info, value->value);
		size_t at = spelled.p ? index_of(&known, n_known, spelled) : n_known;
		if (m->op == CHANGE_DELETE && spelled.p && at == n_known)
			return change_bad(change, value->line, ERR_INVALID, "the entry has no such value", name, err);
		if (m->op == CHANGE_ADD && at < n_known)
			return change_bad(change, value->line, ERR_INVALID, "the entry has this value", name, err);
		if (m->op != CHANGE_DELETE) {
			change_copy_value(change, entry, name, value->value, value->line);
			entry->values[entry->n - 1].lang = arena_dup(change->arena, m->lang);
		} else if (at < n_known) {
			drop_at(entry, &known, at);
			n_known--;
		}
		if (entry->n > VALUES_MAX || arena_overflowed(change->arena) || arena_overflowed(change->scratch))
			return change_bad(change, value->line, ERR_LIMIT, "the change is too large", name, err);
	}
	return ERR_OK;
}

// What a map makes other attributes of can only be told of an entry as the directory has it, which the shadow does not hold.
static enum err_code check_mapped(const struct change *change, const struct change_modification *m, struct str name,
	struct err *err)
{
	bool is_class = str_eq_nocase(name, STR("objectClass"));
	bool mapped = profile_names(change->spec->profile, name) && (!is_class || m->op == CHANGE_REPLACE || m->n == 0);
	for (size_t i = 0; i < m->n && is_class; i++)
		mapped = mapped || profile_asks_class(change->spec->profile, str_trim(m->values[i].value));
	return mapped ? change_unknown(change, m->line,
				"ldap_profile or ldap_map reads it, and the shadow does not hold the entry in the directory's "
				"words: give it whole, as a record without changetype",
				name, err)
		      : ERR_OK;
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

static void complain_realm(struct change *change, const struct change_modification *m)
{
	change->spec->complain(change->spec->context, m->line, STR_NONE, m->name,
		"changes how users of the domain log in, which is not looked at here");
}

// Of an entry as the directory, or the change, has it whole.
static enum err_code modify_given(struct change *change, struct change_entry *entry, const struct change_modification *m,
	struct str name, bool has_option, struct err *err)
{
	if (!is_read(change, name))
		return ERR_OK;
	if (has_option)
		return change_bad(change, m->line, ERR_NOTFOUND, "options of attributes are not kept apart", m->name, err);
	if (is_realm(change, name))
		complain_realm(change, m);
	arena_reset(change->scratch);
	return modify_values(change, entry, m, name, compared_as(change, name), err);
}

// The language that the option names, where values of the attribute are kept by language. False: another option, or none is kept.
static bool take_language(const struct change *change, struct str base, struct str option, struct str *lang_out)
{
	const struct attr_info *info = compared_as(change, base);
	struct str lang = raw_option_language(option);
	bool only = str_starts_nocase(option, STR("lang-")) && str_index(option, ';') < 0;
	if (info == NULL || !entry_has_languages(info->attr) || !only || !entry_is_language(lang))
		return false;
	*lang_out = lang;
	return true;
}

static enum err_code modify(struct change *change, struct change_entry *entry, const struct change_modification *m,
	struct str base, bool has_option, struct err *err)
{
	if (str_eq_nocase(base, STR("entryUUID")))
		return change_bad(change, m->line, ERR_UNSUPPORTED, "only the server gives it", m->name, err);
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
		return change_bad(change, m->line, ERR_NOTFOUND, "the shadow does not keep options of attributes", m->name, err);
	if (info->attr == ATTR_PH_AUTH_REALM)
		complain_realm(change, m);
	if (entry)
		return modify_values(change, entry, m, str_of_c(info->name), info, err);
	if ((info->attr == ATTR_MAIL || info->attr == ATTR_MEMBER) && m->n > 0)
		return change_unknown(change, m->line,
			"the shadow does not know the entry, for nothing of it was ours: give it whole, as a record without "
			"changetype",
			m->name, err);
	change->spec->complain(change->spec->context, m->line, STR_NONE, m->name,
		"is of an entry that the shadow does not know: nothing of ours changes");
	return ERR_OK;
}

// entry is NULL when the shadow does not know it: then what makes it ours is missing in the shadow's view of it.
enum err_code change_modify_one(struct change *change, struct change_entry *entry, const struct change_modification *m,
	struct err *err)
{
	struct change_modification one = *m;
	struct str base, option;
	bool has_option = str_cut(m->name, ';', &base, &option);
	if (!has_option)
		base = m->name;
	has_option = has_option && !take_language(change, base, option, &one.lang);
	for (size_t i = 0; i < m->n; i++)
		if (!has_option && !str_eq_nocase(m->values[i].lang, one.lang))
			return change_bad(change, m->values[i].line, ERR_INVALID,
				"another attribute; end a modification with a line \"-\"", m->name, err);
	return modify(change, entry, &one, base, has_option, err);
}

// --- Renames ---

// What the old name's attributes lose and the new one's get.
enum err_code change_rename_values(struct change *change, struct change_entry *entry, struct str rdn, bool gone, size_t line,
	struct err *err)
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
			struct known known = know(change, entry, name, STR_NONE, info);
			struct str spelled = spell(change, entry, info, buf_str(&text));
			size_t at = spelled.p ? index_of(&known, entry->n, spelled) : entry->n;
			if (gone && at < entry->n)
				drop_at(entry, &known, at);
			else if (!gone && at == entry->n)
				change_copy_value(change, entry, name, buf_str(&text), line);
		}
		buf_clear(&text);
	}
	buf_fini(&text);
	return rdn.n ? change_bad(change, line, ERR_INVALID, "is no name", rdn, err) : code;
}

