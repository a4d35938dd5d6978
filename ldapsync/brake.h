// SPDX-License-Identifier: Apache-2.0
// The brake (I6): what a load may take away at once before an administrator is asked.
//
//     struct brake_held held;
//     if (brake_holds(&limits, &counters, &held)) ... "812 of 1000 recipients would go" ...
//
// A file that was cut between two entries, exported with the wrong base or without one attribute still parses. Everybody who is missing
// from it would be unknown for good, and their mail refused. Pure.
#ifndef LDAPSYNC_BRAKE_H
#define LDAPSYNC_BRAKE_H

#include "image.h"

struct brake_limits {
	uint64_t percent;  // more than this share is too much; 100: nothing is
	uint64_t at_least; // of domains and hosts any number may be too much, of all else so many never are
};

// Of recipients (addresses that nobody has any more), entries, users with another mailHost, mailboxes (ids that nobody has any more), names
// to log in by, entries that lost all their passwords, domains and hosts: what was found too much first. what is a literal, n and of say how much of how many.
struct brake_held {
	const char *what;
	uint64_t n, of;
};

bool brake_holds(const struct brake_limits *limits, const struct image_counters *counters, struct brake_held *held_out);

#endif
