// SPDX-License-Identifier: Apache-2.0
// Header fields as we write them: folded, encoded, and never with a line end that came from outside.
//
//     struct header_emit emit;
//     header_emit_init(&emit, &buf);
//     header_emit_text(&emit, STR("Subject"), subject);                // UTF-8: encoded words where needed
//     header_emit_mailbox(&emit, STR("From"), name, &addr);
//     header_emit_date(&emit, STR("Date"), now);
//     if (emit.failed) ...                                             // one check: buffer full, or a value held CR, LF or NUL
//
// Header injection is impossible by type: no call passes a CR, LF or NUL of its arguments on. Each call adds one whole field with
// its CRLF or nothing, and after a failure nothing more is added. Lines fold at white space near 78 bytes and never exceed 998
// (RFC 5322 section 2.1.1) unless one word is longer, which is refused. Nothing here blocks.
#ifndef MAIL_HEADER_EMIT_H
#define MAIL_HEADER_EMIT_H

#include "base/buf.h"
#include "base/str.h"
#include "mail/addr.h"
#include "mail/date.h"

struct header_emit {
	struct buf *out; // borrowed
	bool failed;
};

void header_emit_init(struct header_emit *emit, struct buf *out);

// Unstructured text in UTF-8; non-ASCII and what looks like an encoded word is encoded.
void header_emit_text(struct header_emit *emit, struct str name, struct str text);

// A structured value in ASCII, or UTF-8 for a SMTPUTF8 message, as it is; folded at its spaces only.
void header_emit_raw(struct header_emit *emit, struct str name, struct str value);

// "name <addr>"; the name is quoted or encoded as needed and may be empty.
void header_emit_mailbox(struct header_emit *emit, struct str name, struct str display, const struct addr *addr);

// "display <inside>", for what is in brackets and no address: List-Id and the URLs of List- fields. inside is printable ASCII
// without space and brackets; display as in header_emit_mailbox.
void header_emit_phrase(struct header_emit *emit, struct str name, struct str display, struct str inside);

// "<addr>"; "<>" for the null address: Return-Path and its like.
void header_emit_path(struct header_emit *emit, struct str name, const struct addr *addr);

void header_emit_date(struct header_emit *emit, struct str name, struct date date);

// "<id>"; id without its brackets: printable ASCII without space and brackets, at most 900 bytes.
void header_emit_msgid(struct header_emit *emit, struct str name, struct str id);

#endif
