// SPDX-License-Identifier: Apache-2.0
// Whom may a login be? The check of MAIL FROM at submission: threat sender-login.
//
//     switch (sender_check(directory, account, &mail_from, s->delimiter, arena, &why)) {
//     case SENDER_ALLOWED:     break;
//     case SENDER_REFUSED:     reply_of(REPLY_NOT_YOUR_ADDRESS) ...
//     case SENDER_UNAVAILABLE: 451 ...
//     }
//
// A login may send as: its own mail, phIntlAddress and mailLocalAddress, with any detail and in each domain that is an alias of
// theirs unless somebody else has the address there; what phSendAs names (an address or a whole @domain); any entry whose
// phSendAsGrant names its DN or a group that it is a direct member of; and the empty sender. Pure.
#ifndef ROUTER_SENDER_H
#define ROUTER_SENDER_H

#include "base/arena.h"
#include "ldapsync/directory.h"
#include "mail/addr.h"

enum sender_answer {
	SENDER_ALLOWED,
	SENDER_REFUSED,
	SENDER_UNAVAILABLE, // the directory cannot say now
};

struct sender_why {
	struct str entry;      // DN of the entry that allows it; of the account's when refused
	const char *attribute; // name in the schema; "" for the empty sender
	struct str value;
};

// account: as credentials_lookup() named it. why_out may be NULL.
enum sender_answer sender_check(struct directory *directory, struct str account, const struct addr *sender, struct str delimiters,
	struct arena *arena, struct sender_why *why_out);

#endif
