// SPDX-License-Identifier: Apache-2.0
// The table behind chars.h.
#include "chars.h"

enum { LETTER = CHARS_ATEXT | CHARS_PLAIN | CHARS_NAME, ATOM = CHARS_ATEXT | CHARS_PLAIN };

const uint8_t chars_classes[256] = {
	['A'... 'Z'] = LETTER | CHARS_UPPER, ['a'... 'z'] = LETTER, ['0'... '9'] = LETTER,
	['-'] = LETTER, ['_'] = LETTER,
	['!'] = ATOM, ['#'] = ATOM, ['$'] = ATOM, ['%'] = ATOM, ['&'] = ATOM, ['\''] = ATOM, ['*'] = ATOM, ['+'] = ATOM,
	['/'] = ATOM, ['='] = ATOM, ['?'] = ATOM, ['^'] = ATOM, ['`'] = ATOM, ['{'] = ATOM, ['|'] = ATOM, ['}'] = ATOM,
	['~'] = ATOM,
	[0x80 ... 0xff] = CHARS_ATEXT,
};
