// SPDX-License-Identifier: Apache-2.0
// Is the copy equal to its server now? Judged from the server's CSNs, asked for every few seconds, and from what has arrived
// (I8). Pure.
//
//     heartbeat_sent(&heartbeat, &held, now_ms);
//     switch (heartbeat_answered(&heartbeat, &theirs, &held, now_ms)) { case HEARTBEAT_EQUAL: confirm as of heartbeat.sent_ms
//     ... } if (heartbeat_advanced(&heartbeat, &held)) ...         // a change came: equal now to what the last answer asked for?
//     heartbeat_lag_ms(&heartbeat, now_ms)
#ifndef LDAPSYNC_HEARTBEAT_H
#define LDAPSYNC_HEARTBEAT_H

#include <stdint.h>

#include "csn.h"

struct heartbeat {
	bool waits;            // for an answer
	int64_t sent_ms;       // the last one
	int64_t behind_ms;     // since when the server has something that we lack; 0: equal
	int64_t answer_of_ms;  // when the question of `theirs` was sent
	struct csns theirs;    // the last answer
	struct csns held_then; // what we held when the last question was sent
};

void heartbeat_begin(struct heartbeat *heartbeat);
void heartbeat_sent(struct heartbeat *heartbeat, const struct csns *held, int64_t now_ms);

enum heartbeat_answer {
	HEARTBEAT_EQUAL,  // we hold all that it had: the copy is confirmed as of answer_of_ms
	HEARTBEAT_BEHIND, // a change is on its way
	HEARTBEAT_BACK,   // it lost what it once gave us: restored from a backup, or emptied
	HEARTBEAT_MUTE,   // it shows no CSN, and what we hold came with some
};
enum heartbeat_answer heartbeat_answered(struct heartbeat *heartbeat, const struct csns *theirs, const struct csns *held,
	int64_t now_ms);

// Of a server whose changes do not say their numbers (389-ds), before its next answer is taken: what it had at the one before, a
// whole heartbeat ago, it has told us since, so we hold that.
void heartbeat_settled(struct heartbeat *heartbeat, struct csns *held);

// True when this made us equal to the last answer, which may confirm us.
bool heartbeat_advanced(struct heartbeat *heartbeat, const struct csns *held);

int64_t heartbeat_lag_ms(const struct heartbeat *heartbeat, int64_t now_ms);

// How long ago a copy was confirmed, both by the wall clock. It outlives processes and boots, so it may lie ahead of a clock that
// was set back: then it says as little as one that is as far behind.
int64_t heartbeat_age_ms(int64_t confirmed_ms, int64_t wall_ms);

#endif
