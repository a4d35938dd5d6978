// SPDX-License-Identifier: Apache-2.0
// Which host serves a mailbox, and is it this node? For log-ins (IMAP, POP3) and for deliveries (LMTP).
//
//     struct home_rules rules = {.serves = s->serves.v, .n_serves = s->serves.n, .hostname = s->hostname};
//     struct home home;
//     home_of_account(directory, &rules, sasl_session_account(session), arena, &home);
//     switch (home.answer) {
//     case HOME_HERE:        open_mailbox(home.mailbox_id); break;
//     case HOME_ELSEWHERE:   ... "NO [UNAVAILABLE] ..." with home.text; the proxy comes later ...
//     case HOME_NONE: case HOME_REFUSED: case HOME_HELD: case HOME_UNAVAILABLE: ... home.text ...
//     }
//
// Pure, as router/recipient.h. Results live in the arena.
#ifndef ROUTER_HOME_H
#define ROUTER_HOME_H

#include "base/arena.h"
#include "base/guid.h"
#include "ldapsync/directory.h"
#include "mail/addr.h"

struct home_rules {
	const struct str *serves; // the mailHost values that this node is
	size_t n_serves;
	struct str hostname;      // counts as the only one when serves is empty
	struct str delimiters;    // for home_of_recipient: setting delimiter
};

// Is this node the mailbox host of that name?
bool home_serves(const struct home_rules *rules, struct str host);

enum home_answer {
	HOME_HERE,
	HOME_ELSEWHERE,   // another host of ours: home.host
	HOME_NONE,        // no such entry, or it has no mailbox; from a complete and fresh shadow
	HOME_REFUSED,     // its status forbids what is asked: permanent
	HOME_HELD,        // its status says later: temporary
	// cannot know now: shadow not complete or not fresh, two owners, no mailHost, a host that is no node of ours
	HOME_UNAVAILABLE,
};

struct home {
	enum home_answer answer;
	struct guid mailbox_id;     // HERE, ELSEWHERE
	struct str host;            // HERE, ELSEWHERE: mailHost as domain.key
	struct str mail;            // HERE, ELSEWHERE: the primary address, may be empty
	struct str detail;          // home_of_recipient: what followed the delimiter, case kept
	const struct entry *entry;  // where one was found, for quota and limits
	const char *text;           // why, for the reply and the log: a literal
};

// The domain of a user's mail address, or one above that includes it, whose phStatus and phExpires hold for all in it. NONE: it
// is none of ours; AMBIGUOUS, UNAVAILABLE: nobody knows what it forbids, so nothing is allowed now.
enum directory_answer home_domain(struct directory *directory, const struct entry *user, struct arena *arena,
	const struct entry **domain_out);

// The account that credentials_lookup() named: 32 hex digits of the entry's uuid.
void home_of_account(struct directory *directory, const struct home_rules *rules, struct str account, struct arena *arena,
	struct home *home_out);

// The mailbox that an LMTP recipient means: the address itself, then without its detail. Aliases and forwards are not followed:
// the front-end has done that.
void home_of_recipient(struct directory *directory, const struct home_rules *rules, const struct addr *recipient,
	struct arena *arena, struct home *home_out);

// The mailHost of a mailbox and its primary address (may be empty), wherever its owner's addresses and forwards lead: for mail
// that was accepted for it. FOUND: both are in the arena; AMBIGUOUS: several entries claim it, or its entry names no host, or
// several; NONE: there is no such mailbox (any more).
enum directory_answer home_of_mailbox(struct directory *directory, const struct guid *mailbox_id, struct arena *arena,
	struct str *host_out, struct str *mail_out);

#endif
