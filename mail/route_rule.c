// SPDX-License-Identifier: Apache-2.0
// Rows of route tables: keys, targets, options, and the text that a record keeps of them.
#include "mail/route_rule.h"

#include "base/buf.h"
#include "base/must.h"
#include "base/netaddr.h"
#include "mail/pin.h"
#include "mail/rule_reply.h"

enum { ERROR_CODE = 550, RETRY_CODE = 450 };

#define SPACES STR(" \t")
#define LIST STR(", \t") // what stands between several of a kind

// --- Keys ---

static const char *key_of_address(struct arena *arena, struct str text, const char *prefix, struct str *key_out)
{
	struct addr addr;
	enum addr_result result = addr_parse(arena, text, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr);
	if (result != ADDR_OK)
		return addr_result_text(result);
	*key_out = arena_printf(arena, "%s%.*s", prefix, STR_FMT(addr.key));
	return NULL;
}

static const char *key_of_domain(struct arena *arena, struct str text, const char *prefix, struct str *key_out)
{
	struct domain domain;
	if (domain_parse(arena, text, DOMAIN_UTF8, &domain) != DOMAIN_OK || domain.kind != DOMAIN_NAME)
		return "is neither an address nor a domain";
	*key_out = arena_printf(arena, "%s%.*s", prefix, STR_FMT(domain.key));
	return NULL;
}

static const char *key_of_literal(struct arena *arena, struct str text, struct str *key_out)
{
	struct domain domain;
	if (str_index(text, ':') >= 0 && !str_starts_nocase(text, STR("[IPv6:"))) // as sendmail writes them
		text = arena_printf(arena, "[IPv6:%.*s", STR_FMT(str_from(text, 1)));
	if (domain_parse(arena, text, 0, &domain) != DOMAIN_OK || !domain_is_literal(&domain))
		return "has no IP address in its brackets";
	*key_out = domain.key;
	return NULL;
}

static const char *key_of_sender(struct arena *arena, struct str text, struct str *key_out)
{
	if (str_index(text, '@') > 0)
		return key_of_address(arena, text, "from:", key_out);
	return key_of_domain(arena, str_from(text, str_starts(text, STR("@")) ? 1 : 0), "from:@", key_out);
}

const char *route_rule_key(struct arena *arena, struct str text, struct str *key_out)
{
	text = str_trim(text);
	if (str_eq(text, STR(".")) || str_eq(text, STR("*"))) {
		*key_out = STR(".");
		return NULL;
	}
	if (str_starts_nocase(text, STR("from:")))
		return key_of_sender(arena, str_trim(str_from(text, sizeof "from:" - 1)), key_out);
	if (str_starts(text, STR("[")))
		return key_of_literal(arena, text, key_out);
	if (str_starts(text, STR(".")))
		return key_of_domain(arena, str_from(text, 1), ".", key_out);
	if (str_index(text, '@') > 0)
		return key_of_address(arena, text, "", key_out);
	return key_of_domain(arena, str_from(text, str_starts(text, STR("@")) ? 1 : 0), "", key_out);
}

// --- Next hops ---

static const char *set_host(struct arena *arena, struct str text, bool brackets, struct route_rule_hop *hop)
{
	struct netaddr ip;
	struct domain domain;
	char c[NETADDR_TEXT_BYTES];
	struct str bare = brackets && str_starts_nocase(text, STR("IPv6:")) ? str_from(text, sizeof "IPv6:" - 1) : text;
	struct str literal = str_index(bare, ':') >= 0 ? arena_printf(arena, "[%.*s]", STR_FMT(bare)) : bare;
	if (netaddr_parse(literal, 0, &ip) && ip.port == 0 && ip.scope == 0) {
		hop->host = arena_dup(arena, str_of_c(netaddr_text(&ip, c)));
		return NULL;
	}
	if (domain_parse(arena, text, DOMAIN_UTF8, &domain) != DOMAIN_OK || domain.kind != DOMAIN_NAME)
		return "has a next hop that is neither a host name nor an IP address";
	hop->host = arena_dup(arena, domain.key);
	hop->mx = !brackets;
	return NULL;
}

// Takes what stands before a colon off *rest: a host, with or without brackets.
static const char *take_host(struct arena *arena, struct str *rest, struct route_rule_hop *hop)
{
	struct str host = *rest, after = STR_NONE;
	if (str_starts(*rest, STR("["))) {
		if (!str_cut(str_from(*rest, 1), ']', &host, &after) || (after.n && after.p[0] != ':'))
			return "has a next hop whose brackets do not match";
		*rest = str_from(after, 1);
		return set_host(arena, host, true, hop);
	}
	str_cut(*rest, ':', &host, &after);
	*rest = after;
	if (host.n == 0) { // ":26", or nothing at all: the recipient's domain
		hop->mx = true;
		return NULL;
	}
	return set_host(arena, host, false, hop);
}

static const char *take_port(struct str *rest, struct route_rule_hop *hop)
{
	struct str word = *rest, after = STR_NONE;
	uint64_t port;
	str_cut(*rest, ':', &word, &after);
	hop->port = ROUTE_RULE_PORT;
	if (word.n == 0 || !chr_is_digit(word.p[0]) || str_index(word, '.') >= 0)
		return NULL; // another host
	if (!str_to_u64(word, UINT16_MAX, &port) || port == 0)
		return "has a next hop with a port that is none";
	hop->port = (uint16_t)port;
	*rest = after;
	return NULL;
}

// "[h]:25", or sendmail's "h1:h2:h3".
static const char *add_hops(struct arena *arena, struct str word, struct route_rule *rule)
{
	do {
		struct route_rule_hop hop = {.host = STR_NONE};
		const char *wrong = take_host(arena, &word, &hop);
		if (wrong == NULL)
			wrong = take_port(&word, &hop);
		if (wrong)
			return wrong;
		if (rule->hops_n == ROUTE_RULE_HOPS_MAX)
			return "has more than 8 next hops";
		rule->hops[rule->hops_n++] = hop;
	} while (word.n);
	return NULL;
}

static bool next_word(struct str *rest, struct str separators, struct str *word_out)
{
	while (rest->n && str_index(separators, rest->p[0]) >= 0)
		*rest = str_from(*rest, 1);
	size_t n = 0;
	while (n < rest->n && str_index(separators, rest->p[n]) < 0)
		n++;
	*word_out = str_upto(*rest, n);
	*rest = str_from(*rest, n);
	return n > 0;
}

// --- Targets ---

static const char *make_relay(struct arena *arena, struct str rest, struct route_rule *rule)
{
	struct str word;
	if (str_trim(rest).n == 0)
		return add_hops(arena, STR_NONE, rule);
	while (next_word(&rest, LIST, &word)) {
		const char *wrong = add_hops(arena, word, rule);
		if (wrong)
			return wrong;
	}
	return rule->hops_n ? NULL : "has no next hop";
}

static const char *make_same(struct arena *arena, struct str rest, struct route_rule *rule)
{
	if (str_trim(rest).n == 0)
		return NULL;
	rule->kind = ROUTE_RULE_RELAY; // ":[h]", Postfix: the usual transport, to that next hop
	return make_relay(arena, rest, rule);
}

static const char *make_local(struct arena *arena, struct str rest, struct route_rule *rule)
{
	struct addr addr;
	struct str user = str_trim(rest);
	struct str whole = str_index(user, '@') < 0 ? arena_printf(arena, "%.*s@local.example", STR_FMT(user)) : user;
	if (user.n && addr_parse(arena, whole, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr) != ADDR_OK)
		return "names a local user that is none";
	rule->user = user.n ? arena_dup(arena, user) : STR_NONE;
	return NULL;
}

static const char *make_discard(struct arena *arena, struct str rest, struct route_rule *rule)
{
	(void)arena; // what follows is a note of the administrator's
	(void)rest;
	(void)rule;
	return NULL;
}

// sendmail's words for exit codes.
static const struct {
	const char *word;
	int code;
	const char *enhanced, *text;
} words[] = {
	{"nouser", 550, "5.1.1", "no such user"}, {"nohost", 550, "5.1.2", "no such host"},
	{"unavailable", 550, "5.7.1", "not available"}, {"tempfail", 450, "4.4.0", "try again later"},
	{"usage", 501, "5.5.4", "command syntax"}, {"config", 550, "5.3.5", "configuration error"},
	{"protocol", 550, "5.5.0", "protocol error"},
};

static const char *make_reply(struct arena *arena, struct str rest, int code, struct route_rule *rule)
{
	struct str word = str_trim(rest), text = STR_NONE;
	rest = word;
	str_cut(rest, ' ', &word, &text);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (!str_eq_nocase(word, str_of_c(words[i].word)))
			continue;
		const char *wrong =
			rule_reply_parse(arena, str_trim(text).n ? text : str_of_c(words[i].text), words[i].code, &rule->reply);
		if (wrong == NULL) {
			rule->reply.code = words[i].code;
			rule->reply.enhanced = str_of_c(words[i].enhanced);
		}
		return wrong;
	}
	return rule_reply_parse(arena, rest, code, &rule->reply);
}

static const char *make_error(struct arena *arena, struct str rest, struct route_rule *rule)
{
	return make_reply(arena, rest, ERROR_CODE, rule);
}

static const char *make_retry(struct arena *arena, struct str rest, struct route_rule *rule)
{
	const char *wrong = make_reply(arena, rest, RETRY_CODE, rule);
	return wrong == NULL && rule->reply.code >= 500 ? "has a 5xx where it says that one may try again" : wrong;
}

static const struct {
	const char *name;
	enum route_rule_kind kind;
	const char *(*make)(struct arena *arena, struct str rest, struct route_rule *rule);
} mailers[] = {
	{"esmtp", ROUTE_RULE_RELAY, make_relay}, {"smtp", ROUTE_RULE_RELAY, make_relay}, {"relay", ROUTE_RULE_RELAY, make_relay},
	{"smtp8", ROUTE_RULE_RELAY, make_relay}, {"dsmtp", ROUTE_RULE_RELAY, make_relay}, {"local", ROUTE_RULE_LOCAL, make_local},
	{"discard", ROUTE_RULE_DISCARD, make_discard}, {"error", ROUTE_RULE_ERROR, make_error},
	{"retry", ROUTE_RULE_ERROR, make_retry},
	{"", ROUTE_RULE_SAME, make_same},
};

const char *route_rule_target(struct arena *arena, struct str text, struct route_rule *rule)
{
	struct str mailer, rest;
	text = str_trim(text);
	bool first = rule->kind == ROUTE_RULE_SAME && rule->hops_n == 0;
	if (!str_cut(text, ':', &mailer, &rest) || str_index(mailer, '[') >= 0)
		return "does not begin with esmtp:, local:, discard: or error:";
	for (size_t i = 0; i < sizeof mailers / sizeof *mailers; i++) {
		if (!str_eq_nocase(mailer, str_of_c(mailers[i].name)))
			continue;
		if (!first && (rule->kind != ROUTE_RULE_RELAY || mailers[i].kind != ROUTE_RULE_RELAY))
			return "is one of several targets that are not all next hops";
		rule->kind = mailers[i].kind;
		return mailers[i].make(arena, rest, rule);
	}
	return "begins with a mailer that is not known here: esmtp:, local:, discard: and error: are";
}

// --- TLS and options ---

static const char *add_pins(struct arena *arena, struct str list, struct route_rule *rule)
{
	struct str pin;
	rule->tls = ROUTE_RULE_TLS_PINNED;
	while (next_word(&list, LIST, &pin)) {
		if (!pin_is_one(pin))
			return "has a fingerprint that is not sha256: and 64 hexadecimal digits";
		if (rule->pins_n == ROUTE_RULE_PINS_MAX)
			return "has more than 8 fingerprints";
		rule->pins[rule->pins_n++] = arena_dup(arena, pin);
	}
	return rule->pins_n ? NULL : "has no fingerprint";
}

static const char *const tls_words[] = {
	[ROUTE_RULE_TLS_MAY] = "may",
	[ROUTE_RULE_TLS_NONE] = "none",
	[ROUTE_RULE_TLS_ENCRYPT] = "encrypt",
	[ROUTE_RULE_TLS_VERIFY] = "verify",
};

const char *route_rule_tls(struct arena *arena, struct str text, struct route_rule *rule)
{
	if (str_starts_nocase(text, STR("fingerprint=")))
		return add_pins(arena, str_from(text, sizeof "fingerprint=" - 1), rule);
	for (size_t i = 0; i < sizeof tls_words / sizeof *tls_words; i++)
		if (str_eq_nocase(text, str_of_c(tls_words[i]))) {
			rule->tls = (enum route_rule_tls)i;
			return NULL;
		}
	if (str_eq_nocase(text, STR("dane")))
		return "asks for DANE, which needs DNSSEC look-ups that are not built yet; until then verify, encrypt or "
		       "fingerprint=";
	return "is none of none, may, encrypt, verify, fingerprint=";
}

const char *route_rule_option(struct arena *arena, struct str text, struct route_rule *rule)
{
	struct str name, value;
	struct domain domain;
	if (!str_cut(str_trim(text), '=', &name, &value))
		return "is not name=value";
	if (str_eq_nocase(name, STR("tls")))
		return route_rule_tls(arena, value, rule);
	if (!str_eq_nocase(name, STR("tls_name")))
		return "is an option that is not known here: tls_name is";
	if (domain_parse(arena, value, DOMAIN_UTF8, &domain) != DOMAIN_OK || domain.kind != DOMAIN_NAME)
		return "has a tls_name that is no host name";
	rule->tls_name = arena_dup(arena, domain.key);
	return NULL;
}

// Where the options begin: the first word with "=" in it.
static size_t targets_end(struct str text)
{
	struct str rest = text, word;
	while (next_word(&rest, SPACES, &word))
		if (str_index(word, '=') >= 0)
			return (size_t)(word.p - text.p);
	return text.n;
}

const char *route_rule_value(struct arena *arena, struct str text, struct route_rule *rule)
{
	bool has_words = str_starts_nocase(text, STR("error:")) || str_starts_nocase(text, STR("retry:")) ||
			 str_starts_nocase(text, STR("discard:"));
	size_t end = has_words ? text.n : targets_end(text);
	struct str options = str_from(text, end), option;
	const char *wrong = route_rule_target(arena, str_upto(text, end), rule);
	while (wrong == NULL && options.n && next_word(&options, SPACES, &option))
		wrong = route_rule_option(arena, option, rule);
	return wrong;
}

// --- Destinations ---

void route_rule_complete(struct arena *arena, const struct domain *domain, struct route_rule *rule)
{
	for (size_t i = 0; i < rule->hops_n; i++) {
		struct route_rule_hop *hop = &rule->hops[i];
		if (hop->host.n)
			continue;
		struct str ip = str_upto(str_from(domain->key, 1), domain->key.n - 2); // without its brackets
		hop->mx = !domain_is_literal(domain);
		if (domain->kind == DOMAIN_IPV6)
			ip = str_from(ip, sizeof "ipv6:" - 1);
		hop->host = arena_dup(arena, hop->mx ? domain->key : ip);
	}
}

bool route_rule_needs_mx(const struct route_rule *rule)
{
	for (size_t i = 0; i < rule->hops_n; i++)
		if (rule->hops[i].mx)
			return true;
	return false;
}

static void add_tls(const struct route_rule *rule, struct buf *out)
{
	if (rule->tls == ROUTE_RULE_TLS_PINNED) {
		buf_add_c(out, ";tls=fingerprint=");
		for (size_t i = 0; i < rule->pins_n; i++)
			buf_printf(out, "%s%.*s", i ? "," : "", STR_FMT(rule->pins[i]));
	} else if (rule->tls != ROUTE_RULE_TLS_MAY) {
		buf_printf(out, ";tls=%s", tls_words[rule->tls]);
	}
	if (rule->tls_name.n)
		buf_printf(out, ";tls_name=%.*s", STR_FMT(rule->tls_name));
}

struct str route_rule_text(struct arena *arena, const struct route_rule *rule)
{
	struct buf text;
	if (rule->kind == ROUTE_RULE_DISCARD)
		return STR("discard:");
	must(rule->kind == ROUTE_RULE_RELAY);
	buf_init(&text, ROUTE_RULE_TEXT_BYTES_MAX);
	buf_add_c(&text, "esmtp:");
	for (size_t i = 0; i < rule->hops_n; i++)
		buf_printf(&text, rule->hops[i].mx ? "%s%.*s:%u" : "%s[%.*s]:%u", i ? "," : "", STR_FMT(rule->hops[i].host),
			rule->hops[i].port);
	add_tls(rule, &text);
	struct str copy = text.overflow ? STR_NONE : arena_dup(arena, buf_str(&text));
	buf_fini(&text);
	return copy;
}

bool route_rule_is_text(struct str destination)
{
	return str_starts(destination, STR("esmtp:")) || str_starts(destination, STR("discard:"));
}

bool route_rule_of_text(struct arena *arena, struct str text, struct route_rule *rule_out)
{
	struct route_rule rule = ROUTE_RULE_NONE;
	struct str target = text, options = STR_NONE, option;
	if (!route_rule_is_text(text))
		return false;
	str_cut(text, ';', &target, &options);
	bool ok = route_rule_target(arena, target, &rule) == NULL;
	while (ok && options.n) {
		struct str rest = STR_NONE;
		option = options;
		str_cut(options, ';', &option, &rest);
		options = rest;
		ok = route_rule_option(arena, option, &rule) == NULL;
	}
	if (ok)
		*rule_out = rule;
	return ok;
}
