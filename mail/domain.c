// SPDX-License-Identifier: Apache-2.0
// Domains and address literals: syntax, A-labels through libidn2, the key.
#include "mail/domain.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/must.h"
#include "chars.h"
#include "domain_parts.h"

static enum domain_result check_label(struct str label)
{
	if (label.n == 0)
		return DOMAIN_BAD;
	if (label.n > DOMAIN_LABEL_BYTES_MAX)
		return DOMAIN_TOO_LONG;
	if (label.p[0] == '-' || label.p[label.n - 1] == '-')
		return DOMAIN_BAD;
	for (size_t i = 0; i < label.n; i++)
		if (!(chars_class(label.p[i]) & CHARS_NAME))
			return DOMAIN_BAD;
	return DOMAIN_OK;
}

static bool is_number(struct str label)
{
	for (size_t i = 0; i < label.n; i++)
		if (!chr_is_digit(label.p[i]))
			return false;
	return true;
}

// An ASCII name without trailing dot: letters, digits, hyphens (RFC 5321 section 4.1.2), underscores because they exist.
static enum domain_result check_name(struct str name)
{
	if (name.n > DOMAIN_BYTES_MAX)
		return DOMAIN_TOO_LONG;
	struct str label = name, rest = name;
	bool more = true;
	while (more) {
		more = str_cut(rest, '.', &label, &rest);
		if (!more)
			label = rest;
		enum domain_result result = check_label(label);
		if (result != DOMAIN_OK)
			return result;
	}
	return is_number(label) ? DOMAIN_BAD : DOMAIN_OK; // RFC 1123 section 2.1: the last label is never a number
}

static struct str lower_copy(struct arena *arena, struct str s)
{
	char *copy = arena_alloc(arena, s.n);
	if (copy == NULL)
		return STR_NONE;
	for (size_t i = 0; i < s.n; i++)
		copy[i] = chr_lower(s.p[i]);
	return str_of(copy, s.n);
}

// text and key into the arena, the rest of *domain is set already.
static enum domain_result store(struct arena *arena, struct str text, struct str key, struct domain domain,
	struct domain *domain_out)
{
	domain.text = arena_dup(arena, text);
	domain.key = lower_copy(arena, key);
	if (domain.text.p == NULL || domain.key.p == NULL)
		return DOMAIN_FULL;
	*domain_out = domain;
	return DOMAIN_OK;
}

// RFC 5321 section 4.1.3. inet_pton is strict: no octal, no short forms, no zone.
static enum domain_result parse_literal(struct arena *arena, struct str text, struct domain *domain_out)
{
	struct domain domain = {.kind = DOMAIN_IPV4};
	char address[INET6_ADDRSTRLEN], key[INET6_ADDRSTRLEN + 8];
	if (text.n < 2 || text.p[text.n - 1] != ']')
		return DOMAIN_BAD;
	struct str inner = str_of(text.p + 1, text.n - 2);
	int family = AF_INET;
	if (str_starts_nocase(inner, STR("IPv6:"))) {
		inner = str_from(inner, 5);
		family = AF_INET6;
		domain.kind = DOMAIN_IPV6;
	}
	if (!str_to_c(inner, address, sizeof address) || inet_pton(family, address, domain.ip) != 1)
		return DOMAIN_BAD;
	must(inet_ntop(family, domain.ip, address, sizeof address) != NULL);
	struct str prefix = family == AF_INET ? STR("[") : STR("[ipv6:");
	struct str shortest = str_of_c(address);
	memcpy(key, prefix.p, prefix.n);
	memcpy(key + prefix.n, shortest.p, shortest.n);
	key[prefix.n + shortest.n] = ']';
	return store(arena, text, str_of(key, prefix.n + shortest.n + 1), domain, domain_out);
}

// UTS 46 maps case and width first, so what comes out is checked like any ASCII name: a full-width "@" or dot may have become
// one.
static enum domain_result parse_utf8(struct arena *arena, struct str text, struct domain *domain_out)
{
	char name[DOMAIN_BYTES_MAX + 1];
	uint8_t *ascii = NULL;
	if (!str_is_utf8(text) || !str_to_c(text, name, sizeof name))
		return DOMAIN_BAD;
	int code = idn2_lookup_u8((const uint8_t *)name, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (code == IDN2_MALLOC)
		must_failed("idn2_lookup_u8: out of memory", __FILE__, __LINE__);
	if (code != IDN2_OK)
		return code == IDN2_TOO_BIG_DOMAIN || code == IDN2_TOO_BIG_LABEL ? DOMAIN_TOO_LONG : DOMAIN_BAD;
	struct str key = str_of_c((const char *)ascii);
	enum domain_result result = check_name(key);
	if (result == DOMAIN_OK)
		result = store(arena, text, key, (struct domain){.kind = DOMAIN_NAME}, domain_out);
	idn2_free(ascii);
	return result;
}

bool domain_is_plain(struct str text, bool *upper_out)
{
	size_t label = 0; // where it begins
	uint8_t seen = 0;
	bool number = true; // RFC 1123 section 2.1: the last label is none
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (c == '.') {
			if (i == label || i - label > DOMAIN_LABEL_BYTES_MAX || text.p[label] == '-' || text.p[i - 1] == '-')
				return false;
			label = i + 1;
			number = true;
			continue;
		}
		seen |= chars_class(c);
		if (!(chars_class(c) & CHARS_NAME))
			return false;
		number &= chr_is_digit(c);
	}
	if (label == text.n || text.n - label > DOMAIN_LABEL_BYTES_MAX || text.p[label] == '-' || text.p[text.n - 1] == '-')
		return false;
	if (number || text.n > DOMAIN_BYTES_MAX)
		return false;
	*upper_out = (seen & CHARS_UPPER) != 0;
	return true;
}

enum domain_result domain_parse(struct arena *arena, struct str text, unsigned flags, struct domain *domain_out)
{
	if (text.n == 0)
		return DOMAIN_BAD;
	if (text.p[0] == '[')
		return parse_literal(arena, text, domain_out);
	if (text.p[text.n - 1] == '.')
		text.n--;
	bool upper;
	if (domain_is_plain(text, &upper)) {
		struct str kept = arena_dup(arena, text), key = upper ? lower_copy(arena, text) : kept;
		if (kept.p == NULL || key.p == NULL)
			return DOMAIN_FULL;
		*domain_out = (struct domain){.kind = DOMAIN_NAME, .text = kept, .key = key};
		return DOMAIN_OK;
	}
	if (text.n > DOMAIN_BYTES_MAX)
		return DOMAIN_TOO_LONG;
	if (!chars_all_ascii(text))
		return flags & DOMAIN_UTF8 ? parse_utf8(arena, text, domain_out) : DOMAIN_NEEDS_UTF8;
	enum domain_result result = check_name(text);
	if (result != DOMAIN_OK)
		return result;
	return store(arena, text, text, (struct domain){.kind = DOMAIN_NAME}, domain_out);
}

bool domain_key_is_below(struct str key, struct str parent)
{
	return parent.n && key.n > parent.n + 1 && str_ends(key, parent) && key.p[key.n - parent.n - 1] == '.';
}
