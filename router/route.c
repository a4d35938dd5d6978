// SPDX-License-Identifier: Apache-2.0
// The route table: keys from the most special to the least, then what the row says.
#include "router/route.h"

#include "base/must.h"

struct search {
	const struct route_query *query;
	struct arena *arena;
	struct route *route;
};

static enum route_answer doubt(struct search *s, const char *trouble)
{
	s->route->trouble = trouble;
	return ROUTE_DOUBT;
}

// A rule that was read: complete, and one that we can follow.
static enum route_answer conclude(struct search *s)
{
	struct route_rule *rule = &s->route->rule;
	if (rule->kind == ROUTE_RULE_SAME)
		return ROUTE_NONE;
	route_rule_complete(s->arena, &s->query->addr->domain, rule);
	if (route_rule_needs_mx(rule))
		return doubt(s, "its next hop needs MX records, which are not looked up yet");
	return ROUTE_FOUND;
}

static enum route_answer read_row(struct search *s)
{
	const char *wrong = route_rule_value(s->arena, s->route->value, &s->route->rule);
	return wrong ? doubt(s, wrong) : conclude(s);
}

static enum route_answer read_entry(struct search *s, const struct entry *entry)
{
	struct route *route = s->route;
	struct entry_cursor targets = {0}, options = {0};
	struct str value, tls = entry_first(entry, ATTR_PH_ROUTE_TLS);
	const char *wrong = NULL;
	if (route->value.p == NULL)
		return doubt(s, "it has no target");
	while (wrong == NULL && entry_next(entry, ATTR_PH_ROUTE_TARGET, &targets, &value))
		wrong = route_rule_target(s->arena, value, &route->rule);
	if (wrong == NULL && tls.p)
		wrong = route_rule_tls(s->arena, tls, &route->rule);
	while (wrong == NULL && entry_next(entry, ATTR_PH_ROUTE_OPTIONS, &options, &value))
		wrong = route_rule_option(s->arena, value, &route->rule);
	return wrong ? doubt(s, wrong) : conclude(s);
}

// ROUTE_NONE: no row has the key, go on; *found_out: a row had it.
static enum route_answer try_key(struct search *s, struct str key, bool *found_out)
{
	struct rules_row row;
	switch (rules_find(s->query->rules, RULES_ROUTES, s->query->directory, key, ATTR_PH_ROUTE_TARGET, s->arena, &row)) {
	case RULES_NONE:
		return ROUTE_NONE;
	case RULES_UNAVAILABLE:
		if (!rules_is_damaged(s->query->rules, RULES_ROUTES))
			return doubt(s, "the directory cannot say now");
		s->route->entry = rules_name(s->query->rules, RULES_ROUTES);
		return doubt(s, "the file cannot be read, or a row of it is wrong");
	case RULES_TWICE:
		s->route->entry = row.entry;
		*found_out = true;
		return doubt(s, "two entries have its key");
	case RULES_FOUND:
		break;
	}
	*found_out = true;
	s->route->key = arena_dup(s->arena, key);
	s->route->entry = row.entry;
	s->route->attribute = row.attribute;
	s->route->value = row.value;
	return row.of_directory ? read_entry(s, row.of_directory) : read_row(s);
}

static enum route_answer try_address(struct search *s, bool *found_out)
{
	struct addr base;
	struct str detail;
	enum route_answer answer = try_key(s, s->query->addr->key, found_out);
	if (*found_out || answer != ROUTE_NONE || !addr_detail(s->arena, s->query->addr, s->query->delimiters, &base, &detail))
		return answer;
	return try_key(s, base.key, found_out);
}

static enum route_answer try_parents(struct search *s, struct str domain, bool *found_out)
{
	enum route_answer answer = ROUTE_NONE;
	ptrdiff_t dot;
	while (!*found_out && answer == ROUTE_NONE && (dot = str_index(domain, '.')) >= 0) {
		answer = try_key(s, str_from(domain, (size_t)dot), found_out);
		domain = str_from(domain, (size_t)dot + 1);
	}
	return answer;
}

static enum route_answer try_domain_entry(struct search *s, bool *found_out)
{
	const struct entry *domain = s->query->domain;
	if (domain == NULL || !entry_has(domain, ATTR_PH_RELAY_TRANSPORT))
		return ROUTE_NONE;
	*found_out = true;
	s->route->entry = domain->dn;
	s->route->attribute = attr_name(ATTR_PH_RELAY_TRANSPORT);
	s->route->value = entry_first(domain, ATTR_PH_RELAY_TRANSPORT);
	const char *wrong = route_rule_target(s->arena, s->route->value, &s->route->rule);
	return wrong ? doubt(s, wrong) : conclude(s);
}

static enum route_answer try_table(struct search *s, bool has_rows, bool *found_out)
{
	const struct domain *domain = &s->query->addr->domain;
	bool literal = domain_is_literal(domain);
	enum route_answer answer = ROUTE_NONE;
	if (has_rows)
		answer = try_address(s, found_out);
	if (has_rows && answer == ROUTE_NONE && !*found_out)
		answer = try_key(s, domain->key, found_out);
	if (has_rows && answer == ROUTE_NONE && !*found_out && !literal)
		answer = try_parents(s, domain->key, found_out);
	if (answer == ROUTE_NONE && !*found_out)
		answer = try_domain_entry(s, found_out);
	if (has_rows && answer == ROUTE_NONE && !*found_out && !literal)
		answer = try_key(s, STR("."), found_out);
	return answer;
}

static enum route_answer try_sender(struct search *s)
{
	const struct addr *sender = s->query->sender;
	bool found = false;
	if (sender == NULL || addr_is_null(sender) || sender->domain.kind == DOMAIN_NONE)
		return ROUTE_NONE;
	s->route->by_sender = true;
	enum route_answer answer = try_key(s, arena_printf(s->arena, "from:%.*s", STR_FMT(sender->key)), &found);
	if (answer == ROUTE_NONE && !found)
		answer = try_key(s, arena_printf(s->arena, "from:@%.*s", STR_FMT(sender->domain.key)), &found);
	return answer;
}

// Does the table have a row whose key begins so?
static bool has_rows(struct search *s, struct str prefix)
{
	return rules_have(s->query->rules, RULES_ROUTES, s->query->directory, prefix, s->arena);
}

enum route_answer route_find(const struct route_query *query, struct arena *arena, struct route *route_out)
{
	struct search s = {.query = query, .arena = arena, .route = route_out};
	bool found = false;
	*route_out = (struct route){.rule = ROUTE_RULE_NONE, .attribute = ""};
	enum route_answer answer = try_table(&s, has_rows(&s, STR_NONE), &found);
	if (answer != ROUTE_NONE || !has_rows(&s, STR("from:"))) // ":" ends the search in the table only, as in transport(5)
		return answer;
	return try_sender(&s);
}
