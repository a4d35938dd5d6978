// SPDX-License-Identifier: Apache-2.0
// Character classes that several parsers of this folder share.
#ifndef MAIL_CHARS_H
#define MAIL_CHARS_H

#include "base/str.h"

// Bits of a byte in chars_classes: one look-up for each of an address, which are many.
enum {
	CHARS_ATEXT = 1, // RFC 5322 section 3.2.3, and UTF8-non-ascii of RFC 6532 section 3.2
	CHARS_PLAIN = 2, // the same in ASCII
	CHARS_NAME = 4,  // of a label of a domain: letters, digits, hyphen (RFC 5321 section 4.1.2), and underscore, which exists
	CHARS_UPPER = 8,
};
extern const uint8_t chars_classes[256];

static inline uint8_t chars_class(char c)
{
	return chars_classes[(unsigned char)c];
}

static inline bool chars_is_atext(char c)
{
	return chars_class(c) & CHARS_ATEXT;
}

static inline bool chars_is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

static inline bool chars_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static inline bool chars_all_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] > 0x7f)
			return false;
	return true;
}

static inline bool chars_any_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (chars_is_control(s.p[i]))
			return true;
	return false;
}

#endif
