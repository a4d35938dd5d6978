// SPDX-License-Identifier: Apache-2.0
// Rows of access tables: keys, actions, and what is never let through.
#include "mail/access_rule.h"

#include "base/netaddr.h"
#include "mail/addr.h"
#include "mail/rule_reply.h"

enum { NAME_BYTES_MAX = 4096, REJECT_CODE = 550, WHY_BYTES_MAX = 500, IPV4_PARTS = 4, IPV6_PARTS = 8 };

// --- Networks ---

static bool is_ipv4_prefix(struct str text, size_t *parts_out)
{
	size_t parts = 0;
	struct str part, rest = text;
	bool more = true;
	while (more) {
		uint64_t value;
		more = str_cut(rest, '.', &part, &rest);
		part = more ? part : rest;
		if (!str_to_u64(part, 255, &value) || part.n > 3 || ++parts > IPV4_PARTS)
			return false;
	}
	*parts_out = parts;
	return true;
}

static bool is_ipv6_prefix(struct str text, size_t *parts_out)
{
	size_t parts = 0;
	struct str part, rest = text;
	bool more = true;
	while (more) {
		more = str_cut(rest, ':', &part, &rest);
		part = more ? part : rest;
		if (part.n == 0 || part.n > 4 || ++parts > IPV6_PARTS)
			return false;
		for (size_t i = 0; i < part.n; i++)
			if (!chr_is_digit(part.p[i]) && !(chr_lower(part.p[i]) >= 'a' && chr_lower(part.p[i]) <= 'f'))
				return false;
	}
	*parts_out = parts;
	return parts > 1; // "cafe" is a name
}

// "192.0.2" and "2001:db8" are networks by whole parts.
static struct str complete_prefix(struct arena *arena, struct str text)
{
	static const char *const zeros[] = {"", ".0.0.0/8", ".0.0/16", ".0/24", ""};
	size_t parts;
	while (str_ends(text, STR(".")) || (str_ends(text, STR(":")) && !str_ends(text, STR("::"))))
		text = str_upto(text, text.n - 1);
	if (is_ipv4_prefix(text, &parts))
		return arena_printf(arena, "%.*s%s", STR_FMT(text), zeros[parts]);
	if (is_ipv6_prefix(text, &parts) && parts < IPV6_PARTS)
		return arena_printf(arena, "%.*s::/%zu", STR_FMT(text), 16 * parts);
	return text;
}

static bool parse_network(struct arena *arena, struct str text, struct netaddr_net *net_out)
{
	struct str ip, length;
	if (str_starts(text, STR("[")) && str_cut(str_from(text, 1), ']', &ip, &length)) // "[2001:db8::1]", "[2001:db8::]/32"
		text = arena_printf(arena, "%.*s%.*s", STR_FMT(ip), STR_FMT(length));
	if (str_starts_nocase(text, STR("IPv6:")))
		text = str_from(text, sizeof "IPv6:" - 1);
	return netaddr_net_parse(complete_prefix(arena, text), net_out) && net_out->addr.scope == 0;
}

static struct str network_key(struct arena *arena, const struct netaddr_net *net)
{
	char ip[NETADDR_TEXT_BYTES];
	return arena_printf(arena, "connect:%c/%u/%s", net->addr.family == NETADDR_IPV4 ? '4' : '6', net->bits,
		netaddr_text(&net->addr, ip));
}

// --- Keys ---

static const char *add_key(struct arena *arena, struct access_rule_keys *keys, const char *tag, struct str key)
{
	keys->v[keys->n++] = arena_printf(arena, "%s%.*s", tag, STR_FMT(key));
	return NULL;
}

static const char *add_address(struct arena *arena, struct access_rule_keys *keys, const char *tag, struct str text)
{
	struct addr addr;
	if (str_ends(text, STR("@"))) { // this user, in any domain
		text = str_upto(text, text.n - 1);
		struct str local = addr_local_key(arena, text);
		if (local.n == 0 ||
			addr_parse(arena, arena_printf(arena, "%.*s@a.example", STR_FMT(text)), ADDR_UTF8, &addr) != ADDR_OK)
			return "names a user that is none";
		return add_key(arena, keys, tag,
			arena_printf(arena, "%.*s@", STR_FMT(str_upto(addr.key, addr.key.n - (sizeof "@a.example" - 1)))));
	}
	enum addr_result result = addr_parse(arena, text, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr);
	return result == ADDR_OK ? add_key(arena, keys, tag, addr.key) : addr_result_text(result);
}

static const char *add_domain(struct arena *arena, struct access_rule_keys *keys, const char *tag, struct str text)
{
	struct domain domain;
	bool below = str_starts(text, STR("."));
	if (domain_parse(arena, str_from(text, below), DOMAIN_UTF8, &domain) != DOMAIN_OK || domain.kind != DOMAIN_NAME)
		return "is neither an address nor a domain nor a network";
	return add_key(arena, keys, tag, arena_printf(arena, "%s%.*s", below ? "." : "", STR_FMT(domain.key)));
}

static const char *add_party(struct arena *arena, struct access_rule_keys *keys, const char *tag, struct str text)
{
	return str_index(text, '@') > 0 ? add_address(arena, keys, tag, text)
					: add_domain(arena, keys, tag, str_from(text, str_starts(text, STR("@"))));
}

static const char *add_client(struct arena *arena, struct access_rule_keys *keys, struct str text)
{
	struct netaddr_net net;
	if (!parse_network(arena, text, &net))
		return "names a client by something else than its address or network: names need DNS, which is not asked yet";
	return add_key(arena, keys, "", network_key(arena, &net));
}

static const char *add_sender(struct arena *arena, struct access_rule_keys *keys, struct str text)
{
	if (str_eq(text, STR("<>")))
		return add_key(arena, keys, "from:", text);
	return add_party(arena, keys, "from:", text);
}

static const char *add_recipient(struct arena *arena, struct access_rule_keys *keys, struct str text)
{
	return add_party(arena, keys, "to:", text);
}

struct str access_rule_certificate(struct arena *arena, struct str subject)
{
	static const char digits[] = "0123456789abcdef";
	if (subject.n > NAME_BYTES_MAX)
		return STR_NONE;
	char *p = arena_alloc(arena, 3 * subject.n + 1);
	size_t n = 0;
	for (size_t i = 0; p && i < subject.n; i++) {
		int high = subject.p[i] == '+' && i + 2 < subject.n ? chr_hex(subject.p[i + 1]) : -1,
		    low = high >= 0 ? chr_hex(subject.p[i + 2]) : -1;
		bool escaped = low >= 0;
		unsigned char c = escaped ? (unsigned char)(high * 16 + low) : (unsigned char)subject.p[i];
		i += escaped ? 2 : 0;
		if (c > ' ' && c < 0x7f && strchr("<>()\"+", c) == NULL && !(escaped && c == '/')) {
			p[n++] = chr_lower((char)c);
			continue;
		}
		p[n++] = '+';
		p[n++] = digits[c >> 4];
		p[n++] = digits[c & 15];
	}
	return str_of(p, p ? n : 0);
}

static const char *add_subject(struct arena *arena, struct access_rule_keys *keys, const char *tag, struct str text)
{
	struct str name = access_rule_certificate(arena, text);
	if (!str_starts(text, STR("/")) || str_find(text, STR("=")) < 0 || name.n == 0)
		return "is no name of a certificate such as /C=DE/O=Uni/CN=mail.dept.example";
	return add_key(arena, keys, tag, name);
}

static const char *add_cert_issuer(struct arena *arena, struct access_rule_keys *keys, struct str text)
{
	return add_subject(arena, keys, "certissuer:", text);
}

static const char *add_cert_subject(struct arena *arena, struct access_rule_keys *keys, struct str text)
{
	return add_subject(arena, keys, "certsubject:", text);
}

static const char *add_cert_name(struct arena *arena, struct access_rule_keys *keys, struct str text)
{
	return str_starts(text, STR(".")) ? "names a certificate by a part of a name"
					  : add_domain(arena, keys, "certname:", text);
}

static const char *add_untagged(struct arena *arena, struct access_rule_keys *keys, struct str text)
{
	struct netaddr_net net;
	if (parse_network(arena, text, &net))
		return add_key(arena, keys, "", network_key(arena, &net));
	const char *wrong = add_sender(arena, keys, text);
	if (wrong == NULL && str_index(text, '@') < 0 && !str_eq(text, STR("<>")))
		wrong = add_domain(arena, keys, "relay:", text);
	return wrong;
}

// The word before the first colon, when it is a tag: letters and "_", and no IPv6 address begins so.
static bool take_tag(struct str *text, struct str *tag_out)
{
	struct str tag, rest;
	if (!str_cut(*text, ':', &tag, &rest) || tag.n == 0 || str_eq_nocase(tag, STR("IPv6")))
		return false;
	bool hex = true;
	for (size_t i = 0; i < tag.n; i++) {
		if (!chr_is_alpha(tag.p[i]) && tag.p[i] != '_')
			return false;
		hex = hex && chr_lower(tag.p[i]) >= 'a' && chr_lower(tag.p[i]) <= 'f';
	}
	if (hex && tag.n <= 4)
		return false;
	*tag_out = tag;
	*text = str_trim(rest);
	return true;
}

static const struct {
	const char *tag;
	const char *(*add)(struct arena *arena, struct access_rule_keys *keys, struct str text);
} tags[] = {{"Connect", add_client}, {"From", add_sender}, {"To", add_recipient}, {"CERTIssuer", add_cert_issuer},
	{"CERTSubject", add_cert_subject}, {"CERTName", add_cert_name}};

// sendmail's other tags (its cf/README), and what there is instead.
static const struct {
	const char *tag;
	enum access_rule_tag kind;
	const char *instead;
} others[] = {
	{"GreetPause", ACCESS_RULE_TAG_IDLE, "no client is kept waiting before it is greeted"},
	{"ClientRate", ACCESS_RULE_TAG_IDLE, "clients have the limits of the settings, as smtp_connections_per_address_max"},
	{"ClientConn", ACCESS_RULE_TAG_IDLE, "clients have the limits of the settings, as smtp_connections_per_address_max"},
	{"Srv_Features", ACCESS_RULE_TAG_IDLE, "all clients are offered the same"},
	{"Clt_Features", ACCESS_RULE_TAG_IDLE, "of a server is used what it offers"},
	{"Try_TLS", ACCESS_RULE_TAG_OTHER, "write a route to that server with phRouteTls: none"},
	{"TLS_Srv", ACCESS_RULE_TAG_OTHER, "write a route to that server with phRouteTls: encrypt, or verify"},
	{"TLS_Rcpt", ACCESS_RULE_TAG_OTHER, "write a route for that domain with phRouteTls: encrypt, or verify"},
	{"TLS_Clt", ACCESS_RULE_TAG_OTHER, "what clients have to encrypt is not asked here; leave it out"},
	{"AuthInfo", ACCESS_RULE_TAG_OTHER, "Posthouse logs in to no other server; have it let us relay by address or certificate"},
	{"Spam", ACCESS_RULE_TAG_OTHER, "nobody is exempt from what is said of a client; write Connect: rows with OK"},
};

enum access_rule_tag access_rule_tag(struct str key, struct str *tag_out, const char **instead_out)
{
	struct str tag;
	key = str_trim(key);
	if (!take_tag(&key, &tag))
		return ACCESS_RULE_TAG_OURS;
	for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
		if (str_eq_nocase(tag, str_of_c(tags[i].tag)))
			return ACCESS_RULE_TAG_OURS;
	*tag_out = tag;
	*instead_out = "Connect:, From:, To:, CERTIssuer:, CERTSubject: and CERTName: are known here";
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (str_eq_nocase(tag, str_of_c(others[i].tag))) {
			*instead_out = others[i].instead;
			return others[i].kind;
		}
	return ACCESS_RULE_TAG_OTHER;
}

const char *access_rule_keys(struct arena *arena, struct str text, struct access_rule_keys *keys_out)
{
	struct access_rule_keys keys = {.n = 0};
	const char *wrong = "has a tag that is not known here: Connect:, From:, To:, CERTIssuer:, CERTSubject: and CERTName: are";
	struct str tag;
	text = str_trim(text);
	if (!take_tag(&text, &tag))
		wrong = add_untagged(arena, &keys, text);
	else
		for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
			if (str_eq_nocase(tag, str_of_c(tags[i].tag)))
				wrong = tags[i].add(arena, &keys, text);
	if (wrong == NULL)
		*keys_out = keys;
	return wrong;
}

// --- Actions ---

static const struct {
	const char *word;
	enum access_rule_action action;
} words[] = {
	{"OK", ACCESS_RULE_OK}, {"RELAY", ACCESS_RULE_RELAY}, {"SUBJECT", ACCESS_RULE_SUBJECT}, {"REJECT", ACCESS_RULE_REJECT},
	{"DISCARD", ACCESS_RULE_DISCARD},
	{"SKIP", ACCESS_RULE_SKIP}, {"QUARANTINE", ACCESS_RULE_QUARANTINE}, {"ERROR", ACCESS_RULE_ERROR},
};

static const char *finish(struct arena *arena, struct str rest, struct access_rule *rule)
{
	switch (rule->action) {
	case ACCESS_RULE_ERROR:
		return rule_reply_parse(arena, rest, REJECT_CODE, &rule->reply);
	case ACCESS_RULE_REJECT:
		rule->reply = (struct reply){.code = REJECT_CODE, .enhanced = STR("5.7.1"), .text = STR("access denied")};
		return NULL;
	case ACCESS_RULE_QUARANTINE:
		rest = str_trim(rest);
		if (rest.n > WHY_BYTES_MAX || !str_is_utf8(rest))
			return "has a reason that is too long or not UTF-8";
		rule->why = rest.n ? arena_dup(arena, rest) : STR("by an access rule");
		return NULL;
	case ACCESS_RULE_OK:
	case ACCESS_RULE_RELAY:
	case ACCESS_RULE_SUBJECT:
	case ACCESS_RULE_DISCARD:
	case ACCESS_RULE_SKIP:
		return NULL;
	}
	return "has an action that is not known";
}

const char *access_rule_action(struct arena *arena, struct str text, struct access_rule *rule_out)
{
	struct str word = str_trim(text), rest = STR_NONE;
	struct access_rule rule = {.action = ACCESS_RULE_ERROR};
	const char *wrong = "is none of OK, RELAY, SUBJECT, REJECT, DISCARD, SKIP, QUARANTINE:, ERROR:, or a reply code and text";
	text = word;
	str_cut(text, ':', &word, &rest);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (str_eq_nocase(str_trim(word), str_of_c(words[i].word))) {
			rule.action = words[i].action;
			wrong = finish(arena, rest, &rule);
			break;
		}
	bool is_reply = text.n && (chr_is_digit(text.p[0]) || text.p[0] == '"');
	if (is_reply)
		wrong = finish(arena, text, &rule);
	if (wrong == NULL)
		*rule_out = rule;
	return wrong;
}

// --- Rows as a whole ---

static bool is_everybody(struct str key)
{
	uint64_t bits;
	struct str rest = str_from(key, sizeof "connect:4/" - 1), length, ip;
	return str_cut(rest, '/', &length, &ip) && str_to_u64(length, 128, &bits) && bits < ACCESS_RULE_RELAY_BITS_MIN;
}

const char *access_rule_check(const struct access_rule_keys *keys, const struct access_rule *rule)
{
	bool relays = rule->action == ACCESS_RULE_RELAY, asks = rule->action == ACCESS_RULE_SUBJECT;
	bool issuer = keys->n == 1 && str_starts(keys->v[0], STR("certissuer:"));
	if (asks && !issuer)
		return "says SUBJECT of something else than CERTIssuer: it counts as OK";
	if (keys->n == 1 && str_starts(keys->v[0], STR("cert")))
		return relays || asks
			       ? NULL
			       : "says of a certificate something else than RELAY, or SUBJECT of an issuer: it counts as OK";
	for (size_t i = 0; relays && i < keys->n; i++) {
		struct str key = keys->v[i], party;
		str_cut(key, ':', &key, &party);
		if (str_eq(key, STR("connect"))) {
			if (is_everybody(keys->v[i]))
				return "lets too large a network relay (prefixes shorter than 8 bits): nobody is let by it";
		} else if (str_eq(key, STR("from"))) {
			if (keys->n == 1)
				return "lets a sender relay, who is whoever he says he is: it counts as OK";
		} else if (str_ends(party, STR("@")) || str_index(str_from(party, 1), '.') < 0) {
			return "lets mail be relayed to a whole top-level domain, or to a user anywhere: it counts as OK";
		}
	}
	return NULL;
}
