// SPDX-License-Identifier: Apache-2.0
// Where mail for an address that is not in a mailbox of ours goes next: the route table, and routes by sender.
//
//     struct route_query query = {.directory = directory, .addr = &addr, .delimiters = s->delimiter};
//     struct route route;
//     switch (route_find(&query, arena, &route)) {
//     case ROUTE_FOUND:   ... route.rule says what to do; route.entry, .attribute, .value say why ...
//     case ROUTE_NONE:    ... the relayhost ...
//     case ROUTE_DOUBT:   ... 4xx: route.trouble says why; with an entry, whose ...
//     }
//
// The order, as sendmail's mailertable and Postfix's transport(5) have it; the first that is there counts:
//     user+detail@dom, user@dom, dom, .parent and each .parent of that, what the entry of the domain says (phRelayTransport), "."
// For a domain that is an address literal: user@[ip], [ip]. Then routes by sender: from:user@dom, from:@dom. Not for domains
// whose mailboxes are here: the caller does not ask for them. A route says where mail goes, never who may send it there.
//
// Entries (phMailRoute) are found by phRouteKey; phRouteTarget, phRouteTls and phRouteOptions are read at each decision, so what
// changes in the directory counts for the next recipient. A table without rows costs nothing. Pure; results live in the arena.
#ifndef ROUTER_ROUTE_H
#define ROUTER_ROUTE_H

#include "ldapsync/directory.h"
#include "mail/route_rule.h"
#include "router/rules.h"

enum route_answer { ROUTE_FOUND, ROUTE_NONE, ROUTE_DOUBT };

struct route_query {
	struct directory *directory;
	const struct rules *rules;   // routes_file; NULL: none
	const struct addr *addr;     // the recipient
	const struct addr *sender;   // of the envelope; NULL: not known, no routes by sender
	const struct entry *domain;  // phMailDomain of addr.domain; NULL: none
	struct str delimiters;       // of details
};

struct route {
	struct route_rule rule;  // RELAY: complete, no next hop needs DNS
	struct str entry;        // DN, or FILE:LINE
	const char *attribute;   // what the route stands in; "" in a file
	struct str value;        // and says
	struct str key;          // the key that was found; empty for phRelayTransport
	bool by_sender;
	const char *trouble;     // DOUBT
};

enum route_answer route_find(const struct route_query *query, struct arena *arena, struct route *route_out);

#endif
