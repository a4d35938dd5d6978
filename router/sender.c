// SPDX-License-Identifier: Apache-2.0
// Who may send as whom.
#include "router/sender.h"

#include "base/must.h"

enum {
	SPELLINGS_MAX = 4,  // the address, without detail, and both in the domain that its own is an alias of
	MEMBERS_MAX = 5000, // of a group that has the grant; members further down are not looked at on a fiber
};

struct check {
	struct directory *directory;
	struct arena *arena;
	const struct entry *account;
	struct guid account_dn;
	struct addr spellings[SPELLINGS_MAX];
	size_t n_spellings;
	struct sender_why why;
};

static bool allow(struct check *c, const struct entry *entry, enum attr attr, struct str value)
{
	c->why = (struct sender_why){.entry = entry->dn, .attribute = attr_name(attr), .value = value};
	return true;
}

static void add_spelling(struct check *c, const struct addr *addr, struct str delimiters)
{
	struct addr base;
	struct str detail;
	c->spellings[c->n_spellings++] = *addr;
	if (addr_detail(c->arena, addr, delimiters, &base, &detail))
		c->spellings[c->n_spellings++] = base;
}

static void collect_spellings(struct check *c, const struct addr *sender, struct str delimiters)
{
	struct directory_match match;
	struct domain target;
	struct addr aliased;
	bool known = directory_find(c->directory, DIRECTORY_DOMAIN, sender->domain.key, c->arena, &match) == DIRECTORY_FOUND;
	if (known && entry_has(match.entry, ATTR_PH_SUBADDRESS_DELIMITER))
		delimiters = entry_first(match.entry, ATTR_PH_SUBADDRESS_DELIMITER);
	add_spelling(c, sender, delimiters);
	for (size_t i = 0; i < c->n_spellings; i++) {
		struct directory_match owner;
		if (directory_find(c->directory, DIRECTORY_ADDRESS, c->spellings[i].key, c->arena, &owner) != DIRECTORY_NONE)
			return; // somebody has it in the alias domain itself
	}
	if (known && str_eq_nocase(entry_first(match.entry, ATTR_PH_DOMAIN_TYPE), STR("alias")) &&
		domain_parse(c->arena, entry_first(match.entry, ATTR_PH_DOMAIN_ALIAS_OF), DOMAIN_UTF8, &target) == DOMAIN_OK &&
		addr_with_domain(c->arena, sender, &target, &aliased) == ADDR_OK)
		add_spelling(c, &aliased, delimiters);
}

// An address or "@domain" of the directory against the sender's spellings.
static bool names_sender(struct check *c, struct str value)
{
	struct addr addr;
	if (str_starts(value, STR("@"))) {
		for (size_t i = 0; i < c->n_spellings; i++)
			if (str_eq(str_from(value, 1), c->spellings[i].domain.key))
				return true;
		return false;
	}
	if (addr_parse(c->arena, value, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr) != ADDR_OK)
		return false;
	for (size_t i = 0; i < c->n_spellings; i++)
		if (addr_same(&addr, &c->spellings[i]))
			return true;
	return false;
}

static bool is_own(struct check *c)
{
	static const enum attr own[] = {ATTR_MAIL, ATTR_MAIL_LOCAL_ADDRESS, ATTR_PH_INTL_ADDRESS, ATTR_PH_SEND_AS};
	for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
		struct entry_cursor cursor = {0};
		struct str value;
		while (entry_next(c->account, own[i], &cursor, &value))
			if (names_sender(c, value))
				return allow(c, c->account, own[i], value);
	}
	return false;
}

static bool is_account(const struct check *c, struct str dn)
{
	struct guid key = directory_dn_key(dn);
	return guid_eq(&key, &c->account_dn);
}

static bool is_member(struct check *c, const struct entry *group)
{
	struct entry_cursor cursor = {0};
	struct str dn;
	for (size_t n = 0; n < MEMBERS_MAX && entry_next(group, ATTR_MEMBER, &cursor, &dn); n++)
		if (is_account(c, dn))
			return true;
	return false;
}

static bool grants(struct check *c, const struct entry *owner)
{
	struct entry_cursor cursor = {0};
	struct directory_match match;
	struct str dn;
	while (entry_next(owner, ATTR_PH_SEND_AS_GRANT, &cursor, &dn))
		if (is_account(c, dn) || (directory_find(c->directory, DIRECTORY_DN, dn, c->arena, &match) == DIRECTORY_FOUND &&
						 is_member(c, match.entry)))
			return allow(c, owner, ATTR_PH_SEND_AS_GRANT, dn);
	return false;
}

// Of the entries that have the sender's address.
static enum sender_answer ask_owners(struct check *c)
{
	struct directory_match match;
	for (size_t i = 0; i < c->n_spellings; i++) {
		switch (directory_find(c->directory, DIRECTORY_ADDRESS, c->spellings[i].key, c->arena, &match)) {
		case DIRECTORY_NONE:
			break;
		case DIRECTORY_AMBIGUOUS:
		case DIRECTORY_UNAVAILABLE:
			return SENDER_UNAVAILABLE;
		case DIRECTORY_FOUND:
			if (grants(c, match.entry))
				return SENDER_ALLOWED;
			break;
		}
	}
	struct directory_status status = directory_status(c->directory);
	return status.complete && status.fresh ? SENDER_REFUSED : SENDER_UNAVAILABLE;
}

static enum sender_answer check(struct check *c, struct str account, const struct addr *sender, struct str delimiters)
{
	struct guid uuid;
	struct directory_match match;
	if (!guid_parse(account, &uuid) ||
		directory_find(c->directory, DIRECTORY_UUID, guid_bytes(&uuid), c->arena, &match) != DIRECTORY_FOUND)
		return SENDER_UNAVAILABLE; // it has logged in: deleted just now, or we cannot look
	c->account = match.entry;
	c->account_dn = directory_dn_key(c->account->dn);
	c->why = (struct sender_why){.entry = c->account->dn, .attribute = ""};
	if (addr_is_null(sender))
		return SENDER_ALLOWED;
	collect_spellings(c, sender, delimiters);
	return is_own(c) ? SENDER_ALLOWED : ask_owners(c);
}

enum sender_answer sender_check(struct directory *directory, struct str account, const struct addr *sender, struct str delimiters,
	struct arena *arena, struct sender_why *why_out)
{
	struct check c = {.directory = directory, .arena = arena, .why = {.attribute = ""}};
	directory_begin(directory);
	enum sender_answer answer = check(&c, account, sender, delimiters);
	directory_end(directory);
	if (why_out)
		*why_out = c.why;
	return answer;
}
