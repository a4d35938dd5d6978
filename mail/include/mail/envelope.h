// SPDX-License-Identifier: Apache-2.0
// IMAP's ENVELOPE, BODY and BODYSTRUCTURE, rendered as they go onto the wire (RFC 3501 section 7.4.2, RFC 9051 section 7.5.2).
//
//     envelope_add(header, &b);                  // ("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev2 WG mtg summary" …
//     bodystructure_add(&mime, true, &b);        // (("TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT" 1152 23 NIL NIL …
//
// A value goes out as a quoted string, or as a literal when it holds what a quoted string may not (8-bit bytes) or is long; NUL,
// CR and LF become spaces. An absent value is NIL, an empty one "". Encoded-words in subjects, names and parameters are left as
// they are: clients decode them; white space in a subject or a name is one space, because folding leaves tabs. The output has CR
// LF only in front of literals. Computed once, at delivery (mail/cache.h); nothing here blocks, and the work is linear in the
// header.
//
// False means that the buffer overflowed; it then holds a part of the text.
#ifndef MAIL_ENVELOPE_H
#define MAIL_ENVELOPE_H

#include "base/buf.h"
#include "mail/mime.h"

enum {
	ENVELOPE_READ_BYTES_MAX = 256 << 10,    // of the fields of one header; what is beyond is left out
	ENVELOPE_ADDRESSES_MAX = 10000,         // of one field; later ones are left out
	ENVELOPE_INSIDE_BYTES_MAX = 2 << 20,    // of the envelopes of messages inside; beyond it they are (NIL NIL ...)
	ENVELOPE_BYTES_MAX = 3 << 20,           // no ENVELOPE is longer
	ENVELOPE_STRUCTURE_BYTES_MAX = 6 << 20, // no BODY or BODYSTRUCTURE is longer
};

// From the header of a message, with or without its blank line. Sender and Reply-To default to From; a group is an address with a
// NIL host and the group's name before its members, and one of NILs after them; an address without a domain has the host "". Of
// several fields of one name the first counts, but To, Cc and Bcc are joined.
bool envelope_add(struct str header, struct buf *b);

// The whole message. with_extensions: BODYSTRUCTURE; without: BODY. A text part without a charset gets us-ascii (RFC 2046 section
// 4.1.2). Names are shown as they were written; sections of RFC 2231 are joined (mime_params_join), so that a client finds
// "filename*" or "filename" and never "filename*0*".
bool bodystructure_add(const struct mime *mime, bool with_extensions, struct buf *b);

// NIL when s.p is NULL, else a string as above.
bool envelope_nstring_add(struct str s, struct buf *b);

#endif
