// SPDX-License-Identifier: Apache-2.0
// What a list has beyond its members: who may post to it, who runs it, what its copies carry as sender. For recipient.c.
//
// A list is a phMailList, and any group or alias that has an owner (phListErrorsTo, phListOwnerAddress, owner, or an entry with the address
// owner-x), as sendmail and Postfix have it. Of lists in lists the outermost counts: its policy is asked, its owner gets the reports, a member
// of both gets one copy. What a member's own forward leads to is asked again: nobody opens a list by forwarding to it.
#ifndef ROUTER_LIST_H
#define ROUTER_LIST_H

#include "decision.h"

enum list_post {
	LIST_POST_ALLOWED,
	LIST_POST_REFUSED,   // decision_gone or decision_later has been called
	LIST_POST_MODERATED, // its moderators have been added as items
};

// May the sender of the message post? The answer for a sender that is not known (query->sender NULL) is yes.
enum list_post list_may_post(struct decision *d, struct decision_item *item, const struct entry *list);

// Is it one to be expanded apart? *owner_out: the sender of its copies; empty: that of the message (the list has none, or the message
// comes from <>, for a report about a report would go round). addr: x, the address that it was found by.
bool list_is_one(struct decision *d, const struct entry *entry, const struct addr *addr, struct str *owner_out);

// owner-x and x-request of a list x, when no entry has the address itself: its owners (phListOwnerAddress, owner), who keeps its members
// (phListRequestAddress, else the owners), else postmaster of the domain (RFC 2142 section 6). False: addr is not of that form, or x is no list.
bool list_try_role(struct decision *d, struct decision_item *item, const struct addr *addr);

// Adds the members that memberURL finds as items; returns how many. Of a decision on a fiber it is too big: the shadow is read whole.
size_t list_add_by_url(struct decision *d, struct decision_item *item, const struct entry *list);

// phListSuppressSender: is this the author of the message?
bool list_is_author(struct decision *d, const struct entry *user);

#endif
