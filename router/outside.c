// SPDX-License-Identifier: Apache-2.0
// Addresses beyond our mailboxes. First whether: relaying is for those who may. Then by which way, the first that is there: the
// route table, the domain's phRelayTransport, the route of the sender, the relayhost (router/route.h).
#include "outside.h"

#include "base/must.h"
#include "router/route.h"

// % and ! and a quoted @ say a way to the next server that we did not check (threats pct, bang).
static bool holds_a_route(const struct addr *addr)
{
	static const char route_bytes[] = {'%', '!', '@'};
	for (size_t i = 0; i < sizeof route_bytes; i++)
		if (str_index(addr->local, route_bytes[i]) >= 0)
			return true;
	return false;
}

static void add_target(struct decision *d, struct decision_item *item, const struct addr *addr, struct str host,
	struct str stands_for)
{
	decision_target(d, &(struct recipient_target){.kind = RECIPIENT_OUTSIDE, .address = addr, .host = host,
	.list = item->list,
				   .forwarder = item->forwarder, .stands_for = stands_for});
}

static void to_relayhost(struct decision *d, struct decision_item *item, const struct addr *addr, const struct entry *domain)
{
	if (d->query->relayhost.n) {
		decision_is(d, RECIPIENT_RELAY);
		decision_reason(d, "outside", STR_NONE, ATTR_NONE, d->query->relayhost);
		add_target(d, item, addr, d->query->relayhost, STR_NONE);
		return;
	}
	struct str type = domain ? entry_first(domain, ATTR_PH_DOMAIN_TYPE) : STR_NONE;
	decision_reason(d, "no relayhost", domain ? domain->dn : STR_NONE, domain ? ATTR_PH_DOMAIN_TYPE : ATTR_NONE,
		domain ? type : addr->domain.key);
	if (domain) // we said that we take its mail, so the fault is ours
		decision_later(d, CAUSE_DOMAIN);
	else if (d->query->waits) // likewise
		decision_later(d, CAUSE_ROUTE);
	else
		decision_gone(d, CAUSE_NO_RELAYHOST);
}

// "local:user": the local part of the rule, or of the address, in the default domain; or the address that the rule names.
static void to_local(struct decision *d, struct decision_item *item, const struct addr *addr, const struct route *route)
{
	struct str user = route->rule.user.n ? route->rule.user : addr->local;
	struct addr local;
	bool whole = route->rule.user.n && str_index(user, '@') >= 0;
	enum addr_result result =
		whole ? addr_parse(d->scratch, user, ADDR_UTF8 | ADDR_LONG_LOCAL, &local)
		      : addr_from_parts(d->scratch, user, d->query->default_domain, ADDR_UTF8 | ADDR_LONG_LOCAL, &local);
	if (result != ADDR_OK) {
		decision_later(d, CAUSE_ROUTE);
		return;
	}
	decision_is(d, RECIPIENT_EXPAND);
	struct decision_item *to = decision_add(d, item, local.text, false);
	if (to)
		to->own_words = route->rule.user.n == 0;
}

static void follow(struct decision *d, struct decision_item *item, const struct addr *addr, const struct route *route,
	struct str stands_for)
{
	struct str text;
	switch (route->rule.kind) {
	case ROUTE_RULE_RELAY:
		text = route_rule_text(d->scratch, &route->rule);
		if (text.n == 0) {
			decision_later(d, CAUSE_ROUTE);
			return;
		}
		decision_is(d, RECIPIENT_RELAY);
		add_target(d, item, addr, text, stands_for);
		return;
	case ROUTE_RULE_DISCARD:
		decision_is(d, RECIPIENT_DISCARD);
		decision_reason(d, "discarded", route->entry, ATTR_NONE, addr->text);
		add_target(d, item, addr, route_rule_text(d->scratch, &route->rule), stands_for);
		return;
	case ROUTE_RULE_ERROR:
		decision_says(d, &route->rule.reply);
		return;
	case ROUTE_RULE_LOCAL:
		to_local(d, item, addr, route);
		return;
	case ROUTE_RULE_SAME:
		break;
	}
	decision_later(d, CAUSE_ROUTE);
}

static void reason_route(struct decision *d, const struct route *route)
{
	const char *rule = route->by_sender ? "sender route" : route->key.n ? "route" : "relay transport";
	decision_reason_of(d, rule, route->entry, route->attribute, route->value);
}

static void reason_doubt(struct decision *d, const struct route *route)
{
	if (route->value.n)
		reason_route(d, route);
	decision_reason(d, "bad route", route->entry, ATTR_NONE, str_of_c(route->trouble));
	decision_later(d, CAUSE_ROUTE);
}

// By the row of the route table that the query finds; stands_for as in outside_by_host. False: there is none, and nothing was
// said.
static bool by_table(struct decision *d, struct decision_item *item, const struct addr *addr, const struct route_query *query,
	struct str stands_for)
{
	struct route route;
	d->entries++;
	switch (route_find(query, d->scratch, &route)) {
	case ROUTE_FOUND:
		reason_route(d, &route);
		follow(d, item, addr, &route, stands_for);
		return true;
	case ROUTE_NONE:
		return false;
	case ROUTE_DOUBT:
		reason_doubt(d, &route);
		return true;
	}
	unreachable("route_answer");
}

static void go(struct decision *d, struct decision_item *item, const struct addr *addr, const struct entry *domain)
{
	const struct route_query query = {.directory = d->directory, .addr = addr, .sender = d->query->sender, .domain = domain,
		.rules = d->query->rules, .delimiters = d->query->delimiters};
	if (by_table(d, item, addr, &query, STR_NONE))
		return;
	if (domain_is_literal(&addr->domain)) { // only a route says that we talk to an address of a client's choice
		decision_reason(d, "literal", STR_NONE, ATTR_NONE, addr->text);
		if (d->query->waits)
			decision_later(d, CAUSE_ROUTE);
		else
			decision_gone(d, CAUSE_LITERAL);
		return;
	}
	to_relayhost(d, item, addr, domain);
}

bool outside_admits(struct decision *d, struct decision_item *item)
{
	const struct access_table table = {
		.directory = d->directory, .rules = d->query->rules, .delimiters = d->query->delimiters};
	struct access *access = &d->access;
	d->access = (struct access){.attribute = ""};
	if (d->query->client == NULL)
		return true;
	access_recipient(&table, item->addr, d->work, access);
	if (access->found)
		decision_reason_of(d, "access recipient", access->entry, access->attribute, access->value);
	if (access->refuses) {
		decision_says(d, &access->reply);
		return false;
	}
	if (!access->discards)
		return true;
	decision_is(d, RECIPIENT_DISCARD);
	decision_reason(d, "discarded", access->entry, ATTR_NONE, item->addr->text);
	add_target(d, item, item->addr, route_rule_text(d->scratch, &(struct route_rule){.kind = ROUTE_RULE_DISCARD}), STR_NONE);
	return false;
}

// A stranger's local part must not be a way.
static bool is_plain(struct decision *d, const struct addr *addr)
{
	if (d->query->authenticated || !holds_a_route(addr))
		return true;
	decision_reason(d, "old form", STR_NONE, ATTR_NONE, addr->text);
	decision_gone(d, CAUSE_OLD_FORM);
	return false;
}

// Somebody of ours wants it there: an entry that names it, or a client that may relay.
static bool may_relay(struct decision *d, const struct decision_item *item, const struct addr *addr)
{
	struct relay_why why;
	bool literal = domain_is_literal(&addr->domain);
	if (d->query->waits)
		return true;
	if (item->depth > 0)
		return !item->own_words || is_plain(d, addr);
	if (!relay_allowed(d->query->client, d->query->authenticated, &d->access, &why)) {
		const struct access *names = d->query->client ? d->query->client->names : NULL;
		if (names && names->refuses) {
			decision_reason_of(d, "relay certificate name", names->entry, names->attribute, names->value);
			decision_says(d, &names->reply);
			return false;
		}
		decision_reason(d, literal ? "literal" : "relay refused", STR_NONE, ATTR_NONE,
			literal ? addr->text : addr->domain.key);
		decision_gone(d, literal ? CAUSE_LITERAL : CAUSE_RELAY_DENIED);
		return false;
	}
	decision_reason_of(d, why.rule, why.entry, why.attribute, why.value);
	return is_plain(d, addr);
}

void outside_address(struct decision *d, struct decision_item *item, const struct addr *addr)
{
	if (may_relay(d, item, addr))
		go(d, item, addr, NULL);
}

void outside_of_domain(struct decision *d, struct decision_item *item, const struct addr *addr, const struct entry *domain)
{
	if (holds_a_route(addr) && !d->query->waits) {
		decision_reason(d, "old form", domain->dn, ATTR_NONE, addr->text);
		decision_gone(d, CAUSE_OLD_FORM);
		return;
	}
	go(d, item, addr, domain);
}

void outside_by_host(struct decision *d, struct decision_item *item, const struct addr *addr, struct str host,
	struct str stands_for)
{
	struct addr at_host;
	struct domain domain;
	if (stands_for.n == 0 && holds_a_route(addr)) {
		decision_reason(d, "old form", STR_NONE, ATTR_NONE, addr->text);
		decision_gone(d, CAUSE_OLD_FORM);
		return;
	}
	if (domain_parse(d->scratch, host, DOMAIN_UTF8, &domain) != DOMAIN_OK ||
		addr_with_domain(d->scratch, addr, &domain, &at_host) != ADDR_OK) {
		decision_later(d, CAUSE_ROUTE);
		return;
	}
	const struct route_query query = {
		.directory = d->directory, .addr = &at_host, .rules = d->query->rules, .delimiters = d->query->delimiters};
	if (by_table(d, item, addr, &query, stands_for))
		return;
	const struct route route = {
		.rule = {.kind = ROUTE_RULE_RELAY, .hops = {{.host = domain.key, .port = ROUTE_RULE_PORT}}, .hops_n = 1}};
	follow(d, item, addr, &route, stands_for);
}
