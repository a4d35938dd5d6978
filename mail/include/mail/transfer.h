// SPDX-License-Identifier: Apache-2.0
// Content-Transfer-Encoding undone (RFC 2045 section 6), for search: what senders got wrong is read as far as it goes. And done,
// for text of our own.
//
//     transfer_decode((enum mime_encoding)node->encoding, body, &bytes);
//     transfer_encode_text(text, &encoding, &body);      // with "7bit" or "quoted-printable" in the header before it
//
// Nothing here blocks. Linear.
#ifndef MAIL_TRANSFER_H
#define MAIL_TRANSFER_H

#include "base/buf.h"
#include "mail/mime.h"

// Appends the decoded body. Base64 skips bytes outside its alphabet and ends at "="; quoted-printable keeps a "=" that begins no
// escape; the other encodings, the unknown ones too, are copied. False when out is full; it then holds a beginning.
bool transfer_decode(enum mime_encoding encoding, struct str body, struct buf *out);

// Appends text, whose lines end in LF, CR or CRLF, as a body of lines that end in CRLF. MIME_7BIT when it is of short lines of
// printable ASCII, else MIME_QUOTED_PRINTABLE; whatever its bytes are, no line is longer than 78. False when out is full: a bug
// unless it has room for TRANSFER_TEXT_BYTES(text.n).
#define TRANSFER_TEXT_BYTES(n) (4 * (n) + 16)
bool transfer_encode_text(struct str text, enum mime_encoding *encoding_out, struct buf *out);

#endif
