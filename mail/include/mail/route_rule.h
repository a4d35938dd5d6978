// SPDX-License-Identifier: Apache-2.0
// A row of a route table: which addresses it is for, and where their mail goes. The syntax of phRouteKey and phRouteTarget, which
// is that of sendmail's mailertable and of Postfix's transport(5) as well.
//
//     struct route_rule rule = ROUTE_RULE_NONE;
//     const char *wrong = route_rule_target(arena, STR("esmtp:[gw1.uni.example]:25,[gw2.uni.example]:25"), &rule);
//     if (wrong == NULL)
//         wrong = route_rule_tls(arena, STR("verify"), &rule);
//     if (wrong) ...                                             // a sentence for whoever wrote the rule
//     destination = route_rule_text(arena, &rule);               // "esmtp:[gw1.uni.example]:25,[gw2.uni.example]:25;tls=verify"
//
// Keys:
//     user@uni.example    this address (its detail may be there, or may not)
//     uni.example         this domain, not those below
//     .uni.example        the domains below it, not itself
//     [192.0.2.1]         addresses with this literal for a domain
//     . or *              what nothing else is for
//     from:user@uni.example, from:@uni.example   what this envelope sender sends (Postfix: sender_dependent_relayhost_maps)
//
// Targets:
//     esmtp:[h]:port      over SMTP to h, a name or an address, whose MX records do not count; port 25 when it says none
//     esmtp:h:port        the same by h's MX records; an address needs no brackets. Also smtp:, relay:, smtp8:, dsmtp:
//     esmtp:              by the MX records of the recipient's domain; a domain that is a literal is connected to
//     local: local:user local:user@dom   into the mailbox of that local part in the default domain, of user, of that address
//     discard:            accepted and thrown away
//     error:5.1.2:550 no  refused (mail/rule_reply.h); words too: nouser, nohost, unavailable, tempfail, usage, config, protocol
//     retry:text          refused for now
//     :                   as if there were no row
// Several next hops, separated by commas or spaces (or, as sendmail has it, by colons): tried in this order; who is put off
// by one is offered to the one behind it (mta/deliver.c).
//
// Pure; results live in the arena or borrow from nothing else. Functions that return a const char * give NULL when all is well.
#ifndef MAIL_ROUTE_RULE_H
#define MAIL_ROUTE_RULE_H

#include "base/arena.h"
#include "mail/addr.h"
#include "mail/reply.h"

enum {
	ROUTE_RULE_HOPS_MAX = 8,
	ROUTE_RULE_PINS_MAX = 8,
	ROUTE_RULE_TEXT_BYTES_MAX = 4096, // of route_rule_text: what a record holds
	ROUTE_RULE_PORT = 25,
};

enum route_rule_kind {
	ROUTE_RULE_SAME, // no row
	ROUTE_RULE_RELAY,
	ROUTE_RULE_LOCAL,
	ROUTE_RULE_DISCARD,
	ROUTE_RULE_ERROR,
};

enum route_rule_tls {
	ROUTE_RULE_TLS_MAY,     // STARTTLS when offered; the default
	ROUTE_RULE_TLS_NONE,
	ROUTE_RULE_TLS_ENCRYPT, // never without
	ROUTE_RULE_TLS_VERIFY,  // never without a certificate that tls_ca_file vouches for and that names the host
	ROUTE_RULE_TLS_PINNED,  // never without one of pins
};

struct route_rule_hop {
	struct str host; // name (domain.key) or IP address, without brackets, NUL after it; empty: the recipient's domain
	uint16_t port;
	bool mx;         // its MX records say who is connected to
};

struct route_rule {
	enum route_rule_kind kind;
	struct route_rule_hop hops[ROUTE_RULE_HOPS_MAX]; // RELAY
	size_t hops_n;
	struct str user;         // LOCAL: empty, a local part or an address
	struct reply reply;      // ERROR
	enum route_rule_tls tls;
	struct str pins[ROUTE_RULE_PINS_MAX]; // TLS_PINNED: "sha256:<64 hex digits>" of public keys
	size_t pins_n;
	struct str tls_name;     // option tls_name: for SNI and verification; empty: the host
};
#define ROUTE_RULE_NONE ((struct route_rule){.kind = ROUTE_RULE_SAME})

// The one spelling of a key, as it is stored and looked up.
const char *route_rule_key(struct arena *arena, struct str text, struct str *key_out);

// A target. A second call for the same rule adds next hops; a rule with different kinds of targets is wrong.
const char *route_rule_target(struct arena *arena, struct str text, struct route_rule *rule);

// phRouteTls: none, may, encrypt, verify, fingerprint=sha256:<hex>[,…] (of the public key). dane needs DNSSEC and is refused.
const char *route_rule_tls(struct arena *arena, struct str text, struct route_rule *rule);

// phRouteOptions: "tls_name=NAME", the name that the certificate must have; "tls=…" as route_rule_tls.
const char *route_rule_option(struct arena *arena, struct str text, struct route_rule *rule);

// A row of a file: the target, and for next hops options behind it ("esmtp:[h]:25 tls=verify").
const char *route_rule_value(struct arena *arena, struct str text, struct route_rule *rule);

// The next hop is the domain of addr where the rule names none.
void route_rule_complete(struct arena *arena, const struct domain *domain, struct route_rule *rule);

// Does a next hop need DNS?
bool route_rule_needs_mx(const struct route_rule *rule);

// RELAY and DISCARD as the destination of a record: what is delivered together. {NULL, 0} over ROUTE_RULE_TEXT_BYTES_MAX.
struct str route_rule_text(struct arena *arena, const struct route_rule *rule);

// And back. False: not what route_rule_text wrote.
bool route_rule_of_text(struct arena *arena, struct str text, struct route_rule *rule_out);

// Is a record's destination one of these (and no mailbox host or relayhost)?
bool route_rule_is_text(struct str destination);

#endif
