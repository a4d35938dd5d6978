// SPDX-License-Identifier: Apache-2.0
// The brake (I6): what a load may take away at once before an administrator is asked.
//
//     struct brake_held held;
//     if (brake_holds(&limits, &counters, &held)) ... "812 of 1000 recipients would go" ...
//
// A file that was cut between two entries, exported with the wrong base or without one attribute still parses; a server that was emptied, or
// a tool that deletes in a loop, speaks perfect LDAP. Everybody who is missing would be unknown for good, and their mail refused. Pure.
//
// Changes from a server come one by one, so they are judged together with those of the window before them:
//
//     brake_window_sum(&window, &counters, now_ms, window_ms, &sum);
//     if (!brake_holds(&limits, &sum, &held)) { commit; brake_window_take(&window, &sum, now_ms, window_ms); }
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

struct brake_window {
	int64_t began_ms;
	struct image_counters sum; // of what was committed since
};

// What the window comes to with these changes; a window that is over begins anew.
void brake_window_sum(const struct brake_window *window, const struct image_counters *counters, int64_t now_ms, int64_t window_ms,
	struct image_counters *sum_out);
void brake_window_take(struct brake_window *window, const struct image_counters *sum, int64_t now_ms, int64_t window_ms);

// An administrator has let `released` through, as it was when it was held: is this no more than that, but for what is never too much?
bool brake_is_released(const struct brake_limits *limits, const struct image_counters *released, const struct image_counters *counters);

bool brake_holds(const struct brake_limits *limits, const struct image_counters *counters, struct brake_held *held_out);

#endif
