// SPDX-License-Identifier: Apache-2.0
// Mail addresses: the paths of SMTP (RFC 5321, RFC 6531) and the addr-spec of headers, directory and settings (RFC 5322).
//
//     struct addr addr;
//     switch (addr_parse(arena, STR("\"J.Doe\"+lists@Uni.Example."), ADDR_UTF8, &addr)) {
//     case ADDR_OK:
//         look_up(addr.key);      // "j.doe+lists@uni.example"
//         log_it(addr.text);      // "J.Doe+lists@Uni.Example": quotes only where they are needed, case kept
//     ...
//
// Taint by type: only this file makes a struct addr, and whatever builds an envelope, a header, a filter or a key takes nothing
// else. A parsed address has no control character, NUL, CR or LF; its local part may still hold any printable byte ("/", ";",
// "|", "$", "@", "../"): it is data and goes into no path and no shell. Nothing is decoded: "=?utf-8?q?=40evil?=@us",
// "u%evil@us" and "evil!u@us" are literal local parts.
//
// addr.key is the one spelling for the shadow, delivery keys and counters; compare nothing else. Memory is the caller's arena
// (under 4 KiB an address). Nothing here blocks.
#ifndef MAIL_ADDR_H
#define MAIL_ADDR_H

#include "base/arena.h"
#include "base/str.h"
#include "mail/domain.h"

enum {
	ADDR_LOCAL_BYTES_MAX = 64,       // RFC 5321 section 4.5.3.1.1
	ADDR_LOCAL_BYTES_LONG_MAX = 250, // with ADDR_LONG_LOCAL
	ADDR_PATH_BYTES_MAX = 256,       // RFC 5321 section 4.5.3.1.3: with "<" and ">", without a source route
	ADDR_ROUTE_BYTES_MAX = 1024,     // a source route before it is dropped
};

enum {
	ADDR_UTF8 = DOMAIN_UTF8,        // UTF-8 in local part and domain; without it they give ADDR_NEEDS_UTF8
	ADDR_ALLOW_NULL = 1 << 1,       // addr_parse_path: "<>"
	ADDR_ALLOW_POSTMASTER = 1 << 2, // addr_parse_path: "<postmaster>" without a domain (RFC 5321 section 4.1.1.3)
	// local parts up to ADDR_LOCAL_BYTES_LONG_MAX: the VERP and SRS senders of the world exceed 64
	ADDR_LONG_LOCAL = 1 << 3,
};

// result, text for a reply or a log line. ADDR_FULL is the arena's cap: a limit of the caller's, temporary.
#define ADDR_RESULTS(X)                                                            \
	X(ADDR_OK, "address accepted")                                                     \
	X(ADDR_SYNTAX, "not an address: local-part@domain is expected")                    \
	X(ADDR_BAD_LOCAL, "bad local part")                                                \
	X(ADDR_BAD_DOMAIN, "bad domain")                                                   \
	X(ADDR_TOO_LONG, "address too long")                                               \
	X(ADDR_NEEDS_UTF8, "address has non-ASCII characters and SMTPUTF8 was not given")  \
	X(ADDR_FULL, "too many addresses at once")

enum addr_result {
#define ADDR_ENUM(result, text) result,
	ADDR_RESULTS(ADDR_ENUM)
#undef ADDR_ENUM
};

const char *addr_result_text(enum addr_result result);

// Strings live in the arena given to the parser. Read it, copy it (addr_copy for another arena), never fill one in by hand.
struct addr {
	struct str local;     // without quotes and backslashes, case kept; may be empty only in <> and ""@domain
	struct domain domain; // kind DOMAIN_NONE in <> and <postmaster>
	// canonical: quotes only where needed, case kept; "" for <>. For the wire put it between "<" and ">"
	struct str text;
	// folded local part (quoted where needed) + "@" + domain.key; "" for <>; "postmaster" without a domain
	struct str key;
	bool routed;          // a source route was dropped (addr_parse_path)
	bool utf8;            // text has non-ASCII bytes: needs SMTPUTF8 at the next hop
};

// An addr-spec without brackets, comments or route: "local@domain". The whole string must be the address.
// Tolerated beyond RFC 5321: dots at the ends of a local part or two in a row (they exist); the canonical text quotes them.
enum addr_result addr_parse(struct arena *arena, struct str text, unsigned flags, struct addr *addr_out);

// A path at the start of *rest: "<" [source route ":"] mailbox ">". On success *rest is what follows the ">".
// "<>" and "<postmaster>" only with their flags. A source route (obsolete, RFC 5321 appendix C) is checked for syntax and
// dropped.
enum addr_result addr_parse_path(struct arena *arena, struct str *rest, unsigned flags, struct addr *addr_out);

// From parts that something else has taken apart and dequoted (an address list of a header, a directory value). All checks apply.
enum addr_result addr_from_parts(struct arena *arena, struct str local, struct str domain, unsigned flags, struct addr *addr_out);

// The empty reverse-path "<>".
struct addr addr_null(void);

// A copy whose strings live in another arena; must fit it (under 4 KiB).
struct addr addr_copy(struct arena *arena, const struct addr *addr);

// The same local part in another domain: qualifies <postmaster>, rewrites a masqueraded domain. ADDR_TOO_LONG is possible.
enum addr_result addr_with_domain(struct arena *arena, const struct addr *addr, const struct domain *domain,
	struct addr *addr_out);

// Another local part (dequoted bytes) in the same domain: what a rewriting rule makes.
enum addr_result addr_with_local(struct arena *arena, const struct addr *addr, struct str local, struct addr *addr_out);

static inline bool addr_is_null(const struct addr *addr)
{
	return addr->key.n == 0;
}

// Is the local part postmaster, in any case, with a domain or without?
bool addr_is_postmaster(const struct addr *addr);

// One identity: equal keys.
bool addr_same(const struct addr *a, const struct addr *b);

// Splits "user+detail": delimiters is a set such as "+-"; the first byte of the local part that is in it splits. False, outputs
// untouched, when there is none, when it is the first byte, for mailer-daemon, postmaster and double-bounce, and, when "-" is in
// the set, for owner-* and *-request (any case; as Postfix does). base_out is an address of its own; detail_out (may be empty)
// keeps its case and lives as long as addr.
bool addr_detail(struct arena *arena, const struct addr *addr, struct str delimiters, struct addr *base_out,
	struct str *detail_out);

// The address in pure ASCII, U-labels as A-labels; false when the local part is not ASCII (RFC 6531: then SMTPUTF8 is the only
// way).
bool addr_to_ascii(struct arena *arena, const struct addr *addr, struct str *text_out);

// A key for comparison of a bare local part (a login, the user part of a delivery key): ASCII fold; for UTF-8 full case folding
// and NFC. {NULL, 0} when local is not UTF-8.
struct str addr_local_key(struct arena *arena, struct str local);

#endif
