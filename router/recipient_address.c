// SPDX-License-Identifier: Apache-2.0
// From an address to the entry that has it, or to what its domain says when nobody has it.
#include "base/must.h"
#include "list.h"
#include "our_domain.h"
#include "outside.h"
#include "recipient_steps.h"

// --- Addresses of our domains ---

// Which value of the entry it was found by, for the reasons.
static void reason_found(struct decision *d, const struct entry *entry, struct str key)
{
	static const enum attr by[] = {ATTR_MAIL, ATTR_MAIL_LOCAL_ADDRESS, ATTR_PH_INTL_ADDRESS};
	const char *rule = entry->classes & ENTRY_USER    ? "mailbox"
			   : entry->classes & ENTRY_ALIAS ? "alias address"
							  : "group address";
	for (size_t i = 0; i < sizeof by / sizeof *by; i++) {
		struct entry_cursor cursor = {0};
		struct str value;
		while (entry_next(entry, by[i], &cursor, &value))
			if (str_eq_nocase(value, key)) {
				decision_reason(d, rule, entry->dn, by[i], value);
				return;
			}
	}
	decision_reason(d, rule, entry->dn, ATTR_NONE, key); // a spelling beyond ASCII
}

// False when nobody has the key: go on with the next rule. Else the matter is settled, well or not.
static bool try_key(struct decision *d, struct decision_item *item, struct str key, const struct addr *addr, struct str detail)
{
	const struct entry *entry;
	enum decision_found found = decision_find(d, DIRECTORY_ADDRESS, key, &entry);
	if (found == DECISION_SOMEBODY) {
		reason_found(d, entry, key);
		recipient_entry(d, item, entry, addr, detail);
	}
	return found != DECISION_NOBODY;
}

// If what it stands for is gone, somebody else must read it. The recipient itself counts before what it leads to.
static void keep_role(struct decision *d, const struct decision_item *item, const struct addr *addr, const struct entry *domain)
{
	// reports about it reach who sends it there
	bool is_copy = item->list.n > 0 || item->forwarder.n > 0 || d->moderated.dn.n > 0;
	if (d->role_tries > 0 || (item->parent && (d->role_domain.dn.n > 0 || is_copy)))
		return;
	d->role_domain = decision_keep_entry(d, domain);
	d->role_postmaster =
		addr_is_postmaster(addr) ? STR_NONE : arena_printf(d->work, "postmaster@%.*s", STR_FMT(addr->domain.key));
}

// The address, owner-x and x-request of a list, the address without its detail.
static bool try_address(struct decision *d, struct decision_item *item, const struct addr *addr, const struct entry *domain)
{
	struct str detail;
	struct addr base;
	if (try_key(d, item, addr->key, addr, item->detail))
		return true;
	if (list_try_role(d, item, addr)) {
		keep_role(d, item, addr, domain);
		return true;
	}
	if (addr_detail(d->scratch, addr, our_domain_delimiters(domain, d->query->delimiters), &base, &detail) &&
		try_key(d, item, base.key, &base, detail)) {
		struct str own = entry_first(domain, ATTR_PH_SUBADDRESS_DELIMITER); // is said; the detail is the target's
		decision_reason(d, "detail", domain->dn, own.p ? ATTR_PH_SUBADDRESS_DELIMITER : ATTR_NONE, own.p ? own : detail);
		return true;
	}
	return false;
}

static bool try_whole_domain(struct decision *d, struct decision_item *item, const struct addr *addr)
{
	return try_key(d, item, arena_printf(d->scratch, "@%.*s", STR_FMT(addr->domain.key)), addr, STR_NONE);
}

// Addresses that somebody must read: RFC 2142 section 4, and of section 5 those of services that everybody has (not usenet, news,
// uucp and ftp). postmaster also by RFC 5321 section 4.5.1.
static bool is_role(struct str local)
{
	static const struct str roles[] = {{"abuse", 5}, {"noc", 3}, {"security", 8}, {"hostmaster", 10}, {"webmaster", 9},
		{"www", 3}};
	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
		if (str_eq_nocase(local, roles[i]))
			return true;
	return false;
}

// postmaster of this domain has no entry: that of the default domain, else the owners of the domain. Never refused.
static void route_postmaster(struct decision *d, struct decision_item *item, const struct addr *addr, const struct entry *domain)
{
	struct str fallback = arena_printf(d->scratch, "postmaster@%.*s", STR_FMT(d->query->default_domain));
	if (d->query->default_domain.n && !str_eq_nocase(d->query->default_domain, addr->domain.key)) {
		decision_is(d, RECIPIENT_EXPAND);
		decision_reason(d, "postmaster", domain->dn, ATTR_NONE, fallback);
		decision_add(d, item, fallback, false);
		return;
	}
	if (entry_has(domain, ATTR_OWNER)) {
		decision_is(d, RECIPIENT_EXPAND);
		recipient_add_values(d, item, domain, ATTR_OWNER, "postmaster");
		return;
	}
	decision_reason(d, "no postmaster", domain->dn, ATTR_OWNER, STR_NONE);
	decision_later(d, CAUSE_NO_POSTMASTER);
}

// "%1@other.example" with the local part in the place of %1.
static struct str fill_in(struct decision *d, struct str pattern, size_t at, struct str local)
{
	return arena_printf(d->scratch, "%.*s%.*s%.*s", (int)at, pattern.p, STR_FMT(local), STR_FMT(str_from(pattern, at + 2)));
}

static enum decision_found find_text(struct decision *d, struct str text)
{
	struct addr addr;
	const struct entry *entry;
	if (addr_parse(d->scratch, text, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr) != ADDR_OK)
		return DECISION_NOBODY;
	return decision_find(d, DIRECTORY_ADDRESS, addr.key, &entry);
}

// The local part goes along as it is, detail and all; but where this domain has other delimiters than the one that it leads to,
// and somebody there has the address without the detail, the detail goes to his mailbox as from here.
static void add_catch_all(struct decision *d, struct decision_item *item, struct str pattern, const struct addr *addr,
	const struct entry *domain)
{
	struct str delimiters = our_domain_delimiters(domain, d->query->delimiters), detail = STR_NONE;
	struct addr base;
	ptrdiff_t at = str_find(pattern, STR("%1"));
	struct str text = at >= 0 ? fill_in(d, pattern, (size_t)at, addr->local) : pattern;
	if (at >= 0 && addr_detail(d->scratch, addr, delimiters, &base, &detail) && find_text(d, text) == DECISION_NOBODY &&
		find_text(d, fill_in(d, pattern, (size_t)at, base.local)) == DECISION_SOMEBODY)
		text = fill_in(d, pattern, (size_t)at, base.local);
	else
		detail = STR_NONE;
	struct decision_item *to = decision_add(d, item, text, false);
	if (to) {
		to->own_words = at >= 0;
		to->detail = arena_dup(d->work, detail);
	}
}

static bool try_catch_all(struct decision *d, struct decision_item *item, const struct addr *addr, const struct entry *domain)
{
	struct entry_cursor cursor = {0};
	struct str pattern;
	bool any = false;
	while (entry_next(domain, ATTR_PH_CATCH_ALL, &cursor, &pattern)) {
		decision_is(d, RECIPIENT_EXPAND);
		decision_reason(d, "catch-all", domain->dn, ATTR_PH_CATCH_ALL, pattern);
		add_catch_all(d, item, pattern, addr, domain);
		any = true;
	}
	return any;
}

enum unknown_user { UNKNOWN_UNSET, UNKNOWN_REJECT, UNKNOWN_TEMPFAIL, UNKNOWN_CATCHALL, UNKNOWN_RELAY, UNKNOWN_BAD };

static enum unknown_user unknown_user_of(const struct entry *domain)
{
	static const char *const words[] = {
		[UNKNOWN_REJECT] = "reject",
		[UNKNOWN_TEMPFAIL] = "tempfail",
		[UNKNOWN_CATCHALL] = "catchall",
		[UNKNOWN_RELAY] = "relay",
	};
	struct str word = entry_first(domain, ATTR_PH_UNKNOWN_USER);
	if (word.p == NULL)
		return UNKNOWN_UNSET;
	for (size_t i = UNKNOWN_REJECT; i < sizeof words / sizeof *words; i++)
		if (str_eq_nocase(word, str_of_c(words[i])))
			return (enum unknown_user)i;
	return UNKNOWN_BAD;
}

static void follow_unknown_user(struct decision *d, struct decision_item *item, const struct addr *addr,
	const struct entry *domain, enum unknown_user what)
{
	struct str word = entry_first(domain, ATTR_PH_UNKNOWN_USER);
	decision_reason(d, "unknown user", domain->dn, word.p ? ATTR_PH_UNKNOWN_USER : ATTR_NONE, word.p ? word : addr->key);
	switch (what) {
	case UNKNOWN_UNSET:
	case UNKNOWN_REJECT:
		decision_gone(d, CAUSE_UNKNOWN);
		return;
	case UNKNOWN_TEMPFAIL:
		decision_later(d, CAUSE_UNKNOWN_NOW);
		return;
	case UNKNOWN_RELAY:
		outside_of_domain(d, item, addr, domain);
		return;
	case UNKNOWN_CATCHALL: // there is none that could be read: somebody wanted this mail
	case UNKNOWN_BAD:      // a word that is none may have been relay, for the other half of a domain
		decision_later(d, CAUSE_DOMAIN);
		return;
	}
	unreachable("phUnknownUser");
}

static void route_unknown(struct decision *d, struct decision_item *item, const struct addr *addr, const struct entry *domain)
{
	if (addr_is_postmaster(addr)) {
		route_postmaster(d, item, addr, domain);
		return;
	}
	if (try_catch_all(d, item, addr, domain))
		return;
	if (is_role(addr->local) && item->depth == 0) {
		struct str postmaster = arena_printf(d->scratch, "postmaster@%.*s", STR_FMT(addr->domain.key));
		decision_is(d, RECIPIENT_EXPAND);
		decision_reason(d, "role", domain->dn, ATTR_NONE, postmaster);
		decision_add(d, item, postmaster, false);
		return;
	}
	follow_unknown_user(d, item, addr, domain, unknown_user_of(domain));
}

// Of a domain whose mailboxes are elsewhere: its server knows who is there, unless phUnknownUser says that the directory does.
// Roles are that server's.
static void route_unknown_elsewhere(struct decision *d, struct decision_item *item, const struct addr *addr,
	const struct entry *domain)
{
	enum unknown_user what = unknown_user_of(domain);
	if (what == UNKNOWN_UNSET || what == UNKNOWN_RELAY || addr_is_postmaster(addr) || is_role(addr->local))
		outside_of_domain(d, item, addr, domain);
	else if (!try_catch_all(d, item, addr, domain))
		follow_unknown_user(d, item, addr, domain, what);
}

// --- Domains ---

// The entry of a domain, or of one above it that includes its subdomains.
static enum decision_found find_domain(struct decision *d, struct str key, const struct entry **domain_out)
{
	struct str name = key;
	if (d->domain_key.n && str_eq(d->domain_key, key)) { // the same as the member before
		*domain_out = &d->domain;
		return DECISION_SOMEBODY;
	}
	if (d->outside_key.n && str_eq(d->outside_key, key))
		return DECISION_NOBODY;
	for (;;) {
		enum decision_found found = decision_find(d, DIRECTORY_DOMAIN, name, domain_out);
		if (found == DECISION_SOMEBODY && !our_domain_covers(*domain_out, name, key))
			found = DECISION_NOBODY;
		if (found == DECISION_SOMEBODY) {
			decision_keep_domain(d, key, *domain_out);
			*domain_out = &d->domain;
		}
		if (found == DECISION_NOBODY && our_domain_above(&name))
			continue;
		if (found == DECISION_NOBODY)
			d->outside_key = arena_dup(d->work, key);
		return found;
	}
}

enum domain_type { TYPE_LOCAL, TYPE_ALIAS, TYPE_RELAY, TYPE_UNKNOWN };

static enum domain_type type_of(const struct entry *domain)
{
	struct str type = entry_first(domain, ATTR_PH_DOMAIN_TYPE);
	if (str_eq_nocase(type, STR("local")))
		return TYPE_LOCAL;
	if (our_domain_is_alias(domain))
		return TYPE_ALIAS;
	if (str_eq_nocase(type, STR("relay")) || str_eq_nocase(type, STR("backup")))
		return TYPE_RELAY;
	return TYPE_UNKNOWN;
}

// Is it postmaster, or the recipient itself a role, in a domain of ours?
static void note_role(struct decision *d, const struct decision_item *item, const struct addr *addr, const struct entry *domain)
{
	if (addr_is_postmaster(addr) || (item->parent == NULL && is_role(addr->local)))
		keep_role(d, item, addr, domain);
}

bool recipient_try_role(struct decision *d)
{
	struct str postmaster;
	if (d->role_domain.dn.n == 0 || d->n_targets > 0 || d->too_big || d->later != CAUSE_NONE || d->role_tries > 3)
		return false;
	switch (d->role_tries++) {
	case 0:
		if (d->role_postmaster.n) {
			decision_reason(d, "postmaster", d->role_domain.dn, ATTR_NONE, d->role_postmaster);
			decision_add(d, NULL, d->role_postmaster, false);
		}
		break;
	case 1:
		postmaster = arena_printf(d->scratch, "postmaster@%.*s", STR_FMT(d->query->default_domain));
		decision_reason(d, "postmaster", d->role_domain.dn, ATTR_NONE, postmaster);
		decision_add(d, NULL, postmaster, false);
		break;
	case 2:
		recipient_add_values(d, decision_top(d), &d->role_domain, ATTR_OWNER, "postmaster");
		break;
	default:
		decision_reason(d, "no postmaster", d->role_domain.dn, ATTR_OWNER, STR_NONE);
		decision_later(d, CAUSE_NO_POSTMASTER);
	}
	return true;
}

static void route_ours(struct decision *d, struct decision_item *item, const struct addr *addr, const struct entry *domain,
	enum domain_type type)
{
	if (!recipient_status_accepts(d, item, domain, type == TYPE_RELAY))
		return;
	switch (type) {
	case TYPE_LOCAL:
		note_role(d, item, addr, domain);
		if (!try_address(d, item, addr, domain) && !try_whole_domain(d, item, addr))
			route_unknown(d, item, addr, domain);
		return;
	case TYPE_RELAY:
		if (!try_address(d, item, addr, domain) && !try_whole_domain(d, item, addr))
			route_unknown_elsewhere(d, item, addr, domain);
		return;
	case TYPE_ALIAS: // followed by the caller; here it leads nowhere
	case TYPE_UNKNOWN:
		decision_reason(d, "bad domain", domain->dn, ATTR_PH_DOMAIN_TYPE, entry_first(domain, ATTR_PH_DOMAIN_TYPE));
		decision_later(d, CAUSE_DOMAIN);
		return;
	}
}

void recipient_address(struct decision *d, struct decision_item *item, struct addr addr)
{
	const struct entry *domain;
	for (unsigned aliases = 0; aliases < OUR_DOMAIN_ALIASES_MAX; aliases++) {
		struct addr target;
		enum decision_found found = find_domain(d, addr.domain.key, &domain);
		if (found == DECISION_NOBODY && aliases == 0) {
			outside_address(d, item, &addr);
		} else if (found == DECISION_NOBODY) { // a domain that was mistyped is nobody's mail for good
			decision_reason(d, "bad domain", STR_NONE, ATTR_PH_DOMAIN_ALIAS_OF, addr.domain.text);
			decision_later(d, CAUSE_DOMAIN);
		}
		if (found != DECISION_SOMEBODY)
			return;
		decision_reason(d, "domain", domain->dn, ATTR_PH_DOMAIN_TYPE, entry_first(domain, ATTR_PH_DOMAIN_TYPE));
		enum domain_type type = type_of(domain);
		if (type != TYPE_ALIAS || !our_domain_follow(domain, &addr, d->scratch, &target)) {
			route_ours(d, item, &addr, domain, type);
			return;
		}
		if (try_address(d, item, &addr, domain)) { // an entry may have an address in the alias domain alone
			note_role(d, item, &addr, domain);
			return;
		}
		decision_reason(d, "alias domain", domain->dn, ATTR_PH_DOMAIN_ALIAS_OF, entry_first(domain,
			ATTR_PH_DOMAIN_ALIAS_OF));
		addr = target;
	}
	decision_reason(d, "loop", domain->dn, ATTR_PH_DOMAIN_ALIAS_OF, entry_first(domain, ATTR_PH_DOMAIN_ALIAS_OF));
	decision_later(d, CAUSE_DOMAIN);
}
