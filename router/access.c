// SPDX-License-Identifier: Apache-2.0
// Look-ups in the access table, from the most special key to the least.
#include "router/access.h"

#include <stdio.h>

#include "base/must.h"

enum { DOUBT_CODE = 451, NET_KEY_BYTES = sizeof "connect:6/128/" + NETADDR_TEXT_BYTES };

struct search {
	const struct access_table *table;
	struct arena *arena;
	struct access *access;
};

static bool doubt(struct search *s)
{
	s->access->refuses = true;
	s->access->reply = (struct reply){.code = DOUBT_CODE,
		.enhanced = STR("4.3.5"),
		.text = STR("access rules are not set up completely, try again later")};
	return true;
}

// RELAY that would let everybody through counts as OK, whoever wrote it (access_rule_check says so to him).
static bool may_relay(struct str key, const struct access_rule *rule)
{
	struct access_rule_keys keys = {.v = {key}, .n = 1};
	return rule->action == ACCESS_RULE_RELAY && access_rule_check(&keys, rule) == NULL;
}

static void follow(struct search *s, struct str key, const struct access_rule *rule)
{
	struct access *access = s->access;
	switch (rule->action) {
	case ACCESS_RULE_OK:
	case ACCESS_RULE_SKIP:
		return;
	case ACCESS_RULE_RELAY:
		access->relays = may_relay(key, rule);
		return;
	case ACCESS_RULE_SUBJECT:
		access->asks_subject = true;
		return;
	case ACCESS_RULE_REJECT:
	case ACCESS_RULE_ERROR:
		access->refuses = true;
		access->reply = rule->reply;
		return;
	case ACCESS_RULE_DISCARD:
		access->discards = true;
		return;
	case ACCESS_RULE_QUARANTINE:
		access->quarantine = rule->why;
		return;
	}
	unreachable("access rule");
}

// A file that cannot be used may have a row for everybody. Its clients are heard, so that they can be told at MAIL.
static bool is_damaged(struct search *s)
{
	if (!rules_is_damaged(s->table->rules, RULES_ACCESS))
		return false;
	*s->access = (struct access){.found = true, .attribute = "", .entry = rules_name(s->table->rules, RULES_ACCESS),
		.value = STR("the file cannot be read, or a row of it is wrong")};
	return doubt(s);
}

// True: the matter is settled, well or not.
static bool try_key(struct search *s, struct str key)
{
	struct rules_row row;
	struct access_rule rule;
	bool sure = true;
	switch (rules_find(s->table->rules, RULES_ACCESS, s->table->directory, key, ATTR_PH_ACCESS_ACTION, s->arena, &row)) {
	case RULES_NONE:
	case RULES_UNAVAILABLE: // the decision about the recipient needs the directory too, and says so
		return false;
	case RULES_FOUND:
		break;
	case RULES_TWICE:
		sure = false;
		break;
	}
	sure = sure && row.value.p && access_rule_action(s->arena, row.value, &rule) == NULL;
	*s->access = (struct access){.found = true, .entry = row.entry, .attribute = row.attribute, .value = row.value,
		.key = arena_dup(s->arena, key)};
	if (!sure)
		return doubt(s);
	follow(s, key, &rule);
	return true;
}

static bool try_tagged(struct search *s, const char *tag, const char *before, struct str name, const char *behind)
{
	return try_key(s, arena_printf(s->arena, "%s%s%.*s%s", tag, before, STR_FMT(name), behind));
}

static bool has_rows(struct search *s, const char *prefix)
{
	return rules_have(s->table->rules, RULES_ACCESS, s->table->directory, str_of_c(prefix), s->arena);
}

// The same for a key that is asked about at many recipients: what comes behind a key is kept for each version of the shadow.
static bool try_common(struct search *s, const char *tag, const char *before, struct str name)
{
	struct str key = arena_printf(s->arena, "%s%s%.*s", tag, before, STR_FMT(name));
	struct str next = rules_next_key(s->table->rules, RULES_ACCESS, s->table->directory, key, s->arena);
	return str_eq(next, key) && try_key(s, key);
}

// dom, then for each domain above it ".parent", which is for what is below it only, and "parent".
static bool try_domain(struct search *s, const char *tag, struct str domain)
{
	struct str label, rest = domain;
	if (try_common(s, tag, "", domain))
		return true;
	while (str_cut(rest, '.', &label, &rest))
		if (try_common(s, tag, ".", rest) || try_common(s, tag, "", rest))
			return true;
	return false;
}

static struct str local_of(const struct addr *addr)
{
	return str_upto(addr->key, addr->key.n - addr->domain.key.n - 1);
}

static bool try_address(struct search *s, const char *tag, const struct addr *addr)
{
	struct addr base;
	struct str detail;
	bool has_detail = addr_detail(s->arena, addr, s->table->delimiters, &base, &detail);
	if (try_tagged(s, tag, "", addr->key, "") || (has_detail && try_tagged(s, tag, "", base.key, "")))
		return true;
	if (domain_is_literal(&addr->domain) ? try_tagged(s, tag, "", addr->domain.key, "")
					     : try_domain(s, tag, addr->domain.key))
		return true;
	return try_tagged(s, tag, "", local_of(addr), "@") || (has_detail && try_tagged(s, tag, "", local_of(&base), "@"));
}

// The lengths of networks that the table has, longest first: "connect:4/24/…" stands behind "connect:4/".
static size_t list_lengths(struct search *s, char family, bool has_length[129])
{
	char from[32];
	size_t n = 0;
	snprintf(from, sizeof from, "connect:%c/", family);
	for (;;) {
		struct str key = rules_next_key(s->table->rules, RULES_ACCESS, s->table->directory, str_of_c(from), s->arena),
			   length, ip;
		uint64_t bits;
		char prefix[] = {'c', 'o', 'n', 'n', 'e', 'c', 't', ':', family, '/'};
		if (!str_starts(key, str_of(prefix, sizeof prefix)) ||
			!str_cut(str_from(key, sizeof prefix), '/', &length, &ip) || !str_to_u64(length, 128, &bits))
			return n;
		has_length[bits] = true;
		n++;
		snprintf(from, sizeof from, "connect:%c/%u0", family,
			(unsigned)bits); // "0" comes behind "/", and before other digits' "/"
	}
}

void access_client(const struct access_table *table, const struct netaddr *client, struct arena *arena, struct access *access_out)
{
	struct search s = {.table = table, .arena = arena, .access = access_out};
	bool has_length[129] = {false};
	char family = client->family == NETADDR_IPV4 ? '4' : '6', ip[NETADDR_TEXT_BYTES], key[NET_KEY_BYTES];
	*access_out = (struct access){.attribute = ""};
	if (client->family == NETADDR_NONE || rules_is_damaged(table->rules, RULES_ACCESS))
		return;
	directory_begin(table->directory);
	if (has_rows(&s, "connect:") && list_lengths(&s, family, has_length) > 0)
		for (unsigned bits = family == '4' ? 32 : 128;; bits--) {
			struct netaddr net = netaddr_prefix(client, bits, bits);
			net.scope = 0;
			snprintf(key, sizeof key, "connect:%c/%u/%s", family, bits, netaddr_text(&net, ip));
			if ((has_length[bits] && try_key(&s, str_of_c(key))) || bits == 0)
				break;
		}
	directory_end(table->directory);
}

// True: it may relay, or cannot be known now.
static bool is_let(struct search *s, const char *tag, struct str name)
{
	if (name.n == 0 || !try_tagged(s, tag, "", name, ""))
		return false;
	bool doubtful = s->access->refuses && s->access->reply.code == DOUBT_CODE;
	s->access->refuses = doubtful; // REJECT says nothing of certificates
	s->access->discards = false;
	s->access->quarantine = STR_NONE;
	return doubtful || s->access->relays;
}

void access_certificate(const struct access_table *table, const struct access_certificate *certificate, struct arena *arena,
	struct access *access_out)
{
	struct search s = {.table = table, .arena = arena, .access = access_out};
	*access_out = (struct access){.attribute = ""};
	directory_begin(table->directory);
	bool let = false;
	if (has_rows(&s, "certissuer:"))
		let = is_let(&s, "certissuer:", access_rule_certificate(arena, certificate->issuer)) ||
		      (access_out->asks_subject &&
			      is_let(&s, "certsubject:", access_rule_certificate(arena, certificate->subject)));
	bool by_name = !let && has_rows(&s, "certname:");
	for (size_t i = 0; by_name && !let && i < certificate->names_n; i++) {
		struct domain domain;
		let = domain_parse(arena, certificate->names[i], DOMAIN_UTF8, &domain) == DOMAIN_OK &&
		      is_let(&s, "certname:", domain.key);
	}
	if (!let)
		*access_out = (struct access){.attribute = ""};
	directory_end(table->directory);
}

void access_sender(const struct access_table *table, const struct addr *sender, struct arena *arena, struct access *access_out)
{
	struct search s = {.table = table, .arena = arena, .access = access_out};
	*access_out = (struct access){.attribute = ""};
	if (is_damaged(&s))
		return;
	directory_begin(table->directory);
	if (has_rows(&s, "from:")) {
		if (addr_is_null(sender))
			try_key(&s, STR("from:<>"));
		else
			try_address(&s, "from:", sender);
	}
	access_out->relays = false; // a sender is whoever he says he is
	directory_end(table->directory);
}

void access_recipient(const struct access_table *table, const struct addr *recipient, struct arena *arena,
	struct access *access_out)
{
	struct search s = {.table = table, .arena = arena, .access = access_out};
	*access_out = (struct access){.attribute = ""};
	if (is_damaged(&s) || recipient->domain.kind == DOMAIN_NONE)
		return;
	directory_begin(table->directory);
	bool found = has_rows(&s, "to:") && try_address(&s, "to:", recipient);
	// A domain without a tag says of recipients only that mail may be relayed to it.
	if (!found && has_rows(&s, "relay:") && recipient->domain.kind == DOMAIN_NAME &&
		try_domain(&s, "relay:", recipient->domain.key) && !access_out->relays)
		*access_out = (struct access){.attribute = ""};
	directory_end(table->directory);
}
