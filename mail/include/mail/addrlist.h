// SPDX-License-Identifier: Apache-2.0
// Address lists of header fields (RFC 5322 section 3.4 and 4.4): From, To, Cc, Reply-To and their like.
//
//     struct addrlist list;
//     addrlist_parse(arena, field.body, ADDRLIST_MAX, &list);
//     for (size_t i = 0; i < list.n; i++)
//         if (list.items[i].kind == ADDRLIST_MAILBOX) show(list.items[i].name, list.items[i].local, list.items[i].domain);
//
// A liberal reader: groups, comments, obsolete routes, encoded or unquoted names, empty members, missing brackets, cut input.
// What cannot be understood becomes an item without a domain, never an error, and every byte is looked at once or twice: 100,000
// addresses are linear. The parts are raw text from outside: an address to send to is made from them by addr_from_parts(), which
// checks. Nothing here blocks.
#ifndef MAIL_ADDRLIST_H
#define MAIL_ADDRLIST_H

#include "base/arena.h"
#include "base/str.h"

enum { ADDRLIST_MAX = 100000 }; // mailboxes of one field

enum addrlist_kind {
	ADDRLIST_MAILBOX,
	ADDRLIST_GROUP_START, // name is the group's; IMAP: (NIL NIL name NIL)
	ADDRLIST_GROUP_END,   // IMAP: (NIL NIL NIL NIL)
};

struct addrlist_item {
	enum addrlist_kind kind;
	// display name without quotes and comments, encoded words kept (IMAP ENVELOPE wants them so): encword_decode for people.
	struct str name;
	// Without a display name the last comment ("a@b (Jane)"). Empty when there is none: name.p is then NULL
	struct str route;  // obsolete source route "@a,@b" without its colon; empty as a rule
	struct str local;  // local part, dequoted
	struct str domain; // "" when it is missing; a literal with its brackets
};

struct addrlist {
	struct addrlist_item *items;
	size_t n;
	size_t mailboxes;
	bool cut; // more than asked for, or the arena is full; the items so far are right and groups are closed
	bool odd; // something was not RFC 5322, obsolete syntax included in it
};

// Strings are copies in arena or borrow from body. body may hold folding.
void addrlist_parse(struct arena *arena, struct str body, size_t max, struct addrlist *list_out);

#endif
