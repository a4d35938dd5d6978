// SPDX-License-Identifier: Apache-2.0
// Base64 and hexadecimal, both strict: one text for each sequence of bytes, so that what was decoded and encoded again is the
// same.
//
//     struct buf text;
//     buf_init(&text, CODEC_BASE64_BYTES(key.n));
//     codec_base64_add(&text, key);
//     if (!codec_base64_decode(line, &bytes)) ...          // nothing was added
//
// Encoders and decoders append to a buffer and fail only when that overflows or, for decoders, when the text is not valid; a
// failed call adds nothing. Secrets: the work per byte depends on the byte (tables), so keys of long life are not decoded at a
// peer's wish. Nothing here blocks.
#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include "base/buf.h"

// Length of the base64 text of n bytes, padding included, no line breaks.
#define CODEC_BASE64_BYTES(n) (((n) + 2) / 3 * 4)

// RFC 4648 section 4, padded, on one line.
bool codec_base64_add(struct buf *b, struct str bytes);

// The reverse, strict: padding is required, the unused bits are zero (RFC 4648 section 3.5), no white space, no other bytes.
// The empty text is the empty string.
bool codec_base64_decode(struct str text, struct buf *b);

// The text of OpenLDAP's pw-pbkdf2: no padding, "." instead of "+" (both are read); unused bits are zero.
bool codec_base64_bare_add(struct buf *b, struct str bytes);
bool codec_base64_bare_decode(struct str text, struct buf *b);

// Two lower-case digits a byte. Decoding takes both cases and an even number of digits.
bool codec_hex_add(struct buf *b, struct str bytes);
bool codec_hex_decode(struct str text, struct buf *b);

#endif
