// SPDX-License-Identifier: Apache-2.0
// Mail domains: names and address literals, as they stand after the @ of an address and in HELO, routes and mailHost.
//
//     struct domain domain;
//     if (domain_parse(arena, STR("B\xc3\xbc" "cher.Example."), DOMAIN_UTF8, &domain) == DOMAIN_OK)
//         look_up(domain.key);                       // "xn--bcher-kva.example": the one spelling that is compared and stored
//
// Only domain_parse() makes a struct domain, so a function that takes one never sees a space, a control or a NUL in it.
// Memory is the caller's arena (under 1 KiB a domain). Nothing here blocks or looks anything up.
#ifndef MAIL_DOMAIN_H
#define MAIL_DOMAIN_H

#include "base/arena.h"
#include "base/str.h"

enum {
	DOMAIN_BYTES_MAX = 255, // RFC 5321 section 4.5.3.1.2; as written and as A-label
	DOMAIN_LABEL_BYTES_MAX = 63, // RFC 1035 section 2.3.4
};

// Flags of domain_parse and of mail/addr.h's parsers, which pass them on.
enum {
	DOMAIN_UTF8 = 1 << 0, // U-labels may occur (RFC 6531); without it they give DOMAIN_NEEDS_UTF8
};

enum domain_result {
	DOMAIN_OK,
	// not a domain: empty label, odd byte, hyphen at an end of a label, bad literal, not valid under IDNA2008
	DOMAIN_BAD,
	DOMAIN_TOO_LONG,   // over DOMAIN_BYTES_MAX or a label over DOMAIN_LABEL_BYTES_MAX
	DOMAIN_NEEDS_UTF8, // it has bytes over 0x7F and the caller did not allow them
	DOMAIN_FULL,       // the arena's cap is reached: a limit of the caller's, temporary
};

enum domain_kind {
	DOMAIN_NONE, // no domain at all: in the addresses <> and <postmaster>
	DOMAIN_NAME,
	DOMAIN_IPV4, // [192.0.2.1]
	DOMAIN_IPV6, // [IPv6:2001:db8::1]
};

// Strings live in the arena given to the parser. Read it, copy it, never fill one in by hand.
struct domain {
	enum domain_kind kind;
	struct str text;      // as written, without the trailing dot; literals with their brackets
	struct str key;       // A-labels, lower case, no trailing dot; literals in their shortest form, "[ipv6:2001:db8::1]"
	unsigned char ip[16]; // network order; 4 bytes for DOMAIN_IPV4, 16 for DOMAIN_IPV6, zero for names
};

// A domain name or an address literal (RFC 5321 section 4.1.2, RFC 5890). Tolerated beyond the RFC: one trailing dot, and
// underscores, which exist. Refused beyond the RFC: names whose last label is a number (user@192.0.2.1 is nobody's domain) and
// literals of other kinds than IPv4 and IPv6. U-labels are mapped and checked by IDNA2008 with UTS 46 (non-transitional).
enum domain_result domain_parse(struct arena *arena, struct str text, unsigned flags, struct domain *domain_out);

static inline bool domain_is_literal(const struct domain *domain)
{
	return domain->kind == DOMAIN_IPV4 || domain->kind == DOMAIN_IPV6;
}

// True when key is ("mail.uni.example" below "uni.example") a real subdomain of parent; both are domain keys.
bool domain_key_is_below(struct str key, struct str parent);

#endif
