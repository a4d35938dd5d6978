// SPDX-License-Identifier: Apache-2.0
// Content-Transfer-Encoding undone (RFC 2045 section 6), for search: what senders got wrong is read as far as it goes.
//
//     transfer_decode((enum mime_encoding)node->encoding, body, &bytes);
//
// Nothing here blocks. Linear.
#ifndef MAIL_TRANSFER_H
#define MAIL_TRANSFER_H

#include "base/buf.h"
#include "mail/mime.h"

// Appends the decoded body. Base64 skips bytes outside its alphabet and ends at "="; quoted-printable keeps a "=" that begins no escape;
// the other encodings, the unknown ones too, are copied. False when out is full; it then holds a beginning.
bool transfer_decode(enum mime_encoding encoding, struct str body, struct buf *out);

#endif
