// SPDX-License-Identifier: Apache-2.0
// The records of a queue's log: what may happen to a message, as bytes (schema/FORMATS.md section 5).
//
//     struct record record = {.type = RECORD_CANCEL, .cancel = {.guid = guid}};
//     struct buf bytes;
//     buf_init(&bytes, RECORD_BYTES_MAX);
//     if (!record_encode(&record, &bytes)) ...                             // over the cap
//
//     if (record_decode(arena, buf_str(&bytes), &record, err)) ...         // ERR_CORRUPT, ERR_VERSION; nothing is guessed or
//     skipped switch (record.type) ...
//
// A value has one encoding: fields in ascending order of their tags, zero and empty values left out. The decoder takes exactly
// what the encoder makes, so equal records are equal bytes and a digest of a log means something. Pure; nothing here blocks.
#ifndef SCHEMA_RECORD_H
#define SCHEMA_RECORD_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guid.h"

enum {
	RECORD_VERSION = 1,
	RECORD_BYTES_MAX = 8 << 20,      // one record, without the body of its message
	RECORD_RECIPIENTS_MAX = 100000,  // entries of one list
	RECORD_DIGEST_BYTES = 32,        // SHA-256
	RECORD_TEXT_BYTES_MAX = 4096,    // one address, reply or reason
	RECORD_ALSO_MAX = 100,           // addresses besides the first that one copy is for
	RECORD_MAILBOX_ID_BYTES_MAX = 32,
	RECORD_PART_BITS = 16,           // a part of a list has fewer members than 1 << these
	RECORD_PART_DELAY_MS = 60000,    // a part waits so long for who made it to expand it; then anybody does
};

enum record_type {
	RECORD_ENTER = 1,
	RECORD_CANCEL = 2,
	RECORD_EXPAND = 3,
	RECORD_ATTEMPT = 4,
	RECORD_RESULT = 5,
	RECORD_HOLD = 6,
	RECORD_RELEASE = 7,
	RECORD_DELETE = 8,
	RECORD_WARNED = 9,
	RECORD_FEATURES = 10,
	RECORD_POLICY = 11,
	RECORD_RETIRED = 12,
	RECORD_ROUTE = 13,
	RECORD_MEND = 14,
	RECORD_REQUEUE = 15,
};

// Why a message exists. All but ACCEPTED are begotten: their guid is guid_derive(parent, recipient, record_kind_name(kind)).
enum record_kind {
	RECORD_ACCEPTED = 0, // from a client
	RECORD_DSN = 1,
	RECORD_DELAY = 2,
	RECORD_FORWARD = 3,
	RECORD_LIST = 4,
	RECORD_REPLY = 5,
};
const char *record_kind_name(enum record_kind kind); // "accepted", "dsn", …

// How a recipient leaves us.
enum record_target {
	RECORD_TO_MAILBOX = 1, // LMTP to the mailbox host `destination`
	RECORD_TO_RELAY = 2,   // SMTP to `destination`: the relayhost, or what a route says (mail/route_rule.h)
	// a list or a large group: an EXPAND makes it what it stands for. destination is RECORD_EXPAND_DESTINATION;
	RECORD_TO_EXPAND = 3,
	                       // detail: see RECORD_EXPAND_MODERATED
};
#define RECORD_EXPAND_DESTINATION "(expand)" // no name of a host

// What is asked for of a recipient that is to be expanded, in its detail: nothing (all members); "k/n" or "k/n sender", the k-th
// of n parts of what the message before was to, and who sent that; "moderated": its moderators; "refused 550 5.7.2 why": nobody,
// it takes nothing of this sender, which the sender of the message (a list's owner) gets a report about.
#define RECORD_EXPAND_MODERATED "moderated"
#define RECORD_EXPAND_REFUSED "refused "

enum {
	RECORD_FLAG_UTF8 = 1 << 0,     // MAIL had SMTPUTF8 (RFC 6531)
	RECORD_FLAG_8BIT = 1 << 1,     // MAIL had BODY=8BITMIME (RFC 6152)
	RECORD_FLAG_RET_FULL = 1 << 2, // RFC 3461 section 4.3; neither: not given
	RECORD_FLAG_RET_HDRS = 1 << 3,
	RECORD_FLAG_SPOOL = 1 << 4,    // the body is the file spool/<guid>; else it is in the database
	// a finished message that was entered again: not kept for replay a second time, reported to nobody
	RECORD_FLAG_REPLAY = 1 << 5,
	RECORD_FLAG_LOGIN = 1 << 6,    // its client had logged in, or was trusted as if it had
	RECORD_FLAG_OPEN_END = 1 << 7, // the body's last line has no line end; one that goes without DATA gets it on its way
};

// RFC 3461 section 4.1; 0: not given.
enum { RECORD_NOTIFY_NEVER = 1 << 0, RECORD_NOTIFY_SUCCESS = 1 << 1, RECORD_NOTIFY_FAILURE = 1 << 2, RECORD_NOTIFY_DELAY = 1 << 3,
	RECORD_NOTIFY_ALL = 15 };

// In the same byte: other addresses of the message led here, too (record_also); more of them than are remembered: no REQUEUE
// withdraws such a copy.
enum { RECORD_SHARED = 1 << 4, RECORD_SHARED_MORE = 1 << 5 };

// An address that the client named, what it asked for it, and whose copy was there already for another one.
struct record_also {
	struct str key, address;  // addr_key and canonical text
	uint8_t notify;           // set of RECORD_NOTIFY_*
	struct str orcpt;         // as in struct record_recipient
};

struct record_recipient {
	uint32_t number;          // in its message, from 1, ascending
	enum record_target target;
	uint8_t notify;           // set of RECORD_NOTIFY_*, RECORD_SHARED, RECORD_SHARED_MORE
	struct str address;       // canonical text, as it goes into RCPT TO at the next hop
	struct str key;           // its addr_key
	struct str original;      // what the client named, when that is another address (alias, forward): reports name this one
	struct str orcpt;         // "type;address" decoded, UTF-8; empty without ORCPT
	struct str destination;   // what is scheduled together: the mailHost, or the next hop
	struct str mailbox_id;    // RECORD_TO_MAILBOX
	struct str detail, list;  // of the delivery key (CLUSTER 6)
	struct str stands_for;    // RECORD_TO_RELAY: who is decided again while it waits, where not address
	struct {
		struct record_also *v;
		size_t n;
	} also;                   // of ENTER: for whom else it is, each once; in memory it is left empty (mta/item.h)
};

struct record_recipients {
	struct record_recipient *v;
	size_t n;
};

struct record_enter {
	struct guid guid, root;
	struct guid parent;       // zero: nobody's
	enum record_kind kind;
	uint8_t flags;            // set of RECORD_FLAG_*
	struct str sender;        // canonical text; "" is the null sender
	struct str envid;         // decoded
	struct str source;        // for people: "198.51.100.7" or a login; may be empty
	int64_t received_ms;
	uint64_t body_bytes;
	struct str digest;        // SHA-256 of the body
	struct record_recipients recipients;
	struct str held;          // why its recipients rest from the start, as after a HOLD; empty: they do not
};

struct record_enters {
	struct record_enter *v;
	size_t n;
};

struct record_cancel {
	struct guid guid;
};

// A recipient became others of the same message, or messages of its own. A list becomes one message (its guid from the parent's,
// the list's key and "list"), with its members for recipients, or, when they are many, with parts of itself ("k/n"), which become
// their members in turn.
struct record_expand {
	struct guid guid;
	uint32_t number;
	int64_t at_ms;
	struct record_recipients into; // numbers that the message has not had: number << RECORD_PART_BITS and up
	struct record_enters begets;
};

// One recipient of one message. number 0: all of them, where a record says so.
struct record_ref {
	struct guid guid;
	uint32_t number;
};

struct record_refs {
	struct record_ref *v;
	size_t n;
};

struct record_attempt {
	struct str destination;
	int64_t at_ms;
	uint32_t validity_ms; // of CLOCK_BOOTTIME, from the commit on
	struct record_refs refs;
};

enum record_outcome {
	RECORD_DELIVERED = 1,
	RECORD_RELAYED = 2,
	RECORD_DEFERRED = 3,
	RECORD_BOUNCED = 4,    // refused for good
	RECORD_EXPIRED = 5,    // its lifetime ended
	RECORD_DISCARDED = 6,  // a report that nobody can be given
	RECORD_SUPPRESSED = 7, // a copy that would have been the same again
};

struct record_one_result {
	struct guid guid;
	uint32_t number;
	enum record_outcome outcome;
	int64_t next_try_ms;  // RECORD_DEFERRED
	uint32_t waited_s;    // RECORD_DEFERRED: how much of its lifetime is used up, counted from try to try
	struct str reply;     // the peer's, or ours: "550 5.1.1 no such user"
};

struct record_results {
	struct record_one_result *v;
	size_t n;
};

struct record_result {
	uint64_t attempt; // index of the ATTEMPT; 0: the delivery stayed with us
	int64_t at_ms;
	struct record_results results;
	struct record_enters begets; // each is entered if a result for its parent counted
};

struct record_hold {
	struct guid guid;
	uint32_t number; // 0: all
	int64_t at_ms;
	struct str who, why;
};

// Held ones go on; what waits is due at at_ms.
struct record_release {
	struct guid guid;
	uint32_t number; // 0: all
	int64_t at_ms;
	struct str who;
};

struct record_delete {
	struct guid guid;
	uint32_t number; // 0: all
	int64_t at_ms;
	struct str who, why;
};

// A recipient that waits goes another way than it came in for, in place: what it has waited and the key of its list stay, the
// ledger too.
struct record_one_route {
	struct guid guid;
	uint32_t number;
	enum record_target target;
	struct str address, key;  // as in struct record_recipient
	struct str original;      // likewise; empty: as it is
	struct str destination;
	struct str mailbox_id;
	struct str detail;
	struct str stands_for;
};

struct record_routes {
	struct record_one_route *v;
	size_t n;
};

struct record_route {
	int64_t at_ms; // when it is due by its new way
	struct record_routes routes;
};

// Addresses of a message are expanded anew, in one step: they do not lead to copies any more, and lead to those that come, due at
// at_ms. A copy that is for others too goes on for them. Of no effect is an address whose copy this is not, and the one in the
// row of a copy that is being tried or is RECORD_SHARED_MORE. What comes and is open goes on, for this address too; what ended in
// any way but delivered to a mailbox does not come: there the delivery key knows.
struct record_requeue {
	struct guid guid;
	int64_t at_ms;
	struct str who;
	struct {
		struct record_leave {
			uint32_t number;
			struct str key; // of the address
		} *v;
		size_t n;
	} leave;
	struct record_recipients come; // numbers 1 to n, counted on from the highest that the message has given
};

// An administrator removes what a damaged disk has made of rows: recipients that nobody can read, messages that nobody receives.
// Of rows that are sound it touches none.
struct record_mend {
	int64_t at_ms;
	struct str who, why;
};

struct record_warned {
	int64_t at_ms;
	struct record_refs refs;
	struct record_enters begets;
};

struct record_feature {
	uint32_t type, version;
};

struct record_features {
	struct {
		struct record_feature *v;
		size_t n;
	} may; // record versions that may be written from here on
};

struct record_policy {
	uint32_t copies; // that a 250 needs, this disk included
};

struct record {
	enum record_type type;
	union {
		struct record_enter enter;
		struct record_cancel cancel;
		struct record_expand expand;
		struct record_attempt attempt;
		struct record_result result;
		struct record_hold hold;
		struct record_release release;
		struct record_delete delete;
		struct record_warned warned;
		struct record_features features;
		struct record_policy policy;
		struct record_route route;
		struct record_mend mend;
		struct record_requeue requeue;
	};
};


// Appends the bytes. False when they do not fit; nothing is then added. What breaks a limit above is a bug.
bool record_encode(const struct record *record, struct buf *out);

// Everything in *record_out lives in the arena or borrows from bytes. ERR_VERSION: a type or version that this program does not
// know, never to be skipped. ERR_CORRUPT: not an encoding. ERR_LIMIT: the arena's cap.
enum err_code record_decode(struct arena *arena, struct str bytes, struct record *record_out, struct err *err) ERR_CHECKED;

#endif
