// SPDX-License-Identifier: Apache-2.0
// Pins of public keys.
#include "mail/pin.h"

#define ALGORITHM "sha256:"
enum { HEX_DIGITS = 64 };

bool pin_is_one(struct str text)
{
	if (!str_starts_nocase(text, STR(ALGORITHM)))
		return false;
	struct str hex = str_from(text, sizeof ALGORITHM - 1);
	for (size_t i = 0; i < hex.n; i++)
		if (!chr_is_digit(hex.p[i]) && !(chr_lower(hex.p[i]) >= 'a' && chr_lower(hex.p[i]) <= 'f'))
			return false;
	return hex.n == HEX_DIGITS;
}

struct str pin_of(struct arena *arena, const char *hex)
{
	return hex[0] ? arena_printf(arena, ALGORITHM "%s", hex) : STR_NONE;
}
