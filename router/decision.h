// SPDX-License-Identifier: Apache-2.0
// A decision about a recipient while it is made: what is still to be looked at, what was found, why. recipient.c holds the rules.
//
// Work is a queue, not a recursion: a group of 100,000 nested members needs memory of a worker's and no stack of a fiber's. Each
// entry is applied once, so loops and diamonds end; the chain of parents tells a loop from a diamond.
#ifndef ROUTER_DECISION_H
#define ROUTER_DECISION_H

#include "mail/reply.h"
#include "router/recipient.h"

// cause, code, enhanced status, text for the client. A 5xx is said only from a fresh shadow.
#define DECISION_CAUSES(X)                                                                                   \
	X(CAUSE_NONE, 250, "2.1.5", "recipient accepted")                                                    \
	X(CAUSE_UNKNOWN, 550, "5.1.1", "no such user here")                                                  \
	X(CAUSE_UNKNOWN_NOW, 450, "4.1.1", "no such user here now, try again later")                         \
	X(CAUSE_RELAY_DENIED, 550, "5.7.1", "relay access denied")                                           \
	X(CAUSE_NO_RELAYHOST, 550, "5.7.1", "this server sends no mail to outside addresses")                \
	X(CAUSE_LITERAL, 550, "5.1.2", "mail to address literals is not accepted here")                      \
	X(CAUSE_OLD_FORM, 550, "5.7.1", "addresses with a route in their local part are not relayed")        \
	X(CAUSE_DISABLED, 550, "5.2.1", "mailbox is disabled")                                               \
	X(CAUSE_HOLD, 450, "4.2.1", "mailbox does not accept mail now, try again later")                     \
	X(CAUSE_LOOP, 550, "5.4.6", "address expands into itself")                                           \
	X(CAUSE_EMPTY, 550, "5.2.4", "nobody receives mail for this address")                                \
	X(CAUSE_POST, 550, "5.7.2", "you may not send to this address")                                      \
	X(CAUSE_POST_LOGIN, 550, "5.7.2", "log in to send to this address")                                  \
	X(CAUSE_SIZE, 552, "5.2.3", "message is larger than this address takes")                             \
	X(CAUSE_LIST, 451, "4.3.0", "list is not set up completely, try again later")                        \
	X(CAUSE_UNAVAILABLE, 451, "4.3.0", "directory is not available now, try again later")                \
	X(CAUSE_STALE, 451, "4.3.0", "directory may not be up to date, try again later")                     \
	X(CAUSE_AMBIGUOUS, 451, "4.3.0", "several owners claim this address, try again later")               \
	X(CAUSE_NO_HOST, 451, "4.3.0", "mailbox has no host now, try again later")                           \
	X(CAUSE_SEVERAL, 451, "4.3.0", "the directory says two things of this address, try again later")       \
	X(CAUSE_NO_ID, 451, "4.3.0", "mailbox has no identity yet, try again later")                         \
	X(CAUSE_DOMAIN, 451, "4.3.0", "domain is not set up completely, try again later")                    \
	X(CAUSE_ROUTE, 451, "4.3.5", "the way to this domain is not set up completely, try again later")     \
	X(CAUSE_RULE, 550, "5.7.1", "refused by policy") /* decision_says gives the words */                 \
	X(CAUSE_RULE_NOW, 450, "4.7.1", "refused by policy for now")                                         \
	X(CAUSE_NO_POSTMASTER, 451, "4.3.0", "postmaster has no mailbox yet, try again later")               \
	X(CAUSE_TOO_BIG, 451, "4.3.0", "too many recipients behind this address, try again later")

enum decision_cause {
#define DECISION_ENUM(cause, code, enhanced, text) cause,
	DECISION_CAUSES(DECISION_ENUM)
#undef DECISION_ENUM
};

// An address or a DN that is still to be looked at.
struct decision_item {
	struct decision_item *next;
	const struct decision_item *parent; // NULL: the recipient itself
	const struct addr *addr;            // the recipient's; else NULL
	struct str text;                    // address or DN
	unsigned depth;
	bool is_dn;
	bool no_author;                     // the list sends its author no copy
	bool own_words;                     // its local part is what the client wrote, not what an entry says
	struct guid entry;                  // what it turned out to be; zero before
	struct str dn, key;                 // of a group or list that it turned out to be: its DN, addr_key of its address
	struct str list, forwarder;         // for the targets below it
	struct str detail;                  // of a catch-all's address: what the domain before took for the detail
};

// Is it only to be known whether there is a target?
enum decision_probe {
	DECISION_WHOLE,
	DECISION_PROBE_NAMED, // of the first members that are named
	DECISION_PROBE_ALL,   // and of those that URLs find
};

// Of an attribute or of what URLs find, and look-ups in all; beyond them nobody is said to be missing.
enum {
	DECISION_PROBE_VALUES = 100, // DECISION_PROBE_NAMED, for it runs on a fiber
	DECISION_PROBE_VALUES_ALL = 1000,
	DECISION_PROBE_ENTRIES = 10000,
};

struct decision {
	enum decision_probe probe;
	size_t probe_walks;    // through the shadow
	bool probe_left;       // some were not looked at,
	bool probe_urls_left;  // nor were some URLs asked
	struct directory *directory;
	const struct recipient_query *query;
	struct directory_status shadow;
	struct arena *arena;   // results
	struct arena *work;    // items and tables: until the verdict
	struct arena *scratch; // one item
	size_t arena_before;   // bytes of results that are not of this decision
	struct decision_item *first, **end;
	struct recipient_reason *reasons;
	size_t n_reasons, room_reasons;
	struct recipient_target *targets; // owned
	size_t n_targets, room_targets;
	uint64_t *seen;        // hashes of applied entries and of targets; open addressing, 0 is free
	size_t n_seen, room_seen;
	size_t entries, entries_max; // looked up
	size_t items;                // added; entries_max holds for them too
	struct str host;       // the last mailbox host that was found; members of a group mostly share it
	struct str domain_key; // and the last domain
	struct entry domain;
	struct str outside_key; // and the last that is none of ours
	struct access access;  // what the access table says of the recipient itself
	// of a recipient that must be reachable (RFC 2142), or leads to postmaster; dn empty: it is none
	struct entry role_domain;
	struct str role_postmaster; // of that domain; empty: it was postmaster itself
	unsigned role_tries;      // who has been tried in its place
	enum decision_cause later, gone; // the first of each
	bool in_list;             // what is looked at is a list's: that it is not there is no word about the recipient
	struct reply said_later, said_gone; // the words of CAUSE_RULE_NOW and CAUSE_RULE
	enum recipient_outcome outcome;
	bool has_outcome;
	struct entry moderated; // the recipient itself, a list whose moderators are asked; dn empty: it is none
	unsigned moderated_tries; // who has been tried in their place
	struct addr moderated_addr;
	uint64_t bytes_max;    // the largest message that the recipient itself takes; 0: no limit
	struct str owner;      // of the list that the recipient is; in arena
	const struct list_header *header; // of its copies; in arena; NULL: none
	bool is_list;
	struct guid author;    // entryUUID of who has the sender's address, once it was looked for; zero: nobody
	bool has_author;       // it was
	bool too_big;
};

void decision_begin(struct decision *d, struct directory *directory, const struct recipient_query *query, struct arena *arena);
void decision_end(struct decision *d, struct recipient_verdict *verdict_out);
void decision_drop(struct decision *d); // without a verdict

// A reason; strings are copied. rule is a literal.
void decision_reason(struct decision *d, const char *rule, struct str entry, enum attr attr, struct str value);

// The same with the attribute's name, a literal; "": none.
void decision_reason_of(struct decision *d, const char *rule, struct str entry, const char *attribute, struct str value);

// Something below cannot be delivered: for now, or for good. From a shadow that is not fresh nothing is for good. Of a list's
// member who is gone or turned off it is CAUSE_EMPTY.
void decision_later(struct decision *d, enum decision_cause cause);
void decision_gone(struct decision *d, enum decision_cause cause);

// The same with the words of a rule; its strings are copied.
void decision_says(struct decision *d, const struct reply *reply);

// What the recipient itself is; the first call counts.
void decision_is(struct decision *d, enum recipient_outcome outcome);

// A look-up in the snapshot, counted: beyond entries_max d->too_big and a doubt. No answer, and two entries, are a doubt, which
// is said here: decision_later, with its reason, so that callers have two cases: somebody, and nobody.
enum decision_found {
	DECISION_NOBODY,
	DECISION_SOMEBODY, // *entry_out, in d->scratch
	DECISION_DOUBT,
};
enum decision_found decision_find(struct decision *d, enum directory_key kind, struct str key, const struct entry **entry_out);

// Remembers the entry of a domain.
void decision_keep_domain(struct decision *d, struct str key, const struct entry *domain);

// Remembers an entry beyond the item that it was found for.
struct entry decision_keep_entry(struct decision *d, const struct entry *entry);

// An item that stands for the recipient itself, for what is added when nothing came of it: it is never looked at.
struct decision_item *decision_top(struct decision *d);

// What is said of a cause, for a report: "550 5.7.2 text". Empty when the shadow is too old for it.
struct str decision_refusal(struct decision *d, enum decision_cause cause);

// Another item below parent; text is copied, list and forwarder are borrowed from d's lifetime.
struct decision_item *decision_add(struct decision *d, struct decision_item *parent, struct str text, bool is_dn);

// Is it a probe that has seen enough of an attribute, with n of its values? The others are left then.
bool decision_has_enough(struct decision *d, size_t n);

// The next item; NULL when all are done.
struct decision_item *decision_next(struct decision *d);

// Was this entry applied before, by way of the same list? If not, it is from now on.
bool decision_once(struct decision *d, const struct decision_item *item, const struct guid *entry);

// Is the entry one that item comes from?
bool decision_is_loop(const struct decision_item *item, const struct guid *entry);

// A target, once; strings are copied.
void decision_target(struct decision *d, const struct recipient_target *target);

// This one instead of all before, and why: that is said even when there were too many reasons already.
void decision_only_target(struct decision *d, const char *rule, const struct recipient_target *target);

#endif
