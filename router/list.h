// SPDX-License-Identifier: Apache-2.0
// What a list has beyond its members: who may post to it, who runs it, what its copies carry as sender. For recipient.c.
//
// A list is a phMailList, and any group or alias that has an owner (phListErrorsTo, phListOwnerAddress, owner, or an entry with
// the address owner-x), as sendmail and Postfix have it.
//
// Lists in lists. Each list asks its own policy for who wrote the message, as Exchange does: to be named by a list opens no other
// one. What a list wants that is to be reached through another: name that one, by DN in phListAllowedSenderDN or by address in
// phListAllowedSender (Mailman's accept_these_nonmembers with a list in it); then whoever may post there may post here by way of
// it. phListPostPolicy: nobody means nobody, that way too. An inner list that refuses is left out, and the owner of the outer one
// gets a report that names it, never the sender, who need not know what the list is made of. One that is moderated goes to its
// moderators. Of those that agree the outermost counts: its owner gets the reports, a member of both gets one copy.
// What a member's own forward leads to is asked for the sender alone: nobody opens a list by forwarding to it.
//
// When a list is expanded the sender is known by address, and whether he logged in, not as which account: who posts to inner
// lists under an address that is none of his own (phSendAs) is asked about as that address.
//
// A list that nobody receives from is refused at RCPT, by a look for the first member who does: with 550 5.2.4 when it has none,
// or when they are gone or turned off (5.1.1 would say that the list itself is not there), else with what its members are refused
// with. sendmail and Postfix take the mail and return it, when the author may be a forged one. Mailman takes mail for an empty
// list and drops it without a word, which nobody who writes to a course or an institute expects. In doubt (a member with two
// owners, a URL that cannot be asked, a shadow that is not fresh) it is 451. An empty list in a list is left out. The look has an
// end (decision.h): a list whose first 1,000 named members, or found ones, are all gone is taken.
//
// Members are told to nobody but the owner (reports) and operators, whatever phListHideMembers says: copies carry the sender
// owner-x.
#ifndef ROUTER_LIST_H
#define ROUTER_LIST_H

#include "decision.h"
#include "router/list_header.h"

enum list_post {
	LIST_POST_ALLOWED,
	LIST_POST_REFUSED,   // *cause_out: why
	LIST_POST_LATER,     // cannot know now; decision_later has been called
	LIST_POST_MODERATED, // only its moderators, or its owners, who stand in for them
};

// May the sender of the message post, by way of the lists above item? The answer for a sender that is not known (query->sender
// NULL) is yes.
enum list_post list_may_post(struct decision *d, const struct decision_item *item, const struct entry *list,
	enum decision_cause *cause_out);

// phListPostPolicy. Allowed senders without one mean that there is one: listed.
enum list_policy {
	LIST_POLICY_ANYONE,
	LIST_POLICY_INTERNAL,
	LIST_POLICY_MEMBERS,
	LIST_POLICY_LISTED,
	LIST_POLICY_MODERATED,
	LIST_POLICY_NOBODY,
	LIST_POLICY_BAD, // a word that is none: nobody posts until it is
};
enum list_policy list_policy_of(const struct entry *list);

// Adds the moderators of a list as items; without any its owners. Nobody: decision_later.
void list_add_moderators(struct decision *d, struct decision_item *item, const struct entry *list);

// Nothing came of the moderators of the list that the recipient is (d->moderated): its owners, then not now. False: it is no
// matter of moderators, or something came of it.
bool list_try_moderators(struct decision *d);

// Is it one to be expanded apart? *owner_out: the sender of its copies; empty: that of the message (the list has none, or the
// message comes from <>, for a report about a report would go round). addr: x, the address that it was found by.
bool list_is_one(struct decision *d, const struct entry *entry, const struct addr *addr, struct str *owner_out);

// owner-x and x-request of a list x, when no entry has the address itself: its owners (phListOwnerAddress, owner), who keeps its
// members (phListRequestAddress, else the owners), else postmaster of the domain (RFC 2142 section 6). That all of these are gone
// is seen to by recipient_try_role. False: addr is not of that form, or x is no list.
bool list_try_role(struct decision *d, struct decision_item *item, const struct addr *addr);

// Adds the members that memberURL finds as items; returns how many. Of a decision on a fiber it is too big: the shadow is read
// whole.
size_t list_add_by_url(struct decision *d, struct decision_item *item, const struct entry *list);

// What its copies carry (router/list_header.h), with reasons; in d->arena. NULL: nothing of its own. found: the address that it
// was found by.
const struct list_header *list_header_of(struct decision *d, const struct entry *list, const struct addr *found);

// phListSuppressSender: is this the author of the message?
bool list_is_author(struct decision *d, const struct entry *user);

#endif
