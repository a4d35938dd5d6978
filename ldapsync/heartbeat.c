// SPDX-License-Identifier: Apache-2.0
// Comparing CSNs with those of the server.
#include "heartbeat.h"

void heartbeat_begin(struct heartbeat *heartbeat)
{
	*heartbeat = (struct heartbeat){0};
}

void heartbeat_sent(struct heartbeat *heartbeat, const struct csns *held, int64_t now_ms)
{
	heartbeat->waits = true;
	heartbeat->sent_ms = now_ms;
	heartbeat->held_then = *held;
}

enum heartbeat_answer heartbeat_answered(struct heartbeat *heartbeat, const struct csns *theirs, const struct csns *held,
	int64_t now_ms)
{
	heartbeat->waits = false;
	heartbeat->theirs = *theirs;
	heartbeat->answer_of_ms = heartbeat->sent_ms;
	if (theirs->n == 0 && held->n > 0)
		return HEARTBEAT_MUTE;
	// A change may overtake the answer, so the answer is held against what we had when we asked.
	if (!csns_dominate(theirs, &heartbeat->held_then))
		return HEARTBEAT_BACK;
	if (csns_dominate(held, theirs)) {
		heartbeat->behind_ms = 0;
		return HEARTBEAT_EQUAL;
	}
	if (heartbeat->behind_ms == 0)
		heartbeat->behind_ms = now_ms;
	return HEARTBEAT_BEHIND;
}

void heartbeat_settled(struct heartbeat *heartbeat, struct csns *held)
{
	(void)csns_merge(held, &heartbeat->theirs);
	heartbeat->behind_ms = 0;
}

bool heartbeat_advanced(struct heartbeat *heartbeat, const struct csns *held)
{
	if (heartbeat->behind_ms == 0 || !csns_dominate(held, &heartbeat->theirs))
		return false;
	heartbeat->behind_ms = 0;
	return true;
}

int64_t heartbeat_lag_ms(const struct heartbeat *heartbeat, int64_t now_ms)
{
	return heartbeat->behind_ms ? now_ms - heartbeat->behind_ms : 0;
}

int64_t heartbeat_age_ms(int64_t confirmed_ms, int64_t wall_ms)
{
	return wall_ms > confirmed_ms ? wall_ms - confirmed_ms : confirmed_ms - wall_ms;
}
