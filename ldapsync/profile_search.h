// SPDX-License-Identifier: Apache-2.0
// What to ask a server for, so that a profile finds all it maps: the filter and the attributes that follow from its lines.
#ifndef LDAPSYNC_PROFILE_SEARCH_H
#define LDAPSYNC_PROFILE_SEARCH_H

#include "base/arena.h"
#include "schema/profile.h"

enum { PROFILE_SEARCH_BYTES = 4 << 20 };

struct profile_search {
	const char *filter;      // RFC 4515
	const char **attributes; // NULL ends them; each once
};

// Whatever may be ours: the native classes, what lines make ours, and whoever has mail or member. Never narrower than the lines:
// of their conditions only [attribute] and [attribute=value] count, because an entry that leaves a filter is not mentioned by
// every server. profile NULL: native. secrets: asks for what log-ins are checked against too. Strings live in the arena, which
// must have room (PROFILE_SEARCH_BYTES, for both).
void profile_search_all(const struct profile *profile, bool secrets, struct arena *arena, struct profile_search *search_out);

// The domains that name a realm; the rest as above.
void profile_search_realms(const struct profile *profile, struct arena *arena, struct profile_search *search_out);

#endif
