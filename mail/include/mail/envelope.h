// SPDX-License-Identifier: Apache-2.0
// IMAP's ENVELOPE, BODY and BODYSTRUCTURE, rendered as they go onto the wire (RFC 3501 section 7.4.2, RFC 9051 section 7.5.2).
//
//     envelope_add(header, &b);                  // ("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev2 WG mtg summary" (("Terry" …
//     bodystructure_add(&mime, true, &b);        // (("TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT" 1152 23 NIL NIL NIL NIL) …
//
// A value goes out as a quoted string, or as a literal when it holds what a quoted string may not (8-bit bytes, CR, LF) or is long;
// a NUL becomes '?'. An absent value is NIL, an empty one "". Encoded-words in subjects and names are left as they are: clients
// decode them. The output holds no CR LF outside literals. Computed once, at delivery (mail/cache.h); nothing here blocks.
//
// False means that the buffer overflowed; it then holds a part of the text.
#ifndef MAIL_ENVELOPE_H
#define MAIL_ENVELOPE_H

#include "base/buf.h"
#include "mail/mime.h"

enum {
	ENVELOPE_ADDRESSES_MAX = 10000, // of one message; later ones are left out
};

// From the header of a message, with or without its blank line. Sender and Reply-To default to From; a group is an address with a
// NIL host and the group's name before its members, and one of NILs after them; of several fields of one name the first counts,
// addresses of several To and Cc are joined.
bool envelope_add(struct str header, struct buf *b);

// The whole message. with_extensions: BODYSTRUCTURE; without: BODY.
bool bodystructure_add(const struct mime *mime, bool with_extensions, struct buf *b);

// One nstring: NIL when s.p is NULL, else quoted or literal as above. One astring-safe rendering for all of IMAP's replies.
bool envelope_nstring_add(struct str s, struct buf *b);

#endif
