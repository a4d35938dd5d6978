// SPDX-License-Identifier: Apache-2.0
// What `posthouse why` and `posthouse directory diff` share: the question that RCPT TO asks, of a directory as it is or as it
// would be.
#ifndef CTL_WHY_H
#define CTL_WHY_H

#include "base/tls.h"
#include "ctl.h"
#include "ldapsync/directory_overlay.h"
#include "router/recipient.h"
#include "schema/profile.h"

enum { WHY_ANSWER_BYTES_MAX = 1 << 30 };

struct why {
	struct directory *directory; // as it is
	struct directory *after;     // as the change would have it; NULL: none was given
	struct directory_overlay *overlay;
	const char *change;          // the file of --ldif, borrowed; NULL: none
	const struct settings *settings;
	struct arena *arena; // of one answer
	struct str relayhost, default_domain;
	struct addr *sender; // who may post to a list: by --from
	bool outside; // as a client that has not logged in
	struct netaddr client; // NETADDR_NONE: not said
	const char *certificate_file;       // of --certificate; NULL: none
	struct tls_certificate certificate; // owned
	struct rules *rules;   // owned
	bool login;            // the arguments are log-ins, not addresses
	struct str header;     // of --message; empty: not said
	struct profile *profile; // owned; whose attributes the directory has
	bool json;
};

// What the options say; CTL_YES, or the exit code after it was said what is wrong with one.
int why_options(struct ctl *ctl, struct why *why);

// Settings, rules, the shadow and the change; CTL_YES, or the exit code after the complaint was printed. Pairs with why_close
// either way.
int why_open(struct ctl *ctl, struct why *why);
void why_close(struct why *why);

// Where entries are had as the directory has them. In ctl->arena.
struct entry_source why_source(struct ctl *ctl, const struct settings *settings);

// The verdict for an address, from why->directory or another; in why->arena.
void why_decide(struct why *why, struct directory *directory, struct str address, struct recipient_verdict *verdict_out);

// What a login may do, in why->arena, printed; the exit code.
int why_login(struct why *why, struct directory *directory, struct str login);

// The same as an object, the caller's; with "reason" when nobody has the login.
json_t *why_login_json(struct why *why, struct directory *directory, struct str login);

// Would a mailbox that mail for a target goes to answer this sender (phVacation)? Without a sender only what is wrong with the
// word that its entry has. NULL: it has none, or there is nothing to say. In why->arena.
const char *why_vacation(struct why *why, struct directory *directory, const struct recipient_target *target);

// An attribute of an entry as the administrator of the directory knows it: the one that a profile made the native one of, and its
// value there. In why->arena.
struct why_told {
	struct str attribute, value;
	bool mapped; // it is another attribute, or another value, than the native one
};
struct why_told why_told(struct why *why, struct str entry, const char *attribute, struct str value);

// Pieces of the answers.
json_t *why_json_text(struct str s);
json_t *why_json_targets(const struct recipient_verdict *verdict);
const char *why_headline(enum recipient_outcome outcome);
void why_add_target(struct buf *b, const struct recipient_target *target);

#endif
