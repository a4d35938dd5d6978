// SPDX-License-Identifier: Apache-2.0
// What happens to an address whose mailbox is not here: may it be relayed, and by which way. A part of recipient.c's decision.
#ifndef ROUTER_OUTSIDE_H
#define ROUTER_OUTSIDE_H

#include "decision.h"

// What the access table says of the recipient itself: false when that settles it. The table is about the envelope: what an entry
// names is not looked up.
bool outside_admits(struct decision *d, struct decision_item *item);

// An address in nobody's domain of ours: relayed for those who may.
void outside_address(struct decision *d, struct decision_item *item, const struct addr *addr);

// One in a domain that we take mail for although its mailboxes, or this one, are on a server beyond our nodes (relay, backup,
// split).
void outside_of_domain(struct decision *d, struct decision_item *item, const struct addr *addr, const struct entry *domain);

// An address whose entry names another host for its mail: by the route table's row for that host, else to the host itself.
// stands_for: the address is what the entry says, not what a client wrote, and this is the one that leads to the entry; else
// empty.
void outside_by_host(struct decision *d, struct decision_item *item, const struct addr *addr, struct str host,
	struct str stands_for);

#endif
