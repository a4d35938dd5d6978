// SPDX-License-Identifier: Apache-2.0
// Open databases at rest: two lists, and a memory of closings.
#include "rest.h"

#include <string.h>

#include "base/clock.h"
#include "strand.h"

void rest_init(struct rest *rest, int64_t idle_ms, int64_t again_ms)
{
	rest->lists[REST_ONCE].for_ms = idle_ms;
	rest->lists[REST_AGAIN].for_ms = again_ms > idle_ms ? again_ms : idle_ms;
}

static struct rest_list *list_of(struct rest *rest, const struct strand *strand)
{
	return &rest->lists[strand->rest.again ? REST_AGAIN : REST_ONCE];
}

void rest_add(struct rest *rest, struct strand *strand, int64_t now_ms)
{
	struct rest_list *list = list_of(rest, strand);
	struct rest_seat *seat = &strand->rest;
	seat->newer = NULL;
	seat->older = list->newest;
	*(seat->older ? &seat->older->rest.newer : &list->oldest) = strand;
	list->newest = strand;
	seat->taken = true;
	seat->since_ms = now_ms;
}

void rest_remove(struct rest *rest, struct strand *strand)
{
	struct rest_list *list = list_of(rest, strand);
	struct rest_seat *seat = &strand->rest;
	if (!seat->taken)
		return;
	*(seat->newer ? &seat->newer->rest.older : &list->newest) = seat->older;
	*(seat->older ? &seat->older->rest.newer : &list->oldest) = seat->newer;
	seat->taken = false;
}

struct strand *rest_next(const struct rest *rest, int64_t *due_ms_out)
{
	struct strand *next = NULL;
	int64_t due_ms = CLOCK_NEVER;
	for (size_t i = 0; i < REST_LISTS; i++) {
		struct strand *oldest = rest->lists[i].oldest;
		if (oldest && oldest->rest.since_ms + rest->lists[i].for_ms < due_ms) {
			next = oldest;
			due_ms = oldest->rest.since_ms + rest->lists[i].for_ms;
		}
	}
	if (next)
		*due_ms_out = due_ms;
	return next;
}

struct strand *rest_victim(const struct rest *rest)
{
	struct strand *once = rest->lists[REST_ONCE].oldest;
	return once ? once : rest->lists[REST_AGAIN].oldest;
}

static uint64_t who(const struct guid *id)
{
	uint64_t bits;
	memcpy(&bits, id->b, sizeof bits); // random, or the time of a UUID
	return bits ^ bits >> 32;
}

void rest_closed(struct rest *rest, const struct guid *id, int64_t now_ms)
{
	rest->closed[who(id) % REST_CLOSED_MAX] = (struct rest_closing){.who = who(id), .at_ms = now_ms};
}

bool rest_was_open(const struct rest *rest, const struct guid *id, int64_t now_ms)
{
	const struct rest_closing *closing = &rest->closed[who(id) % REST_CLOSED_MAX];
	return closing->who == who(id) && now_ms - closing->at_ms <= rest->lists[REST_AGAIN].for_ms;
}
