// SPDX-License-Identifier: Apache-2.0
// Text in any charset to UTF-8, and the two forms of UTF-8 that are compared: case-mapped for search, NFC for names.
//
//     struct buf text;
//     buf_init(&text, 1 << 20);
//     if (charset_to_utf8(STR("ISO-8859-15"), bytes, &text) == CHARSET_UNKNOWN) ...      // NO [BADCHARSET]
//     charset_casemap(buf_str(&text), &folded);                                          // then look for the folded needle in it
//
// Output is always well-formed UTF-8 and bounded by its buffer. UTF-8, US-ASCII, ISO-8859-1 and Windows-1252 are decoded here;
// the others of a fixed table by iconv, whose first use of a charset reads a module from disk: daemons call charset_preload()
// before their sandbox closes, and nothing blocks after it. Any thread; no state is shared after charset_preload().
#ifndef MAIL_CHARSET_H
#define MAIL_CHARSET_H

#include "base/buf.h"
#include "base/str.h"

enum charset_result {
	CHARSET_OK,
	CHARSET_REPLACED, // some bytes were not text in that charset; each run stands as U+FFFD
	CHARSET_UNKNOWN,  // not in our table (nothing was added to the output)
	CHARSET_FULL,     // the output buffer is full; it holds the text up to a whole character
};

// Opens one converter of each charset in the table and keeps it, so that no module is loaded from disk later. Returns how many of
// the table's charsets this system lacks (they will be CHARSET_UNKNOWN). Once, at start, before threads. May block on disk.
unsigned charset_preload(void);

// Is it in the table? Names and aliases of the IANA registry, whatever their case, "-" and "_". The empty name is not.
bool charset_known(struct str charset);

// Adds bytes as UTF-8 to out. Linear time.
enum charset_result charset_to_utf8(struct str charset, struct str bytes, struct buf *out);

// Adds text to out with every ill-formed sequence replaced by U+FFFD (RFC 3629). CHARSET_OK, CHARSET_REPLACED or CHARSET_FULL.
enum charset_result charset_repair_utf8(struct str text, struct buf *out);

// i;unicode-casemap (RFC 5051): titlecase of each character, then full decomposition (NFKD form of the RFC's UnicodeData fields).
// The result is for comparison only. Ill-formed bytes stand for themselves, as the RFC allows for the octet fallback. False when
// out is full.
bool charset_casemap(struct str utf8, struct buf *out);

// NFC (mailbox names, RFC 9051 section 5.1; keys). False when utf8 is ill-formed or out is full; out may then hold a part.
bool charset_nfc(struct str utf8, struct buf *out);

#endif
