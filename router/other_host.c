// SPDX-License-Identifier: Apache-2.0
// Another mailHost, and routing addresses.
#include "other_host.h"

#include "outside.h"
#include "recipient_steps.h"

// The only value of an attribute; false when there is none, or there are several, which waits.
static bool only_value(struct decision *d, const struct entry *user, enum attr attr, struct str *value_out)
{
	struct entry_cursor cursor = {0};
	struct str second;
	if (!entry_next(user, attr, &cursor, value_out))
		return false;
	if (!entry_next(user, attr, &cursor, &second))
		return true;
	decision_reason(d, "several values", user->dn, attr, *value_out);
	decision_reason(d, "several values", user->dn, attr, second);
	decision_later(d, CAUSE_SEVERAL);
	return false;
}

static bool is_this_node(const struct decision *d, struct str host)
{
	const struct home_rules *here = d->query->here;
	for (size_t i = 0; here && i < here->n_serves; i++)
		if (str_eq_nocase(here->serves[i], host))
			return true;
	return here && str_eq_nocase(here->hostname, host);
}

// The address that the other host is told: the routing address, else that of the recipient, with its detail. False: waits, or is
// refused; it was said.
static bool address_for(struct decision *d, struct decision_item *item, const struct entry *user, const struct addr *found,
	struct addr *addr_out)
{
	struct str text;
	if (entry_has(user, ATTR_MAIL_ROUTING_ADDRESS)) {
		if (!only_value(d, user, ATTR_MAIL_ROUTING_ADDRESS, &text))
			return false;
		decision_reason(d, "routing address", user->dn, ATTR_MAIL_ROUTING_ADDRESS, text);
	} else if (found && item->addr && item->addr->domain.kind == DOMAIN_NONE) { // <postmaster>
		*addr_out = *found;
		return true;
	} else if (item->is_dn && recipient_own_address(d, user, addr_out)) {
		return true;
	} else {
		text = item->is_dn ? STR_NONE : item->addr ? item->addr->text : item->text;
	}
	if (addr_parse(d->scratch, text, ADDR_UTF8 | ADDR_LONG_LOCAL, addr_out) == ADDR_OK)
		return true;
	decision_reason(d, "no address", user->dn, ATTR_MAIL, STR_NONE);
	decision_gone(d, CAUSE_UNKNOWN);
	return false;
}

// Which address leads to the entry, as long as its own words say where its mail goes.
static struct str stands_for(struct decision *d, const struct decision_item *item, const struct entry *user,
	const struct addr *found)
{
	struct addr own;
	if (item->addr && item->addr->domain.kind != DOMAIN_NONE)
		return item->addr->text;
	if (found)
		return found->text;
	return recipient_own_address(d, user, &own) ? own.text : item->text;
}

bool other_host_takes(struct decision *d, struct decision_item *item, const struct entry *user, const struct addr *found)
{
	struct str host;
	struct addr addr;
	const struct entry *ours;
	if (!entry_flag(user, ATTR_PH_MAIL_HOST_RELAY) || !entry_has(user, ATTR_MAIL_HOST))
		return false;
	if (!only_value(d, user, ATTR_MAIL_HOST, &host))
		return true;
	if (is_this_node(d, host))
		return false;
	enum decision_found found_host = decision_find(d, DIRECTORY_HOST, host, &ours);
	if (found_host != DECISION_NOBODY)
		return found_host == DECISION_DOUBT;
	decision_reason(d, "other host", user->dn, ATTR_MAIL_HOST, host);
	if (address_for(d, item, user, found, &addr))
		outside_by_host(d, item, &addr, host,
			entry_has(user, ATTR_MAIL_ROUTING_ADDRESS) ? stands_for(d, item, user, found) : STR_NONE);
	return true;
}

// local+detail@domain, with the character that stood before the detail in the address it came with.
static struct str with_detail(struct decision *d, const struct decision_item *item, struct str routing, struct str detail)
{
	struct addr came, to, made;
	struct str text = item->addr ? item->addr->text : item->text;
	if (addr_parse(d->scratch, text, ADDR_UTF8 | ADDR_LONG_LOCAL, &came) != ADDR_OK || came.local.n <= detail.n ||
		!str_ends(came.local, detail) || addr_parse(d->scratch, routing, ADDR_UTF8 | ADDR_LONG_LOCAL, &to) != ADDR_OK)
		return routing;
	struct str local = arena_printf(d->scratch, "%.*s%.*s", STR_FMT(to.local), STR_FMT(str_from(came.local,
		came.local.n - detail.n - 1)));
	if (addr_from_parts(d->scratch, local, to.domain.text, ADDR_UTF8 | ADDR_LONG_LOCAL, &made) != ADDR_OK)
		return routing;
	return made.text;
}

void other_host_route(struct decision *d, struct decision_item *item, const struct entry *user, const struct addr *addr,
	struct str detail)
{
	struct str routing;
	if (!only_value(d, user, ATTR_MAIL_ROUTING_ADDRESS, &routing))
		return;
	decision_is(d, RECIPIENT_EXPAND);
	if (addr && detail.n && d->query->keep_detail)
		routing = with_detail(d, item, routing, detail);
	decision_reason(d, "routing address", user->dn, ATTR_MAIL_ROUTING_ADDRESS, routing);
	struct decision_item *to = decision_add(d, item, routing, false);
	if (to)
		to->own_words = addr && detail.n && d->query->keep_detail; // what a stranger wrote
}
