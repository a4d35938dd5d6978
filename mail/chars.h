// SPDX-License-Identifier: Apache-2.0
// Character classes that several parsers of this folder share.
#ifndef MAIL_CHARS_H
#define MAIL_CHARS_H

#include "base/str.h"

// RFC 5322 section 3.2.3, and UTF8-non-ascii of RFC 6532 section 3.2.
static inline bool chars_is_atext(char c)
{
	return chr_is_alpha(c) || chr_is_digit(c) || (unsigned char)c > 0x7f || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
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
