// SPDX-License-Identifier: Apache-2.0
// One value by one line of a map: what it is natively. Pure.
#ifndef LDAPSYNC_PROFILE_VALUE_H
#define LDAPSYNC_PROFILE_VALUE_H

#include "base/arena.h"
#include "schema/profile.h"

enum { PROFILE_VALUE_BYTES_MAX = 1 << 20 }; // a value that is longer has nothing to do with what functions read

typedef void profile_value_fn(void *context, struct str value);

// Calls each for whatever the line makes of given: nothing, one value or several, which live in the arena or borrow from given
// and line. NULL, or what is wrong with given.
const char *profile_value(const struct profile_line *line, struct str given, struct arena *arena, profile_value_fn *each,
	void *context);

#endif
