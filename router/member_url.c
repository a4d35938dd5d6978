// SPDX-License-Identifier: Apache-2.0
// LDAP URLs, taken apart as RFC 4516 section 2 has them: percent-encoding is undone in each part after the URL was cut at its
// "?".
#include "member_url.h"

#include "ldapsync/directory.h"

static bool decode(struct arena *arena, struct str text, struct str *out)
{
	char *p = arena_alloc(arena, text.n + 1);
	size_t n = 0;
	for (size_t i = 0; p && i < text.n; i++, n++) {
		p[n] = text.p[i];
		if (text.p[i] != '%')
			continue;
		int high = i + 2 < text.n ? chr_hex(text.p[i + 1]) : -1, low = i + 2 < text.n ? chr_hex(text.p[i + 2]) : -1;
		if (high < 0 || low < 0)
			return false;
		p[n] = (char)(high * 16 + low);
		i += 2;
	}
	*out = str_of(p, p ? n : 0);
	return p != NULL && str_is_utf8(*out);
}

// The next part, up to a "?"; empty at the end.
static struct str next_part(struct str *rest)
{
	struct str part = *rest, after = STR("");
	if (!str_cut(*rest, '?', &part, &after))
		part = *rest;
	*rest = after;
	return part;
}

static bool scope_of(struct str text, enum member_url_scope *scope_out)
{
	static const char *const words[] = {"base", "one", "sub"};
	*scope_out = MEMBER_URL_BASE;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (str_eq_nocase(text, str_of_c(words[i]))) {
			*scope_out = (enum member_url_scope)i;
			return true;
		}
	return text.n == 0;
}

const char *member_url_parse(struct arena *arena, struct str text, struct member_url *url_out)
{
	struct member_url url = {0};
	struct str base, filter;
	if (!str_starts_nocase(text, STR("ldap:///")))
		return str_starts_nocase(text, STR("ldap")) ? "names a server: members come from the shadow, ldap:/// is expected"
							    : "is no LDAP URL";
	struct str rest = str_from(text, sizeof "ldap:///" - 1);
	if (!decode(arena, next_part(&rest), &base))
		return "has a base that cannot be read";
	next_part(&rest); // attributes
	if (!scope_of(next_part(&rest), &url.scope))
		return "has a scope that is none of base, one and sub";
	if (!decode(arena, next_part(&rest), &filter))
		return "has a filter that cannot be read";
	if (str_starts(rest, STR("!")) || str_find(rest, STR(",!")) >= 0)
		return "has a critical extension";
	if (base.n)
		url.base = directory_dn_key(base);
	const char *wrong = filter_parse(arena, filter.n ? filter : STR("(objectClass=*)"), &url.filter);
	if (wrong == NULL)
		*url_out = url;
	return wrong;
}

// The DN above, or empty: after the first comma or semicolon that is neither escaped nor quoted.
static struct str parent_of(struct str dn)
{
	bool quoted = false;
	for (size_t i = 0; i < dn.n; i++) {
		if (dn.p[i] == '\\')
			i++;
		else if (dn.p[i] == '"')
			quoted = !quoted;
		else if (!quoted && (dn.p[i] == ',' || dn.p[i] == ';'))
			return str_from(dn, i + 1);
	}
	return STR("");
}

static bool is_base(const struct member_url *url, struct str dn)
{
	struct guid key;
	if (dn.n == 0 || guid_is_zero(&url->base))
		return dn.n == 0 && guid_is_zero(&url->base);
	key = directory_dn_key(dn);
	return guid_eq(&key, &url->base);
}

static bool in_scope(const struct member_url *url, struct str dn)
{
	switch (url->scope) {
	case MEMBER_URL_BASE:
		return is_base(url, dn);
	case MEMBER_URL_ONE:
		return is_base(url, parent_of(dn));
	case MEMBER_URL_SUB:
		break;
	}
	for (bool found = is_base(url, dn);; dn = parent_of(dn), found = is_base(url, dn))
		if (found || dn.n == 0)
			return found;
}

// The filter first: it mostly says no, and costs less than the keys of a DN and all above it.
bool member_url_matches(const struct member_url *url, const struct entry *entry, struct arena *scratch)
{
	return filter_matches(url->filter, entry, scratch) && in_scope(url, entry->dn);
}
