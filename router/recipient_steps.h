// SPDX-License-Identifier: Apache-2.0
// The steps of a decision about a recipient, between the files that have them. recipient.c begins with an address or a DN, recipient_address.c
// finds the entry, recipient_entry.c applies it and adds what it names, which recipient.c begins with in its turn.
#ifndef ROUTER_RECIPIENT_STEPS_H
#define ROUTER_RECIPIENT_STEPS_H

#include "decision.h"

// An address with its domain: its entry is applied, or the domain's rules for those whom nobody knows.
void recipient_address(struct decision *d, struct decision_item *item, struct addr addr);

// Nothing came of a role (postmaster, abuse, …) that is the recipient itself: postmaster of the default domain, then the owners of its domain,
// then not now. False: it is no matter of roles, or something came of it.
bool recipient_try_role(struct decision *d);

// An entry that an address (addr; its detail) or a DN (addr NULL) led to.
void recipient_entry(struct decision *d, struct decision_item *item, const struct entry *entry, const struct addr *addr, struct str detail);

// Adds each value of an attribute as an item; returns how many.
size_t recipient_add_values(struct decision *d, struct decision_item *item, const struct entry *entry, enum attr attr, const char *rule);

#endif
