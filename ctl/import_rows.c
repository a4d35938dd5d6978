// SPDX-License-Identifier: Apache-2.0
// A row of each kind of table, as the entry that says the same.
#include <stdio.h>

#include "import_private.h"
#include "mail/access_rule.h"
#include "mail/route_rule.h"

static void wrong_key(struct import *im, const char *wrong, const char *instead)
{
	import_leave_out(im, arena_printf(im->scratch, "%s; %s", wrong, instead).p);
}

// --- Routes: mailertable, transport ---

// Postfix names ports too.
static const struct {
	const char *name, *port;
} services[] = {{"smtp", "25"}, {"submission", "587"}, {"submissions", "465"}, {"smtps", "465"}};

static struct str with_port_number(struct arena *arena, struct str hop)
{
	ptrdiff_t colon = str_rindex(hop, ':');
	if (colon < 0)
		return hop;
	for (size_t i = 0; i < sizeof services / sizeof *services; i++)
		if (str_eq_nocase(str_from(hop, (size_t)colon + 1), str_of_c(services[i].name)))
			return arena_printf(arena, "%.*s%s", (int)colon + 1, hop.p, services[i].port);
	return hop;
}

// transport(5) as route_rule.h has it.
static struct str transport_target(struct arena *arena, struct str value)
{
	struct str name, rest, joined = STR_NONE;
	if (!str_cut(value, ':', &name, &rest) || str_eq_nocase(name, STR("error")) || str_eq_nocase(name, STR("retry")) ||
		str_eq_nocase(name, STR("discard")))
		return value;
	if (str_eq_nocase(name, STR("local")) || str_eq_nocase(name, STR("virtual"))) // what follows is this host's name
		return STR("local:");
	rest = str_trim(rest);
	while (rest.n) {
		size_t n = 0;
		while (n < rest.n && str_index(STR(", \t"), rest.p[n]) < 0)
			n++;
		struct str hop = with_port_number(arena, str_upto(rest, n));
		if (n)
			joined = arena_printf(arena, "%.*s%s%.*s", STR_FMT(joined), joined.n ? "," : "", STR_FMT(hop));
		rest = str_from(rest, n + 1);
	}
	return arena_printf(arena, "%.*s:%.*s", STR_FMT(name), STR_FMT(joined));
}

// What to do instead of a target that is wrong, or of a mailer that is none here.
static const char *instead_of(struct str value)
{
	struct str name = value, rest;
	if (!str_cut(value, ':', &name, &rest) || str_eq_nocase(name, STR("esmtp")) || str_eq_nocase(name, STR("smtp")) ||
		str_eq_nocase(name, STR("relay")))
		return "write esmtp:[host]:port";
	if (str_eq_nocase(name, STR("lmtp")) || str_starts_nocase(name, STR("cyrus")) || str_starts_nocase(name, STR("dovecot")))
		return "give the entries the mailHost of that server, and it a phMailHost with phHostEndpoint: "
		       "lmtp=inet:host:port";
	return "send it to a server that can do this: esmtp:[host]:port";
}

void import_route(struct import *im, struct str key, struct str value)
{
	enum { TARGET_BYTES_MAX = 2048 };
	struct route_rule rule = ROUTE_RULE_NONE;
	struct str route;
	const char *wrong =
		value.n > TARGET_BYTES_MAX ? "has a target that is too long" : route_rule_key(im->scratch, key, &route);
	if (wrong == NULL && (str_starts(route, STR("from:")) || (im->kind == IMPORT_MAILERTABLE && str_index(route, '@') >= 0)))
		wrong = "is no key of such a table";
	if (wrong) {
		wrong_key(im, wrong, "write a domain, .domain, [address] or . (transport: also user@domain)");
		return;
	}
	value = im->kind == IMPORT_TRANSPORT ? transport_target(im->scratch, value) : value;
	wrong = route_rule_target(im->scratch, value, &rule);
	if (wrong) {
		wrong_key(im, wrong, instead_of(value));
		return;
	}
	if (route_rule_needs_mx(&rule))
		import_note(im, "is written, but waits: MX records are not looked up yet; write its next hop as [name]");
	struct import_entry *entry = import_add(im, IMPORT_TYPE_ROUTE, route, route);
	entry->dropped = !import_add_value(im, entry, "phRouteKey", route, STR_NONE) ||
			 !import_add_value(im, entry, "phRouteTarget", value, STR_NONE);
}

// --- Access ---

// Actions of Postfix that sendmail does not have, and ours for them; what ends in a space or colon is followed by their text.
// DEFER_IF_PERMIT refuses for now what a later rule might refuse for good. WARN and INFO log and go on.
static const struct {
	const char *word, *alone, *with_text;
} actions[] = {
	{"DUNNO", "SKIP", NULL}, {"PERMIT", "OK", NULL}, {"OK", "OK", NULL}, {"DISCARD", "DISCARD", "DISCARD"},
	{"HOLD", "QUARANTINE:", "QUARANTINE:"},
	{"REJECT", "REJECT", "ERROR:554 "}, {"DEFER", "ERROR:4.7.1:450 try again later", "ERROR:450 "},
	{"DEFER_IF_PERMIT", "ERROR:4.7.1:450 try again later", "ERROR:450 "}, {"WARN", "SKIP", "SKIP"}, {"INFO", "SKIP", "SKIP"},
};

// Those that have no counterpart, and what to do instead.
static const struct {
	const char *word, *instead;
} others[] = {
	{"FILTER", "write a route for the domain: phMailRoute"},
	{"REDIRECT", "write an alias, or a route, for whom it is sent to"},
	{"BCC", "write an alias with both addresses"},
	{"PREPEND", "nothing is put into headers; leave it out"},
	{"DEFER_IF_REJECT", "leave it out: what is refused is refused for good"},
};

static const char *instead_of_action(struct str value)
{
	struct str word = value, text;
	str_cut(value, ' ', &word, &text);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (str_eq_nocase(word, str_of_c(others[i].word)))
			return others[i].instead;
	for (size_t i = 0; i < word.n; i++)
		if (word.p[i] == '_')
			return "it names a restriction of Postfix's main.cf; write one of these actions";
	return "write one of these actions";
}

// All digits and no reply code: Postfix's OK, a time stamp of POP before SMTP.
static bool is_time_stamp(struct str value)
{
	uint64_t number;
	return str_to_u64(value, UINT64_MAX, &number) && (value.n != 3 || (value.p[0] != '4' && value.p[0] != '5'));
}

static struct str access_action(struct arena *arena, struct str value, bool postfix)
{
	struct access_rule rule;
	struct str word = value, text = STR_NONE;
	if (postfix && is_time_stamp(value))
		return STR("OK");
	if (access_rule_action(arena, value, &rule) == NULL)
		return value;
	str_cut(value, ' ', &word, &text);
	text = str_trim(text);
	for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
		if (!str_eq_nocase(word, str_of_c(actions[i].word)))
			continue;
		if (text.n == 0)
			return str_of_c(actions[i].alone);
		const struct str ours = actions[i].with_text ? str_of_c(actions[i].with_text) : STR_NONE;
		if (ours.n)
			return str_ends(ours, STR(" ")) || str_ends(ours, STR(":"))
				       ? arena_printf(arena, "%.*s%.*s", STR_FMT(ours), STR_FMT(text))
				       : ours;
	}
	return value;
}

static bool has_tag(struct str key)
{
	return str_starts_nocase(key, STR("Connect:")) || str_starts_nocase(key, STR("From:")) ||
	       str_starts_nocase(key, STR("To:"));
}

static bool is_skipped(struct str skip, struct str tag)
{
	struct str one;
	while (skip.n) {
		if (!str_cut(skip, ',', &one, &skip)) {
			one = skip;
			skip = STR_NONE;
		}
		one = str_trim(one);
		if (str_eq_nocase(str_ends(one, STR(":")) ? str_upto(one, one.n - 1) : one, tag))
			return true;
	}
	return false;
}

// A row with a tag of sendmail's that we do not have. False: it has one of ours, or none.
static bool take_other_tag(struct import *im, struct str key)
{
	struct str tag;
	const char *instead;
	switch (access_rule_tag(key, &tag, &instead)) {
	case ACCESS_RULE_TAG_OURS:
		return false;
	case ACCESS_RULE_TAG_IDLE:
		import_skip(im, tag, instead);
		return true;
	case ACCESS_RULE_TAG_OTHER:
		break;
	}
	if (is_skipped(im->options->skip, tag))
		import_skip(im, tag, "as --skip says");
	else
		import_leave_out(im, arena_printf(im->scratch, "has a tag that is not known here; %s", instead).p);
	return true;
}

void import_access(struct import *im, struct str key, struct str value)
{
	struct access_rule_keys keys;
	struct access_rule rule;
	if (take_other_tag(im, key))
		return;
	if (im->options->tag.n && !has_tag(key))
		key = arena_printf(im->scratch, "%.*s%.*s", STR_FMT(im->options->tag), STR_FMT(key));
	const char *wrong = access_rule_keys(im->scratch, key, &keys);
	if (wrong) {
		wrong_key(im, wrong, str_starts_nocase(key, STR("Connect:"))
			? "write the networks of its clients; localhost is 127.0.0.1 and IPv6:::1"
			: "write a network, an address, a domain or user@ behind Connect:, From: or To:");
		return;
	}
	value = access_action(im->scratch, value, im->options->tag.n > 0);
	wrong = access_rule_action(im->scratch, value, &rule);
	if (wrong) {
		wrong_key(im, wrong, instead_of_action(value));
		return;
	}
	wrong = access_rule_check(&keys, &rule);
	if (wrong) {
		wrong_key(im, wrong, "name the networks or domains that you mean");
		return;
	}
	struct import_entry *entry = import_add(im, IMPORT_TYPE_ACCESS, key, keys.v[0]);
	for (size_t i = 1; i < keys.n; i++)
		entry->keys[entry->keys_n++] = arena_dup(im->arena, keys.v[i]);
	entry->dropped = !import_add_value(im, entry, "phAccessKey", key, STR_NONE) ||
			 !import_add_value(im, entry, "phAccessAction", value, STR_NONE);
}

void import_refusal(struct import *im, struct str pattern, struct str action)
{
	struct str key = arena_printf(im->scratch, "To:%.*s", STR_FMT(pattern));
	struct import_entry *entry = import_add(im, IMPORT_TYPE_ACCESS, key, pattern);
	entry->dropped = !import_add_value(im, entry, "phAccessKey", key, STR_NONE) ||
			 !import_add_value(im, entry, "phAccessAction", action, STR_NONE);
}

// --- Aliases in domains: virtusertable, virtual ---

// An entry of the domain; own: this row is all that is said of "@domain".
static struct import_entry *add_domain(struct import *im, struct str domain, bool own)
{
	struct import_entry *entry =
		import_add(im, IMPORT_TYPE_DOMAIN, domain, arena_printf(im->scratch, "domain:%.*s", STR_FMT(domain)));
	if (own)
		entry->keys[entry->keys_n++] = arena_printf(im->arena, "@%.*s", STR_FMT(domain));
	return entry;
}

static void domain_seen(struct import *im, const struct domain *domain)
{
	struct import_entry *last = im->n ? im->entries[im->n - 1] : NULL;
	bool again = last && last->type == IMPORT_TYPE_DOMAIN && str_eq(last->name, domain->key);
	if (im->options->domains && !again && !str_eq_nocase(domain->key, im->options->domain) && !domain_is_literal(domain))
		add_domain(im, domain->key, false);
}

static struct import_entry *add_alias(struct import *im, const struct addr *addr)
{
	struct str ascii;
	bool is_ascii = addr_to_ascii(im->scratch, addr, &ascii);
	struct str text = is_ascii ? ascii : addr->text;
	struct import_entry *entry = import_add(im, IMPORT_TYPE_ALIAS, text, addr->key);
	import_add_value(im, entry, is_ascii ? "mail" : "phIntlAddress", text, STR_NONE);
	return entry;
}

// error: of virtusertable. addr NULL: for what no other row of the domain is for.
static void refuse(struct import *im, const struct addr *addr, const struct domain *domain, struct str value)
{
	struct route_rule rule = ROUTE_RULE_NONE;
	const char *wrong = route_rule_target(im->scratch, value, &rule);
	if (wrong) {
		wrong_key(im, wrong, "write error:D.S.N:code text");
		return;
	}
	if (addr == NULL) { // no To:domain: that would refuse the rows of the domain too
		struct import_entry *entry = add_domain(im, domain->key, true);
		import_add_value(im, entry, "phUnknownUser", rule.reply.code < 500 ? STR("tempfail") : STR("reject"), STR_NONE);
		return;
	}
	import_refusal(im, addr->key,
		arena_printf(im->scratch, "ERROR:%.*s:%d %.*s", STR_FMT(rule.reply.enhanced), rule.reply.code,
			STR_FMT(rule.reply.text)));
}

// %1, %2 and %3 of a row for one address: user, detail, +detail.
static struct str fill_in(struct arena *arena, struct str value, struct str local)
{
	struct str user = local, detail = STR_NONE, plus = STR_NONE;
	struct buf out;
	if (str_index(value, '%') < 0)
		return value;
	if (str_cut(local, '+', &user, &detail))
		plus = str_from(local, user.n);
	buf_init(&out, 64 << 10);
	for (size_t i = 0; i < value.n; i++) {
		bool marked = value.p[i] == '%' && i + 1 < value.n && value.p[i + 1] >= '1' && value.p[i + 1] <= '3';
		if (!marked)
			buf_add_byte(&out, value.p[i]);
		else
			buf_add(&out, value.p[++i] == '1' ? user : value.p[i] == '2' ? detail : plus);
	}
	value = out.overflow ? STR_NONE : arena_dup(arena, buf_str(&out));
	buf_fini(&out);
	return value;
}

// "@domain": one address for all, or a pattern.
static void add_catch_all(struct import *im, const struct domain *domain, struct str value)
{
	bool postfix = im->kind == IMPORT_VIRTUAL && str_starts(value, STR("@"));
	struct addr addr;
	ptrdiff_t user = str_find(value, STR("%1"));
	if (!postfix && (im->kind == IMPORT_VIRTUAL || str_index(value, '%') < 0)) {
		struct str name = arena_printf(im->scratch, "@%.*s", STR_FMT(domain->key));
		struct import_entry *entry = import_add(im, IMPORT_TYPE_ALIAS, name, name);
		import_add_value(im, entry, "mailLocalAddress", name, STR_NONE);
		import_members(im, entry, value);
		return;
	}
	if (postfix)
		value = arena_printf(im->scratch, "%%1%.*s", STR_FMT(value));
	else if (user >= 0 && str_starts(str_from(value, (size_t)user + 2), STR("%3"))) // our %1 is the whole local part
		value = arena_printf(im->scratch, "%.*s%.*s", (int)user + 2, value.p, STR_FMT(str_from(value, (size_t)user + 4)));
	struct str after = str_from(value, (size_t)(user < 0 ? 0 : user) + 2);
	if (!postfix && (user < 0 || str_index(after, '%') >= 0)) {
		import_leave_out(im,
			"has a pattern that a catch-all cannot have; %1@domain is one, or write a row for each address");
		return;
	}
	const char *wrong = import_address(im, value, &addr);
	if (wrong) {
		wrong_key(im, wrong, "write %1@domain");
		return;
	}
	import_add_value(im, add_domain(im, domain->key, true), "phCatchAll", addr.text, STR_NONE);
}

static void add_for_domain(struct import *im, struct str name, struct str value)
{
	struct domain domain;
	if (domain_parse(im->scratch, name, DOMAIN_UTF8, &domain) != DOMAIN_OK || domain.kind != DOMAIN_NAME) {
		import_leave_out(im, "names no domain behind its @; write @uni.example");
		return;
	}
	domain_seen(im, &domain);
	if (im->kind == IMPORT_VIRTUSERTABLE && str_starts_nocase(value, STR("error:")))
		refuse(im, NULL, &domain, value);
	else
		add_catch_all(im, &domain, value);
}

// virtual(5): "example.net anything" says that we are there for the domain. Any word will do: it is no alias where the table has
// addresses of the domain, or where the word is one of those that manuals have.
static bool is_virtual_domain(struct import *im, struct str key, struct str value)
{
	static const char *const words[] = {"anything", "virtual", "domain", "dummy", "whatever"};
	struct domain domain;
	bool found = false;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		found = found || str_eq_nocase(value, str_of_c(words[i]));
	if (str_index(value, ' ') >= 0 || str_index(value, ',') >= 0 || str_index(value, '@') >= 0)
		return false; // members
	if (str_index(key, '.') < 0 || str_index(key, '@') >= 0 ||
		domain_parse(im->scratch, key, DOMAIN_UTF8, &domain) != DOMAIN_OK || domain.kind != DOMAIN_NAME ||
		!(found || import_has_domain(im, domain.key)))
		return false;
	add_domain(im, domain.key, false);
	return true;
}

void import_virtual(struct import *im, struct str key, struct str value)
{
	struct addr addr;
	bool sendmail = im->kind == IMPORT_VIRTUSERTABLE;
	if (sendmail && (str_find(key, STR("+*@")) >= 0 || str_find(key, STR("++@")) >= 0)) {
		import_leave_out(im,
			"is a pattern of details; user@domain is found with any detail, and user+detail@domain comes before it");
		return;
	}
	if (str_starts(key, STR("@"))) {
		add_for_domain(im, str_from(key, 1), value);
		return;
	}
	if (!sendmail && is_virtual_domain(im, key, value))
		return;
	const char *wrong = sendmail && str_index(key, '@') < 0 ? "has no domain" : import_address(im, key, &addr);
	if (wrong) {
		wrong_key(im, wrong, "write user@domain or @domain");
		return;
	}
	domain_seen(im, &addr.domain);
	if (sendmail && str_starts_nocase(value, STR("error:"))) {
		refuse(im, &addr, &addr.domain, value);
		return;
	}
	if (sendmail)
		value = fill_in(im->scratch, value, addr.local);
	else if (str_starts(value, STR("@"))) // the same user in another domain
		value = arena_printf(im->scratch, "%.*s%.*s", STR_FMT(str_upto(addr.text, (size_t)str_rindex(addr.text, '@'))),
			STR_FMT(value));
	import_members(im, add_alias(im, &addr), value);
}

// --- Senders: genericstable ---

void import_generic(struct import *im, struct str key, struct str value)
{
	struct addr inner, outer;
	if (str_starts(key, STR("@")) || str_starts(value, STR("@")) || str_find(value, STR("%1")) >= 0) {
		import_leave_out(im, "rewrites a whole domain, which Posthouse does not; what senders show is the mail attribute "
				     "of their entries");
		return;
	}
	const char *wrong = import_address(im, key, &inner);
	if (wrong == NULL)
		wrong = import_address(im, value, &outer);
	if (wrong) {
		wrong_key(im, wrong, "write user or user@domain, and one address");
		return;
	}
	if (addr_same(&inner, &outer))
		return;
	domain_seen(im, &outer.domain);
	import_members(im, add_alias(im, &outer), inner.text);
}

// --- aliases ---

void import_alias(struct import *im, struct str row)
{
	struct addr addr;
	struct domain ours;
	size_t colon = 0;
	bool quoted = false;
	for (; colon < row.n && (quoted || row.p[colon] != ':'); colon++) {
		if (row.p[colon] == '\\')
			colon += colon + 1 < row.n;
		else if (row.p[colon] == '"')
			quoted = !quoted;
	}
	struct str name = str_trim(str_upto(row, colon)), value = str_trim(str_from(row, colon + 1));
	im->place.key = name;
	if (colon >= row.n || name.n == 0 || value.n == 0) {
		import_leave_out(im, "is no alias; write NAME: MEMBER, MEMBER");
		return;
	}
	const char *wrong = import_address(im, name, &addr);
	if (wrong == NULL && (domain_parse(im->scratch, im->options->domain, DOMAIN_UTF8, &ours) != DOMAIN_OK ||
				     !str_eq(ours.key, addr.domain.key)))
		wrong = "is a name in another domain";
	if (wrong) {
		wrong_key(im, wrong, "write a name; addresses belong into a table to be imported as virtual");
		return;
	}
	import_members(im, add_alias(im, &addr), value);
}
