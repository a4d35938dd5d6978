// SPDX-License-Identifier: Apache-2.0
// Encoded words (RFC 2047, RFC 2231 section 5): "=?utf-8?q?caf=C3=A9?=" to UTF-8 and back.
//
// Decoded text is for people and for search. It is never parsed as an address or a command: "=40" in a display name is no "@".
// Nothing here blocks (mail/charset.h: after charset_preload).
#ifndef MAIL_ENCWORD_H
#define MAIL_ENCWORD_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

// Text that is already unfolded, with its encoded words decoded; white space between two encoded words goes, words of one charset
// that cut a character between them are joined. What is not a valid encoded word (unknown charset, bad base64) stays as written.
// Bytes outside encoded words that are not UTF-8 become U+FFFD; controls become spaces. Linear. {NULL, 0} over the arena's cap.
struct str encword_decode(struct arena *arena, struct str text);

// Adds text (UTF-8; what is not is replaced by U+FFFD) as encoded words of at most 75 bytes, separated by spaces, no character
// cut; ASCII words stay as they are. For header_emit.h, which also folds. False when out is full.
bool encword_encode(struct str text, struct buf *out);

// The same with every word encoded: for display names, where a plain word beside an encoded one would have to be an atom.
bool encword_encode_phrase(struct str text, struct buf *out);

#endif
