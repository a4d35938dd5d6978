// SPDX-License-Identifier: Apache-2.0
// Addresses: the parser, the canonical text, the key, the split of a detail.
//
// Happy path: nearly all addresses are a dot-atom of ASCII in a domain of ASCII. One look at each byte finds that out, and one
// copy holds text, local part and domain, and the keys too where all is in lower case (whole_plain, parts_plain). For the others
// take_local() reads the local part byte by byte into a buffer of fixed size, domain_parse() takes the rest, make() builds text
// and key. Every way to a struct addr ends in one of the three.
#include "mail/addr.h"

#include <stdlib.h>
#include <unicase.h>
#include <uninorm.h>

#include "base/must.h"
#include "chars.h"
#include "domain_parts.h"

struct local {
	char p[ADDR_LOCAL_BYTES_LONG_MAX];
	size_t n;
};

const char *addr_result_text(enum addr_result result)
{
	switch (result) {
#define ADDR_TEXT(name, text) \
	case name:            \
		return text;
		ADDR_RESULTS(ADDR_TEXT)
#undef ADDR_TEXT
	}
	unreachable("addr_result");
}

static enum addr_result of_domain(enum domain_result result)
{
	switch (result) {
	case DOMAIN_OK:
		return ADDR_OK;
	case DOMAIN_BAD:
		return ADDR_BAD_DOMAIN;
	case DOMAIN_TOO_LONG:
		return ADDR_TOO_LONG;
	case DOMAIN_NEEDS_UTF8:
		return ADDR_NEEDS_UTF8;
	case DOMAIN_FULL:
		return ADDR_FULL;
	}
	unreachable("domain_result");
}

// C1 controls are no text, whatever RFC 6532's grammar lets through.
static bool has_c1_control(struct str utf8)
{
	for (size_t i = 0; i + 1 < utf8.n; i++)
		if ((unsigned char)utf8.p[i] == 0xc2 && (unsigned char)utf8.p[i + 1] < 0xa0)
			return true;
	return false;
}

static bool needs_quotes(struct str local)
{
	if (local.n == 0 || local.p[0] == '.' || local.p[local.n - 1] == '.' || str_find(local, STR("..")) >= 0)
		return true;
	for (size_t i = 0; i < local.n; i++)
		if (!chars_is_atext(local.p[i]) && local.p[i] != '.')
			return true;
	return false;
}

// Writes local, quoted where needed, to out, which has room for 2 * local.n + 2 bytes; returns the bytes written.
static size_t write_local(char *out, struct str local)
{
	size_t n = 0;
	bool quotes = needs_quotes(local);
	if (quotes)
		out[n++] = '"';
	for (size_t i = 0; i < local.n; i++) {
		if (local.p[i] == '"' || local.p[i] == '\\')
			out[n++] = '\\';
		out[n++] = local.p[i];
	}
	if (quotes)
		out[n++] = '"';
	return n;
}

static struct str join(struct arena *arena, struct str local, struct str domain)
{
	char *text = arena_alloc(arena, 2 * local.n + 3 + domain.n);
	if (text == NULL)
		return STR_NONE;
	size_t n = write_local(text, local);
	if (domain.n) {
		text[n++] = '@';
		memcpy(text + n, domain.p, domain.n);
		n += domain.n;
	}
	return str_of(text, n);
}

struct str addr_local_key(struct arena *arena, struct str local)
{
	if (chars_all_ascii(local)) {
		char *key = arena_alloc(arena, local.n);
		for (size_t i = 0; key && i < local.n; i++)
			key[i] = chr_lower(local.p[i]);
		return str_of(key, key ? local.n : 0);
	}
	if (!str_is_utf8(local))
		return STR_NONE;
	size_t n = 0;
	uint8_t *folded = u8_casefold((const uint8_t *)local.p, local.n, NULL, UNINORM_NFC, NULL, &n);
	must(folded != NULL);
	struct str key = arena_dup(arena, str_of((const char *)folded, n));
	free(folded);
	return key;
}

static enum addr_result check_local(struct str local, unsigned flags)
{
	if (local.n > (flags & ADDR_LONG_LOCAL ? ADDR_LOCAL_BYTES_LONG_MAX : ADDR_LOCAL_BYTES_MAX))
		return ADDR_TOO_LONG;
	for (size_t i = 0; i < local.n; i++)
		if (chars_is_control(local.p[i]))
			return ADDR_BAD_LOCAL;
	if (chars_all_ascii(local))
		return ADDR_OK;
	if (!(flags & ADDR_UTF8))
		return ADDR_NEEDS_UTF8;
	return str_is_utf8(local) && !has_c1_control(local) ? ADDR_OK : ADDR_BAD_LOCAL;
}

// --- The plain ones ---

// How many bytes at the start of text are a dot-atom of ASCII as RFC 5321 wants it, which is written without quotes; 0: there is
// none.
static size_t plain_local(struct str text, bool *upper_out)
{
	size_t n = 0, dot = 0; // dot: just behind the last
	uint8_t seen = 0;
	for (; n < text.n; n++) {
		uint8_t class = chars_class(text.p[n]);
		if (class & CHARS_PLAIN) {
			seen |= class;
			continue;
		}
		if (text.p[n] != '.')
			break;
		if (n == dot)
			return 0;
		dot = n + 1;
	}
	*upper_out = (seen & CHARS_UPPER) != 0;
	return n == dot ? 0 : n;
}

static struct str lower_copy(struct arena *arena, struct str s)
{
	char *copy = arena_alloc(arena, s.n + 1);
	for (size_t i = 0; copy && i < s.n; i++)
		copy[i] = chr_lower(s.p[i]);
	return str_of(copy, copy ? s.n : 0);
}

// "local@domain" as a whole. False: it is not of this kind, or none, or there is no room: the long way says which.
static bool whole_plain(struct arena *arena, struct str whole, struct addr *addr_out)
{
	bool upper, upper_domain;
	size_t local = plain_local(whole, &upper);
	if (local == 0 || local > ADDR_LOCAL_BYTES_MAX || local == whole.n || whole.p[local] != '@')
		return false;
	if (whole.n + 2 > ADDR_PATH_BYTES_MAX || !domain_is_plain(str_from(whole, local + 1), &upper_domain))
		return false;
	struct str text = arena_dup(arena, whole), key = text;
	if (upper || upper_domain)
		key = lower_copy(arena, whole);
	if (text.p == NULL || key.p == NULL)
		return false;
	*addr_out = (struct addr){.local = str_upto(text, local), .text = text, .key = key,
		.domain = {.kind = DOMAIN_NAME, .text = str_from(text, local + 1), .key = str_from(key, local + 1)}};
	return true;
}

static struct str glue(struct arena *arena, struct str local, struct str domain, bool lower)
{
	size_t n = local.n + (domain.n ? 1 + domain.n : 0);
	char *text = arena_alloc(arena, n + 1);
	if (text == NULL)
		return STR_NONE;
	for (size_t i = 0; i < local.n; i++)
		text[i] = lower ? chr_lower(local.p[i]) : local.p[i];
	if (domain.n) {
		text[local.n] = '@';
		memcpy(text + local.n + 1, domain.p, domain.n);
	}
	return str_of(text, n);
}

// The same of parts; domain's strings live in arena already.
static bool parts_plain(struct arena *arena, struct str local, struct domain domain, struct addr *addr_out)
{
	bool upper;
	if (local.n == 0 || local.n > ADDR_LOCAL_BYTES_MAX || local.n + 1 + domain.text.n + 2 > ADDR_PATH_BYTES_MAX)
		return false;
	if (plain_local(local, &upper) != local.n || !chars_all_ascii(domain.text))
		return false;
	struct str text = glue(arena, local, domain.text, false), key = text;
	if (upper || !str_eq(domain.text, domain.key))
		key = glue(arena, local, domain.key, true);
	if (text.p == NULL || key.p == NULL)
		return false;
	*addr_out = (struct addr){.local = str_upto(text, local.n), .domain = domain, .text = text, .key = key};
	return true;
}

// --- All ---

// Every other address is made here. domain's strings live in arena already.
static enum addr_result make(struct arena *arena, struct str local, struct domain domain, unsigned flags, struct addr *addr_out)
{
	if (parts_plain(arena, local, domain, addr_out))
		return ADDR_OK;
	enum addr_result result = check_local(local, flags);
	if (result != ADDR_OK)
		return result;
	struct addr addr = {.local = arena_dup(arena, local), .domain = domain};
	struct str folded = addr_local_key(arena, local);
	addr.text = join(arena, local, domain.text);
	if (addr.local.p == NULL || folded.p == NULL || addr.text.p == NULL)
		return ADDR_FULL;
	addr.key = join(arena, folded, domain.key);
	if (addr.key.p == NULL)
		return ADDR_FULL;
	if (addr.text.n + 2 > ADDR_PATH_BYTES_MAX)
		return ADDR_TOO_LONG;
	addr.utf8 = !chars_all_ascii(addr.text);
	*addr_out = addr;
	return ADDR_OK;
}

static bool take_byte(struct local *local, char c)
{
	if (local->n == sizeof local->p)
		return false;
	local->p[local->n++] = c;
	return true;
}

// RFC 5321 section 4.1.2, Quoted-string: *rest is behind the opening quote.
static enum addr_result take_quoted(struct str *rest, struct local *local)
{
	for (size_t i = 0; i < rest->n; i++) {
		char c = rest->p[i];
		if (c == '"') {
			*rest = str_from(*rest, i + 1);
			return ADDR_OK;
		}
		if (c == '\\') {
			if (++i == rest->n)
				break;
			c = rest->p[i];
		}
		if (chars_is_control(c))
			return ADDR_BAD_LOCAL;
		if (!take_byte(local, c))
			return ADDR_TOO_LONG;
	}
	return ADDR_BAD_LOCAL; // no closing quote
}

// The local part at the start of *rest; *rest is then what follows it.
static enum addr_result take_local(struct str *rest, struct local *local)
{
	local->n = 0;
	if (rest->n && rest->p[0] == '"') {
		*rest = str_from(*rest, 1);
		return take_quoted(rest, local);
	}
	size_t i = 0;
	for (; i < rest->n && (chars_is_atext(rest->p[i]) || rest->p[i] == '.'); i++)
		if (!take_byte(local, rest->p[i]))
			return ADDR_TOO_LONG;
	*rest = str_from(*rest, i);
	return i ? ADDR_OK : ADDR_BAD_LOCAL;
}

// The bytes of a domain at the start of *rest: up to ">", or through the "]" of a literal.
static struct str take_domain(struct str *rest, const char *stops)
{
	size_t i = 0;
	if (rest->n && rest->p[0] == '[') {
		ptrdiff_t close = str_index(*rest, ']');
		i = close < 0 ? rest->n : (size_t)close + 1;
	} else {
		while (i < rest->n && !(rest->p[i] && strchr(stops, rest->p[i])))
			i++;
	}
	struct str domain = str_upto(*rest, i);
	*rest = str_from(*rest, i);
	return domain;
}

static bool take(struct str *rest, char c)
{
	if (rest->n == 0 || rest->p[0] != c)
		return false;
	*rest = str_from(*rest, 1);
	return true;
}

enum addr_result addr_parse(struct arena *arena, struct str text, unsigned flags, struct addr *addr_out)
{
	struct local local;
	struct domain domain;
	if (whole_plain(arena, text, addr_out))
		return ADDR_OK;
	enum addr_result result = take_local(&text, &local);
	if (result != ADDR_OK)
		return result;
	if (!take(&text, '@'))
		return text.n ? ADDR_BAD_LOCAL : ADDR_SYNTAX;
	result = of_domain(domain_parse(arena, text, flags, &domain));
	if (result != ADDR_OK)
		return result;
	return make(arena, str_of(local.p, local.n), domain, flags, addr_out);
}

// "@one,@two:" (RFC 5321 section 4.1.2, A-d-l): each domain is checked, none is kept.
static enum addr_result skip_route(struct arena *arena, struct str *rest, unsigned flags)
{
	struct domain hop;
	size_t n = rest->n;
	do {
		if (!take(rest, '@'))
			return ADDR_SYNTAX;
		enum addr_result result = of_domain(domain_parse(arena, take_domain(rest, ",:>"), flags, &hop));
		if (result != ADDR_OK)
			return result;
		if (n - rest->n > ADDR_ROUTE_BYTES_MAX)
			return ADDR_TOO_LONG;
	} while (take(rest, ','));
	return take(rest, ':') ? ADDR_OK : ADDR_SYNTAX;
}

enum addr_result addr_parse_path(struct arena *arena, struct str *rest, unsigned flags, struct addr *addr_out)
{
	struct str in = *rest;
	struct local local;
	struct domain domain = {.kind = DOMAIN_NONE};
	struct addr addr;
	bool routed = false;
	if (!take(&in, '<'))
		return ADDR_SYNTAX;
	if (flags & ADDR_ALLOW_NULL && take(&in, '>')) {
		*rest = in;
		*addr_out = addr_null();
		return ADDR_OK;
	}
	if (in.n && in.p[0] == '@') {
		enum addr_result result = skip_route(arena, &in, flags);
		if (result != ADDR_OK)
			return result;
		routed = true;
	}
	ptrdiff_t end = str_index(in, '>');
	if (!routed && end >= 0 && whole_plain(arena, str_upto(in, (size_t)end), addr_out)) {
		*rest = str_from(in, (size_t)end + 1);
		return ADDR_OK;
	}
	enum addr_result result = take_local(&in, &local);
	if (result != ADDR_OK)
		return result;
	bool postmaster = str_eq_nocase(str_of(local.p, local.n), STR("postmaster"));
	if (take(&in, '@'))
		result = of_domain(domain_parse(arena, take_domain(&in, ">"), flags, &domain));
	else if (!(flags & ADDR_ALLOW_POSTMASTER) || !postmaster || routed)
		result = in.n && in.p[0] != '>' ? ADDR_BAD_LOCAL : ADDR_SYNTAX;
	if (result != ADDR_OK)
		return result;
	if (!take(&in, '>'))
		return ADDR_SYNTAX;
	result = make(arena, str_of(local.p, local.n), domain, flags, &addr);
	if (result != ADDR_OK)
		return result;
	addr.routed = routed;
	*addr_out = addr;
	*rest = in;
	return ADDR_OK;
}

enum addr_result addr_from_parts(struct arena *arena, struct str local, struct str domain, unsigned flags, struct addr *addr_out)
{
	struct domain parsed;
	enum addr_result result = of_domain(domain_parse(arena, domain, flags, &parsed));
	return result == ADDR_OK ? make(arena, local, parsed, flags, addr_out) : result;
}

struct addr addr_null(void)
{
	return (struct addr){.domain.kind = DOMAIN_NONE};
}

static struct str copy(struct arena *arena, struct str s)
{
	struct str duplicate = arena_dup(arena, s);
	must(duplicate.p != NULL);
	return duplicate;
}

struct addr addr_copy(struct arena *arena, const struct addr *addr)
{
	struct addr duplicate = *addr;
	duplicate.local = copy(arena, addr->local);
	duplicate.text = copy(arena, addr->text);
	duplicate.key = copy(arena, addr->key);
	duplicate.domain.text = copy(arena, addr->domain.text);
	duplicate.domain.key = copy(arena, addr->domain.key);
	return duplicate;
}

enum addr_result addr_with_domain(struct arena *arena, const struct addr *addr, const struct domain *domain,
	struct addr *addr_out)
{
	return make(arena, addr->local, *domain, ADDR_UTF8 | ADDR_LONG_LOCAL, addr_out);
}

enum addr_result addr_with_local(struct arena *arena, const struct addr *addr, struct str local, struct addr *addr_out)
{
	return make(arena, local, addr->domain, ADDR_UTF8 | ADDR_LONG_LOCAL, addr_out);
}

bool addr_is_postmaster(const struct addr *addr)
{
	return str_eq_nocase(addr->local, STR("postmaster"));
}

bool addr_same(const struct addr *a, const struct addr *b)
{
	return str_eq(a->key, b->key);
}

// ROUTING.md, recipient delimiter: names that mean something as a whole.
static bool is_never_split(struct str local, struct str delimiters)
{
	if (str_eq_nocase(local, STR("mailer-daemon")) || str_eq_nocase(local, STR("postmaster")) ||
	    str_eq_nocase(local, STR("double-bounce")))
		return true;
	return str_index(delimiters, '-') >= 0 &&
	       (str_starts_nocase(local, STR("owner-")) || str_ends_nocase(local, STR("-request")));
}

bool addr_detail(struct arena *arena, const struct addr *addr, struct str delimiters, struct addr *base_out,
	struct str *detail_out)
{
	if (is_never_split(addr->local, delimiters))
		return false;
	size_t at = 0;
	while (at < addr->local.n && str_index(delimiters, addr->local.p[at]) < 0)
		at++;
	if (at == 0 || at == addr->local.n)
		return false;
	if (addr_with_local(arena, addr, str_upto(addr->local, at), base_out) != ADDR_OK)
		return false;
	*detail_out = str_from(addr->local, at + 1);
	return true;
}

bool addr_to_ascii(struct arena *arena, const struct addr *addr, struct str *text_out)
{
	if (!chars_all_ascii(addr->local))
		return false;
	struct str text = join(arena, addr->local, addr->domain.key);
	if (text.p == NULL)
		return false;
	*text_out = text;
	return true;
}
