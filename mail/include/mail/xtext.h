// SPDX-License-Identifier: Apache-2.0
// xtext (RFC 3461 section 4): how parameters of MAIL and RCPT carry odd bytes, "+HH" for each.
#ifndef MAIL_XTEXT_H
#define MAIL_XTEXT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

// Adds s encoded: bytes outside 0x21-0x7E, "+" and "=" become +HH, and no others, so that what was decoded is never longer
// afterwards.
bool xtext_encode(struct str s, struct buf *out);

// The same with one more byte encoded: the separator of a parameter that holds several texts.
bool xtext_encode_part(struct str s, char separator, struct buf *out);

// Strict: false for a byte outside 0x21-0x7E, for "=" and for a "+" without two upper-case hexadecimal digits (lower case is
// accepted too). False when arena is full. The result lives in arena and may hold any byte; callers that want text check it.
bool xtext_decode(struct arena *arena, struct str s, struct str *out);

#endif
