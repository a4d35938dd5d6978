// SPDX-License-Identifier: Apache-2.0
// The text of a delivery status notification: what a sender is told about recipients that failed, wait, or were reached.
//
//     struct report_facts facts = {.kind = REPORT_FAILURE, .hostname = …, .guid = report guid, .to = sender, .recipients = r, .n
//     = 2, …}; buf_init(&text, report_bytes_max(&facts));
//     report_build(&facts, &text);                     // a whole message with CRLF line ends, ready for the queue
//
// One multipart/report message (RFC 6522) with a text for people, a message/delivery-status part (RFC 3464;
// message/global-delivery-status when an address needs SMTPUTF8, RFC 6533) and the returned message: its header, or the whole
// when the sender asked for it (RET=FULL) and it is not too long. Final-Recipient is the address the sender named: what it
// expanded to is nobody's business (PROTOCOLS 121).
//
// Pure: no clock, no randomness; the same facts give the same bytes, so that doing it twice makes one report. Nothing here
// blocks.
#ifndef MTA_REPORT_H
#define MTA_REPORT_H

#include "base/buf.h"
#include "base/guid.h"

enum report_kind {
	REPORT_FAILURE, // for good: no more tries
	REPORT_DELAY,   // still trying
	REPORT_SUCCESS, // delivered, or relayed to where no notification comes back from (NOTIFY=SUCCESS)
};

enum {
	REPORT_RETURNED_BYTES_MAX = 64 << 10, // of the returned message; more is cut to its header
	REPORT_RECIPIENTS_MAX = 1000,         // listed; the text says how many there are in all
};

struct report_recipient {
	struct str address;      // as the sender named it, canonical
	struct str orcpt;        // "type;address", empty: none
	struct str reply;        // last word of the next hop, or ours: "550 5.1.1 no such user"
	struct str remote;       // who said it: a host name; empty: we did
	bool relayed;            // REPORT_SUCCESS: handed on, not delivered
};

struct report_facts {
	enum report_kind kind;
	struct guid guid;        // of the report: names the boundary and the Message-ID
	struct str hostname;
	struct str to;           // the sender of the message, without brackets
	struct str queue_id;     // of the message
	struct str envid;        // decoded; empty: none
	int64_t arrived_ms, now_ms;
	int64_t gives_up_ms;     // REPORT_DELAY
	const struct report_recipient *recipients;
	size_t n;
	struct str original;     // its beginning, at least the header as far as there is one
	bool original_is_whole;  // original is all of it
	bool return_full;        // RET=FULL
	bool utf8;               // the message or an address needs SMTPUTF8
};

// A cap for the buffer: what a report of these facts can have at most.
size_t report_bytes_max(const struct report_facts *facts);

// The report. False when out is full, which a buffer of report_bytes_max() never is.
bool report_build(const struct report_facts *facts, struct buf *out);

// The enhanced status in a reply ("550 5.1.1 text"), or the class alone ("5.0.0", "4.0.0") when it has none. Writes at most 12
// bytes and a NUL.
const char *report_status(struct str reply, char status_out[13]);

#endif
