// SPDX-License-Identifier: Apache-2.0
// Who may send as whom.
#include "router/sender.h"

#include "base/must.h"
#include "our_domain.h"

enum { MEMBERS_MAX = 5000 }; // of a group that has the grant; of those further down names count only as they are written

struct check {
	struct directory *directory;
	struct arena *arena;
	const struct entry *account;
	struct guid account_dn;
	struct our_domain_spellings spellings; // of the sender
	struct sender_why why;
};

static bool allow(struct check *c, const struct entry *entry, enum attr attr, struct str value)
{
	c->why = (struct sender_why){.entry = entry->dn, .attribute = attr_name(attr), .value = value};
	return true;
}

// An address or "@domain" of the directory against the sender's spellings.
static bool names_sender(struct check *c, struct str value)
{
	struct addr addr;
	if (str_starts(value, STR("@"))) {
		for (size_t i = 0; i < c->spellings.n; i++)
			if (str_eq(str_from(value, 1), c->spellings.v[i].domain.key))
				return true;
		return false;
	}
	if (addr_parse(c->arena, value, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr) != ADDR_OK)
		return false;
	for (size_t i = 0; i < c->spellings.n; i++)
		if (addr_same(&addr, &c->spellings.v[i]))
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
	for (size_t n = 0; entry_next(group, ATTR_MEMBER, &cursor, &dn); n++)
		if (str_eq_nocase(dn, c->account->dn) || (n < MEMBERS_MAX && is_account(c, dn)))
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

static enum sender_answer refused(struct directory *directory)
{
	struct directory_status status = directory_status(directory);
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
	enum directory_answer owner = our_domain_spell(c->directory, sender, delimiters, c->arena, &c->spellings);
	if (is_own(c))
		return SENDER_ALLOWED;
	switch (owner) {
	case DIRECTORY_FOUND:
		return grants(c, c->spellings.owner.entry) ? SENDER_ALLOWED : refused(c->directory);
	case DIRECTORY_NONE:
		return refused(c->directory);
	case DIRECTORY_AMBIGUOUS:
	case DIRECTORY_UNAVAILABLE:
		return SENDER_UNAVAILABLE;
	}
	unreachable("directory_answer");
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
