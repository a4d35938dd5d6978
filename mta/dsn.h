// SPDX-License-Identifier: Apache-2.0
// Delivery status notifications: what we tell a sender of a message that failed, is late, or arrived (RFC 3461, 3464, 6522, 6533).
//
//     if (dsn_is_wanted(item, DSN_FAILED)) …
//     dsn_write(&dsn, &body);                                            // a whole message, CRLF line ends
//
// One report is about one message and any number of its recipients. It goes to the envelope sender from <>; a message from <> gets none.
// What a client named is what a report names: never what an alias or a forward turned it into (PROTOCOLS 121). Pure; nothing blocks.
#ifndef MTA_DSN_H
#define MTA_DSN_H

#include "base/buf.h"
#include "item.h"

enum {
	DSN_BYTES_MAX = 256 << 10,         // a whole report
	DSN_RETURNED_BYTES_MAX = 32 << 10, // of the message; larger ones come back as their header
};

enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED };

// NOTIFY, and what holds without it: failures and delays are told, success is not (RFC 3461 section 4.1).
bool dsn_is_wanted(const struct item *item, enum dsn_action action);

struct dsn_recipient {
	const struct item *item;
	enum dsn_action action;
	struct str reply;  // "550 5.1.1 text"
	bool by_peer;      // the next hop's word, else ours
};

struct dsn {
	const struct item_message *message;
	const struct dsn_recipient *to;
	size_t n;
	struct str hostname;       // ours
	struct str remote;         // the next hop's name; may be empty
	struct guid guid;          // of the report
	int64_t wall_ms;
	int64_t retry_until_ms;    // DSN_DELAYED: wall clock
	struct str addressee;      // whom it goes to: the sender's address, or postmaster's for a report that failed itself
	bool double_bounce;
	struct str original;       // the message's beginning, at least its header when that is under DSN_RETURNED_BYTES_MAX
};

// Appends the message. False: it did not fit, nothing of use is in out.
bool dsn_write(const struct dsn *dsn, struct buf *out);

// Does the report need SMTPUTF8, does it hold 8-bit text? RECORD_FLAG_* for its ENTER.
uint8_t dsn_flags(const struct dsn *dsn);

#endif
