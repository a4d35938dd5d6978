// SPDX-License-Identifier: Apache-2.0
// The brake (I6): what a load may take away at once before an administrator is asked.
//
//     struct brake_held held;
//     if (brake_holds(&limits, &counters, &held)) ... "812 of 1000 recipients would go" ...
//
// A file that was cut between two entries, exported with the wrong base or without one attribute still parses; a server that was
// emptied, or a tool that deletes in a loop, speaks perfect LDAP. Everybody who is missing would be unknown for good, and their
// mail refused. Pure.
//
// Changes from a server come one by one, so they are judged together with those of the window before them:
//
//     const struct brake_change change = {&counters, image_balance(shadow), image_balance(credentials)};
//     brake_window_sum(&window, &change, now_ms, window_ms, &sum);
//     if (!brake_holds(&limits, &sum, &held)) { commit; brake_window_take(&window, &change, now_ms, window_ms); }
//
// Net: what of all that was there when the window began is not there any more, by a share of what was there then (balance.h). An
// entry that changes its address all day, or is deleted and added in a loop, counts once at most; what was added since neither
// makes up for anything that is lost nor makes the whole larger. The window is in memory: after a restart it begins with what is
// stored.
#ifndef LDAPSYNC_BRAKE_H
#define LDAPSYNC_BRAKE_H

#include "image.h"

struct brake_limits {
	uint64_t percent;  // more than this share is too much; 100: nothing is
	uint64_t at_least; // of domains and hosts any number may be too much, of all else so many never are
};

// Of recipients (addresses that nobody has any more), entries, users with another mailHost or gone, mailboxes (ids that nobody
// has any more), names to log in by, entries that lost all their passwords, domains and hosts. what is a literal; n of `of` go,
// and up to `allowed` may.
struct brake_count {
	const char *what;
	uint64_t n, of, allowed;
};
enum { BRAKE_COUNTS = 8 };
void brake_counts(const struct brake_limits *limits, const struct image_counters *counters,
	struct brake_count counts_out[BRAKE_COUNTS]);

// What is held. brake_holds fills what comes first in.
struct brake_held {
	const char *what; // what was found too much first; n and of say how much of how many; n is 0: nothing is held
	uint64_t n, of;
	struct brake_limits limits;     // by which it was judged
	struct image_counters counters; // all that would be gone, of all kinds
	struct image_counters before;   // of that, what is gone already: by changes of the same window that were let through
	int64_t window_ms, window_left_ms; // they were counted over so long, and will be for so long; 0: judged by itself
	int64_t since_ms;               // wall clock; when it was held first
};

struct brake_window {
	int64_t began_ms;            // 0: it begins with the next change
	uint64_t entries;            // when it began
	uint64_t keys[BALANCE_KINDS]; // the same, where it is known: of kinds of which something was lost
	bool known[BALANCE_KINDS];
	struct balance balance;      // of what was committed since
};

struct brake_change {
	const struct image_counters *counters;
	const struct balance *shadow, *credentials; // credentials: NULL where there are none
};

void brake_window_init(struct brake_window *window, size_t keys_max);
void brake_window_fini(struct brake_window *window);
// It begins anew with the next change.
void brake_window_clear(struct brake_window *window);

// What the window comes to with this change: *sum_out has what brake_holds asks for, no more. A window that is over begins anew.
// In the sum, users who were moved and passwords that are gone include those of entries that are gone.
void brake_window_sum(const struct brake_window *window, const struct brake_change *change, int64_t now_ms, int64_t window_ms,
	struct image_counters *sum_out);
// Of such a sum, what was committed already.
void brake_window_before(const struct brake_window *window, const struct image_counters *sum, int64_t now_ms, int64_t window_ms,
	struct image_counters *before_out);
// Until it begins anew; 0: with the next change.
int64_t brake_window_left_ms(const struct brake_window *window, int64_t now_ms, int64_t window_ms);
// It was committed.
void brake_window_take(struct brake_window *window, const struct brake_change *change, int64_t now_ms, int64_t window_ms);

// An administrator has let `released` through, as it was when it was held: is this no more than that, but for what is never too
// much?
bool brake_is_released(const struct brake_limits *limits, const struct image_counters *released,
	const struct image_counters *counters);

bool brake_holds(const struct brake_limits *limits, const struct image_counters *counters, struct brake_held *held_out);

#endif
