// SPDX-License-Identifier: Apache-2.0
// What a submission server may do to the header of a message that its own user sends (RFC 6409 section 8), and nothing a relay
// may do:
//
// - Date and Message-ID are added where they are missing;
// - a From that is missing is the sender's address, for clients that leave it out;
// - Bcc, Resent-Bcc and Return-Path are removed: the envelope has the recipients, the last hop makes the return path;
// - a message without any header field, or one that begins with what is no field, gets an empty line before its text.
//
//     size_t at = submission_header_fix(message, &facts, &out);   // out: the whole new header, with its empty line
//     body = str_from(message, at);
#ifndef MTA_SUBMISSION_HEADER_H
#define MTA_SUBMISSION_HEADER_H

#include "base/buf.h"
#include "base/guid.h"
#include "mail/addr.h"

enum { SUBMISSION_HEADER_ADDED_BYTES = 2048 }; // the most that a fix adds to a header

struct submission_facts {
	const struct addr *sender; // of the envelope
	struct str hostname;       // right side of a Message-ID that we make
	const struct guid *guid;   // left side
	int64_t wall_ms;
};

// Writes the fixed header of message to out (a header of n bytes needs n + SUBMISSION_HEADER_ADDED_BYTES) and returns where the
// body of message begins. Linear.
size_t submission_header_fix(struct str message, const struct submission_facts *facts, struct buf *out);

#endif
