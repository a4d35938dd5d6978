// SPDX-License-Identifier: Apache-2.0
// Where RCPT TO is decided.
//
// The order, as sendmail's ruleset 0 has it: the address is made plain; its domain says whether it is ours; the address is looked up, then
// without its detail, then as its domain ("@domain"), then by the domain's rules (catch-all, alias domain, relay, postmaster and roles);
// the entry that is found is applied: status, forward, mailbox, members. What an entry names is looked up the same way.
//
// Failure modes: a doubt (two owners, no host, a shadow that is not complete or not fresh, too many members) defers the whole recipient,
// because a 250 for half of a group loses the other half; what is certainly gone (an unknown member) is left out and named in the
// reasons; when nothing is left, the recipient is refused.
//
// Called by mta for each RCPT (on a fiber; large groups on a worker) and by `posthouse why`. The rules are below in the order above;
// decision.c keeps the books.
#include "router/recipient.h"

#include "base/clock.h"
#include "base/must.h"
#include "decision.h"
#include "list.h"
#include "outside.h"
#include "router/host.h"

enum { DOMAIN_ALIASES_MAX = 8 }; // alias domains of alias domains

const char *recipient_outcome_name(enum recipient_outcome outcome)
{
	static const char *const names[] = {
#define OUTCOME_NAME(outcome, name) [outcome] = name,
		RECIPIENT_OUTCOMES(OUTCOME_NAME)
#undef OUTCOME_NAME
	};
	return names[outcome];
}

const char *recipient_rule_text(const char *rule)
{
	static const char *const rows[][2] = {
#define RULE_ROW(rule, text) {rule, text},
		RECIPIENT_RULES(RULE_ROW)
#undef RULE_ROW
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (strcmp(rows[i][0], rule) == 0)
			return rows[i][1];
	return NULL;
}

// --- Mailboxes ---

// The host of a user's mailbox, when it is one of ours. Inside a group or forward an unknown host is no reason to stop the others: the
// target is recorded, and the delivery waits until the host is known (router/host.h sends nothing before).
static bool find_host(struct decision *d, const struct decision_item *item, const struct entry *user, struct str *host_out)
{
	struct entry_cursor cursor = {0};
	struct str name, second;
	struct host host;
	if (!entry_next(user, ATTR_MAIL_HOST, &cursor, &name) || entry_next(user, ATTR_MAIL_HOST, &cursor, &second)) {
		decision_reason(d, "no host", user->dn, ATTR_MAIL_HOST, STR_NONE);
		decision_later(d, CAUSE_NO_HOST);
		return false;
	}
	*host_out = name;
	if (d->host.n && str_eq(d->host, name)) // the same as the member before
		return true;
	d->entries++;
	switch (host_find(d->directory, name, STR("lmtp"), d->scratch, &host)) {
	case HOST_FOUND:
		decision_reason(d, "host", host.entry->dn, ATTR_PH_HOST_ENDPOINT, host.endpoint_text);
		d->host = arena_dup(d->work, name);
		return true;
	case HOST_UNKNOWN:
		decision_reason(d, "unknown host", user->dn, ATTR_MAIL_HOST, name);
		break;
	case HOST_UNAVAILABLE:
		decision_reason(d, "unavailable", user->dn, ATTR_MAIL_HOST, name);
		break;
	}
	if (item->depth > 0)
		return true;
	decision_later(d, CAUSE_NO_HOST);
	return false;
}

// addr: the address it was found by; NULL when by DN. What goes to the mailbox host is the primary address.
static void to_mailbox(struct decision *d, struct decision_item *item, const struct entry *user, const struct addr *addr, struct str detail)
{
	struct recipient_target target = {.kind = RECIPIENT_MAILBOX, .detail = detail, .list = item->list, .forwarder = item->forwarder};
	struct addr primary;
	if (!find_host(d, item, user, &target.host))
		return;
	if (!entry_mailbox_id(user, &target.mailbox_id)) {
		decision_reason(d, "no mailbox id", user->dn, ATTR_PH_MAILBOX_ID, STR_NONE);
		decision_later(d, CAUSE_NO_ID);
		return;
	}
	struct str mail = entry_first(user, ATTR_MAIL);
	if (addr && str_eq(mail, addr->text))
		target.address = addr;
	else if (addr_parse(d->scratch, mail, ADDR_UTF8 | ADDR_LONG_LOCAL, &primary) == ADDR_OK)
		target.address = &primary;
	else if (addr)
		target.address = addr;
	else {
		decision_reason(d, "no address", user->dn, ATTR_MAIL, STR_NONE);
		decision_gone(d, CAUSE_UNKNOWN);
		return;
	}
	decision_is(d, RECIPIENT_DELIVER);
	if (item->no_author && list_is_author(d, user))
		decision_reason(d, "own copy", user->dn, ATTR_MAIL, entry_first(user, ATTR_MAIL));
	else
		decision_target(d, &target);
}

// --- Entries ---

// Is all of it known, and what say phStatus and phExpires? False when mail stops here.
static bool status_accepts(struct decision *d, const struct decision_item *item, const struct entry *entry)
{
	static const struct {
		const char *status;
		enum decision_cause cause;
	} rows[] = {
		{"noreceive", CAUSE_HOLD}, {"hold", CAUSE_HOLD}, {"suspended", CAUSE_DISABLED}, {"disabled", CAUSE_DISABLED},
		{"deleted", CAUSE_DISABLED},
	};
	struct str status = entry_first(entry, ATTR_PH_STATUS);
	if (entry->cut) {
		decision_reason(d, "too large", entry->dn, ATTR_NONE, STR_NONE);
		decision_later(d, CAUSE_TOO_BIG);
		return false;
	}
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (!str_eq_nocase(status, str_of_c(rows[i].status)))
			continue;
		decision_reason(d, "status", entry->dn, ATTR_PH_STATUS, status);
		if (rows[i].cause == CAUSE_DISABLED)
			decision_gone(d, CAUSE_DISABLED);
		else if (item->depth > 0)
			return true; // one member on hold does not hold a group: its mailbox host defers it
		else
			decision_later(d, rows[i].cause);
		return false;
	}
	if (entry_is_expired(entry, clock_wall_ms())) {
		decision_reason(d, "expired", entry->dn, ATTR_PH_EXPIRES, entry_first(entry, ATTR_PH_EXPIRES));
		decision_gone(d, CAUSE_DISABLED);
		return false;
	}
	return true;
}

// Adds all values of an attribute as items below; returns how many.
size_t recipient_add_values(struct decision *d, struct decision_item *item, const struct entry *entry, enum attr attr, const char *rule)
{
	const struct attr_info *info = attr_by_number((unsigned)attr);
	struct entry_cursor cursor = {0};
	struct str value;
	size_t n = 0;
	for (; entry_next(entry, attr, &cursor, &value) && !d->too_big; n++) {
		decision_reason(d, rule, entry->dn, attr, value);
		decision_add(d, item, value, info->check == ATTR_CHECK_NAME);
	}
	return n;
}

// addr_key of an entry's first address, else of the one it was found by; lives as long as d.
static struct str key_of(struct decision *d, const struct entry *entry, const struct addr *addr)
{
	static const enum attr by[] = {ATTR_MAIL, ATTR_MAIL_LOCAL_ADDRESS};
	struct addr first;
	for (size_t i = 0; i < sizeof by / sizeof *by; i++)
		if (addr_parse(d->scratch, entry_first(entry, by[i]), ADDR_UTF8 | ADDR_LONG_LOCAL, &first) == ADDR_OK)
			return arena_dup(d->work, first.key);
	return addr ? arena_dup(d->work, addr->key) : STR_NONE;
}

static void apply_user(struct decision *d, struct decision_item *item, const struct entry *user, const struct addr *addr, struct str detail)
{
	if (entry_has(user, ATTR_PH_FORWARD_ADDRESS)) {
		struct str outer = item->forwarder;
		decision_is(d, RECIPIENT_FORWARD);
		item->forwarder = key_of(d, user, addr);
		recipient_add_values(d, item, user, ATTR_PH_FORWARD_ADDRESS, "forward");
		item->forwarder = outer; // the copy that is kept belongs to this message
		if (!entry_flag(user, ATTR_PH_FORWARD_KEEP_COPY))
			return;
		decision_reason(d, "keep copy", user->dn, ATTR_PH_FORWARD_KEEP_COPY, entry_first(user, ATTR_PH_FORWARD_KEEP_COPY));
	} else if (entry_has(user, ATTR_MAIL_ROUTING_ADDRESS)) {
		decision_is(d, RECIPIENT_EXPAND);
		recipient_add_values(d, item, user, ATTR_MAIL_ROUTING_ADDRESS, "routing address");
		return;
	}
	to_mailbox(d, item, user, addr, detail);
}

// The address of a group: the one it was found by, else its first.
static bool address_of(struct decision *d, const struct entry *group, const struct addr *found, struct addr *addr_out)
{
	if (found)
		*addr_out = *found;
	return found || addr_parse(d->scratch, entry_first(group, ATTR_MAIL), ADDR_UTF8 | ADDR_LONG_LOCAL, addr_out) == ADDR_OK;
}

// Lists, and whoever may not post to one. True: that was all to be done now.
static bool stop_at_list(struct decision *d, struct decision_item *item, const struct entry *group, const struct addr *found)
{
	struct addr addr;
	struct str owner;
	enum recipient_lists lists = d->query->lists;
	bool is_asked = item->parent == NULL && (lists == RECIPIENT_LISTS_NOW || lists == RECIPIENT_LISTS_INLINE); // when it was accepted
	if (item->list.n && item->forwarder.n == 0)
		return false; // a list above has it
	if (!is_asked && list_may_post(d, item, group) != LIST_POST_ALLOWED)
		return true;
	if (!address_of(d, group, found, &addr) || !list_is_one(d, group, &addr, &owner))
		return false;
	if (lists == RECIPIENT_LISTS_LATER || (lists == RECIPIENT_LISTS_NOW && !is_asked)) {
		decision_reason(d, "list", group->dn, ATTR_NONE, addr.text);
		decision_target(d, &(struct recipient_target){.kind = RECIPIENT_LIST, .address = &addr, .list = item->list,
					   .forwarder = item->forwarder});
		return true;
	}
	item->list = key_of(d, group, &addr); // its copies are its own: part of the delivery key
	item->no_author = entry_flag(group, ATTR_PH_LIST_SUPPRESS_SENDER);
	if (owner.n)
		decision_reason(d, "owner sender", group->dn, entry_has(group, ATTR_PH_LIST_ERRORS_TO) ? ATTR_PH_LIST_ERRORS_TO : ATTR_NONE,
			owner);
	if (item->parent == NULL) {
		d->is_list = true;
		d->owner = arena_dup(d->arena, owner);
	}
	return false;
}

// Aliases, groups and lists: everybody they name.
static void apply_group(struct decision *d, struct decision_item *item, const struct entry *group, const struct addr *addr)
{
	static const enum attr named[] = {ATTR_RFC822_MAIL_MEMBER, ATTR_MEMBER, ATTR_MAIL_ROUTING_ADDRESS, ATTR_PH_FORWARD_ADDRESS};
	size_t n = 0;
	decision_is(d, RECIPIENT_EXPAND);
	if (stop_at_list(d, item, group, addr))
		return;
	for (size_t i = 0; i < sizeof named / sizeof *named; i++)
		n += recipient_add_values(d, item, group, named[i], group->classes & ENTRY_ALIAS ? "alias" : "member");
	n += list_add_by_url(d, item, group);
	if (n == 0 && !d->too_big) {
		decision_reason(d, "no members", group->dn, ATTR_NONE, STR_NONE);
		decision_gone(d, CAUSE_EMPTY);
	}
}

// A person or group of the directory that is not ours, named as a member: by its address.
static void apply_stranger(struct decision *d, struct decision_item *item, const struct entry *entry)
{
	if (recipient_add_values(d, item, entry, ATTR_MEMBER, "member") > 0)
		return;
	struct str mail = entry_first(entry, ATTR_MAIL);
	if (mail.p) {
		decision_reason(d, "member's address", entry->dn, ATTR_MAIL, mail);
		decision_add(d, item, mail, false);
		return;
	}
	decision_reason(d, "no address", entry->dn, ATTR_MAIL, STR_NONE);
	decision_gone(d, CAUSE_UNKNOWN);
}

static void apply(struct decision *d, struct decision_item *item, const struct entry *entry, const struct addr *addr, struct str detail)
{
	item->entry = entry->uuid;
	if (decision_is_loop(item, &entry->uuid)) {
		// A forward that comes home ends in the mailbox: that keeps a copy. An alias that comes home has no more to say.
		decision_reason(d, "loop", entry->dn, ATTR_NONE, item->text);
		if (entry->classes & ENTRY_USER)
			to_mailbox(d, item, entry, addr, detail);
		else
			decision_gone(d, CAUSE_LOOP);
		return;
	}
	if (!decision_once(d, item, &entry->uuid))
		return;
	if (!status_accepts(d, item, entry))
		return;
	if (entry->classes & ENTRY_USER)
		apply_user(d, item, entry, addr, detail);
	else if (entry->classes & (ENTRY_ALIAS | ENTRY_GROUP | ENTRY_LIST | ENTRY_RECIPIENT))
		apply_group(d, item, entry, addr);
	else
		apply_stranger(d, item, entry);
}

// --- Addresses of our domains ---

// Which value of the entry it was found by, for the reasons.
static void reason_found(struct decision *d, const struct entry *entry, struct str key)
{
	static const enum attr by[] = {ATTR_MAIL, ATTR_MAIL_LOCAL_ADDRESS, ATTR_PH_INTL_ADDRESS};
	const char *rule = entry->classes & ENTRY_USER ? "mailbox" : entry->classes & ENTRY_ALIAS ? "alias address" : "group address";
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
	struct directory_match match;
	switch (decision_find(d, DIRECTORY_ADDRESS, key, &match)) {
	case DIRECTORY_NONE:
		return false;
	case DIRECTORY_AMBIGUOUS:
	case DIRECTORY_UNAVAILABLE:
		return true;
	case DIRECTORY_FOUND:
		reason_found(d, match.entry, key);
		apply(d, item, match.entry, addr, detail);
		return true;
	}
	unreachable("directory_answer");
}

static bool try_address(struct decision *d, struct decision_item *item, const struct addr *addr, const struct entry *domain)
{
	struct str delimiters = entry_first(domain, ATTR_PH_SUBADDRESS_DELIMITER), detail;
	struct addr base;
	if (try_key(d, item, addr->key, addr, STR_NONE))
		return true;
	if (list_try_role(d, item, addr))
		return true;
	if (delimiters.p == NULL)
		delimiters = d->query->delimiters;
	if (addr_detail(d->scratch, addr, delimiters, &base, &detail) && try_key(d, item, base.key, &base, detail)) {
		decision_reason(d, "detail", domain->dn, entry_has(domain, ATTR_PH_SUBADDRESS_DELIMITER) ? ATTR_PH_SUBADDRESS_DELIMITER : ATTR_NONE,
			detail);
		return true;
	}
	return try_key(d, item, arena_printf(d->scratch, "@%.*s", STR_FMT(addr->domain.key)), addr, STR_NONE);
}

// RFC 2142, section 4 and 5: addresses that somebody must read. postmaster also by RFC 5321 section 4.5.1.
static bool is_role(struct str local)
{
	static const char *const roles[] = {"abuse", "noc", "security", "hostmaster", "webmaster"};
	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
		if (str_eq_nocase(local, str_of_c(roles[i])))
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
static void add_catch_all(struct decision *d, struct decision_item *item, struct str pattern, const struct addr *addr)
{
	ptrdiff_t at = str_find(pattern, STR("%1"));
	if (at >= 0)
		pattern = arena_printf(d->scratch, "%.*s%.*s%.*s", (int)at, pattern.p, STR_FMT(addr->local),
			STR_FMT(str_from(pattern, (size_t)at + 2)));
	struct decision_item *to = decision_add(d, item, pattern, false);
	if (to)
		to->own_words = at >= 0;
}

static bool try_catch_all(struct decision *d, struct decision_item *item, const struct addr *addr, const struct entry *domain)
{
	struct entry_cursor cursor = {0};
	struct str pattern;
	bool any = false;
	while (entry_next(domain, ATTR_PH_CATCH_ALL, &cursor, &pattern)) {
		decision_is(d, RECIPIENT_EXPAND);
		decision_reason(d, "catch-all", domain->dn, ATTR_PH_CATCH_ALL, pattern);
		add_catch_all(d, item, pattern, addr);
		any = true;
	}
	return any;
}

static void route_unknown(struct decision *d, struct decision_item *item, const struct addr *addr, const struct entry *domain)
{
	struct str policy = entry_first(domain, ATTR_PH_UNKNOWN_USER);
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
	if (str_eq_nocase(policy, STR("relay"))) {
		decision_reason(d, "unknown user", domain->dn, ATTR_PH_UNKNOWN_USER, policy);
		outside_of_domain(d, item, addr, domain);
		return;
	}
	decision_reason(d, "unknown user", domain->dn, policy.p ? ATTR_PH_UNKNOWN_USER : ATTR_NONE, policy.p ? policy : addr->key);
	if (str_eq_nocase(policy, STR("tempfail")))
		decision_later(d, CAUSE_UNKNOWN_NOW);
	else
		decision_gone(d, CAUSE_UNKNOWN);
}

// --- Domains ---

// The entry of a domain, or of one above it that includes its subdomains.
static enum directory_answer find_domain(struct decision *d, struct str key, struct directory_match *match_out)
{
	struct str name = key, label;
	if (d->domain_key.n && str_eq(d->domain_key, key)) { // the same as the member before
		*match_out = (struct directory_match){.entry = &d->domain};
		return DIRECTORY_FOUND;
	}
	if (d->outside_key.n && str_eq(d->outside_key, key))
		return DIRECTORY_NONE;
	for (;;) {
		enum directory_answer answer = decision_find(d, DIRECTORY_DOMAIN, name, match_out);
		if (answer == DIRECTORY_FOUND && name.n < key.n && !entry_flag(match_out->entry, ATTR_PH_INCLUDE_SUBDOMAINS))
			answer = DIRECTORY_NONE;
		if (answer == DIRECTORY_FOUND) {
			decision_keep_domain(d, key, match_out->entry);
			match_out->entry = &d->domain;
		}
		if (answer == DIRECTORY_NONE && str_cut(name, '.', &label, &name))
			continue;
		if (answer == DIRECTORY_NONE)
			d->outside_key = arena_dup(d->work, key);
		return answer;
	}
}

enum domain_type { TYPE_LOCAL, TYPE_ALIAS, TYPE_RELAY, TYPE_UNKNOWN };

static enum domain_type type_of(const struct entry *domain)
{
	struct str type = entry_first(domain, ATTR_PH_DOMAIN_TYPE);
	if (str_eq_nocase(type, STR("local")))
		return TYPE_LOCAL;
	if (str_eq_nocase(type, STR("alias")))
		return TYPE_ALIAS;
	if (str_eq_nocase(type, STR("relay")) || str_eq_nocase(type, STR("backup")))
		return TYPE_RELAY;
	return TYPE_UNKNOWN;
}

// The address in the domain that its own is an alias of; false when that is not said.
static bool follow_alias(struct decision *d, const struct addr *addr, const struct entry *domain, struct addr *addr_out)
{
	struct str target = entry_first(domain, ATTR_PH_DOMAIN_ALIAS_OF);
	struct domain parsed;
	return target.p && domain_parse(d->scratch, target, DOMAIN_UTF8, &parsed) == DOMAIN_OK &&
	       addr_with_domain(d->scratch, addr, &parsed, addr_out) == ADDR_OK;
}

// The recipient itself is postmaster or a role in a domain of ours: if what it stands for is gone, somebody else must read it.
static void note_role(struct decision *d, const struct decision_item *item, const struct addr *addr, const struct entry *domain)
{
	if (item->parent || !(addr_is_postmaster(addr) || is_role(addr->local)))
		return;
	d->role_domain = *domain;
	d->role_domain.dn = arena_dup(d->work, domain->dn);
	d->role_domain.values = arena_dup(d->work, domain->values);
}

// Nothing came of a role: postmaster of the default domain, then the owners of its domain, then not now. False: it is no matter of roles.
static bool try_for_role(struct decision *d)
{
	struct str postmaster = arena_printf(d->scratch, "postmaster@%.*s", STR_FMT(d->query->default_domain));
	struct decision_item top = {0};
	if (d->role_domain.dn.n == 0 || d->n_targets > 0 || d->too_big || d->later != CAUSE_NONE || d->role_tries > 2)
		return false;
	switch (d->role_tries++) {
	case 0:
		decision_reason(d, "postmaster", d->role_domain.dn, ATTR_NONE, postmaster);
		decision_add(d, NULL, postmaster, false);
		break;
	case 1:
		recipient_add_values(d, &top, &d->role_domain, ATTR_OWNER, "postmaster");
		break;
	default:
		decision_reason(d, "no postmaster", d->role_domain.dn, ATTR_OWNER, STR_NONE);
		decision_later(d, CAUSE_NO_POSTMASTER);
	}
	return true;
}

static void route_ours(struct decision *d, struct decision_item *item, const struct addr *addr, const struct entry *domain)
{
	switch (type_of(domain)) {
	case TYPE_LOCAL:
		note_role(d, item, addr, domain);
		if (!try_address(d, item, addr, domain))
			route_unknown(d, item, addr, domain);
		return;
	case TYPE_RELAY:
		if (!try_key(d, item, addr->key, addr, STR_NONE))
			outside_of_domain(d, item, addr, domain);
		return;
	case TYPE_ALIAS: // followed by the caller; here it leads nowhere
	case TYPE_UNKNOWN:
		decision_reason(d, "bad domain", domain->dn, ATTR_PH_DOMAIN_TYPE, entry_first(domain, ATTR_PH_DOMAIN_TYPE));
		decision_later(d, CAUSE_DOMAIN);
		return;
	}
}

static void route(struct decision *d, struct decision_item *item, struct addr addr)
{
	struct directory_match match;
	for (unsigned aliases = 0; aliases < DOMAIN_ALIASES_MAX; aliases++) {
		struct addr target;
		switch (find_domain(d, addr.domain.key, &match)) {
		case DIRECTORY_NONE:
			outside_address(d, item, &addr);
			return;
		case DIRECTORY_AMBIGUOUS:
		case DIRECTORY_UNAVAILABLE:
			return;
		case DIRECTORY_FOUND:
			break;
		}
		decision_reason(d, "domain", match.entry->dn, ATTR_PH_DOMAIN_TYPE, entry_first(match.entry, ATTR_PH_DOMAIN_TYPE));
		if (type_of(match.entry) != TYPE_ALIAS || !follow_alias(d, &addr, match.entry, &target)) {
			route_ours(d, item, &addr, match.entry);
			return;
		}
		if (try_key(d, item, addr.key, &addr, STR_NONE)) // an entry may have an address in the alias domain alone
			return;
		decision_reason(d, "alias domain", match.entry->dn, ATTR_PH_DOMAIN_ALIAS_OF, entry_first(match.entry, ATTR_PH_DOMAIN_ALIAS_OF));
		addr = target;
	}
	decision_reason(d, "loop", match.entry->dn, ATTR_PH_DOMAIN_ALIAS_OF, entry_first(match.entry, ATTR_PH_DOMAIN_ALIAS_OF));
	decision_later(d, CAUSE_DOMAIN);
}

// --- The recipient and what it names ---

static void look_at_dn(struct decision *d, struct decision_item *item)
{
	struct directory_match match;
	switch (decision_find(d, DIRECTORY_DN, item->text, &match)) {
	case DIRECTORY_NONE:
		decision_reason(d, "unknown member", STR_NONE, ATTR_MEMBER, item->text);
		decision_gone(d, CAUSE_UNKNOWN);
		return;
	case DIRECTORY_AMBIGUOUS:
	case DIRECTORY_UNAVAILABLE:
		return;
	case DIRECTORY_FOUND:
		apply(d, item, match.entry, NULL, STR_NONE);
		return;
	}
}

static void look_at_address(struct decision *d, struct decision_item *item)
{
	struct addr addr;
	struct domain domain;
	if (item->addr)
		addr = *item->addr;
	else if (addr_parse(d->scratch, item->text, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr) != ADDR_OK) {
		decision_reason(d, "bad address", STR_NONE, ATTR_NONE, item->text); // the intake lets none through; a pattern may make one
		decision_gone(d, CAUSE_UNKNOWN);
		return;
	}
	if (addr.routed)
		decision_reason(d, "route dropped", STR_NONE, ATTR_NONE, addr.text);
	if (addr.domain.kind == DOMAIN_NONE) { // <postmaster>
		if (domain_parse(d->scratch, d->query->default_domain, DOMAIN_UTF8, &domain) != DOMAIN_OK ||
			addr_with_domain(d->scratch, &addr, &domain, &addr) != ADDR_OK) {
			decision_reason(d, "no postmaster", STR_NONE, ATTR_NONE, addr.text);
			decision_later(d, CAUSE_NO_POSTMASTER);
			return;
		}
		decision_reason(d, "postmaster", STR_NONE, ATTR_NONE, addr.text);
	}
	route(d, item, addr);
}

static void look_at(struct decision *d, struct decision_item *item)
{
	if (item->addr && !outside_admits(d, item)) // the recipient itself
		return;
	if (item->depth > RECIPIENT_DEPTH_MAX) {
		decision_reason(d, "too deep", STR_NONE, ATTR_NONE, item->text);
		decision_gone(d, CAUSE_LOOP);
	} else if (item->is_dn) {
		look_at_dn(d, item);
	} else {
		look_at_address(d, item);
	}
}

void recipient_decide(struct directory *directory, const struct recipient_query *query, struct arena *arena,
	struct recipient_verdict *verdict_out)
{
	struct decision d;
	struct decision_item *item;
	decision_begin(&d, directory, query, arena);
	if (!d.shadow.complete) {
		decision_reason(&d, "unavailable", STR_NONE, ATTR_NONE, str_of_c(directory_trouble(directory)));
		decision_later(&d, CAUSE_UNAVAILABLE);
	} else if ((item = decision_add(&d, NULL, query->recipient->text, false))) {
		item->addr = query->recipient;
	}
	do
		while ((item = decision_next(&d)))
			look_at(&d, item);
	while (try_for_role(&d));
	bool whole = query->lists == RECIPIENT_LISTS_LATER && query->recipient->domain.kind == DOMAIN_NAME;
	if (whole && d.n_targets > RECIPIENT_TARGETS_MAX)
		decision_only_target(&d, "many", &(struct recipient_target){.kind = RECIPIENT_LIST, .address = query->recipient});
	decision_end(&d, verdict_out);
}
