// SPDX-License-Identifier: Apache-2.0
// What happens to mail for an address: facts and a directory in, a verdict with its reasons out. RCPT TO is decided here.
//
//     struct recipient_query query = {
//         .recipient = &addr,                               // from addr_parse_path(); <postmaster> without a domain too
//         .sender = &mail_from, .account = session->account, .authenticated = session->account.n != 0,
//         .delimiters = s->delimiter, .relayhost = STR("smart.example:25"), .default_domain = s->domain,
//         .entries_max = RECIPIENT_ENTRIES_FIBER,
//     };
//     struct recipient_verdict verdict;
//     recipient_decide(directory, &query, arena, &verdict);
//     if (verdict.too_big)                                   // a large group: again on a worker, with a directory of its own
//         ...entries_max = RECIPIENT_ENTRIES_MAX...
//     switch (verdict.outcome) {
//     case RECIPIENT_DELIVER: case RECIPIENT_EXPAND: case RECIPIENT_FORWARD: case RECIPIENT_RELAY: case RECIPIENT_DISCARD:
//         ... 250; verdict.targets go into the ENTER record ...
//     case RECIPIENT_REFUSE: case RECIPIENT_DEFER:
//         reply((struct reply){verdict.code, verdict.enhanced, verdict.text});
//     }
//
// Pure: no clock but clock_wall_ms() for phExpires, no I/O but the directory's look-ups, no state but what the caller lends
// (answers). One call is one snapshot. With RECIPIENT_ENTRIES_FIBER it takes microseconds for a mailbox and at most some
// milliseconds, and may run on a fiber; it never yields. Results live in the arena (a mailbox needs 4 KiB, a group up to 700
// bytes a member, the decision itself included), which must outlive them; an arena at its cap is RECIPIENT_DEFER.
//
// Targets are mailboxes, outside addresses and lists, each once (per list), never aliases or groups. What an alias or a group
// stands for is recorded with the message. A list (phMailList, and any group or alias that has an owner) is one target: the queue
// expands it once, with RECIPIENT_LISTS_NOW, into a message of its own that carries verdict.owner as its sender. Who may post is
// asked before that, here, of the sender. 5xx only for what a complete and fresh shadow says; every doubt is RECIPIENT_DEFER.
//
// The same call answers `posthouse why`.
#ifndef ROUTER_RECIPIENT_H
#define ROUTER_RECIPIENT_H

#include "base/arena.h"
#include "base/guid.h"
#include "ldapsync/directory.h"
#include "mail/addr.h"
#include "router/home.h"
#include "router/relay.h"
#include "router/rules.h"

enum {
	RECIPIENT_ENTRIES_FIBER = 2000,   // look-ups of one decision on a scheduler thread
	// and on a worker: 100,000 members fit, nested or outside, each with the look-ups of domain and route
	RECIPIENT_ENTRIES_MAX = 1000000,
	RECIPIENT_DEPTH_MAX = 50,         // aliases of aliases, groups in groups
	RECIPIENT_TARGETS_MAX = 1000,     // beyond them a recipient is one target of kind RECIPIENT_LIST, as a list is
};

// What a list among the recipient's targets becomes.
enum recipient_lists {
	RECIPIENT_LISTS_LATER, // one target RECIPIENT_LIST: at RCPT
	// the recipient is a list that was accepted: its members. Lists among them belong to it, unless somebody's
	RECIPIENT_LISTS_NOW,
	                       // forward leads there
	// the same, of a message that a list sent: its recipients, with no list among them, so that two lists that
	RECIPIENT_LISTS_INLINE,
	                       // members' forwards join come to an end
	RECIPIENT_LISTS_ALL,   // everybody, for people who ask why
};

struct list_answers;
struct list_header;

struct recipient_query {
	const struct addr *recipient;  // borrowed for the call
	const struct addr *sender;     // of MAIL FROM, for who may post to a list and for routes by sender; NULL: not asked
	struct str account;            // of a log-in, as credentials_lookup() named it; empty: none
	bool authenticated;            // the client logged in: it may send to outside addresses, and is internal for lists
	// it was accepted before and waits in the queue: who may relay is not asked again, and no way is no refusal
	bool waits;
	// who asks, for relay control and the access table; NULL: ours, only authenticated counts
	const struct relay_client *client;
	const struct home_rules *here; // names of this node, which is no other mailHost; NULL: not known
	// setting routing_detail = preserve: a mailRoutingAddress gets the detail that was stripped
	bool keep_detail;
	const struct rules *rules;     // routes_file and access_file; NULL: none
	// lists that reach somebody, or nobody, remembered (router/list_answers.h); NULL: looked for each time
	struct list_answers *answers;
	enum recipient_lists lists;
	// RECIPIENT_LISTS_NOW, _INLINE: the list was accepted for its moderators, who are asked for instead of its members
	bool moderated;
	// of the message, as SIZE said or as it is; 0: not known. phMaxMessageBytes is held against it
	uint64_t message_bytes;
	struct str delimiters;         // setting delimiter: where the domain says nothing
	struct str relayhost;          // "host:port" of the setting; empty: there is none
	struct str default_domain;     // completes <postmaster>
	size_t entries_max;            // see above; 0: RECIPIENT_ENTRIES_FIBER
};

// outcome, name in `posthouse why --json`
#define RECIPIENT_OUTCOMES(X)                                                         \
	X(RECIPIENT_DELIVER, "deliver") /* one mailbox of ours */                     \
	X(RECIPIENT_EXPAND, "expand")   /* an alias, a group or a list */             \
	X(RECIPIENT_FORWARD, "forward") /* its owner sends it on (and may keep a copy) */ \
	X(RECIPIENT_RELAY, "relay")     /* an outside address */                      \
	X(RECIPIENT_DISCARD, "discard") /* accepted and thrown away, by a rule */     \
	X(RECIPIENT_REFUSE, "refuse")   /* 5xx */                                     \
	X(RECIPIENT_DEFER, "defer")     /* 4xx */

enum recipient_outcome {
#define RECIPIENT_ENUM(outcome, name) outcome,
	RECIPIENT_OUTCOMES(RECIPIENT_ENUM)
#undef RECIPIENT_ENUM
};

const char *recipient_outcome_name(enum recipient_outcome outcome);

enum recipient_target_kind {
	RECIPIENT_MAILBOX, // over LMTP to a host of ours: router/host.h gives the endpoint at each try
	RECIPIENT_OUTSIDE, // over SMTP to host
	RECIPIENT_LIST,    // address stands for many: to be expanded by the queue
};

struct recipient_target {
	enum recipient_target_kind kind;
	const struct addr *address; // for RCPT TO: the mailbox's mail address, or the outside address
	// MAILBOX: the mailHost (domain.key); OUTSIDE: the relayhost as configured, or route_rule_text(); LIST: empty
	struct str host;
	struct guid mailbox_id;     // MAILBOX; zero otherwise
	struct str detail;          // MAILBOX: what came after the delimiter, case kept; empty: none. Part of the delivery key
	struct str list;            // addr.key of the list it came through; empty: none. Part of the delivery key
	struct str forwarder;       // addr.key of the mailbox whose owner forwards it here; empty: nobody
	// OUTSIDE: who is decided again while it waits, where not `address`: it goes by its owner's mailHost; else empty
	struct str stands_for;
	bool moderated;             // LIST: the message goes to its moderators
	// LIST: a list in the list that takes nothing of this sender; "550 5.7.2 why", for whoever gets the reports
	struct str refusal;
};

// rule, what it says to a person. Names are a contract with scripts that read `posthouse why --json`.
#define RECIPIENT_RULES(X)                                                                                        \
	X("domain", "the domain is in the directory")                                                             \
	X("alias domain", "the domain stands for another one")                                                    \
	X("bad domain", "the domain's type is unknown, or it stands for no domain")                               \
	X("route dropped", "the source route before the address was dropped")                                     \
	X("old form", "the local part holds a route (% ! @), which is not passed on to another server")           \
	X("literal", "the domain is an address literal, which is not accepted here")                              \
	X("relay refused", "the domain is not ours, and the client may not relay")                                \
	X("relay login", "the client has logged in, so it may relay")                                             \
	X("relay network", "the client's address is in relay_networks, so it may relay")                          \
	X("relay certificate", "the client has shown a key of relay_certificates, so it may relay")               \
	X("relay certificate name", "the access table lets the client relay by a name of its certificate")       \
	X("relay mailboxes", "the client is the mailboxes of this node")                                          \
	X("relay client", "the access table lets the client relay")                                               \
	X("relay recipient", "the access table lets mail be relayed there")                                       \
	X("access client", "the access table says so of the client")                                              \
	X("access sender", "the access table says so of the sender")                                              \
	X("access recipient", "the access table says so of the recipient")                                        \
	X("no relayhost", "the address is outside, no route is for it, and the setting relayhost is empty")       \
	X("outside", "the address is outside and goes to the relayhost")                                          \
	X("route", "the route table says where its mail goes")                                                    \
	X("sender route", "the route table says where this sender's mail goes")                                   \
	X("relay transport", "the domain's entry says where its mail goes")                                       \
	X("bad route", "the route that is for it cannot be followed")                                             \
	X("discarded", "a rule throws its mail away")                                                             \
	X("mailbox", "the address belongs to a mailbox")                                                          \
	X("alias address", "the address is an alias")                                                             \
	X("group address", "the address is a group or a list")                                                    \
	X("detail", "the address was found without its detail, which goes along to the mailbox")                  \
	X("alias", "the alias names this recipient")                                                              \
	X("member", "the group has this member")                                                                  \
	X("member's address", "the member has no mailbox here, mail goes to its address")                         \
	X("forward", "the owner forwards mail to this address")                                                   \
	X("keep copy", "the owner keeps a copy")                                                                  \
	X("routing address", "mail for the entry is routed to this address")                                      \
	X("catch-all", "nobody has the address; the domain catches all")                                          \
	X("role", "the address is a role that somebody must read (RFC 2142); it goes to postmaster")              \
	X("postmaster", "postmaster is always reachable (RFC 5321)")                                              \
	X("no postmaster", "neither the domain nor the default domain has a postmaster, and the domain no owner") \
	X("host", "the mailbox is on this host")                                                                  \
	X("several values", "an attribute that may have one value has several, and nobody guesses")                 \
	X("other host", "the mailHost is no host of ours, and mail for the entry is passed on to it")             \
	X("no host", "the entry has no mailHost, or several")                                                     \
	X("unknown host", "the mailHost is no phMailHost with an lmtp endpoint")                                  \
	X("no mailbox id", "the entry has neither phMailboxId nor entryUUID")                                     \
	X("no address", "the entry has no mail address")                                                          \
	X("bad address", "this is no address")                                                                    \
	X("too large", "the entry is larger than the shadow keeps, so who is behind it is not known: make it smaller") \
	X("status", "the entry's status says so")                                                                 \
	X("bad status", "this is no status, so its mail waits")                                                  \
	X("expired", "the entry has expired")                                                                     \
	X("list", "the list is expanded once its message is accepted")                                            \
	X("many", "so many recipients are looked up once the message is accepted")                                \
	X("owner sender", "the copies carry this sender, so that reports reach who runs the list")                \
	X("list field", "its copies carry this in their header")                                                  \
	X("list reply", "answers to its copies go there")                                                         \
	X("list tag", "its copies have this before their subject")                                                \
	X("list owner", "the address reaches who runs the list")                                                  \
	X("list request", "the address reaches who keeps the members of the list")                                \
	X("post policy", "who may post to it")                                                                    \
	X("may post", "the sender may post because of this")                                                      \
	X("may not post", "the sender may not post because of this")                                              \
	X("moderator", "the message goes to a moderator, who may post it")                                        \
	X("no moderator", "the list's moderators can be reached in no way")                                       \
	X("missing class", "it names a class of service that nobody has, so the limits of the settings count")    \
	X("size limit", "it takes no larger message than this")                                                   \
	X("member URL", "the list's members are found by this URL")                                               \
	X("bad member URL", "this cannot be asked of the shadow")                                                 \
	X("own copy", "the list sends its author no copy")                                                        \
	X("no members", "the entry names nobody")                                                                 \
	X("reaches nobody", "nobody receives what is sent to it, which was found out a moment ago")               \
	X("unknown user", "nobody has this address")                                                              \
	X("unknown member", "no entry has this name")                                                             \
	X("loop", "this was looked at before: a loop")                                                            \
	X("too deep", "aliases and groups are nested too deeply")                                                 \
	X("ambiguous", "this entry claims the address, and another one too")                                      \
	X("stale", "the shadow may not be up to date, so nothing is refused for good")                            \
	X("unavailable", "the directory cannot say now")

// The sentence of a rule; NULL for a name that is none.
const char *recipient_rule_text(const char *rule);

// One step of the decision, in order: what was applied and the value of the directory that it rests on.
struct recipient_reason {
	const char *rule;    // of RECIPIENT_RULES; a literal
	struct str entry;    // DN; empty where no entry is involved
	const char *attribute; // name in the schema; "" when the rule rests on the entry as a whole
	struct str value;
};

struct recipient_verdict {
	enum recipient_outcome outcome;
	int code;                 // 250, 4xx, 5xx
	struct str enhanced;      // "5.1.1"
	struct str text;          // one line, no address in it
	const struct recipient_target *targets;
	size_t n_targets;         // 0 for REFUSE and DEFER
	struct str owner;         // RECIPIENT_LISTS_NOW, _INLINE: the sender of what the list sends; empty: that of the message
	bool is_list;             // RECIPIENT_LISTS_NOW, _INLINE: targets[].list is the recipient, and reports go to the owner
	// With is_list: what its copies carry (router/list_header.h); moderators' are as they came. NULL: nothing.
	const struct list_header *header;
	const struct recipient_reason *reasons;
	size_t n_reasons;         // of a large group the first RECIPIENT_REASONS_MAX
	struct directory_status shadow; // what the decision was made from
	// the largest message that the recipient takes; 0: no limit of its own. What it leads to may have others
	uint64_t bytes_max;
	struct str quarantine;    // accepted, to be held: why; empty: not
	bool too_big;             // DEFER, because entries_max was reached
	size_t held_bytes;        // what the decision held when it was made, results included
};

enum { RECIPIENT_REASONS_MAX = 1000 };

// Always gives a verdict. verdict_out needs no initialisation.
void recipient_decide(struct directory *directory, const struct recipient_query *query, struct arena *arena,
	struct recipient_verdict *verdict_out);

#endif
