// SPDX-License-Identifier: Apache-2.0
// The steps of a decision about a recipient, between the files that have them. recipient.c begins with an address or a DN,
// recipient_address.c finds the entry, recipient_entry.c and recipient_list.c apply it and add what it names, which recipient.c
// begins with in its turn.
#ifndef ROUTER_RECIPIENT_STEPS_H
#define ROUTER_RECIPIENT_STEPS_H

#include "decision.h"

// An address with its domain: its entry is applied, or the domain's rules for those whom nobody knows.
void recipient_address(struct decision *d, struct decision_item *item, struct addr addr);

// Nothing came of a role that is the recipient itself (postmaster, abuse, …, owner-x and x-request of a list), or of postmaster
// whom it leads to as an alias or a group, no list or forward: postmaster of its domain, that of the default domain, the owners
// of its domain, then not now. False: it is no matter of roles, or something came of it.
bool recipient_try_role(struct decision *d);

// An entry that an address (addr; its detail) or a DN (addr NULL) led to.
void recipient_entry(struct decision *d, struct decision_item *item, const struct entry *entry, const struct addr *addr,
	struct str detail);

// What phStatus and phExpires of an entry, or of the domain, say; is all of it known? False when mail stops here. is_relayed: no
// host of ours will ask again, so that a member's waits with the group.
bool recipient_status_accepts(struct decision *d, const struct decision_item *item, const struct entry *entry, bool is_relayed);

// A group or list (item->dn and item->key are set): true when it ends here, because it is a target of its own, or takes nothing
// of this sender. False: its members are the next.
bool recipient_stops_at_list(struct decision *d, struct decision_item *item, const struct entry *group, const struct addr *found);

// A list that is to be a target of its own: does anybody receive what is sent to it? False: nobody does, and why was said; for
// good when the shadow is sure, as for a group, so that the author hears it at once and by his own server. Costs a look-up or
// two: it ends with the first member who receives. When the first DECISION_PROBE_VALUES of them are gone, or URLs must say, it is
// too big for a fiber. Beyond DECISION_PROBE_VALUES_ALL of an attribute, or DECISION_PROBE_ENTRIES look-ups, that are all in
// vain, somebody may be left, and it is true. What took long is kept in query->answers. Asked after who may post: it costs
// nothing for who may not.
bool recipient_reaches_somebody(struct decision *d, const struct entry *list, const struct addr *addr);

// addr_key of an entry's first address, else of the one that it was found by (NULL: none); lives as long as d.
struct str recipient_key(struct decision *d, const struct entry *entry, const struct addr *addr);

// Adds each value of an attribute as an item; returns how many.
size_t recipient_add_values(struct decision *d, struct decision_item *item, const struct entry *entry, enum attr attr,
	const char *rule);

// The address of a user: mail, else the first of mailLocalAddress. False when the entry has none.
bool recipient_own_address(struct decision *d, const struct entry *user, struct addr *addr_out);

#endif
